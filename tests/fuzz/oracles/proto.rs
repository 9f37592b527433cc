//! The wire: whatever parses is emitted again byte for byte, and nothing grows beyond its bounds.

use std::collections::BTreeSet;

use lfp_proto::depth::Depth;
use lfp_proto::frame::Frame;
use lfp_proto::geometry::{CellSet, Grid, PixelRect, Size};
use lfp_proto::greeting::{Decision, Greet, SealedAccept, SealedHello, Wish};
use lfp_proto::hello::{Accept, Challenge, Hello, Refuse};
use lfp_proto::identity::Secret;
use lfp_proto::limits::{DATAGRAM_MAX, FRAMES_MAX, RECORDS_MAX, TEXT_MAX};
use lfp_proto::noise::{Noise, Pattern};
use lfp_proto::packet::{Builder, HEADER_LEN, Kind, PLAIN_TRAILER_LEN, Protection, View};
use lfp_proto::record::{RECORD_HEADER_MAX, Record};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};
use lfp_proto::technique::base::{BaseView, Vector, base_cells};
use lfp_proto::technique::{self, BaseUse, Technique, bitmap, lossy, scan, trixel};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, PacketNumber};
use lfp_proto::wire::{Malformed, Put, Reader};

use super::why;
use crate::harness::Outcome;

/// A datagram as it came.
pub(crate) fn datagram(input: &[u8]) -> Outcome {
    check_view(&View::new_checked(input).map_err(why)?)
}

fn check_view(view: &View<'_>) -> Outcome {
    for largest in [0, 1, u64::from(u32::MAX), u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let number = view.number(PacketNumber(largest));
        let near = number.0.abs_diff(largest.wrapping_add(1)) <= 1 << 31;
        assert!(near || number.0 <= u64::from(u32::MAX), "{number:?} for {largest}");
    }
    let sealed = view.protection() == Protection::Sealed;
    match view.kind() {
        Kind::Hello | Kind::Accept | Kind::Greet if sealed => greeting(view.payload()),
        Kind::Greet | Kind::Reset => unreachable!("neither is plain, and a reset has no checksum"),
        Kind::Hello => hello(view.payload()),
        Kind::Challenge => challenge(view.payload()),
        Kind::Accept => accept(view.payload()),
        Kind::Refuse => refuse(view.payload()),
        Kind::Data => frames(view),
    }
}

fn frames(view: &View<'_>) -> Outcome {
    let parsed: Result<Vec<_>, _> = view.frames().collect();
    assert_eq!(parsed.as_ref().map(drop).map_err(|error| *error), view.check_frames());
    let parsed = parsed.map_err(why)?;
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MAX, Kind::Data, view.connection(), PacketNumber(0));
    let (mut records, mut room) = (0, true);
    for frame in &parsed {
        assert_ne!(*frame, Frame::Padding);
        if let Frame::Pixels(pixels) = frame {
            records += pixels.records().count();
        }
        // A datagram of the largest size has no room left for what a seal needs.
        room &= builder.push(frame);
    }
    assert!(parsed.len() <= FRAMES_MAX && records <= RECORDS_MAX);
    assert!(room || view.payload().len() > DATAGRAM_MAX - HEADER_LEN - 16);
    let again = builder.finish();
    let view = View::new_checked(&again).expect("what is built is whole");
    assert!(!room || view.frames().map(Result::unwrap).eq(parsed));
    Ok(())
}

/// The payload of a DATA datagram.
pub(crate) fn data(input: &[u8]) -> Outcome {
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MAX, Kind::Data, ConnectionId(1), PacketNumber(7));
    let room = builder.room();
    builder.body().extend_from_slice(&input[..input.len().min(room)]);
    let bytes = builder.finish();
    assert!(bytes.len() <= DATAGRAM_MAX - 16 + PLAIN_TRAILER_LEN);
    frames(&View::new_checked(&bytes).expect("what is built is whole"))
}

/// One frame.
pub(crate) fn frame(input: &[u8]) -> Outcome {
    let mut reader = Reader::new(input);
    let frame = Frame::parse(&mut reader).map_err(why)?;
    let mut again = Vec::new();
    frame.emit(&mut again);
    assert_eq!(again, input[..input.len() - reader.remaining()], "{frame:?}");
    if let Frame::Ack(ack) = frame {
        assert_eq!(ack.encoded_len(), again.len());
    }
    Ok(())
}

/// One record.
pub(crate) fn record(input: &[u8]) -> Outcome {
    let mut reader = Reader::new(input);
    let record = Record::parse(&mut reader).map_err(why)?;
    let mut again = Vec::new();
    record.emit(&mut again);
    assert_eq!(again, input[..input.len() - reader.remaining()], "{record:?}");
    assert_eq!(record.encoded_len(), again.len());
    assert!(again.len() <= RECORD_HEADER_MAX + record.payload.len());
    for number in [0, 1, record.age, u64::MAX] {
        let content = record.content(PacketNumber(number));
        assert!(content.is_none_or(|content| content.0 > 0 && content.0 + record.age == number));
    }
    Ok(())
}

