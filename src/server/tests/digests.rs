//! Digests: proof of what is shown, and repair of what should not be.

use std::time::Duration;

use super::world::{World, paint_noise};
use crate::geometry::CellRect;
use crate::limits::DIGESTS_PENDING_MAX;
use crate::server::Input;
use crate::units::{Epoch, SurfaceId};
use lfp_proto::frame::{Digest, Frame, Verdict};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn settled() -> World {
    let mut world = World::new(1, 1);
    world.paint(0, 500);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(100));
    world
}

/// The verdict on `cells`, asked for now.
fn verdict(world: &mut World, cells: CellRect) -> Verdict {
    let now = world.now;
    let id = world.clients[0].ask(cells, now);
    world.run_till(ms(500), |world| world.clients[0].replies.contains_key(&id));
    world.clients[0].replies[&id].verdict
}

#[test]
fn every_part_of_a_settled_screen_is_exact() {
    let mut world = settled();
    for cells in [
        world.clients[0].whole(),
        CellRect { x: 0, y: 0, width: 1, height: 1 },
        CellRect { x: 12, y: 9, width: 1, height: 1 },
        CellRect { x: 3, y: 2, width: 5, height: 4 },
    ] {
        assert_eq!(verdict(&mut world, cells), Verdict::Exact, "{cells:?}");
    }
}

#[test]
fn a_wrong_pixel_is_found_and_repaired() {
    let mut world = settled();
    world.clients[0].screen.as_mut().unwrap().pixels[200 * 70 + 33] ^= 1;
    let whole = world.clients[0].whole();
    assert_eq!(verdict(&mut world, whole), Verdict::Differs);
    world.run_till(ms(500), |world| world.is_exact(0, 0));
    world.run(ms(100));
    assert_eq!(verdict(&mut world, whole), Verdict::Exact);
    assert_eq!(world.server.status().next().unwrap().stats.digests_differing, 1);
}

#[test]
fn contents_that_differ_are_sent_again() {
    let mut world = settled();
    let whole = world.clients[0].whole();
    let digest =
        Digest { id: 77, surface: SurfaceId(0), epoch: Epoch(1), cells: whole, contents: 1, pixels: 2 };
    let bytes = world.clients[0].packet(&[Frame::Digest(digest)]);
    let records = world.clients[0].records;
    let from = world.clients[0].address;
    world.deliver(from, &bytes, true);
    world.run(ms(200));
    assert_eq!(world.clients[0].replies[&77].verdict, Verdict::Differs);
    assert!(world.clients[0].records > records);
    assert_eq!(verdict(&mut world, whole), Verdict::Exact);
}

#[test]
fn what_moves_is_not_settled() {
    let mut world = settled();
    let whole = world.clients[0].whole();
    // The server knows of a change that the client has not got yet.
    world.paint(0, 5_000);
    assert_eq!(verdict(&mut world, whole), Verdict::Unsettled);
    world.painter = Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 50)));
    for _ in 0..50 {
        let verdict = verdict(&mut world, whole);
        assert_ne!(verdict, Verdict::Differs, "nothing is wrong");
    }
    let stats = world.server.status().next().unwrap().stats;
    assert_eq!(stats.digests_differing, 0);
}

#[test]
fn digests_under_loss_are_never_wrong() {
    let mut world = settled();
    world.link.loss_percent = 20;
    world.link.jitter = ms(15);
    world.painter = Some(Box::new(|rng, screens| {
        if rng.below(4) == 0 {
            paint_noise(rng, &mut screens[0].lock().unwrap(), 3);
        }
    }));
    let mut exact = 0;
    for part in 0..200 {
        let cells = CellRect { x: part % 13, y: part % 10, width: 1, height: 1 };
        let now = world.now;
        world.clients[0].ask(cells, now);
        world.run(ms(30));
        exact += usize::from(world.clients[0].replies.values().any(|reply| reply.verdict == Verdict::Exact));
    }
    assert!(exact > 0);
    let stats = world.server.status().next().unwrap().stats;
    assert_eq!(stats.digests_differing, 0, "{stats:?}");
}

#[test]
fn what_cannot_be_compared_is_unsettled() {
    let mut world = settled();
    let good = Digest {
        id: 0,
        surface: SurfaceId(0),
        epoch: Epoch(1),
        cells: CellRect { x: 0, y: 0, width: 1, height: 1 },
        contents: 0,
        pixels: 0,
    };
    let bad = [
        Digest { id: 1, surface: SurfaceId(1), ..good },
        Digest { id: 2, epoch: Epoch(2), ..good },
        Digest { id: 3, epoch: Epoch(0), ..good },
        Digest { id: 4, cells: CellRect { x: 13, y: 0, width: 1, height: 1 }, ..good },
        Digest { id: 5, cells: CellRect { x: 0, y: 0, width: 1_024, height: 1_024 }, ..good },
    ];
    let bytes = world.clients[0].packet(&bad.map(Frame::Digest));
    let from = world.clients[0].address;
    world.deliver(from, &bytes, true);
    world.run(ms(100));
    let verdicts: Vec<_> = world.clients[0].replies.values().map(|reply| (reply.id, reply.verdict)).collect();
    assert_eq!(verdicts, [1, 2, 3, 4, 5].map(|id| (id, Verdict::Unsettled)));
}

#[test]
fn too_many_digests_are_ignored() {
    let mut world = settled();
    let cells = CellRect { x: 0, y: 0, width: 1, height: 1 };
    let from = world.clients[0].address;
    for batch in 0..4 {
        let digests: Vec<_> = (0..40)
            .map(|id| Digest {
                id: batch * 40 + id,
                surface: SurfaceId(0),
                epoch: Epoch(9),
                cells,
                contents: 0,
                pixels: 0,
            })
            .map(Frame::Digest)
            .collect();
        let bytes = world.clients[0].packet(&digests);
        // Without a chance to answer in between.
        world.server.handle(world.now, Input::Datagram { from, bytes: &bytes });
    }
    let stats = world.server.status().next().unwrap().stats;
    assert_eq!(stats.digests_unsettled, DIGESTS_PENDING_MAX as u64);
    assert_eq!(stats.digests_ignored, 160 - DIGESTS_PENDING_MAX as u64);
    world.run(ms(100));
    assert_eq!(world.clients[0].replies.len(), DIGESTS_PENDING_MAX);
}
