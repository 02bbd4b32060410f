//! A second wall around what visitors and users read and write: policies of the database, and a login that they hold for.
//!
//! Plans hold the rules; this is for the day on which a plan is wrong, and for functions of the database. The owner's login passes
//! its own tables' policies and makes them; the reader's has no table, and runs the reads of callers who have rules. What such a caller
//! changes, and whatever else a transaction does for him, runs on the owner's connection, which becomes the reader for these statements. What
//! policies ask of the caller are *facts*, computed in memory as any parameter is, bound as any parameter is, and set for one transaction in
//! the packet of the statement; what the statement does for him is one of them.
//! Each is named by what it is, so that a policy of another definition misses it, and the statement fails, rather than takes another for it.
//! Absent: what writes ask before and after they change something, to refuse; that is the owner's.

use crate::pool::Pool;
use crate::settings::{Options, Target};
use crate::types::{name, text};
use crate::values::as_text;
use crate::{ddl, dialect, functions, introspect, work};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio_postgres::Client;
use undergird_model::{Model, Type, Value};
use undergird_plan::caller::Identity;
use undergird_plan::{Plan, RowSink};
use undergird_store::run::bind_value;
use undergird_store::{Act, Bind, Bound, Prepared, ReadAnswer, Statement, StoreError, sql};

/// How the names of the views begin by which rules look at other rows.
pub(crate) const VIEWS: &str = "_undergird_rules_";

/// The mark of the wall that stands.
pub(crate) const MARKED: &str = "SELECT obj_description(to_regclass('_undergird_schema'), 'pg_class')";

/// Removes policies, views, and the rights of whoever they were for: a reader that knows nothing of it is refused, and not answered
/// as if there were no rows. The tables keep their row-level security.
pub(crate) const TAKEN_DOWN: &str = r"DO $undergird$
DECLARE found record; BEGIN
  FOR found IN SELECT c.relname, p.polname, (SELECT string_agg(quote_ident(r.rolname), ', ') FROM pg_catalog.pg_roles r
      WHERE r.oid = ANY (p.polroles)) AS roles FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
      WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND starts_with(p.polname::text, '_undergird_') LOOP
    EXECUTE format('DROP POLICY %I ON %I', found.polname, found.relname);
    IF found.roles IS NOT NULL THEN EXECUTE format('REVOKE ALL ON %I FROM %s', found.relname, found.roles); END IF;
  END LOOP;
  FOR found IN SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relkind = 'v'
      AND c.relnamespace = quote_ident(current_schema())::regnamespace AND starts_with(c.relname::text, '_undergird_rules_') LOOP
    EXECUTE format('DROP VIEW %I', found.relname);
  END LOOP;
  IF starts_with(obj_description(to_regclass('_undergird_schema'), 'pg_class'), 'the wall') THEN COMMENT ON TABLE _undergird_schema IS NULL; END IF;
END $undergird$";

/// Asked on each connection of the reader before anything else is: who may pass policies, or become one who may, or the owner of the
/// tables. A pooler may have another login on its other side than that of the URL, and a host of several may know the role otherwise.
pub(crate) const GUARD: &str = "SELECT current_user WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r \
     WHERE (r.rolsuper OR r.rolbypassrls) AND pg_has_role(r.oid, 'MEMBER')) OR EXISTS (SELECT FROM pg_catalog.pg_class c \
     WHERE c.oid = to_regclass('_undergird_schema') AND pg_has_role(c.relowner, 'MEMBER'))";

/// Which of the tables `$1` a role `$2` has rights on that no policy stands before.
pub(crate) const TOO_MUCH: &str = "SELECT string_agg(quote_ident(c.relname), ', ' ORDER BY c.relname) FROM pg_catalog.pg_class c \
     WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') \
     AND (c.relname::text = ANY ($1) OR starts_with(c.relname::text, '_undergird')) \
     AND (has_table_privilege($2::text::name, c.oid, 'TRUNCATE, TRIGGER') \
       OR NOT c.relrowsecurity AND (has_table_privilege($2::text::name, c.oid, 'DELETE') \
         OR has_any_column_privilege($2::text::name, c.oid, 'INSERT, UPDATE, SELECT')))";

