//! The sockets of a server as its network thread sees them: one that it serves itself, or several with a thread each.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};

use serde_json::{Value, json};

use crate::limits::{RECEIVE_BATCH, RECEIVE_MANY, SEND_BATCH, SOCKETS_MAX};
use crate::output::facility::{Facilities, Facility};
use crate::output::outbox::Outbox;
use crate::output::port::Port;
use crate::output::socket::{ReceiveRoom, Socket};
use crate::output::wake::Waker;
use lfp_proto::seal::Unclosed;

/// Cores of the machine for each socket, unless configured otherwise: scans and encoders have the others.
const CORES_PER_SOCKET: usize = 4;
/// Most sockets, unless configured otherwise.
const SOCKETS_DEFAULT_MAX: usize = 4;

/// How many sockets a server has on a machine of so many cores, unless it is told: a thread more costs each datagram two
/// queues and a wake-up, which nothing gives back where the cores have other work.
#[must_use]
pub fn sockets_for(cores: usize) -> usize {
    (cores / CORES_PER_SOCKET).clamp(1, SOCKETS_DEFAULT_MAX)
}

/// The sockets of a server. Whatever a client's address, what is sent to it goes by one of them, in order.
#[derive(Debug)]
pub struct Ports(Kind);

#[derive(Debug)]
enum Kind {
    Own(Box<Own>),
    Shared(Shared),
}

/// One socket, on the network thread.
#[derive(Debug)]
struct Own {
    socket: Socket,
    outbox: Outbox,
    room: ReceiveRoom,
}

/// Several, each with a thread.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    ports: Vec<Port>,
    waker: Waker,
    hasher: RandomState,
    /// Packets that were pushed since the last flush.
    pushed: usize,
    /// What the port there has had no room for.
    held: Option<(usize, SocketAddr, Unclosed)>,
}

impl Ports {
    /// Binds `sockets` sockets, 1 to [`SOCKETS_MAX`], to `listen`; fewer where the kernel does not let several have one address.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    ///
    /// # Panics
    /// If `sockets` is none of these numbers.
    pub fn bind(listen: SocketAddr, sockets: usize, can: Facilities) -> io::Result<Self> {
        assert!((1..=SOCKETS_MAX).contains(&sockets), "{sockets} sockets");
        let first = Socket::bind(listen, can)?;
        let mut all = Vec::with_capacity(sockets);
        if sockets > 1 && can.has(Facility::Reuseport) {
            for _ in 1..sockets {
                match first.beside() {
                    Ok(socket) => all.push(socket),
                    Err(error) => {
                        tracing::info!(%error, sockets = all.len() + 1, "no more sockets can share the address");
                        break;
                    }
                }
            }
        }
        if all.is_empty() {
            let (outbox, room) = (Outbox::new(), ReceiveRoom::default());
            return Ok(Self(Kind::Own(Box::new(Own { socket: first, outbox, room }))));
        }
        let (address, waker) = (first.local_addr()?, Waker::new()?);
        all.insert(0, first);
        tracing::info!(sockets = all.len(), "sockets share the address");
        let ports = all.into_iter().enumerate();
        let ports = ports
            .map(|(index, socket)| Port::start(index, socket, waker.clone()))
            .collect::<io::Result<_>>()?;
        let hasher = RandomState::new();
        Ok(Self(Kind::Shared(Shared { address, ports, waker, hasher, pushed: 0, held: None })))
    }

