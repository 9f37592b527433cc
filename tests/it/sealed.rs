//! Sealed sessions of real processes, and what somebody on loopback can do to them.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lfp_proto::greeting::{SealedHello, Step};
use lfp_proto::hello::Challenge;
use lfp_proto::limits::{DATAGRAM_MAX, DATAGRAM_MIN};
use lfp_proto::packet::{Builder, HEADER_LEN, Header, Kind, PLAIN_TRAILER_LEN, View};
use lfp_proto::units::{ConnectionId, PacketNumber};

use crate::harness::{Bench, Client, PATIENCE, Painted, Server, assert_same, lfp_server};
use crate::many::pattern;

const WRONG_KEY: i32 = 7;

/// A server of one picture.
fn served(bench: &Bench) -> (Painted, Server) {
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let server = Server::of(bench, &painted.source());
    (painted, server)
}

#[test]
fn a_server_is_taken_at_its_word_once_and_known_by_its_key_from_then_on() {
    let bench = Bench::new();
    let (_painted, server) = served(&bench);
    let (ok, fingerprint, _) = lfp_server(&bench, &["fingerprint"]);
    assert!(ok);
    let fingerprint = fingerprint.trim();
    for (name, is_new) in [("first", true), ("second", false), ("third", false)] {
        let report = Client::settled(&bench, name, server.address(), &[]);
        assert_eq!(report.json["protection"], "sealed");
        assert_eq!(report.json["server_key"], fingerprint);
        assert_eq!(report.json["server_key_new"], is_new, "{name}");
        assert_same(name, report.picture(), &pattern(320, 240, 1));
    }
    let state = bench.path().join("state/lfp");
    for file in ["server.key", "client.key", "known-servers", "tickets"] {
        let mode = fs::metadata(state.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
    }
    let known = fs::read_to_string(state.join("known-servers")).expect("the known servers");
    assert_eq!(known.lines().count(), 1, "{known}");
    assert!(known.contains(fingerprint) && known.starts_with(&server.address().to_string()), "{known}");
    let words = server.close();
    assert!(words.contains(fingerprint), "the server says its fingerprint: {words}");
}

#[test]
fn another_key_ends_a_client_and_it_shows_both_and_says_what_to_do() {
    let bench = Bench::new();
    let (painted, server) = served(&bench);
    let address = server.address();
    let first = Client::settled(&bench, "first", address, &[]);
    let old = first.json["server_key"].as_str().expect("a fingerprint").to_owned();
    server.close();
    // The server is set up anew.
    fs::remove_file(bench.path().join("state/lfp/server.key")).expect("its key");
    let listen = address.to_string();
    let server = Server::start(&bench, &["serve", "--source", &painted.source(), "--listen", &listen]);
    let (_, new, _) = lfp_server(&bench, &["fingerprint"]);
    let new = new.trim();
    assert_ne!(old, new);
    let (code, report) = Client::start(&bench, "warned", address, &["--seconds", "20"]).end();
    assert_eq!(code, Some(WRONG_KEY));
    assert_eq!(report.json["state"], "wrong-key");
    let said = report.json["error"].as_str().expect("what went wrong");
    for part in [&old, new, "known-servers", "lfp-server fingerprint", &format!("--server-key {new}")] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    let named = ["--server-key", &old, "--seconds", "20"];
    let (code, report) = Client::start(&bench, "stubborn", address, &named).end();
    assert_eq!((code, report.json["bytes_down"].as_u64() > Some(0)), (Some(WRONG_KEY), true));
    let report = Client::settled(&bench, "told", address, &["--server-key", new]);
    assert_eq!((&report.json["server_key"], &report.json["server_key_new"]), (&new.into(), &false.into()));
    Client::settled(&bench, "afterwards", address, &[]);
    server.close();
}

#[test]
fn plain_is_refused_unless_both_sides_name_it() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let args = ["serve", "--source", &painted.source(), "--listen", "127.0.0.1:0"];
    let server = Server::start(&bench, &args);
    let (code, report) =
        Client::start(&bench, "plain", server.address(), &["--plain", "--seconds", "9"]).end();
    assert_eq!((code, &report.json["state"]), (Some(1), &"refused".into()));
    assert!(report.json["error"].as_str().is_some_and(|text| text.contains("leave --plain out")));
    Client::settled(&bench, "sealed", server.address(), &[]);
    server.close();
    let server = Server::start(&bench, &[&args[..], &["--plain"]].concat());
    let report = Client::settled(&bench, "both", server.address(), &["--plain"]);
    assert_eq!((&report.json["protection"], &report.json["server_key"]), (&"plain".into(), &().into()));
    server.close();
}

#[test]
fn a_key_that_others_may_read_serves_nobody() {
    let bench = Bench::new();
    let (ok, _, _) = lfp_server(&bench, &["fingerprint"]);
    assert!(ok);
    let key = bench.path().join("state/lfp/server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    for words in [&["fingerprint"][..], &["serve", "--source", "synthetic:idle", "--listen", "127.0.0.1:0"]] {
        let (ok, _, said) = lfp_server(&bench, words);
        assert!(!ok && said.contains("chmod 600") && said.contains("0644"), "{said}");
    }
    let other = bench.file("other");
    let (ok, fingerprint, _) = lfp_server(&bench, &["fingerprint", "--state-dir", &other.to_string_lossy()]);
    assert!(ok && fingerprint.trim().len() == 29, "{fingerprint}");
}

