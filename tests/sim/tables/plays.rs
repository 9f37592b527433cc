//! Tables of plays whose updates are timed.

use std::time::Duration;

use lfp::ablation::{Part, Without};
use lfp_impair::{Bursts, Share};

use super::stage::{Stage, Timed};
use super::{Figures, Row, Table};
use crate::deed::Deed;
use crate::play::Play;

const FIGURES: &[&str] = &["p50", "p95", "p99", "echo", "exact", "kB", "repair", "refused"];

fn figures(timed: Option<Timed>) -> Figures {
    let Some(timed) = timed else { return vec![None; FIGURES.len()] };
    let Timed { p50, p95, p99, echo_p95, exact, bytes, repair_permille, refused, .. } = timed;
    vec![p50, p95, p99, echo_p95, exact, Some(bytes.div_ceil(1_000)), Some(repair_permille), Some(refused)]
}

/// The same with those of the control: a run without anything that makes up for losses before they are known.
const FIGURES_AND_CONTROL: [&str; 13] = [
    "p50", "p95", "p99", "echo", "exact", "kB", "repair", "refused", "p95-", "p99-", "echo-", "exact-", "kB-",
];

fn timed(play: Play, spec: &str) -> Option<Timed> {
    Some(Stage::new(play, spec, 1, false, Without::NOTHING)?.timed())
}

/// The columns of a row, and behind them those of its control.
fn with_control(play: Play, spec: &str) -> Figures {
    let mut all = figures(timed(play, spec));
    let without = [Part::Repeats, Part::Parity, Part::EarlyRepair].into_iter().collect();
    let control = Stage::new(play, spec, 1, false, without).map(|mut stage| stage.timed());
    all.extend(match control {
        Some(Timed { p95, p99, echo_p95, exact, bytes, .. }) => {
            [p95, p99, echo_p95, exact, Some(bytes.div_ceil(1_000))]
        }
        None => [None; 5],
    });
    all
}

/// Loss by round trip by play.
pub(super) fn grid() -> Table {
    let mut rows = Vec::new();
    for play in Play::TIMED {
        for rtt in [2, 40, 100, 250, 600] {
            for loss in [0, 1, 3, 5, 10, 20, 40] {
                // So little is lost here in a play that the control is as good, and the row would show nothing.
                let shows_nothing = loss == 1 && (rtt == 2 || rtt == 600 && play == Play::Video);
                let loss = if shows_nothing { 2 } else { loss };
                let spec = format!("rtt={rtt}ms,loss={loss}%,rate=50mbit,seed={}", rtt + loss);
                let keys = [play.name().to_owned(), rtt.to_string(), loss.to_string()];
                rows.push(Row::new(keys, move || with_control(play, &spec)));
            }
        }
    }
    Table {
        name: "grid",
        about: "
Random loss in both directions, by round trip, at 50 Mbit/s.
p50, p95, p99: milliseconds from the painting of a frame until each cell that it changed was shown or superseded;
echo: milliseconds from a key press in between until the client showed the guest's answer (p95);
exact: milliseconds from the last frame until the client showed it pixel for pixel; kB: down, headers included;
repair: thousandths of these that repeated what was lost or refused; refused: records. Those with a minus are of the same run
without what makes up for losses before they are known: repeats, parity and early repair.",
        keys: &["play", "rtt ms", "loss %"],
        figures: &FIGURES_AND_CONTROL,
        is_transport: false,
        rows,
    }
}

/// What covers losses, and each of it left out.
pub(super) fn without() -> Table {
    let without = |parts: &[Part]| parts.iter().copied().collect::<Without>();
    let ways = [
        ("nothing", without(&[])),
        ("repeats", without(&[Part::Repeats])),
        ("parity", without(&[Part::Parity])),
        ("early repair", without(&[Part::EarlyRepair])),
        ("all", without(&[Part::Repeats, Part::Parity, Part::EarlyRepair])),
    ];
    let mut rows = Vec::new();
    for play in Play::TIMED {
        for (rtt, loss) in [(20, 3), (100, 0), (100, 3), (100, 10), (250, 5)] {
            for (name, without) in ways {
                let spec = format!("rtt={rtt}ms,loss={loss}%,rate=50mbit,seed={}", rtt + loss);
                let keys = [play.name().to_owned(), rtt.to_string(), loss.to_string(), name.to_owned()];
                let make = move || Some(Stage::new(play, &spec, 1, false, without)?.timed());
                rows.push(Row::new(keys, move || figures(make())));
            }
        }
    }
    Table {
        name: "without",
        about: "
The same as in grid, with what makes up for losses before they are known left out: small updates that are said again, parity,
what hangs on a loss being sent again with it, and all of these.",
        keys: &["play", "rtt ms", "loss %", "without"],
        figures: FIGURES,
        is_transport: false,
        rows,
    }
}

