//! The appliance and its neighbours: guests that are given to it while it runs, through real video memory and real ports.

use std::path::Path;

use serde_json::json;

use crate::harness::appliance::{Appliance, Start};
use crate::harness::{Bench, Client, Display, Guest, Host, PATIENCE, assert_same, wait_for};
use crate::streams::listed;

/// What lets guests be given to an appliance: a monitor for the host's side, a control channel, root ports with room for video
/// memory. Its own screen can be given on.
pub(super) fn may_be_given(bench: &Bench, name: &str) -> Vec<String> {
    let socket =
        |what: &str| format!("{},server=on,wait=off", bench.file(&format!("{name}.{what}")).display());
    let mut words = vec!["-machine".to_owned(), "aux-ram-share=on".to_owned()];
    words.extend(["-qmp".to_owned(), format!("unix:{}", socket("host"))]);
    words.extend(["-qmp".to_owned(), format!("unix:{}", socket("given"))]);
    words.extend(["-chardev".to_owned(), format!("socket,id=lfp.control,path={}", socket("control"))]);
    words.extend(["-device", "virtserialport,chardev=lfp.control,name=lfp.control"].map(str::to_owned));
    for port in 1..=3 {
        let root = format!("pcie-root-port,id=rp{port},chassis={port},pref64-reserve=64M");
        words.extend(["-device".to_owned(), root]);
    }
    words
}

fn boot(bench: &Bench, name: &str, start: Start<'_>, more: &[String]) -> Appliance {
    let words = [may_be_given(bench, name), more.to_vec()].concat();
    let mut appliance = Appliance::start(bench, name, start, &words);
    appliance.wait_served();
    appliance
}

/// A state disk, so that the machine is the same server after a reboot.
fn state_disk(bench: &Bench) -> Vec<String> {
    let disk = bench.file("state.img");
    std::fs::File::create(&disk).and_then(|file| file.set_len(4 << 20)).expect("an empty disk");
    let made =
        std::process::Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-L", "LFP-STATE"]).arg(&disk).status();
    assert!(made.expect("mkfs.ext4: apt-get install e2fsprogs").success());
    ["-drive".to_owned(), format!("if=virtio,format=raw,file={}", disk.display())].into()
}

pub(super) fn attach(host: &Host, appliance: &Path, guest: &str) {
    let path = appliance.display().to_string();
    let given = host.json(&["attach", "--appliance", &path, "--guest", guest]);
    assert_eq!(given["service"]["state"], "live", "{given}");
}

pub(super) fn watch(bench: &Bench, name: &str, appliance: &Appliance, service: &str) -> Client {
    let words = ["--service", service, "--seconds", "600", "--reconnect", "120"];
    let mut client = Client::start(bench, name, appliance.address(), &words);
    client.wait_picture();
    client
}

/// The client shows what the guest's own QEMU says that it shows, pixel for pixel.
pub(super) fn assert_shows(client: &mut Client, guest: &mut Guest) {
    guest.stop();
    let truth = guest.screendump();
    client.wait_shows(&truth, PATIENCE);
    guest.cont();
}

/// Bytes of its memory that nothing else could have, as the kernel sees it.
fn memory_in_use(appliance: &mut Appliance) -> u64 {
    let text = appliance.shell("busybox cat /proc/meminfo");
    let bytes = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the kernel's");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    };
    bytes("MemTotal:") - bytes("MemAvailable:")
}

