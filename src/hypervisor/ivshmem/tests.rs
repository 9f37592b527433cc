//! `ivshmem:` sources of a machine of files: a folder stands for `/`, a file for the memory, a thread of this process for
//! the host's side.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lfp_proto::frame::{InputKind, SurfaceState};

use super::*;
use crate::channel::guest::{Event, FromAppliance, FromHost, Mode};
use crate::channel::line;
use crate::clock;
use crate::geometry::{CellSet, Size};
use crate::hypervisor::control::tests::{control, live, wait_for, wait_for_text};
use crate::hypervisor::{
    Action, Control, InputCounters, PciFunction, QemuSource, Source, SourceId, SourceSpec, View,
};
use crate::limits::{CHANNEL_LINE_MAX, PORT_INPUT_MAX};
use crate::pixel::PixelFormat;

const LIMIT: Duration = Duration::from_secs(20);
const ID: SourceId = SourceId(1);
const SIZE: Size = Size { width: 320, height: 200 };
const BYTES: u64 = 1024 * 1024;
const ADDRESS: &str = "0000:00:07.0";

/// A folder that stands for `/`.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn root(&self) -> Root {
        Root::at(self.folder.path())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn device(&self, address: &str) -> PathBuf {
        self.path("sys/bus/pci/devices").join(address)
    }

    /// A device with memory at `start`, which it gives in both ways.
    fn plug_at(&self, address: &str, start: u64) -> File {
        let folder = self.device(address);
        let being = folder.with_extension("being-plugged");
        fs::create_dir_all(&being).expect("a folder");
        let write = |name: &str, text: &str| fs::write(being.join(name), text).expect("written");
        write("vendor", "0x1af4\n");
        write("device", "0x1110\n");
        write("enable", "1\n");
        let last = start + BYTES - 1;
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        write("resource", &format!("{none}{none}{start:#018x} {last:#018x} 0x000000000014220c\n{none}"));
        let memory = File::create(being.join("resource2")).expect("a file");
        memory.set_len(BYTES).expect("sized");
        fs::hard_link(being.join("resource2"), being.join("resource2_wc")).expect("linked");
        fs::rename(being, folder).expect("plugged in");
        memory
    }

    fn plug(&self, address: &str) -> File {
        self.plug_at(address, 0x1_0000_0000)
    }

    fn unplug(&self, address: &str) {
        let gone = self.path("unplugged");
        fs::rename(self.device(address), &gone).expect("unplugged");
        fs::remove_dir_all(gone).expect("removed");
    }

    fn watch(&self, control: &Control, options: &str) -> QemuSource {
        let text = format!("ivshmem:{ADDRESS}?{options}");
        let Ok(SourceSpec::Ivshmem(spec)) = text.parse() else { panic!("{text}") };
        control.watch_device_of(&self.root(), ID, spec)
    }

    /// A port at which `converse` treats each who connects; what appliances say comes out of the receiver.
    fn port(
        &self,
        name: &str,
        mut converse: impl FnMut(&UnixStream) + Send + 'static,
    ) -> Receiver<FromAppliance> {
        let listener = UnixListener::bind(self.path(name)).expect("bound");
        let (sender, said) = channel();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let (reader, sender) = (client.try_clone().expect("cloned"), sender.clone());
                std::thread::spawn(move || {
                    let lines = BufReader::new(reader).lines().map_while(Result::ok);
                    for line in lines.filter(|line| !line.is_empty()) {
                        // Whoever does not listen has dropped the receiver.
                        let _ = sender.send(serde_json::from_str(&line).expect("a message"));
                    }
                });
                converse(&client);
            }
        });
        said
    }

    fn port_option(&self, name: &str) -> String {
        format!("guest=web&port={}", self.path(name).display())
    }
}

fn tell(mut to: &UnixStream, message: &FromHost) {
    // It may have hung up, which it may.
    let _ = to.write_all(&line(message));
}

fn hello() -> FromHost {
    FromHost::Hello { version: 1, guest: "web".into(), input: true, power: vec![] }
}

fn mode() -> Mode {
    let format = PixelFormat::Xrgb8888;
    Mode {
        pci: None,
        vram_bytes: BYTES,
        width: 320,
        height: 200,
        stride_bytes: 1280,
        offset_bytes: 0,
        format,
    }
}

/// What a sweep of everything finds changed, since `shadow`.
fn sweep(source: &mut QemuSource, shadow: &mut [u8]) -> Result<Vec<usize>, crate::hypervisor::SourceError> {
    let View::Live(surface) = live() else { unreachable!() };
    let mut changed = CellSet::new(SIZE.grid());
    source.sweep(&surface, shadow, &mut changed)?;
    Ok(changed.iter().collect())
}

