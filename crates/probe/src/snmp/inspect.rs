//! Inspect: asks an agent for all that the profiles want to know, and has them say what it means.

use crate::env::Clock;
use crate::extract::{Device, Entry, Extracted, Input, Library, Snapshot, Wanted, describe, detect, extract};
use crate::extract::{fact_roots, objects, questions, roots};
use crate::snmp::session::{Session, SnmpError};
use crate::snmp::walk::{Cut, Limits, walk};
use crate::snmp::{Oid, Value, VarBind};

/// What was found out about a device.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// What kind of device it is.
    pub device: Device,
    /// What is on it.
    pub found: Extracted,
    /// Kinds of items that a device of its role always has, and this one does not tell although all was read.
    pub missing: Vec<String>,
    /// Why some of it may be missing.
    pub cut: Vec<Cut>,
}

/// Objects that are asked for in one request.
const AT_ONCE: usize = 20;

/// What every agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// `sysDescr`.
    pub description: String,
    /// `sysObjectID`.
    pub identity: Oid,
    /// `sysName`.
    pub name: String,
}

/// Asks the agent what it is, and no more: no table is walked.
///
/// # Errors
/// Why there is no answer.
pub async fn identify(session: &mut Session<'_>, library: &Library) -> Result<(Device, System), SnmpError> {
    let (mut snapshot, entry) = meet(session, library).await?;
    let (single, columns) = places_of_facts(entry, &snapshot);
    for group in single.chunks(AT_ONCE) {
        snapshot.add(get_patiently(session, group).await?);
    }
    snapshot.add(first_of(session, &columns).await?);
    let (identity, description) = crate::extract::system(&snapshot);
    let name = snapshot.get(&Oid::new(&[1, 3, 6, 1, 2, 1, 1, 5, 0])).map(ToString::to_string).unwrap_or_default();
    Ok((describe(entry, &snapshot), System { description, identity, name }))
}

/// Description and identity of the device, and the entry of the list that they fit.
async fn meet<'l>(session: &mut Session<'_>, library: &'l Library) -> Result<(Snapshot, Option<&'l Entry>), SnmpError> {
    let mut snapshot = Snapshot::default();
    let system: Vec<Oid> = (1..=6).map(|nth| Oid::new(&[1, 3, 6, 1, 2, 1, 1, nth, 0])).collect();
    snapshot.add(session.get(&system).await?);
    let asked = questions(library.systems(), &snapshot);
    snapshot.add(first_of(session, &asked).await?);
    let entry = detect(library.systems(), &snapshot);
    Ok((snapshot, entry))
}

/// Where the facts of such a device are: single objects, and columns.
fn places_of_facts(entry: Option<&Entry>, snapshot: &Snapshot) -> (Vec<Oid>, Vec<Oid>) {
    let places = entry.map(|entry| fact_roots(entry, snapshot)).unwrap_or_default();
    places.into_iter().partition(|oid| oid.arcs().last() == Some(&0))
}

/// Asks the agent what it is, and then for what is wanted of it.
///
/// # Errors
/// Why there is no answer. Tables that an agent does not have, or breaks off, are not errors.
pub async fn inspect(
    session: &mut Session<'_>,
    library: &Library,
    wanted: Wanted<'_>,
    limits: Limits,
    clock: &dyn Clock,
) -> Result<Inspection, SnmpError> {
    let (mut snapshot, entry) = meet(session, library).await?;
    let os = entry.map(|entry| entry.os.as_str()).unwrap_or_default();
    let mut profiles = match wanted {
        Wanted::Profile(profile) => vec![profile],
        Wanted::Everything | Wanted::Role(_) => library.profiles_for(os, &snapshot),
    };
    let role = if let Wanted::Role(role) = wanted { Some(role) } else { None };
    profiles.retain(|profile| role.is_none_or(|role| role.reads(profile)));
    let mut single = objects(&profiles, &snapshot);
    let (facts, columns) = places_of_facts(entry, &snapshot);
    single.extend(facts);
    for group in single.chunks(AT_ONCE) {
        snapshot.add(get_patiently(session, group).await?);
    }
    snapshot.add(first_of(session, &columns).await?);
    let walked = walk(session, &roots(&profiles, &snapshot), limits, clock).await?;
    let count = walked.objects.len();
    snapshot.add(walked.objects);
    let mut found = beside_others(count, || extract(&profiles, Input::Snmp(&snapshot)));
    let mut device = describe(entry, &snapshot);
    for (name, text) in &found.facts {
        device.facts.entry(name.clone()).or_insert_with(|| text.clone());
    }
    let mut missing = Vec::new();
    if let Some(role) = role {
        role.keep(&mut found);
        missing = role.missing(&found);
    }
    // What was not read may be there.
    missing.retain(|_| walked.cut.is_empty());
    Ok(Inspection { device, found, missing, cut: walked.cut })
}

/// Work over so many objects. Where they are many it takes longer than other checks should wait for, so this thread's tasks go
/// to another one meanwhile, when the runtime has one.
fn beside_others<T>(objects: usize, work: impl FnOnce() -> T) -> T {
    const MANY: usize = 5000;
    let flavor = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) if objects > MANY => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Single objects; an agent that refuses them together is asked for each.
async fn get_patiently(session: &mut Session<'_>, group: &[Oid]) -> Result<Vec<VarBind>, SnmpError> {
    match session.get(group).await {
        Err(SnmpError::Refused { .. }) => {
            let mut found = Vec::new();
            for oid in group {
                match session.get(std::slice::from_ref(oid)).await {
                    Ok(objects) => found.extend(objects),
                    Err(SnmpError::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        }
        other => other,
    }
}

/// For each of these, the object itself or the first ones below it that hold something.
async fn first_of(session: &mut Session<'_>, roots: &[Oid]) -> Result<Vec<VarBind>, SnmpError> {
    /// So many empty rows are passed over.
    const PATIENCE: u32 = 8;
    let mut found = get_patiently(session, roots).await?;
    found.retain(|object| object.value.is_present());
    for root in roots {
        if found.iter().any(|object| object.oid == *root) {
            continue;
        }
        let mut at = root.clone();
        for _ in 0..PATIENCE {
            let next = match session.get_next(vec![at.clone()]).await {
                Ok(mut next) if !next.is_empty() => next.swap_remove(0),
                Ok(_) | Err(SnmpError::Refused { .. }) => break,
                Err(error) => return Err(error),
            };
            if !next.oid.is_below(root) || next.oid <= at || !next.value.is_present() {
                break;
            }
            at = next.oid.clone();
            let is_empty = matches!(&next.value, Value::Octets(bytes) if bytes.iter().all(u8::is_ascii_whitespace));
            found.push(next);
            if !is_empty {
                break;
            }
        }
    }
    Ok(found)
}
