//! All classes: the one place where the domains meet.

use kernel::{Domain, Registry};

/// What the kernel, the eight verbs and the ways of measurements bring.
pub fn all() -> Vec<Domain> {
    vec![
        kernel::own::domain(),
        know::domain(),
        watch::domain(),
        respond::domain(),
        serve::domain(),
        change::domain(),
        protect::domain(),
        plan::domain(),
        prove::domain(),
        signals::domain(),
    ]
}

/// The registry of all of them.
///
/// # Errors
/// What does not fit together: a defect in the program.
pub fn registry() -> anyhow::Result<Registry> {
    Registry::new(all()).map_err(|wrong| anyhow::anyhow!("the classes do not fit together:\n  {}", wrong.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_classes_of_all_verbs_fit_together() {
        let registry = registry().unwrap();
        assert!(registry.classes().len() >= 79, "{} classes", registry.classes().len());
        let unfinished: Vec<String> =
            registry.classes().iter().flat_map(|c| kernel::define::proof::unfinished(c)).collect();
        assert!(unfinished.is_empty(), "{unfinished:#?}");
    }
}
