//! A table of marks: what a link that marks before its queue is full has of a session, beside links that drop.

use std::time::Duration;

use lfp::ablation::Without;

use super::stage::Stage;
use super::{Row, Table};
use crate::play::Play;

const WARM: Duration = Duration::from_secs(5);
const SPAN: Duration = Duration::from_secs(20);

/// The same links with a queue that marks, with a short queue that drops at once, and with a long one that drops when it is full.
pub(super) fn ecn() -> Table {
    let mut rows = Vec::new();
    for (kbit, rtt_ms, sessions) in
        [(2_000_u64, 40_u64, 1_usize), (10_000, 40, 1), (10_000, 200, 1), (8_000, 40, 4)]
    {
        let product = kbit * rtt_ms / 8;
        // What a queue should have at most: 20 ms, or some datagrams.
        let short = (kbit * 20 / 8).max(6_000);
        for (queue, words) in [
            ("marks", format!("queue={},ecn={short}", product * 4)),
            ("short", format!("queue={short}")),
            ("long", format!("queue={}", product * 4)),
        ] {
            let spec = format!("rtt={rtt_ms}ms,rate={kbit}kbit,{words}");
            let keys = [kbit.to_string(), rtt_ms.to_string(), sessions.to_string(), queue.to_owned()];
            rows.push(Row::new(keys, move || {
                let Some(mut stage) = Stage::new(Play::Storm, &spec, sessions, true, Without::NOTHING) else {
                    return vec![None; 5];
                };
                let carried: Vec<u64> = stage.carried(WARM, SPAN).into_values().collect();
                let least = carried.iter().min().copied().unwrap_or(0) * sessions as u64;
                let carried: u64 = carried.iter().sum();
                let least = least * 100 / carried.max(1);
                let percent = carried * 100 / (kbit * 1_000 / 8 * SPAN.as_secs());
                let (queued, dropped) = (stage.queued_p95(), stage.dropped_permille());
                vec![Some(percent), Some(least), Some(queued), Some(dropped), Some(stage.marked_permille())]
            }));
        }
    }
    Table {
        name: "ecn",
        about: "
Sessions that have more to send than their link carries, for 20 s after 5 s. queue: one of 4 BDP that marks what finds more than 20
ms before it (marks), one of 20 ms that drops (short), one of 4 BDP that drops (long). carried, queued and dropped as in alone; least:
percent of a fair share that the worst got; marked: thousandths of the datagrams that came marked.",
        keys: &["kbit/s", "rtt ms", "sessions", "queue"],
        figures: &["carried", "least", "queued", "dropped", "marked"],
        is_transport: true,
        rows,
    }
}