/// What parses is emitted again, byte for byte but for zeros behind it.
fn exact<T: PartialEq + std::fmt::Debug>(
    input: &[u8],
    parse: fn(&[u8]) -> Result<T, Malformed>,
    emit: fn(&T, &mut Vec<u8>),
) -> Outcome {
    let parsed = parse(input).map_err(why)?;
    let mut again = Vec::new();
    emit(&parsed, &mut again);
    assert!(input.starts_with(&again) && input[again.len()..].iter().all(|byte| *byte == 0), "{parsed:?}");
    assert_eq!(parse(&again), Ok(parsed));
    Ok(())
}

/// The payload of a HELLO.
pub(crate) fn hello(input: &[u8]) -> Outcome {
    exact(input, Hello::parse, Hello::emit)
}

/// What a sealed connection's handshake says, as whatever it may be.
pub(crate) fn greeting(input: &[u8]) -> Outcome {
    let decision = exact(input, Decision::parse, Decision::emit);
    let decision = exact(input, Wish::parse, Wish::emit).or(decision);
    let greet = exact(input, Greet::parse, Greet::emit);
    let accept = exact(input, SealedAccept::parse, SealedAccept::emit);
    exact(input, SealedHello::parse, SealedHello::emit).or(accept).or(greet).or(decision)
}

/// A packet of a sealed connection: none that was not sealed there opens, and none harms.
pub(crate) fn sealed(input: &[u8]) -> Outcome {
    const NOW: Instant = Instant::from_micros(1_000_000);
    let (up, down) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let (keys, mut opened) = (Keys { send: down, receive: up }, Vec::new());
    let cipher = if input.len() % 2 == 0 { Cipher::ChaCha20Poly1305 } else { Cipher::Aes256Gcm };
    let mut seal = Seal::new(&keys, cipher, NOW, RekeyAfter::default());
    for largest in [0, u64::from(u32::MAX), u64::MAX] {
        let outcome = seal.open(NOW, input, PacketNumber(largest), &mut opened);
        assert!(outcome.is_err(), "a forged packet opens: {input:02x?}");
    }
    assert!(opened.len() <= DATAGRAM_MAX);
    // Sealed by the other side, the same bytes open.
    let keys = Keys { send: Secret::new([1; 32]), receive: Secret::new([2; 32]) };
    let mut sender = Seal::new(&keys, cipher, NOW, RekeyAfter::default());
    let number = PacketNumber(1);
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MAX, Kind::Data, ConnectionId(7), number);
    let Some(payload) = input.get(..input.len().min(builder.room())).filter(|payload| !payload.is_empty())
    else {
        return Err("nothing to seal");
    };
    builder.body().extend_from_slice(payload);
    let bytes = sender.finish(NOW, number, builder);
    let view = seal.open(NOW, &bytes, PacketNumber(0), &mut opened).expect("what was sealed opens");
    assert_eq!(view.payload(), payload);
    Ok(())
}

/// A message of a Noise handshake: no panic, and no keys of a forged one. Taken is what may begin one: an XX handshake's first
/// message proves nothing yet.
pub(crate) fn noise(input: &[u8]) -> Outcome {
    let own = Secret::new([5; 32]);
    let connection = ConnectionId(7);
    let mut begins = false;
    for pattern in [Pattern::Ik, Pattern::Xx] {
        let mut server = Noise::server(pattern, &own, connection, Secret::new([6; 32]));
        let read = server.read(input);
        assert!(pattern == Pattern::Xx || read.is_err(), "a forged wish is read");
        if read.is_ok() {
            let _ = server.write(&[]).expect("it was read");
            assert!(server.read(input).is_err() && server.keys().is_none());
            begins = true;
        }
        let known = own.public();
        let known = (pattern == Pattern::Ik).then_some(&known);
        let mut client = Noise::client(&Secret::new([3; 32]), known, connection, Secret::new([4; 32]));
        let _ = client.write(&[]).expect("a message");
        assert!(client.read(input).is_err() && client.keys().is_none(), "a forged answer is read");
    }
    if begins { Ok(()) } else { Err("forged") }
}

/// The payload of a CHALLENGE.
pub(crate) fn challenge(input: &[u8]) -> Outcome {
    exact(input, Challenge::parse, Challenge::emit)
}

/// The payload of an ACCEPT.
pub(crate) fn accept(input: &[u8]) -> Outcome {
    exact(input, Accept::parse, Accept::emit)
}

