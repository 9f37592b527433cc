//! Giving an appliance a guest, and taking it away again: the order of steps, and the way back from each.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::link::Link;
use super::plan::{self, Command, Ids};
use super::{Report, Wanted, Worker};
use crate::channel::control::{Command as ControlCommand, Request, ServiceStatus};
use crate::channel::{CONTROL_PORT, line};
use crate::clock;
use crate::host::memory::KnownGuest;
use crate::host::words::{Answer, Attached};
use crate::hypervisor::{CallError, Caller, GuestMemory, MemoryIdentity};
use crate::limits::{APPLIANCE_SERVES, APPLIANCE_SETTLES, PLACE_PATIENCE, UNPLUG_PATIENCE};
use crate::time::Instant;

/// A guest that an appliance has.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) wanted: Wanted,
    /// Where its memory is.
    pub(super) pci: Option<String>,
    /// The file that is its memory there.
    placed: Option<MemoryIdentity>,
    /// An earlier process gave it, and nobody has looked yet what there is.
    is_unseen: bool,
    /// Everything is to be plugged in anew: the appliance's QEMU is another.
    is_lost: bool,
    /// The memory is: the guest's QEMU is another.
    is_stale: bool,
    /// The appliance is to be told again what it serves.
    pub(super) is_unsaid: bool,
    /// What is in the way, and when it is tried again.
    pub(super) fault: Option<String>,
    pub(super) retry: Instant,
}

impl Attachment {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            pci: None,
            placed: None,
            is_unseen: false,
            is_lost: false,
            is_stale: false,
            is_unsaid: true,
            fault: None,
            retry: Instant::ZERO,
        }
    }

    /// One that an earlier process made, in which `placed` is the memory.
    pub(super) fn resumed(wanted: Wanted, placed: Option<MemoryIdentity>) -> Self {
        let fault = Some("the guest has not been found since the host's side was started".to_owned());
        Self { placed, is_unseen: true, fault, ..Self::new(wanted) }
    }

    /// What a process that comes after this one has to know of it.
    pub(super) fn known(&self) -> KnownGuest {
        let Wanted { guest, service, input, bus, .. } = &self.wanted;
        let (guest, service, bus) = (guest.clone(), service.clone(), bus.clone());
        KnownGuest { guest, service, input: *input, bus, memory: self.placed }
    }

    /// The guest's memory is this now; says whether that is another than the appliance has.
    pub(super) fn take_memory(&mut self, memory: GuestMemory) -> bool {
        let is_other = self.placed != memory.identity();
        self.wanted.memory = Some(memory);
        self.is_stale |= is_other;
        self.retry = Instant::ZERO;
        is_other
    }

    /// The appliance's QEMU is another one, which has nothing.
    pub(super) fn forget(&mut self) {
        (self.is_lost, self.is_unsaid) = (true, false);
        self.retry = Instant::ZERO;
    }

    /// Whether something is to be done at `now`.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        // A machine that was just started has firmware in it: its hello says that its system takes devices.
        let is_due = if self.is_lost { self.is_unsaid } else { self.is_stale || self.is_unsaid };
        is_due && self.wanted.memory.is_some() && now >= self.retry
    }
}

impl Wanted {
    fn memory(&self) -> Result<&GuestMemory, String> {
        let unknown = || format!("{:?} has not been found since the host's side was started", self.guest);
        self.memory.as_ref().ok_or_else(unknown)
    }
}

