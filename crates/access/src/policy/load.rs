//! From policy files to a checked set: parse, give each policy its `@id`, demand a `@why`, validate against the schema.
//!
//! A set with a fault is refused as a whole and the one before stays: a forbid that does not load must not be an allow.

use cedar_policy::{Authorizer, EntityTypeName, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::Policies;
use super::scope::ReadPolicy;

const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");
/// Largest policy file, in bytes.
const MAX_FILE: u64 = 256 * 1024;
/// Most policies at all: each costs time at every act.
const MAX_POLICIES: usize = 500;

/// A fault in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct PolicyError {
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A file: its name and text.
pub(super) struct Source {
    file: String,
    text: String,
    /// Came with the program, so that the tests have held it against the schema.
    is_proven: bool,
}

impl Source {
    #[cfg(test)]
    pub(super) fn of(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), is_proven: false }
    }

    /// To be held against the schema all the same.
    #[cfg(test)]
    pub(super) fn unproven(self) -> Self {
        Self { is_proven: false, ..self }
    }

    fn fault(&self, at: usize, message: impl Into<String>) -> PolicyError {
        let line = self.text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        PolicyError { file: self.file.clone(), line, message: message.into() }
    }
}

/// The files that come with Mainstay. They are not held against the schema at each start: that takes longer than to read them.
pub(super) fn built_in() -> Vec<Source> {
    let file =
        |name: &str, text: &str| Source { file: format!("{name}.cedar"), text: text.to_owned(), is_proven: true };
    vec![
        file("walls", include_str!("../../policies/walls.cedar")),
        file("inside", include_str!("../../policies/inside.cedar")),
        file("roles", include_str!("../../policies/roles.cedar")),
        file("outside", include_str!("../../policies/outside.cedar")),
        file("machines", include_str!("../../policies/machines.cedar")),
    ]
}

/// The `*.cedar` files of a folder.
pub(super) fn folder(folder: &Path) -> Result<Vec<Source>, Vec<PolicyError>> {
    let fault = |path: &Path, message: String| vec![PolicyError { file: path.display().to_string(), line: 1, message }];
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fault(folder, e.to_string())),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|e| fault(folder, e.to_string()))?.path());
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "cedar"));
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let length = fs::metadata(&path).map_err(|e| fault(&path, e.to_string()))?.len();
        if length > MAX_FILE {
            return Err(fault(&path, format!("is larger than {MAX_FILE} bytes")));
        }
        let text = fs::read_to_string(&path).map_err(|e| fault(&path, e.to_string()))?;
        sources.push(Source { file: path.display().to_string(), text, is_proven: false });
    }
    Ok(sources)
}

/// Checks files and makes them one set.
pub(super) fn policies(sources: &[Source]) -> Result<Policies, Vec<PolicyError>> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).expect("the schema is checked by the tests");
    let (mut set, mut from, mut faults) = (PolicySet::new(), BTreeMap::<String, &Source>::new(), Vec::new());
    for source in sources {
        match parse(source) {
            Ok(policies) => {
                for policy in policies {
                    let id = policy.id().to_string();
                    if from.insert(id.clone(), source).is_some() {
                        faults.push(
                            source.fault(place_of(source, &id), format!("there is another policy with @id(\"{id}\")")),
                        );
                    } else if let Err(e) = set.add(policy) {
                        faults.push(source.fault(place_of(source, &id), e.to_string()));
                    }
                }
            }
            Err(more) => faults.extend(more),
        }
    }
    if from.len() > MAX_POLICIES {
        faults.extend(sources.last().map(|s| s.fault(0, format!("there are more than {MAX_POLICIES} policies"))));
    }
    // Each policy is validated by itself, so those that are proven may be left out.
    let is_proven = |policy: &Policy| from.get(&policy.id().to_string()).is_some_and(|source| source.is_proven);
    let unproven = PolicySet::from_policies(set.policies().filter(|policy| !is_proven(policy)).cloned());
    let unproven = unproven.expect("they are of a set");
    let validate = || Validator::new(schema.clone()).validate(&unproven, ValidationMode::Strict);
    let validation = (!unproven.is_empty()).then(validate);
    for error in validation.iter().flat_map(|found| found.validation_errors()) {
        let id = error.policy_id().to_string();
        faults.extend(
            from.get(&id).map(|source| {
                source.fault(label_of(error).unwrap_or_else(|| place_of(source, &id)), error.to_string())
            }),
        );
    }
    let mut reading = Vec::new();
    for policy in set.policies() {
        match ReadPolicy::of(policy) {
            Ok(read) => reading.extend(read),
            Err(why) => {
                let id = policy.id().to_string();
                faults.extend(from.get(&id).map(|source| source.fault(place_of(source, &id), why)));
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let actions = schema.action_entities().expect("the schema is checked by the tests");
    let names = [
        "Person",
        "Token",
        "Ingest",
        "Agent",
        "Controller",
        "Local",
        "System",
        "Anonymous",
        "Role",
        "Record",
        "Action",
    ];
    let types: HashMap<_, _> = names
        .into_iter()
        .map(|name| (name, EntityTypeName::from_str(name).expect("a plain word is a type name")))
        .collect();
    Ok(Policies { set, actions, authorizer: Authorizer::new(), reading, types, decided: Default::default() })
}

/// The policies of one file, under their own ids.
fn parse(source: &Source) -> Result<Vec<Policy>, Vec<PolicyError>> {
    let parsed = PolicySet::from_str(&source.text).map_err(|errors| {
        errors.iter().map(|e| source.fault(label_of(e).unwrap_or(0), e.to_string())).collect::<Vec<_>>()
    })?;
    if let Some(template) = parsed.templates().next() {
        return Err(vec![
            source.fault(0, format!("{}: templates with ?principal or ?resource are not supported", template.id())),
        ]);
    }
    let (mut policies, mut faults) = (Vec::new(), Vec::new());
    for policy in parsed.policies() {
        // The policies of a file are numbered as they stand in it.
        let nth = policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(0);
        let at = place_of_nth(source, nth);
        match (
            policy.annotation("id").filter(|id| kernel::ids::is_kebab(id)),
            policy.annotation("why").filter(|why| !why.trim().is_empty()),
        ) {
            (Some(id), Some(_)) => policies.push(policy.new_id(PolicyId::new(id))),
            (None, _) => faults.push(source.fault(at, "a policy needs an @id(\"…\") in lower case with hyphens")),
            (_, None) => faults.push(source.fault(at, "a policy needs a @why(\"…\"): the reason that people are told")),
        }
    }
    if faults.is_empty() { Ok(policies) } else { Err(faults) }
}

/// Where the first label of a diagnostic points to.
fn label_of(error: &dyn Diagnostic) -> Option<usize> {
    error.labels()?.next().map(|label| label.offset())
}

fn place_of(source: &Source, id: &str) -> usize {
    source.text.find(&format!("\"{id}\"")).unwrap_or(0)
}

/// Where the n-th policy begins its head: `permit(` or `forbid(` outside of texts and comments.
fn place_of_nth(source: &Source, nth: usize) -> usize {
    let (mut at, mut seen, text) = (0, 0, source.text.as_str());
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            at += end.map_or(rest.len(), |end| end + 2);
        } else if rest.starts_with("permit") || rest.starts_with("forbid") {
            if seen == nth {
                return at;
            }
            seen += 1;
            at += 6;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    0
}
