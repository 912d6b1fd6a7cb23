//! Know: what do we run, where is it, who owns it, what depends on it?
//!
//! Every class here is a thing that exists apart from Mainstay. Its fields hold what is declared; what was seen of it are
//! observations, and how well it works is its health. Nothing here measures, and nothing here is deleted by not being seen.

pub mod words;
pub mod machine;
pub mod agent;
pub mod life;
pub mod host;
pub mod network_device;
pub mod endpoint;
pub mod application;
pub mod database;
pub mod cluster;
pub mod cloud_resource;
pub mod container;
pub mod service;
pub mod site;
pub mod rack;
pub mod prefix;
pub mod address;
pub mod vlan;
pub mod circuit;
pub mod software;
pub mod licence;
pub mod certificate;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<host::Host>(Verb::Know),
            class::<network_device::NetworkDevice>(Verb::Know),
            class::<endpoint::Endpoint>(Verb::Know),
            class::<application::Application>(Verb::Know),
            class::<database::Database>(Verb::Know),
            class::<cluster::Cluster>(Verb::Know),
            class::<cloud_resource::CloudResource>(Verb::Know),
            class::<container::Container>(Verb::Know),
            class::<service::Service>(Verb::Know),
            class::<site::Site>(Verb::Know),
            class::<rack::Rack>(Verb::Know),
            class::<prefix::Prefix>(Verb::Know),
            class::<address::Address>(Verb::Know),
            class::<vlan::Vlan>(Verb::Know),
            class::<circuit::Circuit>(Verb::Know),
            class::<software::Software>(Verb::Know),
            class::<licence::Licence>(Verb::Know),
            class::<certificate::Certificate>(Verb::Know),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
