//! The words of a guest port. The host's side speaks first, with [`FromHost::Hello`], and again whenever it begins
//! anew; an appliance answers with [`FromAppliance::Hello`].

use lfp_proto::frame::{Button, InputKind};
use serde::{Deserialize, Serialize};

use crate::pixel::PixelFormat;

/// What the host's side says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum FromHost {
    /// The beginning of a conversation.
    Hello {
        /// [`super::VERSION`].
        version: u32,
        /// The guest's name.
        guest: String,
        /// Whether this appliance may send input.
        input: bool,
        /// What this appliance may do to the guest's power.
        power: Vec<Power>,
    },
    /// The guest shows pixels in this mode. The appliance checks it against the memory that it has.
    Mode(Mode),
    /// The guest shows nothing that can be mapped.
    Dark {
        /// For programs: `connecting`, `no-framebuffer`, `gone` or `faulty`.
        state: String,
        /// For people.
        text: String,
    },
    /// Something happened to the guest: QEMU's name of the event, such as `RESET` or `SHUTDOWN`.
    Event {
        /// The name.
        name: String,
    },
    /// The hypervisor has taken the input with this number, and all before it that were not refused.
    Taken {
        /// [`FromAppliance::Input`]'s.
        number: u64,
    },
    /// Something that was asked for was not done.
    Refused {
        /// The number of the input, if it was one.
        number: Option<u64>,
        /// Why, and what to do.
        text: String,
    },
}

/// A mode, and where the appliance finds the memory that it means.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// The address of the ivshmem device inside the appliance, such as `0000:00:07.0`, if the host knows it: it
    /// moves when a guest is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
    /// Bytes of video memory that the display says it has.
    pub vram_bytes: u64,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Bytes from one row to the next.
    pub stride_bytes: u32,
    /// Bytes before the first pixel.
    pub offset_bytes: u64,
    /// How a pixel is stored.
    pub format: PixelFormat,
}

/// What an appliance says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum FromAppliance {
    /// The beginning of a conversation: what was held is released, the mode is said again.
    Hello {
        /// [`super::VERSION`].
        version: u32,
    },
    /// Whether somebody watches: how often the mode is asked for. Until it is said, nobody does.
    Watch {
        /// Somebody does.
        on: bool,
    },
    /// An event for the guest.
    Input {
        /// Ascends from 1 in a conversation.
        number: u64,
        /// Width of the surface that [`Event::MoveTo`] means.
        width: u16,
        /// Its height.
        height: u16,
        /// The event.
        event: Event,
    },
    /// Something to be done to the guest's power.
    Power {
        /// What.
        action: Power,
    },
}

/// What can be done to a guest's power. The host's policy says which of them an appliance may ask for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// The power button is pressed (`system_powerdown`).
    Powerdown,
    /// The reset button is pressed (`system_reset`).
    Reset,
    /// The guest's processors stop (`stop`).
    Pause,
    /// They go on (`cont`).
    Resume,
}

/// An input event, as [`InputKind`] has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A key, by Linux's code.
    Key {
        /// The code.
        code: u16,
        /// Down, else up.
        down: bool,
    },
    /// A button, by its number on the wire.
    Button {
        /// 0 left, 1 middle, 2 right, 3 and 4 the side buttons.
        button: u8,
        /// Down, else up.
        down: bool,
    },
    /// The pointer stands at a pixel.
    MoveTo {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// The pointer moved.
    MoveBy {
        /// Pixels to the right.
        dx: i16,
        /// Pixels down.
        dy: i16,
    },
    /// The wheel turned.
    Wheel {
        /// Notches to the right.
        dx: i8,
        /// Notches down.
        dy: i8,
    },
    /// Everything that is held is released.
    ReleaseAll,
}

impl From<InputKind> for Event {
    fn from(input: InputKind) -> Self {
        match input {
            InputKind::Key { code, down } => Self::Key { code, down },
            InputKind::Button { button, down } => Self::Button { button: button as u8, down },
            InputKind::MoveTo { x, y } => Self::MoveTo { x, y },
            InputKind::MoveBy { dx, dy } => Self::MoveBy { dx, dy },
            InputKind::Wheel { dx, dy } => Self::Wheel { dx, dy },
            InputKind::FocusLost => Self::ReleaseAll,
        }
    }
}

impl Event {
    /// What it is on the wire; `None` if there is no such button.
    #[must_use]
    pub fn input(self) -> Option<InputKind> {
        Some(match self {
            Self::Key { code, down } => InputKind::Key { code, down },
            Self::Button { button, down } => {
                let button = Button::ALL.into_iter().find(|one| *one as u8 == button)?;
                InputKind::Button { button, down }
            }
            Self::MoveTo { x, y } => InputKind::MoveTo { x, y },
            Self::MoveBy { dx, dy } => InputKind::MoveBy { dx, dy },
            Self::Wheel { dx, dy } => InputKind::Wheel { dx, dy },
            Self::ReleaseAll => InputKind::FocusLost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::line;
    use super::*;

    fn said<T: Serialize>(message: &T) -> String {
        String::from_utf8(line(message)).expect("JSON is UTF-8").trim_end().to_owned()
    }

    #[test]
    fn the_words_are_those_of_the_document() {
        let hello =
            FromHost::Hello { version: 1, guest: "web".into(), input: true, power: vec![Power::Reset] };
        assert_eq!(said(&hello), r#"{"hello":{"version":1,"guest":"web","input":true,"power":["reset"]}}"#);
        let key = Event::Key { code: 30, down: true };
        let input = FromAppliance::Input { number: 7, width: 640, height: 480, event: key };
        let text =
            r#"{"input":{"number":7,"width":640,"height":480,"event":{"key":{"code":30,"down":true}}}}"#;
        assert_eq!(said(&input), text);
        assert_eq!(serde_json::from_str::<FromAppliance>(text).expect("understood"), input);
        assert_eq!(
            said(&FromAppliance::Power { action: Power::Powerdown }),
            r#"{"power":{"action":"powerdown"}}"#
        );
    }

    #[test]
    fn nothing_else_is_understood() {
        for text in [
            r#"{"execute":"migrate","arguments":{"uri":"exec:true"}}"#,
            r#"{"power":{"action":"migrate"}}"#,
            r#"{"watch":{"on":true,"execute":"quit"}}"#,
            r#"{"watch":{"on":true},"power":{"action":"reset"}}"#,
            r#""quit""#,
            "[]",
        ] {
            assert!(serde_json::from_str::<FromAppliance>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn input_goes_there_and_back() {
        let all = [
            InputKind::Key { code: 1, down: false },
            InputKind::Button { button: Button::Extra, down: true },
            InputKind::MoveTo { x: 1, y: 2 },
            InputKind::MoveBy { dx: -1, dy: 2 },
            InputKind::Wheel { dx: 1, dy: -1 },
            InputKind::FocusLost,
        ];
        for input in all {
            assert_eq!(Event::from(input).input(), Some(input));
        }
        assert_eq!(Event::Button { button: 9, down: true }.input(), None);
    }
}
