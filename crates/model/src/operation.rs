//! One list of everything that can be called. Router, OpenAPI, generated types, metric labels, rate-limit classes, the contract
//! diff and the attack-coverage test are all folds over it.

use crate::schema::{CollectionId, FunctionId, Model};

/// Something that can be called over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Stable name: `posts.list`, `auth.signup`, `health.live`. Metric label and OpenAPI `operationId`.
    pub id: String,
    /// HTTP method, in capitals.
    pub method: &'static str,
    /// Path template, RFC 6570 style: `/rest/v1/posts/{id}`.
    pub path: String,
    /// What it does.
    pub kind: OperationKind,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// Rows of a collection.
    List(CollectionId),
    /// One row by its key.
    Read(CollectionId),
    /// New rows (or upserts).
    Create(CollectionId),
    /// Change the rows that a filter selects.
    Update(CollectionId),
    /// Change one row by its key.
    UpdateOne(CollectionId),
    /// Make one row be exactly this, by its key as conditions: PostgREST's form of [`OperationKind::ReplaceOne`].
    Replace(CollectionId),
    /// Make one row be exactly this, by its key.
    ReplaceOne(CollectionId),
    /// Remove the rows that a filter selects.
    Delete(CollectionId),
    /// Remove one row by its key.
    DeleteOne(CollectionId),
    /// Several of the above, all or none.
    Batch,
    /// A function of the database: by POST, and by GET when it changes nothing.
    Call(FunctionId),
    /// Sign-up, sign-in and their kin.
    Auth(AuthOperation),
    /// The sign-in pages.
    Page(PageOperation),
    /// Probes, metrics, the contract and its page.
    Service(ServiceOperation),
}

/// The auth surface (`/auth/v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum AuthOperation {
    SignUp,
    Token,
    User,
    UpdateUser,
    Logout,
    Jwks,
    Settings,
    Health,
    Mail(MailOperation),
    Provider(ProviderOperation),
    Sessions,
    EndSession,
    Factor(FactorOperation),
    Passkey(PasskeyOperation),
    Admin(AdminOperation),
}

/// Passkeys (`/auth/v1/passkeys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum PasskeyOperation {
    BeginRegistration,
    FinishRegistration,
    BeginSignIn,
    FinishSignIn,
    List,
    Rename,
    Remove,
}

/// Second factors (`/auth/v1/factors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum FactorOperation {
    Enroll,
    Challenge,
    Verify,
    Remove,
    RecoveryCodes,
    MakeRecoveryCodes,
    RemakeRecoveryCodes,
    VerifyRecoveryCode,
    RemoveRecoveryCodes,
}

/// What only the secret key may do (`/auth/v1/admin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum AdminOperation {
    ListUsers,
    CreateUser,
    User,
    UpdateUser,
    RemoveUser,
    Factors,
    RemoveFactor,
    Passkeys,
    RemovePasskey,
    Sessions,
    EndSessions,
    AuditLog,
}

impl AdminOperation {
    /// Whether it only looks: those that change something want more of whoever asks.
    pub fn is_read(self) -> bool {
        match self {
            AdminOperation::ListUsers
            | AdminOperation::User
            | AdminOperation::Factors
            | AdminOperation::Passkeys
            | AdminOperation::Sessions
            | AdminOperation::AuditLog => true,
            AdminOperation::CreateUser
            | AdminOperation::UpdateUser
            | AdminOperation::RemoveUser
            | AdminOperation::RemoveFactor
            | AdminOperation::RemovePasskey
            | AdminOperation::EndSessions => false,
        }
    }
}

/// What has to do with mails: links, codes, and what they prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum MailOperation {
    Otp,
    MagicLink,
    Recover,
    Resend,
    Verify,
    Follow,
    Reauthenticate,
    Invite,
    GenerateLink,
}

/// Signing in by other providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum ProviderOperation {
    Authorize,
    Callback,
    PostedCallback,
    Link,
    Unlink,
}

/// The sign-in pages (`/auth/ui`), for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageOperation {
    /// A page.
    Show(Page),
    /// What was filled in there.
    Send(Page),
    /// How they look.
    Style,
    /// How the application wants them to look.
    OwnStyle,
    /// The application's picture.
    Logo,
}

/// One of the sign-in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum Page {
    SignIn,
    SignUp,
    /// Asks for a mail with a link and a code.
    Mail,
    /// Takes the code of a mail.
    Code,
    Recover,
    NewPassword,
    SecondFactor,
    /// Where browsers come back to from mails and providers.
    Continue,
    Account,
    SignOut,
}

