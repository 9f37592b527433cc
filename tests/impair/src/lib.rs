//! A bad network, reproducible from a seed: delay, jitter, loss (single and in bursts), reordering,
//! duplication, corruption, a bottleneck with a queue, and blackouts. [`Link`] is sans-IO: the simulation runs it in virtual
//! time, the relay `lfp-impair` in real time. Integers only, so that a seed means the same everywhere.

mod counts;
mod link;
mod params;
mod random;

pub use counts::Counts;
pub use link::{BLACKOUTS_MAX, FLIGHT_MAX, Link};
pub use params::{Bursts, LinkSpec, Params, Share, SpecError, parse_span};
pub use random::Random;
