//! Reference: what the registry, the operations, the command line and the protocols say of themselves, as Markdown.
//!
//! `docs/reference` is this module's output, committed and compared by `cargo xtask reference --check`. It tells only what the
//! program itself knows, in a fixed order, and never a time, a path or a figure of the machine it ran on.

use clap::builder::StyledStr;
use kernel::shape::{Field, Word};
use kernel::{ClassDef, Registry, Verb};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "<!-- Printed by `mainstay reference`: change the code, then run `cargo xtask reference`. -->\n\n";

const VERBS: [Verb; 9] = [
    Verb::Know,
    Verb::Watch,
    Verb::Respond,
    Verb::Serve,
    Verb::Change,
    Verb::Protect,
    Verb::Plan,
    Verb::Prove,
    Verb::Kernel,
];

/// Writes all pages below `folder`, which is made when it is not there.
///
/// # Errors
/// The classes do not fit together, or a page cannot be written.
pub fn write(folder: &Path, command: &clap::Command) -> anyhow::Result<()> {
    let registry = crate::domains::registry()?;
    std::fs::create_dir_all(folder.join("classes"))?;
    let page = |name: &str, text: &str| std::fs::write(folder.join(name), format!("{HEAD}{}\n", text.trim_end()));
    page("README.md", &front(&registry))?;
    for verb in VERBS {
        page(&format!("classes/{}.md", word(&verb)), &classes_of(&registry, verb))?;
    }
    page("commands.md", &commands(command))?;
    page("operations.md", &operations())?;
    page("checks.md", &checks())?;
    Ok(())
}

/// The word that a value is written as in JSON.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        other => other.map(|v| v.to_string()).unwrap_or_default(),
    }
}

/// Text fit for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn names(list: &[String]) -> String {
    list.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn front(registry: &Registry) -> String {
    let mut out = String::from(
        "# Reference\n\n- [commands](commands.md)\n- [operations of the HTTP API](operations.md)\n- [checks: protocols and parameters](checks.md)\n\n## Classes\n\n",
    );
    for verb in VERBS {
        let names: Vec<String> = sorted(registry, verb)
            .iter()
            .map(|c| format!("[{0}](classes/{1}.md#{0})", c.name.as_str(), word(&verb)))
            .collect();
        let _ = writeln!(out, "**{}**: {}\n", word(&verb), names.join(", "));
    }
    out.push_str("## Prefixes of numbered keys\n\n| prefix | class |\n|---|---|\n");
    let mut prefixes: Vec<(String, String)> =
        registry.classes().iter().filter_map(|c| Some((c.prefix.clone()?, c.name.as_str().to_owned()))).collect();
    prefixes.sort();
    for (prefix, class) in prefixes {
        let _ = writeln!(out, "| `{prefix}` | {class} |");
    }
    out
}

fn sorted(registry: &Registry, verb: Verb) -> Vec<std::sync::Arc<ClassDef>> {
    let mut classes: Vec<_> = registry.classes().into_iter().filter(|c| c.verb == verb).collect();
    classes.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    classes
}

fn classes_of(registry: &Registry, verb: Verb) -> String {
    let mut out = format!("# Classes of {}\n\n", word(&verb));
    for class in sorted(registry, verb) {
        one_class(&mut out, &class);
    }
    out
}

