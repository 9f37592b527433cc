//! What the tests stand on: processes that end with the test that started them, guests, pictures, waits with an
//! end.

pub(crate) mod appliance;
mod client;
mod guest;
mod host;
mod link;
mod picture;
mod process;
mod qmp;
mod server;
mod shm;

use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

pub(crate) use client::{Client, Report};
pub(crate) use guest::{Display, Guest};
pub(crate) use host::{Control, Host, Port};
pub(crate) use link::Link;
pub(crate) use picture::{Picture, assert_same};
pub(crate) use process::Process;
pub(crate) use server::{Server, lfp_server, lfp_server_under};
pub(crate) use shm::Painted;

/// How long anything may take that has no limit of its own to be measured: emulated guests on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` answers. Asks every few milliseconds, and never sleeps past `limit`.
///
/// # Panics
/// If `limit` passes first; `what` says what was waited for.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let Some(answer) = lfp::clock::poll_for(limit, &mut done) else {
        panic!("waited {limit:?} in vain for {what}");
    };
    answer
}

/// Lets time pass in which something must *not* happen.
pub(crate) fn watch(limit: Duration, mut check: impl FnMut()) {
    let _: Option<()> = lfp::clock::poll_for(limit, || {
        check();
        None
    });
}

/// A directory that goes with the test, and the right to run beside others.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
    _turn: Turn,
}

enum Turn {
    Shared(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

/// Tests that measure time run while no other runs.
static TURNS: RwLock<()> = RwLock::new(());

impl Bench {
    /// For a test that may run beside others.
    pub(crate) fn new() -> Self {
        let turn = TURNS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self { directory: directory(), _turn: Turn::Shared(turn) }
    }

    /// For a test that measures time.
    pub(crate) fn alone() -> Self {
        let turn = TURNS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self { directory: directory(), _turn: Turn::Alone(turn) }
    }

    /// A file of this test. Short, since Unix sockets have to fit.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("lfp-it").tempdir().expect("a temporary directory")
}

/// A program of this workspace that cargo does not build for the tests of this package.
pub(crate) fn program(name: &str) -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_lfp-server"));
    let path = server.with_file_name(name);
    assert!(
        path.exists(),
        "{} is not built; scripts/test builds it, or: cargo build -p {name}",
        path.display()
    );
    path
}
