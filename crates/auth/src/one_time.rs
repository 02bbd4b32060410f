//! What is good for one use: links and codes in mails, and the codes that a followed link gives to a flow with PKCE.
//!
//! A mail has two secrets: a long one in its link (256 bits) and a short code of six digits. Both are MACs of the mail's id under a key
//! that is derived from the secret API key, so a mail that is sent again says the same, and nothing of it needs to be stored. What is stored is
//! the hash of the long one and a MAC of the short one. Using one is removing its row, and whoever removes it was the only one.
//!
//! Deliberately absent: what a token proves ([`crate::verify`]), and the mails themselves ([`crate::mail`]).

use crate::api_keys::{Keys, sha256};
use crate::records::{self, MAILS, ONE_TIME_TOKENS, USERS};
use crate::signing::SigningError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use serde_json::Value as Json;
use subtle::ConstantTimeEq;
use undergird_engine::accounts::{LinkKind, Secret};
use undergird_engine::{Failure, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// How the long secrets begin, for secret scanners.
pub(crate) const LINK_PREFIX: &str = "ug_link_";
/// How the codes of flows begin.
pub(crate) const FLOW_PREFIX: &str = "ug_code_";
/// The kind of such a code.
const FLOW: &str = "code";
/// How long it is good for: a redirect takes less.
const FLOW_MICROS: i64 = 5 * 60 * 1_000_000;
/// After so many wrong guesses a short code is good for nothing; its link still is.
const GUESSES_MAX: i64 = 10;
/// Longest text that is looked at.
const CHARS_MAX: usize = 128;

/// The key of all of them.
#[derive(Clone)]
pub(crate) struct OneTimeKey(hmac::Key);

/// The two secrets of a mail.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) link: Secret,
    pub(crate) code: Secret,
}

impl OneTimeKey {
    pub(crate) fn new(keys: &Keys) -> Result<OneTimeKey, SigningError> {
        let extracted = Salt::new(HKDF_SHA256, b"undergird").extract(keys.secret.expose().as_bytes());
        let info: [&[u8]; 1] = [b"one-time tokens, 1"];
        let expanded = extracted.expand(&info, hmac::HMAC_SHA256).map_err(|_| SigningError)?;
        Ok(OneTimeKey(expanded.into()))
    }

    /// The secrets of the mail with this id.
    pub(crate) fn secrets(&self, mail: Uuid) -> Secrets {
        let link = self.mac(&[b"link", mail.as_bytes()]);
        let code = self.mac(&[b"code", mail.as_bytes()]);
        let number = code[..8].iter().fold(0u64, |number, octet| number << 8 | u64::from(*octet));
        Secrets {
            link: Secret::new(format!("{LINK_PREFIX}{}", URL_SAFE_NO_PAD.encode(link))),
            code: Secret::new(format!("{:06}", number % 1_000_000)),
        }
    }

