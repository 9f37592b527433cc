//! Bounds of the server beside those of the protocol.

pub use lfp_proto::limits::*;

use core::time::Duration;

/// Sources of one server.
pub const SOURCES_MAX: usize = 256;
/// Framebuffers that one process maps at once: while a source's memory changes it may hold two.
pub const MAPPINGS_MAX: usize = 2 * SOURCES_MAX;
/// Sessions of one server, unless configured otherwise.
pub const SESSIONS_MAX: usize = 64;
/// Ticks that a source's time-based array remembers.
pub const HISTORY_TICKS: usize = 64;
/// Entries of a source's changed-region database.
pub const HEAT_CHANGES_MAX: usize = 256;
/// Rectangles of one tick that the changed-region database takes apart.
pub const HEAT_RECTS_MAX: usize = 32;
/// Inputs of a source that give artificial heat at once.
pub const HEAT_SPOTS_MAX: usize = 16;
/// Values of past ticks that are kept to be written again: those that readers may still hold, and one.
pub const CONTEXTS_SPARE_MAX: usize = TICKS_UNREAD_MAX + 4;
/// Regions of one tick.
pub const REGIONS_MAX: usize = 64;
/// Videos that are followed at once in one source.
pub const VIDEOS_MAX: usize = 8;
/// Vectors that are tried in one search for what moved, beside as many of the last search.
pub const MOTION_VECTORS_MAX: usize = 8;
/// Rectangles that one search for what moved finds.
pub const MOTION_MOVES_MAX: usize = 128;
/// Changed cells of either picture whose anchors vote on vectors; of more, so many are drawn.
pub const MOTION_SAMPLE_CELLS: usize = 1024;
/// Searches for what moved that are kept for the next picture, over all sources.
pub const MOTION_SEARCHES_MAX: usize = 16;
/// Time after which it is looked for what of a picture was sent and never proven.
pub const STALE_AGE: Duration = Duration::from_secs(3);
/// Longest time between two questions that proved nothing.
pub const STALE_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Pictures that one pass stores in a client's cache.
pub const CACHE_STORES_MAX: usize = CACHE_SLOTS / 2;
/// Bytes of results of such searches that are kept for other sessions.
pub const MOTION_CACHE_BYTES: usize = 1 << 20;
/// Round-trip time from which on lost packets are worth more than a repair: two pictures of a film.
pub const PARITY_RTT_MIN: Duration = Duration::from_millis(30);
/// Groups of 1,000 that may lose two packets, so that their PARITY is of no use.
pub const PARITY_FAILURES_PERMILLE: u64 = 10;
/// Refused records of 100 with a base, beyond which records build only on what is known to have come.
pub const BASE_REFUSALS_PERCENT: u32 = 5;
/// Passes after which a reference that is kept for the case of a loss is held anew, and missing cells from which on a pass builds
/// on it.
pub const REFUGE_PASSES: u32 = 8;
/// See [`REFUGE_PASSES`].
pub const REFUGE_CELLS: usize = 32;
/// Records in a row that have to come before they build on what is still on its way again: at first, and at most.
pub const CLEAN_RECORDS_MIN: u32 = 256;
/// See [`CLEAN_RECORDS_MIN`].
pub const CLEAN_RECORDS_MAX: u32 = 8_192;
/// Ticks of a source that lie unread before its scans pause.
pub const TICKS_UNREAD_MAX: usize = 4;
/// Longest scan that the thread which keeps the time does itself; longer ones have threads of their own.
pub const SCAN_INLINE_MAX: Duration = Duration::from_millis(2);
/// Threads for longer ones.
pub const SCAN_WORKERS: usize = 2;
/// Time for which nothing has to happen, but where something happens all the time, for a source to be probed instead of swept.
pub const PROBE_AFTER: Duration = Duration::from_secs(2);
/// Time for which a cell that changed counts as one where something happens all the time, as far as [`HISTORY_TICKS`] reach:
/// a clock's seconds and a blinking cursor do.
pub const PROBE_MEMORY: Duration = Duration::from_secs(2);
/// Slowest scans per second at which a source is probed unless it is asked for: a row of pixels that changes alone may
/// be seen 16 scans late, which must not be long. Slower sweeps are cheap enough.
pub const PROBE_RATE_MIN_HZ: u32 = 30;
/// Time without anybody who watches after which a source's memory is let go of.
pub const RELEASE_AFTER: Duration = Duration::from_secs(30);
/// Time between two looks at the state of a source whose memory was let go of; it is mapped for the moment of the look.
pub const RELEASED_INTERVAL: Duration = Duration::from_secs(2);
/// Fastest scans and pictures per second for a client that says that a surface stands aside.
pub const ASIDE_RATE_HZ: u32 = 5;
/// Time after the acceptance of an input event beyond which a change of the screen is of another making.
pub const ECHO_WAIT_MAX: Duration = Duration::from_secs(1);
/// Changes of a surface that answer input and that its client is not known to have been told of.
pub const ECHO_ANSWERS_MAX: usize = 16;
/// Actions of all sessions whose acceptance is waited for.
pub const ECHO_AWAITED_MAX: usize = 256;
/// Acceptances that the network thread has not fetched.
pub const ACCEPTED_UNREAD_MAX: usize = ECHO_AWAITED_MAX;
/// Places of input that one demand carries.
pub const HINTS_MAX: usize = HEAT_SPOTS_MAX;
/// Published ticks that are kept to be written again: those that readers may still hold, and one.
pub const TICKS_SPARE_MAX: usize = TICKS_UNREAD_MAX + 4;
/// Fastest scan of a source, per second.
pub const SCAN_RATE_MAX_HZ: u32 = 240;
/// Encode requests of one session that may be under way at once.
pub const ENCODES_PENDING_MAX: usize = 8;
/// Time after which a session asks encoders again that had nothing for it.
pub const ENCODE_RETRY: Duration = Duration::from_millis(10);
/// Longest time that encoded records wait for others to fill a packet with them.
pub const FILL_WAIT: Duration = Duration::from_millis(1);
/// Time after which an encode request counts as lost. No fault is known that loses one; a session whose picture stood
/// still for ever would be the worst of outcomes.
pub const ENCODE_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two cells for a client that refuses what it gets: a few kilobytes a second.
pub const REFUSED_INTERVAL: Duration = Duration::from_millis(250);
/// Rest after which a cell that is not exact is sent exactly.
pub const REFINE_REST: Duration = Duration::from_millis(300);
/// Time after that rest for which changes elsewhere come first.
pub const REFINE_PATIENCE: Duration = Duration::from_millis(100);
/// Cells that are made exact together: few enough that a change which comes meanwhile hardly waits for them.
pub const REFINE_CELLS_MAX: u64 = 64;
/// Bytes of records that are said again where losses are seen: what a key press changes, not what a window does.
pub const REPEAT_BYTES_MAX: usize = 800;
/// Updates that a surface remembers for that.
pub const REPEATS_MAX: usize = 16;
/// Between the first time and the second; each further interval of a round is twice as long.
pub const REPEAT_INTERVAL: Duration = Duration::from_millis(5);
/// Rounds in which they are said: each begins when an answer to the one before is overdue.
pub const REPEAT_ROUNDS_MAX: u32 = 3;
/// How long a loss is a reason to cover packets, and to say small updates more than once.
pub const LOSS_MEMORY: Duration = Duration::from_secs(30);
/// Age at which an encoded record that could not be sent is dropped and its cells are encoded anew.
pub const RECORD_AGE_MAX: Duration = Duration::from_millis(50);
/// What a session has encoded ahead of the pacer, as time at its rate, beside the time that encoding takes.
pub const ENCODE_AHEAD: Duration = Duration::from_millis(1);
/// The same while a first picture is filled: nothing newer waits behind what is ahead, and packets are filled better where
/// there is more to choose from.
pub const ENCODE_AHEAD_FIRST: Duration = Duration::from_millis(4);
/// Longest time that encoding is taken to need.
pub const ENCODE_LATENCY_MAX: Duration = Duration::from_millis(40);
/// Bytes of records after which an encode request ends, whatever its budget, so that a worker is soon free for others.
pub const ENCODE_BYTES_MAX: usize = 8 * 1024;
/// Cells of one encode request.
pub const ENCODE_CELLS_MAX: usize = RECORD_CELLS_MAX;
/// Encoded records that the shared cache holds, in bytes.
pub const ENCODE_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Checksums that the shared cache holds, in bytes.
pub const DIGEST_CACHE_BYTES: usize = 1024 * 1024;
/// Actions that wait for one source's action sink. Releases are taken beyond it.
pub const ACTIONS_PENDING_MAX: usize = 256;
/// Longest line of a QEMU monitor in bytes: what `query-pci` says of several hundred devices.
pub const QMP_LINE_MAX: usize = 256 * 1024;
/// Longest line of a channel between the host's side and an appliance, its end counted: a configuration fits.
pub const CHANNEL_LINE_MAX: usize = 64 * 1024;
/// Entries of a folder of sysfs that are looked at.
pub const SYSFS_ENTRIES_MAX: usize = 4_096;
/// Bytes of a device's memory that are read, twice, to find out how fast each way of mapping it is; a way of 50 MB/s is
/// done after [`BAR_MEASURE_TIME`].
pub const BAR_MEASURE_BYTES: usize = 4 * 1024 * 1024;
/// Time that one of those two readings takes at most.
pub const BAR_MEASURE_TIME: Duration = Duration::from_millis(10);
/// Input events that a guest port carries and the host's side has not answered. More wait in the source's queue.
pub const PORT_INPUT_MAX: usize = 64;
/// Lines that are no messages which the host's side may say before the conversation is given up.
pub const PORT_NONSENSE_MAX: u32 = 64;
/// Bytes that are taken from one guest port in [`PORT_TURN`]; more wait in the channel. A mode is 200 bytes.
pub const PORT_TURN_BYTES: usize = 2 * QMP_READ_BYTES;
/// See [`PORT_TURN_BYTES`].
pub const PORT_TURN: Duration = Duration::from_millis(100);
/// Requests a second that a conversation on the control channel is answered, and how many at once before that: as many as
/// say again all that was attached, twice. What comes faster waits, unread.
pub const CONTROL_REQUESTS_PER_SECOND: u64 = 50;
/// See [`CONTROL_REQUESTS_PER_SECOND`].
pub const CONTROL_REQUESTS_BURST: u64 = 2 * SOURCES_MAX as u64;
/// Lines a second that are no requests and are answered. What is more is counted.
pub const CONTROL_ERRORS_PER_SECOND: u64 = 5;
/// Bytes a second that are read of a conversation, and how many at once before that.
pub const CONTROL_BYTES_PER_SECOND: u64 = 1 << 20;
/// See [`CONTROL_BYTES_PER_SECOND`].
pub const CONTROL_BYTES_BURST: u64 = 4 * CHANNEL_LINE_MAX as u64;
/// Bytes that are read of one conversation before the others get their turn.
pub const CONTROL_READ_BYTES: usize = 4 * 1024;
/// Bytes that wait for the other side of a conversation to read them, beyond which it is not answered: the longest line, once
/// more.
pub const CONTROL_UNREAD_MAX: usize = CHANNEL_LINE_MAX;
/// Bytes of a conversation that has ended in a flood which are thrown away unread: twice what a virtio port of QEMU's holds.
pub const CONTROL_LEFT_MAX: usize = 1 << 20;
/// Conversations at once, where the control channel is a socket.
pub const CONTROL_CONVERSATIONS_MAX: usize = 4;
/// How often it is looked whether a control channel that nobody holds has somebody again.
pub const CONTROL_RECHECK: Duration = Duration::from_millis(250);
/// Shortest time between two looks at what sources show for the control channel.
pub const CONTROL_NEWS_INTERVAL: Duration = Duration::from_millis(100);
/// Longest name of a source on the control channel, in bytes.
pub const CONTROL_SOURCE_MAX: usize = 1_024;
/// Longest text that says on the control channel what is wrong, in characters: what is quoted of a configuration may be as
/// long as that.
pub const CONTROL_FAULT_MAX: usize = 1_000;
/// Guests that the host's side follows, and ports that it serves.
pub const HOST_GUESTS_MAX: usize = SOURCES_MAX;
/// See [`HOST_GUESTS_MAX`].
pub const HOST_PORTS_MAX: usize = 256;
/// Appliances that the host's side has something attached to.
pub const HOST_APPLIANCES_MAX: usize = 32;
/// Bytes of the file in which the host's side remembers what it has attached: its longest paths and names fit.
pub const HOST_MEMORY_BYTES: u64 = 1 << 20;
/// Commands to the host's side that are under way.
pub const HOST_COMMANDS_MAX: usize = 16;
/// Bytes that wait for an appliance that does not read its port. What comes beyond is not said.
pub const PORT_OUT_BYTES_MAX: usize = 32 * 1024;
/// Bytes that a guest port may say at once, and in a second: a mouse of 1,000 Hz takes 120 KB/s.
pub const PORT_IN_BURST_BYTES: u64 = 64 * 1024;
/// See [`PORT_IN_BURST_BYTES`].
pub const PORT_IN_BYTES_PER_SECOND: u64 = 512 * 1024;
/// Refusals that a port is told of at once.
pub const PORT_REFUSALS_BURST: u32 = 32;
/// Time between two refusals after that.
pub const PORT_REFUSAL_INTERVAL: Duration = Duration::from_millis(100);
/// Inputs of all ports whose acceptance is waited for. Beyond, the oldest is not told of.
pub const PORT_INPUTS_AWAITED_MAX: usize = 1_024;
/// How long an input may stay without acceptance before its port is told that the guest has not taken it.
pub const PORT_INPUT_PATIENCE: Duration = Duration::from_secs(8);
/// Power commands of one guest that wait to be given.
pub const POWER_PENDING_MAX: usize = 8;
/// Events of one guest that its follower has not fetched: beyond, the oldest is forgotten.
pub const HAPPENINGS_MAX: usize = 64;
/// How often the host's side looks for guests.
pub const DISCOVER_INTERVAL: Duration = Duration::from_secs(2);
/// How long a guest that was discovered, is gone, and has no port is remembered.
pub const DISCOVERED_MEMORY: Duration = Duration::from_secs(60);
/// Longest time that an appliance may take to answer a line on its control channel: it may be booting.
pub const CONTROL_ANSWER: Duration = Duration::from_secs(20);
/// Longest time between an attachment and the first picture, if the guest shows one.
pub const APPLIANCE_SERVES: Duration = Duration::from_secs(20);
/// How long an appliance may call a guest's memory faulty before that counts: its system has yet to give it the device.
pub const APPLIANCE_SETTLES: Duration = Duration::from_secs(5);
/// Longest time that an appliance's system may take to let go of a device: a root port's attention button takes 5 s.
pub const UNPLUG_PATIENCE: Duration = Duration::from_secs(15);
/// Longest time that an appliance's firmware or system may take to say where a device sits.
pub const PLACE_PATIENCE: Duration = Duration::from_secs(15);
/// How long an appliance that is gone is waited for before it is forgotten.
pub const APPLIANCE_MEMORY: Duration = Duration::from_secs(60);
/// How often an appliance's monitor is asked whether it is still there, and one that is gone is tried again.
pub const APPLIANCE_ASK: Duration = Duration::from_secs(10);
/// See [`APPLIANCE_ASK`].
pub const APPLIANCE_RETRY: Duration = Duration::from_secs(1);
/// Events that a monitor may send between two answers.
pub const QMP_EVENTS_MAX: usize = 4_096;
/// Bytes that are read from one monitor before the others get their turn.
pub const QMP_READ_BYTES: usize = 64 * 1024;
/// Bytes that are read of one file of `/proc`.
pub const PROC_FILE_MAX: u64 = 1024 * 1024;
/// Descriptors of one process that are looked at.
pub const PROC_FDS_MAX: usize = 8_192;
/// Silence of a monitor that was connected to after which the state says so.
pub const MONITOR_GREETING: Duration = Duration::from_secs(2);
/// Silence of a monitor that was connected to after which the connection is made anew.
pub const MONITOR_PATIENCE: Duration = Duration::from_secs(10);
/// Longest time that a monitor may take to answer a command.
pub const MONITOR_ANSWER: Duration = Duration::from_secs(5);
/// Longest pause before a monitor that failed is tried again; the first is [`REDISCOVER_INTERVAL`].
pub const MONITOR_RETRY_MAX: Duration = Duration::from_secs(4);
/// How often the mode of a guest that somebody watches is read.
pub const MODE_POLL: Duration = Duration::from_millis(50);
/// How often the mode of a guest that nobody watches is read.
pub const MODE_POLL_IDLE: Duration = Duration::from_millis(500);
/// How often a guest is asked what kind of pointer it has.
pub const POINTER_POLL: Duration = Duration::from_secs(1);
/// Key and button changes that one monitor command carries. A PS/2 keyboard holds 16 bytes, a USB one 16 events;
/// QEMU drops what is over.
pub const INPUT_KEYS_PER_BATCH: usize = 4;
/// Pause that each key or button change takes, so that a busy guest keeps up: 100 a second.
pub const INPUT_KEY_INTERVAL: Duration = Duration::from_millis(10);
/// Events that one monitor command carries.
pub const INPUT_EVENTS_PER_BATCH: usize = 64;
/// Longest time that the control thread takes to release what is held when it stops.
pub const CONTROL_STOP_GRACE: Duration = Duration::from_millis(500);
/// Captures of one tick before a source that is painted all the time is given up until the next.
pub const CAPTURE_ATTEMPTS: u32 = 4;
/// Longest first line of a trace in bytes.
pub const TRACE_HEADER_MAX: u64 = 64 * 1024;
/// Frames of a trace that one view plays at most.
pub const TRACE_FRAMES_PER_VIEW: u32 = 8;
/// How often a source that is not live is looked at again.
pub const REDISCOVER_INTERVAL: Duration = Duration::from_millis(250);
/// Largest configuration file in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Datagrams that the network loop takes before it looks after everything else.
pub const RECEIVE_BATCH: usize = 64;
/// Datagrams that the network loop sends before it listens again: what one session has to say waits behind at most so
/// many of the others'.
pub const SEND_BATCH: usize = 16;
/// Datagrams that one call takes from a socket.
pub const RECEIVE_MANY: usize = 32;
/// Most sockets of a server, each with a thread of its own.
pub const SOCKETS_MAX: usize = 16;
/// Datagrams that wait for the thread of one of several sockets: while they do, the network thread says nothing more.
pub const PORT_OUT_MAX: usize = 4 * SEND_BATCH;
/// Datagrams that were too long for this host's link, which a port has reported and the network thread not heard of.
pub const PORT_TOO_LONG_MAX: usize = 16;
/// Datagrams that came by one of several sockets and wait for the network thread. More are dropped, those of one socket only:
/// most of a flood that comes from one address costs nobody at the other sockets anything.
pub const PORT_IN_MAX: usize = 4 * RECEIVE_BATCH;
/// Buffers of datagrams that a server keeps to build others in.
pub const SPARE_BUFFERS_MAX: usize = PORT_OUT_MAX + SEND_BATCH;
/// Bytes of a datagram with pixels that padding may take, so that it is as long as the next.
pub const PADDING_MAX: usize = 32;
/// Bytes asked for as receive and send buffer of each socket of the server.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Longest time that orderly closing takes after a signal.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Share of the rate that bytes of streams may take while no pixels wait: so little that no queue builds up for the next ones.
pub const STREAM_IDLE_PERCENT: u64 = 50;
/// While pixels wait, one packet of so many carries bytes of streams.
pub const STREAM_CROWDED_PACKETS: u64 = 16;
/// Longest time between two such packets, whatever waits.
pub const STREAM_STARVING_MAX: Duration = Duration::from_millis(100);
/// How long what bytes of streams have found out of a path holds, before they try whether it carries more.
pub const STREAM_LEARNT_FOR: Duration = Duration::from_secs(10);
/// Time by which a round trip may be longer than the shortest, and a packet's own, before streams take it for a queue of theirs.
pub const STREAM_QUEUE_MAX: Duration = Duration::from_millis(1);
/// Longest request on a stream for control in bytes.
pub const CONTROL_REQUEST_MAX: usize = 1_024;
/// Items of packets, 80 bytes or less each, that a session keeps room for though none is on its way.
pub const CARGO_KEPT: usize = 512;
/// Packets by which the floor moves on before a client is told.
pub const FLOOR_STEP: u64 = 16;
/// Keys and buttons that a session holds at once.
pub const HELD_MAX: usize = 64;
/// Time without input from the session that has a guest's input after which another may take it.
pub const INPUT_HOLD: Duration = Duration::from_secs(2);
/// CLOSE datagrams that a session ends with.
pub const CLOSE_REPEATS: u32 = 3;
/// Shortest and longest time between two of them.
pub const CLOSE_INTERVAL: core::ops::RangeInclusive<Duration> =
    Duration::from_millis(20)..=Duration::from_millis(200);
