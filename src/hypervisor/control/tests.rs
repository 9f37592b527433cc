//! The control thread against monitors that misbehave: each is a thread of this process on a socket of its own, and
//! the video memory is a memfd of this process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use lfp_proto::frame::{InputKind, SurfaceState};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Value, json};

use super::*;
use crate::geometry::{CellSet, Size};
use crate::hypervisor::{Source, Surface, View};
use crate::limits::{MONITOR_GREETING, QMP_LINE_MAX, TEXT_MAX};
use crate::pixel::PixelFormat;

const LIMIT: Duration = Duration::from_secs(20);
const VRAM_BYTES: u64 = 1024 * 1024;
const MODE: [u16; 11] = [0xb0c5, 320, 200, 32, 0x41, 0, 320, 0, 0, 0, 0x10];
const SIZE: Size = Size { width: 320, height: 200 };

/// What a fake monitor does with a command: the value to return, or `None` to close.
type Answer = Box<dyn FnMut(&str, &Value) -> Option<String> + Send>;

/// A folder with a monitor's socket in it.
struct Fake {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fake {
    /// Serves each client in turn with what `serve` does, until that returns false.
    fn start(mut serve: impl FnMut(UnixStream) -> bool + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("monitor");
        let listener = UnixListener::bind(&path).expect("bound");
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if !serve(client) {
                    break;
                }
            }
        });
        Self { path, _folder: folder }
    }

    fn watch(&self, control: &Control, id: SourceId) -> QemuSource {
        control.watch(id, self.path.clone())
    }
}

/// Greets, then answers each command with what `answer` says; false once it said `None`.
fn converse(client: UnixStream, answer: &mut Answer) -> bool {
    let mut out = client.try_clone().expect("cloned");
    if writeln!(out, r#"{{"QMP": {{"version": {{"qemu": {{"major": 10, "minor": 0, "micro": 2}}}}}}}}"#)
        .is_err()
    {
        return true;
    }
    for line in BufReader::new(client).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).expect("a command");
        let name = command["execute"].as_str().expect("a name");
        let Some(text) = answer(name, &command["arguments"]) else { return false };
        if out.write_all(text.replace("ID", &command["id"].to_string()).as_bytes()).is_err() {
            return true;
        }
    }
    true
}

/// A return, with the command's number to be put in the place of `ID`.
fn returns(value: &Value) -> Option<String> {
    Some(format!("{{\"return\": {value}, \"id\": ID}}\n"))
}

/// Answers as QEMU does, for a VGA in `slot` in this mode.
fn answer_as_qemu(slot: u8, mode: [u16; 11], name: &str, arguments: &Value) -> Option<String> {
    let line = arguments["command-line"].as_str().unwrap_or_default();
    match name {
        "query-status" => returns(&json!({ "status": "running", "running": true })),
        "query-mice" => returns(&json!([{ "current": true, "absolute": true }])),
        "query-pci" => returns(&json!([{ "devices": [{
            "bus": 0, "slot": slot, "function": 0, "class_info": { "class": 0x0300 },
            "regions": [
                { "bar": 0, "size": VRAM_BYTES, "address": 0xfd00_0000_u32, "type": "memory" },
                { "bar": 2, "size": 4096, "address": 0xfeb0_0000_u32, "type": "memory" },
            ],
        }] }])),
        "human-monitor-command" if line == "xp /11hx 0xfeb00500" => {
            let words: Vec<String> = mode.iter().map(|word| format!("{word:#06x}")).collect();
            returns(&json!(format!("00000000feb00500: {}\r\n", words.join(" "))))
        }
        _ => returns(&json!({})),
    }
}

/// A monitor of a VGA in `slot`, and its video memory.
fn healthy(slot: u8) -> (Fake, File) {
    let vram = vram(slot);
    let mut answer: Answer = Box::new(move |name, arguments| answer_as_qemu(slot, MODE, name, arguments));
    (Fake::start(move |client| converse(client, &mut answer)), vram)
}

/// A monitor of a VGA in `slot` whose answers `change` may replace.
fn altered(
    slot: u8,
    mut change: impl FnMut(&str, &Value) -> Option<Option<String>> + Send + 'static,
) -> (Fake, File) {
    let vram = vram(slot);
    let mut answer: Answer = Box::new(move |name, arguments| {
        change(name, arguments).unwrap_or_else(|| answer_as_qemu(slot, MODE, name, arguments))
    });
    (Fake::start(move |client| converse(client, &mut answer)), vram)
}

