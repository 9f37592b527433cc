//! Datagrams that are about to be sent, and which of them go to the kernel together.

use std::io::IoSlice;
use std::net::SocketAddr;

use nix::sys::socket::SockaddrStorage;

use crate::limits::SEND_BATCH;
use crate::output::facility::Facility;
use crate::output::socket::{Call, SendRoom, Sent, Socket};

/// Most bytes of one message: what IP can name as a datagram's length, less the headers.
const MESSAGE_BYTES_MAX: usize = 65_000;

/// At most [`SEND_BATCH`] datagrams, in the order in which they are to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Vec<Waiting>,
    /// What this host's link does not take: to where, and how long.
    too_long: Vec<(SocketAddr, usize)>,
    room: SendRoom,
}

/// A datagram that is to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Waiting {
    to: SocketAddr,
    /// It goes out as ECT(0).
    ect: bool,
    bytes: Vec<u8>,
}

/// Datagrams that go with one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Plan {
    /// How many datagrams each message has.
    counts: [usize; SEND_BATCH],
    messages: usize,
    /// The length of all datagrams of a message that has several, but its last.
    segment: Option<usize>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::with_capacity(SEND_BATCH), too_long: Vec::new(), room: SendRoom::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= SEND_BATCH
    }

    /// Adds a datagram, which goes out as ECT(0) if `ect` says so.
    pub(super) fn push(&mut self, to: SocketAddr, ect: bool, bytes: Vec<u8>) {
        self.waiting.push(Waiting { to, ect, bytes });
    }

    /// What was too long for this host's link since the last call: to where, and how long it was.
    pub(super) fn take_too_long(&mut self) -> impl Iterator<Item = (SocketAddr, usize)> + '_ {
        self.too_long.drain(..)
    }

    /// Sends what waits until the kernel has no more room; `done` gets the buffers of what went.
    pub(super) fn send(&mut self, socket: &mut Socket, done: impl FnMut(Vec<u8>)) {
        // Sessions take turns. The order matters within each of them only, and a stable sort of so few allocates nothing.
        self.waiting.sort_by_key(|waiting| waiting.to);
        let mut sent = 0;
        while sent < self.waiting.len() {
            let waiting = &self.waiting[sent..];
            let plan = Plan::of(waiting, socket.can(Facility::Segments));
            let outcome = send_plan(socket, &mut self.room, &plan, waiting);
            match outcome {
                Sent::Full => break,
                // A kernel that took nothing and has no complaint would have us here for ever.
                Sent::Done(messages) if messages > 0 => sent += plan.datagrams(messages),
                Sent::Done(_) | Sent::Apart | Sent::TooLong => {
                    let apart = &waiting[..plan.datagrams(1)];
                    let too_long = &mut self.too_long;
                    let goes = |Waiting { to, ect, bytes }: &&Waiting| {
                        socket.offer(*ect);
                        let outcome = socket.send(*to, bytes);
                        if outcome == Sent::TooLong {
                            too_long.push((*to, bytes.len()));
                        }
                        outcome != Sent::Full
                    };
                    let count = apart.iter().take_while(goes).count();
                    sent += count;
                    if count < apart.len() {
                        break;
                    }
                }
            }
        }
        self.waiting.drain(..sent).map(|waiting| waiting.bytes).for_each(done);
    }
}

/// Hands what `plan` says of `waiting` to the kernel.
fn send_plan(socket: &mut Socket, room: &mut SendRoom, plan: &Plan, waiting: &[Waiting]) -> Sent {
    socket.offer(waiting.first().is_some_and(|first| first.ect));
    let mut slices = [IoSlice::new(&[]); SEND_BATCH];
    for (slice, waiting) in slices.iter_mut().zip(waiting) {
        *slice = IoSlice::new(&waiting.bytes);
    }
    let (mut messages, mut to) = ([&slices[..0]; SEND_BATCH], [None; SEND_BATCH]);
    let mut at = 0;
    for (index, count) in plan.counts[..plan.messages].iter().enumerate() {
        messages[index] = &slices[at..at + count];
        to[index] = Some(SockaddrStorage::from(waiting[at].to));
        at += count;
    }
    let segment = plan.segment.and_then(|segment| u16::try_from(segment).ok());
    let call = Call { to: &to[..plan.messages], messages: &messages[..plan.messages], segment };
    socket.send_call(room, &call)
}

impl Plan {
    /// What of `waiting` can go with one call. All messages of a call are cut alike, so one that is cut goes with others
    /// that are cut to the same length, and with datagrams that are no longer than that. The socket says whether they are
    /// ECT(0), for all of them.
    fn of(waiting: &[Waiting], segments: bool) -> Self {
        let mut plan = Self::default();
        let (mut at, mut longest) = (0, 0);
        while at < waiting.len() && waiting[at].ect == waiting[0].ect && plan.messages < SEND_BATCH {
            let (count, len) = (if segments { together(&waiting[at..]) } else { 1 }, waiting[at].bytes.len());
            let segment = if count > 1 { plan.segment.or(Some(len)) } else { plan.segment };
            let fits = |segment: usize| longest.max(len) <= segment && (count == 1 || len == segment);
            if !segment.is_none_or(fits) {
                break;
            }
            longest = longest.max(len);
            plan.segment = segment;
            plan.counts[plan.messages] = count;
            plan.messages += 1;
            at += count;
        }
        plan
    }

