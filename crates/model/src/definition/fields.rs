//! One entry of `[fields]` → one [`Field`]: its type with parameters, bounds, literal default and flags.
//!
//! Absent: rules and computed defaults (see [`super::rules`]), which need every collection's fields first.

use super::collections::Draft;
use super::keys;
use super::names;
use super::report::{Place, Report, codes};
use super::tree::{Data, Entry, Table};
use crate::field_type::{FieldType, OnDelete, Pattern, decimal, schema};
use crate::schema::{CollectionId, Default, Field, FieldId, Kept};
use crate::value::Value;

/// Greatest compiled size of one pattern, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Reads a field. The flag says whether its type could be made out; if not, it is text, so that the rest can be checked.
pub(super) fn read(id: FieldId, entry: &Entry, drafts: &[Draft], report: &mut Report) -> (Field, bool) {
    let Data::Table(table) = &entry.value.data else { return (blank(id, &entry.key), false) };
    let draft = &drafts[usize::from(id.collection.0)];
    let system = draft.system;
    names::check(&entry.key, "field", false, entry.place, report);
    let declared = declared(table, entry.place, id.collection, drafts, report);
    let whole = declared.is_some();
    let mut field = Field { declared: declared.unwrap_or(FieldType::Text { pattern: None }), ..blank(id, &entry.key) };
    field.ty = field.declared.storage();
    let told = |key: &str| table.text(key).map(|(text, _)| text.to_owned());
    let flag = |key: &str| table.bool(key).unwrap_or(false);
    field.column = told("column").unwrap_or_else(|| entry.key.clone());
    field.description = told("description");
    field.renamed_from = told("renamed_from");
    field.optional = flag("optional");
    field.unique = flag("unique");
    field.readonly = flag("readonly");
    field.immutable = flag("immutable");
    adopted(table, draft.tree.bool("adopted").unwrap_or(false), &mut field, report);
    if whole {
        keys_fit_type(table, &field, report);
        bounds(table, &mut field, report);
        field.default = literal_default(table, &field, report).or(field.default);
        flags_fit(table, &field, system, report);
    }
    (field, whole)
}

/// Most characters of a `storage`.
const STORAGE_CHARS_MAX: usize = 200;

/// What is said of a column that was there before the definition.
fn adopted(table: &Table, is_adopted: bool, field: &mut Field, report: &mut Report) {
    for key in ["storage", "generated"] {
        if let (false, Some(entry)) = (is_adopted, table.get(key)) {
            report
                .error(entry.place, codes::NOT_ADOPTED, format!("\"{key}\" is for the columns of an adopted table"))
                .hint("Undergird's own tables keep values in its own forms; adopted = true says that the table exists as it is");
            return;
        }
    }
    if !is_adopted {
        return;
    }
    let storage = table.text("storage");
    if let Some((word, place)) = storage
        // It stands in statements, so it is a type's name and nothing that could be more.
        && (word.is_empty() || word.chars().count() > STORAGE_CHARS_MAX || !word.chars().all(is_of_type_name))
    {
        report.error(place, codes::NOT_ADOPTED, "\"storage\" is the name of a column's type");
        return;
    }
    field.kept = Kept::Adopted(storage.map(|(word, _)| word.to_owned()));
    match table.text("generated") {
        Some(("always", _)) => field.default = Some(Default::Database { always: true }),
        Some(("default", _)) => field.default = Some(Default::Database { always: false }),
        _ => {}
    }
    if let (Some(_), Some(entry)) = (&field.default, table.get("default")) {
        report.error(entry.place, codes::BAD_DEFAULT, "what the database generates has no other default");
    }
}

fn is_of_type_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, ' ' | '_' | '.' | '(' | ')' | ',' | '[' | ']' | '"')
}

