//! What the real program says of configurations and words that are wrong.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Bench, lfp_server};

const CASES: [(&str, &str, &str); 10] = [
    ("{", "line 1, column 1: ", "EOF"),
    ("[]", "line 1, column 2: ", "expected an object"),
    ("{\n\"services\": [{\"name\": \"a\\u001b\"}]}", "line 2, column ", "control character"),
    (r#"{"listen": "nowhere", "services": []}"#, "listen", "such as 127.0.0.1:5810"),
    (r#"{"listen": "127.0.0.1:0", "services": []}"#, "services", "1 to"),
    (r#"{"listen": "127.0.0.1:0", "sevices": []}"#, "sevices", "unknown field"),
    (r#"{"listen": "127.0.0.1:0", "services": [{"name": "a"}]}"#, "services[0].source", "missing"),
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

#[test]
fn wrong_words_have_one_exit_code_and_are_told_what_would_be_right() {
    let bench = Bench::new();
    let file = bench.file("file");
    fs::write(&file, "no source of pixels").expect("a file");
    let (file, folder) = (file.to_str().expect("UTF-8"), bench.path().to_str().expect("UTF-8"));
    let serve = ["serve", "--source", "synthetic:idle", "--listen"];
    for (words, code, part) in [
        ([&serve[..], &["127.0.0.1:99999"]].concat(), 2, "such as 127.0.0.1:5810"),
        (vec!["inspect", "synthetic:idle", "--all"], 2, "cannot be used with '--all'"),
        (vec!["inspect"], 2, "SOURCE"),
        (vec!["inspect", "synthetic:idle?size=16384x16384"], 2, "together at most 37748736"),
        (
            vec!["inspect", "--wait", "0.1", &format!("qemu:{file}")],
            3,
            "is no socket: name the one of QEMU's -qmp",
        ),
        (vec!["inspect", "--wait", "0.1", &format!("shm:{file}")], 3, "does not start with LFPSHMFB"),
        (vec!["inspect", "--wait", "0.1", &format!("shm:{folder}")], 3, "is a directory; name the file"),
        (vec!["inspect", "--wait", "0.1", &format!("xwd:{folder}")], 3, "is a directory; name the file"),
        (vec!["inspect", "--wait", "0.1", &format!("trace:{folder}")], 3, "is a directory; name the file"),
        (vec!["inspect", "--wait", "0.1", &format!("fbdev:{file}")], 3, "name one such as /dev/fb0"),
        (vec!["play", "synthetic:idle", "--shm", folder], 1, "name another file"),
        (
            vec!["play", "--once", "--seconds", "0.1", "shm:/absent", "--shm", &format!("{file}.shm")],
            3,
            "/absent",
        ),
        (vec!["--help"], 0, "Exit codes:"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_lfp-server")).args(&words).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
}

#[test]
fn nobody_who_reads_is_no_failure_and_a_full_disk_is_one() {
    let bench = Bench::new();
    let config = bench.file("good.json");
    let good = r#"{"listen": "127.0.0.1:5810", "services": [{"name": "desk", "source": "synthetic:idle?size=64x64"}]}"#;
    fs::write(&config, good).expect("a file");
    let config = config.to_str().expect("UTF-8");
    for words in [["inspect", "synthetic:idle?size=64x64"], ["check-config", config]] {
        let run = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lfp-server"));
            let output = command.args(words).stdout(stdout).stderr(Stdio::piped()).output().expect("it runs");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (reader, writer) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
        drop(reader);
        assert_eq!(run(std::os::fd::OwnedFd::from(writer).into()), (Some(0), String::new()), "{words:?}");
        let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full is there");
        let (code, said) = run(full.into());
        assert!(code == Some(1) && said.contains("could not be printed"), "{words:?}: {said}");
    }
}
