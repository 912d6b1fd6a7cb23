//! Serve: somebody needs something: who helps, by when, and were they glad?
//!
//! A [`Request`](request::Request) asks for something that the catalogue offers or does not; an [`Article`](article::Article) answers
//! before anybody has to ask. Nothing here decides who sees what, and nothing here is broken: that is an incident, of respond.

pub mod request;
pub mod catalogue_item;
pub mod article;
pub mod survey;
pub mod announcement;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<request::Request>(Verb::Serve),
            class::<catalogue_item::CatalogueItem>(Verb::Serve),
            class::<article::Article>(Verb::Serve),
            class::<survey::Survey>(Verb::Serve),
            class::<announcement::Announcement>(Verb::Serve),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
