//! Encoding, and decoding what came out.

use std::sync::Arc;

use super::base::Base;
use super::{DigestRequest, EncodeRequest, Encoded, EncodedRecord, Encoder, Lossy, Profile, SessionKey, Sum};
use crate::geometry::{CellRect, CellSet, Size};
use crate::hypervisor::SourceId;
use crate::limits::{CELL, ENCODE_BYTES_MAX};
use crate::pixel::Fit;
use crate::scan::fake::Rng;
use crate::scan::{Contexts, Delta, Picture, Tick, TickState};
use crate::time::Instant;
use crate::units::Epoch;
use lfp_proto::record::{Base as WireBase, Context, Record};
use lfp_proto::technique::base::BaseView;
use lfp_proto::technique::{Scratch, Technique, decode};

const SIZES: [(u16, u16); 6] = [(1, 1), (16, 16), (37, 17), (300, 259), (640, 33), (257, 512)];

/// What is on the screen.
#[derive(Clone, Copy, Debug)]
enum Content {
    Noise,
    Flat,
    Text,
    Mixed,
}

const CONTENTS: [Content; 4] = [Content::Noise, Content::Flat, Content::Text, Content::Mixed];

impl Content {
    fn pixel(self, rng: &mut Rng, x: usize, y: usize) -> u32 {
        match self {
            Self::Noise => rng.next() as u32 & 0xff_ffff,
            Self::Flat => 0x20_40_60,
            Self::Text if y % 20 < 14 && rng.below(4) == 0 => 0x10_10_10,
            Self::Text => 0xff_ff_f0,
            Self::Mixed => {
                let part = match (x / 90 + y / 70) % 4 {
                    0 => Self::Noise,
                    1 => Self::Text,
                    2 => Self::Flat,
                    _ => return (x * 2 + y * 0x0300) as u32 & 0xff_ffff,
                };
                part.pixel(rng, x, y)
            }
        }
    }
}

fn paint(picture: &mut Picture, cells: &CellSet, content: Content, seed: u64, number: u64) {
    let mut rng = Rng(seed);
    let grid = picture.size.grid();
    for index in cells.iter() {
        let (x, y) = ((index % usize::from(grid.columns)) as u16, (index / usize::from(grid.columns)) as u16);
        let area = picture.size.clip(CellRect { x, y, width: 1, height: 1 });
        let mut tile = [0; 256];
        for row in 0..usize::from(area.height) {
            for column in 0..usize::from(area.width) {
                let (x, y) = (usize::from(area.x) + column, usize::from(area.y) + row);
                tile[row * usize::from(CELL) + column] = content.pixel(&mut rng, x, y);
            }
        }
        picture.put(x, y, Arc::new(tile), number);
    }
}

fn picture(size: (u16, u16), content: Content, seed: u64) -> Picture {
    let mut picture = Picture::black(Size::new(size.0, size.1).unwrap());
    let all = CellSet::full(picture.size.grid());
    paint(&mut picture, &all, content, seed, 1);
    picture
}

fn tick(picture: &Picture, number: u64) -> Tick {
    let at = Instant::from_micros(number * 10);
    let delta = Delta { tick: number, at, cells: CellSet::full(picture.size.grid()) };
    let state = TickState::Live { picture: picture.clone(), delta };
    let (source, epoch, contexts) = (SourceId(1), Epoch(1), Contexts::unknown());
    Tick { source, fit: Fit::NATIVE, full: picture.size, number, captured: at, epoch, state, contexts }
}

fn request(cells: CellSet) -> EncodeRequest {
    EncodeRequest { session: SessionKey(1), ..EncodeRequest::bare(SourceId(1), Epoch(1), cells, 1_100) }
}

/// Encodes everything asked for, request by request.
fn encode_all(encoder: &Encoder, mut request: EncodeRequest, tick: &Tick) -> Vec<Encoded> {
    let mut answers = Vec::new();
    while !request.cells.is_empty() {
        let encoded = encoder.encode(&request, tick);
        assert!(!encoded.records.is_empty(), "no progress on {:?}", encoded.left);
        check(&request, &encoded, tick);
        request.cells = encoded.left.clone();
        answers.push(encoded);
    }
    answers
}

