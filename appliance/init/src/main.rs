//! `lfp-init`: process 1 of the appliance. It brings up devices, network and configuration, starts `lfp-server` without
//! rights, keeps it alive, and shows on the console how things stand. It ends never.

#[cfg(not(target_os = "linux"))]
compile_error!("lfp-init is process 1 of a Linux system");

mod boot;
mod clock;
mod config;
mod console;
mod devices;
mod disks;
mod facts;
mod modules;
mod network;
mod power;
mod server;
mod uevent;

use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use console::Console;
use devices::Devices;
use facts::Facts;
use modules::Modules;
use network::Link;
use power::{Buttons, Watchdog};
use server::{News, Server};
use uevent::Uevents;

/// Between two looks at everything that no descriptor tells of.
const TICK: Duration = Duration::from_millis(500);
/// The same while a device's files are waited for.
const TICK_SHORT: Duration = Duration::from_millis(50);
/// Between two looks at what the server counts.
const REFRESH: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // `udhcpc` calls this program by the same name.
    if std::process::id() != 1 {
        return match std::env::args().nth(1) {
            Some(event) => network::on_lease(&event),
            None => {
                eprintln!("lfp-init is process 1 of the appliance: see appliance/README.md");
                ExitCode::from(2)
            }
        };
    }
    boot::mount_kernel();
    boot::gather_randomness();
    let mut appliance = Appliance::start();
    loop {
        appliance.step();
    }
}

/// Lets `time` pass, or less.
fn pause(time: Duration) {
    wait_for(&mut [], time);
}

