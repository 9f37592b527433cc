//! What is known of the appliance, and how people are shown it: a page for the screen, lines for the serial port.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

/// Width and height of the page: what every console has.
const COLUMNS: usize = 79;
const ROWS: usize = 24;
/// Rows of each list; what is more is counted.
const LIST_ROWS: usize = 5;
/// Errors that are kept.
const ERRORS: usize = 4;

/// What is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: String,
    /// Where the configuration came from.
    pub(crate) origin: Option<&'static str>,
    /// Where the key is kept, and what is wrong with that.
    pub(crate) state: String,
    pub(crate) fingerprint: Option<String>,
    pub(crate) services: Vec<Service>,
    pub(crate) sessions: Vec<String>,
    /// In use and in all, in bytes.
    pub(crate) memory: Option<(u64, u64)>,
    /// What is wrong with the configuration.
    pub(crate) fault: Option<String>,
    /// The newest last, each with the time at which it came.
    errors: VecDeque<(Duration, String)>,
}

/// A service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) state: String,
}

impl Facts {
    /// Takes the services that a server's configuration names.
    pub(crate) fn take_configured(&mut self, server: &Value) {
        let services = server["services"].as_array().into_iter().flatten();
        let service = |value: &Value| Service {
            name: text(&value["name"]),
            source: value["source"].as_str().map_or_else(|| value["source"].to_string(), str::to_owned),
            state: String::new(),
        };
        self.services = services.map(service).collect();
    }

    /// Takes what the server counts: its sessions, and its services where it tells of them.
    pub(crate) fn take_statistics(&mut self, statistics: &Value) {
        let sessions = statistics["sessions"].as_array().into_iter().flatten();
        self.sessions = sessions.map(session).collect();
        if let Some(services) = statistics["services"].as_array() {
            let service = |value: &Value| Service {
                name: text(&value["service"]),
                source: text(&value["source"]),
                state: format!("{} {}", text(&value["state"]), text(&value["text"])).trim_end().to_owned(),
            };
            self.services = services.iter().map(service).collect();
        }
    }

    /// Takes a line of the server's log at `now`, and gives it as people read it.
    pub(crate) fn take_log(&mut self, now: Duration, line: &str) -> String {
        let parsed = serde_json::from_str::<Value>(line).ok();
        let Some((level, fields)) =
            parsed.as_ref().and_then(|value| Some((value["level"].as_str()?, value["fields"].as_object()?)))
        else {
            // It was not started far enough to log: this says why.
            self.error(now, line);
            return clean(line);
        };
        if let Some(fingerprint) = fields.get("fingerprint").and_then(Value::as_str) {
            self.fingerprint = Some(clean(fingerprint));
        }
        let words = clean(&sentence(fields));
        if matches!(level, "ERROR" | "WARN") {
            self.error(now, &words);
        }
        format!("{} {words}", level.to_lowercase())
    }

    /// Keeps an error at `now`.
    pub(crate) fn error(&mut self, now: Duration, words: &str) {
        let words = clean(words);
        // What is tried again and again fails in the same words.
        self.errors.retain(|(_, earlier)| *earlier != words);
        if self.errors.len() == ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back((now, words));
    }

    /// Where clients find the appliance.
    pub(crate) fn places(&self) -> Vec<String> {
        let place = |address: &IpAddr| match address {
            IpAddr::V4(v4) => format!("{v4}:{}", self.port),
            IpAddr::V6(v6) => format!("[{v6}]:{}", self.port),
        };
        self.addresses.iter().map(place).collect()
    }

    /// The page: at most [`ROWS`] rows of at most [`COLUMNS`] columns.
    pub(crate) fn page(&self) -> Vec<String> {
        let mut rows = vec![format!("LFP {}", env!("CARGO_PKG_VERSION")), String::new()];
        let places = self.places();
        let place = if places.is_empty() { "none yet".to_owned() } else { places.join("  ") };
        rows.push(format!("Address        {place}"));
        rows.push(format!("Fingerprint    {}", self.fingerprint.as_deref().unwrap_or("none yet")));
        let origin = self.origin.unwrap_or(match self.services.is_empty() {
            true => "none: nothing is served until a guest is attached, or one is given",
            false => "none",
        });
        rows.push(format!("Configuration  {origin}"));
        rows.push(format!("Key            {}", self.state));
        if let Some((used, all)) = self.memory {
            rows.push(format!("Memory         {} of {} MB in use", used >> 20, all >> 20));
        }
        rows.push(String::new());
        let service = |service: &Service| {
            format!("{:<16} {:<36} {}", cut(&service.name, 16), cut(&service.source, 36), service.state)
        };
        list(&mut rows, "Services", self.services.iter().map(service));
        list(&mut rows, "Sessions", self.sessions.iter().cloned());
        let faults = self.fault.iter().map(|fault| clean(fault));
        let errors = self.errors.iter().rev().map(|(at, words)| format!("{:>7} s  {words}", at.as_secs()));
        let errors: Vec<_> = faults.chain(errors).collect();
        if !errors.is_empty() {
            rows.push("Errors (seconds since the start)".to_owned());
            // What is wrong is told to its end, in as many rows as there are.
            let folded = errors.iter().flat_map(|error| fold(error, COLUMNS - 4));
            rows.extend(folded.map(|row| format!("  {row}")));
        }
        rows.truncate(ROWS);
        rows.into_iter().map(|row| cut(&row, COLUMNS)).collect()
    }
}

