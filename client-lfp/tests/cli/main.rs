//! The program itself, against a server of a few lines on the loopback interface.

mod server;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};

use lfp_proto::frame::{Button, InputKind};
use lfp_proto::geometry::Size;
use serde_json::Value;
use server::{Manner, pixel, start};

/// Runs the program; `arguments` are separated by spaces.
fn client(server: SocketAddr, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_client-lfp"))
        .arg(server.to_string())
        .args(arguments.split(' '))
        .output()
        .expect("the program runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn size(width: u16, height: u16) -> Size {
    Size::new(width, height).expect("a legal size")
}

/// A file name of this test alone, removed when dropped.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id())))
    }

    fn path(&self) -> std::path::Display<'_> {
        self.0.display()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_screen_is_settled_written_mirrored_and_reported() {
    let (address, server) = start(Manner::Serve, size(330, 200));
    let (png_file, mirror) = (TempFile::new("screen.png"), TempFile::new("screen.shm"));
    let arguments = format!(
        "--plain --service demo --place desk --png {} --mirror {} --settle 100 --json",
        png_file.path(),
        mirror.path()
    );
    let output = client(address, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));

    let report = json(&output);
    assert_eq!((&report["exact"], &report["state"]), (&Value::Bool(true), &Value::from("ended")));
    assert_eq!((&report["width"], &report["height"]), (&330.into(), &200.into()));
    assert_eq!((&report["surface"], &report["epoch"]), (&"live".into(), &1.into()));
    assert_eq!(report["cells_applied"], 21 * 13);
    let ms = |name: &str| report[name].as_f64().expect("a time");
    assert!(0.0 < ms("first_picture_ms") && ms("first_picture_ms") <= ms("exact_ms"));
    assert!(ms("exact_ms") <= ms("settle_ms"));
    assert!(report["bytes_down"].as_u64() > Some(330 * 200 * 3) && report["bytes_up"].as_u64() > Some(2400));

    let file = std::io::BufReader::new(std::fs::File::open(&png_file.0).expect("a PNG file"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG header");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("a PNG picture");
    let shm = std::fs::read(&mirror.0).expect("a mirror");
    let header =
        lfp_proto::shm::Header::parse(shm[..lfp_proto::shm::FIELDS_BYTES].try_into().expect("long enough"));
    assert_eq!(header.expect("a header").state, lfp_proto::shm::State::Still);
    for (at, rgb) in pixels.chunks(3).enumerate() {
        let [blue, green, red, _] = pixel(at % 330, at / 330).to_le_bytes();
        assert_eq!(rgb, [red, green, blue], "pixel {at} of the PNG file");
        let mirrored = &shm[lfp_proto::shm::HEADER_BYTES + at * 4..][..4];
        assert_eq!(mirrored, [blue, green, red, 0], "pixel {at} of the mirror");
    }

    let seen = server.join().expect("the server's view");
    let hello = seen.hello.expect("a hello");
    assert_eq!((hello.service.as_str(), hello.place.as_str()), ("demo", "desk"));
    assert!(hello.receive_buffer >= 64 * 1024 && seen.closed);
}

#[test]
fn an_overlay_is_drawn_over_what_is_written() {
    let (address, server) = start(Manner::Serve, size(64, 32));
    let png_file = TempFile::new("overlay.png");
    let output = client(address, &format!("--plain --png {} --overlay --settle 100", png_file.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    server.join().expect("the server's view");
    let file = std::io::BufReader::new(std::fs::File::open(&png_file.0).expect("a PNG file"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG header");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("a PNG picture");
    let at = |x: usize, y: usize| [0, 1, 2].map(|channel| pixels[(y * 64 + x) * 3 + channel]);
    // The server says of no region what it is: one grey region, a quarter of each pixel, with a line at its top and left.
    assert_eq!((at(5, 0), at(0, 20)), ([0x80; 3], [0x80; 3]));
    let [blue, green, red, _] = pixel(40, 24).to_le_bytes();
    assert_eq!(
        at(40, 24),
        [red, green, blue].map(|channel| ((u16::from(channel) * 12 + 0x80 * 4) / 16) as u8)
    );
    // It came less than a second ago: a mark in each cell.
    assert_eq!(at(2, 2), [0xff, 0x20, 0x20]);
}

#[test]
fn memory_is_the_picture_and_a_little() {
    const LITTLE: u64 = 8 * 1024 * 1024;
    for (manner, size) in [(Manner::Serve, size(64, 64)), (Manner::Large, size(1280, 800))] {
        let (address, _server) = start(manner, size);
        let png_file = TempFile::new("memory.png");
        let output = client(address, &format!("--plain --json --settle 10 --png {}", png_file.path()));
        assert!(output.status.success(), "{}", stderr(&output));
        let peak = json(&output)["peak_memory_bytes"].as_u64().expect("Linux says so");
        let most = size.pixels() as u64 * 4 + LITTLE;
        assert!(peak <= most, "{peak} bytes for {size:?}, where {most} are the aim");
        println!("{size:?}: {} KiB beside the picture", (peak - size.pixels() as u64 * 4) / 1024);
    }
}

#[test]
fn input_is_done_in_order_and_taken() {
    let (address, server) = start(Manner::Serve, size(32, 32));
    let output = client(address, "--plain --type aB --click 5,6 --key ctrl-c --type-interval 1 --settle 50");
    assert!(output.status.success(), "{}", stderr(&output));
    let key = |code, down| InputKind::Key { code, down };
    let button = |down| InputKind::Button { button: Button::Left, down };
    let expected = [
        [key(30, true), key(30, false)].as_slice(),
        &[key(42, true), key(48, true), key(48, false), key(42, false)],
        &[InputKind::MoveTo { x: 5, y: 6 }, button(true), button(false)],
        &[key(29, true), key(46, true), key(46, false), key(29, false)],
        &[InputKind::FocusLost],
    ]
    .concat();
    assert_eq!(server.join().expect("the server's view").input, expected);
}

#[test]
fn each_failure_has_its_exit_code_and_says_what_to_do() {
    let exits = |manner, arguments: &str, code: i32, part: &str| {
        let (address, server) = start(manner, size(64, 64));
        let output = client(address, arguments);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(part), "`{part}` is not in: {}", stderr(&output));
        drop(server);
        output
    };
    exits(Manner::Serve, "--plain --server-key x", 2, "six groups of four");
    exits(Manner::Refuse, "--plain", 1, "no such service: there is `a`");
    let output = exits(
        Manner::Close,
        "--plain --json --reconnect 0",
        3,
        "was closed: the server is shutting down for tonight\n",
    );
    assert_eq!(json(&output)["state"], "closed");
    exits(Manner::Dark, "--plain --settle 100 --seconds 0.5", 4, "no-framebuffer: the guest is in text mode");
    exits(Manner::Dark, "--plain --seconds 0.3 --png /nowhere/x.png", 4, "no picture");
    exits(Manner::Unsettled, "--plain --settle 100 --seconds 0.5", 4, "not proven exact");
    let png_file = TempFile::new("restless.png");
    let restless = format!("--plain --settle 100 --seconds 0.5 --png {}", png_file.path());
    exits(Manner::Unsettled, &restless, 4, "--seconds N without --settle");
    assert!(png_file.0.exists(), "what there was is written all the same");
    exits(Manner::Serve, "--plain --settle 10 --png /nowhere/x.png", 5, "/nowhere/x.png");
    exits(Manner::Serve, "--plain --mirror /nowhere/x.shm", 5, "/nowhere/x.shm");
    let dark = "did not reach the guest: the screen is no-framebuffer: the guest is in text mode";
    exits(Manner::Dark, "--plain --type ab --seconds 0.3", 6, dark);
    let output = exits(Manner::Deny, "--plain --type ab --settle 50 --json", 6, "another session holds");
    let report = json(&output);
    assert_eq!((&report["exact"], &report["input"]["dropped_by_server"]), (&true.into(), &2.into()));
    assert!(report["error"].as_str().is_some_and(|text| text.contains("2 input events")), "{report}");
    let output = exits(
        Manner::Serve,
        "--plain --type abcdef --type-interval 900 --seconds 1 --json",
        6,
        "time was up",
    );
    assert!(json(&output)["input"]["undone"].as_u64() >= Some(2));
}

#[test]
fn usage_has_one_exit_code() {
    for arguments in
        ["h:99999 --plain", "h --plain", "127.0.0.1:1 --server-key x", "h:1 --plain --nonsense", "--plain"]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_client-lfp")).args(arguments.split(' ')).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", stderr(&output));
        assert!(stderr(&output).contains("client-lfp --help"), "{}", stderr(&output));
    }
}

#[test]
fn a_pointer_beyond_the_screen_is_warned_of() {
    let (address, _server) = start(Manner::Serve, size(32, 32));
    let output = client(address, "--plain --move 31,31 --click 32,5 --settle 50 --json");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("warning: pixel 32,5 is not on the screen of 32x32"),
        "{}",
        stderr(&output)
    );
    assert_eq!(json(&output)["warnings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn who_waits_without_a_terminal_is_told_now_and_then() {
    let (address, _server) = start(Manner::Silent, size(32, 32));
    let output = client(address, "--plain --connect-timeout 5.3");
    assert!(stderr(&output).contains("5 s   asking 127.0.0.1:"), "{}", stderr(&output));
}

#[test]
fn who_wants_quiet_has_it() {
    let (address, _server) = start(Manner::Silent, size(32, 32));
    let output = client(address, "--plain --connect-timeout 5.3 --quiet");
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
    let run = |stdout: std::process::Stdio| {
        let (address, _server) = start(Manner::Serve, size(32, 32));
        let mut command = Command::new(env!("CARGO_BIN_EXE_client-lfp"));
        command.args([&address.to_string(), "--plain", "--json"]).stdout(stdout);
        let output = command.stderr(std::process::Stdio::piped()).output().expect("the program runs");
        (output.status.code(), stderr(&output))
    };
    let (reader, writer) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    drop(reader);
    assert_eq!(run(std::os::fd::OwnedFd::from(writer).into()), (Some(0), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full is there");
    let (code, said) = run(full.into());
    assert_eq!(code, Some(5));
    assert!(said.contains("cannot write standard output"), "{said}");
}

#[test]
fn an_interrupt_ends_the_session_in_order() {
    let (address, server) = start(Manner::Serve, size(64, 64));
    let mirror = TempFile::new("interrupt.shm");
    let mut child = Command::new(env!("CARGO_BIN_EXE_client-lfp"))
        .args([&address.to_string(), "--plain", "--json", "--mirror", &mirror.path().to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    // It is up once it has painted: waits on the file for at most as long as the server does for the client.
    while !server.is_finished() && !paints(&mirror.0) {
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success() && server.join().expect("the server's view").closed);
    assert!(child.wait().expect("an end").success());
}

/// Whether the mirror shows a picture.
fn paints(mirror: &Path) -> bool {
    let bytes = std::fs::read(mirror).unwrap_or_default();
    let header = bytes.first_chunk().map(lfp_proto::shm::Header::parse);
    matches!(header, Some(Ok(header)) if header.state == lfp_proto::shm::State::Painting)
}

#[test]
fn a_port_where_nobody_listens_is_told_from_silence() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let output = client(address, "--plain --connect-timeout 0.3");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no answer within 300ms"), "{}", stderr(&output));
    drop(silent);
    let output = client(address, "--plain --connect-timeout 0.3 --json");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nothing listens"), "{}", stderr(&output));
    assert_eq!(json(&output)["state"], "no-answer");
}

#[test]
fn help_and_version_are_printed() {
    for (option, part) in [("--help", "Exit codes"), ("--version", "client-lfp 0.")] {
        let output = Command::new(env!("CARGO_BIN_EXE_client-lfp")).arg(option).output().expect("runs");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(part));
    }
}

#[test]
fn a_capture_holds_every_datagram_in_its_order() {
    let (address, server) = start(Manner::Serve, size(330, 200));
    let capture = TempFile::new("capture");
    let arguments = format!("--plain --settle 0 --json --capture {}", capture.path());
    let output = client(address, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    server.join().expect("the server ends");
    let bytes = std::fs::read(&capture.0).expect("the capture");
    let (head, mut rest) = bytes.split_at(16);
    assert!(head.starts_with(b"LFPCAPT1") && head[8..] != [0; 8]);
    let (mut before, mut counts, mut sizes) = (0, [0_u64; 2], [0_u64; 2]);
    while let Some((head, tail)) = rest.split_at_checked(11) {
        let at = u64::from_le_bytes(head[..8].try_into().expect("8 bytes"));
        let (len, way) = (usize::from(u16::from_le_bytes([head[8], head[9]])), usize::from(head[10]));
        assert!(at >= before && len >= 18 && way + counts[1] as usize > 0, "the first is the client's own");
        before = at;
        counts[way] += 1;
        sizes[way] += len as u64 + 28;
        rest = &tail[len..];
    }
    assert!(rest.is_empty());
    // The goodbye is not in it.
    let report = json(&output);
    let told = |name: &str| report[name].as_u64().expect("a number");
    assert!(counts[0] > 2 && counts[0] <= told("datagrams_down") && sizes[0] <= told("bytes_down"));
    assert!(counts[1] < told("datagrams_up") && sizes[1] < told("bytes_up"));
    let records: u64 = ["raw", "bitmap", "colour"]
        .iter()
        .filter_map(|name| report["techniques"][name]["regions"].as_u64())
        .sum();
    assert!(records >= told("records_applied") && told("records_applied") > 0);
    let again = client(address, &arguments);
    assert!(stderr(&again).contains("cannot write"), "no file is written over: {}", stderr(&again));
}
