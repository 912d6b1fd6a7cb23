//! A file of samples, row by row: where it is, who it is of, when, and how much. Text is never held longer than a line of it.

use series::{Histogram, Labels, NAME, measured};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::forms::{self, Form};
use crate::relay::histogram::{Counted, from_buckets};

/// Faults that are told one by one; more are only counted.
const TOLD: usize = 100;
/// Series of one file.
const MOST_SERIES: usize = 5_000_000;
/// Bytes of one line, which may be a long stretch of a series.
const LONGEST_LINE: usize = 256 << 20;
/// Letters of a reason: what a file says is not said back in full.
const LONGEST_REASON: usize = 300;

/// Where something is wrong, and what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The first of them: line or row from 1, and the reason.
    pub(crate) told: Vec<(u64, String)>,
    /// All of them.
    pub(crate) count: u64,
}

impl Faults {
    pub(crate) fn put(&mut self, line: u64, reason: impl Into<String>) {
        self.count += 1;
        if self.told.len() < TOLD {
            let reason: String = reason.into();
            let short = reason.char_indices().nth(LONGEST_REASON).map(|(end, _)| format!("{}…", &reason[..end]));
            self.told.push((line, short.unwrap_or(reason)));
        }
    }
}

/// The series of a file, by their numbers.
#[derive(Default)]
pub(crate) struct Names {
    all: Vec<Labels>,
    by_labels: HashMap<Labels, u32>,
}

impl Names {
    /// The labels of a number.
    pub(crate) fn of(&self, series: u32) -> &Labels {
        &self.all[series as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of these labels.
    pub(super) fn number(&mut self, labels: Labels) -> Result<u32, String> {
        if let Some(known) = self.by_labels.get(&labels) {
            return Ok(*known);
        }
        if labels.name().is_empty() {
            return Err(format!("a series has no name: {NAME} is missing"));
        }
        if self.all.len() >= MOST_SERIES {
            return Err(format!("more than {MOST_SERIES} series in one file: bring it in parts"));
        }
        let number = self.all.len() as u32;
        self.all.push(labels.clone());
        self.by_labels.insert(labels, number);
        Ok(number)
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Float(f64),
    Histogram(Box<Histogram>),
}

/// One sample of a file.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Line or row, from 1.
    pub(crate) line: u64,
    pub(crate) series: u32,
    pub(crate) at_ms: i64,
    pub(crate) what: What,
}

/// Takes the rows of a file.
pub(crate) trait Sink {
    /// Takes one.
    ///
    /// # Errors
    /// Why reading is to end.
    fn row(&mut self, names: &Names, row: Row) -> io::Result<()>;
}

/// What reading needs.
pub(super) struct Reader<'a> {
    pub(super) names: Names,
    pub(super) faults: &'a mut Faults,
    pub(super) sink: &'a mut dyn Sink,
}

impl Reader<'_> {
    /// Hands a sample on.
    pub(super) fn row(&mut self, line: u64, series: u32, at_ms: i64, value: f64) -> io::Result<()> {
        self.sink.row(&self.names, Row { line, series, at_ms, what: What::Float(measured(value)) })
    }

    /// Hands a native histogram on, as Prometheus writes it. The schema is worked out from the bounds; those that fit none stay as
    /// they are.
    pub(super) fn histogram(&mut self, line: u64, series: u32, at_ms: i64, counted: &Counted) -> io::Result<()> {
        match from_buckets(counted) {
            Ok(histogram) => {
                self.sink.row(&self.names, Row { line, series, at_ms, what: What::Histogram(Box::new(histogram)) })
            }
            Err(error) => {
                self.faults.put(line, format!("histogram: {}", error.0));
                Ok(())
            }
        }
    }

    /// Hands on what a table has in the columns value and histogram, of which a row fills one.
    pub(super) fn cells(
        &mut self,
        line: u64,
        (series, at_ms): (u32, i64),
        value: Option<f64>,
        histogram: &str,
    ) -> io::Result<()> {
        match (value, histogram) {
            (Some(value), "") => self.row(line, series, at_ms, value),
            (None, "") => {
                self.faults.put(line, "the row has neither a value nor a histogram");
                Ok(())
            }
            (Some(_), _) => {
                self.faults.put(line, "the row has both a value and a histogram");
                Ok(())
            }
            (None, text) => match serde_json::from_str::<Counted>(text) {
                Ok(counted) => self.histogram(line, series, at_ms, &counted),
                Err(error) => {
                    self.faults.put(line, format!("histogram: {error}"));
                    Ok(())
                }
            },
        }
    }
}

/// Reads a file from its beginning. What is wrong with it is among the faults, and reading goes on behind it where that makes
/// sense.
///
/// # Errors
/// The file cannot be read, or the sink does not want more.
pub(crate) fn read(form: Form, file: &File, faults: &mut Faults, sink: &mut dyn Sink) -> io::Result<Names> {
    use std::io::Seek;
    let mut file = file.try_clone()?;
    file.rewind()?;
    if form == Form::Parquet {
        let mut reader = Reader { names: Names::default(), faults, sink };
        super::parquet::rows(file, &mut reader)?;
        return Ok(reader.names);
    }
    read_text(form, BufReader::with_capacity(1 << 18, file), faults, sink)
}

/// Reads any form but Parquet.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_text(
    form: Form,
    mut text: impl BufRead,
    faults: &mut Faults,
    sink: &mut dyn Sink,
) -> io::Result<Names> {
    let mut reader = Reader { names: Names::default(), faults, sink };
    match form {
        Form::Csv => forms::csv(&mut text, &mut reader)?,
        Form::JsonLines => super::jsonl::json_lines(&mut text, &mut reader)?,
        Form::OpenMetrics => forms::open_metrics(&mut text, &mut reader)?,
        Form::Parquet => reader.faults.put(1, "Parquet is no text"),
    }
    Ok(reader.names)
}

/// The next line without its end, into `line`; false at the end of the file.
///
/// # Errors
/// The file cannot be read, or the line has no end.
pub(super) fn next_line(text: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if text.take(LONGEST_LINE as u64 + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LONGEST_LINE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {LONGEST_LINE} bytes")));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(true)
}
