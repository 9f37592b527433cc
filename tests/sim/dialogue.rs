//! What the two sides say of their path, beside what the path has done.

use std::time::Duration;

use lfp::session::PathQuality;
use lfp_proto::frame::Way;

use crate::deed::Deed;
use crate::guest::Stroke;
use crate::named::{paint, pair};
use crate::world::World;

/// For how long something is painted and typed.
const SPAN_MS: u64 = 30_000;

/// A session over `link` on which pictures go down and keys up all the time.
fn busy(link: &str) -> World {
    let mut world = pair(link);
    world.run_until(Duration::from_secs(60), World::all_exact).expect("exact");
    paint(&mut world, 0, Stroke::Noise, 50, SPAN_MS);
    for at in (0..SPAN_MS).step_by(30) {
        world.plan(Duration::from_millis(at), Deed::Key(0));
    }
    world.run(Duration::from_millis(SPAN_MS));
    world
}

fn of_server(world: &World) -> PathQuality {
    world.server.status().next().expect("a session").path
}

/// Whether `said` is `done`, but for a tenth and what was under way in the last second.
fn about(said: u64, done: u64) -> bool {
    said.abs_diff(done) <= done / 10 + 40
}

#[test]
fn both_sides_say_what_the_path_has_done_each_way() {
    let mut world = busy("rtt=40ms,down:loss=8%,up:loss=3%,reorder=5%,reorder-by=20ms,dup=4%,seed=3");
    let (up, down) = (*world.networks[0].up.counts(), *world.networks[0].down.counts());
    let server = of_server(&world);
    let client = world.peers[0].client.as_mut().expect("a client").path();
    assert!(up.lost > 30 && down.lost > 200, "too little happened: {up:?}, {down:?}");
    for (name, said, link) in [
        ("client, down", client.down, &down),
        ("server, down", server.down, &down),
        ("client, up", client.up, &up),
        ("server, up", server.up, &up),
    ] {
        let Way { came, missing, again, reordered, .. } = said;
        assert!(about(came, link.delivered - link.duplicated), "{name}: {said:?}, {link:?}");
        assert!(about(missing, link.lost), "{name}: {said:?}, {link:?}");
        assert!(about(again, link.duplicated), "{name}: {said:?}, {link:?}");
        // What is held back is overtaken only where another follows soon enough.
        assert!(reordered > 0 && reordered <= link.reordered + link.duplicated, "{name}: {said:?}, {link:?}");
    }
}

#[test]
fn a_queue_and_jitter_are_told_for_the_way_that_has_them() {
    let near = |world: &World| (of_server(world).down, of_server(world).up);
    let (down, up) = near(&busy("rtt=40ms,down:jitter=30ms,seed=5"));
    assert!(down.jitter_us > 4_000 && up.jitter_us < 1_000, "{down:?}, {up:?}");
    let (down, up) = near(&busy("rtt=40ms,up:jitter=30ms,seed=5"));
    assert!(up.jitter_us > 4_000 && down.jitter_us < 1_000, "{down:?}, {up:?}");
}

#[test]
fn an_idle_session_has_nothing_to_say() {
    let mut world = pair("rtt=40ms");
    world.run_until(Duration::from_secs(60), World::all_exact).expect("exact");
    world.run(Duration::from_secs(5));
    let before = (world.totals.count("reports"), world.totals.count("qualities"));
    world.run(Duration::from_secs(60));
    assert_eq!((world.totals.count("reports"), world.totals.count("qualities")), before);
}

#[test]
fn a_client_that_cannot_keep_up_is_shown_fewer_pictures_and_all_of_them_again() {
    let mut world = pair("rtt=10ms");
    world.run_until(Duration::from_secs(60), World::all_exact).expect("exact");
    let rate = |world: &World| world.sources[0].rate_hz;
    let before = rate(&world);
    paint(&mut world, 0, Stroke::Noise, 33, 20_000);
    for _ in 0..100 {
        world.run(Duration::from_millis(100));
        world.peers[0].client.as_mut().expect("a client").worked(Duration::from_millis(99));
    }
    assert!(of_server(&world).busy > 900 && rate(&world) <= before / 4, "{:?}", of_server(&world));
    world.run(Duration::from_secs(10));
    assert_eq!((of_server(&world).halved, rate(&world)), (0, before));
    world.run_until(Duration::from_secs(10), World::all_exact).expect("exact");
}
