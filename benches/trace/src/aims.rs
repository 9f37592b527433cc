//! The project's aims, and how far a set of runs is from them.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::is_fresh;
use crate::rivals::{Rival, Rivals};

const TIGHT: &str = "LVS Tight q8";
const ZRLE: &str = "LVS ZRLE";
const SPICE: &str = "SPICE auto_glz";
const X264: &str = "x264 4:2:0";
/// The one trace that is a video.
const VIDEO: &str = "6_video";

/// A run with one figure of a rival's that it is compared with.
type Pick<'a> = &'a dyn Fn(&Figures) -> Option<f64>;

/// All aims, one a line.
pub(crate) fn sum_up(runs: &[Figures], rivals: &Rivals) -> String {
    let mut text = String::new();
    let stale: Vec<_> = runs.iter().filter(|run| !is_fresh(run)).map(|run| run.trace.as_str()).collect();
    let _ = writeln!(text, "rivals: {}", rivals.source);
    let _ = writeln!(
        text,
        "fresh (update p95 <= 50 ms, max <= 100 ms, frames shown >= 0.95 of those changed): {}",
        if stale.is_empty() { "all".to_owned() } else { format!("NOT {}", stale.join(", ")) }
    );
    let desks: Vec<_> =
        runs.iter().filter(|run| run.trace != VIDEO && rivals.traces.contains_key(&run.trace)).collect();
    let every: Vec<_> = runs.iter().filter(|run| rivals.traces.contains_key(&run.trace)).collect();
    let video: Vec<_> = every.iter().copied().filter(|run| run.trace == VIDEO).collect();
    let least = |run: &Figures, figure: fn(&Rival) -> f64| {
        rivals.lossless(&run.trace).map(figure).min_by(f64::total_cmp)
    };
    let of = |run: &Figures, name: &str, figure: fn(&Rival) -> f64| rivals.find(&run.trace, name).map(figure);
    let play = |run: &Figures| run.bytes_play as f64 / 1_000.0;
    let first = |run: &Figures| run.bytes_init as f64 / 1_000.0;
    let best_first = |run: &Figures| {
        let zrle = ["LVS ZRLE", "Tiger ZRLE"].iter().filter_map(|name| of(run, name, |rival| rival.first_kb));
        zrle.min_by(f64::total_cmp)
    };
    let best_client = |run: &Figures| {
        let all = rivals.traces.get(&run.trace)?.values().map(|rival| rival.client_cpu_s);
        all.min_by(f64::total_cmp)
    };
    let spice =
        |run: &Figures| Some(of(run, SPICE, |rival| rival.server_cpu_s)? + rivals.dirty_search_cpu_s[0]);
    let server = |run: &Figures| run.server_cpu_s;
    let mut line =
        |name: &str, aim: &str, runs: &[&Figures], ours: &dyn Fn(&Figures) -> f64, theirs: Pick<'_>| {
            let ratio = |run: &&Figures| Some((run.trace.clone(), ours(run) / theirs(run)?));
            text.push_str(&ratios(name, aim, &runs.iter().filter_map(ratio).collect::<Vec<_>>()));
        };
    line("bytes / best lossless rival", "mean 0.50, each 1.0", &desks, &play, &|run| {
        least(run, |rival| rival.play_kb)
    });
    line("bytes / x264", "mean 0.65", &desks, &play, &|run| of(run, X264, |rival| rival.play_kb));
    line("bytes / Tight q8, video", "0.7", &video, &play, &|run| of(run, TIGHT, |rival| rival.play_kb));
    line("first picture / best ZRLE", "each 1.0, prize 0.85", &every, &first, &best_first);
    line("server CPU / LVS ZRLE", "each 1.0", &every, &server, &|run| {
        of(run, ZRLE, |rival| rival.server_cpu_s)
    });
    line("server CPU / SPICE + search", "mean 1.0", &every, &server, &spice);
    line("client CPU / best rival", "each 1.5", &every, &|run| run.client_cpu_s, &best_client);
    text
}

/// One aim: the geometric mean of ratios, and each of them.
fn ratios(name: &str, aim: &str, ratios: &[(String, f64)]) -> String {
    if ratios.is_empty() {
        return String::new();
    }
    let each: Vec<_> = ratios.iter().map(|(trace, ratio)| format!("{trace} {ratio:.2}")).collect();
    let values: Vec<_> = ratios.iter().map(|(_, ratio)| *ratio).collect();
    format!("{name}: mean {:.2} (aim: {aim}): {}\n", geometric_mean(&values), each.join(", "))
}

/// The geometric mean of at least one number.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric() {
        assert!((geometric_mean(&[0.5, 2.0]) - 1.0).abs() < 1e-12);
        let line = ratios("bytes", "1", &[("a".to_owned(), 0.25), ("b".to_owned(), 1.0)]);
        assert_eq!(line, "bytes: mean 0.50 (aim: 1): a 0.25, b 1.00\n");
        assert_eq!(ratios("bytes", "1", &[]), "");
    }
}
