//! The real `lfp-server`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, PATIENCE, Process};

/// A running server on a free port of loopback.
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Serves one source as `default`.
    pub(crate) fn of(bench: &Bench, source: &str) -> Self {
        Self::start(bench, &["serve", "--source", source, "--listen", "127.0.0.1:0"])
    }

    /// Serves sources by name.
    pub(crate) fn of_services(bench: &Bench, services: &[(&str, &str)]) -> Self {
        let services: Vec<_> =
            services.iter().map(|(name, source)| json!({"name": name, "source": source})).collect();
        Self::of_json(bench, &services)
    }

    /// Serves several sources as `default`.
    pub(crate) fn of_sources(bench: &Bench, sources: &[&str]) -> Self {
        Self::of_json(bench, &[json!({"name": "default", "source": sources})])
    }

    fn of_json(bench: &Bench, services: &[Value]) -> Self {
        let config = json!({"listen": "127.0.0.1:0", "services": services});
        let file = bench.file("server.json");
        fs::write(&file, config.to_string()).expect("a configuration");
        Self::start(bench, &["serve", "--config", file.to_str().expect("UTF-8")])
    }

    /// Starts it with these words.
    pub(crate) fn start(bench: &Bench, args: &[&str]) -> Self {
        Self::announced(Process::start(bench, "server", Path::new(env!("CARGO_BIN_EXE_lfp-server")), args))
    }

    /// Starts it on a machine of files: `root` stands for `/`, where it looks for devices and ports.
    pub(crate) fn under(bench: &Bench, root: &Path, args: &[&str]) -> Self {
        Self::announced(start_under(bench, "server", root, args))
    }

    fn announced(mut process: Process) -> Self {
        let address = process.line("listening on ").parse().expect("an address");
        Self { process, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn assert_running(&mut self) {
        self.process.assert_running();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// Ends it as Ctrl-C does; gives what it said on standard error.
    ///
    /// # Panics
    /// If it does not end in order.
    pub(crate) fn close(mut self) -> String {
        self.process.interrupt();
        let status = self.process.finish(PATIENCE.min(Duration::from_secs(10)));
        let words = self.process.errors();
        assert!(status.success(), "the server ended with {status}:\n{words}");
        words
    }
}

fn start_under(bench: &Bench, name: &str, root: &Path, args: &[&str]) -> Process {
    let root = format!("LFP_ROOT={}", root.display());
    let words = [&[root.as_str(), env!("CARGO_BIN_EXE_lfp-server")], args].concat();
    Process::start(bench, name, Path::new("env"), &words)
}

/// Runs `lfp-server` with these words to its end: whether it succeeded, standard output, standard error.
pub(crate) fn lfp_server(bench: &Bench, args: &[&str]) -> (bool, String, String) {
    finished(Process::start(bench, "command", Path::new(env!("CARGO_BIN_EXE_lfp-server")), args))
}

/// [`lfp_server`] on a machine of files, as [`Server::under`].
pub(crate) fn lfp_server_under(bench: &Bench, root: &Path, args: &[&str]) -> (bool, String, String) {
    finished(start_under(bench, "command", root, args))
}

fn finished(mut process: Process) -> (bool, String, String) {
    let status = process.finish(PATIENCE);
    (status.success(), process.output(), process.errors())
}
