//! Sealed packets and whole handshakes, from fixed keys (`tests/data/sealed.json`).

use lfp_proto::greeting::Decision;
use lfp_proto::hello::Accept;
use lfp_proto::identity::{PublicKey, Secret};
use lfp_proto::limits::DATAGRAM_MIN;
use lfp_proto::noise::{Noise, Pattern};
use lfp_proto::packet::{Builder, HEADER_LEN, Kind};
use lfp_proto::seal::{Cipher, Keys, RekeyAfter, Seal};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, PacketNumber};
use serde_json::{Value, json};

use super::{Vector, hex, unhex, vectors};

const CONNECTION: ConnectionId = ConnectionId(0x0123_4567_89ab_cdef);

/// A secret key that shows where its bytes went.
fn secret(byte: u8) -> Secret {
    Secret::new(std::array::from_fn(|at| byte.wrapping_add(at as u8)))
}

/// The secret that a text of 64 digits stands for.
fn secret_of(text: &Value) -> Secret {
    let key: PublicKey = text.as_str().and_then(|text| text.parse().ok()).expect("64 digits");
    Secret::new(key.0)
}

fn text(secret: &Secret) -> String {
    hex(secret.bytes())
}

/// A packet of `payload` under the key that follows `turns` others.
fn packet(cipher: Cipher, key: &Secret, turns: u64, number: u64, payload: &[u8]) -> Vec<u8> {
    let keys = Keys { send: key.clone(), receive: secret(0) };
    let after = RekeyAfter { packets: 1, ..RekeyAfter::default() };
    let mut seal = Seal::new(&keys, cipher, Instant::ZERO, after);
    for before in number - turns..=number {
        let mut builder =
            Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Data, CONNECTION, PacketNumber(before));
        builder.body().extend_from_slice(payload);
        let bytes = seal.finish(Instant::ZERO, PacketNumber(before), builder);
        if before == number {
            return bytes;
        }
        seal.on_acked(PacketNumber(before));
    }
    unreachable!("the last packet is returned")
}

fn sealed(name: &str, cipher: Cipher, turns: u64, number: u64, payload: &[u8]) -> Vector {
    let key = secret(0x40);
    let fields = json!({
        "what": "packet", "cipher": cipher as u8, "handshake_key": text(&key), "keys_before": turns, "number": number, "payload": hex(payload),
    });
    Vector { name: name.to_owned(), fields, bytes: packet(cipher, &key, turns, number, payload) }
}

