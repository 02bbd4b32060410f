//! Cursors: the position after a page's last row, sealed. AES-256-GCM, so that nobody reads what they may not see out of an ordering's
//! values, and nobody makes one up; bound to the caller and the question, so that it is of no use elsewhere (TRUST C4).
//!
//! Absent: where the key comes from, and how a position becomes a condition (that is `plan`'s).

use super::decode::Malformed;
use super::encode::canonical;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use undergird_model::Value;
use undergird_plan::{Caller, Identity};

/// Longest sealed cursor, in characters: it has to fit into a URL beside everything else.
pub const CURSOR_CHARS_MAX: usize = 4_096;
/// Most values of a position.
const VALUES_MAX: usize = 64;

/// The key that seals cursors. Nonces are random, so one key is good for 2³² cursors; a new key only makes old cursors invalid.
pub struct CursorKey(LessSafeKey);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

impl CursorKey {
    /// From 256 secret bits.
    pub fn new(secret: &[u8; 32]) -> Option<CursorKey> {
        UnboundKey::new(&AES_256_GCM, secret).ok().map(|key| CursorKey(LessSafeKey::new(key)))
    }
}

/// Seals a position for a [`context`], with random bits that were used for nothing else. `None` when it would be too long for a URL (an
/// ordering by a long text): there is no link then.
pub fn seal(key: &CursorKey, values: &[Value], context: &[u8], fresh: u128) -> Option<String> {
    if fresh == 0 {
        // The clock's dice when the system has none. A nonce that repeats would open what it seals.
        return None;
    }
    let nonce: [u8; NONCE_LEN] = *fresh.to_le_bytes().first_chunk()?;
    let mut octets = Vec::with_capacity(64);
    for value in values {
        canonical::write_value(&mut octets, value);
        if octets.len() > CURSOR_CHARS_MAX {
            return None;
        }
    }
    let nonce_of = Nonce::assume_unique_for_key(nonce);
    let tag = key.0.seal_in_place_separate_tag(nonce_of, Aad::from(context), &mut octets).ok()?;
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(&octets);
    sealed.extend_from_slice(tag.as_ref());
    Some(URL_SAFE_NO_PAD.encode(sealed)).filter(|text| text.len() <= CURSOR_CHARS_MAX)
}

/// Opens a cursor that was sealed with this key for this context.
///
/// # Errors
/// UG101 for anything else: made up, altered, of another caller or another question, or sealed with a key that is gone.
pub fn open(key: &CursorKey, text: &str, context: &[u8]) -> Result<Vec<Value>, Malformed> {
    unseal(key, text, context).ok_or_else(|| {
        Malformed::new("UG101", 400, "The cursor in \"after\" does not belong to this request")
            .with_hint("Follow the Link header of an answer as it is; filters, order and sign-in must stay the same from page to page.")
    })
}

fn unseal(key: &CursorKey, text: &str, context: &[u8]) -> Option<Vec<Value>> {
    if text.len() > CURSOR_CHARS_MAX {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut octets = rest.to_vec();
    let opened = key.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut octets).ok()?;
    let mut left: &[u8] = opened;
    let mut values = Vec::new();
    while !left.is_empty() {
        if values.len() == VALUES_MAX {
            return None;
        }
        values.push(canonical::read_value(&mut left)?);
    }
    Some(values)
}

/// What a cursor is bound to: who asks, of which collection, and every parameter but those that say where the page lies.
pub fn context(caller: &Caller, collection: &str, query: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(128);
    match caller.identity() {
        Identity::Visitor => octets.push(b'v'),
        Identity::User(user) => {
            octets.push(b'u');
            octets.extend_from_slice(user.id().as_bytes());
        }
        Identity::Secret => octets.push(b's'),
        Identity::System => octets.push(b'y'),
    }
    canonical::write_cell(&mut octets, undergird_plan::Cell::Text(collection));
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty() && !is_of_the_page(parameter)) {
        // Decoded, because a client may write the same question with other escapes when it comes back.
        let parameter: Vec<u8> = percent_encoding::percent_decode(
            &parameter.bytes().map(|b| if b == b'+' { b' ' } else { b }).collect::<Vec<_>>(),
        )
        .collect();
        canonical::write_cell(&mut octets, undergird_plan::Cell::Bytes(&parameter));
    }
    digest(&SHA256, &octets).as_ref().to_vec()
}

