//! The guest's desktop: the picture, the terminal on it, what moves, and the commands.

use std::fs;
use std::io;
use std::process::Command;

use crate::canvas::{Canvas, Rect, hash};
use crate::font::Font;
use crate::input::Event;
use crate::panel::Panel;
use crate::screen::{Mode, Screen};
use crate::{Report, dispi, landscape};

const HELP: [&str; 8] = [
    "quiet, lively   stop or start the boats",
    "video           a moving picture, on or off",
    "storm           change every pixel, on or off",
    "mode 800x600x16 change the mode",
    "pan             move it in video memory",
    "text            leave the linear mode",
    "claim 9999x9x7  say so in the display's registers, and paint as before",
    "clear, reboot, poweroff",
];

/// Everything on the screen, and how it got there.
pub(crate) struct Desk {
    screen: Screen,
    font: Font,
    /// What stands still, without the terminal.
    scene: Canvas,
    canvas: Canvas,
    panel: Panel,
    quiet: bool,
    video: bool,
    storm: bool,
    dark: bool,
    frame: u32,
    title: String,
}

impl Desk {
    /// Opens the screen and paints it.
    pub(crate) fn open(quiet: bool) -> io::Result<Self> {
        let screen = Screen::open()?;
        let mode = screen.mode();
        let canvas = Canvas::new(mode.width, mode.height);
        let mut desk = Self {
            panel: Panel::new(&canvas),
            scene: Canvas::new(0, 0),
            canvas,
            screen,
            font: Font::new(),
            quiet,
            video: false,
            storm: false,
            dark: false,
            frame: 0,
            title: String::new(),
        };
        desk.panel.say("A guest, seen through its framebuffer.");
        desk.panel.say("Type something, or help.");
        desk.repaint()?;
        Ok(desk)
    }

    /// The mode and what moves, for the report.
    pub(crate) fn describe(&self) -> String {
        let Mode { width, height, depth, stride_bytes, offset_bytes } = self.screen.mode();
        let quiet = u8::from(self.quiet);
        format!("{width}x{height}x{depth} stride={stride_bytes} offset={offset_bytes} quiet={quiet}")
    }

    /// Does what an event asks for; [`Desk::refresh`] shows it.
    pub(crate) fn handle(&mut self, event: Event, report: &mut Report) -> io::Result<()> {
        match event {
            Event::Typed(character) => {
                report.line(&format!("key {character:?}"));
                if let Some(line) = self.panel.key(character) {
                    report.line(&format!("typed: {line}"));
                    if let Err(error) = self.command(line.trim(), report) {
                        self.panel.say(&error.to_string());
                        report.line(&format!("error: {error}"));
                    }
                }
            }
            Event::Button { code, down } => {
                report.line(&format!("button {code:#x} {}", if down { "down" } else { "up" }));
            }
            Event::Relative { axis, value } => report.line(&format!("relative {axis} {value}")),
            Event::Absolute { axis, value } => report.line(&format!("absolute {axis} {value}")),
        }
        Ok(())
    }

