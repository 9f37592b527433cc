//! The vectors as they are written.

use lfp_proto::check;
use lfp_proto::depth::Depth;
use lfp_proto::frame::{
    self, Ack, AckRange, Attend, Attention, Button, Close, CloseReason, Digest, DigestReply, Echo, Echoed,
    Ecn, Frame, Hold, Input, InputAck, InputEvent, InputKind, Mark, Parity, Path, Pixels, Prove, Quality,
    Refusal, Refused, Report, ResetReason, Stream, StreamCredit, StreamReset, Surface, SurfaceState, Ticket,
    Verdict,
};
use lfp_proto::geometry::{CellRect, PixelRect, Size};
use lfp_proto::greeting::{Greet, SealedAccept, SealedHello, Step};
use lfp_proto::hello::{Accept, Challenge, ClientType, Display, Hello, Refuse, RefuseReason};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::record::{Base, Context, Record};
use lfp_proto::technique::base::{Vector as Way, base_cells};
use lfp_proto::technique::cache::{Store, Stored, Use};
use lfp_proto::technique::{
    Scratch, Technique, bitmap, colour, copy, decode, dictionary, lossy, raw, scan, trixel,
};
use lfp_proto::units::{Bitrate, ConnectionId, ContentNumber, Epoch, PacketNumber, StreamId, SurfaceId};
use serde_json::json;

use super::{LARGEST, Vector, describe};

const CONNECTION: ConnectionId = ConnectionId(0x0123_4567_89ab_cdef);
const SURFACE: SurfaceId = SurfaceId(3);
const EPOCH: Epoch = Epoch(300);

fn number(value: u64) -> PacketNumber {
    PacketNumber(value)
}

pub(super) fn builder(kind: Kind, packet: u64) -> Builder {
    Builder::new(Vec::new(), 1_200, kind, CONNECTION, number(packet))
}

fn datagram(name: &str, builder: Builder) -> Vector {
    let bytes = builder.finish();
    let view = View::new_checked(&bytes).expect("what is built is whole");
    Vector { name: name.to_owned(), fields: describe::datagram(&view, LARGEST), bytes }
}

pub(super) fn hello(cookie: &[u8]) -> Hello {
    Hello {
        cookie: cookie.to_vec(),
        client_time_us: 1_234_567,
        service: "default".to_owned(),
        place: "Zürich, desk 4".to_owned(),
        client_type: ClientType::ThinTerminal,
        displays: vec![
            Display::new(Size::new(1920, 1080), Depth::Bits24, 60),
            Display::new(None, Depth::Bits16, 75),
        ],
        decoders: 0b1110,
        references: 0,
        datagram_size: 1_200,
        receive_buffer: 212_992,
    }
}

pub(super) fn datagrams() -> Vec<Vector> {
    let cookie = [0xc0, 0x0c, 0x1e, 0x00, 0xff];
    let mut first = builder(Kind::Hello, 0);
    hello(&[]).emit(first.body());
    first.pad_to(1_100);
    let mut second = builder(Kind::Hello, 0);
    hello(&cookie).emit(second.body());
    second.pad_to(1_100);
    let mut challenge = builder(Kind::Challenge, 0);
    Challenge { client_time_us: 1_234_567, cookie: cookie.to_vec() }.emit(challenge.body());
    let mut accept = builder(Kind::Accept, 0);
    Accept {
        client_time_us: 1_234_567,
        server_time_us: 0x0102_0304_0506,
        datagram_size: 1_200,
        idle_timeout_ms: 30_000,
    }
    .emit(accept.body());
    let mut refuse = builder(Kind::Refuse, 0);
    Refuse {
        client_time_us: 1_234_567,
        reason: RefuseReason::UnknownService,
        text: "no service is called desk; ask for default".to_owned(),
    }
    .emit(refuse.body());
    let mut data = builder(Kind::Data, LARGEST.0 + 1);
    let mut records = Vec::new();
    flat().emit(&mut records);
    for frame in [
        Frame::Surface(live()),
        Frame::Pixels(Pixels { surface: SURFACE, epoch: EPOCH, records: &records }),
        Frame::Floor(number(LARGEST.0 - 20)),
        Frame::Ping,
    ] {
        assert!(data.push(&frame), "the frames fit");
    }
    let mut late = builder(Kind::Data, LARGEST.0 - 3);
    assert!(late.push(&Frame::Ping));
    let mut all = vec![
        datagram("hello without a cookie, padded", first),
        datagram("hello with a cookie, padded", second),
        datagram("challenge", challenge),
        datagram("accept", accept),
        datagram("refuse", refuse),
        datagram("data: a surface, pixels, a floor, a ping", data),
        datagram("data: a number below the largest, across 32 bits", late),
    ];
    all.extend(sealed_datagrams(&cookie));
    all
}

