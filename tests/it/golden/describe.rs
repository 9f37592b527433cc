//! What was parsed, as JSON that another implementation can compare with.

use lfp_proto::frame::{Frame, InputKind};
use lfp_proto::geometry::CellRect;
use lfp_proto::greeting::{Greet, SealedAccept, SealedHello};
use lfp_proto::hello::{Accept, Challenge, Hello, Refuse};
use lfp_proto::packet::{Kind, Protection, View};
use lfp_proto::record::{Base, Record};
use lfp_proto::units::PacketNumber;
use serde_json::{Value, json};

use super::hex;

/// An enum's name, in lower case.
fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

/// A rectangle of cells.
pub(super) fn cells(cells: CellRect) -> Value {
    json!([cells.x, cells.y, cells.width, cells.height])
}

/// A datagram with all that it holds.
pub(super) fn datagram(view: &View<'_>, largest: PacketNumber) -> Value {
    let parsed = "the payload parses";
    let sealed = view.protection() == Protection::Sealed;
    let payload = match view.kind() {
        Kind::Hello if sealed => {
            let hello = SealedHello::parse(view.payload()).expect(parsed);
            json!({
                "cookie": hex(&hello.cookie), "client_time_us": hello.client_time_us,
                "step": hello.step as u8, "message": hex(&hello.message),
            })
        }
        Kind::Greet => {
            let greet = Greet::parse(view.payload()).expect(parsed);
            json!({"client_time_us": greet.client_time_us, "message": hex(&greet.message)})
        }
        Kind::Accept if sealed => {
            let accept = SealedAccept::parse(view.payload()).expect(parsed);
            json!({"message": hex(&accept.message), "decision": hex(&accept.decision)})
        }
        Kind::Reset => unreachable!("its trailer is no checksum"),
        Kind::Hello => hello(&Hello::parse(view.payload()).expect(parsed)),
        Kind::Challenge => {
            let challenge = Challenge::parse(view.payload()).expect(parsed);
            json!({"client_time_us": challenge.client_time_us, "cookie": hex(&challenge.cookie)})
        }
        Kind::Accept => {
            let accept = Accept::parse(view.payload()).expect(parsed);
            json!({
                "client_time_us": accept.client_time_us, "server_time_us": accept.server_time_us,
                "datagram_size": accept.datagram_size, "idle_timeout_ms": accept.idle_timeout_ms,
            })
        }
        Kind::Refuse => {
            let refuse = Refuse::parse(view.payload()).expect(parsed);
            json!({
                "client_time_us": refuse.client_time_us, "reason": word(refuse.reason), "text": refuse.text,
            })
        }
        Kind::Data => view.frames().map(|parsed_frame| frame(&parsed_frame.expect(parsed))).collect(),
    };
    json!({
        "version": 1, "kind": word(view.kind()), "protection": word(view.protection()), "connection": view.connection().0,
        "largest_seen": largest.0, "number": view.number(largest).0, "payload": payload,
    })
}

fn hello(hello: &Hello) -> Value {
    let displays: Vec<_> = hello
        .displays
        .iter()
        .map(|display| {
            json!({
                "width": display.width, "height": display.height, "depth": display.depth,
                "refresh_hz": display.refresh_hz,
            })
        })
        .collect();
    json!({
        "cookie": hex(&hello.cookie), "client_time_us": hello.client_time_us, "service": hello.service,
        "place": hello.place, "client_type": word(hello.client_type), "displays": displays,
        "decoders": hello.decoders, "references": hello.references, "datagram_size": hello.datagram_size,
        "receive_buffer": hello.receive_buffer,
    })
}

