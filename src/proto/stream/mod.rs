//! Streams: a few reliable, ordered, flow-controlled sequences of bytes beside the pixels, the same on both sides.
//!
//! Sans-IO. Frames that came go to [`Streams::on_stream`], [`Streams::on_credit`] and [`Streams::on_reset`];
//! [`Streams::put_control`] and [`Streams::put_bytes`] put what is to be said into packets and tell what each carried; what
//! became of a packet goes to [`Streams::on_acked`] and [`Streams::on_lost`]. Whoever owns a `Streams` decides when bytes may
//! go.
//!
//! Memory is bounded: [`STREAMS_MAX`] streams that either side opened, of each in either direction
//! [`STREAM_WINDOW`] bytes, and as many again while they come out of order.

mod ranges;
mod receive;
mod send;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::frame::{Frame, ResetReason, Stream as StreamFrame, StreamCredit, StreamReset};
use crate::limits::{NAME_MAX, STREAM_WINDOW, STREAMS_MAX};
use crate::packet::Builder;
use crate::units::StreamId;
use crate::wire::{Malformed, Put, Reader};

use self::receive::ReceiveHalf;
use self::send::{Piece, SendHalf};

/// Whose streams they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It opens even ones.
    Client,
    /// It opens odd ones.
    Server,
}

/// What a packet carried of streams: to be handed back once it is known what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// STREAM.
    Bytes {
        /// Of which stream.
        stream: StreamId,
        /// From where on.
        offset: u64,
        /// How many.
        len: u32,
        /// And its end.
        fin: bool,
    },
    /// STREAM_CREDIT.
    Credit {
        /// For which stream.
        stream: StreamId,
        /// How far.
        through: u64,
    },
    /// STREAM_RESET.
    Reset {
        /// Of which stream.
        stream: StreamId,
    },
}

/// How a stream stands, for whoever reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// More may come.
    Open,
    /// All of it has been read.
    End,
    /// The other side has reset it; nothing more can be read or written. This is said once.
    Reset {
        /// Why.
        reason: ResetReason,
        /// Why, for people.
        text: String,
    },
    /// There is no such stream, or not any more.
    Gone,
}

/// What was done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamStats {
    /// Streams that the other side has opened.
    pub accepted: u64,
    /// Bytes of streams sent, those that were sent again included.
    pub bytes_sent: u64,
    /// Bytes sent again.
    pub bytes_again: u64,
    /// Bytes of streams that were read.
    pub bytes_read: u64,
    /// Streams that were reset here because the other side had not kept to the rules.
    pub broken: u64,
}

/// Why one of our streams, or the peer's, is over before its time.
#[derive(Clone, Debug)]
enum Reset {
    /// We have reset it.
    Ours { reason: ResetReason, text: &'static str, due: bool },
    /// The other side has.
    Theirs { reason: ResetReason, text: String },
}

/// One of the [`STREAMS_MAX`] places for streams that one side opens: each takes a stream after another.
#[derive(Clone, Debug)]
struct Place {
    /// The stream that is open here, or will be next.
    stream: StreamId,
    open: bool,
    /// Its kind is known here, and whoever takes it has it.
    accepted: bool,
    /// Whoever reads it has been told that this was all.
    ended: bool,
    send: SendHalf,
    receive: ReceiveHalf,
    reset: Option<Reset>,
    /// Credit for the stream after this one.
    next_credit: u64,
}

impl Place {
    const fn step() -> u64 {
        2 * STREAMS_MAX as u64
    }

    /// A place for streams that this side opens.
    fn ours(stream: StreamId, credit: u64) -> Self {
        let (send, receive) = (SendHalf::new(credit), ReceiveHalf::new(true));
        Self { stream, open: false, accepted: true, ended: false, send, receive, reset: None, next_credit: 0 }
    }

    /// A place for streams that the other side opens.
    fn theirs(stream: StreamId, granted: bool) -> Self {
        let (send, receive) = (SendHalf::new(STREAM_WINDOW as u64), ReceiveHalf::new(granted));
        Self {
            stream,
            open: false,
            accepted: false,
            ended: false,
            send,
            receive,
            reset: None,
            next_credit: 0,
        }
    }

    fn is_usable(&self) -> bool {
        self.open && self.reset.is_none()
    }

