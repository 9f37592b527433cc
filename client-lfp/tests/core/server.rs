//! A server of a few lines: says what a test tells it to, and keeps what the client says.

use core::time::Duration;

use client_lfp::{Client, Config, Security};
use lfp_proto::frame::{Ack, AckRange, Frame, Pixels, Surface, SurfaceState};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::hello::{Accept, Challenge, Hello};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::record::{Context, Record};
use lfp_proto::technique::Technique;
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, Epoch, PacketNumber, SurfaceId};
use lfp_proto::window::ReceiveWindow;

pub(crate) const CONNECTION: ConnectionId = ConnectionId(0x1122_3344_5566_7788);
pub(crate) const SURFACE: SurfaceId = SurfaceId(3);
/// The server's clock less the client's.
pub(crate) const OFFSET_US: u64 = 5_000_000;
/// One way; the way back takes as long.
pub(crate) const WAY: Duration = Duration::from_millis(10);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A client, the server's end of its connection, and the time.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) now: Instant,
    next: u64,
    pub(crate) window: ReceiveWindow,
}

impl Session {
    /// A session at its beginning.
    pub(crate) fn asking(config: &Config) -> Self {
        let now = Instant::from_micros(1_000_000);
        let client = Client::new(config, Security::Plain, CONNECTION, now);
        Self { client, now, next: 1, window: ReceiveWindow::default() }
    }

    /// An established session.
    pub(crate) fn established() -> Self {
        Self::established_as(&Config::default())
    }

    /// An established session of a client with `config`.
    pub(crate) fn established_as(config: &Config) -> Self {
        let mut session = Self::asking(config);
        let hello = session.hello().expect("the first hello");
        session.now = session.now + WAY + WAY;
        session.challenge(hello.client_time_us, b"cookie");
        let hello = session.hello().expect("the second hello");
        session.now = session.now + WAY + WAY;
        session.accept(hello.client_time_us, session.now - WAY);
        session
    }

    /// An established session with a live surface in epoch 1.
    pub(crate) fn live(width: u16, height: u16) -> Self {
        let mut session = Self::established();
        session.say(&[live(1, width, height)]);
        session
    }

    /// The next HELLO of the client, if one is due.
    pub(crate) fn hello(&mut self) -> Option<Hello> {
        let bytes = self.client.poll_transmit(self.now)?;
        let view = View::new_checked(&bytes).expect("a datagram");
        assert_eq!(view.kind(), Kind::Hello);
        Some(Hello::parse(view.payload()).expect("a hello"))
    }

    fn handshake(&mut self, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) {
        let mut builder = Builder::new(Vec::new(), 1200, kind, CONNECTION, PacketNumber(0));
        body(builder.body());
        self.client.handle_datagram(self.now, &builder.finish());
    }

    pub(crate) fn challenge(&mut self, client_time_us: u64, cookie: &[u8]) {
        let challenge = Challenge { client_time_us, cookie: cookie.to_vec() };
        self.handshake(Kind::Challenge, |out| challenge.emit(out));
    }

    /// ACCEPT, sent at `at` of the client's clock.
    pub(crate) fn accept(&mut self, client_time_us: u64, at: Instant) {
        let server_time_us = at.as_micros() + OFFSET_US;
        let accept = Accept { client_time_us, server_time_us, datagram_size: 1200, idle_timeout_ms: 30_000 };
        self.handshake(Kind::Accept, |out| accept.emit(out));
    }

    pub(crate) fn refuse(&mut self, refuse: &lfp_proto::hello::Refuse) {
        self.handshake(Kind::Refuse, |out| refuse.emit(out));
    }

    /// The number of the next packet.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// A packet with the next number, not delivered: it is lost unless the test hands it over.
    pub(crate) fn packet(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        let number = PacketNumber(self.next);
        self.next += 1;
        let mut builder = Builder::new(Vec::new(), 8900, Kind::Data, CONNECTION, number);
        for frame in frames {
            assert!(builder.push(frame), "the frames of a test fit");
        }
        builder.finish()
    }

    /// Delivers a datagram.
    pub(crate) fn deliver(&mut self, bytes: &[u8]) {
        self.client.handle_datagram(self.now, bytes);
    }

