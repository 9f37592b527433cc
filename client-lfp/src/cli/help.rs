//! What `--help` prints.

pub(crate) const HELP: &str = "\
client-lfp: shows a virtual machine's screen over LFP, sends it keys and mouse, and proves what it shows

Usage: client-lfp ADDR:PORT [options]

Session
  --service NAME         the service to ask for [default: default]
  --list                 show no screen, but what services the server has: name, state, size of the first screen, how many
                         screens, how many sessions (- where nobody has looked yet); with --service, where the server
                         shows no others, that one; with --json {error, services: [{name, state, width, height, ...}]}
  --server-key PRINT     the server's fingerprint, as `lfp-server fingerprint` says it there. Without it, a server is
                         taken at its word the first time, and must have the same key ever after
  --state DIR            where keys are kept: this client's (client.key), those of servers (known-servers: name, key,
                         fingerprint; a line may be removed) and tickets, which save a round trip
                         [$XDG_STATE_HOME/lfp, else ~/.local/state/lfp]
  --plain                talk without encryption; must be named on the server too: anybody on the path can read the
                         screen and type into it. It knows no keys, so it goes with neither --server-key nor --state
  --connect-timeout S    give up asking after S seconds [10]
  --reconnect S          when the session is lost (the server restarts or is silent for too long), ask for another for S
                         seconds; the picture stays, and of it comes only what differs; 0: end at once [30]
  --datagram-size N      largest datagram wanted, UDP payload in bytes, 1100 to 8900: the server finds out how much
                         of that the path carries; 8900 where it takes long ones (loopback, jumbo frames) [1472]
  --receive-buffer N     receive buffer to ask the system for, in bytes [4194304]. The server is told half of what
                         it grants, since the system counts its own overhead into it
  --place TEXT           where this client stands; told to the server
  --client-type TYPE     desktop, thin-terminal, phone, television, headless [desktop]
  --profile TYPE         what a client of that type mostly is; what stands behind it on the command line counts more:
                           desktop, headless  any size, 24 bits, 60 Hz, 2 references: as it is without --profile
                           thin-terminal      any size, 16 bits, 30 Hz, 1 reference, no dictionary
                           phone              960x540, 24 bits, 60 Hz, 1 reference
                           television         1920x1080, 24 bits, 50 Hz, 2 references
  --display WxH          size of the display in pixels: a larger screen comes scaled down to it, 16
                         times at most; or any [any]
  --depth N              bits of a pixel, 8 (a palette), 16, 24 or 32: the screen comes in so many [24]
  --refresh HZ           refresh rate of the display, 1 to 255: no pixel changes more often [60]
  --references N         pictures to keep beside the one shown, for the server to build on, 0 to 2 [2]; each takes as
                         much memory as the picture and makes what moves cheaper to send

  --attention HOW        how much of the screen is seen: in-view; aside, a few pictures a second do; hidden, none is sent
                         [in-view]

Input, done in the order given, once the first picture is exact (or has been complete for 2 s)
  --type TEXT            types TEXT on a US keyboard; a newline is Enter
  --key CHORD            presses keys together: enter, f1, ctrl-alt-delete
  --move X,Y             moves the pointer to a pixel; beyond the screen's edge, with a warning, it stops there
  --click X,Y            moves there and clicks the left button
  --hide MS              hides the screen for MS milliseconds: nothing of it is sent, what was missed comes behind
  --type-interval MS     time between keystrokes [20]

When to end: at --settle, else after --seconds, else when the session ends or on Ctrl-C. --png, --json and input
mean `--settle 400` unless --seconds or --mirror is given.
  --settle MS            end once input is done and the picture is proven exact and has stood still for MS milliseconds; a
                         caret that blinks is motion: take less than it stands still for, which mostly is 500, with the
                         round trip to spare, and more than the guest takes to answer
  --seconds N            end after N seconds; with --settle, fail then [with --settle alone: 60]

Output
  --png FILE             write the screen at the end, whatever the exit code, if there has been any; replaces FILE
  --overlay              draw over what --png and --mirror show what is known of each cell (16x16 pixels): its context as a
                         tint with a line around it (text blue, interface cyan, photo orange, gradient yellow, video
                         red, scroll green, drag light green, blink pink, noise purple, flat and unknown grey); a mark
                         by the age of what it shows (under 0.1 s white, 1 s red, 10 s orange, 60 s yellow, older none); a
                         diagonal where it is lossy; hatched where it is missing or known to be wrong
  --mirror FILE          keep the screen in a shared-memory file that `shm:FILE` names as a source; replaces an
                         older mirror, and no other file
  --capture FILE         keep every datagram with its time in FILE, to be played back by benches
  --server-stats         ask the server at the end what it counts of the session, and print it: a line for each figure, or in
                         the object of --json
  --json                 print one object at the end, see below
  --quiet                no progress on standard error; without a terminal there, progress is a line now and then
  --help, --version

