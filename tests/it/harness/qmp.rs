//! The test's own line to a guest's monitor, apart from the one that the server uses.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{PATIENCE, Picture, wait_for};

/// A monitor.
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects as soon as the socket is there.
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = wait_for("the guest's monitor", PATIENCE, || UnixStream::connect(socket).ok());
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read();
        qmp.execute("qmp_capabilities", &json!({}));
        qmp
    }

    /// Runs a command and gives its answer; what happens meanwhile is left out.
    ///
    /// # Panics
    /// If the command fails.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        let line = json!({"execute": command, "arguments": arguments});
        writeln!(self.stream.get_mut(), "{line}").expect("the monitor takes commands");
        loop {
            let mut answer = self.read();
            if let Some(error) = answer.get("error") {
                panic!("{command} failed: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return value.take();
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).expect("the monitor answers");
        assert!(count > 0, "the monitor has closed");
        serde_json::from_str(&line).expect("the monitor speaks JSON")
    }

    /// The picture as QEMU itself sees it.
    pub(crate) fn screendump(&mut self, file: &Path) -> Picture {
        self.execute("screendump", &json!({"filename": file, "format": "ppm"}));
        let dump = std::fs::read(file).expect("the screendump");
        Picture::from_ppm(&dump)
    }

    /// Presses and releases a key (`KEY_*` as QEMU names them).
    pub(crate) fn key(&mut self, keys: &[&str]) {
        let event = |key: &&str, down: bool| json!({"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": key}}});
        let downs = keys.iter().map(|key| event(key, true));
        let ups = keys.iter().rev().map(|key| event(key, false));
        let events: Vec<_> = downs.chain(ups).collect();
        self.execute("input-send-event", &json!({"events": events}));
    }
}
