//! Reads that may be old, from a real standby: a primary and a streaming standby of the test's own, made of Debian's programs.

use super::{change, commit, execute, int, number, prepared, soon, transact};
use crate::{Options, PostgresStore};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use undergird_store::schema::Applied;
use undergird_store::{Freshness, Isolation, Store, StoreError};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A server of a test's own.
struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// The programs of the newest PostgreSQL; `None`, said plainly, where there are none.
fn programs() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").ok().and_then(|versions| {
        let mut all: Vec<PathBuf> = versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
        all.retain(|bin| bin.join("pg_basebackup").exists());
        all.sort();
        all.pop()
    });
    if found.is_none() {
        let required = std::env::var("UNDERGIRD_TEST_SERVERS").as_deref() == Ok("required");
        assert!(!required, "there is no pg_basebackup, and servers are required");
        println!("skipped: there is no pg_basebackup in /usr/lib/postgresql");
    }
    found
}

/// A program of PostgreSQL, which refuses to run as root.
fn program(path: PathBuf) -> Command {
    use std::os::unix::process::CommandExt;
    let id = |flag: &str, name: &[&str]| {
        let told = Command::new("id").arg(flag).args(name).output().unwrap().stdout;
        String::from_utf8(told).unwrap().trim().parse::<u32>().unwrap()
    };
    let mut command = Command::new(path);
    if id("-u", &[]) == 0 {
        command.uid(id("-u", &["postgres"])).gid(id("-g", &["postgres"]));
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    fn place(programs: &Path) -> Server {
        let name = format!("ug_replica_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        Server { programs: programs.to_path_buf(), folder, port: free_port(), child: None }
    }

    fn primary(programs: &Path) -> Server {
        let server = Server::place(programs);
        let made = program(programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=undergird", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(server.folder.join("data"))
            .status()
            .unwrap();
        assert!(made.success());
        server
    }

    fn standby(&self) -> Server {
        let server = Server::place(&self.programs);
        let made = program(self.programs.join("pg_basebackup"))
            .args(["-R", "--no-sync", "--checkpoint=fast", "-U", "undergird", "-h", "127.0.0.1", "-p"])
            .arg(self.port.to_string())
            .arg("-D")
            .arg(server.folder.join("data"))
            .status()
            .unwrap();
        assert!(made.success());
        server
    }

    async fn start(&mut self) {
        let data = self.folder.join("data");
        let settings = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", self.folder.display()),
            "fsync=off".into(),
            "shared_buffers=16MB".into(),
            "max_connections=60".into(),
        ];
        let mut command = program(self.programs.join("postgres"));
        command.arg("-D").arg(&data);
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        self.child = Some(command.spawn().unwrap());
        for _ in 0..3_000 {
            if let Ok((client, wire)) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await {
                let task = tokio::spawn(wire);
                drop(client);
                let _ = task.await;
                return;
            }
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                // What was killed before has not gone quite yet.
                self.child = Some(command.spawn().unwrap());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server did not start");
    }

    fn url(&self) -> String {
        format!("postgres://undergird:hush@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    async fn execute(&self, statement: &str) {
        execute(&self.url(), &[statement]).await;
    }

    /// Sends a signal to all of its processes.
    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let send = |signal: &str, to: &[&str]| {
            let _ = Command::new("kill").arg(signal).args(to).stderr(Stdio::null()).status();
        };
        // So that there are no new ones, and those there are have not lost their parent.
        send("-STOP", &[&pid]);
        let children = Command::new("pgrep").args(["-P", &pid]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        let mut all: Vec<&str> = children.split_whitespace().collect();
        all.push(&pid);
        send(signal, &all);
    }

    /// Ends it without any good-bye.
    fn kill(&mut self) {
        if self.child.is_none() {
            return;
        }
        // Killed alone, the postmaster would leave its children to find that out.
        self.signal("-KILL");
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A primary with a table, and a standby of it.
async fn pair() -> Option<(Server, Server)> {
    let programs = programs()?;
    let mut primary = Server::primary(&programs);
    primary.start().await;
    primary.execute("CREATE TABLE t (n bigint)").await;
    let mut standby = primary.standby();
    standby.start().await;
    Some((primary, standby))
}

async fn open(primary: &Server, replicas: &[&str], lag: u64) -> Arc<PostgresStore> {
    let replicas = replicas.iter().map(|url| (*url).to_owned()).collect();
    let options = Options { replicas, replica_lag: Duration::from_secs(lag), ..Options::default() };
    PostgresStore::open(&format!("{}&pool=8", primary.url()), options).await.unwrap()
}

const COUNT: &str = "SELECT count(*) FROM t";

async fn eventual(store: &Arc<PostgresStore>, texts: &[&str]) -> Result<(Vec<String>, Freshness), StoreError> {
    let (answer, freshness) = store.read_eventual(prepared(texts), Box::<super::Lines>::default(), soon()).await;
    let lines = answer.sink.unwrap().into_any().downcast::<super::Lines>().unwrap().0;
    answer.result.map(|()| (lines, freshness))
}

/// The rows that a reader sees who asked for it, and from where.
async fn seen(store: &Arc<PostgresStore>) -> (u32, Freshness) {
    let (lines, freshness) = eventual(store, &[COUNT]).await.unwrap();
    (lines[0].strip_prefix("0 ").unwrap().parse().unwrap(), freshness)
}

async fn current(store: &Arc<PostgresStore>) -> u32 {
    super::read(store, &[COUNT]).await.unwrap()[0].strip_prefix("0 ").unwrap().parse().unwrap()
}

async fn insert(store: &Arc<PostgresStore>) {
    transact::<(), _>(store, Isolation::Committed, |connection| {
        Box::pin(async move {
            change(connection, "INSERT INTO t VALUES ($1::bigint)", vec![int(1)]).await?;
            commit(())
        })
    })
    .await
    .unwrap();
}

/// Reads until it is answered from there.
async fn until(store: &Arc<PostgresStore>, wanted: Freshness) -> u32 {
    for _ in 0..3_000 {
        let (rows, freshness) = seen(store).await;
        if freshness == wanted {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never was a read {wanted:?}");
}

fn gauge(store: &Arc<PostgresStore>, name: &str) -> u64 {
    store.gauges().iter().find(|(known, ..)| *known == name).unwrap().2 as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_are_for_those_who_asked_and_within_the_bound() {
    let Some((primary, standby)) = pair().await else { return };
    let lenient = open(&primary, &[&standby.url()], 3_600).await;
    let strict = open(&primary, &[&standby.url()], 1).await;
    for store in [&lenient, &strict] {
        assert_eq!(until(store, Freshness::Eventual).await, 0);
        assert_eq!(gauge(store, "postgres_replicas_near"), 1);
    }
    standby.execute("SELECT pg_wal_replay_pause()").await;
    insert(&strict).await;
    let written = Instant::now();
    // Whoever did not ask sees what is so; whoever did sees it within the bound at the latest, in several statements as in one.
    assert_eq!((current(&lenient).await, current(&strict).await), (1, 1));
    assert_eq!(seen(&lenient).await, (0, Freshness::Eventual));
    let both = (vec!["0 0".to_owned()], Freshness::Eventual);
    assert_eq!(eventual(&lenient, &[COUNT, COUNT]).await.unwrap(), both);
    let (mut old, mut new) = (0, 0);
    while new < 100 {
        let asked = Instant::now();
        match seen(&strict).await {
            (1, Freshness::Current) => new += 1,
            (0, Freshness::Eventual) if asked < written + Duration::from_secs(1) => old += 1,
            other => panic!("{other:?} after {old} old and {new} new answers"),
        }
    }
    assert!(gauge(&strict, "postgres_replica_misses") >= 100);
    standby.execute("SELECT pg_wal_replay_resume()").await;
    assert_eq!(until(&strict, Freshness::Eventual).await, 1);
    // Writes all the time: an answer that may be old is never older than the bound. Replay stops and goes on meanwhile.
    let written = parking_lot::Mutex::new(Vec::new());
    let writing = async {
        for number in 2..150 {
            insert(&strict).await;
            written.lock().push((Instant::now(), number));
            match number % 50 {
                10 => standby.execute("SELECT pg_wal_replay_pause()").await,
                45 => standby.execute("SELECT pg_wal_replay_resume()").await,
                _ => tokio::time::sleep(Duration::from_millis(40)).await,
            }
        }
    };
    let reading = async {
        let mut eventual = 0;
        while written.lock().len() < 148 {
            let asked = Instant::now();
            let (rows, freshness) = seen(&strict).await;
            let bound = if freshness == Freshness::Eventual { Duration::from_secs(1) } else { Duration::ZERO };
            let due = written.lock().iter().filter(|(at, _)| *at + bound <= asked).map(|(_, rows)| *rows).max();
            assert!(rows >= due.unwrap_or(1), "{rows} rows where {due:?} were due, {freshness:?}");
            eventual += u32::from(freshness == Freshness::Eventual);
        }
        eventual
    };
    let ((), eventual) = tokio::join!(writing, reading);
    assert!(eventual > 0);
    // A schema that the standby does not have yet is not asked for there, however old the rows may be.
    until(&lenient, Freshness::Eventual).await;
    standby.execute("SELECT pg_wal_replay_pause()").await;
    primary.execute("ALTER TABLE t ADD COLUMN more bigint DEFAULT 7").await;
    let schema = Applied { format: 1, tables: Vec::new() };
    lenient.replicas.as_ref().unwrap().know_schema(Some(&schema));
    assert_eq!(seen(&lenient).await.1, Freshness::Current);
    standby.execute("SELECT pg_wal_replay_resume()").await;
    until(&lenient, Freshness::Eventual).await;
    lenient.replicas.as_ref().unwrap().know_schema(Some(&schema));
    // On a busy machine not at once: a standby that was not looked at in time is not asked.
    until(&lenient, Freshness::Eventual).await;
    // A standby that has become a primary is none any more.
    standby.execute("SELECT pg_promote()").await;
    standby.execute("INSERT INTO t VALUES (1)").await;
    for store in [&lenient, &strict] {
        for _ in 0..50 {
            assert_eq!(seen(store).await, (149, Freshness::Current));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_goes_fails_no_read() {
    let Some((mut primary, mut standby)) = pair().await else { return };
    let store = open(&primary, &[&standby.url()], 2).await;
    until(&store, Freshness::Eventual).await;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let read = || async {
        let mut reads = 0;
        while !stop.load(Ordering::Relaxed) {
            // Some take long enough to be caught in the middle.
            let text = if reads % 10 == 0 { "SELECT count(*) FROM t, pg_sleep(0.05)" } else { COUNT };
            eventual(&store, &[text]).await.unwrap();
            reads += 1;
        }
        reads
    };
    let readers = futures_util::future::join_all((0..4).map(|_| read()));
    let trouble = async {
        for _ in 0..2 {
            standby.kill();
            assert_eq!(until(&store, Freshness::Current).await, 0);
            standby.start().await;
            until(&store, Freshness::Eventual).await;
        }
        standby.signal("-STOP");
        assert_eq!(until(&store, Freshness::Current).await, 0);
        standby.signal("-CONT");
        until(&store, Freshness::Eventual).await;
        // Cut off from its primary, it thinks that it is up to date.
        let text = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication";
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''").await;
        standby.execute("SELECT pg_reload_conf()").await;
        number(&primary.url(), text).await;
        insert(&store).await;
        until(&store, Freshness::Current).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (reads, ()) = tokio::join!(readers, trouble);
    assert!(reads.iter().all(|reads| *reads > 0), "{reads:?}");
    assert_eq!(gauge(&store, "postgres_replicas_near"), 0);
    // Without the primary nobody knows how old anything is.
    primary.kill();
    let told = eventual(&store, &[COUNT]).await;
    assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
    standby.kill();
}

#[tokio::test]
async fn what_is_no_replica_is_not_asked() {
    let Some(programs) = programs() else { return };
    let mut primary = Server::primary(&programs);
    primary.start().await;
    primary.execute("CREATE TABLE t (n bigint)").await;
    let mut other = Server::primary(&programs);
    other.start().await;
    other.execute("CREATE TABLE t (n bigint)").await;
    let mut elsewhere = other.standby();
    elsewhere.start().await;
    // The other cluster's log is further, so that its place says nothing against it.
    other.execute("CREATE TABLE u AS SELECT g FROM generate_series(1, 100000) g").await;
    other.execute("INSERT INTO t VALUES (1)").await;
    let nobody = format!("postgres://undergird@127.0.0.1:{}/postgres", free_port());
    let absent = primary.url().replace("/postgres?", "/absent?");
    let all = [primary.url(), other.url(), elsewhere.url(), nobody, absent];
    let urls: Vec<&str> = all.iter().map(String::as_str).collect();
    let store = open(&primary, &urls, 1).await;
    assert_eq!(gauge(&store, "postgres_replicas"), 5);
    for _ in 0..100 {
        assert_eq!(seen(&store).await, (0, Freshness::Current));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((gauge(&store, "postgres_replicas_near"), gauge(&store, "postgres_replica_reads")), (0, 0));
    for (url, wanted) in [
        ("postgres://u:hush@h/d?pooler=transaction", "replica 1: a replica must not be behind a transaction pooler"),
        ("postgres://u:hush@h:x/d", "replica 1: unavailable: the URL cannot be read"),
    ] {
        let options = Options { replicas: vec![url.into()], ..Options::default() };
        let Err(StoreError::Unavailable(why)) = PostgresStore::open(&primary.url(), options).await else {
            panic!("{url}");
        };
        assert!(why.contains(wanted) && !why.contains("hush"), "{why}");
    }
}
