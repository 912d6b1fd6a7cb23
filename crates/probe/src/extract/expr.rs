//! Expr: the small language of numbers and conditions in extraction rules: `used * units`, `hc_in or in`,
//! `type == 4 and size > 0`, `name ~ '^eth'`. No loops, no calls outside itself; its cost is bounded by its length.

use std::fmt;

use regex::Regex;

/// A value while an expression is worked out.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    /// Nothing was there. It makes everything nothing that is calculated with it.
    Null,
    /// The answer of a condition.
    Bool(bool),
    /// A number.
    Num(f64),
    /// A text.
    Text(String),
}

impl Val {
    /// The value as a number, when it is one or a text that is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Val::Num(number) => Some(*number).filter(|number| number.is_finite()),
            Val::Text(text) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()),
            Val::Bool(_) | Val::Null => None,
        }
    }

    /// Whether there is something: not nothing, not an empty text, not false. Zero is something.
    pub fn is_something(&self) -> bool {
        match self {
            Val::Null | Val::Bool(false) => false,
            Val::Text(text) => !text.trim().is_empty(),
            Val::Bool(true) | Val::Num(_) => true,
        }
    }
}

/// As texts are made of it: numbers without a needless fraction, nothing as an empty text.
impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Val::Null => Ok(()),
            Val::Bool(answer) => answer.fmt(f),
            Val::Num(number) if number.fract() == 0.0 && number.abs() < 1e15 => write!(f, "{number:.0}"),
            Val::Num(number) => number.fmt(f),
            Val::Text(text) => f.write_str(text),
        }
    }
}

/// Where names get their values: a row of a table, and the rows that are joined to it.
pub trait Scope {
    /// The value of that name; [`Val::Null`] when there is none.
    fn value(&self, name: &str) -> Val;
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expr(Node);

#[derive(Clone, Debug)]
enum Node {
    Just(Val),
    Name(String),
    Not(Box<Node>),
    Minus(Box<Node>),
    Matches(Box<Node>, Box<Regex>),
    In(Box<Node>, Vec<Node>),
    Both(Op, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessEqual,
    More,
    MoreEqual,
    Plus,
    Minus,
    Times,
    Over,
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Pow,
    Min,
    Max,
    Round,
    Signed,
    Log10,
    Bit,
    Has,
}

const FUNCTIONS: &[(&str, Function, usize)] = &[
    ("pow", Function::Pow, 2),
    ("min", Function::Min, 2),
    ("max", Function::Max, 2),
    ("round", Function::Round, 2),
    ("signed", Function::Signed, 2),
    ("log10", Function::Log10, 1),
    ("bit", Function::Bit, 2),
    ("has", Function::Has, 1),
];

/// The longest expression, in bytes.
const MAX_BYTES: usize = 1000;
/// How deep brackets may stand in each other.
const MAX_DEPTH: u32 = 40;

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Expr, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("an expression has at most {MAX_BYTES} characters"));
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { text, tokens, at: 0, depth: 0 };
        let node = parser.any_of(0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(Expr(node)),
            Some(token) => Err(format!("{text:?}: {} is not expected here", token.shown())),
        }
    }

    /// The value that it has in that scope.
    pub fn value(&self, scope: &dyn Scope) -> Val {
        eval(&self.0, scope)
    }

    /// Every name it uses, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect(&self.0, &mut names);
        names
    }
}

fn collect<'n>(node: &'n Node, names: &mut Vec<&'n str>) {
    match node {
        Node::Just(_) => {}
        Node::Name(name) => names.push(name),
        Node::Not(inner) | Node::Minus(inner) | Node::Matches(inner, _) => collect(inner, names),
        Node::Both(_, left, right) => {
            collect(left, names);
            collect(right, names);
        }
        Node::In(inner, list) => {
            collect(inner, names);
            list.iter().for_each(|node| collect(node, names));
        }
        Node::Call(_, list) => list.iter().for_each(|node| collect(node, names)),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Word(String),
    Sign(&'static str),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Number(number) => number.to_string(),
            Token::Text(text) => format!("{text:?}"),
            Token::Word(word) => format!("{word:?}"),
            Token::Sign(sign) => format!("{sign:?}"),
        }
    }
}

