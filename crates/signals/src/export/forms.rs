//! The three forms of an export. Rows of CSV and Parquet are `metric, labels (JSON), time, value`; a line of JSON is a stretch of
//! one series. Native histograms have no number to stand in a cell: only JSON lines carry them.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use series::Labels;
use series::promql::{MatrixSeries, json, plain_float};

use crate::answer::Pieces;

/// Rows that one group of a Parquet file holds, and so this program in memory.
const GROUP: usize = 65_536;

const SCHEMA: &str = "message samples {
    required binary metric (UTF8);
    required binary labels (JSON);
    required int64 time (TIMESTAMP(MILLIS, true));
    required double value;
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
                out.write_all(b"metric,labels,time,value\n")?;
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
                for (at, value) in &series.floats {
                    writeln!(out, "{head},{},{}", stamp(*at), plain_float(*value))?;
                }
                Ok(())
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
        json::list(out, &series.floats, |out, (_, value)| match value {
            value if value.is_finite() => write!(out, "{value}"),
            value if value.is_nan() => out.write_all(b"null"),
            value => write!(out, "\"{}Infinity\"", if *value < 0.0 { "-" } else { "" }),
        })?;
        out.write_all(b",\"timestamps\":")?;
        json::list(out, &series.floats, |out, (at, _)| write!(out, "{at}"))?;
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
}

impl<'a> Groups<'a> {
    fn new(out: &'a mut Pieces) -> io::Result<Self> {
        let schema = parquet::schema::parser::parse_message_type(SCHEMA).map_err(io::Error::other)?;
        let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(io::Error::other)?;
        Ok(Self { writer, metric: Vec::new(), labels: Vec::new(), times: Vec::new(), values: Vec::new() })
    }

    fn put(&mut self, labels: &Labels, series: &MatrixSeries) -> io::Result<()> {
        let (metric, others) =
            (ByteArray::from(labels.name().as_bytes().to_vec()), ByteArray::from(others(labels).into_bytes()));
        for (at, value) in &series.floats {
            self.metric.push(metric.clone());
            self.labels.push(others.clone());
            self.times.push(*at);
            self.values.push(*value);
            if self.times.len() >= GROUP {
                self.group().map_err(io::Error::other)?;
            }
        }
        Ok(())
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
                _ => column.typed::<DoubleType>().write_batch(&self.values, None, None)?,
            };
            column.close()?;
            place += 1;
        }
        group.close()?;
        self.metric.clear();
        self.labels.clear();
        self.times.clear();
        self.values.clear();
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
        vec![(labels, MatrixSeries { metric: Default::default(), floats, histograms: Vec::new() })]
    }

    #[tokio::test]
    async fn csv_is_quoted_and_no_cell_is_a_formula() {
        let text = written(Form::Csv, some()).await;
        let head = "metric,labels,time,value\n\"'=cmd()\",\"{\"\"job\"\":\"\"a,\\\"\"b\\\"\"\"\"}\",2015-07-01T20:10:51.781Z,-1.5\n";
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

    #[tokio::test]
    async fn a_parquet_file_of_several_groups_is_read_back_row_by_row() {
        let labels = |job: &str| Labels::metric("load", &[("job", job)]).expect("labels");
        let floats: Vec<(i64, f64)> = (0..100_000).map(|i| (i, i as f64 / 8.0)).collect();
        let series = |floats| MatrixSeries { metric: Default::default(), floats, histograms: Vec::new() };
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
