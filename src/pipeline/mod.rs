//! The pipeline: scans sources at the pace that is asked for, and has workers encode from the newest ticks.
//!
//! One thread keeps the time; a pool of cores - 1 workers (at least one) encodes, sums, and takes over the scans
//! of slow sources. Nothing else uses rayon. Nobody waits for anybody: ticks that are not fetched hold up further
//! scans of their source, requests wait in a line per session, and sessions share the workers' time evenly.

mod handle;
mod inline;
mod lines;
mod run;
mod slot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::logic::{Digested, Encoded};
use crate::scan::Tick;

pub use handle::{PipelineError, PipelineHandle};
pub use inline::Inline;
pub use run::{PipelineCounters, PipelineFull, SourceCounters};

/// Something for the network thread.
#[derive(Clone, Debug)]
pub enum Event {
    /// A scan found something.
    Tick(Arc<Tick>),
    /// An encode request is answered.
    Encoded(Encoded),
    /// A digest request is answered.
    Digested(Digested),
}
