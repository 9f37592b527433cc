//! Clients of different profiles on one source: what each shows is compared with a conversion that is written here.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use client_lfp::{Client, Config, Security};
use lfp::ablation::Without;
use lfp::connection::Secrets;
use lfp::directory::{Directory, InputPolicy};
use lfp::geometry::Size;
use lfp::hypervisor::{Action, Source, SourceId};
use lfp::limits::IDLE_TIMEOUT;
use lfp::pipeline::Inline;
use lfp::pixel::{Bounds, PixelFormat};
use lfp::server::{self, Input, Output, Server};
use lfp::time::Instant;
use lfp::units::{ConnectionId, PacketNumber};
use lfp_impair::Random;
use lfp_proto::depth::Depth;
use lfp_proto::frame::InputKind;
use lfp_proto::hello::{Challenge, ClientType, Display, Hello, Refuse, RefuseReason};
use lfp_proto::packet::{Builder, Kind, View};
use lfp_proto::technique::{Technique, decoders};

use crate::guest::{Guest, Screen, Stroke};

const SOURCE: SourceId = SourceId(0);
const STEP: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(8);
const SCAN: Duration = Duration::from_micros(16_667);

/// A profile: what a client says of its display, and how the source is shown on it, as the specification has it.
#[derive(Clone, Copy, Debug)]
struct Profile {
    display: Option<(u16, u16)>,
    depth: Depth,
    refresh_hz: u8,
    decoders: u32,
    /// Sixteenths of a pixel of the source for each shown.
    step: u64,
}

impl Profile {
    fn desktop() -> Self {
        Self { display: None, depth: Depth::Bits24, refresh_hz: 60, decoders: decoders(), step: 16 }
    }
}

/// One client and the network to it.
struct Viewer {
    profile: Profile,
    client: Client,
    address: SocketAddr,
    down: VecDeque<(Instant, Vec<u8>)>,
    up: VecDeque<(Instant, Vec<u8>)>,
    /// Content numbers that the cell at the top left has shown.
    shown: BTreeSet<u64>,
}

struct Rig {
    now: Instant,
    server: Server,
    pipeline: Inline,
    guest: Guest,
    viewers: Vec<Viewer>,
    bounds: Vec<Bounds>,
    scan_at: Instant,
    /// Painted before each scan.
    strokes: Vec<Stroke>,
    loss_percent: u64,
    random: Random,
    actions: Vec<Action>,
}

impl Rig {
    fn new(size: (u16, u16), profiles: &[Profile]) -> Self {
        let guest = Guest::new(legal(size), PixelFormat::Xrgb8888, Random::new(5));
        let mut directory = Directory::default();
        directory.insert("default", [SOURCE], 60, InputPolicy::Exclusive);
        let config = server::Config {
            directory,
            plain: true,
            ciphers: 1,
            sessions_max: 16,
            idle_timeout: IDLE_TIMEOUT,
            without: Without::NOTHING,
        };
        let now = Instant::from_micros(1_000_000);
        let mut rig = Self {
            now,
            server: Server::new(config, &Secrets::of_seed([3; 32])),
            pipeline: Inline::new(vec![(SOURCE, Box::new(guest.clone()) as Box<dyn Source>)]),
            guest,
            viewers: Vec::new(),
            bounds: Vec::new(),
            scan_at: now,
            strokes: Vec::new(),
            loss_percent: 0,
            random: Random::new(9),
            actions: Vec::new(),
        };
        profiles.iter().for_each(|profile| rig.join(*profile));
        rig
    }

