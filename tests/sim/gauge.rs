//! What a peer's user saw of what its guest painted: how long each changed frame took.

use client_lfp::Client;
use lfp::geometry::CellSet;
use lfp::time::Instant;

use crate::guest::Screen;
use crate::score::Score;

/// Guest and client side by side, as time goes on. Takes no note of pictures that are not live.
pub(crate) struct Gauge {
    score: Score,
    newest: Vec<u8>,
    damage: CellSet,
}

impl Gauge {
    /// From now on; the client shows what the screen does.
    pub(crate) fn new(screen: &Screen) -> Self {
        let newest = screen.xrgb();
        let grid = screen.size().grid();
        Self { score: Score::new(screen.size(), &newest), newest, damage: CellSet::new(grid) }
    }

    /// The guest has painted.
    pub(crate) fn on_painted(&mut self, now: Instant, screen: &Screen, client: &Client) {
        let Some(shown) = client.picture().filter(|picture| picture.live) else { return };
        let grid = screen.size().grid();
        let picture = screen.xrgb();
        let mut changed = CellSet::new(grid);
        let stride = usize::from(screen.size().width) * 4;
        let rows = picture.chunks_exact(stride).zip(self.newest.chunks_exact(stride));
        for (y, (now, then)) in (0_u16..).zip(rows).filter(|(_, (now, then))| now != then) {
            let cells = (0_u16..).zip(now.chunks(64).zip(then.chunks(64)));
            cells.filter(|(_, (now, then))| now != then).for_each(|(x, _)| {
                changed.insert(grid.index(x, y / 16));
            });
        }
        self.score.on_frame(now.as_micros(), &changed, &picture, shown);
        self.newest = picture;
    }

    /// The client has acted on a datagram.
    pub(crate) fn on_shown(&mut self, now: Instant, client: &mut Client) {
        client.take_damage(&mut self.damage);
        if let Some(shown) = client.picture().filter(|picture| picture.live) {
            self.score.on_shown(now.as_micros(), &self.damage, shown);
        }
        self.damage.clear();
    }

    /// Whether the client shows the newest picture.
    pub(crate) const fn is_exact(&self) -> bool {
        self.score.is_exact()
    }

    /// Milliseconds, rounded up, that the changed frames took until all of each was shown or superseded, ascending; and how
    /// many never were.
    pub(crate) fn updates_ms(&self) -> (Vec<u64>, usize) {
        let all: Vec<_> = self.score.frames.iter().map(crate::score::Frame::update_us).collect();
        let mut done: Vec<_> = all.iter().flatten().map(|us| us.div_ceil(1_000)).collect();
        done.sort_unstable();
        let open = all.len() - done.len();
        (done, open)
    }
}
