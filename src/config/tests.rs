//! What configurations say, and what is wrong with them.

use super::*;

const MINIMAL: &str =
    r#"{"listen": "127.0.0.1:5810", "services": [{"name": "a", "source": "synthetic:typing"}]}"#;

#[test]
fn defaults_stand_where_nothing_is_said() {
    let config = Config::parse(MINIMAL).unwrap();
    assert!(!config.plain);
    assert_eq!((config.sessions_max, config.sockets), (64, None));
    assert_eq!(config.idle_timeout(), IDLE_TIMEOUT);
    assert_eq!(config.services[0].rate_hz, 60);
    assert_eq!(config.services[0].input, InputPolicy::Exclusive);
    assert_eq!(config.services[0].scan, Strategy::Auto);
}

#[test]
fn an_error_names_the_field_and_what_is_wrong() {
    let service = |rest: &str| {
        format!(
            r#"{{"listen": "127.0.0.1:1", "services": [{{"name": "a", "source": "synthetic:idle"}}, {rest}]}}"#
        )
    };
    let long = format!(r#"{{"name": "{}", "source": "synthetic:idle"}}"#, "x".repeat(65));
    for (text, has_place, field, part) in [
        ("{", true, "", "EOF while parsing an object"),
        ("[]", true, "", "expected an object"),
        ("3", true, "", "expected an object"),
        ("{\n  \"listen\": 5810\n}", true, "listen", "invalid type: integer `5810`"),
        (r#"{"listen": "nowhere", "services": []}"#, true, "listen", "such as 127.0.0.1:5810"),
        (
            r#"{"listen": "127.0.0.1:1", "sockets": 0, "services": []}"#,
            true,
            "sockets",
            "1 to 16 are allowed",
        ),
        (r#"{"listen": "127.0.0.1:1"}"#, true, "services", "missing field `services`"),
        (r#"{"listen": "127.0.0.1:1", "services": []}"#, false, "services", "1 to 256"),
        (
            r#"{"services": [{"name": "a", "source": "synthetic:idle"}]}"#,
            false,
            "listen",
            "missing field `listen`",
        ),
        (r#"{"listen": "127.0.0.1:1", "servics": []}"#, true, "servics", "unknown field"),
        (r#"{"listen": "127.0.0.1:1", "services": [[]]}"#, true, "services[0]", "an object"),
        (&service(r#"{"name": "b"}"#), true, "services[1].source", "missing field `source`"),
        (&service(r#"{"name": "b", "source": "#), true, "services[1].source", "expected"),
        (&service(r#"{"name": "b", "source": "quemu:/x"}"#), true, "services[1].source", "quemu"),
        (&service(r#"{"name": "b", "source": ["shm:/x", "shn:/y"]}"#), true, "services[1].source", "shn"),
        (&service(r#"{"name": "b", "source": []}"#), true, "services[1].source", "1 to 8"),
        (&service(r#"{"name": "a", "source": "synthetic:idle"}"#), false, "services[1].name", "services[0]"),
        (&service(r#"{"name": "", "source": "synthetic:idle"}"#), true, "services[1].name", "1 to 64 bytes"),
        (&service(&long), true, "services[1].name", "and has 65"),
        (
            &service(r#"{"name": "a\nb", "source": "synthetic:idle"}"#),
            true,
            "services[1].name",
            r"control character such as '\n'",
        ),
        (
            &service(r#"{"name": "b", "source": "synthetic:idle", "rate_hz": 0}"#),
            true,
            "services[1].rate_hz",
            "1 to 240",
        ),
        (
            &service(r#"{"name": "b", "source": "synthetic:idle", "rate_hz": -1}"#),
            true,
            "services[1].rate_hz",
            "is -1; whole numbers from 1 to 240 are allowed",
        ),
        (
            &service(r#"{"name": "b", "source": "synthetic:idle", "scan": 3}"#),
            true,
            "services[1].scan",
            r#"is 3; "auto", "sweep" and "probe" are allowed"#,
        ),
        (
            &service(r#"{"name": "b", "source": "synthetic:idle", "scan": "seldom"}"#),
            true,
            "services[1].scan",
            r#"is "seldom"; "auto", "sweep" and "probe" are allowed"#,
        ),
        (
            &service(r#"{"name": "b", "source": "synthetic:idle", "input": "all"}"#),
            true,
            "services[1].input",
            "exclusive",
        ),
        (&format!("{MINIMAL} x"), true, "", "trailing characters"),
    ] {
        let fault = Config::parse(text).unwrap_err();
        assert_eq!(
            (fault.place.is_some(), fault.field.as_str()),
            (has_place, field),
            "{text}: {}",
            fault.text
        );
        assert!(fault.text.contains(part), "{text}: {:?} does not say {part:?}", fault.text);
    }
    let fault = Config::parse("{\n  \"listen\": 5810\n}").unwrap_err();
    assert_eq!(fault.place.map(|(line, _)| line), Some(2));
    let (file, place) = (PathBuf::from("x.json"), Some((2, 3)));
    let fault = Fault { place, field: "services[0].name".to_owned(), text: "is wrong".to_owned() };
    let shown = ConfigError { file, fault }.to_string();
    assert_eq!(shown, "x.json: line 2, column 3: services[0].name: is wrong");
}

#[test]
fn a_service_may_have_several_sources() {
    let text = MINIMAL.replace(r#""synthetic:typing""#, r#"["synthetic:typing", "shm:/x"]"#);
    let sources: Vec<_> =
        Config::parse(&text).unwrap().services[0].sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["synthetic:typing?seed=1&size=1280x800&fps=30", "shm:/x"]);
}

#[test]
fn where_a_control_channel_says_the_rest_less_has_to_be_said() {
    let of = |value| Config::of_value(value, Use::Controlled);
    let config = of(serde_json::json!({"services": []})).unwrap();
    assert_eq!((config.listen, config.sources()), (None, 0));
    assert_eq!(Config::nothing(), config);
    let fault = of(serde_json::json!({"services": [{"name": "a", "source": "vnc:x"}]})).unwrap_err();
    assert_eq!((fault.place, fault.field.as_str()), (None, "services[0].source"));
    assert!(fault.to_string().starts_with("services[0].source: `vnc:x` names no source"), "{fault}");
    assert!(of(serde_json::json!({"sockets": 99, "services": []})).is_err());
}
