//! The life cycles that configuration items share: from the plan to the scrap yard.
//!
//! How well a thing works is its health, which is measured; a state here says only whether it is meant to be there.

use kernel::{Class, Define};

/// The life cycle of what exists as an installation: in use, planned, retired. A new record is in use.
pub fn item<T: Class>(def: Define<T>) -> Define<T> {
    def.states(&[
        ("active", true, "In use."),
        ("planned", true, "Not there yet."),
        ("retiring", true, "Still in use; its end has been decided."),
        ("retired", false, "No longer in use."),
    ])
    .step("plan", &["active"], "planned", "It is not there yet.")
    .step("activate", &["planned", "retiring", "retired"], "active", "It is in use from now on.")
    .step("phase-out", &["active"], "retiring", "Its end has been decided.")
    .step("retire", &["active", "planned", "retiring"], "retired", "It is no longer in use.")
}

/// The life cycle of what one can touch: as [`item`], and in stock, in repair and disposed of.
pub fn hardware<T: Class>(def: Define<T>) -> Define<T> {
    def.states(&[
        ("active", true, "In use."),
        ("planned", true, "Not there yet, perhaps ordered."),
        ("in-stock", true, "There, and free to be used."),
        ("in-repair", true, "Being mended."),
        ("retired", false, "No longer in use; still in the house."),
        ("disposed", false, "Gone: sold, returned or scrapped."),
    ])
    .step("plan", &["active", "in-stock"], "planned", "It is not there yet.")
    .step("receive", &["planned"], "in-stock", "It has arrived.")
    .step("activate", &["planned", "in-stock", "in-repair", "retired"], "active", "It is in use from now on.")
    .step("store", &["active", "in-repair", "retired"], "in-stock", "It goes back to the shelf.")
    .step("repair", &["active", "in-stock"], "in-repair", "It is being mended.")
    .step("retire", &["active", "planned", "in-stock", "in-repair"], "retired", "It is no longer in use.")
    .step("dispose", &["in-stock", "in-repair", "retired"], "disposed", "It has left the house, its data wiped.")
}
