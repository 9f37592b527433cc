//! The host's side of appliances: one process on each hypervisor host, which holds the guests' monitors and gives
//! appliances something narrow.
//!
//! A monitor (QMP) can run commands on the host, so no appliance is ever given one. Here every guest's monitor is
//! followed by the control thread, and each appliance has a private port per guest ([`crate::channel::guest`]): mode,
//! state and events up, input and permitted power down. What has to be plugged into a running appliance goes through
//! the appliance's own monitor, in a thread of each appliance. `docs/APPLIANCE.md` has the words, and whom to trust.

mod appliance;
mod commands;
mod config;
mod dir;
mod guests;
mod memory;
mod port;
mod run;
mod switch;
pub mod words;

pub use commands::ask;
pub use config::{ApplianceConfig, GuestConfig, HostConfig};
pub use dir::{HostDir, default_dir};
pub use run::Host;

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;

/// Why the host's side could not start, go on, or be asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Nothing says where its sockets are.
    #[error("no directory for the host's sockets: there is no $XDG_RUNTIME_DIR; name one with --dir")]
    Nowhere,
    /// Its directory, or a socket there, cannot be made.
    #[error("{path} cannot be used: {error}; name another directory with --dir", path = path.display())]
    Dir {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The directory is somebody else's, or no directory.
    #[error("{path} is not a directory of this user's alone (mode 0700): name another with --dir, which is made if it is not there, or remove it", path = .0.display())]
    Foreign(PathBuf),
    /// Another one runs.
    #[error("another `lfp-server host run` uses {path}; stop it, or name another directory with --dir", path = .0.display())]
    Running(PathBuf),
    /// None runs.
    #[error("no `lfp-server host run` answers at {path}: {error}; start one, or name its directory with --dir", path = path.display())]
    Absent {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It ended before it answered, or said what cannot be understood.
    #[error("`lfp-server host run` did not answer: {0}")]
    Unanswered(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing to do.
    #[error("no guest: name one with --guest NAME=QMP or in --config, or let them be found with --discover")]
    Nothing,
    /// The system refused something that it needs.
    #[error("cannot go on: {0}")]
    System(#[from] io::Error),
}
