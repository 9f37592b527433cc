//! Packets of a session, in and out.

use std::time::Duration;

use crate::ablation::Part;
use crate::geometry::CellRect;
use crate::limits::{FLOOR_STEP, PADDING_MAX};
use crate::session::carried::{Cargo, Item, Load};
use crate::session::digest::Digests;
use crate::session::doubt::{Doubts, Refused};
use crate::session::guard::Guard;
use crate::session::input::InputState;
use crate::session::length::Lengths;
use crate::session::live::Live;
use crate::session::repeat;
use crate::session::stats::SessionStats;
use crate::session::streams::SessionStreams;
use crate::session::surface::Surface;
use crate::session::timers::Timer;
use crate::session::{Session, Wish};
use crate::time::Instant;
use crate::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::frame::{Ack, Close, Frame, Refusal};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::seal::Unclosed;
use lfp_proto::window::{AckSummary, Arrival, Fate, SendWindow, Stamp};

/// What a packet brought that the session cannot deal with alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Brought {
    /// Input events, in order, each for the first time.
    pub wishes: Vec<Wish>,
    /// How much the client's user sees of a surface has changed: [`Session::watches`] says what that means.
    pub attention: bool,
    /// The client has ended the session.
    pub closed: bool,
    /// No later packet has come before.
    pub is_newest: bool,
    /// The cookie by which the client proves that it is where the packet came from.
    pub path: Option<Vec<u8>>,
}

impl Session {
    /// A DATA datagram of this connection came from its address.
    pub fn on_packet(&mut self, now: Instant, view: &View<'_>, len: usize) -> Brought {
        let mut brought = Brought::default();
        let number = view.number(self.receive.largest());
        // SPEC [LFP-3.5]: A receiver MUST drop a packet whose number it has seen or has forgotten (section 9).
        if self.receive.examine(number) == Arrival::Known {
            self.stats.datagrams_known += 1;
            self.dialogue.on_packet(number);
            return brought;
        }
        // SPEC [LFP-5.1]: A receiver MUST NOT act on any frame of a packet in which one is malformed or has an unknown
        // type.
        if view.check_frames().is_err() {
            self.stats.datagrams_malformed += 1;
            return brought;
        }
        self.stats.datagrams_up += 1;
        self.stats.bytes_up += len as u64;
        self.heard_at = now;
        self.guard.on_opened();
        self.dialogue.on_packet(number);
        brought.is_newest = number > self.receive.largest();
        let mut elicits = false;
        // SPEC [LFP-5.4]: A receiver MUST act on the frames of a packet, and on the records of a frame, in their order.
        for frame in view.frames().flatten() {
            elicits |= frame.elicits_ack();
            self.on_frame(now, number, frame, &mut brought);
        }
        self.ecn.on_packet_done();
        self.follow_ecn();
        // SPEC [LFP-9.1]: A receiver MUST NOT ack a packet before it has acted on all its frames.
        self.receive.on_applied(number, now, elicits, Vec::new());
        brought
    }

