//! The painter's side of a `shm:` file.

use alloc::vec::Vec;

use super::{
    DAMAGE_SLOTS, HEADER_BYTES, MAGIC, Mode, SEQUENCE_OFFSET, State, VERSION, WRITE_MAX, at, slot_offset,
};
use crate::depth::Depth;
use crate::geometry::{PixelRect, Size};

/// The painter's side, sans-IO: every method hands `write` the positioned writes that bring the file up to date,
/// each at most [`WRITE_MAX`] bytes. With std, `|offset, bytes| file.write_all_at(bytes, offset)`
/// (`std::os::unix::fs::FileExt`) is such a `write`.
///
/// Call [`Painter::create`] on the new, empty file. Then, for each update: [`Painter::set_mode`] (first, and when the
/// mode changes) or [`Painter::begin`], any number of paints, [`Painter::end`]. Between updates call
/// [`Painter::beat`] at least every [`super::HEARTBEAT_INTERVAL`]; at last [`Painter::finish`].
///
/// If a write fails the file may be left odd, which readers take for "being painted"; the next update goes on from
/// there.
#[derive(Debug, Default)]
pub struct Painter {
    sequence: u64,
    heartbeat: u64,
    generation: u32,
    damage_count: u64,
    mode: Option<Mode>,
    scratch: Vec<u8>,
}

impl Painter {
    /// A painter of a file that has no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The mode painted in, once there is one.
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// Writes the header of a file without picture. Call once, on the empty file.
    ///
    /// # Errors
    /// What `write` says.
    pub fn create<E>(&mut self, write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut header = [0; HEADER_BYTES];
        header[at::VERSION].copy_from_slice(&VERSION.to_le_bytes());
        header[at::HEADER_LEN].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        header[at::DAMAGE_SLOTS].copy_from_slice(&(DAMAGE_SLOTS as u32).to_le_bytes());
        write(0, &header)?;
        write(at::MAGIC.start as u64, &MAGIC)
    }

    /// Begins an update that starts a new mode: a black picture. Paint what it shows, then [`Painter::end`].
    ///
    /// # Errors
    /// What `write` says.
    pub fn set_mode<E>(
        &mut self,
        mode: Mode,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(write)?;
        self.generation = self.generation.wrapping_add(1).max(1);
        let zeros = [0; HEADER_BYTES];
        let (mut offset, end) =
            (HEADER_BYTES, HEADER_BYTES + mode.stride_bytes() * usize::from(mode.size.height));
        while offset < end {
            let len = zeros.len().min(end - offset);
            write(offset as u64, &zeros[..len])?;
            offset += len;
        }
        let mut fields = [0; at::PIXELS.end - at::STATE.start];
        let mut put = |field: core::ops::Range<usize>, value: u32| {
            fields[field.start - at::STATE.start..][..4].copy_from_slice(&value.to_le_bytes());
        };
        put(at::STATE, State::Painting as u32);
        put(at::GENERATION, self.generation);
        put(at::WIDTH, u32::from(mode.size.width));
        put(at::HEIGHT, u32::from(mode.size.height));
        put(at::STRIDE, mode.stride_bytes() as u32);
        put(at::FORMAT, u32::from(mode.format));
        put(at::PIXELS, HEADER_BYTES as u32);
        write(at::STATE.start as u64, &fields)?;
        self.mode = Some(mode);
        let Size { width, height } = mode.size;
        self.record(PixelRect { x: 0, y: 0, width, height }, write)
    }

    /// Begins an update of the picture.
    ///
    /// # Errors
    /// What `write` says.
    pub fn begin<E>(&mut self, write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.sequence |= 1;
        write(SEQUENCE_OFFSET, &self.sequence.to_le_bytes())
    }

    /// Paints `rect` (clipped to the mode) from a whole picture of `0x00RRGGBB` pixels whose rows are as wide
    /// as the mode. Only inside an update, in a mode of [`Mode::xrgb`].
    ///
    /// # Errors
    /// What `write` says.
    ///
    /// # Panics
    /// If there is no mode, it is another format, or `picture` is smaller than it.
    pub fn paint_xrgb<E>(
        &mut self,
        rect: PixelRect,
        picture: &[u32],
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.paint_colours(rect, picture, Depth::Bits24, write)
    }

