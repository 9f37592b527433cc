//! Round trips, and payloads that must be refused.

use alloc::vec;
use alloc::vec::Vec;

use super::decode;
use crate::depth::Depth;
use crate::frame::Refusal;
use crate::geometry::{PixelRect, Size};
use crate::technique::base::BaseView;

const AREA: PixelRect = PixelRect { x: 16, y: 0, width: 16, height: 2 };

/// On a base of 40 x 2 pixels that count up.
fn decoded(payload: &[u8]) -> Result<Vec<u32>, Refusal> {
    let pixels: Vec<u32> = (0..80).collect();
    let size = Size::new(40, 2).expect("legal");
    let mut out = Vec::new();
    let view = Some(BaseView { pixels: &pixels, stride: 40, size, area: AREA });
    decode(payload, AREA, view, Depth::Bits24, &mut out).map(|()| out)
}

/// Vector (`dx`, 0) and packed bits, given as text.
fn packed(dx: u8, text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
    let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at));
    [dx * 2, 0].into_iter().chain(bits.chunks(8).map(byte)).collect()
}

const RED: &str = "111111110000000000000000";

fn base(dx: u32) -> Vec<u32> {
    (16 + dx..32 + dx).chain(56 + dx..72 + dx).collect()
}

#[test]
fn known_payloads_decode() {
    // Nothing before the first, which is new; as far again as the rest.
    let mut expected = base(3);
    expected[0] = 0xff_0000;
    assert_eq!(decoded(&packed(3, &["1 1", RED, "0000 11111"].join(" "))), Ok(expected));
    // From the third pixel on two, and after twenty-seven more the last.
    let mut expected = base(0);
    for at in [2, 3, 31] {
        expected[at] = 0xff_0000;
    }
    let text = ["011 010", RED, "0 0000 11011 1 0"].join(" ");
    assert_eq!(decoded(&packed(0, &text)), Ok(expected));
}

#[test]
fn payloads_that_do_not_end_with_the_rectangle_are_refused() {
    let refused = |what: &str, payload: &[u8]| assert_eq!(decoded(payload), Err(Refusal::Payload), "{what}");
    let good = packed(3, &["1 1", RED, "0000 11111"].join(" "));
    refused("a vector that leads outside", &packed(9, &["1 1", RED, "0000 11111"].join(" ")));
    refused("a vector alone", &[0, 0]);
    refused("a byte behind the last", &[&good[..], &[0]].concat());
    refused("cut", &good[..good.len() - 1]);
    refused("a gap beyond", &packed(0, &["1 1", RED, "00000 100000"].join(" ")));
    refused("a gap of all, and no run", &packed(0, "00000 100001"));
    refused("a run beyond", &packed(0, &["000010000 00000 100001"].join(" ")));
    refused("filled with ones", &packed(3, &["1 1", RED, "0000 11111 1"].join(" ")));
    let mut out = Vec::new();
    assert_eq!(decode(&good, AREA, None, Depth::Bits24, &mut out), Err(Refusal::Base));
}

#[cfg(feature = "encode")]
#[test]
fn every_change_comes_back() {
    use super::{Encoder, changed};
    use crate::technique::base::Vector;

    let mut state = 1_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) % bound
    };
    let mut encoder = Encoder::default();
    let (mut coded, mut long) = (0, 0);
    for _ in 0..600 {
        let (width, height) = (1 + below(60) as u16, 1 + below(40) as u16);
        let size = Size::new(width + 5, height).expect("legal");
        let area = PixelRect { x: 5, y: 0, width, height };
        let screen: Vec<u32> = (0..size.pixels()).map(|_| below(3) as u32).collect();
        let old = screen.chunks(size.width.into()).flat_map(|row| &row[3..3 + usize::from(width)]).copied();
        let old: Vec<u32> = old.collect();
        let (mut new, count, colours) = (old.clone(), below(40), 1 << below(10));
        for _ in 0..count {
            let at = below(new.len() as u64) as usize;
            new[at] = (below(colours) as u32 * 0x0001_0307) & 0x00ff_ffff;
        }
        let differ = new.iter().zip(&old).filter(|(new, old)| new != old).count();
        assert_eq!(changed(&new, &old, usize::MAX - 1), differ);
        assert_eq!(changed(&new, &old, 9), differ.min(10));
        let (mut payload, max) = (vec![7], if below(3) == 0 { below(60) as usize } else { 9_000 });
        let whole = encoder.encode(&new, &old, Vector { dx: -2, dy: 0 }, max, &mut payload);
        if !whole {
            assert_eq!(payload, [7]);
            assert!(differ == 0 || max < 60);
            long += 1;
            continue;
        }
        coded += 1;
        assert!(payload.len() <= 1 + max && differ > 0);
        let view = BaseView { pixels: &screen, stride: size.width.into(), size, area };
        let mut out = Vec::new();
        assert_eq!(decode(&payload[1..], area, Some(view), Depth::Bits24, &mut out), Ok(()));
        assert_eq!(out, new);
    }
    assert!(coded > 300 && long > 30, "{coded} coded, {long} not");
}
