//! Signing in by other providers, on a real store and against a provider that lives in memory: the flows, and the attacks on them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "providers/fake.rs"]
mod fake;

use fake::{CHALLENGE, Fake, OTHER, OWN, VERIFIER, World, claims, world, world_with};
use serde_json::{Value as Json, json};
use undergird_engine::accounts::*;

/// M8: a way to link that is neither of PKCE nor of a known browser can be sent to another, whose identity would be linked.
#[tokio::test]
async fn linking_can_be_had_with_pkce_alone() {
    for (settings, is_taken) in [("", true), ("link_needs_pkce = true", false)] {
        let world = world(settings).await;
        let session = sign_in(&world, &claims("1", "ann@example.org")).await.unwrap();
        let caller = world.caller(&session);
        let away = |challenge: Option<&str>, browser: Option<&str>| {
            let browser = browser.map(Secret::new);
            let challenge = challenge.map(str::to_owned);
            let asked = Depart { provider: OTHER.into(), challenge, browser, ..Depart::default() };
            let (world, caller) = (&world, &caller);
            async move { world.auth.depart_to_link(world.visit(), caller, asked).await.map(|_| ()) }
        };
        let refused = Err(provider(ProviderError::LinkNeedsPkce));
        assert_eq!(away(None, None).await, if is_taken { Ok(()) } else { refused.clone() }, "{settings}");
        assert_eq!(away(None, Some("x")).await, if is_taken { Ok(()) } else { refused }, "{settings}");
        assert_eq!(away(Some(CHALLENGE), None).await, Ok(()), "{settings}");
        assert_eq!(away(None, Some(&"x".repeat(43))).await, Ok(()), "{settings}");
    }
}

/// A browser signs in as who the claims tell, from nothing.
async fn sign_in(world: &World, claims: &Json) -> Result<Session, AccountError> {
    let away = world.leave(OWN).await;
    let code = world.fake.log_in(&away.url, claims);
    world.back(&away, &code).await
}

fn provider(error: ProviderError) -> AccountError {
    AccountError::Provider(error)
}

fn providers_of(account: &Account) -> Vec<&str> {
    account.identities.iter().map(|identity| identity.provider.as_str()).collect()
}

#[tokio::test]
async fn a_new_person_gets_an_account() {
    let world = world("").await;
    let session = sign_in(&world, &claims("1", "Ann@Example.org")).await.unwrap();
    let account = &session.account;
    assert_eq!(account.email.as_deref(), Some("ann@example.org"));
    assert!(account.email_confirmed_at.is_some() && account.last_sign_in_at.is_some() && !account.is_anonymous);
    assert_eq!(account.app_metadata, json!({ "provider": OWN, "providers": [OWN] }));
    assert_eq!(account.user_metadata["name"], json!("Ann"));
    assert_eq!(providers_of(account), [OWN]);
    let identity = &account.identities[0];
    assert_eq!((identity.provider_id.as_str(), &identity.data["email_verified"]), ("1", &json!(true)));
    // The profile row has what the provider says, as far as it has a place for it.
    let rows = world.rows("people").await;
    assert_eq!((rows.len(), rows[0].text("name"), rows[0].text("email")), (1, Some("Ann"), Some("ann@example.org")));
    // The same person again: the same account, found by the subject. Another address there changes nothing here.
    let again = sign_in(&world, &claims("1", "new@example.org")).await.unwrap();
    assert_eq!((again.account.id, again.account.email.as_deref()), (account.id, Some("ann@example.org")));
    let events = world.events().await;
    assert!(events.contains(&("login".into(), json!({ "method": "oauth", "provider": OWN }))), "{events:?}");
    assert!(events.contains(&("user_created".into(), json!({ "provider": OWN }))), "{events:?}");
}

#[tokio::test]
async fn what_goes_to_the_provider() {
    let world = world("redirect_urls = [\"https://app.x.org/**\"]").await;
    let asked = Depart {
        provider: OWN.into(),
        scopes: Some("calendar, mail \"bad".into()),
        hints: vec![
            ("prompt".into(), "login".into()),
            ("redirect_uri".into(), "https://evil.org".into()),
            ("response_mode".into(), "fragment".into()),
            ("login_hint".into(), "a\nb".into()),
        ],
        ..Depart::default()
    };
    let away = world.auth.depart(world.visit(), asked).await.unwrap();
    assert!(away.url.starts_with("https://login.own.org/authorize?"), "{}", away.url);
    let told = fake::query(&away.url);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "prompt",
    ];
    assert_eq!(names, expected);
    let value = |name: &str| told.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).unwrap();
    assert_eq!(value("redirect_uri"), "https://api.x.org/auth/v1/callback");
    assert_eq!(value("scope"), "openid email profile extra calendar mail");
    assert_eq!((value("response_type"), value("code_challenge_method")), ("code", "S256"));
    // Nothing of it is in the store as it is.
    let rows = world.rows("_provider_flows").await;
    assert_eq!(rows.len(), 1);
    let texts: Vec<_> = ["provider", "redirect_to", "challenge"].iter().filter_map(|name| rows[0].text(name)).collect();
    assert_eq!(texts, [OWN, "https://api.x.org"]);
    assert_eq!(rows[0].bytes("hash").map(<[u8]>::len), Some(32));
}

