//! A server, its sources and its clients on a seeded network, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::client::TestClient;
use crate::ablation::Without;
use crate::connection::Secrets;
use crate::directory::{Directory, InputPolicy};
use crate::heat::Hint;
use crate::hypervisor::{Action, Source, SourceId, View};
use crate::limits::IDLE_TIMEOUT;
use crate::pipeline::Inline;
use crate::pixel::{Bounds, PixelFormat};
use crate::scan::fake::{self, Rng, Screen};
use crate::server::{Config, Demand, Input, Output, Server};
use crate::time::Instant;

/// What happens to datagrams, each way.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) delay: Duration,
    /// Up to so much more, at random: reorders.
    pub(super) jitter: Duration,
    pub(super) loss_percent: u64,
    pub(super) duplicate_percent: u64,
    /// Bits per second from the server to the client, and bytes that wait for that before more is dropped.
    pub(super) rate_bps: Option<u64>,
    pub(super) queue_bytes: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss_percent: 0,
            duplicate_percent: 0,
            rate_bps: None,
            queue_bytes: 64 * 1024,
        }
    }
}

enum Event {
    ToServer(SocketAddr, Vec<u8>),
    ToClient(SocketAddr, Vec<u8>),
    Encoded(crate::logic::Encoded),
}

type Painter = Box<dyn FnMut(&mut Rng, &[Arc<Mutex<Screen>>])>;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) server: Server,
    pub(super) pipeline: Inline,
    pub(super) screens: Vec<Arc<Mutex<Screen>>>,
    pub(super) clients: Vec<TestClient>,
    pub(super) link: Link,
    pub(super) rng: Rng,
    pub(super) actions: Vec<(Instant, Action)>,
    pub(super) demands: BTreeMap<SourceId, u32>,
    pub(super) bounds: BTreeMap<SourceId, Vec<Bounds>>,
    /// Where demands said that input came.
    pub(super) hints: Vec<Hint>,
    /// What encoding takes.
    pub(super) encode_time: Duration,
    /// Encode requests are answered no more.
    pub(super) answers_lost: bool,
    /// Paints before each scan.
    pub(super) painter: Option<Painter>,
    /// Every datagram that the server sent.
    pub(super) sent: Vec<(Instant, SocketAddr, usize)>,
    next_scan: BTreeMap<SourceId, Instant>,
    events: BTreeMap<(Instant, u64), Event>,
    order: u64,
    busy_until: BTreeMap<SocketAddr, Instant>,
}

/// The service of source `n` is called `guest-n`.
pub(super) fn service(index: u16) -> String {
    format!("guest-{index}")
}

pub(super) fn config(sources: u16) -> Config {
    let mut directory = Directory::default();
    for index in 0..sources {
        directory.insert(&service(index), [SourceId(u32::from(index))], 60, InputPolicy::Exclusive);
    }
    Config {
        directory,
        plain: true,
        ciphers: 1,
        sessions_max: 8,
        idle_timeout: IDLE_TIMEOUT,
        without: Without::NOTHING,
    }
}

impl World {
    /// Sources of 200x150 pixels, and a client of the first.
    pub(super) fn new(sources: u16, clients: u16) -> Self {
        Self::with(config(sources), 200, 150, sources, clients)
    }

    pub(super) fn with(config: Config, width: u16, height: u16, sources: u16, clients: u16) -> Self {
        let mut screens = Vec::new();
        let mut opened: Vec<(SourceId, Box<dyn Source>)> = Vec::new();
        for index in 0..sources {
            let (screen, source) = fake::fake(width, height, PixelFormat::Xrgb8888);
            screens.push(screen);
            opened.push((SourceId(u32::from(index)), source));
        }
        Self {
            now: Instant::from_micros(1_000_000),
            server: Server::new(config, &Secrets::of_seed([7; 32])),
            pipeline: Inline::new(opened),
            screens,
            clients: (0..clients).map(|index| TestClient::new(index, &service(0))).collect(),
            link: Link::default(),
            rng: Rng(0x1234_5678_9abc_def1),
            actions: Vec::new(),
            demands: BTreeMap::new(),
            bounds: BTreeMap::new(),
            hints: Vec::new(),
            encode_time: Duration::ZERO,
            answers_lost: false,
            painter: None,
            sent: Vec::new(),
            next_scan: BTreeMap::new(),
            events: BTreeMap::new(),
            order: 0,
            busy_until: BTreeMap::new(),
        }
    }

    /// Runs until `end`.
    pub(super) fn run_until(&mut self, end: Instant) {
        while let Some(next) = self.step().filter(|next| *next <= end) {
            self.now = self.now.max(next);
        }
        self.now = end;
    }