    fn on_frame(&mut self, now: Instant, number: PacketNumber, frame: Frame<'_>, brought: &mut Brought) {
        match frame {
            Frame::Ack(ack) => self.on_ack(now, number, &ack),
            Frame::Floor(floor) => self.receive.on_floor(floor),
            Frame::Digest(digest) => {
                let surface = self.surfaces.get_mut(usize::from(digest.surface.0));
                self.digests.on_digest(self.key, number, digest, surface, &mut self.stats);
            }
            Frame::Input(input) => {
                let fresh = self.input.fresh(&input);
                brought.wishes.extend(fresh.into_iter().map(|fresh| self.wish(fresh)));
            }
            Frame::Attention(attend) => {
                let surface = self.surfaces.get_mut(usize::from(attend.surface.0));
                brought.attention |= surface.is_some_and(|surface| surface.attend(number, attend.attention));
            }
            Frame::Report(report) => {
                if self.dialogue.on_report(number, report) {
                    let halved = self.dialogue.halved();
                    self.surfaces.iter_mut().for_each(|surface| surface.ease(halved));
                    brought.attention = true;
                }
            }
            Frame::Ecn(counts) if brought.is_newest => self.on_ecn(now, counts),
            // A newer packet's acks have been taken: these counts would be too low for them.
            Frame::Ecn(_) => {}
            Frame::Offer(offer) => {
                let surface = self.surfaces.get_mut(usize::from(offer.surface.0));
                if let Some(live) = surface.and_then(|surface| surface.live_in(offer.epoch)) {
                    live.on_offer(offer.part, offer.digests);
                }
            }
            Frame::Path(path) => brought.path = Some(path.cookie.to_vec()),
            Frame::Stream(frame) => self.streams.streams.on_stream(&frame),
            Frame::StreamCredit(frame) => self.streams.streams.on_credit(&frame),
            Frame::StreamReset(frame) => self.streams.streams.on_reset(&frame),
            Frame::Close(_) => brought.closed = true,
            // SPEC [LFP-5.2]: A receiver MUST ignore a frame that only the receiver's own side may send.
            Frame::Surface(_)
            | Frame::Pixels(_)
            | Frame::Mark(_)
            | Frame::DigestReply(_)
            | Frame::InputAck(_)
            | Frame::Hold(_)
            | Frame::Ticket(_)
            | Frame::Parity(_)
            | Frame::Echo(_)
            | Frame::Quality(_)
            | Frame::Keep(_)
            | Frame::Prove(_) => {}
            Frame::Padding | Frame::Ping => {}
        }
    }

    fn on_ack(&mut self, now: Instant, number: PacketNumber, ack: &Ack) {
        let early = !self.terms.without.contains(Part::EarlyRepair);
        let Self {
            window, cargo, surfaces, digests, input, guard, streams, stats, length, rate, ecn, ..
        } = self;
        let doubts = Doubts::default();
        let mut lengths = Lengths::new(length, now, window.next(), rate.loss_share_permille());
        let mut knowledge = Knowledge { surfaces, digests, input, guard, streams, stats, doubts };
        let (mut came, mut sent_at) = (0, None);
        let summary = window.on_ack(now, ack, |fate, sent| {
            lengths.on_fate(fate, sent);
            match fate {
                Fate::Lost => knowledge.on_lost(cargo.of(sent.info)),
                Fate::Acked | Fate::AckedLate => {
                    sent_at = (sent.number == ack.largest()).then_some(sent.at).or(sent_at);
                    came += 1;
                    ecn.on_acked(sent.number);
                    let refused = ack.refused.iter().find(|refused| refused.packet == sent.number);
                    let refused: &[_] = refused.map_or(&[], |refused| &refused.records);
                    knowledge.on_delivered(sent.number, cargo.of(sent.info), refused, number);
                }
            }
        });
        let forgiven = lengths.forgiven();
        if early {
            knowledge.spread(window, cargo);
        }
        cargo.forget_before(window.oldest().map(|sent| sent.info));
        match summary {
            Ok(mut summary) => {
                summary.forgive(&forgiven);
                self.guard.seal_mut().on_acked(ack.largest());
                self.dialogue.on_ack(now, ack, sent_at);
                let recovered = self.losses.on_recovered(ack.recovered, came);
                self.stats.packets_recovered += recovered;
                self.ecn.on_recovered(recovered);
                if recovered > 0 {
                    summary.on_recovered(recovered);
                }
                self.on_summary(now, &summary, recovered);
            }
            Err(_) => self.stats.datagrams_malformed += 1,
        }
    }

