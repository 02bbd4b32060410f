//! Migrations on paper: what they are in SQLite's words, and what they cost. Absent: any database.

use crate::ddl;
use undergird_store::migration::{Effect, Effort, Group, Scribe, Waits};
use undergird_store::schema::Step;

/// SQLite's scribe.
pub static SCRIBE: &dyn Scribe = &SqliteScribe;

struct SqliteScribe;

impl Scribe for SqliteScribe {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn quoted(&self, name: &str) -> String {
        ddl::name(name)
    }

    fn statements(&self, Group { steps, wanted, .. }: Group<'_>) -> Vec<String> {
        ddl::statements(steps, wanted)
    }

    fn effect(&self, step: &Step, Group { steps, .. }: Group<'_>) -> Effect {
        // Readers go on with the snapshot that they have; there is one writer for the whole file.
        let writers = |effort| Effect { effort, waits: Waits::Writers };
        match step {
            Step::CreateTable(_)
            | Step::DropTable(_)
            | Step::RenameTable { .. }
            | Step::RenameColumn { .. }
            | Step::RenameCollection { .. }
            | Step::RenameField { .. }
            | Step::DropIndex { .. } => Effect::INSTANT,
            _ if ddl::rebuilt(steps).contains(step.table()) => writers(Effort::Rewrite),
            Step::CreateIndex { .. } => writers(Effort::Scan),
            _ => Effect::INSTANT,
        }
    }
}
