//! How a link is written: `rtt=100ms,loss=3%,dup=10%,down:rate=20mbit,seed=1`.
//!
//! ```text
//! SPEC  = [ PART { "," PART } ]             spaces around a PART do not matter; "" is a link that does nothing
//! PART  = [ "up:" | "down:" ] KEY "=" VALUE
//! ```
//!
//! A part with a direction holds for that direction and goes before one without, wherever it stands; `up` is from client
//! to server. No part may be there twice. Numbers may have decimals (`1.5ms`).
//!
//! | key | value | of each direction |
//! | --- | --- | --- |
//! | `rtt` | time: `us`, `ms`, `s`; at most an hour | half of it is the delay; not with `delay`, and of both directions only |
//! | `delay` | time | from end to end, without waiting |
//! | `jitter` | time | at most so much more, at random, in order |
//! | `loss` | share: `3%` | single losses |
//! | `burst` | `ENTER/LEAVE` or `ENTER/LEAVE/LOSS`, shares | Gilbert-Elliott: the chances that a burst begins or ends at a datagram, and what is lost inside (all) |
//! | `reorder` | share | is held back so that later ones overtake it |
//! | `reorder-by` | time (10 ms) | for how long at most, copies too; only with `reorder` or `dup` |
//! | `dup` | share | comes twice |
//! | `corrupt` | share | has a few bits flipped |
//! | `rate` | `bit`, `kbit`, `mbit`, `gbit` a second | the bottleneck, headers included |
//! | `queue` | bytes: none or `b`, `kb`, `mb` (powers of 10), `kib`, `mib` (of 2); 256kib | what waits before it; only with `rate` |
//! | `policer` | `RATE/BUCKET` | a token bucket before the bottleneck: drops what is faster, delays nothing |
//! | `ecn` | bytes as for `queue`, `all`, or `off` (`off`) | what may be marked for congestion (ECT) is marked (CE) where it finds more than so many bytes before the bottleneck, and what may not is dropped there; `all`: whatever may be is marked; `off`: the bits are cleared |
//! | `mtu` | bytes, 68 to 65535, or `BYTES@START+SPAN` | longest IP packet, its 28 bytes of headers included: longer ones vanish; for a while if so written, up to 64 times |
//! | `blackout` | `START+SPAN`, times from the link's beginning | drops everything; may be there up to 64 times |
//! | `seed` | whole number (0) | names the run; of both directions only |

use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeSet;

use lfp_proto::units::Bitrate;

use crate::{BLACKOUTS_MAX, Bursts, Ecn, Params, Policer, Share};

/// A time in which nothing passes, counted from a link's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blackout {
    /// When it begins.
    pub start: Duration,
    /// How long it is.
    pub span: Duration,
}

/// A time in which only shorter packets pass, counted from a link's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Narrow {
    /// When.
    pub when: Blackout,
    /// Longest IP packet meanwhile.
    pub mtu: u16,
}

/// One direction as written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Way {
    /// What is wrong all the time.
    pub params: Params,
    /// When nothing passes: at most [`BLACKOUTS_MAX`].
    pub blackouts: Vec<Blackout>,
    /// When only shorter packets pass: at most [`BLACKOUTS_MAX`].
    pub narrows: Vec<Narrow>,
}

/// A link as written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkSpec {
    /// From client to server.
    pub up: Way,
    /// From server to client.
    pub down: Way,
    /// Names the run.
    pub seed: u64,
}

/// A link specification that means nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// Not `key=value`.
    #[error("{part:?} in the link specification is not key=value, such as loss=3%")]
    NoValue {
        /// What was found.
        part: String,
    },
    /// A key that does not exist.
    #[error(
        "no link parameter is called {key:?}; there are rtt, delay, jitter, loss, burst, reorder, reorder-by, dup, corrupt, rate, queue, policer, ecn, mtu, blackout, seed, all but rtt and seed with up: or down: before them, too"
    )]
    Unknown {
        /// What was found.
        key: String,
    },
    /// A value that cannot be read.
    #[error("{key}={value}: expected {expected}")]
    Value {
        /// Of which parameter.
        key: String,
        /// What was found.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A part that is there already.
    #[error("{key} stands twice in the link specification; leave one out")]
    Twice {
        /// Which, with its direction.
        key: String,
    },
    /// Two parts that say the same.
    #[error("rtt and delay both say how long the way is; leave one out")]
    TwoDelays,
    /// More blackouts, or times with another MTU, than a link keeps.
    #[error("more than {BLACKOUTS_MAX} blackouts, or times with another mtu; leave some out")]
    Blackouts,
    /// A part that means nothing without another.
    #[error("{key} means nothing without {other}; add that, or leave {key} out")]
    Alone {
        /// Which.
        key: &'static str,
        /// What it needs.
        other: &'static str,
    },
}

