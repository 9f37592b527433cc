use super::*;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}}"#;

fn hear(conversation: &mut Conversation, bytes: &[u8]) -> Result<Vec<Message>, Nonsense> {
    let mut messages = Vec::new();
    conversation.receive(bytes, |message| messages.push(message))?;
    Ok(messages)
}

#[test]
fn messages_are_found_however_the_bytes_are_cut() {
    let said = format!(
        "{GREETING}\r\n{{\"timestamp\": {{\"seconds\": 1}}, \"event\": \"RESET\", \"data\": {{}}}}\n\r\n\
         {{\"return\": {{\"a\": [1]}}, \"id\": 7}}\n{{\"id\": 8, \"error\": {{\"class\": \"GenericError\", \
         \"desc\": \"VM not running\"}}}}\n"
    );
    let expected = [
        Message::Greeting(Version { major: 10, minor: 0, micro: 2 }),
        Message::Event("RESET".to_owned()),
        Message::Answer(7, Ok(json!({ "a": [1] }))),
        Message::Answer(8, Err("VM not running".to_owned())),
    ];
    for step in [1, 2, 3, 7, 64, said.len()] {
        let mut conversation = Conversation::default();
        let mut messages = Vec::new();
        for bytes in said.as_bytes().chunks(step) {
            messages.extend(hear(&mut conversation, bytes).expect("all is QMP"));
        }
        assert_eq!(messages, expected, "in steps of {step}");
    }
}

#[test]
fn commands_are_numbered_lines() {
    let mut conversation = Conversation::default();
    assert_eq!(
        conversation.command("qmp_capabilities", None),
        (1, b"{\"execute\":\"qmp_capabilities\",\"id\":1}\n".to_vec())
    );
    let (id, line) = conversation.command("x", Some(json!({ "text": "a\nb" })));
    assert_eq!(id, 2);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "a newline in a text is no new line");
}

#[test]
fn nonsense_is_named() {
    for (said, part) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "`SSH-2.0-OpenSSH_9.2`"),
        ("{}\n", "`{}`"),
        ("[1, 2]\n", "not QMP"),
        ("17\n", "not QMP"),
        ("\"event\"\n", "not QMP"),
        ("{\"QMP\": {}}\n", "not QMP"),
        ("{\"QMP\": {\"version\": {\"qemu\": {\"major\": -1}}}}\n", "not QMP"),
        ("{\"return\": {}}\n", "not QMP"),
        ("{\"return\": {}, \"id\": \"x\"}\n", "not QMP"),
        ("{\"error\": 3, \"id\": 1}\n", "not QMP"),
        ("\x1b[2J\x07\n", "`.[2J.`"),
    ] {
        let error = hear(&mut Conversation::default(), said.as_bytes()).expect_err(said).to_string();
        assert!(error.contains(part), "{said:?}: {error}");
    }
}

#[test]
fn bounds_hold() {
    let mut conversation = Conversation::default();
    let piece = vec![b'x'; QMP_LINE_MAX / 2];
    assert_eq!(hear(&mut conversation, &piece), Ok(vec![]));
    assert_eq!(hear(&mut conversation, &piece), Ok(vec![]));
    assert_eq!(hear(&mut conversation, b"x"), Err(Nonsense::Long));

    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(hear(&mut Conversation::default(), deep.as_bytes()), Err(Nonsense::NotQmp(_))));

    let mut conversation = Conversation::default();
    let event = b"{\"event\": \"RTC_CHANGE\"}\n";
    for _ in 0..QMP_EVENTS_MAX {
        assert!(hear(&mut conversation, event).is_ok());
    }
    assert_eq!(hear(&mut conversation, event), Err(Nonsense::Flood));
}

#[test]
fn random_bytes_are_survived() {
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    let sample = format!("{GREETING}\n{{\"return\": {{}}, \"id\": 1}}\n");
    for _ in 0..2_000 {
        let mut bytes = sample.clone().into_bytes();
        for _ in 0..3 {
            let at = usize::from(random()) % bytes.len();
            bytes[at] ^= 1 << (random() % 8);
        }
        let _ = hear(&mut Conversation::default(), &bytes);
    }
}

#[test]
fn what_is_unreachable_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("monitor");
    let said = |path: &Path| unreachable(path, &Monitor::connect(path).expect_err("nobody is there"));
    let (state, text) = said(&path);
    assert!(state == SurfaceState::Gone && text.contains("-qmp unix:"), "{text}");
    std::fs::write(&path, "no socket").expect("a file");
    for other in [folder.path(), &path] {
        let (state, text) = said(other);
        assert!(state == SurfaceState::Faulty && text.starts_with("is no socket: name"), "{text}");
    }
    std::fs::remove_file(&path).expect("it is there");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let (state, text) = said(&path);
    assert!(state == SurfaceState::Gone && text.contains("has ended"), "{text}");
    let (_, text) = said(&folder.path().join("x".repeat(120)));
    assert!(text.contains("107 bytes"), "{text}");
}
