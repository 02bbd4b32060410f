//! The thin line: tables, an insert, a select with a filter.

use super::{BLOG, model, open, read, write};
use undergird_model::Value;
use undergird_plan::Request;
use undergird_plan::request::{ColumnPath, Returning, SelectColumn, SelectItem, Verb};
use undergird_store::run::WriteAnswer;
use undergird_store::{ConstraintKind, StoreError};

fn column(name: &str) -> SelectItem {
    SelectItem::Column(SelectColumn {
        alias: None,
        column: ColumnPath { name: name.into(), steps: Vec::new() },
        cast: None,
        aggregate: None,
        aggregate_cast: None,
    })
}

#[tokio::test]
async fn a_row_goes_in_and_comes_out() {
    let model = model(BLOG);
    let store = open("sqlite::memory:", &model).await;
    let create = |title: &str, slug: &str| {
        let mut request = Request::new("posts", Verb::Create).with_row([
            ("title", Value::text(title)),
            ("slug", Value::text(slug)),
            ("status", Value::text("published")),
        ]);
        request.shape.returning = Returning::Representation;
        request.shape.select = Some(vec![column("title"), column("status")]);
        request
    };
    let (answer, lines) = write(&*store, &model, &create("Hello", "hello")).await.unwrap();
    assert!(matches!(answer, WriteAnswer::Done(written) if written.affected == 1 && written.keys.len() == 1));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with("\"Hello\" \"published\""), "{lines:?}");

    let mut request = Request::new("posts", Verb::Read).with_equal("status", Value::text("published"));
    request.shape.select = Some(vec![column("title")]);
    let lines = read(&*store, &model, &request).await;
    assert!(lines.len() == 1 && lines[0].contains("\"Hello\""), "{lines:?}");
    let request = Request::new("posts", Verb::Read).with_equal("status", Value::text("draft"));
    assert_eq!(read(&*store, &model, &request).await, Vec::<String>::new());

    let error = write(&*store, &model, &create("Again", "hello")).await.unwrap_err();
    assert_eq!(
        error,
        StoreError::Constraint {
            kind: ConstraintKind::Unique,
            table: "posts".into(),
            name: None,
            columns: vec!["slug".into()]
        }
    );
}
