//! Everything out again: a class as CSV, JSON lines or the YAML that `apply` takes.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use kernel::read::{ListAsk, MAX_PAGE};
use kernel::{ClassDef, Record, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::{Path, Query};
use crate::table;

/// Operations that hand data out.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/api/v1/export/{class}",
            "export_class",
            "All records of a class that match, as CSV, JSON lines or YAML for apply.",
        )
        .query("format", "csv, json or yaml", json!({"type": "string", "enum": ["csv", "json", "yaml"]}))
        .query("filter", "Filter", json!({"type": "string"}))
        .answers(200, json!({"type": "string"}))
        .gives("*/*")
        .by(export),
    ]
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Csv,
    Json,
    Yaml,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    filter: String,
}

struct Export {
    app: App,
    session: Session,
    class: Arc<ClassDef>,
    columns: Vec<String>,
    format: Format,
    filter: String,
    cursor: Option<String>,
    state: Stage,
}

#[derive(PartialEq)]
enum Stage {
    Head,
    Pages,
    End,
}

async fn export(
    State(app): State<App>,
    who: Caller,
    Path(class): Path<String>,
    Query(q): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let class = app.kernel.registry().need(&class)?;
    let name = class.name.clone();
    let mut export = Export {
        columns: table::columns(&class),
        app,
        session: who.session,
        class,
        format: q.format,
        filter: q.filter,
        cursor: None,
        state: Stage::Head,
    };
    // The first page is asked for before the status is sent, so that a refusal is a refusal and not a torn file.
    let first = export.chunk().await?;
    let rest = stream::unfold(export, |mut export| async move {
        if export.state == Stage::End {
            return None;
        }
        let chunk = export.chunk().await.map_err(|p| std::io::Error::other(p.detail().to_owned()));
        if chunk.is_err() {
            export.state = Stage::End;
        }
        Some((chunk, export))
    });
    let body = Body::from_stream(futures::StreamExt::chain(stream::iter([Ok::<_, std::io::Error>(first)]), rest));
    let (media, ending) = match q.format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Json => ("application/x-ndjson", "jsonl"),
        Format::Yaml => ("application/yaml", "yaml"),
    };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

impl Export {
    async fn chunk(&mut self) -> Result<Vec<u8>, Problem> {
        let head = self.state == Stage::Head;
        self.state = Stage::Pages;
        let ask = ListAsk {
            filter: self.filter.clone(),
            sort: "created".into(),
            limit: MAX_PAGE,
            cursor: self.cursor.take(),
            total: false,
        };
        let list = self.app.kernel.list(&self.session, self.class.name.as_str(), &ask).await?;
        self.cursor = list.next;
        if self.cursor.is_none() {
            self.state = Stage::End;
        }
        let mut out = Vec::new();
        match self.format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(&mut out);
                if head {
                    writer.write_record(&self.columns).map_err(torn)?;
                }
                for record in &list.records {
                    writer.write_record(table::row(record, &self.columns)).map_err(torn)?;
                }
                writer.flush().map_err(torn)?;
            }
            Format::Json => {
                for record in &list.records {
                    out.extend(crate::records::view(&self.app, record, None).to_string().into_bytes());
                    out.push(b'\n');
                }
            }
            Format::Yaml => {
                for record in &list.records {
                    let links = self.app.kernel.links(&self.session, record).await?;
                    out.extend(b"---\n");
                    out.extend(
                        yaml_serde::to_string(&document(&self.class, record, &links)).map_err(torn)?.into_bytes(),
                    );
                }
            }
        }
        Ok(out)
    }
}

fn torn(error: impl std::fmt::Display) -> Problem {
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "export", error.to_string())
}

/// A record as the document that `apply` takes: declared fields and links that stand in no field.
pub fn document(class: &ClassDef, record: &Record, links: &[kernel::link::Neighbour]) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".into(), record.key.clone().into());
    if let Some(owner) = &record.owner {
        metadata.insert("owner".into(), owner.clone().into());
    }
    let mut spec = record.fields.clone();
    spec.retain(|name, _| class.field(name).is_none_or(|f| !f.computed));
    let free: Vec<Value> = links
        .iter()
        .filter(|n| n.direction == kernel::link::Side::Out && class.link(&n.name).is_some_and(|l| l.field.is_none()))
        .map(|n| json!({"type": n.name, "to": n.other.key}))
        .collect();
    let mut document = Map::new();
    document.insert("kind".into(), class.name.as_str().into());
    document.insert("metadata".into(), metadata.into());
    document.insert("spec".into(), spec.into());
    if !free.is_empty() {
        document.insert("links".into(), free.into());
    }
    Value::Object(document)
}
