//! The server's core: whatever comes from whomever, it goes on, within its bounds, and serves whom it serves.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use client_lfp::{Client, Config as ClientConfig, Security};
use lfp::ablation::Without;
use lfp::connection::Secrets;
use lfp::directory::{Directory, InputPolicy};
use lfp::hypervisor::synthetic::Painting;
use lfp::hypervisor::{SourceId, SyntheticSource, SyntheticSpec};
use lfp::limits::{DATAGRAM_MAX, DATAGRAM_MIN, ENCODES_PENDING_MAX, IDLE_TIMEOUT};
use lfp::logic::{EncodeRequest, Encoder};
use lfp::scan::{Scanner, Tick, TickState};
use lfp::server::{Config, Input, Output, Server};
use lfp_proto::frame::{Frame, InputKind, SurfaceState};
use lfp_proto::geometry::Size;
use lfp_proto::greeting::SealedHello;
use lfp_proto::hello::{Challenge, Hello, RETURNS};
use lfp_proto::packet::{Builder, Header, Kind, Protection, View};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, Epoch, PacketNumber};

use crate::harness::Tally;
use crate::script::{Step, steps};
use crate::traffic::{ADDRESSES, CONNECTION, WITH_COOKIE};

/// The bit of the first step of a script that makes its client one that comes back.
const COMES_BACK: u8 = 0x40;

/// The session that has nothing to do with the script.
const BYSTANDER: ConnectionId = ConnectionId(77);
/// Where its client is: none of the script's addresses.
const BYSTANDER_ADDRESS: u8 = ADDRESSES;
const SESSIONS_MAX: usize = 4;
/// Memory of a session on the small source here; the limit of a session is 1 MB on a 1080p source.
const SESSION_BYTES_MAX: usize = 512 * 1024;
/// Things that a server may want done before it waits: the packets that the largest receive buffer takes in one burst,
/// of each session, and a little.
const OUTPUTS_MAX: usize = 4_096;
/// An unproven address gets at most so many times what came from it.
const AMPLIFICATION_MAX: u64 = 3;

/// A script of datagrams to a server with two sessions, one of which the script speaks in.
pub(crate) fn server(input: &[u8], tally: &mut Tally) {
    let mut world = World::new();
    // What a client has that comes back is waited for.
    let returns = steps(input).next().is_some_and(|step| step.what & COMES_BACK != 0);
    world.join(0, CONNECTION, returns);
    world.join(BYSTANDER_ADDRESS, BYSTANDER, false);
    let before = *world.server.stats();
    for (at, step) in steps(input).enumerate() {
        world.wait(step.gap);
        world.ping();
        if at % 8 == 0 {
            world.tick(at / 8);
        }
        world.step(step);
    }
    assert!(
        world.server.status().any(|session| session.connection == BYSTANDER),
        "another session has ended with the script's"
    );
    let (stats, status) = (*world.server.stats(), world.server.status());
    let of_sessions = status.map(|session| session.stats.datagrams_malformed + session.stats.datagrams_known);
    let refused = [
        ("checksum", stats.dropped_checksum - before.dropped_checksum),
        ("version", stats.dropped_version - before.dropped_version),
        ("malformed", stats.dropped_malformed - before.dropped_malformed),
        ("unknown connection", stats.dropped_unknown - before.dropped_unknown),
        ("another's address", stats.dropped_address - before.dropped_address),
        ("short hello", stats.dropped_short - before.dropped_short),
        ("ended connection", stats.dropped_ended - before.dropped_ended),
        ("no or false cookie", stats.challenges - before.challenges),
        ("in a session", of_sessions.sum()),
    ];
    let count: u64 = refused.iter().map(|(_, count)| count).sum();
    tally.take((world.given).saturating_sub(count));
    for (reason, count) in refused {
        tally.refuse(reason, count);
    }
}

/// What an address sent and got.
#[derive(Default)]
struct Peer {
    sent_bytes: u64,
    got_bytes: u64,
    /// Has shown a cookie of its own.
    is_proven: bool,
    /// By connection.
    cookies: BTreeMap<u64, Vec<u8>>,
}

struct World {
    server: Server,
    now: Instant,
    peers: Vec<Peer>,
    /// Asked and not answered yet.
    encodes: Vec<EncodeRequest>,
    newest: Arc<Tick>,
    /// Datagrams of the script.
    given: u64,
    /// The number of the bystander's last packet.
    pings: u64,
    pinged: Instant,
}

