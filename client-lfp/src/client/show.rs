//! What comes of the surface: its epochs, its pixels, and the server's word on them.

use lfp_proto::frame::{DigestReply, Hold, Pixels, Refusal, Surface as SurfaceFrame, Verdict};
use lfp_proto::technique::Technique;
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;

use super::Client;
use crate::apply::Outcome;
use crate::surface::Surface;

impl Client {
    pub(super) fn on_surface(&mut self, now: Instant, frame: &SurfaceFrame<'_>) {
        let renewed = match &mut self.surface {
            Some(surface) => surface.update(frame),
            None => {
                self.surface = Some(Surface::new(frame, self.references, self.kept.take()));
                true
            }
        };
        if renewed {
            self.stats.epochs += 1;
            self.marks.on_epoch(&mut self.stats);
            self.echoes.on_epoch();
            let live = self.surface.as_ref().and_then(Surface::live);
            self.digests.on_epoch(live, now);
            self.notes.on_epoch(live);
            self.offer_kept(now);
        }
    }

    pub(super) fn on_hold(&mut self, number: PacketNumber, hold: &Hold) {
        let surface = self.surface.as_mut().filter(|surface| surface.id() == hold.surface);
        let framebuffer = surface.filter(|surface| surface.epoch() == hold.epoch).and_then(Surface::live_mut);
        let held = framebuffer
            .zip(hold.through(number))
            .is_some_and(|(framebuffer, through)| framebuffer.hold(hold.slot, through));
        self.stats.holds += u64::from(held);
    }

    pub(super) fn on_pixels(
        &mut self,
        now: Instant,
        number: PacketNumber,
        pixels: &Pixels<'_>,
        index: &mut u16,
        refused: &mut Vec<(u16, Refusal)>,
    ) {
        self.dialogue.on_pixels();
        if self.offering.is_empty() {
            self.offering.end();
        }
        for record in pixels.records() {
            self.stats.came.add(record.technique, record.context, record.cells.cells(), record.encoded_len());
            match self.applier.apply(self.surface.as_mut(), pixels, &record, number) {
                Outcome::Applied(cells, painted) => {
                    self.stats.records_applied += 1;
                    self.stats.cells_applied += painted.cells as u64;
                    if let Some(content) = record.content(number) {
                        self.echoes.on_painted(now, cells, content);
                    }
                    if let Some(framebuffer) = self.surface.as_ref().and_then(Surface::live) {
                        let lossy = self.digests.on_change(cells, framebuffer, now);
                        let repaired = if lossy { painted.cells } else { painted.repaired };
                        self.stats.cells_repaired += repaired as u64;
                        self.notes.on_record(&record, number, framebuffer, now);
                        if framebuffer.blank() == 0 {
                            self.painted_at.get_or_insert(now);
                        }
                    }
                }
                Outcome::Stored => self.stats.stores += 1,
                Outcome::Superseded => self.stats.records_superseded += 1,
                Outcome::Refused(reason) => {
                    self.stats.on_refusal(reason);
                    refused.push((*index, reason));
                    let paints = record.technique != Technique::Store as u8;
                    let live = self.surface.as_mut().and_then(Surface::live_mut);
                    if let Some(framebuffer) = live.filter(|_| paints) {
                        framebuffer.suspect(record.cells);
                    }
                }
            }
            *index += 1;
        }
    }

    pub(super) fn on_verdict(&mut self, now: Instant, reply: DigestReply) {
        let Some((band, verdict)) = self.digests.on_reply(reply, now) else { return };
        match verdict {
            Verdict::Exact => {
                self.stats.digests_exact += 1;
                if self.digests.all_proven() {
                    self.marks.on_exact(now, self.offset, &mut self.stats);
                }
            }
            Verdict::Unsettled => {}
            Verdict::Differs => {
                self.stats.digests_differed += 1;
                if let Some(framebuffer) = self.surface.as_mut().and_then(Surface::live_mut) {
                    framebuffer.suspect(band);
                }
            }
        }
    }
}
