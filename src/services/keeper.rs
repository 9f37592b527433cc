//! The thread of the control channel. Whatever the other side does, it waits here and nowhere else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::catalogue::{Catalogue, Deed, Opening, cut};
use super::conversation::Conversation;
use super::endpoint::{Endpoint, EndpointError, Opened};
use super::status::{self, statuses};
use crate::channel::VERSION;
use crate::channel::control::{Command, FromAppliance, Request, ServiceStatus, Status};
use crate::clock;
use crate::hypervisor::{self, Control};
use crate::limits::{
    CONTROL_CONVERSATIONS_MAX, CONTROL_FAULT_MAX, CONTROL_LEFT_MAX, CONTROL_NEWS_INTERVAL,
    CONTROL_READ_BYTES, CONTROL_RECHECK,
};
use crate::output::{Order, Orders, Report, ServicesBoard};
use crate::time::Instant;

/// What the control channel has to do with.
#[derive(Debug)]
pub struct Premises {
    /// What is served when it begins.
    pub catalogue: Catalogue,
    /// Who does what it says.
    pub orders: Orders,
    /// Who follows guests.
    pub control: Control,
    /// What clients know the server by.
    pub fingerprint: String,
    /// The address that it listens on.
    pub listen: String,
    /// Where it is said how services are, for the file of statistics.
    pub board: ServicesBoard,
}

/// The running thread. It ends with the network thread, and is waited for when this is dropped.
#[derive(Debug)]
pub struct Keeper(Option<JoinHandle<()>>);

impl Keeper {
    /// Listens at `endpoint`, or looks for the port there again and again, and does what is said.
    ///
    /// # Errors
    /// If the socket cannot be made, or the system has no thread left.
    pub fn start(endpoint: &Endpoint, premises: Premises) -> Result<Self, EndpointError> {
        let opened = endpoint.open()?;
        let now = clock::now();
        let room = Room {
            premises,
            opened,
            talks: Vec::new(),
            report: Report::default(),
            statuses: BTreeMap::new(),
            news_at: Some(now),
            look_at: now,
        };
        let thread = thread::Builder::new().name("lfp-services".to_owned());
        Ok(Self(Some(thread.spawn(move || room.run().unwrap_or_default())?)))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.0.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the control channel has panicked; please report this");
        }
    }
}

/// What the thread owns.
struct Room {
    premises: Premises,
    opened: Opened,
    talks: Vec<Talk>,
    report: Report,
    /// As they were said last to whoever listened.
    statuses: BTreeMap<String, ServiceStatus>,
    /// When what sources show is looked at next, because it has changed.
    news_at: Option<Instant>,
    /// When it is looked next whether a port is there, or somebody at its other end.
    look_at: Instant,
}

/// Somebody who may say something.
#[derive(Debug)]
struct Talk {
    stream: File,
    conversation: Conversation,
    /// Nobody is at the other end now.
    is_hung: bool,
    /// It is of no more use.
    is_over: bool,
}

impl Room {
    /// Runs until the network thread has ended: `None`.
    fn run(mut self) -> Option<()> {
        loop {
            let now = clock::now();
            self.look(now);
            if self.news_at.is_some_and(|at| at <= now) {
                self.news_at = None;
                self.order(Order::Report)?;
            }
            for at in 0..self.talks.len() {
                self.reply(at)?;
            }
            self.talks.iter_mut().for_each(Talk::write);
            self.talks.retain(|talk| !talk.is_over);
            self.wait(clock::now());
        }
    }

    /// Opens a port that is there now, and notices who has come to its other end.
    fn look(&mut self, now: Instant) {
        let Opened::Port(port) = &mut self.opened else { return };
        if now < self.look_at {
            return;
        }
        if self.talks.is_empty() {
            self.talks.extend(port.open().map(|stream| Talk::new(stream, now)));
        }
        for talk in self.talks.iter_mut().filter(|talk| talk.is_hung) {
            talk.listen(now, &hello(&self.premises.catalogue));
        }
        self.look_at = now + CONTROL_RECHECK;
    }

    /// Answers what a conversation has asked for, as much of it as it may.
    fn reply(&mut self, at: usize) -> Option<()> {
        while let Some((request, begins)) = self.talks[at].conversation.next(clock::now()) {
            if begins {
                let hello = hello(&self.premises.catalogue);
                self.talks[at].conversation.say(&hello);
            }
            let attached = match &request.command {
                Command::Attach { service, .. } => Some(service.clone()),
                _ => None,
            };
            let answer = self.answer(request)?;
            let is_done = matches!(answer, FromAppliance::Done { .. });
            self.talks[at].conversation.say(&answer);
            if let Some(service) = attached.filter(|_| is_done) {
                self.talks[at].conversation.owe(&service);
            }
        }
        while let Some(name) = self.talks[at].conversation.owed() {
            if let Some(status) = self.statuses.get(&name) {
                self.talks[at].conversation.say(&FromAppliance::Service(status.clone()));
            }
        }
        Some(())
    }

