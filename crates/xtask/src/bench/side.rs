//! Who is measured: a folder of `bench/sides`, whose `side.toml` says how it is started and how it is asked for each work, so that one
//! client asks all. A [`Session`] is one of them, running, with what its requests need.

use super::client::Client;
use super::text;
use crate::process::capture;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// As many posts are read by turns.
const KEYS: usize = 1_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Reads one post.
    R1,
    /// Lists the 20 newest published.
    R2,
    /// The same with their authors.
    R3,
    /// Creates a post.
    W1,
}

impl Work {
    pub(crate) const ALL: [Work; 4] = [Work::R1, Work::R2, Work::R3, Work::W1];

    /// In few words, for a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::R1 => "R1 read one",
            Work::R2 => "R2 list 20",
            Work::R3 => "R3 list 20 with author",
            Work::W1 => "W1 create",
        }
    }
}

/// How a side is started.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Start {
    /// Our binary on the blog.
    Undergird,
    /// `bench/limit`.
    Limit,
    /// A program of the side's folder, with packages of its own.
    Peer,
}

/// Where the rows are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Store {
    Sqlite,
    Postgres,
}

/// `side.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Side {
    #[serde(skip)]
    pub(super) name: String,
    #[serde(skip)]
    pub(super) folder: PathBuf,
    /// What it is, in a sentence.
    pub(super) about: String,
    pub(super) stores: Vec<Store>,
    pub(super) start: Start,
    /// Of a peer: `python` or `node`, and the file that it runs.
    #[serde(default)]
    pub(super) program: Vec<String>,
    /// Of Undergird: what is otherwise in this side's definition.
    #[serde(default)]
    pub(super) replace: Vec<Replace>,
    /// Its answers are equal to the first side's to the octet of their values, not only in the rows that they tell.
    #[serde(default)]
    exact: bool,
    /// Each request has these.
    #[serde(default)]
    headers: Vec<String>,
    /// Answers as long as it can do its work.
    #[serde(default)]
    health: String,
    /// A list of 200 posts with their authors.
    #[serde(default)]
    long: String,
    /// The status of a create.
    #[serde(default = "usual_created")]
    created: u16,
    keys: Keys,
    works: BTreeMap<String, Asked>,
}

fn usual_created() -> u16 {
    201
}

/// Text of a file of the definition, and what stands there instead.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replace {
    pub(super) file: String,
    pub(super) from: String,
    pub(super) to: String,
}

/// How the thousand newest published posts are listed, from which each side's ids are taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    path: String,
    /// JSON pointers: to the rows in the answer, and in a row to its author's id.
    #[serde(default)]
    rows: String,
    author: String,
}

/// A request. `{id}`, `{slug}`, `{key}`, `{token}` and `{author}` stand for what each request or each session has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    path: String,
    body: Option<String>,
    #[serde(default)]
    rows: String,
    author_name: Option<String>,
}

impl Side {
    pub(super) fn read(root: &Path, name: &str) -> Result<Side, String> {
        let folder = root.join("bench/sides").join(name);
        let file = folder.join("side.toml");
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let written = fs::read_to_string(&file).map_err(|error| failed(&error))?;
        let mut side: Side = toml::from_str(&written).map_err(|error| failed(&error))?;
        if let Some(work) = Work::ALL.iter().find(|work| !side.works.contains_key(&format!("{work:?}"))) {
            return Err(failed(&format!("no [works.{work:?}]")));
        }
        side.name = name.to_owned();
        side.folder = folder;
        Ok(side)
    }

    fn asked(&self, work: Work) -> &Asked {
        // `read` looked for each.
        &self.works[&format!("{work:?}")]
    }
}

/// What a side says of itself when it starts: lines `token …` and `author …`.
#[derive(Default)]
pub(super) struct Said {
    pub(super) key: String,
    pub(super) token: String,
    pub(super) author: String,
}

/// A request of a work, cut where something of its own comes.
struct Request {
    head: Vec<Piece>,
    body: Vec<Piece>,
}

enum Piece {
    Text(String),
    Id,
    Slug,
}

