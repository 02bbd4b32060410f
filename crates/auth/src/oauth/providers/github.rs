//! GitHub: OAuth 2 without OpenID Connect. Who a user is, and which addresses of theirs are verified, is asked with the access token. A server
//! of one's own is named by `issuer`.

use super::{Dialect, Speech};
use crate::BoxFuture;
use crate::fetch::Fetcher;
use crate::oauth::calls::with_token;
use serde_json::{Value as Json, json};
use undergird_engine::accounts::{ProviderError, Secret};
use undergird_model::settings::Provider;

pub(super) struct GitHub;

impl Dialect for GitHub {
    fn speech(&self, set: &Provider) -> Speech {
        let base = set.issuer.as_deref().unwrap_or("https://github.com").trim_end_matches('/');
        Speech::OAuth {
            authorize: format!("{base}/login/oauth/authorize"),
            token: format!("{base}/login/oauth/access_token"),
        }
    }

    fn scopes(&self) -> &'static [&'static str] {
        &["user:email"]
    }

    fn claims<'a>(
        &'a self,
        fetcher: &'a Fetcher,
        set: &'a Provider,
        token: &'a Secret,
    ) -> BoxFuture<'a, Result<Json, ProviderError>> {
        let api = match &set.issuer {
            Some(base) => format!("{}/api/v3", base.trim_end_matches('/')),
            None => "https://api.github.com".to_owned(),
        };
        Box::pin(async move {
            let user = with_token(fetcher, &format!("{api}/user"), token).await?;
            let emails = with_token(fetcher, &format!("{api}/user/emails"), token).await?;
            Ok(claims(&user, &emails))
        })
    }
}

/// The number is the id: names can be given up and taken by others.
fn claims(user: &Json, emails: &Json) -> Json {
    let is = |email: &Json, what: &str| email[what] == Json::Bool(true);
    let all: Vec<&Json> = emails.as_array().into_iter().flatten().filter(|email| is(email, "verified")).collect();
    let chosen = all.iter().find(|email| is(email, "primary"));
    let mut claims = json!({
        "name": user["name"], "user_name": user["login"], "preferred_username": user["login"], "picture": user["avatar_url"],
    });
    if let Some(id) = user["id"].as_u64() {
        claims["sub"] = id.to_string().into();
    }
    if let Some(email) = chosen {
        claims["email"] = email["email"].clone();
        claims["email_verified"] = true.into();
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verified_primary_address_alone() {
        let user = json!({ "id": 7, "login": "ann", "name": "Ann", "email": "public@example.org", "avatar_url": "https://x.org/a" });
        let email = |address: &str, primary: bool, verified: bool| json!({ "email": address, "primary": primary, "verified": verified });
        let told = |emails: Json| claims(&user, &emails).get("email").cloned();
        assert_eq!(told(json!([email("b@x.org", false, true), email("a@x.org", true, true)])), Some(json!("a@x.org")));
        assert_eq!(told(json!([email("b@x.org", false, true), email("a@x.org", true, false)])), None);
        assert_eq!(told(json!([])), None, "the address that the profile shows is no proof");
        assert_eq!(told(json!({ "message": "Not Found" })), None);
        assert_eq!(claims(&user, &json!([]))["sub"], json!("7"));
        assert_eq!(claims(&json!({ "login": "ann" }), &json!([])).get("sub"), None);
    }
}
