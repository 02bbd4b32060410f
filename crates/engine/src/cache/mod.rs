//! Answers that are kept, for models with `[cache]`: each under the plan that it answers and under the versions of all collections that it
//! was made of. A write gives its collections new versions, so that what was kept is not found any more; nothing is ever looked for to be
//! removed (decision 0030).
//!
//! Absent: what an answer is (the surface's), and what it depends on ([`undergird_plan::Dependencies`]).

mod told;
mod versions;

pub(crate) use told::{Told, change};
pub(crate) use versions::{Registry, Touched, Versions};

use crate::observe::{Stage, Stages};
use crate::{App, Engine, Failure};
use moka::future::Cache as Kept;
use moka::policy::EvictionPolicy;
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use undergird_model::{CollectionId, Model, Value};
use undergird_plan::{Caller, Request, RowSink, Shape};
use undergird_store::{Freshness, Prepared};

/// What an answer costs beside its octets and the values of its key: its place.
const ENTRY_OCTETS: usize = 512;
/// No answer takes more than this part of the whole.
const LARGEST_PART: u64 = 8;

/// An answer that can be kept.
pub trait Keepable: Send + Sync + 'static {
    /// About how much memory it takes.
    fn octets(&self) -> usize;
}

/// How an answer was come by, in the terms of RFC 9211.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It was kept, or another request was about to make it.
    Hit,
    /// It was made, and is kept now.
    Stored,
    /// It was made, and is not kept: it is too large.
    TooLarge,
    /// It was made and is not kept, for what it depends on is not known, or was about to change.
    Bypass,
}

/// Which form of an answer: whatever decides its octets besides the plan. Equal numbers are the same form.
pub type Form = u64;

/// Everything that decides an answer. Equal keys have equal answers.
struct Key {
    /// Held, so that its address is nobody else's.
    shape: Arc<Shape>,
    form: Form,
    params: Vec<Value>,
    facts: Vec<Value>,
    versions: Vec<u64>,
}

impl Key {
    /// About how much memory it takes.
    fn octets(&self) -> usize {
        let values = self.params.iter().chain(&self.facts);
        values.map(octets).sum::<usize>() + self.versions.len() * size_of::<u64>()
    }
}

fn octets(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) | Value::Json(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(octets).sum(),
            _ => 0,
        }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        Arc::ptr_eq(&self.shape, &other.shape)
            && self.form == other.form
            && self.versions == other.versions
            && self.params == other.params
            && self.facts == other.facts
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.shape) as usize, self.form).hash(state);
        self.params.hash(state);
        self.facts.hash(state);
        self.versions.hash(state);
    }
}

/// An answer with what is to be known to keep it.
#[derive(Clone)]
struct Entry {
    answer: Arc<dyn Any + Send + Sync>,
    octets: u32,
    time: Duration,
}

/// Each entry for as long as the model says.
struct ByModel;

impl moka::Expiry<Key, Entry> for ByModel {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.time)
    }
}

/// The answers that are kept of one application. A changed definition begins with none.
pub(crate) struct Cache {
    kept: Kept<Key, Entry>,
    largest: u64,
}

impl Cache {
    /// A cache, where a model asks for one.
    pub(crate) fn of(model: &Model) -> Option<Cache> {
        let most = model.settings.limits.cache_bytes;
        if most == 0 || !model.collections.iter().any(|collection| collection.cache.is_some()) {
            return None;
        }
        let kept = Kept::builder()
            .max_capacity(most)
            .weigher(|_: &Key, entry: &Entry| entry.octets)
            // By default the newcomer must be asked for more often than who is to go, and answers of old versions would stay: nobody asks
            // for them, but they were asked for.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(ByModel)
            .build();
        Some(Cache { kept, largest: most / LARGEST_PART })
    }
}

/// How often what happened.
#[derive(Default)]
pub(crate) struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    bypasses: AtomicU64,
}

