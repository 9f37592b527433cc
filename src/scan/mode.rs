//! How a source is looked at, and who decides.
//!
//! The connection engine says through a `Demand` how fast a source is watched, and by which strategy; the pipeline makes
//! of it whether the source is scanned, paused or released, and the scanner which way it is scanned, tick by tick:
//!
//! | mode | when | what is read |
//! | --- | --- | --- |
//! | notified | the source says what changed | that, in whole rows of cells |
//! | sweep | it does not, and something happened lately, or is expected to | everything |
//! | probe | it does not, and nothing happened for [`PROBE_AFTER`] but where something happens all the time | every sixteenth row of pixels, and where something is likely |
//! | paused | nobody watches | nothing; the state is looked at |
//! | released | nobody has watched for [`crate::limits::RELEASE_AFTER`] | nothing; the memory is not mapped |

use serde::Deserialize;

#[cfg(doc)]
use crate::limits::PROBE_AFTER;

/// How a source is looked at now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// The whole surface, every tick.
    Sweep,
    /// The graduated trough: rows that take turns, and where something is likely. See [`crate::scan::trough`].
    Probe,
    /// What the source says has changed.
    Notified,
    /// Not at all; its state is followed.
    #[default]
    Paused,
    /// Not at all, and its memory is not mapped.
    Released,
}

impl Mode {
    /// The name that status and logs know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Probe => "probe",
            Self::Notified => "notified",
            Self::Paused => "paused",
            Self::Released => "released",
        }
    }
}

/// How a source that is watched is to be scanned, where it does not say itself what changed. Of two that are wanted for
/// one source the larger holds: who wants to see more is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Always by probing: least memory is read; a small change that nothing announces is seen within 16 ticks.
    Probe,
    /// By sweeping while something happens, by probing when nothing does.
    #[default]
    Auto,
    /// Always the whole surface.
    Sweep,
}

impl Strategy {
    /// Its word in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Auto => "auto",
            Self::Sweep => "sweep",
        }
    }
}
