//! Starting, asking and stopping the pipeline.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::ablation::Without;
use crate::hypervisor::{Source, SourceId, View};
use crate::limits::{DIGESTS_PENDING_MAX, ENCODES_PENDING_MAX, SCAN_WORKERS};
use crate::logic::{DigestRequest, Digested, EncodeRequest, Encoded};
use crate::pipeline::lines::Request;
use crate::pipeline::run::{Pipeline, PipelineCounters, PipelineFull};
use crate::pipeline::{Event, SourceCounters};
use crate::server::Demand;

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The system gives no thread.
    #[error("cannot start the pipeline's thread: {0}; is a limit on processes or memory reached?")]
    Thread(#[from] io::Error),
    /// The system gives no threads for the workers.
    #[error("cannot start {workers} workers: {error}; is a limit on processes or memory reached?")]
    Workers {
        /// How many were to be started.
        workers: usize,
        /// Why they were not.
        error: rayon::ThreadPoolBuildError,
    },
}

/// A running pipeline. It stops when this is dropped; requests that still wait are then not answered.
pub struct PipelineHandle {
    pipeline: Arc<Pipeline>,
    thread: Option<JoinHandle<()>>,
}

impl PipelineHandle {
    /// Starts scanning `sources`: none is watched until there is a [`Demand`], but what they show is followed. Engines do
    /// without some parts.
    /// `wake` is called, from any of the pipeline's threads, when there is something to [`PipelineHandle::poll`].
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(
        sources: Vec<(SourceId, Box<dyn Source>)>,
        without: Without,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, PipelineError> {
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1).max(1);
        Self::start_with(sources, without, wake, NonZero::new(workers).unwrap_or(NonZero::<usize>::MIN))
    }

    /// [`PipelineHandle::start`] with so many workers.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start_with(
        sources: Vec<(SourceId, Box<dyn Source>)>,
        without: Without,
        wake: impl Fn() + Send + Sync + 'static,
        workers: NonZero<usize>,
    ) -> Result<Self, PipelineError> {
        let workers = workers.get();
        let pools = [start_pool("worker", workers)?, start_pool("scan", SCAN_WORKERS)?];
        let pipeline = Arc::new(Pipeline::new(sources, without, pools, Box::new(wake)));
        let thread = std::thread::Builder::new().name("lfp-pipeline".to_owned());
        let keeper = Arc::clone(&pipeline);
        let thread = thread.spawn(move || keeper.keep_time())?;
        Ok(Self { pipeline, thread: Some(thread) })
    }

    /// Has a worker answer `request` with [`Event::Encoded`]. A session that has too many waiting is answered at
    /// once, without records.
    pub fn encode(&self, request: EncodeRequest) {
        if self.pipeline.waiting(request.session) < WAITING_MAX {
            self.pipeline.ask(Request::Encode(request));
        } else {
            self.pipeline.answer(Event::Encoded(Encoded::nothing(&request)));
        }
    }

    /// Has a worker answer `request` with [`Event::Digested`]. A session that has too many waiting is answered at
    /// once, without a checksum.
    pub fn digest(&self, request: DigestRequest) {
        if self.pipeline.waiting(request.session) < WAITING_MAX {
            self.pipeline.ask(Request::Digest(request));
        } else {
            self.pipeline.answer(Event::Digested(Digested::nothing(&request)));
        }
    }

    /// Sets how a source is watched. One that the pipeline does not have is ignored.
    pub fn demand(&self, demand: &Demand) {
        self.pipeline.demand(demand);
    }

    /// Takes up one more source, which is looked at at once and scanned when there is a [`Demand`].
    ///
    /// # Errors
    /// If there are [`SOURCES_MAX`](crate::limits::SOURCES_MAX) already.
    ///
    /// # Panics
    /// If there is one with that id.
    pub fn add(&self, id: SourceId, source: Box<dyn Source>) -> Result<(), PipelineFull> {
        self.pipeline.add(id, source)
    }

    /// Lets go of a source: no event of it comes any more, what is asked of it is answered with nothing, and it is
    /// dropped soon, once a scan that is under way has ended. One that the pipeline does not have is ignored.
    pub fn remove(&self, source: SourceId) {
        self.pipeline.remove(source);
    }

    /// What each source showed when it was looked at last; `None`: it has not been looked at yet.
    #[must_use]
    pub fn views(&self) -> Vec<(SourceId, Option<View>)> {
        self.pipeline.views()
    }

    /// Ascends whenever [`PipelineHandle::views`] would say something else.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.pipeline.seen()
    }

    /// The next thing for the network thread. Call it, after each wake, until it gives `None`.
    #[must_use]
    pub fn poll(&self) -> Option<Event> {
        self.pipeline.poll()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> PipelineCounters {
        self.pipeline.counters()
    }

    /// What was done so far for each source.
    #[must_use]
    pub fn source_counters(&self) -> Vec<(SourceId, SourceCounters)> {
        self.pipeline.source_counters()
    }
}

impl fmt::Debug for PipelineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineHandle").finish_non_exhaustive()
    }
}

impl Drop for PipelineHandle {
    fn drop(&mut self) {
        self.pipeline.stop();
        if let Some(thread) = self.thread.take() {
            // It catches what sources do; if it panicked all the same, that was said when it happened.
            let _ = thread.join();
        }
    }
}

fn start_pool(name: &'static str, threads: usize) -> Result<rayon::ThreadPool, PipelineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |index| format!("lfp-{name}-{index}"))
        .build()
        .map_err(|error| PipelineError::Workers { workers: threads, error })
}

/// Requests of one session that wait for a worker.
const WAITING_MAX: usize = ENCODES_PENDING_MAX + DIGESTS_PENDING_MAX;
