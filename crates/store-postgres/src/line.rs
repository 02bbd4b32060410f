//! One connection: what is prepared on it, what is under way on it, and how requests go over it.
//!
//! The bytes move in the task that asks ([`Wired::drive`]), not in one of the connection's own: no hand-over and no second wake-up per
//! statement. Nobody polls an idle connection, so it is looked at when it is taken from the pool.
//!
//! Deliberately absent: transactions, deadlines and pools; whoever holds a line knows about them.

use crate::error::Fault;
use crate::settings::{Target, Wire};
use crate::values::{Param, Scratch, parameter_type};
use crate::wall::Told;
use futures_util::future::{join, join3, join4, maybe_done};
use futures_util::{FutureExt, StreamExt};
use rustc_hash::FxHashMap;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio_postgres::{CancelToken, Client, RowStream, SimpleQueryStream, Statement as Kept};
use undergird_plan::RowRef;
use undergird_store::{Bound, Flow, Statement, StoreError};

/// Most statements kept prepared on one connection; a server keeps each in its own memory.
const STATEMENTS_MAX: usize = 512;
/// Rows that are read to their end after nobody wants more; past these, the statement is left to be cancelled.
const DRAINED_MAX: usize = 1_000;

/// Each connection begins with this. Whoever writes must say so: a statement whose `BEGIN` was lost on the way cannot write by itself.
/// The session's time zone decides what a timestamp is as a text, and plans of a millisecond are not worth compiling.
const SETTINGS: &str = "SET TimeZone = 'UTC'; SET standard_conforming_strings = on; SET default_transaction_read_only = on; SET jit = off; \
     SET idle_in_transaction_session_timeout = '60s'; SET client_connection_check_interval = '10s'; SET statement_timeout = ";
/// What a connection needs whose statements write by themselves, each its own transaction: see [`Line::lone`].
const LONE: &str = "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'";
/// The way back from there.
const NOT_LONE: &str = "SET default_transaction_read_only = on";
/// The lock of late transactions, by the octets of `undr` and `turn`; see [`Line::take_turn`].
const TAKE_TURN: &str =
    "BEGIN; SET LOCAL lock_timeout = '250ms'; SELECT pg_advisory_lock(1970168946, 1953854062); COMMIT";
const GIVE_TURN_BACK: &str = "SELECT pg_advisory_unlock_all()";
/// Behind a transaction pooler, only what it carries from one server connection to another.
const SETTINGS_OF_POOLED: &str = "SET TimeZone = 'UTC'; SET standard_conforming_strings = on";

/// The answer to what was sent ahead of a statement: the end of a snapshot, a replica's guard.
type Ending = Pin<Box<SimpleQueryStream>>;

/// See the module.
pub(crate) struct Line {
    client: Client,
    wired: Wired,
    statements: FxHashMap<Box<str>, Kept>,
    /// Whether statements go unnamed, because the next one may meet another server connection.
    unnamed: bool,
    /// The end of a snapshot, of which nobody has heard yet.
    ending: Option<Ending>,
    /// A guard, of which nobody has heard yet; behind the end of the snapshot.
    guard: Option<Ending>,
    /// Whether an answer is still to come.
    pub(crate) busy: bool,
    /// Whether a transaction is open.
    pub(crate) open: bool,
    /// Whether that transaction is being committed, so that it must not be cancelled.
    pub(crate) committing: bool,
    /// Whether it is of no further use.
    pub(crate) broken: bool,
    /// Whether a statement may write by itself on it, without `BEGIN` and `COMMIT`. Such a line is used for nothing else, because a
    /// transaction whose `BEGIN` was lost would write piece by piece.
    pub(crate) lone: bool,
    /// Whether its session holds the [turn](Line::take_turn) of all nodes.
    pub(crate) has_turn: bool,
    /// When its statements were prepared, by the pool's count of changes.
    pub(crate) epoch: u64,
    /// Since when there is this connection.
    pub(crate) born: Instant,
}

/// The driver's side of a connection. `None` when it has ended.
struct Wired(Option<Box<Wire>>);

