//! What an appliance does with what is wrong, while it serves on: a host's side that babbles and lies, memory that is too small or is
//! pulled out, a guest whose registers lie, a root of its own that writes where it may only read, a server that is killed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::neighbours::{assert_shows, attach, may_be_given, watch};
use crate::harness::appliance::{Appliance, Start, by_fw_cfg, services, wait_same};
use crate::harness::{Bench, Client, Display, Guest, Host, PATIENCE, Picture, wait_for};
use crate::many::pattern;
use crate::services::Host as Channel;

/// Of the memory that a test gives the appliance: less than a screen of a guest's.
const OWN_BYTES: u64 = 1 << 20;
const OWN_MODE: &str = "mode=320x200:xrgb8888";

/// An appliance that serves its own screen, and memory that the test paints.
struct Scene {
    appliance: Appliance,
    channel: PathBuf,
    own: PathBuf,
    memory: File,
    /// Where the appliance has it.
    place: String,
    turn: u32,
    screen: Client,
    painted: Client,
}

impl Scene {
    fn new(bench: &Bench) -> Self {
        let mut words = may_be_given(bench, "lfp");
        words.extend(by_fw_cfg(bench, &services(&[("screen", "fbdev:/dev/fb0")]).to_string()));
        let mut appliance = Appliance::start(bench, "lfp", Start::Rescue, &words);
        appliance.wait_served();
        let own = bench.file("own.memory");
        let memory = OpenOptions::new().read(true).write(true).create_new(true).open(&own).expect("a file");
        memory.set_len(OWN_BYTES).expect("its length");
        show(&memory, &pattern(320, 200, 0));
        let place = plug(&mut appliance, &own);
        let channel = bench.file("lfp.control");
        Channel::meet(&channel).attach("own", &format!("ivshmem:{place}?{OWN_MODE}"));
        let screen = watch(bench, "screen", &appliance, "screen");
        let painted = watch(bench, "painted", &appliance, "own");
        let mut scene = Self { appliance, channel, own, memory, place, turn: 0, screen, painted };
        scene.check();
        scene
    }

    /// What changes in the memory comes through.
    fn check(&mut self) {
        self.turn += 1;
        let picture = pattern(320, 200, self.turn);
        show(&self.memory, &picture);
        self.painted.wait_shows(&picture, PATIENCE);
    }

    /// So does what changes on the appliance's screen.
    fn check_screen(&mut self) {
        self.screen.assert_running();
        wait_same(&mut self.appliance, &self.screen);
    }

    /// Floods the control channel for a second with `bytes`, again and again, and reads nothing; then others come.
    fn flood(&mut self, bytes: &[u8]) {
        let mut stream = UnixStream::connect(&self.channel).expect("QEMU listens");
        stream.set_nonblocking(true).expect("it does not wait");
        crate::harness::watch(Duration::from_secs(1), || {
            while matches!(stream.write(bytes), Ok(count) if count > 0) {}
        });
        self.check();
        drop(stream);
        let status = Channel::meet(&self.channel).status();
        assert_eq!(status["services"][0]["state"], "live", "{status}");
        assert!(status["memory_bytes"].as_u64().is_some_and(|bytes| bytes < 96 << 20), "{status}");
    }

    /// Says `lie` at the guest port of nobody, and waits until the service is `state`, for a reason with `words`.
    fn lie(
        &mut self,
        channel: &mut Channel,
        port: &mut UnixStream,
        lie: &Value,
        (state, words): (&str, &str),
    ) {
        writeln!(port, "{lie}").expect("QEMU reads it");
        while !channel.hears("liar", state)["text"].as_str().expect("a text").contains(words) {}
        self.check();
    }

