//! A source as the simulation sees it: the guest, its ticks, who watches it, and what its keyboard was told.

use std::collections::BTreeSet;
use std::time::Duration;

use lfp::geometry::Size;
use lfp::hypervisor::Action;
use lfp::limits::INPUT_AGE_MAX;
use lfp::pixel::Bounds;
use lfp::time::Instant;
use lfp_proto::frame::InputKind;

use crate::guest::Guest;
use crate::peer::{Peer, owner_of};
use crate::totals::Totals;
use crate::truth::Truth;

/// What a key may need from the client to the server on the slowest path, beside its age.
const TRANSIT_MAX: Duration = Duration::from_millis(1_500);

/// What a guest does once it has got a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Answer {
    /// Nothing that is seen.
    #[default]
    None,
    /// It paints a glyph, but for one key in five.
    Glyph,
    /// It paints a cell of the play's screen, that no frame paints, in another colour.
    Spot,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) guest: Guest,
    pub(crate) truth: Truth,
    /// Scans per second that the server asks for.
    pub(crate) rate_hz: u32,
    /// The displays that show it otherwise than it is.
    pub(crate) bounds: Vec<Bounds>,
    /// Keys that are down in the guest.
    pub(crate) held: BTreeSet<u16>,
    pub(crate) answer: Answer,
}

impl Watched {
    pub(crate) fn new(guest: Guest) -> Self {
        Self {
            guest,
            truth: Truth::default(),
            rate_hz: 0,
            bounds: Vec::new(),
            held: BTreeSet::new(),
            answer: Answer::None,
        }
    }

    /// The server has something done to the guest: each press once, in order, not late, and by one user at a time.
    pub(crate) fn on_action(
        &mut self,
        now: Instant,
        action: &Action,
        peers: &mut [Peer],
        totals: &mut Totals,
    ) {
        assert!(
            action.at <= now && now.saturating_since(action.at) <= INPUT_AGE_MAX,
            "{action:?} at {now:?}"
        );
        match action.input {
            InputKind::Key { code, down: true } => {
                let peer = &mut peers[owner_of(code)];
                let waiting = &peer.inputs.pressed[peer.inputs.passed..];
                let at = waiting.iter().position(|(pressed, _)| *pressed == code);
                let at = at.unwrap_or_else(|| {
                    panic!("LFP-12.2: key {code} of peer {} goes down twice, or out of order", peer.index)
                });
                let age = now.saturating_since(waiting[at].1);
                assert!(age <= INPUT_AGE_MAX + TRANSIT_MAX, "LFP-12.5: key {code} is typed {age:?} late");
                peer.inputs.passed += at + 1;
                totals.one("keys applied");
                totals.many("keys never applied", at as u64);
                self.held.insert(code);
                let owners: BTreeSet<_> = self.held.iter().map(|code| owner_of(*code)).collect();
                assert!(owners.len() == 1, "LFP-12.8: keys of peers {owners:?} are down at once");
            }
            InputKind::Key { code, down: false } => {
                assert!(self.held.remove(&code), "key {code} is let go and was not down");
            }
            InputKind::MoveTo { x, y } => {
                let Size { width, height } = action.size;
                assert!(x < width && y < height, "{x}, {y} is clamped to {:?}", action.size);
                totals.one("moves applied");
            }
            _ => {}
        }
    }
}
