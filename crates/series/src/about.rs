//! What is said about series beside their samples: type, unit and help of families, and exemplars. In memory, bounded by
//! tenant; whatever is here is in the log too, and in every copy of the head.

mod exemplars;
mod families;

pub(crate) use exemplars::{Exemplars, LogExemplar, fits};
pub(crate) use families::{Families, kind_number, kind_of};
