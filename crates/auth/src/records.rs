//! Rows of the system collections as accounts, and the requests that get them. All of them ordinary plans of the system caller.

use serde_json::Value as Json;
use undergird_engine::accounts::{Account, AccountFactor, AccountIdentity};
use undergird_engine::{Engine, Failure, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{ColumnPath, Condition, Operand, Operator, OrderItem, Request, Test, Verb};
use uuid::Uuid;

pub(crate) const USERS: &str = "_users";
pub(crate) const IDENTITIES: &str = "_identities";
pub(crate) const SESSIONS: &str = "_sessions";
pub(crate) const AUDIT_LOG: &str = "_audit_log";
pub(crate) const SERVICE_KEYS: &str = "_service_keys";
pub(crate) const FACTORS: &str = "_factors";
/// The kinds of what is in there.
pub(crate) const TOTP: &str = "totp";
/// See [`TOTP`].
pub(crate) const WEBAUTHN: &str = "webauthn";
/// What counts as a factor by itself.
pub(crate) const FACTOR_KINDS: [&str; 2] = [TOTP, WEBAUTHN];
/// See [`TOTP`].
pub(crate) const RECOVERY_CODE: &str = "recovery_code";
pub(crate) const CHALLENGES: &str = "_factor_challenges";
pub(crate) const RECOVERY_CODES: &str = "_recovery_codes";
pub(crate) const PASSKEYS: &str = "_passkeys";
pub(crate) const PASSKEY_CHALLENGES: &str = "_passkey_challenges";
pub(crate) const REFRESH_TOKENS: &str = "_refresh_tokens";
pub(crate) const ONE_TIME_TOKENS: &str = "_one_time_tokens";
pub(crate) const MAILS: &str = "_mails";
pub(crate) const PROVIDER_FLOWS: &str = "_provider_flows";
/// Announced to the other nodes when sessions end.
pub(crate) const TOPIC_SESSIONS: &str = "sessions";
/// Announced to the other nodes when the signing keys change.
pub(crate) const TOPIC_KEYS: &str = "keys";
pub(crate) const REVOCATIONS: &str = "_revocations";
pub(crate) const SIGNING_KEYS: &str = "_signing_keys";

/// Rows asked for at a time where there may be many; below every sensible `[limits] rows`.
pub(crate) const PAGE: usize = 500;

/// An address as it is kept and looked for.
pub(crate) fn fold(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The rows of a collection with a value.
pub(crate) fn by(column: &str, value: Value, collection: &str) -> Request {
    Request::new(collection, Verb::Read).with_equal(column, value)
}

/// The same condition for another verb.
pub(crate) fn as_verb(mut request: Request, verb: Verb) -> Request {
    request.shape.verb = verb;
    request
}

/// One more condition.
pub(crate) fn and(mut request: Request, column: &str, operator: Operator, operand: Operand) -> Request {
    let operand = Some(request.slot(operand));
    let column = ColumnPath { name: column.into(), steps: Vec::new() };
    request.shape.filter.push(Condition::Test(Test { column, operator, operand }));
    request
}

/// A page of a request's rows in order of a column, after a value of it.
pub(crate) fn page(mut request: Request, column: &str, after: Option<Value>, rows: usize) -> Request {
    if let Some(after) = after {
        request = and(request, column, Operator::Gt(None), Operand::Value(after));
    }
    let column = ColumnPath { name: column.into(), steps: Vec::new() };
    request.shape.order = vec![OrderItem { relation: None, column, descending: false, nulls_first: None }];
    let rows = Value::Int(i64::try_from(rows).unwrap_or(i64::MAX));
    request.shape.limit = Some(request.slot(Operand::Value(rows)));
    request
}

/// All rows of a request, page by page in order of `id`.
pub(crate) async fn all(engine: &Engine, system: &Caller, request: &Request) -> Result<Vec<Record>, Failure> {
    let mut rows: Vec<Record> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.get("id").clone());
        let more = engine.records(system, page(request.clone(), "id", after, PAGE)).await?;
        let done = more.len() < PAGE;
        rows.extend(more);
        if done {
            return Ok(rows);
        }
    }
}

/// A user's row.
pub(crate) async fn user(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    id: Uuid,
) -> Result<Option<Record>, Failure> {
    Ok(transaction.records(system, by("id", Value::Uuid(id), USERS)).await?.into_iter().next())
}

/// Notes that the address of an account is its user's, and since when that is known.
pub(crate) async fn prove_address(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
) -> Result<(), Failure> {
    let now = Value::Timestamp(system.moment().now);
    let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
    transaction.write(system, request.with_row([("email_proved_at", now)]), None).await.map(|_| ())
}

/// An account with its identities, as of now in a transaction.
pub(crate) async fn account(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    id: Uuid,
) -> Result<Option<Account>, Failure> {
    let Some(user) = user(transaction, system, id).await? else { return Ok(None) };
    let identities = transaction.records(system, by("user_id", Value::Uuid(id), IDENTITIES)).await?;
    let factors = transaction.records(system, by("user_id", Value::Uuid(id), FACTORS)).await?;
    Ok(Some(to_account(&user, &identities, &factors)))
}

pub(crate) fn to_account(user: &Record, identities: &[Record], factors: &[Record]) -> Account {
    Account {
        id: user.uuid("id").unwrap_or_default(),
        email: user.text("email").map(str::to_owned),
        new_email: user.text("new_email").map(str::to_owned),
        is_anonymous: user.flag("is_anonymous"),
        invited_at: user.int("invited_at"),
        email_confirmed_at: user.int("email_confirmed_at"),
        last_sign_in_at: user.int("last_sign_in_at"),
        app_metadata: json(user, "app_metadata"),
        user_metadata: json(user, "user_metadata"),
        identities: identities.iter().map(to_identity).collect(),
        factors: factors.iter().filter_map(to_factor).collect(),
        banned_until: user.int("banned_until"),
        created_at: user.int("created_at").unwrap_or_default(),
        updated_at: user.int("updated_at").unwrap_or_default(),
    }
}

/// What counts as a factor by itself: clients know no kind beside, and what they do not know, they stumble over.
fn to_factor(row: &Record) -> Option<AccountFactor> {
    let kind = row.text("kind").filter(|kind| FACTOR_KINDS.contains(kind))?;
    Some(AccountFactor {
        id: row.uuid("id")?,
        kind: kind.to_owned(),
        name: row.text("name").map(str::to_owned),
        verified: row.int("verified_at").is_some(),
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

fn to_identity(row: &Record) -> AccountIdentity {
    AccountIdentity {
        id: row.uuid("id").unwrap_or_default(),
        provider: row.text("provider").unwrap_or_default().to_owned(),
        provider_id: row.text("provider_id").unwrap_or_default().to_owned(),
        data: json(row, "data"),
        created_at: row.int("created_at").unwrap_or_default(),
        last_sign_in_at: row.int("last_sign_in_at"),
        updated_at: row.int("updated_at").unwrap_or_default(),
    }
}

/// A json field; null when it is absent.
pub(crate) fn json(row: &Record, name: &str) -> Json {
    row.text(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Json::Null)
}

pub(crate) fn optional_time(at: Option<i64>) -> Value {
    at.map_or(Value::Null, Value::Timestamp)
}
