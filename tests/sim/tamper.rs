//! A fault that no checksum finds: records that are changed and sealed again on the way, so that every reason to
//! refuse one occurs, and wrong pixels reach the screen for digests to find.

use lfp::geometry::CellRect;
use lfp::units::{ContentNumber, Epoch, PacketNumber, SurfaceId};
use lfp_impair::Random;
use lfp_proto::frame::{Frame, Pixels};
use lfp_proto::limits::DATAGRAM_MAX;
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::record::{Base, Record};
use lfp_proto::technique::Technique;
use lfp_proto::technique::cache::{Store, Stored, Use};

/// What is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Surface,
    Epoch,
    Cells,
    Content,
    Technique,
    Base,
    Payload,
    /// To a use of what no slot holds, or the store of another generation than the server thinks.
    Cache,
    /// To one colour that is not the right one: nothing to refuse, and wrong.
    Pixels,
}

const CHANGES: [Change; 11] = [
    Change::Surface,
    Change::Epoch,
    Change::Cells,
    Change::Content,
    Change::Technique,
    Change::Base,
    Change::Payload,
    Change::Cache,
    Change::Pixels,
    Change::Pixels,
    Change::Pixels,
];

/// A datagram changed.
#[derive(Debug)]
pub(crate) struct Tampered {
    pub(crate) bytes: Vec<u8>,
    /// What it paints wrongly.
    pub(crate) poisoned: Option<(Epoch, CellRect, ContentNumber)>,
}

/// Changes one record of a packet of the server's; `None` if it has none that can be changed so.
pub(crate) fn tamper(bytes: &[u8], random: &mut Random) -> Option<Tampered> {
    let view = View::new_checked(bytes).ok()?;
    if view.kind() != Kind::Data {
        return None;
    }
    let change = CHANGES[random.below(CHANGES.len() as u64) as usize];
    let frames: Vec<_> = view.frames().collect::<Result<_, _>>().ok()?;
    let candidates: Vec<_> = (0..frames.len()).filter(|at| matches!(frames[*at], Frame::Pixels(_))).collect();
    let at = *candidates.get(random.below(candidates.len().max(1) as u64) as usize)?;
    let Frame::Pixels(pixels) = &frames[at] else { return None };
    // Only the low half of the number is on the wire; runs are much shorter than that.
    let number = view.number(PacketNumber(0));
    let (mut records, mut poisoned) = (Vec::new(), None);
    let chosen = random.below(pixels.records().count().max(1) as u64) as usize;
    for (index, record) in pixels.records().enumerate() {
        if index != chosen {
            record.emit(&mut records);
            continue;
        }
        let payload = changed_payload(&record, change, random);
        changed(&Record { payload: &payload, ..record }, change, number).emit(&mut records);
        // A wrong payload is nearly always refused; the dictionary coder may take it for other pixels.
        if matches!(change, Change::Pixels | Change::Payload) {
            poisoned = Some((pixels.epoch, record.cells, record.content(number)?));
        }
    }
    let header = match change {
        Change::Surface => Pixels { surface: SurfaceId(pixels.surface.0 + 1), ..*pixels },
        // One that the run never reaches.
        Change::Epoch => Pixels { epoch: Epoch(pixels.epoch.0 + 1_000), ..*pixels },
        _ => *pixels,
    };
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MAX, Kind::Data, view.connection(), number);
    for (index, frame) in frames.iter().enumerate() {
        let frame = if index == at { &Frame::Pixels(Pixels { records: &records, ..header }) } else { frame };
        if !builder.push(frame) {
            return None;
        }
    }
    Some(Tampered { bytes: builder.finish(), poisoned })
}

fn changed<'a>(record: &Record<'a>, change: Change, number: PacketNumber) -> Record<'a> {
    let mut record = *record;
    match change {
        Change::Cells => record.cells.x = 1_000,
        Change::Content => record.age = number.0,
        // Of a store the ledger would no longer know that it paints nothing, so that its refusal says nothing of a base.
        Change::Technique if record.technique != Technique::Store as u8 => record.technique = 31,
        Change::Base => record.base = Base::Current { check: 1 },
        Change::Pixels => (record.technique, record.base) = (Technique::Colour as u8, Base::None),
        Change::Cache if record.technique != Technique::Store as u8 => {
            (record.technique, record.base) = (Technique::Use as u8, Base::None);
        }
        Change::Surface | Change::Epoch | Change::Payload | Change::Technique | Change::Cache => {}
    }
    record
}

fn changed_payload(record: &Record<'_>, change: Change, random: &mut Random) -> Vec<u8> {
    match change {
        Change::Payload => [record.payload, &[1; 8]].concat(),
        Change::Cache => match Store::parse(record.payload) {
            Ok(store) if record.technique == Technique::Store as u8 => {
                let generation = store.stored.generation + 1;
                Store { stored: Stored { generation, ..store.stored }, ..store }.payload()
            }
            _ => Use { stored: Stored { slot: 127, generation: u32::MAX }, x: 0, y: 0 }.payload(),
        },
        Change::Pixels => random.next().to_le_bytes()[..3].to_vec(),
        _ => record.payload.to_vec(),
    }
}