impl World {
    fn new() -> Self {
        let mut directory = Directory::default();
        directory.insert("default", [SourceId(0)], 60, InputPolicy::Exclusive);
        let config = Config {
            directory,
            plain: true,
            ciphers: 1,
            sessions_max: SESSIONS_MAX,
            idle_timeout: IDLE_TIMEOUT,
            without: Without::NOTHING,
        };
        let now = Instant::from_micros(1_000_000);
        let mut world = Self {
            server: Server::new(config, &Secrets::of_seed([7; 32])),
            now,
            peers: (0..=ADDRESSES).map(|_| Peer::default()).collect(),
            encodes: Vec::new(),
            newest: Arc::clone(&ticks()[0]),
            given: 0,
            pings: 0,
            pinged: now,
        };
        world.tick(0);
        world
    }

    /// A client at `from` gets a session.
    fn join(&mut self, from: u8, connection: ConnectionId, returns: bool) {
        for _ in 0..2 {
            let mut client = Client::new(&ClientConfig::default(), Security::Plain, connection, self.now);
            let bytes = client.poll_transmit(self.now).expect("a client asks");
            let bytes = if returns { returning(&bytes) } else { bytes };
            let bytes = with_cookie(&bytes, &self.peers[usize::from(from)].cookies).unwrap_or(bytes);
            self.send(from, &bytes);
        }
        assert!(self.server.status().any(|session| session.connection == connection));
        self.peers[usize::from(from)].is_proven = true;
    }

    /// What the script says.
    fn step(&mut self, step: Step<'_>) {
        let from = step.what % ADDRESSES;
        let cookies = &self.peers[usize::from(from)].cookies;
        let bytes = (step.what & WITH_COOKIE != 0).then(|| with_cookie(step.bytes, cookies)).flatten();
        if bytes.is_some() {
            self.peers[usize::from(from)].is_proven = true;
        }
        self.given += 1;
        self.send(from, bytes.as_deref().unwrap_or(step.bytes));
    }

    fn send(&mut self, from: u8, bytes: &[u8]) {
        self.peers[usize::from(from)].sent_bytes += bytes.len() as u64;
        let from = address(from);
        self.server.handle(self.now, Input::Datagram { from, bytes });
        self.drain();
    }

    fn wait(&mut self, gap: Duration) {
        self.now = self.now + gap;
        for request in std::mem::take(&mut self.encodes) {
            let encoded = encoder().encode(&request, &self.newest);
            self.server.handle(self.now, Input::Encoded(encoded));
        }
        self.server.handle(self.now, Input::Timeout);
        self.drain();
    }

    /// The bystander shows that it is there.
    fn ping(&mut self) {
        if self.now.saturating_since(self.pinged) < Duration::from_secs(1) {
            return;
        }
        (self.pinged, self.pings) = (self.now, self.pings + 1);
        let number = PacketNumber(self.pings);
        let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Data, BYSTANDER, number);
        assert!(builder.push(&Frame::Ping));
        self.send(BYSTANDER_ADDRESS, &builder.finish());
    }

    fn tick(&mut self, number: usize) {
        self.newest = Arc::clone(&ticks()[number % ticks().len()]);
        self.server.handle(self.now, Input::Tick(Arc::clone(&self.newest)));
        self.drain();
    }

    /// Does what the server wants until it waits.
    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < OUTPUTS_MAX, "a server that never waits");
            match self.server.poll(self.now) {
                Output::Transmit { to, packet } => self.deliver(to, &packet.close()),
                Output::Encode(request) => {
                    self.encodes.push(request);
                    assert!(self.encodes.len() <= SESSIONS_MAX * ENCODES_PENDING_MAX);
                }
                Output::Digest(request) => {
                    let digested = encoder().digest(&request, &self.newest);
                    self.server.handle(self.now, Input::Digested(digested));
                }
                Output::Action(action) => {
                    let Size { width, height } = action.size;
                    assert_eq!(action.source, SourceId(0));
                    if let InputKind::MoveTo { x, y } = action.input {
                        assert!(x < width.max(1) && y < height.max(1), "{x},{y} in {width}x{height}");
                    }
                }
                Output::Demand(demand) => assert!(demand.rate_hz <= 60),
                Output::Timeout(due) => {
                    assert!(
                        due.is_none_or(|due| due > self.now),
                        "a deadline is left over at {:?}",
                        self.now
                    );
                    break;
                }
            }
        }
        assert!(self.server.sessions() <= SESSIONS_MAX);
        for session in self.server.status() {
            assert!(session.memory_bytes <= SESSION_BYTES_MAX, "{} bytes", session.memory_bytes);
        }
    }

    fn deliver(&mut self, to: SocketAddr, bytes: &[u8]) {
        let peer = &mut self.peers[usize::from(to.port() - PORT)];
        peer.got_bytes += bytes.len() as u64;
        assert!(
            peer.is_proven || peer.got_bytes <= AMPLIFICATION_MAX * peer.sent_bytes,
            "{} bytes to an unproven address for {}",
            peer.got_bytes,
            peer.sent_bytes
        );
        assert!(bytes.len() <= DATAGRAM_MAX);
        if Header::parse(bytes).expect("a server sends datagrams").has_tag() {
            // RESET, of a connection that is not known.
            return;
        }
        let view = View::new_checked(bytes).expect("a server sends datagrams");
        if view.kind() == Kind::Challenge {
            let challenge = Challenge::parse(view.payload()).expect("a challenge");
            peer.cookies.insert(view.connection().0, challenge.cookie);
        } else if view.kind() == Kind::Data {
            assert_eq!(view.check_frames(), Ok(()));
        }
    }
}

