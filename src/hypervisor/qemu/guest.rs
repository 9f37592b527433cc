//! One guest as the control thread sees it: a state machine that follows the guest's monitor.
//!
//! | state | is left when |
//! | --- | --- |
//! | `Down` | it is time to try again and the socket takes a connection: `Greeting` |
//! | `Greeting` | the monitor greets: `Negotiating`; it stays silent for too long: `Down` |
//! | `Negotiating` | capabilities, status and kind of pointer are answered: `Finding` |
//! | `Finding` | the display and its memory are found: `Watching` |
//! | `Watching` | the guest resets, its registers or its memory go: `Finding` |
//!
//! From every state but `Down`, a monitor that closes, stays silent or talks nonsense leads to `Down`.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lfp_proto::frame::SurfaceState;
use serde_json::{Value, json};

use super::input::{Batch, Held, take_batch};
use super::slot::{Found, Slot};
use super::story::{Happening, command};
use super::vram::{self, Vram};
use crate::hypervisor::dispi::{self, Display, NoMode, Registers};
use crate::hypervisor::lookup::dark;
use crate::hypervisor::qmp::{Ended, HELD, Message, Monitor, Version, unreachable};
use crate::limits::{
    INPUT_KEY_INTERVAL, MODE_POLL, MODE_POLL_IDLE, MONITOR_ANSWER, MONITOR_GREETING, MONITOR_PATIENCE,
    MONITOR_RETRY_MAX, POINTER_POLL, REDISCOVER_INTERVAL,
};
use crate::time::Instant;

/// A guest and its monitor.
#[derive(Debug)]
pub(in crate::hypervisor) struct Guest {
    path: PathBuf,
    slot: Arc<Slot>,
    state: State,
    monitor: Option<Monitor>,
    /// The question that waits for an answer: one at a time.
    asked: Option<(u64, Question, Instant)>,
    /// The input that waits for an answer: one command at a time.
    sent: Option<(u64, Batch, Instant)>,
    /// The power command that waits for an answer, and its ticket: one at a time.
    ordered: Option<(u64, u64, Instant)>,
    input_at: Instant,
    held: Held,
    is_absolute: bool,
    is_running: bool,
    is_off: bool,
    version: Version,
    /// The process that was behind the monitor when it last greeted.
    pid: Option<u32>,
    failures: u32,
}

#[derive(Clone, Debug)]
enum State {
    Down { retry: Instant },
    Greeting { since: Instant, is_told: bool },
    Negotiating,
    Finding { next: Instant },
    Watching(Watch),
}

/// What is known of a display that is watched.
#[derive(Clone, Debug)]
struct Watch {
    vram: Arc<Vram>,
    /// Where the guest sees the registers.
    address: u64,
    /// When the mode was asked for last.
    polled: Instant,
    /// When kind of pointer and byte order are asked for again.
    slow: Instant,
    registers: Option<Registers>,
    is_big_endian: bool,
    /// Registers that said no mode: only if they say so twice it is believed, because setting a mode leaves it first.
    doubt: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Capabilities,
    Status,
    Devices,
    Mode,
    Order,
    Pointer,
}

#[derive(Debug)]
enum Event {
    Tick,
    Greeted(Version),
    Answered(Question, Result<Value, String>),
    Happened(String),
}

/// What poll said of a guest's socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::hypervisor) struct Readiness {
    /// There is something to read, or an end.
    pub(in crate::hypervisor) readable: bool,
    /// There is room.
    pub(in crate::hypervisor) writable: bool,
}

impl Guest {
    pub(super) fn new(path: PathBuf, slot: Arc<Slot>) -> Self {
        Self {
            path,
            slot,
            state: State::Down { retry: Instant::ZERO },
            monitor: None,
            asked: None,
            sent: None,
            ordered: None,
            input_at: Instant::ZERO,
            held: Held::default(),
            is_absolute: true,
            is_running: true,
            is_off: false,
            version: Version::default(),
            pid: None,
            failures: 0,
        }
    }

