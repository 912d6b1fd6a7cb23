//! What holds an alert back: a silence that matches it or covers what it is about, or maintenance.

use kernel::controller::Cx;
use kernel::error::ActError;
use kernel::link::Side;
use kernel::read::ListAsk;
use kernel::{HealthState, Record, Time};
use serde_json::Value;

/// A hold, and until when; `None` when it ends by something else than time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Key of the silence or window.
    pub by: String,
    /// When to look again.
    pub until: Option<Time>,
}

/// The first thing that holds an alert back.
///
/// # Errors
/// What the kernel says.
pub async fn held_back(cx: &Cx, alert: &Record) -> Result<Option<Hold>, ActError> {
    let about = match alert.text("about") {
        "" => None,
        key => cx.kernel.find(&cx.session, key).await.ok(),
    };
    if let Some(record) = &about
        && record.health.as_ref().is_some_and(|h| h.state == HealthState::Maintenance)
        && let Some(window) = window_over(cx, record).await?
    {
        return Ok(Some(window));
    }
    let ask = ListAsk { filter: "state:active".into(), limit: 500, ..ListAsk::default() };
    let now = cx.kernel.now();
    for silence in cx.kernel.list(&cx.session, "silence", &ask).await?.records {
        let time = |field: &str| silence.get(field).and_then(Value::as_str).and_then(Time::parse);
        let (starts, until) = (time("starts_at"), time("until"));
        if starts.is_some_and(|t| t > now) || until.is_some_and(|t| t <= now) {
            continue;
        }
        if covers(cx, &silence, about.as_ref()).await? || matches(cx, &silence, alert) {
            return Ok(Some(Hold { by: silence.key.clone(), until }));
        }
    }
    Ok(None)
}

async fn window_over(cx: &Cx, record: &Record) -> Result<Option<Hold>, ActError> {
    let ask = ListAsk { filter: "state:active".into(), limit: 100, ..ListAsk::default() };
    let title = record.health.as_ref().map(|h| h.reason.clone()).unwrap_or_default();
    let windows = cx.kernel.list(&cx.session, "maintenance-window", &ask).await?.records;
    Ok(windows.into_iter().find(|w| title.starts_with(&w.title)).map(|w| Hold { by: w.key, until: None }))
}

async fn covers(cx: &Cx, silence: &Record, about: Option<&Record>) -> Result<bool, ActError> {
    let Some(about) = about else { return Ok(false) };
    let links = cx.kernel.backend().neighbours(cx.tenant, silence.id).await?;
    Ok(links.iter().any(|n| n.name == "covers" && n.direction == Side::Out && n.other.id == about.id))
}

/// Whether the silence's matcher fits the alert; a matcher that does not compile holds nothing back.
fn matches(cx: &Cx, silence: &Record, alert: &Record) -> bool {
    let Some(class) = cx.kernel.registry().class("alert") else { return false };
    let matcher = silence.text("matcher");
    if matcher.trim().is_empty() {
        return false;
    }
    let compiled = kernel::filter::compile(matcher, &class, cx.kernel.registry(), cx.kernel.now());
    compiled.is_ok_and(|p| kernel::eval::matches(&p, alert) == Some(true))
}
