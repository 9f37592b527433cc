//! The running pipeline over sources that show what the test paints.

use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Event, Inline, PipelineHandle};
use crate::ablation::Without;
use crate::clock;
use crate::geometry::{CellRect, CellSet, PixelRect, Size};
use crate::hypervisor::{ShmSource, Source, SourceId, View};
use crate::limits::{DIGESTS_PENDING_MAX, ENCODES_PENDING_MAX, TICKS_UNREAD_MAX};
use crate::logic::{DigestRequest, EncodeRequest, SessionKey, Sum};
use crate::pixel::{Bounds, Fit, PixelFormat};
use crate::scan::fake::{Screen, fake};
use crate::scan::{Strategy, Tick, TickState};
use crate::server::Demand;
use crate::time::Instant;
use lfp_proto::frame::SurfaceState;
use lfp_proto::shm::{Mode, Painter};

/// Far longer than anything takes: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    screens: Vec<Arc<Mutex<Screen>>>,
    handle: PipelineHandle,
    wakes: Arc<AtomicUsize>,
}

impl Rig {
    fn new(count: u16) -> Self {
        let (mut screens, mut sources) = (Vec::new(), Vec::new());
        for id in 0..count {
            let (screen, source) = fake(64, 48, PixelFormat::Xrgb8888);
            screens.push(screen);
            sources.push((SourceId(id), source as Box<dyn Source>));
        }
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let wake = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let handle =
            PipelineHandle::start_with(sources, Without::NOTHING, wake, NonZero::<usize>::MIN).unwrap();
        Self { screens, handle, wakes }
    }

    fn demand(&self, source: u16, rate_hz: u32) {
        self.demand_for(source, rate_hz, Vec::new());
    }

    fn demand_for(&self, source: u16, rate_hz: u32, bounds: Vec<Bounds>) {
        let strategy = Strategy::Sweep;
        self.handle.demand(&Demand { rate_hz, strategy, bounds, ..Demand::none(SourceId(source)) });
    }

    fn event(&self) -> Event {
        clock::poll_for(PATIENCE, || self.handle.poll()).expect("an event")
    }

    /// The next tick of `source`; other events are dropped.
    fn tick(&self, source: u16) -> Arc<Tick> {
        let next = || match self.handle.poll()? {
            Event::Tick(tick) if tick.source == SourceId(source) => Some(tick),
            _ => None,
        };
        clock::poll_for(PATIENCE, next).expect("a tick")
    }

    fn sweeps(&self, source: usize) -> usize {
        self.screens[source].lock().unwrap().sweeps
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        assert!(clock::poll_for(PATIENCE, || done().then_some(())).is_some(), "{what}");
    }
}

fn pause(span: Duration) {
    clock::wait_until(clock::now() + span);
}

fn request(session: u64, tick: &Tick) -> EncodeRequest {
    let TickState::Live { delta, .. } = &tick.state else { panic!("{tick:?} is dark") };
    let bare = EncodeRequest::bare(tick.source, tick.epoch, delta.cells.clone(), 1_100);
    EncodeRequest { session: SessionKey(session), budget_bytes: 100_000, ..bare }
}

#[test]
fn what_is_watched_is_scanned_and_what_is_asked_answered() {
    let rig = Rig::new(2);
    rig.demand(1, 100);
    let tick = rig.tick(1);
    assert_eq!(tick.number, 1);
    rig.handle.encode(request(7, &tick));
    let Event::Encoded(encoded) = rig.event() else { panic!("not an encode") };
    assert_eq!((encoded.session, encoded.tick, encoded.captured), (SessionKey(7), 1, tick.captured));
    assert!(encoded.left.is_empty() && !encoded.records.is_empty());
    let digest = DigestRequest {
        session: SessionKey(7),
        source: SourceId(1),
        fit: Fit::NATIVE,
        epoch: tick.epoch,
        cells: CellRect { x: 0, y: 0, width: 4, height: 3 },
        sum: Sum::Proof { id: 5 },
    };
    rig.handle.digest(digest);
    let Event::Digested(digested) = rig.event() else { panic!("not a digest") };
    assert_eq!(digested.pixels, Some(crc32fast::hash(&[0; 64 * 48 * 4])));
    rig.screens[1].lock().unwrap().paint(5, 5, &[1, 2, 3, 0]);
    assert_eq!(rig.tick(1).number, 2);
    assert_eq!(rig.sweeps(0), 0, "nobody watches the other");
    assert!(rig.wakes.load(Ordering::SeqCst) >= 4);
    rig.demand(1, 0);
    rig.until("a scan that had begun ends", || {
        let before = rig.sweeps(1);
        pause(Duration::from_millis(60));
        rig.sweeps(1) == before
    });
    assert_eq!(rig.handle.counters().encodes, 1);
    assert_eq!(rig.handle.counters().digests, 1);
}

