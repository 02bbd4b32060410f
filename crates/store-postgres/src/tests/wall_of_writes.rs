//! The wall of policies around what transactions do for a caller: statements that a plan should never have let through.

use super::{Database, database, soon};
use crate::{Options, PostgresStore};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use undergird_model::{Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::{Caller, authorize};
use undergird_store::changes::{Follow, log_name};
use undergird_store::conformance::parse_request;
use undergird_store::run::{self, WriteAnswer};
use undergird_store::sql::WriteStatements;
use undergird_store::{
    Connection, Decision, Isolation, Prepared, Statements, Store, StoreError, Work, WorkAnswer, schema, sql,
};
use uuid::Uuid;

const FILES: &[(&str, &str)] = &[
    ("undergird.toml", "name = \"test\"\n"),
    ("models/members.toml", "[fields]\nid = { type = \"int\" }\nwho = { type = \"text\" }\n"),
    (
        "models/notes.toml",
        "[fields]\nid = { type = \"int\" }\nowner = { type = \"text\" }\nn = { type = \"int\", default = 0 }\n\
         [access]\nread = \"owner == auth.email || n == 9\"\ncreate = \"owner == auth.email && n < 100\"\n\
         update = \"owner == auth.email && n < 100\"\ndelete = \"owner == auth.email && n > 0\"\n",
    ),
    (
        "models/moves.toml",
        "[fields]\nid = { type = \"int\" }\nowner = { type = \"text\" }\nn = { type = \"int\" }\n\
         note_id = { type = \"ref\", to = \"notes\", optional = true }\n\
         [access]\nread = \"true\"\ncreate = \"note.owner == auth.email\"\n\
         update = \"owner == auth.email && new.n >= n && new.n < 10\"\ndelete = \"false\"\n",
    ),
];

fn model() -> Arc<Model> {
    let sources: Vec<Source> =
        FILES.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

fn moment() -> Moment {
    Moment { now: 1_700_000_000_000_000, entropy: 1 }
}

fn user(email: &str) -> Caller {
    let user = User::new(Uuid::from_u128(7), Some(email.into()), Vec::new(), serde_json::json!({}));
    Caller::user(Arc::new(user), moment())
}

/// Ten notes of each of two owners and a visible one of the second's, and two moves.
async fn filled(database: &Database) -> (Arc<PostgresStore>, Arc<Model>) {
    let (store, _) = database.open_walled("pool=2").await;
    let model = model();
    let wanted = schema::wanted(&model);
    Store::migrate(&*store, &schema::steps(None, &wanted), &wanted).await.unwrap();
    database
        .execute(&[
            "INSERT INTO notes (id, owner, n) SELECT i, 'u' || i % 2 + 1 || '@a', i / 10 FROM generate_series(0, 19) i",
            "INSERT INTO notes (id, owner, n) VALUES (50, 'u2@a', 9)",
            "INSERT INTO moves (id, owner, n) VALUES (1, 'u1@a', 5), (2, 'u2@a', 5)",
        ])
        .await;
    Store::raise_wall(&*store, &model).await.unwrap();
    (store, model)
}

/// A request as it should be.
fn right(model: &Arc<Model>, caller: &Caller, request: &str) -> Prepared {
    let plan = authorize(model, caller, &parse_request(request).unwrap()).unwrap();
    let statements = Arc::new(sql::write(model, plan.shape(), &crate::dialect::WALLED));
    Prepared { plan, statements }
}

/// The same with another statement in the place of the one that changes rows, and nothing that could refuse: as if a plan had
/// forgotten all rules.
fn wrong(model: &Arc<Model>, caller: &Caller, request: &str, text: &str) -> Prepared {
    changed(right(model, caller, request), |statements| {
        statements.main.text = text.to_owned();
        statements.main.binds.clear();
        (statements.guard, statements.before, statements.after, statements.again) = (None, None, None, None);
    })
}

fn changed(mut query: Prepared, change: impl FnOnce(&mut WriteStatements)) -> Prepared {
    let Statements::Write(statements) = query.statements.as_ref() else { panic!("a read") };
    let mut statements = statements.clone();
    change(&mut statements);
    query.statements = Arc::new(Statements::Write(statements));
    query
}

/// Each in turn, in one transaction; what fails is gone back from where `marked`.
struct Each {
    queries: Vec<Prepared>,
    marked: bool,
}

type Told = Vec<Result<String, StoreError>>;

impl Work for Each {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let mut told: Told = Vec::new();
            for query in &self.queries {
                if self.marked {
                    connection.savepoint().await?;
                }
                let one = one(connection, query).await;
                if self.marked {
                    connection.release(one.is_ok()).await?;
                }
                match one {
                    Err(StoreError::Conflict) => return Err(StoreError::Conflict),
                    Err(error) if !self.marked => return Err(error),
                    one => told.push(one),
                }
            }
            Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(told) })
        })
    }
}