/// The datagrams of a sealed connection's handshake. What messages hold stands in `sealed.json`.
fn sealed_datagrams(cookie: &[u8]) -> [Vector; 7] {
    let hello = |step: Step, cookie: &[u8], message: &[u8]| {
        let mut hello = builder(Kind::Hello, 0).of_sealed();
        SealedHello { cookie: cookie.to_vec(), client_time_us: 1_234_567, step, message: message.to_vec() }
            .emit(hello.body());
        hello.pad_to(1_100);
        hello
    };
    let message = [0x5e, 0xa1, 0xed];
    let mut challenge = builder(Kind::Challenge, 0).of_sealed();
    Challenge { client_time_us: 1_234_567, cookie: cookie.to_vec() }.emit(challenge.body());
    let mut greet = builder(Kind::Greet, 0).of_sealed();
    Greet { client_time_us: 1_234_567, message: message.to_vec() }.emit(greet.body());
    let mut accept = builder(Kind::Accept, 0).of_sealed();
    SealedAccept { message: message.to_vec(), decision: vec![0xdc; 20] }.emit(accept.body());
    [
        datagram("sealed hello that asks for a cookie, padded", hello(Step::Ask, &[], &[])),
        datagram("sealed hello, IK, padded", hello(Step::Ik, cookie, &message)),
        datagram("sealed hello, first of XX, padded", hello(Step::XxFirst, cookie, &message)),
        datagram("sealed hello, third of XX, padded", hello(Step::XxThird, cookie, &message)),
        datagram("sealed challenge", challenge),
        datagram("greet", greet),
        datagram("sealed accept", accept),
    ]
}

fn live() -> Surface<'static> {
    Surface {
        surface: SURFACE,
        epoch: EPOCH,
        state: SurfaceState::Live,
        size: Size::new(1280, 800),
        text: "1280x800 from VRAM",
    }
}

fn flat() -> Record<'static> {
    let cells = CellRect { x: 2, y: 0, width: 78, height: 50 };
    Record::new(Technique::Colour, Context::Flat, cells, &[0x10, 0x20, 0x30])
}

fn frame(name: &str, frame: &Frame<'_>) -> Vector {
    let mut bytes = Vec::new();
    frame.emit(&mut bytes);
    Vector { name: name.to_owned(), fields: describe::frame(frame), bytes }
}

fn ack_frames() -> [Vector; 3] {
    let range = |first, last| AckRange { first: number(first), last: number(last) };
    let plain =
        Ack { delay_us: 0, arrived_us: 0, recovered: 0, ranges: vec![range(1, 1)], refused: Vec::new() };
    let gaps = Ack {
        delay_us: 4_321,
        arrived_us: 0x1234_5678,
        recovered: 200,
        ranges: vec![range(998, 1_000), range(996, 996), range(300, 700), range(1, 2)],
        refused: Vec::new(),
    };
    let refused = Ack {
        delay_us: u64::from(u32::MAX),
        arrived_us: 0x1234_5678,
        recovered: 0,
        ranges: vec![range(200, 400), range(90, 198)],
        refused: vec![
            Refused { packet: number(400), records: vec![(0, Refusal::Surface), (127, Refusal::Epoch)] },
            Refused {
                packet: number(90),
                records: vec![
                    (1, Refusal::Cells),
                    (2, Refusal::Content),
                    (3, Refusal::Technique),
                    (5, Refusal::Base),
                    (8, Refusal::Payload),
                    (13, Refusal::Cache),
                ],
            },
        ],
    };
    [
        frame("ack of one packet", &Frame::Ack(plain)),
        frame("ack with gaps", &Frame::Ack(gaps)),
        frame("ack with every reason of refusal", &Frame::Ack(refused)),
    ]
}