/// A path between a client and its server on which somebody sits.
struct Meddler {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Meddler {
    /// Passes everything on; and with it copies, reflections, pieces and forgeries.
    fn before(server: SocketAddr) -> Self {
        let below = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let above = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        above.connect(server).expect("an address");
        let address = below.local_addr().expect("its address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || meddle(&below, &above, &stopped));
        Self { address, stop, thread: Some(thread) }
    }

    /// Ends it; how many datagrams it made up.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().expect("it does not panic"))
    }
}

fn meddle(below: &UdpSocket, above: &UdpSocket, stopped: &AtomicBool) -> u64 {
    for socket in [below, above] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a time-out");
    }
    let (mut client, mut forged, mut heard) = (None, 0, Vec::new());
    let mut buffer = [0; DATAGRAM_MAX + 1];
    while !stopped.load(Ordering::Relaxed) {
        if let Ok((len, from)) = below.recv_from(&mut buffer) {
            client = Some(from);
            let _ = above.send(&buffer[..len]);
            for bytes in forgeries(&buffer[..len], &mut heard) {
                forged += 1;
                let _ = above.send(&bytes);
                let _ = below.send_to(&bytes, from);
            }
        }
        let (Ok(len), Some(client)) = (above.recv(&mut buffer), client) else { continue };
        let _ = below.send_to(&buffer[..len], client);
        for bytes in forgeries(&buffer[..len], &mut heard) {
            forged += 1;
            let _ = below.send_to(&bytes, client);
            let _ = above.send(&bytes);
        }
    }
    forged
}

/// What can be made of a datagram without its keys. Of handshakes it makes nothing: those could be kept from ending.
fn forgeries(bytes: &[u8], heard: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if !Header::parse(bytes).is_ok_and(|header| header.has_tag()) {
        return Vec::new();
    }
    heard.push(bytes.to_vec());
    let changed = |at: usize| {
        let mut copy = bytes.to_vec();
        copy[at] ^= 0x40;
        copy
    };
    // As it is, and as a packet in the clear that closes the session.
    let mut closed = bytes[..HEADER_LEN].to_vec();
    closed[1] = 0;
    closed.extend([11, 3, 0]);
    closed.extend(crc32fast::hash(&closed).to_le_bytes());
    assert_eq!(closed.len(), HEADER_LEN + 3 + PLAIN_TRAILER_LEN);
    let mut reset = bytes[..HEADER_LEN].to_vec();
    (reset[0], reset[1]) = (0x10 | Kind::Reset as u8, 1);
    reset.extend([0xaa; 16]);
    let old = heard[heard.len() / 2].clone();
    let last = bytes.len() - 1;
    vec![
        bytes.to_vec(),
        old,
        bytes[..bytes.len() / 2].to_vec(),
        changed(1),
        changed(11),
        changed(HEADER_LEN),
        changed(last),
        closed,
        reset,
    ]
}

#[test]
fn who_sits_on_the_path_can_change_nothing() {
    let bench = Bench::new();
    let (painted, server) = served(&bench);
    let meddler = Meddler::before(server.address());
    let mut client = Client::start(&bench, "watched", meddler.address, &["--seconds", "60"]);
    for turn in 2..8 {
        let picture = pattern(320, 240, turn);
        painted.show(&picture);
        client.wait_shows(&picture, PATIENCE);
    }
    client.interrupt();
    let (code, report) = client.end();
    assert_eq!(code, Some(0), "{}", report.json);
    let forged = meddler.end();
    assert!(forged > 100, "only {forged} forged datagrams");
    assert!(report.number("malformed") > 20, "{}", report.json);
    server.close();
}

/// A HELLO of a sealed connection.
fn hello(connection: u64, cookie: Vec<u8>, step: Step, message: Vec<u8>) -> Vec<u8> {
    let connection = ConnectionId(connection);
    let builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Hello, connection, PacketNumber(0));
    let mut builder = builder.of_sealed();
    SealedHello { cookie, client_time_us: 1, step, message }.emit(builder.body());
    builder.pad_to(DATAGRAM_MIN);
    builder.finish()
}

/// Most bytes by which a flood may make a server larger.
const FLOOD_BYTES_MAX: u64 = 8 << 20;

#[test]
fn a_flood_of_hellos_takes_no_memory_and_leaves_sessions_alone() {
    let bench = Bench::new();
    let (painted, mut server) = served(&bench);
    let mut client = Client::start(&bench, "served", server.address(), &["--seconds", "600"]);
    client.wait_shows(&pattern(320, 240, 1), PATIENCE);
    let before = server.memory();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.address()).expect("an address");
    socket.set_nonblocking(true).expect("it can");
    let mut buffer = [0; DATAGRAM_MAX];
    let (mut challenged, mut others) = (0_u64, 0_u64);
    for turn in 0..10_u64 {
        for at in 0..500 {
            let connection = turn << 32 | at;
            let _ = socket.send(&hello(connection, Vec::new(), Step::Ask, Vec::new()));
            let _ = socket.send(&hello(connection, vec![at as u8; 24], Step::Ik, vec![7; 300]));
            while let Ok(len) = socket.recv(&mut buffer) {
                let view = View::new_checked(&buffer[..len]).expect("the server's answer");
                if view.kind() != Kind::Challenge {
                    others += 1;
                    continue;
                }
                challenged += 1;
                let cookie = Challenge::parse(view.payload()).expect("a challenge").cookie;
                let first = hello(view.connection().0, cookie, Step::XxFirst, vec![9; 32]);
                let _ = socket.send(&first);
            }
        }
        let picture = pattern(320, 240, turn as u32 + 2);
        painted.show(&picture);
        client.wait_shows(&picture, PATIENCE);
        server.assert_running();
    }
    assert!(challenged > 500 && others > 0, "{challenged} challenges, {others} other answers");
    let grown = server.memory().saturating_sub(before);
    assert!(grown <= FLOOD_BYTES_MAX, "{grown} bytes more after a flood");
    client.interrupt();
    assert_eq!(client.end().0, Some(0));
    server.close();
}
