//! Finding a file again: sources that are named by a path come and go.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::limits::{REDISCOVER_INTERVAL, TEXT_MAX};
use crate::time::Instant;
use lfp_proto::frame::SurfaceState;

use super::View;

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
        self.identity = Some(identity(&file.metadata()?));
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
            std::io::ErrorKind::NotFound => self.dark(SurfaceState::Gone, "does not exist"),
            _ => self.dark(SurfaceState::Faulty, &format!("cannot be opened: {error}")),
        }
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
