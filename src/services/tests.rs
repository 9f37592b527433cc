//! What requests make of the services, and what a conversation takes.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::catalogue::{Catalogue, Deed, Opening};
use super::conversation::Conversation;
use super::endpoint::{Endpoint, find_port};
use super::status::{answer, statuses};
use crate::channel::control::{FromAppliance, ServiceStatus, Status};
use crate::channel::line;
use crate::config::{Config, Overrides, Use};
use crate::hypervisor::{SourceId, Surface, View};
use crate::limits::{
    CHANNEL_LINE_MAX, CONTROL_BYTES_BURST, CONTROL_BYTES_PER_SECOND, CONTROL_ERRORS_PER_SECOND,
    CONTROL_READ_BYTES, CONTROL_REQUESTS_BURST, CONTROL_REQUESTS_PER_SECOND, CONTROL_UNREAD_MAX, SOURCES_MAX,
};
use crate::output::Report;
use crate::pixel::PixelFormat;
use crate::time::Instant;

const IDLE: &str = "synthetic:idle?seed=1&size=64x64&fps=30";

fn configured(value: Value) -> Catalogue {
    let config = Config::of_value(value, Use::Controlled).expect("a configuration");
    Catalogue::new(config, Overrides::default())
}

fn empty() -> Catalogue {
    Catalogue::new(Config::nothing(), Overrides::default())
}

fn names(catalogue: &Catalogue) -> Vec<String> {
    catalogue.openings().map(|opening| opening.name).collect()
}

/// What is done, as words: `-name` ends, `+name` begins, `=` settles.
fn words(deeds: &[Deed]) -> Vec<String> {
    let word = |deed: &Deed| match deed {
        Deed::End { name, .. } => format!("-{name}"),
        Deed::Open(Opening { name, .. }) => format!("+{name}"),
        Deed::Settle(_) => "=".to_owned(),
    };
    deeds.iter().map(word).collect()
}

#[test]
fn what_is_attached_is_served_replaced_and_detached() {
    let mut catalogue = empty();
    let deeds = catalogue.attach("web", IDLE, true).unwrap();
    let [Deed::Open(Opening { service, sources, .. })] = &deeds[..] else { panic!("{deeds:?}") };
    assert_eq!((sources[0].0, service.sources[0].source), (SourceId(0), SourceId(0)));
    assert!(catalogue.attach("web", IDLE, true).unwrap().is_empty(), "said again, it stays as it is");
    let other = catalogue.attach("web", "synthetic:typing", true).unwrap();
    assert_eq!(words(&other), ["-web", "+web"]);
    let Deed::Open(Opening { sources, .. }) = &other[1] else { panic!("{other:?}") };
    assert_eq!(sources[0].0, SourceId(1), "no number is given twice");
    let ended = catalogue.detach("web").unwrap();
    let [Deed::End { why, .. }] = &ended[..] else { panic!("{ended:?}") };
    assert!(why.starts_with("the service has ended") && why.contains("web"), "{why}");
    assert!(catalogue.detach("web").unwrap_err().contains("no service \"web\""));
    assert!(names(&catalogue).is_empty());
}

#[test]
fn what_cannot_be_attached_is_said_and_changes_nothing() {
    let mut catalogue = configured(json!({"services": [{"name": "own", "source": IDLE}]}));
    for (name, source, part) in [
        ("", IDLE, "1 to 64 bytes"),
        ("a\nb", IDLE, "control character"),
        ("web", "vnc:host", "names no source"),
        ("web", &"x".repeat(2_000), "at most 1024 bytes"),
        ("own", IDLE, "service of the configuration"),
    ] {
        let error = catalogue.attach(name, source, true).unwrap_err();
        assert!(error.contains(part), "{name} {source}: {error}");
    }
    assert!(catalogue.detach("own").unwrap_err().contains("service of the configuration"));
    for at in 1..SOURCES_MAX {
        catalogue.attach(&format!("guest-{at}"), IDLE, false).unwrap();
    }
    assert!(catalogue.attach("more", IDLE, false).unwrap_err().contains("256 sources"));
    let replaced = catalogue.attach("guest-7", "synthetic:typing", false).unwrap();
    assert_eq!(words(&replaced), ["-guest-7", "+guest-7"], "in another's place there is room");
    assert_eq!(names(&catalogue).len(), SOURCES_MAX);
}

