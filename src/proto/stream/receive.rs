//! One direction of a stream, at its receiver.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use crate::limits::STREAM_WINDOW;

const WINDOW: u64 = STREAM_WINDOW as u64;
/// Credit is given again once so much of it has been used up.
const CREDIT_STEP: u64 = WINDOW / 4;

/// What came contradicts what came before, or is more than was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken;

/// Bytes that came, in whatever order, until they are read.
///
/// Out of order they lie in a ring of [`STREAM_WINDOW`] bytes, with a bit for each that is there: however they are cut to
/// pieces, they take no more.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceiveHalf {
    /// Everything before has been read.
    read: u64,
    /// What can be read.
    ready: VecDeque<u8>,
    /// What came beyond, at its offset modulo the ring's length; empty while nothing is missing.
    ring: Vec<u8>,
    /// Which of it came, a bit each.
    there: Vec<u64>,
    /// How many these are.
    early: usize,
    /// The largest offset behind a byte that came.
    furthest: u64,
    /// Where the stream ends, once that is known.
    end: Option<u64>,
    /// What is before is taken, as the other side has been told, or takes for granted.
    granted: u64,
    credit_due: bool,
}

impl ReceiveHalf {
    /// A stream of which so much is taken, as the other side knows; or nothing before it has been told.
    pub(super) fn new(granted: bool) -> Self {
        Self { granted: if granted { WINDOW } else { 0 }, credit_due: !granted, ..Self::default() }
    }

    /// Whether the other side may send something.
    pub(super) const fn is_granted(&self) -> bool {
        self.granted > 0
    }

    /// What can be read.
    pub(super) fn ready(&mut self) -> &[u8] {
        self.ready.make_contiguous()
    }

    /// Whether everything has come.
    pub(super) fn has_all(&self) -> bool {
        self.end == Some(self.ready_end())
    }

    /// Whether everything has come and been read.
    pub(super) fn is_over(&self) -> bool {
        self.end == Some(self.read)
    }

    fn ready_end(&self) -> u64 {
        self.read + self.ready.len() as u64
    }

    /// Bytes came.
    pub(super) fn on_bytes(&mut self, offset: u64, bytes: &[u8], fin: bool) -> Result<(), Broken> {
        let stop = offset + bytes.len() as u64;
        // SPEC [LFP-18.6]: A receiver MUST reset a stream (reason broken) of which bytes come beyond the credit that it has
        // given, or beyond the stream's end, or whose end moves.
        if stop > self.granted || self.end.is_some_and(|end| stop > end || (fin && stop != end)) {
            return Err(Broken);
        }
        if fin {
            if stop < self.furthest {
                return Err(Broken);
            }
            self.end = Some(stop);
            self.credit_due = false;
        }
        self.furthest = self.furthest.max(stop);
        let known = self.ready_end().saturating_sub(offset).min(bytes.len() as u64);
        let (offset, bytes) = (offset + known, &bytes[known as usize..]);
        if self.early == 0 && offset == self.ready_end() {
            self.ready.extend(bytes);
        } else {
            self.keep(offset, bytes);
            self.catch_up();
        }
        Ok(())
    }

    /// Puts bytes beyond what can be read into the ring.
    fn keep(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.ring.is_empty() {
            self.ring = vec![0; STREAM_WINDOW];
            self.there = vec![0; STREAM_WINDOW / 64];
        }
        for (offset, byte) in (offset..).zip(bytes) {
            let at = (offset % WINDOW) as usize;
            let (word, bit) = (&mut self.there[at / 64], 1 << (at % 64));
            self.early += usize::from(*word & bit == 0);
            *word |= bit;
            self.ring[at] = *byte;
        }
    }

    /// Moves what is missing no more from the ring to what can be read.
    fn catch_up(&mut self) {
        while self.early > 0 {
            let at = (self.ready_end() % WINDOW) as usize;
            let (word, bit) = (&mut self.there[at / 64], 1 << (at % 64));
            if *word & bit == 0 {
                return;
            }
            *word &= !bit;
            self.early -= 1;
            self.ready.push_back(self.ring[at]);
        }
        (self.ring, self.there) = (Vec::new(), Vec::new());
    }

    /// Moves up to `most` bytes that can be read to the end of `out`; says how many.
    pub(super) fn read(&mut self, out: &mut Vec<u8>, most: usize) -> usize {
        let count = self.ready.len().min(most);
        out.extend(self.ready.drain(..count));
        self.read += count as u64;
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.end.is_none() && self.read + WINDOW >= self.granted + CREDIT_STEP {
            self.credit_due = true;
        }
        count
    }

    /// The credit that is to be told, if it is time to.
    pub(super) fn credit_due(&self) -> Option<u64> {
        self.credit_due.then_some(self.read + WINDOW)
    }

    /// The credit has been told.
    pub(super) fn on_credit_told(&mut self, through: u64) {
        self.granted = self.granted.max(through);
        self.credit_due = false;
    }

    /// What told of the credit up to `through` is lost.
    pub(super) fn on_credit_lost(&mut self, through: u64) {
        self.credit_due |= through == self.granted && self.end.is_none();
    }

    /// Forgets everything that came.
    pub(super) fn clear(&mut self) {
        *self = Self { granted: self.granted, ..Self::default() };
    }

    /// Bytes that it takes beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.ready.capacity() + self.ring.capacity() + self.there.capacity() * size_of::<u64>()
    }
}
