//! `functions/*.toml` → functions of the database: what they are called there, what they take and give, who may call them.
//!
//! Absent: whether the database has such a function, which only the database can say; the store compares when it is opened.

use super::collections::{Draft, File};
use super::report::{Place, Report, codes};
use super::rules::problems_of;
use super::tree::{Data, Table, inside};
use super::{fields, keys, names, shape};
use crate::cel::{self, Expect, Scope};
use crate::diagnostic::{Severity, Span};
use crate::schema::{Argument, Collection, CollectionId, DbFunction, FieldId, FunctionId, Returns, Rule, Volatility};

/// Most functions of a definition. Far below what a position can number.
const FUNCTIONS_MAX: usize = 2_000;
/// Most arguments of a function: PostgreSQL takes 100.
const ARGUMENTS_MAX: usize = 100;

/// Reads all functions, in order of their names.
pub(super) fn read(
    mut files: Vec<File>,
    drafts: &[Draft],
    (collections, profile): (&[Collection], Option<CollectionId>),
    report: &mut Report,
) -> Vec<DbFunction> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(file) = files.get(FUNCTIONS_MAX) {
        let place = Place { source: file.source, span: Span::default() };
        report.error(place, codes::TOO_MANY, format!("there are more than {FUNCTIONS_MAX} functions"));
        files.truncate(FUNCTIONS_MAX);
    }
    let mut functions = Vec::with_capacity(files.len());
    for (position, mut file) in files.into_iter().enumerate() {
        let place = Place { source: file.source, span: Span::default() };
        names::check(&file.name, "function", false, place, report);
        // What a syntax error left over is read without another word: half of the mistakes in it would be none.
        let mut deaf = Report::deaf();
        let report = if file.whole { &mut *report } else { &mut deaf };
        shape::verify(&mut file.tree, keys::FUNCTION, &format!("function \"{}\"", file.name), report);
        functions.push(function(FunctionId(position as u16), &file, drafts, (collections, profile), report));
    }
    functions
}

fn function(
    id: FunctionId,
    file: &File,
    drafts: &[Draft],
    (collections, profile): (&[Collection], Option<CollectionId>),
    report: &mut Report,
) -> DbFunction {
    let tree = &file.tree;
    let (schema, sql) = match tree.text("sql") {
        Some((text, place)) => sql_name(text, place, report),
        None => (None, file.name.clone()),
    };
    let volatility = match tree.text("volatility") {
        Some(("stable", _)) => Volatility::Stable,
        Some(("immutable", _)) => Volatility::Immutable,
        _ => Volatility::Volatile,
    };
    DbFunction {
        id,
        name: file.name.clone(),
        schema,
        sql,
        description: tree.text("description").map(|(text, _)| text.to_owned()),
        volatility,
        returns: returns(tree, drafts, report),
        arguments: arguments(tree, report),
        access: access(tree, collections, profile, report),
    }
}

/// `public.near` as its parts. Names are taken as they stand, and quoted whatever they are.
fn sql_name(text: &str, place: Place, report: &mut Report) -> (Option<String>, String) {
    let fits = |name: &str| !name.is_empty() && name.len() <= names::NAME_CHARS_MAX && !name.contains(['\0', '"', '(']);
    let (schema, name) = match text.split_once('.') {
        Some((schema, name)) => (Some(schema), name),
        None => (None, text),
    };
    if !fits(name) || name.contains('.') || schema.is_some_and(|schema| !fits(schema)) {
        report
            .error(place, codes::BAD_FUNCTION, format!("\"{text}\" does not name a function of the database"))
            .hint("write its name, or schema.name, without quotes and arguments: \"public.near\"");
    }
    (schema.map(str::to_owned), name.to_owned())
}

