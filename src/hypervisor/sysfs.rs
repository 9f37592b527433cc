//! What `/sys` says of PCI devices and virtio ports: small texts that the kernel writes.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::limits::SYSFS_ENTRIES_MAX;

/// The folder under which `sys` and `dev` are: `/`, or what stands for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The environment variable `LFP_ROOT`, for tests with a machine of files; else `/`.
    #[must_use]
    pub fn chosen() -> Self {
        Self(std::env::var_os("LFP_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from))
    }

    /// `folder`.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The folder of every PCI device.
    fn pci_devices(&self) -> PathBuf {
        self.0.join("sys/bus/pci/devices")
    }

    /// The folder of a PCI device.
    pub(super) fn pci_device(&self, address: PciFunction) -> PathBuf {
        self.pci_devices().join(address.to_string())
    }

    /// All of physical memory.
    pub(super) fn memory(&self) -> PathBuf {
        self.0.join("dev/mem")
    }

    /// The addresses of all PCI devices, ascending; at most [`SYSFS_ENTRIES_MAX`].
    pub(super) fn pci_functions(&self) -> Vec<PciFunction> {
        let mut found: Vec<_> =
            names(&self.pci_devices()).iter().filter_map(|name| name.parse().ok()).collect();
        found.sort_unstable();
        found
    }

    /// The virtio ports that have a name, by name; at most [`SYSFS_ENTRIES_MAX`].
    #[must_use]
    pub fn ports(&self) -> Vec<VirtioPort> {
        let folder = self.0.join("sys/class/virtio-ports");
        let port = |entry: String| {
            let name = read(&folder.join(&entry).join("name")).ok().filter(|name| !name.is_empty())?;
            Some(VirtioPort { name, path: self.0.join("dev").join(entry) })
        };
        let mut found: Vec<_> = names(&folder).into_iter().filter_map(port).collect();
        found.sort_unstable();
        found
    }
}

/// A virtio port that the hypervisor gave a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VirtioPort {
    /// The name, such as `lfp.control`.
    pub name: String,
    /// The device, such as `/dev/vport1p2`. It can be opened once at a time.
    pub path: PathBuf,
}

/// The names in a folder that may not be there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(SYSFS_ENTRIES_MAX);
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// The text of a small file, without the white space around it.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(TEXT_BYTES).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// A file of sysfs is a page at most.
const TEXT_BYTES: u64 = 4096;

/// Where a PCI device sits, as the kernel writes it: `0000:00:07.0`. The domain may be left out when one is parsed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PciFunction {
    /// The domain; more than 16 bits behind some controllers.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The slot on it, at most 31.
    pub slot: u8,
    /// The function of the device, at most 7.
    pub function: u8,
}

impl fmt::Display for PciFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.slot, self.function)
    }
}

/// What a PCI address is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoPciFunction;

impl FromStr for PciFunction {
    type Err = NoPciFunction;

    fn from_str(text: &str) -> Result<Self, NoPciFunction> {
        let digits = |text: &str, most: usize| {
            let is_hex = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
            u32::from_str_radix(text, 16).ok().filter(|_| is_hex).ok_or(NoPciFunction)
        };
        let (rest, function) = text.rsplit_once('.').ok_or(NoPciFunction)?;
        let (rest, slot) = rest.rsplit_once(':').ok_or(NoPciFunction)?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let slot = digits(slot, 2)?;
        let function = digits(function, 1)?;
        if slot > 31 || function > 7 {
            return Err(NoPciFunction);
        }
        let (domain, bus) = (digits(domain, 8)?, digits(bus, 2)?);
        Ok(Self { domain, bus: bus as u8, slot: slot as u8, function: function as u8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        for (text, shown) in [
            ("0000:00:07.0", "0000:00:07.0"),
            ("00:1f.7", "0000:00:1f.7"),
            ("10000:e1:00.0", "10000:e1:00.0"),
            ("0:A:B.1", "0000:0a:0b.1"),
        ] {
            let address: PciFunction = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
        }
        for text in [
            "",
            "7",
            "07.0",
            "00:20.0",
            "00:07.8",
            "0000:00:07",
            "x:00:07.0",
            "00:+7.0",
            "../00:07.0",
            "00:07.0/..",
        ] {
            assert_eq!(text.parse::<PciFunction>(), Err(NoPciFunction), "{text}");
        }
    }

    #[test]
    fn ports_are_found_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path());
        assert_eq!(root.ports(), []);
        for (entry, name) in
            [("vport1p2", "lfp.guest.web\n"), ("vport1p1", "lfp.control\n"), ("vport0p0", "")]
        {
            let entry = folder.path().join("sys/class/virtio-ports").join(entry);
            fs::create_dir_all(&entry).expect("a folder");
            fs::write(entry.join("name"), name).expect("written");
        }
        let port = |name: &str, entry: &str| VirtioPort {
            name: name.to_owned(),
            path: folder.path().join("dev").join(entry),
        };
        assert_eq!(root.ports(), [port("lfp.control", "vport1p1"), port("lfp.guest.web", "vport1p2")]);
    }
}
