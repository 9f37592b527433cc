//! The appliance that `appliance/build` made, in QEMU.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::qmp::Qmp;
use super::{Bench, PATIENCE, Picture, Process, wait_for};

/// How an appliance is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start<'a> {
    /// Its kernel, which unpacks itself, and initramfs, without a disk; with a screen.
    Direct,
    /// The same with a root shell on the serial port.
    Rescue,
    /// Its unpacked kernel, which has no screen, and initramfs, with a root shell on the serial port.
    Pvh,
    /// Its disk in this format, by a BIOS.
    Bios(&'a str),
    /// The same by UEFI.
    Uefi(&'a str),
}

/// A running appliance.
pub(crate) struct Appliance {
    process: Process,
    monitor: Qmp,
    serial: PathBuf,
    /// What is typed at its serial port.
    keyboard: File,
    /// Commands that its shell was given.
    asked: usize,
    dump: PathBuf,
    address: SocketAddr,
    began: lfp::time::Instant,
}

impl Appliance {
    /// Starts one with these words for QEMU besides; `name` is unique within the test.
    pub(crate) fn start(bench: &Bench, name: &str, start: Start<'_>, rest: &[String]) -> Self {
        let (monitor, serial) = (bench.file(&format!("{name}.qmp")), bench.file(&format!("{name}.serial")));
        let address = free_address();
        let mut args: Vec<String> =
            ["-machine", "q35", "-accel", "tcg", "-m", "256", "-display", "none", "-vga", "std"]
                .map(str::to_owned)
                .into();
        args.extend(["-nodefaults", "-no-user-config", "-device", "virtio-serial-pci"].map(str::to_owned));
        args.extend(["-name".to_owned(), format!("lfp-it-{name}")]);
        args.extend(["-qmp".to_owned(), format!("unix:{},server=on,wait=off", monitor.display())]);
        let typed = bench.file(&format!("{name}.typed"));
        let port = format!("file,id=serial,path={},input-path={}", serial.display(), typed.display());
        args.extend(["-chardev".to_owned(), port, "-serial".to_owned(), "chardev:serial".to_owned()]);
        let forward = format!("user,id=net,hostfwd=udp:{address}-:5810");
        args.extend(["-netdev".to_owned(), forward]);
        args.extend(["-device".to_owned(), "virtio-net-pci,netdev=net,romfile=".to_owned()]);
        args.extend(start.words(bench, name));
        args.extend_from_slice(rest);
        for stale in [&monitor, &serial, &typed] {
            let _ = fs::remove_file(stale);
        }
        nix::unistd::mkfifo(&typed, nix::sys::stat::Mode::S_IRWXU).expect("a pipe with a name");
        // Whoever opens one end alone waits for the other.
        let keyboard = OpenOptions::new().read(true).write(true).open(&typed).expect("the pipe");
        let began = lfp::clock::now();
        let process = Process::start(bench, name, Path::new("/usr/bin/qemu-system-x86_64"), &args);
        let dump = bench.file(&format!("{name}.ppm"));
        Self { process, monitor: Qmp::connect(&monitor), serial, keyboard, asked: 0, dump, address, began }
    }

    /// Where clients of this host find it.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        lfp::clock::now().saturating_since(self.began)
    }

    /// Everything that it said on its serial port.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.serial).unwrap_or_default()).into_owned()
    }

    /// Waits for a line with `words`, and gives what stands behind them.
    pub(crate) fn wait_line(&mut self, words: &str) -> String {
        let found = lfp::clock::poll_for(PATIENCE * 2, || {
            self.process.assert_running();
            let said = self.said();
            let whole = said.rfind('\n').map_or("", |end| &said[..end]);
            whole.lines().find_map(|line| line.split_once(words).map(|(_, rest)| rest.trim_end().to_owned()))
        });
        found.unwrap_or_else(|| panic!("the appliance never said {words:?}, but:\n{}", self.said()))
    }

    /// Has the shell on its serial port run `command`, and gives what that printed; what the appliance itself said meanwhile is
    /// left out.
    pub(crate) fn shell(&mut self, command: &str) -> String {
        self.asked += 1;
        let number = self.asked;
        // What is typed is shown as well: the quotes tell it from what is printed.
        let line = format!("echo 'begin'-{number}; {command}; echo 'end'-{number}\n");
        self.keyboard.write_all(line.as_bytes()).expect("the machine reads its serial port");
        let (begin, end) = (format!("begin-{number}\r\n"), format!("end-{number}\r\n"));
        wait_for(&format!("the end of {command:?}"), PATIENCE, || {
            self.process.assert_running();
            let said = self.said();
            let printed = said.split_once(&begin)?.1.split_once(&end)?.0;
            let lines = printed.lines().filter(|line| !line.contains("] lfp: "));
            Some(lines.collect::<Vec<_>>().join("\n"))
        })
    }

    /// Runs a command of its monitor.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        self.monitor.execute(command, arguments)
    }

    /// Waits until it serves, and has an address.
    pub(crate) fn wait_served(&mut self) {
        self.wait_line("listening on ");
        self.wait_line("address: 10.0.2.15:5810");
    }

    /// The fingerprint that it shows.
    pub(crate) fn fingerprint(&mut self) -> String {
        let line = self.wait_line(" fingerprint=");
        line.split(' ').next().unwrap_or_default().to_owned()
    }

    /// The picture of its own screen, as QEMU sees it.
    pub(crate) fn screendump(&mut self) -> Picture {
        self.monitor.screendump(&self.dump)
    }

    /// Resets the machine, as its button would.
    pub(crate) fn reset(&mut self) {
        self.monitor.execute("system_reset", &json!({}));
    }

    /// Presses the power button, and waits until the machine is off.
    pub(crate) fn power_off(mut self) {
        self.monitor.execute("system_powerdown", &json!({}));
        let status = self.process.finish(PATIENCE);
        assert!(status.success(), "QEMU ended with {status}");
    }

    /// # Panics
    /// If the machine has ended.
    pub(crate) fn assert_running(&mut self) {
        self.process.assert_running();
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<_> = said.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            eprintln!("--- the appliance said last:\n{}", tail.join("\n"));
        }
    }
}

