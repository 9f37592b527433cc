//! Finding a guest's video memory among the memory files of its QEMU process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::hypervisor::dispi::{Device, Display, PciAddress};
use crate::hypervisor::procfs::{self, Memfd};
use crate::hypervisor::qmp::Version;

/// Video memory that can be mapped.
#[derive(Debug)]
pub(in crate::hypervisor) struct Vram {
    pub(super) file: File,
    /// `/proc/PID/fd/N`.
    pub(super) path: PathBuf,
    pub(super) device: Device,
    /// Bytes that the display says it has; the file's own length is checked when it is mapped, and read.
    pub(super) bytes: u64,
}

/// Why there is no video memory to map.
#[derive(Debug, thiserror::Error)]
pub(in crate::hypervisor) enum VramError {
    /// The monitor's process cannot be seen.
    #[error(
        "the QEMU process is not visible from here: run this in its PID namespace (not in another container)"
    )]
    Unseen,
    /// Its descriptors may not be read.
    #[error("process {pid} may not be looked into: run this as the user of that QEMU, or as root")]
    Forbidden { pid: u32 },
    /// Its descriptors cannot be read for another reason.
    #[error("the memory of process {pid} cannot be opened: {error}")]
    Io { pid: u32, error: io::Error },
    /// It is not shared.
    #[error(
        "QEMU (process {pid}) keeps its video memory private: start it with -machine TYPE,aux-ram-share=on"
    )]
    Private { pid: u32 },
    /// Somebody else listens in its place.
    #[error(
        "process {pid} ({name}) answers in QEMU's place and is no QEMU: name a QMP socket on which QEMU itself listens"
    )]
    NotQemu { pid: u32, name: String },
    /// It cannot be shared.
    #[error(
        "QEMU {version} (process {pid}) cannot share video memory: use QEMU 9.2 or newer, with \
             -machine TYPE,aux-ram-share=on"
    )]
    Old { pid: u32, version: Version },
}

/// The first version that knows `aux-ram-share`.
const SHARES_SINCE: Version = Version { major: 9, minor: 2, micro: 0 };

/// Opens the video memory of `display` in the QEMU process `pid`.
pub(super) fn open(pid: Option<u32>, version: Version, display: &Display) -> Result<Vram, VramError> {
    let pid = pid.ok_or(VramError::Unseen)?;
    let at_fault = |error| explain(pid, error);
    let memfds = procfs::memfds(pid).map_err(at_fault)?;
    let Some((memfd, device)) = choose(&memfds, display.address) else {
        return Err(missing(pid, version));
    };
    let file = memfd.open().map_err(at_fault)?;
    let device = if display.is_virtio { Device::VirtioVga } else { device };
    Ok(Vram { file, path: memfd.path.clone(), device, bytes: display.vram_bytes })
}

/// Why a process has no video memory among its files.
fn missing(pid: u32, version: Version) -> VramError {
    let program = procfs::program(pid);
    let name = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match name {
        _ if version < SHARES_SINCE => VramError::Old { pid, version },
        Some(name) if !name.contains("qemu") => VramError::NotQemu { pid, name },
        _ => VramError::Private { pid },
    }
}

pub(in crate::hypervisor) fn explain(pid: u32, error: io::Error) -> VramError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => VramError::Forbidden { pid },
        io::ErrorKind::NotFound => VramError::Unseen,
        _ => VramError::Io { pid, error },
    }
}

/// Which device a memory file is the video memory of, by the name that QEMU gave it.
pub(in crate::hypervisor) fn device_of(memfd: &Memfd) -> Option<Device> {
    match memfd.name.rsplit('/').next()? {
        "vga.vram" => Some(Device::Vga),
        "bochs-display-vram" => Some(Device::Bochs),
        _ => None,
    }
}

