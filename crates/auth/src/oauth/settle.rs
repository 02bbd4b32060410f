//! Whose account a person of a provider is, decided inside a transaction.
//!
//! By the identity if it is known. Else by the address, if the provider has verified it: an account whose address was proved gets one more
//! way to sign in. One whose address nobody ever proved may have been made by a stranger who waits for its owner: it is handed over, which
//! means that all by which the stranger could come back is gone. Else it is a new account. An address that is not verified decides nothing.
//!
//! Deliberately absent: how the person was made sure of ([`super`]).

use super::person::Person;
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::factors::{counts, factors_of};
use crate::hooks::{Draft, Gate};
use crate::mail::MailKind;
use crate::one_time;
use crate::profile;
use crate::records::{self, FACTORS, IDENTITIES, PASSKEYS, USERS};
use crate::revocations::Revocation;
use crate::sign_up::check_metadata;
use serde_json::{Map, Value as Json, json};
use undergird_engine::accounts::{AccountError, FactorError, ProviderError, Visit};
use undergird_engine::{Failure, Record, Transaction};
use undergird_model::Value;
use undergird_plan::request::{Request, Verb};
use undergird_plan::{Caller, Refusal};
use uuid::Uuid;

/// Most identities of an account.
const IDENTITIES_MAX: usize = 20;

impl Core {
    /// The account of a person, who signs in. What comes beside goes into [`Core::revoked`] after the commit.
    pub(super) async fn settle(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        provider: &str,
        (person, gate): (&Person, &Gate),
    ) -> Result<(Uuid, Vec<Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        if let Some(identity) = identity_of(transaction, &system, provider, person).await? {
            let id = identity.uuid("user_id").ok_or(AccountError::AccountMissing)?;
            let user = records::user(transaction, &system, id).await?.ok_or(AccountError::AccountMissing)?;
            refuse_banned(&user, visit)?;
            self.refresh_identity(transaction, &system, &identity, person).await?;
            return Ok((id, Vec::new()));
        }
        let email = person.email.as_deref().filter(|_| person.verified).ok_or(ProviderError::AddressUnverified)?;
        let found = records::by("email", Value::text(email), USERS);
        let Some(user) = transaction.records(&system, found).await?.into_iter().next() else {
            return Ok((self.begin(transaction, &system, provider, (person, gate), email).await?, Vec::new()));
        };
        refuse_banned(&user, visit)?;
        let id = user.uuid("id").ok_or(AccountError::AccountMissing)?;
        let is_proved = user.int("email_confirmed_at").is_some() && user.int("email_proved_at").is_some();
        let ended = match is_proved {
            true => Vec::new(),
            false => self.hand_over(transaction, &system, id, person).await?,
        };
        self.add_identity(transaction, visit, id, provider, person).await?;
        Ok((id, ended))
    }

