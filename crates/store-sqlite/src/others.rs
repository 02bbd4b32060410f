//! Whether other processes committed something, without a look at the database: the log's index, which all processes share, counts the
//! commits of all of them, and the writer counts its own.
//!
//! The count is the field `iChange` of the index's header ("WAL-Index Format", `https://www.sqlite.org/walformat.html`): the octets 8 to 11 of the file `-shm`,
//! in the machine's own order, one more after each transaction that changed anything.

use crate::snapshots::Commits;
use parking_lot::RwLock;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where the count is in the log's index.
const COUNT_AT: u64 = 8;

/// No number of commits.
const UNKNOWN: u64 = u64::MAX;

/// What others do, seen from one process.
#[derive(Debug)]
pub(crate) struct Others {
    index: PathBuf,
    pub(crate) commits: Arc<Commits>,
    /// Commits of this process's writer that changed something.
    own: AtomicU32,
    /// What [`Others::commits`] gives while a commit of ours is under way, or [`UNKNOWN`].
    held: AtomicU64,
    /// Never closed: when a process closes any descriptor of a file it loses all its locks on it (POSIX), and SQLite has its own there.
    open: RwLock<Option<ManuallyDrop<File>>>,
}

impl Others {
    pub(crate) fn new(index: PathBuf, commits: &Arc<Commits>) -> Others {
        Others {
            index,
            commits: Arc::clone(commits),
            own: AtomicU32::new(0),
            held: AtomicU64::new(UNKNOWN),
            open: RwLock::new(None),
        }
    }

    /// The writer committed something.
    pub(crate) fn own_commit(&self) {
        self.own.fetch_add(1, Ordering::SeqCst);
    }

    /// From the beginning of the writer's transaction to its end nobody else commits: what the number is now it stays until the commit is
    /// over, however long the disk takes. To be called by who has the lock, before the commit is announced.
    ///
    /// Nothing is done where nobody ever asked for the number: most applications keep no answers, and each commit comes by here.
    pub(crate) fn hold(&self) {
        if self.open.read().is_none() {
            return;
        }
        self.held.store(self.number().unwrap_or(UNKNOWN), Ordering::SeqCst);
    }

    /// The commit is over.
    pub(crate) fn release(&self) {
        self.held.store(UNKNOWN, Ordering::SeqCst);
    }

    /// A number that others' commits change and our own do not. `None` while that cannot be told, and where the index cannot be read.
    pub(crate) fn commits(&self) -> Option<u64> {
        let before = self.commits.count();
        let number = match Commits::is_at_rest(before) {
            true => self.number(),
            false => Some(self.held.load(Ordering::SeqCst)).filter(|number| *number != UNKNOWN),
        };
        // Else a commit of ours began or ended meanwhile, and the two counts are not of one moment.
        number.filter(|_| self.commits.count() == before)
    }

    fn number(&self) -> Option<u64> {
        let all = self.all()?;
        Some(u64::from(all.wrapping_sub(self.own.load(Ordering::SeqCst))))
    }

    #[cfg(unix)]
    fn all(&self) -> Option<u32> {
        use std::os::unix::fs::FileExt;
        let read = |file: &File| {
            let mut count = [0; 4];
            file.read_exact_at(&mut count, COUNT_AT).ok()?;
            Some(u32::from_ne_bytes(count))
        };
        if let Some(file) = self.open.read().as_ref() {
            return read(file);
        }
        let mut open = self.open.write();
        if open.is_none() {
            *open = Some(ManuallyDrop::new(File::open(&self.index).ok()?));
        }
        open.as_ref().and_then(|file| read(file))
    }

    /// Elsewhere nobody promises that what is mapped and what is read are the same.
    #[cfg(not(unix))]
    fn all(&self) -> Option<u32> {
        None
    }
}