fn input_frames() -> [Vector; 2] {
    let kinds = [
        InputKind::Key { code: 30, down: true },
        InputKind::Key { code: 30, down: false },
        InputKind::Button { button: Button::Right, down: true },
        InputKind::Button { button: Button::Right, down: false },
        InputKind::MoveTo { x: 1_279, y: 799 },
        InputKind::MoveBy { dx: -3, dy: 300 },
        InputKind::Wheel { dx: 0, dy: -1 },
        InputKind::FocusLost,
    ];
    let events = (40..).zip(kinds).map(|(sequence, kind)| InputEvent { sequence: sequence * sequence, kind });
    let one = InputEvent { sequence: 1, kind: InputKind::Key { code: 28, down: true } };
    [
        frame("input of every kind", &Frame::Input(Input { surface: SURFACE, events: events.collect() })),
        frame("input, the first event", &Frame::Input(Input { surface: SurfaceId(0), events: vec![one] })),
    ]
}

pub(super) fn frames() -> Vec<Vector> {
    let dark = Surface {
        surface: SurfaceId(0),
        epoch: Epoch(2),
        state: SurfaceState::NoFramebuffer,
        size: None,
        text: "the guest is in text mode",
    };
    let mut two = Vec::new();
    flat().emit(&mut two);
    Record { age: 7, ..flat() }.emit(&mut two);
    let pixels = |records| Frame::Pixels(Pixels { surface: SURFACE, epoch: EPOCH, records });
    let mark = |first, last| {
        let (first, last) = (number(first), number(last));
        Frame::Mark(Mark { surface: SURFACE, epoch: EPOCH, tick: 77, captured_us: 5_000_000, first, last })
    };
    let digest = Digest {
        id: 9,
        surface: SURFACE,
        epoch: EPOCH,
        cells: CellRect { x: 0, y: 49, width: 80, height: 1 },
        contents: 0x1234_5678,
        pixels: 0x9abc_def0,
    };
    let verdict = |id, verdict| Frame::DigestReply(DigestReply { id, verdict });
    let mut all = vec![frame("padding", &Frame::Padding), frame("ping", &Frame::Ping)];
    all.extend(ack_frames());
    all.extend([
        frame("floor", &Frame::Floor(number(16_384))),
        frame("surface, live", &Frame::Surface(live())),
        frame("surface, without a framebuffer", &Frame::Surface(dark)),
        frame("pixels, no record", &pixels(&[])),
        frame("pixels, two records", &pixels(&two)),
        frame("mark", &mark(900, 1_030)),
        frame("mark that no packet carried a part of", &mark(0, 0)),
        frame("digest", &Frame::Digest(digest)),
        frame("digest reply, exact", &verdict(9, Verdict::Exact)),
        frame("digest reply, unsettled", &verdict(300, Verdict::Unsettled)),
        frame("digest reply, differs", &verdict(u32::MAX, Verdict::Differs)),
    ]);
    all.extend(input_frames());
    all.extend([
        frame("input ack", &Frame::InputAck(InputAck { through: 129, dropped: 2 })),
        frame("close", &Frame::Close(Close { reason: CloseReason::ShuttingDown, text: "back at noon" })),
        frame("hold", &Frame::Hold(Hold { surface: SURFACE, epoch: EPOCH, slot: 1, age: 130 })),
        frame(
            "prove",
            &Frame::Prove(Prove {
                surface: SURFACE,
                epoch: EPOCH,
                cells: CellRect { x: 3, y: 130, width: 64, height: 64 },
            }),
        ),
        frame(
            "attention, aside",
            &Frame::Attention(Attend { surface: SURFACE, attention: Attention::Aside }),
        ),
        frame(
            "attention, hidden",
            &Frame::Attention(Attend { surface: SURFACE, attention: Attention::Hidden }),
        ),
        frame("path", &Frame::Path(Path { cookie: &[0xc0, 0x0c, 0x1e] })),
        frame("ticket", &Frame::Ticket(Ticket { lifetime_s: 86_400, ticket: &[0x7e, 0x11] })),
        frame("parity", &Frame::Parity(Parity { back: 7, count: 3, len: 4, payload: &[1, 0x80, 0, 0xff] })),
        frame(
            "echo",
            &Frame::Echo(Echo {
                surface: SURFACE,
                epoch: EPOCH,
                cell: (3, 130),
                age: 0,
                encode_us: 1_900,
                pacing_us: 35,
                events: vec![
                    Echoed { sequence: 7, injection_us: 210, wait_us: 8_300 },
                    Echoed { sequence: 300, injection_us: 180, wait_us: 0 },
                ],
            }),
        ),
        frame("report", &Frame::Report(Report { came: 300, missing: 7, reordered: 2, again: 1, busy: 250 })),
        frame("quality", &Frame::Quality(quality())),
        frame("ecn", &Frame::Ecn(Ecn { ect0: 300, ce: 7 })),
        frame("ecn, the most that there can be", &Frame::Ecn(Ecn { ect0: u64::MAX, ce: u64::MAX })),
    ]);
    all.extend(stream_frames());
    all
}

