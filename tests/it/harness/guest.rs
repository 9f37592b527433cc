//! Guests: QEMU with shared video memory, and in it `lfp-guest` or firmware.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::qmp::Qmp;
use super::{Bench, PATIENCE, Picture, Process, wait_for};

/// How a guest's screen is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Display {
    /// QEMU's VGA at 1280x800, 32 bits.
    Vga32,
    /// QEMU's VGA at 1024x768, 24 bits packed.
    Vga24,
    /// QEMU's VGA at 1280x800, 16 bits.
    Vga16,
    /// `bochs-display` under the kernel's own driver, 32 bits.
    Bochs,
}

impl Display {
    fn device(self) -> &'static [&'static str] {
        match self {
            Self::Vga32 | Self::Vga24 | Self::Vga16 => &["-vga", "std"],
            Self::Bochs => &["-vga", "none", "-device", "bochs-display"],
        }
    }

    /// The kernel: the code that sets a mode of VGA's is in the one that unpacks itself, which takes 5 s of emulation.
    const fn kernel(self) -> &'static str {
        match self {
            Self::Vga32 | Self::Vga24 | Self::Vga16 => "vmlinuz",
            Self::Bochs => "vmlinux",
        }
    }

    fn kernel_parameter(self) -> &'static str {
        match self {
            Self::Vga32 => "vga=0x37a",
            Self::Vga24 => "vga=0x318",
            Self::Vga16 => "vga=0x378",
            Self::Bochs => "lfp.display=bochs",
        }
    }
}

/// The kernel's parameters of every guest. Its own tests of ciphers take a second of emulation.
const KERNEL_WORDS: &str = "console=ttyS0 no_timer_check cryptomgr.notests quiet loglevel=3 panic=-1";

/// A running guest.
pub(crate) struct Guest {
    process: Process,
    monitor: Qmp,
    socket: PathBuf,
    serial: PathBuf,
    dump: PathBuf,
}

impl Guest {
    /// Boots `lfp-guest` and waits until it has painted. `name` is unique within the test; `parameters` go to
    /// the kernel (`lfp.quiet=1`: nothing moves).
    pub(crate) fn boot(bench: &Bench, name: &str, display: Display, parameters: &str) -> Self {
        let guest = Self::start(bench, name, display, parameters);
        guest.wait_line("ready ", 1);
        guest
    }

    /// Starts booting `lfp-guest`.
    pub(crate) fn start(bench: &Bench, name: &str, display: Display, parameters: &str) -> Self {
        let (kernel, initramfs) = (guest_file(display.kernel()), guest_file("initramfs"));
        let command_line = format!(
            "{KERNEL_WORDS} consoleblank=0 vt.global_cursor_default=0 iomem=relaxed {} {}",
            display.kernel_parameter(),
            parameters
        );
        let mut args: Vec<String> = display.device().iter().map(|&arg| arg.to_owned()).collect();
        args.extend(["-kernel".to_owned(), kernel, "-initrd".to_owned(), initramfs]);
        args.extend(["-append".to_owned(), command_line]);
        args.extend(["-device".to_owned(), "virtio-tablet-pci".to_owned()]);
        Self::qemu(bench, name, &args)
    }

    /// Boots `lfp-guest` in a machine that guests can be given to, as an appliance's is; no server runs in it. `machine`
    /// is QEMU's, `extra` goes to its command line.
    pub(crate) fn appliance(bench: &Bench, name: &str, machine: &str, extra: &[&str]) -> Self {
        let display = Display::Bochs;
        let (kernel, initramfs) = (guest_file(display.kernel()), guest_file("initramfs"));
        let command_line = format!("{KERNEL_WORDS} {} lfp.quiet=1", display.kernel_parameter());
        let words = ["-kernel", &kernel, "-initrd", &initramfs, "-append", &command_line];
        let mut args: Vec<String> =
            display.device().iter().chain(&words).map(|&word| word.to_owned()).collect();
        args.extend(["-device".to_owned(), "virtio-serial-pci".to_owned()]);
        args.extend(extra.iter().map(|&arg| arg.to_owned()));
        let guest = Self::machine(bench, name, machine, &args);
        guest.wait_line("ready ", 1);
        guest
    }

    /// Starts a machine with nothing to boot: video memory, a keyboard and a monitor are all that is needed of it.
    pub(crate) fn blank(bench: &Bench, name: &str) -> Self {
        Self::qemu(bench, name, &["-vga".to_owned(), "std".to_owned()])
    }

