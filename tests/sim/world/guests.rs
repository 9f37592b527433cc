//! What guests do: they play, and answer keys.

use std::time::Duration;

use lfp::hypervisor::{Accepted, Action, Source, SourceId};
use lfp::server::Input;

use super::{Event, World};
use crate::deed::Deed;
use crate::guest::Stroke;
use crate::play::{self, Play};
use crate::watched::{Answer, Watched};

impl World {
    /// One more guest, which nobody serves yet; gives its index, which is its source's id too.
    pub(crate) fn attach(&mut self, source: Watched) -> usize {
        let index = self.sources.len();
        let adapter: Box<dyn Source> = Box::new(source.guest.clone());
        self.pipeline.add(SourceId(index as u32), adapter);
        self.sources.push(source);
        self.schedule(self.now, Event::Scan(index));
        index
    }

    /// The server lets go of a source.
    pub(super) fn retire(&mut self, source: SourceId) {
        let index = source.0 as usize;
        assert!(self.pipeline.remove(source), "{source:?} goes twice");
        assert!(self.sources[index].held.is_empty(), "keys are down in a guest that is let go of");
        self.sources[index].rate_hz = 0;
        self.events.retain(|_, event| !matches!(event, Event::Scan(scan) if *scan == index));
    }

    /// A guest paints a frame of a play, and whoever measures is told.
    pub(crate) fn play(&mut self, source: usize, play: Play, number: u32) {
        play.paint(number, &mut self.sources[source].guest.screen());
        self.tell_painted(source);
    }

    fn tell_painted(&mut self, source: usize) {
        let screen = self.sources[source].guest.screen();
        for peer in self.peers.iter_mut().filter(|peer| peer.source == source) {
            if let Some((gauge, client)) = peer.gauge.as_mut().zip(peer.client.as_ref()) {
                gauge.on_painted(self.now, &screen, client);
            }
        }
    }

    /// A guest's hypervisor gets something to do, which it accepts a moment later, but for some of it.
    pub(super) fn take_up(&mut self, action: Action) {
        let Some(number) = action.number else { return };
        let answer = self.sources[action.source.0 as usize].answer;
        if answer == Answer::Glyph && number % 10 == 9 {
            return self.totals.one("keys that no hypervisor accepted");
        }
        let after = Duration::from_micros(200 + number * 577 % 2_500);
        self.schedule(self.now + after, Event::Accept(action));
    }

    /// A hypervisor accepts an action that has a number, and its guest does something.
    pub(super) fn accept(&mut self, action: &Action) {
        let Some(number) = action.number else { return };
        let index = action.source.0 as usize;
        let ledgers = self.ledgers.values_mut().filter(|ledger| ledger.source == index);
        ledgers.for_each(|ledger| ledger.on_accepted(self.now, action));
        self.totals.one("keys accepted");
        self.server.handle(self.now, Input::Accepted(Accepted { number, at: self.now }));
        let after = Duration::from_micros(1_000 + number * 1_931 % 6_000);
        match self.sources[index].answer {
            Answer::Glyph if number % 5 != 0 => self.plan(after, Deed::Paint(index, Stroke::Type)),
            Answer::Spot => self.plan(after, Deed::Spot(index, number as u32)),
            Answer::None | Answer::Glyph => {}
        }
    }

    /// A guest that plays answers a key, and whoever measures is told.
    pub(crate) fn spot(&mut self, source: usize, number: u32) {
        play::spot(number, &mut self.sources[source].guest.screen());
        self.tell_painted(source);
    }
}
