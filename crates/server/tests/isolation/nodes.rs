//! An application on one or two nodes over one database, and a client of it that keeps its connection.
//!
//! Absent: what is asked of it.

use crate::second::Second;
use crate::support::databases::{Database, On};
use crate::support::{Folder, Running, said};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;
use tokio_postgres::NoTls;

const SETTINGS: &str = "name = \"isolation\"\n";
/// The head of a list: its last value, 0 for none. `last` has no index, as little as in any application.
const HEADS: &str = "key = [\"list\"]\n[fields]\nlist = { type = \"int\" }\nlast = { type = \"int\", default = 0 }\n";
/// What was appended, each with what was last before it.
const ITEMS: &str = "key = [\"list\", \"value\"]\n[fields]\nlist = { type = \"int\" }\nvalue = { type = \"int\" }\n\
                     prev = { type = \"int\" }\n";
const COUNTERS: &str = "key = [\"name\"]\n[fields]\nname = { type = \"text\", max = 20 }\nn = { type = \"int\" }\n";
/// Two collections with keys of the server's making, one referring to the other, with a rule and a check of their own rows.
const BILLS: &str = "[fields]\nname = { type = \"text\", max = 50 }\n";
const LINES: &str = "[fields]\nbill_id = { type = \"ref\", to = \"bills\", on_delete = \"cascade\" }\n\
                     text = { type = \"text\", max = 50 }\n[[checks]]\nrule = \"size(text) > 0\"\nmessage = \"Empty.\"\n";
/// People by name, so that SQL of a second connection can say who is meant without knowing how a store keeps their ids.
const PEOPLE: &str =
    "key = [\"name\"]\n[fields]\nname = { type = \"text\", max = 20 }\nuser_id = { type = \"uuid\" }\n";
/// Whose row it is says the row itself.
const NOTES: &str = "key = [\"slug\"]\n[fields]\nslug = { type = \"text\", max = 20 }\nowner_id = { type = \"uuid\" }\n\
                     title = { type = \"text\", max = 50 }\n[access]\nread = \"true\"\ncreate = \"owner_id == auth.id\"\n\
                     update = \"owner_id == auth.id\"\ndelete = \"owner_id == auth.id\"\n";
/// Whose row it is say rows of another collection.
const PROJECTS: &str = "key = [\"name\"]\n[fields]\nname = { type = \"text\", max = 20 }\n";
const MEMBERS: &str = "key = [\"project_id\", \"user_id\"]\n[fields]\nproject_id = { type = \"ref\", to = \"projects\" }\n\
                       user_id = { type = \"uuid\" }\n";
const DOCS: &str = "key = [\"slug\"]\n[fields]\nslug = { type = \"text\", max = 20 }\n\
                    project_id = { type = \"ref\", to = \"projects\" }\ntitle = { type = \"text\", max = 50 }\n[access]\nread = \"true\"\n\
                    create = \"project.members.exists(m, m.user_id == auth.id)\"\n\
                    update = \"project.members.exists(m, m.user_id == auth.id)\"\n\
                    delete = \"project.members.exists(m, m.user_id == auth.id)\"\n";

const MODELS: &[(&str, &str)] = &[
    ("heads", HEADS),
    ("items", ITEMS),
    ("counters", COUNTERS),
    ("bills", BILLS),
    ("lines", LINES),
    ("people", PEOPLE),
    ("notes", NOTES),
    ("projects", PROJECTS),
    ("members", MEMBERS),
    ("docs", DOCS),
];

/// The nodes with their database.
pub struct Nodes {
    // Gone in this order: the database last.
    running: Mutex<Vec<Running>>,
    addresses: Mutex<Vec<SocketAddr>>,
    folder: Folder,
    environment: Vec<(String, String)>,
    pub secret: String,
    publishable: String,
    on: On,
    database: Database,
}

