//! The private ports by which appliances have guests: what goes through, and what does not.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bench, Display, Guest, Host, PATIENCE, Port, wait_for};

/// Linux's codes of keys.
const A: u16 = 30;
const B: u16 = 48;
const ENTER: u16 = 28;

/// Presses a key and lets it go, and waits until the hypervisor has taken both.
fn stroke(port: &mut Port, code: u16) {
    port.key(code, true);
    let number = port.key(code, false);
    while port.hear("taken")["number"] != number {}
}

#[test]
fn a_port_carries_mode_events_input_and_permitted_power_alone() {
    let bench = Bench::new();
    let guest = Guest::boot(&bench, "web", Display::Vga32, "lfp.quiet=1");
    let config = json!({
        "guests": [{ "name": "web", "qmp": guest.qmp(), "power": ["reset", "pause", "resume"] }],
        "appliances": [{ "name": "one", "guests": ["web", "ghost"] }, { "name": "two", "guests": ["web"] }],
    });
    let host = Host::start(&bench, &config);
    let (mut one, hello) = Port::connect(&host.port("one", "web"));
    let expected =
        json!({ "version": 1, "guest": "web", "input": true, "power": ["reset", "pause", "resume"] });
    assert_eq!(hello, expected);
    let mode = wait_for("a mode", PATIENCE, || one.next().get("mode").cloned());
    assert_eq!(
        (&mode["width"], &mode["height"], &mode["format"]),
        (&json!(1280), &json!(800), &json!("xrgb8888"))
    );
    assert_eq!((&mode["stride_bytes"], &mode["vram_bytes"]), (&json!(5120), &json!(16 << 20)));
    one.say(&json!({ "watch": { "on": true } }));

    // A mode that changes is said.
    stroke(&mut one, A);
    guest.wait_line("key 'a'", 1);
    stroke(&mut one, ENTER);
    guest.wait_line("typed: a", 1);

    // One port types at a time; the others are told.
    one.key(B, true);
    guest.wait_line("key 'b'", 1);
    let (mut two, _) = Port::connect(&host.port("two", "web"));
    two.hear("mode");
    let number = two.key(A, true);
    let refused = two.hear("refused");
    assert_eq!(refused["number"], number);
    assert!(
        refused["text"].as_str().is_some_and(|text| text.contains("another appliance types")),
        "{refused}"
    );
    // What a port holds is let go of with it, and then the other may type at once.
    drop(one);
    wait_for("the key to be let go of", PATIENCE, || {
        (host.given("one", "web")["port"]["is_connected"] == false).then_some(())
    });
    stroke(&mut two, A);
    guest.wait_line("key 'a'", 2);

    // Power, as far as the policy goes.
    two.say(&json!({ "power": { "action": "pause" } }));
    assert_eq!(two.hear("event")["name"], "STOP");
    two.say(&json!({ "power": { "action": "resume" } }));
    assert_eq!(two.hear("event")["name"], "RESUME");
    two.say(&json!({ "power": { "action": "powerdown" } }));
    assert!(two.hear("refused")["text"].as_str().is_some_and(|text| text.contains("policy")));
    // What begins anew has its numbers from the start, and is told the mode.
    two.say(&json!({ "hello": { "version": 1 } }));
    assert_eq!(two.hear("hello"), expected);
    two.say(&json!({ "hello": { "version": 1 } }));
    assert_eq!(two.hear("mode"), mode);
    two.say(&json!({ "hello": { "version": 2 } }));
    assert!(two.hear("refused")["text"].as_str().is_some_and(|text| text.contains("version 1")));
    two.say(&json!({ "watch": { "on": true } }));
    assert!(two.hear("refused")["text"].as_str().is_some_and(|text| text.contains("hello")));

    let (mut ghost, hello) = Port::connect(&host.port("one", "ghost"));
    assert_eq!(hello["input"], false);
    assert_eq!(ghost.hear("dark")["state"], "gone");
    assert_eq!(guest.count("ready "), 1, "nobody has reset it");

    // A guest that boots again: the event, nothing to see for a while, and the mode.
    let (mut one, _) = Port::connect(&host.port("one", "web"));
    assert_eq!(one.hear("mode"), mode);
    one.say(&json!({ "power": { "action": "reset" } }));
    one.say(&json!({ "watch": { "on": true } }));
    assert_eq!(one.hear("event")["name"], "RESET");
    assert_eq!(one.hear("dark")["state"], "no-framebuffer");
    assert_eq!(one.hear("mode"), mode);
    guest.wait_line("ready ", 2);
    host.stop();
}

