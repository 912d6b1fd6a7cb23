//! Parquet with the columns of an export. The file comes from a stranger and its reader is another's: what goes wrong in there is
//! a fault of the file.

use std::fs::File;
use std::io;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};

use super::forms::Remembered;
use super::read::Reader;

pub(super) fn rows(file: File, reader: &mut Reader<'_>) -> io::Result<()> {
    let opened = match SerializedFileReader::new(file) {
        Ok(opened) => opened,
        Err(error) => {
            reader.faults.put(1, format!("not a Parquet file that can be read: {error}"));
            return Ok(());
        }
    };
    let columns: Vec<String> =
        opened.metadata().file_metadata().schema_descr().columns().iter().map(|c| c.name().to_owned()).collect();
    let place = |name: &str| columns.iter().position(|column| column == name);
    let (Some(metric), Some(others), Some(time), Some(value)) =
        (place("metric"), place("labels"), place("time"), place("value"))
    else {
        reader.faults.put(1, "the file must have the columns metric, labels, time and value");
        return Ok(());
    };
    let rows = match opened.get_row_iter(None) {
        Ok(rows) => rows,
        Err(error) => {
            reader.faults.put(1, error.to_string());
            return Ok(());
        }
    };
    let histogram = place("histogram");
    let mut known = Remembered::default();
    for (line, row) in (1..).zip(rows) {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                // What cannot be unpacked has no rows behind it.
                reader.faults.put(line, error.to_string());
                return Ok(());
            }
        };
        let sample = || {
            let texts = (text(&row, metric, "metric")?, text(&row, others, "labels")?);
            let at_ms = moment(&row, time)?;
            let counted = histogram.filter(|at| !is_null(&row, *at));
            let counted = counted.map_or(Ok(""), |at| text(&row, at, "histogram"))?;
            let value = match is_null(&row, value) {
                true => None,
                false => Some(row.get_double(value).map_err(|_| "value: no number with decimals (DOUBLE)")?),
            };
            Ok::<_, String>((texts, at_ms, value, counted))
        };
        let sample = sample().and_then(|((metric, others), at_ms, value, counted)| {
            Ok(((known.number(reader, metric, others)?, at_ms), value, counted))
        });
        match sample {
            Ok((place, value, counted)) => reader.cells(line, place, value, counted)?,
            Err(why) => reader.faults.put(line, why),
        }
    }
    Ok(())
}

fn is_null(row: &Row, at: usize) -> bool {
    row.get_column_iter().nth(at).is_none_or(|(_, field)| matches!(field, Field::Null))
}

fn text<'a>(row: &'a Row, at: usize, name: &str) -> Result<&'a str, String> {
    row.get_string(at).map(String::as_str).map_err(|_| format!("{name}: no text (BYTE_ARRAY, UTF8)"))
}

/// Milliseconds, or finer.
fn moment(row: &Row, at: usize) -> Result<i64, String> {
    let fine = || row.get_timestamp_micros(at).map(|micros| micros.div_euclid(1000));
    let found = row.get_timestamp_millis(at).or_else(|_| fine()).or_else(|_| row.get_long(at));
    found.map_err(|_| "time: neither a TIMESTAMP nor Unix milliseconds (INT64)".to_owned())
}
