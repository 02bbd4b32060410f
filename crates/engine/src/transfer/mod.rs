//! Copies all that one database holds into another, on whichever stores, while the first is in use, and proves the two equal.
//!
//! It works on whole tables below all plans and rules, Undergird's own tables and secrets included, and goes by the record of the schema
//! in the database, not by a definition: like a migration it is the business of whoever has the databases in his hands, and no surface
//! may have it (`cargo xtask tidy` holds that). While rows are copied the target has no references, so their order does not matter,
//! whatever circles there are; these come, and are checked by the target, when the rows are known to be equal.
//!
//! Absent: which databases (the composition root opens them), what is shown, and what becomes of the configuration.

mod follow;
mod rows;
mod schema;
mod tally;
mod words;

use follow::{Followed, catch_up, finish};
use rows::{Cursor, Meeting, Writes, order, read};
use schema::{in_order, is_on_the_way, is_under_way, marked, under_way};
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tally::{Tally, form};
use undergird_model::Value;
use undergird_store::changes::Follow;
use undergird_store::migration::{Direction, Done, Run, State};
use undergird_store::schema::{Applied, steps};
use undergird_store::{Store, StoreError};
use words::Words;

/// Most times that all tables are compared while the source is in use.
const ROUNDS_MAX: usize = 5;
/// So few changes in a round, and the next round would find about as many.
const FEW: u64 = 1_000;

/// What happens, for whoever shows it.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A table's turn, with about as many rows.
    Table {
        /// What is done: `copying`, `comparing`, or `proving` while nobody writes.
        doing: &'static str,
        /// Its name.
        name: &'a str,
        /// About how many rows it has.
        rows: u64,
    },
    /// So many rows more of it are done.
    Rows(u64),
    /// A table is done.
    Done {
        /// What was done.
        doing: &'static str,
        /// Its name.
        name: &'a str,
        /// Rows that were looked at.
        rows: u64,
        /// Rows that were written.
        written: u64,
    },
    /// An earlier attempt was interrupted, and this one goes on with it.
    Resumed,
    /// From now on what changed since it was compared is followed.
    Following,
    /// From now on nobody can write to the source.
    Held,
    /// The last changes are in the target, and both are equal.
    Proved,
    /// References are made.
    Completing,
}

