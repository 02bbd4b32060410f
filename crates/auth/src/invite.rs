//! Accounts that the owner makes for others, who confirm them by mail; and the making of unconfirmed accounts that mails are about.

use crate::administration::demand_owner;
use crate::audit::{self, Actor, Event};
use crate::core::{Core, NewUser};
use crate::hooks::Gate;
use crate::mail::{Letter, MailKind};
use crate::profile;
use crate::records::{self, USERS};
use crate::sign_up::{app_metadata, check_email, check_metadata, or_taken};
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountError, InviteRequest, LinkError, LinkKind, Visit};
use undergird_engine::{Failure, Isolation, Outcome, Transaction};
use undergird_model::Value;
use undergird_plan::request::{Request, Verb};
use undergird_plan::{AccountsReach, Caller};
use uuid::Uuid;

/// Refuses everybody who may not change accounts, in the words of links; gives who it is.
pub(crate) fn demand_admin(caller: &Caller) -> Result<Actor, AccountError> {
    demand_owner(caller, AccountsReach::Admin).map_err(|refused| match refused {
        AccountError::NotAdmin => LinkError::SecretKeyNeeded.into(),
        other => other,
    })
}

/// An account that is made before its address is confirmed.
#[derive(Clone)]
pub(crate) struct Unconfirmed {
    pub(crate) email: String,
    pub(crate) data: Map<String, Json>,
    pub(crate) password_hash: Option<String>,
    pub(crate) invited: bool,
    pub(crate) owner_made: bool,
}

impl Core {
    pub(crate) async fn invite(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: InviteRequest,
    ) -> Result<Account, AccountError> {
        let actor = demand_admin(&caller)?;
        self.demand_post()?;
        let email = check_email(&asked.email)?;
        check_metadata(&asked.data)?;
        self.spend_mail(visit.moment.now)?;
        let redirect_to = self.allowed(asked.redirect_to.as_deref());
        let letter = Letter { redirect_to, ..Letter::to(MailKind::Link(LinkKind::Invite), &email) };
        let new = Unconfirmed { email, data: asked.data, password_hash: None, invited: true, owner_made: true };
        let (gate, moment, address) = (self.gate(), visit.moment, visit.address);
        let attempt = || {
            let (core, gate, new, letter) = (self.clone(), gate.clone(), new.clone(), letter.clone());
            self.engine.transaction(Isolation::Serializable, move |transaction| {
                let (core, gate, new, letter) = (core.clone(), gate.clone(), new.clone(), letter.clone());
                Box::pin(async move {
                    let system = Caller::system(moment);
                    let id = match core.invited(transaction, &system, new, &gate).await {
                        Ok(id) => id,
                        Err(AccountError::Failed(failure)) => return Err(failure),
                        Err(refused) => return Ok(Outcome::rollback(Err(refused))),
                    };
                    core.queue(transaction, &system, letter).await?;
                    audit::note(transaction, moment, Event::new("user_invited", actor, id).from(address)).await?;
                    let account = records::account(transaction, &system, id).await?;
                    Ok(Outcome::commit(account.ok_or(AccountError::AccountMissing)))
                })
            })
        };
        let account = loop {
            let made = attempt().await;
            if !self.past(&gate, address).await? {
                break made.map_err(or_taken)??;
            }
        };
        self.post.wake();
        Ok(account)
    }

    /// The account of an invitation: a new one, or one that was never confirmed.
    pub(crate) async fn invited(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        new: Unconfirmed,
        gate: &Gate,
    ) -> Result<Uuid, AccountError> {
        let found = records::by("email", Value::text(new.email.as_str()), USERS);
        let Some(user) = transaction.records(system, found).await?.into_iter().next() else {
            return self.make_unconfirmed(transaction, system, new, gate).await;
        };
        if user.int("email_confirmed_at").is_some() {
            return Err(AccountError::EmailTaken);
        }
        let id = user.uuid("id").ok_or(AccountError::AccountMissing)?;
        let row = [("invited_at", Value::Timestamp(system.moment().now))];
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id));
        transaction.write(system, request.with_row(row), None).await?;
        Ok(id)
    }

    /// Account, identity and profile row.
    pub(crate) async fn make_unconfirmed(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        new: Unconfirmed,
        gate: &Gate,
    ) -> Result<Uuid, AccountError> {
        let moment = system.moment();
        let (fresh, identity) = (self.new_id(moment.now)?, self.new_id(moment.now)?);
        let id = gate.id().unwrap_or(fresh);
        let profile = profile::create(transaction.app().model(), id, Some(&new.email), &new.data, moment)?;
        let user = NewUser {
            id,
            identity,
            email: Some(new.email),
            password_hash: new.password_hash,
            confirmed: false,
            invited: new.invited,
            owner_made: new.owner_made,
            app_metadata: app_metadata(&[]),
            user_metadata: Json::Object(new.data),
        };
        user.create(transaction, system, gate).await?;
        if let Some(profile) = profile {
            transaction.write(system, profile, None).await?;
        }
        Ok(id)
    }

    /// Removes an account that was never confirmed, with its profile row: nobody has shown that its address is theirs.
    pub(crate) async fn remove_unconfirmed(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        id: Uuid,
    ) -> Result<(), Failure> {
        profile::remove(transaction, system, id).await?;
        let gone = Request::new(USERS, Verb::Delete).with_equal("id", Value::Uuid(id));
        transaction.write(system, gone, None).await.map(|_| ())
    }
}