    /// A short code as it is stored: for one purpose and one address. Without the key, trying all million codes tells nothing.
    fn stored_code(&self, kind: LinkKind, email: &str, code: &str) -> [u8; 32] {
        self.mac(&[b"stored", kind.name().as_bytes(), b"\0", email.as_bytes(), b"\0", code.as_bytes()])
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// What a token is made for.
pub(crate) struct NewToken<'a> {
    pub(crate) user: Uuid,
    pub(crate) kind: LinkKind,
    pub(crate) email: &'a str,
    pub(crate) challenge: Option<&'a str>,
    pub(crate) life_micros: i64,
}

/// A token that was used just now: nobody else can use it, if the transaction is committed.
pub(crate) struct Used {
    pub(crate) user: Uuid,
    pub(crate) kind: LinkKind,
    pub(crate) email: String,
    pub(crate) challenge: Option<String>,
}

/// How an attempt ended.
pub(crate) enum Taken {
    Good(Used),
    /// To be committed: a wrong guess counts.
    Wrong,
}

/// Keeps the token of a mail. Older ones of the same kind and user are void: only the newest mail counts.
pub(crate) async fn put(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    key: &OneTimeKey,
    secrets: &Secrets,
    new: &NewToken<'_>,
) -> Result<(), Failure> {
    let now = system.moment().now;
    let kind = Value::text(new.kind.name());
    let older = records::by("user_id", Value::Uuid(new.user), ONE_TIME_TOKENS).with_equal("kind", kind.clone());
    transaction.write(system, records::as_verb(older, Verb::Delete), None).await?;
    let code = key.stored_code(new.kind, new.email, secrets.code.expose());
    let row = [
        ("hash", Value::Bytes(sha256(secrets.link.expose().as_bytes()).to_vec())),
        ("user_id", Value::Uuid(new.user)),
        ("kind", kind),
        ("email", Value::text(new.email)),
        ("code", Value::Bytes(code.to_vec())),
        ("attempts", Value::Int(0)),
        ("challenge", new.challenge.map_or(Value::Null, Value::text)),
        ("created_at", Value::Timestamp(now)),
        ("expires_at", Value::Timestamp(now.saturating_add(new.life_micros))),
    ];
    let request = Request::new(ONE_TIME_TOKENS, Verb::Create).with_row(row);
    transaction.write(system, request, None).await.map(|_| ())
}

/// Uses up the token of a link.
pub(crate) async fn take_link(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    kinds: &[LinkKind],
    link: &Secret,
) -> Result<Taken, Failure> {
    if !link.expose().starts_with(LINK_PREFIX) || link.expose().len() > CHARS_MAX {
        return Ok(Taken::Wrong);
    }
    let hash = Value::Bytes(sha256(link.expose().as_bytes()).to_vec());
    let rows = transaction.records(system, live(records::by("hash", hash, ONE_TIME_TOKENS), system)).await?;
    match rows.first().and_then(used).filter(|used| kinds.contains(&used.kind)) {
        Some(used) => consume(transaction, system, &rows[0], used).await,
        None => Ok(Taken::Wrong),
    }
}

/// Uses up the token of a short code, or counts a wrong guess against all that it could have been.
pub(crate) async fn take_code(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    key: &OneTimeKey,
    kinds: &[LinkKind],
    (email, code): (&str, &Secret),
) -> Result<Taken, Failure> {
    let names = kinds.iter().map(|kind| Value::text(kind.name())).collect();
    let of_address = records::by("email", Value::text(email), ONE_TIME_TOKENS);
    let of_address = records::and(of_address, "kind", Operator::In, Operand::Values(names));
    let guesses = Operand::Value(Value::Int(GUESSES_MAX));
    let rows = live(records::and(of_address, "attempts", Operator::Lt(None), guesses), system);
    let rows = transaction.records(system, rows).await?;
    let fits = |row: &&Record| {
        let Some(kind) = row.text("kind").and_then(LinkKind::of) else { return false };
        let given = key.stored_code(kind, email, code.expose());
        row.bytes("code").is_some_and(|stored| bool::from(stored.ct_eq(&given)))
    };
    if let Some(row) = rows.iter().find(fits)
        && let Some(used) = used(row)
    {
        return consume(transaction, system, row, used).await;
    }
    for row in &rows {
        let hash = Value::Bytes(row.bytes("hash").unwrap_or_default().to_vec());
        let counted = Value::Int(row.int("attempts").unwrap_or(0).saturating_add(1));
        let request = Request::new(ONE_TIME_TOKENS, Verb::Update).with_equal("hash", hash);
        transaction.write(system, request.with_row([("attempts", counted)]), None).await?;
    }
    Ok(Taken::Wrong)
}

/// A code that a followed link or a provider gives to a flow with PKCE, in place of a session.
pub(crate) struct NewFlow<'a> {
    pub(crate) user: Uuid,
    pub(crate) email: Option<&'a str>,
    /// The kind of the link, or another method's name.
    pub(crate) via: &'a str,
    pub(crate) detail: Option<Json>,
    pub(crate) challenge: &'a str,
}

/// Such a code that was used just now.
pub(crate) struct UsedFlow {
    pub(crate) user: Uuid,
    pub(crate) via: String,
    pub(crate) detail: Json,
    pub(crate) challenge: Option<String>,
}

/// Keeps such a code.
pub(crate) async fn put_flow(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    code: &Secret,
    new: &NewFlow<'_>,
) -> Result<(), Failure> {
    let now = system.moment().now;
    let row = [
        ("hash", Value::Bytes(sha256(code.expose().as_bytes()).to_vec())),
        ("user_id", Value::Uuid(new.user)),
        ("kind", Value::text(FLOW)),
        ("email", new.email.map_or(Value::Null, Value::text)),
        ("attempts", Value::Int(0)),
        ("challenge", Value::text(new.challenge)),
        ("via", Value::text(new.via)),
        ("detail", new.detail.as_ref().map_or(Value::Null, |detail| Value::Json(detail.to_string()))),
        ("created_at", Value::Timestamp(now)),
        ("expires_at", Value::Timestamp(now.saturating_add(FLOW_MICROS))),
    ];
    let request = Request::new(ONE_TIME_TOKENS, Verb::Create).with_row(row);
    transaction.write(system, request, None).await.map(|_| ())
}

