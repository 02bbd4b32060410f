//! `cargo xtask bench`: four works over keep-alive HTTP, with rules on, against the hand-written limit beside it, in one run.
//!
//! R1 reads one post, R2 lists the 20 newest published, R3 the same with the author embedded, W1 creates a post. Rounds are
//! interleaved and medians are taken, so that what else the machine does falls on both. Claims are ratios of this run; nothing here is
//! asserted. The client is one thread with raw sockets: it takes part of the two cores, equally from both sides, so CPU per request
//! (of the server's process) is the firmer figure.
//!
//! `--postgres URL` does the same on a PostgreSQL server whose address is given, against a hand-written axum + tokio-postgres server and
//! beside pgbench with that server's own statements; it makes two databases there and drops them.
//!
//! Absent: a verdict. `docs/performance.md` says what was seen and where the time goes.

mod client;
pub(crate) mod instructions;
pub(crate) mod overload;
pub(crate) mod slow;

use crate::process::{Running, capture, run, run_with};
use client::Client;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 3;
const KEYS: usize = 1_000;

/// How long each work runs in each round, unless `--seconds` says otherwise.
const SECONDS: u64 = 4;

pub(crate) fn bench(root: &Path, given: &[String]) -> Result<(), String> {
    let mut seconds = SECONDS;
    let mut built = false;
    let mut postgres: Option<String> = None;
    let mut arguments = given.iter();
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.as_slice().first().map(|number| number.parse())) {
            ("--built", _) => built = true,
            ("--seconds", Some(Ok(number))) => {
                seconds = number;
                arguments.next();
            }
            ("--postgres", _) if arguments.len() > 0 => postgres = arguments.next().cloned(),
            _ => {
                return Err("usage: cargo xtask bench [--seconds N] [--built (use the release binaries as they are)] \
                    [--postgres URL (of a server where databases may be made)]"
                    .into());
            }
        }
    }
    let release = root.join("target/release");
    if !built {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "undergird", "-p", "undergird-bench-limit"])?;
    }
    // A client that is not optimized takes more of the machine than the server that it measures.
    if cfg!(debug_assertions) {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "xtask"])?;
        let again = given.iter().map(String::as_str).filter(|argument| *argument != "--built");
        let again: Vec<&str> = ["bench", "--built"].into_iter().chain(again).collect();
        return run(root, text(&release.join("xtask"))?, &again);
    }
    let place = root.join("target/bench");
    let app = place.join("blog");
    let undergird = release.join("undergird");
    if let Some(server) = postgres {
        return on_postgres(root, &server, seconds);
    }
    if !app.join("data/main.db").exists() {
        let _ = fs::remove_dir_all(&place);
        copy_directory(&root.join("examples/blog"), &app)?;
        run(root, text(&undergird)?, &["seed", text(&app)?, "--rows", "users=1000,posts=100000"])?;
    }
    let limit_database = place.join("limit.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(place.join(format!("limit.db{suffix}")));
    }
    fs::copy(app.join("data/main.db"), &limit_database).map_err(|error| format!("copy the database: {error}"))?;

    let ours = Running::start(&undergird, &["serve", text(&app)?, "--listen", "127.0.0.1:0"])?;
    let limit = Running::start(&release.join("undergird-bench-limit"), &[text(&limit_database)?, "0"])?;
    compare(&undergird, &app, &ours, &limit, seconds)
}

