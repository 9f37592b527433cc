//! Answers encode and digest requests from a tick. One encoder serves every session, from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ablation::Part;
use crate::context;
use crate::context::motion::Move;
use crate::geometry::{CellRect, CellSet, Grid};
use crate::heat::common;
use crate::limits::{
    CELL_PIXELS, DIGEST_CACHE_BYTES, ENCODE_BYTES_MAX, ENCODE_CACHE_BYTES, ENCODE_CELLS_MAX,
    MOTION_CACHE_BYTES,
};
use crate::logic::base::{Base, BaseUse};
use crate::logic::cache::{BoundedCache, CacheCounters, Content};
use crate::logic::choice::{Checks, Learnt};
use crate::logic::copies::{self, Copied, Question, Searches};
use crate::logic::record::{self, Coded, Scratch};
use crate::logic::slots;
use crate::logic::ways::{self, Class};
use crate::logic::{
    DigestRequest, Digested, EncodeRequest, Encoded, EncodedRecord, Lossy, OfferSums, Profile, Sum, region,
};
use crate::scan::{Contexts, Picture, Tick, TickState};
use lfp_proto::check;
use lfp_proto::offer::{OfferKey, Plots};
use lfp_proto::record::Context;
use lfp_proto::technique::base::Vector;
use lfp_proto::technique::{Technique, copy};

/// Side, in cells, of the aligned blocks that no rectangle crosses, so that sessions that want overlapping
/// cells arrive at the same rectangles.
const BLOCK: u16 = 16;
/// Vectors to bases that are tried on cells which are no copies.
const WAYS_MAX: usize = 4;
/// Fewest cells of one colour that are worth a record of their own: where they are coded on a base, and where a coder that
/// learns has nothing to learn from but what lies beside them, which they would cut up.
const FLAT_CELLS_MIN: usize = 8;
const FLAT_CELLS_MIN_ALONE: usize = (BLOCK * BLOCK) as usize;
/// Cells that are put into bytes together where they need not be exact; a record of the smallest datagrams holds about so
/// many.
const LOSSY_CELLS_GUESS: u16 = 48;

/// Encodes for all sessions, and keeps what it made for the next one that wants the same.
pub struct Encoder {
    records: BoundedCache<Key, Option<Coded>>,
    digests: BoundedCache<Content, u32>,
    motions: BoundedCache<Question, Arc<[Copied]>>,
    searches: Searches,
    scratch: Mutex<Vec<Scratch>>,
    trials: AtomicU64,
    misfits: AtomicU64,
}

/// Names the bytes of a rectangle for clients of a profile.
type Key = (Content, Profile, KeyManner);

/// How a rectangle is to be put into bytes.
#[derive(Clone, Copy)]
enum Manner<'a> {
    /// Exactly, on a base that lies there, if there is one; some rules are to be checked.
    Exact(Option<(&'a Base, Vector)>, Checks),
    /// Nearly, at a quality.
    Lossy(u8),
}

/// A [`Manner`] whose base has an identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum KeyManner {
    Exact(Option<(Vector, u64)>, Checks),
    Lossy(u8),
}

/// What an encoder has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EncoderCounters {
    /// Rectangles that were put into bytes, or into too many.
    pub trials: u64,
    /// Those of them that did not fit a record.
    pub misfits: u64,
    /// The cache of encoded records.
    pub records: CacheCounters,
    /// The cache of checksums.
    pub digests: CacheCounters,
    /// The cache of what moved between a base and a picture.
    pub motions: CacheCounters,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new(ENCODE_CACHE_BYTES)
    }
}

