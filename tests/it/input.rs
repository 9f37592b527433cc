//! What a person does at the client arrives in the guest, and what the guest makes of it comes back.

use std::time::Duration;

use crate::harness::{Bench, Client, Display, Guest, Link, Report, Server, assert_same, watch};

#[test]
fn typed_text_appears_in_the_guest_and_in_the_picture() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(&bench, &guest.source());
    let before = guest.settle();
    // Longer than a PS/2 keyboard's queue, with shifted characters, and a line to correct.
    let text = "The quick brown fox (42) ~ jumps!";
    let report = Client::answered(&bench, "typist", server.address(), &["--type", &format!("{text}\n")]);
    guest.wait_line(&format!("typed: {text}"), 1);
    let after = guest.settle();
    assert_ne!(before, after, "typing changed nothing on the screen");
    assert_same("typed", report.picture(), &after);
    let report = Client::answered(
        &bench,
        "keys",
        server.address(),
        &["--type", "quiex", "--key", "backspace", "--key", "t", "--key", "enter"],
    );
    guest.wait_line("typed: quiet", 1);
    assert_same("keys", report.picture(), &guest.settle());
    server.close();
}

#[test]
fn the_pointer_moves_and_clicks_where_the_client_says() {
    let bench = Bench::new();
    let guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(&bench, &guest.source());
    Client::answered(&bench, "mover", server.address(), &["--move", "640,400", "--click", "320,200"]);
    guest.wait_line("button 0x110 down", 1);
    guest.wait_line("button 0x110 up", 1);
    let reported = guest.reported();
    let places = |axis: &str| -> Vec<i64> {
        let lead = format!("LFP-GUEST absolute {axis} ");
        reported.lines().filter_map(|line| line.strip_prefix(&lead)?.trim().parse().ok()).collect()
    };
    // The tablet's range is 0 to 32767 over the whole screen.
    for (axis, wanted) in [("0", [16_383, 8_191]), ("1", [16_383, 8_191])] {
        let places = places(axis);
        for want in wanted {
            assert!(
                places.iter().any(|place| (place - want).abs() < 64),
                "axis {axis}: {want} is not among {places:?}"
            );
        }
    }
}

/// Whoever ends without a word does not keep the keyboard to itself. (That what it held is let go is shown where a
/// client can hold a key: in `tests/sim` and by the mutant `keys-stay`.)
#[test]
fn a_client_that_dies_leaves_the_keyboard_to_the_next() {
    let bench = Bench::new();
    let guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(&bench, &guest.source());
    let mut client = Client::start(&bench, "killed", server.address(), &["--type", "abc", "--seconds", "30"]);
    guest.wait_line("key 'c'", 1);
    client.kill();
    // Its claim lasts for two seconds of rest.
    watch(Duration::from_secs(4), || ());
    let report = Client::answered(&bench, "next", server.address(), &["--type", "\n"]);
    assert_eq!(guest.count("typed: abc"), 1, "the next client could not type: {}", report.json);
}

/// A part of the echo of what was typed, in milliseconds.
fn echo(report: &Report, part: Option<&str>, rank: &str) -> f64 {
    let echo = &report.json["echo_ms"];
    let ranks = part.map_or(echo, |part| &echo[part]);
    ranks[rank].as_f64().unwrap_or_else(|| panic!("no {part:?} {rank} in {}", report.json))
}

#[test]
fn what_is_typed_is_answered_and_the_client_knows_when_and_why() {
    let bench = Bench::alone();
    let guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(&bench, &guest.source());
    let link = Link::to(&bench, server.address(), "rtt=100ms,seed=5");
    let text = "how long does a key take\n";
    for (name, address, rtt_ms) in [("near", server.address(), 0.0), ("far", link.address(), 100.0)] {
        let report = Client::answered(&bench, name, address, &["--type", text, "--type-interval", "150"]);
        println!("{name}: {}", report.json["echo_ms"]);
        let told = report.json["echo_ms"]["n"].as_u64().unwrap_or(0);
        assert!(told * 10 >= text.len() as u64 * 8, "{told} of {} keys: {}", text.len(), report.json);
        assert!(echo(&report, Some("network"), "p50") >= rtt_ms, "less than the round trip: {}", report.json);
        assert!(echo(&report, None, "p50") < rtt_ms + 500.0, "{}", report.json);
    }
    println!("the link: {}", link.close());
    server.close();
}
