//! What happened, over all runs. What the gate asks for and never happened fails it.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name. Names are nouns in the plural, or name a path that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    counts: BTreeMap<String, u64>,
    largest: BTreeMap<String, u64>,
}

impl Totals {
    /// Counts one.
    pub(crate) fn one(&mut self, name: &str) {
        self.many(name, 1);
    }

    /// Counts `count`; a zero makes the name known.
    pub(crate) fn many(&mut self, name: &str, count: u64) {
        match self.counts.get_mut(name) {
            Some(total) => *total += count,
            None => drop(self.counts.insert(name.to_owned(), count)),
        }
    }

    /// Keeps the largest.
    pub(crate) fn at_most(&mut self, name: &str, value: u64) {
        let largest = self.largest.entry(name.to_owned()).or_default();
        *largest = (*largest).max(value);
    }

    /// How many.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Adds those of another run.
    pub(crate) fn add(&mut self, other: &Self) {
        other.counts.iter().for_each(|(name, count)| self.many(name, *count));
        other.largest.iter().for_each(|(name, value)| self.at_most(name, *value));
    }

    /// The names of `required` that never happened.
    pub(crate) fn missing(&self, required: &[&str]) -> Vec<String> {
        required.iter().filter(|name| self.count(name) == 0).map(|name| (*name).to_owned()).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.counts {
            writeln!(f, "{count:>12}  {name}")?;
        }
        for (name, value) in &self.largest {
            writeln!(f, "{value:>12}  {name} (largest)")?;
        }
        Ok(())
    }
}