fn stream_frames() -> [Vector; 6] {
    let (asks, tunnel) = (StreamId(0), StreamId(301));
    let control = b"\x07control{\"request\":\"session\"}\n";
    let some = |stream, offset, fin, bytes| Frame::Stream(Stream { stream, offset, fin, bytes });
    let credit = |stream, through| Frame::StreamCredit(StreamCredit { stream, through });
    let text = "this server has no use for streams of that kind";
    let reset = StreamReset { stream: asks, reason: ResetReason::UnknownKind, text };
    [
        frame("stream, its beginning", &some(asks, 0, false, control)),
        frame("stream, the last bytes", &some(tunnel, 70_000, true, &[0xff, 0, 1])),
        frame("stream, nothing but its end", &some(tunnel, 1 << 62, true, &[])),
        frame("stream credit", &credit(tunnel, 102_768)),
        frame("stream credit for one to come", &credit(StreamId(8), 32_768)),
        frame("stream reset", &Frame::StreamReset(reset)),
    ]
}

fn quality() -> Quality {
    let up = frame::Way { came: 90, missing: 3, reordered: 1, again: 0, jitter_us: 700, queued_us: 12_000 };
    let rate = Bitrate::from_bps(20_000_000);
    Quality { rtt_us: 40_250, rate, jitter_us: 310, queued_us: 2_000, up }
}

pub(super) fn records() -> Vec<Vector> {
    let record = |name: &str, record: Record<'_>| {
        let mut bytes = Vec::new();
        record.emit(&mut bytes);
        Vector { name: name.to_owned(), fields: describe::record(&record), bytes }
    };
    let far = CellRect { x: 1_023, y: 1_000, width: 1, height: 24 };
    let raw = Record::new(Technique::Raw, Context::Unknown, far, &[1, 2, 3]);
    vec![
        record("first sent", flat()),
        record("repeated 300 packets later, far out", Record { age: 300, ..raw }),
        record("on a reference", Record { base: Base::Reference { slot: 1, check: 0xdead_beef }, ..flat() }),
        record("on the current picture", Record { base: Base::Current { check: 7 }, ..flat() }),
        record("unknown technique and context", Record { technique: 31, context: 255, ..flat() }),
    ]
}

/// Rows of pixels that a person can check: few colours with hard edges, or a gradient.
fn picture(width: u16, height: u16, colours: u32) -> Vec<u32> {
    let (width, height) = (u32::from(width), u32::from(height));
    let pixel = |x: u32, y: u32| match colours {
        0 => (x * 5) << 16 | (y * 9) << 8 | (x + y),
        _ => (x / 3 + y) % colours * (0x00ff_ffff / colours),
    };
    (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y))).collect()
}

fn technique(name: &str, technique: Technique, size: (u16, u16), pixels: &[u32], bytes: Vec<u8>) -> Vector {
    let pixels = if pixels.is_empty() { json!(null) } else { describe::pixels(pixels, size.0) };
    let fields = json!({"technique": technique.name(), "width": size.0, "height": size.1, "pixels": pixels});
    Vector { name: name.to_owned(), fields, bytes }
}

