//! The conversation with the host's side about one guest, over its port.
//!
//! | state | is left when |
//! | --- | --- |
//! | `Down` | it is time to try again and the port opens: `Greeting` |
//! | `Away` | it is time to ask again and somebody is behind the device: `Greeting`; the device is gone: `Down` |
//! | `Greeting` | the other side says a message: `Talking` |
//! | `Talking` | the other side says Hello, having begun anew: `Greeting` |
//!
//! From the last two, a device that nobody is behind leads to `Away`; an end, a wrong version or guest, or too much
//! nonsense leads to `Down`.
//!
//! Each side says Hello when it begins. Who hears one that is no answer to its own begins anew and answers with its own.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use lfp_proto::frame::{InputKind, SurfaceState};
use nix::sys::eventfd::EventFd;

use super::link::{Ended, Link};
use crate::channel::guest::{Event, FromAppliance, FromHost, Mode};
use crate::channel::{LineError, Lines, VERSION, guest_port};
use crate::geometry::Size;
use crate::hypervisor::accepted::Reports;
use crate::hypervisor::lookup::dark;
use crate::hypervisor::qemu::{Readiness, Slot, Waiting};
use crate::hypervisor::qmp::excerpt;
use crate::hypervisor::sysfs::{PciFunction, Root};
use crate::hypervisor::{Action, SourceId, Surface};
use crate::limits::{
    CHANNEL_LINE_MAX, MODE_POLL_IDLE, MONITOR_ANSWER, MONITOR_GREETING, MONITOR_RETRY_MAX, PORT_INPUT_MAX,
    PORT_NONSENSE_MAX, PORT_TURN, PORT_TURN_BYTES, REDISCOVER_INTERVAL,
};
use crate::time::Instant;

/// Where a port is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The virtio port of the guest of this name.
    Guest(Root, String),
    /// A device or a socket.
    Path(PathBuf),
}

/// What the guest shows, as far as the host's side says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Screen {
    /// Pixels in this mode, which fits the memory that the display says it has.
    Mode(Surface),
    /// Nothing, and why.
    Dark(SurfaceState, String),
}

/// The appliance's half of a guest port.
#[derive(Debug)]
pub(super) struct Talk {
    place: Place,
    /// For whom the other side must speak.
    expected: Option<String>,
    slot: Arc<Slot>,
    state: State,
    link: Option<Link>,
    screen: Screen,
    /// Where the host's side last said that the memory is.
    pci: Option<PciFunction>,
    /// What [`FromAppliance::Watch`] said last.
    is_watched: bool,
    may_type: bool,
    /// Of the last event sent.
    number: u64,
    /// Events without an answer, ascending; at most [`PORT_INPUT_MAX`].
    sent: VecDeque<Sent>,
    /// Lines that were no messages, in this conversation.
    nonsense: u32,
    failures: u32,
    /// When the turn began in which this many bytes came.
    turn: (Instant, usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Down { retry: Instant },
    Away { retry: Instant },
    Greeting { since: Instant, is_told: bool },
    Talking,
}

/// An event under way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    at: Instant,
    waiting: Waiting,
}

impl Talk {
    pub(super) fn new(place: Place, expected: Option<String>, slot: Arc<Slot>) -> Self {
        let mut talk = Self {
            place,
            expected,
            slot,
            state: State::Down { retry: Instant::ZERO },
            link: None,
            screen: Screen::Dark(SurfaceState::Connecting, String::new()),
            pci: None,
            is_watched: false,
            may_type: true,
            number: 0,
            sent: VecDeque::new(),
            nonsense: 0,
            failures: 0,
            turn: (Instant::ZERO, 0),
        };
        talk.darken(SurfaceState::Connecting, "has not been looked at yet");
        talk
    }

    pub(super) const fn screen(&self) -> &Screen {
        &self.screen
    }

    pub(super) const fn pci(&self) -> Option<PciFunction> {
        self.pci
    }

