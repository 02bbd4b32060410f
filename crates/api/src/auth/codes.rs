//! The codes of the auth surface, as `docs/errors.md` shows them. They are GoTrue's where it has one, since clients branch on them.
//!
//! Deliberately absent: when each is said ([`super::error`]).

/// Code, statuses, and what it means and what to do. In order of the codes.
pub(crate) const CODES: &[(&str, &str, &str)] = &[
    ("anonymous_provider_disabled", "422", "`[auth] anonymous` is not set."),
    ("bad_code_verifier", "400", "Not the verifier of the challenge; the code of PKCE is used up."),
    ("bad_json", "400", "The body is no JSON object."),
    ("bad_jwt", "401", "The token is none of this server, ran out, or is altered. Refresh, or sign in again."),
    (
        "bad_oauth_callback",
        "400",
        "A browser came back from a provider without a state, without success, or from another provider.",
    ),
    ("bad_oauth_state", "400", "The state is used, too old, unknown, or another browser's."),
    (
        "captcha_failed",
        "400",
        "`[auth.captcha]` asks for the solution of a puzzle (`options.captchaToken`), and there is none, or not a good one.",
    ),
    ("conflict", "409", "Another request came first, or a value of the profile is taken."),
    ("email_exists", "422", "Another account has the address."),
    (
        "email_not_confirmed",
        "400",
        "The password is right, the address not confirmed. Not said with `[auth] tell_unconfirmed = false`.",
    ),
    ("email_provider_disabled", "422", "No mail server is set up."),
    ("flow_state_not_found", "404", "The code of PKCE is wrong, used or too old."),
    ("hook_payload_over_size_limit", "503", "A hook of the application answers more than is read; nothing was done."),
    ("hook_refused", "4xx", "A hook of the application said no, in its own words."),
    ("hook_timeout", "503", "A hook of the application did not answer in time; nothing was done. Try again."),
    ("identity_already_exists", "422", "The identity is linked already, here or to another account."),
    ("identity_not_found", "404", "The account has no such identity."),
    ("insufficient_aal", "403", "The session must prove its second factor first."),
    (
        "invalid_credentials",
        "400",
        "A wrong password, an unknown address, a bad ID token, or an unknown `grant_type`: it is not told which.",
    ),
    ("mfa_challenge_expired", "422", "The challenge is too old or used; make another."),
    ("mfa_factor_name_conflict", "422", "Another factor of the account has the name."),
    ("mfa_factor_not_found", "404", "The account has no such factor."),
    ("mfa_recovery_codes_sole_factor", "422", "Recovery codes stand in for a factor, and there is none."),
    ("mfa_verification_failed", "422", "A wrong code, or one that was used."),
    ("mfa_verified_factor_exists", "422", "There are recovery codes already."),
    ("no_authorization", "401", "It wants a user's token."),
    ("not_admin", "403", "It wants the secret key, or a service account's with the scope."),
    ("oauth_provider_not_supported", "400", "The provider gives no ID tokens."),
    ("otp_expired", "403", "A link or code that is wrong, used, too old, for something else, or of nobody."),
    ("over_email_send_rate_limit", "429", "Too many mails; `Retry-After` says when to try again."),
    ("over_request_rate_limit", "429", "Too many attempts; `Retry-After` says when to try again."),
    ("passkey_disabled", "404", "Passkeys are not offered."),
    ("phone_provider_disabled", "400", "Phones are not there."),
    ("provider_email_needs_verification", "422", "The provider tells no address that it has verified."),
    ("reauthentication_needed", "401", "It wants the current password, a recent sign-in, or the code of a mail."),
    ("reauthentication_not_valid", "422", "A wrong `nonce`."),
    ("refresh_token_already_used", "400", "It came twice, so its session was ended."),
    ("refresh_token_not_found", "400", "None of this server, or its session ended."),
    ("request_timeout", "503, 504", "Too much is waiting, or it took too long; try again."),
    ("same_password", "422", "The new password is the old one."),
    ("session_expired", "400", "The session is too old, or was not refreshed for too long."),
    ("session_not_found", "401, 404", "The session ended; or, in a list, is not one of this account."),
    ("signup_disabled", "422", "`[auth] sign_up` is false."),
    ("single_identity_not_deletable", "422", "It is the only way to sign in."),
    ("too_many_enrolled_mfa_factors", "422", "Remove a factor first."),
    ("too_many_identities", "422", "Unlink one first."),
    ("too_many_passkeys", "422", "Remove one first."),
    ("unexpected_failure", "500, 503", "A failure here or at a provider; the log tells it, by the request's id."),
    ("user_already_exists", "422", "Another account has the address or the id."),
    ("user_banned", "400", "The owner banned the account."),
    ("user_not_found", "401, 404", "The account is gone, or there is none."),
    ("validation_failed", "400, 413, 422", "Something of the request is not as it must be; `msg` says what."),
    ("weak_password", "422", "Too short, too long, or known to guessers; `weak_password.reasons` says which."),
    ("webauthn_challenge_expired", "400", "The challenge is too old."),
    ("webauthn_challenge_not_found", "400", "The challenge is unknown or used."),
    ("webauthn_credential_exists", "422", "The passkey is registered already."),
    ("webauthn_credential_not_found", "404", "The account has no such passkey."),
    ("webauthn_verification_failed", "400", "The answer of the authenticator is not good."),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::CODES;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_of_the_source_is_in_the_table_and_none_beside() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/");
        let mut said = BTreeSet::new();
        for file in ["error.rs", "credentials.rs", "mail.rs", "passkeys.rs"] {
            let text = std::fs::read_to_string(format!("{source}{file}")).unwrap_or_default();
            // What is between quotes; each second piece.
            said.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
        }
        let mut sorted: Vec<_> = CODES.iter().map(|(code, ..)| *code).collect();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted, CODES.iter().map(|(code, ..)| *code).collect::<Vec<_>>());
        for code in &sorted {
            assert!(said.contains(*code), "nothing says {code}");
        }
        // The first text of a problem is its code.
        let error = std::fs::read_to_string(format!("{source}error.rs")).unwrap();
        for begin in ["Problem::bad(", "Problem::unprocessable(", "unprocessable(", "bad("] {
            for part in error.split(begin).skip(1) {
                let Some(rest) = part.trim_start().strip_prefix('"') else { continue };
                let code = rest.split('"').next().unwrap();
                assert!(sorted.contains(&code), "{code} is not in the table");
            }
        }
    }
}
