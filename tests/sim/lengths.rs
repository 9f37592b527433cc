//! How long packets are on paths that do not say what they carry, and what a change of that costs.

use std::time::Duration;

use client_lfp::Config;
use lfp::server::SessionStatus;
use lfp_proto::limits::{LENGTH_RETRY, UDP_OVERHEAD};
use lfp_proto::technique::{self, Technique};

use crate::deed::Deed;
use crate::guest::Stroke;
use crate::named::{ms, paint, sized};
use crate::scenario::assert_settles;
use crate::world::World;

/// A world of a client that takes datagrams of so many bytes, over a path. Its pixels are coded simply: this is about paths.
fn pair(datagram_size: u16, link: &str) -> World {
    let decoders = technique::decoders() & !Technique::Dictionary.bit();
    let config = Config { datagram_size, decoders, references: 0, ..Config::default() };
    sized(320, 256, &[&[(config, link)]])
}

fn status(world: &World) -> SessionStatus {
    world.server.status().next().expect("a session")
}

fn busy(world: &mut World, for_ms: u64) {
    paint(world, 0, Stroke::All, 100, for_ms);
    world.run(ms(for_ms));
}

/// Sent by the server so far, headers included.
fn wire_bytes(world: &World) -> u64 {
    let stats = status(world).stats;
    stats.bytes_down + stats.datagrams_down * UDP_OVERHEAD as u64
}

#[test]
fn the_longest_packets_that_pass_are_found_while_there_is_something_to_send() {
    for (most, mtu, found) in
        [(1_472, 1_500, 1_472), (8_900, 1_480, 1_452), (1_472, 1_400, 1_372), (8_900, 1_230, 1_200)]
    {
        let mut world = pair(most, &format!("rtt=30ms,rate=50mbit,mtu={mtu}"));
        busy(&mut world, 2_000);
        let status = status(&world);
        assert_eq!(status.datagram_bytes, found, "MTU {mtu}: {:?}", status.stats.length_probes);
        let probes = status.stats.length_probes * u64::from(most.min(1_472));
        assert!(probes * 12 < status.stats.bytes_down, "{probes} of {}", status.stats.bytes_down);
        // A probe that is lost is not the path's loss.
        assert_eq!((status.stats.packets_lost, status.stats.parities_sent), (0, 0), "{:?}", status.stats);
        assert_settles(&mut world);
    }
}

#[test]
fn a_fast_path_is_given_longer_packets_and_a_slow_one_never() {
    for (link, found) in [("rtt=2ms,rate=1gbit", 8_900), ("rtt=2ms,rate=20mbit", 1_472)] {
        let mut world = pair(8_900, link);
        busy(&mut world, 2_000);
        assert_eq!(status(&world).datagram_bytes, found, "{link}: {:?}", status(&world));
        assert_settles(&mut world);
    }
}

#[test]
fn who_types_or_rests_pays_for_no_probe() {
    let mut world = pair(8_900, "rtt=30ms,rate=50mbit");
    assert_settles(&mut world);
    let probes = status(&world).stats.length_probes;
    paint(&mut world, 0, Stroke::Type, 100, 3_000);
    world.run(ms(10_000));
    assert_eq!(status(&world).stats.length_probes, probes);
}

#[test]
fn a_black_hole_that_opens_in_mid_scroll_is_left_within_a_few_round_trips() {
    let mut world = pair(1_472, "rtt=40ms,rate=50mbit");
    busy(&mut world, 2_000);
    assert_eq!(status(&world).datagram_bytes, 1_472);
    paint(&mut world, 0, Stroke::Scroll, 66, 1_500);
    paint(&mut world, 0, Stroke::All, 100, 1_500);
    Deed::Mtu(0, Some(1_228)).happen(&mut world);
    let fallen = world.run_until(ms(3_000), |world| status(world).datagram_bytes == 1_200);
    assert!(
        fallen.is_some_and(|took| took < ms(40 * 6)),
        "{fallen:?}: {:?}",
        status(&world).stats.length_probes
    );
    world.run(ms(1_500));
    let stats = status(&world).stats;
    assert_eq!((stats.length_doubts, stats.black_holes), (1, 1), "once");
    assert_settles(&mut world);
    assert_eq!(world.totals.count("accepts"), 1);
    // A minute later it is looked at again, in vain at first.
    for probes in [true, false] {
        let before = status(&world).stats.length_probes;
        world.run(ms(if probes { 60_000 } else { 1_000 }));
        busy(&mut world, 2_000);
        let status = status(&world);
        assert_eq!((status.datagram_bytes, status.stats.length_probes > before), (1_200, probes));
    }
    Deed::Mtu(0, None).happen(&mut world);
    world.run(LENGTH_RETRY);
    busy(&mut world, 2_000);
    assert_eq!(status(&world).datagram_bytes, 1_472, "{:?}", status(&world).stats.length_probes);
    assert_settles(&mut world);
}

#[test]
fn a_black_hole_from_the_beginning_holds_up_nothing() {
    let first = |link| {
        let mut world = pair(8_900, link);
        let took = world.run_until(ms(10_000), World::all_exact).expect("exact");
        (took, wire_bytes(&world))
    };
    let (free, _) = first("rtt=40ms,rate=20mbit");
    let (hole, bytes) = first("rtt=40ms,rate=20mbit,mtu=1228");
    assert!(hole <= free + ms(40), "{hole:?} and {bytes} bytes in a black hole, {free:?} without");
}

#[test]
fn what_is_lost_by_chance_is_taken_for_no_black_hole() {
    for loss in [20, 40] {
        let mut world = pair(1_472, &format!("rtt=40ms,rate=50mbit,loss={loss}%"));
        busy(&mut world, 6_000);
        let stats = status(&world).stats;
        assert!(stats.length_raises > 0 && stats.black_holes <= 1, "{loss} %: {stats:?}");
        assert_settles(&mut world);
    }
}

#[test]
fn who_wakes_up_after_a_minute_gets_what_differs() {
    let mut world = sized(320, 256, &[&[(Config::default(), "rtt=40ms,rate=20mbit")]]);
    world.server = crate::scenario::server(1, 7, 16, Duration::from_secs(120));
    world.restarted();
    paint(&mut world, 0, Stroke::All, 100, 400);
    assert_settles(&mut world);
    let first = wire_bytes(&world);
    // The machine sleeps: it neither sends nor hears, and its clock stands still. Little changes meanwhile.
    Deed::Blackout(0, ms(60_000)).happen(&mut world);
    paint(&mut world, 0, Stroke::Type, 5_000, 60_000);
    world.run(ms(60_000));
    let before = wire_bytes(&world);
    let took = world.run_until(ms(5_000), World::all_exact).expect("exact again");
    let again = wire_bytes(&world) - before;
    assert!(again * 10 < first, "{again} bytes to come back, {first} for the first picture");
    assert!(took < ms(2_500), "{took:?}");
    assert_eq!(world.totals.count("accepts"), 1, "the session survives");
}
