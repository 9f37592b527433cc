//! The sans-IO root: datagrams, ticks and encodes in; transmits, requests and actions out.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::hypervisor::{Action, SourceId};
use crate::logic::{DigestRequest, Digested, EncodeRequest, Encoded};
use crate::scan::Tick;
use crate::time::Instant;

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its UDP payload.
        bytes: &'a [u8],
    },
    /// A scan found something.
    Tick(Arc<Tick>),
    /// An [`Output::Encode`] is answered.
    Encoded(Encoded),
    /// An [`Output::Digest`] is answered.
    Digested(Digested),
    /// Time has passed; the deadline of [`Output::Timeout`] may have come.
    Timeout,
    /// Close every session in order.
    Shutdown,
}

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// To where.
        to: SocketAddr,
        /// Its UDP payload.
        bytes: Vec<u8>,
    },
    /// Hand this to a worker; answer with [`Input::Encoded`].
    Encode(EncodeRequest),
    /// Hand this to a worker; answer with [`Input::Digested`].
    Digest(DigestRequest),
    /// Do this to a guest.
    Action(Action),
    /// Which sources are watched, and how fast; newest wins.
    Demand(Demand),
    /// Nothing more to do until something happens, or this time has come; `None`: no deadline.
    Timeout(Option<Instant>),
}

/// How a source is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Which source.
    pub source: SourceId,
    /// Scans per second; 0: nobody watches.
    pub rate_hz: u32,
}
