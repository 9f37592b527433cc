//! Which vectors the anchors of two pictures agree on.

use super::Vector;
use crate::kernel::anchors::NONE;

/// Places that are tried before an anchor is left out: what is there so often says nothing about where it went.
const PROBES: usize = 8;
/// Places of one anchor in the old picture, beyond which it does not vote.
const TWINS_MAX: usize = 4;
/// What the vote of an anchor with one place counts; one with n places gives each the nth part.
pub(super) const WEIGHT: u32 = 12;
/// Vectors that can be voted for in one tick.
const VECTORS: usize = 4096;

const _: () = assert!(TWINS_MAX < PROBES && VECTORS.is_power_of_two());

/// The anchors of the old picture, by hash, and the votes for vectors. What earlier ticks left behind is told by its
/// stamp, so that nothing is ever cleared.
#[derive(Debug)]
pub(super) struct Votes {
    stamp: u32,
    places: Vec<Place>,
    vectors: Vec<Candidate>,
    /// Slots of `vectors` in use.
    used: Vec<u16>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    stamp: u32,
    hash: u32,
    x: u16,
    y: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    stamp: u32,
    weight: u32,
    vector: Vector,
}

impl Votes {
    /// Room for about so many anchors.
    pub(super) fn new(anchors: usize) -> Self {
        let places = (2 * anchors).next_power_of_two().max(PROBES);
        Self {
            stamp: 0,
            places: vec![Place::default(); places],
            vectors: vec![Candidate::default(); VECTORS],
            used: Vec::with_capacity(VECTORS),
        }
    }

    /// Forgets all anchors and votes.
    pub(super) fn restart(&mut self) {
        self.used.clear();
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.places.fill(Place::default());
            self.vectors.fill(Candidate::default());
            self.stamp = 1;
        }
    }

    /// Notes an anchor of the old picture's cell whose first pixel is (`left`, `top`).
    pub(super) fn note(&mut self, anchor: u32, left: u16, top: u16) {
        let Some((hash, x, y)) = place(anchor, left, top) else { return };
        let mask = self.places.len() - 1;
        for probe in 0..PROBES {
            let slot = &mut self.places[(start(hash) + probe) & mask];
            if slot.stamp != self.stamp {
                *slot = Place { stamp: self.stamp, hash, x, y };
                return;
            }
        }
    }

    /// Votes with an anchor of the new picture's cell whose first pixel is (`left`, `top`).
    pub(super) fn vote(&mut self, anchor: u32, left: u16, top: u16) {
        let Some((hash, x, y)) = place(anchor, left, top) else { return };
        let mask = self.places.len() - 1;
        let (mut twins, mut count) = ([Vector::default(); TWINS_MAX], 0);
        for probe in 0..PROBES {
            let slot = self.places[(start(hash) + probe) & mask];
            if slot.stamp != self.stamp {
                break;
            }
            if slot.hash == hash {
                if count == TWINS_MAX {
                    return;
                }
                twins[count] = Vector::between((slot.x, slot.y), (x, y));
                count += 1;
            }
        }
        let weight = WEIGHT / (count.max(1) as u32);
        // What stands where it stood speaks for no motion, its twins elsewhere least of all.
        if !twins[..count].contains(&Vector::default()) {
            twins[..count].iter().for_each(|vector| self.count(*vector, weight));
        }
    }

    fn count(&mut self, vector: Vector, weight: u32) {
        let spread =
            (vector.dx as u32).wrapping_mul(0x9e37_79b1) ^ (vector.dy as u32).wrapping_mul(0x85eb_ca6b);
        for probe in 0..PROBES {
            let at = (start(spread) + probe) & (VECTORS - 1);
            let slot = &mut self.vectors[at];
            if slot.stamp != self.stamp {
                *slot = Candidate { stamp: self.stamp, weight, vector };
                self.used.push(at as u16);
                return;
            }
            if slot.vector == vector {
                slot.weight += weight;
                return;
            }
        }
    }

    /// Fills `best` with the vectors of at least `least` weight, the heaviest first, as many as it has capacity for.
    pub(super) fn elect(&self, least: u32, best: &mut Vec<(u32, Vector)>) {
        best.clear();
        let room = best.capacity();
        for at in &self.used {
            let Candidate { weight, vector, .. } = self.vectors[usize::from(*at)];
            if weight < least {
                continue;
            }
            // Of equals the shorter one, so that the order does not depend on where hashes fall.
            let rank = |weight: u32, vector: Vector| (std::cmp::Reverse(weight), vector.length(), vector);
            let at = best.partition_point(|(other, known)| rank(*other, *known) < rank(weight, vector));
            if at < room {
                if best.len() == room {
                    best.pop();
                }
                best.insert(at, (weight, vector));
            }
        }
    }
}

fn start(hash: u32) -> usize {
    (hash.wrapping_mul(0xc2b2_ae35) >> 7) as usize
}

/// An anchor's hash and the pixel that it stands at.
fn place(anchor: u32, left: u16, top: u16) -> Option<(u32, u16, u16)> {
    let (x, y) = ((anchor & 15) as u16, (anchor >> 4 & 15) as u16);
    (anchor != NONE).then(|| (anchor >> 8, left + x, top + y))
}
