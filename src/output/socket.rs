//! A UDP socket of a server: many datagrams a call where the kernel can, one by one where it cannot.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recvmmsg, sendmmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use crate::limits::{DATAGRAM_MAX, RECEIVE_MANY, SEND_BATCH, SOCKET_BUFFER_BYTES};
use crate::output::facility::{Facilities, Facility};
use crate::output::{ecn, whole};

/// A byte more than a datagram may have: so one that is too long is seen to be.
const BUFFER_LEN: usize = DATAGRAM_MAX + 1;

/// A non-blocking UDP socket with large buffers.
#[derive(Debug)]
pub(super) struct Socket {
    udp: UdpSocket,
    can: Facilities,
    /// It sends by IPv6, and may by IPv4 too.
    is_ipv6: bool,
    /// What it sends is ECT(0).
    ect: bool,
}

/// What became of datagrams that were to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// The kernel took so many messages, or refused them for a reason that repair will deal with as with any loss.
    Done(usize),
    /// The kernel's buffer is full: try again once the socket is writable.
    Full,
    /// The kernel does not take the first message as it is.
    Apart,
    /// It is longer than this host's link takes: it went nowhere.
    TooLong,
}

/// What one call sends: messages of one or more datagrams, each to an address of its own.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// One for each message.
    pub(super) to: &'a [Option<SockaddrStorage>],
    /// One for each message: its datagrams, all as long as `segment`, but the last, which may be shorter.
    pub(super) messages: &'a [&'a [IoSlice<'a>]],
    /// Present if a message has more than one datagram.
    pub(super) segment: Option<u16>,
}

/// Room for what one call sends or receives besides the datagrams; nothing is allocated once it is there. (What nix knows
/// of control messages is shared by all messages of a call, and what one leaves behind cannot be taken back: those with a
/// segment have room of their own.)
#[derive(Debug)]
pub(super) struct SendRoom {
    whole: MultiHeaders<SockaddrStorage>,
    cut: MultiHeaders<SockaddrStorage>,
}

impl Default for SendRoom {
    fn default() -> Self {
        let segment = nix::cmsg_space!(u16);
        Self {
            whole: MultiHeaders::preallocate(SEND_BATCH, None),
            cut: MultiHeaders::preallocate(SEND_BATCH, Some(segment)),
        }
    }
}

/// Room for what one call receives.
#[derive(Debug)]
pub(super) struct ReceiveRoom {
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Default for ReceiveRoom {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(RECEIVE_MANY, None);
        Self { bytes: vec![0; RECEIVE_MANY * BUFFER_LEN], headers }
    }
}

impl Socket {
    /// Binds `listen`, which nobody else may have. IPv6 sockets take IPv4 too where the system allows it.
    pub(super) fn bind(listen: SocketAddr, can: Facilities) -> io::Result<Self> {
        Self::bound(listen, can, false)
    }

    /// Binds one more socket to the address of this one. What comes to the address is shared among all of them, by where it
    /// comes from.
    pub(super) fn beside(&self) -> io::Result<Self> {
        // Not before the first is bound: it would share the address with whatever else has it.
        setsockopt(&self.udp, sockopt::ReusePort, &true)?;
        Self::bound(self.local_addr()?, self.can, true)
    }

