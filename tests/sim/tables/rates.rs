//! Tables of throughput: what flows get of a link, and what they do to it.

use std::time::Duration;

use lfp::ablation::Without;
use lfp_impair::{LinkSpec, Params};

use super::stage::Stage;
use super::{Figures, Row, Table};
use crate::deed::Deed;
use crate::play::Play;

const WARM: Duration = Duration::from_secs(5);
const SPAN: Duration = Duration::from_secs(20);

/// What a link carries in `span`, in bytes.
fn capacity(kbit: u64, span: Duration) -> u64 {
    kbit * 1_000 / 8 * span.as_millis() as u64 / 1_000
}

fn storm(spec: &str, clients: usize) -> Option<Stage> {
    Stage::new(Play::Storm, spec, clients, true, Without::NOTHING)
}

/// One flow alone: random loss, deep queues, policers.
pub(super) fn alone() -> Table {
    let mut links = Vec::new();
    for loss in [0, 1, 3, 5, 10, 20, 40] {
        links.push((
            format!("10 Mbit/s, loss {loss} %"),
            10_000,
            format!("rtt=40ms,rate=10mbit,queue=100kb,loss={loss}%"),
        ));
    }
    for (name, kbit, link) in [
        ("256 kbit/s, 1 MB queue", 256, "rtt=40ms,rate=256kbit,queue=1mb"),
        ("2 Mbit/s, 1 MB queue", 2_000, "rtt=40ms,rate=2mbit,queue=1mb"),
        ("2 Mbit/s, 1 MB queue, 200 ms", 2_000, "rtt=200ms,rate=2mbit,queue=1mb"),
        ("2 Mbit/s, 1 MB queue, jitter 20 ms", 2_000, "rtt=40ms,jitter=20ms,rate=2mbit,queue=1mb"),
        ("10 Mbit/s, 5 kB queue", 10_000, "rtt=40ms,rate=10mbit,queue=5kb"),
        ("policer 2 Mbit/s, 10 kB", 2_000, "rtt=40ms,policer=2mbit/10kb"),
        ("policer 2 Mbit/s, 10 kB, 200 ms", 2_000, "rtt=200ms,policer=2mbit/10kb"),
        ("policer 10 Mbit/s, 50 kB", 10_000, "rtt=40ms,policer=10mbit/50kb"),
    ] {
        links.push((name.into(), kbit, link.into()));
    }
    let rows = links.into_iter().map(|(name, kbit, spec)| {
        Row::new([name], move || {
            let Some(mut stage) = storm(&spec, 1) else { return vec![None; 3] };
            let carried: u64 = stage.carried(WARM, SPAN).values().sum();
            let percent = carried * 100 / capacity(kbit, SPAN);
            vec![Some(percent), Some(stage.queued_p95()), Some(stage.dropped_permille())]
        })
    });
    Table {
        name: "alone",
        about: "
One session that has more to send than the link carries, for 20 s after 5 s. carried: percent of the link's rate that came
through; queued: milliseconds that what was sent waited before the bottleneck (p95); dropped: thousandths of the datagrams
that queue or policer dropped.",
        keys: &["link"],
        figures: &["carried", "queued", "dropped"],
        is_transport: true,
        rows: rows.collect(),
    }
}

/// Several flows of ours on one bottleneck.
pub(super) fn flows() -> Table {
    let mut rows = Vec::new();
    for (count, kbit) in [(2, 2_000), (4, 4_000), (8, 4_000), (16, 8_000), (32, 16_000), (64, 32_000)] {
        for (queue, kilobytes) in [("1 BDP", kbit / 200), ("4 BDP", kbit / 50), ("16 BDP", kbit * 16 / 200)] {
            let spec = format!("rtt=40ms,rate={kbit}kbit,queue={kilobytes}kb");
            let keys = [count.to_string(), kbit.to_string(), queue.to_owned()];
            rows.push(Row::new(keys, move || fairness(&spec, kbit, count)));
        }
    }
    Table {
        name: "flows",
        about: "
Several sessions behind one bottleneck at 40 ms, each with more to send than it carries, for 20 s after 5 s. jain: thousandths
of Jain's index of their bytes; least: percent of a fair share that the worst got; the others as in alone.",
        keys: &["sessions", "kbit/s", "queue"],
        figures: &["jain", "least", "carried", "queued", "dropped"],
        is_transport: true,
        rows,
    }
}