#[test]
fn states_are_known_though_nobody_watches() {
    let rig = Rig::new(1);
    rig.until("it is looked at", || rig.screens[0].lock().unwrap().views > 0);
    let view = View::Dark { state: SurfaceState::Gone, text: "the guest ended".to_owned() };
    rig.screens[0].lock().unwrap().view = view;
    assert!(matches!(rig.tick(0).state, TickState::Dark { state: SurfaceState::Gone, .. }));
    assert_eq!(rig.sweeps(0), 0);
}

#[test]
fn a_fault_in_one_source_leaves_the_others_alone() {
    let rig = Rig::new(2);
    rig.demand(0, 100);
    rig.demand(1, 100);
    rig.tick(0);
    rig.screens[0].lock().unwrap().panics = true;
    let faulty = rig.tick(0);
    assert!(matches!(faulty.state, TickState::Dark { state: SurfaceState::Faulty, .. }));
    assert_eq!(faulty.number, 2);
    rig.screens[1].lock().unwrap().paint(0, 0, &[1, 1, 1, 0]);
    rig.tick(1);
    let (given_up, going_on) = (rig.sweeps(0), rig.sweeps(1));
    rig.until("the other goes on", || rig.sweeps(1) > going_on + 3);
    assert_eq!(rig.sweeps(0), given_up);
    assert_eq!(rig.handle.counters().panics, 1);
}

#[test]
fn a_slow_source_does_not_starve_the_others() {
    let rig = Rig::new(2);
    rig.screens[0].lock().unwrap().delay = Box::new(|| pause(Duration::from_millis(50)));
    rig.demand(0, 100);
    rig.demand(1, 100);
    rig.tick(0);
    let scans = |source: usize| rig.handle.source_counters()[source].1.scans;
    let (slow, fast) = (scans(0), scans(1));
    rig.until("the slow one is still scanned", || scans(0) >= slow + 5);
    let (slow, fast) = (scans(0) - slow, scans(1) - fast);
    assert!(fast >= 3 * slow, "{fast} scans of the fast source while {slow} of the slow one");
    assert!(rig.handle.source_counters()[0].1.scans_skipped > 0);
}

#[test]
fn ticks_that_nobody_fetches_hold_up_their_source_alone() {
    let rig = Rig::new(2);
    let busy = |source: usize| {
        let at = rig.sweeps(source) as u32;
        rig.screens[source].lock().unwrap().paint(0, 0, &(at + 1).to_le_bytes());
    };
    rig.demand(0, 200);
    rig.until("its ticks pile up", || {
        busy(0);
        rig.handle.source_counters()[0].1.scan.ticks == TICKS_UNREAD_MAX as u64
    });
    let held = rig.sweeps(0);
    rig.demand(1, 200);
    rig.until("the other is scanned", || rig.sweeps(1) > 5);
    assert_eq!(rig.sweeps(0), held);
    for number in 1..=TICKS_UNREAD_MAX as u64 {
        assert_eq!(rig.tick(0).number, number);
    }
    rig.until("it goes on", || rig.sweeps(0) > held);
}

#[test]
fn nobody_can_make_the_lines_grow() {
    let rig = Rig::new(1);
    rig.demand(0, 100);
    let tick = rig.tick(0);
    let count = 4 * (ENCODES_PENDING_MAX + DIGESTS_PENDING_MAX);
    for _ in 0..count {
        rig.handle.encode(request(1, &tick));
    }
    for _ in 0..count {
        let Event::Encoded(encoded) = rig.event() else { panic!("not an encode") };
        assert_eq!(encoded.records.is_empty(), encoded.left.len() == 12, "all or, if refused, nothing");
    }
    assert!(rig.handle.poll().is_none());
}

