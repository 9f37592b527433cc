//! What clients that come back offer: frames, and the digests in them.

use lfp_proto::frame::{Frame, Keep, Offer};
use lfp_proto::geometry::{CellRect, Size};
use lfp_proto::identity::Secret;
use lfp_proto::offer::OfferKey;
use lfp_proto::units::{ConnectionId, Epoch, SurfaceId};
use serde_json::json;

use super::{Vector, describe, hex};

pub(super) fn frames() -> Vec<Vector> {
    let (surface, epoch) = (SurfaceId(1), Epoch(130));
    let frame = |name: &str, frame: &Frame<'_>| {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        Vector { name: name.to_owned(), fields: describe::frame(frame), bytes }
    };
    let digests = vec![0x0123_4567_89ab_cdef, u64::MAX];
    vec![
        frame("offer", &Frame::Offer(Offer { surface, epoch, part: 7, digests })),
        frame("offer of nothing", &Frame::Offer(Offer { surface, epoch, part: 0, digests: Vec::new() })),
        frame("keep", &Frame::Keep(Keep { surface, epoch, part: 7, plots: 1 << 127 | 0b101 })),
    ]
}

/// The pixels of a vector: each from its place, of which some are beyond 24 bits.
pub(super) fn pixels(count: usize) -> Vec<u32> {
    (0..count as u32).map(|at| at.wrapping_mul(0x9e37_79b1)).collect()
}

/// The key of a vector: of a sealed connection, by its first key from the client; or by the id of one in the clear.
pub(super) fn key(first: Option<[u8; 32]>, connection: u64) -> OfferKey {
    match first {
        Some(first) => OfferKey::sealed(&Secret::new(first)),
        None => OfferKey::plain(ConnectionId(connection)),
    }
}

pub(super) fn digests() -> Vec<Vector> {
    let digest = |name: &str, first: Option<[u8; 32]>, plot: CellRect| {
        let (size, connection) = (Size::new(100, 70).expect("legal"), 0x0102_0304_0506_0708);
        let pixels = pixels(size.clip(plot).pixels());
        let bytes = key(first, connection).digest(size, plot, [&pixels[..]]).to_le_bytes().to_vec();
        let fields = json!({
            "first_key": first.map(|first| hex(&first)), "connection": connection, "width": size.width,
            "height": size.height, "plot": describe::cells(plot),
            "pixels": "0x9e3779b1 times the place, row-major over the clipped plot, modulo 2^32",
        });
        Vector { name: name.to_owned(), fields, bytes }
    };
    let whole = CellRect { x: 0, y: 0, width: 4, height: 4 };
    let clipped = CellRect { x: 4, y: 4, width: 3, height: 1 };
    vec![
        digest("sealed", Some([0x42; 32]), whole),
        digest("sealed, at the corner", Some([0x42; 32]), clipped),
        digest("in the clear", None, whole),
    ]
}
