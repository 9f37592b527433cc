//! A server of one still picture on a real socket, for as long as one client needs it.

use std::net::{SocketAddr, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

use lfp_proto::check;
use lfp_proto::depth::Depth;
use lfp_proto::frame::{
    Close, CloseReason, Digest, DigestReply, Frame, InputAck, InputKind, Pixels, Surface, SurfaceState,
    Verdict,
};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::hello::{Accept, Challenge, Hello, Refuse, RefuseReason};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::record::{Context, Record};
use lfp_proto::technique::{Technique, bitmap, raw};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_proto::window::{Arrival, ReceiveWindow};

const SURFACE: SurfaceId = SurfaceId(0);
const EPOCH: Epoch = Epoch(1);

/// What the server does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Shows the picture, and answers everything.
    Serve,
    /// Refuses the session.
    Refuse,
    /// Accepts, and closes the session.
    Close,
    /// Accepts, and has no screen.
    Dark,
    /// Shows the picture, and never finds it settled.
    Unsettled,
    /// Shows the picture, and gives no input to anybody.
    Deny,
    /// Never answers.
    Silent,
    /// Shows a picture of two colours in one record, the largest that decoding may have to hold.
    Large,
}

/// What the server saw, in the end.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hello: Option<Hello>,
    pub(crate) input: Vec<InputKind>,
    pub(crate) closed: bool,
}

/// Starts a server on a free port of the loopback interface; it ends when the client closes, or is silent for 5 s.
pub(crate) fn start(manner: Manner, size: Size) -> (SocketAddr, JoinHandle<Seen>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let address = socket.local_addr().expect("an address");
    let server = Server {
        socket,
        manner,
        size,
        contents: vec![0; size.grid().cells()],
        next: 1,
        window: ReceiveWindow::default(),
        through: 0,
        seen: Seen::default(),
    };
    (address, std::thread::spawn(move || server.run()))
}

/// The pixel that the picture has at column `x`, row `y`.
pub(crate) fn pixel(x: usize, y: usize) -> u32 {
    ((x * 7 + y * 13) as u32).wrapping_mul(0x0001_0307) & 0x00ff_ffff
}

struct Server {
    socket: UdpSocket,
    manner: Manner,
    size: Size,
    contents: Vec<u64>,
    next: u64,
    window: ReceiveWindow,
    through: u64,
    seen: Seen,
}

impl Server {
    fn run(mut self) -> Seen {
        let mut buffer = [0; 9000];
        while let Ok((len, client)) = self.socket.recv_from(&mut buffer) {
            let view = View::new_checked(&buffer[..len]).expect("a datagram");
            match view.kind() {
                Kind::Hello => self.on_hello(client, &view, len),
                Kind::Data => self.on_data(client, &view),
                other => panic!("a client sent {other:?}"),
            }
            if self.seen.closed {
                break;
            }
        }
        self.seen
    }

    fn on_hello(&mut self, client: SocketAddr, view: &View<'_>, len: usize) {
        if self.manner == Manner::Silent {
            return;
        }
        let hello = Hello::parse(view.payload()).expect("a hello");
        assert_eq!(len, usize::from(hello.datagram_size).min(1_200));
        let client_time_us = hello.client_time_us;
        let connection = view.connection();
        let answer = |kind, body: &dyn Fn(&mut Vec<u8>)| {
            let mut builder = Builder::new(Vec::new(), 1200, kind, connection, PacketNumber(0));
            body(builder.body());
            self.socket.send_to(&builder.finish(), client).expect("sent");
        };
        if hello.cookie.is_empty() {
            let challenge = Challenge { client_time_us, cookie: b"cookie".to_vec() };
            return answer(Kind::Challenge, &|out| challenge.emit(out));
        }
        if self.manner == Manner::Refuse {
            let refuse =
                Refuse { client_time_us, reason: RefuseReason::UnknownService, text: "there is `a`".into() };
            return answer(Kind::Refuse, &|out| refuse.emit(out));
        }
        let accept =
            Accept { client_time_us, server_time_us: 1, datagram_size: 1200, idle_timeout_ms: 30_000 };
        answer(Kind::Accept, &|out| accept.emit(out));
        self.seen.hello = Some(hello);
        match self.manner {
            Manner::Close => {
                let close = Close {
                    reason: CloseReason::ShuttingDown,
                    text: "the server is shutting down for tonight",
                };
                self.send(client, connection, &[Frame::Close(close)]);
            }
            Manner::Dark => {
                let text = "the guest is in text mode";
                let state = SurfaceState::NoFramebuffer;
                let dark = Surface { surface: SURFACE, epoch: EPOCH, state, size: None, text };
                self.send(client, connection, &[Frame::Surface(dark)]);
            }
            _ => self.paint(client, connection),
        }
    }

