//! What is wrong with a link, and how it is written: `rtt=100ms,loss=3%,dup=10%,reorder=5%,rate=20mbit,seed=1`.

use core::str::FromStr;
use core::time::Duration;

use lfp_proto::units::Bitrate;

/// A share of all cases, in parts per million.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Share(u32);

impl Share {
    /// No case.
    pub const ZERO: Self = Self(0);
    /// Parts of a whole.
    pub const WHOLE: u64 = 1_000_000;

    /// So many percent, at most 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        assert!(percent <= 100, "a share is at most 100 %");
        Self(percent * 10_000)
    }

    /// Parts per million.
    #[must_use]
    pub const fn ppm(self) -> u64 {
        self.0 as u64
    }
}

/// Losses that come together (Gilbert-Elliott): a link is good or bad, and changes its mind at each datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bursts {
    /// Chance that a good link turns bad.
    pub enter: Share,
    /// Chance that a bad one turns good; its inverse is the mean length of a burst in datagrams.
    pub leave: Share,
    /// Loss while bad.
    pub loss: Share,
}

/// What one direction of a link does to datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// From end to end, without waiting.
    pub delay: Duration,
    /// At most so much more, at random; does not change the order.
    pub jitter: Duration,
    /// Single losses.
    pub loss: Share,
    /// Losses in bursts.
    pub bursts: Option<Bursts>,
    /// Share that is held back so that later ones overtake it.
    pub reorder: Share,
    /// For how long at most.
    pub reorder_by: Duration,
    /// Share that comes twice.
    pub duplicate: Share,
    /// Share in which a few bits are flipped.
    pub corrupt: Share,
    /// What the bottleneck carries, headers included; `None` for no bottleneck.
    pub rate: Option<Bitrate>,
    /// Bytes that wait before the bottleneck; what does not fit is dropped.
    pub queue_bytes: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Share::ZERO,
            bursts: None,
            reorder: Share::ZERO,
            reorder_by: Duration::from_millis(10),
            duplicate: Share::ZERO,
            corrupt: Share::ZERO,
            rate: None,
            queue_bytes: 256 * 1024,
        }
    }
}

impl Params {
    /// The same path without faults: delay and bottleneck stay.
    #[must_use]
    pub fn without_faults(self) -> Self {
        let Self { delay, rate, queue_bytes, .. } = self;
        Self { delay, rate, queue_bytes, ..Self::default() }
    }
}

/// A link as written: both directions alike, and the seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkSpec {
    /// Of each direction.
    pub params: Params,
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
        "no link parameter is called {key:?}; there are rtt, delay, jitter, loss, burst, reorder, reorder-by, dup, corrupt, rate, queue, seed"
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
}

impl FromStr for LinkSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut spec = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or(SpecError::NoValue { part: part.into() })?;
            spec.set(key, value)?;
        }
        Ok(spec)
    }
}

impl LinkSpec {
    fn set(&mut self, key: &str, value: &str) -> Result<(), SpecError> {
        let wrong =
            |expected: &'static str| SpecError::Value { key: key.into(), value: value.into(), expected };
        let span = || parse_span(value).ok_or_else(|| wrong(SPAN));
        let share = || parse_share(value).ok_or_else(|| wrong(SHARE));
        let params = &mut self.params;
        match key {
            "rtt" => params.delay = span()? / 2,
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
            "seed" => self.seed = value.parse().map_err(|_| wrong(SEED))?,
            _ => return Err(SpecError::Unknown { key: key.into() }),
        }
        Ok(())
    }
}

const SPAN: &str = "a time such as 100ms, 250us or 2s, at most an hour";
const SHARE: &str = "a share such as 3% or 0.25%, at most 100%";
const BURST: &str =
    "the chances to enter and to leave a burst and optionally the loss inside, such as 1%/30%/80%";
const RATE: &str = "a rate above zero such as 20mbit, 512kbit or 1gbit";
const SIZE: &str = "a size such as 65536, 64kib or 1mib";
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
    let ppm = parse_decimal(text.strip_suffix('%')?, 10_000)?;
    (ppm <= Share::WHOLE).then_some(Share(ppm as u32))
}

fn parse_bursts(text: &str) -> Option<Bursts> {
    let parts: Vec<_> = text.split('/').map(parse_share).collect::<Option<_>>()?;
    match parts[..] {
        [enter, leave] if leave != Share::ZERO => Some(Bursts { enter, leave, loss: Share::percent(100) }),
        [enter, leave, loss] if leave != Share::ZERO => Some(Bursts { enter, leave, loss }),
        _ => None,
    }
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

    #[test]
    fn reads_every_parameter() {
        let spec: LinkSpec = "rtt=100ms, jitter=1.5ms,loss=3%,burst=1%/30%,reorder=5%,reorder-by=20ms,dup=10%,corrupt=0.25%,rate=20mbit,queue=64kib,seed=7"
            .parse()
            .unwrap();
        let expected = Params {
            delay: Duration::from_millis(50),
            jitter: Duration::from_micros(1_500),
            loss: Share(30_000),
            bursts: Some(Bursts { enter: Share(10_000), leave: Share(300_000), loss: Share(1_000_000) }),
            reorder: Share(50_000),
            reorder_by: Duration::from_millis(20),
            duplicate: Share(100_000),
            corrupt: Share(2_500),
            rate: Some(Bitrate::from_bps(20_000_000)),
            queue_bytes: 65_536,
        };
        assert_eq!(spec, LinkSpec { params: expected, seed: 7 });
        assert_eq!("".parse(), Ok(LinkSpec::default()));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, said) in [
            ("loss", "not key=value"),
            ("speed=3", "\"speed\""),
            ("loss=3", "3% or 0.25%"),
            ("loss=101%", "at most 100%"),
            ("loss=-1%", "3% or 0.25%"),
            ("rtt=1.s", "100ms"),
            ("rtt=9999999s", "at most an hour"),
            ("rtt=99999999999999999999999s", "100ms"),
            ("rate=0mbit", "above zero"),
            ("burst=1%", "enter and to leave"),
            ("burst=1%/0%", "enter and to leave"),
            ("queue=1gb", "64kib"),
            ("seed=x", "whole number"),
        ] {
            let error = text.parse::<LinkSpec>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
