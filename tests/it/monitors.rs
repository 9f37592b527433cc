//! Monitors that answer slowly, never, or nonsense. Each is one source of a server that has a healthy one too.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::harness::{Bench, Client, PATIENCE, Painted, Server, watch};
use crate::many::pattern;

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}}, \"capabilities\": []}}\n";

/// What a monitor does with one connection; an error means that the server has hung up, which it may.
type Behaviour = fn(UnixStream);

const FAKES: [(&str, Behaviour); 8] = [
    ("silent", |mut stream| drop(stream.read_to_end(&mut Vec::new()))),
    ("closing", drop),
    ("noise", |mut stream| {
        let _ = stream.write_all(b"\x00\xff{{{]]\n\"\n[1,2]\nnull\n{\"QMP\":3}\n");
        let _ = stream.read_to_end(&mut Vec::new());
    }),
    ("slow", |mut stream| {
        for byte in GREETING.bytes().cycle() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            watch(Duration::from_millis(50), || ());
        }
    }),
    ("endless", |mut stream| {
        // A line that never ends, then as many lines as fit.
        let block = vec![b'x'; 1 << 20];
        for _ in 0..256 {
            if stream.write_all(&block).is_err() {
                return;
            }
        }
    }),
    ("flood", |mut stream| {
        let _ = stream.write_all(GREETING.as_bytes());
        let event =
            "{\"event\": \"RESET\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}, \"data\": {}}\n";
        while stream.write_all(event.repeat(1000).as_bytes()).is_ok() {}
    }),
    ("refusing", |stream| {
        answer(stream, |_| "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}".to_owned());
    }),
    ("lying", |stream| {
        answer(stream, |command| {
            match command {
            "query-pci" => "{\"return\": [{\"bus\": 0, \"devices\": [{\"class_info\": {\"class\": 768}, \
                            \"regions\": [{\"bar\": 0, \"type\": \"memory\", \"address\": -1, \"size\": 1e300}], \
                            \"slot\": 999999999999, \"function\": -4, \"bus\": 0}]}]}"
                .to_owned(),
            "human-monitor-command" => "{\"return\": \"zzz: 0xb0c5 0xffff 0xffff 0x0020 0x0041\"}".to_owned(),
            _ => "{\"return\": {}}".to_owned(),
        }
        });
    }),
];

/// Greets, and answers each command of one line.
fn answer(mut stream: UnixStream, say: impl Fn(&str) -> String) {
    let _ = stream.write_all(GREETING.as_bytes());
    let Ok(copy) = stream.try_clone() else { return };
    for line in std::io::BufRead::lines(std::io::BufReader::new(copy)).map_while(Result::ok) {
        let command: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let mut reply: serde_json::Value =
            serde_json::from_str(&say(command["execute"].as_str().unwrap_or_default()))
                .expect("our own JSON");
        if let Some(id) = command.get("id") {
            reply["id"] = id.clone();
        }
        if writeln!(stream, "{reply}").is_err() {
            return;
        }
    }
}

/// Listens at `path` and treats every connection so. The thread ends with the test process.
fn listen(path: &Path, behave: Behaviour) {
    let listener = UnixListener::bind(path).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || behave(stream));
        }
    });
}

#[test]
fn monitors_that_misbehave_disturb_nobody() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("healthy.fb"), &pattern(640, 480, 0));
    let mut services = vec![("healthy".to_owned(), painted.source())];
    for (name, behave) in FAKES {
        let path = bench.file(&format!("{name}.qmp"));
        listen(&path, behave);
        services.push((name.to_owned(), format!("qemu:{}", path.display())));
    }
    let services: Vec<(&str, &str)> = services.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let mut server = Server::of_services(&bench, &services);
    let watching = |name: &str| {
        let words = ["--service", name, "--seconds", "300", "--reconnect", "0"];
        Client::start(&bench, name, server.address(), &words)
    };
    let mut healthy = watching("healthy");
    let mut others: Vec<Client> = FAKES.iter().map(|(name, _)| watching(name)).collect();
    healthy.wait_shows(&pattern(640, 480, 0), PATIENCE);
    let before = server.memory();
    for turn in 1..12 {
        let picture = pattern(640, 480, turn);
        painted.show(&picture);
        // Nothing of what the others do may hold up this one.
        healthy.wait_shows(&picture, Duration::from_secs(5));
        watch(Duration::from_millis(250), || ());
    }
    for client in &mut others {
        client.assert_running();
        assert!(client.shows().is_none(), "a picture without a guest");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "the server grew by {grown} bytes");
    server.assert_running();
    server.close();
    for client in others {
        let (_, report) = client.end();
        let surface = report.json["surface"].as_str().unwrap_or_default();
        assert!(["connecting", "no-framebuffer", "gone", "faulty"].contains(&surface), "{}", report.json);
    }
}
