//! Which system calls a server may make after its start: a filter that the kernel runs (seccomp).

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

use super::ConfineError;

/// A system call that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    number: c_long,
    /// An argument, by its place, that has to be one of some values.
    only: Option<(u8, &'static [u64])>,
    /// What the server needs it for.
    pub reason: &'static str,
}

const fn call(name: &'static str, number: c_long, reason: &'static str) -> Call {
    Call { name, number, only: None, reason }
}

const fn limited(
    name: &'static str,
    number: c_long,
    place: u8,
    values: &'static [u64],
    reason: &'static str,
) -> Call {
    Call { name, number, only: Some((place, values)), reason }
}

/// Families of sockets: the network's own are open when the filter comes; monitors, ports and channels are Unix sockets.
const FAMILIES: &[u64] = &[libc::AF_UNIX as u64];
/// What a mapping may be: never executable.
const PROTECTIONS: &[u64] = &[
    libc::PROT_NONE as u64,
    libc::PROT_READ as u64,
    libc::PROT_WRITE as u64,
    (libc::PROT_READ | libc::PROT_WRITE) as u64,
];

/// Every call that is allowed, in the order of their purposes. Another one ends the process (SIGSYS).
pub const ALLOWED: &[Call] = &[
    // Packets.
    call("sendto", libc::SYS_sendto, "a datagram; a line to a monitor"),
    call("sendmsg", libc::SYS_sendmsg, "datagrams that the kernel cuts (UDP_SEGMENT)"),
    call("sendmmsg", libc::SYS_sendmmsg, "several datagrams"),
    call("recvfrom", libc::SYS_recvfrom, "a datagram; a line from a monitor"),
    call("recvmsg", libc::SYS_recvmsg, "a datagram with what the kernel says of it"),
    call("recvmmsg", libc::SYS_recvmmsg, "several datagrams"),
    call("setsockopt", libc::SYS_setsockopt, "fragments, segments, error queues: by session"),
    call("getsockopt", libc::SYS_getsockopt, "what a socket's error was; who is behind a monitor"),
    call("getsockname", libc::SYS_getsockname, "which socket a monitor's is"),
    call("getpeername", libc::SYS_getpeername, "whether a channel is still connected"),
    limited("socket", libc::SYS_socket, 0, FAMILIES, "a monitor or channel that came back"),
    call("connect", libc::SYS_connect, "the same"),
    call("accept4", libc::SYS_accept4, "the control channel, where it is a socket that is listened on"),
    call("shutdown", libc::SYS_shutdown, "the end of a channel"),
    // Waiting.
    call("ppoll", libc::SYS_ppoll, "every thread that waits for something and a time"),
    call("poll", libc::SYS_poll, "the same, as the standard library does"),
    call("futex", libc::SYS_futex, "locks, channels and workers"),
    call("sched_yield", libc::SYS_sched_yield, "workers that look for work"),
    call("nanosleep", libc::SYS_nanosleep, "pauses"),
    call("clock_nanosleep", libc::SYS_clock_nanosleep, "pauses"),
    call("clock_gettime", libc::SYS_clock_gettime, "time, where the kernel's page does not tell it"),
    call("gettimeofday", libc::SYS_gettimeofday, "the same"),
    call("restart_syscall", libc::SYS_restart_syscall, "a wait that a signal broke off"),
    // Files: monitors, devices, the state folder, statistics.
    call("openat", libc::SYS_openat, "devices that come, statistics; Landlock says which"),
    call("read", libc::SYS_read, "ports, sysfs, wake-ups, random devices"),
    call("pread64", libc::SYS_pread64, "traces"),
    call("readv", libc::SYS_readv, "the same, as the standard library does"),
    call("write", libc::SYS_write, "ports, the log, statistics, wake-ups"),
    call("writev", libc::SYS_writev, "the same, as the standard library does"),
    call("lseek", libc::SYS_lseek, "traces; how long a file is"),
    call("close", libc::SYS_close, "whatever was opened"),
    call("fstat", libc::SYS_fstat, "how long a mapped file still is"),
    call("newfstatat", libc::SYS_newfstatat, "the same, by newer C libraries"),
    call("statx", libc::SYS_statx, "what a path names"),
    call("getdents64", libc::SYS_getdents64, "which devices there are"),
    call("readlink", libc::SYS_readlink, "where a device stands"),
    call("readlinkat", libc::SYS_readlinkat, "the same"),
    call("access", libc::SYS_access, "whether a device may be used"),
    call("faccessat2", libc::SYS_faccessat2, "the same"),
    call("fcntl", libc::SYS_fcntl, "descriptors that do not block, are closed on exec, are doubled"),
    call("dup", libc::SYS_dup, "a descriptor for a second owner"),
    call("ioctl", libc::SYS_ioctl, "the mode of a framebuffer device; whether the log is a terminal"),
    call("ftruncate", libc::SYS_ftruncate, "statistics"),
    call("fsync", libc::SYS_fsync, "statistics, keys"),
    call("rename", libc::SYS_rename, "statistics are replaced as a whole"),
    call("renameat2", libc::SYS_renameat2, "the same"),
    call("unlink", libc::SYS_unlink, "statistics at the end"),
    call("unlinkat", libc::SYS_unlinkat, "the same"),
    call("eventfd2", libc::SYS_eventfd2, "wake-ups of a thread that comes with a channel"),
    call("pipe2", libc::SYS_pipe2, "the same, as the standard library does"),
    call("process_vm_readv", libc::SYS_process_vm_readv, "foreign memory that may shrink"),
    // Memory.
    limited("mmap", libc::SYS_mmap, 2, PROTECTIONS, "video memory, stacks, large pieces; never code"),
    limited("mprotect", libc::SYS_mprotect, 2, PROTECTIONS, "guard pages, heaps; never code"),
    call("munmap", libc::SYS_munmap, "the same, given back"),
    call("mremap", libc::SYS_mremap, "a large piece that grows"),
    call("madvise", libc::SYS_madvise, "stacks given back, memory that is dropped"),
    call("brk", libc::SYS_brk, "the heap"),
    // Threads and the process.
    call("clone3", libc::SYS_clone3, "threads: of a channel, of a source"),
    call("clone", libc::SYS_clone, "the same, by older C libraries"),
    call("set_robust_list", libc::SYS_set_robust_list, "a thread begins"),
    call("rseq", libc::SYS_rseq, "a thread begins"),
    call("gettid", libc::SYS_gettid, "a thread begins"),
    call("getpid", libc::SYS_getpid, "the process's own number"),
    call("prctl", libc::SYS_prctl, "a thread's name"),
    call("sched_getaffinity", libc::SYS_sched_getaffinity, "how many processors there are"),
    call("sched_setaffinity", libc::SYS_sched_setaffinity, "a socket's thread stays on its processor"),
    call("getrusage", libc::SYS_getrusage, "the time that the statistics say"),
    call("prlimit64", libc::SYS_prlimit64, "how large a stack is"),
    call("sysinfo", libc::SYS_sysinfo, "how much memory there is"),
    call("uname", libc::SYS_uname, "the kernel's version, for messages"),
    call("getuid", libc::SYS_getuid, "whose the process is, for messages"),
    call("geteuid", libc::SYS_geteuid, "the same"),
    call("getrandom", libc::SYS_getrandom, "keys, cookies, connection ids"),
    call("sigaltstack", libc::SYS_sigaltstack, "a thread begins and ends"),
    call("rt_sigaction", libc::SYS_rt_sigaction, "signals as they were, at the end"),
    call("rt_sigprocmask", libc::SYS_rt_sigprocmask, "a thread begins"),
    call("rt_sigreturn", libc::SYS_rt_sigreturn, "the end of a signal's handler"),
    call("tgkill", libc::SYS_tgkill, "abort: a fault of ours is told as one"),
    call("exit", libc::SYS_exit, "a thread ends"),
    call("exit_group", libc::SYS_exit_group, "the process ends"),
];