fn one_class(out: &mut String, class: &ClassDef) {
    let _ = writeln!(out, "## {}\n\n{}\n", class.name.as_str(), class.help.trim());
    match &class.prefix {
        Some(prefix) => {
            let _ = writeln!(out, "Keys are numbered: `{prefix}1`, `{prefix}2` …\n");
        }
        None => out.push_str("Keys are names of your choice.\n\n"),
    }
    out.push_str("| field | type | required | help |\n|---|---|---|---|\n");
    for field in &class.fields {
        fields(out, field, "");
    }
    out.push('\n');
    let states: Vec<String> = class
        .states
        .iter()
        .map(|s| {
            let first = if s.name == class.initial_state() { ", first" } else { "" };
            format!("`{}` ({}{first})", s.name, if s.open { "open" } else { "closed" })
        })
        .collect();
    let _ = writeln!(out, "States: {}.\n", states.join(", "));
    if !class.transitions.is_empty() {
        out.push_str("| transition | from | to | asks for | help |\n|---|---|---|---|---|\n");
        for t in &class.transitions {
            let to = t.to.as_ref().map_or("stays".to_owned(), |to| format!("`{to}`"));
            let mut asks = t.requires.clone();
            asks.extend(t.input.iter().map(|f| f.name.clone()));
            asks.dedup();
            let machine = if t.machine { " Only by Mainstay itself." } else { "" };
            let _ = writeln!(
                out,
                "| `{}` | {} | {to} | {} | {}{machine} |",
                t.name,
                names(&t.from),
                names(&asks),
                cell(&t.help)
            );
        }
        out.push('\n');
    }
    if !class.links.is_empty() {
        out.push_str("| link | to | seen from there | how many | when the target is deleted | help |\n|---|---|---|---|---|---|\n");
        for l in &class.links {
            let to = if l.to.is_empty() { "any".to_owned() } else { names(&l.to) };
            let many = match (l.many, l.required) {
                (true, true) => "one or more",
                (true, false) => "any",
                (false, true) => "exactly one",
                (false, false) => "at most one",
            };
            let _ = writeln!(
                out,
                "| `{}` | {to} | `{}` | {many} | {} | {} |",
                l.name,
                l.reverse,
                word(&l.on_delete),
                cell(&l.help)
            );
        }
        out.push('\n');
    }
}

/// A row for the field, and one for each field inside it.
fn fields(out: &mut String, field: &Field, outer: &str) {
    let name = format!("{outer}{}", field.name);
    let required = match (field.required, field.computed) {
        (_, true) => "computed",
        (true, _) => "yes",
        _ => "",
    };
    let default = match &field.default {
        None | Some(Value::Null) => String::new(),
        Some(value) => format!(" Default: `{value}`."),
    };
    let help = cell(&format!("{}{default}", field.help));
    let _ = writeln!(out, "| `{name}` | {} | {required} | {help} |", kind(field));
    let inner = field.item.as_ref().map_or(&field.fields, |item| &item.fields);
    for each in inner {
        let between = if field.item.is_some() { "[]." } else { "." };
        fields(out, each, &format!("{name}{between}"));
    }
}

fn kind(field: &Field) -> String {
    let mut text = match field.word {
        Word::Enum => field.values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(" \\| "),
        Word::Ref if field.class.is_empty() => "ref".to_owned(),
        Word::Ref => format!("ref to {}", field.class.join(" or ")),
        Word::List | Word::Map => {
            let item = field.item.as_ref().map_or("anything".to_owned(), |item| kind(item));
            format!("{} of {item}", word(&field.word))
        }
        _ => word(&field.word),
    };
    if let Some(unit) = &field.unit {
        let _ = write!(text, ", {unit}");
    }
    match (field.min, field.max) {
        (Some(min), Some(max)) => drop(write!(text, ", {min} to {max}")),
        (Some(min), None) => drop(write!(text, ", at least {min}")),
        (None, Some(max)) => drop(write!(text, ", at most {max}")),
        (None, None) => {}
    }
    text
}

fn commands(command: &clap::Command) -> String {
    let mut root = command.clone();
    root.build();
    let mut out = format!("# Commands\n\n{}\n\n", styled(root.get_about()));
    out.push_str("Understood by every command:\n\n");
    arguments(&mut out, root.get_arguments().filter(|a| a.is_global_set()));
    for sub in root.get_subcommands() {
        one_command(&mut out, sub, "mainstay");
    }
    out
}

fn one_command(out: &mut String, command: &clap::Command, outer: &str) {
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    let name = format!("{outer} {}", command.get_name());
    let _ = writeln!(out, "## {name}\n\n{}\n", styled(command.get_about()));
    arguments(out, command.get_arguments().filter(|a| !a.is_global_set()));
    for sub in command.get_subcommands() {
        one_command(out, sub, &name);
    }
}

