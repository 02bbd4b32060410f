//! What is in a PostgreSQL database that somebody else made, for [`undergird_store::adopt`], and how its columns are read.
//!
//! Absent: names, keys and relations of the definition; those are decided there. Nothing is written: the session is read only.

use crate::error::store_error;
use crate::introspect;
use crate::settings::{Options, Target};
use crate::types::name;
use std::collections::BTreeMap;
use tokio_postgres::{Client, Row};
use undergird_model::field_type::FieldType;
use undergird_model::{Kind, Type};
use undergird_store::StoreError;
use undergird_store::adopt::{
    Found, FoundColumn, FoundDefault, FoundReference, Holds, SAMPLE_ROWS, Sort, Survey, TABLES_MAX, candidates, literal,
};
use undergird_store::sql::{Bare, Form};

/// Most digits of a decimal here.
const PRECISION_MAX: u8 = 18;

/// How a column of an adopted table keeps a type, by the definition's word for it: usually as that type or one that compares with it; else
/// by a cast there and back.
pub(crate) fn form(ty: Type, storage: Option<&str>) -> Result<Form, String> {
    let around = |read: (&str, &str), write: (&str, &str), bare| Form::around(read, write, bare);
    Ok(match (ty, storage) {
        // Whatever collation the column has, text is compared by code point; equal is the same in all that are deterministic.
        (Type::TEXT, None) => around(("(", "::text COLLATE \"C\")"), ("(", "::text COLLATE \"default\")"), Bare::Equal),
        (Type::List(Kind::Text), None) => around(("(", "::text[] COLLATE \"C\")"), ("", ""), Bare::Never),
        (Type::List(kind), None) => {
            around(("(", &format!("::{}[])", crate::types::scalar(kind))), ("", ""), Bare::Never)
        }
        (Type::Scalar(_), None) => Form::plain(),
        (Type::TIMESTAMP, Some("timestamp")) => {
            around(("(", " AT TIME ZONE 'UTC')"), ("(", " AT TIME ZONE 'UTC')"), Bare::Ordered)
        }
        (Type::Scalar(Kind::Decimal { scale, .. }), Some("numeric")) => {
            around(("round(", &format!(", {scale})")), ("", ""), Bare::Never)
        }
        (Type::Scalar(_) | Type::List(_), Some(word)) => {
            let own = crate::dialect::sql_type(ty);
            let collate = if matches!(ty, Type::TEXT | Type::List(Kind::Text)) { " COLLATE \"C\"" } else { "" };
            around(("(", &format!("::{own}{collate})")), ("(", &format!("::{word})")), Bare::Never)
        }
        (Type::Null | Type::Duration, _) => return Err(format!("PostgreSQL keeps no {ty}")),
    })
}

/// Looks at a database.
///
/// # Errors
/// [`StoreError::Unavailable`] when it cannot be reached, and whatever it says.
pub async fn survey(url: &str) -> Result<(Survey, bool), StoreError> {
    let mut options = Options::default();
    let target = Target::parse(url, &mut options)?;
    let client = target.dedicated().await?;
    let home = introspect::home(&*client).await?;
    let settings = format!(
        "SET search_path TO {}; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET quote_all_identifiers = off; \
         SET standard_conforming_strings = on; SET default_transaction_read_only = on; SET statement_timeout = '60s'",
        name(&home.schema)
    );
    client.batch_execute(&settings).await.map_err(|error| store_error(&error))?;
    Surveyor { client: &client, home: home.schema, types: BTreeMap::new(), labels: BTreeMap::new() }.look().await
}

/// A type of the catalog.
#[derive(Clone, Debug)]
struct Known {
    schema: String,
    name: String,
    /// `b`ase, `d`omain, `e`num, `c`omposite, `r`ange.
    sort: String,
    base: u32,
    modifier: i32,
    element: u32,
    is_array: bool,
    required: bool,
}

struct Surveyor<'a> {
    client: &'a Client,
    home: String,
    types: BTreeMap<u32, Known>,
    labels: BTreeMap<u32, Vec<String>>,
}

/// Cells by position; none of them is of a type that the driver does not know.
fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| store_error(&error))
}

