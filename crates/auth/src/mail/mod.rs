//! Mails: the one door by which they leave. Whoever wants one sent queues a [`Letter`] in the transaction of what it is about; a row says what
//! for and to whom. When it is sent (`deliver.rs`) it is looked up whether there is anything to say, and the secrets are made.
//! So nothing is lost in a crash, no secret is ever stored, and an address that nobody has costs the caller the same work.
//!
//! Deliberately absent: what a mail proves ([`crate::verify`]), mails of the application's own functions.

mod deliver;
mod notices;
mod smtp;
mod template;

pub use smtp::{Smtp, SmtpTls};
pub use template::{TemplateMistake, Templates};

use crate::audit::{self, Actor, Event};
use crate::core::{Core, Options, budget_key};
use crate::pkce;
use crate::records::MAILS;
use crate::sign_up::check_email;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use smtp::Carrier;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use template::Filled;
use tokio::sync::Notify;
use undergird_engine::accounts::{AccountError, InboxMail, LinkError, LinkKind, Visit, Wish};
use undergird_engine::{Failure, Isolation, Outcome, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

/// Mails that `dev` shows; older ones are forgotten.
const INBOX_MAX: usize = 100;
/// How long a notice may wait for a server that is away. What it tells is true still, unlike a link.
const NOTICE_LIFE_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// How mails leave.
#[derive(Clone, Debug, Default)]
pub enum Transport {
    /// Not at all: what needs a mail is refused.
    #[default]
    None,
    /// Into memory, to be looked at: `dev` without a mail server.
    Inbox,
    /// By a server.
    Smtp(Smtp),
}

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MailKind {
    /// It has a link and a code.
    Link(LinkKind),
    /// Somebody signed up with an address that has an account.
    AccountExists,
    /// To the old address of an account that has another now.
    EmailChanged,
    /// The password was changed.
    PasswordChanged,
    /// A second factor is in use from now on, or recovery codes are.
    FactorAdded,
    /// One is not any more.
    FactorRemoved,
    /// A passkey signs in from now on.
    PasskeyAdded,
    /// One does not any more.
    PasskeyRemoved,
    /// A recovery code stood in for a second factor.
    RecoveryCodeUsed,
    /// An account elsewhere signs in from now on.
    IdentityLinked,
    /// One does not any more.
    IdentityUnlinked,
}

impl MailKind {
    pub(crate) const ALL: [MailKind; 17] = [
        MailKind::Link(LinkKind::Confirmation),
        MailKind::Link(LinkKind::MagicLink),
        MailKind::Link(LinkKind::Recovery),
        MailKind::Link(LinkKind::Invite),
        MailKind::Link(LinkKind::EmailChange),
        MailKind::Link(LinkKind::EmailChangeCurrent),
        MailKind::Link(LinkKind::Reauthentication),
        MailKind::AccountExists,
        MailKind::EmailChanged,
        MailKind::PasswordChanged,
        MailKind::FactorAdded,
        MailKind::FactorRemoved,
        MailKind::PasskeyAdded,
        MailKind::PasskeyRemoved,
        MailKind::RecoveryCodeUsed,
        MailKind::IdentityLinked,
        MailKind::IdentityUnlinked,
    ];

    /// As its row and its template's file are named; as Supabase names its templates, where it has one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            MailKind::Link(LinkKind::Confirmation) => "confirmation",
            MailKind::Link(LinkKind::MagicLink) => "magic_link",
            MailKind::Link(LinkKind::Recovery) => "recovery",
            MailKind::Link(LinkKind::Invite) => "invite",
            MailKind::Link(LinkKind::EmailChange) => "email_change",
            MailKind::Link(LinkKind::EmailChangeCurrent) => "email_change_current",
            MailKind::Link(LinkKind::Reauthentication) => "reauthentication",
            MailKind::AccountExists => "account_exists",
            MailKind::EmailChanged => "email_changed",
            MailKind::PasswordChanged => "password_changed",
            MailKind::FactorAdded => "mfa_factor_enrolled",
            MailKind::FactorRemoved => "mfa_factor_unenrolled",
            MailKind::PasskeyAdded => "passkey_added",
            MailKind::PasskeyRemoved => "passkey_removed",
            MailKind::RecoveryCodeUsed => "recovery_code_used",
            MailKind::IdentityLinked => "identity_linked",
            MailKind::IdentityUnlinked => "identity_unlinked",
        }
    }

    fn of(name: &str) -> Option<MailKind> {
        MailKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) kind: MailKind,
    /// Folded.
    pub(crate) email: String,
    /// Whose, where the address does not say it.
    pub(crate) user: Option<Uuid>,
    /// Allowed.
    pub(crate) redirect_to: Option<String>,
    /// Checked.
    pub(crate) challenge: Option<String>,
    /// Of an account that is to be made when nobody has the address; of a notice, by what method (`notices.rs`).
    pub(crate) data: Option<Map<String, Json>>,
}

impl Letter {
    /// One that says no more.
    pub(crate) fn to(kind: MailKind, email: &str) -> Letter {
        Letter { kind, email: email.to_owned(), user: None, redirect_to: None, challenge: None, data: None }
    }
}

/// The post office of an application.
pub(crate) struct Post {
    carrier: Carrier,
    templates: Templates,
    inbox: Mutex<VecDeque<InboxMail>>,
    queued: Notify,
}

impl Post {
    /// # Errors
    /// The way to the server cannot be made up: a sentence.
    pub(crate) fn new(options: &Options) -> Result<Post, String> {
        Ok(Post {
            carrier: Carrier::new(&options.transport, &options.public_url)?,
            templates: options.templates.clone(),
            inbox: Mutex::default(),
            queued: Notify::new(),
        })
    }

