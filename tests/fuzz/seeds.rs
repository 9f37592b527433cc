//! What inputs are made from: golden vectors, the corpus, and what no vector holds.

use std::fs;
use std::path::{Path, PathBuf};

use lfp_proto::technique::Technique;
use serde_json::Value;

/// Where a target's seeds come from, beside `corpus/`.
#[derive(Clone, Copy)]
pub(crate) enum Seeds {
    /// The file of golden vectors with this name, without `.json`.
    Golden(&'static str),
    /// A function makes them.
    Made(fn() -> Vec<Vec<u8>>),
}

impl Seeds {
    /// All of target `name`; at least one, empty if need be.
    pub(crate) fn load(self, name: &str) -> Vec<Vec<u8>> {
        let mut seeds = match self {
            Self::Golden(file) => golden(file).iter().map(bytes).collect(),
            Self::Made(make) => make(),
        };
        seeds.extend(corpus(name));
        if seeds.is_empty() {
            seeds.push(Vec::new());
        }
        seeds
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn golden(file: &str) -> Vec<Value> {
    let path = tests().join("data").join(file).with_extension("json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("golden vectors are JSON")
}

fn bytes(entry: &Value) -> Vec<u8> {
    unhex(entry["hex"].as_str().expect("a vector has bytes"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = tests().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| unhex(&text)).collect()
}

/// Whole datagrams and single frames.
pub(crate) fn traffic() -> Vec<Vec<u8>> {
    golden("datagrams").iter().chain(&golden("frames")).map(bytes).collect()
}

/// How many of [`traffic`] are whole datagrams; the rest are frames.
pub(crate) fn datagrams(traffic: &[Vec<u8>]) -> usize {
    let is_whole = |seed: &Vec<u8>| lfp_proto::packet::View::new_checked(seed).is_ok();
    traffic.iter().take_while(|seed| is_whole(seed)).count()
}

/// Payloads behind the three bytes that say technique, width and height.
pub(crate) fn techniques() -> Vec<Vec<u8>> {
    let prefixed = |entry: &Value| {
        let fields = &entry["fields"];
        let is_it = |technique: &Technique| Some(technique.name()) == fields["technique"].as_str();
        let number = Technique::ALL.iter().position(is_it).expect("a technique of this version") as u8;
        let depth = match fields["depth"].as_u64() {
            Some(16) => 1,
            Some(8) => 2,
            _ => 0,
        };
        let number = number + depth * Technique::ALL.len() as u8;
        let side = |name: &str| fields[name].as_u64().expect("a side in pixels") as u8 - 1;
        let mut seed = vec![number, side("width"), side("height")];
        seed.extend(bytes(entry));
        seed
    };
    golden("techniques").iter().map(prefixed).collect()
}

/// Texts as seeds.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What QEMU's monitor says, line by line.
pub(crate) fn monitor() -> Vec<Vec<u8>> {
    texts(&[
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"Debian\"}, \
         \"capabilities\": [\"oob\"]}}\r\n",
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n",
        "{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": 1}\r\n{\"return\": {}, \"id\": 2}\r\n",
        "{\"id\": 8, \"error\": {\"class\": \"GenericError\", \"desc\": \"VM not running\"}}\r\n",
        "{\"return\": \"00000000febf0500: 0xb0c5 0x0500\\r\\n\", \"id\": 3}\r\n\r\n",
    ])
}

/// What the host's side says over a guest port.
pub(crate) fn host() -> Vec<Vec<u8>> {
    texts(&[
        "{\"hello\":{\"version\":1,\"guest\":\"web\",\"input\":true,\"power\":[\"reset\",\"pause\"]}}\n",
        "{\"mode\":{\"pci\":\"0000:00:07.0\",\"vram_bytes\":16777216,\"width\":1280,\"height\":800,\
         \"stride_bytes\":5120,\"offset_bytes\":0,\"format\":\"xrgb8888\"}}\n",
        "{\"mode\":{\"vram_bytes\":8388608,\"width\":800,\"height\":600,\"stride_bytes\":1600,\
         \"offset_bytes\":4096,\"format\":\"rgb565\"}}\n\n",
        "{\"dark\":{\"state\":\"no-framebuffer\",\"text\":\"the guest is in text mode\"}}\n",
        "{\"event\":{\"name\":\"RESET\"}}\n{\"taken\":{\"number\":0}}\n",
        "{\"refused\":{\"number\":3,\"text\":\"no tablet\"}}\n{\"refused\":{\"number\":null,\"text\":\"no\"}}\n",
    ])
}

/// Answers to `query-pci`.
pub(crate) fn pci() -> Vec<Vec<u8>> {
    let device = |class: u32, slot: u32| {
        format!(
            "{{\"bus\": 0, \"slot\": {slot}, \"function\": 0, \"class_info\": {{\"class\": {class}}}, \"regions\": \
             [{{\"bar\": 0, \"type\": \"memory\", \"size\": 16777216, \"address\": 4244635648}}, {{\"bar\": 2, \
             \"type\": \"memory\", \"size\": 4096, \"address\": 4273799168}}]}}"
        )
    };
    let (vga, other) = (device(0x300, 1), device(0x380, 2));
    texts(&[
        &format!("[{{\"bus\": 0, \"devices\": [{other}, {vga}]}}]"),
        &format!(
            "[{{\"bus\": 0, \"devices\": [{{\"class_info\": {{\"class\": 1540}}, \"pci_bridge\": {{\"bus\": {{}}, \
             \"devices\": [{other}]}}}}]}}]"
        ),
    ])
}

/// What the monitor prints of a display's registers, then of its byte order, with a form feed between them.
pub(crate) fn registers() -> Vec<Vec<u8>> {
    let printed = |words: [u16; 11]| {
        let line = |start: usize, words: &[u16]| {
            let values: Vec<String> = words.iter().map(|word| format!("{word:#06x}")).collect();
            format!("{:016x}: {}\r\n", 0xfebf_0500_usize + start * 2, values.join(" "))
        };
        line(0, &words[..8]) + &line(8, &words[8..]) + "\x0c00000000febf0600: 0x00000008 0x1e1e1e1e\r\n"
    };
    [
        [0xb0c5, 1280, 800, 32, 0x41, 0, 1280, 3276, 0, 0, 0x100],
        [0xb0c5, 1024, 768, 24, 0xe1, 0, 1024, 5461, 0, 0, 0x100],
        [0xb0c5, 800, 600, 16, 0x41, 0, 1024, 8192, 16, 600, 0x100],
        [0xb0c4, 640, 480, 15, 0x41, 0, 640, 13107, 0, 0, 0x100],
    ]
    .map(|words| printed(words).into_bytes())
    .to_vec()
}

/// `fb_var_screeninfo` and `fb_fix_screeninfo` of usual modes, as words.
pub(crate) fn devices() -> Vec<Vec<u8>> {
    let device = |words: &[(usize, u32)], line_length: u32| {
        let mut all = [0_u32; 60];
        for &(at, word) in words {
            all[at] = word;
        }
        (all[40 + 6], all[40 + 12]) = (8 << 20, line_length);
        all.iter().flat_map(|word| word.to_ne_bytes()).collect()
    };
    let deep =
        [(0, 1024), (1, 768), (2, 1024), (3, 1536), (6, 32), (8, 16), (9, 8), (11, 8), (12, 8), (15, 8)];
    let high = [(0, 800), (1, 600), (5, 600), (6, 16), (8, 11), (9, 5), (11, 5), (12, 6), (15, 5)];
    vec![device(&deep, 4096), device(&high, 1600)]
}

/// What `/proc/net/unix` says.
pub(crate) fn sockets() -> Vec<Vec<u8>> {
    texts(&["Num       RefCount Protocol Flags    Type St Inode Path\n\
         ffff8880059b1100: 00000003 00000000 00000000 0001 03 16371 /run/vm 1.qmp\n\
         ffff8880059b1540: 00000002 00000000 00010000 0001 01 16370 /run/vm 1.qmp\n\
         ffff8880059b1980: 00000002 00000000 00000000 0002 01 16372\n"])
}

/// Configuration files.
pub(crate) fn configurations() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"listen": "127.0.0.1:5810", "services": [{"name": "a", "source": "synthetic:typing"}]}"#,
        r#"{"listen": "[::1]:5810", "plain": true, "sessions_max": 8, "idle_timeout_s": 30, "services": [
            {"name": "a", "source": "qemu:/run/a.qmp", "rate_hz": 60, "input": "exclusive"},
            {"name": "b", "source": "trace:/t/b.lfptrace?loop=1", "rate_hz": 30, "input": "none"}]}"#,
    ])
}