impl Surveyor<'_> {
    async fn rows(&self, sql: &str) -> Result<Vec<Row>, StoreError> {
        self.client.query(sql, &[]).await.map_err(|error| store_error(&error))
    }

    async fn look(mut self) -> Result<(Survey, bool), StoreError> {
        self.read_types().await?;
        let mut survey = Survey::default();
        let mut known = false;
        let tables = self
            .rows(
                "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, obj_description(c.oid, 'pg_class'), \
                 has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), c.relrowsecurity, \
                 (SELECT count(*) FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid), \
                 (SELECT string_agg(t.tgname::text, ', ' ORDER BY t.tgname) FROM pg_catalog.pg_trigger AS t \
                  WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) \
                 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%' \
                 AND n.nspname NOT IN ('information_schema', 'undergird') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d \
                 WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e') \
                 ORDER BY n.nspname::text <> current_schema(), n.nspname::text, c.relname::text",
            )
            .await?;
        for row in &tables {
            let (schema, table): (String, String) = (cell(row, 1)?, cell(row, 2)?);
            let is_home = schema == self.home;
            if is_home && table.starts_with("_undergird") {
                known = true;
                continue;
            }
            if survey.tables.len() > TABLES_MAX {
                continue;
            }
            let readable: bool = cell(row, 5)?;
            if !readable {
                survey.notes.push(format!("{schema}.{table}: left out: this user may not read it"));
                continue;
            }
            let sort: String = cell(row, 3)?;
            let mut found = self.found(cell(row, 0)?, &schema, &table, &sort, cell(row, 4)?).await?;
            let (guarded, parts, triggers): (bool, i64, Option<String>) = (cell(row, 6)?, cell(row, 7)?, cell(row, 8)?);
            if sort == "p" {
                found.notes.push(format!(
                    "partitioned: it stands for its {parts} partitions, which are no collections of their own"
                ));
            }
            if sort == "f" {
                found
                    .notes
                    .push("a foreign table: its rows are elsewhere, and so are the guarantees of a transaction".into());
            }
            if sort == "m" {
                found.notes.push("a materialized view: its rows are those of its last refresh".into());
            }
            if guarded {
                found
                    .notes
                    .push("row security stays the database's and holds for the user that Undergird connects as".into());
            }
            if let Some(triggers) = triggers {
                found.notes.push(format!("triggers stay the database's and go on working: {triggers}"));
            }
            survey.tables.push(found);
        }
        Ok((survey, known))
    }

    async fn read_types(&mut self) -> Result<(), StoreError> {
        let types = self
            .rows(
                "SELECT t.oid, n.nspname::text, t.typname::text, t.typtype::text, t.typbasetype, t.typtypmod, t.typelem, \
                 t.typcategory = 'A', t.typnotnull FROM pg_catalog.pg_type AS t \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace",
            )
            .await?;
        for row in &types {
            let known = Known {
                schema: cell(row, 1)?,
                name: cell(row, 2)?,
                sort: cell(row, 3)?,
                base: cell(row, 4)?,
                modifier: cell(row, 5)?,
                element: cell(row, 6)?,
                is_array: cell(row, 7)?,
                required: cell(row, 8)?,
            };
            self.types.insert(cell(row, 0)?, known);
        }
        let labels = self
            .rows("SELECT enumtypid, enumlabel::text FROM pg_catalog.pg_enum ORDER BY enumtypid, enumsortorder")
            .await?;
        for row in &labels {
            self.labels.entry(cell(row, 0)?).or_default().push(cell(row, 1)?);
        }
        Ok(())
    }

    async fn found(
        &self,
        oid: u32,
        schema: &str,
        table: &str,
        sort: &str,
        comment: Option<String>,
    ) -> Result<Found, StoreError> {
        let mut found = Found {
            schema: (schema != self.home).then(|| schema.to_owned()),
            name: table.to_owned(),
            sort: if matches!(sort, "v" | "m") { Sort::View } else { Sort::Table },
            comment,
            columns: Vec::new(),
            key: Vec::new(),
            apart: Vec::new(),
            uniques: Vec::new(),
            indexes: Vec::new(),
            references: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
        };
        let place = format!("{}.{}", name(schema), name(table));
        let columns = self
            .rows(&format!(
                "SELECT a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.attnotnull, \
                 pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text, col_description(a.attrelid, a.attnum), \
                 format_type(a.atttypid, a.atttypmod), coalesce(c.collisdeterministic, true) FROM pg_catalog.pg_attribute AS a \
                 LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
                 LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation \
                 WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
            ))
            .await?;
        let mut numbers: BTreeMap<i16, String> = BTreeMap::new();
        for row in &columns {
            let column: String = cell(row, 1)?;
            numbers.insert(cell(row, 0)?, column.clone());
            found.columns.push(self.column(row, &place).await?);
        }
        self.constraints(oid, &numbers, &mut found).await?;
        self.indexes(oid, &numbers, &mut found).await?;
        if found.key.is_empty() {
            found.apart = self.apart(&place, &found).await;
        }
        Ok(found)
    }

    async fn column(&self, row: &Row, place: &str) -> Result<FoundColumn, StoreError> {
        let column: String = cell(row, 1)?;
        let (ty, modifier): (u32, i32) = (cell(row, 2)?, cell(row, 3)?);
        let mut notes = Vec::new();
        let (known, modifier, required) = self.base(ty, modifier, &mut notes);
        let mut holds = match &known {
            Some((oid, known)) => self.holds(*oid, known, modifier, &mut notes),
            None => Err("its type is not in the catalog".into()),
        };
        if let Ok(Holds { ty: FieldType::Decimal { precision, scale }, storage: Some(word), .. }) = &mut holds
            && word == "numeric"
        {
            // Without limits of its own: as its values are.
            let sql = format!(
                "SELECT coalesce(max(scale({0})), 0) FROM (SELECT {0} FROM {place} LIMIT {SAMPLE_ROWS}) AS s",
                name(&column)
            );
            let digits: i32 = match self.client.query_one(&sql, &[]).await {
                Ok(row) => cell(&row, 0)?,
                Err(_) => 0,
            };
            *scale = u8::try_from(digits).unwrap_or(u8::MAX).min(*precision / 2);
            notes.push(format!("numeric without limits: taken for {precision} digits, {scale} after the point, as its values have; others are rounded"));
        }
        let deterministic: bool = cell(row, 10)?;
        if !deterministic {
            notes.push("its collation takes different texts for equal; here they are compared by code point".into());
        }
        let default: Option<String> = cell(row, 5)?;
        let (identity, generated): (String, String) = (cell(row, 6)?, cell(row, 7)?);
        let default = match (identity.as_str(), generated.as_str(), default) {
            ("a", _, _) => FoundDefault::Always,
            ("d", _, _) => FoundDefault::Sequence,
            (_, "s" | "v", _) => FoundDefault::Always,
            (_, _, Some(text)) => default_of(&text, holds.as_ref().ok()),
            (_, _, None) => FoundDefault::None,
        };
        let not_null: bool = cell(row, 4)?;
        Ok(FoundColumn {
            name: column,
            native: cell(row, 9)?,
            holds,
            null: !(not_null || required),
            default,
            comment: cell(row, 8)?,
            notes,
        })
    }

    /// The type beneath domains, and whether one of these is never null.
    fn base(&self, ty: u32, modifier: i32, notes: &mut Vec<String>) -> (Option<(u32, &Known)>, i32, bool) {
        let (mut ty, mut modifier, mut required) = (ty, modifier, false);
        for _ in 0..16 {
            let Some(known) = self.types.get(&ty) else { return (None, modifier, required) };
            if known.sort != "d" {
                return (Some((ty, known)), modifier, required);
            }
            notes.push(format!("of the domain {}; what that demands stays the database's", known.name));
            required |= known.required;
            (ty, modifier) = (known.base, known.modifier);
        }
        (None, modifier, required)
    }

    /// A type's name as it stands in a cast.
    fn word(&self, known: &Known) -> String {
        match known.schema.as_str() {
            // Without quotes it is another type.
            "pg_catalog" if known.name == "char" => "\"char\"".into(),
            "pg_catalog" => plain_or_quoted(&known.name),
            schema => format!("{}.{}", plain_or_quoted(schema), plain_or_quoted(&known.name)),
        }
    }

    fn holds(&self, oid: u32, known: &Known, modifier: i32, notes: &mut Vec<String>) -> Result<Holds, String> {
        let is_own = known.schema == "pg_catalog";
        if known.is_array && known.element != 0 {
            return self.list(known, modifier, notes);
        }
        if known.sort == "e" {
            let values = self.labels.get(&oid).cloned().unwrap_or_default();
            let word = self.word(known);
            return self.worded(match values.is_empty() || values.iter().any(String::is_empty) {
                true => Holds::text(None).kept(&word),
                false => Holds::of(FieldType::Enum { values }).kept(&word),
            });
        }
        if is_own && let Some(holds) = scalar(&known.name, modifier, notes) {
            return Ok(holds);
        }
        if !matches!(known.name.as_str(), "citext" | "timetz" | "interval" | "inet" | "cidr" | "xml") {
            notes.push(format!("{} is carried as text, in PostgreSQL's own form", known.name));
        }
        let word = self.word(known);
        self.worded(Holds::text(None).kept(&word))
    }

    /// A list of what the elements are.
    fn list(&self, known: &Known, modifier: i32, notes: &mut Vec<String>) -> Result<Holds, String> {
        let mut within = Vec::new();
        let (element, _, _) = self.base(known.element, -1, &mut within);
        let Some((oid, element)) = element else { return Err("the type of its elements is not in the catalog".into()) };
        let told = "an element that is null, or an array of arrays, reads as null or is left out";
        let of = match (element.sort.as_str(), element.schema.as_str()) {
            ("e", _) => self.holds(oid, element, -1, &mut within),
            (_, "pg_catalog") => scalar(&element.name, modifier, &mut within).ok_or_else(String::new),
            _ => Err(String::new()),
        };
        match of {
            Ok(Holds { ty, storage: Some(_), .. }) if matches!(ty, FieldType::Enum { .. }) => {
                notes.push(told.into());
                let word = format!("{}[]", self.word(element));
                self.worded(Holds::of(FieldType::List { of: Box::new(ty) }).kept(&word))
            }
            Ok(Holds { ty, storage: None, .. }) if !matches!(ty, FieldType::Json { .. }) => {
                notes.push(told.into());
                Ok(Holds::of(FieldType::List { of: Box::new(ty) }))
            }
            _ => {
                notes.push("an array of this type is carried as text, in PostgreSQL's own form".into());
                self.worded(Holds::text(None).kept(&format!("{}[]", self.word(element))))
            }
        }
    }

    /// A storage that a definition can say.
    fn worded(&self, holds: Holds) -> Result<Holds, String> {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | '(' | ')' | ',' | '[' | ']' | '"');
        match &holds.storage {
            Some(word) if !word.chars().all(fits) || word.chars().count() > 200 => {
                Err(format!("the name of its type, {word}, has characters that a definition cannot say"))
            }
            _ => Ok(holds),
        }
    }

    async fn constraints(
        &self,
        oid: u32,
        numbers: &BTreeMap<i16, String>,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let rows = self
            .rows(&format!(
                "SELECT c.conname::text, c.contype::text, c.conkey, n.nspname::text, f.relname::text, \
                 ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(n, o) \
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.o), \
                 c.confupdtype::text, c.confdeltype::text, \
                 CASE WHEN c.contype = 'c' THEN pg_get_expr(c.conbin, c.conrelid) ELSE pg_get_constraintdef(c.oid) END \
                 FROM pg_catalog.pg_constraint AS c LEFT JOIN pg_catalog.pg_class AS f ON f.oid = c.confrelid \
                 LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = f.relnamespace \
                 WHERE c.conrelid = {oid} ORDER BY c.contype::text, c.conname::text"
            ))
            .await?;
        let action = |letter: &str| {
            let word = match letter {
                "c" => "CASCADE",
                "n" => "SET NULL",
                "d" => "SET DEFAULT",
                _ => "NO ACTION",
            };
            word.to_owned()
        };
        for row in &rows {
            let (constraint, kind): (String, String) = (cell(row, 0)?, cell(row, 1)?);
            let places: Option<Vec<i16>> = cell(row, 2)?;
            let columns: Vec<String> =
                places.iter().flatten().filter_map(|place| numbers.get(place).cloned()).collect();
            match kind.as_str() {
                "p" => found.key = columns,
                "f" => {
                    let schema: Option<String> = cell(row, 3)?;
                    let table: Option<String> = cell(row, 4)?;
                    let (update, delete): (String, String) = (cell(row, 6)?, cell(row, 7)?);
                    found.references.push(FoundReference {
                        name: constraint,
                        columns,
                        schema: schema.filter(|schema| *schema != self.home),
                        table: table.unwrap_or_default(),
                        targets: cell(row, 5)?,
                        on_update: action(&update),
                        on_delete: action(&delete),
                    });
                }
                "c" => found.checks.push((constraint, cell::<Option<String>>(row, 8)?.unwrap_or_default())),
                "x" => {
                    let told: Option<String> = cell(row, 8)?;
                    found.notes.push(format!(
                        "the constraint {constraint} stays the database's alone: {}",
                        told.unwrap_or_default()
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn indexes(&self, oid: u32, numbers: &BTreeMap<i16, String>, found: &mut Found) -> Result<(), StoreError> {
        let rows = self
            .rows(&format!(
                "SELECT c.relname::text, i.indisunique, i.indpred IS NOT NULL, i.indexprs IS NOT NULL, \
                 i.indkey::int2[], i.indoption::int2[], i.indnkeyatts::int4, a.amname = 'btree', i.indisprimary \
                 FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
                 JOIN pg_catalog.pg_am AS a ON a.oid = c.relam WHERE i.indrelid = {oid} AND i.indisvalid ORDER BY c.relname::text"
            ))
            .await?;
        for row in &rows {
            let (index, unique): (String, bool) = (cell(row, 0)?, cell(row, 1)?);
            let (partial, expressed, ordered, primary): (bool, bool, bool, bool) =
                (cell(row, 2)?, cell(row, 3)?, cell(row, 7)?, cell(row, 8)?);
            if primary {
                continue;
            }
            if partial || expressed || !ordered {
                if unique {
                    let why = if partial { "some of the rows" } else { "an expression" };
                    found.notes.push(format!("the unique index {index} stays the database's alone: it is over {why}"));
                }
                continue;
            }
            let (places, options): (Vec<i16>, Vec<i16>) = (cell(row, 4)?, cell(row, 5)?);
            let count: i32 = cell(row, 6)?;
            let columns: Vec<(String, bool)> = places
                .iter()
                .zip(&options)
                .take(usize::try_from(count).unwrap_or_default())
                .filter_map(|(place, option)| Some((numbers.get(place)?.clone(), option & 1 == 1)))
                .collect();
            match unique {
                true => found.uniques.push(columns.into_iter().map(|(column, _)| column).collect()),
                false => found.indexes.push(columns),
            }
        }
        Ok(())
    }

    /// Columns that no two of the rows share and that are never null, as far as one looks. What takes too long tells nothing.
    async fn apart(&self, place: &str, found: &Found) -> Vec<String> {
        for columns in candidates(found) {
            let list: Vec<String> = columns.iter().map(|column| name(column)).collect();
            let nulls: Vec<String> = list.iter().map(|column| format!("{column} IS NULL")).collect();
            let list = list.join(", ");
            let sql = format!(
                "WITH s AS MATERIALIZED (SELECT {list} FROM {place} LIMIT {SAMPLE_ROWS}) SELECT EXISTS (SELECT FROM s) \
                 AND NOT EXISTS (SELECT FROM s WHERE {}) AND NOT EXISTS (SELECT FROM s GROUP BY {list} HAVING count(*) > 1)",
                nulls.join(" OR ")
            );
            match self.client.query_one(&sql, &[]).await {
                Ok(row) if row.try_get(0).unwrap_or(false) => return columns,
                Ok(_) => {}
                // A type that cannot be compared; or too slow, and then the next one is as well.
                Err(error) if error.code().is_some_and(|code| code.code() == "57014") => return Vec::new(),
                Err(_) => {}
            }
        }
        Vec::new()
    }
}

/// A name as it stands in a statement, in quotes only where it needs them: it is read by people.
fn plain_or_quoted(called: &str) -> String {
    let plain = called.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && called.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain { called.to_owned() } else { name(called) }
}

/// A type of PostgreSQL's own that is one of ours.
fn scalar(called: &str, modifier: i32, notes: &mut Vec<String>) -> Option<Holds> {
    let length = u64::try_from(modifier - 4).ok().filter(|_| modifier >= 4);
    Some(match called {
        "bool" => Holds::of(FieldType::Bool),
        "int2" | "int4" | "int8" => Holds::of(FieldType::Int),
        "float4" | "float8" => Holds::of(FieldType::Float),
        "numeric" => return Some(numeric(modifier, notes)),
        "money" => Holds::of(FieldType::Decimal { precision: 18, scale: 2 }).kept("money"),
        "text" | "name" => Holds::text(None),
        "varchar" | "bpchar" => Holds::text(length),
        "uuid" => Holds::of(FieldType::Uuid),
        "timestamptz" => Holds::of(FieldType::Timestamp),
        "timestamp" => Holds::of(FieldType::Timestamp).kept("timestamp"),
        "date" => Holds::of(FieldType::Date),
        "time" => Holds::of(FieldType::Time),
        "jsonb" => Holds::of(FieldType::Json { schema: None }),
        "json" => Holds::of(FieldType::Json { schema: None }).kept("json"),
        "bytea" => Holds::of(FieldType::Bytes),
        _ => return None,
    })
}

fn numeric(modifier: i32, notes: &mut Vec<String>) -> Holds {
    if modifier < 4 {
        return Holds::of(FieldType::Decimal { precision: PRECISION_MAX, scale: 0 }).kept("numeric");
    }
    let declared = (modifier - 4) >> 16 & 0xffff;
    // Eleven bits with a sign.
    let scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
    let precision = u8::try_from(declared).unwrap_or(u8::MAX).min(PRECISION_MAX);
    if declared > i32::from(PRECISION_MAX) {
        notes.push(format!(
            "numeric of {declared} digits; a decimal has at most {PRECISION_MAX} here, and what has more reads as null"
        ));
    }
    let scale = u8::try_from(scale.max(0)).unwrap_or(u8::MAX).min(precision);
    Holds::of(FieldType::Decimal { precision, scale })
}

/// A default as the catalog says it.
fn default_of(said: &str, holds: Option<&Holds>) -> FoundDefault {
    let database = || FoundDefault::Database(said.to_owned());
    let Some(holds) = holds else { return database() };
    let lower = said.to_ascii_lowercase();
    if lower.starts_with("nextval(") {
        return FoundDefault::Sequence;
    }
    if lower == "null" || lower.starts_with("null::") {
        return FoundDefault::None;
    }
    let now = ["now()", "current_timestamp", "transaction_timestamp()", "statement_timestamp()", "clock_timestamp()"];
    let bare = lower.trim_end_matches("::timestamp without time zone").trim_matches(['(', ')']);
    if now.iter().any(|known| bare == known.trim_matches(['(', ')']))
        || matches!(lower.as_str(), "timezone('utc'::text, now())" | "(now() at time zone 'utc'::text)")
    {
        return FoundDefault::Now;
    }
    let text = match said.strip_prefix('\'') {
        Some(rest) => {
            // `'it''s'::character varying(20)`
            let mut inner = String::new();
            let mut characters = rest.chars().peekable();
            loop {
                match characters.next() {
                    Some('\'') if characters.peek() == Some(&'\'') => {
                        characters.next();
                        inner.push('\'');
                    }
                    Some('\'') => break,
                    Some(c) => inner.push(c),
                    None => return database(),
                }
            }
            let after: String = characters.collect();
            if !after.is_empty() && !after.starts_with("::") || after.contains(['\'', '+', '-', '|']) {
                return database();
            }
            inner
        }
        // Without quotes only numbers and truth stand as they are; all else is computed.
        None if matches!(holds.ty, FieldType::Int | FieldType::Float | FieldType::Decimal { .. } | FieldType::Bool) => {
            let bare = said.split("::").next().unwrap_or_default();
            bare.trim_matches(['(', ')']).to_owned()
        }
        None => return database(),
    };
    match literal(&holds.ty, &text) {
        Some(value) => FoundDefault::Literal(value),
        None => database(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults() {
        let check = |ty: FieldType, said: &str, expected: &str| {
            assert_eq!(format!("{:?}", default_of(said, Some(&Holds::of(ty)))), expected, "{said}");
        };
        let text = || FieldType::Text { pattern: None };
        check(text(), "'it''s'::character varying", "Literal(String(\"it's\"))");
        check(text(), "('a'::text || 'b'::text)", "Database(\"('a'::text || 'b'::text)\")");
        check(FieldType::Int, "'-1'::integer", "Literal(Number(-1))");
        check(FieldType::Int, "(-5)", "Literal(Number(-5))");
        check(FieldType::Bool, "false", "Literal(Bool(false))");
        check(FieldType::Decimal { precision: 5, scale: 2 }, "4.99", "Literal(Number(4.99))");
        check(FieldType::Json { schema: None }, "'{}'::jsonb", "Literal(Object {})");
        check(FieldType::List { of: Box::new(text()) }, "'{}'::text[]", "Literal(Array [])");
        check(FieldType::Timestamp, "now()", "Now");
        check(FieldType::Timestamp, "CURRENT_TIMESTAMP", "Now");
        check(FieldType::Int, "nextval('a_seq'::regclass)", "Sequence");
        check(text(), "NULL::character varying", "None");
    }
}
