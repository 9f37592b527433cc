//! Copy, and compare and copy, of one row of foreign memory: each byte is loaded once.

use crate::kernel::compare::Columns;
use crate::kernel::cpu::Level;

/// Copies `out.len()` bytes from `source`, reading each once.
///
/// # Safety
/// So many bytes from `source` can be read.
pub(super) unsafe fn copy_once(mut source: *const u8, out: &mut [u8]) {
    let (head, rest) = out.split_at_mut(source.align_offset(8).min(out.len()));
    let mut words = rest.chunks_exact_mut(8);
    // SAFETY: the steps add up to `out.len()` bytes; words are read where `source` is aligned for them.
    unsafe {
        for byte in head {
            *byte = source.read_volatile();
            source = source.add(1);
        }
        for word in &mut words {
            word.copy_from_slice(&source.cast::<u64>().read_volatile().to_ne_bytes());
            source = source.add(8);
        }
        for byte in words.into_remainder() {
            *byte = source.read_volatile();
            source = source.add(1);
        }
    }
}

/// Compares and copies one row, in cell columns of `cell_bytes` (32, 48 or 64) bytes.
///
/// # Safety
/// `shadow.len()` bytes from `source` can be read; the CPU has `level`.
pub(super) unsafe fn sweep_row(
    level: Level,
    cell_bytes: usize,
    source: *const u8,
    shadow: &mut [u8],
    changed: &mut Columns,
) {
    // SAFETY: as the caller promises.
    unsafe {
        match (level, cell_bytes) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 64) => x86::row_avx2::<2>(source, shadow, changed),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 48) => x86::row_avx2_48(source, shadow, changed),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 32) => x86::row_avx2::<1>(source, shadow, changed),
            #[cfg(target_arch = "x86_64")]
            (Level::Sse2, 64) => x86::row_sse2::<4>(source, shadow, changed),
            #[cfg(target_arch = "x86_64")]
            (Level::Sse2, 48) => x86::row_sse2::<3>(source, shadow, changed),
            #[cfg(target_arch = "x86_64")]
            (Level::Sse2, 32) => x86::row_sse2::<2>(source, shadow, changed),
            _ => row_scalar(cell_bytes, 0, source, shadow, changed),
        }
    }
}

