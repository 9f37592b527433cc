//! A histogram of fixed size.

/// Linear parts of each power of two; a value is known to one part in so many.
const PARTS: usize = 32;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
/// Values from here on (over an hour of microseconds) share the last bucket.
const VALUE_BITS: u32 = 32;
const BUCKETS: usize = (VALUE_BITS - PARTS_BITS + 1) as usize * PARTS;

/// Counts values in buckets at most 1/32 as wide as what they hold. Takes the same memory however many come.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts `value`.
    pub fn record(&mut self, value: u64) {
        let bucket = &mut self.buckets[bucket_of(value)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly; `None` before any came.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// A value that `percent` % of all values do not exceed: the upper end of the bucket that holds the nearest
    /// rank, so at most 1/32 too large. `None` before any came.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(*bucket);
            if seen >= rank {
                return Some(last_of(at).min(self.max));
            }
        }
        self.max()
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS) - 1);
    if value < PARTS as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - PARTS_BITS;
    (shift as usize + 1) * PARTS + ((value >> shift) as usize - PARTS)
}

/// The largest value that bucket `at` holds.
fn last_of(at: usize) -> u64 {
    if at < PARTS {
        return at as u64;
    }
    let shift = at / PARTS - 1;
    let first = ((at % PARTS + PARTS) as u64) << shift;
    first + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut value = 0_u64;
        while value < 1 << VALUE_BITS {
            let last = last_of(bucket_of(value));
            assert!(value <= last && last <= value + value / PARTS as u64, "{value} in a bucket to {last}");
            assert_eq!(bucket_of(last), bucket_of(value));
            value += 1 + value / 77;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50), histogram.max()), (None, None));
        for value in 1..=20 {
            histogram.record(value);
        }
        assert_eq!(histogram.percentile(50), Some(10));
        assert_eq!(histogram.percentile(95), Some(19));
        assert_eq!(histogram.percentile(100), Some(20));
        histogram.record(u64::MAX);
        assert_eq!(histogram.max(), Some(u64::MAX));
    }
}