pub(super) fn techniques() -> Vec<Vector> {
    let mut encoder = bitmap::Encoder::default();
    let mut bitmap = |name: &str, size: (u16, u16), colours| {
        let pixels = picture(size.0, size.1, colours);
        let mut bytes = Vec::new();
        assert!(encoder.encode(&pixels, size.0.into(), 8_900, &mut bytes));
        technique(name, Technique::Bitmap, size, &pixels, bytes)
    };
    let mut all = vec![
        bitmap("bitmap, filtered, a gradient", (16, 16), 0),
        bitmap("bitmap, filtered, more colours than a palette holds, clipped", (47, 9), 0),
        bitmap("bitmap, palette of 1 bit, clipped cell", (13, 5), 2),
        bitmap("bitmap, palette of 2 bits", (16, 16), 4),
        bitmap("bitmap, palette of 4 bits, odd width", (21, 7), 11),
        bitmap("bitmap, palette of 8 bits", (32, 16), 20),
    ];
    let five = [0, 1, 2, 3, 4].map(|filter| [filter, 250, 3, 9, 1, 2, 255]).concat();
    let (len, mut stored) = (five.len() as u16, vec![bitmap::coding::FILTERED, 1]);
    stored.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
    stored.extend(&five);
    let every_filter = [
        [0x0903fa, 0xff0201],
        [0x0903fa, 0x0805fb],
        [0x1206f4, 0x0707fc],
        [0x120674, 0x0b08b9],
        [0x1b096e, 0x110bba],
    ];
    all.push(technique(
        "bitmap, every filter type, stored",
        Technique::Bitmap,
        (2, 5),
        &every_filter.concat(),
        stored.clone(),
    ));
    stored.push(0);
    let flat = picture(16, 3, 1);
    let edge = picture(3, 2, 0);
    let mut bytes = Vec::new();
    raw::encode(Depth::Bits24, &edge, &mut bytes);
    all.extend([
        technique("bitmap, a byte behind the stream: refused", Technique::Bitmap, (2, 5), &[], stored),
        technique("raw, clipped cell", Technique::Raw, (3, 2), &edge, bytes.clone()),
        technique("raw, too short: refused", Technique::Raw, (3, 3), &[], bytes),
        technique(
            "colour",
            Technique::Colour,
            (16, 3),
            &flat,
            colour::encode(Depth::Bits24, &flat).expect("it has one colour"),
        ),
        technique("colour, too long: refused", Technique::Colour, (16, 3), &[], vec![1, 2, 3, 4]),
    ]);
    all.extend(trixels());
    all.extend(scans());
    all.extend(copies());
    all.extend(caches());
    all.extend(dictionaries());
    all.extend(lossies());
    all.extend(depths());
    all
}

/// The techniques that have something of their own in fewer bits than 24.
fn depths() -> Vec<Vector> {
    let mut all = Vec::new();
    for depth in [Depth::Bits16, Depth::Bits8] {
        let mut add = |name: &str, technique_of: Technique, size, pixels: &[u32], bytes| {
            let name = name.replacen(',', &format!(" of {} bits,", depth.bits()), 1);
            let mut vector = technique(&name, technique_of, size, pixels, bytes);
            vector.fields["depth"] = json!(depth.bits());
            all.push(vector);
        };
        let mut pixels = picture(5, 3, 0);
        depth.reduce_all(&mut pixels);
        let mut bytes = Vec::new();
        raw::encode(depth, &pixels, &mut bytes);
        add("raw, clipped", Technique::Raw, (5, 3), &pixels, bytes.clone());
        add("raw, a byte less: refused", Technique::Raw, (5, 3), &[], bytes[1..].to_vec());
        let one = colour::encode(depth, &pixels[..1]).expect("one colour");
        add("colour, one pixel", Technique::Colour, (1, 1), &pixels[..1], one);
        let mut bytes = Vec::new();
        let mut encoder = trixel::Encoder::default();
        encoder.depth = depth;
        assert_eq!(encoder.encode(&pixels, 5, 8_900, &mut bytes), 3);
        add("trixel, clipped", Technique::Trixel, (5, 3), &pixels, bytes);
        let mut bytes = Vec::new();
        assert_eq!(dictionary::Encoder::default().encode(&pixels, 5, None, 8_900, &mut bytes), 3);
        add("dictionary, clipped", Technique::Dictionary, (5, 3), &pixels, bytes);
        let mut bytes = Vec::new();
        assert_eq!(dictionary::Encoder::default().encode(&[0x40_0000; 15], 5, None, 8_900, &mut bytes), 3);
        add("dictionary, pixels of 24 bits: refused", Technique::Dictionary, (5, 3), &[], bytes);
        let form = lossy::Form { quality: 90, sampling: lossy::Sampling::Full };
        let (mut bytes, mut shown) = (Vec::new(), Vec::new());
        assert_eq!(lossy::encode(&picture(16, 16, 0), 16, form, 8_900, &mut bytes), 16);
        let area = PixelRect { x: 0, y: 0, width: 16, height: 16 };
        decode(Technique::Lossy, &bytes, area, None, &mut Scratch::new(depth), &mut shown)
            .expect("it is whole");
        add("lossy bitmap, a gradient", Technique::Lossy, (16, 16), &shown, bytes);
    }
    all
}