/// Every test has a slot of its own, because the memfds of all are in this one process.
fn vram(slot: u8) -> File {
    let name = format!("0000:00:{slot:02x}.0/vga.vram");
    let memfd = File::from(memfd_create(name.as_str(), MFdFlags::MFD_CLOEXEC).expect("a memfd"));
    memfd.set_len(VRAM_BYTES).expect("sized");
    memfd
}

pub(in crate::hypervisor) fn control() -> Control {
    Control::start(|| ()).expect("started")
}

pub(in crate::hypervisor) fn live() -> View {
    View::Live(Surface { size: SIZE, stride_bytes: 1280, format: PixelFormat::Xrgb8888, offset_bytes: 0 })
}

/// Waits until the source shows what `is_it` says; panics with the last view if it never does.
pub(in crate::hypervisor) fn wait_for(source: &mut QemuSource, is_it: impl Fn(&View) -> bool) -> View {
    let seen = clock::poll_for(LIMIT, || Some(source.view(clock::now())).filter(&is_it));
    seen.unwrap_or_else(|| panic!("it shows {:?}", source.view(clock::now())))
}

pub(in crate::hypervisor) fn wait_for_text(source: &mut QemuSource, state: SurfaceState, part: &str) {
    let view = wait_for(
        source,
        |view| matches!(view, View::Dark { state: is, text } if *is == state && text.contains(part)),
    );
    assert!(
        matches!(view, View::Dark { text, .. } if text.len() <= TEXT_MAX && !text.contains(char::is_control))
    );
}

const ID: SourceId = SourceId(1);

#[test]
fn a_guest_is_found_and_swept() {
    let (fake, vram) = healthy(1);
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
    let View::Live(surface) = source.view(clock::now()) else { panic!("not live") };
    let (mut shadow, mut changed) = (vec![0; surface.shadow_bytes()], CellSet::new(SIZE.grid()));
    vram.write_all_at(&[1, 2, 3, 0], 1280 * 16 + 64).expect("painted");
    source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
    assert_eq!(changed.iter().collect::<Vec<_>>(), [SIZE.grid().index(1, 1)]);
    // Memory that goes is a state, and memory that comes back a picture.
    vram.set_len(4096).expect("shrunk");
    assert!(source.sweep(&surface, &mut shadow, &mut changed).is_err());
    wait_for_text(&mut source, SurfaceState::Faulty, "video memory should reach up to byte");
    vram.set_len(VRAM_BYTES).expect("grown");
    wait_for(&mut source, |view| *view == live());
}

#[test]
fn a_monitor_that_somebody_else_holds_is_waited_for_and_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("monitor");
    let _vram = vram(2);
    // Listens and accepts nobody, as QEMU does while it has a client.
    let listener = UnixListener::bind(&path).expect("bound");
    let (healthy, _other) = healthy(3);
    let control = control();
    let mut held = control.watch(ID, path);
    let mut other = healthy.watch(&control, SourceId(2));
    let start = clock::now();
    wait_for(&mut other, |view| *view == live());
    assert!(clock::now().saturating_since(start) < MONITOR_GREETING, "a silent monitor holds up nobody");
    wait_for_text(
        &mut held,
        SurfaceState::Connecting,
        "did not greet within 2 s: another client may hold it",
    );
    let mut answer: Answer = Box::new(|name, arguments| answer_as_qemu(2, MODE, name, arguments));
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            converse(client, &mut answer);
        }
    });
    wait_for(&mut held, |view| *view == live());
}

#[test]
fn a_silent_monitor_is_given_up_and_tried_again() {
    let mut commands = 0;
    let (fake, _vram) = altered(4, move |_, _| {
        commands += 1;
        // The third command is never answered; what comes after that connection is.
        (commands == 3).then(|| Some(String::new()))
    });
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for_text(&mut source, SurfaceState::Connecting, "has not answered for 5 s");
    wait_for(&mut source, |view| *view == live());
}

