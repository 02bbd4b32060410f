//! Passwords: which are taken, how they are hashed, and signing in with one.
//!
//! Hashing is argon2id with OWASP's parameters, on a pool of its own: a few at a time, a short queue, and then 503. An address that
//! nobody has costs as much as a wrong password and gives the same answer.

use crate::audit::{Actor, Event};
use crate::core::{Core, budget_key};
use crate::records::{self, USERS};
use crate::sessions;
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier, Version};
use ring::rand::{SecureRandom, SystemRandom};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use undergird_engine::accounts::{AccountError, PasswordSignIn, PasswordWeakness, Secret, Session, Visit};
use undergird_engine::{Failure, Isolation, Outcome};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};

/// Longest password, in characters. Nothing is ever cut off: a longer one is refused.
pub const CHARS_MAX: u32 = 256;

/// Memory in KiB, passes, lanes: OWASP's second recommendation for argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// How a hash with these parameters begins; one that begins otherwise is replaced when its owner signs in.
const CURRENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// Each takes 19 MiB while it runs.
const AT_ONCE_MAX: usize = 4;
/// Waiting beyond those; at some 50 ms each nobody waits much longer than a second per core.
const WAITING_MAX: usize = 64;

static COMMON: &str = include_str!("common_passwords.txt");

/// Whether a password is taken.
pub(crate) fn check(password: &Secret, email: &str, min: u32) -> Result<(), AccountError> {
    let text = password.expose();
    let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let weakness = if characters < min {
        PasswordWeakness::TooShort { min }
    } else if characters > CHARS_MAX {
        PasswordWeakness::TooLong { max: CHARS_MAX }
    } else if is_common(text, email) {
        PasswordWeakness::Common
    } else {
        return Ok(());
    };
    Err(AccountError::WeakPassword(weakness))
}

fn is_common(password: &str, email: &str) -> bool {
    let folded = password.to_lowercase();
    let mut characters = folded.chars();
    let first = characters.next();
    let local = email.split('@').next().unwrap_or("");
    // One character again and again is as well known as any listed word.
    characters.all(|character| Some(character) == first)
        || folded == email
        || folded == local
        || COMMON.lines().any(|line| line == folded)
}

/// Hashes and checks, a few at a time.
pub(crate) struct Hasher {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// A hash that no password has, for addresses that nobody has: checking it takes as long as any other.
    dummy: Arc<str>,
}

/// Leaves the queue however the waiting ends, also when the client is gone.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hasher {
    pub(crate) fn new() -> Hasher {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Written out rather than made: making one costs every start 50 ms and 19 MiB.
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        Hasher {
            running: Arc::new(Semaphore::new(cores.min(AT_ONCE_MAX))),
            waiting: AtomicUsize::new(0),
            dummy: format!("{CURRENT}{salt}${hash}").into(),
        }
    }

    /// A PHC string of the password with a fresh salt.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String, AccountError> {
        let password = password.clone();
        Ok(self.run(move || hash_now(password.expose().as_bytes())).await??)
    }

    /// Whether the password is the one of the hash. Without a hash it is not, and that takes as long to find out.
    pub(crate) async fn verify(&self, password: &Secret, hash: Option<&str>) -> Result<bool, AccountError> {
        let password = password.clone();
        let known = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| self.dummy.clone(), Arc::from);
        let fits = move || Argon2::default().verify_password(password.expose().as_bytes(), &*hash).is_ok();
        Ok(self.run(fits).await? && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountError> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            return Err(Failure::Overloaded.into());
        }
        let permit = self.running.clone().acquire_owned().await.map_err(|_| Failure::Overloaded)?;
        drop(place);
        let running = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a client that leaves does not make room for another while its hash still runs.
            let _permit = permit;
            work()
        });
        Ok(running.await.map_err(|_| broken())?)
    }
}

fn hash_now(password: &[u8]) -> Result<String, Failure> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|_| broken())?;
    let mut salt = [0u8; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| broken())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(password, &salt).map(|hash| hash.to_string()).map_err(|_| broken())
}

fn broken() -> Failure {
    Failure::Internal("a password could not be hashed".into())
}