fn fairness(spec: &str, kbit: u64, count: usize) -> Figures {
    let Some(mut stage) = storm(spec, count) else { return vec![None; 5] };
    let carried: Vec<u64> = stage.carried(WARM, SPAN).into_values().collect();
    let sum: u64 = carried.iter().sum();
    let squares: u128 = carried.iter().map(|bytes| u128::from(*bytes).pow(2)).sum();
    let jain = u128::from(sum).pow(2) * 1_000 / (count as u128 * squares).max(1);
    let least = carried.iter().min().copied().unwrap_or(0) * 100 * count as u64 / sum.max(1);
    let percent = sum * 100 / capacity(kbit, SPAN);
    vec![
        Some(jain as u64),
        Some(least),
        Some(percent),
        Some(stage.queued_p95()),
        Some(stage.dropped_permille()),
    ]
}

/// One flow of ours and one of CUBIC's.
pub(super) fn rivals() -> Table {
    let mut rows = Vec::new();
    for (kbit, rtt) in [(10_000_u64, 40_u64), (4_000, 40), (10_000, 100)] {
        for depth in [1, 4, 16] {
            let queue = kbit * rtt * depth / 8;
            let spec = format!("rtt={rtt}ms,rate={kbit}kbit,queue={queue}");
            let keys = [kbit.to_string(), rtt.to_string(), depth.to_string()];
            rows.push(Row::new(keys, move || against_cubic(&spec, kbit)));
        }
    }
    Table {
        name: "rivals",
        about: "
One session and one bulk transfer with CUBIC, which begins 2 s later, for 40 s after 10 s. share: percent of what came that
was the session's; the others as in alone (queued: of the session's packets).",
        keys: &["kbit/s", "rtt ms", "queue BDP"],
        figures: &["share", "carried", "queued", "dropped"],
        is_transport: true,
        rows,
    }
}

fn against_cubic(spec: &str, kbit: u64) -> Figures {
    let Some(mut stage) = storm(spec, 1) else { return vec![None; 4] };
    stage.rival(Duration::from_secs(2));
    let span = SPAN * 2;
    let carried = stage.carried(WARM * 2, span);
    let sum: u64 = carried.values().sum();
    let ours: u64 = carried.iter().filter(|(flow, _)| !Stage::is_rival(**flow)).map(|(_, bytes)| bytes).sum();
    let percent = sum * 100 / capacity(kbit, span);
    vec![
        Some(ours * 100 / sum.max(1)),
        Some(percent),
        Some(stage.queued_p95()),
        Some(stage.dropped_permille()),
    ]
}

/// A link whose rate changes.
pub(super) fn changes() -> Table {
    let mut rows = Vec::new();
    for (name, before, after) in
        [("drops", 10_000, 1_000), ("halves", 4_000, 2_000), ("rises", 1_000, 10_000)]
    {
        for from_ms in [0_u64, 500, 1_000, 2_000, 5_000] {
            rows.push(Row::new([name.to_owned(), from_ms.to_string()], move || {
                changed(before, after, from_ms)
            }));
        }
    }
    Table {
        name: "changes",
        about: "
A link of 40 ms and a queue of 100 kB whose rate drops from 10 to 1 Mbit/s, halves from 4, or rises from 1 to 10: the second
that begins so many milliseconds after that. Columns as in alone.",
        keys: &["rate", "from ms"],
        figures: &["carried", "queued"],
        is_transport: true,
        rows,
    }
}

fn changed(before: u64, after: u64, from_ms: u64) -> Figures {
    let params = |kbit: u64| -> Params {
        let spec: LinkSpec = format!("rtt=40ms,rate={kbit}kbit,queue=100kb").parse().expect("a link");
        spec.down.params
    };
    let Some(mut stage) = storm(&format!("rtt=40ms,rate={before}kbit,queue=100kb"), 1) else {
        return vec![None; 2];
    };
    stage.plan(WARM, Deed::Network(0, Box::new((params(after), params(after)))));
    let span = Duration::from_secs(1);
    let carried: u64 = stage.carried(WARM + Duration::from_millis(from_ms), span).values().sum();
    vec![Some(carried * 100 / capacity(after, span)), Some(stage.queued_p95())]
}

/// Rows of rivals whose share is not what it should be. A row whose share is does not stay in this list.
const UNFAIR: [[&str; 3]; 0] = [];

#[test]
fn a_bulk_transfer_leaves_us_our_share_and_we_leave_it_its_own() {
    for row in super::aims::snapshot("rivals.txt") {
        let share: u64 = row[3].parse().expect("a share");
        let range = if row[2] == "16" { 10..=75 } else { 25..=75 };
        assert_eq!(!range.contains(&share), UNFAIR.iter().any(|keys| row[..3] == keys[..]), "{row:?}");
    }
}
