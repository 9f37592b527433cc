//! Guests that are given to a running appliance and taken away again. The appliance is a real QEMU in which no server
//! runs; its control channel is the test's.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Bench, Control, Guest, Host, PATIENCE, wait_for};

/// The devices of an appliance whose name begins so, with those behind bridges.
fn devices(appliance: &mut Guest, prefix: &str) -> Vec<Value> {
    let pci = appliance.execute("query-pci", &json!({}));
    let (mut rest, mut found) = (pci.as_array().cloned().unwrap_or_default(), Vec::new());
    while let Some(bus) = rest.pop() {
        for device in bus["devices"].as_array().into_iter().flatten() {
            rest.extend(device.get("pci_bridge").cloned());
            if device["qdev_id"].as_str().is_some_and(|id| id.starts_with(prefix)) {
                found.push(device.clone());
            }
        }
    }
    found
}

/// Whatever of a guest is in an appliance's QEMU.
fn remains(appliance: &mut Guest) -> Vec<String> {
    let names = |list: &Value, key: &str| -> Vec<String> {
        let names = list.as_array().into_iter().flatten().filter_map(|one| one[key].as_str());
        names.filter(|name| name.starts_with("lfp-")).map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    for path in ["/machine/peripheral", "/objects"] {
        found.extend(names(&appliance.execute("qom-list", &json!({ "path": path })), "name"));
    }
    found.extend(names(&appliance.execute("query-chardev", &json!({})), "label"));
    found
}

/// The file that is a guest's video memory: its inode, from its own QEMU, or as an appliance's has it mapped.
fn memory_file(pid: u32) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.contains("vga.vram") && !line.contains("lfp-appliance"))?;
    line.split_ascii_whitespace().nth(4).map(str::to_owned)
}

fn is_mapped(pid: u32, inode: &str) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        let rights = words.nth(1).unwrap_or_default();
        // Never to be written.
        words.nth(2) == Some(inode) && rights.starts_with("r--")
    })
}

fn config(guest: &Guest) -> Value {
    json!({ "guests": [{ "name": "web", "qmp": guest.qmp() }] })
}

