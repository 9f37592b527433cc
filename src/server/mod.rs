//! The sans-IO root: datagrams, ticks and encodes in; transmits, requests and actions out.

mod control;
mod echo;
mod figures;
mod greeting;
mod handshake;
mod roster;
mod services;
mod sources;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ablation::Without;
use crate::connection::machine::{Deed, Event, step};
use crate::connection::{Cookies, Door, Proof, Secrets};
use crate::directory::{Directory, InputPolicy, Service};
use crate::heat::Hint;
use crate::hypervisor::{Accepted, Action, SourceId};
use crate::limits::{REPLIES_PENDING_MAX, SPARE_BUFFERS_MAX};
use crate::logic::{DigestRequest, Digested, EncodeRequest, Encoded, SessionKey};
use crate::pixel::Bounds;
use crate::scan::{Strategy, Tick, TickState};
use crate::session::{Session, Step, Wish};
use crate::time::Instant;
use lfp_proto::frame::{CloseReason, InputKind};
use lfp_proto::identity::PublicKey;
use lfp_proto::packet::{Header, Kind, Protection, View};
use lfp_proto::seal::Unclosed;

use self::echo::Awaited;
use self::handshake::Asked;
use self::roster::Roster;
pub use self::services::Settings;
use self::sources::{Grant, Sources};
pub use self::stats::{ServerStats, SessionStatus, SessionTotals};

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its UDP payload.
        bytes: &'a [u8],
    },
    /// A scan found something.
    Tick(Arc<Tick>),
    /// An [`Output::Action`] that has a number was accepted by its guest's hypervisor.
    Accepted(Accepted),
    /// An [`Output::Encode`] is answered.
    Encoded(Encoded),
    /// An [`Output::Digest`] is answered.
    Digested(Digested),
    /// A datagram of so many bytes, UDP payload, was not sent: the link of this host takes none that is so long.
    TooLong {
        /// To where.
        to: SocketAddr,
        /// How long it was.
        bytes: usize,
    },
    /// Time has passed; the deadline of [`Output::Timeout`] may have come.
    Timeout,
    /// Close every session in order.
    Shutdown,
}

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// To where.
        to: SocketAddr,
        /// Its UDP payload, once it is closed.
        packet: Unclosed,
    },
    /// Hand this to a worker; answer with [`Input::Encoded`].
    Encode(EncodeRequest),
    /// Hand this to a worker; answer with [`Input::Digested`].
    Digest(DigestRequest),
    /// Do this to a guest.
    Action(Action),
    /// Which sources are watched, and how fast; newest wins.
    Demand(Demand),
    /// Let go of this source: no service shows it any more. What has to be done to its guest was said before.
    Retire(SourceId),
    /// Nothing more to do until something happens, or this time has come; `None`: no deadline.
    Timeout(Option<Instant>),
}

/// How a source is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Which source.
    pub source: SourceId,
    /// Scans per second, as many as the client with the fastest display can show; 0: nobody watches, or everybody who does
    /// has it hidden.
    pub rate_hz: u32,
    /// What the displays can show that show it otherwise than it is; each once.
    pub bounds: Vec<Bounds>,
    /// How it is scanned.
    pub strategy: Strategy,
    /// Where input came since the last demand for the source: at most [`crate::limits::HINTS_MAX`], the newest last.
    pub hints: Vec<Hint>,
}

impl Demand {
    /// That nobody watches `source`.
    #[must_use]
    pub const fn none(source: SourceId) -> Self {
        Self { source, rate_hz: 0, bounds: Vec::new(), strategy: Strategy::Auto, hints: Vec::new() }
    }
}

/// What a server is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// What clients may ask for.
    pub directory: Directory,
    /// Whether sessions without encryption are taken, too.
    pub plain: bool,
    /// The ciphers that it likes, a bit each: [`lfp_proto::seal::Cipher::liked`].
    pub ciphers: u8,
    /// Most sessions at once.
    pub sessions_max: usize,
    /// Silence after which a session ends.
    pub idle_timeout: Duration,
    /// What is left out; nothing, but for benches.
    pub without: Without,
}

/// A whole server, without its sockets, clock and threads.
///
/// Hand in what happens with [`Server::handle`], then do what [`Server::poll`] says until it says to wait.
#[derive(Debug)]
pub struct Server {
    config: Config,
    cookies: Cookies,
    door: Door,
    /// The server's public key.
    key: PublicKey,
    roster: Roster,
    sources: Sources,
    /// Answers to those who have no session.
    replies: VecDeque<(SocketAddr, Vec<u8>)>,
    actions: VecDeque<Action>,
    /// Sources that no service shows any more.
    retired: VecDeque<SourceId>,
    awaited: Awaited,
    /// Buffers of datagrams that were sent.
    spare: Vec<Vec<u8>>,
    /// A packet that has been opened.
    opened: Vec<u8>,
    unknown_closed_at: Option<Instant>,
    closing: bool,
    /// Kinds of streams that whoever runs the server takes.
    kinds: Vec<&'static str>,
    stats: ServerStats,
}

