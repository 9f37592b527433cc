//! Every bound of the protocol, in one place. Nothing that a peer sends makes memory, time or output grow
//! past these.

use core::time::Duration;

use crate::units::Bitrate;

/// Side of a cell in pixels.
pub const CELL: u16 = 16;
/// Pixels of a whole cell.
pub const CELL_PIXELS: usize = CELL as usize * CELL as usize;
/// Largest width and height of a surface in pixels.
pub const SURFACE_SIDE_MAX: u16 = 16_384;
/// Largest area of a surface in pixels: an 8K screen and a little more.
pub const SURFACE_PIXELS_MAX: usize = 36 * 1024 * 1024;
/// Largest number of cells in one record.
pub const RECORD_CELLS_MAX: usize = 4_096;
/// Surfaces of one session.
pub const SURFACES_MAX: usize = 8;

/// Smallest datagram payload (UDP payload, bytes) that a client may ask for.
pub const DATAGRAM_MIN: usize = 1_100;
/// Largest datagram payload (UDP payload, bytes).
pub const DATAGRAM_MAX: usize = 8_900;
/// Datagram payload that a client asks for unless told otherwise: passes every usual Internet path.
pub const DATAGRAM_DEFAULT: usize = 1_200;
/// Bytes of IPv4 and UDP header that each datagram costs beside its payload.
pub const UDP_OVERHEAD: usize = 28;
/// Bytes reserved behind the payload of every packet, for a seal's tag; a plain packet uses four.
pub const TRAILER_RESERVED: usize = 16;

/// Longest text of a name (service, place) in bytes.
pub const NAME_MAX: usize = 64;
/// Longest human-readable text in a frame in bytes.
pub const TEXT_MAX: usize = 200;
/// Longest cookie in bytes; a ticket takes its place.
pub const COOKIE_MAX: usize = 64;
/// Longest message of a Noise handshake in bytes.
pub const NOISE_MESSAGE_MAX: usize = 512;
/// Packets under one key, after which a sender takes the next.
pub const REKEY_PACKETS: u64 = 1 << 20;
/// Bytes under one key, after which a sender takes the next.
pub const REKEY_BYTES: u64 = 1 << 30;
/// Time after which a sender takes the next key.
pub const REKEY_TIME: Duration = Duration::from_secs(600);
/// Time for which a receiver keeps the key before the newest, for packets that were overtaken.
pub const OLD_KEY_TIME: Duration = Duration::from_secs(10);
/// How long a ticket is good for.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(86_400);
/// Displays in one Hello.
pub const DISPLAYS_MAX: usize = 8;
/// References that a client can keep.
pub const REFERENCES_MAX: u8 = 2;
/// Slots of the bitmap cache of one surface.
pub const CACHE_SLOTS: usize = 128;
/// Cells of the picture that a slot keeps: with all slots full the cache takes 16 MiB.
pub const CACHE_SLOT_CELLS: usize = 128;

/// Ranges in one ack.
pub const ACK_RANGES_MAX: usize = 32;
/// Refused records in one ack: all of one datagram's, so that the newest packet can always be acked.
pub const ACK_REFUSALS_MAX: usize = RECORDS_MAX;
/// Bytes of one ack frame: it fits the smallest datagram, with some room beside it.
pub const ACK_LEN_MAX: usize = 900;
/// Largest delay that an ack states, in microseconds.
pub const ACK_DELAY_MAX_US: u64 = u32::MAX as u64;
/// Longest time that a quality states, in microseconds.
pub const TIME_MAX_US: u64 = u32::MAX as u64;
/// What a client that does nothing but work for its picture reports.
pub const BUSY_WHOLE: u16 = 1_000;
/// Between two reports of one side, at least.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Records in one datagram, over all of its frames.
pub const RECORDS_MAX: usize = 128;
/// Frames in one datagram, not counting padding.
pub const FRAMES_MAX: usize = 128;

