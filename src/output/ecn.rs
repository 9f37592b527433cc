//! Datagrams that a router may mark where it would drop others (RFC 3168).

use std::net::UdpSocket;

use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::socket::{setsockopt, sockopt};

use lfp_proto::window::Codepoint;

/// Has all that `udp` sends from now on be ECT(0), or not so.
pub(super) fn set(udp: &UdpSocket, is_ipv6: bool, ect: bool) -> Result<(), Errno> {
    let bits = if ect { Codepoint::Ect0 } else { Codepoint::NotEct } as c_int;
    if is_ipv6 {
        setsockopt(udp, sockopt::Ipv6TClass, &bits)?;
    }
    // A socket of IPv6 may send by IPv4, too, where the system lets it.
    match setsockopt(udp, sockopt::Ipv4Tos, &bits) {
        Err(Errno::ENOPROTOOPT) if is_ipv6 => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;

    #[test]
    fn a_socket_says_what_it_was_told_to() {
        for local in ["127.0.0.1:0", "[::]:0"] {
            // A system may be without IPv6.
            let Ok(udp) = UdpSocket::bind(local) else { continue };
            let is_ipv6 = local.starts_with('[');
            for (ect, bits) in [(true, 2), (false, 0)] {
                set(&udp, is_ipv6, ect).unwrap();
                assert_eq!(getsockopt(&udp, sockopt::Ipv4Tos).unwrap(), bits);
                if is_ipv6 {
                    assert_eq!(getsockopt(&udp, sockopt::Ipv6TClass).unwrap(), bits);
                }
            }
        }
    }
}
