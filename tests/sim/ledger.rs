//! What has been said on one connection, and whether it may be said: holds both sides to the specification, packet by
//! packet, with nothing to go by but the wire, the sources' ticks and the client's picture.

mod answers;
mod bases;
pub(crate) mod offered;
mod piped;
mod proofs;
mod recovered;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use client_lfp::{Config, Picture as Shown};
use lfp::geometry::CellRect;
use lfp::time::Instant;
use lfp::units::{ContentNumber, Epoch, PacketNumber};
use lfp_proto::frame::{Ack, Digest, Frame, Pixels, Refusal, Surface, SurfaceState};
use lfp_proto::limits::DATAGRAM_DEFAULT;
use lfp_proto::packet::{HEADER_LEN, Kind, PLAIN_TRAILER_LEN, View};
use lfp_proto::record::{Base, Record};
use lfp_proto::technique::Technique;

use self::answers::Answers;
use self::offered::Offered;
use self::piped::Credits;
use self::proofs::assert_digest;
use self::recovered::Recoverable;
use self::shown::is_applied;
use crate::epoch::EpochLedger;
use crate::held::{Came, Holds, Throughs};
use crate::kept::{Kept, Name, name_of};
use crate::totals::Totals;
use crate::truth::{Truth, cell_equals, cell_is};

/// Longest that an ack may take, and a little: it goes with whatever is sent next.
const ACK_WITHIN: Duration = Duration::from_millis(5);
/// Longest silence of a side that has an open session.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// One connection as the network saw it.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Which of the world's sources.
    pub(crate) source: usize,
    /// What the client said of itself.
    datagram_max: usize,
    burst_max: usize,
    /// Bytes of the longest datagram that came to the client, or of what every path carries.
    proven_max: usize,
    references: u8,
    /// Addresses that the server has accepted the session from.
    accepted: BTreeSet<SocketAddr>,
    /// Bytes of packets with pixels that the server has sent at one instant.
    burst: (Instant, usize),
    /// Neither side has closed.
    open: bool,
    /// Of the server's packets, by number.
    sent: BTreeMap<u64, Sent>,
    /// Largest number of each side.
    down_largest: u64,
    up_largest: u64,
    /// What the newest SURFACE that was sent said.
    epoch: Epoch,
    /// By epoch.
    epochs: BTreeMap<u32, EpochLedger>,
    /// By id: what the client asked.
    digests: BTreeMap<u32, Asked>,
    /// Numbers of the server's packets that came to the client, with their records as they came.
    delivered: BTreeMap<u64, Delivered>,
    /// Refusals that the client has stated, by packet and record.
    refused: BTreeSet<(u64, u16)>,
    /// Those of them that the server has been told of.
    refusals_told: BTreeSet<(u64, u16)>,
    /// Packets of which the server has been told that they came.
    told: BTreeSet<u64>,
    /// Packets whose acks have been looked at.
    ack_checked: BTreeSet<u64>,
    /// When the ack of what came to the client is due.
    ack_due: Option<Instant>,
    /// Somebody has changed what comes: what the client does with it follows from nothing that is known here.
    tampered: bool,
    /// The epoch that the client has heard of.
    heard: Epoch,
    /// Of the records that came, by packet and index: for what they could be refused, base or cache, and whether they had to.
    unbased: BTreeMap<(u64, u16), (Refusal, bool)>,
    /// When each side last said something.
    down_at: Instant,
    up_at: Instant,
    /// What the client showed when it was last looked at.
    contents: (Epoch, Vec<u64>),
    recoverable: Recoverable,
    answers: Answers,
    credits: Credits,
}

/// A digest of the client's.
#[derive(Debug)]
struct Asked {
    digest: Digest,
    /// The newest tick when it came to the server.
    came_in_tick: Option<u64>,
    answered: bool,
    /// The network had painted over some of its cells.
    poisoned: bool,
}

/// A packet of the server's.
#[derive(Debug, Default)]
struct Sent {
    /// The epochs whose SURFACE it carries.
    surfaces: Vec<Epoch>,
    /// The HOLDs that it carries, as slot and through, with their epoch.
    holds: Vec<(u8, u64)>,
    /// How many records it carries, and the indices and names of stores.
    records: u16,
    stores: Vec<(u16, Name)>,
    /// The parts of offers that it says to be kept, with their plots.
    keeps: Vec<(u8, u128)>,
    epoch: Epoch,
    /// What the references of that epoch were when it was sent.
    throughs: Throughs,
}

