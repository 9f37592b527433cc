//! BAR 2 of an ivshmem device: the memory that another VM shares, the ways to map it, and how fast each is.
//!
//! | way | what is mapped | what is special |
//! | --- | --- | --- |
//! | write-combining | `resource2_wc` | uncached reads, several of which a CPU may have under way |
//! | uncached | `resource2` | one read after the other |
//! | cached | `/dev/mem` at the BAR's address | only above 4 GiB, only where opening it is allowed; the kernel does not take it back when the device is unplugged |
//!
//! Which is fast depends on the hypervisor: some ignore what a guest wants of memory that is theirs, and all three are
//! the same. So each is measured, by what a sweep does, and the fastest taken; a later one of the table has to be
//! faster by an eighth.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lfp_proto::frame::SurfaceState;
use nix::libc;

use crate::clock;
use crate::geometry::{CellSet, Size};
use crate::hypervisor::Surface;
use crate::hypervisor::mapping::{Mapping, MappingError};
use crate::hypervisor::sysfs::{self, PciFunction, Root};
use crate::limits::{BAR_MEASURE_BYTES, BAR_MEASURE_TIME, CELL};
use crate::pixel::PixelFormat;
use crate::time::micros;

/// A way to map a BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// `resource2_wc`.
    WriteCombining,
    /// `resource2`.
    Uncached,
    /// `/dev/mem`.
    Cached,
}

impl Way {
    /// Every way, in the order in which they are preferred.
    pub const ALL: [Self; 3] = [Self::WriteCombining, Self::Uncached, Self::Cached];

    /// The name in JSON and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteCombining => "write-combining",
            Self::Uncached => "uncached",
            Self::Cached => "cached",
        }
    }
}

/// What came of trying a way: bytes read per second, or why there is no figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trial {
    /// Which.
    pub way: Way,
    /// That.
    pub outcome: Result<u64, String>,
}

/// What was found out about a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survey {
    /// Where it sits.
    pub address: PciFunction,
    /// Bytes of its memory.
    pub bytes: u64,
    /// Where that begins in this machine's memory.
    pub start: u64,
    /// Every way, in the order of [`Way::ALL`].
    pub trials: Vec<Trial>,
}

impl Survey {
    /// The way to take; `None` if there is none.
    #[must_use]
    pub fn fastest(&self) -> Option<Way> {
        let mut taken: Option<(Way, u64)> = None;
        for trial in &self.trials {
            let Ok(rate) = trial.outcome else { continue };
            if taken.is_none_or(|(_, best)| rate > best.saturating_add(best / 8)) {
                taken = Some((trial.way, rate));
            }
        }
        taken.map(|(way, _)| way)
    }
}

/// Why there is no memory to map; goes on behind the device's address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BarError {
    /// There is no such device.
    #[error("is not there: attach the guest's memory as ivshmem-plain, or name the address that it has")]
    Absent,
    /// It is another device.
    #[error("is a device {vendor}:{device} and no ivshmem, which is 1af4:1110; name that one's address")]
    Other {
        /// What it says.
        vendor: String,
        /// See `vendor`.
        device: String,
    },
    /// It has no memory.
    #[error("has no memory in its BAR 2: give ivshmem-plain a memdev")]
    Empty,
    /// It was there.
    #[error("does not answer: it was pulled out")]
    Mute,
    /// Its memory does not answer yet.
    #[error("is not enabled: write 1 to {path} as root", path = .0.display())]
    Disabled(PathBuf),
    /// No way works.
    #[error("cannot be mapped: {0}")]
    Unmappable(String),
}

impl BarError {
    /// What it means for a source.
    #[must_use]
    pub const fn state(&self) -> SurfaceState {
        match self {
            Self::Absent | Self::Mute => SurfaceState::Gone,
            _ => SurfaceState::Faulty,
        }
    }
}

/// A BAR that can be mapped, in the fastest way.
#[derive(Debug)]
pub(in crate::hypervisor) struct Bar {
    /// Bytes that there are.
    pub(in crate::hypervisor) bytes: u64,
    region: Region,
    way: Way,
    opened: File,
    presence: Presence,
}

impl Bar {
    /// Maps all of it for reading.
    pub(in crate::hypervisor) fn map(&self) -> Result<Mapping, MappingError> {
        self.region.map(self.way, self.opened.try_clone()?)
    }

