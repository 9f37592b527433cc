//! What holds for a client whatever a server says: for tests and fuzzing.

use core::time::Duration;

use lfp_proto::frame::{Frame, InputKind, Surface, SurfaceState};
use lfp_proto::geometry::Size;
use lfp_proto::hello::{Accept, Hello};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::time::Instant;
use lfp_proto::units::{ConnectionId, Epoch, PacketNumber, SurfaceId};
use lfp_proto::wire::Reader;

use crate::limits::{DATAGRAM_MAX, INPUT_PENDING_MAX};
use crate::{Client, Config, Security, State};

const CONNECTION: ConnectionId = ConnectionId(7);
/// Datagrams that one event may make a client send.
const SENT_MAX: usize = 8;

/// Drains what `client` sends at `now`, and checks what must hold after every event.
///
/// # Panics
/// If a rule is broken: a datagram too long, no end of sending, a deadline that has passed and is left over, a
/// picture that does not fit its size.
pub fn check(client: &mut Client, now: Instant) {
    let mut sent = 0;
    while let Some(bytes) = client.poll_transmit(now) {
        assert!(bytes.len() <= DATAGRAM_MAX);
        sent += 1;
        assert!(sent <= SENT_MAX, "one event made the client send {sent} datagrams");
    }
    if let Some(due) = client.poll_timeout() {
        assert!(due > now, "a deadline at {due:?} is left over at {now:?}");
    }
    if let Some(picture) = client.picture() {
        assert_eq!(picture.pixels.len(), picture.size.pixels());
        assert_eq!(picture.contents.len(), picture.size.grid().cells());
    }
    assert!(client.input_waiting() <= INPUT_PENDING_MAX);
}

/// Plays a server that says what `bytes` hold, to a client that has a session and a small picture: the entry of a
/// fuzzer.
///
/// `bytes` are events: flags (u8), time passed in milliseconds (u8), length (u16), and so many bytes. Bit 0 of the
/// flags: the bytes are a whole datagram, else the payload of one; bit 1: of the next packet, else of a packet two
/// ahead (so one is missing); bits 2 and 3: kind (DATA, ACCEPT, CHALLENGE, REFUSE); bit 4: the user presses a key
/// before. What is cut short ends the run.
///
/// # Panics
/// If [`check`] does.
pub fn hostile_server(bytes: &[u8]) {
    let (mut client, mut now) = established();
    let mut number = 1;
    let mut reader = Reader::new(bytes);
    while let (Ok(flags), Ok(ms), Ok(len)) = (reader.u8(), reader.u8(), reader.u16()) {
        let Ok(said) = reader.bytes(usize::from(len)) else { return };
        now = now + Duration::from_millis(u64::from(ms));
        client.handle_timeout(now);
        if flags & 16 != 0 {
            client.input(now, InputKind::Key { code: u16::from(ms), down: flags & 32 != 0 });
        }
        if flags & 1 != 0 {
            client.handle_datagram(now, said);
        } else {
            number += if flags & 2 != 0 { 1 } else { 2 };
            let kind = [Kind::Data, Kind::Accept, Kind::Challenge, Kind::Refuse][usize::from(flags >> 2 & 3)];
            client.handle_datagram(now, &datagram(kind, number, said));
        }
        check(&mut client, now);
    }
}

fn datagram(kind: Kind, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new(), DATAGRAM_MAX, kind, CONNECTION, PacketNumber(number));
    let len = payload.len().min(builder.room());
    builder.body().extend_from_slice(&payload[..len]);
    builder.finish()
}

/// A client with a session and a blank picture of a few cells.
fn established() -> (Client, Instant) {
    let now = Instant::from_micros(1_000_000);
    let mut client = Client::new(&Config::default(), Security::Plain, CONNECTION, now);
    let hello = client.poll_transmit(now).expect("the first hello");
    let view = View::new_checked(&hello).expect("a datagram");
    let client_time_us = Hello::parse(view.payload()).expect("a hello").client_time_us;
    let accept = Accept { client_time_us, server_time_us: 0, datagram_size: 1200, idle_timeout_ms: 30_000 };
    let mut body = Vec::new();
    accept.emit(&mut body);
    client.handle_datagram(now, &datagram(Kind::Accept, 0, &body));
    assert_eq!(*client.state(), State::Established);
    let (state, size) = (SurfaceState::Live, Size::new(100, 60));
    let surface = Surface { surface: SurfaceId(0), epoch: Epoch(1), state, size, text: "" };
    let mut body = Vec::new();
    Frame::Surface(surface).emit(&mut body);
    client.handle_datagram(now, &datagram(Kind::Data, 1, &body));
    (client, now)
}
