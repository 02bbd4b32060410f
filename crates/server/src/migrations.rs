//! The folder `migrations/` of an application: read, written, and compared with what a database was given.
//!
//! Absent: what a migration is and what is to be thought of it (`undergird_store::migration`), and what commands print.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use undergird_model::Model;
use undergird_store::migration::{
    self, Direction, Done, Finding, Part, Phase, Resolved, Run, RunPart, Scribe, Snapshot, State, StepsFile,
};
use undergird_store::schema::{self, Applied};
use undergird_store::{Store, StoreError};

/// The folder's name.
pub(crate) const FOLDER: &str = "migrations";

/// Most migrations of an application: their numbers have four digits.
const MIGRATIONS_MAX: u32 = 9_999;

/// Longest file that is read.
const FILE_OCTETS_MAX: u64 = 64 << 20;

/// Longest name.
const NAME_CHARS_MAX: usize = 60;

/// How often to look again while others migrate.
const LOOKS_MAX: u32 = 50;

/// All migrations of an application, in order.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) migrations: Vec<Migration>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: StepsFile,
    pub(crate) before: Arc<Snapshot>,
    pub(crate) after: Arc<Snapshot>,
    pub(crate) resolved: Resolved,
}

impl Folder {
    /// Whether an application has one.
    pub(crate) fn is_there(application: &Path) -> bool {
        application.join(FOLDER).is_dir()
    }

    /// Reads it. An application without one has none.
    ///
    /// # Errors
    /// A sentence for each thing that is wrong with it.
    pub(crate) fn read(application: &Path) -> Result<Folder, String> {
        let mut folder = Folder { path: application.join(FOLDER), migrations: Vec::new() };
        if !folder.path.is_dir() {
            return Ok(folder);
        }
        let shown = folder.path.display().to_string();
        let entries = fs::read_dir(&folder.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut found = Vec::new();
        for entry in entries.map_err(|error| format!("cannot read {shown}: {error}"))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !entry.path().is_dir() {
                continue;
            }
            let Some((number, name)) = parse(&name) else {
                return Err(format!("{shown}/{name} is no migration: its name would be like 0002_add_slug"));
            };
            found.push((number, name.to_owned(), entry.path()));
        }
        found.sort();
        let mut before = Arc::new(Snapshot::empty());
        for (expected, (number, name, path)) in (1..).zip(found) {
            if number != expected {
                let last = folder.migrations.last().filter(|last| last.number == number);
                return Err(match last {
                    Some(other) => format!(
                        "{} and {} have the same number: two branches met; take the later one out and plan it again",
                        other.path.display(),
                        path.display()
                    ),
                    None => format!("{shown} has no migration {expected:04}, and one with number {number:04}"),
                });
            }
            let migration = Migration::read(number, name, path, before)?;
            before = Arc::clone(&migration.after);
            folder.migrations.push(migration);
        }
        Ok(folder)
    }

    /// The state of the definition that the last migration leads to.
    pub(crate) fn last(&self) -> Arc<Snapshot> {
        self.migrations.last().map_or_else(|| Arc::new(Snapshot::empty()), |last| Arc::clone(&last.after))
    }

    /// The schema after a migration; before the first one for 0.
    fn schema_after(&self, number: u32) -> Applied {
        match number.checked_sub(1).and_then(|at| self.migrations.get(at as usize)) {
            Some(migration) => migration.after.schema.clone(),
            None => Applied::empty(),
        }
    }

    /// Whether all migrations after a number are contracts, before which nodes of the last definition serve, too.
    fn is_contract_from(&self, number: u32) -> bool {
        let mut pending = self.migrations.iter().filter(|migration| migration.number > number).peekable();
        pending.peek().is_some() && pending.all(|migration| migration.file.phase == Some(Phase::Contract))
    }

    /// The next number.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn next(&self) -> Result<u32, String> {
        let next = self.migrations.last().map_or(0, |last| last.number) + 1;
        if next > MIGRATIONS_MAX {
            Err(format!("there are {MIGRATIONS_MAX} migrations, which is the most"))
        } else {
            Ok(next)
        }
    }

    /// The stores that the last migration has SQL for.
    pub(crate) fn stores(&self) -> Vec<&'static str> {
        let Some(last) = self.migrations.last() else { return Vec::new() };
        crate::stores::names().into_iter().filter(|name| last.path.join(format!("{name}.sql")).is_file()).collect()
    }
}

