//! How the program ends.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why the program did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for nothing that there is.
    Usage(String),
    /// There was no session: the text says what was tried, why it failed, what to do.
    NoSession(String),
    /// The session ended before its time.
    Ended(String),
    /// The picture did not settle in time.
    NotSettled(String),
    /// Not all keys and mouse events reached the guest.
    Input(String),
    /// The server is another than the one that is known: the text shows both fingerprints and says what to do.
    WrongKey(String),
    /// A file could not be read.
    Unread {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// A file could not be written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
}

impl Failure {
    pub(crate) fn file(path: impl Into<PathBuf>, error: impl fmt::Display) -> Self {
        Self::File { path: path.into(), error: error.to_string() }
    }

    pub(crate) fn unread(path: impl Into<PathBuf>, error: impl fmt::Display) -> Self {
        Self::Unread { path: path.into(), error: error.to_string() }
    }

    /// The exit code; the table stands in the help text. Wrong usage is 2 in every program of the project.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NoSession(_) => 1,
            Self::Usage(_) => 2,
            Self::Ended(_) => 3,
            Self::NotSettled(_) => 4,
            Self::File { .. } | Self::Unread { .. } => 5,
            Self::Input(_) => 6,
            Self::WrongKey(_) => 7,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text}; `client-lfp --help` lists what there is"),
            Self::NoSession(text)
            | Self::Ended(text)
            | Self::NotSettled(text)
            | Self::Input(text)
            | Self::WrongKey(text) => f.write_str(text),
            Self::Unread { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::File { path, error } => write!(f, "cannot write {}: {error}", path.display()),
        }
    }
}
