//! How a session stands: what its path does, what waits, what it takes.

use std::time::Duration;

use crate::session::Session;
use crate::session::live::Live;
use crate::session::surface::Surface;
use crate::time::micros;
use crate::units::Bitrate;
use lfp_proto::frame::{self, Way};

/// What a path does, each way, and how the client keeps up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathQuality {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// What the path delivers to the client.
    pub rate: Bitrate,
    /// What became of packets to the client.
    pub down: Way,
    /// What became of packets from the client.
    pub up: Way,
    /// Thousandths of its time that the client works for its picture, as it says.
    pub busy: u16,
    /// How often the pictures that it is shown have been halved for that.
    pub halved: u32,
}

impl PathQuality {
    /// As the client is told it.
    pub(super) fn told(self) -> frame::Quality {
        let Self { rtt, rate, down, up, .. } = self;
        let Way { jitter_us, queued_us, .. } = down;
        frame::Quality { rtt_us: micros(rtt), rate, jitter_us, queued_us, up }
    }
}

impl Session {
    /// The smoothed round-trip time.
    #[must_use]
    pub const fn rtt(&self) -> Duration {
        self.window.rtt().smoothed()
    }

    /// What is known of the path, as the client is told it, and of what goes down what the client tells.
    #[must_use]
    pub fn quality(&self) -> PathQuality {
        PathQuality {
            rtt: self.rtt(),
            rate: self.delivery_rate(),
            down: self.dialogue.down(),
            up: self.dialogue.up(),
            busy: self.dialogue.busy(),
            halved: self.dialogue.halved(),
        }
    }

    /// What the path delivers.
    #[must_use]
    pub fn delivery_rate(&self) -> Bitrate {
        self.rate.delivery_rate()
    }

    /// Bytes sent and neither acked nor lost.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> u64 {
        self.window.in_flight()
    }

    /// Bytes of records that are encoded and wait for the pacer.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.surfaces.iter().filter_map(Surface::live).map(Live::queued_bytes).sum()
    }

    /// Most bytes that it sends back to back.
    #[must_use]
    pub fn quantum(&self) -> u64 {
        self.rate.quantum()
    }

    /// Cells that the client is not known to show as they are.
    #[must_use]
    pub fn open_cells(&self) -> usize {
        self.surfaces.iter().filter_map(Surface::live).map(|live| live.cells().open()).sum()
    }

    /// Of [`Session::memory_bytes`], those of pictures that its client's cache holds too: at most
    /// [`CACHE_SLOTS`](crate::limits::CACHE_SLOTS) of [`CACHE_SLOT_CELLS`](crate::limits::CACHE_SLOT_CELLS) for each surface.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.surfaces.iter().filter_map(Surface::live).map(Live::cache_bytes).sum()
    }

    /// Bytes that the session takes, without what it shares with others.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let live = self.surfaces.iter().filter_map(Surface::live).map(Live::memory_bytes).sum::<usize>();
        size_of::<Self>()
            + self.scratch.capacity()
            + self.streams.memory_bytes()
            + self.window.memory_bytes()
            + self.cargo.memory_bytes()
            + live
    }
}
