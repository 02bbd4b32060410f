//! Discord: OAuth 2, and a user of its own form.

use super::{Dialect, Speech};
use crate::BoxFuture;
use crate::fetch::Fetcher;
use crate::oauth::calls::with_token;
use serde_json::{Value as Json, json};
use undergird_engine::accounts::{ProviderError, Secret};
use undergird_model::settings::Provider;

pub(super) struct Discord;

impl Dialect for Discord {
    fn speech(&self, _: &Provider) -> Speech {
        Speech::OAuth {
            authorize: "https://discord.com/oauth2/authorize".into(),
            token: "https://discord.com/api/oauth2/token".into(),
        }
    }

    fn scopes(&self) -> &'static [&'static str] {
        &["identify", "email"]
    }

    fn claims<'a>(
        &'a self,
        fetcher: &'a Fetcher,
        _: &'a Provider,
        token: &'a Secret,
    ) -> BoxFuture<'a, Result<Json, ProviderError>> {
        Box::pin(async move { Ok(claims(&with_token(fetcher, "https://discord.com/api/users/@me", token).await?)) })
    }
}

fn claims(user: &Json) -> Json {
    let name = if user["global_name"].is_string() { &user["global_name"] } else { &user["username"] };
    let mut claims = json!({
        "sub": user["id"], "name": name, "user_name": user["username"], "preferred_username": user["username"],
        "email": user["email"], "email_verified": user["verified"], "locale": user["locale"],
    });
    if let (Some(id), Some(avatar)) = (user["id"].as_str(), user["avatar"].as_str()) {
        claims["picture"] = format!("https://cdn.discordapp.com/avatars/{id}/{avatar}.png").into();
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user() {
        let user = json!({
            "id": "80351110224678912", "username": "nelly", "global_name": null, "avatar": "8342", "verified": false, "email": "n@x.org",
        });
        let told = claims(&user);
        assert_eq!(
            (&told["sub"], &told["name"], &told["email_verified"]),
            (&user["id"], &json!("nelly"), &json!(false))
        );
        assert_eq!(told["picture"], json!("https://cdn.discordapp.com/avatars/80351110224678912/8342.png"));
    }
}