    fn paint(&mut self, client: SocketAddr, connection: ConnectionId) {
        let size = Some(self.size);
        let live = Surface { surface: SURFACE, epoch: EPOCH, state: SurfaceState::Live, size, text: "" };
        let grid = self.size.grid();
        if self.manner == Manner::Large {
            let mut payload = Vec::new();
            let mut encoder = bitmap::Encoder::new(bitmap::Effort::Fast);
            let source = self.pixels(grid.rect());
            assert!(encoder.encode(&source, usize::from(self.size.width), 1000, &mut payload));
            let mut records = Vec::new();
            Record::new(Technique::Bitmap, Context::Unknown, grid.rect(), &payload).emit(&mut records);
            let pixels = Pixels { surface: SURFACE, epoch: EPOCH, records: &records };
            self.contents.fill(self.next);
            return self.send(client, connection, &[Frame::Surface(live), Frame::Pixels(pixels)]);
        }
        for index in 0..grid.cells() {
            let (x, y) = (index % usize::from(grid.columns), index / usize::from(grid.columns));
            let cells = CellRect { x: x as u16, y: y as u16, width: 1, height: 1 };
            let mut payload = Vec::new();
            raw::encode(Depth::Bits24, &self.pixels(cells), &mut payload);
            let mut records = Vec::new();
            Record::new(Technique::Raw, Context::Unknown, cells, &payload).emit(&mut records);
            let pixels = Pixels { surface: SURFACE, epoch: EPOCH, records: &records };
            self.contents[index] = self.next;
            self.send(client, connection, &[Frame::Surface(live), Frame::Pixels(pixels)]);
        }
    }

    fn pixels(&self, cells: CellRect) -> Vec<u32> {
        let area = self.size.clip(cells);
        if self.manner == Manner::Large {
            let row = |y| {
                (0..area.width).map(move |x| if u32::from(x) * u32::from(y) == 77 { 0xff_ffff } else { 0 })
            };
            return (area.y..area.y + area.height).flat_map(row).collect();
        }
        let row = |y| (area.x..area.x + area.width).map(move |x| pixel(usize::from(x), usize::from(y)));
        (area.y..area.y + area.height).flat_map(row).collect()
    }

    fn on_data(&mut self, client: SocketAddr, view: &View<'_>) {
        let number = view.number(self.window.largest());
        view.check_frames().expect("well-formed frames");
        if self.window.examine(number) == Arrival::Known {
            return;
        }
        let mut answers = Vec::new();
        for frame in view.frames().flatten() {
            match frame {
                Frame::Digest(digest) => {
                    let verdict = self.verdict(&digest);
                    answers.push(Frame::DigestReply(DigestReply { id: digest.id, verdict }));
                }
                Frame::Input(input) => {
                    for event in input.events.iter().filter(|event| event.sequence > self.through) {
                        self.seen.input.push(event.kind);
                    }
                    let last = input.events.last().map_or(0, |event| event.sequence);
                    self.through = self.through.max(last);
                    let denied = self.seen.input.iter().filter(|_| self.manner == Manner::Deny);
                    let dropped = denied.filter(|kind| !kind.is_release()).count() as u64;
                    answers.push(Frame::InputAck(InputAck { through: self.through, dropped }));
                }
                Frame::Close(_) => self.seen.closed = true,
                _ => {}
            }
        }
        self.window.on_applied(number, Instant::ZERO, true, Vec::new());
        let carrier = PacketNumber(self.next);
        answers.extend(self.window.ack(Instant::ZERO, carrier).map(Frame::Ack));
        self.send(client, view.connection(), &answers);
    }

    fn verdict(&self, digest: &Digest) -> Verdict {
        let numbers = digest.cells.indices(self.size.grid()).map(|index| ContentNumber(self.contents[index]));
        assert_eq!(digest.contents, check::contents(numbers));
        assert_eq!(digest.pixels, check::pixels([&self.pixels(digest.cells)[..]]));
        if self.manner == Manner::Unsettled { Verdict::Unsettled } else { Verdict::Exact }
    }

    fn send(&mut self, client: SocketAddr, connection: ConnectionId, frames: &[Frame<'_>]) {
        let mut builder = Builder::new(Vec::new(), 1200, Kind::Data, connection, PacketNumber(self.next));
        self.next += 1;
        for frame in frames {
            assert!(builder.push(frame), "the frames fit");
        }
        self.socket.send_to(&builder.finish(), client).expect("sent");
    }
}
