//! Bits of a scan, most significant first.

/// Takes bits off the front of a scan. Beyond its end there are zeros.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, from the top.
    held: u64,
    count: u32,
    /// Bits of `held` that the scan does not have.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(scan: &'a [u8]) -> Self {
        Self { rest: scan, held: 0, count: 0, made_up: 0 }
    }

    /// The next sixteen bits; they stay.
    pub(super) fn peek(&mut self) -> u32 {
        while self.count <= 56 {
            let byte = match self.rest.split_first() {
                Some((byte, rest)) => {
                    self.rest = rest;
                    *byte
                }
                None => {
                    self.made_up = self.made_up.saturating_add(8);
                    0
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        (self.held >> 48) as u32
    }

    /// Drops `count` bits, at most sixteen, that were peeked at.
    pub(super) const fn skip(&mut self, count: u32) {
        self.held <<= count;
        self.count -= count;
    }

    /// The next `count` bits, at most sixteen, as a number.
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = self.peek() >> (16 - count);
        self.skip(count);
        value
    }

    /// Whether more was taken than the scan has.
    pub(super) const fn is_past_end(&self) -> bool {
        self.made_up > self.count
    }

    /// Whether all was taken but fewer than eight bits, all ones.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek();
        let left = self.count.saturating_sub(self.made_up);
        let ones = self.held.leading_ones();
        !self.is_past_end() && left < 8 && self.rest.is_empty() && ones >= left
    }
}

/// Appends bits to a scan.
#[cfg(feature = "encode")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    held: u64,
    count: u32,
}

#[cfg(feature = "encode")]
impl Writer {
    /// Appends the low `count` bits of `value`, at most 27; the others are zero.
    pub(super) fn put(&mut self, value: u32, count: u32, out: &mut alloc::vec::Vec<u8>) {
        self.held = self.held << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            out.push((self.held >> self.count) as u8);
        }
    }

    /// Fills the last byte with ones.
    pub(super) fn finish(mut self, out: &mut alloc::vec::Vec<u8>) {
        let fill = (8 - self.count % 8) % 8;
        self.put((1 << fill) - 1, fill, out);
    }

    /// Whether [`Writer::finish`] would append a byte.
    pub(super) const fn is_within_byte(self) -> bool {
        self.count > 0
    }
}
