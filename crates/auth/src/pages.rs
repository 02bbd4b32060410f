//! The sign-in pages' part of the port: a session that was proved in a page is held there for a browser, and handed over as a code of PKCE.
//!
//! A browser is known by 256 random bits; what is kept is their hash, in a row that names the session. The access token of such a session
//! never leaves this process, and its refresh token is forgotten at once: who has what the browser has, has a page and no session. What a
//! page asks for is asked with the caller of that session, so by the rules of the API. When a code is exchanged, the application's session is a new
//! one, with what the pages proved, and theirs ends.
//!
//! Deliberately absent: HTML, cookies and forms (`api::pages`); proving anything (each method's own file).

use crate::Auth;
use crate::BoxFuture;
use crate::api_keys::{Keys, sha256};
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::factors::{counts, demand_aal2, factors_of, session_of, settle};
use crate::one_time::{self, FLOW_PREFIX, NewFlow, UsedFlow};
use crate::pkce;
use crate::records::{self, ONE_TIME_TOKENS, SESSIONS};
use crate::revocations::Revocation;
use crate::sessions::{self, AAL2, Second, Started, may_sign_in};
use crate::signing::SigningError;
use crate::token::{self, Grant};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, Credentials, Errand, HandedOver, Held, Hold, LinkError, PageSecret, Pages, Secret, Visit,
};
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// The kind of a held session among the one-time tokens, and of its code among the flows.
pub(crate) const PAGE: &str = "page";
/// How long a session is held: typing a code takes less, and finding the phone too.
const HELD_MICROS: i64 = 15 * 60 * 1_000_000;
/// Characters of what a browser is known by.
const CHARS: usize = 43;
/// Longest URL and state of an errand, together: they travel in URLs of ours, encoded.
const ERRAND_CHARS_MAX: usize = 1_000;

/// The key of what goes with a browser.
pub(crate) struct PageKey(hmac::Key);

impl PageKey {
    pub(crate) fn new(keys: &Keys) -> Result<PageKey, SigningError> {
        let extracted = Salt::new(HKDF_SHA256, b"undergird").extract(keys.secret.expose().as_bytes());
        let info: [&[u8]; 1] = [b"sign-in pages, 1"];
        let expanded = extracted.expand(&info, hmac::HMAC_SHA256).map_err(|_| SigningError)?;
        Ok(PageKey(expanded.into()))
    }

    fn secret(&self, purpose: PageSecret, browser: &Secret) -> Secret {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(match purpose {
            PageSecret::Form => b"form\0",
            PageSecret::Verifier => b"verifier\0",
        });
        context.update(browser.expose().as_bytes());
        Secret::new(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

/// Whether a browser can be known by this.
fn is_known_by(text: &str) -> bool {
    text.len() == CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn hash(browser: &Secret) -> Value {
    Value::Bytes(sha256(browser.expose().as_bytes()).to_vec())
}

/// What is held for a browser, as it is stored.
struct Kept {
    user: Uuid,
    session: Uuid,
    new_password: bool,
    errand: Option<Errand>,
}

impl Kept {
    fn of(row: &Record) -> Option<Kept> {
        let detail = records::json(row, "detail");
        let text = |name: &str| detail.get(name).and_then(Json::as_str).map(str::to_owned);
        let errand = row.text("challenge").map(str::to_owned).zip(text("redirect_to"));
        Some(Kept {
            user: row.uuid("user_id")?,
            session: Uuid::try_parse(&text("session")?).ok()?,
            new_password: detail.get("new_password") == Some(&Json::Bool(true)),
            errand: errand.map(|(challenge, redirect_to)| Errand { redirect_to, challenge, state: text("state") }),
        })
    }

    fn request(browser: &Secret, now: i64) -> Request {
        let held = records::by("hash", hash(browser), ONE_TIME_TOKENS).with_equal("kind", Value::text(PAGE));
        records::and(held, "expires_at", Operator::Gt(None), Operand::Value(Value::Timestamp(now)))
    }
}

impl Core {
    fn check_errand(&self, errand: &Errand) -> Result<(), AccountError> {
        pkce::check_challenge(&errand.challenge)?;
        let state = errand.state.as_deref().unwrap_or_default();
        if errand.redirect_to.len() + state.len() > ERRAND_CHARS_MAX
            || self.allowed(Some(&errand.redirect_to)).is_none()
        {
            return Err(LinkError::NotAllowed.into());
        }
        Ok(())
    }

    async fn hold(self: Arc<Self>, visit: Visit, caller: Caller, hold: Hold) -> Result<Secret, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        if let Some(errand) = &hold.errand {
            self.check_errand(errand)?;
        }
        let browser = Secret::new(URL_SAFE_NO_PAD.encode(self.random()?));
        let kept = browser.clone();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (browser, hold) = (kept.clone(), hold.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(put(transaction, &system, (user, session), &browser, &hold).await)
            })
        });
        done.await??;
        Ok(browser)
    }

