//! Records onto the picture: what applies, what is done already, what is refused.

use lfp_proto::depth::Depth;
use lfp_proto::frame::{Pixels, Refusal};
use lfp_proto::geometry::{CellRect, PixelRect, Size};
use lfp_proto::limits::RECORD_CELLS_MAX;
use lfp_proto::record::{Base, Record};
use lfp_proto::technique::base::{BaseView, base_cells};
use lfp_proto::technique::cache::{Store, Use};
use lfp_proto::technique::{self, BaseUse, Technique, copy};
use lfp_proto::units::PacketNumber;

use crate::cache::Cache;
use crate::framebuffer::{Framebuffer, Painted};
use crate::limits::SCRATCH_PIXELS_KEPT;
use crate::surface::Surface;

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It changed these cells.
    Applied(CellRect, Painted),
    /// What it builds on is in the cache now; it changed no cell.
    Stored,
    /// Every cell of the picture, or the slot of the cache, had the same or newer content.
    Superseded,
    /// A reason held against it.
    Refused(Refusal),
}

/// Applies records; keeps what decoding needs between them.
#[derive(Debug)]
pub(crate) struct Applier {
    scratch: technique::Scratch,
    pixels: Vec<u32>,
}

impl Applier {
    /// Of records of pixels of `depth`.
    pub(crate) fn new(depth: Depth) -> Self {
        Self { scratch: technique::Scratch::new(depth), pixels: Vec::new() }
    }

    /// Applies `record` of `frame`, which came in packet `number`.
    // SPEC [LFP-7.5]: A client MUST refuse a record for which a reason holds, and MUST NOT change any cell for it.
    pub(crate) fn apply(
        &mut self,
        surface: Option<&mut Surface>,
        frame: &Pixels<'_>,
        record: &Record<'_>,
        number: PacketNumber,
    ) -> Outcome {
        match self.try_apply(surface, frame, record, number) {
            Ok(outcome) => outcome,
            Err(reason) => Outcome::Refused(reason),
        }
    }

    fn try_apply(
        &mut self,
        surface: Option<&mut Surface>,
        frame: &Pixels<'_>,
        record: &Record<'_>,
        number: PacketNumber,
    ) -> Result<Outcome, Refusal> {
        let surface = surface.filter(|surface| surface.id() == frame.surface).ok_or(Refusal::Surface)?;
        let epoch = surface.epoch();
        let framebuffer = surface.live_mut().ok_or(Refusal::Surface)?;
        if frame.epoch != epoch {
            return Err(Refusal::Epoch);
        }
        let cells = record.cells;
        if !framebuffer.grid().contains(cells) || cells.cells() > RECORD_CELLS_MAX {
            return Err(Refusal::Cells);
        }
        // SPEC [LFP-6.1]: A client MUST refuse a record whose content number is not above 0 (reason content).
        let content = record.content(number).ok_or(Refusal::Content)?;
        let technique = Technique::from_wire(record.technique).ok_or(Refusal::Technique)?;
        let slot = base_of(technique, record.base)?;
        if technique == Technique::Store {
            return self.store(record, slot, framebuffer);
        }
        if !framebuffer.takes(cells, content) {
            return Ok(Outcome::Superseded);
        }
        let moved = match slot {
            Some((slot, check)) if technique == Technique::Copy => {
                let from = source(record, slot, check, framebuffer)?;
                framebuffer.paint_from(cells, content, slot, from)
            }
            _ => None,
        };
        let painted = match moved {
            Some(painted) => painted,
            None => {
                let Self { scratch, pixels } = self;
                decode(technique, record, slot, framebuffer, scratch, pixels)?;
                let painted = framebuffer.paint(cells, content, pixels);
                self.trim();
                painted
            }
        };
        // If none was painted, a reference alone took it.
        Ok(if painted.cells > 0 { Outcome::Applied(cells, painted) } else { Outcome::Superseded })
    }

    /// Keeps what a store names in the cache.
    fn store(
        &mut self,
        record: &Record<'_>,
        base: Option<(u8, u32)>,
        framebuffer: &mut Framebuffer,
    ) -> Result<Outcome, Refusal> {
        let known = Store::parse(record.payload).map(|store| framebuffer.cache().takes(store.stored));
        if known == Ok(false) {
            return Ok(Outcome::Superseded);
        }
        let mut kept = Vec::new();
        decode(Technique::Store, record, base, framebuffer, &mut self.scratch, &mut kept)?;
        let stored = Store::parse(record.payload)?.stored;
        Cache::check(stored, record.cells.cells())?;
        let PixelRect { width, height, .. } = framebuffer.size().clip(record.cells);
        framebuffer.cache_mut().keep(stored, Size { width, height }, kept);
        Ok(Outcome::Stored)
    }

