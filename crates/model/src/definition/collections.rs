//! `models/*.toml` → collections with fields, keys and indexes. Two steps, because refs look at other collections: first every
//! collection is declared by its name, then its parts are read.
//!
//! Absent: relations (see [`super::relations`]) and rules (see [`super::rules`]).

use super::cache;
use super::fields;
use super::keys;
use super::names;
use super::report::{Place, Report, codes};
use super::shape;
use super::tree::{Data, Table};
use crate::diagnostic::Span;
use crate::field_type::FieldType;
use crate::schema::{Access, Collection, CollectionId, Default, Direction, Field, FieldId, Index};

/// Most collections of a definition, the system's included. Far below what a position can number.
const COLLECTIONS_MAX: usize = 10_000;
/// Most fields of a collection: SQLite takes 2,000 columns, PostgreSQL 1,600, MySQL 1,017.
const FIELDS_MAX: usize = 500;
/// Most indexes of a collection, beside the key's.
const INDEXES_MAX: usize = 60;

/// A collection as its file says it.
pub(super) struct Draft {
    pub id: CollectionId,
    pub name: String,
    pub system: bool,
    /// Its source among the report's.
    pub source: usize,
    pub tree: Table,
    /// Whether the file is free of syntax errors. If not, nothing is concluded from what is missing in it.
    pub whole: bool,
}

impl Draft {
    /// The first character of the file: where mistakes about the whole collection are shown.
    pub fn place(&self) -> Place {
        Place { source: self.source, span: Span::default() }
    }

    /// The declared key, or the field `id` when there is one. Empty: an `id` is implied.
    pub fn key_names(&self) -> Vec<(String, Place)> {
        if let Some(node) = self.tree.node("key") {
            return match &node.data {
                Data::Text(name) => vec![(name.clone(), node.place)],
                Data::Array(items) => {
                    items.iter().filter_map(|item| Some((item.text()?.to_owned(), item.place))).collect()
                }
                _ => Vec::new(),
            };
        }
        let id = self.tree.table("fields").and_then(|fields| fields.get("id"));
        id.map(|entry| (entry.key.clone(), entry.place)).into_iter().collect()
    }
}

/// A file that holds a collection or a function: its name and its parsed text.
pub(super) struct File {
    pub name: String,
    pub system: bool,
    pub source: usize,
    pub tree: Table,
    pub whole: bool,
}

/// Declares all collections: in order of name, the application's first.
pub(super) fn declare(mut files: Vec<File>, report: &mut Report) -> Vec<Draft> {
    files.sort_by(|a, b| (a.system, &a.name).cmp(&(b.system, &b.name)));
    if let Some(file) = files.get(COLLECTIONS_MAX) {
        let place = Place { source: file.source, span: Span::default() };
        report.error(place, codes::TOO_MANY, format!("there are more than {COLLECTIONS_MAX} collections"));
        files.truncate(COLLECTIONS_MAX);
    }
    let mut drafts = Vec::with_capacity(files.len());
    for (position, mut file) in files.into_iter().enumerate() {
        let place = Place { source: file.source, span: Span::default() };
        names::check(&file.name, "collection", file.system, place, report);
        // What a syntax error left over is read without another word: half of the mistakes in it would be none.
        let mut deaf = Report::deaf();
        let report = if file.whole { &mut *report } else { &mut deaf };
        shape::verify(&mut file.tree, keys::COLLECTION, &format!("collection \"{}\"", file.name), report);
        drafts.push(Draft {
            id: CollectionId(position as u16),
            name: file.name,
            system: file.system,
            source: file.source,
            tree: file.tree,
            whole: file.whole,
        });
    }
    drafts
}

/// Reads one collection's fields, key and indexes. `suspects` gathers the names of what could not be made out.
pub(super) fn read(draft: &Draft, drafts: &[Draft], suspects: &mut Vec<String>, report: &mut Report) -> Collection {
    let mut deaf = Report::deaf();
    let report = if draft.whole { report } else { &mut deaf };
    let told = |key: &str| draft.tree.text(key).map(|(text, _)| text.to_owned());
    let flag = |key: &str| draft.tree.bool(key).unwrap_or(false);
    let mut collection = Collection {
        id: draft.id,
        name: draft.name.clone(),
        table: told("table").unwrap_or_else(|| draft.name.clone()),
        schema: told("schema"),
        adopted: flag("adopted"),
        readonly: flag("readonly"),
        description: told("description"),
        system: draft.system,
        fields: Vec::new(),
        key: Vec::new(),
        relations: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        access: Access::default(),
        cache: cache::seconds(draft),
    };
    for key in ["schema", "readonly"] {
        if let (false, Some(entry)) = (collection.adopted, draft.tree.get(key)) {
            report
                .error(entry.place, codes::NOT_ADOPTED, format!("\"{key}\" is for an adopted table"))
                .hint("adopted = true says that the table exists as it is");
        }
    }
    read_fields(draft, drafts, &mut collection, suspects, report);
    read_key(draft, &mut collection, report);
    read_indexes(draft, &mut collection, report);
    collection
}

