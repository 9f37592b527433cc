//! Runs by seed: chaos, then peace, then the end.

use std::time::Duration;

use client_lfp::Config;
use client_lfp::limits::DIGEST_INTERVAL_MAX;
use lfp::ablation::Without;
use lfp::connection::Secrets;
use lfp::directory::{Directory, InputPolicy};
use lfp::geometry::Size;
use lfp::hypervisor::SourceId;
use lfp::server::{self, Server};
use lfp_impair::{Bursts, Ecn, Params, Random, Share};
use lfp_proto::frame::SurfaceState;
use lfp_proto::limits::UDP_OVERHEAD;
use lfp_proto::technique::{Technique, decoders};
use lfp_proto::units::Bitrate;

use crate::deed::{Attack, Deed};
use crate::guest::{Guest, Stroke};
use crate::peer::Peer;
use crate::piped::{KIND, Load};
use crate::totals::Totals;
use crate::watched::{Answer, Watched};
use crate::world::World;

/// Silence after which the server ends a session: shorter than usual, so that runs end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `seed` from beginning to end; gives what happened, and a fingerprint of everything that was said.
pub(crate) fn run(seed: u64, trace: bool) -> (Totals, u32) {
    let mut random = Random::new(seed);
    let mut world = build(&mut random, trace);
    let chaos = plan(&mut world, &mut random);
    world.run(chaos);
    settle(&mut world);
    finish(&mut world, &mut random);
    collect(&mut world);
    (world.totals, world.fingerprint.finalize())
}

/// A server for so many sources: source `n` is the service `n`.
pub(crate) fn server(sources: usize, seed: u64, sessions_max: usize, idle_timeout: Duration) -> Server {
    let mut directory = Directory::default();
    for source in 0..sources {
        directory.insert(&source.to_string(), [SourceId(source as u16)], 30, InputPolicy::Exclusive);
    }
    let mut random = [0; 32];
    random[..8].copy_from_slice(&seed.to_le_bytes());
    let config = server::Config {
        directory,
        plain: true,
        ciphers: 1,
        sessions_max,
        idle_timeout,
        without: Without::NOTHING,
    };
    let mut server = Server::new(config, &Secrets::of_seed(random));
    server.take_kind(KIND);
    server
}

/// A world of a few guests and a few clients.
fn build(random: &mut Random, trace: bool) -> World {
    let sources: Vec<_> = (0..random.between(1, 2))
        .map(|_| {
            let (size, format) = (any_size(random), pick(random, &Guest::FORMATS));
            let guest = Guest::new(size, format, random.fork(1));
            Watched { answer: Answer::Glyph, ..Watched::new(guest) }
        })
        .collect();
    let count = sources.len();
    let peers: Vec<_> = (0..random.between(1, 3) as usize)
        .map(|index| {
            let source = random.below(count as u64) as usize;
            let simple = decoders() & !Technique::Dictionary.bit();
            let config = Config {
                service: source.to_string(),
                datagram_size: pick(random, &[1_100, 1_200, 1_472, 4_000, 8_900]),
                receive_buffer: pick(random, &[1_000, 16_384, 65_536, 262_144]),
                refresh_hz: pick(random, &[10, 30, 60]),
                decoders: pick(random, &[decoders(), decoders(), simple, simple & !Technique::Trixel.bit()]),
                references: pick(random, &[0, 1, 2, 2, 2]),
                ..Config::default()
            };
            let params = (any_params(random), any_params(random));
            let (mut peer, network) = Peer::new(index, source, config, params, random.fork(2 + index as u64));
            // Random numbers of their own: they change nothing else of a seed.
            peer.returns = random.fork(0x7265_7475 + index as u64).below(2) == 0;
            peer.tamper = if random.below(4) == 0 { Share::percent(3) } else { Share::ZERO };
            (peer, network)
        })
        .collect();
    World::new(server(count, random.next(), 16, IDLE_TIMEOUT), sources, peers, random.fork(9), trace)
}

