//! How long input took until its answer was on the screen, and where that time went.
//!
//! Everything is measured by the client's own clock: from the moment at which it was given an event to that at which the
//! pixels that answer it were shown. What the server says of its own share, as spans, comes off; the rest is the network's.

use std::collections::VecDeque;

use lfp_proto::frame::{self, Echoed};
use lfp_proto::geometry::CellRect;
use lfp_proto::time::{Instant, micros};
use lfp_proto::units::{ContentNumber, PacketNumber};

use crate::histogram::Histogram;
use crate::limits::{ECHO_AGE_MAX, ECHO_EVENTS_REMEMBERED, ECHO_FRAMES_MAX, ECHO_PAINTS_REMEMBERED};

/// The answer to one event: what passed from its being given to the client until its pixels were shown, and the parts that
/// add up to that, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Echo {
    /// The event's number.
    pub sequence: u64,
    /// All of it.
    pub total_us: u64,
    /// Both ways, with what waited or was repeated because something was lost.
    pub network_us: u64,
    /// From the event's arrival at the server until the guest's hypervisor had accepted it.
    pub injection_us: u64,
    /// From then until the scan began that found the answer: the guest's own time, and the wait for the scan.
    pub scan_wait_us: u64,
    /// The scan, and what came after it until the pixels were encoded.
    pub encode_us: u64,
    /// From then until the first packet with them was sent.
    pub pacing_us: u64,
    /// From the arrival of the pixels until they were shown.
    pub decode_us: u64,
}

/// The answers of a session.
#[derive(Clone, Debug, Default)]
pub struct EchoStats {
    /// [`Echo::total_us`] of each.
    pub total_us: Histogram,
    /// [`Echo::network_us`] of each.
    pub network_us: Histogram,
    /// [`Echo::injection_us`] of each.
    pub injection_us: Histogram,
    /// [`Echo::scan_wait_us`] of each.
    pub scan_wait_us: Histogram,
    /// [`Echo::encode_us`] of each.
    pub encode_us: Histogram,
    /// [`Echo::pacing_us`] of each.
    pub pacing_us: Histogram,
    /// [`Echo::decode_us`] of each.
    pub decode_us: Histogram,
    /// The newest.
    pub last: Option<Echo>,
    /// Answers that were not counted, because the client could not tell when it had shown them, or did not believe them.
    pub uncounted: u64,
}

impl EchoStats {
    /// The parts of [`EchoStats::total_us`], by name.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        [
            ("network", &self.network_us),
            ("injection", &self.injection_us),
            ("scan_wait", &self.scan_wait_us),
            ("encode", &self.encode_us),
            ("pacing", &self.pacing_us),
            ("decode", &self.decode_us),
        ]
        .into_iter()
    }

    fn count(&mut self, echo: Echo) {
        self.total_us.record(echo.total_us);
        self.network_us.record(echo.network_us);
        self.injection_us.record(echo.injection_us);
        self.scan_wait_us.record(echo.scan_wait_us);
        self.encode_us.record(echo.encode_us);
        self.pacing_us.record(echo.pacing_us);
        self.decode_us.record(echo.decode_us);
        self.last = Some(echo);
    }
}

/// Some cells that were painted.
#[derive(Clone, Copy, Debug)]
struct Paint {
    cells: CellRect,
    content: ContentNumber,
    came: Instant,
    shown: Instant,
}

/// An ECHO whose pixels are not known to have been shown.
#[derive(Clone, Debug)]
struct Waiting {
    cell: (u16, u16),
    content: ContentNumber,
    encode_us: u32,
    pacing_us: u32,
    event: Echoed,
}

/// Events that wait for an answer, and what was painted since the oldest of them. A client that types nothing keeps nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echoes {
    /// Number and time of each event, in order; at most [`ECHO_EVENTS_REMEMBERED`], none older than [`ECHO_AGE_MAX`].
    events: VecDeque<(u64, Instant)>,
    /// In order of their arrival; at most [`ECHO_PAINTS_REMEMBERED`].
    paints: VecDeque<Paint>,
    /// The largest content number of those that were forgotten for that bound.
    forgotten: ContentNumber,
    /// At most [`ECHO_FRAMES_MAX`].
    waiting: VecDeque<Waiting>,
    /// When what has come since the last call of [`Echoes::settle`] came.
    came: Option<Instant>,
}

impl Echoes {
    /// Event `sequence` was given to the client.
    pub(crate) fn on_event(&mut self, now: Instant, sequence: u64) {
        if self.events.len() == ECHO_EVENTS_REMEMBERED {
            self.events.pop_front();
        }
        self.events.push_back((sequence, now));
    }

