//! Where the control channel is: a virtio port, or a Unix socket that is listened on.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::fcntl::OFlag;

/// Where the kernel lists virtio ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// The place of a control channel, from the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// `port:NAME`: the virtio port of that name.
    Named(String),
    /// A character device, which is opened; or else the Unix socket to be made there, which is listened on.
    At(PathBuf),
}

impl FromStr for Endpoint {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("port:") {
            Some(name) => Self::Named(name.to_owned()),
            None => Self::At(text.into()),
        })
    }
}

/// Why there is no control channel.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The socket cannot be made.
    #[error("cannot listen for the control channel on {path}: {error}; name another file with --control", path = .path.display())]
    Unmade {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The system has no thread or file descriptor left.
    #[error("cannot attend to the control channel: {0}")]
    System(#[from] io::Error),
}

/// A control channel, opened.
#[derive(Debug)]
pub(super) enum Opened {
    /// Conversations come by this socket.
    Listener(Listening),
    /// There is one, by the port that may be there now or later.
    Port(Port),
}

/// A socket that is removed when nobody listens any more.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

/// How to find a port.
#[derive(Debug)]
pub(super) struct Port {
    endpoint: Endpoint,
    /// What was wrong with it was said.
    is_said: bool,
}

impl Endpoint {
    /// Listens where a socket is to be. A port is opened later: it may come later, too.
    pub(super) fn open(&self) -> Result<Opened, EndpointError> {
        let is_device =
            |path: &Path| fs::metadata(path).is_ok_and(|there| there.file_type().is_char_device());
        match self {
            Self::At(path) if !is_device(path) => {
                let unmade = |error| EndpointError::Unmade { path: path.clone(), error };
                Ok(Opened::Listener(Listening::at(path).map_err(unmade)?))
            }
            _ => Ok(Opened::Port(Port { endpoint: self.clone(), is_said: false })),
        }
    }
}

impl Listening {
    fn at(path: &Path) -> io::Result<Self> {
        let is_left = match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                let answer = UnixStream::connect(path);
                answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            }
            _ => false,
        };
        if is_left {
            // A server that was killed has left it behind.
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let listening = Self { listener, path: path.to_owned() };
        // Whoever may write to it decides what is served.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listening.listener.set_nonblocking(true)?;
        Ok(listening)
    }

    /// The next who wants a conversation.
    pub(super) fn accept(&self) -> Option<File> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(File::from(OwnedFd::from(stream)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have been removed, which is as well.
        let _ = fs::remove_file(&self.path);
    }
}

impl Port {
    /// The port, if it is there and can be opened; what is in the way is logged once.
    pub(super) fn open(&mut self) -> Option<File> {
        let opened = match &self.endpoint {
            Endpoint::Named(name) => find_port(Path::new(PORTS), name).and_then(|path| open_device(&path)),
            Endpoint::At(path) => open_device(path),
        };
        match opened {
            Ok(file) => {
                self.is_said = false;
                Some(file)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_said, true) {
                    self.say(&error);
                }
                None
            }
        }
    }

    fn say(&self, error: &io::Error) {
        match &self.endpoint {
            // A machine without the port does what its configuration says. It may be given one while it runs.
            Endpoint::Named(_) if error.kind() == io::ErrorKind::NotFound => {
                tracing::info!(%error, "no control channel so far");
            }
            _ => tracing::warn!(%error, "no control channel yet; it is tried again"),
        }
    }
}

fn open_device(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The device of the virtio port `name`, by what is in `ports`: a folder each, with the port's name in the file `name`.
pub(super) fn find_port(ports: &Path, name: &str) -> io::Result<PathBuf> {
    let absent = || {
        let text = format!("there is no virtio port {name:?} in {}", ports.display());
        io::Error::new(io::ErrorKind::NotFound, text)
    };
    let folders = fs::read_dir(ports).map_err(|_| absent())?;
    for folder in folders.filter_map(Result::ok) {
        let said = fs::read_to_string(folder.path().join("name")).unwrap_or_default();
        if said.trim_end() == name {
            return Ok(Path::new("/dev").join(folder.file_name()));
        }
    }
    Err(absent())
}
