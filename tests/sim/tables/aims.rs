//! The aims of the transport beside what is reached.

use lfp::ablation::{Part, Without};

use super::stage::{Stage, Timed};
use super::{Row, Table};
use crate::play::Play;

fn timed(play: Play, spec: &str) -> Timed {
    Stage::new(play, spec, 1, false, Without::NOTHING).map(|mut stage| stage.timed()).unwrap_or_default()
}

/// The figure of a row, and what it should be at most.
pub(super) fn aims() -> Table {
    const TYPING: &str = "rtt=100ms,rate=50mbit";
    const NARROW: &str = "rtt=40ms,rate=2mbit,queue=64kb";
    let p99 = |timed: &Timed| timed.p99;
    let p95 = |timed: &Timed| timed.p95;
    let exact = |timed: &Timed| timed.exact;
    let clean = move |figure: fn(&Timed) -> Option<u64>| {
        figure(&timed(Play::Typing, TYPING)).map(|ms| ms * 125 / 100)
    };
    let row = |name: &str, play: Play, link: String, figure: fn(&Timed) -> Option<u64>, most: Most| {
        Row::new([name.to_owned()], move || {
            let most = match most {
                Most::Fixed(most) => Some(most),
                Most::Clean(figure) => clean(figure),
            };
            vec![most, figure(&timed(play, &link))]
        })
    };
    let bursts = format!("{TYPING},burst=1.3157%/25%,seed=3");
    let rows = vec![
        row(
            "typing, 100 ms, 3 %: p99",
            Play::Typing,
            format!("{TYPING},loss=3%,seed=1"),
            p99,
            Most::Clean(p99),
        ),
        row(
            "typing, 100 ms, 10 %: p95",
            Play::Typing,
            format!("{TYPING},loss=10%,seed=2"),
            p95,
            Most::Clean(p95),
        ),
        row("typing, 100 ms, bursts: p99", Play::Typing, bursts, p99, Most::Fixed(250)),
        row(
            "typing, 250 ms, 5 %: p95",
            Play::Typing,
            "rtt=250ms,rate=50mbit,loss=5%,seed=4".into(),
            p95,
            Most::Fixed(370),
        ),
        row(
            "typing, 100 ms, 40 %: exact",
            Play::Typing,
            format!("{TYPING},loss=40%,seed=5"),
            exact,
            Most::Fixed(1_000),
        ),
        row(
            "scroll, 100 ms, 40 %: exact",
            Play::Scroll,
            format!("{TYPING},loss=40%,seed=6"),
            exact,
            Most::Fixed(1_000),
        ),
        row("scroll, 2 Mbit/s: p95", Play::Scroll, NARROW.into(), p95, Most::Fixed(150)),
        row("scroll, 2 Mbit/s: exact", Play::Scroll, NARROW.into(), exact, Most::Fixed(2_000)),
        row("window, 2 Mbit/s: p95", Play::Drag, NARROW.into(), p95, Most::Fixed(150)),
        row("window, 2 Mbit/s: exact", Play::Drag, NARROW.into(), exact, Most::Fixed(2_000)),
    ];
    Table {
        name: "aims",
        about: "
Aims in milliseconds, both directions impaired, beside what is reached. Those of p99 at 3 % and of p95 at 10 % are 1.25 times
the same figure without loss.",
        keys: &["what"],
        figures: &["aim", "reached"],
        is_transport: false,
        rows,
    }
}

/// What a figure should be at most.
#[derive(Clone, Copy)]
enum Most {
    Fixed(u64),
    /// 1.25 times the same figure without loss.
    Clean(fn(&Timed) -> Option<u64>),
}

/// The rows of a snapshot, as words.
pub(super) fn snapshot(name: &str) -> Vec<Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tables").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().skip_while(|line| !line.is_empty()).skip(2);
    rows.map(|row| {
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    })
    .collect()
}

/// Aims that are not reached yet. An aim that is reached does not stay in this list.
const MISSED: [&str; 0] = [];

#[test]
fn every_aim_but_the_known_ones_is_reached() {
    let rows = snapshot("aims.txt");
    assert_eq!(rows.len(), aims().rows.len());
    for row in rows {
        let number = |at: usize| row[at].parse::<u64>().unwrap_or_else(|_| panic!("{row:?} has no figure"));
        assert_eq!(number(2) > number(1), MISSED.contains(&row[0].as_str()), "{row:?}");
    }
}

#[test]
fn what_makes_up_for_losses_costs_nothing_where_there_are_none() {
    let rows = snapshot("without.txt");
    for play in Play::TIMED {
        let clean: Vec<_> = rows.iter().filter(|row| row[0] == play.name() && row[2] == "0").collect();
        assert_eq!(clean.len(), 5);
        assert!(clean.iter().all(|row| row[4..] == clean[0][4..]), "{clean:?}");
    }
}

#[test]
fn what_is_said_again_needs_no_round_trip() {
    let p95 = |without: &[Part]| {
        let without = without.iter().copied().collect();
        let mut stage =
            Stage::new(Play::Typing, "rtt=100ms,loss=10%,seed=2", 1, false, without).expect("exact");
        stage.timed().p95.expect("shown")
    };
    let (with, without) = (p95(&[Part::Parity]), p95(&[Part::Parity, Part::Repeats]));
    assert!(with < 90 && without > 150, "{with} ms, {without} ms without repeats");
}
