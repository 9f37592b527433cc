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
/// Ticks of a source that lie unread before its scans pause.
pub const TICKS_UNREAD_MAX: usize = 4;
/// Longest scan that the thread which keeps the time does itself; a longer one goes to a worker.
pub const SCAN_INLINE_MAX: Duration = Duration::from_millis(4);
/// Fastest scan of a source, per second.
pub const SCAN_RATE_MAX_HZ: u32 = 240;
/// Encode requests of one session that may be under way at once.
pub const ENCODES_PENDING_MAX: usize = 8;
/// Bytes of records after which an encode request ends, whatever its budget, so that a worker is soon free again.
pub const ENCODE_BYTES_MAX: usize = 64 * 1024;
/// Cells of one encode request.
pub const ENCODE_CELLS_MAX: usize = RECORD_CELLS_MAX;
/// Encoded records that the shared cache holds, in bytes.
pub const ENCODE_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Checksums that the shared cache holds, in bytes.
pub const DIGEST_CACHE_BYTES: usize = 1024 * 1024;
/// Actions that wait for one source's action sink. Releases are taken beyond it.
pub const ACTIONS_PENDING_MAX: usize = 256;
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
/// Bytes asked for as receive and send buffer of the server's socket.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Longest time that orderly closing takes after a signal.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
