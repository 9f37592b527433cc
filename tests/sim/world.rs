//! A server, its guests, its clients and the networks between them, in virtual time.

mod guests;
mod looks;
mod peers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lfp::hypervisor::{Action, Source, SourceId};
use lfp::limits::INPUT_SILENCE;
use lfp::logic::{DigestRequest, Digested, EncodeRequest, Encoded};
use lfp::pipeline::Inline;
use lfp::scan::Tick;
use lfp::server::{Input, Output, Server};
use lfp::time::{Instant, micros};
use lfp::units::PacketNumber;
use lfp_impair::{Flow, Random};
use lfp_proto::frame::Frame;
use lfp_proto::limits::UDP_OVERHEAD;
use lfp_proto::packet::{Header, Kind, Protection, View};
use lfp_proto::window::Codepoint;

use crate::deed::Deed;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::network::{Arrived, Network};
use crate::peer::{Peer, UNREAD_BYTES_MAX, owner_of};
use crate::piped::Pipes;
use crate::rival::Rival;
use crate::totals::Totals;
use crate::watched::Watched;

/// How often a source that nobody watches is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Events at one instant beyond which somebody is busy with nothing.
const BUSY_MAX: u32 = 20_000;
/// Datagrams of clients that an attacker has at hand.
const RECORDED_MAX: usize = 64;
/// Flows of rivals are numbered from here on, those of peers from 0.
pub(crate) const RIVALS_FROM: Flow = 1_000;

/// Something that happens at its time.
#[derive(Debug)]
enum Event {
    /// Source so-and-so is scanned, or looked at.
    Scan(usize),
    /// A worker takes up a request.
    Encode(EncodeRequest),
    /// A worker is done.
    Encoded(Encoded),
    Digest(DigestRequest),
    Digested(Digested),
    /// A hypervisor accepts what the guest was given.
    Accept(Action),
    /// What the scenario says.
    Deed(Deed),
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) pipeline: Inline,
    pub(crate) sources: Vec<Watched>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) networks: Vec<Network>,
    /// Flows beside the peers'.
    pub(crate) rivals: Vec<Rival>,
    /// Bytes that came to the clients' side by flow, headers included, and how long what was sent had to wait before the
    /// first network's bottleneck, in microseconds.
    pub(crate) carried: BTreeMap<Flow, u64>,
    pub(crate) waited_us: Vec<u64>,
    /// Whether that is taken note of.
    pub(crate) measures: bool,
    /// By connection id.
    pub(crate) ledgers: BTreeMap<u64, Ledger>,
    pub(crate) totals: Totals,
    pub(crate) pipes: Pipes,
    /// How long a worker takes for a record's cell; requests take a hundred of them more.
    pub(crate) cell_cost: Duration,
    pub(crate) gate: Gate,
    /// (when, from where, what): what an attacker heard.
    pub(crate) recorded: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    /// The first HELLO with a cookie that was heard.
    pub(crate) old_hello: Option<(Instant, SocketAddr, Vec<u8>)>,
    pub(crate) random: Random,
    /// CRC over everything that was sent: two runs of one seed agree.
    pub(crate) fingerprint: crc32fast::Hasher,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    server_at: Option<Instant>,
    /// Events at this instant so far.
    busy: u32,
    trace: bool,
}

impl World {
    /// A world in which nothing has happened. Source `n` has `SourceId(n)`.
    pub(crate) fn new(
        server: Server,
        sources: Vec<Watched>,
        peers: Vec<(Peer, Network)>,
        random: Random,
        trace: bool,
    ) -> Self {
        let adapter =
            |(id, source): (u32, &Watched)| (SourceId(id), Box::new(source.guest.clone()) as Box<dyn Source>);
        let (peers, networks) = peers.into_iter().unzip();
        let pipeline = Inline::new((0..).zip(&sources).map(adapter).collect());
        let mut world = Self {
            now: Instant::from_micros(1_000_000),
            server,
            pipeline,
            sources,
            peers,
            networks,
            rivals: Vec::new(),
            carried: BTreeMap::new(),
            waited_us: Vec::new(),
            measures: false,
            ledgers: BTreeMap::new(),
            totals: Totals::default(),
            pipes: Pipes::default(),
            cell_cost: Duration::from_micros(2),
            gate: Gate::default(),
            recorded: VecDeque::new(),
            old_hello: None,
            random,
            fingerprint: crc32fast::Hasher::new(),
            events: BTreeMap::new(),
            next_event: 0,
            server_at: Some(Instant::ZERO),
            busy: 0,
            trace,
        };
        for source in 0..world.sources.len() {
            world.schedule(world.now, Event::Scan(source));
        }
        world
    }