impl FromStr for LinkSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = Vec::new();
        let mut known = BTreeSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or(SpecError::NoValue { part: part.into() })?;
            let repeats = key.ends_with("blackout") || key.ends_with("mtu") && value.contains('@');
            if !repeats && !known.insert(key) {
                return Err(SpecError::Twice { key: key.into() });
            }
            parts.push((key, value));
        }
        if known.contains("rtt") && known.iter().any(|key| key.ends_with("delay")) {
            return Err(SpecError::TwoDelays);
        }
        let mut spec = Self::default();
        // What is said of one direction goes before what is said of both.
        parts.sort_by_key(|(key, _)| key.contains(':'));
        for (key, value) in parts {
            spec.set(key, value)?;
        }
        spec.up.check()?;
        spec.down.check()?;
        Ok(spec)
    }
}

impl LinkSpec {
    fn set(&mut self, key: &str, value: &str) -> Result<(), SpecError> {
        let wrong =
            |expected: &'static str| SpecError::Value { key: key.into(), value: value.into(), expected };
        match key.split_once(':') {
            Some(("up", name)) => self.up.set(key, name, value),
            Some(("down", name)) => self.down.set(key, name, value),
            Some(_) => Err(SpecError::Unknown { key: key.into() }),
            None if key == "seed" => {
                self.seed = value.parse().map_err(|_| wrong(SEED))?;
                Ok(())
            }
            None if key == "rtt" => {
                let delay = parse_span(value).ok_or_else(|| wrong(SPAN))? / 2;
                (self.up.params.delay, self.down.params.delay) = (delay, delay);
                Ok(())
            }
            None => {
                self.up.set(key, key, value)?;
                self.down.set(key, key, value)
            }
        }
    }
}

impl Way {
    /// Sets what `name` stands for; `key` is how the user wrote that.
    fn set(&mut self, key: &str, name: &str, value: &str) -> Result<(), SpecError> {
        let wrong =
            |expected: &'static str| SpecError::Value { key: key.into(), value: value.into(), expected };
        let span = || parse_span(value).ok_or_else(|| wrong(SPAN));
        let share = || parse_share(value).ok_or_else(|| wrong(SHARE));
        let params = &mut self.params;
        match name {
            "delay" => params.delay = span()?,
            "jitter" => params.jitter = span()?,
            "loss" => params.loss = share()?,
            "burst" => params.bursts = Some(parse_bursts(value).ok_or_else(|| wrong(BURST))?),
            "reorder" => params.reorder = share()?,
            "reorder-by" => params.reorder_by = span()?,
            "dup" => params.duplicate = share()?,
            "corrupt" => params.corrupt = share()?,
            "rate" => params.rate = Some(parse_rate(value).ok_or_else(|| wrong(RATE))?),
            "queue" => params.queue_bytes = parse_size(value).ok_or_else(|| wrong(SIZE))?,
            "policer" => params.policer = Some(parse_policer(value).ok_or_else(|| wrong(POLICER))?),
            "ecn" => params.ecn = parse_ecn(value).ok_or_else(|| wrong(ECN))?,
            "mtu" => match value.split_once('@') {
                None => params.mtu = Some(parse_mtu(value).ok_or_else(|| wrong(MTU))?),
                Some(_) if self.narrows.len() == BLACKOUTS_MAX => return Err(SpecError::Blackouts),
                Some((mtu, when)) => {
                    let narrow = parse_mtu(mtu).zip(parse_blackout(when));
                    let (mtu, when) = narrow.ok_or_else(|| wrong(MTU))?;
                    self.narrows.push(Narrow { when, mtu });
                }
            },
            "blackout" => {
                if self.blackouts.len() == BLACKOUTS_MAX {
                    return Err(SpecError::Blackouts);
                }
                self.blackouts.push(parse_blackout(value).ok_or_else(|| wrong(BLACKOUT))?);
            }
            _ => return Err(SpecError::Unknown { key: key.into() }),
        }
        Ok(())
    }

