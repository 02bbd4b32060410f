//! What a token must be, by breaking one in every way that has been tried on others.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::api_keys::Keys;
use crate::signing::{Derived, StoredKey};
use ring::hmac;
use serde_json::json;

pub(crate) const ISSUER: &str = "http://localhost:8090/auth/v1";
/// 2026-11-22.
pub(crate) const NOW: i64 = 1_795_383_273;

pub(crate) struct Bench {
    pub(crate) keys: Keys,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) stored: StoredKey,
}

pub(crate) fn bench() -> Bench {
    bench_of(SigningAlgorithm::Es256)
}

fn bench_of(algorithm: SigningAlgorithm) -> Bench {
    let keys = Keys::generate().unwrap();
    let derived = Derived::new(&keys).unwrap();
    let stored = StoredKey::generate(&derived, algorithm, Uuid::from_u128(77), 0).unwrap();
    Bench { ring: KeyRing::new(&derived, vec![stored.clone()], 3_600_000_000), keys, stored }
}

pub(crate) fn ann() -> Account {
    Account {
        id: Uuid::from_u128(1),
        email: Some("ann@example.org".into()),
        new_email: None,
        is_anonymous: false,
        invited_at: None,
        email_confirmed_at: Some(0),
        last_sign_in_at: None,
        app_metadata: json!({ "provider": "email", "providers": ["email"], "roles": ["editor", 7, "editor"] }),
        user_metadata: json!({ "name": "Ann" }),
        identities: vec![],
        factors: vec![],
        banned_until: None,
        created_at: 0,
        updated_at: 0,
    }
}

pub(crate) fn grant(issued_at: i64) -> Grant<'static> {
    Grant {
        issuer: ISSUER,
        session: Uuid::from_u128(2),
        aal: "aal1",
        methods: &[("password", NOW * 1_000_000)],
        generation: 0,
        issued_at,
        expires_at: issued_at + 3600,
    }
}

/// Signs whatever it is given.
pub(crate) fn forge(ring: &KeyRing, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = ring.signer(i64::MAX).unwrap().sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(crate) fn part(token: &str, position: usize) -> Json {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(position).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_good_token_says_who_it_is() {
    for algorithm in SigningAlgorithm::ALL {
        a_good_token_of(algorithm);
    }
}

fn a_good_token_of(algorithm: SigningAlgorithm) {
    let Bench { ring, .. } = bench_of(algorithm);
    let token = issue(&ring, &ann(), &grant(NOW)).unwrap();
    assert_eq!(part(&token, 0)["alg"], algorithm.name());
    let verified = verify(&ring, ISSUER, &token, NOW * 1_000_000).unwrap();
    assert_eq!(verified.user.id(), Uuid::from_u128(1));
    assert_eq!(verified.user.roles(), ["editor"]);
    assert_eq!(verified.session, Uuid::from_u128(2));
    assert_eq!(verified.user.claims()["user_metadata"]["name"], "Ann");
    assert_eq!(verified.user.claims()["amr"], json!([{ "method": "password", "timestamp": NOW }]));
    let check = |at: i64| verify(&ring, ISSUER, &token, at * 1_000_000).err();
    assert_eq!(check(NOW + 3599), None);
    assert_eq!(check(NOW + 3600), Some(Unidentified::Expired));
    assert_eq!(check(NOW - SKEW_SECONDS), None);
    assert_eq!(check(NOW - SKEW_SECONDS - 1), Some(Unidentified::TooEarly));
}

#[test]
fn the_header_decides_nothing() {
    for algorithm in SigningAlgorithm::ALL {
        for other in SigningAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            the_header_of(algorithm, other.name());
        }
    }
}

/// A key of one algorithm, attacked also with the name of the other one that there is.
fn the_header_of(algorithm: SigningAlgorithm, other: &str) {
    let Bench { ring, stored, .. } = bench_of(algorithm);
    let good = issue(&ring, &ann(), &grant(NOW)).unwrap();
    let (header, claims) = (part(&good, 0), part(&good, 1).to_string());
    let with = |name: &str, value: Json| {
        let mut header = header.clone();
        header[name] = value;
        forge(&ring, &header.to_string(), &claims)
    };
    let without = |name: &str| {
        let mut header = header.clone();
        header.as_object_mut().unwrap().remove(name);
        forge(&ring, &header.to_string(), &claims)
    };
    // A MAC keyed with the public key, in the forms in which it is published.
    let confused = |key: &[u8]| {
        let mut header = header.clone();
        header["alg"] = "HS256".into();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(&claims));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac))
    };
    let unsigned = |alg: &str| {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": stored.kid });
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(&claims))
    };
    let malformed = [
        with("alg", "none".into()),
        with("alg", "None".into()),
        with("alg", "HS384".into()),
        with("alg", "HS512".into()),
        with("alg", "hs256".into()),
        with("alg", "ES384".into()),
        with("alg", "RS256".into()),
        with("alg", "Ed25519".into()),
        with("alg", "eddsa".into()),
        with("alg", "es256".into()),
        with("alg", json!(["ES256"])),
        with("alg", Json::Null),
        with("typ", "at+jwt".into()),
        with("typ", "JWE".into()),
        with("typ", json!(1)),
        with("kid", json!({ "$ne": 1 })),
        with("kid", Json::Null),
        with("jku", "https://evil.example/jwks.json".into()),
        with("jwk", stored.public.clone()),
        with("x5u", "https://evil.example/".into()),
        with("x5c", json!(["AA"])),
        with("crit", json!(["exp"])),
        with("cty", "JWT".into()),
        with("b64", json!(false)),
        with("zip", "DEF".into()),
        without("alg"),
        without("typ"),
        without("kid"),
        unsigned("none"),
        unsigned("NONE"),
        forge(&ring, &header.to_string().replacen('{', "{\"alg\":\"none\",", 1), &claims),
        forge(&ring, "[]", &claims),
        forge(&ring, "not json", &claims),
    ];
    for token in &malformed {
        assert_eq!(verify(&ring, ISSUER, token, NOW * 1_000_000).err(), Some(Unidentified::MalformedToken), "{token}");
    }
    let forged = [confused(stored.public.to_string().as_bytes()), confused(&octets(&stored.public)), confused(b"")];
    for token in &forged {
        assert_eq!(verify(&ring, ISSUER, token, NOW * 1_000_000).err(), Some(Unidentified::BadSignature), "{token}");
    }
    let renamed = with("alg", other.into());
    assert_eq!(verify(&ring, ISSUER, &renamed, NOW * 1_000_000).err(), Some(Unidentified::BadSignature), "{other}");
    for kid in ["", "../../etc/passwd", "' or 1=1 --", "00000000-0000-0000-0000-000000000000"] {
        let token = with("kid", kid.into());
        assert_eq!(verify(&ring, ISSUER, &token, NOW * 1_000_000).err(), Some(Unidentified::BadSignature), "{kid}");
    }
}