#[test]
fn a_guest_is_given_to_a_running_appliance_and_taken_away() {
    let bench = Bench::new();
    let mut guest = Guest::blank(&bench, "web");
    let host = Host::start(&bench, &config(&guest));
    let mut svm = Guest::appliance(&bench, "svm", "pc", &[]);
    let control = Control::listen(&bench.file("control"), "refused");
    let qmp = svm.qmp().to_str().expect("UTF-8").to_owned();
    let words = ["attach", "--appliance", &qmp, "--guest", "web", "--control", control.path()];

    let planned = host.ask(&[&words[..], &["--dry-run"]].concat());
    let planned = String::from_utf8(planned.stdout).expect("UTF-8");
    let planned: Vec<Value> =
        planned.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let commands: Vec<_> = planned.iter().filter_map(|line| line["execute"].as_str()).collect();
    assert_eq!(commands, ["object-add", "device_add", "chardev-add", "device_add", "query-pci"]);
    assert_eq!(planned[5]["do"]["attach"]["service"], "web");
    assert!(remains(&mut svm).is_empty(), "a plan does nothing");

    let attached = host.json(&words);
    assert_eq!(attached["service"]["state"], "live", "{attached}");
    let device = devices(&mut svm, "lfp-vram-web").pop().expect("the device is there");
    let slot = device["slot"].as_u64().expect("a slot");
    let source = format!("ivshmem:0000:00:{slot:02x}.0?guest=web");
    assert_eq!(control.wait_attached(1), json!({ "service": "web", "source": source, "input": true }));
    assert_eq!(attached["source"], source.as_str());
    let first = memory_file(guest.pid()).expect("its memory");
    assert!(is_mapped(svm.pid(), &first), "the memory is the guest's, and read-only");
    let given = host.given("svm", "web");
    assert_eq!(given["pci"], format!("0000:00:{slot:02x}.0"), "{given}");
    assert_eq!(
        (&given["is_attached"], &given["port"]["is_connected"]),
        (&json!(true), &json!(true)),
        "{given}"
    );
    let again = host.refused(&words);
    assert!(again.contains("attached"), "{again}");

    // The appliance is booted again.
    control.begin();
    assert_eq!(control.wait_attached(2)["source"], source.as_str());

    // The guest's QEMU ends, and comes back as another process with other memory.
    guest.kill();
    wait_for("the end of the guest", PATIENCE, || {
        (host.json(&["list"])["guests"][0]["state"] == "gone").then_some(())
    });
    drop(guest);
    let guest = Guest::blank(&bench, "web");
    let second = memory_file(guest.pid()).expect("its memory");
    assert_ne!(first, second);
    wait_for("the new memory in the appliance", PATIENCE, || is_mapped(svm.pid(), &second).then_some(()));
    wait_for("its address", PATIENCE, || host.given("svm", "web")["pci"].as_str().map(drop));
    // QEMU lets go of it in its own time.
    wait_for("the end of the old memory", PATIENCE, || (!is_mapped(svm.pid(), &first)).then_some(()));

    // The appliance's QEMU ends, and comes back at the same monitor.
    svm.kill();
    drop(svm);
    let mut svm = Guest::appliance(&bench, "svm", "pc", &[]);
    wait_for("the memory in the new appliance", PATIENCE, || is_mapped(svm.pid(), &second).then_some(()));
    wait_for("everything to be there", PATIENCE, || {
        let given = host.given("svm", "web");
        (given["port"]["is_connected"] == true && given["fault"].is_null()).then_some(())
    });

    let detached = host.json(&["detach", "--appliance", "svm", "--guest", "web"]);
    assert_eq!(detached["detached"]["guest"], "web");
    assert!(remains(&mut svm).is_empty(), "{:?}", remains(&mut svm));
    assert!(!host.port("svm", "web").exists());
    assert!(control.heard().iter().any(|request| request["do"].get("detach").is_some()));

    // What cannot be served leaves nothing behind.
    let refused = host.refused(&[&words[..], &["--service", "refused"]].concat());
    assert!(refused.contains("not this one"), "{refused}");
    assert!(remains(&mut svm).is_empty(), "{:?}", remains(&mut svm));
    assert!(!host.port("svm", "web").exists());
    for (wrong, part) in [
        (["attach", "--appliance", &qmp, "--guest", "db"], "no guest is called"),
        (["attach", "--appliance", "/nowhere", "--guest", "web"], "does not exist"),
        (["attach", "--appliance", &qmp, "--guest", "web"], "no control channel that listens"),
        (["detach", "--appliance", &qmp, "--guest", "web"], "nothing is attached"),
    ] {
        let text = host.refused(&wrong);
        assert!(text.contains(part), "{wrong:?}: {text}");
        assert!(!text.contains("undone"), "nothing was done: {text}");
    }
    assert!(!host.port("nowhere", "web").parent().expect("a folder").exists());

    // Of an appliance whose QEMU has ended, everything is gone.
    host.json(&words);
    svm.kill();
    drop(svm);
    let detached = host.json(&["detach", "--appliance", "svm", "--guest", "web"]);
    assert_eq!(detached["detached"]["guest"], "web");
    assert!(!host.port("svm", "web").exists());
    host.stop();
}

