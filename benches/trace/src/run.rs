//! One run: everything is started, the play is played, and afterwards it is looked into.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use client_lfp::{Client, Stats};
use lfp_proto::geometry::CellSet;
use serde_json::Value;

use crate::capture::{Replay, Traffic};
use crate::figures::{Counted, Figures, Sent, Updates, mean, rounded, shown};
use crate::player::{Frames, PlayLog};
use crate::score::Score;
use crate::stage::{Meters, Stage};
use crate::{Options, Outcome, clock};

/// How long the client may need to show the first frame.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// How long it stands there before the play begins, so that what the first picture set off is over.
const FIRST_REST: Duration = Duration::from_millis(300);
/// How long the last frame stands, to be made exact.
const LAST_REST: Duration = Duration::from_secs(1);
/// When the picture is judged after a frame was painted, in microseconds.
const JUDGED_AFTER_US: u64 = 50_000;
/// Most that the wall clock may have been set by during a run.
const WALL_SET_US_MAX: u64 = 500;

/// Plays `trace` and measures.
pub(crate) fn run(trace: &Path, options: &Options) -> Outcome<Figures> {
    let folder = tempfile::Builder::new().prefix("lfp-bench-trace").tempdir()?;
    let mut frames = Frames::open(trace)?;
    let ahead = clock::wall_ahead_us();
    let mut stage = Stage::set(trace, options, folder.path())?;
    let mut replay = follow(&folder.path().join("capture"), &frames)?;
    let before = stage.meters()?;
    stage.go()?;
    stage.played()?;
    lfp::clock::wait_until(lfp::clock::now() + LAST_REST);
    let after = stage.meters()?;
    let end_us = clock::wall_us();
    let (report, session) = stage.strike()?;
    if clock::wall_ahead_us().abs_diff(ahead) > WALL_SET_US_MAX {
        return Err("the wall clock was set during the run; run it again".into());
    }
    replay.read_more()?;
    let log = PlayLog::read(&folder.path().join("painted"))?;
    let seen = look(&mut frames, &mut replay, &log, end_us)?;
    check(&replay, &report, &session, options.link.is_none())?;
    check_relay(&seen, &before, &after)?;
    Ok(figures(trace, options, &seen, &log, end_us, (&before, &after)))
}

/// Follows the capture until the client shows the first frame, and has for a moment.
fn follow(capture: &Path, frames: &Frames) -> Outcome<Replay> {
    let found = lfp::clock::poll_for(FIRST_WAIT, || capture.exists().then_some(()));
    found.ok_or("the client does not start")?;
    let mut replay = Replay::open(capture)?;
    let deadline = lfp::clock::now() + FIRST_WAIT;
    loop {
        replay.read_more()?;
        while replay.next_us().is_some() {
            replay.step()?;
        }
        let picture = replay.client().and_then(Client::picture);
        if picture.is_some_and(|picture| is_same(frames.picture(), picture)) {
            lfp::clock::wait_until(lfp::clock::now() + FIRST_REST);
            replay.read_more()?;
            return Ok(replay);
        }
        if lfp::clock::now() >= deadline {
            return Err("the client does not come to show the first frame exactly".into());
        }
        lfp::clock::wait_until(lfp::clock::now() + Duration::from_millis(20));
    }
}

/// What was seen of a play.
struct Seen {
    score: Score,
    /// At each judgement, beside the newest picture, and beside those since the frame judged, cell by cell.
    quality_db: Vec<f64>,
    shown_db: Vec<f64>,
    sent: Sent,
    stats_before: Stats,
    stats_after: Stats,
    /// When the first picture was complete, from the client's start.
    init_us: u64,
    init_quarter: f64,
}

/// Something that happened, at a time.
enum Next {
    Frame(u64),
    Datagram(u64),
    Judge(u64),
}

/// Goes through the play in the order of time: frames as they were painted, datagrams as they came.
fn look(frames: &mut Frames, replay: &mut Replay, log: &PlayLog, end_us: u64) -> Outcome<Seen> {
    let mut cells = CellSet::new(frames.size().grid());
    while replay.next_us().is_some_and(|at| at <= log.began_us) {
        replay.step()?;
    }
    replay.take_damage(&mut cells);
    let client = replay.client().ok_or("the capture is empty")?;
    let stats_before = client.stats().clone();
    let init_us = client.painted_at().map_or(0, lfp_proto::time::Instant::as_micros);
    let (init, up) = (replay.down, replay.up);
    let mut score = Score::new(frames.size(), frames.picture());
    let mut painted = log.painted_us.iter().copied().peekable();
    let mut judged = VecDeque::new();
    let (mut quality_db, mut shown_db) = (Vec::new(), Vec::new());
    loop {
        let times = [
            painted.peek().map(|at| Next::Frame(*at)),
            replay.next_us().filter(|at| *at <= end_us).map(Next::Datagram),
            judged.front().map(|at| Next::Judge(*at)),
        ];
        let Some(next) = times.into_iter().flatten().min_by_key(Next::at_us) else { break };
        match next {
            Next::Frame(at) => {
                painted.next();
                frames.advance()?;
                score.on_frame(at, &frames.changed, frames.picture(), picture(replay)?);
                if !frames.changed.is_empty() {
                    judged.push_back(at + JUDGED_AFTER_US);
                }
            }
            Next::Datagram(at) => {
                replay.step()?;
                replay.take_damage(&mut cells);
                score.on_shown(at, &cells, picture(replay)?);
            }
            Next::Judge(at) => {
                judged.pop_front();
                quality_db.push(score.psnr_db());
                shown_db.push(score.psnr_since_db(at - JUDGED_AFTER_US, picture(replay)?));
            }
        }
    }
    let stats_after = replay.client().ok_or("the capture is empty")?.stats().clone();
    let sent = Sent { init, play: replay.down.since(init), up: replay.up.since(up) };
    let init_quarter = replay.painted_with(init.bytes / 4) as f64 / frames.size().grid().cells() as f64;
    Ok(Seen { score, quality_db, shown_db, sent, stats_before, stats_after, init_us, init_quarter })
}

