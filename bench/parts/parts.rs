//! What the parts of a request cost, each by itself, for the blog's four works: decode, authorize (a shape that is kept, and one that is
//! not), write as SQL, encode, and a rule by the evaluator in memory. `cargo bench -p undergird-bench-parts`; a name after `--` picks some.
//!
//! Absent: what parts cost together, the store and HTTP: `cargo xtask bench` and `cargo xtask instructions` see those.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::Method;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use undergird_api::rest::decode::{Head, decode};
use undergird_api::rest::encode::{Encoder, Options};
use undergird_api::rest::media::Media;
use undergird_model::settings::Settings;
use undergird_model::{Kind, Model, Source, Type, Value, definition};
use undergird_plan::evaluate::{Bindings, holds};
use undergird_plan::{Caller, Cell, Moment, Plan, Planner, Request, RowRef, RowSink, Shape, User, authorize};
use undergird_store::sql;
use undergird_store_sqlite::DIALECT;
use uuid::Uuid;

const MOMENT: Moment = Moment { now: 1_750_000_000_000_000, entropy: 0x1234_5678_9abc_def0 };
const ME: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
const POST: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002);

/// A work: its name, its method, what is asked, by which key, with which body.
type Work = (&'static str, Method, &'static str, Option<String>, &'static str);

fn works() -> [Work; 4] {
    let newest = "status=eq.published&order=created_at.desc&limit=20";
    let authors = "select=*,author:users(id,name)&status=eq.published&order=created_at.desc&limit=20";
    let body = r#"{"title":"A new post","slug":"a-new-post","body":"It has a body of its own."}"#;
    [
        ("R1", Method::GET, "", Some(POST.to_string()), ""),
        ("R2", Method::GET, newest, None, ""),
        ("R3", Method::GET, authors, None, ""),
        ("W1", Method::POST, "", None, body),
    ]
}

fn blog() -> Arc<Model> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/blog");
    let source = |path: &Path, name: String| Source {
        name: name.as_str().into(),
        text: fs::read_to_string(path).unwrap().as_str().into(),
    };
    let mut sources = vec![source(&folder.join("undergird.toml"), "undergird.toml".into())];
    let mut models: Vec<_> = fs::read_dir(folder.join("models")).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.sort();
    for path in models {
        let name = format!("models/{}", path.file_name().unwrap().to_str().unwrap());
        sources.push(source(&path, name));
    }
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

fn me() -> Caller {
    let claims = serde_json::json!({ "sub": ME.to_string(), "role": "authenticated" });
    Caller::user(Arc::new(User::new(ME, Some("me@example.com".into()), Vec::new(), claims)), MOMENT)
}

fn request((_, method, query, key, body): &Work) -> Request {
    let head = Head { key: key.as_deref(), ..Head::new(method, "posts", query) };
    decode(&head, Some(body.as_bytes()), &Settings::default().limits).unwrap().request
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for work in works() {
        group.bench_function(work.0, |bencher| bencher.iter(|| request(black_box(&work))));
    }
}

fn authorizing(criterion: &mut Criterion) {
    let (model, caller) = (blog(), me());
    let mut group = criterion.benchmark_group("authorize");
    for work in works() {
        let request = request(&work);
        let planner = Planner::new(model.clone());
        planner.plan(&caller, &request).unwrap();
        group.bench_function(format!("{} kept", work.0), |bencher| {
            bencher.iter(|| planner.plan(black_box(&caller), black_box(&request)).unwrap());
        });
        group.bench_function(format!("{} anew", work.0), |bencher| {
            bencher.iter(|| authorize(&model, black_box(&caller), black_box(&request)).unwrap());
        });
    }
}

fn writing(criterion: &mut Criterion) {
    let (model, caller) = (blog(), me());
    let mut group = criterion.benchmark_group("write");
    for work in works() {
        let plan = authorize(&model, &caller, &request(&work)).unwrap();
        group.bench_function(work.0, |bencher| bencher.iter(|| sql::write(&model, black_box(plan.shape()), &DIALECT)));
    }
}

/// A row as a driver would lend it: each cell by its column's type.
struct Row {
    types: Vec<Type>,
}

impl RowRef for Row {
    fn cell(&self, position: usize) -> Cell<'_> {
        match self.types[position] {
            Type::Scalar(Kind::Uuid) => Cell::Uuid(POST),
            Type::Scalar(Kind::Timestamp) => Cell::Timestamp(MOMENT.now),
            Type::Scalar(Kind::Bool) => Cell::Bool(true),
            Type::Scalar(Kind::Int) => Cell::Int(1),
            _ => {
                Cell::Text("Cedar and juniper by the fountain, with some \"quotes\" and a longer sentence behind them.")
            }
        }
    }
}

fn encode(plan: &Plan, row: &Row, rows: usize) -> usize {
    let mut encoder = Encoder::new(Options::new(Media::Array { nulls_stripped: false }));
    encoder.begin(plan);
    for _ in 0..rows {
        encoder.row(0, row).unwrap();
    }
    encoder.finish().unwrap().bytes.len()
}

fn encoding(criterion: &mut Criterion) {
    let (model, caller) = (blog(), me());
    let mut group = criterion.benchmark_group("encode");
    for (work, rows) in works().iter().take(3).zip([1, 20, 20]) {
        let plan = authorize(&model, &caller, &request(work)).unwrap();
        let Shape::Read(read) = &**plan.shape() else { panic!("{} reads", work.0) };
        assert_eq!(read.nodes.len(), 1, "an author is joined, so all rows are of the root");
        let row = Row { types: read.nodes[0].columns.iter().map(undergird_plan::shape::Column::ty).collect() };
        group.throughput(Throughput::Bytes(encode(&plan, &row, rows) as u64));
        group.bench_function(work.0, |bencher| bencher.iter(|| encode(black_box(&plan), &row, rows)));
    }
}

fn evaluating(criterion: &mut Criterion) {
    let (model, caller) = (blog(), me());
    let posts = model.collections.iter().find(|collection| collection.name == "posts").unwrap();
    let row: Vec<Value> = posts
        .fields
        .iter()
        .map(|field| match field.name.as_str() {
            "status" => Value::Text("draft".into()),
            "author_id" => Value::Uuid(ME),
            "body" => Value::Text("It has a body of its own.".into()),
            _ => Value::Null,
        })
        .collect();
    let bindings = Bindings { caller: &caller, params: &[], input: &[] };
    let mut group = criterion.benchmark_group("evaluate");
    let rules =
        [("posts.read", posts.access.read.as_ref()), ("posts.check", posts.checks.first().map(|check| &check.rule))];
    for (name, rule) in rules {
        let rule = rule.unwrap();
        assert!(holds(&rule.expr, bindings, &row).unwrap(), "{name} is to hold of this row");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || row.clone(),
                |row| holds(&rule.expr, bindings, &row).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(parts, decoding, authorizing, writing, encoding, evaluating);
criterion_main!(parts);