    /// Sends and delivers a packet.
    pub(crate) fn say(&mut self, frames: &[Frame<'_>]) -> PacketNumber {
        let bytes = self.packet(frames);
        self.deliver(&bytes);
        PacketNumber(self.next - 1)
    }

    /// Lets time pass up to the client's next deadline, at most `most`; says whether it had one before that.
    pub(crate) fn step(&mut self, most: Duration) -> bool {
        let end = self.now + most;
        let due = self.client.poll_timeout().filter(|due| *due <= end);
        self.now = due.unwrap_or(end).max(self.now);
        self.client.handle_timeout(self.now);
        due.is_some()
    }

    /// The datagrams that the client sends now.
    pub(crate) fn sends(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while let Some(bytes) = self.client.poll_transmit(self.now) {
            datagrams.push(bytes);
            assert!(datagrams.len() <= 100, "a client that never stops sending");
        }
        if let Some(due) = self.client.poll_timeout() {
            assert!(due > self.now, "a deadline at {due:?} is left over at {:?}", self.now);
        }
        datagrams
    }

    /// The frames that the client sends now, each with the number of its packet; they are noted as received.
    pub(crate) fn hears(&mut self) -> Vec<(PacketNumber, Frame<'static>)> {
        let mut frames = Vec::new();
        for bytes in self.sends() {
            let bytes: &'static [u8] = bytes.leak();
            let view = View::new_checked(bytes).expect("a datagram");
            assert_eq!((view.kind(), view.connection()), (Kind::Data, CONNECTION));
            let number = view.number(self.window.largest());
            view.check_frames().expect("well-formed frames");
            let before = frames.len();
            frames.extend(view.frames().flatten().map(|frame| (number, frame)));
            let elicits = frames[before..].iter().any(|(_, frame)| frame.elicits_ack());
            self.window.on_applied(number, self.now, elicits, Vec::new());
        }
        frames
    }

    /// What the client sends within `span`, in order; nothing is answered.
    pub(crate) fn hears_for(&mut self, span: Duration) -> Vec<(PacketNumber, Frame<'static>)> {
        let end = self.now + span;
        let mut frames = self.hears();
        while self.now < end {
            self.step(end.saturating_since(self.now));
            frames.extend(self.hears());
        }
        frames
    }

    /// The one ack among the frames that the client sends now.
    pub(crate) fn ack(&mut self) -> Option<Ack> {
        let mut acks = self.hears().into_iter().filter_map(|(_, frame)| match frame {
            Frame::Ack(ack) => Some(ack),
            _ => None,
        });
        let ack = acks.next();
        assert!(acks.next().is_none(), "two acks at once");
        ack
    }

    /// The pixel at column `x`, row `y`.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> u32 {
        let picture = self.client.picture().expect("a picture");
        picture.pixels[y * usize::from(picture.size.width) + x]
    }
}

pub(crate) fn rect(x: u16, y: u16, width: u16, height: u16) -> CellRect {
    CellRect { x, y, width, height }
}

pub(crate) fn live(epoch: u32, width: u16, height: u16) -> Frame<'static> {
    let size = Some(Size::new(width, height).expect("a legal size"));
    Frame::Surface(Surface {
        surface: SURFACE,
        epoch: Epoch(epoch),
        state: SurfaceState::Live,
        size,
        text: "",
    })
}

pub(crate) fn dark(epoch: u32, state: SurfaceState, text: &'static str) -> Frame<'static> {
    Frame::Surface(Surface { surface: SURFACE, epoch: Epoch(epoch), state, size: None, text })
}

/// A colour record.
pub(crate) fn colour(cells: CellRect, payload: &[u8]) -> Record<'_> {
    Record::new(Technique::Colour, Context::Flat, cells, payload)
}

/// The bytes of a PIXELS frame's records.
pub(crate) fn records(records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.emit(&mut bytes);
    }
    bytes
}

pub(crate) fn pixels(epoch: u32, records: &[u8]) -> Frame<'_> {
    Frame::Pixels(Pixels { surface: SURFACE, epoch: Epoch(epoch), records })
}

/// An ack of one packet of the client.
pub(crate) fn ack_of(number: PacketNumber) -> Frame<'static> {
    let ranges = vec![AckRange { first: number, last: number }];
    Frame::Ack(Ack { delay_us: 0, arrived_us: 0, recovered: 0, ranges, refused: Vec::new() })
}
