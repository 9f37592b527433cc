//! Figures of whole processes on loopback, as `docs/BENCHMARKS.md` lists them: `scripts/bench-figures`.
//!
//! Not a criterion suite: what is measured is a fresh `client-lfp` against a running `lfp-server`. Each line
//! that is printed is one figure with its aim. `LFP_SOURCE` replaces the painter that is served.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 9;
const FURTHER_SESSIONS: u64 = 8;
const FAIRNESS_ROUNDS: usize = 5;
/// How long a calm session is watched, in seconds.
const CALM_SECONDS: &str = "12";
/// In which a client on loopback has its first picture for certain.
const PICTURE_TIME: std::time::Duration = std::time::Duration::from_millis(1_500);
const KIB: u64 = 1024;

fn main() -> Outcome<()> {
    // The other suites take this flag as "see that it runs"; here that would be the whole measurement.
    if std::env::args().any(|argument| argument == "--test") {
        println!("figures: measured by scripts/bench-figures alone");
        return Ok(());
    }
    let client = client_binary()?;
    // Named, one figure is measured alone.
    if std::env::args().any(|argument| argument == "fairness") {
        return fairness(&client);
    }
    first_picture(&client)?;
    client_size(&client)?;
    client_memory(&client)?;
    session_memory(&client)?;
    fairness(&client)
}

fn first_picture(client: &Path) -> Outcome<()> {
    let source = std::env::var("LFP_SOURCE").unwrap_or("synthetic:idle?size=1280x800".to_owned());
    let server = Server::start(&source)?;
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..RUNS {
        let report = run_client(client, &server, &["--settle", "0", "--seconds", "20"])?;
        times.push(milliseconds(&report, "exact_ms")?);
        bytes = report["bytes_down"].as_u64().unwrap_or_default();
    }
    times.sort_unstable();
    println!(
        "first exact picture of {source}: median {} ms, min {}, max {} of {RUNS} runs, {bytes} bytes down (aim: under 300 ms)",
        times[RUNS / 2],
        times[0],
        times[RUNS - 1]
    );
    Ok(())
}

fn client_size(client: &Path) -> Outcome<()> {
    let stripped = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip").arg("-o").arg(stripped.path()).arg(client).status()?;
    if !status.success() {
        return Err("strip failed; it comes with the package binutils".into());
    }
    println!("stripped client-lfp: {} bytes (aim: under 2,000,000)", stripped.path().metadata()?.len());
    Ok(())
}

fn client_memory(client: &Path) -> Outcome<()> {
    let (width, height) = (1920_u64, 1080_u64);
    let server = Server::start(&format!("synthetic:idle?size={width}x{height}"))?;
    let report = run_client(client, &server, &["--settle", "0", "--seconds", "20"])?;
    let peak_kib =
        report["peak_memory_bytes"].as_u64().ok_or("the client does not tell its peak memory")? / KIB;
    let framebuffer_kib = width * height * 4 / KIB;
    println!(
        "peak memory of client-lfp at {width}x{height}: {peak_kib} KiB, framebuffer {framebuffer_kib} KiB (aim: at most {} KiB)",
        framebuffer_kib + 8 * KIB
    );
    Ok(())
}

fn session_memory(client: &Path) -> Outcome<()> {
    let server = Server::start("synthetic:typing?size=1920x1080")?;
    let mut held = vec![hold_client(client, &server)?];
    let before = resident_kib(server.process.id())?;
    for _ in 0..FURTHER_SESSIONS {
        held.push(hold_client(client, &server)?);
    }
    let after = resident_kib(server.process.id())?;
    for client in &mut held {
        client.kill()?;
        client.wait()?;
    }
    println!(
        "server memory per further session at 1920x1080: {} KiB over {FURTHER_SESSIONS} sessions (aim: under {KIB} KiB)",
        after.saturating_sub(before) / FURTHER_SESSIONS
    );
    Ok(())
}

