//! Migrations on paper: what they are in the server's words, and what they cost with InnoDB
//! (<https://mariadb.com/kb/en/innodb-online-ddl-overview/>). Absent: any database; the words are those of MariaDB, from which MySQL's
//! differ in a few collations and functions.

use crate::ddl::{self, state};
use crate::server::Server;
use crate::types::form_check;
use undergird_store::migration::{Effect, Effort, Group, Scribe, Waits};
use undergird_store::schema::Step;

/// The scribe of MySQL and MariaDB.
pub static SCRIBE: &dyn Scribe = &MysqlScribe;

/// The server whose words are written.
const WRITTEN_FOR: &str = "10.11.0-MariaDB";

struct MysqlScribe;

impl Scribe for MysqlScribe {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn quoted(&self, name: &str) -> String {
        crate::types::name(name)
    }

    fn statements(&self, Group { steps, wanted, .. }: Group<'_>) -> Vec<String> {
        let from = state::origin(steps, wanted);
        let script = ddl::script(&Server::named(WRITTEN_FOR), &from, steps, wanted);
        script.into_iter().flat_map(|taken| taken.lines).map(|line| line.sql).collect()
    }

    fn effect(&self, step: &Step, Group { steps, .. }: Group<'_>) -> Effect {
        let writers = |effort| Effect { effort, waits: Waits::Writers };
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
                let brings_a_rule = form_check(table, column).is_some()
                    || steps.iter().any(|other| match other {
                        Step::AddCheck { table: on, check } => {
                            on == table && check.column.as_ref() == Some(&column.name)
                        }
                        Step::AddReference { table: on, reference } => on == table && reference.column == column.name,
                        _ => false,
                    });
                if brings_a_rule { writers(Effort::Rewrite) } else { Effect::INSTANT }
            }
            Step::AlterColumn { from, to, .. } => {
                let only_default = from.ty == to.ty && from.null == to.null;
                if only_default { Effect::INSTANT } else { writers(Effort::Rewrite) }
            }
            Step::AlterKey { .. } | Step::AddCheck { .. } | Step::AddReference { .. } => writers(Effort::Rewrite),
            // Built while writes go on.
            Step::CreateIndex { .. } => Effect { effort: Effort::Scan, waits: Waits::Nobody },
        }
    }
}
