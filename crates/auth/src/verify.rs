//! What was in a mail proves that its address is its user's: by link, by code, and for a browser that followed the link.
//!
//! The proof is used up in the transaction of what it leads to. An address that is proved for the first time by anything but the
//! sign-up's own confirmation drops the password that was set before, and ends the sessions: whoever set it never showed that the address
//! is theirs. Where addresses are not confirmed (`confirm_email`), a mail that recovers is such a proof, and one that signs in is none.

use crate::audit::{self, Actor, Event};
use crate::core::{Core, budget_key};
use crate::mail::{Letter, MailKind};
use crate::one_time::{self, FLOW_PREFIX, NewFlow, Taken, Used};
use crate::passkeys;
use crate::password::too_many;
use crate::profile;
use crate::records::{self, USERS};
use crate::revocations::Revocation;
use crate::sessions::Started;
use crate::sign_up::or_taken;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, FollowedLink, Landed, Landing, LinkError, LinkKind, Proof, Secret, Session, Visit,
};
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

/// What a proof led to.
enum Redeemed {
    Session(Box<Started>, LinkKind),
    Code(Secret),
    /// The other address of a change is to say yes as well.
    OtherAddress,
}

/// The method of a session that a mail began, as `amr` tells it.
pub(crate) fn method(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Recovery => "recovery",
        LinkKind::Confirmation
        | LinkKind::MagicLink
        | LinkKind::Invite
        | LinkKind::EmailChange
        | LinkKind::EmailChangeCurrent
        | LinkKind::Reauthentication => "otp",
    }
}

impl Core {
    /// A session for what was in a mail.
    pub(crate) async fn verify_mail(
        self: Arc<Self>,
        visit: Visit,
        kinds: &'static [LinkKind],
        proof: Proof,
    ) -> Result<Session, AccountError> {
        match self.clone().redeem(visit, kinds, proof, false).await? {
            Redeemed::Session(started, _) => self.tokens(*started).await,
            Redeemed::OtherAddress => Err(LinkError::OtherAddress.into()),
            Redeemed::Code(_) => Err(Failure::Internal("a code where a session was asked for".into()).into()),
        }
    }

    /// Where a browser that followed a link goes on.
    pub(crate) async fn follow(self: Arc<Self>, visit: Visit, link: FollowedLink) -> Landing {
        let to = self.allowed(link.redirect_to.as_deref()).unwrap_or_else(|| self.site_url());
        let outcome = match (link.kinds, link.proof) {
            (Some(kinds), Some(proof)) => match self.clone().redeem(visit, kinds, proof, true).await {
                Ok(Redeemed::Session(started, kind)) => {
                    self.tokens(*started).await.map(|session| Landed::Session(Box::new(session), kind))
                }
                Ok(Redeemed::Code(code)) => Ok(Landed::Code(code)),
                Ok(Redeemed::OtherAddress) => Err(LinkError::OtherAddress.into()),
                Err(error) => Err(error),
            },
            _ => Err(LinkError::Expired.into()),
        };
        Landing { to, outcome }
    }

    /// A guess at something that was sent, before it is looked at.
    pub(crate) fn spend_guess(&self, visit: &Visit) -> Result<(), AccountError> {
        self.budgets.address.take(&budget_key(visit.address), visit.moment.now).map_err(too_many)
    }

    /// The guess was good, or none.
    pub(crate) fn give_back_guess(&self, visit: &Visit) {
        self.budgets.address.give_back(&budget_key(visit.address));
    }

