//! One side's words on the control channel, as bytes: what is read and when, what is answered and how often. Does no I/O and
//! reads no clock.

use std::collections::{BTreeSet, VecDeque};

use crate::channel::control::{FromAppliance, Request};
use crate::channel::{Lines, line};
use crate::limits::{
    CONTROL_BYTES_BURST, CONTROL_BYTES_PER_SECOND, CONTROL_ERRORS_PER_SECOND, CONTROL_REQUESTS_BURST,
    CONTROL_REQUESTS_PER_SECOND, CONTROL_UNREAD_MAX,
};
use crate::time::Instant;

/// A conversation with the host's side. What it keeps is bounded, whatever comes and however little is read.
#[derive(Debug)]
pub struct Conversation {
    lines: Lines,
    /// Requests that were read and not answered yet: those of one reading.
    waiting: VecDeque<Request>,
    /// What waits for the other side to read it.
    unread: Vec<u8>,
    /// The number of the request answered last.
    last: Option<u64>,
    requests: Allowance,
    errors: Allowance,
    bytes: Allowance,
    /// Lines that were no requests and were not answered, because there were too many.
    unanswered: u64,
    /// Services whose state is to be said, once there is room.
    owed: BTreeSet<String>,
}

impl Conversation {
    /// One that has not begun.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            lines: Lines::default(),
            waiting: VecDeque::new(),
            unread: Vec::new(),
            last: None,
            requests: Allowance::new(now, CONTROL_REQUESTS_PER_SECOND, CONTROL_REQUESTS_BURST),
            errors: Allowance::new(now, CONTROL_ERRORS_PER_SECOND, CONTROL_ERRORS_PER_SECOND),
            bytes: Allowance::new(now, CONTROL_BYTES_PER_SECOND, CONTROL_BYTES_BURST),
            unanswered: 0,
            owed: BTreeSet::new(),
        }
    }

    /// Somebody is there who was not there before: nothing of what was under way is meant for them. What may come in a second
    /// counts on.
    pub fn begin(&mut self, hello: &FromAppliance) {
        self.lines.clear();
        self.waiting.clear();
        self.owed.clear();
        (self.unread, self.last) = (line(hello), None);
    }

    /// Takes in what was read at `now`. What is no request is answered, but for a flood of it.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.bytes.take(now, bytes.len() as u64);
        let mut faults = Vec::new();
        let (waiting, errors, unanswered) = (&mut self.waiting, &mut self.errors, &mut self.unanswered);
        self.lines.receive(bytes, |heard| match heard {
            Ok(request) => waiting.push_back(request),
            Err(_) if !errors.affords(now, 1) => *unanswered += 1,
            Err(error) => {
                errors.take(now, 1);
                faults.push(error);
            }
        });
        for fault in faults {
            let more = match std::mem::take(&mut self.unanswered) {
                0 => String::new(),
                count => format!("; nor were {count} more lines, which are not answered"),
            };
            let text: String = fault.to_string().chars().take(FAULT_CHARS_MAX).collect();
            tracing::warn!(fault = text, more, "the control channel carries something else");
            self.say(&FromAppliance::Error { id: None, text: text + &more });
        }
    }

    /// The request to answer at `now`, with whether it begins a conversation: its number does not ascend. None is handed out
    /// while the other side reads no answers, or has asked for too much.
    pub fn next(&mut self, now: Instant) -> Option<(Request, bool)> {
        if self.unread.len() >= CONTROL_UNREAD_MAX || !self.requests.affords(now, 1) {
            return None;
        }
        let request = self.waiting.pop_front()?;
        self.requests.take(now, 1);
        let begins = self.last.is_some_and(|last| request.id <= last);
        self.last = Some(request.id);
        Some((request, begins))
    }

    /// Says `message`, after all that was said before.
    pub fn say(&mut self, message: &FromAppliance) {
        self.unread.extend(line(message));
    }

    /// The state of `service` is to be said, as it is when there is room for it.
    pub fn owe(&mut self, service: &str) {
        self.owed.insert(service.to_owned());
    }

    /// A service whose state is to be said now, each once.
    pub fn owed(&mut self) -> Option<String> {
        if self.unread.len() >= CONTROL_UNREAD_MAX { None } else { self.owed.pop_first() }
    }

    /// What the other side is to read.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// The other side has so many bytes of that.
    pub fn sent(&mut self, bytes: usize) {
        self.unread.drain(..bytes);
    }

    /// Whether more is to be read at `now`.
    #[must_use]
    pub fn wants_bytes(&self, now: Instant) -> bool {
        self.waiting.is_empty() && self.unread.len() < CONTROL_UNREAD_MAX && self.bytes.affords(now, 1)
    }

    /// When something is to be done though nothing happens: a request may be answered, or bytes may be read again.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.unread.len() >= CONTROL_UNREAD_MAX {
            None
        } else if self.waiting.is_empty() {
            (!self.bytes.affords(now, 1)).then(|| self.bytes.affords_at(now))
        } else {
            Some(self.requests.affords_at(now))
        }
    }
}

/// Longest text of a fault that is said, in characters.
const FAULT_CHARS_MAX: usize = 200;

/// So much a second, and so much at once. May be overdrawn, which has to be earned first.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    per_second: u64,
    /// Millionths.
    most: i64,
    left: i64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant, per_second: u64, burst: u64) -> Self {
        let most = i64::try_from(burst * 1_000_000).unwrap_or(i64::MAX);
        Self { per_second, most, left: most, at: now }
    }

    fn left_at(&self, now: Instant) -> i64 {
        let span = u64::try_from(now.saturating_since(self.at).as_micros()).unwrap_or(u64::MAX);
        let earned = i64::try_from(span.saturating_mul(self.per_second)).unwrap_or(i64::MAX);
        self.left.saturating_add(earned).min(self.most)
    }

    fn affords(&self, now: Instant, count: u64) -> bool {
        self.left_at(now) >= millionths(count)
    }

    fn take(&mut self, now: Instant, count: u64) {
        (self.left, self.at) = (self.left_at(now) - millionths(count), self.at.max(now));
    }

    /// When it affords one.
    fn affords_at(&self, now: Instant) -> Instant {
        let missing = u64::try_from(millionths(1) - self.left_at(now)).unwrap_or(0);
        now + std::time::Duration::from_micros(missing.div_ceil(self.per_second))
    }
}

fn millionths(count: u64) -> i64 {
    i64::try_from(count.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}
