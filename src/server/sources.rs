//! What the server knows of each source: its newest tick, how fast it is watched, who types.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::heat::Hint;
use crate::hypervisor::SourceId;
use crate::limits::{HINTS_MAX, INPUT_HOLD};
use crate::logic::SessionKey;
use crate::scan::{Strategy, Tick};
use crate::server::Demand;
use crate::session::{Watch, Wish};
use crate::time::Instant;
use lfp_proto::frame::InputKind;

/// Every source that ticked, or is or was watched.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<SourceId, Source>,
    demands: VecDeque<Demand>,
}

#[derive(Debug, Default)]
struct Source {
    newest: Option<Arc<Tick>>,
    rate_hz: u32,
    strategy: Strategy,
    /// Where the pointer was put last, in pixels.
    pointer: Option<(u16, u16)>,
    holder: Option<Holder>,
}

/// The session whose input a guest gets.
#[derive(Clone, Copy, Debug)]
struct Holder {
    session: SessionKey,
    last_input: Instant,
}

/// Whether a session's input goes to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    /// It does.
    Given,
    /// It does from now on; what this session holds must be let go of first.
    TakenFrom(SessionKey),
    /// Another session holds the input.
    Denied,
}

impl Sources {
    /// A tick came. Says whether it is the newest of its source.
    pub(super) fn on_tick(&mut self, tick: &Arc<Tick>) -> bool {
        let newest = &mut self.sources.entry(tick.source).or_default().newest;
        let newer = newest.as_ref().is_none_or(|newest| newest.number < tick.number);
        if newer {
            *newest = Some(Arc::clone(tick));
        }
        newer
    }

    /// The newest tick of a source.
    pub(super) fn newest(&self, source: SourceId) -> Option<&Arc<Tick>> {
        self.sources.get(&source)?.newest.as_ref()
    }

    /// Sessions want these sources, each as fast as stated; and no others.
    pub(super) fn watch(&mut self, watches: impl Iterator<Item = Watch>) {
        let mut wanted: BTreeMap<SourceId, (u32, Option<Strategy>)> = BTreeMap::new();
        for Watch { source, rate_hz, strategy } in watches {
            let (rate, most) = wanted.entry(source).or_default();
            *rate = rate_hz.max(*rate);
            *most = (*most).max(Some(strategy));
            self.sources.entry(source).or_default();
        }
        for (id, source) in &mut self.sources {
            let (rate_hz, strategy) = wanted.get(id).copied().unwrap_or_default();
            let strategy = strategy.unwrap_or(source.strategy);
            if (source.rate_hz, source.strategy) != (rate_hz, strategy) {
                (source.rate_hz, source.strategy) = (rate_hz, strategy);
                demand(&mut self.demands, *id, source);
            }
        }
    }

    /// Input went to the guest of `source`: something is about to change where it has its effect.
    pub(super) fn warm(&mut self, source: SourceId, wish: &Wish) {
        let Some(known) = self.sources.get_mut(&source) else { return };
        let under =
            |pointer: Option<(u16, u16)>| pointer.map_or(Hint::LastChange, |(x, y)| Hint::At { x, y });
        let hint = match wish.kind {
            InputKind::MoveTo { x, y } => {
                known.pointer = Some((x, y));
                Hint::At { x, y }
            }
            // Where it leads to is the guest's to say.
            InputKind::MoveBy { .. } => {
                known.pointer = None;
                Hint::LastChange
            }
            InputKind::Button { .. } | InputKind::Wheel { .. } => under(known.pointer),
            InputKind::Key { .. } => Hint::LastChange,
            InputKind::FocusLost => return,
        };
        let hints = &mut demand(&mut self.demands, source, known).hints;
        hints.retain(|waiting| *waiting != hint);
        if hints.len() == HINTS_MAX {
            hints.remove(0);
        }
        hints.push(hint);
    }

    /// How a source is to be watched from now on, if that has changed.
    pub(super) fn next_demand(&mut self) -> Option<Demand> {
        self.demands.pop_front()
    }

    /// Whether an event of `session` at `now` goes to the guest of `source`.
    pub(super) fn grant(&mut self, now: Instant, source: SourceId, session: SessionKey) -> Grant {
        // SPEC [LFP-12.8]: With several sessions on one guest, a server MUST let one of them at a time hold keys and
        // buttons.
        let holder = &mut self.sources.entry(source).or_default().holder;
        let grant = match *holder {
            Some(Holder { session: other, last_input }) if other != session => {
                if now.saturating_since(last_input) <= INPUT_HOLD {
                    return Grant::Denied;
                }
                Grant::TakenFrom(other)
            }
            Some(_) | None => Grant::Given,
        };
        *holder = Some(Holder { session, last_input: now });
        grant
    }

    /// Whether `session` has the input of `source`.
    pub(super) fn is_holder(&self, source: SourceId, session: SessionKey) -> bool {
        let holder = self.sources.get(&source).and_then(|source| source.holder);
        holder.is_some_and(|holder| holder.session == session)
    }

    /// A session has ended: it holds no input any more.
    pub(super) fn on_end(&mut self, session: SessionKey) {
        for source in self.sources.values_mut() {
            source.holder = source.holder.filter(|holder| holder.session != session);
        }
    }
}

/// The demand for `source` that waits to be fetched, as of now.
fn demand<'a>(demands: &'a mut VecDeque<Demand>, id: SourceId, source: &Source) -> &'a mut Demand {
    let place = demands.iter().position(|demand| demand.source == id).unwrap_or_else(|| {
        demands.push_back(Demand::none(id));
        demands.len() - 1
    });
    let demand = &mut demands[place];
    (demand.rate_hz, demand.strategy) = (source.rate_hz, source.strategy);
    demand
}
