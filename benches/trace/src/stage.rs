//! The processes of a run: player, server, relay, client. Each is ended when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::capture::Traffic;
use crate::{Options, Outcome, clock};

/// How long a process is given to end.
const END_WAIT: Duration = Duration::from_secs(10);

/// Exit status when a signal has ended the run.
const ENDED_BY_SIGNAL: i32 = 130;

/// The processes of the run that have not been waited for.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on, a signal that ends this process ends those that it has started first.
pub(crate) fn end_with_us() -> Outcome<()> {
    let (mut hears, tells) = UnixStream::pair()?;
    // Handled rather than blocked: a block would be inherited by what is started.
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signal_hook::low_level::pipe::register(signal as i32, tells.try_clone()?)?;
    }
    std::thread::spawn(move || {
        // An error would mean that nobody can say anything any more: then too it is time to end.
        let _ = hears.read(&mut [0]);
        // Held until the end, so that nothing is started any more.
        let running = RUNNING.lock();
        for pid in running.iter().flat_map(|running| running.iter()) {
            // One that has just ended by itself is what was wanted.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        std::process::exit(ENDED_BY_SIGNAL);
    });
    Ok(())
}

/// A process whose standard streams are ours.
struct Process {
    name: String,
    /// The file that its standard error goes to.
    errors: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command, errors: &Path) -> Outcome<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(errors)?);
        let mut running = RUNNING.lock().map_err(|_| "another thread has failed")?;
        let mut child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        running.push(Pid::from_raw(i32::try_from(child.id())?));
        drop(running);
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { name, errors: errors.to_owned(), input: child.stdin.take(), output, child })
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
            let last = said.lines().next_back().unwrap_or("it said nothing");
            return Err(format!("{} ended early: {last}", self.name).into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn say(&mut self, line: &str) -> Outcome<()> {
        self.input.as_mut().ok_or("no standard input")?.write_all(line.as_bytes())?;
        Ok(())
    }

    /// Takes it off the list of those that run, before it is waited for: its number may be another's then.
    fn strike_off(&self) {
        if let (Ok(mut running), Ok(pid)) = (RUNNING.lock(), i32::try_from(self.child.id())) {
            running.retain(|running| *running != Pid::from_raw(pid));
        }
    }

    /// Asks it to end, and gives what it still said.
    fn end(&mut self) -> Outcome<String> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.strike_off();
        self.input = None;
        let mut rest = String::new();
        while self.output.read_line(&mut rest)? > 0 {}
        lfp::clock::poll_for(END_WAIT, || self.child.try_wait().ok().flatten())
            .ok_or("a process does not end")?;
        Ok(rest)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.strike_off();
        let _ = self.child.wait();
    }
}

/// All the processes of a run, in the order in which they must end.
pub(crate) struct Stage {
    client: Process,
    relay: Option<Process>,
    server: Process,
    player: Process,
    folder: PathBuf,
}

/// What was counted on the outside at some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meters {
    pub(crate) server_cpu_us: u64,
    pub(crate) client_cpu_us: u64,
    pub(crate) player_cpu_us: u64,
    /// What the server and the client gave to the relay, if there is one.
    pub(crate) relayed: Option<Relayed>,
}

/// What went into the links of a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed {
    pub(crate) down: Traffic,
    pub(crate) up: Traffic,
}

