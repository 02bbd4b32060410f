//! The declared functions against those in the database: names, arguments, types, what is given, what may be changed.
//! <https://www.postgresql.org/docs/15/catalog-pg-proc.html>
//!
//! Absent: what a function does. It runs with the rights of its own declaration, and what it reads is its author's business.

use crate::dialect::sql_type;
use crate::types::{identifier, name};
use serde_json::Value as Json;
use tokio_postgres::GenericClient;
use tokio_postgres::Row;
use undergird_model::field_type::FieldType;
use undergird_model::schema::{Collection, Returns, Volatility};
use undergird_model::{DbFunction, Kind, Model, Type};
use undergird_store::StoreError;

/// One row per function of a name: what it may change, whether it gives a set, what kind of routine it is, whether we may call it, its
/// result (in words, what it is at bottom, its table if it is rows of one), its arguments as JSON, how many of
/// them have a default.
const FUNCTIONS: &str = r"
SELECT p.provolatile::text, p.proretset, p.prokind::text, has_function_privilege(p.oid, 'EXECUTE'),
  format_type(p.prorettype, NULL), {result},
  (SELECT jsonb_build_object('table', c.relname, 'schema', s.nspname, 'visible', pg_table_is_visible(c.oid))::text
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class c ON c.oid = t.typrelid JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE t.oid = p.prorettype AND c.relkind IN ('r', 'p')),
  (SELECT coalesce(jsonb_agg(jsonb_build_object('name', coalesce(p.proargnames[a.i], ''),
      'mode', coalesce(p.proargmodes[a.i]::text, 'i'), 'type', format_type(a.of, NULL), 'kind', {argument}) ORDER BY a.i), '[]')::text
    FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a(of, i)),
  p.pronargdefaults::integer
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname::text = $1 AND CASE WHEN $2::text IS NULL THEN pg_function_is_visible(p.oid) ELSE n.nspname::text = $2 END
ORDER BY p.oid
";

/// What a type is at bottom: a domain is what it is over, an array its elements' type with brackets, an enum `enum`.
const KIND: &str = r"(SELECT CASE WHEN b.typtype = 'e' THEN 'enum' WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN
      (SELECT CASE WHEN e.typtype = 'e' THEN 'enum' ELSE e.typname::text END FROM pg_catalog.pg_type e WHERE e.oid = b.typelem) || '[]'
      ELSE b.typname::text END
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    WHERE t.oid = {of})";

/// How those of the declared functions that are `asked` differ from what the client's login finds and may call.
pub(crate) async fn differences(
    client: &impl GenericClient,
    model: &Model,
    asked: impl Fn(&DbFunction) -> bool,
) -> Result<Vec<String>, StoreError> {
    let sql = FUNCTIONS
        .replace("{result}", &KIND.replace("{of}", "p.prorettype"))
        .replace("{argument}", &KIND.replace("{of}", "a.of"));
    let mut told = Vec::new();
    for function in model.functions.iter().filter(|function| asked(function)) {
        let rows = client
            .query(&sql, &[&function.sql, &function.schema])
            .await
            .map_err(|error| StoreError::Internal(format!("reading functions: {}", crate::error::explain(&error))))?;
        let mut differences = Vec::new();
        match rows.as_slice() {
            [] => {
                let made = signature(model, function);
                differences.push(format!("the database has no function {}: make it as {made}", shown(function)));
            }
            [only] => compare(model, function, &Found::read(only), &mut differences),
            several => {
                let count = several.len();
                let shown = shown(function);
                differences.push(format!("there are {count} functions {shown}: give this one a name of its own"));
            }
        }
        told.extend(differences.into_iter().map(|what| format!("functions/{}.toml: {what}", function.name)));
    }
    Ok(told)
}

/// A function of the database.
struct Found {
    volatility: String,
    set: bool,
    kind: String,
    callable: bool,
    result: String,
    result_kind: String,
    table: Option<FoundTable>,
    arguments: Vec<FoundArgument>,
    defaults: usize,
}

/// A table whose rows a function gives.
struct FoundTable {
    name: String,
    schema: String,
    /// Whether its name alone means it.
    visible: bool,
}

impl FoundTable {
    fn is(&self, collection: &Collection) -> bool {
        let same_schema = collection.schema.as_ref().map_or(self.visible, |schema| *schema == self.schema);
        same_schema && *identifier(&collection.table) == self.name
    }
}

