//! One direction of a stream, at its sender.

use alloc::vec::Vec;

use super::ranges::Ranges;
use crate::limits::STREAM_WINDOW;

/// Pieces are no shorter than this unless what is left is: a packet's last few bytes are not worth a frame.
const PIECE_MIN: usize = 64;

/// Some bytes of a stream, by where they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) len: u32,
    /// The stream ends behind them.
    pub(super) fin: bool,
}

impl Piece {
    const fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

/// What has become of the stream's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Fin {
    /// More may be written.
    #[default]
    Open,
    /// Nothing more will be; that has not been said, or was lost.
    Due,
    /// It has been said.
    Said,
    /// The other side knows.
    Acked,
}

/// Bytes that were written and are not known to have come, and which of them are to be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct SendHalf {
    /// From `acked` on.
    bytes: Vec<u8>,
    /// Everything before is known to have come.
    acked: u64,
    /// What is known to have come beyond.
    came: Ranges,
    /// What was sent and lost.
    lost: Ranges,
    /// The first byte that was never sent.
    next: u64,
    /// The other side takes what is before.
    credit: u64,
    fin: Fin,
}

impl SendHalf {
    pub(super) fn new(credit: u64) -> Self {
        Self { credit, ..Self::default() }
    }

    pub(super) const fn credit(&self) -> u64 {
        self.credit
    }

    /// Bytes that may be written.
    pub(super) fn room(&self) -> usize {
        if self.fin == Fin::Open { STREAM_WINDOW - self.bytes.len() } else { 0 }
    }

    /// Takes as many of `bytes` as there is room for; says how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Nothing more will be written.
    pub(super) fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Due;
        }
    }

    // SPEC [LFP-18.4]: A side MUST follow the largest credit that came for a stream
    pub(super) fn on_credit(&mut self, through: u64) {
        self.credit = self.credit.max(through);
    }

    /// Whether the other side has everything, and knows that it does.
    pub(super) fn is_done(&self) -> bool {
        self.fin == Fin::Acked && self.bytes.is_empty()
    }

    fn end(&self) -> u64 {
        self.acked + self.bytes.len() as u64
    }

    /// Whether something is to be sent, and may be.
    pub(super) fn is_due(&self) -> bool {
        self.piece(usize::MAX).is_some()
    }

    /// What is to be sent next, of at most `most` bytes: what was lost, then what is new.
    // SPEC [LFP-18.3]: A side MUST NOT send bytes of a stream beyond the credit that it has for it.
    pub(super) fn piece(&self, most: usize) -> Option<Piece> {
        let (start, stop) = match self.lost.first() {
            Some(range) => range,
            None => (self.next, self.end().min(self.credit)),
        };
        let whole = stop.saturating_sub(start);
        let len = whole.min(most as u64).min(u64::from(u32::MAX));
        if len < whole.min(PIECE_MIN as u64) {
            return None;
        }
        let fin = self.fin != Fin::Open && start + len == self.end();
        let piece = Piece { offset: start, len: len as u32, fin };
        (len > 0 || (fin && self.fin == Fin::Due)).then_some(piece)
    }

    /// Where the next piece begins.
    pub(super) fn next_offset(&self) -> u64 {
        self.lost.first().map_or(self.next, |(start, _)| start)
    }

    /// The bytes of a piece that [`SendHalf::piece`] gave.
    pub(super) fn bytes_of(&self, piece: Piece) -> &[u8] {
        let start = (piece.offset - self.acked) as usize;
        &self.bytes[start..start + piece.len as usize]
    }

    /// The piece goes out. Says how many of its bytes had been sent before.
    pub(super) fn on_sent(&mut self, piece: Piece) -> u64 {
        let again = self.next.min(piece.end()).saturating_sub(piece.offset);
        self.lost.remove(piece.offset, piece.end());
        self.next = self.next.max(piece.end());
        if piece.fin && self.fin == Fin::Due {
            self.fin = Fin::Said;
        }
        again
    }

    /// The piece has come.
    pub(super) fn on_acked(&mut self, piece: Piece) {
        self.lost.remove(piece.offset, piece.end());
        self.came.insert(piece.offset.max(self.acked), piece.end());
        if let Some((_, end)) = self.came.first().filter(|(start, _)| *start <= self.acked) {
            self.bytes.drain(..(end - self.acked) as usize);
            self.came.remove(self.acked, end);
            self.acked = end;
            if self.bytes.is_empty() {
                self.bytes = Vec::new();
            }
        }
        if piece.fin {
            self.fin = Fin::Acked;
        }
    }

    /// The piece is lost: what of it has not come otherwise is sent again.
    // SPEC [LFP-18.5]: Bytes of a stream that were in a lost packet MUST be sent again
    pub(super) fn on_lost(&mut self, piece: Piece) {
        self.lost.insert(piece.offset.max(self.acked), piece.end());
        self.lost.remove_all(&self.came);
        if piece.fin && self.fin == Fin::Said {
            self.fin = Fin::Due;
        }
    }

    /// Forgets everything that was written.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.came.clear();
        self.lost.clear();
    }

    /// Bytes that it takes beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.came.memory_bytes() + self.lost.memory_bytes()
    }
}
