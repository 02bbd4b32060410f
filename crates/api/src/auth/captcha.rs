//! Who must show that he is a person: whoever signs up, signs in by password or passkey or has a mail sent, as in Supabase Auth. One place for all
//! of the surface, before anything else is done; the list is closed, so that a new operation must say.
//!
//! Absent: whether anything is asked for, and asking (behind the port).

use super::body::Members;
use super::error::Problem;
use super::{AuthRequest, caller, query_value, visit};
use undergird_engine::accounts::Accounts;
use undergird_model::operation::{AuthOperation, MailOperation, PasskeyOperation};
use undergird_plan::Identity;

/// Lets the request pass, or says why not.
pub(super) async fn pass(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<(), Problem> {
    if !is_asked(request) {
        return Ok(());
    }
    // The application itself, which makes accounts and mails for others.
    if caller(request, accounts).is_ok_and(|caller| matches!(caller.identity(), Identity::Secret)) {
        return Ok(());
    }
    // What is wrong with the body is for the operation to say.
    let solution = Members::read_if_any(request.body).ok().and_then(|members| members.captcha_token());
    Ok(accounts.pass_captcha(&visit(request), solution.as_deref()).await?)
}

fn is_asked(request: &AuthRequest<'_>) -> bool {
    match request.operation {
        AuthOperation::SignUp => true,
        // The others show something that only a person who was asked has.
        AuthOperation::Token => query_value(request.query, "grant_type").as_deref() == Some("password"),
        AuthOperation::Mail(
            MailOperation::Otp | MailOperation::MagicLink | MailOperation::Recover | MailOperation::Resend,
        ) => true,
        // The clients send a solution with the question for a challenge, which anybody may ask; the answer to it needs none.
        AuthOperation::Passkey(PasskeyOperation::BeginSignIn) => true,
        AuthOperation::Mail(
            MailOperation::Verify
            | MailOperation::Follow
            | MailOperation::Reauthenticate
            | MailOperation::Invite
            | MailOperation::GenerateLink,
        )
        | AuthOperation::User
        | AuthOperation::UpdateUser
        | AuthOperation::Logout
        | AuthOperation::Jwks
        | AuthOperation::Settings
        | AuthOperation::Health
        | AuthOperation::Provider(_)
        | AuthOperation::Sessions
        | AuthOperation::EndSession
        | AuthOperation::Factor(_)
        | AuthOperation::Passkey(
            PasskeyOperation::BeginRegistration
            | PasskeyOperation::FinishRegistration
            | PasskeyOperation::FinishSignIn
            | PasskeyOperation::List
            | PasskeyOperation::Rename
            | PasskeyOperation::Remove,
        )
        | AuthOperation::Admin(_) => false,
    }
}
