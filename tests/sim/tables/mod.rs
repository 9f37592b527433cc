//! Tables of figures: how whole servers and clients do on bad networks, in integers, the same on every machine.
//!
//! `tests/data/tables/NAME.txt` holds each as it was when somebody last looked at it. The gate makes some rows of each anew
//! and compares: those that only the transport makes have to be the same; of those that depend on every byte of the encoders,
//! updates may not take much longer. `scripts/sim-tables` makes and compares them all, figure by figure.
//!
//! `LFP_TABLES=check` compares every row, `LFP_TABLES=write` replaces the files; `LFP_TABLES_ONLY=NAME,NAME` takes some
//! tables, `LFP_TABLES_ROW=TEXT` the rows whose keys, joined by commas, hold that; `LFP_TABLES_OUT=FOLDER` leaves what was made there, as NAME.txt and NAME.json.

mod aims;
mod ecn;
mod plays;
mod rates;
pub(crate) mod stage;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of so many rows the gate makes one anew.
const GATE_STRIDE: usize = 23;

/// Figures of a play that the gate looks at, from the first on, and by how many milliseconds they may be worse beside a quarter.
const TIMED_FIGURES: usize = 2;
const SLACK_MS: u64 = 25;

/// What a row shows, or `None` for what did not happen.
pub(crate) type Figures = Vec<Option<u64>>;

/// A row that can be made.
pub(crate) struct Row {
    keys: Vec<String>,
    make: Box<dyn Fn() -> Figures + Send + Sync>,
}

impl Row {
    pub(crate) fn new(
        keys: impl IntoIterator<Item = impl ToString>,
        make: impl Fn() -> Figures + Send + Sync + 'static,
    ) -> Self {
        Self { keys: keys.into_iter().map(|key| key.to_string()).collect(), make: Box::new(make) }
    }
}

/// Rows of the same kind.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// What it shows, in a few lines.
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [&'static str],
    pub(crate) figures: &'static [&'static str],
    /// Its figures do not depend on how pixels are encoded.
    pub(crate) is_transport: bool,
    pub(crate) rows: Vec<Row>,
}

/// A table that was made, or some rows of it: keys and figures.
struct Made(Vec<(Vec<String>, Figures)>);

fn all() -> Vec<Table> {
    let mut all = vec![plays::grid(), plays::without(), plays::bursts(), plays::narrow(), plays::odd()];
    all.extend([rates::alone(), rates::flows(), rates::rivals(), rates::changes()]);
    all.extend([ecn::ecn(), aims::aims()]);
    all
}

