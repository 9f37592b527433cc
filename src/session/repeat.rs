//! Small updates, said again before anybody can know that they are lost.
//!
//! A lost update of a few hundred bytes waits a round trip and more until its loss is found, if nothing follows it. Where
//! losses were seen lately, such an update goes out again a few milliseconds later, as the same content, while the path has
//! nothing else to carry; the client takes whichever copy comes first. On a clean path nothing is repeated. What no ack tells
//! of by the time that one is due is said several times more: losses that come together take all copies that are close
//! together. When nothing at all is acked, the probe carries what is open instead of an empty question.

use std::collections::VecDeque;
use std::time::Duration;

use crate::geometry::CellRect;
use crate::limits::{REPEAT_BYTES_MAX, REPEAT_INTERVAL, REPEAT_ROUNDS_MAX, REPEATS_MAX};
use crate::logic::EncodedRecord;
use crate::session::cells::Cells;
use crate::session::losses::Losses;
use crate::session::reference::References;
use crate::time::Instant;
use crate::units::ContentNumber;

/// Copies of each update beside the first and the PARITY that covers it, by thousandths of packets lost: few, since what is
/// lost with all of them is said again as soon as an answer is overdue.
const COPIES: [(u64, u32); 4] = [(150, 5), (70, 3), (35, 2), (0, 1)];
/// Times that it is said, at least, once an answer was overdue: that many packets were lost together, and more may be.
const COPIES_AGAIN: u32 = 5;
/// Probes that go at even intervals, by the same.
const PATIENCE: [(u64, u32); 3] = [(200, 4), (60, 2), (0, 0)];

/// How often a small update goes out beside the first time, before an answer is due.
pub(super) fn copies(losses: &Losses, now: Instant) -> u32 {
    if losses.are_recent(now) { by_share(&COPIES, losses.permille()) } else { 0 }
}

/// How many probes go at even intervals before the intervals double.
pub(super) fn patience(losses: &Losses) -> u32 {
    by_share(&PATIENCE, losses.permille())
}

fn by_share(table: &[(u64, u32)], permille: u64) -> u32 {
    table.iter().find(|(from, _)| permille >= *from).map_or(0, |(_, value)| *value)
}

/// An update that is not known to have come.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) record: EncodedRecord,
    pub(super) content: ContentNumber,
    /// Its copies in flight.
    flying: u32,
    /// How often it is still to be said in this round, and when next.
    left: u32,
    next_at: Instant,
    interval: Duration,
    /// The next round begins when whoever had got the first copy of this one would have said so.
    round_over_at: Instant,
    rounds_left: u32,
}

impl Repeat {
    /// It is said at `now`; if this round is over then, it is to be said `again` so often in the next, an `answer` to which takes
    /// so long. Within a round the intervals double: losses that come together do not last. What is not acked by the time
    /// that its first copy would have been is the more likely lost with all of them, and begins anew.
    fn on_said(&mut self, now: Instant, again: u32, answer: Duration) {
        self.left = self.left.saturating_sub(1);
        self.interval *= 2;
        self.next_at = now + self.interval;
        if (self.left == 0 || self.next_at > self.round_over_at) && self.rounds_left > 0 {
            self.next_at = self.round_over_at.max(now);
            self.round_over_at = self.next_at + answer;
            (self.left, self.interval) = (again, REPEAT_INTERVAL / 2);
            self.rounds_left -= 1;
        }
    }
}

/// The newest small updates of a surface: at most [`REPEATS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Repeats {
    now: Instant,
    copies: u32,
    /// Time after which a client that has something would have said so.
    answer: Duration,
    entries: VecDeque<Repeat>,
}

impl Repeats {
    /// A packet is built at `now`; what is small in it is to be said so many times more, and as often again if no `answer`
    /// has come by then.
    pub(super) const fn begin(&mut self, now: Instant, copies: u32, answer: Duration) {
        (self.now, self.copies, self.answer) = (now, copies, answer);
    }

    /// These records went out as `content`, and nothing waits behind them. Takes them all.
    pub(super) fn keep(&mut self, records: &mut Vec<EncodedRecord>, content: ContentNumber) {
        let len: usize = records.iter().map(EncodedRecord::wire_len).sum();
        if len > REPEAT_BYTES_MAX || records.len() > REPEATS_MAX {
            return records.clear();
        }
        let (left, next_at) = (self.copies, self.now + REPEAT_INTERVAL);
        let (round_over_at, rounds_left) = (self.now + self.answer, REPEAT_ROUNDS_MAX - 1);
        for record in records.drain(..) {
            if self.entries.len() == REPEATS_MAX {
                self.entries.pop_front();
            }
            let interval = REPEAT_INTERVAL;
            self.entries.push_back(Repeat {
                record,
                content,
                flying: 1,
                left,
                next_at,
                interval,
                round_over_at,
                rounds_left,
            });
        }
    }