impl Next {
    const fn at_us(&self) -> u64 {
        match self {
            Self::Frame(at) | Self::Datagram(at) | Self::Judge(at) => *at,
        }
    }
}

fn picture(replay: &Replay) -> Outcome<client_lfp::Picture<'_>> {
    let client = replay.client().ok_or("the capture is empty")?;
    if let Some(picture) = client.picture().filter(|picture| picture.live) {
        return Ok(picture);
    }
    let why = client.surface().map_or("there is no surface", |surface| surface.text);
    Err(format!("the client lost its picture during the play: {why}").into())
}

/// Compares what was played back with what the client itself counted, and the server.
fn check(replay: &Replay, report: &Value, session: &Value, lossless_path: bool) -> Outcome<()> {
    let stats = replay.client().ok_or("the capture is empty")?.stats();
    let claims = [
        ("cells_applied", stats.cells_applied, &report["cells_applied"]),
        ("records_applied", stats.records_applied, &report["records_applied"]),
    ];
    for (name, replayed, told) in claims {
        // What came while the session was being closed is not in the capture.
        let told = told.as_u64().ok_or("the client's report lacks figures")?;
        if replayed > told || replayed + told / 100 < told {
            return Err(format!("played back, the client has {name} {replayed}; it said {told}").into());
        }
    }
    let sent = session["bytes_down"].as_u64();
    let came = replay.down.bytes - replay.down.datagrams * 40;
    let sent = sent.ok_or("the server ended before it had said what it sent")?;
    // The handshake is no session's, and the last datagrams crossed the client's CLOSE.
    if lossless_path && came.abs_diff(sent) > sent / 100 + 4_000 {
        return Err(format!("the server sent {sent} bytes; {came} came").into());
    }
    Ok(())
}

/// Compares what a relay was given with what came, if nothing was lost: two counts of the same datagrams.
fn check_relay(seen: &Seen, before: &Meters, after: &Meters) -> Outcome<()> {
    let Some(relayed) = Sent::relayed(before, after) else { return Ok(()) };
    let near = |one: Traffic, other: Traffic| {
        one.datagrams.abs_diff(other.datagrams) <= 20 + one.datagrams / 100
            && one.bytes.abs_diff(other.bytes) <= 20_000 + one.bytes / 100
    };
    if seen.stats_after.packets_lost + seen.stats_after.packets_recovered == 0
        && !(near(relayed.play, seen.sent.play) && near(relayed.up, seen.sent.up))
    {
        return Err(
            format!("the relay was given {relayed:?}; the client's capture has {:?}", seen.sent).into()
        );
    }
    Ok(())
}

fn figures(
    trace: &Path,
    options: &Options,
    seen: &Seen,
    log: &PlayLog,
    end_us: u64,
    (before, after): (&Meters, &Meters),
) -> Figures {
    let sent = Sent::relayed(before, after).unwrap_or(seen.sent);
    let counted = Counted { before: &seen.stats_before, after: &seen.stats_after };
    let seconds = |us: u64| rounded(us as f64 / 1e6, 4);
    Figures {
        trace: trace.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        bytes_init: sent.init.bytes,
        bytes_play: sent.play.bytes,
        bytes_up: sent.up.bytes,
        datagrams: sent.play.datagrams,
        datagrams_init: sent.init.datagrams,
        datagrams_up: sent.up.datagrams,
        server_cpu_s: seconds(after.server_cpu_us - before.server_cpu_us),
        client_cpu_s: seconds(after.client_cpu_us - before.client_cpu_us),
        player_cpu_s: seconds(after.player_cpu_us - before.player_cpu_us),
        psnr_mean_db: rounded(mean(&seen.quality_db), 2),
        psnr_shown_db: rounded(mean(&seen.shown_db), 2),
        psnr_final_db: rounded(seen.score.psnr_db(), 2),
        exact_final: seen.score.is_exact(),
        update_ms: Updates::of(&seen.score.frames),
        frames_changed: seen.score.frames.len(),
        frames_shown: shown(&seen.score),
        cells_repaired: counted.cells_repaired(),
        records_refused: counted.records_refused(),
        packets_lost: counted.packets_lost(),
        packets_recovered: counted.packets_recovered(),
        techniques: counted.techniques(),
        contexts: counted.contexts(),
        init_ms: rounded(seen.init_us as f64 / 1e3, 2),
        init_quarter: rounded(seen.init_quarter, 3),
        play_s: seconds(end_us.saturating_sub(log.began_us)),
        late_ms_max: rounded(log.late_us as f64 / 1e3, 2),
        profile: options.profile.clone(),
        rate_hz: options.rate,
        lossless: options.lossless,
        link: options.link.clone(),
        without: options.without.iter().map(ToString::to_string).collect(),
    }
}

/// Whether the client shows exactly `source`'s pixels.
fn is_same(source: &[u8], client: client_lfp::Picture<'_>) -> bool {
    let pixels = source.chunks_exact(4).map(|pixel| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]));
    client.live && client.is_complete() && pixels.eq(client.pixels.iter().copied())
}
