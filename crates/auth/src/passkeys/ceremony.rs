//! What an authenticator answered, held against what was asked (Web Authentication Level 3, §7.1 and §7.2). Octets in, verdict out: no clock,
//! no store, no dice.
//!
//! Deliberately absent: trust in attestation. None is asked for, and a statement that comes all the same is read past: who made the
//! authenticator is known by its own word alone, and decides nothing. Also absent: extensions, pages in frames of other sites, and answers
//! without verification of the user.

use super::cbor::{self, Item};
use super::cose::{KEY_BYTES_MAX, PublicKey};
use super::relying::RelyingParty;
use crate::api_keys::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use undergird_engine::accounts::{Assertion, NewCredential};
use uuid::Uuid;

/// Most octets of each part of an answer.
const PART_BYTES_MAX: usize = 32 * 1024;
/// Octets of a credential's id (§5.1.3; the least is what holds the entropy that §5.8.3 asks for).
const ID_BYTES: std::ops::RangeInclusive<usize> = 16..=1_023;

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// What was asked.
pub(crate) struct Expected<'a> {
    pub(crate) party: &'a RelyingParty,
    pub(crate) challenge: &'a [u8; 32],
}

/// Why an answer is not good, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) &'static str);

/// A credential that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) id: Vec<u8>,
    /// As it came, which is a key that can be read.
    pub(crate) public_key: Vec<u8>,
    pub(crate) aaguid: Uuid,
    pub(crate) seen: Seen,
}

/// What an authenticator says each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sign_count: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
}

/// What a browser says (§5.8.1). Members that may come later are passed over; those that come twice are refused by `serde`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    cross_origin: Option<bool>,
    top_origin: Option<String>,
}

/// Whether a browser at one of our pages signed our challenge, for this.
fn check_client(client_data: &[u8], kind: &str, expected: &Expected<'_>) -> Result<(), Bad> {
    if client_data.len() > PART_BYTES_MAX {
        return Err(Bad("client data: too long"));
    }
    let told: ClientData = serde_json::from_slice(client_data).map_err(|_| Bad("client data: malformed"))?;
    if told.r#type != kind {
        return Err(Bad("client data: of another ceremony"));
    }
    let challenge = URL_SAFE_NO_PAD.encode(expected.challenge);
    if !bool::from(told.challenge.as_bytes().ct_eq(challenge.as_bytes())) {
        return Err(Bad("client data: another challenge"));
    }
    if !expected.party.origins.contains(&told.origin) {
        return Err(Bad("client data: another origin"));
    }
    match told.cross_origin == Some(true) || told.top_origin.is_some() {
        true => Err(Bad("client data: within another site's page")),
        false => Ok(()),
    }
}

/// What an authenticator says (§6.1), and what follows.
fn check_authenticator<'a>(data: &'a [u8], expected: &Expected<'_>) -> Result<(u8, Seen, &'a [u8]), Bad> {
    let short = Bad("authenticator data: too short");
    let (party, rest) = data.split_at_checked(32).ok_or(short)?;
    let (flags, rest) = rest.split_first().ok_or(short)?;
    let (count, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
    if party != sha256(expected.party.id.as_bytes()) {
        return Err(Bad("authenticator data: for another domain"));
    }
    if flags & PRESENT == 0 {
        return Err(Bad("authenticator data: nobody was there"));
    }
    if flags & VERIFIED == 0 {
        return Err(Bad("authenticator data: the user was not verified"));
    }
    let seen = Seen {
        sign_count: u32::from_be_bytes(*count),
        backup_eligible: flags & BACKUP_ELIGIBLE != 0,
        backed_up: flags & BACKED_UP != 0,
    };
    if seen.backed_up && !seen.backup_eligible {
        return Err(Bad("authenticator data: a copy of what has no copies"));
    }
    Ok((*flags, seen, rest))
}

/// What is left must be extensions, if anything: they are asked for nothing, and decide nothing.
fn check_end(flags: u8, rest: &[u8]) -> Result<(), Bad> {
    let is_good = match flags & HAS_EXTENSIONS {
        0 => rest.is_empty(),
        _ => matches!(cbor::only(rest), Some(Item::Map(_))),
    };
    if is_good { Ok(()) } else { Err(Bad("authenticator data: more or less than it says")) }
}

/// A credential that was made for this challenge.
pub(crate) fn register(answer: &NewCredential, expected: &Expected<'_>) -> Result<Registered, Bad> {
    check_client(&answer.client_data, "webauthn.create", expected)?;
    if answer.attestation.len() > PART_BYTES_MAX {
        return Err(Bad("attestation: too long"));
    }
    let object = cbor::only(&answer.attestation).ok_or(Bad("attestation: malformed"))?;
    let member = |name: &str| object.get(&Item::Text(name));
    let format = member("fmt").and_then(Item::text).ok_or(Bad("attestation: without a format"))?;
    match member("attStmt") {
        Some(Item::Map(statement)) if format != "none" || statement.is_empty() => {}
        _ => return Err(Bad("attestation: a statement that is none")),
    }
    let data = member("authData").and_then(Item::bytes).ok_or(Bad("attestation: without authenticator data"))?;
    let (flags, seen, rest) = check_authenticator(data, expected)?;
    if flags & HAS_CREDENTIAL == 0 {
        return Err(Bad("authenticator data: without a credential"));
    }
    let short = Bad("authenticator data: too short");
    let (aaguid, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
    let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(short)?;
    if !ID_BYTES.contains(&id.len()) || id != answer.id {
        return Err(Bad("authenticator data: an id that is not the credential's"));
    }
    let (key, after) = cbor::first(rest).ok_or(Bad("authenticator data: a key that cannot be read"))?;
    let encoded = &rest[..rest.len() - after.len()];
    if encoded.len() > KEY_BYTES_MAX || PublicKey::of(&key).is_none() {
        return Err(Bad("authenticator data: a key that was not asked for"));
    }
    check_end(flags, after)?;
    Ok(Registered { id: id.to_vec(), public_key: encoded.to_vec(), aaguid: Uuid::from_bytes(*aaguid), seen })
}

/// That the holder of a key signed this challenge.
pub(crate) fn assert(answer: &Assertion, public_key: &[u8], expected: &Expected<'_>) -> Result<Seen, Bad> {
    check_client(&answer.client_data, "webauthn.get", expected)?;
    if answer.authenticator_data.len() > PART_BYTES_MAX {
        return Err(Bad("authenticator data: too long"));
    }
    let (flags, seen, rest) = check_authenticator(&answer.authenticator_data, expected)?;
    if flags & HAS_CREDENTIAL != 0 {
        return Err(Bad("authenticator data: a credential where none was made"));
    }
    check_end(flags, rest)?;
    let key = PublicKey::read(public_key).ok_or(Bad("the stored key cannot be read"))?;
    let message = [answer.authenticator_data.as_slice(), &sha256(&answer.client_data)].concat();
    match key.holds(&message, &answer.signature) {
        true => Ok(seen),
        false => Err(Bad("the signature does not hold")),
    }
}
