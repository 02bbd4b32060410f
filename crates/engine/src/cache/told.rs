//! The versions of collections where several processes write: rows of a collection of Undergird's own, changed in the transaction of each
//! write, and read before an answer that was kept is given.
//!
//! A version is a number by chance and never one more than the last: a database that lost its newest transactions (a failover) does not
//! come by the same again.

use crate::{App, Engine, Failure, Record};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use undergird_model::{CollectionId, Value};
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Body, ColumnPath, Condition, Input, Operand, Operator, Request, Resolution, Test, Verb};

const COLLECTION: &str = "_cache_versions";

/// Places for the versions of one collection. More, and writes of it wait less for each other; fewer, and less is read.
const PLACES: u64 = 8;

/// So many sets of collections are remembered to be asked about; of more, those that nobody is asking about are forgotten.
const LINES_MAX: usize = 1_024;

/// What is asked for at this moment: one question for all who came before it was put.
#[derive(Default)]
pub(crate) struct Told(Mutex<FxHashMap<Vec<CollectionId>, Line>>);

/// Those who ask about the same collections. One question is under way, and one is the next.
struct Line {
    turn: Arc<Semaphore>,
    next: Option<Question>,
}

type Question = Shared<BoxFuture<'static, Result<Option<Arc<[u64]>>, Failure>>>;

impl Told {
    /// The versions as they are at some moment after this is called. `None` when they are too many to be read at once.
    pub(crate) async fn versions(
        engine: &Arc<Engine>,
        app: &Arc<App>,
        collections: &[CollectionId],
    ) -> Result<Option<Vec<u64>>, Failure> {
        let question = {
            let mut lines = app.told.0.lock();
            if lines.len() >= LINES_MAX {
                lines.retain(|_, line| line.next.is_some() || line.turn.available_permits() == 0);
            }
            let line = match lines.get_mut(collections) {
                Some(line) => line,
                None => lines
                    .entry(collections.to_vec())
                    .or_insert_with(|| Line { turn: Arc::new(Semaphore::new(1)), next: None }),
            };
            let (turn, next) = (&line.turn, &mut line.next);
            let asked = || ask(engine.clone(), app.clone(), turn.clone(), collections.to_vec()).boxed().shared();
            next.get_or_insert_with(asked).clone()
        };
        Ok(question.await?.map(|versions| versions.to_vec()))
    }
}

async fn ask(
    engine: Arc<Engine>,
    app: Arc<App>,
    turn: Arc<Semaphore>,
    collections: Vec<CollectionId>,
) -> Result<Option<Arc<[u64]>>, Failure> {
    let turn = turn.acquire_owned().await;
    // Whoever comes from now on is not answered by this: it may be older than what he knows.
    if let Some(line) = app.told.0.lock().get_mut(&collections) {
        line.next = None;
    }
    let model = app.model();
    let tables: Vec<&str> = collections.iter().map(|id| model.collection(*id).table.as_str()).collect();
    let mut request = Request::new(COLLECTION, Verb::Read);
    let operand = Some(request.slot(Operand::Values(tables.iter().copied().map(Value::text).collect())));
    request.shape.filter.push(Condition::Test(Test {
        column: ColumnPath { name: "collection".into(), steps: Vec::new() },
        operator: Operator::In,
        operand,
    }));
    let records = engine.records(&Caller::system(engine.moment()), request).await?;
    drop(turn);
    if records.len() >= model.settings.limits.rows as usize {
        return Ok(None);
    }
    // They come in order of their key.
    let numbers = |record: &Record| {
        let int = |name| record.int(name).map_or(0, i64::cast_unsigned);
        let table = tables.iter().position(|table| record.text("collection") == Some(table));
        [table.map_or(u64::MAX, |table| table as u64), int("place"), int("version")]
    };
    Ok(Some(records.iter().flat_map(numbers).collect()))
}

/// What gives these collections new versions. In order of their keys, so that two transactions never wait for each other in a ring.
pub(crate) fn change(app: &App, collections: &[CollectionId], moment: Moment) -> Request {
    let mut tables: Vec<&str> = collections.iter().map(|id| app.model().collection(*id).table.as_str()).collect();
    tables.sort_unstable();
    let mut request = Request::new(COLLECTION, Verb::Create);
    // 128 bits of chance: some for the place, others for the number, which is not 0 so that it is no version at all.
    let place = (moment.entropy as u64) % PLACES;
    let version = ((moment.entropy >> 64) as i64) | 1;
    let row = |table: &str| {
        let input = |name: &str, value| (name.to_owned(), Input::Value(value));
        Vec::from([
            input("collection", Value::text(table)),
            input("place", Value::Int(place.cast_signed())),
            input("version", Value::Int(version)),
        ])
    };
    request.body =
        Some(Body { rows: tables.into_iter().map(|table| row(table).into_iter().collect()).collect(), single: false });
    request.shape.resolution = Some(Resolution::MergeDuplicates);
    request
}
