//! The last changes: what the source noted of changed rows since they were compared is looked at again in both databases, and mended in
//! the target, until nothing is left. Whatever is not in the log is as it was when it was compared.
//!
//! Absent: the first comparison of whole tables.

use super::rows::{Meeting, Row, Writes, read, read_keys};
use super::tally::{Tally, form};
use super::words::{PAGE_ROWS, Words};
use super::{Found, News, Pair, Proof, Watcher, compare};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::Value;
use undergird_store::changes::log_table;
use undergird_store::schema::{Applied, OnDelete};
use undergird_store::{Store, StoreError};

/// Most times that the log is read while the source is written.
const ROUNDS_MAX: usize = 30;
/// Most pages of a table's log in a round, so that one that is written without a pause does not keep the others waiting.
const PAGES_MAX: usize = 100;
/// So few changes in a round, and the next round would find about as many.
const FEW: u64 = 64;
/// How often changed rows are looked at while nobody writes: the first time mends, the second proves.
const PROOFS_MAX: usize = 4;
/// How long to try to empty the log while another process writes without a pause.
const PATIENCE: Duration = Duration::from_secs(60);

/// A table in both, its log, and what is known of it.
pub(super) struct Followed<'a> {
    pub(super) pair: Pair<'a>,
    pub(super) tally: Tally,
    log: Words,
}

impl<'a> Followed<'a> {
    /// Of all pairs, in their order.
    pub(super) fn all(pairs: Vec<Pair<'a>>, source: &Arc<dyn Store>, full: &Applied, run: &str) -> Vec<Followed<'a>> {
        let log = |pair: Pair<'a>| {
            let at = full.tables.iter().position(|table| table.name == pair.source_words.name)?;
            let log = Words::new(source.dialect(), &log_table(run, at, full.tables.get(at)?));
            Some(Followed { pair, tally: Tally::default(), log })
        };
        pairs.into_iter().filter_map(log).collect()
    }

    /// Compares the table as a whole.
    pub(super) async fn compare(
        &mut self,
        doing: &'static str,
        mend: Option<Meeting>,
        watch: Watcher<'_>,
    ) -> Result<Found, String> {
        let found = compare(&self.pair, doing, mend, watch).await?;
        self.tally = found.tally.clone();
        Ok(found)
    }

    /// What was proved of it.
    pub(super) fn proof(self) -> Proof {
        Proof { table: self.pair.source_words.name, rows: self.tally.rows, sha256: self.tally.sum.text() }
    }

    fn wrong(&self, error: &StoreError) -> String {
        match error {
            // Only another move removes the log of this one.
            StoreError::SchemaMismatch(why) => {
                format!(
                    "the log of changes of {} is gone; is another move under way? ({why})",
                    self.pair.source_words.name
                )
            }
            error => format!("following {}: {error}", self.pair.source_words.name),
        }
    }

    /// Reads what was noted: the keys by their form, whether rows went, and the numbers of the notes.
    async fn noted(&self, after: Option<Row>) -> Result<Noted, String> {
        let (statement, values) = match after {
            Some(seq) => (&self.log.after, seq),
            None => (&self.log.first, Row::new()),
        };
        let (rows, cut) = read(self.pair.source, statement, values).await.map_err(|error| self.wrong(&error))?;
        let mut noted = Noted { ended: !cut && rows.len() < PAGE_ROWS, ..Noted::default() };
        for mut row in rows {
            let key = row.split_off(2.min(row.len()));
            noted.gone |= row.get(1) == Some(&Value::Int(1));
            row.truncate(1);
            noted.numbers.push(row);
            noted.keys.insert(form(&key), key);
        }
        Ok(noted)
    }

    /// Takes notes out of the log. What was noted of the same rows since stays.
    async fn forget(&self, numbers: Vec<Row>) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut writes = Writes::new(self.pair.source, &self.log, Meeting::Impossible);
            let mut done = Ok(());
            for number in &numbers {
                done = writes.remove(number.clone()).await;
                if done.is_err() {
                    break;
                }
            }
            if done.is_ok() {
                done = writes.flush().await;
            }
            match done {
                Ok(()) => return Ok(()),
                Err(StoreError::Unavailable(_) | StoreError::Conflict) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(self.wrong(&error)),
            }
        }
    }

    /// Looks at some rows again, and mends the target.
    async fn settle(&mut self, keys: HashMap<Vec<u8>, Row>, meeting: Meeting) -> Result<(), String> {
        let Pair { source, target, source_words, target_words } = &self.pair;
        let (forms, keys): (Vec<Vec<u8>>, Vec<Row>) = keys.into_iter().unzip();
        let wrong = |error: StoreError| format!("following {}: {error}", source_words.name);
        let mut writes = Writes::new(target, target_words, meeting);
        for (forms, keys) in forms.chunks(PAGE_ROWS).zip(keys.chunks(PAGE_ROWS)) {
            let these = Arc::new(keys.to_vec());
            let (ours, theirs) =
                tokio::join!(read_keys(source, source_words, &these), read_keys(target, target_words, &these));
            let both = ours.map_err(wrong)?.into_iter().zip(theirs.map_err(wrong)?);
            for ((key_form, key), (ours, theirs)) in forms.iter().zip(keys).zip(both) {
                let (left, right) = (ours.as_deref().map(form), theirs.as_deref().map(form));
                let was_pending = self.tally.pending.remove(key_form).is_some();
                if let Some(right) = right.as_ref().filter(|_| !was_pending) {
                    self.tally.subtract(right);
                }
                if left == right {
                    if let Some(left) = &left {
                        self.tally.add(left);
                    }
                    continue;
                }
                self.tally.pending.insert(key_form.clone(), key.clone());
                match (ours, theirs) {
                    (Some(row), Some(_)) => writes.replace(key.clone(), row).await,
                    (Some(row), None) => writes.make(row).await,
                    (None, _) => writes.remove(key.clone()).await,
                }
                .map_err(wrong)?;
            }
        }
        writes.flush().await.map_err(wrong)
    }
}