/// The query of the next page: the same question after this cursor, with the size of the page, wherever that was said (`Range` is a header).
pub fn next_query(query: &str, cursor: &str, limit: Option<u64>) -> String {
    let mut next = String::with_capacity(query.len() + cursor.len() + 16);
    let mut size = limit.map(|limit| format!("limit={limit}"));
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split('=').next().unwrap_or_default() {
            // A key belongs in no link: it may be logged and handed on.
            "after" | "offset" | "apikey" => continue,
            "limit" if size.as_deref() != Some(parameter) => continue,
            "limit" => size = None,
            _ => {}
        }
        next.push_str(parameter);
        next.push('&');
    }
    if let Some(size) = size {
        next.push_str(&size);
        next.push('&');
    }
    next.push_str("after=");
    next.push_str(cursor);
    next
}

fn is_of_the_page(parameter: &str) -> bool {
    matches!(parameter.split('=').next().unwrap_or_default(), "after" | "offset" | "limit" | "apikey")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use undergird_model::{Decimal, Float};
    use undergird_plan::{Moment, User};
    use uuid::Uuid;

    fn caller(id: u128) -> Caller {
        let user = User::new(Uuid::from_u128(id), None, Vec::new(), serde_json::Value::Null);
        Caller::user(std::sync::Arc::new(user), Moment { now: 0, entropy: 0 })
    }

    #[test]
    fn what_is_sealed_comes_back() {
        let key = CursorKey::new(&[7; 32]).unwrap();
        let values = vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(-5),
            Value::Float(Float::new(1.5).unwrap()),
            Value::Decimal(Decimal { unscaled: 123, scale: 2 }),
            Value::text("é\0x"),
            Value::Uuid(Uuid::from_u128(9)),
            Value::Timestamp(1),
            Value::Date(-1),
            Value::Time(3),
            Value::Json("{}".into()),
            Value::Bytes(vec![0, 255]),
            Value::Duration(8),
        ];
        let sealed = seal(&key, &values, b"here", 1).unwrap();
        assert_eq!(open(&key, &sealed, b"here").unwrap(), values);
        assert_ne!(sealed, seal(&key, &values, b"here", 2).unwrap());
        assert!(seal(&key, &[Value::text("x".repeat(5_000))], b"here", 3).is_none());
        assert!(seal(&key, &values, b"here", 0).is_none());
    }

    #[test]
    fn nothing_else_opens() {
        let key = CursorKey::new(&[7; 32]).unwrap();
        let sealed = seal(&key, &[Value::Int(1)], b"here", 4).unwrap();
        assert_eq!(open(&key, &sealed, b"there").unwrap_err().code, "UG101");
        assert!(open(&CursorKey::new(&[8; 32]).unwrap(), &sealed, b"here").is_err());
        let octets = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for bit in 0..octets.len() * 8 {
            let mut altered = octets.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, &URL_SAFE_NO_PAD.encode(altered), b"here").is_err());
        }
        for text in ["", "x", "%%%", &sealed[..10], &"A".repeat(5_000)] {
            assert!(open(&key, text, b"here").is_err());
        }
    }

    #[test]
    fn a_context_is_a_caller_and_a_question() {
        let here = context(&caller(1), "posts", "status=eq.a%20b&order=id&limit=5");
        assert_eq!(here, context(&caller(1), "posts", "status=eq.a+b&order=id&limit=50&offset=3&after=x"));
        assert_ne!(here, context(&caller(2), "posts", "status=eq.a%20b&order=id"));
        assert_ne!(here, context(&caller(1), "users", "status=eq.a%20b&order=id"));
        assert_ne!(here, context(&caller(1), "posts", "status=eq.b&order=id"));
        assert_ne!(here, context(&Caller::visitor(Moment { now: 0, entropy: 0 }), "posts", "status=eq.a%20b&order=id"));
    }

    #[test]
    fn the_next_page_asks_the_same() {
        assert_eq!(
            next_query("a=eq.1&limit=5&offset=5&after=old&apikey=k", "new", Some(5)),
            "a=eq.1&limit=5&after=new"
        );
        // `Range`, alone and shorter than `limit`; another way of writing a number.
        assert_eq!(next_query("a=eq.1", "new", Some(5)), "a=eq.1&limit=5&after=new");
        assert_eq!(next_query("limit=10&a=eq.1", "new", Some(5)), "a=eq.1&limit=5&after=new");
        assert_eq!(next_query("limit=05", "new", Some(5)), "limit=5&after=new");
        assert_eq!(next_query("", "new", None), "after=new");
    }
}