/// The same on PostgreSQL. CPU is the two servers' own; what the database takes is not in it, and is the same work for both.
fn on_postgres(root: &Path, server: &str, seconds: u64) -> Result<(), String> {
    let release = root.join("target/release");
    let undergird = release.join("undergird");
    let app = root.join("target/bench/blog-postgres");
    let _ = fs::remove_dir_all(&app);
    copy_directory(&root.join("examples/blog"), &app)?;
    let name = format!("undergird_bench_{}", std::process::id());
    let [ours_url, limit_url] = [name.clone(), format!("{name}_limit")].map(|name| database_url(server, &name));
    let sql = |text: &str| capture("psql", &["-qAt", "-v", "ON_ERROR_STOP=1", "-d", server, "-c", text]).map(|_| ());
    sql(&format!("CREATE DATABASE {name}"))?;
    let bench = || {
        let store = [("UNDERGIRD_STORE_MAIN_URL", ours_url.as_str())];
        let command = |arguments: &[&str]| run_with(&undergird, arguments, &store);
        command(&["keys", text(&app)?])?;
        command(&["migrate", text(&app)?])?;
        command(&["seed", text(&app)?, "--rows", "users=1000,posts=100000"])?;
        capture("psql", &["-qAt", "-d", &ours_url, "-c", "VACUUM ANALYZE"])?;
        sql(&format!("CREATE DATABASE {name}_limit TEMPLATE {name}"))?;
        let ours = Running::start_with(&undergird, &["serve", text(&app)?, "--listen", "127.0.0.1:0"], &store)?;
        let limit = Running::start(&release.join("undergird-bench-limit-postgres"), &[&limit_url, "0"])?;
        compare(&undergird, &app, &ours, &limit, seconds)?;
        drop((ours, limit));
        pgbench(&root.join("target/bench"), &limit_url, seconds)
    };
    let result = bench();
    for name in [name.clone(), format!("{name}_limit")] {
        let dropped = sql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        if let Err(why) = dropped {
            eprintln!("{name} is left behind: {why}");
        }
    }
    result
}

/// The URL of another database of a server.
fn database_url(server: &str, name: &str) -> String {
    let (base, options) = server.split_once('?').map_or((server, None), |(base, options)| (base, Some(options)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{}/{name}{options}", &base[..end])
}

/// The database alone: pgbench with the hand-written server's statements, as many clients.
fn pgbench(place: &Path, url: &str, seconds: u64) -> Result<(), String> {
    const COLUMNS: &str = "p.id, p.title, p.slug, p.body, p.status, p.author_id, p.published_at, p.created_at";
    let id = capture("psql", &["-qAt", "-d", url, "-c", "SELECT id FROM posts WHERE status = 'published' LIMIT 1"])?;
    let author = capture("psql", &["-qAt", "-d", url, "-c", "SELECT id FROM users LIMIT 1"])?;
    let newest = "WHERE p.status = 'published' ORDER BY p.created_at DESC LIMIT 20";
    let scripts = [
        format!("SELECT {COLUMNS} FROM posts p WHERE p.id = '{}' AND p.status = 'published';", id.trim()),
        format!("SELECT {COLUMNS} FROM posts p {newest};"),
        format!("SELECT {COLUMNS}, u.id, u.name FROM posts p JOIN users u ON u.id = p.author_id {newest};"),
        format!(
            "INSERT INTO posts (id, title, slug, body, status, author_id, published_at, created_at) VALUES \
             (gen_random_uuid(), 'A new post', gen_random_uuid()::text, 'It has a body of its own.', 'draft', '{}', NULL, now());",
            author.trim()
        ),
    ];
    println!("| work | pgbench, transactions/s |\n|---|---|");
    for (name, script) in WORKS.iter().zip(scripts) {
        let file = place.join("pgbench.sql");
        fs::write(&file, script + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
        let (clients, time) = (CONNECTIONS.to_string(), seconds.to_string());
        let told = capture(
            "pgbench",
            &["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &time, "-f", text(&file)?, url],
        )?;
        let tps = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        let tps: f64 = tps.and_then(|tps| tps.parse().ok()).ok_or("pgbench told no tps")?;
        println!("| {name} | {tps:.0} |");
    }
    Ok(())
}

/// Measures both sides and prints the table.
fn compare(undergird: &Path, app: &Path, ours: &Running, limit: &Running, seconds: u64) -> Result<(), String> {
    let keys: Value = serde_json::from_str(&capture(text(undergird)?, &["keys", text(app)?, "--json"])?)
        .map_err(|error| format!("undergird keys: {error}"))?;
    let publishable = keys["publishable_key"].as_str().unwrap_or_default().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the client's runtime: {error}"))?;
    runtime.block_on(async {
        let works = Works::prepare(ours.port, limit.port, &publishable).await?;
        works.verify().await?;
        let mut results: Vec<[Vec<Figures>; 2]> = (0..WORKS.len()).map(|_| [Vec::new(), Vec::new()]).collect();
        for round in 0..ROUNDS {
            for (work, results) in results.iter_mut().enumerate() {
                for (side, running) in [ours, limit].into_iter().enumerate() {
                    let figures = works.measure(work, side, round, running, Duration::from_secs(seconds)).await?;
                    eprintln!("round {} {} {}: {figures}", round + 1, WORKS[work], SIDES[side]);
                    results[side].push(figures);
                }
            }
        }
        println!("{}", table(&results));
        Ok(())
    })
}

const WORKS: [&str; 4] = ["R1 read one", "R2 list 20", "R3 list 20 with author", "W1 create"];
const SIDES: [&str; 2] = ["undergird", "limit"];

/// What one work did in one round.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_microseconds: f64,
    p50_milliseconds: f64,
    p99_milliseconds: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0}/s, {:.1} µs CPU, p50 {:.2} ms, p99 {:.2} ms",
            self.per_second, self.cpu_microseconds, self.p50_milliseconds, self.p99_milliseconds
        )
    }
}