    /// Whether every part has what it needs.
    fn check(&self) -> Result<(), SpecError> {
        let Params { rate, queue_bytes, reorder, reorder_by, duplicate, ecn, .. } = self.params;
        let usual = Params::default();
        if rate.is_none() && queue_bytes != usual.queue_bytes {
            return Err(SpecError::Alone { key: "queue", other: "rate" });
        }
        if rate.is_none() && matches!(ecn, Ecn::Above(_)) {
            return Err(SpecError::Alone { key: "ecn", other: "rate" });
        }
        let late = reorder != Share::ZERO || duplicate != Share::ZERO;
        if !late && reorder_by != usual.reorder_by {
            return Err(SpecError::Alone { key: "reorder-by", other: "reorder or dup" });
        }
        Ok(())
    }
}

const SPAN: &str = "a time such as 100ms, 250us or 2s, at most an hour";
const SHARE: &str = "a share such as 3% or 0.25%, at most 100%";
const BURST: &str =
    "the chances to enter and to leave a burst and optionally the loss inside, such as 1%/30%/80%";
const RATE: &str = "a rate above zero such as 20mbit, 512kbit or 1gbit";
const SIZE: &str = "a size such as 65536, 10kb, 64kib or 1mib";
const POLICER: &str = "a rate and the size of a bucket above zero, such as 2mbit/10kb";
const ECN: &str =
    "the bytes before the bottleneck beyond which datagrams are marked, such as 10kb, or all, or off";
const BLACKOUT: &str = "when it begins and how long it is, such as 5s+10s";
const MTU: &str = "the bytes of an IP packet, 68 to 65535, and optionally when that begins and how long it lasts, such as 1400 or 1400@5s+10s";
const SEED: &str = "a whole number";

/// Reads a time such as `100ms`, `250us` or `2s`, at most an hour.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    let (digits, unit) = split_unit(text);
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return None,
    };
    let span = Duration::from_micros(parse_decimal(digits, micros)?);
    (span <= Duration::from_secs(3_600)).then_some(span)
}

fn parse_share(text: &str) -> Option<Share> {
    Share::of_ppm(parse_decimal(text.strip_suffix('%')?, 10_000)?)
}

fn parse_bursts(text: &str) -> Option<Bursts> {
    let parts: Vec<_> = text.split('/').map(parse_share).collect::<Option<_>>()?;
    match parts[..] {
        [enter, leave] if leave != Share::ZERO => Some(Bursts { enter, leave, loss: Share::percent(100) }),
        [enter, leave, loss] if leave != Share::ZERO => Some(Bursts { enter, leave, loss }),
        _ => None,
    }
}

fn parse_policer(text: &str) -> Option<Policer> {
    let (rate, bucket) = text.split_once('/')?;
    let bucket_bytes = parse_size(bucket).filter(|bytes| *bytes > 0)?;
    Some(Policer { rate: parse_rate(rate)?, bucket_bytes })
}

fn parse_ecn(text: &str) -> Option<Ecn> {
    match text {
        "off" => Some(Ecn::Bleached),
        "all" => Some(Ecn::All),
        size => parse_size(size).map(Ecn::Above),
    }
}

fn parse_blackout(text: &str) -> Option<Blackout> {
    let (start, span) = text.split_once('+')?;
    Some(Blackout { start: parse_span(start)?, span: parse_span(span)? })
}

fn parse_mtu(text: &str) -> Option<u16> {
    text.parse().ok().filter(|mtu| *mtu >= 68)
}