const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "~", "+", "-", "*", "/", "%", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number = rest[..end].parse().map_err(|_| format!("{text:?}: {:?} is no number", &rest[..end]))?;
            tokens.push(Token::Number(number));
            end
        } else if first == '\'' || first == '"' {
            let end = rest[1..].find(first).ok_or_else(|| format!("{text:?}: a text is not closed with {first}"))?;
            tokens.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("{text:?}: {first:?} means nothing here"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

/// Operators from the loosest to the tightest. Those of one level group from the left.
const LEVELS: &[&[(&str, Op)]] = &[
    &[("or", Op::Or)],
    &[("and", Op::And)],
    &[
        ("==", Op::Equal),
        ("!=", Op::Unequal),
        ("<=", Op::LessEqual),
        (">=", Op::MoreEqual),
        ("<", Op::Less),
        (">", Op::More),
    ],
    &[("+", Op::Plus), ("-", Op::Minus)],
    &[("*", Op::Times), ("/", Op::Over), ("%", Op::Rest)],
];
const COMPARISONS: usize = 2;

impl Parser<'_> {
    fn any_of(&mut self, level: usize) -> Result<Node, String> {
        let Some(operators) = LEVELS.get(level) else { return self.single() };
        let mut left = self.any_of(level + 1)?;
        loop {
            if level == COMPARISONS && self.take_sign("~") {
                left = Node::Matches(Box::new(left), Box::new(self.pattern()?));
                continue;
            }
            if level == COMPARISONS && self.take_word("in") {
                left = Node::In(Box::new(left), self.list("[", "]")?);
                continue;
            }
            let Some((_, op)) = operators.iter().find(|(text, _)| self.next_is(text)) else { return Ok(left) };
            self.at += 1;
            left = Node::Both(*op, Box::new(left), Box::new(self.any_of(level + 1)?));
        }
    }

    fn single(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("{:?}: brackets stand more than {MAX_DEPTH} deep", self.text));
        }
        let node = self.single_inner();
        self.depth -= 1;
        node
    }

    fn single_inner(&mut self) -> Result<Node, String> {
        let Some(token) = self.tokens.get(self.at).cloned() else {
            return Err(format!("{:?}: something is missing at the end", self.text));
        };
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Node::Just(Val::Num(number))),
            Token::Text(text) => Ok(Node::Just(Val::Text(text))),
            Token::Sign("-") => Ok(Node::Minus(Box::new(self.single()?))),
            Token::Sign("(") => {
                let inner = self.any_of(0)?;
                if self.take_sign(")") { Ok(inner) } else { Err(format!("{:?}: a ) is missing", self.text)) }
            }
            Token::Word(word) if word == "not" => Ok(Node::Not(Box::new(self.any_of(COMPARISONS)?))),
            Token::Word(word) if word == "null" => Ok(Node::Just(Val::Null)),
            Token::Word(word) if self.next_is("(") => self.call(&word),
            Token::Word(word) if !matches!(word.as_str(), "and" | "or" | "in") => Ok(Node::Name(word)),
            other => Err(format!("{:?}: {} is not expected here", self.text, other.shown())),
        }
    }

    fn call(&mut self, name: &str) -> Result<Node, String> {
        let Some((_, function, count)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("{:?}: there is no function {name}; there are {}", self.text, known.join(", ")));
        };
        let list = self.list("(", ")")?;
        if list.len() != *count {
            return Err(format!("{:?}: {name} takes {count} values, not {}", self.text, list.len()));
        }
        Ok(Node::Call(*function, list))
    }

    fn list(&mut self, open: &'static str, close: &'static str) -> Result<Vec<Node>, String> {
        let mut list = Vec::new();
        if !self.take_sign(open) {
            return Err(format!("{:?}: a list begins with {open}", self.text));
        }
        while !self.take_sign(close) {
            list.push(self.any_of(0)?);
            if !self.take_sign(",") && !self.next_is(close) {
                return Err(format!("{:?}: {close} or a comma is missing", self.text));
            }
        }
        Ok(list)
    }

    fn pattern(&mut self) -> Result<Regex, String> {
        match self.tokens.get(self.at) {
            Some(Token::Text(text)) => {
                self.at += 1;
                pattern(text)
            }
            _ => Err(format!("{:?}: after ~ comes a regular expression in quotes", self.text)),
        }
    }

    fn next_is(&self, text: &str) -> bool {
        match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) => *sign == text,
            Some(Token::Word(word)) => word == text,
            _ => false,
        }
    }

    fn take_sign(&mut self, sign: &'static str) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(found)) if found == word);
        self.at += usize::from(found);
        found
    }
}

