//! From an argument template to an argument vector: each element of the template becomes exactly one argument, whatever is in the values.
//!
//! A template sees the parameters and nothing else: no file, no environment, no other template. An undefined name is an error, never an
//! empty argument. Work and length are limited.

use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

/// Steps of the template engine for one argument.
const FUEL: u64 = 10_000;

/// Longest argument, in bytes. The kernel takes 128 KiB.
const ARGUMENT_BYTES: usize = 32 * 1024;

/// Most arguments of one step.
const ARGUMENTS: usize = 256;

/// Why a template gave no vector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// There is nothing to run.
    #[error("the step names no program")]
    Empty,
    /// The template has more elements than a step may.
    #[error("the step has {found} arguments; at most {ARGUMENTS} are allowed")]
    TooMany {
        /// How many it has.
        found: usize,
    },
    /// One element cannot be rendered.
    #[error("argument {at} of the step, {template:?}, cannot be rendered: {why}")]
    Template {
        /// Counted from 0: the program.
        at: usize,
        /// As it is written.
        template: String,
        /// What the engine says.
        why: String,
    },
    /// One argument is longer than allowed.
    #[error("argument {at} of the step has {bytes} bytes; at most {ARGUMENT_BYTES} are allowed")]
    TooLong {
        /// Counted from 0: the program.
        at: usize,
        /// Its length.
        bytes: usize,
    },
}

/// Renders each element with the parameters, which [`check_parameters`](super::check_parameters) has checked.
///
/// # Errors
/// When an element is no template, names something that is not a parameter, or takes too much work or room.
pub fn render(argv_template: &[String], parameters: &Map<String, Value>) -> Result<Vec<String>, RenderError> {
    if argv_template.is_empty() {
        return Err(RenderError::Empty);
    }
    if argv_template.len() > ARGUMENTS {
        return Err(RenderError::TooMany { found: argv_template.len() });
    }
    // Strict, and without escaping: an argument is bytes for a program, not a page for a browser.
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_fuel(Some(FUEL));
    let values = minijinja::Value::from(minijinja::value::Serde(parameters));
    argv_template
        .iter()
        .enumerate()
        .map(|(at, template)| {
            let argument = engine.render_str(template, values.clone()).map_err(|error| RenderError::Template {
                at,
                template: template.clone(),
                why: error.to_string(),
            })?;
            if argument.len() > ARGUMENT_BYTES {
                return Err(RenderError::TooLong { at, bytes: argument.len() });
            }
            Ok(argument)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rendered(template: &[&str], parameters: Value) -> Result<Vec<String>, RenderError> {
        let template: Vec<String> = template.iter().map(|element| (*element).to_owned()).collect();
        render(&template, parameters.as_object().expect("a map"))
    }

    #[test]
    fn an_element_becomes_one_argument() {
        let argv = rendered(
            &["systemctl", "restart", "{{ unit }}.service", "-n{{ count }}", ""],
            json!({ "unit": "a b; c", "count": 3 }),
        );
        assert_eq!(argv.expect("a vector"), ["systemctl", "restart", "a b; c.service", "-n3", ""]);
    }

    #[test]
    fn a_value_is_never_a_template_itself() {
        let argv = rendered(&["echo", "{{ x }}"], json!({ "x": "{{ secret }} <b> & \"", "secret": "s" }));
        assert_eq!(argv.expect("a vector")[1], "{{ secret }} <b> & \"", "neither rendered again nor escaped");
    }

    #[test]
    fn what_cannot_be_rendered_is_refused() {
        for (template, why) in [
            ("{{ missing }}", "an undefined name"),
            ("{{ x.y.z }}", "an undefined part"),
            ("{% for i in range(100000) %}{{ x }}{% endfor %}", "too much work"),
            ("{{ x", "no template"),
            ("{% include 'a' %}", "another template"),
        ] {
            assert!(rendered(&["echo", template], json!({ "x": {} })).is_err(), "{why}");
        }
        assert!(matches!(
            rendered(&["{{ x * 40000 }}"], json!({ "x": "a" })),
            Err(RenderError::TooLong { .. } | RenderError::Template { .. })
        ));
        assert!(matches!(rendered(&[], json!({})), Err(RenderError::Empty)));
    }

    proptest! {
        #[test]
        fn any_value_arrives_as_it_is(value in any::<String>()) {
            let argv = rendered(&["echo", "{{ x }}"], json!({ "x": value.clone() })).expect("a vector");
            prop_assert_eq!(&argv[1], &value);
        }
    }
}
