//! The forms of a file of samples, and two of them that are text: their rows are taken apart here and nothing else.

use kernel::Time;
use series::formats::{FormatError, Limits, openmetrics};
use series::{Labels, NAME};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read};

use super::read::{Reader, next_line};

/// Bytes of OpenMetrics that are taken apart at once.
const PIECE: usize = 256 << 10;
/// Bytes of one row of a table.
const LONGEST_ROW: usize = 16 << 20;
/// Texts of labels that are remembered by what they mean.
const REMEMBERED: usize = 100_000;

/// A form that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Columns metric, labels, time, value, and histogram where there are some.
    Csv,
    /// A stretch of one series a line.
    JsonLines,
    /// The columns of CSV.
    Parquet,
    /// OpenMetrics text in which every sample has its time.
    OpenMetrics,
}

impl Form {
    /// Names, and media types.
    pub const ALL: [(&'static str, &'static str, Self); 4] = [
        ("csv", "text/csv", Self::Csv),
        ("jsonl", "application/x-ndjson", Self::JsonLines),
        ("parquet", "application/vnd.apache.parquet", Self::Parquet),
        ("openmetrics", "application/openmetrics-text", Self::OpenMetrics),
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(.., form)| *form)
    }

    /// By the media type of a body.
    pub fn of_media(media: &str) -> Option<Self> {
        let media = media.split(';').next().unwrap_or_default().trim();
        Self::ALL.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(media)).map(|(.., form)| *form)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(.., form)| *form == self).map_or("", |(name, ..)| name)
    }

    /// What its pieces are called.
    pub fn piece(self) -> &'static str {
        if self == Self::Parquet { "row" } else { "line" }
    }
}

/// Labels from a name and the JSON of the others.
pub(super) fn labels(metric: &str, others: &str) -> Result<Labels, String> {
    let others: BTreeMap<String, String> = match others {
        "" => BTreeMap::new(),
        text => serde_json::from_str(text).map_err(|error| format!("labels: no JSON object of texts: {error}"))?,
    };
    if others.contains_key(NAME) {
        return Err(format!("labels: {NAME} stands in the column metric"));
    }
    let pairs = others.into_iter().chain([(NAME.to_owned(), metric.to_owned())]);
    Labels::new(pairs).map_err(|error| error.to_string())
}

/// RFC 3339, or Unix milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let ms = text.parse::<i64>().ok().or_else(|| Time::parse(text).map(Time::as_millis));
    ms.ok_or_else(|| format!("time: {text:?} is neither RFC 3339 nor Unix milliseconds"))
}

fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("value: {text:?} is no number"))
}

/// An export puts a quote before what a spreadsheet would take for a formula.
fn unquoted(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest,
        _ => cell,
    }
}

/// Numbers of series by the text that names them, so that a text is taken apart once.
#[derive(Default)]
pub(super) struct Remembered(HashMap<String, u32>);

impl Remembered {
    pub(super) fn number(&mut self, reader: &mut Reader<'_>, metric: &str, others: &str) -> Result<u32, String> {
        let text = format!("{metric}\u{0}{others}");
        if let Some(known) = self.0.get(&text) {
            return Ok(*known);
        }
        let number = reader.names.number(labels(metric, others)?)?;
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(text, number);
        Ok(number)
    }
}

pub(super) fn csv(text: &mut dyn BufRead, reader: &mut Reader<'_>) -> io::Result<()> {
    // Only so are its lines those that people count, also when they end as on Windows.
    let ends = csv::Terminator::Any(b'\n');
    let since_row = Cell::new(0);
    let text = Rowed { text, since_row: &since_row };
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::Headers).terminator(ends).from_reader(text);
    let header = match table.headers() {
        Ok(header) => header.clone(),
        Err(error) => return fault(error, 1, reader),
    };
    let place = |name: &str| header.iter().position(|h| h.trim_start_matches('\u{feff}') == name);
    let (Some(metric), Some(others), Some(time), Some(value)) =
        (place("metric"), place("labels"), place("time"), place("value"))
    else {
        reader.faults.put(1, "the first line must name the columns metric, labels, time and value");
        return Ok(());
    };
    let histogram = place("histogram");
    let (mut known, mut row, mut line) = (Remembered::default(), csv::StringRecord::new(), 1);
    loop {
        since_row.set(0);
        match table.read_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => {
                line = error.position().map_or(line + 1, csv::Position::line);
                fault(error, line, reader)?;
                continue;
            }
        }
        line = row.position().map_or(line + 1, csv::Position::line);
        let cell = |at: usize| {
            let text = row.get(at).unwrap_or_default();
            if at + 1 == row.len() { text.strip_suffix('\r').unwrap_or(text) } else { text }
        };
        let series = known.number(reader, unquoted(cell(metric)), unquoted(cell(others)));
        let counted = histogram.map_or("", cell);
        let value = match cell(value) {
            "" if !counted.is_empty() => Ok(None),
            text => number(text).map(Some),
        };
        let sample = series.and_then(|series| Ok(((series, moment(cell(time))?), value?)));
        match sample {
            Ok((place, value)) => reader.cells(line, place, value, counted)?,
            Err(why) => reader.faults.put(line, why),
        }
    }
}

