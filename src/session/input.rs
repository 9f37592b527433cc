//! Input: events in order, each once, and everything that is held let go of in the end.

use std::collections::BTreeSet;

use crate::limits::HELD_MAX;
use crate::units::SurfaceId;
use lfp_proto::frame::{Button, Input, InputAck, InputKind};

/// A key or a button.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Holdable {
    Key(u16),
    Button(Button),
}

/// Something held, and where it was pressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Held {
    what: Holdable,
    surface: SurfaceId,
}

/// What a session's client has pressed, moved and turned.
#[derive(Clone, Debug, Default)]
pub(super) struct InputState {
    /// Every event up to this number is done with.
    through: u64,
    /// Events that were not given to the guest.
    dropped: u64,
    held: BTreeSet<Held>,
    ack_due: bool,
}

/// What is to be done with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fresh {
    /// Its number; 0: it is a release in the client's place.
    pub(super) sequence: u64,
    pub(super) surface: SurfaceId,
    pub(super) kind: InputKind,
}

impl InputState {
    /// Those events of an INPUT that were not seen before, in order.
    pub(super) fn fresh(&mut self, input: &Input) -> Vec<Fresh> {
        self.ack_due = true;
        let surface = input.surface;
        // SPEC [LFP-12.2]: A server MUST give each event to the guest at most once, in the order of the numbers, and
        // ignore one that is covered already.
        let through = self.through;
        let fresh = input.events.iter().filter(|event| event.sequence > through);
        let fresh =
            fresh.map(|event| Fresh { sequence: event.sequence, surface, kind: event.kind }).collect();
        self.through = input.events.iter().map(|event| event.sequence).fold(self.through, u64::max);
        fresh
    }

    /// Notes that an event goes to the guest. Says whether it may: a release of something that is not held has been
    /// made already, and no more may be held than is bounded.
    pub(super) fn on_apply(&mut self, fresh: Fresh) -> bool {
        let (what, down) = match fresh.kind {
            InputKind::Key { code, down } => (Holdable::Key(code), down),
            InputKind::Button { button, down } => (Holdable::Button(button), down),
            InputKind::MoveTo { .. } | InputKind::MoveBy { .. } | InputKind::Wheel { .. } => return true,
            InputKind::FocusLost => return false,
        };
        let held = self.held.iter().find(|held| held.what == what).copied();
        match (held, down) {
            (Some(held), false) => self.held.remove(&held),
            (None, false) => false,
            // A key that repeats.
            (Some(_), true) => true,
            (None, true) => {
                self.held.len() < HELD_MAX && self.held.insert(Held { what, surface: fresh.surface })
            }
        }
    }

    /// Notes that an event does not go to the guest.
    pub(super) fn on_drop(&mut self) {
        self.dropped += 1;
        self.ack_due = true;
    }

    /// Lets go of everything: the releases, each with the surface where it was pressed.
    pub(super) fn release_all(&mut self) -> Vec<Fresh> {
        // SPEC [LFP-12.6]: A server MUST release every key and button that a session holds when the session ends, when
        // its client reports focus lost, and when nothing has come from the client for 3 s.
        let release = |held: Held| {
            let kind = match held.what {
                Holdable::Key(code) => InputKind::Key { code, down: false },
                Holdable::Button(button) => InputKind::Button { button, down: false },
            };
            Fresh { sequence: 0, surface: held.surface, kind }
        };
        std::mem::take(&mut self.held).into_iter().map(release).collect()
    }

    /// Whether something is held.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether an INPUT_ACK is owed.
    pub(super) const fn ack_due(&self) -> bool {
        self.ack_due
    }

    /// The INPUT_ACK as it stands.
    pub(super) const fn ack(&self) -> InputAck {
        InputAck { through: self.through, dropped: self.dropped }
    }

    /// The INPUT_ACK was put into a packet.
    pub(super) const fn on_ack_sent(&mut self) {
        self.ack_due = false;
    }

    /// The packet with the INPUT_ACK is lost.
    pub(super) const fn on_ack_lost(&mut self) {
        self.ack_due = true;
    }
}