impl Wired {
    /// Moves bytes until there are none to move.
    fn poll(&mut self, cx: &mut Context<'_>) {
        while let Some(wire) = &mut self.0 {
            match wire.poll_message(cx) {
                Poll::Pending => return,
                // A notice; ours are all of no consequence.
                Poll::Ready(Some(Ok(_))) => {}
                // Whoever waits for an answer hears it from the channel that closes here.
                Poll::Ready(Some(Err(_)) | None) => self.0 = None,
            }
        }
    }

    /// Moves bytes until the work is done, which may wait for nothing but this connection.
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            // Only the connection wakes the work, and that is polled right here.
            let mut quiet = Context::from_waker(Waker::noop());
            if let Poll::Ready(done) = work.as_mut().poll(&mut quiet) {
                return Poll::Ready(done);
            }
            self.poll(cx);
            work.as_mut().poll(&mut quiet)
        })
        .await
    }
}

/// What goes before a statement, in the same packet.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    /// Statements without parameters.
    pub(crate) text: &'a str,
    /// Whether nothing may be sent until they are answered.
    pub(crate) wait: bool,
    /// What is told behind those.
    pub(crate) facts: Option<&'a Told>,
}

/// What a statement came to.
pub(crate) struct Answer {
    /// Rows that it changed or gave.
    pub(crate) rows: u64,
    /// Whether it is over; if not, more rows come, of which nobody will hear.
    pub(crate) over: bool,
}

impl Line {
    /// Makes a connection and sets it up.
    pub(crate) async fn open(target: &Target, unnamed: bool, longest: Duration) -> Result<Line, StoreError> {
        let (client, wire) = target.connect().await?;
        let mut line = Line {
            client,
            wired: Wired(Some(Box::new(wire))),
            statements: FxHashMap::default(),
            unnamed,
            ending: None,
            guard: None,
            busy: false,
            open: false,
            committing: false,
            broken: false,
            lone: false,
            has_turn: false,
            epoch: 0,
            born: Instant::now(),
        };
        let settings =
            if unnamed { SETTINGS_OF_POOLED.to_owned() } else { format!("{SETTINGS}{}", longest.as_millis()) };
        line.execute(&settings).await?;
        Ok(line)
    }

    /// Whether it is still there, and at rest. Costs no round trip: what the server has said meanwhile is read.
    pub(crate) fn is_sound(&mut self) -> bool {
        let mut quiet = Context::from_waker(Waker::noop());
        self.wired.poll(&mut quiet);
        // While it is still under way, the next statement goes behind it.
        if let Some(Err(_)) = finish(&mut self.ending).now_or_never() {
            self.broken = true;
        }
        self.wired.0.is_some() && !self.broken && !self.busy && !self.open && !self.has_turn
    }

    /// Nothing is under way on it any more.
    pub(crate) fn at_rest(&mut self) {
        (self.busy, self.open, self.committing) = (false, false, false);
    }

    /// Whether a statement is prepared on it.
    pub(crate) fn is_prepared(&self, statement: &Statement) -> bool {
        !self.unnamed && self.statements.contains_key(statement.text.as_str())
    }

