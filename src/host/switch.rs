//! What goes between ports and guests. Whatever an appliance says ends here: as an action for the guest's input queue,
//! as one of four power commands if the policy has it, or refused. Nothing else of it reaches a monitor.

use std::collections::{BTreeMap, VecDeque};

use lfp_proto::frame::InputKind;
use lfp_proto::keys;

use super::config::GuestConfig;
use super::guests::{Grant, Guests, PortId};
use super::port::{Greeted, Place, Port};
use super::words::{AttachmentStatus, GuestStatus};
use super::{HostDir, HostError};
use crate::channel::guest::{Event, FromAppliance, FromHost, Power};
use crate::channel::{LineError, VERSION};
use crate::geometry::Size;
use crate::hypervisor::{Action, Control, GuestMemory, Happening, SourceId};
use crate::limits::{HOST_PORTS_MAX, PORT_INPUT_PATIENCE, PORT_INPUTS_AWAITED_MAX, POWER_PENDING_MAX};
use crate::time::Instant;

/// Guests and ports.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) guests: Guests,
    control: Control,
    ports: BTreeMap<PortId, Port>,
    /// Inputs that were passed on and not answered, in order.
    awaited: VecDeque<Awaited>,
    /// Power commands that were passed on.
    ordered: VecDeque<(u64, Asker)>,
    /// Ascends with each port, input and power command.
    numbers: u64,
}

/// Who asked, and in which conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asker {
    port: PortId,
    conversation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// Ours.
    number: u64,
    asker: Asker,
    /// The appliance's.
    theirs: u64,
    at: Instant,
}

/// The events that appliances are told of: those of the guest as a whole.
const EVENTS: [&str; 10] = [
    "RESET",
    "SHUTDOWN",
    "POWERDOWN",
    "STOP",
    "RESUME",
    "SUSPEND",
    "SUSPEND_DISK",
    "WAKEUP",
    "GUEST_PANICKED",
    "MIGRATION",
];

impl Switch {
    pub(super) fn new(control: Control, configured: &[GuestConfig]) -> Self {
        Self {
            guests: Guests::new(&control, configured),
            control,
            ports: BTreeMap::new(),
            awaited: VecDeque::new(),
            ordered: VecDeque::new(),
            numbers: 0,
        }
    }