/// How old a calm session's picture is, alone and beside a guest that changes every cell in every frame. Processes of their own paint both, as guests do: the
/// painters inside the server paint when they are scanned, and that would count as age.
fn fairness(client: &Path) -> Outcome<()> {
    let config = tempfile::NamedTempFile::new()?;
    let calm = Guest::start("synthetic:typing")?;
    let storm = Guest::start("synthetic:storm?size=1280x800")?;
    let services = serde_json::json!([
        {"name": "calm", "source": calm.source()},
        {"name": "storm", "source": storm.source()},
    ]);
    let listen = "127.0.0.1:0";
    serde_json::to_writer(
        &config,
        &serde_json::json!({"listen": listen, "plain": true, "services": services}),
    )?;
    let start = || Server::start_with(&["--config", &config.path().to_string_lossy()]);
    let (server, apart) = (start()?, start()?);
    let (mut alone, mut elsewhere, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    // By turns: what else the machine does changes from one minute to the next.
    for _ in 0..FAIRNESS_ROUNDS {
        alone.push(calm_staleness(client, &server)?);
        // The same load on the machine, on another server: what is more beside it is the server's doing.
        let storm = Storm::start(client, &apart)?;
        elsewhere.push(calm_staleness(client, &server)?);
        drop(storm);
        let storm = Storm::start(client, &server)?;
        beside.push(calm_staleness(client, &server)?);
        drop(storm);
    }
    for runs in [&mut alone, &mut elsewhere, &mut beside] {
        runs.sort_by_key(|(_, p95)| *p95);
    }
    let p95 = |runs: &[(u64, u64)]| runs[FAIRNESS_ROUNDS / 2].1 as f64;
    println!(
        "staleness of a calm session, us (p50, p95) of {FAIRNESS_ROUNDS} runs: alone {alone:?}, with a storm on another \
         server {elsewhere:?}, on the same server {beside:?}; p95 on the same server {:.2}x of on another (aim: 1.2x), {:.2}x of alone",
        p95(&beside) / p95(&elsewhere),
        p95(&beside) / p95(&alone),
    );
    Ok(())
}

/// A client of the service `storm`, ended when dropped.
struct Storm(Child);

impl Storm {
    fn start(client: &Path, server: &Server) -> Outcome<Self> {
        let process = Command::new(client)
            .args([&server.address, "--plain", "--quiet", "--seconds", "600", "--service", "storm"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(process))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The middle and the 95th percentile of a calm session's staleness, in microseconds.
fn calm_staleness(client: &Path, server: &Server) -> Outcome<(u64, u64)> {
    let report = run_client(client, server, &["--service", "calm", "--seconds", CALM_SECONDS])?;
    let time = |percentile: &str| report["staleness_ms"][percentile].as_f64().map(|ms| (ms * 1_000.0) as u64);
    time("p50").zip(time("p95")).ok_or_else(|| "the client saw no whole frame".into())
}

/// A process that paints into shared memory, ended when dropped.
struct Guest {
    process: Child,
    screen: tempfile::TempPath,
}

impl Guest {
    fn start(painter: &str) -> Outcome<Self> {
        let screen = tempfile::NamedTempFile::new_in("/dev/shm")?.into_temp_path();
        // It takes over no file that is not a painter's.
        std::fs::remove_file(&screen)?;
        let process = Command::new(env!("CARGO_BIN_EXE_lfp-server"))
            .args(["--log", "warn", "play", painter, "--shm"])
            .arg(&screen)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { process, screen })
    }

    fn source(&self) -> String {
        format!("shm:{}", self.screen.display())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A running server on a port of its own, ended when dropped.
struct Server {
    process: Child,
    address: String,
    _keys: tempfile::TempDir,
}

impl Server {
    fn start(source: &str) -> Outcome<Self> {
        Self::start_with(&["--listen", "127.0.0.1:0", "--source", source])
    }

    fn start_with(arguments: &[&str]) -> Outcome<Self> {
        let keys = tempfile::tempdir()?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_lfp-server"))
            .args(["--log", "error", "serve", "--plain", "--state-dir"])
            .arg(keys.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Self { process, address, _keys: keys })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client_binary() -> Outcome<PathBuf> {
    let beside = Path::new(env!("CARGO_BIN_EXE_lfp-server")).with_file_name("client-lfp");
    if !beside.exists() {
        return Err(format!("{} is not built: run scripts/bench-figures", beside.display()).into());
    }
    Ok(beside)
}

fn run_client(client: &Path, server: &Server, more: &[&str]) -> Outcome<Value> {
    let png = tempfile::NamedTempFile::new()?;
    let output = Command::new(client)
        .args([&server.address, "--plain", "--json", "--quiet", "--png"])
        .arg(png.path())
        .args(more)
        .stderr(Stdio::inherit())
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A client that stays, once its picture is exact.
#[allow(clippy::disallowed_methods, reason = "nothing tells when a client that stays has its picture")]
fn hold_client(client: &Path, server: &Server) -> Outcome<Child> {
    let child = Command::new(client)
        .args([&server.address, "--plain", "--quiet", "--seconds", "600"])
        .stdout(Stdio::null())
        .spawn()?;
    // Until it has its picture. Another session would leave its traces in the server's memory.
    std::thread::sleep(PICTURE_TIME);
    Ok(child)
}

fn milliseconds(report: &Value, field: &str) -> Outcome<u64> {
    report[field]
        .as_f64()
        .map(|time| time.round() as u64)
        .ok_or_else(|| format!("the client's report has no number {field}: {report}").into())
}

fn resident_kib(pid: u32) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no VmRSS value")?.parse()?)
}
