//! The same identity through a bad network.

use std::time::Duration;

use crate::harness::{Bench, Client, Display, Guest, Link, PATIENCE, Server, assert_same};

/// A fifth lost, a tenth doubled, and reordering, in both directions.
const BAD: &str = "loss=20%,dup=10%,reorder=10%,reorder-by=20ms,rtt=20ms,seed=7";

#[test]
fn identity_holds_under_loss_duplication_and_reordering() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.frame_ms=250");
    let server = Server::of(&bench, &guest.source());
    let link = Link::to(&bench, server.address(), BAD);
    let mut client =
        Client::start(&bench, "stopped", link.address(), &["--settle", "2000", "--seconds", "60"]);
    client.wait_picture();
    // It moves until it is stopped: the client does not settle before.
    guest.command("clear");
    guest.command("clear");
    guest.stop();
    let report = client.finish();
    assert!(report.exact(), "settled without proof: {}", report.json);
    assert_same("loss-stopped", report.picture(), &guest.screendump());
    guest.cont();
    // Keys go through too, each once and in order.
    guest.command("quiet");
    let report = Client::run(
        &bench,
        "typist",
        link.address(),
        &["--type", "a bad link is still a link\n", "--settle", "2000", "--seconds", "60"],
    );
    guest.wait_line("typed: a bad link is still a link", 1);
    assert_same("loss-typed", report.picture(), &guest.settle());
    assert!(report.number("cells_repaired") > 0, "nothing had to be repaired: {}", report.json);
    println!("the link: {}", link.close());
}

#[test]
fn identity_returns_after_a_blackout_of_ten_seconds() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(&bench, &guest.source());
    let mut link = Link::to(&bench, server.address(), "rtt=20ms,seed=3");
    let before = guest.settle();
    let mut client = Client::start(&bench, "client", link.address(), &["--seconds", "90"]);
    client.wait_shows(&before, PATIENCE);
    link.blackout(Duration::from_secs(10));
    // The guest goes on meanwhile.
    guest.command("clear");
    guest.command("help");
    let after = guest.settle();
    assert_ne!(before, after);
    // The ten seconds, and what the client needs to be up to date again.
    client.wait_shows(&after, Duration::from_secs(20));
    client.interrupt();
    let (_, report) = client.end();
    assert_same("blackout", report.picture(), &after);
}
