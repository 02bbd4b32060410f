//! The part of the port that has to do with mails: links and codes, what they prove, and accounts that begin without a password.
//!
//! Deliberately absent: how a mail looks and how it leaves (`auth::mail`), GoTrue's spelling (`api::auth`).

use super::{Account, AccountError, Secret, Session, Visit};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value as Json};
use std::time::Duration;
use undergird_plan::Caller;

/// What a link or code in a mail is for. It is good for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// Confirms the address of a sign-up.
    Confirmation,
    /// Signs in.
    MagicLink,
    /// Signs in so that a forgotten password can be replaced.
    Recovery,
    /// Signs somebody in for whom the owner made an account.
    Invite,
    /// Confirms a new address.
    EmailChange,
    /// Says yes to a new address, from the one that the account has.
    EmailChangeCurrent,
    /// Proves, by a code alone, that the owner of a session still reads the account's mail.
    Reauthentication,
}

impl LinkKind {
    /// All of them.
    pub const ALL: [LinkKind; 7] = [
        LinkKind::Confirmation,
        LinkKind::MagicLink,
        LinkKind::Recovery,
        LinkKind::Invite,
        LinkKind::EmailChange,
        LinkKind::EmailChangeCurrent,
        LinkKind::Reauthentication,
    ];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            LinkKind::Confirmation => "signup",
            LinkKind::MagicLink => "magiclink",
            LinkKind::Recovery => "recovery",
            LinkKind::Invite => "invite",
            LinkKind::EmailChange => "email_change",
            LinkKind::EmailChangeCurrent => "email_change_current",
            LinkKind::Reauthentication => "reauthentication",
        }
    }

    /// As clients know it (`type`): to them both mails of a change are one kind.
    pub fn told(self) -> &'static str {
        match self {
            LinkKind::EmailChangeCurrent => LinkKind::EmailChange.name(),
            other => other.name(),
        }
    }

    /// The one of a name.
    pub fn of(name: &str) -> Option<LinkKind> {
        LinkKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a client asks along with a mail.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Where the link shall lead in the end. One that is not allowed counts as none.
    pub redirect_to: Option<String>,
    /// PKCE (RFC 7636) with S256: then the link gives a code, for which only who knows the verifier gets a session.
    pub challenge: Option<String>,
}

/// A mail with which to sign in.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    /// As written; folded to lower case.
    pub email: String,
    /// Whether an address that has no account gets one.
    pub create: bool,
    /// Of the new account, as at a sign-up.
    pub data: Map<String, Json>,
    /// See [`Wish`].
    pub wish: Wish,
}

/// Another mail like the one that was sent.
#[derive(Clone, Debug)]
pub struct ResendRequest {
    /// [`LinkKind::Confirmation`] or [`LinkKind::EmailChange`].
    pub kind: LinkKind,
    /// As written; folded to lower case.
    pub email: String,
    /// See [`Wish`].
    pub wish: Wish,
}

/// What was in a mail.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The long secret of a link.
    Link(Secret),
    /// The short code, which means something for one address only.
    Code {
        /// As written; folded to lower case.
        email: String,
        /// Six digits.
        code: Secret,
    },
}

/// Somebody followed a link, in a browser that knows nothing else.
#[derive(Clone, Debug)]
pub struct FollowedLink {
    /// What it says it is for; `None` when that is nothing we know.
    pub kinds: Option<&'static [LinkKind]>,
    /// What it proves.
    pub proof: Option<Proof>,
    /// Where it wants to lead.
    pub redirect_to: Option<String>,
}

/// Where the browser goes on.
#[derive(Clone, Debug)]
pub struct Landing {
    /// An allowed URL.
    pub to: String,
    /// What it takes along.
    pub outcome: Result<Landed, AccountError>,
}

/// What a link was good for.
#[derive(Clone, Debug)]
pub enum Landed {
    /// A session, and by which kind of link.
    Session(Box<Session>, LinkKind),
    /// A session that a provider vouched for.
    SignedIn(Box<Session>),
    /// A code for [`Passwordless::exchange`].
    Code(Secret),
}

/// An account that the owner makes and its user confirms.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// As written; folded to lower case.
    pub email: String,
    /// As at a sign-up.
    pub data: Map<String, Json>,
    /// Where the link shall lead.
    pub redirect_to: Option<String>,
}

/// A link that the owner sends by other means.
#[derive(Clone, Debug)]
pub struct GenerateLink {
    /// What for.
    pub kind: LinkKind,
    /// Whose.
    pub email: String,
    /// Of a new account, for [`LinkKind::Confirmation`].
    pub password: Option<Secret>,
    /// Of a new account.
    pub data: Map<String, Json>,
    /// For [`LinkKind::EmailChange`] and [`LinkKind::EmailChangeCurrent`].
    pub new_email: Option<String>,
    /// Where the link shall lead.
    pub redirect_to: Option<String>,
}