#[test]
fn nonsense_is_a_state_and_tried_again() {
    for (slot, said) in [
        (5, "HTTP/1.1 400 Bad Request\r\n".to_owned()),
        (6, "x".repeat(QMP_LINE_MAX + 1)),
        (7, "{\"return\": {}}\n".to_owned()),
    ] {
        let _vram = vram(slot);
        let mut clients = 0;
        let mut answer: Answer = Box::new(move |name, arguments| answer_as_qemu(slot, MODE, name, arguments));
        let fake = Fake::start(move |mut client| {
            clients += 1;
            if clients > 1 {
                return converse(client, &mut answer);
            }
            // It may have hung up already.
            let _ = client.write_all(said.as_bytes());
            true
        });
        let control = control();
        let mut source = fake.watch(&control, ID);
        wait_for_text(&mut source, SurfaceState::Faulty, "said ");
        wait_for(&mut source, |view| *view == live());
    }
}

#[test]
fn events_come_between_and_an_end_in_the_middle_of_an_answer_is_a_guest_gone() {
    let mut polls = 0;
    let (fake, _vram) = altered(8, move |name, arguments| {
        polls += u32::from(name == "human-monitor-command");
        if polls > 12 {
            return Some(None);
        }
        let events = "{\"event\": \"RTC_CHANGE\", \"data\": {}, \"timestamp\": {}}\r\n".repeat(100);
        let answer = answer_as_qemu(8, MODE, name, arguments)?;
        Some(Some(format!("{events}{answer}{events}")))
    });
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
    wait_for_text(&mut source, SurfaceState::Gone, "has ended or closed its monitor");
}

#[test]
fn lying_geometry_is_never_shown() {
    for (slot, mode, state, part) in [
        (9, [0xb0c5, 4096, 4096, 32, 0x41, 0, 4096, 0, 0, 0, 0], SurfaceState::Faulty, "claims pixels up to"),
        (
            10,
            [0xb0c5, 320, 200, 32, 0x41, 0, 320, 0, 0xffff, 0xffff, 0],
            SurfaceState::Faulty,
            "claims pixels up to",
        ),
        (11, [0xb0c5, 0xffff, 1, 32, 0x41, 0, 0, 0, 0, 0, 0], SurfaceState::Faulty, "claims a screen of"),
        (12, [0xb0c5, 320, 200, 8, 0x41, 0, 320, 0, 0, 0, 0], SurfaceState::NoFramebuffer, "palette"),
        (13, [0xb0c5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], SurfaceState::NoFramebuffer, "text mode"),
        (14, [0; 11], SurfaceState::NoFramebuffer, "cannot be read"),
    ] {
        let (fake, _vram) =
            altered(slot, move |name, arguments| Some(answer_as_qemu(slot, mode, name, arguments)));
        let control = control();
        let mut source = fake.watch(&control, ID);
        wait_for_text(&mut source, state, part);
    }
}

#[test]
fn memory_that_is_less_than_the_monitor_claims_is_never_read_beyond() {
    let slot = 15;
    let name = format!("0000:00:{slot:02x}.0/vga.vram");
    let small = File::from(memfd_create(name.as_str(), MFdFlags::MFD_CLOEXEC).expect("a memfd"));
    small.set_len(8192).expect("sized");
    let mut answer: Answer = Box::new(move |name, arguments| answer_as_qemu(slot, MODE, name, arguments));
    let fake = Fake::start(move |client| converse(client, &mut answer));
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for_text(&mut source, SurfaceState::Faulty, "should reach up to byte 256000, and has 8192 bytes");
}