impl Counts {
    fn count(&self, lookup: Lookup) {
        let counter = match lookup {
            Lookup::Hit => &self.hits,
            Lookup::Stored | Lookup::TooLarge => &self.misses,
            Lookup::Bypass => &self.bypasses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why nothing was kept, for all who wait for the same answer.
enum Unkept<T> {
    Failed(Failure),
    TooLarge(Arc<T>),
}

/// Under what an answer is kept, and for how long.
struct Place {
    key: Key,
    time: Duration,
}

impl Engine {
    /// Reads as [`Engine::read`] does, or finds the answer kept: never one that is older than what was acknowledged before this began.
    /// Equal requests that come while the answer is being made wait for it. `form` says what of the answer the plan does not.
    ///
    /// # Errors
    /// A refusal of the plan or a failure of the store, or what `finish` gives.
    pub async fn read_kept<S, T>(
        self: &Arc<Self>,
        caller: &Caller,
        request: &Request,
        form: Form,
        sink: S,
        finish: impl FnOnce(S) -> Result<T, Failure> + Send,
        stages: &mut Stages,
    ) -> Result<(Arc<T>, Lookup), Failure>
    where
        S: RowSink + 'static,
        T: Keepable,
    {
        let started = Instant::now();
        let app = self.app.load_full();
        let prepared = self.prepare(&app, caller, request)?;
        stages.add(Stage::Plan, started.elapsed());
        let begun = Instant::now();
        let answer = self.look_up(&app, prepared, form, sink, finish).await;
        stages.add(Stage::Store, begun.elapsed());
        if let Ok((_, lookup)) = &answer {
            self.counts.count(*lookup);
        }
        answer
    }

    async fn look_up<S, T>(
        self: &Arc<Self>,
        app: &Arc<App>,
        prepared: Prepared,
        form: Form,
        sink: S,
        finish: impl FnOnce(S) -> Result<T, Failure> + Send,
    ) -> Result<(Arc<T>, Lookup), Failure>
    where
        S: RowSink + 'static,
        T: Keepable,
    {
        let place = match &app.cache {
            Some(cache) => self.place(app, &prepared, form).await?.map(|place| (cache, place)),
            None => None,
        };
        let make = async {
            let (sink, _) = self.run(prepared, Freshness::Current, sink).await?;
            Ok::<_, Failure>(Arc::new(finish(sink)?))
        };
        let Some((cache, Place { key, time })) = place else {
            return Ok((make.await?, Lookup::Bypass));
        };
        let own = key.octets().saturating_add(ENTRY_OCTETS);
        let make = async {
            let answer = make.await.map_err(Unkept::Failed)?;
            let octets = answer.octets().saturating_add(own);
            match u32::try_from(octets) {
                Ok(octets) if u64::from(octets) <= cache.largest => Ok(Entry { answer, octets, time }),
                _ => Err(Unkept::TooLarge(answer)),
            }
        };
        match cache.kept.entry(key).or_try_insert_with(make).await {
            Ok(found) => {
                let lookup = if found.is_fresh() { Lookup::Stored } else { Lookup::Hit };
                let answer = found.into_value().answer.downcast();
                let answer = answer.map_err(|_| Failure::Internal("another kind of answer was kept".into()))?;
                Ok((answer, lookup))
            }
            Err(unkept) => match &*unkept {
                Unkept::Failed(failure) => Err(failure.clone()),
                Unkept::TooLarge(answer) => Ok((answer.clone(), Lookup::TooLarge)),
            },
        }
    }

    /// Under what the answer to a plan is kept. `None` where it cannot be: it depends on more than is known, or that is just being changed.
    async fn place(
        self: &Arc<Self>,
        app: &Arc<App>,
        prepared: &Prepared,
        form: Form,
    ) -> Result<Option<Place>, Failure> {
        let plan = &prepared.plan;
        let Some(dependencies) = self.dependencies(app, plan) else { return Ok(None) };
        let collections = dependencies.collections();
        let Some(time) = time(&app.model, collections) else { return Ok(None) };
        let versions = match self.store.is_shared() {
            true => Told::versions(self, app, collections).await?,
            false => self.own_versions(app, collections),
        };
        let key = |versions| Key {
            shape: plan.shape().clone(),
            form,
            params: plan.params().to_vec(),
            facts: dependencies.facts(plan),
            versions,
        };
        Ok(versions.map(|versions| Place { key: key(versions), time }))
    }

    /// The versions where all that is written is written by this process, or told of by the store.
    fn own_versions(&self, app: &App, collections: &[CollectionId]) -> Option<Vec<u64>> {
        let mut versions = Vec::with_capacity(collections.len() + 1);
        versions.push(self.store.others_commits()?);
        for collection in collections {
            versions.push(app.versions.at_rest(*collection)?);
        }
        Some(versions)
    }

    /// Name, help, value.
    pub(crate) fn cache_figures(&self) -> Vec<(&'static str, &'static str, f64)> {
        let app = self.app.load();
        let Some(cache) = &app.cache else { return Vec::new() };
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        vec![
            ("cache_hits_total", "Reads whose answer was kept.", value(&self.counts.hits)),
            ("cache_misses_total", "Reads whose answer was made, for the next to find.", value(&self.counts.misses)),
            ("cache_bypasses_total", "Reads that could not be kept.", value(&self.counts.bypasses)),
            ("cache_entries", "Answers that are kept.", cache.kept.entry_count() as f64),
            ("cache_bytes", "Memory of the answers that are kept.", cache.kept.weighted_size() as f64),
        ]
    }
}

/// How long an answer made of these may be kept: as long as the one that says least. `None` when one of them says nothing.
fn time(model: &Model, collections: &[CollectionId]) -> Option<Duration> {
    let mut times = collections.iter().map(|id| model.collection(*id).cache);
    times.try_fold(Duration::MAX, |least, time| Some(least.min(time?)))
}
