//! Migrations on paper: what they are in PostgreSQL's words, and what they cost
//! (<https://www.postgresql.org/docs/current/sql-altertable.html>). Absent: any database.

use crate::{ddl, types};
use undergird_store::migration::{Effect, Effort, Group, Scribe, Waits};
use undergird_store::schema::Step;

/// PostgreSQL's scribe.
pub static SCRIBE: &dyn Scribe = &PostgresScribe;

struct PostgresScribe;

impl Scribe for PostgresScribe {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn quoted(&self, name: &str) -> String {
        types::name(name)
    }

    fn statements(&self, group: Group<'_>) -> Vec<String> {
        ddl::reviewed(group)
    }

    fn effect(&self, step: &Step, group: Group<'_>) -> Effect {
        let wanted = group.wanted;
        let (scan, rewrite) = (Effort::Scan, Effort::Rewrite);
        let everybody = |effort| Effect { effort, waits: Waits::Everybody };
        let writers = |effort| Effect { effort, waits: Waits::Writers };
        if ddl::is_early(step, group) {
            return Effect { effort: scan, waits: Waits::Nobody };
        }
        match step {
            Step::CreateTable(_)
            | Step::DropTable(_)
            | Step::RenameTable { .. }
            | Step::RenameColumn { .. }
            | Step::RenameCollection { .. }
            | Step::RenameField { .. }
            | Step::DropColumn { .. }
            | Step::DropCheck { .. }
            | Step::DropReference { .. }
            | Step::DropIndex { .. } => Effect::INSTANT,
            Step::AddColumn { table, column } => {
                let is_numbered =
                    wanted.table(table).is_some_and(|table| table.identity && table.key == [column.name.clone()]);
                match (is_numbered, types::form(column.ty, "").is_some()) {
                    (true, _) => everybody(rewrite),
                    // The check that its form needs is held against every row.
                    (false, true) => everybody(scan),
                    (false, false) => Effect::INSTANT,
                }
            }
            Step::AlterColumn { from, to, .. } => match (from.null, to.null) {
                _ if from.ty != to.ty => everybody(rewrite),
                (true, false) if to.default.is_some() => everybody(rewrite),
                (true, false) => everybody(scan),
                _ => Effect::INSTANT,
            },
            Step::AlterKey { .. } | Step::AddCheck { .. } => everybody(scan),
            Step::AddReference { .. } | Step::CreateIndex { .. } => writers(scan),
        }
    }
}
