//! Prometheus's test language: what to load, what to ask, what to expect. Reads text; judges nothing.

use std::collections::BTreeMap;

use series::promql::{MemorySource, Metric};
use series::{CUSTOM_BUCKETS, Histogram};

use series::promql::notation::{Item, duration, fill, number, series_line};

pub struct Script {
    pub commands: Vec<Command>,
}

pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Case>),
}

pub struct Load {
    gap_ms: i64,
    /// Classic histograms are loaded as native ones with custom buckets too.
    with_native: bool,
    series: Vec<(Metric, Vec<Item>)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Times {
    At(i64),
    Range((i64, i64, i64)),
}

/// A text to compare with.
#[derive(Debug)]
pub enum Message {
    Any,
    Exact(String),
    Pattern(String),
}

#[derive(Default, Debug)]
pub struct Expected {
    pub fail: Option<Message>,
    pub ordered: bool,
    pub warns: Vec<Message>,
    pub infos: Vec<Message>,
    pub no_warn: bool,
    pub no_info: bool,
    pub text: Option<String>,
    /// The result is a range vector with samples at these times.
    pub window: Option<(i64, i64, i64)>,
    pub scalar: Option<f64>,
    pub series: Vec<(Metric, Vec<Item>)>,
}

pub struct Case {
    pub line: usize,
    pub query: String,
    pub times: Times,
    pub expected: Expected,
}

/// The lines of a block: those up to the next blank one.
struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let line = self.lines.get(self.at)?;
        self.at += 1;
        Some((self.at, line))
    }

    fn block(&mut self) -> Vec<&'a str> {
        let rest = &self.lines[self.at..];
        let length = rest.iter().position(|line| line.is_empty()).unwrap_or(rest.len());
        self.at += length;
        rest[..length].to_vec()
    }
}

impl Script {
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| if line.trim().starts_with('#') { "" } else { line.trim() }).collect();
        let mut lines = Lines { lines, at: 0 };
        let mut commands = Vec::new();
        while let Some((number, line)) = lines.next() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let command = match words.first().copied() {
                None => continue,
                Some("clear") => Command::Clear,
                Some(word @ ("load" | "load_with_nhcb")) => Command::Load(Load {
                    gap_ms: duration(words.get(1).ok_or("load needs a gap")?)?,
                    with_native: word != "load",
                    series: lines.block().into_iter().map(series_line).collect::<Result<_, _>>()?,
                }),
                Some(word) if word.starts_with("eval") => Command::Eval(Box::new(case(number, line, &lines.block())?)),
                Some(other) => return Err(format!("line {number}: unknown command {other:?}")),
            };
            commands.push(command);
        }
        Ok(Self { commands })
    }
}

/// Splits off the first word.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

fn case(line: usize, text: &str, block: &[&str]) -> Result<Case, String> {
    let (command, rest) = word(text);
    let (kind, rest) = word(rest);
    let mut expected = Expected::default();
    match command {
        "eval" => {}
        "eval_fail" => expected.fail = Some(Message::Any),
        "eval_warn" => expected.warns.push(Message::Any),
        "eval_info" => expected.infos.push(Message::Any),
        "eval_ordered" => expected.ordered = true,
        other => return Err(format!("line {line}: unknown command {other:?}")),
    }
    let mut rest = rest;
    let mut time = |keyword: &str| -> Result<i64, String> {
        let (found, after) = word(rest);
        let (value, after) = word(after);
        rest = after;
        if found == keyword {
            duration(value)
        } else {
            Err(format!("line {line}: expected {keyword:?}, found {found:?}"))
        }
    };
    let times = match kind {
        "instant" => Times::At(time("at")?),
        "range" => Times::Range((time("from")?, time("to")?, time("step")?)),
        other => return Err(format!("line {line}: unknown kind {other:?}")),
    };
    for text in block {
        expectation(text, &mut expected).map_err(|e| format!("below line {line}: {e}"))?;
    }
    Ok(Case { line, query: rest.trim().to_owned(), times, expected })
}

