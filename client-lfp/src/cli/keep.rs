//! What the client remembers between runs: its own key, the servers that it knows, the tickets that they gave.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use client_lfp::TicketGiven;
use lfp_proto::identity::{PublicKey, Secret};
use lfp_proto::limits::COOKIE_MAX;

use crate::cli::exit::Failure;

const OWN_KEY: &str = "client.key";
const OWN_KEY_MARK: &str = "lfp-client-key-1 ";
const KNOWN_SERVERS: &str = "known-servers";
const TICKETS: &str = "tickets";
/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Tickets that are kept.
const TICKETS_MAX: usize = 64;

/// The directory of the client's state.
#[derive(Debug)]
pub(crate) struct Keep {
    dir: PathBuf,
}

impl Keep {
    /// The state in `dir`, or where the user's programs keep theirs.
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self, Failure> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => default_dir().ok_or_else(|| {
                Failure::Usage("there is no $HOME to keep keys in: name a directory with --state".into())
            })?,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| Failure::file(&dir, error))?;
        Ok(Self { dir })
    }

    /// The client's own key; made of `random`, if there is none yet.
    pub(crate) fn own_key(&self, random: &Secret) -> Result<Secret, Failure> {
        let path = self.dir.join(OWN_KEY);
        if !path.exists() {
            // The public key's text form is the same: 64 hexadecimal digits.
            let line = format!("{OWN_KEY_MARK}{}\n", PublicKey(*random.bytes()));
            let draft = self.draft(OWN_KEY);
            write_private(&draft, &line)?;
            // Another client may have been first: then its key is this one's too.
            let linked = fs::hard_link(&draft, &path);
            let _ = fs::remove_file(&draft);
            if let Err(error) = linked.or_else(|error| if path.exists() { Ok(()) } else { Err(error) }) {
                return Err(Failure::file(path, error));
            }
        }
        let mode = fs::metadata(&path).map_err(|error| Failure::unread(&path, error))?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Failure::unread(
                path,
                format!("it is open to others (mode {mode:04o}): remove it, and another key is made"),
            ));
        }
        let text = self.read(OWN_KEY)?;
        let key =
            text.strip_prefix(OWN_KEY_MARK).and_then(|digits| digits.trim_end().parse::<PublicKey>().ok());
        let key = key.ok_or_else(|| Failure::unread(path, "it holds no key: remove it, and one is made"))?;
        Ok(Secret::new(key.0))
    }

    /// The file of the servers that are known.
    pub(crate) fn known_servers(&self) -> PathBuf {
        self.dir.join(KNOWN_SERVERS)
    }

    /// The key that `server`, as the user calls it, had the last time.
    pub(crate) fn known(&self, server: &str) -> Result<Option<PublicKey>, Failure> {
        let text = self.read(KNOWN_SERVERS)?;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if words.next() != Some(server) {
                continue;
            }
            let key = words.next().and_then(|key| key.parse().ok());
            return key.map(Some).ok_or_else(|| {
                Failure::unread(self.known_servers(), format!("the line of {server} holds no key: remove it"))
            });
        }
        Ok(None)
    }

    /// Remembers `server` by `key`, in place of any other that it had.
    pub(crate) fn remember(&self, server: &str, key: &PublicKey) -> Result<(), Failure> {
        let line = format!("{server} {key} {}\n", key.fingerprint());
        self.replace(KNOWN_SERVERS, |other| !is_of(other, server), &line)
    }

    /// A ticket that `server`, whose key is `key`, gave and that is good at `now`, in seconds since 1970. It is forgotten: it
    /// is good once.
    pub(crate) fn take_ticket(&self, server: &str, key: &PublicKey, now: u64) -> Option<Vec<u8>> {
        let text = self.read(TICKETS).ok()?;
        let line = text.lines().find(|line| is_of(line, server))?;
        let words: Vec<_> = line.split_whitespace().collect();
        let &[_, of, ends, digits] = &words[..] else { return None };
        self.replace(TICKETS, |other| !is_of(other, server), "").ok()?;
        let fits = of.parse() == Ok(*key) && ends.parse::<u64>().is_ok_and(|ends| now < ends);
        bytes_of(digits).filter(|_| fits)
    }

    /// Keeps a ticket for the next time.
    pub(crate) fn keep_ticket(
        &self,
        server: &str,
        key: &PublicKey,
        given: &TicketGiven,
        now: u64,
    ) -> Result<(), Failure> {
        let ends = now.saturating_add(given.lifetime.as_secs());
        let digits: String = given.ticket.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{server} {key} {ends} {digits}\n");
        let text = self.read(TICKETS)?;
        let spare = text.lines().count().saturating_sub(TICKETS_MAX - 1);
        let mut at = 0;
        // The oldest stand first.
        let stays = |other: &str| {
            at += 1;
            at > spare && !is_of(other, server)
        };
        self.replace(TICKETS, stays, &line)
    }

    /// Writes the lines of a file anew that `stay`, and one more.
    fn replace(&self, name: &str, mut stay: impl FnMut(&str) -> bool, line: &str) -> Result<(), Failure> {
        let old = self.read(name)?;
        let mut text: String = old.lines().filter(|old| stay(old)).map(|old| format!("{old}\n")).collect();
        text.push_str(line);
        let (draft, path) = (self.draft(name), self.dir.join(name));
        write_private(&draft, &text)?;
        fs::rename(&draft, &path).map_err(|error| Failure::file(path, error))
    }

    fn draft(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.{}", std::process::id()))
    }

    /// A whole file; an empty text if there is none.
    fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.dir.join(name);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text)) {
            Ok(_) => Ok(text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(text),
            Err(error) => Err(Failure::unread(path, error)),
        }
    }
}

