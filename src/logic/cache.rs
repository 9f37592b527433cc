//! What was encoded lately, shared between the sessions of a profile.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::geometry::CellRect;
use crate::hypervisor::SourceId;
use crate::units::Epoch;

/// Bytes that a payload's allocation takes beside it: its counts, and what the allocator keeps and rounds up to.
const ALLOCATION_BYTES: usize = 32;

/// Names a rectangle's pixels: no cell of it has changed since tick `changed_at`, and one did in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Content {
    pub(super) source: SourceId,
    pub(super) epoch: Epoch,
    pub(super) cells: CellRect,
    pub(super) changed_at: u64,
}

/// How a cache did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheCounters {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Entries dropped to stay within the bound.
    pub evictions: u64,
    /// Entries held now.
    pub entries: u64,
    /// Bytes that they count for now.
    pub bytes: u64,
}

/// A map that holds at most `bytes_max` bytes. It keeps two generations: what is used moves to the young one;
/// when that is half of the bound, the old one is dropped and the young one becomes old. So nothing that was
/// used lately goes, and no use costs more than a look-up.
#[derive(Debug)]
pub(super) struct BoundedCache<K, V> {
    bytes_max: usize,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, Held<V>>,
    old: HashMap<K, Held<V>>,
    young_bytes: usize,
    old_bytes: usize,
    counters: CacheCounters,
}

#[derive(Debug)]
struct Held<V> {
    value: V,
    bytes: usize,
}

impl<K: Copy + Eq + Hash, V: Clone> BoundedCache<K, V> {
    /// Bytes that an entry counts for beside its payload. A table has between 8/7 and 16/7 places for each entry.
    const ENTRY_BYTES: usize = 2 * size_of::<(K, Held<V>)>() + ALLOCATION_BYTES;

    /// An empty cache.
    pub(super) fn new(bytes_max: usize) -> Self {
        let generations = Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            old_bytes: 0,
            counters: CacheCounters::default(),
        };
        Self { bytes_max, generations: Mutex::new(generations) }
    }

    /// What is kept under `key`.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        let mut held = self.lock();
        if let Some(found) = held.young.get(key) {
            let value = found.value.clone();
            held.counters.hits += 1;
            return Some(value);
        }
        let Some(found) = held.old.remove(key) else {
            held.counters.misses += 1;
            return None;
        };
        held.counters.hits += 1;
        held.old_bytes -= found.bytes;
        let value = found.value.clone();
        let dropped = held.insert(*key, found, self.bytes_max);
        drop(held);
        drop(dropped);
        Some(value)
    }

    /// Keeps `value`, whose payload has `payload_bytes`, under `key`.
    pub(super) fn keep(&self, key: K, value: V, payload_bytes: usize) {
        let entry = Held { value, bytes: payload_bytes + Self::ENTRY_BYTES };
        let mut held = self.lock();
        let dropped = held.insert(key, entry, self.bytes_max);
        // Thousands of entries may go at once; other threads need not wait for that.
        drop(held);
        drop(dropped);
    }

    pub(super) fn counters(&self) -> CacheCounters {
        let held = self.lock();
        let entries = (held.young.len() + held.old.len()) as u64;
        CacheCounters { entries, bytes: (held.young_bytes + held.old_bytes) as u64, ..held.counters }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<K, V>> {
        // Nothing in here runs foreign code between changes that belong together, so a poisoned lock guards
        // sound data.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V> Generations<K, V> {
    /// Adds an entry to the young generation; returns what has to go for it.
    fn insert(&mut self, key: K, entry: Held<V>, bytes_max: usize) -> HashMap<K, Held<V>> {
        let mut dropped = HashMap::new();
        if self.young_bytes + entry.bytes > bytes_max / 2 {
            dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.old_bytes = std::mem::take(&mut self.young_bytes);
            self.counters.evictions += dropped.len() as u64;
        }
        if entry.bytes <= bytes_max / 2 {
            self.young_bytes += entry.bytes;
            if let Some(before) = self.young.insert(key, entry) {
                self.young_bytes -= before.bytes;
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        const ENTRY: usize = BoundedCache::<u32, u32>::ENTRY_BYTES;
        let cache = BoundedCache::new(50 * (ENTRY + 72));
        for key in 0..1_000_u32 {
            cache.keep(key, key, 72);
            assert_eq!(cache.find(&0), Some(0), "used after every one");
            let counters = cache.counters();
            assert!(counters.bytes <= 50 * (ENTRY as u64 + 72) && counters.entries <= 50, "{counters:?}");
        }
        let counters = cache.counters();
        assert_eq!(counters.evictions + counters.entries, 1_000);
        assert_eq!(cache.find(&1), None);
        assert_eq!(cache.find(&999), Some(999));
        assert_eq!((cache.counters().hits, cache.counters().misses), (1_001, 1));
    }

    #[test]
    fn replaces_without_counting_twice_and_refuses_giants() {
        const ENTRY: usize = BoundedCache::<i32, char>::ENTRY_BYTES;
        let cache = BoundedCache::new(1_000);
        cache.keep(1, 'a', 100);
        cache.keep(1, 'b', 100);
        assert_eq!((cache.find(&1), cache.counters().bytes), (Some('b'), 100 + ENTRY as u64));
        cache.keep(2, 'c', 1_000);
        assert_eq!(cache.find(&2), None);
        assert!(cache.counters().bytes <= 1_000);
    }
}
