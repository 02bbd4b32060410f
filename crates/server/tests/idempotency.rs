//! An idempotency key is good for a day: until then a repeated request gets the kept answer, afterwards nothing of it is left. And what
//! comes many times at once is done once, with a key or by merging. On each store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use std::collections::BTreeSet;
use std::sync::Arc;
use support::Folder;
use support::databases::{Database, On};
use undergird::Server;
use undergird_api::http::{Connection, Linger, serve};
use undergird_engine::idempotency::KEPT_MICROSECONDS;
use undergird_plan::caller::Moment;

async fn create(server: &Server, key: &str, name: &str) -> (u16, bool, String) {
    post(server, key, "/rest/v1/tags", format!(r#"{{"name":"{name}"}}"#)).await
}

async fn post(server: &Server, key: &str, path: &str, body: String) -> (u16, bool, String) {
    send(server, path, body, &[("prefer", "return=representation"), ("idempotency-key", key)]).await
}

async fn send(server: &Server, path: &str, body: String, headers: &[(&str, &str)]) -> (u16, bool, String) {
    let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
    let mut request =
        Request::post(path).header("apikey", server.keys().secret.expose()).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let response = serve(server.http(), &connection, request).await;
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, replayed, String::from_utf8(body.to_vec()).unwrap())
}

on_each_store!(
    answers_are_kept_for_a_day_and_no_longer,
    one_key_at_once_makes_one_row,
    merges_at_once_meet_the_row_that_the_first_has_made
);

async fn open(blog: &Folder, database: &Database) -> Server {
    Server::builder(&blog.0)
        .environment(database.environment())
        .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
        .make_keys(true)
        .build()
        .await
        .unwrap()
}

async fn answers_are_kept_for_a_day_and_no_longer(on: On) {
    let Some(database) = Database::new(on) else { return };
    let blog = Folder::example("blog");
    let server = open(&blog, &database).await;
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

/// The same key in fifty requests at once: one row, and nobody is told of another.
async fn one_key_at_once_makes_one_row(on: On) {
    const AT_ONCE: usize = 50;
    let Some(database) = Database::new(on) else { return };
    let blog = Folder::example("blog");
    let server = Arc::new(open(&blog, &database).await);
    for round in 0..4 {
        let key = format!("key-{round}");
        let row = format!(r#"{{"name":"tag-{round}"}}"#);
        let (path, body, done) = match round % 2 {
            0 => ("/rest/v1/tags", row, 201),
            _ => {
                let steps = format!(r#"{{"steps":[{{"method":"POST","path":"/rest/v1/tags","body":{row}}}]}}"#);
                ("/rest/v1/batch", steps, 200)
            }
        };
        let mut requests = Vec::new();
        for _ in 0..AT_ONCE {
            let (server, key, body) = (server.clone(), key.clone(), body.clone());
            requests.push(tokio::spawn(async move { post(&server, &key, path, body).await }));
        }
        let mut made = Vec::new();
        let mut bodies = BTreeSet::new();
        for request in requests {
            let (status, replayed, body) = request.await.unwrap();
            if status == done {
                made.push(replayed);
                bodies.insert(body);
            } else {
                // That others were first too often is told, to be asked again; never that the value is taken.
                assert!(status == 409 && body.contains(r#""code":"40001""#), "{status}: {body}");
            }
        }
        assert_eq!(made.iter().filter(|replayed| !**replayed).count(), 1, "{made:?}");
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(database.dump(&blog.0)["tags"].len(), round + 1);
        let (status, replayed, body) = post(&server, &key, path, body).await;
        assert!(status == done && replayed && bodies.contains(&body), "{status} {replayed} {body}");
    }
    Arc::into_inner(server).unwrap().close().await;
}

/// The same row in fifty merges at once: whoever comes later finds it, and nobody is told that its value is taken.
async fn merges_at_once_meet_the_row_that_the_first_has_made(on: On) {
    const AT_ONCE: usize = 50;
    let Some(database) = Database::new(on) else { return };
    let blog = Folder::example("blog");
    let server = Arc::new(open(&blog, &database).await);
    for (round, resolution) in ["ignore", "merge", "ignore", "merge"].into_iter().enumerate() {
        let row = format!(r#"{{"name":"tag-{round}"}}"#);
        let path = "/rest/v1/tags?on_conflict=name";
        let (path, body) = match round / 2 {
            0 => (path, row),
            _ => {
                let step = format!(
                    r#"{{"method":"POST","path":"{path}","headers":{{"Prefer":"resolution={resolution}-duplicates"}},"body":{row}}}"#
                );
                ("/rest/v1/batch", format!(r#"{{"steps":[{step}]}}"#))
            }
        };
        let mut requests = Vec::new();
        for _ in 0..AT_ONCE {
            let (server, body) = (server.clone(), body.clone());
            requests.push(tokio::spawn(async move {
                let prefer = format!("resolution={resolution}-duplicates");
                let headers = if path.ends_with("batch") { &[][..] } else { &[("prefer", prefer.as_str())][..] };
                send(&server, path, body, headers).await
            }));
        }
        for request in requests {
            let (status, _, body) = request.await.unwrap();
            assert!(status == 200 || status == 201, "{resolution}: {status}: {body}");
        }
        assert_eq!(database.dump(&blog.0)["tags"].len(), round + 1);
    }
    Arc::into_inner(server).unwrap().close().await;
}
