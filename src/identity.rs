//! The server's key: made at its first start, kept in a file that nobody else may read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lfp_proto::identity::{PublicKey, Secret};
use nix::unistd::geteuid;

/// The file, in the state directory.
const FILE: &str = "server.key";
/// What its only line begins with, before the key's 64 hexadecimal digits.
const MARK: &str = "lfp-server-key-1 ";
/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 256;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nothing says where to keep it.
    #[error(
        "no directory for the server's key: there is no $HOME; name one with --state-dir or \"state_dir\""
    )]
    Nowhere,
    /// The directory or the file cannot be made.
    #[error("the server's key cannot be kept in {path}: {error}; name another directory with --state-dir or \"state_dir\"", path = path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is there and cannot be read.
    #[error("the server's key in {path} cannot be read: {error}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error(
        "the server's key in {path} is open to others (mode {mode:04o}, owner {owner}): if nobody can have read it, make it \
         this user's and `chmod 600` it; if not, remove it, and clients will be told that the server has another",
        path = path.display()
    )]
    Loose {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its owner's number.
        owner: u32,
    },
    /// The file holds something else.
    #[error("{path} holds no key of a server; remove it, or name another directory with --state-dir", path = path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("no random bytes from the system: {0}")]
    Random(#[from] getrandom::Error),
}

/// The server's key, and where it is kept.
#[derive(Debug)]
pub struct Identity {
    /// The key.
    pub key: Secret,
    /// Its file.
    pub path: PathBuf,
    /// It was made just now.
    pub is_new: bool,
}

impl Identity {
    /// The key in directory `dir`, or where a server keeps it if none is named; made if there is none.
    ///
    /// # Errors
    /// If it cannot be read or made, or others may read it.
    pub fn open(dir: Option<&Path>) -> Result<Self, IdentityError> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => default_dir().ok_or(IdentityError::Nowhere)?,
        };
        let path = dir.join(FILE);
        if let Some(key) = read(&path)? {
            return Ok(Self { key, path, is_new: false });
        }
        let made = make(&dir, &path).map_err(|error| match error {
            Making::Random(error) => IdentityError::Random(error),
            Making::Io(error) => IdentityError::Unwritable { path: dir, error },
        })?;
        // Another server may have been first.
        let key = read(&path)?.ok_or_else(|| IdentityError::Foreign { path: path.clone() })?;
        Ok(Self { key, path, is_new: made })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }
}

/// Where a server keeps its state unless told otherwise: what the service manager says, then what the user's environment
/// says, then the place for it.
fn default_dir() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // A service manager may name several; the first is ours.
    let managed = std::env::var("STATE_DIRECTORY").ok();
    let managed = managed.and_then(|list| list.split(':').next().map(PathBuf::from));
    managed
        .filter(|path| path.is_absolute())
        .or_else(|| named("XDG_STATE_HOME").map(|home| home.join("lfp")))
        .or_else(|| geteuid().is_root().then(|| PathBuf::from("/var/lib/lfp")))
        .or_else(|| named("HOME").map(|home| home.join(".local/state/lfp")))
}

/// The key in the file at `path`, if there is one.
fn read(path: &Path) -> Result<Option<Secret>, IdentityError> {
    let unreadable = |error| IdentityError::Unreadable { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    let about = file.metadata().map_err(unreadable)?;
    let (mode, owner) = (about.mode() & 0o7777, about.uid());
    if mode & 0o077 != 0 || owner != geteuid().as_raw() {
        return Err(IdentityError::Loose { path: path.to_owned(), mode, owner });
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let digits = text.strip_prefix(MARK).map(str::trim_end);
    let key = digits.and_then(|digits| digits.parse::<PublicKey>().ok());
    let key = key.ok_or_else(|| IdentityError::Foreign { path: path.to_owned() })?;
    Ok(Some(Secret::new(key.0)))
}

enum Making {
    Io(io::Error),
    Random(getrandom::Error),
}

/// Makes a key and its file. Says whether the file is this one: another process may make one at the same moment, and then
/// that is the key of both.
fn make(dir: &Path, path: &Path) -> Result<bool, Making> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Making::Io)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(Making::Random)?;
    // The public key's text form is the same: 64 hexadecimal digits.
    let line = format!("{MARK}{}\n", PublicKey(key));
    let draft = dir.join(format!("{FILE}.{}", std::process::id()));
    // Of a process of this number, which has ended: at every boot of an appliance the server has the same.
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| give_name(&draft, path));
    let removed = match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    match written {
        // The name is as lasting as the key: a machine that is reset now has it.
        Ok(()) => removed.and_then(|()| File::open(dir)?.sync_all()).map(|()| true).map_err(Making::Io),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => Ok(false),
        Err(error) => Err(Making::Io(error)),
    }
}

/// Gives `draft` its name, unless something else has it.
fn give_name(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        // FAT knows no links.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            if path.exists() { Err(ErrorKind::AlreadyExists.into()) } else { fs::rename(draft, path) }
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_for_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("a/b");
        let first = Identity::open(Some(&dir)).unwrap();
        assert!(first.is_new);
        assert_eq!(fs::metadata(&first.path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        let second = Identity::open(Some(&dir)).unwrap();
        assert!(!second.is_new);
        assert_eq!(first.key, second.key);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no draft is left");
        // One that a machine has left which was reset is in nobody's way.
        fs::write(dir.join(format!("{FILE}.{}", std::process::id())), "half").unwrap();
        fs::remove_file(&first.path).unwrap();
        assert!(Identity::open(Some(&dir)).unwrap().is_new);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        let other = Identity::open(Some(&place.path().join("c"))).unwrap();
        assert_ne!(first.key, other.key);
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = Identity::open(Some(place.path())).unwrap().path;
        for mode in [0o640, 0o604, 0o660, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Identity::open(Some(place.path())).unwrap_err();
            assert!(matches!(error, IdentityError::Loose { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for wrong in ["", "lfp-server-key-1 00\n", "something else"] {
            fs::write(&path, wrong).unwrap();
            let error = Identity::open(Some(place.path())).unwrap_err();
            assert!(matches!(error, IdentityError::Foreign { .. }), "{error}");
        }
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Identity::open(Some(&file.join("dir"))).unwrap_err();
        assert!(error.to_string().contains("--state-dir"), "{error}");
    }
}