/// Everything beside the data and the callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum ServiceOperation {
    Live,
    Ready,
    Metrics,
    OpenApi,
    Docs,
    Inbox,
}

/// Where functions of the database are.
pub const RPC: &str = "/rest/v1/rpc/";

/// Everything that can be called in this application, in a stable order.
pub fn operations(model: &Model) -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |id: String, method: &'static str, path: String, kind: OperationKind| {
        all.push(Operation { id, method, path, kind });
    };
    for collection in model.public() {
        let (id, name) = (collection.id, &collection.name);
        let rows = format!("/rest/v1/{name}");
        let row = format!("{rows}/{{key}}");
        add(format!("{name}.list"), "GET", rows.clone(), OperationKind::List(id));
        if collection.readonly {
            add(format!("{name}.read"), "GET", row, OperationKind::Read(id));
            continue;
        }
        add(format!("{name}.create"), "POST", rows.clone(), OperationKind::Create(id));
        add(format!("{name}.update"), "PATCH", rows.clone(), OperationKind::Update(id));
        add(format!("{name}.replace"), "PUT", rows.clone(), OperationKind::Replace(id));
        add(format!("{name}.delete"), "DELETE", rows.clone(), OperationKind::Delete(id));
        add(format!("{name}.read"), "GET", row.clone(), OperationKind::Read(id));
        add(format!("{name}.update_one"), "PATCH", row.clone(), OperationKind::UpdateOne(id));
        add(format!("{name}.replace_one"), "PUT", row.clone(), OperationKind::ReplaceOne(id));
        add(format!("{name}.delete_one"), "DELETE", row, OperationKind::DeleteOne(id));
    }
    add("batch".into(), "POST", "/rest/v1/batch".into(), OperationKind::Batch);
    for function in &model.functions {
        let (kind, name) = (OperationKind::Call(function.id), &function.name);
        let path = format!("{RPC}{name}");
        add(format!("rpc.{name}"), "POST", path.clone(), kind);
        if !function.is_volatile() {
            add(format!("rpc.{name}.get"), "GET", path, kind);
        }
    }
    for (name, method, path, kind) in AUTH {
        add(format!("auth.{name}"), method, format!("/auth/v1/{path}"), OperationKind::Auth(*kind));
    }
    for (name, method, path, kind) in PAGES {
        add(format!("pages.{name}"), method, format!("/auth/ui/{path}"), OperationKind::Page(*kind));
    }
    for (name, path, kind) in SERVICE {
        add((*name).into(), "GET", (*path).into(), OperationKind::Service(*kind));
    }
    all
}

