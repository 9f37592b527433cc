//! An appliance that guests are given to: its monitor and its control channel, in a thread of its own, so that one that
//! is slow holds up nobody.

mod attach;
mod link;
mod plan;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use super::memory::KnownAppliance;
use super::words::{Answer, ApplianceStatus, AttachmentStatus};
use crate::channel::control::Command;
use crate::clock;
use crate::hypervisor::{CallError, Caller, GuestMemory, MemoryIdentity};
use crate::limits::{APPLIANCE_ASK, APPLIANCE_MEMORY, APPLIANCE_RETRY};
use crate::time::Instant;
use attach::Attachment;
use link::Link;

/// A guest that an appliance is to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) guest: String,
    pub(super) service: String,
    pub(super) input: bool,
    pub(super) bus: Option<String>,
    /// `None`: an earlier process gave it, and the guest has not been found since.
    pub(super) memory: Option<GuestMemory>,
    /// The socket of its port.
    pub(super) socket: PathBuf,
    /// The host's end of the appliance's control channel, if somebody said where.
    pub(super) control: Option<PathBuf>,
    /// It shows a picture now.
    pub(super) is_live: bool,
}

/// What an appliance's thread is told.
#[derive(Debug)]
pub(super) enum Job {
    /// Gives it a guest; the answer goes to `ticket`.
    Attach { ticket: u64, wanted: Box<Wanted> },
    /// Says only by which commands.
    Plan { ticket: u64, wanted: Box<Wanted> },
    /// Takes a guest away.
    Detach { ticket: u64, guest: String },
    /// A guest was restarted: its memory is another file.
    Moved { guest: String, memory: GuestMemory },
    /// Nothing more is wanted.
    End,
}

/// What it tells.
#[derive(Debug)]
pub(super) enum Report {
    /// The answer to an order.
    Answer { ticket: u64, answer: Answer },
    /// A guest's memory is this file, at this address, in the appliance.
    Placed { appliance: String, guest: String, identity: MemoryIdentity, pci: String },
    /// It is being moved.
    Moving { appliance: String, guest: String },
    /// A guest was given anew, or found to be there.
    Renewed,
    /// A guest could not be given to it.
    Unattached { appliance: String, guest: String },
    /// The appliance has a guest no more.
    Detached { appliance: String, guest: String },
}

/// By which the host's side has an appliance.
#[derive(Debug)]
pub(super) struct Appliance {
    pub(super) path: PathBuf,
    jobs: Sender<Job>,
    waker: Arc<EventFd>,
    shared: Arc<Mutex<Shared>>,
}

/// What a thread says of its appliance.
#[derive(Debug)]
struct Shared {
    status: ApplianceStatus,
    known: KnownAppliance,
}

/// What an earlier process gave an appliance: by name, with the file that is its memory there.
pub(super) type Resumed = Vec<(Wanted, Option<MemoryIdentity>)>;

impl Appliance {
    /// Starts the thread for the appliance whose monitor is at `path`, and which has been given `resumed`; if that is
    /// nothing, nothing is connected before the first job. `tell` is called with each report.
    pub(super) fn start(
        name: &str,
        path: &Path,
        resumed: Resumed,
        tell: impl Fn(Report) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, received) = channel();
        let waker =
            Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (qmp, control) = (path.to_owned(), resumed.iter().find_map(|(wanted, _)| wanted.control.clone()));
        let status = ApplianceStatus {
            appliance: name.to_owned(),
            qmp: Some(qmp.clone()),
            ..ApplianceStatus::default()
        };
        let known =
            KnownAppliance { name: name.to_owned(), qmp, control: control.clone(), guests: Vec::new() };
        let shared = Arc::new(Mutex::new(Shared { status, known }));
        let resume =
            |(wanted, placed): (Wanted, _)| (wanted.guest.clone(), Attachment::resumed(wanted, placed));
        let worker = Worker {
            name: name.to_owned(),
            path: path.to_owned(),
            control,
            caller: None,
            pid: None,
            link: None,
            attached: resumed.into_iter().map(resume).collect(),
            tell: Box::new(tell),
            shared: Arc::clone(&shared),
            lost: None,
            next: Instant::ZERO,
        };
        worker.publish();
        let wake = Arc::clone(&waker);
        thread::Builder::new().name("appliance".to_owned()).spawn(move || worker.run(&received, &wake))?;
        Ok(Self { path: path.to_owned(), jobs, waker, shared })
    }

    /// Hands over a job.
    pub(super) fn send(&self, job: Job) {
        // A thread that has ended has said of every guest that it is detached.
        let _ = self.jobs.send(job);
        let _ = self.waker.write(1);
    }

    pub(super) fn status(&self) -> ApplianceStatus {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).status.clone()
    }

    /// What a process that comes after this one has to know of it.
    pub(super) fn known(&self) -> KnownAppliance {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).known.clone()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.send(Job::End);
    }
}

