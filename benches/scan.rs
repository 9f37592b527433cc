//! How fast a source is swept, beside `memcmp` of the same two buffers.
//!
//! `cargo bench --bench scan` prints both, and `sweep / memcmp` of an unchanged 1920x1080 surface; the aim is at
//! most 1.5.

#![expect(missing_docs, reason = "a suite has no public items but those of criterion's macros")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use lfp::geometry::{CellSet, Size};
use lfp::hypervisor::mapping::Mapping;
use lfp::hypervisor::synthetic::{Painting, Scene};
use lfp::hypervisor::{Surface, SyntheticSpec};
use lfp::kernel::cpu::Level;
use lfp::pixel::PixelFormat;

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
        let size = Size::new(1920, 1080).expect("a legal size");
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

/// The aim's own figure: both in turns, so that a busy machine slows both alike; the fastest of each counts.
fn ratio() {
    for (name, format) in FORMATS {
        let mut bench = Bench::new(format);
        let (mut sweep, mut memcmp) = (Duration::MAX, Duration::MAX);
        for _ in 0..200 {
            sweep = sweep.min(time(|| bench.sweep(Level::chosen())));
            memcmp = memcmp.min(time(|| {
                black_box(bench.memcmp());
            }));
        }
        let hundredths = sweep.as_nanos() * 100 / memcmp.as_nanos().max(1);
        println!(
            "unchanged 1920x1080 {name} ({}): sweep {} us, memcmp {} us, sweep / memcmp = {}.{:02}",
            Level::chosen().name(),
            sweep.as_micros(),
            memcmp.as_micros(),
            hundredths / 100,
            hundredths % 100,
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn time(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, unchanged, all_changed, paint);

fn main() {
    ratio();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
