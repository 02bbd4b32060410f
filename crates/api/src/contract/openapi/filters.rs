//! What may stand right of `column=` as regular expressions, one per type, and the parameters that name columns.
//!
//! The patterns say the documented part of the grammar exactly: whatever matches is served. JSON paths, casts, aggregates, deeper embedding
//! and filters on embedded collections go beyond what parameters of a fixed name can say; the descriptions tell of them.

use serde_json::{Value as Json, json};
use undergird_model::field_type::FieldType;
use undergird_model::schema::{Cardinality, Collection, Field, Model};

/// A type as filters see it.
pub(super) struct Operand {
    /// Name of the component that has the pattern.
    pub name: String,
    /// One value, alone: all that is left of the parameter.
    alone: String,
    /// One value among others, in `in.(…)`, `{…}` and `or=(…)`.
    item: String,
    /// `like` and `match` are served.
    text: bool,
    /// `is.true` is served.
    boolean: bool,
    /// `cs` and `cd` are served; with this form of operand.
    contains: Option<String>,
    /// `ov` is served.
    overlaps: bool,
    /// `in.(…)`, `eq(any).{…}` are served.
    listed: bool,
    /// Shown in documentation.
    pub example: String,
}

const DATE: &str = "[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))";
const CLOCK: &str = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,6})?)?";
const UUID: &str = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";

impl Operand {
    /// Of a type.
    pub fn of(ty: &FieldType) -> Operand {
        let plain = |name: &str, value: &str, example: &str| Operand {
            name: name.into(),
            alone: value.into(),
            item: value.into(),
            text: false,
            boolean: false,
            contains: None,
            overlaps: false,
            listed: true,
            example: example.into(),
        };
        match ty {
            FieldType::Text { .. } | FieldType::Secret | FieldType::Email | FieldType::Url => Operand {
                text: true,
                item: r#"("[^\u0000"\\]*"|[^\u0000",(){}\\ ]+)"#.into(),
                ..plain("text", "[^\\u0000]*", "eq.example")
            },
            FieldType::Enum { values } => {
                let words: Vec<String> = values.iter().map(|value| escaped(value)).collect();
                let quoted: Vec<String> = values
                    .iter()
                    .map(|value| escaped(&format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))))
                    .collect();
                let first = values.first().map(String::as_str).unwrap_or_default();
                Operand {
                    item: format!("({})", quoted.join("|")),
                    text: true,
                    ..plain("enum", &format!("({})", words.join("|")), &format!("eq.{first}"))
                }
            }
            FieldType::Bool => {
                Operand { boolean: true, ..plain("bool", "(true|false|t|f|yes|no|y|n|on|off|1|0)", "is.true") }
            }
            FieldType::Int => plain("int", "-?[0-9]{1,18}", "gte.1"),
            FieldType::Float => plain("float", "-?[0-9]{1,15}(\\.[0-9]{1,15})?", "lt.1.5"),
            FieldType::Decimal { precision, scale } => {
                let before = precision.saturating_sub(*scale);
                let whole = if before == 0 { "0".into() } else { format!("[0-9]{{1,{before}}}") };
                let part = if *scale == 0 { String::new() } else { format!("(\\.[0-9]{{1,{scale}}})?") };
                plain(&format!("decimal-{precision}-{scale}"), &format!("-?{whole}{part}"), "gte.0")
            }
            FieldType::Uuid => plain("uuid", UUID, &format!("eq.{}", crate::contract::sample::UUID)),
            FieldType::Timestamp => plain(
                "timestamp",
                &format!("{DATE}([T ]{CLOCK}(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])?)?"),
                "gte.2026-01-01T00:00:00Z",
            ),
            FieldType::Date => plain("date", DATE, "gte.2026-01-01"),
            FieldType::Time => plain("time", CLOCK, "lt.12:00"),
            FieldType::Json { .. } => {
                let value = "(true|false|null|-?(0|[1-9][0-9]{0,15})|\"[A-Za-z0-9 _-]*\"|\\{\\}|\\[\\])";
                Operand { contains: Some(value.into()), listed: false, ..plain("json", value, "cs.{}") }
            }
            FieldType::Bytes => plain("bytes", "([A-Za-z0-9+/]{4})*", "eq.aGVsbG8h"),
            FieldType::Ref { key, .. } => Operand::of(key),
            FieldType::List { of } => {
                let item = Operand::of(of);
                let list = format!("\\{{({0}(,{0}){{0,9}})?\\}}", item.item);
                Operand {
                    contains: Some(list.clone()),
                    overlaps: true,
                    listed: false,
                    ..plain(&format!("list-{}", item.name), &list, "cs.{}")
                }
            }
        }
    }

    /// One value alone, as a pattern.
    pub fn value(&self) -> &str {
        &self.alone
    }

    /// Whether two fields of this type may need different patterns, so that the pattern stands with the field.
    pub fn is_own(&self) -> bool {
        self.name.contains("enum")
    }

    /// The whole parameter: `not.eq.value` and its kin.
    pub fn pattern(&self) -> String {
        format!("^{}$", self.condition(&self.alone))
    }

    /// A condition, its operands of this form.
    fn condition(&self, value: &str) -> String {
        let item = &self.item;
        let mut forms = vec![format!("(eq|neq|gt|gte|lt|lte|isdistinct)\\.{value}"), "is\\.(null|not_null)".to_owned()];
        if self.listed {
            forms.push(format!("in\\.\\(({item}(,{item}){{0,9}})?\\)"));
            forms.push(format!("(eq|neq|gt|gte|lt|lte)\\((any|all)\\)\\.\\{{({item}(,{item}){{0,9}})?\\}}"));
        }
        if self.boolean {
            forms.push("is\\.(true|false|unknown)".into());
        }
        if self.text {
            forms.push("(like|ilike)\\.[A-Za-z0-9 _*%-]*".into());
            forms.push("(match|imatch)\\.\\^?[A-Za-z0-9 _-]*\\$?".into());
        }
        if let Some(operand) = &self.contains {
            forms.push(format!("(cs|cd)\\.{operand}"));
            if self.overlaps {
                forms.push(format!("ov\\.{operand}"));
            }
        }
        format!("(not\\.)?({})", forms.join("|"))
    }

    /// What a column of this type takes, in words.
    pub fn operators(&self) -> String {
        let mut words = vec!["eq", "neq", "gt", "gte", "lt", "lte", "isdistinct", "is"];
        if self.listed {
            words.extend(["in", "eq(any)", "eq(all)"]);
        }
        if self.text {
            words.extend(["like", "ilike", "match", "imatch"]);
        }
        if self.contains.is_some() {
            words.extend(["cs", "cd"]);
        }
        if self.overlaps {
            words.push("ov");
        }
        words.join(", ")
    }
}

