//! The pixels of a surface in one epoch: what to have encoded, what waits to be sent, which ticks are through.

mod again;
mod answers;
mod encoding;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::geometry::{CellRect, CellSet, Size};
use crate::kernel::pack;
use crate::limits::{ENCODE_PATIENCE, FILL_WAIT, RECORD_AGE_MAX, RECORDS_MAX};
use crate::logic::{self, Base, EncodedRecord, Learnt, Lossy};
use crate::scan::{Delta, Picture, Tick, TickState};
use crate::session::carried::Item;
use crate::session::cells::Cells;
use crate::session::echo::Echoes;
use crate::session::offer::Offers;
use crate::session::quality::Quality;
use crate::session::reference::References;
use crate::session::refusals::Credit;
use crate::session::repeat::Repeats;
use crate::session::slots::{Slots, drop_unsent, stored_of, used_of};
use crate::session::stale::Stale;
use crate::session::stats::SessionStats;
use crate::session::surface::Keeps;
use crate::time::Instant;
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::frame::{Frame, Mark, Pixels};
use lfp_proto::packet::Builder;
use lfp_proto::record;
use lfp_proto::technique::Technique;
use lfp_proto::technique::base::Vector;
use lfp_proto::wire::varint_len;

/// Bytes that a cell is taken to need before anything was encoded.
const CELL_BYTES_GUESS: usize = 64;
/// Records at the head of the queue that a packet is filled from.
const FILL_FROM: usize = pack::ITEMS_MAX;

/// The pixels of an epoch.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) surface: SurfaceId,
    pub(super) epoch: Epoch,
    /// The newest tick; it is live.
    pub(super) tick: Arc<Tick>,
    pub(super) cells: Cells,
    pub(super) references: References,
    slots: Slots,
    pub(super) stale: Stale,
    /// What the client still had when it came back, if it announced that.
    pub(super) offers: Option<Offers>,
    echoes: Echoes,
    /// Encoded, in the order in which it goes out.
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Budget and time of each request under way, oldest first.
    requests: VecDeque<(usize, Instant)>,
    /// No request before this: the last answer brought nothing.
    retry_at: Option<Instant>,
    credit: Credit,
    repeats: Repeats,
    /// Room for what a packet holds that may be said again.
    small: Vec<EncodedRecord>,
    /// No request before this: the client has refused too much.
    trickle_at: Option<Instant>,
    /// Bytes that a cell took lately, in sixteenths.
    cell_bytes_16: usize,
    pass: Option<Pass>,
    /// No pass begins before this: the client's user does not look closely.
    pass_at: Option<Instant>,
    /// The newest MARK.
    mark: Option<Mark>,
    mark_due: bool,
    /// Along which much has moved lately.
    ways: Vec<Vector>,
    /// How the rules that choose techniques have turned out.
    learnt: Learnt,
    /// How well what moves is sent.
    quality: Quality,
    /// Since when cells wait to be sent exactly that have come to rest.
    refine_since: Option<Instant>,
}

/// What to have encoded: see [`crate::logic::EncodeRequest`].
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) cells: CellSet,
    pub(super) base: Option<Arc<Base>>,
    pub(super) motion: bool,
    pub(super) kept: CellSet,
    pub(super) lossy: Lossy,
    pub(super) slots: Option<Arc<logic::Slots>>,
    pub(super) ways: Vec<Vector>,
    pub(super) learnt: Learnt,
}

#[derive(Debug)]
struct Queued {
    record: EncodedRecord,
    tick: u64,
    /// What was encoded, if that is to be remembered.
    picture: Option<Arc<Picture>>,
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
    /// All of it was looked at for what the client has already.
    searched: bool,
}

impl Live {
    /// Everything is wanted, and the client has nothing of what it `keeps`, but for what it `offers`.
    pub(super) fn new(
        surface: SurfaceId,
        tick: Arc<Tick>,
        size: Size,
        keeps: Keeps,
        offers: Option<Offers>,
    ) -> Self {
        Self {
            surface,
            epoch: tick.epoch,
            references: References::new(surface, tick.epoch, keeps.references, size),
            slots: Slots::new(keeps.cache),
            stale: Stale::new(surface, tick.epoch, size.grid()),
            offers,
            echoes: Echoes::default(),
            tick,
            cells: Cells::new(size.grid()),
            queue: VecDeque::new(),
            queued_bytes: 0,
            requests: VecDeque::new(),
            retry_at: None,
            credit: Credit::new(size.grid().cells()),
            repeats: Repeats::default(),
            small: Vec::new(),
            trickle_at: None,
            cell_bytes_16: CELL_BYTES_GUESS * 16,
            pass: None,
            pass_at: None,
            mark: None,
            mark_due: false,
            ways: Vec::new(),
            learnt: Learnt::default(),
            quality: Quality::default(),
            refine_since: None,
        }
    }

