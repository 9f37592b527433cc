//! The client's core: datagrams and time in, datagrams out.

mod reaching;
mod returning;
mod say;
mod sealed;
mod show;
mod streams;

use core::time::Duration;

use lfp_proto::depth::Depth;
use lfp_proto::frame::{Attention, Close, CloseReason, Frame, InputKind, Parity, Refusal};
use lfp_proto::geometry::CellSet;
use lfp_proto::packet::{self, Header, Kind, Protection, View};
use lfp_proto::seal::{RekeyAfter, Seal};
use lfp_proto::time::{Instant, micros};
use lfp_proto::units::{ConnectionId, PacketNumber};
use lfp_proto::window::{Arrival, Codepoint, ParityKeeper, ReceiveWindow};

use crate::apply::Applier;
use crate::arrivals::Arrivals;
use crate::attention::Attending;
use crate::config::Config;
use crate::digests::Digests;
use crate::echo::Echoes;
use crate::framebuffer::{Framebuffer, Picture};
use crate::handshake::{Answer, Established, Handshake, Sealed};
use crate::input::InputQueue;
use crate::limits::{
    CLOSE_REPEATS, DATAGRAM_DEFAULT, IDLE_TIMEOUT, IDLE_TIMEOUT_RANGE, INPUT_HEARTBEAT, KEEP_ALIVE,
    REFERENCES_MAX, SILENCE,
};
use crate::machine::{self, Event, Phase};
use crate::marks::{ClockOffset, Marks};
use crate::notes::{CellNote, Notes};
use crate::offer::Offering;
use crate::path::{Dialogue, PathSeen};
use crate::reach::{Look, Reach};
use crate::security::Security;
use crate::sent::Sent;
use crate::state::State;
use crate::stats::Stats;
use crate::streams::ClientStreams;
use crate::surface::{Surface, SurfaceView};

pub use sealed::TicketGiven;

/// A client of one service: shows its surface, sends it input.
#[derive(Debug)]
pub struct Client {
    connection: ConnectionId,
    state: State,
    handshake: Handshake,
    /// Largest datagram that may be sent, UDP payload in bytes.
    send_limit: usize,
    idle_timeout: Duration,
    offset: ClockOffset,
    seal: Seal,
    /// Whom the session is with, if it is sealed.
    sealed: Option<Sealed>,
    /// A packet that has been opened.
    opened: Vec<u8>,
    /// What the server has sent to this address, for it to be shown.
    path: Option<Vec<u8>>,
    ticket: Option<TicketGiven>,

    window: ReceiveWindow,
    recent: ParityKeeper,
    arrivals: Arrivals,
    sent: Sent,
    dialogue: Dialogue,
    /// Input is said more than once where packets are lost.
    copies: bool,
    heard_at: Instant,
    reach: Reach,
    look: Option<Look>,
    said_at: Instant,
    closes_left: u32,
    close_due: Instant,

    surface: Option<Surface>,
    /// The picture of a session before, until there is a surface.
    kept: Option<Framebuffer>,
    offering: Offering,
    /// Packets that were lost in sessions before.
    lost_before: u64,
    /// References that it keeps.
    references: u8,
    depth: Depth,
    applier: Applier,
    digests: Digests,
    marks: Marks,
    notes: Notes,
    input: InputQueue,
    attending: Attending,
    echoes: Echoes,
    streams: ClientStreams,
    painted_at: Option<Instant>,
    stats: Stats,
}

/// What the frames of a packet came to.
struct Acted<'a> {
    /// It asks for an ack.
    elicits: bool,
    /// Its refused records.
    refused: Vec<(u16, Refusal)>,
    parity: Option<Parity<'a>>,
}