    fn answer(&mut self, request: Request) -> Option<FromAppliance> {
        let Request { id, command } = request;
        let catalogue = &mut self.premises.catalogue;
        let deeds = match command {
            Command::Attach { service, source, input } => catalogue.attach(&service, &source, input),
            Command::Detach { service } => catalogue.detach(&service),
            Command::Configure { config } => catalogue.configure(config),
            Command::Status {} => {
                self.order(Order::Report)?;
                return Some(status::answer(id, self.status()));
            }
        };
        let outcome = match deeds {
            Ok(deeds) => self.carry_out(deeds)?,
            Err(text) => Err(text),
        };
        Some(match outcome {
            Ok(()) => FromAppliance::Done { id },
            Err(text) => {
                let text = cut(&text, CONTROL_FAULT_MAX);
                tracing::warn!(text, "a request on the control channel was refused");
                FromAppliance::Error { id: Some(id), text }
            }
        })
    }

    fn carry_out(&mut self, deeds: Vec<Deed>) -> Option<Result<(), String>> {
        let mut outcome = Ok(());
        for deed in deeds {
            let refused = match deed {
                Deed::End { name, why } => self.order(Order::End { name, why })?,
                Deed::Settle(settings) => self.order(Order::Settle(settings))?,
                Deed::Open(Opening { name, service, sources }) => {
                    let control = &self.premises.control;
                    let opened = sources.iter().map(|(id, spec)| (*id, hypervisor::open(spec, *id, control)));
                    let order = Order::Open { name: name.clone(), service, sources: opened.collect() };
                    let refused = self.order(order)?;
                    if refused.is_some() {
                        self.premises.catalogue.forget(&name);
                    }
                    refused
                }
            };
            if let Some(text) = refused {
                outcome = Err(text);
            }
        }
        Some(outcome)
    }

    /// Has the network thread do something, and tells everybody what that, or time, has changed. Gives what was refused.
    fn order(&mut self, order: Order) -> Option<Option<String>> {
        self.report = self.premises.orders.give(order)?;
        let now = statuses(&self.premises.catalogue, &self.report);
        let is_same = |was: &ServiceStatus, is: &ServiceStatus| {
            (&was.state, &was.text, &was.source) == (&is.state, &is.text, &is.source)
        };
        for (name, status) in &now {
            if !self.statuses.get(name).is_some_and(|was| is_same(was, status)) {
                self.talks.iter_mut().for_each(|talk| talk.conversation.owe(name));
            }
        }
        self.statuses = now;
        self.premises.board.set(status::figures(self.statuses.values()));
        Some(self.report.refused.take())
    }

    fn status(&self) -> Status {
        let Premises { catalogue, fingerprint, listen, .. } = &self.premises;
        Status {
            program: program(),
            fingerprint: fingerprint.clone(),
            listen: listen.clone(),
            sessions: self.report.sessions,
            memory_bytes: status::memory_bytes(),
            error: catalogue.error().map(str::to_owned),
            services: self.statuses.values().cloned().collect(),
            services_left_out: 0,
        }
    }

