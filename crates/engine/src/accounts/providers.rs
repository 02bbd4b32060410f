//! The part of the port that has to do with signing in by other providers: the way there, the way back, and which of them an account has.
//!
//! Deliberately absent: OAuth and OpenID Connect themselves (`auth::oauth`), GoTrue's spelling and cookies (`api::auth`).

use super::{Account, AccountError, Landing, Secret, Session, Visit};
use futures_util::future::BoxFuture;
use std::fmt;
use undergird_plan::Caller;
use uuid::Uuid;

/// Somebody wants to go to a provider.
#[derive(Clone, Debug, Default)]
pub struct Depart {
    /// Which.
    pub provider: String,
    /// Where to go on in the end. One that is not allowed counts as none.
    pub redirect_to: Option<String>,
    /// What the application wants from the provider beside, separated by spaces or commas.
    pub scopes: Option<String>,
    /// PKCE (RFC 7636) with S256, between the application and us.
    pub challenge: Option<String>,
    /// What else the provider shall be told: names and values, of which those that are harmless are passed on.
    pub hints: Vec<(String, String)>,
    /// By what the browser is known from before.
    pub browser: Option<Secret>,
}

/// The way to a provider.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Where the browser goes.
    pub url: String,
    /// By what it shall be known when it comes back.
    pub browser: Option<Secret>,
    /// How long that is kept, in seconds.
    pub browser_seconds: u32,
    /// Whether it comes back by a form that the provider's page posts.
    pub posted: bool,
}

/// A browser came back from a provider.
#[derive(Clone, Debug, Default)]
pub struct Return {
    /// What it took along.
    pub state: Option<Secret>,
    /// What the provider gave it.
    pub code: Option<Secret>,
    /// What the provider refused it with.
    pub error: Option<String>,
    /// Who says that it is the provider (RFC 9207).
    pub issuer: Option<String>,
    /// What Apple tells of a user, once and beside the token.
    pub user: Option<String>,
    /// By what the browser is known.
    pub browser: Option<Secret>,
}

/// An ID token that the application got from the provider by itself.
#[derive(Clone, Debug)]
pub struct TokenSignIn {
    /// Who gave it.
    pub provider: String,
    /// The token.
    pub id_token: Secret,
    /// The access token that came with it.
    pub access_token: Option<Secret>,
    /// What the token has the SHA-256 of.
    pub nonce: Option<String>,
}

/// Signing in by other providers. One method per operation.
pub trait Providers: Send + Sync + 'static {
    /// Where a browser goes to sign in.
    fn depart(&self, visit: Visit, asked: Depart) -> BoxFuture<'_, Result<Departure, AccountError>>;

    /// Where a browser goes so that the caller's account has one more way to sign in.
    fn depart_to_link<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        asked: Depart,
    ) -> BoxFuture<'a, Result<Departure, AccountError>>;

    /// Where a browser that came back goes on.
    fn come_back(&self, visit: Visit, told: Return) -> BoxFuture<'_, Landing>;

    /// A session for an ID token.
    fn sign_in_by_token(&self, visit: Visit, asked: TokenSignIn) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// One more way to sign in for the caller's account, by an ID token. A new session.
    fn link_by_token<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        asked: TokenSignIn,
    ) -> BoxFuture<'a, Result<Session, AccountError>>;

    /// One way less to sign in for the caller's account.
    fn unlink<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        identity: Uuid,
    ) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// The names of the providers that may be used.
    fn providers(&self) -> Vec<String>;

    /// How browsers reach this server, as its settings say: the URL without a trailing slash.
    fn public_url(&self) -> String;
}

/// Why something with a provider was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// There is no such provider, or it may not be used.
    NotEnabled,
    /// The provider gives no ID tokens.
    NoIdTokens,
    /// The browser came back with nothing by which it could be known.
    StateMissing,
    /// It came back twice, too late, with what another browser was given, or with what nobody was given.
    StateUnknown,
    /// The answer is not from the provider to which the browser was sent.
    WrongIssuer,
    /// The provider refused, with this word of OAuth's.
    Refused(String),
    /// The provider could not be reached, or what it said makes no sense: for the log alone.
    Unreachable(String),
    /// An ID token is not good: what is wrong with it.
    BadToken(&'static str),
    /// The provider tells no address that it has verified, and only by one can an account begin or be found.
    AddressUnverified,
    /// The identity is another account's.
    TakenByAnother,
    /// The account has the identity already.
    LinkedAlready,
    /// The address of the identity is that of another account.
    AddressTaken,
    /// The account has no such identity.
    IdentityUnknown,
    /// It is the account's only way to sign in.
    LastIdentity,
    /// The account has as many as it may have.
    TooMany,
    /// An identity is linked only with PKCE, or from a browser that is known.
    LinkNeedsPkce,
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProviderError::NotEnabled => "the provider is not enabled",
            ProviderError::NoIdTokens => "the provider gives no ID tokens",
            ProviderError::StateMissing => "the browser came back without a state",
            ProviderError::StateUnknown => "the state is unknown, was used or ran out, or is another browser's",
            ProviderError::WrongIssuer => "another provider answered",
            ProviderError::Refused(word) => return write!(f, "the provider refused: {word}"),
            ProviderError::Unreachable(why) => return write!(f, "the provider could not be asked: {why}"),
            ProviderError::BadToken(why) => return write!(f, "the ID token is not good: {why}"),
            ProviderError::AddressUnverified => "the provider tells no verified address",
            ProviderError::TakenByAnother => "the identity is another account's",
            ProviderError::LinkedAlready => "the account has the identity already",
            ProviderError::AddressTaken => "the address is another account's",
            ProviderError::IdentityUnknown => "the account has no such identity",
            ProviderError::LastIdentity => "it is the only way to sign in",
            ProviderError::LinkNeedsPkce => "an identity is linked with PKCE alone",
            ProviderError::TooMany => "the account has as many identities as it may have",
        })
    }
}

impl From<ProviderError> for AccountError {
    fn from(error: ProviderError) -> AccountError {
        AccountError::Provider(error)
    }
}
