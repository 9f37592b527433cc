//! What the kernel says of devices that come and go.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt, socket, sockopt,
};

/// Longest message: more than the kernel makes.
const MESSAGE_MAX: usize = 16 << 10;
/// The kernel's own group.
const GROUP: u32 = 1;
/// Room for what comes while modules are being loaded, in bytes.
const BUFFER: usize = 1 << 20;

/// The kernel's messages.
#[derive(Debug)]
pub(crate) struct Uevents {
    socket: OwnedFd,
}

/// A device that came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Added {
    /// Its place below `/sys`.
    pub(crate) path: String,
    /// Such as `virtio-ports`.
    pub(crate) subsystem: String,
    /// Its file below `/dev`, if it has one.
    pub(crate) file: Option<String>,
    /// What finds its driver.
    pub(crate) alias: Option<String>,
}

impl Uevents {
    /// Hears everything from now on.
    ///
    /// # Errors
    /// If the kernel has no such socket.
    pub(crate) fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP))?;
        Ok(Self { socket })
    }

    /// The next device that came; `None`: nothing has been said that was not read.
    pub(crate) fn next(&mut self) -> Option<Added> {
        let mut message = [0; MESSAGE_MAX];
        loop {
            match recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut message) {
                Ok((length, from)) => {
                    // Processes may write to the group as well; the kernel has the number 0.
                    let is_kernel = from.is_some_and(|from| from.pid() == 0);
                    let added = parse(&message[..length.min(MESSAGE_MAX)]).filter(|_| is_kernel);
                    if added.is_some() {
                        return added;
                    }
                }
                // What was lost has no name: the next look at all devices finds it.
                Err(Errno::EINTR | Errno::ENOBUFS) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn parse(message: &[u8]) -> Option<Added> {
    let mut added = Added::default();
    let mut is_added = false;
    for part in message.split(|&byte| byte == 0) {
        let Some((key, value)) = std::str::from_utf8(part).ok().and_then(|part| part.split_once('=')) else {
            continue;
        };
        match key {
            "ACTION" => is_added = value == "add",
            "DEVPATH" => value.clone_into(&mut added.path),
            "SUBSYSTEM" => value.clone_into(&mut added.subsystem),
            "DEVNAME" => added.file = Some(value.to_owned()),
            "MODALIAS" => added.alias = Some(value.to_owned()),
            _ => {}
        }
    }
    is_added.then_some(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_told_from_what_goes() {
        let message = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=virtio-ports\0DEVNAME=vport1p2\0SEQNUM=9\0";
        let added = parse(message).expect("a device came");
        assert_eq!((added.path.as_str(), added.subsystem.as_str()), ("/devices/x", "virtio-ports"));
        assert_eq!((added.file.as_deref(), added.alias), (Some("vport1p2"), None));
        assert_eq!(parse(b"remove@/devices/x\0ACTION=remove\0DEVPATH=/devices/x\0"), None);
        assert_eq!(parse(b"libudev\0\xff\xff"), None);
    }
}