/// A regular expression that matches in bounded time and memory.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| {
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("{text:?} is not a regular expression: {why}")
    })
}

fn eval(node: &Node, scope: &dyn Scope) -> Val {
    match node {
        Node::Just(value) => value.clone(),
        Node::Name(name) => scope.value(name),
        Node::Not(inner) => Val::Bool(!eval(inner, scope).is_something()),
        Node::Minus(inner) => eval(inner, scope).number().map_or(Val::Null, |number| Val::Num(-number)),
        Node::Matches(inner, regex) => match eval(inner, scope) {
            Val::Null => Val::Bool(false),
            value => Val::Bool(regex.is_match(&value.to_string())),
        },
        Node::In(inner, list) => {
            let value = eval(inner, scope);
            Val::Bool(list.iter().any(|one| equal(&value, &eval(one, scope))))
        }
        Node::Both(op, left, right) => both(*op, left, right, scope),
        Node::Call(Function::Has, list) => Val::Bool(list.iter().all(|one| eval(one, scope).is_something())),
        Node::Call(function, list) => {
            let numbers: Option<Vec<f64>> = list.iter().map(|one| eval(one, scope).number()).collect();
            numbers.and_then(|numbers| call(*function, &numbers)).map_or(Val::Null, Val::Num)
        }
    }
}

fn both(op: Op, left: &Node, right: &Node, scope: &dyn Scope) -> Val {
    let left = eval(left, scope);
    match op {
        Op::Or if left.is_something() => return left,
        Op::Or => return eval(right, scope),
        // The last of them, as `or` is the first: `size < 0 and size + 4294967296 or size`.
        Op::And if !left.is_something() => return Val::Bool(false),
        Op::And => return Some(eval(right, scope)).filter(Val::is_something).unwrap_or(Val::Bool(false)),
        _ => {}
    }
    let right = eval(right, scope);
    match op {
        Op::Equal => return Val::Bool(equal(&left, &right)),
        Op::Unequal => return Val::Bool(!equal(&left, &right)),
        _ => {}
    }
    let (Some(a), Some(b)) = (left.number(), right.number()) else {
        return if matches!(op, Op::Less | Op::LessEqual | Op::More | Op::MoreEqual) {
            Val::Bool(false)
        } else {
            Val::Null
        };
    };
    match op {
        Op::Less => Val::Bool(a < b),
        Op::LessEqual => Val::Bool(a <= b),
        Op::More => Val::Bool(a > b),
        Op::MoreEqual => Val::Bool(a >= b),
        Op::Plus => Val::Num(a + b),
        Op::Minus => Val::Num(a - b),
        Op::Times => Val::Num(a * b),
        Op::Over if b == 0.0 => Val::Null,
        Op::Over => Val::Num(a / b),
        _ if b == 0.0 => Val::Null,
        _ => Val::Num(a % b),
    }
}