/// What a log says.
#[derive(Default)]
struct Noted {
    keys: HashMap<Vec<u8>, Row>,
    gone: bool,
    numbers: Vec<Row>,
    ended: bool,
}

/// Reads the logs again and again while the source is written, until little is left in them.
pub(super) async fn catch_up(
    all: &mut [Followed<'_>],
    full: &Applied,
    follows_references: bool,
    watch: Watcher<'_>,
) -> Result<(), String> {
    for _ in 0..ROUNDS_MAX {
        let (mut changes, mut gone) = (0, BTreeSet::new());
        for followed in all.iter_mut() {
            let mut here = 0;
            for _ in 0..PAGES_MAX {
                let noted = followed.noted(None).await?;
                let count = noted.numbers.len() as u64;
                // What was not the same when it was compared has another look too.
                let keys: HashMap<_, _> = followed.tally.pending.clone().into_iter().chain(noted.keys).collect();
                followed.settle(keys, Meeting::Passed).await?;
                followed.forget(noted.numbers).await?;
                if noted.gone {
                    gone.insert(followed.pair.source_words.name.clone());
                }
                here += count;
                watch(News::Rows(count));
                if noted.ended {
                    break;
                }
            }
            changes += here;
        }
        let affected = if follows_references { BTreeSet::new() } else { affected(full, &gone) };
        for followed in all.iter_mut().filter(|followed| affected.contains(&followed.pair.source_words.name)) {
            changes += followed.compare("comparing", Some(Meeting::Passed), watch).await?.written;
        }
        if changes <= FEW {
            break;
        }
    }
    Ok(())
}

/// While nobody writes: looks at all that is left, until it is equal in both.
pub(super) async fn finish(
    all: &mut [Followed<'_>],
    full: &Applied,
    follows_references: bool,
    watch: Watcher<'_>,
) -> Result<(), String> {
    let mut gone = BTreeSet::new();
    for followed in all.iter_mut() {
        let mut keys = followed.tally.pending.clone();
        let mut last = None;
        loop {
            let noted = followed.noted(last.take()).await?;
            keys.extend(noted.keys);
            if noted.gone {
                gone.insert(followed.pair.source_words.name.clone());
            }
            last = noted.numbers.last().cloned();
            if noted.ended || last.is_none() {
                break;
            }
        }
        prove_keys(followed, keys).await?;
    }
    let affected = if follows_references { BTreeSet::new() } else { affected(full, &gone) };
    for followed in all.iter_mut().filter(|followed| affected.contains(&followed.pair.source_words.name)) {
        followed.compare("proving", Some(Meeting::Impossible), watch).await?;
        let keys = followed.tally.pending.clone();
        prove_keys(followed, keys).await?;
    }
    for followed in all.iter() {
        let Pair { source, target, source_words, target_words } = &followed.pair;
        let (ours, theirs) =
            tokio::join!(read(source, &source_words.count, Vec::new()), read(target, &target_words.count, Vec::new()));
        for (which, counted) in [("source", ours), ("target", theirs)] {
            let (counted, _) = counted.map_err(|error| format!("counting {}: {error}", source_words.name))?;
            let counted = counted.into_iter().next().and_then(|row| row.into_iter().next());
            let expected = i64::try_from(followed.tally.rows).map(Value::Int).ok();
            if counted != expected {
                return Err(format!(
                    "{} rows of {} are equal in both, and the {which} has {counted:?}",
                    followed.tally.rows, source_words.name
                ));
            }
        }
    }
    Ok(())
}

/// Mends and looks again, until these rows are equal.
async fn prove_keys(followed: &mut Followed<'_>, keys: HashMap<Vec<u8>, Row>) -> Result<(), String> {
    let mut keys = keys;
    for _ in 0..PROOFS_MAX {
        if !keys.is_empty() {
            followed.settle(keys, Meeting::Impossible).await?;
        }
        keys = followed.tally.pending.clone();
        if keys.is_empty() {
            return Ok(());
        }
    }
    let name = &followed.pair.source_words.name;
    Err(format!("{} rows of {name} are not the same after they were copied {PROOFS_MAX} times", keys.len()))
}

/// The tables whose rows may have gone, or changed, because rows of these went.
fn affected(full: &Applied, gone: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&str> = gone.iter().map(String::as_str).collect();
    while let Some(parent) = left.pop() {
        for table in &full.tables {
            let follows = table
                .references
                .iter()
                .any(|reference| reference.table == parent && reference.on_delete != OnDelete::Restrict);
            if follows && found.insert(table.name.clone()) {
                left.push(&table.name);
            }
        }
    }
    found
}
