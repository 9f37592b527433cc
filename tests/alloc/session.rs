//! What a session allocates for the packets that it sends, and for the acks that come: a whole server and a client over a path
//! without loss.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use client_lfp::{Client, Security};
use lfp::ablation::Without;
use lfp::connection::Secrets;
use lfp::directory::{Directory, InputPolicy};
use lfp::geometry::Size;
use lfp::hypervisor::synthetic::Painting;
use lfp::hypervisor::{Source, SourceId};
use lfp::limits::IDLE_TIMEOUT;
use lfp::pipeline::Inline;
use lfp::server::{self, Input, Output, Server};
use lfp::time::Instant;
use lfp::units::ConnectionId;

use crate::Painted;

/// What datagrams take each way.
const DELAY: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(1);
const FRAME_STEPS: u64 = 17;
const SOURCE: SourceId = SourceId(0);

/// Datagrams under way.
type Wire = VecDeque<(Instant, Vec<u8>)>;

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// Datagrams sent, and what that took.
    sent: (u64, u64),
    /// Datagrams that came, and what that took.
    came: (u64, u64),
}

/// A server, a client, and what is under way between them. Encoders answer at once, and are not counted.
struct Pair {
    now: Instant,
    steps: u64,
    server: Server,
    client: Client,
    pipeline: Inline,
    address: SocketAddr,
    down: Wire,
    up: Wire,
    taken: Taken,
}

impl Pair {
    /// A client that keeps so many references.
    fn new(source: Box<dyn Source>, references: u8) -> Self {
        let mut directory = Directory::default();
        directory.insert("default", [SOURCE], 60, InputPolicy::None);
        let config = server::Config {
            directory,
            plain: true,
            ciphers: 1,
            sessions_max: 1,
            idle_timeout: IDLE_TIMEOUT,
            without: Without::NOTHING,
        };
        let client = client_lfp::Config { references, ..client_lfp::Config::default() };
        let now = Instant::from_micros(1_000_000);
        Self {
            now,
            steps: 0,
            server: Server::new(config, &Secrets::of_seed([1; 32])),
            client: Client::new(&client, Security::Plain, ConnectionId(7), now),
            pipeline: Inline::new(vec![(SOURCE, source)]),
            address: SocketAddr::from(([127, 0, 0, 1], 9)),
            down: Wire::new(),
            up: Wire::new(),
            taken: Taken::default(),
        }
    }

    /// Lets so many milliseconds pass; gives what they took.
    fn run(&mut self, steps: u64) -> Taken {
        self.taken = Taken::default();
        (0..steps).for_each(|_| self.step());
        self.taken
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        self.steps += 1;
        if self.steps % FRAME_STEPS == 0 {
            if let Some(tick) = self.pipeline.scan(SOURCE, self.now) {
                self.server.handle(self.now, Input::Tick(tick));
            }
        }
        while self.up.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.up.pop_front().expect("there is one");
            let input = Input::Datagram { from: self.address, bytes: &bytes };
            let taken = measure(|| self.server.handle(self.now, input));
            self.taken.came = (self.taken.came.0 + 1, self.taken.came.1 + taken.count_total);
        }
        self.server.handle(self.now, Input::Timeout);
        self.drain_server();
        while self.down.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.down.pop_front().expect("there is one");
            self.client.handle_datagram(self.now, &bytes);
            self.client.handle_shown(self.now);
            self.server.recycle(bytes);
        }
        self.client.handle_timeout(self.now);
        while let Some(bytes) = self.client.poll_transmit(self.now) {
            self.up.push_back((self.now + DELAY, bytes));
        }
    }

    fn drain_server(&mut self) {
        loop {
            let mut output = None;
            let taken = measure(|| output = Some(self.server.poll(self.now))).count_total;
            match output.expect("it was asked") {
                Output::Transmit { packet, .. } => {
                    self.taken.sent = (self.taken.sent.0 + 1, self.taken.sent.1 + taken);
                    self.down.push_back((self.now + DELAY, packet.close()));
                }
                Output::Encode(request) => {
                    let encoded = self.pipeline.encode(&request);
                    self.server.handle(self.now, Input::Encoded(encoded));
                }
                Output::Digest(request) => {
                    let digested = self.pipeline.digest(&request);
                    self.server.handle(self.now, Input::Digested(digested));
                }
                Output::Demand(_) => {
                    let newest = self.pipeline.newest(SOURCE).map(Arc::clone);
                    if let Some(tick) = newest.or_else(|| self.pipeline.scan(SOURCE, self.now)) {
                        self.server.handle(self.now, Input::Tick(tick));
                    }
                }
                Output::Action(_) => {}
                Output::Timeout(_) => return,
            }
        }
    }
}

/// What the session notes of what it sends takes nothing, and neither do packets of pixels. Acks have lists: the ranges of one
/// that comes are read twice (all frames of a packet are checked before the first is acted on), those of its own once, for
/// each digest that the client sends. References are left out: they are pictures, whose rows are copied once a pass.
#[test]
fn a_session_notes_what_it_sends_and_what_came_of_it_without_allocating() {
    for painting in Painting::ALL {
        let size = Size::new(320, 240).expect("a size");
        let mut pair = Pair::new(Box::new(Painted::new(size, painting, 24)), 0);
        pair.run(3_000);
        let digests = pair.client.stats().digests_sent;
        let Taken { sent, came } = pair.run(2_000);
        let digests = pair.client.stats().digests_sent - digests;
        let name = painting.name();
        assert!(
            sent.1 <= digests,
            "{name}: {} allocations for {} packets, {digests} digests",
            sent.1,
            sent.0
        );
        assert!(came.1 <= 2 * came.0, "{name}: {} allocations for {} datagrams that came", came.1, came.0);
    }
}
