//! What it takes to find out what has moved and what a picture holds.
//!
//! `cargo bench --bench context` prints what each source's ticks cost and what was found in them, then measures.
//! `LFP_TRACES=DIR` adds each `*.lfptrace` in a directory to the synthetic ones.
//!
//! Baseline: `cargo bench --bench context -- --save-baseline before`, then, on the same machine with nothing else
//! running, `cargo bench --bench context -- --baseline before`.

#![expect(missing_docs, reason = "a suite has no public items but those of criterion's macros")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use lfp::ablation::Without;
use lfp::context::Engine;
use lfp::context::motion::Search;
use lfp::geometry::CellSet;
use lfp::heat::Heat;
use lfp::hypervisor::{SourceId, SourceSpec, open_local};
use lfp::scan::{Delta, Picture, Scanner, Tick, TickState};
use lfp::time::Instant;

/// Ticks of each source, and how far apart they are.
const TICKS: u64 = 300;
const TICK_US: u64 = 33_333;

/// A source's ticks.
struct Reel {
    name: String,
    ticks: Vec<Arc<Tick>>,
}

impl Reel {
    fn new(name: String, spec: &SourceSpec) -> Self {
        let mut scanner = Scanner::new(SourceId(0), open_local(spec).expect("a source of this process"));
        let ticks =
            (0..TICKS).filter_map(|at| scanner.tick(Instant::from_micros(1 + at * TICK_US))).collect();
        Self { name, ticks }
    }

    fn pairs(&self) -> impl Iterator<Item = (&Picture, &Picture, &Delta)> {
        self.ticks.windows(2).map(|pair| {
            let ((old, _), (new, delta)) = (live(&pair[0]), live(&pair[1]));
            (old, new, delta)
        })
    }

    /// The pair of pictures with most changed cells.
    fn largest(&self) -> Option<(&Picture, &Picture, &Delta)> {
        self.pairs().max_by_key(|(_, _, delta)| delta.cells.len())
    }
}

fn live(tick: &Tick) -> (&Picture, &Delta) {
    match &tick.state {
        TickState::Live { picture, delta, .. } => (picture, delta),
        TickState::Dark { text, .. } => panic!("it shows nothing: {text}"),
    }
}

fn reels() -> Vec<Reel> {
    let painted = ["scroll", "window-drag", "video", "typing", "mixed"].map(|name| {
        let spec = format!("synthetic:{name}?size=1280x720&fps=30").parse().expect("a source");
        Reel::new(name.to_owned(), &spec)
    });
    let mut reels = Vec::from(painted);
    let Some(traces) = std::env::var_os("LFP_TRACES") else { return reels };
    let entries = std::fs::read_dir(traces).expect("LFP_TRACES is a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "lfptrace"));
    paths.sort();
    reels.extend(paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Reel::new(name, &SourceSpec::Trace { path, repeat: false })
    }));
    reels
}

/// Prints how much of what changed had moved, and what it took to find that out.
fn print_motion(reel: &Reel) {
    let Some((first, _, _)) = reel.pairs().next() else { return };
    let mut search = Search::new(first.size);
    let (mut changed, mut moved, mut rects) = (0, 0, 0);
    let (mut detail, mut saved) = (0, 0);
    let mut costs = Vec::new();
    for (old, new, delta) in reel.pairs() {
        costs.push(time(|| {
            black_box(search.find(old, new, &delta.cells));
        }));
        let grid = new.size.grid();
        let of = |index: usize| {
            let columns = usize::from(grid.columns);
            u64::from(new.detail((index % columns) as u16, (index / columns) as u16))
        };
        changed += delta.cells.len();
        detail += delta.cells.iter().map(of).sum::<u64>();
        let mut covered = CellSet::new(grid);
        for one in search.moves() {
            rects += 1;
            saved += u64::from(one.detail);
            for index in one.cells.indices(grid) {
                assert!(covered.insert(index), "a cell lies in one rectangle");
                moved += usize::from(delta.cells.contains(index));
            }
        }
    }
    costs.sort_unstable();
    let percent = |part: u64, whole: u64| part * 100 / whole.max(1);
    println!(
        "{:<12} {:>4} ticks, {:>7} cells changed, {:>3}% moved ({:>3}% of detail) in {:>5} rectangles; p50 {:>4} us, p95 {:>4} us, max {:>4} us",
        reel.name,
        reel.ticks.len(),
        changed,
        percent(moved as u64, changed as u64),
        percent(saved, detail),
        rects,
        costs[costs.len() / 2].as_micros(),
        costs[costs.len() * 95 / 100].as_micros(),
        costs[costs.len() - 1].as_micros(),
    );
}

fn motion(criterion: &mut Criterion) {
    let reels = reels();
    reels.iter().for_each(print_motion);
    let mut group = criterion.benchmark_group("context/motion");
    for reel in &reels {
        let Some((old, new, delta)) = reel.largest() else { continue };
        let mut search = Search::new(new.size);
        group.throughput(Throughput::Elements(delta.cells.len() as u64));
        let id = BenchmarkId::new(&reel.name, format!("cells={}", delta.cells.len()));
        group.bench_function(id, |b| b.iter(|| search.find(old, new, &delta.cells).len()));
    }
}

/// All ticks of a source, heat and context alike, with what each costs.
fn engines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("context/engines");
    for reel in &reels() {
        let mut costs = run(reel);
        costs.sort_unstable();
        let Some(longest) = costs.last() else { continue };
        println!(
            "{:<12} heat and context: p50 {:>4} us, p95 {:>4} us, max {:>4} us a tick",
            reel.name,
            costs[costs.len() / 2].as_micros(),
            costs[costs.len() * 95 / 100].as_micros(),
            longest.as_micros(),
        );
        let cells: usize = reel.pairs().map(|(_, _, delta)| delta.cells.len()).sum();
        group.sample_size(10).throughput(Throughput::Elements(cells as u64));
        group.bench_function(BenchmarkId::new(&reel.name, format!("ticks={}", reel.ticks.len())), |b| {
            b.iter(|| run(reel).len());
        });
    }
}

fn run(reel: &Reel) -> Vec<Duration> {
    let Some((first, _, _)) = reel.pairs().next() else { return Vec::new() };
    let (mut heat, mut engine) = (Heat::new(first.size), Engine::new(first.size, Without::NOTHING));
    let (_, delta) = live(&reel.ticks[0]);
    heat.observe(delta, first, true);
    black_box(engine.observe(delta, None, first, &heat));
    let cost = |(old, new, delta): (&Picture, &Picture, &Delta)| {
        time(|| {
            heat.observe(delta, new, false);
            black_box(engine.observe(delta, Some(old), new, &heat));
        })
    };
    reel.pairs().map(cost).collect()
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn time(mut work: impl FnMut()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, motion, engines);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