#[test]
fn every_way_is_measured_and_the_reasons_of_others_are_told() {
    let machine = Machine::new();
    let address: PciFunction = ADDRESS.parse().expect("an address");
    let root = machine.root();
    assert_eq!(survey(&root, address), Err(BarError::Absent));
    machine.plug(ADDRESS);
    let found = survey(&root, address).expect("found");
    assert_eq!((found.bytes, found.start), (BYTES, 1 << 32));
    let rates: Vec<_> = found.trials.iter().map(|trial| trial.outcome.clone()).collect();
    assert!(matches!(&rates[..2], [Ok(1_000_000..), Ok(1_000_000..)]), "{rates:?}");
    assert_eq!(rates[2], Err("is not offered".to_owned()));
    assert!(found.lines()[2].contains("cached is not offered"), "{:?}", found.lines());
    // With all of physical memory, in which the device's lies where it says.
    fs::create_dir_all(machine.path("dev")).expect("a folder");
    let memory = File::create(machine.path("dev/mem")).expect("a file");
    memory.set_len((1 << 32) + BYTES).expect("sized");
    assert!(survey(&root, address).expect("found").trials[2].outcome.is_ok());
    // Below 4 GiB it is left alone, and what is less than it says is read no further.
    machine.unplug(ADDRESS);
    machine.plug_at(ADDRESS, 0xfe00_0000).set_len(8192).expect("shrunk");
    let found = survey(&root, address).expect("found");
    assert!(matches!(&found.trials[2].outcome, Err(reason) if reason.contains("below 4 GiB")));
    assert!(found.trials[0].outcome.is_ok());
    fs::remove_file(machine.device(ADDRESS).join("resource2_wc")).expect("removed");
    fs::remove_file(machine.device(ADDRESS).join("resource2")).expect("removed");
    let found = survey(&root, address).expect("found");
    assert_eq!(found.fastest(), None);
}

#[test]
fn a_later_way_has_to_be_clearly_faster() {
    let outcomes = |rates: [Result<u64, String>; 3]| {
        let trials = Way::ALL.into_iter().zip(rates).map(|(way, outcome)| Trial { way, outcome }).collect();
        Survey { address: ADDRESS.parse().expect("an address"), bytes: 1, start: 1, trials }.fastest()
    };
    assert_eq!(outcomes([Ok(1000), Ok(1100), Ok(1125)]), Some(Way::WriteCombining));
    assert_eq!(outcomes([Ok(1000), Ok(900), Ok(1126)]), Some(Way::Cached));
    assert_eq!(outcomes([Err(String::new()), Ok(1), Err(String::new())]), Some(Way::Uncached));
    assert_eq!(outcomes([Ok(u64::MAX), Ok(u64::MAX), Ok(u64::MAX)]), Some(Way::WriteCombining));
}

#[test]
fn memory_in_a_fixed_mode_is_swept_unplugged_and_found_again() {
    let machine = Machine::new();
    let control = control();
    let mut source = machine.watch(&control, "mode=320x200:xrgb8888");
    wait_for_text(&mut source, SurfaceState::Gone, "ivshmem device 0000:00:07.0 is not there: attach");
    let memory = machine.plug(ADDRESS);
    wait_for(&mut source, |view| *view == live());
    let mut shadow = vec![0; SIZE.pixels() * 4];
    memory.write_all_at(&[1, 2, 3, 0], 1280 * 16 + 64).expect("painted");
    assert_eq!(sweep(&mut source, &mut shadow).expect("swept"), [SIZE.grid().index(1, 1)]);
    // What is read once the device has gone may be anything, though the file of its memory is still mapped.
    machine.unplug(ADDRESS);
    memory.write_all_at(&[0xff; 4096], 0).expect("painted");
    assert!(sweep(&mut source, &mut shadow).is_err());
    wait_for_text(&mut source, SurfaceState::Gone, "is not there");
    let memory = machine.plug(ADDRESS);
    wait_for(&mut source, |view| *view == live());
    memory.write_all_at(&[9; 64], 0).expect("painted");
    assert!(sweep(&mut source, &mut vec![9; SIZE.pixels() * 4]).expect("swept").len() > 200);
    // Memory that shrinks under a scan is found out by it, and by who follows the device.
    memory.set_len(4096).expect("shrunk");
    assert!(sweep(&mut source, &mut shadow).is_err());
    wait_for_text(
        &mut source,
        SurfaceState::Faulty,
        "its memory here (BAR 2 of 0000:00:07.0) has 4096 bytes",
    );
    memory.set_len(BYTES).expect("grown");
    wait_for(&mut source, |view| *view == live());
    // One that was pulled without a word reads as ones.
    fs::write(machine.device(ADDRESS).join("config"), [0xff; 64]).expect("written");
    wait_for_text(&mut source, SurfaceState::Gone, "was pulled out");
    clock::poll_for(Duration::from_millis(600), || {
        assert!(matches!(source.view(clock::now()), View::Dark { .. }), "it is not there");
        None::<()>
    });
}

