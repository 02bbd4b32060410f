//! Whether the server can still be reached, asked when an answer is long in coming.
//!
//! A machine that vanished says nothing: TCP goes on sending for minutes, and the driver has no way to tell it otherwise. So whoever waits
//! for long has somebody knock: a connection is made and ended, one for all who wait at the time. No answer to that, and those who wait
//! are told now instead of at their deadline. A statement that only takes long is left alone.
//!
//! Absent: what becomes of the connection that nothing came from; that is [`crate::session`]'s.

use crate::settings::Target;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::{sleep_until, timeout, timeout_at};
use undergird_store::StoreError;

/// How long an answer is waited for before the server is asked whether it is there, and between one time and the next.
const SILENCE: Duration = Duration::from_secs(1);
/// How long the server may take to let somebody in who only wants to know. Even one that has too much to do says hello.
const KNOCK_MAX: Duration = Duration::from_secs(1);

/// Why nothing was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The deadline came first.
    Late,
    /// The server cannot be reached.
    Unreachable,
}

/// Of one server.
pub(crate) struct Pulse {
    target: Target,
    /// When the last look ended, and what it found.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Pulse {
    pub(crate) fn new(target: Target) -> Pulse {
        Pulse { target, last: Mutex::new(None) }
    }

    /// What the work gives, unless it takes longer than its deadline or the server is out of reach. The work is dropped then.
    pub(crate) async fn hear<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Result<T, Silence> {
        let mut work = pin!(work);
        loop {
            let look = Instant::now() + SILENCE;
            if let Ok(told) = timeout_at(look.min(deadline).into(), work.as_mut()).await {
                return Ok(told);
            }
            tokio::select! {
                biased;
                told = work.as_mut() => return Ok(told),
                () = sleep_until(deadline.into()) => return Err(Silence::Late),
                beats = self.beats() => if !beats {
                    return Err(Silence::Unreachable);
                }
            }
        }
    }

    /// Whether the server lets somebody in. Who asks while another looks takes what that one finds.
    async fn beats(&self) -> bool {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((at, beats)) = *last
            && at >= asked
        {
            return beats;
        }
        let beats = match timeout(KNOCK_MAX, self.target.connect()).await {
            Ok(Ok(conn)) => {
                // Its end is waited for, or the server would count it among those that broke off.
                let _ = timeout(KNOCK_MAX, conn.disconnect()).await;
                true
            }
            // There, and full.
            Ok(Err(StoreError::Overloaded)) => true,
            Ok(Err(_)) | Err(_) => false,
        };
        *last = Some((Instant::now(), beats));
        beats
    }
}

/// What those are told who waited for a server that is out of reach.
pub(crate) fn unreachable() -> StoreError {
    StoreError::Unavailable("the database's server stopped answering and cannot be reached".into())
}
