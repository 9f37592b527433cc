//! The process: one loop that waits for ports, commands, guests and appliances at once.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use super::appliance::{Appliance, Job, Report, Resumed, Wanted};
use super::commands::Commands;
use super::config::bad_name;
use super::dir::unusable;
use super::guests::PortId;
use super::memory::{KnownAppliance, Memory};
use super::port::{Place, THROTTLED};
use super::switch::Switch;
use super::words::{Answer, ApplianceStatus, Attach, HostStatus, Order};
use super::{HostConfig, HostDir, HostError};
use crate::channel::is_guest_name;
use crate::clock;
use crate::hypervisor::Control;
use crate::hypervisor::discover::discover;
use crate::limits::{DISCOVER_INTERVAL, HOST_APPLIANCES_MAX};
use crate::output::StopSignals;
use crate::time::Instant;

/// The host's side, running.
#[derive(Debug)]
pub struct Host {
    dir: HostDir,
    switch: Switch,
    commands: Commands,
    /// By name; those that something is attached to, or being so.
    appliances: BTreeMap<String, Appliance>,
    memory: Memory,
    /// Orders under way, by ticket.
    waiting: BTreeMap<u64, Waiting>,
    reports: Receiver<Report>,
    tell: Sender<Report>,
    waker: Arc<EventFd>,
    tickets: u64,
    discovers: bool,
    discover_at: Instant,
    /// Orders wait until then for guests that have not been looked at yet: whoever starts this and gives an order at once
    /// would be told that there is nothing to give.
    first_look_until: Instant,
}

/// An order that an appliance's thread has.
#[derive(Debug)]
struct Waiting {
    client: u64,
    appliance: String,
    guest: String,
}

/// What something that can be waited for belongs to.
#[derive(Clone, Copy)]
enum Token {
    Waker,
    Stop,
    Commands,
    Client(u64),
    Listener(PortId),
    Port(PortId),
}

/// How often guests' states are told while an appliance is connected, at least.
const TICK: Duration = Duration::from_millis(200);
/// Longest time for the first look at the guests' monitors.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Bytes that are read of one connection before the others get their turn.
const READ_BYTES: usize = 16 * 1024;

impl Host {
    /// Follows the guests and opens the ports that `config` names.
    ///
    /// # Errors
    /// If there is nothing to do, another process has the directory, or the system has no thread or descriptor left.
    pub fn start(config: &HostConfig, dir: &Path) -> Result<Self, HostError> {
        if !config.discover && config.guests.iter().all(|guest| guest.qmp.is_none()) {
            return Err(HostError::Nothing);
        }
        let dir = HostDir::open(dir)?;
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let waker = Arc::new(EventFd::from_value_and_flags(0, flags).map_err(io::Error::from)?);
        let wake = Arc::clone(&waker);
        let control = Control::start(move || {
            // It fails only when the counter is full, and then the loop is woken anyway.
            let _ = wake.write(1);
        })?;
        let mut switch = Switch::new(control, &config.guests);
        for appliance in &config.appliances {
            for guest in &appliance.guests {
                switch.open(&dir, &appliance.name, guest, true)?;
            }
        }
        let commands = Commands::listen(&dir)?;
        let memory = Memory::read(dir.attached()).map_err(|error| unusable(&dir.attached(), error))?;
        let (tell, reports) = channel();
        let mut host = Self {
            dir,
            switch,
            commands,
            appliances: BTreeMap::new(),
            memory,
            waiting: BTreeMap::new(),
            reports,
            tell,
            waker,
            tickets: 0,
            discovers: config.discover,
            discover_at: Instant::ZERO,
            first_look_until: clock::now() + FIRST_LOOK,
        };
        for known in host.memory.known().to_vec() {
            host.resume(&known);
        }
        host.remember();
        Ok(host)
    }

