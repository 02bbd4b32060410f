//! The limit on PostgreSQL: a hand-written axum + tokio-postgres server that does the four works of `cargo xtask bench --postgres` and
//! nothing else. No rules beyond a `WHERE`, no plans, no validation beyond types, SQL and JSON written out by hand.
//!
//! Statements are prepared once per connection; requests take the connections in turn and share them (the driver pipelines). A create is
//! one statement that commits by itself, `synchronous_commit` as the server has it.
//!
//! Usage: `undergird-bench-limit-postgres URL PORT`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, Row, Statement};
use undergird_model::field_type::wire;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

const COLUMNS: &str = "p.id, p.title, p.slug, p.body, p.status, p.author_id, p.published_at, p.created_at";
const CONNECTIONS: usize = 16;

/// A connection with its statements.
struct Session {
    client: Client,
    read_one: Statement,
    list: Statement,
    list_with_author: Statement,
    create: Statement,
}

struct Server {
    sessions: Vec<Session>,
    turn: AtomicUsize,
}

#[derive(Deserialize)]
struct NewPost {
    title: String,
    slug: String,
    body: String,
    author_id: String,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: undergird-bench-limit-postgres URL PORT".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sessions = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            sessions.push(Session::open(&url).await?);
        }
        let router = Router::new()
            .route("/posts/{id}", get(read_one))
            .route("/posts", get(list))
            .route("/posts", post(create))
            .with_state(Arc::new(Server { sessions, turn: AtomicUsize::new(0) }));
        let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
        println!("ready http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

impl Session {
    async fn open(url: &str) -> Result<Session, Failure> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let by_status = "WHERE p.status = $1 ORDER BY p.created_at DESC LIMIT $2";
        let read_one = format!("SELECT {COLUMNS} FROM posts p WHERE p.id = $1 AND p.status = 'published'");
        let list = format!("SELECT {COLUMNS} FROM posts p {by_status}");
        let with_author =
            format!("SELECT {COLUMNS}, u.id, u.name FROM posts p JOIN users u ON u.id = p.author_id {by_status}");
        let create = "INSERT INTO posts (id, title, slug, body, status, author_id, published_at, created_at) \
                      VALUES ($1, $2, $3, $4, 'draft', $5, NULL, $6)";
        Ok(Session {
            read_one: client.prepare(&read_one).await?,
            list: client.prepare_typed(&list, &[Type::TEXT, Type::INT8]).await?,
            list_with_author: client.prepare_typed(&with_author, &[Type::TEXT, Type::INT8]).await?,
            create: client.prepare(create).await?,
            client,
        })
    }
}

impl Server {
    fn session(&self) -> &Session {
        &self.sessions[self.turn.fetch_add(1, Ordering::Relaxed) % self.sessions.len()]
    }
}

async fn read_one(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Response {
    let Ok(id) = Uuid::parse_str(&id) else { return StatusCode::BAD_REQUEST.into_response() };
    let session = server.session();
    match session.client.query_opt(&session.read_one, &[&id]).await {
        Ok(Some(row)) => {
            let mut json = Vec::with_capacity(512);
            post_json(&mut json, &row, false);
            answer(StatusCode::OK, json)
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Default)]
struct ListQuery {
    status: String,
    limit: i64,
    author: bool,
}

impl ListQuery {
    fn parse(text: &str) -> Option<ListQuery> {
        let mut query = ListQuery { limit: 100, ..ListQuery::default() };
        for pair in text.split('&') {
            match pair.split_once('=')? {
                ("status", status) => query.status = status.to_owned(),
                ("limit", limit) => query.limit = limit.parse().ok()?,
                ("author", author) => query.author = author == "true",
                _ => return None,
            }
        }
        Some(query)
    }
}

async fn list(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let Some(query) = query.as_deref().and_then(ListQuery::parse) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let session = server.session();
    let statement = if query.author { &session.list_with_author } else { &session.list };
    let Ok(rows) = session.client.query(statement, &[&query.status, &query.limit]).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut json = Vec::with_capacity(16 << 10);
    json.push(b'[');
    for row in &rows {
        if json.len() > 1 {
            json.push(b',');
        }
        post_json(&mut json, row, query.author);
    }
    json.push(b']');
    answer(StatusCode::OK, json)
}

async fn create(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let Ok(post) = serde_json::from_slice::<NewPost>(&body) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let Ok(author) = Uuid::parse_str(&post.author_id) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    if post.title.is_empty() || post.title.chars().count() > 200 {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let now = SystemTime::now();
    let id = version_7(now);
    let session = server.session();
    let created =
        session.client.execute(&session.create, &[&id, &post.title, &post.slug, &post.body, &author, &now]).await;
    match created {
        Ok(_) => (StatusCode::CREATED, [(header::LOCATION, format!("/posts/{id}"))]).into_response(),
        Err(_) => StatusCode::CONFLICT.into_response(),
    }
}

fn answer(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

fn post_json(out: &mut Vec<u8>, row: &Row, author: bool) {
    out.extend_from_slice(b"{\"id\":\"");
    wire::write_uuid(out, row.get(0));
    for (position, name) in [(1, "title"), (2, "slug"), (3, "body"), (4, "status")] {
        out.extend_from_slice(if position == 1 { b"\",\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        wire::write_json_string(out, row.get(position));
    }
    out.extend_from_slice(b",\"author_id\":\"");
    wire::write_uuid(out, row.get(5));
    for (position, name) in [(6, "\",\"published_at\":"), (7, ",\"created_at\":")] {
        out.extend_from_slice(name.as_bytes());
        match row.get::<_, Option<SystemTime>>(position) {
            Some(time) => {
                out.push(b'"');
                wire::write_timestamp(out, micros(time));
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }
    if author {
        out.extend_from_slice(b",\"author\":{\"id\":\"");
        wire::write_uuid(out, row.get(8));
        out.extend_from_slice(b"\",\"name\":");
        wire::write_json_string(out, row.get(9));
        out.push(b'}');
    }
    out.push(b'}');
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A UUID v7 whose random part is a hash's: enough to be unique in a benchmark.
fn version_7(now: SystemTime) -> Uuid {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new();
    let micros = micros(now);
    let (high, low) = (random.hash_one(micros), random.hash_one((micros, 1)));
    let milliseconds = (micros / 1_000) as u128 & 0xFFFF_FFFF_FFFF;
    let bits =
        (milliseconds << 80) | (0x7 << 76) | (u128::from(high & 0xFFF) << 64) | (0b10 << 62) | u128::from(low >> 2);
    Uuid::from_u128(bits)
}
