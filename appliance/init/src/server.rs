//! The server's process: started without rights, heard, watched, and started again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::devices::USER;
use crate::facts;

/// The program.
const PROGRAM: &str = "/bin/lfp-server";
/// Its configuration, as this program writes it.
pub(crate) const CONFIG: &str = "/run/lfp/config.json";
/// What it counts: it writes this file anew every second, which shows that it lives.
pub(crate) const STATS: &str = "/run/lfp/stats.json";
/// Where its key is kept.
pub(crate) const STATE: &str = "/var/lib/lfp";
/// The port on which the host speaks with it, where the hypervisor gives the machine one.
const CONTROL_PORT: &str = "lfp.control";
/// Wait before it is started again; doubles with each time that it did not live long.
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// As long a life makes up for earlier ends.
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// A server that has not written what it counts for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long a server may take to close its sessions when it is asked to end.
const FAREWELL: Duration = Duration::from_secs(3);
/// Longest line that it is heard with, in bytes; the rest of a longer one is lost.
const LINE_MAX: usize = 16 << 10;
/// Most bytes of its statistics that are read.
const STATS_MAX: u64 = 8 << 20;

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    with_control: bool,
    /// What is wrong with the machine's configuration: the server says it to the host.
    fault: Option<String>,
    child: Option<Running>,
    failures: u32,
    due: Duration,
    seen: Option<(Seen, Duration)>,
}

/// What changes when the statistics are written: the file is another one each time.
type Seen = (u64, i64, i64);

#[derive(Debug)]
struct Running {
    process: Child,
    began: Duration,
    output: Lines,
    errors: Lines,
}

/// What became of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    Started,
    /// It said this on standard output.
    Output(String),
    /// It said this on standard error.
    Log(String),
    /// It ended; why.
    Ended(String),
}

impl Server {
    pub(crate) const fn new(with_control: bool, fault: Option<String>) -> Self {
        Self { with_control, fault, child: None, failures: 0, due: Duration::ZERO, seen: None }
    }

    /// Does what is due at `now`, and gives what has happened.
    pub(crate) fn poll(&mut self, now: Duration) -> Vec<News> {
        let mut news = Vec::new();
        if self.child.is_none() && now >= self.due {
            match self.start(now) {
                Ok(running) => {
                    self.child = Some(running);
                    news.push(News::Started);
                }
                Err(error) => news.push(self.ended(now, Duration::ZERO, &error.to_string())),
            }
        }
        if let Some(running) = &mut self.child {
            news.extend(running.output.read().into_iter().map(News::Output));
            news.extend(running.errors.read().into_iter().map(News::Log));
            match running.process.try_wait() {
                Ok(None) => {}
                ended => {
                    // What it said last says why.
                    news.extend(running.errors.read().into_iter().map(News::Log));
                    news.extend(running.errors.rest().map(News::Log));
                    let life = now.saturating_sub(running.began);
                    let why = ended.ok().flatten().map_or_else(|| "unknown".to_owned(), |s| s.to_string());
                    self.child = None;
                    news.push(self.ended(now, life, &why));
                }
            }
        }
        if self.is_stuck(now) {
            news.push(News::Log(format!("lfp-server: silent for {} s: killed", SILENCE_MAX.as_secs())));
            if let Some(running) = &mut self.child {
                let _ = running.process.kill();
            }
            self.seen = None;
        }
        news
    }

