//! `custom_access_token`: what a hook may make of the claims of an access token.
//!
//! It may add claims and take further ones away, and change `app_metadata` and `user_metadata` in the token, roles among them: it speaks for
//! the owner. It may not say who the token is for, of which session, how well proved, or how long: [`KEPT`] stay what they are, or nothing is signed.

use crate::administration::check_app_metadata;
use crate::core::Core;
use crate::token::GENERATION;
use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use undergird_engine::accounts::{AccountError, HookError};

const NAME: &str = "customize-access-token";

/// Claims that a hook must give back as they were.
const KEPT: [&str; 11] =
    ["iss", "sub", "aud", "exp", "iat", "email", "phone", "role", "aal", "session_id", "is_anonymous"];
/// Claims that it may leave out, and not change. The second list is put back, since no token of ours is without.
const UNCHANGED: [&str; 3] = ["amr", "nbf", GENERATION];
const PUT_BACK: [&str; 2] = ["nbf", GENERATION];

/// What a hook said before a refresh token was used up.
pub(crate) struct Foreseen {
    before: Map<String, Json>,
    after: Map<String, Json>,
}

impl Core {
    /// Whether somebody is asked about claims.
    pub(crate) fn asks_about_claims(&self) -> bool {
        self.engine.app().model().settings.auth.hooks.custom_access_token.is_some()
    }

    /// The claims as the hook wants them; as they are, where there is none.
    ///
    /// # Errors
    /// The hook said no, nothing, or nonsense.
    pub(crate) async fn dress(
        &self,
        claims: Map<String, Json>,
        method: &str,
        address: Option<IpAddr>,
    ) -> Result<Map<String, Json>, AccountError> {
        let app = self.engine.app();
        let Some(hook) = &app.model().settings.auth.hooks.custom_access_token else { return Ok(claims) };
        let members = Map::from_iter([
            ("user_id".to_owned(), claims.get("sub").cloned().unwrap_or_default()),
            ("claims".to_owned(), Json::Object(claims.clone())),
            ("authentication_method".to_owned(), json!(method)),
        ]);
        let mut answer = self.ask_hook(hook, NAME, address, members).await.map_err(AccountError::Hook)?;
        let told = answer.remove("claims");
        checked(&claims, told).map_err(|why| {
            tracing::warn!(hook = NAME, %why, "a hook's claims are not taken");
            AccountError::Hook(HookError::Broken(why))
        })
    }

    /// The same before a refresh token is used up, so that a hook that does not answer costs nobody a session.
    pub(crate) async fn foresee(
        &self,
        claims: Map<String, Json>,
        method: &str,
        address: Option<IpAddr>,
    ) -> Result<Foreseen, AccountError> {
        let after = self.dress(claims.clone(), method, address).await?;
        Ok(Foreseen { before: claims, after })
    }
}

impl Foreseen {
    /// What the hook said, if it was asked about these very claims.
    pub(crate) fn of(self, claims: &Map<String, Json>) -> Option<Map<String, Json>> {
        (self.before == *claims).then_some(self.after)
    }
}

fn checked(before: &Map<String, Json>, told: Option<Json>) -> Result<Map<String, Json>, String> {
    let Some(Json::Object(mut after)) = told else { return Err("it has no claims".into()) };
    for name in KEPT {
        if !after.contains_key(name) {
            return Err(format!("the claim {name} is missing"));
        }
    }
    for name in KEPT.into_iter().chain(UNCHANGED) {
        if after.contains_key(name) && after.get(name) != before.get(name) {
            return Err(format!("the claim {name} is another"));
        }
    }
    for name in PUT_BACK {
        if let Some(value) = before.get(name) {
            after.insert(name.into(), value.clone());
        }
    }
    match after.get("app_metadata") {
        None => {}
        Some(same) if before.get("app_metadata") == Some(same) => {}
        Some(Json::Object(app)) if check_app_metadata(app).is_ok() => {}
        Some(_) => return Err("the claim app_metadata is too long, or its roles are none".into()),
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn claims() -> Map<String, Json> {
        let Json::Object(claims) = json!({
            "iss": "https://x.org/auth/v1", "sub": "1", "aud": "authenticated", "exp": 20, "iat": 10, "nbf": 10,
            "email": "a@x.org", "phone": "", "role": "authenticated", "aal": "aal1", "session_id": "2",
            "amr": [{ "method": "password", "timestamp": 10 }],
            "is_anonymous": false, "app_metadata": { "roles": [] }, "user_metadata": { "name": "Ann" }, GENERATION: 3,
        }) else {
            unreachable!()
        };
        claims
    }

    #[test]
    fn no_hook_says_who_how_well_proved_or_how_long() {
        let other = |name: &str| match claims()[name].clone() {
            Json::String(text) => json!(format!("{text}2")),
            Json::Number(number) => json!(number.as_i64().unwrap() + 1),
            Json::Bool(flag) => json!(!flag),
            _ => json!([]),
        };
        for name in KEPT.into_iter().chain(UNCHANGED) {
            for value in [other(name), Json::Null, json!({})] {
                let mut told = claims();
                told.insert(name.into(), value);
                assert!(checked(&claims(), Some(Json::Object(told))).is_err(), "{name} was changed");
            }
            let mut told = claims();
            told.remove(name);
            let is_taken = UNCHANGED.contains(&name);
            assert_eq!(checked(&claims(), Some(Json::Object(told))).is_ok(), is_taken, "{name} was left out");
        }
        // One that was not there cannot come.
        let mut before = claims();
        before.remove(GENERATION);
        assert!(checked(&before, Some(Json::Object(claims()))).is_err());
        for none in [None, Some(Json::Null), Some(json!([])), Some(json!({}))] {
            assert!(checked(&claims(), none).is_err());
        }
    }

    #[test]
    fn the_rest_is_the_hooks() {
        let mut told = claims();
        told.insert("plan".into(), json!({ "seats": 5 }));
        told.insert("app_metadata".into(), json!({ "roles": ["editor"] }));
        for name in ["user_metadata", "amr", "nbf", GENERATION] {
            told.remove(name);
        }
        let after = checked(&claims(), Some(Json::Object(told))).unwrap();
        assert_eq!((&after["plan"], &after["app_metadata"]["roles"]), (&json!({ "seats": 5 }), &json!(["editor"])));
        assert_eq!((&after["nbf"], &after[GENERATION]), (&json!(10), &json!(3)));
        assert!(!after.contains_key("user_metadata") && !after.contains_key("amr"));
        for bad in [json!(1), json!({ "roles": "admin" }), json!({ "roles": [1] }), json!({ "x": "y".repeat(5_000) })] {
            let mut told = claims();
            told.insert("app_metadata".into(), bad.clone());
            assert!(checked(&claims(), Some(Json::Object(told))).is_err(), "{bad}");
        }
    }
}
