//! Services that come and go while clients watch: whoever watches one is told, and nobody else notices.

use std::time::Duration;

use client_lfp::{Client, Config, State};
use lfp::directory::{InputPolicy, Service, ServiceSource, Tier};
use lfp::geometry::Size;
use lfp::hypervisor::SourceId;
use lfp::pixel::PixelFormat;
use lfp::scan::Strategy;
use lfp_impair::Random;
use lfp_proto::frame::CloseReason;
use lfp_proto::hello::RefuseReason;

use crate::deed::Deed;
use crate::guest::{Guest, Stroke};
use crate::named::{ms, paint, sized, world};
use crate::scenario::assert_settles;
use crate::watched::Watched;
use crate::world::World;

/// Why a service ends, in words that no other text has.
const WHY: &str = "the service has ended: its guest went home";

fn size() -> Size {
    Size::new(200, 150).expect("a legal size")
}

/// Opens the service `name` with a guest of its own, which shows something; gives the index of its source.
fn open(world: &mut World, name: &str) -> usize {
    let random = Random::new(1_000 + world.sources.len() as u64);
    let index = world.attach(Watched::new(Guest::new(size(), PixelFormat::Xrgb8888, random)));
    let source = ServiceSource {
        source: SourceId(index as u32),
        rate_hz: 30,
        scan: Strategy::default(),
        input: InputPolicy::Exclusive,
    };
    world.server.open_service(name, Service { tier: Tier::Desktop, sources: vec![source] });
    for stroke in [Stroke::All, Stroke::Fill] {
        world.sources[index].guest.screen().paint(stroke);
    }
    index
}

fn end(world: &mut World, name: &str) {
    world.server.end_service(world.now, name, WHY);
    world.drain_server();
}

fn state(world: &World, peer: usize) -> Option<&State> {
    world.peers[peer].client.as_ref().map(Client::state)
}

/// Has a peer ask for `name`, which `source` shows.
fn ask(world: &mut World, peer: usize, name: &str, source: usize) {
    world.peers[peer].config.service = name.to_owned();
    world.peers[peer].source = source;
    Deed::Start(peer).happen(world);
}

#[test]
fn whoever_watches_a_service_that_ends_is_told_and_the_others_go_on() {
    let link = "rtt=60ms,rate=20mbit,loss=5%,reorder=5%";
    let mut world = world(&[&[(Config::default(), link)], &[(Config::default(), link)]]);
    assert_settles(&mut world);
    paint(&mut world, 0, Stroke::Noise, 20, 4_000);
    paint(&mut world, 1, Stroke::Noise, 20, 1_000);
    Deed::Key(1).happen(&mut world);
    world.run(ms(600));
    assert!(!world.sources[1].held.is_empty(), "the key is down");
    end(&mut world, "1");
    assert!(world.sources[1].held.is_empty(), "before its source goes, what is held is released");
    world.peers[1].wanted = false;
    let told = |world: &World| {
        let closed = world.totals.count("clients closed: Ended");
        closed == 1
    };
    assert!(world.run_until(ms(2_000), told).is_some(), "{}", world.totals);
    let gone = world.run_until(ms(2_000), |world| world.server.sessions() == 1);
    assert!(gone.is_some() && !world.server.watched().contains_key("1"), "nothing is left of the session");
    assert!(world.pipeline.newest(SourceId(1)).is_none() && !world.pipeline.remove(SourceId(1)));
    world.run(ms(3_000));
    assert_settles(&mut world);
    assert_eq!(world.totals.count("accepts"), 2, "the other's session went on: {}", world.totals);
}

#[test]
fn the_words_of_an_end_come_to_whoever_watched() {
    let mut world = sized(64, 48, &[&[(Config::default(), "rtt=20ms")]]);
    assert_settles(&mut world);
    end(&mut world, "0");
    let closed = |world: &World| matches!(state(world, 0), Some(State::Closed { .. }));
    world.run_until(ms(100), closed).expect("told within a round trip");
    let expected = State::Closed { reason: CloseReason::Ended, text: WHY.into() };
    assert_eq!(state(&world, 0), Some(&expected));
    // Whoever asks again is told that there is no such service, and the server keeps nothing for it.
    let refused = |world: &World| world.totals.count("clients refused") > 0;
    world.run_until(ms(1_000), refused).expect("refused");
    assert_eq!(world.server.sessions(), 0);
}

#[test]
fn a_service_that_comes_is_served_and_one_of_an_old_name_shows_nothing_old() {
    let link = "rtt=40ms,rate=20mbit,loss=3%";
    let mut world = world(&[&[(Config::default(), link), (Config::default(), link)]]);
    assert_settles(&mut world);
    for round in 0..4 {
        paint(&mut world, 0, Stroke::Type, 30, 2_000);
        let source = open(&mut world, "web");
        ask(&mut world, 1, "web", source);
        assert_settles(&mut world);
        paint(&mut world, source, Stroke::Noise, 15, 400);
        world.run(ms(200 + 31 * round));
        // The ledger holds every picture against what its own source has shown: a pixel of an earlier one fails.
        end(&mut world, "web");
        if round % 2 == 0 {
            let source = open(&mut world, "web");
            world.peers[1].source = source;
            let again = world.run_until(ms(5_000), |world| world.is_exact(1));
            assert!(again.is_some(), "{:?}", state(&world, 1));
            end(&mut world, "web");
        }
        let lost = |world: &World| {
            matches!(state(world, 1), Some(State::Refused { reason: RefuseReason::UnknownService, .. }))
        };
        world.run_until(ms(5_000), lost).expect("there is none of that name any more");
        world.crash(1);
    }
    world.run(ms(2_000));
    assert_eq!(world.server.watched().get("web"), None);
    assert_settles(&mut world);
    // A CLOSE may be lost as often as it is said; whoever missed it learns that the server knows no such session.
    assert!(world.totals.count("clients closed: Ended") >= 4, "{}", world.totals);
}

#[test]
fn services_come_and_go_for_ever_and_nothing_grows() {
    let mut world = world(&[&[(Config::default(), "rtt=20ms")]]);
    assert_settles(&mut world);
    for round in 0..300_u32 {
        let name = format!("guest-{}", round % 7);
        let source = open(&mut world, &name);
        assert_eq!(source as u32, round + 1, "no number is given twice");
        world.run(Duration::from_millis(u64::from(round % 3)));
        end(&mut world, &name);
    }
    assert_eq!(world.server.known_sources(), 1, "only what is served is known");
    assert_settles(&mut world);
}