fn returns(tree: &Table, drafts: &[Draft], report: &mut Report) -> Returns {
    let Some((table, place)) = tree.table("returns").zip(tree.node("returns").map(|node| node.place)) else {
        return Returns::Nothing;
    };
    let said: Vec<&str> = ["rows", "row", "type"].into_iter().filter(|key| table.get(key).is_some()).collect();
    match said.as_slice() {
        [only @ ("rows" | "row")] => {
            for key in ["list", "of", "precision", "scale", "values"] {
                if let Some(entry) = table.get(key) {
                    let message = format!("\"{key}\" says nothing about rows");
                    report.error(entry.place, codes::BAD_FUNCTION, message).hint("remove it");
                }
            }
            let Some((name, place)) = table.text(only) else { return Returns::Nothing };
            let public = || drafts.iter().filter(|draft| !draft.system);
            match public().find(|draft| draft.name == name) {
                Some(draft) => Returns::Rows { of: draft.id, one: *only == "row" },
                None => {
                    report
                        .error(place, codes::UNKNOWN_COLLECTION, format!("no collection \"{name}\""))
                        .suggest(name, public().map(|draft| draft.name.as_str()));
                    Returns::Nothing
                }
            }
        }
        ["type"] => match fields::loose(table, place, "the result", report) {
            Some(declared) => {
                for entry in &table.entries {
                    let key = super::keys::ARGUMENT.iter().find(|key| key.name == entry.key);
                    let of = match &declared {
                        crate::field_type::FieldType::List { of } => of.name(),
                        _ => "",
                    };
                    let is_for = |key: &keys::Key| {
                        key.types.is_empty() || key.types.contains(&declared.name()) || key.types.contains(&of)
                    };
                    if key.is_some_and(|key| !is_for(key)) {
                        let message = format!("\"{}\" is not for values of type {}", entry.key, declared.name());
                        report.error(entry.place, codes::KEY_NOT_FOR_TYPE, message);
                    }
                }
                let list = table.bool("list").unwrap_or(false);
                if let (true, crate::field_type::FieldType::List { .. }) = (list, &declared) {
                    report
                        .error(place, codes::BAD_FUNCTION, "a set of lists cannot be told from one long list")
                        .hint("return json, or one list");
                }
                Returns::Value { declared, list }
            }
            None => Returns::Nothing,
        },
        [] => {
            if report.silent_within(place) {
                report
                    .error(place, codes::BAD_FUNCTION, "\"returns\" does not say what")
                    .hint("{ rows = \"places\" }, { row = \"places\" } or { type = \"int\" }; nothing at all for void");
            }
            Returns::Nothing
        }
        several => {
            let message = format!("\"returns\" has {}, of which there is one", several.join(" and "));
            report.error(place, codes::BAD_FUNCTION, message).hint("rows, row or type");
            Returns::Nothing
        }
    }
}

fn arguments(tree: &Table, report: &mut Report) -> Vec<Argument> {
    let none = Table::default();
    let declared = tree.table("arguments").unwrap_or(&none);
    let mut arguments: Vec<Argument> = Vec::new();
    for entry in &declared.entries {
        if arguments.len() >= ARGUMENTS_MAX {
            report.error(entry.place, codes::TOO_MANY, format!("a function has at most {ARGUMENTS_MAX} arguments"));
            break;
        }
        // In SQL their names often begin with an underscore, to tell them from columns.
        names::check(&entry.key, "argument", true, entry.place, report);
        let id = FieldId { collection: CollectionId::NONE, index: arguments.len() as u16 };
        let (field, _) = fields::read_loose(id, entry, report);
        let sql = match &entry.value.data {
            Data::Table(table) => table.text("sql"),
            _ => None,
        };
        if let Some((name, place)) = sql.filter(|(name, _)| name.is_empty() || name.len() > names::NAME_CHARS_MAX) {
            let message = format!("\"{name}\" does not name an argument of the database's function");
            report.error(place, codes::BAD_FUNCTION, message).hint("a name has 1 to 63 characters");
        }
        let sql = sql.map_or_else(|| entry.key.clone(), |(name, _)| name.to_owned());
        if let Some(twin) = arguments.iter().find(|other| other.sql == sql) {
            let message = format!("\"{sql}\" is the argument \"{}\" already", twin.field.name);
            report.error(entry.place, codes::DUPLICATE_NAME, message);
        }
        arguments.push(Argument { field, sql });
    }
    arguments
}

/// Who may call: about the caller and the time, since there is no row.
fn access(
    tree: &Table,
    collections: &[Collection],
    profile: Option<CollectionId>,
    report: &mut Report,
) -> Option<Rule> {
    let node = tree.node("access")?;
    let text = node.text()?;
    let scope = Scope {
        collections,
        this: None,
        allow_new: false,
        allow_auth: true,
        allow_relations: false,
        allow_now: true,
        profile,
        expect: Expect::Bool,
    };
    let source = report.text(node.place.source);
    let raw = source.get(node.place.span.start..node.place.span.end).unwrap_or("");
    let place = |problem: &cel::Problem| Place { span: inside(raw, text, node.place.span, problem.span), ..node.place };
    match cel::compile_with_warnings(text, &scope) {
        Ok((expr, warnings)) => {
            problems_of(warnings, Severity::Warning, place, report);
            Some(Rule { text: text.to_owned(), expr })
        }
        Err(mut problems) => {
            for problem in problems.iter_mut().filter(|problem| problem.code == "relation-not-allowed") {
                problem.message =
                    "who may call a function is decided before any row is read, that of the profile too".into();
                problem.hint = Some("use auth.id, auth.role, auth.roles, auth.email or auth.claims".into());
            }
            problems_of(problems, Severity::Error, place, report);
            None
        }
    }
}
