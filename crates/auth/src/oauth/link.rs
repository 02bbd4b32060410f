//! Which identities an account has: one more, and one less.
//!
//! Either changes who can sign in, so it wants what a change of the password wants: a recent sign-in, and the second factor where there is one.

use super::flow::Purpose;
use super::person::Person;
use super::settle::{refuse_banned, tell_providers};
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::mail::MailKind;
use crate::one_time::UsedFlow;
use crate::records::{self, IDENTITIES, USERS};
use crate::sessions::{self, Started};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{
    Account, AccountError, Depart, Departure, LinkError, ProviderError, Session, TokenSignIn, Visit,
};
use undergird_engine::{Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

impl Core {
    pub(crate) async fn depart_to_link(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: Depart,
    ) -> Result<Departure, AccountError> {
        let (user, session) = self.demand_owner(&visit, &caller).await?;
        self.send_away(visit, asked, Purpose::Link { user, session }).await
    }

    /// What the code of a flow by a provider is good for: a session, and before it the identity that waits.
    pub(crate) async fn start_after_provider(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        user: &Record,
        used: &UsedFlow,
    ) -> Result<Started, AccountError> {
        refuse_banned(user, visit)?;
        let text = |name: &str| used.detail.get(name).and_then(Json::as_str);
        let provider = text("provider").unwrap_or_default();
        if let Some(person) = used.detail.get("link") {
            let person = Person::from_json(person).ok_or(LinkError::CodeUnknown)?;
            let session = text("session").and_then(|id| Uuid::try_parse(id).ok()).ok_or(LinkError::CodeUnknown)?;
            self.link_person(transaction, visit, (used.user, session), provider, &person).await?;
        }
        self.start_provided(transaction, visit, used.user, provider).await
    }

    pub(crate) async fn link_by_token(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: TokenSignIn,
    ) -> Result<Session, AccountError> {
        let (user, session) = self.demand_owner(&visit, &caller).await?;
        let person = self.person_of_token(&visit, &asked).await?;
        self.session_for(visit, asked.provider, person, Purpose::Link { user, session }).await
    }

    pub(crate) async fn unlink(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        identity: Uuid,
    ) -> Result<Account, AccountError> {
        let (user, session) = self.demand_owner(&visit, &caller).await?;
        let core = self.clone();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit) = (core.clone(), visit.clone());
            Box::pin(async move {
                match core.unlink_in(transaction, &visit, (user, session), identity).await {
                    Ok(account) => Ok(Outcome::commit(Ok(account))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        done.await?
    }

    async fn unlink_in(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        (user, session): (Uuid, Uuid),
        identity: Uuid,
    ) -> Result<Account, AccountError> {
        let system = Caller::system(visit.moment);
        let rows = transaction.records(&system, records::by("user_id", Value::Uuid(user), IDENTITIES)).await?;
        let gone = rows.iter().find(|row| row.uuid("id") == Some(identity)).ok_or(ProviderError::IdentityUnknown)?;
        if rows.len() < 2 {
            return Err(ProviderError::LastIdentity.into());
        }
        let provider = gone.text("provider").unwrap_or_default();
        let request = Request::new(IDENTITIES, Verb::Delete).with_equal("id", Value::Uuid(identity));
        transaction.write(&system, request, None).await?;
        if provider == "email" {
            // The address stays the account's; what goes is signing in by it with a password.
            let row = [("password_hash", Value::Null), ("updated_at", Value::Timestamp(visit.moment.now))];
            let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
            transaction.write(&system, request.with_row(row), None).await?;
        }
        tell_providers(transaction, &system, user, None).await?;
        let event = Event::new("identity_unlinked", Actor::User, user).in_session(session).from(visit.address);
        audit::note(transaction, visit.moment, event.with(json!({ "provider": provider }))).await?;
        self.tell_user(transaction, &system, user, (MailKind::IdentityUnlinked, provider)).await?;
        records::account(transaction, &system, user).await?.ok_or(AccountError::AccountMissing)
    }

    /// The account and session of a caller who may change who signs in. An anonymous account has nothing but its session.
    async fn demand_owner(&self, visit: &Visit, caller: &Caller) -> Result<(Uuid, Uuid), AccountError> {
        let (id, session) = sessions::of_caller(caller)?;
        let system = Caller::system(visit.moment);
        let rows = self.engine.records(&system, records::by("id", Value::Uuid(id), USERS)).await?;
        let user = rows.first().ok_or(AccountError::AccountMissing)?;
        self.demand_assurance(visit, user, session).await?;
        if !user.flag("is_anonymous") {
            self.demand_recent(visit, session).await?;
        }
        Ok((id, session))
    }
}
