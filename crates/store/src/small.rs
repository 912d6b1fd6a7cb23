//! The small tables: tenants, states of controllers, private values.

use kernel::backend::ControllerState;
use kernel::ids::TenantId;

use crate::conn::{Conn, DbError, Fault, Row, Val};
use crate::layout::{insert_sql, sealed};
use crate::writer::{Group, upsert};

const CONTROLLER: &[&str] = &["name", "position", "runs", "last_run", "last_reason", "last_error"];
const SELECT_CONTROLLER: &str = "SELECT name, position, runs, last_run, last_reason, last_error, sum FROM controller";
const PRIVATE: &[&str] = &["area", "key", "value"];

pub(crate) fn tenants(conn: &mut dyn Conn) -> Result<Vec<(TenantId, String)>, DbError> {
    conn.all("SELECT id, key, sum FROM tenant ORDER BY id", &[], |row| {
        if sealed("tenant", row, 2)? {
            Ok((row.tenant(0)?, row.string(1)?))
        } else {
            Err(DbError::Damaged(format!("tenant {}", row.int(0)?)))
        }
    })
}

/// Gives a tenant its number; one that has a number keeps it.
pub(crate) fn add_tenant(group: &mut Group<'_>, key: &str) -> Result<TenantId, Fault> {
    if let Some(known) =
        group.conn().first("SELECT id FROM tenant WHERE key = ?1", &[key.into()], |row| row.tenant(0))?
    {
        return Ok(known);
    }
    let id = group.next(0, "tenant")?;
    group.insert("tenant", &insert_sql("tenant", &["id", "key"]), &[id.into(), key.into()])?;
    Ok(TenantId(id))
}

fn read_controller(row: &dyn Row) -> Result<ControllerState, DbError> {
    if !sealed("controller", row, CONTROLLER.len())? {
        return Err(DbError::Damaged(format!("the state of controller {}", row.text(0)?)));
    }
    Ok(ControllerState {
        name: row.string(0)?,
        cursor: row.count(1)?,
        runs: row.count(2)?,
        last_run: row.opt_time(3)?,
        last_reason: row.string(4)?,
        last_error: row.opt_string(5)?,
    })
}

pub(crate) fn controller(conn: &mut dyn Conn, name: &str) -> Result<Option<ControllerState>, DbError> {
    conn.first(&format!("{SELECT_CONTROLLER} WHERE name = ?1"), &[name.into()], read_controller)
}

pub(crate) fn controllers(conn: &mut dyn Conn) -> Result<Vec<ControllerState>, DbError> {
    conn.all(&format!("{SELECT_CONTROLLER} ORDER BY name"), &[], read_controller)
}

pub(crate) fn keep_controller(group: &mut Group<'_>, state: &ControllerState) -> Result<(), Fault> {
    let exists = group
        .conn()
        .first("SELECT 1 FROM controller WHERE name = ?1", &[(&state.name).into()], |row| row.int(0))?
        .is_some();
    let values = [
        (&state.name).into(),
        state.cursor.into(),
        state.runs.into(),
        state.last_run.into(),
        (&state.last_reason).into(),
        state.last_error.as_deref().into(),
    ];
    Ok(upsert(group.writing(), "controller", CONTROLLER, 1, &values, exists)?)
}

pub(crate) fn private(conn: &mut dyn Conn, area: &str, key: &str) -> Result<Option<Vec<u8>>, DbError> {
    let sql = "SELECT area, key, value, sum FROM private WHERE area = ?1 AND key = ?2";
    conn.first(sql, &[area.into(), key.into()], |row| {
        if sealed("private", row, 3)? {
            row.blob(2)
        } else {
            Err(DbError::Damaged(format!("a private value of {area}")))
        }
    })
}

/// All values of an area; damaged ones are left out, as a session or token that cannot be trusted is none.
pub(crate) fn privates(conn: &mut dyn Conn, area: &str) -> Result<Vec<(String, Vec<u8>)>, DbError> {
    let mut all = Vec::new();
    conn.query("SELECT area, key, value, sum FROM private WHERE area = ?1 ORDER BY key", &[area.into()], &mut |row| {
        if sealed("private", row, 3).unwrap_or(false) {
            all.push((row.string(1)?, row.blob(2)?));
        } else {
            tracing::error!(area, "a private value of {area} is damaged and is not used; run `mainstay verify`");
        }
        Ok(true)
    })?;
    Ok(all)
}

pub(crate) fn put_private(group: &mut Group<'_>, area: &str, key: &str, value: Option<&[u8]>) -> Result<(), Fault> {
    let gone = group.writing().exec("DELETE FROM private WHERE area = ?1 AND key = ?2", &[area.into(), key.into()]);
    gone?;
    if let Some(value) = value {
        group.insert("private", &insert_sql("private", PRIVATE), &[area.into(), key.into(), Val::from(value)])?;
    }
    Ok(())
}

pub(crate) fn claim_private(group: &mut Group<'_>, area: &str, key: &str, value: &[u8]) -> Result<bool, Fault> {
    let sql = format!("{} ON CONFLICT DO NOTHING", insert_sql("private", PRIVATE));
    Ok(group.insert("private", &sql, &[area.into(), key.into(), Val::from(value)])? == 1)
}
