//! What sealing costs a whole path: packets closed, sent over loopback in segments and opened, beside datagrams of the same
//! size that are only sent and received. `cargo bench --bench goodput` prints it; `docs/BENCHMARKS.md` has the figures.
//!
//! Packets go out as a server's do, through its sockets and by its ciphers, and are opened by the same ciphers or by a client's.
//! Times are the processor's, of the threads that send and of the one that receives: other programs do not count.

use std::error::Error;
use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lfp::clock;
use lfp::connection::aead;
use lfp::output::{Facilities, Ports};
use lfp::time::Instant;
use lfp::units::{ConnectionId, PacketNumber};
use lfp_proto::aead::{Ready, portable};
use lfp_proto::identity::Secret;
use lfp_proto::limits::{DATAGRAM_DEFAULT, TRAILER_RESERVED};
use lfp_proto::packet::{Builder, HEADER_LEN, Kind, PLAIN_TRAILER_LEN};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal, Unclosed};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use nix::sys::time::TimeValLike as _;
use socket2::SockRef;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);
/// Datagrams of one call.
const BATCH: usize = 16;
const BUFFER_BYTES: usize = 4 << 20;

/// What is done to a datagram.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It is sent as it is, by the plainest code there is.
    Bare,
    /// It is a packet, and goes out as a server's do.
    Packet {
        /// Sealed by this, or plain.
        cipher: Option<Cipher>,
        /// By which it is opened: a server's ciphers, or a client's, which are portable.
        opened: Ready,
        /// Through how many sockets, with a thread each if there are several.
        sockets: usize,
    },
}

/// What one round came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Of datagrams that came whole.
    bytes_per_s: f64,
    send_ns: f64,
    receive_ns: f64,
}

fn main() -> Outcome<()> {
    if std::env::args().any(|argument| argument == "--test") {
        println!("goodput: measured by cargo bench --bench goodput alone");
        return Ok(());
    }
    let (aes, chacha) = (Some(Cipher::Aes256Gcm), Some(Cipher::ChaCha20Poly1305));
    let packet = |cipher, opened, sockets| Way::Packet { cipher, opened, sockets };
    let ways = [
        ("bare", Way::Bare),
        ("plain", packet(None, aead::ready, 1)),
        ("AES-256-GCM", packet(aes, aead::ready, 1)),
        ("AES-256-GCM, opened by the portable cipher", packet(aes, portable, 1)),
        ("AES-256-GCM, two sockets", packet(aes, aead::ready, 2)),
        ("ChaCha20-Poly1305", packet(chacha, aead::ready, 1)),
        ("ChaCha20-Poly1305, opened by the portable cipher", packet(chacha, portable, 1)),
        ("ChaCha20-Poly1305, two sockets", packet(chacha, aead::ready, 2)),
    ];
    let mut rounds = vec![Vec::new(); ways.len()];
    // By turns: what else the machine does changes from one moment to the next.
    for _ in 0..ROUNDS {
        for ((_, way), rounds) in ways.iter().zip(&mut rounds) {
            rounds.push(round(*way)?);
        }
    }
    let median = |rounds: &[Round], of: fn(&Round) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let bare = median(&rounds[0], |round| round.bytes_per_s);
    for ((name, _), rounds) in ways.iter().zip(&rounds) {
        let (goodput, send) =
            (median(rounds, |round| round.bytes_per_s), median(rounds, |round| round.send_ns));
        let receive = median(rounds, |round| round.receive_ns);
        println!(
            "{name}: {:.0} Mbit/s, {:.2}x of bare (aim when sealed: 0.5x); {send:.0} ns a packet to send, {receive:.0} ns to \
             receive, {:.0} packets a second of one core",
            goodput * 8.0 / 1e6,
            goodput / bare,
            1e9 / send,
        );
    }
    Ok(())
}