    /// The address bound, with the port that the kernel chose where 0 was asked for.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Kind::Own(own) => own.socket.local_addr(),
            Kind::Shared(shared) => Ok(shared.address),
        }
    }

    /// Becomes readable when there may be something for [`Ports::receive`], or room again.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Own(own) => own.socket.as_fd(),
            Kind::Shared(shared) => shared.waker.as_fd(),
        }
    }

    /// Whether it has to be waited for [`Ports::as_fd`] to become writable before more can be sent.
    pub(super) fn awaits_writable(&self) -> bool {
        matches!(&self.0, Kind::Own(own) if !own.outbox.is_empty())
    }

    /// Whether nothing more is to be pushed before a flush, so that what others have to say does not wait behind a fast
    /// session's burst.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match &self.0 {
            Kind::Own(own) => own.outbox.is_full(),
            Kind::Shared(shared) => shared.is_stuck() || shared.pushed >= SEND_BATCH * shared.ports.len(),
        }
    }

    /// Whether what was pushed waits for room in the kernel's buffers.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        match &self.0 {
            Kind::Own(own) => !own.outbox.is_empty(),
            Kind::Shared(shared) => shared.is_stuck(),
        }
    }

    /// Has `packet` closed and sent with the next flush.
    pub fn push(&mut self, to: SocketAddr, packet: Unclosed) {
        match &mut self.0 {
            Kind::Own(own) => own.outbox.push(to, packet.is_ect(), packet.close()),
            Kind::Shared(shared) => {
                // A port is blind to who talks to whom; a client's packets stay in their order on one.
                let index = shared.hasher.hash_one(to) as usize % shared.ports.len();
                shared.push(index, to, packet);
            }
        }
    }

    /// Sends what was pushed, as far as the kernel takes it; `done` gets the buffers of what went.
    pub fn flush(&mut self, mut done: impl FnMut(Vec<u8>)) {
        match &mut self.0 {
            Kind::Own(own) => own.outbox.send(&mut own.socket, done),
            Kind::Shared(shared) => {
                if let Some((index, to, packet)) = shared.held.take() {
                    shared.push(index, to, packet);
                }
                shared.pushed = 0;
                shared.ports.iter_mut().for_each(|port| port.flush(&mut done));
            }
        }
    }

    /// Gives `each` what this host's link did not take since the last call: to where, and how many bytes it was long.
    pub(super) fn too_long(&mut self, mut each: impl FnMut(SocketAddr, usize)) {
        match &mut self.0 {
            Kind::Own(own) => own.outbox.take_too_long().for_each(|(to, bytes)| each(to, bytes)),
            Kind::Shared(shared) => {
                shared.ports.iter().flat_map(Port::too_long).for_each(|(to, bytes)| each(to, bytes));
            }
        }
    }

    /// Gives `each` what came, up to [`RECEIVE_BATCH`] datagrams of each socket. If more may wait, a wait for more ends at
    /// once.
    ///
    /// # Errors
    /// If a socket fails.
    pub fn receive(&mut self, mut each: impl FnMut(SocketAddr, &[u8])) -> io::Result<()> {
        match &mut self.0 {
            Kind::Own(own) => {
                for _ in 0..RECEIVE_BATCH.div_ceil(RECEIVE_MANY) {
                    if !own.socket.receive(&mut own.room, &mut each)? {
                        break;
                    }
                }
            }
            Kind::Shared(shared) => {
                shared.waker.settle();
                let mut more = false;
                for port in &mut shared.ports {
                    more |= port.receive(&mut each)?;
                }
                if more {
                    shared.waker.wake();
                }
            }
        }
        Ok(())
    }

    /// How many sockets there are, and datagrams that their threads have dropped.
    pub(super) fn figures(&self) -> Value {
        match &self.0 {
            Kind::Own(_) => json!({ "sockets": 1, "dropped": 0 }),
            Kind::Shared(shared) => json!({ "sockets": shared.ports.len(), "dropped": shared.dropped() }),
        }
    }

    /// Sends what still waits, as far as it can be sent, and lets go of the sockets.
    ///
    /// # Errors
    /// If a socket has failed.
    pub(super) fn close(self) -> io::Result<()> {
        let Kind::Shared(shared) = self.0 else { return Ok(()) };
        let dropped = shared.dropped();
        let outcomes: Vec<_> = shared.ports.into_iter().map(Port::stop).collect();
        if dropped > 0 {
            tracing::info!(dropped, "datagrams that were malformed or too many");
        }
        outcomes.into_iter().collect()
    }
}

impl Shared {
    fn dropped(&self) -> u64 {
        self.ports.iter().map(Port::dropped).sum()
    }

    fn is_stuck(&self) -> bool {
        self.held.is_some()
    }

    fn push(&mut self, index: usize, to: SocketAddr, packet: Unclosed) {
        assert!(self.held.is_none(), "more was pushed than there is room for");
        self.pushed += 1;
        self.held = self.ports[index].push(to, packet).map(|(to, packet)| (index, to, packet));
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::limits::PORT_IN_MAX;
    use lfp_proto::packet::{Builder, HEADER_LEN, Header, Kind as PacketKind};
    use lfp_proto::units::{ConnectionId, PacketNumber};

    const PEERS: usize = 6;
    /// As many as fit a socket that nobody reads yet.
    const PACKETS: u32 = 60;
    /// Nothing here takes longer.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn packet(number: u32, len: usize) -> Vec<u8> {
        let (connection, number) = (ConnectionId(1), PacketNumber(u64::from(number)));
        let mut builder = Builder::new(Vec::new(), 1_200, PacketKind::Data, connection, number);
        builder.body().resize(HEADER_LEN + len, 7);
        builder.finish()
    }

