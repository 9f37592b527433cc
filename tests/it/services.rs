//! The control channel of real servers: services that come and go, configurations that are wrong, and a host's side that
//! babbles.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bench, Client, PATIENCE, Painted, Server, wait_for, watch};
use crate::many::pattern;

/// The host's side of a control channel.
pub(crate) struct Host {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    id: u64,
    /// What was said unasked.
    heard: Vec<Value>,
}

impl Host {
    /// Connects, and hears who is there.
    pub(crate) fn connect(path: &Path) -> (Self, Value) {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        let mut host = Self { stream, lines, id: 0, heard: Vec::new() };
        let mut hello = host.line();
        assert_eq!(hello["hello"]["version"], 1, "{hello}");
        (host, hello["hello"].take())
    }

    /// Connects to the end of a port where others have left what they said and did not read, and waits for an answer: once the
    /// appliance has had time to notice that they have left, and again where it says nothing.
    pub(crate) fn meet(path: &Path) -> Self {
        wait_for("an answer on the control channel", PATIENCE, || {
            watch(Duration::from_millis(300), || ());
            let mut stream = UnixStream::connect(path).expect("QEMU listens");
            stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a time-out");
            // Whatever broke off before is a line of its own.
            stream.write_all(b"\n{\"id\":1,\"do\":{\"status\":{}}}\n").ok()?;
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
            for _ in 0..2_000 {
                let mut line = Vec::new();
                lines.read_until(b'\n', &mut line).ok().filter(|count| *count > 0)?;
                let said = serde_json::from_slice::<Value>(&line).unwrap_or_default();
                if said["status"]["id"] == 1 {
                    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                    return Some(Self { stream, lines, id: 1, heard: Vec::new() });
                }
            }
            None
        })
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is read");
    }

    /// Asks for something, and gives the answer; what is said unasked meanwhile is kept.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.write(format!("{}\n", json!({"id": id, "do": command})).as_bytes());
        loop {
            let said = self.line();
            let (_, words) = said.as_object().and_then(|said| said.iter().next()).expect("an object of one");
            if words["id"] == id {
                return said;
            }
            self.heard.push(said);
        }
    }

    pub(crate) fn done(&mut self, command: &Value) {
        let answer = self.ask(command);
        assert!(answer.get("done").is_some(), "{command}: {answer}");
    }

    pub(crate) fn refused(&mut self, command: &Value) -> String {
        let answer = self.ask(command);
        answer["error"]["text"].as_str().unwrap_or_else(|| panic!("{command}: {answer}")).to_owned()
    }

    pub(crate) fn attach(&mut self, service: &str, source: &str) {
        self.done(&json!({"attach": {"service": service, "source": source}}));
    }

    pub(crate) fn status(&mut self) -> Value {
        self.ask(&json!({"status": {}}))["status"]["status"].take()
    }

    /// Waits until it is said that `service` is in `state`; gives what was said.
    pub(crate) fn hears(&mut self, service: &str, state: &str) -> Value {
        loop {
            let is_it =
                |said: &Value| said["service"]["service"] == service && said["service"]["state"] == state;
            if let Some(at) = self.heard.iter().position(is_it) {
                return self.heard.remove(at)["service"].take();
            }
            let said = self.line();
            self.heard.push(said);
        }
    }
}

/// A server with a control channel, and the channel's place.
fn controlled(bench: &Bench, words: &[&str]) -> (Server, PathBuf) {
    let socket = bench.file("control");
    let all = ["serve", "--listen", "127.0.0.1:0", "--control", socket.to_str().expect("UTF-8")];
    (Server::start(bench, &[&all[..], words].concat()), socket)
}

fn watcher(bench: &Bench, name: &str, server: &Server, service: &str) -> Client {
    Client::start(bench, name, server.address(), &["--service", service, "--seconds", "300"])
}

