//! Many clients and sources on one server, and what the end of one means to the others: nothing.

use std::time::Duration;

use crate::harness::{Bench, Client, Display, Guest, PATIENCE, Painted, Picture, Server};

/// A picture that is different for each `seed`.
pub(crate) fn pattern(width: usize, height: usize, seed: u32) -> Picture {
    Picture::paint(width, height, |x, y| {
        let (x, y) = (x as u32, y as u32);
        if (x / 24 + y / 16) % 3 == seed % 3 {
            (x * 7 + y * 13 + seed * 99_991) & 0x00ff_ffff
        } else {
            seed.wrapping_mul(0x0045_3211) & 0x00ff_ffff
        }
    })
}

#[test]
fn eight_clients_on_four_sources_are_exact_and_outlive_each_other() {
    let bench = Bench::new();
    let mut guest = Guest::boot(&bench, "guest", Display::Vga32, "lfp.quiet=1");
    let mut other = Guest::boot(&bench, "other", Display::Bochs, "lfp.quiet=1");
    let left = Painted::new(&bench.file("left.fb"), &pattern(800, 600, 1));
    let mut right = Painted::new(&bench.file("right.fb"), &pattern(1283, 717, 2));
    let (guest_source, other_source) = (guest.source(), other.source());
    let (left_source, right_source) = (left.source(), right.source());
    let mut server = Server::of_services(
        &bench,
        &[
            ("guest", guest_source.as_str()),
            ("other", other_source.as_str()),
            ("left", left_source.as_str()),
            ("right", right_source.as_str()),
        ],
    );
    let client = |service: &str, number: usize| {
        let name = format!("{service}{number}");
        Client::start(
            &bench,
            &name,
            server.address(),
            &["--service", service, "--seconds", "300", "--reconnect", "0"],
        )
    };
    let mut clients: Vec<(&str, Client)> = ["guest", "other", "left", "right"]
        .into_iter()
        .flat_map(|s| [(s, client(s, 1)), (s, client(s, 2))])
        .collect();
    let mut truths = [
        ("guest", guest.settle()),
        ("other", other.settle()),
        ("left", pattern(800, 600, 1)),
        ("right", pattern(1283, 717, 2)),
    ];
    let all_exact = |clients: &mut Vec<(&str, Client)>, truths: &[(&str, Picture)]| {
        for (service, client) in clients {
            if let Some((_, truth)) = truths.iter().find(|(name, _)| name == service) {
                client.wait_shows(truth, PATIENCE);
            }
        }
    };
    all_exact(&mut clients, &truths);

    // One client dies, one painter falls silent, one guest dies.
    clients[0].1.kill();
    clients.remove(0);
    right.abandon();
    other.kill();
    for (_, client) in clients.iter_mut().filter(|(service, _)| *service == "other") {
        client.wait_dark(Duration::from_secs(5));
    }
    guest.command("help");
    let next = pattern(800, 600, 7);
    left.show(&next);
    truths[0].1 = guest.settle();
    truths[2].1 = next;
    let living = [truths[0].clone(), truths[2].clone()];
    all_exact(&mut clients, &living);
    for (_, client) in &mut clients {
        client.assert_running();
    }
    server.assert_running();
    server.close();
    for (_, client) in clients {
        let (_, report) = client.end();
        assert_eq!(report.json["state"], "closed", "the server closed it in order: {}", report.json);
    }
}

#[test]
fn a_client_of_one_display_shows_the_first_of_several_sources() {
    let bench = Bench::new();
    let (first, second) = (pattern(320, 200, 1), pattern(640, 480, 2));
    let left = Painted::new(&bench.file("left.fb"), &first);
    let right = Painted::new(&bench.file("right.fb"), &second);
    let server = Server::of_sources(&bench, &[&left.source(), &right.source()]);
    let report = Client::settled(&bench, "client", server.address(), &[]);
    assert!(*report.picture() == first, "it shows another picture");
    let refused = report.json["records_refused"].as_object().expect("reasons");
    assert!(refused.values().all(|count| count == 0), "it was sent what it cannot show: {refused:?}");
    let pixels = 320 * 200 * 3 + 20_000;
    assert!(report.number("bytes_down") < pixels, "{} bytes came for one small screen", report.json);
    server.close();
}