    /// The send window's timer has fired.
    pub(super) fn on_window_time(&mut self, now: Instant) {
        let early = !self.terms.without.contains(Part::EarlyRepair);
        let Self { window, cargo, surfaces, digests, input, guard, streams, stats, length, rate, .. } = self;
        let doubts = Doubts::default();
        let mut lengths = Lengths::new(length, now, window.next(), rate.loss_share_permille());
        let mut knowledge = Knowledge { surfaces, digests, input, guard, streams, stats, doubts };
        let (mut summary, probe) = window.on_timeout(now, |fate, sent| {
            lengths.on_fate(fate, sent);
            knowledge.on_lost(cargo.of(sent.info));
        });
        summary.forgive(&lengths.forgiven());
        if early {
            knowledge.spread(window, cargo);
        }
        cargo.forget_before(window.oldest().map(|sent| sent.info));
        self.on_summary(now, &summary, 0);
        if probe {
            self.ecn.on_silence(self.window.unanswered_probes());
            self.follow_ecn();
            self.stats.probes += 1;
            self.probe_due = true;
        }
    }

    /// An ack, or the time, has settled the fate of packets; `recovered` of those acked did not come by themselves.
    fn on_summary(&mut self, now: Instant, summary: &AckSummary, recovered: u64) {
        self.stats.packets_lost += summary.lost_packets;
        self.stats.packets_late += summary.late_packets;
        self.losses.on_summary(now, summary, recovered);
        if !self.terms.without.contains(Part::Parity) {
            self.redundancy.decide(now, self.window.rtt().smoothed(), &self.losses);
        }
        self.window.await_parity(self.redundancy.packets());
        self.window.set_patience(repeat::patience(&self.losses));
        if summary.acked_bytes + summary.lost_bytes > 0 {
            self.rate.on_event(now, summary, self.window.in_flight());
            self.repace();
            self.watch_queue(now);
        }
        self.follow_length();
    }

    /// The packet to send at `now`, if there is a reason for one.
    pub(super) fn packet(&mut self, now: Instant, spare: &mut Vec<Vec<u8>>) -> Option<Unclosed> {
        if let Some(parity) = self.parity(now, spare) {
            return Some(parity);
        }
        if let Some(probe) = self.length_probe(now, spare) {
            return Some(probe);
        }
        let pixels = self.may_send_pixels(now);
        let streams = self.is_due(Timer::Stream, now);
        let repeats = self.is_due(Timer::Repeat, now);
        let alive = self.is_due(Timer::KeepAlive, now);
        if !pixels && !streams && !repeats && !alive && !self.must_send(now) {
            return None;
        }
        let number = self.window.next();
        // SPEC [LFP-10.8]: A server MUST go back to datagrams of at most 1,200 bytes when longer ones are lost, one after
        // another, while shorter ones are acked; what it sends because nothing has been acked for a probe time is never longer.
        let most = if self.probe_due { self.length.floor().min(self.coverable()) } else { self.coverable() };
        let mut builder = Builder::new(
            spare.pop().unwrap_or_else(|| Vec::with_capacity(self.packet_max)),
            most,
            Kind::Data,
            self.connection,
            number,
        );
        let mut items = std::mem::take(&mut self.items);
        items.clear();
        self.put_control(now, &mut builder, &mut items);
        if streams {
            self.put_streams(now, &mut builder, &mut items);
        }
        if pixels {
            self.put_pixels(now, &mut builder, number, &mut items);
        }
        // What is said once more covers itself.
        let paints = items.iter().any(|item| matches!(item, Item::Pixels { .. }));
        if repeats || self.probe_due {
            self.put_repeats(now, &mut builder, number, &mut items);
        }
        self.put_marks(&mut builder, number, &mut items);
        if !builder.is_empty() && self.dialogue.is_due(now) {
            let quality = self.quality().told();
            self.dialogue.tell(now, &Frame::Quality(quality), &mut builder);
        }
        // SPEC [LFP-14.4]: A side MUST send something at least every 5 seconds.
        let ping = (self.probe_due || alive) && items.is_empty() && builder.push(&Frame::Ping);
        if builder.is_empty() {
            spare.push(builder.discard());
            self.items = items;
            return None;
        }
        // Datagrams of one length go to the kernel together, which is worth a few bytes where more are to follow.
        if pixels && builder.room() <= PADDING_MAX && self.has_records() {
            builder.fill_up();
        }
        if pixels && self.has_records() {
            self.length.on_full(builder.payload().len() as u64);
        }
        self.probe_due = false;
        self.redundancy.on_sent(number, builder.payload(), paints);
        let packet = self.guard.seal_mut().prepare(now, number, builder);
        let packet = self.sent(now, packet, ping, &items);
        self.items = items;
        Some(packet)
    }