/// Losses that come together.
pub(super) fn bursts() -> Table {
    let mut rows = Vec::new();
    let Bursts { enter, leave, .. } = Bursts::lasting(4, Share::percent(5)).expect("a share");
    let burst =
        format!("burst={}.{:04}%/{}%", enter.ppm() / 10_000, enter.ppm() % 10_000, leave.ppm() / 10_000);
    for play in Play::TIMED {
        for rtt in [40, 100, 250] {
            let spec = format!("rtt={rtt}ms,{burst},rate=50mbit,seed={rtt}");
            rows.push(Row::new([play.name().to_owned(), rtt.to_string()], move || with_control(play, &spec)));
        }
    }
    Table {
        name: "bursts",
        about: "
Gilbert-Elliott losses: 5 % of the datagrams, in bursts of 4 on average, both directions, at 50 Mbit/s. Columns as in grid.",
        keys: &["play", "rtt ms"],
        figures: &FIGURES_AND_CONTROL,
        is_transport: false,
        rows,
    }
}

/// Narrow links: rates with a queue, with a deep one, and behind a policer.
pub(super) fn narrow() -> Table {
    let links = [
        ("256 kbit/s", "rate=256kbit,queue=32kb"),
        ("1 Mbit/s", "rate=1mbit,queue=64kb"),
        ("2 Mbit/s", "rate=2mbit,queue=64kb"),
        ("20 Mbit/s", "rate=20mbit,queue=256kb"),
        ("2 Mbit/s, 1 MB queue", "rate=2mbit,queue=1mb"),
        ("2 Mbit/s policer", "rate=100mbit,policer=2mbit/10kb"),
        ("20 Mbit/s, up 64 kbit/s", "down:rate=20mbit,up:rate=64kbit,up:queue=8kb"),
    ];
    let mut rows = Vec::new();
    for play in Play::TIMED {
        for (name, link) in links {
            let spec = format!("rtt=40ms,{link}");
            let make = move || {
                let timed = timed(play, &spec);
                let mut all = figures(timed);
                all.push(timed.map(|timed| timed.queued_p95));
                all.push(timed.map(|timed| timed.dropped_permille));
                all
            };
            rows.push(Row::new([play.name(), name], make));
        }
    }
    Table {
        name: "narrow",
        about: "
Narrow links at 40 ms. Columns as in grid; queued: milliseconds that what was sent waited before the bottleneck (p95);
dropped: thousandths of the datagrams that queue or policer dropped.",
        keys: &["play", "link"],
        figures: &["p50", "p95", "p99", "echo", "exact", "kB", "repair", "refused", "queued", "dropped"],
        is_transport: false,
        rows,
    }
}

/// What happens to a path, or a client, for a while.
pub(super) fn odd() -> Table {
    let second = Duration::from_secs(1);
    let mut rows = Vec::new();
    for play in [Play::Scroll, Play::Typing] {
        let dark = move || figures(timed(play, "rtt=100ms,rate=20mbit,blackout=2s+30s"));
        rows.push(Row::new([play.name(), "30 s blackout"], dark));
        let stalled = move || {
            let mut stage = Stage::new(play, "rtt=100ms,rate=20mbit", 1, false, Without::NOTHING)?;
            stage.plan(2 * second, Deed::Stall(0, 5 * second));
            Some(stage.timed())
        };
        rows.push(Row::new([play.name(), "client stops reading for 5 s"], move || figures(stalled())));
        let shuffled = "rtt=100ms,rate=20mbit,reorder=20%,reorder-by=30ms,dup=10%,jitter=10ms";
        rows.push(Row::new([play.name(), "reordered and doubled"], move || figures(timed(play, shuffled))));
    }
    // Only what fills packets makes them longer than every path carries.
    for (mtu, what) in [("mtu=1500", "MTU of 1500"), ("mtu=1500,mtu=1228@1500ms+60s", "MTU black hole")] {
        let hole = format!("rtt=100ms,rate=20mbit,{mtu}");
        rows.push(Row::new([Play::Video.name(), what], move || figures(timed(Play::Video, &hole))));
    }
    Table {
        name: "odd",
        about: "
What happens to a path or a client for a while, at 100 ms and 20 Mbit/s. Columns as in grid.",
        keys: &["play", "what"],
        figures: FIGURES,
        is_transport: false,
        rows,
    }
}
