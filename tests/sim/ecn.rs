//! Marks of congestion: what they are worth, and what becomes of paths that do not keep them.

use std::time::Duration;

use lfp::ablation::Without;
use lfp::server::SessionStatus;
use lfp::session::SessionStats;
use lfp::time::Instant;
use lfp_impair::Ecn;

use crate::deed::Deed;
use crate::guest::Stroke;
use crate::named::{ms, paint, pair};
use crate::play::Play;
use crate::scenario::assert_settles;
use crate::tables::stage::Stage;
use crate::world::World;

/// For so many round trips, and so long beside, marks may go on before something has to have come of them: what is
/// drained already is let be, and so is what has been answered.
const ROUND_TRIPS_MAX: u32 = 10;
const SPAN_MAX: Duration = Duration::from_millis(500);
/// Between two tellings of one span, at most.
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// Marks that a session has been told of and has not answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unanswered {
    connection: u64,
    marked: u64,
    answered: u64,
    /// When the first and the last of them were told.
    span: Option<(Instant, Instant)>,
}

impl Unanswered {
    /// The session has just been told how packets came.
    pub(crate) fn look(&mut self, now: Instant, status: &SessionStatus) {
        let SessionStats { packets_marked, marks_answered, .. } = status.stats;
        let same = self.connection == status.connection.0 && self.answered == marks_answered;
        let span = self.span.filter(|(_, last)| same && now.saturating_since(*last) < PAUSE_MAX);
        let news = packets_marked > self.marked || !same;
        let (connection, marked) = (status.connection.0, packets_marked);
        *self = Self { connection, marked, answered: marks_answered, span };
        if !news {
            return;
        }
        let (first, _) = *self.span.get_or_insert((now, now));
        self.span = Some((first, now));
        let limit = status.path.rtt * ROUND_TRIPS_MAX + SPAN_MAX;
        let took = now.saturating_since(first);
        assert!(
            took <= limit,
            "LFP-9.16: {marked} packets were marked, for {took:?}, and nothing came of it: {status:?}"
        );
    }
}

fn stats(world: &World) -> SessionStats {
    world.server.status().next().expect("a session").stats
}

fn busy(world: &mut World, for_ms: u64) {
    paint(world, 0, Stroke::All, 50, for_ms);
    world.run(ms(for_ms));
}

/// What came through in percent, how long it waited (p95, ms), thousandths dropped and marked.
fn storm(kbit: u64, rtt_ms: u64, queue: &str) -> [u64; 4] {
    let spec = format!("rtt={rtt_ms}ms,rate={kbit}kbit,{queue}");
    let mut stage = Stage::new(Play::Storm, &spec, 1, true, Without::NOTHING).expect("a picture");
    let span = Duration::from_secs(10);
    let carried: u64 = stage.carried(Duration::from_secs(3), span).values().sum();
    let percent = carried * 100 / (kbit * 1_000 / 8 * span.as_secs());
    assert_eq!(stage.stats()[0].ecn_failures, 0, "{spec}: the path keeps what it is given");
    [percent, stage.queued_p95(), stage.dropped_permille(), stage.marked_permille()]
}

#[test]
fn a_queue_that_marks_stays_short_and_drops_nothing() {
    // A try for more takes a quarter of a round trip's bytes: on a long path that is more than the threshold.
    for (kbit, rtt_ms, most) in [(4_000, 40, 24), (10_000, 40, 24), (10_000, 200, 40)] {
        let threshold = kbit * 20 / 8;
        let [carried, queued, dropped, marked] = storm(kbit, rtt_ms, &format!("queue=1mb,ecn={threshold}"));
        let figures =
            format!("{kbit} kbit/s: {carried} %, {queued} ms, {dropped} and {marked} in a thousand");
        println!("{figures}");
        assert!(carried >= 80 && queued <= most, "{figures}");
        assert!(dropped == 0 && (1..=100).contains(&marked), "{figures}");
    }
}

#[test]
fn a_path_that_clears_the_marks_is_offered_them_no_more() {
    let mut world = pair("rtt=30ms,rate=20mbit");
    busy(&mut world, 3_000);
    let before = stats(&world);
    assert_eq!((before.ecn_failures, before.packets_marked), (1, 0), "{before:?}");
    busy(&mut world, 1_000);
    let after = stats(&world);
    assert!(after.datagrams_down > before.datagrams_down && after.packets_ect == before.packets_ect);
    assert_settles(&mut world);
}

#[test]
fn a_path_that_begins_to_clear_them_is_left_without() {
    let mut world = pair("rtt=30ms,rate=20mbit,queue=100kb,ecn=90kb");
    busy(&mut world, 2_000);
    let kept = stats(&world);
    assert_eq!(kept.ecn_failures, 0, "{kept:?}");
    assert!(kept.packets_ect + 2 >= kept.datagrams_down, "all but the handshake: {kept:?}");
    Deed::Ecn(0, Ecn::Bleached).happen(&mut world);
    busy(&mut world, 2_000);
    assert_eq!(stats(&world).ecn_failures, 1);
    assert_settles(&mut world);
}

#[test]
fn a_path_that_marks_everything_is_not_believed() {
    let mut world = pair("rtt=30ms,rate=20mbit,ecn=all");
    busy(&mut world, 6_000);
    let told = stats(&world);
    assert_eq!(told.ecn_failures, 1, "{told:?}");
    assert!(told.marks_answered > 0, "{told:?}");
    assert_settles(&mut world);
}
