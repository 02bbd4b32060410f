//! A restore that ends at each of its steps, as by a kill: whoever opens the directory next finds all of the old or all of the new.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::backup::{Origin, make};
use std::collections::BTreeMap;
use undergird_store::{Store, schema};
use undergird_store_sqlite::{Options, SqliteStore};

/// A directory that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("undergird-restore-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A database of a schema.
async fn database(path: &Path, definition: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let sources = [
        undergird_model::Source { name: "undergird.toml".into(), text: "".into() },
        undergird_model::Source { name: "models/things.toml".into(), text: definition.into() },
    ];
    let model = undergird_model::definition::check(&sources, &[]).0.unwrap();
    let store = SqliteStore::open(path.to_str().unwrap(), &Options::default()).unwrap();
    let wanted = schema::wanted(&model);
    store.migrate(&schema::steps(None, &wanted), &wanted).await.unwrap();
    store.close().await;
}

/// All files below a directory with their contents, apart from what a restore keeps aside and the lock.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if name == "lock" || name.starts_with(BEFORE) {
                continue;
            }
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), root, into),
                false => drop(into.insert(name, fs::read(entry.path()).unwrap())),
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn copy_all(from: &Path, to: &Path) {
    for (name, octets) in tree(from) {
        fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        fs::write(to.join(name), octets).unwrap();
    }
}

