//! The JSON object at the end.

use client_lfp::{EchoStats, Histogram, PathSeen, Picture, Stats};
use lfp_proto::depth::Depth;
use lfp_proto::frame::{Refusal, Way};
use lfp_proto::tally::Tally;
use lfp_proto::time::Instant;
use lfp_proto::units::Bitrate;
use serde_json::{Map, Value, json};

use crate::cli::exit::Failure;
use crate::cli::run::Run;
use crate::cli::trust::Trusted;

/// What the run came to; the fields stand in the help text.
pub(crate) fn report(run: &Run<'_>, failure: Option<&Failure>) -> Value {
    let (client, milestones) = (run.client(), run.milestones());
    let stats = client.stats();
    let surface = client.surface();
    let (size, depth) = client.picture().map(|Picture { size, depth, .. }| (size, depth)).unzip();
    let mut report = json!({
        "state": client.state().name(),
        "error": failure.map(ToString::to_string),
        "warnings": run.warnings(),
        "exact": milestones.ended_exact,
        "surface": surface.map(|surface| surface.state.name()),
        "surface_text": surface.map(|surface| surface.text),
        "epoch": surface.map(|surface| surface.epoch.0),
        "width": size.map(|size| size.width),
        "height": size.map(|size| size.height),
        "depth": depth.map(Depth::bits),
        "first_picture_ms": millis(client.painted_at()),
        "exact_ms": millis(milestones.exact),
        "settle_ms": millis(milestones.settled),
        "bytes_down": stats.bytes_down,
        "bytes_up": stats.bytes_up,
        "datagrams_down": stats.datagrams_down,
        "datagrams_up": stats.datagrams_up,
        "datagram_longest": stats.datagram_longest,
        "sockets_renewed": run.sockets_renewed(),
        "cells_applied": stats.cells_applied,
        "cells_repaired": stats.cells_repaired,
        "records_applied": stats.records_applied,
        "records_superseded": stats.records_superseded,
        "holds": stats.holds,
        "stores": stats.stores,
        "records_refused": refused(stats),
        "techniques": tallies(stats.came.by_technique().map(|(technique, tally)| (technique.name(), tally))),
        "contexts": tallies(stats.came.by_context().map(|(context, tally)| (context.name(), tally))),
        "packets_lost": stats.packets_lost,
        "packets_recovered": stats.packets_recovered,
        "duplicates": stats.duplicates,
        "malformed": stats.malformed,
        "foreign": stats.foreign,
        "digests": {
            "sent": stats.digests_sent,
            "exact": stats.digests_exact,
            "differed": stats.digests_differed,
        },
        "input": {
            "events": stats.input_events,
            "frames": stats.input_frames,
            "dropped": stats.input_dropped,
            "dropped_by_server": stats.input_dropped_by_server,
            "undone": run.input_undone(),
        },
        "staleness_ms": staleness(&stats.staleness_us, stats.clock_error_us),
        "echo_ms": echo(&stats.echo),
        "rtt_us": client.rtt_us(),
        "path": path(&client.path()),
        "peak_memory_bytes": peak_memory_bytes(),
        "server": run.server(),
    });
    report["reconnects"] = run.reconnects().into();
    report["cells_kept"] = stats.cells_kept.into();
    protected(run, &mut report);
    report
}

/// How the session was protected.
fn protected(run: &Run<'_>, report: &mut Value) {
    let client = run.client();
    report["protection"] = if run.trusted().is_some() { "sealed" } else { "plain" }.into();
    report["cipher"] = json!(client.cipher().map(|cipher| format!("{cipher:?}").to_lowercase()));
    report["server_key"] = json!(client.server_key().map(|key| key.fingerprint().to_string()));
    report["server_key_new"] = run.trusted().is_some_and(Trusted::is_new).into();
}

/// What the path did, each way.
fn path(seen: &PathSeen) -> Value {
    let way = |way: Way| {
        json!({
            "packets": way.came,
            "lost": way.missing,
            "reordered": way.reordered,
            "duplicated": way.again,
            "jitter_ms": way.jitter_us as f64 / 1000.0,
            "queued_ms": way.queued_us as f64 / 1000.0,
        })
    };
    json!({
        "rate_bps": seen.rate.map(Bitrate::as_bps),
        "down": way(seen.down),
        "up": way(seen.up),
        "ecn": {"unmarked": seen.ecn.ect0, "marked": seen.ecn.ce},
    })
}

fn refused(stats: &Stats) -> Value {
    let reasons = Refusal::ALL.iter().zip(stats.records_refused);
    let named = reasons.map(|(reason, count)| (format!("{reason:?}").to_lowercase(), count.into()));
    Value::Object(named.collect::<Map<_, _>>())
}

fn tallies(named: impl Iterator<Item = (&'static str, Tally)>) -> Value {
    let object = |tally: Tally| json!({"regions": tally.records, "cells": tally.cells, "bytes": tally.bytes});
    Value::Object(named.map(|(name, tally)| (name.to_owned(), object(tally))).collect::<Map<_, _>>())
}

/// What input took until its answer was shown, and the parts of that.
fn echo(stats: &EchoStats) -> Value {
    let mut echo = ranks(&stats.total_us);
    echo["n"] = stats.total_us.count().into();
    echo["max"] = json!(in_ms(stats.total_us.max()));
    echo["uncounted"] = stats.uncounted.into();
    for (part, spans_us) in stats.parts() {
        echo[part] = ranks(spans_us);
    }
    echo
}

fn ranks(spans_us: &Histogram) -> Value {
    let rank = |percent| in_ms(spans_us.percentile(percent));
    json!({"p50": rank(50), "p95": rank(95), "p99": rank(99)})
}

fn in_ms(us: Option<u64>) -> Option<f64> {
    us.map(|us| us as f64 / 1000.0)
}

fn staleness(ages_us: &Histogram, clock_error_us: u64) -> Value {
    let mut staleness = ranks(ages_us);
    staleness["n"] = ages_us.count().into();
    staleness["max"] = json!(in_ms(ages_us.max()));
    staleness["clock_error"] = json!(in_ms(Some(clock_error_us)));
    staleness
}

fn millis(at: Option<Instant>) -> Option<f64> {
    at.map(|at| at.as_micros() as f64 / 1000.0)
}

/// The most memory that the process has had resident, as Linux tells it.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
