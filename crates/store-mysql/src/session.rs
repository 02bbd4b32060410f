//! A connection of the pool as the store's [`Connection`], inside a transaction or a snapshot.
//!
//! Absent: beginning again after a conflict; that is [`crate::transaction`]'s.

use crate::error::Fault;
use crate::notices;
use crate::pool::Lease;
use crate::pulse::{Silence, unreachable};
use crate::values::{Identity, Lent, bound};
use futures_util::future::BoxFuture;
use mysql_async::Params;
use mysql_async::prelude::Queryable;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;
use undergird_store::{Bound, Connection, ConstraintKind, Flow, Isolation, Statement, StoreError};

/// Rows that are read and thrown away when nobody wants more of them; beyond that the connection is thrown away.
const REST_MAX: usize = 10_000;

/// `ER_NO_SUCH_TABLE`.
const NO_SUCH_TABLE: u16 = 1146;

/// How long a commit or a rollback may take beyond the deadline of its transaction.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// One use of a connection.
pub(crate) struct Session {
    lease: Lease,
    deadline: Instant,
    marks: usize,
    /// What ended the transaction before its time: nothing may run after it.
    failure: Option<Fault>,
    /// Topics announced in this transaction, each once.
    announced: Vec<String>,
}

impl Session {
    pub(crate) fn new(lease: Lease, deadline: Instant) -> Session {
        Session { lease, deadline, marks: 0, failure: None, announced: Vec::new() }
    }

    /// What ended the transaction before its time.
    pub(crate) fn failure(&self) -> Option<&Fault> {
        self.failure.as_ref()
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&mut self, isolation: Isolation) -> Result<(), Fault> {
        self.lease.busy = true;
        let text = match isolation {
            Isolation::Snapshot => {
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
            }
            // The session's own level.
            Isolation::Committed => "START TRANSACTION",
            Isolation::Serializable => "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION",
        };
        self.control(text, self.deadline).await
    }

    /// Commits. After a loss of the connection nobody knows whether it happened.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        let latest = self.deadline.max(Instant::now() + ENDING_MAX);
        match self.control("COMMIT", latest).await {
            Ok(()) => {
                self.lease.busy = false;
                Ok(())
            }
            Err(Fault::Lost(why) | Fault::Store(StoreError::Unavailable(why))) => {
                Err(StoreError::Unavailable(format!(
                    "the connection was lost while a transaction was committed, which may have happened or not: {why}"
                )))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Rolls back, and gives the connection back when that went well.
    pub(crate) async fn roll_back(&mut self) {
        if self.lease.busy && self.control("ROLLBACK", Instant::now() + ENDING_MAX).await.is_ok() {
            self.lease.busy = false;
        }
    }

    /// Runs text of our own that takes and gives nothing.
    async fn control(&mut self, text: &str, deadline: Instant) -> Result<(), Fault> {
        let pulse = self.lease.pulse();
        let link = self.lease.link()?;
        let result = match pulse.hear(deadline, link.conn.query_drop(text)).await {
            Ok(result) => result.map_err(Fault::from),
            Err(silence) => Err(self.silent(silence)),
        };
        if let Err(Fault::Lost(_)) = &result {
            self.lease.lost();
        }
        result
    }

    /// Nothing was heard: the connection is of no use any more.
    fn silent(&mut self, silence: Silence) -> Fault {
        match silence {
            Silence::Late => {
                self.lease.kill();
                Fault::Store(StoreError::Deadline)
            }
            // Not `Lost`, which would be tried again on a new connection: there is none to be had.
            Silence::Unreachable => {
                self.lease.lost();
                Fault::Store(unreachable())
            }
        }
    }

    /// Runs a statement, within the deadline.
    async fn run(
        &mut self,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn undergird_plan::RowRef) -> Flow + Send),
    ) -> Result<u64, Fault> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let was_busy = self.lease.busy;
        // Until the answer is there; a future that is dropped meanwhile leaves it so.
        self.lease.busy = true;
        let pulse = self.lease.pulse();
        let result = match pulse.hear(self.deadline, attempt(&mut self.lease, statement, values, each)).await {
            Ok(result) => result,
            Err(silence) => Err(self.silent(silence)),
        };
        match &result {
            // A statement that a constraint refuses leaves the transaction as it was.
            Ok(_) | Err(Fault::Store(StoreError::Constraint { .. })) => {}
            Err(fault) => {
                self.failure = Some(fault.clone());
                match fault {
                    Fault::Lost(_) => self.lease.lost(),
                    Fault::Store(StoreError::Deadline) => self.lease.kill(),
                    _ => {}
                }
            }
        }
        self.lease.busy = was_busy && self.lease.link().is_ok();
        match result {
            Err(Fault::Store(error)) => Err(Fault::Store(self.named(error, statement).await)),
            other => other,
        }
    }

    /// Adds to a unique constraint's name its table and columns, which the server does not say.
    async fn named(&mut self, error: StoreError, statement: &Statement) -> StoreError {
        let StoreError::Constraint { kind: ConstraintKind::Unique, table, name: Some(index), columns } = error else {
            return error;
        };
        let table = if table.is_empty() { written_table(&statement.text).unwrap_or_default() } else { table };
        // MySQL names the table too.
        let index = index.strip_prefix(&format!("{table}.")).map(str::to_owned).unwrap_or(index);
        let found = match self.lease.link() {
            Ok(link) => {
                let text = "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND \
                            TABLE_NAME = ? AND INDEX_NAME = ? ORDER BY SEQ_IN_INDEX";
                let found = link.conn.exec::<String, _, _>(text, (table.as_str(), index.as_str()));
                timeout_at(self.deadline.into(), found).await
            }
            Err(_) => {
                return StoreError::Constraint { kind: ConstraintKind::Unique, table, name: Some(index), columns };
            }
        };
        let columns = match found {
            Ok(Ok(columns)) => columns,
            // The error that we have is worth more than the names.
            Ok(Err(_)) => columns,
            Err(_) => {
                self.lease.kill();
                columns
            }
        };
        StoreError::Constraint { kind: ConstraintKind::Unique, table, name: Some(index), columns }
    }

    async fn mark(&mut self, text: &str) -> Result<(), StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let result = self.control(text, self.deadline).await;
        if let Err(fault) = &result {
            self.failure = Some(fault.clone());
        }
        result.map_err(StoreError::from)
    }
}

