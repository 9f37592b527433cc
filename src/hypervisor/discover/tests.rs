use super::*;

fn parse(line: &str) -> (Option<String>, Vec<String>) {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let line = CommandLine::parse(&words);
    (line.name, line.monitors.iter().map(|path| path.display().to_string()).collect())
}

#[test]
fn command_lines_are_read() {
    for (line, name, monitors) in [
        ("qemu-system-x86_64", None, &[][..]),
        ("qemu -name vm1 -qmp unix:/run/vm1.qmp,server=on,wait=off", Some("vm1"), &["/run/vm1.qmp"]),
        (
            "qemu -qmp unix:a,server -qmp-pretty unix:b,nowait,server --name x,process=y",
            Some("x"),
            &["a", "b"],
        ),
        ("qemu -name guest=win,debug-threads=on -monitor unix:/m,server", Some("win"), &[]),
        ("qemu -chardev socket,id=m,path=/run/m,server=on -mon chardev=m,mode=control", None, &["/run/m"]),
        ("qemu -mon m,mode=control,pretty=on -chardev socket,path=/run/m,server=on,id=m", None, &["/run/m"]),
        ("qemu -mon chardev=m,mode=readline -chardev socket,path=/run/m,server=on,id=m", None, &[]),
        ("qemu -qmp unix:/a,,b,server=on", None, &["/a,b"]),
        ("qemu -qmp tcp:localhost:4444,server=on -qmp stdio -qmp unix:/c,server=off -qmp unix:/d", None, &[]),
        ("qemu -chardev socket,id=m,host=localhost,port=1,server=on -mon m,mode=control", None, &[]),
        ("qemu -name", None, &[]),
        ("qemu -name ,", None, &[]),
    ] {
        let expected = (name.map(str::to_owned), monitors.iter().map(|path| (*path).to_owned()).collect());
        assert_eq!(parse(line), expected, "{line}");
    }
}

#[test]
fn an_appliance_is_known_by_its_control_channel() {
    let is_appliance = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        CommandLine::parse(&words).is_appliance
    };
    assert!(is_appliance("qemu -device virtserialport,chardev=c,name=lfp.control"));
    assert!(is_appliance("qemu -device {\"driver\":\"virtserialport\",\"name\":\"lfp.control\"}"));
    assert!(!is_appliance("qemu -device virtserialport,chardev=c,name=org.qemu.guest_agent.0"));
    assert!(!is_appliance("qemu -name lfp.control"));
}

#[test]
fn qemu_is_known_by_its_program() {
    let words = |first: &str| vec![first.to_owned()];
    assert!(is_qemu(Some(Path::new("/usr/bin/qemu-system-x86_64")), &words("vm")));
    assert!(is_qemu(Some(Path::new("/usr/libexec/qemu-kvm")), &[]));
    assert!(is_qemu(None, &words("/usr/bin/qemu-system-aarch64")));
    assert!(!is_qemu(Some(Path::new("/usr/bin/bash")), &words("qemu-system-x86_64")));
    assert!(!is_qemu(Some(Path::new("/usr/bin/qemu-img")), &words("qemu-img")));
    assert!(!is_qemu(None, &[]));
}

#[test]
fn the_table_shows_what_is_in_the_way() {
    let guest = DiscoveredGuest {
        pid: 4711,
        name: Some("büro".to_owned()),
        monitors: Vec::new(),
        framebuffers: vec![DiscoveredFramebuffer {
            name: "0000:00:01.0/vga.vram".to_owned(),
            bytes: 16 << 20,
        }],
        source: Some("qemu:/run/a".to_owned()),
        problem: None,
        is_appliance: false,
    };
    let other = DiscoveredGuest {
        pid: 12,
        name: None,
        framebuffers: Vec::new(),
        source: None,
        problem: Some(NO_MONITOR.to_owned()),
        is_appliance: false,
        ..guest.clone()
    };
    let table = table(&[guest.clone(), other]);
    assert_eq!(
        table,
        format!(
            "    PID  NAME      VRAM  SOURCE\n   4711  büro    16 MiB  qemu:/run/a\n     12  -            -  -\n{:25}{NO_MONITOR}\n",
            ""
        )
    );
    assert!(super::table(&[]).contains("no QEMU process"));
    let json = serde_json::to_value(&guest).expect("JSON");
    assert_eq!(json["framebuffers"][0]["bytes"], 16 << 20);
}

#[test]
fn this_host_can_be_looked_at() {
    let guests = discover().expect("/proc");
    assert!(guests.len() <= SOURCES_MAX);
    assert!(guests.iter().all(|guest| guest.source.is_some() || guest.problem.is_some()));
}
