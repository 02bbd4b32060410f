//! How SQLite runs what the blog's busiest requests become: indexes must serve them, for visitors and for users.

use super::open;
use crate::{DIALECT, SqliteStore};
use std::path::Path;
use std::sync::Arc;
use undergird_model::{Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::{Caller, authorize};
use undergird_store::conformance::parse_request;
use undergird_store::{Prepared, Store, sql};
use uuid::Uuid;

fn blog() -> Arc<Model> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/blog");
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(root.join("models")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("models/{}", path.file_name().unwrap().to_str().unwrap());
        sources.push(Source { name: name.into(), text: std::fs::read_to_string(path).unwrap().into() });
    }
    let text = std::fs::read_to_string(root.join("undergird.toml")).unwrap();
    sources.push(Source { name: "undergird.toml".into(), text: text.into() });
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

async fn explain(store: &SqliteStore, model: &Arc<Model>, caller: &Caller, request: &str) -> String {
    let plan = authorize(model, caller, &parse_request(request).unwrap()).unwrap();
    let statements = Arc::new(sql::write(model, plan.shape(), &DIALECT));
    store.explain(Prepared { plan, statements }).await.unwrap().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_serve_the_busiest_requests() {
    let model = blog();
    let store = open("sqlite::memory:", &model).await;
    let moment = Moment { now: 0, entropy: 0 };
    let visitor = Caller::visitor(moment);
    let user = User::new(Uuid::from_u128(10), None, Vec::new(), serde_json::json!({}));
    let user = Caller::user(Arc::new(user), moment);
    // The request, and for whom its order comes from the index too.
    let requests = [
        ("GET posts?key=0190b3f0-0000-7000-8000-000000000001", true, true),
        ("GET posts?status=eq.published&order=created_at.desc&limit=20", true, true),
        ("GET posts?select=title,author(name)&status=eq.published&order=created_at.desc&limit=20", true, true),
        ("GET posts?select=title,comments(body)&comments.order=created_at&status=eq.published&limit=20", false, false),
        ("GET posts?order=created_at.desc&limit=20", true, false),
        // In the order of the key: what most clients ask first.
        ("GET posts?limit=20", true, true),
        ("GET posts?author_id=eq.0190b3f0-0000-7000-8000-000000000001", false, false),
        ("PATCH posts?id=eq.0190b3f0-0000-7000-8000-000000000001 {\"title\": \"x\"}", true, true),
        ("DELETE posts?id=eq.0190b3f0-0000-7000-8000-000000000001", true, true),
    ];
    for (request, visitor_ordered, user_ordered) in requests {
        for (name, caller, ordered) in [("visitor", &visitor, visitor_ordered), ("user", &user, user_ordered)] {
            if !request.starts_with("GET") && name == "visitor" {
                continue;
            }
            let steps = explain(&store, &model, caller, request).await;
            // Along an index, as far as the limit goes, is no run through the table.
            let runs = steps.lines().any(|step| step.contains("SCAN a") && !(ordered && step.contains("USING INDEX")));
            assert!(!runs, "{name} {request} runs through a table:\n{steps}");
            assert!(!ordered || !steps.contains("TEMP B-TREE"), "{name} {request} sorts:\n{steps}");
        }
    }
}
