//! What the server knows of each source: its newest tick, how fast it is watched, who types.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::heat::Hint;
use crate::hypervisor::SourceId;
use crate::limits::{HINTS_MAX, INPUT_HOLD};
use crate::logic::SessionKey;
use crate::pixel::Bounds;
use crate::scan::{Strategy, Tick};
use crate::server::Demand;
use crate::session::{Watch, Wish};
use crate::time::Instant;
use lfp_proto::frame::InputKind;

/// Every source that a service shows.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<SourceId, Source>,
    demands: VecDeque<Demand>,
}

#[derive(Debug, Default)]
struct Source {
    newest: Option<Arc<Tick>>,
    /// The newest of each fit that is watched and not the source's own.
    fitted: Vec<Arc<Tick>>,
    rate_hz: u32,
    bounds: Vec<Bounds>,
    strategy: Strategy,
    /// Where the pointer was put last, in pixels.
    pointer: Option<(u16, u16)>,
    holder: Option<Holder>,
}

/// What all sessions together want of a source.
#[derive(Debug, Default)]
struct Wanted {
    rate_hz: u32,
    /// `None`: nobody wants it.
    strategy: Option<Strategy>,
    bounds: Vec<Bounds>,
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
    /// A service shows `source` from now on.
    pub(super) fn add(&mut self, source: SourceId) {
        self.sources.entry(source).or_default();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// No service shows `source` any more. Says whether one did.
    pub(super) fn remove(&mut self, source: SourceId) -> bool {
        self.demands.retain(|demand| demand.source != source);
        self.sources.remove(&source).is_some()
    }

    /// A tick came. Says whether it is the newest of its source, as it is shown; it is not if no service shows that.
    pub(super) fn on_tick(&mut self, tick: &Arc<Tick>) -> bool {
        let Some(Source { newest, fitted, bounds, .. }) = self.sources.get_mut(&tick.source) else {
            return false;
        };
        let is_watched = |tick: &Tick| bounds.iter().any(|bounds| bounds.fit(tick.full) == tick.fit);
        if tick.fit.is_native() {
            let newer = newest.as_ref().is_none_or(|newest| newest.number < tick.number);
            if newer {
                fitted.retain(|fitted| fitted.epoch >= tick.epoch);
                *newest = Some(Arc::clone(tick));
            }
            return newer;
        }
        let known = fitted.iter().position(|known| known.fit == tick.fit);
        let newer = known.is_none_or(|known| fitted[known].number < tick.number);
        if newer && is_watched(tick) {
            known.map(|known| fitted.swap_remove(known));
            fitted.push(Arc::clone(tick));
        }
        newer
    }

    /// The newest tick of a source.
    pub(super) fn newest(&self, source: SourceId) -> Option<&Arc<Tick>> {
        self.sources.get(&source)?.newest.as_ref()
    }

    /// The newest ticks of a source: of each way in which it is shown.
    pub(super) fn ticks(&self, source: SourceId) -> impl Iterator<Item = &Arc<Tick>> {
        let source = self.sources.get(&source);
        source.into_iter().flat_map(|source| source.newest.iter().chain(&source.fitted))
    }

    /// Sessions want these sources, each as fast and shown as stated; and no others.
    pub(super) fn watch(&mut self, watches: impl Iterator<Item = Watch>) {
        let mut wanted: BTreeMap<SourceId, Wanted> = BTreeMap::new();
        for Watch { source, rate_hz, strategy, bounds } in watches {
            let all = wanted.entry(source).or_default();
            all.rate_hz = rate_hz.max(all.rate_hz);
            all.strategy = all.strategy.max(Some(strategy));
            if bounds != Bounds::default() && !all.bounds.contains(&bounds) {
                all.bounds.push(bounds);
            }
        }
        for (id, source) in &mut self.sources {
            let Wanted { rate_hz, strategy, bounds } = wanted.remove(id).unwrap_or_default();
            let strategy = strategy.unwrap_or(source.strategy);
            if (source.rate_hz, source.strategy, &source.bounds) != (rate_hz, strategy, &bounds) {
                let fits = |tick: &Arc<Tick>| bounds.iter().any(|bounds| bounds.fit(tick.full) == tick.fit);
                source.fitted.retain(fits);
                (source.rate_hz, source.strategy, source.bounds) = (rate_hz, strategy, bounds);
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
        let Some(Source { holder, .. }) = self.sources.get_mut(&source) else { return Grant::Denied };
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
    demand.bounds.clone_from(&source.bounds);
    demand
}
