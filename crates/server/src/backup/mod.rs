//! Backups of an application whose database is in a file: made while a server runs, checked after they are written, and put back whole
//! or not at all ([`restore`]).
//!
//! Absent: SQL (the store's), what is printed (the commands'), and databases on servers, which have tools of their own.

mod archive;
mod manifest;
pub mod restore;

pub use manifest::{Entry, Manifest};

use crate::data::private;
use archive::{Fault, Reader, Writer};
use manifest::{DATABASE, FILES, FILES_MAX, FORMAT, KEYS, NAME, OCTETS_MAX};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use undergird_store_sqlite::backup as database;

/// What a backup's file is called at least.
pub const EXTENSION: &str = "undergird.tar";
/// What an archive is called while it is written; nobody takes it for a backup.
const PARTIAL: &str = ".undergird-partial";
/// What the copy of the database is called until it is in the archive.
const COPY: &str = ".undergird-copy";
/// Deepest directory below `files/`.
const DEPTH_MAX: usize = 32;

/// What a backup is made of.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Its application's name.
    pub application: &'a str,
    /// The database's file.
    pub database: &'a Path,
    /// The data directory, with keys and files.
    pub data: &'a Path,
}

/// Makes a backup and checks it. The file at `target` is there when it is whole, and not before.
///
/// # Errors
/// A sentence. Nothing is left behind then.
pub fn make(origin: Origin<'_>, target: &Path) -> Result<Manifest, String> {
    let shown = target.display();
    if fs::symlink_metadata(target).is_ok() {
        return Err(format!("{shown} is there already: a backup never overwrites one"));
    }
    if !origin.database.is_file() {
        return Err(format!(
            "there is no database at {}: `undergird migrate` or `dev` makes it",
            origin.database.display()
        ));
    }
    let work = Work::begin(target)?;
    let made_at = jiff::Timestamp::now();
    database::copy(origin.database, &work.copy).map_err(|error| format!("cannot copy the database: {error}"))?;
    restrict(&work.copy).map_err(|error| format!("{}: {error}", work.copy.display()))?;
    let contents = database::inspect(&work.copy).map_err(|error| format!("the database is not sound: {error}"))?;
    // After the database: what its rows name was there before they were, so it is in the backup.
    let mut parts = vec![(DATABASE.to_owned(), work.copy.clone())];
    let keys = origin.data.join(KEYS);
    if keys.is_file() {
        parts.push((KEYS.to_owned(), keys));
    }
    list(&origin.data.join(FILES), FILES, 0, &mut parts)?;
    let files = parts.iter().map(|(name, path)| described(name, path)).collect::<Result<Vec<_>, _>>()?;
    let manifest = Manifest {
        format: FORMAT,
        undergird: env!("CARGO_PKG_VERSION").into(),
        application: origin.application.into(),
        made_at: made_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        schema: contents.schema.as_ref().map(undergird_store::schema::Applied::fingerprint),
        rows: contents.rows.into_iter().collect(),
        files,
    };
    let time = u64::try_from(made_at.as_second()).unwrap_or(0);
    let parts: Vec<&Path> = parts.iter().map(|(_, path)| path.as_path()).collect();
    write(&work.file, time, &manifest, &parts).map_err(|why| format!("cannot write {shown}: {why}"))?;
    let written = verify(&work.partial).map_err(|why| format!("{shown} was not written as it should be: {why}"))?;
    if written != manifest {
        return Err(format!("{shown} was not written as it should be: its manifest is another"));
    }
    work.publish(target).map_err(|error| format!("cannot write {shown}: {error}"))?;
    Ok(manifest)
}

/// Reads a backup from its first octet to its last.
///
/// # Errors
/// A sentence: it is damaged, truncated, edited, none, or a newer Undergird's.
pub fn verify(path: &Path) -> Result<Manifest, String> {
    read(path, |_| Ok(()), |_, _| Ok(()))
}

/// Reads a backup: `begin` gets its manifest before anything else is done, `each` every entry's octets, piece by piece, the last of
/// them empty.
fn read(
    path: &Path,
    begin: impl FnOnce(&Manifest) -> Result<(), String>,
    mut each: impl FnMut(&Entry, &[u8]) -> std::io::Result<()>,
) -> Result<Manifest, String> {
    let file = File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let told = |fault: Fault| match fault {
        Fault::Io(error) => format!("cannot read {}: {error}", path.display()),
        Fault::Truncated => format!("{} is cut off: it is not a whole backup", path.display()),
        Fault::Damaged(why) => format!("{} is damaged, edited or no backup: {why}", path.display()),
    };
    let wrong = |why: &str| told(Fault::Damaged(why.into()));
    let mut reader = Reader::new(BufReader::with_capacity(1 << 17, file));
    let (name, size) = reader.next().map_err(told)?;
    if name != NAME || size > OCTETS_MAX {
        return Err(wrong(&format!("it begins with {name:?}, not with a manifest")));
    }
    let mut text = Vec::new();
    let mut keep = |octets: &[u8]| {
        text.extend_from_slice(octets);
        Ok(())
    };
    reader.take(size, &mut keep).map_err(told)?;
    let manifest = Manifest::parse(&text).map_err(|why| format!("{} cannot be restored: {why}", path.display()))?;
    begin(&manifest)?;
    for entry in &manifest.files {
        let (name, size) = reader.next().map_err(told)?;
        if name != entry.path || size != entry.bytes {
            return Err(wrong(&format!("there is {name:?} where its manifest has {:?}", entry.path)));
        }
        let digest = reader.take(size, |octets| each(entry, octets)).map_err(told)?;
        each(entry, &[]).map_err(|error| told(Fault::Io(error)))?;
        if digest != entry.sha256 {
            return Err(wrong(&format!("{} is not as its manifest says", entry.path)));
        }
    }
    reader.finish().map_err(told)?;
    Ok(manifest)
}

