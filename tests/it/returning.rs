//! A client goes on where its server is killed and started anew.

use std::net::SocketAddr;
use std::time::Duration;

use lfp::clock;
use serde_json::Value;

use crate::harness::{Bench, Client, PATIENCE, Painted, Process, Server, program, wait_for};
use crate::many::pattern;

/// Clients that the server at `address` has.
fn sessions(bench: &Bench, name: &str, address: SocketAddr) -> Option<u64> {
    let words = [address.to_string(), "--list".to_owned(), "--json".to_owned()];
    let mut process = Process::start(bench, name, &program("client-lfp"), &words);
    process.finish(PATIENCE);
    let report: Value = serde_json::from_str(&process.output()).ok()?;
    report["services"][0]["sessions"].as_u64()
}

#[test]
fn a_client_goes_on_with_a_server_that_was_killed_and_started_anew() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(1_280, 800, 3));
    let source = painted.source();
    let serve = |listen: &str| Server::start(&bench, &["serve", "--source", &source, "--listen", listen]);
    let server = serve("127.0.0.1:0");
    let address = server.address();
    // What the picture costs who has nothing of it.
    let first = Client::settled(&bench, "first", address, &[]);
    let mut client = Client::start(&bench, "client", address, &["--seconds", "120", "--server-stats"]);
    client.wait_picture();
    clock::poll_for(Duration::from_millis(800), || None::<()>);
    server.kill();
    let server = serve(&address.to_string());
    assert_eq!(server.address(), address);
    // At the latest it speaks after five seconds of rest.
    let mut asked = 0;
    wait_for("the client at the new server", PATIENCE, || {
        asked += 1;
        sessions(&bench, &format!("ask-{asked}"), address).filter(|sessions| *sessions == 1)
    });
    client.wait_picture();
    clock::poll_for(Duration::from_millis(800), || None::<()>);
    client.interrupt();
    let report = client.finish();
    assert!(report.exact(), "{}", report.json);
    assert_eq!(report.number("reconnects"), 1, "{}", report.json);
    assert_eq!(report.number("cells_kept"), 80 * 50, "{}", report.json);
    crate::harness::assert_same("after the return", report.picture(), first.picture());
    // Both sessions together cost little more than one: the second is handshake, offers, proofs.
    let (once, both) = (first.number("bytes_down"), report.number("bytes_down"));
    assert!(both < once + once / 4 + 8_000, "{both} bytes for both, {once} for one");
    let returned = &report.json["server"]["counts"]["cells_returned"];
    assert_eq!(returned.as_u64(), Some(80 * 50), "{}", report.json);
    server.close();
}
