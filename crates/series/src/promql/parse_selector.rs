//! The parts of the grammar that say which series and when: matchers, `offset`, `@`, durations.

use super::ast::{At, Duration, DurationOp, Edges, ExprKind, Selector, Shift};
use super::error::ParseError;
use super::lex::TokenKind;
use super::parse::Parser;
use crate::labels::NAME;
use crate::matcher::{MatchOp, Matcher};

impl Parser {
    /// `name{a="b"}` after its name, if it has one.
    pub(super) fn selector(&mut self, name: Option<String>) -> Result<ExprKind, ParseError> {
        let start = self.peek().span.start;
        let mut matchers = Vec::new();
        let named = name.is_some();
        if let Some(name) = name {
            matchers.push(Matcher::eq(NAME, name));
        }
        if self.take_sign("{") {
            while !self.is_sign("}") {
                matchers.push(self.matcher()?);
                if !self.take_sign(",") {
                    break;
                }
            }
            self.expect_sign("}", "in label matching")?;
        }
        if named && matchers[1..].iter().any(|m| m.name() == NAME) {
            return Err(ParseError::at(start, "metric name must not be set twice"));
        }
        let empty = crate::promql::metric::matches_empty;
        if matchers.iter().all(empty) && !self.may_mean_all {
            return Err(ParseError::at(start, "vector selector must contain at least one non-empty matcher"));
        }
        Ok(ExprKind::Selector(Box::new(Selector { matchers, ..Selector::default() })))
    }

