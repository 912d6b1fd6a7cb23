//! From words to a tree: texts, values to be written, conditions, loops.

use super::TemplateError;
use super::lex::{Piece, Word, pieces};

/// Nesting of blocks and parentheses at most.
const MAX_DEPTH: usize = 50;

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// Writes a value.
    Write(Pipe),
    /// `{{ $x := … }}`; the flag says that it is new.
    Set(String, bool, Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    /// `with`: as `if`, and the dot is the value.
    With(Option<String>, Pipe, Vec<Node>, Vec<Node>),
    /// Variables for place and value, what is walked over, for each, for none.
    Range(Vec<String>, Pipe, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

/// Calls, each given the value of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipe {
    pub(super) calls: Vec<Call>,
    pub(super) line: usize,
}

/// A value with its arguments; only a function takes any.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) head: Operand,
    pub(super) arguments: Vec<Operand>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    /// Fields of the dot; none for the dot itself.
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Function(String, Vec<String>),
    Inner(Box<Pipe>, Vec<String>),
}

/// How a block ended.
#[derive(PartialEq)]
enum Closing {
    Text,
    End,
    Else,
    /// `else if …`, `else with …`: the words after `else`.
    ElseIf(Vec<Word>, usize),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter() };
    let (nodes, end) = parser.block(0)?;
    match end {
        Closing::Text => Ok(nodes),
        _ => Err(TemplateError { line: 1, reason: "an end or else without its beginning".into() }),
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
}

impl Parser {
    /// Nodes up to the end of the block they are in.
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, Closing), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (words, line) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(words, line) => (words, line),
            };
            let words = without_edges(words);
            let keyword = match words.first() {
                Some(Word::Name(name)) => name.as_str(),
                _ => "",
            };
            match keyword {
                "end" => return Ok((nodes, Closing::End)),
                "else" if words.len() == 1 => return Ok((nodes, Closing::Else)),
                "else" => return Ok((nodes, Closing::ElseIf(without_edges(words[1..].to_vec()), line))),
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "if" | "with" | "range" => nodes.push(self.branch(&words, line, depth + 1)?),
                "define" | "template" | "block" => {
                    return Err(TemplateError {
                        line,
                        reason: format!("{keyword} is not taken in the text of an alert"),
                    });
                }
                _ => nodes.push(simple(&words, line)?),
            }
        }
        Ok((nodes, Closing::Text))
    }

    /// `if`, `with` or `range` with all of their parts.
    fn branch(&mut self, words: &[Word], line: usize, depth: usize) -> Result<Node, TemplateError> {
        let wrong = |reason: &str| TemplateError { line, reason: reason.into() };
        if depth > MAX_DEPTH {
            return Err(wrong("too deeply nested"));
        }
        let Some(Word::Name(keyword)) = words.first() else { return Err(wrong("a condition is missing")) };
        let (variables, rest) = declared(&words[1..]);
        let pipe = pipe(rest, line)?;
        let (body, end) = self.block(depth)?;
        let other = match end {
            Closing::End => Vec::new(),
            Closing::Text => return Err(wrong(&format!("{keyword} without its end"))),
            Closing::Else => match self.block(depth)? {
                (other, Closing::End) => other,
                _ => return Err(wrong("else without its end")),
            },
            // The chain shares one `end`.
            Closing::ElseIf(words, line) => vec![self.branch(&words, line, depth + 1)?],
        };
        match (keyword.as_str(), variables.len()) {
            ("if", 0) => Ok(Node::If(pipe, body, other)),
            ("with", 0 | 1) => Ok(Node::With(variables.into_iter().next(), pipe, body, other)),
            ("range", 0..=2) => Ok(Node::Range(variables, pipe, body, other)),
            _ => Err(wrong("else is followed by if or with, and takes no variable here")),
        }
    }
}

fn without_edges(mut words: Vec<Word>) -> Vec<Word> {
    while words.last() == Some(&Word::Gap) {
        words.pop();
    }
    let start = words.iter().position(|w| *w != Word::Gap).unwrap_or(words.len());
    words.split_off(start)
}