/// Fields that can be named in a request.
pub(super) fn columns(collection: &Collection) -> impl Iterator<Item = &Field> {
    collection.fields.iter().filter(|field| !field.is_secret())
}

fn alternatives<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join("|")
}

/// `select`: columns and, last, one embedded collection with columns of its own.
pub(super) fn select(model: &Model, collection: &Collection) -> Json {
    let own = format!("(\\*|{})", alternatives(columns(collection).map(|field| field.name.as_str())));
    let embeds: Vec<String> = embeddable(model, collection)
        .map(|(name, target, _)| {
            let theirs = format!("(\\*|{})", alternatives(columns(target).map(|field| field.name.as_str())));
            format!("{name}(!inner)?\\({theirs}(,{theirs})*\\)")
        })
        .collect();
    let embed = if embeds.is_empty() { String::new() } else { format!("(,({}))?", embeds.join("|")) };
    let mut examples = vec![json!("*")];
    let two: Vec<&str> = columns(collection).take(2).map(|field| field.name.as_str()).collect();
    examples.push(json!(two.join(",")));
    if let Some((name, _, _)) = embeddable(model, collection).next() {
        examples.push(json!(format!("*,{name}(*)")));
    }
    json!({ "type": "string", "pattern": format!("^({own}(,{own})*{embed})?$"), "examples": examples })
}

/// Relations that `select` can embed: name, target, how many.
pub(super) fn embeddable<'m>(
    model: &'m Model,
    collection: &'m Collection,
) -> impl Iterator<Item = (&'m str, &'m Collection, Cardinality)> {
    collection
        .relations
        .iter()
        .map(|relation| (relation.name.as_str(), model.collection(relation.target), relation.cardinality))
        .filter(|(_, target, _)| !target.system)
}

/// `order`: columns with a direction.
pub(super) fn order(collection: &Collection) -> Json {
    let term = format!(
        "({})(\\.(asc|desc))?(\\.(nullsfirst|nullslast))?",
        alternatives(columns(collection).map(|field| field.name.as_str()))
    );
    let first = columns(collection).last().map_or("id", |field| field.name.as_str());
    json!({ "type": "string", "pattern": format!("^{term}(,{term})*$"), "examples": [format!("{first}.desc")] })
}

/// `columns`: names of columns, those first that must be among them.
pub(super) fn names(collection: &Collection, needed: &[&str]) -> Json {
    let name = format!(
        "({})",
        alternatives(columns(collection).filter(|field| !field.readonly).map(|field| field.name.as_str()))
    );
    let first = if needed.is_empty() { name.clone() } else { needed.join(",") };
    json!({ "type": "string", "pattern": format!("^{first}(,{name})*$") })
}

/// `or=(…)` and `and=(…)`: conditions on columns.
pub(super) fn group(collection: &Collection) -> Json {
    // Columns of one type stand together, else the pattern says each type as often as it has columns.
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    for field in columns(collection) {
        if matches!(field.declared, FieldType::Json { .. } | FieldType::List { .. }) {
            continue;
        }
        let item = Operand::of(&field.declared).item;
        match kinds.iter_mut().find(|(known, _)| *known == item) {
            Some((_, names)) => names.push(&field.name),
            None => kinds.push((item, vec![&field.name])),
        }
    }
    let conditions: Vec<String> = kinds
        .iter()
        .map(|(item, names)| {
            let names = names.join("|");
            format!("({names})\\.(not\\.)?((eq|neq|gt|gte|lt|lte)\\.{item}|is\\.(null|not_null))")
        })
        .collect();
    let first = columns(collection).next().map_or("id", |field| field.name.as_str());
    let one = format!("({})", conditions.join("|"));
    json!({
        "type": "string",
        "pattern": format!("^\\({one}(,{one}){{0,9}}\\)$"),
        "examples": [format!("({first}.is.null,{first}.not.is.null)")],
    })
}

/// Combinations of columns that no two rows share: what `on_conflict` may name.
pub(super) fn unique_sets(collection: &Collection) -> Vec<String> {
    let name = |index: u16| collection.fields[usize::from(index)].name.as_str();
    let mut sets = vec![collection.key.iter().map(|field| name(field.index)).collect::<Vec<_>>().join(",")];
    for field in columns(collection).filter(|field| field.unique) {
        sets.push(field.name.clone());
    }
    for index in collection.indexes.iter().filter(|index| index.unique) {
        sets.push(index.fields.iter().map(|(field, _)| name(field.index)).collect::<Vec<_>>().join(","));
    }
    let mut seen = Vec::new();
    sets.retain(|set| {
        !seen.contains(set) && {
            seen.push(set.clone());
            true
        }
    });
    sets
}

/// A text as a regular expression that matches it alone (ECMA 262).
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}' | '/') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
