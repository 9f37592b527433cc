use std::time::Duration;

use super::*;
use crate::geometry::{CellSet, Size};
use crate::hypervisor::{Source, SyntheticSpec, View};
use crate::time::Instant;

fn spec(painting: Painting, width: u16, height: u16) -> SyntheticSpec {
    let size = Size::new(width, height).expect("a legal size");
    SyntheticSpec { size, ..SyntheticSpec::new(painting) }
}

#[test]
fn a_picture_depends_on_seed_and_frame_alone() {
    for painting in Painting::ALL {
        let spec = spec(painting, 320, 240);
        let mut forward = Scene::new(spec);
        let pictures: Vec<Vec<u32>> = (0..40).map(|frame| forward.paint(frame).to_vec()).collect();
        let mut back = Scene::new(spec);
        for frame in [39, 3, 17, 0, 17] {
            assert!(back.paint(frame) == pictures[frame as usize], "{painting:?} frame {frame}");
        }
        let mut other = Scene::new(SyntheticSpec { seed: 2, ..spec });
        assert!(other.paint(0) != pictures[0], "{painting:?} with another seed");
        assert!(pictures.iter().flatten().all(|pixel| pixel >> 24 == 0));
    }
}

#[test]
fn every_size_can_be_painted() {
    for painting in Painting::ALL {
        for (width, height) in [(1, 1), (1, 900), (16_384, 1), (17, 33), (63, 25), (200, 150)] {
            let mut scene = Scene::new(spec(painting, width, height));
            for frame in [0, 1, 100, 1 << 40, u64::MAX] {
                assert_eq!(scene.paint(frame).len(), usize::from(width) * usize::from(height));
            }
        }
    }
}

/// How much of the screen changes is what tells the paintings apart: cells a second, of 4000.
#[test]
fn each_painting_changes_as_much_as_its_name_says() {
    for (painting, range) in [
        (Painting::Idle, 1..=20),
        (Painting::Typing, 10..=2_000),
        (Painting::WindowDrag, 10_000..=60_000),
        (Painting::Scroll, 40_000..=120_000),
        (Painting::Video, 30_000..=60_000),
        (Painting::Mixed, 30_000..=100_000),
        (Painting::Storm, 100_000..=500_000),
    ] {
        let mut source = SyntheticSource::new(spec(painting, 1280, 800));
        let start = Instant::from_micros(5);
        let View::Live(surface) = source.view(start) else { panic!("dark") };
        let mut shadow = vec![0; surface.shadow_bytes()];
        let mut changed = CellSet::new(surface.size.grid());
        source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
        assert!(changed.len() > 3_900, "{painting:?}: a first picture fills the screen");
        let mut cells = 0;
        for frame in 1..=60 {
            changed.clear();
            source.view(start + Duration::from_micros(frame * 1_000_000 / 30 + 1));
            source.sweep(&surface, &mut shadow, &mut changed).expect("swept");
            cells += changed.len() / 2;
        }
        assert!(range.contains(&cells), "{painting:?}: {cells} cells a second");
    }
}
