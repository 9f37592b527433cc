//! Named scenarios: special cases, and what once went wrong.

use std::time::Duration;

use client_lfp::{Config, State};
use lfp::geometry::Size;
use lfp::pixel::PixelFormat;
use lfp::server::Input;
use lfp_impair::{LinkSpec, Params, Random, Share};
use lfp_proto::frame::{CloseReason, SurfaceState};
use lfp_proto::hello::RefuseReason;

use crate::deed::Deed;
use crate::guest::{Guest, Stroke};
use crate::peer::Peer;
use crate::scenario::{assert_settles, server};
use crate::watched::{Answer, Watched};
use crate::world::World;

const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One source per item of `sources`: the clients that watch it, each with its configuration and link.
pub(crate) fn world(sources: &[&[(Config, &str)]]) -> World {
    sized(200, 150, sources)
}

/// The same, with screens of a size of their own.
pub(crate) fn sized(width: u16, height: u16, sources: &[&[(Config, &str)]]) -> World {
    let random = Random::new(7);
    let size = Size::new(width, height).expect("a legal size");
    let watched = (0..sources.len() as u64)
        .map(|source| Watched::new(Guest::new(size, PixelFormat::Xrgb8888, random.fork(source))))
        .collect();
    let mut peers = Vec::new();
    for (source, clients) in sources.iter().enumerate() {
        for (config, link) in *clients {
            let config = Config { service: source.to_string(), ..config.clone() };
            let index = peers.len();
            peers.push(Peer::new(index, source, config, params(link), random.fork(90 + index as u64)));
        }
    }
    let server = server(sources.len(), 7, 16, IDLE_TIMEOUT);
    let mut world = World::new(server, watched, peers, random.fork(99), false);
    for peer in 0..world.peers.len() {
        world.plan(Duration::ZERO, Deed::Start(peer));
    }
    world.run(Duration::from_millis(1));
    world
}

fn params(link: &str) -> (Params, Params) {
    let spec = link.parse::<LinkSpec>().expect("a link");
    (spec.up.params, spec.down.params)
}

/// A world of one source and one client.
pub(crate) fn pair(link: &str) -> World {
    world(&[&[(Config::default(), link)]])
}

