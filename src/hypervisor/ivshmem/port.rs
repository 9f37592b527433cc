//! One `ivshmem:` source as the control thread sees it: the device that holds the pixels, and the port that says what
//! they mean.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use lfp_proto::frame::SurfaceState;

use super::bar::{self, Bandwidth, Bar, BarError, Survey};
use super::spec::{Guide, IvshmemSpec};
use super::talk::{Place, Screen, Talk};
use crate::hypervisor::Surface;
use crate::hypervisor::lookup::dark;
use crate::hypervisor::qemu::{Found, Readiness, Slot};
use crate::hypervisor::sysfs::{PciFunction, Root};
use crate::limits::{MONITOR_RETRY_MAX, REDISCOVER_INTERVAL};
use crate::time::Instant;

/// A guest whose memory is a device of this machine.
#[derive(Debug)]
pub(in crate::hypervisor) struct Port {
    slot: Arc<Slot>,
    device: Device,
    guide: Followed,
}

#[derive(Debug)]
enum Followed {
    Fixed(Surface),
    Talk(Box<Talk>),
}

impl Port {
    pub(super) fn new(spec: IvshmemSpec, root: Root, slot: Arc<Slot>) -> Self {
        let talk = |place, guest| Followed::Talk(Box::new(Talk::new(place, guest, Arc::clone(&slot))));
        let guide = match spec.guide {
            Guide::Fixed(surface) => Followed::Fixed(surface),
            Guide::Port { path, guest } => talk(Place::Path(path), guest),
            Guide::Guest(guest) => talk(Place::Guest(root.clone(), guest.clone()), Some(guest)),
        };
        Self { slot, device: Device::new(root, spec.address), guide }
    }

    fn talk(&self) -> Option<&Talk> {
        match &self.guide {
            Followed::Fixed(_) => None,
            Followed::Talk(talk) => Some(talk),
        }
    }

    fn talk_mut(&mut self) -> Option<&mut Talk> {
        match &mut self.guide {
            Followed::Fixed(_) => None,
            Followed::Talk(talk) => Some(talk),
        }
    }

    /// Whether nobody watches any more.
    pub(in crate::hypervisor) fn is_closed(&self) -> bool {
        self.slot.is_closed()
    }

    /// Whether no input waits that could be sent.
    pub(in crate::hypervisor) fn is_idle(&self) -> bool {
        self.talk().is_none_or(Talk::is_idle)
    }

    /// Wants everything released that the guest holds because of us.
    pub(in crate::hypervisor) fn release_all(&mut self, now: Instant) {
        if let Some(talk) = self.talk() {
            talk.release_all(now);
        }
    }

    /// What is to be waited for, and whether room in it is.
    pub(in crate::hypervisor) fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.talk().and_then(Talk::socket)
    }

    /// Takes what the port has. `scratch` bounds how much at a time.
    pub(in crate::hypervisor) fn on_ready(&mut self, now: Instant, ready: Readiness, scratch: &mut [u8]) {
        if let Some(talk) = self.talk_mut() {
            talk.on_ready(now, ready, scratch);
            self.publish(now);
        }
    }

    /// Does what time asks for.
    pub(in crate::hypervisor) fn on_tick(&mut self, now: Instant) {
        if let Some(talk) = self.talk_mut() {
            talk.on_tick(now);
        }
        if self.slot.take_loss() {
            self.device.lose(now);
        }
        self.device.look(now);
        self.publish(now);
    }

    /// When [`Port::on_tick`] is to be called at the latest.
    pub(in crate::hypervisor) fn deadline(&self) -> Instant {
        let talk = self.talk().map_or(Instant::from_micros(u64::MAX), Talk::deadline);
        talk.min(self.device.next)
    }

    /// Brings together what the port says and the device has.
    fn publish(&mut self, now: Instant) {
        if let Some(address) = self.talk().and_then(Talk::pci) {
            self.device.move_to(now, address);
        }
        let surface = match &self.guide {
            Followed::Fixed(surface) => *surface,
            Followed::Talk(talk) => match talk.screen() {
                Screen::Mode(surface) => *surface,
                Screen::Dark(state, text) => return self.publish_dark(*state, text),
            },
        };
        let address = self.device.address;
        let bar = match &self.device.bar {
            Ok(bar) => bar,
            Err((state, text)) => {
                return self.publish_dark(*state, &format!("ivshmem device {address} {text}"));
            }
        };
        let end = surface.end_bytes().unwrap_or(u64::MAX);
        if end > bar.bytes {
            let text = format!(
                "the guest claims pixels up to byte {end}, and its memory here (BAR 2 of {address}) has {} bytes",
                bar.bytes
            );
            return self.publish_dark(SurfaceState::Faulty, &text);
        }
        if self.slot.publish(Found::Bar(Arc::clone(bar), surface)) {
            tracing::debug!(device = %address, ?surface, "guest's mode");
        }
    }

    fn publish_dark(&self, state: SurfaceState, text: &str) {
        if self.slot.publish(Found::Dark(dark(state, text))) {
            tracing::info!(device = %self.device.address, state = state.name(), "{text}");
        }
    }
}

