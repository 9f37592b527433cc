//! What to have encoded next, and what comes back.

use std::time::Duration;

use super::{Live, Pass, Queued, Wanted, picture};
use crate::geometry::{CellRect, CellSet};
use crate::limits::{
    ENCODE_CELLS_MAX, ENCODE_RETRY, ENCODES_PENDING_MAX, REFINE_CELLS_MAX, REFINE_PATIENCE, REFUSED_INTERVAL,
};
use crate::logic::{Encoded, EncodedRecord, Lossy};
use crate::scan::Tick;
use crate::session::offer::Offers;
use crate::session::quality::Allowance;
use crate::session::stats::SessionStats;
use crate::time::{Instant, micros};
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::cache::Store;
use lfp_proto::technique::{Technique, lossy};

/// Bytes that a cell is taken to need that was not worth its exact pixels.
const REFINE_CELL_BYTES: usize = 256;

impl Live {
    /// Cells to have encoded into about `budget_bytes` bytes, if there are any and nothing speaks against it. Passes begin at
    /// least `pace` apart. What moves need not be exact as far as `lossy` allows.
    pub(in crate::session) fn request(
        &mut self,
        now: Instant,
        budget_bytes: usize,
        pace: Duration,
        lossy: Option<Allowance>,
        stats: &mut SessionStats,
    ) -> Option<Wanted> {
        let held = self.offers.as_ref().and_then(Offers::holds_until).is_some_and(|until| now < until);
        let waits = held || self.retry_at.is_some() || self.trickle_at.is_some();
        if self.requests.len() >= ENCODES_PENDING_MAX || waits {
            return None;
        }
        if self.cells.pass_is_over() {
            self.end_pass();
            self.refine(now, budget_bytes, stats);
            if !self.cells.wants() || self.pass_at.is_some_and(|at| now < at && !pace.is_zero()) {
                return None;
            }
            self.pass_at = (!pace.is_zero()).then(|| now + pace);
            self.cells.begin_pass();
            stats.holds += u64::from(self.references.advance(&self.cells, picture(&self.tick)));
            let Tick { number: tick, captured, .. } = *self.tick;
            self.pass = Some(Pass { tick, captured, packets: None, searched: false });
        }
        if !self.cells.has_round() {
            return None;
        }
        self.requests.push_back((budget_bytes, now));
        let mut wanted = self.take(now, budget_bytes);
        if let Some(Allowance { rate, any_age }) = lossy {
            let cells = self.cells.moving(&wanted.cells, &self.tick.contexts, any_age, now);
            if !cells.is_empty() {
                wanted.lossy = Lossy { cells, quality: self.quality.choose(&self.tick.contexts, rate) };
            }
        }
        Some(wanted)
    }

    /// Makes some cells wanted that are not exact and have come to rest, if nothing else is, or if they have waited for
    /// that for long enough.
    fn refine(&mut self, now: Instant, budget_bytes: usize, stats: &mut SessionStats) {
        let Some(since) = self.refine_since else { return };
        if self.cells.wants() && now.saturating_since(since) < REFINE_PATIENCE {
            return;
        }
        let most = (budget_bytes / REFINE_CELL_BYTES) as u64;
        stats.cells_refined += self.cells.refine(now, most.clamp(1, REFINE_CELLS_MAX));
        self.refine_since = None;
        self.note_rest(now);
    }

    /// Takes note of cells that have come to rest by `now`.
    pub(super) fn note_rest(&mut self, now: Instant) {
        if self.refine_since.is_none() && self.cells.rests_at().is_some_and(|at| at <= now) {
            self.refine_since = Some(now);
        }
    }