/// What the wall would be worth nothing without, of the reader: (whether it may pass policies, or become one who may; whether it may
/// become the owner; its name; which server and database this is).
const READER: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE (r.rolsuper OR r.rolbypassrls) AND pg_has_role(r.oid, 'MEMBER')), \
     pg_has_role($1::text::name, 'MEMBER'), current_user::text, \
     current_database()::text || ' ' || extract(epoch FROM pg_postmaster_start_time())::text";
/// Of the owner: its name, which server and database this is.
const OWNER: &str = "SELECT current_user::text, current_database()::text || ' ' || extract(epoch FROM pg_postmaster_start_time())::text";

/// The facts that a model's policies ask: the statement that sets them, and where each of its parameters is from.
struct Facts {
    statement: Statement,
    binds: Vec<Bind>,
}

/// The facts of the model that was asked for last.
type Known = (Arc<Model>, Arc<Facts>);

/// The statement that tells the facts of what is done for a caller, and what is bound to it: what it is first.
pub(crate) struct Told {
    facts: Arc<Facts>,
    values: Vec<Value>,
}

impl PartialEq for Told {
    fn eq(&self, other: &Told) -> bool {
        Arc::ptr_eq(&self.facts, &other.facts) && self.values == other.values
    }
}

impl Told {
    /// The statement.
    pub(crate) fn statement(&self) -> &Statement {
        &self.facts.statement
    }

    /// What is bound to it.
    pub(crate) fn values(&self) -> Vec<Bound<'_>> {
        self.values.iter().map(|value| Bound::Value(Type::TEXT, Cow::Borrowed(value))).collect()
    }
}

/// See the module.
pub(crate) struct Wall {
    pub(crate) pool: Arc<Pool>,
    role: String,
    facts: Mutex<Option<Known>>,
}

impl Wall {
    /// The reader's connections, none of which is made yet.
    pub(crate) fn new(options: &Options) -> Result<Option<Wall>, StoreError> {
        let Some(url) = &options.reader else { return Ok(None) };
        if !options.replicas.is_empty() {
            return Err(StoreError::Unavailable(
                "reads of replicas are not behind row_security: have one of the two".into(),
            ));
        }
        let mut options = Options { reader: None, ..options.clone() };
        let target = Target::parse(url, &mut options)?;
        Ok(Some(Wall { pool: Pool::guarded(target, options, GUARD), role: String::new(), facts: Mutex::default() }))
    }

    /// Looks at who the reader is.
    ///
    /// # Errors
    /// The wall would be none, or around another database.
    pub(crate) async fn open(&mut self, owner_client: &Client) -> Result<(), StoreError> {
        let wrong = |error| ddl::broken("looking at the logins", &error);
        let row = owner_client.query_one(OWNER, &[]).await.map_err(wrong)?;
        let (owner, place): (String, String) = (row.get(0), row.get(1));
        let reader = self.pool.target.dedicated().await?;
        let row = reader.query_one(READER, &[&owner]).await.map_err(wrong)?;
        let (passes, owns): (bool, bool) = (row.get(0), row.get(1));
        let (role, there): (String, String) = (row.get(2), row.get(3));
        let refused = |why: &str| {
            Err(StoreError::Unavailable(format!(
                "row_security: the login \"{role}\" of reader_url {why}, so the wall would be none: make a role of its own \
                 (CREATE ROLE reader LOGIN PASSWORD '…' NOSUPERUSER NOBYPASSRLS)"
            )))
        };
        if role == owner {
            return refused("is that of url, which owns the tables");
        }
        if passes {
            return refused("is a superuser or passes row-level security (BYPASSRLS), or may become one who does");
        }
        if owns {
            return refused(&format!("is a member of \"{owner}\", which owns the tables"));
        }
        if there != place {
            return Err(StoreError::Unavailable("row_security: reader_url leads to another database than url".into()));
        }
        let (ours, theirs) = (introspect::home(owner_client).await?.schema, introspect::home(&*reader).await?.schema);
        if ours != theirs {
            return Err(StoreError::Unavailable(format!(
                "row_security: the tables are in the schema \"{ours}\", and reader_url looks into \"{theirs}\": add schema={ours} to it"
            )));
        }
        let becomes = format!("BEGIN READ ONLY; {}; ROLLBACK", becoming(&role));
        if let Err(error) = owner_client.batch_execute(&becomes).await {
            let why = crate::error::explain(&error);
            return Err(StoreError::Unavailable(format!(
                "row_security: the login \"{owner}\" of url cannot become \"{role}\" for what users write ({why}): \
                 GRANT {} TO {}",
                name(&role),
                name(&owner)
            )));
        }
        // By the way that reads go, which a pooler may lead elsewhere.
        drop(self.pool.checkout(self.pool.patience().until()).await?);
        self.role = role;
        Ok(())
    }

