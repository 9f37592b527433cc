//! The host's side of appliances, and what stands in for an appliance.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, PATIENCE, Process, wait_for};

/// A running `lfp-server host run`.
pub(crate) struct Host {
    process: Process,
    dir: PathBuf,
}

impl Host {
    /// Starts it with this configuration.
    pub(crate) fn start(bench: &Bench, config: &Value) -> Self {
        let (dir, file) = (bench.file("host"), bench.file("host.json"));
        fs::write(&file, config.to_string()).expect("a configuration");
        let words = ["host", "run", "--config"].map(PathBuf::from);
        let args: Vec<PathBuf> =
            words.into_iter().chain([file, PathBuf::from("--dir"), dir.clone()]).collect();
        let mut process = Process::start(bench, "host", Path::new(env!("CARGO_BIN_EXE_lfp-server")), &args);
        process.line("listening on ");
        Self { process, dir }
    }

    /// Runs `lfp-server host` with these words and waits for its end.
    pub(crate) fn ask(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lfp-server"))
            .arg("host")
            .args(words)
            .arg("--dir")
            .arg(&self.dir)
            .output()
            .expect("it runs")
    }

    /// As [`Host::ask`], of what has to succeed and prints one JSON object.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let output = self.ask(&[words, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "host {}: {errors}\n{}", words.join(" "), self.process.errors());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// As [`Host::ask`], of what has to fail: what it says of that.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        assert_eq!(output.status.code(), Some(1), "host {}", words.join(" "));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// What it says of a guest of an appliance.
    pub(crate) fn given(&self, appliance: &str, guest: &str) -> Value {
        let status = self.json(&["status"]);
        let find = |list: &Value, key: &str, name: &str| {
            list.as_array()
                .and_then(|list| list.iter().find(|one| one[key] == name).cloned())
                .unwrap_or_default()
        };
        find(&find(&status["appliances"], "appliance", appliance)["guests"], "guest", guest)
    }

    /// Where the port of `guest` for `appliance` is.
    pub(crate) fn port(&self, appliance: &str, guest: &str) -> PathBuf {
        self.dir.join("ports").join(appliance).join(format!("{guest}.sock"))
    }

    pub(crate) fn log(&self) -> String {
        self.process.errors()
    }

    /// Ends it at once, as a crash would. Another one may be started in its place.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// The file in which it remembers what is attached.
    pub(crate) fn memory(&self) -> PathBuf {
        self.dir.join("attached.json")
    }

    /// Ends it politely.
    pub(crate) fn stop(mut self) {
        self.process.interrupt();
        let status = self.process.finish(PATIENCE);
        assert!(status.success(), "{status}: {}", self.process.errors());
    }
}

/// A client of a guest port: an appliance without a machine.
pub(crate) struct Port {
    stream: BufReader<UnixStream>,
    number: u64,
}

impl Port {
    /// Connects, is greeted, and greets.
    pub(crate) fn connect(path: &Path) -> (Self, Value) {
        let stream = UnixStream::connect(path).expect("the port takes a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut port = Self { stream: BufReader::new(stream), number: 0 };
        let hello = port.hear("hello");
        port.say(&json!({ "hello": { "version": 1 } }));
        (port, hello)
    }

    pub(crate) fn say(&mut self, message: &Value) {
        writeln!(self.stream.get_mut(), "{message}").expect("the host listens");
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            let count = self.stream.read_line(&mut line).expect("the host says something");
            assert!(count > 0, "the host has closed the port");
            if !line.trim().is_empty() {
                return serde_json::from_str(&line).expect("JSON");
            }
        }
    }

    /// The next message of this kind; others are let pass.
    pub(crate) fn hear(&mut self, kind: &str) -> Value {
        loop {
            if let Some(message) = self.next().get_mut(kind) {
                return message.take();
            }
        }
    }

