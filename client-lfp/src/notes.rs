//! What is known of each cell beside its pixels, for those who want to see why a picture looks as it does.

use lfp_proto::geometry::CellRect;
use lfp_proto::record::{Context, Record};
use lfp_proto::technique::Technique;
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;

use crate::framebuffer::Framebuffer;

/// How a cell came to show what it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellNote {
    /// What the server took its region for.
    pub context: Context,
    /// What it was painted with.
    pub technique: Technique,
    /// When it was painted.
    pub at: Instant,
    /// Whether the server has been told that it is missing or wrong here.
    pub suspect: bool,
}

/// The notes of one picture, if they are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    kept: bool,
    /// By cell, row-major; `None`: never painted.
    cells: Vec<Option<CellNote>>,
}

impl Notes {
    /// Notes of no picture yet; none are ever made unless `kept`.
    pub(crate) const fn new(kept: bool) -> Self {
        Self { kept, cells: Vec::new() }
    }

    /// A new picture, or none.
    pub(crate) fn on_epoch(&mut self, framebuffer: Option<&Framebuffer>) {
        if let Some(framebuffer) = framebuffer.filter(|_| self.kept) {
            self.cells.clear();
            self.cells.resize(framebuffer.grid().cells(), None);
        }
    }

    /// `record` of packet `number` has been applied to `framebuffer`: those of its cells that took it show its content now.
    pub(crate) fn on_record(
        &mut self,
        record: &Record<'_>,
        number: PacketNumber,
        framebuffer: &Framebuffer,
        now: Instant,
    ) {
        let Some((content, technique)) =
            record.content(number).zip(Technique::from_wire(record.technique)).filter(|_| self.kept)
        else {
            return;
        };
        let note =
            CellNote { context: Context::from_wire(record.context), technique, at: now, suspect: false };
        for index in record.cells.indices(framebuffer.grid()) {
            if framebuffer.shows(index, content) {
                self.cells[index] = Some(note);
            }
        }
    }

    /// `cells` of `framebuffer` are what they were in a session before; what made them is forgotten.
    pub(crate) fn on_kept(&mut self, cells: CellRect, framebuffer: &Framebuffer, now: Instant) {
        let (context, technique) = (Context::Unknown, Technique::Copy);
        if self.kept {
            for index in cells.indices(framebuffer.grid()) {
                self.cells[index].get_or_insert(CellNote { context, technique, at: now, suspect: false });
            }
        }
    }

    /// The note of cell `index`, if it has been painted, of the picture `framebuffer`.
    pub(crate) fn get(&self, index: usize, framebuffer: &Framebuffer) -> Option<CellNote> {
        let note = self.cells.get(index).copied().flatten()?;
        Some(CellNote { suspect: framebuffer.is_suspect(index), ..note })
    }
}
