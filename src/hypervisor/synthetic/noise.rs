//! Chance that a seed decides: hashes, words, and a texture that compresses like a photograph.

/// A number that looks random and depends on nothing but `seed`, `a` and `b`.
pub(super) const fn hash(seed: u64, a: u64, b: u64) -> u64 {
    let mixed =
        seed ^ a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(31);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Line `line` of a text that `seed` decides: words, at most `columns` characters.
pub(super) fn line_of_words(seed: u64, line: u64, columns: usize) -> String {
    let mut text = String::new();
    for word in 0.. {
        let chosen = WORDS[hash(seed, line, word) as usize % WORDS.len()];
        let ends = hash(seed, line, word + 1000) % 9;
        if text.len() + chosen.len() + 2 > columns {
            break;
        }
        text.push_str(chosen);
        match ends {
            0 => text.push('.'),
            1 => text.push(','),
            _ => {}
        }
        text.push(' ');
    }
    text
}

const WORDS: [&str; 64] = [
    "the", "screen", "a", "of", "pixels", "and", "moves", "to", "line", "in", "every", "packet", "is",
    "cell", "with", "that", "draws", "server", "it", "small", "guest", "window", "for", "light", "runs",
    "again", "on", "as", "colour", "loss", "at", "nothing", "by", "frame", "over", "network", "or", "before",
    "repair", "stream", "from", "memory", "then", "client", "an", "answer", "be", "letter", "time",
    "without", "this", "picture", "no", "delay", "row", "0x7f", "1280", "kernel", "=>", "(x, y)", "byte",
    "Linux", "QEMU", "/dev/fb0",
];

/// Side of a [`texture`] in pixels, a power of two.
pub(super) const TEXTURE_SIDE: usize = 256;

/// A picture that tiles: smooth shapes with detail of every size, as photographs have, in slow colours.
pub(super) fn texture(seed: u64) -> Vec<u32> {
    let [light, red, green, blue] = [0, 1, 2, 3].map(|channel| {
        let mut sum = vec![0_u32; TEXTURE_SIDE * TEXTURE_SIDE];
        for octave in 0..OCTAVES {
            add_octave(&mut sum, hash(seed, channel, 7), octave);
        }
        sum
    });
    // The octaves weigh 128 + 64 + 32 + ..: a sum stays below 256 levels. Most of a colour is its lightness.
    let mix = |light: u32, own: u32| (light * 5 + own * 3) >> 11;
    let colours = red.iter().zip(&green).zip(&blue);
    light
        .iter()
        .zip(colours)
        .map(|(&l, ((&r, &g), &b))| mix(l, r) << 16 | mix(l, g) << 8 | mix(l, b))
        .collect()
}

const OCTAVES: u32 = 6;

/// Adds noise between lattice points that lie 64 >> `octave` pixels apart, in 1/256 of a level.
fn add_octave(sum: &mut [u32], seed: u64, octave: u32) {
    let step = 64_usize >> octave;
    let points = TEXTURE_SIDE / step;
    let weight = 128_u32 >> octave;
    let lattice: Vec<u32> = (0..points * points)
        .map(|point| (hash(seed, u64::from(octave), point as u64) & 0xff) as u32 * weight)
        .collect();
    let at = |x: usize, y: usize| lattice[y % points * points + x % points];
    for (y, row) in sum.chunks_exact_mut(TEXTURE_SIDE).enumerate() {
        for (x, sum) in row.iter_mut().enumerate() {
            let (left, top) = (x / step, y / step);
            let (across, down) = ((x % step) as u32, (y % step) as u32);
            let mix = |from: u32, to: u32, at: u32| (from * (step as u32 - at) + to * at) / step as u32;
            let upper = mix(at(left, top), at(left + 1, top), across);
            let lower = mix(at(left, top + 1), at(left + 1, top + 1), across);
            *sum += mix(upper, lower, down);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words_that_fit() {
        for line in 0..50 {
            let text = line_of_words(3, line, 60);
            assert!(
                text.len() <= 60 && text.contains(' ') && text.bytes().all(|byte| (32..127).contains(&byte))
            );
        }
        assert_ne!(line_of_words(3, 1, 60), line_of_words(4, 1, 60));
        assert_eq!(line_of_words(3, 1, 1), "");
    }

    #[test]
    fn a_texture_is_smooth_and_has_many_colours() {
        let texture = texture(5);
        let colours: std::collections::HashSet<u32> = texture.iter().copied().collect();
        assert!(colours.len() > 5_000, "{} colours", colours.len());
        let rough =
            texture.windows(2).filter(|pair| (pair[0] >> 8 & 0xff).abs_diff(pair[1] >> 8 & 0xff) > 40);
        assert!(rough.count() * 20 < texture.len());
    }
}
