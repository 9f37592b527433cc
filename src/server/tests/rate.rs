//! How fast, and how fresh.

use std::time::Duration;

use super::world::{Link, World, config, paint_noise};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn probe_print() {
    for (bps, loss, rtt, queue, jitter) in [
        (20_000_000, 0, 20, 64, 0),
        (20_000_000, 5, 20, 64, 0),
        (20_000_000, 20, 20, 64, 0),
        (20_000_000, 0, 100, 256, 0),
        (20_000_000, 5, 100, 256, 0),
        (20_000_000, 20, 100, 256, 5),
        (2_000_000, 0, 50, 32, 0),
        (2_000_000, 5, 50, 32, 0),
        (50_000_000, 0, 1, 256, 0),
        (50_000_000, 5, 10, 256, 0),
        (20_000_000, 0, 20, 8, 0),
        (20_000_000, 5, 20, 8, 0),
    ] {
        let mut world = World::with(config(1), 320, 240, 1, 1);
        world.link = Link {
            delay: ms(rtt) / 2,
            jitter: ms(jitter),
            loss_percent: loss,
            rate_bps: Some(bps),
            queue_bytes: queue * 1024,
            ..Link::default()
        };
        world.encode_time = ms(1);
        world.painter =
            Some(Box::new(|rng, screens| paint_noise(rng, &mut screens[0].lock().unwrap(), 6_000)));
        world.run(ms(2_000));
        let before: u64 = world.clients[0].bytes;
        let sent: usize = world.sent.iter().map(|s| s.2).sum();
        world.run(ms(3_000));
        let got = (world.clients[0].bytes - before) * 8 / 3;
        let sent = (world.sent.iter().map(|s| s.2).sum::<usize>() - sent) as u64 * 8 / 3;
        let status = world.server.status().next().unwrap();
        println!(
            "{bps} loss {loss} rtt {rtt} queue {queue}: got {}% sent {}% rate {:?} rtt {:?} stats lost {} late {} expired {} probes {} marks {}",
            got * 100 / bps,
            sent * 100 / bps,
            status.delivery_rate,
            status.rtt,
            status.stats.packets_lost,
            status.stats.packets_late,
            status.stats.records_expired,
            status.stats.probes,
            world.clients[0].marks.len()
        );
    }
}