async fn one(connection: &mut dyn Connection, query: &Prepared) -> Result<String, StoreError> {
    let mut lines = super::Lines::default();
    match query.statements.as_ref() {
        Statements::Read(_) => {
            run::read(connection, query, &mut lines).await?;
            Ok(lines.0.join(" "))
        }
        Statements::Write(_) => match run::write(connection, query, None, run::Then::Commit).await? {
            WriteAnswer::Done(written) => Ok(format!("{}", written.affected)),
            WriteAnswer::Refused { otherwise, .. } => Ok(format!("refused {otherwise:?}")),
        },
    }
}

async fn each(store: &PostgresStore, marked: bool, queries: Vec<Prepared>) -> Result<Told, StoreError> {
    let work = Box::new(Each { queries, marked });
    let isolation = if marked { Isolation::Serializable } else { Isolation::Committed };
    let answer = Store::transaction(store, work, isolation, soon()).await?;
    Ok(*answer.value.downcast::<Told>().unwrap())
}

/// A request in a transaction of its own.
async fn alone(store: &PostgresStore, query: Prepared) -> Result<String, StoreError> {
    each(store, false, vec![query]).await.map(|mut told| told.remove(0).unwrap())
}

const MAKE: &str = "POST notes {\"id\": 900, \"owner\": \"u1@a\"}";
const CHANGE: &str = "PATCH notes?id=eq.0 {\"n\": 1}";
const REMOVE: &str = "DELETE notes?id=eq.0";
const ALL_OF: &str = "SELECT count(*) FROM notes WHERE owner = ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_its_rule_changes_only_permitted_rows() {
    let Some(database) = database().await else { return };
    let (store, model) = filled(&database).await;
    let me = user("u1@a");
    let stopped = async |request: &str, text: &str| {
        for marked in [false, true] {
            let told = each(&store, marked, vec![wrong(&model, &me, request, text)]).await;
            let told = told.and_then(|mut told| told.remove(0));
            assert!(matches!(&told, Err(StoreError::Walled(_))), "{request}: {text}: {told:?}");
        }
    };
    // Made for another, or beyond what may be made; given away, or beyond.
    stopped(MAKE, "INSERT INTO notes (id, owner) VALUES (901, 'u2@a')").await;
    stopped(MAKE, "INSERT INTO notes (id, owner, n) VALUES (901, 'u1@a', 100)").await;
    stopped(CHANGE, "UPDATE notes SET owner = 'u2@a' WHERE id = 0 RETURNING id").await;
    stopped(CHANGE, "UPDATE notes SET n = 100 WHERE id = 0 RETURNING id").await;
    // In a collection without rules, by another verb than the request's, in Undergird's own tables, all at once.
    stopped(MAKE, "INSERT INTO members (id, who) VALUES (1, 'u1@a')").await;
    stopped(CHANGE, "INSERT INTO notes (id, owner) VALUES (901, 'u1@a')").await;
    stopped(REMOVE, "INSERT INTO moves (id, owner, n) VALUES (901, 'u1@a', 1)").await;
    stopped(MAKE, "DELETE FROM _undergird_schema").await;
    stopped(MAKE, "TRUNCATE notes CASCADE").await;
    let count = async |text: &str| database.number(text).await;
    assert_eq!(count("SELECT count(*) FROM notes").await, 21);
    // What another owns is not there to be changed, nor what only may be seen; a lock is no way around.
    let told = alone(&store, wrong(&model, &me, CHANGE, "UPDATE notes SET n = n + 20 RETURNING id")).await;
    assert_eq!(told.unwrap(), "10");
    assert_eq!(count("SELECT count(*) FROM notes WHERE n >= 20 AND owner = 'u1@a'").await, 10);
    let told = alone(&store, wrong(&model, &me, CHANGE, "SELECT id FROM notes FOR UPDATE")).await;
    assert_eq!(told.unwrap(), "10");
    let told = alone(&store, wrong(&model, &me, MAKE, "UPDATE notes SET n = 1 RETURNING id")).await;
    assert_eq!(told.unwrap(), "1", "it says that it made one");
    let told = alone(&store, wrong(&model, &me, REMOVE, "UPDATE moves SET n = 6 RETURNING id")).await;
    assert_eq!(told.unwrap(), "0");
    assert_eq!(count("SELECT count(*) FROM notes WHERE n = 1 AND owner = 'u1@a'").await, 0);
    database.execute(&["UPDATE notes SET n = 0 WHERE id < 10"]).await;
    let told = alone(&store, wrong(&model, &me, REMOVE, "DELETE FROM notes RETURNING id")).await;
    assert_eq!(told.unwrap(), "5");
    assert_eq!(count(&format!("{ALL_OF}'u1@a'")).await, 5);
    assert_eq!(count(&format!("{ALL_OF}'u2@a'")).await, 11);
    // The control: without rules there is no wall.
    let secret = Caller::secret(moment());
    let told = alone(&store, wrong(&model, &secret, REMOVE, "DELETE FROM notes RETURNING id")).await;
    assert_eq!(told.unwrap(), "16");
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_plans_do_behind_the_wall_what_they_did() {
    let Some(database) = database().await else { return };
    let (store, model) = filled(&database).await;
    let me = user("u1@a");
    for (request, expected) in [
        (MAKE, "1"),
        ("POST notes {\"id\": 901, \"owner\": \"u2@a\"}", "not authorized"),
        ("POST notes {\"owner\": \"u1@a\"}", "1"),
        (
            "POST notes [{\"id\": 902, \"owner\": \"u1@a\"}, {\"id\": 903, \"owner\": \"u1@a\"}, {\"id\": 904, \"owner\": \"u1@a\"}]",
            "3",
        ),
        (
            "POST notes?prefer=merge [{\"id\": 0, \"owner\": \"u1@a\", \"n\": 3}, {\"id\": 905, \"owner\": \"u1@a\"}]",
            "2",
        ),
        ("POST notes?prefer=merge {\"id\": 1, \"owner\": \"u1@a\"}", "refused Access"),
        ("PATCH notes?n=lt.9 {\"n\": 4}", "16"),
        ("PATCH notes?id=eq.50 {\"n\": 4}", "refused Access"),
        ("PATCH notes?id=eq.0 {\"n\": 100}", "refused Access"),
        // Rules that look at other rows, and such as compare the new row with the old.
        ("POST moves {\"id\": 3, \"owner\": \"u1@a\", \"n\": 1, \"note_id\": 0}", "1"),
        ("POST moves {\"id\": 4, \"owner\": \"u1@a\", \"n\": 1, \"note_id\": 1}", "refused Access"),
        ("PATCH moves?id=eq.1 {\"n\": 6}", "1"),
        ("PATCH moves?id=eq.1 {\"n\": 5}", "refused Access"),
        ("PATCH moves?id=eq.2 {\"n\": 6}", "refused Access"),
        ("DELETE notes?id=eq.2", "1"),
        ("DELETE notes?id=eq.3", "0"),
    ] {
        let told = match authorize(&model, &me, &parse_request(request).unwrap()) {
            Ok(_) => alone(&store, right(&model, &me, request)).await.unwrap(),
            Err(_) => "not authorized".to_owned(),
        };
        assert_eq!(told, expected, "{request}");
    }
    // What compares is told to the owner of the definition, and the rest of that rule is behind the wall.
    let wall = sql::wall(&model, &crate::dialect::WALLED);
    let [open] = &wall.open[..] else { panic!("{:?}", wall.open) };
    assert!(open.starts_with("models/moves.toml: access.update compares the new row with the old one"), "{open}");
    let less = wrong(&model, &me, "PATCH moves?id=eq.1 {\"n\": 6}", "UPDATE moves SET n = 1 RETURNING id");
    assert_eq!(alone(&store, less).await.unwrap(), "2", "his own, and the new one");
    let more = wrong(&model, &me, "PATCH moves?id=eq.1 {\"n\": 6}", "UPDATE moves SET n = 10 RETURNING id");
    assert!(matches!(alone(&store, more).await, Err(StoreError::Walled(_))));
    Store::close(&*store).await;
}