#[test]
fn services_are_attached_and_detached_while_clients_watch() {
    let bench = Bench::new();
    let (left, right) = (
        Painted::new(&bench.file("left.fb"), &pattern(320, 240, 1)),
        Painted::new(&bench.file("right.fb"), &pattern(200, 100, 2)),
    );
    let stats = bench.file("stats.json");
    let (server, socket) = controlled(&bench, &["--stats", stats.to_str().expect("UTF-8")]);
    let (mut host, hello) = Host::connect(&socket);
    assert_eq!(hello.get("error"), None);
    let status = host.status();
    assert_eq!((&status["services"], &status["sessions"]), (&json!([]), &json!(0)), "{status}");
    assert_eq!(status["listen"], server.address().to_string());
    assert!(status["fingerprint"].as_str().is_some_and(|text| text.len() > 20), "{status}");
    assert!(status["memory_bytes"].as_u64() > Some(1 << 20), "{status}");

    host.attach("left", &left.source());
    let said = host.hears("left", "live");
    assert_eq!((&said["text"], &said["is_attached"]), (&json!("320x240 xrgb8888"), &json!(true)), "{said}");
    // Whoever reads the statistics sees it as well.
    let written = wait_for("the service in the statistics", PATIENCE, || {
        let text = fs::read_to_string(&stats).ok()?;
        let all: Value = serde_json::from_str(&text).ok()?;
        all["services"][0]["text"].is_string().then(|| all["services"][0].clone())
    });
    let said = json!({ "service": "left", "source": left.source(), "state": "live",
        "text": "320x240 xrgb8888", "is_attached": true });
    assert_eq!(written, said);
    host.attach("right", &right.source());
    let mut of_left = watcher(&bench, "of-left", &server, "left");
    let mut of_right = watcher(&bench, "of-right", &server, "right");
    of_left.wait_shows(&pattern(320, 240, 1), PATIENCE);
    of_right.wait_shows(&pattern(200, 100, 2), PATIENCE);
    let status = host.status();
    let sessions: Vec<_> =
        status["services"].as_array().expect("a list").iter().map(|it| &it["sessions"]).collect();
    assert_eq!((sessions, &status["sessions"]), (vec![&json!(1), &json!(1)], &json!(2)), "{status}");

    host.done(&json!({"detach": {"service": "left"}}));
    let (code, report) = of_left.end();
    assert_ne!(code, Some(0));
    assert!(report.json.to_string().contains("the service has ended: left"), "{}", report.json);
    let maps = || fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("its mappings");
    wait_for("the memory to be let go of", PATIENCE, || (!maps().contains("left.fb")).then_some(()));
    assert!(maps().contains("right.fb"));
    // Nobody else has noticed.
    of_right.assert_running();
    right.show(&pattern(200, 100, 9));
    of_right.wait_shows(&pattern(200, 100, 9), PATIENCE);
    assert_eq!(host.refused(&json!({"detach": {"service": "left"}})), "no service \"left\" is attached");

    // A host's side that comes anew says again what it has attached, which changes nothing.
    drop(host);
    let (mut host, _) = Host::connect(&socket);
    host.attach("right", &right.source());
    host.attach("left", &left.source());
    Client::settled(&bench, "again", server.address(), &["--service", "left"]);
    right.show(&pattern(200, 100, 3));
    of_right.wait_shows(&pattern(200, 100, 3), PATIENCE);
    of_right.interrupt();
    assert_eq!(of_right.end().0, Some(0));
    let said = server.close();
    assert!(!socket.exists() && !said.contains("ERROR"), "{said}");
}

#[test]
fn what_a_guest_does_is_said_unasked() {
    let bench = Bench::new();
    let file = bench.file("late.fb");
    let (server, socket) = controlled(&bench, &[]);
    let (mut host, _) = Host::connect(&socket);
    host.attach("late", &format!("shm:{}", file.display()));
    host.hears("late", "gone");
    let painted = Painted::new(&file, &pattern(64, 48, 1));
    assert_eq!(host.hears("late", "live")["text"], "64x48 xrgb8888");
    painted.show(&pattern(100, 50, 1));
    wait_for("the other mode", PATIENCE, || {
        (host.hears("late", "live")["text"] == "100x50 xrgb8888").then_some(())
    });
    drop(painted);
    fs::remove_file(&file).ok();
    server.close();
}

