//! Calendar: working hours and holidays, which service levels, on-call layers and windows count in. It holds no
//! appointments.

use kernel::calendar::Holiday;
use kernel::{Class, Define, FieldError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Working hours and holidays of a place or a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Whose hours these are.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Zone of the hours, such as Europe/Berlin.
    #[serde(default = "timezone_default")]
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// Hours on Mondays, such as `09:00-17:30`; several a day, and an end before the beginning is on the next day.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub monday: Vec<String>,
    /// Hours on Tuesdays.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub tuesday: Vec<String>,
    /// Hours on Wednesdays.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub wednesday: Vec<String>,
    /// Hours on Thursdays.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub thursday: Vec<String>,
    /// Hours on Fridays.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub friday: Vec<String>,
    /// Hours on Saturdays.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub saturday: Vec<String>,
    /// Hours on Sundays.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub sunday: Vec<String>,
    /// Days on which nothing opens.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub holidays: Vec<Holiday>,
}

impl Class for Calendar {
    const KIND: &'static str = "calendar";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "In use."), ("retired", false, "No longer in use.")])
            .step("retire", &["active"], "retired", "Takes it out of use.")
            .step("restore", &["retired"], "active", "Uses it again.")
            .check(opens)
            .columns(&["key", "title", "timezone", "state", "updated"])
            .sorts(&["key", "-updated"])
            .practices(&["service level management", "ISO/IEC 20000-1 8.3.3"])
    }
}

fn opens(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let spec: Map<String, Value> =
        fields.iter().filter(|(n, _)| *n != "title").map(|(n, v)| (n.clone(), v.clone())).collect();
    let spec = serde_json::from_value(Value::Object(spec)).map_err(|e| FieldError::new("", e.to_string()))?;
    kernel::calendar::Calendar::new(&spec).map(|_| ())
}

fn timezone_default() -> String {
    "UTC".to_owned()
}
