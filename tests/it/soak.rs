//! Sessions come, work, and go for a long time over a bad network, and the server stays the size that it was.

use std::time::Duration;

use crate::harness::{Bench, Client, Link, Server};

/// Seconds in the gate; `LFP_SOAK_SECONDS` makes it longer.
const SECONDS_DEFAULT: u64 = 10;
/// What a server may grow by once every service has had a session: the cache of records fills to its bound of 32 MiB, and
/// up to three clients that are gone without a word are remembered with their references.
const GROWTH_MAX: u64 = 64 << 20;
const SERVICES: [&str; 3] = ["mixed", "video", "idle"];

#[test]
fn soak() {
    let seconds = std::env::var("LFP_SOAK_SECONDS").ok().map_or(SECONDS_DEFAULT, |text| {
        text.parse().unwrap_or_else(|_| panic!("LFP_SOAK_SECONDS={text} is no whole number"))
    });
    let bench = Bench::new();
    let mut server = Server::of_services(
        &bench,
        &[
            ("mixed", "synthetic:mixed"),
            ("video", "synthetic:video?size=640x480"),
            ("idle", "synthetic:idle"),
        ],
    );
    let link = Link::to(&bench, server.address(), "loss=2%,dup=1%,reorder=2%,corrupt=1%,rtt=20ms,seed=5");
    let end = lfp::clock::now() + Duration::from_secs(seconds);
    let mut steady =
        Client::start(&bench, "steady", link.address(), &["--service", "mixed", "--seconds", "100000"]);
    steady.wait_picture();
    let mut settled_bytes = None;
    let mut rounds = 0_u32;
    while lfp::clock::now() < end || rounds <= SERVICES.len() as u32 {
        let service = SERVICES[rounds as usize % SERVICES.len()];
        let name = format!("round{rounds}");
        if rounds % 4 == 3 {
            // One in four is not there any more without having said so.
            let mut client =
                Client::start(&bench, &name, link.address(), &["--service", service, "--seconds", "60"]);
            client.wait_picture();
            client.kill();
        } else {
            // Long enough for keys to be answered over the bad network, also on a machine that is busy. What is painted here
            // takes none, and the client says so.
            let args = ["--service", service, "--seconds", "10", "--type", "soak"];
            let (code, report) = Client::start(&bench, &name, link.address(), &args).end();
            assert_eq!(code, Some(6), "{}", report.json);
            assert!(report.number("bytes_down") > 0, "{}", report.json);
        }
        steady.assert_running();
        server.assert_running();
        rounds += 1;
        let bytes = server.memory();
        if rounds >= SERVICES.len() as u32 {
            let first = *settled_bytes.get_or_insert(bytes);
            assert!(
                bytes < first + GROWTH_MAX,
                "the server grew from {first} to {bytes} bytes in {rounds} rounds"
            );
        }
    }
    let first = settled_bytes.unwrap_or_default();
    println!(
        "soak: {rounds} rounds in {seconds} s, {first} and in the end {} bytes resident",
        server.memory()
    );
    server.close();
}
