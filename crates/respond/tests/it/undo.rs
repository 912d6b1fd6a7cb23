//! Going back: when a step failed that stops the run, its undo steps are done, and the run says how that went.

use serde_json::{Value, json};

use crate::world::{World, results};

/// Two steps, of which the second fails.
fn broken(undo: Value) -> Value {
    json!({"steps": [{"run": ["drain", "web"]}, {"run": ["false"]}, {"run": ["never"]}], "undo": undo})
}

#[tokio::test]
async fn a_failed_step_is_undone_in_order_and_the_run_says_so() {
    let world = World::new().await;
    let undo = json!([{"run": ["fill", "web"]}, {"check": "shop-front"}]);
    let key = world.run(broken(undo), json!({})).await;
    let run = world.get(&key).await;
    assert_eq!(run.state, "failed", "what was undone was not done");
    assert_eq!(world.ran(), ["drain web", "false", "fill web"]);
    let expected: Vec<(bool, bool, String)> = vec![
        (false, true, "drain web done".into()),
        (false, false, "false exited with 1".into()),
        (true, true, "fill web done".into()),
        (true, true, "shop-front is OK: 200 OK".into()),
    ];
    assert_eq!(results(&run), expected);
    let said = "step 2: false exited with 1; undone: all 2 undo steps done";
    assert_eq!(world.end(&key).await, said);
    assert_eq!(world.told().await, [format!("RUN-1 failed: {said}")]);
}

#[tokio::test]
async fn an_undo_that_fails_stops_and_is_told() {
    let world = World::new().await;
    let key = world.run(broken(json!([{"run": ["false-undo"]}, {"run": ["never-undone"]}])), json!({})).await;
    assert_eq!(world.ran(), ["drain web", "false", "false-undo"]);
    let said = "step 2: false exited with 1; undo failed at its step 1: false-undo exited with 1";
    assert_eq!((world.get(&key).await.state.as_str(), world.end(&key).await.as_str()), ("failed", said));
}

#[tokio::test]
async fn an_undo_step_that_may_fail_does_not_keep_the_others_from_being_done() {
    let world = World::new().await;
    let undo = json!([{"run": ["false-undo"], "on_failure": "continue"}, {"run": ["fill", "web"]}]);
    let key = world.run(broken(undo), json!({})).await;
    assert_eq!(world.ran(), ["drain web", "false", "false-undo", "fill web"]);
    assert!(world.end(&key).await.contains("undo failed at its step 1"), "{}", world.end(&key).await);
}

#[tokio::test]
async fn what_may_fail_is_not_undone() {
    let world = World::new().await;
    let steps = json!([{"run": ["false"], "on_failure": "continue"}, {"run": ["go", "on"]}]);
    let key = world.run(json!({"steps": steps, "undo": [{"run": ["never"]}]}), json!({})).await;
    assert_eq!(world.ran(), ["false", "go on"]);
    assert_eq!(world.get(&key).await.state, "succeeded");
}

#[tokio::test]
async fn a_step_is_done_when_its_command_ends_as_the_step_expects() {
    for (expect, command, state, why) in [
        (json!([]), "true", "succeeded", "0 when it does not say"),
        (json!([0, 1]), "false", "succeeded", "one of those that it names"),
        (json!([1]), "true", "failed", "none of them"),
    ] {
        let world = World::new().await;
        let steps = json!([{"run": [command], "expect_exit": expect}]);
        let key = world.run(json!({"steps": steps}), json!({})).await;
        assert_eq!(world.get(&key).await.state, state, "{why}");
    }
}

#[tokio::test]
async fn a_person_can_be_asked_to_undo_over_a_restart() {
    let world = World::new().await;
    let key = world.run(broken(json!([{"ask": "Plug it in again"}, {"run": ["fill", "web"]}])), json!({})).await;
    let run = world.get(&key).await;
    assert_eq!((run.state.as_str(), run.text("asked")), ("waiting", "Plug it in again"));
    let world = world.restart().await;
    let run = world.answer("ben", &key, "confirm", None).await;
    assert_eq!(run.state, "failed");
    assert_eq!(results(&run)[2], (true, true, "ben confirmed it".into()));
    assert_eq!(world.ran(), ["drain web", "false", "fill web"]);
    assert!(world.end(&key).await.ends_with("undone: all 2 undo steps done"), "{}", world.end(&key).await);
}
