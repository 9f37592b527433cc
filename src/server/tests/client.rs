//! A client for tests, made of `lfp_proto` alone: it applies records, acks, refuses on demand, proves its picture.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::geometry::{CellRect, Size};
use crate::limits::CELL;
use crate::time::Instant;
use crate::units::{ConnectionId, Epoch, PacketNumber, SurfaceId};
use lfp_proto::depth::Depth;
use lfp_proto::frame::{
    Close, CloseReason, Digest, DigestReply, Frame, Input, InputAck, InputEvent, InputKind, Mark, Pixels,
    Refusal, SurfaceState,
};
use lfp_proto::hello::{Accept, Challenge, ClientType, Display, Hello, Refuse};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::technique::{self, Technique};
use lfp_proto::window::{Arrival, ReceiveWindow};

/// Time after which HELLO is sent again.
const HELLO_AGAIN: Duration = Duration::from_millis(200);
const DIGEST_AGAIN: Duration = Duration::from_millis(150);

/// What the client shows.
pub(super) struct Screen {
    pub(super) size: Size,
    pub(super) pixels: Vec<u32>,
    contents: Vec<u64>,
}

pub(super) struct TestClient {
    pub(super) address: SocketAddr,
    pub(super) hello: Hello,
    pub(super) connection: ConnectionId,
    pub(super) accepted: Option<Accept>,
    pub(super) accepts: usize,
    pub(super) refused: Option<Refuse>,
    pub(super) closed: Option<CloseReason>,
    pub(super) closes: usize,
    pub(super) epoch: Epoch,
    pub(super) state: Option<(SurfaceState, String)>,
    pub(super) screen: Option<Screen>,
    /// Surfaces other than the first.
    pub(super) others: BTreeMap<SurfaceId, (Epoch, Screen)>,
    /// The surface that input is for.
    pub(super) focus: SurfaceId,
    pub(super) marks: Vec<Mark>,
    pub(super) replies: BTreeMap<u32, DigestReply>,
    pub(super) input_ack: Option<InputAck>,
    pub(super) refused_records: u64,
    pub(super) records: u64,
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    /// Refuses every n-th record.
    pub(super) refuse_every: Option<u64>,
    /// Sends acks (with nothing in them) only if set.
    pub(super) acks: bool,
    pub(super) receive: ReceiveWindow,
    next: u64,
    hello_at: Option<Instant>,
    input: Vec<InputEvent>,
    input_sequence: u64,
    input_at: Option<Instant>,
    digests: BTreeMap<u32, (CellRect, Instant)>,
    next_digest: u32,
}

impl TestClient {
    pub(super) fn new(index: u16, service: &str) -> Self {
        let hello = Hello {
            cookie: Vec::new(),
            client_time_us: 0,
            service: service.to_owned(),
            place: format!("desk {index}"),
            client_type: ClientType::Headless,
            displays: vec![Display::new(None, Depth::Bits24, 60)],
            decoders: technique::decoders(),
            references: 0,
            datagram_size: 1_200,
            receive_buffer: 256 * 1024,
        };
        Self {
            address: SocketAddr::from(([192, 0, 2, 1], 1_000 + index)),
            hello,
            connection: ConnectionId(0x1000 + u64::from(index)),
            accepted: None,
            accepts: 0,
            refused: None,
            closed: None,
            closes: 0,
            epoch: Epoch(0),
            state: None,
            screen: None,
            others: BTreeMap::new(),
            focus: SurfaceId(0),
            marks: Vec::new(),
            replies: BTreeMap::new(),
            input_ack: None,
            refused_records: 0,
            records: 0,
            datagrams: 0,
            bytes: 0,
            refuse_every: None,
            acks: true,
            receive: ReceiveWindow::default(),
            next: 0,
            hello_at: Some(Instant::ZERO),
            input: Vec::new(),
            input_sequence: 0,
            input_at: None,
            digests: BTreeMap::new(),
            next_digest: 0,
        }
    }

    /// The address changes; HELLO from there makes the session follow.
    pub(super) fn move_to(&mut self, address: SocketAddr, now: Instant) {
        self.address = address;
        self.hello_at = Some(now);
    }

