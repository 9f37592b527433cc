//! Bounded, seeded fuzzing of everything that parses bytes from outside, on stable Rust.
//!
//! `LFP_FUZZ_ITERATIONS` inputs are tried per target (20,000 unless set; fewer where one takes long), from
//! `LFP_FUZZ_SEED` (1), for targets whose name contains `LFP_FUZZ_TARGET` (all). Seeds are the golden vectors and
//! the files in `corpus/<target>/`, hex text each; those are also tried as they are. A failure prints the input as
//! hex: put it into that folder, so that it is tried for ever.

mod files;
mod harness;
mod mutate;
mod oracles;
mod script;
mod seeds;
mod traffic;

use harness::Oracle::{Script, Whole};
use harness::{Extent, Target};
use oracles::{channels, client, files as file, proto, server, streams, texts, window};
use seeds::Seeds::{Golden, Made};

// A new target is one line here, an oracle in `oracles/`, and seeds if no golden vectors fit.

const fn target(name: &'static str, golden: &'static str, oracle: fn(&[u8]) -> harness::Outcome) -> Target {
    Target { name, seeds: Golden(golden), make: mutate::mutated, oracle: Whole(oracle), cost: 1 }
}

const fn text(
    name: &'static str,
    seeds: fn() -> Vec<Vec<u8>>,
    oracle: fn(&[u8]) -> harness::Outcome,
) -> Target {
    Target { name, seeds: Made(seeds), make: mutate::mutated, oracle: Whole(oracle), cost: 1 }
}

/// The wire.
const WIRE: &[Target] = &[
    Target { make: mutate::checksummed, ..target("datagram", "datagrams", proto::datagram) },
    Target { make: mutate::checksummed, ..target("malformed", "malformed", proto::datagram) },
    target("data", "frames", proto::data),
    target("frame", "frames", proto::frame),
    target("record", "records", proto::record),
    Target { make: mutate::payload, ..target("hello", "datagrams", proto::hello) },
    Target { make: mutate::payload, ..target("challenge", "datagrams", proto::challenge) },
    Target { make: mutate::payload, ..target("accept", "datagrams", proto::accept) },
    Target { make: mutate::payload, ..target("refuse", "datagrams", proto::refuse) },
    Target { make: mutate::payload, ..target("greeting", "datagrams", proto::greeting) },
    Target { cost: 8, ..target("sealed", "sealed", proto::sealed) },
    Target { make: mutate::payload, cost: 200, ..target("noise", "sealed", proto::noise) },
    Target { seeds: Made(seeds::techniques), ..target("technique", "", proto::technique) },
    target("bitmap", "techniques", proto::bitmap),
    target("encoder", "techniques", proto::encoder),
    target("lossy", "techniques", proto::lossy),
    target("lossy-encoder", "techniques", proto::lossy_encoder),
    target("text", "frames", proto::text),
    target("cell-set", "frames", proto::cell_set),
    target("receive-window", "frames", window::receive),
    target("streams", "frames", streams::receive),
];

/// Datagrams to a server that has sessions, 50 an input.
const SERVER: Target = Target {
    name: "server",
    seeds: Made(seeds::traffic),
    make: traffic::to_server,
    oracle: Script(server::server),
    cost: 1,
};

/// Datagrams to a client, 50 an input.
const CLIENT: Target = Target {
    name: "client",
    seeds: Made(seeds::traffic),
    make: traffic::to_client,
    oracle: Script(client::client),
    cost: 1,
};

/// What guests, hypervisors and other processes hand to sources.
const SOURCES: &[Target] = &[
    text("shm-header", || vec![files::shm()[..1152].to_vec()], file::shm_header),
    Target {
        name: "shm-file",
        seeds: Made(Vec::new),
        make: files::shm_script,
        oracle: Script(file::shm),
        cost: 10,
    },
    Target {
        name: "xwd-file",
        seeds: Made(Vec::new),
        make: files::xwd_script,
        oracle: Script(file::xwd),
        cost: 10,
    },
    Target {
        name: "trace-file",
        seeds: Made(files::traces),
        make: files::trace_file,
        oracle: Script(file::trace),
        cost: 10,
    },
    Target { make: mutate::words, ..text("fbdev-mode", seeds::devices, texts::device) },
    text("qmp", seeds::monitor, texts::monitor),
    text("query-pci", seeds::pci, texts::display),
    text("dispi-mode", seeds::registers, texts::registers),
    text("guest-port", seeds::host, texts::guest_port),
    text("proc-net-unix", seeds::sockets, texts::sockets),
];

/// What a host and an appliance say to each other.
const CHANNELS: &[Target] = &[
    text("control-channel", seeds::control_channel, channels::control),
    text("guest-port", seeds::guest_port, channels::guest),
];

/// What people write.
const PEOPLE: &[Target] = &[
    text("configuration", seeds::configurations, texts::configuration),
    text("source-spec", seeds::sources, texts::source),
    text("keys", seeds::chords, texts::keys),
    text("link-spec", seeds::links, texts::link),
];

#[test]
fn no_bytes_on_the_wire_do_harm() {
    harness::run(WIRE, &Extent::from_env());
}

/// The default run gives this many to each side.
const DATAGRAMS_MIN: u64 = 1_000_000;

fn sessions(target: Target) {
    let extent = Extent::from_env();
    let totals = harness::run(&[target], &extent);
    let datagrams: u64 = totals.values().sum();
    assert!(datagrams >= DATAGRAMS_MIN || !extent.is_whole(), "only {datagrams} datagrams");
}

#[test]
fn a_million_datagrams_do_a_server_no_harm() {
    sessions(SERVER);
}

#[test]
fn a_million_datagrams_do_a_client_no_harm() {
    sessions(CLIENT);
}

#[test]
fn nothing_that_a_source_says_does_harm() {
    harness::run(SOURCES, &Extent::from_env());
}

#[test]
fn nothing_that_a_host_or_an_appliance_says_does_harm() {
    harness::run(CHANNELS, &Extent::from_env());
}

#[test]
fn nothing_that_people_write_does_harm() {
    harness::run(PEOPLE, &Extent::from_env());
}
