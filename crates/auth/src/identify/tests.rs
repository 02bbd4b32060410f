//! Every way to present credentials, good and bad.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::api_keys::Keys;
use crate::revocations::Revocation;
use crate::token::tests::{Bench, ISSUER, NOW, ann, bench, grant};
use undergird_plan::Identity;
use uuid::Uuid;

struct Fixture {
    identifier: Identifier,
    keys: Keys,
    token: String,
}

fn fixture() -> Fixture {
    let Bench { keys, ring, .. } = bench();
    let token = token::issue(&ring, &ann(), &grant(NOW)).unwrap();
    Fixture { identifier: Identifier::new(KeyHashes::new(&keys), ring, ISSUER.into()), keys, token }
}

impl Fixture {
    /// `visitor`, `user`, `secret`, or the error's name.
    fn check(&self, apikey: Option<&[u8]>, authorization: Option<&[u8]>) -> String {
        self.check_at(apikey, authorization, NOW)
    }

    fn check_at(&self, apikey: Option<&[u8]>, authorization: Option<&[u8]>, seconds: i64) -> String {
        let moment = Moment { now: seconds * 1_000_000, entropy: 0 };
        match self.identifier.identify(Credentials { apikey, authorization }, moment) {
            Ok(caller) => match caller.identity() {
                Identity::Visitor => "visitor".into(),
                Identity::User(_) => "user".into(),
                Identity::Secret => "secret".into(),
                Identity::System => "system".into(),
            },
            Err(error) => format!("{error:?}"),
        }
    }
}

#[test]
fn authorization_decides_when_it_is_there() {
    let it = fixture();
    let publishable = it.keys.publishable.clone();
    let secret = it.keys.secret.expose().to_owned();
    let [publishable_bearer, secret_bearer, user_bearer] =
        [&publishable, &secret, &it.token].map(|token| format!("Bearer {token}"));
    let keys = [None, Some(publishable.as_bytes()), Some(secret.as_bytes())];
    for (authorization, expected) in [
        (None, ["visitor", "visitor", "secret"]),
        (Some(publishable_bearer.as_bytes()), ["visitor"; 3]),
        (Some(secret_bearer.as_bytes()), ["secret"; 3]),
        (Some(user_bearer.as_bytes()), ["user"; 3]),
    ] {
        for (apikey, expected) in keys.iter().zip(expected) {
            assert_eq!(it.check(*apikey, authorization), expected);
            // The second time from the cache.
            assert_eq!(it.check(*apikey, authorization), expected);
        }
    }
    assert_eq!(it.check(None, Some(user_bearer.replacen("Bearer", "bEARER", 1).as_bytes())), "user");
}

#[test]
fn what_is_not_good_is_refused_and_never_a_visitor() {
    let it = fixture();
    let publishable = it.keys.publishable.clone();
    let secret = it.keys.secret.expose().to_owned();
    let foreign = Keys::generate().unwrap();
    let (head, tail) = it.token.rsplit_once('.').unwrap();
    let other_ring = bench().ring;
    let stranger = token::issue(&other_ring, &ann(), &grant(NOW)).unwrap();
    let mut hostile: Vec<Vec<u8>> = [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer null",
        "Bearer undefined",
        "Bearer NaN",
        "Bearer 0",
        "Bearer true",
        "Bearer {}",
        "Bearer []",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer a.b.c.d",
        "Bearer ...",
        "Bearer .",
        "Bearer ..",
        "Bearer e30.e30.",
        "Bearer e30.e30.e30",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Basic dXNlcjpwYXNz",
        "Basic",
        "Digest x",
        "Token abc",
        "Negotiate abc",
        "bearerabc",
        "Bearer\tabc",
        "Bearer ug_",
        "Bearer ug_secret_",
        "Bearer ug_publishable_",
        "Bearer service_role",
        "Bearer ' or 1=1 --",
        "Bearer ../../keys.json",
        "Bearer %00",
        "Bearer a,b",
        "Bearer \u{e9}\u{e9}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    for text in [
        it.token.clone(),
        publishable.clone(),
        secret.clone(),
        format!("Bearer Bearer {}", it.token),
        format!("Bearer {} ", it.token),
        format!("Bearer  {}", it.token),
        format!("Bearer {}, Bearer {}", it.token, it.token),
        format!("Bearer {}=", it.token),
        format!("Bearer {head}."),
        format!("Bearer {head}"),
        format!("Bearer {head}.{}", &tail[..tail.len() - 1]),
        format!("Bearer {head}.{tail}.{tail}"),
        format!("Bearer {}", it.token.to_uppercase()),
        format!("Bearer {stranger}"),
        format!("Bearer {}", foreign.publishable),
        format!("Bearer {}", foreign.secret.expose()),
        format!("Bearer {}", &secret[..secret.len() - 1]),
        format!("Bearer {secret}x"),
        format!("Bearer {}", secret.to_lowercase()),
        format!("Bearer {}", "a".repeat(100_000)),
        format!("Bearer {}.{}.{}", "A".repeat(9_000), "A".repeat(9_000), "A".repeat(86)),
        format!("Bearer {}", "[".repeat(15_000)),
    ] {
        hostile.push(text.into_bytes());
    }
    hostile.push(b"Bearer \xff\xfe".to_vec());
    hostile.push([b"Bearer ".as_slice(), it.token.as_bytes(), b"\0"].concat());
    assert!(hostile.len() >= 50);
    for credential in &hostile {
        let shown = String::from_utf8_lossy(credential);
        // A good key beside it does not heal it.
        for apikey in [None, Some(publishable.as_bytes()), Some(secret.as_bytes())] {
            let result = it.check(apikey, Some(credential));
            assert!(!["visitor", "user", "secret", "system"].contains(&result.as_str()), "{shown}: {result}");
        }
    }
    let bearer = format!("Bearer {}", it.token);
    for apikey in [
        b"".as_slice(),
        b" ",
        b"null",
        b"ug_publishable_",
        b"ug_secret_00000000000000000000000000000000000000",
        b"\xff",
        it.token.as_bytes(),
        bearer.as_bytes(),
        foreign.publishable.as_bytes(),
        foreign.secret.expose().as_bytes(),
        format!("{secret} ").as_bytes(),
        format!("{publishable},{secret}").as_bytes(),
    ] {
        for authorization in [None, Some(bearer.as_bytes())] {
            let result = it.check(Some(apikey), authorization);
            assert!(["UnknownKey", "Malformed"].contains(&result.as_str()), "{result}");
        }
    }
}

#[test]
fn a_token_ends_with_its_time_and_with_its_session() {
    let it = fixture();
    let bearer = format!("Bearer {}", it.token);
    let at = |seconds: i64| it.check_at(None, Some(bearer.as_bytes()), seconds);
    assert_eq!(at(NOW), "user");
    assert_eq!(at(NOW + 3599), "user");
    assert_eq!(at(NOW + 3600), "Expired", "from the cache too");
    let until = (NOW + 4000) * 1_000_000;
    let revocation = Revocation { session: Uuid::from_u128(2), below: None, until };
    it.identifier.revocations.add([revocation], NOW * 1_000_000);
    assert_eq!(at(NOW + 6), "SessionEnded");
}

#[test]
fn a_ring_without_its_key_forgets_the_token() {
    let it = fixture();
    let bearer = format!("Bearer {}", it.token);
    assert_eq!(it.check(None, Some(bearer.as_bytes())), "user");
    it.identifier.replace_ring(bench().ring);
    assert_eq!(it.check(None, Some(bearer.as_bytes())), "BadSignature");
}
