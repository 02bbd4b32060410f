//! Second factors: what they raise and guard, and codes that count once.

use super::*;
use crate::on_each_store;

on_each_store!(
    a_second_factor_raises_the_session_and_guards_the_account,
    a_planted_factor_proves_nothing,
    a_code_counts_once,
    a_recovery_code_counts_once
);

async fn a_second_factor_raises_the_session_and_guards_the_account(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let auth = &world.auth;
    let now = world.now();
    let first = world.sign_up("ann@example.org").await;
    let elsewhere = world.sign_in("ann@example.org", now).await.unwrap();
    let caller = world.identify(&first, now).unwrap();
    assert_eq!((claims(&caller)["aal"].as_str(), methods(&caller)), (Some("aal1"), vec!["password".to_owned()]));
    let (status, shown) = world.ask(&first, "POST", "/rest/v1/vault", json!({ "word": "no" })).await;
    assert_eq!(status, 403, "{shown}");

    // Enrolled, and not in use yet.
    let asked = || EnrollFactor { name: Some(" Phone ".into()), issuer: Some("A: B".into()), current_password: None };
    let made = auth.enroll_factor(world.visit(now), &caller, asked()).await.unwrap();
    assert_eq!(made.name.as_deref(), Some("Phone"));
    assert!(made.uri.expose().starts_with("otpauth://totp/A%20B:ann%40example.org?secret="), "{}", made.uri.expose());
    assert!(made.qr.expose().contains("<svg"));
    let again = auth.enroll_factor(world.visit(now), &caller, asked()).await.err();
    assert_eq!(again, Some(FactorError::NameTaken.into()));
    let listed = auth.account(&caller).await.unwrap().factors;
    assert_eq!(listed.iter().map(|factor| (factor.id, factor.verified)).collect::<Vec<_>>(), [(made.id, false)]);
    let codes = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.err();
    assert_eq!(codes, Some(FactorError::CodesAlone.into()));

    // A first code: this session is another one now, and what proved one factor alone is over.
    let phone = Phone { factor: made.id, secret: made.secret.expose().to_owned() };
    let wrong = if phone.code(now) == "000000" { "000001" } else { "000000" };
    assert_eq!(world.verify(&first, &phone, wrong, now).await.err(), Some(FactorError::CodeWrong.into()));
    let raised = world.verify(&first, &phone, &phone.code(now), now).await.unwrap();
    for void in [&first, &elsewhere] {
        assert_eq!(world.identify(void, now).err(), Some(Unidentified::SessionEnded));
        let refreshed = auth.refresh(world.visit(now), void.refresh_token.clone()).await.err();
        assert_eq!(refreshed, Some(AccountError::RefreshTokenUnknown));
    }
    let caller = world.identify(&raised, now).unwrap();
    assert_eq!(
        (claims(&caller)["aal"].as_str(), methods(&caller)),
        (Some("aal2"), vec!["totp".into(), "password".into()])
    );
    assert!(raised.account.factors[0].verified);

    // The level in rules: in memory for the create, in SQL for the read.
    let (status, shown) = world.ask(&raised, "POST", "/rest/v1/vault", json!({ "word": "yes" })).await;
    assert_eq!(status, 201, "{shown}");
    let one = world.sign_in("ann@example.org", now).await.unwrap();
    assert_eq!(
        world.ask(&raised, "GET", "/rest/v1/vault?select=word", Json::Null).await,
        (200, r#"[{"word":"yes"}]"#.into())
    );
    assert_eq!(world.ask(&one, "GET", "/rest/v1/vault?select=word", Json::Null).await, (200, "[]".into()));

    // What a session of one factor cannot do.
    let caller = world.identify(&one, now).unwrap();
    let needed = Some(AccountError::Factor(FactorError::AssuranceNeeded));
    let other = EnrollFactor { name: Some("Other".into()), ..EnrollFactor::default() };
    assert_eq!(auth.enroll_factor(world.visit(now), &caller, other).await.err(), needed);
    assert_eq!(auth.remove_factor(world.visit(now), &caller, phone.factor).await.err(), needed);
    let codes = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.err();
    assert_eq!(codes, needed);
    for change in [
        AccountChange {
            password: Some(Secret::new("another long password")),
            current_password: Some(Secret::new(PASSWORD)),
            ..AccountChange::default()
        },
        AccountChange { email: Some("eve@example.org".into()), ..AccountChange::default() },
    ] {
        assert_eq!(auth.update(world.visit(now), &caller, change).await.err(), needed);
    }
    // The used code, the one before it, and a challenge of another session or from too long ago.
    assert_eq!(world.verify(&one, &phone, &phone.code(now), now).await.err(), Some(FactorError::CodeWrong.into()));
    assert_eq!(
        world.verify(&one, &phone, &phone.code(now - STEP), now).await.err(),
        Some(FactorError::CodeWrong.into())
    );
    let next = now + STEP;
    let expired = Some(AccountError::Factor(FactorError::ChallengeExpired));
    let foreign = world.challenge(&raised, phone.factor, next).await;
    let code = || Secret::new(phone.code(next));
    assert_eq!(auth.verify_factor(world.visit(next), &caller, phone.factor, foreign, code()).await.err(), expired);
    let old = world.challenge(&one, phone.factor, next - 301 * SECOND).await;
    assert_eq!(auth.verify_factor(world.visit(next), &caller, phone.factor, old, code()).await.err(), expired);
    let two = world.verify(&one, &phone, &phone.code(next), next).await.unwrap();
    assert!(world.identify(&raised, next).is_ok(), "a session of two factors elsewhere goes on");

    // A refresh keeps the level, a removed factor takes it from all sessions.
    let two = auth.refresh(world.visit(next), two.refresh_token).await.unwrap();
    let caller = world.identify(&two, next).unwrap();
    assert_eq!(
        (claims(&caller)["aal"].as_str(), methods(&caller)),
        (Some("aal2"), vec!["totp".into(), "password".into()])
    );
    let stranger = world.sign_up("bob@example.org").await;
    let bob = world.identify(&stranger, now).unwrap();
    let missing = Some(AccountError::Factor(FactorError::Missing));
    assert_eq!(auth.remove_factor(world.visit(now), &bob, phone.factor).await.err(), missing);
    assert_eq!(
        auth.challenge_factor(world.visit(now), &bob, phone.factor).await.err().map(|e| format!("{e:?}")),
        missing.map(|e| format!("{e:?}"))
    );
    let stale = next + 16 * 60 * SECOND;
    let refused =
        auth.remove_factor(world.visit(stale), &world.identify(&two, stale).unwrap(), phone.factor).await.err();
    assert_eq!(refused, Some(AccountError::ReauthenticationNeeded), "a stolen token alone is not enough");
    auth.remove_factor(world.visit(next), &caller, phone.factor).await.unwrap();
    assert_eq!(
        world.identify(&raised, next).err(),
        Some(Unidentified::SessionEnded),
        "its token told a level that is gone"
    );
    let raised = auth.refresh(world.visit(next + SECOND), raised.refresh_token).await.unwrap();
    let caller = world.identify(&raised, next + SECOND).unwrap();
    assert_eq!((claims(&caller)["aal"].as_str(), methods(&caller)), (Some("aal1"), vec!["password".to_owned()]));
}

/// Whoever knows the password begins a factor and waits until the owner has one in use.
async fn a_planted_factor_proves_nothing(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let now = world.now();
    let (mine, thief) = (world.sign_up("ann@example.org").await, world.sign_in("ann@example.org", now).await.unwrap());
    let caller = world.identify(&thief, now).unwrap();
    let plant = async |name: &str| {
        let asked = EnrollFactor { name: Some(name.into()), ..EnrollFactor::default() };
        let made = world.auth.enroll_factor(world.visit(now), &caller, asked).await.unwrap();
        Phone { factor: made.id, secret: made.secret.expose().to_owned() }
    };
    let planted = plant("Planted").await;
    let (_, raised) = world.with_factor(&mine, now).await;
    assert_eq!(raised.account.factors.len(), 1, "what was begun by others is gone");
    let thief = world.sign_in("ann@example.org", now).await.unwrap();
    let caller = world.identify(&thief, now).unwrap();
    let missing = world.auth.challenge_factor(world.visit(now), &caller, planted.factor).await;
    assert_eq!(missing.err(), Some(FactorError::Missing.into()));

    // One that came into being all the same, as by a node of before, is no way in either.
    let caller = world.identify(&raised, now).unwrap();
    let asked = EnrollFactor { name: Some("Second".into()), ..EnrollFactor::default() };
    let made = world.auth.enroll_factor(world.visit(now), &caller, asked).await.unwrap();
    let second = Phone { factor: made.id, secret: made.secret.expose().to_owned() };
    let caller = world.identify(&thief, now).unwrap();
    let refused = world.auth.challenge_factor(world.visit(now), &caller, second.factor).await;
    assert_eq!(refused.err(), Some(FactorError::AssuranceNeeded.into()));
    let challenge = world.challenge(&raised, second.factor, now).await;
    let code = Secret::new(second.code(now));
    let refused = world.auth.verify_factor(world.visit(now), &caller, second.factor, challenge, code).await;
    assert_eq!(refused.err(), Some(FactorError::AssuranceNeeded.into()));
    assert!(
        world.verify(&raised, &second, &second.code(now), now).await.is_ok(),
        "who has the first may bring the second"
    );
}

/// How many of a hundred calls at once are good; the others must say why in one of these ways.
async fn good<F: Future<Output = Result<Session, AccountError>> + Send + 'static>(call: impl Fn(usize) -> F) -> usize {
    let all: Vec<_> = (0..100).map(|number| tokio::spawn(call(number))).collect();
    let mut good = 0;
    for each in all {
        match each.await.unwrap() {
            Ok(_) => good += 1,
            Err(
                AccountError::Factor(FactorError::CodeWrong | FactorError::ChallengeExpired)
                | AccountError::SessionMissing
                | AccountError::Failed(Failure::Conflict),
            ) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    good
}

async fn a_code_counts_once(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let now = world.now();
    let session = world.sign_up("ann@example.org").await;
    let (phone, raised) = world.with_factor(&session, now).await;
    // One challenge, one code.
    let later = now + STEP;
    let challenge = world.challenge(&raised, phone.factor, later).await;
    let one = |world: Arc<World>, session: Session, phone: Phone, challenge: Uuid, now: i64| async move {
        let caller = world.identify(&session, now).map_err(|_| AccountError::SessionMissing)?;
        let code = Secret::new(phone.code(now));
        world.auth.verify_factor(world.visit(now), &caller, phone.factor, challenge, code).await
    };
    let verify = |_| one(world.clone(), raised.clone(), phone.clone(), challenge, later);
    assert_eq!(good(verify).await, 1);
    // The same code from two sessions, each with challenges of its own.
    let two =
        [world.sign_in("ann@example.org", now).await.unwrap(), world.sign_in("ann@example.org", now).await.unwrap()];
    let latest = now + 2 * STEP;
    let mut challenges = Vec::new();
    for session in &two {
        for _ in 0..5 {
            challenges.push((session.clone(), world.challenge(session, phone.factor, latest).await));
        }
    }
    let verify = |number: usize| {
        let (session, challenge) = challenges[number % challenges.len()].clone();
        one(world.clone(), session, phone.clone(), challenge, latest)
    };
    assert_eq!(good(verify).await, 1);
}

async fn a_recovery_code_counts_once(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let auth = &world.auth;
    let now = world.now();
    let session = world.sign_up("ann@example.org").await;
    let (phone, raised) = world.with_factor(&session, now).await;
    let caller = world.identify(&raised, now).unwrap();
    assert_eq!(auth.recovery_codes(&caller).await.err(), Some(FactorError::Missing.into()));
    let again = MakeRecoveryCodes { again: true, ..MakeRecoveryCodes::default() };
    assert_eq!(
        auth.make_recovery_codes(world.visit(now), &caller, again.clone()).await.err(),
        Some(FactorError::Missing.into())
    );
    let made = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.unwrap();
    assert_eq!(made.codes.len(), 10);
    let twice = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.err();
    assert_eq!(twice, Some(FactorError::CodesExist.into()));
    assert_eq!(auth.account(&caller).await.unwrap().factors.len(), 1, "they are no factor");

    let lost = world.sign_in("ann@example.org", now).await.unwrap();
    let code = made.codes[3].expose().to_uppercase();
    let verify = |_| {
        let (world, lost, code) = (world.clone(), lost.clone(), Secret::new(format!("{}-{}", &code[..8], &code[8..])));
        async move {
            let caller = world.identify(&lost, now).map_err(|_| AccountError::SessionMissing)?;
            world.auth.verify_recovery_code(world.visit(now), &caller, code).await
        }
    };
    assert_eq!(good(verify).await, 1);
    let left = auth.recovery_codes(&caller).await.unwrap();
    assert_eq!((left.id, left.total, left.remaining), (made.id, 10, 9));

    // Somebody else's, and those that were replaced.
    let bob = world.sign_up("bob@example.org").await;
    let (_, bob) = world.with_factor(&bob, now).await;
    let bob = world.identify(&bob, now).unwrap();
    let wrong = Some(AccountError::Factor(FactorError::CodeWrong));
    assert_eq!(auth.verify_recovery_code(world.visit(now), &bob, made.codes[0].clone()).await.err(), wrong);
    let fresh = auth.make_recovery_codes(world.visit(now), &caller, again).await.unwrap();
    assert_eq!(fresh.id, made.id);
    let found = world.sign_in("ann@example.org", now).await.unwrap();
    let one = world.identify(&found, now).unwrap();
    assert_eq!(auth.verify_recovery_code(world.visit(now), &one, made.codes[0].clone()).await.err(), wrong);
    let raised = auth.verify_recovery_code(world.visit(now), &one, fresh.codes[0].clone()).await.unwrap();
    let caller = world.identify(&raised, now).unwrap();
    assert_eq!(methods(&caller), ["mfa/recovery_code", "password"]);
    // With the last factor they go too, and with them the level that they gave.
    auth.remove_factor(world.visit(now), &caller, phone.factor).await.unwrap();
    assert_eq!(auth.recovery_codes(&caller).await.err(), Some(FactorError::Missing.into()));
    let refreshed = auth.refresh(world.visit(now), raised.refresh_token).await.unwrap();
    assert_eq!(claims(&world.identify(&refreshed, now + SECOND).unwrap())["aal"], "aal1");
}
