//! Servers with several sockets, on kernels that lack something, and what they do while there is nothing to do.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lfp::clock;
use lfp_proto::limits::DATAGRAM_MAX;

use crate::harness::{Bench, Client, Link, PATIENCE, Painted, Report, Server, assert_same, lfp_server};
use crate::many::pattern;

/// A server of one picture, which `args` say more about.
fn served(bench: &Bench, args: &[&str]) -> (Painted, Server) {
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let source = painted.source();
    let words = [&["serve", "--source", &source, "--listen", "127.0.0.1:0"], args].concat();
    let server = Server::start(bench, &words);
    (painted, server)
}

#[test]
fn two_sockets_serve_several_clients() {
    let bench = Bench::new();
    let stats = bench.file("stats.json");
    let args = ["--sockets", "2", "--stats", stats.to_str().expect("UTF-8")];
    let (painted, server) = served(&bench, &args);
    let mut clients: Vec<_> = (0..6)
        .map(|at| Client::start(&bench, &format!("client-{at}"), server.address(), &["--seconds", "120"]))
        .collect();
    for turn in 1..6 {
        let picture = pattern(320, 240, turn);
        painted.show(&picture);
        for client in &mut clients {
            client.wait_shows(&picture, PATIENCE);
        }
    }
    for client in &mut clients {
        client.interrupt();
    }
    for client in clients {
        let (code, report) = client.end();
        assert_eq!((code, report.number("malformed")), (Some(0), 0), "{}", report.json);
    }
    let text = fs::read_to_string(&stats).expect("statistics");
    let figures: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(figures["output"], serde_json::json!({ "sockets": 2, "dropped": 0 }));
    let words = server.close();
    assert!(words.contains("sockets share the address") && words.contains("sockets=2"), "{words}");
}

#[test]
fn an_address_is_no_other_server_s_however_many_sockets_have_it() {
    let bench = Bench::new();
    for sockets in ["1", "2"] {
        let (_painted, server) = served(&bench, &["--sockets", sockets]);
        let listen = server.address().to_string();
        for other in ["1", "2"] {
            let words = ["serve", "--source", "synthetic:idle", "--listen", &listen, "--sockets", other];
            let (ok, _, said) = lfp_server(&bench, &words);
            assert!(!ok && said.contains("cannot listen on UDP"), "{sockets} and {other}: {said}");
        }
        server.close();
    }
}

/// A router between a client and its server that gives the client another port now and then.
fn router(server: SocketAddr, stopped: Arc<AtomicBool>) -> (SocketAddr, std::thread::JoinHandle<usize>) {
    let below = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = below.local_addr().expect("its address");
    let above = move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(server).expect("an address");
        socket.set_nonblocking(true).expect("it can");
        socket
    };
    below.set_read_timeout(Some(Duration::from_millis(1))).expect("a time-out");
    let run = move || {
        let (mut outer, mut client, mut ports, mut since) = (above(), None, 1, clock::now());
        let mut buffer = [0; DATAGRAM_MAX];
        while !stopped.load(Ordering::Relaxed) {
            if clock::now().saturating_since(since) > Duration::from_millis(700) {
                (outer, since) = (above(), clock::now());
                ports += 1;
            }
            if let Ok((len, from)) = below.recv_from(&mut buffer) {
                client = Some(from);
                let _ = outer.send(&buffer[..len]);
            }
            while let (Ok(len), Some(client)) = (outer.recv(&mut buffer), client) {
                let _ = below.send_to(&buffer[..len], client);
            }
        }
        ports
    };
    (address, std::thread::spawn(run))
}

#[test]
fn a_client_whose_port_changes_keeps_its_session_whichever_socket_hears_it() {
    let bench = Bench::new();
    let (painted, server) = served(&bench, &["--sockets", "2"]);
    let stopped = Arc::new(AtomicBool::new(false));
    let (address, thread) = router(server.address(), Arc::clone(&stopped));
    let mut client = Client::start(&bench, "roaming", address, &["--seconds", "120"]);
    let begun = clock::now();
    let mut turn = 1;
    while clock::now().saturating_since(begun) < Duration::from_secs(8) {
        let picture = pattern(320, 240, turn);
        painted.show(&picture);
        client.wait_shows(&picture, PATIENCE);
        turn += 1;
    }
    client.interrupt();
    let (code, report) = client.end();
    stopped.store(true, Ordering::Relaxed);
    let ports = thread.join().expect("it does not panic");
    assert!(ports > 5, "{ports} ports");
    assert_eq!(code, Some(0), "{}", report.json);
    let words = server.close();
    // Of so many ports some are heard by either socket; the session was one all the while.
    assert!(words.matches("session moves").count() >= 3, "{words}");
    assert_eq!(words.matches("session begins").count(), 1, "{words}");
}

#[test]
fn what_a_kernel_lacks_is_done_without() {
    let bench = Bench::new();
    let all = ["segments", "sendmmsg", "recvmmsg", "reuseport", "ecn"];
    for (at, lacks) in
        [&["segments"][..], &["sendmmsg"], &["recvmmsg"], &["ecn"], &all].into_iter().enumerate()
    {
        let mut args = vec!["--sockets", if lacks.contains(&"reuseport") { "2" } else { "1" }];
        args.extend(lacks.iter().flat_map(|lacks| ["--lacks", lacks]));
        let (_painted, server) = served(&bench, &args);
        for client in 0..2 {
            let name = format!("client-{at}-{client}");
            let report = Client::settled(&bench, &name, server.address(), &[]);
            assert_same(&name, report.picture(), &pattern(320, 240, 1));
            assert_eq!(report.number("malformed"), 0, "{}", report.json);
        }
        let words = server.close();
        assert!(!words.contains("sockets share the address"), "{words}");
    }
}

