//! What the server marks and proves.

use client_lfp::Picture as Shown;
use lfp::scan::Picture;
use lfp_proto::frame::{Digest, DigestReply, Mark, Verdict};

use super::Ledger;
use crate::totals::Totals;
use crate::truth::{Truth, checksum};

impl Ledger {
    /// LFP-13.1.
    pub(super) fn on_mark(&self, mark: &Mark, truth: &Truth, totals: &mut Totals) {
        assert_eq!(mark.epoch, self.epoch, "marks are of the newest epoch");
        assert!(mark.last.0 <= self.down_largest, "a mark names packets that have been sent");
        let tick = truth.tick(mark.tick).expect("a mark names a tick");
        assert_eq!((tick.epoch, tick.captured.as_micros()), (mark.epoch, mark.captured_us), "{mark:?}");
        let picture = truth.picture(mark.tick).expect("marks are of live ticks");
        let (grid, cells) = (picture.size.grid(), &self.epochs[&mark.epoch.0].cells);
        for y in 0..grid.rows {
            for x in 0..grid.columns {
                let sent = cells[grid.index(x, y)].last().map_or(0, |(_, tick)| *tick);
                let changed = picture.changed_at(x, y);
                // What is again, in that tick or a newer one, what was sent need not be sent again.
                let newest = truth.newest().map_or(0, |tick| tick.number);
                let shows = |number: u64| {
                    let pictures = truth.picture(number).zip(truth.picture(sent));
                    pictures.is_some_and(|(now, sent)| now.tile(x, y) == sent.tile(x, y))
                };
                let again = || {
                    truth.tick(sent).is_some_and(|tick| tick.epoch == mark.epoch)
                        && (mark.tick..=newest).any(shows)
                };
                assert!(
                    sent >= changed || again(),
                    "LFP-13.1: {mark:?}, but the cell {x}, {y} of tick {changed} has been sent as of tick {sent} only"
                );
            }
        }
        totals.one("marks");
    }

    /// LFP-11.1, the half that protects the user: what was newest at some time since the question came is *exact*.
    pub(super) fn on_reply(&mut self, reply: DigestReply, truth: &Truth, totals: &mut Totals) {
        let asked = self.digests.get_mut(&reply.id).expect("a reply answers a digest");
        let first = !std::mem::replace(&mut asked.answered, true);
        if !first {
            return totals.one("digest replies repeated");
        }
        totals.one(match reply.verdict {
            Verdict::Exact => "digests exact",
            Verdict::Unsettled => "digests unsettled",
            Verdict::Differs => "digests that differ",
        });
        // LFP-11.2: a server knows what its client shows, as long as nobody paints over it.
        assert!(
            reply.verdict != Verdict::Differs || asked.poisoned,
            "{:?} differs, and nobody knows why",
            asked.digest
        );
        if reply.verdict != Verdict::Exact {
            return;
        }
        let (digest, newest) = (asked.digest, truth.newest().map_or(0, |tick| tick.number));
        let exact = |number: u64| {
            let of_epoch = truth.tick(number).is_some_and(|tick| tick.epoch == digest.epoch);
            let picture = truth.picture(number).filter(|_| of_epoch);
            let pixel = |picture: &Picture, x: u16, y: u16| {
                picture.tile(x / 16, y / 16)[usize::from(y % 16) * 16 + usize::from(x % 16)]
            };
            picture.is_some_and(|picture| {
                checksum(picture.size, digest.cells, |x, y| pixel(picture, x, y)) == digest.pixels
            })
        };
        let since = asked.came_in_tick.expect("a digest is answered after it came");
        assert!(
            (since..=newest).rev().any(exact),
            "LFP-11.1: {digest:?} is called exact, and is not what ticks {since} to {newest} show"
        );
    }
}

pub(super) fn assert_digest(digest: &Digest, shown: Option<&Shown<'_>>) {
    let shown = shown.expect("a digest of a picture");
    assert_eq!(shown.epoch, digest.epoch, "a digest is of the epoch shown");
    let width = usize::from(shown.size.width);
    let pixels =
        checksum(shown.size, digest.cells, |x, y| shown.pixels[usize::from(y) * width + usize::from(x)]);
    assert_eq!(pixels, digest.pixels, "the digest is of the client's own pixels");
    let mut contents = crc32fast::Hasher::new();
    for index in digest.cells.indices(shown.size.grid()) {
        contents.update(&shown.contents[index].to_le_bytes());
    }
    assert_eq!(contents.finalize(), digest.contents, "the digest is of the client's own contents");
}