impl Worker {
    /// Gives the appliance a guest and waits until it serves it. What was done of it is undone if that fails.
    pub(super) fn attach(&mut self, wanted: Wanted) -> Result<Answer, String> {
        let guest = wanted.guest.clone();
        if self.attached.contains_key(&guest) {
            return Err(format!("{guest:?} is attached to {:?} already; detach it first", self.name));
        }
        let mut attachment = Attachment::new(wanted);
        if let Err(text) = self.reach(&attachment.wanted) {
            self.report(Report::Unattached { appliance: self.name.clone(), guest });
            return Err(text);
        }
        match self.bring_up(&mut attachment) {
            Ok(service) => {
                self.pid = self.caller.as_ref().and_then(Caller::pid);
                let source = source(&attachment);
                self.attached.insert(guest.clone(), attachment);
                Ok(Answer::Attached(Attached { appliance: self.name.clone(), guest, source, service }))
            }
            Err(mut text) => {
                // The way back is the same from wherever it failed: what is there goes, last things first.
                if !attachment.is_unsaid {
                    let service = attachment.wanted.service.clone();
                    if let Err(error) = self.ask(&ControlCommand::Detach { service }) {
                        tracing::warn!(appliance = self.name, guest, "{error}");
                    }
                }
                if let Err(also) = self.unplug(&Ids::of(&guest)) {
                    text = format!("{text}; and what was done of it could not be undone: {also}");
                }
                self.report(Report::Unattached { appliance: self.name.clone(), guest });
                Err(text)
            }
        }
    }

    /// Speaks with the appliance's monitor and with the appliance, before anything is done that would have to be undone.
    fn reach(&mut self, wanted: &Wanted) -> Result<(), String> {
        self.control = wanted.control.clone().or_else(|| self.control.take());
        self.caller().map_err(text)?;
        if self.link.is_none() {
            self.link = Some(self.connect_link()?);
        }
        Ok(())
    }

    fn bring_up(&mut self, attachment: &mut Attachment) -> Result<ServiceStatus, String> {
        let ids = Ids::of(&attachment.wanted.guest);
        self.unplug(&ids)?;
        self.plug(&attachment.wanted, &ids)?;
        self.find_place(attachment)?;
        if self.link.as_mut().is_some_and(Link::take_beginning) {
            // Said before this was asked for: it is the others that have to be said again.
            self.attached.values_mut().for_each(|other| other.is_unsaid = true);
        }
        self.serve(attachment)?;
        attachment.is_unsaid = false;
        self.await_service(&attachment.wanted)
    }

    /// Plugs in the memory and the port.
    fn plug(&mut self, wanted: &Wanted, ids: &Ids) -> Result<(), String> {
        self.plug_memory(wanted, ids)?;
        let caller = self.caller().map_err(text)?;
        let has_milliseconds = caller.is_at_least(9, 2);
        give(caller, &ids.add_channel(&wanted.socket, has_milliseconds))?;
        give(caller, &ids.add_port(&wanted.guest))
    }

    fn plug_memory(&mut self, wanted: &Wanted, ids: &Ids) -> Result<(), String> {
        let caller = self.caller().map_err(text)?;
        let buses = buses(caller, wanted)?;
        add_memory(caller, wanted.memory()?, ids)?;
        let mut failed = String::new();
        for bus in buses {
            match give(caller, &ids.add_vram(&bus)) {
                Ok(()) => return Ok(()),
                // A port that looks empty before the appliance's firmware has numbered it may not be.
                Err(text) => failed = text,
            }
        }
        Err(failed)
    }

    /// Learns where the appliance has the memory, and tells.
    fn find_place(&mut self, attachment: &mut Attachment) -> Result<(), String> {
        let guest = attachment.wanted.guest.clone();
        let until = clock::now() + PLACE_PATIENCE;
        let pci = loop {
            let caller = self.caller().map_err(text)?;
            let devices = caller.call("query-pci", None).map_err(text)?;
            if let Some(pci) = plan::find_device(&devices, &Ids::of(&guest).vram) {
                break pci;
            }
            let now = clock::now();
            if now >= until {
                let limit = PLACE_PATIENCE.as_secs();
                return Err(format!(
                    "the appliance has not numbered the bus of the new device for {limit} s: is it up?"
                ));
            }
            caller.listen((now + LOOK_AGAIN).min(until)).map_err(text)?;
        };
        let identity = attachment.wanted.memory()?.identity().ok_or("the guest's memory has gone")?;
        (attachment.pci, attachment.placed) = (Some(pci.clone()), Some(identity));
        self.report(Report::Placed { appliance: self.name.clone(), guest, identity, pci });
        Ok(())
    }

