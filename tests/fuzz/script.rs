//! Scripts: inputs that are sequences of things that happen. Any bytes are a script.

use core::time::Duration;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    /// Time since the step before.
    pub(crate) gap: Duration,
    /// Who does it, or what it is.
    pub(crate) what: u8,
    /// With what.
    pub(crate) bytes: &'a [u8],
}

const HEAD: usize = 4;

/// Appends a step to a script; the time is `gap` squared, in tenths of a millisecond.
pub(crate) fn push(script: &mut Vec<u8>, gap: u8, what: u8, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).expect("short enough").to_le_bytes();
    script.extend([gap, what, len[0], len[1]]);
    script.extend(bytes);
}

/// The steps of a script; the last is cut short if bytes are missing.
pub(crate) fn steps(mut script: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = script.split_first_chunk::<HEAD>()?;
        let [gap, what, len @ ..] = *head;
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(len))));
        script = rest;
        let gap = u64::from(gap);
        Some(Step { gap: Duration::from_micros(gap * gap * 100), what, bytes })
    })
}

/// The bytes of the newest steps, of which one may happen again.
#[derive(Default)]
pub(crate) struct Past(Vec<std::ops::Range<usize>>);

impl Past {
    /// Notes the step that was pushed last.
    pub(crate) fn note(&mut self, script: &[u8], len: usize) {
        self.0.push(script.len() - len..script.len());
    }

    /// Where the bytes of step `number` of the past lie, counted around.
    pub(crate) fn find(&self, number: usize) -> Option<std::ops::Range<usize>> {
        self.0.get(number % self.0.len().max(1)).cloned()
    }
}