    /// A port's other end says of the memory what is not so, then nothing that means anything, then the truth.
    fn lie_at_a_port(&mut self, bench: &Bench) {
        let mut channel = Channel::meet(&self.channel);
        let mut port = liars_port(&mut self.appliance, &bench.file("liar.sock"));
        channel.attach("liar", &format!("ivshmem:{}?guest=liar", self.place));
        let truth = json!({ "mode": { "pci": self.place, "vram_bytes": OWN_BYTES, "width": 320, "height": 200,
            "stride_bytes": 1280, "offset_bytes": 0, "format": "xrgb8888" } });
        let but = |changes: &[(&str, Value)]| {
            let mut mode = truth.clone();
            changes.iter().for_each(|(field, value)| mode["mode"][*field] = value.clone());
            mode
        };
        let hello = json!({ "hello": { "version": 1, "guest": "liar", "input": true, "power": [] } });
        self.lie(&mut channel, &mut port, &hello, ("connecting", ""));
        self.lie(&mut channel, &mut port, &truth, ("live", "320x200"));
        let (small, wide) = (json!(1 << 24), json!(1280));
        let lies = [
            // A file that is smaller than the memory that the guest has.
            (
                but(&[
                    ("vram_bytes", small),
                    ("width", wide),
                    ("height", json!(800)),
                    ("stride_bytes", json!(5120)),
                ]),
                "up to byte 4096000, and its memory here",
            ),
            (but(&[("width", json!(65_535)), ("height", json!(65_535))]), "65535x65535 pixels"),
            (but(&[("stride_bytes", json!(1))]), "a row of 1 bytes"),
            (but(&[("offset_bytes", json!(u64::MAX))]), "beyond all memory"),
            (but(&[("vram_bytes", json!(10))]), "of 10 bytes of video memory"),
            (but(&[("pci", json!("0000:00:00.0"))]), "is a device"),
        ];
        for (lie, words) in &lies {
            self.lie(&mut channel, &mut port, lie, ("faulty", *words));
        }
        self.appliance.wait_line(" the guest claims a screen of 65535x65535 pixels");
        // As fast as it is taken, and in between what is no message.
        let noise = b"\xff\x00}{\"mode\":[[[[\n".repeat(3).into_iter();
        let flood: Vec<u8> =
            lies.iter().flat_map(|(lie, _)| format!("{lie}\n").into_bytes()).chain(noise).collect();
        port.set_nonblocking(true).expect("it does not wait");
        crate::harness::watch(Duration::from_secs(1), || {
            while matches!(port.write(&flood), Ok(count) if count > 0) {}
        });
        self.check();
        port.set_nonblocking(false).expect("it waits");
        // What is said while the appliance has given up on the port is lost; the rest of a message is a line of its own.
        wait_for("the truth to be believed", PATIENCE, || {
            writeln!(port, "\n{hello}\n{truth}").expect("QEMU reads it");
            crate::harness::watch(Duration::from_millis(300), || ());
            (channel.status()["services"][0]["state"] == "live").then_some(())
        });
        let mut client = watch(bench, "liar", &self.appliance, "liar");
        client.wait_shows(&pattern(320, 200, self.turn), PATIENCE);
        channel.done(&json!({"detach": {"service": "liar"}}));
        self.appliance.execute("device_del", &json!({ "id": "liar" }));
    }

    /// The device goes while it is scanned, and nobody has said that it would. It comes again.
    fn unplug(&mut self) {
        let mut channel = Channel::meet(&self.channel);
        show(&self.memory, &pattern(320, 200, self.turn + 1));
        self.appliance.execute("device_del", &json!({ "id": "own" }));
        let gone = channel.hears("own", "gone");
        self.painted.wait_dark(PATIENCE);
        self.appliance.wait_line("source is dark service=own state=gone");
        self.check_screen();
        println!("unplugged: {}", gone["text"]);
        wait_for("the end of the device", PATIENCE, || {
            place(&self.appliance.execute("query-pci", &json!({})), "own").is_none().then_some(())
        });
        self.appliance.execute("object-del", &json!({ "id": "own-memory" }));
        assert_eq!(plug(&mut self.appliance, &self.own), self.place);
        self.check();
    }

