//! One of several sockets, with a thread of its own: it receives, drops what nobody could want, closes packets and sends
//! them. It knows no session: queues of bounded length lie between it and the network thread, which does.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::limits::{
    DATAGRAM_DEFAULT, PORT_IN_MAX, PORT_OUT_MAX, PORT_TOO_LONG_MAX, RECEIVE_BATCH, RECEIVE_MANY,
};
use crate::output::Waker;
use crate::output::outbox::Outbox;
use crate::output::socket::{ReceiveRoom, Socket};
use lfp_proto::packet::{Header, Kind};
use lfp_proto::seal::Unclosed;

/// The network thread's end.
#[derive(Debug)]
pub(super) struct Port {
    packets: SyncSender<(SocketAddr, Unclosed)>,
    /// Buffers of packets that were sent.
    spent: Receiver<Vec<u8>>,
    /// What was too long for this host's link.
    too_long: Receiver<(SocketAddr, usize)>,
    datagrams: Receiver<(SocketAddr, Vec<u8>)>,
    /// Buffers of datagrams that were taken in.
    read: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
    /// Something was pushed since the thread was woken last.
    pushed: bool,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What both ends look at.
#[derive(Debug)]
struct Shared {
    waker: Waker,
    stop: AtomicBool,
    /// The network thread waits for room in the queue of packets.
    wants_room: AtomicBool,
    dropped: AtomicU64,
}

/// The thread's end.
struct Worker {
    socket: Socket,
    outbox: Outbox,
    room: ReceiveRoom,
    packets: Receiver<(SocketAddr, Unclosed)>,
    spent: SyncSender<Vec<u8>>,
    too_long: SyncSender<(SocketAddr, usize)>,
    datagrams: SyncSender<(SocketAddr, Vec<u8>)>,
    read: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    /// Wakes the network thread.
    network: Waker,
}

impl Port {
    /// Starts the thread of `socket`, which wakes the network thread by `network`.
    pub(super) fn start(index: usize, socket: Socket, network: Waker) -> io::Result<Self> {
        let (packets, to_close) = sync_channel(PORT_OUT_MAX);
        let (sent, spent) = sync_channel(PORT_OUT_MAX);
        let (refused, too_long) = sync_channel(PORT_TOO_LONG_MAX);
        let (came, datagrams) = sync_channel(PORT_IN_MAX);
        let (read, to_fill) = sync_channel(PORT_IN_MAX);
        let shared = Arc::new(Shared {
            waker: Waker::new()?,
            stop: AtomicBool::new(false),
            wants_room: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        });
        let seen = Arc::clone(&shared);
        let run = move || {
            // What the kernel fills in has to stay on one thread.
            let mut worker = Worker {
                socket,
                outbox: Outbox::new(),
                room: ReceiveRoom::default(),
                packets: to_close,
                spent: sent,
                too_long: refused,
                datagrams: came,
                read: to_fill,
                shared: seen,
                network,
            };
            let outcome = worker.run();
            worker.network.wake();
            outcome
        };
        let thread = Some(std::thread::Builder::new().name(format!("lfp-port-{index}")).spawn(run)?);
        Ok(Self { packets, spent, too_long, datagrams, read, shared, pushed: false, thread })
    }

    /// Has `packet` closed and sent after all those before it. Gives it back if that has to wait: the thread wakes the network
    /// thread once there is room.
    pub(super) fn push(&mut self, to: SocketAddr, packet: Unclosed) -> Option<(SocketAddr, Unclosed)> {
        self.pushed = true;
        let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) =
            self.packets.try_send((to, packet))
        else {
            return None;
        };
        self.shared.wants_room.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // The thread may have made room before it could see that it was wanted.
        match self.packets.try_send(back) {
            Ok(()) => None,
            Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => Some(back),
        }
    }

    /// Wakes the thread if there is something to send; `done` gets the buffers of what went.
    pub(super) fn flush(&mut self, done: impl FnMut(Vec<u8>)) {
        if std::mem::take(&mut self.pushed) {
            self.shared.waker.wake();
        }
        self.spent.try_iter().for_each(done);
    }