/// A side that runs, and all that is said to it.
pub(crate) struct Session {
    pub(crate) port: u16,
    /// What `authorization` has.
    pub(super) token: String,
    requests: BTreeMap<Work, Request>,
    created: u16,
    exact: bool,
    health: String,
    long: String,
    headers: String,
    ids: Vec<String>,
    /// What each work's answer is, by (JSON pointer to the rows, JSON pointer to an author's name in a row).
    told: BTreeMap<Work, (String, Option<String>)>,
    stamp: u128,
}

impl Session {
    /// Reads the ids of posts, signs somebody up where that is Undergird's to do, and makes the requests ready.
    pub(super) async fn open(side: &Side, port: u16, said: Said, signed_in: bool) -> Result<Session, String> {
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let mut session = Session {
            port,
            token: said.token,
            requests: BTreeMap::new(),
            created: side.created,
            exact: side.exact,
            health: side.health.clone(),
            long: side.long.clone(),
            headers: side.headers.iter().map(|header| header.replace("{key}", &said.key) + "\r\n").collect(),
            ids: Vec::new(),
            told: BTreeMap::new(),
            stamp,
        };
        let mut client = Client::connect(port).await?;
        let (status, body) = client.send(&session.get(&side.keys.path)).await?;
        let answer = parse(status, 200, body)?;
        let rows = rows_of(&answer, &side.keys.rows)?;
        session.ids = rows.iter().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect();
        if session.ids.len() < KEYS {
            return Err(format!("{}: only {} published posts to read", side.name, session.ids.len()));
        }
        let mut author = said.author;
        if side.start == Start::Undergird {
            let body = format!("{{\"email\":\"bench-{stamp}@example.com\",\"password\":\"correct horse {stamp}\"}}");
            let (status, answer) = client.send(&session.post("/auth/v1/signup", &body, &said.key)).await?;
            let answer = parse(status, 200, answer)?;
            session.token = answer["access_token"].as_str().ok_or("no access_token in the answer to sign-up")?.into();
            author = answer["user"]["id"].as_str().ok_or("no user.id in the answer to sign-up")?.into();
        } else if author.is_empty() {
            let first = rows[0].pointer(&side.keys.author).and_then(Value::as_str);
            author = first.ok_or_else(|| format!("{}: no author at {}", side.name, side.keys.author))?.to_owned();
        }
        for work in Work::ALL {
            let asked = side.asked(work);
            let fill = |text: &str| {
                let text = text.replace("{key}", &said.key).replace("{token}", &session.token);
                text.replace("{author}", &author)
            };
            let method = if asked.body.is_some() { "POST" } else { "GET" };
            let mut head = format!("{method} {} HTTP/1.1\r\nhost: bench\r\n{}", fill(&asked.path), session.headers);
            if (work == Work::W1 || signed_in) && !session.token.is_empty() {
                head += &format!("authorization: Bearer {}\r\n", session.token);
            }
            let body = asked.body.as_deref().map(fill).unwrap_or_default();
            session.requests.insert(work, Request { head: pieces(&head), body: pieces(&body) });
            session.told.insert(work, (asked.rows.clone(), asked.author_name.clone()));
        }
        Ok(session)
    }

