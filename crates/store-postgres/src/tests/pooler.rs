//! Behind PgBouncer in transaction mode, which gives each transaction another server connection.

use super::{Database, change, commit, count, database, int, read, read_until, text, transact};
use crate::{Options, PostgresStore};
use futures_util::StreamExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use undergird_store::{Isolation, Notice, Store, StoreError};

const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

/// A PgBouncer of a test's own.
pub struct Pooler {
    child: Child,
    port: u16,
    folder: std::path::PathBuf,
}

impl Pooler {
    pub async fn start(database: &Database, more: &str) -> Option<Pooler> {
        let config: tokio_postgres::Config = database.url.parse().unwrap();
        let password = match config.get_password() {
            Some(password) => format!(" password={}", String::from_utf8_lossy(password)),
            None => String::new(),
        };
        let login = format!(" user={}{password}", config.get_user().unwrap());
        Pooler::start_with(database, &login, "auth_type = any", more).await
    }

    /// One where everybody is on the server who they are here.
    pub async fn start_for_callers(database: &Database) -> Option<Pooler> {
        let users = std::env::temp_dir().join(format!("ug_pooler_users_{}", std::process::id()));
        std::fs::write(&users, "\"ug_test_reader\" \"reader\"\n").unwrap();
        Command::new("chmod").arg("a+r").arg(&users).status().unwrap();
        let auth = format!("auth_type = plain\nauth_file = {}", users.display());
        let pooler = Pooler::start_with(database, "", &auth, "").await;
        let _ = std::fs::remove_file(&users);
        pooler
    }

