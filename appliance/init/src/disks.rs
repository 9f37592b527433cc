//! Disks that are found by their label: the configuration's and the state's.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::devices::USER;
use crate::modules::Modules;

/// The label of a disk with `config.json`.
pub(crate) const CONFIG_LABEL: &str = "LFP-CONFIG";
/// The label of a disk on which the server's key is kept.
pub(crate) const STATE_LABEL: &str = "LFP-STATE";
/// As much of a disk as is read to know it: the label of an ISO 9660 image stands behind 32 KiB.
const HEAD: usize = 34 << 10;
/// Most disks and partitions that are looked at.
const DISKS_MAX: usize = 256;

/// A file system that the kernel is given to mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Vfat,
    Iso9660,
    Ext4,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Vfat => "vfat",
            Self::Iso9660 => "iso9660",
            Self::Ext4 => "ext4",
        }
    }

    /// The kernel's module, which is named otherwise for one of them.
    const fn module(self) -> &'static str {
        match self {
            Self::Iso9660 => "isofs",
            other => other.name(),
        }
    }
}

/// A disk, or a partition of one, with a label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Disk {
    pub(crate) file: PathBuf,
    pub(crate) kind: Kind,
}

/// The first disk with this label, in the order of names.
pub(crate) fn find(label: &str) -> Option<Disk> {
    let mut names: Vec<_> = fs::read_dir("/sys/class/block").into_iter().flatten().flatten().collect();
    names.sort_by_key(fs::DirEntry::file_name);
    names.into_iter().take(DISKS_MAX).find_map(|entry| {
        let file = Path::new("/dev").join(entry.file_name());
        let mut head = Vec::with_capacity(HEAD);
        File::open(&file).ok()?.take(HEAD as u64).read_to_end(&mut head).ok()?;
        let (kind, found) = identify(&head)?;
        (found == label).then_some(Disk { file, kind })
    })
}

impl Disk {
    /// Mounts a disk to read from it.
    ///
    /// # Errors
    /// If the kernel finds it damaged.
    pub(crate) fn mount_to_read(&self, at: &str, modules: &mut Modules) -> Result<(), String> {
        self.mount(at, MsFlags::MS_RDONLY, None, modules)
    }

    /// Mounts a disk for the server to keep its key on.
    ///
    /// # Errors
    /// As [`Self::mount_to_read`].
    pub(crate) fn mount_to_write(&self, at: &str, modules: &mut Modules) -> Result<(), String> {
        let words = format!("uid={USER},gid={USER},fmask=0177,dmask=0077");
        match self.kind {
            Kind::Iso9660 => Err(format!("{}: an ISO 9660 image cannot keep anything", self.file.display())),
            // What has no owners is told whose it is.
            Kind::Vfat => self.mount(at, MsFlags::MS_NOATIME, Some(&words), modules),
            Kind::Ext4 => self.mount(at, MsFlags::MS_NOATIME, None, modules),
        }
    }

    fn mount(
        &self,
        at: &str,
        flags: MsFlags,
        words: Option<&str>,
        modules: &mut Modules,
    ) -> Result<(), String> {
        let wrong = |error: String| format!("{}: {error}", self.file.display());
        modules.load(self.kind.module()).map_err(wrong)?;
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some(&self.file), at, Some(self.kind.name()), flags, words)
            .map_err(|error| wrong(format!("cannot be mounted as {}: {error}", self.kind.name())))
    }
}

/// The file system that begins with `head`, and its label.
fn identify(head: &[u8]) -> Option<(Kind, String)> {
    let at = |from: usize, length: usize| head.get(from..from + length);
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
    };
    if at(32_769, 5) == Some(b"CD001") {
        return Some((Kind::Iso9660, text(at(32_808, 32)?)));
    }
    if at(1_080, 2) == Some(&[0x53, 0xef]) {
        return Some((Kind::Ext4, text(at(1_144, 16)?)));
    }
    if at(510, 2) == Some(&[0x55, 0xaa]) {
        // FAT32 has its label further behind than FAT12 and FAT16.
        if at(82, 5) == Some(b"FAT32") {
            return Some((Kind::Vfat, text(at(71, 11)?)));
        }
        if at(54, 3) == Some(b"FAT") {
            return Some((Kind::Vfat, text(at(43, 11)?)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn disks_are_known_by_their_labels() {
        let label = |parts| identify(&disk(parts));
        let config = CONFIG_LABEL.to_owned();
        let fat32 = label(&[(510, &[0x55, 0xaa]), (82, b"FAT32   "), (71, b"LFP-CONFIG ")]);
        assert_eq!(fat32, Some((Kind::Vfat, config.clone())));
        let fat12 = label(&[(510, &[0x55, 0xaa]), (54, b"FAT12   "), (43, b"LFP-CONFIG ")]);
        assert_eq!(fat12, Some((Kind::Vfat, config.clone())));
        let iso = label(&[(32_769, b"CD001"), (32_808, b"LFP-CONFIG                      ")]);
        assert_eq!(iso, Some((Kind::Iso9660, config)));
        let ext4 = label(&[(1_080, &[0x53, 0xef]), (1_144, b"LFP-STATE\0")]);
        assert_eq!(ext4, Some((Kind::Ext4, STATE_LABEL.to_owned())));
        assert_eq!(label(&[(510, &[0x55, 0xaa])]), None, "a boot sector alone");
        assert_eq!(identify(&[]), None);
        for length in 0..HEAD {
            let _ = identify(&disk(&[(510, &[0x55, 0xaa]), (82, b"FAT32")])[..length]);
        }
    }
}
