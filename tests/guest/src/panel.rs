//! The terminal: a few lines of text in a window, the last of them being typed.

use std::collections::VecDeque;

use crate::canvas::{Canvas, Rect, mix};
use crate::font::{self, Font};

const COLUMNS: usize = 44;
const LINES: usize = 9;
const PROMPT: &str = "guest$ ";
/// Characters that the line being typed may have.
const TYPED_MAX: usize = COLUMNS - PROMPT.len() - 1;

/// The terminal's text and place.
pub(crate) struct Panel {
    area: Rect,
    scale: usize,
    lines: VecDeque<String>,
    typed: String,
}

impl Panel {
    /// A terminal at the upper left of a screen of this size.
    pub(crate) fn new(canvas: &Canvas) -> Self {
        let scale = if canvas.width >= 960 { 2 } else { 1 };
        let mut panel = Self {
            area: Rect { x: 0, y: 0, width: 0, height: 0 },
            scale,
            lines: VecDeque::new(),
            typed: String::new(),
        };
        panel.area = Rect {
            x: canvas.width / 24,
            y: canvas.height / 14,
            width: (COLUMNS * panel.column() + 2 * panel.margin()).min(canvas.width * 9 / 10),
            height: (LINES + 1) * panel.line() + 2 * panel.margin(),
        };
        panel
    }

    /// What the terminal covers.
    pub(crate) const fn area(&self) -> Rect {
        self.area
    }

    /// Adds a line of output.
    pub(crate) fn say(&mut self, text: &str) {
        self.lines.push_back(text.chars().take(COLUMNS).collect());
        while self.lines.len() > LINES - 1 {
            self.lines.pop_front();
        }
    }

    /// Forgets all output.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Takes a typed character; Enter gives the line.
    pub(crate) fn key(&mut self, character: char) -> Option<String> {
        match character {
            '\r' | '\n' => {
                let line = std::mem::take(&mut self.typed);
                self.say(&format!("{PROMPT}{line}"));
                return Some(line);
            }
            '\u{8}' | '\u{7f}' => drop(self.typed.pop()),
            ' '..='~' if self.typed.len() < TYPED_MAX => self.typed.push(character),
            _ => {}
        }
        None
    }

    /// Paints the terminal over what stands behind it in `scene`.
    pub(crate) fn paint(&self, canvas: &mut Canvas, scene: &Canvas, font: &Font, title: &str) {
        canvas.restore(scene, self.area);
        canvas.fill(self.area, 0x0c_1022, 0.80);
        let bar = Rect { height: self.line() + self.margin() / 2, ..self.area };
        canvas.fill(bar, 0xff_b27a, 0.22);
        self.frame(canvas);
        let (left, top) = (self.area.x + self.margin(), self.area.y + self.margin() / 2);
        for (index, colour) in [0xff_6b5e, 0xff_c04d, 0x6c_d08a].into_iter().enumerate() {
            let side = 4 * self.scale;
            let dot = Rect { x: left + index * side * 2, y: top + self.scale, width: side, height: side };
            canvas.fill(dot, colour, 1.0);
        }
        canvas.text(font, (left + 6 * self.column(), top), self.scale, 0xff_e8d0, title);
        let mut y = self.area.y + self.line() + self.margin();
        for line in &self.lines {
            let colour = if line.starts_with(PROMPT) { 0xb8_e0c8 } else { 0xd8_d8e8 };
            canvas.text(font, (left, y), self.scale, colour, line);
            y += self.line();
        }
        canvas.text(font, (left, y), self.scale, 0xff_c98a, PROMPT);
        let typed = left + PROMPT.len() * self.column();
        canvas.text(font, (typed, y), self.scale, 0xff_ffff, &self.typed);
        let cursor = Rect {
            x: typed + self.typed.len() * self.column(),
            y,
            width: font::WIDTH * self.scale,
            height: (font::HEIGHT - 1) * self.scale,
        };
        canvas.fill(cursor, 0xff_c98a, 0.85);
    }

    fn frame(&self, canvas: &mut Canvas) {
        let Rect { x, y, width, height } = self.area;
        let light = mix(0x0c_1022, 0xff_d0a0, 0.6);
        canvas.fill(Rect { height: 1, ..self.area }, light, 0.6);
        canvas.fill(Rect { y: y + height - 1, height: 1, ..self.area }, light, 0.3);
        canvas.fill(Rect { width: 1, ..self.area }, light, 0.4);
        canvas.fill(Rect { x: x + width - 1, width: 1, ..self.area }, light, 0.4);
    }

    const fn column(&self) -> usize {
        (font::WIDTH + 1) * self.scale
    }

    const fn line(&self) -> usize {
        (font::HEIGHT + 2) * self.scale
    }

    const fn margin(&self) -> usize {
        6 * self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_typed_corrected_and_entered() {
        let mut panel = Panel::new(&Canvas::new(1024, 768));
        for character in "helpp\u{7f}".chars() {
            assert_eq!(panel.key(character), None);
        }
        assert_eq!(panel.key('\r').as_deref(), Some("help"));
        assert_eq!(panel.key('\n').as_deref(), Some(""));
    }

    #[test]
    fn typing_without_end_stays_in_the_window() {
        let mut panel = Panel::new(&Canvas::new(1024, 768));
        for _ in 0..1000 {
            panel.key('x');
        }
        assert_eq!(panel.key('\n').map(|line| line.len()), Some(TYPED_MAX));
    }
}