impl Client {
    /// A client that begins to ask for a session at `now`. `connection` must be new and not to be guessed.
    // SPEC [LFP-4.1]: A client MUST choose a new connection id, at random from a source that cannot be guessed, for each
    // connection.
    #[must_use]
    pub fn new(config: &Config, security: Security, connection: ConnectionId, now: Instant) -> Self {
        Self {
            connection,
            state: State::Connecting,
            handshake: Handshake::new(config, security, connection, false, now),
            send_limit: DATAGRAM_DEFAULT,
            idle_timeout: IDLE_TIMEOUT,
            offset: ClockOffset::default(),
            seal: Seal::Plain,
            sealed: None,
            opened: Vec::new(),
            path: None,
            ticket: None,
            window: ReceiveWindow::default(),
            recent: ParityKeeper::default(),
            arrivals: Arrivals::default(),
            sent: Sent::default(),
            dialogue: Dialogue::default(),
            copies: config.copies,
            heard_at: now,
            reach: Reach::default(),
            look: None,
            said_at: now,
            closes_left: 0,
            close_due: now,
            surface: None,
            kept: None,
            offering: Offering::default(),
            lost_before: 0,
            references: config.references.min(REFERENCES_MAX),
            depth: config.depth,
            applier: Applier::new(config.depth),
            digests: Digests::default(),
            marks: Marks::default(),
            notes: Notes::new(config.notes),
            input: InputQueue::default(),
            attending: Attending::default(),
            echoes: Echoes::default(),
            streams: ClientStreams::default(),
            painted_at: None,
            stats: Stats::default(),
        }
    }