/// A packet of the server's that came.
#[derive(Debug)]
struct Delivered {
    records: Vec<Part>,
}

/// A record as it came.
#[derive(Clone, Copy, Debug)]
struct Part {
    epoch: Epoch,
    cells: CellRect,
    content: Option<ContentNumber>,
    /// It builds on a reference.
    based: bool,
    /// It is no store.
    paints: bool,
    used: bool,
}

impl Ledger {
    /// A connection that a client begins to ask for.
    pub(crate) fn new(source: usize, config: &Config) -> Self {
        Self {
            source,
            datagram_max: usize::from(config.datagram_size),
            burst_max: (config.receive_buffer as usize).max(usize::from(config.datagram_size)),
            proven_max: DATAGRAM_DEFAULT,
            references: config.references,
            accepted: BTreeSet::new(),
            burst: (Instant::ZERO, 0),
            open: false,
            sent: BTreeMap::new(),
            down_largest: 0,
            up_largest: 0,
            epoch: Epoch(0),
            epochs: BTreeMap::new(),
            digests: BTreeMap::new(),
            delivered: BTreeMap::new(),
            refused: BTreeSet::new(),
            refusals_told: BTreeSet::new(),
            told: BTreeSet::new(),
            ack_checked: BTreeSet::new(),
            ack_due: None,
            tampered: false,
            heard: Epoch(0),
            unbased: BTreeMap::new(),
            down_at: Instant::ZERO,
            up_at: Instant::ZERO,
            contents: (Epoch(0), Vec::new()),
            recoverable: Recoverable::default(),
            answers: Answers::default(),
            credits: Credits::default(),
        }
    }

    /// The server sends a datagram of this connection.
    pub(crate) fn on_down(
        &mut self,
        now: Instant,
        to: SocketAddr,
        view: &View<'_>,
        bytes: &[u8],
        truth: &mut Truth,
        totals: &mut Totals,
    ) {
        let len = bytes.len();
        assert!(len <= self.datagram_max, "LFP-4.7: {len} bytes in a datagram");
        match view.kind() {
            Kind::Accept => {
                totals.one("accepts");
                self.accepted.insert(to);
                self.open = true;
                self.down_at = now;
            }
            Kind::Challenge => totals.one("challenges"),
            Kind::Refuse => totals.one("sessions refused"),
            Kind::Data => {
                assert!(self.accepted.contains(&to) || is_farewell(view), "LFP-4.9: packets to {to}");
                self.assert_burst(now, view, len);
                self.on_packet_down(now, view, truth, totals);
                self.recoverable.on_sent(self.down_largest, bytes);
            }
            Kind::Hello | Kind::Greet | Kind::Reset => panic!("the server says {:?}", view.kind()),
        }
    }

    /// LFP-10.4. Answers of a few bytes go whenever they are due, and are not counted.
    fn assert_burst(&mut self, now: Instant, view: &View<'_>, len: usize) {
        if !view.frames().any(|frame| matches!(frame, Ok(Frame::Pixels(_)))) {
            return;
        }
        if self.burst.0 != now {
            self.burst = (now, 0);
        }
        assert!(
            len <= self.proven_max,
            "LFP-10.6: pixels in {len} bytes, {} are known to pass",
            self.proven_max
        );
        self.burst.1 += len;
        assert!(self.burst.1 <= self.burst_max, "LFP-10.4: a burst of {} bytes", self.burst.1);
    }

