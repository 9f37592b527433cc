//! What sealing costs a whole path: packets closed, sent over loopback in segments and opened, beside datagrams of the same
//! size that are only sent and received. `cargo bench --bench goodput` prints it; `docs/BENCHMARKS.md` has the figures.
//!
//! Times are the processor's, of the thread that sends and of the one that receives: other programs do not count.

use std::error::Error;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lfp::clock;
use lfp::time::Instant;
use lfp::units::{ConnectionId, PacketNumber};
use lfp_proto::identity::Secret;
use lfp_proto::limits::{DATAGRAM_DEFAULT, TRAILER_RESERVED};
use lfp_proto::packet::{Builder, HEADER_LEN, Kind};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::time::TimeValLike as _;
use socket2::SockRef;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);
/// Datagrams of one call.
const BATCH: usize = 16;
const BUFFER_BYTES: usize = 4 << 20;

/// What is done to a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// It is sent as it is.
    Bare,
    /// It is a plain packet.
    Plain,
    /// It is a sealed one.
    Sealed(Cipher),
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
    let ways = [Way::Bare, Way::Plain, Way::Sealed(Cipher::ChaCha20Poly1305), Way::Sealed(Cipher::Aes256Gcm)];
    let mut rounds = vec![Vec::new(); ways.len()];
    // By turns: what else the machine does changes from one moment to the next.
    for _ in 0..ROUNDS {
        for (way, rounds) in ways.iter().zip(&mut rounds) {
            rounds.push(round(*way)?);
        }
    }
    let median = |rounds: &[Round], of: fn(&Round) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let bare = median(&rounds[0], |round| round.bytes_per_s);
    for (way, rounds) in ways.iter().zip(&rounds) {
        let (goodput, send) =
            (median(rounds, |round| round.bytes_per_s), median(rounds, |round| round.send_ns));
        let receive = median(rounds, |round| round.receive_ns);
        println!(
            "{way:?}: {:.0} Mbit/s, {:.2}x of bare (aim when sealed: 0.5x); {send:.0} ns a packet to send, {receive:.0} ns to \
             receive, {:.0} packets a second of one core",
            goodput * 8.0 / 1e6,
            goodput / bare,
            1e9 / send,
        );
    }
    Ok(())
}

/// Sends as fast as one thread can for a while, and receives with another.
fn round(way: Way) -> Outcome<Round> {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    from.connect(to.local_addr()?)?;
    SockRef::from(&to).set_recv_buffer_size(BUFFER_BYTES)?;
    to.set_read_timeout(Some(Duration::from_millis(20)))?;
    let (one, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let ours = Keys { send: one.clone(), receive: other.clone() };
    let theirs = Keys { send: other, receive: one };
    let seal = |keys: &Keys| match way {
        Way::Sealed(cipher) => Seal::new(keys, cipher, Instant::ZERO, RekeyAfter::default()),
        Way::Bare | Way::Plain => Seal::Plain,
    };
    let (sender, receiver) = (seal(&ours), seal(&theirs));
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let receiving = std::thread::spawn(move || receive(way, &to, receiver, &is_over));
    let (sent, send_us) = send(way, &from, sender)?;
    over.store(true, Ordering::Relaxed);
    let (came, receive_us) = receiving.join().map_err(|_| "the receiver panicked")??;
    Ok(Round {
        bytes_per_s: came as f64 * DATAGRAM_DEFAULT as f64 / ROUND.as_secs_f64(),
        send_ns: send_us as f64 * 1_000.0 / sent as f64,
        receive_ns: receive_us as f64 * 1_000.0 / came.max(1) as f64,
    })
}

/// Datagrams that were sent, and the processor's time in microseconds.
fn send(way: Way, socket: &UdpSocket, mut seal: Seal) -> Outcome<(u64, i64)> {
    let (begun, used) = (clock::now(), thread_us()?);
    let len = u16::try_from(DATAGRAM_DEFAULT)?;
    let mut batch = vec![vec![0x5a; DATAGRAM_DEFAULT]; BATCH];
    let mut number = 0;
    while clock::now().saturating_since(begun) < ROUND {
        for bytes in batch.iter_mut().filter(|_| way != Way::Bare) {
            number += 1;
            *bytes = closed(way, &mut seal, PacketNumber(number), std::mem::take(bytes));
        }
        let slices: [IoSlice<'_>; BATCH] = std::array::from_fn(|at| IoSlice::new(&batch[at]));
        let cut = [ControlMessage::UdpGsoSegments(&len)];
        sendmsg::<()>(socket.as_raw_fd(), &slices, &cut, MsgFlags::empty(), None)?;
        number += if way == Way::Bare { BATCH as u64 } else { 0 };
    }
    Ok((number, thread_us()? - used))
}

/// A packet as long as a datagram may be.
fn closed(way: Way, seal: &mut Seal, number: PacketNumber, buffer: Vec<u8>) -> Vec<u8> {
    // A plain trailer is shorter; the datagram is to be as long.
    let spare = if way == Way::Plain { TRAILER_RESERVED - 4 } else { 0 };
    let mut builder = Builder::new(buffer, DATAGRAM_DEFAULT + spare, Kind::Data, ConnectionId(7), number);
    let payload = DATAGRAM_DEFAULT + spare - TRAILER_RESERVED - HEADER_LEN;
    builder.body().resize(HEADER_LEN + payload, 0x5a);
    seal.finish(Instant::ZERO, number, builder)
}

/// Datagrams that came whole, and the processor's time in microseconds.
fn receive(way: Way, socket: &UdpSocket, mut seal: Seal, over: &AtomicBool) -> Outcome<(u64, i64)> {
    let used = thread_us()?;
    let (mut bytes, mut opened) = ([0; DATAGRAM_DEFAULT + 1], Vec::new());
    let (mut came, mut largest) = (0, PacketNumber(0));
    while !over.load(Ordering::Relaxed) {
        let Ok(len) = socket.recv(&mut bytes) else { continue };
        if way != Way::Bare {
            let view = seal.open(Instant::ZERO, &bytes[..len], largest, &mut opened);
            largest = view.map_err(|error| error.to_string())?.number(largest);
        }
        came += 1;
    }
    Ok((came, thread_us()? - used))
}

/// The time of the processor that this thread has had, in microseconds.
fn thread_us() -> Outcome<i64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds())
}
