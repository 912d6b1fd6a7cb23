//! The three forms of an export. Rows of CSV and Parquet are `metric, labels (JSON), time, value, histogram (JSON)`, of which a row has
//! a value or a histogram; a line of JSON is a stretch of one series.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use series::promql::{MatrixSeries, json, plain_float};
use series::{Histogram, Labels};

use crate::answer::Pieces;

/// Rows that one group of a Parquet file holds, and so this program in memory.
const GROUP: usize = 65_536;
/// Bytes of histograms after which a group is full.
const GROUP_BYTES: usize = 16 << 20;

const SCHEMA: &str = "message samples {
    required binary metric (UTF8);
    required binary labels (JSON);
    required int64 time (TIMESTAMP(MILLIS, true));
    optional double value;
    optional binary histogram (JSON);
}";

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Csv,
    JsonLines,
    Parquet,
}

impl Form {
    pub fn media(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::JsonLines => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// Where rows go.
pub enum Rows<'a> {
    Csv(&'a mut Pieces),
    JsonLines(&'a mut Pieces),
    Parquet(Box<Groups<'a>>),
}

impl<'a> Rows<'a> {
    /// Begins a file.
    pub fn new(form: Form, out: &'a mut Pieces) -> io::Result<Self> {
        Ok(match form {
            Form::Csv => {
                out.write_all(b"metric,labels,time,value,histogram\n")?;
                Self::Csv(out)
            }
            Form::JsonLines => Self::JsonLines(out),
            Form::Parquet => Self::Parquet(Box::new(Groups::new(out)?)),
        })
    }

    /// Adds samples of one series.
    pub fn put(&mut self, labels: &Labels, series: &MatrixSeries) -> io::Result<()> {
        match self {
            Self::Csv(out) => {
                let head = format!("{},{}", cell(labels.name()), cell(&others(labels)));
                in_order(series, |at, sample| match sample {
                    Sample::Float(value) => writeln!(out, "{head},{},{},", stamp(at), plain_float(value)),
                    Sample::Histogram(value) => {
                        writeln!(out, "{head},{},,{}", stamp(at), cell(&counted(value)))
                    }
                })
            }
            Self::JsonLines(out) => line(out, labels, series),
            Self::Parquet(groups) => groups.put(labels, series),
        }
    }

    /// Ends the file.
    pub fn end(self) -> io::Result<()> {
        match self {
            Self::Parquet(groups) => groups.end(),
            Self::Csv(_) | Self::JsonLines(_) => Ok(()),
        }
    }
}

/// Labels other than the name, as JSON.
fn others(labels: &Labels) -> String {
    let mut text = Vec::new();
    let pairs = labels.iter().filter(|(name, _)| *name != series::NAME);
    json::pairs(&mut text, pairs).expect("memory takes it");
    String::from_utf8(text).expect("JSON is text")
}

/// One sample of a series.
enum Sample<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

/// Calls `each` with all samples of a series in order of time; no time has two.
fn in_order(series: &MatrixSeries, mut each: impl FnMut(i64, Sample<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut histograms = series.histograms.iter().peekable();
    for (at, value) in series.floats.iter() {
        while let Some((before, histogram)) = histograms.next_if(|(before, _)| *before < at) {
            each(*before, Sample::Histogram(histogram))?;
        }
        each(at, Sample::Float(value))?;
    }
    histograms.try_for_each(|(at, histogram)| each(*at, Sample::Histogram(histogram)))
}

/// A native histogram as queries answer it.
fn counted(histogram: &Histogram) -> String {
    let mut text = Vec::new();
    json::counted(&mut text, histogram).expect("memory takes it");
    String::from_utf8(text).expect("JSON is text")
}

/// A cell in quotes. What a spreadsheet would take for a formula gets a leading quote.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// RFC 3339; Unix milliseconds beyond the times that it can say.
fn stamp(at_ms: i64) -> String {
    at_ms.checked_mul(1000).map_or_else(|| at_ms.to_string(), |micros| kernel::Time::from_micros(micros).to_string())
}

fn line(out: &mut Pieces, labels: &Labels, series: &MatrixSeries) -> io::Result<()> {
    out.write_all(b"{\"metric\":")?;
    json::pairs(out, labels.iter())?;
    if !series.floats.is_empty() {
        out.write_all(b",\"values\":")?;
        json::list(out, series.floats.iter(), |out, (_, value)| match value {
            value if value.is_finite() => write!(out, "{value}"),
            value if value.is_nan() => out.write_all(b"null"),
            value => write!(out, "\"{}Infinity\"", if value < 0.0 { "-" } else { "" }),
        })?;
        out.write_all(b",\"timestamps\":")?;
        json::list(out, series.floats.iter(), |out, (at, _)| write!(out, "{at}"))?;
    }
    if !series.histograms.is_empty() {
        out.write_all(b",\"histograms\":")?;
        json::list(out, &series.histograms, |out, (at, value)| json::histogram(out, *at, value))?;
    }
    out.write_all(b"}\n")
}

/// A Parquet file, group by group.
pub struct Groups<'a> {
    writer: SerializedFileWriter<&'a mut Pieces>,
    metric: Vec<ByteArray>,
    labels: Vec<ByteArray>,
    times: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<ByteArray>,
    /// For each row: 1 when it has a value, 0 when it has a histogram.
    is_float: Vec<i16>,
    /// The other way round.
    is_histogram: Vec<i16>,
    /// Bytes of the histograms that are held.
    held: usize,
}

impl<'a> Groups<'a> {
    fn new(out: &'a mut Pieces) -> io::Result<Self> {
        let schema = parquet::schema::parser::parse_message_type(SCHEMA).map_err(io::Error::other)?;
        let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(io::Error::other)?;
        let (metric, labels, times, values, histograms) = Default::default();
        let (is_float, is_histogram, held) = Default::default();
        Ok(Self { writer, metric, labels, times, values, histograms, is_float, is_histogram, held })
    }

    fn put(&mut self, labels: &Labels, series: &MatrixSeries) -> io::Result<()> {
        let (metric, others) =
            (ByteArray::from(labels.name().as_bytes().to_vec()), ByteArray::from(others(labels).into_bytes()));
        in_order(series, |at, sample| {
            self.metric.push(metric.clone());
            self.labels.push(others.clone());
            self.times.push(at);
            let is_float = match sample {
                Sample::Float(value) => {
                    self.values.push(value);
                    true
                }
                Sample::Histogram(value) => {
                    let text = counted(value);
                    self.held += text.len();
                    self.histograms.push(ByteArray::from(text.into_bytes()));
                    false
                }
            };
            self.is_float.push(i16::from(is_float));
            self.is_histogram.push(i16::from(!is_float));
            if self.times.len() >= GROUP || self.held >= GROUP_BYTES {
                self.group().map_err(io::Error::other)?;
            }
            Ok(())
        })
    }

    /// Writes the rows that are held.
    fn group(&mut self) -> parquet::errors::Result<()> {
        let mut group = self.writer.next_row_group()?;
        let mut place = 0;
        while let Some(mut column) = group.next_column()? {
            match place {
                0 => column.typed::<ByteArrayType>().write_batch(&self.metric, None, None)?,
                1 => column.typed::<ByteArrayType>().write_batch(&self.labels, None, None)?,
                2 => column.typed::<Int64Type>().write_batch(&self.times, None, None)?,
                3 => column.typed::<DoubleType>().write_batch(&self.values, Some(&self.is_float), None)?,
                _ => column.typed::<ByteArrayType>().write_batch(&self.histograms, Some(&self.is_histogram), None)?,
            };
            column.close()?;
            place += 1;
        }
        group.close()?;
        self.metric.clear();
        self.labels.clear();
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.is_float.clear();
        self.is_histogram.clear();
        self.held = 0;
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        if !self.times.is_empty() {
            self.group().map_err(io::Error::other)?;
        }
        self.writer.close().map_err(io::Error::other)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::streamed;
    use http_body_util::BodyExt;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    async fn written(form: Form, all: Vec<(Labels, MatrixSeries)>) -> axum::body::Bytes {
        let response = streamed(form.media(), move |out| {
            let mut rows = Rows::new(form, out)?;
            for (labels, series) in &all {
                rows.put(labels, series)?;
            }
            rows.end()
        })
        .await;
        response.into_body().collect().await.expect("it arrives").to_bytes()
    }

    fn some() -> Vec<(Labels, MatrixSeries)> {
        let labels = Labels::new([("__name__", "=cmd()"), ("job", "a,\"b\"")]).expect("labels");
        let floats = vec![(1_435_781_451_781, -1.5), (1_435_781_452_000, f64::INFINITY), (1_435_781_453_000, f64::NAN)];
        vec![(labels, MatrixSeries { metric: Default::default(), floats: floats.into(), histograms: Vec::new() })]
    }

    #[tokio::test]
    async fn csv_is_quoted_and_no_cell_is_a_formula() {
        let text = written(Form::Csv, some()).await;
        let head = "metric,labels,time,value,histogram\n\"'=cmd()\",\"{\"\"job\"\":\"\"a,\\\"\"b\\\"\"\"\"}\",2015-07-01T20:10:51.781Z,-1.5,\n";
        assert!(text.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&text));
    }

    #[tokio::test]
    async fn a_line_of_json_is_a_stretch_of_a_series() {
        let text = written(Form::JsonLines, some()).await;
        let value: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        assert_eq!(value["metric"]["__name__"], "=cmd()");
        assert_eq!(value["values"], serde_json::json!([-1.5, "Infinity", null]));
        assert_eq!(value["timestamps"][0], 1_435_781_451_781_i64);
    }

    /// A series that was floats at first and is histograms now.
    fn counted_series() -> (Labels, MatrixSeries) {
        let histogram = Histogram {
            count: 3.0,
            sum: 2.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive: vec![(0, 2.0)],
            ..Histogram::default()
        };
        let histograms = vec![(1_000, Arc::new(histogram.clone())), (3_000, Arc::new(histogram))];
        let floats = vec![(0, 1.0), (2_000, 7.0)];
        (
            Labels::metric("seconds", &[]).expect("labels"),
            MatrixSeries { metric: Default::default(), floats: floats.into(), histograms },
        )
    }

    const COUNTED: &str = r#"{"count":"3","sum":"2.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","2"]]}"#;

    #[tokio::test]
    async fn a_native_histogram_has_a_row_of_its_own_in_csv() {
        let text = written(Form::Csv, vec![counted_series()]).await;
        let text = String::from_utf8(text.to_vec()).expect("it is text");
        let quoted = COUNTED.replace('"', "\"\"");
        let row = |time: &str, rest: &str| format!("\"seconds\",\"{{}}\",{time},{rest}\n");
        let rows = [
            row("1970-01-01T00:00:00Z", "1,"),
            row("1970-01-01T00:00:01Z", &format!(",\"{quoted}\"")),
            row("1970-01-01T00:00:02Z", "7,"),
            row("1970-01-01T00:00:03Z", &format!(",\"{quoted}\"")),
        ];
        assert_eq!(text, format!("metric,labels,time,value,histogram\n{}", rows.concat()));
    }

    #[tokio::test]
    async fn a_native_histogram_has_a_row_of_its_own_in_parquet() {
        let reader = SerializedFileReader::new(written(Form::Parquet, vec![counted_series()]).await).expect("a file");
        let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        let shown: Vec<_> =
            rows.iter().map(|row| (row.get_double(3).ok(), row.get_string(4).ok().map(String::as_str))).collect();
        assert_eq!(shown, [(Some(1.0), None), (None, Some(COUNTED)), (Some(7.0), None), (None, Some(COUNTED))]);
    }

    #[tokio::test]
    async fn a_parquet_file_of_several_groups_is_read_back_row_by_row() {
        let labels = |job: &str| Labels::metric("load", &[("job", job)]).expect("labels");
        let floats: Vec<(i64, f64)> = (0..100_000).map(|i| (i, i as f64 / 8.0)).collect();
        let series = |floats: Vec<(i64, f64)>| MatrixSeries {
            metric: Default::default(),
            floats: floats.into(),
            histograms: Vec::new(),
        };
        let bytes =
            written(Form::Parquet, vec![(labels("a"), series(floats)), (labels("b"), series(vec![(7, 7.0)]))]).await;
        let reader = SerializedFileReader::new(bytes).expect("a Parquet file");
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), 100_001);
        let row = &rows[77_777];
        assert_eq!(
            (row.get_string(0).expect("text").as_str(), row.get_double(3).expect("a number")),
            ("load", 77_777.0 / 8.0)
        );
        assert_eq!(rows[100_000].get_string(1).expect("text"), "{\"job\":\"b\"}");
        assert_eq!(rows[100_000].get_timestamp_millis(2).expect("a time"), 7);
    }
}
