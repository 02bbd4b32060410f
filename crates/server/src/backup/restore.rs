//! Puts a backup in the place of a data directory's contents, whole or not at all, wherever the process is killed.
//!
//! What comes is made ready in `restoring/` inside the data directory (which may be a mount point, so that it cannot be exchanged
//! itself). Renaming that to `restored/` is the moment at which the restore has happened: from then on whoever opens the data
//! directory first [finishes](finish) the exchange, which needs nothing but renames within one file system.
//!
//! Absent: what is printed, and where the data directory is.

use super::manifest::{DATABASE, FILES, KEYS, Manifest};
use super::{database, private, sync_folder};
use crate::data::DataDirectory;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// What is being made ready: of no meaning to anybody, and removed by the next restore.
const COMING: &str = "restoring";
/// What is ready and has to be put in place.
const READY: &str = "restored";
/// What a directory of old contents begins with.
const BEFORE: &str = "before-restore-";
/// What is to be done, among the contents.
const PLAN: &str = "plan.json";
/// That all that was there before is out of the way.
const CLEARED: &str = "cleared";
/// Greatest plan.
const PLAN_OCTETS_MAX: u64 = 64 * 1024;

/// What is to be done with what is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// Where the database belongs in the data directory, name by name.
    database: Vec<String>,
    /// Where what was there before goes.
    before: String,
    /// Whether keys come.
    keys: bool,
    /// Whether files come.
    files: bool,
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// What was in the backup.
    pub manifest: Manifest,
    /// Where what was there before is now, if there was anything.
    pub before: Option<PathBuf>,
}

/// What is to be restored, and where.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The backup.
    pub archive: &'a Path,
    /// The name of the application that it must be of.
    pub application: &'a str,
    /// Where the database is in the data directory.
    pub database: &'a Path,
    /// Whether a data directory that is not empty may be replaced.
    pub replace: bool,
}

/// Restores a backup into a data directory.
///
/// # Errors
/// A sentence. Everything is as it was then.
pub fn restore(data: &DataDirectory, wanted: Wanted<'_>) -> Result<Restored, String> {
    restore_until(data, wanted, &mut |_| Ok(()))
}

/// The same; `step` is told of each change to the disk before it is made, and may end it there as a kill would.
fn restore_until(data: &DataDirectory, wanted: Wanted<'_>, step: Step<'_>) -> Result<Restored, String> {
    let root = data.path();
    let fail = |error: io::Error| format!("cannot restore into {}: {error}", root.display());
    if !wanted.replace && !is_empty(root, wanted.database).map_err(fail)? {
        return Err(format!(
            "{} is not empty: --replace puts the backup in the place of what is there, and keeps that beside it",
            root.display()
        ));
    }
    let database = names(wanted.database)
        .ok_or_else(|| format!("the database {} is not in the data directory", wanted.database.display()))?;
    let coming = root.join(COMING);
    clear(&coming).map_err(fail)?;
    let made = unpack(&coming, wanted, step).and_then(|manifest| {
        let before = free_name(root);
        let plan = Plan { database, before, keys: coming.join(KEYS).is_file(), files: coming.join(FILES).is_dir() };
        commit(root, &coming, &plan, step).map_err(fail)?;
        Ok((manifest, plan.before))
    });
    let (manifest, before) = match made {
        Ok(made) => made,
        Err(why) => {
            let _ = clear(&coming);
            // The moment came, and what failed came after it.
            let after = if is_pending(root) { "; the next command on the data directory ends the restore" } else { "" };
            return Err(why + after);
        }
    };
    finish_until(root, step).map_err(|error| {
        format!(
            "the backup is restored but not yet in its place: {error}; the next command on {} ends it",
            root.display()
        )
    })?;
    let before = Some(root.join(before)).filter(|before| before.is_dir());
    Ok(Restored { manifest, before })
}

/// Ends a restore that was killed after its moment. For whoever has just taken the data directory.
///
/// # Errors
/// The disk fails; nothing is lost, and it can be tried again.
pub(crate) fn finish(root: &Path) -> io::Result<()> {
    finish_until(root, &mut |_| Ok(()))
}

/// Whether there is a restore to be [finished](finish).
pub(crate) fn is_pending(root: &Path) -> bool {
    root.join(READY).join(PLAN).is_file()
}

/// Called with a word for each change before it is made.
type Step<'a> = &'a mut dyn FnMut(&str) -> io::Result<()>;

fn unpack(coming: &Path, wanted: Wanted<'_>, step: Step<'_>) -> Result<Manifest, String> {
    let fail = |path: &Path, error: io::Error| format!("cannot write {}: {error}", path.display());
    step("unpack").map_err(|error| fail(coming, error))?;
    make_folder(coming).map_err(|error| fail(coming, error))?;
    let mut open: Option<(String, File)> = None;
    let begin = |manifest: &Manifest| match manifest.application == wanted.application {
        true => Ok(()),
        false => Err(format!(
            "{} is a backup of the application \"{}\", and this is \"{}\"",
            wanted.archive.display(),
            manifest.application,
            wanted.application
        )),
    };
    let manifest = super::read(wanted.archive, begin, |entry, octets| {
        if open.as_ref().is_none_or(|(path, _)| *path != entry.path) {
            step("unpack a file")?;
            let path = Manifest::place(coming, entry);
            if let Some(folder) = path.parent() {
                make_folders(folder, coming)?;
            }
            let mut options = OpenOptions::new();
            open = Some((entry.path.clone(), private(options.write(true).create_new(true)).open(path)?));
        }
        let Some((_, file)) = &mut open else { return Ok(()) };
        match octets.is_empty() {
            true => file.sync_all(),
            false => file.write_all(octets),
        }
    })?;
    let place = coming.join(DATABASE);
    let contents = database::inspect(&place)
        .map_err(|error| format!("{} holds a database that is not sound: {error}", wanted.archive.display()))?;
    let schema = contents.schema.as_ref().map(undergird_store::schema::Applied::fingerprint);
    if schema != manifest.schema || contents.rows.iter().cloned().ne(manifest.rows.clone()) {
        return Err(format!("{} does not hold what its manifest says", wanted.archive.display()));
    }
    sync_all_folders(coming).map_err(|error| fail(coming, error))?;
    Ok(manifest)
}

