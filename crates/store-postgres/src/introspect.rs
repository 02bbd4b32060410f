//! What the database has: the record of the schema that it was given, compared with what is really there.
//!
//! The record keeps each table and index as the catalog describes it, so that any change by hand shows. Indexes, triggers, views and
//! tables that people add are theirs and no mismatch. What is compared as PostgreSQL's own text (defaults, checks) is compared only
//! while its major version is the same, for another may write it otherwise. Absent: reading an unknown database into models.

use crate::ddl::{self, HELPERS, IDENTITY_TRIGGER, RECORD, UNPLACED, broken, create_index};
use crate::types::{identifier, name, text};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::{Client, GenericClient, IsolationLevel, Transaction};
use undergird_store::StoreError;
use undergird_store::schema::{Applied, Reference, Table};

/// How often to look again when another node changes the schema while it is read.
const READS_MAX: u32 = 20;

/// Objects by what they are and their names, with the catalog's description.
type Objects = BTreeMap<String, String>;

/// Whether the schema of the functions is there, so that some application was migrated in this database.
///
/// # Errors
/// [`StoreError::Unavailable`] when the connection broke.
pub(crate) async fn has_helpers(client: &Client) -> Result<bool, StoreError> {
    let row = client.query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'undergird'", &[]).await;
    row.map(|row| row.is_some()).map_err(|error| broken("looking for the schema undergird", &error))
}

/// Where an application's tables are: the first schema of the connection's `search_path`.
pub(crate) struct Home {
    pub(crate) schema: String,
    pub(crate) exists: bool,
}

/// The schema that the database was last given; `None` when Undergird never gave it one.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when a table or an index is missing or was altered by hand, or when a newer Undergird wrote the
/// record.
pub async fn applied(client: &mut Client) -> Result<Option<Applied>, StoreError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .read_only(true)
        .start()
        .await
        .map_err(|error| broken("reading the schema's record", &error))?;
    let home = home(&transaction).await?;
    if !home.exists {
        return Ok(None);
    }
    settle(&transaction, &home).await?;
    recorded(&transaction, &home).await
}

/// The first schema of the `search_path`, which is where unqualified names are made. Not `current_schema()`, which passes over one
/// that does not exist yet.
pub(crate) async fn home(client: &impl GenericClient) -> Result<Home, StoreError> {
    let wrong = |error| broken("reading the search_path", &error);
    let row =
        client.query_one("SELECT current_setting('search_path'), current_user::text", &[]).await.map_err(wrong)?;
    let (path, user): (String, String) = (row.get(0), row.get(1));
    for schema in schemas(&path) {
        let (schema, is_user) = if schema == "$user" { (user.clone(), true) } else { (schema, false) };
        if schema == HELPERS {
            // A role of this name is likely, and does not mean the schema of the helpers by it.
            if is_user {
                continue;
            }
            return Err(StoreError::SchemaMismatch(format!(
                "the schema {HELPERS} is kept for functions: let the connection's search_path name another one for the tables"
            )));
        }
        let found = client
            .query_opt("SELECT FROM pg_catalog.pg_namespace WHERE nspname::text = $1", &[&schema])
            .await
            .map_err(wrong)?;
        if found.is_some() || !is_user {
            return Ok(Home { schema, exists: found.is_some() });
        }
    }
    Err(StoreError::SchemaMismatch(
        "the connection's search_path names no schema for the tables: give the URL one".into(),
    ))
}

/// Makes a transaction see and say the same, whatever the session's settings: what is ours is named without its schema, and constants
/// are written in one way.
pub(crate) async fn settle(transaction: &Transaction<'_>, home: &Home) -> Result<(), StoreError> {
    let settings = format!(
        "SET LOCAL search_path TO {}; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL bytea_output = 'hex'; \
         SET LOCAL extra_float_digits = 1; SET LOCAL quote_all_identifiers = off; SET LOCAL standard_conforming_strings = on",
        name(&home.schema)
    );
    transaction.batch_execute(&settings).await.map_err(|error| broken("choosing the schema", &error))
}

/// The names in a `search_path`: `"$user", public`.
fn schemas(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    for c in path.chars().chain([',']) {
        match c {
            // A doubled quote inside quotes is one: it ends them and begins them again.
            '"' => {
                if !quoted && name.ends_with('\u{0}') {
                    name.pop();
                    name.push('"');
                } else if quoted {
                    name.push('\u{0}');
                }
                quoted = !quoted;
            }
            ',' if !quoted => {
                let one = name.replace('\u{0}', "");
                if !one.is_empty() {
                    found.push(one);
                }
                name.clear();
            }
            c if !quoted && c.is_whitespace() => {}
            c => name.push(if quoted { c } else { c.to_ascii_lowercase() }),
        }
    }
    found
}

