//! Guests whose memory is a device of the server's machine and whose host's side speaks over a port: a folder stands for
//! the machine's `/`, a file for the memory, a socket for the port, a thread of the test for the host's side.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lfp::channel::guest::{Event, FromAppliance, FromHost, Mode};
use lfp::channel::{VERSION, line};
use lfp::pixel::PixelFormat;

use crate::harness::{Bench, Client, PATIENCE, Picture, Server, lfp_server_under, wait_for};
use crate::many::pattern;

const HERE: &str = "0000:00:07.0";
const THERE: &str = "0000:00:08.0";
const BYTES: u64 = 4 << 20;

/// A machine of files with one ivshmem device at a time.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(bench: &Bench) -> Self {
        Self { root: bench.file("root") }
    }

    fn device(&self, address: &str) -> PathBuf {
        self.root.join("sys/bus/pci/devices").join(address)
    }

    fn plug(&self, address: &str) -> File {
        let being = self.root.join("being-plugged");
        fs::create_dir_all(&being).expect("a folder");
        fs::create_dir_all(self.root.join("sys/bus/pci/devices")).expect("a folder");
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        let (start, last) = (1_u64 << 32, (1_u64 << 32) + BYTES - 1);
        let region = format!("{none}{none}{start:#018x} {last:#018x} 0x000000000014220c\n");
        for (name, text) in
            [("vendor", "0x1af4\n"), ("device", "0x1110\n"), ("enable", "1\n"), ("resource", &region)]
        {
            fs::write(being.join(name), text).expect("written");
        }
        let memory = File::create(being.join("resource2_wc")).expect("a file");
        memory.set_len(BYTES).expect("sized");
        fs::rename(being, self.device(address)).expect("plugged in");
        memory
    }

    fn unplug(&self, address: &str) {
        let gone = self.root.join("unplugged");
        fs::rename(self.device(address), &gone).expect("unplugged");
        fs::remove_dir_all(gone).expect("removed");
    }
}

/// What the host's side says and hears.
#[derive(Default)]
struct Said {
    mode: Option<Mode>,
    client: Option<UnixStream>,
    heard: Vec<FromAppliance>,
}

/// The host's side of one guest.
struct Host {
    path: PathBuf,
    said: Arc<Mutex<Said>>,
}

impl Host {
    fn new(bench: &Bench) -> Self {
        let (path, said) = (bench.file("web.port"), Arc::new(Mutex::new(Said::default())));
        let (listener, shared) = (UnixListener::bind(&path).expect("a socket"), Arc::clone(&said));
        // It ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                converse(stream, &shared);
            }
        });
        Self { path, said }
    }

    fn source(&self, address: &str) -> String {
        format!("ivshmem:{address}?guest=web&port={}", self.path.display())
    }

    fn say(&self, mode: Mode) {
        let mut said = self.said.lock().expect("whole");
        if let Some(client) = &mut said.client {
            tell(client, &FromHost::Mode(mode.clone()));
        }
        said.mode = Some(mode);
    }

    /// Hangs up, and says nothing to who calls again until the next mode.
    fn hang_up(&self) {
        let mut said = self.said.lock().expect("whole");
        said.mode = None;
        if let Some(client) = said.client.take() {
            client.shutdown(Shutdown::Both).expect("it was there");
        }
    }

    fn heard(&self) -> Vec<FromAppliance> {
        self.said.lock().expect("whole").heard.clone()
    }
}

fn tell(to: &mut UnixStream, message: &FromHost) {
    // It may have hung up, which it may.
    let _ = to.write_all(&line(message));
}

