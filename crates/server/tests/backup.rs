//! `backup` and `restore` by the real binary: under full load, killed at any moment, and given what is no backup.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use support::{Folder, Running, said, undergird};

/// An application whose one collection numbers its rows in the order of their commits.
fn log() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("models")).unwrap();
    folder.write("undergird.toml", "name = \"log\"\n");
    folder.write("models/entries.toml", "[fields]\nid = { type = \"int\" }\ntext = { type = \"text\" }\n");
    folder
}

fn secret(folder: &Folder) -> String {
    let (code, keys, errors) = said(folder, &["keys", "--json"], &[]);
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str::<serde_json::Value>(&keys).unwrap()["secret_key"].as_str().unwrap().to_owned()
}

/// Adds entries, and gives whether they were taken.
fn add(running: &Running, secret: &str, texts: &[&str]) -> bool {
    let rows: Vec<_> = texts.iter().map(|text| serde_json::json!({ "text": text })).collect();
    let body = serde_json::to_vec(&rows).unwrap();
    let headers = [("apikey", secret), ("Content-Type", "application/json")];
    running.send("POST", "/rest/v1/entries", &headers, &body).status == 201
}

/// The ids of all entries.
fn ids(database: &Path) -> Vec<i64> {
    let database = Connection::open(database).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut statement = database.prepare("SELECT id FROM entries ORDER BY id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_backup_under_load_is_a_prefix_of_the_commits_and_answers_after_a_restore() {
    let folder = log();
    let secret = secret(&folder);
    let running = Arc::new(Running::start(&folder, "dev", &[]));
    let padding = "x".repeat(2_000);
    for _ in 0..20 {
        assert!(add(&running, &secret, &[padding.as_str(); 100]));
    }
    let (ended, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(2_000)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (running, secret, ended, taken) = (running.clone(), secret.clone(), ended.clone(), taken.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    assert!(add(&running, &secret, &["a"]), "a write was refused while a backup was made");
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut sizes = Vec::new();
    for number in 0..3 {
        let least = taken.load(Ordering::SeqCst);
        let file = format!("{number}.tar");
        let (code, out, errors) = said(&folder, &["backup", &file], &[]);
        assert_eq!(code, 0, "{errors}");
        assert!(out.contains("checked"), "{out}");
        let most = taken.load(Ordering::SeqCst) + 4;
        let data = format!("restored-{number}");
        let (code, _, errors) = said(&folder, &["restore", &file, "--data", &data], &[]);
        assert_eq!(code, 0, "{errors}");
        let found = ids(&folder.0.join(data).join("main.db"));
        let count = i64::try_from(found.len()).unwrap();
        assert!(found.into_iter().eq(1..=count), "there are gaps: no state that ever was");
        assert!((least..=most).contains(&count), "{count} rows, and {least} to {most} were taken");
        sizes.push(count);
    }
    ended.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(sizes.is_sorted() && sizes[0] < sizes[2], "nothing was written meanwhile: {sizes:?}");
    Arc::into_inner(running).unwrap().stop();
    // The keys came with it, so it is the same application to its clients.
    let restored = Running::start(&folder, "serve", &[("UNDERGIRD_DATA", "restored-2")]);
    let headers = [("apikey", secret.as_str()), ("Prefer", "count=exact")];
    let answer = restored.send("GET", "/rest/v1/entries?select=id&limit=1", &headers, b"");
    assert_eq!(answer.header("Content-Range"), Some(format!("0-0/{}", sizes[2]).as_str()), "{}", answer.text());
    assert!(add(&restored, &secret, &["after"]));
    // Into what a server has, never.
    let (code, _, errors) = said(&folder, &["restore", "0.tar", "--data", "restored-2", "--replace"], &[]);
    assert_eq!(code, 1);
    assert!(errors.contains("in use by process"), "{errors}");
    restored.stop();
}

#[test]
fn what_is_no_backup_of_this_application_is_refused_by_name() {
    let folder = log();
    let running = Running::start(&folder, "dev", &[]);
    let secret = secret(&folder);
    assert!(add(&running, &secret, &["one", "two"]));
    running.stop();
    let check = |arguments: &[&str], environment: &[(&str, &str)], code: i32, words: &str| {
        let (found, out, errors) = said(&folder, arguments, environment);
        assert_eq!(found, code, "{arguments:?}\n{out}\n{errors}");
        assert!(format!("{out}{errors}").contains(words), "{arguments:?}: no {words:?} in\n{out}\n{errors}");
    };
    // The two, the first key that signs, and that it was made.
    let tables = 1 + undergird_engine::SYSTEM.len() + undergird_auth::SYSTEM.len();
    let all = format!("4 rows in {tables} tables");
    std::fs::create_dir(folder.0.join("backups")).unwrap();
    check(&["backup", "backups"], &[], 0, &all);
    let made = std::fs::read_dir(folder.0.join("backups")).unwrap().next().unwrap().unwrap().path();
    let name = made.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("log-") && name.ends_with(".undergird.tar"), "{name}");
    assert_eq!(std::fs::read_dir(folder.0.join("backups")).unwrap().count(), 1, "nothing else is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let made = made.to_str().unwrap();
    check(&["backup", made], &[], 1, "never overwrites");
    check(&["backup"], &[], 2, "FILE|DIR");
    check(&["backup", "x.tar", "nowhere"], &[], 2, "nowhere");
    check(&["backup", "nowhere/x.tar"], &[], 1, "nowhere/x.tar");
    check(&["restore", made], &[], 1, "--replace");
    check(&["restore", "undergird.toml", "--data", "new"], &[], 1, "undergird.toml");
    check(&["restore", "nowhere.tar", "--data", "new"], &[], 1, "nowhere.tar");
    let sound = std::fs::read(made).unwrap();
    for (octets, words) in [
        (sound[..sound.len() / 2].to_vec(), "cut off"),
        (sound[..sound.len() - 1].to_vec(), "cut off"),
        ([&sound[..], b"\0"].concat(), "follows"),
        (
            {
                let mut octets = sound.clone();
                octets[sound.len() / 2] ^= 1;
                octets
            },
            "damaged",
        ),
        (Vec::new(), "cut off"),
    ] {
        std::fs::write(folder.0.join("bad.tar"), octets).unwrap();
        check(&["restore", "bad.tar", "--data", "new"], &[], 1, words);
    }
    // What `tar` makes of it again is not what was written.
    let tar = |arguments: &[&str]| std::process::Command::new("tar").args(arguments).current_dir(&folder.0).output();
    if let Ok(listed) = tar(&["-tf", made]) {
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "manifest.json\nmain.db\nkeys.json\nchecksum.sha256\n");
        std::fs::create_dir(folder.0.join("loose")).unwrap();
        tar(&["-xf", made, "-C", "loose"]).unwrap();
        tar(&["-cf", "again.tar", "-C", "loose", "manifest.json", "main.db", "keys.json", "checksum.sha256"]).unwrap();
        check(&["restore", "again.tar", "--data", "new"], &[], 1, "again.tar");
    }
    assert!(!folder.0.join("new").exists(), "a refused backup left something");
    let other = [("UNDERGIRD_NAME", "another")];
    check(&["restore", made, "--data", "new"], &other, 1, "a backup of the application \"log\"");
    for (url, tool) in
        [("postgres://localhost/x", "pg_dump"), ("mysql://localhost/x", "mysqldump"), ("sqlite::memory:", "memory")]
    {
        let elsewhere = [("UNDERGIRD_STORES_MAIN_URL", url)];
        check(&["backup", "x.tar"], &elsewhere, 2, tool);
        check(&["restore", made], &elsewhere, 2, tool);
    }
    check(&["restore", made], &[("UNDERGIRD_STORES_MAIN_URL", "sqlite:main.db")], 2, "not in the data directory");
    check(&["restore", made, "--replace"], &[], 0, &all);
    assert_eq!(ids(&folder.0.join("data/main.db")), [1, 2]);
}

/// Kills a command with SIGKILL after a while; gives whether it had ended by itself.
fn killed(folder: &Folder, arguments: &[&str], after: Duration) -> bool {
    let command = undergird(arguments).current_dir(&folder.0).stdout(std::process::Stdio::null()).spawn();
    let mut child = command.unwrap();
    std::thread::sleep(after);
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

#[test]
fn killed_at_any_moment_there_is_the_old_or_the_new() {
    let folder = log();
    let running = Running::start(&folder, "dev", &[]);
    let secret = secret(&folder);
    let padding = "x".repeat(4_000);
    for _ in 0..10 {
        assert!(add(&running, &secret, &[padding.as_str(); 100]));
    }
    running.stop();
    assert_eq!(said(&folder, &["backup", "new.tar"], &[]).0, 0);
    // Backups: there is none, or a whole one.
    let (mut cut, mut whole) = (0, 0);
    for after in (0..).map(|number| Duration::from_millis(4 * number)) {
        let name = format!("{}.tar", after.as_millis());
        killed(&folder, &["backup", &name], after);
        match folder.0.join(&name).exists() {
            false => cut += 1,
            true => {
                let (code, _, errors) = said(&folder, &["restore", &name, "--data", &format!("of-{name}")], &[]);
                assert_eq!(code, 0, "{errors}");
                whole += 1;
            }
        }
        if whole == 3 {
            break;
        }
    }
    assert!(cut > 2, "{cut}");
    // The next one takes away what they left.
    assert_eq!(said(&folder, &["backup", "last.tar"], &[]).0, 0);
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("undergird-")), "{left:?}");
    // Restores: the old, of two entries, or the new, of a thousand.
    let small = log();
    let running = Running::start(&small, "dev", &[]);
    let key = self::secret(&small);
    assert!(add(&running, &key, &["one", "two"]));
    running.stop();
    assert_eq!(said(&small, &["backup", "old.tar"], &[]).0, 0);
    let new = folder.0.join("new.tar");
    let new = new.to_str().unwrap();
    let (mut old, mut restored) = (0, 0);
    for after in (0..).map(|number| Duration::from_millis(5 * number)) {
        let data = format!("data-{}", after.as_millis());
        assert_eq!(said(&small, &["restore", "old.tar", "--data", &data], &[]).0, 0);
        killed(&small, &["restore", new, "--replace", "--data", &data], after);
        let environment = [("UNDERGIRD_DATA", data.as_str())];
        let running = Running::start(&small, "serve", &environment);
        running.stop();
        match ids(&small.0.join(&data).join("main.db")).len() {
            2 => old += 1,
            1_000 => restored += 1,
            other => panic!("{other} entries after {after:?}"),
        }
        // The keys go with the rows.
        let keys = small.read(&format!("{data}/keys.json"));
        assert_eq!(keys.contains(&key), restored == 0, "{after:?}");
        if restored == 1 {
            break;
        }
    }
    assert!(old > 2, "{old}");
}
