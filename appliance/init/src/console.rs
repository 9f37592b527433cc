//! Where people look: the screen shows a page, the serial port gets a line when something has changed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// The terminal that is shown on the screen.
const SCREEN: &str = "/dev/tty1";
/// Clears the screen, hides the cursor, and never goes dark by itself.
const PREPARE: &str = "\x1b[2J\x1b[?25l\x1b[9;0]";

/// The consoles.
#[derive(Debug)]
pub(crate) struct Console {
    /// Everything that the kernel calls a console, but for the screen.
    lines: Vec<File>,
    screen: Option<File>,
    shown: Vec<String>,
}

impl Console {
    /// Opens what there is.
    pub(crate) fn open() -> Self {
        let lines =
            serial_names().iter().filter_map(|name| writable(&Path::new("/dev").join(name))).collect();
        let mut screen = writable(Path::new(SCREEN));
        if let Some(screen) = &mut screen {
            // What somebody types there goes nowhere, and shows nowhere.
            if let Ok(mut settings) = tcgetattr(&*screen) {
                settings.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
                let _ = tcsetattr(&*screen, SetArg::TCSANOW, &settings);
            }
            let _ = screen.write_all(PREPARE.as_bytes());
        }
        Self { lines, screen, shown: Vec::new() }
    }

    /// Says something, once.
    pub(crate) fn say(&mut self, now: Duration, words: &str) {
        let line = format!("[{:>8}.{:03}] lfp: {words}\r\n", now.as_secs(), now.subsec_millis());
        for file in &mut self.lines {
            // Nobody is waited for: what a console does not take is lost on it.
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Shows a page, if it is another one than before.
    pub(crate) fn show(&mut self, page: Vec<String>) {
        let Some(screen) = &mut self.screen else { return };
        if page == self.shown {
            return;
        }
        // Row by row over what stands there: what has not changed does not flicker, and is not served as a change.
        let mut text = String::new();
        for at in 0..page.len().max(self.shown.len()) {
            let row = page.get(at).map_or("", String::as_str);
            if self.shown.get(at).map(String::as_str) != Some(row) {
                text.push_str(&format!("\x1b[{};2H{row}\x1b[K", at + 2));
            }
        }
        let _ = screen.write_all(text.as_bytes());
        self.shown = page;
    }
}

/// The names of the consoles that are no screens, such as `ttyS0`.
pub(crate) fn serial_names() -> Vec<String> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    active.split_ascii_whitespace().filter(|name| !is_screen(name)).map(str::to_owned).collect()
}

/// `tty0` and its like; `ttyS0` is none.
fn is_screen(name: &str) -> bool {
    name.strip_prefix("tty").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn writable(path: &Path) -> Option<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    OpenOptions::new().write(true).custom_flags(flags.bits()).open(path).ok()
}

#[cfg(test)]
mod tests {
    use super::is_screen;

    #[test]
    fn screens_are_told_from_serial_ports() {
        assert!(is_screen("tty0") && is_screen("tty1"));
        assert!(!is_screen("ttyS0") && !is_screen("hvc0"));
    }
}
