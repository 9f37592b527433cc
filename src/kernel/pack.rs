//! Choosing what fills a packet best.

/// Most items that are chosen from.
pub const ITEMS_MAX: usize = u32::BITS as usize;

/// Memory of [`fullest`], kept between calls: about nine bits for each byte of room.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// Bit n: some choice of the items seen so far has n bytes.
    reached: Vec<u64>,
    /// For each such n, the item that completed the first such choice.
    by: Vec<u8>,
}

/// The items of `lens` (bytes; 0 is no item) that together fill `room` bytes best, as a bit each; of equally good
/// choices, one of early items.
///
/// # Panics
/// If there are more than [`ITEMS_MAX`] items.
#[must_use]
pub fn fullest(lens: &[usize], room: usize, scratch: &mut Scratch) -> u32 {
    assert!(lens.len() <= ITEMS_MAX, "{} items", lens.len());
    let words = room / 64 + 1;
    let Scratch { reached, by } = scratch;
    reached.clear();
    reached.resize(words, 0);
    reached[0] = 1;
    by.clear();
    by.resize(words * 64, 0);
    for (item, &len) in lens.iter().enumerate() {
        if len == 0 || len > room {
            continue;
        }
        let (skip, shift) = (len / 64, len % 64);
        // Downwards, so that no sum holds the item twice.
        for word in (skip..words).rev() {
            let below = if shift > 0 && word > skip { reached[word - skip - 1] >> (64 - shift) } else { 0 };
            let mut fresh = (reached[word - skip] << shift | below) & !reached[word];
            reached[word] |= fresh;
            while fresh != 0 {
                by[word * 64 + fresh.trailing_zeros() as usize] = item as u8;
                fresh &= fresh - 1;
            }
        }
    }
    // What completed a sum first did so on top of a sum of earlier items: the way back never meets it again.
    let (mut sum, mut chosen) = (highest(reached, room), 0);
    while sum > 0 {
        let item = usize::from(by[sum]);
        chosen |= 1 << item;
        sum -= lens[item];
    }
    chosen
}

/// The highest bit that is set, of bits 0 to `most`; bit 0 is.
fn highest(bits: &[u64], most: usize) -> usize {
    let last = most / 64;
    let below = u64::MAX >> (63 - most % 64);
    (0..=last)
        .rev()
        .map(|word| (word, if word == last { bits[word] & below } else { bits[word] }))
        .find(|(_, bits)| *bits != 0)
        .map_or(0, |(word, bits)| word * 64 + 63 - bits.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(lens: &[usize], chosen: u32) -> usize {
        lens.iter().enumerate().filter(|(item, _)| chosen >> item & 1 == 1).map(|(_, len)| len).sum()
    }

    #[test]
    fn finds_what_trying_everything_finds() {
        let mut scratch = Scratch::default();
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % below) as usize
        };
        for _ in 0..400 {
            let lens: Vec<_> = (0..10).map(|_| next(700)).collect();
            let room = next(1_500);
            let best =
                (0..1_u32 << 10).map(|chosen| sum(&lens, chosen)).filter(|sum| *sum <= room).max().unwrap();
            let chosen = fullest(&lens, room, &mut scratch);
            assert_eq!(sum(&lens, chosen), best, "{lens:?} in {room}");
        }
    }

    #[test]
    fn takes_the_extremes() {
        let mut scratch = Scratch::default();
        assert_eq!(fullest(&[], 100, &mut scratch), 0);
        assert_eq!(fullest(&[1, 2, 3], 0, &mut scratch), 0);
        assert_eq!(fullest(&[64, 0, 64], 127, &mut scratch), 1, "the earlier of two that are alike");
        assert_eq!(fullest(&[1; 32], 8_900, &mut scratch), u32::MAX);
        assert_eq!(fullest(&[9_000, 8_900], 8_900, &mut scratch), 2);
    }
}