fn wait_for(descriptors: &mut [PollFd<'_>], time: Duration) {
    let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
    // An interruption is as good as an event.
    let _ = poll(descriptors, timeout);
}

struct Appliance {
    console: Console,
    facts: Facts,
    modules: Modules,
    uevents: Option<Uevents>,
    devices: Devices,
    link: Link,
    server: Server,
    buttons: Buttons,
    watchdog: Option<Watchdog>,
    shell: Option<Shell>,
    refresh: Duration,
    is_waiting: bool,
}

impl Appliance {
    fn start() -> Self {
        let began = clock::now();
        let options = boot::Options::read();
        let mut console = Console::open();
        let mut facts = Facts::default();
        let mut problem = |facts: &mut Facts, words: &str| {
            console.say(clock::now(), words);
            facts.error(clock::now(), words);
        };
        // Before anything is looked at, so that nothing comes unseen in between.
        let uevents = Uevents::open();
        let mut modules = Modules::open();
        for failed in modules.load_for_all_devices() {
            problem(&mut facts, &failed);
        }
        boot::wait_for_disks(&mut modules);
        let has_devices = clock::now();
        let found = config::find(&mut modules);
        let (state, error) = boot::prepare_state(&mut modules);
        let mut devices = Devices::default();
        devices.grant_all(clock::now());
        let written = boot::write_config(&found.config.server).err().map(|error| error.to_string());
        let sealed = boot::seal_root().err().map(|error| format!("the image stays writable: {error}"));
        let deaf = uevents.as_ref().err().map(|error| format!("devices that come are not noticed: {error}"));
        for words in [error, written, sealed, deaf].into_iter().flatten() {
            problem(&mut facts, &words);
        }
        if let Some(fault) = &found.error {
            console.say(clock::now(), &facts::clean(fault));
        }
        let seconds = |time: Duration| time.as_secs_f64();
        let words = format!(
            "start-up: kernel {:.3} s, devices {:.3} s, configuration {:.3} s",
            seconds(began),
            seconds(has_devices - began),
            seconds(clock::now() - has_devices)
        );
        console.say(clock::now(), &words);
        console.say(clock::now(), &format!("configuration: {}", found.origin.unwrap_or("none")));
        console.say(clock::now(), &format!("the server's key is {state}"));
        facts.port = found.config.port().to_owned();
        facts.take_configured(&found.config.server);
        let server = Server::new(options.control, found.error.clone());
        (facts.origin, facts.state, facts.fault) = (found.origin, state, found.error);
        Self {
            console,
            facts,
            modules,
            uevents: uevents.ok(),
            devices,
            link: Link::new(found.config.network),
            server,
            buttons: Buttons::open(),
            watchdog: Watchdog::open(),
            shell: options.shell.then(Shell::default),
            refresh: Duration::ZERO,
            is_waiting: true,
        }
    }

    fn step(&mut self) {
        let now = clock::now();
        for news in self.server.poll(now) {
            self.on_news(now, news);
        }
        if let Some(words) = self.link.poll(now) {
            self.console.say(now, &words);
        }
        while let Some(added) = self.uevents.as_mut().and_then(Uevents::next) {
            for failed in added.alias.iter().flat_map(|alias| self.modules.load_for(alias)) {
                self.console.say(now, &failed);
                self.facts.error(now, &failed);
            }
            self.devices.on_added(&added, now);
        }
        self.is_waiting = self.devices.retry(now);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.poll(now);
        }
        if let Some(shell) = &mut self.shell {
            shell.poll();
        }
        if self.buttons.pressed() {
            self.end(now);
        }
        self.tell(now);
        self.wait(now);
    }

    fn on_news(&mut self, now: Duration, news: News) {
        let words = match news {
            News::Started => "lfp-server is started".to_owned(),
            News::Output(line) => facts::clean(&line),
            News::Log(line) => self.facts.take_log(now, &line),
            News::Ended(words) => {
                self.facts.error(now, &words);
                words
            }
        };
        self.console.say(now, &words);
        self.refresh = self.refresh.min(now);
    }

    /// Shows how things stand, and says where the appliance is when that has changed.
    fn tell(&mut self, now: Duration) {
        let addresses = network::addresses();
        if addresses != self.facts.addresses {
            self.facts.addresses = addresses;
            let words = format!("address: {}", self.facts.places().join("  "));
            self.console.say(now, &words);
            self.refresh = now;
        }
        if now < self.refresh {
            return;
        }
        self.refresh = now + REFRESH;
        if let Some(statistics) = server::statistics() {
            let (services, sessions) = (self.facts.services.clone(), self.facts.sessions.len());
            self.facts.take_statistics(&statistics);
            for service in self.facts.services.iter().filter(|service| !services.contains(service)) {
                let words = format!("service {}: {} {}", service.name, service.source, service.state);
                self.console.say(now, words.trim_end());
            }
            if self.facts.sessions.len() != sessions {
                self.console.say(now, &format!("sessions: {}", self.facts.sessions.len()));
            }
        }
        self.facts.memory = memory();
        self.console.show(self.facts.page());
    }

    fn wait(&self, now: Duration) {
        let tick = if self.is_waiting { TICK_SHORT } else { TICK };
        let due = self.server.due().map_or(tick, |due| due.saturating_sub(now).min(tick));
        let events = self.uevents.iter().map(AsFd::as_fd);
        let all = events.chain(self.server.descriptors()).chain(self.buttons.descriptors());
        let mut polled: Vec<_> = all.map(readable).collect();
        wait_for(&mut polled, due);
    }

    /// The button was pressed: sessions are closed in order, and the machine is switched off.
    fn end(&mut self, now: Duration) -> ! {
        self.console.say(now, "the power button was pressed");
        self.server.stop();
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.close();
        }
        power::off()
    }
}

fn readable(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}

/// Bytes of memory in use, and of all that there is.
fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    };
    let all = bytes("MemTotal:")?;
    Some((all.saturating_sub(bytes("MemAvailable:")?), all))
}

/// The rescue shell, on the first serial console.
#[derive(Default)]
struct Shell(Option<Child>);

impl Shell {
    /// Starts it if there is none: who leaves it gets another.
    fn poll(&mut self) {
        if self.0.as_mut().is_some_and(|shell| matches!(shell.try_wait(), Ok(None))) {
            return;
        }
        let name = console::serial_names().into_iter().next().unwrap_or_else(|| "tty2".to_owned());
        let open = || std::fs::OpenOptions::new().read(true).write(true).open(format!("/dev/{name}"));
        let (Ok(input), Ok(output), Ok(errors)) = (open(), open(), open()) else { return };
        let mut command = Command::new("/bin/busybox");
        command.args(["setsid", "-c", "/bin/busybox", "sh"]).env("PATH", "/bin");
        self.0 = command.stdin(input).stdout(Stdio::from(output)).stderr(errors).spawn().ok();
    }
}
