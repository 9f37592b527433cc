//! Streams under test: what is read at one end is what was written at the other, and all of it comes.

use client_lfp::{Client, State};
use lfp::server::Server;
use lfp::units::ConnectionId;
use lfp_proto::frame::ResetReason;
use lfp_proto::stream::{Reading, Streams};
use lfp_proto::units::StreamId;

use crate::totals::Totals;

/// What these streams are for.
pub(crate) const KIND: &str = "sim";

/// What is to be sent over a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// The client opens it, not the server.
    pub(crate) by_client: bool,
    /// Bytes from the client, and from the server.
    pub(crate) lengths: [u64; 2],
    /// The client resets it once it has written so much.
    pub(crate) abandon_at: Option<u64>,
}

/// A stream. Ends are numbered: 0 the client's, 1 the server's; so are directions, by who writes.
#[derive(Debug)]
struct Pipe {
    connection: ConnectionId,
    stream: StreamId,
    load: Load,
    /// Each end knows of it.
    known: [bool; 2],
    written: [u64; 2],
    read: [u64; 2],
    ended: [bool; 2],
    abandoned: bool,
}

/// The byte at `at` of one direction of a stream.
fn byte(stream: StreamId, direction: usize, at: u64) -> u8 {
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.0 << 8 ^ direction as u64;
    (mixed >> 13) as u8
}

impl Pipe {
    fn is_done(&self) -> bool {
        self.abandoned || self.ended == [true; 2]
    }

    /// Writes and reads what it can at one end.
    fn pump(&mut self, end: usize, streams: &mut Streams) {
        let (stream, length) = (self.stream, self.load.lengths[end]);
        let room = (length - self.written[end]).min(streams.room(stream) as u64);
        let bytes: Vec<_> =
            (self.written[end]..).take(room as usize).map(|at| byte(stream, end, at)).collect();
        self.written[end] += streams.write(stream, &bytes) as u64;
        if self.written[end] == length {
            streams.finish(stream);
        }
        let other = 1 - end;
        if self.ended[other] && !self.abandoned {
            return;
        }
        let mut bytes = Vec::new();
        let reading = streams.read(stream, &mut bytes, usize::MAX);
        for (at, found) in (self.read[other]..).zip(&bytes) {
            assert_eq!(*found, byte(stream, other, at), "byte {at} of {stream:?} is another one");
        }
        self.read[other] += bytes.len() as u64;
        assert!(self.read[other] <= self.written[other], "{stream:?} has bytes that nobody wrote");
        match reading {
            Reading::Open => {}
            Reading::End => {
                assert_eq!(self.read[other], self.load.lengths[other], "{stream:?} ends early");
                self.ended[other] = true;
            }
            Reading::Reset { .. } | Reading::Gone if self.abandoned => self.ended = [true; 2],
            reading => panic!("{self:?}: {reading:?}"),
        }
    }
}

/// The streams of a world.
#[derive(Debug, Default)]
pub(crate) struct Pipes(Vec<Pipe>);

impl Pipes {
    /// Opens a stream, if there is a session, and a place for it.
    pub(crate) fn open(
        &mut self,
        connection: ConnectionId,
        client: &mut Client,
        server: &mut Server,
        load: Load,
        totals: &mut Totals,
    ) {
        let open = *client.state() == State::Established;
        let Some(servers) = server.streams(connection).filter(|_| open) else { return };
        let streams = if load.by_client { client.streams() } else { servers };
        let Some(stream) = streams.open(KIND) else { return totals.one("streams too many") };
        totals.one(if load.by_client { "streams of clients" } else { "streams of the server" });
        let known = [load.by_client, !load.by_client];
        let (written, read, ended) = ([0; 2], [0; 2], [false; 2]);
        self.0.push(Pipe { connection, stream, load, known, written, read, ended, abandoned: false });
    }

    /// Whether there are any in this connection.
    pub(crate) fn any(&self, connection: ConnectionId) -> bool {
        self.0.iter().any(|pipe| pipe.connection == connection)
    }

    /// Writes and reads at both ends whatever is possible now.
    pub(crate) fn pump(
        &mut self,
        connection: ConnectionId,
        client: &mut Client,
        server: &mut Server,
        totals: &mut Totals,
    ) {
        while let Some((stream, kind)) = server.take_stream(connection) {
            assert_eq!(kind, KIND);
            self.on_known(connection, stream, 1);
        }
        while let Some((stream, kind)) = client.streams().accept() {
            assert_eq!(kind, KIND);
            self.on_known(connection, stream, 0);
        }
        let Some(servers) = server.streams(connection) else { return };
        for pipe in self
            .0
            .iter_mut()
            .filter(|pipe| pipe.connection == connection && !pipe.ended.iter().all(|end| *end))
        {
            if pipe.known[0] && !pipe.abandoned {
                pipe.pump(0, client.streams());
                if pipe.load.abandon_at.is_some_and(|at| pipe.written[0] >= at && !pipe.ended[1]) {
                    client.streams().reset(pipe.stream, ResetReason::Abandoned, "enough");
                    pipe.abandoned = true;
                }
            }
            if pipe.known[1] {
                pipe.pump(1, servers);
                totals.many("streams reset", u64::from(pipe.abandoned && pipe.ended == [true; 2]));
            }
        }
        let before = self.0.len();
        self.0.retain(|pipe| pipe.ended != [true; 2]);
        totals.many("streams ended", (before - self.0.len()) as u64);
    }

    fn on_known(&mut self, connection: ConnectionId, stream: StreamId, end: usize) {
        let pipe = self.0.iter_mut().find(|pipe| pipe.connection == connection && pipe.stream == stream);
        let pipe = pipe.unwrap_or_else(|| panic!("nobody has opened {stream:?}"));
        assert!(!pipe.known[end], "{stream:?} is accepted twice");
        pipe.known[end] = true;
    }

    /// A connection is no more.
    pub(crate) fn forget(&mut self, connection: ConnectionId, totals: &mut Totals) {
        let of = |pipe: &Pipe| pipe.connection == connection;
        totals.many(
            "streams cut short",
            self.0.iter().filter(|pipe| of(pipe) && !pipe.is_done()).count() as u64,
        );
        self.0.retain(|pipe| !of(pipe));
    }

    /// Whether everything that was written has come.
    pub(crate) fn all_done(&self) -> bool {
        self.0.iter().all(Pipe::is_done)
    }

    /// Bytes read so far of the streams that are open, from clients and from the server.
    pub(crate) fn read(&self) -> [u64; 2] {
        [0, 1].map(|end: usize| self.0.iter().map(|pipe| pipe.read[end]).sum())
    }
}