    /// `a="b"`, or a quoted name by itself.
    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let place = self.peek().span.start;
        let alone = matches!(self.peek().kind, TokenKind::Text(_));
        let name = self.label_name("in label matching")?;
        let op = match self.peek().kind {
            TokenKind::Sign("=") => MatchOp::Eq,
            TokenKind::Sign("!=") => MatchOp::Ne,
            TokenKind::Sign("=~") => MatchOp::Re,
            TokenKind::Sign("!~") => MatchOp::Nre,
            _ if alone => return Ok(Matcher::eq(NAME, name)),
            _ => return Err(self.unexpected("in label matching, expected a matching operator")),
        };
        self.next();
        let value = self.text("in label matching")?;
        Matcher::new(name, op, value).map_err(|e| ParseError::at(place, e.to_string()))
    }

    /// `offset 5m` or `@ 123` behind a selector or subquery.
    pub(super) fn shift(&mut self, kind: &mut ExprKind) -> Result<(), ParseError> {
        let place = self.next();
        let shift = match kind {
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => &mut selector.shift,
            ExprKind::Subquery(subquery) => &mut subquery.shift,
            _ => {
                let reason = "offset and @ modifiers must be preceded by a selector or subquery";
                return Err(ParseError::at(place.span.start, reason));
            }
        };
        if place.kind == TokenKind::Sign("@") {
            self.at_time(place.span.start, shift)
        } else if shift.offset.is_some() {
            Err(ParseError::at(place.span.start, "offset may not be set multiple times"))
        } else {
            shift.offset = Some(self.duration_operand()?);
            Ok(())
        }
    }

    fn at_time(&mut self, place: usize, shift: &mut Shift) -> Result<(), ParseError> {
        if shift.at.is_some() {
            return Err(ParseError::at(place, "@ <timestamp> may not be set multiple times"));
        }
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.take_word(word) {
                self.expect_sign("(", "after @ start")?;
                self.expect_sign(")", "after @ start")?;
                shift.at = Some(at);
                return Ok(());
            }
        }
        let minus = self.take_sign("-");
        if !minus {
            self.take_sign("+");
        }
        let seconds = match self.peek().kind {
            TokenKind::Number(n) => n,
            TokenKind::Duration(ms) => ms as f64 / 1000.0,
            _ => return Err(self.unexpected("in @, expected a timestamp")),
        };
        self.next();
        let seconds = if minus { -seconds } else { seconds };
        let ms = seconds * 1000.0;
        if !ms.is_finite() || ms.abs() > 9.2e18 {
            return Err(ParseError::at(place, format!("timestamp out of bounds for @ modifier: {seconds}")));
        }
        let ms = ms.round() as i64;
        shift.at = Some(At::Time(ms));
        Ok(())
    }

    /// `anchored` or `smoothed`.
    pub(super) fn edges(&mut self, kind: &mut ExprKind) -> Result<(), ParseError> {
        let edges = if self.is_word("anchored") { Edges::Anchored } else { Edges::Smoothed };
        let place = self.next().span.start;
        match kind {
            ExprKind::Range { selector, .. } if selector.edges == Edges::Plain => {
                selector.edges = edges;
                Ok(())
            }
            _ => Err(ParseError::at(place, "anchored and smoothed need a range selector, and only one of them")),
        }
    }

    /// A duration with operators that bind at least as tightly as `least`.
    pub(super) fn duration(&mut self, least: u8) -> Result<Duration, ParseError> {
        let mut left = self.nested(Self::duration_operand)?;
        loop {
            let (op, precedence) = match self.peek().kind {
                TokenKind::Sign("+") => (DurationOp::Add, 1),
                TokenKind::Sign("-") => (DurationOp::Subtract, 1),
                TokenKind::Sign("*") => (DurationOp::Multiply, 2),
                TokenKind::Sign("/") => (DurationOp::Divide, 2),
                TokenKind::Sign("%") => (DurationOp::Modulo, 2),
                TokenKind::Sign("^") => (DurationOp::Power, 3),
                _ => return Ok(left),
            };
            if precedence < least {
                return Ok(left);
            }
            self.operator_taken()?;
            let right = self.duration(if op == DurationOp::Power { precedence } else { precedence + 1 })?;
            left = Duration::Combined(op, Box::new(left), Box::new(right));
        }
    }

    fn duration_operand(&mut self) -> Result<Duration, ParseError> {
        if self.take_sign("-") {
            return Ok(match self.nested(Self::duration_operand)? {
                Duration::Fixed(ms) => Duration::Fixed(-ms),
                other => Duration::Negate(Box::new(other)),
            });
        }
        if self.take_sign("+") {
            return self.nested(Self::duration_operand);
        }
        if self.take_sign("(") {
            let inner = self.duration(0)?;
            self.expect_sign(")", "in a duration")?;
            return Ok(inner);
        }
        let place = self.peek().span.start;
        match self.peek().kind.clone() {
            TokenKind::Duration(ms) => {
                self.next();
                Ok(Duration::Fixed(ms))
            }
            TokenKind::Number(seconds) => {
                self.next();
                let ms = super::duration::milliseconds(seconds)
                    .ok_or_else(|| ParseError::at(place, "duration out of range"))?;
                Ok(Duration::Fixed(ms))
            }
            TokenKind::Word(word) => self.duration_call(&word, place),
            _ => Err(self.unexpected("in a duration")),
        }
    }

    fn duration_call(&mut self, word: &str, place: usize) -> Result<Duration, ParseError> {
        self.next();
        self.expect_sign("(", "in a duration")?;
        let pair = |op: DurationOp, parser: &mut Self| {
            let left = parser.duration(0)?;
            parser.expect_sign(",", "in a duration")?;
            let right = parser.duration(0)?;
            Ok::<_, ParseError>(Duration::Combined(op, Box::new(left), Box::new(right)))
        };
        let found = match word {
            "step" => Duration::Step,
            "range" => Duration::Range,
            "min" | "min_of" => pair(DurationOp::Min, self)?,
            "max" | "max_of" => pair(DurationOp::Max, self)?,
            _ => return Err(ParseError::at(place, format!("{word:?} is not a duration"))),
        };
        self.expect_sign(")", "in a duration")?;
        Ok(found)
    }
}