    /// Goes on with what an earlier process gave an appliance. What cannot go on is forgotten, with a line in the log.
    fn resume(&mut self, known: &KnownAppliance) {
        let mut resumed = Resumed::new();
        for guest in &known.guests {
            let name = &guest.guest;
            if let Err(error) = self.switch.open(&self.dir, &known.name, name, false) {
                tracing::error!(appliance = known.name, guest = name, "forgotten: {error}");
                continue;
            }
            let wanted = Wanted {
                guest: name.clone(),
                service: guest.service.clone(),
                input: guest.input && self.switch.guests.allows_input(name),
                bus: guest.bus.clone(),
                memory: None,
                socket: self.dir.port(&known.name, name),
                control: known.control.clone(),
                is_live: false,
            };
            resumed.push((wanted, guest.memory));
        }
        let guests = resumed.len();
        match self.begin_appliance(&known.name, &known.qmp, resumed) {
            Ok(()) => tracing::info!(appliance = known.name, guests, "going on with what was attached"),
            Err(error) => tracing::error!(appliance = known.name, "forgotten: {error}"),
        }
    }

    /// Serves ports and commands until a signal comes. What is attached stays so; keys are released.
    ///
    /// # Errors
    /// If the system does not let it wait.
    pub fn run(&mut self, stop: &mut StopSignals) -> Result<(), HostError> {
        let mut scratch = vec![0; READ_BYTES];
        loop {
            let ready = self.wait(stop)?;
            let _ = self.waker.read();
            if stop.take() {
                self.switch.control().stop();
                return Ok(());
            }
            let now = clock::now();
            for token in ready {
                match token {
                    Token::Waker | Token::Stop => {}
                    Token::Commands => self.commands.accept(),
                    Token::Client(number) => self.read_client(number, &mut scratch),
                    Token::Listener(id) => self.switch.accept(now, id),
                    Token::Port(id) => self.switch.serve(now, id, true, &mut scratch),
                }
            }
            self.look_for_guests(now);
            for (guest, memory) in self.switch.take_news(now) {
                let Some(memory) = memory else { continue };
                for appliance in self.appliances.values() {
                    appliance.send(Job::Moved { guest: guest.clone(), memory: memory.clone() });
                }
            }
            let mut is_new = false;
            while let Ok(report) = self.reports.try_recv() {
                self.on_report(now, report);
                is_new = true;
            }
            if is_new {
                self.remember();
            }
            self.switch.tick(now);
        }
    }

    /// Has the file say what is attached.
    fn remember(&mut self) {
        let known = self.appliances.values().map(Appliance::known).filter(|known| !known.guests.is_empty());
        self.memory.write(known.collect());
    }