    async fn held(self: Arc<Self>, visit: Visit, browser: Secret) -> Result<Option<Held>, AccountError> {
        if !is_known_by(browser.expose()) {
            return Ok(None);
        }
        let system = Caller::system(visit.moment);
        let now = visit.moment.now;
        let rows = self.engine.records(&system, Kept::request(&browser, now)).await?;
        let Some(kept) = rows.first().and_then(Kept::of) else { return Ok(None) };
        let of_session = records::by("id", Value::Uuid(kept.session), SESSIONS);
        let of_session = of_session.with_equal("user_id", Value::Uuid(kept.user));
        let found = self.engine.records(&system, of_session).await?;
        let Some(row) = found.first().filter(|row| is_live(row, now)) else { return Ok(None) };
        let user = kept.user;
        let account = self.engine.transaction(Isolation::Committed, move |transaction| {
            Box::pin(async move {
                let account = records::account(transaction, &Caller::system(visit.moment), user).await?;
                let factors = factors_of(transaction, &Caller::system(visit.moment), user).await?;
                Ok(Outcome::rollback(account.map(|account| (account, factors.iter().any(counts)))))
            })
        });
        let Some((account, has_second)) = account.await? else { return Ok(None) };
        let level = row.text("aal").unwrap_or(sessions::AAL1);
        let method = row.text("method").unwrap_or_default();
        let began = row.int("created_at").unwrap_or(now);
        let second = Second::of(row);
        let proved = second.iter().map(|second| (second.method.as_str(), second.at));
        let methods: Vec<_> = proved.chain([(method, began)]).collect();
        let issued_at = now.div_euclid(1_000_000);
        let grant = Grant {
            issuer: &self.identifier.issuer,
            session: kept.session,
            aal: level,
            methods: &methods,
            generation: row.int("generation").unwrap_or(0),
            issued_at,
            // For this request alone.
            expires_at: issued_at.saturating_add(60),
        };
        let ring = self.identifier.ring.read().clone();
        let signed = token::issue(&ring, &account, &grant);
        let signed = signed.map_err(|SigningError| Failure::Internal("a token could not be signed".into()))?;
        let bearer = format!("Bearer {signed}");
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        // By the one way in which callers are known, so that an ended session is ended here too.
        let Ok(caller) = self.identifier.identify(credentials, visit.moment) else { return Ok(None) };
        let second_factor_due = has_second && level != AAL2;
        let Kept { new_password, errand, .. } = kept;
        Ok(Some(Held { caller, account, second_factor_due, new_password, errand }))
    }

