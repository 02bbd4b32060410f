//! Everything that the pages say, in English. One value, so that an application's own words can take its place one day.

use crate::auth::error::Problem;
use http::StatusCode;
use undergird_engine::accounts::{AccountError, FactorError, HookError, LinkError, PasswordWeakness, ProviderError};

/// The words.
pub(super) struct Texts {
    pub(super) language: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) sign_up: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) recover: &'static str,
    pub(super) new_password: &'static str,
    pub(super) second_factor: &'static str,
    pub(super) mail: &'static str,
    pub(super) check_mail: &'static str,
    pub(super) account: &'static str,
    pub(super) not_like_this: &'static str,
    pub(super) too_late: &'static str,

    pub(super) email: &'static str,
    pub(super) password: &'static str,
    pub(super) new_password_field: &'static str,
    pub(super) code: &'static str,
    pub(super) recovery_code: &'static str,
    pub(super) factor: &'static str,
    pub(super) unnamed_factor: &'static str,

    pub(super) do_sign_in: &'static str,
    pub(super) do_sign_up: &'static str,
    pub(super) do_recover: &'static str,
    pub(super) do_new_password: &'static str,
    pub(super) do_mail: &'static str,
    pub(super) do_code: &'static str,
    pub(super) do_recovery_code: &'static str,
    pub(super) do_resend: &'static str,
    pub(super) with_provider: &'static str,
    pub(super) or: &'static str,

    pub(super) to_sign_in: &'static str,
    pub(super) to_sign_up: &'static str,
    pub(super) to_recover: &'static str,
    pub(super) to_mail: &'static str,
    pub(super) to_application: &'static str,
    pub(super) start_again: &'static str,
    pub(super) no_account: &'static str,
    pub(super) has_account: &'static str,
    pub(super) lost_device: &'static str,

    pub(super) about_recover: &'static str,
    pub(super) about_mail: &'static str,
    pub(super) about_check: &'static str,
    pub(super) about_confirmation: &'static str,
    pub(super) about_code_browser: &'static str,
    pub(super) about_new_password: &'static str,
    pub(super) about_second_factor: &'static str,
    pub(super) about_other_factor: &'static str,
    pub(super) about_recovery_code: &'static str,
    pub(super) about_password: &'static str,
    pub(super) signed_out: &'static str,
    pub(super) no_errand: &'static str,

    pub(super) without_challenge: &'static str,
    pub(super) not_allowed: &'static str,
    pub(super) not_ours: &'static str,
    pub(super) not_a_form: &'static str,
    pub(super) held_no_more: &'static str,
    pub(super) came_back_in_vain: &'static str,
    pub(super) link_in_vain: &'static str,
    pub(super) other_browser: &'static str,
    pub(super) cancelled: &'static str,
}

/// The only words that there are.
pub(super) const ENGLISH: Texts = Texts {
    language: "en",
    sign_in: "Sign in",
    sign_up: "Create an account",
    sign_out: "Sign out",
    recover: "Forgot your password?",
    new_password: "Set a new password",
    second_factor: "Second step",
    mail: "Sign in by e-mail",
    check_mail: "Look into your mail",
    account: "You are signed in",
    not_like_this: "This does not work like this",
    too_late: "That took too long",

    email: "E-mail address",
    password: "Password",
    new_password_field: "New password",
    code: "Code",
    recovery_code: "Recovery code",
    factor: "App or device",
    unnamed_factor: "Authenticator app",

    do_sign_in: "Sign in",
    do_sign_up: "Create account",
    do_recover: "Send me a mail",
    do_new_password: "Save password",
    do_mail: "Send me a mail",
    do_code: "Continue",
    do_recovery_code: "Use recovery code",
    do_resend: "Send it again",
    with_provider: "Continue with",
    or: "or",

    to_sign_in: "Sign in",
    to_sign_up: "Create an account",
    to_recover: "Forgot your password?",
    to_mail: "Sign in by e-mail, without a password",
    to_application: "Go to the application",
    start_again: "Start again",
    no_account: "No account yet?",
    has_account: "Have an account?",
    lost_device: "Lost your device?",

    about_recover: "We send a mail with a link and a code, with which you can set a new password.",
    about_mail: "We send a mail with a link and a code. No password needed.",
    about_check: "If this address has an account, a mail is on its way. Follow its link in this browser, or type its code here:",
    about_confirmation: "We have sent a mail, to make sure that the address is yours. Follow its link in this browser, or type its code here:",
    about_code_browser: "No mail after a few minutes? Look into the folder for spam, or have it sent again.",
    about_new_password: "You are signed in. Choose a new password; you will be signed out everywhere else.",
    about_second_factor: "Type the code that your authenticator app shows.",
    about_other_factor: "Your second step is a security key or a passkey, which this page cannot ask for. Use a recovery code, or sign in where the \
                         application asks for it.",
    about_recovery_code: "Each of your recovery codes is good once, in place of a code of the app.",
    about_password: "At least {} characters. A few words that nobody would guess are good.",
    signed_out: "You are signed out.",
    no_errand: "This page was opened by itself. Applications send you here, and you go back to them when you are signed in.",

    without_challenge: "The application that sent you here did not say how it will take your sign-in (code_challenge, with S256). \
                        Nothing is wrong with your account; its makers have to mend this.",
    not_allowed: "The address to which this page was asked to send you back is not one of this application's. If a link brought you here, do \
                  not trust it. The makers of the application find the list under redirect_urls in its settings.",
    not_ours: "This form was open for too long, or did not come from this page. Please try again. If this comes back, allow cookies for \
               this site.",
    not_a_form: "That was no form of this page.",
    held_no_more: "For your safety you have to begin again.",
    came_back_in_vain: "Signing in with the other provider did not work. Please try again, or choose another way.",
    link_in_vain: "This link or code is wrong, was used already, or is too old. Look at it again, or ask for a new mail.",
    other_browser: "This link belongs to another browser, or was used already. If it was there to confirm your address, that is done: sign in. \
                    Otherwise ask for a new mail, and follow its link in this browser or type its code here.",
    cancelled: "You were not signed in: the other provider did not agree, or you left its page.",
};

