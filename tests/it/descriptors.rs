//! The files by which other systems take guests and appliance: libvirt's domains against libvirt's own schema, and the
//! description in the OVA.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Bench;

/// Where libvirt's package has its schemas.
const SCHEMAS: &str = "/usr/share/libvirt/schemas";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What `xmllint` says with these words; an error if the file is not what it should be.
fn xmllint(words: &[&str], file: &Path) -> Result<String, String> {
    let output = Command::new("xmllint").args(words).arg(file).output();
    let output = output.expect("xmllint runs: apt-get install libxml2-utils");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The text, or number, that an `XPath` expression gives of a file.
fn xpath(file: &Path, expression: &str) -> String {
    let found =
        xmllint(&["--xpath", expression], file).unwrap_or_else(|error| panic!("{expression}: {error}"));
    found.trim_end().to_owned()
}

#[test]
fn libvirt_takes_the_domains() {
    let schema = format!("{SCHEMAS}/domain.rng");
    assert!(Path::new(&schema).exists(), "{schema} is missing: apt-get install libvirt0");
    let words = ["--noout", "--nonet", "--relaxng", &schema];
    let folder = fs::read_dir(in_repository("appliance/libvirt")).expect("the folder of domains");
    let files: BTreeSet<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    let domains: Vec<_> =
        files.iter().filter(|path| path.extension().is_some_and(|end| end == "xml")).collect();
    assert!(domains.len() >= 2, "{domains:?}");
    for domain in domains {
        if let Err(error) = xmllint(&words, domain) {
            panic!("{error}");
        }
    }
    // The check sees what is wrong.
    let bench = Bench::new();
    let wrong = bench.file("wrong.xml");
    let right = fs::read_to_string(in_repository("appliance/libvirt/server.xml")).expect("a domain");
    fs::write(&wrong, right.replace("<memory unit=\"MiB\">256<", "<memory unit=\"pages\">256<"))
        .expect("written");
    assert!(xmllint(&words, &wrong).is_err());
}

/// `local-name()` of each child of an element, in order.
fn children(file: &Path, element: &str) -> Vec<String> {
    let count: usize = xpath(file, &format!("count({element}/*)")).parse().expect("a number");
    (1..=count).map(|at| xpath(file, &format!("local-name({element}/*[{at}])"))).collect()
}

/// What DMTF's DSP0243 wants of an envelope with one virtual system, as far as programs that read it rely on that. Its
/// schema is not part of Debian.
fn check_description(file: &Path) {
    const OVF: &str = "http://schemas.dmtf.org/ovf/envelope/1";
    assert_eq!(xpath(file, "namespace-uri(/*)"), OVF);
    let parts = children(file, "/*");
    assert_eq!(parts, ["References", "DiskSection", "NetworkSection", "VirtualSystem"]);
    let all = |name: &str| format!("//*[local-name()='{name}']");
    let attribute = |name: &str, attribute: &str| {
        xpath(file, &format!("string({}/@*[local-name()='{attribute}'])", all(name)))
    };
    for (name, wanted) in [("File", "id"), ("File", "href"), ("File", "size"), ("VirtualSystem", "id")] {
        assert!(!attribute(name, wanted).is_empty(), "{name} has no {wanted}");
    }
    assert_eq!(attribute("Disk", "fileRef"), attribute("File", "id"));
    let connected = xpath(file, &format!("string({})", all("Connection")));
    assert_eq!(connected, attribute("Network", "name"));
    let attached = xpath(file, &format!("string({})", all("HostResource")));
    assert_eq!(attached, format!("ovf:/disk/{}", attribute("Disk", "diskId")));
    // Every section begins with what it is for.
    let sections = "//*[substring(local-name(), string-length(local-name()) - 6) = 'Section']";
    let silent = xpath(file, &format!("count({sections}[not(local-name(*[1])='Info')])"));
    assert_eq!(silent, "0", "a section has no Info");
    // Items have their fields in the order of the schema, which is that of the alphabet, each number once, and a parent that is
    // there.
    let items = all("Item");
    let count: usize = xpath(file, &format!("count({items})")).parse().expect("a number");
    assert_eq!(count, 5);
    let mut numbers = BTreeSet::new();
    for at in 1..=count {
        let item = format!("({items})[{at}]");
        let fields = children(file, &item);
        assert!(fields.is_sorted(), "{fields:?}");
        let field = |name: &str| xpath(file, &format!("string({item}/*[local-name()='{name}'])"));
        assert!(!field("ElementName").is_empty() && !field("ResourceType").is_empty(), "{fields:?}");
        let parent = field("Parent");
        assert!(parent.is_empty() || numbers.contains(&parent), "{parent:?}");
        assert!(numbers.insert(field("InstanceID")), "{numbers:?}");
    }
}

#[test]
fn the_appliance_is_described_as_the_standard_has_it() {
    let bench = Bench::new();
    let text = fs::read_to_string(in_repository("appliance/lfp.ovf")).expect("the description");
    let file = bench.file("lfp.ovf");
    let words = [("@DISK@", "d.vmdk"), ("@FILE_SIZE@", "1"), ("@CAPACITY@", "1"), ("@VERSION@", "1")];
    let filled = words.iter().fold(text, |text, (word, value)| text.replace(word, value));
    assert!(!filled.replace("@WORDS@", "").contains('@'), "a word of the description has no value here");
    fs::write(&file, filled).expect("written");
    check_description(&file);
}

/// What `appliance/build` packs: the description first, the manifest, the disk, and each says the truth about the others.
#[test]
fn the_appliance_is_packed_as_it_is_described() {
    let ova = in_repository(".cache/appliance/out/disk.ova");
    if !ova.exists() {
        // The stage of the gate that builds every format looks at it again.
        assert!(std::env::var_os("LFP_APPLIANCE_FORMATS").is_none(), "{} is missing", ova.display());
        println!("the OVA is not built here: `appliance/build --formats ova`, or `scripts/test formats`");
        return;
    }
    let bench = Bench::new();
    let tar = |words: &[&str]| {
        let output = Command::new("tar").args(words).arg("-f").arg(&ova).output().expect("tar runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let list = tar(&["-t"]);
    let names: Vec<&str> = list.lines().collect();
    let folder = bench.path().to_str().expect("UTF-8").to_owned();
    tar(&["-x", "-C", &folder]);
    assert!(names[0].ends_with(".ovf"), "{names:?}: the description comes first");
    let description = bench.file(names[0]);
    check_description(&description);
    let of_file = |attribute: &str| {
        xpath(&description, &format!("string(//*[local-name()='File']/@*[local-name()='{attribute}'])"))
    };
    let disk = bench.file(&of_file("href"));
    assert_eq!(of_file("size"), fs::metadata(&disk).expect("the disk").len().to_string());
    let manifest = names.iter().find(|name| name.ends_with(".mf")).expect("a manifest");
    let manifest = fs::read_to_string(bench.file(manifest)).expect("the manifest");
    let mut said = BTreeSet::new();
    for line in manifest.lines() {
        let (name, digest) = line.split_once(")= ").expect("a line of the manifest");
        let name = name.strip_prefix("SHA256(").expect("a digest by SHA-256");
        let sum = Command::new("sha256sum").arg(bench.file(name)).output().expect("sha256sum runs");
        let sum = String::from_utf8(sum.stdout).expect("UTF-8");
        assert_eq!(sum.split(' ').next(), Some(digest), "{name}");
        said.insert(name);
    }
    let others: BTreeSet<&str> = names.iter().filter(|name| !name.ends_with(".mf")).copied().collect();
    assert_eq!(said, others, "the manifest names every file but itself");
    let info = Command::new("qemu-img").args(["info", "--output=json"]).arg(&disk).output();
    let info: serde_json::Value =
        serde_json::from_slice(&info.expect("qemu-img runs").stdout).expect("what the disk is");
    let capacity = xpath(&description, "string(//*[local-name()='Disk']/@*[local-name()='capacity'])");
    assert_eq!(info["virtual-size"].to_string(), capacity);
    assert_eq!(info["format-specific"]["data"]["create-type"], "streamOptimized");
}
