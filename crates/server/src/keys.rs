//! Where the application's API keys are kept: in the environment, else in `keys.json` in the data directory, made on first use.

use crate::config::Environment;
use crate::data::private;
use ring::hkdf::{HKDF_SHA256, Salt};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use undergird_api::rest::cursor::CursorKey;
use undergird_auth::Keys;

const PUBLISHABLE: &str = "UNDERGIRD_PUBLISHABLE_KEY";
const SECRET: &str = "UNDERGIRD_SECRET_KEY";

/// Why there are no keys.
#[derive(Debug)]
pub enum KeysProblem {
    /// What was given is not good.
    Wrong(String),
    /// They could not be read, made or kept.
    Failed(String),
}

/// The keys: both from the environment, or else kept ones, or else, when `make` says so, fresh ones that are kept from now on.
///
/// # Errors
/// See [`KeysProblem`].
pub fn load(data: &Path, environment: &Environment, make: bool) -> Result<Keys, KeysProblem> {
    let given = |name| environment.get(name).filter(|value| !value.is_empty());
    match (given(PUBLISHABLE), given(SECRET)) {
        (Some(publishable), Some(secret)) => {
            Keys::parse(publishable, secret).map_err(|error| KeysProblem::Wrong(error.to_string()))
        }
        (None, None) => kept(data, make),
        (Some(_), None) => {
            Err(KeysProblem::Wrong(format!("{PUBLISHABLE} is set, {SECRET} is not: set both or neither")))
        }
        (None, Some(_)) => {
            Err(KeysProblem::Wrong(format!("{SECRET} is set, {PUBLISHABLE} is not: set both or neither")))
        }
    }
}

/// The key that seals cursors: derived from the secret key, so that all nodes of an application have the same.
pub fn cursor_key(keys: &Keys) -> Option<CursorKey> {
    let extracted = Salt::new(HKDF_SHA256, b"undergird").extract(keys.secret.expose().as_bytes());
    let mut octets = [0u8; 32];
    extracted.expand(&[b"cursors, 1"], HKDF_SHA256).and_then(|expanded| expanded.fill(&mut octets)).ok()?;
    CursorKey::new(&octets)
}

/// As JSON, for `keys --json` and for the file.
pub fn to_json(keys: &Keys) -> serde_json::Value {
    serde_json::json!({ "publishable_key": keys.publishable, "secret_key": keys.secret.expose() })
}

fn kept(data: &Path, make: bool) -> Result<Keys, KeysProblem> {
    let path = data.join("keys.json");
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => return fresh(&path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(KeysProblem::Wrong(format!(
                "there are no keys: set {PUBLISHABLE} and {SECRET}, or let `undergird keys` make them in {shown}"
            )));
        }
        Err(error) => return Err(KeysProblem::Failed(format!("cannot read {shown}: {error}"))),
    };
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| KeysProblem::Wrong(format!("{shown}: {error}")))?;
    let member = |name: &str| json.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    Keys::parse(member("publishable_key"), member("secret_key"))
        .map_err(|error| KeysProblem::Wrong(format!("{shown}: {error}")))
}

fn fresh(path: &Path) -> Result<Keys, KeysProblem> {
    let keys = Keys::generate().map_err(|error| KeysProblem::Failed(error.to_string()))?;
    let fail = |error: std::io::Error| KeysProblem::Failed(format!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    let mut options = OpenOptions::new();
    let mut file = private(options.write(true).create_new(true)).open(path).map_err(fail)?;
    writeln!(file, "{:#}", to_json(&keys)).and_then(|()| file.sync_all()).map_err(fail)?;
    Ok(keys)
}
