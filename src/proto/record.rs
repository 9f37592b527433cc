//! The record: one rectangle of cells, put into bytes by one technique, decodable from itself and its base.

use alloc::vec::Vec;

use crate::geometry::CellRect;
use crate::limits::{CELL, DATAGRAM_MAX, REFERENCES_MAX, SURFACE_SIDE_MAX};
use crate::technique::Technique;
use crate::units::{ContentNumber, PacketNumber};
use crate::wire::{Malformed, Put, Reader, varint_len};

/// Most bytes that a record's header takes: everything but the payload.
pub const RECORD_HEADER_MAX: usize = 1 + 1 + 4 * 2 + 10 + 1 + 4 + 2;

/// What a region holds. Rides along so that a client can show why it was sent as it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Context {
    /// Not examined.
    #[default]
    Unknown = 0,
    /// One colour.
    Flat = 1,
    /// Writing: a few colours and hard edges.
    Text = 2,
    /// Lines, buttons, icons: a few colours, and less on them than on writing.
    Interface = 3,
    /// A photograph, or a picture painted like one.
    Photo = 4,
    /// Colours that change slowly and evenly.
    Gradient = 5,
    /// A moving picture.
    Video = 6,
    /// Content that moves inside a frame that stays.
    Scroll = 7,
    /// A window or an icon that moves with its frame.
    Drag = 8,
    /// Cells that flip between two contents.
    Blink = 9,
    /// Pixels without any order.
    Noise = 10,
}

impl Context {
    /// Every context, in the order of the numbers.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Flat,
        Self::Text,
        Self::Interface,
        Self::Photo,
        Self::Gradient,
        Self::Video,
        Self::Scroll,
        Self::Drag,
        Self::Blink,
        Self::Noise,
    ];

    /// A number from the wire; one that this version does not know is [`Context::Unknown`].
    #[must_use]
    pub const fn from_wire(value: u8) -> Self {
        if (value as usize) < Self::ALL.len() { Self::ALL[value as usize] } else { Self::Unknown }
    }

    /// The colour that stands for it in pictures of what is seen, `0x00RRGGBB`.
    #[must_use]
    pub const fn colour(self) -> u32 {
        match self {
            Self::Unknown => 0x80_80_80,
            Self::Flat => 0xc8_c8_c8,
            Self::Text => 0x20_70_ff,
            Self::Interface => 0x00_c0_c0,
            Self::Photo => 0xff_90_00,
            Self::Gradient => 0xe0_d0_00,
            Self::Video => 0xff_00_30,
            Self::Scroll => 0x20_b0_20,
            Self::Drag => 0x80_ff_20,
            Self::Blink => 0xff_40_ff,
            Self::Noise => 0x70_30_a0,
        }
    }

    /// The name as it stands in SPEC section 6 and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Flat => "flat",
            Self::Text => "text",
            Self::Interface => "interface",
            Self::Photo => "photo",
            Self::Gradient => "gradient",
            Self::Video => "video",
            Self::Scroll => "scroll",
            Self::Drag => "drag",
            Self::Blink => "blink",
            Self::Noise => "noise",
        }
    }
}

/// What a record is decoded against.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Base {
    /// Nothing.
    #[default]
    None,
    /// A frozen picture that the client keeps.
    Reference {
        /// Which of them.
        slot: u8,
        /// CRC-32 over the base cells' content numbers.
        check: u32,
    },
    /// The picture as it was before this datagram.
    Current {
        /// CRC-32 over the base cells' content numbers.
        check: u32,
    },
}

/// One rectangle of cells in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Number of the technique; [`Technique::from_wire`] says whether this version knows it.
    pub technique: u8,
    /// Number of the context, see [`Context`].
    pub context: u8,
    /// The cells, not yet checked against any surface.
    pub cells: CellRect,
    /// The packet number less this is the record's content number.
    pub age: u64,
    /// What it is decoded against.
    pub base: Base,
    /// The technique's bytes.
    pub payload: &'a [u8],
}

