//! An idempotency key is good for a day: until then a repeated request gets the kept answer, afterwards nothing of it is left. On each
//! store.
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

on_each_store!(answers_are_kept_for_a_day_and_no_longer, one_key_at_once_makes_one_row);

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
    for round in 0..3 {
        let (key, name) = (format!("key-{round}"), format!("tag-{round}"));
        let mut requests = Vec::new();
        for _ in 0..AT_ONCE {
            let (server, key, name) = (server.clone(), key.clone(), name.clone());
            requests.push(tokio::spawn(async move { create(&server, &key, &name).await }));
        }
        let mut made = Vec::new();
        let mut bodies = BTreeSet::new();
        for request in requests {
            let (status, replayed, body) = request.await.unwrap();
            match status {
                201 => {
                    made.push(replayed);
                    bodies.insert(body);
                }
                // Under way: to be asked again.
                409 => assert!(body.contains("idempotency"), "{body}"),
                _ => panic!("{status}: {body}"),
            }
        }
        assert_eq!(made.iter().filter(|replayed| !**replayed).count(), 1, "{made:?}");
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(database.dump(&blog.0)["tags"].len(), round + 1);
        let (status, replayed, body) = create(&server, &key, &name).await;
        assert!(status == 201 && replayed && bodies.contains(&body), "{status} {replayed} {body}");
    }
    Arc::into_inner(server).unwrap().close().await;
}
