//! Bytes of records for whole plays of recorded traces, by what clients decode: `LFP_TRACES=DIR cargo bench --bench plays`.
//!
//! Every tick's changes are encoded on the picture of the tick before, as for a path without delay and loss, within
//! datagrams of 1,200 bytes. Bytes are those of records with their headers, the first picture's apart; times are of
//! encoding, of one thread.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lfp::ablation::{Part, Without};
use lfp::clock;
use lfp::geometry::CellSet;
use lfp::hypervisor::{SourceId, SourceSpec, open_local};
use lfp::logic::{Base, EncodeRequest, Encoder, Learnt, Profile};
use lfp::scan::{Picture, Scanner, Tick, TickState};
use lfp::time::Instant;
use lfp_proto::technique::{Technique, decoders};

/// What a record may take of a datagram.
const RECORD_MAX: usize = 1_120;
/// Ticks of one play, at most, and what lies between two.
const TICKS_MAX: usize = 600;
const TICK: Duration = Duration::from_nanos(33_333_333);

/// Clients of one kind.
struct Kind {
    name: &'static str,
    decoders: u32,
    without: Without,
    encoder: Encoder,
    learnt: Learnt,
    /// Bytes of the first picture, and of all.
    first: usize,
    bytes: usize,
    time: Duration,
    /// Records and bytes.
    techniques: BTreeMap<&'static str, (usize, usize)>,
}

impl Kind {
    fn all() -> [Self; 7] {
        let without = |techniques: &[Technique]| {
            techniques.iter().fold(decoders(), |decoders, technique| decoders & !technique.bit())
        };
        let (dictionary, trixel, scan) = (Technique::Dictionary, Technique::Trixel, Technique::PixelScan);
        [
            ("bitmap", without(&[dictionary, trixel, scan]), None),
            ("bitmap, pixel scan", without(&[dictionary, trixel]), None),
            ("bitmap, trixel", without(&[dictionary, scan]), None),
            ("the same without penalties", without(&[dictionary, scan]), Some(Part::Penalties)),
            ("the same without the Poisson guard", without(&[dictionary, scan]), Some(Part::PoissonGuard)),
            ("bitmap, trixel, pixel scan", without(&[dictionary]), None),
            ("dictionary", without(&[]), None),
        ]
        .map(|(name, decoders, part)| Self {
            name,
            decoders,
            without: part.into_iter().collect(),
            encoder: Encoder::default(),
            learnt: Learnt::default(),
            first: 0,
            bytes: 0,
            time: Duration::ZERO,
            techniques: BTreeMap::new(),
        })
    }

    /// Encodes what is new in a tick.
    fn encode(&mut self, tick: &Tick, cells: CellSet, base: Option<Arc<Base>>) {
        let bare = EncodeRequest::bare(tick.source, tick.epoch, cells, RECORD_MAX);
        let profile = Profile { decoders: self.decoders, without: self.without, ..bare.profile };
        let mut request =
            EncodeRequest { profile, motion: base.is_some(), base, learnt: self.learnt, ..bare };
        let begun = clock::now();
        while !request.cells.is_empty() {
            let encoded = self.encoder.encode(&request, tick);
            (request.cells, request.learnt) = (encoded.left, encoded.learnt);
            for record in &encoded.records {
                let (records, bytes) = self.techniques.entry(record.technique.name()).or_default();
                *records += 1;
                *bytes += record.wire_len();
                self.bytes += record.wire_len();
            }
        }
        self.learnt = request.learnt;
        self.time += clock::now().saturating_since(begun);
        if self.first == 0 {
            self.first = self.bytes;
        }
    }

    fn print(&self) {
        let Self { name, first, bytes, time, .. } = self;
        let techniques = self.techniques.iter();
        let techniques: Vec<_> =
            techniques.map(|(name, (records, bytes))| format!("{name} {bytes} in {records}")).collect();
        println!(
            "  {name}: first {first} bytes, play {}, {} ms ({})",
            bytes - first,
            time.as_millis(),
            techniques.join(", ")
        );
    }
}

fn play(path: &Path) -> Result<(), Box<dyn Error>> {
    let source = open_local(&SourceSpec::Trace { path: path.to_owned(), repeat: false })
        .ok_or("a trace cannot be opened")?;
    let mut scanner = Scanner::new(SourceId(0), source);
    let mut kinds = Kind::all();
    let mut known: Option<Picture> = None;
    let mut at = Instant::from_micros(1);
    for _ in 0..TICKS_MAX {
        at = at + TICK;
        let Some(tick) = scanner.tick(at) else { continue };
        let TickState::Live { picture, delta } = &tick.state else { continue };
        let base = known.take().filter(|known| known.size == picture.size).map(|known| {
            let trusted = CellSet::full(known.size.grid());
            Arc::new(Base::new(0, tick.number, known, trusted))
        });
        let cells = if base.is_some() { delta.cells.clone() } else { CellSet::full(picture.size.grid()) };
        for kind in kinds.iter_mut().filter(|_| !cells.is_empty()) {
            kind.encode(&tick, cells.clone(), base.clone());
        }
        known = Some(picture.clone());
    }
    println!("{}:", path.file_stem().unwrap_or_default().to_string_lossy());
    kinds.iter().for_each(Kind::print);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(traces) = std::env::var_os("LFP_TRACES") else {
        println!("LFP_TRACES names no directory of traces: nothing to play");
        return Ok(());
    };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(traces)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "lfptrace"));
    paths.sort();
    paths.iter().try_for_each(|path| play(path))
}
