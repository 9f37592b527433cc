//! Drives the client until there is reason to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client_lfp::{Client, Config, Look, Picture, State};
use lfp_proto::frame::{CloseReason, ResetReason, SurfaceState};
use lfp_proto::hello::RefuseReason;
use lfp_proto::time::Instant;
use lfp_proto::units::ConnectionId;
use serde_json::Value;

use crate::cli::ask::Question;
use crate::cli::capture::{Capture, Way};
use crate::cli::clock::Clock;
use crate::cli::comeback::Comeback;
use crate::cli::exit::Failure;
use crate::cli::mirror::Mirror;
use crate::cli::options::Options;
use crate::cli::overlay::Overlay;
use crate::cli::progress::Progress;
use crate::cli::script::Script;
use crate::cli::socket::Socket;
use crate::cli::trust::{Trusted, random, security};

/// Longest wait for a datagram: a signal that comes between a look at its flag and the wait is seen after it.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// How long input waits for a complete picture to be proven exact: one in motion never may be.
const EXACT_WAIT: Duration = Duration::from_secs(2);
/// How long an answer of the server is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// When what happened first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Milestones {
    /// Some picture was proven exact.
    pub(crate) exact: Option<Instant>,
    /// The picture was proven exact and stood still from then on, as long as was asked.
    pub(crate) settled: Option<Instant>,
    /// The last picture before the session was closed was proven exact.
    pub(crate) ended_exact: bool,
}

