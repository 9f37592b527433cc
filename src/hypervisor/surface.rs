//! What a surface's numbers mean in bytes.

use crate::hypervisor::{Reading, Span, Surface};
use crate::limits::CELL;

impl Surface {
    /// Bytes of a row's pixels, without padding.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        usize::from(self.size.width) * self.format.bytes()
    }

    /// Bytes of all pixels, rows without padding: the length of a shadow.
    #[must_use]
    pub fn shadow_bytes(&self) -> usize {
        self.row_bytes() * usize::from(self.size.height)
    }

    /// Bytes of one row of a whole cell.
    #[must_use]
    pub const fn cell_row_bytes(&self) -> usize {
        CELL as usize * self.format.bytes()
    }

    /// Where the last pixel ends, in bytes from the start of the memory; `None` if rows overlap, the size is one
    /// that no surface may have, or the end is beyond all memory.
    #[must_use]
    pub fn end_bytes(&self) -> Option<u64> {
        let rows_before = u64::from(self.size.height).checked_sub(1)?;
        let sound = crate::geometry::Size::new(self.size.width, self.size.height).is_some()
            && self.stride_bytes as usize >= self.row_bytes();
        let pixels = rows_before * u64::from(self.stride_bytes) + self.row_bytes() as u64;
        self.offset_bytes.checked_add(pixels).filter(|_| sound)
    }
}

impl Span {
    /// Where in a row of `surface` its pixels lie, in bytes.
    #[must_use]
    pub fn bytes_of_row(&self, surface: &Surface) -> std::ops::Range<usize> {
        let at = |column: u16| (usize::from(column) * surface.cell_row_bytes()).min(surface.row_bytes());
        at(self.first)..at(self.end)
    }

    /// Whether it is not empty and lies inside `surface`, in one row of cells.
    #[must_use]
    pub fn lies_in(&self, surface: &Surface) -> bool {
        let end = u32::from(self.y) + u32::from(self.height);
        let last = end.saturating_sub(1) / u32::from(CELL);
        self.height > 0
            && self.first < self.end
            && self.end <= surface.size.grid().columns
            && end <= u32::from(surface.size.height)
            && u32::from(self.y / CELL) == last
    }
}

impl Reading {
    /// A sweep of all of `surface`.
    #[must_use]
    pub fn whole(surface: &Surface) -> Self {
        Self { bytes: surface.shadow_bytes() as u64, notified: false }
    }

    /// A probe of `spans`.
    #[must_use]
    pub fn of_spans(surface: &Surface, spans: &[Span]) -> Self {
        let bytes = |span: &Span| span.bytes_of_row(surface).len() as u64 * u64::from(span.height);
        Self { bytes: spans.iter().map(bytes).sum(), notified: false }
    }
}
