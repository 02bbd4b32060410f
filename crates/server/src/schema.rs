//! Brings a database to a definition, or says why not. `dev`, `migrate` and `serve` differ only in what they allow.

use std::sync::Arc;
use undergird_model::Model;
use undergird_store::schema::{self, Applied, Step};
use undergird_store::{Store, StoreError};

/// What lies between a database and a definition.
#[derive(Debug)]
pub struct Change {
    /// In order. Empty: nothing does.
    pub steps: Vec<Step>,
    /// The schema afterwards.
    pub wanted: Applied,
    /// Whether the database has no schema at all yet.
    pub fresh: bool,
}

/// What must be allowed before a change is made.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Something would be lost for good, each in words.
    Loss(Vec<String>),
    /// No store can do it, each with what to do instead.
    Blocked(Vec<String>),
}

impl Change {
    /// What lies between the store's database and the model.
    ///
    /// # Errors
    /// The store cannot tell what it has.
    pub async fn plan(store: &Arc<dyn Store>, model: &Model) -> Result<Change, StoreError> {
        let applied = store.schema().await?;
        let wanted = schema::wanted(model);
        let same = applied.as_ref().is_some_and(|applied| applied.fingerprint() == wanted.fingerprint());
        let steps = if same { Vec::new() } else { schema::steps(applied.as_ref(), &wanted) };
        Ok(Change { steps, wanted, fresh: applied.is_none() })
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.steps.is_empty() && !self.fresh
    }

    /// What stands in the way, unless losses are accepted.
    pub fn obstacle(&self, accept_data_loss: bool) -> Option<Obstacle> {
        let blocked: Vec<String> = self.steps.iter().filter_map(Step::blocked).collect();
        if !blocked.is_empty() {
            return Some(Obstacle::Blocked(blocked));
        }
        let losses: Vec<String> = self.steps.iter().filter_map(Step::loss).collect();
        (!losses.is_empty() && !accept_data_loss).then_some(Obstacle::Loss(losses))
    }

    /// Makes it.
    ///
    /// # Errors
    /// A sentence for people, with what to do when rows stand in the way.
    pub async fn apply(&self, store: &Arc<dyn Store>) -> Result<(), String> {
        store.migrate(&self.steps, &self.wanted).await.map_err(|error| match error {
            // It says which rows, and what to do about them.
            StoreError::SchemaMismatch(why) => format!("the schema was not changed: {why}"),
            error => format!("the schema was not changed: {error}"),
        })
    }

    /// The steps in words, one line each.
    pub fn describe(&self) -> String {
        self.steps.iter().map(|step| format!("  {}\n", step.describe())).collect()
    }
}
