//! A migration on its way into a database: what a store is given to take, what it keeps of those it took, and, under its lock, whether it
//! is to take this one.
//!
//! Absent: locks and statements, which are each store's own.

use super::backfill::Backfill;
use crate::StoreError;
use crate::schema::Applied;

/// A migration, or one taken back, for one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number, from 1.
    pub number: u32,
    /// Its name, without the number.
    pub name: String,
    /// What names all that it does.
    pub hash: String,
    /// Which way.
    pub direction: Direction,
    /// The number of the last one that the database must have (0: none). Going back: this one's own.
    pub after: u32,
    /// The fingerprint of the schema that the database must have.
    pub from: String,
    /// Whether nodes of the definition before it may go on serving after it.
    pub compatible: bool,
    /// In order; all in one transaction where the store has that for DDL, but for what is in batches.
    pub parts: Vec<RunPart>,
}

/// Which way a migration is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It is applied.
    Forward,
    /// It is taken back.
    Back,
    /// The database has the schema already (`dev` shaped it): it is written down and nothing is done.
    Note,
}

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunPart {
    /// Brings the schema here. The store plans the steps again under its lock, from the very schema that they were planned from.
    Schema(Applied),
    /// Statements by hand, in the store's own words.
    Sql(String),
    /// Fills rows in batches, each in a transaction of its own with the note of how far it came.
    Backfill(Backfill),
}

/// What is taken next of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// These parts, in one transaction where the store has that for DDL. Those after the last of them begin with the number.
    Together(&'a [RunPart], usize),
    /// Batches, until there are no more.
    Batches(&'a Backfill),
}

impl Run {
    /// What is taken next when so many parts are done.
    pub fn stage(&self, done: usize) -> Stage<'_> {
        let left = self.parts.get(done..).unwrap_or_default();
        if let Some(RunPart::Backfill(fill)) = left.first() {
            return Stage::Batches(fill);
        }
        let many = left.iter().take_while(|part| !matches!(part, RunPart::Backfill(_))).count();
        Stage::Together(&left[..many], done + many)
    }

    /// What is written down when so many parts are done: `None` when a migration that is taken back is.
    pub fn state(&self, done: usize) -> Option<State> {
        let parts = u32::try_from(done).unwrap_or(u32::MAX);
        match self.direction {
            Direction::Forward | Direction::Note if done >= self.parts.len() => Some(State::Applied),
            Direction::Forward | Direction::Note => Some(State::Applying(parts)),
            Direction::Back if done >= self.parts.len() => None,
            Direction::Back => Some(State::Undoing(parts)),
        }
    }
}

/// A migration that a database was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What named all that it did.
    pub hash: String,
    /// How far it came.
    pub state: State,
    /// Whether nodes of the definition before it may go on serving after it.
    pub compatible: bool,
}

/// How far a migration came. Where DDL is transactional it is [`State::Applied`], but for one that has a backfill in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To its end.
    Applied,
    /// It was interrupted after so many parts.
    Applying(u32),
    /// It was interrupted on the way back after so many parts.
    Undoing(u32),
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Applied => f.write_str("applied"),
            State::Applying(parts) => write!(f, "applying {parts}"),
            State::Undoing(parts) => write!(f, "undoing {parts}"),
        }
    }
}

impl State {
    /// Reads what it is written as.
    pub fn of(text: &str) -> Option<State> {
        match text.split_once(' ') {
            None => (text == "applied").then_some(State::Applied),
            Some(("applying", parts)) => parts.parse().ok().map(State::Applying),
            Some(("undoing", parts)) => parts.parse().ok().map(State::Undoing),
            Some(_) => None,
        }
    }
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Taken,
    /// Somebody else had taken it.
    AlreadyThere,
}

/// Whether to take a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Yes, from this part on.
    Go(usize),
    /// Somebody else has taken it.
    AlreadyThere,
}

/// Whether a database is ready for a run. Asked under the store's lock, with what the database has then.
///
/// # Errors
/// [`StoreError::SchemaMismatch`]: it is not, and why.
pub fn ready(run: &Run, done: &[Done], current: Option<&Applied>) -> Result<Ready, StoreError> {
    let refuse = |why: String| Err(StoreError::SchemaMismatch(why));
    let last = done.last();
    let empty = Applied::empty();
    let fits = current.unwrap_or(&empty).fingerprint() == run.from;
    if let Some(Done { number, state: State::Applying(0), .. }) = done.iter().find(|one| one.state != State::Applied)
        && *number == run.number
        && run.direction == Direction::Forward
        && fits
    {
        // Nothing of it has happened, so it may have been mended since.
        return Ok(Ready::Go(0));
    }
    if let Some(half) = done.iter().find(|one| one.state != State::Applied) {
        // It goes on where it stopped; its schema is somewhere between.
        return match (half.state, run.direction) {
            _ if half.number != run.number => {
                refuse(format!("migration {:04}_{} was interrupted: finish it first", half.number, half.name))
            }
            _ if half.hash != run.hash => refuse(changed(half)),
            (State::Applying(parts), Direction::Forward) | (State::Undoing(parts), Direction::Back) => {
                Ok(Ready::Go(parts as usize))
            }
            (State::Applying(_), _) => {
                refuse("it was interrupted while it was applied: apply it to its end first".into())
            }
            (State::Undoing(_) | State::Applied, _) => {
                refuse("it was interrupted while it was taken back: undo it to its end first".into())
            }
        };
    }
    match run.direction {
        Direction::Forward | Direction::Note => {
            if let Some(there) = done.iter().find(|one| one.number == run.number) {
                return if there.hash == run.hash { Ok(Ready::AlreadyThere) } else { refuse(changed(there)) };
            }
        }
        Direction::Back => {
            if !done.iter().any(|one| one.number == run.number) {
                return Ok(Ready::AlreadyThere);
            }
        }
    }
    if last.map_or(0, |last| last.number) != run.after {
        return refuse("other migrations were applied meanwhile: look at `undergird migrate status`".into());
    }
    if !fits {
        return refuse(
            "the database's schema is not the one that this migration begins from: look at `undergird migrate status`"
                .into(),
        );
    }
    Ok(Ready::Go(0))
}

fn changed(there: &Done) -> String {
    format!(
        "migration {:04}_{} was changed after the database was given it: put it back as it was, and make the change in a new one",
        there.number, there.name
    )
}
