//! Who somebody is at a provider: the subject, and what the provider says of it.
//!
//! Deliberately absent: whether it is true (what made the person has checked that), and whose account it is ([`super::settle`]).

use serde_json::{Map, Value as Json, json};

/// Longest id of a user at a provider.
const SUBJECT_CHARS_MAX: usize = 255;
/// Longest text about a user that is kept; longer ones are left out.
const TEXT_CHARS_MAX: usize = 512;
/// What is kept of what a provider says, beside the address: the claims of OpenID Connect, and the names that clients of Supabase Auth read.
const KEPT: &[&str] = &[
    "name",
    "full_name",
    "given_name",
    "family_name",
    "nickname",
    "preferred_username",
    "user_name",
    "profile",
    "picture",
    "avatar_url",
    "locale",
];

/// A user of a provider.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Person {
    /// The id there, which never changes and is never given to another.
    pub(crate) subject: String,
    /// The address, folded.
    pub(crate) email: Option<String>,
    /// Whether the provider has verified it.
    pub(crate) verified: bool,
    /// `identity_data`.
    pub(crate) data: Map<String, Json>,
}

impl Person {
    /// Of what a provider says under the names of OpenID Connect. `None`: it says nothing that could be an id or an address.
    pub(crate) fn of(claims: &Json, issuer: &str, verified: bool) -> Option<Person> {
        let text = |name: &str| claims.get(name).and_then(Json::as_str).filter(|text| is_kept(text));
        let subject = text("sub").filter(|subject| subject.chars().count() <= SUBJECT_CHARS_MAX)?;
        let email = text("email").and_then(|email| crate::sign_up::check_email(email).ok());
        let verified = verified && email.is_some();
        let mut data = Map::new();
        for name in KEPT {
            if let Some(text) = text(name) {
                data.insert((*name).to_owned(), text.into());
            }
        }
        // Clients of Supabase Auth read these two.
        for (name, from) in [("full_name", "name"), ("avatar_url", "picture")] {
            if let Some(text) = text(from).filter(|_| !data.contains_key(name)) {
                data.insert(name.to_owned(), text.into());
            }
        }
        if let Some(email) = &email {
            data.insert("email".into(), email.as_str().into());
            data.insert("email_verified".into(), verified.into());
        }
        data.insert("phone_verified".into(), false.into());
        data.insert("iss".into(), issuer.into());
        data.insert("sub".into(), subject.into());
        data.insert("provider_id".into(), subject.into());
        Some(Person { subject: subject.to_owned(), email, verified, data })
    }

    /// To be kept for a few minutes.
    pub(crate) fn to_json(&self) -> Json {
        json!({ "subject": self.subject, "email": self.email, "verified": self.verified, "data": self.data })
    }

    /// What [`Person::to_json`] made.
    pub(crate) fn from_json(kept: &Json) -> Option<Person> {
        Some(Person {
            subject: kept.get("subject")?.as_str()?.to_owned(),
            email: kept.get("email")?.as_str().map(str::to_owned),
            verified: kept.get("verified")?.as_bool()?,
            data: kept.get("data")?.as_object()?.clone(),
        })
    }
}

fn is_kept(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= TEXT_CHARS_MAX
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_person_is_kept_and_found_again() {
        let claims = json!({
            "sub": "12", "email": "Ann@Example.org", "name": "Ann", "picture": "https://x.org/a.png", "hd": "x", "locale": "a\0b",
            "nickname": "n".repeat(600),
        });
        let person = Person::of(&claims, "https://x.org", true).unwrap();
        assert_eq!((person.email.as_deref(), person.verified), (Some("ann@example.org"), true));
        assert_eq!(
            Json::Object(person.data.clone()),
            json!({
                "name": "Ann", "picture": "https://x.org/a.png", "full_name": "Ann", "avatar_url": "https://x.org/a.png",
                "email": "ann@example.org", "email_verified": true, "phone_verified": false, "iss": "https://x.org", "sub": "12",
                "provider_id": "12",
            })
        );
        assert_eq!(Person::from_json(&person.to_json()), Some(person));
    }

    #[test]
    fn what_is_no_id_or_no_address_is_none() {
        for bad in [
            json!({}),
            json!({ "sub": 12 }),
            json!({ "sub": "" }),
            json!({ "sub": "a\0" }),
            json!({ "sub": "x".repeat(256) }),
        ] {
            assert_eq!(Person::of(&bad, "i", true), None, "{bad}");
        }
        let person = Person::of(&json!({ "sub": "1", "email": "nothing" }), "i", true).unwrap();
        assert_eq!((person.email, person.verified), (None, false), "no address is verified when there is none");
    }
}
