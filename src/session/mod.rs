//! A session: what one client has, what to send it next, and what it typed.
//!
//! Sans-IO: time comes in as a value. The server calls [`Session::poll`] after anything happened and whenever
//! [`Session::deadline`] has come, until there is nothing left to do.

mod carried;
mod cells;
mod control;
mod dialogue;
mod digest;
mod doubt;
mod echo;
mod ecn;
mod guard;
mod input;
mod length;
mod live;
mod losses;
mod offer;
mod packets;
mod path;
mod quality;
mod redundancy;
mod reference;
mod refresh;
mod refusals;
mod repeat;
mod slots;
mod stale;
mod standing;
mod stats;
mod streams;
mod surface;
mod timers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ablation::{Part, Without};
use crate::directory::{Service, ServiceSource};
use crate::geometry::Size;
use crate::hypervisor::SourceId;
use crate::kernel::pack;
use crate::limits::{
    CLOSE_INTERVAL, CLOSE_REPEATS, DATAGRAM_DEFAULT, DATAGRAM_MAX, ENCODE_AHEAD, ENCODE_AHEAD_FIRST,
    ENCODE_BYTES_MAX, ENCODE_LATENCY_MAX, ENCODES_PENDING_MAX, RTT_GUESS,
};
use crate::logic::{DigestRequest, Digested, EncodeRequest, Encoded, Profile, SessionKey, Sum};
use crate::pixel::Bounds;
use crate::scan::{Strategy, Tick};
use crate::session::quality::Allowance;
use crate::time::{Instant, micros};
use crate::units::{ConnectionId, PacketNumber, SurfaceId};
use lfp_proto::frame::{CloseReason, InputKind};
use lfp_proto::hello::{Display, Hello, RETURNS};
use lfp_proto::seal::Unclosed;
use lfp_proto::technique::{self, Technique};
use lfp_proto::window::{EcnPath, Pacer, PacketLength, RateController, ReceiveWindow, SendWindow};

use self::carried::{Cargo, Item, Load};
pub use self::control::CONTROL;
use self::dialogue::Dialogue;
use self::digest::Digests;
pub use self::echo::AcceptedEvent;
pub use self::guard::Greeted;
use self::guard::Guard;
use self::input::{Fresh, InputState};
use self::live::Wanted;
use self::losses::Losses;
pub use self::packets::Brought;
use self::redundancy::Redundancy;
pub use self::standing::PathQuality;
pub use self::stats::SessionStats;
use self::streams::SessionStreams;
use self::surface::{Keeps, Surface};
use self::timers::Timer;

/// What a session was agreed to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The name of the service.
    pub service: String,
    /// Where the client stands, in its words.
    pub place: String,
    /// Longest datagram either way, UDP payload in bytes.
    pub datagram: usize,
    /// Bytes that the client takes in one burst.
    pub receive_buffer: u64,
    /// Techniques that it decodes and that may be used, as in Hello.
    pub decoders: u32,
    /// References that it keeps and that one of these techniques builds on.
    pub references: u8,
    /// It comes back with a picture, of which it will offer digests.
    pub returns: bool,
    /// Its displays: it is shown no more surfaces.
    pub displays: Vec<Shows>,
    /// What is not to be done for it.
    pub without: Without,
    /// Silence after which the session ends.
    pub idle_timeout: Duration,
}

impl Terms {
    /// What `hello` asks for, as far as this server, which leaves `without` out, gives it.
    #[must_use]
    pub fn of(hello: &Hello, idle_timeout: Duration, without: Without) -> Self {
        // Whether a client comes back is nothing that encoders need to know: what they make is shared by what is decoded.
        let decoders = without.decoders(hello.decoders & !RETURNS);
        Self {
            service: hello.service.clone(),
            place: hello.place.clone(),
            datagram: usize::from(hello.datagram_size).min(DATAGRAM_MAX),
            receive_buffer: u64::from(hello.receive_buffer),
            references: if decoders & technique::based() == 0 { 0 } else { hello.references },
            decoders,
            returns: hello.returns(),
            displays: hello.displays.iter().map(Shows::of).collect(),
            without,
            idle_timeout,
        }
    }