    /// One more identity for an account whose user asked for it.
    pub(super) async fn link_person(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        (id, session): (Uuid, Uuid),
        provider: &str,
        person: &Person,
    ) -> Result<(), AccountError> {
        let system = Caller::system(visit.moment);
        // Whoever signed out meanwhile asked for nothing any more.
        crate::factors::session_of(transaction, &system, id, session).await?;
        let user = records::user(transaction, &system, id).await?.ok_or(AccountError::AccountMissing)?;
        refuse_banned(&user, visit)?;
        match identity_of(transaction, &system, provider, person).await? {
            Some(identity) if identity.uuid("user_id") == Some(id) => return Err(ProviderError::LinkedAlready.into()),
            Some(_) => return Err(ProviderError::TakenByAnother.into()),
            None => {}
        }
        self.add_identity(transaction, visit, id, provider, person).await?;
        if user.text("email").is_some() {
            return Ok(());
        }
        // An anonymous account becomes a lasting one.
        let now = Value::Timestamp(visit.moment.now);
        let mut row = vec![("is_anonymous", Value::Bool(false)), ("updated_at", now.clone())];
        let email = person.email.as_deref().filter(|_| person.verified);
        if let Some(email) = email {
            let found = records::by("email", Value::text(email), USERS);
            if !transaction.records(&system, found).await?.is_empty() {
                return Err(ProviderError::AddressTaken.into());
            }
            row.extend([("email", Value::text(email)), ("email_confirmed_at", now.clone()), ("email_proved_at", now)]);
        }
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id)).with_row(row);
        transaction.write(&system, request, None).await?;
        if let Some(email) = email {
            profile::change_email(transaction, &system, id, email).await?;
        }
        Ok(())
    }

    /// A new account, with its identity and its profile row.
    async fn begin(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        provider: &str,
        (person, gate): (&Person, &Gate),
        email: &str,
    ) -> Result<Uuid, AccountError> {
        let moment = system.moment();
        if !transaction.app().model().settings.auth.sign_up {
            return Err(AccountError::SignUpClosed);
        }
        let fresh = self.new_id(moment.now)?;
        let id = gate.id().unwrap_or(fresh);
        let now = Value::Timestamp(moment.now);
        let metadata = metadata_of(person);
        let app = json!({ "provider": provider, "providers": [provider] });
        let user_metadata = Json::Object(metadata.clone());
        let email_known = Some(email.to_owned());
        gate.pass(Draft { id, email: email_known, app_metadata: app.clone(), user_metadata: user_metadata.clone() })?;
        let row = [
            ("id", Value::Uuid(id)),
            ("email", Value::text(email)),
            ("email_confirmed_at", now.clone()),
            ("email_proved_at", now.clone()),
            ("app_metadata", Value::Json(app.to_string())),
            ("user_metadata", Value::Json(user_metadata.to_string())),
            ("created_at", now.clone()),
            ("updated_at", now),
        ];
        transaction.write(system, Request::new(USERS, Verb::Create).with_row(row), None).await?;
        self.put_identity(transaction, system, id, provider, person).await?;
        let event = Event::new("user_created", Actor::System, id).with(json!({ "provider": provider }));
        audit::note(transaction, moment, event).await?;
        make_profile(transaction, system, id, email, metadata).await?;
        Ok(id)
    }

    /// The account's address is this person's, as its provider has verified, and nobody proved it before: whatever was there before can be a
    /// stranger's, so nothing of it signs in any more.
    async fn hand_over(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        id: Uuid,
        person: &Person,
    ) -> Result<Vec<Revocation>, AccountError> {
        // A mailbox is one factor: it must not do away with a second one. Whoever has both signs in as before.
        if factors_of(transaction, system, id).await?.iter().any(counts) {
            return Err(FactorError::AssuranceNeeded.into());
        }
        // Recovery codes go with the factors that they stand in for.
        for collection in [IDENTITIES, FACTORS, PASSKEYS] {
            let theirs = records::by("user_id", Value::Uuid(id), collection);
            transaction.write(system, records::as_verb(theirs, Verb::Delete), None).await?;
        }
        one_time::void(transaction, system, id).await?;
        let sessions = self.sessions_of(transaction, system, id).await?;
        let ended = self.end_sessions(transaction, system, &sessions).await?;
        let now = Value::Timestamp(system.moment().now);
        // What the owner wrote there stays.
        let user = records::user(transaction, system, id).await?.ok_or(AccountError::AccountMissing)?;
        let metadata = match records::json(&user, "user_metadata") {
            Json::Object(metadata) if user.flag("owner_made") => metadata,
            _ => metadata_of(person),
        };
        let row = [
            ("password_hash", Value::Null),
            ("new_email", Value::Null),
            ("user_metadata", Value::Json(Json::Object(metadata).to_string())),
            ("email_confirmed_at", now.clone()),
            ("email_proved_at", now.clone()),
            ("updated_at", now),
        ];
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id));
        transaction.write(system, request.with_row(row), None).await?;
        let told = json!({ "sessions": sessions.len() });
        audit::note(transaction, system.moment(), Event::new("user_handed_over", Actor::System, id).with(told)).await?;
        Ok(ended)
    }

    async fn add_identity(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        id: Uuid,
        provider: &str,
        person: &Person,
    ) -> Result<(), AccountError> {
        let system = Caller::system(visit.moment);
        let theirs = records::by("user_id", Value::Uuid(id), IDENTITIES);
        if transaction.records(&system, theirs).await?.len() >= IDENTITIES_MAX {
            return Err(ProviderError::TooMany.into());
        }
        self.put_identity(transaction, &system, id, provider, person).await?;
        tell_providers(transaction, &system, id, Some(person)).await?;
        let event = Event::new("identity_linked", Actor::User, id).from(visit.address);
        audit::note(transaction, visit.moment, event.with(json!({ "provider": provider }))).await?;
        Ok(self.tell_user(transaction, &system, id, (MailKind::IdentityLinked, provider)).await?)
    }

    async fn put_identity(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        id: Uuid,
        provider: &str,
        person: &Person,
    ) -> Result<(), Failure> {
        let moment = system.moment();
        let now = Value::Timestamp(moment.now);
        let row = [
            ("id", Value::Uuid(self.new_id(moment.now)?)),
            ("user_id", Value::Uuid(id)),
            ("provider", Value::text(provider)),
            ("provider_id", Value::text(person.subject.as_str())),
            ("data", Value::Json(Json::Object(person.data.clone()).to_string())),
            ("last_sign_in_at", now.clone()),
            ("created_at", now.clone()),
            ("updated_at", now),
        ];
        transaction.write(system, Request::new(IDENTITIES, Verb::Create).with_row(row), None).await.map(|_| ())
    }

    /// What the provider says of a known person may have changed. The account's own address stays.
    async fn refresh_identity(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        identity: &Record,
        person: &Person,
    ) -> Result<(), Failure> {
        let mut data = match records::json(identity, "data") {
            Json::Object(data) => data,
            _ => Map::new(),
        };
        // Apple tells a name once.
        data.extend(person.data.clone());
        let now = Value::Timestamp(system.moment().now);
        let row = [
            ("data", Value::Json(Json::Object(data).to_string())),
            ("last_sign_in_at", now.clone()),
            ("updated_at", now),
        ];
        let id = identity.uuid("id").unwrap_or_default();
        let request = Request::new(IDENTITIES, Verb::Update).with_equal("id", Value::Uuid(id)).with_row(row);
        transaction.write(system, request, None).await.map(|_| ())
    }
}

