//! The directory of the host's sockets: nobody's but its user's.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use super::HostError;

/// Where the socket for commands is, in the directory.
pub(super) const COMMANDS: &str = "host.sock";
const PORTS: &str = "ports";
const ATTACHED: &str = "attached.json";

/// Where the host's sockets are if nobody says otherwise: `/run/lfp-host` for root, `lfp-host` of
/// `$XDG_RUNTIME_DIR` for others.
///
/// # Errors
/// If there is no such variable.
pub fn default_dir() -> Result<PathBuf, HostError> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/run/lfp-host"));
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    runtime.map(|dir| PathBuf::from(dir).join("lfp-host")).ok_or(HostError::Nowhere)
}

/// The directory, held by this process alone.
#[derive(Debug)]
pub struct HostDir {
    path: PathBuf,
    /// Goes with the process.
    _lock: Flock<File>,
}

impl HostDir {
    /// Makes it, if it is not there, and takes it.
    ///
    /// # Errors
    /// If it cannot be made, is not this user's, or another process has it.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, error))?;
        make(&path)?;
        let file = path.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
        let lock = lock.map_err(|error| unusable(&file, error))?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(HostError::Running(path)),
            Err((_, errno)) => Err(unusable(&file, errno.into())),
        }
    }

    /// Where commands are taken.
    pub(super) fn commands(&self) -> PathBuf {
        self.path.join(COMMANDS)
    }

    /// Listens for commands.
    pub(super) fn listen_for_commands(&self) -> Result<UnixListener, HostError> {
        listen(&self.commands())
    }

    /// Where it stands what is attached.
    pub(super) fn attached(&self) -> PathBuf {
        self.path.join(ATTACHED)
    }

    /// Where the port of `guest` for `appliance` is, whose names are such.
    pub(super) fn port(&self, appliance: &str, guest: &str) -> PathBuf {
        self.path.join(PORTS).join(appliance).join(format!("{guest}.sock"))
    }

    /// Listens there.
    pub(super) fn listen_at_port(&self, appliance: &str, guest: &str) -> Result<UnixListener, HostError> {
        make(&self.path.join(PORTS))?;
        make(&self.path.join(PORTS).join(appliance))?;
        listen(&self.port(appliance, guest))
    }
}

/// Makes a directory that is its user's alone; one that is there has to be.
fn make(path: &Path) -> Result<(), HostError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(path, error)),
        _ => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| unusable(path, error))?;
    let is_private = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    if metadata.is_dir() && is_private { Ok(()) } else { Err(HostError::Foreign(path.to_owned())) }
}

/// Listens at `path`, in a directory of ours: what is there was left by a process that has ended.
fn listen(path: &Path) -> Result<UnixListener, HostError> {
    let listening = || -> io::Result<UnixListener> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listening().map_err(|error| unusable(path, error))
}

pub(super) fn unusable(path: &Path, error: io::Error) -> HostError {
    HostError::Dir { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_it_and_nobody_else_looks_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("host");
        let dir = HostDir::open(&path).expect("made");
        assert!(matches!(HostDir::open(&path), Err(HostError::Running(_))));
        let _port = dir.listen_at_port("svm", "web").expect("listens");
        for (path, mode) in [
            (path.clone(), 0o700),
            (path.join("ports"), 0o700),
            (path.join("ports/svm"), 0o700),
            (dir.port("svm", "web"), 0o600),
        ] {
            let found = fs::symlink_metadata(&path).expect("there").mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
        drop(dir);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("opened up");
        assert!(matches!(HostDir::open(&path), Err(HostError::Foreign(_))), "it may be others' as well");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o755, "it is left as it is");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("closed");
        let dir = HostDir::open(&path).expect("taken again");
        let _again = dir.listen_at_port("svm", "web").expect("what was left is removed");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        assert!(matches!(HostDir::open(&link), Err(HostError::Foreign(_))));
    }
}