/// `0002_add_slug`.
fn parse(name: &str) -> Option<(u32, &str)> {
    let (number, name) = name.split_once('_')?;
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (digits && is_name(name)).then_some((number.parse().ok()?, name))
}

/// Whether a migration may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(plain)
}

/// Words as a name.
pub(crate) fn as_name(words: &str) -> String {
    let mut name = String::new();
    for c in words.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
            _ if name.ends_with('_') || name.is_empty() => {}
            _ => name.push('_'),
        }
    }
    name.truncate(NAME_CHARS_MAX);
    name.trim_end_matches('_').to_owned()
}

fn text_of(path: &Path) -> Result<String, String> {
    let fail = |why: String| format!("cannot read {}: {why}", path.display());
    let file = fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > FILE_OCTETS_MAX {
        return Err(fail(format!("it is longer than {FILE_OCTETS_MAX} octets")));
    }
    Ok(text)
}

impl Migration {
    fn read(number: u32, name: String, path: PathBuf, before: Arc<Snapshot>) -> Result<Migration, String> {
        let at = |file: &str| path.join(file);
        let wrong = |file: &str, why: String| format!("{}: {why}", path.join(file).display());
        let after = Snapshot::from_json(&text_of(&at("snapshot.json"))?).map_err(|why| wrong("snapshot.json", why))?;
        let file: StepsFile = toml::from_str(&text_of(&at("steps.toml"))?)
            .map_err(|error| wrong("steps.toml", error.to_string().trim_end().to_owned()))?;
        let resolved = migration::resolve(&before, &after, &file).map_err(|faults| {
            faults.iter().map(|fault| wrong("steps.toml", fault.clone())).collect::<Vec<_>>().join("\n")
        })?;
        Ok(Migration { number, name, path, file, before, after: Arc::new(after), resolved })
    }

    /// `0002_add_slug`.
    pub(crate) fn title(&self) -> String {
        format!("{:04}_{}", self.number, self.name)
    }

    /// What is to be thought of it.
    pub(crate) fn lint(&self, scribes: &[&dyn Scribe]) -> Vec<Finding> {
        migration::lint(&self.before, &self.after, &self.resolved, &self.file, scribes)
    }

    /// As a store takes it, in the direction.
    ///
    /// # Errors
    /// Why it cannot be taken back, or that it says nothing for this store.
    pub(crate) fn run(&self, store: &str, direction: Direction) -> Result<Run, String> {
        let inverse;
        let parts = match direction {
            Direction::Forward => &self.resolved.parts,
            Direction::Note => &Vec::new(),
            Direction::Back => {
                inverse = migration::back(&self.resolved).map_err(|reasons| reasons.join("\n  "))?;
                &inverse
            }
        };
        let part = |part: &Part| match part {
            Part::Schema { wanted, .. } => Ok(RunPart::Schema(wanted.clone())),
            Part::Sql { sql, .. } => match sql.of(store) {
                Some(text) => Ok(RunPart::Sql(text.to_owned())),
                None => Err(format!("a [[step]] with sql says nothing for {store}")),
            },
            Part::Backfill { fill, .. } => fill.run(store).map(RunPart::Backfill),
        };
        let from = match direction {
            Direction::Forward => &self.before,
            Direction::Back | Direction::Note => &self.after,
        };
        Ok(Run {
            number: self.number,
            name: self.name.clone(),
            hash: self.resolved.hash.clone(),
            direction,
            after: if direction == Direction::Back { self.number } else { self.number - 1 },
            from: from.schema.fingerprint(),
            compatible: direction != Direction::Back && self.resolved.compatible,
            parts: parts.iter().map(part).collect::<Result<_, _>>()?,
        })
    }

