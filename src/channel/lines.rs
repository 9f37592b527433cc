//! Lines of JSON, cut from bytes as they come.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::CHANNEL_LINE_MAX;

/// Why a line was not understood. The channel goes on with the next line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    /// It was longer than a line may be; all of it is skipped.
    #[error("a line of more than {CHANNEL_LINE_MAX} bytes")]
    Long,
    /// It is not what this channel carries.
    #[error("not a message of this channel: {0}")]
    Unknown(String),
}

/// Cuts what comes into lines. Holds at most [`CHANNEL_LINE_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// The line under way is too long: it is dropped up to its end.
    is_skipping: bool,
}

impl Lines {
    /// Takes bytes that came, and hands over each whole line in them as a message, or why it is none. Empty lines
    /// are nothing.
    pub fn receive<T: DeserializeOwned>(&mut self, bytes: &[u8], mut hand: impl FnMut(Result<T, LineError>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.len() + piece.len() > CHANNEL_LINE_MAX {
                self.partial = Vec::new();
                self.is_skipping = true;
            }
            if !self.is_skipping {
                self.partial.extend_from_slice(piece);
            }
            if !piece.ends_with(b"\n") {
                continue;
            }
            if std::mem::take(&mut self.is_skipping) {
                hand(Err(LineError::Long));
                continue;
            }
            let line = std::mem::take(&mut self.partial);
            let text = line.trim_ascii();
            if !text.is_empty() {
                // serde_json refuses nesting deeper than 128.
                hand(serde_json::from_slice(text).map_err(|error| LineError::Unknown(error.to_string())));
            }
        }
    }

    /// Forgets the line under way: the other side has begun anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The line that says `message`, with its end.
///
/// # Panics
/// If a message's type cannot be JSON, which is a fault of ours.
#[must_use]
pub fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("a message is JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(pieces: &[&[u8]]) -> Vec<Result<u32, LineError>> {
        let (mut lines, mut heard) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.receive(piece, |message| heard.push(message));
        }
        heard
    }

    #[test]
    fn lines_are_cut_wherever_bytes_end() {
        assert_eq!(received(&[b"1\n2", b"3\n", b"\n\r\n 4 \n5"]), [Ok(1), Ok(23), Ok(4)]);
    }

    #[test]
    fn a_bad_line_costs_itself_alone() {
        let long = vec![b'7'; CHANNEL_LINE_MAX + 10];
        let heard = received(&[b"nonsense\n1\n", &long, &long, b"\n2\n"]);
        assert!(matches!(heard[0], Err(LineError::Unknown(_))));
        assert_eq!(heard[1..], [Ok(1), Err(LineError::Long), Ok(2)]);
    }

    #[test]
    fn what_is_said_is_heard() {
        let said = line(&42_u32);
        assert_eq!(received(&[&said]), [Ok(42)]);
    }
}