impl Encoder {
    /// An encoder that keeps at most `cache_bytes` bytes of records.
    #[must_use]
    pub fn new(cache_bytes: usize) -> Self {
        Self {
            records: BoundedCache::new(cache_bytes),
            digests: BoundedCache::new(DIGEST_CACHE_BYTES),
            motions: BoundedCache::new(MOTION_CACHE_BYTES),
            searches: Searches::default(),
            scratch: Mutex::new(Vec::new()),
            trials: AtomicU64::new(0),
            misfits: AtomicU64::new(0),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> EncoderCounters {
        EncoderCounters {
            trials: self.trials.load(Ordering::Relaxed),
            misfits: self.misfits.load(Ordering::Relaxed),
            records: self.records.counters(),
            digests: self.digests.counters(),
            motions: self.motions.counters(),
        }
    }

    /// Puts as many of the cells asked for as the budget allows into records, from `tick`'s picture. The same
    /// request on the same tick gives the same records, whatever else the encoder does.
    #[must_use]
    pub fn encode(&self, request: &EncodeRequest, tick: &Tick) -> Encoded {
        self.encode_until(request, tick, &|| false)
    }

    /// [`Encoder::encode`] that ends, once `pressed` says that somebody else waits, with the record that fills a
    /// packet: the records are the first of those that it would have made, or all.
    #[must_use]
    pub fn encode_until(&self, request: &EncodeRequest, tick: &Tick, pressed: &dyn Fn() -> bool) -> Encoded {
        let mut encoded = Encoded { tick: tick.number, captured: tick.captured, ..Encoded::nothing(request) };
        let grid = request.cells.grid();
        let picture = match &tick.state {
            TickState::Live { picture, .. } if picture.size.grid() == grid => picture,
            TickState::Live { .. } | TickState::Dark { .. } => return encoded,
        };
        let asked = (request.source, request.profile.fit, request.epoch);
        if (tick.source, tick.fit, tick.epoch) != asked {
            return encoded;
        }
        encoded.picture = Some(Arc::new(picture.clone()));
        let scratch = self.lock_scratch().pop().unwrap_or_default();
        let mut job = Job {
            encoder: self,
            request,
            picture,
            contexts: &tick.contexts,
            wanted: &mut encoded.left,
            ways: &mut encoded.ways,
            learnt: &mut encoded.learnt,
            same: &mut encoded.same,
            records: &mut encoded.records,
            stores: &mut encoded.stores,
            scratch,
            pressed,
            bytes: 0,
            cells: 0,
        };
        if let Some(base) = request.base.as_deref().filter(|base| base.picture.size == picture.size) {
            if request.motion {
                job.keep(base);
                let copied = job.cover_copies(base, tick);
                // What moved as a whole is better not cut to pieces.
                job.cover_stored();
                job.store(base, &copied);
            }
        }
        job.cover_rest();
        let scratch = job.scratch;
        self.lock_scratch().push(scratch);
        encoded
    }

    /// The checksum, or the digests, that a client must have over the cells asked for if it shows `tick`'s picture.
    #[must_use]
    pub fn digest(&self, request: &DigestRequest, tick: &Tick) -> Digested {
        let mut digested = Digested { tick: tick.number, ..Digested::nothing(request) };
        let TickState::Live { picture, .. } = &tick.state else { return digested };
        let same = (tick.source, tick.fit, tick.epoch) == (request.source, request.fit, request.epoch);
        if !same || !picture.size.grid().contains(request.cells) {
            return digested;
        }
        if let Sum::Offer { part, key } = &request.sum {
            let digests = offered(picture, *part, key);
            digested.offered = Some(OfferSums { digests, picture: Arc::new(picture.clone()) });
            return digested;
        }
        let content = Content {
            source: request.source,
            fit: request.fit,
            epoch: request.epoch,
            cells: request.cells,
            changed_at: picture.newest_change(request.cells),
        };
        digested.pixels = self.digests.find(&content).or_else(|| {
            let pixels = checksum(picture, request.cells);
            self.digests.keep(content, pixels, 0);
            Some(pixels)
        });
        digested
    }

    /// One rectangle in bytes, from the cache or made; `None` if no record of the profile holds it.
    fn obtain(
        &self,
        content: Content,
        profile: Profile,
        picture: &Picture,
        manner: Manner<'_>,
        scratch: &mut Scratch,
    ) -> Option<Coded> {
        let key = |content: Content| {
            let area = picture.size.clip(content.cells);
            let manner = match manner {
                Manner::Exact(base, checks) => {
                    let base = base.and_then(|(base, vector)| {
                        let source = vector.inside(area, picture.size)?;
                        Some((vector, base.identity(source.cells_touched())))
                    });
                    KeyManner::Exact(base, checks)
                }
                Manner::Lossy(quality) => KeyManner::Lossy(quality),
            };
            (content, profile, manner)
        };
        let asked = key(content);
        if let Some(coded) = self.records.find(&asked) {
            return coded;
        }
        let coded = match manner {
            Manner::Exact(base, checks) => {
                record::encode(picture, content.cells, profile, base, checks, scratch)
            }
            Manner::Lossy(quality) => record::encode_lossy(picture, content.cells, profile, quality, scratch),
        };
        self.trials.fetch_add(1, Ordering::Relaxed);
        self.misfits.fetch_add(u64::from(coded.is_none()), Ordering::Relaxed);
        self.records.keep(asked, coded.clone(), coded.as_ref().map_or(0, |coded| coded.payload.len()));
        // Whoever wants what is in it, to repair it, asks for just that. Lossily, or by a rule, it need not get the same bytes:
        // how chroma is sampled, and which technique is tried, depends on all of what was asked for.
        let height = content.cells.height;
        if let Some(cut) = coded.as_ref().filter(|coded| coded.is_same_alone && coded.rows < height) {
            let cells = CellRect { height: cut.rows, ..content.cells };
            let content = Content { cells, changed_at: picture.newest_change(cells), ..content };
            self.records.keep(key(content), coded.clone(), 0);
        }
        coded
    }

    /// What of `wanted` can be copied from `base`, from the cache or searched; `moves` are those of the question's tick.
    fn copies(
        &self,
        question: Question,
        base: &Base,
        picture: &Picture,
        wanted: &CellSet,
        moves: &[Move],
    ) -> Arc<[Copied]> {
        if let Some(found) = self.motions.find(&question) {
            return found;
        }
        let find = |search: &mut _| copies::find(base, picture, wanted, moves, search).into();
        let found: Arc<[Copied]> = self.searches.with(&question, picture.size, find);
        self.motions.keep(question, Arc::clone(&found), size_of_val(&*found));
        found
    }

    fn lock_scratch(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        // A push or a pop leaves the list sound whatever happens.
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way.
struct Job<'a> {
    encoder: &'a Encoder,
    request: &'a EncodeRequest,
    picture: &'a Picture,
    contexts: &'a Contexts,
    /// What no record holds yet.
    wanted: &'a mut CellSet,
    /// Vectors that lead to where moved cells were.
    ways: &'a mut Vec<Vector>,
    /// How rules turned out.
    learnt: &'a mut Learnt,
    /// What the client has already.
    same: &'a mut CellSet,
    records: &'a mut Vec<EncodedRecord>,
    /// What the client is to store first.
    stores: &'a mut Vec<BaseUse>,
    scratch: Scratch,
    pressed: &'a dyn Fn() -> bool,
    /// Of the records made.
    bytes: usize,
    /// In the records made.
    cells: usize,
}

impl Job<'_> {
    fn is_over(&self) -> bool {
        self.bytes >= self.request.budget_bytes.clamp(1, ENCODE_BYTES_MAX)
            || self.cells >= ENCODE_CELLS_MAX
            || self.bytes >= self.request.profile.record_max && (self.pressed)()
    }

    /// Leaves out what the client shows already.
    fn keep(&mut self, base: &Base) {
        for index in self.request.cells.iter().filter(|index| self.request.kept.contains(*index)) {
            if copies::same(&base.picture, self.picture, index) {
                self.wanted.remove(index);
                self.same.insert(index);
            }
        }
    }

    /// Makes records of what the client can copy from its base.
    fn cover_copies(&mut self, base: &Base, tick: &Tick) -> Arc<[Copied]> {
        if self.request.profile.decoders & Technique::Copy.bit() == 0 || self.wanted.is_empty() {
            return Arc::default();
        }
        let question = Question::new(tick, base, self.wanted);
        let found = self.encoder.copies(question, base, self.picture, self.wanted, self.contexts.moves());
        for copied in found.iter() {
            if self.ways.len() < WAYS_MAX
                && copied.vector != Vector::default()
                && !self.ways.contains(&copied.vector)
            {
                self.ways.push(copied.vector);
            }
            let context = self.context(copied.cells);
            let payload = Arc::from(copy::encode(copied.vector));
            let used = Some(base.using(copied.base));
            self.push(EncodedRecord {
                technique: Technique::Copy,
                context,
                cells: copied.cells,
                payload,
                base: used,
            });
        }
        found
    }

    /// Makes records of what the client has in its cache.
    fn cover_stored(&mut self) {
        let Some(slots) = self.request.slots.as_deref() else { return };
        for slots::Found { cells, used } in slots::find(slots, self.picture, self.wanted) {
            let (technique, context, payload) = (Technique::Use, self.context(cells), used.payload().into());
            self.push(EncodedRecord { technique, context, cells, payload, base: None });
        }
    }

    /// Has the client store what is worth it of what it is about to paint over.
    fn store(&mut self, base: &Base, copied: &[Copied]) {
        let Some(slots) = self.request.slots.as_deref() else { return };
        let (going, contexts) = (&self.request.cells, self.contexts);
        let proposed = slots::propose(slots, base, self.picture, going, contexts, copied);
        self.stores.extend(proposed.into_iter().map(|cells| base.using(cells)));
    }

    /// What `cells` hold. Not kept with the bytes: what a region is taken for depends on the tick, its bytes on its
    /// pixels alone.
    fn context(&self, cells: CellRect) -> Context {
        let is_flat = context::is_flat(self.picture, cells);
        if is_flat { Context::Flat } else { self.contexts.most_but_flat(cells) }
    }

    /// Takes a record over, and its cells off what is wanted.
    fn push(&mut self, record: EncodedRecord) {
        self.bytes += record.wire_len();
        self.cells += record.cells.cells();
        for index in record.cells.indices(self.wanted.grid()) {
            self.wanted.remove(index);
        }
        self.records.push(record);
    }

    /// Makes records of what is wanted of `block` and has one colour over a good many cells.
    fn cover_flat(&mut self, block: CellRect) {
        let profile = self.request.profile;
        let is_out = profile.without.contains(Part::FlatRegions);
        if is_out || profile.decoders & Technique::Colour.bit() == 0 {
            return;
        }
        let is_alone = self.request.base.is_none() && self.learns();
        let least = if is_alone { FLAT_CELLS_MIN_ALONE } else { FLAT_CELLS_MIN };
        for y in block.y..block.y + block.height {
            for x in block.x..block.x + block.width {
                let wanted = self.wanted.contains(self.wanted.grid().index(x, y));
                if !wanted || self.picture.detail(x, y) > 0 {
                    continue;
                }
                let flat = region::flat_from(self.picture, self.wanted, x, y, block);
                if flat.cells() >= least && !self.is_over() {
                    self.attempt(flat, self.exactly(None));
                }
            }
        }
    }

    /// Makes records of all that is wanted, block by block, until there is enough.
    fn cover_rest(&mut self) {
        let grid = self.wanted.grid();
        let builds = self.learns() || record::decodes(self.request.profile, Technique::PixelScan);
        let base = self.request.base.clone().filter(|base| builds && base.picture.size == self.picture.size);
        let mut classes = match base.as_deref() {
            Some(base) => ways::divide(base, self.picture, self.wanted, self.ways),
            None => vec![Class { vector: None, cells: self.wanted.clone() }],
        };
        let mut lossy = self.lossy();
        // What the user waits for goes first; which rectangles there are does not depend on it.
        let warm = self.contexts.warm();
        let is_warm = |block: &CellRect| warm.iter().any(|area| common(*area, *block) > 0);
        let (first, rest): (Vec<_>, Vec<_>) = blocks(grid).partition(is_warm);
        for block in first.into_iter().chain(rest) {
            if self.is_over() {
                break;
            }
            self.cover_flat(block);
            self.cover_lossy(block, &mut lossy);
            for class in &mut classes {
                let way = base.as_deref().zip(class.vector);
                self.cover(block, &mut class.cells, way);
            }
        }
    }

    /// What is wanted and may be sent so that it is not exact.
    fn lossy(&self) -> CellSet {
        let request = self.request;
        let mut lossy = self.wanted.clone();
        let is_out = request.profile.decoders & Technique::Lossy.bit() == 0;
        if is_out || request.lossy.cells.grid() != lossy.grid() {
            return CellSet::new(lossy.grid());
        }
        lossy.intersect(&request.lossy.cells);
        lossy
    }

    /// Makes records that are not exact of what of `class` is wanted in `area`.
    fn cover_lossy(&mut self, area: CellRect, class: &mut CellSet) {
        if class.is_empty() || self.is_over() {
            return;
        }
        class.intersect(self.wanted);
        let Some(bounds) = region::bounds(class, area) else { return };
        let Lossy { cells, quality } = &self.request.lossy;
        // What lies between may come along if it is no more exact now.
        if region::holds_all(cells, bounds) && region::holds_half(class, bounds) {
            // As many rows as are likely to fit, and some: those behind are put into bytes in vain.
            let rows = (LOSSY_CELLS_GUESS / bounds.width).clamp(1, bounds.height);
            let top = CellRect { height: rows, ..bounds };
            let is_flat = context::is_flat(self.picture, top);
            let manner = if is_flat { self.exactly(None) } else { Manner::Lossy(*quality) };
            if region::bounds(class, top).is_some() && self.attempt(top, manner) {
                return self.cover_lossy(bounds, class);
            }
        }
        if bounds.cells() > 1 {
            let (first, second) = region::split(bounds);
            self.cover_lossy(first, class);
            self.cover_lossy(second, class);
        }
    }

    /// Makes records of everything of `class` that is wanted in `area`, as few as fit.
    fn cover(&mut self, area: CellRect, class: &mut CellSet, way: Option<(&Base, Vector)>) {
        if self.is_over() {
            return;
        }
        class.intersect(self.wanted);
        let Some(bounds) = region::bounds(class, area) else { return };
        let base = way.filter(|(base, vector)| ways::leads(base, self.picture, bounds, *vector));
        let dense = match base {
            // What lies between costs next to nothing, but for what moves.
            Some(_) => region::holds_half(class, bounds) && !self.brings_lossy(bounds, class),
            None => region::holds_all(class, bounds),
        };
        let tried =
            dense && (base.is_some() || self.may_fit(bounds)) && self.attempt(bounds, self.exactly(base));
        // Too much is not as in the base for a client that learns nothing from it.
        let without = || base.is_some() && !self.learns() && region::holds_all(class, bounds);
        if tried || without() && self.may_fit(bounds) && self.attempt(bounds, self.exactly(None)) {
            // A record may hold just the first rows.
            return self.cover(bounds, class, way);
        }
        if bounds.cells() > 1 {
            let (first, second) = region::split(bounds);
            self.cover(first, class, way);
            self.cover(second, class, way);
        }
    }

    /// Whether there are cells in `bounds`, beside those of `class`, that need not be exact.
    fn brings_lossy(&self, bounds: CellRect, class: &CellSet) -> bool {
        let lossy = &self.request.lossy.cells;
        lossy.grid() == class.grid()
            && bounds.indices(class.grid()).any(|index| lossy.contains(index) && !class.contains(index))
    }

    /// Whether the client decodes the dictionary, which makes something of any base.
    fn learns(&self) -> bool {
        record::decodes(self.request.profile, Technique::Dictionary)
    }

    /// Whether `cells` are likely enough to fit one record, or their first rows are, to be tried.
    fn may_fit(&self, cells: CellRect) -> bool {
        let profile = self.request.profile;
        if cells.cells() == 1 || self.learns() || record::decodes(profile, Technique::Trixel) {
            return true;
        }
        let payload_max = record::payload_max(profile);
        if !record::decodes(profile, Technique::Bitmap) {
            return cells.cells() * CELL_PIXELS / 4 * profile.fit.depth.bytes() <= payload_max;
        }
        record::estimate(self.picture, cells) <= payload_max
    }

    /// The manner of what is to be exact.
    fn exactly<'b>(&self, base: Option<(&'b Base, Vector)>) -> Manner<'b> {
        Manner::Exact(base, self.learnt.checks(self.request.profile.without))
    }

    /// Makes a record of `cells`, or of their first rows, in a manner; says whether it could.
    fn attempt(&mut self, cells: CellRect, manner: Manner<'_>) -> bool {
        let request = self.request;
        let changed_at = self.picture.newest_change(cells);
        let EncodeRequest { source, epoch, profile, .. } = *request;
        let content = Content { source, fit: profile.fit, epoch, cells, changed_at };
        let coded = self.encoder.obtain(content, profile, self.picture, manner, &mut self.scratch);
        let Some(Coded { technique, vector, rows, payload, verdict, .. }) = coded else { return false };
        if let Some((rule, verdict)) = verdict {
            self.learnt.note(rule, verdict);
        }
        let cells = CellRect { height: rows, ..cells };
        let base = match manner {
            Manner::Exact(base, _) => base,
            Manner::Lossy(_) => None,
        };
        let used = base.zip(vector).and_then(|((base, _), vector)| {
            let source = vector.inside(self.picture.size.clip(cells), self.picture.size)?;
            Some(base.using(source.cells_touched()))
        });
        let context = self.context(cells);
        self.push(EncodedRecord { technique, context, cells, payload, base: used });
        true
    }
}

