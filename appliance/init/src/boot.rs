//! From an empty machine to one that a server can run on.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::prctl;

use crate::devices::USER;
use crate::disks;
use crate::modules::Modules;
use crate::server::{CONFIG, STATE};

/// How long disks are waited for behind a bus that tells of its devices later.
const DISKS_PATIENCE: Duration = Duration::from_secs(2);

/// Words of the kernel's command line that are ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    /// `lfp.shell=1`: a shell on the serial console. Whoever has that console then has the appliance.
    pub(crate) shell: bool,
    /// `lfp.control=0`: the server is not asked to speak with the host.
    pub(crate) control: bool,
}

impl Options {
    /// Those of the machine's command line.
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }

    fn parse(line: &str) -> Self {
        let has = |word: &str| line.split_ascii_whitespace().any(|other| other == word);
        Self { shell: has("lfp.shell=1"), control: !has("lfp.control=0") }
    }
}

/// Mounts what the kernel offers, and gives up rights for good that nothing here needs.
pub(crate) fn mount_kernel() {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    let no_suid = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    for (kind, at, flags, words) in [
        ("proc", "/proc", safe, None),
        ("sysfs", "/sys", safe, None),
        ("devtmpfs", "/dev", no_suid, Some("mode=0755")),
        // What the server writes there is a few kilobytes.
        ("tmpfs", "/run", safe, Some("mode=0755,size=16m")),
    ] {
        // What is there already is as good.
        let _ = mount(Some(kind), at, Some(kind), flags, words);
    }
    // Inherited by every process from now on: no program can give one more rights than the one that starts it has.
    let _ = prctl::set_no_new_privs();
}

/// Has the kernel gather randomness of its own, where neither the CPU nor a device gives any. It does so for who reads, and
/// not for who waits until something can be read, as a static program does that cannot ask for the system call by name.
pub(crate) fn gather_randomness() {
    std::thread::spawn(|| File::open("/dev/random").and_then(|mut file| file.read_exact(&mut [0])));
}

/// Waits for disks on Hyper-V's bus, whose host offers devices when it likes. Every other controller has looked for its disks
/// when its module is loaded: the kernel ends loading when all that the module set going has ended.
pub(crate) fn wait_for_disks(modules: &mut Modules) {
    let until = crate::clock::now() + DISKS_PATIENCE;
    let is_found = || disks::find(disks::CONFIG_LABEL).is_some() && disks::find(disks::STATE_LABEL).is_some();
    while Path::new("/sys/bus/vmbus").exists() && !is_found() && crate::clock::now() < until {
        crate::pause(Duration::from_millis(100));
        modules.load_for_all_devices();
    }
}

/// Makes the place where the server keeps its key: on a disk if there is one. Gives what to say of it, and the error.
pub(crate) fn prepare_state(modules: &mut Modules) -> (String, Option<String>) {
    let (words, error) = match disks::find(disks::STATE_LABEL) {
        None => (format!("not kept: there is no disk {}", disks::STATE_LABEL), None),
        Some(disk) => match disk.mount_to_write(STATE, modules) {
            Ok(()) => {
                let words = format!("kept on {}", disk.file.display());
                return match own_state() {
                    Ok(()) => (words, None),
                    Err(error) => (words, Some(format!("state disk: {error}"))),
                };
            }
            Err(error) => ("not kept: see below".to_owned(), Some(format!("state disk: {error}"))),
        },
    };
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mounted = mount(Some("tmpfs"), STATE, Some("tmpfs"), flags, Some("mode=0700,size=1m"));
    let owned = mounted.map_err(Into::into).and_then(|()| own_state());
    (words, error.or_else(|| owned.err().map(|error| format!("{STATE}: {error}"))))
}

fn own_state() -> std::io::Result<()> {
    let owned = chown(STATE, Some(USER), Some(USER));
    // FAT has no owners: it was mounted as the server's.
    if let Err(error) = owned {
        return if fs::metadata(STATE).is_ok_and(|data| uid(&data) == USER) { Ok(()) } else { Err(error) };
    }
    fs::set_permissions(STATE, Permissions::from_mode(0o700))
}

fn uid(data: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    data.uid()
}

/// Writes the server's configuration where it looks for it, into a folder where it may write what it counts.
///
/// # Errors
/// If the memory for it is not there.
pub(crate) fn write_config(config: &serde_json::Value) -> std::io::Result<()> {
    let folder = Path::new(CONFIG).parent().expect("it stands in a folder");
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(CONFIG)?;
    writeln!(file, "{config:#}")?;
    chown(folder, Some(USER), Some(USER))
}

/// Makes the file system of the image read-only.
///
/// # Errors
/// If the kernel does not.
pub(crate) fn seal_root() -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_there_for_who_asks_for_it_in_so_many_words() {
        assert_eq!(Options::parse("quiet console=ttyS0"), Options { shell: false, control: true });
        assert_eq!(Options::parse("lfp.shell=1\n"), Options { shell: true, control: true });
        assert_eq!(
            Options::parse("lfp.shell=10 xlfp.shell=1 lfp.control=0"),
            Options { shell: false, control: false }
        );
    }
}
