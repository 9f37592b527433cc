//! How fast a source is swept, beside `memcmp` of the same two buffers.
//!
//! `cargo bench --bench scan` prints, first of all and for 1920x1080 and 3840x2160 pixels, what sweeps (nothing changed; one
//! cell in a hundred), ticks (all that a scanner does, the sweep included) and probes take, over `memcmp`. The aims: a sweep
//! at most 1.25, with 1 % changed 1.4; a probe reads at most a twelfth.
//!
//! Baseline: `cargo bench --bench scan -- --save-baseline before`, then, on the same machine with nothing else
//! running, `cargo bench --bench scan -- --baseline before`.

#![expect(missing_docs, reason = "a suite has no public items but those of criterion's macros")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use lfp::geometry::{CellSet, Size};
use lfp::hypervisor::mapping::Mapping;
use lfp::hypervisor::synthetic::{Painting, Scene};
use lfp::hypervisor::{Reading, Source, SourceError, SourceId, Span, Surface, SyntheticSpec, View};
use lfp::kernel::cpu::Level;
use lfp::pixel::{Bounds, Fit, PixelFormat};
use lfp::scan::{Contexts, Delta, Fittings, Picture, Scanner, Strategy, Tick, TickState};
use lfp::units::Epoch;
use lfp_proto::depth::Depth;

const FORMATS: [(&str, PixelFormat); 3] =
    [("32bit", PixelFormat::Xrgb8888), ("24bit", PixelFormat::Rgb888), ("16bit", PixelFormat::Rgb565)];

/// A mapped surface, and its shadow, equal to it.
struct Bench {
    surface: Surface,
    mapping: Mapping,
    source: Vec<u8>,
    shadow: Vec<u8>,
    changed: CellSet,
}

impl Bench {
    fn new(format: PixelFormat) -> Self {
        Self::of(1920, 1080, format)
    }

    fn of(width: u16, height: u16, format: PixelFormat) -> Self {
        let size = Size::new(width, height).expect("a legal size");
        let stride_bytes = u32::from(size.width) * format.bytes() as u32;
        let surface = Surface { size, stride_bytes, format, offset_bytes: 0 };
        let source: Vec<u8> = (0..surface.shadow_bytes()).map(|at| (at / 7) as u8).collect();
        let file: File = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
        file.write_all_at(&source, 0).expect("written");
        let mapping = Mapping::of_file(file).expect("mapped");
        let (shadow, changed) = (source.clone(), CellSet::new(size.grid()));
        Self { surface, mapping, source, shadow, changed }
    }

    fn sweep(&mut self, level: Level) {
        let swept = self.mapping.sweep_at(level, &self.surface, &mut self.shadow, &mut self.changed);
        swept.expect("swept");
    }

    /// Makes the shadow of every `step`th cell differ.
    fn spoil(&mut self, step: usize) {
        let grid = self.surface.size.grid();
        let columns = usize::from(grid.columns);
        for cell in (0..grid.cells()).step_by(step) {
            let (x, y) = (cell % columns * self.surface.cell_row_bytes(), cell / columns * 16 + 5);
            self.shadow[y * self.surface.row_bytes() + x] ^= 0x5a;
        }
    }

    fn memcmp(&self) -> bool {
        black_box(&self.source[..]) == black_box(&self.shadow[..])
    }
}

fn unchanged(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan/unchanged-1920x1080");
    for (name, format) in FORMATS {
        let mut bench = Bench::new(format);
        group.throughput(Throughput::Bytes(bench.shadow.len() as u64));
        group.bench_function(BenchmarkId::new("memcmp", name), |b| b.iter(|| black_box(bench.memcmp())));
        for level in Level::ALL {
            let id = BenchmarkId::new(format!("sweep-{}", level.name()), name);
            group.bench_function(id, |b| b.iter(|| bench.sweep(level)));
        }
        assert!(bench.changed.is_empty());
    }
    group.finish();
}

