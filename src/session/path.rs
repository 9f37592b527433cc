//! Whether records may build on what is still on its way: counts what that costs.

use crate::limits::{BASE_REFUSALS_PERCENT, CLEAN_RECORDS_MAX, CLEAN_RECORDS_MIN};

/// Records of which refusals are a share; older ones count half, and so on. One loss has all be refused that hangs on it
/// and was on its way: only many losses say something of a path.
const SPAN: u32 = 4_096;
/// Records that are taken to have come before any did.
const CAME_BEFORE: u32 = 1_024;

/// What records may build on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Policy {
    /// What was sent last, whether it is known to have come or not.
    Newest,
    /// What is known to have come.
    Proven,
}

/// What a path does to records that build on others.
///
/// | policy | event | next |
/// | --- | --- | --- |
/// | newest | more than 5 % of the records with a base are refused for it | proven; the way back is twice as long as last time |
/// | proven | so many records came that none was lost in between | newest |
/// | newest | four times as many came | newest; the next way back is short again |
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    policy: Policy,
    /// Of the records with a base whose fate is known: all, and those refused for it.
    based: u32,
    refused: u32,
    /// Records that came since one was lost or refused.
    clean: u32,
    /// How many it takes to go back.
    needed: u32,
    turns: u64,
}

impl Default for Path {
    fn default() -> Self {
        let (clean, needed) = (CLEAN_RECORDS_MAX, CLEAN_RECORDS_MIN);
        Self { policy: Policy::Newest, based: 0, refused: 0, clean, needed, turns: 0 }
    }
}

impl Path {
    pub(super) const fn policy(&self) -> Policy {
        self.policy
    }

    /// How often the policy has changed since this was asked last.
    pub(super) const fn take_turns(&mut self) -> u64 {
        std::mem::replace(&mut self.turns, 0)
    }

    /// A record came and was applied.
    pub(super) fn on_came(&mut self, based: bool) {
        self.clean = self.clean.saturating_add(1);
        self.count(based, false);
        match self.policy {
            Policy::Proven if self.clean >= self.needed => self.turn(Policy::Newest),
            Policy::Newest if self.clean / 4 >= self.needed => self.needed = CLEAN_RECORDS_MIN,
            _ => {}
        }
    }

    /// Whether something was lost or refused lately.
    pub(super) const fn has_losses(&self) -> bool {
        self.clean < CLEAN_RECORDS_MAX
    }

    /// A record was lost with its packet.
    pub(super) const fn on_lost(&mut self) {
        self.clean = 0;
    }

    /// A record was refused for its base.
    pub(super) fn on_base_refused(&mut self) {
        self.clean = 0;
        self.count(true, true);
        let many = self.refused * 100 > (self.based + CAME_BEFORE) * BASE_REFUSALS_PERCENT;
        if many && self.policy == Policy::Newest {
            self.turn(Policy::Proven);
            self.needed = (self.needed * 2).min(CLEAN_RECORDS_MAX);
        }
    }

    fn count(&mut self, based: bool, refused: bool) {
        self.based += u32::from(based);
        self.refused += u32::from(refused);
        if self.based >= SPAN {
            self.based /= 2;
            self.refused /= 2;
        }
    }

    fn turn(&mut self, policy: Policy) {
        self.policy = policy;
        self.turns += 1;
        (self.based, self.refused, self.clean) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss of which `refused` records hang, after `came` that came.
    fn lose(path: &mut Path, came: u32, refused: u32) {
        (0..came).for_each(|_| path.on_came(true));
        path.on_lost();
        (0..refused).for_each(|_| path.on_base_refused());
    }

    #[test]
    fn rare_losses_cost_less_than_the_way_out() {
        let mut path = Path::default();
        assert!(!path.has_losses());
        (0..100).for_each(|_| lose(&mut path, 1_000, 40));
        assert_eq!((path.policy(), path.take_turns()), (Policy::Newest, 0));
        assert!(path.has_losses());
    }

    #[test]
    fn a_bad_path_is_left_once_and_longer_each_time() {
        let mut path = Path::default();
        let mut needed = 0;
        for _ in 0..10 {
            while path.policy() == Policy::Newest {
                lose(&mut path, 10, 1);
            }
            let mut came = 0;
            while path.policy() == Policy::Proven {
                path.on_came(true);
                came += 1;
            }
            assert!(came >= needed, "{came} after {needed}");
            needed = came;
        }
        assert_eq!((needed, path.take_turns()), (CLEAN_RECORDS_MAX, 20));
        (0..4 * CLEAN_RECORDS_MAX).for_each(|_| path.on_came(false));
        assert_eq!(path.needed, CLEAN_RECORDS_MIN, "a path that has become clean is believed soon again");
    }

    #[test]
    fn losses_keep_a_path_from_being_believed() {
        let mut path = Path::default();
        while path.policy() == Policy::Newest {
            lose(&mut path, 0, 1);
        }
        for _ in 0..1_000 {
            (0..CLEAN_RECORDS_MIN).for_each(|_| path.on_came(true));
            path.on_lost();
        }
        assert_eq!(path.policy(), Policy::Proven);
    }
}
