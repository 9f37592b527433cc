//! The one UDP socket of a server.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getsockopt, sendmsg, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use crate::limits::SOCKET_BUFFER_BYTES;
use crate::output::whole;

/// A non-blocking UDP socket with large buffers.
#[derive(Debug)]
pub(super) struct Socket {
    udp: UdpSocket,
    /// Whether the kernel cuts one long send into datagrams.
    segments: bool,
}

/// What became of a datagram that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// The kernel took it, or refused it for a reason that repair will deal with as with any loss.
    Done,
    /// The kernel's buffer is full: try again once the socket is writable.
    Full,
    /// The kernel does not take these datagrams together.
    Apart,
    /// It is longer than this host's link takes: it went nowhere.
    TooLong,
}

impl Socket {
    /// Binds `listen`. IPv6 sockets take IPv4 too where the system allows it.
    pub(super) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
        raw.set_nonblocking(true)?;
        raw.bind(&listen.into())?;
        let udp = UdpSocket::from(raw);
        let buffers = SockRef::from(&udp);
        // The kernel grants what its own limits allow; whatever that is will do.
        let _ = buffers.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = buffers.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        whole::forbid_fragments(&udp, listen)?;
        // A kernel that does not know the option would send the whole as one datagram.
        let segments = getsockopt(&udp, sockopt::UdpGsoSegment).is_ok();
        Ok(Self { udp, segments })
    }

    /// The address bound, with the port that the kernel chose where 0 was asked for.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// One datagram into `buffer`, if one waits.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.udp.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            // A peer's port that closed reports itself here; it says nothing about the datagrams that wait.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) =>
            {
                Ok(Some((0, SocketAddr::from(([0, 0, 0, 0], 0)))))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends `datagrams`, all as long as the first but the last, which may be shorter, with one call.
    pub(super) fn send_together(&mut self, to: SocketAddr, datagrams: &[IoSlice<'_>]) -> Sent {
        let Some(len) = datagrams.first().and_then(|first| u16::try_from(first.len()).ok()) else {
            return Sent::Apart;
        };
        if !self.segments {
            return Sent::Apart;
        }
        let cut = [ControlMessage::UdpGsoSegments(&len)];
        let to = SockaddrStorage::from(to);
        match sendmsg(self.udp.as_raw_fd(), datagrams, &cut, MsgFlags::empty(), Some(&to)) {
            Ok(_) => Sent::Done,
            Err(Errno::EAGAIN) => Sent::Full,
            Err(error) => {
                // The device cannot. What else there is (too long for this path, unreachable) is this address's alone.
                if matches!(error, Errno::EIO | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT) {
                    tracing::info!(%error, "datagrams are sent one by one");
                    self.segments = false;
                }
                Sent::Apart
            }
        }
    }

    /// Sends one datagram.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> Sent {
        match self.udp.send_to(bytes, to) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Sent::Full,
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => Sent::TooLong,
            Err(error) => {
                tracing::debug!(%to, bytes = bytes.len(), %error, "a datagram was not sent");
                Sent::Done
            }
            Ok(_) => Sent::Done,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}