    fn reset(&mut self, reset: Reset) {
        self.open = true;
        self.send.clear();
        self.receive.clear();
        self.reset = Some(reset);
    }
}

/// The streams of one session, at one of its sides.
#[derive(Clone, Debug)]
pub struct Streams {
    side: Side,
    /// Those that this side opens, and those that the other does.
    ours: [Place; STREAMS_MAX],
    theirs: [Place; STREAMS_MAX],
    /// The place whose bytes go first next time.
    turn: usize,
    stats: StreamStats,
}

impl Streams {
    /// None is open.
    #[must_use]
    pub fn new(side: Side) -> Self {
        let (own, other) = match side {
            Side::Client => (0, 1),
            Side::Server => (1, 0),
        };
        let id = |at: usize, bit: u64| StreamId(2 * at as u64 + bit);
        // SPEC [LFP-18.2]: A side MUST NOT open a stream for which it has no credit; it has credit of 32,768 bytes for its
        // first four
        let window = STREAM_WINDOW as u64;
        Self {
            side,
            ours: core::array::from_fn(|at| Place::ours(id(at, own), window)),
            theirs: core::array::from_fn(|at| Place::theirs(id(at, other), true)),
            turn: 0,
            stats: StreamStats::default(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> &StreamStats {
        &self.stats
    }

    /// Bytes of memory that they take beside themselves.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let of = |place: &Place| {
            let text = match &place.reset {
                Some(Reset::Theirs { text, .. }) => text.capacity(),
                _ => 0,
            };
            place.send.memory_bytes() + place.receive.memory_bytes() + text
        };
        self.places().map(of).sum()
    }

    /// Whether a stream is open, or closing.
    #[must_use]
    pub fn any_open(&self) -> bool {
        self.places().any(|place| place.open)
    }

    /// Opens a stream for what `kind` (at most [`NAME_MAX`] bytes) names, if the other side takes another.
    pub fn open(&mut self, kind: &str) -> Option<StreamId> {
        let free = self.ours.iter_mut().filter(|place| !place.open && place.send.credit() > 0);
        let place = free.min_by_key(|place| place.stream)?;
        place.open = true;
        // SPEC [LFP-18.1]: The side that opens a stream MUST begin it with what it is for: a text(64).
        let mut name = Vec::new();
        name.put_text(kind, NAME_MAX);
        place.send.write(&name);
        Some(place.stream)
    }

    /// A stream that the other side has opened, with what it is for; each once.
    pub fn accept(&mut self) -> Option<(StreamId, String)> {
        for at in 0..STREAMS_MAX {
            let place = &mut self.theirs[at];
            if place.accepted || !place.is_usable() {
                continue;
            }
            let mut reader = Reader::new(place.receive.ready());
            let whole = reader.remaining();
            let named = reader.text(NAME_MAX, "stream kind").map(ToString::to_string);
            let len = whole - reader.remaining();
            match named {
                Ok(kind) => {
                    place.accepted = true;
                    place.receive.read(&mut Vec::new(), len);
                    self.stats.accepted += 1;
                    return Some((place.stream, kind));
                }
                Err(Malformed::Truncated) if !place.receive.has_all() => {}
                Err(_) => {
                    let stream = place.stream;
                    self.broken(stream, "it does not say what it is for");
                }
            }
        }
        None
    }

    /// Bytes that may be written to `stream`; 0 if there is no such.
    #[must_use]
    pub fn room(&self, stream: StreamId) -> usize {
        self.find(stream).filter(|place| place.is_usable()).map_or(0, |place| place.send.room())
    }

    /// Takes as many of `bytes` for `stream` as there is room for; says how many.
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> usize {
        self.find_mut(stream).filter(|place| place.is_usable()).map_or(0, |place| place.send.write(bytes))
    }

    /// Nothing more will be written to `stream`.
    pub fn finish(&mut self, stream: StreamId) {
        if let Some(place) = self.find_mut(stream).filter(|place| place.is_usable()) {
            place.send.finish();
        }
    }

    /// Moves up to `most` bytes of `stream` that came to the end of `out`.
    pub fn read(&mut self, stream: StreamId, out: &mut Vec<u8>, most: usize) -> Reading {
        let Some(place) = self.find_mut(stream).filter(|place| place.open && place.accepted) else {
            return Reading::Gone;
        };
        if let Some(Reset::Theirs { reason, text }) = &mut place.reset {
            let reading = Reading::Reset { reason: *reason, text: core::mem::take(text) };
            self.renew(stream);
            return reading;
        }
        if place.reset.is_some() {
            return Reading::Gone;
        }
        let count = place.receive.read(out, most);
        place.ended = place.receive.is_over();
        let ended = place.ended;
        self.stats.bytes_read += count as u64;
        self.settle(stream);
        if ended { Reading::End } else { Reading::Open }
    }

    /// Ends `stream`, both ways, whatever is under way; `text` tells people why.
    pub fn reset(&mut self, stream: StreamId, reason: ResetReason, text: &'static str) {
        let Some(place) = self.find_mut(stream).filter(|place| place.open) else { return };
        match place.reset {
            None => place.reset(Reset::Ours { reason, text, due: true }),
            // The other side was faster.
            Some(Reset::Theirs { .. }) => self.renew(stream),
            Some(Reset::Ours { .. }) => {}
        }
    }

    /// STREAM came.
    // SPEC [LFP-18.7]: A receiver MUST ignore frames of streams that are over, that it has given no credit for, or that it
    // would have to open itself
    pub fn on_stream(&mut self, frame: &StreamFrame<'_>) {
        let is_ours = self.is_ours(frame.stream);
        let Some(place) = self.find_mut(frame.stream) else { return };
        if place.reset.is_some() || !(place.open || !is_ours && place.receive.is_granted()) {
            return;
        }
        place.open = true;
        match place.receive.on_bytes(frame.offset, frame.bytes, frame.fin) {
            Ok(()) => {}
            Err(_) => self.broken(frame.stream, "more came than was asked for, or the end moved"),
        }
    }

    /// STREAM_CREDIT came.
    pub fn on_credit(&mut self, frame: &StreamCredit) {
        let (is_ours, step) = (self.is_ours(frame.stream), Place::step());
        let place = self.place_mut(frame.stream);
        if place.stream == frame.stream && (is_ours || place.open) {
            place.send.on_credit(frame.through);
        } else if is_ours && place.stream.0.checked_add(step) == Some(frame.stream.0) {
            place.next_credit = place.next_credit.max(frame.through);
        }
    }

    /// STREAM_RESET came.
    // SPEC [LFP-18.8]: A side that resets a stream, or whose stream is reset, MUST send nothing more of it
    pub fn on_reset(&mut self, frame: &StreamReset<'_>) {
        let is_ours = self.is_ours(frame.stream);
        let Some(place) = self.find_mut(frame.stream) else { return };
        if !(place.open || !is_ours && place.receive.is_granted()) {
            return;
        }
        // Whoever has reset it here, or never heard of it, need not be told.
        let known = place.accepted && place.reset.is_none();
        place.reset(Reset::Theirs { reason: frame.reason, text: frame.text.into() });
        if !known {
            self.renew(frame.stream);
        }
    }

    /// Whether credit is to be given or a stream to be reset: small, and never much.
    #[must_use]
    pub fn has_control(&self) -> bool {
        self.places().any(|place| place.receive.credit_due().is_some() || is_reset_due(place))
    }

    /// Puts credits and resets into a packet, as far as they fit; tells `carried` of each.
    pub fn put_control(&mut self, builder: &mut Builder, mut carried: impl FnMut(Carried)) {
        for place in self.ours.iter_mut().chain(&mut self.theirs) {
            let stream = place.stream;
            if let Some(through) = place.receive.credit_due() {
                if builder.push(&Frame::StreamCredit(StreamCredit { stream, through })) {
                    place.receive.on_credit_told(through);
                    carried(Carried::Credit { stream, through });
                }
            }
            if let Some(Reset::Ours { reason, text, due }) = &mut place.reset {
                let frame = StreamReset { stream, reason: *reason, text };
                if *due && builder.push(&Frame::StreamReset(frame)) {
                    *due = false;
                    carried(Carried::Reset { stream });
                }
            }
        }
    }

    /// Whether bytes of a stream wait that the other side takes.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        self.places().any(|place| place.is_usable() && place.send.is_due())
    }

