//! What others need for the same recordings: `rivals.json`, and our figures beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::figures::{Figures, rounded};
use crate::{Outcome, is_fresh};

/// One rival on one trace.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Rival {
    /// Bytes after the first picture, in thousands.
    pub(crate) play_kb: f64,
    /// Encoding and sending.
    pub(crate) server_cpu_s: f64,
    pub(crate) psnr_db: f64,
    pub(crate) client_cpu_s: f64,
    /// Bytes of the first picture, in thousands.
    pub(crate) first_kb: f64,
}

/// All of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Rivals {
    /// Who they are and how they were measured.
    pub(crate) source: String,
    /// The search for damage that they were given for free: least and most.
    pub(crate) dirty_search_cpu_s: [f64; 2],
    /// Names of those that give the exact pixels.
    pub(crate) lossless: Vec<String>,
    /// By trace and name.
    pub(crate) traces: BTreeMap<String, BTreeMap<String, Rival>>,
}

impl Rivals {
    pub(crate) fn load() -> Outcome<Self> {
        Ok(serde_json::from_str(include_str!("../rivals.json"))?)
    }

    pub(crate) fn find(&self, trace: &str, name: &str) -> Option<&Rival> {
        self.traces.get(trace)?.get(name)
    }

    /// The lossless rivals of a trace.
    pub(crate) fn lossless<'a>(&'a self, trace: &'a str) -> impl Iterator<Item = &'a Rival> + 'a {
        self.lossless.iter().filter_map(move |name| self.find(trace, name))
    }

    /// A run's figures, and those of its rivals.
    pub(crate) fn beside(&self, figures: &Figures) -> String {
        let mut text = String::new();
        let kb = |bytes: u64| bytes as f64 / 1_000.0;
        let shown = |time: Option<f64>| time.map_or("never".to_owned(), |time| format!("{time:.1}"));
        let times = &figures.update_ms;
        let _ = writeln!(
            text,
            "{}: {:.0} kB first, {:.0} kB play, {:.1} kB up; update p50 {} p95 {} p99 {} max {} ms, {} of {} frames \
             shown: {}; {} at the end",
            figures.trace,
            kb(figures.bytes_init),
            kb(figures.bytes_play),
            kb(figures.bytes_up),
            shown(times.p50),
            shown(times.p95),
            shown(times.p99),
            shown(times.max),
            figures.frames_shown,
            figures.frames_changed,
            if is_fresh(figures) { "fresh" } else { "NOT FRESH, its bytes and CPU do not count" },
            if figures.exact_final { "exact".to_owned() } else { format!("{} dB", figures.psnr_final_db) },
        );
        let _ = writeln!(
            text,
            "  {:<16} {:>9} {:>9} {:>11} {:>11} {:>7}   {:>22}",
            "", "play kB", "first kB", "server CPU", "client CPU", "dB", "LFP / it: play, first"
        );
        let mut row = |name: &str, rival: Rival, ratio: String| {
            let _ = writeln!(
                text,
                "  {name:<16} {:>9.0} {:>9.0} {:>10.2}s {:>10.2}s {:>7.1}   {ratio:>22}",
                rival.play_kb, rival.first_kb, rival.server_cpu_s, rival.client_cpu_s, rival.psnr_db
            );
        };
        let ours = Rival {
            play_kb: kb(figures.bytes_play),
            server_cpu_s: figures.server_cpu_s,
            psnr_db: figures.psnr_mean_db,
            client_cpu_s: figures.client_cpu_s,
            first_kb: kb(figures.bytes_init),
        };
        row("LFP", ours, String::new());
        for (name, rival) in self.traces.get(&figures.trace).into_iter().flatten() {
            let (play, first) = (ours.play_kb / rival.play_kb, ours.first_kb / rival.first_kb);
            row(name, *rival, format!("{play:.2} {first:>6.2}"));
        }
        for (what, kinds) in [("techniques", &figures.techniques), ("contexts", &figures.contexts)] {
            let parts = kinds.as_object().into_iter().flatten().filter(|(_, tally)| tally["regions"] != 0);
            let parts: Vec<_> = parts
                .map(|(name, tally)| {
                    let kb = rounded(tally["bytes"].as_f64().unwrap_or_default() / 1_000.0, 1);
                    format!("{name} {} regions, {} cells, {kb} kB", tally["regions"], tally["cells"])
                })
                .collect();
            let _ = writeln!(
                text,
                "  {what}: {}",
                if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
            );
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trace_has_every_rival() {
        let rivals = Rivals::load().expect("the file is sound");
        assert!(!rivals.source.is_empty() && rivals.dirty_search_cpu_s[0] <= rivals.dirty_search_cpu_s[1]);
        for (trace, by_name) in &rivals.traces {
            assert_eq!(by_name.len(), 6, "{trace}");
            assert_eq!(rivals.lossless(trace).count(), 3, "{trace}");
        }
        assert_eq!(rivals.find("5_terminal", "SPICE auto_glz").expect("listed").play_kb, 2_768.0);
    }
}