struct Worker {
    name: String,
    path: PathBuf,
    /// Where the control channel is, if somebody said so.
    control: Option<PathBuf>,
    caller: Option<Caller>,
    /// The process that the attachments were made in.
    pid: Option<u32>,
    link: Option<Link>,
    attached: BTreeMap<String, Attachment>,
    tell: Box<dyn Fn(Report) + Send>,
    shared: Arc<Mutex<Shared>>,
    /// Since when it is out of reach.
    lost: Option<Instant>,
    /// When it is asked, or tried, again.
    next: Instant,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>, waker: &EventFd) {
        loop {
            let _ = waker.read();
            loop {
                match jobs.try_recv() {
                    Ok(Job::End) | Err(TryRecvError::Disconnected) => return,
                    Ok(job) => self.take(job),
                    Err(TryRecvError::Empty) => break,
                }
                self.publish();
            }
            self.keep(clock::now());
            self.publish();
            self.wait(waker);
        }
    }

    fn take(&mut self, job: Job) {
        let (ticket, answer) = match job {
            Job::Attach { ticket, wanted } => (ticket, self.attach(*wanted)),
            Job::Plan { ticket, wanted } => (ticket, self.plan(&wanted)),
            Job::Detach { ticket, guest } => (ticket, self.detach(&guest)),
            Job::Moved { guest, memory } => {
                if self.attached.get_mut(&guest).is_some_and(|attachment| attachment.take_memory(memory)) {
                    self.say_moving(&guest);
                }
                return;
            }
            Job::End => return,
        };
        let answer = answer.unwrap_or_else(|text| Answer::Error { text });
        self.report(Report::Answer { ticket, answer });
    }

    /// Tells something. Whoever hears it finds the status that belongs to it.
    fn report(&self, report: Report) {
        self.publish();
        (self.tell)(report);
    }

    fn say_moving(&self, guest: &str) {
        self.report(Report::Moving { appliance: self.name.clone(), guest: guest.to_owned() });
    }

    /// The appliance's monitor, connected to if it is not.
    fn caller(&mut self) -> Result<&mut Caller, CallError> {
        let caller = match self.caller.take() {
            Some(caller) => caller,
            None => Caller::connect(&self.path)?,
        };
        Ok(self.caller.insert(caller))
    }

    /// Looks after what is attached: hears what the appliance says, finds it again, and gives it anew what it has lost.
    fn keep(&mut self, now: Instant) {
        let heard = self.caller.as_mut().map_or(Ok(()), |caller| caller.listen(now));
        if let Err(error) = heard {
            tracing::info!(appliance = self.name, "{error}");
            (self.caller, self.next) = (None, now);
        }
        if let Err(error) = self.link.as_mut().map_or(Ok(()), |link| link.hear(now)) {
            tracing::info!(appliance = self.name, "{error}");
            (self.link, self.next) = (None, now + APPLIANCE_RETRY);
        }
        if self.attached.is_empty() {
            // Its monitor may be somebody else's again.
            (self.caller, self.link, self.lost) = (None, None, None);
            return;
        }
        if now >= self.next {
            self.look(now);
        }
        if self.caller.is_some() {
            self.refresh(now);
        }
    }

    /// Sees whether the appliance is there, and whether it is still the same.
    fn look(&mut self, now: Instant) {
        self.next = now + if self.caller.is_some() { APPLIANCE_ASK } else { APPLIANCE_RETRY };
        let pid = self.pid;
        let asked = self.caller().and_then(|caller| {
            caller.call("query-status", None)?;
            Ok(caller.pid())
        });
        match asked {
            Ok(found) => {
                self.lost = None;
                if pid.is_none() {
                    // What an earlier process has left is looked at one by one.
                    self.pid = found;
                } else if found != pid {
                    tracing::info!(appliance = self.name, "the appliance has been started anew");
                    self.pid = found;
                    self.link = None;
                    self.attached.values_mut().for_each(Attachment::forget);
                }
                if self.link.is_none() {
                    self.link = self
                        .connect_link()
                        .inspect_err(|error| {
                            tracing::debug!(appliance = self.name, "{error}");
                            self.next = now + APPLIANCE_RETRY;
                        })
                        .ok();
                }
            }
            Err(error) => {
                (self.caller, self.link) = (None, None);
                self.next = now + APPLIANCE_RETRY;
                let lost = *self.lost.get_or_insert(now);
                if now.saturating_since(lost) >= APPLIANCE_MEMORY {
                    let seconds = APPLIANCE_MEMORY.as_secs();
                    tracing::warn!(appliance = self.name, "forgotten, being gone for {seconds} s: {error}");
                    for guest in std::mem::take(&mut self.attached).into_keys() {
                        self.report(Report::Detached { appliance: self.name.clone(), guest });
                    }
                }
            }
        }
    }

    /// Gives the appliance anew what it has lost: all services when it began anew, the memory of a guest that was
    /// restarted, everything when the appliance itself was.
    fn refresh(&mut self, now: Instant) {
        if self.link.as_mut().is_some_and(Link::take_beginning) {
            self.attached.values_mut().for_each(|attachment| attachment.is_unsaid = true);
        }
        let due: Vec<String> = self
            .attached
            .iter()
            .filter(|(_, attachment)| attachment.is_due(now))
            .map(|(guest, _)| guest.clone())
            .collect();
        for guest in due {
            // It counts as attached meanwhile.
            let Some(mut attachment) = self.attached.get(&guest).cloned() else { continue };
            let outcome = self.renew(&mut attachment);
            if let Err(text) = &outcome {
                tracing::warn!(appliance = self.name, guest, "{text}");
                attachment.retry = clock::now() + APPLIANCE_ASK;
            }
            let is_done = outcome.is_ok();
            attachment.fault = outcome.err();
            self.attached.insert(guest, attachment);
            if is_done {
                self.report(Report::Renewed);
            }
        }
    }

    /// Asks the control channel, which is connected to if it is not.
    fn ask(&mut self, command: &Command) -> Result<Option<crate::channel::control::Status>, String> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect_link()?,
        };
        let outcome = link.ask(command);
        if !matches!(outcome, Err(link::LinkError::Ended(_))) {
            self.link = Some(link);
        }
        outcome.map_err(|error| error.to_string())
    }

    fn publish(&self) {
        let of = |(guest, attachment): (&String, &Attachment)| AttachmentStatus {
            guest: guest.clone(),
            is_attached: true,
            pci: attachment.pci.clone(),
            fault: attachment.fault.clone(),
            service: self.link.as_ref().and_then(|link| link.service(&attachment.wanted.service)).cloned(),
            ..AttachmentStatus::default()
        };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { status, known } = &mut *shared;
        status.is_reached = self.caller.is_some();
        status.is_controlled = self.link.is_some();
        status.guests = self.attached.iter().map(of).collect();
        known.control.clone_from(&self.control);
        known.guests = self.attached.values().map(Attachment::known).collect();
    }

    fn wait(&self, waker: &EventFd) {
        let mut fds = vec![PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.caller.iter().map(|caller| PollFd::new(caller.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.link.iter().map(|link| PollFd::new(link.as_fd(), PollFlags::POLLIN)));
        // With nothing to look after there is nothing to look at.
        let timeout = (!self.attached.is_empty()).then(|| TimeSpec::from(APPLIANCE_RETRY));
        // A signal's interruption is a wait that was short.
        let _ = ppoll(&mut fds, timeout, None);
    }
}