    /// Puts bytes of streams into a packet, as many as fit, those of different streams in turns; tells `carried` of each piece.
    pub fn put_bytes(&mut self, builder: &mut Builder, mut carried: impl FnMut(Carried)) {
        for at in 0..2 * STREAMS_MAX {
            let index = (self.turn + at) % (2 * STREAMS_MAX);
            let places = if index < STREAMS_MAX { &mut self.ours } else { &mut self.theirs };
            let place = &mut places[index % STREAMS_MAX];
            if !place.is_usable() {
                continue;
            }
            let stream = place.stream;
            loop {
                let overhead = StreamFrame::overhead(stream, place.send.next_offset());
                let Some(most) = builder.room().checked_sub(overhead) else { break };
                let Some(piece) = place.send.piece(most) else { break };
                let Piece { offset, len, fin } = piece;
                let frame = StreamFrame { stream, offset, fin, bytes: place.send.bytes_of(piece) };
                if !builder.push(&Frame::Stream(frame)) {
                    break;
                }
                self.stats.bytes_sent += u64::from(len);
                self.stats.bytes_again += place.send.on_sent(piece);
                self.turn = (index + 1) % (2 * STREAMS_MAX);
                carried(Carried::Bytes { stream, offset, len, fin });
            }
        }
    }

