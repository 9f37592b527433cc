//! `shm:` files: a framebuffer that one process paints and others watch.
//!
//! The file is a header, then pixels. All integers are little endian; what is not named is zero.
//!
//! | bytes | field | meaning |
//! | --- | --- | --- |
//! | 0..8 | magic | `LFPSHMFB` |
//! | 8..12 | version | 1 |
//! | 12..16 | header length | 4096; pixels start no earlier |
//! | 16..24 | sequence | odd while the painter changes the mode, the pixels or the damage ring; each update adds two |
//! | 24..32 | heartbeat | grows at least every [`HEARTBEAT_INTERVAL`] while the state is 1 |
//! | 32..36 | state | 0: no picture; 1: painting; 2: the painter has left and its picture stands; 3: it has left |
//! | 36..40 | mode generation | counts modes, from 1; 0 before the first |
//! | 40..44 | width | pixels |
//! | 44..48 | height | pixels |
//! | 48..52 | stride | bytes from one row to the next |
//! | 52..56 | format | number of the pixel format, as in [`pixel_bytes`] |
//! | 56..64 | pixel offset | bytes before the first pixel |
//! | 64..72 | damage count | rectangles ever recorded in the ring |
//! | 72..76 | damage slots | 64 |
//! | 128..1152 | damage ring | slot `n % 64` holds rectangle number `n`, 16 bytes each (below) |
//! | 4096.. | pixels | rows, top to bottom |
//!
//! A damage slot: the (even) sequence that ended the update (u64), then x, y, width, height in pixels (u16
//! each). A new mode records its whole surface.
//!
//! **A reader** takes the sequence, and again after it has copied what it wants: unless both are equal and
//! even, the copy may be torn and is taken again. Everything in the file is a claim of another process: check
//! it against the file's length at every use. A painter whose heartbeat and sequence have both stood still for
//! [`PAINTER_SILENCE`] in state 1 is gone.
//!
//! **A painter** makes a new file (or cuts an old one to nothing), never shortens it afterwards, and writes
//! through [`Painter`], which turns what happens into bounded positioned writes: `pwrite` is enough, no memory
//! need be mapped.

use core::fmt;
use core::time::Duration;

use crate::geometry::{PixelRect, Size};

mod painter;

pub use painter::Painter;

/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"LFPSHMFB";
/// Whether a painter may take over a file that begins with `start`: one that is empty, or was a painter's before.
/// Anything else is somebody's data under a name given by mistake.
#[must_use]
pub fn may_take_over(start: &[u8]) -> bool {
    start.is_empty() || start.starts_with(&MAGIC)
}

/// The version that this module reads and writes.
pub const VERSION: u32 = 1;
/// Bytes of the header as [`Painter`] writes it, and the least that a reader takes.
pub const HEADER_BYTES: usize = 4096;
/// Rectangles that the damage ring remembers.
pub const DAMAGE_SLOTS: usize = 64;
/// A painter in state 1 adds to the heartbeat at least this often.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(200);
/// A painter in state 1 whose heartbeat has stood still for this long is gone.
pub const PAINTER_SILENCE: Duration = Duration::from_millis(900);
/// Bytes of the longest single write of a [`Painter`].
pub const WRITE_MAX: usize = 64 * 1024;

/// Bytes from the start of the file to the end of the named header fields, without the damage ring.
pub const FIELDS_BYTES: usize = 76;

mod at {
    //! Where each field stands.
    use core::ops::Range;

    pub(super) const MAGIC: Range<usize> = 0..8;
    pub(super) const VERSION: Range<usize> = 8..12;
    pub(super) const HEADER_LEN: Range<usize> = 12..16;
    pub(super) const SEQUENCE: Range<usize> = 16..24;
    pub(super) const HEARTBEAT: Range<usize> = 24..32;
    pub(super) const STATE: Range<usize> = 32..36;
    pub(super) const GENERATION: Range<usize> = 36..40;
    pub(super) const WIDTH: Range<usize> = 40..44;
    pub(super) const HEIGHT: Range<usize> = 44..48;
    pub(super) const STRIDE: Range<usize> = 48..52;
    pub(super) const FORMAT: Range<usize> = 52..56;
    pub(super) const PIXELS: Range<usize> = 56..64;
    pub(super) const DAMAGE_COUNT: Range<usize> = 64..72;
    pub(super) const DAMAGE_SLOTS: Range<usize> = 72..76;
    pub(super) const RING: Range<usize> = 128..1152;
    pub(super) const SLOT_BYTES: usize = 16;
}