fn trixels() -> Vec<Vector> {
    let mut encoder = trixel::Encoder::default();
    let mut coded = |name: &str, size: (u16, u16), pixels: &[u32]| {
        let mut bytes = Vec::new();
        assert_eq!(encoder.encode(pixels, size.0.into(), 8_900, &mut bytes), usize::from(size.1));
        technique(name, Technique::Trixel, size, pixels, bytes)
    };
    let mut text = vec![0x00ff_fff0; 20 * 16];
    for (x, y, width, height) in [(3, 2, 2, 12), (5, 2, 7, 2), (5, 7, 4, 2), (14, 1, 1, 14)] {
        for y in y..y + height {
            text[y * 20 + x..][..width].fill(0x0010_2030);
            text[y * 20 + x + width] = 0x0080_9090;
        }
    }
    let every: Vec<u32> = (0..17 * 16).map(|at| (at % 256 * 0x0001_0103) & 0x00ff_ffff).collect();
    let mut all = vec![
        coded("trixel, a letter and a bar", (20, 16), &text),
        coded("trixel, stripes, clipped", (13, 5), &picture(13, 5, 4)),
        coded("trixel, as many colours as there may be", (17, 16), &every),
        coded("trixel, one pixel", (1, 1), &[0x0001_0203]),
    ];
    let refused =
        |name: &str, size, bytes: &[u8]| technique(name, Technique::Trixel, size, &[], bytes.to_vec());
    let one = all[3].bytes.clone();
    all.extend([
        refused("trixel, too few pixels: refused", (2, 1), &one),
        refused("trixel, a byte behind the last: refused", (1, 1), &[&one[..], &[0]].concat()),
        refused("trixel, a length without end: refused", (16, 16), &[0; 6]),
    ]);
    all
}

/// On a base of 3 x 2 cells, clipped to 40 x 20 pixels.
fn scans() -> Vec<Vector> {
    let size = Size::new(40, 20).expect("a legal size");
    let screen = picture(size.width, size.height, 3);
    let mut encoder = scan::Encoder::default();
    let mut coded = |name: &str, cells: CellRect, dx: i32, dy: i32, paint: &[(usize, u32)]| {
        let area = size.clip(cells);
        let way = Way { dx, dy };
        let source = way.inside(area, size).expect("it lies inside");
        let row = |y: u16| &screen[usize::from(y) * 40 + usize::from(source.x)..][..area.width.into()];
        let base = (source.y..source.y + source.height).flat_map(row).copied();
        let (mut pixels, mut bytes) = (base.clone().collect::<Vec<_>>(), Vec::new());
        let base = pixels.clone();
        paint.iter().for_each(|(at, colour)| pixels[*at] = *colour);
        assert!(encoder.encode(&pixels, &base, way, 8_900, &mut bytes));
        let base_cells = base_cells(Technique::PixelScan, &bytes, area, size).expect("it lies inside");
        let mut vector = technique(name, Technique::PixelScan, (area.width, area.height), &pixels, bytes);
        vector.fields["x"] = json!(area.x);
        vector.fields["y"] = json!(area.y);
        vector.fields["base"] = describe::pixels(&screen, size.width);
        vector.fields["base_cells"] = describe::cells(base_cells);
        vector
    };
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    let caret: Vec<_> =
        (2..14).flat_map(|y| [(y * 16 + 5, 0x0010_2030), (y * 16 + 6, 0x0010_2030)]).collect();
    let dots = [(0, 0x00aa_0000), (1, 0x0000_bb00), (7, 0x0000_00cc), (31, 0x00aa_0000)];
    let mut all = vec![
        coded("pixel scan, a caret", rect(0, 0, 1, 1), 0, 0, &caret),
        coded("pixel scan, first and last pixel, clipped, moved", rect(1, 1, 2, 1), -5, -2, &dots),
        coded("pixel scan, the last pixel alone", rect(0, 0, 1, 1), 0, 0, &[(255, 0x0001_0203)]),
    ];
    let name = "pixel scan, a byte behind the last: refused".to_owned();
    let bytes = [&all[2].bytes[..], &[0]].concat();
    let mut long = Vector { name, fields: all[2].fields.clone(), bytes };
    long.fields["pixels"] = json!(null);
    all.push(long);
    all
}

