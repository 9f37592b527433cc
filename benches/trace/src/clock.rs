//! The wall clock, by which the processes of a run compare their times, and the CPU time of a process.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Outcome;

/// Microseconds since 1970.
pub(crate) fn wall_us() -> u64 {
    micros(clock_gettime(ClockId::CLOCK_REALTIME).unwrap_or(TimeSpec::new(0, 0)))
}

/// How far the wall clock is ahead of the monotonic one. It changes only if somebody sets the wall clock.
pub(crate) fn wall_ahead_us() -> u64 {
    let monotonic = micros(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0)));
    wall_us().saturating_sub(monotonic)
}

/// CPU time of a process with all its threads, user and system, in microseconds: what getrusage would say inside it.
pub(crate) fn cpu_us(pid: u32) -> Outcome<u64> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    Ok(micros(clock_gettime(clock_getcpuclockid(pid)?)?))
}

fn micros(time: TimeSpec) -> u64 {
    (time.tv_sec() as u64).saturating_mul(1_000_000) + time.tv_nsec() as u64 / 1_000
}