/// Plans the chaos; says how long it is.
fn plan(world: &mut World, random: &mut Random) -> Duration {
    let end = random.between(3_000, 6_000);
    let mut plan = Plan { world, random, end, quiet: Duration::ZERO };
    for source in 0..plan.world.sources.len() {
        plan.painting(source);
        plan.trouble(source);
    }
    for peer in 0..plan.world.peers.len() {
        plan.life(peer);
        plan.narrowing(peer);
        plan.marking(peer);
    }
    for _ in 0..plan.random.below(12) {
        let attack = pick(plan.random, &Attack::ALL);
        plan.any_time(Deed::Attack(attack));
    }
    if plan.random.below(4) == 0 {
        let cost = Duration::from_micros(plan.random.between(20, 200));
        plan.any_time(Deed::CellCost(cost));
    }
    Duration::from_millis(end) + plan.quiet
}

struct Plan<'a> {
    world: &'a mut World,
    random: &'a mut Random,
    /// When the chaos ends, in milliseconds.
    end: u64,
    /// For how long faults go on after that.
    quiet: Duration,
}

impl Plan<'_> {
    fn any_time(&mut self, deed: Deed) {
        let at = self.random.below(self.end);
        self.at(at, deed);
    }

    fn at(&mut self, at_ms: u64, deed: Deed) {
        self.world.plan(Duration::from_millis(at_ms.min(self.end)), deed);
    }

    /// Every guest has a pace and something that it mostly does.
    fn painting(&mut self, source: usize) {
        let pace = pick(self.random, &[8, 33, 100, 400]);
        let habit = pick(self.random, &Stroke::ALL);
        let mut at = 0;
        while at < self.end {
            let stroke = if self.random.below(3) == 0 { pick(self.random, &Stroke::ALL) } else { habit };
            // Noise everywhere is dear to simulate.
            let rare = stroke == Stroke::All && self.random.below(8) > 0;
            self.at(at, Deed::Paint(source, if rare { Stroke::Type } else { stroke }));
            at += self.random.between(1, 2 * pace);
        }
    }

    fn trouble(&mut self, source: usize) {
        for _ in 0..self.random.below(3) {
            self.mode_change(source);
        }
        for _ in 0..self.random.below(2) {
            let states = [SurfaceState::NoFramebuffer, SurfaceState::Gone, SurfaceState::Faulty];
            let state = pick(self.random, &states);
            let (from, span) = (self.random.below(self.end), self.random.between(1, 1_000));
            self.at(from, Deed::Dark(source, Some(state)));
            self.at(from + span, Deed::Dark(source, None));
        }
        if self.random.below(4) == 0 {
            let sweeps = self.random.between(1, 5) as u32;
            let deed = pick(self.random, &[Deed::Tear(source, sweeps), Deed::Lose(source, sweeps)]);
            self.any_time(deed);
        }
    }

    /// For every other peer the path takes only shorter packets from some time on, or from another on longer ones again. It has
    /// random numbers of its own, so that it changes nothing else of a seed.
    fn narrowing(&mut self, peer: usize) {
        let mut random = self.random.fork(0x6d_7475 + peer as u64);
        for _ in 0..random.below(2) * random.between(1, 2) {
            let mtu = pick(&mut random, &[Some(1_228), Some(1_300), Some(1_450), Some(4_100), None]);
            let at = random.below(self.end);
            self.at(at, Deed::Mtu(peer, mtu));
        }
    }

    /// For every third peer the path keeps marks of congestion from its beginning or from some time on, and sets some, with or
    /// without a reason; or clears them again. As above, it changes nothing of the other peers.
    fn marking(&mut self, peer: usize) {
        let mut random = self.random.fork(0x65_636e + peer as u64);
        if random.below(3) > 0 {
            return;
        }
        for at in [0, random.below(self.end)] {
            let ecn = [Ecn::Above(16_384), Ecn::Above(40_000), Ecn::All, Ecn::Bleached];
            self.at(at, Deed::Ecn(peer, pick(&mut random, &ecn)));
        }
    }

    /// A client that comes back whenever its session ends may lose it at any time. Random numbers are its own here, too.
    fn returning(&mut self, peer: usize) {
        let mut random = self.random.fork(0x6261_636b + peer as u64);
        if self.world.peers[peer].returns && random.below(2) == 0 {
            let at = random.below(self.end);
            self.at(at, Deed::Start(peer));
        }
    }

    /// Often to the same grid and with pixels of the old epoch under way, some of which arrive late.
    fn mode_change(&mut self, source: usize) {
        let same = self.world.sources[source].guest.screen().size();
        let size = if self.random.below(2) == 0 { same } else { any_size(self.random) };
        let mode = Deed::Mode(source, size, pick(self.random, &Guest::FORMATS));
        let (at, before) = (self.random.between(100, self.end), self.random.between(20, 90));
        self.at(at, mode);
        if self.random.below(2) == 0 {
            return;
        }
        self.at(at - before, Deed::Paint(source, Stroke::All));
        let watching = |peer: &&Peer| peer.source == source;
        let paths = self.world.peers.iter().filter(watching);
        let params = |peer: &Peer| {
            let network = &self.world.networks[peer.network];
            (peer.index, *network.up.params(), *network.down.params())
        };
        let paths: Vec<_> = paths.map(params).collect();
        for (peer, up, down) in paths {
            let shuffled =
                Params { reorder: Share::percent(50), reorder_by: Duration::from_millis(300), ..down };
            self.at(at - 100, Deed::Network(peer, Box::new((up, shuffled))));
            self.at(at + 100, Deed::Network(peer, Box::new((up, down))));
        }
    }

    /// What becomes of a client.
    fn life(&mut self, peer: usize) {
        let start = self.random.below(1_000);
        self.at(start, Deed::Start(peer));
        let (middle, later) = (self.random.between(start, self.end), self.random.between(50, 1_000));
        match self.random.below(8) {
            0 => self.at(middle, Deed::Start(peer)),
            1 | 2 => {
                let gone = if self.random.below(2) == 0 { Deed::Crash(peer) } else { Deed::Leave(peer) };
                self.at(middle, gone);
                self.at(middle + later, Deed::Start(peer));
            }
            3 | 4 => self.at(middle, Deed::Blackout(peer, Duration::from_millis(later * 3))),
            5 if self.random.below(4) == 0 => {
                let span = IDLE_TIMEOUT + Duration::from_secs(1);
                self.quiet = self.quiet.max(span);
                self.at(middle, Deed::Blackout(peer, span));
            }
            5 => {
                let (up, down) = (any_params(self.random), any_params(self.random));
                self.at(middle, Deed::Network(peer, Box::new((up, down))));
            }
            _ => {}
        }
        if self.random.below(3) == 0 {
            // What is wrong at the very end, nothing but a digest puts right.
            self.at(self.end - 120, Deed::Tamper(peer, Share::percent(100)));
            let source = self.world.peers[peer].source;
            self.at(self.end - 100, Deed::Paint(source, Stroke::Noise));
        }
        self.streams(peer, start);
        self.returning(peer);
        let pace = pick(self.random, &[60, 200, 2_000]);
        let mut at = start;
        while at < self.end {
            at += self.random.between(1, 2 * pace);
            let deed = if self.random.below(4) == 0 { Deed::Pointer(peer) } else { Deed::Key(peer) };
            self.at(at, deed);
        }
    }

    /// A client's streams: none, a few, or more than may be open at once; the more there are the shorter.
    fn streams(&mut self, peer: usize, start: u64) {
        let count = pick(self.random, &[0, 2, 5, 30]);
        for _ in 0..count {
            let length = |random: &mut Random| match random.below(4) {
                0 => 0,
                1 => random.below(100),
                _ => random.below(160_000 / (count + 1)),
            };
            let lengths = [length(self.random), length(self.random)];
            let abandon_at = (self.random.below(6) == 0).then(|| self.random.below(lengths[0] + 1));
            let load = Load { by_client: self.random.below(2) == 0, lengths, abandon_at };
            let at = self.random.between(start, self.end);
            self.at(at, Deed::Pipe(peer, load));
        }
    }
}

