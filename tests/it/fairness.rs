//! A guest that changes everything all the time takes no more than its share.

use std::time::Duration;

use crate::harness::{Bench, Client, Painted, Report, Server};
use crate::many::pattern;

/// How much older another session's picture may be while the storm goes on.
const WORSE_PERCENT: u64 = 120;
/// Differences that two cores full of test processes cannot tell from chance.
const NOISE_US: u64 = 10_000;

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
    let (before, after) = (p95_us(&alone), p95_us(&beside));
    println!("p95 staleness: {before} us alone, {after} us beside {frames} frames of storm");
    assert!(frames > 60, "{frames} frames are no storm");
    let allowed = (before * WORSE_PERCENT / 100).max(before + NOISE_US);
    assert!(after <= allowed, "p95 staleness rose from {before} to {after} us; {allowed} us are allowed");
    victim.assert_running();
    server.close();
}

fn p95_us(report: &Report) -> u64 {
    let ms = report.json["staleness_ms"]["p95"].as_f64();
    (ms.unwrap_or_else(|| panic!("no staleness in {}", report.json)) * 1000.0) as u64
}