/// The requests of both sides.
struct Works {
    ports: [u16; 2],
    publishable: String,
    token: String,
    author: String,
    /// An author from before the database was copied: the limit has no users of its own to sign up.
    old_author: String,
    posts: Vec<String>,
}

impl Works {
    async fn prepare(ours: u16, limit: u16, publishable: &str) -> Result<Works, String> {
        let mut works = Works {
            ports: [ours, limit],
            publishable: publishable.to_owned(),
            token: String::new(),
            author: String::new(),
            old_author: String::new(),
            posts: Vec::new(),
        };
        let mut client = Client::connect(ours).await?;
        let path = format!("/rest/v1/posts?select=id,author_id&status=eq.published&limit={KEYS}");
        let (status, body) = client.send(&works.get(&path)).await?;
        let rows: Value = parse(status, 200, body)?;
        works.posts =
            rows.as_array().into_iter().flatten().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect();
        works.old_author = rows[0]["author_id"].as_str().unwrap_or_default().to_owned();
        if works.posts.len() < KEYS {
            return Err(format!("only {} published posts to read", works.posts.len()));
        }
        let stamp =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let body = format!("{{\"email\":\"bench-{stamp}@example.com\",\"password\":\"correct horse {stamp}\"}}");
        let (status, answer) = client.send(&works.post("/auth/v1/signup", &body, publishable)).await?;
        let session: Value = parse(status, 200, answer)?;
        works.token = session["access_token"].as_str().ok_or("no access_token in the answer to sign-up")?.to_owned();
        works.author = session["user"]["id"].as_str().ok_or("no user.id in the answer to sign-up")?.to_owned();
        Ok(works)
    }

