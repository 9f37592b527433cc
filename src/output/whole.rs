//! Datagrams that arrive whole or not at all: nobody on the path may cut them into fragments.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SetSockOpt, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// How IPv4 treats what is longer than a link takes.
    MtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    usize
);
sockopt_impl!(
    /// The same of IPv6.
    MtuDiscover6,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    usize
);

/// Has every datagram of a socket that is bound to `local` sent with *don't fragment*, and what ICMP says of a path's MTU
/// ignored, which is easily forged: how long packets may be is found out by sending them. Only what this host's own link does not
/// take is refused, with `EMSGSIZE`.
// SPEC [LFP-10.9]: A server MUST NOT make datagrams shorter, nor give up trying longer ones, for what ICMP says.
pub(super) fn forbid_fragments(udp: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    if local.is_ipv6() {
        set(udp, MtuDiscover6, libc::IPV6_PMTUDISC_PROBE)?;
    }
    // A socket of IPv6 may send by IPv4, too, where the system lets it.
    match set(udp, MtuDiscover, libc::IP_PMTUDISC_PROBE) {
        Err(Errno::ENOPROTOOPT) if local.is_ipv6() => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn set(udp: &UdpSocket, option: impl SetSockOpt<Val = usize>, value: libc::c_int) -> Result<(), Errno> {
    setsockopt(udp, option, &usize::try_from(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_link_takes_is_refused_and_never_cut() {
        for local in ["127.0.0.1:0", "[::]:0"] {
            let local: SocketAddr = local.parse().unwrap();
            // A system may be without IPv6.
            let Ok(udp) = UdpSocket::bind(local) else { continue };
            forbid_fragments(&udp, local).unwrap();
            let to = SocketAddr::from(([127, 0, 0, 1], udp.local_addr().unwrap().port()));
            assert_eq!(udp.send_to(&[0; 60_000], to).unwrap(), 60_000, "loopback takes it");
        }
    }
}
