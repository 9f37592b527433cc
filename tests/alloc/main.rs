//! Nothing is allocated per tick once a source is in its stride, and nothing per packet on its way in and out, nor for what a session
//! notes of it: an allocator that counts says so. A program of its own, since a program has one allocator.

mod session;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use lfp::connection::aead;
use lfp::context::Watcher;
use lfp::geometry::{CellSet, Size};
use lfp::heat::Hint;
use lfp::hypervisor::synthetic::Painting;
use lfp::hypervisor::{
    Reading, Source, SourceError, SourceId, Surface, SyntheticSource, SyntheticSpec, View, private,
};
use lfp::limits::HISTORY_TICKS;
use lfp::output::{Facilities, Ports};
use lfp::scan::{Mode, Strategy, Tick};
use lfp::time::Instant;
use lfp::units::{ConnectionId, PacketNumber};
use lfp_proto::aead::{Ready, portable};
use lfp_proto::identity::Secret;
use lfp_proto::packet::{Builder, HEADER_LEN, Kind};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};

/// A painter whose frames are painted before they are counted: what it takes is not the pipeline's.
struct Painted {
    surface: Surface,
    frames: Vec<Vec<u8>>,
    at: usize,
}

impl Painted {
    fn new(size: Size, painting: Painting, count: usize) -> Self {
        let spec = SyntheticSpec { size, ..SyntheticSpec::new(painting) };
        let mut source = SyntheticSource::new(spec);
        let View::Live(surface) = source.view(Instant::ZERO) else { panic!("a painter is live") };
        let mut shadow = vec![0; surface.shadow_bytes()];
        let frame = |at: usize| {
            source.view(Instant::from_micros(at as u64 * 1_000_000 / u64::from(spec.fps) + 1));
            source.sweep(&surface, &mut shadow, &mut CellSet::new(size.grid())).expect("painted");
            shadow.clone()
        };
        Self { surface, frames: (0..count).map(frame).collect(), at: 0 }
    }
}

impl Source for Painted {
    fn view(&mut self, _: Instant) -> View {
        View::Live(self.surface)
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        // There and back again, so that what comes after the last frame is no jump.
        let last = self.frames.len() - 1;
        let at = if last == 0 { 0 } else { (self.at % (2 * last)).abs_diff(last) };
        self.at += 1;
        Ok(private::sweep(surface, &self.frames[at], shadow, changed))
    }
}

/// Scans 60 times a second; keeps the newest tick and the one before, as a server and an encoder at work do.
struct Rig {
    watcher: Watcher,
    now: u64,
    held: [Option<Arc<Tick>>; 2],
    ticks: u64,
}

impl Rig {
    fn new(painted: Painted, strategy: Strategy) -> Self {
        let mut watcher = Watcher::new(SourceId(0), Box::new(painted));
        watcher.follow(strategy);
        Self { watcher, now: 1_000_000, held: [None, None], ticks: 0 }
    }

    fn run(&mut self, scans: usize) {
        for _ in 0..scans {
            self.now += 16_667;
            if let Some(tick) = self.watcher.tick(Instant::from_micros(self.now)) {
                self.ticks += 1;
                self.held.swap(0, 1);
                self.held[1] = Some(tick);
            }
        }
    }

    /// All that is kept of the past is full.
    fn warm_up(&mut self) {
        while self.ticks < HISTORY_TICKS as u64 + 16 {
            self.run(10);
        }
    }

    /// What `scans` scans take, and the ticks that they bring.
    fn counted(&mut self, scans: usize) -> (u64, u64) {
        let ticks = self.ticks;
        let taken = measure(|| self.run(scans)).count_total;
        (taken, self.ticks - ticks)
    }
}

const SIZE: Size = Size { width: 320, height: 240 };

#[test]
fn an_unchanged_source_takes_nothing_whether_swept_or_probed() {
    for strategy in [Strategy::Sweep, Strategy::Auto, Strategy::Probe] {
        let mut rig = Rig::new(Painted::new(SIZE, Painting::Typing, 1), strategy);
        rig.run(300);
        let taken = rig.counted(300);
        assert_eq!(taken, (0, 0), "{strategy:?}");
        let mode = if strategy == Strategy::Sweep { Mode::Sweep } else { Mode::Probe };
        assert_eq!(rig.watcher.mode(), mode);
    }
}

