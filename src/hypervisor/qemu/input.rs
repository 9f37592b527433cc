//! What waits to be done to a guest, and how it is put into monitor commands.

use std::collections::{BTreeSet, VecDeque};

use lfp_proto::frame::{Button, InputKind};
use lfp_proto::keys;
use serde_json::{Value, json};

use crate::geometry::Size;
use crate::hypervisor::Action;
use crate::limits::{ACTIONS_PENDING_MAX, INPUT_AGE_MAX, INPUT_EVENTS_PER_BATCH, INPUT_KEYS_PER_BATCH};
use crate::time::Instant;

#[cfg(test)]
mod tests;

/// Actions that wait, in order. At most [`ACTIONS_PENDING_MAX`], and beyond that one release of each key and button.
#[derive(Debug, Default)]
pub(in crate::hypervisor) struct ActionQueue {
    waiting: VecDeque<Waiting>,
}

/// An action, and how many it stands for: motion without anything between is one.
#[derive(Clone, Copy, Debug)]
pub(in crate::hypervisor) struct Waiting {
    at: Instant,
    input: InputKind,
    size: Size,
    count: u64,
    /// By which it is told of once it is accepted.
    number: Option<u64>,
}

impl Waiting {
    pub(in crate::hypervisor) const fn input(&self) -> InputKind {
        self.input
    }

    /// Size of the surface that a position means.
    pub(in crate::hypervisor) const fn size(&self) -> Size {
        self.size
    }

    /// How many actions it stands for.
    pub(in crate::hypervisor) const fn count(&self) -> u64 {
        self.count
    }

    /// By which it is told of once it is accepted.
    pub(in crate::hypervisor) const fn number(&self) -> Option<u64> {
        self.number
    }
}

impl ActionQueue {
    /// Takes an action; says whether it was taken. Releases always are, except of keys that no guest can be told of.
    pub(in crate::hypervisor) fn push(&mut self, action: Action) -> bool {
        let Action { at, input, size, number, .. } = action;
        if matches!(input, InputKind::Key { code, .. } if keys::by_code(code).is_none()) {
            return false;
        }
        if let Some(last) = self.waiting.back_mut() {
            if let Some(merged) = merge(last.input, input).filter(|_| last.size == size) {
                *last = Waiting { at, input: merged, size, count: last.count + 1, number };
                return true;
            }
        }
        if self.waiting.len() >= ACTIONS_PENDING_MAX {
            if !input.is_release() {
                return false;
            }
            let since_press =
                self.waiting.iter_mut().rev().take_while(|waiting| !presses(waiting.input, input));
            if let Some(earlier) = since_press.into_iter().find(|waiting| covers(waiting.input, input)) {
                earlier.count += 1;
                return true;
            }
        }
        self.waiting.push_back(Waiting { at, input, size, count: 1, number });
        true
    }

    /// Drops what is too old at `now`, never a release; says how many actions that were.
    pub(in crate::hypervisor) fn expire(&mut self, now: Instant) -> u64 {
        let mut dropped = 0;
        self.waiting.retain(|waiting| {
            let keep = waiting.input.is_release() || now.saturating_since(waiting.at) <= INPUT_AGE_MAX;
            dropped += if keep { 0 } else { waiting.count };
            keep
        });
        dropped
    }

    /// Drops everything; says how many actions that were.
    pub(in crate::hypervisor) fn clear(&mut self) -> u64 {
        self.waiting.drain(..).map(|waiting| waiting.count).sum()
    }

    pub(in crate::hypervisor) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many actions wait.
    pub(super) fn len(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.count).sum()
    }

    /// Takes the oldest one.
    pub(in crate::hypervisor) fn take(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Of what was taken, oldest first, and not done, puts the releases back to the front; says how many actions are
    /// lost.
    pub(in crate::hypervisor) fn return_releases(&mut self, undone: impl Iterator<Item = Waiting>) -> u64 {
        let (releases, lost): (Vec<_>, Vec<_>) = undone.partition(|waiting| waiting.input.is_release());
        self.put_back(Releases(releases));
        lost.iter().map(|waiting| waiting.count).sum()
    }

    /// Puts releases that could not be given back to the front.
    pub(super) fn put_back(&mut self, releases: Releases) {
        for waiting in releases.0.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
    }
}

