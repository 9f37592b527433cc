//! A bad network, reproducible from a seed: delay, jitter, loss (single and in bursts), reordering,
//! duplication, corruption, a bottleneck with a queue, a policer, a longest packet, marks of
//! congestion, and blackouts, each direction by itself. [`Link`] is sans-IO: the simulation runs it in virtual
//! time, the relay `lfp-impair` in real time. Integers only, so that a seed means the same everywhere.

mod counts;
mod link;
mod params;
mod random;
mod spec;

pub use counts::Counts;
pub use link::{BLACKOUTS_MAX, FLIGHT_MAX, Flow, Link};
pub use params::{Bursts, Ecn, Params, Policer, Share};
pub use random::Random;
pub use spec::{Blackout, LinkSpec, Narrow, SpecError, Way, parse_span};