    /// Whether nobody watches any more.
    pub(in crate::hypervisor) fn is_closed(&self) -> bool {
        self.slot.is_closed()
    }

    /// The socket, if there is one, and whether room in it is waited for.
    pub(in crate::hypervisor) fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.monitor.as_ref().map(|monitor| (monitor.as_fd(), monitor.wants_room()))
    }

    /// Takes what the socket has. `scratch` bounds how much at a time.
    pub(in crate::hypervisor) fn on_ready(&mut self, now: Instant, ready: Readiness, scratch: &mut [u8]) {
        let Some(monitor) = &mut self.monitor else { return };
        let mut messages = Vec::new();
        let mut outcome = if ready.writable { monitor.flush() } else { Ok(()) };
        if ready.readable {
            outcome = outcome.and(monitor.receive(scratch, |message| messages.push(message)));
        }
        for message in messages {
            self.on_message(now, message);
        }
        if let Err(ended) = outcome {
            self.on_end(now, &ended);
        }
    }

    fn on_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Greeting(version) => self.handle(now, Event::Greeted(version)),
            Message::Event(name) => {
                self.tell(Happening::Event(name.clone()));
                self.handle(now, Event::Happened(name));
            }
            Message::Answer(id, outcome) => {
                if let Some((_, question, _)) = self.asked.take_if(|(asked, ..)| *asked == id) {
                    self.handle(now, Event::Answered(question, outcome));
                } else if let Some((_, batch, _)) = self.sent.take_if(|(sent, ..)| *sent == id) {
                    self.on_input_answered(now, batch, outcome);
                } else if let Some((_, ticket, _)) = self.ordered.take_if(|(sent, ..)| *sent == id) {
                    self.tell(Happening::Ordered(ticket, outcome.map(drop)));
                }
            }
        }
    }

    /// Does what time asks for. To be called whenever [`Guest::deadline`] has come, and after every wake-up.
    pub(in crate::hypervisor) fn on_tick(&mut self, now: Instant) {
        let is_late = |at: Instant| now.saturating_since(at) >= MONITOR_ANSWER;
        let asked = self.asked.as_ref().map(|(.., at)| *at);
        let sent = self.sent.as_ref().map(|(.., at)| *at);
        let ordered = self.ordered.map(|(.., at)| at);
        if asked.into_iter().chain(sent).chain(ordered).any(is_late) {
            let limit = MONITOR_ANSWER.as_secs();
            let text = format!("has not answered for {limit} s: its QEMU is stopped or very busy");
            self.fail(now, SurfaceState::Connecting, &text);
        }
        self.handle(now, Event::Tick);
        self.send_input(now);
        self.send_order(now);
    }

    /// When [`Guest::on_tick`] is to be called at the latest.
    pub(in crate::hypervisor) fn deadline(&self) -> Instant {
        let answer = self.asked.as_ref().map(|(.., at)| *at + MONITOR_ANSWER);
        let due = match &self.state {
            State::Down { retry } => Some(*retry),
            State::Greeting { since, is_told: false } => Some(*since + MONITOR_GREETING),
            State::Greeting { since, is_told: true } => Some(*since + MONITOR_PATIENCE),
            State::Negotiating => None,
            State::Finding { next } => Some(*next).filter(|_| self.asked.is_none()),
            State::Watching(watch) => Some(self.next_poll(watch)).filter(|_| self.asked.is_none()),
        };
        let sent = self.sent.as_ref().map(|(.., at)| *at + MONITOR_ANSWER);
        let waits = self.sent.is_none() && !self.slot.queue().is_empty();
        // If nothing can be sent, look again when something may have grown too old.
        let pause = if self.takes_input() { Duration::ZERO } else { REDISCOVER_INTERVAL };
        let input = waits.then(|| self.input_at + pause);
        let ordered = self.ordered.map(|(.., at)| at + MONITOR_ANSWER);
        [answer, due, sent, ordered, input]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Instant::from_micros(u64::MAX))
    }

    fn handle(&mut self, now: Instant, event: Event) {
        let next = match (&self.state, event) {
            (State::Down { retry }, Event::Tick) if now >= *retry => self.connect(now),
            (State::Greeting { since, .. }, Event::Tick) => self.wait_for_greeting(now, *since),
            (State::Greeting { .. }, Event::Greeted(version)) => {
                self.version = version;
                self.ask(now, Question::Capabilities, "qmp_capabilities", None);
                Some(State::Negotiating)
            }
            (State::Negotiating, Event::Answered(Question::Capabilities, Ok(_))) => {
                self.ask(now, Question::Status, "query-status", None);
                None
            }
            (State::Negotiating, Event::Answered(Question::Status, Ok(status))) => {
                self.is_running = status["running"] == true || status["status"] == "suspended";
                self.is_off = status["status"] == "shutdown";
                if self.is_off {
                    self.publish_dark(SurfaceState::Gone, POWERED_OFF);
                }
                self.ask(now, Question::Pointer, "query-mice", None);
                None
            }
            (State::Negotiating, Event::Answered(Question::Pointer, Ok(mice))) => {
                self.take_mice(&mice);
                Some(State::Finding { next: now })
            }
            (State::Finding { next }, Event::Tick) if now >= *next && self.asked.is_none() => {
                self.ask(now, Question::Devices, "query-pci", None);
                None
            }
            (State::Finding { .. }, Event::Answered(Question::Devices, Ok(pci))) => {
                Some(self.find(now, &pci))
            }
            (State::Watching(_), Event::Tick) if self.slot.take_loss() => {
                Some(State::Finding { next: now + REDISCOVER_INTERVAL })
            }
            (State::Watching(watch), Event::Tick) => {
                let watch = watch.clone();
                self.ask_display(now, watch)
            }
            (State::Watching(watch), Event::Answered(question, Ok(answer))) => {
                let watch = watch.clone();
                Some(self.watch(now, watch, question, &answer))
            }
            (state, Event::Happened(name)) if !matches!(state, State::Down { .. }) => self.follow(now, &name),
            (
                State::Negotiating | State::Finding { .. } | State::Watching(_),
                Event::Answered(question, Err(reason)),
            ) => {
                let text = format!("refuses a command ({question:?}): {reason}");
                self.fail(now, SurfaceState::Faulty, &text);
                None
            }
            _ => None,
        };
        // A command that could not be given has led to `Down` already, where the state stays.
        if let Some(next) = next.filter(|next| self.monitor.is_some() || matches!(next, State::Down { .. })) {
            self.state = next;
        }
    }

    fn connect(&mut self, now: Instant) -> Option<State> {
        match Monitor::connect(&self.path) {
            Ok(monitor) => {
                if self.pid.is_some() && self.pid != monitor.pid() {
                    self.forget_input();
                }
                self.pid = monitor.pid();
                self.monitor = Some(monitor);
                Some(State::Greeting { since: now, is_told: false })
            }
            Err(error) => {
                let (state, text) = unreachable(&self.path, &error);
                // A guest that has been there is gone, which has been said.
                if !(state == SurfaceState::Gone && self.pid.is_some()) {
                    self.say(state, &text);
                }
                Some(State::Down { retry: now + REDISCOVER_INTERVAL })
            }
        }
    }

    fn wait_for_greeting(&mut self, now: Instant, since: Instant) -> Option<State> {
        let silence = now.saturating_since(since);
        if silence >= MONITOR_GREETING {
            let text = format!("did not greet within {} s: {HELD}", MONITOR_GREETING.as_secs());
            self.say(SurfaceState::Connecting, &text);
        }
        if silence >= MONITOR_PATIENCE {
            // Another QEMU may listen at this path by now.
            self.monitor = None;
            return Some(State::Down { retry: now + REDISCOVER_INTERVAL });
        }
        Some(State::Greeting { since, is_told: silence >= MONITOR_GREETING })
    }

    /// The display and its memory, or a state that says what is missing.
    fn find(&mut self, now: Instant, pci: &Value) -> State {
        let missing = State::Finding { next: now + REDISCOVER_INTERVAL };
        let display = match dispi::find_display(pci) {
            Ok(Some(display)) => display,
            Ok(None) => {
                self.publish_dark(SurfaceState::NoFramebuffer, NO_DISPLAY);
                return missing;
            }
            Err(error) => {
                self.say(SurfaceState::Faulty, &error.to_string());
                return missing;
            }
        };
        match (display, vram::open(self.pid, self.version, &display)) {
            (_, Err(error)) => {
                self.publish_dark(SurfaceState::NoFramebuffer, &error.to_string());
                missing
            }
            (Display { registers: None, .. }, Ok(vram)) => {
                self.slot.story().set_memory(Some(Arc::new(vram)));
                self.publish_dark(SurfaceState::NoFramebuffer, &NoMode::NotDispi.to_string());
                missing
            }
            (Display { registers: Some(address), .. }, Ok(vram)) => {
                let vram = Arc::new(vram);
                self.slot.story().set_memory(Some(Arc::clone(&vram)));
                State::Watching(Watch {
                    vram,
                    address,
                    polled: Instant::ZERO,
                    slow: now,
                    registers: None,
                    is_big_endian: false,
                    doubt: false,
                })
            }
        }
    }

    fn ask_display(&mut self, now: Instant, watch: Watch) -> Option<State> {
        if self.asked.is_some() || now < self.next_poll(&watch) {
            return None;
        }
        if now >= watch.slow && watch.registers.is_some() {
            self.ask(now, Question::Pointer, "query-mice", None);
            return Some(State::Watching(Watch { slow: now + POINTER_POLL, ..watch }));
        }
        self.ask_human(now, Question::Mode, &dispi::read_mode_command(watch.address));
        Some(State::Watching(Watch { polled: now, ..watch }))
    }

    /// When the mode is to be asked for again: more often while somebody looks.
    fn next_poll(&self, watch: &Watch) -> Instant {
        let is_viewed = watch.polled.saturating_since(self.slot.viewed_at()) < MODE_POLL_IDLE;
        watch.polled + if is_viewed { MODE_POLL } else { MODE_POLL_IDLE }
    }

    /// Takes an answer while a display is watched.
    fn watch(&mut self, now: Instant, mut watch: Watch, question: Question, answer: &Value) -> State {
        match question {
            Question::Mode => return self.take_mode(now, watch, answer.as_str().unwrap_or_default()),
            Question::Order => {
                let is_big_endian = dispi::parse_order(answer.as_str().unwrap_or_default());
                watch.is_big_endian = is_big_endian;
                self.publish_mode(&watch);
            }
            Question::Pointer => {
                self.take_mice(answer);
                self.ask_human(now, Question::Order, &dispi::read_order_command(watch.address));
            }
            Question::Capabilities | Question::Status | Question::Devices => {}
        }
        State::Watching(watch)
    }

    /// Learns whether the pointer that the guest uses now takes absolute positions.
    fn take_mice(&mut self, mice: &Value) {
        let mut mice = mice.as_array().into_iter().flatten();
        let current = mice.find(|mouse| mouse["current"] == true);
        self.is_absolute = current.is_none_or(|mouse| mouse["absolute"] == true);
    }

    fn take_mode(&mut self, now: Instant, mut watch: Watch, printed: &str) -> State {
        let registers = match Registers::parse(printed) {
            Ok(registers) => registers,
            Err(_) if self.slot.is_live() && !watch.doubt => {
                return State::Watching(Watch { doubt: true, ..watch });
            }
            Err(reason) => {
                self.publish_dark(SurfaceState::NoFramebuffer, &reason.to_string());
                return State::Finding { next: now + REDISCOVER_INTERVAL };
            }
        };
        self.failures = 0;
        if watch.registers == Some(registers) {
            watch.doubt = false;
            return State::Watching(watch);
        }
        match registers.surface(watch.vram.device, watch.is_big_endian, watch.vram.bytes) {
            Err(NoMode::Transient) => return State::Watching(watch),
            Err(_) if self.slot.is_live() && !watch.doubt => {
                return State::Watching(Watch { doubt: true, ..watch });
            }
            _ => {}
        }
        (watch.registers, watch.doubt) = (Some(registers), false);
        self.ask_human(now, Question::Order, &dispi::read_order_command(watch.address));
        State::Watching(watch)
    }

    fn publish_mode(&self, watch: &Watch) {
        let Some(registers) = watch.registers.filter(|_| !self.is_off) else { return };
        match registers.surface(watch.vram.device, watch.is_big_endian, watch.vram.bytes) {
            Ok(surface) => {
                if self.slot.publish(Found::Live(Arc::clone(&watch.vram), surface)) {
                    tracing::debug!(monitor = %self.path.display(), ?surface, "guest's mode");
                }
            }
            Err(reason @ (NoMode::Depth(_) | NoMode::Size(..) | NoMode::Beyond { .. })) => {
                self.publish_dark(SurfaceState::Faulty, &reason.to_string());
            }
            Err(reason) => self.publish_dark(SurfaceState::NoFramebuffer, &reason.to_string()),
        }
    }

    /// Follows what happened to the guest.
    fn follow(&mut self, now: Instant, name: &str) -> Option<State> {
        match name {
            "STOP" => self.is_running = false,
            "RESUME" => self.is_running = true,
            "SHUTDOWN" => {
                self.is_off = true;
                self.publish_dark(SurfaceState::Gone, POWERED_OFF);
            }
            _ => {}
        }
        let starts_anew = name == "RESET" || (name == "RESUME" && self.is_off);
        if !starts_anew || !matches!(self.state, State::Finding { .. } | State::Watching(_)) {
            return None;
        }
        self.is_off = false;
        // An answer that is under way belongs to the time before.
        self.asked = None;
        Some(State::Finding { next: now })
    }

    fn on_end(&mut self, now: Instant, ended: &Ended) {
        match ended {
            Ended::Closed => {
                let pid = self.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                self.disconnect(now, REDISCOVER_INTERVAL);
                self.slot.story().set_memory(None);
                let text = format!(
                    "the guest's QEMU{pid} has ended or closed its monitor; waiting for it to come back"
                );
                self.publish_dark(SurfaceState::Gone, &text);
            }
            Ended::Nonsense(nonsense) => self.fail(now, SurfaceState::Faulty, &format!("said {nonsense}")),
        }
    }

    /// Gives the connection up and tries again later, each time in a row after a longer pause.
    fn fail(&mut self, now: Instant, state: SurfaceState, text: &str) {
        self.failures = self.failures.saturating_add(1);
        let pause = REDISCOVER_INTERVAL * 2_u32.pow(self.failures.min(8));
        self.disconnect(now, pause.min(MONITOR_RETRY_MAX));
        self.say(state, text);
    }

    fn disconnect(&mut self, now: Instant, pause: Duration) {
        self.monitor = None;
        self.asked = None;
        if let Some((_, batch, _)) = self.sent.take() {
            self.put_back(batch);
        }
        if let Some((_, ticket, _)) = self.ordered.take() {
            self.tell(Happening::Ordered(ticket, Err(NOT_CONNECTED.to_owned())));
        }
        self.state = State::Down { retry: now + pause };
    }

    fn ask(&mut self, now: Instant, question: Question, command: &str, arguments: Option<Value>) {
        let Some(monitor) = &mut self.monitor else { return };
        match monitor.command(command, arguments) {
            Ok(id) => self.asked = Some((id, question, now)),
            Err(ended) => self.on_end(now, &ended),
        }
    }

    fn ask_human(&mut self, now: Instant, question: Question, line: &str) {
        self.ask(now, question, "human-monitor-command", Some(json!({ "command-line": line })));
    }

    /// Says something of the monitor.
    fn say(&self, state: SurfaceState, text: &str) {
        self.publish_dark(state, &format!("the monitor at {} {text}", self.path.display()));
    }

    fn publish_dark(&self, state: SurfaceState, text: &str) {
        if self.slot.publish(Found::Dark(dark(state, text))) {
            tracing::info!(monitor = %self.path.display(), state = state.name(), "{text}");
        }
    }

    fn tell(&self, happening: Happening) {
        self.slot.story().tell(happening);
        self.slot.tell_follower();
    }

    // Power.

    fn send_order(&mut self, now: Instant) {
        let is_ready = matches!(self.state, State::Finding { .. } | State::Watching(_));
        while self.ordered.is_none() {
            let Some((ticket, power)) = self.slot.story().next_order() else { return };
            match self
                .monitor
                .as_mut()
                .filter(|_| is_ready)
                .map(|monitor| monitor.command(command(power), None))
            {
                Some(Ok(id)) => self.ordered = Some((id, ticket, now)),
                Some(Err(ended)) => {
                    self.tell(Happening::Ordered(ticket, Err(NOT_CONNECTED.to_owned())));
                    return self.on_end(now, &ended);
                }
                None => self.tell(Happening::Ordered(ticket, Err(NOT_CONNECTED.to_owned()))),
            }
        }
    }

    // Input.

    /// Wants everything released that the guest holds because of us.
    pub(in crate::hypervisor) fn release_all(&mut self, now: Instant) {
        let input = lfp_proto::frame::InputKind::FocusLost;
        let size = crate::geometry::Size { width: 1, height: 1 };
        let source = crate::hypervisor::SourceId(0);
        self.slot.queue().push(crate::hypervisor::Action { source, at: now, input, size, number: None });
    }

    /// Whether no input waits that could be sent.
    pub(in crate::hypervisor) fn is_idle(&self) -> bool {
        self.sent.is_none() && (!self.takes_input() || self.slot.queue().is_empty())
    }

    fn takes_input(&self) -> bool {
        self.is_running && matches!(self.state, State::Finding { .. } | State::Watching(_))
    }

    fn send_input(&mut self, now: Instant) {
        let slot = Arc::clone(&self.slot);
        let mut queue = slot.queue();
        if queue.is_empty() || self.sent.is_some() || now < self.input_at {
            return;
        }
        slot.count(0, queue.expire(now));
        if !self.takes_input() {
            self.input_at = now;
            return;
        }
        let batch = take_batch(&mut queue, &mut self.held, self.is_absolute);
        drop(queue);
        self.input_at = now + INPUT_KEY_INTERVAL * batch.changes;
        if batch.events.is_empty() {
            slot.count(batch.actions, 0);
            return;
        }
        let Some(monitor) = &mut self.monitor else { return self.put_back(batch) };
        match monitor.command("input-send-event", Some(json!({ "events": batch.events }))) {
            Ok(id) => self.sent = Some((id, batch, now)),
            Err(ended) => {
                self.put_back(batch);
                self.on_end(now, &ended);
            }
        }
    }

    fn on_input_answered(&mut self, now: Instant, batch: Batch, outcome: Result<Value, String>) {
        match outcome {
            Ok(_) => {
                self.slot.count(batch.actions, 0);
                self.slot.report(&batch.numbers, now);
            }
            Err(reason) if reason.contains("not running") => {
                // RESUME says when it runs again; releases wait for that.
                self.is_running = false;
                self.put_back(batch);
            }
            Err(reason) => {
                tracing::debug!(monitor = %self.path.display(), reason, "input refused");
                self.slot.count(0, batch.actions);
            }
        }
    }

    fn put_back(&mut self, batch: Batch) {
        let (releases, dropped) = batch.failed();
        self.slot.queue().put_back(releases);
        self.slot.count(0, dropped);
    }

    fn forget_input(&mut self) {
        self.held.clear();
        let dropped = self.slot.queue().clear();
        self.slot.count(0, dropped);
    }
}

const NOT_CONNECTED: &str = "the guest's monitor is not connected";
const NO_DISPLAY: &str =
    "the guest has no display with Bochs registers: give it -device VGA or -device bochs-display";
const POWERED_OFF: &str = "the guest has powered off; start it again to see it here";
