//! The UDP socket.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use client_lfp::Look;
use lfp_proto::limits::DATAGRAM_MAX;
use lfp_proto::window::Codepoint;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::cli::exit::Failure;

/// A UDP socket that talks to one server.
#[derive(Debug)]
pub(crate) struct Socket {
    udp: UdpSocket,
    server: SocketAddr,
    /// Bytes of datagrams that the kernel holds for us.
    receive_buffer: u32,
    /// The read time-out that is set.
    wait: Option<Duration>,
    /// The server's host has said that nobody listens there: ever, and since that was last asked.
    refused: bool,
    newly_refused: bool,
    /// Something could not be sent since that was last asked.
    unsendable: bool,
    /// Bytes that were asked for as a receive buffer.
    buffer_asked: usize,
    /// One byte longer than any datagram, so that a longer one shows.
    buffer: Box<[u8; DATAGRAM_MAX + 1]>,
    /// Room for what comes beside a datagram.
    beside: Vec<u8>,
}

impl Socket {
    /// Looks `server` (host and port) up and connects to it.
    pub(crate) fn connect(server: &str, receive_buffer: usize) -> Result<Self, Failure> {
        let failure = |what: &str, error: &dyn std::fmt::Display| {
            Failure::NoSession(format!("cannot {what} {server}: {error}"))
        };
        let found = server.to_socket_addrs().map_err(|error| failure("find", &error))?;
        // `localhost` may mean ::1 first, where no server that listens on 127.0.0.1 hears.
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        let server_addr = *found.first().ok_or_else(|| failure("find", &"it has no address"))?;
        let (udp, granted) =
            open(server_addr, receive_buffer).map_err(|error| failure("open a socket to", &error))?;
        Ok(Self {
            udp,
            server: server_addr,
            receive_buffer: granted,
            wait: None,
            refused: false,
            newly_refused: false,
            unsendable: false,
            buffer_asked: receive_buffer,
            buffer: Box::new([0; DATAGRAM_MAX + 1]),
            beside: nix::cmsg_space!(i32),
        })
    }

    /// Whom it talks to.
    pub(crate) const fn server(&self) -> SocketAddr {
        self.server
    }

    /// Bytes of datagrams that the kernel holds for us in one burst, as far as can be known.
    pub(crate) const fn receive_buffer(&self) -> u32 {
        self.receive_buffer
    }

    /// Whether the server's host has said that nobody listens there.
    pub(crate) const fn refused(&self) -> bool {
        self.refused
    }

    /// Whether it has said so since the last call.
    pub(crate) fn take_refusal(&mut self) -> bool {
        std::mem::take(&mut self.newly_refused)
    }

    /// Whether something could not be sent since the last call.
    pub(crate) fn take_unsendable(&mut self) -> bool {
        std::mem::take(&mut self.unsendable)
    }

    /// Goes on with another socket if the system would send from another address now, as after a change of networks, or in any
    /// case; what the old one still holds is lost. Says whether it did. Where there is no way to the server there is nothing to go on with.
    pub(crate) fn renew(&mut self, look: Look) -> bool {
        let Ok((udp, _)) = open(self.server, self.buffer_asked) else { return false };
        let address = |udp: &UdpSocket| udp.local_addr().map(|address| address.ip()).ok();
        if look == Look::IfMoved && address(&udp) == address(&self.udp) {
            return false;
        }
        (self.udp, self.wait) = (udp, None);
        true
    }

    /// Sends a datagram. One that cannot be sent is lost, as it may be anywhere on the path.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.udp.send(bytes) {
            self.on_error(&error);
            // What the other side refused was sent, and whether there is room will be seen.
            let was_sent = [ErrorKind::ConnectionRefused, ErrorKind::WouldBlock, ErrorKind::Interrupted];
            self.unsendable |= !was_sent.contains(&error.kind());
        }
    }

    /// The next datagram, and what the ECN bits of its header say, if one comes within `wait`, which is rounded up to a
    /// millisecond. A signal ends the wait.
    pub(crate) fn receive(&mut self, wait: Duration) -> Option<(Codepoint, &[u8])> {
        let wait = Duration::from_millis(wait.as_nanos().div_ceil(1_000_000).max(1) as u64);
        if self.wait != Some(wait) && self.udp.set_read_timeout(Some(wait)).is_ok() {
            self.wait = Some(wait);
        }
        match receive(&self.udp, &mut self.buffer[..], &mut self.beside) {
            Ok((codepoint, len)) => Some((codepoint, &self.buffer[..len])),
            Err(errno) => {
                self.on_error(&errno.into());
                None
            }
        }
    }

    fn on_error(&mut self, error: &io::Error) {
        let refused = error.kind() == ErrorKind::ConnectionRefused;
        self.refused |= refused;
        self.newly_refused |= refused;
    }
}

fn open(server: SocketAddr, receive_buffer: usize) -> io::Result<(UdpSocket, u32)> {
    let raw = RawSocket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    // What the system does not grant is not needed: the server is told what there is.
    let _ = raw.set_recv_buffer_size(receive_buffer);
    let granted = raw.recv_buffer_size()?;
    // A system that does not tell how datagrams came has none counted, and the server asks no more.
    let _ = match server {
        SocketAddr::V4(_) => raw.set_recv_tos_v4(true),
        SocketAddr::V6(_) => raw.set_recv_tclass_v6(true),
    };
    raw.connect(&server.into())?;
    // Linux counts what a datagram costs the kernel, about as much again as it carries.
    Ok((raw.into(), u32::try_from(granted / 2).unwrap_or(u32::MAX)))
}

/// Receives a datagram: what the ECN bits of its header say, and its length.
fn receive(udp: &UdpSocket, buffer: &mut [u8], beside: &mut [u8]) -> nix::Result<(Codepoint, usize)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<()>(udp.as_raw_fd(), &mut parts, Some(beside), MsgFlags::empty())?;
    let codepoint = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4Tos(tos) => Some(Codepoint::of_tos(tos)),
        ControlMessageOwned::Ipv6TClass(class) => Some(Codepoint::of_tos(class as u8)),
        _ => None,
    });
    Ok((codepoint.unwrap_or_default(), received.bytes))
}
