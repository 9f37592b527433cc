//! A source for tests: shows what the test paints.

use std::sync::{Arc, Mutex};

use crate::geometry::{CellRect, CellSet, Size};
use crate::hypervisor::{Source, SourceError, Surface, View};
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
    ) -> Result<(), SourceError> {
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
        for (x, y) in (0..rows).flat_map(|y| (0..grid.columns).map(move |x| (x, y))) {
            let area = surface.size.clip(CellRect { x, y, width: 1, height: 1 });
            let bytes = surface.format.bytes();
            for row in area.y..area.y + area.height {
                let len = usize::from(area.width) * bytes;
                let from = usize::from(row) * surface.stride_bytes as usize + usize::from(x * CELL) * bytes;
                let to = (usize::from(row) * usize::from(surface.size.width) + usize::from(x * CELL)) * bytes;
                if shadow[to..to + len] != screen.bytes[from..from + len] {
                    shadow[to..to + len].copy_from_slice(&screen.bytes[from..from + len]);
                    changed.insert(grid.index(x, y));
                }
            }
        }
        failing.map_or(Ok(()), Err)
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
