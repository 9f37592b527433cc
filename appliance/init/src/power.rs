//! The power button, the watchdog, and how the machine ends.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::sync;

use crate::server::STATE;

/// Length of `struct input_event` on 64 bits: a time of 16 bytes, type, code, value.
const EVENT: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
const PRESSED: i32 = 1;
/// Between two signs of life to the hardware's watchdog, which waits for 30 s.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(5);
const WATCHDOG: &str = "/dev/watchdog0";

/// The machine's power buttons.
#[derive(Debug, Default)]
pub(crate) struct Buttons(Vec<File>);

impl Buttons {
    /// Those that there are.
    pub(crate) fn open() -> Self {
        let entries = fs::read_dir("/sys/class/input").into_iter().flatten().flatten();
        let open = |name: &str| {
            let device = Path::new("/sys/class/input").join(name).join("device/name");
            let is_button = fs::read_to_string(device).is_ok_and(|text| text.trim_end() == "Power Button");
            let flags = OFlag::O_NONBLOCK.bits();
            let file = Path::new("/dev/input").join(name);
            is_button.then(|| OpenOptions::new().read(true).custom_flags(flags).open(file).ok()).flatten()
        };
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Self(names.filter(|name| name.starts_with("event")).filter_map(|name| open(&name)).collect())
    }

    /// Whether one was pressed since it was asked last.
    pub(crate) fn pressed(&mut self) -> bool {
        let mut pressed = false;
        for button in &mut self.0 {
            let mut events = [0; EVENT * 16];
            while let Ok(length @ EVENT..) = button.read(&mut events) {
                pressed |= events[..length].chunks_exact(EVENT).any(is_press);
            }
        }
        pressed
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd)
    }
}

fn is_press(event: &[u8]) -> bool {
    let short = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
    (short(16), short(18), value) == (EV_KEY, KEY_POWER, PRESSED)
}

/// The hardware's watchdog: it resets the machine when this program, or the kernel under it, does nothing any more.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: File,
    due: Duration,
}

impl Watchdog {
    /// Starts it, if the machine has one.
    pub(crate) fn open() -> Option<Self> {
        let device = OpenOptions::new().write(true).open(WATCHDOG).ok()?;
        Some(Self { device, due: Duration::ZERO })
    }

    /// Shows it that there is life, if that is due at `now`.
    pub(crate) fn poll(&mut self, now: Duration) {
        if now >= self.due {
            self.due = now + WATCHDOG_INTERVAL;
            let _ = self.device.write_all(b"\0");
        }
    }

    /// Tells it that the end is meant.
    pub(crate) fn close(mut self) {
        let _ = self.device.write_all(b"V");
    }
}

/// Switches the machine off. What the state disk has not written is written first.
pub(crate) fn off() -> ! {
    let _ = umount2(STATE, MntFlags::MNT_DETACH);
    sync();
    let failed = reboot(RebootMode::RB_POWER_OFF);
    unreachable!("process 1 may switch off: {failed:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_is_told_from_a_release() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = [0; EVENT];
            bytes[16..18].copy_from_slice(&kind.to_ne_bytes());
            bytes[18..20].copy_from_slice(&code.to_ne_bytes());
            bytes[20..].copy_from_slice(&value.to_ne_bytes());
            bytes
        };
        assert!(is_press(&event(EV_KEY, KEY_POWER, 1)));
        assert!(!is_press(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_press(&event(EV_KEY, 30, 1)));
        assert!(!is_press(&event(0, 0, 0)));
    }
}