    /// Whether the device is still there, the same, and as long. Asks the kernel, not the device: three system calls.
    pub(in crate::hypervisor) fn is_there(&self) -> bool {
        let length = || self.opened.metadata().map(|metadata| metadata.len().min(self.region.bytes));
        self.presence.holds() && (self.way == Way::Cached || length().is_ok_and(|now| now == self.bytes))
    }

    /// Whether the device answers: one that was pulled without a word does not, though the kernel may not know yet.
    pub(in crate::hypervisor) fn answers(&self) -> bool {
        answers(&self.presence.path.with_file_name("config"))
    }
}

fn answers(config: &Path) -> bool {
    let mut vendor = [0; 2];
    let read = File::open(config).and_then(|mut config| config.read_exact(&mut vendor));
    read.is_err() || vendor != [0xff; 2]
}

/// A file of the device's folder in sysfs, held open: while it is, nothing else gets its identity.
#[derive(Debug)]
struct Presence {
    path: PathBuf,
    held: File,
}

impl Presence {
    fn holds(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let now = fs::metadata(&self.path).map(identity);
        matches!((now, self.held.metadata().map(identity)), (Ok(now), Ok(then)) if now == then)
    }
}

/// Where a BAR lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Region {
    start: u64,
    bytes: u64,
}

impl Region {
    /// BAR 2 in the text of a device's `resource`: the third line says start, last byte and flags.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.lines().nth(2)?.split_ascii_whitespace();
        let mut number = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (start, last, flags) = (number()?, number()?, number()?);
        let bytes = last.checked_sub(start)?.checked_add(1)?;
        (start > 0 && flags & IORESOURCE_MEM != 0).then_some(Self { start, bytes })
    }

    fn map(self, way: Way, file: File) -> Result<Mapping, MappingError> {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        match way {
            Way::WriteCombining | Way::Uncached => Mapping::of_region(file, bytes),
            Way::Cached => Mapping::of_memory(&file, self.start, bytes),
        }
    }
}

/// From linux/ioport.h.
const IORESOURCE_MEM: u64 = 0x200;
const VENDOR: &str = "0x1af4";
const DEVICE: &str = "0x1110";

/// Whether `address` is an ivshmem device.
pub(in crate::hypervisor) fn is_ivshmem(root: &Root, address: PciFunction) -> bool {
    check_kind(root, address).is_ok()
}

fn check_kind(root: &Root, address: PciFunction) -> Result<(), BarError> {
    let folder = root.pci_device(address);
    let said = |name: &str| sysfs::read(&folder.join(name)).map_err(|_| BarError::Absent);
    let (vendor, device) = (said("vendor")?, said("device")?);
    if vendor == VENDOR && device == DEVICE {
        return Ok(());
    }
    // Two words of a file; the kernel writes 6 characters each.
    let number = |text: &str| text.trim_start_matches("0x").chars().take(8).collect();
    Err(BarError::Other { vendor: number(&vendor), device: number(&device) })
}

/// Finds the BAR of the device at `address` and tries each way to map it, for at most [`BAR_MEASURE_TIME`] twice each.
///
/// # Errors
/// If there is none, or no way to map it.
pub(in crate::hypervisor) fn open(root: &Root, address: PciFunction) -> Result<(Bar, Survey), BarError> {
    let found = Found::new(root, address)?;
    let (survey, mut opened) = found.try_all(root);
    let Some(way) = survey.fastest() else {
        return Err(BarError::Unmappable(excuses(&survey)));
    };
    let at = opened.iter().position(|(opened, ..)| *opened == way).expect("a way with a figure was opened");
    let (_, file, bytes) = opened.swap_remove(at);
    let Found { region, presence, .. } = found;
    Ok((Bar { bytes, region, way, opened: file, presence }, survey))
}

/// What there is to say of the device at `address`, whatever works.
///
/// # Errors
/// If there is none, or it has no memory.
pub fn survey(root: &Root, address: PciFunction) -> Result<Survey, BarError> {
    Ok(Found::new(root, address)?.try_all(root).0)
}

/// Why each way does not work, in one line.
fn excuses(survey: &Survey) -> String {
    let excuse = |trial: &Trial| {
        let reason = trial.outcome.as_ref().err()?;
        Some(format!("{} {reason}", trial.way.name()))
    };
    survey.trials.iter().filter_map(excuse).collect::<Vec<_>>().join("; ")
}

/// A device with memory.
struct Found {
    address: PciFunction,
    region: Region,
    presence: Presence,
}