/// Motion that two actions in a row add up to.
fn merge(earlier: InputKind, later: InputKind) -> Option<InputKind> {
    match (earlier, later) {
        (InputKind::MoveTo { .. }, InputKind::MoveTo { .. }) => Some(later),
        (InputKind::MoveBy { dx, dy }, InputKind::MoveBy { dx: more_x, dy: more_y }) => {
            Some(InputKind::MoveBy { dx: dx.checked_add(more_x)?, dy: dy.checked_add(more_y)? })
        }
        _ => None,
    }
}

/// Whether a release that waits does what another one would, if nothing is pressed between them.
fn covers(earlier: InputKind, release: InputKind) -> bool {
    earlier == release || earlier == InputKind::FocusLost
}

/// Whether `input` presses something that `release` lets go of.
fn presses(input: InputKind, release: InputKind) -> bool {
    match (input, release) {
        (InputKind::Key { down: true, .. } | InputKind::Button { down: true, .. }, InputKind::FocusLost) => {
            true
        }
        (InputKind::Key { code, down: true }, InputKind::Key { code: released, .. }) => code == released,
        (InputKind::Button { button, down: true }, InputKind::Button { button: released, .. }) => {
            button == released
        }
        _ => false,
    }
}

/// What a guest holds down because of us, and where its pointer stands.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: BTreeSet<u16>,
    buttons: BTreeSet<Button>,
    /// Where the pointer was moved to last, for guests that only understand relative motion.
    pointer: Option<(u16, u16)>,
}

impl Held {
    /// Forgets everything: another guest.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The releases that let go of everything, buttons first.
    fn releases(&self) -> Vec<InputKind> {
        let buttons = self.buttons.iter().map(|button| InputKind::Button { button: *button, down: false });
        let keys = self.keys.iter().map(|code| InputKind::Key { code: *code, down: false });
        buttons.chain(keys).collect()
    }

    fn note(&mut self, input: InputKind) {
        match input {
            InputKind::Key { code, down: true } => drop(self.keys.insert(code)),
            InputKind::Key { code, down: false } => drop(self.keys.remove(&code)),
            InputKind::Button { button, down: true } => drop(self.buttons.insert(button)),
            InputKind::Button { button, down: false } => drop(self.buttons.remove(&button)),
            InputKind::MoveTo { x, y } => self.pointer = Some((x, y)),
            InputKind::MoveBy { .. } | InputKind::Wheel { .. } | InputKind::FocusLost => {}
        }
    }
}

/// The arguments of one `input-send-event`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Value>,
    /// Key and button changes among them.
    pub(super) changes: u32,
    /// Actions that it does.
    pub(super) actions: u64,
    /// Of those whose acceptance is told of.
    pub(super) numbers: Vec<u64>,
    releases: Vec<Waiting>,
    is_keys: bool,
}

/// Releases that a failed batch held.
#[derive(Debug)]
pub(super) struct Releases(Vec<Waiting>);

impl Batch {
    /// What has to be done again, and how many actions are lost, if the batch failed.
    pub(super) fn failed(self) -> (Releases, u64) {
        let kept: u64 = self.releases.iter().map(|waiting| waiting.count).sum();
        (Releases(self.releases), self.actions - kept)
    }
}