/// Packets that one PARITY covers at most.
pub const PARITY_PACKETS_MAX: usize = 16;
/// Payloads that a receiver keeps for a PARITY that may come: those of the longest group, and of what overtakes it.
pub const PARITY_KEPT: usize = 2 * PARITY_PACKETS_MAX;
/// Bytes that a packet with a PARITY has beside the covered bytes: type, distance, count, lengths, length.
pub const PARITY_OVERHEAD: usize = 1 + 1 + 1 + 2 + 2;

/// Input events that wait for an ack.
pub const INPUT_PENDING_MAX: usize = 64;
/// Age at which a waiting input event (never a release) is dropped and reported.
pub const INPUT_AGE_MAX: Duration = Duration::from_secs(3);
/// Silence after which held keys and buttons are released.
pub const INPUT_SILENCE: Duration = Duration::from_secs(3);
/// Interval at which a client that holds a key proves that it is there.
pub const INPUT_HEARTBEAT: Duration = Duration::from_secs(1);
/// Keys that one chord presses together.
pub const CHORD_KEYS_MAX: usize = 8;

/// Events that one ECHO names.
pub const ECHO_EVENTS_MAX: usize = 16;

/// Digests that wait for a reply.
pub const DIGESTS_PENDING_MAX: usize = 64;

/// Streams that a side has open at once.
pub const STREAMS_MAX: usize = 4;
/// Bytes of a stream that a receiver takes beyond those that were read, and that a sender keeps for it.
pub const STREAM_WINDOW: usize = 32 * 1024;
/// Bytes of a stream in one direction, ever.
pub const STREAM_LENGTH_MAX: u64 = 1 << 62;

/// Packets that a send window remembers.
pub const SEND_WINDOW_MAX: usize = 16_384;
/// Packets behind the largest acked one at which a packet counts as lost.
pub const LOSS_PACKETS: u64 = 3;
/// What that number grows to at most on a path that reorders.
pub const LOSS_PACKETS_MAX: u64 = 128;
/// Round-trip time that is assumed before anything is known.
pub const RTT_GUESS: Duration = Duration::from_millis(100);
/// Round trips for which a packet that counts as lost is remembered in case its ack comes.
pub const LATE_ACK_ROUND_TRIPS: u32 = 2;
/// Slowest and fastest that a side paces at.
pub const RATE_MIN: Bitrate = Bitrate::from_bps(100_000);
/// See [`RATE_MIN`].
pub const RATE_MAX: Bitrate = Bitrate::from_bps(40_000_000_000);
/// Delay before an ack of packets that came in order.
pub const ACK_DELAY: Duration = Duration::from_millis(5);
/// Packets that came as ECT(0) after which the client says how many they are.
pub const ECN_TOLD_EVERY: u64 = 32;
/// Packets sent as ECT(0) that are acked without a word of how they came, after which nobody counts them: several times as many
/// as the client lets pass, so that lost acks are not taken for that.
pub const ECN_UNTOLD_MAX: u64 = 8 * ECN_TOLD_EVERY;
/// Packets in a row that came as CE while no queue shows: somebody marks them all, whatever they meet.
pub const ECN_ALL_MARKED: u64 = 128;
/// Packets after which an ack goes at once.
pub const ACK_PACKETS: u32 = 8;
/// Longest interval between probes of a silent peer.
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Interval between packets that keep a quiet session known.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Silence after which a session ends, unless configured otherwise.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Of what full packets carry, one part in so many goes into finding out whether longer ones pass.
pub const LENGTH_PROBE_SHARE: u64 = 16;
/// Time after which a length that did not pass is tried again, and the same after long packets have vanished.
pub const LENGTH_RETRY: Duration = Duration::from_secs(600);
/// See [`LENGTH_RETRY`].
pub const HOLE_RETRY: Duration = Duration::from_secs(60);
/// Fewest and most probes that have to be lost before their length counts as too long: more where much is lost anyway.
pub const PROBE_TRIES_MIN: u32 = 3;
/// See [`PROBE_TRIES_MIN`].
pub const PROBE_TRIES_MAX: u32 = 6;
/// Fewest and most long packets that have to be lost one after another before they count as vanishing.
pub const LONG_LOST_MIN: u32 = 3;
/// See [`LONG_LOST_MIN`].
pub const LONG_LOST_MAX: u32 = 8;
/// Rates down to which packets may be longer than Ethernet's, and from which on: one takes a millisecond at most.
pub const WIDE_RATE: (Bitrate, Bitrate) = (Bitrate::from_bps(71_200_000), Bitrate::from_bps(100_000_000));
/// Pieces of a picture that a client which comes back offers digests of, at most, ...
pub const OFFER_PLOTS_MAX: usize = 1_024;
/// ... and of how many in one frame.
pub const OFFER_PART_PLOTS: usize = 128;
/// Such frames at most.
pub const OFFER_PARTS_MAX: usize = OFFER_PLOTS_MAX / OFFER_PART_PLOTS;
/// How long a server holds a picture back for what is announced to be offered of it.
pub const OFFER_WAIT: Duration = Duration::from_secs(1);
/// How long a cookie is good for.
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(10);