/// A transaction serves several masters, one after the other: a batch's steps, its reads, and Undergird itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_statement_of_a_transaction_has_the_rights_of_whom_it_is_for() {
    let Some(database) = database().await else { return };
    let (store, model) = filled(&database).await;
    let (me, other, secret) = (user("u1@a"), user("u2@a"), Caller::secret(moment()));
    let reads = |caller: &Caller| {
        let mut query = right(&model, caller, "GET notes?select=id");
        let Statements::Read(read) = query.statements.as_ref() else { panic!() };
        let mut read = read.clone();
        read.nodes[0].text = "SELECT count(*) FROM notes".to_owned();
        read.nodes[0].binds.clear();
        query.statements = Arc::new(Statements::Read(read));
        query
    };
    let makes = |caller: &Caller, text: &str| {
        let request = if std::ptr::eq(caller, &other) { MAKE.replace("u1@a", "u2@a") } else { MAKE.to_owned() };
        wrong(&model, caller, &request, &format!("INSERT INTO notes (id, owner) VALUES {text}"))
    };
    let queries = vec![
        (reads(&me), "0 11"),
        (makes(&me, "(901, 'u1@a')"), "1"),
        (makes(&me, "(902, 'u2@a')"), "stopped"),
        (reads(&me), "0 12"),
        (makes(&secret, "(902, 'u2@a')"), "1"),
        (reads(&secret), "0 23"),
        (makes(&other, "(903, 'u1@a')"), "stopped"),
        (makes(&other, "(903, 'u2@a')"), "1"),
        (reads(&other), "0 13"),
        (reads(&me), "0 12"),
        (makes(&me, "(904, 'u2@a')"), "stopped"),
        (makes(&secret, "(904, 'u2@a')"), "1"),
    ];
    let (queries, expected): (Vec<_>, Vec<_>) = queries.into_iter().unzip();
    let told = each(&store, true, queries).await.unwrap();
    let told: Vec<String> = told
        .into_iter()
        .map(|one| match one {
            Err(StoreError::Walled(_)) => "stopped".to_owned(),
            one => one.unwrap(),
        })
        .collect();
    assert_eq!(told, expected);
    // Nobody's rights stay on the connection.
    assert_eq!(alone(&store, makes(&secret, "(905, 'u2@a')")).await.unwrap(), "1");
    Store::close(&*store).await;
}