/// On a base of 3 x 2 cells, clipped to 40 x 20 pixels.
fn copies() -> [Vector; 4] {
    let size = Size::new(40, 20).expect("a legal size");
    let base = picture(size.width, size.height, 0);
    let copied = |name: &str, cells: CellRect, dx: i32, dy: i32, refused: bool| {
        let area = size.clip(cells);
        let bytes = copy::encode(Way { dx, dy });
        let place = |x: u16, by: i32| usize::try_from(i32::from(x) + by).unwrap_or_default();
        let row = |y: u16| (place(y, dy), place(area.x, dx));
        let pixels: Vec<_> = (area.y..area.y + area.height)
            .filter(|_| !refused)
            .flat_map(|y| {
                let (y, x) = row(y);
                let start = y * usize::from(size.width) + x;
                base[start..start + usize::from(area.width)].to_vec()
            })
            .collect();
        let base_cells = match base_cells(Technique::Copy, &bytes, area, size) {
            Ok(cells) => describe::cells(cells),
            Err(_) => json!(null),
        };
        let mut vector = technique(name, Technique::Copy, (area.width, area.height), &pixels, bytes);
        vector.fields["x"] = json!(area.x);
        vector.fields["y"] = json!(area.y);
        vector.fields["base"] = describe::pixels(&base, size.width);
        vector.fields["base_cells"] = base_cells;
        vector
    };
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    [
        copied("copy, from above", rect(0, 1, 1, 1), 0, -16, false),
        copied("copy, clipped, over its own cells", rect(1, 0, 2, 2), -5, 0, false),
        copied("copy, from all sides", rect(0, 0, 1, 1), 9, 3, false),
        copied("copy, from beyond the edge: refused", rect(0, 0, 1, 1), -1, 0, true),
    ]
}

/// Stores on a base of 3 x 2 cells, clipped to 40 x 20 pixels, and uses of such a picture.
fn caches() -> [Vector; 6] {
    let size = Size::new(40, 20).expect("a legal size");
    let base = picture(size.width, size.height, 0);
    let stored = |slot, generation| Stored { slot, generation };
    let vector = |name: &str, kind, cells: CellRect, (x, y): (u16, u16), bytes: Vec<u8>| {
        let area = size.clip(cells);
        let row = |y: u16| &base[usize::from(y) * 40 + usize::from(x)..][..area.width.into()];
        let pixels: Vec<_> = (y..y + area.height).flat_map(row).copied().collect();
        let refused = name.ends_with("refused");
        let pixels = if refused { &[][..] } else { &pixels };
        let base_cells = base_cells(kind, &bytes, area, size).map_or(json!(null), describe::cells);
        let mut vector = technique(name, kind, (area.width, area.height), pixels, bytes);
        vector.fields["x"] = json!(area.x);
        vector.fields["y"] = json!(area.y);
        vector.fields["base"] = describe::pixels(&base, size.width);
        vector.fields["base_cells"] = base_cells;
        vector
    };
    let store = |dx, dy, stored| Store { vector: Way { dx, dy }, stored }.payload();
    let used = |stored, x, y| Use { stored, x, y }.payload();
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    let behind = |mut payload: Vec<u8>| {
        payload.push(0);
        payload
    };
    let (kept, use_) = (Technique::Store, Technique::Use);
    [
        vector("cache store, where it is", kept, rect(1, 0, 1, 1), (16, 0), store(0, 0, stored(0, 1))),
        vector("cache store, from aside", kept, rect(1, 0, 2, 1), (13, 2), store(-3, 2, stored(127, 300))),
        vector(
            "cache store, a byte more: refused",
            kept,
            rect(0, 0, 1, 1),
            (0, 0),
            behind(store(0, 0, stored(0, 1))),
        ),
        vector("cache use, all of the top left", use_, rect(0, 0, 1, 1), (0, 0), used(stored(0, 1), 0, 0)),
        vector("cache use, clipped", use_, rect(2, 1, 1, 1), (32, 16), used(stored(127, 70_000), 32, 16)),
        vector(
            "cache use, a byte more: refused",
            use_,
            rect(0, 0, 1, 1),
            (0, 0),
            behind(used(stored(5, 2), 0, 0)),
        ),
    ]
}