/// Answers to handshakes and unknown connections that wait to be sent.
pub const REPLIES_PENDING_MAX: usize = 256;
/// Shortest time between two CLOSE answers to connections that are not known.
pub const UNKNOWN_CLOSE_INTERVAL: Duration = Duration::from_secs(1);
/// Handshakes between their second message and their third that are kept: the oldest goes for a new one. Each takes two
/// kilobytes.
pub const HALF_DONE_MAX: usize = 256;
/// How long.
pub const HALF_DONE_TIME: Duration = COOKIE_LIFETIME;
/// Handshakes that are computed in a second at most. Each takes a third of a millisecond of the network thread's time.
pub const HANDSHAKES_PER_SECOND: u64 = 200;
/// Handshakes that are computed at once.
pub const HANDSHAKES_BURST: u64 = 50;
/// Tickets that are remembered to have been shown.
pub const TICKETS_USED_MAX: usize = 4_096;
/// Time within which the client of a sealed session must have sent a packet: only then is it known to have the keys.
pub const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// Shortest time between two questions to a session's client whether it is at another address.
pub const PATH_CHALLENGE_INTERVAL: Duration = Duration::from_millis(100);
/// Ended connections that are remembered for as long as their cookies are good, so that a late HELLO does not bring
/// them back.
pub const ENDED_MAX: usize = 1_024;
/// Bytes of a datagram that a record cannot have: header, trailer, and the frames before it.
pub const RECORD_OVERHEAD: usize = 80;

