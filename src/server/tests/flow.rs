//! Repair, freshness and fairness.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{Link, World, config, paint_noise, service};
use crate::ablation::Part;
use crate::limits::{ACK_RANGES_MAX, CELL, ENCODE_PATIENCE};
use crate::server::Input;
use crate::units::PacketNumber;
use lfp_proto::frame::{Ack, AckRange, Frame, Refusal};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn refused_records_are_sent_again_and_counted_by_reason() {
    let mut world = World::new(1, 1);
    world.clients[0].refuse_every = Some(3);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 30)));
    world.run(ms(1_000));
    world.painter = None;
    world.run_till(ms(2_000), |world| world.is_exact(0, 0));
    world.run(ms(100));
    let stats = world.server.status().next().unwrap().stats;
    assert_eq!(stats.records_refused[Refusal::Base as usize - 1], world.clients[0].refused_records);
    assert_eq!(stats.refused(), world.clients[0].refused_records);
    assert!(stats.cells_repaired > 0 && stats.packets_lost == 0);
}

#[test]
fn a_still_screen_costs_next_to_nothing() {
    let mut world = World::new(1, 1);
    world.paint(0, 300);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(500));
    let before = world.sent.len();
    world.run(ms(20_000));
    let sent = &world.sent[before..];
    assert!(sent.len() <= 6 && sent.iter().all(|(.., len)| *len < 64), "{sent:?}");
}

#[test]
fn a_change_is_on_its_way_in_the_tick_that_found_it() {
    let mut world = World::new(1, 1);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(505));
    world.paint(0, 1);
    let took = world.run_till(ms(100), |world| world.is_exact(0, 0));
    assert!(took <= ms(17 + 10), "{took:?}: a tick and half a round trip");
}

#[test]
fn small_records_share_packets() {
    let mut world = World::with(config(1), 800, 600, 1, 1);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(1_000));
    let (packets, records) = (world.sent.len(), world.clients[0].records);
    world.paint(0, 60);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    let (packets, records) = (world.sent.len() - packets, world.clients[0].records - records);
    assert!(records >= 40 && packets <= 5, "{records} records in {packets} packets");
}

#[test]
fn a_guest_that_changes_everything_all_the_time_starves_no_cell() {
    // Lossless, so that the number below can be read.
    let config = crate::server::Config { without: [Part::Lossy].into_iter().collect(), ..config(1) };
    let mut world = World::with(config, 320, 240, 1, 1);
    world.link = Link { rate_bps: Some(2_000_000), queue_bytes: 32 * 1024, ..Link::default() };
    // Each cell shows the number of the scan that saw it last, in noise that does not compress.
    let mut scan = 0_u32;
    world.painter = Some(Box::new(move |rng, screens| {
        scan += 1;
        let mut screen = screens[0].lock().unwrap();
        paint_noise(rng, &mut screen, 4_000);
        for y in (0..240).step_by(usize::from(CELL)) {
            for x in (0..320).step_by(usize::from(CELL)) {
                screen.paint(x, y, &scan.to_le_bytes());
            }
        }
    }));
    world.run(ms(5_000));
    let oldest = |world: &World| {
        let screen = world.clients[0].screen.as_ref().unwrap();
        let cells = (0..240).step_by(16).flat_map(|y| (0..320).step_by(16).map(move |x| y * 320 + x));
        cells.map(|at| screen.pixels[at]).min().unwrap()
    };
    // A whole screen of noise takes about a second at this rate; two passes and a bit are bounded by this.
    for _ in 0..4 {
        let before = oldest(&world);
        world.run(ms(1_500));
        assert!(oldest(&world) > before + 20, "no cell got older than it was");
    }
    assert!(world.clients[0].marks.len() >= 3, "passes end: {} marks", world.clients[0].marks.len());
}

#[test]
fn sessions_of_one_source_and_of_others_do_not_slow_each_other() {
    let staleness = |heavy: bool| {
        let mut world = World::new(2, 3);
        for client in &mut world.clients[1..] {
            client.hello.service = service(1);
        }
        world.link.rate_bps = Some(10_000_000);
        world.encode_time = ms(1);
        world.painter = Some(Box::new(move |rng, screens| {
            paint_noise(rng, &mut screens[0].lock().unwrap(), 2);
            paint_noise(rng, &mut screens[1].lock().unwrap(), if heavy { 30_000 } else { 1 });
        }));
        world.run(ms(1_000));
        let mut ages = Vec::new();
        for _ in 0..200 {
            world.run(ms(5));
            if let Some(mark) = world.clients[0].marks.last() {
                ages.push(world.now.as_micros() - mark.captured_us);
            }
        }
        ages.sort_unstable();
        ages[ages.len() * 95 / 100]
    };
    let (alone, beside) = (staleness(false), staleness(true));
    assert!(beside * 10 <= alone * 12, "p95 {alone} us alone, {beside} us beside a heavy guest");
}

