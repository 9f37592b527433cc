//! Golden vectors (`tests/data`): what is in the files parses to the fields beside it and is emitted again, byte
//! for byte.
//!
//! `LFP_WRITE_VECTORS=1 cargo test --test it golden` writes the files anew from [`made`], [`offered`], [`sealed`] and [`wrong`].

mod describe;
mod made;
mod offered;
mod sealed;
mod wrong;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use lfp_proto::depth::Depth;
use lfp_proto::frame::{Frame, Refusal};
use lfp_proto::geometry::{CellRect, PixelRect, Size};
use lfp_proto::greeting::{Greet, SealedAccept, SealedHello};
use lfp_proto::hello::{Accept, Challenge, Hello, Refuse};
use lfp_proto::packet::{Builder, Kind, Protection, View};
use lfp_proto::record::Record;
use lfp_proto::technique::base::{BaseView, base_cells};
use lfp_proto::technique::{self, Technique};
use lfp_proto::units::PacketNumber;
use lfp_proto::wire::{Malformed, Reader};
use serde_json::Value;

/// Largest packet number that the receiver of the vectors' datagrams has seen.
const LARGEST: PacketNumber = PacketNumber(0x1_0000_0000);

/// One entry of a file.
struct Vector {
    name: String,
    fields: Value,
    bytes: Vec<u8>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|at| digit(at).unwrap_or_else(|| panic!("{text} is not hex"))).collect()
}

/// The entries of a file, after it was written anew if that is asked for.
fn vectors(name: &str, made: &[Vector]) -> Vec<Vector> {
    if std::env::var_os("LFP_WRITE_VECTORS").is_some() {
        let rows: Vec<_> = made
            .iter()
            .map(|vector| {
                let entry = serde_json::json!({
                    "name": vector.name, "fields": vector.fields, "hex": hex(&vector.bytes),
                });
                entry.to_string()
            })
            .collect();
        fs::write(file(name), format!("[\n{}\n]\n", rows.join(",\n"))).expect("the file can be written");
    }
    let text = fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let read: Vec<_> = entries
        .iter()
        .map(|entry| Vector {
            name: entry["name"].as_str().expect("an entry has a name").to_owned(),
            fields: entry["fields"].clone(),
            bytes: unhex(entry["hex"].as_str().expect("an entry has bytes")),
        })
        .collect();
    let names = |vectors: &[Vector]| vectors.iter().map(|vector| vector.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&read), names(made), "{name}: write the vectors anew");
    read
}

fn tags(vectors: &[Vector], field: &str) -> BTreeSet<String> {
    vectors.iter().map(|vector| vector.fields[field].as_str().unwrap_or_default().to_owned()).collect()
}

fn emitted_datagram(view: &View<'_>, bytes: &[u8]) -> Vec<u8> {
    let limit = lfp_proto::limits::DATAGRAM_MAX;
    let mut builder = Builder::new(Vec::new(), limit, view.kind(), view.connection(), view.number(LARGEST));
    let payload = view.payload();
    let parsed = "the payload parses";
    let sealed = view.protection() == Protection::Sealed;
    if sealed {
        builder = builder.of_sealed();
    }
    match view.kind() {
        Kind::Hello if sealed => SealedHello::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Accept if sealed => SealedAccept::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Greet => Greet::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Reset => unreachable!("its trailer is no checksum"),
        Kind::Hello => Hello::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Challenge => Challenge::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Accept => Accept::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Refuse => Refuse::parse(payload).expect(parsed).emit(builder.body()),
        Kind::Data => {
            for frame in view.frames() {
                assert!(builder.push(&frame.expect(parsed)));
            }
        }
    }
    builder.pad_to(bytes.len());
    builder.finish()
}

