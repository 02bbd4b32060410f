//! Definition text → checked [`Model`], with all mistakes at once.
//!
//! The stages, each of which goes on after mistakes: `tree` (TOML with places) → `shape` (known keys, right types, by the inventory in
//! `keys`) → `application`, `collections`, `fields` → `relations` → `rules`, `functions`.
//!
//! Deliberately absent: reading files and the environment. Sources and overrides arrive as text.

mod application;
mod cache;
mod captcha;
mod collections;
mod fields;
mod functions;
mod hooks;
mod json_schema;
pub mod keys;
mod names;
mod passkeys;
mod providers;
mod relations;
mod render;
mod report;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod tree;
mod ui;

pub use json_schema::{application_schema, collection_schema, function_schema};
pub use names::{RESERVED, is_reserved_for_relations};
pub use render::{render, render_coloured, to_json};
pub use report::{Code, codes};

use crate::diagnostic::Span;
use crate::field_type::FieldType;
use crate::{Diagnostic, Model, Source};
use report::{Place, Report};
use rustc_hash::FxHashMap;

/// Greatest size of one source.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// A setting from the environment or a flag, laid over `undergird.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The key's path: `["server", "listen"]`. See [`keys::setting_of_variable`].
    pub path: Vec<String>,
    /// Its value as text, read as what the key holds. Lists are separated by commas.
    pub value: String,
    /// What mistakes in it are named by: `UNDERGIRD_SERVER_LISTEN`, `--listen`.
    pub origin: String,
}

/// Checks a definition: `undergird.toml`, `models/*.toml` and `functions/*.toml` of the application, and the system collections, whose sources are
/// Undergird's own (`system/*.toml`, embedded by the crates that use them).
///
/// Gives the model when no diagnostic is an error. Diagnostics come in order of file, line and column.
pub fn check(sources: &[Source], system: &[Source]) -> (Option<Model>, Vec<Diagnostic>) {
    check_with(sources, system, &[])
}

/// The same, with settings from outside laid over the file's, the later over the earlier.
pub fn check_with(sources: &[Source], system: &[Source], overrides: &[Override]) -> (Option<Model>, Vec<Diagnostic>) {
    let mut report = Report::new(sources.iter().chain(system).cloned().collect());
    let Loaded { mut application, application_whole, files, functions } = load(sources, system, &mut report);
    for one in overrides {
        let source = report.add(Source { name: one.origin.as_str().into(), text: one.value.as_str().into() });
        let place = Place { source, span: Span { start: 0, end: one.value.len() } };
        if let Some(node) = application::override_node(&one.path, &one.value, place, &mut report) {
            application.set(&one.path, node);
        }
    }
    let (settings, profile_place) = application::read(application, &mut report);

    let drafts = collections::declare(files, &mut report);
    let mut suspects = Vec::new();
    if !application_whole {
        suspects.push("profile".to_owned());
    }
    let mut found: Vec<crate::Collection> =
        drafts.iter().map(|draft| collections::read(draft, &drafts, &mut suspects, &mut report)).collect();
    collections::check_database_names(&drafts, &found, &mut report);
    relations::derive(&drafts, &mut found, &mut suspects, &mut report);

    let mut profile = None;
    if let (Some(name), Some(place)) = (&settings.auth.profile, profile_place) {
        match found.iter().find(|collection| !collection.system && collection.name == *name) {
            None => {
                suspects.push("profile".into());
                report
                    .error(place, codes::UNKNOWN_COLLECTION, format!("no collection \"{name}\""))
                    .suggest(name, drafts.iter().filter(|draft| !draft.system).map(|draft| draft.name.as_str()));
            }
            Some(collection) => {
                profile = Some(collection.id);
                let single_uuid = matches!(collection.key.as_slice(), [only]
                    if matches!(collection.fields[usize::from(only.index)].declared, FieldType::Uuid));
                if !single_uuid && drafts[usize::from(collection.id.0)].whole {
                    report
                        .error(place, codes::BAD_PROFILE, format!("the key of \"{name}\" is not one uuid"))
                        .hint("leave its key out: an \"id\" of type uuid is implied");
                }
            }
        }
    }
    rules::compile(&drafts, &mut found, profile, &suspects, &mut report);
    cache::check(&drafts, &found, profile, &settings, &mut report);
    let functions = functions::read(functions, &drafts, (&found, profile), &mut report);

    let names: FxHashMap<String, crate::CollectionId> =
        found.iter().map(|collection| (collection.name.clone(), collection.id)).collect();
    let model = (!report.has_errors()).then_some(Model { settings, collections: found, functions, profile, names });
    (model, report.finish())
}

/// All sources, parsed.
struct Loaded {
    /// `undergird.toml`.
    application: tree::Table,
    application_whole: bool,
    /// The collections' files.
    files: Vec<collections::File>,
    /// The functions' files.
    functions: Vec<collections::File>,
}

/// What a source's name says that it is.
enum Part<'n> {
    Application,
    Collection(&'n str),
    Function(&'n str),
}

fn part(name: &str, is_system: bool) -> Option<Part<'_>> {
    if !is_system && name == "undergird.toml" {
        return Some(Part::Application);
    }
    let stem = name.strip_suffix(".toml")?;
    let (folder, stem) = stem.split_once('/')?;
    match (folder, is_system) {
        _ if stem.contains('/') => None,
        ("models", false) | ("system", true) => Some(Part::Collection(stem)),
        ("functions", false) => Some(Part::Function(stem)),
        _ => None,
    }
}

/// Parses all sources.
fn load(sources: &[Source], system: &[Source], report: &mut Report) -> Loaded {
    let mut loaded = Loaded {
        application: tree::Table::default(),
        application_whole: true,
        files: Vec::new(),
        functions: Vec::new(),
    };
    for (position, source) in sources.iter().chain(system).enumerate() {
        let is_system = position >= sources.len();
        let place = Place { source: position, span: Span::default() };
        let Some(part) = part(&source.name, is_system) else {
            report
                .warning(
                    place,
                    codes::UNEXPECTED_FILE,
                    format!("\"{}\" is not part of a definition and is not read", source.name),
                )
                .hint("collections are in models/NAME.toml, functions in functions/NAME.toml, without folders in them");
            continue;
        };
        if source.text.len() > SOURCE_BYTES_MAX {
            let message = format!("the file has more than {} KiB", SOURCE_BYTES_MAX >> 10);
            report.error(place, codes::SOURCE_TOO_LARGE, message);
            continue;
        }
        if sources.iter().chain(system).take(position).any(|other| other.name == source.name) {
            report.error(place, codes::DUPLICATE_FILE, format!("\"{}\" is given twice", source.name));
            continue;
        }
        let (tree, whole) = tree::parse(position, report);
        let (list, stem) = match part {
            Part::Collection(stem) => (&mut loaded.files, stem),
            Part::Function(stem) => (&mut loaded.functions, stem),
            Part::Application => {
                (loaded.application, loaded.application_whole) = (tree, whole);
                continue;
            }
        };
        list.push(collections::File { name: stem.to_owned(), system: is_system, source: position, tree, whole });
    }
    if !loaded.application_whole {
        // What a syntax error left over would only give rise to mistakes that are none.
        loaded.application = tree::Table::default();
    }
    loaded
}