/// What a client shows is part of the vector: it is the same for all.
fn lossies() -> Vec<Vector> {
    use lossy::Sampling::{Full, Quarter};
    let coded = |quality, sampling, (width, height): (u16, u16), colours| {
        let (form, mut bytes) = (lossy::Form { quality, sampling }, Vec::new());
        let pixels = picture(width, height, colours);
        let rows = lossy::encode(&pixels, width.into(), form, 8_900, &mut bytes);
        assert_eq!(rows, usize::from(height));
        bytes
    };
    let shown = |name: &str, (width, height): (u16, u16), bytes: Vec<u8>| {
        let area = PixelRect { x: 0, y: 0, width, height };
        let mut pixels = Vec::new();
        if decode(Technique::Lossy, &bytes, area, None, &mut Scratch::default(), &mut pixels).is_err() {
            pixels.clear();
        }
        assert_eq!(pixels.is_empty(), name.ends_with("refused"), "{name}");
        technique(name, Technique::Lossy, (width, height), &pixels, bytes)
    };
    let whole = || coded(75, Quarter, (32, 16), 0);
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
    vec![
        shown("lossy bitmap, quarter sampling", (32, 16), whole()),
        shown("lossy bitmap, full sampling", (16, 32), coded(75, Full, (16, 32), 0)),
        shown("lossy bitmap, hard edges at the best quality, clipped", (21, 7), coded(100, Full, (21, 7), 5)),
        shown("lossy bitmap, the worst quality, clipped", (9, 17), coded(1, Quarter, (9, 17), 5)),
        shown("lossy bitmap, a byte less: refused", (32, 16), cut(&whole())),
        shown("lossy bitmap, a byte behind the scan: refused", (32, 16), [whole(), vec![0xff]].concat()),
        shown("lossy bitmap, quality 0: refused", (32, 16), [vec![0x80], whole()[1..].to_vec()].concat()),
    ]
}

/// With and without a base of 3 x 4 cells, clipped to 40 x 60 pixels.
fn dictionaries() -> Vec<Vector> {
    let size = Size::new(40, 60).expect("a legal size");
    let screen = picture(size.width, size.height, 5);
    let mut encoder = dictionary::Encoder::default();
    let mut coded = |name: &str, cells: CellRect, vector: Option<Way>, pixels: &[u32]| {
        let area = size.clip(cells);
        let mut bytes = Vec::new();
        let base = vector.map(|way| {
            way.emit(&mut bytes);
            let source = way.inside(area, size).expect("it lies inside");
            let start = usize::from(source.y) * usize::from(size.width) + usize::from(source.x);
            dictionary::Base { pixels: &screen[start..], stride: size.width.into() }
        });
        let rows = encoder.encode(pixels, area.width.into(), base, 8_900, &mut bytes);
        assert_eq!(rows, usize::from(area.height));
        let base_cells = base_cells(Technique::Dictionary, &bytes, area, size).map(describe::cells);
        let mut made = technique(name, Technique::Dictionary, (area.width, area.height), pixels, bytes);
        if vector.is_some() {
            made.fields["x"] = json!(area.x);
            made.fields["y"] = json!(area.y);
            made.fields["base"] = describe::pixels(&screen, size.width);
            made.fields["base_cells"] = base_cells.expect("it lies inside");
        }
        made
    };
    let rect = |x, y, width, height| CellRect { x, y, width, height };
    let way = |dx, dy| Some(Way { dx, dy });
    let mut changed = picture(24, 16, 5);
    changed[40..200].iter_mut().step_by(7).for_each(|pixel| *pixel ^= 0x00ff_00ff);
    vec![
        coded("dictionary, few colours", rect(0, 0, 2, 1), None, &picture(32, 16, 3)),
        coded("dictionary, a gradient", rect(0, 0, 2, 2), None, &picture(32, 32, 0)),
        coded("dictionary, one colour, clipped", rect(1, 2, 2, 2), None, &[0x00ab_cdef; 24 * 28]),
        coded("dictionary, some pixels of the base", rect(1, 1, 2, 1), way(0, 0), &changed),
        coded("dictionary, base moved", rect(1, 1, 2, 1), way(-3, 5), &changed),
    ]
}

pub(super) fn checks() -> Vec<Vector> {
    let check = |name: &str, contents: &[u64], pixels: &[u32]| Vector {
        name: name.to_owned(),
        fields: json!({"contents": contents, "pixels": pixels}),
        bytes: [
            check::contents(contents.iter().copied().map(ContentNumber)).to_le_bytes(),
            check::pixels([pixels]).to_le_bytes(),
        ]
        .concat(),
    };
    vec![
        check("nothing", &[], &[]),
        check("one cell never painted, one black pixel", &[0], &[0]),
        check(
            "four cells, three pixels",
            &[1, 0, 0x1_0000_0000, 77],
            &[0x0000_00ff, 0x00ff_0000, 0x0012_3456],
        ),
    ]
}