    /// Tells the appliance what to serve.
    fn serve(&mut self, attachment: &Attachment) -> Result<(), String> {
        let Wanted { service, input, .. } = &attachment.wanted;
        let (service, source, input) = (service.clone(), source(attachment), *input);
        self.ask(&ControlCommand::Attach { service, source, input }).map(drop)
    }

    /// Waits until the appliance shows the guest, or what the guest shows of itself is nothing.
    fn await_service(&mut self, wanted: &Wanted) -> Result<ServiceStatus, String> {
        let (until, grace) = (clock::now() + APPLIANCE_SERVES, clock::now() + APPLIANCE_SETTLES);
        loop {
            let is_early = clock::now() < grace;
            let link = self.link.as_mut().ok_or("the appliance's control channel was closed")?;
            let status = link.service(&wanted.service).cloned();
            let is_settled = |state: &str| match state {
                "live" => true,
                "waiting" | "connecting" => false,
                // The appliance may be faster than its own system, which gives it the device.
                "faulty" => !wanted.is_live && !is_early,
                _ => !wanted.is_live,
            };
            if let Some(status) = status.clone().filter(|status| is_settled(&status.state)) {
                return Ok(status);
            }
            if clock::now() >= until {
                let limit = APPLIANCE_SERVES.as_secs();
                let state = status.map_or_else(
                    || "it says nothing of it".to_owned(),
                    |status| format!("it says that it is {}: {}", status.state, status.text),
                );
                return Err(format!("the appliance does not show the guest after {limit} s; {state}"));
            }
            if let Err(error) = link.hear(if is_early { grace } else { until }) {
                self.link = None;
                return Err(error.to_string());
            }
        }
    }

    /// Gives an attachment anew what it has lost.
    pub(super) fn renew(&mut self, attachment: &mut Attachment) -> Result<(), String> {
        let ids = Ids::of(&attachment.wanted.guest);
        if attachment.is_unseen {
            self.recognise(attachment, &ids)?;
        }
        if attachment.is_lost {
            self.unplug(&ids)?;
            self.plug(&attachment.wanted, &ids)?;
        } else if attachment.is_stale {
            let caller = self.caller().map_err(text)?;
            unplug_memory(caller, &ids)?;
            self.plug_memory(&attachment.wanted, &ids)?;
        }
        let (is_lost, is_stale) = (attachment.is_lost, attachment.is_stale);
        let is_to_be_said = is_lost || attachment.is_unsaid;
        // An appliance that began anew may have other addresses.
        self.find_place(attachment)?;
        if is_to_be_said {
            self.say_again(attachment)?;
        }
        (attachment.is_lost, attachment.is_stale, attachment.is_unsaid) = (false, false, false);
        let (guest, pci) = (&attachment.wanted.guest, &attachment.pci);
        tracing::info!(appliance = self.name, guest, pci, is_lost, is_stale, is_to_be_said, "attached anew");
        Ok(())
    }

    /// Sees what there is of an attachment that an earlier process made.
    fn recognise(&mut self, attachment: &mut Attachment, ids: &Ids) -> Result<(), String> {
        let caller = self.caller().map_err(text)?;
        let devices = "/machine/peripheral";
        let is_whole = has_child(caller, devices, &ids.vram)? && has_child(caller, devices, &ids.port)?;
        if !is_whole {
            // One that answers takes devices; one that is booting is asked again by and by.
            self.ask(&ControlCommand::Status {})?;
        }
        (attachment.is_unseen, attachment.is_lost, attachment.is_unsaid) = (false, !is_whole, true);
        Ok(())
    }