impl Table {
    /// Makes the rows with these places, several at a time: each is a world of its own.
    fn make(&self, places: &[usize]) -> Made {
        let next = AtomicUsize::new(0);
        let made = Mutex::new(vec![None; places.len()]);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(place) = places.get(at) else { return };
                        let figures = (self.rows[*place].make)();
                        assert_eq!(figures.len(), self.figures.len(), "{}: figures and columns", self.name);
                        made.lock().expect("no row has failed")[at] = Some(figures);
                    }
                });
            }
        });
        let made = made.into_inner().expect("no row has failed").into_iter();
        let keys = places.iter().map(|place| self.rows[*place].keys.clone());
        Made(keys.zip(made.map(|figures| figures.expect("every row is made"))).collect())
    }

    /// The lines of `made`, each with a line end.
    fn lines(&self, made: &Made) -> Vec<String> {
        let cells = |(keys, figures): &(Vec<String>, Figures)| {
            let figures = figures.iter().map(|figure| figure.map_or_else(|| "-".into(), |n| n.to_string()));
            keys.iter().cloned().chain(figures).collect::<Vec<_>>()
        };
        // Columns are as wide as in the whole table, whatever rows were made.
        let key_width = |column: usize| self.rows.iter().map(|row| row.keys[column].len()).max().unwrap_or(0);
        let line = |cells: &[String]| {
            let mut line = String::new();
            for (column, cell) in cells.iter().enumerate() {
                if let Some(key) = self.keys.get(column) {
                    let width = key_width(column).max(key.len());
                    let _ = write!(line, "{cell:width$}  ");
                } else {
                    let width = self.figures[column - self.keys.len()].len().max(6);
                    let _ = write!(line, "{cell:>width$}  ");
                }
            }
            format!("{}\n", line.trim_end())
        };
        let head: Vec<_> = self.keys.iter().chain(self.figures).map(|name| (*name).to_owned()).collect();
        std::iter::once(line(&head)).chain(made.0.iter().map(|row| line(&cells(row)))).collect()
    }

    fn text(&self, made: &Made) -> String {
        format!("{}\n\n{}", self.about.trim(), self.lines(made).concat())
    }

    fn json(&self, made: &Made) -> String {
        let mut text = String::new();
        for (keys, figures) in &made.0 {
            let mut object = serde_json::Map::new();
            object.insert("table".into(), self.name.into());
            for (name, key) in self.keys.iter().zip(keys) {
                object.insert((*name).into(), key.as_str().into());
            }
            for (name, figure) in self.figures.iter().zip(figures) {
                object.insert((*name).into(), (*figure).into());
            }
            let _ = writeln!(text, "{}", serde_json::Value::Object(object));
        }
        text
    }

    /// Whether `line` is the row that `known` is, with updates that take about as long.
    fn is_no_worse(&self, known: &str, line: &str) -> bool {
        let cells = |line: &str| -> Vec<String> {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        };
        let (known, line) = (cells(known), cells(line));
        let keys = self.keys.len();
        if self.is_transport || known.len() != line.len() || known[..keys] != line[..keys] {
            return false;
        }
        let no_worse = |(known, now): (&String, &String)| match (known.parse::<u64>(), now.parse::<u64>()) {
            (Ok(known), Ok(now)) => now <= known + known / 4 + SLACK_MS,
            (known, now) => known.is_err() && now.is_err(),
        };
        known[keys..].iter().zip(&line[keys..]).take(TIMED_FIGURES).all(no_worse)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tables").join(format!("{}.txt", self.name))
    }
}

#[test]
fn tables_are_as_they_were() {
    let mode = std::env::var("LFP_TABLES").unwrap_or_default();
    let only = std::env::var("LFP_TABLES_ONLY").unwrap_or_default();
    let mut differ = Vec::new();
    for table in all() {
        if !only.is_empty() && !only.split(',').any(|name| name == table.name) {
            continue;
        }
        let whole = matches!(mode.as_str(), "write" | "check");
        let stride = if whole { 1 } else { GATE_STRIDE };
        let mut places: Vec<_> = (stride / 2..table.rows.len()).step_by(stride).collect();
        if let Ok(text) = std::env::var("LFP_TABLES_ROW") {
            places =
                (0..table.rows.len()).filter(|at| table.rows[*at].keys.join(",").contains(&text)).collect();
        }
        let made = table.make(&places);
        if let Ok(folder) = std::env::var("LFP_TABLES_OUT") {
            let file = |kind| PathBuf::from(&folder).join(format!("{}.{kind}", table.name));
            fs::write(file("txt"), table.text(&made)).expect("the folder can be written to");
            fs::write(file("json"), table.json(&made)).expect("the folder can be written to");
        }
        if mode == "write" {
            fs::write(table.path(), table.text(&made)).expect("the table can be written");
            continue;
        }
        let known = fs::read_to_string(table.path()).unwrap_or_default();
        let is_known = |line: &&String| {
            let like = |known: &str| known == line.trim_end() || !whole && table.is_no_worse(known, line);
            !known.lines().any(like)
        };
        let lines = table.lines(&made);
        let new: Vec<_> = lines.iter().filter(is_known).cloned().collect();
        if !new.is_empty() || whole && known != table.text(&made) {
            differ.push(format!("{}:\n{}{}", table.path().display(), lines[0], new.concat()));
        }
    }
    assert!(
        differ.is_empty(),
        "these rows are not as they were; look whether that is meant, then scripts/sim-tables --write:\n{}",
        differ.join("\n")
    );
}
