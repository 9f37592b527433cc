//! What is said once more, into packets.

use super::Live;
use crate::limits::RECORDS_MAX;
use crate::session::carried::Item;
use crate::session::stats::SessionStats;
use crate::units::PacketNumber;
use lfp_proto::frame::{Frame, Pixels};
use lfp_proto::packet::Builder;
use lfp_proto::record;
use lfp_proto::wire::varint_len;

impl Live {
    /// Puts small updates into packet `number` once more: those whose time has come, or all that are open. References stay
    /// as they are while there are such.
    pub(in crate::session) fn put_repeats(
        &mut self,
        builder: &mut Builder,
        number: PacketNumber,
        scratch: &mut Vec<u8>,
        items: &mut Vec<Item>,
        all: bool,
        stats: &mut SessionStats,
    ) {
        let Self { repeats, references, cells, surface, epoch, .. } = self;
        let (surface, epoch) = (*surface, *epoch);
        repeats.prune(cells, references);
        let holds = items.iter().any(|item| matches!(item, Item::Hold { surface: of, .. } if *of == surface));
        let records =
            items.iter().filter(|item| matches!(item, Item::Pixels { .. } | Item::Store { .. })).count();
        if !(holds || references.announce(builder, number, items)) {
            return;
        }
        let head = 1 + varint_len(u64::from(surface.0)) + varint_len(u64::from(epoch.0));
        let room = builder.room().saturating_sub(head + varint_len(builder.room() as u64));
        let mut left = RECORDS_MAX.saturating_sub(records);
        scratch.clear();
        repeats.say(all, |repeat| {
            let (record, content) = (&repeat.record, repeat.content);
            let before = scratch.len();
            let base = record.base.map_or(Some(record::Base::None), |used| references.wire(used));
            let Some(base) = base.filter(|_| left > 0 && content.0 < number.0) else { return false };
            // SPEC [LFP-6.2]: the same pixels sent again MUST keep it.
            let again = record::Record { age: number.0 - content.0, ..record.wire(base) };
            again.emit(scratch);
            if scratch.len() > room {
                scratch.truncate(before);
                return false;
            }
            left -= 1;
            stats.records_repeated += 1;
            stats.bytes_repeated += (scratch.len() - before) as u64;
            let (cells, on) = (record.cells, references.built_on(record));
            items.push(Item::Pixels { surface, epoch, cells, content, on, used: None });
            true
        });
        if !scratch.is_empty() {
            let pushed = builder.push(&Frame::Pixels(Pixels { surface, epoch, records: scratch }));
            assert!(pushed, "{} bytes of records do not fit {room}", scratch.len());
        }
    }
}
