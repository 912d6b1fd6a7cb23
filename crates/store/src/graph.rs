//! Links: neighbours of a record, and walks over many.
//!
//! A walk asks level by level and for many records at a time: a question for each of a thousand records would cost more than the
//! reading itself.

use std::collections::{BTreeSet, HashMap};

use kernel::ids::{Id, TenantId};
use kernel::link::{Direction, Graph, Link, Neighbour, Node, Side, Walk};

use crate::conn::{Conn, DbError, Fault};
use crate::layout::{Classes, sealed};
use crate::rows::{self, in_chunks};

/// Links of records in one direction, by record. A damaged link is an error: a walk that silently lost an edge would hide an impact.
fn links(conn: &mut dyn Conn, tenant: TenantId, ids: &[Id], side: Side) -> Result<HashMap<Id, Vec<Link>>, DbError> {
    let (near, far) = if side == Side::Out { ("from_id", "to_id") } else { ("to_id", "from_id") };
    let mut found: HashMap<Id, Vec<Link>> = HashMap::new();
    in_chunks(ids, |marks, args| {
        let sql = format!(
            "SELECT tenant, from_id, type, to_id, sum FROM link WHERE tenant = ?1 AND {near} IN ({marks}) ORDER BY {near}, type, {far}"
        );
        let mut all = vec![tenant.into()];
        all.extend_from_slice(args);
        conn.query(&sql, &all, &mut |row| {
            let near = row.id(if side == Side::Out { 1 } else { 3 })?;
            if !sealed("link", row, 4)? {
                return Err(DbError::Damaged(format!("a link of the record {near}")));
            }
            found.entry(near).or_default().push(Link { from: row.id(1)?, name: row.string(2)?, to: row.id(3)? });
            Ok(true)
        })
    })?;
    Ok(found)
}

fn other_end(link: &Link, side: Side) -> Id {
    if side == Side::Out { link.to } else { link.from }
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
        let links = links(conn, tenant, &[*id], side)?.remove(id).unwrap_or_default();
        let others: Vec<Id> = links.iter().map(|l| other_end(l, side)).collect();
        let heads = rows::heads(conn, classes, tenant, &others)?;
        for link in links {
            if let Some(other) = heads.get(&other_end(&link, side)) {
                all.push(Neighbour { name: link.name, direction: side, other: other.clone() });
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
    let Some(first) = rows::heads(conn, classes, tenant, &[start])?.remove(&start) else { return Ok(graph) };
    graph.nodes.push(Node { head: first, depth: 0 });
    let sides: &[Side] = match walk.direction {
        Direction::Down => &[Side::Out],
        Direction::Up => &[Side::In],
        Direction::Both => &[Side::Out, Side::In],
    };
    // `false`: looked at and deleted.
    let mut reached: HashMap<Id, bool> = HashMap::from([(start, true)]);
    let mut edges: BTreeSet<(Id, String, Id)> = BTreeSet::new();
    let mut level = vec![start];
    for depth in 0..=walk.depth {
        let mut seen: Vec<(Link, Id)> = Vec::new();
        for side in sides {
            let mut all = links(conn, tenant, &level, *side)?;
            let of_level = level.iter().flat_map(|id| all.remove(id).unwrap_or_default());
            let wanted = of_level.filter(|l| walk.types.is_empty() || walk.types.contains(&l.name));
            seen.extend(wanted.map(|l| (l.clone(), other_end(&l, *side))));
        }
        level.clear();
        if depth < walk.depth {
            let mut fresh: Vec<Id> = Vec::new();
            for (_, other) in &seen {
                // Marked at once, so that it is asked for once; what it is, the answer tells.
                if reached.insert(*other, reached.get(other).copied().unwrap_or(false)).is_none() {
                    fresh.push(*other);
                }
            }
            let mut heads = rows::heads(conn, classes, tenant, &fresh)?;
            for id in fresh {
                let Some(head) = heads.remove(&id) else { continue };
                if graph.nodes.len() >= walk.limit {
                    graph.truncated = true;
                    continue;
                }
                graph.nodes.push(Node { head, depth: depth + 1 });
                reached.insert(id, true);
                level.push(id);
            }
        }
        // At the edge of the walk, links between what was reached still count.
        for (link, other) in seen {
            if reached.get(&other).copied().unwrap_or(false) {
                edges.insert((link.from, link.name, link.to));
            }
        }
        if level.is_empty() {
            break;
        }
    }
    graph.links = edges.into_iter().map(|(from, name, to)| Link { from, name, to }).collect();
    Ok(graph)
}
