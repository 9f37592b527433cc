//! A client's streams, and the acks that tell what became of them.

use core::time::Duration;

use lfp_proto::frame::{Ack, Frame};
use lfp_proto::stream::Streams;
use lfp_proto::time::Instant;

use super::Client;

impl Client {
    /// The streams of the session. What was written, and what reading made room for, goes out with
    /// [`Client::poll_transmit`]; without a session nothing does.
    pub const fn streams(&mut self) -> &mut Streams {
        self.streams.streams_mut()
    }

    /// How long an ack may take before what it would ack is said again.
    pub(super) fn answer_time(&self) -> Duration {
        self.sent.rtt().answer_time()
    }

    /// One of the frames of streams came.
    pub(super) fn on_stream_frame(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Stream(frame) => self.streams().on_stream(frame),
            Frame::StreamCredit(frame) => self.streams().on_credit(frame),
            Frame::StreamReset(frame) => self.streams().on_reset(frame),
            _ => {}
        }
    }

    /// The server says which packets came.
    pub(super) fn on_ack(&mut self, now: Instant, ack: &Ack) {
        let Self { window, attending, seal, streams, .. } = self;
        self.sent.on_ack(ack, now, |own| {
            window.on_carrier_acked(own);
            attending.on_acked(own);
            seal.on_acked(own);
            streams.on_acked(own);
        });
        self.streams.find_lost(self.sent.last());
    }
}
