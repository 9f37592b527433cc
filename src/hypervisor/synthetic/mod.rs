//! Painters of ours: sources whose every picture is a pure function of a seed and a frame number.

mod canvas;
mod font;
mod noise;
mod scene;
mod source;

pub(crate) use canvas::{Area, Canvas};
pub use scene::Scene;
pub use source::SyntheticSource;

/// What a synthetic source paints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Painting {
    /// Text appears in a terminal, character by character, with a blinking cursor.
    Typing,
    /// A long page of text and photographs moves up, and rests now and then.
    Scroll,
    /// A window is dragged across a desktop.
    WindowDrag,
    /// A moving picture plays in a window of a still desktop.
    Video,
    /// Nothing but a clock and a blinking cursor.
    Idle,
    /// All of these at once.
    Mixed,
    /// Every pixel is another in every frame: the greediest guest that there is.
    Storm,
}

impl Painting {
    /// Every painting.
    pub const ALL: [Self; 7] =
        [Self::Typing, Self::Scroll, Self::WindowDrag, Self::Video, Self::Idle, Self::Mixed, Self::Storm];

    /// The names, in the order of [`Painting::ALL`].
    pub const NAMES: [&str; 7] = ["typing", "scroll", "window-drag", "video", "idle", "mixed", "storm"];

    /// The name in a source's specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The painting of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|index| Self::ALL[index])
    }
}

#[cfg(test)]
mod tests;