impl Server {
    /// A server without sessions.
    #[must_use]
    pub fn new(config: Config, secrets: &Secrets) -> Self {
        let mut sources = Sources::default();
        for shown in config.directory.iter().flat_map(|(_, service)| &service.sources) {
            sources.add(shown.source);
        }
        Self {
            config,
            cookies: Cookies::new(*secrets.random.derive(b"LFP cookies").bytes()),
            door: Door::new(secrets),
            key: secrets.key.public(),
            roster: Roster::default(),
            sources,
            replies: VecDeque::new(),
            actions: VecDeque::new(),
            retired: VecDeque::new(),
            awaited: Awaited::default(),
            spare: Vec::new(),
            opened: Vec::new(),
            unknown_closed_at: None,
            closing: false,
            kinds: Vec::new(),
            stats: ServerStats::default(),
        }
    }

    /// The key by which clients know it.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Handshakes of which the server remembers the beginning.
    #[must_use]
    pub fn half_done(&self) -> usize {
        self.door.half_done()
    }

    /// Sessions, those that are closing included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.roster.len()
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> &ServerStats {
        &self.stats
    }

    /// Every session as it stands, in the order in which they began.
    pub fn status(&self) -> impl Iterator<Item = SessionStatus> + '_ {
        self.roster.iter().map(SessionStatus::of)
    }

    /// Takes in what happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram { from, bytes } => self.on_datagram(now, from, bytes),
            Input::Tick(tick) => self.on_tick(now, &tick),
            Input::Accepted(accepted) => {
                if let Some((key, event)) = self.awaited.on_accepted(accepted) {
                    if let Some(session) = self.roster.get_mut(key) {
                        session.on_accepted(event);
                    }
                }
            }
            Input::Encoded(encoded) => {
                if let Some(session) = self.roster.tell(encoded.session) {
                    session.on_encoded(now, encoded);
                }
            }
            Input::Digested(digested) => {
                if let Some(session) = self.roster.tell(digested.request.session) {
                    session.on_digested(&digested);
                }
            }
            Input::TooLong { to, bytes } => {
                if let Some(session) = self.roster.tell_at(to) {
                    session.on_too_long(now, bytes);
                }
            }
            // Poll looks at the time.
            Input::Timeout => {}
            Input::Shutdown => self.shut_down(now),
        }
    }

    /// The next thing to do at `now`. Call it until it gives [`Output::Timeout`], after every [`Server::handle`].
    pub fn poll(&mut self, now: Instant) -> Output {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Output::Action(action);
            }
            if let Some(demand) = self.sources.next_demand() {
                return Output::Demand(demand);
            }
            if let Some(source) = self.retired.pop_front() {
                return Output::Retire(source);
            }
            if let Some((to, bytes)) = self.replies.pop_front() {
                return self.transmit(to, bytes.into());
            }
            let Some(key) = self.roster.next_turn(now) else {
                return Output::Timeout(self.roster.deadline());
            };
            if let Some(output) = self.turn(now, key) {
                return output;
            }
        }
    }

    /// Takes back the buffer of an [`Output::Transmit`] that is done with, so that the next need not be allocated.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX {
            self.spare.push(bytes);
        }
    }

    /// Gives a session its turn.
    fn turn(&mut self, now: Instant, key: SessionKey) -> Option<Output> {
        let session = self.roster.get_mut(key)?;
        let was_open = session.closing().is_none();
        let step = session.poll(now, &mut self.spare);
        let address = session.address();
        let (is_over, closes) = (session.is_over(), was_open && session.closing().is_some());
        self.fetch_releases(now, key);
        if closes {
            self.on_closing(key);
        }
        if is_over {
            self.remove(now, key);
        }
        let Some(step) = step else {
            self.stats.restless += u64::from(self.roster.rest(now, key));
            return None;
        };
        self.roster.wake(key);
        Some(match step {
            Step::Transmit(packet) => self.transmit(address, packet),
            Step::Encode(request) => Output::Encode(request),
            Step::Digest(request) => Output::Digest(request),
        })
    }

    fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.stats.datagrams_in += 1;
        self.stats.bytes_in += bytes.len() as u64;
        // SPEC [LFP-3.1]: A receiver MUST drop, without an answer, a datagram that is shorter than 18 or longer than
        // 8,900 bytes, that has another version, an unknown kind or another protection than the connection's, or whose
        // trailer does not match.
        let header = match Header::parse(bytes) {
            Ok(header) => header,
            Err(malformed) => return self.stats.on_bad(malformed),
        };
        let asked = Asked { from, connection: header.connection, len: bytes.len() };
        match header.kind {
            Kind::Hello => match View::new_checked(bytes) {
                Ok(view) => self.on_hello(now, asked, &view),
                Err(malformed) => self.stats.on_bad(malformed),
            },
            Kind::Data => self.on_data(now, asked, header, bytes),
            Kind::Challenge | Kind::Greet | Kind::Accept | Kind::Refuse | Kind::Reset => {
                self.stats.dropped_malformed += 1;
            }
        }
    }

    fn on_data(&mut self, now: Instant, asked: Asked, header: Header, bytes: &[u8]) {
        let deed = step(self.state_of(now, asked.connection), Event::Data).map(|(_, deed)| deed);
        if deed == Some(Deed::CloseUnknown) {
            return match (header.protection, View::new_checked(bytes)) {
                (Protection::Sealed, _) => self.on_unknown_sealed(now, asked),
                (Protection::Plain, Ok(_)) => self.on_unknown(now, asked),
                (Protection::Plain, Err(malformed)) => self.stats.on_bad(malformed),
            };
        }
        let Some(key) = self.roster.find(asked.connection) else { return };
        let Some(session) = self.roster.tell(key) else { return };
        let mut opened = std::mem::take(&mut self.opened);
        match session.open(now, bytes, &mut opened) {
            // Of what is sealed it matters little where it comes from.
            Ok(view) if session.address() != asked.from && view.protection() == Protection::Plain => {
                self.stats.dropped_address += 1;
            }
            // SPEC [LFP-14.1]: A side that receives CLOSE MUST send nothing more in the session, and act on nothing more.
            Ok(view) => self.on_packet(now, key, asked, &view, deed == Some(Deed::Act)),
            Err(malformed) => self.stats.on_bad(malformed),
        }
        self.opened = opened;
    }

    /// A packet of a session came whose trailer is right.
    fn on_packet(&mut self, now: Instant, key: SessionKey, asked: Asked, view: &View<'_>, is_open: bool) {
        let Some(session) = self.roster.tell(key) else { return };
        let brought = session.on_packet(now, view, asked.len);
        if is_open {
            for wish in &brought.wishes {
                self.on_wish(now, key, wish);
            }
            if brought.attention {
                self.rewatch();
            }
            self.serve_streams(now, key);
            if brought.is_newest {
                self.follow(now, key, asked, brought.path.as_deref());
            }
        }
        if brought.closed {
            if let Some(session) = self.roster.tell(key) {
                session.end(now);
            }
            self.fetch_releases(now, key);
            self.remove(now, key);
        }
    }

    /// The newest packet of a session came from `asked.from`, perhaps with a proof that its client is there.
    // SPEC [LFP-4.18]: A server MUST NOT move a sealed session but by PATH, with a cookie that is valid for the address which
    // the packet came from.
    fn follow(&mut self, now: Instant, key: SessionKey, asked: Asked, path: Option<&[u8]>) {
        let Some(session) = self.roster.get_mut(key) else { return };
        let was = session.address();
        if was == asked.from || session.protection() == Protection::Plain {
            return;
        }
        let proof = path.map(|cookie| self.cookies.check(now, asked.from, asked.connection, cookie));
        if let Some(Proof::Valid(age)) = proof {
            tracing::info!(connection = asked.connection.0, from = %was, to = %asked.from, "session moves");
            session.move_to(now, asked.from, Some(age));
            self.stats.sessions_moved += 1;
        } else if session.may_ask_path(now) {
            self.challenge_path(now, asked);
        }
    }

    fn on_tick(&mut self, now: Instant, tick: &Arc<Tick>) {
        let epoch_before = self.sources.newest(tick.source).map(|tick| tick.epoch);
        if !self.sources.on_tick(tick) {
            return;
        }
        if epoch_before.is_none_or(|before| before < tick.epoch) && tick.fit.is_native() {
            self.log_epoch(tick);
        }
        for key in self.roster.keys() {
            let watches = |session: &Session| session.watches().any(|watch| watch.source == tick.source);
            if self.roster.get(key).is_some_and(watches) {
                if let Some(session) = self.roster.tell(key) {
                    session.on_tick(now, tick);
                }
            }
        }
    }

    fn log_epoch(&self, tick: &Tick) {
        let shows = |service: &Service| service.sources.iter().any(|shown| shown.source == tick.source);
        let service = self.config.directory.iter().find(|(_, service)| shows(service)).map(|(name, _)| name);
        match &tick.state {
            TickState::Live { picture, .. } => {
                let (width, height) = (picture.size.width, picture.size.height);
                tracing::info!(service, width, height, "source is live");
            }
            TickState::Dark { state, text } => {
                tracing::info!(service, state = state.name(), text, "source is dark");
            }
        }
    }

    /// One input event of a session.
    fn on_wish(&mut self, now: Instant, key: SessionKey, wish: &Wish) {
        if wish.kind == InputKind::FocusLost {
            if let Some(session) = self.roster.tell(key) {
                session.release_all();
            }
            return self.fetch_releases(now, key);
        }
        let Some(target) = wish.target.filter(|target| target.input != InputPolicy::None) else {
            return self.deny(key);
        };
        if matches!(wish.kind, InputKind::MoveTo { .. }) && wish.size.is_none() {
            // A place on a screen that has not been seen yet.
            return self.deny(key);
        }
        if wish.kind.is_release() && !self.sources.is_holder(target.source, key) {
            // Whatever it had pressed was released when it lost the input.
            return;
        }
        match self.sources.grant(now, target.source, key) {
            Grant::Denied => return self.deny(key),
            Grant::TakenFrom(other) => {
                if let Some(session) = self.roster.tell(other) {
                    session.release_all();
                }
                self.fetch_releases(now, other);
            }
            Grant::Given => {}
        }
        let Some(session) = self.roster.tell(key) else { return };
        if session.on_granted(wish) {
            self.sources.warm(target.source, wish);
            let number = self.awaited.expect(now, key, wish);
            self.act(now, wish, number);
        }
    }

    fn deny(&mut self, key: SessionKey) {
        if let Some(session) = self.roster.tell(key) {
            session.on_denied();
        }
    }

    /// Gives a guest what it has been granted. `number`: by which to hear of it once it is accepted.
    fn act(&mut self, now: Instant, wish: &Wish, number: Option<u64>) {
        let Some(target) = wish.target else { return };
        let size = wish.size.unwrap_or_default();
        let input = match wish.kind {
            InputKind::MoveTo { x, y } => InputKind::MoveTo {
                x: x.min(size.width.saturating_sub(1)),
                y: y.min(size.height.saturating_sub(1)),
            },
            other => other,
        };
        self.actions.push_back(Action { source: target.source, at: now, input, size, number });
    }

    fn fetch_releases(&mut self, now: Instant, key: SessionKey) {
        let releases = self.roster.get_mut(key).map(Session::take_releases).unwrap_or_default();
        for wish in releases {
            self.act(now, &wish, None);
        }
    }

    fn begin(&mut self, now: Instant, mut session: Session) {
        tracing::info!(
            connection = session.connection().0,
            from = %session.address(),
            service = session.terms().service,
            place = session.terms().place,
            protection = ?session.protection(),
            client = session.client().map(|key| key.fingerprint().to_string()),
            "session begins"
        );
        self.stats.sessions_begun += 1;
        let sources: Vec<_> = session.watches().map(|watch| watch.source).collect();
        for source in sources {
            for tick in self.sources.ticks(source) {
                session.on_tick(now, tick);
            }
        }
        self.roster.insert(session);
        self.rewatch();
    }

    /// A session has nothing more to watch.
    fn on_closing(&mut self, key: SessionKey) {
        self.sources.on_end(key);
        self.rewatch();
    }

    fn remove(&mut self, now: Instant, key: SessionKey) {
        let Some(session) = self.roster.remove(now, key) else { return };
        let stats = session.stats();
        tracing::info!(
            connection = session.connection().0,
            from = %session.address(),
            reason = ?session.closing(),
            bytes_down = stats.bytes_down,
            packets_lost = stats.packets_lost,
            packets_recovered = stats.packets_recovered,
            cells_repaired = stats.cells_repaired,
            "session is over"
        );
        self.stats.sessions_ended += 1;
        self.stats.ended.add(stats);
        self.on_closing(key);
    }

    fn shut_down(&mut self, now: Instant) {
        self.closing = true;
        for key in self.roster.keys() {
            if let Some(session) = self.roster.tell(key) {
                session.close(now, CloseReason::ShuttingDown, "the server is shutting down");
            }
            self.fetch_releases(now, key);
            self.sources.on_end(key);
        }
        self.rewatch();
    }

    fn rewatch(&mut self) {
        self.sources.watch(self.roster.iter().flat_map(Session::watches));
    }

    /// Has an answer sent to somebody who has no session.
    fn reply(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.replies.len() < REPLIES_PENDING_MAX {
            self.replies.push_back((to, bytes));
        } else {
            self.stats.dropped_replies += 1;
        }
    }

    fn transmit(&mut self, to: SocketAddr, packet: Unclosed) -> Output {
        self.stats.datagrams_out += 1;
        self.stats.bytes_out += packet.len() as u64;
        Output::Transmit { to, packet }
    }
}