    pub(super) fn run(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Runs until `done`, at most `span`. Returns how long it took.
    pub(super) fn run_till(&mut self, span: Duration, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let (start, end) = (self.now, self.now + span);
        loop {
            let next = self.step();
            if done(self) {
                return self.now.saturating_since(start);
            }
            let next = next.filter(|next| *next <= end);
            self.now = self.now.max(next.unwrap_or_else(|| panic!("not done after {span:?}")));
        }
    }

    /// Does everything that is due now. Returns when something is due next.
    fn step(&mut self) -> Option<Instant> {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::ToServer(from, bytes) => {
                    self.server.handle(self.now, Input::Datagram { from, bytes: &bytes });
                }
                Event::ToClient(to, bytes) => {
                    if let Some(client) = self.clients.iter_mut().find(|client| client.address == to) {
                        client.on_datagram(self.now, &bytes);
                    }
                }
                Event::Encoded(encoded) => self.server.handle(self.now, Input::Encoded(encoded)),
            }
        }
        self.scan();
        for index in 0..self.clients.len() {
            while let Some(bytes) = self.clients[index].poll(self.now) {
                let from = self.clients[index].address;
                self.deliver(from, &bytes, true);
            }
        }
        let server = self.drain();
        let clients = self.clients.iter().filter_map(TestClient::deadline).min();
        let scan = self.next_scan.values().copied().min();
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        [server, clients, scan, event].into_iter().flatten().min()
    }

    fn scan(&mut self) {
        let due: Vec<_> =
            self.next_scan.iter().filter(|(_, at)| **at <= self.now).map(|(id, _)| *id).collect();
        for source in due {
            if let Some(painter) = &mut self.painter {
                painter(&mut self.rng, &self.screens);
            }
            let interval = Duration::from_micros(1_000_000 / u64::from(self.demands[&source]));
            self.next_scan.insert(source, self.now + interval);
            let tick = self.pipeline.scan(source, self.now);
            let bounds = self.bounds.get(&source).map_or(&[][..], Vec::as_slice);
            for tick in self.pipeline.fit(source, bounds).into_iter().chain(tick) {
                self.server.handle(self.now, Input::Tick(tick));
            }
        }
    }

    /// Does what the server says. A server that never comes to rest fails here.
    pub(super) fn drain(&mut self) -> Option<Instant> {
        for _ in 0..100_000 {
            match self.server.poll(self.now) {
                Output::Transmit { to, packet } => {
                    let bytes = packet.close();
                    self.sent.push((self.now, to, bytes.len()));
                    self.deliver(to, &bytes, false);
                }
                Output::Encode(_) if self.answers_lost => {}
                Output::Encode(request) => {
                    let encoded = self.pipeline.encode(&request);
                    if self.encode_time.is_zero() {
                        self.server.handle(self.now, Input::Encoded(encoded));
                    } else {
                        self.push(self.now + self.encode_time, Event::Encoded(encoded));
                    }
                }
                Output::Digest(request) => {
                    let digested = self.pipeline.digest(&request);
                    self.server.handle(self.now, Input::Digested(digested));
                }
                Output::Action(action) => self.actions.push((self.now, action)),
                Output::Retire(source) => {
                    assert!(self.pipeline.remove(source), "{source:?} goes twice");
                    self.next_scan.remove(&source);
                }
                Output::Demand(Demand { source, rate_hz, bounds, hints, .. }) => {
                    self.hints.extend(hints);
                    self.demands.insert(source, rate_hz);
                    self.bounds.insert(source, bounds);
                    if rate_hz == 0 {
                        self.next_scan.remove(&source);
                    } else {
                        self.next_scan.entry(source).or_insert(self.now);
                    }
                }
                Output::Timeout(at) => return at.or_else(|| self.next_scan.values().copied().min()),
            }
        }
        panic!("the server never comes to rest at {:?}", self.now);
    }

    pub(super) fn deliver(&mut self, peer: SocketAddr, bytes: &[u8], up: bool) {
        let link = self.link;
        let copies = 1 + usize::from(self.rng.below(100) < link.duplicate_percent);
        for _ in 0..copies {
            if self.rng.below(100) < link.loss_percent {
                continue;
            }
            let mut at = self.now;
            if let Some(bps) = link.rate_bps.filter(|_| !up) {
                let busy = self.busy_until.entry(peer).or_insert(at);
                let waiting = busy.saturating_since(at).as_micros() as u64 * bps / 8_000_000;
                if waiting > link.queue_bytes {
                    continue;
                }
                *busy = (*busy).max(at) + Duration::from_micros(bytes.len() as u64 * 8_000_000 / bps);
                at = *busy;
            }
            let jitter = Duration::from_micros(self.rng.below(1 + link.jitter.as_micros() as u64));
            let bytes = bytes.to_vec();
            let event = if up { Event::ToServer(peer, bytes) } else { Event::ToClient(peer, bytes) };
            self.push(at + link.delay + jitter, event);
        }
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.insert((at, self.order), event);
    }

    /// Paints `count` random pixels of source `index`.
    pub(super) fn paint(&mut self, index: usize, count: u64) {
        let mut screen = self.screens[index].lock().unwrap();
        paint_noise(&mut self.rng, &mut screen, count);
    }

    /// The pixels of source `index`, XRGB.
    pub(super) fn truth(&self, index: usize) -> Vec<u32> {
        let screen = self.screens[index].lock().unwrap();
        let surface = screen.surface();
        let width = usize::from(surface.size.width);
        screen
            .bytes
            .chunks_exact(surface.stride_bytes as usize)
            .flat_map(|row| row.chunks_exact(4).take(width))
            .map(|pixel| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]))
            .collect()
    }

    /// Whether client `client` shows source `source` as it is.
    pub(super) fn is_exact(&self, client: usize, source: usize) -> bool {
        let truth = self.truth(source);
        self.clients[client].screen.as_ref().is_some_and(|screen| screen.pixels == truth)
    }

    pub(super) fn set_view(&mut self, index: usize, view: View) {
        let mut screen = self.screens[index].lock().unwrap();
        if let View::Live(surface) = &view {
            screen.bytes = vec![0x20; surface.stride_bytes as usize * usize::from(surface.size.height)];
        }
        screen.view = view;
    }
}

pub(super) fn paint_noise(rng: &mut Rng, screen: &mut Screen, count: u64) {
    let size = screen.surface().size;
    for _ in 0..count {
        let (x, y) = (rng.below(u64::from(size.width)), rng.below(u64::from(size.height)));
        let pixel = (rng.next() as u32 & 0x00ff_ffff).to_le_bytes();
        screen.paint(x as usize, y as usize, &pixel);
    }
}