/// The last record, when what it says is so. The `search_path` must be the home alone.
pub(crate) async fn recorded(client: &impl GenericClient, home: &Home) -> Result<Option<Applied>, StoreError> {
    let mut last = None;
    for _ in 0..READS_MAX {
        if !exists(client, &home.schema, RECORD).await? {
            return Ok(None);
        }
        let query = format!("SELECT id, applied, objects FROM {} ORDER BY id DESC LIMIT 1", name(RECORD));
        let row = client.query_opt(&query, &[]).await.map_err(|error| broken("reading the schema's record", &error))?;
        let Some(row) = row else { return Ok(None) };
        let (id, record, was): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
        let unreadable = |why: String| StoreError::SchemaMismatch(format!("the schema's record cannot be read: {why}"));
        let record = Applied::from_json(&record).map_err(unreadable)?;
        let was: Objects = serde_json::from_str(&was).map_err(|error| unreadable(error.to_string()))?;
        let Err(error) = compare(&record, &was, &objects(client, &record, home).await?) else {
            return Ok(Some(record));
        };
        // Another node's migration may have come between the two reads: then there is a newer record by now.
        if last == Some(id) {
            return Err(error);
        }
        last = Some(id);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err(StoreError::Unavailable("the schema changes faster than it can be read".into()))
}

fn compare(record: &Applied, was: &Objects, now: &Objects) -> Result<(), StoreError> {
    let same_server = was.get("server") == now.get("server");
    // A missing table is the reason why its indexes are.
    let is_table = |object: &str| object.starts_with("table ");
    let (tables, rest): (Vec<_>, Vec<_>) = was.iter().partition(|(object, _)| is_table(object));
    for (object, described) in tables.into_iter().chain(rest) {
        let mismatch = |text: String| Err(StoreError::SchemaMismatch(text));
        match (object.split_once(' '), now.get(object)) {
            (Some(("table", table)), None) => {
                return mismatch(format!("the table {table} is missing from the database: restore a backup"));
            }
            (Some(("index", index)), None) => {
                let of = |table: &Table| {
                    let index = table.indexes.iter().find(|other| identifier(&other.name) == index)?;
                    Some(create_index(table, index))
                };
                let sql = record.tables.iter().find_map(of).unwrap_or_default();
                return mismatch(format!("the index {index} is missing from the database: make it again with {sql}"));
            }
            (Some(("text", table)), found) if same_server && found != Some(described) => {
                return mismatch(altered("table", table));
            }
            (Some((what @ ("table" | "index"), named)), Some(found)) if found != described => {
                return mismatch(altered(what, named));
            }
            _ => {}
        }
    }
    Ok(())
}

fn altered(what: &str, named: &str) -> String {
    format!("the {what} {named} was altered by hand: undo that change and make it in the definition instead")
}

/// Writes down that the database now has this schema. The last record counts; earlier ones are its history.
pub(crate) async fn record(client: &Transaction<'_>, applied: &Applied, home: &Home) -> Result<(), StoreError> {
    let wrong = |error| broken("writing the schema's record", &error);
    let table = name(RECORD);
    client
        .batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
             applied_at timestamptz NOT NULL DEFAULT now(), fingerprint text NOT NULL, applied text NOT NULL, objects text NOT NULL)"
        ))
        .await
        .map_err(wrong)?;
    let objects = serde_json::to_string(&objects(client, applied, home).await?)
        .map_err(|error| StoreError::Internal(format!("writing the schema's record: {error}")))?;
    client
        .execute(
            &format!("INSERT INTO {table} (fingerprint, applied, objects) VALUES ($1, $2, $3)"),
            &[&applied.fingerprint(), &applied.to_json(), &objects],
        )
        .await
        .map_err(wrong)?;
    Ok(())
}

/// Whether there is a table, a view or anything else that takes this name.
pub(crate) async fn exists(client: &impl GenericClient, schema: &str, relation: &str) -> Result<bool, StoreError> {
    let sql = "SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname::text = $1 AND c.relname::text = $2";
    let found = client.query_opt(sql, &[&schema, &relation]).await;
    found.map(|found| found.is_some()).map_err(|error| broken("reading the schema", &error))
}

/// The tables and indexes of a schema that are there.
async fn objects(client: &impl GenericClient, applied: &Applied, home: &Home) -> Result<Objects, StoreError> {
    let named = |names: Vec<&str>| names.into_iter().map(|name| identifier(name).into_owned()).collect::<Vec<String>>();
    let tables = named(applied.tables.iter().map(|table| table.name.as_str()).collect());
    let indexes = applied.tables.iter().flat_map(|table| &table.indexes).map(|index| index.name.as_str());
    let indexes = named(indexes.collect());
    let sql = OBJECTS.replace("{trigger}", &text(IDENTITY_TRIGGER)).replace("{unplaced}", &text(UNPLACED));
    let rows = client
        .query(&sql, &[&home.schema, &tables, &indexes])
        .await
        .map_err(|error| broken("reading the schema", &error))?;
    let mut objects: Objects = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    objects.retain(|_, described| !described.is_empty());
    Ok(objects)
}

