//! Keys: those that sign tokens, and those of service accounts.

use super::*;
use crate::on_each_store;

on_each_store!(
    another_node_takes_up_a_new_signing_key,
    a_shared_secret_signs_tokens_and_nothing_else_passes_for_it,
    a_service_key_is_held_to_the_rules_and_ends
);

async fn another_node_takes_up_a_new_signing_key(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let options = Options::new("http://127.0.0.1:8090");
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    let keeping = tokio::spawn(other.keep_up());
    let old = world.sign_up("ann@example.org").await;
    world.auth.rotate_signing_key(NewSigningKey::AsBefore).await.unwrap();
    let moment = world.server.engine().moment();
    let known = |auth: &Auth| auth.key_set(moment)["keys"].as_array().unwrap().len();
    assert_eq!(known(&world.auth), 2);
    // No time is asserted: only that it comes by itself.
    while known(&other) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let later = world.now() + 5 * SECOND;
    let new = world.sign_in("ann@example.org", later).await.unwrap();
    let kid = |session: &Session| session.access_token.expose().split('.').next().unwrap().to_owned();
    assert_ne!(kid(&old), kid(&new), "signed with the new key");
    for session in [&old, &new] {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        assert!(other.identify(credentials, Moment { now: later, entropy: 0 }).is_ok());
    }
    keeping.abort();
}

async fn a_shared_secret_signs_tokens_and_nothing_else_passes_for_it(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let old = world.sign_up("ann@example.org").await;
    let public = world.auth.key_set(world.server.engine().moment())["keys"][0].clone();
    let secret = "known to the gateway as well, and long enough";
    let rotate = |new| world.auth.rotate_signing_key(new);
    assert!(matches!(rotate(NewSigningKey::Of(SigningAlgorithm::Hs256)).await, Err(SigningKeyError::SecretMissing)));
    let short = Secret::new("thirty-one octets are not enough");
    assert_eq!(short.expose().len(), 32);
    let short = Secret::new(&short.expose()[1..]);
    assert!(matches!(rotate(NewSigningKey::Shared(short)).await, Err(SigningKeyError::SecretTooShort)));
    rotate(NewSigningKey::Shared(Secret::new(secret))).await.unwrap();
    assert!(matches!(rotate(NewSigningKey::AsBefore).await, Err(SigningKeyError::SecretMissing)));
    let later = world.now() + 5 * SECOND;
    let new = world.sign_in("ann@example.org", later).await.unwrap();
    let (message, signature) = new.access_token.expose().rsplit_once('.').unwrap();
    let key = |octets: &[u8]| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, octets);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(ring::hmac::verify(&key(secret.as_bytes()), message.as_bytes(), &signature).is_ok(), "as the gateway does");
    for session in [&old, &new] {
        assert!(world.identify(session, later).is_ok(), "both for a while");
    }
    let set = world.auth.key_set(world.server.engine().moment()).to_string();
    assert!(!set.contains("oct") && !set.contains(&URL_SAFE_NO_PAD.encode(secret)), "{set}");
    // The claims of a good token, under MACs that anybody can make: of what is published, and of nothing.
    let claims = message.split_once('.').unwrap().1;
    let header = |session: &Session| {
        let header = session.access_token.expose().split('.').next().unwrap().to_owned();
        serde_json::from_slice::<Json>(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
    };
    let x = URL_SAFE_NO_PAD.decode(public["x"].as_str().unwrap()).unwrap();
    for octets in [public.to_string().as_bytes(), &x, b"", &secret.as_bytes()[1..]] {
        for mut head in [header(&old), header(&new)] {
            head["alg"] = "HS256".into();
            let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(head.to_string()));
            let mac = ring::hmac::sign(&key(octets), message.as_bytes());
            let forged = Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac)));
            let forged = Session { access_token: forged, ..new.clone() };
            assert_eq!(world.identify(&forged, later).unwrap_err(), Unidentified::BadSignature);
        }
    }
    rotate(NewSigningKey::Of(SigningAlgorithm::Es256)).await.unwrap();
    assert!(world.identify(&new, later).is_ok());
}

async fn a_service_key_is_held_to_the_rules_and_ends(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let options = Options::new("http://127.0.0.1:8090");
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    let keeping = tokio::spawn(other.keep_up());
    for (name, roles, days) in
        [("", vec![], 1), ("x", vec!["a b".to_owned()], 1), ("x", vec![], 0), ("x", vec![], 4_000)]
    {
        assert!(world.auth.add_service_key(name, roles, None, days).await.is_err(), "{name} {days}");
    }
    let (key, secret) = world.auth.add_service_key("importer", vec!["import".into()], None, 1).await.unwrap();
    assert!(secret.expose().starts_with("ug_service_"));
    let known = |auth: &Auth, now: i64, text: &str| {
        let bearer = format!("Bearer {text}");
        let by_bearer = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        let by_bearer = auth.identify(by_bearer, Moment { now, entropy: 0 });
        let by_key = Credentials { apikey: Some(text.as_bytes()), authorization: None };
        assert_eq!(by_bearer.is_ok(), auth.identify(by_key, Moment { now, entropy: 0 }).is_ok());
        by_bearer
    };
    let now = world.now();
    let caller = known(&world.auth, now, secret.expose()).unwrap();
    let Identity::User(user) = caller.identity() else { panic!("{caller:?}") };
    assert_eq!((user.id(), user.roles(), caller.role()), (key.id, ["import".to_owned()].as_slice(), "authenticated"));
    // No owner, nobody's account, and no session.
    assert_eq!(world.auth.find(&caller, key.id).await.err(), Some(AccountError::NotAdmin));
    assert_eq!(world.auth.account(&caller).await.err(), Some(AccountError::NotAUser));
    assert_eq!(world.auth.sessions(&caller).await.err(), Some(AccountError::NotAUser));
    let typo = format!("{}x", &secret.expose()[..secret.expose().len() - 1]);
    for wrong in [typo.as_str(), "ug_service_", &secret.expose().to_lowercase()] {
        assert!(wrong == secret.expose() || known(&world.auth, now, wrong).is_err(), "{wrong}");
    }
    assert!(known(&world.auth, key.expires_at - 1, secret.expose()).is_ok());
    assert_eq!(known(&world.auth, key.expires_at, secret.expose()).err(), Some(Unidentified::UnknownKey));
    // Another node knows it, and that it ended.
    while known(&other, now, secret.expose()).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let hashes = format!("{:?}", world.auth.service_keys().await.unwrap());
    assert!(!hashes.contains(&secret.expose()[11..]));
    assert_eq!(world.auth.revoke_service_key(key.id).await, Ok(true));
    assert_eq!(world.auth.revoke_service_key(key.id).await, Ok(false));
    assert!(known(&world.auth, now, secret.expose()).is_err());
    while known(&other, now, secret.expose()).is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    keeping.abort();
}
