//! The operation: a file comes, is laid beside the data, read for faults, and stored; what is told meanwhile are lines of JSON.

use api::App;
use api::caller::Caller;
use api::operation::Operation;
use api::problem::Problem;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::act::Create;
use kernel::controller::Cx;
use kernel::{ActError, Class, FieldError, Id, Kernel, Record, Session, Time};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

use super::store::{Looked, Storing};
use super::{Faults, Form, SeriesImport, end, read};
use crate::asked::Asked;
use crate::state::Signals;
use crate::tenant::number;

/// Reasons of samples that were not taken which an answer tells; the others are counted.
const TOLD: usize = 20;
/// Lines of an answer that may wait for whoever reads it; of progress more are left out.
const WAITING: usize = 16;
/// A body of which nothing comes for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest name of a file that is kept.
const LONGEST_NAME: usize = 300;

/// The one operation.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let operation = Operation::new(
        Method::POST,
        "/api/v1/series/import",
        "import_series",
        "Stores the samples of a file, of any age that is kept. Nothing is stored while anything in it is wrong; the same file again changes nothing. Answers lines of JSON: progress, and at the end how it went.",
    )
    .query("format", "csv, jsonl, parquet or openmetrics; by the Content-Type when left out", text())
    .query("name", "What the file is called, for the journal", text())
    .query("dry_run", "Only read the file and tell what is in it", json!({"type": "boolean"}))
    .takes_media(&Form::ALL.map(|(_, media, _)| media))
    .answers(200, text())
    .gives("application/x-ndjson");
    vec![operation.by(import)]
}

/// What is asked for.
struct Asks {
    form: Form,
    name: String,
    dry_run: bool,
}

impl Asks {
    fn of(asked: &Asked, media: &str) -> Result<Self, Problem> {
        let known = || Form::ALL.map(|(name, ..)| name).join(", ");
        let form = match asked.text("format") {
            Some(name) => Form::named(name)
                .ok_or_else(|| Problem::bad_request(format!("format: {name:?} is none of {}", known())))?,
            None => Form::of_media(media).ok_or_else(|| {
                let why = format!("say what the file is with ?format=: {}", known());
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", why)
            })?,
        };
        let dry_run = match asked.text("dry_run") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(Problem::bad_request(format!("dry_run: {other:?} is neither true nor false"))),
        };
        let name: String = asked.text("name").unwrap_or(form.name()).chars().take(LONGEST_NAME).collect();
        Ok(Self { form, name, dry_run })
    }
}

async fn import(
    State(app): State<App>,
    Extension(signals): Extension<Signals>,
    who: Caller,
    request: Request,
) -> Result<Response, Problem> {
    app.kernel.allow(&who.session, "create", SeriesImport::KIND)?;
    let (parts, body) = request.into_parts();
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let asks = Asks::of(&Asked::of(b"", parts.uri.query().unwrap_or_default().as_bytes()), media)?;
    let place = signals.import_place().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "another import is under way: try again when it is done")
            .retry_after(30)
    })?;
    let file = laid_down(&signals, app.kernel.now(), body).await?;
    let form = asks.form;
    let looked = tokio::task::spawn_blocking(move || {
        let (mut faults, mut looked) = (Faults::default(), Looked::default());
        let series = read(form, &file, &mut faults, &mut looked)?.len();
        Ok::<_, io::Error>((file, faults, looked, series))
    });
    // The reader of Parquet is another's and may give up in its own way.
    let (file, faults, looked, series) =
        looked.await.map_err(|_| unreadable(form, "its reader gave up on it"))?.map_err(|e| unreadable(form, e))?;
    if faults.count > 0 {
        return Err(faulty(form, &faults));
    }
    let shown = Shown { series: series as u64, samples: looked.samples, span: looked.span };
    if asks.dry_run {
        let line = shown.line(json!({"dry_run": true, "state": "unchanged"}));
        return Ok(answer(Body::from(line)));
    }
    let id = Id::new(app.kernel.now());
    signals.underway().begin(id);
    let record = match begun(&app.kernel, &who.session, id, &asks.name).await {
        Ok(record) => record,
        Err(error) => {
            signals.underway().end(id);
            return Err(error.into());
        }
    };
    let (to, from) = mpsc::channel::<Bytes>(WAITING);
    let work = Work { app, signals, record, session: who.session, file, form, shown, to };
    // It goes on when whoever asked has gone.
    tokio::spawn(async move {
        work.run().await;
        drop(place);
    });
    let lines = futures::stream::unfold(from, |mut from| async { from.recv().await.map(|line| (line, from)) });
    Ok(answer(Body::from_stream(futures::StreamExt::map(lines, Ok::<_, io::Error>))))
}

fn answer(body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))], body).into_response()
}

fn unreadable(form: Form, why: impl std::fmt::Display) -> Problem {
    Problem::bad_request(format!("the file cannot be read as {}: {why}", form.name()))
}

fn faulty(form: Form, faults: &Faults) -> Problem {
    let field = |line: u64| format!("{} {line}", form.piece());
    let mut errors: Vec<FieldError> =
        faults.told.iter().map(|(line, why)| FieldError::new(field(*line), why.clone())).collect();
    let more = faults.count - errors.len() as u64;
    if more > 0 {
        errors.push(FieldError::new("more", format!("{more} more faults")));
    }
    ActError::Invalid(errors).into()
}

