//! The pixels of a surface in one epoch: what to have encoded, what waits to be sent, which ticks are through.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::geometry::{CellRect, CellSet, Size};
use crate::limits::{ENCODE_CELLS_MAX, ENCODE_RETRY, ENCODES_PENDING_MAX, RECORD_AGE_MAX, RECORDS_MAX};
use crate::logic::{Encoded, EncodedRecord};
use crate::scan::{Delta, Picture, Tick, TickState};
use crate::session::carried::Item;
use crate::session::cells::Cells;
use crate::session::stats::SessionStats;
use crate::time::{Instant, micros};
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::frame::{Frame, Mark, Pixels};
use lfp_proto::packet::Builder;
use lfp_proto::record::Record;
use lfp_proto::wire::varint_len;

/// Bytes that a cell is taken to need before anything was encoded.
const CELL_BYTES_GUESS: usize = 64;
/// Records of the queue that are tried on what is left of a packet.
const FIT_TRIALS: usize = 32;

/// The pixels of an epoch.
#[derive(Debug)]
pub(super) struct Live {
    surface: SurfaceId,
    epoch: Epoch,
    /// The newest tick; it is live.
    tick: Arc<Tick>,
    cells: Cells,
    /// Encoded, in the order in which it goes out.
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Budget and time of each request under way, oldest first.
    requests: VecDeque<(usize, Instant)>,
    /// No request before this: the last answer brought nothing.
    retry_at: Option<Instant>,
    /// Bytes that a cell took lately, in sixteenths.
    cell_bytes_16: usize,
    pass: Option<Pass>,
    /// The newest MARK.
    mark: Option<Mark>,
    mark_due: bool,
}

#[derive(Debug)]
struct Queued {
    record: EncodedRecord,
    tick: u64,
    since: Instant,
    len: usize,
}

/// A pass over what was wanted when it began. When it is over, everything up to its tick has been sent.
#[derive(Clone, Copy, Debug)]
struct Pass {
    tick: u64,
    captured: Instant,
    /// The first and the last packet that carried some of it.
    packets: Option<(PacketNumber, PacketNumber)>,
}

impl Live {
    /// Everything is wanted.
    pub(super) fn new(surface: SurfaceId, tick: Arc<Tick>, size: Size) -> Self {
        Self {
            surface,
            epoch: tick.epoch,
            tick,
            cells: Cells::new(size.grid()),
            queue: VecDeque::new(),
            queued_bytes: 0,
            requests: VecDeque::new(),
            retry_at: None,
            cell_bytes_16: CELL_BYTES_GUESS * 16,
            pass: None,
            mark: None,
            mark_due: false,
        }
    }

    pub(super) fn tick(&self) -> &Tick {
        &self.tick
    }

    pub(super) const fn cells(&self) -> &Cells {
        &self.cells
    }

    pub(super) const fn cells_mut(&mut self) -> &mut Cells {
        &mut self.cells
    }

    /// A newer tick of the epoch.
    pub(super) fn on_tick(&mut self, tick: &Arc<Tick>, picture: &Picture, delta: &Delta) {
        if tick.number <= self.tick.number || picture.size.grid() != self.cells.grid() {
            return;
        }
        if tick.number == self.tick.number + 1 {
            self.cells.on_delta(tick.number, &delta.cells);
        } else {
            self.cells.on_gap(picture);
        }
        self.tick = Arc::clone(tick);
        self.retry_at = None;
        // An encoder may have seen the tick first: then all of it is on its way already.
        if self.pass.is_none() && !self.has_work() {
            if let Some(mark) = &mut self.mark {
                (mark.tick, mark.captured_us) = (tick.number, tick.captured.as_micros());
                self.mark_due = true;
            }
        }
    }

    /// Bytes encoded, or asked for.
    pub(super) fn ahead_bytes(&self) -> usize {
        self.queued_bytes + self.requests.iter().map(|(budget, _)| budget).sum::<usize>()
    }

    /// Bytes encoded.
    pub(super) const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether some pixels are not on their way yet.
    pub(super) fn has_work(&self) -> bool {
        self.cells.wants() || !self.cells.pass_is_over()
    }

    /// Whether a MARK waits to be sent.
    pub(super) const fn mark_due(&self) -> bool {
        self.mark_due
    }

    /// When encoders may be asked again that had nothing.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Cells to have encoded into about `budget_bytes` bytes, if there are any and nothing speaks against it.
    pub(super) fn request(&mut self, now: Instant, budget_bytes: usize) -> Option<CellSet> {
        if self.requests.len() >= ENCODES_PENDING_MAX || self.retry_at.is_some() {
            return None;
        }
        if self.cells.pass_is_over() {
            self.end_pass();
            if !self.cells.wants() {
                return None;
            }
            self.cells.begin_pass();
            self.pass = Some(Pass { tick: self.tick.number, captured: self.tick.captured, packets: None });
        }
        if !self.cells.has_round() {
            return None;
        }
        let least = (budget_bytes * 16 / self.cell_bytes_16.max(1)).clamp(1, ENCODE_CELLS_MAX);
        self.requests.push_back((budget_bytes, now));
        Some(self.cells.take(least, ENCODE_CELLS_MAX))
    }

