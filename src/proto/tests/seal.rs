//! Sealed packets and the handshake: what opens, what does not, and what an attacker can do with what passed.

mod common;

use std::time::Duration;

use common::Rng;
use lfp_proto::frame::{Close, CloseReason, Frame};
use lfp_proto::identity::Secret;
use lfp_proto::limits::{DATAGRAM_MIN, OLD_KEY_TIME};
use lfp_proto::noise::{Noise, Pattern};
use lfp_proto::packet::{Builder, HEADER_LEN, Kind, SEAL_TRAILER_LEN, View};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, PacketNumber};
use lfp_proto::wire::Malformed;

const CONNECTION: ConnectionId = ConnectionId(7);
const START: Instant = Instant::from_micros(1_000_000);

/// Both sides of a connection, client first.
fn pair(after: RekeyAfter) -> (Seal, Seal) {
    sealed_by(Cipher::ChaCha20Poly1305, after)
}

fn sealed_by(cipher: Cipher, after: RekeyAfter) -> (Seal, Seal) {
    let (up, down) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let client = Keys { send: up.clone(), receive: down.clone() };
    let server = Keys { send: down, receive: up };
    (Seal::new(&client, cipher, START, after), Seal::new(&server, cipher, START, after))
}

fn packet(seal: &mut Seal, now: Instant, number: u64) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Data, CONNECTION, PacketNumber(number));
    assert!(builder.push(&Frame::Close(Close { reason: CloseReason::Done, text: "so long" })));
    seal.finish(now, PacketNumber(number), builder)
}

/// Opens a packet and says whether its frame is there.
fn opens(seal: &mut Seal, now: Instant, bytes: &[u8], largest: u64) -> Result<(), Malformed> {
    let mut opened = Vec::new();
    let view = seal.open(now, bytes, PacketNumber(largest), &mut opened)?;
    let frames: Vec<_> = view.frames().collect::<Result<_, _>>()?;
    assert_eq!(frames, [Frame::Close(Close { reason: CloseReason::Done, text: "so long" })]);
    Ok(())
}

#[test]
fn a_packet_opens_at_the_peer_and_nowhere_else() {
    let (mut client, mut server) = pair(RekeyAfter::default());
    let bytes = packet(&mut client, START, 1);
    assert_eq!(bytes.len(), HEADER_LEN + 10 + SEAL_TRAILER_LEN);
    assert!(!bytes.windows(7).any(|window| window == b"so long"), "it can be read");
    assert_eq!(opens(&mut server, START, &bytes, 0), Ok(()));
    assert_eq!(opens(&mut client, START, &bytes, 0), Err(Malformed::Checksum), "reflected");
    let mut plain = Seal::Plain;
    assert_eq!(opens(&mut plain, START, &bytes, 0), Err(Malformed::Field("protection")));
    assert_eq!(View::new_checked(&bytes).err(), Some(Malformed::Field("protection")));
    let forged = packet(&mut plain, START, 1);
    assert_eq!(opens(&mut server, START, &forged, 0), Err(Malformed::Field("protection")), "downgraded");
}

#[test]
fn both_ciphers_seal_and_neither_opens_the_other_s() {
    assert_eq!(Cipher::of(Cipher::liked(true), Cipher::liked(true)), Cipher::Aes256Gcm);
    assert_eq!(Cipher::of(Cipher::liked(true), Cipher::liked(false)), Cipher::ChaCha20Poly1305);
    assert_eq!(Cipher::of(Cipher::liked(false), 0xff), Cipher::ChaCha20Poly1305);
    assert_eq!(Cipher::of(0, 0), Cipher::ChaCha20Poly1305, "every side has it");
    let (mut aes, _) = sealed_by(Cipher::Aes256Gcm, RekeyAfter::default());
    let (_, mut chacha) = pair(RekeyAfter::default());
    let bytes = packet(&mut aes, START, 1);
    assert_eq!(opens(&mut chacha, START, &bytes, 0), Err(Malformed::Checksum));
}

