//! Input: every event is repeated until the server has it.

use core::time::Duration;
use std::collections::VecDeque;

use lfp_proto::frame::{Button, Input, InputAck, InputEvent, InputKind};
use lfp_proto::time::Instant;
use lfp_proto::units::SurfaceId;

use crate::limits::{
    INPUT_AGE_MAX, INPUT_COPY_AFTER, INPUT_HELD_MAX, INPUT_MOTION_SPACING, INPUT_PENDING_MAX,
    INPUT_REPEAT_MAX, INPUT_REPEAT_MIN,
};
use crate::stats::Stats;

#[derive(Clone, Copy, Debug)]
struct Pending {
    event: InputEvent,
    at: Instant,
    sent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Key(u16),
    Button(Button),
}

/// Events that the server has not acked, in order. At most [`INPUT_PENDING_MAX`].
#[derive(Clone, Debug, Default)]
pub(crate) struct InputQueue {
    pending: VecDeque<Pending>,
    /// The number of the newest event.
    sequence: u64,
    /// When the next INPUT should go, if anything waits.
    due: Option<Instant>,
    last_sent: Option<Instant>,
    /// Copies of the newest event that went out before anybody could have asked for them.
    copied: u32,
    /// Doubles with every repetition that brings no ack.
    backoff: Duration,
    /// At most [`INPUT_HELD_MAX`].
    held: Vec<Held>,
}

impl InputQueue {
    /// The user did something. Gives the number of that event, if it is one of its own.
    pub(crate) fn push(&mut self, now: Instant, kind: InputKind, stats: &mut Stats) -> Option<u64> {
        stats.input_events += 1;
        self.track(kind);
        if self.coalesce(kind) {
            return None;
        }
        if self.pending.len() >= INPUT_PENDING_MAX && !self.make_room(kind, stats) {
            return None;
        }
        // SPEC [LFP-12.1]: A client MUST number input events from 1, ascending, and put every event that no INPUT_ACK
        // covers into each INPUT that it sends.
        self.sequence += 1;
        let event = InputEvent { sequence: self.sequence, kind };
        self.pending.push_back(Pending { event, at: now, sent: false });
        let spaced = self.last_sent.filter(|_| is_motion(kind)).map(|sent| sent + INPUT_MOTION_SPACING);
        let due = spaced.map_or(now, |at| at.max(now));
        self.due = Some(self.due.map_or(due, |at| at.min(due)));
        self.backoff = Duration::ZERO;
        self.copied = 0;
        Some(self.sequence)
    }

    /// Whether `kind` could be merged into the last event, which has not been sent.
    // SPEC [LFP-12.3]: A client MUST hold at most 64 events that are not covered. A move that directly follows a move
    // replaces it (to) or adds to it (by), unless it has been sent. If more come, the oldest that is no release is
    // dropped.
    fn coalesce(&mut self, kind: InputKind) -> bool {
        let Some(last) = self.pending.back_mut().filter(|last| !last.sent) else { return false };
        let merged = match (last.event.kind, kind) {
            (InputKind::MoveTo { .. }, InputKind::MoveTo { .. }) => Some(kind),
            (InputKind::MoveBy { dx, dy }, InputKind::MoveBy { dx: more_x, dy: more_y }) => {
                let (dx, dy) = (dx.checked_add(more_x), dy.checked_add(more_y));
                dx.zip(dy).map(|(dx, dy)| InputKind::MoveBy { dx, dy })
            }
            _ => None,
        };
        if let Some(merged) = merged {
            last.event.kind = merged;
        }
        merged.is_some()
    }

