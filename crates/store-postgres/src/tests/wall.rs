//! The wall of policies: what holds when a plan is wrong, and who may stand before it.

use super::pooler::Pooler;
use super::{Database, Lines, database, soon};
use crate::{Options, PostgresStore};
use std::sync::Arc;
use undergird_model::{Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::{Caller, authorize};
use undergird_store::conformance::parse_request;
use undergird_store::{Prepared, Statements, Store, StoreError, schema, sql};
use uuid::Uuid;

const FILES: &[(&str, &str)] = &[
    ("undergird.toml", "name = \"test\"\n"),
    (
        "models/members.toml",
        "[fields]\nid = { type = \"int\" }\nwho = { type = \"text\" }\nteam = { type = \"int\" }\n",
    ),
    (
        "models/notes.toml",
        "[fields]\nid = { type = \"int\" }\nowner = { type = \"text\", optional = true }\nmember_id = { type = \"ref\", to = \"members\", optional = true }\n\
         [access]\nread = \"auth.email != null && (owner == auth.email || member.who == auth.email)\"\n",
    ),
    (
        "functions/peek.toml",
        "sql = \"peek\"\nvolatility = \"stable\"\nreturns = { type = \"int\" }\naccess = \"true\"\n",
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

/// Ten notes of each of ten owners, and one of a member; the hidden members.
async fn filled(database: &Database) -> (Arc<PostgresStore>, Arc<Model>, String) {
    let (store, model) = filled_by(database, "ug_test_reader", "pool=2").await;
    (store, model, database.reader("ug_test_reader").await)
}

/// The same for a reader of that name.
async fn filled_by(database: &Database, role: &str, options: &str) -> (Arc<PostgresStore>, Arc<Model>) {
    let reader = Some(format!("{}&{options}", database.reader(role).await));
    let url = format!("{}&{options}", database.url);
    let store = PostgresStore::open(&url, Options { reader, ..Options::default() }).await.unwrap();
    fill(database, store).await
}

async fn fill(database: &Database, store: Arc<PostgresStore>) -> (Arc<PostgresStore>, Arc<Model>) {
    let model = model();
    let wanted = schema::wanted(&model);
    Store::migrate(&*store, &schema::steps(None, &wanted), &wanted).await.unwrap();
    database
        .execute(&[
            "INSERT INTO members (id, who, team) VALUES (1, 'u1@a', 1)",
            "INSERT INTO notes (id, owner) SELECT n, 'u' || n % 10 || '@a' FROM generate_series(0, 99) n",
            "INSERT INTO notes (id, owner, member_id) VALUES (100, NULL, 1)",
            "CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT count(*) FROM notes); END'",
        ])
        .await;
    Store::raise_wall(&*store, &model).await.unwrap();
    (store, model)
}

fn prepared(model: &Arc<Model>, caller: &Caller, request: &str) -> Prepared {
    let plan = authorize(model, caller, &parse_request(request).unwrap()).unwrap();
    let statements = Arc::new(sql::write(model, plan.shape(), &crate::dialect::WALLED));
    Prepared { plan, statements }
}

/// The same with a statement in which nothing is left of the rule, as if a plan had forgotten it.
fn forgetful(model: &Arc<Model>, caller: &Caller, text: &str) -> Prepared {
    let mut query = prepared(model, caller, "GET notes?select=id");
    let Statements::Read(read) = query.statements.as_ref() else { panic!() };
    let mut read = read.clone();
    read.nodes[0].text = text.to_owned();
    read.nodes[0].binds.clear();
    query.statements = Arc::new(Statements::Read(read));
    query
}

async fn lines(store: &PostgresStore, query: Prepared) -> Result<Vec<String>, StoreError> {
    let answer = Store::read(store, query, Box::<Lines>::default(), soon()).await;
    let lines = answer.sink.unwrap().into_any().downcast::<Lines>().unwrap().0;
    answer.result.map(|()| lines)
}

const COUNTED: &str = "SELECT count(*) FROM notes";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_without_its_rule_gives_only_permitted_rows() {
    let Some(database) = database().await else { return };
    let (store, model, reader) = filled(&database).await;
    let count = |caller: Caller, text: &'static str| lines(&store, forgetful(&model, &caller, text));
    assert_eq!(count(user("u2@a"), COUNTED).await.unwrap(), ["0 10"]);
    // By the view that rules see members through, who are hidden from everybody.
    assert_eq!(count(user("u1@a"), COUNTED).await.unwrap(), ["0 11"]);
    assert_eq!(count(user("u1@a"), "SELECT count(*) FROM members").await.unwrap(), ["0 0"]);
    assert_eq!(count(Caller::visitor(moment()), COUNTED).await.unwrap(), ["0 0"]);
    // The control: without rules there is no wall, and the owner sees everything.
    assert_eq!(count(Caller::secret(moment()), COUNTED).await.unwrap(), ["0 101"]);
    // Whole plans say the same.
    let query = prepared(&model, &user("u1@a"), "GET notes?select=id&id=gte.91");
    assert_eq!(lines(&store, query).await.unwrap(), ["0 91", "0 100"]);
    // No verb, no row, and nothing stays of those that were set.
    assert_eq!(super::number(&reader, COUNTED).await, 0);
    // Undergird's own tables are out of reach, and so is every change.
    for text in ["SELECT count(*) FROM _undergird_schema", "DELETE FROM notes RETURNING id"] {
        assert!(count(user("u1@a"), text).await.is_err(), "{text}");
    }
    Store::close(&*store).await;
}

/// What a caller says is a value, whatever it looks like: each sees the one row that is his.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_values() {
    let Some(database) = database().await else { return };
    let role = "ug_test_reader_of_odd_strings";
    database.reader(role).await;
    database.execute(&[&format!("ALTER ROLE {role} SET standard_conforming_strings = off")]).await;
    let (store, model) = filled_by(&database, role, "pool=2").await;
    let long = "é'\\".repeat(200_000);
    let hostile = [
        "' OR TRUE --\\",
        "\\' OR TRUE; --",
        "\\",
        "''",
        "'; RESET ALL; SET undergird.verb = 'read",
        "$1",
        "$$ OR TRUE",
        "=u2@a",
        "-",
        "",
        " ",
        "\u{1}\u{7f}\u{2028}\u{feff}𝄞",
        "\u{bf}\u{5c}' OR TRUE --",
        &long,
    ];
    let (client, wire) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    let wire = tokio::spawn(wire);
    for (number, text) in (1_000i64..).zip(&hostile) {
        client.execute("INSERT INTO notes (id, owner) VALUES ($1, $2)", &[&number, text]).await.unwrap();
    }
    drop(client);
    wire.await.unwrap().unwrap();
    for text in hostile {
        let told = lines(&store, forgetful(&model, &user(text), COUNTED)).await.unwrap();
        assert_eq!(told, ["0 1"], "{:?}", text.chars().take(40).collect::<String>());
    }
    // No text has it, so there is no such caller; and the connection is as good as before.
    assert!(lines(&store, forgetful(&model, &user("u1@a\0"), COUNTED)).await.is_err());
    assert_eq!(lines(&store, forgetful(&model, &user("u2@a"), COUNTED)).await.unwrap(), ["0 10"]);
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_sees_what_its_caller_may() {
    let Some(database) = database().await else { return };
    let (store, model, _) = filled(&database).await;
    assert_eq!(Store::functions(&*store, &model).await.unwrap(), [""; 0]);
    for (change, why) in [
        ("REVOKE EXECUTE ON FUNCTION public.peek() FROM PUBLIC", "may not call"),
        (
            "GRANT EXECUTE ON FUNCTION public.peek() TO PUBLIC; CREATE SCHEMA aside; ALTER FUNCTION public.peek() SET SCHEMA aside",
            "no function",
        ),
    ] {
        // The owner goes on to find it.
        let name = database.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
        let path = format!("ALTER ROLE CURRENT_USER IN DATABASE {name} SET search_path = public, aside");
        database.execute(&[&path, change]).await;
        let told = Store::functions(&*store, &model).await.unwrap().join("\n");
        assert!(told.contains(why) && told.ends_with("(for the login of reader_url)"), "{told}");
    }
    database.execute(&["ALTER FUNCTION aside.peek() SET SCHEMA public"]).await;
    let peek = |caller: Caller| lines(&store, forgetful(&model, &caller, "SELECT peek()"));
    assert_eq!(peek(user("u3@a")).await.unwrap(), ["0 10"]);
    assert_eq!(peek(Caller::secret(moment())).await.unwrap(), ["0 101"]);
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn facts_never_go_from_one_caller_to_the_next() {
    let Some(database) = database().await else { return };
    let (store, model, _) = filled(&database).await;
    many_callers(&store, &model).await;
    Store::close(&*store).await;
}

/// The same where the connections themselves go from one to the next, between any two transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn facts_never_go_from_one_caller_to_the_next_behind_a_pooler() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::start_for_callers(&database).await else { return };
    let options = "pool=8&pooler=transaction";
    let reader = pooler.url_of(&database.reader("ug_test_reader").await);
    let walled = Options { reader: Some(format!("{reader}&{options}")), ..Options::default() };
    let store = PostgresStore::open(&format!("{}&pool=2", database.url), walled).await.unwrap();
    let (store, model) = fill(&database, store).await;
    many_callers(&store, &model).await;
    Store::close(&*store).await;
}

/// A pooler may lead everybody in by one login, which is no reader then, whatever the URL says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_becomes_another_on_the_way_is_refused() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::start(&database, "").await else { return };
    let reader = database.reader("ug_test_reader").await;
    let direct: tokio_postgres::Config = database.url.parse().unwrap();
    let direct = format!("127.0.0.1:{}", direct.get_ports()[0]);
    let reader = format!("{}&pooler=transaction&direct={direct}", pooler.url_of(&reader));
    let opened = PostgresStore::open(&database.url, Options { reader: Some(reader), ..Options::default() }).await;
    let Err(StoreError::Unavailable(told)) = opened else { panic!("opened") };
    assert!(told.contains("passes row-level security"), "{told}");
}

async fn many_callers(store: &Arc<PostgresStore>, model: &Arc<Model>) {
    let work = (0..24).map(|number| {
        let (store, model) = (Arc::clone(store), Arc::clone(model));
        tokio::spawn(async move {
            for turn in 0..40 {
                let at = (number + turn) % 12;
                let (caller, expected) = match at {
                    10 => (Caller::visitor(moment()), 0),
                    11 => (Caller::secret(moment()), 101),
                    1 => (user("u1@a"), 11),
                    at => (user(&format!("u{at}@a")), 10),
                };
                let told = lines(&store, forgetful(&model, &caller, COUNTED)).await.unwrap();
                assert_eq!(told, [format!("0 {expected}")], "{at}");
                if turn % 8 == 0 {
                    // A failure and a read that nobody waits for leave nothing behind either.
                    assert!(lines(&store, forgetful(&model, &caller, "SELECT 1 / (SELECT 0)")).await.is_err());
                    let left = lines(&store, forgetful(&model, &caller, "SELECT 1 FROM pg_sleep(0.2)"));
                    let _ = tokio::time::timeout(std::time::Duration::from_millis(2), left).await;
                }
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_two_definitions_reads_fail_and_are_not_empty() {
    let Some(database) = database().await else { return };
    let (store, model, _) = filled(&database).await;
    let read = || lines(&store, prepared(&model, &user("u1@a"), "GET notes?select=id&id=gte.51"));
    assert_eq!(read().await.unwrap().len(), 6);
    // A migration takes the wall down: policies hold on to columns.
    let files: Vec<Source> = FILES
        .iter()
        .map(|(name, text)| {
            let text = text.replace("auth.email", "auth.claims.mail").replace(
                "optional = true }\nmember_id",
                "optional = true }\nmore = { type = \"text\", optional = true }\nmember_id",
            );
            Source { name: (*name).into(), text: text.into() }
        })
        .collect();
    let other = Arc::new(definition::check(&files, &[]).0.unwrap());
    let (from, wanted) = (schema::wanted(&model), schema::wanted(&other));
    Store::migrate(&*store, &schema::steps(Some(&from), &wanted), &wanted).await.unwrap();
    assert!(read().await.is_err());
    Store::raise_wall(&*store, &other).await.unwrap();
    // The policies ask a fact that this definition does not tell.
    assert!(read().await.is_err());
    Store::raise_wall(&*store, &model).await.unwrap();
    assert_eq!(read().await.unwrap().len(), 6);
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_could_pass_is_refused() {
    let Some(database) = database().await else { return };
    let open =
        |reader: String| PostgresStore::open(&database.url, Options { reader: Some(reader), ..Options::default() });
    let passing = database.reader("ug_test_passing").await;
    database.execute(&["ALTER ROLE ug_test_passing BYPASSRLS"]).await;
    let becoming = database.reader("ug_test_becoming").await;
    database.execute(&["GRANT ug_test_passing TO ug_test_becoming"]).await;
    let elsewhere = database.reader("ug_test_reader").await;
    let elsewhere = elsewhere.replace(database.url.rsplit_once('/').unwrap().1, "postgres");
    // An owner who is no superuser, and one who is a member of it.
    let owner = database.reader("ug_test_owner").await;
    let member = database.reader("ug_test_member").await;
    let name = database.url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let owns = format!("ALTER DATABASE {name} OWNER TO ug_test_owner");
    database.execute(&["GRANT ug_test_owner TO ug_test_member", &owns, "CREATE SCHEMA other"]).await;
    let owned = PostgresStore::open(&owner, Options { reader: Some(member), ..Options::default() }).await;
    let Err(StoreError::Unavailable(told)) = owned else { panic!("a member") };
    assert!(told.contains("is a member of \"ug_test_owner\""), "{told}");
    let astray = format!("{}&schema=other", database.reader("ug_test_reader").await);
    for (reader, why) in [
        (astray, "reader_url looks into \"other\""),
        (database.url.clone(), "owns the tables"),
        (passing, "BYPASSRLS"),
        (becoming, "BYPASSRLS"),
        (elsewhere, "another database"),
    ] {
        let Err(StoreError::Unavailable(told)) = open(reader).await else { panic!("{why}") };
        assert!(told.contains(why), "{told}");
    }
}

/// Doors beside the wall, whoever made them: the next start finds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_with_rights_past_the_policies_is_refused() {
    let Some(database) = database().await else { return };
    let role = "ug_test_reader_with_rights";
    let (store, model) = filled_by(&database, role, "pool=2").await;
    for (opens, closes, what) in [
        (
            format!("GRANT SELECT ON _undergird_schema TO {role}"),
            format!("REVOKE SELECT ON _undergird_schema FROM {role}"),
            "_undergird_schema",
        ),
        (
            "GRANT UPDATE (id) ON _undergird_schema TO PUBLIC".into(),
            "REVOKE UPDATE (id) ON _undergird_schema FROM PUBLIC".into(),
            "_undergird_schema",
        ),
        (format!("GRANT TRUNCATE ON members TO {role}"), format!("REVOKE TRUNCATE ON members FROM {role}"), "members"),
        (
            format!("GRANT pg_read_all_data TO {role}"),
            format!("REVOKE pg_read_all_data FROM {role}"),
            "_undergird_schema",
        ),
        (
            "ALTER TABLE notes DISABLE ROW LEVEL SECURITY".into(),
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY".into(),
            "notes",
        ),
    ] {
        database.execute(&[&opens]).await;
        let raised = Store::raise_wall(&*store, &model).await;
        database.execute(&[&closes]).await;
        let Err(StoreError::SchemaMismatch(told)) = raised else { panic!("{opens}") };
        assert!(told.contains(&format!("on {what}")) && told.contains(role), "{opens}: {told}");
        Store::raise_wall(&*store, &model).await.unwrap();
    }
    // Who may pass from now on gets no new connection.
    database.execute(&[&format!("ALTER ROLE {role} BYPASSRLS")]).await;
    database.cut().await;
    let told = lines(&store, forgetful(&model, &user("u2@a"), COUNTED)).await;
    database.execute(&[&format!("ALTER ROLE {role} NOBYPASSRLS")]).await;
    assert!(
        matches!(&told, Err(StoreError::Unavailable(why)) if why.contains("passes row-level security")),
        "{told:?}"
    );
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_can_be_no_policies_are_refused_by_name() {
    let Some(database) = database().await else { return };
    let (store, _) = database.open_walled("pool=2").await;
    let text = "[fields]\nid = { type = \"int\" }\nname = { type = \"text\" }\n[access]\nread = \"name.matches(auth.email)\"\n";
    let sources = [
        Source { name: "undergird.toml".into(), text: "name = \"test\"\n".into() },
        Source { name: "models/a.toml".into(), text: text.into() },
    ];
    let (model, diagnostics) = definition::check(&sources, &[]);
    let model = model.unwrap_or_else(|| panic!("{diagnostics:#?}"));
    let Err(StoreError::SchemaMismatch(why)) = Store::raise_wall(&*store, &model).await else { panic!("raised") };
    assert!(why.contains("models/a.toml: access.read: a policy cannot have a pattern that the caller brings"), "{why}");
    Store::close(&*store).await;
}
