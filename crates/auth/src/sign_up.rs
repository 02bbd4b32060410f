//! Signing up: account, identity, profile row, session and refresh token, all in one transaction.
//!
//! Without confirmation by mail an address that is taken cannot be hidden (the other answer is a session), so it is said, as GoTrue does.
//! With confirmation the answer is the same either way, and so is the work: the whole sign-up is made for an address that nobody
//! has, and rolled back.

use crate::core::{Core, NewUser, budget_key};
use crate::password::{self, too_many};
use crate::profile;
use crate::records::{self, USERS};
use crate::sessions::Started;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountError, SignUp, SignedUp, Visit};
use undergird_engine::failure::Kind;
use undergird_engine::{Failure, Isolation, Outcome};
use undergird_model::Value;
use undergird_model::field_type::FieldType;
use undergird_model::field_type::json::canonical;
use undergird_plan::request::{ColumnPath, SelectColumn, SelectItem};
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

enum Made {
    Session(Box<Started>),
    Account(Box<Account>),
}

impl Core {
    pub(crate) async fn has_email(&self, system: &Caller, email: &str) -> Result<bool, Failure> {
        let mut request = records::by("email", Value::text(email), USERS);
        request.shape.select = Some(vec![SelectItem::Column(SelectColumn {
            alias: None,
            column: ColumnPath { name: "id".into(), steps: Vec::new() },
            cast: None,
            aggregate: None,
            aggregate_cast: None,
        })]);
        Ok(!self.engine.records(system, request).await?.is_empty())
    }

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
        let taken = self.has_email(&Caller::system(moment), &email).await?;
        if taken && !settings.confirm_email {
            return Err(AccountError::EmailTaken);
        }
        // Checked before the costly hash; the transaction plans it again with the model as it is then.
        profile::create(app.model(), uuid::Uuid::nil(), &email, &asked.data, moment)?;
        let hash = self.hasher.hash(&asked.password).await?;
        let (id, identity) = (self.new_id(moment.now)?, self.new_id(moment.now)?);
        let core = self.clone();
        let shown_email = email.clone();
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            let (visit, data, hash) = (visit.clone(), asked.data.clone(), hash.clone());
            let email = if taken { format!("{id}@taken.invalid") } else { email.clone() };
            Box::pin(async move {
                let system = Caller::system(moment);
                let profile = profile::create(transaction.app().model(), id, &email, &data, moment);
                let profile = match profile {
                    Ok(profile) => profile,
                    Err(AccountError::Failed(failure)) => return Err(failure),
                    Err(refused) => return Ok(Outcome::rollback(Err(refused))),
                };
                let user = NewUser {
                    id,
                    identity,
                    email,
                    password_hash: Some(hash),
                    confirmed: !settings_confirm(transaction),
                    app_metadata: app_metadata(&[]),
                    user_metadata: Json::Object(data),
                };
                let confirmed = user.confirmed;
                user.create(transaction, &system).await?;
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
                Ok(if taken { Outcome::rollback(made) } else { Outcome::commit(made) })
            })
        });
        match made.await.map_err(or_taken)?? {
            Made::Session(started) => Ok(SignedUp::In(Box::new(self.tokens(*started)?))),
            Made::Account(mut account) => {
                show_email(&mut account, &shown_email);
                Ok(SignedUp::Unconfirmed(account))
            }
        }
    }

    /// A sign-up that is signed in at once counts as a sign-in.
    async fn signed_in_now(
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