    /// The appliance's root writes to the memory of the device at `place`, in each way that there is.
    fn write_as_root(&mut self, place: &str) -> Vec<String> {
        let device = format!("/sys/bus/pci/devices/{place}");
        let resource = self.appliance.shell(&format!("busybox sed -n 3p {device}/resource"));
        let start = resource.split_whitespace().next().expect("three numbers").to_owned();
        let lent = format!("busybox chmod 600 {device}/resource2");
        let mut answers = Vec::new();
        // By its address, and by the file of which the server reads it: `devmem` knows `/dev/mem` alone.
        for (first, last, at) in [
            ("true".to_owned(), "true", start.as_str()),
            (
                // Nobody may write to that one, not even root, until root changes that.
                format!("{lent}; busybox mv /dev/mem /dev/was; busybox ln -s {device}/resource2 /dev/mem"),
                "busybox mv /dev/was /dev/mem",
                "0",
            ),
        ] {
            self.appliance.shell(&first);
            let each = "i=0; while [ $i -lt 64 ]";
            let write = format!("busybox devmem $(({at}+i*4096)) 32 0xa55aa55a");
            answers.push(
                self.appliance.shell(&format!("{each}; do {write} || break; i=$((i+1)); done; echo $i")),
            );
            answers.push(self.appliance.shell(&format!("busybox devmem $(({at}))")));
            self.appliance.shell(last);
        }
        self.appliance.assert_running();
        answers
    }
}

/// Writes `picture` into memory, from its beginning.
fn show(memory: &File, picture: &Picture) {
    let bytes: Vec<u8> = picture.xrgb().into_iter().flat_map(u32::to_le_bytes).collect();
    memory.write_all_at(&bytes, 0).expect("it is ours");
}

/// Plugs a file into the machine as a neighbour's memory, past the host's side, and for writing.
fn plug(appliance: &mut Appliance, file: &Path) -> String {
    let object = json!({ "qom-type": "memory-backend-file", "id": "own-memory", "mem-path": file, "size": OWN_BYTES, "share": true });
    appliance.execute("object-add", &object);
    let device = json!({ "driver": "ivshmem-plain", "id": "own", "memdev": "own-memory", "bus": "rp3" });
    appliance.execute("device_add", &device);
    wait_for("the place of the device", PATIENCE, || {
        place(&appliance.execute("query-pci", &json!({})), "own")
    })
}

/// Where the device called `id` sits.
fn place(buses: &Value, id: &str) -> Option<String> {
    let mut devices =
        buses.as_array()?.iter().flat_map(|bus| bus["devices"].as_array().into_iter().flatten());
    devices.find_map(|device| {
        if device["qdev_id"] != id {
            return place(&json!([device.get("pci_bridge")?]), id);
        }
        let part = |name: &str| device[name].as_u64();
        Some(format!("0000:{:02x}:{:02x}.{:x}", part("bus")?, part("slot")?, part("function")?))
    })
}

/// The other end of a port `lfp.guest.liar`.
fn liars_port(appliance: &mut Appliance, path: &Path) -> UnixStream {
    let listener = UnixListener::bind(path).expect("a socket");
    let data = json!({ "addr": { "type": "unix", "data": { "path": path } }, "server": false });
    let backend = json!({ "type": "socket", "data": data });
    appliance.execute("chardev-add", &json!({ "id": "liar", "backend": backend }));
    let port =
        json!({ "driver": "virtserialport", "id": "liar", "chardev": "liar", "name": "lfp.guest.liar" });
    appliance.execute("device_add", &port);
    listener.accept().expect("QEMU connects").0
}

/// All of a guest's video memory.
fn video_memory(guest: &Guest) -> Vec<u8> {
    let files = fs::read_dir(format!("/proc/{}/fd", guest.pid())).expect("its files");
    let is_memory =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|name| name.to_string_lossy().contains("vram"));
    let file = files.flatten().map(|entry| entry.path()).find(is_memory).expect("its video memory");
    fs::read(file).expect("it can be read")
}

/// What the appliance's root writes to a guest's video memory does not come there.
fn assert_read_only(scene: &mut Scene, guest: &mut Guest, client: &mut Client, place: &str) {
    guest.stop();
    let (memory, truth) = (video_memory(guest), guest.screendump());
    client.wait_shows(&truth, PATIENCE);
    let answers = scene.write_as_root(place);
    println!("written to video memory: {answers:?}");
    assert_eq!(video_memory(guest), memory, "not a byte has changed");
    crate::harness::assert_same("written", &guest.screendump(), &truth);
    client.wait_shows(&truth, PATIENCE);
    guest.cont();
    // The same reaches memory that may be written.
    let own = scene.place.clone();
    println!("written to memory of its own: {:?}", scene.write_as_root(&own));
    let mut written = [0; 4];
    for page in 0..64 {
        scene.memory.read_exact_at(&mut written, page * 4096).expect("it is ours");
        assert_eq!(u32::from_le_bytes(written), 0xa55a_a55a, "page {page}");
    }
    scene.check();
}