    fn number(bytes: &[u8]) -> u64 {
        Header::parse(bytes).expect("a packet").number(PacketNumber(0)).0
    }

    #[test]
    fn each_peer_gets_its_packets_in_their_order_and_is_heard_in_its() {
        for (sockets, can) in [
            (1, Facilities::ALL),
            (1, Facilities::ALL.without(Facility::Recvmmsg)),
            (3, Facilities::ALL),
            (3, Facilities::ALL.without(Facility::Reuseport)),
        ] {
            let mut ports = Ports::bind(loopback(), sockets, can).unwrap();
            let server = ports.local_addr().unwrap();
            let peers: Vec<_> = (0..PEERS).map(|_| UdpSocket::bind(loopback()).unwrap()).collect();
            for at in 1..=PACKETS {
                for peer in &peers {
                    while ports.is_full() {
                        ports.flush(drop);
                    }
                    let len = if at % 5 == 0 { 40 } else { 300 };
                    ports.push(peer.local_addr().unwrap(), packet(at, len).into());
                }
            }
            for peer in &peers {
                peer.set_read_timeout(Some(PATIENCE)).unwrap();
                for at in 1..=PACKETS {
                    ports.flush(drop);
                    let mut bytes = [0; 2_000];
                    let len = peer.recv(&mut bytes).unwrap();
                    assert_eq!(number(&bytes[..len]), u64::from(at), "{sockets} sockets");
                }
            }
            let mut heard = vec![0; PEERS];
            for at in 1..=PACKETS {
                for peer in &peers {
                    peer.send_to(&packet(at, at as usize), server).unwrap();
                }
                // A little at a time, so that no queue is too short.
                let all = clock::poll_for(PATIENCE, || {
                    ports
                        .receive(|from, bytes| {
                            let peer = peers.iter().position(|peer| peer.local_addr().unwrap() == from);
                            let heard = &mut heard[peer.expect("nobody else speaks")];
                            *heard += 1;
                            assert_eq!(number(bytes), *heard, "{sockets} sockets");
                        })
                        .unwrap();
                    heard.iter().all(|heard| *heard == u64::from(at)).then_some(())
                });
                assert!(all.is_some(), "{sockets} sockets heard {heard:?} of {at}");
            }
            ports.close().unwrap();
        }
    }

    #[test]
    fn a_port_drops_what_no_server_wants_and_what_it_has_no_room_for() {
        let mut ports = Ports::bind(loopback(), 2, Facilities::ALL).unwrap();
        let server = ports.local_addr().unwrap();
        let (rude, polite) = (UdpSocket::bind(loopback()).unwrap(), UdpSocket::bind(loopback()).unwrap());
        let mut answer = packet(1, 10);
        answer[0] = answer[0] & 0xf0 | PacketKind::Greet as u8;
        for bytes in [&[][..], &[1, 2, 3], &[0xff; 100], &answer] {
            rude.send_to(bytes, server).unwrap();
        }
        polite.send_to(&packet(9, 10), server).unwrap();
        let mut came = Vec::new();
        let seen = clock::poll_for(PATIENCE, || {
            ports.receive(|_, bytes| came.push(number(bytes))).unwrap();
            let Kind::Shared(shared) = &ports.0 else { panic!("this kernel has SO_REUSEPORT") };
            (shared.dropped() == 4 && came == [9]).then_some(())
        });
        assert!(seen.is_some(), "{came:?} came");
        // Nobody reads: memory is bounded, and once somebody does, the port hears again.
        let flood = 2 * PORT_IN_MAX as u64;
        for at in 0..flood {
            polite.send_to(&packet(at as u32, 10), server).unwrap();
        }
        let settled = clock::poll_for(PATIENCE, || {
            let Kind::Shared(shared) = &ports.0 else { panic!("this kernel has SO_REUSEPORT") };
            (shared.dropped() == 4 + flood - PORT_IN_MAX as u64).then_some(())
        });
        assert!(settled.is_some(), "a port drops what has no room, and nothing else");
        came.clear();
        while came.len() < PORT_IN_MAX {
            ports.receive(|_, bytes| came.push(number(bytes))).unwrap();
        }
        assert!(came.is_sorted());
        ports.close().unwrap();
    }

    #[test]
    fn small_machines_have_one_socket() {
        assert_eq!([1, 2, 4, 7, 8, 16, 64].map(sockets_for), [1, 1, 1, 1, 2, 4, 4]);
    }
}