    /// Whether the client keeps pictures in slots; what is stored there is taken from references.
    const fn has_cache(&self) -> bool {
        let cache = Technique::Store.bit() | Technique::Use.bit();
        self.decoders & cache == cache && self.references > 0
    }
}

/// What a display of a client shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shows {
    /// Its size and depth.
    pub bounds: Bounds,
    /// How often it shows another picture.
    pub refresh_hz: u32,
}

impl Shows {
    /// What `display`, which a server can serve, shows.
    fn of(display: &Display) -> Self {
        let bounds = Bounds { size: display.size(), depth: display.depth().unwrap_or_default() };
        Self { bounds, refresh_hz: u32::from(display.refresh_hz) }
    }
}

/// How a session watches a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Which source.
    pub source: SourceId,
    /// Scans per second that it can make use of; 0: it does not look.
    pub rate_hz: u32,
    /// How its service wants it scanned.
    pub strategy: Strategy,
    /// What the display can show that shows it.
    pub bounds: Bounds,
}

/// Something that a session wants done.
#[derive(Debug)]
pub enum Step {
    /// Send this datagram to [`Session::address`].
    Transmit(Unclosed),
    /// Have this encoded; the answer goes to [`Session::on_encoded`].
    Encode(EncodeRequest),
    /// Have this summed; the answer goes to [`Session::on_digested`].
    Digest(DigestRequest),
}

/// An input event of a session's client, with where it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// What happened.
    pub kind: InputKind,
    /// The source that it is meant for, and who may type there; `None` if the surface does not exist.
    pub target: Option<ServiceSource>,
    /// The size of the guest's screen, which the place of a move lies on.
    pub size: Option<Size>,
    fresh: Fresh,
}

/// A session's end, on its way.
#[derive(Clone, Debug)]
struct Closing {
    reason: CloseReason,
    text: &'static str,
    left: u32,
    next_at: Instant,
}

/// One client on one service.
#[derive(Debug)]
pub struct Session {
    key: SessionKey,
    connection: ConnectionId,
    address: SocketAddr,
    terms: Terms,
    guard: Guard,
    receive: ReceiveWindow,
    window: SendWindow<Load>,
    cargo: Cargo,
    /// What the packet carries that is being built; room for that otherwise.
    items: Vec<Item>,
    rate: RateController,
    pacer: Pacer,
    length: PacketLength,
    /// Longest datagram now.
    packet_max: usize,
    redundancy: Redundancy,
    losses: Losses,
    ecn: EcnPath,
    dialogue: Dialogue,
    /// In the order of their ids.
    surfaces: Vec<Surface>,
    /// The surface that is served first next time.
    turn: usize,
    digests: Digests,
    input: InputState,
    streams: SessionStreams,
    /// Releases that the server has not fetched yet.
    releases: Vec<Wish>,
    began_at: Instant,
    heard_at: Instant,
    spoke_at: Instant,
    probe_due: bool,
    floor_told: PacketNumber,
    /// What encoding takes, smoothed.
    encode_us: u64,
    closing: Option<Closing>,
    stats: SessionStats,
    scratch: Vec<u8>,
    pack: pack::Scratch,
}

