//! Catalogue item: something that people can ask for, with its form. Who may see it is for the policies.

use kernel::{Class, Define, Dur, OnDelete, Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that people can ask for: what it is, what it costs, how long it takes, who must agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueItem {
    /// What it is, in the words of those who ask for it.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What one gets, and what one does not.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Heading under which it stands.
    #[schemars(length(min = 1, max = 100))]
    pub category: Option<String>,
    /// What has to be known.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub form: Vec<Question>,
    /// Somebody must agree.
    #[serde(default)]
    pub needs_approval: bool,
    /// People of whom one must agree.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub approvers: Vec<Ref>,
    /// The team that does it.
    pub fulfilled_by: Option<Ref>,
    /// The runbook that does it by itself.
    pub runbook: Option<Ref>,
    /// In how much time it is promised.
    pub promised_within: Option<Dur>,
    /// What it costs once, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub price: Option<f64>,
    /// What it costs a month, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub monthly_price: Option<f64>,
    /// Filter of the people who see it; everybody when left out.
    #[schemars(length(max = 1000))]
    pub audience: Option<String>,
}

/// One question of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Short name, under which the answer is kept.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The question.
    #[schemars(length(min = 1, max = 500))]
    pub label: String,
    /// What kind of answer it wants.
    #[serde(default)]
    pub kind: QuestionKind,
    /// Answers to choose from.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub choices: Vec<String>,
    /// It must be answered.
    #[serde(default)]
    pub required: bool,
    /// It is only asked when this holds, such as `kind:laptop`.
    #[schemars(length(max = 500))]
    pub shown_when: Option<String>,
}

/// What kind of answer a question wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuestionKind {
    /// A line of text.
    #[default]
    Text,
    /// Several lines of text.
    Paragraph,
    /// A number.
    Number,
    /// Yes or no.
    YesNo,
    /// One of several.
    Choice,
    /// A day.
    Date,
    /// A person.
    Person,
}

impl Class for CatalogueItem {
    const KIND: &'static str = "catalogue-item";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Catalogue item", "Catalogue items")
            .states(&[
                ("published", true, "People can ask for it."),
                ("draft", true, "Being prepared; only the team sees it."),
                ("withdrawn", false, "Can no longer be asked for."),
            ])
            .step("revise", &["published", "withdrawn"], "draft", "Takes it back to be changed.")
            .step("publish", &["draft", "withdrawn"], "published", "People can ask for it.")
            .step("withdraw", &["published", "draft"], "withdrawn", "It can no longer be asked for.")
            .refers("approvers", &["person", "team"], "approved-by", OnDelete::Unlink)
            .refers("fulfilled_by", &["team"], "helped-by", OnDelete::Unlink)
            .refers("runbook", &["runbook"], "answered-with", OnDelete::Block)
            .link("part-of", &["service"], "The service that it belongs to.")
            .indexed(&["category"])
            .columns(&[
                "key",
                "title",
                "category",
                "promised_within",
                "price",
                "needs_approval",
                "fulfilled_by",
                "state",
            ])
            .sorts(&["key", "-updated"])
            .practices(&["service catalogue management", "service request management", "ISO/IEC 20000-1 8.2.4"])
    }
}