/// A frame.
pub(super) fn frame(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Padding => json!({"frame": "padding"}),
        Frame::Ping => json!({"frame": "ping"}),
        Frame::Ack(ack) => {
            let ranges: Vec<_> =
                ack.ranges.iter().map(|range| json!([range.first.0, range.last.0])).collect();
            let refused: Vec<_> = ack
                .refused
                .iter()
                .map(|refused| {
                    let records: Vec<_> =
                        refused.records.iter().map(|(index, reason)| json!([index, word(reason)])).collect();
                    json!({"packet": refused.packet.0, "records": records})
                })
                .collect();
            json!({
                "frame": "ack", "delay_us": ack.delay_us, "arrived_us": ack.arrived_us, "recovered": ack.recovered, "ranges": ranges,
                "refused": refused,
            })
        }
        Frame::Floor(number) => json!({"frame": "floor", "floor": number.0}),
        Frame::Surface(surface) => json!({
            "frame": "surface", "surface": surface.surface.0, "epoch": surface.epoch.0,
            "state": surface.state.name(), "size": surface.size.map(|size| [size.width, size.height]),
            "text": surface.text,
        }),
        Frame::Pixels(pixels) => json!({
            "frame": "pixels", "surface": pixels.surface.0, "epoch": pixels.epoch.0,
            "records": pixels.records().map(|parsed| record(&parsed)).collect::<Vec<_>>(),
        }),
        Frame::Mark(mark) => json!({
            "frame": "mark", "surface": mark.surface.0, "epoch": mark.epoch.0, "tick": mark.tick,
            "captured_us": mark.captured_us, "first": mark.first.0, "last": mark.last.0,
        }),
        Frame::Digest(digest) => json!({
            "frame": "digest", "id": digest.id, "surface": digest.surface.0, "epoch": digest.epoch.0,
            "cells": cells(digest.cells), "contents": digest.contents, "pixels": digest.pixels,
        }),
        Frame::DigestReply(reply) => {
            json!({"frame": "digest reply", "id": reply.id, "verdict": word(reply.verdict)})
        }
        Frame::Input(input) => {
            let events: Vec<_> =
                input.events.iter().map(|event| json!([event.sequence, input_kind(event.kind)])).collect();
            json!({"frame": "input", "surface": input.surface.0, "events": events})
        }
        Frame::InputAck(ack) => {
            json!({"frame": "input ack", "through": ack.through, "dropped": ack.dropped})
        }
        Frame::Close(close) => json!({"frame": "close", "reason": word(close.reason), "text": close.text}),
        Frame::Prove(prove) => json!({
            "frame": "prove", "surface": prove.surface.0, "epoch": prove.epoch.0, "cells": cells(prove.cells),
        }),
        Frame::Attention(attend) => json!({
            "frame": "attention", "surface": attend.surface.0,
            "level": format!("{:?}", attend.attention).to_lowercase(),
        }),
        Frame::Offer(offer) => json!({
            "frame": "offer", "surface": offer.surface.0, "epoch": offer.epoch.0, "part": offer.part,
            "digests": offer.digests.iter().map(|digest| format!("{digest:016x}")).collect::<Vec<_>>(),
        }),
        Frame::Keep(keep) => json!({
            "frame": "keep", "surface": keep.surface.0, "epoch": keep.epoch.0, "part": keep.part,
            "plots": format!("{:032x}", keep.plots),
        }),
        Frame::Path(path) => json!({"frame": "path", "cookie": hex(path.cookie)}),
        Frame::Ticket(ticket) => {
            json!({"frame": "ticket", "lifetime_s": ticket.lifetime_s, "ticket": hex(ticket.ticket)})
        }
        Frame::Parity(parity) => json!({
            "frame": "parity", "back": parity.back, "count": parity.count, "length": parity.len,
            "payload": hex(parity.payload),
        }),
        Frame::Echo(echo) => {
            let events: Vec<_> = echo
                .events
                .iter()
                .map(|event| json!([event.sequence, event.injection_us, event.wait_us]))
                .collect();
            json!({
                "frame": "echo", "surface": echo.surface.0, "epoch": echo.epoch.0, "cell": [echo.cell.0, echo.cell.1],
                "age": echo.age, "encode_us": echo.encode_us, "pacing_us": echo.pacing_us, "events": events,
            })
        }
        Frame::Stream(stream) => json!({
            "frame": "stream", "stream": stream.stream.0, "offset": stream.offset, "fin": stream.fin,
            "bytes": hex(stream.bytes),
        }),
        Frame::StreamCredit(credit) => {
            json!({"frame": "stream credit", "stream": credit.stream.0, "through": credit.through})
        }
        Frame::StreamReset(reset) => json!({
            "frame": "stream reset", "stream": reset.stream.0, "reason": word(reset.reason), "text": reset.text,
        }),
        Frame::Report(report) => json!({
            "frame": "report", "came": report.came, "missing": report.missing, "reordered": report.reordered, "again": report.again,
            "busy": report.busy,
        }),
        Frame::Ecn(counts) => json!({"frame": "ecn", "ect0": counts.ect0, "ce": counts.ce}),
        Frame::Quality(quality) => json!({
            "frame": "quality", "rtt_us": quality.rtt_us, "rate_bps": quality.rate.as_bps(),
            "jitter_us": quality.jitter_us, "queued_us": quality.queued_us,
            "up": {
                "came": quality.up.came, "missing": quality.up.missing, "reordered": quality.up.reordered,
                "again": quality.up.again, "jitter_us": quality.up.jitter_us, "queued_us": quality.up.queued_us,
            },
        }),
        Frame::Hold(hold) => json!({
            "frame": "hold", "surface": hold.surface.0, "epoch": hold.epoch.0, "slot": hold.slot,
            "age": hold.age,
        }),
    }
}

fn input_kind(kind: InputKind) -> Value {
    match kind {
        InputKind::Key { code, down } => json!({"key": code, "down": down}),
        InputKind::Button { button, down } => json!({"button": word(button), "down": down}),
        InputKind::MoveTo { x, y } => json!({"x": x, "y": y}),
        InputKind::MoveBy { dx, dy } => json!({"dx": dx, "dy": dy}),
        InputKind::Wheel { dx, dy } => json!({"wheel": [dx, dy]}),
        InputKind::FocusLost => json!("focus lost"),
    }
}

/// A record.
pub(super) fn record(record: &Record<'_>) -> Value {
    let (base, slot, check) = match record.base {
        Base::None => ("none", None, None),
        Base::Reference { slot, check } => ("reference", Some(slot), Some(check)),
        Base::Current { check } => ("current", None, Some(check)),
    };
    json!({
        "technique": record.technique, "context": record.context, "cells": cells(record.cells),
        "age": record.age, "base": base, "slot": slot, "check": check, "payload": hex(record.payload),
    })
}

/// Rows of pixels, each pixel as `rrggbb`.
pub(super) fn pixels(pixels: &[u32], width: u16) -> Value {
    let row = |row: &[u32]| row.iter().map(|pixel| format!("{pixel:06x}")).collect::<Vec<_>>().join(" ");
    pixels.chunks(width.into()).map(row).collect()
}