impl Session {
    /// A session that has sent nothing yet. `rtt_guess` is the time that the handshake took, if it is known.
    #[must_use]
    pub fn new(
        now: Instant,
        key: SessionKey,
        connection: ConnectionId,
        address: SocketAddr,
        service: &Service,
        terms: Terms,
        rtt_guess: Option<Duration>,
    ) -> Self {
        let rtt_guess = rtt_guess.unwrap_or(RTT_GUESS);
        // What does not fit the client's buffer would be a burst by itself.
        let buffer = usize::try_from(terms.receive_buffer).unwrap_or(usize::MAX).max(DATAGRAM_DEFAULT);
        let length = PacketLength::new(terms.datagram.min(buffer));
        let packet_max = length.bytes();
        let rate = RateController::new(now, packet_max as u64, terms.receive_buffer, rtt_guess);
        // SPEC [LFP-7.8]: A server MUST NOT give a session more surfaces than the HELLO has displays.
        let keeps = Keeps { references: terms.references, cache: terms.has_cache(), picture: terms.returns };
        let surfaces = (0..).map(SurfaceId).zip(service.sources.iter().zip(&terms.displays));
        Self {
            key,
            connection,
            address,
            guard: Guard::default(),
            receive: ReceiveWindow::default(),
            window: SendWindow::new(rtt_guess),
            cargo: Cargo::default(),
            items: Vec::new(),
            pacer: Pacer::new(rate.pacing_rate(), rate.quantum(), packet_max as u64),
            length,
            packet_max,
            rate,
            redundancy: Redundancy::default(),
            losses: Losses::default(),
            ecn: EcnPath::default(),
            dialogue: Dialogue::default(),
            surfaces: surfaces
                .map(|(id, (source, shows))| Surface::new(id, *source, *shows, keeps))
                .collect(),
            turn: 0,
            digests: Digests::default(),
            input: InputState::default(),
            streams: SessionStreams::new(terms.datagram),
            releases: Vec::new(),
            began_at: now,
            heard_at: now,
            spoke_at: now,
            probe_due: false,
            floor_told: PacketNumber(1),
            encode_us: 0,
            closing: None,
            stats: SessionStats::default(),
            scratch: Vec::new(),
            pack: pack::Scratch::default(),
            terms,
        }
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// Its connection id.
    #[must_use]
    pub const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Where its client is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was agreed.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// When it began.
    #[must_use]
    pub const fn began_at(&self) -> Instant {
        self.began_at
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> &SessionStats {
        &self.stats
    }

    /// The sources that it watches while it is open, and how.
    pub fn watches(&self) -> impl Iterator<Item = Watch> + '_ {
        let open = self.closing.is_none();
        self.surfaces.iter().map(Surface::watch).filter(move |_| open)
    }

    /// A source's newest tick, as it is shown somewhere.
    pub fn on_tick(&mut self, now: Instant, tick: &Arc<Tick>) {
        for surface in self.surfaces.iter_mut().filter(|surface| surface.shows(tick)) {
            let epoch = surface.epoch();
            surface.on_tick(now, tick);
            self.stats.epochs += u64::from(surface.epoch() != epoch);
        }
    }

    /// An encode request of this session is answered.
    pub fn on_encoded(&mut self, now: Instant, encoded: Encoded) {
        let asked = |surface: &&mut Surface| {
            (surface.watched().source, surface.fit()) == (encoded.source, encoded.fit)
        };
        let surface = self.surfaces.iter_mut().find(asked);
        if let Some(live) = surface.and_then(|surface| surface.live_in(encoded.epoch)) {
            let took_us = live.on_encoded(now, encoded, &mut self.stats);
            let took_us = took_us.min(micros(ENCODE_LATENCY_MAX));
            // A bound that is too low holds the rate down: it grows at once.
            self.encode_us = ((self.encode_us * 7 + took_us) / 8).max(took_us / 2);
            // Packets that were longer may have become shorter meanwhile.
            if self.length.counts().raises > 0 {
                self.drop_long();
            }
        }
    }

    /// A digest request of this session is answered.
    pub fn on_digested(&mut self, digested: &Digested) {
        let request = &digested.request;
        let Sum::Offer { part, .. } = request.sum else {
            return self.digests.on_digested(digested, &mut self.surfaces, &mut self.stats);
        };
        let asked = |surface: &&mut Surface| {
            (surface.watched().source, surface.fit()) == (request.source, request.fit)
        };
        let surface = self.surfaces.iter_mut().find(asked);
        if let Some(live) = surface.and_then(|surface| surface.live_in(request.epoch)) {
            live.on_offer_summed(part, digested, &mut self.stats);
        }
    }

    /// A part of what the client offers to be summed up.
    fn offer_request(&mut self) -> Option<DigestRequest> {
        for surface in &mut self.surfaces {
            let (source, fit, epoch) = (surface.watched().source, surface.fit(), surface.epoch());
            if let Some((part, cells)) = surface.live_mut().and_then(live::Live::offer_request) {
                let sum = Sum::Offer { part, key: self.guard.offer_key(self.connection) };
                return Some(DigestRequest { session: self.key, source, fit, epoch, cells, sum });
            }
        }
        None
    }

    /// The next thing to do at `now`, if there is one. Call it until there is none. A datagram is built in one of the
    /// `spare` buffers, if there is one.
    pub fn poll(&mut self, now: Instant, spare: &mut Vec<Vec<u8>>) -> Option<Step> {
        if self.closing.is_some() {
            return self.close_datagram(now).map(Step::Transmit);
        }
        self.on_time(now);
        if self.closing.is_some() {
            return self.poll(now, spare);
        }
        if let Some(request) = self.request(now) {
            self.stats.encodes_requested += 1;
            return Some(Step::Encode(request));
        }
        if let Some(request) = self.digests.request().or_else(|| self.offer_request()) {
            return Some(Step::Digest(request));
        }
        self.packet(now, spare).map(Step::Transmit)
    }

    /// Ends the session: the client is told, repeatedly, and then it is over. What is held is released.
    pub fn close(&mut self, now: Instant, reason: CloseReason, text: &'static str) {
        if self.closing.is_none() {
            self.release_all();
            self.closing = Some(Closing { reason, text, left: CLOSE_REPEATS, next_at: now });
        }
    }

    /// Ends the session at once, without a word: the client has ended it.
    pub fn end(&mut self, now: Instant) {
        self.release_all();
        self.closing = Some(Closing { reason: CloseReason::Done, text: "", left: 0, next_at: now });
    }

    /// Whether the session is ending, and why.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        self.closing.as_ref().map(|closing| closing.reason)
    }

