//! Parity over packets: every single loss comes back, and nothing else does.

mod common;

use common::Rng;
use lfp_proto::frame::{Frame, Parity};
use lfp_proto::limits::{DATAGRAM_MAX, PARITY_KEPT, PARITY_OVERHEAD, PARITY_PACKETS_MAX};
use lfp_proto::packet::{self, Builder, Kind, View};
use lfp_proto::units::{ConnectionId, PacketNumber};
use lfp_proto::window::{ParityGroup, ParityKeeper};
use lfp_proto::wire::Reader;

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(bound as u64) as usize
}

fn payload(rng: &mut Rng) -> Vec<u8> {
    (0..below(rng, 1_172)).map(|_| rng.next() as u8).collect()
}

/// Payloads of packets from `first` on, and what covers them.
fn group(rng: &mut Rng, first: u64, count: usize) -> (Vec<Vec<u8>>, ParityGroup) {
    let payloads: Vec<_> = (0..count).map(|_| payload(rng)).collect();
    let mut group = ParityGroup::default();
    (first..).zip(&payloads).for_each(|(number, payload)| group.add(PacketNumber(number), payload));
    (payloads, group)
}

#[test]
fn any_one_packet_comes_back_whatever_their_order() {
    let mut rng = Rng::new(17);
    for _ in 0..500 {
        let (first, count) = (1 + below(&mut rng, 1_000) as u64, 1 + below(&mut rng, PARITY_PACKETS_MAX));
        let (payloads, group) = group(&mut rng, first, count);
        let carrier = PacketNumber(first + count as u64 + below(&mut rng, PARITY_KEPT - count) as u64);
        let parity = group.parity(carrier).expect("there is something to cover");
        assert_eq!(usize::from(parity.count), count);
        let lost = below(&mut rng, count);
        let mut order: Vec<_> = (0..count).filter(|at| *at != lost).collect();
        if rng.percent(20) {
            order.reverse();
        }
        for at in (1..order.len()).rev() {
            order.swap(at, below(&mut rng, at + 1));
        }
        let mut keeper = ParityKeeper::default();
        order.iter().for_each(|at| keeper.keep(PacketNumber(first + *at as u64), &payloads[*at]));
        let missing = PacketNumber(first + lost as u64);
        assert_eq!(keeper.recover(&parity, carrier), Some((missing, payloads[lost].clone())));
        keeper.keep(missing, &payloads[lost]);
        assert_eq!(keeper.recover(&parity, carrier), None, "nothing is missing");
        if count > 1 {
            let two = ParityKeeper::default();
            assert_eq!(two.recover(&parity, carrier), None, "too much is missing");
        }
    }
}

#[test]
fn a_group_is_of_packets_that_follow_one_another() {
    let mut group = ParityGroup::default();
    assert_eq!(group.parity(PacketNumber(5)), None);
    group.add(PacketNumber(3), b"a");
    group.add(PacketNumber(5), b"bc");
    let parity = group.parity(PacketNumber(6)).unwrap();
    assert_eq!((parity.count, parity.packets(PacketNumber(6))), (1, Some(5..6)));
    assert_eq!(group.parity(PacketNumber(5 + PARITY_KEPT as u64 + 1)), None, "it lies too far back");
    for number in 6..6 + PARITY_PACKETS_MAX as u64 {
        group.add(PacketNumber(number), b"d");
    }
    assert_eq!(group.packets(), 1, "too many begin anew");
    group.clear();
    assert_eq!((group.packets(), group.parity(PacketNumber(30))), (0, None));
}

#[test]
fn a_receiver_keeps_a_bounded_number_of_packets() {
    let mut keeper = ParityKeeper::default();
    for number in 1..1_000 {
        keeper.keep(PacketNumber(number), &[7; 1_000]);
    }
    assert!(keeper.memory_bytes() <= PARITY_KEPT * 1_024);
    let mut group = ParityGroup::default();
    group.add(PacketNumber(998), &[7; 1_000]);
    group.add(PacketNumber(999), &[7; 1_000]);
    group.add(PacketNumber(1_000), b"lost");
    let parity = group.parity(PacketNumber(1_001)).unwrap();
    assert_eq!(keeper.recover(&parity, PacketNumber(1_001)), Some((PacketNumber(1_000), b"lost".to_vec())));
}

#[test]
fn what_does_not_add_up_is_not_acted_on() {
    let mut keeper = ParityKeeper::default();
    keeper.keep(PacketNumber(1), b"12345");
    let payload = &[b'1' ^ 9, b'2' ^ 9, b'3' ^ 9, b'4', b'5'];
    let (sound, number) = (Parity { back: 2, count: 2, len: 5 ^ 3, payload }, PacketNumber(3));
    assert_eq!(keeper.recover(&sound, number), Some((PacketNumber(2), vec![9; 3])));
    assert_eq!(keeper.recover(&Parity { len: 5 ^ 6, ..sound }, number), None, "longer than the longest");
    assert_eq!(keeper.recover(&Parity { len: 5 ^ 2, ..sound }, number), None, "a byte behind its end");
    assert_eq!(
        keeper.recover(&Parity { payload: b"123", ..sound }, number),
        None,
        "shorter than what it covers"
    );
    assert_eq!(keeper.recover(&Parity { back: 9, ..sound }, number), None, "before the first packet");
}

#[test]
fn frames_that_make_no_sense_are_malformed_and_all_others_come_back() {
    let mut rng = Rng::new(5);
    let (payloads, group) = group(&mut rng, 4, 3);
    let parity = group.parity(PacketNumber(8)).unwrap();
    let longest = payloads.iter().map(Vec::len).max().unwrap();
    let mut bytes = Vec::new();
    Frame::Parity(parity).emit(&mut bytes);
    assert!(bytes.len() <= longest + PARITY_OVERHEAD);
    assert_eq!(Frame::parse(&mut Reader::new(&bytes)), Ok(Frame::Parity(parity)));
    let parse = |back: u8, count: u8| {
        let mut changed = bytes.clone();
        (changed[1], changed[2]) = (back, count);
        Frame::parse(&mut Reader::new(&changed)).is_ok()
    };
    let most = PARITY_PACKETS_MAX as u8;
    assert!(parse(most, most) && parse(PARITY_KEPT as u8, 1) && parse(1, 1));
    assert!(!parse(4, 0) && !parse(4, 5) && !parse(most + 1, most + 1) && !parse(PARITY_KEPT as u8 + 1, 1));
    for len in 0..bytes.len() {
        assert!(Frame::parse(&mut Reader::new(&bytes[..len])).is_err());
    }
}

#[test]
fn the_longest_packet_that_may_be_covered_leaves_room_for_what_covers_it() {
    for datagram in [1_100, 1_200, DATAGRAM_MAX] {
        let (kind, id) = (Kind::Data, ConnectionId(1));
        let mut covered = Builder::new(Vec::new(), datagram - PARITY_OVERHEAD, kind, id, PacketNumber(1));
        covered.fill_up();
        let mut group = ParityGroup::default();
        group.add(PacketNumber(1), covered.payload());
        let mut carrier = Builder::new(Vec::new(), datagram, kind, id, PacketNumber(2));
        assert!(carrier.push(&Frame::Parity(group.parity(PacketNumber(2)).unwrap())));
        let bytes = carrier.finish();
        assert!(bytes.len() <= datagram);
        let view = View::new_checked(&bytes).unwrap();
        assert_eq!(packet::frames(view.payload()).count(), 1);
    }
}