#[tokio::test]
async fn pkce_gives_a_code_for_who_has_the_verifier() {
    let world = world("").await;
    let depart = || Depart { provider: OWN.into(), challenge: Some(CHALLENGE.into()), ..Depart::default() };
    let code = async || {
        let away = world.auth.depart(world.visit(), depart()).await.unwrap();
        let code = world.fake.log_in(&away.url, &claims("1", "ann@example.org"));
        match world.landing(&away, &code).await.outcome.unwrap() {
            Landed::Code(code) => code,
            other => panic!("{other:?}"),
        }
    };
    let wrong = world.auth.exchange(world.visit(), code().await, Secret::new("x".repeat(43))).await;
    assert_eq!(wrong.unwrap_err(), AccountError::Link(LinkError::WrongVerifier));
    let good = code().await;
    let session = world.auth.exchange(world.visit(), good.clone(), Secret::new(VERIFIER)).await.unwrap();
    assert_eq!(session.account.email.as_deref(), Some("ann@example.org"));
    let again = world.auth.exchange(world.visit(), good, Secret::new(VERIFIER)).await;
    assert_eq!(again.unwrap_err(), AccountError::Link(LinkError::CodeUnknown));
    for bad in ["", "x", "plain"] {
        let asked = Depart { challenge: Some(bad.into()), ..depart() };
        assert_eq!(world.auth.depart(world.visit(), asked).await.unwrap_err(), LinkError::BadChallenge.into());
    }
}

#[tokio::test]
async fn a_state_is_good_once_in_one_browser_and_for_ten_minutes() {
    let world = world("").await;
    let who = claims("1", "ann@example.org");
    let away = world.leave(OWN).await;
    let code = world.fake.log_in(&away.url, &who);
    let unknown = provider(ProviderError::StateUnknown);
    let refused = async |told: Return, later: i64| {
        world.auth.come_back(world.visit_later(later), told).await.outcome.unwrap_err()
    };
    let told = |change: fn(&mut Return)| {
        let mut told = fake::returned(&away, &code);
        change(&mut told);
        told
    };
    assert_eq!(refused(told(|told| told.state = None), 0).await, provider(ProviderError::StateMissing));
    for bad in ["", "x", &"A".repeat(43), &"A".repeat(4_000)] {
        let mut wrong = fake::returned(&away, &code);
        wrong.state = Some(Secret::new(bad));
        assert_eq!(refused(wrong, 0).await, unknown, "{bad}");
    }
    assert!(world.back(&away, &code).await.is_ok(), "what was wrong used nothing up");
    assert_eq!(refused(told(|_| ()), 0).await, unknown, "twice");
    // Another browser, or one that is not known: what it was given is used up by that.
    for browser in [None, Some(Secret::new("B".repeat(43)))] {
        let away = world.leave(OWN).await;
        let code = world.fake.log_in(&away.url, &who);
        let stolen = Return { browser, ..fake::returned(&away, &code) };
        assert_eq!(refused(stolen, 0).await, unknown);
        assert_eq!(world.back(&away, &code).await.unwrap_err(), unknown);
    }
    let away = world.leave(OWN).await;
    let code = world.fake.log_in(&away.url, &who);
    assert_eq!(refused(fake::returned(&away, &code), 600_000_001).await, unknown, "too late");
    // A browser that is known already keeps what it is known by.
    let known = away.browser.unwrap();
    let asked = Depart { provider: OWN.into(), browser: Some(known.clone()), ..Depart::default() };
    assert_eq!(world.auth.depart(world.visit(), asked).await.unwrap().browser.unwrap().expose(), known.expose());
    let asked = Depart { provider: OWN.into(), browser: Some(Secret::new("short")), ..Depart::default() };
    assert_ne!(world.auth.depart(world.visit(), asked).await.unwrap().browser.unwrap().expose(), "short");
}

#[tokio::test]
async fn a_hundred_returns_at_once_give_one_session() {
    let world = std::sync::Arc::new(world("").await);
    let away = world.leave(OWN).await;
    let code = world.fake.log_in(&away.url, &claims("1", "ann@example.org"));
    let all: Vec<_> = (0..100)
        .map(|_| {
            let (world, away, code) = (world.clone(), away.clone(), code.clone());
            tokio::spawn(async move { world.back(&away, &code).await.is_ok() })
        })
        .collect();
    let mut good = 0;
    for one in all {
        good += usize::from(one.await.unwrap());
    }
    assert_eq!((good, world.rows("_sessions").await.len(), world.rows("_users").await.len()), (1, 1, 1));
}

#[tokio::test]
async fn one_new_person_by_many_browsers_is_one_account() {
    let world = std::sync::Arc::new(world("").await);
    let mut all = Vec::new();
    for _ in 0..10 {
        let away = world.leave(OWN).await;
        let code = world.fake.log_in(&away.url, &claims("1", "ann@example.org"));
        let world = world.clone();
        all.push(tokio::spawn(async move { world.back(&away, &code).await.unwrap().account.id }));
    }
    let mut ids = Vec::new();
    for one in all {
        ids.push(one.await.unwrap());
    }
    ids.dedup();
    assert_eq!((ids.len(), world.rows("_users").await.len(), world.rows("_identities").await.len()), (1, 1, 1));
}

