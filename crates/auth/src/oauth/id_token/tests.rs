//! RSA, which the tests of the flows do not use, and what they cannot say about tokens and keys.
#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::json;

/// RFC 7515, appendix A.2: a key and a message that it signed.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const MESSAGE: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn rsa(change: impl Fn(&mut Json)) -> KeySet {
    let mut key = json!({ "kty": "RSA", "n": N, "e": "AQAB", "kid": "one" });
    change(&mut key);
    KeySet::read(&json!({ "keys": [key] })).unwrap()
}

fn held(keys: &KeySet, alg: &str, kid: Option<&str>) -> Held {
    keys.holds(alg, kid, MESSAGE.as_bytes(), &URL_SAFE_NO_PAD.decode(SIGNATURE).unwrap())
}

#[test]
fn rsa_keys_verify_for_what_they_are() {
    let keys = rsa(|_| ());
    assert_eq!(held(&keys, "RS256", Some("one")), Held::Yes);
    assert_eq!(held(&keys, "RS256", None), Held::Yes, "the only one that fits");
    assert_eq!(held(&keys, "RS256", Some("two")), Held::NoKey);
    for alg in ["RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256", "none", "", "rs256"] {
        assert_eq!(held(&keys, alg, Some("one")), Held::No, "{alg}");
    }
    assert_eq!(held(&rsa(|key| key["alg"] = json!("RS512")), "RS256", Some("one")), Held::No, "the key is for another");
    assert_eq!(held(&rsa(|key| key["use"] = json!("enc")), "RS256", Some("one")), Held::NoKey);
    // Some write the number with a zero before it.
    let zero = |key: &mut Json| {
        let octets = [&[0][..], &URL_SAFE_NO_PAD.decode(N).unwrap()].concat();
        key["n"] = json!(URL_SAFE_NO_PAD.encode(octets));
    };
    assert_eq!(held(&rsa(zero), "RS256", Some("one")), Held::Yes);
    // Too short to be worth anything.
    let short = |key: &mut Json| key["n"] = json!(&N[..172]);
    assert_eq!(held(&rsa(short), "RS256", Some("one")), Held::No);
}

#[test]
fn of_two_keys_that_fit_none_is_guessed() {
    let key = |kid: &str| json!({ "kty": "RSA", "n": N, "e": "AQAB", "kid": kid });
    let keys = KeySet::read(&json!({ "keys": [key("one"), key("two")] })).unwrap();
    assert_eq!(held(&keys, "RS256", None), Held::No);
    assert_eq!(held(&keys, "RS256", Some("two")), Held::Yes);
}

#[test]
fn what_is_no_key_is_left_out() {
    let bad = json!({ "keys": [
        { "kty": "oct", "k": "AAAA", "kid": "one" }, { "kty": "RSA", "n": "!", "e": "AQAB", "kid": "one" },
        { "kty": "RSA", "n": "AAAA", "e": "AQAB", "kid": "one" }, { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "one" },
        { "kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "one" }, 7, null, {},
    ] });
    assert_eq!(KeySet::read(&bad), Some(KeySet::default()));
    assert_eq!(KeySet::read(&json!({ "keys": 7 })), None);
    assert_eq!(KeySet::read(&json!([])), None);
}

#[test]
fn hostile_tokens_are_no_panic() {
    let keys = rsa(|_| ());
    let expected = Expected { is_issuer: &|_, _| true, audiences: &["me"], nonce: Nonce::None, now: 0 };
    for token in ["", ".", "..", "a.b", "a.b.c", "....", "e30.e30.", &format!("{MESSAGE}.{SIGNATURE}")] {
        assert!(verify(token, &keys, &expected).is_err(), "{token}");
    }
}
