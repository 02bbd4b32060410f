//! Links that the owner sends by other means than ours: the same secrets as in a mail, told to the secret key.

use crate::audit::{self, Event};
use crate::core::Core;
use crate::hooks::Gate;
use crate::invite::{Unconfirmed, demand_admin};
use crate::one_time::{self, NewToken};
use crate::password;
use crate::records::{self, USERS};
use crate::sign_up::{check_email, check_metadata, or_taken};
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, GenerateLink, GeneratedLink, LinkError, LinkKind, Secret, Visit};
use undergird_engine::{Isolation, Outcome, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

impl Core {
    pub(crate) async fn generate_link(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: GenerateLink,
    ) -> Result<GeneratedLink, AccountError> {
        let actor = demand_admin(&caller)?;
        if asked.kind == LinkKind::Reauthentication {
            return Err(LinkError::NoSuchLink.into());
        }
        let email = check_email(&asked.email)?;
        check_metadata(&asked.data)?;
        let new_email = asked.new_email.as_deref().map(check_email).transpose()?;
        if is_change(asked.kind) && new_email.is_none() {
            return Err(AccountError::InvalidEmail);
        }
        let password_hash = match asked.password.as_ref().filter(|_| asked.kind == LinkKind::Confirmation) {
            Some(password) => {
                let settings = self.engine.app().model().settings.auth.clone();
                password::check(password, &email, settings.password_min)?;
                Some(self.hasher.hash(password).await?)
            }
            None => None,
        };
        let invited = asked.kind == LinkKind::Invite;
        let new = Unconfirmed { email, data: asked.data, password_hash, invited, owner_made: true };
        let secrets = self.one_time.secrets(self.new_id(visit.moment.now)?);
        // Where one yes is enough, either link is the one for the new address.
        let both = self.engine.app().model().settings.auth.double_confirm_changes;
        let kind = if both || !is_change(asked.kind) { asked.kind } else { LinkKind::EmailChange };
        let (gate, moment, address) = (self.gate(), visit.moment, visit.address);
        let attempt = || {
            let (core, gate, new, told) = (self.clone(), gate.clone(), new.clone(), secrets.clone());
            let new_email = new_email.clone();
            self.engine.transaction(Isolation::Serializable, move |transaction| {
                let (core, gate, new, secrets) = (core.clone(), gate.clone(), new.clone(), told.clone());
                let new_email = new_email.clone();
                Box::pin(async move {
                    let system = Caller::system(moment);
                    let to = new_email.clone().unwrap_or_else(|| new.email.clone());
                    let id = match core.user_of_link(transaction, &system, kind, (new, new_email), &gate).await {
                        Ok(id) => id,
                        Err(AccountError::Failed(failure)) => return Err(failure),
                        Err(refused) => return Ok(Outcome::rollback(Err(refused))),
                    };
                    let email = if kind == LinkKind::EmailChange { to.as_str() } else { "" };
                    let account = records::account(transaction, &system, id).await?;
                    let Some(account) = account else {
                        return Ok(Outcome::rollback(Err(AccountError::AccountMissing)));
                    };
                    let email =
                        if email.is_empty() { account.email.clone().unwrap_or_default() } else { email.to_owned() };
                    let life_micros = core.mail_life_micros();
                    let token = NewToken { user: id, kind, email: &email, challenge: None, life_micros };
                    one_time::put(transaction, &system, &core.one_time, &secrets, &token).await?;
                    let event = Event::new("link_generated", actor, id).from(address);
                    audit::note(transaction, moment, event.with(serde_json::json!({ "kind": kind.name() }))).await?;
                    Ok(Outcome::commit(Ok(account)))
                })
            })
        };
        let account: Result<_, AccountError> = loop {
            let made = attempt().await;
            if !self.past(&gate, address).await? {
                break made.map_err(or_taken)?;
            }
        };
        let redirect_to = self.allowed(asked.redirect_to.as_deref()).unwrap_or_else(|| self.site_url());
        Ok(GeneratedLink {
            account: account?,
            link: Secret::new(self.link(kind, &secrets.link, &redirect_to)),
            token: secrets.link,
            code: secrets.code,
            kind: asked.kind,
            redirect_to,
        })
    }

    /// Whose link it is; made where the kind says so.
    async fn user_of_link(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        kind: LinkKind,
        (new, new_email): (Unconfirmed, Option<String>),
        gate: &Gate,
    ) -> Result<Uuid, AccountError> {
        if kind == LinkKind::Invite {
            return self.invited(transaction, system, new, gate).await;
        }
        let found = records::by("email", Value::text(new.email.as_str()), USERS);
        let found = transaction.records(system, found).await?.into_iter().next();
        let Some(user) = found else {
            return match kind {
                LinkKind::Confirmation if new.password_hash.is_none() => {
                    Err(AccountError::WeakPassword(undergird_engine::accounts::PasswordWeakness::TooShort { min: 1 }))
                }
                LinkKind::Confirmation | LinkKind::MagicLink => {
                    self.make_unconfirmed(transaction, system, new, gate).await
                }
                LinkKind::Recovery
                | LinkKind::EmailChange
                | LinkKind::EmailChangeCurrent
                | LinkKind::Invite
                | LinkKind::Reauthentication => Err(LinkError::UserUnknown.into()),
            };
        };
        if kind == LinkKind::Confirmation && user.int("email_confirmed_at").is_some() {
            return Err(AccountError::EmailTaken);
        }
        let id = user.uuid("id").ok_or(AccountError::AccountMissing)?;
        if let Some(hash) = new.password_hash.filter(|_| kind == LinkKind::Confirmation) {
            // The owner's account from now on: with the owner's password, not with one that a stranger signed up with.
            let row = [("password_hash", Value::Text(hash)), ("owner_made", Value::Bool(true))];
            let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id));
            transaction.write(system, request.with_row(row), None).await?;
        }
        // The second of the two links of a change must not take back the yes to the first.
        let differs = |new: &String| user.text("new_email") != Some(new.as_str());
        if let Some(new_email) = new_email.filter(|new| is_change(kind) && differs(new)) {
            one_time::void_change(transaction, system, id).await?;
            let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id));
            transaction.write(system, request.with_row([("new_email", Value::Text(new_email))]), None).await?;
        }
        Ok(id)
    }
}

/// Whether it is about a new address.
fn is_change(kind: LinkKind) -> bool {
    matches!(kind, LinkKind::EmailChange | LinkKind::EmailChangeCurrent)
}