fn read_fields(
    draft: &Draft,
    drafts: &[Draft],
    collection: &mut Collection,
    suspects: &mut Vec<String>,
    report: &mut Report,
) {
    let none = Table::default();
    let declared = draft.tree.table("fields").unwrap_or(&none);
    let id = |index: usize| FieldId { collection: draft.id, index: index as u16 };
    if draft.key_names().is_empty() {
        let implied = Field { declared: FieldType::Uuid, ..fields::blank(id(0), "id") };
        collection.fields.push(Field { ty: implied.declared.storage(), ..implied });
        if declared.entries.is_empty() && report.silent_in(draft.source) {
            report
                .error(draft.place(), codes::NO_FIELDS, format!("collection \"{}\" has no fields", draft.name))
                .hint("add [fields], and below it title = { type = \"text\" }");
        }
    }
    for entry in &declared.entries {
        if collection.fields.len() >= FIELDS_MAX {
            report.error(entry.place, codes::TOO_MANY, format!("a collection has at most {FIELDS_MAX} fields"));
            break;
        }
        let (field, whole) = fields::read(id(collection.fields.len()), entry, drafts, report);
        if !whole {
            suspects.push(field.name.clone());
            suspects.extend(field.name.strip_suffix("_id").map(str::to_owned));
        }
        if let Some(twin) = collection.fields.iter().find(|other| {
            other.column.eq_ignore_ascii_case(&field.column) && (!collection.adopted || other.column == field.column)
        }) {
            let message = format!("the column \"{}\" belongs to the field \"{}\" already", field.column, twin.name);
            report.error(entry.place, codes::DUPLICATE_NAME, message);
        }
        collection.fields.push(field);
    }
}

fn read_key(draft: &Draft, collection: &mut Collection, report: &mut Report) {
    let declared = draft.key_names();
    if let (Some(node), true) = (draft.tree.node("key"), declared.is_empty()) {
        report.error(node.place, codes::BAD_KEY, "the key is empty").hint("leave it out for an \"id\"");
    }
    for (name, place) in &declared {
        let Some(field) = collection.fields.iter().find(|field| field.name == *name) else {
            report
                .error(*place, codes::UNKNOWN_FIELD, format!("no field \"{name}\" in \"{}\"", draft.name))
                .suggest(name, collection.fields.iter().map(|field| field.name.as_str()));
            continue;
        };
        if collection.key.contains(&field.id) {
            report.error(*place, codes::BAD_KEY, format!("\"{name}\" is twice in the key"));
            continue;
        }
        if field.is_secret() {
            report.error(*place, codes::SECRET_USE, format!("\"{name}\" is a secret and cannot be part of a key"));
        } else if !fields::is_comparable(&field.declared) || matches!(field.declared, FieldType::Float) {
            let message = format!("\"{name}\" is a {}, which cannot be part of a key", field.declared.name());
            report.error(*place, codes::BAD_KEY, message);
        } else if field.optional {
            let message = format!("\"{name}\" is optional, but a key is never null");
            report.error(*place, codes::BAD_KEY, message).hint("remove optional = true");
        }
        let rule = draft.tree.table("fields").and_then(|fields| fields.table(name)?.get("read"));
        if let Some(rule) = rule {
            // Cursors, ETags and relations name the row by its key: whoever may see the row sees it.
            report
                .error(
                    rule.place,
                    codes::BAD_KEY,
                    format!("\"{name}\" is part of the key, so it cannot have a read rule"),
                )
                .hint("whoever may read the row may read its key: say it in [access] read");
        }
        collection.key.push(field.id);
    }
    if declared.is_empty() {
        collection.key.push(FieldId { collection: draft.id, index: 0 });
    }
    give_single_key_its_default(draft, collection);
}