struct FoundArgument {
    name: String,
    mode: String,
    ty: String,
    kind: String,
}

impl Found {
    fn read(row: &Row) -> Found {
        let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
        let arguments: Vec<Json> = serde_json::from_str(&text(7)).unwrap_or_default();
        let of = |argument: &Json, member: &str| argument[member].as_str().unwrap_or_default().to_owned();
        Found {
            volatility: text(0),
            set: row.get(1),
            kind: text(2),
            callable: row.get(3),
            result: text(4),
            result_kind: text(5),
            table: row.get::<_, Option<String>>(6).and_then(|table| serde_json::from_str::<Json>(&table).ok()).map(
                |table| FoundTable {
                    name: of(&table, "table"),
                    schema: of(&table, "schema"),
                    visible: table["visible"] == Json::Bool(true),
                },
            ),
            arguments: arguments
                .iter()
                .map(|one| FoundArgument {
                    name: of(one, "name"),
                    mode: of(one, "mode"),
                    ty: of(one, "type"),
                    kind: of(one, "kind"),
                })
                .collect(),
            defaults: usize::try_from(row.get::<_, i32>(8)).unwrap_or(0),
        }
    }
}

fn compare(model: &Model, function: &DbFunction, found: &Found, told: &mut Vec<String>) {
    let shown = shown(function);
    if found.kind != "f" {
        told.push(format!("{shown} is no plain function, but a procedure, an aggregate or a window function"));
        return;
    }
    if !found.callable {
        told.push(format!("the database's role may not call {shown}: GRANT EXECUTE ON FUNCTION {shown} to it"));
    }
    let volatility = match found.volatility.as_str() {
        "i" => Volatility::Immutable,
        "s" => Volatility::Stable,
        _ => Volatility::Volatile,
    };
    if volatility != function.volatility {
        told.push(format!("{shown} is {0}: write volatility = \"{0}\"", volatility.word()));
    }
    result(model, function, found, told);
    arguments(function, found, told);
}

fn result(model: &Model, function: &DbFunction, found: &Found, told: &mut Vec<String>) {
    let set = if found.set { "SETOF " } else { "" };
    let is = format!("{} returns {set}{}", shown(function), found.result);
    let is_so = match &function.returns {
        Returns::Nothing => found.result_kind == "void",
        Returns::Rows { of, one } => {
            found.table.as_ref().is_some_and(|table| table.is(model.collection(*of))) && found.set != *one
        }
        Returns::Value { declared, list } => found.set == *list && fits(declared.storage(), &found.result_kind),
    };
    if is_so {
        return;
    }
    let write = match (&found.table, found.result_kind.as_str()) {
        (_, "void") => "write no returns".to_owned(),
        (Some(table), _) => match model.public().find(|one| table.is(one)) {
            Some(collection) => {
                let word = if found.set { "rows" } else { "row" };
                format!("write returns = {{ {word} = \"{}\" }}", collection.name)
            }
            None => "that is the table of no collection".to_owned(),
        },
        (None, "record") => match &function.returns {
            Returns::Rows { of, .. } => {
                format!("make it RETURNS SETOF {}", name(&model.collection(*of).table))
            }
            _ => "only rows of a table, or single values, can be given".to_owned(),
        },
        (None, kind) => match written(kind) {
            Some(ty) if found.set => format!("write returns = {{ {ty}, list = true }}"),
            Some(ty) => format!("write returns = {{ {ty} }}"),
            None => "no type of a definition holds that".to_owned(),
        },
    };
    told.push(format!("{is}: {write}"));
}

