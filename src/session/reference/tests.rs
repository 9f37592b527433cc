//! References through losses, acks and changes of policy.

use super::*;
use crate::limits::CELL_PIXELS;
use crate::limits::CLEAN_RECORDS_MIN;
use lfp_proto::packet::{Kind, View};
use lfp_proto::units::ConnectionId;

const SIZE: Size = Size { width: 64, height: 16 };

/// A session's knowledge of four cells, and a picture of them.
struct Rig {
    cells: Cells,
    references: References,
    picture: Picture,
    number: u64,
}

fn one(x: u16) -> CellRect {
    CellRect { x, y: 0, width: 1, height: 1 }
}

impl Rig {
    fn new(kept: u8) -> Self {
        let references = References::new(SurfaceId(0), Epoch(1), kept, SIZE);
        let mut rig =
            Self { cells: Cells::new(SIZE.grid()), references, picture: Picture::black(SIZE), number: 0 };
        for x in 0..4 {
            rig.send(x);
        }
        rig.references.advance(&rig.cells, None);
        rig
    }

    /// New pixels of a cell go out in a packet of their own.
    fn send(&mut self, x: u16) -> ContentNumber {
        self.number += 1;
        let content = ContentNumber(self.number);
        self.picture.put(x, 0, Arc::new([self.number as u32; CELL_PIXELS]), self.number);
        self.cells.on_sent(one(x), self.number, content, true, &self.picture);
        self.references.on_sent(one(x), content, Some(&self.picture));
        content
    }

    fn ack(&mut self, x: u16, content: ContentNumber) {
        self.cells.on_confirmed(one(x), content, &self.picture);
        self.references.on_confirmed(one(x), content, false);
    }

    fn lose(&mut self, x: u16, content: ContentNumber) {
        self.references.on_missing(one(x), content);
        self.references.on_lost();
        self.cells.on_missing(one(x), content);
    }

    /// Slot and trusted cells of the base.
    fn base(&mut self) -> (u8, Vec<usize>) {
        let base = self.references.base().expect("a base");
        (base.slot, base.trusted.iter().collect())
    }

    /// Refusals until only what has come is built on.
    fn refuse(&mut self) {
        while self.references.path.policy() == Policy::Newest {
            self.references.on_base_refused();
        }
    }

    /// The HOLDs that packet `number` carries: slot and through.
    fn told(&self, number: u64) -> Vec<(u8, u64)> {
        let number = PacketNumber(number);
        let mut builder = Builder::new(Vec::new(), 1_200, Kind::Data, ConnectionId(1), number);
        assert!(self.references.announce(&mut builder, number, &mut Vec::new()));
        let bytes = builder.finish();
        let view = View::new_checked(&bytes).unwrap();
        let hold = |frame| match frame {
            Ok(Frame::Hold(hold)) => (hold.slot, hold.through(number).unwrap().0),
            other => panic!("{other:?}"),
        };
        view.frames().map(hold).collect()
    }
}

#[test]
fn what_was_sent_is_built_on_until_it_is_lost_and_again_when_it_was_late() {
    let mut rig = Rig::new(2);
    assert_eq!(rig.base(), (0, vec![0, 1, 2, 3]));
    rig.lose(1, ContentNumber(2));
    assert!(rig.references.take_doubt());
    assert_eq!(rig.base(), (0, vec![0, 2, 3]));
    rig.ack(1, ContentNumber(2));
    assert_eq!(rig.base(), (0, vec![0, 1, 2, 3]));
    // A lost cell that went out again is lost no more, in what is held from then on.
    rig.lose(2, ContentNumber(3));
    assert!(rig.references.advance(&rig.cells, None) || rig.base().1 == [0, 1, 3]);
    rig.send(2);
    assert!(rig.references.advance(&rig.cells, None));
    assert_eq!(rig.base(), (0, vec![0, 1, 2, 3]));
}

#[test]
fn a_record_is_not_sent_on_what_has_moved_on_or_was_lost() {
    let mut rig = Rig::new(2);
    let used = rig.references.base().unwrap().using(one(1));
    let check = check::contents([ContentNumber(2)]);
    assert_eq!(rig.references.wire(used), Some(record::Base::Reference { slot: 0, check }));
    rig.lose(1, ContentNumber(2));
    assert_eq!((rig.references.wire(used), rig.references.holds(used)), (None, false));
    rig.ack(1, ContentNumber(2));
    assert!(rig.references.holds(used));
    rig.send(0);
    rig.references.advance(&rig.cells, None);
    assert!(!rig.references.holds(used), "another generation, though the cell is the same");
}