fn converse(mut stream: UnixStream, shared: &Mutex<Said>) {
    let reader = BufReader::new(stream.try_clone().expect("cloned"));
    {
        let mut said = shared.lock().expect("whole");
        tell(
            &mut stream,
            &FromHost::Hello { version: VERSION, guest: "web".into(), input: true, power: vec![] },
        );
        if let Some(mode) = said.mode.clone() {
            tell(&mut stream, &FromHost::Mode(mode));
        }
        said.client = stream.try_clone().ok();
    }
    for line in reader.lines().map_while(Result::ok).filter(|line| !line.is_empty()) {
        let message: FromAppliance = serde_json::from_str(&line).expect("a message of the channel");
        match message {
            FromAppliance::Input { number, event: Event::Key { code: REFUSED, .. }, .. } => {
                tell(&mut stream, &FromHost::Refused { number: Some(number), text: "no such key".into() });
            }
            FromAppliance::Input { number, .. } => tell(&mut stream, &FromHost::Taken { number }),
            _ => {}
        }
        shared.lock().expect("whole").heard.push(message);
    }
}

/// The key `z`.
const REFUSED: u16 = 44;

fn mode(picture: &Picture) -> Mode {
    let (width, height) = (picture.width as u16, picture.height as u16);
    let (stride_bytes, format) = (u32::from(width) * 4, PixelFormat::Xrgb8888);
    Mode { pci: None, vram_bytes: BYTES, width, height, stride_bytes, offset_bytes: 0, format }
}

fn paint(memory: &File, picture: &Picture) {
    let bytes: Vec<u8> = picture.xrgb().into_iter().flat_map(u32::to_le_bytes).collect();
    memory.write_all_at(&bytes, 0).expect("painted");
}

