//! On-call schedule: whose watch it is at any moment. It says who, never how that person is reached.

use kernel::define::{in_order, is_schedule};
use kernel::{Class, Define, FieldError, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Whose watch it is: layers of people who take turns, and exceptions to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnCallSchedule {
    /// What the people on it answer for.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Zone in which turns change and hours are meant, such as Europe/London.
    #[serde(default = "timezone_default")]
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// Who takes turns; a later layer stands in where an earlier one has nobody.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub layers: Vec<Layer>,
    /// Exceptions: somebody else's watch for a while.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub overrides: Vec<Override>,
    /// Working hours and holidays that layers can be limited to.
    pub calendar: Option<Ref>,
}

/// People who take turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What the layer is: primary, nights, weekend …
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Keys of the people, in the order of their turns.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    pub people: Vec<String>,
    /// How long a turn is.
    #[serde(default)]
    pub rotation: Rotation,
    /// So many hours, days, weeks or months make one turn.
    #[serde(default = "layer_turns")]
    #[schemars(range(min = 1, max = 366))]
    pub turns: u32,
    /// When the first person's first turn begins; when the schedule was made when left out.
    pub starts: Option<Time>,
    /// Time of day at which turns change, on the wall clock of the zone.
    #[serde(default = "layer_hand_off")]
    #[schemars(length(min = 5, max = 5))]
    pub hand_off: String,
    /// Days on which the layer holds; empty: all.
    #[serde(default)]
    #[schemars(length(max = 7))]
    pub days: Vec<Weekday>,
    /// Time of day from which it holds, such as 18:00; the whole day when left out.
    #[schemars(length(min = 5, max = 5))]
    pub from: Option<String>,
    /// Time of day until which it holds; on the next day when it is before `from`.
    #[schemars(length(min = 5, max = 5))]
    pub to: Option<String>,
}

/// Length of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// Hours.
    Hourly,
    /// Days.
    Daily,
    /// Weeks.
    #[default]
    Weekly,
    /// Months.
    Monthly,
}

/// Day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

/// Somebody else's watch for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Key of the person who takes the watch.
    #[schemars(length(min = 1, max = 128))]
    pub person: String,
    /// Key of the person whose watch it would be; whoever it is when left out.
    #[schemars(length(min = 1, max = 128))]
    pub instead_of: Option<String>,
    /// From when.
    pub start: Time,
    /// Until when.
    pub end: Time,
}

impl Class for OnCallSchedule {
    const KIND: &'static str = "on-call-schedule";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("On-call schedule", "On-call schedules")
            .states(&[("active", true, "It says who is paged."), ("retired", false, "No longer in use.")])
            .step("retire", &["active"], "retired", "Takes it out of use.")
            .step("restore", &["retired"], "active", "Uses it again.")
            .refers("calendar", &["calendar"], "follows-calendar", OnDelete::Block)
            .link("staffed-by", &["person", "team"], "People and teams on it.")
            .check(|fields| is_schedule(fields, "", "timezone"))
            .check(times_of_day)
            .columns(&["key", "title", "timezone", "owner", "state", "updated"])
            .sorts(&["key", "-updated"])
            .practices(&["incident management", "workforce and talent management", "ISO/IEC 20000-1 8.6.1"])
    }
}

/// Times of day are read when somebody is to be paged: a wrong one is refused here, where somebody sees it.
fn times_of_day(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let list = |name: &str| fields.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for (i, layer) in list("layers").iter().enumerate() {
        for name in ["hand_off", "from", "to"] {
            let given = layer.get(name).and_then(Value::as_str);
            if given.is_some_and(|t| !is_time_of_day(t)) {
                return Err(FieldError::new(format!("layers.{i}.{name}"), "must be a time of day from 00:00 to 23:59"));
            }
        }
    }
    for (i, exception) in list("overrides").iter().enumerate() {
        let inside = exception.as_object().map(|o| in_order(o, "start", "end"));
        if let Some(Err(error)) = inside {
            return Err(FieldError::new(format!("overrides.{i}.{}", error.field), error.message));
        }
    }
    Ok(())
}

fn is_time_of_day(text: &str) -> bool {
    let Some((hour, minute)) = text.split_once(':') else { return false };
    let number = |t: &str, end: u8| t.len() == 2 && t.parse::<u8>().is_ok_and(|n| n < end);
    number(hour, 24) && number(minute, 60)
}

fn timezone_default() -> String {
    "UTC".to_owned()
}

fn layer_turns() -> u32 {
    1
}

fn layer_hand_off() -> String {
    "09:00".to_owned()
}
