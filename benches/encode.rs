//! What it takes to put pictures into records and to read them: each technique alone, the first whole picture, the same
//! for a second session, a small change, and a digest of everything. For techniques, elements are pixels: `thrpt` of
//! 0.5 Gelem/s is 2 ns a pixel.
//!
//! `cargo bench --bench encode` prints bytes and records of first pictures and what a pixel costs, then measures. `LFP_TRACES=DIR` adds the
//! first picture of each `*.lfptrace` in a directory to the synthetic one.
//!
//! Baseline: `cargo bench --bench encode -- --save-baseline before`, then, on the same machine with nothing else
//! running, `cargo bench --bench encode -- --baseline before`.

#![expect(missing_docs, reason = "a suite has no public items but those of criterion's macros")]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use lfp::ablation::Without;
use lfp::geometry::{CellRect, CellSet};
use lfp::hypervisor::{SourceId, SourceSpec, open_local};
use lfp::logic::{
    Base, DigestRequest, EncodeRequest, Encoded, EncodedRecord, Encoder, Lossy, Profile, SessionKey, Sum,
};
use lfp::pixel::Fit;
use lfp::scan::{Picture, Scanner, Tick, TickState};
use lfp::time::Instant;
use lfp_proto::technique::base::{BaseView, Vector};
use lfp_proto::technique::{self, Technique, scan};
use nix::time::{ClockId, clock_gettime};

/// Datagram payloads, and what of each a record may take.
const DATAGRAMS: [(usize, usize); 2] = [(1_200, 1_120), (8_900, 8_820)];

/// Of what is lossy.
const QUALITY: u8 = 76;
/// How often something is done whose cost is printed.
const COST_RUNS: usize = 7;

struct First {
    name: String,
    tick: Arc<Tick>,
    /// What the source shows a second later.
    later: Option<Arc<Tick>>,
}

impl First {
    fn new(name: String, spec: &SourceSpec) -> Self {
        let source = open_local(spec).expect("a source of this process");
        let mut scanner = Scanner::new(SourceId(0), source);
        let tick = scanner.tick(Instant::from_micros(1)).expect("a first tick");
        let later = scanner.tick(Instant::from_micros(1_000_001));
        Self { name, tick, later }
    }

    fn picture(&self) -> &Picture {
        picture(&self.tick)
    }

    fn request(&self, cells: CellSet, record_max: usize) -> EncodeRequest {
        EncodeRequest::bare(SourceId(0), self.tick.epoch, cells, record_max)
    }

    /// Asks until nothing is left, as a session does.
    fn encode(&self, encoder: &Encoder, record_max: usize) -> Vec<Encoded> {
        let mut answers = Vec::new();
        let mut request = self.request(CellSet::full(self.picture().size.grid()), record_max);
        while !request.cells.is_empty() {
            let encoded = encoder.encode(&request, &self.tick);
            request.cells = encoded.left.clone();
            answers.push(encoded);
        }
        answers
    }

    fn print_size(&self) {
        for (datagram, record_max) in DATAGRAMS {
            let encoder = Encoder::default();
            let answers = self.encode(&encoder, record_max);
            let records = || answers.iter().flat_map(|answer| &answer.records);
            let of = |technique| records().filter(|record| record.technique == technique).count();
            let bytes: usize = records().map(|record| record.payload.len()).sum();
            let counters = encoder.counters();
            println!(
                "first picture of {}, datagram {datagram}: {bytes} bytes of payload in {} records ({} colour, {} bitmap, {} raw), {} trials, {} too long",
                self.name,
                records().count(),
                of(Technique::Colour),
                of(Technique::Bitmap),
                of(Technique::Raw),
                counters.trials,
                counters.misfits,
            );
        }
    }
}

fn picture(tick: &Tick) -> &Picture {
    match &tick.state {
        TickState::Live { picture, .. } => picture,
        TickState::Dark { text, .. } => panic!("a source shows nothing: {text}"),
    }
}

/// Prints what `work` costs for each of `pixels` pixels: the best of some times that this thread computed, so that it
/// holds on a busy machine too.
fn print_cost(what: &str, pixels: usize, mut work: impl FnMut()) {
    let now = || {
        Duration::from(
            clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread has a clock of its own"),
        )
    };
    let time = || {
        let begun = now();
        work();
        now().saturating_sub(begun)
    };
    let best = std::iter::repeat_with(time).take(COST_RUNS).min().unwrap_or_default();
    println!("{what}: {:.2} ns/pixel", best.as_nanos() as f64 / pixels.max(1) as f64);
}