fn serve(bench: &Bench, machine: &Machine, source: &str) -> Server {
    Server::under(bench, &machine.root, &["serve", "--source", source, "--listen", "127.0.0.1:0"])
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_guest_behind_a_port_is_followed_through_all_that_can_happen_to_it() {
    let bench = Bench::new();
    let (machine, host) = (Machine::new(&bench), Host::new(&bench));
    let mut server = serve(&bench, &machine, &host.source(HERE));
    let mut client = Client::start(&bench, "watcher", server.address(), &["--seconds", "300"]);
    let (first, second) = (pattern(640, 480, 1), pattern(800, 600, 2));
    let memory = machine.plug(HERE);
    paint(&memory, &first);
    host.say(mode(&first));
    client.wait_shows(&first, PATIENCE);
    // Another mode, then one that cannot be.
    paint(&memory, &second);
    host.say(mode(&second));
    client.wait_shows(&second, SOON);
    host.say(Mode { vram_bytes: u64::MAX, offset_bytes: BYTES, ..mode(&second) });
    client.wait_dark(SOON);
    host.say(mode(&second));
    client.wait_shows(&second, SOON);
    // Memory that shrinks under the scan.
    memory.set_len(65_536).expect("shrunk");
    client.wait_dark(SOON);
    memory.set_len(BYTES).expect("grown");
    paint(&memory, &first);
    host.say(mode(&first));
    client.wait_shows(&first, SOON);
    // A device that is unplugged under the scan, and another that comes: the guest was restarted.
    machine.unplug(HERE);
    client.wait_dark(SOON);
    let memory = machine.plug(THERE);
    paint(&memory, &second);
    host.say(Mode { pci: Some(THERE.to_owned()), ..mode(&second) });
    client.wait_shows(&second, SOON);
    // The host's side goes and comes back.
    host.hang_up();
    client.wait_dark(SOON);
    host.say(Mode { pci: Some(THERE.to_owned()), ..mode(&second) });
    client.wait_shows(&second, SOON);
    server.assert_running();
    client.interrupt();
    let words = server.close();
    for part in ["write-combining", "MB/s", "is not offered", "claims pixels up to byte", "is away"] {
        assert!(words.contains(part), "the server did not say {part:?}:\n{words}");
    }
}

#[test]
fn what_is_typed_goes_through_the_port_and_is_answered() {
    let bench = Bench::new();
    let (machine, host) = (Machine::new(&bench), Host::new(&bench));
    let picture = pattern(320, 200, 3);
    paint(&machine.plug(HERE), &picture);
    host.say(mode(&picture));
    let server = serve(&bench, &machine, &host.source(HERE));
    let report = Client::answered(&bench, "typist", server.address(), &["--type", "az"]);
    assert!(report.picture() == &picture, "another picture");
    let keys = || {
        let heard = host.heard();
        let inputs = heard.iter().filter_map(|message| match message {
            FromAppliance::Input { number, width: 320, height: 200, event: Event::Key { code, down } } => {
                Some((*number, *code, *down))
            }
            _ => None,
        });
        inputs.collect::<Vec<_>>()
    };
    let typed = [(1, 30, true), (2, 30, false), (3, REFUSED, true), (4, REFUSED, false)];
    wait_for("the keys", PATIENCE, || (keys().len() >= typed.len()).then_some(()));
    assert_eq!(keys()[..4], typed);
    let heard = host.heard();
    assert_eq!(heard[0], FromAppliance::Hello { version: VERSION });
    assert!(heard.contains(&FromAppliance::Watch { on: true }));
    server.close();
}

#[test]
fn inspect_says_how_fast_each_way_to_the_memory_is() {
    let bench = Bench::new();
    let (machine, host) = (Machine::new(&bench), Host::new(&bench));
    let picture = pattern(320, 200, 3);
    paint(&machine.plug(HERE), &picture);
    host.say(mode(&picture));
    let source = host.source(HERE);
    let (well, text, errors) = lfp_server_under(&bench, &machine.root, &["inspect", &source]);
    assert!(well, "{text}{errors}");
    for part in ["live", "320x200 pixels", "write-combining", " MB/s, taken", "uncached is not offered"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let (_, text, _) = lfp_server_under(&bench, &machine.root, &["inspect", "--all", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let device =
        all.as_array().and_then(|all| all.iter().find(|one| one["device"] == HERE)).expect("the device");
    assert_eq!((&device["bytes"], &device["way"]), (&BYTES.into(), &"write-combining".into()));
    assert!(device["problem"].as_str().is_some_and(|problem| problem.contains("no port")), "{device}");
}

/// A guest's port can be opened once, so the server that has it says which device is the guest's.
#[test]
fn inspect_says_which_device_and_port_belong_together() {
    let bench = Bench::new();
    let machine = Machine::new(&bench);
    let (here, there, third) = (HERE, "0000:00:08.0", "0000:00:09.0");
    for address in [here, there] {
        machine.plug(address);
    }
    for (entry, name) in [("vport1p2", "lfp.guest.web"), ("vport1p3", "lfp.guest.db")] {
        let folder = machine.root.join("sys/class/virtio-ports").join(entry);
        std::fs::create_dir_all(&folder).expect("a port");
        std::fs::write(folder.join("name"), name).expect("its name");
    }
    let stats = bench.file("stats.json");
    let words = ["inspect", "--all", "--json", "--stats", stats.to_str().expect("UTF-8")];
    let list = || {
        let (_, text, errors) = lfp_server_under(&bench, &machine.root, &words);
        let all: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
        let of = |address: &str| {
            let all = all.as_array().into_iter().flatten();
            all.clone().find(|one| one["device"] == address).cloned().unwrap_or_default()
        };
        [of(here), of(there), of(third)]
    };
    let [web, db, _] = list();
    for device in [&web, &db] {
        assert!(device["problem"].as_str().is_some_and(|text| text.contains("one of db, web")), "{device}");
    }
    let service = serde_json::json!({ "service": "desk", "source": format!("ivshmem:{there}?guest=db"),
        "state": "live", "text": "", "is_attached": true });
    let other = serde_json::json!({ "service": "own", "source": "fbdev:/dev/fb0" });
    std::fs::write(&stats, serde_json::json!({ "services": [other, service] }).to_string()).expect("written");
    let [web, db, _] = list();
    assert_eq!((&db["source"], &db["service"]), (&service["source"], &service["service"]));
    // What is left belongs together.
    assert_eq!(web["source"], format!("ivshmem:{here}?guest=web"));
    assert!(web["service"].is_null() && web["problem"].is_null(), "{web}");
    machine.plug(third);
    let [web, db, third] = list();
    assert_eq!(db["service"], "desk");
    for device in [web, third] {
        assert!(device["problem"].as_str().is_some_and(|text| text.ends_with("one of web")), "{device}");
    }
    std::fs::write(&stats, "{\"services\": 3").expect("written");
    let [_, db, _] = list();
    assert!(db["service"].is_null(), "nonsense says nothing");
}