    /// A request is answered. Returns how long that took, in microseconds.
    pub(super) fn on_encoded(&mut self, now: Instant, encoded: Encoded, stats: &mut SessionStats) -> u64 {
        let asked_at = self.requests.pop_front().map_or(now, |(_, at)| at);
        if encoded.records.is_empty() {
            self.retry_at = Some(now + ENCODE_RETRY);
        }
        self.cells.give_back(&encoded.left);
        let (mut bytes, mut cells) = (0, 0);
        for record in encoded.records {
            let len = wire_record(&record).encoded_len();
            bytes += len;
            cells += record.cells.cells();
            stats.records_encoded += 1;
            self.queue.push_back(Queued { record, tick: encoded.tick, since: now, len });
        }
        self.queued_bytes += bytes;
        if let Some(now_16) = (bytes * 16).checked_div(cells) {
            self.cell_bytes_16 = (self.cell_bytes_16 * 7 + now_16) / 8;
        }
        micros(now.saturating_since(asked_at))
    }

    /// Takes note of the time: drops what has waited too long, which will be encoded anew, from a newer picture.
    pub(super) fn on_time(&mut self, now: Instant, stats: &mut SessionStats) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        while let Some(front) = self.queue.front() {
            if now.saturating_since(front.since) <= RECORD_AGE_MAX {
                return;
            }
            self.cells.give_back_rect(front.record.cells);
            self.queued_bytes -= front.len;
            self.queue.pop_front();
            stats.records_expired += 1;
        }
    }

    /// Puts as many waiting records into packet `number` as fit. Returns how many.
    pub(super) fn fill(
        &mut self,
        builder: &mut Builder,
        number: PacketNumber,
        scratch: &mut Vec<u8>,
        items: &mut Vec<Item>,
        stats: &mut SessionStats,
    ) {
        let Some(picture) = picture(&self.tick) else { return };
        let head = 1 + varint_len(u64::from(self.surface.0)) + varint_len(u64::from(self.epoch.0));
        let room = builder.room().saturating_sub(head + varint_len(builder.room() as u64));
        let before = items.iter().filter(|item| matches!(item, Item::Pixels { .. })).count();
        // SPEC [LFP-6.2]: A server MUST give pixels a content number once, when they are chosen, as the number of the
        // packet that first carries them; the same pixels sent again MUST keep it.
        let content = ContentNumber(number.0);
        scratch.clear();
        let (mut at, mut sent) = (0, 0);
        while at < self.queue.len().min(FIT_TRIALS) && before + sent < RECORDS_MAX {
            if scratch.len() + self.queue[at].len > room {
                at += 1;
                continue;
            }
            let Some(Queued { record, tick, len, .. }) = self.queue.remove(at) else { break };
            wire_record(&record).emit(scratch);
            stats.records_sent += 1;
            stats.sent.add(record.technique as u8, record.context as u8, record.cells.cells(), len);
            self.queued_bytes -= len;
            self.cells.on_sent(record.cells, tick, content, picture);
            items.push(Item::Pixels {
                surface: self.surface,
                epoch: self.epoch,
                cells: record.cells,
                content,
            });
            sent += 1;
        }
        if sent > 0 {
            let frame = Pixels { surface: self.surface, epoch: self.epoch, records: scratch };
            assert!(
                builder.push(&Frame::Pixels(frame)),
                "{} bytes of records do not fit {room}",
                scratch.len()
            );
            if let Some(pass) = &mut self.pass {
                let first = pass.packets.map_or(number, |(first, _)| first);
                pass.packets = Some((first, number));
            }
        }
    }

    /// Puts the MARK of a pass that is over into a packet.
    pub(super) fn put_mark(&mut self, builder: &mut Builder, items: &mut Vec<Item>) {
        if self.cells.pass_is_over() {
            self.end_pass();
        }
        let Some(mark) = self.mark.filter(|_| self.mark_due) else { return };
        if builder.push(&Frame::Mark(mark)) {
            self.mark_due = false;
            items.push(Item::Mark { surface: self.surface, epoch: self.epoch, tick: mark.tick });
        }
    }

    /// The MARK of `tick` is lost. Only the newest is worth another packet.
    pub(super) fn on_mark_lost(&mut self, tick: u64) {
        self.mark_due |= self.mark.is_some_and(|mark| mark.tick == tick);
    }

    pub(super) fn on_confirmed(&mut self, cells: CellRect, content: ContentNumber) {
        // SPEC [LFP-9.9]: A server MUST count a cell as shown by the client at a content only when a packet that
        // carried a record of that content is acked and the record is not refused.
        if let Some(picture) = picture(&self.tick) {
            self.cells.on_confirmed(cells, content, picture);
        }
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let queue = self.queue.capacity() * size_of::<Queued>() + self.queued_bytes;
        size_of::<Self>() + self.cells.memory_bytes() + queue
    }

    fn end_pass(&mut self) {
        // SPEC [LFP-13.1]: A server MUST send a MARK for a tick only when each cell that changed up to it has been
        // sent with the pixels of that tick or newer ones.
        let Some(Pass { tick, captured, packets: Some((first, last)) }) = self.pass.take() else { return };
        let captured_us = captured.as_micros();
        self.mark = Some(Mark { surface: self.surface, epoch: self.epoch, tick, captured_us, first, last });
        self.mark_due = true;
    }
}

fn picture(tick: &Tick) -> Option<&Picture> {
    match &tick.state {
        TickState::Live { picture, .. } => Some(picture),
        TickState::Dark { .. } => None,
    }
}

fn wire_record(record: &EncodedRecord) -> Record<'_> {
    Record::new(record.technique, record.context, record.cells, &record.payload)
}
