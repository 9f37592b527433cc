//! The control thread: holds every guest's monitor or port and waits for all of them at once, so that a slow or silent
//! one holds up nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use super::accepted::{Accepted, Reports};
use super::ivshmem::{self, IvshmemSpec};
use super::qemu::{self, Followed, InputCounters, QemuSource, Readiness, Slot};
use super::{Action, Root, SourceId};
use crate::clock;
use crate::limits::{CONTROL_STOP_GRACE, QMP_READ_BYTES};
use crate::time::Instant;

mod peer;
#[cfg(test)]
pub(super) mod tests;

use peer::Peer;

/// A handle of the control thread. Cheap to clone; the thread ends with the last one, or at [`Control::stop`].
#[derive(Clone, Debug)]
pub struct Control(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    waker: Arc<EventFd>,
    is_stopping: AtomicBool,
    /// Those that the thread has not taken over yet.
    arriving: Mutex<Vec<Peer>>,
    slots: Mutex<BTreeMap<SourceId, Arc<Slot>>>,
    /// Actions for sources that take none.
    astray: AtomicU64,
    reports: Arc<Reports>,
}

impl Control {
    /// Starts the thread. `wake` is called, from that thread, when there is something to [`Control::poll_accepted`],
    /// or news of a guest that is followed.
    ///
    /// # Errors
    /// If the system has no thread or file descriptor left.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let shared = Arc::new(Shared {
            waker: Arc::new(EventFd::from_value_and_flags(0, flags)?),
            is_stopping: AtomicBool::new(false),
            arriving: Mutex::default(),
            slots: Mutex::default(),
            astray: AtomicU64::new(0),
            reports: Arc::new(Reports::new(wake)),
        });
        let run = Arc::clone(&shared);
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || run_peers(&run))?;
        Ok(Self(Arc::new(Owner { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Follows the guest whose QMP socket is at `path` until the source returned is dropped. Never fails: what is
    /// wrong is what the source shows. A source that had the same id before gets no more actions.
    #[must_use]
    pub fn watch(&self, id: SourceId, path: PathBuf) -> QemuSource {
        let shared = &self.0.shared;
        let (source, guest, slot) = qemu::watch(path, Arc::clone(&shared.waker), Arc::clone(&shared.reports));
        shared.take(id, slot, Peer::Monitor(Box::new(guest)));
        source
    }

    /// Follows the guest whose memory is a device of this machine, as [`Control::watch`] does.
    #[must_use]
    pub fn watch_device(&self, id: SourceId, spec: IvshmemSpec) -> QemuSource {
        self.watch_device_of(&Root::chosen(), id, spec)
    }

    /// [`Control::watch_device`] of a machine of files.
    #[must_use]
    pub fn watch_device_of(&self, root: &Root, id: SourceId, spec: IvshmemSpec) -> QemuSource {
        let shared = &self.0.shared;
        let (waker, reports) = (Arc::clone(&shared.waker), Arc::clone(&shared.reports));
        let (source, port, slot) = ivshmem::watch(spec, root.clone(), waker, reports);
        shared.take(id, slot, Peer::Port(Box::new(port)));
        source
    }

    /// As [`Control::watch`], for somebody who has no use for the pixels.
    #[must_use]
    pub fn follow(&self, id: SourceId, path: PathBuf) -> Followed {
        let shared = &self.0.shared;
        let (followed, guest, slot) =
            qemu::follow(path, Arc::clone(&shared.waker), Arc::clone(&shared.reports));
        shared.take(id, slot, Peer::Monitor(Box::new(guest)));
        followed
    }

    /// Hands an action to its source's guest. Actions of one source are done in order; what is too much or too old
    /// is dropped and counted, releases never are. Never blocks.
    pub fn act(&self, action: Action) {
        let slot = lock(&self.0.shared.slots).get(&action.source).map(Arc::clone);
        match slot {
            Some(slot) => slot.act(action),
            None => drop(self.0.shared.astray.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The oldest action with a number that was accepted, each once. Sources that take no input accept none.
    #[must_use]
    pub fn poll_accepted(&self) -> Option<Accepted> {
        self.0.shared.reports.next()
    }

    /// How the input of a source fares; `None` if it is one that takes no input.
    #[must_use]
    pub fn input(&self, id: SourceId) -> Option<InputCounters> {
        lock(&self.0.shared.slots).get(&id).map(|slot| slot.counters())
    }

    /// Actions so far that were never done: those of every source, and those for sources that take no input.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let slots = lock(&self.0.shared.slots);
        let of_sources: u64 = slots.values().map(|slot| slot.counters().dropped).sum();
        of_sources + self.0.shared.astray.load(Ordering::Relaxed)
    }

    /// Releases every key and button that is held in a guest, for at most
    /// [`CONTROL_STOP_GRACE`], closes the monitors and ends the thread.
    /// Does nothing the second time.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Owner {
    fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        self.shared.wake();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the control thread has panicked");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn take(&self, id: SourceId, slot: Arc<Slot>, peer: Peer) {
        lock(&self.slots).insert(id, slot);
        lock(&self.arriving).push(peer);
        self.wake();
    }

    fn wake(&self) {
        // It fails only when the counter is full, and then the thread is woken anyway.
        let _ = self.waker.write(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_peers(shared: &Shared) {
    let mut peers: Vec<Peer> = Vec::new();
    let mut scratch = vec![0; QMP_READ_BYTES];
    let mut stopping: Option<Instant> = None;
    loop {
        peers.append(&mut lock(&shared.arriving));
        let before = peers.len();
        peers.retain(|peer| !peer.is_closed() || !peer.is_idle());
        if peers.len() != before {
            lock(&shared.slots).retain(|_, slot| !slot.is_closed());
        }
        let now = clock::now();
        if stopping.is_none() && shared.is_stopping.load(Ordering::Relaxed) {
            stopping = Some(now + CONTROL_STOP_GRACE);
            peers.iter_mut().for_each(|peer| peer.release_all(now));
        }
        peers.iter_mut().for_each(|peer| peer.on_tick(now));
        if stopping.is_some_and(|end| now >= end || peers.iter().all(Peer::is_idle)) {
            return;
        }
        let wake_at = peers.iter().map(Peer::deadline).chain(stopping).min();
        let ready = wait(shared, &peers, wake_at);
        let now = clock::now();
        for (peer, ready) in peers.iter_mut().zip(ready) {
            if ready.readable || ready.writable {
                peer.on_ready(now, ready, &mut scratch);
            }
        }
    }
}

/// Waits for a monitor or port, the waker, or `until`. Says what each one's socket is ready for.
fn wait(shared: &Shared, peers: &[Peer], until: Option<Instant>) -> Vec<Readiness> {
    let mut fds = vec![PollFd::new(shared.waker.as_fd(), PollFlags::POLLIN)];
    for (socket, wants_room) in peers.iter().filter_map(Peer::socket) {
        let room = if wants_room { PollFlags::POLLOUT } else { PollFlags::empty() };
        fds.push(PollFd::new(socket, PollFlags::POLLIN | room));
    }
    let timeout = until.map(|until| TimeSpec::from(until.saturating_since(clock::now())));
    if let Err(errno) = ppoll(&mut fds, timeout, None) {
        if errno != nix::errno::Errno::EINTR {
            tracing::error!(%errno, "the control thread cannot wait");
        }
    }
    let _ = shared.waker.read();
    let mut events = fds.iter().skip(1).map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
    let ready = |peer: &Peer| {
        let events = peer.socket().and_then(|_| events.next()).unwrap_or(PollFlags::empty());
        Readiness {
            writable: events.contains(PollFlags::POLLOUT),
            readable: events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR),
        }
    };
    peers.iter().map(ready).collect()
}
