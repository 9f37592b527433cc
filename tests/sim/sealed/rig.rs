//! One server, one guest, one client, both ends of a link, and everything that passed.

use std::net::SocketAddr;
use std::time::Duration;

use client_lfp::{Client, Config, Credentials, Expected, Security, State};
use lfp::ablation::Without;
use lfp::connection::Secrets;
use lfp::directory::{Directory, InputPolicy};
use lfp::geometry::Size;
use lfp::hypervisor::{Source, SourceId};
use lfp::limits::IDLE_TIMEOUT;
use lfp::pipeline::Inline;
use lfp::pixel::{Bounds, PixelFormat};
use lfp::server::{self, Input, Output, Server};
use lfp::time::Instant;
use lfp::units::ConnectionId;
use lfp_impair::{Link, LinkSpec, Params, Random, Way};
use lfp_proto::frame::InputKind;
use lfp_proto::identity::Secret;
use lfp_proto::seal::Cipher;

use crate::guest::{Guest, Stroke};

/// One way from end to end.
pub(super) const DELAY: Duration = Duration::from_millis(40);
const SOURCE: SourceId = SourceId(0);
const SCAN: Duration = Duration::from_micros(16_667);
/// What every side likes unless it is said otherwise: both.
const CIPHERS: u8 = Cipher::liked(true);
/// Datagrams that an attacker remembers.
const HEARD_MAX: usize = 4_000;

/// A server, a client, and the path between them.
pub(super) struct Rig {
    pub(super) now: Instant,
    pub(super) step: Duration,
    pub(super) server: Server,
    pub(super) client: Option<Client>,
    /// The ciphers that the client likes.
    pub(super) ciphers: u8,
    /// The client's key.
    pub(super) own: Secret,
    pub(super) address: SocketAddr,
    pub(super) strokes: Vec<Stroke>,
    /// What the guest was given.
    pub(super) actions: Vec<InputKind>,
    /// What passed upwards and downwards.
    pub(super) heard: [Vec<Vec<u8>>; 2],
    /// What becomes of each datagram on its way; `true`: upwards.
    pub(super) meddle: Option<fn(bool, &mut Vec<u8>)>,
    /// Datagrams to whom nobody is.
    pub(super) astray: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) plain_too: bool,
    pub(super) random: Random,
    connection: ConnectionId,
    pipeline: Inline,
    guest: Guest,
    bounds: Vec<Bounds>,
    scan_at: Instant,
    up: Link,
    down: Link,
    starts: u8,
}

impl Rig {
    /// A rig whose path is as `link` says, with [`DELAY`].
    pub(super) fn new(link: &str) -> Self {
        let link = if link.is_empty() { LinkSpec::default() } else { link.parse().expect("a link") };
        let params = |way: &Way| Params { delay: DELAY, ..way.params };
        let size = Size::new(160, 96).expect("a legal size");
        let guest = Guest::new(size, PixelFormat::Xrgb8888, Random::new(5));
        let now = Instant::from_micros(1_000_000);
        Self {
            now,
            step: Duration::from_millis(1),
            server: server(1, false),
            client: None,
            ciphers: CIPHERS,
            own: Secret::new([0x33; 32]),
            address: SocketAddr::from(([192, 0, 2, 9], 2_000)),
            strokes: Vec::new(),
            actions: Vec::new(),
            heard: [Vec::new(), Vec::new()],
            meddle: None,
            astray: Vec::new(),
            plain_too: false,
            random: Random::new(9),
            connection: ConnectionId(0),
            pipeline: Inline::new(vec![(SOURCE, Box::new(guest.clone()) as Box<dyn Source>)]),
            guest,
            bounds: Vec::new(),
            scan_at: now,
            up: Link::new(params(&link.up), 1),
            down: Link::new(params(&link.down), 2),
            starts: 0,
        }
    }

    /// The server, started anew: the same key, nothing else.
    pub(super) fn fresh_server(&self) -> Server {
        server(2, self.plain_too)
    }