const TECHNIQUE_BITS: u8 = 5;
/// Largest number that a technique can have.
pub const TECHNIQUE_MAX: u8 = (1 << TECHNIQUE_BITS) - 1;
const BASE_NONE: u8 = 0;
const BASE_REFERENCE: u8 = 1;
const BASE_CURRENT: u8 = 2;

impl<'a> Record<'a> {
    /// A record without a base, sent for the first time.
    #[must_use]
    pub const fn new(technique: Technique, context: Context, cells: CellRect, payload: &'a [u8]) -> Self {
        Self { technique: technique as u8, context: context as u8, cells, age: 0, base: Base::None, payload }
    }

    /// The content number that the record has in packet `number`; `None` if its age reaches back beyond the
    /// first packet.
    #[must_use]
    pub fn content(&self, number: PacketNumber) -> Option<ContentNumber> {
        // SPEC [LFP-6.1]: A record's content number is the number of the packet that carries it less its age.
        number.0.checked_sub(self.age).filter(|content| *content > 0).map(ContentNumber)
    }

    /// Takes one record off `reader`.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let first = reader.u8()?;
        let technique = first & TECHNIQUE_MAX;
        let context = reader.u8()?;
        let mut side =
            || reader.varint_max(u64::from(SURFACE_SIDE_MAX / CELL), "record cells").map(|side| side as u16);
        let cells = CellRect { x: side()?, y: side()?, width: side()?, height: side()? };
        let age = reader.varint()?;
        let base = match first >> TECHNIQUE_BITS {
            BASE_NONE => Base::None,
            BASE_REFERENCE => {
                let slot = reader.u8()?;
                if slot >= REFERENCES_MAX {
                    return Err(Malformed::Field("reference"));
                }
                Base::Reference { slot, check: reader.u32()? }
            }
            BASE_CURRENT => Base::Current { check: reader.u32()? },
            _ => return Err(Malformed::Field("base")),
        };
        let payload = reader.prefixed(DATAGRAM_MAX, "record length")?;
        Ok(Self { technique, context, cells, age, base, payload })
    }

    /// Appends the record.
    ///
    /// # Panics
    /// If a field holds what the wire cannot carry: a technique beyond [`TECHNIQUE_MAX`], a cell beyond any
    /// surface, a slot beyond [`REFERENCES_MAX`], or a payload longer than any datagram.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let sides = [self.cells.x, self.cells.y, self.cells.width, self.cells.height];
        assert!(self.technique <= TECHNIQUE_MAX, "technique {} has no place in a record", self.technique);
        assert!(
            sides.iter().all(|side| *side <= SURFACE_SIDE_MAX / CELL),
            "{:?} lies beyond any surface",
            self.cells
        );
        assert!(
            self.payload.len() <= DATAGRAM_MAX,
            "{} bytes are longer than a datagram",
            self.payload.len()
        );
        let base = match self.base {
            Base::None => BASE_NONE,
            Base::Reference { .. } => BASE_REFERENCE,
            Base::Current { .. } => BASE_CURRENT,
        };
        out.put_u8(base << TECHNIQUE_BITS | self.technique);
        out.put_u8(self.context);
        for side in sides {
            out.put_varint(u64::from(side));
        }
        out.put_varint(self.age);
        match self.base {
            Base::None => {}
            Base::Reference { slot, check } => {
                assert!(slot < REFERENCES_MAX, "reference {slot} is beyond what any client keeps");
                out.put_u8(slot);
                out.put_u32(check);
            }
            Base::Current { check } => out.put_u32(check),
        }
        out.put_prefixed(self.payload);
    }

    /// Bytes that [`Record::emit`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let sides = [self.cells.x, self.cells.y, self.cells.width, self.cells.height];
        let base = match self.base {
            Base::None => 0,
            Base::Reference { .. } => 5,
            Base::Current { .. } => 4,
        };
        2 + sides.iter().map(|side| varint_len(u64::from(*side))).sum::<usize>()
            + varint_len(self.age)
            + base
            + varint_len(self.payload.len() as u64)
            + self.payload.len()
    }
}
