//! Nothing for nothing: what strangers get, and what it takes to be known.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::TestClient;
use super::world::{World, config, service};
use crate::limits::COOKIE_LIFETIME;
use crate::server::{Input, Output};
use crate::units::{ConnectionId, PacketNumber};
use lfp_proto::frame::{CloseReason, Frame};
use lfp_proto::hello::{Challenge, RefuseReason};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::technique::Technique;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn stranger(index: u32) -> SocketAddr {
    SocketAddr::from(([198, 51, (index >> 16) as u8, (index >> 8) as u8], 1_024 + (index & 0xff) as u16))
}

/// Hands `bytes` in and returns everything sent in answer.
fn ask(world: &mut World, from: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
    world.server.handle(world.now, Input::Datagram { from, bytes });
    let mut answers = Vec::new();
    loop {
        match world.server.poll(world.now) {
            Output::Transmit { to, packet } => answers.push((to, packet.close())),
            Output::Timeout(_) => return answers,
            _ => {}
        }
    }
}

/// The HELLO of a client that has asked for and got a cookie.
fn proven(world: &mut World, client: &mut TestClient) -> Vec<u8> {
    let answers = ask(world, client.address, &client.hello_bytes());
    let view = View::new_checked(&answers[0].1).unwrap();
    assert_eq!(view.kind(), Kind::Challenge);
    client.hello.cookie = Challenge::parse(view.payload()).unwrap().cookie;
    client.hello_bytes()
}

fn kind(answer: &(SocketAddr, Vec<u8>)) -> Kind {
    View::new_checked(&answer.1).unwrap().kind()
}

#[test]
fn strangers_cost_nothing_and_get_less_than_they_send() {
    let mut world = World::new(1, 0);
    for index in 0..50_000 {
        let mut client = TestClient::new(0, &service(0));
        client.connection = ConnectionId(u64::from(index));
        let hello = client.hello_bytes();
        let answers = ask(&mut world, stranger(index), &hello);
        let [(to, answer)] = &answers[..] else { panic!("{} answers", answers.len()) };
        assert_eq!(*to, stranger(index));
        assert!(answer.len() <= 3 * hello.len());
    }
    assert_eq!((world.server.sessions(), world.server.stats().challenges), (0, 50_000));
    assert!(world.demands.is_empty());
}

#[test]
fn unread_answers_are_bounded() {
    let mut world = World::new(1, 0);
    let hello = TestClient::new(0, &service(0)).hello_bytes();
    for index in 0..1_000 {
        world.server.handle(world.now, Input::Datagram { from: stranger(index), bytes: &hello });
    }
    assert_eq!(world.server.stats().dropped_replies, 1_000 - crate::limits::REPLIES_PENDING_MAX as u64);
}

#[test]
fn a_short_hello_is_not_answered() {
    let mut world = World::new(1, 0);
    let client = TestClient::new(0, &service(0));
    let mut builder = Builder::new(Vec::new(), 1_200, Kind::Hello, client.connection, PacketNumber(0));
    client.hello.emit(builder.body());
    assert!(ask(&mut world, client.address, &builder.finish()).is_empty());
    assert_eq!(world.server.stats().dropped_short, 1);
}

#[test]
fn a_cookie_is_needed_and_must_be_the_right_one() {
    let mut world = World::new(1, 0);
    let mut client = TestClient::new(0, &service(0));
    let hello = proven(&mut world, &mut client);
    // From somewhere else.
    assert_eq!(kind(&ask(&mut world, stranger(1), &hello)[0]), Kind::Challenge);
    // For another connection.
    client.connection = ConnectionId(99);
    let other = client.hello_bytes();
    assert_eq!(kind(&ask(&mut world, client.address, &other)[0]), Kind::Challenge);
    assert_eq!((world.server.sessions(), world.server.stats().cookies_forged), (0, 2));
    // Too late.
    world.now = world.now + COOKIE_LIFETIME + ms(1);
    assert_eq!(kind(&ask(&mut world, client.address, &hello)[0]), Kind::Challenge);
    assert_eq!((world.server.sessions(), world.server.stats().cookies_expired), (0, 1));
}

#[test]
fn a_repeated_hello_gets_the_same_session() {
    let mut world = World::new(1, 0);
    let mut client = TestClient::new(0, &service(0));
    let hello = proven(&mut world, &mut client);
    for _ in 0..5 {
        assert_eq!(kind(&ask(&mut world, client.address, &hello)[0]), Kind::Accept);
    }
    assert_eq!((world.server.sessions(), world.server.stats().sessions_begun), (1, 1));
}

#[test]
fn a_hello_that_comes_after_the_end_does_not_bring_the_session_back() {
    let mut world = World::new(1, 0);
    let mut client = TestClient::new(0, &service(0));
    let hello = proven(&mut world, &mut client);
    ask(&mut world, client.address, &hello);
    let close = client.close();
    ask(&mut world, client.address, &close);
    assert_eq!(world.server.sessions(), 0);
    world.now = world.now + COOKIE_LIFETIME;
    assert!(ask(&mut world, client.address, &hello).is_empty());
    assert_eq!((world.server.sessions(), world.server.stats().dropped_ended), (0, 1));
}