    async fn redeem(
        self: Arc<Self>,
        visit: Visit,
        kinds: &'static [LinkKind],
        proof: Proof,
        followed: bool,
    ) -> Result<Redeemed, AccountError> {
        let proof = match proof {
            Proof::Code { email, code } => Proof::Code { email: records::fold(&email), code },
            link @ Proof::Link(_) => link,
        };
        self.spend_guess(&visit)?;
        let guessed = match &proof {
            Proof::Code { email, .. } => Some(email.clone()),
            Proof::Link(_) => None,
        };
        if let Some(email) = &guessed {
            self.budgets.mail_codes.take(email, visit.moment.now).map_err(too_many)?;
        }
        let core = self.clone();
        let address = visit.clone();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, proof) = (core.clone(), visit.clone(), proof.clone());
            Box::pin(async move {
                match core.redeem_in(transaction, &visit, kinds, &proof, followed).await {
                    Ok(redeemed) => Ok(Outcome::commit(Ok(redeemed))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    // A wrong guess counts; what else was refused left nothing behind.
                    Err(error @ AccountError::Link(LinkError::Expired)) => Ok(Outcome::commit(Err(error))),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        let done = done.await.map_err(or_taken).and_then(|done| done);
        if !matches!(done, Err(AccountError::Link(LinkError::Expired))) {
            self.give_back_guess(&address);
            if let Some(email) = &guessed {
                self.budgets.mail_codes.give_back(email);
            }
        }
        if matches!(done, Err(AccountError::Link(LinkError::Expired))) {
            self.tell_wrong_guess(&address, guessed.as_deref()).await?;
        }
        let (redeemed, ended) = done?;
        self.revoked(ended, address.moment.now);
        self.post.wake();
        Ok(redeemed)
    }

    /// Notes a link or code that is good for nothing; the same work whether somebody has the address or not.
    async fn tell_wrong_guess(&self, visit: &Visit, email: Option<&str>) -> Result<(), Failure> {
        let user = match email {
            Some(email) => {
                let request = records::by("email", Value::text(email), USERS);
                let rows = self.engine.records(&Caller::system(visit.moment), request).await?;
                rows.first().and_then(|row| row.uuid("id"))
            }
            None => None,
        };
        let event = Event::new("login_failed", Actor::Nobody, user).from(visit.address);
        let method = if email.is_some() { "otp" } else { "link" };
        self.note_alone(visit.moment, event.with(serde_json::json!({ "method": method }))).await
    }

    async fn redeem_in(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        kinds: &[LinkKind],
        proof: &Proof,
        followed: bool,
    ) -> Result<(Redeemed, Vec<Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        let taken = match proof {
            Proof::Link(link) => one_time::take_link(transaction, &system, kinds, link).await?,
            Proof::Code { email, code } => {
                one_time::take_code(transaction, &system, &self.one_time, kinds, (email, code)).await?
            }
        };
        let Taken::Good(used) = taken else { return Err(LinkError::Expired.into()) };
        let user = records::user(transaction, &system, used.user).await?.ok_or(LinkError::Expired)?;
        if user.int("banned_until").is_some_and(|until| visit.moment.now < until) {
            return Err(AccountError::Banned);
        }
        let ended = match used.kind {
            LinkKind::EmailChange | LinkKind::EmailChangeCurrent => {
                if !self.confirm_change(transaction, &system, &user, &used).await? {
                    return Ok((Redeemed::OtherAddress, Vec::new()));
                }
                Vec::new()
            }
            _ if user.text("email") != Some(used.email.as_str()) => return Err(LinkError::Expired.into()),
            LinkKind::Confirmation
            | LinkKind::MagicLink
            | LinkKind::Recovery
            | LinkKind::Invite
            | LinkKind::Reauthentication => self.confirm_address(transaction, &system, &user, &used).await?,
        };
        self.signed_in_now(transaction, &system, used.user).await?;
        if let Some(challenge) = used.challenge.as_deref().filter(|_| followed) {
            let code = Secret::new(format!("{FLOW_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.random()?)));
            let email = Some(used.email.as_str());
            let new = NewFlow { user: used.user, email, via: used.kind.name(), detail: None, challenge };
            one_time::put_flow(transaction, &system, &code, &new).await?;
            return Ok((Redeemed::Code(code), ended));
        }
        let started = self.start_session(transaction, visit, used.user, method(used.kind)).await?;
        Ok((Redeemed::Session(Box::new(started), used.kind), ended))
    }

    /// The address of the account is its user's.
    async fn confirm_address(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: &Record,
        used: &Used,
    ) -> Result<Vec<Revocation>, Failure> {
        let is_confirmed = user.int("email_confirmed_at").is_some();
        // Where addresses are not confirmed, a mail that signs in proves nothing new; one that replaces a forgotten password takes the account
        // back from whoever else may have made it.
        if is_confirmed && (used.kind != LinkKind::Recovery || user.int("email_proved_at").is_some()) {
            return Ok(Vec::new());
        }
        let now = Value::Timestamp(system.moment().now);
        let mut row = vec![("email_proved_at", now.clone()), ("updated_at", now.clone())];
        if !is_confirmed {
            row.push(("email_confirmed_at", now));
        }
        let mut ended = Vec::new();
        let is_strangers = used.kind != LinkKind::Confirmation || user.int("invited_at").is_some();
        if is_strangers && !user.flag("owner_made") {
            row.push(("password_hash", Value::Null));
            passkeys::drop_all(transaction, system, used.user).await?;
            let sessions = self.sessions_of(transaction, system, used.user).await?;
            ended = self.end_sessions(transaction, system, &sessions).await?;
        }
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(used.user));
        transaction.write(system, request.with_row(row), None).await?;
        self.settle_identity(transaction, system, used.user, &used.email, Some(true)).await?;
        let name = if used.kind == LinkKind::Invite { "invite_accepted" } else { "email_confirmed" };
        let told = serde_json::json!({ "by": used.kind.name(), "sessions": ended.len() });
        audit::note(transaction, system.moment(), Event::new(name, Actor::User, used.user).with(told)).await?;
        Ok(ended)
    }

    /// The new address is the account's from now on, and whatever was sent to the old one is void; or, where both must, the other one has to say
    /// yes first: false.
    async fn confirm_change(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: &Record,
        used: &Used,
    ) -> Result<bool, AccountError> {
        // An account without an address has one mailbox to ask.
        let both = transaction.app().model().settings.auth.double_confirm_changes && user.text("email").is_some();
        let fits = match used.kind {
            LinkKind::EmailChangeCurrent => both && user.text("email") == Some(used.email.as_str()),
            _ => user.text("new_email") == Some(used.email.as_str()),
        };
        let Some(new) = user.text("new_email").filter(|_| fits) else { return Err(LinkError::Expired.into()) };
        let before = user.text("email_change_by").and_then(LinkKind::of);
        if both && before.is_none_or(|before| before == used.kind) {
            let row = [("email_change_by", Value::text(used.kind.name()))];
            let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(used.user));
            transaction.write(system, request.with_row(row), None).await?;
            let event = Event::new("email_change_confirmed", Actor::User, used.user);
            let told = serde_json::json!({ "by": used.kind.name() });
            audit::note(transaction, system.moment(), event.with(told)).await?;
            return Ok(false);
        }
        let old = user.text("email").map(str::to_owned);
        self.set_email(transaction, system, used.user, new).await?;
        records::prove_address(transaction, system, used.user).await?;
        one_time::void(transaction, system, used.user).await?;
        audit::note(transaction, system.moment(), Event::new("email_changed", Actor::User, used.user)).await?;
        if let Some(old) = old {
            self.queue(transaction, system, Letter::to(MailKind::EmailChanged, &old)).await?;
        }
        Ok(true)
    }

    /// Gives an account its address, confirmed: the row, the identity (which an anonymous account has not yet), the profile.
    pub(crate) async fn set_email(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
        email: &str,
    ) -> Result<(), Failure> {
        let now = Value::Timestamp(system.moment().now);
        let row = [
            ("email", Value::text(email)),
            ("new_email", Value::Null),
            ("email_confirmed_at", now.clone()),
            // The caller knows whether it was.
            ("email_proved_at", Value::Null),
            ("is_anonymous", Value::Bool(false)),
            ("updated_at", now),
        ];
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
        transaction.write(system, request.with_row(row), None).await?;
        if self.settle_identity(transaction, system, user, email, Some(true)).await? {
            let user_row = records::user(transaction, system, user).await?;
            let mut metadata = user_row.map(|row| records::json(&row, "app_metadata")).unwrap_or_default();
            if metadata.get("provider").is_none() {
                metadata["provider"] = "email".into();
                metadata["providers"] = serde_json::json!(["email"]);
                let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
                let row = [("app_metadata", Value::Json(metadata.to_string()))];
                transaction.write(system, request.with_row(row), None).await?;
            }
        }
        profile::change_email(transaction, system, user, email).await
    }
}
