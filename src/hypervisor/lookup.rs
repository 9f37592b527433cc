//! Finding a file again: sources that are named by a path come and go.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::limits::{REDISCOVER_INTERVAL, TEXT_MAX};
use crate::time::Instant;
use lfp_proto::frame::SurfaceState;

use super::{SourceError, View};

/// A path, and which file it led to when last looked at. Looks at most every [`REDISCOVER_INTERVAL`].
#[derive(Debug)]
pub(super) struct Lookup {
    path: PathBuf,
    next: Instant,
    /// Device and inode of the file that was opened.
    identity: Option<(u64, u64)>,
}

impl Lookup {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, next: Instant::ZERO, identity: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is time to look; if so, the next time is an interval away.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + REDISCOVER_INTERVAL;
        }
        due
    }

    /// Look as soon as asked again.
    pub(super) fn hurry(&mut self) {
        self.next = Instant::ZERO;
    }

    /// Opens the file for reading.
    pub(super) fn open(&mut self) -> std::io::Result<File> {
        self.identity = None;
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.identity = Some(identity(&metadata));
        Ok(file)
    }

    /// Whether the path still leads to the file that was opened.
    pub(super) fn is_same(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok();
        self.identity.is_some() && now.as_ref().map(identity) == self.identity
    }

    /// A dark view that begins with the path; `text` goes on with what is wrong and what to do.
    pub(super) fn dark(&self, state: SurfaceState, text: &str) -> View {
        dark(state, &format!("{} {text}", self.path.display()))
    }

    /// What a failure to open means.
    pub(super) fn dark_unopened(&self, error: &std::io::Error) -> View {
        match error.kind() {
            ErrorKind::NotFound => self.dark(SurfaceState::Gone, "does not exist"),
            ErrorKind::IsADirectory => {
                self.dark(SurfaceState::Faulty, "is a directory; name the file in it that is meant")
            }
            _ => self.dark(SurfaceState::Faulty, &format!("cannot be opened: {error}")),
        }
    }
}

/// A path and what was made of the file that it led to: what sources of one file have in common.
#[derive(Debug)]
pub(super) struct Kept<T> {
    lookup: Lookup,
    open: Option<T>,
    /// What was said when last looked for in vain.
    dark: View,
}

impl<T> Kept<T> {
    /// Nothing is opened before the first look.
    pub(super) fn new(path: PathBuf) -> Self {
        let lookup = Lookup::new(path);
        let dark = lookup.dark(SurfaceState::Connecting, "has not been looked at yet");
        Self { lookup, open: None, dark }
    }

    /// If it is time to look and the path leads to another file than before, has `make` make something of it.
    pub(super) fn look(
        &mut self,
        now: Instant,
        make: impl FnOnce(File) -> Result<T, (SurfaceState, String)>,
    ) {
        if !self.lookup.is_due(now) || (self.open.is_some() && self.lookup.is_same()) {
            return;
        }
        self.open = None;
        match self.lookup.open().map(make) {
            Ok(Ok(made)) => self.open = Some(made),
            Ok(Err((state, text))) => self.dark = self.lookup.dark(state, &text),
            Err(error) => self.dark = self.lookup.dark_unopened(&error),
        }
    }

    pub(super) const fn open(&self) -> Option<&T> {
        self.open.as_ref()
    }

    pub(super) const fn open_mut(&mut self) -> Option<&mut T> {
        self.open.as_mut()
    }

    /// What there is to show while nothing is open.
    pub(super) fn dark(&self) -> View {
        self.dark.clone()
    }

    /// What there is to show while what is open shows nothing; `text` goes on behind the path.
    pub(super) fn dark_as(&self, state: SurfaceState, text: &str) -> View {
        self.lookup.dark(state, text)
    }

    /// Lets go of what is open, for another look as soon as one is due.
    pub(super) fn gone(&mut self, text: &str) -> View {
        self.open = None;
        self.dark = self.lookup.dark(SurfaceState::Gone, text);
        self.dark()
    }

    /// Lets go of what is open, for another look at once.
    pub(super) fn reopen(&mut self) {
        self.open = None;
        self.lookup.hurry();
    }

    /// What a sweep of something that is not open says, or of memory that is lost, which is then let go of.
    pub(super) fn lost(&mut self, error: Option<&dyn std::error::Error>) -> SourceError {
        let Some(error) = error else { return SourceError::Lost("no view was live".to_owned()) };
        self.reopen();
        SourceError::Lost(format!("{} {error}", self.lookup.path().display()))
    }
}

/// A dark view, its text cut to what a frame carries.
pub(super) fn dark(state: SurfaceState, text: &str) -> View {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    View::Dark { state, text: text[..end].to_owned() }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let View::Dark { text, .. } = dark(SurfaceState::Gone, &"é".repeat(TEXT_MAX)) else {
            panic!("not dark");
        };
        assert_eq!(text.len(), TEXT_MAX);
        let View::Dark { text, .. } = dark(SurfaceState::Gone, &format!("x{}", "é".repeat(TEXT_MAX))) else {
            panic!("not dark");
        };
        assert_eq!(text.len(), TEXT_MAX - 1);
    }

    #[test]
    fn a_replaced_file_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut lookup = Lookup::new(path.clone());
        assert!(lookup.open().is_err() && !lookup.is_same());
        std::fs::write(&path, "a").expect("written");
        lookup.open().expect("opened");
        assert!(lookup.is_same());
        let other = folder.path().join("other");
        std::fs::write(&other, "b").expect("written");
        std::fs::rename(&other, &path).expect("renamed");
        assert!(!lookup.is_same());
        assert!(lookup.is_due(Instant::from_micros(5)) && !lookup.is_due(Instant::from_micros(6)));
        lookup.hurry();
        assert!(lookup.is_due(Instant::from_micros(6)));
    }
}
