//! One world of a table's row, and what is measured in it.

use std::collections::BTreeMap;
use std::time::Duration;

use client_lfp::Config;
use lfp::ablation::{Part, Without};
use lfp::connection::Secrets;
use lfp::directory::{Directory, InputPolicy};
use lfp::hypervisor::SourceId;
use lfp::pixel::PixelFormat;
use lfp::server::{self, Server};
use lfp::session::SessionStats;
use lfp::time::Instant;
use lfp_impair::{Flow, LinkSpec, Random};
use lfp_proto::limits::{IDLE_TIMEOUT, UDP_OVERHEAD};
use lfp_proto::technique::{self, Technique};

use crate::deed::Deed;
use crate::gauge::Gauge;
use crate::guest::Guest;
use crate::network::Network;
use crate::peer::Peer;
use crate::piped::KIND;
use crate::play::{Play, SIZE};
use crate::rival::Rival;
use crate::watched::{Answer, Watched};
use crate::world::{RIVALS_FROM, World};

/// Scans a second.
const RATE_HZ: u32 = 60;
/// How long a client may take to show the first frame, and the last one.
const EXACT_WITHIN: Duration = Duration::from_secs(120);
/// How long no key is pressed at the end, so that none changes the last picture.
const KEYLESS: Duration = Duration::from_secs(2);
/// How long the first frame stands, so that what it set off is over.
const REST: Duration = Duration::from_millis(1_500);

/// A guest that plays, its clients, and what lies between.
pub(crate) struct Stage {
    world: World,
    play: Play,
    began_at: Instant,
    before: Vec<SessionStats>,
}

/// What a timed play showed of its first client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timed {
    /// Milliseconds; `None` if that frame was never shown, or the end never exact.
    pub(crate) p50: Option<u64>,
    pub(crate) p95: Option<u64>,
    pub(crate) p99: Option<u64>,
    /// From a key that the guest got until its answer was shown; `None` if that never was.
    pub(crate) echo_p95: Option<u64>,
    /// From the last frame.
    pub(crate) exact: Option<u64>,
    /// Down, with IP and UDP headers.
    pub(crate) bytes: u64,
    /// Thousandths of these.
    pub(crate) repair_permille: u64,
    pub(crate) refused: u64,
    /// Milliseconds in the bottleneck's queue, 95th percentile.
    pub(crate) queued_p95: u64,
    /// Thousandths of what was sent that queue or policer dropped.
    pub(crate) dropped_permille: u64,
}

impl Stage {
    /// `clients` of one guest behind a link `spec` each, or all behind one if they share it; all of them show the first
    /// frame, and some time has passed since. `None` if that does not happen.
    pub(crate) fn new(
        play: Play,
        spec: &str,
        clients: usize,
        shared: bool,
        without: Without,
    ) -> Option<Self> {
        let spec: LinkSpec = spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"));
        let random = Random::new(spec.seed ^ 0x5eed);
        let guest = Guest::new(SIZE, PixelFormat::Xrgb8888, random.fork(1));
        play.paint(0, &mut guest.screen());
        let peers = (0..clients).map(|index| {
            // A storm is about the path: its pixels take what they take, and cost no time here.
            let decoders = if play == Play::Storm { Technique::Raw.bit() } else { technique::decoders() };
            let copies = !without.contains(Part::Repeats);
            let mut config = Config { service: "0".into(), decoders, copies, ..Config::default() };
            if spec.down.params.mtu.is_some() {
                // Longer packets than every path carries matter only where it is stated what this one does.
                config.datagram_size = 1_472;
            }
            let params = (spec.up.params, spec.down.params);
            let (mut peer, network): (Peer, Network) =
                Peer::new(index, 0, config, params, random.fork(90 + index as u64));
            peer.network = if shared { 0 } else { index };
            (peer, network)
        });
        let peers = peers.collect();
        let watched = Watched { answer: Answer::Spot, ..Watched::new(guest) };
        let mut world = World::new(server(without), vec![watched], peers, random.fork(99), false);
        for peer in 0..clients {
            world.plan(Duration::from_millis(peer as u64 * 7), Deed::Start(peer));
        }
        world.run(Duration::from_millis(clients as u64 * 7 + 1));
        world.run_until(EXACT_WITHIN, World::all_right)?;
        world.run(REST);
        let mut stage = Self { began_at: world.now, before: Vec::new(), world, play };
        stage.before = stage.stats();
        stage.blackouts(&spec);
        Some(stage)
    }

