//! The picture gets there, whatever happens on the way.

use std::time::Duration;

use super::world::{Link, World, paint_noise};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_client_shows_the_screen_within_a_few_round_trips() {
    let mut world = World::new(1, 1);
    world.paint(0, 500);
    let took = world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    assert!(took <= ms(110), "{took:?}");
    let mark = world.clients[0].marks.last().copied().expect("a mark");
    assert_eq!(mark.tick, 1);
}

#[test]
fn a_proof_follows_once_everything_is_confirmed() {
    let mut world = World::new(1, 1);
    world.paint(0, 500);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(100));
    let (whole, now) = (world.clients[0].whole(), world.now);
    let id = world.clients[0].ask(whole, now);
    world.run_till(ms(100), |world| world.clients[0].replies.contains_key(&id));
    assert_eq!(world.clients[0].replies[&id].verdict, lfp_proto::frame::Verdict::Exact);
}

#[test]
fn losses_reordering_and_duplicates_are_repaired() {
    let mut world = World::new(1, 1);
    world.link = Link { jitter: ms(15), loss_percent: 20, duplicate_percent: 10, ..Link::default() };
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 20)));
    world.run(ms(3_000));
    world.painter = None;
    world.run_till(ms(2_000), |world| world.is_exact(0, 0));
    let status = world.server.status().next().unwrap();
    assert!(status.stats.packets_lost > 0 && status.stats.cells_repaired > 0, "{status:?}");
}
