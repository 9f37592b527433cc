//! The relay as a program, between real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Relay {
    child: Child,
    out: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Relay {
    fn start(to: SocketAddr, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lfp-impair"))
            .args(["--listen", "127.0.0.1:0", "--json", "--control", "--to", &to.to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the relay starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let address =
            line.trim().strip_prefix("listening on ").expect("its address").parse().expect("address");
        Self { child, out, address }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("it listens");
    }

    fn stop(mut self) -> String {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        kill(pid, Signal::SIGTERM).expect("it runs");
        let mut report = String::new();
        self.out.read_to_string(&mut report).expect("a report");
        assert!(self.child.wait().expect("it ends").success());
        report
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket
}

/// Sends one datagram through the relay and back; gives what came back.
fn round_trip(client: &UdpSocket, relay: SocketAddr, server: &UdpSocket, text: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 64];
    client.send_to(text, relay).expect("sent");
    let (len, from) = server.recv_from(&mut buffer).expect("it arrives");
    assert_eq!(&buffer[..len], text);
    server.send_to(&buffer[..len], from).expect("answered");
    let (len, from) = client.recv_from(&mut buffer).expect("the answer arrives");
    assert_eq!(from, relay, "answers come from where the client sent to");
    buffer[..len].to_vec()
}

#[test]
fn relays_several_clients_and_reports() {
    let server = socket();
    let mut relay = Relay::start(server.local_addr().expect("bound"), &["--link", "rtt=4ms,seed=3"]);
    let clients = [socket(), socket(), socket()];
    for (client, text) in clients.iter().zip([b"one", b"two", b"six"]) {
        assert_eq!(round_trip(client, relay.address, &server, text), text);
    }
    relay.say("report");
    let mut counts = String::new();
    relay.out.read_line(&mut counts).expect("a line");
    assert!(counts.starts_with("{\"clients\": 3, \"unsendable\": 0, \"up\": {\"sent\": 3, "), "{counts}");
    relay.say("nonsense");
    relay.say("link loss=0%");
    relay.say("blackout 1h");
    relay.say("blackout 3600s");
    // The blackout has begun once a datagram does not arrive any more.
    server.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut buffer = [0; 64];
    let mut arrivals = 0;
    loop {
        clients[0].send_to(b"dark", relay.address).expect("sent");
        if server.recv_from(&mut buffer).is_err() {
            break;
        }
        arrivals += 1;
        assert!(arrivals < 200, "no blackout");
    }
    let report = relay.stop();
    assert!(report.starts_with("{\"clients\": 3, \"unsendable\": 0, \"up\": {\"sent\": "), "{report}");
    assert!(report.contains("\"blacked_out\": 1"), "{report}");
}

#[test]
fn loses_everything_if_told_to() {
    let server = socket();
    server.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let relay = Relay::start(server.local_addr().expect("bound"), &["--link", "loss=100%"]);
    let client = socket();
    client.send_to(b"lost", relay.address).expect("sent");
    assert!(server.recv_from(&mut [0; 64]).is_err());
    let report = relay.stop();
    assert!(report.contains("\"lost\": 1"), "{report}");
}

#[test]
fn directions_differ_and_clients_share_a_link_if_told_to() {
    let server = socket();
    let link = "up:loss=0%,down:policer=8bit/150,seed=3";
    let relay = Relay::start(server.local_addr().expect("bound"), &["--shared", "--link", link]);
    let clients = [socket(), socket()];
    // Answers of 28 and 100 bytes fit the bucket together, and nothing behind them; of their own, all would.
    let text = [7; 50];
    assert_eq!(round_trip(&clients[0], relay.address, &server, &text), text);
    let small = [8; 10];
    assert_eq!(round_trip(&clients[1], relay.address, &server, &small), small);
    clients[1].set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut buffer = [0; 64];
    clients[1].send_to(&text, relay.address).expect("sent");
    let (_, from) = server.recv_from(&mut buffer).expect("up is open");
    server.send_to(&text, from).expect("answered");
    assert!(clients[1].recv_from(&mut buffer).is_err(), "the bucket is empty");
    let report = relay.stop();
    assert!(report.contains("\"policed\": 1") && report.starts_with("{\"clients\": 2"), "{report}");
}

#[test]
fn explains_wrong_arguments() {
    let output = Command::new(env!("CARGO_BIN_EXE_lfp-impair"))
        .args(["--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--link", "loss=3"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("expected a share such as 3%"), "{said}");
}
