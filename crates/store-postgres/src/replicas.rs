//! Standbys, for reads that may be a little old: which of them may answer now, and how that is known.
//!
//! A task asks the primary every moment how far its log has come ([`Moment`]). A standby that has replayed as far has everything that
//! anybody could see on the primary at that moment, so what it answers is no older than the moment is. The read itself carries that
//! demand as its guard, evaluated by the standby before it takes the read's snapshot: what was looked at beforehand only spares useless
//! attempts. No clock is compared with another machine's, and what the standby thinks of its own lag is not asked: one that has lost its
//! primary thinks that it is up to date.
//!
//! Deliberately absent: which reads may be old (the engine's callers say so), and anything that a transaction does.

use crate::pool::Pool;
use crate::settings::{Dedicated, Options, Target};
use crate::work::{Missed, read_guarded};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::SimpleQueryMessage;
use undergird_plan::RowSink;
use undergird_store::schema::Applied;
use undergird_store::{Prepared, StoreError};

/// Most replicas of one store.
const REPLICAS_MAX: usize = 16;
/// The most and the least time between two looks at a server; in between, a quarter of the bound.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// How long a server may take to answer a look. One that takes longer is not there, and what waits for it goes to the primary.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// Which data a server has: the cluster, the database in it, and where unqualified names lead.
const IDENTITY: &str = "md5(concat_ws('/', (SELECT system_identifier FROM pg_control_system()), \
     (SELECT oid FROM pg_database WHERE datname = current_database()), current_schemas(false)))";
/// The history that the primary writes. After a failover there is another, whose places say nothing about this one's.
const TIMELINE_OF_PRIMARY: &str = "('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int";
/// The history that a standby has written down as its own. It may take until the next restart point to follow a failover; it never
/// says too much.
const TIMELINE_OF_STANDBY: &str = "greatest((SELECT timeline_id FROM pg_control_checkpoint()), \
     (SELECT min_recovery_end_timeline FROM pg_control_recovery()))";

/// Where the primary was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moment {
    /// Before the primary was asked, so that what it answered is at least as new.
    at: Instant,
    /// How far its log was on disk: `16/B374D848`. Whatever was visible then was logged before.
    place: String,
    /// [`IDENTITY`] there.
    identity: String,
    /// [`TIMELINE_OF_PRIMARY`].
    timeline: String,
}

impl Moment {
    /// The condition under which a standby has all of it.
    fn condition(&self) -> String {
        let Moment { place, identity, timeline, .. } = self;
        format!(
            "(pg_is_in_recovery() AND coalesce(pg_last_wal_replay_lsn() >= '{place}'::pg_lsn, false) \
             AND {IDENTITY} = '{identity}' AND {TIMELINE_OF_STANDBY} = {timeline})"
        )
    }

    /// A statement that fails where the condition does not hold.
    fn guard(&self) -> String {
        format!("SELECT 1 / {}::int", self.condition())
    }
}

/// The moments within the bound, oldest first.
#[derive(Default)]
struct Moments {
    all: VecDeque<Moment>,
    /// Goes up when what was known does not count any more.
    age: u64,
    /// The schema that the application was last found to have.
    schema: Option<Applied>,
}

impl Moments {
    /// The oldest that is within the bound, and with it the most that a replica may lack.
    fn within(&mut self, lag: Duration, now: Instant) -> Option<&Moment> {
        while self.all.front().is_some_and(|moment| now.saturating_duration_since(moment.at) > lag) {
            self.all.pop_front();
        }
        self.all.front()
    }

    /// Takes note of one that was asked for when `age` was what it was.
    fn push(&mut self, moment: Moment, age: u64) {
        if age != self.age {
            return;
        }
        let same = |other: &Moment| other.identity == moment.identity && other.timeline == moment.timeline;
        if !self.all.back().is_none_or(same) {
            // Another server has become the primary.
            self.forget();
        }
        self.all.push_back(moment);
    }

    fn forget(&mut self) {
        self.all.clear();
        self.age += 1;
    }
}

/// What a look at a replica found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody has looked yet.
    Unknown,
    /// It may answer.
    Near,
    /// It has not replayed enough.
    Behind,
    /// It is no standby of this database, or one that does not say so yet.
    Foreign,
    /// It does not answer.
    Down(String),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Unknown => f.write_str("unknown"),
            Standing::Near => f.write_str("near enough"),
            Standing::Behind => f.write_str("further behind than replica_lag_seconds allow"),
            Standing::Foreign => f.write_str("no standby of this database and its history"),
            Standing::Down(why) => f.write_str(why),
        }
    }
}