#[test]
fn who_may_not_have_a_session_is_told_why() {
    let refusal = |config, change: &dyn Fn(&mut TestClient), first: bool| {
        let mut world = World::with(config, 200, 150, 1, 2);
        if first {
            world.run(ms(200));
        }
        change(&mut world.clients[1]);
        world.run(ms(300));
        world.clients[1].refused.as_ref().map(|refuse| refuse.reason)
    };
    let nothing = |_: &mut TestClient| ();
    assert_eq!(refusal(config(1), &nothing, false), None);
    let mut closed = config(1);
    closed.plain = false;
    assert_eq!(refusal(closed, &nothing, false), Some(RefuseReason::PlainNotAllowed));
    let other = |client: &mut TestClient| client.hello.service = "other".to_owned();
    assert_eq!(refusal(config(1), &other, false), Some(RefuseReason::UnknownService));
    let poor = |client: &mut TestClient| client.hello.decoders = Technique::Colour.bit();
    assert_eq!(refusal(config(1), &poor, false), Some(RefuseReason::Unsupported));
    let mut small = config(1);
    small.sessions_max = 1;
    let mut world = World::with(small, 200, 150, 1, 3);
    world.run(ms(300));
    let refused: Vec<_> = world.clients.iter().filter_map(|client| client.refused.as_ref()).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|refuse| refuse.reason == RefuseReason::Full));
}

#[test]
fn what_is_no_datagram_of_ours_is_counted_and_dropped() {
    let mut world = World::new(1, 0);
    let from = stranger(1);
    let good = TestClient::new(0, &service(0)).hello_bytes();
    let reseal = |mut bytes: Vec<u8>, at: usize, value: u8| {
        bytes.truncate(bytes.len() - 4);
        bytes[at] = value;
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    };
    let mut broken = good.clone();
    broken[30] ^= 1;
    assert!(ask(&mut world, from, &broken).is_empty());
    assert!(ask(&mut world, from, &reseal(good.clone(), 0, 0x21)).is_empty(), "version 2");
    assert!(ask(&mut world, from, &reseal(good.clone(), 0, 0x13)).is_empty(), "an ACCEPT");
    assert!(ask(&mut world, from, &reseal(good.clone(), 0, 0x1f)).is_empty(), "no kind");
    assert!(ask(&mut world, from, &reseal(good, 1, 1)).is_empty(), "sealed");
    assert!(ask(&mut world, from, &[]).is_empty());
    assert!(ask(&mut world, from, &vec![0x11; 9_000]).is_empty());
    let stats = world.server.stats();
    assert_eq!((stats.dropped_checksum, stats.dropped_version, stats.dropped_malformed), (1, 1, 5));
}

#[test]
fn unknown_connections_are_told_so_seldom_and_briefly() {
    let mut world = World::new(1, 0);
    let mut client = TestClient::new(0, &service(0));
    let mut closes = 0;
    for _ in 0..300 {
        let data = client.packet(&[Frame::Ping, Frame::Ping, Frame::Ping]);
        for (_, answer) in ask(&mut world, client.address, &data) {
            assert!(answer.len() <= data.len());
            let view = View::new_checked(&answer).unwrap();
            let frame = view.frames().next();
            assert!(
                matches!(&frame, Some(Ok(Frame::Close(close))) if close.reason == CloseReason::Unknown),
                "{frame:?}"
            );
            closes += 1;
        }
        world.now = world.now + ms(10);
    }
    assert_eq!((closes, world.server.stats().dropped_unknown), (3, 300));
    let tiny = client.packet(&[Frame::Ping]);
    world.now = world.now + ms(2_000);
    assert!(ask(&mut world, client.address, &tiny).is_empty(), "CLOSE would be longer");
}

#[test]
fn a_session_follows_its_client_only_after_proof() {
    let mut world = World::new(1, 1);
    world.paint(0, 100);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    world.run(ms(200));
    let old = world.clients[0].address;
    let new = stranger(7);
    // A packet from elsewhere moves nothing and is not answered.
    let data = world.clients[0].packet(&[Frame::Ping]);
    world.server.handle(world.now, Input::Datagram { from: new, bytes: &data });
    world.run(ms(50));
    assert_eq!(world.server.stats().dropped_address, 1);
    assert_eq!(world.server.status().next().unwrap().address, old);
    let now = world.now;
    world.clients[0].move_to(new, now);
    world.paint(0, 100);
    world.run_till(ms(1_000), |world| world.is_exact(0, 0));
    let status = world.server.status().next().unwrap();
    assert_eq!((status.address, status.stats.moves, world.server.sessions()), (new, 1, 1));
}
