//! What was found → collections: which tables become one, by which names, with which key, and which foreign keys become refs.

use super::checks;
use super::names::{Of, first_free, take};
use super::{Found, FoundColumn, FoundDefault, FoundReference, Holds, Sort, Survey, TABLES_MAX, is_keyable};
use std::collections::{BTreeMap, BTreeSet};
use undergird_model::Value;
use undergird_model::field_type::FieldType;

/// Most fields of a collection, as the definition's checker has it.
const FIELDS_MAX: usize = 500;
/// Most indexes of a collection, as the checker has it.
const INDEXES_MAX: usize = 60;

/// A definition before it is text.
#[derive(Debug, Default)]
pub(super) struct Shaped {
    pub(super) collections: Vec<Shape>,
    /// What was left out or is other than it was: where, and why.
    pub(super) report: Vec<String>,
}

/// A collection.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) comment: Option<String>,
    pub(super) readonly: bool,
    pub(super) key: Vec<String>,
    pub(super) fields: Vec<ShapedField>,
    /// Fields, whether each descends, and whether the combination is unique.
    pub(super) indexes: Vec<(Vec<(String, bool)>, bool)>,
    /// Name, rule, text in the database.
    pub(super) checks: Vec<(String, String, String)>,
    /// Above everything.
    pub(super) notes: Vec<String>,
}

/// A field.
#[derive(Debug)]
pub(super) struct ShapedField {
    pub(super) name: String,
    pub(super) column: String,
    pub(super) holds: Holds,
    pub(super) optional: bool,
    pub(super) unique: bool,
    pub(super) default: Option<ShapedDefault>,
    /// `always`, `default`, `never`.
    pub(super) generated: Option<&'static str>,
    pub(super) min: Option<String>,
    pub(super) max: Option<String>,
    pub(super) reference: Option<ShapedReference>,
    pub(super) comment: Option<String>,
    pub(super) notes: Vec<String>,
}

#[derive(Debug)]
pub(super) enum ShapedDefault {
    Literal(serde_json::Value),
    Now,
}

#[derive(Debug)]
pub(super) struct ShapedReference {
    pub(super) to: String,
    pub(super) on_delete: &'static str,
    pub(super) relation: Option<String>,
    pub(super) inverse: Option<String>,
}

/// A table's identity.
type Name = (Option<String>, String);

fn identity(table: &Found) -> Name {
    (table.schema.clone(), table.name.clone())
}

fn shown(table: &Found) -> String {
    match &table.schema {
        Some(schema) => format!("{schema}.{}", table.name),
        None => table.name.clone(),
    }
}

pub(super) fn shape(survey: &Survey) -> Shaped {
    let mut shaped = Shaped { report: survey.notes.clone(), ..Shaped::default() };
    let mut taken = BTreeSet::new();
    let mut kept: Vec<(&Found, Shape)> = Vec::new();
    for table in &survey.tables {
        if kept.len() >= TABLES_MAX {
            shaped.report.push(format!("{}: left out, there are more than {TABLES_MAX} tables", shown(table)));
            continue;
        }
        match collection(table, &mut taken) {
            Ok(shape) => kept.push((table, shape)),
            Err(why) => shaped.report.push(format!("{}: left out: {why}", shown(table))),
        }
    }
    refer(&mut kept);
    for (table, shape) in &mut kept {
        check(table, shape);
        index(table, shape);
    }
    for (table, shape) in kept {
        let where_from = shown(table);
        shaped.report.extend(shape.notes.iter().map(|note| format!("{where_from}: {note}")));
        for field in &shape.fields {
            shaped.report.extend(field.notes.iter().map(|note| format!("{where_from}.{}: {note}", field.column)));
        }
        shaped.collections.push(shape);
    }
    shaped
}