    pub(super) fn hello_bytes(&self) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new(), 1_200, Kind::Hello, self.connection, PacketNumber(0));
        self.hello.emit(builder.body());
        builder.pad_to(1_100);
        builder.finish()
    }

    /// A packet of these frames.
    pub(super) fn packet(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        self.next += 1;
        let mut builder =
            Builder::new(Vec::new(), 1_200, Kind::Data, self.connection, PacketNumber(self.next));
        for frame in frames {
            assert!(builder.push(frame), "{frame:?} does not fit");
        }
        builder.finish()
    }

    pub(super) fn press(&mut self, kinds: &[InputKind], now: Instant) {
        for kind in kinds {
            self.input_sequence += 1;
            self.input.push(InputEvent { sequence: self.input_sequence, kind: *kind });
        }
        self.input_at = Some(now);
    }

    pub(super) fn close(&mut self) -> Vec<u8> {
        self.closed = Some(CloseReason::Done);
        self.packet(&[Frame::Close(Close { reason: CloseReason::Done, text: "" })])
    }

    pub(super) fn on_datagram(&mut self, now: Instant, bytes: &[u8]) {
        let view = View::new_checked(bytes).expect("the server sends whole datagrams");
        assert_eq!(view.connection(), self.connection);
        assert!(bytes.len() <= usize::from(self.hello.datagram_size));
        self.datagrams += 1;
        self.bytes += bytes.len() as u64;
        match view.kind() {
            Kind::Challenge => {
                let challenge = Challenge::parse(view.payload()).unwrap();
                self.hello.cookie = challenge.cookie;
                self.hello_at = Some(now);
            }
            Kind::Accept => {
                self.accepted = Some(Accept::parse(view.payload()).unwrap());
                self.accepts += 1;
                self.hello_at = None;
            }
            Kind::Refuse => {
                self.refused = Some(Refuse::parse(view.payload()).unwrap());
                self.hello_at = None;
            }
            Kind::Data => self.on_data(now, &view),
            Kind::Hello | Kind::Greet | Kind::Reset => panic!("a server sent {:?}", view.kind()),
        }
    }

    fn on_data(&mut self, now: Instant, view: &View<'_>) {
        if self.closed.is_some() {
            self.closes += usize::from(view.frames().any(|frame| matches!(frame, Ok(Frame::Close(_)))));
            return;
        }
        if self.accepted.is_none() {
            return;
        }
        let number = view.number(self.receive.largest());
        if self.receive.examine(number) == Arrival::Known {
            return;
        }
        view.check_frames().expect("the server sends legal frames");
        let (mut elicits, mut refused, mut index) = (false, Vec::new(), 0);
        for frame in view.frames().flatten() {
            elicits |= frame.elicits_ack();
            match frame {
                Frame::Surface(surface) if surface.surface != SurfaceId(0) => {
                    let known = self.others.get(&surface.surface).map(|(epoch, _)| *epoch);
                    if let Some(size) = surface.size.filter(|_| known < Some(surface.epoch)) {
                        self.others.insert(surface.surface, (surface.epoch, Screen::new(size)));
                    }
                }
                Frame::Surface(surface) if surface.epoch > self.epoch => {
                    self.epoch = surface.epoch;
                    self.state = Some((surface.state, surface.text.to_owned()));
                    self.screen = surface.size.map(Screen::new);
                    self.digests.clear();
                }
                Frame::Surface(_) => {}
                Frame::Pixels(pixels) => self.on_pixels(number, &pixels, &mut index, &mut refused),
                Frame::Mark(mark) => self.marks.push(mark),
                Frame::DigestReply(reply) => {
                    self.digests.remove(&reply.id);
                    self.replies.insert(reply.id, reply);
                }
                Frame::InputAck(ack) => {
                    self.input.retain(|event| event.sequence > ack.through);
                    self.input_ack = Some(ack);
                }
                Frame::Close(close) => {
                    self.closed = Some(close.reason);
                    self.closes = 1;
                }
                Frame::Floor(floor) => self.receive.on_floor(floor),
                Frame::Prove(_) | Frame::Parity(_) | Frame::Echo(_) | Frame::Quality(_) | Frame::Keep(_) => {}
                Frame::Stream(_) | Frame::StreamCredit(_) | Frame::StreamReset(_) => {
                    panic!("this client opens no streams")
                }
                Frame::Hold(_) => panic!("this client keeps no references"),
                Frame::Ack(_) | Frame::Ping | Frame::Padding => {}
                Frame::Digest(_)
                | Frame::Ecn(_)
                | Frame::Input(_)
                | Frame::Attention(_)
                | Frame::Path(_)
                | Frame::Offer(_)
                | Frame::Report(_) => {
                    panic!("a server sent {frame:?}")
                }
                Frame::Ticket(_) => panic!("a ticket in the clear"),
            }
        }
        self.refused_records += refused.len() as u64;
        self.receive.on_applied(number, now, elicits, refused);
    }

    fn on_pixels(
        &mut self,
        number: PacketNumber,
        pixels: &Pixels<'_>,
        index: &mut u16,
        refused: &mut Vec<(u16, Refusal)>,
    ) {
        let (epoch, mut screen) = match self.others.get_mut(&pixels.surface) {
            Some((epoch, screen)) => (*epoch, Some(screen)),
            None => (self.epoch, self.screen.as_mut()),
        };
        assert!(pixels.epoch <= epoch, "pixels before their SURFACE");
        for record in pixels.records() {
            self.records += 1;
            let content = record.content(number).expect("a content number").0;
            let reason = match screen.as_mut().filter(|_| pixels.epoch == epoch) {
                None => Some(Refusal::Epoch),
                Some(_) if self.refuse_every.is_some_and(|every| self.records % every == 0) => {
                    Some(Refusal::Base)
                }
                Some(screen) => screen.apply(&record, content).err(),
            };
            refused.extend(reason.map(|reason| (*index, reason)));
            *index += 1;
        }
    }

    /// When [`TestClient::poll`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.closed.is_some() || self.refused.is_some() {
            return None;
        }
        let ack = self.receive.ack_due().filter(|_| self.acks);
        let input = self.input_at.filter(|_| !self.input.is_empty());
        let digest = self.digests.values().map(|(_, at)| *at).min();
        [self.hello_at, ack, input, digest].into_iter().flatten().min()
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.deadline().filter(|at| *at <= now)?;
        if self.hello_at.is_some_and(|at| at <= now) {
            self.hello_at = Some(now + HELLO_AGAIN);
            self.hello.client_time_us = now.as_micros();
            return Some(self.hello_bytes());
        }
        self.accepted.as_ref()?;
        let mut frames = Vec::new();
        if self.acks {
            frames.extend(self.receive.ack(now, PacketNumber(self.next + 1)).map(Frame::Ack));
        }
        if self.input_at.is_some_and(|at| at <= now) && !self.input.is_empty() {
            self.input_at = Some(now + Duration::from_millis(30));
            frames.push(Frame::Input(Input { surface: self.focus, events: self.input.clone() }));
        }
        if let Some((id, (cells, at))) = self.digests.iter_mut().find(|(_, (_, at))| *at <= now) {
            *at = now + DIGEST_AGAIN;
            let (id, cells) = (*id, *cells);
            frames.extend(
                self.screen.as_ref().map(|screen| Frame::Digest(screen.digest(id, self.epoch, cells))),
            );
        }
        (!frames.is_empty()).then(|| self.packet(&frames))
    }

    /// Asks for the proof of `cells`; [`TestClient::replies`] will have the answer.
    pub(super) fn ask(&mut self, cells: CellRect, now: Instant) -> u32 {
        self.next_digest += 1;
        self.digests.insert(self.next_digest, (cells, now));
        self.next_digest
    }

    pub(super) fn whole(&self) -> CellRect {
        self.screen.as_ref().expect("a picture").size.grid().rect()
    }
}

