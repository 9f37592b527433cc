//! What the server knows of each source: its newest tick, how fast it is watched, who types.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::hypervisor::SourceId;
use crate::limits::INPUT_HOLD;
use crate::logic::SessionKey;
use crate::pixel::Bounds;
use crate::scan::Tick;
use crate::server::Demand;
use crate::session::Watch;
use crate::time::Instant;

/// Every source that ticked, or is or was watched.
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
    /// A tick came. Says whether it is the newest of its source, as it is shown.
    pub(super) fn on_tick(&mut self, tick: &Arc<Tick>) -> bool {
        let Source { newest, fitted, bounds, .. } = self.sources.entry(tick.source).or_default();
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
        let mut wanted: BTreeMap<SourceId, (u32, Vec<Bounds>)> = BTreeMap::new();
        for Watch { source, rate_hz, bounds } in watches {
            let (rate, all) = wanted.entry(source).or_default();
            *rate = rate_hz.max(*rate);
            if bounds != Bounds::default() && !all.contains(&bounds) {
                all.push(bounds);
            }
            self.sources.entry(source).or_default();
        }
        for (id, source) in &mut self.sources {
            let (rate_hz, bounds) = wanted.remove(id).unwrap_or_default();
            if (source.rate_hz, &source.bounds) != (rate_hz, &bounds) {
                let fits = |tick: &Arc<Tick>| bounds.iter().any(|bounds| bounds.fit(tick.full) == tick.fit);
                source.fitted.retain(fits);
                (source.rate_hz, source.bounds) = (rate_hz, bounds.clone());
                self.demands.retain(|demand| demand.source != *id);
                self.demands.push_back(Demand { source: *id, rate_hz, bounds });
            }
        }
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
