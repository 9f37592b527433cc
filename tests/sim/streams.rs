//! Streams in named worlds: exact whatever happens, and never in the way of pixels.

use std::time::Duration;

use client_lfp::Config;
use lfp::ablation::Without;
use lfp::limits::STREAM_CROWDED_PACKETS;
use lfp_proto::stream::Reading;

use crate::deed::Deed;
use crate::guest::Stroke;
use crate::named::{ms, paint, pair, world};
use crate::piped::Load;
use crate::play::Play;
use crate::scenario::assert_settles;
use crate::tables::stage::Stage;

#[test]
fn bytes_come_exact_and_in_order_through_loss_reordering_copies_and_a_blackout() {
    let link = "rtt=60ms,loss=20%,reorder=20%,reorder-by=50ms,dup=20%,rate=20mbit";
    let mut world = world(&[&[(Config::default(), link)]]);
    assert_settles(&mut world);
    for by_client in [true, true, false, false] {
        let load = Load { by_client, lengths: [150_000, 150_000], abandon_at: None };
        Deed::Pipe(0, load).happen(&mut world);
    }
    paint(&mut world, 0, Stroke::Type, 100, 10_000);
    world.run(ms(400));
    Deed::Blackout(0, ms(2_000)).happen(&mut world);
    // What is read is compared as it comes.
    let took = world.run_until(ms(60_000), |world| world.pipes.all_done());
    assert!(took.is_some(), "{:?}", world.pipes);
    assert_eq!(world.totals.count("streams ended"), 4);
    assert!(world.totals.count("pieces of streams that the client sends again") > 20, "{}", world.totals);
    assert!(world.totals.count("pieces of streams that the server sends again") > 20, "{}", world.totals);
}

#[test]
fn a_stream_on_a_clean_path_says_nothing_twice_and_takes_half_of_it() {
    let mut world = pair("rtt=40ms,rate=10mbit,queue=256kib");
    assert_settles(&mut world);
    let length = 400_000;
    Deed::Pipe(0, Load { by_client: false, lengths: [0, length], abandon_at: None }).happen(&mut world);
    let took = world.run_until(ms(20_000), |world| world.pipes.all_done()).expect("it ends");
    assert_eq!(world.totals.count("pieces of streams that the server sends again"), 0);
    // Half of what the path carries, once that is known, and a window a round trip.
    assert!((ms(600)..ms(2_500)).contains(&took), "{took:?} for {length} bytes");
}

/// Median, 95th and 99th percentile of typing's updates over `link`, with a stream from the server or without; and what came
/// over the stream.
fn typing(link: &str, stream: bool) -> ([u64; 3], u64) {
    let mut stage = Stage::new(Play::Typing, link, 1, false, Without::NOTHING).expect("a first picture");
    if stream {
        let load = Load { by_client: false, lengths: [0, 1 << 30], abandon_at: None };
        stage.plan(Duration::ZERO, Deed::Pipe(0, load));
        // Until it has found out what the path carries.
        stage.rest(ms(3_000));
    }
    let timed = stage.timed();
    let figures = [timed.p50, timed.p95, timed.p99].map(|ms| ms.expect("every update is shown"));
    (figures, stage.piped()[1])
}

#[test]
fn typing_is_as_quick_beside_a_stream_as_without_one() {
    for (link, packet_ms) in [("rtt=100ms,rate=2mbit,queue=64kb", 5), ("rtt=20ms,rate=20mbit,queue=256kb", 1)]
    {
        let ((alone, _), (beside, bytes)) = (typing(link, false), typing(link, true));
        println!("{link}: {alone:?} ms alone, {beside:?} ms beside {bytes} bytes of a stream");
        for (alone, beside) in alone.iter().zip(beside) {
            // One packet that is on its way already, and what is rounded.
            assert!(
                beside <= alone + packet_ms + 1,
                "{link}: {beside} ms beside a stream, {alone} ms without"
            );
        }
        // 50 s of typing.
        assert!(bytes > 1_000_000, "{link}: only {bytes} bytes of the stream came");
    }
}

#[test]
fn a_stream_beside_pixels_without_end_has_its_small_share() {
    const MBIT: u64 = 4;
    let link = format!("rtt=40ms,rate={MBIT}mbit,queue=64kb");
    let mut stage = Stage::new(Play::Storm, &link, 1, false, Without::NOTHING).expect("a first picture");
    let load = Load { by_client: false, lengths: [0, 1 << 30], abandon_at: None };
    stage.plan(Duration::ZERO, Deed::Pipe(0, load));
    let seconds = 20;
    stage.carried(ms(2_000), Duration::from_secs(seconds));
    let share = MBIT * 1_000_000 / 8 * (seconds + 2) / STREAM_CROWDED_PACKETS;
    let bytes = stage.piped()[1];
    assert!(
        (share / 3..=share * 3 / 2).contains(&bytes),
        "{bytes} bytes of a stream, of {share} that are its share"
    );
}

#[test]
fn a_client_without_a_screen_asks_what_there_is() {
    let link = "rtt=40ms,loss=20%";
    let mut world = world(&[&[(Config::default(), link), (Config::default(), link)]]);
    assert_settles(&mut world);
    Deed::Leave(1).happen(&mut world);
    world.run_until(ms(2_000), |world| world.server.sessions() == 1).expect("it has left");
    world.peers[1].config.service.clear();
    Deed::Start(1).happen(&mut world);
    world.run_until(ms(5_000), |world| world.peers[1].is_established()).expect("a session");
    let client = world.peers[1].client.as_mut().expect("a client");
    let stream = client.streams().open("control").expect("a stream");
    client.streams().write(stream, b"{\"request\":\"directory\"}\n{\"request\":\"weather\"}\nnonsense");
    client.streams().finish(stream);
    let (mut answer, mut ended) = (Vec::new(), false);
    for _ in 0..500 {
        world.run(ms(10));
        let streams = world.peers[1].client.as_mut().expect("a client").streams();
        ended |= !ended && streams.read(stream, &mut answer, usize::MAX) == Reading::End;
    }
    assert!(ended, "no answer");
    let lines: Vec<serde_json::Value> = String::from_utf8(answer)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let service = serde_json::json!({
        "name": "0", "state": "live", "width": 200, "height": 150, "screens": 1, "sessions": 1,
    });
    assert_eq!((lines.len(), &lines[0]["directory"][0]), (3, &service));
    assert!(lines[1]["error"].as_str().is_some_and(|error| error.contains("weather")), "{}", lines[1]);
    assert!(lines[2]["error"].is_string());
    assert!(world.peers[1].client.as_ref().is_some_and(|client| client.surface().is_none()));
}
