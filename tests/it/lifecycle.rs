//! Guests die, restart, leave their linear mode and change it, while a client watches.

use std::time::Duration;

use lfp::clock;

use crate::harness::{Bench, Client, Display, Guest, PATIENCE, Server};

/// A client knows within this time what became of its guest.
const SOON: Duration = Duration::from_secs(1);

/// A guest, its server, and a client that shows it as it is.
fn watched(bench: &Bench) -> (Guest, Server, Client) {
    let mut guest = Guest::boot(bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(bench, &guest.source());
    let truth = guest.settle();
    let mut client = Client::start(bench, "client", server.address(), &["--seconds", "120"]);
    client.wait_shows(&truth, PATIENCE);
    (guest, server, client)
}

#[test]
fn a_guest_dies_and_another_takes_its_place() {
    let bench = Bench::alone();
    let (mut guest, server, mut client) = watched(&bench);
    guest.kill();
    client.wait_dark(SOON);
    drop(guest);
    // The new one is reached by the same name, and is another machine with another screen.
    let mut guest = Guest::boot(&bench, "guest", Display::Vga24, "lfp.quiet=1");
    let truth = guest.settle();
    client.wait_shows(&truth, PATIENCE);
    // A client that comes while there is no guest is told so, and gets the picture when there is one.
    guest.kill();
    client.wait_dark(SOON);
    let mut late = Client::start(&bench, "late", server.address(), &["--seconds", "120"]);
    drop(guest);
    let mut guest = Guest::boot(&bench, "guest", Display::Bochs, "lfp.quiet=1");
    let truth = guest.settle();
    client.wait_shows(&truth, PATIENCE);
    late.wait_shows(&truth, PATIENCE);
    drop(guest);
    client.wait_dark(SOON);
    client.interrupt();
    let (_, report) = client.end();
    assert_eq!(report.json["surface"], "gone", "{}", report.json);
    server.close();
}

#[test]
fn a_client_whose_server_was_killed_ends_soon() {
    let bench = Bench::alone();
    let server = Server::of(&bench, "synthetic:idle");
    let mut client =
        Client::start(&bench, "client", server.address(), &["--seconds", "120", "--reconnect", "0"]);
    client.wait_picture();
    server.kill();
    // At the latest it speaks after five seconds of rest, and hears for two that nobody listens.
    let ended = clock::poll_for(Duration::from_secs(10), || client.ended().then_some(()));
    assert!(ended.is_some(), "the client waits for a server that is gone");
    let (code, report) = client.end();
    assert_eq!((code, &report.json["state"]), (Some(3), &"unreachable".into()));
}

#[test]
fn a_guest_reboots() {
    let bench = Bench::alone();
    let (mut guest, _server, mut client) = watched(&bench);
    guest.reset();
    // The firmware's text mode has no linear framebuffer.
    client.wait_dark(SOON * 2);
    guest.wait_line("ready ", 2);
    let truth = guest.settle();
    client.wait_shows(&truth, PATIENCE);
}

#[test]
fn a_guest_leaves_its_linear_mode_and_changes_it() {
    let bench = Bench::alone();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let server = Server::of(&bench, &guest.source());
    let mut client = Client::start(&bench, "client", server.address(), &["--seconds", "300"]);
    client.wait_picture();
    guest.command("text");
    client.wait_dark(SOON);
    // Size, depth, and the place in video memory.
    for change in
        ["mode 1024x768x32", "pan", "mode 800x600x16", "mode 640x480x15", "mode 1024x768x24", "pan", "pan"]
    {
        guest.command(change);
        let truth = guest.settle();
        client.wait_shows(&truth, PATIENCE);
    }
    // A client that comes later sees the same.
    let truth = guest.settle();
    let report = Client::settled(&bench, "late", server.address(), &[]);
    crate::harness::assert_same("late", report.picture(), &truth);
    server.close();
}
