//! It survives: what was acknowledged is there after any fault, what was damaged is told and never served, and what
//! cannot be done is refused with a sentence that says what to do.

mod refusals;
mod torture;