    async fn hand_over_held(self: Arc<Self>, visit: Visit, browser: Secret) -> Result<HandedOver, AccountError> {
        if !is_known_by(browser.expose()) {
            return Err(AccountError::SessionMissing);
        }
        let code = Secret::new(format!("{FLOW_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.random()?)));
        let (core, kept) = (self.clone(), code.clone());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, code, browser) = (core.clone(), kept.clone(), browser.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(core.hand_over_in(transaction, &system, &browser, &code).await)
            })
        });
        let errand = done.await??;
        Ok(HandedOver { code, errand })
    }

    async fn hand_over_in(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        browser: &Secret,
        code: &Secret,
    ) -> Result<Errand, AccountError> {
        let now = system.moment().now;
        let rows = transaction.records(system, Kept::request(browser, now)).await?;
        let kept = rows.first().and_then(Kept::of).ok_or(AccountError::SessionMissing)?;
        let errand = kept.errand.ok_or(LinkError::BadChallenge)?;
        // What was allowed when the browser came may not be any more.
        self.check_errand(&errand)?;
        demand_whole(transaction, system, kept.user, kept.session).await?;
        let gone = Request::new(ONE_TIME_TOKENS, Verb::Delete).with_equal("hash", hash(browser));
        if transaction.write(system, gone, None).await?.affected != 1 {
            return Err(AccountError::SessionMissing);
        }
        let detail = Some(json!({ "session": kept.session.to_string() }));
        let new = NewFlow { user: kept.user, email: None, via: PAGE, detail, challenge: &errand.challenge };
        one_time::put_flow(transaction, system, code, &new).await?;
        Ok(errand)
    }

    /// The session of the application that the pages' one is for, and the end of that one.
    pub(crate) async fn start_after_page(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        used: &UsedFlow,
    ) -> Result<(Started, Vec<Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        let session = used.detail.get("session").and_then(Json::as_str).and_then(|id| Uuid::try_parse(id).ok());
        let session = session.ok_or(LinkError::CodeUnknown)?;
        let old = demand_whole(transaction, &system, used.user, session).await?;
        let method = old.text("method").unwrap_or_default();
        let mut started = self.new_session(transaction, visit, used.user, method).await?;
        started.created_at = old.int("created_at").unwrap_or(started.created_at);
        started.aal = old.text("aal").unwrap_or(sessions::AAL1).to_owned();
        started.second = Second::of(&old);
        let mut row = vec![("created_at", Value::Timestamp(started.created_at)), ("aal", Value::text(&started.aal))];
        if let Some(second) = &started.second {
            row.push(("factor_id", Value::Uuid(second.factor)));
            row.push(("factor_method", Value::text(&second.method)));
            row.push(("factor_at", Value::Timestamp(second.at)));
        }
        let raised = Request::new(SESSIONS, Verb::Update).with_equal("id", Value::Uuid(started.session));
        transaction.write(&system, raised.with_row(row), None).await?;
        let event = Event::new("session_handed_over", Actor::User, used.user).in_session(started.session);
        let told = json!({ "from": session.to_string() });
        audit::note(transaction, visit.moment, event.from(visit.address).with(told)).await?;
        let ended = self.end_sessions(transaction, &system, &[session]).await?;
        Ok((started, ended))
    }
}

/// Keeps what a browser is known by from now on, and shortens the life of the session to that.
async fn put(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    (user, session): (Uuid, Uuid),
    browser: &Secret,
    hold: &Hold,
) -> Result<(), AccountError> {
    let now = system.moment().now;
    let old = session_of(transaction, system, user, session).await?;
    let until = now.saturating_add(HELD_MICROS);
    let until = until.min(old.int("not_after").unwrap_or(until));
    if let Some(before) = &hold.before {
        let gone = Request::new(ONE_TIME_TOKENS, Verb::Delete).with_equal("hash", hash(before));
        transaction.write(system, gone.with_equal("kind", Value::text(PAGE)), None).await?;
    }
    let brief = Request::new(SESSIONS, Verb::Update).with_equal("id", Value::Uuid(session));
    transaction.write(system, brief.with_row([("not_after", Value::Timestamp(until))]), None).await?;
    let mut detail = json!({ "session": session.to_string(), "new_password": hold.new_password });
    if let Some(errand) = &hold.errand {
        detail["redirect_to"] = errand.redirect_to.as_str().into();
        detail["state"] = errand.state.as_deref().map_or(Json::Null, Json::from);
    }
    let challenge = hold.errand.as_ref().map_or(Value::Null, |errand| Value::text(&errand.challenge));
    let row = [
        ("hash", hash(browser)),
        ("user_id", Value::Uuid(user)),
        ("kind", Value::text(PAGE)),
        ("email", Value::Null),
        ("attempts", Value::Int(0)),
        ("challenge", challenge),
        ("via", Value::text(PAGE)),
        ("detail", Value::Json(detail.to_string())),
        ("created_at", Value::Timestamp(now)),
        ("expires_at", Value::Timestamp(until)),
    ];
    transaction.write(system, Request::new(ONE_TIME_TOKENS, Verb::Create).with_row(row), None).await?;
    Ok(())
}

