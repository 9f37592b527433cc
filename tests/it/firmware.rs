//! Guests that are nobody's operating system: nothing here depends on what runs in a guest.

use std::time::Duration;

use crate::harness::{Bench, Client, Guest, PATIENCE, Server, assert_same, wait_for};

/// OVMF's own screen: the UEFI shell.
#[test]
fn a_firmware_screen_is_shown_as_it_is() {
    let bench = Bench::new();
    let mut guest = Guest::firmware(&bench, "ovmf", None);
    let server = Server::of(&bench, &guest.source());
    wait_for("the firmware's linear mode", PATIENCE, || {
        let dump = guest.screendump();
        (dump.width == 1280 && !dump.is_plain()).then_some(())
    });
    guest.stop();
    let report = Client::settled(&bench, "stopped", server.address(), &[]);
    assert_same("ovmf-stopped", report.picture(), &guest.screendump());
    guest.cont();
    // The shell counts five seconds down and then waits.
    let truth = guest.settle_for(Duration::from_millis(2500));
    let report = Client::settled(&bench, "shell", server.address(), &[]);
    assert_same("ovmf-shell", report.picture(), &truth);
    // It answers a key, with no driver of anybody's in between.
    let report = Client::answered(&bench, "typed", server.address(), &["--type", "ver\n"]);
    let after = guest.settle();
    assert_ne!(after, truth, "the shell did not answer");
    assert_same("ovmf-typed", report.picture(), &after);
}

/// memtest86+ 6 under OVMF sets 640x480 at 32 bits; from a BIOS it stays in text mode.
#[test]
fn memtest_is_shown_as_it_is() {
    let bench = Bench::new();
    let mut guest = Guest::firmware(&bench, "memtest", Some("/boot/memtest86+x64.efi"));
    let server = Server::of(&bench, &guest.source());
    wait_for("memtest86+ to paint", PATIENCE, || {
        let dump = guest.screendump();
        (dump.width == 640 && dump.height == 480 && !dump.is_plain()).then_some(())
    });
    let mut client = Client::start(&bench, "client", server.address(), &["--seconds", "300"]);
    client.wait_picture();
    guest.stop();
    client.wait_shows(&guest.screendump(), PATIENCE);
    let report = Client::settled(&bench, "stopped", server.address(), &[]);
    assert_same("memtest-stopped", report.picture(), &guest.screendump());
    // It goes on, and so does the picture of who had been watching.
    guest.cont();
    let stopped = report.picture();
    wait_for("the client to see it move", PATIENCE, || {
        (client.shows().as_ref() != Some(stopped)).then_some(())
    });
}
