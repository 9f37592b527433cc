//! A bad network between a client and its server: the relay of `tests/impair`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::{Bench, Process, program};

/// A running relay.
pub(crate) struct Link {
    process: Process,
    address: SocketAddr,
}

impl Link {
    /// A relay to `server`; `spec` says what is wrong in each direction.
    pub(crate) fn to(bench: &Bench, server: SocketAddr, spec: &str) -> Self {
        let to = server.to_string();
        let args = ["--listen", "127.0.0.1:0", "--to", &to, "--link", spec, "--control", "--json"];
        let mut process = Process::start(bench, "link", &program("lfp-impair"), &args);
        let address = process.line("listening on ").parse().expect("an address");
        Self { process, address }
    }

    /// Where the client sends to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops everything for so long, from now on.
    pub(crate) fn blackout(&mut self, span: Duration) {
        self.process.write(&format!("blackout {}ms\n", span.as_millis()));
    }

    /// Ends the relay and gives its counts.
    pub(crate) fn close(mut self) -> Value {
        self.process.interrupt();
        self.process.finish(Duration::from_secs(10));
        let output = self.process.output();
        let json = output.find('{').map(|at| &output[at..]).unwrap_or_default();
        serde_json::from_str(json).unwrap_or_else(|error| panic!("the relay's counts: {error}\n{output}"))
    }
}
