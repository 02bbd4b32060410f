//! Apple: OpenID Connect whose secret is a JWT that is signed anew each time, whose answer is a posted form, and which tells a user's name
//! beside the token, the first time alone.

use super::{Dialect, Speech, configured, open_id};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value as Json, json};
use undergird_engine::accounts::{ProviderError, Secret};
use undergird_model::settings::{Provider, SecretSigner};

pub(super) struct Apple;

const ISSUER: &str = "https://appleid.apple.com";
/// How long a secret is good for: for one exchange.
const SECRET_SECONDS: i64 = 300;

impl Dialect for Apple {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, ISSUER))
    }

    fn scopes(&self) -> &'static [&'static str] {
        &["openid", "email", "name"]
    }

    fn members(&self) -> &'static [(&'static str, &'static str)] {
        &[("response_mode", "form_post")]
    }

    fn posts(&self) -> bool {
        true
    }

    fn client_secret(&self, set: &Provider, now: i64) -> Result<Option<Secret>, ProviderError> {
        match &set.signer {
            Some(signer) => sign(signer, &set.client_id, now).map(Some),
            None => Ok(set.client_secret.as_ref().map(|secret| Secret::new(secret.expose()))),
        }
    }

    fn add(&self, claims: &mut Json, user: &Json) {
        let name = |part: &str| user["name"][part].as_str().unwrap_or_default().trim().to_owned();
        let (first, last) = (name("firstName"), name("lastName"));
        let whole = format!("{first} {last}").trim().to_owned();
        // The name alone: the address that stands there too is what the browser says, not what Apple does.
        for (member, text) in [("given_name", first), ("family_name", last), ("name", whole)] {
            if !text.is_empty() {
                claims[member] = text.into();
            }
        }
    }
}

fn sign(signer: &SecretSigner, client_id: &str, now: i64) -> Result<Secret, ProviderError> {
    let broken = || ProviderError::Unreachable("private_key is no key on P-256 in PKCS #8".into());
    let text = signer.private_key.expose().replace("\\n", "\n");
    let base64: String =
        text.lines().filter(|line| !line.starts_with("-----")).flat_map(|line| line.trim().chars()).collect();
    let der = STANDARD.decode(base64).map_err(|_| broken())?;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).map_err(|_| broken())?;
    let now = now.div_euclid(1_000_000);
    let header = json!({ "alg": "ES256", "kid": signer.key_id, "typ": "JWT" });
    let claims = json!({
        "iss": signer.team_id, "iat": now, "exp": now + SECRET_SECONDS, "aud": ISSUER, "sub": client_id,
    });
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(&random, message.as_bytes()).map_err(|_| broken())?;
    Ok(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};
    use undergird_model::settings::Concealed;

    #[test]
    fn the_secret_is_signed() {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        for pem in [pem.clone(), pem.replace('\n', "\\n"), pem.replace('\n', "\r\n")] {
            let signer = SecretSigner { team_id: "T".into(), key_id: "K".into(), private_key: Concealed::new(pem) };
            let secret = sign(&signer, "org.example", 1_000_000_000_000).unwrap();
            let (message, signature) = secret.expose().rsplit_once('.').unwrap();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key());
            public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            let claims: Json =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(message.split_once('.').unwrap().1).unwrap()).unwrap();
            let expected =
                json!({ "iss": "T", "iat": 1_000_000, "exp": 1_000_300, "aud": ISSUER, "sub": "org.example" });
            assert_eq!(claims, expected);
        }
        let bad = SecretSigner { team_id: "T".into(), key_id: "K".into(), private_key: Concealed::new("x") };
        assert!(sign(&bad, "org.example", 0).is_err());
    }

    #[test]
    fn what_the_browser_says_is_a_name_and_no_address() {
        let mut claims = json!({ "sub": "1", "email": "ann@example.org" });
        let user =
            json!({ "name": { "firstName": "Ann", "lastName": "Lee" }, "email": "victim@example.org", "sub": "2" });
        Apple.add(&mut claims, &user);
        let expected = json!({ "sub": "1", "email": "ann@example.org", "given_name": "Ann", "family_name": "Lee", "name": "Ann Lee" });
        assert_eq!(claims, expected);
    }
}
