//! What other processes announce: one connection that listens, and hands on what it hears.
//!
//! It is made when somebody first wants to know, goes past any pooler, and makes itself anew when it breaks. Whoever listens is told
//! that something may have been missed, at the beginning and after each break.

use crate::session::CHANNEL;
use crate::settings::{Target, Wire};
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};
use undergird_store::{Notice, StoreError};

/// The channel on which migrations tell of a new schema.
const SCHEMA_CHANNEL: &str = crate::ddl::HELPERS;
/// Notices that a slow listener may be behind; past these it is told that it missed some.
const BEHIND_MAX: usize = 1_024;
/// The pauses between attempts to connect: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it is there.
const ASK: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ASK_MAX: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Notices {
    target: Target,
    sender: broadcast::Sender<Notice>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Notices {
    pub(crate) fn new(target: Target) -> Notices {
        Notices { target, sender: broadcast::channel(BEHIND_MAX).0, task: Mutex::new(None) }
    }

    /// What is heard from now on.
    pub(crate) fn listen(&self) -> BoxStream<'static, Notice> {
        let receiver = self.sender.subscribe();
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(listen(self.target.clone(), self.sender.clone())));
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

async fn listen(target: Target, sender: broadcast::Sender<Notice>) {
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        match target.connect_direct().await {
            Ok((client, wire)) => {
                if let Err(error) = hear(client, wire, &sender).await {
                    tracing::warn!(%error, "the connection that listens for notices was lost");
                }
            }
            Err(error) => tracing::warn!(%error, "no connection to listen for notices"),
        }
        if begun.elapsed() > PAUSE_MAX {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Listens until the connection is lost.
async fn hear(client: Client, mut wire: Wire, sender: &broadcast::Sender<Notice>) -> Result<(), StoreError> {
    let lost = || StoreError::Unavailable("the server went away".into());
    let hand_on = |message| {
        if let AsyncMessage::Notification(told) = message {
            let notice = match told.channel() {
                SCHEMA_CHANNEL => Notice::Schema,
                _ => Notice::Announced(told.payload().to_owned()),
            };
            // Nobody listens at the moment.
            let _ = sender.send(notice);
        }
    };
    let ask = async {
        let ask = |text: String| async { (tokio::time::timeout(ASK_MAX, client.batch_execute(&text)).await, text).0 };
        match ask(format!("LISTEN {CHANNEL}; LISTEN {SCHEMA_CHANNEL}")).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return crate::error::store_error(&error),
            Err(_) => return lost(),
        }
        let _ = sender.send(Notice::Missed);
        loop {
            tokio::time::sleep(ASK).await;
            // A line that was cut silently is found out by asking.
            if !matches!(tokio::time::timeout(ASK_MAX, client.check_connection()).await, Ok(Ok(()))) {
                return lost();
            }
        }
    };
    let mut ask = pin!(ask);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(error) = ask.as_mut().poll(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            match wire.poll_message(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => hand_on(message),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(crate::error::store_error(&error))),
                Poll::Ready(None) => return Poll::Ready(Err(lost())),
            }
        }
    })
    .await
}
