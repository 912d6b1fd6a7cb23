//! G15: random operation sequences over three tenants, a canary in every field, and nothing of one tenant is ever seen in another.

use super::{World, fields};
use kernel::act::{Act, Create, Target};
use kernel::backend::JournalQuery;
use kernel::link::{Direction, Walk};
use kernel::read::ListAsk;
use kernel::session::{Actor, ActorKind};
use kernel::{Session, TenantId};
use serde_json::json;

/// A small generator whose sequence is its seed's: a failure names the seed and can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const CANARIES: [&str; 3] = ["canaryalpha", "canarybravo", "canarycharlie"];

async fn tenants(world: &World) -> Vec<Session> {
    let own = Session::system(TenantId::HOME);
    for key in ["bravo", "charlie"] {
        world.kernel.act(&own, Create::of("tenant", json!({"name": key})).keyed(key)).await.unwrap();
    }
    let ids = [TenantId::HOME, world.kernel.tenant("bravo").unwrap(), world.kernel.tenant("charlie").unwrap()];
    let admin = |id: &TenantId| Session::authenticated(Actor::new(ActorKind::Person, "ana"), *id, vec!["admin".into()]);
    ids.iter().map(admin).collect()
}

/// One operation by a tenant; everything that it was answered, as text.
async fn operation(
    world: &World,
    session: &Session,
    canary: &str,
    keys: &mut Vec<String>,
    others: &[String],
    dice: &mut Dice,
) -> String {
    let kernel = &world.kernel;
    let own = |dice: &mut Dice, keys: &[String]| {
        keys.get(dice.roll(keys.len().max(1) as u64) as usize).cloned().unwrap_or_else(|| "nothing".into())
    };
    let key = own(dice, keys);
    let foreign = own(dice, others);
    let text = |result: Result<kernel::Record, kernel::ActError>| {
        result.map_or_else(|e| e.to_string(), |r| r.view("t").to_string())
    };
    match dice.roll(12) {
        0..=2 => {
            let create = Create::of(
                "service",
                json!({"name": format!("{canary} service"), "description": canary, "tags": [canary]}),
            );
            let made = kernel.act(session, create.keyed(format!("{canary}-{}", keys.len()))).await;
            if let Ok(record) = &made {
                keys.push(record.key.clone());
            }
            text(made)
        }
        3 => text(
            kernel
                .act(
                    session,
                    Act::Update {
                        target: Target::key("service", &key),
                        fields: fields(json!({"url": format!("https://{canary}.example")})),
                        owner: None,
                        expect: None,
                    },
                )
                .await,
        ),
        4 => text(kernel.act(session, Act::Note { target: Target::key("service", &key), text: canary.into() }).await),
        // Every way to name what belongs to another tenant.
        5 => text(kernel.get(session, "service", &foreign).await),
        6 => text(kernel.find(session, &foreign).await),
        7 => text(
            kernel
                .act(
                    session,
                    Act::Link {
                        from: Target::key("service", &key),
                        name: "depends-on".into(),
                        to: Target::key("service", &foreign),
                    },
                )
                .await,
        ),
        8 => format!(
            "{:?}",
            kernel
                .search(session, if dice.roll(2) == 0 { "service" } else { CANARIES[dice.roll(3) as usize] }, &[], 50)
                .await
                .map(|r| r.iter().map(|r| r.view("t").to_string()).collect::<Vec<_>>())
        ),
        9 => format!(
            "{:?}",
            kernel
                .list(
                    session,
                    "service",
                    &ListAsk { filter: "name:*canary*".into(), limit: 100, total: true, ..Default::default() }
                )
                .await
        ),
        10 => format!(
            "{:?}",
            kernel
                .journal(session, JournalQuery { before: Some(i64::MAX as u64), limit: 200, ..Default::default() })
                .await
        ),
        _ => match kernel.get(session, "service", &key).await {
            Ok(record) => {
                let walk = Walk { direction: Direction::Both, depth: 5, limit: 500, types: Vec::new() };
                format!(
                    "{:?} {:?} {:?}",
                    kernel.graph(session, &record, walk).await,
                    kernel.links(session, &record).await,
                    kernel.observations(session, &record, None, "", None, 100).await
                )
            }
            Err(error) => error.to_string(),
        },
    }
}

#[tokio::test]
async fn nothing_of_one_tenant_is_ever_seen_in_another() {
    let sequences = std::option_env!("MAINSTAY_SEQUENCES").and_then(|s| s.parse().ok()).unwrap_or(1000u64);
    let world = World::new().await;
    let sessions = tenants(&world).await;
    let mut keys: [Vec<String>; 3] = Default::default();
    let mut seen_own = 0u64;
    for seed in 0..sequences {
        let mut dice = Dice(seed);
        for _ in 0..8 {
            let who = dice.roll(3) as usize;
            let others: Vec<String> =
                (0..3).filter(|i| *i != who).flat_map(|i| keys[i].iter().rev().take(20).cloned()).collect();
            let mut own = std::mem::take(&mut keys[who]);
            let asked = operation(&world, &sessions[who], CANARIES[who], &mut own, &others, &mut dice).await;
            keys[who] = own;
            seen_own += u64::from(asked.contains(CANARIES[who]));
            for (i, canary) in CANARIES.iter().enumerate().filter(|(i, _)| *i != who) {
                // An error may repeat the key that was asked for; anything beyond the asker's own words is a leak.
                let leaked =
                    asked.contains(&format!("{canary} service")) || asked.contains(&format!("https://{canary}"));
                assert!(!leaked, "seed {seed}: tenant {who} saw tenant {i}: {asked}");
            }
        }
    }
    assert!(seen_own > sequences, "the tenants see their own: {seen_own}");
}
