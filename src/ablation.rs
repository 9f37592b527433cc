//! What engines and sessions leave out, so that benches can tell what each part saves. Nothing, unless asked for.

use std::fmt;
use std::str::FromStr;

use lfp_proto::technique::Technique;

/// A part that the product works without, if not as well. `ALL` is the table: what is added there can be left out by
/// name and is measured by `scripts/bench-trace --ablate`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// One technique.
    Technique(Technique),
    /// Everything that does not give the exact pixels.
    Lossy,
    /// The bitmap cache: cache store and cache use.
    Cache,
    /// Regions of one colour are cut out before the rest is divided.
    FlatRegions,
    /// The boundary of a video is sought beyond what moves.
    Boundary,
    /// A few stray pixels of a sample are taken for chance when a technique is chosen.
    PoissonGuard,
    /// Rules that choose techniques are checked, and penalised where they were wrong.
    Penalties,
    /// How long a region is likely to last is asked before it is sent lossily.
    Persistence,
    /// Packets are covered by others where the path loses some.
    Parity,
    /// Small updates are said again where losses are seen, and by probes.
    Repeats,
    /// What hangs on a loss is sent again with what was lost, not when the client refuses it.
    EarlyRepair,
    /// One of the rules that say what a region is, by its place in [`RULES`] and in the rules' own table.
    Rule(usize),
}

/// Parts that are no technique.
const OTHERS: [Part; 10] = [
    Part::Lossy,
    Part::Cache,
    Part::FlatRegions,
    Part::Boundary,
    Part::PoissonGuard,
    Part::Penalties,
    Part::Persistence,
    Part::Parity,
    Part::Repeats,
    Part::EarlyRepair,
];
/// Techniques that are left out only together with others, or not at all.
const KEPT: [Technique; 3] = [Technique::Raw, Technique::Store, Technique::Use];
/// Bits of [`Without`] that techniques have, and behind those what is neither technique nor rule.
const TECHNIQUE_BITS: usize = 32;
const OTHER_BITS: usize = 10;
/// Names of the rules that can be left out: all but the last, which holds of whatever is left.
pub const RULES: [&str; 10] =
    ["flips", "slides-on", "slides", "film", "plane", "writing", "static", "ramp", "picture", "controls"];

impl Part {
    /// Every part. Raw pixels are not among the techniques: they are what is left when nothing else serves.
    pub fn all() -> impl Iterator<Item = Self> {
        let techniques = Technique::ALL.into_iter().filter(|technique| !KEPT.contains(technique));
        techniques.map(Self::Technique).chain(OTHERS).chain((0..RULES.len()).map(Self::Rule))
    }

    /// The name that `--without` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Technique(technique) => technique.name(),
            Self::Lossy => "lossy",
            Self::Cache => "cache",
            Self::FlatRegions => "flat-regions",
            Self::Boundary => "boundary",
            Self::PoissonGuard => "poisson-guard",
            Self::Penalties => "penalties",
            Self::Persistence => "persistence",
            Self::Parity => "parity",
            Self::Repeats => "repeats",
            Self::EarlyRepair => "early-repair",
            Self::Rule(place) => RULES[place],
        }
    }

    fn index(self) -> usize {
        // Techniques have the bits of their numbers, as in a Hello; what is no technique comes above.
        match self {
            Self::Technique(technique) => technique as usize,
            Self::Rule(place) => TECHNIQUE_BITS + OTHER_BITS + place,
            other => TECHNIQUE_BITS + OTHERS.iter().position(|known| *known == other).unwrap_or_default(),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all().find(|part| part.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of parts that are left out; by default none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Without(u64);

impl Without {
    /// Nothing is left out.
    pub const NOTHING: Self = Self(0);

    /// Whether `part` is left out.
    #[must_use]
    pub fn contains(self, part: Part) -> bool {
        self.0 >> part.index() & 1 == 1
    }

    /// Of `decoders`, as a Hello states them, those that may be used.
    #[must_use]
    pub fn decoders(self, decoders: u32) -> u32 {
        let is_out = |technique: &Technique| match technique {
            Technique::Store | Technique::Use => self.contains(Part::Cache),
            other => !other.is_exact() && self.contains(Part::Lossy),
        };
        let out = Technique::ALL.into_iter().filter(is_out);
        let out = out.fold(self.0 as u32, |bits, technique| bits | technique.bit());
        decoders & !out
    }
}

impl FromIterator<Part> for Without {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        Self(parts.into_iter().fold(0, |bits, part| bits | 1 << part.index()))
    }
}

const _: () = assert!(
    OTHERS.len() <= OTHER_BITS
        && (lfp_proto::record::TECHNIQUE_MAX as usize) < TECHNIQUE_BITS
        && TECHNIQUE_BITS + OTHER_BITS + RULES.len() <= u64::BITS as usize
);

#[cfg(test)]
mod tests {
    use super::*;
    use lfp_proto::technique::decoders;

    #[test]
    fn names_lead_back_and_no_two_parts_share_a_bit() {
        let mut seen = 0_u64;
        for part in Part::all() {
            assert_eq!(part.name().parse(), Ok(part));
            assert_eq!(seen >> part.index() & 1, 0, "{part}");
            seen |= 1 << part.index();
        }
        assert!("raw".parse::<Part>().is_err_and(|text| text.contains("colour, bitmap, ")));
    }

    #[test]
    fn only_what_is_named_is_left_out() {
        let without: Without = [Part::Technique(Technique::Bitmap), Part::Lossy].into_iter().collect();
        let left = decoders() & !(Technique::Bitmap.bit() | Technique::Lossy.bit());
        assert_eq!(without.decoders(decoders()), left);
        assert!(without.contains(Part::Lossy) && !without.contains(Part::FlatRegions));
        let without: Without = [Part::Cache].into_iter().collect();
        assert_eq!(
            without.decoders(decoders()),
            decoders() & !(Technique::Store.bit() | Technique::Use.bit())
        );
        assert_eq!(Without::NOTHING.decoders(u32::MAX), u32::MAX);
    }
}
