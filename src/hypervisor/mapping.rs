//! Foreign memory: framebuffers that somebody else writes while we read.
//!
//! Such memory is never a Rust slice. This file maps it read-only and offers copies and compare-and-copy of
//! checked byte ranges through raw pointers; every byte is read exactly once, by loads that the compiler can
//! neither repeat nor drop, and everything after works on private memory.
//!
//! A mapping whose file shrinks raises SIGBUS when the lost pages are read, whatever was checked before. The
//! handler here finds the mapping in a fixed table, puts zero pages in its place and marks it lost: an error on
//! that source. Faults anywhere else go to whoever handled them before.

#![expect(unsafe_code, reason = "the one file that reads foreign memory")]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Once, OnceLock};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

use crate::geometry::CellSet;
use crate::hypervisor::Surface;
use crate::kernel::compare::Columns;
use crate::kernel::cpu::Level;
use crate::limits::{CELL, MAPPINGS_MAX};

#[cfg(test)]
mod tests;

/// A read-only shared mapping of foreign memory.
#[derive(Debug)]
pub struct Mapping {
    map: MmapRaw,
    /// The file, whose length is asked at every use; a device's cannot be.
    file: Option<File>,
    guard: &'static Guard,
}

/// Why foreign memory could not be mapped or read; goes on behind the name of the memory.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// There is nothing to map.
    #[error("is empty")]
    Empty,
    /// The kernel refused.
    #[error("cannot be mapped: {0}")]
    Map(#[from] io::Error),
    /// There are more mappings than [`MAPPINGS_MAX`].
    #[error("is one too many: {MAPPINGS_MAX} framebuffers are mapped already; serve fewer sources")]
    TooMany,
    /// The range lies outside.
    #[error("should reach up to byte {end}, and has {length} bytes")]
    Beyond {
        /// Where the range ends.
        end: u64,
        /// Bytes that there are.
        length: u64,
    },
    /// What was mapped has shrunk, or its memory has failed.
    #[error("shrank or failed while it was read")]
    Lost,
}

