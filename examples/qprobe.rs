use lfp::clock;
use lfp::geometry::*;
use lfp::hypervisor::*;
use lfp::pixel::convert_row;
use std::io::Write;
use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let control = Control::start().unwrap();
    let mut s = control.watch(SourceId(1), a[1].clone().into());
    let secs: f64 = a[2].parse().unwrap();
    let start = clock::now();
    let mut last = None;
    let mut n = 0u64;
    loop {
        let now = clock::now();
        let v = s.view(now);
        if Some(&v) != last.as_ref() {
            println!("{:.3} {:?}", now.saturating_since(start).as_secs_f64(), v);
            last = Some(v.clone());
        }
        if now.saturating_since(start).as_secs_f64() > secs {
            if let View::Live(m) = &v {
                if let Some(out) = a.get(3) {
                    let mut shadow = vec![0u8; m.shadow_bytes()];
                    let mut c = CellSet::new(m.size.grid());
                    let t = clock::now();
                    println!(
                        "sweep {:?} {} cells {:?}",
                        s.sweep(m, &mut shadow, &mut c),
                        c.len(),
                        clock::now().saturating_since(t)
                    );
                    let mut f = std::fs::File::create(out).unwrap();
                    write!(f, "P6\n{} {}\n255\n", m.size.width, m.size.height).unwrap();
                    let mut px = vec![0u32; m.size.width as usize];
                    let mut o = vec![];
                    for row in shadow.chunks(m.row_bytes()) {
                        convert_row(m.format, row, &mut px);
                        for p in &px {
                            o.extend_from_slice(&p.to_be_bytes()[1..]);
                        }
                    }
                    f.write_all(&o).unwrap();
                }
            }
            break;
        }
        n += 1;
        clock::wait_until(now + Duration::from_millis(10));
    }
    println!("views {n} input {:?}", control.input(SourceId(1)));
}