    /// The packet that covers those sent last, if it is time for one.
    fn parity(&mut self, now: Instant, spare: &mut Vec<Vec<u8>>) -> Option<Unclosed> {
        if !self.parity_waits() || !self.window_is_open() || !self.pacer.may_send(now) {
            return None;
        }
        let number = self.window.next();
        let most = self.packet_max;
        let buffer = spare.pop().unwrap_or_else(|| Vec::with_capacity(most));
        let mut builder = Builder::new(buffer, most, Kind::Data, self.connection, number);
        let covers =
            self.redundancy.parity(number).is_some_and(|parity| builder.push(&Frame::Parity(parity)));
        self.redundancy.begin_anew();
        if !covers {
            spare.push(builder.discard());
            return None;
        }
        self.stats.parities_sent += 1;
        let packet = self.guard.seal_mut().prepare(now, number, builder);
        Some(self.sent(now, packet, false, &[Item::Parity]))
    }

    /// Whether it is time to cover the packets sent last: they are as many as one PARITY is for, or nothing follows them soon.
    pub(super) fn parity_waits(&self) -> bool {
        let encoding = || self.surfaces.iter().filter_map(Surface::shown).any(Live::is_encoding);
        let uncovered = self.redundancy.uncovered();
        uncovered > 0 && (uncovered >= self.redundancy.packets() || !(self.has_records() || encoding()))
    }

    /// Whether pixels may go now. Tells the rate controller if there are none: of what it learns until there are again, it
    /// must not think that the path gives no more. (Waiting for an encoder is not that: it is a bottleneck like another.)
    fn may_send_pixels(&mut self, now: Instant) -> bool {
        let free = self.window_is_open() && self.pacer.may_send(now);
        let ready = self.packet_at().is_some_and(|at| at <= now);
        if free && !self.is_crowded() && !self.is_learning() {
            self.rate.on_app_limited(self.window.in_flight());
        }
        free && ready
    }

    /// Whether a packet must go whatever the rate.
    fn must_send(&self, now: Instant) -> bool {
        let input_alone = self.input.ack_due() && self.receive.ack_due().is_none();
        self.probe_due
            || input_alone
            || self.is_due(Timer::Ack, now)
            || self.digests.next_reply().is_some()
            || self.guard.ticket_due()
            || self.streams.streams.has_control()
            || self.surfaces.iter().any(Surface::has_news)
    }

    fn put_control(&mut self, now: Instant, builder: &mut Builder, items: &mut Vec<Item>) {
        if self.receive.ack_due().is_some() {
            if let Some(ack) = self.receive.ack(now, self.window.next()) {
                builder.push(&Frame::Ack(ack));
            }
        }
        let floor = self.window.floor();
        if floor.0 >= self.floor_told.0 + FLOOR_STEP && builder.push(&Frame::Floor(floor)) {
            self.floor_told = floor;
        }
        for surface in &mut self.surfaces {
            surface.announce(builder, items);
            if let Some(live) = surface.live_mut() {
                live.put_keeps(builder, items);
            }
        }
        self.guard.put_ticket(builder, items);
        self.streams.put_control(builder, items);
        if self.input.ack_due() && builder.push(&Frame::InputAck(self.input.ack())) {
            self.input.on_ack_sent();
            items.push(Item::InputAck);
        }
        while let Some(reply) = self.digests.next_reply() {
            if !builder.push(&Frame::DigestReply(reply)) {
                break;
            }
            self.digests.pop_reply();
            items.push(Item::Verdict(reply));
        }
    }