#[test]
fn a_wrong_configuration_leaves_the_server_up_and_is_said() {
    let bench = Bench::new();
    let file = bench.file("server.json");
    let name = file.to_str().expect("UTF-8");
    let own = json!({"name": "own", "source": "synthetic:idle?size=64x64"});
    for (text, part) in [
        ("", "EOF"),
        ("{\"listen\": 3}", "listen"),
        (r#"{"services": [{"name": "a", "source": "vnc:x"}]}"#, "services[0].source"),
    ] {
        fs::write(&file, text).expect("a file");
        let (server, socket) = controlled(&bench, &["--config", name]);
        let (mut host, hello) = Host::connect(&socket);
        let error = hello["error"].as_str().expect("an error").to_owned();
        assert!(error.contains(name) && error.contains(part), "{error}");
        assert_eq!(host.status()["error"], error);
        let refused = host.refused(&json!({"configure": {"config": {"services": [{"name": "own"}]}}}));
        assert!(refused.contains("services[0].source"), "{refused}");
        assert_eq!(host.status()["error"], error, "nothing has changed");
        host.done(&json!({"configure": {"config": {"services": [own]}}}));
        host.hears("own", "live");
        let status = host.status();
        assert!(status.get("error").is_none() && status["services"][0]["is_attached"] == false, "{status}");
        Client::settled(&bench, "client", server.address(), &["--service", "own"]);
        let said = server.close();
        assert!(said.contains("ERROR") && said.contains(part), "{said}");
    }
    // One that is not there is no fault; one that is right is in force, and what cannot change is said.
    fs::remove_file(&file).expect("removed");
    let (server, socket) = controlled(&bench, &["--config", name]);
    assert_eq!(Host::connect(&socket).1.get("error"), None);
    server.close();
    fs::write(&file, json!({"services": [own]}).to_string()).expect("a file");
    let (server, socket) = controlled(&bench, &["--config", name]);
    let (mut host, _) = Host::connect(&socket);
    let mut client = watcher(&bench, "stays", &server, "own");
    client.wait_picture();
    let refused = host.refused(&json!({"attach": {"service": "own", "source": "synthetic:idle"}}));
    assert!(refused.contains("of the configuration"), "{refused}");
    let refused = host.refused(&json!({"configure": {"config": {"sockets": 9, "services": [own]}}}));
    assert!(refused.contains("cannot change while the server runs"), "{refused}");
    let more = json!({"name": "more", "source": "synthetic:typing?size=64x64"});
    host.done(&json!({"configure": {"config": {"sessions_max": 1, "services": [own, more]}}}));
    client.assert_running();
    let (code, report) = watcher(&bench, "one-too-many", &server, "more").end();
    assert!(code != Some(0) && report.json.to_string().contains("as many sessions"), "{}", report.json);
    host.done(&json!({"configure": {"config": {"services": [more]}}}));
    let (code, report) = client.end();
    assert!(
        code != Some(0) && report.json.to_string().contains("the service has ended: own"),
        "{}",
        report.json
    );
    server.close();
}

#[test]
fn a_channel_that_floods_gets_bounded_answers_and_holds_nobody_up() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let (server, socket) = controlled(&bench, &[]);
    let (mut good, _) = Host::connect(&socket);
    good.attach("screen", &painted.source());
    let mut client = watcher(&bench, "client", &server, "screen");
    client.wait_shows(&pattern(320, 240, 1), PATIENCE);
    let memory = server.memory();
    let flood = |bytes: Vec<u8>| {
        let (host, _) = Host::connect(&socket);
        host.stream.set_nonblocking(true).expect("it does not wait");
        (host, bytes)
    };
    let status = b"{\"id\":1,\"do\":{\"status\":{}}}\n".repeat(100);
    let mut floods = [flood(vec![b'x'; 65_536]), flood(b"garbage\n".repeat(8_192)), flood(status)];
    let mut turn = 0_u32;
    watch(Duration::from_secs(4), || {
        for (host, bytes) in &mut floods {
            // As much as is taken, and nothing is read.
            while matches!(host.stream.write(bytes), Ok(count) if count > 0) {}
        }
        turn += 1;
        if turn % 20 == 0 {
            let picture = pattern(320, 240, turn / 20);
            painted.show(&picture);
            client.wait_shows(&picture, Duration::from_secs(20));
            assert_eq!(good.status()["services"][0]["state"], "live");
        }
    });
    assert!(turn >= 20, "{turn}");
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more");
    // What was read is answered, and no more than a few lines of garbage a second.
    let (garbage, _) = &mut floods[1];
    garbage.stream.set_nonblocking(false).expect("it waits");
    garbage.stream.shutdown(std::net::Shutdown::Write).expect("an end");
    let answers = garbage.lines.by_ref().lines().map_while(Result::ok).count();
    assert!((2..200).contains(&answers), "{answers} errors");
    drop(floods);
    assert_eq!(good.status()["sessions"], 1);
    client.interrupt();
    assert_eq!(client.end().0, Some(0));
    server.close();
}

#[test]
fn a_confined_server_is_told_what_to_serve_too() {
    let bench = Bench::new();
    let (server, socket) = controlled(&bench, &["--confine"]);
    let (mut host, _) = Host::connect(&socket);
    host.attach("idle", "synthetic:idle?size=64x64");
    host.hears("idle", "live");
    Client::settled(&bench, "client", server.address(), &["--service", "idle"]);
    host.done(&json!({"detach": {"service": "idle"}}));
    drop(host);
    assert!(Host::connect(&socket).0.status()["memory_bytes"].as_u64() > Some(0));
    server.close();
    assert!(!socket.exists());
}

#[test]
fn a_socket_that_was_left_behind_is_taken_and_one_in_use_is_not() {
    let bench = Bench::new();
    let (server, socket) = controlled(&bench, &[]);
    let name = socket.to_str().expect("UTF-8");
    let second = ["serve", "--listen", "127.0.0.1:0", "--control", name];
    let (good, _, said) = crate::harness::lfp_server(&bench, &second);
    assert!(!good && said.contains("--control") && said.contains(name), "{said}");
    server.kill();
    assert!(socket.exists());
    let (server, socket) = controlled(&bench, &[]);
    Host::connect(&socket).0.status();
    server.close();
}