/// Ends every fault; every client has to be exact soon, and stay so; and everything written to a stream comes.
fn settle(world: &mut World) {
    for peer in 0..world.peers.len() {
        Deed::Heal(peer).happen(world);
        if !world.peers[peer].wanted {
            Deed::Start(peer).happen(world);
        }
    }
    for source in 0..world.sources.len() {
        let mut screen = world.sources[source].guest.screen();
        screen.tear(0);
        screen.lose(0);
        screen.set_dark(None);
        screen.paint(Stroke::Fill);
    }
    world.cell_cost = Duration::from_micros(2);
    assert_settles(world);
    let took = world.run_until(STREAMS_WITHIN, |world| world.pipes.all_done());
    assert!(took.is_some(), "bytes of streams are missing after {STREAMS_WITHIN:?}: {:?}", world.pipes);
    // What is exact stays exact, through whatever was still to be repeated.
    world.run(Duration::from_millis(500));
    assert!(world.all_exact(), "what was exact is not any more");
    world.assert_all_shown();
    world.assert_at_rest();
}

/// Every client becomes right within a few round trips, a probe's interval and the time that its picture takes, and
/// knows it within one more interval of a digest's.
pub(crate) fn assert_settles(world: &mut World) {
    let (start, limit) = (world.now, settle_limit(world));
    let right = world.run_until(limit, World::all_right);
    let right = right.unwrap_or_else(|| panic!("not right within {limit:?}: {}", describe(world)));
    let limit = limit + DIGEST_INTERVAL_MAX;
    world.run_until(limit, World::all_exact).unwrap_or_else(|| {
        panic!("not exact within {limit:?} more: {}", describe(world));
    });
    let exact = world.now.saturating_since(start);
    world.totals.at_most("milliseconds to be right after the last fault", right.as_millis() as u64);
    world.totals.at_most("milliseconds to be exact after the last fault", exact.as_millis() as u64);
    world.totals.at_most("percent of the time allowed", (right.as_millis() * 100 / limit.as_millis()) as u64);
}

