//! Small updates, said again before anybody can know that they are lost.
//!
//! A lost update of a few hundred bytes waits a round trip and more until its loss is found, if nothing follows it. Where
//! losses were seen lately, such an update goes out again a few milliseconds later, as the same content, while the path has
//! nothing else to carry; the client takes whichever copy comes first. On a clean path nothing is repeated. When nothing
//! at all is acked, the probe carries what is open instead of an empty question.

use std::collections::VecDeque;
use std::time::Duration;

use crate::geometry::CellRect;
use crate::limits::{REPEAT_BYTES_MAX, REPEAT_INTERVAL, REPEAT_MEMORY, REPEATS_MAX};
use crate::logic::EncodedRecord;
use crate::session::cells::Cells;
use crate::time::Instant;
use crate::units::ContentNumber;
use lfp_proto::window::AckSummary;

/// Packets that the share of losses looks back on, about.
const LOOK_BACK: u64 = 128;
/// Copies of each update, by thousandths of packets lost.
const COPIES: [(u64, u32); 4] = [(150, 6), (40, 5), (20, 2), (0, 1)];
/// Probes that go at even intervals, by the same.
const PATIENCE: [(u64, u32); 3] = [(200, 4), (60, 2), (0, 0)];

/// What was lost lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// In sixteenths of a packet; older ones count less.
    acked_16: u64,
    lost_16: u64,
    seen_at: Option<Instant>,
}

impl Losses {
    pub(super) fn on_summary(&mut self, now: Instant, summary: &AckSummary) {
        if summary.lost_packets > 0 {
            self.seen_at = Some(now);
        }
        self.acked_16 += summary.acked_packets * 16;
        self.lost_16 = (self.lost_16 + summary.lost_packets * 16).saturating_sub(summary.late_packets * 16);
        while self.acked_16 + self.lost_16 > LOOK_BACK * 16 {
            self.acked_16 = self.acked_16 * 7 / 8;
            self.lost_16 = self.lost_16 * 7 / 8;
        }
    }

    /// How often a small update goes out beside the first time.
    pub(super) fn copies(&self, now: Instant) -> u32 {
        let recent = self.seen_at.is_some_and(|at| now.saturating_since(at) <= REPEAT_MEMORY);
        if recent { by_share(&COPIES, self.permille()) } else { 0 }
    }

    /// How many probes go at even intervals before the intervals double.
    pub(super) fn patience(&self) -> u32 {
        by_share(&PATIENCE, self.permille())
    }

    fn permille(&self) -> u64 {
        (self.lost_16 * 1_000).checked_div(self.acked_16 + self.lost_16).unwrap_or(0)
    }
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
    /// How often it is still to be said, and when next.
    left: u32,
    next_at: Instant,
    interval: Duration,
}

/// The newest small updates of a surface: at most [`REPEATS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Repeats {
    now: Instant,
    copies: u32,
    entries: VecDeque<Repeat>,
}

impl Repeats {
    /// A packet is built at `now`; what is small in it is to be said so many times more.
    pub(super) const fn begin(&mut self, now: Instant, copies: u32) {
        (self.now, self.copies) = (now, copies);
    }

    /// These records went out as `content`, and nothing waits behind them.
    pub(super) fn keep(&mut self, records: Vec<EncodedRecord>, content: ContentNumber) {
        let len: usize = records.iter().map(EncodedRecord::wire_len).sum();
        if len > REPEAT_BYTES_MAX || records.len() > REPEATS_MAX {
            return;
        }
        let (left, next_at) = (self.copies, self.now + REPEAT_INTERVAL);
        for record in records {
            if self.entries.len() == REPEATS_MAX {
                self.entries.pop_front();
            }
            let interval = REPEAT_INTERVAL;
            self.entries.push_back(Repeat { record, content, flying: 1, left, next_at, interval });
        }
    }

    /// When something is to be said again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| entry.left > 0).map(|entry| entry.next_at).min()
    }

    /// Forgets what has been overtaken, or is known to be lost, which is sent anew.
    pub(super) fn prune(&mut self, cells: &Cells) {
        self.entries.retain(|entry| cells.is_open_at(entry.record.cells, entry.content));
    }

    /// What is to be said in the packet that is built; with `all`, everything that is not known to have come. Each counts as
    /// sent if `put` says so, and waits in any case.
    pub(super) fn say(&mut self, all: bool, mut put: impl FnMut(&Repeat) -> bool) {
        let now = self.now;
        for entry in &mut self.entries {
            if !(all || entry.left > 0 && entry.next_at <= now) {
                continue;
            }
            entry.interval *= 2;
            entry.next_at = now + entry.interval;
            entry.left = entry.left.saturating_sub(1);
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

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn summary(acked_packets: u64, lost_packets: u64) -> AckSummary {
        AckSummary { acked_packets, lost_packets, ..AckSummary::default() }
    }

    #[test]
    fn a_clean_path_repeats_nothing_and_a_lossy_one_is_remembered_for_a_while() {
        let mut losses = Losses::default();
        losses.on_summary(at(0), &summary(1_000, 0));
        assert_eq!((losses.copies(at(1)), losses.patience()), (0, 0));
        losses.on_summary(at(2), &summary(0, 1));
        assert_eq!(losses.copies(at(3)), 1);
        for now in 3..300 {
            losses.on_summary(at(now), &summary(9, 1));
        }
        assert_eq!((losses.copies(at(300)), losses.patience()), (5, 2));
        losses.on_summary(at(301), &summary(1, 60));
        assert_eq!((losses.copies(at(301)), losses.patience()), (6, 4));
        assert_eq!(losses.copies(at(302) + REPEAT_MEMORY), 0);
    }
}
