//! How much the user sees of the surface: said until the server has it.

use core::time::Duration;

use lfp_proto::frame::Attention;
use lfp_proto::time::Instant;
use lfp_proto::units::PacketNumber;

use crate::limits::{ATTENTION_CARRIERS_MAX, INPUT_REPEAT_MAX, INPUT_REPEAT_MIN};

/// What is to be said, and whether the server has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attending {
    level: Attention,
    /// When it should be said next, unless the server has it.
    due: Option<Instant>,
    /// Doubles with every repetition that brings no ack.
    backoff: Duration,
    /// The newest packets that said it, at most [`ATTENTION_CARRIERS_MAX`].
    carriers: Vec<PacketNumber>,
}

impl Attending {
    pub(crate) const fn level(&self) -> Attention {
        self.level
    }

    /// From now on the user sees so much.
    pub(crate) fn turn(&mut self, now: Instant, level: Attention) {
        if level != self.level {
            *self = Self { level, due: Some(now), ..Self::default() };
        }
    }

    /// When it should be said.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Packet `number` says it at `now`; it is repeated unless acked within about `answer_time`.
    // SPEC [LFP-7.13]: A client MUST repeat what it said last of a surface until a packet that said it is acked.
    pub(crate) fn on_sent(&mut self, now: Instant, number: PacketNumber, answer_time: Duration) {
        if self.carriers.len() == ATTENTION_CARRIERS_MAX {
            self.carriers.remove(0);
        }
        self.carriers.push(number);
        self.backoff = (self.backoff * 2).max(answer_time).clamp(INPUT_REPEAT_MIN, INPUT_REPEAT_MAX);
        self.due = Some(now + self.backoff);
    }

    /// Packet `number` is acked.
    pub(crate) fn on_acked(&mut self, number: PacketNumber) {
        if self.carriers.contains(&number) {
            self.carriers.clear();
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_is_repeated_until_a_packet_with_it_is_acked() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut attending = Attending::default();
        attending.turn(at(0), Attention::InView);
        assert_eq!(attending.due(), None, "the server takes that for granted");
        attending.turn(at(0), Attention::Hidden);
        attending.on_sent(at(0), PacketNumber(1), Duration::ZERO);
        assert_eq!(attending.due(), Some(at(30)));
        attending.turn(at(10), Attention::Aside);
        assert_eq!(attending.due(), Some(at(10)));
        attending.on_sent(at(10), PacketNumber(2), Duration::ZERO);
        attending.on_sent(at(40), PacketNumber(3), Duration::ZERO);
        attending.on_acked(PacketNumber(1));
        assert_eq!(attending.due(), Some(at(100)), "that packet said something else");
        attending.on_acked(PacketNumber(2));
        assert_eq!((attending.due(), attending.level()), (None, Attention::Aside));
    }
}
