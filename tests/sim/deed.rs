//! What a scenario can have happen.

use std::net::SocketAddr;
use std::time::Duration;

use lfp::geometry::Size;
use lfp::pixel::PixelFormat;
use lfp::units::{ConnectionId, PacketNumber};
use lfp_impair::{Ecn, Params, Share};
use lfp_proto::depth::Depth;
use lfp_proto::frame::{Frame, SurfaceState};
use lfp_proto::hello::{ClientType, Display, Hello};
use lfp_proto::limits::{COOKIE_LIFETIME, DATAGRAM_MIN};
use lfp_proto::packet::{Builder, Kind};
use lfp_proto::technique;

use crate::guest::Stroke;
use crate::piped::Load;
use crate::play::Play;
use crate::world::World;

/// One thing that happens. Numbers are indices of the world's sources and peers.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A guest paints.
    Paint(usize, Stroke),
    /// A guest paints a frame of a play.
    Play(usize, Play, u32),
    /// A guest that plays answers a key, the so-and-so-manieth.
    Spot(usize, u32),
    /// A peer's program is held up for so long: it neither reads nor writes.
    Stall(usize, Duration),
    /// A guest changes its mode.
    Mode(usize, Size, PixelFormat),
    /// A guest goes dark, or comes back.
    Dark(usize, Option<SurfaceState>),
    /// So many sweeps are torn.
    Tear(usize, u32),
    /// The guest's memory is gone for so many sweeps.
    Lose(usize, u32),
    /// A peer's client is started, in place of the one that is there.
    Start(usize),
    /// A peer's client vanishes.
    Crash(usize),
    /// A peer's user ends the session.
    Leave(usize),
    /// A peer's network: up and down.
    Network(usize, Box<(Params, Params)>),
    /// A share of a peer's packets is changed on the way.
    Tamper(usize, Share),
    /// Nothing passes between a peer and the server.
    Blackout(usize, Duration),
    /// The longest IP packet that passes between a peer and the server; a path that says nothing of what it drops.
    Mtu(usize, Option<u16>),
    /// What the path to a peer does with marks of congestion from now on.
    Ecn(usize, Ecn),
    /// A peer's network has no faults any more.
    Heal(usize),
    /// A peer's user presses a key, or lets it go.
    Key(usize),
    /// A peer's user presses a key and lets it go at once.
    Tap(usize),
    /// A peer's user moves the pointer.
    Pointer(usize),
    /// A stream between a peer and the server begins.
    Pipe(usize, Load),
    /// Encoding takes so long a cell from now on.
    CellCost(Duration),
    /// Somebody else sends something.
    Attack(Attack),
}

/// What somebody can send who has only heard what passed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attack {
    /// Bytes that mean nothing.
    Garbage,
    /// A HELLO without a cookie, from an address of others.
    Hello,
    /// A datagram that was heard, from elsewhere.
    Elsewhere,
    /// A datagram that was heard, from where it came from, once more.
    Again,
    /// A packet of a connection that there is not.
    Stray,
    /// A HELLO with a cookie that was good once.
    OldCookie,
}

impl Attack {
    pub(crate) const ALL: [Self; 6] =
        [Self::Garbage, Self::Hello, Self::Elsewhere, Self::Again, Self::Stray, Self::OldCookie];
}