/// A table as a collection of its own, without refs.
fn collection(table: &Found, taken: &mut BTreeSet<String>) -> Result<Shape, String> {
    let mut notes = table.notes.clone();
    let mut usable: Vec<(&FoundColumn, &Holds)> = Vec::new();
    for column in &table.columns {
        match &column.holds {
            Ok(_) if usable.len() >= FIELDS_MAX => {
                notes.push(format!(
                    "the column {} is left out: a collection has at most {FIELDS_MAX} fields",
                    column.name
                ));
            }
            Ok(holds) => usable.push((column, holds)),
            Err(why) => {
                let cost = match column.null || column.default != FoundDefault::None {
                    true => "",
                    false => "; since it is required, no row can be made here",
                };
                notes.push(format!("the column {} ({}) is left out: {why}{cost}", column.name, column.native));
            }
        }
    }
    if usable.is_empty() {
        return Err("it has no column that a field can hold".into());
    }
    let keyable = |names: &[String]| {
        !names.is_empty()
            && names.iter().all(|name| usable.iter().any(|(column, _)| column.name == *name && is_keyable(column)))
    };
    let never_null = |names: &[String]| {
        names.iter().all(|name| usable.iter().any(|(column, _)| column.name == *name && !column.null))
    };
    let (key, readonly) = if keyable(&table.key) {
        (table.key.clone(), table.sort == Sort::View)
    } else if let Some(unique) = table.uniques.iter().find(|unique| keyable(unique) && never_null(unique)) {
        notes.push(format!("it has no primary key; its unique ({}) is the key here", unique.join(", ")));
        (unique.clone(), table.sort == Sort::View)
    } else if keyable(&table.apart) {
        let what = if table.sort == Sort::View { "a view has no key" } else { "it has no primary key" };
        notes.push(format!(
            "{what}, so it is read only; its rows are told apart by ({}), which no two of them share today. Name others in `key` if that will not \
             stay so",
            table.apart.join(", ")
        ));
        (table.apart.clone(), true)
    } else {
        let what = if table.sort == Sort::View { "a view has no key" } else { "it has no primary key" };
        return Err(format!(
            "{what}, and no columns were found that tell its rows apart, without which no row can be addressed and no page is stable. Give it a \
             key, then adopt again"
        ));
    };
    let (name, note) = take(&table.name, Of::Collection, taken);
    if let Some(note) = note {
        notes.push(format!("called {name} here: {note}"));
    }
    let mut names = BTreeSet::new();
    let fields: Vec<ShapedField> =
        usable.iter().map(|(column, holds)| field(column, holds, &key, &mut names)).collect();
    let field_of =
        |column: &String| fields.iter().find(|field| field.column == *column).map(|field| field.name.clone());
    let key = key.iter().filter_map(field_of).collect();
    let comment = table.comment.clone();
    let (schema, table) = (table.schema.clone(), table.name.clone());
    Ok(Shape { name, schema, table, comment, readonly, key, fields, indexes: Vec::new(), checks: Vec::new(), notes })
}

fn field(column: &FoundColumn, holds: &Holds, key: &[String], names: &mut BTreeSet<String>) -> ShapedField {
    let (name, note) = take(&column.name, Of::Field, names);
    let mut notes = column.notes.clone();
    if let Some(note) = note {
        notes.push(format!("called {name} here: {note}"));
    }
    let is_key = key.contains(&column.name);
    let is_whole_key = *key == [column.name.clone()];
    let mut field = ShapedField {
        name,
        column: column.name.clone(),
        holds: holds.clone(),
        optional: column.null && !is_key,
        unique: false,
        default: None,
        generated: None,
        min: holds.min.map(|min| min.to_string()),
        max: holds.max.map(|max| max.to_string()),
        reference: None,
        comment: column.comment.clone(),
        notes,
    };
    match &column.default {
        // A single int key that says nothing is numbered, a single uuid key made by the server.
        FoundDefault::None if is_whole_key && matches!(holds.ty, FieldType::Int) => field.generated = Some("never"),
        FoundDefault::Numbered if !is_whole_key => field.generated = Some("default"),
        FoundDefault::Sequence => field.generated = Some("default"),
        FoundDefault::None | FoundDefault::Numbered => {}
        FoundDefault::Database(_) if is_whole_key && matches!(holds.ty, FieldType::Uuid) => {}
        FoundDefault::Literal(value) => {
            match holds.ty.accept_json(value) {
                Ok(Value::Null) => {}
                Ok(_) => field.default = Some(ShapedDefault::Literal(value.clone())),
                Err(_) => field.generated = Some("default"),
            };
        }
        FoundDefault::Now if matches!(holds.ty, FieldType::Timestamp) => field.default = Some(ShapedDefault::Now),
        FoundDefault::Now => field.generated = Some("default"),
        FoundDefault::Always => field.generated = Some("always"),
        FoundDefault::Database(text) => {
            field.generated = Some("default");
            field.notes.push(format!("its default stays the database's: {text}"));
        }
    }
    field
}