pub(crate) fn paint(world: &mut World, source: usize, stroke: Stroke, every_ms: u64, for_ms: u64) {
    for at in (0..for_ms).step_by(every_ms as usize) {
        world.plan(Duration::from_millis(at), Deed::Paint(source, stroke));
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_first_picture_takes_three_round_trips_and_its_bytes() {
    let mut world = pair("rtt=100ms,rate=100mbit");
    let took = world.run_until(ms(5_000), World::all_exact).expect("exact");
    // Cookie, session and pixels, proof.
    assert!(took < ms(500), "{took:?}");
}

#[test]
fn a_blackout_of_ten_seconds_costs_a_probe_and_no_session() {
    let mut world = pair("rtt=40ms,rate=20mbit");
    assert_settles(&mut world);
    world.plan(ms(100), Deed::Blackout(0, ms(10_000)));
    paint(&mut world, 0, Stroke::Noise, 50, 10_500);
    world.run(ms(10_100));
    let took =
        world.run_until(ms(5_000), |world| world.totals.count("digests exact") > 0 && world.all_exact());
    // A probe is sent every second at most; then everything that changed.
    let took = took.expect("exact after the blackout");
    assert!(took < ms(2_500), "{took:?}");
    assert_eq!(world.totals.count("accepts"), 1, "the session survives");
}

#[test]
fn a_lost_tail_is_repaired_by_a_probe() {
    let mut world = pair("rtt=40ms,rate=20mbit");
    assert_settles(&mut world);
    for _ in 0..20 {
        world.run(ms(700));
        // What the scan finds, and all that the server says of it at first, is lost.
        world.sources[0].guest.screen().paint(Stroke::Type);
        Deed::Blackout(0, ms(45)).happen(&mut world);
        let took = world.run_until(ms(2_000), World::all_exact).expect("exact");
        assert!(took < ms(400), "{took:?}");
    }
}

#[test]
fn a_mode_change_overtakes_what_is_in_flight() {
    let mut world = pair("rtt=120ms,rate=3mbit,queue=128kib,reorder=20%,reorder-by=80ms");
    for step in 0..12_u16 {
        world.sources[0].guest.screen().paint(Stroke::All);
        world.run(ms(45));
        // The same number of cells, in another order.
        let size = if step % 2 == 0 { Size::new(160, 96) } else { Size::new(96, 160) };
        Deed::Mode(0, size.expect("legal"), PixelFormat::Xrgb8888).happen(&mut world);
        world.run(ms(165));
    }
    assert_settles(&mut world);
    assert!(world.totals.count("refused: epoch") > 0, "pixels of an epoch came after the next began");
}

#[test]
fn a_storm_of_reordering_and_copies_changes_nothing() {
    let mut world = pair("rtt=60ms,reorder=50%,reorder-by=100ms,dup=30%");
    paint(&mut world, 0, Stroke::Blink, 20, 3_000);
    paint(&mut world, 0, Stroke::Noise, 33, 3_000);
    world.run(ms(3_000));
    world.assert_all_shown();
    assert_settles(&mut world);
}

#[test]
fn twenty_percent_of_loss_leave_the_picture_exact() {
    let mut world = pair("rtt=30ms,loss=20%,dup=10%,reorder=10%");
    paint(&mut world, 0, Stroke::Noise, 40, 4_000);
    world.run(ms(4_000));
    assert_settles(&mut world);
}

#[test]
fn clients_of_one_source_differ_in_datagrams_and_paths() {
    let config = |datagram_size| Config { datagram_size, ..Config::default() };
    let clients = [
        (config(1_100), "rtt=10ms"),
        (config(1_472), "rtt=200ms,rate=2mbit"),
        (config(8_900), "rtt=2ms,loss=5%"),
    ];
    let mut world = world(&[&clients]);
    paint(&mut world, 0, Stroke::Noise, 33, 3_000);
    world.run(ms(3_000));
    assert_settles(&mut world);
}

/// p95 staleness of the first client, in microseconds, while it watches a user type.
fn staleness(world: &mut World) -> u64 {
    paint(world, 0, Stroke::Type, 70, 8_000);
    world.run(ms(8_000));
    world.peers[0].client.as_ref().expect("a client").stats().staleness_us.percentile(95).expect("marks")
}

#[test]
fn a_neighbour_that_changes_every_cell_every_tick_takes_no_more_than_its_share() {
    let link = "rtt=20ms,rate=20mbit";
    let alone = staleness(&mut world(&[&[(Config::default(), link)], &[]]));
    let mut crowded = world(&[&[(Config::default(), link)], &[(Config::default(), link)]]);
    paint(&mut crowded, 1, Stroke::All, 33, 8_000);
    let crowded = staleness(&mut crowded);
    assert!(crowded <= alone + alone / 5, "{crowded} us beside such a neighbour, {alone} us without");
}

#[test]
fn wrong_pixels_are_found_and_repaired() {
    let mut world = pair("rtt=20ms");
    assert_settles(&mut world);
    Deed::Tamper(0, Share::percent(100)).happen(&mut world);
    paint(&mut world, 0, Stroke::Fill, 50, 1_000);
    world.run(ms(1_000));
    Deed::Heal(0).happen(&mut world);
    assert_settles(&mut world);
    assert!(world.totals.count("digests that differ") > 0, "{}", world.totals);
}

#[test]
fn wrong_pixels_beside_what_always_moves_are_found_and_repaired() {
    let mut world = sized(400, 300, &[&[(Config::default(), "rtt=20ms")]]);
    assert_settles(&mut world);
    // The two bands that hold the film never stand still for long enough to be proven.
    paint(&mut world, 0, Stroke::Film, 16, 20_000);
    paint(&mut world, 0, Stroke::Noise, 100, 700);
    Deed::Tamper(0, Share::percent(100)).happen(&mut world);
    world.run(ms(700));
    Deed::Heal(0).happen(&mut world);
    world.run(ms(1_000));
    let before = world.totals.count("digests that differ");
    world.run(ms(16_000));
    let (asked, found) = (world.totals.count("proofs asked for"), world.totals.count("digests that differ"));
    assert!(asked > 0 && found > before, "{before} before, {found} after: {}", world.totals);
}

#[test]
fn keys_are_let_go_when_their_user_falls_silent() {
    let mut world = pair("rtt=20ms");
    assert_settles(&mut world);
    Deed::Key(0).happen(&mut world);
    world.run(ms(500));
    assert_eq!(world.sources[0].held.len(), 1);
    world.run(ms(4_000));
    assert_eq!(world.sources[0].held.len(), 1, "a user who is there may hold a key");
    Deed::Blackout(0, ms(5_000)).happen(&mut world);
    world.run(ms(3_500));
    assert!(world.sources[0].held.is_empty(), "LFP-12.6");
    assert_eq!(world.server.sessions(), 1, "the session goes on");
}

#[test]
fn a_shutdown_closes_every_session_in_order() {
    let mut world = world(&[&[(Config::default(), "rtt=20ms"), (Config::default(), "rtt=90ms")]]);
    assert_settles(&mut world);
    Deed::Key(0).happen(&mut world);
    world.run(ms(300));
    world.peers.iter_mut().for_each(|peer| peer.wanted = false);
    world.server.handle(world.now, Input::Shutdown);
    world.drain_server();
    world.run(ms(500));
    assert_eq!(world.server.sessions(), 0);
    assert!(world.sources[0].held.is_empty());
    assert_eq!(world.totals.count("clients closed: ShuttingDown"), 2, "{}", world.totals);
}

#[test]
fn a_server_that_was_restarted_tells_its_old_clients() {
    let mut world = pair("rtt=30ms");
    assert_settles(&mut world);
    world.server = server(1, 8, 16, IDLE_TIMEOUT);
    world.restarted();
    Deed::Key(0).happen(&mut world);
    let took = world.run_until(ms(3_000), |world| world.totals.count("accepts") == 2 && world.all_exact());
    assert!(took.is_some(), "{}", world.totals);
    let closed = format!("clients closed: {:?}", CloseReason::Unknown);
    assert_eq!(world.totals.count(&closed), 1);
}

#[test]
fn a_full_server_says_so() {
    let mut world = world(&[&[(Config::default(), "rtt=20ms"), (Config::default(), "rtt=20ms")]]);
    world.peers.iter_mut().for_each(|peer| peer.crash());
    world.server = server(1, 8, 1, IDLE_TIMEOUT);
    world.restarted();
    Deed::Start(0).happen(&mut world);
    world.run(ms(300));
    Deed::Start(1).happen(&mut world);
    world.peers[1].wanted = false;
    world.run(ms(60));
    let state = world.peers[1].client.as_ref().map(|client| client.state().clone());
    let full = matches!(state, None | Some(State::Refused { reason: RefuseReason::Full, .. }));
    assert!(full && world.totals.count("clients refused") == 1, "{state:?} {}", world.totals);
}

#[test]
fn the_pointer_has_no_place_on_a_screen_that_was_never_seen() {
    // Once, the guest was told of a place on a screen of 0 x 0 pixels.
    let mut world = pair("rtt=20ms");
    world.sources[0].guest.screen().set_dark(Some(SurfaceState::NoFramebuffer));
    world.run(ms(300));
    Deed::Pointer(0).happen(&mut world);
    world.run(ms(300));
    assert_eq!(world.totals.count("moves applied"), 0);
    world.sources[0].guest.screen().set_dark(None);
    assert_settles(&mut world);
    Deed::Pointer(0).happen(&mut world);
    world.run(ms(300));
    assert_eq!(world.totals.count("moves applied"), 1);
}

#[test]
fn a_burst_fits_the_receive_buffer() {
    // Once, the last packet of a burst could begin just before the buffer's end. The ledger looks at every burst.
    for (datagram_size, receive_buffer) in [(1_200, 1_000), (8_900, 1_000), (8_900, 10_000), (1_100, 3_000)] {
        let config = Config { datagram_size, receive_buffer, ..Config::default() };
        let mut world = world(&[&[(config, "rtt=30ms")]]);
        paint(&mut world, 0, Stroke::All, 40, 1_000);
        for stroke in [Stroke::Noise, Stroke::Fill, Stroke::Type] {
            paint(&mut world, 0, stroke, 7, 1_000);
        }
        world.run(ms(1_000));
        assert_settles(&mut world);
    }
}

#[test]
fn hardly_more_is_encoded_than_goes_out_at_once() {
    for link in
        ["rtt=40ms,rate=2mbit,queue=64kb", "rtt=40ms,rate=20mbit,queue=256kb", "rtt=20ms,rate=100mbit"]
    {
        let mut world = sized(640, 480, &[&[(Config::default(), link)]]);
        world.run_until(ms(20_000), World::all_exact).expect("exact");
        paint(&mut world, 0, Stroke::Noise, 10, 5_000);
        let (mut most, mut quantum) = (0, 0);
        for _ in 0..5_000 {
            world.run(ms(1));
            let status = world.server.status().next().expect("a session");
            most = most.max(status.queued_bytes as u64);
            quantum = quantum.max(status.quantum_bytes);
        }
        // A request brings two datagrams at least, and may come before the last of another has gone.
        assert!(most <= quantum + 3 * 2_400, "{link}: {most} bytes, quantum {quantum}");
    }
}

/// Keys that a guest answers, at intervals that fit no other rhythm; gives how many it had to answer.
fn tap(world: &mut World, keys: u32) -> u64 {
    world.sources[0].answer = Answer::Spot;
    for number in 1..=keys {
        world.plan(ms(293) * number, Deed::Tap(0));
    }
    world.run(ms(293) * keys + ms(3_000));
    world.totals.count("keys accepted")
}

#[test]
fn a_key_s_echo_is_the_round_trip_the_guest_s_time_and_a_scan() {
    let mut world = sized(320, 256, &[&[(Config::default(), "rtt=100ms,rate=20mbit")]]);
    assert_settles(&mut world);
    let got = tap(&mut world, 40);
    let echo = &world.peers[0].client.as_ref().expect("a client").stats().echo;
    // One of them is Ctrl, to which nothing is expected to answer.
    assert_eq!((got, echo.total_us.count(), echo.uncounted), (39, 39, 0));
    let network = |percent| echo.network_us.percentile(percent).expect("counted");
    assert!(network(0) >= 100_000 && network(100) < 103_000, "{} to {} us", network(0), network(100));
    // It takes up to 8 ms, and a scan comes every 33.
    let wait = echo.scan_wait_us.max().expect("counted");
    assert!((20_000..42_000).contains(&wait), "{wait} us");
    assert!(echo.total_us.max().expect("counted") < 150_000, "{:?}", echo.last);
}

#[test]
fn an_echo_under_loss_is_late_and_true() {
    // Input that is said again at once makes up for nearly all of it.
    let config = Config { copies: false, ..Config::default() };
    let mut world = sized(320, 256, &[&[(config, "rtt=60ms,rate=20mbit,loss=20%,dup=5%,reorder=10%")]]);
    assert_settles(&mut world);
    let got = tap(&mut world, 100);
    let echo = &world.peers[0].client.as_ref().expect("a client").stats().echo;
    assert!(got > 90 && echo.total_us.count() * 100 >= got * 98, "{} of {got}", echo.total_us.count());
    assert!(echo.network_us.percentile(0) >= Some(60_000), "no less than the round trip");
    assert!(echo.total_us.max() > Some(150_000), "what is lost is late");
}