#[test]
fn a_hold_is_repeated_until_it_is_acked_or_another_is_due() {
    let mut rig = Rig::new(2);
    assert_eq!((rig.told(5), rig.told(9)), (vec![(0, 4)], vec![(0, 4)]));
    rig.references.on_announced(1, ContentNumber(4));
    rig.references.on_announced(0, ContentNumber(3));
    assert_eq!(rig.told(10), [(0, 4)], "acks of others");
    rig.references.on_announced(0, ContentNumber(4));
    assert_eq!(rig.told(10), []);
    rig.send(0);
    rig.references.advance(&rig.cells, None);
    assert_eq!(rig.told(11), [(0, 5)]);
}

#[test]
fn after_refusals_two_slots_take_turns_and_only_what_came_is_built_on() {
    let mut rig = Rig::new(2);
    (0..3).for_each(|x| rig.ack(x, ContentNumber(u64::from(x) + 1)));
    rig.refuse();
    assert_eq!(rig.base(), (0, vec![0, 1, 2]));
    let newer = rig.send(0);
    assert!(rig.references.advance(&rig.cells, None), "the other slot");
    assert_eq!((rig.base(), rig.told(9).len()), ((0, vec![0, 1, 2]), 2));
    rig.send(1);
    assert!(!rig.references.advance(&rig.cells, None), "its fate is open");
    rig.ack(0, newer);
    rig.lose(3, ContentNumber(4));
    assert!(rig.references.advance(&rig.cells, None), "the first slot is free now");
    assert_eq!(rig.base(), (1, vec![0, 1, 2]));
    // When nothing has been lost for long, what is on its way is good enough again.
    let newest = rig.send(2);
    rig.ack(2, newest);
    (0..2 * CLEAN_RECORDS_MIN).for_each(|_| rig.references.on_confirmed(one(2), ContentNumber(1), false));
    rig.references.advance(&rig.cells, None);
    assert_eq!((rig.base().1.len(), rig.references.take_turns()), (3, 2), "all but what was lost");
}

#[test]
fn one_slot_is_in_use_for_as_long_as_it_was_of_none() {
    let mut rig = Rig::new(1);
    rig.refuse();
    assert_eq!(rig.base(), (0, vec![]));
    rig.send(0);
    assert!(!rig.references.advance(&rig.cells, None));
    for (x, content) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        rig.ack(x, ContentNumber(content));
    }
    assert_eq!(rig.base(), (0, vec![0, 1, 2, 3]));
    assert!(!rig.references.advance(&rig.cells, None));
    assert!(rig.references.advance(&rig.cells, None));
    assert_eq!(rig.base(), (0, vec![1, 2, 3]), "what went out last is on its way");
}

#[test]
fn a_client_that_keeps_none_costs_nothing() {
    let mut rig = Rig::new(0);
    assert!(rig.references.base().is_none() && rig.told(9).is_empty());
    assert_eq!(rig.references.memory_bytes(), 0);
}

#[test]
fn after_a_loss_on_which_much_hangs_a_pass_builds_on_the_older_slot() {
    let size = Size { width: 64 * 16, height: 16 };
    let mut references = References::new(SurfaceId(0), Epoch(1), 2, size);
    let (mut cells, mut picture) = (Cells::new(size.grid()), Picture::black(size));
    let row = |x, width| CellRect { x, y: 0, width, height: 1 };
    let mut send = |references: &mut References, cells: &mut Cells, number: u64| {
        for x in 0..64 {
            picture.put(x, 0, Arc::new([number as u32; CELL_PIXELS]), number);
        }
        cells.on_sent(row(0, 64), number, ContentNumber(number), true, &picture);
        references.on_sent(row(0, 64), ContentNumber(number), Some(&picture));
        assert!(references.advance(cells, None));
        picture.clone()
    };
    // On a clean path there is but one slot.
    let first = send(&mut references, &mut cells, 1);
    assert!(references.held[1].is_none());
    references.on_lost();
    send(&mut references, &mut cells, 2);
    assert_eq!(references.held[1].as_ref().map(|held| held.through), Some(ContentNumber(2)));
    // All of what came next is lost: the pass builds on what was before.
    send(&mut references, &mut cells, 3);
    assert_eq!(references.base().unwrap().slot, 0);
    references.on_missing(row(0, 64), ContentNumber(3));
    cells.on_missing(row(0, 64), ContentNumber(3));
    assert!(!references.advance(&cells, None));
    let base = references.base().unwrap();
    assert_eq!((base.slot, base.trusted.len()), (1, 64));
    assert_ne!(base.picture.tile(0, 0), first.tile(0, 0));
    // What that sends is built on again, in the slot for it.
    send(&mut references, &mut cells, 4);
    assert_eq!(references.base().unwrap().slot, 0);
    // If the older slot lacks it too, there is nothing to go back to.
    references.distrust(row(0, 64));
    cells.distrust(row(0, 64));
    references.advance(&cells, None);
    assert_eq!(references.base().unwrap().slot, 0);
}
