//! What has been sent of one epoch of a surface.

use std::collections::BTreeSet;

use lfp::geometry::Size;
use lfp::units::{Epoch, PacketNumber};
use lfp_proto::record::Record;
use lfp_proto::technique::{self, Technique};

use crate::totals::Totals;
use crate::truth::Truth;

/// What was sent of one epoch.
#[derive(Debug)]
pub(crate) struct EpochLedger {
    pub(crate) size: Size,
    /// Of each cell: contents with the tick whose pixels they are; both ascend.
    pub(crate) cells: Vec<Vec<(u64, u64)>>,
    /// The server knows that the client knows the epoch.
    pub(crate) confirmed: bool,
    /// (cell, content) that the network has painted over.
    pub(crate) poisoned: BTreeSet<(usize, u64)>,
}

impl EpochLedger {
    /// A record of the epoch is sent, in packet `number`.
    pub(crate) fn on_record(
        &mut self,
        epoch: Epoch,
        number: PacketNumber,
        record: &Record<'_>,
        truth: &mut Truth,
        totals: &mut Totals,
    ) {
        let grid = self.size.grid();
        assert!(grid.contains(record.cells), "{:?} lies in {grid:?}", record.cells);
        let content = record.content(number).expect("a content above 0");
        let technique = Technique::from_wire(record.technique).expect("a technique that the client knows");
        totals.one(&format!("records: {}", technique.name()));
        let (mut scratch, mut pixels) = (technique::Scratch::default(), Vec::new());
        technique::decode(
            technique,
            record.payload,
            self.size.clip(record.cells),
            None,
            &mut scratch,
            &mut pixels,
        )
        .expect("the server's records decode");
        let tick = truth.newest_match(epoch, record.cells, &pixels);
        let tick = tick.unwrap_or_else(|| panic!("{:?} was sent with pixels that no tick had", record.cells));
        if content.0 < number.0 {
            totals.one("records repeated");
        }
        for index in record.cells.indices(grid) {
            let contents = &mut self.cells[index];
            match contents.last() {
                Some((newest, _)) if content.0 <= *newest => {
                    let known = contents.iter().any(|(known, _)| *known == content.0);
                    assert!(known, "LFP-6.2: content {content:?} of cell {index} comes out of order");
                }
                Some((_, newest)) if tick < *newest => {
                    panic!(
                        "cell {index}: content {content:?} has pixels of tick {tick}, older than {newest}'s before it"
                    )
                }
                _ => {
                    assert_eq!(content.0, number.0, "LFP-6.2: new content is numbered by its first packet");
                    let picture = truth.picture(tick).expect("live");
                    let (x, y) = (index % usize::from(grid.columns), index / usize::from(grid.columns));
                    let changed = picture.changed_at(x as u16, y as u16);
                    let again = contents.last().is_some_and(|(_, sent)| *sent >= changed);
                    totals.many("cells sent again", u64::from(again));
                    contents.push((content.0, tick));
                }
            }
        }
    }
}