impl Screen {
    fn new(size: Size) -> Self {
        Self { size, pixels: vec![0; size.pixels()], contents: vec![0; size.grid().cells()] }
    }

    fn apply(&mut self, record: &lfp_proto::record::Record<'_>, content: u64) -> Result<(), Refusal> {
        let grid = self.size.grid();
        if !grid.contains(record.cells) {
            return Err(Refusal::Cells);
        }
        let technique = Technique::from_wire(record.technique).ok_or(Refusal::Technique)?;
        let area = self.size.clip(record.cells);
        let (mut scratch, mut pixels) = (technique::Scratch::default(), Vec::new());
        technique::decode(technique, record.payload, area, None, &mut scratch, &mut pixels)?;
        for y in 0..area.height {
            for x in 0..area.width {
                let (at_x, at_y) = (area.x + x, area.y + y);
                if self.contents[grid.index(at_x / CELL, at_y / CELL)] < content {
                    let to = usize::from(at_y) * usize::from(self.size.width) + usize::from(at_x);
                    self.pixels[to] = pixels[usize::from(y) * usize::from(area.width) + usize::from(x)];
                }
            }
        }
        for index in record.cells.indices(grid) {
            self.contents[index] = self.contents[index].max(content);
        }
        Ok(())
    }

    fn digest(&self, id: u32, epoch: Epoch, cells: CellRect) -> Digest {
        let mut contents = crc32fast::Hasher::new();
        for index in cells.indices(self.size.grid()) {
            contents.update(&self.contents[index].to_le_bytes());
        }
        let area = self.size.clip(cells);
        let mut pixels = crc32fast::Hasher::new();
        for y in area.y..area.y + area.height {
            for x in area.x..area.x + area.width {
                let at = usize::from(y) * usize::from(self.size.width) + usize::from(x);
                pixels.update(&self.pixels[at].to_le_bytes());
            }
        }
        let (contents, pixels) = (contents.finalize(), pixels.finalize());
        Digest { id, surface: SurfaceId(0), epoch, cells, contents, pixels }
    }
}