    /// What the SQL files say, by the store's name.
    pub(crate) fn sql(&self, scribes: &[&dyn Scribe]) -> Vec<(String, String)> {
        let text = |scribe: &&dyn Scribe| {
            (format!("{}.sql", scribe.name()), migration::sql_text(*scribe, &self.title(), &self.resolved))
        };
        scribes.iter().map(text).collect()
    }

    /// The SQL files that say something else than is run, or that are missing.
    pub(crate) fn stale(&self, scribes: &[&dyn Scribe]) -> Vec<(String, String)> {
        let differs = |file: &str, text: &str| text_of(&self.path.join(file)).is_ok_and(|there| there != text);
        self.sql(scribes).into_iter().filter(|(file, text)| differs(file, text)).collect()
    }
}

/// Writes a new migration, all of its files or none.
///
/// # Errors
/// A sentence: which file cannot be written.
pub(crate) fn write(folder: &Folder, title: &str, files: &[(String, String)]) -> Result<PathBuf, String> {
    let (path, aside) = (folder.path.join(title), folder.path.join(format!(".{title}.new")));
    let fail = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let _ = fs::remove_dir_all(&aside);
    fs::create_dir_all(&aside).map_err(|error| fail(&aside, error))?;
    for (file, text) in files {
        let at = aside.join(file);
        fs::write(&at, text).map_err(|error| fail(&at, error))?;
    }
    fs::rename(&aside, &path).map_err(|error| fail(&path, error))?;
    Ok(path)
}

/// Where a database stands among an application's migrations.
#[derive(Debug)]
pub(crate) struct Standing {
    /// What it was given.
    pub(crate) done: Vec<Done>,
    /// What that comes to.
    pub(crate) verdict: Verdict,
}

/// What a database's record comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has the first so many, and its schema is theirs.
    At(u32),
    /// Its record ends at the first number, and its schema is that of the second already: `dev` shaped it.
    Shaped(u32, u32),
    /// It has all of the folder and more, and what is more lets nodes of the folder's definition go on: the titles of it.
    Beyond(Vec<String>),
    /// It was interrupted within this one.
    Half(u32),
    /// It was given something that the folder has not, or has otherwise.
    Foreign(String),
    /// Its schema is that of no migration.
    Drift(String),
}

/// Where a store's database stands.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn standing(store: &Arc<dyn Store>, folder: &Folder) -> Result<Standing, String> {
    let fail = |error: StoreError| format!("cannot read the database's record: {error}");
    for _ in 0..LOOKS_MAX {
        let done = store.migrations().await.map_err(fail)?;
        let schema = match store.schema().await {
            Ok(schema) => schema,
            Err(StoreError::SchemaMismatch(why)) => {
                return Ok(Standing { done, verdict: Verdict::Drift(why) });
            }
            Err(error) => return Err(fail(error)),
        };
        // Nobody migrated between the two.
        if store.migrations().await.map_err(fail)? == done {
            let verdict = judge(folder, &done, schema.as_ref());
            return Ok(Standing { done, verdict });
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Err("others are migrating the database all the time".into())
}

fn judge(folder: &Folder, done: &[Done], schema: Option<&Applied>) -> Verdict {
    let mut beyond = Vec::new();
    for (expected, one) in (1..).zip(done) {
        let title = format!("{:04}_{}", one.number, one.name);
        let here = folder.migrations.get(one.number as usize - usize::from(one.number > 0));
        match here {
            // Also while it is under way: each of its steps lets them go on.
            None if one.compatible => beyond.push(title),
            None => {
                return Verdict::Foreign(format!(
                    "the database is ahead: it was given {title}, which is not in {}",
                    folder.path.display()
                ));
            }
            Some(_) if one.number != expected => {
                return Verdict::Foreign(format!("the database was given {title} without all that come before it"));
            }
            Some(here) if here.resolved.hash != one.hash && one.state != State::Applying(0) => {
                return Verdict::Foreign(format!(
                    "{title} was changed after the database was given it: put it back as it was, and make the change in a new one"
                ));
            }
            Some(_) if one.state != State::Applied => return Verdict::Half(one.number),
            Some(_) => {}
        }
    }
    if !beyond.is_empty() {
        return Verdict::Beyond(beyond);
    }
    let last = done.last().map_or(0, |last| last.number);
    let empty = Applied::empty();
    let there = schema.unwrap_or(&empty);
    let fingerprint = there.fingerprint();
    let should = folder.schema_after(last);
    if should.fingerprint() == fingerprint {
        return Verdict::At(last);
    }
    let later = folder
        .migrations
        .iter()
        .find(|migration| migration.number > last && migration.after.schema.fingerprint() == fingerprint);
    if let Some(later) = later {
        return Verdict::Shaped(last, later.number);
    }
    let steps = schema::steps(Some(&should), there);
    let steps: String = steps.iter().map(|step| format!("\n  {}", step.describe())).collect();
    let what = if last == 0 { "an empty database".to_owned() } else { format!("migration {last:04}") };
    Verdict::Drift(format!(
        "the database's schema is that of no migration; from {what} to it lie these steps:{steps}\nIf `dev` or `migrate` shaped it so, \
         `undergird migrate plan` makes a migration of them, and `undergird migrate apply` notes that they are there."
    ))
}

/// How a database and a definition fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    /// There are no committed migrations that would say so.
    Unsaid,
    /// The one is what the other wants.
    Exactly,
    /// Nodes of this definition can serve, beside those of another one: why, in a sentence.
    Beside(String),
}

