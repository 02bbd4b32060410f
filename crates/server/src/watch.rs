//! Notices changed files by asking a few times a second: no kernel interface that is different everywhere, and no limit on watches.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often files are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(300);

/// What a definition's files looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(Vec<(String, u64, SystemTime)>);

impl Snapshot {
    /// Of the definition in a directory, now. What cannot be read is as if it were not there.
    pub(crate) fn take(directory: &Path) -> Snapshot {
        let mut files = Vec::new();
        let mut look = |path: &Path| {
            let Ok(metadata) = path.metadata() else { return };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((path.display().to_string(), metadata.len(), modified));
        };
        look(&directory.join("undergird.toml"));
        let folders = ["models", "functions"].map(|folder| std::fs::read_dir(directory.join(folder)));
        for entry in folders.into_iter().flatten().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".toml") {
                look(&entry.path());
            }
        }
        files.sort();
        Snapshot(files)
    }
}

/// Waits until the files differ from `before` and have then been quiet for one interval: editors write in several steps.
pub(crate) async fn changed(directory: &Path, before: &Snapshot) -> Snapshot {
    let mut last = before.clone();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Snapshot::take(directory);
        if now == last && now != *before {
            return now;
        }
        last = now;
    }
}