    fn join(&mut self, profile: Profile) {
        let config = Config {
            display_size: profile.display.map(legal),
            depth: profile.depth,
            refresh_hz: profile.refresh_hz,
            decoders: profile.decoders,
            ..Config::default()
        };
        let index = self.viewers.len() as u16;
        let client = Client::new(&config, Security::Plain, ConnectionId(77 + u64::from(index)), self.now);
        let address = SocketAddr::from(([192, 0, 2, 9], 2_000 + index));
        let (down, up, shown) = (VecDeque::new(), VecDeque::new(), BTreeSet::new());
        self.viewers.push(Viewer { profile, client, address, down, up, shown });
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + STEP;
            self.scan();
            self.server.handle(self.now, Input::Timeout);
            self.drain();
            for index in 0..self.viewers.len() {
                self.serve(index);
            }
            self.drain();
        }
    }

    /// Lets the guest rest until every client knows that it is exact; then each is what the reference says.
    fn settle(&mut self) {
        self.strokes.clear();
        self.loss_percent = 0;
        for _ in 0..400 {
            self.run(Duration::from_millis(25));
            if self.viewers.iter().all(|viewer| viewer.client.exact()) {
                break;
            }
        }
        let screen = self.guest.screen();
        for (index, viewer) in self.viewers.iter().enumerate() {
            let picture = viewer.client.picture().expect("a picture");
            assert!(viewer.client.exact(), "client {index} does not settle: {:?}", viewer.profile);
            let (size, expected) = reference(&screen, viewer.profile);
            assert_eq!((picture.size, picture.depth), (size, viewer.profile.depth), "client {index}");
            let colours = picture.pixels.iter().map(|pixel| colour(*pixel, viewer.profile.depth));
            let wrong = colours.zip(&expected).position(|(shown, expected)| shown != *expected);
            assert_eq!(wrong, None, "client {index} shows something else: {:?}", viewer.profile);
        }
    }

    /// Asks with a HELLO that is what `change` makes of a desktop's; the words of the refusal.
    fn refused(&mut self, change: impl FnOnce(&mut Hello)) -> String {
        let from = SocketAddr::from(([192, 0, 2, 9], 3_000));
        let mut hello = Hello {
            cookie: Vec::new(),
            client_time_us: 1,
            service: "default".into(),
            place: String::new(),
            client_type: ClientType::Phone,
            displays: vec![Display::new(None, Depth::Bits24, 60)],
            decoders: decoders(),
            references: 0,
            datagram_size: 1_200,
            receive_buffer: 65_536,
        };
        change(&mut hello);
        for _ in 0..2 {
            let mut builder = Builder::new(Vec::new(), 1_200, Kind::Hello, ConnectionId(5), PacketNumber(0));
            hello.emit(builder.body());
            builder.pad_to(1_100);
            self.server.handle(self.now, Input::Datagram { from, bytes: &builder.finish() });
            while let Output::Transmit { to, packet } = self.server.poll(self.now) {
                let bytes = packet.close();
                assert_eq!(to, from, "only it is answered");
                let view = View::new_checked(&bytes).expect("a datagram");
                match view.kind() {
                    Kind::Challenge => {
                        hello.cookie = Challenge::parse(view.payload()).expect("a challenge").cookie;
                    }
                    Kind::Refuse => {
                        let refuse = Refuse::parse(view.payload()).expect("a refusal");
                        assert_eq!(refuse.reason, RefuseReason::Unsupported);
                        return refuse.text;
                    }
                    kind => panic!("{kind:?} for what cannot be served"),
                }
            }
        }
        panic!("no refusal");
    }

    fn scan(&mut self) {
        if self.now < self.scan_at {
            return;
        }
        self.scan_at = self.now + SCAN;
        for stroke in &self.strokes {
            self.guest.screen().paint(*stroke);
        }
        let tick = self.pipeline.scan(SOURCE, self.now);
        for tick in self.pipeline.fit(SOURCE, &self.bounds).into_iter().chain(tick) {
            self.server.handle(self.now, Input::Tick(tick));
        }
    }

    fn drain(&mut self) {
        loop {
            match self.server.poll(self.now) {
                Output::Transmit { to, packet } => {
                    let bytes = packet.close();
                    let lost = self.random.below(100) < self.loss_percent;
                    let viewer = self.viewers.iter_mut().find(|viewer| viewer.address == to);
                    if let Some(viewer) = viewer.filter(|_| !lost) {
                        viewer.down.push_back((self.now + DELAY, bytes));
                    }
                }
                Output::Encode(request) => {
                    let encoded = self.pipeline.encode(&request);
                    self.server.handle(self.now, Input::Encoded(encoded));
                }
                Output::Digest(request) => {
                    let digested = self.pipeline.digest(&request);
                    self.server.handle(self.now, Input::Digested(digested));
                }
                Output::Action(action) => self.actions.push(action),
                Output::Demand(demand) => self.bounds = demand.bounds,
                Output::Retire(source) => panic!("nobody ended the service of {source:?}"),
                Output::Timeout(_) => return,
            }
        }
    }

    fn serve(&mut self, index: usize) {
        let Viewer { client, address, down, up, shown, .. } = &mut self.viewers[index];
        client.handle_timeout(self.now);
        while let Some(bytes) = due(down, self.now) {
            client.handle_datagram(self.now, &bytes);
        }
        shown.extend(client.picture().map(|picture| picture.contents[0]));
        while let Some(bytes) = client.poll_transmit(self.now) {
            if self.random.below(100) >= self.loss_percent {
                up.push_back((self.now + DELAY, bytes));
            }
        }
        while let Some(bytes) = due(up, self.now) {
            self.server.handle(self.now, Input::Datagram { from: *address, bytes: &bytes });
        }
    }
}

