//! Guests that are given to a running appliance and taken away again. The appliance is a real QEMU in which no server
//! runs; its control channel is the test's.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Bench, Control, Display, Guest, Host, PATIENCE, wait_for};

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
    let mut guest = Guest::boot(&bench, "web", Display::Vga32, "lfp.quiet=1");
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
    assert_eq!((&given["is_attached"], &given["port"]["is_connected"]), (&json!(true), &json!(true)), "{given}");
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
    let guest = Guest::boot(&bench, "web", Display::Vga32, "lfp.quiet=1");
    let second = memory_file(guest.pid()).expect("its memory");
    assert_ne!(first, second);
    wait_for("the new memory in the appliance", PATIENCE, || is_mapped(svm.pid(), &second).then_some(()));
    wait_for("its address", PATIENCE, || host.given("svm", "web")["pci"].as_str().map(drop));
    assert!(!is_mapped(svm.pid(), &first), "the old memory is let go of");

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
    }
    host.stop();
}

#[test]
fn a_q35_takes_guests_on_root_ports_with_room() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "web", Display::Bochs, "lfp.quiet=1");
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
