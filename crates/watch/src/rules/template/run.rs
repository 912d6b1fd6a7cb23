//! Fills a tree in: walks it once, within bounds, and asks nothing.

use std::collections::BTreeMap;

use super::functions::call;
use super::numbers::go_float;
use super::parse::{Call, Node, Operand, Pipe};
use super::{Failure, Fill, MAX_BYTES, MAX_STEPS};

/// A value while a text is filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Map(BTreeMap<String, Value>),
    List(Vec<Value>),
    /// A moment, in Unix seconds.
    Moment(f64),
}

impl Value {
    /// Whether `if` takes it as true: what is empty or zero is not.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Moment(_) => true,
        }
    }

    /// As Go prints it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Nil => "<no value>".into(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => go_float(*value),
            Self::Text(text) => text.clone(),
            Self::Map(map) => {
                let parts: Vec<String> = map.iter().map(|(n, v)| format!("{n}:{}", v.shown())).collect();
                format!("map[{}]", parts.join(" "))
            }
            Self::List(list) => format!("[{}]", list.iter().map(Self::shown).collect::<Vec<_>>().join(" ")),
            Self::Moment(seconds) => super::numbers::moment(*seconds),
        }
    }
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

pub(super) struct Runner<'a> {
    pub(super) fill: &'a Fill<'a>,
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
}

pub(super) fn wrong<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Wrong(reason.into()))
}

/// Labels as a value.
pub(super) fn map(labels: &BTreeMap<String, String>) -> Value {
    Value::Map(labels.iter().map(|(n, v)| (n.clone(), Value::Text(v.clone()))).collect())
}

pub(super) fn run(nodes: &[Node], fill: &Fill<'_>) -> Result<String, Failure> {
    let root = Value::Map(BTreeMap::from([
        ("Labels".into(), map(&fill.labels)),
        ("ExternalLabels".into(), map(&fill.external_labels)),
        ("ExternalURL".into(), Value::Text(fill.external_url.into())),
        ("Value".into(), Value::Float(fill.value)),
    ]));
    let variables = vec![
        (String::new(), root.clone()),
        ("labels".into(), map(&fill.labels)),
        ("externalLabels".into(), map(&fill.external_labels)),
        ("externalURL".into(), Value::Text(fill.external_url.into())),
        ("value".into(), Value::Float(fill.value)),
    ];
    let mut runner = Runner { fill, variables, out: String::new(), steps: 0 };
    runner.nodes(nodes, &root)?;
    Ok(runner.out)
}

impl Runner<'_> {
    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > MAX_STEPS { wrong(format!("it takes more than {MAX_STEPS} steps")) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        if self.out.len() + text.len() > MAX_BYTES {
            return wrong(format!("it would be longer than {MAX_BYTES} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Failure> {
        let scope = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Failure> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Write(pipe) => {
                let shown = self.pipe(pipe, dot)?.shown();
                self.write(&shown)?;
            }
            Node::Set(name, new, pipe) => {
                let value = self.pipe(pipe, dot)?;
                self.set(name, *new, value)?;
            }
            Node::If(pipe, body, other) => {
                let chosen = if self.pipe(pipe, dot)?.is_true() { body } else { other };
                return self.nodes(chosen, dot);
            }
            Node::With(name, pipe, body, other) => {
                let value = self.pipe(pipe, dot)?;
                if !value.is_true() {
                    return self.nodes(other, dot);
                }
                let scope = self.variables.len();
                self.variables.extend(name.iter().map(|name| (name.clone(), value.clone())));
                let flow = self.nodes(body, &value);
                self.variables.truncate(scope);
                return flow;
            }
            Node::Range(names, pipe, body, other) => return self.range(names, pipe, (body, other), dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, new: bool, value: Value) -> Result<(), Failure> {
        if new {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => return wrong(format!("${name} is not known")),
        }
        Ok(())
    }

    fn range(
        &mut self,
        names: &[String],
        pipe: &Pipe,
        (body, other): (&[Node], &[Node]),
        dot: &Value,
    ) -> Result<Flow, Failure> {
        let items: Vec<(Value, Value)> = match self.pipe(pipe, dot)? {
            Value::List(list) => (0..).map(Value::Int).zip(list).collect(),
            Value::Map(map) => map.into_iter().map(|(name, value)| (Value::Text(name), value)).collect(),
            Value::Nil => Vec::new(),
            other => return wrong(format!("range cannot walk over {}", other.shown())),
        };
        if items.is_empty() {
            return self.nodes(other, dot);
        }
        for (place, item) in items {
            self.step()?;
            let scope = self.variables.len();
            match names {
                [value] => self.variables.push((value.clone(), item.clone())),
                [at, value] => self.variables.extend([(at.clone(), place), (value.clone(), item.clone())]),
                _ => {}
            }
            let flow = self.nodes(body, &item);
            self.variables.truncate(scope);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, Failure> {
        let mut last = None;
        for one in &pipe.calls {
            self.step()?;
            last = Some(self.call(one, last, dot)?);
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    fn call(&mut self, one: &Call, last: Option<Value>, dot: &Value) -> Result<Value, Failure> {
        let Operand::Function(name, path) = &one.head else {
            if !one.arguments.is_empty() || last.is_some() {
                return wrong("only a function takes arguments");
            }
            return self.operand(&one.head, dot);
        };
        let mut arguments = Vec::with_capacity(one.arguments.len() + 1);
        for argument in &one.arguments {
            let value = self.operand(argument, dot)?;
            // `and` and `or` look no further than they must, so that a guard protects what follows it.
            let decided = match name.as_str() {
                "and" => !value.is_true(),
                "or" => value.is_true(),
                _ => false,
            };
            if decided {
                return Ok(value);
            }
            arguments.push(value);
        }
        arguments.extend(last);
        fields(call(self.fill, name, arguments)?, path)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Failure> {
        match operand {
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Int(value) => Ok(Value::Int(*value)),
            Operand::Float(value) => Ok(Value::Float(*value)),
            Operand::Bool(value) => Ok(Value::Bool(*value)),
            Operand::Nil => Ok(Value::Nil),
            Operand::Dot(path) => fields(dot.clone(), path),
            Operand::Variable(name, path) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => fields(value.clone(), path),
                None => wrong(format!("${name} is not known")),
            },
            Operand::Function(name, path) => fields(call(self.fill, name, Vec::new())?, path),
            Operand::Inner(pipe, path) => {
                let value = self.pipe(pipe, dot)?;
                fields(value, path)
            }
        }
    }
}

/// Follows names into a value. A label that is not there is empty, as in Prometheus.
fn fields(mut value: Value, path: &[String]) -> Result<Value, Failure> {
    for name in path {
        value = match value {
            Value::Map(mut map) => map.remove(name).unwrap_or_else(|| Value::Text(String::new())),
            other => return wrong(format!("{} has no .{name}", other.shown())),
        };
    }
    Ok(value)
}
