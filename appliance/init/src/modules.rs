//! Kernel modules: which of the image's a device needs, and loading them.
//!
//! The build writes the catalogue, a line each: the name, what it needs first (with commas, or `-`), and the patterns of
//! devices that it drives, as they stand in the module itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

const FOLDER: &str = "/lib/modules";
/// Patterns that say "at every boot".
const ALWAYS: &str = "always";
/// Longest chain of modules that need each other, and most rounds of devices that appear behind devices.
const DEPTH_MAX: usize = 8;

/// The image's modules.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    all: Vec<Module>,
    loaded: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Module {
    name: String,
    needs: Vec<String>,
    patterns: Vec<String>,
}

impl Modules {
    /// Those of the image.
    pub(crate) fn open() -> Self {
        let text = fs::read_to_string(Path::new(FOLDER).join("list")).unwrap_or_default();
        Self { all: parse(&text), loaded: BTreeSet::new() }
    }

    /// Loads what every machine needs, and what the devices need that are there. Gives what could not be loaded.
    pub(crate) fn load_for_all_devices(&mut self) -> Vec<String> {
        let mut failed = self.load_for(ALWAYS);
        // A controller that gets its driver shows more devices.
        for _ in 0..DEPTH_MAX {
            let before = self.loaded.len();
            for alias in present() {
                failed.extend(self.load_for(&alias));
            }
            if self.loaded.len() == before {
                break;
            }
        }
        failed
    }

    /// Loads what drives the device with this `modalias`. Gives what could not be loaded.
    pub(crate) fn load_for(&mut self, alias: &str) -> Vec<String> {
        let fits = |module: &&Module| module.patterns.iter().any(|pattern| matches(pattern, alias));
        let names: Vec<_> = self.all.iter().filter(fits).map(|module| module.name.clone()).collect();
        names.iter().filter_map(|name| self.load(name).err()).collect()
    }

    /// Loads a module by name, and before it what it needs. What the image does not have is built into the kernel.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub(crate) fn load(&mut self, name: &str) -> Result<(), String> {
        self.load_at(name, 0)
    }

    fn load_at(&mut self, name: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX || self.loaded.contains(name) {
            return Ok(());
        }
        let Some(module) = self.all.iter().find(|module| module.name == name) else { return Ok(()) };
        for needed in module.needs.clone() {
            self.load_at(&needed, depth + 1)?;
        }
        // Once tried is enough: what fails now fails again.
        self.loaded.insert(name.to_owned());
        let path = Path::new(FOLDER).join(format!("{name}.ko"));
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(format!("module {name}: {error}")),
        }
    }
}

/// The `modalias` of every device that there is.
fn present() -> Vec<String> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(Path::new("/sys/bus"))
        .flat_map(|bus| entries(&bus.join("devices")).collect::<Vec<_>>())
        .filter_map(|device| fs::read_to_string(device.join("modalias")).ok())
        .map(|alias| alias.trim_end().to_owned())
        .collect()
}

fn parse(text: &str) -> Vec<Module> {
    let module = |line: &str| {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let name = words.next()?;
        let needs = words.next()?;
        let needs = needs.split(',').filter(|need| *need != "-").map(str::to_owned).collect();
        Some(Module { name, needs, patterns: words.collect() })
    };
    text.lines().filter_map(module).collect()
}

/// Whether `text` fits `pattern`: `*` stands for any characters, `?` for one, `[..]` for one of those named.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = one(&pattern[p.min(pattern.len())..], text[t]) {
            p += next;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&rest| rest == b'*')
}

/// How many bytes of `pattern` stand for `byte`; `None`: it does not fit.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let end = pattern.iter().position(|&c| c == b']')?;
            let set = &pattern[1..end];
            let ranges = set.windows(3).any(|w| w[1] == b'-' && (w[0]..=w[2]).contains(&byte));
            (ranges || set.contains(&byte)).then_some(end + 1)
        }
        literal => (literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_find_their_drivers() {
        let nic = "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00";
        assert!(matches("pci:v00001AF4d*sv*sd*bc*sc*i*", nic));
        assert!(!matches("pci:v00008086d*sv*sd*bc*sc*i*", nic));
        assert!(matches("virtio:d00000001v*", "virtio:d00000001v00001AF4"));
        assert!(matches("acpi*:PNP0C0C:*", "acpi:PNP0C0C:"));
        assert!(matches("scsi:t-0x0[0-7]*", "scsi:t-0x05"));
        assert!(!matches("scsi:t-0x0[0-7]*", "scsi:t-0x08"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(!matches("a[b", "ab"), "a set without an end fits nothing");
        assert!(matches("*", "") && matches("", "") && !matches("", "x"));
    }

    #[test]
    fn the_catalogue_reads_as_the_build_writes_it() {
        let modules = parse("virtio_pci - pci:v00001AF4d*\nvfat fat,nls_ascii\n\n");
        assert_eq!(modules.len(), 2);
        assert_eq!(modules[0].patterns, ["pci:v00001AF4d*"]);
        assert_eq!(modules[1].needs, ["fat", "nls_ascii"]);
        assert!(modules[0].needs.is_empty() && modules[1].patterns.is_empty());
    }
}
