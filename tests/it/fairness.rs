//! A guest that changes everything all the time takes no more than its share.

use std::time::Duration;

use crate::harness::{Bench, Client, Painted, Report, Server};
use crate::many::pattern;

/// Share of its frames that the calm session must still see whole. How much later it sees them is a figure, not a
/// test: `tests/sim` holds it to 1.2x in virtual time, `scripts/bench-figures` measures it.
const FRAMES_PERCENT: u64 = 80;

#[test]
fn a_storm_takes_no_more_than_its_share() {
    let bench = Bench::alone();
    let storm = Painted::new(&bench.file("storm.fb"), &pattern(1280, 800, 0));
    let server =
        Server::of_services(&bench, &[("calm", "synthetic:typing"), ("storm", storm.source().as_str())]);
    let calm = |name: &str| -> Report {
        Client::run(&bench, name, server.address(), &["--service", "calm", "--seconds", "6"])
    };
    let alone = calm("alone");
    let mut victim =
        Client::start(&bench, "victim", server.address(), &["--service", "storm", "--seconds", "300"]);
    victim.wait_picture();
    let pictures: Vec<_> = (0..8).map(|seed| pattern(1280, 800, seed * 3 + 1)).collect();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let painting = std::thread::spawn(move || {
        let mut turn = 0;
        while stopped.recv_timeout(Duration::from_millis(33))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            storm.show(&pictures[turn % pictures.len()]);
            turn += 1;
        }
        turn
    });
    let beside = calm("beside");
    drop(stop);
    let frames = painting.join().expect("the painter");
    assert!(frames > 60, "{frames} frames are no storm");
    let (before, after) = (whole_frames(&alone), whole_frames(&beside));
    println!(
        "beside {frames} frames of storm: {after} whole frames after {before}, staleness {} after {}",
        beside.json["staleness_ms"], alone.json["staleness_ms"]
    );
    assert!(after * 100 >= before * FRAMES_PERCENT, "{after} whole frames beside the storm, {before} alone");
    victim.assert_running();
    server.close();
}

/// Frames of the guest that a client saw whole.
fn whole_frames(report: &Report) -> u64 {
    report.json["staleness_ms"]["n"].as_u64().unwrap_or_else(|| panic!("no staleness in {}", report.json))
}