const AUTH: &[(&str, &str, &str, AuthOperation)] = &[
    ("signup", "POST", "signup", AuthOperation::SignUp),
    ("token", "POST", "token", AuthOperation::Token),
    ("user", "GET", "user", AuthOperation::User),
    ("update_user", "PUT", "user", AuthOperation::UpdateUser),
    ("logout", "POST", "logout", AuthOperation::Logout),
    ("jwks", "GET", ".well-known/jwks.json", AuthOperation::Jwks),
    ("settings", "GET", "settings", AuthOperation::Settings),
    ("health", "GET", "health", AuthOperation::Health),
    ("sessions", "GET", "sessions", AuthOperation::Sessions),
    ("end_session", "DELETE", "sessions/{session_id}", AuthOperation::EndSession),
    ("factors.enroll", "POST", "factors", AuthOperation::Factor(FactorOperation::Enroll)),
    ("factors.challenge", "POST", "factors/{factor_id}/challenge", AuthOperation::Factor(FactorOperation::Challenge)),
    ("factors.verify", "POST", "factors/{factor_id}/verify", AuthOperation::Factor(FactorOperation::Verify)),
    ("factors.remove", "DELETE", "factors/{factor_id}", AuthOperation::Factor(FactorOperation::Remove)),
    ("recovery_codes", "GET", RECOVERY_CODES, AuthOperation::Factor(FactorOperation::RecoveryCodes)),
    ("recovery_codes.make", "POST", RECOVERY_CODES, AuthOperation::Factor(FactorOperation::MakeRecoveryCodes)),
    ("recovery_codes.remove", "DELETE", RECOVERY_CODES, AuthOperation::Factor(FactorOperation::RemoveRecoveryCodes)),
    (
        "recovery_codes.remake",
        "POST",
        "factors/recovery-codes/regenerate",
        AuthOperation::Factor(FactorOperation::RemakeRecoveryCodes),
    ),
    (
        "recovery_codes.verify",
        "POST",
        "factors/recovery-codes/verify",
        AuthOperation::Factor(FactorOperation::VerifyRecoveryCode),
    ),
    ("passkeys", "GET", "passkeys", AuthOperation::Passkey(PasskeyOperation::List)),
    (
        "passkeys.begin_registration",
        "POST",
        "passkeys/registration/options",
        AuthOperation::Passkey(PasskeyOperation::BeginRegistration),
    ),
    (
        "passkeys.finish_registration",
        "POST",
        "passkeys/registration/verify",
        AuthOperation::Passkey(PasskeyOperation::FinishRegistration),
    ),
    (
        "passkeys.begin_sign_in",
        "POST",
        "passkeys/authentication/options",
        AuthOperation::Passkey(PasskeyOperation::BeginSignIn),
    ),
    (
        "passkeys.finish_sign_in",
        "POST",
        "passkeys/authentication/verify",
        AuthOperation::Passkey(PasskeyOperation::FinishSignIn),
    ),
    ("passkeys.rename", "PATCH", "passkeys/{passkey_id}", AuthOperation::Passkey(PasskeyOperation::Rename)),
    ("passkeys.remove", "DELETE", "passkeys/{passkey_id}", AuthOperation::Passkey(PasskeyOperation::Remove)),
    ("admin.audit", "GET", "admin/audit", AuthOperation::Admin(AdminOperation::AuditLog)),
    ("admin.users", "GET", "admin/users", AuthOperation::Admin(AdminOperation::ListUsers)),
    ("admin.create_user", "POST", "admin/users", AuthOperation::Admin(AdminOperation::CreateUser)),
    ("admin.user", "GET", ADMIN_USER, AuthOperation::Admin(AdminOperation::User)),
    ("admin.update_user", "PUT", ADMIN_USER, AuthOperation::Admin(AdminOperation::UpdateUser)),
    ("admin.remove_user", "DELETE", ADMIN_USER, AuthOperation::Admin(AdminOperation::RemoveUser)),
    ("admin.factors", "GET", "admin/users/{user_id}/factors", AuthOperation::Admin(AdminOperation::Factors)),
    (
        "admin.remove_factor",
        "DELETE",
        "admin/users/{user_id}/factors/{factor_id}",
        AuthOperation::Admin(AdminOperation::RemoveFactor),
    ),
    ("admin.passkeys", "GET", "admin/users/{user_id}/passkeys", AuthOperation::Admin(AdminOperation::Passkeys)),
    (
        "admin.remove_passkey",
        "DELETE",
        "admin/users/{user_id}/passkeys/{passkey_id}",
        AuthOperation::Admin(AdminOperation::RemovePasskey),
    ),
    ("admin.sessions", "GET", "admin/users/{user_id}/sessions", AuthOperation::Admin(AdminOperation::Sessions)),
    (
        "admin.end_sessions",
        "DELETE",
        "admin/users/{user_id}/sessions",
        AuthOperation::Admin(AdminOperation::EndSessions),
    ),
    ("otp", "POST", "otp", AuthOperation::Mail(MailOperation::Otp)),
    ("magiclink", "POST", "magiclink", AuthOperation::Mail(MailOperation::MagicLink)),
    ("recover", "POST", "recover", AuthOperation::Mail(MailOperation::Recover)),
    ("resend", "POST", "resend", AuthOperation::Mail(MailOperation::Resend)),
    ("verify", "POST", "verify", AuthOperation::Mail(MailOperation::Verify)),
    ("follow", "GET", "verify", AuthOperation::Mail(MailOperation::Follow)),
    ("reauthenticate", "GET", "reauthenticate", AuthOperation::Mail(MailOperation::Reauthenticate)),
    ("invite", "POST", "invite", AuthOperation::Mail(MailOperation::Invite)),
    ("admin.generate_link", "POST", "admin/generate_link", AuthOperation::Mail(MailOperation::GenerateLink)),
    ("authorize", "GET", "authorize", AuthOperation::Provider(ProviderOperation::Authorize)),
    ("callback", "GET", "callback", AuthOperation::Provider(ProviderOperation::Callback)),
    ("posted_callback", "POST", "callback", AuthOperation::Provider(ProviderOperation::PostedCallback)),
    ("link_identity", "GET", "user/identities/authorize", AuthOperation::Provider(ProviderOperation::Link)),
    ("unlink_identity", "DELETE", "user/identities/{identity_id}", AuthOperation::Provider(ProviderOperation::Unlink)),
];

const RECOVERY_CODES: &str = "factors/recovery-codes";
const ADMIN_USER: &str = "admin/users/{user_id}";

