//! What must hold of the house itself: specification and code agree, and so do manifests and dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use client_lfp::machine as client_machine;
use lfp::connection::machine as server_machine;
use lfp_proto::frame::Refusal;
use lfp_proto::limits;
use lfp_proto::record::Context;
use lfp_proto::technique::Technique;
use serde_json::Value;

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
    for (id, rule) in rules.iter().filter(|(id, _)| !quoted.contains(*id)) {
        wrong.push(format!("no code quotes [{id}]: {rule}"));
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
        NOISE_MESSAGE_MAX,
        REKEY_PACKETS,
        REKEY_BYTES,
        DISPLAYS_MAX,
        REFERENCES_MAX,
        CACHE_SLOTS,
        CACHE_SLOT_CELLS,
        ACK_RANGES_MAX,
        ACK_REFUSALS_MAX,
        ACK_LEN_MAX,
        RECORDS_MAX,
        FRAMES_MAX,
        INPUT_PENDING_MAX,
        ECHO_EVENTS_MAX,
        DIGESTS_PENDING_MAX,
        STREAMS_MAX,
        STREAM_WINDOW,
        SEND_WINDOW_MAX,
        LOSS_PACKETS,
        ACK_PACKETS,
        ECN_TOLD_EVERY,
        OFFER_PLOTS_MAX,
        OFFER_PART_PLOTS,
        PARITY_PACKETS_MAX,
        PARITY_KEPT,
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

#[test]
fn the_tables_of_states_are_the_code_s() {
    let specification = specification();
    let stated = |heading| -> BTreeSet<Vec<String>> {
        let rows = table(&specification, heading);
        let set: BTreeSet<_> =
            rows.iter().map(|row| row.iter().map(|text| (*text).to_owned()).collect()).collect();
        assert_eq!(set.len(), rows.len(), "{heading}: a row is there twice");
        set
    };
    let row = |texts: [&str; 4]| texts.map(str::to_owned).to_vec();
    let mut client = BTreeSet::new();
    for phase in client_machine::Phase::ALL {
        for event in client_machine::Event::ALL {
            if let Some((next, deed)) = client_machine::step(phase, event) {
                client.insert(row([phase.name(), event.name(), next.name(), deed.name()]));
            }
        }
    }
    assert_eq!(stated("Client; what stands in no row"), client);
    let mut server = BTreeSet::new();
    for state in server_machine::State::ALL {
        for event in server_machine::Event::ALL {
            if let Some((next, deed)) = server_machine::step(state, event) {
                server.insert(row([state.name(), event.name(), next.name(), deed.name()]));
            }
        }
    }
    assert_eq!(stated("Server, per connection id."), server);
}

#[test]
fn the_table_of_contexts_is_the_code_s() {
    let specification = specification();
    let rows = table(&specification, "| context | name |");
    let stated: Vec<_> = rows.iter().map(|row| (row[0].to_owned(), row[1])).collect();
    let coded: Vec<_> = Context::ALL.iter().map(|one| ((*one as u8).to_string(), one.name())).collect();
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
    // Procedural macros run where the code is built, not where it runs.
    let alone = cargo(&[
        "tree",
        "-p",
        "lfp-proto",
        "-e",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "-f",
        "{p} [{f}]",
    ]);
    for line in alone.lines() {
        let features = line.rsplit_once('[').map(|(_, features)| features).unwrap_or_default();
        // What digest has by default is its own core.
        let is_core = |name| name == "default" && line.starts_with("digest ");
        let std = features
            .trim_end_matches("] (*)")
            .split(',')
            .any(|name| (name == "std" || name == "default") && !is_core(name));
        assert!(!std, "lfp-proto pulls in std: {line}");
    }
    assert!(alone.contains("miniz_oxide") && alone.contains("crc32fast"), "the tree is there:\n{alone}");
    let client = cargo(&[&["tree", "-p", "client-lfp"], &form[..]].concat());
    let proto =
        client.lines().find(|line| line.starts_with("lfp-proto")).expect("the client has the protocol");
    assert!(proto.contains("[]"), "client-lfp enables features of the protocol: {proto}");
}

/// Every file and folder that the code map must name: the top of the tree and of `src`, except manifests, documents
/// and what only hosts other entries.
fn mapped_places() -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    for (folder, skipped) in [("src", &["lib.rs"][..]), ("tests", &["README.md"][..])] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder of the tree") {
            let entry = entry.expect("an entry of the tree");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            // `pixel.rs` beside `pixel/` is one module.
            let is_module_file =
                name.strip_suffix(".rs").is_some_and(|stem| root().join(folder).join(stem).is_dir());
            if skipped.contains(&name.as_str()) || is_module_file {
                continue;
            }
            let slash = if entry.path().is_dir() { "/" } else { "" };
            places.insert(format!("{folder}/{name}{slash}"));
        }
    }
    places.extend(["client-lfp/", "benches/", "scripts/"].map(str::to_owned));
    places
}

#[test]
fn the_code_map_is_the_tree() {
    let document =
        fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md is there");
    let rows = table(&document, "## Code map");
    let named: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let places = mapped_places();
    let missing: Vec<_> = places.difference(&named).collect();
    let gone: Vec<_> = named.difference(&places).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "the map lacks {missing:?} and names {gone:?}, which is not there"
    );
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    const ROOMS: [&str; 2] = ["src/hypervisor/mapping", "src/kernel/dispatch.rs"];
    let mut files = Vec::new();
    for folder in ["src", "client-lfp", "tests", "benches"] {
        sources(&root().join(folder), &mut files);
    }
    for file in files {
        let shown = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let opens = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
        let is_this = shown.ends_with("tests/it/house.rs");
        let is_room = ROOMS.iter().any(|room| shown.starts_with(room));
        assert!(!opens || is_this || is_room, "{shown} opens unsafe code");
    }
}
