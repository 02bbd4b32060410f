//! What a backup says about itself: its first entry. Nothing in the archive is anything but what stands here, under one of a few names.
//!
//! Absent: reading and writing archives.

use super::archive::NAME_OCTETS_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the first entry.
pub(super) const NAME: &str = "manifest.json";
/// Where the database is in an archive.
pub(super) const DATABASE: &str = "main.db";
/// Where the keys are, when they are the data directory's and not the environment's.
pub(super) const KEYS: &str = "keys.json";
/// Below which the application's files are.
pub(super) const FILES: &str = "files";
/// Version of the form that this build writes and reads.
pub(super) const FORMAT: u32 = 1;
/// Greatest manifest.
pub(super) const OCTETS_MAX: u64 = 256 << 20;
/// Most entries.
pub(super) const FILES_MAX: usize = 1_000_000;

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub format: u32,
    /// The version of Undergird that made it.
    pub undergird: String,
    /// Whose data: `name` in `undergird.toml`.
    pub application: String,
    /// When it began, as `2026-11-23T04:30:12Z`.
    pub made_at: String,
    /// Fingerprint of the schema that the database was given; null when it never got one.
    pub schema: Option<String>,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Everything else that is in the archive, in this order.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `main.db`, `keys.json` or `files/…`.
    pub path: String,
    /// Its size in octets.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence: it is a newer Undergird's, or none.
    pub(super) fn parse(text: &[u8]) -> Result<Manifest, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let none = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
        let Format { format } = serde_json::from_slice(text).map_err(none)?;
        if format != FORMAT {
            return Err(format!(
                "it has form {format}, and this build of Undergird reads form {FORMAT}: restore it with the version that made it, \
                 or a newer one"
            ));
        }
        let manifest: Manifest = serde_json::from_slice(text).map_err(none)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.files.len() > FILES_MAX {
            return Err(format!("its manifest lists more than {FILES_MAX} files"));
        }
        let mut seen = rustc_hash::FxHashSet::default();
        for entry in &self.files {
            if !is_name(&entry.path) {
                return Err(format!("its manifest has a file of the name {:?}, which no backup has", entry.path));
            }
            if !seen.insert(entry.path.as_str()) {
                return Err(format!("its manifest has {:?} twice", entry.path));
            }
        }
        match seen.contains(DATABASE) {
            true => Ok(()),
            false => Err("there is no database in it".into()),
        }
    }

    /// Where an entry belongs below a directory. Only for names that were [checked](Manifest::parse), so it is always below it.
    pub(super) fn place(directory: &Path, entry: &Entry) -> PathBuf {
        entry.path.split('/').fold(directory.to_owned(), |path, part| path.join(part))
    }
}

/// Whether an entry may have this name: one of ours, or plain names below `files/`.
pub(super) fn is_name(path: &str) -> bool {
    if path == DATABASE || path == KEYS {
        return true;
    }
    let Some(rest) = path.strip_prefix("files/") else { return false };
    path.len() <= NAME_OCTETS_MAX && rest.split('/').all(is_plain)
}

/// A name that leads nowhere but to itself, on any system.
fn is_plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.chars().any(|char| char.is_control() || matches!(char, '\\' | ':'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (name, expected) in [
            ("main.db", true),
            ("keys.json", true),
            ("files/a", true),
            ("files/ab/cd/ä b.png", true),
            ("files/..x", true),
            ("files", false),
            ("files/", false),
            ("files//a", false),
            ("files/../main.db", false),
            ("files/a/..", false),
            ("files/./a", false),
            ("../main.db", false),
            ("/etc/passwd", false),
            ("files/C:\\x", false),
            ("files/a\u{0}b", false),
            ("main.db-wal", false),
            ("lock", false),
            ("", false),
        ] {
            assert_eq!(is_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn manifests_that_are_not_taken() {
        let entry = |path: &str| Entry { path: path.into(), bytes: 0, sha256: String::new() };
        let manifest = |files: &[&str]| Manifest {
            format: FORMAT,
            undergird: "0.1.0".into(),
            application: "blog".into(),
            made_at: String::new(),
            schema: None,
            rows: BTreeMap::new(),
            files: files.iter().map(|path| entry(path)).collect(),
        };
        let check = |manifest: &Manifest, expected: &str| {
            let told =
                Manifest::parse(&serde_json::to_vec(manifest).unwrap()).map_or_else(|why| why, |_| "taken".into());
            assert!(told.contains(expected), "{told}");
        };
        check(&manifest(&["main.db", "files/x"]), "taken");
        check(&manifest(&[]), "no database");
        check(&manifest(&["main.db", "main.db"]), "twice");
        check(&manifest(&["main.db", "files/../../x"]), "which no backup has");
        check(&Manifest { format: 2, ..manifest(&["main.db"]) }, "form 2");
        assert!(Manifest::parse(b"{\"format\":2,\"new\":1}").unwrap_err().contains("form 2"));
        assert!(Manifest::parse(b"PK").is_err());
    }
}