    fn put_pixels(
        &mut self,
        now: Instant,
        builder: &mut Builder,
        number: PacketNumber,
        items: &mut Vec<Item>,
    ) {
        let (copies, answer) = self.repeat_plan(now);
        for at in 0..self.surfaces.len() {
            let index = (self.turn + at) % self.surfaces.len();
            let surface = &mut self.surfaces[index];
            if !surface.may_have_pixels(items) {
                continue;
            }
            // SPEC [LFP-7.12]: A server MUST NOT put PIXELS of a hidden surface into a packet.
            if let Some(live) = surface.shown_mut() {
                live.repeats_mut().begin(now, copies, answer);
                let before = items.len();
                live.fill(builder, number, &mut self.scratch, &mut self.pack, items, &mut self.stats);
                live.note_answers(now, &items[before..], &mut self.stats);
            }
        }
    }

    /// How often a small update is said again in each round, and how long a round takes at most.
    fn repeat_plan(&self, now: Instant) -> (u32, Duration) {
        let repeats = !self.terms.without.contains(Part::Repeats);
        let copies = if repeats { repeat::copies(&self.losses, now) } else { 0 };
        (copies, self.window.rtt().probe_timeout())
    }

    /// What was said lately goes out once more; with a probe, everything that is open.
    fn put_repeats(
        &mut self,
        now: Instant,
        builder: &mut Builder,
        number: PacketNumber,
        items: &mut Vec<Item>,
    ) {
        let all = self.probe_due && !self.terms.without.contains(Part::Repeats);
        let (copies, answer) = self.repeat_plan(now);
        for surface in &mut self.surfaces {
            if !surface.may_have_pixels(items) {
                continue;
            }
            if let Some(live) = surface.shown_mut() {
                live.repeats_mut().begin(now, copies, answer);
                let before = items.len();
                live.put_repeats(builder, number, &mut self.scratch, items, all, &mut self.stats);
                live.note_answers(now, &items[before..], &mut self.stats);
            }
        }
    }

    /// What is to be said about pixels that have gone out.
    fn put_marks(&mut self, builder: &mut Builder, number: PacketNumber, items: &mut Vec<Item>) {
        for surface in &mut self.surfaces {
            if surface.may_have_pixels(items) {
                if let Some(live) = surface.live_mut() {
                    live.put_echoes(number, builder, items);
                    let before = items.len();
                    live.put_mark(builder, items, &mut self.stats);
                    self.stats.marks_sent += (items.len() - before) as u64;
                    self.stats.proofs_asked += u64::from(live.stale_mut().put(builder, items));
                }
            }
        }
    }

    /// Notes that a packet goes out.
    pub(super) fn sent(&mut self, now: Instant, packet: Unclosed, ping: bool, items: &[Item]) -> Unclosed {
        let len = packet.len() as u64;
        let elicits = ping || !items.is_empty();
        let aside = self.is_aside(items);
        let stamp = if elicits { self.rate.on_sent(now, self.window.in_flight()) } else { Stamp::default() };
        let load = self.cargo.load(items);
        let was_full = !self.window.has_room();
        if let Some(given_up) = self.window.push(now, len, elicits, stamp, load) {
            let Self { cargo, surfaces, digests, input, guard, streams, stats, .. } = self;
            stats.packets_lost += 1;
            let doubts = Doubts::default();
            Knowledge { surfaces, digests, input, guard, streams, stats, doubts }
                .on_lost(cargo.of(given_up.info));
        }
        if was_full {
            self.cargo.forget_before(self.window.oldest().map(|sent| sent.info));
        }
        if !aside {
            self.pacer.on_sent(now, len);
        }
        self.count_sent(now, len);
        self.offer(packet)
    }

