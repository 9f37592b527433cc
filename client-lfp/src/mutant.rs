//! Rules that a test can break.

/// One rule of the protocol, broken. A simulation that does not notice is worth nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutant {
    /// Applies records whatever content the cells have: what comes last wins.
    IgnoreContent,
    /// Acks a packet of pixels before it is applied, and then loses every fourth of them.
    AckBeforeApply,
    /// Applies records of any epoch to the picture that is there.
    LeakEpoch,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 3] = [Self::IgnoreContent, Self::AckBeforeApply, Self::LeakEpoch];
}
