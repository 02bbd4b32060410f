//! The plumbing's own tests: routes, encodings, ids, bodies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::body;
use super::compress::{Encoding, choose};
use super::{Fault, RequestIds, Route, Routes};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use undergird_model::Operation;
use undergird_model::operation::OperationKind;
use undergird_model::schema::CollectionId;

fn operations() -> Vec<Operation> {
    // Collections do not matter to routes beyond their names.
    let id = CollectionId(0);
    let row = |method, name: &str, kind| Operation {
        id: format!("posts.{name}"),
        method,
        path: if name.ends_with("_one") { "/rest/v1/posts/{key}".into() } else { "/rest/v1/posts".into() },
        kind,
    };
    let model = undergird_model::Model::new(Default::default(), Vec::new(), None);
    let mut all = vec![
        row("GET", "list", OperationKind::List(id)),
        row("POST", "create", OperationKind::Create(id)),
        row("GET", "read_one", OperationKind::Read(id)),
        row("DELETE", "delete_one", OperationKind::DeleteOne(id)),
    ];
    all.extend(undergird_model::operations(&model));
    all
}

#[test]
fn the_route_table_is_the_list_of_operations() {
    let operations = operations();
    let routes = Routes::new(&operations);
    let mut table: Vec<_> = routes.all();
    table.sort_by_key(|(_, _, position)| *position);
    let listed: Vec<_> =
        operations.iter().enumerate().map(|(at, operation)| (operation.method, operation.path.clone(), at)).collect();
    assert_eq!(table, listed);
    for (at, operation) in operations.iter().enumerate() {
        let path = operation.path.replace("{key}", "7%2F8");
        let key = operation.path.ends_with("{key}").then_some("7%2F8");
        assert_eq!(routes.find(operation.method, &path), Route::Found { operation: at, key }, "{operation:?}");
    }
}

#[test]
fn paths_that_are_not_there() {
    let operations = operations();
    let routes = Routes::new(&operations);
    let check =
        |method: &str, path: &str, expected: Route<'_>| assert_eq!(routes.find(method, path), expected, "{path}");
    check("HEAD", "/rest/v1/posts", Route::Found { operation: 0, key: None });
    check("PUT", "/rest/v1/posts", Route::NotAllowed { allow: "GET, HEAD, POST, OPTIONS" });
    check("TRACE", "/rest/v1/posts/7", Route::NotAllowed { allow: "GET, HEAD, DELETE, OPTIONS" });
    check("GET", "/rest/v1/psots", Route::UnknownCollection { name: "psots" });
    for path in [
        "",
        "/",
        "/rest/v1",
        "/rest/v1/",
        "/rest/v1/posts/",
        "/rest/v1/posts/7/8",
        "/rest/v1/psots/7",
        "/REST/v1/posts",
    ] {
        check("GET", path, Route::Missing);
    }
}

#[test]
fn the_encoding_is_the_one_with_the_greatest_weight() {
    let check = |accept: &str, expected| assert_eq!(choose(Some(accept)), expected, "{accept}");
    check("gzip", Encoding::Gzip);
    check("gzip, deflate, br, zstd", Encoding::Zstd);
    check("gzip;q=1.0, zstd;q=0.5", Encoding::Gzip);
    check("gzip;q=0, zstd; Q=0", Encoding::Identity);
    check("*", Encoding::Zstd);
    check("*;q=0.1, zstd;q=0", Encoding::Gzip);
    check("identity", Encoding::Identity);
    check("gzip;q=nonsense", Encoding::Identity);
    check(";;,,=;q", Encoding::Identity);
    assert_eq!(choose(None), Encoding::Identity);
}

#[test]
fn request_ids_do_not_repeat() {
    let ids = RequestIds::new(7);
    let all: std::collections::HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
    assert_eq!(all.len(), 10_000);
    assert_eq!(ids.next().as_str().len(), 24);
}

fn frames(pieces: &[&'static str]) -> impl http_body::Body<Data = Bytes> + Unpin + use<> {
    let frames: Vec<Result<_, std::convert::Infallible>> =
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit() {
    let none = HeaderMap::new();
    assert_eq!(body::read(&none, frames(&["abc", "def", "g"]), 7, body::PACE).await.unwrap(), "abcdefg");
    assert_eq!(
        body::read(&none, frames(&["abc", "def", "g"]), 6, body::PACE).await.unwrap_err(),
        Fault::BodyTooLarge { max: 6 }
    );
    let mut declared = HeaderMap::new();
    declared.insert(CONTENT_LENGTH, 10_000_000_000u64.into());
    assert_eq!(
        body::read(&declared, Full::new(Bytes::from_static(b"x")), 6, body::PACE).await.unwrap_err(),
        Fault::BodyTooLarge { max: 6 }
    );
    let mut gzip = HeaderMap::new();
    gzip.insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    assert_eq!(body::read(&gzip, frames(&["x"]), 6, body::PACE).await.unwrap_err(), Fault::EncodedBody);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let never = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>());
    let pace = body::Pace { window: std::time::Duration::from_millis(20), bytes: 10 };
    assert_eq!(body::read(&HeaderMap::new(), never, 6, pace).await.unwrap_err(), Fault::BodyTooSlow);
}