fn all_changed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan/all-changed-1920x1080");
    for (name, format) in FORMATS {
        let mut bench = Bench::new(format);
        group.throughput(Throughput::Bytes(bench.shadow.len() as u64));
        group.bench_function(BenchmarkId::new("sweep", name), |b| {
            b.iter_batched_ref(
                || bench.source.iter().map(|byte| !byte).collect::<Vec<u8>>(),
                |shadow| bench.mapping.sweep(&bench.surface, shadow, &mut bench.changed).expect("swept"),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// An idle surface that is probed.
fn probe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan/probe");
    for (width, height) in SIZES {
        let mut bench = TickBench::of(width, height, PixelFormat::Xrgb8888);
        bench.scanner.follow(Strategy::Probe);
        group.throughput(Throughput::Bytes(bench.surface.shadow_bytes() as u64));
        let id = BenchmarkId::new(format!("{width}x{height}"), "changed=0%");
        group.bench_function(id, |b| b.iter(|| black_box(bench.tick())));
    }
    group.finish();
}

/// What a painter of ours costs a frame, so that benches of others know what is not theirs.
fn paint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan/paint-1280x800");
    for painting in Painting::ALL {
        let mut scene = Scene::new(SyntheticSpec::new(painting));
        let mut frame = 0;
        group.bench_function(painting.name(), |b| {
            b.iter(|| {
                frame += 1;
                black_box(scene.paint(frame).len())
            });
        });
    }
}

/// A mapped file as a source.
struct Mapped {
    mapping: Mapping,
    surface: Surface,
}

impl Source for Mapped {
    fn view(&mut self, _: lfp::time::Instant) -> View {
        View::Live(self.surface)
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let swept = self.mapping.sweep(surface, shadow, changed);
        swept.map(|()| Reading::whole(surface)).map_err(|error| SourceError::Lost(error.to_string()))
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        let probed = self.mapping.probe(surface, spans, shadow, changed);
        probed
            .map(|()| Reading::of_spans(surface, spans))
            .map_err(|error| SourceError::Lost(error.to_string()))
    }
}

/// A painted surface, and the scanner that has seen it once.
struct TickBench {
    file: File,
    surface: Surface,
    scanner: Scanner,
    round: u8,
}

impl TickBench {
    fn new(format: PixelFormat) -> Self {
        Self::of(1920, 1080, format)
    }

    fn of(width: u16, height: u16, format: PixelFormat) -> Self {
        let Bench { surface, source, .. } = Bench::of(width, height, format);
        let file = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
        file.write_all_at(&source, 0).expect("written");
        let mapping = Mapping::of_file(file.try_clone().expect("a second descriptor")).expect("mapped");
        let mut scanner = Scanner::new(SourceId(0), Box::new(Mapped { mapping, surface }));
        assert!(scanner.tick(lfp::time::Instant::ZERO).is_some());
        Self { file, surface, scanner, round: 0 }
    }

    /// Paints a pixel of every `step`th cell, or of none if that is 0.
    fn paint(&mut self, step: usize) {
        self.round = self.round.wrapping_add(1);
        let grid = self.surface.size.grid();
        let (columns, rows) = (usize::from(grid.columns), usize::from(grid.rows));
        for cell in (0..columns * rows).step_by(step.max(1)).filter(|_| step > 0) {
            let (x, y) = (cell % columns * 16, cell / columns * 16 + 5);
            let at = y * self.surface.stride_bytes as usize + x * self.surface.format.bytes();
            self.file.write_all_at(&[self.round, !self.round], at as u64).expect("painted");
        }
    }

    /// One tick; says how many cells it found changed.
    fn tick(&mut self) -> usize {
        let before = self.scanner.counters().cells_changed;
        let tick = black_box(self.scanner.tick(lfp::time::Instant::ZERO));
        drop(tick);
        (self.scanner.counters().cells_changed - before) as usize
    }
}

fn tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan/tick-1920x1080");
    for ((name, format), (changed, step)) in FORMATS
        .into_iter()
        .flat_map(|format| [("0%", 0), ("1%", 100), ("100%", 1)].map(|step| (format, step)))
    {
        let mut bench = TickBench::new(format);
        group.throughput(Throughput::Bytes(bench.surface.shadow_bytes() as u64));
        group.bench_function(BenchmarkId::new(name, format!("changed={changed}")), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    bench.paint(step);
                    spent += time(|| {
                        black_box(bench.tick());
                    });
                }
                spent
            });
        });
    }
    group.finish();
}