/// The host's side is killed, and what it gave goes on: with nothing changed, a guest that was restarted, an appliance
/// that was, and nobody there at all.
#[test]
fn what_was_attached_outlives_the_hosts_side() {
    let bench = Bench::new();
    let mut guest = Guest::blank(&bench, "web");
    let config = config(&guest);
    let host = Host::start(&bench, &config);
    let mut svm = Guest::appliance(&bench, "svm", "pc", &[]);
    let control = Control::listen(&bench.file("control"), "refused");
    let qmp = svm.qmp().to_str().expect("UTF-8").to_owned();
    let words = ["attach", "--appliance", &qmp, "--guest", "web", "--control", control.path()];
    host.json(&[&words[..], &["--service", "desk", "--view-only"]].concat());
    let before = host.given("svm", "web");
    let (things, memory) = (remains(&mut svm), memory_file(guest.pid()).expect("its memory"));

    host.kill();
    let host = Host::start(&bench, &config);
    let is_back = |host: &Host, service: &Value| {
        let given = host.given("svm", "web");
        let is_whole = given["fault"].is_null() && given["is_attached"] == true && given["pci"].is_string();
        (is_whole && given["port"]["is_connected"] == true && given["service"] == *service).then_some(given)
    };
    let after = wait_for("what was attached", PATIENCE, || is_back(&host, &before["service"]));
    assert_eq!(after["pci"], before["pci"]);
    // A memory that is given anew has another name.
    assert_eq!(remains(&mut svm), things, "nobody has touched the device");
    let attached = |control: &Control| {
        control.heard().iter().filter(|request| request["do"].get("attach").is_some()).count()
    };
    assert_eq!(attached(&control), 1, "its sessions go on");
    assert!(host.refused(&words).contains("attached"), "it is known");
    assert!(String::from_utf8(host.ask(&["list"]).stdout).expect("UTF-8").contains("svm"));

    // The guest is another process when the next one starts.
    host.kill();
    guest.kill();
    drop(guest);
    let mut guest = Guest::blank(&bench, "web");
    let second = memory_file(guest.pid()).expect("its memory");
    assert_ne!(memory, second);
    let host = Host::start(&bench, &config);
    wait_for("the new memory", PATIENCE, || is_mapped(svm.pid(), &second).then_some(()));
    wait_for("what was attached", PATIENCE, || is_back(&host, &before["service"]));
    assert_eq!(attached(&control), 1, "it is the same service");

    // So is the appliance.
    host.kill();
    svm.kill();
    drop(svm);
    let mut svm = Guest::appliance(&bench, "svm", "pc", &[]);
    control.begin();
    let host = Host::start(&bench, &config);
    wait_for("the memory in the new appliance", PATIENCE, || is_mapped(svm.pid(), &second).then_some(()));
    let again = control.wait_attached(2);
    assert_eq!((&again["service"], &again["input"]), (&json!("desk"), &json!(false)));
    wait_for("what was attached", PATIENCE, || is_back(&host, &host.given("svm", "web")["service"]));

    // Nobody is there, and somebody is.
    host.kill();
    guest.kill();
    let host = Host::start(&bench, &config);
    let given = host.given("svm", "web");
    assert_eq!(given["is_attached"], true, "{given}");
    assert!(given["fault"].as_str().is_some_and(|fault| fault.contains("not been found")), "{given}");
    host.json(&["detach", "--appliance", &qmp, "--guest", "web"]);
    assert!(remains(&mut svm).is_empty(), "{:?}", remains(&mut svm));
    assert!(!host.port("svm", "web").exists());
    host.kill();
    let host = Host::start(&bench, &config);
    assert_eq!(host.json(&["status"])["appliances"], json!([]));

    // What is no such file is set aside, and said.
    let memory = host.memory();
    host.stop();
    fs::write(&memory, "{\"version\":1,\"appl").expect("written");
    let host = Host::start(&bench, &config);
    assert!(memory.with_extension("json.wrong").exists());
    assert!(host.log().contains("attached.json.wrong"), "{}", host.log());
    host.stop();
}

