//! What a client has to say, put into packets.

use lfp_proto::frame::{Attend, Close, CloseReason, Frame, Path};
use lfp_proto::packet::{Builder, Kind};
use lfp_proto::time::Instant;
use lfp_proto::units::{PacketNumber, SurfaceId};

use super::Client;
use crate::limits::{CLOSE_INTERVAL, OFFER_PART_PLOTS};
use crate::surface::Surface;

/// Bytes of an OFFER frame: type, surface, epoch, part, count, digests.
const OFFER_LEN_MAX: usize = 1 + 3 + 5 + 1 + 2 + OFFER_PART_PLOTS * 8;
/// Bytes of a DIGEST frame: type, id, surface, epoch, cells, checksums.
const DIGEST_LEN_MAX: usize = 1 + 5 + 3 + 5 + 4 * 2 + 4 + 4;

impl Client {
    /// A packet with everything that is due, if anything is.
    pub(super) fn build_data(&mut self, now: Instant) -> Option<Vec<u8>> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let acks = is_due(self.window.ack_due());
        let inputs = is_due(self.input.due());
        let digests = is_due(self.digests.due());
        let attends = is_due(self.attending.due());
        let streams = is_due(self.streams.due(self.answer_time()));
        let offers = is_due(self.offering.due());
        let pings = self.keep_alive_at() <= now || is_due(self.reach.probe_at());
        if !(acks || inputs || digests || attends || streams || offers || pings || self.path.is_some()) {
            return None;
        }
        let (number, mut builder) = self.start_packet();
        let mut elicits = self.push_ack(now, number, &mut builder);
        if let Some(cookie) = self.path.take() {
            elicits |= builder.push(&Frame::Path(Path { cookie: &cookie }));
        }
        if inputs {
            elicits |= self.push_input(now, &mut builder);
        }
        if attends {
            elicits |= self.push_attention(now, number, &mut builder);
        }
        if offers {
            elicits |= self.push_offer(now, &mut builder);
        }
        if digests {
            elicits |= self.push_digests(now, &mut builder);
        }
        if streams {
            self.streams.on_time(now, self.answer_time());
            elicits |= self.streams.put(now, number, &mut builder);
        }
        if pings {
            elicits |= builder.push(&Frame::Ping);
        }
        if builder.is_empty() {
            // What was due has vanished meanwhile: expired input, a picture gone.
            return None;
        }
        if elicits {
            self.sent.on_sent(number, now);
            self.reach.on_asked(now);
        }
        Some(self.seal.finish(now, number, builder))
    }

    pub(super) fn build_close(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.closes_left == 0 || now < self.close_due {
            return None;
        }
        self.closes_left -= 1;
        self.close_due = now + CLOSE_INTERVAL;
        let (number, mut builder) = self.start_packet();
        self.push_input(now, &mut builder);
        builder.push(&Frame::Close(Close { reason: CloseReason::Done, text: "" }));
        Some(self.seal.finish(now, number, builder))
    }

    fn start_packet(&mut self) -> (PacketNumber, Builder) {
        let number = self.sent.next_number();
        let builder = Builder::new(Vec::new(), self.send_limit, Kind::Data, self.connection, number);
        (number, builder)
    }

    /// Adds the ack that is owed, if one is; says whether the frame asks for an ack itself.
    fn push_ack(&mut self, now: Instant, number: PacketNumber, builder: &mut Builder) -> bool {
        // Not in every packet: two long frames might never fit together.
        if self.window.ack_due().is_none() {
            return false;
        }
        let Some(ack) = self.window.ack(now, number) else { return false };
        let frame = Frame::Ack(ack);
        let fits = builder.push(&frame);
        let elicits = fits && frame.elicits_ack();
        // They are compared with what is acked, so they go where that does.
        if let Some(counts) = self.dialogue.ecn_mut().due().filter(|_| fits) {
            if builder.push(&Frame::Ecn(counts)) {
                self.dialogue.ecn_mut().on_told();
            }
        }
        if let Some(report) = self.dialogue.report(now) {
            builder.push(&Frame::Report(report));
        }
        elicits
    }

    fn push_input(&mut self, now: Instant, builder: &mut Builder) -> bool {
        let surface = self.surface.as_ref().map_or(SurfaceId(0), Surface::id);
        let rtt = self.sent.rtt().answer_time();
        // A program that was held up may come to speak before it comes to look at the time.
        self.input.expire(now, &mut self.stats);
        let Some(input) = self.input.peek(surface) else { return false };
        let fits = builder.push(&Frame::Input(input));
        if fits {
            let copies = if self.copies { self.dialogue.copies(now) } else { 0 };
            self.input.on_sent(now, rtt, copies);
            self.stats.input_frames += 1;
        }
        fits
    }

    fn push_attention(&mut self, now: Instant, number: PacketNumber, builder: &mut Builder) -> bool {
        let surface = self.surface.as_ref().map_or(SurfaceId(0), Surface::id);
        let frame = Frame::Attention(Attend { surface, attention: self.attending.level() });
        let fits = builder.push(&frame);
        if fits {
            self.attending.on_sent(now, number, self.sent.rtt().answer_time());
        }
        fits
    }

    /// Adds a part of what is offered; one that does not fit waits for the next packet.
    fn push_offer(&mut self, now: Instant, builder: &mut Builder) -> bool {
        let Some(live) = self.surface.as_ref().and_then(Surface::live) else {
            self.offering.end();
            return false;
        };
        if builder.room() < OFFER_LEN_MAX {
            return false;
        }
        let answer_time = self.sent.rtt().answer_time();
        let Some(offer) = self.offering.take(now, live, answer_time) else { return false };
        self.stats.offers_sent += 1;
        builder.push(&Frame::Offer(offer))
    }

    fn push_digests(&mut self, now: Instant, builder: &mut Builder) -> bool {
        let Some(surface) = &self.surface else { return false };
        let answer_time = self.sent.rtt().answer_time();
        let mut pushed = false;
        while builder.room() >= DIGEST_LEN_MAX {
            let Some(digest) = self.digests.take(now, surface, answer_time) else { break };
            pushed |= builder.push(&Frame::Digest(digest));
            self.stats.digests_sent += 1;
        }
        pushed
    }
}
