//! What the real program says of configurations and words that are wrong.

use std::fs;

use crate::harness::{Bench, lfp_server};

const CASES: [(&str, &str, &str); 8] = [
    ("{", "", "EOF"),
    (r#"{"listen": "nowhere", "services": []}"#, "listen", "socket address"),
    (r#"{"listen": "127.0.0.1:0", "services": []}"#, "services", "1 to"),
    (r#"{"listen": "127.0.0.1:0", "sevices": []}"#, "sevices", "unknown field"),
    (r#"{"listen": "127.0.0.1:0", "services": [{"name": "a"}]}"#, "services[0]", "source"),
    (
        r#"{"listen": "127.0.0.1:0", "services": [{"name": "a", "source": "vnc:somewhere"}]}"#,
        "services[0].source",
        "qemu:",
    ),
    (
        r#"{"listen": "127.0.0.1:0", "services": [{"name": "a", "source": "synthetic:idle", "rate_hz": 0}]}"#,
        "services[0].rate_hz",
        "1 to",
    ),
    (
        r#"{"listen": "127.0.0.1:0", "services": [{"name": "a", "source": "synthetic:idle"}, {"name": "a", "source": "synthetic:idle"}]}"#,
        "services[1].name",
        "already",
    ),
];

#[test]
fn a_wrong_configuration_names_the_file_the_field_and_the_fault() {
    let bench = Bench::new();
    let file = bench.file("wrong.json");
    let name = file.to_str().expect("UTF-8");
    for (text, field, fault) in CASES {
        fs::write(&file, text).expect("a file");
        for words in [["check-config", name].as_slice(), &["serve", "--config", name]] {
            let (good, _, said) = lfp_server(&bench, words);
            assert!(!good, "{words:?} took {text}");
            assert!(said.contains(name) && said.contains(field) && said.contains(fault), "{text}: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
    let (good, _, said) = lfp_server(&bench, &["check-config", "/absent/file.json"]);
    assert!(!good && said.contains("/absent/file.json"), "{said}");
}

#[test]
fn a_good_configuration_is_called_good() {
    let bench = Bench::new();
    let file = bench.file("good.json");
    fs::write(
        &file,
        r#"{"listen": "127.0.0.1:5810", "plain": true, "services": [
            {"name": "desk", "source": "synthetic:mixed?seed=3&size=800x600", "rate_hz": 30, "input": "none"},
            {"name": "guest", "source": "qemu:/run/guest.qmp"}]}"#,
    )
    .expect("a file");
    let (good, out, said) = lfp_server(&bench, &["check-config", file.to_str().expect("UTF-8")]);
    assert!(good, "{said}");
    assert!(out.contains("desk") && out.contains("guest"), "{out}");
}