/// The variables before `:=`, and what comes after it.
fn declared(words: &[Word]) -> (Vec<String>, &[Word]) {
    let Some(at) = words.iter().position(|w| *w == Word::Declare) else { return (Vec::new(), words) };
    let names = words[..at].iter().filter_map(|w| match w {
        Word::Variable(name) => Some(name.clone()),
        _ => None,
    });
    (names.collect(), &words[at + 1..])
}

/// A value to be written or kept.
fn simple(words: &[Word], line: usize) -> Result<Node, TemplateError> {
    let sign = words.iter().position(|w| matches!(w, Word::Declare | Word::Assign));
    let Some(at) = sign else { return Ok(Node::Write(pipe(words, line)?)) };
    match without_edges(words[..at].to_vec()).as_slice() {
        [Word::Variable(name)] => {
            Ok(Node::Set(name.clone(), words[at] == Word::Declare, pipe(&words[at + 1..], line)?))
        }
        _ => Err(TemplateError { line, reason: "one variable stands before := or =".into() }),
    }
}

fn pipe(words: &[Word], line: usize) -> Result<Pipe, TemplateError> {
    let mut at = 0;
    let pipe = pipe_until(words, &mut at, line, 0)?;
    match words.get(at) {
        None => Ok(pipe),
        Some(_) => Err(TemplateError { line, reason: "a ) without its (".into() }),
    }
}

/// Calls up to the closing parenthesis or the end.
fn pipe_until(words: &[Word], at: &mut usize, line: usize, depth: usize) -> Result<Pipe, TemplateError> {
    let wrong = |reason: &str| TemplateError { line, reason: reason.into() };
    if depth > MAX_DEPTH {
        return Err(wrong("too deeply nested"));
    }
    let (mut calls, mut operands): (Vec<Call>, Vec<Operand>) = (Vec::new(), Vec::new());
    loop {
        let word = words.get(*at);
        match word {
            Some(Word::Gap) => *at += 1,
            None | Some(Word::Close | Word::Pipe) => {
                if operands.is_empty() {
                    return Err(wrong("a value is missing"));
                }
                let head = operands.remove(0);
                calls.push(Call { head, arguments: std::mem::take(&mut operands) });
                if word != Some(&Word::Pipe) {
                    return Ok(Pipe { calls, line });
                }
                *at += 1;
            }
            Some(_) => operands.push(operand(words, at, line, depth)?),
        }
    }
}

fn operand(words: &[Word], at: &mut usize, line: usize, depth: usize) -> Result<Operand, TemplateError> {
    let wrong = |reason: String| TemplateError { line, reason };
    let word = &words[*at];
    *at += 1;
    let mut operand = match word {
        Word::Text(text) => return Ok(Operand::Text(text.clone())),
        Word::Int(value) => return Ok(Operand::Int(*value)),
        Word::Float(value) => return Ok(Operand::Float(*value)),
        Word::Name(name) => match name.as_str() {
            "true" | "false" => return Ok(Operand::Bool(name == "true")),
            "nil" => return Ok(Operand::Nil),
            _ => Operand::Function(name.clone(), Vec::new()),
        },
        Word::Variable(name) => Operand::Variable(name.clone(), Vec::new()),
        Word::Dot => Operand::Dot(Vec::new()),
        Word::Field(field) => Operand::Dot(vec![field.clone()]),
        Word::Open => {
            let inner = pipe_until(words, at, line, depth + 1)?;
            if words.get(*at) != Some(&Word::Close) {
                return Err(wrong("a ( without its )".into()));
            }
            *at += 1;
            Operand::Inner(Box::new(inner), Vec::new())
        }
        other => return Err(wrong(format!("{other:?} does not stand here"))),
    };
    while let Some(Word::Field(field)) = words.get(*at) {
        *at += 1;
        match &mut operand {
            Operand::Dot(path) | Operand::Variable(_, path) | Operand::Function(_, path) | Operand::Inner(_, path) => {
                path.push(field.clone())
            }
            _ => return Err(wrong(format!(".{field} follows what has no fields"))),
        }
    }
    Ok(operand)
}
