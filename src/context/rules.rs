//! The grammar: what a region is, from its geometry, its contrast and its time.

use crate::ablation::{Part, Without};
use lfp_proto::record::Context;

/// What is known of a region when the rules are asked. Shares are percentages of its cells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// Columns and rows of the rectangle around it.
    pub sides: (u16, u16),
    /// How many cells it has.
    pub cells: u32,
    /// How much of the rectangle around it is its own, in percent.
    pub fill: u32,
    /// Changes per second and cell, on average.
    pub rate_hz: u32,
    /// Eighths of a second, of the last eight, in which a cell changed, on average and in tenths: 0 to 80.
    pub hits: u32,
    /// Cells that look flat, like text, like an interface.
    pub flat: u32,
    /// See `flat`.
    pub text: u32,
    /// See `flat`.
    pub interface: u32,
    /// Cells that look like a photograph, a gradient, noise.
    pub photo: u32,
    /// See `photo`.
    pub gradient: u32,
    /// See `photo`.
    pub noise: u32,
    /// Cells each of whose pixels is one that moved here, in this tick.
    pub moved: u32,
    /// Whether most of what moves there moved across the axes, now or a moment ago.
    pub dragging: bool,
    /// Cells that have changed no more often, since something slid over them, than what it uncovers is painted.
    pub uncovered: u32,
    /// Cells that flip between two contents.
    pub flipping: u32,
}

impl Shape {
    const fn picture(&self) -> u32 {
        self.photo + self.gradient + self.noise
    }

    const fn graphic(&self) -> u32 {
        self.flat + self.text + self.interface
    }
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// What it is called.
    pub name: &'static str,
    /// What a region is for which it holds.
    pub context: Context,
    /// Whether it holds.
    pub test: fn(&Shape) -> bool,
    /// Why it is one.
    pub reason: &'static str,
}

/// The rules; a region is what the first one that holds says. What happens comes before what it looks like.
pub const RULES: [Rule; 11] = [
    Rule {
        name: "flips",
        context: Context::Blink,
        test: |shape| shape.flipping >= 75 && shape.cells <= 256,
        reason: "the content before last came back, and the one before that: a cursor, a light",
    },
    Rule {
        name: "slides-on",
        context: Context::Drag,
        test: |shape| shape.moved >= 60 && shape.dragging,
        reason: "pages move along an axis, hands do not; and a hand that did a moment ago still holds it",
    },
    Rule {
        name: "slides",
        context: Context::Scroll,
        test: |shape| shape.moved >= 60,
        reason: "an older part of the screen, moved up, down or aside",
    },
    Rule {
        name: "film",
        context: Context::Video,
        test: |shape| {
            let (width, height) = shape.sides;
            width >= 4
                && height >= 3
                && shape.uncovered < 50
                && shape.fill >= 40
                && shape.rate_hz >= 6
                && shape.hits >= 28
                && shape.picture() >= 50
        },
        reason: "a rectangle of colours that flow, changing without a pause for a third of a second, and nothing slides over it",
    },
    Rule {
        name: "plane",
        context: Context::Flat,
        test: |shape| shape.flat >= 95,
        reason: "one colour, cell by cell",
    },
    Rule {
        name: "writing",
        context: Context::Text,
        test: |shape| shape.text >= 30 && shape.graphic() >= 70,
        reason: "ink on paper in a third of it, and nothing that flows",
    },
    Rule {
        name: "static",
        context: Context::Noise,
        test: |shape| shape.noise >= 60,
        reason: "no order in any cell",
    },
    Rule {
        name: "ramp",
        context: Context::Gradient,
        test: |shape| shape.gradient >= 50 && shape.photo < 20,
        reason: "small even steps",
    },
    Rule {
        name: "picture",
        context: Context::Photo,
        test: |shape| shape.picture() >= 50,
        reason: "colours that flow, at rest",
    },
    Rule {
        name: "controls",
        context: Context::Interface,
        test: |shape| shape.graphic() >= 60 && shape.text < 30,
        reason: "a few colours, straight lines",
    },
    Rule { name: "anything", context: Context::Unknown, test: |_| true, reason: "no rule holds" },
];

/// The rule that says what a region is, of those that are not left out.
#[must_use]
pub fn judge(shape: &Shape, without: Without) -> &'static Rule {
    const { assert!(!RULES.is_empty()) };
    let mut rules = RULES.iter().enumerate().filter(|(place, _)| !without.contains(Part::Rule(*place)));
    rules.find(|(_, rule)| (rule.test)(shape)).map_or(&RULES[RULES.len() - 1], |(_, rule)| rule)
}