struct Replica {
    pool: Arc<Pool>,
    standing: watch::Sender<Standing>,
}

impl Replica {
    /// Tells of it when that is news.
    fn stands(&self, standing: Standing) {
        self.standing.send_if_modified(|before| {
            // What exactly is wrong with a connection may vary from look to look.
            let news = std::mem::discriminant(before) != std::mem::discriminant(&standing);
            if news {
                let replica = self.pool.target.shown();
                match (&*before, &standing) {
                    (_, Standing::Near) => tracing::info!(%replica, "the replica answers reads that may be old"),
                    _ => tracing::warn!(%replica, why = %standing, "the primary answers in place of the replica"),
                }
                *before = standing;
            }
            news
        });
    }
}

/// See the module.
pub(crate) struct Replicas {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    lag: Duration,
    moments: Mutex<Moments>,
    all: Vec<Replica>,
    next: AtomicUsize,
    answered: AtomicU64,
    missed: AtomicU64,
}

impl Replicas {
    /// `None` where none are configured. One that is not there is no error.
    pub(crate) fn new(primary: &Target, options: &Options) -> Result<Option<Replicas>, StoreError> {
        if options.replicas.is_empty() {
            return Ok(None);
        }
        if options.replicas.len() > REPLICAS_MAX {
            return Err(StoreError::Unavailable(format!("a store has at most {REPLICAS_MAX} replicas")));
        }
        let mut all = Vec::new();
        for (position, url) in options.replicas.iter().enumerate() {
            let of = |why: &str| StoreError::Unavailable(format!("replica {}: {why}", position + 1));
            let mut options = Options { replicas: Vec::new(), ..options.clone() };
            options.transaction_pooler = false;
            let target = Target::parse(url, &mut options).map_err(|error| of(&error.to_string()))?;
            if options.transaction_pooler {
                // The guard and the read could meet different servers.
                return Err(of("a replica must not be behind a transaction pooler; name the standby itself"));
            }
            let standing = watch::Sender::new(Standing::Unknown);
            all.push(Replica { pool: Pool::new(target, options), standing });
        }
        let shared = Arc::new(Shared {
            lag: options.replica_lag,
            moments: Mutex::default(),
            all,
            next: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        });
        let mut tasks = vec![tokio::spawn(watch_primary(shared.clone(), primary.clone()))];
        tasks.extend((0..shared.all.len()).map(|position| tokio::spawn(watch_replica(shared.clone(), position))));
        Ok(Some(Replicas { shared, tasks }))
    }

    /// Reads on a replica; `None` when the primary has to. The sink may have rows then, and begins anew.
    pub(crate) async fn read(
        &self,
        query: &Prepared,
        sink: &mut dyn RowSink,
        deadline: Instant,
    ) -> Option<Result<(), StoreError>> {
        let shared = &self.shared;
        let answer = shared.read(query, sink, deadline).await;
        let count = if answer.is_some() { &shared.answered } else { &shared.missed };
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// That the application's schema is this one from now on. What a replica must have replayed is at least that.
    pub(crate) fn know_schema(&self, schema: Option<&Applied>) {
        let mut moments = self.shared.moments.lock();
        if moments.schema.as_ref() != schema {
            moments.schema = schema.cloned();
            moments.forget();
        }
    }

    /// That the schema was changed by hand-written steps.
    pub(crate) fn schema_changed(&self) {
        self.shared.moments.lock().forget();
    }

    /// Figures worth watching.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let shared = &self.shared;
        let near = shared.all.iter().filter(|replica| *replica.standing.borrow() == Standing::Near).count();
        vec![
            ("postgres_replicas", "Replicas that are configured.", shared.all.len() as f64),
            ("postgres_replicas_near", "Replicas that may answer now.", near as f64),
            (
                "postgres_replica_reads",
                "Reads that a replica answered.",
                shared.answered.load(Ordering::Relaxed) as f64,
            ),
            (
                "postgres_replica_misses",
                "Reads that a replica could have answered and the primary did.",
                shared.missed.load(Ordering::Relaxed) as f64,
            ),
        ]
    }

    /// Asks none of them any more.
    pub(crate) async fn close(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        for replica in &self.shared.all {
            replica.pool.close().await;
        }
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.shared.all.iter().for_each(|replica| replica.pool.shut());
    }
}

