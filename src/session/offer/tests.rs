use super::*;
use crate::geometry::Size;
use lfp_proto::packet::Kind;
use lfp_proto::units::{ConnectionId, PacketNumber};

fn offers() -> Offers {
    Offers::new(Size::new(1_280, 800).expect("legal").grid(), Instant::ZERO)
}

fn put(offers: &mut Offers) -> Vec<Item> {
    let mut builder = Builder::new(Vec::new(), 1_200, Kind::Data, ConnectionId(1), PacketNumber(1));
    let mut items = Vec::new();
    offers.put(SurfaceId(0), Epoch(1), &mut builder, &mut items);
    items
}

#[test]
fn each_part_is_compared_once_and_only_if_it_is_one() {
    let (mut offers, grid) = (offers(), Size::new(1_280, 800).expect("legal").grid());
    for (part, count) in [(0, 127), (2, 128), (3, 128), (255, 1), (2, 5)] {
        offers.on_offer(part, vec![7; count]);
        assert_eq!(offers.request(grid), None, "part {part} with {count} digests");
    }
    offers.on_offer(2, vec![7; 4]);
    offers.on_offer(2, vec![8; 4]);
    assert_eq!(offers.request(grid), Some((2, CellRect { x: 0, y: 48, width: 80, height: 2 })));
    offers.on_offer(2, vec![9; 4]);
    assert_eq!(offers.request(grid), None, "once");
    assert_eq!(offers.parts[2], Part::Asked(vec![7; 4]), "the first word counts");
    assert!(offers.memory_bytes() < 4_096);
}

#[test]
fn pixels_wait_until_all_is_compared_or_there_is_nothing_and_never_for_long() {
    let grid = Size::new(1_280, 800).expect("legal").grid();
    let mut all = offers();
    assert_eq!(all.holds_until(), Some(Instant::ZERO + OFFER_WAIT));
    for part in 0..3_u8 {
        assert!(all.holds_until().is_some());
        all.on_offer(part, vec![7; if part < 2 { 128 } else { 4 }]);
        assert!(all.request(grid).is_some());
        all.parts[usize::from(part)] = Part::Due(0);
    }
    assert_eq!(all.holds_until(), None);
    let mut none = offers();
    none.on_offer(0, Vec::new());
    assert_eq!(none.holds_until(), None);
}

#[test]
fn what_holds_is_said_until_it_is_known_and_counts_once() {
    let mut offers = offers();
    offers.parts[2] = Part::Due(0b1010);
    assert!(offers.is_due());
    assert_eq!(put(&mut offers), [Item::Keep { surface: SurfaceId(0), epoch: Epoch(1), part: 2 }]);
    assert!(!offers.is_due() && put(&mut offers).is_empty());
    offers.on_lost(2);
    assert!(offers.is_due());
    put(&mut offers);
    let kept = offers.on_known(2);
    assert_eq!(kept.iter().map(|plot| plot.x).collect::<Vec<_>>(), [68, 76]);
    offers.on_lost(2);
    assert!(!offers.is_due() && offers.on_known(2).is_empty(), "a copy that was lost changes nothing");
    offers.on_lost(9);
    assert!(offers.on_known(9).is_empty());
}
