//! Streams: whatever frames come in whatever order, they stay within their bounds, and what is read is what came.

use lfp_proto::frame::Frame;
use lfp_proto::limits::{DATAGRAM_MIN, STREAM_WINDOW, STREAMS_MAX};
use lfp_proto::packet::{self, Builder, Kind};
use lfp_proto::stream::{Reading, Side, Streams};
use lfp_proto::units::{ConnectionId, PacketNumber};

use crate::harness::Outcome;

/// Packets that one side may have to say before it waits for acks: all that may be written, and a little.
const PACKETS_MAX: usize = 2 * STREAMS_MAX * STREAM_WINDOW / 1_000;

/// The input is frames, as they lie in a packet; each side gets them.
pub(crate) fn receive(input: &[u8]) -> Outcome {
    let mut streams_seen = false;
    for side in [Side::Client, Side::Server] {
        let mut streams = Streams::new(side);
        let own = streams.open("fuzz").expect("there is room");
        for frame in packet::frames(input).map_while(Result::ok) {
            match frame {
                Frame::Stream(frame) => streams.on_stream(&frame),
                Frame::StreamCredit(frame) => streams.on_credit(&frame),
                Frame::StreamReset(frame) => streams.on_reset(&frame),
                _ => continue,
            }
            streams_seen = true;
            let mut bytes = Vec::new();
            if let Some((stream, _)) = streams.accept() {
                if streams.read(stream, &mut bytes, 7) == Reading::Open {
                    streams.write(stream, input);
                }
            }
            streams.read(own, &mut bytes, usize::MAX);
            assert!(bytes.len() <= STREAM_WINDOW);
            assert!(streams.memory_bytes() <= 2 * STREAMS_MAX * 4 * STREAM_WINDOW);
        }
        for count in 0.. {
            assert!(count < PACKETS_MAX, "{side:?} always has something to say");
            let number = PacketNumber(1);
            let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Data, ConnectionId(1), number);
            streams.put_control(&mut builder, |_| ());
            streams.put_bytes(&mut builder, |_| ());
            if builder.is_empty() {
                break;
            }
            assert!(packet::check_frames(builder.payload()).is_ok());
        }
        assert!(!streams.has_bytes() && !streams.has_control());
    }
    if streams_seen { Ok(()) } else { Err("no frame of a stream") }
}
