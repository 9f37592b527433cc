//! A UDP socket that tells how a datagram was marked, and marks what it sends.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use lfp_proto::window::Codepoint;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

/// A socket that does not block.
#[derive(Debug)]
pub(crate) struct MarkedSocket {
    udp: UdpSocket,
    is_ipv6: bool,
    /// How it marks what it sends.
    sends: Codepoint,
    /// Room for what comes beside a datagram.
    beside: Vec<u8>,
}

impl MarkedSocket {
    /// Binds `local`; a system that tells no marks, or takes none, is one more path that bleaches them.
    pub(crate) fn bind(local: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(local)?;
        udp.set_nonblocking(true)?;
        let is_ipv6 = local.is_ipv6();
        let _ = setsockopt(&udp, sockopt::IpRecvTos, &true);
        if is_ipv6 {
            let _ = setsockopt(&udp, sockopt::Ipv6RecvTClass, &true);
        }
        Ok(Self { udp, is_ipv6, sends: Codepoint::NotEct, beside: nix::cmsg_space!(i32, i32) })
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        self.udp.connect(to)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// The next datagram: its length, whom it is from, how it is marked.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Codepoint)> {
        let mut parts = [IoSliceMut::new(buffer)];
        let beside = Some(&mut self.beside[..]);
        let fd = self.udp.as_raw_fd();
        let received = recvmsg::<SockaddrStorage>(fd, &mut parts, beside, MsgFlags::empty())?;
        let codepoint = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4Tos(tos) => Some(Codepoint::of_tos(tos)),
            ControlMessageOwned::Ipv6TClass(class) => Some(Codepoint::of_tos(class as u8)),
            _ => None,
        });
        let from = received.address.as_ref().and_then(address);
        let from = from.ok_or_else(|| io::Error::other("a datagram from nowhere"))?;
        Ok((received.bytes, from, codepoint.unwrap_or_default()))
    }

    /// Sends a datagram that is marked so, `to` whom if it is not connected.
    pub(crate) fn send(
        &mut self,
        to: Option<SocketAddr>,
        codepoint: Codepoint,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.sends != codepoint {
            self.sends = codepoint;
            let bits = codepoint as i32;
            let _ = setsockopt(&self.udp, sockopt::Ipv4Tos, &bits);
            if self.is_ipv6 {
                let _ = setsockopt(&self.udp, sockopt::Ipv6TClass, &bits);
            }
        }
        match to {
            Some(to) => self.udp.send_to(bytes, to),
            None => self.udp.send(bytes),
        }
        .map(drop)
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|from| SocketAddr::V4(SocketAddrV4::from(*from)));
    v4.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::V6(SocketAddrV6::from(*from))))
}

impl AsFd for MarkedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}
