//! A query and its two ways of being asked: for one moment, and for many at equal distances.

use std::sync::Arc;

use super::ast::{Expr, Type};
use super::column::{Cell, Line};
use super::error::{ParseError, QueryError};
use super::eval::{Evaluated, Evaluator, Grid};
use super::floats::Floats;
use super::limits::Limits;
use super::parse::parse;
use super::source::Source;
use super::value::{Answer, MatrixSeries, SampleValue, Value, VectorSample};

/// What queries mean where they say nothing.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A sample older than this is no longer the value of its series, in milliseconds. Default 5 minutes.
    pub lookback_ms: i64,
    /// The step of a subquery that names none, in milliseconds. Default 1 minute.
    pub subquery_step_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lookback_ms: 300_000, subquery_step_ms: 60_000 }
    }
}

/// A query that has been read and checked.
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    expr: Expr,
    lookback_ms: Option<i64>,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`ParseError`] with the place and the reason.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { expr: parse(text)?, text: text.to_owned(), lookback_ms: None })
    }

    /// The same query, for which a sample is the value of its series for so many milliseconds, whatever the settings say.
    #[must_use]
    pub fn looking_back(self, ms: i64) -> Self {
        Self { lookback_ms: Some(ms), ..self }
    }

    /// How far it looks back, when it says so itself.
    pub fn lookback_ms(&self) -> Option<i64> {
        self.lookback_ms
    }

    /// Its text, as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is made of.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The query in Prometheus's own layout (`format_query` of its HTTP API).
    pub fn formatted(&self) -> String {
        super::format::pretty(&self.expr)
    }

    /// The answer at one moment, in Unix milliseconds.
    ///
    /// # Errors
    /// [`QueryError`]: the data has no answer, a limit was reached, or the source failed.
    pub fn instant(
        &self,
        source: &dyn Source,
        at_ms: i64,
        settings: &Settings,
        limits: &Limits,
    ) -> Result<Answer, QueryError> {
        let grid = Grid { start_ms: at_ms, step_ms: 0, steps: 1 };
        let evaluator = Evaluator::new(source, limits, self.settings(settings), grid);
        let value = match self.expr.value_type() {
            Type::Matrix => Value::Matrix(evaluator.matrix(&self.expr, at_ms)?),
            _ => match evaluator.whole(&self.expr)? {
                Evaluated::Scalar(values) => Value::Scalar { at_ms, value: values[0] },
                Evaluated::Text(text) => Value::Text { at_ms, text },
                Evaluated::Lines(lines) => Value::Vector(vector(lines, at_ms)),
            },
        };
        Ok(self.answer(value, &evaluator))
    }

    /// The answers from `start_ms` to `end_ms`, both included, every `step_ms`; Unix milliseconds.
    ///
    /// # Errors
    /// As [`instant`](Self::instant); and [`QueryError::Range`] when the times make no sense or the steps are too many.
    pub fn range(
        &self,
        source: &dyn Source,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        settings: &Settings,
        limits: &Limits,
    ) -> Result<Answer, QueryError> {
        let refuse = |reason: String| Err(QueryError::Range { reason });
        if step_ms <= 0 {
            return refuse(
                "zero or negative query resolution step widths are not accepted, try a positive integer".into(),
            );
        }
        if end_ms < start_ms {
            return refuse("end timestamp must not be before start time".into());
        }
        let steps = start_ms.abs_diff(end_ms) / step_ms.unsigned_abs() + 1;
        if steps > limits.max_steps {
            return refuse(format!("exceeded maximum resolution of {} points per timeseries", limits.max_steps));
        }
        let found = self.expr.value_type();
        if !matches!(found, Type::Scalar | Type::Vector) {
            let reason =
                format!("invalid expression type {:?} for range query, must be Scalar or instant Vector", found.name());
            return refuse(reason);
        }
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        let grid = Grid { start_ms, step_ms, steps };
        let evaluator = Evaluator::new(source, limits, self.settings(settings), grid).ending(end_ms);
        let value = match evaluator.whole(&self.expr)? {
            Evaluated::Scalar(values) => {
                let floats: Vec<_> = (0..steps).map(|step| (grid.at(step), values[step])).collect();
                let floats = floats.into();
                Value::Matrix(vec![MatrixSeries { metric: super::Metric::default(), floats, histograms: Vec::new() }])
            }
            Evaluated::Text(text) => Value::Text { at_ms: start_ms, text },
            Evaluated::Lines(lines) => Value::Matrix(matrix(lines, grid)),
        };
        Ok(self.answer(value, &evaluator))
    }

    fn settings(&self, given: &Settings) -> Settings {
        Settings { lookback_ms: self.lookback_ms.unwrap_or(given.lookback_ms), ..*given }
    }

    fn answer(&self, value: Value, evaluator: &Evaluator<'_>) -> Answer {
        evaluator.tell_counts();
        let (warnings, infos) = evaluator.remarks(&self.text);
        Answer { value, warnings, infos, samples: evaluator.samples() }
    }

    /// Whether it is nothing but a string.
    pub fn is_text(&self) -> bool {
        self.expr.value_type() == Type::Text
    }
}

fn vector(lines: Vec<Line>, at_ms: i64) -> Vec<VectorSample> {
    let sample = |line: Line| {
        let value = match line.column.cell(0) {
            Cell::Absent => return None,
            Cell::Float(value) => SampleValue::Float(value),
            Cell::Histogram(histogram) => SampleValue::Histogram(histogram),
        };
        Some(VectorSample { metric: line.metric, at_ms, value })
    };
    lines.into_iter().filter_map(sample).collect()
}

fn matrix(lines: Vec<Line>, grid: Grid) -> Vec<MatrixSeries> {
    let series = |line: Line| {
        let histogram = |step| Some((grid.at(step), Arc::clone(line.column.histogram(step)?)));
        let histograms: Vec<_> = (0..grid.steps).filter_map(histogram).collect();
        let mut values = line.column.floats;
        values.truncate(grid.steps);
        let floats = Floats::stepped(grid.start_ms, grid.step_ms, values);
        MatrixSeries { metric: line.metric, floats, histograms }
    };
    let mut all: Vec<_> =
        lines.into_iter().map(series).filter(|s| !s.floats.is_empty() || !s.histograms.is_empty()).collect();
    all.sort_by(|a, b| a.metric.cmp(&b.metric));
    all
}