impl Nodes {
    /// So many nodes on a store; `None` where that has no server.
    pub fn start(on: On, count: usize) -> Option<Nodes> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        folder.write("undergird.toml", SETTINGS);
        for (name, text) in MODELS {
            folder.write(&format!("models/{name}.toml"), text);
        }
        let keys: Json = serde_json::from_str(&said(&folder, &["keys", "--json"], &[]).1).unwrap();
        let key = |name: &str| keys[name].as_str().unwrap().to_owned();
        let mut environment = vec![
            ("UNDERGIRD_PUBLISHABLE_KEY".to_owned(), key("publishable_key")),
            ("UNDERGIRD_SECRET_KEY".to_owned(), key("secret_key")),
            ("UNDERGIRD_LOG".to_owned(), "error".to_owned()),
        ];
        if on != On::Sqlite {
            environment.push(("UNDERGIRD_STORE_MAIN_URL".to_owned(), database.url().to_owned()));
        }
        let (secret, publishable) = (key("secret_key"), key("publishable_key"));
        let (running, addresses) = Default::default();
        let nodes = Nodes { running, addresses, folder, environment, secret, publishable, on, database };
        for _ in 0..count {
            let running = nodes.run("dev");
            nodes.addresses.lock().unwrap().push(running.address);
            nodes.running.lock().unwrap().push(running);
        }
        Some(nodes)
    }

    fn run(&self, command: &str) -> Running {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Running::start(&self.folder, command, &environment)
    }

    /// Kills a node in the middle of whatever it does (SIGKILL) and starts another in its place.
    pub fn kill(&self, which: usize) {
        let mut killed = {
            let mut running = self.running.lock().unwrap();
            let which = which % running.len();
            let mut killed = running.remove(which);
            killed.child.kill().unwrap();
            killed
        };
        killed.child.wait().unwrap();
        let new = self.run("serve");
        let mut addresses = self.addresses.lock().unwrap();
        addresses.retain(|address| *address != killed.address);
        addresses.push(new.address);
        self.running.lock().unwrap().push(new);
    }

    /// Ends all connections of the nodes to PostgreSQL. How many there were.
    pub fn terminate_backends(&self) -> usize {
        let url = self.database.url().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (client, wire) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(wire);
            let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                         AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
            client.query(ended, &[]).await.unwrap().len()
        })
    }

    /// A client of the first node that answers, beginning with the one whose turn it is.
    pub fn connect(&self, turn: usize) -> Result<Http, String> {
        let addresses = self.addresses.lock().unwrap().clone();
        let mut why = String::new();
        for at in 0..addresses.len() {
            match Http::open(addresses[(turn + at) % addresses.len()], &self.secret) {
                Ok(client) => return Ok(client),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// The first node's client of a signed-in person, or of whoever has a token.
    pub fn connect_as(&self, token: &str) -> Http {
        let mut http = self.connect(0).unwrap();
        http.key = format!("{}\r\nAuthorization: Bearer {token}", self.publishable);
        http
    }

    /// A second connection to the nodes' database, past them.
    pub fn second(&self) -> Second {
        Second::open(self.on, self.database.url(), &self.folder.0)
    }

    /// The sum over the nodes of one of their figures.
    pub fn figure(&self, name: &str) -> u64 {
        let addresses = self.addresses.lock().unwrap().clone();
        addresses
            .iter()
            .map(|address| {
                let text = Http::open(*address, &self.secret).unwrap().ask("GET", "/metrics", &[], None).unwrap();
                let text = String::from_utf8(text.body).unwrap();
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("undergird_store_{name} ")));
                line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse::<f64>().unwrap() as u64
            })
            .sum()
    }

    /// Ends the nodes in good order.
    pub fn stop(self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap());
        for running in running {
            running.stop();
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // After a test that failed.
        if let Ok(running) = self.running.get_mut() {
            for mut running in running.drain(..) {
                let _ = running.child.kill();
                let _ = running.child.wait();
            }
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or(Json::Null)
    }

    /// Whether others came first in every run: nothing has happened.
    pub fn is_conflict(&self) -> bool {
        self.status == 409 && self.json()["code"] == "40001"
    }
}

/// One connection, kept.
pub struct Http {
    stream: BufReader<TcpStream>,
    key: String,
}

impl Http {
    fn open(address: SocketAddr, key: &str) -> std::io::Result<Http> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Http { stream: BufReader::new(stream), key: key.to_owned() })
    }

    /// One request. An error says that the answer is lost.
    pub fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> std::io::Result<Reply> {
        let body = body.map(Json::to_string).unwrap_or_default();
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\napikey: {}\r\n", self.key);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        self.stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        let mut next = |stream: &mut BufReader<TcpStream>| -> std::io::Result<String> {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            Ok(line.trim_end().to_owned())
        };
        let first = next(&mut self.stream)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
        let (mut length, mut etag) = (0, None);
        loop {
            let line = next(&mut self.stream)?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| std::io::ErrorKind::InvalidData)?,
                "transfer-encoding" => return Err(std::io::ErrorKind::Unsupported.into()),
                "etag" => etag = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Reply { status, etag, body })
    }
}