/// A single uuid key is made by the server, a single int key by the database, unless a default says otherwise.
fn give_single_key_its_default(draft: &Draft, collection: &mut Collection) {
    let [only] = collection.key[..] else { return };
    let Some(field) = collection.fields.get_mut(usize::from(only.index)) else { return };
    let computed = draft.tree.table("fields").and_then(|fields| fields.table(&field.name)?.node("default")).is_some();
    let entry = draft.tree.table("fields").and_then(|fields| fields.table(&field.name));
    let never = entry.is_some_and(|entry| entry.text("generated").is_some_and(|(word, _)| word == "never"));
    if field.default.is_some() || computed || never {
        return;
    }
    field.default = match field.declared {
        FieldType::Uuid => Some(Default::UuidV7),
        FieldType::Int => Some(Default::Identity),
        _ => None,
    };
}

fn read_indexes(draft: &Draft, collection: &mut Collection, report: &mut Report) {
    let items = draft.tree.items("indexes");
    if let Some(item) = items.get(INDEXES_MAX) {
        report.error(item.place, codes::TOO_MANY, format!("a collection has at most {INDEXES_MAX} indexes"));
    }
    for item in items.iter().take(INDEXES_MAX) {
        let Data::Table(table) = &item.data else { continue };
        let mut columns: Vec<(FieldId, Direction)> = Vec::new();
        let mut fine = true;
        for node in table.items("fields") {
            let Some(text) = node.text() else { continue };
            let (name, direction) = match text.strip_prefix('-') {
                Some(name) => (name, Direction::Descending),
                None => (text, Direction::Ascending),
            };
            let fault = match collection.field(name) {
                None => {
                    report
                        .error(node.place, codes::UNKNOWN_FIELD, format!("no field \"{name}\" in \"{}\"", draft.name))
                        .suggest(name, collection.fields.iter().map(|field| field.name.as_str()));
                    fine = false;
                    continue;
                }
                Some(field) if field.is_secret() => {
                    Some((codes::SECRET_USE, format!("\"{name}\" is a secret and cannot be indexed")))
                }
                Some(field) if !fields::is_comparable(&field.declared) => Some((
                    codes::BAD_INDEX,
                    format!("\"{name}\" is a {}, which cannot be indexed", field.declared.name()),
                )),
                Some(field) if columns.iter().any(|(other, _)| *other == field.id) => {
                    Some((codes::BAD_INDEX, format!("\"{name}\" is twice in the index")))
                }
                Some(field) => {
                    columns.push((field.id, direction));
                    None
                }
            };
            if let Some((code, message)) = fault {
                report.error(node.place, code, message);
                fine = false;
            }
        }
        if columns.is_empty() {
            let unsaid = table.node("fields").is_none_or(|node| report.silent_within(node.place));
            if fine && unsaid {
                report
                    .error(item.place, codes::BAD_INDEX, "an index needs \"fields\"")
                    .hint("fields = [\"status\", \"-created_at\"]");
            }
            continue;
        }
        let unique = table.bool("unique").unwrap_or(false);
        let name = table.text("name").map_or_else(
            || {
                let parts = columns.iter().map(|(id, _)| collection.fields[usize::from(id.index)].column.as_str());
                let ending = if unique { "key" } else { "idx" };
                names::made(&[collection.table.as_str()].into_iter().chain(parts).chain([ending]).collect::<Vec<_>>())
            },
            |(name, _)| name.to_owned(),
        );
        collection.indexes.push(Index { name, fields: columns, unique });
    }
}

/// Names in the database that must be the only ones of their kind: tables, indexes. Case apart, because SQLite and MySQL say so.
pub(super) fn check_database_names(drafts: &[Draft], collections: &[Collection], report: &mut Report) {
    let mut tables = rustc_hash::FxHashMap::default();
    let mut indexes = rustc_hash::FxHashMap::default();
    for (draft, collection) in drafts.iter().zip(collections) {
        let schema = collection.schema.as_deref().unwrap_or_default();
        // What is adopted may differ in case alone: its database says that these are two.
        let table = if collection.adopted { collection.table.clone() } else { collection.table.to_ascii_lowercase() };
        if let Some(other) = tables.insert((schema, table), &collection.name) {
            let place = draft.tree.node("table").map_or(draft.place(), |node| node.place);
            let message = format!("the table \"{}\" belongs to the collection \"{other}\" already", collection.table);
            report.error(place, codes::DUPLICATE_NAME, message);
        }
        for (index, item) in collection.indexes.iter().zip(draft.tree.items("indexes")) {
            if collection.adopted {
                continue;
            }
            if let Some(other) = indexes.insert(index.name.to_ascii_lowercase(), &collection.name) {
                let message = format!("the index \"{}\" exists already, in \"{other}\"", index.name);
                report.error(item.place, codes::DUPLICATE_NAME, message).hint("give one of them a name");
            }
        }
    }
}