/// What is said on the control channel.
pub(crate) fn control_channel() -> Vec<Vec<u8>> {
    texts(&[
        "{\"id\":1,\"do\":{\"attach\":{\"service\":\"web\",\"source\":\"synthetic:idle\",\"input\":false}}}\n\
         {\"id\":2,\"do\":{\"status\":{}}}\n{\"id\":3,\"do\":{\"detach\":{\"service\":\"web\"}}}\n",
        "{\"id\":4,\"do\":{\"configure\":{\"config\":{\"plain\":true,\"services\":[{\"name\":\"a\",\"source\":\
         \"synthetic:idle\"}]}}}}\r\n",
        "{\"hello\":{\"version\":1,\"program\":\"lfp-server\",\"error\":\"x\"}}\n{\"done\":{\"id\":1}}\n\
         {\"error\":{\"text\":\"no\"}}\n",
        "{\"status\":{\"id\":2,\"status\":{\"program\":\"p\",\"fingerprint\":\"f\",\"listen\":\"l\",\"sessions\":1,\
         \"memory_bytes\":5,\"services\":[{\"service\":\"web\",\"source\":\"s\",\"state\":\"live\",\"text\":\"t\",\
         \"sessions\":1,\"is_attached\":true}]}}}\n",
    ])
}

/// What is said on a guest port.
pub(crate) fn guest_port() -> Vec<Vec<u8>> {
    texts(&[
        "{\"hello\":{\"version\":1,\"guest\":\"web\",\"input\":true,\"power\":[\"reset\",\"pause\"]}}\n\
         {\"event\":{\"name\":\"RESET\"}}\n{\"taken\":{\"number\":3}}\n",
        "{\"mode\":{\"pci\":\"0000:00:07.0\",\"vram_bytes\":16777216,\"width\":640,\"height\":480,\
         \"stride_bytes\":2560,\"offset_bytes\":0,\"format\":\"xrgb8888\"}}\n\
         {\"dark\":{\"state\":\"gone\",\"text\":\"x\"}}\n{\"refused\":{\"number\":null,\"text\":\"x\"}}\n",
        "{\"hello\":{\"version\":1}}\n{\"watch\":{\"on\":true}}\n{\"power\":{\"action\":\"powerdown\"}}\n",
        "{\"input\":{\"number\":7,\"width\":640,\"height\":480,\"event\":{\"key\":{\"code\":30,\"down\":true}}}}\n\
         {\"input\":{\"number\":8,\"width\":1,\"height\":1,\"event\":{\"button\":{\"button\":2,\"down\":false}}}}\n\
         {\"input\":{\"number\":9,\"width\":1,\"height\":1,\"event\":\"release-all\"}}\n",
    ])
}

/// Names of sources.
pub(crate) fn sources() -> Vec<Vec<u8>> {
    texts(&[
        "qemu:/run/vm1.qmp",
        "trace:/t/x.lfptrace?loop=1",
        "synthetic:typing?seed=7&size=640x480&fps=60",
        "shm:/dev/shm/a:b",
        "fbdev:/dev/fb0",
        "xwd:/tmp/Xvfb_screen0",
        "ivshmem:0000:00:07.0?guest=web",
        "ivshmem:07:00.1?guest=web-1&port=/dev/vport1p2",
        "ivshmem:0000:00:07.0?mode=1280x800:xrgb8888:5120:4096",
    ])
}

/// Links of the emulator.
pub(crate) fn links() -> Vec<Vec<u8>> {
    texts(&[
        "rtt=100ms,loss=3%,rate=20mbit,queue=64k,seed=1",
        "delay=5ms,jitter=2ms,dup=10%,reorder=5%,burst=1%/25%",
    ])
}

/// Chords of keys.
pub(crate) fn chords() -> Vec<Vec<u8>> {
    texts(&["ctrl-alt-delete", "F1", "kp_1", "-", "Ctrl+Shift+T", "shift-meta-1", "a-b-c-d-e-f-g-h"])
}