/// What the longest streams take at the slowest rate: half of it, both ways, and what waits before the bottleneck.
const STREAMS_WITHIN: Duration = Duration::from_secs(20);

/// A user's retry, and the longest interval of HELLOs and of probes.
const TIMERS: Duration = Duration::from_millis(200 + 1_000 + 1_000);

/// What the slowest client may need.
fn settle_limit(world: &World) -> Duration {
    let needs = world.peers.iter().map(|peer| {
        let network = &world.networks[peer.network];
        let (up, down) = (network.up.params(), network.down.params());
        let queue = |params: &Params| {
            let whole = params.queue_bytes + UDP_OVERHEAD as u64;
            params.rate.map_or(Duration::ZERO, |rate| rate.time_for(whole))
        };
        let bytes = world.sources[peer.source].guest.screen().size().pixels() * 4 + 10_000;
        let rate = down.rate.unwrap_or(Bitrate::from_bps(100_000_000));
        TIMERS + (up.delay + down.delay) * 10 + rate.time_for(bytes as u64) * 2 + queue(up) + queue(down)
    });
    needs.max().unwrap_or_default()
}

fn describe(world: &World) -> String {
    let state = |index: usize| {
        let client = world.peers[index].client.as_ref();
        let states = client.map(|client| (client.state(), client.exact(), client.surface()));
        format!("peer {index}: {states:?}, right {}", world.is_right(index))
    };
    (0..world.peers.len()).map(state).collect::<Vec<_>>().join("; ")
}