    /// A bulk transfer begins `after` from now, over the first network.
    pub(crate) fn rival(&mut self, after: Duration) {
        let rival = Rival::new(0, self.world.now + after);
        self.world.rivals.push(rival);
    }

    /// Has `deed` done `after` from now.
    pub(crate) fn plan(&mut self, after: Duration, deed: Deed) {
        self.world.plan(after, deed);
    }

    /// Plays `frames` frames after the first, over and over if there are not so many.
    fn paint(&mut self, frames: u32) {
        for number in 1..=frames {
            self.world.plan(self.play.interval() * number, Deed::Play(0, self.play, number));
        }
    }

    /// Has the first client's user press a key now and then while the play takes `span`, but for its last seconds.
    fn press(&mut self, span: Duration) {
        let interval = self.play.key_interval();
        let keys = span.saturating_sub(KEYLESS).as_micros() / interval.as_micros();
        for number in 1..=keys as u32 {
            self.world.plan(interval * number, Deed::Tap(0));
        }
    }

    /// The whole play, and how its updates came.
    pub(crate) fn timed(&mut self) -> Timed {
        let world = &mut self.world;
        world.peers[0].gauge = Some(Gauge::new(&world.sources[0].guest.screen()));
        // What came with the first frame is no news.
        let mut damage = lfp::geometry::CellSet::new(SIZE.grid());
        world.peers[0].client.as_mut().expect("a client").take_damage(&mut damage);
        world.measures = true;
        let frames = self.play.frames();
        self.paint(frames);
        self.press(self.play.interval() * frames);
        self.world.run(self.play.interval() * frames);
        let is_exact = |world: &World| world.peers[0].gauge.as_ref().is_some_and(Gauge::is_exact);
        let exact = self.world.run_until(EXACT_WITHIN, is_exact);
        let exact = exact.map(|took| took.as_millis().div_ceil(1) as u64);
        self.read(exact)
    }

    fn read(&mut self, exact: Option<u64>) -> Timed {
        let stats = self.stats()[0];
        let before = self.before[0];
        let bytes = wire_bytes(&stats) - wire_bytes(&before);
        let repaired =
            stats.bytes_repaired + stats.bytes_repeated - before.bytes_repaired - before.bytes_repeated;
        let (updates, open) = self.world.peers[0].gauge.as_ref().expect("a gauge").updates_ms();
        let rank = |percent: usize| {
            let all = updates.len() + open;
            updates.get((all * percent).div_ceil(100).saturating_sub(1)).copied()
        };
        self.world.waited_us.sort_unstable();
        let waited = &self.world.waited_us;
        let counts = self.world.networks[0].down.counts();
        let dropped = counts.overflowed + counts.policed;
        Timed {
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
            echo_p95: self.echo_p95(),
            exact,
            bytes,
            repair_permille: repaired * 1_000 / bytes.max(1),
            refused: stats.refused() - before.refused(),
            queued_p95: waited.get(waited.len() * 95 / 100).map_or(0, |us| us.div_ceil(1_000)),
            dropped_permille: dropped * 1_000 / counts.sent.max(1),
        }
    }

