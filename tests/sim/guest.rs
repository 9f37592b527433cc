//! A scripted guest: its framebuffer, what it paints, and what goes wrong with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lfp::geometry::{CellSet, Size};
use lfp::hypervisor::{Reading, Source, SourceError, Surface, View};
use lfp::limits::CELL;
use lfp::pixel::PixelFormat;
use lfp::time::Instant;
use lfp_impair::Random;
use lfp_proto::frame::SurfaceState;

/// What a guest does to its screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stroke {
    /// One small glyph, where the last one ended.
    Type,
    /// A cell-sized block on, and off the next time: the content of before comes back.
    Blink,
    /// A rectangle in one colour.
    Fill,
    /// A rectangle of noise.
    Noise,
    /// Everything moves up by a few rows.
    Scroll,
    /// Noise everywhere.
    All,
    /// A window opens over what is there, the same each time, and closes the next: what was there comes back.
    Window,
    /// The next picture of a film: soft colours on the move, in a window that stays.
    Film,
}

impl Stroke {
    pub(crate) const ALL: [Self; 8] =
        [Self::Type, Self::Blink, Self::Fill, Self::Noise, Self::Scroll, Self::All, Self::Window, Self::Film];
}

/// What the guest's memory holds, and what its adapter says of it.
#[derive(Debug)]
pub(crate) struct Screen {
    surface: Surface,
    /// The framebuffer, in the surface's format, rows padded to its stride.
    bytes: Vec<u8>,
    dark: Option<SurfaceState>,
    /// Sweeps that find the source being painted all the time.
    torn: u32,
    /// Sweeps that find the memory gone.
    lost: u32,
    typed: u32,
    filmed: u32,
    blinking: bool,
    /// What lies behind the window that is open.
    behind: Option<Vec<u8>>,
    random: Random,
}

impl Screen {
    fn new(size: Size, format: PixelFormat, random: Random) -> Self {
        let (surface, bytes) = blank(size, format);
        Self {
            surface,
            bytes,
            dark: None,
            torn: 0,
            lost: 0,
            typed: 0,
            filmed: 0,
            blinking: false,
            behind: None,
            random,
        }
    }

    /// A new mode, black.
    pub(crate) fn set_mode(&mut self, size: Size, format: PixelFormat) {
        (self.surface, self.bytes) = blank(size, format);
        self.behind = None;
    }

    /// Nothing to show, or (`None`) pixels again.
    pub(crate) fn set_dark(&mut self, dark: Option<SurfaceState>) {
        self.dark = dark;
    }

    pub(crate) fn is_dark(&self) -> bool {
        self.dark.is_some()
    }

    /// So many sweeps fail as torn.
    pub(crate) fn tear(&mut self, sweeps: u32) {
        self.torn = sweeps;
    }

    /// So many sweeps fail because the memory is gone.
    pub(crate) fn lose(&mut self, sweeps: u32) {
        self.lost = sweeps;
    }

    pub(crate) fn size(&self) -> Size {
        self.surface.size
    }

    /// What stands at a pixel, as XRGB8888: written without the code under test.
    pub(crate) fn pixel(&self, x: u16, y: u16) -> u32 {
        let at = self.at(x, y);
        let byte = |n: usize| u32::from(self.bytes[at + n]);
        match self.surface.format {
            PixelFormat::Rgb565 => {
                let value = byte(0) | byte(1) << 8;
                let (r, g, b) = (value >> 11, value >> 5 & 63, value & 31);
                (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2)
            }
            _ => byte(0) | byte(1) << 8 | byte(2) << 16,
        }
    }

    pub(crate) fn paint(&mut self, stroke: Stroke) {
        let Size { width, height } = self.surface.size;
        match stroke {
            Stroke::Type => {
                let columns = u32::from(width / 8).max(1);
                let (column, row) =
                    (self.typed % columns, self.typed / columns % u32::from(height / 12).max(1));
                self.typed += 1;
                self.noise(column as u16 * 8, row as u16 * 12, 7, 10, 1);
            }
            Stroke::Blink => {
                self.blinking = !self.blinking;
                let colour = if self.blinking { 0x00ff_ffff } else { 0 };
                self.fill(width / 2, height / 2, 3, CELL, colour);
            }
            Stroke::Fill | Stroke::Noise => {
                let (x, y) = (self.below(width), self.below(height));
                let (w, h) = (self.below(width / 2) + 1, self.below(height / 2) + 1);
                if stroke == Stroke::Fill {
                    let colour = self.random.next() as u32 & 0x00ff_ffff;
                    self.fill(x, y, w, h, colour);
                } else {
                    self.noise(x, y, w.min(64), h.min(48), 24);
                }
            }
            Stroke::Scroll => {
                let rows = usize::from(self.below(24) + 1).min(usize::from(height));
                let stride = self.surface.stride_bytes as usize;
                self.bytes.copy_within(rows * stride.., 0);
            }
            Stroke::All => self.noise(0, 0, width, height, 4),
            Stroke::Window => match self.behind.take() {
                Some(behind) => self.bytes = behind,
                None => {
                    self.behind = Some(self.bytes.clone());
                    let mut same = Random::new(7);
                    std::mem::swap(&mut self.random, &mut same);
                    self.noise(width / 5, height / 5, (width / 2).min(80), (height / 2).min(64), 4);
                    self.random = same;
                }
            },
            Stroke::Film => {
                self.filmed += 1;
                self.film(width / 6, height / 6, (width / 2).min(112), (height / 2).min(80));
            }
        }
    }

