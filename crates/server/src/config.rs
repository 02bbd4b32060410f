//! An application's directory and everything laid over it: `undergird.toml`, `models/*.toml` and `functions/*.toml`, `${ENV}` in them, `UNDERGIRD_*`
//! variables over the file, flags over the variables.
//!
//! Deliberately absent: what the keys mean (`model::definition`).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use undergird_model::Model;
use undergird_model::definition::{self, Override, keys};
use undergird_model::diagnostic::{Diagnostic, Severity, Source, Span, nearest};

/// Most files in `models/` or `functions/`.
const FILES_MAX: usize = 10_000;
/// Greatest size of one file; the checker has the same limit and the words for it.
const FILE_BYTES_MAX: u64 = (1 << 20) + 1;

/// `UNDERGIRD_*` variables that are no settings of `undergird.toml`.
pub const OTHER_VARIABLES: &[&str] =
    &["UNDERGIRD_DATA", "UNDERGIRD_LOG", "UNDERGIRD_MOVE_TO", "UNDERGIRD_PUBLISHABLE_KEY", "UNDERGIRD_SECRET_KEY"];

/// The environment, as pairs; a value so that tests can give their own.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// The process's. Variables that are not UTF-8 are none of ours.
    pub fn of_process() -> Environment {
        let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment(std::env::vars_os().filter_map(pair).collect())
    }

    /// These.
    pub fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// A variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// `undergird.toml`.
    File,
    /// `undergird.toml` by way of `${…}`, a variable, or a flag: its name.
    Outside(String),
}

/// A definition as read and checked.
#[derive(Debug)]
pub struct Definition {
    /// The files.
    pub sources: Vec<Source>,
    /// What was laid over them, the later over the earlier.
    pub overrides: Vec<Override>,
    /// The model, when there is no mistake.
    pub model: Option<Arc<Model>>,
    /// All mistakes and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Definition {
    /// Reads an application's directory and checks what is there.
    ///
    /// # Errors
    /// The directory or one of its files cannot be read: a sentence.
    pub fn load(directory: &Path, environment: &Environment, flags: &[Override]) -> Result<Definition, String> {
        let sources = read_sources(directory)?;
        let mut problems = Vec::new();
        let mut overrides = substitute(&sources, environment, &mut problems);
        overrides.extend(variables(environment, &mut problems));
        overrides.extend(flags.iter().cloned());
        let (model, diagnostics) = definition::check_with(&sources, &system(), &overrides);
        problems.extend(diagnostics);
        let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
        let model = model.filter(|_| !refused).map(Arc::new);
        Ok(Definition { sources, overrides, model, diagnostics: problems })
    }

    /// How many of the diagnostics are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// The diagnostics as a terminal shows them.
    pub fn render(&self, coloured: bool) -> String {
        // Overrides are sources too, so that a mistake in a variable is shown like one in a file.
        let outside = self
            .overrides
            .iter()
            .map(|one| Source { name: one.origin.as_str().into(), text: one.value.as_str().into() });
        let sources: Vec<Source> = self.sources.iter().cloned().chain(outside).collect();
        let render = if coloured { definition::render_coloured } else { definition::render };
        render(&self.diagnostics, &sources)
    }