impl Core {
    /// Checks a password of an account, within the budgets of attempts.
    pub(crate) async fn prove(
        &self,
        visit: &Visit,
        email: &str,
        password: &Secret,
        hash: Option<&str>,
    ) -> Result<bool, AccountError> {
        let address = budget_key(visit.address);
        let pair = (email, address);
        let now = visit.moment.now;
        let budgets = &self.budgets;
        // Given back by what is wrong, as the others are by what is right.
        budgets.good_passwords.take(&email, now).map_err(too_many)?;
        let spent = self.spend_attempt(&pair, email, address, now);
        if spent.is_err() {
            budgets.good_passwords.give_back(&email);
        }
        spent?;
        let verdict = self.hasher.verify(password, hash).await;
        if !matches!(verdict, Ok(true)) {
            budgets.good_passwords.give_back(&email);
        }
        if !matches!(verdict, Ok(false)) {
            // Right, or not even looked at.
            budgets.account_and_address.give_back(&pair);
            budgets.address.give_back(&address);
            budgets.account.give_back(&email);
        }
        verdict
    }

    /// An attempt that may be wrong.
    fn spend_attempt(
        &self,
        pair: &(&str, Option<IpAddr>),
        email: &str,
        address: Option<IpAddr>,
        now: i64,
    ) -> Result<(), AccountError> {
        // The narrowest first, so that what one address spends on one account spends nothing else.
        self.budgets.account_and_address.take(pair, now).map_err(too_many)?;
        self.budgets.address.take(&address, now).map_err(too_many)?;
        self.budgets.account.take(&email, now).map_err(too_many)
    }

    /// A new session for an address and its password.
    pub(crate) async fn sign_in(self: Arc<Self>, visit: Visit, asked: PasswordSignIn) -> Result<Session, AccountError> {
        let email = records::fold(&asked.email);
        let system = Caller::system(visit.moment);
        let found = self.engine.records(&system, records::by("email", Value::text(email.clone()), USERS)).await?;
        let found = found.into_iter().next();
        let hash = found.as_ref().and_then(|user| user.text("password_hash")).map(str::to_owned);
        if !self.prove(&visit, &email, &asked.password, hash.as_deref()).await? {
            // Whether somebody has the address or not: the same work, and the answer must wait for it either way.
            let user = found.as_ref().and_then(|user| user.uuid("id"));
            let event = Event::new("login_failed", Actor::Nobody, user).from(visit.address);
            self.note_alone(visit.moment, event.with(serde_json::json!({ "method": "password" }))).await?;
            return Err(AccountError::InvalidCredentials);
        }
        let (Some(user), Some(hash)) = (found, hash) else { return Err(AccountError::InvalidCredentials) };
        let id = user.uuid("id").ok_or(AccountError::InvalidCredentials)?;
        if let Err(refused) = sessions::may_sign_in(&user, visit.moment.now) {
            let event = Event::new("login_failed", Actor::Nobody, id).from(visit.address);
            let why = if refused == AccountError::Banned { "banned" } else { "unconfirmed" };
            let told = serde_json::json!({ "method": "password", "why": why });
            self.note_alone(visit.moment, event.with(told)).await?;
            let tells = self.engine.app().model().settings.auth.tell_unconfirmed;
            return Err(match refused {
                // Whoever signed up an address learns by this answer that nobody had it.
                AccountError::EmailNotConfirmed if !tells => AccountError::InvalidCredentials,
                refused => refused,
            });
        }
        let fresh_hash = match hash.starts_with(CURRENT) {
            true => None,
            false => Some(self.hasher.hash(&asked.password).await?),
        };
        let core = self.clone();
        let started = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, hash, fresh_hash) = (core.clone(), visit.clone(), hash.clone(), fresh_hash.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                let now = Value::Timestamp(visit.moment.now);
                // As stored now: the password may have changed while ours was being checked.
                let Some(user) = records::user(transaction, &system, id).await? else {
                    return Ok(Outcome::rollback(Err(AccountError::InvalidCredentials)));
                };
                if user.text("password_hash") != Some(hash.as_str()) {
                    return Ok(Outcome::rollback(Err(AccountError::InvalidCredentials)));
                }
                // The same of a ban.
                if let Err(refused) = sessions::may_sign_in(&user, visit.moment.now) {
                    return Ok(Outcome::rollback(Err(refused)));
                }
                let change = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id));
                let hash = fresh_hash.unwrap_or(hash);
                let row = [("last_sign_in_at", now.clone()), ("password_hash", Value::Text(hash))];
                transaction.write(&system, change.with_row(row), None).await?;
                let used = records::by("user_id", Value::Uuid(id), records::IDENTITIES);
                let used = records::as_verb(used, Verb::Update).with_equal("provider", Value::text("email"));
                transaction.write(&system, used.with_row([("last_sign_in_at", now)]), None).await?;
                let started = core.start_session(transaction, &visit, id, "password").await?;
                Ok(Outcome::commit(Ok(started)))
            })
        });
        let started = started.await??;
        self.tokens(started).await
    }
}

