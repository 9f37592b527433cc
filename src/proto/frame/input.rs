//! INPUT and INPUT_ACK: keys, buttons and motion, each event repeated until it is acked.

use alloc::vec::Vec;

use crate::keys;
use crate::limits::INPUT_PENDING_MAX;
use crate::units::SurfaceId;
use crate::wire::{Malformed, Put, Reader};

/// A mouse button.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Button {
    /// Left.
    Left = 0,
    /// Middle.
    Middle = 1,
    /// Right.
    Right = 2,
    /// First side button.
    Side = 3,
    /// Second side button.
    Extra = 4,
}

impl Button {
    /// Every button, in the order of its number.
    pub const ALL: [Self; 5] = [Self::Left, Self::Middle, Self::Right, Self::Side, Self::Extra];
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InputKind {
    /// A key went down or up. The code is Linux's (`KEY_*` of input-event-codes.h).
    Key {
        /// The key.
        code: u16,
        /// Down, else up.
        down: bool,
    },
    /// A button went down or up.
    Button {
        /// The button.
        button: Button,
        /// Down, else up.
        down: bool,
    },
    /// The pointer stands at a pixel of the surface.
    MoveTo {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// The pointer moved by so many pixels.
    MoveBy {
        /// To the right.
        dx: i16,
        /// Down.
        dy: i16,
    },
    /// The wheel turned by so many notches.
    Wheel {
        /// To the right.
        dx: i8,
        /// Away from the user is negative, towards is positive: the content moves up.
        dy: i8,
    },
    /// The client lost the focus: everything held is released.
    FocusLost,
}

impl InputKind {
    /// Whether the screen is expected to answer: a key that goes down and is no modifier, a button, the wheel. What a
    /// release or a move of the pointer changes, if anything, is of other making.
    #[must_use]
    pub const fn is_echoed(self) -> bool {
        match self {
            Self::Key { code, down } => down && !keys::is_modifier(code),
            Self::Button { .. } | Self::Wheel { .. } => true,
            Self::MoveTo { .. } | Self::MoveBy { .. } | Self::FocusLost => false,
        }
    }

    /// Whether this lets go of something, and so must never be dropped.
    #[must_use]
    pub const fn is_release(self) -> bool {
        matches!(self, Self::Key { down: false, .. } | Self::Button { down: false, .. } | Self::FocusLost)
    }
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InputEvent {
    /// Its number, from 1, ascending; numbers that are left out were dropped by the client.
    pub sequence: u64,
    /// What happened.
    pub kind: InputKind,
}

/// Every event that the server has not acked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The surface that has the focus.
    pub surface: SurfaceId,
    /// 1 to [`INPUT_PENDING_MAX`] events, ascending by sequence.
    pub events: Vec<InputEvent>,
}

impl Input {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let surface = SurfaceId(reader.varint_u16("surface")?);
        let count = reader.varint_max(INPUT_PENDING_MAX as u64, "input event count")?;
        if count == 0 {
            return Err(Malformed::Field("input event count"));
        }
        let mut events = Vec::with_capacity(count as usize);
        let mut sequence = 0_u64;
        for _ in 0..count {
            let step = reader.varint()?;
            sequence =
                sequence.checked_add(step).filter(|_| step > 0).ok_or(Malformed::Field("input sequence"))?;
            events.push(InputEvent { sequence, kind: parse_kind(reader)? });
        }
        Ok(Self { surface, events })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let count = self.events.len();
        assert!((1..=INPUT_PENDING_MAX).contains(&count), "{count} input events in one frame");
        out.put_varint(u64::from(self.surface.0));
        out.put_varint(count as u64);
        let mut previous = 0;
        for event in &self.events {
            assert!(event.sequence > previous, "input event {} behind {previous}", event.sequence);
            out.put_varint(event.sequence - previous);
            previous = event.sequence;
            emit_kind(event.kind, out);
        }
    }
}

mod tag {
    pub(super) const KEY_UP: u8 = 0;
    pub(super) const KEY_DOWN: u8 = 1;
    pub(super) const BUTTON_UP: u8 = 2;
    pub(super) const BUTTON_DOWN: u8 = 3;
    pub(super) const MOVE_TO: u8 = 4;
    pub(super) const MOVE_BY: u8 = 5;
    pub(super) const WHEEL: u8 = 6;
    pub(super) const FOCUS_LOST: u8 = 7;
}

fn parse_kind(reader: &mut Reader<'_>) -> Result<InputKind, Malformed> {
    let tag = reader.u8()?;
    Ok(match tag {
        tag::KEY_UP | tag::KEY_DOWN => InputKind::Key { code: reader.u16()?, down: tag == tag::KEY_DOWN },
        tag::BUTTON_UP | tag::BUTTON_DOWN => {
            let number = usize::from(reader.u8()?);
            let button = *Button::ALL.get(number).ok_or(Malformed::Field("button"))?;
            InputKind::Button { button, down: tag == tag::BUTTON_DOWN }
        }
        tag::MOVE_TO => InputKind::MoveTo { x: reader.u16()?, y: reader.u16()? },
        tag::MOVE_BY => InputKind::MoveBy { dx: reader.u16()? as i16, dy: reader.u16()? as i16 },
        tag::WHEEL => InputKind::Wheel { dx: reader.u8()? as i8, dy: reader.u8()? as i8 },
        tag::FOCUS_LOST => InputKind::FocusLost,
        _ => return Err(Malformed::Field("input event type")),
    })
}

fn emit_kind(kind: InputKind, out: &mut Vec<u8>) {
    match kind {
        InputKind::Key { code, down } => {
            out.put_u8(if down { tag::KEY_DOWN } else { tag::KEY_UP });
            out.put_u16(code);
        }
        InputKind::Button { button, down } => {
            out.put_u8(if down { tag::BUTTON_DOWN } else { tag::BUTTON_UP });
            out.put_u8(button as u8);
        }
        InputKind::MoveTo { x, y } => {
            out.put_u8(tag::MOVE_TO);
            out.put_u16(x);
            out.put_u16(y);
        }
        InputKind::MoveBy { dx, dy } => {
            out.put_u8(tag::MOVE_BY);
            out.put_u16(dx as u16);
            out.put_u16(dy as u16);
        }
        InputKind::Wheel { dx, dy } => {
            out.put_u8(tag::WHEEL);
            out.put_u8(dx as u8);
            out.put_u8(dy as u8);
        }
        InputKind::FocusLost => out.put_u8(tag::FOCUS_LOST),
    }
}

/// Which events the server has, and what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InputAck {
    /// Every event up to this number is done with.
    pub through: u64,
    /// Events of this session that were not given to the guest so far: too old, not permitted, or the guest
    /// took none.
    pub dropped: u64,
}

impl InputAck {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { through: reader.varint()?, dropped: reader.varint()? })
    }

    pub(super) fn emit(self, out: &mut Vec<u8>) {
        out.put_varint(self.through);
        out.put_varint(self.dropped);
    }
}