/// Triggers of ours note what users write where they may not look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_followed_behind_the_wall() {
    let Some(database) = database().await else { return };
    let (store, model) = filled(&database).await;
    let wanted = schema::wanted(&model);
    Store::follow_changes(&*store, &wanted, Follow::Begin("run")).await.unwrap();
    for request in [MAKE, CHANGE, "DELETE notes?id=eq.10"] {
        assert_eq!(alone(&store, right(&model, &user("u1@a"), request)).await.unwrap(), "1", "{request}");
    }
    let at = wanted.tables.iter().position(|table| table.name == "notes").unwrap();
    assert_eq!(database.number(&format!("SELECT count(*) FROM {}", log_name("run", at))).await, 3);
    Store::follow_changes(&*store, &wanted, Follow::EndAll).await.unwrap();
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_cannot_become_the_reader_is_refused() {
    let Some(database) = database().await else { return };
    let owner = database.reader("ug_test_owner_alone").await;
    let reader = database.reader("ug_test_reader_alone").await;
    let name = database.url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    database.execute(&[&format!("ALTER DATABASE {name} OWNER TO ug_test_owner_alone")]).await;
    let open =
        async || PostgresStore::open(&owner, Options { reader: Some(reader.clone()), ..Options::default() }).await;
    database.execute(&["REVOKE ug_test_reader_alone FROM ug_test_owner_alone"]).await;
    let Err(StoreError::Unavailable(told)) = open().await else { panic!("opened") };
    assert!(told.contains("GRANT \"ug_test_reader_alone\" TO \"ug_test_owner_alone\""), "{told}");
    database.execute(&["GRANT ug_test_reader_alone TO ug_test_owner_alone"]).await;
    let opened = open().await;
    database.execute(&["REVOKE ug_test_reader_alone FROM ug_test_owner_alone"]).await;
    Store::close(&*opened.map_err(|error| error.to_string()).unwrap()).await;
}
