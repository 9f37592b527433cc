//! Runs targets: seeds, iterations, and what is printed when an oracle panics.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use serde_json::Value;

use crate::mutate::{self, Rng};

/// Longest input.
pub(crate) const INPUT_MAX: usize = 16 * 1024;
const ITERATIONS: u64 = 20_000;

/// What is fuzzed.
pub(crate) struct Target {
    /// Names it in the output and its folder in `corpus/`.
    pub(crate) name: &'static str,
    /// The file of golden vectors that it starts from, without `.json`; may be empty.
    pub(crate) seeds: &'static str,
    /// Done to every other mutated input.
    pub(crate) fix: fn(Vec<u8>) -> Vec<u8>,
    /// Panics if the input does harm; says whether it was taken.
    pub(crate) oracle: fn(&[u8]) -> bool,
}

fn from_env(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}"))
}

/// Runs every target that the environment asks for.
pub(crate) fn run(targets: &[Target]) {
    let iterations = from_env("LFP_FUZZ_ITERATIONS", ITERATIONS);
    let seed = from_env("LFP_FUZZ_SEED", 1);
    let only = std::env::var("LFP_FUZZ_TARGET").unwrap_or_default();
    for target in targets.iter().filter(|target| target.name.contains(&only)) {
        let seeds = seeds(target);
        for (at, input) in seeds.iter().enumerate() {
            attempt(target, input, || format!("seed file or vector {at}"));
        }
        // Each target has a run of its own, whatever others stand beside it.
        let own = crc32fast::hash(target.name.as_bytes());
        let mut taken = 0;
        for iteration in 0..iterations {
            let mut rng = Rng::new(seed ^ u64::from(own) << 32 ^ iteration.wrapping_mul(0x9e37_79b9));
            let mut input = mutate::mutated(&seeds, &mut rng);
            if rng.below(2) == 0 {
                input = (target.fix)(input);
            }
            let origin = || format!("LFP_FUZZ_SEED={seed}, iteration {iteration}");
            taken += u64::from(attempt(target, &input, origin));
        }
        println!("{:>14}: {} seeds, {iterations} inputs, {taken} taken", target.name, seeds.len());
        assert!(taken > 0 || iterations < 1_000, "{}: inputs reach nothing", target.name);
    }
}

fn attempt(target: &Target, input: &[u8], origin: impl FnOnce() -> String) -> bool {
    panic::catch_unwind(AssertUnwindSafe(|| (target.oracle)(input))).unwrap_or_else(|panic| {
        println!("target {} fails on {}, input as hex:\n{}", target.name, origin(), hex(input));
        panic::resume_unwind(panic)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// The golden vectors and the corpus of a target; at least one, empty if need be.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut seeds = Vec::new();
    if !target.seeds.is_empty() {
        let path = tests.join("data").join(target.seeds).with_extension("json");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let entries: Vec<Value> = serde_json::from_str(&text).expect("golden vectors are JSON");
        seeds.extend(entries.iter().filter_map(|entry| entry["hex"].as_str()).map(unhex));
    }
    let folder = tests.join("fuzz/corpus").join(target.name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    seeds.extend(files.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| unhex(&text)));
    if seeds.is_empty() {
        seeds.push(Vec::new());
    }
    seeds
}
