//! Sources come and go, clients come and go, and the network goes away for a while.

use std::time::Duration;

use super::world::{Link, World, config, paint_noise, service};
use crate::directory::InputPolicy;
use crate::geometry::Size;
use crate::hypervisor::{SourceId, Surface, View};
use crate::limits::{IDLE_TIMEOUT, SHUTDOWN_GRACE};
use crate::pixel::PixelFormat;
use crate::server::Input;
use crate::units::SurfaceId;
use lfp_proto::frame::{CloseReason, InputKind, SurfaceState};
use lfp_proto::hello::RefuseReason;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn live(width: u16, height: u16) -> View {
    let size = Size::new(width, height).unwrap();
    View::Live(Surface {
        size,
        stride_bytes: u32::from(width) * 4,
        format: PixelFormat::Xrgb8888,
        offset_bytes: 0,
    })
}

fn dark(text: &str) -> View {
    View::Dark { state: SurfaceState::Gone, text: text.to_owned() }
}

#[test]
fn a_guest_that_changes_its_mode_under_load_is_shown_in_the_new_one() {
    let mut world = World::new(1, 1);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.link = Link { jitter: ms(10), loss_percent: 15, ..Link::default() };
    world.encode_time = ms(5);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 400)));
    for (round, (width, height)) in
        [(320, 200), (64, 64), (500, 333), (16, 16), (320, 200)].into_iter().enumerate()
    {
        world.run(ms(137 + round as u64 * 20));
        world.set_view(0, live(width, height));
    }
    world.run(ms(100));
    world.painter = None;
    world.run_till(ms(3_000), |world| world.is_exact(0, 0));
    let status = world.server.status().next().unwrap();
    assert_eq!((world.clients[0].epoch.0, status.stats.epochs), (6, 6));
}

#[test]
fn a_guest_that_dies_is_told_within_a_tick_and_comes_back_with_its_picture() {
    let mut world = World::new(1, 2);
    world.paint(0, 300);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0) && world.is_exact(1, 0));
    world.set_view(0, dark("the guest is off"));
    let told = |world: &World| {
        world.clients.iter().all(|client| {
            client
                .state
                .as_ref()
                .is_some_and(|(state, text)| *state == SurfaceState::Gone && text == "the guest is off")
        })
    };
    assert!(world.run_till(ms(1_000), told) <= ms(17 + 10));
    world.set_view(0, live(240, 180));
    world.paint(0, 300);
    assert!(world.run_till(ms(1_000), |world| world.is_exact(0, 0) && world.is_exact(1, 0)) <= ms(150));
}

#[test]
fn the_dark_is_told_though_packets_are_lost() {
    let mut world = World::new(1, 1);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.link.loss_percent = 100;
    world.set_view(0, dark("off"));
    world.run(ms(400));
    world.link.loss_percent = 0;
    world.run_till(ms(1_100), |world| {
        world.clients[0].state.as_ref().is_some_and(|(state, _)| *state == SurfaceState::Gone)
    });
}

#[test]
fn after_ten_seconds_without_a_network_the_picture_is_there_within_a_second() {
    let mut world = World::new(1, 1);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 100)));
    world.run(ms(1_000));
    world.link.loss_percent = 100;
    world.run(ms(10_000));
    let sent_in_the_dark = world.sent.len();
    world.run(ms(5_000));
    assert!(world.sent.len() - sent_in_the_dark <= 10, "a dead path is probed, not flooded");
    world.painter = None;
    world.link.loss_percent = 0;
    let took = world.run_till(ms(2_000), |world| world.is_exact(0, 0));
    assert!(took <= ms(1_200), "{took:?}");
}

#[test]
fn a_silent_client_ends_and_its_source_is_left_alone() {
    let mut world = World::new(2, 2);
    world.clients[1].hello.service = service(1);
    world.run(ms(500));
    assert_eq!((world.demands[&SourceId(0)], world.demands[&SourceId(1)]), (60, 60));
    // One of the two goes away without a word.
    world.clients.remove(0);
    world.run(IDLE_TIMEOUT + ms(1_500));
    assert_eq!(world.server.sessions(), 1);
    assert_eq!((world.demands[&SourceId(0)], world.demands[&SourceId(1)]), (0, 60));
    assert_eq!(world.clients[0].closed, None, "a quiet session is kept alive");
    assert_eq!(world.server.stats().sessions_ended, 1);
}