fn arguments<'a>(out: &mut String, all: impl Iterator<Item = &'a clap::Arg>) {
    let rows: Vec<String> = all
        .filter(|a| !a.is_hide_set() && !["help", "version"].contains(&a.get_id().as_str()))
        .map(|a| {
            let value = a.get_id().as_str().to_uppercase();
            let takes = a.get_action().takes_values();
            let name = match (a.get_long(), a.get_short()) {
                (None, None) => value,
                (Some(long), short) => {
                    let short = short.map(|s| format!("-{s}, ")).unwrap_or_default();
                    format!("{short}--{long}{}", if takes { format!(" {value}") } else { String::new() })
                }
                (None, Some(short)) => format!("-{short}"),
            };
            let env = a.get_env().map(|e| format!("`{}`", e.to_string_lossy())).unwrap_or_default();
            let default: Vec<_> = a.get_default_values().iter().map(|v| format!("`{}`", v.to_string_lossy())).collect();
            let default = if takes { default.join(" ") } else { String::new() };
            format!("| `{name}` | {default} | {env} | {} |", cell(&styled(a.get_help())))
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(out, "| | default | variable | |\n|---|---|---|---|\n{}\n", rows.join("\n"));
    }
}

fn styled(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn operations() -> String {
    let mut all = crate::server::operations();
    all.sort_by(|a, b| (a.path, a.method.as_str()).cmp(&(b.path, b.method.as_str())));
    let mut out = String::from(
        "# Operations\n\nThe same as `/api/v1/openapi.json`, which has all schemas. Whoever needs a session may use a cookie, a token \
         (`Authorization: Bearer …`) or the local socket.\n\n| operation | answers | needs | what |\n|---|---|---|---|\n",
    );
    for o in all {
        let needs = if o.needs == api::operation::Needs::Nothing { "" } else { "a session" };
        let query: Vec<String> = o.query.iter().map(|p| format!("`{}`", p.name)).collect();
        let query = if query.is_empty() { String::new() } else { format!(" Query: {}.", query.join(", ")) };
        let _ = writeln!(
            out,
            "| `{} {}` | {} {} | {needs} | {}{query} |",
            o.method,
            o.path,
            o.answer.0,
            if o.answer.1.is_some() { o.gives } else { "" },
            cell(o.summary)
        );
    }
    out
}

fn checks() -> String {
    let mut out = String::from(
        "# Checks\n\nParameters stand in a check's `expect` (what the answer must be) or `params` (how it is asked); \
         `mainstay check run PROTOCOL TARGET -e NAME=VALUE` tries them.\n\n",
    );
    for protocol in probe::protocols() {
        let place = if protocol.local { "Asks the machine that it runs on." } else { "Asks over the network." };
        let _ = writeln!(
            out,
            "## {}\n\n{}. {}\n\nTarget: {}. {place}\n",
            protocol.name,
            protocol.title,
            protocol.help.trim(),
            protocol.target.trim_end_matches('.')
        );
        let schema = (protocol.schema)();
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { continue };
        if properties.is_empty() {
            continue;
        }
        out.push_str("| parameter | type | default | help |\n|---|---|---|---|\n");
        for (name, property) in properties {
            let default =
                property.get("default").filter(|d| !d.is_null()).map(|d| format!("`{d}`")).unwrap_or_default();
            let help = property.get("description").and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(out, "| `{name}` | {} | {} | {} |", json_type(property), cell(&default), cell(help));
        }
        out.push('\n');
    }
    out
}

fn json_type(property: &Value) -> String {
    match property.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => {
            let words: Vec<&str> = several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect();
            words.join(" or ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_class_operation_protocol_and_command_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        super::write(folder.path(), &crate::Arguments::command()).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        for class in crate::domains::registry().unwrap().classes() {
            let page = read(&format!("classes/{}.md", super::word(&class.verb)));
            assert!(page.contains(&format!("\n## {}\n", class.name.as_str())), "{}", class.name.as_str());
        }
        for protocol in probe::protocols() {
            assert!(read("checks.md").contains(&format!("\n## {}\n", protocol.name)), "{}", protocol.name);
        }
        for operation in crate::server::operations() {
            assert!(read("operations.md").contains(&format!("`{} {}`", operation.method, operation.path)));
        }
        for command in crate::Arguments::command().get_subcommands() {
            assert!(read("commands.md").contains(&format!("\n## mainstay {}\n", command.get_name())));
        }
    }

    #[test]
    fn it_says_the_same_twice() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &two] {
            super::write(folder.path(), &crate::Arguments::command()).unwrap();
        }
        for name in ["README.md", "commands.md", "operations.md", "checks.md", "classes/respond.md"] {
            let read = |f: &tempfile::TempDir| std::fs::read(f.path().join(name)).unwrap();
            assert_eq!(read(&one), read(&two), "{name}");
        }
    }
}