pub(super) fn refuse_banned(user: &Record, visit: &Visit) -> Result<(), AccountError> {
    match user.int("banned_until").is_some_and(|until| visit.moment.now < until) {
        true => Err(AccountError::Banned),
        false => Ok(()),
    }
}

async fn identity_of(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    provider: &str,
    person: &Person,
) -> Result<Option<Record>, Failure> {
    let request = records::by("provider", Value::text(provider), IDENTITIES)
        .with_equal("provider_id", Value::text(person.subject.as_str()));
    Ok(transaction.records(system, request).await?.into_iter().next())
}

/// What a person's own words are from the beginning: what the provider says, as far as it has room in a token.
fn metadata_of(person: &Person) -> Map<String, Json> {
    let mut data = person.data.clone();
    if check_metadata(&data).is_err() {
        data.retain(|name, _| {
            ["email", "email_verified", "sub", "iss", "provider_id", "name"].contains(&name.as_str())
        });
    }
    data
}

/// `app_metadata.provider` and `providers` are the identities that there are; `user_metadata` gets what it does not say yet.
pub(super) async fn tell_providers(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    id: Uuid,
    person: Option<&Person>,
) -> Result<(), AccountError> {
    let user = records::user(transaction, system, id).await?.ok_or(AccountError::AccountMissing)?;
    let mut rows = transaction.records(system, records::by("user_id", Value::Uuid(id), IDENTITIES)).await?;
    rows.sort_by_key(|row| row.int("created_at"));
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(|row| row.text("provider")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut app = match records::json(&user, "app_metadata") {
        Json::Object(app) => app,
        _ => Map::new(),
    };
    let stays = app.get("provider").and_then(Json::as_str).is_some_and(|name| names.contains(&name));
    if !stays {
        app.insert("provider".into(), names.first().copied().into());
    }
    app.insert("providers".into(), names.into());
    let mut row = vec![("app_metadata", Value::Json(Json::Object(app).to_string()))];
    if let Some(person) = person {
        let mut merged = metadata_of(person);
        if let Json::Object(own) = records::json(&user, "user_metadata") {
            merged.extend(own);
        }
        if check_metadata(&merged).is_ok() {
            row.push(("user_metadata", Value::Json(Json::Object(merged).to_string())));
        }
    }
    let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id)).with_row(row);
    transaction.write(system, request, None).await?;
    Ok(())
}

/// The profile row of a new account. Its fields of the same names get what the provider says, where that fits.
async fn make_profile(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    id: Uuid,
    email: &str,
    mut data: Map<String, Json>,
) -> Result<(), AccountError> {
    let app = transaction.app().clone();
    loop {
        let refused = match profile::create(app.model(), id, Some(email), &data, system.moment()) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => match transaction.write(system, request, None).await {
                Ok(_) => return Ok(()),
                Err(Failure::Refused(Refusal::Invalid { errors })) => errors,
                Err(failure) => return Err(failure.into()),
            },
            Err(AccountError::InvalidData(errors)) => errors,
            Err(other) => return Err(other),
        };
        // The user did not write this, so it is left out and not complained about; what is missing even so is.
        let before = data.len();
        data.retain(|name, _| {
            !refused.iter().any(|error| error.pointer == format!("/{}", profile::pointer_step(name)))
        });
        if data.len() == before {
            return Err(AccountError::InvalidData(refused));
        }
    }
}