/// A handshake with empty payloads but for the client's wish: every message, and the keys.
fn handshake(pattern: Pattern, wish: &[u8], keys: [&Secret; 4]) -> (Vec<Vec<u8>>, Keys) {
    let [client_key, server_key, client_ephemeral, server_ephemeral] = keys;
    let known = server_key.public();
    let known = (pattern == Pattern::Ik).then_some(&known);
    let mut client = Noise::client(client_key, known, CONNECTION, client_ephemeral.clone());
    let mut server = Noise::server(pattern, server_key, CONNECTION, server_ephemeral.clone());
    let mut messages = Vec::new();
    while !client.is_finished() {
        let wishes = if pattern == Pattern::Ik { messages.is_empty() } else { messages.len() == 2 };
        let payload = if wishes { wish } else { &[] };
        let up = messages.len() % 2 == 0;
        let (from, to) = if up { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let message = from.write(payload).expect("a message");
        assert_eq!(to.read(&message).as_deref(), Ok(payload));
        messages.push(message);
    }
    (messages, server.keys().expect("it is finished"))
}

/// The ACCEPT datagram that ends it.
fn accept(keys: &Keys, message: Vec<u8>) -> Vec<u8> {
    let accept =
        Accept { client_time_us: 7, server_time_us: 8, datagram_size: 1_200, idle_timeout_ms: 30_000 };
    let mut decision = Vec::new();
    Decision::Accepted { accept, cipher: Cipher::ChaCha20Poly1305, token: [0x70; 16] }.emit(&mut decision);
    let builder = Builder::new(Vec::new(), DATAGRAM_MIN, Kind::Accept, CONNECTION, PacketNumber(0));
    let mut builder = builder.of_sealed();
    keys.seal_verdict(&builder.body()[..HEADER_LEN], &mut decision);
    lfp_proto::greeting::SealedAccept { message, decision }.emit(builder.body());
    builder.finish()
}

fn shaken(name: &str, pattern: Pattern) -> Vector {
    let keys = [0x10, 0x20, 0x30, 0x50].map(secret);
    let [client, server, client_ephemeral, server_ephemeral] = &keys;
    let (messages, made) = handshake(pattern, b"the client's wish", keys.each_ref());
    let fields = json!({
        "what": "handshake", "pattern": format!("{pattern:?}").to_uppercase(), "connection": CONNECTION.0,
        "client_key": text(client), "server_key": text(server),
        "client_ephemeral": text(client_ephemeral), "server_ephemeral": text(server_ephemeral),
        "server_fingerprint": server.public().fingerprint().to_string(),
        "wish": hex(b"the client's wish"), "messages": messages.iter().map(|message| hex(message)).collect::<Vec<_>>(),
        "up_key": text(&made.receive), "down_key": text(&made.send),
    });
    let message = if pattern == Pattern::Ik { messages[1].clone() } else { Vec::new() };
    Vector { name: name.to_owned(), fields, bytes: accept(&made, message) }
}

fn made() -> Vec<Vector> {
    vec![
        shaken("IK, and the ACCEPT that ends it", Pattern::Ik),
        shaken("XX, and the ACCEPT that ends it", Pattern::Xx),
        sealed("a ping under the first key", Cipher::ChaCha20Poly1305, 0, 1, &[1]),
        sealed("a number of more than 32 bits", Cipher::ChaCha20Poly1305, 0, 0x1_0000_0005, &[1, 0, 0, 1]),
        sealed("a ping under the second key", Cipher::ChaCha20Poly1305, 1, 2, &[1]),
        sealed("a ping under the third key", Cipher::ChaCha20Poly1305, 2, 3, &[1]),
        sealed("AES-256-GCM, under the first key", Cipher::Aes256Gcm, 0, 1, &[1]),
        sealed("AES-256-GCM, under the second key", Cipher::Aes256Gcm, 1, 2, &[1]),
    ]
}

#[test]
fn sealed_packets_and_handshakes() {
    let mut whats = Vec::new();
    for vector in vectors("sealed.json", &made()) {
        let fields = &vector.fields;
        let what = fields["what"].as_str().expect("what it is");
        whats.push(what.to_owned());
        if what == "packet" {
            let number = |name: &str| fields[name].as_u64().expect("a number");
            let payload = unhex(fields["payload"].as_str().expect("a payload"));
            let key = secret_of(&fields["handshake_key"]);
            let cipher = if fields["cipher"] == 1 { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 };
            let bytes = packet(cipher, &key, number("keys_before"), number("number"), &payload);
            assert_eq!(bytes, vector.bytes, "{}", vector.name);
            continue;
        }
        let pattern = if fields["pattern"] == "IK" { Pattern::Ik } else { Pattern::Xx };
        let keys = ["client_key", "server_key", "client_ephemeral", "server_ephemeral"];
        let keys = keys.map(|name| secret_of(&fields[name]));
        let wish = unhex(fields["wish"].as_str().expect("a wish"));
        let (messages, made) = handshake(pattern, &wish, keys.each_ref());
        let stated = fields["messages"].as_array().cloned().unwrap_or_default();
        assert_eq!(
            messages.iter().map(|message| json!(hex(message))).collect::<Vec<_>>(),
            stated,
            "{}",
            vector.name
        );
        assert_eq!(
            (text(&made.receive), text(&made.send)),
            (
                fields["up_key"].as_str().expect("a key").to_owned(),
                fields["down_key"].as_str().expect("a key").to_owned(),
            )
        );
        let message = if pattern == Pattern::Ik { messages[1].clone() } else { Vec::new() };
        assert_eq!(accept(&made, message), vector.bytes, "{}", vector.name);
    }
    assert!(whats.iter().any(|what| what == "packet") && whats.iter().any(|what| what == "handshake"));
}
