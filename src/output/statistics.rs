//! A file with what the server counts, written anew every second by a thread of its own: a slow disk holds up nobody.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::time::Instant;

/// A file that is longer was not written here: so much is what thousands of sessions take.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Between two writings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write statistics to {}: {error}; name a file in a folder that is there, with --stats or \"stats\"", path.display())]
pub struct StatisticsError {
    path: PathBuf,
    error: io::Error,
}

/// What another thread knows of the services, for the field `services` of the file.
#[derive(Clone, Debug, Default)]
pub struct ServicesBoard(Arc<Mutex<Option<Value>>>);

impl ServicesBoard {
    /// Says how they are now.
    pub fn set(&self, services: Value) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(services);
    }

    /// What was said last, if anything was.
    #[must_use]
    pub fn get(&self) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Has what is counted written to a file.
#[derive(Debug)]
pub struct Statistics {
    path: PathBuf,
    due: Instant,
    /// `None` once it is to end.
    values: Option<SyncSender<Value>>,
    writer: Option<JoinHandle<()>>,
}

impl Statistics {
    /// Begins with an empty object in the file at `path`, which is replaced.
    ///
    /// # Errors
    /// If it cannot be written, or no thread be had.
    pub fn start(path: PathBuf) -> Result<Self, StatisticsError> {
        let failed = |error| StatisticsError { path: path.clone(), error };
        if !is_free(&path).map_err(failed)? {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it exists and is no file of statistics: remove it, or choose another name",
            )));
        }
        replace(&path, "{}\n").map_err(failed)?;
        let (values, waiting) = sync_channel(1);
        let file = path.clone();
        let writer =
            thread::Builder::new().name("lfp-stats".into()).spawn(move || write_all(&file, &waiting));
        let writer = writer.map_err(failed)?;
        Ok(Self { path, due: Instant::ZERO, values: Some(values), writer: Some(writer) })
    }

    /// When the file is to be written next.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Has what `figures` gives written, if it is time for that at `now`. What was not written yet by then is left out.
    pub fn offer(&mut self, now: Instant, figures: impl FnOnce() -> Value) {
        if now < self.due {
            return;
        }
        self.due = now + INTERVAL;
        if let Some(values) = &self.values {
            // A writer that has not come to the last one is not given another.
            let _ = values.try_send(figures());
        }
    }
}

impl Drop for Statistics {
    /// The file goes with the server: nobody should take it for one that runs.
    fn drop(&mut self) {
        self.values = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

#[allow(clippy::disallowed_methods, reason = "what a file says of its age is the wall clock's")]
fn write_all(path: &Path, values: &Receiver<Value>) {
    let mut failing = false;
    for mut value in values {
        // Who reads a file that was left behind should see that it was.
        value["pid"] = std::process::id().into();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        value["written_unix_s"] = since_1970.as_secs().into();
        let result = replace(path, &format!("{value:#}\n"));
        if let Err(error) = &result {
            if !failing {
                tracing::warn!(file = %path.display(), %error, "statistics cannot be written");
            }
        }
        failing = result.is_err();
    }
}

/// Whether `path` is there for statistics: nothing is there, or a file that is empty or was written by a server.
fn is_free(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(there) if !there.is_file() => Ok(false),
        Ok(there) if there.len() == 0 => Ok(true),
        Ok(there) if there.len() > FILE_BYTES_MAX => Ok(false),
        Ok(_) => {
            let was: Option<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap_or_default()).ok();
            Ok(was.is_some_and(|was| was == Value::Object(Map::new()) || was.get("uptime_s").is_some()))
        }
    }
}

/// Makes `text` what the file holds: whoever reads it sees all of one text.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&new, path).inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &Path) -> Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_file_is_replaced_whole_once_a_second_and_removed_at_the_end() {
        let folder = std::env::temp_dir().join(format!("lfp-statistics-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("stats.json");
        let mut statistics = Statistics::start(path.clone()).unwrap();
        assert_eq!(read(&path), json!({}));
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        statistics.offer(at(5), || json!({"n": 1}));
        statistics.offer(at(6), || unreachable!("too soon"));
        let written = || Some(read(&path)).filter(|value| value["n"] == 1);
        let value = crate::clock::poll_for(Duration::from_secs(10), written).expect("written");
        assert_eq!(value["pid"], std::process::id());
        assert!(value["written_unix_s"].as_u64() > Some(1_700_000_000), "{value}");
        assert_eq!(statistics.due(), at(1_005));
        drop(statistics);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn what_is_no_statistics_stays_as_it_is() {
        let folder = std::env::temp_dir().join(format!("lfp-precious-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (precious, link) = (folder.join("precious"), folder.join("link"));
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        for path in [&precious, &link, &folder] {
            let error = Statistics::start(path.clone()).unwrap_err().to_string();
            assert!(error.contains("it exists and is no file of statistics"), "{error}");
        }
        assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
        fs::write(&precious, "{\"uptime_s\": 5}").unwrap();
        drop(Statistics::start(precious.clone()).unwrap());
        assert!(!precious.exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Statistics::start("/nonexistent/stats.json".into()).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/stats.json") && error.contains("--stats"), "{error}");
    }
}
