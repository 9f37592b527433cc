use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::geometry::{CellRect, Size};
use crate::kernel::compare::compare_and_copy;
use crate::pixel::PixelFormat;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
}

fn surface(width: u16, height: u16, format: PixelFormat) -> Surface {
    let size = Size::new(width, height).expect("a legal size");
    Surface { size, stride_bytes: u32::from(width) * format.bytes() as u32, format, offset_bytes: 0 }
}

fn file_of(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    file.write_all_at(bytes, 0).expect("written");
    file
}

/// What a sweep must do, in plain code.
fn reference(surface: &Surface, memory: &[u8], shadow: &mut [u8], changed: &mut CellSet) {
    for (y, row) in shadow.chunks_exact_mut(surface.row_bytes()).enumerate() {
        let start = surface.offset_bytes as usize + y * surface.stride_bytes as usize;
        let mut columns = Columns::default();
        let source = &memory[start..start + row.len()];
        compare_and_copy(source, row, surface.cell_row_bytes(), &mut columns);
        let first = y / 16 * usize::from(surface.size.grid().columns);
        for column in columns.iter() {
            changed.insert(first + column);
        }
    }
}

#[test]
fn every_level_equals_the_reference() {
    let mut random = Random(1);
    for round in 0..300 {
        let format = PixelFormat::ALL[random.below(9)];
        let (width, height) = (1 + random.below(150) as u16, 1 + random.below(40) as u16);
        let mut surface = surface(width, height, format);
        surface.stride_bytes += random.below(70) as u32;
        surface.offset_bytes = random.below(100) as u64;
        let end = surface.end_bytes().expect("sound") as usize;
        let memory: Vec<u8> = (0..end).map(|_| random.next() as u8).collect();
        let mut before = vec![0; surface.shadow_bytes()];
        reference(&surface, &memory, &mut before, &mut CellSet::new(surface.size.grid()));
        for _ in 0..random.below(12) {
            let at = random.below(before.len());
            before[at] ^= 1 << random.below(8);
        }
        let (mut expected, mut expected_changed) = (before.clone(), CellSet::new(surface.size.grid()));
        reference(&surface, &memory, &mut expected, &mut expected_changed);
        let mapping = Mapping::of_file(file_of(&memory)).expect("mapped");
        for level in Level::ALL {
            let (mut shadow, mut changed) = (before.clone(), CellSet::new(surface.size.grid()));
            mapping.sweep_at(level, &surface, &mut shadow, &mut changed).expect("swept");
            assert!(shadow == expected && changed == expected_changed, "{round} {level:?} {surface:?}");
        }
    }
}

#[test]
fn every_single_byte_is_seen_in_its_cell() {
    for format in [PixelFormat::Xrgb8888, PixelFormat::Bgr888, PixelFormat::Rgb565] {
        let surface = surface(69, 1, format);
        let len = surface.row_bytes();
        let mapping = Mapping::of_file(file_of(&vec![5; len])).expect("mapped");
        for level in Level::ALL {
            for at in 0..len {
                let mut shadow = vec![5; len];
                shadow[at] = 4;
                let mut changed = CellSet::new(surface.size.grid());
                mapping.sweep_at(level, &surface, &mut shadow, &mut changed).expect("swept");
                assert!(shadow.iter().all(|&byte| byte == 5), "{level:?} {format:?} byte {at}");
                assert!(changed.iter().eq([at / surface.cell_row_bytes()]), "{level:?} {format:?} byte {at}");
            }
        }
    }
}

#[test]
fn lying_geometry_is_refused() {
    let honest = surface(64, 64, PixelFormat::Xrgb8888);
    let mapping = Mapping::of_file(file_of(&vec![1; honest.shadow_bytes()])).expect("mapped");
    let attempt = |surface: Surface| {
        let mut shadow = vec![0; surface.shadow_bytes()];
        mapping.sweep(&surface, &mut shadow, &mut CellSet::new(surface.size.grid()))
    };
    assert!(attempt(honest).is_ok());
    let longer = Size { width: 64, height: 65 };
    for lie in [
        Surface { offset_bytes: 1, ..honest },
        Surface { offset_bytes: u64::MAX, ..honest },
        Surface { offset_bytes: u64::MAX - 64 * 64 * 4 + 1, ..honest },
        Surface { stride_bytes: 257, ..honest },
        Surface { stride_bytes: u32::MAX, ..honest },
        Surface { stride_bytes: 255, ..honest },
        Surface { stride_bytes: 0, ..honest },
        Surface { size: longer, ..honest },
    ] {
        assert!(matches!(attempt(lie), Err(MappingError::Beyond { .. })), "{lie:?}");
    }
    let mut out = [0; 8];
    assert!(mapping.copy_out(64 * 64 * 4 - 8, &mut out).is_ok());
    assert!(matches!(mapping.copy_out(64 * 64 * 4 - 7, &mut out), Err(MappingError::Beyond { .. })));
    assert!(matches!(mapping.copy_out(u64::MAX, &mut out), Err(MappingError::Beyond { .. })));
    assert!(matches!(Mapping::of_file(file_of(&[])), Err(MappingError::Empty)));
}