/// Where the sequence word stands: 8 bytes, aligned.
pub const SEQUENCE_OFFSET: u64 = at::SEQUENCE.start as u64;
/// Where the heartbeat stands: 8 bytes, aligned.
pub const HEARTBEAT_OFFSET: u64 = at::HEARTBEAT.start as u64;

const _: () = {
    assert!(at::DAMAGE_SLOTS.end == FIELDS_BYTES && FIELDS_BYTES <= at::RING.start);
    assert!(at::RING.end - at::RING.start == DAMAGE_SLOTS * at::SLOT_BYTES);
    assert!(at::RING.end <= HEADER_BYTES && HEADER_BYTES <= WRITE_MAX);
    assert!(HEARTBEAT_INTERVAL.as_millis() * 4 < PAINTER_SILENCE.as_millis());
};

/// Bytes that a pixel of format number `format` takes; `None` for a number that means nothing. The numbers:
/// 0 XRGB8888, 1 the same big endian, 2 XBGR8888, 3 RGB888, 4 BGR888, 5 RGB565, 6 the same big endian,
/// 7 XRGB1555, 8 the same big endian.
#[must_use]
pub const fn pixel_bytes(format: u8) -> Option<usize> {
    match format {
        0..=2 => Some(4),
        3 | 4 => Some(3),
        5..=8 => Some(2),
        _ => None,
    }
}

/// What the painter does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum State {
    /// There is no picture yet, or none for now.
    Empty = 0,
    /// There is a picture, and the painter proves by its heartbeat that it lives.
    Painting = 1,
    /// The painter has left in order; its last picture stands for good.
    Still = 2,
    /// The painter has left in order, and its picture with it.
    Closed = 3,
}

/// A mode: what the pixels of the file mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mode {
    size: Size,
    format: u8,
}

impl Mode {
    /// XRGB8888 of this size.
    #[must_use]
    pub const fn xrgb(size: Size) -> Self {
        Self { size, format: 0 }
    }

    /// A mode with the pixel format of this number; `None` if the number means nothing.
    #[must_use]
    pub fn new(size: Size, format: u8) -> Option<Self> {
        pixel_bytes(format).map(|_| Self { size, format })
    }

    /// Width and height in pixels.
    #[must_use]
    pub const fn size(self) -> Size {
        self.size
    }

    /// Bytes of a pixel.
    #[must_use]
    pub fn pixel_bytes(self) -> usize {
        pixel_bytes(self.format).unwrap_or(4)
    }

    /// Bytes from one row to the next, as [`Painter`] lays them out: no padding.
    #[must_use]
    pub fn stride_bytes(self) -> usize {
        usize::from(self.size.width) * self.pixel_bytes()
    }
}

/// The header's fields, as read: syntax is checked, geometry is only a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Odd while the painter paints.
    pub sequence: u64,
    /// Grows while the painter lives.
    pub heartbeat: u64,
    /// What the painter does.
    pub state: State,
    /// Counts modes.
    pub generation: u32,
    /// Width and height; meaningful, as all geometry, in the states `Painting` and `Still`.
    pub size: Size,
    /// Bytes from one row to the next.
    pub stride_bytes: u32,
    /// Number of the pixel format; [`pixel_bytes`] knows it.
    pub format: u8,
    /// Bytes before the first pixel.
    pub offset_bytes: u64,
    /// Rectangles ever recorded in the damage ring.
    pub damage_count: u64,
}

/// Why a header is none that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// The magic is another.
    NotShm,
    /// A version that this module does not know.
    Version(u32),
    /// A field holds what cannot be; names it, with its value.
    Field(&'static str, u64),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotShm => f.write_str("does not start with LFPSHMFB"),
            Self::Version(version) => write!(f, "has version {version}, not {VERSION}"),
            Self::Field(name, value) => write!(f, "states an impossible {name}: {value}"),
        }
    }
}

