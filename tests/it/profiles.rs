//! Displays of other sizes and depths on one source: real programs, and what they share.

use crate::harness::{Bench, Client, Painted, Picture, Server, assert_same};
use crate::many::pattern;

/// What a display of 16 bits shows of a picture that is reduced by two: SPEC.md sections 2 and 7, in floating point.
fn half_in_16_bits(full: &Picture) -> Picture {
    let level = |at: (usize, usize), channel: usize| {
        let of = |x: usize, y: usize| {
            f64::from(full.rgb[((at.1 * 2 + y) * full.width + at.0 * 2 + x) * 3 + channel])
        };
        let mean = ((of(0, 0) + of(1, 0) + of(0, 1) + of(1, 1)) / 4.0 + 0.5).floor();
        let bits = if channel == 1 { 6 } else { 5 };
        let most = f64::from((1 << bits) - 1);
        let level = (mean * most / 255.0).round() as u32;
        level << (8 - bits) | level >> (2 * bits - 8)
    };
    Picture::paint(full.width / 2, full.height / 2, |x, y| {
        level((x, y), 0) << 16 | level((x, y), 1) << 8 | level((x, y), 2)
    })
}

/// The records that a server encoded, and those that it had already, from its last words.
fn encoded(words: &str) -> (u64, u64) {
    let field = |name: &str| {
        let from = words.rfind(name).unwrap_or_else(|| panic!("no {name} in {words}")) + name.len();
        let digits: String = words[from..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no number behind {name} in {words}"))
    };
    (field("encoded="), field("shared="))
}

#[test]
fn two_profiles_of_one_source_are_each_exact_and_share_what_they_can() {
    let bench = Bench::new();
    let full = pattern(640, 480, 5);
    let small = half_in_16_bits(&full);
    let painted = Painted::new(&bench.file("screen.fb"), &full);
    // As often as stated, each once more while the others watch.
    let serve = |rounds: usize| {
        let server = Server::of(&bench, &painted.source());
        let mut clients = Vec::new();
        for round in 0..rounds {
            let start = |name: &str, args: &[&str]| {
                let name = format!("{name}-{rounds}-{round}");
                Client::start(&bench, &name, server.address(), &[&["--seconds", "300"], args].concat())
            };
            clients.push((start("desktop", &["--profile", "desktop"]), &full));
            let phone = ["--profile", "phone", "--display", "320x240", "--depth", "16"];
            clients.push((start("phone", &phone), &small));
            for (client, truth) in &mut clients {
                client.wait_shows(truth, crate::harness::PATIENCE);
            }
        }
        for (client, _) in &clients {
            client.interrupt();
        }
        for (client, truth) in clients {
            let (_, report) = client.end();
            assert_same("profile", report.picture(), truth);
            let depth = if report.number("width") == 640 { 24 } else { 16 };
            assert_eq!(report.number("depth"), depth);
        }
        encoded(&server.close())
    };
    let (one, _) = serve(1);
    let (three, shared) = serve(3);
    assert!(
        three < one * 3 / 2 && shared > one,
        "{one} records for one client of each profile; {three} for three of each, which share {shared}"
    );
}
