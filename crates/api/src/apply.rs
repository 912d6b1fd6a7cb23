//! Configuration as code: documents of `kind`, `metadata`, `spec` become records. First the plan, then all of it in one commit.
//!
//! Documents may name each other in any order. Users' classes come first, in a commit of their own, so that documents of those
//! classes can stand in the same folder; all of the documents are planned before the first commit, those with the classes as they
//! will be.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use kernel::act::{Act, Create, NewLink, Target};
use kernel::class::ClassRef;
use kernel::error::{ActError, FieldError, Noun};
use kernel::journal::difference;
use kernel::{Record, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::Body;

mod documents;

use documents::{Document, Fault, File, documents, located, ordered};
pub use documents::{Named, Wrong, read};

/// Most documents of one request.
const MAX_DOCUMENTS: usize = 5000;

/// Operations of configuration as code.
pub fn operations() -> Vec<Operation> {
    let file = json!({"type": "object", "required": ["path", "text"], "properties": {"path": {"type": "string"}, "text": {"type": "string"}}, "additionalProperties": false});
    let body = json!({"type": "object", "required": ["files"], "properties": {"files": {"type": "array", "items": file}, "dry_run": {"type": "boolean"}}, "additionalProperties": false});
    vec![
        Operation::new(
            Method::POST,
            "/api/v1/apply",
            "apply",
            "Makes records what YAML documents say. With dry_run, only the plan; errors name file, line and field.",
        )
        .takes(body)
        .answers(200, json!({"type": "object", "required": ["plan", "errors", "applied"]}))
        .by(apply),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBody {
    files: Vec<File>,
    #[serde(default)]
    dry_run: bool,
}

/// What is to become of a document.
struct Change {
    act: Act,
    also: Vec<Act>,
    shown: Value,
    unchanged: bool,
}

async fn apply(State(app): State<App>, who: Caller, body: Body<ApplyBody>) -> Result<Json<Value>, Problem> {
    let (documents, mut faults) = documents(body.value.files);
    if documents.len() > MAX_DOCUMENTS {
        return Err(Problem::field(
            "files",
            format!("hold {} documents; at most {MAX_DOCUMENTS} are allowed", documents.len()),
        ));
    }
    let (plan, commits) = planned(&app, &who.session, documents, &mut faults).await?;
    let mut applied = false;
    if faults.is_empty() && !body.value.dry_run {
        for acts in commits.into_iter().filter(|acts| !acts.is_empty()) {
            app.kernel.acts(&who.session, acts, None).await?;
            applied = true;
        }
    }
    Ok(Json(json!({"plan": plan, "errors": faults, "applied": applied})))
}

/// What is to become of each document, and the two commits that do it: the classes; then the records, and last all links, as by
/// then every record is there to be linked.
async fn planned(
    app: &App,
    session: &Session,
    documents: Vec<Document>,
    faults: &mut Vec<Fault>,
) -> Result<(Vec<Value>, [Vec<Act>; 2]), ActError> {
    let (classes, others): (Vec<Document>, Vec<Document>) = documents.into_iter().partition(|d| d.kind == "class");
    let drafted = drafted(app, session, &classes, faults).await?;
    let all = || classes.iter().chain(&others);
    let outlook = Outlook {
        app,
        session,
        names: all().map(|d| (d.name.clone(), d.kind.clone())).collect(),
        classes: drafted.iter().map(|class| (class.name.to_string(), class.clone())).collect(),
    };
    // When a definition is at fault, that is told; the classes and their records cannot be judged before it is mended.
    let drafts_fit = drafted.len() == classes.len();
    let judged = |d: &Document| drafts_fit || (d.kind != "class" && !classes.iter().any(|c| c.name == d.kind));
    let (mut plan, mut links) = (Vec::new(), Vec::new());
    let mut commits = [Vec::new(), Vec::new()];
    let others = ordered(others);
    for (acts, batch) in commits.iter_mut().zip([&classes, &others]) {
        for document in batch.iter().filter(|d| judged(d)) {
            match outlook.change(document).await {
                Ok(change) => {
                    plan.push(change.shown);
                    if !change.unchanged {
                        acts.push(change.act);
                    }
                    links.extend(change.also);
                }
                Err(error) => faults.extend(located(document, error)),
            }
        }
    }
    commits[1].extend(links);
    Ok((plan, commits))
}

/// The classes that stand in the documents, as they will be; what is wrong with one is told at its document, and then there are none.
async fn drafted(
    app: &App,
    session: &Session,
    documents: &[Document],
    faults: &mut Vec<Fault>,
) -> Result<Vec<ClassRef>, ActError> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let drafts: Vec<(String, Value)> =
        documents.iter().map(|d| (d.name.clone(), Value::Object(d.spec.clone()))).collect();
    let errors = match app.kernel.drafted_classes(session, &drafts).await {
        Ok(classes) => return Ok(classes),
        Err(ActError::Invalid(errors)) => errors,
        Err(error) => return Err(error),
    };
    for FieldError { message, .. } in errors {
        // What does not name a class of ours is about how all of them fit together.
        let named = documents.iter().find(|d| message.starts_with(&format!("class {}:", d.name)));
        let field = part_named(&message);
        let error = ActError::Invalid(vec![FieldError { field, message }]);
        faults.extend(named.or(documents.first()).map(|d| located(d, error)).unwrap_or_default());
    }
    Ok(Vec::new())
}

/// The part of a definition that a sentence such as `class van: field plate: …` is about, for its line.
fn part_named(message: &str) -> String {
    let mut words = message.split_whitespace().skip(2);
    match (words.next(), words.next()) {
        (Some("field" | "link" | "transition"), Some(name)) => {
            format!("spec.{}", name.trim_matches(['"', ':', ',']))
        }
        _ => "spec".to_owned(),
    }
}

/// The world that documents are planned against: what stands, and what the documents themselves will add.
struct Outlook<'a> {
    app: &'a App,
    session: &'a Session,
    /// Class of each document by its name.
    names: BTreeMap<String, String>,
    /// Classes that the documents define, as they will be.
    classes: BTreeMap<String, ClassRef>,
}

impl Outlook<'_> {
    fn class(&self, name: &str) -> Result<ClassRef, ActError> {
        self.classes.get(name).cloned().map_or_else(|| self.app.kernel.registry().need(name), Ok)
    }

    /// The record that a document is about, if it stands already.
    async fn standing(&self, document: &Document) -> Result<Option<Record>, ActError> {
        if self.app.kernel.registry().class(&document.kind).is_none() {
            return Ok(None); // Its class is yet to be made.
        }
        match self.app.kernel.get(self.session, &document.kind, &document.name).await {
            Ok(record) => Ok(Some(record)),
            Err(ActError::Unknown { noun: Noun::Record, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn change(&self, document: &Document) -> Result<Change, ActError> {
        let class = self.class(&document.kind)?;
        let fields = if document.kind == "class" {
            Map::from_iter([("definition".to_owned(), Value::Object(document.spec.clone()))])
        } else {
            document.spec.clone()
        };
        let mut probe = fields.clone();
        for compute in &class.compute {
            compute(&mut probe);
        }
        let clean = kernel::validate::fields(&class, probe).map_err(ActError::Invalid)?;
        self.refs_exist(&class, &clean).await?;
        match self.standing(document).await? {
            None => self.create(document, &class, fields, clean).await,
            Some(record) => self.update(document, &class, &record, fields, clean).await,
        }
    }

    async fn create(
        &self,
        document: &Document,
        class: &ClassRef,
        fields: Map<String, Value>,
        clean: Map<String, Value>,
    ) -> Result<Change, ActError> {
        let (mut links, mut also) = (Vec::new(), Vec::new());
        for (name, to) in &document.links {
            leads_somewhere(class, name)?;
            match self.target(to).await? {
                Target::Id(id) => links.push(NewLink { name: name.clone(), to: Target::Id(id) }),
                to @ Target::Key(..) => {
                    let from = Target::key(&document.kind, &document.name);
                    also.push(Act::Link { from, name: name.clone(), to });
                }
            }
        }
        let act = Act::Create(Create {
            kind: document.kind.clone(),
            key: Some(document.name.clone()),
            fields,
            links,
            owner: document.owner.clone(),
            ..Create::default()
        });
        Ok(Change { act, also, shown: document.shown("create", Value::Object(clean)), unchanged: false })
    }

    async fn update(
        &self,
        document: &Document,
        class: &ClassRef,
        record: &Record,
        fields: Map<String, Value>,
        clean: Map<String, Value>,
    ) -> Result<Change, ActError> {
        // What the document does not say and people may set goes away: the document is the whole of what is declared.
        let mut patch = fields;
        for field in &class.fields {
            if !field.computed && record.fields.contains_key(&field.name) && !clean.contains_key(&field.name) {
                patch.insert(field.name.clone(), Value::Null);
            }
        }
        let mut before = record.fields.clone();
        before.retain(|name, _| class.field(name).is_none_or(|f| !f.computed));
        let mut after = clean;
        after.retain(|name, _| class.field(name).is_none_or(|f| !f.computed));
        let (was, is) = difference(&before, &after);
        let owner = (document.owner.is_some() && document.owner != record.owner).then(|| document.owner.clone());
        let mut also = Vec::new();
        let linked = self.app.kernel.links(self.session, record).await?;
        for (name, to) in &document.links {
            leads_somewhere(class, name)?;
            if !linked.iter().any(|n| n.direction == kernel::link::Side::Out && n.name == *name && n.other.key == *to) {
                also.push(Act::Link { from: Target::Id(record.id), name: name.clone(), to: self.target(to).await? });
            }
        }
        let unchanged = was.is_empty() && is.is_empty() && owner.is_none();
        let action = if unchanged && also.is_empty() { "unchanged" } else { "update" };
        let act = Act::Update { target: Target::Id(record.id), fields: patch, owner, expect: Some(record.version) };
        Ok(Change { act, also, shown: document.shown(action, json!({"before": was, "after": is})), unchanged })
    }

    /// The record of a key: one that stands, or one that the documents make.
    async fn target(&self, key: &str) -> Result<Target, ActError> {
        match (self.app.kernel.find(self.session, key).await, self.names.get(key)) {
            (Ok(found), _) => Ok(Target::Id(found.id)),
            (Err(_), Some(kind)) => Ok(Target::key(kind, key)),
            (Err(error), None) => Err(error),
        }
    }

    /// Refs that lead nowhere are faults now, with their line, and not in the middle of the commit.
    async fn refs_exist(&self, class: &ClassRef, fields: &Map<String, Value>) -> Result<(), ActError> {
        let mut wrong = Vec::new();
        for link in &class.links {
            let Some(field) = &link.field else { continue };
            let keys: Vec<&str> = match fields.get(field) {
                Some(Value::String(key)) => vec![key],
                Some(Value::Array(keys)) => keys.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            for key in keys {
                if self.target(key).await.is_err() {
                    let wanted = if link.to.is_empty() { "record".to_owned() } else { link.to.join(" or ") };
                    wrong.push(FieldError::new(field.as_str(), format!("there is no {wanted} \"{key}\"")));
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(ActError::Invalid(wrong)) }
    }
}

/// Refuses a link that the class does not have, with the near names.
fn leads_somewhere(class: &ClassRef, link: &str) -> Result<(), ActError> {
    let known = class.links.iter().map(|l| l.name.as_str());
    class.link(link).map(|_| ()).ok_or_else(|| ActError::unknown(Noun::Link, link, known))
}
