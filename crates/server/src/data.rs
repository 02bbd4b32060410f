//! The data directory: one process at a time, readable by its owner alone.

use crate::backup::restore;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An open data directory. Nobody else has it until this is dropped (or the process ends, however it ends).
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: Option<File>,
}

impl DataDirectory {
    /// Makes the directory if need be, and takes it. A restore that was killed half-way is put in place first.
    ///
    /// # Errors
    /// A sentence: it cannot be made, or another process has it.
    pub fn open(path: &Path) -> Result<DataDirectory, String> {
        DataDirectory::attempt(path)?
    }

    /// The same, waiting so long for whoever has it, who is told of through `waiting` once.
    ///
    /// # Errors
    /// As [`DataDirectory::open`].
    pub fn open_within(path: &Path, wait: Duration, waiting: impl FnOnce(&str)) -> Result<DataDirectory, String> {
        let until = Instant::now() + wait;
        let mut waiting = Some(waiting);
        loop {
            match DataDirectory::attempt(path)? {
                Err(taken) if Instant::now() < until => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&taken);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                ended => return ended,
            }
        }
    }

    /// Takes it, or says in the inner error who has it.
    fn attempt(path: &Path) -> Result<Result<DataDirectory, String>, String> {
        create_private(path).map_err(|error| format!("cannot make the data directory {}: {error}", path.display()))?;
        let lock = path.join("lock");
        let fail = |error: &dyn std::fmt::Display| format!("cannot lock {}: {error}", lock.display());
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = private(options).open(&lock).map_err(|error| fail(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&mut file).take(20).read_to_string(&mut holder);
                let holder = holder.trim();
                let who = if holder.is_empty() { "another process".into() } else { format!("process {holder}") };
                return Ok(Err(format!(
                    "{} is in use by {who}: stop it first, or give this one a directory of its own with --data",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(fail(&error)),
        }
        // Who has it, for the message above. Not being able to say so is no reason to stop.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        restore::finish(path).map_err(|error| {
            format!("a backup was being restored into {}, and putting it in place fails: {error}", path.display())
        })?;
        Ok(Ok(DataDirectory { path: path.to_owned(), _lock: Some(file) }))
    }

    /// A directory that several processes may have, because no database is in it. It need not be there.
    pub fn shared(path: &Path) -> DataDirectory {
        DataDirectory { path: path.to_owned(), _lock: None }
    }

    /// The directory beside whoever has it, for a short command.
    ///
    /// # Errors
    /// A sentence: it is not there.
    pub fn beside(path: &Path) -> Result<DataDirectory, String> {
        if restore::is_pending(path) {
            return Err(format!("a backup is being restored into {}: try again when that is done", path.display()));
        }
        match path.is_dir() {
            true => Ok(DataDirectory { path: path.to_owned(), _lock: None }),
            false => Err(format!("there is no data in {} yet; `undergird dev` makes it", path.display())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Options for a file that its owner alone may read.
#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

/// Options for a file that its owner alone may read: elsewhere the directory's own rights decide.
#[cfg(not(unix))]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}