#[test]
fn what_is_no_ivshmem_device_is_said() {
    for (file, text, part) in [
        ("vendor", "0x8086\n", "is a device 8086:1110 and no ivshmem"),
        ("resource", "0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n", "has no memory in its BAR 2"),
        ("resource", "nonsense", "has no memory in its BAR 2"),
    ] {
        let machine = Machine::new();
        machine.plug(ADDRESS);
        fs::write(machine.device(ADDRESS).join(file), text).expect("written");
        let control = control();
        let mut source = machine.watch(&control, "mode=320x200:xrgb8888");
        wait_for_text(&mut source, SurfaceState::Faulty, part);
    }
    // A device that was plugged in while the machine runs is enabled.
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let enable = machine.device(ADDRESS).join("enable");
    fs::write(&enable, "0\n").expect("written");
    let control = control();
    let mut source = machine.watch(&control, "mode=320x200:xrgb8888");
    wait_for(&mut source, |view| *view == live());
    assert_eq!(fs::read_to_string(&enable).expect("read"), "1");
}

#[test]
fn a_port_says_the_mode_and_who_watches_is_told() {
    let machine = Machine::new();
    let memory = machine.plug(ADDRESS);
    let said = machine.port("web", |to| {
        tell(to, &hello());
        tell(to, &FromHost::Mode(mode()));
    });
    let control = control();
    let mut source = machine.watch(&control, &machine.port_option("web"));
    wait_for(&mut source, |view| *view == live());
    memory.write_all_at(&[1, 2, 3, 0], 0).expect("painted");
    assert_eq!(sweep(&mut source, &mut vec![0; SIZE.pixels() * 4]).expect("swept"), [0]);
    let next = || said.recv_timeout(LIMIT).expect("said");
    assert_eq!(next(), FromAppliance::Hello { version: 1 });
    assert_eq!(next(), FromAppliance::Watch { on: true });
    // Nobody looks for a while.
    assert_eq!(next(), FromAppliance::Watch { on: false });
    source.view(clock::now());
    assert_eq!(next(), FromAppliance::Watch { on: true });
}

#[test]
fn lies_about_modes_are_never_shown() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let beyond = "claims pixels up to byte 256000 of 255999 bytes";
    for (at, (mode, part)) in [
        (Mode { vram_bytes: 255_999, ..mode() }, beyond),
        (Mode { vram_bytes: u64::MAX, height: 900, ..mode() }, "has 1048576 bytes"),
        (Mode { vram_bytes: u64::MAX, offset_bytes: u64::MAX, ..mode() }, "beyond all memory"),
        (Mode { stride_bytes: 1279, ..mode() }, "in a row of 1279 bytes"),
        (Mode { width: u16::MAX, ..mode() }, "claims a screen of 65535x200"),
        (Mode { pci: Some("/dev/\u{1b}mem".into()), ..mode() }, "no PCI address"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("lie{at}");
        let (sender, modes) = channel();
        machine.port(&name, move |to| {
            tell(to, &hello());
            tell(to, &FromHost::Mode(modes.recv().expect("a mode")));
            tell(to, &FromHost::Mode(modes.recv().expect("a mode")));
        });
        let control = control();
        let mut source = machine.watch(&control, &machine.port_option(&name));
        sender.send(mode).expect("sent");
        wait_for_text(&mut source, SurfaceState::Faulty, part);
        sender.send(self::mode()).expect("sent");
        wait_for(&mut source, |view| *view == live());
    }
}

