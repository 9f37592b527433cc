//! Bounds and times of the client beside those of the protocol.

use core::time::Duration;

pub use lfp_proto::limits::*;

/// Time to the first repetition of an unanswered HELLO; doubles from there.
pub const HELLO_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time between two HELLOs.
pub const HELLO_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// HELLOs whose answers are recognised.
pub const HELLOS_REMEMBERED: usize = 16;
/// Answers of one handshake after which the next HELLO goes at once; the rest wait for the HELLO timer.
pub const ANSWERS_AT_ONCE: u32 = 4;
/// Times that the third message of a handshake is sent before the client takes it that the server has forgotten the first.
pub const THIRDS_MAX: u32 = 4;
/// How long a client asks for a session, unless configured otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest and longest idle time-out that is taken from a server.
pub const IDLE_TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// While the server's host refuses datagrams: time between two that the server would answer, ...
pub const REFUSED_PROBE: Duration = Duration::from_millis(500);
/// ... and the silence and the refusals in a row after which the server is gone.
pub const REFUSED_SILENCE: Duration = Duration::from_secs(2);
/// See [`REFUSED_SILENCE`].
pub const REFUSED_TIMES: u32 = 3;

/// How long a question may stay without an answer, while nothing else comes, before the client looks whether it has another
/// address; each further look takes twice as long, ...
pub const LOOK_AFTER: Duration = Duration::from_millis(1_500);
/// ... up to this. From so many looks in a row on, another socket is taken whatever the address.
pub const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(15);
/// See [`LOOK_INTERVAL_MAX`].
pub const LOOKS_PATIENT: u32 = 3;
/// Between two looks while the system does not send at all.
pub const LOOK_UNSENDABLE: Duration = Duration::from_millis(500);

/// How often CLOSE is sent, and how far apart.
pub const CLOSE_REPEATS: u32 = 3;
/// Time between two CLOSEs.
pub const CLOSE_INTERVAL: Duration = Duration::from_millis(20);

/// Own packets that are remembered until their acks come, for the round-trip time.
pub const SENT_REMEMBERED: usize = 256;
/// Ranges of missing packets that are remembered.
pub const GAPS_REMEMBERED: usize = 256;
/// Frame marks that wait for the last of their packets.
pub const MARKS_PENDING_MAX: usize = 64;

/// Rows of cells that one digest covers, at most; less on a wide surface, see [`DIGEST_CELLS_MAX`].
pub const DIGEST_BAND_ROWS: u16 = 8;
/// Cells that one digest covers, at most, unless a single row has more.
pub const DIGEST_CELLS_MAX: usize = RECORD_CELLS_MAX;
/// How long a band must have stood still before its digest is sent; also the first wait after "unsettled".
pub const DIGEST_QUIET: Duration = Duration::from_millis(50);
/// The same for a band in which cells have never been painted: only a fault keeps it so.
pub const DIGEST_QUIET_BLANK: Duration = Duration::from_secs(1);
/// Longest wait before a digest is repeated.
pub const DIGEST_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Longest wait before a part of an offer that is not answered is repeated, and how often it is said at most: the server waits for
/// [`OFFER_WAIT`].
pub const OFFER_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Shortest: a server whose answers take no time has no offer said again at once.
pub const OFFER_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// See [`OFFER_INTERVAL_MAX`].
pub const OFFER_TRIES_MAX: u32 = 6;

/// When something comes after a silence longer than this, and than two answers take, what was asked in vain meanwhile
/// is asked again at once.
pub const SILENCE: Duration = Duration::from_millis(250);

/// How long a loss is a reason to say input more than once.
pub const LOSS_MEMORY: Duration = Duration::from_secs(30);
/// Time to the first copy of input on a path that loses packets; it doubles with each.
pub const INPUT_COPY_AFTER: Duration = Duration::from_millis(5);
/// Shortest wait before unacked input is repeated.
pub const INPUT_REPEAT_MIN: Duration = Duration::from_millis(30);
/// Longest wait before unacked input is repeated.
pub const INPUT_REPEAT_MAX: Duration = Duration::from_millis(500);
/// Packets that are remembered to have said how much the user sees.
pub const ATTENTION_CARRIERS_MAX: usize = 8;
/// Time between two INPUT frames that only motion asks for.
pub const INPUT_MOTION_SPACING: Duration = Duration::from_millis(4);
/// Keys and buttons that count as held at one time; more are sent, and not counted.
pub const INPUT_HELD_MAX: usize = 128;

/// Input events whose answers are waited for, ...
pub const ECHO_EVENTS_REMEMBERED: usize = 256;
/// ... and for how long: longer than input waits and a bad path takes.
pub const ECHO_AGE_MAX: Duration = Duration::from_secs(10);
/// Records that are remembered meanwhile, with their times.
pub const ECHO_PAINTS_REMEMBERED: usize = 2_048;
/// Events that are known to be answered by pixels which have not been shown.
pub const ECHO_FRAMES_MAX: usize = 64;
/// Bytes of streams that may be in flight at first, and at most.
pub const STREAM_FLIGHT_FIRST: u64 = 4 * DATAGRAM_DEFAULT as u64;
/// See [`STREAM_FLIGHT_FIRST`].
pub const STREAM_FLIGHT_MAX: u64 = 4 * STREAM_WINDOW as u64;
/// Shortest and longest silence after which bytes of streams that are in flight count as lost.
pub const STREAM_REPEAT_MIN: Duration = Duration::from_millis(30);
/// See [`STREAM_REPEAT_MIN`].
pub const STREAM_REPEAT_MAX: Duration = Duration::from_secs(1);

/// Round-trip time that is assumed before one has been measured.
pub const RTT_INITIAL: Duration = Duration::from_millis(100);

/// Pixels that the decoding buffer keeps between records, so that one large record does not cost memory for good.
pub const SCRATCH_PIXELS_KEPT: usize = 64 * 1024;

const _: () = {
    // A server that has nothing to say answers a question long before, and what keeps a session known asks one.
    assert!(
        LOOK_AFTER.as_millis() > 10 * ACK_DELAY.as_millis()
            && LOOK_INTERVAL_MAX.as_secs() < IDLE_TIMEOUT.as_secs()
    );
};