/// The table that a writing statement of the dialect's is about: its first name, or the one that is joined with what was found.
fn written_table(text: &str) -> Option<String> {
    let joined = text.split_once(" STRAIGHT_JOIN ").map_or(text, |(_, joined)| joined);
    let inside = joined.split_once('`')?.1;
    let end = inside.match_indices('`').find(|(at, _)| {
        let before = inside[..*at].chars().rev().take_while(|character| *character == '`').count();
        before % 2 == 0 && !inside[at + 1..].starts_with('`')
    })?;
    Some(inside[..end.0].replace("``", "`"))
}

/// Runs a statement on the connection, and once more when the server has forgotten that it was prepared.
async fn attempt(
    lease: &mut Lease,
    statement: &Statement,
    values: &[Bound<'_>],
    each: &mut (dyn FnMut(&dyn undergird_plan::RowRef) -> Flow + Send),
) -> Result<u64, Fault> {
    let values: Vec<mysql_async::Value> =
        values.iter().map(bound).collect::<Result<_, StoreError>>().map_err(Fault::Store)?;
    let mut again = true;
    loop {
        let link = lease.link()?;
        let prepared = link.prepare(&statement.text).await?;
        if usize::from(prepared.num_params()) != values.len() {
            return Err(Fault::Store(StoreError::Internal(format!(
                "a statement has {} parameters and {} values: {}",
                prepared.num_params(),
                values.len(),
                statement.text
            ))));
        }
        let params = if values.is_empty() { Params::Empty } else { Params::Positional(values.clone()) };
        let executed = link.conn.exec_iter(&prepared, params).await;
        // MariaDB may go on opening what a table's triggers wrote to when the statement was prepared, though they are gone: seen at the end
        // of moves, in one of three under load.
        let opens_what_is_gone =
            matches!(&executed, Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_TABLE);
        let mut result = match executed.map_err(Fault::from) {
            Ok(result) => result,
            Err(fault) if again && (opens_what_is_gone || fault == Fault::Stale) => {
                again = false;
                link.forget(&statement.text);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let mut wanted = true;
        let mut rest = 0;
        while let Some(row) = result.next().await? {
            if wanted {
                wanted = each(&Lent { row: &row, columns: &statement.columns }) == Flow::Continue;
            } else {
                rest += 1;
                if rest > REST_MAX {
                    drop(result);
                    lease.kill();
                    return Err(Fault::Store(StoreError::TooLarge));
                }
            }
        }
        let (affected, made) = (result.affected_rows(), result.last_insert_id());
        drop(result);
        if statement.identity {
            let made = made.and_then(|made| i64::try_from(made).ok());
            if let Some(made) = made {
                each(&Identity(made));
            }
        }
        return Ok(if statement.writes { affected } else { 0 });
    }
}

impl Connection for Session {
    fn query<'a>(
        &'a mut self,
        statement: &'a Statement,
        values: Vec<Bound<'a>>,
        each: &'a mut (dyn FnMut(&dyn undergird_plan::RowRef) -> Flow + Send),
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { self.run(statement, &values, each).await.map_err(StoreError::from) })
    }

    fn announce<'a>(&'a mut self, topic: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.announced.iter().any(|known| known == topic) {
                return Ok(());
            }
            let statement = notices::announcing();
            let value = undergird_model::Value::text(topic);
            let values = [Bound::Value(undergird_model::Type::TEXT, std::borrow::Cow::Owned(value))];
            self.run(&statement, &values, &mut |_| Flow::Continue).await?;
            self.announced.push(topic.to_owned());
            Ok(())
        })
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let text = format!("SAVEPOINT ug_{}", self.marks + 1);
            self.mark(&text).await?;
            self.marks += 1;
            Ok(())
        })
    }

    fn release(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mark = self.marks;
            if mark == 0 {
                return Err(StoreError::Internal("no savepoint to release".into()));
            }
            self.marks -= 1;
            if !keep {
                self.mark(&format!("ROLLBACK TO SAVEPOINT ug_{mark}")).await?;
            }
            self.mark(&format!("RELEASE SAVEPOINT ug_{mark}")).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::written_table;

    #[test]
    fn the_table_of_a_write() {
        for (text, expected) in [
            ("INSERT INTO `posts` (`a`) VALUES (?)", Some("posts")),
            ("UPDATE `po``sts` AS t SET x = 1", Some("po`sts")),
            (
                "UPDATE (SELECT a0.`id` AS c0 FROM `a` AS a0) AS a2 STRAIGHT_JOIN `posts` AS a1 ON a1.`id` = a2.c0",
                Some("posts"),
            ),
            ("SELECT 1", None),
        ] {
            assert_eq!(written_table(text).as_deref(), expected);
        }
    }
}
