//! Logs of changed keys, filled by triggers, for whoever copies the database meanwhile. A row that a reference removes or changes fires
//! them as any other. They are the owner's, whoever writes: who stands behind the wall of policies may not see the logs.
//!
//! Absent: the transaction and its lock, and what is done with the logs.

use crate::types::name;
use tokio_postgres::{Error, Transaction};
use undergird_store::changes::{Follow, LOGS, key_column, log_name};
use undergird_store::schema::Applied;

/// The statements that make the logs and their triggers in a schema, or remove them.
pub(super) async fn script(
    transaction: &Transaction<'_>,
    schema: &str,
    tables: &Applied,
    follow: Follow<'_>,
) -> Result<String, Error> {
    let begins = match follow {
        Follow::End(run) => format!("{LOGS}{run}_"),
        Follow::Begin(_) | Follow::EndAll => LOGS.to_owned(),
    };
    let mut script = String::new();
    let home = name(schema);
    // A function takes the triggers that call it along.
    let functions = "SELECT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname::text = $1 AND starts_with(p.proname::text, $2)";
    for row in transaction.query(functions, &[&schema, &begins]).await? {
        script += &format!("DROP FUNCTION {home}.{}() CASCADE;\n", name(row.get(0)));
    }
    let logs = "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname::text = $1 AND c.relkind = 'r' AND starts_with(c.relname::text, $2)";
    for row in transaction.query(logs, &[&schema, &begins]).await? {
        script += &format!("DROP TABLE {home}.{};\n", name(row.get(0)));
    }
    let Follow::Begin(run) = follow else { return Ok(script) };
    for (at, table) in tables.tables.iter().enumerate() {
        let log = name(&log_name(run, at));
        let keys: Vec<String> = table
            .key
            .iter()
            .enumerate()
            .map(|(at, key)| format!("{} AS {}", name(key), name(&key_column(at))))
            .collect();
        let of = |row: &str| {
            let keys: Vec<String> = table.key.iter().map(|key| format!("{row}.{}", name(key))).collect();
            keys.join(", ")
        };
        let into: Vec<String> = (0..table.key.len()).map(|at| name(&key_column(at))).collect();
        let into = into.join(", ");
        let table = name(&table.name);
        script += &format!(
            "CREATE TABLE {home}.{log} AS SELECT 0::bigint AS gone, {} FROM {table} WITH NO DATA;\n\
             ALTER TABLE {home}.{log} ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;\n\
             CREATE FUNCTION {home}.{log}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$ BEGIN\n\
             IF TG_OP <> 'DELETE' THEN INSERT INTO {home}.{log} (gone, {into}) VALUES (0, {new}); END IF;\n\
             IF TG_OP = 'DELETE' THEN INSERT INTO {home}.{log} (gone, {into}) VALUES (1, {old});\n\
             ELSIF TG_OP = 'UPDATE' THEN\n\
             IF ROW({old}) IS DISTINCT FROM ROW({new}) THEN INSERT INTO {home}.{log} (gone, {into}) VALUES (1, {old}); END IF;\n\
             END IF; RETURN NULL; END $body$;\n\
             CREATE TRIGGER _undergird_log AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {home}.{log}();\n",
            keys.join(", "),
            new = of("NEW"),
            old = of("OLD"),
        );
    }
    Ok(script)
}