    /// When there is something to do that no descriptor tells of.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.child.is_none().then_some(self.due)
    }

    /// The descriptors that become readable when it has said something, or ended.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.child.iter().flat_map(|running| [&running.output, &running.errors]).filter_map(Lines::descriptor)
    }

    /// Asks it to end, and sees to it.
    pub(crate) fn stop(&mut self) {
        let Some(mut running) = self.child.take() else { return };
        let pid = Pid::from_raw(running.process.id() as i32);
        let _ = kill(pid, Signal::SIGTERM);
        let until = crate::clock::now() + FAREWELL;
        while crate::clock::now() < until {
            if !matches!(running.process.try_wait(), Ok(None)) {
                return;
            }
            crate::pause(Duration::from_millis(20));
        }
        let _ = running.process.kill();
        let _ = running.process.wait();
    }

    fn start(&mut self, now: Duration) -> io::Result<Running> {
        let mut command = Command::new(PROGRAM);
        command.args([
            "--log-json",
            "serve",
            "--config",
            CONFIG,
            "--state-dir",
            STATE,
            "--stats",
            STATS,
            "--confine",
        ]);
        if self.with_control {
            command.args(["--control", &format!("port:{CONTROL_PORT}")]);
            // In one word, whatever it begins with; no program's argument has a NUL in it.
            command.args(self.fault.iter().map(|fault| format!("--fault={}", facts::clean(fault))));
        }
        // No capability outlives the change of user, and no program that it might start brings one back: see `boot`.
        command.uid(USER).gid(USER).current_dir("/run/lfp").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let output = Lines::of(process.stdout.take().map(OwnedFd::from))?;
        let errors = Lines::of(process.stderr.take().map(OwnedFd::from))?;
        self.seen = Some((Seen::default(), now));
        Ok(Running { process, began: now, output, errors })
    }

    fn ended(&mut self, now: Duration, life: Duration, why: &str) -> News {
        self.failures = if life >= GOOD_LIFE { 0 } else { self.failures.saturating_add(1) };
        let wait = backoff(self.failures);
        self.due = now + wait;
        News::Ended(format!("lfp-server ended ({why}); it is started again in {} ms", wait.as_millis()))
    }

    fn is_stuck(&mut self, now: Duration) -> bool {
        if self.child.is_none() {
            return false;
        }
        let Some((last, since)) = &mut self.seen else { return false };
        let seen = open_stats().and_then(|file| file.metadata()).map(|data| {
            use std::os::unix::fs::MetadataExt as _;
            (data.ino(), data.mtime(), data.mtime_nsec())
        });
        if let Ok(seen) = seen {
            if seen != *last {
                (*last, *since) = (seen, now);
            }
        }
        now.saturating_sub(*since) > SILENCE_MAX
    }
}

/// What the server counts, as it wrote it last.
pub(crate) fn statistics() -> Option<Value> {
    let mut text = String::new();
    open_stats().ok()?.take(STATS_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The server's user owns the folder: what stands there is opened as nothing but a file.
fn open_stats() -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(Path::new(STATS))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn backoff(failures: u32) -> Duration {
    (BACKOFF * 2_u32.saturating_pow(failures.saturating_sub(1).min(10))).min(BACKOFF_MAX)
}

/// Lines from a pipe.
#[derive(Debug)]
struct Lines {
    pipe: Option<File>,
    partial: Vec<u8>,
}

impl Lines {
    fn of(pipe: Option<OwnedFd>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { pipe: pipe.map(File::from), partial: Vec::new() })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Whole lines that have come; a few at a time, so that a flood holds nobody up.
    fn read(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) => self.take(&buffer[..length], &mut lines),
                Err(_) => break,
            }
        }
        lines
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_MAX - self.partial.len();
            self.partial.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                lines.extend(self.rest());
            }
        }
    }

    /// What has come of a line.
    fn rest(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
        self.partial.clear();
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_bounded() {
        let mut lines = Lines::of(None).unwrap();
        let mut all = Vec::new();
        lines.take(b"on", &mut all);
        assert!(all.is_empty());
        lines.take(b"e\ntwo\n\nthr", &mut all);
        assert_eq!(all, ["one", "two"]);
        assert_eq!(lines.rest().as_deref(), Some("thr"));
        all.clear();
        lines.take(&vec![b'x'; LINE_MAX + 5], &mut all);
        lines.take(b"y\nz\n", &mut all);
        assert_eq!((all[0].len(), all[1].as_str()), (LINE_MAX, "z"));
    }

    #[test]
    fn waits_double_to_a_bound() {
        let waits: Vec<_> = (1..=8).map(|failures| backoff(failures).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert_eq!(backoff(0), BACKOFF);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
