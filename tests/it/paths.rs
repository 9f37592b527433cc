//! Real processes in a network of their own whose addresses and MTU change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bench, PATIENCE, Process, program, wait_for, watch};

/// Where the server listens, and the addresses that the client has.
const SERVER: &str = "10.9.0.9";
const CLIENT: [&str; 2] = ["10.9.0.1", "10.9.0.2"];

/// A network namespace. It lasts as long as the process that holds it.
struct Network {
    holder: Process,
    commands: u32,
}

impl Network {
    /// One whose only link takes IP packets of `mtu` bytes.
    fn new(bench: &Bench, mtu: u32) -> Self {
        let [first, _] = CLIENT;
        let script = format!(
            "ip link set lo mtu {mtu} up && ip addr add {first}/32 dev lo && ip addr add {SERVER}/32 dev lo && \
             ip route change table local local {SERVER} dev lo src {first} && echo ready && exec sleep 300"
        );
        let words = ["--user", "--map-root-user", "--net", "--", "sh", "-c", &script];
        let mut holder = Process::start(bench, "network", Path::new("unshare"), &words);
        holder.line("ready");
        Self { holder, commands: 0 }
    }

    /// Starts a program inside.
    fn start(&self, bench: &Bench, name: &str, program: &Path, args: &[&str]) -> Process {
        let target = self.holder.pid().to_string();
        let mut words = vec!["--target", &target, "--user", "--net", "--preserve-credentials", "--"];
        words.push(program.to_str().expect("UTF-8"));
        words.extend(args);
        Process::start(bench, name, Path::new("nsenter"), &words)
    }

    fn ip(&mut self, bench: &Bench, words: &str) {
        self.commands += 1;
        let name = format!("ip-{}", self.commands);
        let mut process = self.start(bench, &name, Path::new("ip"), &words.split(' ').collect::<Vec<_>>());
        let status = process.finish(PATIENCE);
        assert!(status.success(), "ip {words}: {}", process.errors());
    }

    /// A server of `source`, and a client that stays for so many seconds and has shown a picture.
    fn session(&self, bench: &Bench, source: &str, seconds: u32, datagram: u32) -> (Process, Process) {
        let listen = format!("{SERVER}:0");
        let server = Path::new(env!("CARGO_BIN_EXE_lfp-server"));
        let mut server =
            self.start(bench, "server", server, &["serve", "--source", source, "--listen", &listen]);
        let address = server.line("listening on ");
        let mirror: PathBuf = bench.file("mirror");
        let (seconds, datagram) = (seconds.to_string(), datagram.to_string());
        let words = ["--json", "--seconds", &seconds, "--datagram-size", &datagram, "--mirror"];
        let words = [&[address.as_str()], &words[..], &[mirror.to_str().expect("UTF-8")]].concat();
        let client = self.start(bench, "client", &program("client-lfp"), &words);
        wait_for("a picture", PATIENCE, || mirror.exists().then_some(()));
        (server, client)
    }
}

/// What a client says that ends by itself and in order.
fn report(mut client: Process) -> Value {
    let status = client.finish(PATIENCE);
    let report = serde_json::from_str(&client.output()).unwrap_or_default();
    assert!(status.success(), "{status}: {report} {}", client.errors());
    report
}

#[test]
fn a_client_whose_machine_gets_another_address_goes_on_with_its_session() {
    let bench = Bench::new();
    let mut network = Network::new(&bench, 65_536);
    let (server, client) = network.session(&bench, "synthetic:typing", 12, 1_472);
    watch(Duration::from_secs(2), || {});
    let [first, second] = CLIENT;
    network.ip(&bench, &format!("addr add {second}/32 dev lo"));
    network.ip(&bench, &format!("route change table local local {SERVER} dev lo src {second}"));
    network.ip(&bench, &format!("addr del {first}/32 dev lo"));
    let report = report(client);
    let words = server.errors();
    assert_eq!(report["sockets_renewed"], 1, "{report}\n{words}");
    assert!(words.contains("session moves") && words.contains(second), "{words}");
    // What was painted meanwhile came a little later, and all the rest at once.
    let worst = report["staleness_ms"]["max"].as_f64().expect("pictures");
    assert!(worst < 6_000.0, "{report}");
    assert!(report["staleness_ms"]["n"].as_u64().expect("pictures") > 20, "{report}");
}

#[test]
fn packets_are_as_long_as_the_hosts_link_takes_and_follow_it() {
    let bench = Bench::new();
    let mut network = Network::new(&bench, 1_500);
    let (server, client) = network.session(&bench, "synthetic:storm", 12, 8_900);
    watch(Duration::from_secs(4), || {});
    network.ip(&bench, "link set lo mtu 1300");
    let report = report(client);
    let words = server.errors();
    assert_eq!(report["datagram_longest"], 1_472, "{report}\n{words}");
    let worst = report["staleness_ms"]["max"].as_f64().expect("pictures");
    assert!(worst < 4_000.0, "the link that takes less holds nothing up: {report}");
}
