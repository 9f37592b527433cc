//! The figures of a run, as they are printed.

use client_lfp::Stats;
use lfp_proto::tally::Tally;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::capture::Traffic;
use crate::score::{Frame, Score};
use crate::stage::Meters;

/// One trace's figures. `docs/BENCHMARKS.md` says what each means.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) trace: String,
    pub(crate) bytes_init: u64,
    pub(crate) bytes_play: u64,
    pub(crate) bytes_up: u64,
    pub(crate) datagrams: u64,
    pub(crate) datagrams_init: u64,
    pub(crate) datagrams_up: u64,
    pub(crate) server_cpu_s: f64,
    pub(crate) client_cpu_s: f64,
    pub(crate) player_cpu_s: f64,
    pub(crate) psnr_mean_db: f64,
    pub(crate) psnr_shown_db: f64,
    pub(crate) psnr_final_db: f64,
    pub(crate) exact_final: bool,
    pub(crate) update_ms: Updates,
    pub(crate) frames_changed: usize,
    pub(crate) frames_shown: usize,
    pub(crate) cells_repaired: u64,
    pub(crate) records_refused: u64,
    pub(crate) packets_lost: u64,
    pub(crate) packets_recovered: u64,
    pub(crate) techniques: Value,
    pub(crate) contexts: Value,
    pub(crate) init_ms: f64,
    pub(crate) init_quarter: f64,
    pub(crate) play_s: f64,
    pub(crate) late_ms_max: f64,
    pub(crate) profile: String,
    pub(crate) rate_hz: u32,
    pub(crate) lossless: bool,
    pub(crate) link: Option<String>,
    pub(crate) without: Vec<String>,
}

/// Times of updates in milliseconds; `None` where a frame never was complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Updates {
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Updates {
    /// The nearest-rank percentiles. A frame whose update never ended lasted longer than any other.
    pub(crate) fn of(frames: &[Frame]) -> Self {
        let mut times: Vec<_> = frames.iter().map(|frame| frame.update_us().unwrap_or(u64::MAX)).collect();
        times.sort_unstable();
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).checked_sub(1);
        let at = |percent| {
            let time = rank(percent).map(|rank| times[rank]).filter(|time| *time != u64::MAX)?;
            Some(time as f64 / 1_000.0)
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

/// What the client had counted at the beginning and at the end of the play.
pub(crate) struct Counted<'a> {
    pub(crate) before: &'a Stats,
    pub(crate) after: &'a Stats,
}

impl Counted<'_> {
    pub(crate) const fn cells_repaired(&self) -> u64 {
        self.after.cells_repaired - self.before.cells_repaired
    }

    pub(crate) fn records_refused(&self) -> u64 {
        self.after.refused() - self.before.refused()
    }

    pub(crate) const fn packets_lost(&self) -> u64 {
        self.after.packets_lost.saturating_sub(self.before.packets_lost)
    }

    pub(crate) const fn packets_recovered(&self) -> u64 {
        self.after.packets_recovered - self.before.packets_recovered
    }

    pub(crate) fn techniques(&self) -> Value {
        let pairs = self.after.came.by_technique().zip(self.before.came.by_technique());
        tallies(pairs.map(|((technique, after), (_, before))| (technique.name(), after.since(before))))
    }

    pub(crate) fn contexts(&self) -> Value {
        let pairs = self.after.came.by_context().zip(self.before.came.by_context());
        tallies(pairs.map(|((context, after), (_, before))| (context.name(), after.since(before))))
    }
}

fn tallies(named: impl Iterator<Item = (&'static str, Tally)>) -> Value {
    let object = |tally: Tally| json!({"regions": tally.records, "cells": tally.cells, "bytes": tally.bytes});
    Value::Object(named.map(|(name, tally)| (name.to_owned(), object(tally))).collect::<Map<_, _>>())
}

/// What was sent before and in the play.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) init: Traffic,
    pub(crate) play: Traffic,
    pub(crate) up: Traffic,
}

impl Sent {
    /// Of what a relay was given at two moments; with losses, only it knows. `None` without one.
    pub(crate) fn relayed(before: &Meters, after: &Meters) -> Option<Self> {
        let (before, after) = before.relayed.zip(after.relayed)?;
        Some(Self { init: before.down, play: after.down.since(before.down), up: after.up.since(before.up) })
    }
}

/// Mean quality, and what became of the frames.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { crate::score::EXACT_DB } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Frames of which every cell was seen.
pub(crate) fn shown(score: &Score) -> usize {
    score.frames.iter().filter(|frame| frame.is_shown()).count()
}

/// Rounded to so many digits, for people and for short lines.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