    /// Lets go of what one large record took.
    fn trim(&mut self) {
        if self.pixels.capacity() > SCRATCH_PIXELS_KEPT {
            self.pixels = Vec::new();
            self.scratch = technique::Scratch::new(self.scratch.depth);
        }
    }
}

/// Where in reference `slot` the pixels of a copy lie.
fn source(
    record: &Record<'_>,
    slot: u8,
    check: u32,
    framebuffer: &Framebuffer,
) -> Result<PixelRect, Refusal> {
    let (size, area) = (framebuffer.size(), framebuffer.size().clip(record.cells));
    let cells = base_cells(Technique::Copy, record.payload, area, size)?;
    framebuffer.base(slot, cells, check).ok_or(Refusal::Base)?;
    // Its pixels have been checked to be of the depth when they came.
    copy::parse(record.payload)?.inside(area, size).ok_or(Refusal::Payload)
}

/// Decodes into `out`: the whole clipped rectangle, or one pixel if all have its colour.
// SPEC [LFP-7.7]: A payload MUST be decoded in full, within the size of its own rectangle, before the first cell
// changes.
fn decode(
    technique: Technique,
    record: &Record<'_>,
    base: Option<(u8, u32)>,
    framebuffer: &Framebuffer,
    scratch: &mut technique::Scratch,
    out: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let size = framebuffer.size();
    let area = match technique {
        Technique::Colour => PixelRect { x: 0, y: 0, width: 1, height: 1 },
        Technique::Raw
        | Technique::Bitmap
        | Technique::PixelScan
        | Technique::Trixel
        | Technique::Lossy
        | Technique::Store
        | Technique::Use
        | Technique::Copy
        | Technique::Dictionary => size.clip(record.cells),
    };
    let base = match base {
        None if technique == Technique::Use => {
            let Use { stored, .. } = Use::parse(record.payload)?;
            let (pixels, size) = framebuffer.cache().picture(stored).ok_or(Refusal::Cache)?;
            Some(BaseView { pixels, stride: size.width.into(), size, area })
        }
        None => None,
        Some((slot, check)) => {
            let cells = base_cells(technique, record.payload, area, size)?;
            let pixels = framebuffer.base(slot, cells, check).ok_or(Refusal::Base)?;
            Some(BaseView { pixels, stride: size.width.into(), size, area })
        }
    };
    // Exactly: what grows step by step ends up larger than is kept, and would be taken anew for each record of a good size.
    out.clear();
    out.reserve_exact(area.pixels());
    technique::decode(technique, record.payload, area, base, scratch, out)
}

/// The reference, with its check, that a record of `technique` is decoded against, if any.
// SPEC [LFP-8.1]: A client MUST refuse a record (reason base) that names a base that it does not hold or that its
// technique does not read, that names none though its technique reads one, of whose base cells one has content 0 there,
// or whose check differs.
const fn base_of(technique: Technique, base: Base) -> Result<Option<(u8, u32)>, Refusal> {
    match (technique.base_use(), base) {
        (BaseUse::Never | BaseUse::May, Base::None) => Ok(None),
        (BaseUse::May | BaseUse::Must, Base::Reference { slot, check }) => Ok(Some((slot, check))),
        _ => Err(Refusal::Base),
    }
}

#[cfg(test)]
mod tests {
    use lfp_proto::record::Context;
    use lfp_proto::technique::dictionary;
    use lfp_proto::units::Epoch;

    use super::*;

    #[test]
    fn the_buffer_of_a_record_that_is_not_too_large_is_kept() {
        let size = Size::new(640, 480).expect("legal");
        let framebuffer = Framebuffer::new(size, Epoch(1), 1);
        let cells = CellRect { x: 0, y: 0, width: 15, height: 16 };
        let pixels = vec![0x12_34_56; size.clip(cells).pixels()];
        assert!(pixels.len() <= SCRATCH_PIXELS_KEPT);
        let mut payload = Vec::new();
        dictionary::Encoder::default().encode(&pixels, 240, None, 1_000, &mut payload);
        let record = Record::new(Technique::Dictionary, Context::Unknown, cells, &payload);
        let mut applier = Applier::new(Depth::Bits24);
        let Applier { scratch, pixels: decoded } = &mut applier;
        decode(Technique::Dictionary, &record, None, &framebuffer, scratch, decoded).expect("legal");
        assert_eq!(*decoded, pixels);
        applier.trim();
        assert_eq!(applier.pixels.len(), pixels.len(), "nothing was let go of");
    }
}
