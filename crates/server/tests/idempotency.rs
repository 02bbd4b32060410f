//! An idempotency key is good for a day: until then a repeated request gets the kept answer, afterwards nothing of it is left.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use support::Folder;
use undergird::Server;
use undergird_api::http::{Connection, Linger, serve};
use undergird_engine::idempotency::KEPT_MICROSECONDS;
use undergird_plan::caller::Moment;

async fn create(server: &Server, key: &str, name: &str) -> (u16, bool, String) {
    let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
    let request = Request::post("/rest/v1/tags")
        .header("apikey", server.keys().secret.expose())
        .header("content-type", "application/json")
        .header("prefer", "return=representation")
        .header("idempotency-key", key)
        .body(Full::new(Bytes::from(format!(r#"{{"name":"{name}"}}"#))))
        .unwrap();
    let response = serve(server.http(), &connection, request).await;
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, replayed, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn answers_are_kept_for_a_day_and_no_longer() {
    let blog = Folder::example("blog");
    let server = Server::builder(&blog.0)
        .environment(undergird::config::Environment::default())
        .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
        .make_keys(true)
        .build()
        .await
        .unwrap();
    let (status, replayed, first) = create(&server, "k", "one").await;
    assert_eq!((status, replayed), (201, false));
    assert_eq!(create(&server, "k", "one").await, (201, true, first.clone()));
    assert_eq!(create(&server, "k", "two").await.0, 422, "the key stands for another request");

    let engine = server.engine();
    let now = engine.moment();
    assert_eq!(engine.sweep(now).await, Ok(0), "nothing is old yet");
    assert_eq!(create(&server, "k", "one").await, (201, true, first));
    let tomorrow = Moment { now: now.now + KEPT_MICROSECONDS + 60_000_000, ..now };
    assert_eq!(engine.sweep(tomorrow).await, Ok(1));
    let (status, replayed, _) = create(&server, "k", "one").await;
    assert_eq!((status, replayed), (409, false), "asked anew: the name is taken by then");
    server.close().await;
}
