//! Sources and peers that lie, while somebody else's session goes on.

use std::fs::{File, OpenOptions};
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::harness::{Bench, Client, Link, PATIENCE, Painted, Picture, Server, assert_same, watch};
use crate::many::pattern;

/// A server with an honest source, watched by a client, and another source at `liar`.
struct Neighbours {
    honest: Painted,
    server: Server,
    client: Client,
    turn: u32,
}

impl Neighbours {
    fn new(bench: &Bench, liar: &str) -> Self {
        let honest = Painted::new(&bench.file("honest.fb"), &pattern(640, 480, 0));
        let server = Server::of_services(bench, &[("honest", honest.source().as_str()), ("liar", liar)]);
        let client =
            Client::start(bench, "honest", server.address(), &["--service", "honest", "--seconds", "300"]);
        let mut neighbours = Self { honest, server, client, turn: 0 };
        neighbours.check();
        neighbours
    }

    /// A client of the source that lies, which shows `picture` so far.
    fn victim(&self, bench: &Bench, picture: &Picture) -> Client {
        let args = ["--service", "liar", "--seconds", "300"];
        let mut victim = Client::start(bench, "victim", self.server.address(), &args);
        victim.wait_shows(picture, PATIENCE);
        victim
    }

    /// The honest source still comes through, within the time of a healthy server.
    fn check(&mut self) {
        self.turn += 1;
        let picture = pattern(640, 480, self.turn);
        self.honest.show(&picture);
        self.client.wait_shows(&picture, PATIENCE);
        self.server.assert_running();
    }
}

/// The memory behind a source shrinks and grows while it is read: an error on that source, not a crash.
#[test]
fn a_mapping_that_is_cut_all_the_time_disturbs_nobody() {
    let bench = Bench::new();
    let path = bench.file("liar.fb");
    let picture = pattern(1024, 768, 3);
    let liar = Painted::new(&path, &picture);
    let mut neighbours = Neighbours::new(&bench, &liar.source());
    let mut victim = neighbours.victim(&bench, &picture);
    let whole = std::fs::metadata(&path).expect("the source's file").len();
    let file = OpenOptions::new().write(true).open(&path).expect("the source's file");
    for round in 0..6_u64 {
        watch(Duration::from_millis(300), || {
            for length in [4096 + round * 1_000_003 % whole, 0, whole] {
                file.set_len(length).expect("a new length");
            }
        });
        neighbours.check();
    }
    drop(liar);
    victim.assert_running();
    // An honest painter at the same place is served again.
    drop(file);
    let _liar = Painted::new(&path, &picture);
    victim.wait_shows(&picture, PATIENCE);
    neighbours.server.close();
}

/// Writes a header field of a `shm:` file.
fn write_u32(file: &File, offset: u64, value: u32) {
    file.write_all_at(&value.to_le_bytes(), offset).expect("a header field");
}

/// Width, height, stride, format, offset and version that cannot be, changing while they are read.
#[test]
fn geometry_that_lies_disturbs_nobody() {
    let bench = Bench::new();
    let path = bench.file("liar.fb");
    let picture = pattern(320, 200, 3);
    let liar = Painted::new(&path, &picture);
    let mut neighbours = Neighbours::new(&bench, &liar.source());
    let mut victim = neighbours.victim(&bench, &picture);
    let file = OpenOptions::new().write(true).open(&path).expect("the source's file");
    let lies: [(u64, u32); 11] = [
        (40, 0),
        (40, u32::MAX),
        (44, u32::MAX),
        (48, 1),
        (48, u32::MAX),
        (52, 77),
        (56, u32::MAX),
        (60, u32::MAX),
        (8, 9),
        (12, 1),
        (0, 0),
    ];
    let honest = std::fs::read(&path).expect("the source's file")[..128].to_vec();
    for (offset, lie) in lies {
        write_u32(&file, offset, lie);
        watch(Duration::from_millis(100), || ());
        file.write_all_at(&honest[offset as usize..offset as usize + 4], offset).expect("the field");
    }
    neighbours.check();
    let mut turn = 0_usize;
    watch(Duration::from_secs(2), || {
        for _ in 0..50 {
            let (offset, lie) = lies[turn % lies.len()];
            write_u32(&file, offset, lie);
            file.write_all_at(&honest[offset as usize..offset as usize + 4], offset).expect("the field");
            turn += 1;
        }
    });
    neighbours.check();
    victim.assert_running();
    drop(liar);
    let _liar = Painted::new(&path, &picture);
    victim.wait_shows(&picture, PATIENCE);
    neighbours.server.close();
}

/// What is no source at all.
#[test]
fn things_that_are_no_source_are_told_apart() {
    let bench = Bench::new();
    std::fs::write(bench.file("empty"), []).expect("a file");
    std::fs::write(bench.file("noise"), pattern(100, 100, 5).rgb).expect("a file");
    for (number, name) in ["empty", "noise", "absent", "."].into_iter().enumerate() {
        for kind in ["shm", "xwd", "trace", "qemu"] {
            let source = format!("{kind}:{}", bench.path().join(name).display());
            let (good, out, err) =
                crate::harness::lfp_server(&bench, &["inspect", &source, "--json", "--wait", "1"]);
            let said = format!("{out}{err}");
            assert!(!good, "{number}: {source} was taken for a source: {said}");
            assert!(said.contains(name) && !said.contains("panicked"), "{source}: {said}");
        }
    }
}

/// Datagrams that are noise, cut short, too long or replayed; the million stands in the fuzz tests.
#[test]
fn noise_on_the_port_disturbs_nobody() {
    let bench = Bench::new();
    let mut neighbours = Neighbours::new(&bench, "synthetic:idle");
    let before = neighbours.server.memory();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..40_000_usize {
        let length = [0, 1, 7, 13, 64, 1_100, 1_472, 9_000, 65_507][round % 9];
        let mut noise: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        // Half of it starts as a datagram of ours may.
        if round % 2 == 0 {
            if let Some(first) = noise.first_mut() {
                *first = (random() % 8) as u8;
            }
        }
        let _ = socket.send_to(&noise, neighbours.server.address());
        if round % 10_000 == 0 {
            neighbours.check();
        }
    }
    neighbours.check();
    let grown = neighbours.server.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "the server grew by {grown} bytes");
    neighbours.server.close();
}

/// Bits flipped on the way: checksums drop what is wrong, repair brings what is missing.
#[test]
fn bits_that_flip_on_the_way_are_caught() {
    let bench = Bench::new();
    let picture = pattern(1024, 768, 4);
    let source = Painted::new(&bench.file("source.fb"), &picture);
    let server = Server::of(&bench, &source.source());
    let link = Link::to(&bench, server.address(), "corrupt=10%,dup=5%,rtt=10ms,seed=11");
    let report = Client::settled(&bench, "client", link.address(), &[]);
    assert_same("bits", report.picture(), &picture);
    println!("the link: {}", link.close());
}
