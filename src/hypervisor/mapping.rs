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
use crate::hypervisor::{Span, Surface};
use crate::kernel::compare::Columns;
use crate::kernel::cpu::Level;
use crate::limits::{CELL, MAPPINGS_MAX};

mod rows;
#[cfg(test)]
mod tests;

use rows::{copy_once, sweep_row};

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
        Self::of_region(file, length)
    }

    /// Maps the first `length` bytes of a device, which keeps its length.
    ///
    /// # Errors
    /// If `length` is 0, it cannot be mapped, or is one mapping too many.
    pub fn of_device(device: &File, length: usize) -> Result<Self, MappingError> {
        Self::of_memory(device, 0, length)
    }

    /// Maps `length` bytes of a PCI device's memory: `file` is the kernel's file of one of its regions, which says how
    /// long it is.
    ///
    /// # Errors
    /// As [`Mapping::of_device`].
    pub fn of_region(file: File, length: usize) -> Result<Self, MappingError> {
        let mut mapping = Self::of_device(&file, length)?;
        mapping.file = Some(file);
        Ok(mapping)
    }

    /// Maps `length` bytes of physical memory, all of which `memory` is, from `start` on, a multiple of the page's
    /// size.
    ///
    /// # Errors
    /// As [`Mapping::of_device`].
    pub fn of_memory(memory: &File, start: u64, length: usize) -> Result<Self, MappingError> {
        if length == 0 {
            return Err(MappingError::Empty);
        }
        INSTALL.call_once(install_handler);
        let map = MmapOptions::new().offset(start).len(length).map_raw_read_only(memory)?;
        let guard = Guard::take(&map).ok_or(MappingError::TooMany)?;
        Ok(Self { map, file: None, guard })
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
        self.check(surface, shadow, changed)?;
        let level = level.min(Level::detected());
        let (stride, row_bytes) = (surface.stride_bytes as usize, surface.row_bytes());
        let cell_rows = shadow.chunks_mut(row_bytes * usize::from(CELL));
        for (row_of_cells, shadow) in cell_rows.enumerate().take(rows.end).skip(rows.start) {
            let mut columns = Columns::default();
            let first = surface.offset_bytes as usize + row_of_cells * usize::from(CELL) * stride;
            for (row, shadow) in shadow.chunks_exact_mut(row_bytes).enumerate() {
                // SAFETY: `check` has found that the last row of the surface ends inside the mapping (and,
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

    /// [`Mapping::sweep`] of `spans` alone.
    ///
    /// # Errors
    /// As [`Mapping::sweep`].
    ///
    /// # Panics
    /// As [`Mapping::sweep`], and if a span does not lie in the surface.
    pub fn probe(
        &self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<(), MappingError> {
        self.check(surface, shadow, changed)?;
        let (level, grid) = (Level::chosen().min(Level::detected()), surface.size.grid());
        let (stride, row_bytes) = (surface.stride_bytes as usize, surface.row_bytes());
        for span in spans {
            assert!(span.lies_in(surface), "{span:?} is not in {surface:?}");
            let bytes = span.bytes_of_row(surface);
            let mut columns = Columns::default();
            for row in usize::from(span.y)..usize::from(span.y + span.height) {
                let at = surface.offset_bytes as usize + row * stride + bytes.start;
                let shadow = &mut shadow[row * row_bytes + bytes.start..row * row_bytes + bytes.end];
                // SAFETY: the span lies in the surface, of whose last row `check` has found that it ends inside the
                // mapping (and, since that is at most `map.len()`, that no offset overflows). The mapping lives as long
                // as `self`; a page of it that is gone is replaced by the handler. `level` is one that the CPU has.
                unsafe {
                    sweep_row(
                        level,
                        surface.cell_row_bytes(),
                        self.map.as_ptr().add(at),
                        shadow,
                        &mut columns,
                    );
                }
            }
            let first = grid.index(span.first, span.y / CELL);
            for column in columns.iter() {
                changed.insert(first + column);
            }
        }
        self.still_there()
    }

    /// Whether the pixels of `surface` can be read now.
    ///
    /// # Panics
    /// If `shadow` or `changed` are not of the surface's size.
    fn check(&self, surface: &Surface, shadow: &[u8], changed: &CellSet) -> Result<(), MappingError> {
        assert_eq!(changed.grid(), surface.size.grid(), "cells of another surface");
        assert_eq!(shadow.len(), surface.shadow_bytes(), "shadow of another surface");
        let length = self.length()?;
        let end = surface.end_bytes().unwrap_or(u64::MAX);
        if end > length { Err(MappingError::Beyond { end, length }) } else { Ok(()) }
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
    ///
    /// How long the file is by now is not asked: a sequence word is read several times a scan, an answer would be old by the
    /// time of the read, and what is gone by then the handler finds, as it must for every other read.
    fn range(&self, offset: u64, len: u64) -> Result<*const u8, MappingError> {
        self.still_there()?;
        let length = self.map.len() as u64;
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