impl core::error::Error for HeaderError {}

impl Header {
    /// Reads the fields. The sequence is taken as it is, even or odd.
    ///
    /// # Errors
    /// If magic, version, state or (in a state that has a picture) a number of the geometry cannot be.
    /// Whether the pixels lie inside the file is for the caller to check.
    pub fn parse(bytes: &[u8; FIELDS_BYTES]) -> Result<Self, HeaderError> {
        if bytes[at::MAGIC] != MAGIC {
            return Err(HeaderError::NotShm);
        }
        let version = u32_at(bytes, at::VERSION.start);
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let header_len = u64::from(u32_at(bytes, at::HEADER_LEN.start));
        if header_len < HEADER_BYTES as u64 {
            return Err(HeaderError::Field("header length", header_len));
        }
        let slots = u32_at(bytes, at::DAMAGE_SLOTS.start);
        if slots as usize != DAMAGE_SLOTS {
            return Err(HeaderError::Field("number of damage slots", u64::from(slots)));
        }
        let state = match u32_at(bytes, at::STATE.start) {
            0 => State::Empty,
            1 => State::Painting,
            2 => State::Still,
            3 => State::Closed,
            other => return Err(HeaderError::Field("state", u64::from(other))),
        };
        let mut header = Self {
            sequence: u64_at(bytes, at::SEQUENCE.start),
            heartbeat: u64_at(bytes, at::HEARTBEAT.start),
            state,
            generation: u32_at(bytes, at::GENERATION.start),
            size: Size::default(),
            stride_bytes: 0,
            format: 0,
            offset_bytes: 0,
            damage_count: u64_at(bytes, at::DAMAGE_COUNT.start),
        };
        if matches!(state, State::Painting | State::Still) {
            header.parse_geometry(bytes, header_len)?;
        }
        Ok(header)
    }

    fn parse_geometry(&mut self, bytes: &[u8; FIELDS_BYTES], header_len: u64) -> Result<(), HeaderError> {
        let field = |name, value: u32| HeaderError::Field(name, u64::from(value));
        let (width, height) = (u32_at(bytes, at::WIDTH.start), u32_at(bytes, at::HEIGHT.start));
        let narrow = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        self.size = Size::new(narrow(width), narrow(height)).ok_or_else(|| {
            let height_is_fine = Size::new(1, narrow(height)).is_some();
            if height_is_fine { field("width", width) } else { field("height", height) }
        })?;
        let format = u32_at(bytes, at::FORMAT.start);
        let pixel = u8::try_from(format).ok().and_then(pixel_bytes);
        let pixel = pixel.ok_or_else(|| field("pixel format", format))?;
        self.format = format as u8;
        self.stride_bytes = u32_at(bytes, at::STRIDE.start);
        if (self.stride_bytes as usize) < usize::from(self.size.width) * pixel {
            return Err(field("stride", self.stride_bytes));
        }
        self.offset_bytes = u64_at(bytes, at::PIXELS.start);
        if self.offset_bytes < header_len {
            return Err(HeaderError::Field("pixel offset", self.offset_bytes));
        }
        Ok(())
    }

    /// Whether the painter was at work when the header was read, so that nothing else in it can be relied on.
    #[must_use]
    pub const fn is_painting_now(&self) -> bool {
        self.sequence % 2 == 1
    }
}

/// A rectangle of the damage ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The sequence that ended the update.
    pub sequence: u64,
    /// What was painted; a claim, to be clipped to the surface.
    pub rect: PixelRect,
}

/// The damage recorded after the first `since` rectangles, oldest first, from the first [`HEADER_BYTES`] of the
/// file; `None` if the ring has forgotten some of it, so that everything may have changed.
#[must_use]
pub fn damage_since(header: &[u8; HEADER_BYTES], since: u64) -> Option<impl Iterator<Item = Damage> + '_> {
    let count = u64_at(header, at::DAMAGE_COUNT.start);
    let fresh = count.checked_sub(since).filter(|&fresh| fresh <= DAMAGE_SLOTS as u64)?;
    Some((count - fresh..count).map(|number| {
        let slot = slot_offset(number);
        let side = |index: usize| {
            let start = slot + 8 + index * 2;
            u16::from_le_bytes([header[start], header[start + 1]])
        };
        Damage {
            sequence: u64_at(header, slot),
            rect: PixelRect { x: side(0), y: side(1), width: side(2), height: side(3) },
        }
    }))
}