    /// Whether its statements go unnamed.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.unnamed
    }

    /// What cancels the statement that is under way.
    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Forgets what is prepared.
    pub(crate) fn forget(&mut self) {
        self.statements.clear();
    }

    /// Runs statements without parameters or rows.
    pub(crate) async fn execute(&mut self, text: &str) -> Result<(), Fault> {
        let Line { client, wired, ending, .. } = self;
        let done = wired.drive(async {
            finish(ending).await?;
            client.batch_execute(text).await.map_err(Fault::from)
        });
        done.await
    }

    /// Waits until no other session of the database has the turn, in order of asking; a while, and then without. It is the session's and
    /// not the transaction's: a lock that is taken in a serializable transaction comes after the snapshot, which is too old then.
    pub(crate) async fn take_turn(&mut self) -> Result<(), Fault> {
        // Before the server knows: should nobody hear its answer, the turn is given back all the same.
        self.has_turn = true;
        match self.execute(TAKE_TURN).await {
            // Waited for in vain.
            Err(Fault::Conflict) => {
                self.has_turn = false;
                self.execute("ROLLBACK").await
            }
            told => told,
        }
    }

    /// Lets the next session have its turn.
    pub(crate) async fn give_turn_back(&mut self) -> Result<(), Fault> {
        self.execute(GIVE_TURN_BACK).await?;
        self.has_turn = false;
        Ok(())
    }

    /// Makes it a line whose statements write by themselves.
    pub(crate) async fn make_lone(&mut self) -> Result<(), Fault> {
        // Before the server knows: should nobody hear its answer, it counts as what it may have become.
        self.lone = true;
        self.execute(LONE).await
    }

    /// Makes it a line for all else again.
    pub(crate) async fn make_common(&mut self) -> Result<(), Fault> {
        self.execute(NOT_LONE).await?;
        self.lone = false;
        Ok(())
    }

    /// Prepares a statement that is not.
    pub(crate) async fn prepare(&mut self, statement: &Statement, values: &[Bound<'_>]) -> Result<(), Fault> {
        if self.unnamed || self.is_prepared(statement) {
            return Ok(());
        }
        let Line { client, wired, ending, .. } = self;
        let types: Vec<_> = values.iter().map(parameter_type).collect();
        let kept = wired
            .drive(async {
                finish(ending).await?;
                client.prepare_typed(&statement.text, &types).await.map_err(Fault::from)
            })
            .await?;
        self.keep(statement, kept);
        Ok(())
    }

    /// Sends a statement that fails where this server may not answer ([`crate::replicas`]). The next statement goes right behind it, and
    /// counts for nothing if it failed. The guard comes first, so that no snapshot is older than what it vouches for.
    pub(crate) fn send_guard(&mut self, text: &str) {
        match self.client.simple_query_raw(text).now_or_never() {
            Some(Ok(guard)) => (self.guard, self.busy) = (Some(Box::pin(guard)), true),
            Some(Err(_)) | None => self.broken = true,
        }
    }

    /// Waits until all that is under way is over.
    pub(crate) async fn settle(&mut self) -> Result<(), Fault> {
        self.guard = None;
        let Line { client, wired, ending, .. } = self;
        wired
            .drive(async {
                finish(ending).await?;
                client.check_connection().await.map_err(Fault::from)
            })
            .await
    }

    /// Ends a snapshot without waiting: it has nothing to keep, and the next statement goes behind it.
    pub(crate) fn end_snapshot(&mut self) {
        match self.client.simple_query_raw("COMMIT").now_or_never() {
            Some(Ok(ending)) => {
                self.ending = Some(Box::pin(ending));
                self.open = false;
                let mut quiet = Context::from_waker(Waker::noop());
                self.wired.poll(&mut quiet);
            }
            _ => self.broken = true,
        }
    }

    /// The rows of a statement without parameters, as texts.
    pub(crate) async fn texts(&mut self, text: &str) -> Result<Vec<String>, Fault> {
        let Line { client, wired, ending, .. } = self;
        let messages = wired
            .drive(async {
                finish(ending).await?;
                client.simple_query(text).await.map_err(Fault::from)
            })
            .await?;
        let row = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Runs a statement and lends its rows, behind what goes before it.
    pub(crate) async fn query(
        &mut self,
        before: Before<'_>,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<Answer, Fault> {
        if before.text.is_empty() && before.facts.is_none() && self.ending.is_none() && self.guard.is_none() {
            let kept = self.statements.get(statement.text.as_str()).cloned();
            let unknown = kept.is_none();
            let Line { client, wired, unnamed, .. } = self;
            let (kept, answer) = wired.drive(run(client, *unnamed, kept, statement, values, each)).await?;
            if let Some(kept) = kept.filter(|_| unknown) {
                self.keep(statement, kept);
            }
            return Ok(answer);
        }
        // Apart, so that a read's future has no room for what only a transaction needs: futures are copied where they are made.
        Box::pin(self.query_behind(before, statement, values, each)).await
    }

    /// A query behind something else.
    async fn query_behind(
        &mut self,
        before: Before<'_>,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<Answer, Fault> {
        let kept = self.statements.get(statement.text.as_str()).cloned();
        let unknown = kept.is_none();
        let Before { text: before, wait, facts } = before;
        let told = facts.map(|told| (told.statement(), told.values()));
        let kept_facts = facts.and_then(|told| self.statements.get(told.statement().text.as_str()).cloned());
        let unknown_facts = kept_facts.is_none();
        // Facts that must be prepared first would come behind the statement that needs them.
        let wait = wait || (facts.is_some() && unknown_facts && !self.unnamed);
        let Line { client, wired, ending, guard, unnamed, .. } = self;
        let (client, unnamed, guard) = (&*client, *unnamed, guard.take());
        let first = async { if before.is_empty() { Ok(()) } else { client.batch_execute(before).await } };
        let facts = async {
            match &told {
                Some((statement, values)) => {
                    run(client, unnamed, kept_facts, statement, values, &mut |_| Flow::Continue)
                        .await
                        .map(|(kept, _)| kept)
                }
                None => Ok(None),
            }
        };
        let main = run(client, unnamed, kept, statement, values, each);
        let (ended, (first, facts, main)) = wired
            .drive(join(passed(ending, guard), async {
                if !wait {
                    // Each is sent when it is first polled, so they go in this order.
                    return join3(first, facts, main).await;
                }
                if let Err(error) = first.await {
                    return (Err(error), Err(Fault::Conflict), Err(Fault::Conflict));
                }
                match facts.await {
                    Ok(kept) => (Ok(()), Ok(kept), main.await),
                    Err(fault) => (Ok(()), Err(fault), Err(Fault::Conflict)),
                }
            }))
            .await;
        ended?;
        if let Err(error) = first {
            return Err(begun(before, error));
        }
        // What the statement came to without them counts for nothing.
        if let (Some(kept), Some((statement, _)), true) = (facts?, &told, unknown_facts) {
            self.keep(statement, kept);
        }
        let (kept, answer) = main?;
        if let Some(kept) = kept.filter(|_| unknown) {
            self.keep(statement, kept);
        }
        Ok(answer)
    }

    /// Runs a [prepared](Line::is_prepared) statement with the values of each row, all of them in one packet. After the first that fails
    /// the server does no other: the transaction is aborted.
    ///
    /// # Errors
    /// Which row failed, and how.
    pub(crate) async fn query_each(
        &mut self,
        statement: &Statement,
        rows: &[Vec<Bound<'_>>],
        each: &mut (dyn FnMut(usize, &dyn RowRef) + Send),
    ) -> Result<(), (usize, Fault)> {
        let lost = || (0, Fault::Stale);
        let kept = self.statements.get(statement.text.as_str()).cloned().ok_or_else(lost)?;
        let Line { client, wired, ending, .. } = self;
        let (client, kept) = (&*client, &kept);
        let work = async move {
            finish(ending).await.map_err(|fault| (0, fault))?;
            let mut sent: Vec<_> = rows
                .iter()
                .map(|values| Box::pin(maybe_done(client.query_raw(kept, values.iter().map(Param)))))
                .collect();
            // Each is sent when it is first polled.
            std::future::poll_fn(|context| {
                for one in &mut sent {
                    let _ = one.as_mut().poll(context);
                }
                Poll::Ready(())
            })
            .await;
            let mut failed = None;
            for (at, mut one) in sent.into_iter().enumerate() {
                one.as_mut().await;
                let heard = &mut |row: &dyn RowRef| {
                    each(at, row);
                    Flow::Continue
                };
                let told = match one.as_mut().take_output() {
                    Some(Ok(stream)) => lend(stream, statement, heard).await.map(|_| ()),
                    Some(Err(error)) => Err(error.into()),
                    None => Err(Fault::Lost("an answer was lost".into())),
                };
                // All are heard to their end, but what comes after a failure only tells of it.
                if let (Err(fault), None) = (told, &failed) {
                    failed = Some((at, fault));
                }
            }
            failed.map_or(Ok(()), Err)
        };
        wired.drive(work).await
    }

    fn keep(&mut self, statement: &Statement, kept: Kept) {
        if self.statements.len() >= STATEMENTS_MAX
            && let Some(any) = self.statements.keys().next().cloned()
        {
            self.statements.remove(&any);
        }
        self.statements.insert(statement.text.as_str().into(), kept);
    }

    /// Runs a [prepared](Line::is_prepared) statement between what stands `before` it and `COMMIT`, all in one packet. What the statement
    /// came to, and what the commit did: after a failed statement the latter rolled back and says so to nobody.
    ///
    /// # Errors
    /// That the server took no transaction, so that nothing was done.
    pub(crate) async fn query_and_commit(
        &mut self,
        before: &str,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<(Result<Answer, Fault>, Result<(), Fault>), Fault> {
        let kept = self.statements.get(statement.text.as_str()).cloned();
        let Line { client, wired, ending, unnamed, .. } = self;
        let (client, unnamed) = (&*client, *unnamed);
        // Each is sent when it is first polled, so they go in this order.
        let all = join4(
            finish(ending),
            async { if before.is_empty() { Ok(()) } else { client.batch_execute(before).await } },
            run(client, unnamed, kept, statement, values, each),
            client.batch_execute("COMMIT"),
        );
        let (ended, first, main, commit) = wired.drive(all).await;
        let main = match (ended, first) {
            (Err(fault), _) => Err(fault),
            (Ok(()), Err(error)) if error.as_db_error().is_some() => return Err(begun(before, error)),
            (Ok(()), Err(error)) => Err(error.into()),
            (Ok(()), Ok(())) => main.map(|(_, answer)| answer),
        };
        Ok((main, commit.map_err(Fault::from)))
    }

    /// Its two sides, for whoever moves its bytes otherwise. `None` when it has ended.
    pub(crate) fn into_parts(self) -> Option<(Client, Wire)> {
        self.wired.0.map(|wire| (self.client, *wire))
    }

    /// Says good-bye, so that the server need not wonder.
    pub(crate) async fn close(self) {
        let Line { client, wired, statements, ending, guard, .. } = self;
        drop((client, statements, ending, guard));
        if let Some(wire) = wired.0 {
            // It ends by itself when the client is gone; a server that does not listen is not waited for.
            let _ = tokio::time::timeout(Duration::from_secs(1), wire).await;
        }
    }
}

/// Why what stood before a statement failed.
fn begun(before: &str, error: tokio_postgres::Error) -> Fault {
    match Fault::from(error) {
        // A server that takes no BEGIN as we mean it (a standby, since a moment ago) is the wrong one; nothing of ours is lost.
        Fault::Store(_) if before.starts_with("BEGIN") => Fault::Lost("the server takes no transactions".into()),
        fault => fault,
    }
}

/// What was sent ahead of a statement: the end of a snapshot, and then a guard.
async fn passed(ending: &mut Option<Ending>, guard: Option<Ending>) -> Result<(), Fault> {
    finish(ending).await?;
    let Some(mut guard) = guard else { return Ok(()) };
    while let Some(message) = guard.next().await {
        match message.map_err(Fault::from) {
            Ok(_) => {}
            Err(Fault::Store(_)) => return Err(Fault::Behind),
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// The end of a snapshot, if one is under way.
async fn finish(ending: &mut Option<Ending>) -> Result<(), Fault> {
    if let Some(stream) = ending {
        while let Some(message) = stream.next().await {
            message.map_err(|error| Fault::Lost(crate::error::explain(&error)))?;
        }
    }
    *ending = None;
    Ok(())
}

async fn run(
    client: &Client,
    unnamed: bool,
    kept: Option<Kept>,
    statement: &Statement,
    values: &[Bound<'_>],
    each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
) -> Result<(Option<Kept>, Answer), Fault> {
    if unnamed {
        let typed: Vec<_> = values.iter().map(|value| (Param(value), parameter_type(value))).collect();
        let rows = Box::pin(client.query_typed_raw(&statement.text, typed)).await?;
        return Ok((None, lend(rows, statement, each).await?));
    }
    let kept = match kept {
        Some(kept) => kept,
        None => {
            let types: Vec<_> = values.iter().map(parameter_type).collect();
            Box::pin(client.prepare_typed(&statement.text, &types)).await?
        }
    };
    let rows = client.query_raw(&kept, values.iter().map(Param)).await?;
    Ok((Some(kept), lend(rows, statement, each).await?))
}

/// Lends a statement's rows.
pub(crate) async fn lend(
    rows: RowStream,
    statement: &Statement,
    each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
) -> Result<Answer, Fault> {
    let mut rows = pin!(rows);
    let mut scratch = Scratch::default();
    let mut flow = Flow::Continue;
    let mut unwanted = 0;
    while let Some(row) = rows.next().await {
        let row = row?;
        if flow == Flow::Continue {
            flow = each(&scratch.lend(&row, &statement.columns));
        } else {
            unwanted += 1;
            if unwanted > DRAINED_MAX {
                return Ok(Answer { rows: 0, over: false });
            }
        }
    }
    Ok(Answer { rows: rows.rows_affected().unwrap_or(0), over: true })
}