    /// Puts the policies of a model around its tables.
    ///
    /// # Errors
    /// [`StoreError::SchemaMismatch`] when a rule can be no policy, or a role lacks a right.
    pub(crate) async fn raise(&self, client: &mut Client, model: &Model) -> Result<(), StoreError> {
        let wall = sql::wall(model, &dialect::WALLED);
        if !wall.refused.is_empty() {
            let told = wall.refused.join("\n  ");
            return Err(StoreError::SchemaMismatch(format!("row_security cannot keep these rules:\n  {told}")));
        }
        for term in &wall.open {
            tracing::warn!("row_security: a rule that plans alone keep, since no policy can: {term}");
        }
        let tables: Vec<&str> = model.collections.iter().map(|collection| collection.table.as_str()).collect();
        ddl::raise_wall(client, &self.script(model, &wall), &self.role, &tables).await
    }

    /// The statements that raise it.
    fn script(&self, model: &Model, wall: &sql::Wall) -> String {
        let role = name(&self.role);
        let mut script = Vec::new();
        for view in &wall.views {
            let table = &model.collection(view.collection).table;
            let columns: Vec<String> = view.fields.iter().map(|field| name(&model.field(*field).column)).collect();
            let called = name(&format!("{VIEWS}{table}"));
            script.push(format!("CREATE VIEW {called} AS SELECT {} FROM {}", columns.join(", "), name(table)));
            script.push(format!("GRANT SELECT ON {called} TO {role}"));
        }
        for policy in &wall.policies {
            let collection = model.collection(policy.collection);
            let table = name(&collection.table);
            script.push(format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"));
            for (called, command, conditions) in policies(policy, &collection.name) {
                script.push(format!("CREATE POLICY {called} ON {table} FOR {command} TO {role} {conditions}"));
            }
            script.push(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}"));
            if let Some(identity) = collection.identity() {
                let sequence = format!(
                    "pg_get_serial_sequence({}, {})",
                    text(&table),
                    text(&crate::types::identifier(&identity.column))
                );
                script.push(format!(
                    "DO $undergird$ BEGIN EXECUTE 'GRANT USAGE, UPDATE ON SEQUENCE ' || {sequence} || ' TO ' || {}; END $undergird$",
                    text(&role)
                ));
            }
        }
        script.join(";\n")
    }

    /// How the functions that the reader calls differ from what it finds and may call: its `search_path` and its rights are its own.
    pub(crate) async fn functions(&self, model: &Model) -> Result<Vec<String>, StoreError> {
        let reader = self.pool.target.dedicated().await?;
        let told = functions::differences(&*reader, model, |function| !function.is_volatile()).await?;
        Ok(told.into_iter().map(|what| format!("{what} (for the login of reader_url)")).collect())
    }

    /// Runs a read: behind the wall when its caller has rules.
    pub(crate) async fn read(
        &self,
        owner: &Arc<Pool>,
        query: Prepared,
        sink: Box<dyn RowSink>,
        deadline: Instant,
    ) -> ReadAnswer {
        match query.plan.caller().identity() {
            Identity::Secret | Identity::System => work::read(owner, query, sink, deadline).await,
            Identity::Visitor | Identity::User(_) => match self.facts_of(&query.plan, Act::Read) {
                Ok(facts) => work::read_walled(&self.pool, &Arc::new(facts), query, sink, deadline).await,
                Err(error) => ReadAnswer { sink: Some(sink), result: Err(error) },
            },
        }
    }

    /// What is told before a statement of a plan, if its caller has rules.
    pub(crate) fn told(&self, plan: &Plan, act: Act) -> Result<Option<Told>, StoreError> {
        match plan.caller().identity() {
            Identity::Secret | Identity::System => Ok(None),
            Identity::Visitor | Identity::User(_) => self.facts_of(plan, act).map(Some),
        }
    }

    /// What has the rights of the statements that follow in a transaction.
    pub(crate) fn becoming(&self) -> String {
        becoming(&self.role)
    }

    fn facts_of(&self, plan: &Plan, act: Act) -> Result<Told, StoreError> {
        let model = plan.model();
        let facts = self.facts(model);
        let verb = match act {
            Act::Read => READ.to_owned(),
            Act::Create(of) => verb("create", &model.collection(of).name),
            Act::Update(of) => verb("update", &model.collection(of).name),
            Act::Delete(of) => verb("delete", &model.collection(of).name),
        };
        let told = facts.binds.iter().map(|bind| {
            let value = bind_value(plan, bind, &[])?;
            Ok(Value::text(match &value {
                Value::Null => "-".to_owned(),
                Value::Duration(micros) => format!("={micros}"),
                value => format!("={}", as_text(value)),
            }))
        });
        let values = std::iter::once(Ok(Value::text(verb))).chain(told).collect::<Result<_, StoreError>>()?;
        Ok(Told { facts, values })
    }

    /// The facts that the policies of a model ask.
    fn facts(&self, model: &Arc<Model>) -> Arc<Facts> {
        let mut kept = self.facts.lock();
        if let Some((of, facts)) = kept.as_ref()
            && Arc::ptr_eq(of, model)
        {
            return Arc::clone(facts);
        }
        let mut known = BTreeSet::new();
        let mut binds = Vec::new();
        let mut statement = "SELECT set_config('undergird.verb', $1::text, true)".to_owned();
        // All of them for whatever is done: a plan with workers computes what it may need before it looks which of it that is.
        for policy in sql::wall(model, &dialect::WALLED).policies {
            for (ty, bind) in policy.conditions().into_iter().flat_map(|condition| &condition.binds) {
                let name = fact_name(*ty, bind);
                if known.insert(name.clone()) {
                    binds.push(bind.clone());
                    statement += &format!(", set_config('undergird.{name}', ${}::text, true)", binds.len() + 1);
                }
            }
        }
        let columns = vec![Type::Null; binds.len() + 1];
        let statement =
            Statement { text: statement, binds: Vec::new(), columns, writes: false, identity: false, lacks: None };
        let facts = Arc::new(Facts { statement, binds });
        *kept = Some((Arc::clone(model), Arc::clone(&facts)));
        facts
    }

    /// Figures worth watching.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let named = |(name, _, value): (&'static str, &'static str, f64)| match name {
            "postgres_connections_used" => {
                Some(("postgres_reader_connections_used", "Connections of the reader in use.", value))
            }
            "postgres_connections_idle" => {
                Some(("postgres_reader_connections_idle", "Connections of the reader at rest.", value))
            }
            _ => None,
        };
        self.pool.gauges().into_iter().filter_map(named).collect()
    }
}