/// A public key as bare octets: those of an OKP, the uncompressed point of an EC key.
fn octets(jwk: &Json) -> Vec<u8> {
    let of = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    match jwk["kty"].as_str().unwrap() {
        "OKP" => of("x"),
        // Of a shared secret nothing is told but its name.
        "oct" => jwk["kid"].as_str().unwrap().as_bytes().to_vec(),
        _ => [vec![4], of("x"), of("y")].concat(),
    }
}

#[test]
fn every_claim_must_be_there_and_right() {
    let Bench { ring, .. } = bench();
    let good = issue(&ring, &ann(), &grant(NOW)).unwrap();
    let (header, claims) = (part(&good, 0).to_string(), part(&good, 1));
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "role", "session_id", "email"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(name);
        for value in
            [None, Some(Json::Null), Some(json!(["authenticated"])), Some(json!({ "$gt": "" })), Some(json!(true))]
        {
            let mut changed = without.clone();
            if let Some(value) = &value {
                changed[name] = value.clone();
            }
            let token = forge(&ring, &header, &changed.to_string());
            let result = verify(&ring, ISSUER, &token, NOW * 1_000_000).err();
            assert_eq!(result, Some(Unidentified::WrongClaims), "{name} = {value:?}");
        }
    }
    for (name, value) in [
        ("iss", json!("http://evil.example/auth/v1")),
        ("iss", json!("http://localhost:8090/auth/v1/")),
        ("aud", json!("other")),
        ("role", json!("service_role")),
        ("role", json!("anon")),
        ("sub", json!("service_role")),
        ("exp", json!("9999999999")),
        ("exp", json!(9999999999.5)),
    ] {
        let mut changed = claims.clone();
        changed[name] = value.clone();
        let token = forge(&ring, &header, &changed.to_string());
        let result = verify(&ring, ISSUER, &token, NOW * 1_000_000).err();
        assert_eq!(result, Some(Unidentified::WrongClaims), "{name} = {value}");
    }
}

#[test]
fn no_octet_can_be_changed() {
    for algorithm in SigningAlgorithm::ALL {
        no_octet_of(algorithm);
    }
}

fn no_octet_of(algorithm: SigningAlgorithm) {
    let Bench { ring, .. } = bench_of(algorithm);
    let good = issue(&ring, &ann(), &grant(NOW)).unwrap();
    for position in (0..good.len()).step_by(7) {
        let mut changed = good.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verify(&ring, ISSUER, &changed, NOW * 1_000_000).is_err(), "at {position}");
    }
    let (message, _) = good.rsplit_once('.').unwrap();
    for signature in ["", "AA", &"A".repeat(86), &"A".repeat(85), &"_".repeat(86)] {
        assert!(verify(&ring, ISSUER, &format!("{message}.{signature}"), NOW * 1_000_000).is_err());
    }
    let other = bench_of(algorithm).ring;
    assert_eq!(verify(&other, ISSUER, &good, NOW * 1_000_000).err(), Some(Unidentified::BadSignature));
}
