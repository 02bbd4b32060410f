//! The providers, one file each: what is special about them. Whatever else is called by a name of the team's choice speaks OpenID Connect and is
//! found by its issuer ([`generic`]).
//!
//! Deliberately absent: the flow itself ([`super`]).

mod apple;
mod azure;
mod discord;
mod generic;
mod github;
mod gitlab;
mod google;
mod linkedin;
mod slack;

use super::person::Person;
use crate::BoxFuture;
use crate::fetch::Fetcher;
use serde_json::Value as Json;
use undergird_engine::accounts::{ProviderError, Secret};
use undergird_model::settings::Provider;

/// How a provider is spoken to.
pub(crate) enum Speech {
    /// OpenID Connect.
    OpenId {
        /// Where what it says of itself is found.
        issuer: String,
        /// How it names itself there.
        written: String,
    },
    /// OAuth 2 alone: who a user is, is asked with the access token.
    OAuth {
        /// Where browsers go.
        authorize: String,
        /// Where codes go.
        token: String,
    },
}

/// What is special about a provider.
pub(crate) trait Dialect: Send + Sync {
    /// How it is spoken to.
    fn speech(&self, set: &Provider) -> Speech;

    /// What is asked for so that somebody can sign in.
    fn scopes(&self) -> &'static [&'static str] {
        &["openid", "email", "profile"]
    }

    /// What else goes to it with a browser.
    fn members(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Whether the browser comes back by a form that its page posts.
    fn posts(&self) -> bool {
        false
    }

    /// Whether it knows PKCE; who does not must at least know a secret.
    fn has_pkce(&self) -> bool {
        true
    }

    /// Whether the secret goes into the form, where it does not say so itself.
    fn takes_secret_in_form(&self) -> bool {
        false
    }

    /// Whether its ID tokens have the nonce that was asked for.
    fn has_nonce(&self) -> bool {
        true
    }

    /// Whether an ID token's `iss` is its. `written`: how it names itself.
    fn is_issuer(&self, written: &str, issuer: &str, _claims: &Json) -> bool {
        written == issuer
    }

    /// Whether it says that it has verified the address.
    fn is_verified(&self, claims: &Json) -> bool {
        says_yes(claims.get("email_verified"))
    }

    /// The secret that codes are exchanged with.
    fn client_secret(&self, set: &Provider, _now: i64) -> Result<Option<Secret>, ProviderError> {
        Ok(set.client_secret.as_ref().map(|secret| Secret::new(secret.expose())))
    }

    /// More about a user than claims say: what came beside them.
    fn add(&self, _claims: &mut Json, _user: &Json) {}

    /// Of [`Speech::OAuth`]: who an access token is of, under the names of OpenID Connect.
    fn claims<'a>(
        &'a self,
        _fetcher: &'a Fetcher,
        _set: &'a Provider,
        _token: &'a Secret,
    ) -> BoxFuture<'a, Result<Json, ProviderError>> {
        Box::pin(async { Err(ProviderError::Unreachable("it tells users by ID tokens".into())) })
    }
}

/// The dialect of a provider by its name.
pub(crate) fn dialect(name: &str) -> &'static dyn Dialect {
    match name {
        "apple" => &apple::Apple,
        "azure" => &azure::Azure,
        "discord" => &discord::Discord,
        "github" => &github::GitHub,
        "gitlab" => &gitlab::GitLab,
        "google" => &google::Google,
        "linkedin_oidc" => &linkedin::LinkedIn,
        "slack_oidc" => &slack::Slack,
        _ => &generic::Generic,
    }
}

/// An issuer that is found where it says that it is.
fn open_id(issuer: &str) -> Speech {
    Speech::OpenId { issuer: issuer.to_owned(), written: issuer.to_owned() }
}

/// The issuer that is configured, or the usual one.
fn configured<'s>(set: &'s Provider, usual: &'s str) -> &'s str {
    set.issuer.as_deref().unwrap_or(usual)
}

/// `true`, also as text, as some write it.
fn says_yes(value: Option<&Json>) -> bool {
    matches!(value, Some(Json::Bool(true))) || value.and_then(Json::as_str) == Some("true")
}

/// The person that claims tell of.
pub(crate) fn person(
    dialect: &dyn Dialect,
    set: &Provider,
    claims: &Json,
    issuer: &str,
) -> Result<Person, ProviderError> {
    let is_verified = set.trust_email || dialect.is_verified(claims);
    let person = Person::of(claims, issuer, is_verified);
    person.ok_or_else(|| ProviderError::Unreachable("it tells no id of its user".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;
    use undergird_model::settings::READY_MADE;

    fn set(name: &str) -> Provider {
        Provider {
            name: name.into(),
            enabled: true,
            client_id: "me".into(),
            client_secret: None,
            issuer: None,
            scopes: Vec::new(),
            audiences: Vec::new(),
            trust_email: false,
            signer: None,
        }
    }

    #[test]
    fn who_needs_no_issuer_has_one() {
        for name in READY_MADE {
            let url = match dialect(name).speech(&set(name)) {
                Speech::OpenId { issuer, .. } => issuer,
                Speech::OAuth { authorize, .. } => authorize,
            };
            assert!(url.starts_with("https://"), "{name}: {url:?}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        let verified = |name: &str, claims: Json| dialect(name).is_verified(&claims);
        assert!(verified("own", json!({ "email_verified": true })));
        assert!(verified("apple", json!({ "email_verified": "true" })));
        for no in [
            json!({}),
            json!({ "email_verified": false }),
            json!({ "email_verified": "false" }),
            json!({ "email_verified": 1 }),
        ] {
            for name in READY_MADE {
                assert!(!verified(name, no.clone()), "{name} {no}");
            }
        }
        assert!(!verified("azure", json!({ "email_verified": true })), "it says so of addresses that a tenant made up");
        assert!(verified("azure", json!({ "xms_edov": true })));
        assert!(verified("azure", json!({ "xms_edov": "1" })));
        assert!(verified("azure", json!({ "xms_edov": 1 })));
        assert!(!verified("azure", json!({ "xms_edov": "0" })));
    }

    #[test]
    fn an_issuer_is_compared_whole() {
        let is =
            |name: &str, written: &str, issuer: &str, claims: Json| dialect(name).is_issuer(written, issuer, &claims);
        let google = "https://accounts.google.com";
        assert!(is("google", google, google, json!({})) && is("google", google, "accounts.google.com", json!({})));
        assert!(!is("google", google, "https://accounts.google.com.evil.org", json!({})));
        assert!(!is("own", "https://a.org", "https://a.org/", json!({})));
        let azure = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let tenant = "9188040d-6c67-4c5b-b112-36a304b66dad";
        let of = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        assert!(is("azure", azure, &of(tenant), json!({ "tid": tenant })));
        assert!(!is("azure", azure, &of(tenant), json!({ "tid": "another" })));
        assert!(!is("azure", azure, azure, json!({ "tid": "{tenantid}" })));
        assert!(!is("azure", azure, &of("x/../y"), json!({ "tid": "x/../y" })));
        assert!(is("azure", &of(tenant), &of(tenant), json!({})), "a tenant of one's own");
    }
}