const fn slot_offset(number: u64) -> usize {
    at::RING.start + (number % DAMAGE_SLOTS as u64) as usize * at::SLOT_BYTES
}

fn u32_at(bytes: &[u8], start: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[start..start + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], start: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[start..start + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::convert::Infallible;

    /// A file in memory.
    #[derive(Default)]
    struct File(Vec<u8>);

    impl File {
        fn writer(&mut self) -> impl FnMut(u64, &[u8]) -> Result<(), Infallible> + '_ {
            |offset, bytes| {
                assert!(bytes.len() <= WRITE_MAX);
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                self.0.resize(self.0.len().max(end), 0);
                self.0[start..end].copy_from_slice(bytes);
                Ok(())
            }
        }

        fn header(&self) -> Result<Header, HeaderError> {
            Header::parse(self.0[..FIELDS_BYTES].try_into().expect("a header"))
        }
    }

    fn painted(size: Size) -> (File, Painter) {
        let (mut file, mut painter) = (File::default(), Painter::new());
        let Ok(()) = painter.create(&mut file.writer());
        let Ok(()) = painter.set_mode(Mode::xrgb(size), &mut file.writer());
        let Ok(()) = painter.end(&mut file.writer());
        (file, painter)
    }

    fn size(width: u16, height: u16) -> Size {
        Size::new(width, height).expect("a legal size")
    }

    #[test]
    fn what_is_painted_is_read() {
        let (mut file, mut painter) = painted(size(5, 3));
        let picture: Vec<u32> = (0..15).map(|pixel| 0xff01_0200 + pixel).collect();
        let rect = PixelRect { x: 3, y: 1, width: 9, height: 9 };
        let Ok(()) = painter.begin(&mut file.writer());
        assert!(file.header().expect("a header").is_painting_now());
        let Ok(()) = painter.paint_xrgb(rect, &picture, &mut file.writer());
        let Ok(()) = painter.end(&mut file.writer());

        let header = file.header().expect("a header");
        assert_eq!((header.sequence, header.state, header.generation), (4, State::Painting, 1));
        assert_eq!((header.size, header.stride_bytes, header.format), (size(5, 3), 20, 0));
        let pixels = &file.0[header.offset_bytes as usize..];
        assert_eq!(pixels.len(), 60);
        for (number, pixel) in pixels.chunks_exact(4).enumerate() {
            let inside = number % 5 >= 3 && number / 5 >= 1;
            let expected = if inside { 0x0001_0200 + number as u32 } else { 0 };
            assert_eq!(pixel, expected.to_le_bytes(), "pixel {number}");
        }
        let bytes: &[u8; HEADER_BYTES] = file.0[..HEADER_BYTES].try_into().expect("a header");
        let damage: Vec<Damage> = damage_since(bytes, 0).expect("still known").collect();
        assert_eq!(damage[0], Damage { sequence: 2, rect: PixelRect { x: 0, y: 0, width: 5, height: 3 } });
        assert_eq!(damage[1], Damage { sequence: 4, rect: PixelRect { x: 3, y: 1, width: 2, height: 2 } });
        assert_eq!(damage_since(bytes, 1).map(Iterator::count), Some(1));
        assert!(damage_since(bytes, 3).is_none(), "a count of the future");
    }

    #[test]
    fn the_ring_says_when_it_has_forgotten() {
        let (mut file, mut painter) = painted(size(4, 4));
        let picture = [0; 64];
        for _ in 0..DAMAGE_SLOTS {
            let Ok(()) = painter.begin(&mut file.writer());
            let rect = PixelRect { x: 1, y: 1, width: 1, height: 1 };
            let Ok(()) = painter.paint_bytes(rect, &picture, &mut file.writer());
            let Ok(()) = painter.end(&mut file.writer());
        }
        let bytes: &[u8; HEADER_BYTES] = file.0[..HEADER_BYTES].try_into().expect("a header");
        assert!(damage_since(bytes, 0).is_none());
        assert_eq!(damage_since(bytes, 1).map(Iterator::count), Some(DAMAGE_SLOTS));
    }

    #[test]
    fn the_states_of_a_life() {
        let (mut file, mut painter) = (File::default(), Painter::new());
        let Ok(()) = painter.create(&mut file.writer());
        assert_eq!(file.header().map(|header| header.state), Ok(State::Empty));
        let mode = Mode::new(size(300, 200), 3).expect("a known format");
        let Ok(()) = painter.set_mode(mode, &mut file.writer());
        let Ok(()) = painter.end(&mut file.writer());
        assert_eq!(
            file.header().map(|header| (header.state, header.stride_bytes)),
            Ok((State::Painting, 900))
        );
        assert_eq!(file.0.len(), HEADER_BYTES + 900 * 200);
        let Ok(()) = painter.blank(&mut file.writer());
        assert_eq!(file.header().map(|header| header.state), Ok(State::Empty));
        let Ok(()) = painter.set_mode(Mode::xrgb(size(2, 2)), &mut file.writer());
        let Ok(()) = painter.end(&mut file.writer());
        assert_eq!(file.header().map(|header| header.generation), Ok(2));
        let Ok(()) = painter.finish(true, &mut file.writer());
        let header = file.header().expect("a header");
        assert_eq!((header.state, header.is_painting_now()), (State::Still, false));
    }

    #[test]
    fn lies_are_named() {
        let (file, _) = painted(size(8, 8));
        let with = |field: core::ops::Range<usize>, value: u32| {
            let mut lie = File(file.0.clone());
            lie.0[field.start..field.start + 4].copy_from_slice(&value.to_le_bytes());
            lie.header().expect_err("a lie")
        };
        assert_eq!(with(at::MAGIC, 0), HeaderError::NotShm);
        assert_eq!(with(at::VERSION, 2), HeaderError::Version(2));
        assert_eq!(with(at::STATE, 9), HeaderError::Field("state", 9));
        assert_eq!(with(at::WIDTH, 0), HeaderError::Field("width", 0));
        assert_eq!(with(at::WIDTH, 0x1_0008), HeaderError::Field("width", 0x1_0008));
        assert_eq!(with(at::HEIGHT, u32::MAX), HeaderError::Field("height", u64::from(u32::MAX)));
        assert_eq!(with(at::STRIDE, 31), HeaderError::Field("stride", 31));
        assert_eq!(with(at::FORMAT, 9), HeaderError::Field("pixel format", 9));
        assert_eq!(with(at::FORMAT, 256), HeaderError::Field("pixel format", 256));
        assert_eq!(with(at::PIXELS, 100), HeaderError::Field("pixel offset", 100));
        assert_eq!(with(at::HEADER_LEN, 0), HeaderError::Field("header length", 0));
        assert_eq!(with(at::DAMAGE_SLOTS, 65), HeaderError::Field("number of damage slots", 65));
    }

    #[test]
    fn any_bytes_parse_or_are_refused() {
        let (file, _) = painted(size(8, 8));
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut bytes: [u8; FIELDS_BYTES] = file.0[..FIELDS_BYTES].try_into().expect("a header");
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes[(state >> 33) as usize % FIELDS_BYTES] = (state >> 56) as u8;
            }
            if let Ok(header) = Header::parse(&bytes) {
                assert!(pixel_bytes(header.format).is_some());
            }
        }
    }

    #[test]
    fn paint_writes_are_bounded() {
        let mut painter = Painter::new();
        let mut longest = 0;
        let mut write = |_: u64, bytes: &[u8]| -> Result<(), Infallible> {
            longest = longest.max(bytes.len());
            Ok(())
        };
        let Ok(()) = painter.create(&mut write);
        let Ok(()) = painter.set_mode(Mode::xrgb(size(16_384, 2)), &mut write);
        let picture = vec![7; 16_384 * 2];
        let rect = PixelRect { x: 0, y: 0, width: 16_384, height: 2 };
        let Ok(()) = painter.paint_xrgb(rect, &picture, &mut write);
        let Ok(()) = painter.end(&mut write);
        assert_eq!(longest, WRITE_MAX);
    }
}