    fn on_packet_down(&mut self, now: Instant, view: &View<'_>, truth: &mut Truth, totals: &mut Totals) {
        let number = view.number(PacketNumber(self.down_largest));
        let frames: Vec<_> =
            view.frames().collect::<Result<_, _>>().expect("the server's frames are well formed");
        if number.0 == 0 {
            assert!(matches!(frames[..], [Frame::Close(_)]), "packet 0 only closes unknown connections");
            totals.one("connections closed as unknown");
            return;
        }
        assert!(number.0 > self.down_largest, "the server's packet numbers ascend: {number:?}");
        self.down_largest = number.0;
        self.down_at = now;
        let mut sent = Sent::default();
        for frame in &frames {
            self.credits.on_sent(1, frame, totals);
            match frame {
                Frame::Surface(surface) => self.on_surface(surface, &mut sent, totals),
                Frame::Hold(hold) => self.on_hold(number, hold, &mut sent, totals),
                Frame::Pixels(pixels) => self.on_pixels(number, pixels, &mut sent, truth, totals),
                Frame::Mark(mark) => self.on_mark(mark, truth, totals),
                Frame::DigestReply(reply) => self.on_reply(*reply, truth, totals),
                Frame::Prove(prove) => {
                    assert_eq!(prove.epoch, self.epoch, "proofs are asked for of the newest epoch");
                    totals.one("proofs asked for");
                }
                Frame::Parity(_) => totals.one("parities"),
                Frame::Keep(keep) => {
                    self.on_keep(keep, truth, totals);
                    sent.keeps.push((keep.part, keep.plots));
                }
                Frame::Echo(echo) => self.on_echo(number, echo, truth, totals),
                Frame::Quality(_) => totals.one("qualities"),
                Frame::Ping => totals.one("pings of the server"),
                Frame::Floor(_) => totals.one("floors of the server"),
                Frame::Close(close) => {
                    self.open = false;
                    totals.one(&format!("closes of the server: {:?}", close.reason));
                }
                _ => {}
            }
        }
        sent.epoch = self.epoch;
        sent.throughs = self.epochs.get(&self.epoch.0).map_or([0; 2], |epoch| epoch.holds.throughs);
        self.sent.insert(number.0, sent);
    }

    fn on_surface(&mut self, surface: &Surface<'_>, sent: &mut Sent, totals: &mut Totals) {
        assert!(
            surface.epoch >= self.epoch,
            "SURFACE goes back to {:?} from {:?}",
            surface.epoch,
            self.epoch
        );
        sent.surfaces.push(surface.epoch);
        if surface.epoch == self.epoch {
            totals.one("surfaces repeated");
            return;
        }
        self.epoch = surface.epoch;
        let Some(size) = surface.size else {
            totals.one("epochs in the dark");
            totals.one(&format!("dark: {}", surface.state.name()));
            return;
        };
        assert_eq!(surface.state, SurfaceState::Live);
        let previous = self.epochs.values().next_back();
        if previous.is_some() {
            totals.one("epochs after the first");
        }
        let cells = vec![Vec::new(); size.grid().cells()];
        let (poisoned, blurred) = (BTreeSet::new(), BTreeMap::new());
        let (holds, came) = (Holds::new(self.references), Came::new(cells.len()));
        let (kept, offered) = (Kept::default(), Offered::default());
        let confirmed = false;
        let ledger = EpochLedger { size, cells, confirmed, poisoned, blurred, holds, came, kept, offered };
        self.epochs.insert(surface.epoch.0, ledger);
    }

    fn on_pixels(
        &mut self,
        number: PacketNumber,
        pixels: &Pixels<'_>,
        sent: &mut Sent,
        truth: &mut Truth,
        totals: &mut Totals,
    ) {
        assert_eq!(pixels.epoch, self.epoch, "LFP-10.3: only pixels of the newest epoch are sent");
        let epoch = self.epochs.get_mut(&pixels.epoch.0).expect("LFP-7.4: SURFACE precedes PIXELS");
        assert!(
            epoch.confirmed || sent.surfaces.contains(&pixels.epoch),
            "LFP-7.4: SURFACE rides along until it is acked"
        );
        epoch.holds.assert_told(&sent.holds);
        for record in pixels.records() {
            epoch.on_record(pixels.epoch, number, &record, truth, totals);
            if record.technique == Technique::Store as u8 {
                sent.stores.extend(name_of(&record).map(|name| (sent.records, name)));
            }
            sent.records += 1;
        }
    }