    /// Cells of this pass, which has some, to have encoded: those that go without a base, then all of them, so that it
    /// can be seen what of them the client has already, then what is left.
    fn take(&mut self, now: Instant, budget_bytes: usize) -> Wanted {
        let learnt = self.learnt;
        let (kept, lossy, slots, ways) = (CellSet::default(), Lossy::default(), None, Vec::new());
        if self.credit.is_spent() {
            self.trickle_at = Some(now + REFUSED_INTERVAL);
            let cells = self.cells.take(1, 1, self.tick.contexts.warm(), None);
            return Wanted { cells, base: None, motion: false, kept, lossy, slots, ways, learnt };
        }
        if let Some(cells) = self.cells.take_plain() {
            return Wanted { cells, base: None, motion: false, kept, lossy, slots, ways, learnt };
        }
        let base = self.references.base();
        let searched = self.pass.as_mut().is_none_or(|pass| std::mem::replace(&mut pass.searched, true));
        if base.is_some() && !searched {
            let kept = self.references.kept(&self.cells);
            let cells = self.cells.take(usize::MAX, usize::MAX, &[], None);
            let slots = self.slots.known();
            return Wanted { cells, base, motion: true, kept, lossy, slots, ways, learnt };
        }
        let least = (budget_bytes * 16 / self.cell_bytes_16.max(1)).clamp(1, ENCODE_CELLS_MAX);
        let first = picture(&self.tick).filter(|_| self.cells.has_blank());
        let cells = self.cells.take(least, ENCODE_CELLS_MAX, self.tick.contexts.warm(), first);
        let ways = self.ways.clone();
        Wanted { cells, base, motion: false, kept, lossy, slots, ways, learnt }
    }

    /// A request is answered. Returns how long that took, in microseconds.
    pub(in crate::session) fn on_encoded(
        &mut self,
        now: Instant,
        encoded: Encoded,
        stats: &mut SessionStats,
    ) -> u64 {
        let asked_at = self.requests.pop_front().map_or(now, |(_, at)| at);
        if encoded.records.is_empty() && encoded.same.is_empty() {
            self.retry_at = Some(now + ENCODE_RETRY);
        }
        self.cells.give_back(&encoded.left);
        self.ways.clone_from(&encoded.ways);
        self.learnt = encoded.learnt;
        self.keep(&encoded, stats);
        self.store(now, &encoded);
        let (mut bytes, mut cells) = (0, 0);
        for record in encoded.records {
            // The request had been given up, and its cells have gone another way.
            if !self.cells.are_under_way(record.cells) {
                continue;
            }
            if !record.base.is_none_or(|used| self.references.holds(used)) {
                self.cells.give_back_rect(record.cells);
                stats.records_unbased += 1;
                continue;
            }
            let len = record.wire_len();
            self.queued_bytes += len;
            if !matches!(record.technique, Technique::Copy | Technique::Use) {
                bytes += len;
                cells += record.cells.cells();
            }
            stats.records_encoded += 1;
            self.echoes.on_encoded(now, record.cells, encoded.tick);
            if let Some(form) =
                lossy::Form::of(&record.payload).filter(|_| record.technique == Technique::Lossy)
            {
                self.quality.on_record(form.quality, record.cells.cells(), len);
            }
            let picture = encoded.picture.clone();
            self.queue.push_back(Queued { record, tick: encoded.tick, picture, since: now, len });
        }
        if let Some(now_16) = (bytes * 16).checked_div(cells) {
            self.cell_bytes_16 = (self.cell_bytes_16 * 7 + now_16) / 8;
        }
        micros(now.saturating_since(asked_at))
    }

    /// Queues the stores of what is worth a slot, ahead of what paints over it.
    fn store(&mut self, now: Instant, encoded: &Encoded) {
        for used in &encoded.stores {
            let Some(picture) = self.references.picture(*used) else { continue };
            let Some(stored) = self.slots.store(used.cells, picture) else { continue };
            let store = Store { vector: Vector::default(), stored };
            let (technique, cells, payload) = (Technique::Store, used.cells, store.payload().into());
            let context = self.tick.contexts.most_but_flat(cells);
            let record = EncodedRecord { technique, context, cells, payload, base: Some(*used) };
            let len = record.wire_len();
            self.queued_bytes += len;
            self.queue.push_back(Queued { record, tick: encoded.tick, picture: None, since: now, len });
        }
    }

    /// Takes note of the cells that an encoder found to be as the client has them.
    fn keep(&mut self, encoded: &Encoded, stats: &mut SessionStats) {
        let Some(newest) = picture(&self.tick) else { return };
        let columns = usize::from(self.cells.grid().columns);
        for index in encoded.same.iter() {
            if self.cells.on_same(index, encoded.tick, newest) {
                self.echoes.on_same(index);
                let (x, y) = ((index % columns) as u16, (index / columns) as u16);
                let cell = CellRect { x, y, width: 1, height: 1 };
                self.references.on_same(cell, encoded.picture.as_deref());
                stats.cells_kept += 1;
            }
        }
    }
}
