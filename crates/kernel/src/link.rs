//! A link: a typed, directed edge between two records, never a reference hidden in a field.

use serde::{Deserialize, Serialize};

use crate::ids::Id;
use crate::record::Head;

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Source.
    pub from: Id,
    /// Type, read from source to target.
    #[serde(rename = "type")]
    pub name: String,
    /// Target.
    pub to: Id,
}

/// Which way to follow links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From source to target: what this needs.
    Down,
    /// From target to source: what needs this.
    Up,
    /// Both ways.
    Both,
}

/// A link as seen from one of its ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Type, read from source to target.
    #[serde(rename = "type")]
    pub name: String,
    /// `out`: this record is the source; `in`: the target.
    pub direction: Side,
    /// The other end.
    #[serde(flatten)]
    pub other: Head,
}

/// Which end of a link a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Its source.
    Out,
    /// Its target.
    In,
}

/// What a walk over links reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Graph {
    /// Records reached, nearest first, the start included at depth 0.
    pub nodes: Vec<Node>,
    /// Links between them.
    pub links: Vec<Link>,
    /// The walk stopped at its limit: there is more.
    pub truncated: bool,
}

/// A record reached by a walk.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// The record.
    #[serde(flatten)]
    pub head: Head,
    /// Links between it and the start, at least.
    pub depth: u32,
}

/// How far and along what to walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Which way.
    pub direction: Direction,
    /// At most so many links from the start.
    pub depth: u32,
    /// At most so many records.
    pub limit: usize,
    /// Only these link types; empty: all.
    pub types: Vec<String>,
}
