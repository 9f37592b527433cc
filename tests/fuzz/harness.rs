//! Runs targets: seeds, iterations, what is counted, and what is printed when an oracle panics.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use crate::mutate::Rng;
use crate::seeds::Seeds;

/// Longest input of one piece.
pub(crate) const INPUT_MAX: usize = 16 * 1024;
/// Inputs for each target, unless the environment says otherwise.
const ITERATIONS: u64 = 20_000;
/// Memory that the whole run may take at its peak, in KiB. Nothing that a target is given asks for more than two
/// pictures of the largest surface.
const MEMORY_MAX_KIB: u64 = 768 * 1024;

/// What is fuzzed.
pub(crate) struct Target {
    /// Names it in the output and its folder in `corpus/`.
    pub(crate) name: &'static str,
    /// What inputs are made from, beside the corpus.
    pub(crate) seeds: Seeds,
    /// Makes an input from the seeds.
    pub(crate) make: fn(&[Vec<u8>], &mut Rng) -> Vec<u8>,
    /// Panics if an input does harm.
    pub(crate) oracle: Oracle,
    /// How many times longer than a parser's call an input takes: so many times fewer are tried.
    pub(crate) cost: u64,
}

/// What must hold of every input.
#[derive(Clone, Copy)]
pub(crate) enum Oracle {
    /// An input is taken whole or not at all.
    Whole(fn(&[u8]) -> Outcome),
    /// An input is a script of many things that are taken or not.
    Script(fn(&[u8], &mut Tally)),
}

/// Whether an input was taken; if not, why, in few words of which there are few.
pub(crate) type Outcome = Result<(), &'static str>;

/// What became of the inputs of a target, or of the datagrams in them.
#[derive(Default)]
pub(crate) struct Tally {
    taken: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Ok(()) => self.taken += 1,
            Err(reason) => self.refuse(reason, 1),
        }
    }

    pub(crate) fn take(&mut self, count: u64) {
        self.taken += count;
    }

    pub(crate) fn refuse(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    /// Everything counted.
    pub(crate) fn total(&self) -> u64 {
        self.taken + self.refused.values().sum::<u64>()
    }
}

/// Reasons that are named in the output, the most frequent first; the rest is summed up.
const REASONS_SHOWN: usize = 8;

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taken, {} refused", self.taken, self.total() - self.taken)?;
        let mut reasons: Vec<_> = self.refused.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let (shown, rest) = reasons.split_at(reasons.len().min(REASONS_SHOWN));
        for (at, (reason, count)) in shown.iter().enumerate() {
            write!(f, "{} {count} {reason}", if at == 0 { ":" } else { "," })?;
        }
        let others: u64 = rest.iter().map(|(_, count)| **count).sum();
        if others > 0 { write!(f, ", {others} for {} more reasons", rest.len()) } else { Ok(()) }
    }
}

/// How much is tried, by the environment.
pub(crate) struct Extent {
    iterations: u64,
    seed: u64,
    only: String,
}

impl Extent {
    pub(crate) fn from_env() -> Self {
        Self {
            iterations: from_env("LFP_FUZZ_ITERATIONS", ITERATIONS),
            seed: from_env("LFP_FUZZ_SEED", 1),
            only: std::env::var("LFP_FUZZ_TARGET").unwrap_or_default(),
        }
    }

    /// Whether at least as much is tried as by default.
    pub(crate) fn is_whole(&self) -> bool {
        self.iterations >= ITERATIONS && self.only.is_empty()
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}"))
}

/// Runs every target that the environment asks for. Returns how much was counted in each.
pub(crate) fn run(targets: &[Target], extent: &Extent) -> BTreeMap<&'static str, u64> {
    let Extent { seed, iterations, only } = extent;
    let mut totals = BTreeMap::new();
    for target in targets.iter().filter(|target| target.name.contains(only)) {
        let seeds = target.seeds.load(target.name);
        let mut tally = Tally::default();
        for (at, input) in seeds.iter().enumerate() {
            attempt(target, input, &mut tally, || format!("seed file or vector {at}"));
        }
        let iterations = iterations / target.cost;
        // Each target has a run of its own, whatever others stand beside it.
        let own = u64::from(crc32fast::hash(target.name.as_bytes()));
        for iteration in 0..iterations {
            let mut rng = Rng::new(seed ^ own << 32 ^ iteration.wrapping_mul(0x9e37_79b9));
            let input = (target.make)(&seeds, &mut rng);
            attempt(target, &input, &mut tally, || format!("LFP_FUZZ_SEED={seed}, iteration {iteration}"));
        }
        println!("{:>14}: {} seeds, {iterations} inputs, {tally}", target.name, seeds.len());
        assert!(tally.taken > 0 || iterations < 1_000, "{}: inputs reach nothing", target.name);
        let peak = peak_memory_kib();
        assert!(peak <= MEMORY_MAX_KIB, "{}: {peak} KiB of memory at the peak", target.name);
        totals.insert(target.name, tally.total());
    }
    totals
}

fn attempt(target: &Target, input: &[u8], tally: &mut Tally, origin: impl FnOnce() -> String) {
    let tried = panic::catch_unwind(AssertUnwindSafe(|| match target.oracle {
        Oracle::Whole(oracle) => tally.count(oracle(input)),
        Oracle::Script(oracle) => oracle(input, tally),
    }));
    tried.unwrap_or_else(|panic| {
        println!("target {} fails on {}, input as hex:\n{}", target.name, origin(), hex(input));
        panic::resume_unwind(panic)
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most memory that this process ever held.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says so");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}
