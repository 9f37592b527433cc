//! Keys: one table of Linux key codes with the names that QEMU and people use for them, and the characters
//! that a US layout gives.
//!
//! Codes are `KEY_*` of linux/input-event-codes.h; qcodes are QEMU's `QKeyCode` (qapi/ui.json). Everything
//! that QEMU can be told to press stands here once; where QEMU has two names for one key (`asterisk` and
//! `kp_multiply`, `sysrq` and `print`), the other is a name that people may use.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::limits::CHORD_KEYS_MAX;

/// A key of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Linux's code.
    pub code: u16,
    /// QEMU's name, lower case; people may use it too.
    pub qcode: &'static str,
    /// Other names that people may use, lower case, separated by spaces.
    pub aliases: &'static str,
    /// The character on a US keyboard.
    pub plain: Option<char>,
    /// The character on a US keyboard with Shift.
    pub shifted: Option<char>,
}

/// The left Shift key.
pub const KEY_LEFTSHIFT: u16 = 42;

/// Whether the key with this code changes what others mean, and nothing by itself: Ctrl, Shift, Alt, and the logo keys, on
/// either side.
#[must_use]
pub const fn is_modifier(code: u16) -> bool {
    matches!(code, 29 | 42 | 54 | 56 | 97 | 100 | 125 | 126)
}

/// The key with this code.
#[must_use]
pub fn by_code(code: u16) -> Option<&'static Key> {
    let at = KEYS.binary_search_by_key(&code, |key| key.code).ok()?;
    KEYS.get(at)
}

/// The key with this name, in upper or lower case: QEMU's (`ret`, `kp_1`), a usual one (`enter`, `ctrl`,
/// `delete`), or the character that it gives without Shift (`a`, `;`).
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Key> {
    let is_plain = |key: &Key| {
        let mut chars = name.chars();
        key.plain.is_some()
            && key.plain == chars.next().map(|c| c.to_ascii_lowercase())
            && chars.next().is_none()
    };
    let is_named = |key: &Key| {
        let mut names = core::iter::once(key.qcode).chain(key.aliases.split_ascii_whitespace());
        names.any(|known| known.eq_ignore_ascii_case(name))
    };
    KEYS.iter().find(|key| is_named(key) || is_plain(key))
}

/// QEMU's name of the key with this code.
#[must_use]
pub fn qcode(code: u16) -> Option<&'static str> {
    by_code(code).map(|key| key.qcode)
}

/// How a character is typed on a US keyboard: the key, and whether Shift is held. `None` if it cannot be.
/// Newline and carriage return are Enter.
#[must_use]
pub fn type_char(c: char) -> Option<(u16, bool)> {
    let c = if c == '\r' { '\n' } else { c };
    KEYS.iter().find_map(|key| match c {
        _ if key.plain == Some(c) => Some((key.code, false)),
        _ if key.shifted == Some(c) => Some((key.code, true)),
        _ => None,
    })
}

/// The codes of keys that are pressed together, such as `ctrl-alt-delete`, `ctrl+c` or just `f1`, in the order
/// in which they stand: press them so, release them backwards.
///
/// # Errors
/// If a name is unknown or given twice, or there are none or more than [`CHORD_KEYS_MAX`].
pub fn parse_chord(text: &str) -> Result<Vec<u16>, ChordError> {
    if let Some(key) = by_name(text) {
        return Ok(Vec::from([key.code]));
    }
    let mut codes = Vec::new();
    for name in text.split(['-', '+']) {
        let key = by_name(name).ok_or_else(|| ChordError::Unknown(name.chars().take(32).collect()))?;
        if codes.contains(&key.code) {
            return Err(ChordError::Twice(name.to_string()));
        }
        if codes.len() == CHORD_KEYS_MAX {
            return Err(ChordError::TooMany);
        }
        codes.push(key.code);
    }
    Ok(codes)
}

/// Why a text names no chord.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChordError {
    /// No key has this name; empty if a name is missing.
    Unknown(String),
    /// A key stands in it twice.
    Twice(String),
    /// More keys than [`CHORD_KEYS_MAX`].
    TooMany,
}

