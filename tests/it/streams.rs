//! What a server is asked on a stream: its services, and what it counts; of real processes, and over a bad network.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Bench, Client, Link, PATIENCE, Painted, Process, Server, program};
use crate::many::pattern;

/// Runs `client-lfp` on `server` with `args`; its exit code, standard output and standard error.
fn client(bench: &Bench, name: &str, server: SocketAddr, args: &[&str]) -> (Option<i32>, String, String) {
    let server = server.to_string();
    let all = [&[server.as_str()], args].concat();
    let mut process = Process::start(bench, name, &program("client-lfp"), &all);
    let status = process.finish(PATIENCE);
    (status.code(), process.output(), process.errors())
}

/// The services that a client lists, by name.
pub(crate) fn listed(bench: &Bench, name: &str, server: SocketAddr, args: &[&str]) -> Vec<Value> {
    let (code, output, errors) = client(bench, name, server, &[&["--list", "--json"], args].concat());
    assert_eq!(code, Some(0), "{output}{errors}");
    let mut report: Value = serde_json::from_str(&output).expect("one object");
    assert!(report["error"].is_null(), "{report}");
    serde_json::from_value(report["services"].take()).expect("a list")
}

#[test]
fn a_client_lists_what_a_server_has_and_learns_what_it_counts() {
    let bench = Bench::new();
    let (left, right) = (
        Painted::new(&bench.file("left.fb"), &pattern(320, 240, 1)),
        Painted::new(&bench.file("right.fb"), &pattern(200, 100, 2)),
    );
    let (left_source, right_source) = (left.source(), right.source());
    let server = Server::of_services(
        &bench,
        &[("left", left_source.as_str()), ("the \"right\"", right_source.as_str())],
    );
    let mut watcher =
        Client::start(&bench, "watcher", server.address(), &["--service", "left", "--seconds", "300"]);
    watcher.wait_shows(&pattern(320, 240, 1), PATIENCE);
    let services = listed(&bench, "lister", server.address(), &[]);
    let watched = json!({
        "name": "left", "state": "live", "width": 320, "height": 240, "screens": 1, "sessions": 1,
    });
    assert_eq!((services.len(), &services[0]), (2, &watched));
    assert_eq!((&services[1]["name"], &services[1]["sessions"]), (&json!("the \"right\""), &json!(0)));
    let (code, output, errors) = client(&bench, "reader", server.address(), &["--list", "--quiet"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(output.starts_with("SERVICE ") && output.contains("320x240"), "{output}");
    watcher.interrupt();
    watcher.end();
    let told = Client::settled(&bench, "told", server.address(), &["--service", "left", "--server-stats"]);
    let counted = &told.json["server"];
    let counts = &counted["counts"];
    assert_eq!((&counted["service"], &counts["packets_lost"]), (&json!("left"), &json!(0)), "{counted}");
    assert!(counts["datagrams_down"].as_u64() > Some(1) && counted["rtt_us"].as_u64() > Some(0), "{counted}");
    // Nothing that there is no name for.
    let (code, _, errors) =
        client(&bench, "lost", server.address(), &["--service", "middle", "--seconds", "9"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("--list"), "{errors}");
    server.close();
}

#[test]
fn a_server_that_hides_its_services_lists_none() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let services = [json!({"name": "secret", "source": painted.source()})];
    let config = json!({"listen": "127.0.0.1:0", "list_services": false, "services": services});
    let file = bench.file("server.json");
    std::fs::write(&file, config.to_string()).expect("a configuration");
    let server = Server::start(&bench, &["serve", "--config", file.to_str().expect("UTF-8")]);
    assert_eq!(listed(&bench, "lister", server.address(), &[]), Vec::<Value>::new());
    server.close();
}

#[test]
fn the_list_comes_through_a_link_that_loses_a_fifth() {
    let bench = Bench::new();
    let painted = Painted::new(&bench.file("screen.fb"), &pattern(320, 240, 1));
    let source = painted.source();
    let names: Vec<_> = (0..40).map(|at| format!("desktop number {at:02}")).collect();
    let services: Vec<_> = names.iter().map(|name| (name.as_str(), source.as_str())).collect();
    let server = Server::of_services(&bench, &services);
    let link = Link::to(&bench, server.address(), "rtt=20ms,loss=20%,reorder=10%,dup=10%,seed=5");
    for (name, seconds) in [("first", "60"), ("second", "60")] {
        let services = listed(&bench, name, link.address(), &["--seconds", seconds]);
        let found: Vec<_> =
            services.iter().map(|service| service["name"].as_str().unwrap_or_default()).collect();
        assert_eq!(found, names);
    }
    let args = ["--service", "desktop number 07", "--server-stats"];
    let told = Client::settled(&bench, "told", link.address(), &args);
    assert!(told.json["server"]["counts"]["datagrams_up"].as_u64() > Some(0), "{}", told.json);
    link.close();
    server.close();
}
