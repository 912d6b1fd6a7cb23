//! `label_replace` and `label_join`: new labels from old ones. No value is looked at.

use regex::Regex;

use super::calls::text;
use super::{Evaluator, Grid, merge};
use crate::labels::NAME;
use crate::promql::ast::Expr;
use crate::promql::column::Line;
use crate::promql::error::{QueryError, execution};

fn check_name(name: &str, what: &str, function: &str) -> Result<(), QueryError> {
    if name.is_empty() {
        return execution(format!("invalid {what} label name in {function}(): {name}"));
    }
    Ok(())
}

/// Gives a line a label. A name given so is one that fits, whatever became of the old one.
fn label(line: &mut Line, name: &str, value: &str) {
    line.metric = line.metric.with(name, value);
    line.drop_name &= name != NAME;
}

impl Evaluator<'_> {
    pub(super) fn label_replace(&self, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let (target, replacement) = (text(&args[1])?, text(&args[2])?);
        let (source, expression) = (text(&args[3])?, text(&args[4])?);
        let Ok(regex) = Regex::new(&format!("^(?s:{expression})$")) else {
            return execution(format!("invalid regular expression in label_replace(): {expression}"));
        };
        check_name(target, "destination", "label_replace")?;
        let mut lines = self.lines(&args[0], grid)?;
        for line in &mut lines {
            self.budget.work(16)?;
            let Some(captures) = regex.captures(line.metric.get(source)) else { continue };
            let mut value = String::new();
            captures.expand(replacement, &mut value);
            label(line, target, &value);
        }
        merge::join(lines)
    }

    pub(super) fn label_join(&self, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let (target, separator) = (text(&args[1])?, text(&args[2])?);
        let sources: Result<Vec<&str>, _> = args[3..].iter().map(text).collect();
        let sources = sources?;
        for source in &sources {
            check_name(source, "source", "label_join")?;
        }
        check_name(target, "destination", "label_join")?;
        let mut lines = self.lines(&args[0], grid)?;
        for line in &mut lines {
            self.budget.work(16)?;
            let values: Vec<&str> = sources.iter().map(|source| line.metric.get(source)).collect();
            let joined = values.join(separator);
            label(line, target, &joined);
        }
        merge::join(lines)
    }
}
