//! Killed while samples come in: whatever was answered 2xx is there afterwards.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::server::{Place, Server};
use crate::world::{self, Dice};

/// Senders at the same time.
const SENDERS: u64 = 4;

#[test]
fn a_sample_that_was_answered_2xx_survives_kill_9() {
    let _alone = world::alone();
    let rounds = world::setting("MAINSTAY_KILLS").and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut dice = Dice::of_today("kill -9 under remote samples");
    let place = Place::new();
    let mut token = None;
    // Sender and count of every sample that its sender was told is stored.
    let kept: Mutex<BTreeSet<(u64, u64)>> = Mutex::default();
    let mut sent = vec![0_u64; SENDERS as usize];
    for _ in 0..rounds {
        let mut server = Server::start(&place.data, &["--no-agent"]);
        server.http.token = Some(token.take().unwrap_or_else(|| server.token("admin")));
        token = server.http.token.clone();
        let http = server.http.clone();
        let pause = Duration::from_micros(dice.below(400_000));
        std::thread::scope(|scope| {
            for (sender, count) in sent.iter_mut().enumerate() {
                let (http, kept, sender) = (http.clone(), &kept, sender as u64);
                scope.spawn(move || {
                    loop {
                        *count += 1;
                        let page = format!("kept{{sender=\"{sender}\",count=\"{count}\"}} {count}\n");
                        let media = [("Content-Type", "text/plain")];
                        match http.send("POST", "/prometheus/api/v1/import/prometheus", &media, page.as_bytes()) {
                            Ok(answer) if answer.status == 204 => {
                                kept.lock().expect("nobody panics with it").insert((sender, *count));
                            }
                            Ok(answer) => panic!("{} {}", answer.status, answer.text()),
                            // It is dead; whether this one was stored is not known, and nobody was told so.
                            Err(_) => return,
                        }
                    }
                });
            }
            world::let_pass(pause);
            server.kill();
        });
    }
    let mut server = Server::start(&place.data, &["--no-agent"]);
    server.http.token = token;
    let kept = kept.into_inner().expect("nobody panics with it");
    assert!(kept.len() as u64 >= rounds, "{} samples prove nothing", kept.len());
    let said = server.http.get("/prometheus/api/v1/query?query=last_over_time(kept%5B1h%5D)");
    let number = |v: &Value| v.as_str().and_then(|text| text.parse::<u64>().ok()).expect("a number");
    let list = said["data"]["result"].as_array().expect("a vector");
    let stored: BTreeSet<(u64, u64)> =
        list.iter().map(|v| (number(&v["metric"]["sender"]), number(&v["value"][1]))).collect();
    let lost: Vec<_> = kept.difference(&stored).collect();
    println!("{rounds} kills: {} told stored, {} stored, {} tried", kept.len(), stored.len(), sent.iter().sum::<u64>());
    assert!(lost.is_empty(), "told stored and gone: {lost:?}");
}