    /// When something is to be said again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| entry.left > 0).map(|entry| entry.next_at).min()
    }

    /// Forgets what has been overtaken, or is known to be lost, which is sent anew, or whose base is no more.
    pub(super) fn prune(&mut self, cells: &Cells, references: &References) {
        let is_based =
            |record: &EncodedRecord| record.base.is_none_or(|used| references.wire(used).is_some());
        self.entries
            .retain(|entry| cells.is_open_at(entry.record.cells, entry.content) && is_based(&entry.record));
    }

    /// What is to be said in the packet that is built; with `all`, everything that is not known to have come. Each counts as
    /// sent if `put` says so, and waits in any case.
    pub(super) fn say(&mut self, all: bool, mut put: impl FnMut(&Repeat) -> bool) {
        let Self { now, copies, answer, .. } = *self;
        let again = if copies > 0 { copies.max(COPIES_AGAIN) } else { 0 };
        for entry in &mut self.entries {
            if !(all || entry.left > 0 && entry.next_at <= now) {
                continue;
            }
            entry.on_said(now, again, answer);
            entry.flying += u32::from(put(entry));
        }
    }

    /// A copy was lost. Says whether another may still come.
    pub(super) fn on_lost(&mut self, cells: CellRect, content: ContentNumber) -> bool {
        let is_it = |entry: &&mut Repeat| entry.content == content && entry.record.cells == cells;
        let Some(entry) = self.entries.iter_mut().find(is_it) else { return false };
        entry.flying = entry.flying.saturating_sub(1);
        entry.flying > 0
    }

    /// A copy came, or was refused.
    pub(super) fn on_settled(&mut self, cells: CellRect, content: ContentNumber) {
        self.entries.retain(|entry| entry.content != content || entry.record.cells != cells);
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.iter().map(|entry| size_of::<Repeat>() + entry.record.payload.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOSS_MEMORY;
    use crate::session::losses::tests::{at, summary};
    use lfp_proto::record::Context;
    use lfp_proto::technique::Technique;

    #[test]
    fn a_clean_path_repeats_nothing_and_a_lossy_one_is_remembered_for_a_while() {
        let mut losses = Losses::default();
        let said = |losses: &Losses, now| (copies(losses, now), patience(losses));
        losses.on_summary(at(0), &summary(1_000, 0), 0);
        assert_eq!(said(&losses, at(1)), (0, 0));
        losses.on_summary(at(2), &summary(0, 1), 0);
        assert_eq!(said(&losses, at(3)), (1, 0));
        (3..300).for_each(|now| losses.on_summary(at(now), &summary(9, 1), 0));
        assert_eq!(said(&losses, at(300)), (3, 2));
        losses.on_summary(at(301), &summary(1, 200), 0);
        assert_eq!(said(&losses, at(301)), (5, 4));
        assert_eq!(copies(&losses, at(302) + LOSS_MEMORY), 0);
    }

    /// When a small update of time 0 is said again, for so long as nothing is known of it.
    fn said_at(copies: u32, answer_ms: u64) -> Vec<u64> {
        let mut repeats = Repeats::default();
        let answer = Duration::from_millis(answer_ms);
        let cells = CellRect { x: 0, y: 0, width: 1, height: 1 };
        let (technique, context) = (Technique::Colour, Context::default());
        let record = EncodedRecord { technique, context, cells, payload: vec![0; 4].into(), base: None };
        repeats.begin(at(0), copies, answer);
        repeats.keep(&mut vec![record], ContentNumber(1));
        let mut all = Vec::new();
        while let Some(due) = repeats.due() {
            repeats.begin(due, copies, answer);
            repeats.say(false, |_| true);
            all.push(due.as_micros() / 1_000);
        }
        all
    }

    #[test]
    fn what_stays_unanswered_is_said_anew() {
        assert_eq!(said_at(1, 100), [5, 100, 105, 115, 135, 175, 200, 205, 215, 235, 275]);
        assert_eq!(
            said_at(6, 50),
            [5, 15, 35, 50, 55, 65, 85, 100, 105, 115, 135, 175, 255],
            "a round ends early"
        );
        assert_eq!(said_at(0, 50), [0; 0]);
    }
}
