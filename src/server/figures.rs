//! What a server and its sessions have done, as JSON for people and programs. `docs/CONFIGURATION.md` has the fields,
//! `docs/STATISTICS.md` the counters.

use serde_json::{Map, Value, json};

use crate::server::{Server, SessionStatus};
use crate::time::{Instant, micros};
use lfp_proto::frame::{Refusal, Way};
use lfp_proto::tally::Tally;

impl Server {
    /// Everything that it counts, and each session as it stands at `now`.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Value {
        let sessions: Vec<_> = self.status().map(|status| status.figures(now)).collect();
        json!({
            "uptime_s": now.saturating_since(Instant::ZERO).as_secs(),
            "server": self.stats(),
            "sessions": sessions,
        })
    }
}

impl SessionStatus {
    /// The session as it stands at `now`.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Value {
        let Self { path, stats, streams, .. } = self;
        let mut figures = json!({
            "service": self.service,
            "place": self.place,
            "address": self.address.to_string(),
            "age_s": now.saturating_since(self.began_at).as_secs(),
            "rtt_us": micros(path.rtt),
            "rate_bps": path.rate.as_bps(),
            "down": way(path.down),
            "up": way(path.up),
            "client_busy_permille": path.busy,
            "pictures_halved": path.halved,
            "datagram_bytes": self.datagram_bytes,
            "in_flight_bytes": self.in_flight_bytes,
            "queued_bytes": self.queued_bytes,
            "quantum_bytes": self.quantum_bytes,
            "open_cells": self.open_cells,
            "memory_bytes": self.memory_bytes,
            "cache_bytes": self.cache_bytes,
            "counts": stats,
            "streams": {
                "accepted": streams.accepted,
                "bytes_sent": streams.bytes_sent,
                "bytes_again": streams.bytes_again,
                "bytes_read": streams.bytes_read,
                "broken": streams.broken,
            },
        });
        let refused = Refusal::ALL.iter().zip(stats.records_refused);
        let refused = refused.map(|(reason, count)| (format!("{reason:?}").to_lowercase(), count.into()));
        figures["records_refused"] = Value::Object(refused.collect::<Map<_, _>>());
        figures["techniques"] =
            tallies(stats.sent.by_technique().map(|(technique, tally)| (technique.name(), tally)));
        figures["contexts"] =
            tallies(stats.sent.by_context().map(|(context, tally)| (context.name(), tally)));
        figures
    }
}

fn way(way: Way) -> Value {
    let Way { came, missing, reordered, again, jitter_us, queued_us } = way;
    json!({
        "packets": came,
        "lost": missing,
        "reordered": reordered,
        "duplicated": again,
        "jitter_us": jitter_us,
        "queued_us": queued_us,
    })
}

fn tallies(named: impl Iterator<Item = (&'static str, Tally)>) -> Value {
    let object = |tally: Tally| json!({"records": tally.records, "cells": tally.cells, "bytes": tally.bytes});
    Value::Object(named.map(|(name, tally)| (name.to_owned(), object(tally))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use crate::server::{ServerStats, SessionTotals};
    use crate::session::SessionStats;

    /// The counters that a section of the document describes.
    fn described(title: &str) -> Vec<String> {
        let document = include_str!("../../docs/STATISTICS.md");
        let (_, section) = document.split_once(&format!("## {title}\n")).expect("there is such a section");
        let lines = section.split("\n## ").next().unwrap_or_default().lines();
        let names = lines.filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let mut names: Vec<_> =
            names.filter(|(_, what)| what.len() > 6).map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    fn counted(counters: impl Serialize) -> Vec<String> {
        let value = serde_json::to_value(counters).expect("counters are plain numbers");
        let plain = value.as_object().expect("they have names").iter().filter(|(_, value)| value.is_number());
        plain.map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn every_counter_is_described_and_none_that_there_is_not() {
        assert_eq!(described("Of the server"), counted(ServerStats::default()));
        assert_eq!(described("Of sessions that are over"), counted(SessionTotals::default()));
        assert_eq!(described("Of a session"), counted(SessionStats::default()));
    }
}