impl Mapping {
    /// Maps all of `file` as long as it is now.
    ///
    /// # Errors
    /// If it is empty, cannot be mapped, or is one mapping too many.
    pub fn of_file(file: File) -> Result<Self, MappingError> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let map = Self::map(&file, length)?;
        let guard = Guard::take(&map).ok_or(MappingError::TooMany)?;
        Ok(Self { map, file: Some(file), guard })
    }

    /// Maps the first `length` bytes of a device, which keeps its length.
    ///
    /// # Errors
    /// If `length` is 0, it cannot be mapped, or is one mapping too many.
    pub fn of_device(device: &File, length: usize) -> Result<Self, MappingError> {
        let map = Self::map(device, length)?;
        let guard = Guard::take(&map).ok_or(MappingError::TooMany)?;
        Ok(Self { map, file: None, guard })
    }

    fn map(file: &File, length: usize) -> Result<MmapRaw, MappingError> {
        if length == 0 {
            return Err(MappingError::Empty);
        }
        INSTALL.call_once(install_handler);
        Ok(MmapOptions::new().len(length).map_raw_read_only(file)?)
    }

    /// Bytes that can be read now.
    ///
    /// # Errors
    /// If the mapping is lost.
    pub fn length(&self) -> Result<u64, MappingError> {
        if self.guard.lost.load(Ordering::SeqCst) {
            return Err(MappingError::Lost);
        }
        let mapped = self.map.len() as u64;
        Ok(self.file_length()?.map_or(mapped, |now| now.min(mapped)))
    }

    /// Whether the file has grown since it was mapped: map it again to reach the rest.
    #[must_use]
    pub fn is_outgrown(&self) -> bool {
        matches!(self.file_length(), Ok(Some(now)) if now > self.map.len() as u64)
    }

    fn file_length(&self) -> io::Result<Option<u64>> {
        self.file.as_ref().map(|file| file.metadata().map(|metadata| metadata.len())).transpose()
    }

    /// Copies `out.len()` bytes that start at `offset`.
    ///
    /// # Errors
    /// If the range lies outside, or the mapping is lost; `out` then holds nothing of use.
    pub fn copy_out(&self, offset: u64, out: &mut [u8]) -> Result<(), MappingError> {
        let source = self.range(offset, out.len() as u64)?;
        // SAFETY: `range` says that `out.len()` bytes from `source` lie inside the mapping, which lives as long
        // as `self`; a page of it that is gone is replaced by the handler. `out` is private.
        unsafe { copy_once(source, out) };
        self.still_there()
    }

    /// Compares the pixels of `surface` with `shadow`, copies what differs, and adds each changed cell to
    /// `changed`.
    ///
    /// # Errors
    /// If the surface lies outside the mapping, or the mapping is lost; what was copied by then is in `changed`.
    ///
    /// # Panics
    /// If `shadow` or `changed` are not of the surface's size.
    pub fn sweep(
        &self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<(), MappingError> {
        self.sweep_at(Level::chosen(), surface, shadow, changed)
    }

    /// [`Mapping::sweep`] of some rows of cells.
    ///
    /// # Errors
    /// As [`Mapping::sweep`].
    ///
    /// # Panics
    /// As [`Mapping::sweep`], and if `rows` are not all of the surface's.
    pub fn sweep_rows(
        &self,
        surface: &Surface,
        rows: Range<usize>,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<(), MappingError> {
        self.sweep_rows_at(Level::chosen(), surface, rows, shadow, changed)
    }

    /// [`Mapping::sweep`] with the instructions of `level`, or of the highest level that the CPU has.
    ///
    /// # Errors
    /// As [`Mapping::sweep`].
    ///
    /// # Panics
    /// As [`Mapping::sweep`].
    pub fn sweep_at(
        &self,
        level: Level,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<(), MappingError> {
        let rows = 0..usize::from(surface.size.grid().rows);
        self.sweep_rows_at(level, surface, rows, shadow, changed)
    }

    fn sweep_rows_at(
        &self,
        level: Level,
        surface: &Surface,
        rows: Range<usize>,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<(), MappingError> {
        let grid = surface.size.grid();
        assert!(rows.end <= usize::from(grid.rows), "rows {rows:?} of {grid:?}");
        assert_eq!(changed.grid(), grid, "cells of another surface");
        assert_eq!(shadow.len(), surface.shadow_bytes(), "shadow of another surface");
        let length = self.length()?;
        let end = surface.end_bytes().unwrap_or(u64::MAX);
        if end > length {
            return Err(MappingError::Beyond { end, length });
        }
        let level = level.min(Level::detected());
        let (stride, row_bytes) = (surface.stride_bytes as usize, surface.row_bytes());
        let cell_rows = shadow.chunks_mut(row_bytes * usize::from(CELL));
        for (row_of_cells, shadow) in cell_rows.enumerate().take(rows.end).skip(rows.start) {
            let mut columns = Columns::default();
            let first = surface.offset_bytes as usize + row_of_cells * usize::from(CELL) * stride;
            for (row, shadow) in shadow.chunks_exact_mut(row_bytes).enumerate() {
                // SAFETY: `end_bytes` has checked that the last row of the surface ends inside the mapping (and,
                // since that is at most `map.len()`, that no offset overflows), and this row is none after it. The
                // mapping lives as long as `self`; a page of it that is gone is replaced by the handler. `level`
                // is one that the CPU has.
                unsafe {
                    let source = self.map.as_ptr().add(first + row * stride);
                    sweep_row(level, surface.cell_row_bytes(), source, shadow, &mut columns);
                }
            }
            let start = row_of_cells * usize::from(grid.columns);
            for column in columns.iter() {
                changed.insert(start + column);
            }
        }
        self.still_there()
    }

    /// The little-endian integer at `offset`, a multiple of 8, ordered before and after all other reads: for
    /// sequence words.
    ///
    /// # Errors
    /// If it lies outside, or the mapping is lost.
    ///
    /// # Panics
    /// If `offset` is not a multiple of 8.
    pub fn sequence(&self, offset: u64) -> Result<u64, MappingError> {
        assert!(offset % 8 == 0, "a sequence word at {offset}");
        let source = self.range(offset, 8)?;
        fence(Ordering::SeqCst);
        // SAFETY: `range` says that 8 bytes from `source` lie inside the mapping, which starts at a page, so that
        // they are aligned.
        let word = unsafe { source.cast::<u64>().read_volatile() };
        fence(Ordering::SeqCst);
        self.still_there().map(|()| u64::from_le(word))
    }

    /// A pointer to the `len` bytes at `offset`, which lie inside.
    fn range(&self, offset: u64, len: u64) -> Result<*const u8, MappingError> {
        let length = self.length()?;
        let end = offset.saturating_add(len);
        if end > length {
            return Err(MappingError::Beyond { end, length });
        }
        // SAFETY: `offset` is at most `length`, which is at most the mapping's.
        Ok(unsafe { self.map.as_ptr().add(offset as usize) })
    }

    /// What was read is what was there, unless the handler has had to step in.
    fn still_there(&self) -> Result<(), MappingError> {
        if self.guard.lost.load(Ordering::SeqCst) { Err(MappingError::Lost) } else { Ok(()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before the memory goes, so that the handler never puts pages over somebody else's.
        self.guard.release();
    }
}

/// An entry of the table that the handler searches. `end` is 0 unless a mapping stands in it.
#[derive(Debug)]
struct Guard {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static GUARDS: [Guard; MAPPINGS_MAX] = [const {
    Guard {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        lost: AtomicBool::new(false),
    }
}; MAPPINGS_MAX];

impl Guard {
    fn take(map: &MmapRaw) -> Option<&'static Self> {
        let is_free = |guard: &&Self| !guard.taken.swap(true, Ordering::SeqCst);
        let guard = GUARDS.iter().find(is_free)?;
        let start = map.as_ptr() as usize;
        guard.lost.store(false, Ordering::SeqCst);
        guard.start.store(start, Ordering::SeqCst);
        guard.end.store(start + map.len(), Ordering::SeqCst);
        Some(guard)
    }

    fn release(&self) {
        self.end.store(0, Ordering::SeqCst);
        self.taken.store(false, Ordering::SeqCst);
    }

    /// Puts zero pages in the mapping's place if `address` lies in it; says whether that went well. Runs in the
    /// signal handler: atomics and one system call.
    fn heal(&self, address: usize) -> bool {
        let (start, end) = (self.start.load(Ordering::SeqCst), self.end.load(Ordering::SeqCst));
        if !(start..end).contains(&address) {
            return false;
        }
        self.lost.store(true, Ordering::SeqCst);
        let (Some(start), Some(length)) = (NonZeroUsize::new(start), NonZeroUsize::new(end - start)) else {
            return false;
        };
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
        // SAFETY: the range is a mapping of this file's own (a guard is released before its mapping goes, and the
        // thread that faulted in it holds it), which nothing but this file's raw pointers reads.
        unsafe { mmap_anonymous(Some(start), length, ProtFlags::PROT_READ, flags) }.is_ok()
    }
}

static INSTALL: Once = Once::new();
static PREVIOUS: OnceLock<SigAction> = OnceLock::new();

fn install_handler() {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK | SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::SigAction(on_sigbus), flags, SigSet::empty());
    // SAFETY: the handler does nothing that is not async-signal-safe.
    match unsafe { sigaction(Signal::SIGBUS, &action) } {
        Ok(previous) => drop(PREVIOUS.set(previous)),
        Err(error) => tracing::warn!(%error, "no handler for SIGBUS: a shrinking framebuffer will be fatal"),
    }
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel hands a valid `siginfo_t` to a handler with SA_SIGINFO.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // A positive code comes from the kernel; only then is there an address.
    let healed = code > 0 && GUARDS.iter().any(|guard| guard.heal(address));
    if !healed {
        pass_on(signal, info, context, code);
    }
    Errno::set_raw(errno);
}

/// Does with a fault that is not ours what would have been done without us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, code: libc::c_int) {
    match PREVIOUS.get().map_or(SigHandler::SigDfl, SigAction::handler) {
        SigHandler::Handler(handler) => handler(signal),
        SigHandler::SigAction(handler) => handler(signal, info, context),
        SigHandler::SigIgn if code <= 0 => {}
        SigHandler::SigIgn | SigHandler::SigDfl => {
            let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
            // SAFETY: no handler is installed, the default is put back. Returning repeats the access that faulted,
            // which now ends the process; a signal that was sent is sent again.
            let _ = unsafe { sigaction(Signal::SIGBUS, &default) };
            if code <= 0 {
                let _ = raise(Signal::SIGBUS);
            }
        }
    }
}

/// Copies `out.len()` bytes from `source`, reading each once.
///
/// # Safety
/// So many bytes from `source` can be read.
unsafe fn copy_once(mut source: *const u8, out: &mut [u8]) {
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
unsafe fn sweep_row(
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

/// What a framebuffer device says of itself: `fb_var_screeninfo` and `fb_fix_screeninfo` of linux/fb.h, as bytes.
///
/// # Errors
/// If it is no framebuffer device.
pub fn framebuffer_info(device: &File) -> io::Result<([u8; 160], [u8; 80])> {
    const FBIOGET_VSCREENINFO: libc::c_ulong = 0x4600;
    const FBIOGET_FSCREENINFO: libc::c_ulong = 0x4602;
    // Whole words, because the kernel's structures are aligned so.
    let (mut var, mut fix) = ([0_u64; 20], [0_u64; 10]);
    // SAFETY: the two requests write exactly 160 and 80 bytes (on every 64-bit Linux) to the memory given.
    unsafe {
        Errno::result(libc::ioctl(device.as_raw_fd(), FBIOGET_VSCREENINFO as _, var.as_mut_ptr()))?;
        Errno::result(libc::ioctl(device.as_raw_fd(), FBIOGET_FSCREENINFO as _, fix.as_mut_ptr()))?;
    }
    let (mut var_bytes, mut fix_bytes) = ([0; 160], [0; 80]);
    let words = var_bytes.chunks_exact_mut(8).zip(&var).chain(fix_bytes.chunks_exact_mut(8).zip(&fix));
    words.for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_ne_bytes()));
    Ok((var_bytes, fix_bytes))
}

const _: () =
    assert!(size_of::<usize>() == 8, "offsets and framebuffer structures are those of 64-bit Linux");