    /// Every setting that there is by its path: those of the inventory, and those of each provider that is named.
    pub fn settings(&self) -> Vec<(Vec<String>, &'static keys::Key)> {
        let own = |(path, key): (Vec<&str>, &'static keys::Key)| (path.into_iter().map(str::to_owned).collect(), key);
        let providers = self.model.iter().flat_map(|model| &model.settings.auth.providers);
        let named = providers.flat_map(|provider| keys::provider_settings(&provider.name));
        keys::settings().into_iter().map(own).chain(named).collect()
    }

    /// Where the value of the setting at a path comes from.
    pub fn origin(&self, path: &[&str]) -> Origin {
        let over =
            self.overrides.iter().rev().find(|over| over.path.iter().map(String::as_str).eq(path.iter().copied()));
        if let Some(over) = over {
            return Origin::Outside(over.origin.clone());
        }
        let file = self.sources.iter().find(|source| &*source.name == "undergird.toml");
        let table = file.and_then(|source| source.text.parse::<toml::Table>().ok());
        match table.is_some_and(|table| lookup(&table, path).is_some()) {
            true => Origin::File,
            false => Origin::Default,
        }
    }
}

/// Undergird's own collections.
pub(crate) fn system() -> Vec<Source> {
    let all = undergird_engine::SYSTEM.iter().chain(undergird_auth::SYSTEM);
    all.map(|(name, text)| Source { name: format!("system/{name}.toml").into(), text: (*text).into() }).collect()
}

/// `undergird.toml` (which may be missing: every key has a default), `models/*.toml` and `functions/*.toml`, in order of their names.
///
/// # Errors
/// A sentence.
pub fn read_sources(directory: &Path) -> Result<Vec<Source>, String> {
    let shown = directory.display();
    let application = directory.join("undergird.toml");
    let models = directory.join("models");
    if !application.exists() && !models.is_dir() {
        let hint =
            if directory.is_dir() { "it has neither undergird.toml nor models/" } else { "there is no such directory" };
        return Err(format!("{shown} is no application: {hint}; `undergird new NAME` makes one"));
    }
    let mut sources = Vec::new();
    if application.exists() {
        sources.push(read_source(&application, "undergird.toml".into())?);
    }
    for folder in ["models", "functions"] {
        read_folder(directory, folder, &mut sources)?;
    }
    Ok(sources)
}

/// The `.toml` files of a folder, which may be missing, in order of their names.
fn read_folder(directory: &Path, folder: &str, sources: &mut Vec<Source>) -> Result<(), String> {
    let path = directory.join(folder);
    if !path.is_dir() {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))? {
        let name = entry.map_err(|error| format!("cannot read {}: {error}", path.display()))?.file_name();
        // Editors' own files (`.posts.toml.swp`, `posts.toml~`) are nobody's models.
        if let Some(name) = name.to_str().filter(|name| name.ends_with(".toml") && !name.starts_with('.')) {
            names.push(name.to_owned());
        }
        if names.len() > FILES_MAX {
            return Err(format!("{} has more than {FILES_MAX} files", path.display()));
        }
    }
    names.sort();
    for name in names {
        sources.push(read_source(&path.join(&name), format!("{folder}/{name}"))?);
    }
    Ok(())
}

