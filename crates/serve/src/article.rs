//! Article: what the team knows, written down. Votes and uses are counted here; who may read it is for the policies.

use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that is known and worth finding again: an answer, an instruction, an explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Article {
    /// What it answers, in the words of those who look for it.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// The answer in a sentence or two.
    #[schemars(length(max = 1000))]
    pub summary: Option<String>,
    /// The whole, in Markdown.
    #[schemars(extend("x-multiline" = true))]
    pub text: String,
    /// What kind of text it is.
    #[serde(default)]
    pub kind: ArticleKind,
    /// Language that it is written in, such as en.
    #[schemars(length(min = 2, max = 20))]
    pub language: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<String>,
    /// Who may read it.
    #[serde(default)]
    pub audience: ArticleAudience,
    /// By when somebody must look whether it is still true.
    pub review_by: Option<Time>,
    /// How often it helped.
    #[serde(default)]
    pub helpful: u32,
    /// How often it did not help.
    #[serde(default)]
    pub not_helpful: u32,
    /// How often it was read.
    #[serde(default)]
    pub views: u32,
}

/// What kind of text an article is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArticleKind {
    /// A question and its answer.
    #[default]
    Answer,
    /// How to do something, step by step.
    Instruction,
    /// How something works, and why.
    Explanation,
    /// What is allowed and what is not.
    Policy,
    /// What the next shift has to know.
    HandOver,
}

/// Who may read an article.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArticleAudience {
    /// Those who run the services.
    #[default]
    Team,
    /// Everybody who uses them.
    Users,
    /// Everybody.
    Public,
}

impl Class for Article {
    const KIND: &'static str = "article";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("KB-")
            .states(&[
                ("draft", true, "Being written."),
                ("in-review", true, "Somebody else reads it."),
                ("published", true, "Its readers can find it."),
                ("retired", false, "No longer true or no longer needed."),
            ])
            .step("submit", &["draft"], "in-review", "Asks somebody else to read it.")
            .step("publish", &["draft", "in-review"], "published", "Its readers can find it.")
            .step("revise", &["in-review", "published", "retired"], "draft", "Takes it back to be changed.")
            .step("retire", &["draft", "in-review", "published"], "retired", "Takes it out of use.")
            .link("explains", &[], "What it is about: a service, a product, a known error.")
            .link("relates-to", &[], "Anything else that helps to understand it.")
            .computes(&["helpful", "not_helpful", "views"], |_| {})
            .indexed(&["kind", "audience", "review_by"])
            .columns(&["key", "title", "kind", "audience", "state", "owner", "review_by", "helpful", "updated"])
            .sorts(&["-updated", "review_by", "-helpful"])
            .practices(&["knowledge management", "service desk", "ISO/IEC 20000-1 7.6"])
    }
}