/// One machine after the other boots: two guests of different displays, the appliance, a third guest that comes later.
#[test]
fn neighbours_are_served_while_they_come_and_go() {
    let bench = Bench::new();
    let mut first = Guest::boot(&bench, "first", Display::Vga32, "lfp.quiet=1");
    let mut second = Guest::boot(&bench, "second", Display::Bochs, "lfp.quiet=1");
    let guest = |name: &str| json!({ "name": name, "qmp": bench.file(&format!("{name}.qmp")) });
    let host = Host::start(&bench, &json!({ "guests": [guest("first"), guest("second"), guest("third")] }));
    let mut appliance = boot(&bench, "lfp", Start::Pvh, &state_disk(&bench));
    let monitor = bench.file("lfp.host");
    attach(&host, &monitor, "first");
    attach(&host, &monitor, "second");
    let mut of_first = watch(&bench, "client-1", &appliance, "first");
    let mut of_second = watch(&bench, "client-2", &appliance, "second");
    assert_shows(&mut of_first, &mut first);
    assert_shows(&mut of_second, &mut second);
    let bytes = memory_in_use(&mut appliance);
    println!("memory in use: {:.1} MB, serving two guests of 1280x800", bytes as f64 / 1e6);
    assert!(bytes < 96_000_000, "{bytes} bytes in use");

    // What is typed reaches the guest that is looked at, and no other.
    Client::answered(&bench, "typist", appliance.address(), &["--service", "first", "--type", "hi"]);
    first.wait_line("key 'i'", 1);
    assert_eq!(second.count("key '"), 0);
    assert_shows(&mut of_first, &mut first);

    // A third one is plugged in while the others are watched.
    let mut third = Guest::boot(&bench, "third", Display::Vga24, "lfp.quiet=1");
    attach(&host, &monitor, "third");
    let mut of_third = watch(&bench, "client-3", &appliance, "third");
    assert_shows(&mut of_third, &mut third);

    // One goes while it is watched: its client is told, the others do not notice.
    let detached = host.ask(&["detach", "--appliance", "lfp", "--guest", "third"]);
    assert!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
    let (code, report) = of_third.end();
    assert_eq!(code, Some(3), "{}", report.json);
    third.kill();
    of_first.assert_running();

    // A guest reboots.
    first.reset();
    first.wait_line("ready ", 2);
    assert_shows(&mut of_first, &mut first);

    // The appliance reboots: its clients come back by themselves, and what was attached is attached again.
    appliance.reset();
    wait_for("the appliance to boot again", PATIENCE * 2, || {
        (appliance.said().matches("listening on ").count() == 2).then_some(())
    });
    wait_for("both to show their guests again", PATIENCE * 2, || {
        of_first.assert_running();
        of_second.assert_running();
        let truth = (first.screendump(), second.screendump());
        (of_first.shows()? == truth.0 && of_second.shows()? == truth.1).then_some(())
    });
    // The clients' pictures stay while they are away: the guest has to be served again as well.
    wait_for("the second to be served again", PATIENCE, || {
        let services = listed(&bench, "list", appliance.address(), &[]);
        services.iter().any(|service| service["name"] == "second").then_some(())
    });
    Client::answered(&bench, "typist-2", appliance.address(), &["--service", "second", "--type", "x"]);
    second.wait_line("key 'x'", 1);
    assert_shows(&mut of_second, &mut second);
    host.stop();
}

/// Two appliances have the same guest, and one of them shows the other's own screen.
#[test]
fn appliances_share_a_guest_and_show_each_other() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "web", Display::Vga32, "lfp.quiet=1");
    let mut one = boot(&bench, "one", Start::Direct, &[]);
    let two = boot(&bench, "two", Start::Pvh, &[]);
    let guests = json!([
        { "name": "web", "qmp": guest.qmp() },
        { "name": "one", "qmp": bench.file("one.given") }
    ]);
    let host = Host::start(&bench, &json!({ "guests": guests }));
    attach(&host, &bench.file("one.host"), "web");
    attach(&host, &bench.file("two.host"), "web");
    attach(&host, &bench.file("two.host"), "one");
    let mut by_one = watch(&bench, "client-1", &one, "web");
    let mut by_two = watch(&bench, "client-2", &two, "web");
    assert_shows(&mut by_one, &mut guest);
    assert_shows(&mut by_two, &mut guest);
    let screen = watch(&bench, "client-3", &two, "one");
    let shown = crate::harness::appliance::wait_same(&mut one, &screen);
    assert_eq!((shown.width, shown.height), (1280, 800));
    assert_same("web", &by_two.wait_picture(), &guest.screendump());
    host.stop();
}
