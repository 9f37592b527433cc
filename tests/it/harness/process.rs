//! Child processes that never outlive their test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Bench, PATIENCE, wait_for};

/// A running program; its output goes to files. Killed when dropped, and by the kernel if the test's thread ends
/// in any other way.
pub(crate) struct Process {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts `program`; `name` is unique within the test.
    pub(crate) fn start<A: AsRef<OsStr>>(bench: &Bench, name: &str, program: &Path, args: &[A]) -> Self {
        let (out, err) = (bench.file(&format!("{name}.out")), bench.file(&format!("{name}.err")));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .current_dir(bench.path())
            .env("RUST_BACKTRACE", "1")
            // Keys are the test's own.
            .env("XDG_STATE_HOME", bench.file("state"))
            .env_remove("STATE_DIRECTORY")
            .stdin(Stdio::piped())
            .stdout(File::create(&out).expect("a file for output"))
            .stderr(File::create(&err).expect("a file for errors"))
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        Self { child, name: name.to_owned(), out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        let input: &mut ChildStdin = self.child.stdin.as_mut().expect("standard input is a pipe");
        input.write_all(text.as_bytes()).expect("the process reads its standard input");
    }

    /// What it wrote to standard output so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Waits for a whole line of standard output that starts with `prefix`, and gives the rest of it.
    pub(crate) fn line(&mut self, prefix: &str) -> String {
        let what = format!("a line {prefix:?} of {}", self.name);
        wait_for(&what, PATIENCE, || {
            let output = self.output();
            let whole = output.rfind('\n').map_or("", |end| &output[..end]);
            let line = whole.lines().find_map(|line| line.strip_prefix(prefix).map(str::to_owned));
            if line.is_none() {
                self.assert_running();
            }
            line
        })
    }

    /// # Panics
    /// If it has ended.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("its status") {
            panic!("{} has ended with {status}:\n{}", self.name, self.errors());
        }
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }

    /// Waits until it ends by itself.
    pub(crate) fn finish(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || self.child.try_wait().expect("its status"))
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is our own child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let errors = self.errors();
            let from = errors.len().saturating_sub(4000);
            let tail = errors.get(from..).unwrap_or(&errors);
            eprintln!("--- {} wrote to standard error:\n{tail}", self.name);
        }
    }
}