#[test]
fn a_file_that_shrinks_is_an_error_and_no_crash() {
    let surface = surface(640, 400, PixelFormat::Xrgb8888);
    let len = surface.shadow_bytes() as u64;
    let file = Arc::new(file_of(&vec![3; len as usize]));
    let stop = Arc::new(AtomicBool::new(false));
    let saboteur = std::thread::spawn({
        let (file, stop) = (Arc::clone(&file), Arc::clone(&stop));
        move || {
            let mut random = Random(7);
            while !stop.load(Ordering::SeqCst) {
                file.set_len(random.below(len as usize) as u64).expect("cut");
                std::thread::yield_now();
                file.set_len(len).expect("extended");
                std::thread::yield_now();
            }
        }
    });
    let (mut shadow, mut changed) = (vec![0; len as usize], CellSet::new(surface.size.grid()));
    let (mut lost, mut beyond) = (0_u32, 0_u32);
    let deadline = crate::clock::now() + std::time::Duration::from_secs(20);
    while (lost < 50 || beyond < 5) && crate::clock::now() < deadline {
        let Ok(mapping) = Mapping::of_file(file.try_clone().expect("a second handle")) else { continue };
        match mapping.sweep(&surface, &mut shadow, &mut changed) {
            Ok(()) => {}
            Err(MappingError::Lost) => {
                lost += 1;
                let again = mapping.sweep(&surface, &mut shadow, &mut changed);
                assert!(matches!(again, Err(MappingError::Lost)), "a lost mapping stays lost");
            }
            Err(MappingError::Beyond { .. }) => beyond += 1,
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, Ordering::SeqCst);
    saboteur.join().expect("the saboteur ended");
    assert!(lost > 0, "no fault was caught: lost {lost}, beyond {beyond}");
}

#[test]
fn a_fault_that_is_not_ours_ends_the_process() {
    const CHILD: &str = "LFP_TEST_FOREIGN_FAULT";
    if std::env::var_os(CHILD).is_some() {
        let guarded = Mapping::of_file(file_of(&[1; 4096])).expect("mapped");
        let file = file_of(&[1; 4096]);
        let unguarded = MmapOptions::new().map_raw_read_only(&file).expect("mapped");
        file.set_len(0).expect("cut");
        // SAFETY: the address is mapped, and reading it raises SIGBUS, which is what this child is for.
        let byte = unsafe { unguarded.as_ptr().read_volatile() };
        println!("read {byte}, {:?}", guarded.length());
        return;
    }
    let name = "hypervisor::mapping::tests::a_fault_that_is_not_ours_ends_the_process";
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("a child");
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(Signal::SIGBUS as i32), "{child:?}");
}

#[test]
fn guards_are_given_back() {
    let file = file_of(&[0; 64]);
    for _ in 0..MAPPINGS_MAX * 2 {
        Mapping::of_file(file.try_clone().expect("a second handle")).expect("mapped");
    }
}

#[test]
fn growth_is_noticed() {
    let file = file_of(&[0; 64]);
    let mapping = Mapping::of_file(file.try_clone().expect("a second handle")).expect("mapped");
    assert!(!mapping.is_outgrown());
    file.set_len(128).expect("extended");
    assert!(mapping.is_outgrown());
    assert_eq!(mapping.length().ok(), Some(64));
    file.set_len(32).expect("cut");
    assert_eq!(mapping.length().ok(), Some(32));
}

#[test]
fn a_probe_does_to_its_spans_what_a_sweep_does_to_all() {
    let mut random = Random(3);
    for _ in 0..200 {
        let format = PixelFormat::ALL[random.below(9)];
        let (width, height) = (1 + random.below(150) as u16, 1 + random.below(60) as u16);
        let mut surface = surface(width, height, format);
        surface.stride_bytes += random.below(70) as u32;
        surface.offset_bytes = random.below(100) as u64;
        let end = surface.end_bytes().expect("sound") as usize;
        let memory: Vec<u8> = (0..end).map(|_| random.next() as u8).collect();
        let mapping = Mapping::of_file(file_of(&memory)).expect("mapped");
        let grid = surface.size.grid();
        let y = random.below(height.into()) as u16;
        let span_height = 1 + random.below(usize::from((16 - y % 16).min(height - y))) as u16;
        let first = random.below(grid.columns.into()) as u16;
        let end = first + 1 + random.below(usize::from(grid.columns - first)) as u16;
        let span = Span { y, height: span_height, first, end };
        let (mut shadow, mut changed) = (vec![0; surface.shadow_bytes()], CellSet::new(grid));
        mapping.probe(&surface, &[span], &mut shadow, &mut changed).expect("probed");
        let (mut all, mut all_changed) = (shadow.clone(), CellSet::new(grid));
        all.fill(0);
        reference(&surface, &memory, &mut all, &mut all_changed);
        let bytes = span.bytes_of_row(&surface);
        for (row, (probed, swept)) in
            shadow.chunks(surface.row_bytes()).zip(all.chunks(surface.row_bytes())).enumerate()
        {
            let is_in = (usize::from(y)..usize::from(y + span_height)).contains(&row);
            for (at, (probed, swept)) in probed.iter().zip(swept).enumerate() {
                assert_eq!(*probed, if is_in && bytes.contains(&at) { *swept } else { 0 });
            }
        }
        let spanned = CellRect { x: first, y: y / 16, width: end - first, height: 1 };
        assert!(changed.iter().all(|cell| spanned.indices(grid).any(|spanned| spanned == cell)));
        let outside = Span { y, height: span_height, first, end: grid.columns + 1 };
        assert!(!outside.lies_in(&surface) && span.lies_in(&surface));
    }
}