/// Reads what is described like a field, but is none of a collection: an argument. The flag says whether its type could be made out.
pub(super) fn read_loose(id: FieldId, entry: &Entry, report: &mut Report) -> (Field, bool) {
    let mut field = blank(id, &entry.key);
    let Data::Table(table) = &entry.value.data else { return (field, false) };
    let Some(declared) = loose(table, entry.place, "the argument", report) else { return (field, false) };
    field.ty = declared.storage();
    field.declared = declared;
    field.description = table.text("description").map(|(text, _)| text.to_owned());
    field.optional = table.bool("optional").unwrap_or(false);
    keys_fit_type(table, &field, report);
    bounds(table, &mut field, report);
    (field, true)
}

/// The type of a value that is in no collection. `None`: the reason was reported.
pub(super) fn loose(table: &Table, place: Place, what: &str, report: &mut Report) -> Option<FieldType> {
    let Some((name, _)) = table.text("type") else {
        if table.get("type").is_none() && report.silent_at(place) {
            report
                .error(place, codes::MISSING_KEY, format!("{what} has no \"type\""))
                .hint(format!("one of {}", keys::VALUES.join(", ")));
        }
        return None;
    };
    if name == "list" { list(table, place, report) } else { scalar(name, table, place, report) }
}

/// A field of which nothing is known but its name.
pub(super) fn blank(id: FieldId, name: &str) -> Field {
    let declared = FieldType::Text { pattern: None };
    Field {
        id,
        name: name.to_owned(),
        column: name.to_owned(),
        ty: declared.storage(),
        declared,
        description: None,
        optional: false,
        unique: false,
        readonly: false,
        immutable: false,
        default: None,
        min: None,
        max: None,
        read: None,
        write: None,
        renamed_from: None,
        kept: Kept::Own,
    }
}

/// The declared type. `None`: the reason was reported.
fn declared(
    table: &Table,
    place: Place,
    own: CollectionId,
    drafts: &[Draft],
    report: &mut Report,
) -> Option<FieldType> {
    // A `type` of the wrong TOML type was reported and removed; then nothing more is said about its absence.
    let Some((name, name_place)) = table.text("type") else {
        if table.get("type").is_none() && report.silent_at(place) {
            report
                .error(place, codes::MISSING_KEY, "the field has no \"type\"")
                .hint(format!("one of {}", type_names().collect::<Vec<_>>().join(", ")));
        }
        return None;
    };
    match name {
        "ref" => reference(table, place, own, drafts, report),
        "list" => list(table, place, report),
        name if type_names().any(|known| known == name) => scalar(name, table, place, report),
        name => {
            report
                .error(name_place, codes::UNKNOWN_TYPE, format!("unknown type \"{name}\""))
                .suggest(name, type_names());
            None
        }
    }
}

fn list(table: &Table, place: Place, report: &mut Report) -> Option<FieldType> {
    let Some((of, of_place)) = table.text("of") else {
        report.error(place, codes::MISSING_KEY, "a list needs \"of\", the type of its items");
        return None;
    };
    if !keys::LIST_OF.contains(&of) {
        let (code, message) = match type_names().any(|known| known == of) {
            true => (codes::BAD_LIST, format!("a list cannot be of {of}")),
            false => (codes::UNKNOWN_TYPE, format!("unknown type \"{of}\"")),
        };
        report.error(of_place, code, message).suggest(of, keys::LIST_OF.iter().copied());
        return None;
    }
    scalar(of, table, place, report).map(|of| FieldType::List { of: Box::new(of) })
}

fn type_names() -> impl Iterator<Item = &'static str> {
    keys::TYPES.iter().map(|(name, _)| *name)
}