    /// What is to be waited for, and whether room is. Nothing while nobody is behind the port, or while it has said more
    /// than its share.
    pub(super) fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        let waits = self.is_conversing() && self.turn.1 < PORT_TURN_BYTES;
        self.link.as_ref().filter(|_| waits).map(|link| (link.as_fd(), link.wants_room()))
    }

    const fn is_conversing(&self) -> bool {
        matches!(self.state, State::Greeting { .. } | State::Talking)
    }

    pub(super) fn on_ready(&mut self, now: Instant, ready: Readiness, scratch: &mut [u8]) {
        let Some(link) = &mut self.link else { return };
        let mut messages = Vec::new();
        let mut outcome = if ready.writable { link.flush() } else { Ok(()) };
        if ready.readable {
            let read = link.receive(scratch, |message| messages.push(message));
            self.turn.1 += read.unwrap_or(0);
            outcome = outcome.and(read.map(drop));
        }
        for message in messages {
            // A message before may have ended the conversation.
            if self.link.is_some() {
                self.hear(now, message);
            }
        }
        if self.link.is_none() {
            return;
        }
        match outcome {
            Ok(()) => self.speak(now),
            Err(ended) => self.on_end(now, ended),
        }
    }

    /// Does what time asks for.
    pub(super) fn on_tick(&mut self, now: Instant) {
        if now.saturating_since(self.turn.0) >= PORT_TURN {
            self.turn = (now, 0);
        }
        match self.state {
            State::Down { retry } if now >= retry => self.connect(now),
            State::Away { retry } if now >= retry => match self.link.as_mut().map(Link::is_back) {
                Some(Ok(true)) => self.greet(now),
                Some(Ok(false)) => self.state = State::Away { retry: now + REDISCOVER_INTERVAL },
                Some(Err(ended)) => self.on_end(now, ended),
                None => self.state = State::Down { retry: now },
            },
            State::Greeting { since, is_told: false } if now >= since + MONITOR_GREETING => {
                self.state = State::Greeting { since, is_told: true };
                // What was known before a conversation began anew holds until something else is said.
                if matches!(self.screen, Screen::Dark(..)) {
                    let text = format!("has said nothing for {} s", MONITOR_GREETING.as_secs());
                    self.darken(SurfaceState::Connecting, &text);
                }
            }
            _ => {}
        }
        let is_late = |sent: &Sent| now.saturating_since(sent.at) >= MONITOR_ANSWER;
        while self.sent.front().is_some_and(is_late) {
            // It is in the hands of the host's side, which never says what became of it.
            let lost = self.sent.pop_front().map_or(0, |sent| sent.waiting.count());
            self.slot.count(0, lost);
        }
        self.speak(now);
    }

    /// When [`Talk::on_tick`] is to be called at the latest.
    pub(super) fn deadline(&self) -> Instant {
        let state = match self.state {
            State::Down { retry } | State::Away { retry } => Some(retry),
            State::Greeting { since, is_told: false } => Some(since + MONITOR_GREETING),
            State::Greeting { is_told: true, .. } | State::Talking => None,
        };
        let answer = self.sent.front().map(|sent| sent.at + MONITOR_ANSWER);
        let unwatched =
            (self.is_conversing() && self.is_watched).then(|| self.slot.viewed_at() + MODE_POLL_IDLE);
        let turn = (self.turn.1 >= PORT_TURN_BYTES).then(|| self.turn.0 + PORT_TURN);
        let due = [state, answer, unwatched, turn].into_iter().flatten().min();
        due.unwrap_or(Instant::from_micros(u64::MAX))
    }

    fn connect(&mut self, now: Instant) {
        let path = match &self.place {
            Place::Path(path) => path.clone(),
            Place::Guest(root, guest) => {
                let name = guest_port(guest);
                match root.ports().into_iter().find(|port| port.name == name) {
                    Some(port) => port.path,
                    None => {
                        self.darken(
                            SurfaceState::Gone,
                            "is not there: attach the guest with lfp-server host",
                        );
                        self.state = State::Down { retry: now + REDISCOVER_INTERVAL };
                        return;
                    }
                }
            }
        };
        match Link::open(&path) {
            Ok(link) => {
                self.link = Some(link);
                self.greet(now);
            }
            Err(error) => {
                self.state = State::Down { retry: now + REDISCOVER_INTERVAL };
                let state = match error.kind() {
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                        SurfaceState::Gone
                    }
                    _ => SurfaceState::Faulty,
                };
                self.darken(state, &format!("cannot be opened: {error}"));
            }
        }
    }

    /// Begins a conversation.
    fn greet(&mut self, now: Instant) {
        self.put_back();
        (self.number, self.nonsense, self.is_watched, self.may_type) = (0, 0, false, true);
        self.state = State::Greeting { since: now, is_told: false };
        let Some(link) = &mut self.link else { return };
        link.begin();
        link.say(&FromAppliance::Hello { version: VERSION });
        self.speak(now);
    }

    /// Takes what the other side said.
    pub(super) fn hear(&mut self, now: Instant, message: Result<FromHost, LineError>) {
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.on_nonsense(now, &error.to_string()),
        };
        let was_greeting = match std::mem::replace(&mut self.state, State::Talking) {
            State::Greeting { since, .. } => now.saturating_since(since) < MONITOR_GREETING,
            _ => false,
        };
        if matches!(message, FromHost::Mode(_) | FromHost::Dark { .. }) {
            self.failures = 0;
        }
        match message {
            FromHost::Hello { version, guest, input, power: _ } => {
                if version != VERSION {
                    let text =
                        format!("speaks version {version} and not {VERSION}: use the same release there");
                    return self.fail(now, &text);
                }
                if self.expected.as_ref().is_some_and(|expected| *expected != guest) {
                    let text =
                        format!("speaks for the guest `{}`, which is another", excerpt(guest.as_bytes()));
                    return self.fail(now, &text);
                }
                if !was_greeting {
                    self.greet(now);
                }
                self.may_type = input;
            }
            FromHost::Mode(mode) => self.take_mode(&mode),
            FromHost::Dark { state, text } => match dark_state(&state) {
                Some(state) => self.screen = Screen::Dark(state, said(&text)),
                None => self.on_nonsense(now, &format!("a state `{}`", excerpt(state.as_bytes()))),
            },
            FromHost::Event { name } => {
                tracing::debug!(port = %self.name(), event = excerpt(name.as_bytes()), "guest's event");
            }
            FromHost::Taken { number } if number <= self.number => self.on_taken(now, number),
            FromHost::Taken { number } => self.on_nonsense(now, &format!("input {number} taken, never sent")),
            FromHost::Refused { number, text } => self.on_refused(number, &text),
        }
    }

    fn take_mode(&mut self, mode: &Mode) {
        let faulty = |text: String| Screen::Dark(SurfaceState::Faulty, text);
        let pci = match mode.pci.as_deref().map(str::parse) {
            None => None,
            Some(Ok(address)) => Some(address),
            Some(Err(_)) => {
                let said = excerpt(mode.pci.as_deref().unwrap_or_default().as_bytes());
                self.screen =
                    faulty(format!("the host's side says that the memory is at `{said}`, no PCI address"));
                return;
            }
        };
        self.screen = surface_of(mode).map_or_else(faulty, Screen::Mode);
        self.pci = pci;
    }

    fn on_nonsense(&mut self, now: Instant, what: &str) {
        self.nonsense += 1;
        // Once is enough for a log, however much is said.
        if self.nonsense == 1 {
            tracing::warn!(port = %self.name(), what = said(what), "the host's side talks nonsense");
        }
        if self.nonsense > PORT_NONSENSE_MAX {
            self.fail(now, &format!("talks nonsense: {}", said(what)));
        }
    }

    fn on_end(&mut self, now: Instant, ended: Ended) {
        self.put_back();
        self.darken(SurfaceState::Connecting, "is away; waiting for it to come back");
        let retry = now + REDISCOVER_INTERVAL;
        self.state = match ended {
            Ended::Away => State::Away { retry },
            Ended::Closed => {
                self.link = None;
                State::Down { retry }
            }
        };
    }

    /// Gives the conversation up and begins another one later, each time in a row after a longer pause.
    fn fail(&mut self, now: Instant, text: &str) {
        self.failures = self.failures.saturating_add(1);
        let pause = REDISCOVER_INTERVAL * 2_u32.pow(self.failures.min(8));
        self.put_back();
        self.link = None;
        self.state = State::Down { retry: now + pause.min(MONITOR_RETRY_MAX) };
        self.darken(SurfaceState::Faulty, text);
    }

    /// Says something of the other side.
    fn darken(&mut self, state: SurfaceState, text: &str) {
        let of = self.name();
        self.screen = Screen::Dark(state, format!("the host's side of port {of} {text}"));
    }

    fn name(&self) -> String {
        match &self.place {
            Place::Guest(_, guest) => guest_port(guest),
            Place::Path(path) => path.display().to_string(),
        }
    }

    // What we say.

    /// Says what there is to say, and sends what there is room for.
    fn speak(&mut self, now: Instant) {
        if !self.is_conversing() {
            return;
        }
        let is_watched = now.saturating_since(self.slot.viewed_at()) < MODE_POLL_IDLE;
        let Some(link) = &mut self.link else { return };
        if is_watched != self.is_watched {
            self.is_watched = is_watched;
            link.say(&FromAppliance::Watch { on: is_watched });
        }
        if self.state == State::Talking {
            self.say_input(now);
        }
        let Some(link) = &mut self.link else { return };
        match link.flush() {
            Ok(()) if link.unsent_bytes() > CHANNEL_LINE_MAX => {
                self.fail(now, "does not read what it is told");
            }
            Ok(()) => {}
            Err(ended) => self.on_end(now, ended),
        }
    }

    fn say_input(&mut self, now: Instant) {
        let slot = Arc::clone(&self.slot);
        let mut queue = slot.queue();
        if queue.is_empty() {
            return;
        }
        let expired = if self.may_type { queue.expire(now) } else { queue.clear() };
        slot.count(0, expired);
        let Some(link) = &mut self.link else { return };
        while self.sent.len() < PORT_INPUT_MAX {
            let Some(waiting) = queue.take() else { break };
            self.number += 1;
            let Size { width, height } = waiting.size();
            let event = Event::from(waiting.input());
            link.say(&FromAppliance::Input { number: self.number, width, height, event });
            self.sent.push_back(Sent { number: self.number, at: now, waiting });
        }
    }

    fn on_taken(&mut self, now: Instant, number: u64) {
        while self.sent.front().is_some_and(|sent| sent.number <= number) {
            let Some(Sent { waiting, .. }) = self.sent.pop_front() else { break };
            self.slot.count(waiting.count(), 0);
            self.slot.report(waiting.number().as_slice(), now);
        }
    }

    fn on_refused(&mut self, number: Option<u64>, text: &str) {
        tracing::debug!(port = %self.name(), ?number, reason = said(text), "refused");
        let Some(at) = self.sent.iter().position(|sent| Some(sent.number) == number) else { return };
        let dropped = self.sent.remove(at).map_or(0, |sent| sent.waiting.count());
        self.slot.count(0, dropped);
    }

    /// What was under way without an answer: releases wait again, before all others.
    fn put_back(&mut self) {
        let unanswered = self.sent.drain(..).map(|sent| sent.waiting);
        let lost = self.slot.queue().return_releases(unanswered);
        self.slot.count(0, lost);
    }

    /// Wants everything released that the guest holds because of us.
    pub(super) fn release_all(&self, now: Instant) {
        let (input, size) = (InputKind::FocusLost, Size { width: 1, height: 1 });
        let action = Action { source: SourceId(0), at: now, input, size, number: None };
        self.slot.queue().push(action);
    }

    /// Whether no input waits that could be sent, or for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.state != State::Talking || (self.sent.is_empty() && self.slot.queue().is_empty())
    }
}

