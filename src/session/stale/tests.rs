//! What is asked, when, and when nothing is.

use super::*;
use crate::geometry::Size;
use crate::scan::Picture;
use crate::units::{ConnectionId, ContentNumber, PacketNumber};
use lfp_proto::packet::Kind;

const SIZE: Size = Size { width: 160, height: 64 };
const ALL: CellRect = CellRect { x: 0, y: 0, width: 10, height: 4 };

/// A session's knowledge of ten by four cells, all sent and confirmed.
struct Rig {
    cells: Cells,
    stale: Stale,
    picture: Picture,
    now: Instant,
    number: u64,
}

impl Rig {
    fn new() -> Self {
        let (cells, stale, picture) =
            (Cells::new(SIZE.grid()), Stale::new(SurfaceId(0), Epoch(1), SIZE.grid()), Picture::black(SIZE));
        let mut rig = Self { cells, stale, picture, now: Instant::from_micros(10_000_000), number: 0 };
        rig.send(ALL);
        rig
    }

    /// Cells go out, and come.
    fn send(&mut self, cells: CellRect) {
        self.number += 1;
        self.cells.on_sent(cells, self.number, ContentNumber(self.number), true, &self.picture);
        self.cells.on_confirmed(cells, ContentNumber(self.number), &self.picture);
        self.stale.on_sent(cells);
    }

    /// They change on the screen.
    fn change(&mut self, cells: CellRect) {
        let mut changed = CellSet::new(SIZE.grid());
        for index in cells.indices(SIZE.grid()) {
            changed.insert(index);
        }
        self.cells.on_delta(self.number + 1, self.now, &changed);
        self.send(cells);
    }

    /// What is asked within so many seconds, while `cells` change all the time.
    fn asked(&mut self, seconds: u64, cells: Option<CellRect>, answers: bool) -> Vec<CellRect> {
        let mut asked = Vec::new();
        for _ in 0..seconds * 10 {
            self.now = self.now + Duration::from_millis(100);
            cells.into_iter().for_each(|cells| self.change(cells));
            self.stale.on_time(self.now, &self.cells, false);
            if let Some(due) = self.stale.due() {
                let number = PacketNumber(asked.len() as u64 + 1);
                let mut builder = Builder::new(Vec::new(), 1_100, Kind::Data, ConnectionId(1), number);
                assert!(self.stale.put(&mut builder, &mut Vec::new()) && self.stale.due().is_none());
                asked.push(due);
                if answers {
                    self.stale.on_proven(due);
                }
            }
        }
        asked
    }
}

fn rect(x: u16, y: u16, width: u16, height: u16) -> CellRect {
    CellRect { x, y, width, height }
}

#[test]
fn what_is_proven_by_itself_is_never_asked_and_nothing_is_waited_for() {
    let mut rig = Rig::new();
    rig.stale.on_proven(ALL);
    assert!(rig.asked(30, None, true).is_empty());
    assert_eq!(rig.stale.look_at(), None, "an idle session sleeps");
}

#[test]
fn the_oldest_is_asked_first_and_what_rests_is_proven_once() {
    let mut rig = Rig::new();
    rig.send(rect(0, 0, 10, 2));
    assert_eq!(rig.asked(30, None, true), [rect(0, 2, 10, 2), rect(0, 0, 10, 2)]);
    assert_eq!(rig.stale.look_at(), None);
}

#[test]
fn what_moves_is_left_out_and_what_is_beside_it_is_proven() {
    let mut rig = Rig::new();
    let moving = rect(4, 1, 3, 2);
    let asked = rig.asked(60, Some(moving), true);
    let mut proven = CellSet::new(SIZE.grid());
    for index in asked.iter().flat_map(|cells| cells.indices(SIZE.grid())) {
        proven.insert(index);
    }
    let beside = ALL.indices(SIZE.grid()).filter(|index| {
        let (x, y) = ((index % 10) as u16, (index / 10) as u16);
        !(4..7).contains(&x) || !(1..3).contains(&y)
    });
    assert!(beside.into_iter().all(|index| proven.contains(index)), "{asked:?}");
    assert!(asked.len() <= 15, "one in four seconds at most: {asked:?}");
}

#[test]
fn nothing_is_asked_while_most_is_new_or_the_path_is_full() {
    let mut rig = Rig::new();
    assert!(rig.asked(30, Some(rect(0, 0, 10, 2)), true).is_empty());
    let mut rig = Rig::new();
    for _ in 0..300 {
        rig.now = rig.now + Duration::from_millis(100);
        rig.stale.on_time(rig.now, &rig.cells, true);
    }
    assert_eq!(rig.stale.due(), None);
}

#[test]
fn a_client_that_does_not_answer_is_asked_less_and_less() {
    let mut rig = Rig::new();
    let first = rig.asked(60, None, false).len();
    let later = rig.asked(600, None, false).len();
    assert!((4..=7).contains(&first) && (9..=11).contains(&later), "{first}, {later}");
}
