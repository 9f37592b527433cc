//! Texts that people, monitors and kernels write.

use std::collections::BTreeSet;

use lfp::config::Config;
use lfp::hypervisor::{SourceSpec, SpecError, Surface, doors};
use lfp::limits::{
    CHANNEL_LINE_MAX, CHORD_KEYS_MAX, NAME_MAX, QMP_LINE_MAX, SCAN_RATE_MAX_HZ, SOURCES_MAX, SURFACES_MAX,
};
use lfp_impair::{Link, LinkSpec};
use lfp_proto::keys::{self, ChordError};
use lfp_proto::time::Instant;

use crate::harness::Outcome;

/// What a monitor says, cut into pieces of any length.
pub(crate) fn monitor(input: &[u8]) -> Outcome {
    let whole = doors::monitor(input, QMP_LINE_MAX);
    for step in [1, 7, 100] {
        assert_eq!(doors::monitor(input, step), whole, "in pieces of {step}");
    }
    match whole {
        Ok(0) => Err("no message"),
        Ok(_) => Ok(()),
        Err(error) => {
            assert!(error.len() < 400 && !error.contains(char::is_control), "{error:?} is for people");
            Err("nonsense")
        }
    }
}

/// What the host's side says over a guest port, cut into pieces of any length.
pub(crate) fn guest_port(input: &[u8]) -> Outcome {
    let whole = doors::guest_port(input, CHANNEL_LINE_MAX);
    for step in [1, 7, 100] {
        assert_eq!(doors::guest_port(input, step), whole, "in pieces of {step}");
    }
    let (messages, modes, text) = whole;
    for (surface, bytes) in &modes {
        lies_inside(surface, *bytes);
    }
    assert!(text.len() < 4 * 1024 && !text.contains(char::is_control), "{text:?} is for people");
    match (messages, modes.is_empty()) {
        (0, _) => Err("no message"),
        (_, true) => Err("no mode"),
        (_, false) => Ok(()),
    }
}

/// What a monitor answers to `query-pci`.
pub(crate) fn display(input: &[u8]) -> Outcome {
    let [registers, order] = doors::display(input).ok_or("no display")?;
    assert!(registers.starts_with("xp /11hx 0x") && order.starts_with("xp /2wx 0x"));
    Ok(())
}

/// What a monitor prints of registers.
pub(crate) fn registers(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let (printed, order) = text.split_once('\x0c').unwrap_or((&text, ""));
    let mut outcome = Err("no mode");
    for (is_vga, vram_bytes) in [(true, 16 << 20), (false, 16 << 20), (true, 0), (true, u64::MAX)] {
        if let Ok(surface) = doors::guest_mode(printed, order, is_vga, vram_bytes) {
            lies_inside(&surface, vram_bytes);
            outcome = Ok(());
        }
    }
    outcome
}

/// What a framebuffer device says of itself, then (if there is more) how much of it is mapped.
pub(crate) fn device(input: &[u8]) -> Outcome {
    let (mut var, mut fix, mut length) = ([0; 160], [0; 80], [0, 0, 0x80, 0, 0, 0, 0, 0]);
    let mut rest = input;
    for field in [&mut var[..], &mut fix[..], &mut length[..]] {
        let (taken, after) = rest.split_at(field.len().min(rest.len()));
        field[..taken.len()].copy_from_slice(taken);
        rest = after;
    }
    let length = u64::from_le_bytes(length);
    let surface = doors::device_mode(&var, &fix, length).map_err(|_| "no mode")?;
    lies_inside(&surface, length);
    Ok(())
}

/// What may be mapped and swept without another look.
pub(super) fn lies_inside(surface: &Surface, length: u64) {
    let end = surface.end_bytes().unwrap_or_else(|| panic!("{surface:?} ends nowhere"));
    assert!(end <= length, "{surface:?} ends at {end} of {length}");
}

/// What `/proc/net/unix` says.
pub(crate) fn sockets(input: &[u8]) -> Outcome {
    let found = doors::connected_sockets(input);
    assert!(found < input.split(|byte| *byte == b'\n').count());
    if found > 0 { Ok(()) } else { Err("none") }
}

/// A configuration file.
pub(crate) fn configuration(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let config = match Config::parse(&text) {
        Ok(config) => config,
        Err(fault) => {
            assert!(!fault.text.is_empty());
            return Err(if fault.field.is_empty() { "as a whole" } else { "in a field" });
        }
    };
    assert!((1..=SOURCES_MAX).contains(&config.services.len()) && config.sessions_max > 0);
    let names: BTreeSet<_> = config.services.iter().map(|service| &service.name).collect();
    assert_eq!(names.len(), config.services.len(), "a name stands for one service");
    for service in &config.services {
        assert!((1..=NAME_MAX).contains(&service.name.len()) && service.rate_hz <= SCAN_RATE_MAX_HZ);
        assert!(!service.name.chars().any(char::is_control));
        assert!((1..=SURFACES_MAX).contains(&service.sources.len()));
    }
    Ok(())
}

/// The name of a source.
pub(crate) fn source(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let spec: SourceSpec = text.parse().map_err(|error| match error {
        SpecError::Kind(_) => "kind",
        SpecError::Empty(..) => "empty",
        SpecError::Painting(_) => "painting",
        SpecError::Option { .. } => "option",
        SpecError::Value { .. } => "value",
    })?;
    let again = spec.to_string();
    assert_eq!(again.parse(), Ok(spec), "{text:?} is shown as {again:?}");
    Ok(())
}

/// A link of the emulator; one that is taken carries a datagram without losing its place.
pub(crate) fn link(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let spec: LinkSpec = text.parse().map_err(|error| match error {
        lfp_impair::SpecError::NoValue { .. } => "no value",
        lfp_impair::SpecError::Unknown { .. } => "unknown parameter",
        lfp_impair::SpecError::Value { .. } => "value",
        lfp_impair::SpecError::Twice { .. } => "twice",
        lfp_impair::SpecError::TwoDelays => "two delays",
        lfp_impair::SpecError::Blackouts => "blackouts",
        lfp_impair::SpecError::Alone { .. } => "alone",
    })?;
    for way in [&spec.up, &spec.down] {
        let mut link = Link::new(way.params, spec.seed);
        for blackout in &way.blackouts {
            assert!(link.blackout(Instant::ZERO + blackout.start, blackout.span), "{text:?}");
        }
        for narrow in &way.narrows {
            let start = Instant::ZERO + narrow.when.start;
            assert!(link.narrow(start, narrow.when.span, narrow.mtu), "{text:?}");
        }
        link.send(Instant::ZERO, 0, vec![0; 64]);
        assert!(link.poll_timeout().is_none_or(|at| at >= Instant::ZERO), "{text:?}");
    }
    Ok(())
}

/// A chord of keys, then the same text typed.
pub(crate) fn keys(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    for (code, _) in text.chars().filter_map(keys::type_char) {
        assert!(keys::qcode(code).is_some(), "key {code} is one of the table");
    }
    let codes = keys::parse_chord(&text).map_err(|error| {
        assert!(error.to_string().len() < 400);
        match error {
            ChordError::Unknown(_) => "unknown key",
            ChordError::Twice(_) => "key twice",
            ChordError::TooMany => "too many keys",
        }
    })?;
    let distinct: BTreeSet<_> = codes.iter().collect();
    assert!((1..=CHORD_KEYS_MAX).contains(&codes.len()) && distinct.len() == codes.len());
    assert!(codes.iter().all(|code| keys::by_code(*code).is_some()));
    Ok(())
}