/// What a statement does that reads.
const READ: &str = "read";

/// What a statement does that changes rows of a collection.
fn verb(does: &str, collection: &str) -> String {
    format!("{does} {collection}")
}

fn becoming(role: &str) -> String {
    format!("SET LOCAL ROLE {}", name(role))
}

/// The policies of a collection: name, command, conditions. What a row must be to be seen is asked of rows that are made or changed
/// too, since their keys are asked for and they are found by conditions: then it is enough that they may become so.
fn policies(policy: &sql::Policy, collection: &str) -> [(&'static str, &'static str, String); 4] {
    let [read, create, old, new, delete] =
        policy.conditions().map(|condition| with_facts(&condition.text, &condition.binds));
    let [creates, updates, deletes] = ["create", "update", "delete"].map(|does| text(&verb(does, collection)));
    // A CASE, because nothing else keeps PostgreSQL from asking a fact that is not wanted.
    let when = |cases: &[(&str, &str)], otherwise: &str| {
        let cases: Vec<String> = cases.iter().map(|(verb, what)| format!("WHEN {verb} THEN {what}")).collect();
        format!(
            "(CASE (SELECT coalesce(current_setting('undergird.verb', true), '')) {} {otherwise} END)",
            cases.join(" ")
        )
    };
    let (made, changed) = (format!("({read} OR {create})"), format!("({read} OR {new})"));
    let (changes, removes) = (format!("({read} AND {old})"), format!("({read} AND {delete})"));
    // What is done with another collection reads this one. Empty is what is left of a transaction that told what it does.
    let elsewhere = format!("WHEN '' THEN FALSE ELSE {read}");
    let seen = when(&[("'read'", &read), (&creates, &made), (&updates, &changed)], &elsewhere);
    let found = when(&[(&updates, &changes), (&deletes, &removes)], "ELSE FALSE");
    let becomes = when(&[(&updates, &new)], "ELSE FALSE");
    let made = when(&[(&creates, &create)], "ELSE FALSE");
    let gone = when(&[(&deletes, &removes)], "ELSE FALSE");
    [
        ("_undergird_read", "SELECT", format!("USING {seen}")),
        ("_undergird_create", "INSERT", format!("WITH CHECK {made}")),
        // Locks are asked of this one, also those before a row is removed.
        ("_undergird_update", "UPDATE", format!("USING {found} WITH CHECK {becomes}")),
        ("_undergird_delete", "DELETE", format!("USING {gone}")),
    ]
}

