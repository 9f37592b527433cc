//! The vectors as they are written.

mod techniques;

use lfp_proto::check;
use lfp_proto::depth::Depth;
use lfp_proto::frame::{
    self, Ack, AckRange, Attend, Attention, Button, Close, CloseReason, Digest, DigestReply, Echo, Echoed,
    Ecn, Frame, Hold, Input, InputAck, InputEvent, InputKind, Mark, Parity, Path, Pixels, Prove, Quality,
    Refusal, Refused, Report, ResetReason, Stream, StreamCredit, StreamReset, Surface, SurfaceState, Ticket,
    Verdict,
};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::greeting::{Greet, SealedAccept, SealedHello, Step};
use lfp_proto::hello::{Accept, Challenge, ClientType, Display, Hello, Refuse, RefuseReason};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::record::{Base, Context, Record};
use lfp_proto::technique::Technique;
use lfp_proto::units::{Bitrate, ConnectionId, ContentNumber, Epoch, PacketNumber, StreamId, SurfaceId};
use serde_json::json;

pub(super) use self::techniques::techniques;
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