    fn is_there(&self) -> bool {
        !matches!(self.carrier, Carrier::None)
    }

    /// Says that something was queued, after the commit.
    pub(crate) fn wake(&self) {
        self.queued.notify_one();
    }

    fn shows(&self) -> bool {
        matches!(self.carrier, Carrier::Inbox)
    }

    pub(crate) fn inbox(&self) -> Option<Vec<InboxMail>> {
        self.shows().then(|| self.inbox.lock().iter().cloned().collect())
    }

    fn keep(&self, mail: InboxMail) {
        let mut inbox = self.inbox.lock();
        inbox.truncate(INBOX_MAX - 1);
        inbox.push_front(mail);
    }

    fn fill(&self, kind: MailKind, values: &template::Values<'_>) -> Filled {
        self.templates.fill(kind, values)
    }
}

impl Core {
    /// That mails leave at all.
    pub(crate) fn demand_post(&self) -> Result<(), LinkError> {
        if self.post.is_there() { Ok(()) } else { Err(LinkError::MailUnavailable) }
    }

    /// Whether mails leave at all.
    pub(crate) fn has_post(&self) -> bool {
        self.post.is_there()
    }

    /// How long what is in a mail is good for.
    pub(crate) fn mail_life_micros(&self) -> i64 {
        i64::from(self.engine.app().model().settings.auth.mail_token_seconds).saturating_mul(1_000_000)
    }

    /// A mail that a client asked for, with all that it may say about it checked.
    pub(crate) fn letter(&self, kind: MailKind, email: &str, wish: Wish) -> Result<Letter, AccountError> {
        if let Some(challenge) = &wish.challenge {
            pkce::check_challenge(challenge)?;
        }
        Ok(Letter {
            redirect_to: self.allowed(wish.redirect_to.as_deref()),
            challenge: wish.challenge,
            ..Letter::to(kind, &check_email(email)?)
        })
    }

    /// Takes one mail from the budgets: of its recipient, of who asks, and of all. The first is the one that protects a person, and is taken
    /// whether somebody has the address or not.
    pub(crate) fn spend_mail_to(&self, visit: &Visit, email: &str) -> Result<(), AccountError> {
        let too_many = |retry_after: Duration| LinkError::TooManyMails { retry_after };
        let now = visit.moment.now;
        self.budgets.mails_from.take(&budget_key(visit.address), now).map_err(too_many)?;
        self.budgets.mails_to.take(&email, now).map_err(too_many)?;
        self.spend_mail(now)
    }

    /// Takes one mail from the budget of all.
    pub(crate) fn spend_mail(&self, now: i64) -> Result<(), AccountError> {
        let too_many = |retry_after: Duration| LinkError::TooManyMails { retry_after };
        Ok(self.budgets.mails.take(&(), now).map_err(too_many)?)
    }

    /// Queues a mail that is about nothing else that is written.
    pub(crate) async fn queue_alone(self: &Arc<Self>, visit: &Visit, letter: Letter) -> Result<(), AccountError> {
        self.demand_post()?;
        self.spend_mail_to(visit, &letter.email)?;
        // Whose it is, if anybody's, is found out when it is sent.
        let event = Event::new("mail_asked", Actor::Nobody, None).from(visit.address);
        let event = event.with(serde_json::json!({ "kind": letter.kind.name() }));
        self.queue_notice(visit.moment, letter, event).await?;
        self.post.wake();
        Ok(())
    }

    /// Queues a mail in a transaction of its own, past the budgets, with the event that it is about.
    pub(crate) async fn queue_notice(
        self: &Arc<Self>,
        moment: Moment,
        letter: Letter,
        event: Event,
    ) -> Result<(), Failure> {
        let core = self.clone();
        let queued = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, letter, event) = (core.clone(), letter.clone(), event.clone());
            Box::pin(async move {
                core.queue(transaction, &Caller::system(moment), letter).await?;
                audit::note(transaction, moment, event).await?;
                Ok(Outcome::commit(()))
            })
        });
        queued.await
    }

    /// Queues a mail in the transaction of what it is about. After the commit, [`Post::wake`]. Without a way for mails to leave, nothing
    /// is queued.
    pub(crate) async fn queue(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        letter: Letter,
    ) -> Result<(), Failure> {
        let is_wanted = !letter.kind.is_notice() || transaction.app().model().settings.mail.notices;
        if !self.post.is_there() || !is_wanted {
            return Ok(());
        }
        let now = system.moment().now;
        let life = if letter.kind.is_notice() { NOTICE_LIFE_MICROS } else { self.mail_life_micros() };
        let optional = |text: Option<String>| text.map_or(Value::Null, Value::Text);
        let row = [
            ("id", Value::Uuid(self.new_id(now)?)),
            ("kind", Value::text(letter.kind.name())),
            ("email", Value::Text(letter.email)),
            ("user_id", letter.user.map_or(Value::Null, Value::Uuid)),
            ("redirect_to", optional(letter.redirect_to)),
            ("challenge", optional(letter.challenge)),
            ("data", letter.data.map_or(Value::Null, |data| Value::Json(Json::Object(data).to_string()))),
            ("attempts", Value::Int(0)),
            ("due_at", Value::Timestamp(now)),
            ("created_at", Value::Timestamp(now)),
            ("expires_at", Value::Timestamp(now.saturating_add(life))),
        ];
        transaction.write(system, Request::new(MAILS, Verb::Create).with_row(row), None).await.map(|_| ())
    }
}