    async fn start_with(database: &Database, login: &str, auth: &str, more: &str) -> Option<Pooler> {
        if !std::path::Path::new(PGBOUNCER).exists() {
            assert_ne!(
                std::env::var("UNDERGIRD_TEST_SERVERS").as_deref(),
                Ok("required"),
                "there is no {PGBOUNCER}, and servers are required"
            );
            println!("skipped: there is no {PGBOUNCER}");
            return None;
        }
        let config: tokio_postgres::Config = database.url.parse().unwrap();
        let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("a host by name") };
        let server = config.get_ports()[0];
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("ug_pooler_{}_{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ini = format!(
            "[databases]\n* = host={host} port={server}{login}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\n{auth}\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n{more}"
        );
        let path = folder.join("pgbouncer.ini");
        std::fs::write(&path, ini).unwrap();
        let mut command = Command::new(PGBOUNCER);
        // It refuses to run as root.
        let root = Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.starts_with(b"0\n"));
        if root {
            Command::new("chmod").args(["-R", "a+rX"]).arg(&folder).status().unwrap();
            command.args(["-u", "postgres"]);
        }
        let child = command.arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Pooler { child, port, folder };
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(pooler);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("PgBouncer did not start");
    }

    /// The URL of a database through the pooler.
    fn url(&self, database: &Database) -> String {
        self.url_of(&database.url)
    }

    /// The same of a URL.
    pub fn url_of(&self, url: &str) -> String {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let server = config.get_ports()[0];
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_behind_a_transaction_pooler() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::start(&database, "").await else { return };
    let name = database.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
    let zone = format!("ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'");
    database.execute(&["CREATE TABLE t (n bigint PRIMARY KEY, name text)", &zone]).await;
    let config: tokio_postgres::Config = database.url.parse().unwrap();
    let direct = format!("127.0.0.1:{}", config.get_ports()[0]);
    let url = format!("{}&pool=8&pooler=transaction&direct={direct}", pooler.url(&database));
    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    // Eight of us on two of the server's connections.
    let write = |number: i64| {
        let store = &store;
        async move {
            transact::<i64, _>(store, Isolation::Serializable, move |connection| {
                Box::pin(async move {
                    let found = count(connection, "SELECT count(*) FROM t WHERE n < 0").await?;
                    change(connection, "INSERT INTO t VALUES ($1::bigint, $2::text)", vec![int(number), text("x")])
                        .await?;
                    commit(found)
                })
            })
            .await
        }
    };
    for round in 0..5 {
        let all = futures_util::future::join_all((0..8).map(|number| write(round * 8 + number))).await;
        assert!(all.iter().all(|told| *told == Ok(0)), "{all:?}");
        // Each server connection has our time zone, not its own.
        let noon =
            ["SELECT extract(hour FROM '2000-01-01 12:00+00'::timestamptz::timestamp)::bigint FROM pg_sleep(0.01)"];
        let all = futures_util::future::join_all((0..16).map(|_| read(&store, &noon))).await;
        assert!(all.iter().all(|told| told.as_ref().is_ok_and(|lines| lines == &["0 12"])), "{all:?}");
        let reads = ["SELECT count(*) FROM t", "SELECT 1::bigint"];
        let all = futures_util::future::join_all((0..16).map(|_| read(&store, &reads))).await;
        let expected = format!("0 {}", (round + 1) * 8);
        assert!(all.iter().all(|told| told.as_ref().is_ok_and(|lines| *lines == [expected.clone()])), "{all:?}");
    }
    // A failure after which the work goes on.
    let found = transact::<i64, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            let failed = change(connection, "INSERT INTO t VALUES (1, 'x')", vec![]).await.unwrap_err();
            assert!(matches!(failed, StoreError::Constraint { .. }));
            commit(count(connection, "SELECT count(*) FROM t").await?)
        })
    });
    assert_eq!(found.await.unwrap(), 40);
    let deadline = Instant::now() + Duration::from_millis(300);
    let told = read_until(&store, &["SELECT 1::bigint FROM pg_sleep(60)"], deadline).await;
    assert_eq!(told, Err(StoreError::Deadline));
    database.until_running("pg_sleep(60)", 0).await;
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
    // Who listens goes past the pooler.
    let mut notices = store.notices();
    let mut next = async || tokio::time::timeout(Duration::from_secs(20), notices.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Notice::Missed);
    transact::<(), _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            connection.announce("topic").await?;
            commit(())
        })
    })
    .await
    .unwrap();
    assert_eq!(next().await, Notice::Announced("topic".into()));
    store.health().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_as_it_is_asked_for() {
    let Some(database) = database().await else { return };
    // PgBouncer speaks TLS without any change to the server.
    let folder = std::env::temp_dir().join(format!("ug_tls_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: there is no openssl to make a certificate with");
        return;
    }
    Command::new("chmod").args(["-R", "a+rX"]).arg(&folder).status().unwrap();
    let more = format!(
        "client_tls_sslmode = require\nclient_tls_key_file = {}\nclient_tls_cert_file = {}\n",
        key.display(),
        certificate.display()
    );
    let Some(pooler) = Pooler::start(&database, &more).await else { return };
    let base = format!("{}&pool=2&pooler=transaction", pooler.url(&database)).replace("127.0.0.1", "localhost");
    let root = certificate.display();
    for (options, works) in [
        ("".to_owned(), true),
        ("&sslmode=prefer".to_owned(), true),
        ("&sslmode=require".to_owned(), true),
        (format!("&sslmode=require&sslrootcert={root}"), true),
        (format!("&sslmode=verify-full&sslrootcert={root}"), true),
        // Nobody vouches for it.
        ("&sslmode=verify-full&sslrootcert=system".to_owned(), false),
        ("&sslmode=verify-full".to_owned(), false),
        ("&sslmode=disable".to_owned(), false),
    ] {
        let opened = PostgresStore::open(&format!("{base}{options}"), Options::default()).await;
        assert_eq!(opened.is_ok(), works, "{options}: {:?}", opened.err());
    }
    // The certificate is for another name.
    let elsewhere = format!("{base}&sslmode=verify-full&sslrootcert={root}").replace("localhost", "127.0.0.1");
    let told = PostgresStore::open(&elsewhere, Options::default()).await.err().unwrap();
    assert!(matches!(&told, StoreError::Unavailable(why) if why.contains("certificate")), "{told}");
    // A cancel goes the same way.
    let store = PostgresStore::open(&base, Options::default()).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(300);
    let told = read_until(&store, &["SELECT 1::bigint FROM pg_sleep(61)"], deadline).await;
    assert_eq!(told, Err(StoreError::Deadline));
    database.until_running("pg_sleep(61)", 0).await;
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_behind_a_transaction_pooler() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::start(&database, "").await else { return };
    let config: tokio_postgres::Config = database.url.parse().unwrap();
    let direct = format!("127.0.0.1:{}", config.get_ports()[0]);
    let url = format!("{}&pool=4&pooler=transaction&direct={direct}", pooler.url(&database));
    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    let report = undergird_store::conformance::run_all(&*store, &[]).await;
    store.close().await;
    assert!(report.passed(), "{report}");
}
