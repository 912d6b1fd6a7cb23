//! ICMP over the real loopback. Without the right to send echoes, what is promised is the sentence that says so.

use probe::State;
use serde_json::json;

use crate::{SECONDS_5, check};

#[tokio::test]
async fn loopback_answers_echoes_or_the_missing_right_is_told() {
    let outcome = check("icmp", "127.0.0.1", json!({"count": 4, "pause": "1ms"}), SECONDS_5).await;
    if outcome.state == State::Unknown {
        assert!(outcome.summary.contains("CAP_NET_RAW"), "{}", outcome.summary);
        return;
    }
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert!(outcome.summary.starts_with("127.0.0.1 answered 4 of 4 echoes"), "{}", outcome.summary);
    assert_eq!(outcome.reading("icmp_loss_percent"), Some(0.0));
    assert!(outcome.reading("icmp_round_trip_seconds").unwrap() > 0.0);
}

#[tokio::test]
async fn many_checks_of_one_host_at_once_do_not_take_each_others_replies() {
    let env = probe::Env::real();
    let mut checks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let env = env.clone();
        checks.spawn(async move {
            let params = json!({"count": 3, "pause": "1ms"});
            let request =
                probe::Request { protocol: "icmp".into(), target: "127.0.0.1".into(), params, timeout: SECONDS_5 };
            probe::check(&env, &request).await
        });
    }
    while let Some(outcome) = checks.join_next().await {
        let outcome = outcome.unwrap();
        let without_right = outcome.state == State::Unknown && outcome.summary.contains("CAP_NET_RAW");
        assert!(outcome.state == State::Ok || without_right, "{}", outcome.summary);
    }
}