/// A type that holds a value of its own, by its name.
fn scalar(name: &str, table: &Table, place: Place, report: &mut Report) -> Option<FieldType> {
    Some(match name {
        "text" => match table.text("pattern") {
            None => FieldType::Text { pattern: None },
            Some((text, place)) => FieldType::Text { pattern: Some(pattern(text, place, report)?) },
        },
        "secret" => FieldType::Secret,
        "bool" => FieldType::Bool,
        "int" => FieldType::Int,
        "float" => FieldType::Float,
        "decimal" => {
            let (Some(precision), Some(scale)) = (table.int("precision"), table.int("scale")) else {
                if report.silent_at(place) {
                    report
                        .error(place, codes::MISSING_KEY, "a decimal needs \"precision\" and \"scale\"")
                        .hint("{ type = \"decimal\", precision = 12, scale = 2 }");
                }
                return None;
            };
            if scale > precision {
                let scale_place = table.node("scale").map_or(place, |node| node.place);
                report.error(scale_place, codes::BAD_PRECISION, "\"scale\" is greater than \"precision\"");
                return None;
            }
            // The inventory bounds both by the precision's maximum.
            let digit = |number: i64| u8::try_from(number).unwrap_or(decimal::PRECISION_MAX);
            FieldType::Decimal { precision: digit(precision), scale: digit(scale) }
        }
        "uuid" => FieldType::Uuid,
        "timestamp" => FieldType::Timestamp,
        "date" => FieldType::Date,
        "time" => FieldType::Time,
        "json" => match table.node("schema") {
            None => FieldType::Json { schema: None },
            Some(node) => {
                let schema = node.to_json().unwrap_or_default();
                if let Err(faults) = schema::check(&schema) {
                    for fault in faults {
                        report.error(node.place, codes::BAD_SCHEMA, format!("JSON Schema: {fault}"));
                    }
                    return None;
                }
                FieldType::Json { schema: Some(schema) }
            }
        },
        "bytes" => FieldType::Bytes,
        "enum" => FieldType::Enum { values: values(table, place, report)? },
        "email" => FieldType::Email,
        "url" => FieldType::Url,
        _ => return None,
    })
}

fn pattern(text: &str, place: Place, report: &mut Report) -> Option<Pattern> {
    match regex::RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).build() {
        Ok(regex) => Some(Pattern(regex)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            report
                .error(place, codes::BAD_PATTERN, format!("the pattern does not compile: {reason}"))
                .hint("the syntax is RE2's; in TOML, single quotes keep backslashes as they are");
            None
        }
    }
}

fn values(table: &Table, place: Place, report: &mut Report) -> Option<Vec<String>> {
    if table.get("values").is_none() {
        if report.silent_at(place) {
            report
                .error(place, codes::MISSING_KEY, "an enum needs \"values\"")
                .hint("values = [\"draft\", \"published\"]");
        }
        return None;
    }
    let mut values: Vec<String> = Vec::new();
    let mut fine = true;
    for node in table.items("values") {
        let Some(text) = node.text() else { continue };
        if text.is_empty() || values.iter().any(|value| value == text) {
            let reason = if text.is_empty() { "a value is empty".into() } else { format!("\"{text}\" is there twice") };
            report.error(node.place, codes::BAD_VALUES, reason);
            fine = false;
        }
        values.push(text.to_owned());
    }
    if values.is_empty() {
        report.error(place, codes::BAD_VALUES, "\"values\" is empty");
        return None;
    }
    fine.then_some(values)
}