/// Every client goes, in order or not; the server notices, and lets everything go.
fn finish(world: &mut World, random: &mut Random) {
    for peer in 0..world.peers.len() {
        let goes = if random.below(2) == 0 { Deed::Leave(peer) } else { Deed::Crash(peer) };
        goes.happen(world);
    }
    world.plan(IDLE_TIMEOUT, Deed::Attack(Attack::OldCookie));
    let limit = IDLE_TIMEOUT + Duration::from_secs(2);
    let took = world.run_until(limit, |world| world.server.sessions() == 0);
    assert!(took.is_some(), "{} sessions are left", world.server.sessions());
    world.run(Duration::from_secs(1));
    for (index, source) in world.sources.iter().enumerate() {
        assert!(source.held.is_empty(), "LFP-12.6: keys {:?} are still down", source.held);
        assert_eq!(source.rate_hz, 0, "source {index} is still watched");
    }
}

/// Puts what the links and the server counted to the totals.
fn collect(world: &mut World) {
    for network in &world.networks {
        for link in [&network.up, &network.down] {
            for (name, count) in link.counts().named() {
                world.totals.many(&format!("datagrams {name}"), count);
            }
        }
    }
    let stats = world.server.stats();
    for (name, count) in [
        ("server: checksums wrong", stats.dropped_checksum),
        ("server: malformed", stats.dropped_malformed),
        ("server: packets of no session", stats.dropped_unknown),
        ("server: packets from elsewhere", stats.dropped_address),
        ("server: cookies forged", stats.cookies_forged),
        ("server: cookies expired", stats.cookies_expired),
        ("server: packets lost", stats.ended.packets_lost),
        ("server: cells repaired", stats.ended.cells_repaired),
        ("server: records refused", stats.ended.records_refused),
        ("server: records unbased", stats.ended.records_unbased),
        ("server: cells kept", stats.ended.cells_kept),
        ("server: cells returned", stats.ended.cells_returned),
        ("server: cells refined", stats.ended.cells_refined),
        ("server: turns of bases", stats.ended.base_turns),
        ("server: longer packets tried", stats.ended.length_probes),
        ("server: packets became longer", stats.ended.length_raises),
        ("server: long packets in doubt", stats.ended.length_doubts),
        ("server: black holes", stats.ended.black_holes),
        ("server: packets that may be marked", stats.ended.packets_ect),
        ("server: packets marked", stats.ended.packets_marked),
        ("server: answers to marks", stats.ended.marks_answered),
        ("server: paths that keep no marks", stats.ended.ecn_failures),
    ] {
        world.totals.many(name, count);
    }
}

fn any_size(random: &mut Random) -> Size {
    let (width, height) = match random.below(4) {
        0 => (random.between(1, 48), random.between(1, 48)),
        1 => (320, 256),
        _ => (random.between(16, 320), random.between(16, 256)),
    };
    Size::new(width as u16, height as u16).expect("a legal size")
}

fn any_params(random: &mut Random) -> Params {
    let loss = pick(random, &[0, 0, 1, 3, 10, 20, 30]);
    let bursts = Bursts { enter: Share::percent(2), leave: Share::percent(30), loss: Share::percent(90) };
    Params {
        delay: Duration::from_micros(random.below(60_000)),
        jitter: Duration::from_micros(random.below(8_000)),
        loss: Share::percent(loss),
        bursts: (random.below(4) == 0).then_some(bursts),
        reorder: Share::percent(pick(random, &[0, 2, 10])),
        reorder_by: Duration::from_millis(pick(random, &[2, 20, 100, 300])),
        duplicate: Share::percent(pick(random, &[0, 2, 10])),
        corrupt: Share::percent(pick(random, &[0, 1])),
        rate: pick(random, &[None, Some(2), Some(10), Some(50)])
            .map(|mbit| Bitrate::from_bps(mbit * 1_000_000)),
        queue_bytes: pick(random, &[16_384, 65_536, 262_144]),
        mtu: None,
        policer: None,
        ecn: Ecn::Bleached,
    }
}

fn pick<T: Clone>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize].clone()
}