async fn begun(kernel: &Kernel, session: &Session, id: Id, name: &str) -> Result<Record, ActError> {
    let fields = Map::from_iter([("name".to_owned(), Value::from(name))]);
    let create = Create { kind: SeriesImport::KIND.to_owned(), fields, id: Some(id), ..Create::default() };
    kernel.act(session, create).await
}

/// The body as a file without a name, gone as soon as nobody has it open.
async fn laid_down(signals: &Signals, now: Time, body: Body) -> Result<File, Problem> {
    let settings = signals.settings();
    let (folder, limit) = (settings.spool.clone(), settings.import_bytes);
    let failed = |error: io::Error| {
        tracing::error!(%error, "a file to import could not be laid down");
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "storage", format!("the file could not be laid down: {error}"))
    };
    let made = tokio::task::spawn_blocking(move || nameless(&folder, now)).await;
    let mut file = made.map_err(io::Error::other).flatten().map_err(failed)?;
    let (mut stream, mut length) = (body.into_data_stream(), 0_u64);
    loop {
        let next = tokio::time::timeout(PATIENCE, futures::StreamExt::next(&mut stream)).await;
        let Some(piece) = next.map_err(|_| Problem::bad_request("the file stopped coming"))? else { break };
        let piece = piece.map_err(|error| Problem::bad_request(format!("the file broke off: {error}")))?;
        length += piece.len() as u64;
        if length > limit {
            let why = format!("the file is longer than {limit} bytes: bring it in parts");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body", why));
        }
        let written = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file)).await;
        file = written.map_err(io::Error::other).flatten().map_err(failed)?;
    }
    Ok(file)
}

fn nameless(folder: &Path, now: Time) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("import-{}", Id::new(now)));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// What is in a file.
#[derive(Clone, Copy)]
struct Shown {
    series: u64,
    samples: u64,
    span: Option<(i64, i64)>,
}

impl Shown {
    fn time(ms: i64) -> Value {
        Time::from_micros(ms.saturating_mul(1000)).to_string().into()
    }

    /// As a line of JSON, with more.
    fn line(&self, more: Value) -> Bytes {
        let mut line = json!({"series": self.series, "samples": self.samples,
            "from": self.span.map(|span| Self::time(span.0)), "to": self.span.map(|span| Self::time(span.1))});
        if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        format!("{line}\n").into()
    }
}

/// An import at work.
struct Work {
    app: App,
    signals: Signals,
    record: Record,
    session: Session,
    file: File,
    form: Form,
    shown: Shown,
    to: mpsc::Sender<Bytes>,
}

/// How it went.
struct Went {
    accepted: u64,
    refused: Faults,
    failure: Option<String>,
}

impl Work {
    async fn run(self) {
        let Self { app, signals, record, session, file, form, shown, to } = self;
        let (tenant, handle) = (number(session.tenant()), tokio::runtime::Handle::current());
        let (metrics, at_once) = (signals.metrics().clone(), signals.settings().body_samples);
        let (told, total) = (to.clone(), shown.samples);
        let stored = tokio::task::spawn_blocking(move || {
            // Whoever reads slowly is told less often; nobody is waited for.
            let mut progress =
                |done: u64| drop(told.try_send(format!("{}\n", json!({"done": done, "of": total})).into()));
            let mut storing = Storing::new(metrics, tenant, handle, at_once, &mut progress);
            let read = read(form, &file, &mut Faults::default(), &mut storing).and_then(|names| storing.flush(&names));
            let failure = read.err().map(|error| error.to_string());
            Went { accepted: storing.accepted, refused: storing.refused, failure }
        });
        let ended = || Went { accepted: 0, refused: Faults::default(), failure: Some("the work was ended".to_owned()) };
        let went = stored.await.unwrap_or_else(|_| ended());
        let cx = Cx {
            kernel: app.kernel.clone(),
            session: Session::controller("signals.import", session.tenant()),
            tenant: session.tenant(),
        };
        let step = if went.failure.is_some() { "fail" } else { "finish" };
        let kept = end(&cx, record.id, step, fields(form, &shown, &went)).await;
        signals.underway().end(record.id);
        if let Err(error) = &kept {
            tracing::error!(%error, import = record.key, "the end of an import could not be kept");
        }
        let refused: Vec<Value> =
            went.refused.told.iter().take(TOLD).map(|(line, why)| json!({form.piece(): line, "why": why})).collect();
        let state = if went.failure.is_some() { "failed" } else { "done" };
        let line = shown.line(json!({
            "import": record.key, "state": state, "stored": went.accepted, "refused": went.refused.count,
            "reasons": refused, "failure": went.failure,
        }));
        // Whoever has gone finds it in the record.
        drop(to.send(line).await);
    }
}

fn fields(form: Form, shown: &Shown, went: &Went) -> Map<String, Value> {
    let mut fields = Map::from_iter([
        ("form".to_owned(), Value::from(form.name())),
        ("series".to_owned(), shown.series.into()),
        ("samples".to_owned(), went.accepted.into()),
        ("refused".to_owned(), went.refused.count.into()),
    ]);
    if let Some((from, to)) = shown.span {
        fields.extend([("from".to_owned(), Shown::time(from)), ("to".to_owned(), Shown::time(to))]);
    }
    fields.extend(went.failure.clone().map(|why| ("failure".to_owned(), why.into())));
    fields
}
