//! Of streams: nobody sends more than the other side has given credit for.

use std::collections::BTreeMap;

use lfp_proto::frame::Frame;
use lfp_proto::limits::{STREAM_WINDOW, STREAMS_MAX};
use lfp_proto::units::StreamId;

use crate::totals::Totals;

/// What is known of the streams of a connection: by who sends (0 the client), and stream.
#[derive(Debug, Default)]
pub(super) struct Credits {
    /// The largest credit that came to it.
    given: BTreeMap<(usize, StreamId), u64>,
    /// How far it has sent.
    sent: BTreeMap<(usize, StreamId), u64>,
}

impl Credits {
    /// `side` sends a frame.
    pub(super) fn on_sent(&mut self, side: usize, frame: &Frame<'_>, totals: &mut Totals) {
        let name = ["the client", "the server"][side];
        match frame {
            Frame::Stream(frame) => {
                let stop = frame.offset + frame.bytes.len() as u64;
                let is_own = frame.stream.0 % 2 == side as u64;
                let first = is_own && frame.stream.0 / 2 < STREAMS_MAX as u64;
                let at_first = if first || !is_own { STREAM_WINDOW as u64 } else { 0 };
                let given = self.given.get(&(side, frame.stream)).copied().unwrap_or_default().max(at_first);
                assert!(given > 0, "LFP-18.2: {name} opens {:?}", frame.stream);
                assert!(stop <= given, "LFP-18.3: {name} sends up to {stop}, where {given} are taken");
                let sent = self.sent.entry((side, frame.stream)).or_default();
                totals.many(
                    &format!("pieces of streams that {name} sends again"),
                    u64::from(frame.offset < *sent),
                );
                *sent = stop.max(*sent);
            }
            Frame::StreamCredit(_) => totals.one(&format!("credits of {name}")),
            Frame::StreamReset(_) => totals.one(&format!("resets of {name}")),
            _ => {}
        }
    }

    /// A frame comes to `side`.
    pub(super) fn on_came(&mut self, side: usize, frame: &Frame<'_>) {
        if let Frame::StreamCredit(credit) = frame {
            let given = self.given.entry((side, credit.stream)).or_default();
            *given = credit.through.max(*given);
        }
    }
}