    /// Tells the appliance again what to serve, unless it serves that: to be told twice would end its sessions.
    fn say_again(&mut self, attachment: &Attachment) -> Result<(), String> {
        let status = self.ask(&ControlCommand::Status {})?.unwrap_or_default();
        let Wanted { service, guest, .. } = &attachment.wanted;
        // It has moved with its guest, whatever address it was attached with.
        let end = format!("?guest={guest}");
        let is_same = |source: &str| source.starts_with("ivshmem:") && source.ends_with(&end);
        let is_it =
            |known: &ServiceStatus| known.is_attached && known.service == *service && is_same(&known.source);
        if status.services.iter().any(is_it) { Ok(()) } else { self.serve(attachment) }
    }

    /// Takes a guest away.
    pub(super) fn detach(&mut self, guest: &str) -> Result<Answer, String> {
        let Some(attachment) = self.attached.get(guest) else {
            return Err(format!("{guest:?} is not attached to {:?}", self.name));
        };
        let service = attachment.wanted.service.clone();
        // An appliance that cannot be told loses the service with the device.
        if let Err(text) = self.ask(&ControlCommand::Detach { service }) {
            tracing::warn!(appliance = self.name, guest, "{text}");
        }
        if let Err(text) = self.unplug(&Ids::of(guest)) {
            // What was plugged in has ended with its QEMU, which may not have been noticed yet.
            self.caller = None;
            let is_gone = matches!(self.caller(), Err(CallError::Unreachable { is_gone: true, .. }));
            if !is_gone {
                return Err(text);
            }
        }
        self.attached.remove(guest);
        let (appliance, guest) = (self.name.clone(), guest.to_owned());
        self.report(Report::Detached { appliance: appliance.clone(), guest: guest.clone() });
        Ok(Answer::Detached { appliance, guest })
    }

    /// Removes what there is of a guest, last things first.
    fn unplug(&mut self, ids: &Ids) -> Result<(), String> {
        let caller = self.caller().map_err(text)?;
        remove_device(caller, &ids.port)?;
        let channels = caller.call("query-chardev", None).map_err(text)?;
        if channels.as_array().into_iter().flatten().any(|channel| channel["label"] == ids.port) {
            caller.call("chardev-remove", Some(json!({ "id": ids.port }))).map_err(text)?;
        }
        unplug_memory(caller, ids)
    }

    /// The commands that attaching would give.
    pub(super) fn plan(&mut self, wanted: &Wanted) -> Result<Answer, String> {
        let (ids, memory) = (Ids::of(&wanted.guest), wanted.memory()?);
        let caller = self.caller().map_err(text)?;
        let buses = buses(caller, wanted)?;
        let bus = buses.first().ok_or("there is no bus")?;
        let commands = [
            // A person has no descriptor to pass.
            ids.add_memory(memory.path(), memory.bytes()),
            ids.add_vram(bus),
            ids.add_channel(&wanted.socket, caller.is_at_least(9, 2)),
            ids.add_port(&wanted.guest),
            Command { name: "query-pci", arguments: json!({}) },
        ];
        let mut lines: Vec<Value> = commands.iter().map(Command::line).collect();
        let source = format!("ivshmem:PCI-ADDRESS?guest={}", wanted.guest);
        let command = ControlCommand::Attach { service: wanted.service.clone(), source, input: wanted.input };
        lines.push(serde_json::from_slice(&line(&Request { id: 1, command })).unwrap_or_default());
        Ok(Answer::Commands(lines))
    }

    /// Connects to the appliance's control channel.
    pub(super) fn connect_link(&mut self) -> Result<Link, String> {
        let path = match self.control.clone() {
            Some(path) => path,
            None => find_control(self.caller().map_err(text)?)?,
        };
        let mut link = Link::connect(&path).map_err(text)?;
        // An appliance that says hello because of us does it at once; what was attached is then not said twice.
        link.hear(clock::now() + GREETING).map_err(text)?;
        Ok(link)
    }
}

