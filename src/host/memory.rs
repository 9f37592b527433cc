//! What outlives the process: which guests were given to which appliances, in a file of its directory. The devices stay in
//! the appliances' QEMU processes, which connect to their ports again by themselves.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::channel::is_guest_name;
use crate::hypervisor::MemoryIdentity;
use crate::limits::{HOST_APPLIANCES_MAX, HOST_MEMORY_BYTES, HOST_PORTS_MAX};

/// An appliance that something was given to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownAppliance {
    /// Its name, which is a part of its ports' paths.
    pub(super) name: String,
    /// Its QMP socket.
    pub(super) qmp: PathBuf,
    /// The host's end of its control channel, if somebody said where.
    pub(super) control: Option<PathBuf>,
    /// What it was given, by name.
    pub(super) guests: Vec<KnownGuest>,
}

/// A guest that an appliance was given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownGuest {
    /// Its name.
    pub(super) guest: String,
    /// The name that clients ask for.
    pub(super) service: String,
    /// Whether clients may type.
    pub(super) input: bool,
    /// The bus for its memory, if somebody named one.
    pub(super) bus: Option<String>,
    /// The file that the appliance has as its memory, if it has one.
    pub(super) memory: Option<MemoryIdentity>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    appliances: Vec<KnownAppliance>,
}

const VERSION: u32 = 1;

/// The file at `path`, which nobody else writes.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    written: Vec<KnownAppliance>,
    failing: bool,
}

impl Memory {
    /// Reads what an earlier process has left. What is no such file is set aside, with a line in the log that names it.
    ///
    /// # Errors
    /// If what is there can be neither read nor set aside.
    pub(super) fn read(path: PathBuf) -> io::Result<Self> {
        let (written, wrong) = match text_of(&path) {
            Ok(text) => match parse(&text) {
                Ok(appliances) => (appliances, None),
                Err(wrong) => (Vec::new(), Some(wrong)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), None),
            Err(error) if error.kind() == ErrorKind::InvalidData => (Vec::new(), Some(error.to_string())),
            Err(error) => return Err(error),
        };
        if let Some(wrong) = wrong {
            let aside = beside(&path, ".wrong");
            fs::rename(&path, &aside)?;
            let (file, aside) = (path.display(), aside.display());
            tracing::error!(%file, %aside, "what was attached is forgotten, and the file set aside: {wrong}");
        }
        Ok(Self { path, written, failing: false })
    }

    /// What stands in the file.
    pub(super) fn known(&self) -> &[KnownAppliance] {
        &self.written
    }

    /// Makes the file say this, all of it or nothing. What cannot be written is tried again with the next change.
    pub(super) fn write(&mut self, appliances: Vec<KnownAppliance>) {
        if appliances == self.written && !self.failing {
            return;
        }
        let content = Content { version: VERSION, appliances };
        let outcome = replace(&self.path, &content);
        if let (Err(error), false) = (&outcome, self.failing) {
            let file = self.path.display();
            tracing::error!(%file, "what is attached will be forgotten when this process ends: {error}");
        }
        self.failing = outcome.is_err();
        self.written = content.appliances;
    }
}

/// What the file says, as far as one of ours is long.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(HOST_MEMORY_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// What `text` says, or what is wrong with it.
fn parse(text: &str) -> Result<Vec<KnownAppliance>, String> {
    if text.len() as u64 > HOST_MEMORY_BYTES {
        return Err(format!("it has more than {HOST_MEMORY_BYTES} bytes"));
    }
    let content: Content = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if content.version != VERSION {
        return Err(format!("it is of version {}, and this is {VERSION}", content.version));
    }
    let (mut names, mut monitors, mut ports) = (BTreeSet::new(), BTreeSet::new(), 0);
    for appliance in &content.appliances {
        let guests: BTreeSet<&String> = appliance.guests.iter().map(|known| &known.guest).collect();
        let all = guests.iter().copied().chain([&appliance.name]);
        // They become paths.
        if let Some(name) = all.into_iter().find(|name| !is_guest_name(name)) {
            return Err(super::config::bad_name(name));
        }
        let is_new = names.insert(&appliance.name) && monitors.insert(&appliance.qmp);
        if !is_new || guests.len() < appliance.guests.len() {
            return Err(format!("it says of {:?} the same twice", appliance.name));
        }
        ports += guests.len();
    }
    if names.len() > HOST_APPLIANCES_MAX || ports > HOST_PORTS_MAX {
        return Err(format!("it has {} appliances with {ports} guests", names.len()));
    }
    Ok(content.appliances)
}

fn replace(path: &Path, content: &Content) -> io::Result<()> {
    let text = serde_json::to_vec(content)?;
    if text.len() as u64 > HOST_MEMORY_BYTES {
        return Err(io::Error::other(format!("it would have more than {HOST_MEMORY_BYTES} bytes")));
    }
    let new = beside(path, ".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.write_all(b"\n")?;
    // A file whose name is on the disk before its content would be an empty one.
    file.sync_all()?;
    fs::rename(&new, path)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, guests: &[&str]) -> KnownAppliance {
        let guest = |guest: &&str| KnownGuest {
            guest: (*guest).to_owned(),
            service: "desk".to_owned(),
            input: true,
            bus: None,
            memory: Some((7, 9)),
        };
        let guests = guests.iter().map(guest).collect();
        KnownAppliance { name: name.to_owned(), qmp: format!("/run/{name}").into(), control: None, guests }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("attached.json");
        let mut memory = Memory::read(path.clone()).expect("nothing is there");
        assert!(memory.known().is_empty());
        let all = vec![known("svm", &["web", "db"]), known("other", &["web"])];
        memory.write(all.clone());
        assert_eq!(Memory::read(path.clone()).expect("read").known(), all);
        // What cannot be written now is when something changes.
        fs::create_dir(beside(&path, ".new")).expect("in the way");
        memory.write(Vec::new());
        assert_eq!(Memory::read(path.clone()).expect("read").known(), all);
        fs::remove_dir(beside(&path, ".new")).expect("out of the way");
        memory.write(Vec::new());
        assert!(Memory::read(path).expect("read").known().is_empty());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_wrong_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("attached.json");
        let say = |appliances: Vec<KnownAppliance>| {
            serde_json::to_vec(&Content { version: VERSION, appliances }).expect("JSON")
        };
        let many = (0..=HOST_APPLIANCES_MAX).map(|number| known(&format!("svm{number}"), &[])).collect();
        let same = KnownAppliance { name: "another".to_owned(), ..known("svm", &[]) };
        let wrong = [
            b"{\"version\":1,\"appli".to_vec(),
            vec![0xff; 40],
            br#"{"version":2,"appliances":[]}"#.to_vec(),
            vec![b' '; 2 << 20],
            say(vec![known("../svm", &[])]),
            say(vec![known("svm", &["a/b"])]),
            say(vec![known("svm", &["web", "web"])]),
            say(vec![known("svm", &[]), known("svm", &[])]),
            say(vec![known("svm", &[]), same]),
            say(many),
        ];
        for text in wrong {
            fs::write(&path, &text).expect("written");
            let memory = Memory::read(path.clone()).expect("it begins anew");
            assert!(memory.known().is_empty(), "{}", String::from_utf8_lossy(&text));
            assert!(!path.exists());
            assert_eq!(fs::read(beside(&path, ".wrong")).expect("kept"), text);
        }
    }
}