fn list(rows: &mut Vec<String>, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    rows.push(format!("{title}{}", if items.is_empty() { ": none" } else { "" }));
    rows.extend(items.iter().take(LIST_ROWS).map(|item| format!("  {item}")));
    if items.len() > LIST_ROWS {
        rows.push(format!("  and {} more", items.len() - LIST_ROWS));
    }
}

/// A session and the quality of its path.
fn session(value: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (lost, came) = (number(&value["down"]["lost"]), number(&value["down"]["packets"]));
    let rtt_us = number(&value["rtt_us"]);
    format!(
        "{:<12} {:<21} rtt {}.{} ms, {} kbit/s, {lost} of {} lost",
        cut(&text(&value["service"]), 12),
        cut(&plain_address(&text(&value["address"])), 21),
        rtt_us / 1_000,
        rtt_us / 100 % 10,
        number(&value["rate_bps"]) / 1_000,
        lost + came,
    )
}

/// A socket of IPv6 hears those of IPv4 under names of its own, such as `[::ffff:10.0.2.2]:999`.
fn plain_address(address: &str) -> String {
    let mapped = address.strip_prefix("[::ffff:").and_then(|rest| rest.split_once(']'));
    mapped.map_or_else(|| address.to_owned(), |(v4, port)| format!("{v4}{port}"))
}

/// A line of log in words: what happened, then its fields.
fn sentence(fields: &Map<String, Value>) -> String {
    let mut words = fields.get("message").map(text).unwrap_or_default();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
        let _ = write!(words, " {name}={}", text(value));
    }
    words
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Null => String::new(),
        other => clean(&other.to_string()),
    }
}

/// Without what a terminal would act on: names come from configurations, errors from guests.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

fn fold(text: &str, columns: usize) -> Vec<String> {
    let characters: Vec<_> = text.chars().collect();
    characters.chunks(columns).map(|row| row.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_says_what_there_is() {
        let mut facts = Facts { port: "5810".to_owned(), state: "on a disk".to_owned(), ..Facts::default() };
        facts.addresses = vec!["10.0.2.15".parse().unwrap(), "fec0::1".parse().unwrap()];
        facts.take_configured(&json!({"services": [{"name": "web", "source": "fbdev:/dev/fb0"}]}));
        let line = r#"{"level":"INFO","fields":{"message":"the server's key","fingerprint":"ab:cd"}}"#;
        assert_eq!(facts.take_log(Duration::ZERO, line), "info the server's key fingerprint=ab:cd");
        facts.take_statistics(
            &json!({"sessions": [{"service": "web", "address": "[::ffff:10.0.2.2]:999", "rtt_us": 2_150,
            "rate_bps": 1_000_000, "down": {"packets": 90, "lost": 10}}]}),
        );
        facts.fault = Some("configuration (fw_cfg): x".to_owned());
        let page = facts.page().join("\n");
        for words in [
            "10.0.2.15:5810  [fec0::1]:5810",
            "Fingerprint    ab:cd",
            "web              fbdev:/dev/fb0",
            "10.0.2.2:999          rtt 2.1 ms, 1000 kbit/s, 10 of 100 lost",
            "configuration (fw_cfg): x",
        ] {
            assert!(page.contains(words), "{words} in\n{page}");
        }
        facts.take_statistics(
            &json!({"services": [{"service": "web", "source": "fbdev:/dev/fb0", "state": "live",
            "text": "1280x800"}]}),
        );
        assert_eq!(facts.services[0].state, "live 1280x800");
    }

    #[test]
    fn nothing_that_is_said_breaks_the_page() {
        let mut facts = Facts::default();
        for at in 0..100 {
            facts.take_log(Duration::from_secs(at), &format!("\u{1b}[2J{at} {}", "x".repeat(20_000)));
        }
        let services: Vec<_> =
            (0..50).map(|n| json!({"name": format!("s{n}\u{7}"), "source": ["a", 5]})).collect();
        facts.take_configured(&json!({"services": services}));
        let page = facts.page();
        assert!(page.len() <= ROWS && page.iter().all(|row| row.chars().count() <= COLUMNS), "{page:?}");
        assert!(!page.iter().any(|row| row.contains(char::is_control)));
        assert!(page.iter().any(|row| row.contains("and 45 more")));
        assert_eq!(facts.errors.len(), ERRORS);
    }

    #[test]
    fn what_fails_in_the_same_words_is_there_once() {
        let mut facts = Facts::default();
        for at in 0..5 {
            facts.error(Duration::from_secs(at), "the same");
        }
        assert_eq!(facts.errors, [(Duration::from_secs(4), "the same".to_owned())]);
    }
}