    pub(super) const fn control(&self) -> &Control {
        &self.control
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Opens the port of `guest` for `appliance`; says whether it was not open yet.
    pub(super) fn open(
        &mut self,
        dir: &HostDir,
        appliance: &str,
        guest: &str,
        is_fixed: bool,
    ) -> Result<bool, HostError> {
        if self.find(appliance, guest).is_some() {
            return Ok(false);
        }
        if self.ports.len() >= HOST_PORTS_MAX {
            let error = std::io::Error::other(format!("there are {HOST_PORTS_MAX} ports already"));
            return Err(HostError::Dir { path: dir.port(appliance, guest), error });
        }
        let port = Port::open(dir, appliance, guest, is_fixed)?;
        let id = PortId(self.number());
        self.ports.insert(id, port);
        Ok(true)
    }

    fn find(&self, appliance: &str, guest: &str) -> Option<PortId> {
        let is_it = |(_, port): &(&PortId, &Port)| port.appliance == appliance && port.guest == guest;
        self.ports.iter().find(is_it).map(|(id, _)| *id)
    }

    /// Says what an appliance has of a guest's memory; closes the port if that is nothing and the port not fixed.
    pub(super) fn place(&mut self, now: Instant, appliance: &str, guest: &str, place: Option<Place>) {
        let Some(id) = self.find(appliance, guest) else { return };
        let is_fixed = self.ports.get(&id).is_some_and(|port| port.is_fixed);
        if place.is_none() && !is_fixed {
            self.release(now, id);
            self.ports.remove(&id);
        } else if let Some(port) = self.ports.get_mut(&id) {
            port.place = place.unwrap_or(Place::Unknown);
        }
    }

    /// Every port.
    pub(super) fn ports(&self) -> impl Iterator<Item = (PortId, &Port)> {
        self.ports.iter().map(|(id, port)| (*id, port))
    }

    /// Takes what guests have told the control thread; returns whose memory is another now.
    pub(super) fn take_news(&mut self, now: Instant) -> Vec<(String, Option<GuestMemory>)> {
        let (mut moved, mut happened) = (Vec::new(), Vec::new());
        for (name, guest) in self.guests.iter_mut() {
            if guest.take_news(now) {
                moved.push((name.clone(), guest.memory().ok()));
            }
            while let Some(happening) = guest.followed.happened() {
                happened.push((name.clone(), happening));
            }
        }
        for (guest, happening) in happened {
            self.tell(now, &guest, happening);
        }
        while let Some(accepted) = self.control.poll_accepted() {
            self.on_accepted(accepted.number);
        }
        moved
    }

    fn tell(&mut self, now: Instant, guest: &str, happening: Happening) {
        match happening {
            Happening::Event(name) if EVENTS.contains(&name.as_str()) => {
                let event = FromHost::Event { name };
                self.ports.values_mut().filter(|port| port.guest == guest).for_each(|port| port.say(&event));
            }
            Happening::Event(_) => {}
            Happening::Ordered(ticket, outcome) => {
                let place = self.ordered.iter().position(|(ordered, _)| *ordered == ticket);
                let asker = place.and_then(|place| self.ordered.remove(place)).map(|(_, asker)| asker);
                if let (Some(asker), Err(reason)) = (asker, outcome) {
                    self.refuse_asker(now, asker, None, &format!("the guest's hypervisor: {reason}"));
                }
            }
        }
    }

    /// The port of `asker`, if the conversation goes on.
    fn asker(&mut self, asker: Asker) -> Option<&mut Port> {
        self.ports.get_mut(&asker.port).filter(|port| port.conversation() == asker.conversation)
    }

    fn refuse_asker(&mut self, now: Instant, asker: Asker, number: Option<u64>, text: &str) {
        if let Some(port) = self.asker(asker) {
            port.refuse(now, number, text);
        }
    }

    fn on_accepted(&mut self, number: u64) {
        let Some(place) = self.awaited.iter().position(|awaited| awaited.number == number) else { return };
        let Some(taken) = self.awaited.remove(place) else { return };
        // Motion before it is part of it, or has grown too old.
        self.awaited.retain(|awaited| awaited.asker != taken.asker || awaited.number > number);
        if let Some(port) = self.asker(taken.asker) {
            port.say(&FromHost::Taken { number: taken.theirs });
        }
    }

    /// Tells ports what their guests show, and what has waited for too long.
    pub(super) fn tick(&mut self, now: Instant) {
        let unknown = FromHost::Dark { state: "gone".to_owned(), text: UNKNOWN.to_owned() };
        for port in self.ports.values_mut().filter(|port| port.greeted() == Greeted::Yes) {
            port.renew(&hello(&self.guests, &port.guest));
            match self.guests.get(&port.guest) {
                Some(guest) => {
                    if port.is_watched() {
                        guest.followed.note_view(now);
                    }
                    port.show(&guest.view(&port.place));
                }
                None => port.show(&unknown),
            }
        }
        while let Some(old) = self.awaited.front().copied() {
            if now.saturating_since(old.at) < PORT_INPUT_PATIENCE {
                break;
            }
            self.awaited.pop_front();
            self.refuse_asker(now, old.asker, Some(old.theirs), "the guest did not take it in time");
        }
    }

    /// Takes the connections that wait at a port.
    pub(super) fn accept(&mut self, now: Instant, id: PortId) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let hello = hello(&self.guests, &port.guest);
        if port.accept(now, &hello) {
            tracing::info!(
                appliance = port.appliance,
                guest = port.guest,
                "an appliance's QEMU has connected"
            );
        }
    }