#[test]
fn a_q35_takes_guests_on_root_ports_with_room() {
    let bench = Bench::new();
    let mut guest = Guest::blank(&bench, "web");
    let host = Host::start(&bench, &config(&guest));
    let path = bench.file("svm.control");
    let channel = format!("socket,id=lfp.control,path={},server=on,wait=off", path.display());
    let ports = ["-device", "pcie-root-port,id=small,chassis=1,slot=1", "-device"];
    let roomy = "pcie-root-port,id=roomy,chassis=2,slot=2,pref64-reserve=32M";
    let extra = [&ports[..], &[roomy, "-chardev", &channel]].concat();
    let mut svm = Guest::appliance(&bench, "svm", "q35,aux-ram-share=on", &extra);
    let control = Control::listen(&bench.file("control"), "refused");
    let qmp = svm.qmp().to_str().expect("UTF-8").to_owned();
    let words = ["attach", "--appliance", &qmp, "--guest", "web", "--control", control.path()];
    let attached = host.json(&words);
    let device = devices(&mut svm, "lfp-vram-web").pop().expect("the device is there");
    let (bus, slot) = (device["bus"].as_u64().expect("a bus"), device["slot"].as_u64().expect("a slot"));
    assert!(bus > 0, "behind a root port");
    assert_eq!(attached["source"], format!("ivshmem:0000:{bus:02x}:{slot:02x}.0?guest=web"));
    let region = &device["regions"].as_array().expect("regions")[1];
    wait_for("its memory to have an address", PATIENCE, || {
        let device = devices(&mut svm, "lfp-vram-web").pop()?;
        let region = &device["regions"].as_array()?[1];
        (region["address"].as_i64()? > 0).then_some(())
    });
    assert_eq!(region["size"], 16 << 20);
    host.json(&["detach", "--appliance", &qmp, "--guest", "web"]);
    assert!(remains(&mut svm).is_empty(), "{:?}", remains(&mut svm));
    // The control channel that QEMU itself has is found, and nobody answers on it: nothing is left behind.
    let silent = host.refused(&words[..5]);
    assert!(silent.contains("did not answer on its control channel"), "{silent}");
    assert!(remains(&mut svm).is_empty(), "{:?}", remains(&mut svm));
    let small = host.refused(&[&words[..], &["--bus", "nowhere"]].concat());
    assert!(small.contains("nowhere"), "{small}");
    // The only port with room is taken by something else.
    svm.execute("device_add", &json!({ "driver": "virtio-rng-pci", "id": "other", "bus": "roomy" }));
    wait_for("the device", PATIENCE, || devices(&mut svm, "other").pop());
    let full = host.refused(&words);
    assert!(full.contains("pref64-reserve=32M"), "{full}");
    assert!(guest.execute("query-status", &json!({}))["running"] == true);
    host.stop();
}

