//! Commands that carry many records in or out: apply, export, import.

use serde_json::{Value, json};

use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Format, cell};

pub(super) async fn apply(client: &Client, file: &str, dry_run: bool, format: Format) -> Result<(), Failure> {
    let body = json!({"files": files::read(file)?, "dry_run": dry_run});
    let answer = client.json("POST", "/api/v1/apply", Some(&body)).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        output::value(&answer, format)?;
    } else {
        for change in answer.get("plan").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| cell(change.get(name));
            output::line(&format!("{:<10} {} {}\n", text("action"), text("kind"), text("name")))?;
            let after = change.get("changes").and_then(|c| c.get("after")).and_then(Value::as_object);
            for (name, value) in after.into_iter().flatten() {
                let before = change.get("changes").and_then(|c| c.get("before")).and_then(|b| b.get(name));
                output::line(&format!("             {name}: {} -> {}\n", shown(before), shown(Some(value))))?;
            }
        }
    }
    let errors = answer.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|e| {
            format!(
                "{}:{}: {}: {}",
                cell(e.get("file")),
                cell(e.get("line")),
                cell(e.get("field")),
                cell(e.get("message"))
            )
        })
        .collect();
    Err(Failure::usage(format!("nothing was applied:\n  {}", lines.join("\n  "))))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".into(), ToString::to_string)
}

pub(super) async fn export(
    client: &Client,
    class: Option<String>,
    filter: Option<String>,
    form: &str,
) -> Result<(), Failure> {
    let classes = match class {
        Some(class) => vec![class],
        None => {
            let all = client.json("GET", "/api/v1/classes", None).await?;
            all.get("classes").and_then(Value::as_array).into_iter().flatten().map(|c| cell(c.get("name"))).collect()
        }
    };
    for class in classes {
        let filter = filter.as_deref().map(|f| format!("&filter={}", escaped(f))).unwrap_or_default();
        let address = format!("/api/v1/export/{}?format={}{filter}", escaped(&class), escaped(form));
        client.stream(&address, output::bytes).await?;
    }
    Ok(())
}

pub(super) async fn import(client: &Client, class: &str, file: &str, dry_run: bool) -> Result<(), Failure> {
    let text = if file == "-" {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(file).map_err(|e| Failure::new(format!("{file}: {e}")))?
    };
    let media = if file.ends_with(".yaml") || file.ends_with(".yml") || file.ends_with(".json") {
        "application/yaml"
    } else {
        "text/csv"
    };
    let answer =
        client.upload(&format!("/api/v1/import?class={}&dry_run={dry_run}", escaped(class)), media, text).await?;
    let number = |name: &str| cell(answer.get(name));
    output::line(&format!(
        "{} rows: {} new, {} changed, {} as they are\n",
        number("rows"),
        number("created"),
        number("updated"),
        number("unchanged")
    ))?;
    let errors = answer.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|e| format!("row {}: {}: {}", cell(e.get("row")), cell(e.get("field")), cell(e.get("message"))))
        .collect();
    Err(Failure::usage(format!("nothing was written:\n  {}", lines.join("\n  "))))
}
