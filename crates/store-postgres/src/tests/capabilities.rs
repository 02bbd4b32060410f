//! What PostgreSQL has and not all stores have: full-text search, and a planner that guesses how many rows there are.

use super::{Database, database, soon};
use crate::PostgresStore;
use crate::dialect::DIALECT;
use std::any::Any;
use std::sync::Arc;
use undergird_model::field_type::wire;
use undergird_model::{Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::request::{Condition, Count, Operand, Operator, Request};
use undergird_plan::rows::Overflow;
use undergird_plan::{Caller, Plan, RowRef, RowSink, authorize};
use undergird_store::conformance::parse_request;
use undergird_store::run::{COUNTED_MAX, cell_value};
use undergird_store::{Capability, Dialect, Prepared, Store, StoreError, schema, sql};
use uuid::Uuid;

const ARTICLES: &str = r#"
[fields]
id = { type = "int" }
body = { type = "text", optional = true }
note = { type = "json", optional = true }
shown = { type = "bool", default = true }
secret = { type = "text", optional = true, read = "shown" }
[access]
read = "shown"
"#;

fn model() -> Arc<Model> {
    let sources = [Source { name: "models/articles.toml".into(), text: ARTICLES.into() }];
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

async fn open(database: &Database, model: &Model) -> Arc<PostgresStore> {
    let store = database.open().await;
    let wanted = schema::wanted(model);
    Store::migrate(&*store, &schema::steps(None, &wanted), &wanted).await.unwrap();
    store
}

fn secret() -> Caller {
    Caller::secret(Moment { now: 1_700_000_000_000_000, entropy: 1 })
}

/// First columns, and the count.
#[derive(Default)]
struct Answer {
    rows: Vec<String>,
    total: Option<u64>,
}

impl RowSink for Answer {
    fn begin(&mut self, _: &Plan) {
        *self = Answer::default();
    }

    fn row(&mut self, _: usize, row: &dyn RowRef) -> Result<(), Overflow> {
        self.rows.push(wire::to_json(&cell_value(row.cell(0))));
        Ok(())
    }

    fn total(&mut self, rows: u64) {
        self.total = Some(rows);
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

async fn ask(
    store: &PostgresStore,
    model: &Arc<Model>,
    caller: &Caller,
    request: &Request,
) -> Result<Answer, StoreError> {
    let plan = authorize(model, caller, request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let statements = Arc::new(sql::write(model, plan.shape(), &DIALECT));
    let answer = Store::read(store, Prepared { plan, statements }, Box::<Answer>::default(), soon()).await;
    let rows = answer.sink.unwrap().into_any().downcast::<Answer>().unwrap();
    answer.result.map(|()| *rows)
}

/// A request whose first condition, a `like`, is a full-text search instead.
fn search(request: &str, operator: &str, language: Option<&str>, query: &str) -> Request {
    let mut request = parse_request(request).unwrap();
    for value in &mut request.values {
        if matches!(value, Operand::Text(_)) {
            *value = Operand::Text(query.into());
        }
    }
    let Some(condition) = request.shape.filter.first_mut() else { panic!() };
    let condition = match condition {
        Condition::Not(inner) => &mut **inner,
        other => other,
    };
    let Condition::Test(test) = condition else { panic!() };
    test.operator = Operator::FullText { name: operator.into(), config: language.map(str::to_owned) };
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_found_in_their_language() {
    let Some(database) = database().await else { return };
    let model = model();
    let store = open(&database, &model).await;
    database
        .execute(&[
            "INSERT INTO articles (id, body, note) VALUES (1, 'The cats are sleeping', '{\"t\": \"fat rats\"}'), (2, 'A dog sleeps', NULL), \
             (3, NULL, NULL), (4, 'Die Katzen schlafen', '{\"t\": 5}'), (5, 'sleeping cats and dogs', NULL)",
            "ALTER DATABASE CURRENT SET default_text_search_config = 'simple'"
                .replace("CURRENT", database.url.split('?').next().unwrap().rsplit('/').next().unwrap())
                .as_str(),
        ])
        .await;
    for (request, operator, language, query, expected) in [
        ("GET articles?select=id&body=like.x", "fts", Some("english"), "cat", &["1", "5"][..]),
        ("GET articles?select=id&body=like.x", "fts", Some("simple"), "cat", &[]),
        ("GET articles?select=id&body=like.x", "fts", Some("simple"), "cats&!dogs", &["1"]),
        ("GET articles?select=id&body=like.x", "fts", Some("english"), "(cat|dog)&sleep", &["1", "2", "5"]),
        ("GET articles?select=id&body=like.x", "fts", Some("german"), "katze", &["4"]),
        ("GET articles?select=id&body=like.x", "plfts", Some("english"), "cat sleep", &["1", "5"]),
        ("GET articles?select=id&body=like.x", "phfts", Some("english"), "sleeping cat", &["5"]),
        ("GET articles?select=id&body=like.x", "wfts", Some("english"), "cat -dog", &["1"]),
        // Null is neither found nor not found.
        ("GET articles?select=id&body=not.like.x", "wfts", Some("english"), "cat", &["2", "4"]),
        ("GET articles?select=id&note->>t=like.x", "plfts", Some("english"), "rat", &["1"]),
        ("GET articles?select=id&body=like.x", "plfts", Some("english"), "the", &[]),
        ("GET articles?select=id&body=like.x", "fts", Some("english"), "", &[]),
        // Whatever is in it, a text is no code.
        ("GET articles?select=id&body=like.x", "wfts", Some("english"), "') OR true --", &[]),
    ] {
        let found = ask(&store, &model, &secret(), &search(request, operator, language, query)).await.unwrap().rows;
        assert_eq!(found, expected, "{request} {operator} {language:?} {query}");
    }
    Store::close(&*store).await;
    // A new connection has the database's own language.
    let store = database.open().await;
    let found =
        ask(&store, &model, &secret(), &search("GET articles?select=id&body=like.x", "plfts", None, "cats")).await;
    assert_eq!(found.unwrap().rows, ["1", "5"]);
    // An index on the words of that language serves.
    database.execute(&["CREATE INDEX words ON articles USING gin (to_tsvector('english', body))"]).await;
    let request = search("GET articles?select=id&body=like.x", "plfts", Some("english"), "cats");
    let plan = authorize(&model, &secret(), &request).unwrap();
    let sql::Statements::Read(statements) = sql::write(&model, plan.shape(), &DIALECT) else { panic!() };
    let text = &statements.nodes[0].text;
    assert!(
        text.contains(r#"to_tsvector('english'::regconfig, a0."body") @@ plainto_tsquery('english'::regconfig, "#),
        "{text}"
    );
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_planner_guesses_only_of_what_the_caller_sees_in_full() {
    assert!(Capability::ALL.into_iter().all(|capability| DIALECT.has(capability)));
    let Some(database) = database().await else { return };
    let model = model();
    let store = open(&database, &model).await;
    let many = COUNTED_MAX * 2;
    database
        .execute(&[
            &format!("INSERT INTO articles (id, body) SELECT i, i % 4 FROM generate_series(1, {many}) i"),
            "ANALYZE articles",
            // The planner does not know of these, so its guess is told from a count.
            "ALTER TABLE articles SET (autovacuum_enabled = off)",
            "INSERT INTO articles (id, shown) SELECT -i, i > 7 FROM generate_series(1, 10) i",
        ])
        .await;
    let user = Caller::user(
        Arc::new(User::new(Uuid::from_u128(7), None, Vec::new(), serde_json::json!({}))),
        Moment { now: 1_700_000_000_000_000, entropy: 1 },
    );
    let counted = async |caller: &Caller, request: &str, count: Count| {
        let mut request = parse_request(request).unwrap();
        request.shape.count = Some(count);
        ask(&store, &model, caller, &request).await.unwrap().total.unwrap()
    };
    let near = |rows: u64, wanted: u64| rows.abs_diff(wanted) < wanted / 5;
    let all = "GET articles?select=id&limit=1";
    assert_eq!(counted(&secret(), all, Count::Exact).await, many + 10);
    let guess = counted(&secret(), all, Count::Planned).await;
    assert!(near(guess, many), "{guess}");
    let guess = counted(&secret(), all, Count::Estimated).await;
    assert!(near(guess, many), "{guess}");
    let quarter = "GET articles?select=id&body=eq.3&limit=1";
    let guess = counted(&secret(), quarter, Count::Planned).await;
    assert!(near(guess, many / 4), "{guess}");
    assert_eq!(counted(&secret(), quarter, Count::Estimated).await, many / 4, "few enough to be counted");
    let groups = "GET articles?select=body,count()&limit=1";
    let guess = counted(&secret(), groups, Count::Planned).await;
    assert!((2..=10).contains(&guess), "{guess}");
    // Who does not see all rows is told nothing of the others, whatever he asks.
    for count in [Count::Planned, Count::Estimated] {
        assert_eq!(counted(&user, all, count).await, many + 3);
        assert_eq!(counted(&user, quarter, count).await, many / 4);
    }
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_brings_its_functions() {
    let Some(database) = database().await else { return };
    let model = model();
    let store = open(&database, &model).await;
    Store::close(&*store).await;
    let functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'undergird'::regnamespace";
    let all = database.number(functions).await;
    assert!(all > 10, "{all}");
    database
        .execute(&[
            "DROP FUNCTION undergird.exact(double precision) CASCADE",
            "COMMENT ON SCHEMA undergird IS 'an older version'",
        ])
        .await;
    let store = database.open().await;
    assert!(Store::schema(&*store).await.unwrap().is_some());
    assert_eq!(database.number(functions).await, all);
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_applications_share_a_database_by_their_schemas() {
    let Some(database) = database().await else { return };
    let model = model();
    let wanted = schema::wanted(&model);
    for (position, name) in ["one", "two"].into_iter().enumerate() {
        let store = database.open_with(&format!("schema={name}")).await;
        assert_eq!(Store::schema(&*store).await.unwrap(), None);
        Store::migrate(&*store, &schema::steps(None, &wanted), &wanted).await.unwrap();
        let rows: Vec<String> = (0..=position).map(|row| format!("({row}, 'x')")).collect();
        database.execute(&[&format!("INSERT INTO {name}.articles (id, body) VALUES {}", rows.join(", "))]).await;
        let request = parse_request("GET articles?select=id").unwrap();
        assert_eq!(ask(&store, &model, &secret(), &request).await.unwrap().rows.len(), position + 1);
        Store::close(&*store).await;
    }
}
