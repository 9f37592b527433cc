//! Which pixels answer input: from an event that a hypervisor has accepted to the frame that names it.
//!
//! An accepted event waits for the first capture that began afterwards and found a change. Of the cells that changed then,
//! the one that goes out first carries the answer: ECHO names its content, with where the time went, in the same packet if
//! there is room, and again until the client is known to have it. What a client makes of it depends on no packet: it knows
//! when it showed that content.

use std::collections::VecDeque;

use crate::geometry::{CellRect, CellSet};
use crate::limits::{ECHO_ANSWERS_MAX, ECHO_EVENTS_MAX, ECHO_WAIT_MAX, INPUT_PENDING_MAX};
use crate::session::carried::Item;
use crate::session::cells::Cells;
use crate::session::stats::SessionStats;
use crate::session::{Session, Wish};
use crate::time::{Instant, micros};
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::frame::{Echo, Echoed, Frame};
use lfp_proto::packet::Builder;

/// An event of a session's client that the guest's hypervisor has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptedEvent {
    /// The surface that it was meant for.
    pub surface: SurfaceId,
    /// Its number, as in INPUT.
    pub sequence: u64,
    /// When it came to the server.
    pub arrived: Instant,
    /// When the hypervisor had accepted it.
    pub accepted: Instant,
}

impl Wish {
    /// Surface and number of the event, if the screen is expected to answer it.
    #[must_use]
    pub fn awaits_echo(&self) -> Option<(SurfaceId, u64)> {
        let named = self.fresh.sequence > 0 && self.kind.is_echoed();
        named.then_some((self.fresh.surface, self.fresh.sequence))
    }
}

impl Session {
    /// A guest's hypervisor has accepted an event of this session's client.
    pub fn on_accepted(&mut self, event: AcceptedEvent) {
        self.stats.events_accepted += 1;
        if let Some(surface) = self.surfaces.get_mut(usize::from(event.surface.0)) {
            surface.unanswered_mut().push(event);
        }
    }
}

/// Accepted events of a surface that nothing has answered yet: at most [`INPUT_PENDING_MAX`].
#[derive(Debug, Default)]
pub(super) struct Unanswered(VecDeque<AcceptedEvent>);

impl Unanswered {
    pub(super) fn push(&mut self, event: AcceptedEvent) {
        if self.0.len() == INPUT_PENDING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// The events that a change answers which a capture found that began at `captured`. Those that nothing answered for
    /// [`ECHO_WAIT_MAX`] are forgotten: this is of another making.
    // SPEC [LFP-12.9]: A server MUST NOT name an event in ECHO that the guest's hypervisor has not accepted, nor with another
    // capture than the first of those that began afterwards in which the surface had changed
    pub(super) fn answered(&mut self, captured: Instant) -> Vec<Echoed> {
        self.0.retain(|event| captured.saturating_since(event.accepted) <= ECHO_WAIT_MAX);
        let mut answered = Vec::new();
        self.0.retain(|event| {
            let answers = event.accepted <= captured;
            if answers {
                answered.push(Echoed {
                    sequence: event.sequence,
                    injection_us: span_us(event.arrived, event.accepted),
                    wait_us: span_us(event.accepted, captured),
                });
            }
            !answers
        });
        answered.sort_unstable_by_key(|event| event.sequence);
        answered
    }
}

/// A change that answers some events.
#[derive(Debug)]
struct Answer {
    /// 1 to [`ECHO_EVENTS_MAX`], ascending.
    events: Vec<Echoed>,
    tick: u64,
    captured: Instant,
    /// The cells that changed, but for those that need not, or cannot, carry the answer any more.
    cells: CellSet,
    /// When one of them was encoded last, before any was sent.
    encoded: Option<Instant>,
    /// What shows it.
    sent: Option<Shown>,
    /// The next packet is to carry the ECHO.
    due: bool,
}

/// What shows an answer.
#[derive(Clone, Copy, Debug)]
struct Shown {
    cell: (u16, u16),
    content: ContentNumber,
    encode_us: u32,
    pacing_us: u32,
}

impl Answer {
    /// What names it.
    fn first(&self) -> u64 {
        self.events.first().map_or(0, |event| event.sequence)
    }

