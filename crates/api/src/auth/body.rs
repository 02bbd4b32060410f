//! Bodies, read strictly: an object where text belongs is refused, never searched with.

use super::BODY_BYTES_MAX;
use super::error::Problem;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// The members of a JSON object. Members that nobody asks for are ignored: clients send more than we know
/// (`channel`).
pub(super) struct Members(Map<String, Json>);

impl Members {
    pub(super) fn read(body: &[u8]) -> Result<Members, Problem> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Problem::body_too_large(BODY_BYTES_MAX));
        }
        // serde_json refuses nesting beyond 128 by itself.
        match serde_json::from_slice(body) {
            Ok(Json::Object(members)) => Ok(Members(members)),
            Ok(_) => Err(Problem::bad_json("it is not an object")),
            Err(_) => Err(Problem::bad_json("it is not well formed")),
        }
    }

    /// The same, but nothing at all is an empty object: some calls have a body only when there is something to say.
    pub(super) fn read_if_any(body: &[u8]) -> Result<Members, Problem> {
        if body.is_empty() { Ok(Members(Map::new())) } else { Members::read(body) }
    }

    /// The solution of a captcha, where the clients put it.
    pub(super) fn captcha_token(&self) -> Option<String> {
        self.0.get("gotrue_meta_security")?.get("captcha_token")?.as_str().map(str::to_owned)
    }

    /// A yes or no; absent and null are the same.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Problem::wrong_type(name, "true or false")),
        }
    }

    /// A UUID; absent, null and empty are the same.
    pub(super) fn uuid(&self, name: &str) -> Result<Option<Uuid>, Problem> {
        let text = self.text(name)?;
        let id = text.map(|text| Uuid::try_parse(&text).map_err(|_| Problem::wrong_type(name, "a UUID")));
        id.transpose()
    }

    /// A text; absent, null and empty are the same.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) if text.is_empty() => Ok(None),
            Some(Json::String(text)) if text.contains('\0') => Err(Problem::wrong_type(name, "text without U+0000")),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Problem::wrong_type(name, "a string")),
        }
    }

    /// An object; absent and null are the same.
    pub(super) fn object(&self, name: &str) -> Result<Option<Map<String, Json>>, Problem> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(members)) => Ok(Some(members.clone())),
            Some(_) => Err(Problem::wrong_type(name, "an object")),
        }
    }
}