#[test]
fn datagrams() {
    let vectors = vectors("datagrams.json", &made::datagrams());
    for vector in &vectors {
        let view =
            View::new_checked(&vector.bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(describe::datagram(&view, LARGEST), vector.fields, "{}", vector.name);
        assert_eq!(emitted_datagram(&view, &vector.bytes), vector.bytes, "{}", vector.name);
    }
    let kinds = ["accept", "challenge", "data", "greet", "hello", "refuse"];
    assert_eq!(tags(&vectors, "kind"), kinds.map(str::to_owned).into(), "every kind has a vector");
}

#[test]
fn frames() {
    let mut all = made::frames();
    all.extend(offered::frames());
    let vectors = vectors("frames.json", &all);
    for vector in &vectors {
        let mut reader = Reader::new(&vector.bytes);
        let frame = Frame::parse(&mut reader).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(reader.remaining(), 0, "{}", vector.name);
        assert_eq!(describe::frame(&frame), vector.fields, "{}", vector.name);
        let mut again = Vec::new();
        frame.emit(&mut again);
        assert_eq!(again, vector.bytes, "{}", vector.name);
    }
    assert_eq!(tags(&vectors, "frame").len(), 27, "every frame type has a vector");
}

#[test]
fn records() {
    let vectors = vectors("records.json", &made::records());
    for vector in &vectors {
        let mut reader = Reader::new(&vector.bytes);
        let record = Record::parse(&mut reader).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(reader.remaining(), 0, "{}", vector.name);
        assert_eq!(describe::record(&record), vector.fields, "{}", vector.name);
        let mut again = Vec::new();
        record.emit(&mut again);
        assert_eq!(again, vector.bytes, "{}", vector.name);
        assert_eq!(record.encoded_len(), vector.bytes.len(), "{}", vector.name);
    }
    assert_eq!(tags(&vectors, "base").len(), 3, "every form of a base has a vector");
}

/// The picture that a vector has as its base: rows of pixels.
fn base_picture(rows: &Value) -> Option<(Vec<u32>, Size)> {
    let rows: Vec<Vec<u32>> = rows
        .as_array()?
        .iter()
        .map(|row| {
            let pixels = row.as_str().expect("a row is a text").split(' ');
            pixels.map(|pixel| u32::from_str_radix(pixel, 16).expect("a pixel is hex")).collect()
        })
        .collect();
    let size = Size::new(rows[0].len() as u16, rows.len() as u16).expect("a legal size");
    Some((rows.concat(), size))
}

#[test]
fn techniques() {
    let vectors = vectors("techniques.json", &made::techniques());
    for vector in &vectors {
        let side = |name: &str| vector.fields[name].as_u64().and_then(|side| u16::try_from(side).ok());
        let (width, height) = (side("width").expect("a width"), side("height").expect("a height"));
        let technique = Technique::ALL
            .into_iter()
            .find(|technique| vector.fields["technique"] == technique.name())
            .unwrap_or_else(|| panic!("{}: unknown technique", vector.name));
        let place = |name: &str| side(name).unwrap_or_default();
        let area = PixelRect { x: place("x"), y: place("y"), width, height };
        let picture = base_picture(&vector.fields["base"]);
        let base = picture.as_ref().map(|(pixels, size)| {
            let cells = base_cells(technique, &vector.bytes, area, *size).ok();
            let cells = cells.map(describe::cells).unwrap_or_default();
            assert_eq!(cells, vector.fields["base_cells"], "{}", vector.name);
            BaseView { pixels, stride: size.width.into(), size: *size, area }
        });
        let depth =
            vector.fields["depth"].as_u64().map_or(Some(Depth::Bits24), |bits| Depth::from_bits(bits as u8));
        let (mut scratch, mut pixels) = (technique::Scratch::new(depth.expect("a depth")), Vec::new());
        let verdict = technique::decode(technique, &vector.bytes, area, base, &mut scratch, &mut pixels);
        if vector.fields["pixels"].is_null() {
            assert_eq!(verdict, Err(Refusal::Payload), "{}", vector.name);
        } else {
            assert_eq!(verdict, Ok(()), "{}", vector.name);
            assert_eq!(describe::pixels(&pixels, width), vector.fields["pixels"], "{}", vector.name);
        }
    }
    assert_eq!(tags(&vectors, "technique").len(), Technique::ALL.len(), "every technique has a vector");
}

#[test]
fn malformed() {
    for vector in vectors("malformed.json", &wrong::malformed()) {
        let error = match vector.fields["as"].as_str() {
            Some("datagram") => View::new_checked(&vector.bytes).err(),
            Some("data") => {
                View::new_checked(&vector.bytes).expect("the frames are wrong").check_frames().err()
            }
            Some("sealed hello") => SealedHello::parse(&vector.bytes).err(),
            Some("hello") => Hello::parse(&vector.bytes).err(),
            Some("frame") => {
                let mut reader = Reader::new(&vector.bytes);
                Frame::parse(&mut reader).map(|_| reader.finish()).map_or_else(Some, Result::err)
            }
            other => panic!("{}: as what? {other:?}", vector.name),
        };
        let named = error.map(|error| match error {
            Malformed::Field(name) => format!("field: {name}"),
            other => format!("{other:?}").to_lowercase(),
        });
        assert_eq!(named.as_deref(), vector.fields["error"].as_str(), "{}", vector.name);
    }
}

#[test]
fn offers() {
    for vector in vectors("offers.json", &offered::digests()) {
        let field = |name: &str| vector.fields[name].as_u64().unwrap_or_default();
        let first = vector.fields["first_key"].as_str().map(|key| unhex(key).try_into().expect("32 bytes"));
        let side = |name: &str| u16::try_from(field(name)).expect("a side");
        let size = Size::new(side("width"), side("height")).expect("a legal size");
        let plot = &vector.fields["plot"];
        let at = |index: usize| plot[index].as_u64().and_then(|at| u16::try_from(at).ok()).expect("a cell");
        let plot = CellRect { x: at(0), y: at(1), width: at(2), height: at(3) };
        let pixels = offered::pixels(size.clip(plot).pixels());
        let digest = offered::key(first, field("connection")).digest(size, plot, [&pixels[..]]);
        assert_eq!(digest.to_le_bytes()[..], vector.bytes, "{}", vector.name);
    }
}

#[test]
fn checks() {
    for vector in vectors("checks.json", &made::checks()) {
        let numbers = |name: &str| {
            let list = vector.fields[name].as_array().cloned().unwrap_or_default();
            list.iter().filter_map(Value::as_u64).collect::<Vec<_>>()
        };
        let contents =
            lfp_proto::check::contents(numbers("contents").into_iter().map(lfp_proto::units::ContentNumber));
        let row: Vec<_> = numbers("pixels").into_iter().map(|pixel| pixel as u32).collect();
        let pixels = lfp_proto::check::pixels([&row[..]]);
        assert_eq!([contents.to_le_bytes(), pixels.to_le_bytes()].concat(), vector.bytes, "{}", vector.name);
    }
}
