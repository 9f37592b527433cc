//! What programs say of the path between them, beside what a relay did to it.

use std::fs;

use serde_json::Value;

use crate::harness::{Bench, Client, Link, PATIENCE, Server, wait_for};

#[test]
fn both_programs_say_what_a_link_loses_each_way() {
    let bench = Bench::new();
    let file = bench.file("stats.json");
    let stats = file.to_str().expect("UTF-8");
    let source = ["--source", "synthetic:mixed?seed=5", "--listen", "127.0.0.1:0"];
    let server = Server::start(&bench, &[&["serve", "--stats", stats], &source[..]].concat());
    let link = Link::to(&bench, server.address(), "rtt=60ms,down:loss=10%,up:loss=4%,dup=5%,seed=11");
    let client = Client::start(&bench, "client", link.address(), &["--seconds", "8"]);
    let read = || fs::read_to_string(&file).expect("statistics are kept");
    let mut last = Value::Null;
    wait_for("a session in the statistics whose client has reported", PATIENCE, || {
        let figures: Value = serde_json::from_str(&read()).expect("whole JSON, whenever it is read");
        last = figures["sessions"][0].clone();
        (last["down"]["packets"].as_u64() > Some(200)).then_some(())
    });
    let (_, report) = client.end();
    let share = |way: &Value| {
        let number = |name: &str| way[name].as_f64().unwrap_or_else(|| panic!("no {name} in {way}"));
        (number("lost") / (number("lost") + number("packets")), number("duplicated") / number("packets"))
    };
    println!("client: {}\nserver: {last}\nlink: {}", report.json["path"], link.close());
    for (name, way, lost) in [
        ("client, down", &report.json["path"]["down"], 0.10),
        ("client, up", &report.json["path"]["up"], 0.04),
        ("server, down", &last["down"], 0.10),
        ("server, up", &last["up"], 0.04),
    ] {
        let (said, duplicated) = share(way);
        assert!((lost / 3.0..lost * 2.5).contains(&said), "{name}: {said} of {lost} lost: {way}");
        assert!((0.01..0.12).contains(&duplicated), "{name}: {way}");
    }
    assert!(report.json["path"]["rate_bps"].as_u64() > Some(100_000), "{}", report.json);
    assert!(last["rtt_us"].as_u64() >= Some(60_000), "{last}");
    server.close();
    assert!(!file.exists(), "statistics of a server that has ended");
}
