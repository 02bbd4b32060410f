//! Who is calling: API keys, tokens, sessions, passwords. Implements the port [`undergird_engine::accounts`].
//!
//! One file per method of signing in ([`password`]; later `otp`, `oauth/`, `passkey`, …) and per concern that they share. All state
//! is in system collections (`system/*.toml`), read and written with ordinary plans; what must be known on every request is kept
//! in memory beside ([`identify`]).
//!
//! Deliberately absent: HTTP, headers, status codes, wire forms (`api::auth`), the store.

mod api_keys;
mod cache;
mod identify;
mod revocations;
mod signing;
mod token;

pub use api_keys::{KeyKind, Keys, KeysError, kind_of};

/// The definitions of the collections in which accounts are kept.
pub const SYSTEM: &[(&str, &str)] = &[
    ("_identities", include_str!("../system/_identities.toml")),
    ("_refresh_tokens", include_str!("../system/_refresh_tokens.toml")),
    ("_revocations", include_str!("../system/_revocations.toml")),
    ("_sessions", include_str!("../system/_sessions.toml")),
    ("_signing_keys", include_str!("../system/_signing_keys.toml")),
    ("_users", include_str!("../system/_users.toml")),
];
