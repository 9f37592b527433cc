use serde_json::json;

use super::*;

const MIB16: u64 = 16 * 1024 * 1024;

/// As `xp /11hx` prints them: id, xres, yres, bpp, enable, bank, virtual width and height, offsets, memory.
fn printed(words: [u16; 11]) -> String {
    let line = |start: usize, words: &[u16]| {
        let values: Vec<String> = words.iter().map(|word| format!("{word:#06x}")).collect();
        format!("{:016x}: {}\r\n", 0xfebf_0500_usize + start * 2, values.join(" "))
    };
    line(0, &words[..8]) + &line(8, &words[8..])
}

fn surface(words: [u16; 11], device: Device) -> Result<Surface, NoMode> {
    Registers::parse(&printed(words))?.surface(device, false, MIB16)
}

#[test]
fn usual_modes_are_read() {
    let size = |width, height| Size { width, height };
    for (words, expected) in [
        // bochs-drm.
        (
            [0xb0c5, 1280, 800, 32, 0x41, 0, 1280, 3276, 0, 0, 0x100],
            Surface {
                size: size(1280, 800),
                stride_bytes: 5120,
                format: PixelFormat::Xrgb8888,
                offset_bytes: 0,
            },
        ),
        // vesafb with vga=0x318.
        (
            [0xb0c5, 1024, 768, 24, 0xe1, 0, 1024, 5461, 0, 0, 0x100],
            Surface {
                size: size(1024, 768),
                stride_bytes: 3072,
                format: PixelFormat::Rgb888,
                offset_bytes: 0,
            },
        ),
        // The second page of two, in a wider virtual screen.
        (
            [0xb0c5, 800, 600, 16, 0x41, 0, 1024, 8192, 16, 600, 0x100],
            Surface {
                size: size(800, 600),
                stride_bytes: 2048,
                format: PixelFormat::Rgb565,
                offset_bytes: 600 * 2048 + 32,
            },
        ),
        (
            [0xb0c4, 640, 480, 15, 0x41, 0, 640, 13107, 0, 0, 0x100],
            Surface {
                size: size(640, 480),
                stride_bytes: 1280,
                format: PixelFormat::Xrgb1555,
                offset_bytes: 0,
            },
        ),
    ] {
        assert_eq!(surface(words, Device::Vga), Ok(expected));
    }
}

#[test]
fn vga_starts_at_words_and_bochs_at_pixels() {
    let words = [0xb0c5, 640, 480, 24, 0x41, 0, 648, 0, 3, 1, 0x100];
    assert_eq!(surface(words, Device::Vga).map(|surface| surface.offset_bytes), Ok((648 * 3 + 9) & !3));
    let words = [0xb0c5, 640, 480, 16, 0x41, 0, 648, 0, 3, 0, 0x100];
    assert_eq!(surface(words, Device::Bochs).map(|surface| surface.offset_bytes), Ok(6));
    assert_eq!(
        surface([0xb0c5, 640, 480, 24, 0x41, 0, 640, 0, 0, 0, 0], Device::Bochs),
        Err(NoMode::Depth(24))
    );
}

#[test]
fn byte_order_is_followed() {
    assert!(!parse_order("00000000febf0600: 0x00000008 0x1e1e1e1e\r\n"));
    assert!(parse_order("00000000febf0600: 0x00000008 0xbebebebe\r\n"));
    assert!(!parse_order("00000000febf0600: Cannot access memory\r\n"));
    let registers =
        Registers::parse(&printed([0xb0c5, 64, 64, 32, 0x41, 0, 64, 0, 0, 0, 0])).expect("registers");
    let format = registers.surface(Device::Bochs, true, MIB16).map(|surface| surface.format);
    assert_eq!(format, Ok(PixelFormat::Xrgb8888Be));
}