#[test]
fn a_guest_that_restarts_is_followed_to_another_device() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let (sender, told) = channel::<FromHost>();
    machine.port("web", move |to| {
        tell(to, &hello());
        while let Ok(message) = told.recv() {
            tell(to, &message);
        }
    });
    let control = control();
    let mut source = machine.watch(&control, &machine.port_option("web"));
    let send = |message| sender.send(message).expect("sent");
    send(FromHost::Mode(mode()));
    wait_for(&mut source, |view| *view == live());
    send(FromHost::Event { name: "SHUTDOWN".into() });
    send(FromHost::Dark { state: "gone".into(), text: "it has\nended".into() });
    wait_for_text(&mut source, SurfaceState::Gone, "it has ended");
    machine.unplug(ADDRESS);
    let memory = machine.plug("0000:00:09.0");
    memory.write_all_at(&[5; 4], 0).expect("painted");
    send(FromHost::Mode(Mode { pci: Some("0000:00:09.0".into()), ..mode() }));
    wait_for(&mut source, |view| *view == live());
    assert_eq!(sweep(&mut source, &mut vec![0; SIZE.pixels() * 4]).expect("swept"), [0]);
    send(FromHost::Mode(Mode { pci: Some("0000:00:0a.0".into()), ..mode() }));
    wait_for_text(&mut source, SurfaceState::Gone, "0000:00:0a.0 is not there");
}

#[test]
fn a_host_s_side_that_goes_is_said_and_found_again() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let control = control();
    let mut source = machine.watch(&control, &machine.port_option("web"));
    wait_for_text(&mut source, SurfaceState::Gone, "cannot be opened: No such file");
    let mut clients = 0;
    machine.port("web", move |to| {
        clients += 1;
        match clients {
            1 => {
                tell(to, &hello());
                tell(to, &FromHost::Mode(mode()));
                clock::wait_until(clock::now() + Duration::from_millis(600));
                to.shutdown(std::net::Shutdown::Both).expect("gone");
            }
            2 => tell(to, &FromHost::Hello { version: 2, guest: "web".into(), input: true, power: vec![] }),
            3 => tell(to, &FromHost::Hello { version: 1, guest: "db".into(), input: true, power: vec![] }),
            _ => tell(to, &FromHost::Mode(mode())),
        }
    });
    wait_for(&mut source, |view| *view == live());
    wait_for_text(&mut source, SurfaceState::Connecting, "is away; waiting for it to come back");
    wait_for_text(&mut source, SurfaceState::Faulty, "speaks version 2 and not 1");
    wait_for_text(&mut source, SurfaceState::Faulty, "speaks for the guest `db`, which is another");
    wait_for(&mut source, |view| *view == live());
}

#[test]
fn garbage_and_floods_cost_their_own_source_alone() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let mut clients = 0;
    machine.port("bad", move |to| {
        clients += 1;
        let mut to = to;
        let _ = match clients {
            1 => to.write_all(&[b'x'; 4 * CHANNEL_LINE_MAX]),
            2 => to.write_all("{\"execute\":\"quit\"}\n".repeat(1000).as_bytes()),
            3 => to.write_all("{\"taken\":{\"number\":18446744073709551615}}\n".repeat(1000).as_bytes()),
            4 => to.write_all(&b"[".repeat(60_000)),
            _ => {
                tell(to, &hello());
                let event = line(&FromHost::Event { name: "RTC_CHANGE".into() });
                let _ = to.write_all(&event.repeat(20_000));
                tell(to, &FromHost::Refused { number: Some(7), text: "?".into() });
                tell(to, &FromHost::Mode(mode()));
                Ok(())
            }
        };
        if clients < 5 {
            clock::wait_until(clock::now() + Duration::from_millis(300));
            let _ = to.shutdown(std::net::Shutdown::Both);
        }
    });
    machine.port("good", |to| {
        tell(to, &hello());
        tell(to, &FromHost::Mode(mode()));
    });
    let control = control();
    let mut bad = machine.watch(&control, &machine.port_option("bad"));
    let Ok(SourceSpec::Ivshmem(spec)) = format!("ivshmem:{ADDRESS}?{}", machine.port_option("good")).parse()
    else {
        panic!("a source");
    };
    let start = clock::now();
    let mut good = control.watch_device_of(&machine.root(), SourceId(2), spec);
    wait_for(&mut good, |view| *view == live());
    assert!(clock::now().saturating_since(start) < Duration::from_secs(2), "nonsense holds up nobody");
    wait_for_text(&mut bad, SurfaceState::Faulty, "talks nonsense: not a message of this channel");
    wait_for_text(
        &mut bad,
        SurfaceState::Faulty,
        "talks nonsense: input 18446744073709551615 taken, never sent",
    );
    wait_for(&mut bad, |view| *view == live());
}

