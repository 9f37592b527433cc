//! What a person is told while it goes on.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use client_lfp::{Client, Histogram, PathSeen, State};
use lfp_proto::frame::Way;
use lfp_proto::time::Instant;
use lfp_proto::units::Epoch;

use crate::cli::run::in_words;

/// Time to the first line that says how things stand. Later ones come at [`BEAT_SHARE`] of the time that has passed,
/// so that a log of days stays short.
const BEAT_FIRST: Duration = Duration::from_secs(5);
/// See [`BEAT_FIRST`].
const BEAT_SHARE: u32 = 8;

/// Tells a person how it goes: each step where standard error is a terminal; anywhere, how things stand every few
/// seconds while something is waited for.
#[derive(Debug)]
pub(crate) struct Progress {
    quiet: bool,
    steps: bool,
    server: SocketAddr,
    beat_at: Instant,
    connected: bool,
    epoch: Option<Epoch>,
    painted: bool,
    exact: bool,
}

impl Progress {
    pub(crate) fn new(quiet: bool, server: SocketAddr) -> Self {
        let steps = !quiet && std::io::stderr().is_terminal();
        let beat_at = Instant::ZERO + BEAT_FIRST;
        Self { quiet, steps, server, beat_at, connected: false, epoch: None, painted: false, exact: false }
    }

    /// Says what is new. `ends` is whether an end is waited for: a mirror that is kept for good needs no lines.
    pub(crate) fn look(&mut self, client: &Client, now: Instant, ends: bool) {
        if self.steps && *client.state() == State::Established {
            self.look_at_steps(client, now);
        }
        if now >= self.beat_at && !self.quiet {
            self.beat_at = now + BEAT_FIRST.max(now.saturating_since(Instant::ZERO) / BEAT_SHARE);
            if ends || client.painted_at().is_none() {
                eprintln!("{:>6} s   {}", now.as_micros() / 1_000_000, standing(client, self.server));
            }
        }
    }

    /// Says what came of what the user did, at the end.
    pub(crate) fn end(&self, client: &Client) {
        let echo = &client.stats().echo;
        let (false, Some(rank)) = (self.quiet, ranks(&echo.total_us)) else { return };
        eprintln!(
            "input was answered on the screen within {rank} ms (p50, p95, p99 of {})",
            echo.total_us.count()
        );
        let parts =
            echo.parts().filter_map(|(name, spans_us)| Some((name.replace('_', " "), ranks(spans_us)?)));
        let parts: Vec<_> = parts.map(|(name, rank)| format!("{name} {rank}")).collect();
        eprintln!("  of that {}", parts.join("; "));
    }

    fn look_at_steps(&mut self, client: &Client, now: Instant) {
        let at = now.as_micros() / 1000;
        if !self.connected {
            self.connected = true;
            let rtt = client.rtt_us().unwrap_or_default();
            eprintln!("{at:>6} ms  connected to {}, round trip {rtt} us", self.server);
        }
        let Some(surface) = client.surface() else { return };
        if self.epoch != Some(surface.epoch) {
            self.epoch = Some(surface.epoch);
            self.painted = false;
            self.exact = false;
            match surface.size {
                Some(size) => eprintln!("{at:>6} ms  screen of {}x{}", size.width, size.height),
                None => {
                    eprintln!("{at:>6} ms  no screen: {}{}", surface.state.name(), in_words(surface.text));
                }
            }
        }
        if !self.painted && client.picture().is_some_and(|picture| picture.live && picture.is_complete()) {
            self.painted = true;
            eprintln!("{at:>6} ms  picture complete");
        }
        if !self.exact && client.exact() {
            self.exact = true;
            eprintln!("{at:>6} ms  picture proven exact");
        }
    }
}

/// Median and tail of some spans, in milliseconds.
fn ranks(spans_us: &Histogram) -> Option<String> {
    let ms = |percent| Some(spans_us.percentile(percent)? as f64 / 1000.0);
    Some(format!("{:.1}, {:.1}, {:.1}", ms(50)?, ms(95)?, ms(99)?))
}

/// How things stand, in a line.
fn standing(client: &Client, server: SocketAddr) -> String {
    if *client.state() == State::Connecting {
        return format!("asking {server} for a session");
    }
    let Some(surface) = client.surface() else { return "waiting for the server to name a screen".to_owned() };
    let Some(picture) = client.picture().filter(|picture| picture.live) else {
        return format!("no screen: {}{}", surface.state.name(), in_words(surface.text));
    };
    let stand = match (picture.is_complete(), client.exact()) {
        (false, _) => "incomplete",
        (true, false) => "not proven exact",
        (true, true) => "exact",
    };
    let (width, height) = (picture.size.width, picture.size.height);
    let input = match client.input_waiting() {
        0 => String::new(),
        waiting => format!(", {waiting} input events wait"),
    };
    let came = client.stats().bytes_down / 1000;
    format!("screen of {width}x{height}, {stand}{input}; {came} kB came, {}", path(client))
}

/// What the path does, in a few words.
fn path(client: &Client) -> String {
    let PathSeen { rate, down, up, ecn } = client.path();
    let percent = |way: Way| way.missing as f64 * 100.0 / ((way.came + way.missing).max(1)) as f64;
    let mut words = format!("{:.1} % lost down, {:.1} % up", percent(down), percent(up));
    if let Some(rtt) = client.rtt_us() {
        let _ = write!(words, ", round trip {:.1} ms", rtt as f64 / 1000.0);
    }
    if let Some(rate) = rate {
        let _ = write!(words, ", {:.1} Mbit/s", rate.as_bps() as f64 / 1e6);
    }
    if ecn.ce > 0 {
        let came = (ecn.ce + ecn.ect0).max(1);
        let _ = write!(words, ", {:.1} % marked for congestion", ecn.ce as f64 * 100.0 / came as f64);
    }
    words
}
