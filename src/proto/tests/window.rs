//! The receive window against a model of both ends, over a network that loses, repeats and reorders.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::Rng;
use lfp_proto::frame::{Ack, Frame, Refusal};
use lfp_proto::limits::{ACK_DELAY, ACK_LEN_MAX, ACK_PACKETS, ACK_RANGES_MAX, ACK_REFUSALS_MAX, RECORDS_MAX};
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;
use lfp_proto::window::{Arrival, ReceiveWindow};
use lfp_proto::wire::Reader;

fn number(value: u64) -> PacketNumber {
    PacketNumber(value)
}

fn refusals(count: usize) -> Vec<(u16, Refusal)> {
    (0..count).map(|index| (index as u16, Refusal::ALL[index % Refusal::ALL.len()])).collect()
}

fn applied(window: &mut ReceiveWindow, packet: u64, refused: usize) {
    window.on_applied(number(packet), Instant::ZERO, true, refusals(refused));
}

fn ack(window: &mut ReceiveWindow, carrier: u64) -> Ack {
    let ack = window.ack(Instant::ZERO, number(carrier)).expect("something came");
    check_wire(&ack);
    ack
}

fn check_wire(ack: &Ack) {
    let mut bytes = Vec::new();
    Frame::Ack(ack.clone()).emit(&mut bytes);
    assert!(bytes.len() <= ACK_LEN_MAX, "an ack of {} bytes", bytes.len());
    assert_eq!(bytes.len(), ack.encoded_len());
    let mut reader = Reader::new(&bytes);
    assert_eq!(Frame::parse(&mut reader), Ok(Frame::Ack(ack.clone())));
    assert_eq!(reader.remaining(), 0);
}

fn ranges(ack: &Ack) -> Vec<(u64, u64)> {
    ack.ranges.iter().map(|range| (range.first.0, range.last.0)).collect()
}

#[test]
fn ranges_grow_join_and_split() {
    let mut window = ReceiveWindow::default();
    for packet in [5, 6, 9, 2, 8, 7, 1] {
        assert_eq!(window.examine(number(packet)), Arrival::New);
        applied(&mut window, packet, 0);
        assert_eq!(window.examine(number(packet)), Arrival::Known);
    }
    assert_eq!(ranges(&ack(&mut window, 1)), [(5, 9), (1, 2)]);
    for packet in [4, 3] {
        applied(&mut window, packet, 0);
    }
    assert_eq!(ranges(&ack(&mut window, 2)), [(1, 9)]);
    assert_eq!(window.examine(number(0)), Arrival::Known, "zero is nobody's number");
}

#[test]
fn an_ack_is_due_at_once_at_a_gap_or_after_enough_packets_and_else_after_a_delay() {
    let now = Instant::from_micros(1_000_000);
    let mut window = ReceiveWindow::default();
    window.on_applied(number(1), now, false, Vec::new());
    assert_eq!(window.ack_due(), None, "nothing that asks for an ack came");
    window.on_applied(number(2), now, true, Vec::new());
    assert_eq!(window.ack_due(), Some(now + ACK_DELAY));
    let later = now + Duration::from_millis(1);
    window.on_applied(number(4), later, true, Vec::new());
    assert_eq!(window.ack_due(), Some(later), "three is missing");
    assert_eq!(window.ack(later + Duration::from_micros(70), number(1)).map(|ack| ack.delay_us), Some(70));
    assert_eq!(window.ack_due(), None);
    window.on_applied(number(3), later, true, Vec::new());
    assert_eq!(window.ack_due(), Some(later), "a late one is news");
    window.ack(later, number(2));
    for packet in 5..5 + u64::from(ACK_PACKETS) {
        assert_ne!(window.ack_due(), Some(later));
        window.on_applied(number(packet), later, true, Vec::new());
    }
    assert_eq!(window.ack_due(), Some(later));
}

