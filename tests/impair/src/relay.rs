//! Sockets on both sides of the links.

use core::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use lfp_impair::{BLACKOUTS_MAX, Counts, Flow, Link, LinkSpec, Random};
use lfp_proto::time::Instant;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::clock;
use crate::control::{Command, Lines};
use crate::marked::MarkedSocket;

/// Clients at a time; one more takes the place of the one that was silent longest.
const CLIENTS_MAX: usize = 64;
/// Datagrams read from one socket before the others have their turn.
const BATCH: usize = 64;
/// Longest UDP payload.
const DATAGRAM_MAX: usize = 65_535;

/// Why a relay cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The address cannot be listened on.
    #[error("cannot listen on UDP {listen}: {error}; choose another with --listen")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// A socket or the wait failed.
    #[error("relaying failed: {0}")]
    Io(#[from] io::Error),
}

/// A relay with all its clients.
#[derive(Debug)]
pub(crate) struct Relay {
    socket: MarkedSocket,
    to: SocketAddr,
    spec: LinkSpec,
    began_at: Instant,
    /// What all clients go through, if they share one link.
    shared: Option<Pipes>,
    clients: Vec<Client>,
    /// The number of the next client.
    next: Flow,
    /// (start, duration) of blackouts that are not over.
    blackouts: Vec<(Instant, Duration)>,
    /// Of clients that are no more.
    gone: Report,
    seeds: Random,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    flow: Flow,
    /// Faces the server.
    socket: MarkedSocket,
    /// `None` if all clients share one link.
    own: Option<Pipes>,
    heard_at: Instant,
}

/// Both directions of a link.
#[derive(Debug)]
struct Pipes {
    up: Link,
    down: Link,
}

impl Pipes {
    fn links(&mut self) -> [&mut Link; 2] {
        [&mut self.up, &mut self.down]
    }
}

/// What the links of a relay did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    clients: u64,
    unsendable: u64,
    up: Counts,
    down: Counts,
}

impl Relay {
    /// A relay that listens; with `shared`, all its clients go through one link.
    pub(crate) fn bind(
        listen: SocketAddr,
        to: SocketAddr,
        spec: LinkSpec,
        shared: bool,
    ) -> Result<Self, RelayError> {
        let socket = MarkedSocket::bind(listen).map_err(|error| RelayError::Bind { listen, error })?;
        let mut relay = Self {
            socket,
            to,
            seeds: Random::new(spec.seed),
            spec,
            began_at: clock::now(),
            shared: None,
            clients: Vec::new(),
            next: 0,
            blackouts: Vec::new(),
            gone: Report::default(),
            buffer: vec![0; DATAGRAM_MAX],
        };
        relay.shared = shared.then(|| relay.pipes());
        Ok(relay)
    }

    pub(crate) fn local_addr(&self) -> Result<SocketAddr, RelayError> {
        Ok(self.socket.local_addr()?)
    }

    /// Drops everything from `start` on for `span`, of the clients that are there and of those that come.
    pub(crate) fn blackout(&mut self, start: Instant, span: Duration) {
        let now = clock::now();
        self.blackouts.retain(|(start, span)| *start + *span > now);
        if self.blackouts.len() == BLACKOUTS_MAX {
            eprintln!("lfp-impair: {BLACKOUTS_MAX} blackouts are planned already; this one is dropped");
            return;
        }
        self.blackouts.push((start, span));
        for link in self.all_pipes().flat_map(Pipes::links) {
            link.blackout(start, span);
        }
    }

    /// Relays until `stop` can be read.
    pub(crate) fn run(&mut self, stop: &UnixStream, control: bool) -> Result<(), RelayError> {
        let mut lines = control.then(Lines::default);
        loop {
            self.deliver(clock::now());
            let input = lines.as_ref().filter(|lines| !lines.ended()).map(|_| std::io::stdin());
            let ready = self.wait(stop, input.as_ref())?;
            if ready.input {
                if let (Some(lines), Some(input)) = (&mut lines, input) {
                    lines.read(input)?.into_iter().for_each(|command| self.obey(command));
                }
            }
            self.receive_from_clients()?;
            self.receive_from_server();
            // Only now, so that what had come is counted.
            if ready.stop {
                return Ok(());
            }
        }
    }

