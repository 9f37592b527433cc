//! Bounded, seeded fuzzing of everything that parses bytes from outside, on stable Rust.
//!
//! `LFP_FUZZ_ITERATIONS` inputs are tried per target (20,000 unless set), from `LFP_FUZZ_SEED` (1), for
//! targets whose name contains `LFP_FUZZ_TARGET` (all). Seeds are the golden vectors and the files in
//! `corpus/<target>/`, hex text each; those are also tried as they are. A failure prints the input as hex: put it into
//! that folder, so that it is tried for ever.

mod harness;
mod mutate;
mod oracles;

use harness::Target;
use oracles::{proto, window};

/// Every target: its name, the golden vectors that it starts from, what makes a mutated input reach deeper, and
/// the oracle, which panics if something is wrong and says whether the input was taken (if none is, the run fails).
const TARGETS: &[Target] = &[
    Target { name: "datagram", seeds: "datagrams", fix: mutate::checksum, oracle: proto::datagram },
    Target { name: "malformed", seeds: "malformed", fix: mutate::checksum, oracle: proto::datagram },
    Target { name: "data", seeds: "frames", fix: mutate::nothing, oracle: proto::data },
    Target { name: "frame", seeds: "frames", fix: mutate::nothing, oracle: proto::frame },
    Target { name: "record", seeds: "records", fix: mutate::nothing, oracle: proto::record },
    Target { name: "hello", seeds: "datagrams", fix: mutate::payload_only, oracle: proto::hello },
    Target { name: "challenge", seeds: "datagrams", fix: mutate::payload_only, oracle: proto::challenge },
    Target { name: "accept", seeds: "datagrams", fix: mutate::payload_only, oracle: proto::accept },
    Target { name: "refuse", seeds: "datagrams", fix: mutate::payload_only, oracle: proto::refuse },
    Target { name: "technique", seeds: "techniques", fix: mutate::nothing, oracle: proto::technique },
    Target { name: "bitmap", seeds: "techniques", fix: mutate::nothing, oracle: proto::bitmap },
    Target { name: "encoder", seeds: "techniques", fix: mutate::nothing, oracle: proto::encoder },
    Target { name: "text", seeds: "frames", fix: mutate::nothing, oracle: proto::text },
    Target { name: "cell-set", seeds: "frames", fix: mutate::nothing, oracle: proto::cell_set },
    Target { name: "receive-window", seeds: "frames", fix: mutate::nothing, oracle: window::receive },
    // A new target is one line here and an oracle in `oracles/`: client core, server core, send window, shm
    // header, QMP replies, configuration, trace files.
];

#[test]
fn no_input_does_harm() {
    harness::run(TARGETS);
}
