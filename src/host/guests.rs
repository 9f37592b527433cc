//! Guests: what each shows, and which port types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lfp_proto::frame::SurfaceState;

use super::config::GuestConfig;
use super::port::Place;
use super::words::GuestStatus;
use crate::channel::guest::{FromHost, Mode};
use crate::channel::{VERSION, is_guest_name};
use crate::hypervisor::discover::DiscoveredGuest;
use crate::hypervisor::{Control, Followed, GuestMemory, MemoryIdentity, Screen, SourceId, SourceSpec};
use crate::limits::{DISCOVERED_MEMORY, HOST_GUESTS_MAX, INPUT_HOLD};
use crate::time::Instant;

/// Names a port within one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct PortId(pub(super) u64);

/// A guest that is followed.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) policy: GuestConfig,
    pub(super) id: SourceId,
    pub(super) followed: Followed,
    path: PathBuf,
    is_discovered: bool,
    screen: Screen,
    memory: Option<(MemoryIdentity, GuestMemory)>,
    holder: Option<(PortId, Instant)>,
    /// Since when it is gone.
    gone: Option<Instant>,
}

/// Whether a port may type now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    /// It goes on.
    Given,
    /// From now on; what another holds is to be released.
    Taken,
    /// Another one types.
    Denied,
}

impl Guest {
    /// What the guest shows now, once more; says whether it is another memory than before.
    pub(super) fn take_news(&mut self, now: Instant) -> bool {
        if let Some(screen) = self.followed.news() {
            self.gone = matches!(screen, Screen::Dark { state: SurfaceState::Gone, .. }).then_some(now);
            self.screen = screen;
        }
        let memory = self.followed.memory().and_then(|memory| Some((memory.identity()?, memory)));
        let is_same = memory.as_ref().map(|(identity, _)| identity)
            == self.memory.as_ref().map(|(identity, _)| identity);
        self.memory = memory;
        !is_same
    }

    /// Its memory, or what is in the way of attaching it.
    pub(super) fn memory(&self) -> Result<GuestMemory, String> {
        match (&self.memory, &self.screen) {
            (Some((_, memory)), _) => Ok(memory.clone()),
            (None, Screen::Dark { state, text }) => Err(format!(
                "{:?} has no video memory to attach: it is {}; {text}",
                self.policy.name,
                state.name()
            )),
            (None, Screen::Live(..)) => Err(format!("{:?} has ended just now", self.policy.name)),
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.screen, Screen::Live(..))
    }

    /// Its monitor has not said yet how it is.
    pub(super) const fn is_connecting(&self) -> bool {
        matches!(self.screen, Screen::Dark { state: SurfaceState::Connecting, .. })
    }

    /// The beginning of a conversation about it.
    pub(super) fn hello(&self) -> FromHost {
        let GuestConfig { name, input, power, .. } = &self.policy;
        FromHost::Hello { version: VERSION, guest: name.clone(), input: *input, power: power.clone() }
    }

    /// What a port says that the guest shows, for an appliance that has its memory so.
    pub(super) fn view(&self, place: &Place) -> FromHost {
        let dark = |state: SurfaceState, text: &str| FromHost::Dark {
            state: state.name().to_owned(),
            text: text.to_owned(),
        };
        let (surface, bytes) = match &self.screen {
            Screen::Live(surface, bytes) => (surface, *bytes),
            Screen::Dark { state, text } => return dark(*state, text),
        };
        let identity = self.memory.as_ref().map(|(identity, _)| *identity);
        let pci = match place {
            Place::Unknown => None,
            Place::At(placed, pci) if Some(*placed) == identity => Some(pci.clone()),
            Place::Coming | Place::At(..) => return dark(SurfaceState::Connecting, BEING_PLUGGED),
        };
        FromHost::Mode(mode(surface, bytes, pci))
    }

    /// Whether `port` may type at `now`: one at a time, until it rests.
    pub(super) fn grant(&mut self, now: Instant, port: PortId) -> Grant {
        let grant = match self.holder {
            Some((other, last)) if other != port => {
                if now.saturating_since(last) <= INPUT_HOLD {
                    return Grant::Denied;
                }
                Grant::Taken
            }
            _ => Grant::Given,
        };
        self.holder = Some((port, now));
        grant
    }

