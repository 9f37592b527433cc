//! Which technique is tried on a rectangle first: what a sample of its pixels says, and how that has turned out so far.

use crate::ablation::{Part, Without};
use lfp_proto::technique::Technique;

/// Pixels that are looked at.
const SAMPLES: usize = 64;
/// A channel that differs by so much from the pixel before it is not foretold by it.
const FAR: u8 = 48;
/// How many pixels of a sample in which so many are expected are more than chance: a Poisson variable of that mean is
/// above the bound in less than one case of a hundred.
const CHANCE: [(u32, u32); 2] = [(2, 6), (4, 9)];

/// What a sample of a rectangle's pixels shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sample {
    /// Pixels whose colour no other pixel of the sample has.
    alone: u32,
    /// Pixels that are like the one before them in their row.
    alike: u32,
    /// Whether a few pixels may be chance.
    guarded: bool,
}

impl Sample {
    /// Looks at `pixels`, in rows of `width`. Where it looks depends on how many there are and on nothing else, so that all
    /// sessions see the same.
    pub(super) fn take(pixels: &[u32], width: usize, without: Without) -> Self {
        let mut colours = [0_u32; SAMPLES];
        let mut alike = 0;
        // Steps of the golden ratio are spread evenly, and fall in with no pattern of a screen.
        let mut place = 0_u32;
        for colour in &mut colours {
            place = place.wrapping_add(0x9e37_79b1);
            let at = ((u64::from(place) * pixels.len() as u64) >> 32) as usize;
            *colour = pixels[at];
            let before = if at % width == 0 { at } else { at - 1 };
            let differs = |(a, b): (u8, u8)| a.abs_diff(b) >= FAR;
            let is_far = pixels[at].to_le_bytes().into_iter().zip(pixels[before].to_le_bytes()).any(differs);
            alike += u32::from(!is_far);
        }
        colours.sort_unstable();
        let alone = colours.chunk_by(|a, b| a == b).filter(|same| same.len() == 1).count() as u32;
        Self { alone, alike, guarded: !without.contains(Part::PoissonGuard) }
    }

    /// Whether `count` of the sample are no more than chance would have it where `expected` are to be expected.
    fn may_be_chance(self, count: u32, expected: u32) -> bool {
        let bound = CHANCE.iter().find(|(mean, _)| *mean == expected).map_or(expected, |(_, bound)| *bound);
        count <= if self.guarded { bound } else { 0 }
    }
}

/// What is tried first.
#[derive(Debug)]
pub(super) struct Rule {
    test: fn(Sample) -> bool,
    /// By clients that decode them all.
    pub(super) first: Technique,
}

/// The rules; of a rectangle the first one that holds is asked.
pub(super) const RULES: [Rule; 3] = [
    // Noise: no coder makes less of it, and a sixteenth that is foretold does not change that.
    Rule { test: |sample| sample.may_be_chance(sample.alike, 4), first: Technique::Raw },
    // A few colours, and one pixel in 32 of others: trixel takes less time than anything, and hardly more bytes.
    Rule { test: |sample| sample.may_be_chance(sample.alone, 2), first: Technique::Trixel },
    // Colours that flow: each pixel differs a little from its neighbours, which bitmap's filters are for.
    Rule { test: |_| true, first: Technique::Bitmap },
];

/// The place of the first rule, for what no coder makes less of.
pub(super) const NOISE: usize = 0;

/// The place in [`RULES`] of the one for such a rectangle.
pub(super) fn rule_for(sample: Sample) -> usize {
    RULES.iter().position(|rule| (rule.test)(sample)).unwrap_or(RULES.len() - 1)
}

/// How the rules have turned out in a session, in its requests' order: a rule that was wrong lately is checked each time,
/// one that was right only now and then.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Learnt([Trust; RULES.len()]);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Trust {
    /// Penalties: how far it is from being believed.
    penalty: u8,
    /// Rectangles since it was last checked.
    unchecked: u8,
}

/// A rule that is believed is checked on one rectangle in so many.
const CHECK_EVERY: u8 = 16;
/// What being wrong costs, and the most; being right takes one off.
const PENALTY: u8 = 4;
const PENALTY_MAX: u8 = 32;