impl Stage {
    /// Starts everything; the player holds the first frame.
    pub(crate) fn set(trace: &Path, options: &Options, folder: &Path) -> Outcome<Self> {
        let file = |name: &str| folder.join(name);
        let mut player = Process::start(
            Command::new(std::env::current_exe()?)
                .arg("--player")
                .arg(trace)
                .args([file("screen"), file("painted")]),
            &file("player.log"),
        )?;
        if player.line()? != "ready" {
            return Err(format!("the player fails: {}", std::fs::read_to_string(file("player.log"))?).into());
        }
        let mut server = Process::start(&mut server_command(options, folder)?, &file("server.log"))?;
        let mut address = address_of(&server.line()?)?;
        let mut relay = None;
        if let Some(link) = &options.link {
            let mut command = Command::new(beside("lfp-impair")?);
            command.args([
                "--listen",
                "127.0.0.1:0",
                "--json",
                "--control",
                "--to",
                &address,
                "--link",
                link,
            ]);
            let mut process = Process::start(&mut command, &file("relay.log"))?;
            address = address_of(&process.line()?)?;
            relay = Some(process);
        }
        let mut command = Command::new(beside("client-lfp")?);
        command.args([&address, "--plain", "--json", "--quiet", "--seconds", "3600"]);
        // What the profile decodes and keeps, at the full size and depth: else there were nothing to compare it with.
        command.args(["--profile", &options.profile, "--display", "any", "--depth", "24"]);
        command.args(["--refresh", &options.rate.to_string(), "--capture"]);
        let client = Process::start(command.arg(file("capture")), &file("client.log"))?;
        Ok(Self { client, relay, server, player, folder: folder.to_owned() })
    }

    /// Lets the player go.
    pub(crate) fn go(&mut self) -> Outcome<()> {
        self.player.say("go\n")
    }

    /// Waits until the player has painted its last frame.
    pub(crate) fn played(&mut self) -> Outcome<()> {
        match self.player.line()?.as_str() {
            "done" => Ok(()),
            other => Err(format!("the player says {other:?}").into()),
        }
    }

    pub(crate) fn meters(&mut self) -> Outcome<Meters> {
        let relayed = match &mut self.relay {
            None => None,
            Some(relay) => {
                relay.say("report\n")?;
                Some(relayed(&relay.line()?)?)
            }
        };
        Ok(Meters {
            server_cpu_us: clock::cpu_us(self.server.child.id())?,
            client_cpu_us: clock::cpu_us(self.client.child.id())?,
            player_cpu_us: clock::cpu_us(self.player.child.id())?,
            relayed,
        })
    }

    /// Ends everything; gives the client's report, and the line of the server's log about the session.
    pub(crate) fn strike(mut self) -> Outcome<(Value, Value)> {
        let report = self.client.end()?;
        if let Some(relay) = &mut self.relay {
            relay.end()?;
        }
        self.server.end()?;
        let log = std::fs::read_to_string(self.folder.join("server.log"))?;
        let session = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["fields"]["message"] == "session is over")
            .map_or(Value::Null, |mut line| line["fields"].take());
        Ok((serde_json::from_str(&report)?, session))
    }
}

fn server_command(options: &Options, folder: &Path) -> Outcome<Command> {
    let config = folder.join("config.json");
    let source = format!("shm:{}", folder.join("screen").display());
    let service = serde_json::json!({"name": "default", "source": source, "rate_hz": options.rate});
    let content = serde_json::json!({"listen": "127.0.0.1:0", "plain": true, "state_dir": folder, "services": [service]});
    std::fs::write(&config, content.to_string())?;
    let mut command = Command::new(beside("lfp-server")?);
    command.args(["--log", "info", "--log-json", "serve", "--config"]).arg(config);
    if options.lossless {
        command.arg("--lossless");
    }
    for part in &options.without {
        command.args(["--without", part.name()]);
    }
    Ok(command)
}

/// A program of this repository, built into the same folder as this one.
fn beside(name: &str) -> Outcome<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        return Err(format!("{} is not built; scripts/bench-trace builds it", path.display()).into());
    }
    Ok(path)
}

fn address_of(line: &str) -> Outcome<String> {
    Ok(line.strip_prefix("listening on ").ok_or_else(|| format!("{line:?} names no address"))?.to_owned())
}

fn relayed(line: &str) -> Outcome<Relayed> {
    let report: Value = serde_json::from_str(line)?;
    let traffic = |way: &str| -> Option<Traffic> {
        Some(Traffic::sealed(report[way]["sent"].as_u64()?, report[way]["bytes_sent"].as_u64()?))
    };
    traffic("down")
        .zip(traffic("up"))
        .map(|(down, up)| Relayed { down, up })
        .ok_or_else(|| format!("the relay says {line:?}").into())
}