    pub(super) fn holder(&self) -> Option<PortId> {
        self.holder.map(|(port, _)| port)
    }

    /// `port` types no more; says whether it did.
    pub(super) fn rest(&mut self, port: PortId) -> bool {
        self.holder.take_if(|(holder, _)| *holder == port).is_some()
    }

    pub(super) fn status(&self, typed_by: Option<String>) -> GuestStatus {
        let (state, text, mode) = match &self.screen {
            Screen::Live(surface, bytes) => {
                (SurfaceState::Live, String::new(), Some(mode(surface, *bytes, None)))
            }
            Screen::Dark { state, text } => (*state, text.clone(), None),
        };
        GuestStatus {
            guest: self.policy.name.clone(),
            qmp: self.path.clone(),
            is_discovered: self.is_discovered,
            state: state.name().to_owned(),
            text,
            mode,
            vram_bytes: self.memory.as_ref().map_or(0, |(_, memory)| memory.bytes()),
            typed_by,
        }
    }
}

const BEING_PLUGGED: &str = "the host is giving the appliance this guest's memory";

fn mode(surface: &crate::hypervisor::Surface, vram_bytes: u64, pci: Option<String>) -> Mode {
    Mode {
        pci,
        vram_bytes,
        width: surface.size.width,
        height: surface.size.height,
        stride_bytes: surface.stride_bytes,
        offset_bytes: surface.offset_bytes,
        format: surface.format,
    }
}

/// All guests, by name.
#[derive(Debug, Default)]
pub(super) struct Guests {
    by_name: BTreeMap<String, Guest>,
    /// Of guests that are named, and found by themselves.
    policies: BTreeMap<String, GuestConfig>,
    next: u32,
}

impl Guests {
    /// The guests of the configuration.
    pub(super) fn new(control: &Control, configured: &[GuestConfig]) -> Self {
        let mut guests = Self::default();
        for guest in configured {
            guests.policies.insert(guest.name.clone(), guest.clone());
            if let Some(path) = &guest.qmp {
                guests.follow(control, &guest.name, path.clone(), false);
            }
        }
        guests
    }

    fn follow(&mut self, control: &Control, name: &str, path: PathBuf, is_discovered: bool) {
        let id = SourceId(self.next);
        self.next = self.next.wrapping_add(1);
        let policy = self.policies.get(name).cloned();
        let policy = policy.unwrap_or_else(|| GuestConfig::of(name.to_owned(), None));
        tracing::info!(guest = name, qmp = %path.display(), "following a guest");
        let followed = control.follow(id, path.clone());
        let screen = Screen::Dark { state: SurfaceState::Connecting, text: String::new() };
        let guest = Guest {
            policy,
            id,
            followed,
            path,
            is_discovered,
            screen,
            memory: None,
            holder: None,
            gone: None,
        };
        self.by_name.insert(name.to_owned(), guest);
    }

    /// Takes what was found on this host: new guests, and those that came back with another monitor.
    pub(super) fn take_found(&mut self, control: &Control, found: &[DiscoveredGuest]) {
        for (name, path) in found.iter().filter_map(worth_following) {
            let is_new = match self.by_name.get(&name) {
                None => self.by_name.len() < HOST_GUESTS_MAX,
                Some(guest) => guest.is_discovered && guest.gone.is_some() && guest.path != path,
            };
            // What is named is followed where it was named, and a monitor serves one.
            if is_new && !self.by_name.values().any(|guest| guest.path == path) {
                self.follow(control, &name, path, true);
            }
        }
    }