/// One row per object: what it is and its name, and its description. Ordered by names within, so that a restored copy of the
/// database is the same.
const OBJECTS: &str = r"
WITH t AS (
  SELECT c.oid, c.relname::text AS name, c.relkind::text AS kind FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname::text = $1 AND c.relname::text = ANY ($2) AND c.relkind IN ('r', 'p')
)
SELECT 'server', (current_setting('server_version_num')::integer / 10000)::text
UNION ALL
SELECT 'table ' || t.name, concat_ws(E'\n', t.kind,
  (SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
      'COLLATE ' || (SELECT collname FROM pg_catalog.pg_collation WHERE oid = a.attcollation),
      CASE WHEN a.attnotnull THEN 'NOT NULL' END, CASE WHEN a.attidentity <> '' THEN 'IDENTITY ' || a.attidentity::text END,
      CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END, CASE WHEN a.atthasdef THEN 'DEFAULT' END), E'\n' ORDER BY a.attname)
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT string_agg(concat_ws(' ', quote_ident(k.conname),
      CASE WHEN k.contype = 'c' THEN 'CHECK' ELSE pg_get_constraintdef(k.oid) END,
      CASE WHEN NOT k.convalidated THEN 'NOT VALID' END), E'\n' ORDER BY k.conname)
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.oid AND k.contype IN ('p', 'u', 'f', 'x', 'c')
      AND NOT starts_with(k.conname::text, {unplaced})),
  (SELECT 'numbered ' || g.tgenabled::text FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t.oid AND g.tgname = {trigger}))
FROM t
UNION ALL
SELECT 'text ' || t.name, concat_ws(E'\n',
  (SELECT string_agg(quote_ident(a.attname) || ' ' || pg_get_expr(d.adbin, d.adrelid), E'\n' ORDER BY a.attname)
    FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = t.oid),
  (SELECT string_agg(quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), E'\n' ORDER BY k.conname)
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'c' AND NOT starts_with(k.conname::text, {unplaced})))
FROM t
UNION ALL
SELECT 'index ' || c.relname, concat_ws(' ', CASE WHEN i.indisunique THEN 'UNIQUE' END, CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
  'ON', quote_ident(t.name), substr(d.def, strpos(d.def, ' USING ')))
FROM pg_catalog.pg_index i JOIN t ON t.oid = i.indrelid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid,
  LATERAL (SELECT pg_get_indexdef(i.indexrelid) AS def) d
WHERE c.relname::text = ANY ($3)
";

/// What a constraint's name in an error of PostgreSQL's stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The name that the schema has for it; `None` for what has none there (the key, the form of a type).
    pub name: Option<String>,
    /// The columns that it is about, where it is not a rule about the row.
    pub columns: Vec<String>,
}

/// Finds what a table holds under a name that an error of PostgreSQL's gives, cut off or not. `None` for constraints and indexes that
/// people made.
pub fn held(applied: &Applied, table: &str, constraint: &str) -> Option<Held> {
    let table = applied.table(table)?;
    let called = |name: &str| identifier(name) == constraint;
    if called(&ddl::key_name(&table.name)) {
        return Some(Held { name: None, columns: table.key.clone() });
    }
    let held = |name: &String, columns: Vec<String>| Some(Held { name: Some(name.clone()), columns });
    if let Some(index) = table.indexes.iter().find(|index| called(&index.name)) {
        return held(&index.name, index.columns.iter().map(|column| column.name.clone()).collect());
    }
    if let Some(Reference { name, column, .. }) = table.references.iter().find(|reference| called(&reference.name)) {
        return held(name, vec![column.clone()]);
    }
    if let Some(check) = table.checks.iter().find(|check| called(&check.name)) {
        return held(&check.name, check.column.iter().cloned().collect());
    }
    let column =
        table.columns.iter().find(|column| ddl::form_of(&table.name, column).is_some_and(|name| called(&name)))?;
    Some(Held { name: None, columns: vec![column.name.clone()] })
}

#[cfg(test)]
mod tests {
    use super::schemas;

    #[test]
    fn a_search_path_is_read_as_postgresql_reads_it() {
        for (path, expected) in [
            (r#""$user", public"#, &["$user", "public"][..]),
            ("app", &["app"]),
            (r#" "My App" ,Other"#, &["My App", "other"]),
            (r#""a""b,c", d"#, &["a\"b,c", "d"]),
            (r#""""#, &[]),
            ("", &[]),
        ] {
            assert_eq!(schemas(path), expected, "{path}");
        }
    }
}