#[test]
fn a_configuration_changes_what_differs_and_leaves_the_rest() {
    let mut catalogue = configured(json!({"listen": "127.0.0.1:5810", "services": [
        {"name": "a", "source": IDLE}, {"name": "b", "source": IDLE}, {"name": "c", "source": IDLE}]}));
    catalogue.attach("web", IDLE, true).unwrap();
    assert_eq!(catalogue.complain("it was wrong"), "it was wrong");
    let deeds = catalogue.configure(json!({"plain": true, "sessions_max": 3, "services": [
        {"name": "a", "source": IDLE}, {"name": "b", "source": IDLE, "rate_hz": 5}, {"name": "d", "source": IDLE}]}));
    let deeds = deeds.unwrap();
    assert_eq!(words(&deeds), ["=", "-b", "-c", "+b", "+d"]);
    assert!(matches!(deeds[0], Deed::Settle(settings) if settings.plain && settings.sessions_max == 3));
    assert_eq!(names(&catalogue), ["a", "b", "d", "web"]);
    assert_eq!(catalogue.error(), None, "a good one is in force");
    for (config, part) in [
        (json!([]), "an object"),
        (json!({"services": [{"name": "x"}]}), "services[0].source: missing"),
        (json!({"listen": "127.0.0.1:9", "services": []}), "listen: is 127.0.0.1:5810 and cannot change"),
        (json!({"sockets": 3, "services": []}), "sockets: "),
        (json!({"state_dir": "/x", "services": []}), "state_dir: is not set"),
        (json!({"stats": "/x", "services": []}), "stats: "),
        (json!({"services": [{"name": "web", "source": IDLE}]}), "is attached"),
    ] {
        let error = catalogue.configure(config.clone()).unwrap_err();
        assert!(error.contains(part), "{config}: {error}");
        assert_eq!(names(&catalogue), ["a", "b", "d", "web"], "nothing has changed");
    }
    let same = json!({"listen": "127.0.0.1:5810", "services": []});
    assert_eq!(words(&catalogue.configure(same).unwrap()), ["=", "-a", "-b", "-d"]);
}

#[test]
fn the_state_of_a_service_is_that_of_its_first_source() {
    let mut catalogue = configured(json!({"services": [{"name": "own", "source": [IDLE, IDLE]}]}));
    catalogue.attach("web", IDLE, true).unwrap();
    let size = crate::geometry::Size { width: 640, height: 480 };
    let surface = Surface { size, stride_bytes: 2_560, format: PixelFormat::Xrgb8888, offset_bytes: 0 };
    let report = Report {
        watched: [("web".to_owned(), 2)].into(),
        views: vec![(SourceId(0), None), (SourceId(1), None), (SourceId(2), Some(View::Live(surface)))],
        ..Report::default()
    };
    let all = statuses(&catalogue, &report);
    let words = |name: &str| {
        let ServiceStatus { state, text, sessions, is_attached, .. } = &all[name];
        format!("{state} {text} {sessions} {is_attached}")
    };
    assert_eq!(words("web"), "live 640x480 xrgb8888 2 true");
    assert_eq!(words("own"), "waiting it was not looked at yet 0 false");
}

