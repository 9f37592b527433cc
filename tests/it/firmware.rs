//! Guests that are nobody's operating system: nothing here depends on what runs in a guest.

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
    let truth = guest.settle();
    let report = Client::settled(&bench, "shell", server.address(), &[]);
    assert_same("ovmf-shell", report.picture(), &truth);
    // It answers a key, with no driver of anybody's in between.
    let report = Client::settled(&bench, "typed", server.address(), &["--type", "ver\n"]);
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
    let mut client =
        Client::start(&bench, "client", server.address(), &["--settle", "1000", "--seconds", "60"]);
    client.wait_picture();
    guest.stop();
    let report = client.finish();
    assert!(report.exact(), "settled without proof: {}", report.json);
    assert_same("memtest-stopped", report.picture(), &guest.screendump());
}