/// The text of a table, of which one row may only take so much: a quote that is never closed makes one row of all that follows.
struct Rowed<'a> {
    text: &'a mut dyn BufRead,
    /// Bytes since a row was asked for.
    since_row: &'a Cell<usize>,
}

impl Read for Rowed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > LONGEST_ROW {
            let why = format!("a row is longer than {LONGEST_ROW} bytes: a quote is not closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let read = self.text.read(out)?;
        self.since_row.set(self.since_row.get() + read);
        Ok(read)
    }
}

/// What is wrong with the table is a fault; what is wrong with the file ends it.
fn fault(error: csv::Error, line: u64, reader: &mut Reader<'_>) -> io::Result<()> {
    let why = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Err(io::Error::new(error.kind(), format!("line {line}: {error}"))),
        _ => {
            reader.faults.put(line, why);
            Ok(())
        }
    }
}

/// The time of a sample that says none.
const NO_TIME: i64 = i64::MIN;

pub(super) fn open_metrics(text: &mut dyn BufRead, reader: &mut Reader<'_>) -> io::Result<()> {
    let (mut bytes, mut piece, mut lines) = (Vec::new(), String::new(), Vec::new());
    let (mut line, mut ended) = (0, false);
    while next_line(text, &mut bytes)? {
        line += 1;
        if ended {
            reader.faults.put(line, "more after # EOF");
            return Ok(());
        }
        ended = bytes == b"# EOF";
        match std::str::from_utf8(&bytes) {
            Ok(_) if ended => {}
            Ok(text) => {
                piece.push_str(text);
                piece.push('\n');
                lines.push(line);
            }
            Err(_) => reader.faults.put(line, "not UTF-8"),
        }
        if piece.len() >= PIECE {
            samples(&piece, &lines, reader)?;
            piece.clear();
            lines.clear();
        }
    }
    samples(&piece, &lines, reader)?;
    if !ended {
        reader.faults.put(line.max(1), "the file does not end with # EOF: it was cut short");
    }
    Ok(())
}

/// The samples of some lines, which are these of the file.
fn samples(piece: &str, lines: &[u64], reader: &mut Reader<'_>) -> io::Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let batch = match openmetrics::decode(format!("{piece}# EOF\n").as_bytes(), NO_TIME, Limits::NONE) {
        Ok(batch) => batch,
        // There may be more faults in it; each line alone tells its own.
        Err(FormatError::Line { .. }) if lines.len() > 1 => {
            let mut alone = piece.split_inclusive('\n').zip(lines.chunks(1));
            return alone.try_for_each(|(piece, line)| samples(piece, line, reader));
        }
        Err(FormatError::Line { reason, .. }) => {
            reader.faults.put(lines[0], reason);
            return Ok(());
        }
        Err(other) => {
            reader.faults.put(lines[0], other.to_string());
            return Ok(());
        }
    };
    // A line that is no comment is one sample, in this order.
    let of_samples = piece.lines().zip(lines).filter(|(text, _)| !text.starts_with('#')).map(|(_, line)| *line);
    for (found, line) in batch.series().zip(of_samples) {
        let number = found.labels.map_err(|error| error.to_string()).and_then(|labels| reader.names.number(labels));
        match number {
            Err(why) => reader.faults.put(line, why),
            Ok(_) if found.points.iter().any(|(at_ms, _)| *at_ms == NO_TIME) => {
                reader.faults.put(line, "the sample has no time: of old samples each says its own");
            }
            Ok(series) => {
                for (at_ms, value) in found.points {
                    reader.row(line, series, *at_ms, *value)?;
                }
            }
        }
    }
    Ok(())
}