fn message(text: &str) -> Message {
    let text = text.trim();
    match (text.strip_prefix("msg:"), text.strip_prefix("regex:")) {
        (Some(text), _) => Message::Exact(text.trim().to_owned()),
        (_, Some(text)) => Message::Pattern(text.trim().to_owned()),
        _ => Message::Any,
    }
}

fn expectation(text: &str, expected: &mut Expected) -> Result<(), String> {
    let Some(text) = text.strip_prefix("expect ") else { return result_line(text, expected) };
    let (kind, rest) = word(text);
    match kind {
        "fail" => expected.fail = Some(message(rest)),
        "ordered" => expected.ordered = true,
        "warn" => expected.warns.push(message(rest)),
        "info" => expected.infos.push(message(rest)),
        "no_warn" => expected.no_warn = true,
        "no_info" => expected.no_info = true,
        "string" => {
            let text = rest.trim();
            expected.text = Some(text[1..text.len() - 1].to_owned());
        }
        "range" => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let ["vector", "from", from, "to", to, "step", step] = words.as_slice() else {
                return Err(format!("cannot read {text:?}"));
            };
            expected.window = Some((duration(from)?, duration(to)?, duration(step)?));
        }
        other => return Err(format!("unknown expectation {other:?}")),
    }
    Ok(())
}

fn result_line(text: &str, expected: &mut Expected) -> Result<(), String> {
    if let Ok(number) = number(text) {
        expected.scalar = Some(number);
        return Ok(());
    }
    expected.series.push(series_line(text)?);
    Ok(())
}

impl Load {
    pub fn fill(&self, source: &mut MemorySource) {
        for (metric, items) in &self.series {
            fill(source, metric, items, 0, self.gap_ms);
        }
        if self.with_native {
            self.native(source);
        }
    }

    /// Makes native histograms with custom buckets of the classic ones.
    fn native(&self, source: &mut MemorySource) {
        #[derive(Default)]
        struct Parts {
            below: BTreeMap<i64, Vec<(f64, f64)>>,
            sums: BTreeMap<i64, f64>,
            counts: BTreeMap<i64, f64>,
        }
        let mut families: BTreeMap<Metric, Parts> = BTreeMap::new();
        for (metric, items) in &self.series {
            let name = metric.name();
            let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|suffix| name.ends_with(suffix));
            let Some(suffix) = suffix else { continue };
            let family = metric.with("__name__", name.strip_suffix(suffix).expect("it ends so")).with("le", "");
            let parts = families.entry(family).or_default();
            for (at_ms, item) in (0..).map(|step| step * self.gap_ms).zip(items) {
                let Item::Float(value) = item else { continue };
                match suffix {
                    "_bucket" => {
                        let upper = number(metric.get("le")).expect("a bound");
                        parts.below.entry(at_ms).or_default().push((upper, *value));
                    }
                    "_sum" => _ = parts.sums.insert(at_ms, *value),
                    _ => _ = parts.counts.insert(at_ms, *value),
                }
            }
        }
        for (metric, parts) in families {
            for (at_ms, mut below) in parts.below {
                below.sort_by(|a, b| a.0.total_cmp(&b.0));
                let last = below.last().map_or(0.0, |(_, count)| *count);
                let count = parts.counts.get(&at_ms).copied().unwrap_or(last);
                if below.last().is_none_or(|(upper, _)| *upper != f64::INFINITY) {
                    below.push((f64::INFINITY, count));
                }
                let mut before = 0.0;
                let part = |(place, (_, count)): (usize, &(f64, f64))| {
                    let own = count - before;
                    before = *count;
                    (i32::try_from(place).expect("few buckets"), own)
                };
                let positive = below.iter().enumerate().map(part).collect();
                let custom_bounds = below.iter().map(|(upper, _)| *upper).filter(|upper| upper.is_finite()).collect();
                let sum = parts.sums.get(&at_ms).copied().unwrap_or_default();
                let schema = CUSTOM_BUCKETS;
                let mut histogram = Histogram { schema, count, sum, positive, custom_bounds, ..Histogram::default() };
                histogram.compact();
                source.push_histogram(&metric, at_ms, histogram);
            }
        }
    }
}
