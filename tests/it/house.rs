//! What must hold of the house itself: specification and code agree, and so do manifests and dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lfp_proto::frame::Refusal;
use lfp_proto::limits;
use lfp_proto::technique::Technique;
use serde_json::Value;

/// Rules whose code is not there yet, with the place that will quote them. A rule that is quoted by now may not
/// stand here; once the list is empty, it goes.
const AWAITED: &[(&str, &str)] = &[
    ("LFP-3.2", "src/config or src/main.rs, and client-lfp/src/main.rs: --plain"),
    ("LFP-4.3", "src/server or src/connection: handshake"),
    ("LFP-4.4", "src/server or src/connection: cookie"),
    ("LFP-4.5", "src/server or src/connection: handshake"),
    ("LFP-4.7", "src/server or src/session: packet builder"),
    ("LFP-4.9", "src/server or src/connection: address of a session"),
    ("LFP-6.2", "src/session: packing of records"),
    ("LFP-7.4", "src/session: packing of records"),
    ("LFP-9.9", "src/session: ack"),
    ("LFP-10.1", "src/session: what a packet carried"),
    ("LFP-10.2", "src/session: lost and refused"),
    ("LFP-10.3", "src/session: new epoch"),
    ("LFP-10.5", "src/proto/window: rate"),
    ("LFP-11.1", "src/session: digests"),
    ("LFP-11.2", "src/session: digests"),
    ("LFP-11.3", "src/session: digests"),
    ("LFP-12.2", "src/session: input"),
    ("LFP-12.3", "client-lfp/src: input"),
    ("LFP-12.6", "src/session: held keys and buttons"),
    ("LFP-12.8", "src/server: input by several sessions"),
    ("LFP-13.1", "src/session: marks"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn specification() -> String {
    fs::read_to_string(root().join("src/proto/SPEC.md")).expect("src/proto/SPEC.md is there")
}

/// Each rule's id with its text in one line, and what is wrong with the document.
fn rules(specification: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut rules, mut wrong) = (BTreeMap::<String, String>::new(), Vec::new());
    let mut section = "";
    let mut open: Option<String> = None;
    for (at, line) in specification.lines().enumerate() {
        let at = at + 1;
        if let Some(title) = line.strip_prefix("## ") {
            section = title.split('.').next().unwrap_or_default();
        }
        if let Some((id, text)) = line.strip_prefix("- [").and_then(|rest| rest.split_once("] ")) {
            let parts: Vec<_> = id.strip_prefix("LFP-").unwrap_or_default().split('.').collect();
            if parts.len() != 2 || parts[0] != section {
                wrong.push(format!("SPEC.md:{at}: [{id}] does not stand in its section"));
            }
            if rules.insert(id.to_owned(), text.to_owned()).is_some() {
                wrong.push(format!("SPEC.md:{at}: [{id}] is there twice"));
            }
            open = Some(id.to_owned());
        } else if let (Some(id), Some(text)) = (&open, line.strip_prefix("  ")) {
            let rule = rules.entry(id.clone()).or_default();
            rule.push(' ');
            rule.push_str(text);
        } else {
            open = None;
            if line.contains("MUST") && !section.is_empty() {
                wrong.push(format!("SPEC.md:{at}: a MUST without an id"));
            }
        }
    }
    for (id, text) in &rules {
        if !text.contains("MUST") {
            wrong.push(format!("SPEC.md: [{id}] has an id and no MUST"));
        }
    }
    (rules, wrong)
}

/// Every `.rs` file of the product: not its tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder's entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "tests" && name != "target" {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn every_must_is_quoted_by_the_code_that_meets_it() {
    let (rules, mut wrong) = rules(&specification());
    assert!(rules.len() > 50, "only {} rules found: has the document's form changed?", rules.len());
    let mut files = Vec::new();
    for folder in ["src", "client-lfp/src"] {
        sources(&root().join(folder), &mut files);
    }
    let mut quoted = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let shown = file.strip_prefix(root()).unwrap_or(&file).display();
        for (at, line) in text.lines().enumerate() {
            let Some((_, rest)) = line.split_once("// SPEC [") else { continue };
            let place = format!("{shown}:{}", at + 1);
            let Some((id, quote)) = rest.split_once("]: ") else {
                wrong.push(format!("{place}: a quotation reads `// SPEC [LFP-x.y]: words of the rule`"));
                continue;
            };
            match rules.get(id) {
                None => wrong.push(format!("{place}: SPEC.md has no rule [{id}]")),
                Some(rule) if !rule.contains(quote.trim()) => {
                    wrong.push(format!("{place}: [{id}] does not say \"{}\" but \"{rule}\"", quote.trim()));
                }
                Some(_) => {}
            }
            quoted.insert(id.to_owned());
        }
    }
    for (id, rule) in &rules {
        match (quoted.contains(id), AWAITED.iter().find(|(awaited, _)| awaited == id)) {
            (false, None) => wrong.push(format!("no code quotes [{id}]: {rule}")),
            (true, Some(_)) => wrong.push(format!("[{id}] is quoted by now: take it off AWAITED")),
            _ => {}
        }
    }
    for (id, _) in AWAITED {
        if !rules.contains_key(*id) {
            wrong.push(format!("AWAITED names [{id}], which SPEC.md does not have"));
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows of the table that follows the line which begins with `heading`, cell by cell.
fn table<'a>(specification: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = specification.lines().skip_while(|line| !line.starts_with(heading));
    let rows = lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_table_of_limits_is_the_code_s() {
    macro_rules! named {
        ($($name:ident),* $(,)?) => { [$((concat!("`", stringify!($name), "`"), u64::try_from(limits::$name).unwrap_or(0))),*] };
    }
    let constants = BTreeMap::from(named!(
        CELL,
        SURFACE_SIDE_MAX,
        SURFACE_PIXELS_MAX,
        RECORD_CELLS_MAX,
        SURFACES_MAX,
        DATAGRAM_MIN,
        DATAGRAM_MAX,
        TRAILER_RESERVED,
        NAME_MAX,
        TEXT_MAX,
        COOKIE_MAX,
        DISPLAYS_MAX,
        REFERENCES_MAX,
        ACK_RANGES_MAX,
        ACK_REFUSALS_MAX,
        ACK_LEN_MAX,
        RECORDS_MAX,
        FRAMES_MAX,
        INPUT_PENDING_MAX,
        DIGESTS_PENDING_MAX,
        SEND_WINDOW_MAX,
        LOSS_PACKETS,
        ACK_PACKETS,
    ));
    let specification = specification();
    let stated: BTreeMap<_, _> = table(&specification, "## 15.")
        .into_iter()
        .map(|row| (row[0], row[1].replace(',', "").parse().expect("a limit is a number")))
        .collect();
    assert_eq!(stated, constants);
}

#[test]
fn the_tables_of_techniques_and_reasons_are_the_code_s() {
    let specification = specification();
    let techniques = table(&specification, "## 16.");
    for technique in Technique::ALL {
        let number = (technique as u8).to_string();
        let row = techniques.iter().find(|row| row[0] == number).expect("each technique has its row");
        assert_eq!(row[1], technique.name());
        assert_ne!(row[2], "reserved", "{}", row[1]);
    }
    let known = techniques.iter().filter(|row| !["reserved", "free"].contains(&row[2])).count();
    assert_eq!(known, Technique::ALL.len());
    let reasons = table(&specification, "A client refuses a record for the first reason");
    let stated: Vec<_> = reasons.iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    let coded: Vec<_> =
        Refusal::ALL.iter().map(|reason| format!("{reason:?} {}", *reason as u8).to_lowercase()).collect();
    assert_eq!(stated, coded);
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {} failed: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// `1.85` or `1.85.0` as numbers that compare.
fn version(text: &str) -> Vec<u64> {
    let mut parts: Vec<_> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    parts.resize(3, 0);
    parts
}

#[test]
fn the_stated_rust_version_is_enough_for_every_dependency() {
    let json = cargo(&["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Value = serde_json::from_str(&json).expect("cargo metadata prints JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let resolved: BTreeSet<_> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| node["id"].to_string()).collect();
    let stated = list(&metadata["packages"])
        .iter()
        .find(|package| package["name"] == "lfp")
        .and_then(|package| package["rust_version"].as_str().map(version))
        .expect("the root package states a rust-version");
    let too_new: Vec<_> = list(&metadata["packages"])
        .iter()
        .filter(|package| resolved.contains(&package["id"].to_string()))
        .filter(|package| package["rust_version"].as_str().is_some_and(|needed| version(needed) > stated))
        .map(|package| {
            format!("{} {} needs {}", package["name"], package["version"], package["rust_version"])
        })
        .collect();
    assert!(too_new.is_empty(), "rust-version {stated:?} is too low: {}", too_new.join(", "));
}

#[test]
fn the_protocol_needs_no_std_and_the_client_no_encoders() {
    let form = ["-e", "normal", "--prefix", "none", "-f", "{p} [{f}]"];
    let alone = cargo(&[&["tree", "-p", "lfp-proto"], &form[..]].concat());
    for line in alone.lines() {
        let features = line.rsplit_once('[').map(|(_, features)| features).unwrap_or_default();
        let std =
            features.trim_end_matches("] (*)").split(',').any(|name| name == "std" || name == "default");
        assert!(!std, "lfp-proto pulls in std: {line}");
    }
    assert!(alone.contains("miniz_oxide") && alone.contains("crc32fast"), "the tree is there:\n{alone}");
    let client = cargo(&[&["tree", "-p", "client-lfp"], &form[..]].concat());
    let proto =
        client.lines().find(|line| line.starts_with("lfp-proto")).expect("the client has the protocol");
    assert!(proto.contains("[]"), "client-lfp enables features of the protocol: {proto}");
}
