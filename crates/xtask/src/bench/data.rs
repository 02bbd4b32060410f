//! The rows that all sides have: seeded once for each number of rows, and copied for each run, so that no run has the creates of another.

use super::side::{Side, Start, Store};
use super::{copy_directory, text};
use crate::process::{capture, run, run_with};
use std::fs;
use std::path::{Path, PathBuf};

/// The setting that says where Undergird's rows are.
pub(super) const STORE: &str = "UNDERGIRD_STORE_MAIN_URL";

/// The rows of one run.
pub(super) struct Data {
    root: PathBuf,
    /// The blog that was seeded.
    seeded: PathBuf,
    /// Where this run's copies are.
    place: PathBuf,
    /// The server's URL, and the database that was seeded. Copies are beside it.
    postgres: Option<(String, String)>,
    databases: Vec<String>,
}

/// What a side is started on.
pub(super) struct Own {
    /// Of Undergird: its definition.
    pub(super) app: Option<PathBuf>,
    /// A file, or a URL.
    pub(super) database: String,
}

impl Data {
    /// Seeds what is not there yet. On PostgreSQL it is seeded anew for each run.
    pub(super) fn prepare(root: &Path, rows: usize, postgres: Option<&str>) -> Result<Data, String> {
        let bench = root.join("target/bench");
        let undergird = root.join("target/release/undergird");
        let place = bench.join("run");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let many = format!("users={},posts={rows}", (rows / 100).max(1));
        let Some(server) = postgres else {
            let seeded = bench.join(format!("blog-{rows}"));
            if !seeded.join("seeded").exists() {
                let _ = fs::remove_dir_all(&seeded);
                copy_directory(&root.join("examples/blog"), &seeded)?;
                run(root, text(&undergird)?, &["seed", text(&seeded)?, "--rows", &many])?;
                fs::write(seeded.join("seeded"), "").map_err(|error| format!("{}: {error}", seeded.display()))?;
            }
            // It may be of an older build.
            capture(text(&undergird)?, &["migrate", text(&seeded)?])?;
            return Ok(Data { root: root.to_path_buf(), seeded, place, postgres: None, databases: Vec::new() });
        };
        let name = format!("undergird_bench_{}_{rows}", std::process::id());
        let mut data = Data {
            root: root.to_path_buf(),
            seeded: place.join("seeded"),
            place,
            postgres: Some((server.to_owned(), name.clone())),
            databases: Vec::new(),
        };
        copy_directory(&root.join("examples/blog"), &data.seeded)?;
        data.create_database(&name, "template0")?;
        let url = database_url(server, &name);
        let app = text(&data.seeded)?;
        for arguments in [&["keys", app][..], &["migrate", app], &["seed", app, "--rows", &many]] {
            run_with(&undergird, arguments, &[(STORE, &url)])?;
        }
        capture("psql", &["-qAt", "-d", &url, "-c", "VACUUM ANALYZE"])?;
        Ok(data)
    }

    fn sql(&self, statement: &str) -> Result<(), String> {
        let Some((server, _)) = &self.postgres else { return Ok(()) };
        capture("psql", &["-qAt", "-v", "ON_ERROR_STOP=1", "-d", server, "-c", statement]).map(|_| ())
    }

    fn create_database(&mut self, name: &str, template: &str) -> Result<(), String> {
        self.sql(&format!("CREATE DATABASE {name} TEMPLATE {template}"))?;
        self.databases.push(name.to_owned());
        Ok(())
    }

    /// The URL of a side's copy on PostgreSQL.
    pub(super) fn url(&self, side: &str) -> Option<String> {
        let (server, seeded) = self.postgres.as_ref()?;
        Some(database_url(server, &format!("{seeded}_{side}")))
    }

    /// A copy for this side alone.
    pub(super) fn own(&mut self, side: &Side) -> Result<Own, String> {
        let name = side.name.replace('-', "_");
        let app = (side.start == Start::Undergird).then(|| self.place.join(&side.name));
        if let Some(app) = &app {
            copy_directory(&self.seeded, app)?;
            copy_directory(&self.seeded.join("data"), &app.join("data"))?;
            for replace in &side.replace {
                let file = app.join(&replace.file);
                let failed = |error: std::io::Error| format!("{}: {error}", file.display());
                let text = fs::read_to_string(&file).map_err(failed)?;
                if !text.contains(&replace.from) {
                    return Err(format!("{}: \"{}\" is not there to be replaced", file.display(), replace.from));
                }
                fs::write(&file, text.replace(&replace.from, &replace.to)).map_err(failed)?;
            }
        }
        if let Some((server, seeded)) = self.postgres.clone() {
            let database = format!("{seeded}_{name}");
            self.create_database(&database, &seeded)?;
            return Ok(Own { app, database: database_url(&server, &database) });
        }
        let ours = self.seeded.join("data/main.db");
        let database = match (&app, side.start) {
            (Some(app), _) => app.join("data/main.db"),
            (None, Start::Limit) => {
                let copy = self.place.join("limit.db");
                fs::copy(&ours, &copy).map_err(|error| format!("copy the database: {error}"))?;
                copy
            }
            (None, _) => {
                let plain = self.place.join(format!("{name}.db"));
                let maker = self.root.join("bench/sides/plain.py");
                run(&self.root, "python3", &[text(&maker)?, text(&ours)?, text(&plain)?])?;
                plain
            }
        };
        Ok(Own { app, database: text(&database)?.to_owned() })
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        for name in &self.databases {
            if let Err(why) = self.sql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")) {
                eprintln!("{name} is left behind: {why}");
            }
        }
    }
}

impl Store {
    pub(super) fn name(self) -> &'static str {
        match self {
            Store::Sqlite => "SQLite",
            Store::Postgres => "PostgreSQL",
        }
    }
}

/// The URL of another database of a server.
fn database_url(server: &str, name: &str) -> String {
    let (base, options) = server.split_once('?').map_or((server, None), |(base, options)| (base, Some(options)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{}/{name}{options}", &base[..end])
}