    /// 95th percentile of what keys that the guest got took until their answer was shown, in milliseconds, rounded up.
    fn echo_p95(&self) -> Option<u64> {
        let peer = &self.world.peers[0];
        let echo = &peer.client.as_ref()?.stats().echo.total_us;
        let got = self.world.totals.count("keys accepted");
        let rank = (got * 95).div_ceil(100);
        // Those that were not shown, or of which nobody knows when, took longest.
        let percent = (rank * 100).checked_div(echo.count()).filter(|percent| *percent <= 100)?;
        echo.percentile(percent).map(|us| us.div_ceil(1_000))
    }

    /// Plays for `warm` and then for `span`, in which it is measured; gives the bytes that each flow brought meanwhile.
    pub(crate) fn carried(&mut self, warm: Duration, span: Duration) -> BTreeMap<Flow, u64> {
        let frames = (warm + span).as_micros() / self.play.interval().as_micros() + 1;
        self.paint(frames as u32);
        self.world.run(warm);
        let before = self.world.carried.clone();
        self.world.waited_us.clear();
        self.world.measures = true;
        self.world.run(span);
        let gained = |(flow, bytes): (&Flow, &u64)| (*flow, bytes - before.get(flow).unwrap_or(&0));
        self.world.carried.iter().map(gained).collect()
    }

    /// 95th percentile of the wait before the bottleneck, in milliseconds, rounded up.
    pub(crate) fn queued_p95(&mut self) -> u64 {
        self.world.waited_us.sort_unstable();
        let waited = &self.world.waited_us;
        waited.get(waited.len() * 95 / 100).map_or(0, |us| us.div_ceil(1_000))
    }

    /// Thousandths of what the first network was given, down, that its queue or policer dropped since the beginning.
    pub(crate) fn dropped_permille(&self) -> u64 {
        let counts = self.world.networks[0].down.counts();
        (counts.overflowed + counts.policed) * 1_000 / counts.sent.max(1)
    }

    /// Of as many, thousandths that it marked.
    pub(crate) fn marked_permille(&self) -> u64 {
        let counts = self.world.networks[0].down.counts();
        counts.marked * 1_000 / counts.sent.max(1)
    }

    /// Lets `span` pass, in which nothing is painted.
    pub(crate) fn rest(&mut self, span: Duration) {
        self.world.run(span);
    }

    /// Bytes of streams that are open which came so far, from clients and from the server.
    pub(crate) fn piped(&self) -> [u64; 2] {
        self.world.pipes.read()
    }

    /// Whether a flow is a rival's.
    pub(crate) const fn is_rival(flow: Flow) -> bool {
        flow >= RIVALS_FROM
    }

    /// What the server has counted of each client's session.
    pub(crate) fn stats(&self) -> Vec<SessionStats> {
        let of = |peer: &Peer| {
            let status = self.world.server.status().find(|status| status.connection == peer.connection);
            status.expect("a session").stats
        };
        self.world.peers.iter().map(of).collect()
    }

    /// Blackouts, and times in which only shorter packets pass, count from when the play begins.
    fn blackouts(&mut self, spec: &LinkSpec) {
        for network in &mut self.world.networks {
            for (link, way) in network.links().into_iter().zip([&spec.up, &spec.down]) {
                for blackout in &way.blackouts {
                    link.blackout(self.began_at + blackout.start, blackout.span);
                }
                for narrow in &way.narrows {
                    link.narrow(self.began_at + narrow.when.start, narrow.when.span, narrow.mtu);
                }
            }
        }
    }
}

fn wire_bytes(stats: &SessionStats) -> u64 {
    stats.bytes_down + stats.datagrams_down * UDP_OVERHEAD as u64
}

fn server(without: Without) -> Server {
    let mut directory = Directory::default();
    directory.insert("0", [SourceId(0)], RATE_HZ, InputPolicy::Exclusive);
    let idle_timeout = IDLE_TIMEOUT * 4;
    let config =
        server::Config { directory, plain: true, sessions_max: 64, idle_timeout, without, ciphers: 1 };
    let mut server = Server::new(config, &Secrets::of_seed([7; 32]));
    server.take_kind(KIND);
    server
}