Exit codes
  0  done
  1  no session: no answer, refused, no such host
  2  wrong usage
  3  the session ended early: closed by the server, or it fell silent, or nothing listens on its port any more; and no
     other was to be had within --reconnect
  4  the picture did not settle in time, or there was none to write; an answer did not come in time
  5  a file could not be read or written, or standard output not be written
  6  not all input reached the guest: another session holds its keyboard, the service takes none, or time ran out
  7  the server has another key than the one that is known or named: both fingerprints are shown, nothing was sent

JSON: times in milliseconds are since the program started; null is what did not happen
  state, error           how the session stands or ended: connecting, established, closing, ended (in order), closed (by
                         the server), refused, wrong-key, no-answer, timed-out, unreachable; what went wrong, for people
  protection, cipher, server_key    sealed or plain; if it is sealed, by what, and the fingerprint of the server's key
  server_key_new         whether the server was taken at its word: nothing was known of its key before
  warnings               what was done otherwise than asked, for people
  exact                  whether the last picture was proven to be the server's, pixel for pixel
  surface, surface_text  live, connecting, no-framebuffer, gone or faulty, and why, for people
  epoch, width, height   of the surface; of the last picture, as this client shows it
  depth                  bits of its pixels, which exact is about; files have the colours that these stand for
  first_picture_ms       every cell painted       exact_ms   first proven exact
  settle_ms              proven exact and still from then on, as --settle asks
  bytes_down, bytes_up   UDP payload and 28 bytes of headers a datagram; also datagrams_down, datagrams_up
  datagram_longest       bytes of the longest that came, UDP payload: the server finds out how long they may be
  sockets_renewed        times that the session went on from another address, or with another socket
  reconnects             times that a session was had after another was lost; counts go on
  cells_kept             cells that were not sent then: what was there still held
  cells_applied          cells painted
  cells_repaired         of these, repairs: in a refused record or a digest that differed, or in a band of rows that
                         had not been proven since packets were lost; in motion an upper bound
  records_applied, records_superseded    those that changed something, and those that came too late to
  records_refused        by reason
  holds, stores          pictures frozen as references; pieces kept in the cache
  techniques, contexts   the records that came: {name: {regions, cells, bytes}}
  packets_lost, packets_recovered    that have not come, nor come late; that were put together from what covers them
  duplicates             packets dropped since their number had come, or been recovered, or is too old to be told from
                         one that had; path.down.duplicated are only those known to have come twice
  malformed, foreign     datagrams dropped: no LFP, or damaged; of another connection, or an answer to nothing
  digests                {sent, exact, differed}
  input                  {events, frames, dropped, dropped_by_server, undone}: undone had not been taken at the end
  staleness_ms           {n, p50, p95, p99, max, clock_error}: age of the picture when a frame of the guest was complete
  echo_ms                {n, p50, p95, p99, max, uncounted}: from a key, a button or the wheel to the first pixels that changed after
                         the guest had it; and {p50, p95, p99} of network, injection (until the hypervisor took it),
                         scan_wait (the guest, and the wait for a scan), encode, pacing, decode; uncounted are those
                         that nobody can tell the time of
  rtt_us                 smoothed round-trip time
  path                   {rate_bps, down, up, ecn}: what the path delivers, and of the packets each way {packets, lost, reordered,
                         duplicated, jitter_ms, queued_ms}: how unevenly they travel, how much longer than the fastest
                         of late; up, and times and rate, as the server told last; ecn {unmarked, marked}: packets that
                         came as they may be marked for congestion (ECT(0)), and marked (CE); 0 where nobody tells
  peak_memory_bytes      most memory that the program has had resident
  server                 with --server-stats, what the server counts of the session; names end in their unit
";

#[cfg(test)]
mod tests {
    use super::HELP;

    #[test]
    fn every_state_of_the_report_is_listed() {
        let (_, json) = HELP.split_once("  state, error").expect("the report is described");
        let (states, _) = json.split_once("for people").expect("its first lines");
        let source = include_str!("../state.rs");
        let names: Vec<_> = source.lines().filter_map(|line| line.split(" => \"").nth(1)).collect();
        assert!(names.len() >= 10, "{names:?}");
        for name in names.iter().map(|name| name.trim_end_matches("\",")) {
            assert!(states.contains(name), "{name} is not in the help text");
        }
    }
}
