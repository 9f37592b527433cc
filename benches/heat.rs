//! What it takes to keep the heat of a screen, and to ask for it.
//!
//! Baseline: `cargo bench --bench heat -- --save-baseline before`, then, on the same machine with nothing else
//! running, `cargo bench --bench heat -- --baseline before`.

#![expect(missing_docs, reason = "a suite has no public items but those of criterion's macros")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use lfp::geometry::CellSet;
use lfp::heat::Heat;
use lfp::hypervisor::{SourceId, SourceSpec, open_local};
use lfp::kernel::dispatch::features;
use lfp::scan::{Delta, Picture, Scanner, TickState};
use lfp::time::Instant;

/// The first picture of a painter, 1920x1080.
fn picture(name: &str) -> Picture {
    let spec: SourceSpec = format!("synthetic:{name}?size=1920x1080").parse().expect("a source");
    let mut scanner = Scanner::new(SourceId(0), open_local(&spec).expect("a source of this process"));
    let tick = scanner.tick(Instant::from_micros(1)).expect("a first tick");
    match &tick.state {
        TickState::Live { picture, .. } => picture.clone(),
        TickState::Dark { text, .. } => panic!("it shows nothing: {text}"),
    }
}

/// Every `step`th cell.
fn every(picture: &Picture, step: usize) -> CellSet {
    let grid = picture.size.grid();
    let mut cells = CellSet::new(grid);
    (0..grid.cells()).step_by(step).for_each(|index| {
        cells.insert(index);
    });
    cells
}

/// Heat that has seen a second of changes in `cells`, and the next of them.
fn warmed(picture: &Picture, cells: &CellSet) -> (Heat, Delta) {
    let mut heat = Heat::new(picture.size);
    let mut delta = Delta { tick: 1, at: Instant::from_micros(1), cells: CellSet::full(picture.size.grid()) };
    heat.observe(&delta, picture, true);
    delta.cells.clone_from(cells);
    for _ in 0..30 {
        step(&mut delta);
        heat.observe(&delta, picture, false);
    }
    (heat, delta)
}

fn step(delta: &mut Delta) {
    delta.tick += 1;
    delta.at = delta.at + Duration::from_micros(33_333);
}

fn observe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heat/observe-1920x1080");
    for (name, percent, stride) in [("mixed", "0.1%", 1_000), ("mixed", "1%", 100), ("mixed", "100%", 1)] {
        let picture = picture(name);
        let cells = every(&picture, stride);
        let (mut heat, mut delta) = warmed(&picture, &cells);
        group.throughput(Throughput::Elements(cells.len() as u64));
        group.bench_function(BenchmarkId::new(name, format!("changed={percent}")), |b| {
            b.iter(|| {
                step(&mut delta);
                heat.observe(&delta, &picture, false);
            });
        });
    }
}

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heat/search-1920x1080");
    let picture = picture("mixed");
    for (percent, stride) in [("0.1%", 1_000), ("1%", 100), ("100%", 1)] {
        let (heat, delta) = warmed(&picture, &every(&picture, stride));
        group.throughput(Throughput::Elements(delta.cells.len() as u64));
        group.bench_function(BenchmarkId::new("active", format!("active={percent}")), |b| {
            b.iter(|| {
                let mut sum = 0;
                heat.active(picture.size.grid().rect(), delta.at, &mut |index| sum += index);
                sum
            });
        });
    }
}

fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heat/features");
    let picture = picture("mixed");
    group.throughput(Throughput::Elements(picture.size.grid().cells() as u64));
    group.bench_function("1920x1080", |b| {
        b.iter(|| {
            for tile in picture.rows.iter().flat_map(|row| &row.tiles) {
                black_box(features(tile, 16, 16));
            }
        });
    });
}

criterion_group!(benches, observe, search, measure);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