fn arguments(function: &DbFunction, found: &Found, told: &mut Vec<String>) {
    let shown = shown(function);
    let inputs: Vec<&FoundArgument> =
        found.arguments.iter().filter(|one| matches!(one.mode.as_str(), "i" | "b" | "v")).collect();
    for (position, one) in inputs.iter().enumerate() {
        let ordinal = position + 1;
        let has_default = position + found.defaults >= inputs.len();
        if one.name.is_empty() {
            told.push(format!("argument {ordinal} of {shown} has no name, so it cannot be given"));
            continue;
        }
        if one.mode == "v" {
            told.push(format!("the argument \"{}\" of {shown} is VARIADIC: make it an array", one.name));
            continue;
        }
        let Some(declared) = function.arguments.iter().find(|argument| argument.sql == one.name) else {
            if !has_default {
                let ty = written(&one.kind).unwrap_or_else(|| "type = …".into());
                told.push(format!("{shown} takes \"{0}\": write {0} = {{ {ty} }} in [arguments]", one.name));
            }
            continue;
        };
        let label = &declared.field.name;
        if !fits(declared.field.ty, &one.kind) {
            let write = match written(&one.kind) {
                Some(ty) => format!("write {label} = {{ {ty} }}"),
                None => "no type of a definition holds that".to_owned(),
            };
            told.push(format!("the argument \"{}\" of {shown} is {}: {write}", one.name, one.ty));
        }
        if declared.field.optional && !has_default {
            told.push(format!(
                "the argument \"{}\" of {shown} has no DEFAULT: give it one, or remove optional from {label}",
                one.name
            ));
        }
    }
    for argument in &function.arguments {
        if !inputs.iter().any(|one| one.name == argument.sql) {
            let names: Vec<&str> = inputs.iter().map(|one| one.name.as_str()).filter(|name| !name.is_empty()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            told.push(format!("{shown} has no argument \"{}\": it has {names}", argument.sql));
        }
    }
}

/// The types of PostgreSQL's that hold the values of one of ours. What is sent is text, which each of them reads.
fn holders(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Bool => &["bool"],
        Kind::Int => &["int8", "int4", "int2"],
        Kind::Float => &["float8", "float4"],
        Kind::Decimal { .. } => &["numeric"],
        Kind::Text => &["text", "varchar", "bpchar", "name", "enum"],
        Kind::Uuid => &["uuid"],
        Kind::Timestamp => &["timestamptz", "timestamp"],
        Kind::Date => &["date"],
        Kind::Time => &["time"],
        Kind::Json => &["jsonb", "json"],
        Kind::Bytes => &["bytea"],
    }
}

fn fits(ty: Type, found: &str) -> bool {
    match (ty, found.strip_suffix("[]")) {
        (Type::Scalar(kind), None) => holders(kind).contains(&found),
        (Type::List(kind), Some(element)) => holders(kind).contains(&element),
        _ => false,
    }
}

/// How a type is declared: `type = "int"`.
fn written(found: &str) -> Option<String> {
    if let Some(element) = found.strip_suffix("[]") {
        return one(element).map(|of| format!("type = \"list\", of = {of}"));
    }
    one(found).map(|ty| format!("type = {ty}"))
}

fn one(found: &str) -> Option<&'static str> {
    Some(match found {
        "bool" => "\"bool\"",
        "int8" | "int4" | "int2" => "\"int\"",
        "float8" | "float4" => "\"float\"",
        "numeric" => "\"decimal\", precision = 18, scale = 6",
        "text" | "varchar" | "bpchar" | "name" => "\"text\"",
        "enum" => "\"enum\", values = […]",
        "uuid" => "\"uuid\"",
        "timestamptz" | "timestamp" => "\"timestamp\"",
        "date" => "\"date\"",
        "time" => "\"time\"",
        "jsonb" | "json" => "\"json\"",
        "bytea" => "\"bytes\"",
        _ => return None,
    })
}

fn shown(function: &DbFunction) -> String {
    match &function.schema {
        Some(schema) => format!("{schema}.{}", function.sql),
        None => function.sql.clone(),
    }
}

/// What a function looks like that fits its declaration.
fn signature(model: &Model, function: &DbFunction) -> String {
    let argument = |argument: &undergird_model::schema::Argument| {
        let default = if argument.field.optional { " DEFAULT NULL" } else { "" };
        format!("{} {}{default}", name(&argument.sql), sql_type(argument.field.ty))
    };
    let arguments: Vec<String> = function.arguments.iter().map(argument).collect();
    let result = match &function.returns {
        Returns::Nothing => "void".to_owned(),
        Returns::Rows { of, one } => {
            format!("{}{}", if *one { "" } else { "SETOF " }, name(&model.collection(*of).table))
        }
        Returns::Value { declared, list } => {
            format!("{}{}", if *list { "SETOF " } else { "" }, sql_type(FieldType::storage(declared)))
        }
    };
    let own = match &function.schema {
        Some(schema) => format!("{}.{}", name(schema), name(&function.sql)),
        None => name(&function.sql),
    };
    let volatility = function.volatility.word().to_ascii_uppercase();
    format!("CREATE FUNCTION {own}({}) RETURNS {result} {volatility} …", arguments.join(", "))
}