    /// Waits until something is ready, or time has to be looked at.
    fn wait(&self, stop: &StopSignals) -> Result<Vec<Token>, HostError> {
        let now = clock::now();
        let mut tokens = vec![Token::Waker, Token::Stop, Token::Commands];
        let input = PollFlags::POLLIN;
        let mut fds = vec![
            PollFd::new(self.waker.as_fd(), input),
            PollFd::new(stop.as_fd(), input),
            PollFd::new(self.commands.listener(), input),
        ];
        let mut limit = if self.switch.is_busy() { TICK } else { DISCOVER_INTERVAL };
        let connects = || self.switch.guests.iter().any(|(_, guest)| guest.is_connecting());
        if now < self.first_look_until && connects() {
            limit = limit.min(self.first_look_until.saturating_since(now));
        } else {
            for (number, client) in self.commands.clients() {
                tokens.push(Token::Client(number));
                fds.push(PollFd::new(client, input));
            }
        }
        for (id, port) in self.switch.ports() {
            // An end is to be seen before the connection that comes in its place.
            match port.socket(now) {
                // Its end would show at once and for ever.
                Some((_, false, _)) => limit = limit.min(THROTTLED),
                Some((socket, true, wants_room)) => {
                    let room = if wants_room { PollFlags::POLLOUT } else { PollFlags::empty() };
                    tokens.push(Token::Port(id));
                    fds.push(PollFd::new(socket, input | room));
                }
                None => {}
            }
            tokens.push(Token::Listener(id));
            fds.push(PollFd::new(port.listener(), input));
        }
        if self.discovers {
            limit = limit.min(self.discover_at.saturating_since(now));
        }
        match ppoll(&mut fds, Some(TimeSpec::from(limit)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(HostError::System(errno.into())),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        Ok(fds.iter().zip(tokens).filter(|(fd, _)| is_ready(fd)).map(|(_, token)| token).collect())
    }

    fn look_for_guests(&mut self, now: Instant) {
        if !self.discovers || now < self.discover_at {
            return;
        }
        self.discover_at = now + DISCOVER_INTERVAL;
        match discover() {
            Ok(found) => {
                let control = self.switch.control().clone();
                self.switch.guests.take_found(&control, &found);
            }
            Err(error) => tracing::warn!("{error}"),
        }
        let ports: Vec<String> = self.switch.ports().map(|(_, port)| port.guest.clone()).collect();
        self.switch.guests.forget(now, |name| ports.iter().any(|guest| guest == name));
    }

    fn read_client(&mut self, number: u64, scratch: &mut [u8]) {
        for order in self.commands.read(number, scratch) {
            let outcome = match order {
                Ok(order) => self.obey(number, order),
                Err(error) => Err(error.to_string()),
            };
            match outcome {
                Ok(Some(answer)) => self.commands.answer(number, &answer),
                // An appliance's thread answers it.
                Ok(None) => {}
                Err(text) => self.commands.answer(number, &Answer::Error { text }),
            }
        }
    }

    fn obey(&mut self, client: u64, order: Order) -> Result<Option<Answer>, String> {
        match order {
            Order::Status {} => Ok(Some(Answer::Status(self.status()))),
            Order::Attach(attach) => self.attach(client, &attach).map(|()| None),
            Order::Detach { appliance, guest } => {
                let name = self
                    .name_of(&appliance)
                    .ok_or_else(|| format!("nothing is attached to {}", appliance.display()))?;
                let ticket = self.ticket(client, &name, &guest)?;
                if let Some(appliance) = self.appliances.get(&name) {
                    appliance.send(Job::Detach { ticket, guest });
                }
                Ok(None)
            }
        }
    }

    /// The name of the appliance whose monitor, or name, this is.
    fn name_of(&self, appliance: &Path) -> Option<String> {
        let by_path = self.appliances.iter().find(|(_, known)| known.path == appliance);
        let by_name = || appliance.to_str().and_then(|name| self.appliances.get_key_value(name));
        by_path.or_else(by_name).map(|(name, _)| name.clone())
    }

    /// A ticket for an order. One for each guest of an appliance is under way: the end of another would close the
    /// port that this one needs.
    fn ticket(&mut self, client: u64, appliance: &str, guest: &str) -> Result<u64, String> {
        let is_same = |other: &Waiting| other.appliance == appliance && other.guest == guest;
        if self.waiting.values().any(is_same) {
            return Err(format!("{guest:?} is being attached to {appliance:?}, or detached; wait for that"));
        }
        self.tickets += 1;
        let (appliance, guest) = (appliance.to_owned(), guest.to_owned());
        self.waiting.insert(self.tickets, Waiting { client, appliance, guest });
        Ok(self.tickets)
    }

    fn attach(&mut self, client: u64, attach: &Attach) -> Result<(), String> {
        if !is_guest_name(&attach.guest) {
            return Err(bad_name(&attach.guest));
        }
        let Some(guest) = self.switch.guests.get(&attach.guest) else {
            let known: Vec<&str> = self.switch.guests.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!(
                "no guest is called {:?}; there {}; name it with --guest NAME=QMP when `host run` starts",
                attach.guest,
                if known.is_empty() { "is none".to_owned() } else { format!("are {}", known.join(", ")) }
            ));
        };
        let (memory, is_live) = (guest.memory()?, guest.is_live());
        let input = attach.input && guest.policy.input;
        let name = match self.name_of(&attach.appliance) {
            Some(name) => name,
            None => self.start_appliance(&attach.appliance)?,
        };
        let wanted = Box::new(Wanted {
            guest: attach.guest.clone(),
            service: attach.service.clone().unwrap_or_else(|| attach.guest.clone()),
            input,
            bus: attach.bus.clone(),
            memory: Some(memory),
            socket: self.dir.port(&name, &attach.guest),
            control: attach.control.clone(),
            is_live,
        });
        let ticket = self.ticket(client, &name, &attach.guest)?;
        if !attach.dry_run {
            if let Err(error) = self.switch.open(&self.dir, &name, &attach.guest, false) {
                self.waiting.remove(&ticket);
                self.end_appliance_if_idle(&name);
                return Err(error.to_string());
            }
        }
        let job = if attach.dry_run { Job::Plan { ticket, wanted } } else { Job::Attach { ticket, wanted } };
        if let Some(appliance) = self.appliances.get(&name) {
            appliance.send(job);
        }
        Ok(())
    }

    /// Begins with an appliance; returns its name, which is made from its monitor's.
    fn start_appliance(&mut self, path: &Path) -> Result<String, String> {
        if self.appliances.len() >= HOST_APPLIANCES_MAX {
            return Err(format!("there are {HOST_APPLIANCES_MAX} appliances already"));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_guest_name(stem));
        let stem = stem.unwrap_or("appliance");
        let candidates = (2..).map(|number| format!("{:.28}-{number}", stem));
        let name = std::iter::once(stem.to_owned())
            .chain(candidates)
            .find(|name| !self.appliances.contains_key(name))
            .unwrap_or_default();
        self.begin_appliance(&name, path, Resumed::new())?;
        Ok(name)
    }

    fn begin_appliance(&mut self, name: &str, path: &Path, resumed: Resumed) -> Result<(), String> {
        let (tell, waker) = (self.tell.clone(), Arc::clone(&self.waker));
        let tell = move |report| {
            // The process is ending if nobody listens any more.
            let _ = tell.send(report);
            let _ = waker.write(1);
        };
        let appliance = Appliance::start(name, path, resumed, tell).map_err(|error| error.to_string())?;
        self.appliances.insert(name.to_owned(), appliance);
        Ok(())
    }

    fn on_report(&mut self, now: Instant, report: Report) {
        match report {
            Report::Answer { ticket, answer } => {
                let Some(Waiting { client, appliance, .. }) = self.waiting.remove(&ticket) else { return };
                if let Answer::Attached(attached) = &answer {
                    let (guest, source) = (&attached.guest, &attached.source);
                    tracing::info!(appliance, guest, source, "attached");
                }
                // Whoever is told that it is done may rely on that.
                self.remember();
                self.commands.answer(client, &answer);
                self.end_appliance_if_idle(&appliance);
            }
            Report::Placed { appliance, guest, identity, pci } => {
                self.switch.place(now, &appliance, &guest, Some(Place::At(identity, pci)));
            }
            // Only to be remembered.
            Report::Renewed => {}
            Report::Moving { appliance, guest } => {
                self.switch.place(now, &appliance, &guest, Some(Place::Coming));
            }
            Report::Detached { appliance, guest } => {
                tracing::info!(appliance, guest, "detached");
                self.let_go(now, &appliance, &guest);
            }
            Report::Unattached { appliance, guest } => {
                tracing::info!(appliance, guest, "not attached");
                self.let_go(now, &appliance, &guest);
            }
        }
    }

    /// Closes a guest's port for an appliance.
    fn let_go(&mut self, now: Instant, appliance: &str, guest: &str) {
        self.switch.place(now, appliance, guest, None);
        self.end_appliance_if_idle(appliance);
    }

    /// Lets go of an appliance that nothing is attached to, nor being so.
    fn end_appliance_if_idle(&mut self, name: &str) {
        let is_awaited = self.waiting.values().any(|order| order.appliance == name);
        let is_idle = self.appliances.get(name).is_some_and(|known| known.status().guests.is_empty());
        if is_idle && !is_awaited {
            self.appliances.remove(name);
        }
    }

    fn status(&self) -> HostStatus {
        let mut appliances: BTreeMap<String, ApplianceStatus> =
            self.appliances.iter().map(|(name, known)| (name.clone(), known.status())).collect();
        for (name, port) in self.switch.port_status() {
            let appliance = appliances.entry(name).or_insert_with_key(|name| ApplianceStatus {
                appliance: name.clone(),
                ..ApplianceStatus::default()
            });
            match appliance.guests.iter_mut().find(|known| known.guest == port.guest) {
                Some(known) => known.port = port.port,
                None => appliance.guests.push(port),
            }
        }
        let program = format!("lfp-server {}", env!("CARGO_PKG_VERSION"));
        HostStatus {
            program,
            guests: self.switch.guest_status(),
            appliances: appliances.into_values().collect(),
        }
    }

    /// Where commands are taken.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.commands()
    }
}