    /// Takes a datagram (UDP payload) that came from the server. Call [`Client::poll_transmit`] afterwards.
    pub fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) {
        self.handle_marked(now, Codepoint::NotEct, bytes);
    }

    /// The same, where it can be told what the ECN bits of its IP header were: the server wants to know.
    pub fn handle_marked(&mut self, now: Instant, codepoint: Codepoint, bytes: &[u8]) {
        self.echoes.settle(None, &mut self.stats.echo);
        self.stats.on_received(bytes.len());
        // SPEC [LFP-3.1]: A receiver MUST drop, without an answer, a datagram that is shorter than 18 or longer than 8,900
        // bytes, that has another version, an unknown kind or another protection than the connection's, or whose
        // trailer does not match.
        let header = match Header::parse(bytes) {
            Ok(header) if header.has_tag() => header,
            Ok(header) if View::new_checked(bytes).is_ok() => header,
            _ => return self.stats.malformed += 1,
        };
        if header.connection != self.connection || header.protection != self.handshake.protection() {
            return self.stats.foreign += 1;
        }
        let event = match header.kind {
            Kind::Data => Event::Data,
            Kind::Challenge => Event::Challenge,
            Kind::Greet => Event::Greet,
            Kind::Accept => Event::Accept,
            Kind::Refuse => Event::Refuse,
            Kind::Reset => Event::Reset,
            Kind::Hello => return self.stats.foreign += 1,
        };
        match (machine::step(self.state.phase(), event), event) {
            (Some(_), Event::Data) => self.on_data(now, codepoint, bytes),
            (Some(_), Event::Reset) => self.on_reset(bytes),
            (Some((Phase::Open, _)), Event::Challenge) => self.on_path_challenge(bytes),
            (Some(_), _) => self.on_answer(now, bytes),
            (None, Event::Data) => self.stats.untimely += 1,
            (None, _) => self.stats.foreign += 1,
        }
    }

    /// What the last datagram brought is shown as of `now`: call it after [`Client::handle_datagram`], once the picture has
    /// been put where its user sees it. Where it is not called, what comes counts as shown when it comes.
    pub fn handle_shown(&mut self, now: Instant) {
        self.echoes.settle(Some(now), &mut self.stats.echo);
    }

    /// Goes where `event` leads.
    fn turn(&mut self, event: Event, state: State) {
        let next = machine::step(self.state.phase(), event).map(|(next, _)| next);
        assert_eq!(next, Some(state.phase()), "{event:?} in {:?} does not lead to {state:?}", self.state);
        self.state = state;
    }

    /// Does what the passing of time asks for. Call it when the time of [`Client::poll_timeout`] has come, or at
    /// any other; then [`Client::poll_transmit`].
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Connecting if self.handshake.is_over(now) => self.turn(Event::GivesUp, State::NoAnswer),
            // SPEC [LFP-14.3]: A side MUST end a session from which nothing has come for the idle timeout of ACCEPT.
            State::Established if now >= self.idle_at() => self.turn(Event::Idle, State::TimedOut),
            State::Established => {
                self.input.expire(now, &mut self.stats);
                self.look = self.reach.look(now).or(self.look);
                self.streams.on_time(now, self.answer_time());
            }
            State::Closing if self.closes_left == 0 && now >= self.close_due => {
                self.turn(Event::Said, State::Ended);
            }
            _ => {}
        }
    }

    /// The next datagram to send (UDP payload), until there is none.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let datagram = match self.state {
            State::Connecting => self.handshake.poll_transmit(now)?,
            State::Established => self.build_data(now)?,
            State::Closing => self.build_close(now)?,
            _ => return None,
        };
        self.stats.on_sent(datagram.len());
        self.said_at = now;
        Some(datagram)
    }

    /// When [`Client::handle_timeout`] and [`Client::poll_transmit`] are to be called next if nothing else happens;
    /// `None`: never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Connecting => Some(self.handshake.due()),
            State::Established => {
                let due =
                    [self.window.ack_due(), self.input.due(), self.digests.due(), self.reach.probe_at()];
                let streams = self.streams.due(self.answer_time());
                let others = [self.attending.due(), self.reach.look_at(), streams, self.offering.due()];
                let due = due.into_iter().chain(others).flatten();
                due.chain([self.keep_alive_at(), self.idle_at()]).min()
            }
            State::Closing => Some(self.close_due),
            _ => None,
        }
    }

    /// The user did something. It is sent until the server has it, or dropped (and counted) when it has waited for
    /// [`crate::limits::INPUT_AGE_MAX`] or too much waits. Without a session it is dropped.
    pub fn input(&mut self, now: Instant, kind: InputKind) {
        if self.state == State::Established {
            let sequence = self.input.push(now, kind, &mut self.stats);
            if let Some(sequence) = sequence.filter(|_| kind.is_echoed()) {
                self.echoes.on_event(now, sequence);
            }
        }
    }

    /// How much the user sees of the surface from now on: the server sends what is hidden nothing of, and what is aside a few
    /// pictures a second. It may be said before there is a session.
    pub fn attend(&mut self, now: Instant, attention: Attention) {
        if self.attending.level() == Attention::Hidden && attention != Attention::Hidden {
            // What was proven before may be long gone.
            self.digests.on_epoch(self.surface.as_ref().and_then(Surface::live), now);
        }
        self.attending.turn(now, attention);
    }

    /// How much the user sees of the surface, as was said last.
    #[must_use]
    pub const fn attention(&self) -> Attention {
        self.attending.level()
    }

    /// Input events that the server has not acked.
    #[must_use]
    pub fn input_waiting(&self) -> usize {
        self.input.waiting()
    }

    /// Ends the session in order: what is held is let go, and CLOSE sent. [`State::is_final`] says when it is done.
    // SPEC [LFP-14.2]: A side that ends a session MUST send CLOSE. It may repeat it, and answers what still comes with it.
    pub fn close(&mut self, now: Instant) {
        let open = match self.state {
            State::Established => true,
            State::Connecting => self.handshake.may_have_session(),
            _ => return,
        };
        if !open {
            return self.turn(Event::UserEndsEarly, State::Ended);
        }
        self.input.push(now, InputKind::FocusLost, &mut self.stats);
        self.turn(Event::UserEnds, State::Closing);
        self.closes_left = CLOSE_REPEATS;
        self.close_due = now;
    }

    /// Where the client stands.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What the surface shows, once the server has said so.
    #[must_use]
    pub fn surface(&self) -> Option<SurfaceView<'_>> {
        self.surface.as_ref().map(Surface::view)
    }

    /// The picture; while the surface is dark, the last one before. `None` before the first.
    #[must_use]
    pub fn picture(&self) -> Option<Picture<'_>> {
        let kept = || self.kept.as_ref().map(|kept| kept.picture(self.depth, false));
        self.surface.as_ref().map_or_else(kept, |surface| surface.picture(self.depth))
    }

    /// What is known of cell `index` of the picture beside its pixels, if it has been painted and
    /// [`Config::notes`] asks for it.
    #[must_use]
    pub fn note(&self, index: usize) -> Option<CellNote> {
        let picture = self.surface.as_ref().and_then(Surface::last)?;
        self.notes.get(index, picture)
    }

    /// Whether the surface is live and not hidden, and all of its picture, as it is now, has been proven to be the server's.
    #[must_use]
    pub fn exact(&self) -> bool {
        let seen = self.attending.level() != Attention::Hidden;
        self.state == State::Established && seen && self.digests.all_proven()
    }

    /// When some picture first was complete: every cell painted.
    #[must_use]
    pub const fn painted_at(&self) -> Option<Instant> {
        self.painted_at
    }

    /// Adds the cells that changed since the last call to `into`, which is replaced if its grid is not the
    /// picture's. After a new epoch, what was never painted is not among them.
    pub fn take_damage(&mut self, into: &mut CellSet) {
        if let Some(framebuffer) = self.surface.as_mut().and_then(Surface::last_mut) {
            framebuffer.take_damage(into);
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What the path does, each way.
    #[must_use]
    pub fn path(&self) -> PathSeen {
        self.dialogue.seen()
    }

    /// So much time went into the picture: into [`Client::handle_datagram`] and what is done with what it changed. The server
    /// is told how busy this side is, and sends fewer pictures to one that cannot keep up.
    pub fn worked(&mut self, took: Duration) {
        self.dialogue.on_work(took);
    }

    /// Smoothed round-trip time in microseconds, once there is one.
    #[must_use]
    pub fn rtt_us(&self) -> Option<u64> {
        self.sent.rtt().smoothed_us()
    }

    fn idle_at(&self) -> Instant {
        self.heard_at + self.idle_timeout
    }

    /// When a packet must go if nothing else does.
    // SPEC [LFP-14.4]: A side MUST send something at least every 5 seconds.
    // SPEC [LFP-12.7]: A client MUST send something at least every second while it holds a key or a button.
    fn keep_alive_at(&self) -> Instant {
        let interval = if self.input.holds() { INPUT_HEARTBEAT } else { KEEP_ALIVE };
        self.said_at + interval.min(self.idle_timeout / 3)
    }

    fn on_answer(&mut self, now: Instant, bytes: &[u8]) {
        match View::new_checked(bytes).and_then(|view| self.handshake.on_answer(now, &view)) {
            Ok(Answer::Continue) => {}
            Ok(Answer::Accepted(established)) => self.on_accepted(now, established),
            Ok(Answer::Mismatch(found)) => {
                let expected = self.handshake.expected().fingerprint();
                self.turn(Event::Mismatch, State::WrongKey { expected, found });
            }
            Ok(Answer::Refused(refuse)) => {
                self.turn(Event::Refuse, State::Refused { reason: refuse.reason, text: refuse.text });
            }
            Ok(Answer::Foreign) => self.stats.foreign += 1,
            Err(_) => self.stats.malformed += 1,
        }
    }

    fn on_accepted(&mut self, now: Instant, established: Established) {
        let Established { accept, rtt, once, offset, sealed } = established;
        if let Some(Sealed { keys, cipher, .. }) = &sealed {
            self.seal = Seal::new(keys, *cipher, now, RekeyAfter::default());
        }
        self.sealed = sealed;
        self.turn(Event::Accept, State::Established);
        self.send_limit = usize::from(accept.datagram_size).min(DATAGRAM_DEFAULT);
        let (shortest, longest) = IDLE_TIMEOUT_RANGE;
        self.idle_timeout = Duration::from_millis(u64::from(accept.idle_timeout_ms)).clamp(shortest, longest);
        self.offset = offset;
        self.marks.on_begin(accept.server_time_us);
        self.stats.clock_error_us = micros(rtt) / 2;
        if once {
            self.sent.rtt_mut().on_sample(rtt);
        }
        self.heard_at = now;
    }

    fn on_data(&mut self, now: Instant, codepoint: Codepoint, bytes: &[u8]) {
        let mut opened = core::mem::take(&mut self.opened);
        match self.seal.open(now, bytes, self.window.largest(), &mut opened) {
            Ok(view) => self.on_packet(now, codepoint, &view),
            Err(_) => self.stats.malformed += 1,
        }
        self.opened = opened;
    }

    fn on_packet(&mut self, now: Instant, codepoint: Codepoint, view: &View<'_>) {
        let number = view.number(self.window.largest());
        // SPEC [LFP-5.1]: A receiver MUST NOT act on any frame of a packet in which one is malformed or has an unknown
        // type.
        if view.check_frames().is_err() {
            self.stats.malformed += 1;
            return;
        }
        if self.closes_as_unknown(view) {
            return;
        }
        // SPEC [LFP-3.5]: A receiver MUST drop a packet whose number it has seen or has forgotten (section 9).
        if self.window.examine(number) == Arrival::Known {
            self.stats.duplicates += 1;
            self.dialogue.on_packet(number);
            return;
        }
        if now.saturating_since(self.heard_at) > SILENCE.max(self.sent.rtt().answer_time() * 2) {
            self.digests.hurry(now);
        }
        self.heard_at = now;
        self.reach.on_heard();
        self.dialogue.on_packet(number);
        self.dialogue.ecn_mut().on_packet(codepoint);
        if let Some(parity) = self.take(now, number, view.payload()) {
            self.recover(now, number, &parity);
        }
        self.marks.settle(now, &self.arrivals, self.offset, &mut self.stats);
    }

    /// Acts on packet `number`, which is new. Returns the PARITY that it carries, if any.
    fn take<'a>(&mut self, now: Instant, number: PacketNumber, payload: &'a [u8]) -> Option<Parity<'a>> {
        if let Some(lost) = self.arrivals.on_packet(number) {
            self.marks.on_lost(lost);
        }
        self.stats.packets_lost = self.lost_before + self.arrivals.absent();
        if self.arrivals.notice_loss() {
            self.digests.on_loss();
        }
        self.recent.keep(number, payload);
        let Acted { elicits, refused, parity } = self.act(now, number, payload);
        // SPEC [LFP-9.1]: A receiver MUST NOT ack a packet before it has acted on all its frames.
        self.window.on_applied(number, now, elicits, refused);
        parity
    }

    /// Acts on the packet that is missing of those that `parity`, which packet `number` carries, covers, if there is one.
    // SPEC [LFP-9.10]: A client that recovers a packet MUST act on it as if it had come, and count it in its acks.
    fn recover(&mut self, now: Instant, number: PacketNumber, parity: &Parity<'_>) {
        let Some((missing, payload)) = self.recent.recover(parity, number) else { return };
        if self.window.examine(missing) == Arrival::New && packet::check_frames(&payload).is_ok() {
            self.window.on_recovered();
            self.stats.packets_recovered += 1;
            // A packet that covers others is covered by none.
            self.take(now, missing, &payload);
        }
    }

    /// Acts on the frames of packet `number`.
    // SPEC [LFP-5.4]: A receiver MUST act on the frames of a packet, and on the records of a frame, in their order.
    fn act<'a>(&mut self, now: Instant, number: PacketNumber, payload: &'a [u8]) -> Acted<'a> {
        let (mut acted, mut index) = (Acted { elicits: false, refused: Vec::new(), parity: None }, 0);
        for frame in packet::frames(payload).flatten() {
            acted.elicits |= frame.elicits_ack();
            match &frame {
                Frame::Quality(quality) => self.dialogue.on_quality(now, number, *quality),
                Frame::Pixels(pixels) => self.on_pixels(now, number, pixels, &mut index, &mut acted.refused),
                Frame::Parity(parity) => acted.parity = Some(*parity),
                other => self.on_frame(now, number, other),
            }
            if self.state.is_final() {
                break;
            }
        }
        acted
    }

    fn on_frame(&mut self, now: Instant, number: PacketNumber, frame: &Frame<'_>) {
        match frame {
            Frame::Ack(ack) => self.on_ack(now, ack),
            Frame::Floor(floor) => {
                // SPEC [LFP-9.8]: A receiver MUST forget packets below the largest FLOOR that came, but none beyond the
                // largest number that came.
                self.window.on_floor(*floor);
                let marks = &mut self.marks;
                self.arrivals.on_floor(*floor, |lost| marks.on_lost(lost));
            }
            Frame::Surface(frame) => self.on_surface(now, frame),
            Frame::Hold(hold) => self.on_hold(number, hold),
            Frame::Prove(prove) => {
                let surface = self.surface.as_ref().filter(|surface| surface.id() == prove.surface);
                self.stats.proofs_asked += u64::from(self.digests.on_prove(prove, surface));
            }
            Frame::Mark(mark) => {
                let current = self.surface.as_ref().map(|surface| (surface.id(), surface.epoch()));
                if current == Some((mark.surface, mark.epoch)) {
                    self.marks.on_mark(*mark, &mut self.stats);
                }
            }
            Frame::DigestReply(reply) => self.on_verdict(now, *reply),
            Frame::InputAck(ack) => self.input.on_ack(*ack, &mut self.stats),
            // SPEC [LFP-14.1]: A side that receives CLOSE MUST send nothing more in the session, and act on nothing more.
            Frame::Close(close) => self.on_close(close),
            // SPEC [LFP-5.2]: A receiver MUST ignore a frame that only the receiver's own side may send.
            Frame::Digest(_)
            | Frame::Input(_)
            | Frame::Attention(_)
            | Frame::Path(_)
            | Frame::Offer(_)
            | Frame::Ecn(_)
            | Frame::Report(_) => {}
            Frame::Keep(keep) => self.on_keep(now, keep),
            Frame::Stream(_) | Frame::StreamCredit(_) | Frame::StreamReset(_) => self.on_stream_frame(frame),
            Frame::Ticket(ticket) => {
                let lifetime = Duration::from_secs(u64::from(ticket.lifetime_s));
                self.ticket = Some(TicketGiven { ticket: ticket.ticket.into(), lifetime });
            }
            Frame::Echo(echo) => {
                let current = self.surface.as_ref().map(|surface| (surface.id(), surface.epoch()));
                if current == Some((echo.surface, echo.epoch)) {
                    self.echoes.on_echo(now, number, echo);
                }
            }
            Frame::Padding | Frame::Ping | Frame::Pixels(_) | Frame::Parity(_) | Frame::Quality(_) => {}
        }
    }

    fn on_close(&mut self, close: &Close<'_>) {
        let state = if self.state == State::Closing {
            State::Ended
        } else {
            State::Closed { reason: close.reason, text: close.text.into() }
        };
        self.turn(Event::Close, state);
    }

    /// Ends the session if `view` says that the server does not know it.
    // SPEC [LFP-14.5]: A client MUST act on CLOSE, reason unknown connection, whatever its packet number.
    fn closes_as_unknown(&mut self, view: &View<'_>) -> bool {
        // To a sealed connection only RESET says so.
        if view.protection() == Protection::Sealed || view.payload().len() > CLOSE_LEN_MAX {
            return false;
        }
        let mut frames = view.frames().flatten();
        match (frames.next(), frames.next()) {
            (Some(Frame::Close(close)), None) if close.reason == CloseReason::Unknown => {
                self.on_close(&close);
                true
            }
            _ => false,
        }
    }
}

/// Bytes of a packet's payload that holds nothing but a CLOSE: type, reason, length, text.
const CLOSE_LEN_MAX: usize = 1 + 1 + 2 + crate::limits::TEXT_MAX;