/// Who is told.
pub type Watcher<'w> = &'w mut (dyn FnMut(News<'_>) + Send);

/// What was proved of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its name.
    pub table: String,
    /// How many rows both have.
    pub rows: u64,
    /// The sum of the SHA-256 of each row, modulo 2^256, alike on both.
    pub sha256: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of each table.
    pub proofs: Vec<Proof>,
    /// How long writes had been held when all was proved; `None` when the target was complete and equal before.
    pub held: Option<Duration>,
}

/// Copies, holds writes to the source, copies the rest, proves, and completes the target. The source stays as it is and goes on refusing
/// writes; after a failure it takes them again.
///
/// # Errors
/// A sentence. What was copied stays in the target, and the next call goes on with it.
pub async fn transfer(source: &Arc<dyn Store>, target: &Arc<dyn Store>, watch: Watcher<'_>) -> Result<Report, String> {
    let full = schema_of(source, "the source").await?;
    let full = full.ok_or("the source is empty: there is nothing to move")?;
    if is_under_way(&full) {
        return Err("the source is itself the target of a move that was not finished".into());
    }
    let migrations = migrations(source, &full).await?;
    let bare = under_way(&full);
    match schema_of(target, "the target").await? {
        // A schema without tables: somebody was about to make some.
        there if there.as_ref().is_none_or(|there| there.tables.is_empty()) => {
            // The mark first: what is left of a schema that takes several transactions has it.
            let mark = marked(Applied::empty());
            migrate(target, there.as_ref(), &mark).await?;
            migrate(target, Some(&mark), &bare).await?;
        }
        Some(there) if is_under_way(&there) => {
            if !is_on_the_way(&steps(Some(&there), &bare)) {
                return Err("the target holds a move of another schema that was interrupted: empty it first".into());
            }
            migrate(target, Some(&there), &bare).await?;
            watch(News::Resumed);
        }
        Some(there) if there.fingerprint() == full.fingerprint() => {
            let proofs = prove(source, target, &full, watch).await.map_err(|why| {
                format!("the target is not empty, and not equal to the source either, so nothing was done: {why}")
            })?;
            note(target, &migrations).await?;
            return Ok(Report { proofs, held: None });
        }
        _ => {
            return Err("the target is not empty: give it a database of its own, with nothing in it".into());
        }
    }
    for pair in &pairs(source, target, &full) {
        copy(pair, watch).await?;
    }
    // A name of its own, so that whoever begins another move of the same source meanwhile ends this one, rather than spoil it.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = format!("{:x}", now.as_micros());
    let begun = source.follow_changes(&full, Follow::Begin(&run)).await;
    let done = match begun {
        Ok(()) => follow_and_hold(source, target, (&full, &bare, &migrations), &run, watch).await,
        Err(error) => Err(format!("changes of the source cannot be followed: {error}")),
    };
    // What is left of the log does no harm to the data, and the next move, or its end, removes it.
    let ended = source.follow_changes(&full, Follow::End(&run)).await;
    let (proofs, held) = done?;
    if let Err(error) = ended {
        tracing::warn!(%error, "the log of changes is left in the source");
    }
    Ok(Report { proofs, held: Some(held) })
}

/// Compares all while the source is in use, and what changed since; then holds writes for the last changes, proves, and completes.
async fn follow_and_hold(
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    (full, bare, migrations): (&Applied, &Applied, &[Run]),
    run: &str,
    watch: Watcher<'_>,
) -> Result<(Vec<Proof>, Duration), String> {
    let references = source.follows_references();
    let mut all = Followed::all(pairs(source, target, full), source, full, run);
    for _ in 0..ROUNDS_MAX {
        let mut written = 0;
        for followed in &mut all {
            written += followed.compare("comparing", Some(Meeting::Passed), watch).await?.written;
        }
        if written <= FEW {
            break;
        }
    }
    watch(News::Following);
    catch_up(&mut all, full, references, watch).await?;
    let began = Instant::now();
    let done = match source.hold_writes(full, true).await {
        Ok(()) => {
            watch(News::Held);
            match last(source, target, (full, bare), &mut all, watch).await {
                Ok(()) => note(target, migrations).await,
                Err(why) => Err(why),
            }
        }
        // Some tables may be held already.
        Err(error) => Err(format!("writes to the source cannot be held: {error}")),
    };
    let held = began.elapsed();
    match done {
        Ok(()) => Ok((all.into_iter().map(Followed::proof).collect(), held)),
        Err(why) => match source.hold_writes(full, false).await {
            Ok(()) => Err(format!("{why}; the source takes writes again")),
            Err(error) => Err(format!("{why}; and the source cannot be told to take writes again: {error}")),
        },
    }
}

/// Lets a database whose writes were held be written again.
///
/// # Errors
/// A sentence.
pub async fn release(source: &Arc<dyn Store>) -> Result<(), String> {
    let full = schema_of(source, "the database").await?.ok_or("the database is empty")?;
    source.hold_writes(&full, false).await.map_err(|error| error.to_string())?;
    source.follow_changes(&full, Follow::EndAll).await.map_err(|error| error.to_string())
}

/// The committed migrations that the source was given, to be noted in the target.
async fn migrations(source: &Arc<dyn Store>, full: &Applied) -> Result<Vec<Run>, String> {
    let wrong = |error: StoreError| format!("the source's migrations cannot be read: {error}");
    let mut runs = Vec::new();
    for Done { number, name, hash, state, compatible } in source.migrations().await.map_err(wrong)? {
        if state != State::Applied {
            return Err(format!("migration {number:04}_{name} was interrupted: `undergird migrate apply` ends it"));
        }
        let (after, from) = (number.saturating_sub(1), full.fingerprint());
        runs.push(Run { number, name, hash, direction: Direction::Note, after, from, compatible, parts: Vec::new() });
    }
    Ok(runs)
}

/// Notes in the target what the source was given: what these migrations did, its schema has.
async fn note(target: &Arc<dyn Store>, migrations: &[Run]) -> Result<(), String> {
    for run in migrations {
        let noted = target.apply(run).await;
        noted.map_err(|error| format!("migration {:04} cannot be noted in the target: {error}", run.number))?;
    }
    Ok(())
}

/// What is left to do while nobody writes.
async fn last(
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    (full, bare): (&Applied, &Applied),
    all: &mut [Followed<'_>],
    watch: Watcher<'_>,
) -> Result<(), String> {
    let now = schema_of(source, "the source").await?;
    if now.is_none_or(|now| now.fingerprint() != full.fingerprint()) {
        return Err("the source's schema was changed meanwhile: empty the target and begin again".into());
    }
    finish(all, full, source.follows_references(), watch).await?;
    watch(News::Proved);
    watch(News::Completing);
    // The mark last, for the same reason.
    let complete = marked(full.clone());
    migrate(target, Some(bare), &complete).await?;
    migrate(target, Some(&complete), full).await
}

/// Compares all tables as wholes; a difference is an error.
async fn prove(
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    full: &Applied,
    watch: Watcher<'_>,
) -> Result<Vec<Proof>, String> {
    let mut proofs = Vec::new();
    for pair in &pairs(source, target, full) {
        let found = compare(pair, "proving", None, watch).await?;
        let table = pair.source_words.name.clone();
        if found.written > 0 {
            return Err(format!("{} of its rows in {table} are others", found.written));
        }
        proofs.push(Proof { table, rows: found.tally.rows, sha256: found.tally.sum.text() });
    }
    Ok(proofs)
}

/// A table in both.
struct Pair<'a> {
    source: &'a Arc<dyn Store>,
    target: &'a Arc<dyn Store>,
    source_words: Words,
    target_words: Words,
}

fn pairs<'a>(source: &'a Arc<dyn Store>, target: &'a Arc<dyn Store>, full: &Applied) -> Vec<Pair<'a>> {
    let pair = |table| Pair {
        source,
        target,
        source_words: Words::new(source.dialect(), table),
        target_words: Words::new(target.dialect(), table),
    };
    in_order(full).into_iter().map(pair).collect()
}

/// Copies the rows whose keys are beyond all that the target has: all of them the first time, the rest after an interruption.
async fn copy(pair: &Pair<'_>, watch: Watcher<'_>) -> Result<(), String> {
    const DOING: &str = "copying";
    let Pair { source, target, source_words: words, target_words } = pair;
    let wrong = |error: StoreError| format!("copying {}: {error}", words.name);
    let (counted, _) = read(source, &words.count, Vec::new()).await.map_err(wrong)?;
    let about = match counted.first().and_then(|row| row.first()) {
        Some(Value::Int(rows)) => u64::try_from(*rows).unwrap_or(0),
        _ => 0,
    };
    watch(News::Table { doing: DOING, name: &words.name, rows: about });
    let (there, _) = read(target, &target_words.last, Vec::new()).await.map_err(wrong)?;
    let mut from = Cursor::new(source, words, there.into_iter().next());
    let mut writes = Writes::new(target, target_words, Meeting::Passed);
    let mut written = 0;
    while from.peek().await.map_err(wrong)?.is_some() {
        let Some(row) = from.take() else { break };
        writes.make(row).await.map_err(wrong)?;
        written += 1;
        watch(News::Rows(1));
    }
    writes.flush().await.map_err(wrong)?;
    watch(News::Done { doing: DOING, name: &words.name, rows: written, written });
    Ok(())
}

/// What comparing a table found.
struct Found {
    /// Rows that were made, changed or removed in the target, or would have to be.
    written: u64,
    tally: Tally,
}

/// Compares a table row by row in the order of its keys, and mends the target where it differs.
async fn compare(
    pair: &Pair<'_>,
    doing: &'static str,
    mend: Option<Meeting>,
    watch: Watcher<'_>,
) -> Result<Found, String> {
    let Pair { source, target, source_words: words, target_words } = pair;
    let wrong = |error: StoreError| format!("{doing} {}: {error}", words.name);
    watch(News::Table { doing, name: &words.name, rows: 0 });
    let (mut rows, mut found) = (0, Found { written: 0, tally: Tally::default() });
    let (mut ours, mut theirs) = (Cursor::new(source, words, None), Cursor::new(target, target_words, None));
    let mut writes = Writes::new(target, target_words, mend.unwrap_or(Meeting::Passed));
    loop {
        // Both pages at once: each store works while the other does.
        let (left, right) = tokio::join!(ours.peek(), theirs.peek());
        let (left, right) = (left.map_err(wrong)?, right.map_err(wrong)?);
        let which = match (left, right) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => order(&words.key_of(left), &words.key_of(right)),
        };
        let left = if which.is_le() { ours.take() } else { None };
        let right = if which.is_ge() { theirs.take() } else { None };
        rows += u64::from(left.is_some());
        watch(News::Rows(1));
        let (ours, theirs) = (left.as_deref().map(form), right.as_deref().map(form));
        if let Some(ours) = ours.as_ref().filter(|_| ours == theirs) {
            found.tally.add(ours);
            continue;
        }
        found.written += 1;
        if let Some(row) = left.as_ref().or(right.as_ref()) {
            let key = words.key_of(row);
            found.tally.pending.insert(form(&key), key);
        }
        if mend.is_none() {
            continue;
        }
        match (left, right) {
            (Some(row), None) => writes.make(row).await,
            (Some(row), Some(old)) => writes.replace(words.key_of(&old), row).await,
            (None, Some(old)) => writes.remove(words.key_of(&old)).await,
            (None, None) => Ok(()),
        }
        .map_err(wrong)?;
    }
    writes.flush().await.map_err(wrong)?;
    watch(News::Done { doing, name: &words.name, rows, written: found.written });
    Ok(found)
}

async fn schema_of(store: &Arc<dyn Store>, which: &str) -> Result<Option<Applied>, String> {
    store.schema().await.map_err(|error| format!("the schema of {which} cannot be read: {error}"))
}

async fn migrate(target: &Arc<dyn Store>, from: Option<&Applied>, to: &Applied) -> Result<(), String> {
    let steps = steps(from, to);
    if from.is_some() && steps.is_empty() {
        return Ok(());
    }
    let made = target.migrate_alone(&steps, to).await;
    made.map_err(|error| format!("the target does not take the schema: {error}"))
}
