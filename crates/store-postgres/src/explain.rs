//! How the server would run a statement whose values are not known: its generic plan.
//!
//! `EXPLAIN (GENERIC_PLAN)` came with PostgreSQL 16. Before, a statement prepared for the purpose does the same.

use crate::error::Fault;
use crate::line::Line;
use undergird_store::{Statement, Statements};

/// The plan of each statement, one line per step.
pub(crate) async fn explain(line: &mut Line, all: &Statements) -> Result<Vec<String>, Fault> {
    let mut lines = Vec::new();
    let version = line.texts("SHOW server_version_num").await?;
    let generic = version.first().and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number >= 160_000);
    for statement in statements(all) {
        let text = if generic {
            format!("EXPLAIN (GENERIC_PLAN) {}", statement.text)
        } else {
            let nulls = vec!["NULL"; statement.binds.len()].join(", ");
            let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
            // In one transaction, so that nothing of it stays, whatever fails; what is prepared stays when that does, under a name
            // that is prepared anew.
            format!(
                "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan; PREPARE ug_explain AS {}; \
                 EXPLAIN EXECUTE ug_explain{nulls}; DEALLOCATE ug_explain; ROLLBACK",
                statement.text
            )
        };
        let told = line.texts(&text).await;
        if told.is_err() && !generic {
            line.execute("ROLLBACK; DEALLOCATE ALL").await?;
            line.forget();
        }
        lines.extend(told?);
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
