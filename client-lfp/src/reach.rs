//! Whether the server can be reached: what its host refuses, what this one cannot send, and what stays without an answer.

use lfp_proto::time::Instant;

use crate::limits::{
    LOOK_AFTER, LOOK_INTERVAL_MAX, LOOK_UNSENDABLE, LOOKS_PATIENT, REFUSED_PROBE, REFUSED_SILENCE,
    REFUSED_TIMES,
};

/// What to do about the own address while nothing comes: open another socket to the server, and ...
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// ... go on with it if it has another address than the one in use: this machine is in another network now.
    IfMoved,
    /// ... go on with it whatever its address: something between may have forgotten the old one.
    Anyway,
}

/// What has happened since the server was last heard.
///
/// A refusal (ICMP port unreachable) can be forged by anybody who knows the addresses. So it only makes the client
/// ask; what ends the session is that several came, over some time, and no packet of the server's.
///
/// | timer | set | cleared | when it fires |
/// | --- | --- | --- | --- |
/// | probe | the first refusal; a look | the server is heard | something is sent that the server answers; again 500 ms later while it refuses |
/// | look | something was sent that the server answers; something could not be sent | the server is heard | the client looks whether it has another address; at intervals that double |
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// When the first refusal came.
    since: Option<Instant>,
    times: u32,
    probe_at: Option<Instant>,
    look_at: Option<Instant>,
    looks: u32,
    /// The system did not send something since the last look.
    unsendable: bool,
}

impl Reach {
    /// A datagram was refused. Says whether the server is gone.
    pub(crate) fn on_refused(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.times = self.times.saturating_add(1);
        self.probe_at.get_or_insert(now + REFUSED_PROBE);
        self.times >= REFUSED_TIMES && now.saturating_since(since) >= REFUSED_SILENCE
    }

    /// The system did not send a datagram: there is no way to the server from the address in use.
    pub(crate) fn on_unsendable(&mut self, now: Instant) {
        // The first time at once.
        let at = if self.unsendable || self.looks > 0 { now + LOOK_UNSENDABLE } else { now };
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
        self.unsendable = true;
    }

    /// The server was heard.
    pub(crate) fn on_heard(&mut self) {
        *self = Self::default();
    }

    /// When to send something that the server answers, while it is in doubt.
    pub(crate) const fn probe_at(&self) -> Option<Instant> {
        self.probe_at
    }

    /// Something was sent that the server answers.
    pub(crate) fn on_asked(&mut self, now: Instant) {
        self.probe_at = self.since.map(|_| now + REFUSED_PROBE);
        self.look_at.get_or_insert(now + LOOK_AFTER);
    }

    /// When [`Reach::look`] has something to say.
    pub(crate) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// What to do about the own address at `now`, if something. Afterwards the server is asked, so that it hears from there.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Look> {
        if self.look_at.is_none_or(|at| at > now) {
            return None;
        }
        self.looks = self.looks.saturating_add(1);
        let interval = LOOK_AFTER * (1 << self.looks.min(8));
        let unsendable = core::mem::take(&mut self.unsendable);
        let next = if unsendable { LOOK_UNSENDABLE } else { interval.min(LOOK_INTERVAL_MAX) };
        (self.look_at, self.probe_at) = (Some(now + next), Some(now));
        Some(if self.looks > LOOKS_PATIENT && !unsendable { Look::Anyway } else { Look::IfMoved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    /// When a client looks that has asked at 0 and hears nothing, until `end`, and how.
    fn looks(mut reach: Reach, end: u64) -> Vec<(u64, Look)> {
        reach.on_asked(at(0));
        let look = |now: u64| Some((now, reach.look(at(now))?));
        (0..end).step_by(100).filter_map(look).collect()
    }

    #[test]
    fn who_is_not_answered_looks_ever_more_rarely() {
        let seen = looks(Reach::default(), 60_000);
        let times: Vec<_> = seen.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [1_500, 4_500, 10_500, 22_500, 37_500, 52_500]);
        assert!(seen.iter().all(|(at, look)| (*look == Look::Anyway) == (*at > 11_000)), "{seen:?}");
    }

    #[test]
    fn what_cannot_be_sent_makes_it_look_at_once_and_twice_a_second() {
        let mut reach = Reach::default();
        let mut looks = Vec::new();
        for now in (0..3_000).step_by(10) {
            reach.on_unsendable(at(now));
            if let Some(look) = reach.look(at(now)) {
                looks.push((now, look));
            }
        }
        let expected: Vec<_> = (0..3_000).step_by(500).map(|now| (now, Look::IfMoved)).collect();
        assert_eq!(looks, expected);
    }

    #[test]
    fn who_is_answered_does_not_look() {
        let mut reach = Reach::default();
        reach.on_asked(at(0));
        reach.on_heard();
        assert_eq!((reach.look_at(), reach.look(at(60_000)), reach.probe_at()), (None, None, None));
    }
}
