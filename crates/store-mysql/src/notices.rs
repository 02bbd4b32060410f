//! What other processes announce: rows of a small table, written by their transactions and looked for about once a second, for these
//! servers have no way to call.
//!
//! A row becomes visible when its transaction commits, which may be after one with a greater number: so rows of the last while are
//! looked at again and again, and each is told once. Whoever listens is told that something may have been missed, at the beginning
//! and after each break.

use crate::introspect::RECORD;
use crate::server::Server;
use crate::settings::Target;
use crate::types::name;
use futures_util::stream::{self, BoxStream};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;
use undergird_model::Type;
use undergird_store::{Bind, Notice, Statement, StoreError};

/// Where announcements are.
const NOTICES: &str = "_undergird_notices";
/// Notices that a slow listener may be behind; past these it is told that it missed some.
const BEHIND_MAX: usize = 1_024;
/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How long looking may take.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Transactions take less time than this, so that older rows need not be looked at again.
const SETTLED_SECONDS: u32 = 120;
/// How often old rows are removed, and how many at once.
const SWEEP: Duration = Duration::from_secs(60);
const SWEEP_ROWS_MAX: usize = 10_000;
/// Most rows that are looked at; when there are more, something was missed.
const ROWS_MAX: usize = 10_000;
/// Longest topic.
const TOPIC_MAX: usize = 255;
/// The longest pause between attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The table.
pub(crate) fn table(options: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, topic varchar({TOPIC_MAX}) NOT NULL, \
         at datetime(6) NOT NULL, INDEX (at)) {options}",
        name(NOTICES)
    )
}

/// The statement that announces a topic.
pub(crate) fn announcing() -> Statement {
    Statement {
        text: format!("INSERT INTO {} (topic, at) VALUES (LEFT(?, {TOPIC_MAX}), NOW(6))", name(NOTICES)),
        binds: vec![(Type::TEXT, Bind::Now)],
        columns: Vec::new(),
        writes: true,
        identity: false,
        lacks: None,
    }
}

/// See the module.
pub(crate) struct Notices {
    target: Target,
    server: Server,
    sender: broadcast::Sender<Notice>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Notices {
    pub(crate) fn new(target: Target, server: Server) -> Notices {
        Notices { target, server, sender: broadcast::channel(BEHIND_MAX).0, task: Mutex::new(None) }
    }

    /// What is heard from now on.
    pub(crate) fn listen(&self) -> BoxStream<'static, Notice> {
        let receiver = self.sender.subscribe();
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(listen(self.target.clone(), self.server.clone(), self.sender.clone())));
        }
        drop(task);
        Box::pin(stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(notice) => Some((notice, receiver)),
                Err(RecvError::Lagged(_)) => Some((Notice::Missed, receiver)),
                // The store has closed: nothing more will be heard, which is not an end.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }))
    }

    /// Listens no more.
    pub(crate) fn close(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(target: Target, server: Server, sender: broadcast::Sender<Notice>) {
    let mut pause = LOOK;
    loop {
        let begun = Instant::now();
        match target.session(&server, Some(LOOK_MAX)).await {
            Ok(conn) => {
                let error = hear(conn, &sender).await;
                tracing::warn!(%error, "the connection that looks for notices was lost");
            }
            Err(error) => tracing::warn!(%error, "no connection to look for notices"),
        }
        if begun.elapsed() > PAUSE_MAX {
            pause = LOOK;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// All up to this number are settled.
    settled: i64,
    /// Of the others, the ones that were told.
    told: FxHashSet<i64>,
    /// The schema's record.
    schema: Option<Option<(i64, String)>>,
}

/// Looks until the connection is lost.
async fn hear(mut conn: Conn, sender: &broadcast::Sender<Notice>) -> StoreError {
    let mut seen = Seen::default();
    let mut first = true;
    let mut swept = Instant::now();
    loop {
        let notices = match tokio::time::timeout(LOOK_MAX, look(&mut conn, &mut seen)).await {
            Ok(Ok(notices)) => notices,
            Ok(Err(error)) => return crate::error::fault(error).into(),
            Err(_) => return StoreError::Unavailable("the server does not answer".into()),
        };
        if first {
            // What is there already was told before our time.
            first = false;
            let _ = sender.send(Notice::Missed);
        } else {
            for notice in notices {
                // Nobody listens at the moment.
                let _ = sender.send(notice);
            }
        }
        if swept.elapsed() > SWEEP {
            swept = Instant::now();
            // Somebody else may be at it, or it is made anew: the next time.
            let _ = tokio::time::timeout(LOOK_MAX, sweep(&mut conn)).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(conn: &mut Conn, seen: &mut Seen) -> mysql_async::Result<Vec<Notice>> {
    let mut notices = Vec::new();
    let text = format!("SELECT id, fingerprint FROM {} ORDER BY id DESC LIMIT 1", name(RECORD));
    let schema: Option<(i64, String)> = match conn.exec_first(text, ()).await {
        // Nothing was ever migrated here: nothing is announced either.
        Err(mysql_async::Error::Server(error)) if error.code == 1146 => return Ok(notices),
        other => other?,
    };
    if seen.schema.as_ref().is_some_and(|before| *before != schema) {
        notices.push(Notice::Schema);
    }
    seen.schema = Some(schema);
    let text = format!(
        "SELECT id, topic, at < NOW(6) - INTERVAL {SETTLED_SECONDS} SECOND FROM {} WHERE id > ? ORDER BY id LIMIT {ROWS_MAX}",
        name(NOTICES)
    );
    let rows: Vec<(i64, String, i64)> = conn.exec(text, (seen.settled,)).await?;
    if rows.len() == ROWS_MAX {
        notices.push(Notice::Missed);
        seen.settled = rows.last().map_or(seen.settled, |row| row.0);
    }
    let mut settled = true;
    for (id, topic, old) in rows {
        settled &= old == 1;
        if settled {
            seen.settled = seen.settled.max(id);
        }
        if seen.told.insert(id) {
            notices.push(Notice::Announced(topic));
        }
    }
    let settled = seen.settled;
    seen.told.retain(|id| *id > settled);
    Ok(notices)
}

/// Removes rows that everybody has seen.
async fn sweep(conn: &mut Conn) -> mysql_async::Result<()> {
    let text = format!(
        "DELETE FROM {} WHERE at < NOW(6) - INTERVAL {} SECOND ORDER BY at LIMIT {SWEEP_ROWS_MAX}",
        name(NOTICES),
        SETTLED_SECONDS * 5
    );
    conn.exec_drop(text, ()).await
}
