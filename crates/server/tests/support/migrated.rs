//! An application that commits its migrations, with a database of its own and the commands.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "each test file uses its part")]

use super::databases::{Database, On};
use super::{Folder, Running, said};
use serde_json::Value;

/// An application with its database.
pub struct App {
    pub folder: Folder,
    pub url: String,
    pub secret: String,
    pub publishable: String,
    pub store: &'static str,
    pub database: Database,
}

impl App {
    /// On a database of its own; `None` where there is no server.
    pub fn of(on: On, folder: Folder) -> Option<App> {
        let database = Database::new(on)?;
        let (code, keys, errors) = said(&folder, &["keys", "--json"], &[]);
        assert_eq!(code, 0, "{errors}");
        let keys: Value = serde_json::from_str(&keys).unwrap();
        let key = |named: &str| keys[named].as_str().unwrap().to_owned();
        let (secret, publishable) = (key("secret_key"), key("publishable_key"));
        let store = match on {
            On::Sqlite => "sqlite",
            On::Postgres | On::Walled => "postgres",
            On::Mysql => "mysql",
        };
        let url = database.url().to_owned();
        Some(App { folder, url, secret, publishable, store, database })
    }

    pub fn environment(&self) -> Vec<(&str, &str)> {
        if self.url.is_empty() { Vec::new() } else { vec![("UNDERGIRD_STORES_MAIN_URL", &self.url)] }
    }

    /// Runs a command that must end so, with these words in what it says. Gives all that it said.
    pub fn run(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let (found, out, errors) = said(&self.folder, arguments, &self.environment());
        let all = format!("{out}{errors}");
        assert_eq!(found, code, "{arguments:?} on {}\n{all}", self.store);
        for word in words {
            assert!(all.contains(word), "{arguments:?} on {}: no {word:?} in\n{all}", self.store);
        }
        all
    }

    pub fn migrate(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        self.run(&[&["migrate"], arguments].concat(), code, words)
    }

    pub fn plan(&self, name: &str) -> String {
        self.migrate(&["plan", "--name", name], 0, &["Wrote"])
    }

    pub fn serve(&self) -> Running {
        Running::start(&self.folder, "serve", &self.environment())
    }

    /// Changes a migration's steps.
    pub fn edit(&self, title: &str, from: &str, to: &str) {
        let file = format!("migrations/{title}/steps.toml");
        let text = self.folder.read(&file);
        assert!(text.contains(from), "no {from:?} in\n{text}");
        self.folder.write(&file, &text.replacen(from, to, 1));
    }
}
