//! `bytes`: octets, base64 (RFC 4648, with padding) on the wire.

use crate::value::Value;
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value as Json, json};

/// What [`BASE64`] reads.
const PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$";

/// Writes padding; reads with or without it, and whatever the bits are that stand for nothing.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(text),
        other => Err(super::expected("base64 text", other)),
    }
}

/// Base64, or PostgreSQL's `\x…` hexadecimal.
pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return from_hex(hex).map(Value::Bytes).ok_or_else(|| "expected an even number of hexadecimal digits".into());
    }
    BASE64.decode(text).map(Value::Bytes).map_err(|_| "expected base64 text".into())
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let (pairs, odd) = hex.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "contentEncoding": "base64", "pattern": PATTERN })
}