/// What has come out of a link by `now`.
fn due(link: &mut VecDeque<(Instant, Vec<u8>)>, now: Instant) -> Option<Vec<u8>> {
    let is_due = link.front().is_some_and(|(at, _)| *at <= now);
    if is_due { link.pop_front().map(|(_, bytes)| bytes) } else { None }
}

fn legal((width, height): (u16, u16)) -> Size {
    Size::new(width, height).expect("a legal size")
}

/// What a client of a profile shows of a screen, as colours: the specification's sections 2 and 7 in the plainest way.
fn reference(screen: &Screen, profile: Profile) -> (Size, Vec<u32>) {
    let (full, step) = (screen.size(), profile.step);
    let side = |pixels: u16| (u64::from(pixels) * 16).div_ceil(step);
    let (width, height) = (side(full.width), side(full.height));
    let mut colours = Vec::new();
    for y in 0..height {
        for x in 0..width {
            // Sixteenth by sixteenth of the source's pixels, as far as there are any.
            let (mut sums, mut count) = ([0_u64; 3], 0);
            for fine_y in (y * step..(y + 1) * step).filter(|fine| *fine < u64::from(full.height) * 16) {
                for fine_x in (x * step..(x + 1) * step).filter(|fine| *fine < u64::from(full.width) * 16) {
                    let pixel = screen.pixel((fine_x / 16) as u16, (fine_y / 16) as u16);
                    for (sum, shift) in sums.iter_mut().zip([16, 8, 0]) {
                        *sum += u64::from(pixel >> shift & 0xff);
                    }
                    count += 1;
                }
            }
            let mean = sums.map(|sum| ((sum * 2 + count) / (count * 2)) as u32);
            colours.push(nearest(mean, profile.depth));
        }
    }
    (legal((width as u16, height as u16)), colours)
}

/// The colour by which a depth shows another.
fn nearest(channels: [u32; 3], depth: Depth) -> u32 {
    let join = |channels: [u32; 3]| channels[0] << 16 | channels[1] << 8 | channels[2];
    match depth {
        Depth::Bits24 => join(channels),
        Depth::Bits16 => {
            let [red, green, blue] = channels;
            let level = |channel: u32, max: u32| {
                (0..=max).min_by_key(|level| (level * 255).abs_diff(channel * max)).expect("there are levels")
            };
            let (red, green, blue) = (level(red, 31), level(green, 63), level(blue, 31));
            join([red * 8 + red / 4, green * 4 + green / 16, blue * 8 + blue / 4])
        }
        Depth::Bits8 => {
            let distance = |entry: &[u32; 3]| -> u32 {
                entry.iter().zip(channels).map(|(a, b)| a.abs_diff(b).pow(2)).sum()
            };
            join(palette().into_iter().min_by_key(distance).expect("there are colours"))
        }
    }
}