const _: () = {
    assert!(
        CACHE_SLOTS * CACHE_SLOT_CELLS * CELL_PIXELS * 4 <= 16 << 20 && CACHE_SLOT_CELLS <= RECORD_CELLS_MAX
    );
    assert!(DATAGRAM_MIN <= DATAGRAM_DEFAULT && DATAGRAM_DEFAULT <= DATAGRAM_MAX);
    // One cell without compression, with all headers, fits the smallest datagram.
    assert!(CELL_PIXELS * 3 + 128 <= DATAGRAM_MIN);
    // One datagram's refusals, at their longest, fit one ack beside one range: type, largest, delay, recovered, counts,
    // range, packet, then index and reason of each.
    assert!(1 + 10 + 5 + 10 + 2 + 2 + 10 + 10 + 2 + RECORDS_MAX * 3 <= ACK_LEN_MAX);
    // The distance from a PARITY to the first packet that it covers takes one byte.
    assert!(PARITY_KEPT < 128);
    assert!(ACK_LEN_MAX + 128 <= DATAGRAM_MIN && RECORDS_MAX <= ACK_REFUSALS_MAX);
    // An OFFER fits every datagram: type, surface, epoch, part, count, digests.
    assert!(OFFER_PLOTS_MAX % OFFER_PART_PLOTS == 0 && 12 + OFFER_PART_PLOTS * 8 + 32 <= DATAGRAM_MIN);
    // A HELLO in a Noise message, with keys and tags: texts, displays, numbers.
    assert!(2 * (NAME_MAX + 1) + DISPLAYS_MAX * 6 + 64 + 96 <= NOISE_MESSAGE_MAX);
    // A number sent in 32 bits is never further off than half of them within the packets of one key.
    assert!(REKEY_PACKETS < 1 << 31);
    // The longest packet takes a millisecond.
    assert!(
        DATAGRAM_MAX as u64 * 8_000 <= WIDE_RATE.0.as_bps() && WIDE_RATE.0.as_bps() < WIDE_RATE.1.as_bps()
    );
    assert!(HOLE_RETRY.as_secs() < LENGTH_RETRY.as_secs() && PROBE_TRIES_MIN < PROBE_TRIES_MAX);
    // What a stream is for is said within what is taken of it at once.
    assert!(NAME_MAX < STREAM_WINDOW && STREAM_WINDOW % 64 == 0);
    assert!(KEEP_ALIVE.as_secs() * 3 <= IDLE_TIMEOUT.as_secs());
    assert!(INPUT_HEARTBEAT.as_millis() * 2 < INPUT_SILENCE.as_millis());
};