    pub(super) fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\napikey: {}\r\n\r\n", self.publishable)
    }

    pub(super) fn post(&self, path: &str, body: &str, bearer: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\napikey: {}\r\nauthorization: Bearer {bearer}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.publishable,
            body.len()
        )
    }

    /// The n-th request of a work. `run` is another number in each round, so that slugs stay unique.
    fn request(&self, work: usize, side: usize, run: usize, n: usize) -> String {
        let id = &self.posts[n % self.posts.len()];
        let ours = side == 0;
        match (work, ours) {
            (0, true) => self.get(&format!("/rest/v1/posts/{id}")),
            (0, false) => self.get(&format!("/posts/{id}")),
            (1, true) => self.get("/rest/v1/posts?status=eq.published&order=created_at.desc&limit=20"),
            (1, false) => self.get("/posts?status=published&limit=20"),
            (2, true) => self.get(
                "/rest/v1/posts?select=*,author:users(id,name)&status=eq.published&order=created_at.desc&limit=20",
            ),
            (2, false) => self.get("/posts?status=published&limit=20&author=true"),
            (_, true) => {
                let body = format!(
                    "{{\"title\":\"A new post\",\"slug\":\"bench-{run}-{n}-{}\",\"body\":\"It has a body of its own.\"}}",
                    self.author
                );
                self.post("/rest/v1/posts", &body, &self.token)
            }
            (_, false) => {
                let body = format!(
                    "{{\"title\":\"A new post\",\"slug\":\"bench-{run}-{n}-{}\",\"body\":\"It has a body of its own.\",\"author_id\":\"{}\"}}",
                    self.author, self.old_author
                );
                self.post("/posts", &body, &self.token)
            }
        }
    }

    /// Both sides answer the same rows, else the comparison is worth nothing.
    async fn verify(&self) -> Result<(), String> {
        let mut clients = [Client::connect(self.ports[0]).await?, Client::connect(self.ports[1]).await?];
        // Creates differ: each side makes an id of its own.
        for (work, name) in WORKS.iter().enumerate().take(3) {
            let mut answers = Vec::new();
            for (side, client) in clients.iter_mut().enumerate() {
                let (status, body) = client.send(&self.request(work, side, 0, 7)).await?;
                answers.push(parse(status, 200, body)?);
            }
            if answers[0] != answers[1] {
                return Err(format!("{name}: the two sides answer differently:\n{}\n{}", answers[0], answers[1]));
            }
        }
        Ok(())
    }

    async fn measure(
        &self,
        work: usize,
        side: usize,
        round: usize,
        running: &Running,
        time: Duration,
    ) -> Result<Figures, String> {
        let expected = if work == 3 { 201 } else { 200 };
        let run = usize::try_from(std::process::id()).unwrap_or(0) * 100 + round * 10 + side;
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(self.ports[side]).await?);
        }
        let cpu = running.cpu()?;
        let started = Instant::now();
        let workers = clients.into_iter().enumerate().map(|(worker, mut client)| async move {
            let mut latencies = Vec::with_capacity(1 << 16);
            let mut n = worker;
            while started.elapsed() < time {
                let request = self.request(work, side, run, n);
                let before = Instant::now();
                let (status, body) = client.send(&request).await?;
                latencies.push(before.elapsed());
                if status != expected || (work != 3 && body.len() < 100) {
                    return Err(format!(
                        "{} {}: status {status}: {}",
                        WORKS[work],
                        SIDES[side],
                        String::from_utf8_lossy(body)
                    ));
                }
                n += CONNECTIONS;
            }
            Ok(latencies)
        });
        let finished: Vec<Result<Vec<Duration>, String>> = futures_util::future::join_all(workers).await;
        let elapsed = started.elapsed();
        let cpu = running.cpu()? - cpu;
        let mut latencies = Vec::new();
        for worker in finished {
            latencies.extend(worker?);
        }
        latencies.sort_unstable();
        let count = latencies.len().max(1);
        let at =
            |share: f64| latencies.get((count as f64 * share) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        Ok(Figures {
            per_second: count as f64 / elapsed.as_secs_f64(),
            cpu_microseconds: cpu.as_secs_f64() * 1e6 / count as f64,
            p50_milliseconds: at(0.5),
            p99_milliseconds: at(0.99),
        })
    }
}

fn parse(status: u16, expected: u16, body: &[u8]) -> Result<Value, String> {
    if status != expected {
        return Err(format!("status {status}: {}", String::from_utf8_lossy(body)));
    }
    serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))
}

fn median(figures: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn table(results: &[[Vec<Figures>; 2]]) -> String {
    let mut out =
        String::from("| work | side | requests/s | µs CPU/request | p50 ms | p99 ms |\n|---|---|---|---|---|---|\n");
    for (work, sides) in results.iter().enumerate() {
        for (side, figures) in sides.iter().enumerate() {
            _ = writeln!(
                out,
                "| {} | {} | {:.0} | {:.1} | {:.2} | {:.2} |",
                WORKS[work],
                SIDES[side],
                median(figures, |f| f.per_second),
                median(figures, |f| f.cpu_microseconds),
                median(figures, |f| f.p50_milliseconds),
                median(figures, |f| f.p99_milliseconds),
            );
        }
        let ratio = |of: fn(&Figures) -> f64| 100.0 * median(&sides[0], of) / median(&sides[1], of);
        _ = writeln!(
            out,
            "| | **of the limit** | **{:.0} %** | {:.0} % | | {:.0} % |",
            ratio(|f| f.per_second),
            ratio(|f| f.cpu_microseconds),
            ratio(|f| f.p99_milliseconds)
        );
    }
    out
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

fn copy_directory(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("copy {}: {error}", from.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let path: PathBuf = entry.map_err(failed)?.path();
        let Some(name) = path.file_name() else { continue };
        if name == "data" {
            continue;
        }
        if path.is_dir() {
            copy_directory(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}