    fn count_sent(&mut self, now: Instant, len: u64) {
        self.spoke_at = now;
        self.stats.datagrams_down += 1;
        self.stats.bytes_down += len;
    }

    /// The CLOSE to send at `now`, if one is due.
    pub(super) fn close_datagram(&mut self, now: Instant) -> Option<Unclosed> {
        let interval = self.close_interval();
        let closing = self.closing.as_mut().filter(|closing| closing.left > 0 && closing.next_at <= now)?;
        closing.left -= 1;
        closing.next_at = now + interval;
        let close = Close { reason: closing.reason, text: closing.text };
        // SPEC [LFP-3.3]: A sender MUST NOT use a packet number twice in a connection.
        let number = self.window.next();
        let mut builder = Builder::new(Vec::new(), self.packet_max, Kind::Data, self.connection, number);
        builder.push(&Frame::Close(close));
        let packet = self.guard.seal_mut().prepare(now, number, builder);
        let len = packet.len() as u64;
        let load = self.cargo.load(&[]);
        self.window.push(now, len, false, Stamp::default(), load);
        self.count_sent(now, len);
        Some(packet)
    }
}

/// The parts of a session that learn from the fate of its packets.
struct Knowledge<'a> {
    surfaces: &'a mut [Surface],
    digests: &'a mut Digests,
    input: &'a mut InputState,
    guard: &'a mut Guard,
    streams: &'a mut SessionStreams,
    stats: &'a mut SessionStats,
    doubts: Doubts,
}

