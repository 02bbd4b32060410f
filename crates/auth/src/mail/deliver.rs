//! Sending what is queued: each mail by one process at a time, again after a failure, and not for ever.
//!
//! A row is claimed by moving its `due_at`: whoever moved it may send. It goes when the server took the mail. A process that dies in
//! between leaves it to the next try, which says the same under the same `Message-ID`; so a mail comes once, but for a crash in the moment
//! between the server's yes and the removal.

use super::{Letter, MailKind, notices, template};
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::hooks::Gate;
use crate::invite::Unconfirmed;
use crate::mail::smtp::{Mail, Undelivered};
use crate::one_time::{self, NewToken, Secrets};
use crate::records::{self, MAILS, PAGE, USERS};
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use undergird_engine::accounts::{AccountError, HookError, LinkKind};
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// How often it is looked for mails that nobody said anything about: those of other processes, and those that failed.
const POLL: Duration = Duration::from_secs(2);
/// How long a claim holds: longer than any mail takes.
const CLAIM_MICROS: i64 = 2 * 60 * 1_000_000;
/// The first wait after a failure; each further one is twice as long.
const FIRST_WAIT_MICROS: i64 = 5 * 1_000_000;
/// Most tries.
const ATTEMPTS_MAX: i64 = 10;
/// Mails under way at once.
const AT_ONCE_MAX: usize = 4;

/// What a mail says, found out when it is sent.
struct Composed {
    to: String,
    kind: MailKind,
    secrets: Option<Secrets>,
    /// Of a notice.
    method: String,
    /// Of a change of address.
    new_email: String,
}