#[test]
fn no_changed_or_shortened_packet_opens() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        changed_or_shortened(cipher);
    }
}

fn changed_or_shortened(cipher: Cipher) {
    let (mut client, mut server) = sealed_by(cipher, RekeyAfter::default());
    let bytes = packet(&mut client, START, 9);
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(opens(&mut server, START, &forged, 8).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(opens(&mut server, START, &bytes[..len], 8).is_err(), "{len} bytes");
    }
    let long = [&bytes[..], &[0]].concat();
    assert!(opens(&mut server, START, &long, 8).is_err());
    // The number in full is in the nonce, though its upper half is not sent.
    assert!(opens(&mut server, START, &bytes, 8 + (1 << 32)).is_err());
    assert_eq!(opens(&mut server, START, &bytes, 8), Ok(()));
}

#[test]
fn keys_follow_one_another_without_a_packet_lost() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        keys_follow(cipher);
    }
}

fn keys_follow(cipher: Cipher) {
    let after = RekeyAfter { packets: 8, bytes: u64::MAX, time: Duration::from_secs(60) };
    let (mut client, mut server) = sealed_by(cipher, after);
    let (mut largest, mut waiting, mut rng) = (0, Vec::new(), Rng::new(3));
    for number in 1..=400 {
        waiting.push((number, packet(&mut client, START, number)));
        // The path holds a few back, and none for long.
        while waiting.len() > 3 {
            let late = number - waiting[0].0 > 5 || rng.percent(50);
            let at = if late { 0 } else { rng.below(waiting.len() as u64) as usize };
            let (number, bytes) = waiting.remove(at);
            assert_eq!(opens(&mut server, START, &bytes, largest), Ok(()), "packet {number}");
            largest = largest.max(number);
            client.on_acked(PacketNumber(number));
        }
    }
    assert!(client.rekeys() > 40, "{} keys", client.rekeys());
    assert!(client.rekeys() - server.rekeys() <= 1);
}

#[test]
fn a_key_is_kept_until_it_is_known_that_the_one_before_has_been_followed() {
    let after = RekeyAfter { packets: 2, bytes: u64::MAX, time: Duration::from_secs(60) };
    let (mut client, mut server) = pair(after);
    for number in 1..=10 {
        packet(&mut client, START, number);
    }
    assert_eq!(client.rekeys(), 0, "nothing was acked");
    client.on_acked(PacketNumber(3));
    let first = packet(&mut client, START, 11);
    client.on_acked(PacketNumber(10));
    for number in 12..=20 {
        packet(&mut client, START, number);
    }
    assert_eq!(client.rekeys(), 1, "an ack of a packet under the key before says nothing of this one");
    assert_eq!(opens(&mut server, START, &first, 10), Ok(()));
}

#[test]
fn time_and_bytes_turn_a_key_and_the_old_one_goes() {
    let after = RekeyAfter { packets: u64::MAX, bytes: 1_000, time: Duration::from_secs(60) };
    let (mut client, mut server) = pair(after);
    let (first, late) = (packet(&mut client, START, 1), packet(&mut client, START, 2));
    assert_eq!(opens(&mut server, START, &first, 0), Ok(()));
    client.on_acked(PacketNumber(1));
    let later = START + after.time;
    let next = packet(&mut client, later, 3);
    assert_eq!(opens(&mut server, later, &next, 1), Ok(()));
    assert_eq!((client.rekeys(), server.rekeys()), (1, 1));
    let mut early = server.clone();
    assert_eq!(opens(&mut early, later, &late, 3), Ok(()), "overtaken");
    assert_eq!(opens(&mut server, later + OLD_KEY_TIME, &late, 3), Err(Malformed::Checksum), "too late");
    client.on_acked(PacketNumber(3));
    let lens: usize = (4..40).map(|number| packet(&mut client, later, number).len()).sum();
    assert!(lens > 1_000);
    assert_eq!(client.rekeys(), 2);
}

