//! A source that a test paints: a `shm:` file and the thread that keeps it alive.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use lfp::geometry::{PixelRect, Size};
use lfp_proto::shm::{Mode, Painter};

use super::Picture;

/// A painted file.
pub(crate) struct Painted {
    path: PathBuf,
    pictures: Option<Sender<Picture>>,
    thread: Option<JoinHandle<()>>,
}

impl Painted {
    /// Makes the file and shows `first` in it.
    pub(crate) fn new(path: &Path, first: &Picture) -> Self {
        let (sender, pictures) = channel::<Picture>();
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).expect("a new file");
        sender.send(first.clone()).expect("the receiver is here");
        let thread = std::thread::spawn(move || {
            let mut write =
                |offset: u64, bytes: &[u8]| -> io::Result<()> { file.write_all_at(bytes, offset) };
            let mut painter = Painter::new();
            painter.create(&mut write).expect("a header");
            loop {
                match pictures.recv_timeout(lfp_proto::shm::HEARTBEAT_INTERVAL / 2) {
                    Ok(picture) => paint(&mut painter, &picture, &mut write).expect("an update"),
                    Err(RecvTimeoutError::Timeout) => painter.beat(&mut write).expect("a beat"),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self { path: path.to_owned(), pictures: Some(sender), thread: Some(thread) }
    }

    /// How a server is told of it.
    pub(crate) fn source(&self) -> String {
        format!("shm:{}", self.path.display())
    }

    /// Shows another picture, of any size.
    pub(crate) fn show(&self, picture: &Picture) {
        self.pictures.as_ref().expect("painting").send(picture.clone()).expect("the painter's thread runs");
    }

    /// Stops painting without a word, as a crash would.
    pub(crate) fn abandon(&mut self) {
        self.pictures = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the painter's thread failed");
        }
    }
}

impl Drop for Painted {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn paint(
    painter: &mut Painter,
    picture: &Picture,
    write: &mut impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let size = Size::new(picture.width as u16, picture.height as u16).expect("a size");
    let mode = Mode::xrgb(size);
    if painter.mode() == Some(mode) {
        painter.begin(write)?;
    } else {
        painter.set_mode(mode, write)?;
    }
    let whole = PixelRect { x: 0, y: 0, width: size.width, height: size.height };
    painter.paint_xrgb(whole, &picture.xrgb(), write)?;
    painter.end(write)
}