const _: () = {
    // A cell's vector is a byte, 0 for none.
    assert!(2 * MOTION_VECTORS_MAX < 255);
    assert!(
        MODE_POLL.as_millis() <= 100 && MODE_POLL_IDLE.as_millis() <= 1_000,
        "what happens is seen within 1 s"
    );
    // What waits is typed before it is too old.
    let drained = INPUT_KEY_INTERVAL.as_millis() * ACTIONS_PENDING_MAX as u128;
    assert!(drained < INPUT_AGE_MAX.as_millis());
    assert!(INPUT_KEYS_PER_BATCH * 4 <= 16);
    // The host's side has room for what an appliance may have under way.
    assert!(PORT_INPUT_MAX < ACTIONS_PENDING_MAX && CHANNEL_LINE_MAX <= PORT_TURN_BYTES);
    // A character of JSON is at most 6 bytes long, as `\u001b` is, or two of those.
    assert!(12 * CONTROL_FAULT_MAX + 12 * CONTROL_SOURCE_MAX < CHANNEL_LINE_MAX);
    assert!(CLOSE_REPEATS as u128 * CLOSE_INTERVAL.end().as_millis() <= SHUTDOWN_GRACE.as_millis());
    // One cell without compression, with its header, fits the smallest datagram beside everything else.
    assert!(CELL_PIXELS * 3 + lfp_proto::record::RECORD_HEADER_MAX + RECORD_OVERHEAD <= DATAGRAM_MIN);
    assert!(
        MODE_POLL.as_millis() <= 100 && MODE_POLL_IDLE.as_millis() <= 1_000,
        "what happens is seen within 1 s"
    );
    // What waits is typed before it is too old.
    let drained = INPUT_KEY_INTERVAL.as_millis() * ACTIONS_PENDING_MAX as u128;
    assert!(drained < INPUT_AGE_MAX.as_millis());
    assert!(INPUT_KEYS_PER_BATCH * 4 <= 16);
};