#[test]
fn the_fastest_client_sets_the_rate() {
    let mut world = World::new(1, 2);
    world.clients[0].hello.displays[0].refresh_hz = 24;
    world.clients[1].hello.displays[0].refresh_hz = 144;
    world.run(ms(300));
    assert_eq!(world.demands[&SourceId(0)], 60, "but no more than configured");
    let (from, bytes) = (world.clients[1].address, world.clients[1].close());
    world.deliver(from, &bytes, true);
    world.run(ms(100));
    assert_eq!(world.demands[&SourceId(0)], 24);
}

#[test]
fn shutting_down_tells_everybody_and_ends() {
    let mut world = World::new(1, 3);
    world.run(ms(300));
    world.server.handle(world.now, Input::Shutdown);
    world.run_till(SHUTDOWN_GRACE, |world| world.server.sessions() == 0);
    for client in &world.clients {
        assert_eq!((client.closed, client.closes <= 3), (Some(CloseReason::ShuttingDown), true));
    }
    // And nobody new is let in.
    let mut late = super::client::TestClient::new(9, &service(0));
    late.address.set_port(9_000);
    world.clients.push(late);
    world.run(ms(300));
    let refused = world.clients[3].refused.as_ref().map(|refuse| refuse.reason);
    assert_eq!(refused, Some(RefuseReason::ShuttingDown));
}

#[test]
fn a_new_session_starts_from_the_newest_tick_of_a_quiet_source() {
    let mut world = World::new(1, 1);
    world.paint(0, 300);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(1_000));
    world.clients.push(super::client::TestClient::new(5, &service(0)));
    assert!(world.run_till(ms(500), |world| world.is_exact(1, 0)) <= ms(100));
}

#[test]
fn a_session_of_a_full_hd_screen_takes_less_than_a_megabyte() {
    let mut world = World::with(config(1), 1_920, 1_080, 1, 2);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 3_000)));
    let mut most = 0;
    for _ in 0..30 {
        world.run(ms(20));
        most = world.server.status().map(|status| status.memory_bytes).max().unwrap_or(0).max(most);
    }
    assert!(most > 130_000, "{most} bytes: cells are counted");
    assert!(most < 1_000_000, "{most} bytes");
}

/// A world whose one service shows two sources, and clients with as many displays as stated.
fn two_screens(displays: &[usize]) -> World {
    let mut config = config(2);
    config.directory.insert(&service(0), [SourceId(0), SourceId(1)], 60, InputPolicy::Exclusive);
    let mut world = World::with(config, 200, 150, 2, displays.len() as u16);
    for (client, displays) in world.clients.iter_mut().zip(displays) {
        let display = client.hello.displays[0];
        client.hello.displays = vec![display; *displays];
    }
    world
}

#[test]
fn each_display_of_a_client_shows_a_source_of_its_service() {
    let mut world = two_screens(&[2, 3]);
    world.link = Link { loss_percent: 10, jitter: ms(10), ..Link::default() };
    for _ in 0..20 {
        world.paint(0, 5);
        world.paint(1, 5);
        world.run(ms(50));
    }
    world.link = Link::default();
    let second = SurfaceId(1);
    world.run_till(ms(5_000), |world| {
        let shows = |client: usize| {
            let other = world.clients[client].others.get(&second);
            world.is_exact(client, 0) && other.is_some_and(|(_, screen)| screen.pixels == world.truth(1))
        };
        shows(0) && shows(1)
    });
    assert!(
        world.clients.iter().all(|client| client.others.len() == 1),
        "there are no more sources than two"
    );
    // A mode of one changes: the other stays as it is.
    let (first_epoch, (second_epoch, _)) = (world.clients[0].epoch, &world.clients[0].others[&second]);
    let second_epoch = *second_epoch;
    world.set_view(1, dark("off"));
    world.run(ms(200));
    world.set_view(1, live(120, 90));
    world.run_till(ms(2_000), |world| {
        let (epoch, screen) = &world.clients[0].others[&second];
        *epoch > second_epoch && screen.pixels == world.truth(1)
    });
    assert_eq!(world.clients[0].epoch, first_epoch);
    // Input goes to the source that has the focus.
    let now = world.now;
    world.clients[0].focus = second;
    world.clients[0].press(&[InputKind::Key { code: 30, down: true }], now);
    world.run_till(ms(200), |world| !world.actions.is_empty());
    assert_eq!(world.actions[0].1.source, SourceId(1));
}

#[test]
fn a_client_of_one_display_gets_the_first_source_and_no_other() {
    let mut world = two_screens(&[1]);
    world.run_till(ms(2_000), |world| world.is_exact(0, 0));
    world.paint(1, 500);
    world.run(ms(500));
    assert!(world.clients[0].others.is_empty() && world.clients[0].refused_records == 0);
    assert_eq!(world.demands.get(&SourceId(1)).copied().unwrap_or(0), 0, "nobody watches it");
}
