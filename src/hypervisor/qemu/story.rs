//! What the control thread and somebody who follows a guest share, beside what a source needs: the memory whatever the
//! mode is, events by name, and power commands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::slot::lock;
use super::vram::Vram;
use crate::channel::guest::Power;
use crate::limits::{HAPPENINGS_MAX, POWER_PENDING_MAX};

/// Something that a follower is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happening {
    /// QEMU's name of an event, such as `RESET`.
    Event(String),
    /// What became of the power command with this ticket; why it was not done, if it was not.
    Ordered(u64, Result<(), String>),
}

/// The meeting point. Nothing is kept while nobody follows.
#[derive(Debug, Default)]
pub(super) struct Story {
    is_followed: AtomicBool,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    memory: Option<Arc<Vram>>,
    happened: VecDeque<Happening>,
    orders: VecDeque<(u64, Power)>,
}

impl Story {
    /// Follower: somebody does.
    pub(super) fn begin(&self) {
        self.is_followed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Control: the guest's memory is this now.
    pub(super) fn set_memory(&self, memory: Option<Arc<Vram>>) {
        if self.is_followed() {
            lock(&self.pages).memory = memory;
        }
    }

    /// Follower: the guest's memory.
    pub(super) fn memory(&self) -> Option<Arc<Vram>> {
        lock(&self.pages).memory.clone()
    }

    /// Control: something happened. The oldest of too many is forgotten.
    pub(super) fn tell(&self, happening: Happening) {
        if !self.is_followed() {
            return;
        }
        let happened = &mut lock(&self.pages).happened;
        if happened.len() >= HAPPENINGS_MAX {
            happened.pop_front();
        }
        happened.push_back(happening);
    }

    /// Follower: the oldest that it was not told of.
    pub(super) fn next(&self) -> Option<Happening> {
        lock(&self.pages).happened.pop_front()
    }

    /// Follower: wants a power command given; says whether there is room for it.
    pub(super) fn order(&self, ticket: u64, power: Power) -> bool {
        let orders = &mut lock(&self.pages).orders;
        let has_room = orders.len() < POWER_PENDING_MAX;
        if has_room {
            orders.push_back((ticket, power));
        }
        has_room
    }

    /// Control: the next power command.
    pub(super) fn next_order(&self) -> Option<(u64, Power)> {
        lock(&self.pages).orders.pop_front()
    }
}

/// The monitor's command for it. These four, `input-send-event`, and what [`super::Guest`] asks by itself are all that
/// a guest port can bring about.
pub(super) const fn command(power: Power) -> &'static str {
    match power {
        Power::Powerdown => "system_powerdown",
        Power::Reset => "system_reset",
        Power::Pause => "stop",
        Power::Resume => "cont",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_fetches_is_bounded() {
        let story = Story::default();
        story.tell(Happening::Event("RESET".to_owned()));
        assert_eq!(story.next(), None, "nobody follows");
        story.begin();
        for at in 0..HAPPENINGS_MAX as u64 + 3 {
            story.tell(Happening::Ordered(at, Ok(())));
        }
        assert_eq!(story.next(), Some(Happening::Ordered(3, Ok(()))));
        let taken = (0..100).filter(|ticket| story.order(*ticket, Power::Reset)).count();
        assert_eq!(taken, POWER_PENDING_MAX);
        assert_eq!(story.next_order(), Some((0, Power::Reset)));
    }
}