/// The pictures to encode.
fn firsts() -> Vec<First> {
    let spec = "synthetic:mixed?size=1280x800".parse().expect("a source");
    let mut firsts = vec![First::new("synthetic-mixed".to_owned(), &spec)];
    let Some(traces) = std::env::var_os("LFP_TRACES") else { return firsts };
    let entries = std::fs::read_dir(traces).expect("LFP_TRACES is a directory");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "lfptrace"));
    paths.sort();
    firsts.extend(paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        First::new(name, &SourceSpec::Trace { path, repeat: false })
    }));
    firsts
}

fn first_picture(criterion: &mut Criterion) {
    let firsts = firsts();
    for first in &firsts {
        first.print_size();
    }
    for (kind, warm) in [("encode/first-picture", false), ("cache/second-session", true)] {
        let mut group = criterion.benchmark_group(kind);
        for (first, (datagram, record_max)) in
            firsts.iter().flat_map(|first| DATAGRAMS.map(|datagram| (first, datagram)))
        {
            let encoder = || {
                let encoder = Encoder::default();
                if warm {
                    first.encode(&encoder, record_max);
                }
                encoder
            };
            group.throughput(Throughput::Bytes(first.picture().size.pixels() as u64 * 4));
            group.bench_function(BenchmarkId::new(&first.name, format!("datagram={datagram}")), |b| {
                b.iter_batched_ref(
                    encoder,
                    |encoder| first.encode(encoder, record_max),
                    BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}

/// Each technique on its own: what a whole picture costs to encode with nothing else but raw pixels at hand, and what the
/// records that came of it cost to decode. Elements are pixels, so that the time of one is the inverse of the rate.
fn techniques(criterion: &mut Criterion) {
    for first in &firsts() {
        for technique in Technique::ALL {
            let encoder = Encoder::new(0);
            let profile = Profile {
                decoders: technique.bit() | Technique::Raw.bit(),
                record_max: DATAGRAMS[0].1,
                without: Without::NOTHING,
                fit: Fit::NATIVE,
            };
            let encode = || {
                let mut request =
                    first.request(CellSet::full(first.picture().size.grid()), profile.record_max);
                request.profile = profile;
                if !technique.is_exact() {
                    request.lossy = Lossy { cells: request.cells.clone(), quality: QUALITY };
                }
                let mut records = Vec::new();
                while !request.cells.is_empty() {
                    let encoded = encoder.encode(&request, &first.tick);
                    request.cells = encoded.left;
                    records.extend(encoded.records);
                }
                records
            };
            let mut records = encode();
            let all = first.picture().size.pixels() as u64;
            print_cost(&format!("encode {} of {}", technique.name(), first.name), all as usize, || {
                black_box(encode());
            });
            let mut group = criterion.benchmark_group("technique/encode");
            group.throughput(Throughput::Elements(all));
            group.bench_function(BenchmarkId::new(technique.name(), &first.name), |b| b.iter(encode));
            group.finish();
            records.retain(|record| record.technique == technique);
            decode(criterion, first, technique, &records);
        }
    }
}

/// The dictionary on a base: what a second changes, on the picture before.
fn on_a_base(_: &mut Criterion) {
    for first in &firsts() {
        let Some(later) = &first.later else { continue };
        let TickState::Live { picture: new, delta } = &later.state else { continue };
        let size = new.size;
        if size != first.picture().size {
            continue;
        }
        let all = CellSet::full(size.grid());
        let base = Arc::new(Base::new(0, 1, first.picture().clone(), all));
        let mut request = first.request(delta.cells.clone(), DATAGRAMS[0].1);
        (request.base, request.epoch) = (Some(base), later.epoch);
        request.profile.decoders = Technique::Dictionary.bit() | Technique::Raw.bit();
        let encoder = Encoder::new(0);
        let records = encoder.encode(&request, later).records;
        let pixels: usize = records.iter().map(|record| size.clip(record.cells).pixels()).sum();
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        println!(
            "dictionary on a base, a second of {}: {} records, {pixels} pixels, {bytes} bytes of payload",
            first.name,
            records.len()
        );
        print_cost(&format!("encode dictionary on a base of {}", first.name), pixels, || {
            black_box(encoder.encode(&request, later));
        });
        let mut screen = Vec::new();
        first.picture().read(size.grid().rect(), &mut screen);
        let (mut scratch, mut out) = (technique::Scratch::default(), Vec::new());
        print_cost(&format!("decode dictionary on a base of {}", first.name), pixels, || {
            for record in &records {
                let area = size.clip(record.cells);
                let view = BaseView { pixels: &screen, stride: size.width.into(), size, area };
                let view = record.base.map(|_| view);
                technique::decode(record.technique, &record.payload, area, view, &mut scratch, &mut out)
                    .expect("what was encoded is decoded");
                black_box(&out);
            }
        });
    }
}

fn decode(criterion: &mut Criterion, first: &First, technique: Technique, records: &[EncodedRecord]) {
    let size = first.picture().size;
    let pixels: usize = records.iter().map(|record| size.clip(record.cells).pixels()).sum();
    let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
    println!(
        "{} of {}: {} records, {pixels} pixels, {bytes} bytes of payload",
        technique.name(),
        first.name,
        records.len()
    );
    if records.is_empty() {
        return;
    }
    let mut group = criterion.benchmark_group("technique/decode");
    group.throughput(Throughput::Elements(pixels as u64));
    let (mut scratch, mut out) = (technique::Scratch::default(), Vec::new());
    let mut decode = || {
        for record in records {
            let area = size.clip(record.cells);
            technique::decode(technique, &record.payload, area, None, &mut scratch, &mut out)
                .expect("what was encoded is decoded");
            black_box(&out);
        }
    };
    print_cost(&format!("decode {} of {}", technique.name(), first.name), pixels, &mut decode);
    group.bench_function(BenchmarkId::new(technique.name(), &first.name), |b| b.iter(&mut decode));
    group.finish();
}

/// What a pixel scan of a few pixels costs, on a base that has the others: a caret in a cell, and one in 32 pixels of a
/// whole block of cells.
fn pixel_scan(criterion: &mut Criterion) {
    let first = &firsts()[0];
    let size = first.picture().size;
    for (name, side, step) in [("caret", 1, 16), ("block", 16, 32)] {
        let cells = CellRect { x: 16, y: 16, width: side, height: side };
        let area = size.clip(cells);
        let (mut screen, mut old) = (Vec::new(), Vec::new());
        first.picture().read(first.picture().size.grid().rect(), &mut screen);
        first.picture().read(cells, &mut old);
        let mut new = old.clone();
        new.iter_mut().step_by(step).for_each(|pixel| *pixel ^= 0x00ff_ffff);
        let (mut encoder, mut payload) = (scan::Encoder::default(), Vec::new());
        let mut group = criterion.benchmark_group("technique/encode");
        group.throughput(Throughput::Elements(old.len() as u64));
        group.bench_function(BenchmarkId::new("pixel scan", name), |b| {
            b.iter(|| {
                payload.clear();
                let most = old.len() / 8;
                let few = scan::changed(&new, &old, most) <= most;
                few && encoder.encode(&new, &old, Vector::default(), 60_000, &mut payload)
            });
        });
        group.finish();
        // Also where what was to be measured is filtered out.
        payload.clear();
        assert!(encoder.encode(&new, &old, Vector::default(), 60_000, &mut payload), "it fits");
        println!("pixel scan, {name}: {} pixels, {} bytes of payload", old.len(), payload.len());
        let view = BaseView { pixels: &screen, stride: size.width.into(), size, area };
        let (mut scratch, mut out) = (technique::Scratch::default(), Vec::new());
        let mut group = criterion.benchmark_group("technique/decode");
        group.throughput(Throughput::Elements(old.len() as u64));
        group.bench_function(BenchmarkId::new("pixel scan", name), |b| {
            b.iter(|| {
                let technique = Technique::PixelScan;
                technique::decode(technique, &payload, area, Some(view), &mut scratch, &mut out)
            });
        });
        group.finish();
    }
}

/// A few cells, as when somebody types.
fn small_change(criterion: &mut Criterion) {
    let first = &firsts()[0];
    let grid = first.picture().size.grid();
    let mut group = criterion.benchmark_group("encode/small-change");
    for count in [1, 4, 64] {
        let mut cells = CellSet::new(grid);
        for index in grid.cells() / 2..grid.cells() / 2 + count {
            cells.insert(index);
        }
        let request = first.request(cells, DATAGRAMS[0].1);
        // A cache without room: each round encodes anew, with the worker's scratch at hand.
        let encoder = Encoder::new(0);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("cells", count), |b| {
            b.iter(|| black_box(encoder.encode(&request, &first.tick)));
        });
    }
    group.finish();
}

fn digest(criterion: &mut Criterion) {
    let first = &firsts()[0];
    let size = first.picture().size;
    let mut group = criterion.benchmark_group("encode/digest");
    group.throughput(Throughput::Bytes(size.pixels() as u64 * 4));
    let request = DigestRequest {
        session: SessionKey(1),
        source: SourceId(0),
        fit: Fit::NATIVE,
        epoch: first.tick.epoch,
        cells: CellRect { x: 0, y: 0, width: size.grid().columns, height: size.grid().rows },
        sum: Sum::Proof { id: 1 },
    };
    group.bench_function("1280x800", |b| {
        b.iter_batched_ref(
            Encoder::default,
            |encoder| black_box(encoder.digest(&request, &first.tick)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, techniques, on_a_base, pixel_scan, first_picture, small_change, digest);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
