//! Streams on which a client asks and the server answers: lines both ways, one answer for each request, in their order.

use crate::limits::CONTROL_REQUEST_MAX;
use crate::session::Session;
use lfp_proto::frame::ResetReason;
use lfp_proto::stream::{Reading, Streams};
use lfp_proto::units::StreamId;

/// What such a stream is for.
pub const CONTROL: &str = "control";

/// One of them.
///
/// What it keeps is bounded: nothing is read while an answer waits for room in the stream.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: StreamId,
    /// What was read and not taken as a request yet.
    asked: Vec<u8>,
    /// What is left of the answer to the last request.
    answer: Vec<u8>,
    /// Nothing more will be asked.
    ended: bool,
}

/// How far a conversation is.
enum Turn {
    /// It has been asked this.
    Asked(Vec<u8>),
    /// It waits for the client.
    Waits,
    /// It is over.
    Over,
}

impl Conversation {
    pub(super) const fn new(stream: StreamId) -> Self {
        Self { stream, asked: Vec::new(), answer: Vec::new(), ended: false }
    }

    fn turn(&mut self, streams: &mut Streams) -> Turn {
        let written = streams.write(self.stream, &self.answer);
        self.answer.drain(..written);
        let most = if self.answer.is_empty() { CONTROL_REQUEST_MAX + 1 - self.asked.len() } else { 0 };
        match streams.read(self.stream, &mut self.asked, most) {
            Reading::Open => {}
            Reading::End => self.ended = true,
            Reading::Reset { .. } | Reading::Gone => return Turn::Over,
        }
        if !self.answer.is_empty() {
            return Turn::Waits;
        }
        if let Some(at) = self.asked.iter().position(|byte| *byte == b'\n') {
            let rest = self.asked.split_off(at + 1);
            let mut line = std::mem::replace(&mut self.asked, rest);
            line.pop();
            return Turn::Asked(line);
        }
        if self.asked.len() > CONTROL_REQUEST_MAX {
            streams.reset(self.stream, ResetReason::Broken, "a request is longer than 1024 bytes");
            return Turn::Over;
        }
        match (self.ended, self.asked.is_empty()) {
            (false, _) => Turn::Waits,
            // The last line may do without its end.
            (true, false) => Turn::Asked(std::mem::take(&mut self.asked)),
            (true, true) => {
                streams.finish(self.stream);
                Turn::Over
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.asked.capacity() + self.answer.capacity()
    }
}

// SPEC [LFP-18.11]: A server MUST answer each line of a stream of the kind *control* by one line, a JSON object, in the order of the
// lines,
impl Session {
    /// From now on `stream`, which the client has opened, is one for control.
    pub fn converse(&mut self, stream: StreamId) {
        self.streams.conversations.push(Conversation::new(stream));
    }

    /// What the client asks next on a stream for control: a line of at most [`CONTROL_REQUEST_MAX`] bytes, without its end.
    /// [`Session::answer`] must answer it before the next call.
    pub fn next_request(&mut self) -> Option<(StreamId, Vec<u8>)> {
        let (streams, conversations) = (&mut self.streams.streams, &mut self.streams.conversations);
        let mut asked = None;
        conversations.retain_mut(|conversation| {
            if asked.is_some() {
                return true;
            }
            match conversation.turn(streams) {
                Turn::Asked(line) => {
                    asked = Some((conversation.stream, line));
                    true
                }
                Turn::Waits => true,
                Turn::Over => false,
            }
        });
        asked
    }

    /// Answers what [`Session::next_request`] gave with `line`, which has no end of a line in it.
    pub fn answer(&mut self, stream: StreamId, line: &str) {
        let (streams, conversations) = (&mut self.streams.streams, &mut self.streams.conversations);
        if let Some(conversation) = conversations.iter_mut().find(|one| one.stream == stream) {
            conversation.answer = [line.as_bytes(), b"\n"].concat();
            let written = streams.write(stream, &conversation.answer);
            conversation.answer.drain(..written);
        }
    }
}