pub(crate) fn too_many(retry_after: std::time::Duration) -> AccountError {
    AccountError::TooManyAttempts { retry_after }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        let verdict = |password: &str| match check(&Secret::new(password), "ann.smith@example.org", 8) {
            Ok(()) => "taken".to_owned(),
            Err(error) => format!("{error:?}").replace("WeakPassword", ""),
        };
        let cases = [
            ("short", "(TooShort { min: 8 })"),
            ("äöüäöüä", "(TooShort { min: 8 })"),
            ("password", "(Common)"),
            ("PassWord1", "(Common)"),
            ("12345678", "(Common)"),
            ("qwertyuiop", "(Common)"),
            ("aaaaaaaaaaaaaaaa", "(Common)"),
            ("ann.smith", "(Common)"),
            ("Ann.Smith@example.org", "(Common)"),
            ("correct horse battery", "taken"),
            ("äöüäöüäö-ß", "taken"),
        ];
        for (password, expected) in cases {
            assert_eq!(verdict(password), expected, "{password}");
        }
        assert_eq!(verdict(&"ab".repeat(128)), "taken");
        assert_eq!(verdict(&format!("{}c", "ab".repeat(128))), "(TooLong { max: 256 })");
    }

    #[test]
    fn the_list_is_in_the_form_in_which_it_is_searched() {
        for line in COMMON.lines() {
            assert_eq!(line, line.trim().to_lowercase());
            assert!(!line.is_empty());
        }
        assert!(COMMON.lines().count() >= 300);
    }

    #[tokio::test]
    async fn hashes_tell_passwords_apart_to_the_last_octet() {
        let hasher = Hasher::new();
        let long = "x".repeat(72);
        let password = Secret::new(format!("{long}y"));
        let hash = hasher.hash(&password).await.unwrap();
        assert!(hash.starts_with(CURRENT));
        assert_ne!(hash, hasher.hash(&password).await.unwrap(), "a salt each");
        assert!(hasher.verify(&password, Some(&hash)).await.unwrap());
        for other in [long.clone(), format!("{long}z"), format!("{long}y\0"), format!("{long}Y"), String::new()] {
            assert!(!hasher.verify(&Secret::new(other), Some(&hash)).await.unwrap());
        }
        assert!(!hasher.verify(&password, None).await.unwrap());
        assert!(!hasher.verify(&password, Some("no hash")).await.unwrap());
    }

    #[test]
    fn the_dummy_is_a_whole_hash_with_the_current_cost() {
        // A password that does not fit, and not a hash that cannot be read: the latter would answer at once.
        let verdict = Argon2::default().verify_password(b"a password", &*Hasher::new().dummy);
        assert_eq!(verdict, Err(argon2::password_hash::Error::PasswordInvalid));
    }

    #[tokio::test]
    async fn too_many_at_once_are_shed() {
        let hasher = Arc::new(Hasher::new());
        let all: Vec<_> = (0..WAITING_MAX + 40)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(
                    async move { hasher.run(|| std::thread::sleep(std::time::Duration::from_millis(2))).await },
                )
            })
            .collect();
        let mut shed = 0;
        for each in all {
            shed += usize::from(each.await.unwrap() == Err(AccountError::Failed(Failure::Overloaded)));
        }
        assert!(shed > 0 && shed <= 40, "{shed}");
        assert_eq!(hasher.waiting.load(Ordering::Relaxed), 0);
    }
}