    /// Sends and reads what there is at a port.
    pub(super) fn serve(&mut self, now: Instant, id: PortId, is_readable: bool, scratch: &mut [u8]) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let mut heard = Vec::new();
        let mut is_open = port.flush();
        if is_readable && is_open {
            is_open = port.read(now, scratch, |message| heard.push(message));
        }
        for message in heard {
            self.on_message(now, id, message);
        }
        if !is_open {
            self.release(now, id);
            if let Some(port) = self.ports.get(&id) {
                tracing::info!(
                    appliance = port.appliance,
                    guest = port.guest,
                    "an appliance's QEMU has gone"
                );
            }
        }
    }

    fn on_message(&mut self, now: Instant, id: PortId, message: Result<FromAppliance, LineError>) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let message = match message {
            Ok(message) => message,
            Err(error) => return port.refuse(now, None, &error.to_string()),
        };
        if let FromAppliance::Hello { version } = message {
            port.on_hello(version, &hello(&self.guests, &port.guest));
            if version != VERSION {
                port.refuse(now, None, &format!("the host speaks version {VERSION}, not {version}"));
            }
            return self.release(now, id);
        }
        if port.greeted() != Greeted::Yes {
            return port.refuse(now, None, "say hello first, in the host's version");
        }
        match message {
            FromAppliance::Hello { .. } => {}
            FromAppliance::Watch { on } => port.set_watched(on),
            FromAppliance::Input { number, width, height, event } => {
                if let Err(text) = self.input(now, id, number, (width, height), event) {
                    if let Some(port) = self.ports.get_mut(&id) {
                        port.refuse(now, Some(number), text);
                    }
                }
            }
            FromAppliance::Power { action } => {
                if let Err(text) = self.power(id, action) {
                    if let Some(port) = self.ports.get_mut(&id) {
                        port.refuse(now, None, text);
                    }
                }
            }
        }
    }

    fn input(
        &mut self,
        now: Instant,
        id: PortId,
        theirs: u64,
        size: (u16, u16),
        event: Event,
    ) -> Result<(), &'static str> {
        let port = self.ports.get_mut(&id).ok_or(UNKNOWN)?;
        let guest = self.guests.get_mut(&port.guest).ok_or(UNKNOWN)?;
        if !guest.policy.input {
            return Err("the host's policy lets no appliance type into this guest");
        }
        if !port.take_number(theirs) {
            return Err("an input's number is greater than the one before");
        }
        let input = event.input().ok_or("there is no such button")?;
        if matches!(input, InputKind::Key { code, .. } if keys::by_code(code).is_none()) {
            return Err("there is no such key");
        }
        let size = Size::new(size.0, size.1).ok_or("there is no screen of that size")?;
        if input.is_release() && guest.holder() != Some(id) {
            // It holds nothing, and does not begin to type by that.
            port.say(&FromHost::Taken { number: theirs });
            return Ok(());
        }
        let grant = guest.grant(now, id);
        if grant == Grant::Denied {
            return Err("another appliance types into this guest; it may when that one has rested for 2 s");
        }
        let source = guest.id;
        port.count_input();
        let asker = Asker { port: id, conversation: port.conversation() };
        if grant == Grant::Taken {
            self.release_keys(now, source);
        }
        let number = self.number();
        if self.awaited.len() >= PORT_INPUTS_AWAITED_MAX {
            self.awaited.pop_front();
        }
        self.awaited.push_back(Awaited { number, asker, theirs, at: now });
        self.control.act(Action { source, at: now, input, size, number: Some(number) });
        Ok(())
    }

    fn power(&mut self, id: PortId, action: Power) -> Result<(), &'static str> {
        let ticket = self.number();
        let port = self.ports.get(&id).ok_or(UNKNOWN)?;
        let guest = self.guests.get(&port.guest).ok_or(UNKNOWN)?;
        if !guest.policy.power.contains(&action) {
            return Err("the host's policy does not let appliances do that to this guest's power");
        }
        if !guest.followed.order(ticket, action) {
            return Err("too many power commands wait already");
        }
        tracing::info!(appliance = port.appliance, guest = port.guest, ?action, "a power command");
        if self.ordered.len() >= POWER_PENDING_MAX * HOST_PORTS_MAX {
            self.ordered.pop_front();
        }
        let asker = Asker { port: id, conversation: port.conversation() };
        self.ordered.push_back((ticket, asker));
        Ok(())
    }

    /// A port has ended, or begun anew: it holds no key any more.
    fn release(&mut self, now: Instant, id: PortId) {
        let Some(port) = self.ports.get(&id) else { return };
        let Some(guest) = self.guests.get_mut(&port.guest) else { return };
        if guest.rest(id) {
            let source = guest.id;
            self.release_keys(now, source);
        }
    }

    /// Releases all that a guest holds because of any port.
    fn release_keys(&self, now: Instant, source: SourceId) {
        let size = Size { width: 1, height: 1 };
        self.control.act(Action { source, at: now, input: InputKind::FocusLost, size, number: None });
    }

    /// How guests are.
    pub(super) fn guest_status(&self) -> Vec<GuestStatus> {
        let typed_by = |id: PortId| self.ports.get(&id).map(|port| port.appliance.clone());
        self.guests.iter().map(|(_, guest)| guest.status(guest.holder().and_then(typed_by))).collect()
    }

    /// How ports are, with their appliances.
    pub(super) fn port_status(&self) -> Vec<(String, AttachmentStatus)> {
        let of = |port: &Port| {
            let guest = port.guest.clone();
            let status = AttachmentStatus { guest, port: port.status(), ..AttachmentStatus::default() };
            (port.appliance.clone(), status)
        };
        self.ports.values().map(of).collect()
    }

    /// Whether somebody is connected, so that time has to be looked at often.
    pub(super) fn is_busy(&self) -> bool {
        self.ports.values().any(Port::is_connected)
    }
}

const UNKNOWN: &str = "the host knows no guest of this name";

/// What is said first at a port of `guest`.
fn hello(guests: &Guests, guest: &str) -> FromHost {
    let unknown =
        || FromHost::Hello { version: VERSION, guest: guest.to_owned(), input: false, power: Vec::new() };
    guests.get(guest).map_or_else(unknown, super::guests::Guest::hello)
}