impl Core {
    /// Sends mails as they are queued. Never ends by itself.
    pub(crate) async fn keep_delivering(self: Arc<Self>) {
        if !self.post.is_there() {
            return std::future::pending().await;
        }
        loop {
            if let Err(failure) = self.clone().deliver_due().await {
                tracing::warn!(?failure, "queued mails could not be read");
            }
            tokio::select! {
                () = self.post.queued.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Sends what is due now; how many mails there were.
    pub(crate) async fn deliver_due(self: Arc<Self>) -> Result<usize, Failure> {
        let mut sent = 0;
        loop {
            let system = Caller::system(self.engine.moment());
            let now = Operand::Value(Value::Timestamp(system.moment().now));
            let due = records::and(Request::new(MAILS, Verb::Read), "due_at", Operator::Lte(None), now);
            let rows = self.engine.records(&system, records::page(due, "id", None, PAGE)).await?;
            let count = rows.len();
            let deliveries = stream::iter(rows).map(|row| {
                let core = self.clone();
                async move { core.deliver(&row).await }
            });
            let outcomes: Vec<_> = deliveries.buffer_unordered(AT_ONCE_MAX).collect().await;
            for outcome in outcomes {
                sent += usize::from(outcome?);
            }
            if count < PAGE {
                return Ok(sent);
            }
        }
    }

    /// Sends one mail, if nobody else does. Whether it left.
    async fn deliver(self: &Arc<Self>, row: &Record) -> Result<bool, Failure> {
        let (Some(id), Some(due_at)) = (row.uuid("id"), row.int("due_at")) else { return Ok(false) };
        let now = self.engine.moment().now;
        let attempts = row.int("attempts").unwrap_or(0);
        let claim = [
            ("due_at", Value::Timestamp(now.saturating_add(CLAIM_MICROS))),
            ("attempts", Value::Int(attempts.saturating_add(1))),
        ];
        if !self.change_mail(id, Some(due_at), Some(claim.to_vec())).await? {
            return Ok(false);
        }
        if now >= row.int("expires_at").unwrap_or(0) {
            self.change_mail(id, None, None).await?;
            return Ok(false);
        }
        let composed = match self.compose(id, row).await? {
            Ok(Some(composed)) => composed,
            Ok(None) => {
                self.change_mail(id, None, None).await?;
                return Ok(false);
            }
            Err(why) => {
                self.later(id, row, attempts, why).await?;
                return Ok(false);
            }
        };
        let mail = self.written(id, row, &composed);
        match self.post.carrier.carry(&mail).await {
            Ok(()) => {
                if self.post.shows() {
                    // Without the link: a log is no place for what signs in.
                    tracing::info!(to = %mail.to, subject = %mail.subject, "a mail is at {}/_/inbox", self.public_url);
                    self.post.keep(mail.shown(now));
                }
                self.change_mail(id, None, None).await?;
                Ok(true)
            }
            Err(why) => {
                self.later(id, row, attempts, why).await?;
                Ok(false)
            }
        }
    }

    /// Another try, or none.
    async fn later(&self, id: Uuid, row: &Record, attempts: i64, why: Undelivered) -> Result<(), Failure> {
        let now = self.engine.moment().now;
        let exponent = u32::try_from(attempts.clamp(0, 20)).unwrap_or(20);
        let next = now.saturating_add(FIRST_WAIT_MICROS.saturating_mul(1i64 << exponent));
        let kind = row.text("kind").unwrap_or_default();
        let hopeless = why.is_final || attempts + 1 >= ATTEMPTS_MAX || next >= row.int("expires_at").unwrap_or(0);
        if hopeless {
            tracing::error!(%id, kind, why = %why.message, "a mail was not taken, and is given up");
            self.change_mail(id, None, None).await?;
        } else {
            tracing::warn!(%id, kind, why = %why.message, "a mail was not taken, and is tried again");
            self.change_mail(id, None, Some(vec![("due_at", Value::Timestamp(next))])).await?;
        }
        Ok(())
    }

    /// Changes a row of the queue, or removes it; whether it was there (and still due then).
    async fn change_mail(
        &self,
        id: Uuid,
        due_at: Option<i64>,
        row: Option<Vec<(&'static str, Value)>>,
    ) -> Result<bool, Failure> {
        let moment = self.engine.moment();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let row = row.clone();
            Box::pin(async move {
                let verb = if row.is_some() { Verb::Update } else { Verb::Delete };
                let mut request = Request::new(MAILS, verb).with_equal("id", Value::Uuid(id));
                if let Some(due_at) = due_at {
                    request = request.with_equal("due_at", Value::Timestamp(due_at));
                }
                if let Some(row) = row {
                    request = request.with_row(row);
                }
                let written = transaction.write(&Caller::system(moment), request, None).await?;
                Ok(Outcome::commit(written.affected == 1))
            })
        });
        done.await
    }

    /// Finds out whom the mail is for and keeps its token; `None` when there is nothing to say.
    async fn compose(
        self: &Arc<Self>,
        id: Uuid,
        row: &Record,
    ) -> Result<Result<Option<Composed>, Undelivered>, Failure> {
        let Some(kind) = row.text("kind").and_then(MailKind::of) else { return Ok(Ok(None)) };
        let letter = Letter {
            kind,
            email: row.text("email").unwrap_or_default().to_owned(),
            user: row.uuid("user_id"),
            redirect_to: None,
            challenge: row.text("challenge").map(str::to_owned),
            data: match records::json(row, "data") {
                serde_json::Value::Object(data) => Some(data),
                _ => None,
            },
        };
        let again = row.int("composed_at").is_some();
        let (gate, moment) = (self.gate(), self.engine.moment());
        let attempt = || {
            let (core, gate, letter) = (self.clone(), gate.clone(), letter.clone());
            self.engine.transaction(Isolation::Serializable, move |transaction| {
                let (core, gate, letter) = (core.clone(), gate.clone(), letter.clone());
                Box::pin(async move {
                    let system = Caller::system(moment);
                    match core.compose_in(transaction, &system, (id, again), (letter, &gate)).await {
                        Ok(composed) => Ok(Outcome::commit(composed)),
                        Err(AccountError::Failed(
                            failure @ (Failure::Conflict | Failure::Held | Failure::Unavailable),
                        )) => Err(failure),
                        Err(_) if gate.waits() => Ok(Outcome::rollback(None)),
                        Err(why) => {
                            // An account that cannot be made: the client that asked is not told, since the answer would tell who has one.
                            tracing::warn!(%id, %why, "a mail has nothing to say");
                            Ok(Outcome::rollback(None))
                        }
                    }
                })
            })
        };
        loop {
            let composed = attempt().await;
            match self.past(&gate, None).await {
                Ok(true) => {}
                Ok(false) => return composed.map(Ok),
                // The client that asked is not told, for the same reason.
                Err(AccountError::Hook(HookError::Refused { .. })) => return Ok(Ok(None)),
                Err(why) => return Ok(Err(Undelivered { is_final: false, message: why.to_string() })),
            }
        }
    }

    async fn compose_in(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (id, again): (Uuid, bool),
        (letter, gate): (Letter, &Gate),
    ) -> Result<Option<Composed>, AccountError> {
        let MailKind::Link(kind) = letter.kind else {
            let method = notices::method(letter.data.as_ref());
            return Ok(Some(Composed {
                to: letter.email,
                kind: letter.kind,
                secrets: None,
                method,
                new_email: String::new(),
            }));
        };
        let Some(user) = self.recipient(transaction, system, kind, (&letter, gate)).await? else { return Ok(None) };
        let to = match kind {
            LinkKind::EmailChange => user.text("new_email"),
            _ => user.text("email"),
        };
        let Some(to) = to.map(str::to_owned) else { return Ok(None) };
        if kind == LinkKind::EmailChange {
            let taken = records::by("email", Value::text(to.as_str()), USERS);
            if !transaction.records(system, taken).await?.is_empty() {
                return Ok(Some(Composed {
                    to,
                    kind: MailKind::AccountExists,
                    secrets: None,
                    method: String::new(),
                    new_email: String::new(),
                }));
            }
        }
        let new_email = user.text("new_email").unwrap_or_default().to_owned();
        let secrets = self.one_time.secrets(id);
        let token = NewToken {
            user: user.uuid("id").ok_or(AccountError::AccountMissing)?,
            kind,
            email: &to,
            challenge: letter.challenge.as_deref(),
            life_micros: self.mail_life_micros(),
        };
        let composed = Composed {
            to: to.clone(),
            kind: letter.kind,
            secrets: Some(secrets.clone()),
            method: String::new(),
            new_email,
        };
        if again {
            // What was used meanwhile, or made void, must not be good again because a server's yes was lost.
            let is_there = one_time::is_there(transaction, system, &secrets.link).await?;
            return Ok(is_there.then_some(composed));
        }
        one_time::put(transaction, system, &self.one_time, &secrets, &token).await?;
        let once = Request::new(MAILS, Verb::Update).with_equal("id", Value::Uuid(id));
        let row = [("composed_at", Value::Timestamp(system.moment().now))];
        transaction.write(system, once.with_row(row), None).await?;
        let event = Event::new("mail_sent", Actor::System, token.user);
        audit::note(transaction, system.moment(), event.with(serde_json::json!({ "kind": kind.name() }))).await?;
        Ok(Some(composed))
    }

    /// The user whom a link is for, if there is one for whom it makes sense.
    async fn recipient(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        kind: LinkKind,
        (letter, gate): (&Letter, &Gate),
    ) -> Result<Option<Record>, AccountError> {
        let found = match letter.user {
            Some(user) => records::by("id", Value::Uuid(user), USERS),
            None => records::by("email", Value::text(letter.email.as_str()), USERS),
        };
        let found = transaction.records(system, found).await?.into_iter().next();
        let Some(user) = found else {
            let settings = transaction.app().model().settings.auth.clone();
            let data = letter.data.clone().filter(|_| kind == LinkKind::MagicLink && settings.sign_up);
            let Some(data) = data else { return Ok(None) };
            let email = letter.email.clone();
            let new = Unconfirmed { email, data, password_hash: None, invited: false, owner_made: false };
            let id = self.make_unconfirmed(transaction, system, new, gate).await?;
            return Ok(records::user(transaction, system, id).await?);
        };
        let is_banned = user.int("banned_until").is_some_and(|until| system.moment().now < until);
        let is_confirmed = user.int("email_confirmed_at").is_some();
        // Anybody may ask for a mail again; for one that is waited for, that is, and not for one of long ago.
        let is_awaited = match (kind, letter.user, user.uuid("id")) {
            (LinkKind::EmailChange | LinkKind::EmailChangeCurrent, None, Some(id)) => {
                one_time::is_awaited(transaction, system, id, kind).await?
            }
            _ => true,
        };
        let makes_sense = match kind {
            LinkKind::Confirmation | LinkKind::Invite => !is_confirmed,
            LinkKind::MagicLink | LinkKind::Recovery | LinkKind::Reauthentication => true,
            // A mail about an address that was asked for is not sent when another was asked for since.
            LinkKind::EmailChange | LinkKind::EmailChangeCurrent if letter.user.is_none() => is_awaited,
            LinkKind::EmailChange | LinkKind::EmailChangeCurrent => {
                user.text("new_email") == Some(letter.email.as_str())
            }
        };
        Ok(Some(user).filter(|_| makes_sense && !is_banned))
    }

    /// The mail in words.
    fn written(&self, id: Uuid, row: &Record, composed: &Composed) -> Mail {
        let app = self.engine.app();
        let settings = &app.model().settings;
        let site_url = self.site_url();
        let redirect_to = row.text("redirect_to").unwrap_or(&site_url);
        let (link, code) = match (&composed.secrets, composed.kind) {
            (Some(secrets), MailKind::Link(kind)) => {
                (self.link(kind, &secrets.link, redirect_to), secrets.code.expose())
            }
            _ => (site_url.clone(), ""),
        };
        let values = template::Values {
            app: &settings.name,
            email: &composed.to,
            link: &link,
            code,
            token_hash: composed.secrets.as_ref().map_or("", |secrets| secrets.link.expose()),
            minutes: settings.auth.mail_token_seconds.div_ceil(60),
            site_url: &site_url,
            redirect_to,
            method: &composed.method,
            new_email: &composed.new_email,
        };
        let filled = self.post.fill(composed.kind, &values);
        Mail { id, to: composed.to.clone(), subject: filled.subject, text: filled.text, html: filled.html }
    }
}