impl Deed {
    /// Has it happen.
    pub(crate) fn happen(self, world: &mut World) {
        let now = world.now;
        match self {
            Self::Paint(source, stroke) => world.sources[source].guest.screen().paint(stroke),
            Self::Play(source, play, number) => world.play(source, play, number),
            Self::Spot(source, number) => world.spot(source, number),
            Self::Stall(peer, span) => world.peers[peer].stalled_until = Some(now + span),
            Self::Mode(source, size, format) => {
                world.totals.one("mode changes");
                world.sources[source].guest.screen().set_mode(size, format);
            }
            Self::Dark(source, state) => world.sources[source].guest.screen().set_dark(state),
            Self::Tear(source, sweeps) => {
                world.totals.many("sweeps torn", u64::from(sweeps));
                world.sources[source].guest.screen().tear(sweeps);
            }
            Self::Lose(source, sweeps) => {
                world.totals.many("sweeps lost", u64::from(sweeps));
                world.sources[source].guest.screen().lose(sweeps);
            }
            Self::Start(peer) => {
                if world.peers[peer].client.is_some() {
                    world.totals.one("clients replaced");
                }
                world.start(peer);
            }
            Self::Crash(peer) => world.crash(peer),
            Self::Leave(peer) => world.peers[peer].leave(now),
            Self::Network(peer, params) => {
                let (up, down) = *params;
                let network = world.network_mut(peer);
                network.up.set_params(up);
                network.down.set_params(down);
            }
            Self::Tamper(peer, share) => world.peers[peer].tamper = share,
            Self::Blackout(peer, span) => {
                world.totals.one("blackouts");
                for link in world.network_mut(peer).links() {
                    link.blackout(now, span);
                }
            }
            Self::Mtu(peer, mtu) => {
                world.totals.one("changes of the longest packet");
                for link in world.network_mut(peer).links() {
                    let params = Params { mtu, ..*link.params() };
                    link.set_params(params);
                }
            }
            Self::Ecn(peer, ecn) => {
                world.totals.one("changes of what becomes of marks");
                let down = &mut world.network_mut(peer).down;
                let params = Params { ecn, ..*down.params() };
                down.set_params(params);
            }
            Self::Heal(peer) => {
                world.peers[peer].tamper = Share::ZERO;
                world.network_mut(peer).heal();
            }
            Self::Key(peer) => world.peers[peer].type_key(now),
            Self::Tap(peer) => (0..2).for_each(|_| world.peers[peer].type_key(now)),
            Self::Pointer(peer) => world.peers[peer].move_pointer(now),
            Self::Pipe(peer, load) => world.pipe(peer, load),
            Self::CellCost(cost) => world.cell_cost = cost,
            Self::Attack(attack) => attack.happen(world),
        }
    }
}

impl Attack {
    fn happen(self, world: &mut World) {
        let now = world.now;
        world.totals.one(&format!("attacks: {self:?}"));
        let random = &mut world.random;
        let elsewhere = SocketAddr::from(([192, 0, 2, random.below(200) as u8], 9));
        let connection = ConnectionId(random.next());
        let (from, bytes) = match self {
            Self::Garbage => {
                let len = random.below(1_500);
                (elsewhere, (0..len).map(|_| random.next() as u8).collect())
            }
            Self::Hello => (elsewhere, hello(connection, random.next())),
            Self::Stray => {
                let number = PacketNumber(random.below(1_000) + 1);
                let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Data, connection, number);
                builder.push(&Frame::Ping);
                (elsewhere, builder.finish())
            }
            Self::Elsewhere | Self::Again => {
                let heard = random.below(world.recorded.len().max(1) as u64) as usize;
                let Some((_, from, bytes)) = world.recorded.get(heard) else { return };
                let from = if matches!(self, Self::Again) { *from } else { elsewhere };
                (from, bytes.clone())
            }
            Self::OldCookie => {
                let Some((at, from, bytes)) = world.old_hello.clone() else { return };
                let late = now.saturating_since(at) > COOKIE_LIFETIME;
                let accepts = world.totals.count("accepts");
                world.arrive(from, &bytes);
                if late {
                    world.totals.one("expired cookies shown");
                    assert_eq!(world.totals.count("accepts"), accepts, "LFP-4.4: an old cookie is taken");
                }
                return;
            }
        };
        world.arrive(from, &bytes);
    }
}

/// A HELLO as a client would send it that asks for the service `0`.
fn hello(connection: ConnectionId, client_time_us: u64) -> Vec<u8> {
    let display = Display::new(None, Depth::Bits24, 60);
    let hello = Hello {
        cookie: Vec::new(),
        client_time_us,
        service: "0".into(),
        place: String::new(),
        client_type: ClientType::Headless,
        displays: vec![display],
        decoders: technique::decoders(),
        references: 0,
        datagram_size: DATAGRAM_MIN as u16,
        receive_buffer: 65_536,
    };
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Hello, connection, PacketNumber(0));
    hello.emit(builder.body());
    builder.pad_to(DATAGRAM_MIN);
    builder.finish()
}