    /// Starts UEFI firmware, and `kernel` (an EFI program) from it if there is one.
    pub(crate) fn firmware(bench: &Bench, name: &str, kernel: Option<&str>) -> Self {
        let code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
        assert!(Path::new(code).exists(), "{code} is missing: apt-get install ovmf");
        let vars = bench.file(&format!("{name}.vars"));
        fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars).expect("firmware variables");
        let drive = |file: &str, mode: &str| format!("if=pflash,format=raw,{mode}file={file}");
        let mut args = vec!["-vga".to_owned(), "std".to_owned()];
        args.extend(["-drive".to_owned(), drive(code, "readonly=on,")]);
        args.extend(["-drive".to_owned(), drive(vars.to_str().expect("UTF-8"), "")]);
        if let Some(kernel) = kernel {
            assert!(Path::new(kernel).exists(), "{kernel} is missing: apt-get install memtest86+");
            args.extend(["-kernel".to_owned(), kernel.to_owned()]);
        }
        Self::qemu(bench, name, &args)
    }

    fn qemu(bench: &Bench, name: &str, rest: &[String]) -> Self {
        Self::machine(bench, name, "q35,aux-ram-share=on", rest)
    }

    fn machine(bench: &Bench, name: &str, machine: &str, rest: &[String]) -> Self {
        let socket = bench.file(&format!("{name}.qmp"));
        let own = bench.file(&format!("{name}.own"));
        let serial = bench.file(&format!("{name}.serial"));
        let server = |path: &Path| format!("unix:{},server=on,wait=off", path.display());
        let mut args = vec![
            "-name".to_owned(),
            format!("lfp-it-{name}"),
            "-machine".to_owned(),
            machine.to_owned(),
            // memtest86+ times every level of cache it is told of: an L3 costs it 20 s of emulation.
            "-cpu".to_owned(),
            "qemu64,l3-cache=off".to_owned(),
        ];
        args.extend(["-accel", "tcg", "-m", "256", "-display", "none"].map(str::to_owned));
        args.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
        args.extend(["-qmp".to_owned(), server(&socket), "-qmp".to_owned(), server(&own)]);
        args.extend(["-serial".to_owned(), format!("file:{}", serial.display())]);
        args.extend_from_slice(rest);
        for stale in [&socket, &own, &serial] {
            let _ = fs::remove_file(stale);
        }
        let process = Process::start(bench, name, Path::new("/usr/bin/qemu-system-x86_64"), &args);
        let monitor = Qmp::connect(&own);
        let dump = bench.file(&format!("{name}.ppm"));
        Self { process, monitor, socket, serial, dump }
    }

    /// How a server is told of this guest.
    pub(crate) fn source(&self) -> String {
        format!("qemu:{}", self.socket.display())
    }

    /// Its monitor for others than the test.
    pub(crate) fn qmp(&self) -> &Path {
        &self.socket
    }

    /// Runs a command of its monitor.
    pub(crate) fn execute(&mut self, command: &str, arguments: &serde_json::Value) -> serde_json::Value {
        self.monitor.execute(command, arguments)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The picture as QEMU itself sees it.
    pub(crate) fn screendump(&mut self) -> Picture {
        self.monitor.screendump(&self.dump)
    }

    /// Stops the guest's processors.
    pub(crate) fn stop(&mut self) {
        self.monitor.execute("stop", &json!({}));
    }

    pub(crate) fn cont(&mut self) {
        self.monitor.execute("cont", &json!({}));
    }

    /// Resets the machine, as its button would.
    pub(crate) fn reset(&mut self) {
        self.monitor.execute("system_reset", &json!({}));
    }

    /// Ends the guest at once, as a crash of its QEMU would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Everything the guest has reported.
    pub(crate) fn reported(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.serial).unwrap_or_default()).into_owned()
    }

    /// How many reports start with `what`.
    pub(crate) fn count(&self, what: &str) -> usize {
        let lead = format!("LFP-GUEST {what}");
        self.reported().lines().filter(|line| line.starts_with(&lead)).count()
    }

    /// Waits until the guest has reported `what` for the `nth` time.
    pub(crate) fn wait_line(&self, what: &str, nth: usize) {
        let found = lfp::clock::poll_for(PATIENCE, || (self.count(what) >= nth).then_some(()));
        assert!(found.is_some(), "the guest never reported {what:?}; it said:\n{}", self.reported());
    }

    /// Types a line into the guest, not through a server, and waits until it is done.
    pub(crate) fn command(&mut self, line: &str) {
        let word = line.split(' ').next().unwrap_or_default();
        let done = self.count(&format!("done {word}"));
        for character in line.chars().chain(['\n']) {
            let keys = self.count("key ");
            let name = character.to_string();
            self.monitor.key(&[match character {
                '\n' => "ret",
                ' ' => "spc",
                _ => &name,
            }]);
            self.wait_line("key ", keys + 1);
        }
        self.wait_line(&format!("done {word}"), done + 1);
    }

    /// Waits until the screen shows something and has stood still for a moment.
    pub(crate) fn settle(&mut self) -> Picture {
        self.settle_for(Duration::from_millis(700))
    }

    /// Waits until two screendumps, `apart` from each other, are the same and show something.
    pub(crate) fn settle_for(&mut self, apart: Duration) -> Picture {
        let mut last = self.screendump();
        wait_for("a picture that stands still", PATIENCE, || {
            lfp::clock::wait_until(lfp::clock::now() + apart);
            let next = self.screendump();
            let settled = next == last && !next.is_plain();
            last = next;
            settled.then(|| last.clone())
        })
    }
}

fn guest_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/guest").join(name);
    assert!(path.exists(), "{} is missing: run scripts/guest-image", path.display());
    path.to_str().expect("UTF-8").to_owned()
}
