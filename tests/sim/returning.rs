//! Clients that come back: what they still had is not sent again, and nothing wrong is ever taken for right.

use std::time::Duration;

use client_lfp::{Client, Config};
use lfp::geometry::Size;
use lfp::pixel::PixelFormat;
use lfp_impair::Share;
use lfp_proto::frame::SurfaceState;

use crate::deed::Deed;
use crate::guest::Stroke;
use crate::named::{ms, sized};
use crate::scenario::{assert_settles, server};
use crate::world::World;

const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that comes back, whose screen is full of what costs bytes. Gives what the picture has cost.
fn settled(link: &str) -> (World, u64) {
    let mut world = sized(320, 256, &[&[(Config::default(), link)]]);
    world.peers[0].returns = true;
    Deed::Paint(0, Stroke::All).happen(&mut world);
    world.run(ms(100));
    assert_settles(&mut world);
    // As a client that has nothing gets it.
    world.peers[0].returns = false;
    let before = bytes(&world);
    Deed::Start(0).happen(&mut world);
    until_exact(&mut world);
    world.peers[0].returns = true;
    let first = bytes(&world) - before;
    (world, first)
}

/// Bytes that went to the client's side, faults included.
fn bytes(world: &World) -> u64 {
    world.carried.get(&0).copied().unwrap_or_default()
}

fn client(world: &World) -> &Client {
    world.peers[0].client.as_ref().expect("a client")
}

/// Lets the newest session become exact; gives how long that took.
fn until_exact(world: &mut World) -> Duration {
    let took = world.run_until(ms(15_000), World::all_exact);
    took.unwrap_or_else(|| panic!("not exact: {}", world.totals))
}

/// The server is another process from now on, and the client says something.
fn restart(world: &mut World) {
    let accepts = world.totals.count("accepts");
    world.server = server(1, 8, 16, IDLE_TIMEOUT);
    world.restarted();
    Deed::Key(0).happen(world);
    let again = world.run_until(ms(10_000), |world| world.totals.count("accepts") > accepts);
    assert!(again.is_some(), "{}", world.totals);
}

#[test]
fn after_a_restart_of_the_server_a_screen_that_is_the_same_costs_next_to_nothing() {
    for link in ["rtt=30ms,rate=50mbit", "rtt=250ms,rate=2mbit", "rtt=80ms,loss=20%,reorder=20%,dup=10%"] {
        let (mut world, first) = settled(link);
        let (before, kept) = (bytes(&world), client(&world).stats().cells_kept);
        restart(&mut world);
        until_exact(&mut world);
        let after = bytes(&world) - before;
        assert!(after * 20 < first, "{link}: {after} bytes, {first} for the first picture");
        assert_eq!(client(&world).stats().cells_kept - kept, 20 * 16, "{link}: every cell");
        assert_eq!(world.server.status().map(|status| status.stats.records_sent).sum::<u64>(), 0, "{link}");
        // What is kept is as good as what was sent: it may be built on, and marks and proofs go on.
        for _ in 0..10 {
            for stroke in [Stroke::Scroll, Stroke::Type, Stroke::Window] {
                Deed::Paint(0, stroke).happen(&mut world);
                world.run(ms(120));
            }
        }
        assert_settles(&mut world);
        world.assert_all_shown();
        let based: u64 = world.server.status().map(|status| status.stats.records_based).sum();
        assert!(based > 0, "{link}");
    }
}

#[test]
fn of_a_screen_that_has_changed_what_differs_is_sent() {
    let (mut world, first) = settled("rtt=40ms,rate=20mbit");
    let before = bytes(&world);
    Deed::Blackout(0, ms(400)).happen(&mut world);
    for _ in 0..4 {
        Deed::Paint(0, Stroke::Type).happen(&mut world);
        Deed::Paint(0, Stroke::Blink).happen(&mut world);
        world.run(ms(50));
    }
    restart(&mut world);
    until_exact(&mut world);
    let (after, kept) = (bytes(&world) - before, client(&world).stats().cells_kept);
    assert!(after * 3 < first, "{after} bytes, {first} for the first picture");
    assert!((200..320).contains(&kept), "{kept} cells");
}

