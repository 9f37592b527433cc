//! Datagrams that are about to be sent, and which of them go to the kernel together.

use std::io::IoSlice;
use std::net::SocketAddr;

use crate::limits::SEND_BATCH;
use crate::output::socket::{Sent, Socket};

/// Most bytes of one call: what IP can name as a datagram's length, less the headers.
const CALL_BYTES_MAX: usize = 65_000;

/// At most [`SEND_BATCH`] datagrams, in the order in which they are to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Vec<(SocketAddr, Vec<u8>)>,
    /// What this host's link does not take: to where, and how long.
    too_long: Vec<(SocketAddr, usize)>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= SEND_BATCH
    }

    pub(super) fn push(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.waiting.push((to, bytes));
    }

    /// What was too long for this host's link since the last call: to where, and how long it was.
    pub(super) fn take_too_long(&mut self) -> Vec<(SocketAddr, usize)> {
        std::mem::take(&mut self.too_long)
    }

    /// Sends what waits until the kernel has no more room; `done` gets the buffers of what went.
    pub(super) fn send(&mut self, socket: &mut Socket, done: impl FnMut(Vec<u8>)) {
        // Sessions take turns. The order matters within each of them only, and a stable sort of so few allocates nothing.
        self.waiting.sort_by_key(|(to, _)| *to);
        let mut sent = 0;
        while let Some((to, bytes)) = self.waiting.get(sent) {
            let together = together(&self.waiting[sent..]);
            let mut slices = [IoSlice::new(&[]); SEND_BATCH];
            for (slice, (_, bytes)) in slices.iter_mut().zip(&self.waiting[sent..sent + together]) {
                *slice = IoSlice::new(bytes);
            }
            let outcome =
                if together > 1 { socket.send_together(*to, &slices[..together]) } else { Sent::Apart };
            match outcome {
                Sent::Done => sent += together,
                Sent::Full => break,
                Sent::Apart | Sent::TooLong => match socket.send(*to, bytes) {
                    Sent::Full => break,
                    Sent::TooLong => {
                        self.too_long.push((*to, bytes.len()));
                        sent += 1;
                    }
                    Sent::Done | Sent::Apart => sent += 1,
                },
            }
        }
        self.waiting.drain(..sent).map(|(_, bytes)| bytes).for_each(done);
    }
}

/// How many datagrams from the first on can go with one call: to one address, of one length, save for the last,
/// which may be shorter.
fn together(waiting: &[(SocketAddr, Vec<u8>)]) -> usize {
    let Some((to, first)) = waiting.first() else { return 0 };
    let most = (CALL_BYTES_MAX / first.len().max(1)).clamp(1, SEND_BATCH);
    let fits = |bytes: &Vec<u8>| bytes.len() == first.len();
    let same = waiting.iter().take(most).take_while(|(other, bytes)| other == to && fits(bytes)).count();
    let shorter = waiting[..most.min(waiting.len())]
        .get(same)
        .is_some_and(|(other, bytes)| other == to && bytes.len() < first.len());
    same + usize::from(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn only_what_the_kernel_can_cut_goes_together() {
        let of = |parts: &[(u16, usize)]| -> Vec<(SocketAddr, Vec<u8>)> {
            parts.iter().map(|(port, len)| (address(*port), vec![0; *len])).collect()
        };
        assert_eq!(together(&[]), 0);
        assert_eq!(together(&of(&[(1, 100)])), 1);
        assert_eq!(together(&of(&[(1, 100), (1, 100), (1, 40), (1, 40)])), 3, "the shorter one ends it");
        assert_eq!(together(&of(&[(1, 100), (1, 101)])), 1);
        assert_eq!(together(&of(&[(1, 100), (2, 100)])), 1);
        assert_eq!(together(&of(&[(1, 8_900); SEND_BATCH])), 7);
    }

    #[test]
    fn every_datagram_arrives_whole_and_each_address_keeps_its_order() {
        let mut socket = Socket::bind(address(0)).unwrap();
        let peers = [(); 2].map(|()| std::net::UdpSocket::bind(address(0)).unwrap());
        let mut outbox = Outbox::default();
        let lens = [900, 900, 900, 400, 900, 1_000, 1_000, 20];
        for (at, len) in lens.into_iter().enumerate() {
            for peer in &peers {
                outbox.push(peer.local_addr().unwrap(), vec![at as u8; len]);
            }
        }
        assert!(outbox.is_full());
        let mut buffers = 0;
        outbox.send(&mut socket, |_| buffers += 1);
        assert!(outbox.is_empty());
        assert_eq!(buffers, SEND_BATCH);
        for peer in &peers {
            for (at, len) in lens.into_iter().enumerate() {
                let mut bytes = [0; 2_000];
                assert_eq!(peer.recv(&mut bytes).unwrap(), len);
                assert!(bytes[..len].iter().all(|byte| *byte == at as u8), "datagram {at}");
            }
        }
    }
}