    /// Forgets guests that were found and have long been gone, unless `is_kept` by name.
    pub(super) fn forget(&mut self, now: Instant, is_kept: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, guest| {
            let is_long = guest.gone.is_some_and(|gone| now.saturating_since(gone) > DISCOVERED_MEMORY);
            let stays = !guest.is_discovered || !is_long || is_kept(name);
            if !stays {
                tracing::info!(guest = name, "forgetting a guest that is gone");
            }
            stays
        });
    }

    /// Whether appliances may type into the guest of this name, whether it has been found or not.
    pub(super) fn allows_input(&self, name: &str) -> bool {
        self.policies.get(name).is_none_or(|policy| policy.input)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Guest> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Guest> {
        self.by_name.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Guest)> {
        self.by_name.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Guest)> {
        self.by_name.iter_mut()
    }
}

/// The name and monitor of a guest that was found, if it is one that may be followed: nobody holds its monitor, which
/// would be theirs, its memory is shared, and it is no appliance, whose monitor is for attaching.
fn worth_following(found: &DiscoveredGuest) -> Option<(String, PathBuf)> {
    let name = found.name.clone().filter(|name| is_guest_name(name))?;
    let source = found.source.as_ref().filter(|_| found.problem.is_none() && !found.is_appliance)?;
    match source.parse() {
        Ok(SourceSpec::Qemu(path)) => Some((name, path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_followed_where_nobody_minds() {
        let control = Control::start(|| ()).expect("a thread");
        let named = GuestConfig { input: false, ..GuestConfig::of("db".to_owned(), None) };
        let fixed = GuestConfig::of("fixed".to_owned(), Some("/nowhere/fixed".into()));
        let mut guests = Guests::new(&control, &[named, fixed]);
        let found = |name: &str, path: &str| DiscoveredGuest {
            pid: 1,
            name: Some(name.to_owned()),
            monitors: Vec::new(),
            framebuffers: Vec::new(),
            source: Some(format!("qemu:{path}")),
            problem: None,
            is_appliance: false,
        };
        let held = DiscoveredGuest { problem: Some("held".to_owned()), ..found("held", "/nowhere/h") };
        let appliance = DiscoveredGuest { is_appliance: true, ..found("svm", "/nowhere/s") };
        let seen = [
            found("web", "/nowhere/w"),
            found("db", "/nowhere/d"),
            found("a b", "/nowhere/ab"),
            found("other", "/nowhere/fixed"),
            held,
            appliance,
        ];
        guests.take_found(&control, &seen);
        let names: Vec<_> = guests.iter().map(|(name, guest)| (name.as_str(), guest.policy.input)).collect();
        assert_eq!(names, [("db", false), ("fixed", true), ("web", true)]);
        // A guest that came back with another monitor.
        let path = |guests: &Guests| guests.get("web").map(|guest| guest.path.clone());
        guests.take_found(&control, &[found("web", "/nowhere/w2")]);
        assert_eq!(path(&guests), Some("/nowhere/w".into()), "it is not gone");
        let now = Instant::from_micros(1);
        guests.get_mut("web").expect("there").gone = Some(now);
        guests.take_found(&control, &[found("web", "/nowhere/w2")]);
        assert_eq!(path(&guests), Some("/nowhere/w2".into()));
        guests.get_mut("web").expect("there").gone = Some(now);
        guests.forget(now + DISCOVERED_MEMORY * 2, |name| name == "web");
        assert!(guests.get("web").is_some());
        guests.forget(now + DISCOVERED_MEMORY * 2, |_| false);
        assert!(guests.get("web").is_none() && guests.get("fixed").is_some());
    }

    #[test]
    fn one_port_types_until_it_rests() {
        let control = Control::start(|| ()).expect("a thread");
        let fixed = GuestConfig::of("a".to_owned(), Some("/nowhere/a".into()));
        let mut guests = Guests::new(&control, &[fixed]);
        let guest = guests.get_mut("a").expect("there");
        let (one, two, now) = (PortId(1), PortId(2), Instant::from_micros(5));
        assert_eq!(guest.grant(now, one), Grant::Given);
        assert_eq!(guest.grant(now + INPUT_HOLD, two), Grant::Denied);
        assert_eq!(guest.grant(now + INPUT_HOLD * 2, two), Grant::Taken);
        assert!(!guest.rest(one) && guest.rest(two));
        assert_eq!(guest.grant(now + INPUT_HOLD * 2, one), Grant::Given);
    }
}
