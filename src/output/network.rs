//! The network thread's loop: waits, feeds the server, sends what it says.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::clock;
use crate::hypervisor::Control;
use crate::limits::SHUTDOWN_GRACE;
use crate::output::{Desk, Facilities, Ports, ServicesBoard, Statistics, StopSignals, Waker};
use crate::pipeline::{Event, PipelineHandle};
use crate::server::{Input, Output, Server};
use crate::time::Instant;

/// Why a server cannot listen or go on.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The address cannot be listened on.
    #[error("cannot listen on UDP {listen}: {error}; choose another with --listen or \"listen\"")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// The socket or the wait failed.
    #[error("the UDP socket failed: {0}")]
    Socket(#[from] io::Error),
}

/// Everything that the network thread owns.
#[derive(Debug)]
pub struct Network {
    ports: Ports,
    server: Server,
    pipeline: PipelineHandle,
    waker: Waker,
    control: Control,
    statistics: Option<Statistics>,
    board: ServicesBoard,
    desk: Option<Desk>,
}

/// Where a server listens, and how.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// How many sockets share it, 1 to [`crate::limits::SOCKETS_MAX`].
    pub sockets: usize,
    /// What of the kernel's is used.
    pub facilities: Facilities,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug)]
struct Came {
    datagrams: bool,
    events: bool,
    signal: bool,
}