    fn command(&mut self, line: &str, report: &mut Report) -> io::Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" => {}
            "help" => HELP.iter().for_each(|line| self.panel.say(line)),
            "clear" => self.panel.clear(),
            "quiet" | "lively" => self.quiet = word == "quiet",
            "video" => self.video = !self.video,
            "storm" => self.storm = !self.storm,
            "mode" => {
                let (width, height, depth) = parse_mode(rest)
                    .ok_or_else(|| io::Error::other("a mode is WIDTHxHEIGHTxDEPTH, as 800x600x32"))?;
                self.enter(dispi::enter(width, height, depth)?)?;
            }
            "pan" => {
                let mode = self.screen.mode();
                let row = if mode.offset_bytes == 0 { mode.height } else { 0 };
                self.enter(dispi::pan(mode, row)?)?;
            }
            "claim" => {
                let numbers = parse_numbers(rest).ok_or_else(|| io::Error::other("a claim is NxNxN"))?;
                dispi::claim(numbers)?;
            }
            "text" => {
                dispi::leave()?;
                self.dark = true;
            }
            "reboot" | "poweroff" => {
                Command::new("/bin/busybox").args([word, "-f"]).status()?;
            }
            _ => self.panel.say("I read you. For what I can do: help"),
        }
        if matches!(word, "quiet" | "lively" | "video" | "storm") {
            self.repaint()?;
        }
        report.line(&format!("done {word} {}", self.describe()));
        Ok(())
    }

    fn enter(&mut self, mode: Mode) -> io::Result<()> {
        let shown = self.screen.mode();
        self.screen.follow(mode);
        self.dark = false;
        if (mode.width, mode.height) != (shown.width, shown.height) {
            self.canvas = Canvas::new(mode.width, mode.height);
            self.panel = Panel::new(&self.canvas);
            self.panel.say(&format!("{}x{}, {} bits", mode.width, mode.height, mode.depth));
        }
        self.repaint()
    }

    /// Paints and shows everything.
    fn repaint(&mut self) -> io::Result<()> {
        if (self.scene.width, self.scene.height) != (self.canvas.width, self.canvas.height) || self.frame == 0
        {
            self.scene = Canvas::new(self.canvas.width, self.canvas.height);
            landscape::paint(&mut self.scene);
        }
        self.canvas.restore(&self.scene, self.scene.bounds());
        landscape::boats(&mut self.canvas, self.frame);
        self.title = self.title();
        self.panel.paint(&mut self.canvas, &self.scene, &self.font, &self.title);
        self.screen.present(&self.canvas, self.canvas.bounds())
    }

    /// Shows the terminal as it is now.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        if self.dark {
            return Ok(());
        }
        self.panel.paint(&mut self.canvas, &self.scene, &self.font, &self.title);
        self.screen.present(&self.canvas, self.panel.area())
    }

    /// Moves what moves by one frame.
    pub(crate) fn frame(&mut self) -> io::Result<()> {
        if self.dark {
            return Ok(());
        }
        if !self.quiet {
            self.frame += 1;
            let lake = landscape::boats_area(&self.canvas);
            self.canvas.restore(&self.scene, lake);
            landscape::boats(&mut self.canvas, self.frame);
            self.screen.present(&self.canvas, lake)?;
            let title = self.title();
            if title != self.title {
                self.title = title;
                self.refresh()?;
            }
        }
        if self.video || self.storm {
            self.frame += 1;
            let area = if self.storm { self.canvas.bounds() } else { video_area(&self.canvas) };
            plasma(&mut self.canvas, area, self.frame);
            self.screen.present(&self.canvas, area)?;
        }
        Ok(())
    }

    fn title(&self) -> String {
        if self.quiet {
            return "LFP guest".to_owned();
        }
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds: u64 = uptime.split('.').next().and_then(|text| text.parse().ok()).unwrap_or_default();
        format!("LFP guest   up {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

fn parse_mode(text: &str) -> Option<(usize, usize, usize)> {
    let (width, height, depth) = parse_numbers(text)?;
    let known = matches!(depth, 15 | 16 | 24 | 32);
    let fits = (320..=1920).contains(&width) && (200..=1200).contains(&height) && width % 8 == 0;
    (known && fits).then_some((width.into(), height.into(), depth.into()))
}

/// Three numbers that registers can hold.
fn parse_numbers(text: &str) -> Option<(u16, u16, u16)> {
    let mut parts = text.trim().split('x').map(|part| part.parse().ok());
    let numbers = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(numbers)
}

fn video_area(canvas: &Canvas) -> Rect {
    let (width, height) = (canvas.width / 4, canvas.height / 4);
    Rect { x: canvas.width - width - canvas.width / 24, y: canvas.height / 14, width, height }
}

/// Paints every pixel of `area` differently from the frame before.
fn plasma(canvas: &mut Canvas, area: Rect, frame: u32) {
    for y in area.y..area.y + area.height {
        for x in area.x..area.x + area.width {
            let (u, v) = ((x + frame as usize * 3) as u32, (y * 2 + frame as usize) as u32);
            let red = (u ^ v) & 0xff;
            let blue = (u / 2 + v + frame * 5) & 0xff;
            let green = (hash(u / 16, v / 16) + frame * 8) & 0xff;
            canvas.set(x, y, red << 16 | green << 8 | blue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_nonsense_is_not() {
        assert_eq!(parse_mode("800x600x16"), Some((800, 600, 16)));
        assert_eq!(parse_numbers(" 65535x0x7"), Some((65_535, 0, 7)));
        assert_eq!(parse_numbers("65536x0x7"), None);
        for nonsense in ["", "800x600", "800x600x8", "801x600x32", "99999x1x32", "800x600x32x1", "axbxc"] {
            assert_eq!(parse_mode(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_picture_is_the_same_every_time_and_the_plasma_never() {
        let paint = || {
            let mut canvas = Canvas::new(320, 200);
            landscape::paint(&mut canvas);
            canvas
        };
        let (mut a, b) = (paint(), paint());
        let rows = |canvas: &Canvas| {
            (0..200).flat_map(|y| canvas.row(canvas.bounds(), y).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(rows(&a), rows(&b));
        let bounds = a.bounds();
        plasma(&mut a, bounds, 1);
        let before = rows(&a);
        plasma(&mut a, bounds, 2);
        let changed = before.iter().zip(rows(&a)).filter(|(old, new)| **old != *new).count();
        assert!(changed > 320 * 200 * 9 / 10, "{changed} of {} pixels changed", 320 * 200);
    }
}