    fn bound(listen: SocketAddr, mut can: Facilities, shared: bool) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
        raw.set_nonblocking(true)?;
        if shared {
            setsockopt(&raw, sockopt::ReusePort, &true)?;
        }
        raw.bind(&listen.into())?;
        let udp = UdpSocket::from(raw);
        let buffers = SockRef::from(&udp);
        // The kernel grants what its own limits allow; whatever that is will do.
        let _ = buffers.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = buffers.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        whole::forbid_fragments(&udp, listen)?;
        // A kernel that does not know the option would send the whole as one datagram.
        if let Err(errno) = getsockopt(&udp, sockopt::UdpGsoSegment) {
            can.give_up(Facility::Segments, errno);
        }
        Ok(Self { udp, can, is_ipv6: listen.is_ipv6(), ect: false })
    }

    /// The address bound, with the port that the kernel chose where 0 was asked for.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Whether the kernel has it.
    pub(super) const fn can(&self, facility: Facility) -> bool {
        self.can.has(facility)
    }

    /// What is sent from now on is ECT(0), or is not. (Said of the socket, not with every message: sessions whose paths keep no
    /// marks are few, so it is seldom said.)
    pub(super) fn offer(&mut self, ect: bool) {
        if self.ect == ect || !self.can(Facility::Ecn) {
            return;
        }
        match ecn::set(&self.udp, self.is_ipv6, ect) {
            Ok(()) => self.ect = ect,
            Err(errno) => self.can.give_up(Facility::Ecn, errno),
        }
    }

    /// Gives `each` at most [`RECEIVE_MANY`] datagrams that wait, in their order. Says whether more may wait.
    pub(super) fn receive(
        &mut self,
        room: &mut ReceiveRoom,
        mut each: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<bool> {
        if !self.can(Facility::Recvmmsg) {
            return self.receive_singly(&mut room.bytes[..BUFFER_LEN], each);
        }
        let mut buffers = room.bytes.chunks_exact_mut(BUFFER_LEN);
        let mut slices: [_; RECEIVE_MANY] =
            std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(self.udp.as_raw_fd(), &mut room.headers, &mut slices, flags, None) {
            Ok(received) => {
                let mut count = 0;
                for message in received {
                    count += 1;
                    let from = message.address.as_ref().and_then(address);
                    if let Some(from) = from {
                        each(from, message.iovs().next().unwrap_or_default());
                    }
                }
                Ok(count == RECEIVE_MANY)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            // A peer's port that closed reports itself here; it says nothing about the datagrams that wait.
            Err(Errno::ECONNREFUSED | Errno::ECONNRESET) => Ok(true),
            Err(Errno::ENOSYS) => {
                self.can.give_up(Facility::Recvmmsg, Errno::ENOSYS);
                Ok(true)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn receive_singly(&self, buffer: &mut [u8], mut each: impl FnMut(SocketAddr, &[u8])) -> io::Result<bool> {
        for _ in 0..RECEIVE_MANY {
            match self.udp.recv_from(buffer) {
                Ok((len, from)) => each(from, &buffer[..len]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => {}
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// Sends the messages of `call`, or as many of the first as the kernel takes.
    pub(super) fn send_call(&mut self, room: &mut SendRoom, call: &Call<'_>) -> Sent {
        match self.sent(room, call) {
            Ok(messages) => Sent::Done(messages),
            Err(Errno::EAGAIN) => Sent::Full,
            Err(errno) => {
                // The device cannot. What else there is (too long for this path, unreachable) is one address's alone.
                if call.segment.is_some()
                    && matches!(errno, Errno::EIO | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT)
                {
                    self.can.give_up(Facility::Segments, errno);
                }
                if errno == Errno::ENOSYS {
                    self.can.give_up(Facility::Sendmmsg, errno);
                }
                Sent::Apart
            }
        }
    }

    fn sent(&self, room: &mut SendRoom, call: &Call<'_>) -> nix::Result<usize> {
        let (fd, flags) = (self.udp.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let cut = call.segment.as_ref().map(ControlMessage::UdpGsoSegments);
        if !self.can(Facility::Sendmmsg) {
            let (Some(first), Some(Some(to))) = (call.messages.first(), call.to.first()) else {
                return Ok(0);
            };
            return sendmsg(fd, first, cut.as_slice(), flags, Some(to)).map(|_| 1);
        }
        let sent = match cut {
            Some(cut) => sendmmsg(fd, &mut room.cut, call.messages, call.to, [cut], flags)?.count(),
            None => sendmmsg(fd, &mut room.whole, call.messages, call.to, [], flags)?.count(),
        };
        Ok(sent)
    }

    /// Sends one datagram by itself.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> Sent {
        match self.udp.send_to(bytes, to) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Sent::Full,
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => Sent::TooLong,
            Err(error) => {
                tracing::debug!(%to, bytes = bytes.len(), %error, "a datagram was not sent");
                Sent::Done(1)
            }
            Ok(_) => Sent::Done(1),
        }
    }
}

/// The address in the standard library's words.
fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|from| SocketAddr::V4(SocketAddrV4::from(*from)));
    v4.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::V6(SocketAddrV6::from(*from))))
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}