/// The two files of a backup in the making, and the lock that says that somebody is making it. Gone when dropped.
struct Work {
    partial: PathBuf,
    copy: PathBuf,
    file: File,
}

impl Work {
    fn begin(target: &Path) -> Result<Work, String> {
        let name = target.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("{} is no name of a file", target.display()))?;
        let folder = folder_of(target);
        sweep(&folder);
        let partial = folder.join(format!(".{name}{PARTIAL}"));
        let fail = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", target.display());
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = private(options).open(&partial).map_err(|error| fail(&error))?;
        file.try_lock().map_err(|_| fail(&"another process makes this very backup"))?;
        file.set_len(0).map_err(|error| fail(&error))?;
        let work = Work { partial, copy: folder.join(format!(".{name}{COPY}")), file };
        remove(&work.copy).map_err(|error| fail(&error))?;
        Ok(work)
    }

    /// Gives the whole archive its name, for good.
    fn publish(self, target: &Path) -> std::io::Result<()> {
        // Not `rename`, which would silently replace what came there meanwhile.
        fs::hard_link(&self.partial, target).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Err(error),
            // A file system without links.
            _ => fs::rename(&self.partial, target),
        })?;
        sync_folder(&folder_of(target))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = remove(&self.copy);
        let _ = remove(&self.partial);
    }
}

/// Removes what killed backups left in a directory. Those that are being made are locked.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(PARTIAL).filter(|stem| stem.starts_with('.')) else { continue };
        let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            let copy = folder.join(format!("{stem}{COPY}"));
            let _ = remove(&copy).and_then(|()| remove(&entry.path()));
        }
    }
}

/// Removes a file and what SQLite keeps beside it, where they are.
fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// All plain files below a directory, in order of their names, with what they are called in an archive.
fn list(folder: &Path, name: &str, depth: usize, into: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    let fail = |path: &Path, why: &dyn std::fmt::Display| format!("cannot back up {}: {why}", path.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if depth == 0 && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(folder, &error)),
    };
    if depth > DEPTH_MAX {
        return Err(fail(folder, &format!("it is more than {DEPTH_MAX} directories deep")));
    }
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| fail(folder, &error))?;
        found.push((entry.file_name(), entry.path()));
    }
    found.sort();
    for (file, path) in found {
        let inside = file.to_str().map(|file| format!("{name}/{file}"));
        let inside = inside.filter(|inside| manifest::is_name(inside));
        let inside = inside.ok_or_else(|| fail(&path, &"no backup can have a file of this name"))?;
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            // Removed meanwhile: no row that is in the copy needs it any more, or its row is not yet there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(&path, &error)),
        };
        if kind.is_dir() {
            list(&path, &inside, depth + 1, into)?;
        } else if kind.is_file() {
            into.push((inside, path));
        } else {
            return Err(fail(&path, &"it is a link or a device, not a plain file"));
        }
        if into.len() > FILES_MAX {
            return Err(fail(folder, &format!("there are more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

/// A file as the manifest lists it.
fn described(name: &str, path: &Path) -> Result<Entry, String> {
    let read = || {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let sha256 = archive::copy(&mut file, bytes, |_| Ok(()))?;
        Ok(Entry { path: name.into(), bytes, sha256 })
    };
    read().map_err(|error: std::io::Error| format!("cannot read {}: {error}", path.display()))
}

/// Writes an archive to the disk.
fn write(file: &File, time: u64, manifest: &Manifest, parts: &[&Path]) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let text = serde_json::to_vec_pretty(manifest).map_err(|error| error.to_string())?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 17, file), time);
    writer.add(NAME, text.len() as u64, &mut text.as_slice()).map_err(said)?;
    for (entry, path) in manifest.files.iter().zip(parts) {
        let add = || writer.add(&entry.path, entry.bytes, &mut File::open(path)?);
        let digest = { add }().map_err(|error| format!("{}: {error}", path.display()))?;
        if digest != entry.sha256 {
            return Err(format!("{} changed while it was copied", path.display()));
        }
    }
    let mut out = writer.finish().map_err(said)?;
    out.flush().and_then(|()| file.sync_all()).map_err(said)
}

/// Where a file is to be.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Names in a directory last only when the directory itself was synced.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Names in a directory last: elsewhere that is the system's business.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Lets the owner alone read a file.
#[cfg(unix)]
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Lets the owner alone read a file: elsewhere the directory's own rights decide.
#[cfg(not(unix))]
fn restrict(_: &Path) -> std::io::Result<()> {
    Ok(())
}