#[test]
fn a_changing_source_takes_nothing() {
    for painting in Painting::ALL {
        let mut rig = Rig::new(Painted::new(SIZE, painting, 24), Strategy::Auto);
        rig.warm_up();
        let (taken, ticks) = rig.counted(300);
        assert_eq!(taken, 0, "allocations in {ticks} ticks of {}", painting.name());
    }
}

#[test]
fn input_takes_nothing() {
    let mut rig = Rig::new(Painted::new(SIZE, Painting::Typing, 24), Strategy::Auto);
    rig.warm_up();
    let taken = measure(|| {
        for x in 0..40 {
            rig.watcher.warm(Hint::At { x: x * 16, y: 100 }, Instant::from_micros(rig.now));
            rig.watcher.warm(Hint::LastChange, Instant::from_micros(rig.now));
            rig.run(3);
        }
    });
    assert_eq!(taken.count_total, 0);
}

#[test]
fn what_is_allocated_is_counted() {
    let taken = measure(|| {
        std::hint::black_box(vec![1_u8; 100]);
    });
    assert_eq!(taken.count_total, 1);
}

#[test]
fn sealing_and_opening_takes_nothing() {
    let (one, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let ours = Keys { send: one.clone(), receive: other.clone() };
    let theirs = Keys { send: other, receive: one };
    for (ready, cipher) in [
        (portable as Ready, Cipher::ChaCha20Poly1305),
        (portable, Cipher::Aes256Gcm),
        (aead::ready, Cipher::ChaCha20Poly1305),
        (aead::ready, Cipher::Aes256Gcm),
    ] {
        let [mut from, mut to] = [&ours, &theirs]
            .map(|keys| Seal::with(ready, keys, cipher, Instant::ZERO, RekeyAfter::default()));
        let (mut buffer, mut opened) = (Vec::with_capacity(1_200), Vec::with_capacity(1_200));
        let taken = measure(|| {
            for number in (1..=1_000).map(PacketNumber) {
                buffer = from.finish(Instant::ZERO, number, full(std::mem::take(&mut buffer), number));
                to.open(Instant::ZERO, &buffer, PacketNumber(number.0 - 1), &mut opened)
                    .expect("it is whole");
            }
        });
        assert_eq!((buffer.len(), taken.count_total), (1_200, 0), "{cipher:?}");
    }
}

/// Packet `number`, full.
fn full(buffer: Vec<u8>, number: PacketNumber) -> Builder {
    let mut builder = Builder::new(buffer, 1_200, Kind::Data, ConnectionId(7), number);
    let room = builder.room();
    builder.body().resize(HEADER_LEN + room, 1);
    builder
}

#[test]
fn sending_and_receiving_packets_takes_nothing() {
    let keys = Keys { send: Secret::new([1; 32]), receive: Secret::new([2; 32]) };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    for sockets in [1, 2] {
        let mut ports = Ports::bind(loopback, sockets, Facilities::ALL).expect("sockets");
        let mut seal =
            Seal::with(aead::ready, &keys, Cipher::Aes256Gcm, Instant::ZERO, RekeyAfter::default());
        let client = UdpSocket::bind(loopback).expect("a socket");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        let (to, server) =
            (client.local_addr().expect("it has one"), ports.local_addr().expect("it has one"));
        let (mut spare, mut number, mut came) = (Vec::with_capacity(256), 0, 0);
        let mut bytes = [0; 2_000];
        // As many as are ever under way, several to a call; each comes back.
        let mut turn = |spare: &mut Vec<Vec<u8>>| {
            for _ in 0..8 {
                number += 1;
                let (number, buffer) = (PacketNumber(number), spare.pop().expect("there is one"));
                ports.push(to, seal.prepare(Instant::ZERO, number, full(buffer, number)));
            }
            ports.flush(|buffer| spare.push(buffer));
            for _ in 0..8 {
                let len = client.recv(&mut bytes).expect("it comes");
                client.send_to(&bytes[..len], server).expect("it is sent");
            }
            let before = came;
            while came < before + 8 {
                ports
                    .receive(|from, bytes| {
                        assert_eq!((from, bytes.len()), (to, 1_200));
                        came += 1;
                    })
                    .expect("the socket is well");
                std::thread::yield_now();
            }
        };
        spare.extend((0..128).map(|_| Vec::with_capacity(1_200)));
        (0..20).for_each(|_| turn(&mut spare));
        let taken = measure(|| (0..100).for_each(|_| turn(&mut spare)));
        assert_eq!(taken.count_total, 0, "{sockets} sockets");
    }
}
