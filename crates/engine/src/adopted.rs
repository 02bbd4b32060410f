//! Whether adopted tables are as their models say. Undergird neither makes nor changes them, so somebody else may have.
//!
//! Absent: their types and constraints. A column that keeps other values than its field is read as its `storage` says, and what a
//! constraint refuses is refused when it is written.

use crate::cache::Registry;
use crate::record::Collector;
use crate::{App, Engine};
use std::sync::Arc;
use std::time::Instant;
use undergird_model::{Model, Value};
use undergird_plan::request::{Operand, Verb};
use undergird_plan::{Caller, Request};
use undergird_store::{Prepared, StoreError};

impl Engine {
    /// The adopted collections of a model that cannot be read, each with what the database says: a table or a column is gone, or is called
    /// otherwise. Each is asked for no rows of all its columns.
    ///
    /// # Errors
    /// The store cannot be asked at all.
    pub async fn estranged(&self, model: &Arc<Model>) -> Result<Vec<(String, String)>, StoreError> {
        let app = App::new(model.clone(), &Registry::default());
        let system = Caller::system(self.moment());
        let mut told = Vec::new();
        for collection in app.model.collections.iter().filter(|collection| collection.adopted) {
            let mut request = Request::new(&collection.name, Verb::Read);
            request.shape.limit = Some(request.slot(Operand::Value(Value::Int(0))));
            let prepared = self.prepare(&app, &system, &request);
            // What a plan cannot say of it, the definition's check has said.
            let Ok(Prepared { plan, statements }) = prepared else { continue };
            let deadline = Instant::now() + app.model.settings.limits.statement;
            let answer = self.store.read(Prepared { plan, statements }, Box::new(Collector::default()), deadline).await;
            match answer.result {
                Ok(()) => {}
                Err(StoreError::SchemaMismatch(why)) => told.push((collection.name.clone(), why)),
                Err(error) => return Err(error),
            }
        }
        Ok(told)
    }
}