impl Found {
    fn new(root: &Root, address: PciFunction) -> Result<Self, BarError> {
        check_kind(root, address)?;
        let folder = root.pci_device(address);
        if !answers(&folder.join("config")) {
            return Err(BarError::Mute);
        }
        let path = folder.join("resource");
        let held = File::open(&path).map_err(|_| BarError::Absent)?;
        let text = sysfs::read(&path).map_err(|_| BarError::Absent)?;
        let region = Region::parse(&text).ok_or(BarError::Empty)?;
        let enable = folder.join("enable");
        // A device that was plugged in while the machine runs answers only once somebody has enabled it.
        if sysfs::read(&enable).is_ok_and(|enabled| enabled == "0") && fs::write(&enable, "1").is_err() {
            return Err(BarError::Disabled(enable));
        }
        Ok(Self { address, region, presence: Presence { path, held } })
    }

    /// Tries every way; those that work with what was opened and the bytes that it has.
    fn try_all(&self, root: &Root) -> (Survey, Vec<(Way, File, u64)>) {
        let (mut trials, mut opened) = (Vec::new(), Vec::new());
        for way in Way::ALL {
            let outcome = self.try_way(root, way).map(|(rate, file, bytes)| {
                opened.push((way, file, bytes));
                rate
            });
            trials.push(Trial { way, outcome });
        }
        let Self { address, region: Region { start, bytes }, .. } = *self;
        (Survey { address, bytes, start, trials }, opened)
    }

    fn try_way(&self, root: &Root, way: Way) -> Result<(u64, File, u64), String> {
        let folder = root.pci_device(self.address);
        let path = match way {
            Way::WriteCombining => folder.join("resource2_wc"),
            Way::Uncached => folder.join("resource2"),
            Way::Cached if self.region.start < ABOVE => {
                return Err("is not tried below 4 GiB, where it may be somebody else's memory".to_owned());
            }
            Way::Cached => root.memory(),
        };
        // Nothing that was put in the place of such a file may hold this up.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(|e| unopened(&e))?;
        let mapping =
            file.try_clone().map_err(MappingError::from).and_then(|file| self.region.map(way, file));
        let mapping = mapping.map_err(|error| error.to_string())?;
        let rate = measure(&mapping).map_err(|error| error.to_string())?;
        let bytes = mapping.length().map_err(|error| error.to_string())?;
        Ok((rate, file, bytes))
    }
}

const ABOVE: u64 = 1 << 32;

fn unopened(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not offered".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be opened by this user".to_owned(),
        _ => format!("cannot be opened: {error}"),
    }
}

/// Bytes per second that a sweep of `mapping` reads: the faster of two, since the first pays for pages that nobody has
/// touched yet.
fn measure(mapping: &Mapping) -> Result<u64, MappingError> {
    let length = usize::try_from(mapping.length()?).unwrap_or(usize::MAX);
    let rows = length.min(BAR_MEASURE_BYTES) / ROW_BYTES;
    let size = Size::new((ROW_BYTES / 4) as u16, rows as u16).ok_or(MappingError::Empty)?;
    let stride_bytes = ROW_BYTES as u32;
    let surface = Surface { size, stride_bytes, format: PixelFormat::Xrgb8888, offset_bytes: 0 };
    let (mut shadow, mut changed) = (vec![0; surface.shadow_bytes()], CellSet::new(size.grid()));
    let first = measure_once(mapping, &surface, &mut shadow, &mut changed)?;
    Ok(measure_once(mapping, &surface, &mut shadow, &mut changed)?.max(first))
}

fn measure_once(
    mapping: &Mapping,
    surface: &Surface,
    shadow: &mut [u8],
    changed: &mut CellSet,
) -> Result<u64, MappingError> {
    let start = clock::now();
    let (mut rows, mut spent) = (0, std::time::Duration::ZERO);
    while rows < surface.size.height && spent < BAR_MEASURE_TIME {
        let cells = usize::from(rows / CELL);
        mapping.sweep_rows(surface, cells..cells + 1, shadow, changed)?;
        rows = (rows + CELL).min(surface.size.height);
        spent = clock::now().saturating_since(start);
    }
    let bytes = u64::from(rows) * ROW_BYTES as u64;
    Ok(bytes * 1_000_000 / micros(spent).max(1))
}

const ROW_BYTES: usize = 4096;
const _: () = assert!(BAR_MEASURE_BYTES / ROW_BYTES <= u16::MAX as usize);

/// Bytes per second as people read them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bandwidth(pub u64);

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB/s", self.0 / 1_000_000)
    }
}