/// The reference, and the ragged end of a row: cells of `cell_bytes` (at most 64), the first of them in column
/// `column`.
///
/// # Safety
/// `shadow.len()` bytes from `source` can be read.
unsafe fn row_scalar(
    cell_bytes: usize,
    column: usize,
    source: *const u8,
    shadow: &mut [u8],
    changed: &mut Columns,
) {
    for (cell, old) in shadow.chunks_mut(cell_bytes).enumerate() {
        let mut new = [0; 64];
        let new = &mut new[..old.len()];
        // SAFETY: this cell lies inside the row.
        unsafe { copy_once(source.add(cell * cell_bytes), new) };
        if new != old {
            old.copy_from_slice(new);
            changed.insert(column + cell);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The vector kernels. Foreign bytes are loaded by `asm!`, so that no optimisation reads them twice.

    use std::arch::asm;
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_setzero_si128, _mm_storeu_si128, _mm_xor_si128, _mm256_cmpeq_epi8, _mm256_loadu_si256,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_setzero_si256, _mm256_storeu_si256, _mm256_testz_si256,
        _mm256_xor_si256,
    };

    use super::{Columns, row_scalar};

    /// Cells of `VECTORS` times 32 bytes.
    ///
    /// # Safety
    /// `shadow.len()` bytes from `source` can be read; the CPU has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn row_avx2<const VECTORS: usize>(
        source: *const u8,
        shadow: &mut [u8],
        changed: &mut Columns,
    ) {
        let bytes = VECTORS * 32;
        let mut cells = shadow.chunks_exact_mut(bytes);
        let mut column = 0;
        // SAFETY: reads of `source` stay inside the row, those and writes of `old` inside the cell.
        unsafe {
            for old in &mut cells {
                let at = source.add(column * bytes);
                let mut new = [_mm256_setzero_si256(); VECTORS];
                let mut differs = _mm256_setzero_si256();
                for (index, new) in new.iter_mut().enumerate() {
                    *new = load_256(at.add(index * 32));
                    let old = _mm256_loadu_si256(old.as_ptr().add(index * 32).cast());
                    differs = _mm256_or_si256(differs, _mm256_xor_si256(*new, old));
                }
                if _mm256_testz_si256(differs, differs) == 0 {
                    for (index, new) in new.iter().enumerate() {
                        _mm256_storeu_si256(old.as_mut_ptr().add(index * 32).cast(), *new);
                    }
                    changed.insert(column);
                }
                column += 1;
            }
            row_scalar(bytes, column, source.add(column * bytes), cells.into_remainder(), changed);
        }
    }

    /// Cells of 48 bytes, two at a time: their border lies in the middle of the second vector.
    ///
    /// # Safety
    /// `shadow.len()` bytes from `source` can be read; the CPU has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn row_avx2_48(source: *const u8, shadow: &mut [u8], changed: &mut Columns) {
        let mut pairs = shadow.chunks_exact_mut(96);
        let mut column = 0;
        // SAFETY: reads of `source` stay inside the row, those and writes of `old` inside the pair.
        unsafe {
            for old in &mut pairs {
                let at = source.add(column * 48);
                let mut new = [_mm256_setzero_si256(); 3];
                let mut differs = [_mm256_setzero_si256(); 3];
                for index in 0..3 {
                    new[index] = load_256(at.add(index * 32));
                    let old = _mm256_loadu_si256(old.as_ptr().add(index * 32).cast());
                    differs[index] = _mm256_xor_si256(new[index], old);
                }
                let any = _mm256_or_si256(_mm256_or_si256(differs[0], differs[1]), differs[2]);
                if _mm256_testz_si256(any, any) == 0 {
                    let mut same = [0_u32; 3];
                    for index in 0..3 {
                        _mm256_storeu_si256(old.as_mut_ptr().add(index * 32).cast(), new[index]);
                        let zeros = _mm256_cmpeq_epi8(differs[index], _mm256_setzero_si256());
                        same[index] = _mm256_movemask_epi8(zeros) as u32;
                    }
                    if same[0] != u32::MAX || same[1] & 0xffff != 0xffff {
                        changed.insert(column);
                    }
                    if same[1] >> 16 != 0xffff || same[2] != u32::MAX {
                        changed.insert(column + 1);
                    }
                }
                column += 2;
            }
            row_scalar(48, column, source.add(column * 48), pairs.into_remainder(), changed);
        }
    }

    /// Cells of `VECTORS` times 16 bytes.
    ///
    /// # Safety
    /// `shadow.len()` bytes from `source` can be read.
    pub(super) unsafe fn row_sse2<const VECTORS: usize>(
        source: *const u8,
        shadow: &mut [u8],
        changed: &mut Columns,
    ) {
        let bytes = VECTORS * 16;
        let mut cells = shadow.chunks_exact_mut(bytes);
        let mut column = 0;
        // SAFETY: reads of `source` stay inside the row, those and writes of `old` inside the cell. SSE2 belongs to
        // x86-64.
        unsafe {
            for old in &mut cells {
                let at = source.add(column * bytes);
                let mut new = [_mm_setzero_si128(); VECTORS];
                let mut differs = _mm_setzero_si128();
                for (index, new) in new.iter_mut().enumerate() {
                    *new = load_128(at.add(index * 16));
                    let old = _mm_loadu_si128(old.as_ptr().add(index * 16).cast());
                    differs = _mm_or_si128(differs, _mm_xor_si128(*new, old));
                }
                if _mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) != 0xffff {
                    for (index, new) in new.iter().enumerate() {
                        _mm_storeu_si128(old.as_mut_ptr().add(index * 16).cast(), *new);
                    }
                    changed.insert(column);
                }
                column += 1;
            }
            row_scalar(bytes, column, source.add(column * bytes), cells.into_remainder(), changed);
        }
    }

    /// # Safety
    /// 32 bytes from `source` can be read; the CPU has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_256(source: *const u8) -> __m256i {
        let vector;
        // SAFETY: one load, of the bytes that the caller names.
        unsafe {
            asm!("vmovdqu {0}, [{1}]", out(ymm_reg) vector, in(reg) source, options(nostack, preserves_flags, readonly));
        }
        vector
    }

    /// # Safety
    /// 16 bytes from `source` can be read.
    #[inline]
    unsafe fn load_128(source: *const u8) -> __m128i {
        let vector;
        // SAFETY: one load, of the bytes that the caller names.
        unsafe {
            asm!("movdqu {0}, [{1}]", out(xmm_reg) vector, in(reg) source, options(nostack, preserves_flags, readonly));
        }
        vector
    }
}
