//! Which files a server may open after its start: Landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};

use super::ConfineError;
use crate::hypervisor::SourceSpec;

/// The newest rules that this was written for; an older kernel keeps those that it knows.
const KNOWN: ABI = ABI::V5;

/// Folders and files that a server still needs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// Read, with all that is in them.
    pub read: Vec<PathBuf>,
    /// Read and written where they are there, with all that is in them; nothing is made.
    pub use_: Vec<PathBuf>,
    /// Folders in which files are made, replaced and removed.
    pub make: Vec<PathBuf>,
}

impl Places {
    /// What `sources` need, and those that may be attached later: devices, and what the kernel says of them.
    ///
    /// `None` where one is a `qemu:` source: that looks into another process, which no rule can allow.
    #[must_use]
    pub fn of_sources<'a>(sources: impl IntoIterator<Item = &'a SourceSpec>) -> Option<Self> {
        let mut places = Self { read: vec!["/proc".into(), "/sys".into()], ..Self::default() };
        places.use_ = vec!["/dev".into(), "/sys/bus/pci".into(), "/sys/devices".into()];
        for source in sources {
            match source {
                SourceSpec::Qemu(_) => return None,
                // Who paints it may replace it: the folder, not the file that is there now.
                SourceSpec::Shm(file) | SourceSpec::Xwd(file) => places.read.push(folder_of(file)),
                SourceSpec::Trace { path, .. } => places.read.push(folder_of(path)),
                SourceSpec::Fbdev(device) => places.use_.push(device.clone()),
                SourceSpec::Synthetic(_) => {}
            }
        }
        Some(places)
    }
}

/// The folder that a file stands in.
#[must_use]
pub fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => ".".into(),
    }
}

/// Forbids this thread, and those that it starts, all files but `places`. Says how well the kernel holds it to that.
///
/// Files that are open stay so. What the kernel does not know (before Linux 5.13: all of it) is not held.
///
/// # Errors
/// If the kernel refuses what it says it knows.
pub fn allow_only(places: &Places) -> Result<RulesetStatus, ConfineError> {
    let all = AccessFs::from_all(KNOWN);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write: BitFlags<AccessFs> = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let make = AccessFs::MakeReg | AccessFs::MakeSock | AccessFs::RemoveFile | AccessFs::Refer;
    // A place that is not there needs no rule.
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(&places.read, read))?
        .add_rules(path_beneath_rules(&places.use_, read | write))?
        .add_rules(path_beneath_rules(&places.make, read | write | make))?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_had_for_each_source() {
        let parse = |text: &str| text.parse::<SourceSpec>().expect("a source");
        let sources =
            ["trace:/a/b.lfpt", "shm:/c/d", "xwd:e", "fbdev:/dev/fb0", "synthetic:scroll"].map(parse);
        let places = Places::of_sources(&sources).expect("no guest");
        for folder in ["/a", "/c", "."] {
            assert!(places.read.contains(&folder.into()), "{folder}: {places:?}");
        }
        assert!(places.use_.contains(&"/dev/fb0".into()));
        assert!(places.make.is_empty());
        assert_eq!(Places::of_sources(&[parse("qemu:/run/q")]), None);
    }
}