    pub(super) fn tick(&self) -> &Tick {
        &self.tick
    }

    pub(super) const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The client offers a part of what it still has.
    pub(super) fn on_offer(&mut self, part: u8, digests: Vec<u64>) {
        if let Some(offers) = &mut self.offers {
            offers.on_offer(part, digests);
        }
    }

    /// A part that it has offered to be summed up, and the cells around it.
    pub(super) fn offer_request(&mut self) -> Option<(u8, CellRect)> {
        self.offers.as_mut()?.request(self.cells.grid())
    }

    /// Whether a packet must go out though no pixels are ready.
    pub(super) fn has_news(&self) -> bool {
        let keeps = || self.offers.as_ref().is_some_and(Offers::is_due);
        self.mark_due || self.stale.due().is_some() || self.echoes.is_due() || keeps()
    }

    pub(super) const fn references_mut(&mut self) -> &mut References {
        &mut self.references
    }

    pub(super) const fn stale_mut(&mut self) -> &mut Stale {
        &mut self.stale
    }

    pub(super) const fn echoes_mut(&mut self) -> &mut Echoes {
        &mut self.echoes
    }

    pub(super) const fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    pub(super) const fn repeats_mut(&mut self) -> &mut Repeats {
        &mut self.repeats
    }

    pub(super) const fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// A record of `cells` at `content` was lost or refused. Returns how many cells are wanted for that.
    pub(super) fn on_missing(&mut self, cells: CellRect, content: ContentNumber) -> u64 {
        self.references.on_missing(cells, content);
        self.cells.on_missing(cells, content)
    }

    /// Everything in `cells` is wanted, whatever the client is believed to have. Returns how many cells were not.
    pub(super) fn distrust(&mut self, cells: CellRect) -> u64 {
        self.references.distrust(cells);
        self.slots.forget_all();
        self.cells.distrust(cells)
    }