/// What a client that settled counted of its packets: as they may be marked, and marked.
fn ecn(report: &Report) -> (u64, u64) {
    let of = |name: &str| report.json["path"]["ecn"][name].as_u64().expect("a number");
    (of("unmarked"), of("marked"))
}

#[test]
fn what_is_sent_may_be_marked_and_marks_are_counted_and_answered() {
    let bench = Bench::new();
    for (at, args) in
        [&[][..], &["--sockets", "2"], &["--lacks", "segments", "--lacks", "sendmmsg"]].iter().enumerate()
    {
        let (_painted, server) = served(&bench, args);
        let report = Client::settled(&bench, &format!("near-{at}"), server.address(), &[]);
        let (unmarked, marked) = ecn(&report);
        assert!(unmarked > 0 && marked == 0, "{args:?}: {}", report.json["path"]);
        // A router that marks whatever it may.
        let link = Link::to(&bench, server.address(), "ecn=all,rtt=10ms,seed=1");
        let report = Client::settled(&bench, &format!("far-{at}"), link.address(), &["--server-stats"]);
        let (unmarked, marked) = ecn(&report);
        assert!(unmarked == 0 && marked > 0, "{args:?}: {}", report.json["path"]);
        let counts = &report.json["server"]["counts"];
        let of =
            |name: &str| counts[name].as_u64().unwrap_or_else(|| panic!("{name}: {}", report.json["server"]));
        assert!(of("packets_marked") > 0 && of("marks_answered") > 0, "{counts}");
        assert!(link.close()["down"]["marked"].as_u64().is_some_and(|marked| marked > 0));
        server.close();
    }
}

#[test]
fn a_server_that_cannot_have_them_marked_and_a_path_that_clears_marks_do_without() {
    let bench = Bench::new();
    for (at, args, link) in [(0, &["--lacks", "ecn"][..], "ecn=all"), (1, &[][..], "rtt=0ms")] {
        let (_painted, server) = served(&bench, args);
        let link = Link::to(&bench, server.address(), link);
        let report = Client::settled(&bench, &format!("client-{at}"), link.address(), &[]);
        assert_eq!(ecn(&report), (0, 0), "{args:?}");
        assert_eq!(link.close()["down"]["marked"], 0);
        server.close();
    }
}

#[test]
fn marks_are_told_of_ipv6_too() {
    // A system may be without.
    if UdpSocket::bind("[::1]:0").is_err() {
        return println!("this system has no IPv6: nothing to see");
    }
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let source = painted.source();
    let server = Server::start(&bench, &["serve", "--source", &source, "--listen", "[::]:0"]);
    let port = server.address().port();
    for (at, address) in ["[::1]", "127.0.0.1"].into_iter().enumerate() {
        let address: SocketAddr = format!("{address}:{port}").parse().expect("an address");
        let report = Client::settled(&bench, &format!("client-{at}"), address, &[]);
        let (unmarked, marked) = ecn(&report);
        assert!(unmarked > 0 && marked == 0, "{address}: {}", report.json["path"]);
    }
    server.close();
}

/// How often the thread that serves the network has gone to sleep, and the processor's time that it has had, in hundredths of
/// a second.
fn sleeps(server: &Server) -> (u64, u64) {
    // The first thread of the process.
    let pid = server.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/task/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).expect("its times");
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    (number(line.expect("its switches")), number(fields[11]) + number(fields[12]))
}

/// What the network thread does in `span`: sleeps, and hundredths of a second at work.
fn over(server: &Server, span: Duration) -> (u64, u64) {
    let before = sleeps(server);
    clock::poll_for(span, || None::<()>);
    let after = sleeps(server);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn idle_costs_nothing_and_pacing_does_not_spin() {
    let bench = Bench::alone();
    let span = Duration::from_secs(4);
    let (_painted, server) = served(&bench, &[]);
    let (idle, idle_ticks) = over(&server, span);
    println!("network thread without clients: {idle} wake-ups, {idle_ticks}0 ms in {span:?}");
    let mut client = Client::start(&bench, "watcher", server.address(), &["--seconds", "60"]);
    client.wait_shows(&pattern(320, 240, 1), PATIENCE);
    clock::poll_for(Duration::from_secs(1), || None::<()>);
    let (settled, settled_ticks) = over(&server, span);
    println!("with a settled one: {settled} wake-ups, {settled_ticks}0 ms in {span:?}");
    client.interrupt();
    client.end();
    server.close();
    // What changes all the time, as fast as a link of 5 Mbit/s lets it.
    let server = Server::of(&bench, "synthetic:storm?size=640x480");
    let link = Link::to(&bench, server.address(), "rate=5mbit,queue=20000,seed=1");
    let mut client = Client::start(&bench, "busy", link.address(), &["--seconds", "60"]);
    client.wait_picture();
    clock::poll_for(Duration::from_secs(2), || None::<()>);
    let (busy, busy_ticks) = over(&server, span);
    println!("at 5 Mbit/s: {busy} wake-ups, {busy_ticks}0 ms in {span:?}");
    client.interrupt();
    let (_, report) = client.end();
    println!("{} datagrams in all", report.json["datagrams_down"]);
    link.close();
    server.close();
    assert!(idle <= 4 && idle_ticks <= 1, "{idle} wake-ups without clients");
    assert!(settled <= 60 && settled_ticks <= 4, "{settled} wake-ups for a client whose screen rests");
    assert!(busy_ticks <= 200, "{busy_ticks}0 ms of {span:?} to send 5 Mbit/s");
}
