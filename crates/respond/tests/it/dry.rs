//! Dry runs: everything is told, nothing is done, and nobody has to agree.

use serde_json::json;

use crate::world::{World, results};

#[tokio::test]
async fn a_dry_run_tells_every_step_and_does_none() {
    let world = World::new().await;
    world.check("shop-front").await;
    let runbook = json!({
        "approval": "two",
        "steps": [
            {"run": ["drain", "web"]},
            {"ask": "Swap the fan", "within": "30m"},
            {"check": "shop-front"},
        ],
        "undo": [{"run": ["fill", "web"]}, {"ask": "Put the old fan in again"}],
    });
    let key = world.run(runbook, json!({"dry_run": true})).await;
    let run = world.get(&key).await;
    assert_eq!(run.state, "succeeded");
    let said: Vec<String> = results(&run).into_iter().map(|(_, _, said)| said).collect();
    let expected = [
        "would run drain web",
        "would ask a person and wait up to 30m: Swap the fan",
        "would wait up to 30s for shop-front to be OK",
        "if a step failed: would run fill web",
        "if a step failed: would ask a person and wait up to 1h: Put the old fan in again",
    ];
    assert_eq!(said, expected);
    assert_eq!(results(&run).iter().filter(|(undo, ..)| *undo).count(), 2, "undo steps are marked");
    assert_eq!(world.end(&key).await, "dry run, nothing was done: 3 steps and 2 undo steps could be done");
    assert!(world.ran().is_empty(), "nothing is run: {:?}", world.ran());
}

#[tokio::test]
async fn a_dry_run_finds_what_could_not_be_done() {
    for (runbook, said) in [
        (json!({"steps": [{"run": ["forbidden"]}]}), "step 1 could not be done: would be refused"),
        (
            json!({"steps": [{"run": ["fine"]}], "undo": [{"run": ["fine"]}, {"check": "no-such"}]}),
            "undo step 2 could not be done: if a step failed: there is no check \"no-such\"",
        ),
    ] {
        let world = World::new().await;
        let key = world.run(runbook, json!({"dry_run": true})).await;
        assert_eq!(world.get(&key).await.state, "failed");
        assert_eq!(world.end(&key).await, format!("dry run, nothing was done: {said}"));
        assert!(world.ran().is_empty());
    }
}

#[tokio::test]
async fn nobody_makes_a_dry_run_a_real_one_after_it_was_let_through() {
    let world = World::new().await;
    let key =
        world.propose(json!({"approval": "one", "steps": [{"run": ["drain", "web"]}]}), json!({"dry_run": true})).await;
    world.look_once().await;
    world.change(&key, json!({"dry_run": false})).await;
    world.settle().await;
    assert!(world.ran().is_empty(), "nobody agreed to {:?}", world.ran());
    assert!(world.end(&key).await.starts_with("dry run, nothing was done"), "{}", world.end(&key).await);
}