fn call(function: Function, numbers: &[f64]) -> Option<f64> {
    let (first, second) = (*numbers.first()?, numbers.get(1).copied().unwrap_or_default());
    let value = match function {
        Function::Pow => first.powf(second),
        Function::Min => first.min(second),
        Function::Max => first.max(second),
        Function::Round => {
            let factor = 10f64.powi(second.clamp(-15.0, 15.0) as i32);
            (first * factor).round() / factor
        }
        // A number of so many bits whose highest one is its sign.
        Function::Signed => {
            let half = 2f64.powi(second.clamp(1.0, 63.0) as i32 - 1);
            if first >= half { first - 2.0 * half } else { first }
        }
        Function::Log10 => first.log10(),
        Function::Bit => f64::from(u8::from((first as u64) >> (second.clamp(0.0, 63.0) as u32) & 1 == 1)),
        Function::Has => return None,
    };
    Some(value).filter(|value| value.is_finite())
}

fn equal(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Null, _) | (_, Val::Null) => false,
        (Val::Text(a), Val::Text(b)) => a == b,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        _ => left.number().is_some() && left.number() == right.number(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Row;
    impl Scope for Row {
        fn value(&self, name: &str) -> Val {
            match name {
                "used" => Val::Num(3.0),
                "units" => Val::Num(4096.0),
                "zero" => Val::Num(0.0),
                "name" => Val::Text("eth0".into()),
                "written" => Val::Text(" 12 ".into()),
                "index.1" => Val::Num(7.0),
                _ => Val::Null,
            }
        }
    }

    #[test]
    fn expressions_mean_what_they_say() {
        for (text, value) in [
            ("used * units", Val::Num(12_288.0)),
            ("1 + 2 * 3 - 4 / 2", Val::Num(5.0)),
            ("(1 + 2) * -3", Val::Num(-9.0)),
            ("missing or used", Val::Num(3.0)),
            ("zero or used", Val::Num(0.0)), // zero is something: a counter that stands at 0
            ("used / zero", Val::Null),
            ("used + missing", Val::Null),
            ("written + 1", Val::Num(13.0)),
            ("name == 'eth0' and used > 2", Val::Bool(true)),
            ("used > 2 and 7 or 9", Val::Num(7.0)),
            ("used > 5 and 7 or 9", Val::Num(9.0)),
            ("used > 2 and missing", Val::Bool(false)),
            ("name ~ '^eth' and not name ~ '9$'", Val::Bool(true)),
            ("missing == 3", Val::Bool(false)),
            ("missing < 3", Val::Bool(false)),
            ("used in [1, 2, 3]", Val::Bool(true)),
            ("name in ['lo', 'eth0']", Val::Bool(true)),
            ("has(missing)", Val::Bool(false)),
            ("pow(10, used)", Val::Num(1000.0)),
            ("signed(65535, 16)", Val::Num(-1.0)),
            ("round(2.345, 1)", Val::Num(2.3)),
            ("index.1 % 2", Val::Num(1.0)),
            ("not missing", Val::Bool(true)),
        ] {
            assert_eq!(Expr::parse(text).unwrap_or_else(|why| panic!("{why}")).value(&Row), value, "{text}");
        }
    }

    #[test]
    fn a_wrong_expression_is_told_with_its_place() {
        for (text, part) in [
            ("used *", "missing at the end"),
            ("(used", "a ) is missing"),
            ("used used", "not expected"),
            ("square(2)", "no function square"),
            ("pow(2)", "takes 2 values"),
            ("name ~ 'a('", "not a regular expression"),
            ("a ~ b", "in quotes"),
            ("'a", "not closed"),
            ("a & b", "means nothing"),
            (&"(".repeat(60), "deep"),
        ] {
            let why = Expr::parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_expression_panics(text in "[a-c0-9.()\\[\\]'~+*/<>=!,% -]{0,40}") {
            if let Ok(expr) = Expr::parse(&text) {
                expr.value(&Row);
            }
        }
    }
}