    fn concerns(&self, cells: CellRect, tick: u64) -> bool {
        let mut indices = cells.indices(self.cells.grid());
        self.sent.is_none() && tick >= self.tick && indices.any(|index| self.cells.contains(index))
    }
}

/// The answers of an epoch that the client is not known to have been told of: at most [`ECHO_ANSWERS_MAX`], the newest.
#[derive(Debug, Default)]
pub(super) struct Echoes(VecDeque<Answer>);

impl Echoes {
    /// Tick `tick`, whose capture began at `captured`, changed `changed`, which answers `events`. `cells` knows what went
    /// out meanwhile, because an encoder has seen the tick first: that carries no answer.
    pub(super) fn on_answered(
        &mut self,
        (tick, captured): (u64, Instant),
        changed: &CellSet,
        events: &[Echoed],
        cells: &Cells,
    ) {
        let mut open = changed.clone();
        changed.iter().filter(|index| cells.sent_tick(*index) >= tick).for_each(|index| {
            open.remove(index);
        });
        if open.is_empty() {
            return;
        }
        for events in events.chunks(ECHO_EVENTS_MAX) {
            if self.0.len() == ECHO_ANSWERS_MAX {
                self.0.pop_front();
            }
            let (events, cells) = (events.to_vec(), open.clone());
            self.0.push_back(Answer { events, tick, captured, cells, encoded: None, sent: None, due: false });
        }
    }

    /// `cells` were encoded as they are in tick `tick`.
    pub(super) fn on_encoded(&mut self, now: Instant, cells: CellRect, tick: u64) {
        for answer in self.0.iter_mut().filter(|answer| answer.concerns(cells, tick)) {
            answer.encoded = Some(now);
        }
    }

    /// The cell `index` is again as the client has it: it does not go out for this.
    pub(super) fn on_same(&mut self, index: usize) {
        self.0.retain_mut(|answer| {
            answer.sent.is_some() || !answer.cells.remove(index) || !answer.cells.is_empty()
        });
    }

    /// Nobody sees the surface: what has not gone out answers nobody.
    pub(super) fn on_hidden(&mut self) {
        self.0.retain(|answer| answer.sent.is_some());
    }

    /// `painted` goes out as `content`, perhaps not for the first time, in the packet that is built.
    pub(super) fn on_sent(
        &mut self,
        now: Instant,
        painted: CellRect,
        content: ContentNumber,
        cells: &Cells,
        stats: &mut SessionStats,
    ) {
        let grid = cells.grid();
        for answer in &mut self.0 {
            if let Some(sent) = answer.sent {
                // Whoever gets the copy instead of the first gets this with it.
                answer.due |= sent.content == content;
                continue;
            }
            let shows =
                |index: &usize| answer.cells.contains(*index) && cells.sent_tick(*index) >= answer.tick;
            let Some(index) = painted.indices(grid).find(shows) else { continue };
            let columns = usize::from(grid.columns);
            let cell = ((index % columns) as u16, (index / columns) as u16);
            let encoded = answer.encoded.unwrap_or(now);
            let (encode_us, pacing_us) = (span_us(answer.captured, encoded), span_us(encoded, now));
            answer.sent = Some(Shown { cell, content, encode_us, pacing_us });
            answer.due = true;
            stats.events_echoed += answer.events.len() as u64;
            let of_event = |event: &Echoed| u64::from(event.injection_us) + u64::from(event.wait_us);
            let all = u64::from(encode_us) + u64::from(pacing_us);
            stats.echo_us += answer.events.iter().map(|event| of_event(event) + all).sum::<u64>();
        }
    }

    /// Whether a packet should go for an ECHO alone.
    pub(super) fn is_due(&self) -> bool {
        self.0.iter().any(|answer| answer.due)
    }

    /// Puts what is due into packet `number`.
    // SPEC [LFP-12.10]: A server MUST name an event in one ECHO only. It repeats an ECHO whose packet is lost, with the same
    // times, as long as the epoch lasts.
    pub(super) fn put(
        &mut self,
        (surface, epoch): (SurfaceId, Epoch),
        number: PacketNumber,
        builder: &mut Builder,
        items: &mut Vec<Item>,
    ) {
        for answer in self.0.iter_mut().filter(|answer| answer.due) {
            let Some(Shown { cell, content, encode_us, pacing_us }) = answer.sent else { continue };
            let (age, events) = (number.0 - content.0, answer.events.clone());
            let echo = Echo { surface, epoch, cell, age, encode_us, pacing_us, events };
            if !builder.push(&Frame::Echo(echo)) {
                return;
            }
            answer.due = false;
            items.push(Item::Echo { surface, epoch, first: answer.first() });
        }
    }

    /// A packet came that carried the ECHO whose first event is `first`.
    pub(super) fn on_told(&mut self, first: u64) {
        self.0.retain(|answer| answer.sent.is_none() || answer.first() != first);
    }

