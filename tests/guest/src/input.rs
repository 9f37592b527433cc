//! What people do: characters from the terminal on standard input, pointers from `/dev/input`.

use std::fs::{self, File};
use std::io::Read;
use std::sync::mpsc::Sender;
use std::thread;

/// Something that a person did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A character was typed.
    Typed(char),
    /// A button went down or up (`BTN_*` of input-event-codes.h).
    Button {
        /// Which one.
        code: u16,
        /// Down, else up.
        down: bool,
    },
    /// The pointer moved, or the wheel turned (`REL_*`).
    Relative {
        /// Along which axis.
        axis: u16,
        /// How far.
        value: i32,
    },
    /// The pointer stands somewhere (`ABS_*`), in the device's own units.
    Absolute {
        /// Along which axis.
        axis: u16,
        /// Where.
        value: i32,
    },
}

const EVENT_BYTES: usize = 24;
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const BTN_MOUSE: u16 = 0x110;
const BTN_LAST: u16 = 0x117;

/// Starts a thread for the keyboard and one for each pointer device that is there now.
pub(crate) fn listen(events: &Sender<Event>) {
    let keyboard = events.clone();
    thread::spawn(move || {
        let mut bytes = [0; 256];
        while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut bytes) {
            if bytes[..count].iter().any(|&byte| keyboard.send(Event::Typed(char::from(byte))).is_err()) {
                return;
            }
        }
    });
    let devices = fs::read_dir("/dev/input").into_iter().flatten().flatten();
    for device in devices.filter(|entry| entry.file_name().to_string_lossy().starts_with("event")) {
        if let Ok(file) = File::open(device.path()) {
            let events = events.clone();
            thread::spawn(move || forward(file, &events));
        }
    }
}

fn forward(mut device: File, events: &Sender<Event>) {
    let mut record = [0; EVENT_BYTES];
    while device.read_exact(&mut record).is_ok() {
        if parse(&record).is_some_and(|event| events.send(event).is_err()) {
            return;
        }
    }
}

/// `struct input_event` of a 64-bit kernel; the time in its first 16 bytes is of no interest here. Keys of a
/// keyboard are left out: they come through the terminal.
fn parse(record: &[u8; EVENT_BYTES]) -> Option<Event> {
    let [.., t0, t1, c0, c1, v0, v1, v2, v3] = *record;
    let (code, value) = (u16::from_le_bytes([c0, c1]), i32::from_le_bytes([v0, v1, v2, v3]));
    match u16::from_le_bytes([t0, t1]) {
        EV_KEY if (BTN_MOUSE..=BTN_LAST).contains(&code) => Some(Event::Button { code, down: value != 0 }),
        EV_REL => Some(Event::Relative { axis: code, value }),
        EV_ABS => Some(Event::Absolute { axis: code, value }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_button_press_is_read_as_one() {
        let mut record = [0; EVENT_BYTES];
        record[16] = 1;
        record[18..20].copy_from_slice(&BTN_MOUSE.to_le_bytes());
        record[20] = 1;
        assert_eq!(parse(&record), Some(Event::Button { code: BTN_MOUSE, down: true }));
    }
}