const PORT: u16 = 40_000;

fn address(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT + u16::from(number)))
}

fn datagram(connection: ConnectionId, hello: &Hello) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Hello, connection, PacketNumber(0));
    hello.emit(builder.body());
    builder.pad_to(DATAGRAM_MIN);
    builder.finish()
}

/// The same HELLO with the cookie that its sender was given; `None` if it is none, or there is no cookie.
fn with_cookie(bytes: &[u8], cookies: &BTreeMap<u64, Vec<u8>>) -> Option<Vec<u8>> {
    let view = View::new_checked(bytes).ok().filter(|view| view.kind() == Kind::Hello)?;
    let cookie = cookies.get(&view.connection().0)?.clone();
    if view.protection() == Protection::Sealed {
        let hello = SealedHello { cookie, ..SealedHello::parse(view.payload()).ok()? };
        let builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Hello, view.connection(), PacketNumber(0));
        let mut builder = builder.of_sealed();
        hello.emit(builder.body());
        builder.pad_to(DATAGRAM_MIN);
        return Some(builder.finish());
    }
    let hello = Hello { cookie, ..Hello::parse(view.payload()).ok()? };
    Some(datagram(view.connection(), &hello))
}

/// The same HELLO of a client that comes back with a picture.
fn returning(bytes: &[u8]) -> Vec<u8> {
    let view = View::new_checked(bytes).expect("a client's datagram");
    let hello = Hello::parse(view.payload()).expect("a HELLO");
    datagram(view.connection(), &Hello { decoders: hello.decoders | RETURNS, ..hello })
}

fn encoder() -> &'static Encoder {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    ENCODER.get_or_init(Encoder::default)
}

/// A guest that types, then vanishes, then comes back in another size.
fn ticks() -> &'static [Arc<Tick>] {
    static TICKS: OnceLock<Vec<Arc<Tick>>> = OnceLock::new();
    TICKS.get_or_init(|| {
        let mut ticks: Vec<Arc<Tick>> = Vec::new();
        for (width, height) in [(96, 64), (64, 80)] {
            let size = Size::new(width, height).expect("a legal size");
            let source = SyntheticSource::new(SyntheticSpec { size, ..SyntheticSpec::new(Painting::Mixed) });
            let mut scanner = Scanner::new(SourceId(0), Box::new(source));
            let found =
                (0..60).filter_map(|frame| scanner.tick(Instant::from_micros(frame * 33_334))).take(3);
            let (number, epoch) = ticks.last().map_or((0, 0), |last| (last.number, last.epoch.0));
            for tick in found {
                let mut tick = Arc::unwrap_or_clone(tick);
                (tick.number, tick.epoch) = (tick.number + number, Epoch(tick.epoch.0 + epoch));
                if let TickState::Live { delta, .. } = &mut tick.state {
                    delta.tick = tick.number;
                }
                ticks.push(Arc::new(tick));
            }
            let last = ticks.last().expect("it painted");
            let state = TickState::Dark { state: SurfaceState::Gone, text: "gone".to_owned() };
            let (number, epoch) = (last.number + 1, Epoch(last.epoch.0 + 1));
            ticks.push(Arc::new(Tick { number, epoch, state, ..(**last).clone() }));
        }
        ticks
    })
}