fn reference(
    table: &Table,
    place: Place,
    own: CollectionId,
    drafts: &[Draft],
    report: &mut Report,
) -> Option<FieldType> {
    let Some((to, to_place)) = table.text("to") else {
        if report.silent_at(place) {
            report.error(place, codes::MISSING_KEY, "a ref needs \"to\", the collection that it refers to");
        }
        return None;
    };
    // The application does not know Undergird's own collections, and must not learn of them from a suggestion.
    let system = drafts[usize::from(own.0)].system;
    let reachable = || drafts.iter().filter(move |draft| system || !draft.system);
    let Some(target) = reachable().find(|draft| draft.name == to) else {
        report
            .error(to_place, codes::UNKNOWN_COLLECTION, format!("no collection \"{to}\""))
            .suggest(to, reachable().map(|draft| draft.name.as_str()));
        return None;
    };
    let on_delete = match table.text("on_delete") {
        Some(("cascade", _)) => OnDelete::Cascade,
        Some(("set_null", at)) => {
            if table.bool("optional") != Some(true) {
                report
                    .error(at, codes::SET_NULL_REQUIRED, "\"set_null\" needs an optional field")
                    .hint("add optional = true");
            }
            OnDelete::SetNull
        }
        _ => OnDelete::Restrict,
    };
    match key_type(target, drafts, 0) {
        Ok(key) => Some(FieldType::Ref { to: target.id, key: Box::new(key), on_delete }),
        Err(KeyFault::Composite) => {
            report
                .error(
                    to_place,
                    codes::COMPOSITE_REF,
                    format!("\"{to}\" has a composite key, which one column cannot hold"),
                )
                .hint(format!("give \"{to}\" a single key and a unique index over the others"));
            None
        }
        Err(KeyFault::Cycle) => {
            report.error(to_place, codes::REF_CYCLE, format!("the key of \"{to}\" leads back here, so it has no type"));
            None
        }
        // The mistake is over there and was reported there.
        Err(KeyFault::Broken) => None,
    }
}

enum KeyFault {
    Composite,
    Cycle,
    Broken,
}

/// The type of a collection's single key, from its text: fields are still being read.
fn key_type(target: &Draft, drafts: &[Draft], depth: usize) -> Result<FieldType, KeyFault> {
    if depth > drafts.len() {
        return Err(KeyFault::Cycle);
    }
    if !target.whole {
        return Err(KeyFault::Broken);
    }
    let name = match target.key_names().as_slice() {
        [] => return Ok(FieldType::Uuid),
        [(name, _)] => name.clone(),
        _ => return Err(KeyFault::Composite),
    };
    let field = target.tree.table("fields").and_then(|fields| fields.table(&name)).ok_or(KeyFault::Broken)?;
    let (ty, place) = field.text("type").ok_or(KeyFault::Broken)?;
    if ty == "ref" {
        let (to, _) = field.text("to").ok_or(KeyFault::Broken)?;
        let next = drafts.iter().find(|draft| draft.name == to).ok_or(KeyFault::Broken)?;
        return key_type(next, drafts, depth + 1);
    }
    // What is wrong with that field is reported where it is read, not here.
    scalar(ty, field, place, &mut Report::deaf()).ok_or(KeyFault::Broken)
}

/// Keys that say nothing about this type.
fn keys_fit_type(table: &Table, field: &Field, report: &mut Report) {
    let name = field.declared.name();
    let of = match &field.declared {
        FieldType::List { of } => of.name(),
        _ => "",
    };
    for entry in &table.entries {
        let Some(key) = keys::FIELD.iter().find(|key| key.name == entry.key) else { continue };
        // Bounds of a list are the list's; what describes the items stands beside.
        let fits = key.types.is_empty()
            || key.types.contains(&name)
            || !matches!(key.name, "min" | "max") && key.types.contains(&of);
        if !fits {
            report
                .error(
                    entry.place,
                    codes::KEY_NOT_FOR_TYPE,
                    format!("\"{}\" is not for fields of type {name}", entry.key),
                )
                .hint(format!("it is for {}", key.types.join(", ")));
        }
    }
}