    /// Makes room for one more event of `kind`; says whether it may be added.
    ///
    /// The oldest event that is no release goes. If only releases wait, one focus-lost takes the place of all: it
    /// lets go of the same and more.
    // SPEC [LFP-12.4]: A side MUST NOT drop the release of a key or a button, nor FOCUS LOST, while the session lasts.
    fn make_room(&mut self, kind: InputKind, stats: &mut Stats) -> bool {
        if let Some(at) = self.pending.iter().position(|pending| !pending.event.kind.is_release()) {
            self.pending.remove(at);
            stats.input_dropped += 1;
            return true;
        }
        if !kind.is_release() {
            stats.input_dropped += 1;
            return false;
        }
        let newest = self.pending.pop_back();
        self.pending.clear();
        if let Some(mut newest) = newest {
            self.sequence += 1;
            newest.event = InputEvent { sequence: self.sequence, kind: InputKind::FocusLost };
            newest.sent = false;
            self.pending.push_back(newest);
        }
        self.held.clear();
        true
    }

    fn track(&mut self, kind: InputKind) {
        let (held, down) = match kind {
            InputKind::Key { code, down } => (Held::Key(code), down),
            InputKind::Button { button, down } => (Held::Button(button), down),
            InputKind::FocusLost => return self.held.clear(),
            _ => return,
        };
        self.held.retain(|known| *known != held);
        if down && self.held.len() < INPUT_HELD_MAX {
            self.held.push(held);
        }
    }

    /// Whether a key or a button is held.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Events that wait for an ack.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// The server has events.
    pub(crate) fn on_ack(&mut self, ack: InputAck, stats: &mut Stats) {
        stats.input_dropped_by_server = stats.input_dropped_by_server.max(ack.dropped);
        let before = self.pending.len();
        while self.pending.front().is_some_and(|first| first.event.sequence <= ack.through) {
            self.pending.pop_front();
        }
        if self.pending.is_empty() {
            self.due = None;
        }
        if self.pending.len() < before {
            self.backoff = Duration::ZERO;
        }
    }

    /// Drops what has waited for too long.
    // SPEC [LFP-12.5]: A side MUST drop an event, not a release, that has waited longer than 3 s. A server reports what
    // it dropped in INPUT_ACK.
    pub(crate) fn expire(&mut self, now: Instant, stats: &mut Stats) {
        let before = self.pending.len();
        self.pending.retain(|pending| {
            pending.event.kind.is_release() || now.saturating_since(pending.at) <= INPUT_AGE_MAX
        });
        stats.input_dropped += (before - self.pending.len()) as u64;
        if self.pending.is_empty() {
            self.due = None;
        }
    }

    /// When [`InputQueue::peek`] is to be sent.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The frame to send, if anything waits. [`InputQueue::on_sent`] is to follow if it goes out.
    pub(crate) fn peek(&mut self, surface: SurfaceId) -> Option<Input> {
        if self.pending.is_empty() {
            self.due = None;
            return None;
        }
        Some(Input { surface, events: self.pending.iter().map(|pending| pending.event).collect() })
    }

    /// All that waits goes out at `now`; it is repeated unless acked within about `answer_time`, and `copies` times before
    /// that if the path loses packets.
    pub(crate) fn on_sent(&mut self, now: Instant, answer_time: Duration, copies: u32) {
        for pending in &mut self.pending {
            pending.sent = true;
        }
        self.last_sent = Some(now);
        if self.copied < copies {
            self.due = Some(now + INPUT_COPY_AFTER * (1 << self.copied));
            self.copied += 1;
            return;
        }
        self.backoff = (self.backoff * 2).max(answer_time).clamp(INPUT_REPEAT_MIN, INPUT_REPEAT_MAX);
        self.due = Some(now + self.backoff);
    }
}