/// What names the wall that a script raises.
pub(crate) fn mark(script: &str) -> String {
    format!("the wall {:016x}", fnv(script))
}

fn fnv(text: &str) -> u64 {
    // FNV-1a of 64 bits: it tells definitions apart, and guards against nothing.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A name that two facts share only when they are the same.
fn fact_name(ty: Type, bind: &Bind) -> String {
    format!("f_{:016x}", fnv(&format!("{ty:?} {bind:?}")))
}

/// A condition with facts in the places of its parameters. A parameter is `$` and a number, outside of names and texts.
fn with_facts(condition: &str, binds: &[(Type, Bind)]) -> String {
    let mut out = String::with_capacity(condition.len() * 2);
    let mut rest = condition;
    while let Some(at) = rest.find(['\'', '"', '$']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let mark = &rest[..1];
        if mark == "$" {
            let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
            let number = rest[1..=digits].parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match number.and_then(|number| binds.get(number)) {
                Some((ty, bind)) => out.push_str(&asked(&fact_name(*ty, bind))),
                None => out.push_str(&rest[..=digits]),
            }
            rest = &rest[digits + 1..];
            continue;
        }
        // A doubled mark ends one and begins the next.
        let end = rest[1..].find(mark).map_or(rest.len(), |end| end + 2);
        out.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The value of a fact, asked once for a statement. One that is not set is a failure: the policy is of another definition than the
/// read. (A setting of an earlier transaction is there, and empty.)
fn asked(fact: &str) -> String {
    let setting = format!("current_setting('undergird.{fact}', true)");
    format!(
        "(SELECT CASE left({setting}, 1) WHEN '=' THEN substr({setting}, 2) WHEN '-' THEN NULL \
         ELSE ('the fact {fact} is not set: ' || coalesce({setting}, ''))::integer::text END)"
    )
}