    /// Whether nothing more will come from it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.left == 0)
    }

    /// Lets go of every key and button that the client holds: [`Session::take_releases`] has them.
    pub fn release_all(&mut self) {
        let released = self.input.release_all();
        self.stats.inputs_released += released.len() as u64;
        let wishes: Vec<_> = released.into_iter().map(|fresh| self.wish(fresh)).collect();
        self.releases.extend(wishes);
    }

    /// Releases to be given to the guest.
    pub fn take_releases(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.releases)
    }

    /// The guest gets `wish`, if it still means anything. Says whether it does.
    pub fn on_granted(&mut self, wish: &Wish) -> bool {
        let applies = self.input.on_apply(wish.fresh);
        if applies {
            self.stats.inputs_applied += 1;
        } else if !wish.kind.is_release() {
            self.on_denied();
        }
        applies
    }

    /// The guest does not get an event.
    pub fn on_denied(&mut self) {
        self.stats.inputs_dropped += 1;
        self.input.on_drop();
    }

    fn wish(&self, fresh: Fresh) -> Wish {
        let surface = self.surfaces.get(usize::from(fresh.surface.0));
        let size = surface.and_then(Surface::full);
        let kind = match (fresh.kind, surface.zip(size)) {
            (InputKind::MoveTo { x, y }, Some((surface, full))) => {
                let (x, y) = surface.fit().under(x, y, full);
                InputKind::MoveTo { x, y }
            }
            (kind, _) => kind,
        };
        Wish { kind, target: surface.map(|surface| *surface.watched()), size, fresh }
    }

    fn on_time(&mut self, now: Instant) {
        if self.is_due(Timer::Idle, now) {
            // SPEC [LFP-14.3]: A side MUST end a session from which nothing has come for the idle timeout of ACCEPT.
            return self.close(now, CloseReason::Idle, "nothing came from the client for too long");
        }
        if self.is_due(Timer::Silence, now) {
            self.release_all();
        }
        if self.is_due(Timer::Window, now) {
            self.on_window_time(now);
        }
        for surface in &mut self.surfaces {
            surface.on_time(now, &mut self.stats);
        }
    }

    /// Asks for as much to be encoded as the pacer can send by the time it comes back, and a little more.
    fn request(&mut self, now: Instant) -> Option<EncodeRequest> {
        let datagram = self.coverable();
        let ahead =
            self.surfaces.iter().filter_map(Surface::shown).map(live::Live::ahead_bytes).sum::<usize>();
        // What is not encoded in time is taken for what the path carries: a little more is asked for, or both would shrink.
        let fills = self.surfaces.iter().filter_map(Surface::shown).any(|live| live.cells().has_blank());
        let least = if fills { ENCODE_AHEAD_FIRST } else { ENCODE_AHEAD };
        let span = least + Duration::from_micros(self.encode_us + self.encode_us / 8);
        let paced = usize::try_from(self.rate.pacing_rate().bytes_in(span)).unwrap_or(usize::MAX);
        let horizon = paced.clamp(2 * datagram, ENCODES_PENDING_MAX * ENCODE_BYTES_MAX);
        let window = self.rate.in_flight_max() + self.rate.quantum();
        let window = usize::try_from(window.saturating_sub(self.window.in_flight())).unwrap_or(usize::MAX);
        let appetite = horizon.min(window).checked_sub(ahead).filter(|bytes| *bytes >= datagram)?;
        let budget_bytes = appetite.min(ENCODE_BYTES_MAX);
        let lossy = self.terms.decoders & Technique::Lossy.bit() != 0;
        let any_age = self.terms.without.contains(Part::Persistence);
        let record_max = self.record_max();
        let lossy = lossy.then(|| Allowance { rate: self.rate.pacing_rate(), any_age });
        for at in 0..self.surfaces.len() {
            let index = (self.turn + at) % self.surfaces.len();
            let surface = &mut self.surfaces[index];
            let (source, epoch, fit) = (surface.watched().source, surface.epoch(), surface.fit());
            let lossy = lossy.filter(|_| surface.takes_lossy());
            let pace = surface.pace();
            let Some(live) = surface.shown_mut() else { continue };
            let wanted = live.request(now, budget_bytes, pace, lossy, &mut self.stats);
            let Some(wanted) = wanted else { continue };
            let Wanted { cells, base, motion, kept, lossy, slots, ways, learnt } = wanted;
            self.turn = (index + 1) % self.surfaces.len();
            let profile =
                Profile { decoders: self.terms.decoders, record_max, without: self.terms.without, fit };
            let session = self.key;
            return Some(EncodeRequest {
                session,
                source,
                epoch,
                cells,
                profile,
                budget_bytes,
                base,
                motion,
                kept,
                lossy,
                slots,
                ways,
                learnt,
            });
        }
        None
    }

    fn has_records(&self) -> bool {
        self.surfaces.iter().filter_map(Surface::shown).any(|live| live.queued_bytes() > 0)
    }

    /// When a packet of what is encoded may go, as far as it is not for the path to say.
    fn packet_at(&self) -> Option<Instant> {
        let datagram = self.coverable();
        self.surfaces.iter().filter_map(|surface| surface.shown()?.packet_at(datagram)).min()
    }

    /// When a small update is to be said again, if the path has nothing else to carry.
    fn repeat_at(&self) -> Option<Instant> {
        let due = self.surfaces.iter().filter_map(|surface| surface.shown()?.repeats().due()).min();
        due.filter(|_| !self.has_records())
    }

    /// Whether another packet with pixels may be in flight.
    fn window_is_open(&self) -> bool {
        // SPEC [LFP-10.5]: A sender MUST bound the bytes in flight by a rate that it adapts to what arrives.
        let most = self.rate.in_flight_max();
        self.window.in_flight() + self.packet_max as u64 <= most && self.window.has_room()
    }

    fn repace(&mut self) {
        self.pacer.configure(self.rate.pacing_rate(), self.rate.quantum());
    }

    fn close_interval(&self) -> Duration {
        self.window.rtt().probe_timeout().clamp(*CLOSE_INTERVAL.start(), *CLOSE_INTERVAL.end())
    }
}
