//! `undergird adopt`: an application over a database that is there already. It reads the database and writes files; nothing in the
//! database changes.
//!
//! Absent: what is found and how it is called; that is `undergird_store::adopt` and each store's survey.

use super::block_on;
use crate::cli::Exit;
use crate::config;
use crate::say::{say, tell};
use crate::stores;
use std::fs;
use std::path::{Path, PathBuf};
use undergird_model::definition;
use undergird_model::diagnostic::{Severity, Source};
use undergird_store::adopt::{self, Survey, Written, snake_case};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the database is: sqlite:FILE, postgres://…, mysql://….
    #[arg(value_name = "URL")]
    url: String,
    /// The directory to make; by default it is called like the database.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// The variable that a password is taken from, instead of standing in a file.
const PASSWORD: &str = "DATABASE_PASSWORD";
/// More lines of the report than this are only in the file.
const LINES_SHOWN: usize = 40;

/// # Errors
/// 2 for a URL that names no store or a directory that has something in it, 1 when the database cannot be read.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let called = database_name(&arguments.url);
    let directory = arguments.into.clone().unwrap_or_else(|| PathBuf::from(&called));
    if directory.exists() && fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Exit::wrong(format!("{} is there already and has something in it", directory.display())));
    }
    let (mut survey, known) = block_on(async { stores::survey(&arguments.url).await.map_err(super::exit) })?;
    own_tables(&mut survey, known);
    let written = sound(survey)?;
    if written.collections == 0 {
        let report: String = written.report.iter().map(|line| format!("  {line}\n")).collect();
        return Err(Exit::failed(format!("there is no table that could be adopted:\n{report}")));
    }
    let url = url_of(&arguments.url, &directory);
    let mut files = vec![
        ("undergird.toml".to_owned(), application(&called, &url)),
        (".gitignore".to_owned(), "/data/\n".to_owned()),
        ("ADOPTED.md".to_owned(), report(&called, &written)),
    ];
    files.extend(written.files.iter().cloned());
    for (file, text) in &files {
        let path = directory.join(file);
        let fail = |error: std::io::Error| Exit::failed(format!("cannot write {}: {error}", path.display()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        fs::write(&path, text).map_err(fail)?;
    }
    let shown = directory.display();
    say!("Adopted {} tables and views into {shown}; nothing in the database was changed.", written.collections)?;
    if !written.report.is_empty() {
        say!("\nOther than it was, or left out ({shown}/ADOPTED.md has it all):\n")?;
        for line in written.report.iter().take(LINES_SHOWN) {
            say!("  {line}")?;
        }
        if written.report.len() > LINES_SHOWN {
            say!("  … and {} more", written.report.len() - LINES_SHOWN)?;
        }
    }
    say!("\nEverything is closed to all but a secret key. Now:\n\n    undergird dev {shown}")?;
    if url.contains(PASSWORD) {
        tell!("\nThe password is not in the files: set {PASSWORD} before.");
    }
    Ok(())
}

/// Undergird's own tables are none to adopt, where it has been in the database before.
fn own_tables(survey: &mut Survey, known: bool) {
    let system: Vec<String> = config::system()
        .iter()
        .filter_map(|source| Some(source.name.strip_prefix("system/")?.strip_suffix(".toml")?.to_owned()))
        .collect();
    if known {
        survey.tables.retain(|table| table.schema.is_some() || !system.contains(&table.name));
        return;
    }
    for table in survey.tables.iter().filter(|table| table.schema.is_none() && system.contains(&table.name)) {
        survey.notes.push(format!(
            "{}: Undergird makes a table of this name for itself, so `dev` will refuse to start until this one is renamed",
            table.name
        ));
    }
}

/// The definition, checked. A rule that the checker does not take stays the database's alone.
fn sound(mut survey: Survey) -> Result<Written, Exit> {
    let mut found = String::new();
    for _ in 0..2 {
        let written = adopt::definition(&survey);
        let sources: Vec<Source> = written
            .files
            .iter()
            .map(|(name, text)| Source { name: name.as_str().into(), text: text.as_str().into() })
            .collect();
        let (_, diagnostics) = definition::check(&sources, &config::system());
        let errors: Vec<_> =
            diagnostics.into_iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
        if errors.is_empty() {
            return Ok(written);
        }
        found = definition::render(&errors, &sources);
        for table in &mut survey.tables {
            let checks = std::mem::take(&mut table.checks);
            table.notes.extend(
                checks.iter().map(|(name, text)| format!("the check {name} stays the database's alone: {text}")),
            );
        }
    }
    Err(Exit::failed(format!("what was found makes no sound definition, which is a mistake of Undergird's:\n{found}")))
}

fn application(name: &str, url: &str) -> String {
    format!(
        "# Over a database that was there before: every model has `adopted = true`, so no table of it is ever made, changed or dropped.\n\
         # Undergird keeps its own tables (accounts, sessions) beside them; their names begin with an underscore.\n\
         name = {}\n\n[stores.main]\nurl = {}\n",
        toml_text(name),
        toml_text(url)
    )
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn report(name: &str, written: &Written) -> String {
    let mut text = format!(
        "# What became of {name}\n\n{} tables and views were adopted. What is other than it was, or was left out, and why:\n\n",
        written.collections
    );
    for line in &written.report {
        text.push_str(&format!("- {}\n", line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    if written.report.is_empty() {
        text.push_str("Nothing.\n");
    }
    text
}

/// What the database is called, in snake case.
fn database_name(url: &str) -> String {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let path = rest.split('?').next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = last.strip_prefix('.').unwrap_or(last).split('.').next().unwrap_or_default();
    let name = snake_case(stem);
    if name.is_empty() { "adopted".into() } else { name }
}

/// The URL as the file has it: without a password, a SQLite file by its whole path unless it is within the application.
fn url_of(url: &str, directory: &Path) -> String {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let whole = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let within = fs::canonicalize(directory).ok().and_then(|own| whole.strip_prefix(own).ok().map(Path::to_owned));
        return format!("sqlite:{}", within.unwrap_or(whole).display());
    }
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return url.to_owned() };
    match rest[..at].split_once(':') {
        Some((user, password)) if !password.is_empty() => format!("{scheme}://{user}:${{{PASSWORD}}}{}", &rest[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names() {
        for (url, name, written) in [
            (
                "postgres://a:b@h:1/My-Shop?schema=x",
                "my_shop",
                "postgres://a:${DATABASE_PASSWORD}@h:1/My-Shop?schema=x",
            ),
            ("mysql://root@h/db", "db", "mysql://root@h/db"),
            ("mysql://u:p%40@h/db", "db", "mysql://u:${DATABASE_PASSWORD}@h/db"),
            ("sqlite:/no/such/Chinook_Sqlite.sqlite", "chinook_sqlite", "sqlite:/no/such/Chinook_Sqlite.sqlite"),
            ("postgres://h/", "h", "postgres://h/"),
        ] {
            assert_eq!((database_name(url).as_str(), url_of(url, Path::new("/nowhere")).as_str()), (name, written));
        }
    }
}