/// What making a whole picture anew costs for displays that show it otherwise. Elements are pixels of the source.
fn fit(criterion: &mut Criterion) {
    let full = Size::new(1920, 1080).expect("a legal size");
    let mut picture = Picture::black(full);
    let mut state = 1_u32;
    for tile in picture.rows.iter_mut().flat_map(|row| &mut Arc::make_mut(row).tiles) {
        *tile = Arc::new(std::array::from_fn(|_| {
            state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x85eb_ca6b);
            state >> 8
        }));
    }
    let at = lfp::time::Instant::ZERO;
    let delta = Delta { tick: 1, at, cells: CellSet::full(full.grid()) };
    let tick = Arc::new(Tick {
        source: SourceId(0),
        fit: Fit::NATIVE,
        full,
        number: 1,
        captured: at,
        epoch: Epoch(1),
        state: TickState::Live { picture, delta },
        contexts: Contexts::unknown(),
    });
    let mut group = criterion.benchmark_group("scan/fit/1920x1080");
    group.throughput(Throughput::Elements(full.pixels() as u64));
    let half = Size::new(960, 540);
    for (name, size, depth) in [
        ("16 bits", None, Depth::Bits16),
        ("8 bits", None, Depth::Bits8),
        ("a half", half, Depth::Bits24),
        ("two thirds", Size::new(1280, 720), Depth::Bits24),
        ("a half in 16 bits", half, Depth::Bits16),
    ] {
        let bounds = [Bounds { size, depth }];
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                Fittings::default,
                |fittings| black_box(fittings.follow(&tick, &bounds)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

const SIZES: [(u16, u16); 2] = [(1920, 1080), (3840, 2160)];

/// The aims' own figures: all in turns, so that a busy machine slows them alike; the fastest of each counts.
fn ratio() {
    for ((width, height), (name, format)) in
        SIZES.into_iter().flat_map(|size| FORMATS.map(|format| (size, format)))
    {
        let mut bench = Bench::of(width, height, format);
        let mut scanned = TickBench::of(width, height, format);
        let mut probed = TickBench::of(width, height, format);
        probed.scanner.follow(Strategy::Probe);
        let [mut sweep, mut some, mut tick, mut probe, mut memcmp] = [Duration::MAX; 5];
        for _ in 0..200 {
            memcmp = memcmp.min(time(|| {
                black_box(bench.memcmp());
            }));
            sweep = sweep.min(time(|| bench.sweep(Level::chosen())));
            bench.spoil(100);
            some = some.min(time(|| bench.sweep(Level::chosen())));
            tick = tick.min(time(|| assert_eq!(scanned.tick(), 0)));
            probe = probe.min(time(|| assert_eq!(probed.tick(), 0)));
        }
        let ratio = |time: Duration| {
            let hundredths = time.as_nanos() * 100 / memcmp.as_nanos().max(1);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        };
        let whole = bench.shadow.len() as u64;
        println!(
            "{width}x{height} {name} ({}), of memcmp's {} us: unchanged sweep {}, 1 % changed {}, unchanged tick {}, probe {} \
             with {:.1} % of a sweep's bytes",
            Level::chosen().name(),
            memcmp.as_micros(),
            ratio(sweep),
            ratio(some),
            ratio(tick),
            ratio(probe),
            probed.scanner.counters().bytes_last as f64 * 100.0 / whole as f64,
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn time(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, unchanged, all_changed, probe, paint, tick, fit);

fn main() {
    ratio();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