impl Network {
    /// Listens as `listen` says. `waker` is what the pipeline and the control thread wake.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(
        listen: Listen,
        server: Server,
        pipeline: PipelineHandle,
        waker: Waker,
        control: Control,
    ) -> Result<Self, NetworkError> {
        let Listen { address, sockets, facilities } = listen;
        let ports = Ports::bind(address, sockets, facilities)
            .map_err(|error| NetworkError::Bind { listen: address, error })?;
        Ok(Self {
            ports,
            server,
            pipeline,
            waker,
            control,
            statistics: None,
            board: ServicesBoard::default(),
            desk: None,
        })
    }

    /// The address listened on.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn local_addr(&self) -> Result<SocketAddr, NetworkError> {
        Ok(self.ports.local_addr()?)
    }

    /// Has what is counted written to a file from now on.
    pub fn report(&mut self, statistics: Statistics) {
        self.statistics = Some(statistics);
    }

    /// Carries out what is ordered at `desk` from now on, and has what stands on `board` written with what is counted.
    pub fn attend(&mut self, desk: Desk, board: ServicesBoard) {
        (self.desk, self.board) = (Some(desk), board);
    }

    /// Serves until a signal comes, then closes every session in order.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn run(mut self, stop: &mut StopSignals) -> Result<(), NetworkError> {
        let mut closing: Option<Instant> = None;
        loop {
            let wake_at = self.drain_outputs();
            let now = clock::now();
            if closing.is_some_and(|deadline| now >= deadline || self.server.sessions() == 0) {
                let encoder = self.pipeline.counters().encoder;
                let (encoded, shared) = (encoder.trials, encoder.records.hits);
                tracing::info!(encoded, shared, "records of all sessions");
                return Ok(self.ports.close()?);
            }
            if let Some(statistics) = &mut self.statistics {
                statistics.offer(now, || {
                    let mut figures = self.server.figures(now);
                    figures["output"] = self.ports.figures();
                    if let Some(services) = self.board.get() {
                        figures["services"] = services;
                    }
                    figures
                });
            }
            let reports = self.statistics.as_ref().map(Statistics::due);
            let until = [wake_at, closing, reports].into_iter().flatten().min();
            let came = self.wait(until.map(|until| until.saturating_since(now)), stop)?;
            if came.datagrams {
                self.receive()?;
            }
            if came.events {
                self.take_events();
            }
            self.server.handle(clock::now(), Input::Timeout);
            if came.signal && stop.take() && closing.is_none() {
                tracing::info!(sessions = self.server.sessions(), "closing");
                let now = clock::now();
                self.server.handle(now, Input::Shutdown);
                closing = Some(now + SHUTDOWN_GRACE);
            }
        }
    }

    /// Does what the server says as of now until it has nothing more to say, the kernel's send buffer is full, or enough
    /// is sent for once: what others have to say (a tick, an encode, an ack) should not wait behind a fast session's burst.
    /// Time stands still meanwhile, so that no session earns while it sends.
    fn drain_outputs(&mut self) -> Option<Instant> {
        let now = clock::now();
        let wake_at = self.fill_outbox(now);
        let Self { ports, server, .. } = self;
        ports.flush(|buffer| server.recycle(buffer));
        let mut refused = false;
        ports.too_long(|to, bytes| {
            server.handle(now, Input::TooLong { to, bytes });
            refused = true;
        });
        match (refused, self.ports.is_stuck()) {
            (true, _) => Some(now),
            (false, true) => None,
            (false, false) => wake_at,
        }
    }

    /// Returns when the server has more to say though nothing happens: at once if there is more than is sent for once.
    fn fill_outbox(&mut self, now: Instant) -> Option<Instant> {
        loop {
            if self.ports.is_full() {
                return Some(now);
            }
            match self.server.poll(now) {
                Output::Transmit { to, packet } => self.ports.push(to, packet),
                Output::Encode(request) => self.pipeline.encode(request),
                Output::Digest(request) => self.pipeline.digest(request),
                Output::Demand(demand) => self.pipeline.demand(&demand),
                Output::Action(action) => self.control.act(action),
                Output::Retire(source) => self.pipeline.remove(source),
                Output::Timeout(at) => return at,
            }
        }
    }

    /// Waits for a datagram, the pipeline, a signal, room in the send buffer if something waits for that, or `timeout`. Says
    /// what came, so that nothing else is asked for in vain.
    fn wait(&self, timeout: Option<Duration>, stop: &StopSignals) -> Result<Came, NetworkError> {
        let readable = PollFlags::POLLIN;
        let ports = if self.ports.awaits_writable() { readable | PollFlags::POLLOUT } else { readable };
        let mut fds = [
            PollFd::new(self.ports.as_fd(), ports),
            PollFd::new(self.waker.as_fd(), readable),
            PollFd::new(stop.as_fd(), readable),
        ];
        match ppoll(&mut fds, timeout.map(TimeSpec::from), None) {
            Ok(_) => {
                // A socket may report an error of its own, which is read as a datagram is.
                let anything = |at: usize| fds[at].any().unwrap_or(true);
                let mut datagrams = fds[0].revents().unwrap_or(PollFlags::all());
                datagrams.remove(PollFlags::POLLOUT);
                Ok(Came { datagrams: !datagrams.is_empty(), events: anything(1), signal: anything(2) })
            }
            Err(Errno::EINTR) => Ok(Came { datagrams: true, events: true, signal: true }),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }

    fn receive(&mut self) -> Result<(), NetworkError> {
        let Self { ports, server, .. } = self;
        let take = |from, bytes: &[u8]| server.handle(clock::now(), Input::Datagram { from, bytes });
        Ok(ports.receive(take)?)
    }

    fn take_events(&mut self) {
        self.waker.settle();
        // Before ticks: what one of them shows may answer it.
        while let Some(accepted) = self.control.poll_accepted() {
            self.server.handle(clock::now(), Input::Accepted(accepted));
        }
        while let Some(event) = self.pipeline.poll() {
            let input = match event {
                Event::Tick(tick) => Input::Tick(tick),
                Event::Encoded(encoded) => Input::Encoded(encoded),
                Event::Digested(digested) => Input::Digested(digested),
            };
            self.server.handle(clock::now(), input);
        }
        if let Some(desk) = &mut self.desk {
            desk.attend(&mut self.server, &self.pipeline);
        }
    }
}