/// Ends the process at any system call but those of [`ALLOWED`], from now on, in every thread.
///
/// # Errors
/// If the kernel has no such filters.
pub fn forbid_other_calls() -> Result<(), ConfineError> {
    let program = program().map_err(|error| ConfineError::Calls(error.to_string()))?;
    apply_filter_all_threads(&program).map_err(|error| ConfineError::Calls(error.to_string()))
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = ALLOWED.iter().map(|call| Ok((call.number, rules_of(call)?)));
    let rules = rules.collect::<Result<BTreeMap<_, _>, seccompiler::BackendError>>()?;
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

/// No rule: whatever the arguments.
fn rules_of(call: &Call) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let Some((place, values)) = call.only else { return Ok(Vec::new()) };
    let rule = |value: &u64| {
        let equal = SeccompCondition::new(place, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value)?;
        SeccompRule::new(vec![equal])
    };
    values.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_call_stands_once_and_has_a_reason() {
        let numbers: BTreeSet<_> = ALLOWED.iter().map(|call| call.number).collect();
        assert_eq!(numbers.len(), ALLOWED.len());
        assert!(ALLOWED.iter().all(|call| !call.reason.is_empty() && !call.name.is_empty()));
        for dangerous in [libc::SYS_execve, libc::SYS_ptrace, libc::SYS_mount, libc::SYS_bpf, libc::SYS_kill]
        {
            assert!(!numbers.contains(&dangerous), "{dangerous}");
        }
    }

    #[test]
    fn the_list_is_a_filter() {
        assert!(!program().expect("the kernel's own form").is_empty());
    }
}
