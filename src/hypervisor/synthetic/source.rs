//! `synthetic:NAME`: a painter as a source.

use super::Scene;
use crate::geometry::CellSet;
use crate::hypervisor::{Reading, Source, SourceError, Span, Surface, SyntheticSpec, View, private};
use crate::pixel::PixelFormat;
use crate::time::{Instant, micros};

/// A `synthetic:` source. Frame 0 is what its first view sees; it paints when it is swept.
#[derive(Debug)]
pub struct SyntheticSource {
    spec: SyntheticSpec,
    surface: Surface,
    scene: Scene,
    origin: Option<Instant>,
    /// The frame that is due, and the one that `picture` holds.
    due: u64,
    painted: Option<u64>,
    picture: Vec<u8>,
}

impl SyntheticSource {
    /// A painter that has not begun.
    #[must_use]
    pub fn new(spec: SyntheticSpec) -> Self {
        let stride_bytes = u32::from(spec.size.width) * 4;
        let surface =
            Surface { size: spec.size, stride_bytes, format: PixelFormat::Xrgb8888, offset_bytes: 0 };
        let picture = vec![0; surface.shadow_bytes()];
        Self { spec, surface, scene: Scene::new(spec), origin: None, due: 0, painted: None, picture }
    }

    fn paint(&mut self) {
        if self.painted != Some(self.due) {
            let pixels = self.scene.paint(self.due);
            for (bytes, pixel) in self.picture.chunks_exact_mut(4).zip(pixels) {
                bytes.copy_from_slice(&pixel.to_le_bytes());
            }
            self.painted = Some(self.due);
        }
    }
}

impl Source for SyntheticSource {
    fn view(&mut self, now: Instant) -> View {
        let origin = *self.origin.get_or_insert(now);
        let elapsed_us = u128::from(micros(now.saturating_since(origin)));
        self.due = (elapsed_us * u128::from(self.spec.fps) / 1_000_000) as u64;
        View::Live(self.surface)
    }

    fn sweep(
        &mut self,
        surface: &Surface,
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        self.paint();
        Ok(private::sweep(surface, &self.picture, shadow, changed))
    }

    fn probe(
        &mut self,
        surface: &Surface,
        spans: &[Span],
        shadow: &mut [u8],
        changed: &mut CellSet,
    ) -> Result<Reading, SourceError> {
        self.paint();
        Ok(private::probe(surface, spans, &self.picture, shadow, changed))
    }
}