    /// What comes within `limit`.
    pub(crate) fn hear_for(&mut self, limit: Duration) -> Vec<Value> {
        let end = lfp::clock::now() + limit;
        let mut heard = Vec::new();
        let mut line = String::new();
        loop {
            let left = end.saturating_since(lfp::clock::now());
            if left.is_zero() {
                break;
            }
            self.stream.get_ref().set_read_timeout(Some(left)).expect("a timeout");
            match self.stream.read_line(&mut line) {
                Ok(count) => assert!(count > 0, "the host has closed the port"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
            if !line.trim().is_empty() {
                heard.push(serde_json::from_str(&line).expect("JSON"));
            }
            line.clear();
        }
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        heard
    }

    /// Sends an input; returns its number.
    pub(crate) fn input(&mut self, event: &Value) -> u64 {
        self.number += 1;
        let (number, width, height) = (self.number, 1280, 800);
        self.say(&json!({ "input": { "number": number, "width": width, "height": height, "event": event } }));
        number
    }

    /// Presses a key, or lets it go (Linux's code).
    pub(crate) fn key(&mut self, code: u16, down: bool) -> u64 {
        self.input(&json!({ "key": { "code": code, "down": down } }))
    }
}

/// An appliance's control channel that a test answers: every attachment is live at once.
pub(crate) struct Control {
    path: PathBuf,
    heard: Arc<Mutex<Vec<Value>>>,
    stream: Arc<Mutex<Option<UnixStream>>>,
    /// What is attached, as an appliance says it.
    services: Services,
}

type Services = Arc<Mutex<Vec<Value>>>;

impl Control {
    /// Listens; attachments of services called `refused` are refused.
    pub(crate) fn listen(path: &Path, refused: &'static str) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let (heard, stream, services) = (Arc::default(), Arc::default(), Services::default());
        let control = Self {
            path: path.to_owned(),
            heard: Arc::clone(&heard),
            stream: Arc::clone(&stream),
            services: Arc::clone(&services),
        };
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let copy = connection.try_clone().expect("a copy");
                *stream.lock().expect("unharmed") = Some(copy);
                say(&connection, &json!({ "hello": { "version": 1, "program": "a test" } }));
                answer(&connection, &heard, &services, refused);
            }
        });
        control
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// Begins anew, as an appliance that was booted again.
    pub(crate) fn begin(&self) {
        self.services.lock().expect("unharmed").clear();
        let stream = self.stream.lock().expect("unharmed");
        say(stream.as_ref().expect("connected"), &json!({ "hello": { "version": 1, "program": "a test" } }));
    }

    /// What was asked for so far.
    pub(crate) fn heard(&self) -> Vec<Value> {
        self.heard.lock().expect("unharmed").clone()
    }

    /// Waits until `count` attachments were asked for, and gives the last.
    pub(crate) fn wait_attached(&self, count: usize) -> Value {
        wait_for("an attachment to be said", PATIENCE, || {
            let heard = self.heard();
            let attached: Vec<_> =
                heard.iter().filter_map(|request| request["do"].get("attach").cloned()).collect();
            (attached.len() >= count).then(|| attached.last().cloned()).flatten()
        })
    }
}

fn say(mut stream: &UnixStream, message: &Value) {
    let _ = writeln!(stream, "{message}");
}

fn answer(stream: &UnixStream, heard: &Mutex<Vec<Value>>, services: &Services, refused: &str) {
    for line in BufReader::new(stream).lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
        let request: Value = serde_json::from_str(&line).expect("the host speaks JSON");
        heard.lock().expect("unharmed").push(request.clone());
        let id = &request["id"];
        if let Some(attach) = request["do"].get("attach") {
            if attach["service"] == refused {
                say(stream, &json!({ "error": { "id": id, "text": "not this one" } }));
                continue;
            }
            say(stream, &json!({ "done": { "id": id } }));
            let service = json!({ "service": attach["service"], "source": attach["source"],
                "state": "live", "text": "1280x800", "sessions": 0, "is_attached": true });
            services.lock().expect("unharmed").push(service.clone());
            say(stream, &json!({ "service": service }));
        } else if request["do"].get("status").is_some() {
            let status = json!({ "program": "a test", "fingerprint": "", "listen": "", "sessions": 0,
                "memory_bytes": 0, "services": *services.lock().expect("unharmed") });
            say(stream, &json!({ "status": { "id": id, "status": status } }));
        } else {
            say(stream, &json!({ "done": { "id": id } }));
        }
    }
}