/// The guest writes into its display's registers what cannot be, and is believed again when it can.
fn assert_lies_are_said(scene: &mut Scene, host: &Host, guest: &mut Guest, client: &mut Client) {
    for (claim, words) in [
        ("claim 65535x65535x32", "the guest claims a screen of 65535x65535 pixels"),
        ("claim 4096x2048x32", "the guest claims pixels up to byte 33554432"),
        ("claim 1280x800x7", "the guest claims 7 bits per pixel"),
    ] {
        guest.command(claim);
        wait_for(words, PATIENCE, || {
            let given = host.given("lfp", "web");
            let service = &given["service"];
            let says = service["text"].as_str().is_some_and(|text| text.contains(words));
            (says && service["state"] == "faulty").then_some(())
        });
        scene.check();
    }
    scene.appliance.wait_line("source is dark service=web state=faulty");
    guest.command("claim 1280x800x32");
    assert_shows(client, guest);
}

/// The server is killed, and stopped in the middle of its work: it is started again, and everybody who watched goes on.
fn assert_it_comes_again(scene: &mut Scene, guest: &mut Guest, client: &mut Client) {
    let ways = [(2, "KILL", "lfp-server ended (signal: 9"), (3, "STOP", "lfp-server: silent for 20 s")];
    for (starts, signal, ended) in ways {
        scene.painted.interrupt();
        scene.appliance.shell(&format!("busybox kill -{signal} $(busybox pidof lfp-server)"));
        let words = scene.appliance.wait_line(ended);
        wait_for("another server", PATIENCE, || {
            (scene.appliance.said().matches("listening on ").count() == starts).then_some(())
        });
        scene.check_screen();
        assert_shows(client, guest);
        println!("{signal}: {ended}{words}");
    }
}

#[test]
fn what_the_host_s_side_says_and_unplugs_costs_itself_alone() {
    let bench = Bench::new();
    let mut scene = Scene::new(&bench);
    // An endless line, what is no request, what asks for what cannot be; and requests, as fast as they are taken.
    scene.flood(&[b'x'; 65_536]);
    let wrong = json!({ "id": 7, "do": { "attach": { "service": "x", "source": "ivshmem:?guest=/" } } });
    scene.flood(format!("garbage\n{{\n\u{1}\n[[[[\n{wrong}\n").repeat(1_000).as_bytes());
    scene.appliance.wait_line("the control channel carries something else");
    scene.flood(&b"{\"id\":7,\"do\":{\"status\":{}}}\n".repeat(2_000));
    scene.lie_at_a_port(&bench);
    scene.unplug();
}

#[test]
fn root_writes_nothing_to_a_guest_that_lies_and_a_server_that_fails_comes_again() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "web", Display::Bochs, "lfp.quiet=1");
    let config = json!({ "guests": [{ "name": "web", "qmp": guest.qmp() }] });
    let host = Host::start(&bench, &config);
    let mut scene = Scene::new(&bench);
    attach(&host, &bench.file("lfp.host"), "web");
    let mut client = watch(&bench, "client", &scene.appliance, "web");
    assert_shows(&mut client, &mut guest);
    let given = host.given("lfp", "web");
    let place = given["pci"].as_str().expect("a place");
    assert_read_only(&mut scene, &mut guest, &mut client, place);
    assert_lies_are_said(&mut scene, &host, &mut guest, &mut client);
    assert_it_comes_again(&mut scene, &mut guest, &mut client);
    host.stop();
}

const DRIVE_BYTES: usize = 4 << 20;