    /// A packet of the server's comes to the client. Call before the client has it.
    pub(crate) fn on_down_delivered(
        &mut self,
        view: &View<'_>,
        poisoned: Option<(Epoch, CellRect, ContentNumber)>,
        tampered: bool,
    ) {
        let Ok(frames) = view.frames().collect::<Result<Vec<_>, _>>() else { return };
        self.proven_max = self.proven_max.max(HEADER_LEN + view.payload().len() + PLAIN_TRAILER_LEN);
        let number = view.number(PacketNumber(self.down_largest)).0;
        if number == 0 || self.delivered.contains_key(&number) {
            return;
        }
        let mut records = Vec::new();
        let throughs = self.sent.get(&number).map_or([0; 2], |sent| sent.throughs);
        for frame in &frames {
            self.credits.on_came(0, frame);
            if let Frame::Pixels(pixels) = frame {
                if let Some(epoch) = self.epochs.get_mut(&pixels.epoch.0) {
                    for record in pixels.records() {
                        epoch.on_delivered(&record, PacketNumber(number), &throughs);
                    }
                }
                let part = |record: Record<'_>| Part {
                    epoch: pixels.epoch,
                    cells: record.cells,
                    content: record.content(PacketNumber(number)),
                    based: matches!(record.base, Base::Reference { .. }),
                    paints: record.technique != Technique::Store as u8,
                    used: record.technique == Technique::Use as u8,
                };
                records.extend(pixels.records().map(part));
            }
        }
        self.delivered.insert(number, Delivered { records });
        self.tampered |= tampered;
        if let Some((epoch, cells, content)) = poisoned {
            if let Some(epoch) = self.epochs.get_mut(&epoch.0) {
                let cells = cells.indices(epoch.size.grid());
                epoch.poisoned.extend(cells.map(|index| (index, content.0)));
            }
        }
    }

    /// The client has taken the packet that came, rather than dropped it as known or too old.
    pub(crate) fn on_down_taken(&mut self, now: Instant, view: &View<'_>) {
        self.recoverable.on_taken(view.number(PacketNumber(self.down_largest)).0);
        self.follow_bases(view);
        let closes = view.frames().any(|frame| matches!(frame, Ok(Frame::Close(_))));
        self.open &= !closes;
        if view.frames().all(|frame| frame.is_ok())
            && view.frames().flatten().any(|frame| frame.elicits_ack())
        {
            self.ack_due.get_or_insert(now + ACK_WITHIN);
        }
    }

    /// The client sends a packet of this connection.
    pub(crate) fn on_up(
        &mut self,
        now: Instant,
        view: &View<'_>,
        len: usize,
        shown: Option<&Shown<'_>>,
        totals: &mut Totals,
    ) {
        assert!(len <= self.datagram_max, "{len} bytes in a datagram of the client's");
        self.up_at = now;
        let number = view.number(PacketNumber(self.up_largest));
        assert!(number.0 > self.up_largest, "the client's packet numbers ascend: {number:?}");
        self.up_largest = number.0;
        for frame in view.frames() {
            let frame = frame.expect("the client's frames are well formed");
            self.credits.on_sent(0, &frame, totals);
            match frame {
                Frame::Ack(ack) => self.on_ack(&ack, shown, totals),
                Frame::Digest(digest) => {
                    totals.one("digests asked");
                    assert_digest(&digest, shown);
                    let poisoned = self.is_poisoned(&digest, shown);
                    let asked = Asked { digest, came_in_tick: None, answered: false, poisoned };
                    let known = self.digests.entry(digest.id).or_insert(asked);
                    assert_eq!(known.digest, digest, "a repeated digest says the same");
                }
                Frame::Ping => totals.one("pings of the client"),
                Frame::Floor(_) => totals.one("floors of the client"),
                Frame::Input(input) => {
                    totals.one("inputs sent");
                    self.answers.on_input(&input);
                }
                Frame::Report(_) => totals.one("reports"),
                Frame::Offer(offer) => self.on_offer(&offer, shown, totals),
                Frame::Close(_) => {
                    self.open = false;
                    totals.one("closes of the client");
                }
                _ => {}
            }
        }
    }

    /// LFP-9.1, LFP-9.4: what is acked has come, and each of its records is applied or refused.
    fn on_ack(&mut self, ack: &Ack, shown: Option<&Shown<'_>>, totals: &mut Totals) {
        self.ack_due = None;
        totals.at_most("ranges of an ack", ack.ranges.len() as u64);
        for refused in &ack.refused {
            for (index, reason) in &refused.records {
                if self.refused.insert((refused.packet.0, *index)) {
                    self.assert_bases(refused.packet.0, *index, Some(*reason));
                    totals.one(&format!("refused: {}", refusal_name(*reason)));
                    let part = self
                        .delivered
                        .get(&refused.packet.0)
                        .and_then(|came| came.records.get(usize::from(*index)));
                    let based = part.is_some_and(|part| part.based);
                    totals.many("bases refused", u64::from(based && *reason == Refusal::Base));
                    totals.many("stores refused", u64::from(part.is_some_and(|part| !part.paints)));
                    let stale = part.is_some_and(|part| part.used) && *reason == Refusal::Cache;
                    totals.many("uses refused", u64::from(stale));
                    if *reason == Refusal::Epoch && part.is_some_and(|part| part.epoch < self.epoch) {
                        totals.one("records that an epoch overtook");
                    }
                }
            }
        }
        for range in &ack.ranges {
            for number in range.first.0..=range.last.0 {
                if !self.ack_checked.insert(number) {
                    continue;
                }
                let delivered = self.delivered.get(&number);
                let delivered =
                    delivered.unwrap_or_else(|| panic!("LFP-9.1: packet {number} is acked and never came"));
                for (index, part) in (0..).zip(&delivered.records) {
                    if !self.refused.contains(&(number, index)) {
                        self.assert_bases(number, index, None);
                    }
                    let settled = self.refused.contains(&(number, index)) || is_applied(part, shown);
                    assert!(
                        settled,
                        "LFP-9.1: record {index} of packet {number}, {part:?}, is acked, neither applied nor refused"
                    );
                }
            }
        }
    }

    fn is_poisoned(&self, digest: &Digest, shown: Option<&Shown<'_>>) -> bool {
        let (Some(shown), Some(epoch)) = (shown, self.epochs.get(&digest.epoch.0)) else { return false };
        let mut cells = digest.cells.indices(epoch.size.grid());
        cells.any(|index| epoch.poisoned.contains(&(index, shown.contents[index])))
    }

    /// A packet of the client's comes to the server.
    pub(crate) fn on_up_delivered(&mut self, view: &View<'_>, truth: &Truth) {
        let Ok(frames) = view.frames().collect::<Result<Vec<_>, _>>() else { return };
        for frame in &frames {
            self.credits.on_came(1, frame);
            if let Frame::Digest(digest) = frame {
                let newest = truth.newest().map_or(0, |tick| tick.number);
                if let Some(asked) = self.digests.get_mut(&digest.id) {
                    asked.came_in_tick.get_or_insert(newest);
                }
            }
            let Frame::Ack(ack) = frame else { continue };
            self.on_refusals_delivered(ack);
            for number in ack.ranges.iter().flat_map(|range| range.first.0..=range.last.0) {
                self.on_keeps_told(number);
            }
            for range in &ack.ranges {
                for (number, sent) in self.sent.range_mut(range.first.0..=range.last.0) {
                    if let Some(epoch) = self.epochs.get_mut(&sent.epoch.0) {
                        epoch.holds.on_acked(&sent.holds);
                        sent.tell(*number, ack, &mut epoch.kept);
                    }
                    for epoch in &sent.surfaces {
                        if let Some(epoch) = self.epochs.get_mut(&epoch.0) {
                            epoch.confirmed = true;
                        }
                    }
                }
            }
        }
    }

    /// The cells of `cells` (all: `None`) show what the server gave their content numbers.
    pub(crate) fn assert_shown(&self, shown: &Shown<'_>, cells: Option<CellRect>, truth: &Truth) {
        // The picture of a session before is nobody's any more.
        if shown.epoch == Epoch(0) && !shown.live {
            return;
        }
        let epoch = self.epochs.get(&shown.epoch.0).expect("the client shows an epoch that was announced");
        assert_eq!(epoch.size, shown.size, "the client's size is the epoch's");
        let grid = shown.size.grid();
        for index in cells.filter(|cells| grid.contains(*cells)).unwrap_or(grid.rect()).indices(grid) {
            let content = shown.contents[index];
            if content == 0 || epoch.poisoned.contains(&(index, content)) {
                continue;
            }
            let (x, y) =
                ((index % usize::from(grid.columns)) as u16, (index / usize::from(grid.columns)) as u16);
            let contents = &epoch.cells[index];
            let at = contents.binary_search_by_key(&content, |(content, _)| *content);
            let at = at.unwrap_or_else(|_| {
                panic!("the cell {x}, {y} shows content {content}, which was never sent")
            });
            let picture = truth.picture(contents[at].1).expect("it was live");
            let is_so = match epoch.blurred.get(&(index, content)) {
                Some(pixels) => cell_is(shown.size, x, y, shown.pixels, pixels),
                None => cell_equals(picture, x, y, shown.pixels),
            };
            assert!(
                is_so,
                "the cell {x}, {y} shows content {content}, but not the pixels that were sent as that"
            );
        }
    }
}

/// Whether the packet only tells a client that its session is not known.
fn is_farewell(view: &View<'_>) -> bool {
    let frames: Vec<_> = view.frames().collect();
    matches!(frames[..], [Ok(Frame::Close(_))])
}

fn refusal_name(reason: Refusal) -> &'static str {
    match reason {
        Refusal::Surface => "surface",
        Refusal::Epoch => "epoch",
        Refusal::Cells => "cells",
        Refusal::Content => "content",
        Refusal::Technique => "technique",
        Refusal::Base => "base",
        Refusal::Payload => "payload",
        Refusal::Cache => "cache",
    }
}