/// Sends as fast as a server can for a while, and receives with another thread.
fn round(way: Way) -> Outcome<Round> {
    let to = UdpSocket::bind("127.0.0.1:0")?;
    SockRef::from(&to).set_recv_buffer_size(BUFFER_BYTES)?;
    to.set_read_timeout(Some(Duration::from_millis(20)))?;
    let address = to.local_addr()?;
    let (one, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let ours = Keys { send: one.clone(), receive: other.clone() };
    let theirs = Keys { send: other, receive: one };
    let seal = |keys: &Keys, ready: Ready| match way {
        Way::Packet { cipher: Some(cipher), .. } => {
            Seal::with(ready, keys, cipher, Instant::ZERO, RekeyAfter::default())
        }
        Way::Bare | Way::Packet { .. } => Seal::Plain,
    };
    let sender = seal(&ours, aead::ready);
    let opener = match way {
        Way::Bare => None,
        Way::Packet { opened, .. } => Some(seal(&theirs, opened)),
    };
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let used = used_us(UsageWho::RUSAGE_SELF)?;
    let receiving = std::thread::spawn(move || receive(&to, opener, &is_over));
    let sent = match way {
        Way::Bare => send_bare(address)?,
        Way::Packet { sockets, .. } => send(address, sockets, sender)?,
    };
    over.store(true, Ordering::Relaxed);
    let (came, receive_us) = receiving.join().map_err(|_| "the receiver panicked")??;
    let send_us = used_us(UsageWho::RUSAGE_SELF)? - used - receive_us;
    Ok(Round {
        bytes_per_s: came as f64 * DATAGRAM_DEFAULT as f64 / ROUND.as_secs_f64(),
        send_ns: send_us as f64 * 1_000.0 / sent as f64,
        receive_ns: receive_us as f64 * 1_000.0 / came.max(1) as f64,
    })
}

/// Sends the same bytes again and again; how many datagrams there were.
fn send_bare(to: SocketAddr) -> Outcome<u64> {
    let (socket, begun) = (UdpSocket::bind("127.0.0.1:0")?, clock::now());
    let (len, to) = (u16::try_from(DATAGRAM_DEFAULT)?, SockaddrStorage::from(to));
    let batch = vec![vec![0x5a; DATAGRAM_DEFAULT]; BATCH];
    let mut sent = 0;
    while clock::now().saturating_since(begun) < ROUND {
        let slices: [IoSlice<'_>; BATCH] = std::array::from_fn(|at| IoSlice::new(&batch[at]));
        let cut = [ControlMessage::UdpGsoSegments(&len)];
        sendmsg(socket.as_raw_fd(), &slices, &cut, MsgFlags::empty(), Some(&to))?;
        sent += BATCH as u64;
    }
    Ok(sent)
}

/// Sends packets as a server does; how many there were.
fn send(to: SocketAddr, sockets: usize, mut seal: Seal) -> Outcome<u64> {
    let mut ports = Ports::bind(SocketAddr::from(([127, 0, 0, 1], 0)), sockets, Facilities::ALL)?;
    let (mut spare, mut number, begun) = (Vec::new(), 0, clock::now());
    while clock::now().saturating_since(begun) < ROUND {
        while !ports.is_full() {
            number += 1;
            let buffer = spare.pop().unwrap_or_else(|| Vec::with_capacity(DATAGRAM_DEFAULT));
            ports.push(to, packet(&mut seal, PacketNumber(number), buffer));
        }
        ports.flush(|buffer| spare.push(buffer));
        if ports.is_stuck() {
            // A server would wait for what wakes it.
            std::thread::yield_now();
        }
    }
    Ok(number)
}

/// A packet as long as a datagram may be.
fn packet(seal: &mut Seal, number: PacketNumber, buffer: Vec<u8>) -> Unclosed {
    // A plain trailer is shorter; the datagram is to be as long.
    let spare = if seal.cipher().is_none() { TRAILER_RESERVED - PLAIN_TRAILER_LEN } else { 0 };
    let mut builder = Builder::new(buffer, DATAGRAM_DEFAULT + spare, Kind::Data, ConnectionId(7), number);
    let payload = DATAGRAM_DEFAULT + spare - TRAILER_RESERVED - HEADER_LEN;
    builder.body().resize(HEADER_LEN + payload, 0x5a);
    seal.prepare(Instant::ZERO, number, builder)
}

/// Datagrams that came whole, and the processor's time in microseconds.
fn receive(socket: &UdpSocket, mut seal: Option<Seal>, over: &AtomicBool) -> Outcome<(u64, i64)> {
    let used = used_us(UsageWho::RUSAGE_THREAD)?;
    let (mut bytes, mut opened) = ([0; DATAGRAM_DEFAULT + 1], Vec::new());
    let (mut came, mut largest) = (0, PacketNumber(0));
    while !over.load(Ordering::Relaxed) {
        let Ok(len) = socket.recv(&mut bytes) else { continue };
        if let Some(seal) = &mut seal {
            let view = seal.open(Instant::ZERO, &bytes[..len], largest, &mut opened);
            largest = view.map_err(|error| error.to_string())?.number(largest);
        }
        came += 1;
    }
    Ok((came, used_us(UsageWho::RUSAGE_THREAD)? - used))
}

/// The time of the processor that `who` has had, in microseconds.
fn used_us(who: UsageWho) -> Outcome<i64> {
    let usage = getrusage(who)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds())
}