#[test]
fn what_does_not_exist_is_answered_with_nothing() {
    let rig = Rig::new(1);
    rig.demand(9, 60);
    rig.demand(0, 60);
    let tick = rig.tick(0);
    let mut unknown = request(1, &tick);
    unknown.source = SourceId(9);
    rig.handle.encode(unknown);
    let Event::Encoded(encoded) = rig.event() else { panic!("not an encode") };
    assert!(encoded.records.is_empty() && encoded.left == CellSet::full(encoded.left.grid()));
}

#[test]
fn inline_answers_as_the_threads_do() {
    let (screen, source) = fake(64, 48, PixelFormat::Xrgb8888);
    screen.lock().unwrap().paint(9, 9, &[9, 9, 9, 0]);
    let mut inline = Inline::new(vec![(SourceId(0), source)]);
    let tick = inline.scan(SourceId(0), Instant::from_micros(5)).unwrap();
    let encoded = inline.encode(&request(1, &tick));

    let rig = Rig::new(1);
    rig.screens[0].lock().unwrap().paint(9, 9, &[9, 9, 9, 0]);
    rig.demand(0, 60);
    rig.handle.encode(request(1, &rig.tick(0)));
    let Event::Encoded(threaded) = rig.event() else { panic!("not an encode") };
    let payloads = |encoded: &crate::logic::Encoded| -> Vec<_> {
        encoded.records.iter().map(|record| (record.cells, record.payload.clone())).collect()
    };
    assert_eq!(payloads(&encoded), payloads(&threaded));
    assert!(inline.scan(SourceId(1), Instant::ZERO).is_none());
}

#[test]
fn no_tick_is_torn_though_its_painter_never_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("screen");
    let size = Size { width: 320, height: 240 };
    let file = std::fs::File::create(&path).expect("a file");
    let write = |offset: u64, bytes: &[u8]| file.write_all_at(bytes, offset);
    let mut painter = Painter::new();
    painter.create(&mut { write }).expect("created");
    painter.set_mode(Mode::xrgb(size), &mut { write }).expect("mode set");
    painter.end(&mut { write }).expect("ended");
    let source = Box::new(ShmSource::new(path)) as Box<dyn Source>;
    let handle = PipelineHandle::start_with(
        vec![(SourceId(0), source)],
        Without::NOTHING,
        || (),
        NonZero::<usize>::MIN,
    )
    .unwrap();
    handle.demand(&Demand { rate_hz: 240, ..Demand::none(SourceId(0)) });
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut colour = 0;
            while !stop.load(Ordering::Relaxed) {
                colour += 1;
                painter.begin(&mut { write }).expect("begun");
                let picture = vec![colour; size.pixels()];
                // In bands, from the bottom up, so that a reader who pays no heed meets two colours.
                for y in (0..size.height).step_by(30).rev() {
                    let band = PixelRect { x: 0, y, width: size.width, height: 30 };
                    painter.paint_xrgb(band, &picture, &mut { write }).expect("painted");
                }
                painter.end(&mut { write }).expect("ended");
                pause(Duration::from_micros(300));
            }
        });
        let (mut seen, mut pixels) = (0, Vec::new());
        while seen < 40 {
            let next = || match handle.poll()? {
                Event::Tick(tick) => Some(tick),
                _ => None,
            };
            let tick = clock::poll_for(PATIENCE, next);
            let Some(tick) = tick else { break };
            let TickState::Live { picture, .. } = &tick.state else { continue };
            picture.read(picture.size.grid().rect(), &mut pixels);
            let torn = pixels.iter().any(|pixel| *pixel != pixels[0]);
            if torn {
                break;
            }
            seen += 1;
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(seen, 40, "whole pictures in a row");
    });
    let scan = handle.source_counters()[0].1.scan;
    assert!(scan.bytes_read > 0, "{scan:?}");
}