/// A client at work.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    options: &'a Options,
    clock: Clock,
    socket: Socket,
    client: Client,
    trusted: Option<Trusted>,
    script: Script,
    mirror: Option<Mirror>,
    overlay: Option<Overlay>,
    capture: Option<Capture>,
    stop: Arc<AtomicBool>,
    milestones: Milestones,
    /// Since when the picture is exact as it stands.
    exact_since: Option<Instant>,
    progress: Progress,
    comeback: Comeback,
    /// Times that the session went on with another socket.
    sockets_renewed: u64,
    /// Input events that had not been taken when the session was about to be closed.
    input_undone: usize,
    /// When that was.
    ended_at: Instant,
    /// What the server said of the session, if it was asked.
    server: Option<Value>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(options: &'a Options, clock: Clock) -> Result<Self, Failure> {
        let socket = Socket::connect(&options.server, options.receive_buffer)?;
        let config = Config { receive_buffer: socket.receive_buffer(), ..options.config.clone() };
        let mirror = options.mirror.as_deref().map(Mirror::create).transpose()?;
        let capture = options.capture.as_deref().map(|path| Capture::create(path, clock)).transpose()?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(|error| Failure::NoSession(format!("cannot watch for signal {signal}: {error}")))?;
        }
        let (security, trusted) = security(options, clock)?;
        let mut client = Client::new(&config, security, connection_id()?, clock.now());
        client.attend(clock.now(), options.attention);
        Ok(Self {
            options,
            clock,
            client,
            trusted,
            script: Script::new(&options.actions, options.attention, options.type_interval),
            mirror,
            overlay: options.overlay.then(Overlay::default),
            capture,
            stop,
            milestones: Milestones::default(),
            exact_since: None,
            progress: Progress::new(options.quiet, socket.server()),
            comeback: Comeback::new(options.reconnect),
            sockets_renewed: 0,
            input_undone: 0,
            ended_at: clock.now(),
            server: None,
            socket,
        })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// The picture as it is to be written: with the overlay that was asked for, as it was when the session ended.
    pub(crate) fn picture(&mut self) -> Option<Picture<'_>> {
        match &mut self.overlay {
            Some(overlay) => overlay.draw(&self.client, self.ended_at),
            None => self.client.picture(),
        }
    }

    /// Whom the session is sealed with; `None`: it is plain.
    pub(crate) const fn trusted(&self) -> Option<&Trusted> {
        self.trusted.as_ref()
    }

    pub(crate) const fn milestones(&self) -> &Milestones {
        &self.milestones
    }

    /// What the server said of the session, if it was asked.
    pub(crate) const fn server(&self) -> Option<&Value> {
        self.server.as_ref()
    }

    /// What was done otherwise than asked.
    pub(crate) fn warnings(&self) -> &[String] {
        self.script.warnings()
    }

    /// Times that the session went on with another socket.
    pub(crate) const fn sockets_renewed(&self) -> u64 {
        self.sockets_renewed
    }

    /// Sessions that were had after another was lost.
    pub(crate) const fn reconnects(&self) -> u64 {
        self.comeback.times()
    }

    /// Input events that had not been taken when the session was about to be closed.
    pub(crate) const fn input_undone(&self) -> usize {
        self.input_undone
    }

    /// Whether all input reached the guest, as far as the server says.
    pub(crate) fn input_taken(&self) -> Result<(), Failure> {
        let stats = self.client.stats();
        let undone = self.input_undone as u64;
        let (late, denied) = (stats.input_dropped, stats.input_dropped_by_server);
        let why = if denied + undone > 0 && !self.is_live() {
            format!("did not reach the guest: {}", self.why_dark())
        } else if denied > 0 {
            "did not reach the guest: the server dropped them, since another session holds keyboard and mouse (they are \
             free once it has rested for 2 s), or the service takes no input"
                .to_owned()
        } else if late > 0 {
            "may not have reached the guest: the server did not confirm them within 3 s, and nothing is typed later"
                .to_owned()
        } else if undone > 0 {
            "did not reach the guest: time was up; give it more by --seconds".to_owned()
        } else {
            return Ok(());
        };
        Err(Failure::Input(format!("{} input events {why}", denied + late + undone)))
    }

    fn is_live(&self) -> bool {
        self.client.surface().is_some_and(|surface| surface.state == SurfaceState::Live)
    }

    /// What there is where a screen should be.
    fn why_dark(&self) -> String {
        self.client.surface().map_or_else(
            || "the server has not said what there is to show".to_owned(),
            |surface| format!("the screen is {}{}", surface.state.name(), in_words(surface.text)),
        )
    }

    /// Runs until there is reason to end, closes the session, and says whether what was asked for was reached.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let result = self.run_session();
        self.input_undone = self.script.left() + self.client.input_waiting();
        self.milestones.ended_exact = self.client.exact();
        self.ended_at = self.clock.now();
        self.progress.end(&self.client);
        let told = if self.options.server_stats && *self.client.state() == State::Established {
            self.ask("session", ANSWER_WAIT).map(|server| self.server = Some(server))
        } else {
            Ok(())
        };
        self.close();
        let captured = self.capture.as_mut().map_or(Ok(()), Capture::finish);
        let finished = {
            // A picture whose server was lost is not one to be served on as if it still held.
            let keep = !matches!(
                self.client.state(),
                State::TimedOut | State::Unreachable | State::Closed { .. } | State::NoAnswer
            );
            self.mirror.take().map_or(Ok(()), |mirror| mirror.finish(keep))
        };
        result.and(told).and(captured).and(finished)
    }

    fn run_session(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.step()?;
            if let Some(result) = self.ended(now) {
                return result;
            }
            self.receive(self.next_due(now).saturating_since(now))?;
        }
    }

    /// Does what is due, on the network and in files; returns the time.
    fn step(&mut self) -> Result<Instant, Failure> {
        let now = self.turn()?;
        if let Some(mirror) = &mut self.mirror {
            mirror.update(now, &mut self.client, self.overlay.as_mut())?;
            self.client.worked(self.clock.now().saturating_since(now));
        }
        if let Some(capture) = &mut self.capture {
            capture.flush(now)?;
        }
        if let Some(trusted) = &mut self.trusted {
            trusted.follow(&mut self.client, self.clock, self.options.quiet)?;
        }
        self.progress.look(&self.client, now, self.options.limit.is_some());
        Ok(now)
    }

    /// Waits for a datagram, for so long at most.
    fn receive(&mut self, wait: Duration) -> Result<(), Failure> {
        if let Some((codepoint, bytes)) = self.socket.receive(wait.min(WAIT_MAX)) {
            let came_at = self.clock.now();
            self.client.handle_marked(came_at, codepoint, bytes);
            let shown_at = self.clock.now();
            self.client.handle_shown(shown_at);
            self.client.worked(shown_at.saturating_since(came_at));
            if let Some(capture) = &mut self.capture {
                capture.note(self.clock.now(), Way::Down, bytes)?;
            }
        }
        if self.socket.take_refusal() {
            self.client.handle_refused(self.clock.now());
        }
        if self.socket.take_unsendable() {
            self.client.handle_unsendable(self.clock.now());
        }
        Ok(())
    }

    /// The services that the server tells of; ends the session.
    pub(crate) fn directory(&mut self) -> Result<Value, Failure> {
        let wait = self.options.limit.unwrap_or(self.options.config.connect_timeout + ANSWER_WAIT);
        let answered = self.ask("directory", wait);
        self.close();
        let captured = self.capture.as_mut().map_or(Ok(()), Capture::finish);
        answered.and_then(|services| captured.map(|()| services))
    }

    /// Asks the server for what `request` names, once there is a session, and waits for the answer.
    fn ask(&mut self, request: &str, wait: Duration) -> Result<Value, Failure> {
        // What is asked of one session another would not answer.
        self.comeback.give_up();
        let (until, mut asked) = (self.clock.now() + wait, None);
        // What ended the session does not end the last question.
        let heeds_signals = !self.stop.load(Ordering::Relaxed);
        loop {
            if asked.is_none() && *self.client.state() == State::Established {
                asked = Question::ask(&mut self.client, request);
            }
            let now = self.step()?;
            if let Some(failure) = self.lost_session() {
                return Err(failure);
            }
            let answer =
                asked.as_mut().and_then(|asked: &mut Question| asked.look(&mut self.client, request));
            if let Some(answer) = answer {
                return answer
                    .map_err(|error| Failure::NotSettled(format!("{}: {error}", self.socket.server())));
            }
            if now >= until || (heeds_signals && self.stop.load(Ordering::Relaxed)) {
                let server = self.socket.server();
                return Err(Failure::NotSettled(format!(
                    "{server} has not answered the question for its {request:?} in time"
                )));
            }
            let due = self.client.poll_timeout().unwrap_or(until).min(until);
            self.receive(due.saturating_since(now))?;
        }
    }

    /// Does what is due and sends what is to be sent; returns the time.
    fn turn(&mut self) -> Result<Instant, Failure> {
        let now = self.clock.now();
        self.client.handle_timeout(now);
        self.come_back(now)?;
        if let Some(look) = self.client.take_look() {
            self.sockets_renewed += u64::from(self.socket.renew(look));
        }
        while let Some((stream, _)) = self.client.streams().accept() {
            let text = "this client has no use for streams of that kind";
            self.client.streams().reset(stream, ResetReason::UnknownKind, text);
        }
        self.follow_picture(now);
        if self.may_act(now) && *self.client.state() == State::Established {
            self.script.play(now, &mut self.client);
        }
        while let Some(datagram) = self.client.poll_transmit(now) {
            self.socket.send(&datagram);
            if let Some(capture) = &mut self.capture {
                capture.note(now, Way::Up, &datagram)?;
            }
        }
        Ok(now)
    }

    /// Asks for another session where one is lost that the user wants.
    fn come_back(&mut self, now: Instant) -> Result<(), Failure> {
        if self.comeback.look(self.client.state(), now) && !self.options.quiet {
            if let Some(failure) = self.failure() {
                eprintln!("client-lfp: {failure}; asking for another for {:?}", self.options.reconnect);
            }
        }
        let Some(connect_timeout) = self.comeback.take(now) else { return Ok(()) };
        // Another network may lead to the server by now, and what the old socket holds is of no use.
        self.sockets_renewed += u64::from(self.socket.renew(Look::Anyway));
        let receive_buffer = self.socket.receive_buffer();
        let config = Config { receive_buffer, connect_timeout, ..self.options.config.clone() };
        // What was learnt of the server before still holds.
        let (security, _) = security(self.options, self.clock)?;
        let fresh = Client::new(&config, security.clone(), connection_id()?, now);
        let attention = self.client.attention();
        let kept = std::mem::replace(&mut self.client, fresh).kept();
        self.client = Client::returning(&config, security, connection_id()?, now, kept);
        self.client.attend(now, attention);
        Ok(())
    }

    fn follow_picture(&mut self, now: Instant) {
        if self.client.exact() {
            self.exact_since.get_or_insert(now);
            self.milestones.exact.get_or_insert(now);
        } else {
            self.exact_since = None;
        }
    }

    /// Whether input may begin, or has begun.
    fn may_act(&self, now: Instant) -> bool {
        self.milestones.exact.is_some()
            || self.client.painted_at().is_some_and(|painted| now >= painted + EXACT_WAIT)
    }

    /// When the picture counts as settled if it stays as it is.
    fn settled_at(&self) -> Option<Instant> {
        let settle = self.options.settle?;
        let done = self.script.is_done() && self.client.input_waiting() == 0;
        self.exact_since.filter(|_| done).map(|since| since + settle)
    }

    fn next_due(&self, now: Instant) -> Instant {
        let acts = if *self.client.state() != State::Established {
            None
        } else if self.may_act(now) {
            self.script.due(&self.client)
        } else {
            self.client.painted_at().map(|painted| painted + EXACT_WAIT)
        };
        let limit = self.options.limit.map(|limit| Instant::ZERO + limit);
        let mirror = self.mirror.as_ref().map(Mirror::due);
        let capture = self.capture.as_ref().and_then(Capture::due);
        [self.client.poll_timeout(), self.comeback.due(), acts, self.settled_at(), limit, mirror, capture]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + WAIT_MAX)
    }

    /// Whether there is reason to end, and how it went.
    fn ended(&mut self, now: Instant) -> Option<Result<(), Failure>> {
        if let Some(failure) = self.lost_session() {
            return Some(Err(failure));
        }
        if self.settled_at().is_some_and(|at| now >= at) {
            self.milestones.settled = self.exact_since;
            return Some(Ok(()));
        }
        let over = self.options.limit.is_some_and(|limit| now >= Instant::ZERO + limit);
        let stopped = self.stop.load(Ordering::Relaxed);
        (over || stopped).then(|| self.cut_short(stopped))
    }

    /// Why there is no session, unless another may be had.
    fn lost_session(&self) -> Option<Failure> {
        if self.comeback.due().is_some() {
            return None;
        }
        match self.failure()? {
            // It was there, and is not to be had again.
            Failure::NoSession(text) if self.comeback.has_failed() => {
                Some(Failure::Ended(format!("the session was lost, and then there was {text}")))
            }
            failure => Some(failure),
        }
    }

    fn failure(&self) -> Option<Failure> {
        let server = self.socket.server();
        Some(match self.client.state() {
            State::Connecting | State::Established | State::Closing | State::Ended => return None,
            State::NoAnswer if self.socket.refused() => Failure::NoSession(format!(
                "no session with {server}: nothing listens on that port; start `lfp-server serve` there, or \
                 correct the address"
            )),
            State::NoAnswer => Failure::NoSession(format!(
                "no session with {server}: no answer within {:?}; check the address, that UDP passes every \
                 firewall between, and that the server runs",
                if self.comeback.has_failed() {
                    self.options.reconnect
                } else {
                    self.options.config.connect_timeout
                }
            )),
            State::Refused { reason, text } => Failure::NoSession(format!(
                "no session with {server}: refused, {}",
                explained(reason_text(*reason), text)
            )),
            State::WrongKey { expected, found } => {
                return self.trusted.as_ref().map(|trusted| trusted.mismatch(*expected, found));
            }
            State::Closed { reason, text } => Failure::Ended(format!(
                "the session with {server} was closed: {}",
                explained(close_text(*reason), text)
            )),
            State::Unreachable => Failure::Ended(format!(
                "the session with {server} ended: nothing listens on that port any more; start `lfp-server serve` \
                 there again"
            )),
            State::TimedOut => Failure::Ended(format!(
                "the session with {server} ended: nothing was heard of the server for as long as a session waits, or this \
                 machine slept for longer; check that the server runs and can be reached, and connect again"
            )),
        })
    }

    fn cut_short(&self, stopped: bool) -> Result<(), Failure> {
        if self.comeback.has_failed() || self.comeback.due().is_some() {
            let server = self.socket.server();
            return Err(Failure::Ended(format!(
                "the session with {server} was lost, and no other was had so far"
            )));
        }
        if *self.client.state() == State::Connecting {
            return Err(Failure::NoSession(format!("no session with {} so far", self.socket.server())));
        }
        if self.options.settle.is_none() {
            return Ok(());
        }
        let when = if stopped { "when interrupted" } else { "within the time given" };
        let why = if !self.is_live() {
            self.why_dark()
        } else if !self.script.is_done() || self.client.input_waiting() > 0 {
            "not all input has been taken".to_owned()
        } else if self.client.painted_at().is_none() {
            "the picture is not complete".to_owned()
        } else {
            "it keeps changing, or is not proven exact; if that is a caret that blinks, name a shorter --settle; for a \
             screen that never rests, --seconds N without --settle, which takes it as it is after N seconds"
                .to_owned()
        };
        Err(Failure::NotSettled(format!("the picture did not settle {when}: {why}")))
    }

    /// Ends the session in order.
    fn close(&mut self) {
        self.client.close(self.clock.now());
        loop {
            let now = self.clock.now();
            self.client.handle_timeout(now);
            while let Some(datagram) = self.client.poll_transmit(now) {
                self.socket.send(&datagram);
            }
            let Some(due) = self.client.poll_timeout() else { return };
            if let Some((codepoint, bytes)) = self.socket.receive(due.saturating_since(now)) {
                self.client.handle_marked(self.clock.now(), codepoint, bytes);
            }
        }
    }
}

fn connection_id() -> Result<ConnectionId, Failure> {
    random().map(|bytes| ConnectionId(u64::from_le_bytes(bytes)))
}

const fn reason_text(reason: RefuseReason) -> &'static str {
    match reason {
        RefuseReason::PlainNotAllowed => "the server takes sealed sessions only (leave --plain out)",
        RefuseReason::UnknownService => "no such service",
        RefuseReason::Full => "the server is full",
        RefuseReason::Unsupported => "a parameter is not supported",
        RefuseReason::ShuttingDown => "the server is shutting down",
        RefuseReason::WrongKey => "the server has another key",
    }
}

const fn close_text(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Done => "the server is done with it",
        CloseReason::ShuttingDown => "the server is shutting down",
        CloseReason::Idle => "the server had not heard from this client for too long",
        CloseReason::Unknown => "the server does not know it any more, as after a restart; connect again",
        CloseReason::Protocol => "the server found that this client broke the protocol",
    }
}

/// What a reason means, and the words of the other side behind it if they say more.
fn explained(reason: &str, text: &str) -> String {
    if text.starts_with(reason) { text.to_owned() } else { format!("{reason}{}", in_words(text)) }
}

/// `text` behind a colon, if there is any.
pub(crate) fn in_words(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
