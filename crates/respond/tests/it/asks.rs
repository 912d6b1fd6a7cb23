//! A step that a person does: the run waits on its record, over restarts, until somebody answers or the time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, question, results};

const MINUTE: Duration = Duration::from_secs(60);

/// A command, then a question, then a command.
fn with_a_person() -> Value {
    json!({
        "parameters": {"unit": {"type": "text", "default": "nginx"}},
        "steps": [
            {"run": ["drain", "{{ unit }}"]},
            {"ask": "Swap the fan of {{ unit }}", "within": "30m"},
            {"run": ["fill", "{{ unit }}"]},
        ],
    })
}

#[tokio::test]
async fn a_run_waits_for_a_person_and_goes_on_when_it_is_confirmed() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    let run = world.get(&key).await;
    assert_eq!((run.state.as_str(), run.open), ("waiting", true));
    let expected = BTreeMap::from([
        ("asked", "Swap the fan of nginx"),
        ("asked_at", "2026-11-21T03:00:00Z"),
        ("asked_until", "2026-11-21T03:30:00Z"),
    ]);
    assert_eq!(question(&run), expected);
    assert_eq!(world.ran(), ["drain nginx"], "nothing goes on by itself");
    assert_eq!(world.told().await, ["RUN-1: a person is asked, until 2026-11-21T03:30:00Z: Swap the fan of nginx"]);

    world.later(10 * MINUTE).await;
    let run = world.answer("ben", &key, "confirm", Some("it was loose")).await;
    assert_eq!(run.state, "succeeded");
    assert_eq!(world.ran(), ["drain nginx", "fill nginx"]);
    assert_eq!(results(&run)[1], (false, true, "ben confirmed it: it was loose".into()));
    let answer = &run.get("results").unwrap()[1];
    assert_eq!((&answer["by"], &answer["ask"]), (&json!("ben"), &json!("Swap the fan of nginx")));
    assert_eq!((&answer["asked_at"], &answer["at"]), (&json!("2026-11-21T03:00:00Z"), &json!("2026-11-21T03:10:00Z")));
    assert!(question(&run).is_empty(), "nobody is asked any more: {:?}", question(&run));
    let journal = world.journal(&key).await;
    let entry = journal.iter().find(|e| e.action == "confirm").expect("the answer is in the journal");
    assert_eq!((entry.actor.to_string().as_str(), entry.note.as_deref()), ("person:ben", Some("it was loose")));
}

#[tokio::test]
async fn a_question_survives_a_restart() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    let before = world.get(&key).await;
    let world = world.restart().await;
    world.settle().await;
    assert_eq!(world.get(&key).await, before, "it still waits, and nothing was done twice");
    let world = world.restart().await;
    let run = world.answer("ben", &key, "confirm", None).await;
    assert_eq!((run.state.as_str(), results(&run)[1].2.as_str()), ("succeeded", "ben confirmed it"));
    assert_eq!(world.ran(), ["drain nginx", "fill nginx"], "each command once");
}

#[tokio::test]
async fn an_answer_that_came_while_nothing_ran_is_not_lost() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    world.step("ben", &key, "confirm", None).await.unwrap();
    let world = world.restart().await;
    world.settle().await;
    assert_eq!(world.get(&key).await.state, "succeeded");
}

#[tokio::test]
async fn a_job_that_was_killed_after_it_asked_does_not_go_on_beside_its_successor() {
    let world = World::new().await;
    let steps = json!([{"ask": "First"}, {"run": ["once"]}, {"ask": "Second"}, {"run": ["twice"]}]);
    let key = world.propose(json!({"approval": "one", "steps": steps}), json!({})).await;
    world.step("ana", &key, "approve", None).await.unwrap();
    for before in [&[][..], &["once"]] {
        // Killed after the question stood on the record, and before it was written down that the job was done.
        world.look_once().await;
        world.work_and_die().await;
        assert_eq!(world.get(&key).await.state, "waiting");
        world.step("ben", &key, "confirm", None).await.unwrap();
        world.clock.advance(MINUTE);
        assert_eq!(world.work().await, 1, "its lease ran out, so it is done again");
        assert_eq!(world.get(&key).await.state, "running", "the answer is left to the job that it began");
        assert_eq!(world.ran(), before);
    }
    world.settle().await;
    assert_eq!((world.get(&key).await.state.as_str(), world.ran()), ("succeeded", vec!["once".into(), "twice".into()]));
}

#[tokio::test]
async fn who_says_that_it_did_not_work_ends_the_run() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    let run = world.answer("ben", &key, "did-not-work", Some("no spare fan")).await;
    assert_eq!(run.state, "failed");
    assert_eq!(results(&run)[1], (false, false, "ben said that it did not work: no spare fan".into()));
    let said = "step 2: ben said that it did not work: no spare fan; the runbook has no undo steps";
    assert_eq!(world.end(&key).await, said);
    assert_eq!(world.told().await[1], format!("RUN-1 failed: {said}"));
    assert_eq!(world.ran(), ["drain nginx"]);
}

#[tokio::test]
async fn whoever_answers_is_named_for_what_they_are() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    let root = kernel::Session::authenticated(
        kernel::Actor::new(kernel::session::ActorKind::Local, "0"),
        kernel::TenantId::HOME,
        Vec::new(),
    );
    world.step_by(&root, &key, "confirm", None).await.unwrap();
    world.settle().await;
    assert_eq!(results(&world.get(&key).await)[1].2, "local:0 confirmed it");
}

