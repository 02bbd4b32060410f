//! The limit: a hand-written axum + rusqlite server that does the four works of `cargo xtask bench` and nothing else. No rules beyond
//! a `WHERE`, no plans, no validation beyond types, SQL and JSON written out by hand.
//!
//! It opens a copy of the database that `undergird seed` made of `examples/blog`, so both sides read the same rows. Reads run inline on
//! the async worker; creates wait for a writer thread that commits them as a group, `synchronous=FULL`, as Undergird does.
//!
//! Usage: `undergird-bench-limit DATABASE PORT`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rusqlite::{Connection, Row, params};
use serde::Deserialize;
use std::cell::RefCell;
use std::error::Error;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use undergird_model::field_type::wire;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

const COLUMNS: &str = "p.id, p.title, p.slug, p.body, p.status, p.author_id, p.published_at, p.created_at";

struct Server {
    database: PathBuf,
    writer: mpsc::Sender<Job>,
}

struct Job {
    post: NewPost,
    author_id: Uuid,
    answer: oneshot::Sender<Result<Uuid, String>>,
}

#[derive(Deserialize)]
struct NewPost {
    title: String,
    slug: String,
    body: String,
    author_id: String,
}

thread_local! {
    /// One reader per worker thread.
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: undergird-bench-limit DATABASE PORT".into());
    };
    let database = PathBuf::from(database);
    let (writer, jobs) = mpsc::channel();
    let connection = open(&database)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    std::thread::spawn(move || write(connection, &jobs));
    let checkpointer = open(&database)?;
    std::thread::spawn(move || checkpoint(&checkpointer));
    let server = Arc::new(Server { database, writer });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = Router::new()
            .route("/posts/{id}", get(read_one))
            .route("/posts", get(list))
            .route("/posts", post(create))
            .with_state(server);
        let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
        println!("ready http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

fn open(database: &FilePath) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(database)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;
         PRAGMA mmap_size=268435456; PRAGMA cache_size=-16000;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

impl Server {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, rusqlite::Error> {
        READER.with_borrow_mut(|reader| {
            let connection = match reader {
                Some(connection) => connection,
                None => reader.insert(open(&self.database)?),
            };
            work(connection)
        })
    }
}

async fn read_one(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Response {
    let Ok(id) = Uuid::parse_str(&id) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut json = Vec::with_capacity(512);
    let found = server.read(|connection| {
        let sql = format!("SELECT {COLUMNS} FROM posts p WHERE p.id = ?1 AND p.status = 'published'");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![id.as_bytes().as_slice()])?;
        match rows.next()? {
            Some(row) => {
                post_json(&mut json, row, false)?;
                Ok(true)
            }
            None => Ok(false),
        }
    });
    match found {
        Ok(true) => answer(StatusCode::OK, json),
        Ok(false) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Default)]
struct ListQuery {
    status: String,
    limit: u32,
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
    let mut json = Vec::with_capacity(16 << 10);
    let done = server.read(|connection| {
        let sql = if query.author {
            format!(
                "SELECT {COLUMNS}, u.id, u.name FROM posts p JOIN users u ON u.id = p.author_id \
                 WHERE p.status = ?1 ORDER BY p.created_at DESC LIMIT ?2"
            )
        } else {
            format!("SELECT {COLUMNS} FROM posts p WHERE p.status = ?1 ORDER BY p.created_at DESC LIMIT ?2")
        };
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![query.status, query.limit])?;
        json.push(b'[');
        while let Some(row) = rows.next()? {
            if json.len() > 1 {
                json.push(b',');
            }
            post_json(&mut json, row, query.author)?;
        }
        json.push(b']');
        Ok(())
    });
    match done {
        Ok(()) => answer(StatusCode::OK, json),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn create(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let Ok(post) = serde_json::from_slice::<NewPost>(&body) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let Ok(author_id) = Uuid::parse_str(&post.author_id) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    if post.title.is_empty() || post.title.chars().count() > 200 {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let (answer, written) = oneshot::channel();
    if server.writer.send(Job { post, author_id, answer }).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match written.await {
        Ok(Ok(id)) => (StatusCode::CREATED, [(header::LOCATION, format!("/posts/{id}"))]).into_response(),
        Ok(Err(_)) => StatusCode::CONFLICT.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

fn post_json(out: &mut Vec<u8>, row: &Row<'_>, author: bool) -> Result<(), rusqlite::Error> {
    out.extend_from_slice(b"{\"id\":\"");
    uuid(out, row, 0)?;
    for (position, name) in [(1, "title"), (2, "slug"), (3, "body"), (4, "status")] {
        out.extend_from_slice(if position == 1 { b"\",\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        wire::write_json_string(out, row.get_ref(position)?.as_str()?);
    }
    out.extend_from_slice(b",\"author_id\":\"");
    uuid(out, row, 5)?;
    for (position, name) in [(6, "\",\"published_at\":"), (7, ",\"created_at\":")] {
        out.extend_from_slice(name.as_bytes());
        match row.get::<_, Option<i64>>(position)? {
            Some(micros) => {
                out.push(b'"');
                wire::write_timestamp(out, micros);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }
    if author {
        out.extend_from_slice(b",\"author\":{\"id\":\"");
        uuid(out, row, 8)?;
        out.extend_from_slice(b"\",\"name\":");
        wire::write_json_string(out, row.get_ref(9)?.as_str()?);
        out.push(b'}');
    }
    out.push(b'}');
    Ok(())
}

fn uuid(out: &mut Vec<u8>, row: &Row<'_>, position: usize) -> Result<(), rusqlite::Error> {
    let bytes = row.get_ref(position)?.as_blob()?;
    let id = Uuid::from_slice(bytes).map_err(|_| rusqlite::Error::InvalidQuery)?;
    wire::write_uuid(out, id);
    Ok(())
}

/// Commits whatever waits as one group.
fn write(connection: Connection, jobs: &mpsc::Receiver<Job>) {
    const GROUP_MAX: usize = 256;
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        let mut answers = Vec::with_capacity(group.len());
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        for job in group {
            let result = match &begun {
                Ok(()) => insert(&connection, &job.post, job.author_id).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            answers.push((job.answer, result));
        }
        let committed = connection.execute_batch("COMMIT");
        for (answer, result) in answers {
            let result = match &committed {
                Ok(()) => result,
                Err(error) => Err(error.to_string()),
            };
            // Whoever waited may have left.
            let _ = answer.send(result);
        }
    }
}

fn insert(connection: &Connection, post: &NewPost, author_id: Uuid) -> Result<Uuid, rusqlite::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let id = version_7(micros);
    let mut statement = connection.prepare_cached(
        "INSERT INTO posts (id, title, slug, body, status, author_id, published_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, 'draft', ?5, NULL, ?6)",
    )?;
    let bytes = id.as_bytes().as_slice();
    statement.execute(params![bytes, post.title, post.slug, post.body, author_id.as_bytes().as_slice(), micros])?;
    Ok(id)
}

/// A UUID v7 whose random part is a hash's: enough to be unique in a benchmark.
fn version_7(micros: i64) -> Uuid {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new();
    let (high, low) = (random.hash_one(micros), random.hash_one((micros, 1)));
    let milliseconds = (micros / 1_000) as u128 & 0xFFFF_FFFF_FFFF;
    let bits =
        (milliseconds << 80) | (0x7 << 76) | (u128::from(high & 0xFFF) << 64) | (0b10 << 62) | u128::from(low >> 2);
    Uuid::from_u128(bits)
}

fn checkpoint(connection: &Connection) {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        // A checkpoint that could not be done is done next time.
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}