    /// The packet that carried this has come.
    pub fn on_acked(&mut self, carried: Carried) {
        match carried {
            Carried::Bytes { stream, offset, len, fin } => {
                if let Some(place) = self.find_mut(stream).filter(|place| place.is_usable()) {
                    place.send.on_acked(Piece { offset, len, fin });
                    self.settle(stream);
                }
            }
            Carried::Credit { .. } => {}
            Carried::Reset { stream } => {
                if self.find(stream).is_some_and(|place| matches!(place.reset, Some(Reset::Ours { .. }))) {
                    self.renew(stream);
                }
            }
        }
    }

    /// The packet that carried this is lost, or counts as lost.
    pub fn on_lost(&mut self, carried: Carried) {
        let (Carried::Bytes { stream, .. } | Carried::Credit { stream, .. } | Carried::Reset { stream }) =
            carried;
        let Some(place) = self.find_mut(stream) else { return };
        match (carried, &mut place.reset) {
            (Carried::Bytes { offset, len, fin, .. }, None) => {
                place.send.on_lost(Piece { offset, len, fin });
            }
            (Carried::Credit { through, .. }, None) => place.receive.on_credit_lost(through),
            (Carried::Reset { .. }, Some(Reset::Ours { due, .. })) => *due = true,
            _ => {}
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.ours.iter().chain(&self.theirs)
    }

    /// Whether this side opens streams with such a number.
    fn is_ours(&self, stream: StreamId) -> bool {
        (stream.0 % 2 == 0) == (self.side == Side::Client)
    }

    fn place_mut(&mut self, stream: StreamId) -> &mut Place {
        let at = (stream.0 / 2 % STREAMS_MAX as u64) as usize;
        if self.is_ours(stream) { &mut self.ours[at] } else { &mut self.theirs[at] }
    }

    /// Where `stream` is open, or may be.
    fn find_mut(&mut self, stream: StreamId) -> Option<&mut Place> {
        Some(self.place_mut(stream)).filter(|place| place.stream == stream)
    }

    fn find(&self, stream: StreamId) -> Option<&Place> {
        self.places().find(|place| place.stream == stream)
    }

    /// The other side has not kept to the rules.
    fn broken(&mut self, stream: StreamId, text: &'static str) {
        self.stats.broken += 1;
        if let Some(place) = self.find_mut(stream) {
            place.reset(Reset::Ours { reason: ResetReason::Broken, text, due: true });
        }
    }

    /// Makes room for another stream if this one is over in both directions.
    fn settle(&mut self, stream: StreamId) {
        let over = |place: &Place| place.is_usable() && place.send.is_done() && place.ended;
        if self.find(stream).is_some_and(over) {
            self.renew(stream);
        }
    }

    /// The stream is over: its place is for the next one.
    // SPEC [LFP-18.9]: A side MUST give credit for stream n + 8 once stream n, which the other side opened, is over, and not
    // before.
    fn renew(&mut self, stream: StreamId) {
        let (is_ours, next) = (self.is_ours(stream), StreamId(stream.0.saturating_add(Place::step())));
        let place = self.place_mut(stream);
        *place = if is_ours { Place::ours(next, place.next_credit) } else { Place::theirs(next, false) };
    }
}

fn is_reset_due(place: &Place) -> bool {
    matches!(place.reset, Some(Reset::Ours { due: true, .. }))
}
