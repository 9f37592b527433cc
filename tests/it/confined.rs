//! A server that has confined itself: it serves as ever, and what it does not need is forbidden to it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Bench, Client, PATIENCE, Painted, Server, wait_for};
use crate::many::pattern;

/// A field of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let all = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's status");
    let line = all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {all}")).trim().to_owned()
}

#[test]
fn a_confined_server_serves_and_counts_as_ever() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let (source, stats) = (painted.source(), bench.file("stats.json"));
    let stats = stats.to_str().expect("UTF-8");
    let words = ["serve", "--source", &source, "--listen", "127.0.0.1:0", "--stats", stats, "--sockets", "2"];
    let server = Server::start(&bench, &[&words[..], &["--confine"]].concat());
    assert_eq!(status(server.pid(), "Seccomp"), "2");
    assert_eq!(status(server.pid(), "NoNewPrivs"), "1");
    for turn in 0..2 {
        let mut client =
            Client::start(&bench, &format!("client-{turn}"), server.address(), &["--seconds", "120"]);
        for picture in [pattern(320, 240, turn), pattern(640, 400, turn + 7)] {
            painted.show(&picture);
            client.wait_shows(&picture, PATIENCE);
        }
        client.interrupt();
        let (code, report) = client.end();
        assert_eq!((code, report.number("malformed")), (Some(0), 0), "{}", report.json);
    }
    wait_for("statistics that have been written anew", PATIENCE, || {
        let text = fs::read_to_string(stats).ok()?;
        text.contains("\"sockets\"").then_some(())
    });
    let said = server.close();
    assert!(said.contains("every session is closed"), "{said}");
}

#[test]
fn a_confined_server_opens_nothing_elsewhere() {
    let bench = Bench::new();
    let (inside, outside) = (bench.file("inside"), bench.file("outside"));
    fs::create_dir(&inside).and_then(|()| fs::create_dir(&outside)).expect("folders");
    let painted = Painted::new(&outside.join("screen.fb"), &pattern(320, 240, 1));
    let source = format!("shm:{}", inside.join("screen.fb").display());
    let words = ["serve", "--source", &source, "--listen", "127.0.0.1:0", "--confine"];
    let server = Server::start(&bench, &words);
    // A link out of the one folder that it may read.
    std::os::unix::fs::symlink(outside.join("screen.fb"), inside.join("screen.fb")).expect("a link");
    let client = Client::start(&bench, "client", server.address(), &["--seconds", "60"]);
    let shown = lfp::clock::poll_for(Duration::from_secs(5), || client.shows());
    client.interrupt();
    let (_, report) = client.end();
    let said = server.close();
    drop(painted);
    if said.contains("no Landlock") {
        println!("this kernel has no Landlock: that the server says so is all there is to see");
        return;
    }
    assert!(said.contains("files are confined"), "{said}");
    assert!(shown.is_none(), "a file elsewhere was opened: {said}");
    assert!(report.json.to_string().contains("denied"), "{}", report.json);
}

/// Set for the process that is to be ended.
const VICTIM: &str = "LFP_TEST_FORBIDDEN_CALL";

#[test]
fn a_call_that_is_not_allowed_ends_the_process() {
    if std::env::var_os(VICTIM).is_some() {
        lfp::confine::forbid_other_calls().expect("a filter");
        println!("allowed: {}", std::process::id());
        // No call of a server's.
        println!("forbidden: {}", nix::unistd::getppid());
        return;
    }
    let own = std::env::current_exe().expect("this program");
    let name = "confined::a_call_that_is_not_allowed_ends_the_process";
    let words = ["--exact", name, "--nocapture", "--test-threads", "1"];
    let victim = Command::new(own).args(words).env(VICTIM, "1").output().expect("it starts");
    let said = String::from_utf8_lossy(&victim.stdout);
    assert_eq!(victim.status.signal(), Some(Signal::SIGSYS as i32), "{said}");
    assert!(said.contains("allowed: ") && !said.contains("forbidden: "), "{said}");
}