/// The payload of a REFUSE.
pub(crate) fn refuse(input: &[u8]) -> Outcome {
    exact(input, Refuse::parse, Refuse::emit)
}

fn decode(technique: Technique, depth: Depth, width: u8, height: u8, payload: &[u8]) -> Outcome {
    // The rectangle lies in the middle of its base, so that vectors lead anywhere.
    let (width, height) = (1 + u16::from(width % 64), 1 + u16::from(height % 64));
    let area = PixelRect { x: 16, y: 32, width, height };
    let size = Size { width: 40 + width, height: 60 + height };
    let pixels = vec![depth.reduce(0x0012_3456); size.pixels()];
    let base = BaseView { pixels: &pixels, stride: size.width.into(), size, area };
    let reads = technique.base_use() != BaseUse::Never || technique == Technique::Use;
    let base = (reads && payload.len() % 8 > 0).then_some(base);
    if let Ok(cells) = base_cells(technique, payload, area, size) {
        assert!(
            technique.base_use() != BaseUse::Never && size.grid().contains(cells),
            "{cells:?} in {size:?}"
        );
    }
    let (mut scratch, mut out) = (technique::Scratch::new(depth), vec![7]);
    let decoded = technique::decode(technique, payload, area, base, &mut scratch, &mut out);
    if decoded.is_ok() {
        assert_eq!(out.len(), area.pixels());
        assert!(depth.has_all(&out), "a pixel is not one of {depth:?}");
    }
    assert!(out.len() <= area.pixels() && scratch.inflated_len() <= area.pixels() * 4 + 768);
    decoded.map_err(|_| "payload")
}

/// A payload of any technique, for a rectangle of any size.
pub(crate) fn technique(input: &[u8]) -> Outcome {
    let [number, width, height, payload @ ..] = input else { return Err("short") };
    let (number, count) = (usize::from(*number), Technique::ALL.len());
    let depths = [Depth::Bits24, Depth::Bits16, Depth::Bits8];
    decode(Technique::ALL[number % count], depths[number / count % 3], *width, *height, payload)
}

/// A bitmap's payload for the rectangles of the golden vectors.
pub(crate) fn bitmap(input: &[u8]) -> Outcome {
    let sizes = [(16, 16), (47, 9), (13, 5), (21, 7), (32, 16), (2, 5)];
    let of =
        |(width, height): &(u8, u8)| decode(Technique::Bitmap, Depth::Bits24, width - 1, height - 1, input);
    sizes.iter().map(of).fold(Err("payload"), Outcome::or)
}

/// A lossy bitmap's payload for the rectangles of the golden vectors; it is the same pixels each time.
pub(crate) fn lossy(input: &[u8]) -> Outcome {
    let sizes = [(32, 16), (16, 32), (21, 7), (9, 17), (64, 48)];
    let of =
        |(width, height): &(u8, u8)| decode(Technique::Lossy, Depth::Bits24, width - 1, height - 1, input);
    sizes.iter().map(of).fold(Err("payload"), Outcome::or)
}

/// Whatever the lossy encoder makes of any pixels decodes, within any limit, and what fits of it is what it makes of
/// those rows alone.
pub(crate) fn lossy_encoder(input: &[u8]) -> Outcome {
    let [width, limit, quality, rest @ ..] = input else { return Err("short") };
    let width = 1 + usize::from(*width) % 48;
    let pixels: Vec<_> = rest.windows(3).map(|bgr| u32::from_le_bytes([bgr[0], bgr[1], bgr[2], 0])).collect();
    let pixels = &pixels[..pixels.len() / width * width];
    if pixels.is_empty() {
        return Err("no pixels");
    }
    let limit = usize::from(*limit) * 8;
    let form =
        lossy::Form { quality: 1 + quality % lossy::QUALITY_MAX, sampling: lossy::sampling(pixels, width) };
    let mut payload = Vec::new();
    let rows = lossy::encode(pixels, width, form, limit, &mut payload);
    assert!(payload.len() <= limit && (rows % 16 == 0 || rows == pixels.len() / width));
    if rows == 0 {
        assert!(payload.is_empty());
        return Err("beyond the limit");
    }
    let mut alone = Vec::new();
    assert_eq!(lossy::encode(&pixels[..rows * width], width, form, limit, &mut alone), rows);
    assert_eq!(payload, alone);
    let area = PixelRect { x: 0, y: 0, width: width as u16, height: rows as u16 };
    let (mut scratch, mut out) = (technique::Scratch::default(), Vec::new());
    assert_eq!(technique::decode(Technique::Lossy, &payload, area, None, &mut scratch, &mut out), Ok(()));
    assert_eq!(out.len(), area.pixels());
    Ok(())
}

