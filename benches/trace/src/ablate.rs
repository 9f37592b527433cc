//! What each part saves: a run with everything, then one without each.

use std::path::{Path, PathBuf};

use lfp::ablation::Part;

use crate::aims::geometric_mean;
use crate::figures::Figures;
use crate::{Options, Outcome, is_fresh, run};

/// Below this share of bytes, a part saves nothing that a further run would not undo: timing decides what is skipped.
const NOTICED: f64 = 0.02;

/// Prints, for each part, bytes and CPU without it over those with everything.
pub(crate) fn ablate(traces: &[PathBuf], options: &Options) -> Outcome<()> {
    let whole = runs(traces, options, None)?;
    println!(
        "without: bytes of the play, of the first picture, server CPU, client CPU, each over those with everything"
    );
    for part in Part::all() {
        let parted = runs(traces, options, Some(part))?;
        let pairs: Vec<_> = whole.iter().zip(&parted).collect();
        let over = |figure: &dyn Fn(&Figures) -> f64| {
            let ratios: Vec<_> = pairs
                .iter()
                .map(|(whole, parted)| (figure(parted), figure(whole)))
                .filter(|(parted, whole)| *parted > 0.0 && *whole > 0.0)
                .map(|(parted, whole)| parted / whole)
                .collect();
            if ratios.is_empty() { 1.0 } else { geometric_mean(&ratios) }
        };
        let bytes = over(&|run| run.bytes_play as f64);
        let first = over(&|run| run.bytes_init as f64);
        let cpu = over(&|run| run.server_cpu_s);
        let saves = if bytes > 1.0 + NOTICED || first > 1.0 + NOTICED { "" } else { "   saves no bytes" };
        let name = part.name();
        println!(
            "{name:<20} mean {bytes:.3} {first:.3} {cpu:.3} {:.3}{saves}",
            over(&|run| run.client_cpu_s)
        );
        for (whole, parted) in pairs {
            println!(
                "  {:<18} {} kB, {} without, {:.3}{}",
                whole.trace,
                whole.bytes_play / 1_000,
                parted.bytes_play / 1_000,
                parted.bytes_play as f64 / (whole.bytes_play as f64).max(1.0),
                if is_fresh(parted) { "" } else { " (not fresh)" }
            );
        }
    }
    Ok(())
}

fn runs(traces: &[PathBuf], options: &Options, part: Option<Part>) -> Outcome<Vec<Figures>> {
    let options = Options {
        traces: Vec::new(),
        profile: options.profile.clone(),
        link: options.link.clone(),
        without: part.into_iter().collect(),
        ..*options
    };
    let run = |trace: &Path| {
        run::run(trace, &options).map_err(|error| format!("{}: {error}", trace.display()).into())
    };
    traces.iter().map(|trace| run(trace)).collect()
}
