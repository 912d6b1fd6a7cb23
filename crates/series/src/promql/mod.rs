//! PromQL: queries over series, with Prometheus's own meaning down to the last digit. Knows no HTTP, rule or dashboard.
//!
//! [`Query::parse`] reads a query, [`Query::instant`] and [`Query::range`] answer it from any [`Source`] within
//! [`Limits`]. An evaluation goes series by series over all steps at once, in columns: a selector reads its series once,
//! a range function slides its window along them, an operator matches series once and then runs down their columns.
//! The steps of one series never wait for those of another, and no sample is copied into a window.

mod annotation;
mod ast;
mod check;
mod column;
mod duration;
mod error;
mod eval;
mod floats;
mod format;
mod functions;
pub mod json;
mod kahan;
mod lex;
mod limits;
mod metric;
pub mod notation;
mod parse;
mod parse_selector;
mod query;
mod shared;
mod source;
mod value;

pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Cardinality, Duration, DurationOp, Edges, Expr, ExprKind, Grouping,
    Matching, Selector, Shift, Span, Subquery, Type,
};
pub use error::{ParseError, QueryError};
pub(crate) use eval::change_of;
pub use floats::Floats;
pub use functions::Function;
pub(crate) use kahan::Kahan;
pub use limits::{Cancel, Limits, Tally};
pub use metric::Metric;
pub use parse::parse;
pub use query::{Query, Settings};
pub use shared::SharedSource;
pub(crate) use source::damaged;
pub use source::{
    Along, Each, EachThinned, EngineSource, MakesValues, MemorySource, Select, Selected, SeriesSamples, Source, Told,
};
pub use value::{Answer, MatrixSeries, SampleValue, Value, VectorSample, json_float, plain_float};
pub(crate) use value::{go_float, label_float};
