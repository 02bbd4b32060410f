//! Signing up: account, identity, profile row, session and refresh token, all in one transaction.
//!
//! Without confirmation by mail an address that is taken cannot be hidden (the other answer is a session), so it is said, as GoTrue does.
//! With confirmation the answer is the same either way, and so is the work: the whole sign-up is made for an address that nobody
//! has, and rolled back; then the one who has the address is told by mail, so that the outbox tells no difference either.

use crate::audit::{self, Actor, Event};
use crate::core::{Core, NewUser, budget_key};
use crate::mail::{Letter, MailKind};
use crate::password::{self, too_many};
use crate::profile;
use crate::records::{self, USERS};
use crate::sessions::Started;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountError, LinkKind, SignUp, SignedUp, Visit};
use undergird_engine::failure::Kind;
use undergird_engine::{Failure, Isolation, Outcome, Record};
use undergird_model::Value;
use undergird_model::field_type::FieldType;
use undergird_model::field_type::json::canonical;
use undergird_plan::{Caller, FieldError};

/// Most bytes of `user_metadata` as JSON: it travels in every access token, and those in a header.
pub const USER_METADATA_BYTES_MAX: usize = 4 * 1024;

/// An address that is one, folded.
pub(crate) fn check_email(email: &str) -> Result<String, AccountError> {
    let email = records::fold(email);
    FieldType::Email.validate(&Value::text(email.clone())).map_err(|_| AccountError::InvalidEmail)?;
    Ok(email)
}

pub(crate) fn check_metadata(data: &Map<String, Json>) -> Result<(), AccountError> {
    let mut errors = Vec::new();
    // The braces; then a colon and a comma each.
    let mut bytes = 1;
    for (name, value) in data {
        // As the store will have it: a name is text as much as what it names.
        match canonical(&Json::from(name.as_str())).and_then(|name| Ok(name.len() + canonical(value)?.len())) {
            Ok(more) => bytes += more + 2,
            Err(message) => errors.push(FieldError {
                pointer: format!("/{}", profile::pointer_step(name)),
                code: "type",
                message,
                nearest: None,
            }),
        }
    }
    match errors.is_empty() {
        _ if bytes > USER_METADATA_BYTES_MAX => Err(AccountError::DataTooLarge { max: USER_METADATA_BYTES_MAX }),
        true => Ok(()),
        false => Err(AccountError::InvalidData(errors)),
    }
}

/// What every account begins with. Roles, tenants and the like never come from a client.
pub(crate) fn app_metadata(roles: &[String]) -> Json {
    let mut metadata = json!({ "provider": "email", "providers": ["email"] });
    if !roles.is_empty() {
        metadata["roles"] = roles.into();
    }
    metadata
}

/// The taken address, as the store tells it.
pub(crate) fn or_taken(failure: Failure) -> AccountError {
    match failure {
        Failure::Constraint(constraint) if constraint.kind == Kind::Unique && constraint.collection == USERS => {
            AccountError::EmailTaken
        }
        other => other.into(),
    }
}

fn is_confirmed(user: &Record) -> bool {
    user.int("email_confirmed_at").is_some()
}

fn is_invited(user: &Record) -> bool {
    user.int("invited_at").is_some()
}

/// Whether a sign-up leaves this account alone.
fn stays(user: &Record) -> bool {
    is_confirmed(user) || is_invited(user) || user.flag("owner_made")
}

enum Made {
    Session(Box<Started>),
    Account(Box<Account>),
}

