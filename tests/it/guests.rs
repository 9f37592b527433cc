//! The guests that the other tests stand on: that they paint, stand still when told to, and answer. Nothing of LFP
//! runs here; if these fail, look at QEMU and `scripts/guest-image` first.

use crate::harness::{Bench, Display, Guest};

#[test]
fn the_guest_paints_stands_still_and_answers() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga24, "lfp.quiet=1");
    let before = guest.settle();
    assert_eq!((before.width, before.height), (1024, 768));
    guest.command("help");
    assert_ne!(guest.settle(), before, "the guest did not show what was typed");
    guest.command("lively");
    let moving = guest.screendump();
    let moved =
        lfp::clock::poll_for(crate::harness::PATIENCE, || (guest.screendump() != moving).then_some(()));
    assert!(moved.is_some(), "nothing moves on the guest's screen");
}

#[test]
fn the_guest_changes_its_mode_and_reboots() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    for (width, height, depth) in [(800, 600, 16), (640, 480, 15), (1024, 768, 24), (1280, 800, 32)] {
        guest.command(&format!("mode {width}x{height}x{depth}"));
        let picture = guest.settle();
        assert_eq!((picture.width, picture.height), (width, height));
    }
    guest.reset();
    guest.wait_line("ready ", 2);
    let picture = guest.settle();
    assert_eq!((picture.width, picture.height), (1280, 800));
}