#[tokio::test]
async fn wherever_it_ends_there_is_all_of_the_old_or_all_of_the_new() {
    let folder = Folder::new("steps");
    let (from, old) = (folder.0.join("from"), folder.0.join("old"));
    database(&from.join("db/main.db"), "[fields]\nname = { type = \"text\" }\n").await;
    fs::create_dir_all(from.join("files/a/b")).unwrap();
    fs::write(from.join("files/a/b/c.png"), b"new picture").unwrap();
    fs::write(from.join("files/empty"), b"").unwrap();
    fs::write(from.join("keys.json"), b"new keys").unwrap();
    let archive = folder.0.join("backup.tar");
    let origin = Origin { application: "app", database: &from.join("db/main.db"), data: &from };
    let manifest = make(origin, &archive).unwrap();
    assert_eq!(
        manifest.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["main.db", "keys.json", "files/a/b/c.png", "files/empty"]
    );
    database(&old.join("db/main.db"), "[fields]\nother = { type = \"int\" }\n").await;
    fs::write(old.join("db/main.db-wal"), b"").unwrap();
    fs::create_dir_all(old.join("files/a")).unwrap();
    fs::write(old.join("files/a/old.png"), b"old picture").unwrap();
    fs::write(old.join("keys.json"), b"old keys").unwrap();
    fs::write(old.join("notes.txt"), b"somebody's own").unwrap();
    let before = tree(&old);
    let place = Path::new("db/main.db");
    let wanted = Wanted { archive: &archive, application: "app", database: place, replace: true };
    // Without an end: how many steps there are, and what comes out.
    let whole = folder.0.join("whole");
    copy_all(&old, &whole);
    let mut steps = 0;
    let data = DataDirectory::open(&whole).unwrap();
    let mut count = |_: &str| {
        steps += 1;
        Ok(())
    };
    let restored = restore_until(&data, wanted, &mut count).unwrap();
    drop(data);
    let after = tree(&whole);
    assert_eq!(after["keys.json"], b"new keys");
    assert_eq!(after["files/a/b/c.png"], b"new picture");
    assert_eq!(after["notes.txt"], b"somebody's own");
    assert!(!after.contains_key("files/a/old.png") && after["db/main.db"] != before["db/main.db"]);
    let kept = tree(&restored.before.unwrap());
    assert_eq!((&kept["db/main.db"], &kept["keys.json"][..]), (&before["db/main.db"], &b"old keys"[..]));
    assert_eq!(kept["files/a/old.png"], b"old picture");
    assert!(steps > 12, "{steps}");
    let (mut were_old, mut were_new) = (0, 0);
    for end in 0..steps {
        // A kill while it is put in place, and one while that is being ended.
        for again in 0..4 {
            let path = folder.0.join(format!("{end}-{again}"));
            copy_all(&old, &path);
            let data = DataDirectory::open(&path).unwrap();
            let mut left = end;
            let mut kill = |_: &str| match left {
                0 => Err(io::Error::other("killed")),
                _ => {
                    left -= 1;
                    Ok(())
                }
            };
            restore_until(&data, wanted, &mut kill).unwrap_err();
            drop(data);
            let mut left = again;
            let _ = finish_until(&path, &mut |_| match left {
                0 => Err(io::Error::other("killed again")),
                _ => {
                    left -= 1;
                    Ok(())
                }
            });
            assert!(!is_pending(&path) || DataDirectory::beside(&path).is_err());
            drop(DataDirectory::open(&path).unwrap());
            let found = tree(&path);
            match found == before {
                true => were_old += 1,
                false => {
                    assert!(found == after, "step {end}, {again}: {:?}", found.keys().collect::<Vec<_>>());
                    were_new += 1;
                }
            }
        }
    }
    assert!(were_old >= 12 && were_new >= 24, "{were_old} {were_new}");
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let folder = Folder::new("refused");
    let (from, to) = (folder.0.join("from"), folder.0.join("to"));
    database(&from.join("main.db"), "[fields]\nname = { type = \"text\" }\n").await;
    let archive = folder.0.join("backup.tar");
    let origin = Origin { application: "app", database: &from.join("main.db"), data: &from };
    make(origin, &archive).unwrap();
    assert!(make(origin, &archive).unwrap_err().contains("never overwrites"));
    #[cfg(unix)]
    {
        fs::create_dir(from.join("files")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("files/x")).unwrap();
        assert!(make(origin, &folder.0.join("links.tar")).unwrap_err().contains("link"));
    }
    let data = DataDirectory::open(&to).unwrap();
    let check = |application: &str, archive: &Path, replace: bool, expected: &str| {
        let seen = tree(&to);
        let wanted = Wanted { archive, application, database: Path::new("main.db"), replace };
        let told = restore(&data, wanted).map_or_else(|why| why, |_| "restored".into());
        assert!(told.contains(expected), "{told}");
        assert!(expected == "restored" || tree(&to) == seen, "{expected}");
    };
    check("other", &archive, false, "a backup of the application \"app\"");
    check("app", &folder.0.join("nowhere.tar"), false, "cannot read");
    let outside = Wanted { archive: &archive, application: "app", database: Path::new("../main.db"), replace: false };
    assert!(restore(&data, outside).unwrap_err().contains("not in the data directory"));
    let sound = fs::read(&archive).unwrap();
    let edited = folder.0.join("edited.tar");
    for at in (0..sound.len()).step_by(997) {
        let mut octets = sound.clone();
        octets[at] ^= 4;
        fs::write(&edited, octets).unwrap();
        check("app", &edited, false, "");
        fs::write(&edited, &sound[..at]).unwrap();
        check("app", &edited, false, "cut off");
        assert!(tree(&to).is_empty());
    }
    // One that is whole by its checksums, and not what it says: as somebody would make it on purpose.
    for (path, text, expected) in [
        ("main.db", "no database at all", "not sound"),
        ("files/../../evil", "x", "which no backup has"),
        ("/etc/evil", "x", "which no backup has"),
    ] {
        let manifest = Manifest {
            format: 1,
            undergird: String::new(),
            application: "app".into(),
            made_at: String::new(),
            schema: None,
            rows: BTreeMap::new(),
            files: vec![crate::backup::Entry {
                path: path.into(),
                bytes: text.len() as u64,
                sha256: super::super::archive::copy(&mut text.as_bytes(), text.len() as u64, |_| Ok(())).unwrap(),
            }],
        };
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let mut writer = super::super::archive::Writer::new(File::create(&edited).unwrap(), 0);
        writer.add("manifest.json", manifest.len() as u64, &mut manifest.as_slice()).unwrap();
        writer.add(path.trim_start_matches('/'), text.len() as u64, &mut text.as_bytes()).unwrap();
        writer.finish().unwrap();
        check("app", &edited, false, expected);
    }
    assert!(!folder.0.join("evil").exists());
    check("app", &archive, false, "restored");
    check("app", &archive, false, "--replace");
    check("app", &archive, true, "restored");
}