/// Whether a definition's nodes can serve on the schema that a database has.
async fn beside(store: &Arc<dyn Store>, wanted: &Applied) -> Result<(), String> {
    let there = store.schema().await.map_err(|error| format!("cannot read the database's record: {error}"))?;
    let there = there.unwrap_or_else(Applied::empty);
    migration::serves(wanted, &there).map_err(|faults| faults.join("\n"))
}

/// Holds a database and a definition to the committed migrations, where there are any.
///
/// # Errors
/// What is not so, with the command that mends it.
pub(crate) async fn demand(application: &Path, store: &Arc<dyn Store>, model: &Model) -> Result<Fits, String> {
    if !Folder::is_there(application) {
        return Ok(Fits::Unsaid);
    }
    let folder = Folder::read(application)?;
    let wanted = Snapshot::of(model, &folder.last());
    if wanted.schema.fingerprint() != folder.last().schema.fingerprint() {
        return Err("the definition has changes that no migration holds: `undergird migrate plan` makes one".into());
    }
    if !wanted.is_same(&folder.last()) {
        tracing::warn!("rules of access changed since the last migration: `undergird migrate plan` writes them down");
    }
    let standing = standing(store, &folder).await?;
    let last = folder.migrations.len() as u32;
    let pending = |from: u32| {
        let titles = folder.migrations.iter().filter(|migration| migration.number > from);
        titles.map(|migration| format!("\n  {}", migration.title())).collect::<String>()
    };
    match standing.verdict {
        Verdict::At(at) if at == last => Ok(Fits::Exactly),
        Verdict::Beyond(titles) => match beside(store, &wanted.schema).await {
            Ok(()) => Ok(Fits::Beside(format!(
                "the database is ahead by {}, beside which this definition can be served",
                titles.join(", ")
            ))),
            Err(why) => Err(format!("the database is ahead by {}: {why}", titles.join(", "))),
        },
        Verdict::At(at) if folder.is_contract_from(at) => match beside(store, &wanted.schema).await {
            Ok(()) => Ok(Fits::Beside(format!(
                "the database is before the contract, which `undergird migrate apply` gives it when no older node serves any more:{}",
                pending(at)
            ))),
            Err(why) => Err(format!(
                "the database is behind: `undergird migrate apply` gives it these migrations:{}\n{why}",
                pending(at)
            )),
        },
        Verdict::At(at) | Verdict::Shaped(at, _) => {
            Err(format!("the database is behind: `undergird migrate apply` gives it these migrations:{}", pending(at)))
        }
        Verdict::Half(number) => {
            Err(format!("migration {number:04} was interrupted: `undergird migrate apply` brings it to its end"))
        }
        Verdict::Foreign(why) => Err(format!("{why} (`undergird migrate status` shows more)")),
        Verdict::Drift(why) => Err(why),
    }
}