const PAGES: &[(&str, &str, &str, PageOperation)] = &[
    ("sign_in", "GET", "sign-in", PageOperation::Show(Page::SignIn)),
    ("sign_in.send", "POST", "sign-in", PageOperation::Send(Page::SignIn)),
    ("sign_up", "GET", "sign-up", PageOperation::Show(Page::SignUp)),
    ("sign_up.send", "POST", "sign-up", PageOperation::Send(Page::SignUp)),
    ("mail", "GET", "mail", PageOperation::Show(Page::Mail)),
    ("mail.send", "POST", "mail", PageOperation::Send(Page::Mail)),
    ("code.send", "POST", "code", PageOperation::Send(Page::Code)),
    ("recover", "GET", "recover", PageOperation::Show(Page::Recover)),
    ("recover.send", "POST", "recover", PageOperation::Send(Page::Recover)),
    ("new_password", "GET", "new-password", PageOperation::Show(Page::NewPassword)),
    ("new_password.send", "POST", "new-password", PageOperation::Send(Page::NewPassword)),
    ("second_factor", "GET", "second-factor", PageOperation::Show(Page::SecondFactor)),
    ("second_factor.send", "POST", "second-factor", PageOperation::Send(Page::SecondFactor)),
    ("continue", "GET", "continue", PageOperation::Show(Page::Continue)),
    ("account", "GET", "account", PageOperation::Show(Page::Account)),
    ("sign_out.send", "POST", "sign-out", PageOperation::Send(Page::SignOut)),
    ("style", "GET", "style.css", PageOperation::Style),
    ("own_style", "GET", "own.css", PageOperation::OwnStyle),
    ("logo", "GET", "logo", PageOperation::Logo),
];