/// The palette of 8 bits: a cube, and greys.
fn palette() -> Vec<[u32; 3]> {
    let cube = (0..216).map(|number| [number / 36, number / 6 % 6, number % 6].map(|level| level * 51));
    // In 41 equal steps from black to white, to the nearest.
    let greys = (1..=40).map(|step| [(f64::from(step) * 255.0 / 41.0).round() as u32; 3]);
    cube.chain(greys).collect()
}

/// The colour that a client's pixel stands for.
fn colour(pixel: u32, depth: Depth) -> u32 {
    match depth {
        Depth::Bits24 => pixel,
        Depth::Bits16 => {
            let (red, green, blue) = (pixel >> 16, pixel >> 8 & 0xff, pixel & 0xff);
            assert!(red < 32 && green < 64 && blue < 32, "{pixel:06x} is no pixel of 16 bits");
            (red * 8 + red / 4) << 16 | (green * 4 + green / 16) << 8 | (blue * 8 + blue / 4)
        }
        Depth::Bits8 => {
            let [red, green, blue] = palette()[pixel as usize];
            red << 16 | green << 8 | blue
        }
    }
}

#[test]
fn every_profile_shows_its_own_conversion_cell_for_cell() {
    let desktop = Profile::desktop();
    let plain = decoders() & !Technique::Dictionary.bit();
    let profiles = [
        desktop,
        Profile { depth: Depth::Bits16, ..desktop },
        Profile { depth: Depth::Bits16, decoders: plain, refresh_hz: 30, ..desktop },
        Profile { depth: Depth::Bits16, decoders: Technique::Raw.bit(), ..desktop },
        Profile { depth: Depth::Bits8, ..desktop },
        Profile { depth: Depth::Bits8, decoders: plain, ..desktop },
        // 157 x 16 / 24 is 104.7, and 103 x 16 / 24 is 68.7.
        Profile { display: Some((105, 69)), step: 24, ..desktop },
        Profile { display: Some((104, 300)), step: 28, depth: Depth::Bits16, ..desktop },
        Profile { display: Some((20, 20)), step: 128, depth: Depth::Bits8, ..desktop },
        Profile { display: Some((157, 103)), refresh_hz: 7, ..desktop },
    ];
    let mut rig = Rig::new((157, 103), &profiles);
    rig.settle();
    for (round, loss_percent) in [0, 15, 0].into_iter().enumerate() {
        rig.loss_percent = loss_percent;
        for stroke in Stroke::ALL {
            rig.strokes = vec![stroke, Stroke::Type];
            rig.run(Duration::from_millis(100));
        }
        rig.settle();
        if round == 0 {
            // Another mode: whoever shows it smaller shows it by another step.
            for (width, height) in [(320, 240), (157, 103)] {
                rig.guest.screen().set_mode(legal((width, height)), PixelFormat::Rgb565);
                rig.strokes = vec![Stroke::Noise];
                for viewer in &mut rig.viewers {
                    viewer.profile.step = step_of(viewer.profile.display, (width, height));
                }
                rig.run(Duration::from_millis(200));
                rig.settle();
            }
        }
    }
}

/// The first step that makes a mode as small as a display.
fn step_of(display: Option<(u16, u16)>, (width, height): (u16, u16)) -> u64 {
    let Some((most_width, most_height)) = display else { return 16 };
    let fits = |step: &u64| {
        (u64::from(width) * 16).div_ceil(*step) <= u64::from(most_width)
            && (u64::from(height) * 16).div_ceil(*step) <= u64::from(most_height)
    };
    let steps = [16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256];
    steps.into_iter().find(fits).unwrap_or(256)
}