/// The surface that a mode means.
///
/// # Errors
/// In words, why it cannot be.
pub(super) fn surface_of(mode: &Mode) -> Result<Surface, String> {
    let Mode { vram_bytes, width, height, stride_bytes, offset_bytes, format, .. } = *mode;
    let size = Size::new(width, height).ok_or_else(|| {
        format!("the guest claims a screen of {width}x{height} pixels, which none can have")
    })?;
    let surface = Surface { size, stride_bytes, format, offset_bytes };
    if (stride_bytes as usize) < surface.row_bytes() {
        let name = format.name();
        return Err(format!("the guest claims {width} pixels of {name} in a row of {stride_bytes} bytes"));
    }
    let end = surface.end_bytes().ok_or("the guest claims pixels beyond all memory")?;
    if end > vram_bytes {
        return Err(format!(
            "the guest claims pixels up to byte {end} of {vram_bytes} bytes of video memory"
        ));
    }
    Ok(surface)
}

/// Lets the host's side say `bytes` to a conversation that is under way, `step` at a time: how many lines were messages,
/// each mode that was believed with the bytes of video memory that it is in, and the text in the place of the last.
pub(in crate::hypervisor) fn overhear(bytes: &[u8], step: usize) -> (usize, Vec<(Surface, u64)>, String) {
    let nobody = Arc::new(EventFd::new().expect("a descriptor"));
    let reports = Arc::new(Reports::new(|| ()));
    let slot = Slot::new(dark(SurfaceState::Connecting, ""), nobody, reports);
    let mut talk = Talk::new(Place::Path(PathBuf::from("port")), Some("web".to_owned()), Arc::new(slot));
    let (mut lines, mut messages, mut modes) = (Lines::default(), 0, Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        lines.receive(piece, |message: Result<FromHost, LineError>| {
            messages += usize::from(message.is_ok());
            let bytes = match &message {
                Ok(FromHost::Mode(mode)) => Some(mode.vram_bytes),
                _ => None,
            };
            talk.hear(Instant::ZERO, message);
            if let (Some(bytes), Screen::Mode(surface)) = (bytes, &talk.screen) {
                modes.push((*surface, bytes));
            }
        });
    }
    let text = match talk.screen {
        Screen::Mode(_) => String::new(),
        Screen::Dark(_, text) => text,
    };
    (messages, modes, text)
}

fn dark_state(name: &str) -> Option<SurfaceState> {
    use SurfaceState::{Connecting, Faulty, Gone, NoFramebuffer};
    [Connecting, NoFramebuffer, Gone, Faulty].into_iter().find(|state| state.name() == name)
}

/// A text of the other side's, fit to be shown; who shows it cuts it.
fn said(text: &str) -> String {
    text.chars().take(SAID_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const SAID_CHARS: usize = crate::limits::TEXT_MAX;