/// An appliance's monitor that fails at the `fails`th command that changes something; it remembers what there is.
fn fake_monitor(path: &Path, fails: usize) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).expect("a socket");
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&log);
    std::thread::spawn(move || {
        let (mut devices, mut objects, mut channels) = (Vec::new(), Vec::new(), Vec::new());
        let mut changes = 0;
        for client in listener.incoming().flatten() {
            let mut out = client.try_clone().expect("a copy");
            let greeting = json!({ "QMP": { "version": { "qemu": { "major": 10, "minor": 0, "micro": 2 } }, "capabilities": [] } });
            let _ = writeln!(out, "{greeting}");
            for line in BufReader::new(client).lines().map_while(Result::ok) {
                let command: Value = serde_json::from_str(&line).expect("JSON");
                let (name, arguments) = (command["execute"].as_str().expect("a name"), &command["arguments"]);
                let id = arguments["id"].as_str().unwrap_or_default().to_owned();
                let is_change =
                    ["add-fd", "object-add", "remove-fd", "device_add", "chardev-add"].contains(&name);
                changes += usize::from(is_change);
                let list = |names: &[String]| -> Value {
                    names.iter().map(|name| json!({ "name": name })).collect()
                };
                let answer = match name {
                    _ if is_change && changes == fails => Err("not today"),
                    // The second way to the same end fails as well.
                    "object-add" if changes == fails + 2 && fails == 2 => Err("not today either"),
                    "add-fd" => Ok(json!({ "fd": 7, "fdset-id": 0 })),
                    "query-pci" => {
                        let of = |(slot, id): (usize, &String)| json!({ "qdev_id": id, "bus": 0, "slot": slot + 3, "function": 0 });
                        let mut all: Vec<Value> = devices.iter().enumerate().map(of).collect();
                        all.push(json!({ "qdev_id": "", "id": { "vendor": 32902, "device": 4663 } }));
                        Ok(json!([{ "bus": 0, "devices": all }]))
                    }
                    "qom-list" if arguments["path"] == "/objects" => Ok(list(&objects)),
                    "qom-list" => Ok(list(&devices)),
                    "query-chardev" => {
                        Ok(channels.iter().map(|label: &String| json!({ "label": label })).collect())
                    }
                    "object-add" => {
                        objects.push(id.clone());
                        Ok(json!({}))
                    }
                    "device_add" => {
                        devices.push(id.clone());
                        Ok(json!({}))
                    }
                    "chardev-add" => {
                        channels.push(id.clone());
                        Ok(json!({}))
                    }
                    "object-del" => {
                        objects.retain(|one| *one != id);
                        Ok(json!({}))
                    }
                    "device_del" => {
                        devices.retain(|one| *one != id);
                        Ok(json!({}))
                    }
                    "chardev-remove" => {
                        channels.retain(|one| *one != id);
                        Ok(json!({}))
                    }
                    _ => Ok(json!({})),
                };
                if is_change || name.ends_with("del") || name.ends_with("remove") {
                    let mark = if answer.is_ok() { "" } else { "!" };
                    noted.lock().expect("unharmed").push(format!("{mark}{name} {id}").trim().to_owned());
                }
                let answer = match answer {
                    Ok(value) => json!({ "return": value, "id": command["id"] }),
                    Err(text) => {
                        json!({ "error": { "class": "GenericError", "desc": text }, "id": command["id"] })
                    }
                };
                if writeln!(out, "{answer}").is_err() {
                    break;
                }
            }
        }
    });
    log
}

/// Whatever step fails, those before it are undone, last first, and nothing more is touched.
#[test]
fn half_done_attachments_are_undone() {
    const STEPS: [&str; 6] = [
        "add-fd",
        "object-add lfp-mem-N-web",
        "remove-fd",
        "device_add lfp-vram-web",
        "chardev-add lfp-port-web",
        "device_add lfp-port-web",
    ];
    let bench = Bench::new();
    let guest = Guest::blank(&bench, "web");
    let host = Host::start(&bench, &config(&guest));
    let control = Control::listen(&bench.file("control"), "refused");
    // One more: the appliance itself refuses.
    for fails in 1..=STEPS.len() + 1 {
        let path = bench.file(&format!("fake{fails}"));
        let log = fake_monitor(&path, fails);
        let service = if fails > STEPS.len() { "refused" } else { "web" };
        let path = path.to_str().expect("UTF-8").to_owned();
        let words = [
            "attach",
            "--appliance",
            &path,
            "--guest",
            "web",
            "--control",
            control.path(),
            "--service",
            service,
        ];
        let text = host.refused(&words);
        assert!(text.contains(if fails > STEPS.len() { "not this one" } else { "not today" }), "{text}");
        let log = log.lock().expect("unharmed").clone();
        let added = |log: &[String]| -> Vec<String> {
            let adds = log.iter().filter_map(|line| line.split_once("add "));
            adds.filter(|(verb, _)| !verb.starts_with('!')).map(|(_, id)| id.to_owned()).collect()
        };
        let removed: Vec<String> = log
            .iter()
            .filter_map(|line| line.split_once("del ").or_else(|| line.split_once("chardev-remove ")))
            .map(|(_, id)| id.to_owned())
            .collect();
        let mut expected = added(&log);
        expected.reverse();
        // The port's device goes before its channel, which has the same name.
        assert_eq!(removed, expected, "step {fails}: {log:?}");
        assert!(!host.port(&format!("fake{fails}"), "web").exists(), "step {fails}");
        let status = host.json(&["status"]);
        assert_eq!(status["appliances"], json!([]), "step {fails}");
    }
    assert!(host.log().contains("not attached"));
    host.stop();
}