/// What a page tells about something that was not done: the status, and a sentence.
pub(super) fn told(error: &AccountError, texts: &Texts) -> (StatusCode, String) {
    let status = Problem::from(error.clone()).status;
    let text = match error {
        AccountError::InvalidCredentials => "The e-mail address or the password is wrong.".into(),
        AccountError::EmailTaken => "This address has an account already. Sign in, or set a new password.".into(),
        AccountError::InvalidEmail => "This is not an e-mail address.".into(),
        AccountError::SignUpClosed => "New accounts cannot be made here.".into(),
        AccountError::EmailNotConfirmed => "The address is not confirmed yet. Look into your mail.".into(),
        AccountError::Banned => "This account is blocked. Ask the owners of the application.".into(),
        AccountError::WeakPassword(PasswordWeakness::TooShort { min }) => {
            format!("The password is too short: it needs at least {min} characters.")
        }
        AccountError::WeakPassword(PasswordWeakness::TooLong { max }) => {
            format!("The password is too long: at most {max} characters are taken.")
        }
        AccountError::WeakPassword(PasswordWeakness::Common) => {
            "This password is one of those that are guessed first. Choose another.".into()
        }
        AccountError::SamePassword => "This is the password that you have already. Choose another.".into(),
        AccountError::InvalidData(_) => {
            "The application wants to know more about you than this page asks for; its makers have to mend this.".into()
        }
        AccountError::Factor(FactorError::CodeWrong | FactorError::ChallengeExpired) => {
            "The code is wrong, or was used already. Wait for the next one.".into()
        }
        AccountError::Factor(_) => "This second step cannot be used. Choose another.".into(),
        AccountError::Link(LinkError::Expired) => texts.link_in_vain.into(),
        AccountError::Link(LinkError::CodeUnknown | LinkError::WrongVerifier) => texts.other_browser.into(),
        AccountError::Link(LinkError::MailUnavailable) => "This application sends no mails.".into(),
        AccountError::Link(LinkError::TooManyMails { retry_after }) | AccountError::TooManyAttempts { retry_after } => {
            format!("Too many attempts. Try again in {}.", spoken(retry_after.as_secs().max(1)))
        }
        AccountError::Link(_) => texts.not_like_this.into(),
        AccountError::Provider(ProviderError::Refused(_)) => texts.cancelled.into(),
        AccountError::Provider(_) => texts.came_back_in_vain.into(),
        AccountError::NotAUser
        | AccountError::AccountMissing
        | AccountError::SessionMissing
        | AccountError::SessionUnknown
        | AccountError::SessionExpired
        | AccountError::RefreshTokenUnknown
        | AccountError::RefreshTokenUsed
        | AccountError::UserUnknown
        | AccountError::ReauthenticationNeeded => texts.held_no_more.into(),
        AccountError::DataTooLarge { .. }
        | AccountError::NotAdmin
        // They have no scripts, and so no passkeys.
        | AccountError::Passkey(_)
        // There are no pages beside a captcha.
        | AccountError::Captcha(_)
        | AccountError::IdTaken
        | AccountError::InvalidSetting(..) => texts.not_like_this.into(),
        AccountError::Failed(_) if status == StatusCode::SERVICE_UNAVAILABLE => {
            "Too much is going on right now. Try again in a few seconds.".into()
        }
        AccountError::Hook(HookError::Refused { message, .. }) => message.clone(),
        AccountError::Hook(_) => "This cannot be done just now. Please try again in a moment.".into(),
        AccountError::Failed(_) => "Something went wrong here. It was noted; please try again later.".into(),
    };
    (status, text)
}

fn spoken(seconds: u64) -> String {
    match seconds {
        1 => "a second".into(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// How a provider is called.
pub(super) fn provider(name: &str) -> String {
    let known = match name {
        "apple" => "Apple",
        "azure" => "Microsoft",
        "discord" => "Discord",
        "github" => "GitHub",
        "gitlab" => "GitLab",
        "google" => "Google",
        "linkedin_oidc" => "LinkedIn",
        "slack_oidc" => "Slack",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    let words = name.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