    /// Datagrams of the first so many messages.
    fn datagrams(&self, messages: usize) -> usize {
        self.counts[..messages.min(self.messages)].iter().sum()
    }
}

/// How many datagrams from the first on can be one message: to one address, all ECT(0) or none, of one length, save for the
/// last, which may be shorter.
fn together(waiting: &[Waiting]) -> usize {
    let Some(first) = waiting.first() else { return 0 };
    let most = (MESSAGE_BYTES_MAX / first.bytes.len().max(1)).clamp(1, SEND_BATCH);
    let joins = |other: &Waiting| (other.to, other.ect) == (first.to, first.ect);
    let same = waiting.iter().take(most);
    let same = same.take_while(|other| joins(other) && other.bytes.len() == first.bytes.len()).count();
    let shorter = waiting[..most.min(waiting.len())]
        .get(same)
        .is_some_and(|other| joins(other) && other.bytes.len() < first.bytes.len());
    same + usize::from(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::facility::Facilities;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn of(parts: &[(u16, usize)]) -> Vec<Waiting> {
        let waiting =
            |(port, len): &(u16, usize)| Waiting { to: address(*port), ect: false, bytes: vec![0; *len] };
        parts.iter().map(waiting).collect()
    }

    #[test]
    fn only_what_the_kernel_can_cut_goes_together() {
        assert_eq!(together(&of(&[])), 0);
        assert_eq!(together(&of(&[(1, 100)])), 1);
        assert_eq!(together(&of(&[(1, 100), (1, 100), (1, 40), (1, 40)])), 3, "the shorter one ends it");
        assert_eq!(together(&of(&[(1, 100), (1, 101)])), 1);
        assert_eq!(together(&of(&[(1, 100), (2, 100)])), 1);
        assert_eq!(together(&of(&[(1, 8_900); SEND_BATCH])), 7);
    }

    #[test]
    fn one_call_has_messages_that_are_cut_alike() {
        let plan = |parts: &[(u16, usize)], segments: bool| {
            let plan = Plan::of(&of(parts), segments);
            (plan.counts[..plan.messages].to_vec(), plan.segment)
        };
        assert_eq!(plan(&[], true), (vec![], None));
        assert_eq!(plan(&[(1, 50), (2, 900), (3, 7)], true), (vec![1, 1, 1], None));
        assert_eq!(plan(&[(1, 90), (1, 90), (1, 30), (2, 90), (2, 90)], true), (vec![3, 2], Some(90)));
        assert_eq!(plan(&[(1, 90), (1, 90), (2, 80), (2, 80)], true), (vec![2], Some(90)));
        assert_eq!(plan(&[(1, 90), (1, 90), (2, 91), (3, 1)], true), (vec![2], Some(90)));
        assert_eq!(plan(&[(1, 91), (2, 90), (2, 90)], true), (vec![1], None), "it would be cut");
        assert_eq!(plan(&[(1, 40), (2, 90), (2, 90)], true), (vec![1, 2], Some(90)));
        assert_eq!(plan(&[(1, 90), (1, 90), (2, 90)], false), (vec![1, 1, 1], None));
    }

    #[test]
    fn one_call_is_ect_or_is_not() {
        let mut waiting = of(&[(1, 90), (1, 90), (1, 90), (2, 90), (2, 90)]);
        waiting[2].ect = true;
        assert_eq!(together(&waiting), 2);
        assert_eq!(Plan::of(&waiting, true).datagrams(SEND_BATCH), 2);
        assert_eq!(Plan::of(&waiting[2..], false).datagrams(SEND_BATCH), 1);
    }

    #[test]
    fn every_datagram_arrives_whole_in_its_order_whatever_the_kernel_lacks() {
        use Facility::{Ecn, Segments, Sendmmsg};
        for lacks in [&[][..], &[Segments], &[Sendmmsg], &[Ecn], &[Segments, Sendmmsg]] {
            let can = lacks.iter().fold(Facilities::ALL, |can, lacks| can.without(*lacks));
            let mut socket = Socket::bind(address(0), can).unwrap();
            let peers = [(); 2].map(|()| std::net::UdpSocket::bind(address(0)).unwrap());
            let mut outbox = Outbox::new();
            let lens = [900, 900, 900, 400, 900, 1_000, 1_000, 20];
            for (at, len) in lens.into_iter().enumerate() {
                for peer in &peers {
                    outbox.push(peer.local_addr().unwrap(), at % 3 == 0, vec![at as u8; len]);
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
                    assert_eq!(peer.recv(&mut bytes).unwrap(), len, "without {lacks:?}");
                    assert!(bytes[..len].iter().all(|byte| *byte == at as u8), "datagram {at}");
                }
            }
            for lacks in lacks {
                assert!(!socket.can(*lacks));
            }
        }
    }
}
