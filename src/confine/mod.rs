//! What a server that has started may still do: few system calls (`calls`), few files (`files`).
//!
//! A fault in what parses a guest's pixels or a stranger's packets must not be a door to the machine. Both hold for
//! the rest of the process's life, cannot be taken back, and need no privilege.

mod calls;
mod files;

pub use calls::{ALLOWED, Call, forbid_other_calls};
pub use files::{Places, allow_only, folder_of};
pub use landlock::RulesetStatus;

/// Why a server could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The filter of system calls.
    #[error(
        "cannot forbid system calls: {0}; a kernel without seccomp filters needs a server without --confine"
    )]
    Calls(String),
    /// The rules for files.
    #[error("cannot forbid files: {0}")]
    Files(#[from] landlock::RulesetError),
}