impl Core {
    pub(crate) async fn sign_up(self: Arc<Self>, visit: Visit, asked: SignUp) -> Result<SignedUp, AccountError> {
        let app = self.engine.app();
        let settings = app.model().settings.auth.clone();
        if !settings.sign_up {
            return Err(AccountError::SignUpClosed);
        }
        let email = check_email(&asked.email)?;
        password::check(&asked.password, &email, settings.password_min)?;
        check_metadata(&asked.data)?;
        let moment = visit.moment;
        self.budgets.sign_ups.take(&budget_key(visit.address), moment.now).map_err(too_many)?;
        let confirmation = self.letter(MailKind::Link(LinkKind::Confirmation), &email, asked.wish)?;
        if settings.confirm_email && self.has_post() {
            self.spend_mail_to(&visit, &email)?;
        }
        let of_email = records::by("email", Value::text(&email), USERS);
        let found = self.engine.records(&Caller::system(moment), of_email).await?.into_iter().next();
        if let Some(user) = found.as_ref().filter(|_| !settings.confirm_email) {
            let event = Event::new("user_repeated_signup", Actor::Nobody, user.uuid("id")).from(visit.address);
            self.note_alone(moment, event).await?;
            return Err(AccountError::EmailTaken);
        }
        // An account that was never confirmed is nobody's: the newest sign-up counts, with its password. One that the owner made, or
        // invited somebody to, stays as it is.
        let taken = found.as_ref().is_some_and(stays);
        let replaced = found.as_ref().filter(|_| !taken).and_then(|user| user.uuid("id"));
        let repeated = found.as_ref().and_then(|user| user.uuid("id"));
        let repeated = Event::new("user_repeated_signup", Actor::Nobody, repeated).from(visit.address);
        let notice = match found.as_ref().filter(|_| taken) {
            None => None,
            Some(user) if is_confirmed(user) => Some(Letter::to(MailKind::AccountExists, &email)),
            Some(user) if is_invited(user) => {
                Some(Letter { kind: MailKind::Link(LinkKind::Invite), ..confirmation.clone() })
            }
            Some(_) => Some(confirmation.clone()),
        };
        // Checked before the costly hash; the transaction plans it again with the model as it is then.
        profile::create(app.model(), uuid::Uuid::nil(), Some(&email), &asked.data, moment)?;
        let hash = self.hasher.hash(&asked.password).await?;
        let (id, identity) = (self.new_id(moment.now)?, self.new_id(moment.now)?);
        let shown_email = email.clone();
        let gate = self.gate().for_address(&email);
        let address = visit.address;
        let attempt = || {
            let (core, gate, data) = (self.clone(), gate.clone(), asked.data.clone());
            let (email, visit, hash, confirmation) = (email.clone(), visit.clone(), hash.clone(), confirmation.clone());
            self.engine.transaction(Isolation::Serializable, move |transaction| {
                let (core, gate) = (core.clone(), gate.clone());
                let (visit, data, hash, confirmation) =
                    (visit.clone(), data.clone(), hash.clone(), confirmation.clone());
                // Of the same domain: a rule of the profile about domains says the same of it.
                let email = match email.rsplit_once('@').filter(|_| taken) {
                    Some((_, domain)) => format!("{}@{domain}", id.simple()),
                    None => email.clone(),
                };
                Box::pin(async move {
                    let system = Caller::system(moment);
                    if let Some(replaced) = replaced {
                        // As it is now: it may have been confirmed, or its owner invited, while the password was hashed.
                        let there = records::user(transaction, &system, replaced).await?;
                        if there.as_ref().is_some_and(stays) {
                            return Err(Failure::Conflict);
                        }
                        core.remove_unconfirmed(transaction, &system, replaced).await?;
                        let event = Event::new("user_deleted", Actor::System, replaced).from(visit.address);
                        audit::note(transaction, moment, event.with(json!({ "why": "replaced" }))).await?;
                    }
                    let profile = profile::create(transaction.app().model(), id, Some(&email), &data, moment);
                    let profile = match profile {
                        Ok(profile) => profile,
                        Err(AccountError::Failed(failure)) => return Err(failure),
                        Err(refused) => return Ok(Outcome::rollback(Err(refused))),
                    };
                    let user = NewUser {
                        id,
                        identity,
                        email: Some(email),
                        password_hash: Some(hash),
                        confirmed: !settings_confirm(transaction),
                        invited: false,
                        owner_made: false,
                        app_metadata: app_metadata(&[]),
                        user_metadata: Json::Object(data),
                    };
                    let confirmed = user.confirmed;
                    user.create(transaction, &system, &gate).await?;
                    if let Some(profile) = profile {
                        transaction.write(&system, profile, None).await?;
                    }
                    if confirmed {
                        core.signed_in_now(transaction, &system, id).await?;
                        let started = core.start_session(transaction, &visit, id, "password").await?;
                        return Ok(Outcome::commit(Ok(Made::Session(Box::new(started)))));
                    }
                    let account = records::account(transaction, &system, id).await?;
                    let account = account.ok_or_else(|| Failure::Internal("an account vanished".into()))?;
                    let made = Ok(Made::Account(Box::new(account)));
                    if taken {
                        return Ok(Outcome::rollback(made));
                    }
                    core.queue(transaction, &system, confirmation).await?;
                    Ok(Outcome::commit(made))
                })
            })
        };
        let made = loop {
            let made = attempt().await;
            if !self.past(&gate, address).await? {
                break made.map_err(or_taken)??;
            }
        };
        if let Some(notice) = notice {
            // The one that has the address is told; the one that signs up sees no difference, and this commit stands for the other one.
            self.queue_notice(moment, notice, repeated).await?;
        }
        self.post.wake();
        match made {
            Made::Session(started) => Ok(SignedUp::In(Box::new(self.tokens(*started).await?))),
            Made::Account(mut account) => {
                show_email(&mut account, &shown_email);
                Ok(SignedUp::Unconfirmed(account))
            }
        }
    }

    /// A sign-up that is signed in at once counts as a sign-in.
    pub(crate) async fn signed_in_now(
        &self,
        transaction: &mut undergird_engine::Transaction<'_>,
        system: &Caller,
        id: uuid::Uuid,
    ) -> Result<(), Failure> {
        use undergird_plan::request::Verb;
        let now = Value::Timestamp(system.moment().now);
        for (collection, column) in [(USERS, "id"), (records::IDENTITIES, "user_id")] {
            let row = records::as_verb(records::by(column, Value::Uuid(id), collection), Verb::Update);
            transaction.write(system, row.with_row([("last_sign_in_at", now.clone())]), None).await?;
        }
        Ok(())
    }
}

fn settings_confirm(transaction: &undergird_engine::Transaction<'_>) -> bool {
    transaction.app().model().settings.auth.confirm_email
}

/// The account that was made for show bears the address that was asked for.
fn show_email(account: &mut Account, email: &str) {
    account.email = Some(email.to_owned());
    for identity in &mut account.identities {
        if let Some(shown) = identity.data.get_mut("email") {
            *shown = email.into();
        }
    }
}
