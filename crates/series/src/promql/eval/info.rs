//! `info`: labels of series that only describe, such as `target_info`, added to series that measure.

use super::groups::{Counting, Groups};
use super::{Evaluator, Grid, merge};
use crate::labels::NAME;
use crate::matcher::Matcher;
use crate::promql::ast::{Expr, ExprKind, Grouping, Selector};
use crate::promql::column::{Column, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::metric::{Metric, matches_empty};

/// What is described by default.
const TARGET_INFO: &str = "target_info";
/// The labels that tell what is described.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

impl Evaluator<'_> {
    pub(super) fn info(&self, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let wanted = match args.get(1).map(|arg| &arg.unwrapped().kind) {
            Some(ExprKind::Selector(selector)) => selector.matchers.clone(),
            Some(_) => return execution("the second argument of info() must be a label selector"),
            None => Vec::new(),
        };
        let base = self.lines(&args[0], grid)?;
        let mut matchers = wanted.clone();
        let names: Vec<&Matcher> = wanted.iter().filter(|m| m.name() == NAME).collect();
        if names.is_empty() {
            matchers.push(Matcher::eq(NAME, TARGET_INFO));
        }
        let describes = |metric: &Metric| {
            if names.is_empty() { metric.name() == TARGET_INFO } else { names.iter().all(|m| metric.is_meant_by(m)) }
        };
        let infos = self.select(&Selector { matchers, ..Selector::default() }, grid)?;
        let identifying = Grouping { without: false, labels: IDENTIFYING.map(str::to_owned).to_vec() };
        let mut groups = Groups::new(Counting::grouping(&identifying));
        let mut described: Vec<Vec<Line>> = Vec::new();
        for info in infos {
            let place = groups.place(&info.metric);
            if place == described.len() {
                described.push(Vec::new());
            }
            described[place].push(info);
        }
        let mut lines = Vec::new();
        for line in base {
            if describes(&line.metric) {
                lines.push(line);
                continue;
            }
            let none = Vec::new();
            let infos = groups.find(&line.metric).map_or(&none, |place| &described[place]);
            lines.extend(self.describe(&line, infos, &wanted, grid)?);
        }
        merge::join(lines)
    }

    /// A series with the labels that it has at each step: those of all infos there.
    fn describe(&self, line: &Line, infos: &[Line], wanted: &[Matcher], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let data: Vec<&Matcher> = wanted.iter().filter(|m| m.name() != NAME).collect();
        let must_be_described = data.iter().any(|m| !matches_empty(m));
        let mut found: Vec<(Metric, Column)> = Vec::new();
        for step in (0..grid.steps).filter(|step| line.column.is_present(*step)) {
            self.budget.work(infos.len())?;
            let here: Vec<&Line> = infos.iter().filter(|info| info.column.is_present(step)).collect();
            if here.is_empty() && must_be_described {
                continue;
            }
            let mut metric = line.metric.clone();
            for (place, info) in here.iter().enumerate() {
                if here[..place].iter().any(|other| other.metric.name() == info.metric.name()) {
                    return execution(format!("found duplicate series for info metric {}", info.metric));
                }
                for (name, value) in info.metric.iter() {
                    let asked = data.is_empty() || data.iter().any(|m| m.name() == name);
                    if asked && name != NAME && line.metric.get(name).is_empty() {
                        metric = metric.with(name, value);
                    }
                }
            }
            let place = match found.iter().position(|(known, _)| *known == metric) {
                Some(place) => place,
                None => {
                    found.push((metric, self.absent(grid)?));
                    found.len() - 1
                }
            };
            found[place].1.set_cell(step, line.column.cell(step));
        }
        Ok(found.into_iter().map(|(metric, column)| Line { metric, drop_name: line.drop_name, column }).collect())
    }
}