/// A file system with the label of a configuration's drive, and perhaps a configuration.
fn drive(bench: &Bench, config: Option<&str>) -> Vec<u8> {
    let (folder, image) = (bench.file("drive"), bench.file("drive.made"));
    fs::create_dir_all(&folder).expect("a folder");
    if let Some(config) = config {
        fs::write(folder.join("config.json"), config).expect("a configuration");
    }
    fs::write(&image, vec![0; DRIVE_BYTES]).expect("an empty disk");
    let words = ["-q", "-F", "-L", "LFP-CONFIG", "-d"];
    let made = Command::new("/usr/sbin/mkfs.ext4").args(words).arg(&folder).arg(&image).status();
    assert!(made.expect("mkfs.ext4: apt-get install e2fsprogs").success());
    fs::read(image).expect("the drive")
}

/// A FAT boot sector with the label, and nothing behind it.
fn no_file_system() -> Vec<u8> {
    let mut bytes = vec![0; DRIVE_BYTES];
    for (at, words) in [(43, &b"LFP-CONFIG "[..]), (54, b"FAT16   "), (510, &[0x55, 0xaa])] {
        bytes[at..at + words.len()].copy_from_slice(words);
    }
    bytes
}

/// One machine starts with one drive after the other; the last is good.
#[test]
fn drives_that_are_wrong_are_said_and_a_good_one_gives_the_address() {
    let bench = Bench::new();
    let huge = format!("{{\"server\": {{}}}}{}", " ".repeat(1 << 20));
    let wrong = [
        (no_file_system(), "configuration (config drive): /dev/vda: cannot be mounted as vfat"),
        (drive(&bench, None), "configuration (config drive): config.json cannot be read"),
        (drive(&bench, Some(&huge)), "config.json is longer than 1048576 bytes"),
        (drive(&bench, Some(r#"{"server": {"services": [{"name": "x"}]}}"#)), "services[0].source: missing"),
    ];
    let image = bench.file("drive.img");
    fs::write(&image, &wrong[0].0).expect("a drive");
    let mut words = may_be_given(&bench, "lfp");
    words.extend(["-drive".to_owned(), format!("if=virtio,format=raw,readonly=on,file={}", image.display())]);
    let mut appliance = Appliance::start(&bench, "lfp", Start::Pvh, &words);
    for (boots, (drive, words)) in wrong.iter().enumerate() {
        if boots > 0 {
            fs::write(&image, drive).expect("another drive");
            appliance.reset();
        }
        appliance.wait_line(words);
        let status = Channel::meet(&bench.file("lfp.control")).status();
        assert!(status["error"].as_str().is_some_and(|error| error.contains(words)), "{words}: {status}");
        assert_eq!(status["services"], json!([]), "{status}");
    }
    let good = json!({ "network": { "address": "10.0.2.77/24", "gateway": "10.0.2.2" },
        "server": { "services": [{ "name": "idle", "source": "synthetic:idle?size=320x200" }] } });
    fs::write(&image, drive(&bench, Some(&good.to_string()))).expect("a good drive");
    appliance.reset();
    appliance.wait_line("network: eth0: address 10.0.2.77/24");
    appliance.wait_line("address: 10.0.2.77:5810");
    let routes = appliance.shell("busybox ip route");
    assert!(routes.contains("default via 10.0.2.2 dev eth0"), "{routes}");
    let address = appliance.address();
    for change in [format!("remove net udp:{address}"), format!("add net udp:{address}-10.0.2.77:5810")] {
        let command = json!({ "command-line": format!("hostfwd_{change}") });
        appliance.execute("human-monitor-command", &command);
    }
    watch(&bench, "client", &appliance, "idle");
    let status = Channel::meet(&bench.file("lfp.control")).status();
    assert_eq!((status["error"].is_null(), status["services"][0]["state"].as_str()), (true, Some("live")));

    // One of IPv6, with a gateway that cannot be had at first.
    let six = json!({ "network": { "address": "fec0::77/64", "gateway": "fec1::1" } });
    fs::write(&image, drive(&bench, Some(&six.to_string()))).expect("another good drive");
    appliance.reset();
    appliance.wait_line("address: [fec0::77]:5810");
    appliance.wait_line("network: eth0: ip -6 route replace default via fec1::1 dev eth0: ");
    appliance.shell("busybox ip address add fec1::2/64 dev eth0");
    appliance.wait_line("network: eth0: address fec0::77/64");
    let routes = appliance.shell("busybox ip -6 route");
    assert!(routes.contains("default via fec1::1 dev eth0"), "{routes}");
}
