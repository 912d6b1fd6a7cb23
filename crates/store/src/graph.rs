//! Links: neighbours of a record, and walks over many.

use std::collections::{BTreeSet, HashMap};

use kernel::ids::{Id, TenantId};
use kernel::link::{Direction, Graph, Link, Neighbour, Node, Side, Walk};

use crate::conn::{Conn, DbError, Fault};
use crate::layout::{Classes, sealed};
use crate::rows;

const OUT: &str =
    "SELECT tenant, from_id, type, to_id, sum FROM link WHERE tenant = ?1 AND from_id = ?2 ORDER BY type, to_id";
const IN: &str =
    "SELECT tenant, from_id, type, to_id, sum FROM link WHERE tenant = ?1 AND to_id = ?2 ORDER BY type, from_id";

/// Links of a record in one direction. A damaged link is an error: a walk that silently lost an edge would hide an impact.
fn links(conn: &mut dyn Conn, tenant: TenantId, id: &Id, side: Side) -> Result<Vec<Link>, DbError> {
    let sql = if side == Side::Out { OUT } else { IN };
    conn.all(sql, &[tenant.into(), id.into()], |row| {
        if !sealed("link", row, 4)? {
            return Err(DbError::Damaged(format!("a link of the record {id}")));
        }
        Ok(Link { from: row.id(1)?, name: row.string(2)?, to: row.id(3)? })
    })
}

/// Links of a record, both directions, without those to deleted ends.
pub(crate) fn neighbours(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    id: &Id,
) -> Result<Vec<Neighbour>, Fault> {
    let mut all = Vec::new();
    for side in [Side::Out, Side::In] {
        for link in links(conn, tenant, id, side)? {
            let other = if side == Side::Out { link.to } else { link.from };
            if let Some(other) = rows::head(conn, classes, tenant, &other)? {
                all.push(Neighbour { name: link.name, direction: side, other });
            }
        }
    }
    Ok(all)
}

/// Whether a link stands.
pub(crate) fn linked(conn: &mut dyn Conn, tenant: TenantId, link: &Link) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM link WHERE tenant = ?1 AND from_id = ?2 AND type = ?3 AND to_id = ?4";
    let args = [tenant.into(), (&link.from).into(), (&link.name).into(), (&link.to).into()];
    Ok(conn.first(sql, &args, |row| row.int(0))?.is_some())
}

/// Walks links breadth first, up to a depth and a number of records.
pub(crate) fn walk(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    start: Id,
    walk: &Walk,
) -> Result<Graph, Fault> {
    let mut graph = Graph::default();
    let Some(first) = rows::head(conn, classes, tenant, &start)? else { return Ok(graph) };
    // What is not in the graph is known as absent: deleted, or past the limit.
    let mut reached: HashMap<Id, bool> = HashMap::from([(start, true)]);
    let mut edges: BTreeSet<(Id, String, Id)> = BTreeSet::new();
    graph.nodes.push(Node { head: first, depth: 0 });
    let sides: &[Side] = match walk.direction {
        Direction::Down => &[Side::Out],
        Direction::Up => &[Side::In],
        Direction::Both => &[Side::Out, Side::In],
    };
    let mut next = 0;
    while next < graph.nodes.len() {
        let (id, depth) = (graph.nodes[next].head.id, graph.nodes[next].depth);
        next += 1;
        for side in sides {
            for link in links(conn, tenant, &id, *side)? {
                if !walk.types.is_empty() && !walk.types.contains(&link.name) {
                    continue;
                }
                let other = if *side == Side::Out { link.to } else { link.from };
                if depth == walk.depth && !reached.contains_key(&other) {
                    continue; // The edge of the walk: links between what was reached still count.
                }
                let there = match reached.get(&other) {
                    Some(there) => *there,
                    None if graph.nodes.len() >= walk.limit => {
                        graph.truncated = true;
                        continue;
                    }
                    None => match rows::head(conn, classes, tenant, &other)? {
                        Some(head) => {
                            graph.nodes.push(Node { head, depth: depth + 1 });
                            true
                        }
                        None => false,
                    },
                };
                reached.insert(other, there);
                if there {
                    edges.insert((link.from, link.name, link.to));
                }
            }
        }
    }
    graph.links = edges.into_iter().map(|(from, name, to)| Link { from, name, to }).collect();
    Ok(graph)
}
