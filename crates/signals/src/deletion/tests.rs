//! The class, what a record means, and which errors pass by themselves. What a deletion does is shown on the running program.

use kernel::define::proof::{round_trip, unfinished};
use kernel::{ClassDef, Verb};
use serde_json::json;

use series::{Engine, MetricsError, Options, SeriesError};

use super::*;
use crate::faulty::Faulty;

fn class() -> ClassDef {
    kernel::define::class::<SeriesDeletion>(Verb::Kernel)
}

#[test]
fn the_class_is_finished_and_written_back_as_it_was() {
    assert_eq!(unfinished(&class()), Vec::<String>::new());
    assert_eq!(round_trip::<SeriesDeletion>(Verb::Kernel), Ok(()));
}

#[test]
fn only_selectors_that_mean_something_are_taken() {
    for (selectors, taken, why) in [
        (json!(["up"]), true, "a name"),
        (json!(["up", "{job=\"a\"}"]), true, "several"),
        (json!([]), false, "nothing is named"),
        (json!(["{}"]), false, "everything would be meant"),
        (json!(["up[5m]"]), false, "a stretch is said by from and to"),
        (json!(["sum(up)"]), false, "no selector"),
        (json!(["up", "up{"]), false, "one is wrong"),
        (json!(vec!["up"; 101]), false, "too many"),
    ] {
        let fields = Map::from_iter([("selectors".to_owned(), selectors.clone())]);
        assert_eq!(selectors_are_some(&fields).is_ok(), taken, "{why}: {selectors}");
    }
}

/// What becomes of a deletion of all that `load` has, from then on; the first counts are refused.
async fn deleted(from: Value, refused: usize) -> (Outcome, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) =
        Engine::open(folder.path(), Options { clock: Arc::new(|| 5_000), ..Options::default() }).expect("it opens");
    let labels = series::Labels::metric("load", &[]).expect("labels");
    let samples = (1..=5).map(|n| series::Sample { labels: labels.clone(), at_ms: n * 1000, value: 1.0 });
    engine.append(7, samples.collect()).await.expect("stored");
    let metrics: Arc<dyn Metrics> = Arc::new(Faulty::new(engine, refused));
    let fields = Map::from_iter([("selectors".to_owned(), json!(["load"])), ("from".to_owned(), from)]);
    let outcome = Delete(metrics.clone()).delete(7, "DEL-1", &fields).await;
    // Asked until a count is not refused.
    let all = vec![vec![Matcher::eq(series::NAME, "load")]];
    let mut left = metrics.count(7, all.clone(), ALL_TIME).await;
    while left.is_err() {
        left = metrics.count(7, all.clone(), ALL_TIME).await;
    }
    (outcome, left.map_or(0, |left| left.samples))
}

#[tokio::test]
async fn what_cannot_be_counted_is_deleted_all_the_same() {
    let (outcome, left) = deleted(json!("1970-01-01T00:00:03Z"), 0).await;
    let Outcome::Done(fields) = outcome else { panic!("it is done") };
    assert_eq!((Value::Object(fields), left), (json!({"series": 1, "samples": 3}), 2));
    let (outcome, left) = deleted(Value::Null, 3).await;
    let Outcome::Done(fields) = outcome else { panic!("it is done") };
    assert_eq!((fields.len(), left), (0, 0), "an unknown number is not written down as none");
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_not_all_time() {
    let (outcome, left) = deleted(json!("yesterday"), 0).await;
    let Outcome::Never(why) = outcome else { panic!("it is refused") };
    assert!(why.contains("from") && left == 5, "{why}; {left} are left");
}

#[test]
fn an_error_that_may_pass_is_waited_for_and_no_other() {
    let engine = || "e".to_owned();
    for (error, later) in [
        (MetricsError::Away { engine: engine(), reason: "no route".into() }, true),
        (MetricsError::Refused { engine: engine(), reason: "switched off".into() }, false),
        (MetricsError::Store(SeriesError::TooManyDeletes { limit: 1000 }), true),
        (MetricsError::Store(SeriesError::TooMany { given: 2, limit: 1 }), false),
        (MetricsError::Ended, true),
    ] {
        assert_eq!(error.is_retryable(), later, "{error}");
    }
}
