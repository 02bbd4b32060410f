//! How the server would run the statements of a plan, in its own words.
//!
//! Absent: running them.

use crate::error::Fault;
use crate::pool::Lease;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};
use undergird_store::{Prepared, Statement, Statements, StoreError};

/// One line per step of each statement.
pub(crate) async fn explain(lease: &mut Lease, query: &Prepared) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    for statement in statements(&query.statements) {
        if let Some(lacking) = statement.lacks {
            return Err(StoreError::Unsupported(lacking));
        }
        let conn = &mut lease.link()?.conn;
        let prepared = conn.prep(format!("EXPLAIN {}", statement.text)).await.map_err(Fault::from)?;
        // The values are of no account, but there must be some.
        let values: Vec<Value> = statement.binds.iter().map(|_| Value::NULL).collect();
        let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let rows: Vec<Row> = conn.exec(&prepared, params).await.map_err(Fault::from)?;
        conn.close(prepared).await.map_err(Fault::from)?;
        for row in rows {
            let mut line = Vec::new();
            for (at, column) in row.columns_ref().iter().enumerate() {
                let cell = match row.as_ref(at) {
                    Some(Value::Bytes(octets)) => String::from_utf8_lossy(octets).into_owned(),
                    Some(Value::Int(number)) => number.to_string(),
                    Some(Value::UInt(number)) => number.to_string(),
                    Some(Value::Double(number)) => number.to_string(),
                    _ => continue,
                };
                line.push(format!("{}={cell}", column.name_str()));
            }
            lines.push(line.join(" "));
        }
    }
    Ok(lines)
}

/// All statements of a plan, in the order in which they run.
fn statements(all: &Statements) -> Vec<&Statement> {
    match all {
        Statements::Read(read) => read.nodes.iter().chain(&read.count).collect(),
        Statements::Write(write) => {
            let returning = write.returning.iter().flat_map(|read| &read.nodes);
            let before = write.guard.iter().chain(&write.lookup).chain(&write.keys);
            before.chain([&write.main]).chain(&write.update).chain(&write.after).chain(returning).collect()
        }
    }
}
