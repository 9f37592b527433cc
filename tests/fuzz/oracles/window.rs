//! Windows: whatever comes in whatever order, acks stay legal and true.

use std::collections::{BTreeMap, BTreeSet};

use lfp_proto::frame::{Frame, Refusal};
use lfp_proto::limits::{ACK_LEN_MAX, RECORDS_MAX};
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;
use lfp_proto::window::{Arrival, ReceiveWindow};
use lfp_proto::wire::Reader;

use crate::harness::Outcome;

/// The input is a script: arrivals near and far, acks, carriers acked, floors.
pub(crate) fn receive(input: &[u8]) -> Outcome {
    let mut window = ReceiveWindow::default();
    let mut truth = BTreeMap::new();
    let (mut carriers, mut told) = (0, BTreeSet::new());
    for step in input.chunks_exact(3) {
        let value = u64::from(u16::from_le_bytes([step[1], step[2]]));
        let number = match step[0] % 4 {
            0 => PacketNumber(value),
            1 => PacketNumber(window.largest().0.saturating_add(value % 4)),
            2 => PacketNumber(window.largest().0.saturating_sub(value % 80)),
            _ => PacketNumber(window.largest().0.saturating_add(value << (step[0] / 4))),
        };
        match step[0] % 7 {
            0 => {
                carriers += 1;
                if let Some(ack) = window.ack(Instant::ZERO, PacketNumber(carriers)) {
                    check(&Frame::Ack(ack), &truth, &told);
                }
                assert_eq!(window.ack_due(), None);
            }
            1 => {
                window.on_carrier_acked(PacketNumber(value % (carriers + 2)));
                told.extend(truth.keys().copied());
            }
            2 if value % 8 == 0 => window.on_floor(number),
            _ if window.examine(number) == Arrival::New => {
                assert_eq!(truth.get(&number), None, "applied twice");
                let count = if value % 5 == 0 { usize::from(step[1]) % (RECORDS_MAX + 1) } else { 0 };
                let refused: Vec<_> = (0..count).map(|index| (index as u16, Refusal::Payload)).collect();
                truth.insert(number, count);
                window.on_applied(number, Instant::ZERO, step[2] % 2 == 0, refused);
            }
            _ => {}
        }
    }
    if carriers > 0 { Ok(()) } else { Err("no ack") }
}

fn check(frame: &Frame<'_>, truth: &BTreeMap<PacketNumber, usize>, told: &BTreeSet<PacketNumber>) {
    let mut bytes = Vec::new();
    frame.emit(&mut bytes);
    assert!(bytes.len() <= ACK_LEN_MAX);
    assert_eq!(Frame::parse(&mut Reader::new(&bytes)).as_ref(), Ok(frame));
    let Frame::Ack(ack) = frame else { return };
    for range in &ack.ranges {
        let came = truth.range(range.first..=range.last).count() as u64;
        assert_eq!(came - 1, range.last.0 - range.first.0, "acked what never came");
    }
    // Every refusal is listed that no carrier can have told.
    for (packet, count) in truth.iter().filter(|(packet, _)| !told.contains(packet)) {
        let acked = ack.ranges.iter().any(|range| range.first <= *packet && packet <= &range.last);
        let listed = ack.refused.iter().find(|refused| refused.packet == *packet);
        assert!(!acked || listed.map_or(0, |refused| refused.records.len()) == *count);
    }
}
