//! Plays the actions that the command line asks for, at the pace of a quick typist.

use std::collections::VecDeque;
use std::time::Duration;

use client_lfp::Client;
use lfp_proto::frame::{Attention, InputKind};
use lfp_proto::limits::INPUT_PENDING_MAX;
use lfp_proto::time::Instant;

use crate::cli::options::Action;

/// Events that may wait for an ack before the next action begins: far from where any would be dropped.
const WAITING_MAX: usize = INPUT_PENDING_MAX / 4;
/// How long a pointer stands on a button, and a button is held.
const CLICK_TIME: Duration = Duration::from_millis(40);

/// A step of an action.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Input(InputKind),
    Attend(Attention),
}

/// Actions that are still to be done.
#[derive(Debug)]
pub(crate) struct Script {
    actions: VecDeque<Action>,
    /// Events of the action that is being done, each with the pause before the next.
    events: VecDeque<(Deed, Duration)>,
    /// How much of the screen the user sees while it is not hidden.
    attention: Attention,
    interval: Duration,
    next_at: Instant,
    /// What is done otherwise than asked: at most one for each action.
    warnings: Vec<String>,
}

impl Script {
    pub(crate) fn new(actions: &[Action], attention: Attention, interval: Duration) -> Self {
        let (actions, events) = (actions.iter().cloned().collect(), VecDeque::new());
        Self { actions, events, attention, interval, next_at: Instant::ZERO, warnings: Vec::new() }
    }

    /// Whether everything has been given to the client.
    pub(crate) fn is_done(&self) -> bool {
        self.actions.is_empty() && self.events.is_empty()
    }

    /// Events that have not been given to the client.
    pub(crate) fn left(&self) -> usize {
        let inputs = self.events.iter().filter(|(deed, _)| matches!(deed, Deed::Input(_))).count();
        inputs + self.actions.iter().map(Action::events).sum::<usize>()
    }

    /// What was done otherwise than asked.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Gives `client` what is due.
    pub(crate) fn play(&mut self, now: Instant, client: &mut Client) {
        while now >= self.next_at && client.input_waiting() < WAITING_MAX {
            if self.events.is_empty() {
                let Some(action) = self.actions.pop_front() else { return };
                self.expand(action);
            }
            if let Some((deed, pause)) = self.events.pop_front() {
                match deed {
                    Deed::Input(event) => {
                        self.warn_of_edge(event, client);
                        client.input(now, event);
                    }
                    Deed::Attend(attention) => client.attend(now, attention),
                }
                self.next_at = now + pause;
            }
        }
    }

    /// When [`Script::play`] is to be called next; `None`: when something has come from the server, or never.
    pub(crate) fn due(&self, client: &Client) -> Option<Instant> {
        (!self.is_done() && client.input_waiting() < WAITING_MAX).then_some(self.next_at)
    }

    /// The server stops a pointer at the edge of the screen, which is not what was asked for.
    fn warn_of_edge(&mut self, event: InputKind, client: &Client) {
        let InputKind::MoveTo { x, y } = event else { return };
        let Some(size) = client.surface().and_then(|surface| surface.size) else { return };
        if x >= size.width || y >= size.height {
            let warning = format!(
                "pixel {x},{y} is not on the screen of {}x{} pixels; the pointer stops at its edge",
                size.width, size.height
            );
            eprintln!("client-lfp: warning: {warning}");
            self.warnings.push(warning);
        }
    }

    fn expand(&mut self, action: Action) {
        match action {
            Action::Chord(codes) => {
                let down = codes.iter().map(|&code| InputKind::Key { code, down: true });
                let up = codes.iter().rev().map(|&code| InputKind::Key { code, down: false });
                self.events.extend(down.chain(up).map(|event| (Deed::Input(event), Duration::ZERO)));
                if let Some((_, pause)) = self.events.back_mut() {
                    *pause = self.interval;
                }
            }
            Action::Pointer(events) => {
                self.events.extend(events.into_iter().map(|event| (Deed::Input(event), CLICK_TIME)));
            }
            Action::Hide(span) => {
                let after = (Deed::Attend(self.attention), Duration::ZERO);
                self.events.extend([(Deed::Attend(Attention::Hidden), span), after]);
            }
        }
    }
}