/// The memory of the device at `address`. Names begin with a path of `slot.function` from the root bus on, so that a
/// device behind a bridge is known by its end; the only one there is it whatever it is called.
fn choose(memfds: &[Memfd], address: PciAddress) -> Option<(&Memfd, Device)> {
    let all: Vec<_> = memfds.iter().filter_map(|memfd| Some((memfd, device_of(memfd)?))).collect();
    let PciAddress { bus, slot, function } = address;
    let direct = format!("0000:{bus:02x}:{slot:02x}.{function:x}/");
    let behind = format!("{slot:02x}.{function:x}/");
    let is_direct = |candidate: &&(&Memfd, Device)| candidate.0.name.starts_with(&direct);
    let is_behind = |candidate: &&(&Memfd, Device)| bus != 0 && candidate.0.name.contains(&behind);
    match all.as_slice() {
        [only] => Some(*only),
        all => all.iter().find(is_direct).or_else(|| all.iter().find(is_behind)).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memfds(names: &[&str]) -> Vec<Memfd> {
        names.iter().map(|name| Memfd { name: (*name).to_owned(), path: (*name).into() }).collect()
    }

    #[test]
    fn the_memory_of_the_device_is_chosen() {
        let at = |bus, slot| PciAddress { bus, slot, function: 0 };
        let one = memfds(&["displaysurface", "0000:00:01.0/vga.rom", "0000:00:01.0/vga.vram", "pc.bios"]);
        let name = |memfds: &[Memfd], address| {
            choose(memfds, address).map(|(memfd, device)| (memfd.name.clone(), device))
        };
        assert_eq!(name(&one, at(0, 1)), Some(("0000:00:01.0/vga.vram".to_owned(), Device::Vga)));
        assert_eq!(name(&one, at(3, 0)), Some(("0000:00:01.0/vga.vram".to_owned(), Device::Vga)));
        let two = memfds(&["0000:00:01.0/vga.vram", "0000:00:02.0:00.0/bochs-display-vram"]);
        assert_eq!(name(&two, at(0, 1)), Some(("0000:00:01.0/vga.vram".to_owned(), Device::Vga)));
        let behind = ("0000:00:02.0:00.0/bochs-display-vram".to_owned(), Device::Bochs);
        assert_eq!(name(&two, at(1, 0)), Some(behind));
        assert_eq!(name(&two, at(0, 9)), None);
        assert_eq!(name(&memfds(&["pc.ram", "displaysurface"]), at(0, 1)), None);
    }

    #[test]
    fn errors_say_what_to_do() {
        let display = Display {
            address: PciAddress { bus: 0, slot: 1, function: 0 },
            is_vga: true,
            is_virtio: false,
            vram_bytes: 1,
            registers: None,
        };
        let text = |pid, version| open(pid, version, &display).expect_err("no memory").to_string();
        let mut other =
            std::process::Command::new("sleep").arg("60").spawn().expect("a process without video memory");
        let us = Some(other.id());
        let new = Version { major: 10, minor: 0, micro: 2 };
        assert!(text(None, new).contains("namespace"));
        assert!(text(Some(u32::MAX), new).contains("namespace"));
        let old = Version { major: 7, minor: 2, micro: 19 };
        assert!(text(us, old).contains("7.2.19"), "{}", text(us, old));
        assert!(explain(7, io::ErrorKind::PermissionDenied.into()).to_string().contains("process 7"));
        let has_become_sleep = || procfs::program(other.id()).filter(|path| path.ends_with("sleep"));
        crate::clock::poll_for(std::time::Duration::from_secs(10), has_become_sleep).expect("it runs");
        assert!(text(us, new).contains("no QEMU"), "{}", text(us, new));
        for text in [text(us, old), text(None, new), text(us, new), VramError::Private { pid: 7 }.to_string()]
        {
            assert!(text.len() <= crate::limits::TEXT_MAX, "{text}");
        }
        other.kill().and_then(|()| other.wait()).expect("ended");
    }
}