#[test]
fn bursts_fit_the_receive_buffer() {
    let mut world = World::with(config(1), 800, 600, 1, 1);
    world.clients[0].hello.receive_buffer = 6_000;
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 20_000)));
    world.run(ms(1_000));
    let mut bursts: BTreeMap<_, usize> = BTreeMap::new();
    for (at, _, len) in &world.sent {
        *bursts.entry(*at).or_default() += len;
    }
    let largest = bursts.values().max().unwrap();
    assert!(*largest <= 6_000 + 100, "{largest}");
}

#[test]
fn encodes_in_flight_are_bounded_and_nothing_waits_long() {
    let mut world = World::with(config(1), 800, 600, 1, 1);
    world.link = Link { rate_bps: Some(3_000_000), ..Link::default() };
    world.encode_time = ms(30);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 20_000)));
    world.run(ms(3_000));
    let status = world.server.status().next().unwrap();
    let requested = status.stats.records_encoded;
    let used = status.stats.records_sent;
    assert!(requested <= used + used / 10 + 64, "{requested} records encoded, {used} sent");
    // And the path is used all the same.
    assert!(world.clients[0].bytes >= 3 * 3_000_000 / 8 * 7 / 10, "{} bytes", world.clients[0].bytes);
}

#[test]
fn the_client_forgets_what_nobody_waits_for() {
    let mut world = World::new(1, 1);
    world.link.loss_percent = 10;
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 300)));
    world.run(ms(3_000));
    world.painter = None;
    world.link.loss_percent = 0;
    for _ in 0..3 {
        world.paint(0, 1_000);
        world.run(ms(300));
    }
    let now = world.now;
    let ack = world.clients[0].receive.ack(now, PacketNumber(u64::MAX)).unwrap();
    assert!(ack.ranges.len() < ACK_RANGES_MAX, "{} ranges", ack.ranges.len());
    let oldest = ack.ranges.last().unwrap().first.0;
    assert!(ack.largest().0 - oldest < 200, "{oldest} to {}", ack.largest().0);
}

#[test]
fn an_ack_of_packets_never_sent_changes_nothing() {
    let mut world = World::new(1, 1);
    world.clients[0].acks = false;
    world.paint(0, 3_000);
    world.run(ms(60));
    let in_flight = world.server.status().next().unwrap().in_flight_bytes;
    assert!(in_flight > 0);
    let (first, last) = (PacketNumber(1), PacketNumber(1 << 40));
    let ack = Ack {
        delay_us: 0,
        arrived_us: 0,
        recovered: 0,
        ranges: vec![AckRange { first, last }],
        refused: Vec::new(),
    };
    let bytes = world.clients[0].packet(&[Frame::Ack(ack)]);
    let from = world.clients[0].address;
    world.server.handle(world.now, Input::Datagram { from, bytes: &bytes });
    let status = world.server.status().next().unwrap();
    assert_eq!((status.in_flight_bytes, status.stats.datagrams_malformed), (in_flight, 1));
}

#[test]
fn a_client_that_never_acks_gets_a_window_and_probes_but_no_stream() {
    let mut world = World::with(config(1), 800, 600, 1, 1);
    world.clients[0].acks = false;
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 20_000)));
    world.run(ms(5_000));
    let bytes: usize = world.sent.iter().map(|(.., len)| len).sum();
    assert!(bytes <= 100_000, "{bytes} bytes for a client that may not be there");
}

#[test]
fn flooding_a_session_with_pings_grows_nothing() {
    let mut world = World::new(1, 1);
    world.run(ms(300));
    world.clients[0].acks = false;
    let from = world.clients[0].address;
    for _ in 0..20_000 {
        let bytes = world.clients[0].packet(&[Frame::Ping]);
        world.server.handle(world.now, Input::Datagram { from, bytes: &bytes });
        world.drain();
        world.now = world.now + Duration::from_micros(500);
    }
    let status = world.server.status().next().unwrap();
    assert!(status.memory_bytes < 4_000_000, "{} bytes", status.memory_bytes);
}

#[test]
fn a_client_that_refuses_everything_gets_a_trickle_until_it_takes_something() {
    let mut world = World::with(config(1), 320, 240, 1, 1);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 2_000)));
    world.clients[0].refuse_every = Some(1);
    world.run(ms(2_000));
    let before: usize = world.sent.iter().map(|(.., len)| len).sum();
    world.run(ms(4_000));
    let after: usize = world.sent.iter().map(|(.., len)| len).sum();
    assert!(after - before <= 4 * 10_000, "{} bytes in 4 s for nothing", after - before);
    world.clients[0].refuse_every = None;
    world.painter = None;
    world.run_till(ms(5_000), |world| world.is_exact(0, 0));
}

#[test]
fn encoders_that_do_not_answer_are_asked_again() {
    let mut world = World::new(1, 1);
    world.paint(0, 3_000);
    world.answers_lost = true;
    world.run(ms(1_000));
    world.answers_lost = false;
    world.run_till(ENCODE_PATIENCE, |world| world.is_exact(0, 0));
    let stats = world.server.status().next().unwrap().stats;
    assert!(stats.encodes_lost > 0);
}