const fn is_motion(kind: InputKind) -> bool {
    matches!(kind, InputKind::MoveTo { .. } | InputKind::MoveBy { .. } | InputKind::Wheel { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn key(code: u16, down: bool) -> InputKind {
        InputKind::Key { code, down }
    }

    fn take(queue: &mut InputQueue, ms: u64) -> Vec<InputEvent> {
        let Some(input) = queue.peek(SurfaceId(0)) else { return Vec::new() };
        queue.on_sent(at(ms), Duration::ZERO, 0);
        input.events
    }

    #[test]
    fn unsent_moves_coalesce_and_sent_ones_do_not() {
        let (mut queue, mut stats) = (InputQueue::default(), Stats::default());
        queue.push(at(0), InputKind::MoveTo { x: 1, y: 1 }, &mut stats);
        queue.push(at(0), InputKind::MoveTo { x: 2, y: 2 }, &mut stats);
        queue.push(at(0), InputKind::Button { button: Button::Left, down: true }, &mut stats);
        queue.push(at(0), InputKind::MoveBy { dx: 3, dy: -3 }, &mut stats);
        queue.push(at(0), InputKind::MoveBy { dx: 4, dy: 1 }, &mut stats);
        queue.push(at(0), InputKind::MoveBy { dx: i16::MAX, dy: 0 }, &mut stats);
        let kinds: Vec<_> = take(&mut queue, 0).into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds.len(), 4);
        assert_eq!(kinds[0], InputKind::MoveTo { x: 2, y: 2 });
        assert_eq!(kinds[2], InputKind::MoveBy { dx: 7, dy: -2 });
        queue.push(at(1), InputKind::MoveBy { dx: 1, dy: 1 }, &mut stats);
        assert_eq!(queue.due(), Some(at(4)), "motion waits for its spacing");
        assert_eq!(take(&mut queue, 4).len(), 5);
    }

    #[test]
    fn events_repeat_with_backoff_until_acked() {
        let (mut queue, mut stats) = (InputQueue::default(), Stats::default());
        queue.push(at(0), key(30, true), &mut stats);
        assert_eq!(queue.due(), Some(at(0)));
        assert_eq!(take(&mut queue, 0).len(), 1);
        assert_eq!(queue.due(), Some(at(30)));
        take(&mut queue, 30);
        assert_eq!(queue.due(), Some(at(90)));
        queue.push(at(40), key(30, false), &mut stats);
        assert_eq!(queue.due(), Some(at(40)), "a new event goes at once");
        assert_eq!(take(&mut queue, 40).len(), 2);
        queue.on_ack(InputAck { through: 1, dropped: 0 }, &mut stats);
        assert_eq!(take(&mut queue, 70).len(), 1);
        queue.on_ack(InputAck { through: 2, dropped: 1 }, &mut stats);
        assert_eq!((queue.due(), stats.input_dropped_by_server), (None, 1));
    }

    #[test]
    fn copies_go_before_anybody_can_ask_for_them() {
        let (mut queue, mut stats) = (InputQueue::default(), Stats::default());
        queue.push(at(0), key(30, true), &mut stats);
        let mut sent = Vec::new();
        for _ in 0..4 {
            let due = queue.due().expect("something waits");
            sent.push(due.as_micros() / 1_000);
            assert!(queue.peek(SurfaceId(0)).is_some());
            queue.on_sent(due, Duration::from_millis(100), 2);
        }
        assert_eq!(sent, [0, 5, 15, 115]);
        queue.push(at(120), key(30, false), &mut stats);
        queue.peek(SurfaceId(0));
        queue.on_sent(at(120), Duration::from_millis(100), 2);
        assert_eq!(queue.due(), Some(at(125)), "what is new is copied anew");
    }

    #[test]
    fn the_old_goes_and_releases_stay() {
        let (mut queue, mut stats) = (InputQueue::default(), Stats::default());
        queue.push(at(0), key(1, true), &mut stats);
        queue.push(at(0), key(1, false), &mut stats);
        assert!(!queue.holds());
        queue.expire(at(3001), &mut stats);
        assert_eq!((queue.waiting(), stats.input_dropped), (1, 1));
        for code in 0..1000 {
            queue.push(at(3001), key(code, true), &mut stats);
            assert!(queue.holds() && queue.waiting() <= INPUT_PENDING_MAX);
            queue.push(at(3001), key(code, false), &mut stats);
            assert!(queue.waiting() <= INPUT_PENDING_MAX);
        }
        let events = take(&mut queue, 3001);
        assert!(
            events.iter().any(|event| event.kind == InputKind::FocusLost),
            "stands for the releases lost"
        );
        assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        assert_eq!(events.last().map(|event| event.kind), Some(key(999, false)));
    }
}
