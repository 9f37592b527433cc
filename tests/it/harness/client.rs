//! The real `client-lfp`, and the file in which it mirrors its picture.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Bench, PATIENCE, Picture, Process, program, wait_for};

/// A running client.
pub(crate) struct Client {
    name: String,
    process: Process,
    png: PathBuf,
    mirror: PathBuf,
}

/// What a client said when it ended.
pub(crate) struct Report {
    /// Its JSON.
    pub(crate) json: Value,
    /// Its last picture, if it had one.
    pub(crate) picture: Option<Picture>,
}

impl Report {
    /// A number of its JSON.
    ///
    /// # Panics
    /// If there is none of this name.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap_or_else(|| panic!("no whole number {name:?} in {}", self.json))
    }

    /// Whether it proved that its picture is the server's.
    pub(crate) fn exact(&self) -> bool {
        self.json["exact"].as_bool().unwrap_or_else(|| panic!("no {:?} in {}", "exact", self.json))
    }

    /// Its last picture.
    pub(crate) fn picture(&self) -> &Picture {
        self.picture.as_ref().unwrap_or_else(|| panic!("the client left no picture: {}", self.json))
    }
}

impl Client {
    /// Starts a client; `name` is unique within the test, `args` say how long it lasts and what it does.
    pub(crate) fn start(bench: &Bench, name: &str, server: SocketAddr, args: &[&str]) -> Self {
        let png = bench.file(&format!("{name}.png"));
        let mirror = bench.file(&format!("{name}.shm"));
        let mut all = vec![server.to_string(), "--json".to_owned()];
        all.extend(["--png".to_owned(), png.display().to_string()]);
        all.extend(["--mirror".to_owned(), mirror.display().to_string()]);
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let process = Process::start(bench, name, &program("client-lfp"), &all);
        Self { name: name.to_owned(), process, png, mirror }
    }

    /// Runs a client until it ends by itself.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn run(bench: &Bench, name: &str, server: SocketAddr, args: &[&str]) -> Report {
        Self::start(bench, name, server, args).finish()
    }

    /// Runs a client until its screen has settled, and demands that it could prove it exact.
    pub(crate) fn settled(bench: &Bench, name: &str, server: SocketAddr, args: &[&str]) -> Report {
        let report =
            Self::run(bench, name, server, &[&["--settle", "700", "--seconds", "60"], args].concat());
        assert!(report.exact(), "{name} settled without proof: {}", report.json);
        report
    }

    /// As [`Client::settled`], after typing or clicking: an emulated guest may take a second to answer.
    pub(crate) fn answered(bench: &Bench, name: &str, server: SocketAddr, args: &[&str]) -> Report {
        let report =
            Self::run(bench, name, server, &[&["--settle", "2000", "--seconds", "60"], args].concat());
        assert!(report.exact(), "{name} settled without proof: {}", report.json);
        report
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn finish(mut self) -> Report {
        let status = self.process.finish(PATIENCE * 2);
        let (output, errors) = (self.process.output(), self.process.errors());
        assert!(status.success(), "{} ended with {status}:\n{output}\n{errors}", self.name);
        self.report(&output)
    }

    /// Waits until it ends by itself, and gives its exit code too.
    pub(crate) fn end(mut self) -> (Option<i32>, Report) {
        let status = self.process.finish(PATIENCE * 2);
        let output = self.process.output();
        (status.code(), self.report(&output))
    }

    fn report(&self, output: &str) -> Report {
        let json = serde_json::from_str(output.trim()).unwrap_or_else(|error| {
            panic!("{}: {error} in {output:?}:\n{}", self.name, self.process.errors())
        });
        let picture = self.png.exists().then(|| Picture::from_png(&self.png));
        Report { json, picture }
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.process.ended()
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.process.interrupt();
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn assert_running(&mut self) {
        self.process.assert_running();
    }

    /// What it shows now; `None` while it shows nothing.
    pub(crate) fn shows(&self) -> Option<Picture> {
        mirrored(&self.mirror)
    }

    /// Waits until it shows something.
    pub(crate) fn wait_picture(&mut self) -> Picture {
        wait_for(&format!("a picture of {}", self.name), PATIENCE, || {
            self.process.assert_running();
            self.shows().filter(|picture| !picture.is_plain())
        })
    }

    /// Waits until it shows exactly this.
    pub(crate) fn wait_shows(&mut self, truth: &Picture, limit: Duration) {
        let shown = lfp::clock::poll_for(limit, || self.shows().filter(|picture| picture == truth));
        if shown.is_none() {
            self.process.assert_running();
            let shown = self.shows().unwrap_or_else(|| panic!("{} shows nothing", self.name));
            super::assert_same(&self.name, &shown, truth);
            panic!("{} showed what it should only after {limit:?}", self.name);
        }
    }

    /// Waits until it shows nothing, as when its guest is gone.
    pub(crate) fn wait_dark(&mut self, limit: Duration) {
        wait_for(&format!("{} to show no picture", self.name), limit, || {
            self.shows().is_none().then_some(())
        });
    }
}

/// Reads a `shm:` file by the book, without a line of the code that writes it: header fields as its
/// documentation gives them.
fn mirrored(path: &Path) -> Option<Picture> {
    let file = File::open(path).ok()?;
    let word = |offset: u64| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    for _ in 0..100 {
        let before = word(16)?;
        let (state, format) = (word(32)?, word(52)?);
        if before % 2 == 1 {
            continue;
        }
        if !(state == 1 || state == 2) {
            return None;
        }
        assert_eq!(format, 0, "a mirror is XRGB8888");
        let (width, height, stride) = (word(40)? as usize, word(44)? as usize, word(48)? as usize);
        let mut bytes = vec![0; stride * height];
        file.read_exact_at(&mut bytes, u64::from(word(56)?)).ok()?;
        if word(16)? == before {
            let rows = bytes.chunks_exact(stride.max(1)).flat_map(|row| row[..width * 4].chunks_exact(4));
            let rgb = rows.flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
            return Some(Picture { width, height, rgb });
        }
    }
    None
}