/// Each cell asked for is in one record or left; each record fits, and decodes to the tick's pixels.
fn check(request: &EncodeRequest, encoded: &Encoded, tick: &Tick) {
    let TickState::Live { picture, .. } = &tick.state else { panic!("dark") };
    let grid = picture.size.grid();
    let mut seen = encoded.left.clone();
    let (mut expected, mut decoded, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
    for record in &encoded.records {
        assert!(
            request.profile.decoders & record.technique.bit() != 0,
            "{:?} is not decoded",
            record.technique
        );
        let longest = Record {
            age: u64::MAX,
            base: WireBase::None,
            ..Record::new(record.technique, record.context, record.cells, &record.payload)
        };
        assert!(longest.encoded_len() <= request.profile.record_max, "{} bytes", longest.encoded_len());
        for index in record.cells.indices(grid) {
            assert!(request.cells.contains(index), "cell {index} was not asked for");
            assert!(seen.insert(index), "cell {index} comes twice");
        }
        picture.read(record.cells, &mut expected);
        let area = picture.size.clip(record.cells);
        decode(record.technique, &record.payload, area, None, &mut scratch, &mut decoded).unwrap();
        assert!(decoded == expected, "{:?} {:?} differs", record.technique, record.cells);
        assert_eq!(record.context == Context::Flat, expected.iter().all(|pixel| *pixel == expected[0]));
    }
    assert!(seen == request.cells, "every cell is in a record or left");
}

fn some_of(cells: &CellSet, rng: &mut Rng, one_in: u64) -> CellSet {
    let mut some = CellSet::new(cells.grid());
    for index in cells.iter().filter(|_| rng.below(one_in) == 0) {
        some.insert(index);
    }
    some
}

fn payloads(answers: &[Encoded]) -> Vec<(CellRect, Technique, Arc<[u8]>)> {
    let records = answers.iter().flat_map(|answer| &answer.records);
    records.map(|record| (record.cells, record.technique, Arc::clone(&record.payload))).collect()
}

#[test]
fn every_picture_comes_back_in_records_that_fit() {
    let mut rng = Rng(1);
    for (size, content) in SIZES.iter().flat_map(|size| CONTENTS.map(|content| (*size, content))) {
        let encoder = Encoder::default();
        let tick = tick(&picture(size, content, 7), 1);
        let all = CellSet::full(Size { width: size.0, height: size.1 }.grid());
        for record_max in [900, 1_100, 8_800] {
            let mut request = request(all.clone());
            request.profile.record_max = record_max;
            encode_all(&encoder, request.clone(), &tick);
            request.cells = some_of(&all, &mut rng, 3);
            encode_all(&encoder, request, &tick);
        }
    }
}

#[test]
fn only_what_the_client_decodes_is_sent() {
    let tick = tick(&picture((200, 120), Content::Mixed, 3), 1);
    let encoder = Encoder::default();
    let (colour, raw, bitmap) = (Technique::Colour.bit(), Technique::Raw.bit(), Technique::Bitmap.bit());
    let trixel = Technique::Trixel.bit();
    for decoders in [
        raw,
        raw | colour,
        raw | bitmap,
        raw | colour | bitmap,
        trixel | raw,
        trixel | bitmap | raw,
        trixel | bitmap,
    ] {
        for record_max in [1_100, 8_800] {
            let mut request = request(CellSet::full(Size { width: 200, height: 120 }.grid()));
            request.profile = Profile { decoders, record_max, ..request.profile };
            encode_all(&encoder, request, &tick);
        }
    }
    let mut hopeless = request(CellSet::full(Size { width: 200, height: 120 }.grid()));
    hopeless.profile.decoders = 0;
    let encoded = encoder.encode(&hopeless, &tick);
    assert!(encoded.records.is_empty() && encoded.left == hopeless.cells);
}

/// Clients without the dictionary.
fn simple(cells: CellSet) -> EncodeRequest {
    let mut request = request(cells);
    request.profile.decoders &= !Technique::Dictionary.bit();
    request
}

#[test]
fn simple_clients_get_text_in_trixels_whose_cut_rows_are_found_again() {
    let tick = tick(&picture((640, 480), Content::Text, 21), 1);
    let encoder = Encoder::default();
    let all = simple(CellSet::full(Size { width: 640, height: 480 }.grid()));
    let records = encode_all(&encoder, all.clone(), &tick);
    let records: Vec<_> = records.iter().flat_map(|answer| &answer.records).collect();
    assert!(records.iter().all(|record| record.technique == Technique::Trixel));
    let trials = encoder.counters().trials;
    for record in &records {
        let mut alone = simple(CellSet::new(all.cells.grid()));
        for index in record.cells.indices(all.cells.grid()) {
            alone.cells.insert(index);
        }
        let fresh = payloads(&encode_all(&Encoder::default(), alone.clone(), &tick));
        let found = payloads(&encode_all(&encoder, alone, &tick));
        assert!(fresh == found && found == [(record.cells, record.technique, Arc::clone(&record.payload))]);
    }
    assert_eq!(encoder.counters().trials, trials, "all of it is in the cache");
}

#[test]
fn a_caret_is_a_pixel_scan_for_simple_clients() {
    let old = picture((640, 480), Content::Mixed, 22);
    let grid = old.size.grid();
    let base = Arc::new(Base::new(1, 3, old.clone(), CellSet::full(grid)));
    let mut new = old.clone();
    let (x, y) = (7, 3);
    let mut tile = old.tile(x, y).to_owned();
    tile.iter_mut().skip(2).step_by(16).for_each(|pixel| *pixel ^= 0x00ff_ffff);
    new.put(x, y, Arc::new(tile), 2);
    let mut request = simple(CellSet::new(grid));
    request.cells.insert(grid.index(x, y));
    request.base = Some(base);
    let encoded = Encoder::default().encode(&request, &tick(&new, 2));
    let [record] = &encoded.records[..] else { panic!("{:?}", encoded.records) };
    assert_eq!((record.technique, record.cells.cells()), (Technique::PixelScan, 1));
    assert_eq!(record.base.map(|used| (used.slot, used.generation, used.cells)), Some((1, 3, record.cells)));
    let (mut screen, mut pixels, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    old.read(grid.rect(), &mut screen);
    new.read(record.cells, &mut expected);
    let area = old.size.clip(record.cells);
    let view = BaseView { pixels: &screen, stride: 640, size: old.size, area };
    decode(record.technique, &record.payload, area, Some(view), &mut Scratch::default(), &mut pixels)
        .unwrap();
    assert!(pixels == expected);

    // As much is new as old: what does not build on the base is smaller.
    let mut cells = CellSet::new(grid);
    cells.insert(grid.index(x, y));
    paint(&mut new, &cells, Content::Noise, 5, 3);
    let encoded = Encoder::default().encode(&request, &tick(&new, 3));
    assert!(encoded.records.iter().all(|record| record.base.is_none()) && encoded.left.is_empty());
    // Where the base is not trusted, none builds on it.
    let trusted = CellSet::new(grid);
    request.base = Some(Arc::new(Base::new(1, 3, old, trusted)));
    let encoded = Encoder::default().encode(&request, &tick(&new, 3));
    assert!(encoded.records.iter().all(|record| record.base.is_none()) && encoded.left.is_empty());
}

#[test]
fn a_budget_ends_a_request_and_the_rest_is_left() {
    let tick = tick(&picture((640, 480), Content::Noise, 5), 1);
    let encoder = Encoder::default();
    let mut request = request(CellSet::full(Size { width: 640, height: 480 }.grid()));
    for (budget_bytes, least, most) in
        [(0, 1, 1_100), (3_000, 3_000, 4_100), (usize::MAX, ENCODE_BYTES_MAX, ENCODE_BYTES_MAX + 1_100)]
    {
        request.budget_bytes = budget_bytes;
        let encoded = encoder.encode(&request, &tick);
        check(&request, &encoded, &tick);
        let bytes: usize = encoded.records.iter().map(|record| record.payload.len() + 9).sum();
        assert!((least..=most).contains(&bytes), "{bytes} bytes for a budget of {budget_bytes}");
        let first_left = encoded.left.iter().next().unwrap();
        assert!(first_left > 0, "what comes first is encoded first");
    }
}

#[test]
fn threads_that_share_an_encoder_make_the_same_bytes_as_one_alone() {
    let tick = tick(&picture((400, 300), Content::Mixed, 9), 1);
    let all = CellSet::full(Size { width: 400, height: 300 }.grid());
    let mut rng = Rng(4);
    let requests: Vec<_> = (1..7).map(|one_in| request(some_of(&all, &mut rng, one_in))).collect();
    let alone: Vec<_> = requests
        .iter()
        .map(|request| payloads(&encode_all(&Encoder::default(), request.clone(), &tick)))
        .collect();
    let shared = Encoder::default();
    std::thread::scope(|scope| {
        let (shared, tick) = (&shared, &tick);
        let running: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(move || payloads(&encode_all(shared, request.clone(), tick))))
            .collect();
        for (thread, alone) in running.into_iter().zip(&alone) {
            assert!(thread.join().unwrap() == *alone);
        }
    });
}

#[test]
fn a_second_session_costs_no_encoding() {
    let mut picture = picture((400, 300), Content::Mixed, 11);
    let encoder = Encoder::default();
    let all = request(CellSet::full(picture.size.grid()));
    let first = encode_all(&encoder, all.clone(), &tick(&picture, 1));
    let trials = encoder.counters().trials;
    let second =
        encode_all(&encoder, EncodeRequest { session: SessionKey(2), ..all.clone() }, &tick(&picture, 1));
    assert!(payloads(&first) == payloads(&second));
    let pairs =
        first.iter().flat_map(|answer| &answer.records).zip(second.iter().flat_map(|answer| &answer.records));
    assert!(pairs.into_iter().all(|(a, b)| Arc::ptr_eq(&a.payload, &b.payload)), "payloads are shared");
    assert_eq!(encoder.counters().trials, trials);

    let mut changed = CellSet::new(picture.size.grid());
    changed.insert(40);
    paint(&mut picture, &changed, Content::Noise, 2, 2);
    let third = encode_all(&encoder, all.clone(), &tick(&picture, 2));
    let records = third.iter().map(|answer| answer.records.len()).sum::<usize>() as u64;
    let again = encoder.counters().trials - trials;
    assert!((1..records / 4).contains(&again), "{again} of {records} records for one changed cell");

    let one = Profile { record_max: 4_000, ..all.profile };
    encode_all(&encoder, EncodeRequest { profile: one, ..all }, &tick(&picture, 2));
    assert!(encoder.counters().trials > trials + again, "profiles do not mix");
}

#[test]
fn what_was_lost_is_found_in_the_cache() {
    let tick = tick(&picture((640, 480), Content::Text, 12), 1);
    let encoder = Encoder::default();
    let answers =
        encode_all(&encoder, request(CellSet::full(Size { width: 640, height: 480 }.grid())), &tick);
    let trials = encoder.counters().trials;
    let grid = answers[0].left.grid();
    let mut lost = CellSet::new(grid);
    let records: Vec<_> = answers.iter().flat_map(|answer| &answer.records).step_by(9).collect();
    for index in records.iter().flat_map(|record| record.cells.indices(grid)) {
        lost.insert(index);
    }
    encode_all(&encoder, request(lost), &tick);
    let again = encoder.counters().trials - trials;
    assert!(again * 3 <= records.len() as u64, "{again} trials to repair {} records", records.len());
}

#[test]
fn the_cache_keeps_within_its_bound() {
    let bytes = 64 * 1024;
    let encoder = Encoder::new(bytes);
    let mut picture = picture((320, 240), Content::Noise, 13);
    let all = CellSet::full(picture.size.grid());
    for number in 2..6 {
        paint(&mut picture, &all, Content::Noise, number, number);
        encode_all(&encoder, request(all.clone()), &tick(&picture, number));
        assert!(encoder.counters().records.bytes <= bytes as u64);
    }
    assert!(encoder.counters().records.evictions > 0);
}

#[test]
fn another_epoch_source_or_grid_is_answered_with_nothing() {
    let picture = picture((64, 64), Content::Text, 1);
    let (encoder, tick) = (Encoder::default(), tick(&picture, 4));
    let good = request(CellSet::full(picture.size.grid()));
    let other_grid = CellSet::full(Size { width: 640, height: 64 }.grid());
    let mut wrong_grid = good.clone();
    wrong_grid.cells = other_grid;
    for bad in [
        EncodeRequest { epoch: Epoch(2), ..good.clone() },
        EncodeRequest { source: SourceId(2), ..good.clone() },
        wrong_grid,
    ] {
        let encoded = encoder.encode(&bad, &tick);
        assert!(encoded.records.is_empty() && encoded.left == bad.cells && encoded.tick == 4);
    }
    let dark = Tick {
        state: TickState::Dark { state: lfp_proto::frame::SurfaceState::Gone, text: String::new() },
        ..tick
    };
    assert!(encoder.encode(&good, &dark).records.is_empty());
}

#[test]
fn digests_are_of_the_clipped_rows() {
    let picture = picture((70, 40), Content::Noise, 17);
    let (encoder, tick) = (Encoder::default(), tick(&picture, 6));
    let request = |x, y, width, height| DigestRequest {
        session: SessionKey(1),
        source: SourceId(1),
        fit: Fit::NATIVE,
        epoch: Epoch(1),
        cells: CellRect { x, y, width, height },
        sum: Sum::Proof { id: 1 },
    };
    for (x, y, width, height) in [(0, 0, 5, 3), (4, 2, 1, 1), (1, 1, 2, 1), (3, 0, 2, 3)] {
        let mut bytes = Vec::new();
        for row in usize::from(y) * 16..(usize::from(y + height) * 16).min(40) {
            for column in usize::from(x) * 16..(usize::from(x + width) * 16).min(70) {
                let pixel =
                    picture.tile((column / 16) as u16, (row / 16) as u16)[row % 16 * 16 + column % 16];
                bytes.extend(pixel.to_le_bytes());
            }
        }
        for _ in 0..2 {
            let digested = encoder.digest(&request(x, y, width, height), &tick);
            assert_eq!((digested.pixels, digested.tick), (Some(crc32fast::hash(&bytes)), 6));
        }
    }
    assert_eq!(encoder.counters().digests.hits, 4);
    for bad in [request(5, 0, 1, 1), request(0, 0, 0, 1), request(u16::MAX, 0, 2, 1)] {
        assert_eq!(encoder.digest(&bad, &tick).pixels, None);
    }
    assert_eq!(encoder.digest(&DigestRequest { epoch: Epoch(9), ..request(0, 0, 1, 1) }, &tick).pixels, None);
}

/// A film's picture: soft waves.
fn film(size: (u16, u16), number: u64) -> Picture {
    let mut picture = Picture::black(Size::new(size.0, size.1).unwrap());
    let grid = picture.size.grid();
    for (y, x) in (0..grid.rows).flat_map(|y| (0..grid.columns).map(move |x| (y, x))) {
        let pixel = |at: usize| {
            let (x, y) = (usize::from(x) * 16 + at % 16, usize::from(y) * 16 + at / 16);
            let wave = |a: usize, b: usize| ((x * a + y * b) / 3 % 256).abs_diff(128) as u32;
            (40 + wave(5, 2)) << 16 | (60 + wave(2, 7)) << 8 | (50 + wave(3, 3))
        };
        picture.put(x, y, Arc::new(std::array::from_fn(pixel)), number);
    }
    picture
}

/// Records of what need not be exact, decoded: by cell whether it came so.
fn blurred(request: &EncodeRequest, encoded: &[Encoded], picture: &Picture) -> CellSet {
    let (mut blurred, mut seen) = (CellSet::new(picture.size.grid()), CellSet::new(picture.size.grid()));
    let (mut expected, mut decoded, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
    for record in encoded.iter().flat_map(|encoded| &encoded.records) {
        assert!(record.wire_len() <= request.profile.record_max);
        picture.read(record.cells, &mut expected);
        let area = picture.size.clip(record.cells);
        decode(record.technique, &record.payload, area, None, &mut scratch, &mut decoded).unwrap();
        assert!(!record.technique.is_exact() || decoded == expected);
        for index in record.cells.indices(picture.size.grid()) {
            seen.insert(index);
            if !record.technique.is_exact() {
                blurred.insert(index);
            }
        }
    }
    assert!(request.cells.iter().all(|index| seen.contains(index)), "every cell is in a record");
    blurred
}

fn encode_lossy(encoder: &Encoder, mut request: EncodeRequest, tick: &Tick) -> Vec<Encoded> {
    let mut answers = Vec::new();
    while !request.cells.is_empty() {
        let encoded = encoder.encode(&request, tick);
        assert!(!encoded.records.is_empty(), "no progress");
        request.cells = encoded.left.clone();
        answers.push(encoded);
    }
    answers
}

#[test]
fn only_what_may_be_is_blurred_and_it_is_smaller() {
    let picture = film((320, 200), 1);
    let (encoder, tick) = (Encoder::default(), tick(&picture, 1));
    let exact = request(CellSet::full(picture.size.grid()));
    let bytes = |answers: &[Encoded]| -> usize {
        answers.iter().flat_map(|answer| &answer.records).map(EncodedRecord::wire_len).sum()
    };
    let plain = encode_lossy(&encoder, exact.clone(), &tick);
    assert!(blurred(&exact, &plain, &picture).is_empty());
    let mut rng = Rng(8);
    let all = CellSet::full(picture.size.grid());
    let mut sizes = vec![bytes(&plain)];
    for quality in [90, 75, 30] {
        let lossy = Lossy { cells: all.clone(), quality };
        let answers = encode_lossy(&encoder, EncodeRequest { lossy, ..exact.clone() }, &tick);
        assert!(blurred(&exact, &answers, &picture) == all);
        sizes.push(bytes(&answers));
    }
    assert!(sizes.is_sorted_by(|more, less| more > less), "{sizes:?}");
    for one_in in [2, 3, 9] {
        let may = some_of(&all, &mut rng, one_in);
        let wanted = some_of(&all, &mut rng, 2);
        let lossy = Lossy { cells: may.clone(), quality: 75 };
        let asked = EncodeRequest { cells: wanted.clone(), lossy, ..exact.clone() };
        let mut beyond = blurred(&asked, &encode_lossy(&encoder, asked.clone(), &tick), &picture);
        assert!(wanted.iter().filter(|index| may.contains(*index)).all(|index| beyond.contains(index)));
        beyond.subtract(&may);
        assert!(beyond.is_empty(), "blurred for the sake of others");
    }
}

#[test]
fn nothing_is_blurred_for_who_does_not_decode_it() {
    let picture = film((200, 100), 1);
    let mut request = request(CellSet::full(picture.size.grid()));
    request.lossy = Lossy { cells: request.cells.clone(), quality: 50 };
    request.profile.decoders &= !Technique::Lossy.bit();
    let answers = encode_all(&Encoder::default(), request.clone(), &tick(&picture, 1));
    assert!(blurred(&request, &answers, &picture).is_empty());
}