fn read_source(path: &Path, name: String) -> Result<Source, String> {
    let fail = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let metadata = fs::symlink_metadata(path).map_err(|error| fail(&error))?;
    // A definition is what the repository holds: a link could lead out of it, and a pipe never ends.
    if !metadata.is_file() {
        return Err(fail(&"it is not a plain file"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| fail(&error))?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error: io::Error| fail(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| fail(&"it is not UTF-8"))?;
    Ok(Source { name: name.into(), text: text.into() })
}

/// `${NAME}` in the texts of `undergird.toml`: each becomes an override, so that places in the file stay what they are.
fn substitute(sources: &[Source], environment: &Environment, problems: &mut Vec<Diagnostic>) -> Vec<Override> {
    let Some(source) = sources.iter().find(|source| &*source.name == "undergird.toml") else { return Vec::new() };
    let Ok(table) = source.text.parse::<toml::Table>() else {
        // The checker says what is wrong with it.
        return Vec::new();
    };
    let mut overrides = Vec::new();
    let paths: Vec<Vec<String>> = {
        let own = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect();
        let plain = keys::settings().into_iter().map(|(path, _)| own(path));
        plain
            .chain(providers(&table).iter().flat_map(|name| keys::provider_settings(name)).map(|(path, _)| path))
            .collect()
    };
    for path in paths {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = match lookup(&table, &steps) {
            Some(toml::Value::String(text)) => text.clone(),
            // As in the environment, where the items of a list are separated by commas.
            Some(toml::Value::Array(items)) => {
                items.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(",")
            }
            _ => continue,
        };
        if !text.contains("${") {
            continue;
        }
        match expand(&text, environment) {
            Ok(value) => overrides.push(Override { path, value, origin: format!("undergird.toml {text}") }),
            Err(missing) => {
                let at = source.text.find(&format!("${{{missing}")).unwrap_or(0);
                let span = Span { start: at, end: (at + missing.len() + 3).min(source.text.len()) };
                let message = format!("the environment variable {missing} is not set");
                let diagnostic = Diagnostic::error(source, span, "missing-variable", message);
                problems.push(diagnostic.with_hint(format!("set it, or write a default: ${{{missing}:-value}}")));
            }
        }
    }
    overrides
}

/// The text with every `${NAME}` and `${NAME:-default}` replaced; else the name of the variable that is not set.
fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inside, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        match environment.get(name).or(default) {
            Some(value) => out.push_str(value),
            None => return Err(name.to_owned()),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// `UNDERGIRD_SERVER_LISTEN=…` and its like. One that is no setting is a warning: it does nothing, which somebody did not mean.
fn variables(environment: &Environment, problems: &mut Vec<Diagnostic>) -> Vec<Override> {
    let mut overrides = Vec::new();
    for (name, value) in &environment.0 {
        if !name.starts_with("UNDERGIRD_") || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        match keys::setting_of_variable(name) {
            Some(path) => overrides.push(Override { path, value: value.clone(), origin: name.clone() }),
            None => {
                let known = keys::settings();
                let known: Vec<String> =
                    known.iter().map(|(path, _)| format!("UNDERGIRD_{}", path.join("_").to_uppercase())).collect();
                let source = Source { name: name.as_str().into(), text: "".into() };
                let message = format!("{name} is no setting and does nothing");
                let mut warning = Diagnostic::error(&source, Span::default(), "unknown-variable", message).as_warning();
                if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
                    warning = warning.with_hint(format!("did you mean {near}?"));
                }
                problems.push(warning);
            }
        }
    }
    overrides
}

/// The names of the providers in the file.
fn providers(table: &toml::Table) -> Vec<String> {
    let named = lookup(table, &["auth", "providers"]).and_then(toml::Value::as_table);
    named.map(|named| named.keys().cloned().collect()).unwrap_or_default()
}

fn lookup<'t>(table: &'t toml::Table, path: &[&str]) -> Option<&'t toml::Value> {
    let (last, folders) = path.split_last()?;
    let mut at = table;
    for folder in folders {
        at = at.get(*folder)?.as_table()?;
    }
    at.get(*last)
}

/// Writes another `[stores.main] url` into `undergird.toml`, and leaves every other octet of it as it is. Gives whether it could: not
/// when the file says it in a way of its own (`${…}`, a table written on one line).
///
/// # Errors
/// The file cannot be written: a sentence.
pub fn switch_store(directory: &Path, url: &str) -> Result<bool, String> {
    let path = directory.join("undergird.toml");
    let fail = |why: io::Error| format!("cannot write {}: {why}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fail(error)),
    };
    let Some(switched) = switched(&text, url) else { return Ok(false) };
    // Beside it and then in its place, so that there is always a whole one.
    let beside = directory.join(".undergird.toml.new");
    fs::write(&beside, switched).map_err(fail)?;
    fs::File::open(&beside).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&beside, &path)).map_err(fail)?;
    Ok(true)
}

fn switched(text: &str, url: &str) -> Option<String> {
    let value = toml::Value::String(url.to_owned()).to_string();
    let table = toml::de::DeTable::parse(text).ok()?;
    fn member<'a, 't>(
        value: &'a toml::de::DeValue<'t>,
        name: &str,
    ) -> Option<&'a toml::Spanned<toml::de::DeValue<'t>>> {
        value.as_table().and_then(|table| table.get(name))
    }
    let switched = match table.get_ref().get("stores") {
        None => {
            let line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{line}\n[stores.main]\nurl = {value}\n")
        }
        Some(stores) => {
            let old = member(stores.get_ref(), "main").and_then(|main| member(main.get_ref(), "url"))?;
            let span = old.span();
            if text.get(span.clone())?.contains("${") {
                return None;
            }
            format!("{}{value}{}", text.get(..span.start)?, text.get(span.end..)?)
        }
    };
    // What was written is what will be read.
    let read = switched.parse::<toml::Table>().ok()?;
    let found = lookup(&read, &["stores", "main", "url"]).and_then(toml::Value::as_str) == Some(url);
    found.then_some(switched)
}