fn source(attachment: &Attachment) -> String {
    let pci = attachment.pci.as_deref().unwrap_or_default();
    format!("ivshmem:{pci}?guest={}", attachment.wanted.guest)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn give(caller: &mut Caller, command: &Command) -> Result<(), String> {
    let answer = caller.call(command.name, Some(command.arguments.clone()));
    answer.map(drop).map_err(|error| match error {
        // Which of several it was.
        CallError::Refused { command: name, reason } => {
            format!("{name} {}: {reason}", command.arguments["id"].as_str().unwrap_or_default())
        }
        error => error.to_string(),
    })
}

/// The buses that may take the memory, the best first.
fn buses(caller: &mut Caller, wanted: &Wanted) -> Result<Vec<String>, String> {
    let bytes = wanted.memory()?.bytes();
    if !bytes.is_power_of_two() {
        return Err(format!(
            "{bytes} bytes of video memory cannot be given to an appliance: they are no power of two"
        ));
    }
    if let Some(bus) = &wanted.bus {
        return Ok(vec![bus.clone()]);
    }
    let devices = caller.call("query-pci", None).map_err(text)?;
    if plan::is_pc(&devices) {
        return Ok(vec!["pci.0".to_owned()]);
    }
    let mut roomy = Vec::new();
    for port in plan::empty_bridges(&devices) {
        let mut property = |name: &str| {
            let path = format!("/machine/peripheral/{port}");
            caller.call("qom-get", Some(json!({ "path": path, "property": name })))
        };
        // A bridge that knows no such property is no root port.
        let (Ok(hotplug), Ok(reserve)) = (property("hotplug"), property("pref64-reserve")) else { continue };
        // All ones: nothing is reserved.
        let is_roomy = reserve.as_u64().is_some_and(|reserve| reserve != u64::MAX && reserve >= bytes);
        if hotplug == true && is_roomy {
            roomy.push((reserve.as_u64(), port));
        }
    }
    // The tightest first: others may be for guests with more memory.
    roomy.sort();
    let buses: Vec<String> = roomy.into_iter().map(|(_, port)| port).collect();
    if buses.is_empty() { Err(plan::no_bus(bytes)) } else { Ok(buses) }
}

/// Gives QEMU the memory: the open file itself, so that it needs no right to look into the guest's QEMU; or where it
/// does not take that, the path at which it finds it.
fn add_memory(caller: &mut Caller, memory: &GuestMemory, ids: &Ids) -> Result<(), String> {
    let passed = caller.call_with("add-fd", Some(json!({})), memory.file().as_fd()).map_err(text)?;
    let (number, set) = (passed["fd"].as_i64(), passed["fdset-id"].as_i64());
    let (Some(number), Some(set)) = (number, set) else {
        return Err("add-fd: the monitor does not say what became of it".to_owned());
    };
    let path = PathBuf::from(format!("/proc/self/fd/{number}"));
    let by_descriptor = give(caller, &ids.add_memory(&path, memory.bytes()));
    // QEMU has opened it for itself by now.
    let removed = caller.call("remove-fd", Some(json!({ "fdset-id": set })));
    if let Err(first) = by_descriptor {
        return give(caller, &ids.add_memory(memory.path(), memory.bytes()))
            .map_err(|second| format!("{first}; and by its path, {second}"));
    }
    removed.map(drop).map_err(text)
}

fn unplug_memory(caller: &mut Caller, ids: &Ids) -> Result<(), String> {
    remove_device(caller, &ids.vram)?;
    for memory in children(caller, "/objects")?.iter().filter(|name| ids.is_memory(name)) {
        caller.call("object-del", Some(json!({ "id": memory }))).map_err(text)?;
    }
    Ok(())
}

/// Removes a device, if it is there, and waits until the appliance's system has let go of it.
fn remove_device(caller: &mut Caller, id: &str) -> Result<(), String> {
    let began = clock::now();
    let until = began + UNPLUG_PATIENCE;
    let mut asked: Option<Instant> = None;
    while has_child(caller, "/machine/peripheral", id)? {
        let now = clock::now();
        if now >= until {
            let limit = UNPLUG_PATIENCE.as_secs();
            return Err(format!(
                "the appliance's system has not let go of {id} within {limit} s; detach again when it is up"
            ));
        }
        // A system that was booting has not heard it.
        if asked.is_none_or(|asked| now.saturating_since(asked) >= ASK_AGAIN) {
            match caller.call("device_del", Some(json!({ "id": id }))) {
                // It is being unplugged already, or is gone: the next look says which.
                Ok(_) | Err(CallError::Refused { .. }) => asked = Some(now),
                Err(error) => return Err(error.to_string()),
            }
        }
        // DEVICE_DELETED, among others, ends the wait.
        caller.listen((now + LOOK_AGAIN).min(until)).map_err(text)?;
    }
    Ok(())
}

/// Whether an object of QEMU's has this child.
fn has_child(caller: &mut Caller, path: &str, name: &str) -> Result<bool, String> {
    Ok(children(caller, path)?.iter().any(|child| child == name))
}

/// The names of what is at `path` of QEMU's objects.
fn children(caller: &mut Caller, path: &str) -> Result<Vec<String>, String> {
    let children = caller.call("qom-list", Some(json!({ "path": path }))).map_err(text)?;
    let names = children.as_array().into_iter().flatten().filter_map(|child| child["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Where the host's end of the control channel is: the channel of that name, or of the port that has it.
fn find_control(caller: &mut Caller) -> Result<PathBuf, String> {
    let channels = caller.call("query-chardev", None).map_err(text)?;
    let named = |label: &str| {
        let mut all = channels.as_array().into_iter().flatten();
        all.find(|channel| channel["label"] == label).and_then(|channel| channel["filename"].as_str())
    };
    let filename = match named(CONTROL_PORT) {
        Some(filename) => Some(filename),
        None => control_channel(caller)?.as_deref().and_then(named),
    };
    let path = filename.and_then(plan::listening_path);
    path.map(|path| caller.path(path.as_ref())).ok_or_else(|| {
        format!(
            "the appliance has no control channel that listens: start it with -device virtio-serial-pci -chardev \
             socket,id={CONTROL_PORT},path=PATH,server=on,wait=off -device virtserialport,chardev={CONTROL_PORT},\
             name={CONTROL_PORT}, or say where it is with --control"
        )
    })
}

/// The label of the channel of the port called [`CONTROL_PORT`], whatever its own name is.
fn control_channel(caller: &mut Caller) -> Result<Option<String>, String> {
    for place in ["/machine/peripheral", "/machine/peripheral-anon"] {
        let devices = caller.call("qom-list", Some(json!({ "path": place }))).map_err(text)?;
        let is_port = |device: &&Value| device["type"] == "child<virtserialport>";
        for device in devices.as_array().into_iter().flatten().filter(is_port) {
            let path = format!("{place}/{}", device["name"].as_str().unwrap_or_default());
            let mut property = |name: &str| {
                caller.call("qom-get", Some(json!({ "path": path, "property": name }))).map_err(text)
            };
            if property("name")? == CONTROL_PORT {
                return Ok(property("chardev")?.as_str().map(str::to_owned));
            }
        }
    }
    Ok(None)
}

/// Longest time between two looks at something that an appliance's system does in its own time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Time between two requests to let go of a device. A root port takes a second press of its attention button within
/// five seconds as withdrawing the first.
const ASK_AGAIN: Duration = Duration::from_secs(7);
/// How long a hello of the appliance is waited for.
const GREETING: Duration = Duration::from_millis(300);
