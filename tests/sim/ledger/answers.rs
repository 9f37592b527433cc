//! Which pixels answer input: what the server says of it, and what the client makes of that, against what happened.

use std::collections::BTreeMap;

use client_lfp::Client;
use lfp::hypervisor::Action;
use lfp::limits::ECHO_WAIT_MAX;
use lfp::scan::TickState;
use lfp::time::{Instant, micros};
use lfp::units::{ContentNumber, PacketNumber};
use lfp_proto::frame::{Echo, Echoed, Input, InputKind};

use super::Ledger;
use crate::totals::Totals;
use crate::truth::Truth;

/// The input of one connection, and its answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What the client has sent, by number.
    inputs: BTreeMap<u64, InputKind>,
    /// Of those that a hypervisor has accepted: when they came to the server, and when that was.
    accepted: BTreeMap<u64, (Instant, Instant)>,
    /// Those that the server has named.
    named: BTreeMap<u64, Named>,
    /// Answers that the client had counted when it was last looked at.
    counted: u64,
}

/// An answer as the server told of it.
#[derive(Clone, PartialEq, Debug)]
struct Named {
    /// All but the age, and the number of the content.
    echo: Echo,
    content: ContentNumber,
    /// It was told in the packet that first had the pixels.
    at_once: bool,
    /// When the client first showed them, if that was not before.
    shown: Option<Instant>,
}

impl Answers {
    pub(super) fn on_input(&mut self, input: &Input) {
        self.inputs.extend(input.events.iter().map(|event| (event.sequence, event.kind)));
    }

    /// The event that `action` is, if it is one of this connection that was not accepted before.
    fn event_of(&self, action: &Action) -> Option<u64> {
        let is_it = |(sequence, kind): &(&u64, &InputKind)| {
            **kind == action.input && !self.accepted.contains_key(sequence)
        };
        self.inputs.iter().rev().find(is_it).map(|(sequence, _)| *sequence)
    }
}

impl Ledger {
    /// A hypervisor has accepted `action`, perhaps of this connection.
    pub(crate) fn on_accepted(&mut self, now: Instant, action: &Action) {
        if let Some(sequence) = self.answers.event_of(action) {
            self.answers.accepted.insert(sequence, (action.at, now));
        }
    }

    /// The server sends an ECHO in packet `number`.
    pub(super) fn on_echo(&mut self, number: PacketNumber, echo: &Echo, truth: &Truth, totals: &mut Totals) {
        assert_eq!(echo.epoch, self.epoch, "answers are of the newest epoch");
        let content = echo.content(number).expect("an ECHO names a content");
        let epoch = &self.epochs[&echo.epoch.0];
        let index = epoch.size.grid().index(echo.cell.0, echo.cell.1);
        let contents = &epoch.cells[index];
        let sent = contents.binary_search_by_key(&content.0, |(content, _)| *content);
        let tick = contents[sent.expect("LFP-12.9: an answer is shown by pixels that were sent")].1;
        for event in &echo.events {
            self.assert_answers(event, echo, index, tick, truth);
            let at_once = content.0 == number.0;
            let named = Named { echo: Echo { age: 0, ..echo.clone() }, content, at_once, shown: None };
            match self.answers.named.get(&event.sequence) {
                None => {
                    totals.one("answers told");
                    self.answers.named.insert(event.sequence, named);
                }
                Some(known) => {
                    totals.one("answers told again");
                    let same = (&known.echo, known.content) == (&named.echo, named.content);
                    assert!(same, "LFP-12.10: {named:?}, before {known:?}");
                }
            }
        }
    }

    /// LFP-12.9: the event was accepted, the capture is the first one after that which found a change, and the cell, of which
    /// pixels of tick `sent` are on their way, is one that changed.
    fn assert_answers(&self, event: &Echoed, echo: &Echo, index: usize, sent: u64, truth: &Truth) {
        let accepted = self.answers.accepted.get(&event.sequence);
        let (arrived, accepted) = *accepted.unwrap_or_else(|| panic!("LFP-12.9: {event:?} was not accepted"));
        assert_eq!(u64::from(event.injection_us), micros(accepted.saturating_since(arrived)), "{event:?}");
        let mut found = truth.ticks().filter_map(|tick| match &tick.state {
            TickState::Live { delta, .. } if tick.captured >= accepted => Some((tick, delta)),
            _ => None,
        });
        // One that began in that very moment may have come first.
        let same = |captured: Instant| captured == accepted && event.wait_us > 0;
        let (tick, delta) =
            found.find(|(tick, _)| !same(tick.captured)).expect("a capture that began afterwards");
        let wait = tick.captured.saturating_since(accepted);
        assert_eq!(u64::from(event.wait_us), micros(wait), "LFP-12.9: {event:?} waits for {tick:?}");
        assert_eq!(tick.epoch, echo.epoch, "LFP-12.9: {event:?}");
        assert!(wait <= ECHO_WAIT_MAX, "LFP-12.9: {event:?} is long forgotten");
        assert!(delta.cells.contains(index) && sent >= tick.number, "LFP-12.9: {echo:?} of tick {sent}");
    }

    /// The client begins with what one before it has counted.
    pub(crate) fn on_begun(&mut self, client: &Client) {
        self.answers.counted = client.stats().echo.total_us.count();
    }

    /// The client, whose user has pressed these keys, has acted on what came.
    pub(crate) fn on_shown(&mut self, now: Instant, client: &Client, pressed: &[(u16, Instant)]) {
        let answers = &mut self.answers;
        if let Some(shown) = client.picture().filter(|_| !answers.named.is_empty()) {
            let grid = shown.size.grid();
            for named in answers.named.values_mut().filter(|named| named.shown.is_none()) {
                let (x, y) = named.echo.cell;
                let of_epoch = named.echo.epoch == shown.epoch;
                if of_epoch && shown.contents[grid.index(x, y)] >= named.content.0 {
                    named.shown = Some(now);
                }
            }
        }
        let echo = &client.stats().echo;
        if echo.total_us.count() == answers.counted {
            return;
        }
        answers.counted = echo.total_us.count();
        let last = echo.last.expect("something was counted");
        let named = &answers.named[&last.sequence];
        let InputKind::Key { code, .. } = answers.inputs[&last.sequence] else {
            panic!("{last:?} is no key")
        };
        let since = pressed.iter().rev().find(|(pressed, _)| *pressed == code).expect("it was pressed").1;
        let parts = last.injection_us + last.scan_wait_us + last.encode_us + last.pacing_us + last.decode_us;
        assert_eq!(last.total_us, last.network_us + parts, "{last:?}");
        let shown = named.shown.expect("LFP-12.11: what is counted has been shown");
        let total = micros(shown.saturating_since(since));
        assert!(last.total_us <= total, "LFP-12.11: {last:?} was shown after {total} us");
        assert!(!named.at_once || last.total_us == total, "LFP-12.11: {last:?} was shown after {total} us");
    }
}
