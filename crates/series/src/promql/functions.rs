//! The table of functions: names and types. What they compute is elsewhere.

use super::ast::Type::{self, Matrix, Scalar, Text, Vector};

/// A function of PromQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments.
    pub args: &'static [Type],
    /// How many arguments at the end may be left out.
    pub optional: usize,
    /// Whether the last argument may be repeated.
    pub variadic: bool,
    /// The type of its result.
    pub result: Type,
}

impl Function {
    /// The function of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// All functions, in order of name.
    pub fn all() -> &'static [Self] {
        &FUNCTIONS
    }
}

const fn fixed(name: &'static str, args: &'static [Type], result: Type) -> Function {
    Function { name, args, optional: 0, variadic: false, result }
}

const fn of_vector(name: &'static str) -> Function {
    fixed(name, &[Vector], Vector)
}

const fn of_range(name: &'static str) -> Function {
    fixed(name, &[Matrix], Vector)
}

const fn of_time(name: &'static str) -> Function {
    Function { name, args: &[Vector], optional: 1, variadic: false, result: Vector }
}

const fn repeated(name: &'static str, args: &'static [Type], optional: usize) -> Function {
    Function { name, args, optional, variadic: true, result: Vector }
}

static FUNCTIONS: [Function; 89] = [
    of_vector("abs"),
    of_vector("absent"),
    of_range("absent_over_time"),
    of_vector("acos"),
    of_vector("acosh"),
    of_vector("asin"),
    of_vector("asinh"),
    of_vector("atan"),
    of_vector("atanh"),
    of_range("avg_over_time"),
    of_vector("ceil"),
    of_range("changes"),
    fixed("clamp", &[Vector, Scalar, Scalar], Vector),
    fixed("clamp_max", &[Vector, Scalar], Vector),
    fixed("clamp_min", &[Vector, Scalar], Vector),
    of_vector("cos"),
    of_vector("cosh"),
    of_range("count_over_time"),
    of_time("day_of_month"),
    of_time("day_of_week"),
    of_time("day_of_year"),
    of_time("days_in_month"),
    of_vector("deg"),
    of_range("delta"),
    of_range("deriv"),
    fixed("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector),
    fixed("end", &[], Scalar),
    of_vector("exp"),
    of_range("first_over_time"),
    of_vector("floor"),
    of_vector("histogram_avg"),
    of_vector("histogram_count"),
    fixed("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    fixed("histogram_quantile", &[Scalar, Vector], Vector),
    repeated("histogram_quantiles", &[Vector, Text, Scalar], 0),
    of_vector("histogram_stddev"),
    of_vector("histogram_stdvar"),
    of_vector("histogram_sum"),
    of_time("hour"),
    of_range("idelta"),
    of_range("increase"),
    Function { name: "info", args: &[Vector, Vector], optional: 1, variadic: false, result: Vector },
    of_range("irate"),
    repeated("label_join", &[Vector, Text, Text, Text], 1),
    fixed("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    of_range("last_over_time"),
    of_vector("ln"),
    of_vector("log10"),
    of_vector("log2"),
    of_range("mad_over_time"),
    fixed("max_of", &[Scalar, Scalar], Scalar),
    of_range("max_over_time"),
    fixed("min_of", &[Scalar, Scalar], Scalar),
    of_range("min_over_time"),
    of_time("minute"),
    of_time("month"),
    fixed("pi", &[], Scalar),
    fixed("predict_linear", &[Matrix, Scalar], Vector),
    of_range("present_over_time"),
    fixed("quantile_over_time", &[Scalar, Matrix], Vector),
    of_vector("rad"),
    fixed("range", &[], Scalar),
    of_range("rate"),
    of_range("resets"),
    Function { name: "round", args: &[Vector, Scalar], optional: 1, variadic: false, result: Vector },
    fixed("scalar", &[Vector], Scalar),
    of_vector("sgn"),
    of_vector("sin"),
    of_vector("sinh"),
    of_vector("sort"),
    repeated("sort_by_label", &[Vector, Text], 1),
    repeated("sort_by_label_desc", &[Vector, Text], 1),
    of_vector("sort_desc"),
    of_vector("sqrt"),
    fixed("start", &[], Scalar),
    of_range("stddev_over_time"),
    of_range("stdvar_over_time"),
    fixed("step", &[], Scalar),
    of_range("sum_over_time"),
    of_vector("tan"),
    of_vector("tanh"),
    fixed("time", &[], Scalar),
    of_vector("timestamp"),
    of_range("ts_of_first_over_time"),
    of_range("ts_of_last_over_time"),
    of_range("ts_of_max_over_time"),
    of_range("ts_of_min_over_time"),
    fixed("vector", &[Scalar], Vector),
    of_time("year"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_there_once_and_in_order() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