impl Knowledge<'_> {
    /// Packet `packet` with these items came, as the client's packet `by` says; these of its records were refused.
    fn on_delivered<'i>(
        &mut self,
        packet: PacketNumber,
        items: impl Iterator<Item = &'i Item>,
        refused: &[(u16, Refusal)],
        by: PacketNumber,
    ) {
        let mut index = 0;
        for item in items {
            match *item {
                Item::Pixels { surface, epoch, cells, content, on, used } => {
                    let refusal = refused.iter().find(|(record, _)| *record == index);
                    index += 1;
                    if let Some((_, reason)) = refusal {
                        self.stats.records_refused[*reason as usize - 1] += 1;
                        // SPEC [LFP-10.2]: When a packet is lost or a record refused, its cells MUST become wanted again
                        let unbased = on.filter(|_| *reason == Refusal::Base);
                        let Some(live) = self.live(surface, epoch) else { continue };
                        used.into_iter().for_each(|used| live.slots_mut().forget(used));
                        live.repeats_mut().on_settled(cells, content);
                        let (grid, explained) = (live.cells().grid(), live.cells().are_lost(cells, content));
                        let wanted = live.on_refused(cells, content, unbased.is_some());
                        if on.is_some() && *reason == Refusal::Payload {
                            // It was sound: so what the client has of its base is not what it should have.
                            live.go_plain(cells, content);
                        }
                        self.stats.cells_repaired += wanted;
                        self.doubts.add(surface, grid, cells, content);
                        if let Some(on) = unbased {
                            let refused = Refused { packet, surface, epoch, cells, content, on, explained };
                            self.doubts.add_refused(refused);
                        }
                    } else if let Some(live) = self.live(surface, epoch) {
                        live.repeats_mut().on_settled(cells, content);
                        live.on_confirmed(cells, content, on.is_some());
                        self.digests.on_confirmed(by);
                    }
                }
                Item::Store { surface, epoch, stored } => {
                    let refusal = refused.iter().find(|(record, _)| *record == index);
                    index += 1;
                    if let Some((_, reason)) = refusal {
                        self.stats.records_refused[*reason as usize - 1] += 1;
                    }
                    let Some(live) = self.live(surface, epoch) else { continue };
                    match refusal {
                        Some(_) => live.slots_mut().forget(stored),
                        None => live.slots_mut().on_confirmed(stored),
                    }
                }
                Item::Hold { surface, epoch, slot, through } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.references_mut().on_announced(slot, through);
                    }
                }
                Item::Surface { surface, epoch } => {
                    if let Some(surface) = self.surfaces.get_mut(usize::from(surface.0)) {
                        surface.on_announced(epoch);
                    }
                }
                Item::Ticket => self.guard.on_ticket_taken(),
                Item::Echo { surface, epoch, first } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.echoes_mut().on_told(first);
                    }
                }
                Item::Keep { surface, epoch, part } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.on_keep_known(part);
                        self.digests.on_confirmed(by);
                    }
                }
                Item::Stream(carried) => self.streams.streams.on_acked(carried),
                Item::Mark { .. } | Item::Prove | Item::Parity | Item::Verdict(_) | Item::InputAck => {}
            }
        }
    }

    /// A packet with these items is lost.
    fn on_lost<'i>(&mut self, items: impl Iterator<Item = &'i Item>) {
        for item in items {
            match *item {
                Item::Pixels { surface, epoch, cells, content, .. } => {
                    let live = self.live(surface, epoch);
                    let may_come = live.is_some_and(|live| {
                        live.references_mut().on_lost();
                        live.repeats_mut().on_lost(cells, content)
                    });
                    if !may_come {
                        self.on_missing(surface, epoch, cells, content);
                    }
                }
                // What it would have kept is sent anew if it comes back.
                Item::Store { surface, epoch, stored } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.slots_mut().forget(stored);
                    }
                }
                // It is asked again when its turn comes; what it would have saved is repaired by itself.
                Item::Prove | Item::Parity => {}
                // Every packet with pixels repeats it.
                Item::Hold { .. } => {}
                Item::Surface { surface, epoch } => {
                    if let Some(surface) = self.surfaces.get_mut(usize::from(surface.0)) {
                        surface.on_announcement_lost(epoch);
                    }
                }
                Item::Mark { surface, epoch, tick } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.on_mark_lost(tick);
                    }
                }
                Item::Echo { surface, epoch, first } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.echoes_mut().on_lost(first);
                    }
                }
                Item::Keep { surface, epoch, part } => {
                    if let Some(live) = self.live(surface, epoch) {
                        live.on_keep_lost(part);
                    }
                }
                Item::Verdict(reply) => self.digests.on_reply_lost(reply),
                Item::InputAck => self.input.on_ack_lost(),
                Item::Ticket => self.guard.on_ticket_lost(),
                Item::Stream(carried) => self.streams.streams.on_lost(carried),
            }
        }
    }

    /// A record was lost.
    fn on_missing(&mut self, surface: SurfaceId, epoch: Epoch, cells: CellRect, content: ContentNumber) {
        // SPEC [LFP-10.2]: When a packet is lost or a record refused, its cells MUST become wanted again, except
        // those for which a larger content has been sent since or that the epoch has left behind; they are encoded
        // from the newest picture.
        let Some(live) = self.live(surface, epoch) else { return };
        let (grid, wanted) = (live.cells().grid(), live.on_missing(cells, content));
        self.stats.cells_repaired += wanted;
        self.doubts.add(surface, grid, cells, content);
    }

    /// Has what hangs on what turned out to be missing sent again.
    fn spread(self, window: &SendWindow<Load>, cargo: &Cargo) {
        if !self.doubts.is_empty() {
            self.stats.cells_repaired += self.doubts.spread(window, cargo, self.surfaces);
        }
    }

    fn live(&mut self, surface: SurfaceId, epoch: Epoch) -> Option<&mut Live> {
        self.surfaces.get_mut(usize::from(surface.0))?.live_in(epoch)
    }
}