    /// Waits for anybody to say something, or for the next deadline; takes in what was said.
    fn wait(&mut self, now: Instant) {
        let is_port = matches!(self.opened, Opened::Port(_));
        let Self { premises, opened, talks, news_at, look_at, .. } = self;
        let mut fds = vec![PollFd::new(premises.orders.as_fd(), PollFlags::POLLIN)];
        let (mut until, mut listens) = (*news_at, false);
        match opened {
            Opened::Listener(listening) if talks.len() < CONTROL_CONVERSATIONS_MAX => {
                fds.push(PollFd::new(listening.listener.as_fd(), PollFlags::POLLIN));
                listens = true;
            }
            Opened::Listener(_) => {}
            Opened::Port(_) if talks.iter().all(|talk| !talk.is_hung) && !talks.is_empty() => {}
            Opened::Port(_) => until = until.into_iter().chain([*look_at]).min(),
        }
        let mut waited = Vec::new();
        for (at, talk) in talks.iter().enumerate().filter(|(_, talk)| !talk.is_hung) {
            until = until.into_iter().chain(talk.conversation.deadline(now)).min();
            let flags = talk.flags(now);
            // A socket that is asked for nothing would say that the other side is gone, again and again. A port is left then.
            if is_port || !flags.is_empty() {
                fds.push(PollFd::new(talk.stream.as_fd(), flags));
                waited.push(at);
            }
        }
        let timeout = until.map(|until| TimeSpec::from(until.saturating_since(clock::now())));
        if let Err(errno) = ppoll(&mut fds, timeout, None) {
            if errno != Errno::EINTR {
                tracing::error!(%errno, "the thread of the control channel cannot wait");
            }
            return;
        }
        let ready: Vec<_> = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect();
        drop(fds);
        let now = clock::now();
        if !ready[0].is_empty() {
            premises.orders.settle();
            *news_at = news_at.or(Some(now + CONTROL_NEWS_INTERVAL));
        }
        let others = &ready[1 + usize::from(listens)..];
        for (at, events) in waited.into_iter().zip(others) {
            let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
            if talks[at].conversation.wants_bytes(now) && events.intersects(PollFlags::POLLIN | gone) {
                talks[at].read(now, is_port);
            } else if events.intersects(gone) {
                talks[at].leave(is_port);
            }
        }
        if let (Opened::Listener(listening), true) = (opened, listens && !ready[1].is_empty()) {
            if let Some(stream) = listening.accept() {
                let mut talk = Talk::new(stream, now);
                talk.is_hung = false;
                talk.conversation.begin(&hello(&premises.catalogue));
                talks.push(talk);
            }
        }
    }
}

impl Talk {
    /// Somebody who has not been there yet.
    fn new(stream: File, now: Instant) -> Self {
        Self { stream, conversation: Conversation::new(now), is_hung: true, is_over: false }
    }

    fn flags(&self, now: Instant) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.conversation.wants_bytes(now));
        flags.set(PollFlags::POLLOUT, !self.conversation.unread().is_empty());
        flags
    }

    /// Takes in what has come.
    fn read(&mut self, now: Instant, is_port: bool) {
        let mut bytes = [0; CONTROL_READ_BYTES];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.leave(is_port),
            Ok(count) => self.conversation.receive(now, &bytes[..count]),
            Err(error) => self.fail(&error),
        }
    }

    /// Begins, if somebody has come to the other end of a port.
    fn listen(&mut self, now: Instant, hello: &FromAppliance) {
        let mut bytes = [0; CONTROL_READ_BYTES];
        let come = match self.stream.read(&mut bytes) {
            // Nobody has.
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return self.fail(&error),
        };
        self.is_hung = false;
        self.conversation.begin(hello);
        self.conversation.receive(now, &bytes[..come]);
    }

    /// Nobody is at the other end any more. A port stays: somebody may open that again.
    fn leave(&mut self, is_port: bool) {
        *(if is_port { &mut self.is_hung } else { &mut self.is_over }) = true;
        // What is still in it could not be answered as fast as it came, and whoever comes next would have to wait for the end of it.
        let mut bytes = [0; CONTROL_READ_BYTES];
        for _ in 0..CONTROL_LEFT_MAX / CONTROL_READ_BYTES {
            if !is_port || !matches!(self.stream.read(&mut bytes), Ok(count) if count > 0) {
                break;
            }
        }
    }

    /// Has as much written as is taken.
    fn write(&mut self) {
        while !self.is_hung && !self.is_over && !self.conversation.unread().is_empty() {
            match self.stream.write(self.conversation.unread()) {
                Ok(0) => return,
                Ok(count) => self.conversation.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            tracing::debug!(%error, "a conversation on the control channel ends");
            self.is_over = true;
        }
    }
}

fn program() -> String {
    format!("lfp-server {}", env!("CARGO_PKG_VERSION"))
}

fn hello(catalogue: &Catalogue) -> FromAppliance {
    FromAppliance::Hello { version: VERSION, program: program(), error: catalogue.error().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_a_flood_has_left_in_a_port_is_nobody_else_s() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        for side in [&ours, &theirs] {
            side.set_nonblocking(true).expect("set");
        }
        let mut talk = Talk::new(File::from(OwnedFd::from(ours)), Instant::ZERO);
        let flood = b"{\"id\":1,\"do\":{\"status\":{}}}\n".repeat(1_000);
        while matches!(theirs.write(&flood), Ok(count) if count > 0) {}
        talk.leave(true);
        assert!(talk.is_hung && !talk.is_over);
        let rest = talk.stream.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(rest, Err(ErrorKind::WouldBlock), "nothing is left");
    }
}
