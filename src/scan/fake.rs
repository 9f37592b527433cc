//! A source for tests: shows what the test paints.

use std::sync::{Arc, Mutex};

use crate::geometry::{CellSet, Size};
use crate::hypervisor::{Reading, Source, SourceError, Span, Surface, View};
use crate::limits::CELL;
use crate::pixel::PixelFormat;
use crate::time::Instant;

/// What a fake source does; shared with the test.
pub(crate) struct Screen {
    pub(crate) view: View,
    /// Rows of the surface's stride.
    pub(crate) bytes: Vec<u8>,
    /// Fails the next sweeps, one after the other; after having copied the first row of cells.
    pub(crate) errors: Vec<SourceError>,
    pub(crate) panics: bool,
    /// Runs in each sweep.
    pub(crate) delay: Box<dyn Fn() + Send>,
    pub(crate) views: usize,
    pub(crate) sweeps: usize,
    pub(crate) probes: usize,
    pub(crate) releases: usize,
    /// Says that it knows what changed.
    pub(crate) notified: bool,
}

/// The source's side.
pub(crate) struct Fake(pub(crate) Arc<Mutex<Screen>>);

/// A black screen and its source.
pub(crate) fn fake(width: u16, height: u16, format: PixelFormat) -> (Arc<Mutex<Screen>>, Box<Fake>) {
    let size = Size::new(width, height).unwrap();
    let stride_bytes = (u32::from(width) + 3) * format.bytes() as u32;
    let surface = Surface { size, stride_bytes, format, offset_bytes: 0 };
    let screen = Arc::new(Mutex::new(Screen {
        view: View::Live(surface),
        bytes: vec![0; stride_bytes as usize * usize::from(height)],
        errors: Vec::new(),
        panics: false,
        delay: Box::new(|| ()),
        views: 0,
        sweeps: 0,
        probes: 0,
        releases: 0,
        notified: false,
    }));
    (Arc::clone(&screen), Box::new(Fake(screen)))
}

impl Screen {
    pub(crate) fn surface(&self) -> Surface {
        match self.view {
            View::Live(surface) => surface,
            View::Dark { .. } => panic!("the fake is dark"),
        }
    }

    /// Sets a pixel's bytes.
    pub(crate) fn paint(&mut self, x: usize, y: usize, bytes: &[u8]) {
        let surface = self.surface();
        assert_eq!(bytes.len(), surface.format.bytes());
        let at = y * surface.stride_bytes as usize + x * bytes.len();
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl Screen {
    /// Copies what differs of `span`, pixel by pixel.
    fn copy(&self, surface: &Surface, span: Span, shadow: &mut [u8], changed: &mut CellSet) {
        assert!(span.lies_in(surface), "{span:?} is not in {surface:?}");
        let bytes = surface.format.bytes();
        for y in span.y..span.y + span.height {
            for x in span.first * CELL..(span.end * CELL).min(surface.size.width) {
                let from = usize::from(y) * surface.stride_bytes as usize + usize::from(x) * bytes;
                let to = (usize::from(y) * usize::from(surface.size.width) + usize::from(x)) * bytes;
                if shadow[to..to + bytes] != self.bytes[from..from + bytes] {
                    shadow[to..to + bytes].copy_from_slice(&self.bytes[from..from + bytes]);
                    changed.insert(surface.size.grid().index(x / CELL, y / CELL));
                }
            }
        }
    }
}

impl Source for Fake {
    fn view(&mut self, _: Instant) -> View {
        let mut screen = self.0.lock().unwrap();
        screen.views += 1;
        screen.view.clone()
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let mut screen = self.0.lock().unwrap();
        screen.sweeps += 1;
        let panics = screen.panics;
        (screen.delay)();
        if panics {
            drop(screen);
            panic!("a fake fault");
        }
        let failing = screen.errors.pop();
        let grid = surface.size.grid();
        let rows = if failing.is_some() { 1 } else { grid.rows };
        let height = |row: u16| CELL.min(surface.size.height - row * CELL);
        let rows =
            (0..rows).map(|row| Span { y: row * CELL, height: height(row), first: 0, end: grid.columns });
        rows.for_each(|span| screen.copy(surface, span, shadow, changed));
        let reading = Reading { notified: screen.notified, ..Reading::whole(surface) };
        failing.map_or(Ok(reading), Err)
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let mut screen = self.0.lock().unwrap();
        screen.probes += 1;
        spans.iter().for_each(|span| screen.copy(surface, *span, shadow, changed));
        let failing = screen.errors.pop();
        let reading = Reading { notified: screen.notified, ..Reading::of_spans(surface, spans) };
        failing.map_or(Ok(reading), Err)
    }

    fn release(&mut self) {
        self.0.lock().unwrap().releases += 1;
    }
}

/// A small deterministic generator (xorshift64*).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}