#[test]
fn a_mode_that_changes_is_followed_and_a_moment_without_one_is_not() {
    let (sender, modes) = std::sync::mpsc::channel();
    let mut mode = MODE;
    let mut blink = 0;
    let (fake, _vram) = altered(16, move |name, arguments| {
        mode = modes.try_recv().unwrap_or(mode);
        let is_mode = arguments["command-line"].as_str().is_some_and(|line| line.starts_with("xp /11hx"));
        blink += u32::from(is_mode);
        // Every fifth look finds the guest between two modes.
        let shown = if blink % 5 == 0 { [0xb0c5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] } else { mode };
        Some(answer_as_qemu(16, shown, name, arguments))
    });
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
    let mut looks = 0;
    clock::poll_for(Duration::from_secs(1), || {
        looks += 1;
        assert_eq!(source.view(clock::now()), live());
        None::<()>
    });
    assert!(looks > 10);
    sender.send([0xb0c5, 160, 100, 16, 0x41, 0, 200, 0, 2, 1, 0x10]).expect("sent");
    let surface = Surface {
        size: Size { width: 160, height: 100 },
        stride_bytes: 400,
        format: PixelFormat::Rgb565,
        offset_bytes: 404,
    };
    wait_for(&mut source, |view| *view == View::Live(surface));
    sender.send([0xb0c5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).expect("sent");
    wait_for_text(&mut source, SurfaceState::NoFramebuffer, "text mode");
}

#[test]
fn a_guest_that_goes_comes_back_on_the_same_path() {
    let (fake, _vram) = healthy(17);
    let control = control();
    let mut source = control.watch(ID, fake.path.with_file_name("later"));
    wait_for_text(&mut source, SurfaceState::Gone, "does not exist: start QEMU with -qmp unix:PATH");
    std::fs::rename(&fake.path, fake.path.with_file_name("later")).expect("renamed");
    wait_for(&mut source, |view| *view == live());
}

#[test]
fn input_arrives_in_order_and_releases_outlive_refusals() {
    let (sender, heard) = std::sync::mpsc::channel();
    let mut refusals = 2;
    let (fake, _vram) = altered(18, move |name, arguments| {
        if name != "input-send-event" {
            return None;
        }
        if refusals > 0 {
            refusals -= 1;
            let refusal =
                "{\"error\": {\"class\": \"GenericError\", \"desc\": \"VM not running\"}, \"id\": ID}\n";
            return Some(Some(format!("{refusal}{{\"event\": \"RESUME\"}}\n")));
        }
        sender.send(arguments["events"].clone()).expect("heard");
        None
    });
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
    let act = |input, number| {
        control.act(Action { source: ID, at: clock::now(), input, size: SIZE, number: Some(number) });
        clock::now()
    };
    act(InputKind::Key { code: 30, down: true }, 1);
    act(InputKind::Key { code: 30, down: false }, 2);
    let given = act(InputKind::MoveTo { x: 160, y: 100 }, 3);
    let mut batches = Vec::new();
    clock::poll_for(LIMIT, || {
        batches.extend(heard.try_iter());
        (batches.len() >= 2).then_some(())
    });
    let key = json!({ "type": "key", "data": { "down": false, "key": { "type": "qcode", "data": "a" } } });
    let axis = |axis, value| json!({ "type": "abs", "data": { "axis": axis, "value": value } });
    assert_eq!(batches, [json!([key]), json!([axis("x", 16_435), axis("y", 16_465)])]);
    let counters = clock::poll_for(LIMIT, || control.input(ID).filter(|counters| counters.accepted == 2));
    assert_eq!(counters, Some(InputCounters { pending: 0, accepted: 2, dropped: 1 }));
    let accepted: Vec<_> = std::iter::from_fn(|| control.poll_accepted()).collect();
    assert_eq!(accepted.iter().map(|accepted| accepted.number).collect::<Vec<_>>(), [2, 3], "each once");
    assert!(
        accepted.iter().all(|accepted| given <= accepted.at && accepted.at <= clock::now()),
        "{accepted:?}"
    );
    let input = InputKind::FocusLost;
    control.act(Action { source: SourceId(9), at: clock::now(), input, size: SIZE, number: None });
    assert_eq!((control.dropped(), control.input(SourceId(9))), (2, None));
}

#[test]
fn stopping_releases_what_is_held() {
    let (sender, heard) = std::sync::mpsc::channel();
    let (fake, _vram) = altered(19, move |name, arguments| {
        if name == "input-send-event" {
            sender.send(arguments["events"][0]["data"].clone()).expect("heard");
        }
        None
    });
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
    let key = InputKind::Key { code: 29, down: true };
    control.act(Action { source: ID, at: clock::now(), input: key, size: SIZE, number: None });
    clock::poll_for(LIMIT, || control.input(ID).filter(|counters| counters.accepted == 1)).expect("pressed");
    control.stop();
    control.stop();
    let ctrl = |down| json!({ "down": down, "key": { "type": "qcode", "data": "ctrl" } });
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [ctrl(true), ctrl(false)]);
    assert_eq!(source.view(clock::now()), live(), "the memory outlives the thread");
}

#[test]
fn a_source_that_is_dropped_is_followed_no_more() {
    let (fake, _vram) = healthy(20);
    let control = control();
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
    drop(source);
    clock::poll_for(LIMIT, || control.input(ID).is_none().then_some(())).expect("forgotten");
    // Its monitor is free for the next.
    let mut source = fake.watch(&control, ID);
    wait_for(&mut source, |view| *view == live());
}
