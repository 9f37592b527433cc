//! What a surface's numbers mean in bytes.

use crate::hypervisor::Surface;
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