    /// What lies between a peer and the server.
    pub(crate) fn network_mut(&mut self, peer: usize) -> &mut Network {
        &mut self.networks[self.peers[peer].network]
    }

    /// Has `deed` done `after` from now.
    pub(crate) fn plan(&mut self, after: Duration, deed: Deed) {
        self.schedule(self.now + after, Event::Deed(deed));
    }

    /// Lets `span` pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// Lets time pass until `done` says so, `limit` at most; says how long it took.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        while !done(self) {
            if !self.step(start + limit) {
                self.now = start + limit;
                return None;
            }
        }
        Some(self.now.saturating_since(start))
    }

    /// Does what is due next, if that is not after `until`; says whether there was anything.
    fn step(&mut self, until: Instant) -> bool {
        let networks = self.networks.iter().filter_map(Network::next_at);
        let rivals = self.rivals.iter().filter_map(Rival::next_at);
        let peers = self.peers.iter().filter_map(Peer::next_at).chain(networks).chain(rivals).min();
        let event = self.events.keys().next().map(|(at, _)| *at);
        let Some(next) = [peers, event, self.server_at].into_iter().flatten().min() else { return false };
        if next > until {
            return false;
        }
        if next > self.now {
            self.now = next;
            self.busy = 0;
        }
        self.busy += 1;
        assert!(self.busy < BUSY_MAX, "at {:?} something is due again and again", self.now);
        if self.server_at.is_some_and(|at| at <= self.now) {
            self.server.handle(self.now, Input::Timeout);
            self.drain_server();
        }
        if let Some((&(at, id), _)) = self.events.first_key_value().filter(|((at, _), _)| *at <= self.now) {
            let event = self.events.remove(&(at, id)).expect("it was there");
            self.happen(event);
            self.drain_server();
        }
        for network in 0..self.networks.len() {
            while let Some(arrived) = self.networks[network].poll(self.now) {
                self.on_arrived(arrived);
            }
        }
        for index in 0..self.rivals.len() {
            self.step_rival(index);
        }
        for index in 0..self.peers.len() {
            self.step_peer(index);
        }
        self.check_duties();
        true
    }

    /// Something has come to one of a network's ends.
    fn on_arrived(&mut self, arrived: Arrived) {
        match arrived {
            Arrived::AtServer(flow, bytes) => match flow.checked_sub(RIVALS_FROM) {
                Some(rival) => self.rivals[usize::from(rival)].on_ack(self.now, &bytes),
                None => self.arrive(self.peers[usize::from(flow)].address, &bytes),
            },
            Arrived::AtClient(flow, codepoint, bytes) => {
                *self.carried.entry(flow).or_default() += (bytes.len() + UDP_OVERHEAD) as u64;
                if let Some(rival) = flow.checked_sub(RIVALS_FROM) {
                    let network = self.rivals[usize::from(rival)].network;
                    return self.networks[network].up.send(self.now, flow, Rival::answer(&bytes));
                }
                let peer = &mut self.peers[usize::from(flow)];
                if peer.stalled_until.is_some() {
                    let unread: usize = peer.unread.iter().map(|(_, bytes)| bytes.len()).sum();
                    if unread + bytes.len() <= UNREAD_BYTES_MAX {
                        peer.unread.push_back((codepoint, bytes));
                    }
                    return;
                }
                self.deliver(flow.into(), codepoint, bytes);
                self.pump(flow.into());
                self.drain_peer(flow.into());
            }
        }
    }

    fn step_rival(&mut self, index: usize) {
        let Self { now, rivals, networks, .. } = self;
        let rival = &mut rivals[index];
        let network = &mut networks[rival.network];
        while let Some(segment) = rival.poll(*now) {
            network.down.send(*now, RIVALS_FROM + index as Flow, segment);
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Scan(source) => self.scan(source),
            Event::Encode(request) => {
                let encoded = self.pipeline.encode(&request);
                let cells: usize = encoded.records.iter().map(|record| record.cells.cells()).sum();
                self.totals.one("encode requests");
                let cost = self.cell_cost * (cells as u32 + 100);
                self.schedule(self.now + cost, Event::Encoded(encoded));
            }
            Event::Encoded(encoded) => {
                if self.pipeline.newest(encoded.source).is_some_and(|tick| tick.epoch != encoded.epoch) {
                    self.totals.one("encodes that an epoch overtook");
                }
                self.server.handle(self.now, Input::Encoded(encoded));
            }
            Event::Digest(request) => {
                let digested = self.pipeline.digest(&request);
                let cost = self.cell_cost * request.cells.cells() as u32;
                self.schedule(self.now + cost, Event::Digested(digested));
            }
            Event::Digested(digested) => self.server.handle(self.now, Input::Digested(digested)),
            Event::Accept(action) => self.accept(&action),
            Event::Deed(deed) => {
                self.say(|| format!("{deed:?}"));
                deed.happen(self);
            }
        }
    }

    fn scan(&mut self, index: usize) {
        let id = SourceId(index as u32);
        let watched = &mut self.sources[index];
        let interval = match watched.rate_hz {
            0 => LOOK_INTERVAL,
            rate => Duration::from_secs(1) / rate,
        };
        let tick = match watched.rate_hz {
            0 => self.pipeline.look(id, self.now),
            _ => self.pipeline.scan(id, self.now),
        };
        self.schedule(self.now + interval, Event::Scan(index));
        let bounds = &self.sources[index].bounds;
        let fitted = self.pipeline.fit(id, bounds);
        for tick in fitted {
            self.server.handle(self.now, Input::Tick(tick));
        }
        if let Some(tick) = tick {
            self.on_tick(index, tick);
        }
    }

    fn on_tick(&mut self, index: usize, tick: Arc<Tick>) {
        let Watched { guest, truth, .. } = &mut self.sources[index];
        truth.record(Arc::clone(&tick), &guest.screen());
        self.totals.one("ticks");
        self.say(|| format!("tick {} of source {index}, {:?}", tick.number, tick.epoch));
        self.server.handle(self.now, Input::Tick(tick));
        self.assert_bounded();
    }

    /// The server has been replaced by one that knows of nothing.
    pub(crate) fn restarted(&mut self) {
        self.server_at = Some(self.now);
        for (index, source) in self.sources.iter_mut().enumerate() {
            source.rate_hz = 0;
            source.held.clear();
            let id = SourceId(index as u32);
            // The pipeline tells whoever begins to listen what there is.
            if let Some(tick) = self.pipeline.newest(id) {
                self.server.handle(self.now, Input::Tick(Arc::clone(tick)));
            }
        }
    }

    /// Everything that the server has to say.
    pub(crate) fn drain_server(&mut self) {
        for _ in 0..BUSY_MAX {
            match self.server.poll(self.now) {
                Output::Transmit { to, packet } => {
                    let ect = if packet.is_ect() { Codepoint::Ect0 } else { Codepoint::NotEct };
                    self.transmit(to, ect, packet.close());
                }
                Output::Encode(request) => {
                    let wait = Duration::from_micros(self.random.below(300));
                    self.schedule(self.now + wait, Event::Encode(request));
                }
                Output::Digest(request) => {
                    let wait = Duration::from_micros(self.random.below(300));
                    self.schedule(self.now + wait, Event::Digest(request));
                }
                Output::Action(action) => {
                    let source = &mut self.sources[action.source.0 as usize];
                    source.on_action(self.now, &action, &mut self.peers, &mut self.totals);
                    self.take_up(action);
                }
                Output::Retire(source) => self.retire(source),
                Output::Demand(demand) => {
                    let index = demand.source.0 as usize;
                    self.sources[index].bounds = demand.bounds;
                    let was = std::mem::replace(&mut self.sources[index].rate_hz, demand.rate_hz);
                    if was == 0 && demand.rate_hz > 0 {
                        self.events.retain(|_, event| !matches!(event, Event::Scan(scan) if *scan == index));
                        self.schedule(self.now, Event::Scan(index));
                    }
                }
                Output::Timeout(at) => {
                    self.server_at = at;
                    return;
                }
            }
        }
        panic!("at {:?} the server has something to say again and again", self.now);
    }

    /// The server sends a datagram.
    fn transmit(&mut self, to: SocketAddr, ect: Codepoint, bytes: Vec<u8>) {
        self.fingerprint.update(&self.now.as_micros().to_le_bytes());
        self.fingerprint.update(&bytes);
        let peer = self.peers.iter().find(|peer| peer.address == to);
        let header = Header::parse(&bytes).expect("the server's datagrams are well formed");
        self.gate.on_down(to, header.kind, bytes.len());
        if header.protection == Protection::Sealed {
            // Damage, or somebody on the path, had made a sealed datagram of a plain one.
            assert!(
                matches!(header.kind, Kind::Reset | Kind::Challenge | Kind::Refuse),
                "{header:?} to a plain client"
            );
            self.totals.one("answers to what looked sealed");
            if let Some(peer) = peer {
                self.networks[peer.network].down.send(self.now, peer.index as Flow, bytes);
            }
            return;
        }
        let view = View::new_checked(&bytes).expect("the server's datagrams are well formed");
        if let Some(ledger) = self.ledgers.get_mut(&view.connection().0) {
            let truth = &mut self.sources[ledger.source].truth;
            ledger.on_down(self.now, to, &view, &bytes, truth, &mut self.totals);
        } else {
            assert_ne!(view.kind(), Kind::Accept, "a session that nobody asked for");
        }
        if self.trace {
            println!("{:?} server to {to}: {}", self.now, describe(&view));
        }
        if let Some(peer) = peer {
            let down = &mut self.networks[peer.network].down;
            if peer.network == 0 && self.measures {
                self.waited_us.push(micros(down.waiting(self.now)));
            }
            down.send_marked(self.now, peer.index as Flow, ect, bytes);
        }
    }

    /// Something comes to the server, from whomever.
    pub(crate) fn arrive(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.gate.on_up(from, bytes.len());
        if let Ok(view) = View::new_checked(bytes) {
            let ledger = self.ledgers.get_mut(&view.connection().0);
            if let Some(ledger) = ledger.filter(|_| view.kind() == Kind::Data) {
                // What was lost and is played back by somebody else comes from the client as well.
                let peer = self.peers.iter_mut().find(|peer| peer.address == from);
                peer.into_iter().for_each(|peer| peer.heard_at = self.now);
                ledger.on_up_delivered(&view, &self.sources[ledger.source].truth);
            }
        }
        self.server.handle(self.now, Input::Datagram { from, bytes });
        self.look_at_marks(from, bytes);
        self.drain_server();
        if let Some(index) = self.peers.iter().position(|peer| peer.address == from) {
            self.pump(index);
        }
    }

    /// The server may have been told of marks, which it has to answer.
    fn look_at_marks(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Self { now, server, peers, .. } = self;
        let Ok(view) = View::new_checked(bytes) else { return };
        let tells =
            view.kind() == Kind::Data && view.frames().any(|frame| matches!(frame, Ok(Frame::Ecn(_))));
        let peer = peers.iter_mut().find(|peer| peer.address == from).filter(|_| tells);
        let status = server.status().find(|status| status.connection == view.connection());
        if let Some((peer, status)) = peer.zip(status) {
            peer.unanswered.look(*now, &status);
        }
    }

    /// What has to have been done by now.
    fn check_duties(&self) {
        for peer in self.peers.iter().filter(|peer| peer.is_established() && peer.stalled_until.is_none()) {
            self.ledgers[&peer.connection.0].assert_timely(self.now);
        }
        for code in self.sources.iter().flat_map(|source| &source.held) {
            let silence = self.now.saturating_since(self.peers[owner_of(*code)].heard_at);
            assert!(
                silence <= INPUT_SILENCE,
                "LFP-12.6: key {code} is down, its user silent for {silence:?}"
            );
        }
    }

    /// Says something where somebody listens.
    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:?} {}", self.now, text());
        }
    }
}

/// A datagram in words.
fn describe(view: &View<'_>) -> String {
    if view.kind() != Kind::Data {
        return format!("{:?}", view.kind());
    }
    let frame = |frame| match frame {
        Ok(Frame::Pixels(pixels)) => {
            let records: Vec<_> = pixels.records().map(|record| record.cells).collect();
            format!("Pixels {:?} {records:?}", pixels.epoch)
        }
        frame => format!("{frame:?}"),
    };
    let frames: Vec<_> = view.frames().map(frame).collect();
    format!("{:?} {}", view.number(PacketNumber(0)), frames.join(", "))
}
