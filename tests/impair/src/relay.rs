//! Sockets on both sides of the links.

use core::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use lfp_impair::{BLACKOUTS_MAX, Counts, Link, LinkSpec, Random};
use lfp_proto::time::Instant;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::clock;
use crate::control::{Command, Lines};

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
    socket: UdpSocket,
    to: SocketAddr,
    spec: LinkSpec,
    clients: Vec<Client>,
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
    /// Faces the server.
    socket: UdpSocket,
    up: Link,
    down: Link,
    heard_at: Instant,
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
    pub(crate) fn bind(listen: SocketAddr, to: SocketAddr, spec: LinkSpec) -> Result<Self, RelayError> {
        let socket = UdpSocket::bind(listen).map_err(|error| RelayError::Bind { listen, error })?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            to,
            spec,
            clients: Vec::new(),
            blackouts: Vec::new(),
            gone: Report::default(),
            seeds: Random::new(spec.seed),
            buffer: vec![0; DATAGRAM_MAX],
        })
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
        for link in self.clients.iter_mut().flat_map(|client| [&mut client.up, &mut client.down]) {
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
        self.clients.iter().for_each(|client| report.add(client));
        report
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Blackout(span) => self.blackout(clock::now(), span),
            Command::Report => println!("{}", self.report().json()),
            Command::Link(LinkSpec { params, .. }) => {
                self.spec.params = params;
                for link in self.clients.iter_mut().flat_map(|client| [&mut client.up, &mut client.down]) {
                    link.set_params(params);
                }
            }
        }
    }

    /// Sends what has arrived at the end of its link.
    fn deliver(&mut self, now: Instant) {
        for client in &mut self.clients {
            while let Some(bytes) = client.up.poll(now) {
                self.gone.unsendable += u64::from(client.socket.send(&bytes).is_err());
            }
            while let Some(bytes) = client.down.poll(now) {
                self.gone.unsendable += u64::from(self.socket.send_to(&bytes, client.address).is_err());
            }
        }
    }

    /// Waits for a socket, a signal, a line, or the next arrival at the end of a link.
    fn wait(&self, stop: &UnixStream, input: Option<&io::Stdin>) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.clients.iter().map(|client| PollFd::new(client.socket.as_fd(), PollFlags::POLLIN)));
        fds.extend(input.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLIN)));
        let links = self.clients.iter().flat_map(|client| [&client.up, &client.down]);
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
            let (len, from) = match self.socket.recv_from(&mut self.buffer) {
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
            client.up.send(now, self.buffer[..len].to_vec());
        }
        Ok(())
    }

    fn receive_from_server(&mut self) {
        for client in &mut self.clients {
            for _ in 0..BATCH {
                match client.socket.recv(&mut self.buffer) {
                    Ok(len) => client.down.send(clock::now(), self.buffer[..len].to_vec()),
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
            self.gone.add(&self.clients.swap_remove(silent));
        }
        let any: SocketAddr = match self.to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(self.to)?;
        socket.set_nonblocking(true)?;
        let mut link = || Link::new(self.spec.params, self.seeds.next());
        let (mut up, mut down) = (link(), link());
        for (start, span) in &self.blackouts {
            up.blackout(*start, *span);
            down.blackout(*start, *span);
        }
        self.clients.push(Client { address, socket, up, down, heard_at: now });
        Ok(self.clients.len() - 1)
    }
}

/// What a wait ended with, beside datagrams.
struct Ready {
    stop: bool,
    input: bool,
}

impl Report {
    fn add(&mut self, client: &Client) {
        self.clients += 1;
        self.up.add(client.up.counts());
        self.down.add(client.down.counts());
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
