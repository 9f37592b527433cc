//! What `/proc` says of QEMU processes: their command lines, memory files and sockets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::limits::{PROC_FDS_MAX, PROC_FILE_MAX};

/// A memory file that a process has open.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Memfd {
    /// Its name without `memfd:`, such as `0000:00:01.0/vga.vram`.
    pub(super) name: String,
    /// `/proc/PID/fd/N`.
    pub(super) path: PathBuf,
}

impl Memfd {
    /// Opens it for reading. Whatever the process has put in its place meanwhile, this neither blocks nor opens
    /// anything but a file in memory or on disk.
    pub(super) fn open(&self) -> io::Result<File> {
        let file =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file any more")) }
    }
}

/// The memory files of process `pid`, at most [`PROC_FDS_MAX`] descriptors looked at.
pub(super) fn memfds(pid: u32) -> io::Result<Vec<Memfd>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(process(pid).join("fd"))?.take(PROC_FDS_MAX) {
        let path = entry?.path();
        // A descriptor that was closed meanwhile.
        let Ok(target) = fs::read_link(&path) else { continue };
        let name = target.to_string_lossy();
        if let Some(name) = name.strip_prefix("/memfd:") {
            let name = name.strip_suffix(" (deleted)").unwrap_or(name).to_owned();
            found.push(Memfd { name, path });
        }
    }
    found.sort();
    Ok(found)
}

/// The arguments of process `pid`, the program first; empty for a kernel thread or a dead process.
pub(super) fn arguments(pid: u32) -> io::Result<Vec<String>> {
    let bytes = read_bounded(&process(pid).join("cmdline"))?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// The program that process `pid` runs, if we may know.
pub(super) fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(process(pid).join("exe")).ok()
}

/// The folder that process `pid` works in, if we may know.
pub(super) fn folder(pid: u32) -> Option<PathBuf> {
    fs::read_link(process(pid).join("cwd")).ok()
}

/// The numbers of all processes, ascending.
pub(super) fn processes() -> io::Result<Vec<u32>> {
    let mut found: Vec<u32> =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}

/// Whether `pid` is a process that has not ended.
pub(super) fn is_alive(pid: u32) -> bool {
    // "PID (name) S ...": the name may hold anything, the state stands behind its last parenthesis.
    let Ok(stat) = read_bounded(&process(pid).join("stat")) else { return false };
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
    !matches!(state, None | Some(b'Z' | b'X'))
}

/// The connected Unix sockets of this machine, by the path that the listening side gave itself. A path stands here
/// once for each client that was accepted.
pub(super) fn connected_sockets() -> io::Result<Vec<PathBuf>> {
    Ok(parse_connected(&read_bounded(Path::new("/proc/net/unix"))?))
}

pub(super) fn parse_connected(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| {
            // Num RefCount Protocol Flags Type St Inode Path; the path may hold spaces.
            let mut rest = line;
            let mut fields = [&line[..0]; 7];
            for field in &mut fields {
                rest = rest.trim_ascii_start();
                let end = rest.iter().position(|byte| *byte == b' ')?;
                (*field, rest) = rest.split_at(end);
            }
            let path = rest.get(1..).filter(|path| !path.is_empty())?;
            (fields[5] == CONNECTED).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
        })
        .collect()
}

const CONNECTED: &[u8] = b"03";

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PROC_FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn memory_files_of_a_process_are_found_and_opened() {
        let memfd = memfd_create(c"0000:00:01.0/vga.vram", MFdFlags::MFD_CLOEXEC).expect("a memfd");
        let memfd = File::from(memfd);
        memfd.set_len(4096).expect("sized");
        let pid = std::process::id();
        let found = memfds(pid).expect("our own descriptors");
        let path = process(pid).join("fd").join(memfd.as_raw_fd().to_string());
        let found = found.iter().find(|found| found.path == path).expect("found");
        assert_eq!(found.name, "0000:00:01.0/vga.vram");
        assert_eq!(found.open().expect("opened").metadata().expect("metadata").len(), 4096);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let (_read, write) = nix::unistd::pipe().expect("a pipe");
        let path = process(std::process::id()).join("fd").join(write.as_raw_fd().to_string());
        assert!(Memfd { name: String::new(), path }.open().is_err());
    }

    #[test]
    fn processes_have_arguments_and_end() {
        let pid = std::process::id();
        assert!(processes().expect("processes").contains(&pid) && is_alive(pid));
        assert!(!arguments(pid).expect("arguments").is_empty());
        assert!(program(pid).is_some() && folder(pid).is_some());
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let is_over = crate::clock::poll_for(std::time::Duration::from_secs(10), || {
            (!is_alive(child.id())).then_some(())
        });
        assert!(is_over.is_some(), "a process that was not waited for has ended all the same");
        child.wait().expect("waited for");
        assert!(!is_alive(child.id()));
    }

    #[test]
    fn connected_sockets_are_told_from_listening_ones() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 84899 /run/a.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03   912 /run/b c.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 84901\n\
            nonsense\n";
        assert_eq!(parse_connected(table), [PathBuf::from("/run/b c.sock")]);
        assert!(connected_sockets().is_ok());
    }
}