/// Uses up the code of a flow. Whether the verifier fits is the caller's to see: a wrong one uses it up as well.
pub(crate) async fn take_flow(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    code: &Secret,
) -> Result<Option<UsedFlow>, Failure> {
    if !code.expose().starts_with(FLOW_PREFIX) || code.expose().len() > CHARS_MAX {
        return Ok(None);
    }
    let hash = Value::Bytes(sha256(code.expose().as_bytes()).to_vec());
    let request = records::by("hash", hash, ONE_TIME_TOKENS).with_equal("kind", Value::text(FLOW));
    let rows = transaction.records(system, live(request, system)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (Some(user), Some(via)) = (row.uuid("user_id"), row.text("via")) else { return Ok(None) };
    let challenge = row.text("challenge").map(str::to_owned);
    let used = UsedFlow { user, via: via.to_owned(), detail: records::json(row, "detail"), challenge };
    Ok(remove(transaction, system, row).await?.then_some(used))
}

/// Everything that was sent to a user becomes void, and what is about to be sent, and the address that waits for a mail to be followed: the
/// password or the address changed, so whoever asked for that may be another.
pub(crate) async fn void(transaction: &mut Transaction<'_>, system: &Caller, user: Uuid) -> Result<(), Failure> {
    for collection in [ONE_TIME_TOKENS, MAILS] {
        let all = records::by("user_id", Value::Uuid(user), collection);
        transaction.write(system, records::as_verb(all, Verb::Delete), None).await?;
    }
    let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
    transaction
        .write(system, request.with_row([("new_email", Value::Null), ("email_change_by", Value::Null)]), None)
        .await
        .map(|_| ())
}

/// Another address is asked for: what was sent about the one before says nothing about it.
pub(crate) async fn void_change(transaction: &mut Transaction<'_>, system: &Caller, user: Uuid) -> Result<(), Failure> {
    let kinds = [LinkKind::EmailChange, LinkKind::EmailChangeCurrent].map(|kind| Value::text(kind.name()));
    let theirs = records::by("user_id", Value::Uuid(user), ONE_TIME_TOKENS);
    let theirs = records::and(theirs, "kind", Operator::In, Operand::Values(kinds.to_vec()));
    transaction.write(system, records::as_verb(theirs, Verb::Delete), None).await?;
    let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
    transaction.write(system, request.with_row([("email_change_by", Value::Null)]), None).await.map(|_| ())
}

/// Whether what was sent to a user for a purpose is good still.
pub(crate) async fn is_awaited(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    kind: LinkKind,
) -> Result<bool, Failure> {
    let theirs = records::by("user_id", Value::Uuid(user), ONE_TIME_TOKENS);
    let rows = transaction.records(system, live(theirs.with_equal("kind", Value::text(kind.name())), system)).await?;
    Ok(!rows.is_empty())
}

/// Whether the token of a mail's link is there still: neither used up nor void.
pub(crate) async fn is_there(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    link: &Secret,
) -> Result<bool, Failure> {
    let hash = Value::Bytes(sha256(link.expose().as_bytes()).to_vec());
    let rows = transaction.records(system, live(records::by("hash", hash, ONE_TIME_TOKENS), system)).await?;
    Ok(!rows.is_empty())
}

/// Not too old.
fn live(request: Request, system: &Caller) -> Request {
    records::and(request, "expires_at", Operator::Gt(None), Operand::Value(Value::Timestamp(system.moment().now)))
}

async fn consume(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    row: &Record,
    used: Used,
) -> Result<Taken, Failure> {
    Ok(if remove(transaction, system, row).await? { Taken::Good(used) } else { Taken::Wrong })
}

/// Whether it was this that removed the row.
async fn remove(transaction: &mut Transaction<'_>, system: &Caller, row: &Record) -> Result<bool, Failure> {
    let hash = Value::Bytes(row.bytes("hash").unwrap_or_default().to_vec());
    let gone = Request::new(ONE_TIME_TOKENS, Verb::Delete).with_equal("hash", hash);
    // Whoever comes second removes nothing, also where transactions run side by side.
    Ok(transaction.write(system, gone, None).await?.affected == 1)
}

fn used(row: &Record) -> Option<Used> {
    Some(Used {
        user: row.uuid("user_id")?,
        kind: LinkKind::of(row.text("kind")?)?,
        email: row.text("email")?.to_owned(),
        challenge: row.text("challenge").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mail_says_the_same_each_time_and_no_other_mail_does() {
        let key = OneTimeKey::new(&Keys::generate().unwrap()).unwrap();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let secrets = key.secrets(one);
        assert_eq!(secrets.link.expose(), key.secrets(one).link.expose());
        assert_eq!(secrets.code.expose(), key.secrets(one).code.expose());
        assert_ne!(secrets.link.expose(), key.secrets(two).link.expose());
        assert_eq!(secrets.link.expose().len(), LINK_PREFIX.len() + 43);
        assert!(secrets.code.expose().len() == 6 && secrets.code.expose().bytes().all(|byte| byte.is_ascii_digit()));
        let other = OneTimeKey::new(&Keys::generate().unwrap()).unwrap();
        assert_ne!(secrets.link.expose(), other.secrets(one).link.expose(), "another secret key, other links");
    }

    #[test]
    fn a_stored_code_is_of_one_address_and_purpose() {
        let key = OneTimeKey::new(&Keys::generate().unwrap()).unwrap();
        let stored = key.stored_code(LinkKind::Recovery, "a@b.c", "123456");
        assert_eq!(stored, key.stored_code(LinkKind::Recovery, "a@b.c", "123456"));
        for (kind, email, code) in [
            (LinkKind::MagicLink, "a@b.c", "123456"),
            (LinkKind::Recovery, "b@b.c", "123456"),
            (LinkKind::Recovery, "a@b.c", "123457"),
        ] {
            assert_ne!(stored, key.stored_code(kind, email, code));
        }
    }
}