    /// What all links did.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.gone;
        report.clients += self.clients.len() as u64;
        self.clients.iter().filter_map(|client| client.own.as_ref()).for_each(|own| report.add(own));
        self.shared.iter().for_each(|shared| report.add(shared));
        report
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Blackout(span) => self.blackout(clock::now(), span),
            Command::Report => println!("{}", self.report().json()),
            Command::Link(spec) => {
                let LinkSpec { up, down, .. } = *spec;
                for pipes in self.all_pipes() {
                    pipes.up.set_params(up.params);
                    pipes.down.set_params(down.params);
                }
                (self.spec.up.params, self.spec.down.params) = (up.params, down.params);
            }
        }
    }

    /// Sends what has arrived at the end of its link.
    fn deliver(&mut self, now: Instant) {
        let mut arrived = Vec::new();
        for pipes in self.all_pipes() {
            while let Some((flow, codepoint, bytes)) = pipes.up.poll_marked(now) {
                arrived.push((flow, true, codepoint, bytes));
            }
            while let Some((flow, codepoint, bytes)) = pipes.down.poll_marked(now) {
                arrived.push((flow, false, codepoint, bytes));
            }
        }
        for (flow, is_up, codepoint, bytes) in arrived {
            // A client may have had to go meanwhile.
            let Some(client) = self.clients.iter_mut().find(|client| client.flow == flow) else { continue };
            let sent = match is_up {
                true => client.socket.send(None, codepoint, &bytes),
                false => self.socket.send(Some(client.address), codepoint, &bytes),
            };
            self.gone.unsendable += u64::from(sent.is_err());
        }
    }

    fn all_pipes(&mut self) -> impl Iterator<Item = &mut Pipes> {
        let own = self.clients.iter_mut().filter_map(|client| client.own.as_mut());
        own.chain(&mut self.shared)
    }

    /// Waits for a socket, a signal, a line, or the next arrival at the end of a link.
    fn wait(&self, stop: &UnixStream, input: Option<&io::Stdin>) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.clients.iter().map(|client| PollFd::new(client.socket.as_fd(), PollFlags::POLLIN)));
        fds.extend(input.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLIN)));
        let pipes = self.clients.iter().filter_map(|client| client.own.as_ref()).chain(&self.shared);
        let links = pipes.flat_map(|pipes| [&pipes.up, &pipes.down]);
        let next = links.filter_map(Link::poll_timeout).min();
        let timeout = next.map(|at| TimeSpec::from(at.saturating_since(clock::now())));
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_ready = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or(false);
        Ok(Ready { stop: is_ready(fds.first()), input: input.is_some() && is_ready(fds.last()) })
    }

    fn receive_from_clients(&mut self) -> Result<(), RelayError> {
        for _ in 0..BATCH {
            let (len, from, codepoint) = match self.socket.receive(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A client that closed its socket has the system say so on ours.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            let now = clock::now();
            let at = match self.clients.iter().position(|client| client.address == from) {
                Some(at) => at,
                None => self.welcome(from, now)?,
            };
            let client = &mut self.clients[at];
            client.heard_at = now;
            let bytes = self.buffer[..len].to_vec();
            if let Some(pipes) = client.own.as_mut().or(self.shared.as_mut()) {
                pipes.up.send_marked(now, client.flow, codepoint, bytes);
            }
        }
        Ok(())
    }

    fn receive_from_server(&mut self) {
        for client in &mut self.clients {
            for _ in 0..BATCH {
                match client.socket.receive(&mut self.buffer) {
                    Ok((len, _, codepoint)) => {
                        let bytes = self.buffer[..len].to_vec();
                        if let Some(pipes) = client.own.as_mut().or(self.shared.as_mut()) {
                            pipes.down.send_marked(clock::now(), client.flow, codepoint, bytes);
                        }
                    }
                    // A server that is not there (yet) is a fault of the network like any other.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                    Err(_) => break,
                }
            }
        }
    }

    /// Makes a new client; says at which index.
    fn welcome(&mut self, address: SocketAddr, now: Instant) -> io::Result<usize> {
        if self.clients.len() == CLIENTS_MAX {
            let silent = (0..CLIENTS_MAX).min_by_key(|at| self.clients[*at].heard_at).unwrap_or_default();
            let gone = self.clients.swap_remove(silent);
            self.gone.clients += 1;
            gone.own.iter().for_each(|own| self.gone.add(own));
        }
        let any: SocketAddr = match self.to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = MarkedSocket::bind(any)?;
        socket.connect(self.to)?;
        let own = self.shared.is_none().then(|| self.pipes());
        let flow = self.next;
        self.next = self.next.wrapping_add(1);
        self.clients.push(Client { address, flow, socket, own, heard_at: now });
        Ok(self.clients.len() - 1)
    }

    /// A link of its own, with every blackout that is planned.
    fn pipes(&mut self) -> Pipes {
        let mut link = |params| Link::new(params, self.seeds.next());
        let mut pipes = Pipes { up: link(self.spec.up.params), down: link(self.spec.down.params) };
        for (link, way) in pipes.links().into_iter().zip([&self.spec.up, &self.spec.down]) {
            for blackout in &way.blackouts {
                link.blackout(self.began_at + blackout.start, blackout.span);
            }
            for narrow in &way.narrows {
                link.narrow(self.began_at + narrow.when.start, narrow.when.span, narrow.mtu);
            }
            for (start, span) in &self.blackouts {
                link.blackout(*start, *span);
            }
        }
        pipes
    }
}

/// What a wait ended with, beside datagrams.
struct Ready {
    stop: bool,
    input: bool,
}

impl Report {
    fn add(&mut self, pipes: &Pipes) {
        self.up.add(pipes.up.counts());
        self.down.add(pipes.down.counts());
    }

    /// One JSON object on one line.
    pub(crate) fn json(&self) -> String {
        let Self { clients, unsendable, up, down } = self;
        let (up, down) = (up.json(), down.json());
        format!("{{\"clients\": {clients}, \"unsendable\": {unsendable}, \"up\": {up}, \"down\": {down}}}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, unsendable, up, down } = self;
        write!(f, "clients {clients}, unsendable {unsendable}\nup: {up}\ndown: {down}")
    }
}
