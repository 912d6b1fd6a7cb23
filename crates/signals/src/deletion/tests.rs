//! The class, what a record means, and which errors pass by themselves. What a deletion does is shown on the running program.

use kernel::define::proof::{round_trip, unfinished};
use kernel::{ClassDef, Verb};
use serde_json::json;

use super::*;

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
        assert_eq!(matches!(judged(&error), Outcome::Later(_)), later, "{error}");
    }
}
