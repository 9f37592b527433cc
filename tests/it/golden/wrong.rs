//! Bytes that have to be refused, and why.

use lfp_proto::frame::Frame;
use lfp_proto::packet::Kind;
use serde_json::json;

use super::Vector;
use super::made::{builder, hello};

pub(super) fn malformed() -> Vec<Vector> {
    let wrong = |name: &str, what: &str, error: &str, bytes: Vec<u8>| Vector {
        name: name.to_owned(),
        fields: json!({"as": what, "error": error}),
        bytes,
    };
    let mut ping = builder(Kind::Data, 5);
    assert!(ping.push(&Frame::Ping));
    let whole = ping.finish();
    let changed = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&crc);
        bytes
    };
    let mut flipped = whole.clone();
    flipped[14] ^= 0x10;
    let mut many = builder(Kind::Data, 5);
    many.body().extend([1; 129]);
    let mut small = Vec::new();
    hello(&[]).emit(&mut small);
    let size_at = small.len() - 6;
    small[size_at..size_at + 2].copy_from_slice(&1_099_u16.to_le_bytes());
    let ack = |rest: &[u8]| [&[2][..], rest].concat();
    vec![
        wrong("shorter than header and trailer", "datagram", "truncated", whole[..17].to_vec()),
        wrong("a flipped bit", "datagram", "checksum", flipped),
        wrong("another version", "datagram", "field: version", changed(0, 0x25)),
        wrong("an unknown kind", "datagram", "field: kind", changed(0, 0x18)),
        wrong("sealed, which no checksum proves", "datagram", "field: protection", changed(1, 1)),
        wrong("an unknown protection", "datagram", "field: protection", changed(1, 4)),
        wrong("a phase without a seal", "datagram", "field: protection", changed(1, 2)),
        wrong("a reset in the clear", "datagram", "field: protection", changed(0, 0x16)),
        wrong(
            "hello: a step without its message",
            "sealed hello",
            "field: message",
            [vec![0; 9], vec![1, 0]].concat(),
        ),
        wrong("more than 128 frames", "data", "field: frame count", many.finish()),
        wrong("an unknown frame type", "data", "field: frame type", changed(14, 99)),
        wrong("hello: a datagram size below the least", "hello", "field: datagram size", small),
        wrong("floor: a varint that could be shorter", "frame", "varint", vec![3, 0x81, 0x00]),
        wrong(
            "floor: a varint beyond 64 bits",
            "frame",
            "varint",
            [vec![3], vec![0xff; 9], vec![2]].concat(),
        ),
        wrong("ack: no range", "frame", "field: ack ranges", ack(&[5, 0, 0, 0, 0, 0, 0, 0, 0])),
        wrong(
            "ack: a range down to zero",
            "frame",
            "field: ack ranges",
            ack(&[5, 0, 0, 0, 0, 0, 0, 1, 5, 0]),
        ),
        wrong(
            "ack: refusals of a packet that it does not ack",
            "frame",
            "field: refused records",
            ack(&[5, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1]),
        ),
        wrong("surface: live, without pixels", "frame", "field: surface size", vec![4, 0, 1, 0, 0, 0, 0]),
        wrong("close: a text that a terminal obeys", "frame", "field: close text", vec![11, 0, 1, 0x1b]),
        wrong("pixels: ends inside a record", "frame", "truncated", vec![5, 0, 1, 3, 1, 0, 0]),
        wrong("hold: a reference that no client keeps", "frame", "field: reference", vec![12, 0, 1, 2, 0]),
        wrong("attention: a level that there is not", "frame", "field: attention", vec![14, 0, 3]),
        wrong(
            "parity: covers the packet that carries it",
            "frame",
            "field: parity packets",
            vec![17, 1, 2, 0, 0, 0],
        ),
        wrong("echo: of no event", "frame", "field: echo event count", vec![18, 0, 1, 0, 0, 0, 1, 1, 0]),
        wrong(
            "echo: an event twice",
            "frame",
            "field: echo sequence",
            vec![18, 0, 1, 0, 0, 0, 1, 1, 2, 5, 1, 1, 0, 1, 1],
        ),
        wrong("stream: flags that there are not", "frame", "field: stream flags", vec![19, 0, 0, 2, 0]),
        wrong("stream: more bytes than there are", "frame", "truncated", vec![19, 0, 0, 0, 2, 1]),
        wrong(
            "stream: beyond the last offset",
            "frame",
            "field: stream offset",
            [vec![19, 0], vec![0x80; 8], vec![0x40, 0, 1, 7]].concat(),
        ),
        wrong("stream reset: no reason", "frame", "field: reset reason", vec![21, 0, 3, 0]),
        wrong("a byte behind the frame", "frame", "trailing", vec![10, 1, 1, 0]),
    ]
}