#[test]
fn a_status_fits_a_line_however_many_services_there_are() {
    let service = |at: usize| ServiceStatus {
        service: format!("guest-{at}"),
        source: "x".repeat(at * 8 % 1_000),
        text: "y".repeat(200),
        ..ServiceStatus::default()
    };
    for count in [0, 1, 50, 256] {
        let services: Vec<_> = (0..count).map(service).collect();
        let message = answer(3, Status { services: services.clone(), ..Status::default() });
        assert!(line(&message).len() <= CHANNEL_LINE_MAX);
        let FromAppliance::Status { id: 3, status } = message else { panic!("{message:?}") };
        assert_eq!(status.services.len() + status.services_left_out, count);
        assert_eq!(status.services, services[..status.services.len()]);
        assert!(status.services.len() >= count.min(50));
    }
}

/// A configuration may quote anything, and name files at any length.
#[test]
fn what_is_wrong_fits_a_line_however_long_it_is() {
    let path = "\u{1b}".repeat(100_000);
    let source = format!("shm:/{path}");
    let mut catalogue = configured(json!({"services": [{"name": "a", "source": source}]}));
    catalogue.complain(&format!("{path:?} is no field"));
    let all = statuses(&catalogue, &Report::default());
    let (error, service) = (catalogue.error().expect("it was said").to_owned(), all["a"].clone());
    let hello = FromAppliance::Hello { version: 1, program: String::new(), error: Some(error.clone()) };
    for said in [hello, FromAppliance::Error { id: Some(1), text: error }, FromAppliance::Service(service)] {
        assert!(line(&said).len() <= CHANNEL_LINE_MAX);
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(1_000_000 + millis * 1_000)
}

fn ask(id: u64) -> Vec<u8> {
    format!("{{\"id\":{id},\"do\":{{\"status\":{{}}}}}}\n").into_bytes()
}

/// What is said, taken away.
fn said(conversation: &mut Conversation) -> Vec<Value> {
    let all = conversation.unread().to_vec();
    conversation.sent(all.len());
    all.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn requests_are_handed_out_in_order_and_a_new_beginning_is_noticed() {
    let mut talk = Conversation::new(at(0));
    talk.begin(&FromAppliance::Done { id: 99 });
    assert_eq!(said(&mut talk), [json!({"done": {"id": 99}})]);
    talk.receive(at(0), &[ask(1), ask(2), ask(7), ask(1), ask(2)].concat());
    let heard: Vec<_> = std::iter::from_fn(|| talk.next(at(0))).map(|(it, begins)| (it.id, begins)).collect();
    assert_eq!(heard, [(1, false), (2, false), (7, false), (1, true), (2, false)]);
    talk.receive(at(1), b"{\"id\":8,\"do\":");
    talk.begin(&FromAppliance::Done { id: 99 });
    talk.receive(at(1), &ask(1));
    assert_eq!(
        talk.next(at(1)).map(|(it, begins)| (it.id, begins)),
        Some((1, false)),
        "half a line is forgotten"
    );
}

#[test]
fn garbage_gets_a_few_errors_a_second_and_is_counted() {
    let mut talk = Conversation::new(at(0));
    for millis in 0..10_000 {
        talk.receive(at(millis), b"\xff{}[]garbage\n");
    }
    let errors = said(&mut talk);
    let most = CONTROL_ERRORS_PER_SECOND as usize * 11;
    assert!((most - 10..=most).contains(&errors.len()), "{} errors in ten seconds", errors.len());
    let text = errors[20]["error"]["text"].as_str().unwrap();
    assert!(text.contains("not a message of this channel") && text.contains("more lines"), "{text}");
    assert_eq!(errors[0]["error"].get("id"), None);
    // A request among it is answered.
    talk.receive(at(10_000), &[b"more garbage\n".to_vec(), ask(1)].concat());
    assert!(talk.next(at(10_000)).is_some());
}

#[test]
fn a_flood_is_read_no_faster_than_it_may_be_answered_and_nothing_grows() {
    let mut talk = Conversation::new(at(0));
    let flood: Vec<u8> = (0..200).flat_map(ask).collect();
    let (mut answered, mut read, mut from) = (0, 0, 0);
    for millis in 0..20_000 {
        while talk.wants_bytes(at(millis)) {
            let piece: Vec<_> = flood.iter().copied().cycle().skip(from).take(CONTROL_READ_BYTES).collect();
            talk.receive(at(millis), &piece);
            (from, read) = ((from + piece.len()) % flood.len(), read + piece.len());
        }
        while talk.next(at(millis)).is_some() {
            answered += 1;
        }
        assert!(talk.deadline(at(millis)).is_none_or(|due| due > at(millis)), "nobody is woken in vain");
    }
    let most = CONTROL_REQUESTS_BURST + 20 * CONTROL_REQUESTS_PER_SECOND;
    assert!(answered <= most && answered >= most - 60, "{answered} of {most}");
    assert!(read < 2 * most as usize * ask(100).len(), "{read} bytes");
    // Of what is no request, so many bytes.
    let mut talk = Conversation::new(at(0));
    let mut read = 0;
    for millis in 0..5_000 {
        while talk.wants_bytes(at(millis)) {
            talk.receive(at(millis), &[b'x'; CONTROL_READ_BYTES]);
            read += CONTROL_READ_BYTES as u64;
        }
    }
    let most = CONTROL_BYTES_BURST + 5 * CONTROL_BYTES_PER_SECOND + CONTROL_READ_BYTES as u64;
    assert!(read <= most && read > most / 2, "{read} of {most}");
}

#[test]
fn whoever_reads_no_answers_gets_no_more() {
    let mut talk = Conversation::new(at(0));
    talk.receive(at(0), &(1..=100).flat_map(ask).collect::<Vec<_>>());
    let mut answers = 0;
    while talk.next(at(0)).is_some() {
        talk.say(&FromAppliance::Error { id: None, text: "z".repeat(10_000) });
        answers += 1;
    }
    assert!(answers < 10 && talk.unread().len() < 2 * CONTROL_UNREAD_MAX, "{answers}");
    assert!(!talk.wants_bytes(at(0)) && talk.deadline(at(0)).is_none());
    for _ in 0..1_000 {
        talk.owe("web");
    }
    assert_eq!(talk.owed(), None);
    said(&mut talk);
    assert_eq!((talk.owed(), talk.owed()), (Some("web".to_owned()), None));
    assert!(talk.next(at(1)).is_some(), "it goes on");
}

#[test]
fn a_port_is_found_by_its_name() {
    assert_eq!("port:lfp.control".parse(), Ok(Endpoint::Named("lfp.control".to_owned())));
    assert_eq!("/run/x".parse(), Ok(Endpoint::At(PathBuf::from("/run/x"))));
    let folder = tempfile::tempdir().unwrap();
    for (device, name) in [("vport1p1", "com.other\n"), ("vport1p2", "lfp.control\n"), ("vport2p1", "")] {
        let port = folder.path().join(device);
        std::fs::create_dir(&port).unwrap();
        std::fs::write(port.join("name"), name).unwrap();
    }
    assert_eq!(find_port(folder.path(), "lfp.control").unwrap(), PathBuf::from("/dev/vport1p2"));
    assert!(find_port(folder.path(), "lfp").unwrap_err().to_string().contains("no virtio port \"lfp\""));
    assert!(find_port(&folder.path().join("absent"), "lfp.control").is_err());
}

#[test]
fn what_was_overdrawn_is_earned_first() {
    let mut talk = Conversation::new(at(0));
    talk.receive(at(0), &vec![b' '; CONTROL_BYTES_BURST as usize]);
    assert!(!talk.wants_bytes(at(0)));
    let due = talk.deadline(at(0)).expect("bytes are read again");
    assert!(due > at(0) && due.saturating_since(at(0)) < Duration::from_millis(10));
    assert!(talk.wants_bytes(due));
}
