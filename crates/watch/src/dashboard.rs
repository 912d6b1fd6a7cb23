//! Dashboard: questions about metrics and records, arranged on a page. It holds questions, never data.

use kernel::{Class, Define, Dur};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A page of graphs, figures and lists about systems that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// What it shows.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What to look for, and what is normal.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// How far back it looks when it is opened.
    #[serde(default = "range_default")]
    pub range: Dur,
    /// How often it is drawn anew.
    #[serde(default = "refresh_default")]
    pub refresh: Dur,
    /// Names that may stand in its queries as `$name`, each with its usual value.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// What it shows, from left to right and from top to bottom.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub panels: Vec<Panel>,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<String>,
}

/// One graph, figure, list or text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// What it shows.
    #[schemars(length(max = 200))]
    pub title: String,
    /// How it shows it.
    #[serde(default)]
    pub kind: PanelKind,
    /// In PromQL for graphs and figures, in the filter language for lists.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub queries: Vec<String>,
    /// Unit of the values, such as seconds, bytes or percent.
    #[schemars(length(max = 40))]
    pub unit: Option<String>,
    /// Columns of twelve that it takes.
    #[serde(default = "panel_width")]
    #[schemars(range(min = 1, max = 12))]
    pub width: u32,
    /// Rows that it takes.
    #[serde(default = "panel_height")]
    #[schemars(range(min = 1, max = 40))]
    pub height: u32,
    /// Text of a text panel, or a remark under the graph, in Markdown.
    #[schemars(extend("x-multiline" = true))]
    pub text: Option<String>,
}

/// How a panel shows what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PanelKind {
    /// Lines over time.
    #[default]
    Graph,
    /// The latest value, large.
    Figure,
    /// The latest value between its bounds.
    Gauge,
    /// The latest values in a table.
    Table,
    /// A distribution over time.
    Heatmap,
    /// A list of records.
    Records,
    /// Log lines.
    Logs,
    /// Text.
    Text,
}

impl Class for Dashboard {
    const KIND: &'static str = "dashboard";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "In use."), ("archived", false, "Kept, and no longer listed.")])
            .step("archive", &["active"], "archived", "Takes it off the list.")
            .step("restore", &["archived"], "active", "Lists it again.")
            .link("shows", &[], "Records that it is about; it is offered on their pages.")
            .columns(&["key", "title", "tags", "owner", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["monitoring and event management", "measurement and reporting"])
    }
}

fn range_default() -> Dur {
    Dur::seconds(3 * 3600)
}

fn refresh_default() -> Dur {
    Dur::seconds(30)
}

fn panel_width() -> u32 {
    6
}

fn panel_height() -> u32 {
    8
}