    /// A newer tick of the epoch.
    pub(super) fn on_tick(&mut self, tick: &Arc<Tick>, picture: &Picture, delta: &Delta) {
        if tick.number <= self.tick.number || picture.size.grid() != self.cells.grid() {
            return;
        }
        if tick.number == self.tick.number + 1 {
            self.cells.on_delta(tick.number, tick.captured, &delta.cells);
        } else {
            self.cells.on_gap(self.tick.number, tick.captured, picture);
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

    /// Whether something is being encoded.
    pub(super) fn is_encoding(&self) -> bool {
        !self.requests.is_empty()
    }

    /// When the next packet of pixels may go, of up to `datagram` bytes: at once if it will be full or nothing more is
    /// being encoded, else a moment later, as what is being encoded may fill it.
    pub(super) fn packet_at(&self, datagram: usize) -> Option<Instant> {
        let since = self.queue.front()?.since;
        let more = self.queued_bytes < datagram && !self.requests.is_empty();
        Some(if more { since + FILL_WAIT } else { since })
    }

    /// Whether some pixels are not on their way yet.
    pub(super) fn has_work(&self) -> bool {
        self.cells.wants() || !self.cells.pass_is_over()
    }

    /// When encoders may be asked again though nothing happens.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let patience = self.requests.front().map(|(_, at)| *at + ENCODE_PATIENCE);
        let rests_at = self.cells.rests_at().filter(|_| self.refine_since.is_none());
        let pass_at = self.pass_at.filter(|_| self.cells.wants() && self.cells.pass_is_over());
        let stale = self.stale.look_at();
        let offers = self.offers.as_ref().and_then(Offers::holds_until);
        let all = [self.retry_at, self.trickle_at, patience, rests_at, stale, pass_at, offers];
        all.into_iter().flatten().min()
    }

    /// Takes note of the time: drops what has waited too long, which will be encoded anew, from a newer picture.
    pub(super) fn on_time(&mut self, now: Instant, stats: &mut SessionStats) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        stats.base_turns += self.references.take_turns();
        self.drop_unbased(stats);
        self.note_rest(now);
        self.stale.on_time(now, &self.cells, !self.queue.is_empty());
        self.trickle_at = self.trickle_at.filter(|at| *at > now);
        self.pass_at = self.pass_at.filter(|at| *at > now);
        if let Some(offers) = &mut self.offers {
            offers.on_time(now);
        }
        if self.requests.front().is_some_and(|(_, at)| *at + ENCODE_PATIENCE <= now) {
            self.give_up_requests(stats);
        }
        while let Some(front) = self.queue.front() {
            if now.saturating_since(front.since) <= RECORD_AGE_MAX {
                return;
            }
            self.queued_bytes -= front.len;
            drop_unsent(&front.record, &mut self.cells, &mut self.slots);
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
        pack: &mut pack::Scratch,
        items: &mut Vec<Item>,
        stats: &mut SessionStats,
    ) {
        let Some(picture) = picture(&self.tick) else { return };
        if self.queue.is_empty() || !self.references.announce(builder, number, items) {
            return;
        }
        let head = 1 + varint_len(u64::from(self.surface.0)) + varint_len(u64::from(self.epoch.0));
        let room = builder.room().saturating_sub(head + varint_len(builder.room() as u64));
        let before =
            items.iter().filter(|item| matches!(item, Item::Pixels { .. } | Item::Store { .. })).count();
        // SPEC [LFP-6.2]: A server MUST give pixels a content number once, when they are chosen, as the number of the
        // packet that first carries them; the same pixels sent again MUST keep it.
        let content = ContentNumber(number.0);
        scratch.clear();
        let (mut sent, mut small) = (0, std::mem::take(&mut self.small));
        small.clear();
        loop {
            let most = RECORDS_MAX.saturating_sub(before + sent);
            let chosen = choose(&self.queue, most, room - scratch.len(), pack);
            if chosen == 0 {
                break;
            }
            for at in 0..FILL_FROM - chosen.leading_zeros() as usize {
                if chosen >> at & 1 == 0 {
                    continue;
                }
                let gone = (chosen & ((1 << at) - 1)).count_ones() as usize;
                let Some(queued) = self.queue.remove(at - gone) else { break };
                let Queued { record, tick, picture: encoded, len, .. } = queued;
                self.queued_bytes -= len;
                let used = used_of(&record);
                let may_go = |cells: &Cells| !cells.is_overtaken(record.cells, tick, content);
                let paints = record.technique != Technique::Store;
                // A packet gives each cell one content, and no cell goes back in time.
                if paints && !(may_go(&self.cells) && used.is_none_or(|used| self.slots.use_now(used))) {
                    self.cells.give_back_rect(record.cells);
                    // What is left of it is asked for at once.
                    self.retry_at = Some(Instant::ZERO);
                    continue;
                }
                let base = record.base.map_or(Some(record::Base::None), |used| self.references.wire(used));
                let base = base.expect("what has lost its base is not in the queue");
                record.wire(base).emit(scratch);
                let (on, exact) = (self.references.built_on(&record), record.technique.is_exact());
                stats.on_record(&record, len);
                let (surface, epoch, cells) = (self.surface, self.epoch, record.cells);
                items.push(match stored_of(&record) {
                    Some(stored) => Item::Store { surface, epoch, stored },
                    None => {
                        stats.bytes_repaired += (len * self.cells.lost_in(cells) / cells.cells()) as u64;
                        self.cells.on_sent(cells, tick, content, exact, picture);
                        self.references.on_sent(cells, content, encoded.as_deref());
                        self.stale.on_sent(cells);
                        if exact && used.is_none() {
                            small.push(record);
                        }
                        Item::Pixels { surface, epoch, cells, content, on, used }
                    }
                });
                sent += 1;
            }
        }
        if sent > 0 {
            let frame = Pixels { surface: self.surface, epoch: self.epoch, records: scratch };
            assert!(
                builder.push(&Frame::Pixels(frame)),
                "{} bytes of records do not fit {room}",
                scratch.len()
            );
            if small.len() == sent && self.queue.is_empty() {
                self.repeats.keep(&mut small, content);
            }
            if let Some(pass) = &mut self.pass {
                let first = pass.packets.map_or(number, |(first, _)| first);
                pass.packets = Some((first, number));
            }
        }
        small.clear();
        self.small = small;
    }

    /// Drops the records that build on what has moved on or is not to be trusted any more: they are encoded anew.
    fn drop_unbased(&mut self, stats: &mut SessionStats) {
        let Self { queue, references, slots, cells, queued_bytes, .. } = self;
        if !references.take_doubt() {
            return;
        }
        queue.retain(|queued| {
            let sound = queued.record.base.is_none_or(|used| references.holds(used));
            if !sound {
                drop_unsent(&queued.record, cells, slots);
                *queued_bytes -= queued.len;
                stats.records_unbased += 1;
            }
            sound
        });
    }

    /// Drops the records of more than `most` bytes: they are encoded anew.
    pub(super) fn drop_longer(&mut self, most: usize, stats: &mut SessionStats) {
        let Self { queue, slots, cells, queued_bytes, .. } = self;
        queue.retain(|queued| {
            let fits = queued.len <= most;
            if !fits {
                drop_unsent(&queued.record, cells, slots);
                *queued_bytes -= queued.len;
                stats.records_expired += 1;
            }
            fits
        });
    }

    /// Puts the MARK of a pass that is over into a packet.
    pub(super) fn put_mark(
        &mut self,
        builder: &mut Builder,
        items: &mut Vec<Item>,
        stats: &mut SessionStats,
    ) {
        if self.cells.pass_is_over() {
            self.end_pass();
            // What is to be said again builds on the reference that there is.
            if self.repeats.due().is_none() {
                stats.holds += u64::from(self.references.advance(&self.cells, picture(&self.tick)));
            }
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

    pub(super) fn on_confirmed(&mut self, cells: CellRect, content: ContentNumber, based: bool) {
        // SPEC [LFP-9.9]: A server MUST count a cell as shown by the client at a content only when a packet that
        // carried a record of that content is acked and the record is not refused.
        if let Some(picture) = picture(&self.tick) {
            self.cells.on_confirmed(cells, content, picture);
            self.credit.on_confirmed(cells.cells());
        }
        self.references.on_confirmed(cells, content, based);
    }

    /// A record of `cells` at `content` was refused for its base, and nothing that is known explains why: its cells do without
    /// one next time.
    pub(super) fn go_plain(&mut self, cells: CellRect, content: ContentNumber) {
        self.cells.go_plain(cells, content);
    }

    /// A record of `cells` at `content` was refused; for what it builds on, if `unbased`. Returns how many cells are
    /// wanted again.
    pub(super) fn on_refused(&mut self, cells: CellRect, content: ContentNumber, unbased: bool) -> u64 {
        if unbased {
            self.references.on_base_refused();
        } else {
            self.credit.on_refused(cells.cells());
        }
        self.on_missing(cells, content)
    }

    /// Bytes of what the client's cache holds.
    pub(super) fn cache_bytes(&self) -> usize {
        self.slots.memory_bytes()
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let queue = self.queue.capacity() * size_of::<Queued>() + self.queued_bytes;
        size_of::<Self>()
            + self.cells.memory_bytes()
            + self.references.memory_bytes()
            + self.slots.memory_bytes()
            + self.stale.memory_bytes()
            + self.offers.as_ref().map_or(0, Offers::memory_bytes)
            + self.repeats.memory_bytes()
            + self.echoes.memory_bytes()
            + queue
    }

    /// No answer is waited for any more: what was asked for is asked for again.
    fn give_up_requests(&mut self, stats: &mut SessionStats) {
        stats.encodes_lost += self.requests.len() as u64;
        tracing::warn!(surface = self.surface.0, requests = self.requests.len(), "encoders do not answer");
        self.requests.clear();
        let mut queued = CellSet::new(self.cells.grid());
        for waiting in self.queue.iter().filter(|waiting| stored_of(&waiting.record).is_none()) {
            for index in waiting.record.cells.indices(self.cells.grid()) {
                queued.insert(index);
            }
        }
        self.cells.give_back_all_but(&queued);
    }

    fn end_pass(&mut self) {
        // SPEC [LFP-13.1]: A server MUST send a MARK for a tick only when each cell that changed up to it has been
        // sent with the pixels of that tick or newer ones.
        let Some(Pass { tick, captured, packets, .. }) = self.pass.take() else { return };
        let captured_us = captured.as_micros();
        let (surface, epoch) = (self.surface, self.epoch);
        self.mark = match packets {
            Some((first, last)) => Some(Mark { surface, epoch, tick, captured_us, first, last }),
            // The client had all of it already.
            None => self.mark.map(|mark| Mark { tick, captured_us, ..mark }),
        };
        self.mark_due = self.mark.is_some();
    }
}

/// Which of the records at the head of `queue` to put into `room` bytes, at most `most`, as a bit each: the oldest
/// that fits, so that none waits for ever, and with it what fills the packet best. A packet costs the network the same
/// time full or half empty.
fn choose(queue: &VecDeque<Queued>, most: usize, room: usize, scratch: &mut pack::Scratch) -> u32 {
    let mut lens = [0; FILL_FROM];
    let count = queue.len().min(FILL_FROM).min(most);
    for (len, queued) in lens.iter_mut().zip(queue.iter().take(count)) {
        *len = queued.len;
    }
    let lens = &mut lens[..count];
    if lens.iter().sum::<usize>() <= room {
        return ((1_u64 << count) - 1) as u32;
    }
    let Some(oldest) = lens.iter().position(|len| *len <= room) else { return 0 };
    let rest = room - std::mem::take(&mut lens[oldest]);
    1 << oldest | pack::fullest(lens, rest, scratch)
}

pub(super) fn picture(tick: &Tick) -> Option<&Picture> {
    match &tick.state {
        TickState::Live { picture, .. } => Some(picture),
        TickState::Dark { .. } => None,
    }
}