    /// A packet with it is lost.
    pub(super) fn on_lost(&mut self, first: u64) {
        for answer in self.0.iter_mut().filter(|answer| answer.sent.is_some() && answer.first() == first) {
            answer.due = true;
        }
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let of = |answer: &Answer| {
            let cells = answer.cells.grid().cells().div_ceil(8);
            size_of::<Answer>() + cells + answer.events.len() * size_of::<Echoed>()
        };
        self.0.iter().map(of).sum()
    }
}

/// From one time to another, as far as 32 bits can say it.
fn span_us(from: Instant, to: Instant) -> u32 {
    u32::try_from(micros(to.saturating_since(from))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;

    const GRID: Grid = Grid { columns: 4, rows: 2 };

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn event(sequence: u64, accepted: u64) -> AcceptedEvent {
        AcceptedEvent { surface: SurfaceId(0), sequence, arrived: at(accepted - 1), accepted: at(accepted) }
    }

    fn numbers(events: &[Echoed]) -> Vec<u64> {
        events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn a_change_answers_what_was_accepted_before_its_capture_began_and_not_long_ago() {
        let mut unanswered = Unanswered::default();
        for (sequence, accepted) in [(1, 100), (2, 200), (3, 205)] {
            unanswered.push(event(sequence, accepted));
        }
        assert_eq!(unanswered.answered(at(99)), []);
        let answered = unanswered.answered(at(201));
        assert_eq!(numbers(&answered), [1, 2]);
        assert_eq!((answered[0].injection_us, answered[0].wait_us), (1_000, 101_000));
        assert_eq!(unanswered.answered(at(206) + ECHO_WAIT_MAX), [], "nothing answered it for so long");
        for sequence in 4..200 {
            unanswered.push(event(sequence, 2_000));
        }
        assert_eq!(unanswered.answered(at(2_000)).len(), INPUT_PENDING_MAX);
    }

    #[test]
    fn the_first_cell_that_goes_out_carries_the_answer_until_it_is_told() {
        let (mut echoes, mut stats) = (Echoes::default(), SessionStats::default());
        let mut cells = Cells::new(GRID);
        let mut changed = CellSet::new(GRID);
        for index in [5, 6] {
            changed.insert(index);
        }
        let mut unanswered = Unanswered::default();
        unanswered.push(event(7, 100));
        echoes.on_answered((3, at(110)), &changed, &unanswered.answered(at(110)), &cells);
        let picture = crate::scan::Picture::black(crate::geometry::Size { width: 64, height: 32 });
        let one = |x| CellRect { x, y: 1, width: 1, height: 1 };
        let mut send = |echoes: &mut Echoes, x, tick, content| {
            cells.on_sent(one(x), tick, ContentNumber(content), true, &picture);
            echoes.on_sent(at(130), one(x), ContentNumber(content), &cells, &mut stats);
            echoes.is_due()
        };
        assert!(!send(&mut echoes, 0, 3, 10), "another cell");
        assert!(!send(&mut echoes, 1, 2, 11), "from before");
        echoes.on_same(5);
        echoes.on_encoded(at(120), one(2), 4);
        assert!(send(&mut echoes, 2, 4, 12));
        let tell = |echoes: &mut Echoes, number| {
            let connection = crate::units::ConnectionId(1);
            let mut builder = Builder::new(
                Vec::new(),
                1_100,
                lfp_proto::packet::Kind::Data,
                connection,
                PacketNumber(number),
            );
            echoes.put((SurfaceId(0), Epoch(1)), PacketNumber(number), &mut builder, &mut Vec::new());
            let frames = lfp_proto::packet::frames(builder.payload()).flatten();
            let told = frames.map(|frame| match frame {
                Frame::Echo(echo) => echo,
                other => panic!("{other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        let told = tell(&mut echoes, 12);
        let expected = Echoed { sequence: 7, injection_us: 1_000, wait_us: 10_000 };
        assert_eq!((told[0].cell, told[0].age, told[0].events.as_slice()), ((2, 1), 0, &[expected][..]));
        assert_eq!((told[0].encode_us, told[0].pacing_us), (10_000, 10_000));
        assert_eq!(tell(&mut echoes, 13), []);
        echoes.on_lost(7);
        assert_eq!(tell(&mut echoes, 20), [Echo { age: 8, ..told[0].clone() }]);
        echoes.on_told(7);
        echoes.on_lost(7);
        assert!(!echoes.is_due() && echoes.0.is_empty());
        assert_eq!((stats.events_echoed, stats.echo_us), (1, 31_000));
    }
}
