//! How what has changed is found: our refiner, sweeping and probing, beside that of classic shared-screen servers, over
//! the same frames. No server and no client: the scan engine alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lfp::geometry::CellSet;
use lfp::hypervisor::{Reading, Source, SourceError, SourceId, Span, Surface, View, private};
use lfp::pixel::PixelFormat;
use lfp::scan::{Picture, Refiner, Scanner, Strategy, TickState};
use lfp_proto::time::Instant;

use crate::Outcome;
use crate::player::Frames;

/// What is compared.
const WAYS: [(&str, Strategy, Refiner); 3] = [
    ("cells, sweep", Strategy::Sweep, Refiner::Cells),
    ("cells, probe", Strategy::Probe, Refiner::Cells),
    ("classic", Strategy::Sweep, Refiner::Classic),
];

/// Sums over a trace.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    frames: u64,
    bytes: u64,
    found: u64,
    same: u64,
    late: u64,
    spent: Duration,
}

/// Prints a table for each trace.
pub(crate) fn compare(traces: &[PathBuf]) -> Outcome<()> {
    println!(
        "per frame: bytes read and of those a sweep reads, cells found changed, cells damaged in vain, time;"
    );
    println!("late: frames of which not all was seen in the scan behind them");
    for trace in traces {
        let name = trace.file_stem().unwrap_or_default().to_string_lossy();
        for (way, strategy, refiner) in WAYS {
            let (sums, whole) = play(trace, strategy, refiner)?;
            let per = |sum: u64| sum as f64 / sums.frames.max(1) as f64;
            println!(
                "{name:<12} {way:<13} {:>6.0} kB {:>5.1} %  {:>7.1} found {:>6.1} in vain  {:>5.0} us  late {} of {}",
                per(sums.bytes) / 1000.0,
                per(sums.bytes) * 100.0 / whole as f64,
                per(sums.found),
                per(sums.same),
                per(sums.spent.as_nanos() as u64) / 1000.0,
                sums.late,
                sums.frames,
            );
        }
    }
    Ok(())
}

/// One trace, each frame of which is scanned once. Also how many bytes a sweep reads.
fn play(trace: &Path, strategy: Strategy, refiner: Refiner) -> Outcome<(Sums, usize)> {
    let mut frames = Frames::open(trace)?;
    let size = frames.size();
    let stride_bytes = u32::from(size.width) * 4;
    let surface = Surface { size, stride_bytes, format: PixelFormat::Xrgb8888, offset_bytes: 0 };
    let shown = Shown::default();
    shown.set(frames.picture());
    let mut scanner = Scanner::new(SourceId(0), Box::new(Framed { surface, shown: shown.clone() }));
    scanner.follow(strategy);
    let mut tick = scanner.tick(Instant::ZERO).ok_or("a trace without a picture")?;
    // Of the mode that has begun with it.
    scanner.refine(refiner);
    let first = scanner.counters();
    let mut sums = Sums::default();
    while frames.advance()? {
        shown.set(frames.picture());
        sums.frames += 1;
        let now = Instant::from_micros(sums.frames * 16_667);
        let began = lfp::clock::now();
        let found = scanner.tick(now);
        sums.spent += lfp::clock::now().saturating_since(began);
        if let Some(found) = found {
            scanner.keep(&tick);
            tick = found;
        }
        let TickState::Live { picture, .. } = &tick.state else { return Err("a trace went dark".into()) };
        sums.late += u64::from(!is_shown(picture, frames.picture()));
    }
    let counters = scanner.counters();
    sums.bytes = counters.bytes_read - first.bytes_read;
    sums.found = counters.cells_changed - first.cells_changed;
    sums.same = counters.cells_same - first.cells_same;
    Ok((sums, surface.shadow_bytes()))
}

fn is_shown(picture: &Picture, frame: &[u8]) -> bool {
    let mut pixels = Vec::new();
    picture.read(picture.size.grid().rect(), &mut pixels);
    frame.chunks_exact(4).zip(pixels).all(|(bytes, pixel)| bytes[..3] == pixel.to_le_bytes()[..3])
}

/// The frame that is there to be scanned.
#[derive(Clone, Debug, Default)]
struct Shown(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Shown {
    fn set(&self, frame: &[u8]) {
        let mut bytes = self.lock();
        bytes.clear();
        bytes.extend_from_slice(frame);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A source of frames.
struct Framed {
    surface: Surface,
    shown: Shown,
}

impl Source for Framed {
    fn view(&mut self, _: Instant) -> View {
        View::Live(self.surface)
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        Ok(private::sweep(surface, &self.shown.lock(), shadow, changed))
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        Ok(private::probe(surface, spans, &self.shown.lock(), shadow, changed))
    }
}