#[test]
fn another_mode_has_nothing_of_the_old_and_waits_for_nothing() {
    let (mut world, _) = settled("rtt=40ms,rate=20mbit");
    Deed::Blackout(0, ms(200)).happen(&mut world);
    let size = Size::new(300, 256).expect("a legal size");
    Deed::Mode(0, size, PixelFormat::Xrgb8888).happen(&mut world);
    world.run(ms(100));
    restart(&mut world);
    let took = until_exact(&mut world);
    assert!(took < ms(700), "{took:?}");
    assert_eq!(client(&world).stats().cells_kept, 0);
    assert!(world.totals.count("offers of nothing") > 0 && world.totals.count("offers") == 0);
}

#[test]
fn another_picture_of_the_same_size_is_sent_in_full() {
    let (mut world, first) = settled("rtt=40ms,rate=20mbit");
    let before = bytes(&world);
    Deed::Blackout(0, ms(200)).happen(&mut world);
    Deed::Paint(0, Stroke::All).happen(&mut world);
    world.run(ms(100));
    restart(&mut world);
    let took = until_exact(&mut world);
    assert_eq!(client(&world).stats().cells_kept, 0);
    assert!(took < ms(900) && bytes(&world) - before < first + first / 4, "{took:?}");
}

#[test]
fn a_client_that_was_gone_for_too_long_and_one_whose_screen_was_dark_come_back_too() {
    let (mut world, first) = settled("rtt=40ms,rate=20mbit");
    let before = bytes(&world);
    Deed::Blackout(0, IDLE_TIMEOUT + ms(2_000)).happen(&mut world);
    world.run(IDLE_TIMEOUT + ms(2_500));
    until_exact(&mut world);
    assert_eq!(world.totals.count("clients timed-out"), 1, "{}", world.totals);
    assert!((bytes(&world) - before) * 10 < first);
    // The first state that the new session hears of is dark; the picture comes later, and is the same.
    let before = bytes(&world);
    Deed::Dark(0, Some(SurfaceState::NoFramebuffer)).happen(&mut world);
    world.run(ms(100));
    Deed::Start(0).happen(&mut world);
    world.run(ms(500));
    assert!(
        client(&world).picture().is_some_and(|picture| !picture.live),
        "the old picture stays on display"
    );
    Deed::Dark(0, None).happen(&mut world);
    until_exact(&mut world);
    // The session before, which nobody has ended, has its share in that.
    assert!((bytes(&world) - before) * 5 < first, "{} of {first} bytes", bytes(&world) - before);
    assert_eq!(client(&world).stats().cells_kept, 2 * 320);
}

#[test]
fn who_announces_an_offer_and_makes_none_waits_a_second_and_no_longer() {
    let (mut world, _) = settled("rtt=40ms,rate=20mbit");
    let start = world.now;
    Deed::Start(0).happen(&mut world);
    // Whatever the client says from now on is lost, but for what the handshake needs and acks: it says nothing more.
    world.run_until(ms(2_000), |world| world.totals.count("accepts") == 3).expect("a session");
    Deed::Stall(0, ms(1_200)).happen(&mut world);
    let sent = |world: &World| world.server.status().map(|status| status.stats.records_sent).sum::<u64>();
    world.run_until(ms(900), |world| world.server.sessions() == 1 && sent(world) > 0);
    let newest = world.server.status().last().map(|status| status.stats.records_sent);
    assert_eq!(newest, Some(0), "it is waited for");
    world.run(ms(300));
    let newest = world.server.status().last().map(|status| status.stats.records_sent);
    assert!(newest > Some(0), "and not for ever: {newest:?} after {:?}", world.now.saturating_since(start));
    until_exact(&mut world);
}

#[test]
fn a_client_whose_picture_is_wrong_keeps_nothing_of_what_is() {
    let (mut world, _) = settled("rtt=40ms,rate=20mbit");
    for turn in 0..8 {
        // What it is shown is changed on the way, and it comes back before any digest has told.
        Deed::Tamper(0, Share::percent(100)).happen(&mut world);
        Deed::Paint(0, Stroke::Noise).happen(&mut world);
        world.run(ms(70));
        Deed::Tamper(0, Share::ZERO).happen(&mut world);
        let right = world.is_right(0);
        Deed::Start(0).happen(&mut world);
        until_exact(&mut world);
        assert!(!right || turn > 0, "nothing was wrong");
        world.assert_all_shown();
    }
    assert!(world.totals.count("records tampered with") > 0, "{}", world.totals);
    assert!(world.totals.count("cells kept by digest") > 8 * 100, "{}", world.totals);
}