/// The aligned blocks that cover `grid`, row by row.
fn blocks(grid: Grid) -> impl Iterator<Item = CellRect> {
    (0..grid.rows).step_by(usize::from(BLOCK)).flat_map(move |y| {
        (0..grid.columns).step_by(usize::from(BLOCK)).map(move |x| CellRect {
            x,
            y,
            width: BLOCK.min(grid.columns - x),
            height: BLOCK.min(grid.rows - y),
        })
    })
}

/// CRC-32 over the pixels of `cells` as DIGEST defines it.
fn checksum(picture: &Picture, cells: CellRect) -> u32 {
    let mut sum = check::Pixels::default();
    let mut pixels = Vec::new();
    for y in cells.y..cells.y + cells.height {
        picture.read(CellRect { y, height: 1, ..cells }, &mut pixels);
        sum.update(&pixels);
    }
    sum.finish()
}

/// The digests of the plots of a part, as OFFER defines them.
fn offered(picture: &Picture, part: u8, key: &OfferKey) -> Vec<u64> {
    let mut pixels = Vec::new();
    let plots = Plots::of(picture.size.grid()).part(part);
    let digest = |plot| {
        picture.read(plot, &mut pixels);
        key.digest(picture.size, plot, [&pixels[..]])
    };
    plots.into_iter().map(digest).collect()
}