const SERVICE: &[(&str, &str, ServiceOperation)] = &[
    ("health.live", "/health/live", ServiceOperation::Live),
    ("health.ready", "/health/ready", ServiceOperation::Ready),
    ("metrics", "/metrics", ServiceOperation::Metrics),
    ("openapi", "/openapi.json", ServiceOperation::OpenApi),
    ("docs", "/docs", ServiceOperation::Docs),
    ("inbox", "/_/inbox", ServiceOperation::Inbox),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Source;

    /// One collection is enough to see the pattern; the blog's own list is counted.
    #[test]
    fn lists_everything_that_can_be_called() {
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let tags = include_str!("../../../examples/blog/models/tags.toml");
        let hidden = "[fields]\nx = { type = \"text\" }\n";
        let sources = [
            source("models/tags.toml", tags),
            source("functions/near.toml", "volatility = \"stable\"\nreturns = { rows = \"tags\" }\n"),
            source("functions/act.toml", "returns = { type = \"int\" }\n"),
        ];
        let (model, _) = crate::definition::check(&sources, &[source("system/_keys.toml", hidden)]);
        let told: Vec<String> = operations(&model.unwrap())
            .iter()
            .map(|operation| format!("{} {} {}", operation.id, operation.method, operation.path))
            .collect();
        let expected = [
            "tags.list GET /rest/v1/tags",
            "tags.create POST /rest/v1/tags",
            "tags.update PATCH /rest/v1/tags",
            "tags.replace PUT /rest/v1/tags",
            "tags.delete DELETE /rest/v1/tags",
            "tags.read GET /rest/v1/tags/{key}",
            "tags.update_one PATCH /rest/v1/tags/{key}",
            "tags.replace_one PUT /rest/v1/tags/{key}",
            "tags.delete_one DELETE /rest/v1/tags/{key}",
            "batch POST /rest/v1/batch",
            "rpc.act POST /rest/v1/rpc/act",
            "rpc.near POST /rest/v1/rpc/near",
            "rpc.near.get GET /rest/v1/rpc/near",
            "auth.signup POST /auth/v1/signup",
            "auth.token POST /auth/v1/token",
            "auth.user GET /auth/v1/user",
            "auth.update_user PUT /auth/v1/user",
            "auth.logout POST /auth/v1/logout",
            "auth.jwks GET /auth/v1/.well-known/jwks.json",
            "auth.settings GET /auth/v1/settings",
            "auth.health GET /auth/v1/health",
            "auth.sessions GET /auth/v1/sessions",
            "auth.end_session DELETE /auth/v1/sessions/{session_id}",
            "auth.factors.enroll POST /auth/v1/factors",
            "auth.factors.challenge POST /auth/v1/factors/{factor_id}/challenge",
            "auth.factors.verify POST /auth/v1/factors/{factor_id}/verify",
            "auth.factors.remove DELETE /auth/v1/factors/{factor_id}",
            "auth.recovery_codes GET /auth/v1/factors/recovery-codes",
            "auth.recovery_codes.make POST /auth/v1/factors/recovery-codes",
            "auth.recovery_codes.remove DELETE /auth/v1/factors/recovery-codes",
            "auth.recovery_codes.remake POST /auth/v1/factors/recovery-codes/regenerate",
            "auth.recovery_codes.verify POST /auth/v1/factors/recovery-codes/verify",
            "auth.passkeys GET /auth/v1/passkeys",
            "auth.passkeys.begin_registration POST /auth/v1/passkeys/registration/options",
            "auth.passkeys.finish_registration POST /auth/v1/passkeys/registration/verify",
            "auth.passkeys.begin_sign_in POST /auth/v1/passkeys/authentication/options",
            "auth.passkeys.finish_sign_in POST /auth/v1/passkeys/authentication/verify",
            "auth.passkeys.rename PATCH /auth/v1/passkeys/{passkey_id}",
            "auth.passkeys.remove DELETE /auth/v1/passkeys/{passkey_id}",
            "auth.admin.audit GET /auth/v1/admin/audit",
            "auth.admin.users GET /auth/v1/admin/users",
            "auth.admin.create_user POST /auth/v1/admin/users",
            "auth.admin.user GET /auth/v1/admin/users/{user_id}",
            "auth.admin.update_user PUT /auth/v1/admin/users/{user_id}",
            "auth.admin.remove_user DELETE /auth/v1/admin/users/{user_id}",
            "auth.admin.factors GET /auth/v1/admin/users/{user_id}/factors",
            "auth.admin.remove_factor DELETE /auth/v1/admin/users/{user_id}/factors/{factor_id}",
            "auth.admin.passkeys GET /auth/v1/admin/users/{user_id}/passkeys",
            "auth.admin.remove_passkey DELETE /auth/v1/admin/users/{user_id}/passkeys/{passkey_id}",
            "auth.admin.sessions GET /auth/v1/admin/users/{user_id}/sessions",
            "auth.admin.end_sessions DELETE /auth/v1/admin/users/{user_id}/sessions",
            "auth.otp POST /auth/v1/otp",
            "auth.magiclink POST /auth/v1/magiclink",
            "auth.recover POST /auth/v1/recover",
            "auth.resend POST /auth/v1/resend",
            "auth.verify POST /auth/v1/verify",
            "auth.follow GET /auth/v1/verify",
            "auth.reauthenticate GET /auth/v1/reauthenticate",
            "auth.invite POST /auth/v1/invite",
            "auth.admin.generate_link POST /auth/v1/admin/generate_link",
            "auth.authorize GET /auth/v1/authorize",
            "auth.callback GET /auth/v1/callback",
            "auth.posted_callback POST /auth/v1/callback",
            "auth.link_identity GET /auth/v1/user/identities/authorize",
            "auth.unlink_identity DELETE /auth/v1/user/identities/{identity_id}",
            "pages.sign_in GET /auth/ui/sign-in",
            "pages.sign_in.send POST /auth/ui/sign-in",
            "pages.sign_up GET /auth/ui/sign-up",
            "pages.sign_up.send POST /auth/ui/sign-up",
            "pages.mail GET /auth/ui/mail",
            "pages.mail.send POST /auth/ui/mail",
            "pages.code.send POST /auth/ui/code",
            "pages.recover GET /auth/ui/recover",
            "pages.recover.send POST /auth/ui/recover",
            "pages.new_password GET /auth/ui/new-password",
            "pages.new_password.send POST /auth/ui/new-password",
            "pages.second_factor GET /auth/ui/second-factor",
            "pages.second_factor.send POST /auth/ui/second-factor",
            "pages.continue GET /auth/ui/continue",
            "pages.account GET /auth/ui/account",
            "pages.sign_out.send POST /auth/ui/sign-out",
            "pages.style GET /auth/ui/style.css",
            "pages.own_style GET /auth/ui/own.css",
            "pages.logo GET /auth/ui/logo",
            "health.live GET /health/live",
            "health.ready GET /health/ready",
            "metrics GET /metrics",
            "openapi GET /openapi.json",
            "docs GET /docs",
            "inbox GET /_/inbox",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn names_of_operations_are_unique() {
        let read = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let (model, _) = crate::definition::check(
            &[
                read("models/a.toml", "[fields]\nx = { type = \"text\" }\n"),
                read("models/b.toml", "[fields]\nx = { type = \"text\" }\n"),
            ],
            &[],
        );
        let all = operations(&model.unwrap());
        for (position, operation) in all.iter().enumerate() {
            assert!(all[..position].iter().all(|other| other.id != operation.id), "{}", operation.id);
        }
    }
}