/// How a rule turned out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// What it named was the smallest of what was tried.
    Right,
    /// Something else was smaller, or what it named did not fit.
    Wrong,
    /// Nothing else was tried.
    Believed,
}

/// The rules beside whose first choice something else is to be tried, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Checks(u8);

impl Checks {
    pub(super) const fn contains(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }
}

impl Learnt {
    /// The rules that are to be checked now.
    pub(super) fn checks(self, without: Without) -> Checks {
        let is_due = |Trust { penalty, unchecked }: Trust| penalty > 0 || unchecked + 1 >= CHECK_EVERY;
        let due = |(place, trust): (usize, &Trust)| u8::from(is_due(*trust)) << place;
        let all = self.0.iter().enumerate().map(due).fold(0, |all, one| all | one);
        Checks(if without.contains(Part::Penalties) { 0 } else { all })
    }

    /// Rule `place` turned out so.
    pub(super) fn note(&mut self, place: usize, verdict: Verdict) {
        let trust = &mut self.0[place];
        *trust = match verdict {
            Verdict::Right => Trust { penalty: trust.penalty.saturating_sub(1), unchecked: 0 },
            Verdict::Wrong => Trust { penalty: (trust.penalty + PENALTY).min(PENALTY_MAX), unchecked: 0 },
            Verdict::Believed => Trust { unchecked: trust.unchecked.saturating_add(1), ..*trust },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pixels: &[u32], without: Without) -> Technique {
        RULES[rule_for(Sample::take(pixels, 64, without))].first
    }

    fn noise(at: u32) -> u32 {
        (at ^ 0x5bd1).wrapping_mul(0x9e37_79b1).wrapping_mul(at | 1) >> 8
    }

    #[test]
    fn the_bounds_are_exceeded_by_chance_in_one_case_of_a_hundred() {
        for (mean, bound) in CHANCE {
            let mean = f64::from(mean);
            let (mut term, mut below) = ((-mean).exp(), 0.0);
            let mut least = 0;
            while below + term < 0.99 {
                below += term;
                least += 1;
                term *= mean / f64::from(least);
            }
            assert_eq!(least, bound, "of mean {mean}");
        }
    }

    #[test]
    fn each_kind_of_content_has_its_technique() {
        let of = |pixel: fn(u32) -> u32| first(&(0..4096).map(pixel).collect::<Vec<_>>(), Without::NOTHING);
        assert_eq!(of(noise), Technique::Raw);
        assert_eq!(of(|at| if at % 7 < 2 { 0 } else { 0xff_ff_ff }), Technique::Trixel);
        assert_eq!(of(|at| (at % 64) * 0x02_01_03 + (at / 64) * 0x01_00_02), Technique::Bitmap);
    }

    #[test]
    fn a_few_stray_pixels_force_nothing() {
        let mut ink: Vec<u32> =
            (0..4096).map(|at| if at % 5 == 0 { 0x20_20_20 } else { 0xf0_f0_f0 }).collect();
        for at in (0..4096).step_by(97) {
            ink[at] = noise(at as u32);
        }
        assert_eq!(first(&ink, Without::NOTHING), Technique::Trixel);
        let unguarded: Without = [Part::PoissonGuard].into_iter().collect();
        let strays = Sample::take(&ink, 64, unguarded).alone;
        assert_eq!(first(&ink, unguarded) == Technique::Trixel, strays == 0, "{strays} strays");
    }

    #[test]
    fn a_rule_that_was_wrong_is_checked_until_it_is_right_again() {
        let mut learnt = Learnt::default();
        let without = Without::NOTHING;
        let mut checked = 0;
        for _ in 0..160 {
            let checks = learnt.checks(without).contains(1);
            checked += u32::from(checks);
            learnt.note(1, if checks { Verdict::Right } else { Verdict::Believed });
        }
        assert_eq!(checked, 10);
        learnt.note(1, Verdict::Wrong);
        for right in 0..PENALTY {
            assert!(learnt.checks(without).contains(1), "after {right}");
            assert!(!learnt.checks(without).contains(2));
            learnt.note(1, Verdict::Right);
        }
        assert!(!learnt.checks(without).contains(1));
        learnt.note(1, Verdict::Wrong);
        assert!(!learnt.checks([Part::Penalties].into_iter().collect()).contains(1));
    }
}
