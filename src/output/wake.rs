//! What ends the network thread's wait besides datagrams and deadlines.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::eventfd::{EfdFlags, EventFd};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Wakes the network thread from any other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// A waker that nobody waits on yet.
    ///
    /// # Errors
    /// If the kernel has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, flags)?)))
    }

    /// Ends the wait, or the next one if there is none now.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then the wait ends anyway.
        let _ = self.0.write(1);
    }

    /// Takes back what [`Waker::wake`] did.
    pub(super) fn settle(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGINT and SIGTERM as something to wait on. A second signal ends the process at once.
#[derive(Debug)]
pub struct StopSignals {
    pipe: UnixStream,
}

impl StopSignals {
    /// Takes over both signals.
    ///
    /// # Errors
    /// If the kernel refuses a handler or a file descriptor.
    pub fn install() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stopping))?;
            signal_hook::flag::register(signal, Arc::clone(&stopping))?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { pipe })
    }

    /// Whether a signal has come since the last call.
    pub fn take(&mut self) -> bool {
        let mut bytes = [0; 16];
        matches!(self.pipe.read(&mut bytes), Ok(count) if count > 0)
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