    /// What this host's link did not take since the last call: to where, and how many bytes it was long.
    pub(super) fn too_long(&self) -> impl Iterator<Item = (SocketAddr, usize)> + '_ {
        self.too_long.try_iter()
    }

    /// Gives `each` what came, up to [`RECEIVE_BATCH`] datagrams. Says whether more may wait.
    ///
    /// # Errors
    /// If the socket has failed.
    pub(super) fn receive(&mut self, mut each: impl FnMut(SocketAddr, &[u8])) -> io::Result<bool> {
        for _ in 0..RECEIVE_BATCH {
            let Ok((from, bytes)) = self.datagrams.try_recv() else {
                return self.check().map(|()| false);
            };
            each(from, &bytes);
            // As many as fit are kept to be filled again.
            let _ = self.read.try_send(bytes);
        }
        Ok(true)
    }

    /// Datagrams that were dropped, because they were malformed or came faster than the network thread takes them.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn check(&mut self) -> io::Result<()> {
        match self.thread.take_if(|thread| thread.is_finished()) {
            Some(thread) => ended(thread),
            None => Ok(()),
        }
    }

    /// Has everything sent that is waiting, and ends the thread.
    pub(super) fn stop(mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.waker.wake();
        self.thread.take().map_or(Ok(()), ended)
    }
}

fn ended(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread of a socket panicked")))
}

impl Worker {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let stops = self.shared.stop.load(Ordering::SeqCst);
            let more = self.send();
            if stops && !more {
                return Ok(());
            }
            if more || self.wait()? {
                self.receive()?;
            }
        }
    }

    /// Closes and sends what waits, as much as an outbox takes. Says whether there may be more that the kernel has room for.
    fn send(&mut self) -> bool {
        let Self { socket, outbox, packets, spent, too_long, shared, network, .. } = self;
        while !outbox.is_full() {
            let Ok((to, packet)) = packets.try_recv() else { break };
            outbox.push(to, packet.is_ect(), packet.close());
        }
        let full = outbox.is_full();
        // As many as fit are kept to be filled again.
        outbox.send(socket, |buffer| drop(spent.try_send(buffer)));
        // Where there is no room for one more, others have said it.
        let refused = outbox.take_too_long().filter(|refused| too_long.try_send(*refused).is_ok()).count();
        fence(Ordering::SeqCst);
        if shared.wants_room.swap(false, Ordering::SeqCst) || refused > 0 {
            network.wake();
        }
        full && outbox.is_empty()
    }

    /// Waits for a datagram, for something to send, or for room in the kernel's buffer if something waits for that. Says
    /// whether it may be a datagram.
    fn wait(&self) -> io::Result<bool> {
        let readable = PollFlags::POLLIN;
        let socket = if self.outbox.is_empty() { readable } else { readable | PollFlags::POLLOUT };
        let waker = &self.shared.waker;
        let mut fds = [PollFd::new(self.socket.as_fd(), socket), PollFd::new(waker.as_fd(), readable)];
        match ppoll(&mut fds, None, None) {
            Ok(_) => {
                if fds[1].any().unwrap_or(true) {
                    waker.settle();
                }
                // A socket may report an error of its own, which is read as a datagram is.
                let mut datagrams = fds[0].revents().unwrap_or(PollFlags::all());
                datagrams.remove(PollFlags::POLLOUT);
                Ok(!datagrams.is_empty())
            }
            Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Passes on what came, as far as somebody may want it and as it is taken.
    fn receive(&mut self) -> io::Result<()> {
        let Self { socket, room, datagrams, read, shared, network, .. } = self;
        let mut passed = false;
        for _ in 0..RECEIVE_BATCH.div_ceil(RECEIVE_MANY) {
            let more = socket.receive(room, |from, bytes| {
                let mut buffer = read.try_recv().unwrap_or_else(|_| Vec::with_capacity(DATAGRAM_DEFAULT));
                buffer.clear();
                let wanted = is_for_servers(bytes) && {
                    buffer.extend_from_slice(bytes);
                    datagrams.try_send((from, buffer)).is_ok()
                };
                passed |= wanted;
                shared.dropped.fetch_add(u64::from(!wanted), Ordering::Relaxed);
            })?;
            if !more {
                break;
            }
        }
        if passed {
            network.wake();
        }
        Ok(())
    }
}

/// Whether a server would look at more of a datagram than its header.
fn is_for_servers(bytes: &[u8]) -> bool {
    Header::parse(bytes).is_ok_and(|header| matches!(header.kind, Kind::Hello | Kind::Data))
}