#[test]
fn refusals_are_repeated_until_a_carrier_is_acked() {
    let mut window = ReceiveWindow::default();
    applied(&mut window, 1, 2);
    assert_eq!(ack(&mut window, 10).refused.len(), 1);
    applied(&mut window, 2, 1);
    let second = ack(&mut window, 11);
    assert_eq!(second.refused.iter().map(|refused| refused.packet.0).collect::<Vec<_>>(), [2, 1]);
    window.on_carrier_acked(number(12));
    assert_eq!(ack(&mut window, 13).refused.len(), 2, "no ack went in twelve");
    window.on_carrier_acked(number(10));
    assert_eq!(ack(&mut window, 14).refused.len(), 1, "ten carried only those of packet one");
    window.on_carrier_acked(number(11));
    let last = ack(&mut window, 15);
    assert!(last.refused.is_empty());
    assert_eq!(ranges(&last), [(1, 2)]);
}

#[test]
fn what_one_ack_cannot_list_is_forgotten_and_never_acked() {
    let mut window = ReceiveWindow::default();
    applied(&mut window, 1, RECORDS_MAX);
    assert_eq!(ranges(&ack(&mut window, 1)), [(1, 1)], "one datagram's refusals always fit");
    applied(&mut window, 2, 0);
    applied(&mut window, 3, 1);
    let after = ack(&mut window, 2);
    assert_eq!(ranges(&after), [(2, 3)]);
    assert_eq!(after.refused.iter().map(|refused| refused.records.len()).sum::<usize>(), 1);
    assert_eq!(window.examine(number(1)), Arrival::Known, "a forgotten packet is not applied again");
    for packet in 4..300 {
        applied(&mut window, packet, 1);
        let listed: usize =
            ack(&mut window, packet).refused.iter().map(|refused| refused.records.len()).sum();
        assert!(listed <= ACK_REFUSALS_MAX);
    }
}

#[test]
fn more_gaps_than_an_ack_can_name_forget_the_oldest() {
    let mut window = ReceiveWindow::default();
    for packet in (1..).step_by(2).take(ACK_RANGES_MAX + 3) {
        applied(&mut window, packet, 1);
    }
    let ack = ack(&mut window, 1);
    assert_eq!(ack.ranges.len(), ACK_RANGES_MAX);
    assert_eq!(ack.ranges.last().map(|range| range.first), Some(number(7)));
    assert_eq!(ack.refused.last().map(|refused| refused.packet), Some(number(7)));
    assert_eq!(window.examine(number(2)), Arrival::Known);
}

#[test]
fn a_floor_forgets_what_lies_below_it_and_no_more_than_came() {
    let mut window = ReceiveWindow::default();
    for packet in [1, 2, 3, 7, 8] {
        applied(&mut window, packet, 1);
    }
    window.on_floor(number(3));
    assert_eq!(ranges(&ack(&mut window, 1)), [(7, 8), (3, 3)]);
    assert_eq!(ack(&mut window, 2).refused.len(), 3);
    window.on_floor(number(2));
    window.on_floor(number(0));
    assert_eq!(ranges(&ack(&mut window, 3)), [(7, 8), (3, 3)], "a floor never sinks");
    window.on_floor(number(u64::MAX));
    assert_eq!(window.examine(number(9)), Arrival::New);
    assert_eq!(window.largest(), number(8));
    assert_eq!(window.ack(Instant::ZERO, number(4)), None);
    applied(&mut window, 9, 0);
    assert_eq!(ranges(&ack(&mut window, 5)), [(9, 9)]);
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let mut window = ReceiveWindow::default();
    for packet in [u64::MAX, u64::MAX - 2, u64::MAX - 1, 0, 5, u64::MAX] {
        applied(&mut window, packet, 3);
        ack(&mut window, packet);
    }
    window.on_floor(number(u64::MAX));
    window.on_carrier_acked(number(u64::MAX));
    assert_eq!(window.examine(number(u64::MAX)), Arrival::Known);
}