/// Takes what one command can do from the front of the queue.
///
/// QEMU refuses a command as a whole when one of its events has no device, and its pointers merge what one command
/// says of a button: so keys and pointer do not share a command, and a button change is the last of one.
pub(super) fn take_batch(queue: &mut ActionQueue, held: &mut Held, is_absolute: bool) -> Batch {
    let mut batch = Batch::default();
    while let Some(waiting) = queue.waiting.front().copied() {
        if waiting.input == InputKind::FocusLost {
            queue.waiting.pop_front();
            expand_focus_lost(queue, held, waiting, &mut batch);
            continue;
        }
        let is_key = matches!(waiting.input, InputKind::Key { .. });
        let is_full =
            batch.changes as usize >= INPUT_KEYS_PER_BATCH || batch.events.len() >= INPUT_EVENTS_PER_BATCH;
        if is_full || (!batch.events.is_empty() && is_key != batch.is_keys) {
            break;
        }
        queue.waiting.pop_front();
        push_events(waiting, held, is_absolute, &mut batch.events);
        held.note(waiting.input);
        batch.is_keys = is_key;
        batch.actions += waiting.count;
        batch.numbers.extend(waiting.number);
        if waiting.input.is_release() {
            batch.releases.push(waiting);
        }
        match waiting.input {
            InputKind::Key { .. } => batch.changes += 1,
            InputKind::Button { .. } => {
                batch.changes += 1;
                break;
            }
            _ => {}
        }
    }
    batch
}

/// Puts the releases of everything held in the place of `FocusLost`, which is done with the last of them.
fn expand_focus_lost(queue: &mut ActionQueue, held: &Held, lost: Waiting, batch: &mut Batch) {
    let mut releases: Vec<Waiting> =
        held.releases().into_iter().map(|input| Waiting { input, count: 0, number: None, ..lost }).collect();
    match releases.last_mut() {
        Some(last) => last.count = lost.count,
        None => batch.actions += lost.count,
    }
    queue.put_back(Releases(releases));
}

fn push_events(waiting: Waiting, held: &Held, is_absolute: bool, events: &mut Vec<Value>) {
    let mut motion = |kind: &str, x: i32, y: i32| {
        for (axis, value) in [("x", x), ("y", y)] {
            events.push(json!({ "type": kind, "data": { "axis": axis, "value": value } }));
        }
    };
    match waiting.input {
        InputKind::Key { code, down } => events.extend(keys::qcode(code).map(|qcode| {
            json!({ "type": "key", "data": { "down": down, "key": { "type": "qcode", "data": qcode } } })
        })),
        InputKind::Button { button, down } => events.push(button_event(button_name(button), down)),
        InputKind::MoveTo { x, y } if is_absolute => {
            motion("abs", scale(x, waiting.size.width), scale(y, waiting.size.height));
        }
        InputKind::MoveTo { x, y } => {
            let (from_x, from_y) = held.pointer.unwrap_or((x, y));
            motion("rel", i32::from(x) - i32::from(from_x), i32::from(y) - i32::from(from_y));
        }
        InputKind::MoveBy { dx, dy } => motion("rel", i32::from(dx), i32::from(dy)),
        InputKind::Wheel { dx, dy } => {
            for (notches, back, forth) in [(dy, "wheel-up", "wheel-down"), (dx, "wheel-left", "wheel-right")] {
                for _ in 0..notches.unsigned_abs() {
                    let name = if notches < 0 { back } else { forth };
                    events.extend([button_event(name, true), button_event(name, false)]);
                }
            }
        }
        InputKind::FocusLost => {}
    }
}

fn button_event(name: &str, down: bool) -> Value {
    json!({ "type": "btn", "data": { "down": down, "button": name } })
}

const fn button_name(button: Button) -> &'static str {
    match button {
        Button::Left => "left",
        Button::Middle => "middle",
        Button::Right => "right",
        Button::Side => "side",
        Button::Extra => "extra",
    }
}

/// The middle of pixel `at` of `side` on QEMU's absolute axis, 0 to 32767, so that a guest that scales it back in
/// whatever way of rounding arrives at this pixel.
fn scale(at: u16, side: u16) -> i32 {
    let side = i64::from(side.max(1));
    let at = i64::from(at).min(side - 1);
    ((2 * at + 1) * ABSOLUTE_RANGE / (2 * side)) as i32
}

const ABSOLUTE_RANGE: i64 = 32_768;