/// The link, and what it is made of.
#[derive(Clone, Debug)]
pub struct GeneratedLink {
    /// Whose.
    pub account: Account,
    /// The whole link.
    pub link: Secret,
    /// The long secret in it.
    pub token: Secret,
    /// The short code.
    pub code: Secret,
    /// What for.
    pub kind: LinkKind,
    /// Where it leads in the end.
    pub redirect_to: String,
}

/// A mail as `dev` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxMail {
    /// Its name.
    pub id: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// To whom.
    pub to: String,
    /// What about.
    pub subject: String,
    /// Its text part.
    pub text: String,
    /// Its HTML part.
    pub html: String,
}

/// Everything that can be asked about mails and what they prove. What is asked for by an address is answered alike whether somebody has
/// it or not, after the same work.
pub trait Passwordless: Send + Sync {
    /// Sends a link and a code with which to sign in, if somebody has the address, or shall have.
    fn send_link(&self, visit: Visit, request: LinkRequest) -> BoxFuture<'_, Result<(), AccountError>>;

    /// Sends a link and a code for who forgot the password, if somebody has the address.
    fn recover(&self, visit: Visit, email: String, wish: Wish) -> BoxFuture<'_, Result<(), AccountError>>;

    /// Sends a confirmation again, if one is waited for.
    fn resend(&self, visit: Visit, request: ResendRequest) -> BoxFuture<'_, Result<(), AccountError>>;

    /// A session for what was in a mail. It is used up.
    fn verify(
        &self,
        visit: Visit,
        kinds: &'static [LinkKind],
        proof: Proof,
    ) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// Where a browser that followed a link goes on. What the link proves is used up.
    fn follow(&self, visit: Visit, link: FollowedLink) -> BoxFuture<'_, Landing>;

    /// A session for the code that a link gave, and the verifier of the challenge with which it was asked for.
    fn exchange(&self, visit: Visit, code: Secret, verifier: Secret) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// Sends the caller a code with which to change the password.
    fn reauthenticate<'a>(&'a self, visit: Visit, caller: &'a Caller) -> BoxFuture<'a, Result<(), AccountError>>;

    /// Makes an account and sends its user a link; for the secret key.
    fn invite<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        request: InviteRequest,
    ) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// Makes a link without sending it; for the secret key.
    fn generate_link<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        request: GenerateLink,
    ) -> BoxFuture<'a, Result<GeneratedLink, AccountError>>;

    /// Makes an account without an address, and its first session.
    fn sign_up_anonymously(
        &self,
        visit: Visit,
        data: Map<String, Json>,
    ) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// The last mails, newest first, where they are kept to be looked at: in `dev` without a mail server.
    fn inbox(&self) -> Option<Vec<InboxMail>>;
}

/// What can be wrong with links, codes and mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Wrong, used, too old, for something else, or of nobody: never told apart.
    Expired,
    /// One of the two addresses of a change said yes just now, and counts; the other one is to, and until then nobody is signed in.
    OtherAddress,
    /// No such code of a flow: used, too old, or never given out.
    CodeUnknown,
    /// The verifier is not that of the challenge.
    WrongVerifier,
    /// Not the challenge of RFC 7636 with S256.
    BadChallenge,
    /// A URL to which browsers may not be sent.
    NotAllowed,
    /// No mail server is set up.
    MailUnavailable,
    /// The budget of mails is spent.
    TooManyMails {
        /// When to try again.
        retry_after: Duration,
    },
    /// The code of a reauthentication is wrong, used or too old.
    NonceInvalid,
    /// The application makes no accounts without an address.
    AnonymousOff,
    /// Something that only the secret key may do.
    SecretKeyNeeded,
    /// Nobody has the address; told to the owner alone.
    UserUnknown,
    /// The account has no address, which this needs.
    NeedsAddress,
    /// A link of this kind cannot be made like this.
    NoSuchLink,
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LinkError::Expired => f.write_str("the link or code is wrong, used or too old"),
            LinkError::OtherAddress => f.write_str("the other address has to confirm the change as well"),
            LinkError::CodeUnknown => f.write_str("the code of the flow is wrong, used or too old"),
            LinkError::WrongVerifier => f.write_str("the verifier does not fit the challenge"),
            LinkError::BadChallenge => f.write_str("the challenge is not one of S256"),
            LinkError::NotAllowed => f.write_str("browsers may not be sent to this URL"),
            LinkError::MailUnavailable => f.write_str("no mail server is set up"),
            LinkError::TooManyMails { retry_after } => {
                write!(f, "too many mails; try again in {} seconds", retry_after.as_secs().max(1))
            }
            LinkError::NonceInvalid => f.write_str("the code is wrong, used or too old"),
            LinkError::AnonymousOff => f.write_str("the application makes no accounts without an address"),
            LinkError::SecretKeyNeeded => f.write_str("only the secret key may do this"),
            LinkError::UserUnknown => f.write_str("nobody has this address"),
            LinkError::NeedsAddress => f.write_str("the account has no address"),
            LinkError::NoSuchLink => f.write_str("there is no such link"),
        }
    }
}

impl From<LinkError> for AccountError {
    fn from(error: LinkError) -> AccountError {
        AccountError::Link(error)
    }
}