#[test]
fn leaping_numbers_make_no_ack_too_long() {
    let mut window = ReceiveWindow::default();
    for step in 0..200 {
        applied(&mut window, 1 + (step << 55), (step % 9) as usize);
        let ack = ack(&mut window, step + 1);
        assert_eq!(ack.largest(), window.largest());
    }
}

/// Both ends, as far as acks go: what the sender believes of each packet must be what happened.
#[derive(Default)]
struct Model {
    window: ReceiveWindow,
    /// Refused indices of each packet that was applied.
    truth: BTreeMap<u64, Vec<(u16, Refusal)>>,
    /// What the sender believes of each packet that it saw acked.
    believed: BTreeMap<u64, Vec<(u16, Refusal)>>,
    /// Acks on their way to the sender.
    acks: Vec<(u64, Ack)>,
    /// Own packets whose acks are on their way to the receiver.
    acked_carriers: Vec<u64>,
    carriers: u64,
}

impl Model {
    fn deliver(&mut self, rng: &mut Rng, packet: u64) {
        let known = self.window.examine(number(packet)) == Arrival::Known;
        let count = if rng.percent(20) { rng.below(RECORDS_MAX as u64 + 1) as usize } else { 0 };
        let refused = refusals(if rng.percent(70) { count.min(3) } else { count });
        if !known {
            assert!(!self.truth.contains_key(&packet), "packet {packet} was applied twice");
            self.truth.insert(packet, refused.clone());
            self.window.on_applied(number(packet), Instant::ZERO, true, refused);
        }
    }

    fn send_ack(&mut self) {
        self.carriers += 1;
        let carrier = number(self.carriers);
        if let Some(ack) = self.window.ack(Instant::ZERO, carrier) {
            check_wire(&ack);
            self.acks.push((self.carriers, ack));
        }
        assert_eq!(self.window.ack_due(), None, "an ack settles what is owed");
    }

    fn receive_ack(&mut self, carrier: u64, ack: &Ack) {
        let refused: BTreeMap<_, _> = ack.refused.iter().map(|r| (r.packet.0, r.records.clone())).collect();
        for range in &ack.ranges {
            for packet in range.first.0..=range.last.0 {
                let truth =
                    self.truth.get(&packet).unwrap_or_else(|| panic!("{packet} acked, never applied"));
                let said = refused.get(&packet).cloned().unwrap_or_default();
                let believed = self.believed.entry(packet).or_insert(said);
                assert_eq!(believed, truth, "what the sender believes of {packet}");
            }
        }
        self.acked_carriers.push(carrier);
    }
}

fn run(seed: u64) {
    let mut rng = Rng::new(seed);
    let (loss, most_delay) = (rng.below(60), 1 + rng.below(40));
    let mut model = Model::default();
    let mut under_way: BTreeSet<(u64, u64)> = BTreeSet::new();
    for step in 1..1_500_u64 {
        for _ in 0..2 {
            if !rng.percent(loss) {
                under_way.insert((step + rng.below(most_delay), step));
            }
        }
        while let Some(&(at, packet)) = under_way.first().filter(|(at, _)| *at <= step) {
            under_way.remove(&(at, packet));
            model.deliver(&mut rng, packet);
        }
        if rng.percent(40) {
            model.send_ack();
        }
        if !model.acks.is_empty() && rng.percent(60) {
            let at = rng.below(model.acks.len() as u64) as usize;
            let (carrier, ack) = model.acks.remove(at);
            if !rng.percent(loss) {
                model.receive_ack(carrier, &ack);
            }
        }
        if !model.acked_carriers.is_empty() && rng.percent(50) {
            let at = rng.below(model.acked_carriers.len() as u64) as usize;
            let carrier = model.acked_carriers.swap_remove(at);
            model.window.on_carrier_acked(number(carrier));
        }
        if rng.percent(3) {
            model.window.on_floor(number(step.saturating_sub(rng.below(200))));
        }
    }
    assert!(!model.believed.is_empty());
}

#[test]
fn the_sender_never_believes_what_did_not_happen() {
    for seed in 0..60 {
        run(seed);
    }
}