/// The data directory: the flag, `UNDERGIRD_DATA`, or `data/` in the application's.
pub fn data_directory(application: &Path, environment: &Environment, flag: Option<&Path>) -> PathBuf {
    match (flag, environment.get("UNDERGIRD_DATA").filter(|path| !path.is_empty())) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path.into(),
        (None, None) => application.join("data"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(
        undergird: &str,
        environment: &[(&str, &str)],
        flags: &[(&str, &str)],
        expected: Result<(&str, Origin), &str>,
    ) {
        let sources = vec![Source { name: "undergird.toml".into(), text: undergird.into() }];
        let environment = Environment::of(environment);
        let mut problems = Vec::new();
        let mut overrides = substitute(&sources, &environment, &mut problems);
        overrides.extend(variables(&environment, &mut problems));
        overrides.extend(flags.iter().map(|(origin, value)| Override {
            path: vec!["server".into(), "listen".into()],
            value: (*value).into(),
            origin: (*origin).into(),
        }));
        let (model, diagnostics) = definition::check_with(&sources, &[], &overrides);
        let definition = Definition { sources, overrides, model: model.map(Arc::new), diagnostics };
        match expected {
            Ok((listen, origin)) => {
                assert_eq!(
                    definition.model.as_ref().unwrap().settings.server.listen,
                    listen,
                    "{:?}",
                    definition.diagnostics
                );
                assert_eq!(definition.origin(&["server", "listen"]), origin);
            }
            Err(code) => assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [code]),
        }
    }

    #[test]
    fn the_store_is_switched_and_all_else_stays() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(switched(text, "postgres://x/y").as_deref(), expected);
        check("", Some("\n[stores.main]\nurl = \"postgres://x/y\"\n"));
        check("name = 'a' # b", Some("name = 'a' # b\n\n[stores.main]\nurl = \"postgres://x/y\"\n"));
        check(
            "[stores.main] # here\r\n  url   = 'sqlite:data/x.db'  # was\r\n[limits]\nrows = 1",
            Some("[stores.main] # here\r\n  url   = \"postgres://x/y\"  # was\r\n[limits]\nrows = 1"),
        );
        check("stores = { main = { url = \"a\" } }", Some("stores = { main = { url = \"postgres://x/y\" } }"));
        check("[stores.main]\nurl = \"${DATABASE}\"", None);
        check("[stores.main]\n", None);
        check("not toml", None);
    }

    #[test]
    fn flags_over_variables_over_the_file_over_defaults() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"";
        let variable = ("UNDERGIRD_SERVER_LISTEN", "127.0.0.1:2");
        let outside = |name: &str| Origin::Outside(name.into());
        check("", &[], &[], Ok(("127.0.0.1:8090", Origin::Default)));
        check(file, &[], &[], Ok(("127.0.0.1:1", Origin::File)));
        check(file, &[variable], &[], Ok(("127.0.0.1:2", outside("UNDERGIRD_SERVER_LISTEN"))));
        check(file, &[variable], &[("--listen", "127.0.0.1:3")], Ok(("127.0.0.1:3", outside("--listen"))));
        let from = "[server]\nlisten = \"${HOST:-127.0.0.1}:${PORT}\"";
        let origin = outside("undergird.toml ${HOST:-127.0.0.1}:${PORT}");
        check(from, &[("PORT", "5")], &[], Ok(("127.0.0.1:5", origin)));
        check(from, &[], &[], Err("missing-variable"));
        let list = "[stores.main]\nreplicas = [\"postgres://a:${SECRET}@b/c\"]";
        check(list, &[("SECRET", "x")], &[], Ok(("127.0.0.1:8090", Origin::Default)));
        check(list, &[], &[], Err("missing-variable"));
        let provider =
            "[auth.providers.own]\nclient_id = \"me\"\nissuer = \"https://x.org\"\nclient_secret = \"${SECRET}\"";
        check(provider, &[("SECRET", "x")], &[], Ok(("127.0.0.1:8090", Origin::Default)));
        check(provider, &[], &[], Err("missing-variable"));
        check("", &[("UNDERGIRD_SERVER_LISTNE", "x")], &[], Err("unknown-variable"));
        check("", &[("UNDERGIRD_LOG", "debug")], &[], Ok(("127.0.0.1:8090", Origin::Default)));
    }
}