impl Start<'_> {
    fn words(self, bench: &Bench, name: &str) -> Vec<String> {
        let drive = |format: &str| {
            let (file, kind) = match format {
                "vhd" => ("disk.vhd", "vpc"),
                "ova" => return boot_drive(&unpacked(bench), "vmdk"),
                other => (&*format!("disk.{other}"), other),
            };
            boot_drive(&built(file), kind)
        };
        match self {
            Self::Direct | Self::Rescue | Self::Pvh => {
                let line = fs::read_to_string(built("cmdline")).expect("the appliance's command line");
                // Without firmware's help QEMU's own screen is set by its old number: 1280x800, 32 bits.
                let (kernel, initramfs, more) = match self {
                    Self::Pvh => ("vmlinux", "initramfs.cpio", "lfp.shell=1"),
                    Self::Rescue => ("vmlinuz", "initramfs", "vga=0x37a lfp.shell=1"),
                    _ => ("vmlinuz", "initramfs", "vga=0x37a"),
                };
                let line = format!("{} {more}", line.trim_end());
                let words = ["-kernel", &built(kernel), "-initrd", &built(initramfs), "-append", &line];
                words.map(str::to_owned).into()
            }
            Self::Bios(format) => drive(format).into(),
            Self::Uefi(format) => {
                let vars = bench.file(&format!("{name}.vars"));
                fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars)
                    .expect("firmware variables: apt-get install ovmf");
                let code = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
                let vars = format!("if=pflash,format=raw,file={}", vars.display());
                let flash = ["-drive", code, "-drive", &vars].map(str::to_owned);
                flash.into_iter().chain(drive(format)).collect()
            }
        }
    }
}