fn bounds(table: &Table, field: &mut Field, report: &mut Report) {
    let is_number = matches!(field.declared, FieldType::Int | FieldType::Float | FieldType::Decimal { .. });
    let mut read = |key: &str| {
        let node = table.node(key)?;
        let value = match (&node.data, is_number) {
            (_, true) => node
                .to_json()
                .ok_or("expected a finite number".to_owned())
                .and_then(|json| field.declared.accept_json(&json)),
            (Data::Int(length), false) if *length >= 0 => Ok(Value::Int(*length)),
            _ => Err("expected a length, a whole number that is not negative".into()),
        };
        match value {
            Ok(value) => Some(value),
            Err(reason) => {
                report.error(node.place, codes::BAD_BOUND, format!("\"{key}\": {reason}"));
                None
            }
        }
    };
    let fits = |key: &str| {
        let key = keys::FIELD.iter().find(|known| known.name == key);
        key.is_some_and(|key| key.types.contains(&field.declared.name()))
    };
    if !fits("min") {
        return;
    }
    let (min, max) = (read("min"), read("max"));
    let above = match (&min, &max) {
        (Some(Value::Int(min)), Some(Value::Int(max))) => min > max,
        (Some(Value::Float(min)), Some(Value::Float(max))) => min > max,
        // Of one field, so of one scale.
        (Some(Value::Decimal(min)), Some(Value::Decimal(max))) => min.unscaled > max.unscaled,
        _ => false,
    };
    if above && let Some(entry) = table.get("min") {
        report.error(entry.value.place, codes::MIN_ABOVE_MAX, "\"min\" is greater than \"max\"");
    }
    (field.min, field.max) = (min, max);
}

/// A literal default; `{ expr = … }` is left to the rules.
fn literal_default(table: &Table, field: &Field, report: &mut Report) -> Option<Default> {
    let node = table.node("default")?;
    if super::rules::default_expr(node).is_some() {
        return None;
    }
    if let (Data::Table(_), false) = (&node.data, matches!(field.declared, FieldType::Json { .. })) {
        report
            .error(node.place, codes::BAD_DEFAULT, "a default is a literal or { expr = \"…\" }")
            .hint("default = { expr = \"now\" }");
        return None;
    }
    let value = node.to_json().ok_or("expected a finite number".to_owned()).and_then(|json| {
        let value = field.declared.accept_json(&json)?;
        field.validate(&value).map_err(|violation| violation.message)?;
        Ok(value)
    });
    match value {
        Ok(value) => Some(Default::Literal(value)),
        Err(reason) => {
            report.error(node.place, codes::BAD_DEFAULT, format!("the default does not fit: {reason}"));
            None
        }
    }
}

/// Combinations of flags that cannot work, or hardly.
fn flags_fit(table: &Table, field: &Field, system: bool, report: &mut Report) {
    let at = |key: &str| table.get(key).map(|entry| entry.place);
    if let (true, true, Some(place)) = (field.is_secret(), field.unique, at("unique")) {
        report.error(
            place,
            codes::SECRET_USE,
            "a secret cannot be unique: that would tell whether somebody else has it",
        );
    }
    if let (true, false, Some(place)) =
        (field.unique && !field.is_secret(), is_comparable(&field.declared), at("unique"))
    {
        report.error(place, codes::BAD_INDEX, format!("a {} cannot be unique", field.declared.name()));
    }
    if let (true, Some(place)) = (field.is_secret(), at("read")) {
        report
            .warning(place, codes::USELESS_RULE, "a secret is read by nobody, whatever the rule")
            .hint("remove \"read\", or make it a text");
    }
    if let (true, Some(place)) = (field.readonly, at("write")) {
        report
            .warning(place, codes::USELESS_RULE, "a readonly field is written by no user, whatever the rule")
            .hint("remove \"write\", or readonly = true");
    }
    let required = !field.optional && field.default.is_none() && table.get("default").is_none();
    if let (true, true, false, Some(place)) = (field.readonly, required, system, at("readonly")) {
        report
            .warning(
                place,
                codes::READONLY_WITHOUT_DEFAULT,
                "only a secret key can create rows: users may not set this, and it has no default",
            )
            .hint("give it a default, or make it optional");
    }
}

/// Whether values can stand in keys and indexes.
pub(super) fn is_comparable(ty: &FieldType) -> bool {
    !matches!(ty, FieldType::Json { .. } | FieldType::List { .. } | FieldType::Secret)
}