    pub(super) fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("there is a client")
    }

    pub(super) const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// A client begins to ask.
    pub(super) fn start(&mut self, expected: Expected, ticket: Option<Vec<u8>>) {
        self.starts += 1;
        self.connection = ConnectionId(self.random.next());
        let seed = Secret::new([self.starts; 32]);
        let credentials =
            Credentials { own: self.own.clone(), server: expected, ciphers: self.ciphers, seed, ticket };
        let security = Security::sealed(credentials);
        self.client = Some(Client::new(&Config::default(), security, self.connection, self.now));
    }

    /// A client gets a session; how long that took.
    pub(super) fn join(&mut self, expected: Expected, ticket: Option<Vec<u8>>) -> Duration {
        self.start(expected, ticket);
        self.wait()
    }

    /// A client gets a session in the clear, of a server that allows it.
    pub(super) fn join_plain(&mut self) {
        self.plain_too = true;
        self.server = self.fresh_server();
        let connection = ConnectionId(self.random.next());
        self.client = Some(Client::new(&Config::default(), Security::Plain, connection, self.now));
        self.wait();
    }

    fn wait(&mut self) -> Duration {
        let begun = self.now;
        while *self.client().state() == State::Connecting {
            self.run(self.step);
        }
        assert_eq!(*self.client().state(), State::Established);
        self.now.saturating_since(begun)
    }

    /// The client ends its session, and the server has heard it.
    pub(super) fn leave(&mut self) {
        let now = self.now;
        self.client().close(now);
        self.run(Duration::from_secs(1));
        self.client = None;
        assert_eq!(self.server.sessions(), 0);
    }

    pub(super) fn type_key(&mut self, code: u16) {
        let now = self.now;
        for down in [true, false] {
            self.client().input(now, InputKind::Key { code, down });
        }
    }

    /// Lets `span` pass.
    pub(super) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + self.step;
            self.scan();
            self.server.handle(self.now, Input::Timeout);
            self.drain();
            self.serve();
            self.drain();
        }
    }

    /// Lets the guest rest until its client knows that it shows it exactly.
    pub(super) fn settle(&mut self) {
        self.strokes.clear();
        for _ in 0..400 {
            self.run(Duration::from_millis(50));
            if self.client().exact() {
                break;
            }
        }
        self.assert_exact();
    }

    pub(super) fn assert_exact(&mut self) {
        assert!(self.client().exact(), "{:?} does not settle", self.client().state());
        let guest = self.guest.clone();
        let picture = self.client().picture().expect("a picture");
        let screen = guest.screen();
        let width = usize::from(picture.size.width);
        let wrong = picture
            .pixels
            .iter()
            .enumerate()
            .find(|(at, pixel)| **pixel != screen.pixel((at % width) as u16, (at / width) as u16));
        assert_eq!(wrong, None, "the client shows something else");
    }

    fn scan(&mut self) {
        if self.now < self.scan_at {
            return;
        }
        self.scan_at = self.now + SCAN;
        for stroke in &self.strokes {
            self.guest.screen().paint(*stroke);
        }
        let tick = self.pipeline.scan(SOURCE, self.now);
        for tick in self.pipeline.fit(SOURCE, &self.bounds).into_iter().chain(tick) {
            self.server.handle(self.now, Input::Tick(tick));
        }
    }

    /// Does what the server says until it waits.
    pub(super) fn drain(&mut self) {
        loop {
            match self.server.poll(self.now) {
                Output::Transmit { to, packet } => {
                    let mut bytes = packet.close();
                    if to != self.address {
                        self.astray.push((to, bytes));
                        continue;
                    }
                    note(&mut self.heard[1], &bytes);
                    if let Some(meddle) = self.meddle {
                        meddle(false, &mut bytes);
                    }
                    self.down.send(self.now, 0, bytes);
                }
                Output::Encode(request) => {
                    let encoded = self.pipeline.encode(&request);
                    self.server.handle(self.now, Input::Encoded(encoded));
                }
                Output::Digest(request) => {
                    let digested = self.pipeline.digest(&request);
                    self.server.handle(self.now, Input::Digested(digested));
                }
                Output::Action(action) => self.actions.push(action.input),
                Output::Demand(demand) => self.bounds = demand.bounds,
                Output::Retire(source) => panic!("nobody ended the service of {source:?}"),
                Output::Timeout(_) => return,
            }
        }
    }

    /// Something comes to the server from `from`, which may be anybody.
    pub(super) fn attack(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.server.handle(self.now, Input::Datagram { from, bytes });
        self.drain();
    }

    fn serve(&mut self) {
        while let Some((_, bytes)) = self.up.poll(self.now) {
            self.server.handle(self.now, Input::Datagram { from: self.address, bytes: &bytes });
        }
        while let Some((_, bytes)) = self.down.poll(self.now) {
            if let Some(client) = &mut self.client {
                client.handle_datagram(self.now, &bytes);
            }
        }
        let Some(client) = &mut self.client else { return };
        client.handle_timeout(self.now);
        while let Some(mut bytes) = client.poll_transmit(self.now) {
            note(&mut self.heard[0], &bytes);
            if let Some(meddle) = self.meddle {
                meddle(true, &mut bytes);
            }
            self.up.send(self.now, 0, bytes);
        }
    }
}

fn note(heard: &mut Vec<Vec<u8>>, bytes: &[u8]) {
    if heard.len() < HEARD_MAX {
        heard.push(bytes.to_vec());
    }
}

/// A server of one source. Its key is always the same; the rest of its secrets is of the `life`-th process.
pub(super) fn server(life: u8, plain: bool) -> Server {
    let mut directory = Directory::default();
    directory.insert("default", [SOURCE], 60, InputPolicy::Exclusive);
    let config = server::Config {
        directory,
        plain,
        ciphers: CIPHERS,
        sessions_max: 16,
        idle_timeout: IDLE_TIMEOUT,
        without: Without::NOTHING,
    };
    let secrets = Secrets { key: Secret::new([0x11; 32]), random: Secret::new([life; 32]) };
    Server::new(config, &secrets)
}