/// A device that comes and goes.
#[derive(Debug)]
struct Device {
    root: Root,
    address: PciFunction,
    /// Its memory, or why there is none; the text goes on behind its address.
    bar: Result<Arc<Bar>, (SurfaceState, String)>,
    next: Instant,
    looked: Instant,
    /// Times in a row that memory was found and lost before it was looked at again.
    failures: u32,
}

impl Device {
    fn new(root: Root, address: PciFunction) -> Self {
        Self { root, address, bar: Err(unseen()), next: Instant::ZERO, looked: Instant::ZERO, failures: 0 }
    }

    /// It is another one from now on.
    fn move_to(&mut self, now: Instant, address: PciFunction) {
        if self.address != address {
            tracing::info!(from = %self.address, to = %address, "the guest's memory is another device");
            (self.address, self.bar) = (address, Err(unseen()));
            // However often the port says so, a device is looked at at most once in an interval.
            self.next = now.max(self.looked + REDISCOVER_INTERVAL);
        }
    }

    /// Its memory could not be read.
    fn lose(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.bar = Err((SurfaceState::Faulty, "could not be read; looking at it again".to_owned()));
        let pause = REDISCOVER_INTERVAL * 2_u32.pow(self.failures.min(8) - 1);
        self.next = now + pause.min(MONITOR_RETRY_MAX);
    }

    /// Sees whether it is there, if it is time to.
    fn look(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        (self.looked, self.next) = (now, now + REDISCOVER_INTERVAL);
        match &self.bar {
            Ok(bar) if !bar.is_there() => {
                self.bar = Err((SurfaceState::Gone, "was unplugged, or is another now".to_owned()));
            }
            Ok(bar) if !bar.answers() => self.bar = Err((BarError::Mute.state(), BarError::Mute.to_string())),
            Ok(_) => self.failures = 0,
            Err(_) => match bar::open(&self.root, self.address) {
                Ok((bar, survey)) => {
                    log(&survey);
                    self.bar = Ok(Arc::new(bar));
                }
                Err(error) => self.bar = Err((error.state(), error.to_string())),
            },
        }
    }
}

/// Of a device that was not looked at yet; goes on behind its address.
fn unseen() -> (SurfaceState, String) {
    (SurfaceState::Connecting, "has not been looked at yet".to_owned())
}

fn log(survey: &Survey) {
    let taken = survey.fastest();
    for trial in &survey.trials {
        let (device, way, is_taken) = (survey.address, trial.way.name(), taken == Some(trial.way));
        match &trial.outcome {
            Ok(rate) => tracing::info!(%device, way, speed = %Bandwidth(*rate), is_taken, "a way to map"),
            Err(reason) => tracing::info!(%device, way, reason, "no way to map"),
        }
    }
}