#[test]
fn input_is_numbered_answered_and_its_releases_survive() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let (sender, told) = channel::<Option<FromHost>>();
    let said = machine.port("web", move |to| {
        tell(to, &hello());
        tell(to, &FromHost::Mode(mode()));
        while let Ok(Some(message)) = told.recv() {
            tell(to, &message);
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let control = control();
    let mut source = machine.watch(&control, &machine.port_option("web"));
    wait_for(&mut source, |view| *view == live());
    let act = |input, number| {
        control.act(Action { source: ID, at: clock::now(), input, size: SIZE, number });
    };
    let key = |down| InputKind::Key { code: 30, down };
    act(key(true), Some(11));
    act(InputKind::MoveTo { x: 1, y: 2 }, Some(12));
    act(key(false), Some(13));
    let counters = |is_it: &dyn Fn(&InputCounters) -> bool| {
        clock::poll_for(LIMIT, || control.input(ID).filter(is_it))
            .unwrap_or_else(|| panic!("{:?}", control.input(ID)))
    };
    counters(&|counters| counters.pending == 0);
    sender.send(Some(FromHost::Refused { number: Some(2), text: "no tablet".into() })).expect("sent");
    sender.send(Some(FromHost::Taken { number: 1 })).expect("sent");
    let taken = counters(&|counters| counters.accepted == 1);
    assert_eq!(taken, InputCounters { pending: 0, accepted: 1, dropped: 1 });
    let accepted: Vec<_> = std::iter::from_fn(|| control.poll_accepted()).map(|one| one.number).collect();
    assert_eq!(accepted, [11]);
    // The press of a key and its release are under way when the other side goes: the release is said again.
    act(key(true), Some(14));
    counters(&|counters| counters.pending == 0);
    sender.send(None).expect("sent");
    let input = |number, event| FromAppliance::Input { number, width: 320, height: 200, event };
    let is_input = |message: &FromAppliance| matches!(message, FromAppliance::Input { .. });
    let next = || loop {
        let message = said.recv_timeout(LIMIT).expect("said");
        if is_input(&message) {
            break message;
        }
    };
    let heard: Vec<_> = (0..5).map(|_| next()).collect();
    let key = |down| Event::Key { code: 30, down };
    let first = [
        input(1, key(true)),
        input(2, Event::MoveTo { x: 1, y: 2 }),
        input(3, key(false)),
        input(4, key(true)),
    ];
    assert_eq!(heard[..4], first);
    assert_eq!(heard[4], input(1, key(false)), "in a new conversation");
}

#[test]
fn input_that_nobody_answers_is_bounded_and_given_up() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let said = machine.port("web", |to| {
        tell(to, &hello());
        tell(to, &FromHost::Mode(mode()));
    });
    let control = control();
    let mut source = machine.watch(&control, &machine.port_option("web"));
    wait_for(&mut source, |view| *view == live());
    let more = PORT_INPUT_MAX as u64 + 6;
    for at in 0..more {
        let input = InputKind::Key { code: 30, down: at % 2 == 0 };
        control.act(Action { source: ID, at: clock::now(), input, size: SIZE, number: Some(at) });
    }
    let counters = |is_it: &dyn Fn(&InputCounters) -> bool| {
        clock::poll_for(LIMIT, || control.input(ID).filter(is_it))
            .unwrap_or_else(|| panic!("{:?}", control.input(ID)))
    };
    assert_eq!(counters(&|counters| counters.pending == 6).dropped, 0);
    // Presses that wait grow too old; releases never do, and go as soon as there is room.
    assert_eq!(counters(&|counters| counters.pending == 0).accepted, 0);
    let is_input = |message: &FromAppliance| matches!(message, FromAppliance::Input { .. });
    let said: Vec<_> = std::iter::from_fn(|| said.recv_timeout(Duration::from_millis(500)).ok()).collect();
    assert_eq!(said.iter().filter(|message| is_input(message)).count() as u64, more - 3);
    assert_eq!(control.poll_accepted(), None);
}

#[test]
fn who_may_not_type_sends_nothing() {
    let machine = Machine::new();
    machine.plug(ADDRESS);
    let said = machine.port("web", |to| {
        tell(to, &FromHost::Hello { version: 1, guest: "web".into(), input: false, power: vec![] });
        tell(to, &FromHost::Mode(mode()));
    });
    let control = control();
    let mut source = machine.watch(&control, &machine.port_option("web"));
    wait_for(&mut source, |view| *view == live());
    let input = InputKind::Key { code: 30, down: true };
    control.act(Action { source: ID, at: clock::now(), input, size: SIZE, number: Some(1) });
    clock::poll_for(LIMIT, || control.input(ID).filter(|counters| counters.dropped == 1)).expect("dropped");
    assert!(!said.try_iter().any(|message| matches!(message, FromAppliance::Input { .. })));
}