#[test]
fn encodes_are_shared_inside_a_profile_and_not_between_profiles() {
    let desktop = Profile::desktop();
    let terminal = Profile { depth: Depth::Bits16, ..desktop };
    let trials = |profiles: &[Profile]| {
        let mut rig = Rig::new((400, 300), profiles);
        rig.strokes = vec![Stroke::Noise];
        rig.run(Duration::from_millis(50));
        rig.settle();
        let counters = rig.pipeline.encoder().counters();
        (counters.trials, counters.records.hits)
    };
    let (one, _) = trials(&[desktop]);
    let (two, _) = trials(&[desktop, terminal]);
    let (six, hits) = trials(&[desktop, terminal, desktop, terminal, desktop, terminal]);
    assert!(two > one, "{two} records for two profiles, {one} for one");
    assert!(
        six < two + two / 10 && hits > 2 * one,
        "{six} records for three of each, {two} for one of each; {hits}"
    );
}

#[test]
fn what_looks_the_same_in_fewer_colours_is_not_sent() {
    let desktop = Profile::desktop();
    let mut rig = Rig::new((320, 200), &[desktop, Profile { depth: Depth::Bits16, ..desktop }]);
    rig.settle();
    let sent =
        |rig: &Rig| rig.viewers.iter().map(|viewer| viewer.client.stats().cells_applied).collect::<Vec<_>>();
    let before = sent(&rig);
    // Black and nearly black.
    rig.guest.screen().fill_all(0x03_0103);
    rig.run(Duration::from_millis(100));
    rig.settle();
    let after = sent(&rig);
    assert_eq!(after[0] - before[0], 20 * 13, "the desktop shows it");
    assert_eq!(after[1], before[1], "it is black in 16 bits");
}

#[test]
fn no_cell_is_sent_more_often_than_the_display_shows_it() {
    let desktop = Profile::desktop();
    let rates = [60, 25, 10, 1];
    let profiles: Vec<_> = rates.iter().map(|rate| Profile { refresh_hz: *rate, ..desktop }).collect();
    let mut rig = Rig::new((128, 96), &profiles);
    rig.settle();
    rig.viewers.iter_mut().for_each(|viewer| viewer.shown.clear());
    rig.strokes = vec![Stroke::All];
    rig.run(Duration::from_secs(4));
    for (viewer, rate) in rig.viewers.iter().zip(rates) {
        let (shown, most) = (viewer.shown.len(), usize::from(rate) * 4);
        assert!((most * 8 / 10..=most + 2).contains(&shown), "{shown} contents in 4 s at {rate} Hz");
    }
    rig.settle();
}

#[test]
fn the_pointer_goes_where_the_smaller_picture_shows_it() {
    let phone = Profile { display: Some((100, 100)), step: 64, ..Profile::desktop() };
    let mut rig = Rig::new((400, 300), &[phone]);
    rig.settle();
    for (x, y, expected) in [(0, 0, (2, 2)), (99, 74, (398, 298)), (500, 74, (399, 298))] {
        let now = rig.now;
        rig.viewers[0].client.input(now, InputKind::MoveTo { x, y });
        rig.run(Duration::from_millis(60));
        let action = rig.actions.pop().expect("it comes");
        assert_eq!(action.input, InputKind::MoveTo { x: expected.0, y: expected.1 });
        assert_eq!((action.size.width, action.size.height), (400, 300));
    }
}

#[test]
fn a_display_that_cannot_be_served_is_told_why() {
    let mut rig = Rig::new((64, 48), &[Profile::desktop()]);
    for (width, height, depth, refresh_hz, why) in [
        (0, 600, 24, 60, "0 x 0 if it takes any size"),
        (800, 0, 24, 60, "0 x 0 if it takes any size"),
        (20_000, 10, 24, 60, "16384 pixels"),
        (800, 600, 15, 60, "8, 16, 24 or 32 bits"),
        (800, 600, 0, 60, "8, 16, 24 or 32 bits"),
        (800, 600, 32, 0, "1 to 255 Hz"),
    ] {
        let refused = rig.refused(|hello| {
            let display = &mut hello.displays[0];
            (display.width, display.height) = (width, height);
            (display.depth, display.refresh_hz) = (depth, refresh_hz);
        });
        assert!(refused.contains(why), "{width} x {height}, {depth} bits, {refresh_hz} Hz: {refused}");
    }
}
