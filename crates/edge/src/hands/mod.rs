//! Hands: one runbook step on this machine, within what this machine allows.
//!
//! The way of a step: its parameters are checked against what the runbook declares ([`check_parameters`]), each element of its argument
//! template is rendered to exactly one argument ([`render()`]), the vector is compared with the machine's own list ([`AllowList`]), and only then
//! it is run ([`run()`]): no shell, no terminal, no input, an empty environment, a time and an output limit, its whole process group ended at the
//! timeout. What is refused says why and has not been started.
//!
//! The list is the machine's, not the server's: a server that was taken over can do no more here than the list says.

mod allow;
mod output;
mod parameters;
mod render;
mod run;

pub use allow::{AllowError, AllowList, DEFAULT_ALLOW};
pub use parameters::{Parameter, ParameterError, ParameterType, check_parameters, duration};
pub use render::{RenderError, render};
pub use run::{Command, Limits, Output, StepResult, run};