    /// [`Painter::paint_xrgb`] with the colours of pixels of `depth`.
    ///
    /// # Errors
    /// What `write` says.
    ///
    /// # Panics
    /// If there is no mode, it is another format, or `picture` is smaller than it.
    pub fn paint_colours<E>(
        &mut self,
        rect: PixelRect,
        picture: &[u32],
        depth: Depth,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mode = self.painted_mode();
        assert_eq!(mode.format, 0, "XRGB8888 in another pixel format");
        let (rect, width) = (clip(rect, mode.size), usize::from(mode.size.width));
        let mut scratch = core::mem::take(&mut self.scratch);
        let painted = (rect.y..rect.y + rect.height).try_for_each(|y| {
            let start = usize::from(y) * width + usize::from(rect.x);
            scratch.clear();
            let row = &picture[start..start + usize::from(rect.width)];
            scratch.extend(row.iter().flat_map(|pixel| depth.colour(*pixel).to_le_bytes()));
            write_long(HEADER_BYTES + start * 4, &scratch, write)
        });
        self.scratch = scratch;
        painted?;
        self.record(rect, write)
    }

    /// Paints `rect` (clipped to the mode) from the bytes of a whole picture in the mode's own format, rows
    /// without padding. Only inside an update.
    ///
    /// # Errors
    /// What `write` says.
    ///
    /// # Panics
    /// If there is no mode or `picture` is smaller than it.
    pub fn paint_bytes<E>(
        &mut self,
        rect: PixelRect,
        picture: &[u8],
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mode = self.painted_mode();
        let rect = clip(rect, mode.size);
        let pixel = mode.pixel_bytes();
        for y in rect.y..rect.y + rect.height {
            let start = usize::from(y) * mode.stride_bytes() + usize::from(rect.x) * pixel;
            let row = &picture[start..start + usize::from(rect.width) * pixel];
            write_long(HEADER_BYTES + start, row, write)?;
        }
        self.record(rect, write)
    }

    /// Ends an update: readers may take the picture.
    ///
    /// # Errors
    /// What `write` says.
    pub fn end<E>(&mut self, write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.beat(write)?;
        self.sequence = (self.sequence | 1) + 1;
        write(SEQUENCE_OFFSET, &self.sequence.to_le_bytes())
    }

    /// Shows that the painter lives.
    ///
    /// # Errors
    /// What `write` says.
    pub fn beat<E>(&mut self, write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.heartbeat += 1;
        write(at::HEARTBEAT.start as u64, &self.heartbeat.to_le_bytes())
    }

    /// Says that there is no picture for now; [`Painter::set_mode`] brings one again.
    ///
    /// # Errors
    /// What `write` says.
    pub fn blank<E>(&mut self, write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.mode = None;
        self.leave_in(State::Empty, write)
    }

    /// Leaves: the picture stands for good if `keep` and there is one, else it goes too.
    ///
    /// # Errors
    /// What `write` says.
    pub fn finish<E>(
        mut self,
        keep: bool,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let state = if keep && self.mode.is_some() { State::Still } else { State::Closed };
        self.leave_in(state, write)
    }

    fn leave_in<E>(
        &mut self,
        state: State,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(write)?;
        write(at::STATE.start as u64, &(state as u32).to_le_bytes())?;
        self.end(write)
    }

    fn painted_mode(&self) -> Mode {
        assert!(self.sequence % 2 == 1, "painting outside an update");
        self.mode.expect("a mode is set before anything is painted")
    }

    fn record<E>(
        &mut self,
        rect: PixelRect,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if rect.pixels() == 0 {
            return Ok(());
        }
        let mut slot = [0; at::SLOT_BYTES];
        slot[..8].copy_from_slice(&(self.sequence + 1).to_le_bytes());
        for (field, side) in slot[8..].chunks_exact_mut(2).zip([rect.x, rect.y, rect.width, rect.height]) {
            field.copy_from_slice(&side.to_le_bytes());
        }
        write(slot_offset(self.damage_count) as u64, &slot)?;
        self.damage_count += 1;
        write(at::DAMAGE_COUNT.start as u64, &self.damage_count.to_le_bytes())
    }
}

fn write_long<E>(
    start: usize,
    bytes: &[u8],
    write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut offset = start as u64;
    for part in bytes.chunks(WRITE_MAX) {
        write(offset, part)?;
        offset += part.len() as u64;
    }
    Ok(())
}

fn clip(rect: PixelRect, size: Size) -> PixelRect {
    let span = |start: u16, span: u16, side: u16| span.min(side.saturating_sub(start));
    let width = span(rect.x, rect.width, size.width);
    let height = span(rect.y, rect.height, size.height);
    PixelRect { x: rect.x.min(size.width), y: rect.y.min(size.height), width, height }
}
