//! Which devices the server may use: it is not root, and each right is given by name.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::uevent::Added;

/// The user and group `lfp`, as which the server runs.
pub(crate) const USER: u32 = 100;
/// How long a file may take to appear behind the device that has it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most devices that are waited for at once.
const WAITING_MAX: usize = 64;

/// Gives rights as devices come.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// Devices of PCI whose files are not there yet, and until when they are waited for. The kernel speaks of a device
    /// before it makes the files of its memory.
    waiting: Vec<(PathBuf, Duration)>,
}

impl Devices {
    /// Gives the rights on everything that is there.
    pub(crate) fn grant_all(&mut self, now: Duration) {
        for (class, subsystem) in [("virtio-ports", "virtio-ports"), ("graphics", "graphics")] {
            for entry in list(&Path::new("/sys/class").join(class)) {
                let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                grant_file(subsystem, &name);
            }
        }
        for device in list(Path::new("/sys/bus/pci/devices")) {
            self.grant_memory(device, now);
        }
    }

    /// Gives the rights on what came.
    pub(crate) fn on_added(&mut self, added: &Added, now: Duration) {
        if let Some(file) = &added.file {
            grant_file(&added.subsystem, file);
        }
        if added.subsystem == "pci" {
            self.grant_memory(Path::new("/sys").join(added.path.trim_start_matches('/')), now);
        }
    }

    /// Tries again what was not there yet; whether something is still waited for.
    pub(crate) fn retry(&mut self, now: Duration) -> bool {
        self.waiting.retain(|(device, until)| grant_bar(device).is_err() && now < *until);
        !self.waiting.is_empty()
    }

    fn grant_memory(&mut self, device: PathBuf, now: Duration) {
        let has = |name: &str, value: &str| {
            fs::read_to_string(device.join(name)).is_ok_and(|text| text.trim_end() == value)
        };
        if has("vendor", "0x1af4")
            && has("device", "0x1110")
            && grant_bar(&device).is_err()
            && self.waiting.len() < WAITING_MAX
        {
            self.waiting.push((device, now + PATIENCE));
        }
    }
}

/// The memory that an ivshmem device shares, for reading.
fn grant_bar(device: &Path) -> io::Result<()> {
    // Without it the device answers no access to its memory.
    fs::write(device.join("enable"), "1")?;
    own(&device.join("resource2"), 0o400)?;
    // Not every memory can be mapped with write-combining.
    match own(&device.join("resource2_wc"), 0o400) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn grant_file(subsystem: &str, name: &str) {
    let mode = match subsystem {
        "virtio-ports" => 0o600,
        // The appliance's own screen is served, and never painted by the server.
        "graphics" => 0o400,
        _ => return,
    };
    // A name such as `fbcon` is a device without a file.
    let _ = own(&Path::new("/dev").join(name), mode);
}

fn own(path: &Path, mode: u32) -> io::Result<()> {
    chown(path, Some(USER), Some(USER))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
