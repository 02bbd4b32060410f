//! Accounts without an address or password: a first session, and what the user does with it. The account becomes a lasting one when an
//! address is set and, where the application asks for that, confirmed (`account.rs`, `verify.rs`).

use crate::core::{Core, NewUser, budget_key};
use crate::password::too_many;
use crate::profile;
use crate::sign_up::check_metadata;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, LinkError, Session, Visit};
use undergird_engine::{Isolation, Outcome};
use undergird_plan::Caller;

impl Core {
    pub(crate) async fn sign_up_anonymously(
        self: Arc<Self>,
        visit: Visit,
        data: Map<String, Json>,
    ) -> Result<Session, AccountError> {
        let settings = self.engine.app().model().settings.auth.clone();
        if !settings.anonymous {
            return Err(LinkError::AnonymousOff.into());
        }
        if !settings.sign_up {
            return Err(AccountError::SignUpClosed);
        }
        check_metadata(&data)?;
        self.budgets.sign_ups.take(&budget_key(visit.address), visit.moment.now).map_err(too_many)?;
        let (id, identity) = (self.new_id(visit.moment.now)?, self.new_id(visit.moment.now)?);
        let gate = self.gate();
        let attempt = || {
            let (core, gate, visit, data) = (self.clone(), gate.clone(), visit.clone(), data.clone());
            self.engine.transaction(Isolation::Serializable, move |transaction| {
                let (core, gate, visit, data) = (core.clone(), gate.clone(), visit.clone(), data.clone());
                Box::pin(async move {
                    let system = Caller::system(visit.moment);
                    let profile = match profile::create(transaction.app().model(), id, None, &data, visit.moment) {
                        Ok(profile) => profile,
                        Err(AccountError::Failed(failure)) => return Err(failure),
                        Err(refused) => return Ok(Outcome::rollback(Err(refused))),
                    };
                    let user = NewUser {
                        id,
                        identity,
                        email: None,
                        password_hash: None,
                        confirmed: false,
                        invited: false,
                        owner_made: false,
                        app_metadata: json!({}),
                        user_metadata: Json::Object(data),
                    };
                    user.create(transaction, &system, &gate).await?;
                    if let Some(profile) = profile {
                        transaction.write(&system, profile, None).await?;
                    }
                    core.signed_in_now(transaction, &system, id).await?;
                    Ok(Outcome::commit(Ok(core.start_session(transaction, &visit, id, "anonymous").await?)))
                })
            })
        };
        let started: Result<_, AccountError> = loop {
            let started = attempt().await;
            if !self.past(&gate, visit.address).await? {
                break started?;
            }
        };
        self.tokens(started?).await
    }
}
