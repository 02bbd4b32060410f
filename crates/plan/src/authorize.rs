//! The choke point: [`Request`] + [`Caller`] + model → [`Plan`]. There is no other maker of plans.

use crate::caller::Caller;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::shape::Plan;
use std::sync::Arc;
use undergird_model::Model;

/// The limits that concern a plan.
pub type Limits = undergird_model::settings::Limits;

/// Makes plans for one model, keeping shapes.
#[derive(Debug)]
pub struct Planner {
    model: Arc<Model>,
}

impl Planner {
    /// A planner for a model, with no shapes yet.
    pub fn new(model: Arc<Model>) -> Planner {
        Planner { model }
    }

    /// The plan of a request.
    ///
    /// # Errors
    /// A [`Refusal`] that says why not.
    pub fn plan(&self, caller: &Caller, request: Request) -> Result<Plan, Refusal> {
        authorize(&self.model, caller, request)
    }
}

/// Makes a plan without keeping its shape.
///
/// # Errors
/// A [`Refusal`] that says why not.
pub fn authorize(model: &Arc<Model>, caller: &Caller, request: Request) -> Result<Plan, Refusal> {
    let _ = (model, caller, request);
    todo!()
}
