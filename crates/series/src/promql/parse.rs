//! From tokens to an expression: precedence, modifiers and the places they may stand at. Evaluates nothing.
//!
//! Our own rather than the parser crate, since warnings name the place in the query and the crate's tree has no places;
//! nor has it the trimming operators, `fill` or arithmetic of durations.

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, ExprKind, Grouping, Matching, Span, Subquery, Type,
};
use super::check;
use super::error::ParseError;
use super::functions::Function;
use super::lex::{Token, TokenKind, parse_number, tokens};

/// Expressions nest at most so deep, so that no query exhausts the stack.
const MAX_DEPTH: usize = 100;
/// A query holds at most so many operators: `a + b + c` is a tree as deep as it is long.
const MAX_OPERATORS: usize = 500;
/// Longer queries are refused.
const MAX_BYTES: usize = 1 << 18;

/// Reads a query.
///
/// # Errors
/// [`ParseError`] with the place and the reason; types are checked too.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > MAX_BYTES {
        return Err(ParseError::at(0, format!("the query is longer than {MAX_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, operators: 0, may_mean_all: false };
    if parser.peek().kind == TokenKind::End {
        return Err(ParseError::at(0, "no expression found in input"));
    }
    let expr = parser.expression(0)?;
    match parser.peek().kind {
        TokenKind::End => Ok(expr),
        _ => Err(parser.unexpected("after the expression")),
    }
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    operators: usize,
    /// A selector may mean all series here: the second argument of `info` only says which labels are wanted.
    pub(super) may_mean_all: bool,
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        // The last token is `End`, which is never passed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek_after(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// The end of the token that was passed last.
    pub(super) fn passed(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last.min(self.tokens.len() - 1)].span.end)
    }

    pub(super) fn unexpected(&self, place: &str) -> ParseError {
        let token = self.peek();
        let what = match &token.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Word(word) => format!("{word:?}"),
            TokenKind::Sign(sign) => format!("{sign:?}"),
            TokenKind::Number(n) => format!("number {n}"),
            TokenKind::Duration(_) => "duration".to_owned(),
            TokenKind::Text(_) => "string".to_owned(),
        };
        ParseError::at(token.span.start, format!("unexpected {what} {place}"))
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Sign(found) if found == sign)
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect_sign(&mut self, sign: &str, place: &str) -> Result<(), ParseError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("{place}, expected {sign:?}"))) }
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn opens_call(&self) -> bool {
        matches!(self.peek_after().kind, TokenKind::Sign("("))
    }

    fn is_number(&self) -> bool {
        match &self.peek().kind {
            TokenKind::Number(_) => true,
            TokenKind::Word(word) => parse_number(word).is_some() && !self.opens_call(),
            _ => false,
        }
    }

    /// Guards against deep nesting.
    pub(super) fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::at(self.peek().span.start, format!("more than {MAX_DEPTH} levels of nesting")));
        }
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// An expression whose operators bind at least as tightly as `least`.
    pub(super) fn expression(&mut self, least: u8) -> Result<Expr, ParseError> {
        let mut left = self.nested(Self::operand)?;
        loop {
            let Some(op) = self.operator() else { return Ok(left) };
            let precedence = op.precedence();
            if precedence < least {
                return Ok(left);
            }
            let sign = self.operator_taken()?;
            let (as_bool, matching) = self.modifiers(op)?;
            // `^` is the only operator that groups to the right.
            let tighter = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let right = self.nested(|p| p.expression(tighter))?;
            let span = Span { start: left.span.start, end: right.span.end };
            let binary = Binary { op, as_bool, matching, left, right };
            check::binary(&binary, sign)?;
            left = Expr { kind: ExprKind::Binary(Box::new(binary)), span };
        }
    }

    /// Passes an operator, of which there may be only so many.
    pub(super) fn operator_taken(&mut self) -> Result<Span, ParseError> {
        let place = self.next().span;
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(ParseError::at(place.start, format!("more than {MAX_OPERATORS} operators")));
        }
        Ok(place)
    }

    fn operator(&self) -> Option<BinaryOp> {
        match &self.peek().kind {
            TokenKind::Sign(sign) => BinaryOp::named(sign),
            TokenKind::Word(word) => BinaryOp::named(word),
            _ => None,
        }
    }

    /// A sign and what it belongs to, or one thing with its postfixes.
    fn operand(&mut self) -> Result<Expr, ParseError> {
        let start = self.peek().span.start;
        let minus = self.is_sign("-");
        if !minus && !self.is_sign("+") {
            let primary = self.primary()?;
            return self.postfixes(primary);
        }
        self.next();
        // The sign of a number is part of how it is written (`+Inf`), not a level of its own.
        let level = usize::from(self.is_number());
        self.depth -= level;
        // A sign binds looser than `^` and tighter than `*`.
        let inner = self.expression(BinaryOp::Pow.precedence());
        self.depth += level;
        let inner = inner?;
        let found = inner.value_type();
        if !matches!(found, Type::Scalar | Type::Vector) {
            let reason = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                found.name()
            );
            return Err(ParseError::at(start, reason));
        }
        let span = Span { start, end: inner.span.end };
        let kind = match (minus, &inner.kind) {
            (true, ExprKind::Number(n)) => ExprKind::Number(-n),
            (false, ExprKind::Number(n)) => ExprKind::Number(*n),
            (true, _) => ExprKind::Negate(Box::new(inner)),
            (false, _) => ExprKind::Wrapped { parentheses: false, inner: Box::new(inner) },
        };
        Ok(Expr { kind, span })
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let token = self.peek().clone();
        let start = token.span.start;
        let kind = match token.kind {
            TokenKind::Number(n) => {
                self.next();
                ExprKind::Number(n)
            }
            TokenKind::Duration(ms) => {
                self.next();
                ExprKind::Number(ms as f64 / 1000.0)
            }
            TokenKind::Text(bytes) => {
                self.next();
                String::from_utf8(bytes).map_or_else(|e| ExprKind::Bytes(e.into_bytes()), ExprKind::Text)
            }
            TokenKind::Sign("(") => {
                self.next();
                let inner = Box::new(self.expression(0)?);
                self.expect_sign(")", "in parentheses")?;
                ExprKind::Wrapped { parentheses: true, inner }
            }
            TokenKind::Sign("{") => self.selector(None)?,
            TokenKind::Word(word) => self.named(&word)?,
            _ => return Err(self.unexpected("where an expression begins")),
        };
        Ok(Expr { kind, span: Span { start, end: self.passed() } })
    }

    /// A string, which must be text.
    pub(super) fn text(&mut self, place: &str) -> Result<String, ParseError> {
        let at = self.peek().span.start;
        let TokenKind::Text(bytes) = &self.peek().kind else {
            return Err(self.unexpected(&format!("{place}, expected a string")));
        };
        let text = String::from_utf8(bytes.clone());
        self.next();
        text.map_err(|e| {
            ParseError::at(at, format!("a string holds bytes that are not UTF-8: {}", quoted(e.as_bytes())))
        })
    }

    /// What a word begins: an aggregation, a call, a number or a selector.
    fn named(&mut self, word: &str) -> Result<ExprKind, ParseError> {
        if let Some(op) = AggregateOp::named(word) {
            let grouped = matches!(&self.peek_after().kind,
                TokenKind::Word(w) if w.eq_ignore_ascii_case("by") || w.eq_ignore_ascii_case("without"));
            if self.opens_call() || grouped {
                self.next();
                return self.aggregate(op);
            }
        }
        if self.opens_call() {
            return self.call(word);
        }
        if let Some(number) = parse_number(word) {
            self.next();
            return Ok(ExprKind::Number(number));
        }
        self.next();
        self.selector(Some(word.to_owned()))
    }

    fn call(&mut self, word: &str) -> Result<ExprKind, ParseError> {
        let name = self.next().span;
        let function = Function::named(word)
            .ok_or_else(|| ParseError::at(name.start, format!("unknown function with name {word:?}")))?;
        let args = if word == "info" { self.info_arguments()? } else { self.arguments()? };
        check::call(function, &args, name)?;
        Ok(ExprKind::Call { function, args })
    }

    fn info_arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.expect_sign("(", "before arguments")?;
        let mut args = vec![self.expression(0)?];
        if self.take_sign(",") {
            self.may_mean_all = true;
            let wanted = self.expression(0);
            self.may_mean_all = false;
            args.push(wanted?);
        }
        self.expect_sign(")", "in arguments")?;
        Ok(args)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.expect_sign("(", "before arguments")?;
        let mut args = Vec::new();
        while !self.is_sign(")") {
            args.push(self.expression(0)?);
            if !self.take_sign(",") {
                break;
            }
            if self.is_sign(")") {
                return Err(self.unexpected("after a comma: trailing commas are not allowed in arguments"));
            }
        }
        self.expect_sign(")", "in arguments")?;
        Ok(args)
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<ExprKind, ParseError> {
        let place = self.peek().span;
        let mut grouping = self.grouping()?;
        let mut args = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let wanted = usize::from(op.has_parameter()) + 1;
        if args.len() != wanted {
            let reason = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                args.len()
            );
            return Err(ParseError::at(place.start, reason));
        }
        let inner =
            args.pop().ok_or_else(|| ParseError::at(place.start, "no arguments for aggregate expression provided"))?;
        let aggregate = Aggregate { op, grouping: grouping.unwrap_or_default(), parameter: args.pop(), inner };
        check::aggregate(&aggregate)?;
        Ok(ExprKind::Aggregate(Box::new(aggregate)))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.next();
        Ok(Some(Grouping { without, labels: self.label_list("in grouping")? }))
    }

    /// `(a, b, "c d")`
    pub(super) fn label_list(&mut self, place: &str) -> Result<Vec<String>, ParseError> {
        self.expect_sign("(", place)?;
        let mut labels = Vec::new();
        while !self.is_sign(")") {
            labels.push(self.label_name(place)?);
            if !self.take_sign(",") {
                break;
            }
        }
        self.expect_sign(")", place)?;
        Ok(labels)
    }

    pub(super) fn label_name(&mut self, place: &str) -> Result<String, ParseError> {
        match &self.peek().kind {
            TokenKind::Word(word) if !word.contains(':') => {
                let word = word.clone();
                self.next();
                Ok(word)
            }
            TokenKind::Text(_) => self.text(place),
            _ => Err(self.unexpected(&format!("{place}, expected a label"))),
        }
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right`, `fill`, `fill_left`, `fill_right`.
    fn modifiers(&mut self, op: BinaryOp) -> Result<(bool, Matching), ParseError> {
        let as_bool = self.take_word("bool");
        let mut matching = Matching::default();
        if op.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        if self.opens_call() && (self.is_word("on") || self.is_word("ignoring")) {
            matching.on = self.is_word("on");
            self.next();
            matching.labels = self.label_list("in vector matching")?;
            let many = [("group_left", Cardinality::ManyToOne), ("group_right", Cardinality::OneToMany)];
            if let Some((word, cardinality)) = many.into_iter().find(|(word, _)| self.is_word(word)) {
                if op.is_set() {
                    return Err(self.unexpected(&format!("no grouping allowed for {:?} operation: {word}", op.name())));
                }
                self.next();
                matching.cardinality = cardinality;
                if self.is_sign("(") {
                    matching.include = self.label_list("in grouping labels")?;
                }
                if let Some(label) = matching.include.iter().find(|l| matching.on && matching.labels.contains(l)) {
                    let reason = format!("label {label:?} must not occur in ON and GROUP clause at once");
                    return Err(ParseError::at(self.passed(), reason));
                }
            }
        }
        self.fills(op, &mut matching)?;
        Ok((as_bool, matching))
    }

    fn fills(&mut self, op: BinaryOp, matching: &mut Matching) -> Result<(), ParseError> {
        for (word, left, right) in [("fill", true, true), ("fill_left", true, false), ("fill_right", false, true)] {
            if !self.is_word(word) || !self.opens_call() {
                continue;
            }
            if op.is_set() {
                return Err(self.unexpected("since filling is not allowed for set operators"));
            }
            self.next();
            let place = self.peek().span.start;
            let args = self.arguments()?;
            let [Expr { kind: ExprKind::Number(value), .. }] = args.as_slice() else {
                return Err(ParseError::at(place, format!("{word} needs one number")));
            };
            matching.fill_left = if left { Some(*value) } else { matching.fill_left };
            matching.fill_right = if right { Some(*value) } else { matching.fill_right };
        }
        Ok(())
    }

    /// `[5m]`, `[1h:5m]`, `offset`, `@`, `anchored`, `smoothed`, as many as there are.
    fn postfixes(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        loop {
            let start = expr.span.start;
            if self.is_sign("[") {
                expr = Expr { kind: self.bracket(expr)?, span: Span::default() };
            } else if self.is_sign("@") || self.is_word("offset") {
                self.shift(&mut expr.kind)?;
            } else if self.is_word("anchored") || self.is_word("smoothed") {
                self.edges(&mut expr.kind)?;
            } else {
                return Ok(expr);
            }
            expr = Expr { kind: expr.kind, span: Span { start, end: self.passed() } };
        }
    }

    fn bracket(&mut self, expr: Expr) -> Result<ExprKind, ParseError> {
        let place = self.next().span;
        let range = self.duration(0)?;
        if self.take_sign(":") {
            let step = if self.is_sign("]") { None } else { Some(self.duration(0)?) };
            self.expect_sign("]", "in a subquery")?;
            if expr.value_type() != Type::Vector {
                let reason = format!("subquery is only allowed on instant vector, got {}", expr.value_type().name());
                return Err(ParseError::at(place.start, reason));
            }
            let subquery = Subquery { inner: expr, range, step, shift: super::ast::Shift::default() };
            return Ok(ExprKind::Subquery(Box::new(subquery)));
        }
        self.expect_sign("]", "in a range")?;
        match expr.kind {
            ExprKind::Selector(selector) if selector.shift == super::ast::Shift::default() => {
                Ok(ExprKind::Range { selector, range: Box::new(range) })
            }
            ExprKind::Selector(_) => Err(ParseError::at(place.start, "no offset or @ modifiers allowed before range")),
            _ => Err(ParseError::at(place.start, "ranges only allowed for vector selectors")),
        }
    }
}

/// As Go quotes bytes: what is not printable text is escaped.
pub(super) fn quoted(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() && u32::from(c) < 0x80 => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}
