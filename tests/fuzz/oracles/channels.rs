//! Both ends of both channels between a host and an appliance.

use std::fmt::Debug;

use lfp::channel::{Lines, control, guest, line};
use lfp::config::{Config, Overrides};
use lfp::limits::{CHANNEL_LINE_MAX, CONTROL_UNREAD_MAX, SOURCES_MAX};
use lfp::services::{Catalogue, Conversation};
use lfp_proto::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::harness::Outcome;

/// What is understood of `input`, which is the same however it comes in pieces; and a message that is said again means the same.
fn heard<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Vec<T> {
    let cut = |step: usize| {
        let (mut lines, mut heard) = (Lines::default(), Vec::new());
        for piece in input.chunks(step) {
            lines.receive(piece, |message| heard.push(message));
        }
        heard
    };
    let whole = cut(input.len().max(1));
    for step in [1, 7, 100] {
        assert_eq!(cut(step), whole, "in pieces of {step}");
    }
    whole.into_iter().filter_map(Result::ok).collect()
}

fn said_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(messages: &[T]) {
    for message in messages {
        let mut again = Vec::new();
        Lines::default().receive(&line(message), |message| again.push(message));
        assert_eq!(again.iter().map(Result::as_ref).collect::<Vec<_>>(), [Ok(message)]);
    }
}

/// The control channel: what the host says does what it may and no more; what the appliance says is understood.
pub(crate) fn control(input: &[u8]) -> Outcome {
    let answers = heard::<control::FromAppliance>(input);
    said_again(&answers);
    let asked = heard::<control::Request>(input).len();
    let now = Instant::from_micros(1);
    let mut talk = Conversation::new(now);
    let mut catalogue = Catalogue::new(Config::nothing(), Overrides::default());
    talk.receive(now, input);
    while let Some((control::Request { id, command }, _)) = talk.next(now) {
        let before: Vec<_> = catalogue.openings().collect();
        let outcome = match command {
            control::Command::Attach { service, source, input } => catalogue.attach(&service, &source, input),
            control::Command::Detach { service } => catalogue.detach(&service),
            control::Command::Configure { config } => catalogue.configure(config),
            control::Command::Status {} => Ok(Vec::new()),
        };
        if let Err(text) = outcome {
            let after: Vec<_> = catalogue.openings().collect();
            assert_eq!(before, after, "a request that is refused changes nothing");
            talk.say(&control::FromAppliance::Error { id: Some(id), text });
        }
        assert!(catalogue.openings().map(|opening| opening.sources.len()).sum::<usize>() <= SOURCES_MAX);
    }
    assert!(talk.unread().len() <= CONTROL_UNREAD_MAX + CHANNEL_LINE_MAX + input.len());
    if asked + answers.len() > 0 { Ok(()) } else { Err("no message") }
}

/// A guest port.
pub(crate) fn guest(input: &[u8]) -> Outcome {
    let (down, up) = (heard::<guest::FromHost>(input), heard::<guest::FromAppliance>(input));
    said_again(&down);
    said_again(&up);
    for event in &up {
        if let guest::FromAppliance::Input { event, .. } = event {
            assert!(event.input().is_none_or(|input| guest::Event::from(input) == *event));
        }
    }
    if down.len() + up.len() > 0 { Ok(()) } else { Err("no message") }
}