    /// A request for a path.
    pub(super) fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{}\r\n", self.headers)
    }

    /// A request that sends JSON.
    pub(super) fn post(&self, path: &str, body: &str, bearer: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\n{}authorization: Bearer {bearer}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        )
    }

    /// A request for its health.
    pub(super) fn health(&self) -> String {
        format!("GET {} HTTP/1.1\r\nhost: bench\r\n\r\n", self.health)
    }

    /// A request for a long list: 200 posts with their authors.
    pub(super) fn long(&self) -> String {
        self.get(&self.long)
    }

    /// The `n`-th request of a work. `run` is another number in each round, so that slugs stay unique.
    pub(super) fn request(&self, work: Work, run: usize, n: usize) -> String {
        let request = &self.requests[&work];
        let write = |out: &mut String, pieces: &[Piece]| {
            for piece in pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Id => out.push_str(&self.ids[n % self.ids.len()]),
                    Piece::Slug => out.push_str(&format!("bench-{}-{run}-{n}", self.stamp)),
                }
            }
        };
        let mut out = String::with_capacity(1_024);
        write(&mut out, &request.head);
        if request.body.is_empty() {
            out.push_str("\r\n");
        } else {
            let mut body = String::with_capacity(256);
            write(&mut body, &request.body);
            out.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
        out
    }

    /// The status of a good answer.
    pub(super) fn expected(&self, work: Work) -> u16 {
        if work == Work::W1 { self.created } else { 200 }
    }

    /// The `n`-th answer of a work.
    async fn answer(&self, work: Work, n: usize) -> Result<Value, String> {
        let mut client = Client::connect(self.port).await?;
        let (status, body) = client.send(&self.request(work, 0, n)).await?;
        parse(status, 200, body)
    }

    /// What all sides must tell alike: each row's title, slug, body and author's name.
    fn essence(&self, work: Work, answer: &Value) -> Result<Vec<[Value; 4]>, String> {
        let (rows, author_name) = &self.told[&work];
        let one = [answer.clone()];
        let rows = if work == Work::R1 { &one[..] } else { rows_of(answer, rows)? };
        let author = |row: &Value| author_name.as_ref().and_then(|at| row.pointer(at)).cloned().unwrap_or_default();
        Ok(rows
            .iter()
            .map(|row| [row["title"].clone(), row["slug"].clone(), row["body"].clone(), author(row)])
            .collect())
    }
}

/// All sides answer the same rows, else the comparison is worth nothing.
pub(super) async fn verify(sessions: &[(&str, &Session)]) -> Result<(), String> {
    // Creates differ: each side makes an id of its own.
    for work in [Work::R1, Work::R2, Work::R3] {
        let mut first: Option<(Value, Vec<[Value; 4]>)> = None;
        for (name, session) in sessions {
            let answer = session.answer(work, 7).await.map_err(|why| format!("{name} {}: {why}", work.name()))?;
            let essence = session.essence(work, &answer)?;
            let complete = essence.iter().all(|row| row[..3].iter().all(Value::is_string));
            if !complete || essence.len() != if work == Work::R1 { 1 } else { 20 } {
                return Err(format!("{name} {}: not the rows asked for: {answer}", work.name()));
            }
            let Some((whole, known)) = &first else {
                first = Some((answer, essence));
                continue;
            };
            if session.exact && *whole != answer || *known != essence {
                let expected = if session.exact { whole.to_string() } else { format!("{known:?}") };
                return Err(format!(
                    "{name} {}: another answer than the first side's:\n{expected}\n{answer}",
                    work.name()
                ));
            }
        }
    }
    Ok(())
}

fn rows_of<'a>(answer: &'a Value, pointer: &str) -> Result<&'a [Value], String> {
    let rows = answer.pointer(pointer).and_then(Value::as_array);
    rows.map(Vec::as_slice).ok_or_else(|| format!("no rows at \"{pointer}\" of {answer}"))
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let next = [("{id}", Piece::Id), ("{slug}", Piece::Slug)]
            .into_iter()
            .filter_map(|(name, piece)| Some((rest.find(name)?, name.len(), piece)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, length, piece)) = next else {
            if !rest.is_empty() {
                pieces.push(Piece::Text(rest.to_owned()));
            }
            return pieces;
        };
        pieces.push(Piece::Text(rest[..at].to_owned()));
        pieces.push(piece);
        rest = &rest[at + length..];
    }
}

fn parse(status: u16, expected: u16, body: &[u8]) -> Result<Value, String> {
    if status != expected {
        return Err(format!("status {status}: {}", String::from_utf8_lossy(body)));
    }
    serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))
}

/// A binary's own keys: the publishable one.
pub(crate) fn publishable_key(undergird: &Path, app: &Path) -> Result<String, String> {
    let keys = capture(text(undergird)?, &["keys", text(app)?, "--json"])?;
    let keys: Value = serde_json::from_str(&keys).map_err(|error| format!("undergird keys: {error}"))?;
    let key = keys["publishable_key"].as_str().ok_or("undergird keys tells no publishable_key")?;
    Ok(key.to_owned())
}
