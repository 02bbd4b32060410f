//! Databases of a test's own on the server that the environment names. Absent: starting a server (`cargo xtask services`).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::{Client, Config, NoTls};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The server.
pub(super) struct Server {
    url: String,
    made: parking_lot::Mutex<Vec<String>>,
}

/// A database, empty at first, and a connection to it.
pub(super) struct Database {
    pub(super) client: Client,
    pub(super) config: Config,
}

/// Runs a test, and drops its databases afterwards. Without a server it says so and passes.
pub(super) fn on_server(test: impl AsyncFnOnce(&Server)) {
    let Ok(url) = std::env::var("UNDERGIRD_TEST_POSTGRES") else {
        let required = std::env::var("UNDERGIRD_TEST_SERVERS").is_ok_and(|value| value == "required");
        assert!(!required, "UNDERGIRD_TEST_POSTGRES names no server, and UNDERGIRD_TEST_SERVERS=required");
        eprintln!("SKIPPED: UNDERGIRD_TEST_POSTGRES names no PostgreSQL server; `cargo xtask services up` starts one");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = Server { url, made: parking_lot::Mutex::new(Vec::new()) };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(test(&server))));
    runtime.block_on(server.clean());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

pub(super) async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let connection: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
        let _ = connection.await;
    });
    tokio::spawn(connection);
    client
}

impl Server {
    pub(super) async fn database(&self) -> Database {
        let name = format!("ug_ddl_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut config: Config = self.url.parse().unwrap();
        let admin = connect(&config).await;
        // Its default collation is not the code points', so that a forgotten COLLATE shows.
        let made = admin
            .batch_execute(&format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
            ))
            .await;
        if made.is_err() {
            admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await.unwrap();
        }
        self.made.lock().push(name.clone());
        config.dbname(&name);
        Database { client: connect(&config).await, config }
    }

    async fn clean(&self) {
        let admin = connect(&self.url.parse().unwrap()).await;
        let made: Vec<String> = self.made.lock().drain(..).collect();
        for name in made {
            let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}