#[test]
fn what_is_no_linear_mode_is_named() {
    for (words, expected) in [
        ([0xb0c5, 1024, 768, 32, 0, 0, 0, 0, 0, 0, 0], NoMode::Legacy),
        ([0xb0c5, 0, 0, 0, 0x41, 0, 0, 0, 0, 0, 0], NoMode::Legacy),
        ([0xb0c5, 2560, 1600, 32, 0x43, 0, 0, 0, 0, 0, 0], NoMode::Transient),
        ([0xb0c5, 640, 480, 8, 0x41, 0, 640, 0, 0, 0, 0], NoMode::Palette(8)),
        ([0xb0c5, 800, 600, 4, 0x41, 0, 800, 0, 0, 0, 0], NoMode::Palette(4)),
        ([0xb0c5, 800, 600, 33, 0x41, 0, 800, 0, 0, 0, 0], NoMode::Depth(33)),
        ([0xb0c5, 16_385, 1, 32, 0x41, 0, 800, 0, 0, 0, 0], NoMode::Size(16_385, 1)),
        ([0xb0c5, 16_000, 12_000, 15, 0x41, 0, 0, 0, 0, 0, 0], NoMode::Size(16_000, 12_000)),
        ([0xffff; 11], NoMode::NotDispi),
        ([0; 11], NoMode::NotDispi),
    ] {
        assert_eq!(surface(words, Device::Vga), Err(expected), "{words:?}");
    }
    let text_mode = [0xb0c5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
    assert_eq!(surface(text_mode, Device::VirtioVga), Err(NoMode::TakenOver));
    for reason in [NoMode::Legacy, NoMode::TakenOver, NoMode::NotDispi, NoMode::Palette(8)] {
        assert!(reason.to_string().len() <= crate::limits::TEXT_MAX, "{reason}");
    }
    let lie = [0xb0c5, 1920, 1080, 32, 0x41, 0, u16::MAX, 0, u16::MAX, u16::MAX, 0];
    assert!(matches!(surface(lie, Device::Vga), Err(NoMode::Beyond { .. })));
    let just = [0xb0c5, 2048, 2048, 32, 0x41, 0, 2048, 0, 0, 0, 0];
    assert!(surface(just, Device::Bochs).is_ok());
    let over = [0xb0c5, 2048, 2048, 32, 0x41, 0, 2048, 0, 1, 0, 0];
    assert_eq!(surface(over, Device::Bochs), Err(NoMode::Beyond { end: MIB16 + 4, bytes: MIB16 }));
}

#[test]
fn whatever_is_printed_is_survived() {
    for text in [
        "",
        "\r\n",
        ":",
        "0000fffffffff000: Cannot access memory\r\n",
        "unknown command: 'xp'\r\n",
        "0: 0x10000 0 0 0 0 0 0 0 0 0 0",
        "0: 0xb0c5 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1",
        "0: 0xb0c5 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1",
        "0: 0xb0c5 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1ffff",
        "0: 0xb0c5 -1 0x 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1",
    ] {
        assert_eq!(Registers::parse(text), Err(NoMode::NotDispi), "{text:?}");
    }
    // Every pattern of bits in the registers gives a surface inside the memory, or a reason.
    let mut seed = 3_u64;
    for _ in 0..20_000 {
        let mut words = [0_u16; 11];
        for word in &mut words[1..] {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *word = (seed >> 40) as u16 >> ((seed >> 60) as u16);
        }
        (words[0], words[3], words[4]) = (0xb0c5, [15, 16, 24, 32][usize::from(words[3] % 4)], 0x41);
        for device in [Device::Vga, Device::Bochs] {
            if let Ok(surface) = surface(words, device) {
                assert!(surface.end_bytes().is_some_and(|end| end <= MIB16), "{words:?}");
            }
        }
    }
}

fn device(slot: u8, class: u16, registers: i64) -> Value {
    json!({
        "bus": 0, "slot": slot, "function": 0, "class_info": { "class": class },
        "regions": [
            { "bar": 0, "size": MIB16, "address": 0xfd00_0000_u32, "type": "memory" },
            { "bar": 2, "size": 4096, "address": registers, "type": "memory" },
        ],
    })
}

fn found(devices: &[Value]) -> Result<Option<Display>, NoDevices> {
    find_display(&json!([{ "bus": 0, "devices": devices }]))
}

#[test]
fn the_display_is_found_on_the_bus() {
    let vga = Display {
        address: PciAddress { bus: 0, slot: 2, function: 0 },
        is_vga: true,
        is_virtio: false,
        vram_bytes: MIB16,
        registers: Some(0xfebf_0000),
    };
    assert_eq!(found(&[device(1, 0x0380, 16), device(2, 0x0300, 0xfebf_0000)]), Ok(Some(vga)));
    assert_eq!(found(&[device(2, 0x0300, -1)]), Ok(Some(Display { registers: None, ..vga })));
    let other = Display { is_vga: false, ..vga };
    assert_eq!(found(&[device(2, 0x0380, 0xfebf_0000), device(3, 0x0380, 0xfebf_1000)]), Ok(Some(other)));
    let mut virtio = device(2, 0x0300, 0xfebf_0000);
    virtio["id"] = json!({ "vendor": 0x1af4, "device": 0x1050 });
    assert_eq!(found(&[virtio]), Ok(Some(Display { is_virtio: true, ..vga })));
    let bridge = json!({ "class_info": { "class": 0x0604 }, "regions": [],
        "pci_bridge": { "bus": {}, "devices": [device(2, 0x0300, 0xfebf_0000)] } });
    assert_eq!(found(&[bridge]), Ok(Some(vga)));
}

#[test]
fn a_bus_without_a_display_is_no_error() {
    let no_registers = json!({ "bus": 0, "slot": 1, "function": 0, "class_info": { "class": 0x0300 },
        "regions": [{ "bar": 0, "size": 1, "address": 1, "type": "memory" }] });
    assert_eq!(found(&[device(1, 0x0200, 16), no_registers]), Ok(None));
    assert_eq!(find_display(&json!([])), Ok(None));
    assert_eq!(find_display(&json!([{}, 7])), Ok(None));
}

#[test]
fn devices_that_cannot_be_are_refused() {
    let with = |name: &str, value: Value| {
        let mut device = device(1, 0x0300, 16);
        device[name] = value;
        found(&[device])
    };
    assert_eq!(with("bus", json!(300)), Err(NoDevices));
    assert_eq!(with("slot", json!(999_999_999_999_u64)), Err(NoDevices));
    assert_eq!(with("function", json!(-4)), Err(NoDevices));
    assert_eq!(with("class_info", json!("VGA")), Err(NoDevices));
    assert_eq!(with("regions", json!({})), Err(NoDevices));
    let endless = json!([{ "bar": 0, "size": 1e300, "type": "memory" }, { "bar": 2, "type": "memory" }]);
    assert_eq!(with("regions", endless), Err(NoDevices));
    for nonsense in [json!(null), json!({}), json!("x")] {
        assert_eq!(find_display(&nonsense), Err(NoDevices));
    }
}