fn parse_rate(text: &str) -> Option<Bitrate> {
    let (digits, unit) = split_unit(text);
    let bits = match unit {
        "bit" => 1,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return None,
    };
    parse_decimal(digits, bits).filter(|bps| *bps > 0).map(Bitrate::from_bps)
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = split_unit(text);
    let bytes = match unit {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        _ => return None,
    };
    parse_decimal(digits, bytes)
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// `text`, a decimal number, times `unit`; what is finer than one is cut off.
fn parse_decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
    let whole = digits(whole)??.checked_mul(unit)?;
    let parts = u128::from(digits(fraction)??) * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    whole.checked_add(u64::try_from(parts).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(ppm: u64) -> Share {
        Share::of_ppm(ppm).expect("a share")
    }

    #[test]
    fn reads_every_parameter() {
        let spec: LinkSpec = "rtt=100ms, jitter=1.5ms,loss=3%,burst=1%/30%,reorder=5%,reorder-by=20ms,dup=10%,corrupt=0.25%,rate=20mbit,queue=64kib,policer=2mbit/10kb,ecn=20kb,mtu=1500,mtu=1400@2s+3s,mtu=1300@9s+1s,blackout=5s+10s,blackout=30s+1s,seed=7"
            .parse()
            .unwrap();
        let params = Params {
            delay: Duration::from_millis(50),
            jitter: Duration::from_micros(1_500),
            loss: share(30_000),
            bursts: Some(Bursts { enter: share(10_000), leave: share(300_000), loss: share(1_000_000) }),
            reorder: share(50_000),
            reorder_by: Duration::from_millis(20),
            duplicate: share(100_000),
            corrupt: share(2_500),
            rate: Some(Bitrate::from_bps(20_000_000)),
            queue_bytes: 65_536,
            mtu: Some(1_500),
            policer: Some(Policer { rate: Bitrate::from_bps(2_000_000), bucket_bytes: 10_000 }),
            ecn: Ecn::Above(20_000),
        };
        let blackout =
            |start, span| Blackout { start: Duration::from_secs(start), span: Duration::from_secs(span) };
        let narrow = |mtu, start, span| Narrow { when: blackout(start, span), mtu };
        let way = Way {
            params,
            blackouts: vec![blackout(5, 10), blackout(30, 1)],
            narrows: vec![narrow(1_400, 2, 3), narrow(1_300, 9, 1)],
        };
        assert_eq!(spec, LinkSpec { up: way.clone(), down: way, seed: 7 });
        assert_eq!("".parse(), Ok(LinkSpec::default()));
    }

    #[test]
    fn what_is_said_of_a_direction_goes_before_what_is_said_of_both() {
        let spec: LinkSpec =
            "down:rate=20mbit,up:rate=1mbit,down:loss=3%,loss=1%,rtt=10ms,up:blackout=1s+2s".parse().unwrap();
        let rates = [spec.up.params.rate, spec.down.params.rate].map(|rate| rate.unwrap().as_bps());
        assert_eq!(rates, [1_000_000, 20_000_000]);
        assert_eq!([spec.up.params.loss, spec.down.params.loss], [Share::percent(1), Share::percent(3)]);
        assert_eq!([spec.up.blackouts.len(), spec.down.blackouts.len()], [1, 0]);
        assert_eq!([spec.up.params.delay, spec.down.params.delay], [Duration::from_millis(5); 2]);
    }

    #[test]
    fn bursts_of_a_length_take_their_share() {
        let bursts = Bursts::lasting(4, Share::percent(5)).unwrap();
        assert_eq!((bursts.leave, bursts.enter), (share(250_000), share(13_157)));
        assert_eq!(Bursts::lasting(4, Share::percent(100)), None);
        assert_eq!(Bursts::lasting(0, Share::percent(5)), None);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, said) in [
            ("loss", "not key=value"),
            ("speed=3", "\"speed\""),
            ("left:loss=3%", "\"left:loss\""),
            ("up:rtt=3ms", "\"up:rtt\""),
            ("down:seed=3", "\"down:seed\""),
            ("loss=3", "3% or 0.25%"),
            ("up:loss=3", "up:loss=3"),
            ("loss=101%", "at most 100%"),
            ("loss=-1%", "3% or 0.25%"),
            ("rtt=1.s", "100ms"),
            ("rtt=9999999s", "at most an hour"),
            ("rtt=99999999999999999999999s", "100ms"),
            ("rate=0mbit", "above zero"),
            ("burst=1%", "enter and to leave"),
            ("burst=1%/0%", "enter and to leave"),
            ("rate=1mbit,queue=1gb", "64kib"),
            ("ecn=some", "such as 10kb"),
            ("ecn=10kb", "ecn means nothing without rate"),
            ("policer=2mbit", "2mbit/10kb"),
            ("policer=2mbit/0", "2mbit/10kb"),
            ("blackout=5s", "5s+10s"),
            ("mtu=67", "68 to 65535"),
            ("mtu=1500@3s", "1400@5s+10s"),
            ("mtu=1500,mtu=1400", "mtu stands twice"),
            ("seed=x", "whole number"),
            ("loss=1%,loss=2%", "loss stands twice"),
            ("up:dup=1%,up:dup=2%", "up:dup stands twice"),
            ("rtt=1ms,down:delay=3ms", "leave one out"),
            ("queue=10kb", "queue means nothing without rate"),
            ("reorder-by=10s", "without reorder or dup"),
        ] {
            let error = text.parse::<LinkSpec>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let many = "blackout=1s+1s,".repeat(BLACKOUTS_MAX + 1);
        assert_eq!(many.parse::<LinkSpec>(), Err(SpecError::Blackouts));
    }
}