/// The moment.
fn commit(root: &Path, coming: &Path, plan: &Plan, step: Step<'_>) -> io::Result<()> {
    step("write the plan")?;
    let mut options = OpenOptions::new();
    let mut file = private(options.write(true).create_new(true)).open(coming.join(PLAN))?;
    serde_json::to_writer(&mut file, plan)?;
    file.sync_all()?;
    sync_folder(coming)?;
    step("commit")?;
    fs::rename(coming, root.join(READY))?;
    sync_folder(root)
}

fn finish_until(root: &Path, step: Step<'_>) -> io::Result<()> {
    let ready = root.join(READY);
    if !is_pending(root) {
        // Its plan goes last but for the directory itself.
        return clear(&ready);
    }
    let plan = read_plan(&ready)?;
    let database: PathBuf = plan.database.iter().collect();
    let before = root.join(&plan.before);
    if !ready.join(CLEARED).exists() {
        let mut old: Vec<PathBuf> = Vec::new();
        for suffix in ["-wal", "-shm", "-journal", ""] {
            let mut name = database.clone().into_os_string();
            name.push(suffix);
            old.push(name.into());
        }
        old.push(FILES.into());
        if plan.keys {
            old.push(KEYS.into());
        }
        for name in old {
            if fs::symlink_metadata(root.join(&name)).is_ok() {
                step("put the old aside")?;
                exchange(&root.join(&name), &before.join(&name), root)?;
            }
        }
        step("note that the old is aside")?;
        File::create(ready.join(CLEARED))?.sync_all()?;
        sync_folder(&ready)?;
    }
    let keys = plan.keys.then(|| (PathBuf::from(KEYS), PathBuf::from(KEYS)));
    let files = plan.files.then(|| (PathBuf::from(FILES), PathBuf::from(FILES)));
    // The database last: with it everything else is there.
    for (from, to) in keys.into_iter().chain(files).chain([(PathBuf::from(DATABASE), database)]) {
        if fs::symlink_metadata(ready.join(&from)).is_ok() {
            step("put the new in place")?;
            exchange(&ready.join(from), &root.join(to), root)?;
        }
    }
    step("remove the plan")?;
    fs::remove_file(ready.join(PLAN))?;
    sync_folder(&ready)?;
    step("remove what is left")?;
    clear(&ready)?;
    sync_folder(root)
}

/// Renames within the data directory, making the directories on the way.
fn exchange(from: &Path, to: &Path, root: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        make_folders(folder, root)?;
    }
    fs::rename(from, to)?;
    for changed in [from, to] {
        sync_folder(changed.parent().unwrap_or(root))?;
    }
    Ok(())
}

fn read_plan(ready: &Path) -> io::Result<Plan> {
    let path = ready.join(PLAN);
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    if fs::metadata(&path)?.len() > PLAN_OCTETS_MAX {
        return Err(wrong("too large".into()));
    }
    let plan: Plan = serde_json::from_slice(&fs::read(&path)?).map_err(|error| wrong(error.to_string()))?;
    let plain = |name: &str| names(Path::new(name)).is_some_and(|names| names == [name]);
    if plan.database.is_empty() || !plan.database.iter().all(|name| plain(name)) || !plain(&plan.before) {
        return Err(wrong("it names what is not in the data directory".into()));
    }
    Ok(plan)
}

/// A relative path, name by name; `None` when it leads elsewhere or is not UTF-8.
fn names(path: &Path) -> Option<Vec<String>> {
    let names = path.components().map(|component| match component {
        Component::Normal(name) => name.to_str().map(str::to_owned),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

/// Whether nothing of an application's is in a data directory.
fn is_empty(root: &Path, database: &Path) -> io::Result<bool> {
    if fs::symlink_metadata(root.join(database)).is_ok() {
        return Ok(false);
    }
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        // The root of a volume may have the file system's own directory.
        if !matches!(&*name, "lock" | COMING | "lost+found") && !name.starts_with(BEFORE) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A name for what was there before, which nothing has.
fn free_name(root: &Path) -> String {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let name = |number: u32| if number == 0 { format!("{BEFORE}{stamp}") } else { format!("{BEFORE}{stamp}-{number}") };
    (0..).map(name).find(|name| fs::symlink_metadata(root.join(name)).is_err()).unwrap_or_else(|| name(0))
}

/// Removes a directory with all that is in it, where it is.
fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_folders(folder: &Path, root: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|_| folder != root) {
        make_folders(parent, root)?;
    }
    make_folder(folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Syncs a directory and all below it, so that their names last.
fn sync_all_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
