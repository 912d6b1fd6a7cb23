//! What a query is made of. Values only: nothing here is evaluated, printed or read from text.

use super::functions::Function;
use crate::matcher::Matcher;

/// A stretch of the query's text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// An expression and where it stands in the text.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands; parentheses around it not included.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `1`, `Inf`, and `5m`, which is 300.
    Number(f64),
    /// `"text"`
    Text(String),
    /// A string whose escapes make bytes that are no text, which no label can hold.
    Bytes(Vec<u8>),
    /// `up{job="a"}`
    Selector(Box<Selector>),
    /// `up[5m]`
    Range {
        /// Which series.
        selector: Box<Selector>,
        /// How far back.
        range: Box<Duration>,
    },
    /// `expr[1h:5m]`
    Subquery(Box<Subquery>),
    /// `rate(…)`
    Call {
        /// Which function.
        function: &'static Function,
        /// Its arguments, checked in number and type.
        args: Vec<Expr>,
    },
    /// `sum by (job) (…)`
    Aggregate(Box<Aggregate>),
    /// `a + b`
    Binary(Box<Binary>),
    /// `-a`
    Negate(Box<Expr>),
    /// `+a` and `(a)`: changes nothing, but is printed again.
    Wrapped {
        /// True for parentheses.
        parentheses: bool,
        /// What is inside.
        inner: Box<Expr>,
    },
}

/// A length of time in a query. Only positions where Prometheus takes an expression can hold one.
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// A literal, in milliseconds.
    Fixed(i64),
    /// The step of the query.
    Step,
    /// The range of the query, from start to end.
    Range,
    /// `-a`
    Negate(Box<Duration>),
    /// `a + b` and the like; `min`/`max` are `min_of`/`max_of`.
    Combined(DurationOp, Box<Duration>, Box<Duration>),
}

/// How two durations are combined. The operands count in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DurationOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Min,
    Max,
}

/// Moves what a selector or subquery reads in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shift {
    /// `offset 5m`
    pub offset: Option<Duration>,
    /// `@ 123`
    pub at: Option<At>,
}

/// The time that `@` fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Unix milliseconds.
    Time(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// How the window of a range selector ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edges {
    /// Samples inside the window only.
    #[default]
    Plain,
    /// `anchored`: the last sample before the window counts as standing at its start.
    Anchored,
    /// `smoothed`: values at the edges are interpolated.
    Smoothed,
}

/// Which series, and when.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// All conditions, the one on the name included.
    pub matchers: Vec<Matcher>,
    /// When.
    pub shift: Shift,
    /// `anchored` or `smoothed`.
    pub edges: Edges,
}

/// An expression evaluated over a stretch of time.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What is evaluated.
    pub inner: Expr,
    /// How far back.
    pub range: Duration,
    /// How often; by default the engine's.
    pub step: Option<Duration>,
    /// When.
    pub shift: Shift,
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PromQL's")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    const NAMES: [(&'static str, Self); 14] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("count_values", Self::CountValues),
        ("quantile", Self::Quantile),
        ("limitk", Self::Limitk),
        ("limit_ratio", Self::LimitRatio),
    ];

    /// The aggregation of that name, in any case of letters.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, op)| *op)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// Whether it needs a parameter before the vector.
    pub fn has_parameter(self) -> bool {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }
}

/// Which labels make a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// True for `without`.
    pub without: bool,
    /// The labels named.
    pub labels: Vec<String>,
}

/// An aggregation.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Which one.
    pub op: AggregateOp,
    /// How it groups.
    pub grouping: Grouping,
    /// `k`, the quantile, the name of the label.
    pub parameter: Option<Expr>,
    /// What is aggregated.
    pub inner: Expr,
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PromQL's")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    /// `</`: drops the observations above.
    TrimUpper,
    /// `>/`: drops the observations below.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    const NAMES: [(&'static str, Self); 18] = [
        ("+", Self::Add),
        ("-", Self::Sub),
        ("*", Self::Mul),
        ("/", Self::Div),
        ("%", Self::Mod),
        ("^", Self::Pow),
        ("atan2", Self::Atan2),
        ("==", Self::Eq),
        ("!=", Self::Ne),
        (">", Self::Gt),
        ("<", Self::Lt),
        (">=", Self::Ge),
        ("<=", Self::Le),
        ("</", Self::TrimUpper),
        (">/", Self::TrimLower),
        ("and", Self::And),
        ("or", Self::Or),
        ("unless", Self::Unless),
    ];

    /// The operator written so.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, op)| *op)
    }

    /// How it is written.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// How tightly it binds; higher binds tighter.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            op if op.is_comparison() || op.is_trim() => 3,
            Self::Add | Self::Sub => 4,
            Self::Pow => 6,
            _ => 5,
        }
    }

    /// `==` and the like.
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Gt | Self::Lt | Self::Ge | Self::Le)
    }

    /// `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// `</` and `>/`.
    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// Whether its result is another thing than its left side, so that the name no longer fits.
    pub fn drops_name(self) -> bool {
        !(self.is_comparison() || self.is_set() || self.is_trim())
    }
}

/// How many series of one side match one of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One each.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the series of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// One or many.
    pub cardinality: Cardinality,
    /// True for `on`, false for `ignoring`.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels of the one side that the result gets.
    pub include: Vec<String>,
    /// `fill`, `fill_left`: the value of a missing left side.
    pub fill_left: Option<f64>,
    /// `fill`, `fill_right`: the value of a missing right side.
    pub fill_right: Option<f64>,
}

/// A binary operation.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// `bool`: answer 0 or 1 instead of filtering.
    pub as_bool: bool,
    /// How vectors match; of no effect with a scalar.
    pub matching: Matching,
    /// The left side.
    pub left: Expr,
    /// The right side.
    pub right: Expr,
}

/// The types of PromQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PromQL's")]
pub enum Type {
    Scalar,
    Vector,
    Matrix,
    Text,
}

impl Type {
    /// As Prometheus names it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Text => "string",
        }
    }
}

impl Expr {
    /// Its type, known before evaluation.
    pub fn value_type(&self) -> Type {
        match &self.kind {
            ExprKind::Number(_) => Type::Scalar,
            ExprKind::Text(_) | ExprKind::Bytes(_) => Type::Text,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => Type::Vector,
            ExprKind::Range { .. } | ExprKind::Subquery(_) => Type::Matrix,
            ExprKind::Call { function, .. } => function.result,
            ExprKind::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (Type::Scalar, Type::Scalar) => Type::Scalar,
                _ => Type::Vector,
            },
            ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => inner.value_type(),
        }
    }

    /// The expression without the parentheses and plus signs around it.
    pub fn unwrapped(&self) -> &Expr {
        match &self.kind {
            ExprKind::Wrapped { inner, .. } => inner.unwrapped(),
            _ => self,
        }
    }

    /// All selectors in it, in the order in which they stand.
    pub fn selectors(&self) -> Vec<&Selector> {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Bytes(_) => Vec::new(),
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => vec![selector],
            ExprKind::Subquery(subquery) => subquery.inner.selectors(),
            ExprKind::Call { args, .. } => args.iter().flat_map(Self::selectors).collect(),
            ExprKind::Aggregate(aggregate) => {
                aggregate.parameter.iter().chain([&aggregate.inner]).flat_map(Self::selectors).collect()
            }
            ExprKind::Binary(binary) => [&binary.left, &binary.right].into_iter().flat_map(Self::selectors).collect(),
            ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => inner.selectors(),
        }
    }
}