/// Foreign keys become refs.
fn refer(kept: &mut [(&Found, Shape)]) {
    let places: BTreeMap<Name, usize> = kept.iter().enumerate().map(|(at, (table, _))| (identity(table), at)).collect();
    let mut refs: Vec<(usize, usize, usize, &'static str)> = Vec::new();
    for at in 0..kept.len() {
        let table = kept[at].0;
        for reference in &table.references {
            match reference_of(kept, &places, at, reference) {
                Ok((field, target)) => {
                    let on_delete = match reference.on_delete.as_str() {
                        "CASCADE" => "cascade",
                        "SET NULL" if kept[at].1.fields[field].optional => "set_null",
                        _ => "restrict",
                    };
                    let shape = &mut kept[at].1;
                    if reference.on_delete == "SET DEFAULT" {
                        shape.fields[field].notes.push("ON DELETE SET DEFAULT stays the database's".into());
                    }
                    if !matches!(reference.on_update.as_str(), "" | "NO ACTION" | "RESTRICT") {
                        let note = format!("ON UPDATE {} stays the database's", reference.on_update);
                        shape.fields[field].notes.push(note);
                    }
                    if refs.iter().any(|(own, known, _, _)| (*own, *known) == (at, field)) {
                        shape.fields[field]
                            .notes
                            .push(format!("a second foreign key ({}) is no relation", reference.name));
                        continue;
                    }
                    refs.push((at, field, target, on_delete));
                }
                Err(why) => {
                    let columns = reference.columns.join(", ");
                    let note = format!("the foreign key ({columns}) to {} is no relation here: {why}", reference.table);
                    kept[at].1.notes.push(note);
                }
            }
        }
    }
    break_circles(kept, &mut refs);
    name_relations(kept, &refs);
}

/// Which field refers to which collection.
fn reference_of(
    kept: &[(&Found, Shape)],
    places: &BTreeMap<Name, usize>,
    at: usize,
    reference: &FoundReference,
) -> Result<(usize, usize), String> {
    let [column] = reference.columns.as_slice() else {
        return Err("a ref is one column; the database still holds it".into());
    };
    let target = *places
        .get(&(reference.schema.clone(), reference.table.clone()))
        .ok_or("that table is not among the collections")?;
    let (there, shape) = &kept[target];
    let [key] = shape.key.as_slice() else { return Err("the key there has several columns".into()) };
    let key = shape.fields.iter().find(|field| field.name == *key).ok_or("its key is left out")?;
    let wanted = reference.targets.first().or(there.key.first()).cloned().unwrap_or_default();
    if !wanted.eq_ignore_ascii_case(&key.column) {
        return Err(format!("it names {wanted}, which is not the key there"));
    }
    let fields = &kept[at].1.fields;
    let field =
        fields.iter().position(|field| field.column.eq_ignore_ascii_case(column)).ok_or("its column is left out")?;
    if fields[field].holds.ty.storage() != key.holds.ty.storage() {
        return Err(format!(
            "its column holds {}, the key there {}",
            fields[field].holds.ty.name(),
            key.holds.ty.name()
        ));
    }
    Ok((field, target))
}

/// Keys that are refs must not lead in a circle, for then they have no type.
fn break_circles(kept: &mut [(&Found, Shape)], refs: &mut Vec<(usize, usize, usize, &'static str)>) {
    let is_key = |kept: &[(&Found, Shape)], at: usize, field: usize| {
        kept[at].1.key.as_slice() == [kept[at].1.fields[field].name.clone()]
    };
    let mut position = 0;
    while position < refs.len() {
        let (at, field, target, _) = refs[position];
        let mut here = target;
        let mut circle = is_key(kept, at, field) && target == at;
        for _ in 0..kept.len() {
            let next = refs.iter().find(|(own, field, _, _)| *own == here && is_key(kept, *own, *field));
            match next {
                Some((_, _, to, _)) if is_key(kept, at, field) && *to == at => {
                    circle = true;
                    break;
                }
                Some((_, _, to, _)) if *to != here => here = *to,
                _ => break,
            }
        }
        if circle {
            kept[at].1.fields[field]
                .notes
                .push("its foreign key leads from key to key in a circle, so it is no relation".into());
            refs.remove(position);
        } else {
            position += 1;
        }
    }
}

/// The names of relations, there and back, in the order in which a definition makes them.
fn name_relations(kept: &mut [(&Found, Shape)], refs: &[(usize, usize, usize, &'static str)]) {
    let mut taken: Vec<BTreeSet<String>> =
        kept.iter().map(|(_, shape)| shape.fields.iter().map(|field| field.name.clone()).collect()).collect();
    // A definition reads its collections by name.
    let mut order: Vec<usize> = (0..refs.len()).collect();
    order.sort_by(|a, b| {
        let key = |position: usize| (&kept[refs[position].0].1.name, refs[position].1);
        key(*a).cmp(&key(*b))
    });
    let mut there: BTreeMap<usize, (Option<String>, String)> = BTreeMap::new();
    for position in &order {
        let (at, field, target, _) = refs[*position];
        let name = &kept[at].1.fields[field].name;
        let to = &kept[target].1.name;
        let bare = name.strip_suffix("_id").filter(|bare| !bare.is_empty()).map(str::to_owned);
        let implied = bare.clone().filter(|bare| super::names::is_usable(bare) && !taken[at].contains(bare));
        let chosen = match implied {
            Some(bare) => {
                taken[at].insert(bare.clone());
                (None, bare)
            }
            None => {
                let stem = bare.unwrap_or_else(|| name.clone());
                let mut wanted = vec![format!("{stem}_{to}"), format!("{stem}_row")];
                if stem == *to {
                    wanted.remove(0);
                }
                let free = first_free(&wanted, &mut taken[at]);
                (Some(free.clone()), free)
            }
        };
        there.insert(*position, chosen);
    }
    for position in &order {
        let (at, field, target, on_delete) = refs[*position];
        let (relation, called) = there.remove(position).unwrap_or_default();
        let own = kept[at].1.name.clone();
        let siblings = refs.iter().filter(|(other, _, to, _)| (*other, *to) == (at, target)).count();
        let inverse = if siblings == 1 && at != target && taken[target].insert(own.clone()) {
            None
        } else {
            let stem = if relation.is_some() { kept[at].1.fields[field].name.clone() } else { called };
            let wanted = [format!("{own}_by_{stem}")];
            Some(first_free(&wanted, &mut taken[target]))
        };
        let to = kept[target].1.name.clone();
        kept[at].1.fields[field].reference = Some(ShapedReference { to, on_delete, relation, inverse });
    }
}

/// Checks become limits of fields, words of enums, or rules; the others stay the database's.
fn check(table: &Found, shape: &mut Shape) {
    for (name, text) in &table.checks {
        let Some(parsed) = checks::parse(text) else {
            shape.notes.push(format!("the check {name} stays the database's alone: {text}"));
            continue;
        };
        if let Some((column, words)) = checks::words(&parsed)
            && let Some(field) = shape.fields.iter_mut().find(|field| field.column == column)
            && matches!(field.holds.ty, FieldType::Text { .. })
            && field.reference.is_none()
            && words.iter().all(|word| !word.is_empty())
        {
            field.holds.ty = FieldType::Enum { values: words };
            field.max = None;
            if let Some(ShapedDefault::Literal(value)) = &field.default
                && field.holds.ty.accept_json(value).is_err()
            {
                field.default = None;
                field.generated = Some("default");
            }
            continue;
        }
        if bound(&parsed, shape) {
            continue;
        }
        match checks::rule(&parsed, &shape.fields) {
            Some(rule) => shape.checks.push((name.clone(), rule, text.clone())),
            None => shape.notes.push(format!("the check {name} stays the database's alone: {text}")),
        }
    }
}

/// Whether the check is nothing but bounds of number fields, which then have them.
fn bound(parsed: &checks::Sql, shape: &mut Shape) -> bool {
    let Some(bounds) = checks::bounds(parsed) else { return false };
    let place = |column: &str| {
        shape.fields.iter().position(|field| {
            let free = field.min.is_none() && field.max.is_none() && field.reference.is_none();
            field.column == column && free && matches!(field.holds.ty, FieldType::Int)
        })
    };
    let places: Option<Vec<usize>> = bounds.iter().map(|bound| place(&bound.column)).collect();
    let Some(places) = places else { return false };
    for (bound, at) in bounds.into_iter().zip(places) {
        let field = &mut shape.fields[at];
        match bound.least {
            true => field.min = Some(bound.number.to_string()),
            false => field.max = Some(bound.number.to_string()),
        }
    }
    true
}

fn index(table: &Found, shape: &mut Shape) {
    let found: BTreeMap<&str, &FoundColumn> =
        table.columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let comparable = |field: &ShapedField| {
        !matches!(field.holds.ty, FieldType::Json { .. } | FieldType::List { .. } | FieldType::Secret)
    };
    let fields_of = |shape: &Shape, columns: &[String]| -> Option<Vec<String>> {
        let mut names = Vec::new();
        for column in columns {
            let field = shape.fields.iter().find(|field| field.column.eq_ignore_ascii_case(column))?;
            if !comparable(field) || !found.contains_key(field.column.as_str()) || names.contains(&field.name) {
                return None;
            }
            names.push(field.name.clone());
        }
        Some(names)
    };
    let mut indexes: Vec<(Vec<(String, bool)>, bool)> = Vec::new();
    for unique in &table.uniques {
        let Some(fields) = fields_of(shape, unique) else { continue };
        if fields == shape.key {
            continue;
        }
        match fields.as_slice() {
            [only] => {
                for field in shape.fields.iter_mut().filter(|field| field.name == *only) {
                    field.unique = true;
                }
            }
            _ => indexes.push((fields.into_iter().map(|field| (field, false)).collect(), true)),
        }
    }
    for columns in &table.indexes {
        let names: Vec<String> = columns.iter().map(|(column, _)| column.clone()).collect();
        let Some(fields) = fields_of(shape, &names) else { continue };
        let alone = match fields.as_slice() {
            [only] => shape.fields.iter().any(|field| {
                field.name == *only && (field.unique || field.reference.is_some() || shape.key == [only.clone()])
            }),
            _ => fields == shape.key,
        };
        let told: Vec<(String, bool)> = fields.into_iter().zip(columns.iter().map(|(_, down)| *down)).collect();
        if !alone && !indexes.iter().any(|(known, _)| *known == told) {
            indexes.push((told, false));
        }
    }
    indexes.truncate(INDEXES_MAX);
    shape.indexes = indexes;
}
