//! Protocol: what one protocol says about itself, and the one trait each protocol's file fulfils.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::env::route::{Route, split, with_route, without_way};
use crate::env::{Env, Failure};
use crate::outcome::Outcome;
use crate::params::{self, ParamError};
use crate::secret::shown;
use crate::trace::Trace;

/// One check to run, once. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Request {
    /// The protocol's name: `http`.
    pub protocol: String,
    /// What to look at, in the protocol's own form ([`Protocol::target`] says which). May be empty for some.
    pub target: String,
    /// The check's `expect` and the protocol's own keys in one map. `null` and `{}` mean all defaults.
    pub params: Value,
    /// The whole time the check may take. Kept, whatever the peer does.
    pub timeout: Duration,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("protocol", &self.protocol)
            .field("target", &self.target)
            .field("params", &shown(&self.params))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What one protocol is called, what it is for, and which parameters it has.
pub struct Protocol {
    /// The word in `protocol: http`.
    pub name: &'static str,
    /// A title for people: `HTTP and HTTPS`.
    pub title: &'static str,
    /// What it checks, in a sentence or two.
    pub help: &'static str,
    /// What its target is, with an example.
    pub target: &'static str,
    /// JSON Schema of its parameters, with types, defaults and help.
    pub schema: fn() -> Value,
    /// True when it looks at the machine it runs on, so that only an agent there can run it.
    pub local: bool,
    pub(crate) ready: Reading,
}

/// Reads a target and parameters, or says all that is wrong with them.
type Reading = fn(&str, &Value) -> Result<Box<dyn Ready>, Vec<ParamError>>;

/// A check whose parameters are read and found right: it can be run any number of times without reading them again.
pub(crate) trait Ready: Send + Sync {
    fn run<'a>(&'a self, cx: &'a Cx<'a>) -> BoxedRun<'a>;
}

pub(crate) type BoxedRun<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>>;

impl Protocol {
    /// Typed parameters from `key=value` words of a command line: the schema says whether `200` is a number or a text.
    ///
    /// # Errors
    /// Every key that the protocol does not know, with near names.
    pub fn params_from_words(&self, words: &[(String, String)]) -> Result<Value, Vec<ParamError>> {
        params::from_words(&(self.schema)(), words)
    }
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protocol").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a protocol was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// A protocol that is known, and not spoken here.
    #[error("{name} is not spoken here: {why}")]
    NotSpoken {
        /// The name that was asked for.
        name: String,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// No protocol of that name.
    #[error("there is no protocol {name:?}; {}", match near.as_slice() {
        [] => "`mainstay check list` shows those there are".to_owned(),
        near => format!("did you mean {}?", near.join(" or ")),
    })]
    UnknownProtocol {
        /// The name that was asked for.
        name: String,
        /// Names that a slip of the finger could have meant, nearest first; may be empty.
        near: Vec<&'static str>,
    },
}

/// What a running check may use: the world, the target, the time, and where it notes its phases.
pub(crate) struct Cx<'a> {
    pub(crate) env: &'a Env,
    pub(crate) target: &'a str,
    pub(crate) timeout: Duration,
    pub(crate) trace: &'a Trace,
}

impl Cx<'_> {
    /// What is left of the timeout.
    pub(crate) fn remaining(&self) -> Duration {
        self.timeout.saturating_sub(self.trace.elapsed())
    }
}

/// A protocol: its parameters are the struct itself.
///
/// Every field must have a default (`#[serde(default, deny_unknown_fields)]` on the struct), since parameters are read
/// key by key to name every mistake at once.
pub(crate) trait Check: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    const NAME: &'static str;
    const TITLE: &'static str;
    const HELP: &'static str;
    const TARGET: &'static str;
    const LOCAL: bool = false;

    /// What is wrong with the target or with parameters that are well typed but do not fit together.
    fn problems(&self, target: &str) -> Vec<ParamError>;

    /// Asks the peer and decides. Called only when `problems` found none; a failure carries its own state and sentence.
    fn run<'a>(&'a self, cx: &'a Cx<'a>) -> impl Future<Output = Result<Outcome, Failure>> + Send + 'a;
}

/// The registry's line for a protocol.
pub(crate) const fn entry<P: Check>() -> Protocol {
    Protocol {
        name: P::NAME,
        title: P::TITLE,
        help: P::HELP,
        target: P::TARGET,
        schema: schema::<P>,
        local: P::LOCAL,
        ready: ready::<P>,
    }
}

fn schema<P: Check>() -> Value {
    let mut own = params::schema_of::<P>();
    // Structs with a part that several protocols share cannot say it themselves; `params::typed` holds it for all.
    own["additionalProperties"] = Value::Bool(false);
    if P::LOCAL { own } else { with_route(own) }
}

/// The protocol's own parameters typed, and the way to the peer.
fn read<P: Check>(params: &Value) -> Result<(P, Option<Box<Route>>), Vec<ParamError>> {
    if P::LOCAL {
        return Ok((params::typed(params)?, None));
    }
    match split(params) {
        Ok((_, Some(way))) if way.needs_tls() && !params::knows::<P>("ca") => {
            Err(vec![ParamError::new("client_certificate", "is of no use here: nothing is said over TLS")])
        }
        Ok((own, way)) => Ok((params::typed(&own)?, way.map(Box::new))),
        // Mistakes in the way do not hide those in the rest.
        Err(mut errors) => {
            errors.extend(params::typed::<P>(&without_way(params)).err().unwrap_or_default());
            Err(errors)
        }
    }
}

/// The check as it is run: its parameters typed, and the way to the peer when its parameters name one.
struct Routed<P> {
    check: P,
    way: Option<Box<Route>>,
}

impl<P: Check> Ready for Routed<P> {
    fn run<'a>(&'a self, cx: &'a Cx<'a>) -> BoxedRun<'a> {
        let Some(way) = &self.way else { return Box::pin(self.check.run(cx)) };
        Box::pin(async move {
            let env = way.take(cx.env)?;
            self.check.run(&Cx { env: &env, ..*cx }).await
        })
    }
}

fn ready<P: Check>(target: &str, params: &Value) -> Result<Box<dyn Ready>, Vec<ParamError>> {
    let (check, way) = read::<P>(params)?;
    let problems = check.problems(target);
    if problems.is_empty() { Ok(Box::new(Routed { check, way })) } else { Err(problems) }
}
