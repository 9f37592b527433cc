//! What the engines see, in figures.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::geometry::{CellRect, CellSet};
use crate::hypervisor::SourceId;
use crate::limits::{DATAGRAM_MIN, RECORD_OVERHEAD};
use crate::logic::{Base, EncodeRequest, Encoded, Encoder};
use crate::scan::{Class, Delta, Picture, Tick, TickState};
use crate::units::Epoch;
use lfp_proto::record::{Base as WireBase, Context};

/// Sums over what was explained.
#[derive(Default)]
pub(super) struct Report {
    encoder: Encoder,
    /// What a client without losses shows: the picture of the tick before, and its epoch.
    shown: Option<(Epoch, Picture)>,
    ticks: u64,
    totals: Sums,
    contexts: BTreeMap<&'static str, Sums>,
    moved: u64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    records: u64,
    cells: u64,
    bytes: u64,
}

impl Sums {
    fn add(&mut self, cells: u64, bytes: u64) {
        self.records += 1;
        self.cells += cells;
        self.bytes += bytes;
    }

    fn json(self) -> Value {
        json!({"records": self.records, "cells": self.cells, "bytes": self.bytes})
    }
}

impl Report {
    /// One tick as JSON: its regions, and what the encoder makes of the cells that changed.
    pub(super) fn take_in(&mut self, tick: &Tick, at_ms: u64) -> Value {
        let TickState::Live { picture, delta } = &tick.state else { return Value::Null };
        self.ticks += 1;
        let records = self.encode(tick, delta);
        self.shown = Some((tick.epoch, Picture::clone(picture)));
        let mut techniques = BTreeMap::<&str, Sums>::new();
        let mut bytes = 0;
        for (cells, technique, context, len) in &records {
            techniques.entry(technique).or_default().add(cells.cells() as u64, *len);
            self.contexts.entry(context.name()).or_default().add(cells.cells() as u64, *len);
            self.totals.add(cells.cells() as u64, *len);
            bytes += len;
        }
        let grid = delta.cells.grid();
        let mut moved = CellSet::new(grid);
        for one in tick.contexts.moves() {
            one.cells.indices(grid).filter(|index| delta.cells.contains(*index)).for_each(|index| {
                moved.insert(index);
            });
        }
        self.moved += moved.len() as u64;
        let heat = |class: Class| {
            (0..grid.cells()).filter(|index| tick.contexts.cell(*index).class == class).count()
        };
        let moves = tick.contexts.moves().iter().map(|one| {
            json!({"cells": rect(one.cells), "from": [one.source.x, one.source.y], "by": [one.vector.dx, one.vector.dy]})
        });
        json!({
            "at_ms": at_ms,
            "tick": tick.number,
            "cells_changed": delta.cells.len(),
            "cells_moved": moved.len(),
            "bytes": bytes,
            "techniques": techniques.into_iter().map(|(name, sums)| (name.to_owned(), sums.json())).collect::<serde_json::Map<_, _>>(),
            "heat": {"cool": heat(Class::Cool), "warm": heat(Class::Warm), "hot": heat(Class::Hot)},
            "moves": moves.collect::<Vec<_>>(),
            "regions": self.regions(tick, delta, &records),
        })
    }

    fn regions(&self, tick: &Tick, delta: &Delta, records: &[Coded]) -> Vec<Value> {
        let grid = delta.cells.grid();
        let of = |region: &crate::scan::Region| {
            let changed = region.cells.indices(grid).filter(|index| delta.cells.contains(*index)).count();
            // A record counts for the region that its first cell lies in, by the rectangles alone.
            let inside = |cells: &CellRect| {
                let (x, y) = (cells.x.wrapping_sub(region.cells.x), cells.y.wrapping_sub(region.cells.y));
                x < region.cells.width && y < region.cells.height
            };
            let mut techniques = BTreeMap::<&str, u64>::new();
            for (_, technique, _, len) in records.iter().filter(|(cells, ..)| inside(cells)) {
                *techniques.entry(technique).or_default() += len;
            }
            json!({
                "cells": rect(region.cells),
                "count": region.count,
                "context": region.context.name(),
                "rule": region.rule,
                "rate_hz": region.rate_hz,
                "trend": format!("{:?}", region.trend).to_lowercase(),
                "persistence_ms": region.persistence_ms,
                "by": region.vector.map(|vector| [vector.dx, vector.dy]),
                "changed": changed,
                "bytes": techniques,
            })
        };
        tick.contexts.regions().iter().map(of).collect()
    }

    /// What the encoder sends of what changed to a client that shows what was there before, as one session would ask on a
    /// path without losses.
    fn encode(&self, tick: &Tick, delta: &Delta) -> Vec<Coded> {
        let (cells, record_max) = (delta.cells.clone(), DATAGRAM_MIN - RECORD_OVERHEAD);
        let mut request = EncodeRequest::bare(SourceId(0), tick.epoch, cells, record_max);
        if let Some((_, shown)) = self.shown.as_ref().filter(|(epoch, _)| *epoch == tick.epoch) {
            let all = CellSet::full(delta.cells.grid());
            request.base = Some(Base::new(0, tick.number, shown.clone(), all.clone()).into());
            (request.motion, request.kept) = (true, all);
        }
        let mut records = Vec::new();
        while !request.cells.is_empty() {
            let Encoded { left, records: made, .. } = self.encoder.encode(&request, tick);
            if made.is_empty() {
                break;
            }
            // The next records look at the rest; where things moved is known by then.
            request.cells = left;
            records.extend(made.iter().map(|made| {
                let base = made
                    .base
                    .map_or(WireBase::None, |used| WireBase::Reference { slot: used.slot, check: 0 });
                let len = made.wire(base).encoded_len();
                (made.cells, made.technique.name(), made.context, len as u64)
            }));
        }
        records
    }

    pub(super) fn json(&self, is_partial: bool) -> Value {
        let contexts: serde_json::Map<_, _> =
            self.contexts.iter().map(|(name, sums)| ((*name).to_owned(), sums.json())).collect();
        json!({"complete": !is_partial, "ticks": self.ticks, "total": self.totals.json(), "cells_moved": self.moved, "contexts": contexts})
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{:<10} {:>8} {:>9} {:>11}\n", "context", "records", "cells", "bytes");
        let mut line = |name: &str, sums: Sums| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<10} {:>8} {:>9} {:>11}", sums.records, sums.cells, sums.bytes);
        };
        self.contexts.iter().for_each(|(name, sums)| line(name, *sums));
        line("all", self.totals);
        let share = self.moved * 100 / self.totals.cells.max(1);
        let _ = writeln!(text, "{} ticks; {share} % of the cells had moved", self.ticks);
        text
    }
}

/// A record: its cells, technique, context and length.
type Coded = (CellRect, &'static str, Context, u64);

fn rect(cells: CellRect) -> [u16; 4] {
    [cells.x, cells.y, cells.width, cells.height]
}