/// Each is one thing wrong with what the provider's token endpoint gives.
#[tokio::test]
async fn an_id_token_that_is_not_good_signs_nobody_in() {
    let world = world("").await;
    let mut checked = 0;
    let mut check = async |what: &str, change: &dyn Fn(&mut fake::Token)| {
        let away = world.leave(OWN).await;
        let code = world.fake.log_in_as(&away.url, &claims("1", "ann@example.org"), change);
        let refused = world.back(&away, &code).await;
        assert!(matches!(refused, Err(AccountError::Provider(ProviderError::BadToken(_)))), "{what}: {refused:?}");
        checked += 1;
    };
    check("an empty nonce", &|token| token.claims["nonce"] = json!("")).await;
    check("another's nonce", &|token| token.claims["nonce"] = json!("another")).await;
    check("no nonce", &|token| drop(token.claims.as_object_mut().unwrap().remove("nonce"))).await;
    check("a foreign issuer", &|token| token.claims["iss"] = json!("https://evil.org")).await;
    check("an issuer with a slash", &|token| token.claims["iss"] = json!("https://login.own.org/")).await;
    check("the other provider's issuer", &|token| token.claims["iss"] = json!("https://login.other.org")).await;
    check("a foreign audience", &|token| token.claims["aud"] = json!("another-client")).await;
    check("foreign audiences", &|token| token.claims["aud"] = json!(["a", "b"])).await;
    check("several audiences without azp", &|token| token.claims["aud"] = json!(["me", "another"])).await;
    check("several audiences, asked for by another", &|token| {
        token.claims["aud"] = json!(["me", "another"]);
        token.claims["azp"] = json!("another");
    })
    .await;
    check("an audience that is a number", &|token| token.claims["aud"] = json!(7)).await;
    check("expired", &|token| token.claims["exp"] = json!(token.now() - 61)).await;
    check("without an end", &|token| drop(token.claims.as_object_mut().unwrap().remove("exp"))).await;
    check("an end that is text", &|token| token.claims["exp"] = json!("9999999999")).await;
    check("from the future", &|token| token.claims["iat"] = json!(token.now() + 600)).await;
    check("not yet valid", &|token| token.claims["nbf"] = json!(token.now() + 600)).await;
    check("without a user", &|token| token.claims["sub"] = json!("")).await;
    check("alg none", &|token| {
        token.header["alg"] = json!("none");
        token.signer = fake::Signer::None;
    })
    .await;
    check("alg NONE", &|token| {
        token.header["alg"] = json!("NONE");
        token.signer = fake::Signer::None;
    })
    .await;
    check("no signature", &|token| token.signer = fake::Signer::None).await;
    check("HS256 with the public key", &|token| {
        token.header["alg"] = json!("HS256");
        token.signer = fake::Signer::PublicKeyAsSecret;
    })
    .await;
    check("HS256 with the client secret", &|token| {
        token.header["alg"] = json!("HS256");
        token.signer = fake::Signer::ClientSecret;
    })
    .await;
    check("a key of its own, under the known name", &|token| token.signer = fake::Signer::Stranger).await;
    check("a key of its own, in the token", &|token| {
        token.header["jwk"] = fake::stranger_jwk();
        token.signer = fake::Signer::Stranger;
    })
    .await;
    check("a key of its own, under its own name", &|token| {
        token.header["kid"] = json!("mine");
        token.signer = fake::Signer::Stranger;
    })
    .await;
    check("a key by URL", &|token| {
        token.header["jku"] = json!("https://evil.org/keys");
        token.header["kid"] = json!("evil");
        token.signer = fake::Signer::Stranger;
    })
    .await;
    check("a critical extension", &|token| token.header["crit"] = json!(["x"])).await;
    check("an access token", &|token| token.header["typ"] = json!("at+jwt")).await;
    check("the algorithm of another key", &|token| token.header["alg"] = json!("RS256")).await;
    check("changed after it was signed", &|token| token.changed = true).await;
    check("another access token", &|token| token.claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA")).await;
    assert_eq!(checked, 31);
    assert!(world.rows("_users").await.is_empty() && world.rows("_sessions").await.is_empty());
    assert!(world.fake.asked().iter().all(|url| !url.contains("evil")), "nobody was asked whom a token names");
    // The known-good control.
    assert!(sign_in(&world, &claims("1", "ann@example.org")).await.is_ok());
}

#[tokio::test]
async fn what_is_odd_and_good_is_taken() {
    let world = world("").await;
    let check = async |what: &str, change: &dyn Fn(&mut fake::Token)| {
        let away = world.leave(OWN).await;
        let code = world.fake.log_in_as(&away.url, &claims("1", "ann@example.org"), change);
        let taken = world.back(&away, &code).await;
        assert!(taken.is_ok(), "{what}: {taken:?}");
    };
    check("several audiences, asked for by us", &|token| {
        token.claims["aud"] = json!(["me", "another"]);
        token.claims["azp"] = json!("me");
    })
    .await;
    check("no kid where there is one key that fits", &|token| {
        drop(token.header.as_object_mut().unwrap().remove("kid"))
    })
    .await;
    check("a clock that is a little behind", &|token| token.claims["iat"] = json!(token.now() + 30)).await;
    check("no typ", &|token| drop(token.header.as_object_mut().unwrap().remove("typ"))).await;
}

#[tokio::test]
async fn keys_are_read_again_for_a_new_name_and_not_for_each() {
    let world = world("").await;
    let who = claims("1", "ann@example.org");
    assert!(sign_in(&world, &who).await.is_ok());
    let count = || world.fake.asked().iter().filter(|url| url.ends_with("/keys")).count();
    assert_eq!(count(), 1);
    world.fake.rotate();
    let later = async |micros: i64| {
        let away = world.leave(OWN).await;
        let code = world.fake.log_in(&away.url, &who);
        world.auth.come_back(world.visit_later(micros), fake::returned(&away, &code)).await.outcome.map(|_| ())
    };
    for _ in 0..5 {
        assert!(later(1_000_000).await.is_err(), "too soon to ask again");
    }
    assert_eq!(count(), 1);
    assert!(later(31_000_000).await.is_ok());
    assert_eq!(count(), 2);
}

#[tokio::test]
async fn another_provider_cannot_answer() {
    let world = world("").await;
    let who = claims("1", "ann@example.org");
    // The answer names another issuer (RFC 9207).
    let away = world.leave(OWN).await;
    let code = world.fake.log_in(&away.url, &who);
    let told = Return { issuer: Some("https://login.other.org".into()), ..fake::returned(&away, &code) };
    assert_eq!(
        world.auth.come_back(world.visit(), told).await.outcome.unwrap_err(),
        provider(ProviderError::WrongIssuer)
    );
    // One that always names itself did not.
    let away = world.leave(OTHER).await;
    let code = world.fake.log_in(&away.url, &who);
    let told = Return { issuer: None, ..fake::returned(&away, &code) };
    assert_eq!(
        world.auth.come_back(world.visit(), told).await.outcome.unwrap_err(),
        provider(ProviderError::WrongIssuer)
    );
    // The other provider, evil as it may be, sends the browser on to the first one with its own state, and gets the code of that: it is
    // not worth anything there, and the first one's is never asked with it.
    let away = world.leave(OTHER).await;
    let honest = world.leave(OWN).await;
    let code = world.fake.log_in(&honest.url, &who);
    let told = Return { issuer: Some("https://login.other.org".into()), ..fake::returned(&away, &code) };
    assert!(world.auth.come_back(world.visit(), told).await.outcome.is_err());
    // And a code of one browser's does not fit another browser's verifier.
    let (mine, victims) = (world.leave(OWN).await, world.leave(OWN).await);
    let code = world.fake.log_in(&mine.url, &who);
    let told = fake::returned(&victims, &code);
    assert!(matches!(
        world.auth.come_back(world.visit(), told).await.outcome,
        Err(AccountError::Provider(ProviderError::Unreachable(_)))
    ));
    assert!(world.rows("_users").await.is_empty());
    // Subjects are the provider's own: the same one there is another person.
    let ann = sign_in(&world, &who).await.unwrap();
    let away = world.leave(OTHER).await;
    let code = world.fake.log_in(&away.url, &claims("1", "bob@example.org"));
    let told = Return { issuer: Some("https://login.other.org".into()), ..fake::returned(&away, &code) };
    match world.auth.come_back(world.visit(), told).await.outcome {
        Ok(Landed::SignedIn(bob)) => assert_ne!(bob.account.id, ann.account.id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn where_a_browser_goes_on() {
    let world = world("site_url = \"https://www.x.org/app\"\nredirect_urls = [\"https://*.y.org/**\"]").await;
    for (asked, expected) in [
        (None, "https://www.x.org/app"),
        (Some("https://a.y.org/x?y=1"), "https://a.y.org/x?y=1"),
        (Some("https://www.x.org/other"), "https://www.x.org/other"),
        (Some("https://evil.org/"), "https://www.x.org/app"),
        (Some("https://www.x.org.evil.org/"), "https://www.x.org/app"),
        (Some("https://evil.org\\@www.x.org/"), "https://www.x.org/app"),
        (Some("javascript:alert(1)"), "https://www.x.org/app"),
        (Some("//evil.org"), "https://www.x.org/app"),
    ] {
        let redirect_to = asked.map(str::to_owned);
        let asked = Depart { provider: OWN.into(), redirect_to, ..Depart::default() };
        let away = world.auth.depart(world.visit(), asked.clone()).await.unwrap();
        let code = world.fake.log_in(&away.url, &claims("1", "ann@example.org"));
        assert_eq!(world.landing(&away, &code).await.to, expected, "{asked:?}");
        // Also with an error in its hands.
        let away = world.auth.depart(world.visit(), asked.clone()).await.unwrap();
        let told = Return { error: Some("access_denied".into()), code: None, ..fake::returned(&away, "") };
        let landing = world.auth.come_back(world.visit(), told).await;
        assert_eq!(
            (landing.to.as_str(), landing.outcome.unwrap_err()),
            (expected, provider(ProviderError::Refused("access_denied".into())))
        );
    }
    let lost = world.auth.come_back(world.visit(), Return::default()).await;
    assert_eq!(lost.to, "https://www.x.org/app");
}

#[tokio::test]
async fn an_address_that_is_not_verified_decides_nothing() {
    let world = world("confirm_email = true").await;
    let ann = world.member("ann@example.org").await;
    for verified in [json!(false), Json::Null, json!("no"), json!(1)] {
        let mut who = claims("1", "ann@example.org");
        who["email_verified"] = verified;
        assert_eq!(sign_in(&world, &who).await.unwrap_err(), provider(ProviderError::AddressUnverified));
        who["email"] = json!("nobody@example.org");
        assert_eq!(sign_in(&world, &who).await.unwrap_err(), provider(ProviderError::AddressUnverified));
    }
    let mut who = claims("1", "");
    assert_eq!(sign_in(&world, &who).await.unwrap_err(), provider(ProviderError::AddressUnverified));
    assert_eq!(world.rows("_users").await.len(), 1);
    // Once it is verified the two are one, and the password stays: its owner had shown whose the address is.
    who["email"] = json!("ann@example.org");
    let session = sign_in(&world, &who).await.unwrap();
    assert_eq!(session.account.id, ann.account.id);
    assert_eq!(providers_of(&session.account), ["email", OWN]);
    assert_eq!(session.account.app_metadata, json!({ "provider": "email", "providers": ["email", OWN] }));
    assert!(world.password("ann@example.org").await.is_ok());
    // From now on the subject counts, verified or not.
    who["email_verified"] = json!(false);
    assert_eq!(sign_in(&world, &who).await.unwrap().account.id, ann.account.id);
}

/// A stranger signs up with somebody's address and waits (PocketBase CVE-2024-38351, Nhost CVE-2026-41574).
#[tokio::test]
async fn an_account_that_a_stranger_made_is_no_trap() {
    // Where nothing is confirmed by mail the stranger is even signed in.
    for settings in ["", "confirm_email = true"] {
        let world = world(settings).await;
        let stranger = world.sign_up("victim@example.org", json!({ "name": "Stranger", "plan": "x" })).await;
        let trap = match &stranger {
            SignedUp::In(session) => {
                // One more way back: an identity of the stranger's own.
                let caller = world.caller(session);
                let away = world.auth.depart_to_link(
                    world.visit(),
                    &caller,
                    Depart { provider: OWN.into(), ..Depart::default() },
                );
                let away = away.await.unwrap();
                let code = world.fake.log_in(&away.url, &claims("stranger", "stranger@evil.org"));
                assert_eq!(providers_of(&world.back(&away, &code).await.unwrap().account), ["email", OWN]);
                Some(session)
            }
            SignedUp::Unconfirmed(_) => None,
        };
        let owner = sign_in(&world, &claims("owner", "victim@example.org")).await.unwrap();
        assert_eq!(providers_of(&owner.account), [OWN], "{settings}");
        assert_eq!(owner.account.identities[0].provider_id, "owner");
        assert_eq!(owner.account.user_metadata["name"], json!("Ann"));
        assert_eq!(owner.account.user_metadata.get("plan"), None);
        assert_eq!(world.password("victim@example.org").await.unwrap_err(), AccountError::InvalidCredentials);
        if let Some(session) = trap {
            assert!(world.identify(session).is_err(), "the stranger's session ended");
            let refreshed = world.auth.refresh(world.visit(), session.refresh_token.clone()).await;
            assert!(refreshed.is_err());
        }
        // The stranger's identity begins an account of its own now.
        let stranger = sign_in(&world, &claims("stranger", "stranger@evil.org")).await.unwrap();
        assert_ne!(stranger.account.id, owner.account.id);
        assert!(world.identify(&owner).is_ok());
        assert!(world.events().await.iter().any(|(name, _)| name == "user_handed_over"), "{settings}");
    }
}

#[tokio::test]
async fn a_mailbox_does_not_do_away_with_a_second_factor() {
    let world = world("").await;
    let SignedUp::In(session) = world.sign_up("ann@example.org", json!({})).await else { panic!() };
    let caller = world.caller(&session);
    let made = world.auth.enroll_factor(world.visit(), &caller, EnrollFactor::default()).await.unwrap();
    let challenge = world.auth.challenge_factor(world.visit(), &caller, made.id).await.unwrap();
    let secret = totp_rs::Secret::try_from_base32(made.secret.expose()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let seconds = u64::try_from(world.visit().moment.now / 1_000_000).unwrap();
    let code = Secret::new(totp.generate(seconds).to_string());
    let raised = world.auth.verify_factor(world.visit(), &caller, made.id, challenge.id, code).await.unwrap();
    let refused = sign_in(&world, &claims("thief", "ann@example.org")).await.unwrap_err();
    assert_eq!(refused, FactorError::AssuranceNeeded.into());
    assert!(world.identify(&raised).is_ok());
    assert!(world.password("ann@example.org").await.is_ok());
    let account = world.auth.account(&world.caller(&raised)).await.unwrap();
    assert_eq!((account.factors.len(), providers_of(&account)), (1, vec!["email"]));
}

#[tokio::test]
async fn the_owners_word_is_proof() {
    let world = world("").await;
    let id = world.make("ann@example.org").await;
    let session = sign_in(&world, &claims("1", "ann@example.org")).await.unwrap();
    assert_eq!((session.account.id, providers_of(&session.account)), (id, vec!["email", OWN]));
    assert!(world.password("ann@example.org").await.is_ok());
}

#[tokio::test]
async fn who_may_not_come_in_does_not() {
    let world = world("sign_up = false").await;
    assert_eq!(sign_in(&world, &claims("1", "ann@example.org")).await.unwrap_err(), AccountError::SignUpClosed);
    let id = world.make("ann@example.org").await;
    assert!(sign_in(&world, &claims("1", "ann@example.org")).await.is_ok(), "an account that is there");
    world.ban(id).await;
    assert_eq!(sign_in(&world, &claims("1", "ann@example.org")).await.unwrap_err(), AccountError::Banned);
    assert_eq!(sign_in(&world, &claims("2", "ann@example.org")).await.unwrap_err(), AccountError::Banned);
    for name in ["", "unknown", "off", "email"] {
        let asked = Depart { provider: name.into(), ..Depart::default() };
        assert_eq!(world.auth.depart(world.visit(), asked).await.unwrap_err(), provider(ProviderError::NotEnabled));
    }
    assert_eq!(world.auth.providers(), fake::ENABLED);
}

#[tokio::test]
async fn id_tokens_that_applications_get_by_themselves() {
    let world = world("").await;
    let asked = |token: &str, nonce: Option<&str>| TokenSignIn {
        provider: OWN.into(),
        id_token: Secret::new(token),
        access_token: None,
        nonce: nonce.map(str::to_owned),
    };
    let sign_in = async |asked: TokenSignIn| world.auth.sign_in_by_token(world.visit(), asked).await;
    let token = |change: &dyn Fn(&mut fake::Token)| world.fake.token(&claims("1", "ann@example.org"), change);
    let plain = token(&|_| ());
    let session = sign_in(asked(&plain, None)).await.unwrap();
    let empty = token(&|token| token.claims["nonce"] = json!(""));
    assert!(sign_in(asked(&empty, None)).await.is_ok() && sign_in(asked(&empty, Some(""))).await.is_err());
    assert_eq!(session.account.email.as_deref(), Some("ann@example.org"));
    let mobile = token(&|token| token.claims["aud"] = json!("my-phone"));
    assert!(sign_in(asked(&mobile, None)).await.is_ok(), "an audience that is configured");
    // The token has the hash of the nonce.
    let nonce = "a nonce";
    let with_nonce = token(&|token| token.claims["nonce"] = json!(fake::sha256_hex(nonce)));
    assert!(sign_in(asked(&with_nonce, Some(nonce))).await.is_ok());
    for (what, token, nonce) in [
        ("another nonce", with_nonce.clone(), Some("b")),
        ("no nonce", with_nonce.clone(), None),
        ("a nonce that the token has not", plain.clone(), Some(nonce)),
        ("a nonce that is not hashed", token(&|token| token.claims["nonce"] = json!(nonce)), Some(nonce)),
        ("a foreign audience", token(&|token| token.claims["aud"] = json!("another")), None),
        ("a foreign issuer", token(&|token| token.claims["iss"] = json!("https://evil.org")), None),
        ("the other provider's", token(&|token| token.claims["iss"] = json!("https://login.other.org")), None),
        ("expired", token(&|token| token.claims["exp"] = json!(token.now() - 61)), None),
        ("not signed", token(&|token| token.signer = fake::Signer::None), None),
        ("a session's own", session.access_token.expose().to_owned(), None),
        ("no token", "x".into(), None),
        ("too long", "x".repeat(20_000), None),
    ] {
        let refused = sign_in(asked(&token, nonce)).await;
        assert!(matches!(refused, Err(AccountError::Provider(ProviderError::BadToken(_)))), "{what}: {refused:?}");
    }
    let bound = token(&|token| token.claims["at_hash"] = json!(fake::at_hash("access")));
    let with_access = |access: &str| TokenSignIn { access_token: Some(Secret::new(access)), ..asked(&bound, None) };
    assert!(sign_in(with_access("access")).await.is_ok());
    assert_eq!(
        sign_in(with_access("stolen")).await.unwrap_err(),
        provider(ProviderError::BadToken("it came with another access token"))
    );
    let other = TokenSignIn { provider: "github".into(), ..asked(&plain, None) };
    assert_eq!(sign_in(other).await.unwrap_err(), provider(ProviderError::NoIdTokens));
    let off = TokenSignIn { provider: "off".into(), ..asked(&plain, None) };
    assert_eq!(sign_in(off).await.unwrap_err(), provider(ProviderError::NotEnabled));
}

#[tokio::test]
async fn linking_and_unlinking() {
    let world = world("").await;
    let ann = match world.sign_up("ann@example.org", json!({})).await {
        SignedUp::In(session) => session,
        SignedUp::Unconfirmed(_) => panic!("signed in at once"),
    };
    let caller = world.caller(&ann);
    let depart = |challenge: Option<&str>| Depart {
        provider: OWN.into(),
        challenge: challenge.map(str::to_owned),
        ..Depart::default()
    };
    // The only one cannot go.
    let alone = ann.account.identities[0].id;
    let refused = world.auth.unlink(world.visit(), &caller, alone).await.unwrap_err();
    assert_eq!(refused, provider(ProviderError::LastIdentity));
    // With PKCE nothing happens until who asked for it shows the verifier.
    let link = async |challenge: Option<&str>, who: &Json| {
        let away = world.auth.depart_to_link(world.visit(), &caller, depart(challenge)).await.unwrap();
        let code = world.fake.log_in(&away.url, who);
        world.landing(&away, &code).await.outcome
    };
    // An address that is not verified does no harm here: who links is signed in.
    let mut who = claims("1", "other@example.org");
    who["email_verified"] = json!(false);
    let Ok(Landed::Code(code)) = link(Some(CHALLENGE), &who).await else { panic!("a code") };
    assert_eq!(providers_of(&world.auth.account(&caller).await.unwrap()), ["email"]);
    let stolen = world.auth.exchange(world.visit(), code, Secret::new("x".repeat(43))).await;
    assert_eq!(stolen.unwrap_err(), LinkError::WrongVerifier.into());
    assert_eq!(providers_of(&world.auth.account(&caller).await.unwrap()), ["email"]);
    let Ok(Landed::Code(code)) = link(Some(CHALLENGE), &who).await else { panic!("a code") };
    let session = world.auth.exchange(world.visit(), code, Secret::new(VERIFIER)).await.unwrap();
    assert_eq!((session.account.id, providers_of(&session.account)), (ann.account.id, vec!["email", OWN]));
    assert_eq!(session.account.email.as_deref(), Some("ann@example.org"));
    assert_eq!(session.account.app_metadata["providers"], json!(["email", OWN]));
    // Twice is once too often, and another's is another's.
    let twice = link(None, &who).await.unwrap_err();
    assert_eq!(twice, provider(ProviderError::LinkedAlready));
    let bob = sign_in(&world, &claims("2", "bob@example.org")).await.unwrap();
    let taken = link(None, &claims("2", "bob@example.org")).await.unwrap_err();
    assert_eq!(taken, provider(ProviderError::TakenByAnother));
    // By a token as well.
    let token = world.fake.token(&claims("3", "third@example.org"), &|_| ());
    let by_token = TokenSignIn { provider: OWN.into(), id_token: Secret::new(token), access_token: None, nonce: None };
    let linked = world.auth.link_by_token(world.visit(), &caller, by_token).await.unwrap();
    assert_eq!(providers_of(&linked.account), ["email", OWN, OWN]);
    // Nobody unlinks another's, and without a recent sign-in nobody links or unlinks.
    let bobs = bob.account.identities[0].id;
    assert_eq!(
        world.auth.unlink(world.visit(), &caller, bobs).await.unwrap_err(),
        provider(ProviderError::IdentityUnknown)
    );
    let late = world.visit_later(16 * 60 * 1_000_000);
    let identity = linked.account.identities.iter().find(|identity| identity.provider_id == "3").unwrap().id;
    assert_eq!(
        world.auth.unlink(late.clone(), &caller, identity).await.unwrap_err(),
        AccountError::ReauthenticationNeeded
    );
    assert_eq!(
        world.auth.depart_to_link(late, &caller, depart(None)).await.unwrap_err(),
        AccountError::ReauthenticationNeeded
    );
    let left = world.auth.unlink(world.visit(), &caller, identity).await.unwrap();
    assert_eq!(providers_of(&left), ["email", OWN]);
    // The password goes with the identity that it is of.
    let left = world.auth.unlink(world.visit(), &caller, alone).await.unwrap();
    assert_eq!(left.app_metadata, json!({ "provider": OWN, "providers": [OWN] }));
    assert_eq!(world.password("ann@example.org").await.unwrap_err(), AccountError::InvalidCredentials);
    let last = left.identities[0].id;
    assert_eq!(
        world.auth.unlink(world.visit(), &caller, last).await.unwrap_err(),
        provider(ProviderError::LastIdentity)
    );
    let events = world.events().await;
    let told = json!({ "provider": OWN });
    assert!(
        events.contains(&("identity_linked".into(), told.clone()))
            && events.contains(&("identity_unlinked".into(), told))
    );
    // The account's address is told each, and what was refused is not.
    world.auth.deliver().await.unwrap();
    let mails = world.auth.inbox().unwrap();
    assert!(mails.iter().all(|mail| mail.to == "ann@example.org"), "{mails:?}");
    let (added, removed) = ("Another way to sign in to ", "A way to sign in to ");
    let of = |what: &str| mails.iter().filter(|mail| mail.subject.starts_with(what)).count();
    assert_eq!((of(added), of(removed), mails.len()), (2, 2, 4), "{mails:?}");
    let by = format!("An account at {OWN} signs in to the account of ann@example.org");
    assert!(mails.iter().any(|mail| mail.text.contains(&by)), "{mails:?}");
    // Who signed out meanwhile asked for nothing.
    let away = world.auth.depart_to_link(world.visit(), &caller, depart(None)).await.unwrap();
    let code = world.fake.log_in(&away.url, &claims("9", "nine@example.org"));
    world.auth.sign_out(world.visit(), &caller, SignOutScope::Global).await.unwrap();
    assert_eq!(world.back(&away, &code).await.unwrap_err(), AccountError::SessionMissing);
}

#[tokio::test]
async fn an_anonymous_account_becomes_a_lasting_one() {
    let world = world("anonymous = true").await;
    let link = async |who: &Json| {
        let anonymous = world.auth.sign_up_anonymously(world.visit(), serde_json::Map::new()).await.unwrap();
        let caller = world.caller(&anonymous);
        let depart = Depart { provider: OWN.into(), ..Depart::default() };
        let away = world.auth.depart_to_link(world.visit(), &caller, depart).await.unwrap();
        let code = world.fake.log_in(&away.url, who);
        (anonymous.account.id, world.back(&away, &code).await)
    };
    let (id, session) = link(&claims("1", "ann@example.org")).await;
    let account = session.unwrap().account;
    assert_eq!((account.id, account.email.as_deref(), account.is_anonymous), (id, Some("ann@example.org"), false));
    assert_eq!(account.app_metadata["provider"], json!(OWN));
    assert_eq!(sign_in(&world, &claims("1", "ann@example.org")).await.unwrap().account.id, id);
    let (_, taken) = link(&claims("2", "ann@example.org")).await;
    assert_eq!(taken.unwrap_err(), provider(ProviderError::AddressTaken));
}

#[tokio::test]
async fn providers_without_openid_connect() {
    let world = world("").await;
    world
        .fake
        .answer("https://api.github.com/user", json!({ "id": 7, "login": "ann", "name": "Ann", "email": "x@x.org" }));
    let emails = json!([{ "email": "ann@example.org", "primary": true, "verified": true }]);
    world.fake.answer("https://api.github.com/user/emails", emails);
    let user =
        json!({ "id": "8", "username": "bob", "global_name": "Bob", "email": "bob@example.org", "verified": true });
    world.fake.answer("https://discord.com/api/users/@me", user);
    for (name, url, email) in [
        ("github", "https://github.com/login/oauth/authorize?", "ann@example.org"),
        ("discord", "https://discord.com/oauth2/authorize?", "bob@example.org"),
    ] {
        let away = world.leave(name).await;
        assert!(away.url.starts_with(url) && !away.url.contains("nonce="), "{}", away.url);
        let code = world.fake.log_in(&away.url, &json!({}));
        let session = world.back(&away, &code).await.unwrap();
        assert_eq!(session.account.email.as_deref(), Some(email));
        assert_eq!(providers_of(&session.account), [name]);
    }
    // The address that the profile shows is no proof.
    world.fake.answer("https://api.github.com/user", json!({ "id": 9, "login": "eve", "email": "bob@example.org" }));
    world.fake.answer("https://api.github.com/user/emails", json!([]));
    let away = world.leave("github").await;
    let code = world.fake.log_in(&away.url, &json!({}));
    assert_eq!(world.back(&away, &code).await.unwrap_err(), provider(ProviderError::AddressUnverified));
}

#[tokio::test]
async fn ready_made_providers_of_openid_connect() {
    let world = world("").await;
    let tenant = "9188040d-6c67-4c5b-b112-36a304b66dad";
    for (number, (name, url, issuer)) in [
        ("google", "https://accounts.google.com/authorize?", "accounts.google.com"),
        ("gitlab", "https://gitlab.com/authorize?", "https://gitlab.com"),
        ("linkedin_oidc", "https://www.linkedin.com/oauth/authorize?", "https://www.linkedin.com/oauth"),
        ("slack_oidc", "https://slack.com/authorize?", "https://slack.com"),
        (
            "azure",
            "https://login.microsoftonline.com/common/v2.0/authorize?",
            &format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let away = world.leave(name).await;
        assert!(away.url.starts_with(url) && !away.posted, "{}", away.url);
        assert_eq!(away.url.contains("&nonce="), name != "linkedin_oidc", "{}", away.url);
        assert_eq!(
            away.url.contains("&code_challenge="),
            !["linkedin_oidc", "slack_oidc"].contains(&name),
            "{}",
            away.url
        );
        let mut who = claims("1", &format!("ann{number}@example.org"));
        who["tid"] = json!(tenant);
        let log_in = |who: &Json, away: &Departure| {
            world.fake.log_in_as(&away.url, who, &|token| token.claims["iss"] = json!(issuer))
        };
        if name == "azure" {
            // What a tenant's administrator wrote there is no proof.
            let code = log_in(&who, &away);
            assert_eq!(world.back(&away, &code).await.unwrap_err(), provider(ProviderError::AddressUnverified));
            who["xms_edov"] = json!(true);
        }
        let away = world.leave(name).await;
        let code = log_in(&who, &away);
        let session = world.back(&away, &code).await.unwrap();
        assert_eq!(providers_of(&session.account), [name]);
    }
    // Another tenant's token with this tenant's id in it.
    let away = world.leave("azure").await;
    let mut who = claims("1", "eve@example.org");
    who["tid"] = json!(tenant);
    let other = "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0";
    let code = world.fake.log_in_as(&away.url, &who, &|token| token.claims["iss"] = json!(other));
    assert!(matches!(world.back(&away, &code).await, Err(AccountError::Provider(ProviderError::BadToken(_)))));
}

#[tokio::test]
async fn apple_posts_its_answer_and_tells_a_name_beside_the_token() {
    let world = world("").await;
    let who = json!({ "sub": "000.a", "email": "x7@privaterelay.appleid.com", "email_verified": "true" });
    let away = world.leave("apple").await;
    assert!(away.posted && away.url.starts_with("https://appleid.apple.com/authorize?"), "{}", away.url);
    assert!(away.url.contains("response_mode=form_post") && away.url.contains("scope=openid%20email%20name&"));
    let code = world.fake.log_in(&away.url, &who);
    let user = r#"{"name":{"firstName":"Ann","lastName":"Lee"},"email":"victim@example.org"}"#;
    let told = Return { user: Some(user.into()), ..fake::returned(&away, &code) };
    let Ok(Landed::SignedIn(session)) = world.auth.come_back(world.visit(), told).await.outcome else {
        panic!("signed in")
    };
    assert_eq!(session.account.email.as_deref(), Some("x7@privaterelay.appleid.com"));
    assert_eq!(session.account.user_metadata["full_name"], json!("Ann Lee"));
    // The next time it does not, and the name stays.
    let away = world.leave("apple").await;
    let code = world.fake.log_in(&away.url, &who);
    let again = world.back(&away, &code).await.unwrap();
    assert_eq!(again.account.id, session.account.id);
    assert_eq!(again.account.identities[0].data["name"], json!("Ann Lee"));
}

#[tokio::test]
async fn a_provider_that_is_away_or_talks_nonsense() {
    let fake = Fake::new();
    let world = world_with("", fake.clone()).await;
    fake.answer_raw("https://login.own.org/.well-known/openid-configuration", 500, b"no");
    let asked = Depart { provider: OWN.into(), ..Depart::default() };
    let gone = |outcome: Result<Departure, AccountError>| {
        matches!(outcome, Err(AccountError::Provider(ProviderError::Unreachable(_))))
    };
    assert!(gone(world.auth.depart(world.visit(), asked.clone()).await));
    assert!(gone(world.auth.depart(world.visit(), asked.clone()).await));
    let count = |fake: &Fake| fake.asked().len();
    assert_eq!(count(&fake), 1, "it is not asked again at once");
    fake.forget("https://login.own.org/.well-known/openid-configuration");
    assert!(world.auth.depart(world.visit_later(6_000_000), asked.clone()).await.is_ok());
    // What it answers for a code.
    for (status, body) in [
        (200, &b"not json"[..]),
        (200, b"{}"),
        (200, b"{\"access_token\":\"x\",\"token_type\":\"mac\",\"id_token\":\"x.y.z\"}"),
        (200, b"{\"access_token\":\"x\",\"token_type\":\"bearer\"}"),
        (400, b"{\"error\":\"invalid_grant\"}"),
        (302, b""),
        (500, b"{\"access_token\":\"x\"}"),
    ] {
        let away = world.leave(OWN).await;
        let code = world.fake.log_in(&away.url, &claims("1", "ann@example.org"));
        fake.answer_raw("https://login.own.org/token", status, body);
        let refused = world.back(&away, &code).await;
        assert!(matches!(refused, Err(AccountError::Provider(ProviderError::Unreachable(_)))), "{refused:?}");
        fake.forget("https://login.own.org/token");
    }
    assert!(world.rows("_users").await.is_empty());
}
