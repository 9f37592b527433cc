//! What it costs to close a packet and to open it, plain and by either cipher (the server's, and the portable ones of clients), and what a handshake costs a server.

#![expect(missing_docs, reason = "a suite has no public items but those of criterion's macros")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lfp::connection::aead;
use lfp::time::Instant;
use lfp::units::{ConnectionId, PacketNumber};
use lfp_proto::aead::{Ready, portable};
use lfp_proto::identity::Secret;
use lfp_proto::noise::{Noise, Pattern};
use lfp_proto::packet::{Builder, Kind};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};

const NOW: Instant = Instant::from_micros(1_000_000);
const CONNECTION: ConnectionId = ConnectionId(7);

/// Both ends of a connection, the sender first.
fn ends(by: Option<(Ready, Cipher)>) -> (Seal, Seal) {
    let Some((ready, cipher)) = by else { return (Seal::Plain, Seal::Plain) };
    let (one, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let from = Keys { send: one.clone(), receive: other.clone() };
    let to = Keys { send: other, receive: one };
    let ends = [from, to].map(|keys| Seal::with(ready, &keys, cipher, NOW, RekeyAfter::default()));
    ends.into()
}

/// Closes packet `number` of `payload` bytes in `buffer`.
fn close(seal: &mut Seal, number: u64, payload: usize, buffer: Vec<u8>) -> Vec<u8> {
    let number = PacketNumber(number);
    let mut builder = Builder::new(buffer, usize::MAX, Kind::Data, CONNECTION, number);
    builder.body().resize(14 + payload, 0x5a);
    seal.finish(NOW, number, builder)
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet");
    for (name, cipher) in [
        ("plain", None),
        ("chacha20-poly1305", Some((aead::ready as Ready, Cipher::ChaCha20Poly1305))),
        ("aes-256-gcm", Some((aead::ready, Cipher::Aes256Gcm))),
        ("portable chacha20-poly1305", Some((portable, Cipher::ChaCha20Poly1305))),
        ("portable aes-256-gcm", Some((portable, Cipher::Aes256Gcm))),
    ] {
        for payload in [100, 1_170, 8_870] {
            group.throughput(Throughput::Bytes(payload as u64));
            group.bench_function(BenchmarkId::new(format!("{name}/close"), payload), |bencher| {
                let (mut seal, _) = ends(cipher);
                let (mut number, mut buffer) = (0, Vec::with_capacity(9_000));
                bencher.iter(|| {
                    number += 1;
                    buffer = close(&mut seal, number, payload, std::mem::take(&mut buffer));
                });
            });
            group.bench_function(BenchmarkId::new(format!("{name}/open"), payload), |bencher| {
                let (mut seal, mut other) = ends(cipher);
                let bytes = close(&mut seal, 1, payload, Vec::new());
                let mut opened = Vec::with_capacity(9_000);
                bencher.iter(|| {
                    let view = other.open(NOW, &bytes, PacketNumber(0), &mut opened).expect("it is whole");
                    black_box(view.payload().len())
                });
            });
        }
    }
    group.finish();
}

/// What a server computes for a client that comes.
fn handshakes(c: &mut Criterion) {
    let (own, client_key) = (Secret::new([5; 32]), Secret::new([3; 32]));
    let known = own.public();
    let mut client = Noise::client(&client_key, Some(&known), CONNECTION, Secret::new([4; 32]));
    let first = client.write(&[7; 200]).expect("a message");
    c.bench_function("handshake/IK, the server's part", |bencher| {
        bencher.iter(|| {
            let mut server = Noise::server(Pattern::Ik, &own, CONNECTION, Secret::new([6; 32]));
            server.read(&first).expect("it is to this key");
            black_box(server.write(&[]).expect("an answer"))
        });
    });
}

criterion_group!(benches, packets, handshakes);
criterion_main!(benches);