/// Any pixels come back from every encoder that takes them, within any limit.
pub(crate) fn encoder(input: &[u8]) -> Outcome {
    let [width, limit, colours, rest @ ..] = input else { return Err("short") };
    let width = 1 + usize::from(*width) % 48;
    let mask = if colours % 2 == 0 { 0x00ff_ffff } else { 0x0003_0301 };
    let pixels: Vec<_> =
        rest.windows(3).map(|bgr| u32::from_le_bytes([bgr[0], bgr[1], bgr[2], 0]) & mask).collect();
    let pixels = &pixels[..pixels.len() / width * width];
    if pixels.is_empty() {
        return Err("no pixels");
    }
    let height = pixels.len() / width;
    let area = PixelRect { x: 0, y: 0, width: width as u16, height: height as u16 };
    let (mut payload, mut scratch, mut out) = (Vec::new(), technique::Scratch::default(), Vec::new());
    let limit = usize::from(*limit) * 16;
    let fits = bitmap::Encoder::new(bitmap::Effort::Fast).encode(pixels, width, limit, &mut payload);
    if fits {
        assert!(payload.len() <= limit);
        assert_eq!(
            technique::decode(Technique::Bitmap, &payload, area, None, &mut scratch, &mut out),
            Ok(())
        );
        assert_eq!(out, pixels);
    } else {
        assert!(payload.is_empty());
    }
    trixels(pixels, area, limit);
    changes(pixels, area, limit);
    if fits { Ok(()) } else { Err("beyond the limit") }
}

/// The rows that fit come back from trixels.
fn trixels(pixels: &[u32], area: PixelRect, limit: usize) {
    let (mut payload, mut scratch, mut out) = (Vec::new(), technique::Scratch::default(), Vec::new());
    let rows = trixel::Encoder::default().encode(pixels, area.width.into(), limit, &mut payload);
    assert!(payload.len() <= limit && rows <= area.height.into());
    if rows > 0 {
        let area = PixelRect { height: rows as u16, ..area };
        let decoded = technique::decode(Technique::Trixel, &payload, area, None, &mut scratch, &mut out);
        assert_eq!(decoded, Ok(()));
        assert_eq!(out, pixels[..area.pixels()]);
    }
}

/// The pixels come back from a pixel scan on a base that has some of them.
fn changes(pixels: &[u32], area: PixelRect, limit: usize) {
    let mut base = pixels.to_vec();
    base.iter_mut().step_by(1 + pixels[0] as usize % 9).for_each(|pixel| *pixel &= 0x000f_ff0f);
    let (mut payload, mut scratch, mut out) = (Vec::new(), technique::Scratch::default(), Vec::new());
    let fits = scan::Encoder::default().encode(pixels, &base, Vector::default(), limit, &mut payload);
    assert!(payload.len() <= if fits { limit } else { 0 });
    if fits {
        let size = Size { width: area.width, height: area.height };
        let view = BaseView { pixels: &base, stride: area.width.into(), size, area };
        let decoded =
            technique::decode(Technique::PixelScan, &payload, area, Some(view), &mut scratch, &mut out);
        assert_eq!(decoded, Ok(()));
        assert_eq!(out, pixels);
    }
}

/// Any text is sent as a legal one, whole if it was legal.
pub(crate) fn text(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let mut bytes = Vec::new();
    bytes.put_text(&text, TEXT_MAX);
    let mut reader = Reader::new(&bytes);
    let read = reader.text(TEXT_MAX, "text").expect("what is put is legal");
    assert_eq!(reader.remaining(), 0);
    let legal = text.len() <= TEXT_MAX && !text.chars().any(char::is_control);
    assert!(!legal || read == text);
    if legal { Ok(()) } else { Err("cut or cleaned") }
}

/// A set of cells does as a set of numbers does.
pub(crate) fn cell_set(input: &[u8]) -> Outcome {
    let [columns, rows, steps @ ..] = input else { return Err("short") };
    let grid = Grid { columns: u16::from(*columns % 40), rows: u16::from(*rows % 40) };
    let (mut set, mut model) = (CellSet::new(grid), BTreeSet::new());
    for step in steps.chunks_exact(3) {
        let index = usize::from(u16::from_le_bytes([step[1], step[2]])) % (grid.cells() + 1);
        match step[0] % 16 {
            0..=9 if index < grid.cells() => assert_eq!(set.insert(index), model.insert(index)),
            10..=13 => assert_eq!(set.remove(index), model.remove(&index)),
            14 if step[1] == 0 => {
                set.fill();
                model = (0..grid.cells()).collect();
            }
            15 if step[1] == 0 => {
                set.clear();
                model.clear();
            }
            _ => assert_eq!(set.contains(index), model.contains(&index)),
        }
    }
    assert!(set.iter().eq(model.iter().copied()) && set.len() == model.len());
    assert_eq!(set.is_empty(), model.is_empty());
    if set.is_empty() { Err("empty") } else { Ok(()) }
}
