//! What the server knows of each source: its newest tick, how fast it is watched, who types.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::hypervisor::SourceId;
use crate::limits::INPUT_HOLD;
use crate::logic::SessionKey;
use crate::scan::Tick;
use crate::server::Demand;
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
    rate_hz: u32,
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
    pub(super) fn watch(&mut self, watches: impl Iterator<Item = (SourceId, u32)>) {
        let mut rates = BTreeMap::new();
        for (source, rate_hz) in watches {
            let rate: &mut u32 = rates.entry(source).or_default();
            *rate = rate_hz.max(*rate);
            self.sources.entry(source).or_default();
        }
        for (id, source) in &mut self.sources {
            let rate_hz = rates.get(id).copied().unwrap_or(0);
            if source.rate_hz != rate_hz {
                source.rate_hz = rate_hz;
                self.demands.retain(|demand| demand.source != *id);
                self.demands.push_back(Demand { source: *id, rate_hz });
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
