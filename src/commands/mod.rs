//! What the words of the command line do.

pub mod check_config;
pub mod explain;
pub mod fingerprint;
pub mod host;
pub mod inspect;
pub mod play;
pub mod record;
pub mod serve;
mod support;

pub use support::CommandError;
