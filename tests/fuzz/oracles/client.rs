//! The client's core: whatever a server says, it goes on, within its bounds.

use client_lfp::limits::{DATAGRAM_DEFAULT, INPUT_PENDING_MAX};
use client_lfp::{Client, Config, Security, State, Stats};
use lfp_proto::frame::InputKind;
use lfp_proto::hello::{Accept, Challenge, Hello};
use lfp_proto::limits::OFFER_PARTS_MAX;
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;

use crate::harness::Tally;
use crate::script::steps;
use crate::traffic::CONNECTION;

/// Datagrams that a client may send for one that came and for the time since: one that comes back offers what it has at once.
const ANSWERS_MAX: usize = 8 + OFFER_PARTS_MAX;

/// A script of datagrams to a client in an established session, or (if the first comes from an odd address) to one
/// that asks for a session still.
pub(crate) fn client(input: &[u8], tally: &mut Tally) {
    let mut now = Instant::from_micros(1_000_000);
    let asks = steps(input).next().is_some_and(|step| step.what % 2 == 1);
    let begin = |now: Instant| {
        let mut client = Client::new(&Config::default(), Security::Plain, CONNECTION, now);
        if !asks {
            establish(&mut client, now);
        }
        client
    };
    let (mut client, mut given) = (begin(now), 0);
    // What one that comes back brings along.
    let mut before = Stats::default();
    for (at, step) in steps(input).enumerate() {
        if client.state().is_final() && at % 8 == 0 {
            count(&client, &before, std::mem::take(&mut given), tally);
            // Every other one comes back with what that one showed.
            client = match at % 16 {
                0 => begin(now),
                _ => {
                    let kept = client.kept();
                    let mut client =
                        Client::returning(&Config::default(), Security::Plain, CONNECTION, now, kept);
                    establish(&mut client, now);
                    client
                }
            };
            before = client.stats().clone();
        }
        now = now + step.gap;
        client.handle_timeout(now);
        client.handle_datagram(now, step.bytes);
        given += 1;
        if at % 4 == 0 {
            client.input(now, InputKind::Key { code: step.what.into(), down: at % 8 == 0 });
        }
        check(&mut client, now);
    }
    count(&client, &before, given, tally);
}

/// Counts what became of the datagrams that a client was `given`, which had counted so much `before`.
fn count(client: &Client, before: &Stats, given: u64, tally: &mut Tally) {
    let stats = client.stats();
    let reasons = [
        ("malformed", stats.malformed - before.malformed),
        ("foreign", stats.foreign - before.foreign),
        ("duplicate", stats.duplicates - before.duplicates),
        ("untimely", stats.untimely - before.untimely),
    ];
    let dropped: u64 = reasons.iter().map(|(_, datagrams)| datagrams).sum();
    assert!(dropped <= given, "a datagram is dropped once");
    tally.take(given - dropped);
    for (reason, datagrams) in reasons {
        tally.refuse(reason, datagrams);
    }
}

fn establish(client: &mut Client, now: Instant) {
    let hello = |client: &mut Client| {
        let bytes = client.poll_transmit(now).expect("a client asks");
        let view = View::new_checked(&bytes).expect("a datagram");
        Hello::parse(view.payload()).expect("a hello")
    };
    let answer = |client: &mut Client, kind, emit: &dyn Fn(&mut Vec<u8>)| {
        let mut builder = Builder::new(Vec::new(), 1200, kind, CONNECTION, PacketNumber(0));
        emit(builder.body());
        client.handle_datagram(now, &builder.finish());
    };
    let client_time_us = hello(client).client_time_us;
    let challenge = Challenge { client_time_us, cookie: b"cookie".to_vec() };
    answer(client, Kind::Challenge, &|out| challenge.emit(out));
    let client_time_us = hello(client).client_time_us;
    let accept = Accept { client_time_us, server_time_us: 0, datagram_size: 1200, idle_timeout_ms: 30_000 };
    answer(client, Kind::Accept, &|out| accept.emit(out));
    assert_eq!(*client.state(), State::Established);
}

/// What holds after every event, whatever the server said.
fn check(client: &mut Client, now: Instant) {
    client.handle_timeout(now);
    let mut sent = 0;
    while let Some(bytes) = client.poll_transmit(now) {
        sent += 1;
        assert!(bytes.len() <= DATAGRAM_DEFAULT && sent <= ANSWERS_MAX, "{sent} answers");
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