    /// Paints an area (left, top, width, height), each pixel by its place.
    pub(crate) fn draw(&mut self, area: (u16, u16, u16, u16), colour: impl Fn(u16, u16) -> u32) {
        let (left, top, width, height) = area;
        let size = self.surface.size;
        for y in top..(top + height).min(size.height) {
            for x in left..(left + width).min(size.width) {
                self.put(x, y, colour(x, y));
            }
        }
    }

    /// What stands at every pixel, row by row, as XRGB8888 in four bytes each.
    pub(crate) fn xrgb(&self) -> Vec<u8> {
        let Size { width, height } = self.surface.size;
        let row = |y| (0..width).flat_map(move |x| self.pixel(x, y).to_le_bytes());
        (0..height).flat_map(row).collect()
    }

    /// One colour everywhere.
    pub(crate) fn fill_all(&mut self, colour: u32) {
        let Size { width, height } = self.surface.size;
        self.fill(0, 0, width, height, colour);
    }

    fn below(&mut self, bound: u16) -> u16 {
        self.random.below(u64::from(bound.max(1))) as u16
    }

    fn fill(&mut self, x: u16, y: u16, w: u16, h: u16, colour: u32) {
        self.each(x, y, w, h, |_| colour);
    }

    /// Pixels of 2^bits colours, at random.
    fn noise(&mut self, x: u16, y: u16, w: u16, h: u16, bits: u32) {
        let mask = (1_u64 << bits) - 1;
        let tint = self.random.next() as u32;
        self.each(x, y, w, h, |random| ((random.next() & mask) as u32).wrapping_mul(0x0012_3457) ^ tint);
    }

    /// Waves that wander with each picture, and a little grain.
    fn film(&mut self, left: u16, top: u16, w: u16, h: u16) {
        let now = self.filmed * 5;
        for y in top..top.saturating_add(h) {
            for x in left..left.saturating_add(w) {
                let wave = |a: u32, b: u32| {
                    ((u32::from(x) * a + u32::from(y) * b + now * (a + b)) / 4 % 256).abs_diff(128)
                };
                let grain = self.random.below(4) as u32;
                let colour = (60 + wave(7, 3) + grain) << 16
                    | (50 + wave(4, 9) + grain) << 8
                    | (70 + wave(5, 5) + grain);
                self.put(x, y, colour);
            }
        }
    }

    fn each(&mut self, x: u16, y: u16, w: u16, h: u16, mut colour: impl FnMut(&mut Random) -> u32) {
        let Size { width, height } = self.surface.size;
        for y in y..y.saturating_add(h).min(height) {
            for x in x..x.saturating_add(w).min(width) {
                let colour = colour(&mut self.random);
                self.put(x, y, colour);
            }
        }
    }

    fn put(&mut self, x: u16, y: u16, colour: u32) {
        let at = self.at(x, y);
        match self.surface.format {
            PixelFormat::Rgb565 => {
                let value = colour >> 8 & 0xf800 | colour >> 5 & 0x07e0 | colour >> 3 & 0x001f;
                self.bytes[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
            }
            format => {
                let len = format.bytes();
                self.bytes[at..at + len].copy_from_slice(&colour.to_le_bytes()[..len]);
            }
        }
    }

    fn at(&self, x: u16, y: u16) -> usize {
        usize::from(y) * self.surface.stride_bytes as usize + usize::from(x) * self.surface.format.bytes()
    }
}

fn blank(size: Size, format: PixelFormat) -> (Surface, Vec<u8>) {
    assert!(Guest::FORMATS.contains(&format), "the scripted guest paints in {:?}", Guest::FORMATS);
    let stride_bytes = u32::from(size.width) * format.bytes() as u32 + 12;
    let bytes = vec![0; stride_bytes as usize * usize::from(size.height)];
    (Surface { size, stride_bytes, format, offset_bytes: 0 }, bytes)
}

/// A guest, shared between the scenario that moves it and the scanner that reads it.
#[derive(Clone, Debug)]
pub(crate) struct Guest(Arc<Mutex<Screen>>);

impl Guest {
    /// The formats that it can paint in.
    pub(crate) const FORMATS: [PixelFormat; 3] =
        [PixelFormat::Xrgb8888, PixelFormat::Rgb888, PixelFormat::Rgb565];

    pub(crate) fn new(size: Size, format: PixelFormat, random: Random) -> Self {
        Self(Arc::new(Mutex::new(Screen::new(size, format, random))))
    }

    pub(crate) fn screen(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Guest {
    fn view(&mut self, _now: Instant) -> View {
        let screen = self.screen();
        match screen.dark {
            Some(state) => View::Dark { state, text: "scripted".into() },
            None => View::Live(screen.surface),
        }
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let mut screen = self.screen();
        assert_eq!(screen.surface, *surface, "the scanner sweeps what the view said");
        if screen.torn > 0 {
            screen.torn -= 1;
            return Err(SourceError::Torn { attempts: 3 });
        }
        if screen.lost > 0 {
            screen.lost -= 1;
            return Err(SourceError::Lost("scripted".into()));
        }
        let row_len = usize::from(surface.size.width) * surface.format.bytes();
        let cell_len = usize::from(CELL) * surface.format.bytes();
        let rows = screen.bytes.chunks(surface.stride_bytes as usize).zip(shadow.chunks_mut(row_len));
        for (y, (row, shadow)) in (0..).zip(rows) {
            if row[..row_len] == *shadow {
                continue;
            }
            let cells = row[..row_len].chunks(cell_len).zip(shadow.chunks_mut(cell_len));
            for (x, (new, old)) in (0..).zip(cells).filter(|(_, (new, old))| new != old) {
                old.copy_from_slice(new);
                changed.insert(surface.size.grid().index(x, y / CELL));
            }
        }
        Ok(Reading::whole(surface))
    }
}