/// A disk to boot from, before any other. What is written to it, which is nothing, would go with the test.
fn boot_drive(file: &str, format: &str) -> [String; 4] {
    let drive = format!("if=none,id=boot,format={format},snapshot=on,file={file}");
    ["-drive", &drive, "-device", "virtio-blk-pci,drive=boot,bootindex=0"].map(str::to_owned)
}

/// The disk inside the OVA.
fn unpacked(bench: &Bench) -> String {
    let mut tar = Command::new("tar");
    let status = tar.arg("-C").arg(bench.path()).args(["-xf", &built("disk.ova")]).status();
    assert!(status.expect("tar runs").success());
    bench.file("lfp-appliance-disk1.vmdk").display().to_string()
}

/// Words that hand over a configuration by `fw_cfg`.
pub(crate) fn by_fw_cfg(bench: &Bench, text: &str) -> [String; 2] {
    let file = bench.file("appliance.json");
    fs::write(&file, text).expect("a configuration");
    ["-fw_cfg".to_owned(), format!("name=opt/lfp/config.json,file={}", file.display())]
}

/// Words that hand it over on a FAT disk, which QEMU makes of a folder, at this kind of device.
pub(crate) fn by_drive(bench: &Bench, text: &str, device: &[&str]) -> Vec<String> {
    let folder = bench.file("config-drive");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.json"), text).expect("a configuration");
    let node = json!({"driver": "vvfat", "node-name": "config", "read-only": true, "dir": folder,
        "label": "LFP-CONFIG", "fat-type": 16});
    let device = device.iter().map(|&word| word.to_owned());
    ["-blockdev".to_owned(), node.to_string()].into_iter().chain(device).collect()
}

/// A configuration of these services, by name and source. This host has no end of a control channel.
pub(crate) fn services(list: &[(&str, &str)]) -> Value {
    let services: Vec<_> =
        list.iter().map(|(name, source)| json!({"name": name, "source": source})).collect();
    json!({"server": {"services": services}})
}

/// A file of the appliance's.
fn built(name: &str) -> String {
    let path = image().join(name);
    assert!(path.exists(), "{} is missing: is it of a build with --formats?", path.display());
    path.display().to_string()
}

/// The folder of the appliance that is tested: the one that `LFP_APPLIANCE` names, or one that is made here, of this very
/// build's programs where those are static (`scripts/test` links them so), else of programs compiled for it, as a release is.
fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        if let Some(named) = std::env::var_os("LFP_APPLIANCE") {
            return named.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let server = Path::new(env!("CARGO_BIN_EXE_lfp-server"));
        let mut build = Command::new(root.join("appliance/build"));
        let out = root.join(".cache/appliance").join(if needs_a_loader(server) { "out" } else { "tested" });
        if !needs_a_loader(server) {
            build.arg("--programs").arg(server.parent().expect("a program is in a folder"));
        }
        let made = build.arg("--out").arg(&out).output().expect("appliance/build runs");
        assert!(made.status.success(), "appliance/build: {}", String::from_utf8_lossy(&made.stderr));
        out
    })
}

/// Whether a program is linked to libraries that something has to load: its ELF header (64 bits) counts a segment of type
/// `PT_INTERP`.
fn needs_a_loader(program: &Path) -> bool {
    let bytes = fs::read(program).expect("the program can be read");
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0, |sum, &byte| (sum << 8) | usize::from(byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|entry| number(table + entry * size, 4) == 3)
}

/// A port that is free now: QEMU takes it at once.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("its address")
}

/// Waits until what the client shows is what the appliance's screen shows: nothing can be stopped to compare, since the
/// server runs in the machine whose screen it is. The screendumps before and after agree, so the picture stood still.
pub(crate) fn wait_same(appliance: &mut Appliance, client: &super::Client) -> Picture {
    wait_for("the client to show the appliance's screen", PATIENCE, || {
        let before = appliance.screendump();
        let shown = client.shows()?;
        let after = appliance.screendump();
        (before == after && shown == after && !shown.is_plain()).then_some(shown)
    })
}