#[tokio::test]
async fn a_second_answer_is_told_as_that_and_not_as_the_first() {
    let world = World::new().await;
    let key = world.run(json!({"steps": [{"ask": "One"}, {"ask": "Two"}]}), json!({})).await;
    world.answer("ben", &key, "confirm", Some("first")).await;
    let run = world.answer("eve", &key, "confirm", None).await;
    let said: Vec<String> = results(&run).into_iter().map(|(_, _, said)| said).collect();
    assert_eq!(said, ["ben confirmed it: first", "eve confirmed it"]);
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_the_step_says() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    world.later(29 * MINUTE).await;
    assert_eq!(world.get(&key).await.state, "waiting", "there is time left");
    // The time ends while Mainstay is not running.
    let world = world.restart().await;
    world.later(2 * MINUTE).await;
    let run = world.get(&key).await;
    assert_eq!((run.state.as_str(), results(&run)[1].2.as_str()), ("failed", "nobody confirmed it within 30m"));
    let late = world.step("ben", &key, "confirm", None).await.unwrap_err().to_string();
    assert!(late.contains("RUN-1 is failed; confirm starts from waiting"), "{late}");
}

#[tokio::test]
async fn a_step_without_a_time_waits_an_hour_and_one_that_may_fail_does_not_stop_the_run() {
    let world = World::new().await;
    let steps = json!([{"ask": "Look at the lamps", "on_failure": "continue"}, {"run": ["go", "on"]}]);
    let key = world.run(json!({"steps": steps}), json!({})).await;
    world.later(59 * MINUTE).await;
    assert_eq!(world.get(&key).await.state, "waiting");
    world.later(MINUTE).await;
    let run = world.get(&key).await;
    assert_eq!(run.state, "succeeded");
    assert_eq!(results(&run)[0], (false, false, "nobody confirmed it within 1h".into()));
    assert_eq!(world.ran(), ["go on"]);
}

#[tokio::test]
async fn cancelling_ends_the_wait_and_nothing_follows() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    let run = world.answer("ben", &key, "cancel", Some("the shop is closed")).await;
    assert_eq!((run.state.as_str(), run.open), ("cancelled", false));
    assert!(question(&run).is_empty(), "nobody is asked any more");
    world.later(90 * MINUTE).await;
    assert_eq!(world.get(&key).await.state, "cancelled", "its time does not end it a second time");
    assert_eq!(world.ran(), ["drain nginx"]);
    assert!(world.step("ben", &key, "confirm", None).await.is_err());
}

#[tokio::test]
async fn what_was_agreed_to_is_what_is_done() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    let changed = json!({"steps": [{"run": ["something", "else"]}], "parameters": {}});
    world.change("mend", changed).await;
    world.change(&key, json!({"parameters": {"unit": "another"}})).await;
    world.answer("ben", &key, "confirm", None).await;
    assert_eq!(world.ran(), ["drain nginx", "fill nginx"], "while it waited, the runbook and its values were changed");
}

#[tokio::test]
async fn only_mainstay_says_what_is_asked_and_what_was_answered() {
    let world = World::new().await;
    let key = world.run(with_a_person(), json!({})).await;
    for field in ["asked", "asked_at", "asked_until", "answer", "answered_by", "begun", "results"] {
        let refused = world.try_change(&key, json!({field: Value::Null})).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("{field}: is set by Mainstay")), "{refused}");
    }
    for step in ["ask", "lapse", "succeed", "fail"] {
        assert!(world.step("ben", &key, step, None).await.is_err(), "{step} is Mainstay's own");
    }
}

#[tokio::test]
async fn where_two_must_agree_one_is_not_enough_however_quick() {
    let world = World::new().await;
    let key = world.propose(json!({"approval": "two", "steps": [{"run": ["drain", "web"]}]}), json!({})).await;
    assert!(world.step("ana", &key, "approve", None).await.is_err(), "nobody has endorsed it");
    world.step("ana", &key, "endorse", None).await.unwrap();
    assert!(world.step("ana", &key, "approve", None).await.is_err(), "she cannot be both");
    world.step("ben", &key, "approve", None).await.unwrap();
    world.settle().await;
    assert_eq!((world.get(&key).await.state.as_str(), world.ran()), ("succeeded", vec!["drain web".into()]));
    let hasty = world.hasty().await;
    let refused = world.step("ana", &hasty, "approve", None).await.unwrap_err();
    assert!(refused.to_string().contains("looked up"), "{refused}");
}

#[tokio::test]
async fn only_so_many_runs_of_a_runbook_are_at_work_as_it_allows() {
    let world = World::new().await;
    let first = world.run(with_a_person(), json!({})).await;
    assert_eq!(world.get(&first).await.state, "waiting");
    let second = world.hasty().await;
    world.settle().await;
    assert_eq!(world.get(&second).await.state, "approved", "the first one is still at work");
    world.step("ben", &first, "confirm", None).await.unwrap();
    world.later(MINUTE).await;
    assert_eq!(world.get(&first).await.state, "succeeded");
    world.later(MINUTE).await;
    assert_eq!(world.get(&second).await.state, "waiting", "now it is its turn");
}
