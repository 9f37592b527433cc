//! Questions to the server, on a stream of the kind `control`.

use client_lfp::Client;
use lfp_proto::frame::ResetReason;
use lfp_proto::stream::Reading;
use lfp_proto::units::StreamId;
use serde_json::{Value, json};

/// Longest answer that is taken, in bytes: what every service of the largest server takes, and more.
const ANSWER_MAX: usize = 1 << 20;

/// A question that was asked.
#[derive(Debug)]
pub(crate) struct Question {
    stream: StreamId,
    answer: Vec<u8>,
}

impl Question {
    /// Asks for what `request` names; `None` if the client's streams are all in use.
    pub(crate) fn ask(client: &mut Client, request: &str) -> Option<Self> {
        let stream = client.streams().open("control")?;
        client.streams().write(stream, format!("{}\n", json!({"request": request})).as_bytes());
        client.streams().finish(stream);
        Some(Self { stream, answer: Vec::new() })
    }

    /// What is there of the answer to `request`: `None` while it is under way, the error in words for people.
    pub(crate) fn look(&mut self, client: &mut Client, request: &str) -> Option<Result<Value, String>> {
        match client.streams().read(self.stream, &mut self.answer, ANSWER_MAX) {
            Reading::Open if self.answer.len() > ANSWER_MAX => {
                client.streams().reset(self.stream, ResetReason::Broken, "the answer is too long");
                Some(Err("the answer is too long".to_owned()))
            }
            Reading::Open => None,
            Reading::End => Some(read(&self.answer, request)),
            Reading::Reset { text, .. } => Some(Err(format!("the server ended the stream: {text}"))),
            Reading::Gone => Some(Err("the stream is gone".to_owned())),
        }
    }
}

/// The answer to `request` in a line of JSON.
fn read(answer: &[u8], request: &str) -> Result<Value, String> {
    let mut answer: Value =
        serde_json::from_slice(answer).map_err(|error| format!("the answer is no JSON: {error}"))?;
    match (answer.get_mut(request).map(Value::take), answer["error"].as_str()) {
        (Some(value), _) => Ok(value),
        (None, Some(error)) => Err(plain(error)),
        (None, None) => Err(format!("the answer has no {request:?}")),
    }
}

/// `text` without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Services as a table, as [`plain`] text.
pub(crate) fn table(services: &Value) -> String {
    let mut rows = vec![["SERVICE", "STATE", "SIZE", "SCREENS", "SESSIONS"].map(str::to_owned)];
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
    for service in services.as_array().into_iter().flatten() {
        let size = match (service["width"].as_u64(), service["height"].as_u64()) {
            (Some(width), Some(height)) => format!("{width}x{height}"),
            _ => "-".to_owned(),
        };
        let word = |name: &str| plain(service[name].as_str().unwrap_or("-"));
        let (screens, sessions) = (number(&service["screens"]), number(&service["sessions"]));
        rows.push([word("name"), word("state"), size, screens, sessions]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What the server counts, a line for each figure; those of groups with the group's name before them.
pub(crate) fn figures(session: &Value) -> String {
    let mut lines = String::new();
    add_figures(session, "", &mut lines);
    lines
}

/// As deep as the parser takes an answer.
fn add_figures(group: &Value, prefix: &str, lines: &mut String) {
    for (name, value) in group.as_object().into_iter().flatten() {
        let name = format!("{prefix}{}", plain(name));
        if value.is_object() {
            add_figures(value, &format!("{name}."), lines);
        } else {
            let value = value.as_str().map_or_else(|| plain(&value.to_string()), plain);
            lines.push_str(&format!("{name}: {value}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_shown_and_never_obeyed() {
        let services = json!([
            {"name": "finance", "state": "live", "width": 1280, "height": 800, "screens": 1, "sessions": 12},
            {"name": "a\u{1b}[2Jb", "state": "gone", "width": null, "height": null, "screens": 2},
        ]);
        let shown = table(&services);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "SERVICE  STATE  SIZE      SCREENS  SESSIONS");
        assert_eq!(lines[1], "finance  live   1280x800  1        12");
        assert_eq!(lines[2], "a [2Jb   gone   -         2        -");
        assert_eq!(table(&Value::Null).lines().count(), 1);
        let counted = json!({"counts": {"lost": {"twice": 3}}, "rtt_us": 7, "service": "x\ny"});
        assert_eq!(figures(&counted), "counts.lost.twice: 3\nrtt_us: 7\nservice: x y\n");
        assert_eq!(read(b"{\"session\":{}}\n", "session"), Ok(json!({})));
        assert_eq!(read(b"{\"error\":\"no\\u001b\"}\n", "session"), Err("no ".to_owned()));
        assert!(read(b"{}", "session").is_err() && read(b"nonsense", "session").is_err());
    }
}