/// Both sides of a handshake of `pattern` for these connection ids; the client's with the key of `to`, in IK.
fn sides(pattern: Pattern, to: &Secret, connections: [u64; 2]) -> (Noise, Noise) {
    let key = to.public();
    let server_key = (pattern == Pattern::Ik).then_some(&key);
    let client =
        Noise::client(&Secret::new([3; 32]), server_key, ConnectionId(connections[0]), Secret::new([4; 32]));
    let server =
        Noise::server(pattern, &Secret::new([5; 32]), ConnectionId(connections[1]), Secret::new([6; 32]));
    (client, server)
}

/// Passes messages to and fro until the handshake is finished, or somebody finds fault.
fn shake(client: &mut Noise, server: &mut Noise) -> Result<(), Malformed> {
    let (mut from, mut to) = (client, server);
    while !from.is_finished() {
        let message = from.write(b"payload")?;
        assert_eq!(to.read(&message)?, b"payload");
        (from, to) = (to, from);
    }
    Ok(())
}

#[test]
fn both_patterns_give_both_sides_each_other_s_keys() {
    for pattern in [Pattern::Ik, Pattern::Xx] {
        let server_key = Secret::new([5; 32]);
        let (mut client, mut server) = sides(pattern, &server_key, [7, 7]);
        assert!(client.keys().is_none());
        assert_eq!(shake(&mut client, &mut server), Ok(()));
        assert_eq!(client.peer(), Some(server_key.public()));
        assert_eq!(server.peer(), Some(Secret::new([3; 32]).public()));
        let (ours, theirs) = (client.keys().expect("finished"), server.keys().expect("finished"));
        assert_eq!((&ours.send, &ours.receive), (&theirs.receive, &theirs.send));
        assert_ne!(ours.send, ours.receive);
        let mut verdict = b"yes".to_vec();
        theirs.seal_verdict(b"header", &mut verdict);
        assert_eq!(ours.open_verdict(b"header", &verdict), Ok(b"yes".to_vec()));
        assert_eq!(ours.open_verdict(b"Header", &verdict), Err(Malformed::Checksum));
        assert_eq!(theirs.open_verdict(b"header", &verdict), Err(Malformed::Checksum), "reflected");
    }
}

#[test]
fn a_handshake_fails_if_anything_was_changed() {
    for pattern in [Pattern::Ik, Pattern::Xx] {
        let (mut client, mut server) = sides(pattern, &Secret::new([5; 32]), [7, 8]);
        assert_eq!(shake(&mut client, &mut server), Err(Malformed::Checksum), "another connection");
        // XX's first message is a key and a payload in the clear: what is changed there shows in the second.
        let (mut client, _) = sides(pattern, &Secret::new([5; 32]), [7, 7]);
        let message = client.write(b"payload").expect("a message");
        for byte in 0..message.len() {
            let (_, mut server) = sides(pattern, &Secret::new([5; 32]), [7, 7]);
            let mut forged = message.clone();
            forged[byte] ^= 0x10;
            let answer = server.read(&forged).and_then(|_| server.write(b""));
            let (mut client, _) = sides(pattern, &Secret::new([5; 32]), [7, 7]);
            client.write(b"payload").expect("a message");
            assert!(answer.and_then(|answer| client.read(&answer)).is_err(), "{pattern:?}, byte {byte}");
        }
    }
    let (mut client, mut server) = sides(Pattern::Ik, &Secret::new([9; 32]), [7, 7]);
    assert_eq!(shake(&mut client, &mut server), Err(Malformed::Checksum), "another server");
    let (mut client, mut server) = sides(Pattern::Ik, &Secret::new([5; 32]), [7, 7]);
    assert_eq!(server.read(&[0; 600]), Err(Malformed::Field("handshake")));
    assert_eq!(client.read(&[]), Err(Malformed::Field("handshake")), "out of turn");
}