    /// `cells` were painted as `content` by what came at `came`.
    pub(crate) fn on_painted(&mut self, came: Instant, cells: CellRect, content: ContentNumber) {
        if self.events.is_empty() {
            return;
        }
        if self.paints.len() == ECHO_PAINTS_REMEMBERED {
            let forgotten = self.paints.pop_front().map_or(ContentNumber(0), |paint| paint.content);
            self.forgotten = self.forgotten.max(forgotten);
        }
        self.paints.push_back(Paint { cells, content, came, shown: came });
        self.came = Some(came);
    }

    /// ECHO, of the epoch under way, came in packet `number`.
    pub(crate) fn on_echo(&mut self, now: Instant, number: PacketNumber, echo: &frame::Echo) {
        let Some(content) = echo.content(number) else { return };
        self.came = Some(now);
        for event in &echo.events {
            let knows = self.events.iter().any(|(sequence, _)| *sequence == event.sequence);
            let waits = self.waiting.iter().any(|waiting| waiting.event.sequence == event.sequence);
            // SPEC [LFP-12.12]: A client MUST NOT count an answer twice
            if knows && !waits && self.waiting.len() < ECHO_FRAMES_MAX {
                let (cell, event) = (echo.cell, *event);
                let (encode_us, pacing_us) = (echo.encode_us, echo.pacing_us);
                self.waiting.push_back(Waiting { cell, content, encode_us, pacing_us, event });
            }
        }
    }

    /// Another epoch begins: nothing of the one before is shown any more.
    pub(crate) fn on_epoch(&mut self) {
        let events = core::mem::take(&mut self.events);
        *self = Self { events, ..Self::default() };
    }

    /// What has come since the last call is shown at `shown`, or was as it came: takes the answers among it.
    pub(crate) fn settle(&mut self, shown: Option<Instant>, stats: &mut EchoStats) {
        let Some(came) = self.came.take() else { return };
        let shown = shown.map_or(came, |shown| shown.max(came));
        for paint in self.paints.iter_mut().rev().take_while(|paint| paint.came == came) {
            paint.shown = shown;
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.retain(|waiting| self.waits(waiting, stats));
        self.waiting = waiting;
        let is_old = |at: Instant| shown.saturating_since(at) > ECHO_AGE_MAX;
        while self.events.front().is_some_and(|(_, at)| is_old(*at)) {
            self.events.pop_front();
        }
        if self.events.is_empty() {
            stats.uncounted += self.waiting.len() as u64;
            *self = Self::default();
        }
    }

    /// Counts an answer that has been shown; whether it still waits for that.
    // SPEC [LFP-12.11]: A client MUST take for the time of an answer when the cell first showed a content number that is not
    // below that of the ECHO, whichever packet brought it, and count no answer of which it does not know that.
    fn waits(&mut self, waiting: &Waiting, stats: &mut EchoStats) -> bool {
        let Waiting { cell: (x, y), content, event, .. } = *waiting;
        let Some(at) = self.events.iter().position(|(sequence, _)| *sequence == event.sequence) else {
            stats.uncounted += 1;
            return false;
        };
        let shows = |paint: &&Paint| {
            let (dx, dy) = (x.checked_sub(paint.cells.x), y.checked_sub(paint.cells.y));
            let inside =
                dx.is_some_and(|dx| dx < paint.cells.width) && dy.is_some_and(|dy| dy < paint.cells.height);
            inside && paint.content >= content
        };
        let Some(paint) = self.paints.iter().find(shows).filter(|_| content > self.forgotten) else {
            let lost = content <= self.forgotten;
            stats.uncounted += u64::from(lost);
            return !lost;
        };
        let (_, pressed) = self.events[at];
        match split(pressed, paint, waiting) {
            Some(echo) => stats.count(echo),
            None => stats.uncounted += 1,
        }
        self.events.remove(at);
        false
    }
}

/// Where the time from `pressed` to `paint` went; `None` if the server's part is more than there was.
// SPEC [LFP-12.12]: A client MUST NOT count an answer twice, nor one whose times add up to more than has passed between the
// event and the arrival of the pixels.
fn split(pressed: Instant, paint: &Paint, waiting: &Waiting) -> Option<Echo> {
    let Waiting { event, encode_us, pacing_us, .. } = waiting;
    let [injection_us, scan_wait_us, encode_us, pacing_us] =
        [event.injection_us, event.wait_us, *encode_us, *pacing_us].map(u64::from);
    let span = |from: Instant, to: Instant| -> u64 { micros(to.saturating_since(from)) };
    let server_us = injection_us + scan_wait_us + encode_us + pacing_us;
    Some(Echo {
        sequence: event.sequence,
        total_us: span(pressed, paint.shown),
        network_us: span(pressed, paint.came).checked_sub(server_us)?,
        injection_us,
        scan_wait_us,
        encode_us,
        pacing_us,
        decode_us: span(paint.came, paint.shown),
    })
}