/// Passes a monitor on, and notes which commands go through it. Returns their names, and lines of the human monitor.
fn proxy(path: &Path, monitor: &Path) -> Arc<Mutex<BTreeSet<String>>> {
    let (listener, heard) = (UnixListener::bind(path).expect("a socket"), Arc::default());
    let (commands, monitor): (Arc<Mutex<BTreeSet<String>>>, _) = (Arc::clone(&heard), monitor.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(qemu) = UnixStream::connect(&monitor) else { return };
            let (mut from, mut to) = (qemu.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            for line in BufReader::new(client).lines().map_while(Result::ok) {
                let command: Value = serde_json::from_str(&line).expect("the host speaks JSON");
                let name = command["execute"].as_str().expect("a command").to_owned();
                let human = command["arguments"]["command-line"].as_str().unwrap_or_default();
                let human = human.split(' ').next().unwrap_or_default();
                commands.lock().expect("unharmed").insert(format!("{name} {human}").trim().to_owned());
                if writeln!(&qemu, "{line}").is_err() {
                    break;
                }
            }
        }
    });
    heard
}

#[test]
fn no_command_of_a_monitor_comes_through_a_port() {
    let bench = Bench::new();
    let mut guest = Guest::blank(&bench, "web");
    let path = bench.file("proxy");
    let executed = proxy(&path, guest.qmp());
    let policy = json!({ "name": "web", "qmp": path, "power": ["powerdown", "reset", "pause", "resume"] });
    let config = json!({ "guests": [policy], "appliances": [{ "name": "evil", "guests": ["web"] }] });
    let host = Host::start(&bench, &config);
    let (mut port, _) = Port::connect(&host.port("evil", "web"));
    let names = guest.execute("query-commands", &json!({}));
    let names: Vec<&str> =
        names.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.len() > 150 && names.contains(&"migrate"), "{} commands", names.len());
    let mut said = 0;
    for name in &names {
        for message in [
            json!({ "execute": name, "id": 1 }),
            json!({ "exec-oob": name, "id": 1 }),
            json!({ (*name): {} }),
            json!({ "power": { "action": name } }),
            json!({ "input": { "number": 1, "width": 1, "height": 1, "event": name } }),
            json!({ "watch": { "on": true, "execute": name } }),
        ] {
            port.say(&message);
            said += 1;
        }
    }
    port.say(&json!({ "execute": "human-monitor-command", "arguments": { "command-line": "quit" } }));
    port.say(&json!({ "execute": "migrate", "arguments": { "uri": "exec:touch /tmp/never" } }));
    said += 2;
    wait_for("every line to be refused", PATIENCE, || {
        (host.given("evil", "web")["port"]["refused"].as_u64()? >= said).then_some(())
    });
    // What is refused is told at a bounded rate.
    let told = port.hear_for(Duration::from_secs(1));
    let told = told.iter().filter(|message| message.get("refused").is_some()).count();
    assert!((1..said as usize / 2).contains(&told), "{told} of {said} refusals were told");
    // The port goes on, and what may be typed is.
    stroke(&mut port, A);
    let executed = executed.lock().expect("unharmed").clone();
    let allowed = [
        "qmp_capabilities",
        "query-status",
        "query-mice",
        "query-pci",
        "human-monitor-command xp",
        "input-send-event",
    ];
    let foreign: Vec<_> = executed.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?} came through");
    assert_eq!(guest.execute("query-status", &json!({}))["status"], "running");
    let log = host.log();
    assert!(log.matches("refused what an appliance asked for").count() < 20, "{log}");
    host.stop();
}