impl Shared {
    async fn read(
        &self,
        query: &Prepared,
        sink: &mut dyn RowSink,
        deadline: Instant,
    ) -> Option<Result<(), StoreError>> {
        let guard = self.moments.lock().within(self.lag, Instant::now())?.guard();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = (0..self.all.len()).map(|step| &self.all[first.wrapping_add(step) % self.all.len()]);
        let replica = turn.into_iter().find(|replica| *replica.standing.borrow() == Standing::Near)?;
        let mut standing = replica.standing.subscribe();
        let missed = tokio::select! {
            biased;
            read = read_guarded(&replica.pool, &guard, query, sink, deadline) => match read {
                Ok(result) => return Some(result),
                Err(missed) => missed,
            },
            // A server that is silent is found out by whoever looks at it.
            _ = standing.wait_for(|standing| matches!(standing, Standing::Down(_))) => return None,
        };
        match missed {
            Missed::Behind => replica.stands(Standing::Behind),
            Missed::Lost(why) => replica.stands(Standing::Down(why)),
            Missed::Failed(why) => {
                tracing::debug!(replica = replica.pool.target.shown(), %why, "a replica's read failed")
            }
        }
        None
    }

    fn pause(&self) -> Duration {
        (self.lag / 4).clamp(LOOK_MIN, LOOK_MAX)
    }
}

/// A connection that is only looked through, made anew when it fails.
struct Look<'t> {
    target: &'t Target,
    client: Option<Dedicated>,
}

impl Look<'_> {
    /// The one row that a statement gives, as texts.
    async fn row(&mut self, text: &str) -> Result<Vec<String>, String> {
        let row = match tokio::time::timeout(ANSWER_MAX, self.ask(text)).await {
            Ok(row) => row,
            Err(_) => Err("it does not answer in time".into()),
        };
        if row.is_err() {
            self.client = None;
        }
        row
    }

    async fn ask(&mut self, text: &str) -> Result<Vec<String>, String> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(self.target.dedicated().await.map_err(|error| error.to_string())?),
        };
        // Without anything prepared, which a pooler before the primary would lose.
        let messages = client.simple_query(text).await.map_err(|error| crate::error::explain(&error))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or("it gave no row")?;
        Ok((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect())
    }
}

async fn watch_primary(shared: Arc<Shared>, primary: Target) {
    let mut look = Look { target: &primary, client: None };
    let text = format!("SELECT pg_current_wal_flush_lsn(), {IDENTITY}, {TIMELINE_OF_PRIMARY}");
    let mut well = true;
    loop {
        let (at, age) = (Instant::now(), shared.moments.lock().age);
        match look.row(&text).await {
            Ok(row) => {
                well = true;
                if let [place, identity, timeline] = row.as_slice() {
                    let (place, identity, timeline) = (place.clone(), identity.clone(), timeline.clone());
                    shared.moments.lock().push(Moment { at, place, identity, timeline }, age);
                }
            }
            Err(why) => {
                if well {
                    tracing::warn!(%why, "the primary does not say how far it is; no replica may answer soon");
                }
                well = false;
            }
        }
        tokio::time::sleep(shared.pause()).await;
    }
}

async fn watch_replica(shared: Arc<Shared>, position: usize) {
    let replica = &shared.all[position];
    let mut look = Look { target: &replica.pool.target, client: None };
    loop {
        let moment = shared.moments.lock().within(shared.lag, Instant::now()).cloned();
        let standing = match moment {
            // With nothing to compare, at least whether it is there.
            None => match look.row("SELECT 1").await {
                Ok(_) if *replica.standing.borrow() == Standing::Unknown => Standing::Unknown,
                Ok(_) => Standing::Behind,
                Err(why) => Standing::Down(why),
            },
            Some(moment) => {
                let Moment { identity, timeline, .. } = &moment;
                let text = format!(
                    "SELECT {}, pg_is_in_recovery() AND {IDENTITY} = '{identity}' AND {TIMELINE_OF_STANDBY} = {timeline}",
                    moment.condition()
                );
                match look.row(&text).await.as_deref() {
                    Ok([near, ..]) if near == "t" => Standing::Near,
                    Ok([_, ours]) if ours == "t" => Standing::Behind,
                    Ok(_) => Standing::Foreign,
                    Err(why) => Standing::Down(why.clone()),
                }
            }
        };
        replica.stands(standing);
        tokio::time::sleep(shared.pause()).await;
    }
}