/// Whether a line is about `server`.
fn is_of(line: &str, server: &str) -> bool {
    line.split_whitespace().next() == Some(server)
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let is_whole = digits.len() % 2 == 0 && (1..=COOKIE_MAX).contains(&(digits.len() / 2));
    if !is_whole || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let options = &mut OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Failure::file(path, error))
}

fn default_dir() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    named("XDG_STATE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".local/state")))
        .map(|dir| dir.join("lfp"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    /// A directory of the test's own, removed when dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("client-lfp-keep-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            Self(dir)
        }

        fn keep(&self) -> Keep {
            Keep::open(Some(&self.0)).expect("a directory")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_client_keeps_its_key_and_refuses_one_that_others_may_read() {
        let place = Place::new("key");
        let first = place.keep().own_key(&Secret::new([1; 32])).expect("a key");
        assert_eq!(place.keep().own_key(&Secret::new([2; 32])).expect("the same key"), first);
        let path = place.0.join(OWN_KEY);
        assert_eq!(
            (mode(&path), mode(&place.0), fs::read_dir(&place.0).expect("it").count()),
            (0o600, 0o700, 1)
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        let failure = place.keep().own_key(&Secret::new([2; 32])).expect_err("it is open");
        assert!(failure.to_string().contains("0640"), "{failure}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::write(&path, "nothing").expect("it is ours");
        assert!(place.keep().own_key(&Secret::new([2; 32])).is_err());
    }

    #[test]
    fn servers_are_known_by_what_the_user_calls_them() {
        let place = Place::new("servers");
        let keep = place.keep();
        let (one, other) = (PublicKey([1; 32]), PublicKey([2; 32]));
        assert_eq!(keep.known("a:1").expect("no file yet"), None);
        keep.remember("a:1", &one).expect("kept");
        keep.remember("b:1", &other).expect("kept");
        assert_eq!(keep.known("a:1").expect("a file"), Some(one));
        assert_eq!(keep.known("a:11").expect("a file"), None);
        keep.remember("a:1", &other).expect("replaced");
        assert_eq!(keep.known("a:1").expect("a file"), Some(other));
        assert_eq!(keep.read(KNOWN_SERVERS).expect("a file").lines().count(), 2);
        fs::write(keep.known_servers(), "a:1 nonsense\n").expect("it is ours");
        assert!(keep.known("a:1").is_err(), "a line that is damaged is no stranger's");
    }

    #[test]
    fn a_ticket_is_taken_once_by_who_has_the_key_in_time() {
        let place = Place::new("tickets");
        let keep = place.keep();
        let (key, other) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let given = TicketGiven { ticket: vec![0xa5; 64], lifetime: Duration::from_secs(100) };
        let put = |name: &str| keep.keep_ticket(name, &key, &given, 1_000).expect("kept");
        put("a:1");
        assert_eq!(keep.take_ticket("b:1", &key, 1_001), None);
        assert_eq!(keep.take_ticket("a:1", &key, 1_099), Some(given.ticket.clone()));
        assert_eq!(keep.take_ticket("a:1", &key, 1_001), None, "it is gone");
        put("a:1");
        assert_eq!(keep.take_ticket("a:1", &key, 1_100), None, "too late");
        put("a:1");
        assert_eq!(keep.take_ticket("a:1", &other, 1_001), None, "another server's");
        (0..TICKETS_MAX + 3).for_each(|at| put(&format!("a:{at}")));
        assert_eq!(keep.read(TICKETS).expect("a file").lines().count(), TICKETS_MAX);
        assert_eq!(mode(&place.0.join(TICKETS)), 0o600);
    }
}
