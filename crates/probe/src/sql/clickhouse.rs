//! ClickHouse over HTTP: does the server let us in and answer a query as expected?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::dialog::{Measured, one_line_problem};
use crate::env::Failure;
use crate::facts::Conditions;
use crate::http::{Condition, Http};
use crate::outcome::{Outcome, excerpt};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::sql::table::query_problem;
use crate::sql::{Table, Wanted, decide};
use crate::target::parse_web_address;
use crate::tls::parse_authorities;

/// Parameters of `clickhouse`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Clickhouse {
    /// User name.
    user: String,
    /// Password of the user; an empty one when left out.
    password: Option<Secret>,
    /// Database; the user's own when left out.
    database: Option<String>,
    /// The query, without FORMAT. Its numbers become readings, with the texts of the same row as labels. Only whether the
    /// server is there is asked when left out, and that without signing in.
    query: Option<String>,
    /// Columns of the first row and what they must be: {"lag_seconds": "< 10"}.
    columns: Conditions,
    /// How many rows there must be, for example 1 or "< 100".
    rows: Option<Condition>,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when the whole answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Clickhouse {
    fn default() -> Self {
        Clickhouse {
            user: "default".to_owned(),
            password: None,
            database: None,
            query: None,
            columns: Conditions::new(),
            rows: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

impl Check for Clickhouse {
    const NAME: &'static str = "clickhouse";
    const TITLE: &'static str = "ClickHouse";
    const HELP: &'static str = "Runs a query over ClickHouse's HTTP interface, and judges rows and columns.";
    const TARGET: &'static str = "the web address of the HTTP interface, for example http://ch-1.example.org:8123/";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_web_address(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        problems.extend(one_line_problem("user", Some(&self.user)));
        problems.extend(one_line_problem("password", self.password.as_ref().map(Secret::reveal)));
        problems.extend(one_line_problem("database", self.database.as_deref()));
        problems.extend(query_problem(self.query.as_deref(), &self.columns, self.rows.as_ref()));
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        // By headers and not by the address, which servers and proxies write into their logs.
        let mut headers = BTreeMap::from([
            ("X-ClickHouse-User".to_owned(), self.user.clone()),
            ("X-ClickHouse-Format".to_owned(), "JSONCompact".to_owned()),
        ]);
        if let Some(password) = &self.password {
            headers.insert("X-ClickHouse-Key".to_owned(), password.reveal().to_owned());
        }
        if let Some(database) = &self.database {
            headers.insert("X-ClickHouse-Database".to_owned(), database.clone());
        }
        // Without a query the interface answers "Ok."
        let (method, body) = match &self.query {
            Some(query) => ("POST", format!("{query}\nFORMAT JSONCompact")),
            None => {
                headers.clear();
                ("GET", String::new())
            }
        };
        let asked = Http::asking(method, headers, body).over(self.family, self.verify, self.ca.clone());
        let answer = asked.fetch(cx).await?;
        let peer = cx.target;
        if answer.status != 200 {
            let said = excerpt(&answer.body);
            return Err(Failure::Peer(format!("{peer} refuses the query (status {}: {said})", answer.status)));
        }
        if answer.cut {
            return Err(Failure::Peer(format!("{peer} answers with more than 1 MiB; ask for fewer rows")));
        }
        let table = match &self.query {
            Some(_) => Some(parse_table(&answer.body).map_err(|why| Failure::Peer(format!("{peer} {why}")))?),
            None if answer.body == b"Ok.\n" => None,
            None => {
                let said = excerpt(&answer.body);
                return Err(Failure::Peer(format!("{peer} does not answer as ClickHouse does: {said}")));
            }
        };
        let measured = Measured {
            peer: peer.to_owned(),
            seconds: answer.total_seconds,
            certificate_left_days: answer.certificate_left_days,
        };
        let want = Wanted {
            protocol: Self::NAME,
            columns: &self.columns,
            rows: self.rows.as_ref(),
            times: (self.warn_time, self.critical_time),
        };
        Ok(decide(&want, "ClickHouse", table.as_ref(), &measured))
    }
}

/// Reads an answer in the format JSONCompact.
///
/// # Errors
/// The end of a sentence about the peer.
pub fn parse_table(bytes: &[u8]) -> Result<Table, String> {
    let wrong = || format!("does not answer as ClickHouse does: {}", excerpt(bytes));
    let value: Value = serde_json::from_slice(bytes).map_err(|_| wrong())?;
    let columns = value["meta"].as_array().ok_or_else(wrong)?;
    let columns = columns.iter().map(|column| column["name"].as_str().map(str::to_owned));
    let columns = columns.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let mut table = Table { columns, ..Table::default() };
    for row in value["data"].as_array().ok_or_else(wrong)? {
        let cells = row.as_array().filter(|cells| cells.len() == table.columns.len()).ok_or_else(wrong)?;
        table.push(cells.iter().map(cell).collect());
    }
    Ok(table)
}

fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read_or_told_as_another() {
        let answer = br#"{"meta":[{"name":"n","type":"UInt8"},{"name":"t","type":"String"}],"data":[[1,"a"],["2",null]],"rows":2}"#;
        let table = parse_table(answer).unwrap();
        assert_eq!((table.columns.len(), table.count), (2, 2));
        assert_eq!(table.rows[1], [Some("2".to_owned()), None]);
        for wrong in ["<html>", "{}", r#"{"meta":[{"name":"n"}],"data":[[1,2]]}"#] {
            assert!(parse_table(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "\\{\"meta\":\\[\\PC{0,20}\\]\\}") {
            let _ = (parse_table(&bytes), parse_table(text.as_bytes()));
        }
    }
}