fn is_live(session: &Record, now: i64) -> bool {
    session.int("not_after").is_some_and(|until| now < until)
}

/// That a session stands, its user may sign in, and whoever has a second factor has proved it.
async fn demand_whole(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    session: Uuid,
) -> Result<Record, AccountError> {
    let now = system.moment().now;
    let row = session_of(transaction, system, user, session).await?;
    if !is_live(&row, now) {
        return Err(AccountError::SessionMissing);
    }
    let account = records::user(transaction, system, user).await?.ok_or(AccountError::AccountMissing)?;
    may_sign_in(&account, now)?;
    demand_aal2(&row, &factors_of(transaction, system, user).await?)?;
    Ok(row)
}

impl Pages for Auth {
    fn check_errand(&self, errand: &Errand) -> Result<(), AccountError> {
        self.0.check_errand(errand)
    }

    fn new_browser(&self) -> Result<Secret, AccountError> {
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(self.0.random()?)))
    }

    fn page_secret(&self, purpose: PageSecret, browser: &Secret) -> Secret {
        self.0.page_key.secret(purpose, browser)
    }

    fn page_challenge(&self, browser: &Secret) -> String {
        let verifier = self.page_secret(PageSecret::Verifier, browser);
        URL_SAFE_NO_PAD.encode(sha256(verifier.expose().as_bytes()))
    }

    fn hold<'a>(&'a self, visit: Visit, caller: &'a Caller, hold: Hold) -> BoxFuture<'a, Result<Secret, AccountError>> {
        Box::pin(self.0.clone().hold(visit, caller.clone(), hold))
    }

    fn held<'a>(&'a self, visit: Visit, browser: &'a Secret) -> BoxFuture<'a, Result<Option<Held>, AccountError>> {
        Box::pin(self.0.clone().held(visit, browser.clone()))
    }

    fn hand_over<'a>(&'a self, visit: Visit, browser: &'a Secret) -> BoxFuture<'a, Result<HandedOver, AccountError>> {
        Box::pin(self.0.clone().hand_over_held(visit, browser.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_goes_with_a_browser_is_of_one_browser_purpose_and_key() {
        let key = PageKey::new(&Keys::generate().unwrap()).unwrap();
        let (one, two) = (Secret::new("a".repeat(43)), Secret::new("b".repeat(43)));
        let form = |key: &PageKey, browser: &Secret| key.secret(PageSecret::Form, browser).expose().to_owned();
        assert_eq!(form(&key, &one), form(&key, &one));
        assert_ne!(form(&key, &one), form(&key, &two));
        assert_ne!(form(&key, &one), key.secret(PageSecret::Verifier, &one).expose());
        assert_ne!(form(&key, &one), form(&PageKey::new(&Keys::generate().unwrap()).unwrap(), &one));
        // RFC 7636 §4.1: a verifier has at least 43 characters.
        assert!(key.secret(PageSecret::Verifier, &one).expose().len() >= 43);
        for bad in ["", "x", &"x".repeat(44), &"=".repeat(43)] {
            assert!(!is_known_by(bad), "{bad}");
        }
    }
}