impl fmt::Display for ChordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "there is no key `{name}`; keys are named as in ctrl-alt-delete, f1, enter, esc, pgup, kp_1, minus, a"
            ),
            Self::Twice(name) => write!(f, "the key `{name}` stands twice in one chord"),
            Self::TooMany => write!(f, "a chord has at most {CHORD_KEYS_MAX} keys"),
        }
    }
}

impl core::error::Error for ChordError {}

const fn key(code: u16, qcode: &'static str, aliases: &'static str) -> Key {
    Key { code, qcode, aliases, plain: None, shifted: None }
}

const fn glyph(code: u16, qcode: &'static str, aliases: &'static str, plain: char, shifted: char) -> Key {
    Key { code, qcode, aliases, plain: Some(plain), shifted: Some(shifted) }
}

/// A key that gives the same character with and without Shift: typed without.
const fn blank(code: u16, qcode: &'static str, aliases: &'static str, plain: char) -> Key {
    Key { code, qcode, aliases, plain: Some(plain), shifted: None }
}

/// Every key, ascending by code.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    key(1, "esc", "escape"),
    glyph(2, "1", "", '1', '!'),
    glyph(3, "2", "", '2', '@'),
    glyph(4, "3", "", '3', '#'),
    glyph(5, "4", "", '4', '$'),
    glyph(6, "5", "", '5', '%'),
    glyph(7, "6", "", '6', '^'),
    glyph(8, "7", "", '7', '&'),
    glyph(9, "8", "", '8', '*'),
    glyph(10, "9", "", '9', '('),
    glyph(11, "0", "", '0', ')'),
    glyph(12, "minus", "", '-', '_'),
    glyph(13, "equal", "equals", '=', '+'),
    key(14, "backspace", "bksp"),
    blank(15, "tab", "", '\t'),
    glyph(16, "q", "", 'q', 'Q'),
    glyph(17, "w", "", 'w', 'W'),
    glyph(18, "e", "", 'e', 'E'),
    glyph(19, "r", "", 'r', 'R'),
    glyph(20, "t", "", 't', 'T'),
    glyph(21, "y", "", 'y', 'Y'),
    glyph(22, "u", "", 'u', 'U'),
    glyph(23, "i", "", 'i', 'I'),
    glyph(24, "o", "", 'o', 'O'),
    glyph(25, "p", "", 'p', 'P'),
    glyph(26, "bracket_left", "leftbracket leftbrace", '[', '{'),
    glyph(27, "bracket_right", "rightbracket rightbrace", ']', '}'),
    blank(28, "ret", "enter return", '\n'),
    key(29, "ctrl", "ctrl_l control leftctrl"),
    glyph(30, "a", "", 'a', 'A'),
    glyph(31, "s", "", 's', 'S'),
    glyph(32, "d", "", 'd', 'D'),
    glyph(33, "f", "", 'f', 'F'),
    glyph(34, "g", "", 'g', 'G'),
    glyph(35, "h", "", 'h', 'H'),
    glyph(36, "j", "", 'j', 'J'),
    glyph(37, "k", "", 'k', 'K'),
    glyph(38, "l", "", 'l', 'L'),
    glyph(39, "semicolon", "", ';', ':'),
    glyph(40, "apostrophe", "quote", '\'', '"'),
    glyph(41, "grave_accent", "grave backtick", '`', '~'),
    key(KEY_LEFTSHIFT, "shift", "shift_l leftshift"),
    glyph(43, "backslash", "", '\\', '|'),
    glyph(44, "z", "", 'z', 'Z'),
    glyph(45, "x", "", 'x', 'X'),
    glyph(46, "c", "", 'c', 'C'),
    glyph(47, "v", "", 'v', 'V'),
    glyph(48, "b", "", 'b', 'B'),
    glyph(49, "n", "", 'n', 'N'),
    glyph(50, "m", "", 'm', 'M'),
    glyph(51, "comma", "", ',', '<'),
    glyph(52, "dot", "period", '.', '>'),
    glyph(53, "slash", "", '/', '?'),
    key(54, "shift_r", "rightshift"),
    key(55, "kp_multiply", "asterisk kp_asterisk"),
    key(56, "alt", "alt_l leftalt"),
    blank(57, "spc", "space", ' '),
    key(58, "caps_lock", "capslock caps"),
    key(59, "f1", ""),
    key(60, "f2", ""),
    key(61, "f3", ""),
    key(62, "f4", ""),
    key(63, "f5", ""),
    key(64, "f6", ""),
    key(65, "f7", ""),
    key(66, "f8", ""),
    key(67, "f9", ""),
    key(68, "f10", ""),
    key(69, "num_lock", "numlock"),
    key(70, "scroll_lock", "scrolllock"),
    key(71, "kp_7", "kp7"),
    key(72, "kp_8", "kp8"),
    key(73, "kp_9", "kp9"),
    key(74, "kp_subtract", "kp_minus"),
    key(75, "kp_4", "kp4"),
    key(76, "kp_5", "kp5"),
    key(77, "kp_6", "kp6"),
    key(78, "kp_add", "kp_plus"),
    key(79, "kp_1", "kp1"),
    key(80, "kp_2", "kp2"),
    key(81, "kp_3", "kp3"),
    key(82, "kp_0", "kp0"),
    key(83, "kp_decimal", "kp_dot"),
    key(86, "less", "102nd"),
    key(87, "f11", ""),
    key(88, "f12", ""),
    key(89, "ro", ""),
    key(91, "hiragana", ""),
    key(92, "henkan", ""),
    key(93, "katakanahiragana", ""),
    key(94, "muhenkan", ""),
    key(96, "kp_enter", ""),
    key(97, "ctrl_r", "rightctrl"),
    key(98, "kp_divide", "kp_slash"),
    key(99, "print", "sysrq printscreen prtsc"),
    key(100, "alt_r", "altgr rightalt"),
    key(101, "lf", "linefeed"),
    key(102, "home", ""),
    key(103, "up", ""),
    key(104, "pgup", "pageup"),
    key(105, "left", ""),
    key(106, "right", ""),
    key(107, "end", ""),
    key(108, "down", ""),
    key(109, "pgdn", "pagedown"),
    key(110, "insert", "ins"),
    key(111, "delete", "del"),
    key(113, "audiomute", "mute"),
    key(114, "volumedown", ""),
    key(115, "volumeup", ""),
    key(116, "power", ""),
    key(117, "kp_equals", "kp_equal"),
    key(119, "pause", "break"),
    key(121, "kp_comma", ""),
    key(122, "lang1", "hangeul hangul"),
    key(123, "lang2", "hanja"),
    key(124, "yen", ""),
    key(125, "meta_l", "meta super win super_l"),
    key(126, "meta_r", "super_r"),
    key(127, "compose", "apps"),
    key(128, "stop", ""),
    key(129, "again", ""),
    key(130, "props", ""),
    key(131, "undo", ""),
    key(132, "front", ""),
    key(133, "copy", ""),
    key(134, "open", ""),
    key(135, "paste", ""),
    key(136, "find", ""),
    key(137, "cut", ""),
    key(138, "help", ""),
    key(139, "menu", ""),
    key(140, "calculator", "calc"),
    key(142, "sleep", ""),
    key(143, "wake", "wakeup"),
    key(155, "mail", ""),
    key(156, "ac_bookmarks", "bookmarks"),
    key(157, "computer", ""),
    key(158, "ac_back", "back"),
    key(159, "ac_forward", "forward"),
    key(163, "audionext", "nextsong"),
    key(164, "audioplay", "playpause"),
    key(165, "audioprev", "previoussong"),
    key(166, "audiostop", "stopcd"),
    key(172, "ac_home", "homepage"),
    key(173, "ac_refresh", "refresh"),
    key(183, "f13", ""),
    key(184, "f14", ""),
    key(185, "f15", ""),
    key(186, "f16", ""),
    key(187, "f17", ""),
    key(188, "f18", ""),
    key(189, "f19", ""),
    key(190, "f20", ""),
    key(191, "f21", ""),
    key(192, "f22", ""),
    key(193, "f23", ""),
    key(194, "f24", ""),
    key(226, "mediaselect", "media"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// QKeyCode of QEMU 10.0 as `query-qmp-schema` lists it, less `unmapped`.
    const QCODES: &str = "shift shift_r alt alt_r ctrl ctrl_r menu esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab \
        q w e r t y u i o p bracket_left bracket_right ret a s d f g h j k l semicolon apostrophe grave_accent \
        backslash z x c v b n m comma dot slash asterisk spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock \
        scroll_lock kp_divide kp_multiply kp_subtract kp_add kp_enter kp_decimal sysrq kp_0 kp_1 kp_2 kp_3 kp_4 \
        kp_5 kp_6 kp_7 kp_8 kp_9 less f11 f12 print home pgup pgdn end left up down right insert delete stop again \
        props undo front copy open paste find cut lf help meta_l meta_r compose pause ro hiragana henkan yen \
        muhenkan katakanahiragana kp_comma kp_equals power sleep wake audionext audioprev audiostop audioplay \
        audiomute volumeup volumedown mediaselect mail calculator computer ac_home ac_back ac_forward ac_refresh \
        ac_bookmarks lang1 lang2 f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23 f24";

    #[test]
    fn the_table_ascends_and_every_name_is_unique() {
        assert!(KEYS.windows(2).all(|pair| pair[0].code < pair[1].code));
        let mut names = Vec::new();
        for key in KEYS {
            names.push(key.qcode);
            names.extend(key.aliases.split_ascii_whitespace());
        }
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name} stands twice");
            assert_eq!(*name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn qemus_list_and_the_table_agree() {
        for name in QCODES.split_ascii_whitespace() {
            assert!(by_name(name).is_some(), "{name} is missing");
        }
        for key in KEYS {
            assert!(
                QCODES.split_ascii_whitespace().any(|name| name == key.qcode),
                "QEMU has no {}",
                key.qcode
            );
            assert_eq!(qcode(key.code), Some(key.qcode));
        }
        assert_eq!(qcode(0), None);
        assert_eq!(qcode(u16::MAX), None);
    }

    #[test]
    fn every_printable_ascii_character_can_be_typed_in_one_way() {
        for c in (' '..='~').chain(['\n', '\t']) {
            let (code, shift) = type_char(c).unwrap_or_else(|| panic!("{c:?} cannot be typed"));
            let key = by_code(code).expect("a key of the table");
            assert_eq!(if shift { key.shifted } else { key.plain }, Some(c));
            let ways = KEYS.iter().filter(|key| key.plain == Some(c) || key.shifted == Some(c)).count();
            assert_eq!(ways, 1, "{c:?}");
        }
        assert_eq!(type_char('\r'), type_char('\n'));
        assert_eq!(type_char('é'), None);
    }

    #[test]
    fn chords_are_read_as_people_write_them() {
        for (text, codes) in [
            ("ctrl-alt-delete", &[29, 56, 111][..]),
            ("Ctrl+Alt+Del", &[29, 56, 111]),
            ("ret", &[28]),
            ("ENTER", &[28]),
            ("esc", &[1]),
            ("F12", &[88]),
            ("kp_1", &[79]),
            ("A", &[30]),
            (";", &[39]),
            ("-", &[12]),
            ("ctrl-minus", &[29, 12]),
            ("shift-meta-1", &[42, 125, 2]),
        ] {
            assert_eq!(parse_chord(text).as_deref(), Ok(codes), "{text}");
        }
    }

    #[test]
    fn wrong_chords_say_what_is_wrong() {
        for (text, part) in [
            ("", "no key ``"),
            ("ctrl-", "no key ``"),
            ("ctrl-alt-dlete", "no key `dlete`"),
            ("ctrl-a-ctrl", "`ctrl` stands twice"),
            ("a-b-c-d-e-f-g-h-i", "at most 8 keys"),
        ] {
            let error = parse_chord(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = "x".repeat(100_000);
        assert!(parse_chord(&long).expect_err("no key").to_string().len() < 200);
    }
}
