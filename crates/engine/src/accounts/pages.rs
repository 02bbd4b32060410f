//! The part of the port for the sign-in pages (`/auth/ui`): holding a session that was proved in a page while something is left to do
//! there, and handing it over to the application that sent the browser, as a code of PKCE.
//!
//! Deliberately absent: proving who somebody is (the pages call the other parts of this port for that), and HTML (`api::pages`).

use super::{Account, AccountError, Secret, Visit};
use futures_util::future::BoxFuture;
use undergird_plan::Caller;

/// What an application sent a browser to the pages for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// Where the browser goes on in the end.
    pub redirect_to: String,
    /// PKCE (RFC 7636) with S256: who shows the verifier gets the session.
    pub challenge: String,
    /// Given back as it came.
    pub state: Option<String>,
}

/// How a proved session is held.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    /// What the browser was sent for, if by anybody.
    pub errand: Option<Errand>,
    /// Whether a new password is to be set before anything else.
    pub new_password: bool,
    /// By what the browser was known until now; nothing is held under that any more.
    pub before: Option<Secret>,
}

/// A session that is held.
#[derive(Clone, Debug)]
pub struct Held {
    /// Who it is of. Of level `aal1` until a second factor was proved.
    pub caller: Caller,
    /// The account.
    pub account: Account,
    /// Whether the account has a second factor that this session has not proved. Then it is not handed over.
    pub second_factor_due: bool,
    /// See [`Hold::new_password`].
    pub new_password: bool,
    /// See [`Hold::errand`].
    pub errand: Option<Errand>,
}

/// What an application gets in place of the session.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// For [`super::Passwordless::exchange`].
    pub code: Secret,
    /// What it had asked.
    pub errand: Errand,
}

/// What is made of what a browser is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSecret {
    /// Stands in each form of the pages: a form without it was not theirs.
    Form,
    /// The verifier of PKCE for what comes back to the pages by a mail or from a provider. [`super::Pages::page_challenge`] goes with it.
    Verifier,
}

/// What the pages need beside what everybody may ask of accounts.
pub trait Pages: Send + Sync + 'static {
    /// Whether an errand can be done: its URL is allowed, and its challenge is one.
    ///
    /// # Errors
    /// [`super::LinkError::NotAllowed`] or [`super::LinkError::BadChallenge`].
    fn check_errand(&self, errand: &Errand) -> Result<(), AccountError>;

    /// What a browser shall be known by: random, and nobody's yet.
    ///
    /// # Errors
    /// The system gives no random bits.
    fn new_browser(&self) -> Result<Secret, AccountError>;

    /// What goes with what a browser is known by, made under the key of this application.
    fn page_secret(&self, purpose: PageSecret, browser: &Secret) -> Secret;

    /// The challenge of [`PageSecret::Verifier`].
    fn page_challenge(&self, browser: &Secret) -> String;

    /// Holds the caller's session for a quarter of an hour. Gives what the browser is known by from now on: always another than before.
    fn hold<'a>(&'a self, visit: Visit, caller: &'a Caller, hold: Hold) -> BoxFuture<'a, Result<Secret, AccountError>>;

    /// What is held for a browser, if anything is.
    fn held<'a>(&'a self, visit: Visit, browser: &'a Secret) -> BoxFuture<'a, Result<Option<Held>, AccountError>>;

    /// Gives what is held for a browser to the application that it is for. Once; and not while a second factor is due.
    fn hand_over<'a>(&'a self, visit: Visit, browser: &'a Secret) -> BoxFuture<'a, Result<HandedOver, AccountError>>;
}
