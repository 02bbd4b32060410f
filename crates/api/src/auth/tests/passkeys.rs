//! Passkeys over the wire, against accounts that answer what the test says.

use super::*;
use undergird_model::operation::{AdminOperation, PasskeyOperation};

const ID: &str = "01990000-0000-7000-8000-000000000001";

/// The operation of a line, by its path.
pub(super) fn operation(line: &str) -> Option<AuthOperation> {
    let (method, path) = line.split_once(' ')?;
    let steps: Vec<&str> = path.split('/').collect();
    Some(match (method, steps.as_slice()) {
        ("GET", ["admin", "users", _, "passkeys"]) => AuthOperation::Admin(AdminOperation::Passkeys),
        ("DELETE", ["admin", "users", _, "passkeys", _]) => AuthOperation::Admin(AdminOperation::RemovePasskey),
        (method, ["passkeys", rest @ ..]) => AuthOperation::Passkey(match (method, rest) {
            ("POST", ["registration", "options"]) => PasskeyOperation::BeginRegistration,
            ("POST", ["registration", "verify"]) => PasskeyOperation::FinishRegistration,
            ("POST", ["authentication", "options"]) => PasskeyOperation::BeginSignIn,
            ("POST", ["authentication", "verify"]) => PasskeyOperation::FinishSignIn,
            ("GET", []) => PasskeyOperation::List,
            ("PATCH", [_]) => PasskeyOperation::Rename,
            ("DELETE", [_]) => PasskeyOperation::Remove,
            _ => return None,
        }),
        _ => return None,
    })
}

type Given<'a, T> = BoxFuture<'a, Result<T, AccountError>>;

fn a_passkey(name: Option<String>) -> Passkey {
    Passkey { id: account().id, name, created_at: 0, last_used_at: Some(1_000_000) }
}

impl Passkeys for Told {
    fn begin_passkey_registration<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Option<Secret>,
    ) -> Given<'a, PasskeyCreation> {
        self.give(PasskeyCreation {
            id: account().id,
            expires_at: 300,
            challenge: [0; 32],
            relying_party: "example.org".into(),
            relying_name: "Blog".into(),
            user_handle: "ann".into(),
            user_name: "ann@example.org".into(),
            display_name: "Ann".into(),
            discoverable: true,
            algorithms: &[-7],
            exclude: vec![KnownCredential { id: vec![1, 2, 4], transports: vec!["internal".into()] }],
        })
    }
    fn finish_passkey_registration<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        credential: NewCredential,
        name: Option<String>,
    ) -> Given<'a, Passkey> {
        let NewCredential { id, client_data, attestation, transports } = credential;
        assert_eq!((id, client_data, attestation), (vec![1, 2, 4], vec![4], vec![5]));
        assert_eq!(transports, ["usb"]);
        self.give(a_passkey(name))
    }
    fn begin_passkey_sign_in(&self, _: Visit) -> Given<'_, PasskeyRequest> {
        let (id, challenge, relying_party) = (account().id, [0; 32], "example.org".into());
        self.give(PasskeyRequest { id, expires_at: 300, challenge, relying_party, allow: vec![] })
    }
    fn finish_passkey_sign_in(&self, _: Visit, _: Uuid, assertion: Assertion) -> Given<'_, Session> {
        let Assertion { id, client_data, authenticator_data, signature, user_handle } = assertion;
        assert_eq!((id, client_data, authenticator_data, signature), (vec![1, 2, 4], vec![4], vec![6], vec![7]));
        assert!([None, Some(b"ann".to_vec())].contains(&user_handle));
        self.give(a_session())
    }
    fn passkeys<'a>(&'a self, _: &'a Caller) -> Given<'a, Vec<Passkey>> {
        self.give(vec![a_passkey(None)])
    }
    fn rename_passkey<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid, name: String) -> Given<'a, Passkey> {
        self.give(a_passkey(Some(name)))
    }
    fn remove_passkey<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> Given<'a, ()> {
        self.give(())
    }
    fn enroll_key<'a>(&'a self, _: Visit, _: &'a Caller, asked: EnrollFactor) -> Given<'a, EnrolledKey> {
        self.give(EnrolledKey { id: account().id, name: asked.name })
    }
    fn verify_key<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid, _: Uuid, answer: KeyAnswer) -> Given<'a, Session> {
        let (id, client_data) = match answer {
            KeyAnswer::Create(made) => (made.id, made.client_data),
            KeyAnswer::Request(signed) => (signed.id, signed.client_data),
        };
        assert_eq!((id, client_data), (vec![1, 2, 4], vec![4]));
        self.give(a_session())
    }
    fn passkeys_of<'a>(&'a self, _: &'a Caller, _: Uuid) -> Given<'a, Vec<Passkey>> {
        self.give(vec![a_passkey(None)])
    }
    fn remove_passkey_of<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid, _: Uuid) -> Given<'a, ()> {
        self.give(())
    }
}

const OWNER: (&str, &str) = (AUTHORIZATION_NAME, "Bearer owner");
const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn made() -> Json {
    let response = json!({ "clientDataJSON": "BA", "attestationObject": "BQ", "transports": ["usb", 7] });
    json!({ "id": "AQIE", "rawId": "AQIE", "type": "public-key", "response": response, "clientExtensionResults": {} })
}

fn signed() -> Json {
    let response =
        json!({ "clientDataJSON": "BA", "authenticatorData": "Bg", "signature": "Bw", "userHandle": "YW5u" });
    json!({ "id": "AQIE", "rawId": "AQIE", "type": "public-key", "response": response })
}

fn body(credential: &Json) -> String {
    json!({ "challenge_id": ID, "credential": credential }).to_string()
}

#[test]
fn passkeys_have_the_shapes_that_clients_and_browsers_read() {
    let of = |line: &str| line.replace("ID", ID).replace("ZEROS", ZEROS);
    let ann = |line: &str, body: &str, expected: &str| check(Ok(()), &of(line), body, &[ANN], &of(expected));
    let creation = concat!(
        r#"200 {"challenge_id":"ID","options":{"rp":{"id":"example.org","name":"Blog"},"#,
        r#""user":{"id":"YW5u","name":"ann@example.org","displayName":"Ann"},"challenge":"ZEROS","#,
        r#""pubKeyCredParams":[{"type":"public-key","alg":-7}],"timeout":300000,"#,
        r#""excludeCredentials":[{"type":"public-key","id":"AQIE","transports":["internal"]}],"#,
        r#""authenticatorSelection":{"residentKey":"required","requireResidentKey":true,"userVerification":"required"},"#,
        r#""attestation":"none"},"expires_at":300}"#,
    );
    for sent in ["", "{}", r#"{"current_password":"x"}"#] {
        ann("POST passkeys/registration/options", sent, creation);
    }
    let request = concat!(
        r#"200 {"challenge_id":"ID","options":{"challenge":"ZEROS","timeout":300000,"rpId":"example.org","#,
        r#""allowCredentials":[],"userVerification":"required"},"expires_at":300}"#,
    );
    for sent in ["", r#"{"gotrue_meta_security":{"captcha_token":null}}"#] {
        check(Ok(()), "POST passkeys/authentication/options", sent, &[], &of(request));
    }
    let shown = r#"{"id":"ID","created_at":"1970-01-01T00:00:00Z","last_used_at":"1970-01-01T00:00:01Z"}"#;
    let named = r#"200 {"id":"ID","created_at":"1970-01-01T00:00:00Z","friendly_name":"Laptop","last_used_at":"1970-01-01T00:00:01Z"}"#;
    ann("POST passkeys/registration/verify", &body(&made()), &format!("200 {shown}"));
    let with_name = json!({ "challenge_id": ID, "credential": made(), "friendly_name": "Laptop" }).to_string();
    ann("POST passkeys/registration/verify", &with_name, named);
    ann("GET passkeys", "", &format!("200 [{shown}]"));
    ann("PATCH passkeys/ID", r#"{"friendly_name":"Laptop"}"#, named);
    ann("DELETE passkeys/ID", "", "204");
    check(Ok(()), &of("GET admin/users/ID/passkeys"), "", &[OWNER], &of(&format!("200 [{shown}]")));
    check(Ok(()), &of("DELETE admin/users/ID/passkeys/ID"), "", &[OWNER], "204");
    let session = ask(Ok(()), "POST token?grant_type=password", GOOD, &[]).body;
    let session = format!("200 {}", String::from_utf8(session).unwrap());
    // A token that ran out does not hinder a sign-in.
    for headers in [&[][..], &[(AUTHORIZATION_NAME, "Bearer old")]] {
        check(Ok(()), "POST passkeys/authentication/verify", &body(&signed()), headers, &session);
    }
    let mut without_handle = signed();
    without_handle["response"]["userHandle"] = Json::Null;
    check(Ok(()), "POST passkeys/authentication/verify", &body(&without_handle), &[], &session);
}

#[test]
fn what_is_no_answer_of_an_authenticator_is_refused_before_it_is_looked_at() {
    let malformed = |line: &str, credential: &Json| {
        let answer = ask(Ok(()), line, &body(credential), &[ANN]);
        let shown = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == 400 && shown.contains("webauthn_verification_failed"), "{line} {credential}: {shown}");
    };
    let lines = [("POST passkeys/registration/verify", made()), ("POST passkeys/authentication/verify", signed())];
    for (line, good) in &lines {
        for name in ["id", "rawId", "type", "response"] {
            for value in [Json::Null, json!(7), json!("!"), json!("AQ"), json!({ "$ne": 1 }), json!([1])] {
                let mut credential = good.clone();
                credential[name] = value;
                malformed(line, &credential);
            }
        }
        let inner: Vec<String> = good["response"].as_object().unwrap().keys().cloned().collect();
        for name in inner.iter().filter(|name| *name != "transports") {
            for value in [json!(7), json!("ä"), json!("A"), json!({ "$ne": 1 })] {
                let mut credential = good.clone();
                credential["response"][name] = value;
                malformed(line, &credential);
            }
        }
        for sent in [
            "{}",
            r#"{"challenge_id":"x","credential":{}}"#,
            r#"{"credential":{}}"#,
            &format!(r#"{{"challenge_id":"{ID}"}}"#),
        ] {
            assert_eq!(ask(Ok(()), line, sent, &[ANN]).status, 422, "{line} {sent}");
        }
        assert_eq!(ask(Ok(()), line, &"x".repeat(BODY_BYTES_MAX + 1), &[ANN]).status, 413);
    }
    for line in ["PATCH passkeys/x", "DELETE passkeys/%00", "DELETE passkeys/x"] {
        assert_eq!(ask(Ok(()), line, r#"{"friendly_name":"a"}"#, &[ANN]).status, 404, "{line}");
    }
    assert_eq!(ask(Ok(()), &format!("PATCH passkeys/{ID}"), "{}", &[ANN]).status, 422);
}

#[test]
fn failures_of_passkeys_have_their_codes() {
    for (error, status, code) in [
        (PasskeyError::Off, 404, "passkey_disabled"),
        (PasskeyError::ChallengeExpired, 400, "webauthn_challenge_expired"),
        (PasskeyError::ChallengeUsed, 400, "webauthn_challenge_not_found"),
        (PasskeyError::Rejected, 400, "webauthn_verification_failed"),
        (PasskeyError::Exists, 422, "webauthn_credential_exists"),
        (PasskeyError::TooMany, 422, "too_many_passkeys"),
        (PasskeyError::Missing, 404, "webauthn_credential_not_found"),
        (PasskeyError::BadName, 422, "validation_failed"),
        (PasskeyError::Anonymous, 403, "no_authorization"),
    ] {
        let answer = ask(Err(error.into()), "POST passkeys/authentication/verify", &body(&signed()), &[]);
        let shown = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == status && shown.contains(&format!("\"error_code\":\"{code}\"")), "{shown}");
    }
}

const KEY: u128 = 0x0199_0000_0000_7000_8000_0000_0000_000f;

/// What the authenticator of this factor is asked, where it is one.
pub(super) fn asked_of(factor: Uuid) -> Option<KeyChallenge> {
    let (id, challenge, relying_party) = (factor, [0; 32], "example.org".into());
    let allow = vec![KnownCredential { id: vec![1, 2, 4], transports: vec![] }];
    let request = PasskeyRequest { id, expires_at: 300, challenge, relying_party, allow };
    (factor.as_u128() == KEY).then_some(KeyChallenge::Request(request))
}

#[test]
fn an_authenticator_as_a_second_factor_has_the_shapes_that_clients_read() {
    let key = Uuid::from_u128(KEY).to_string();
    let enrolled = format!(r#"200 {{"id":"{ID}","type":"webauthn","friendly_name":"Key"}}"#);
    check(Ok(()), "POST factors", r#"{"factor_type":"webauthn","friendly_name":"Key"}"#, &[ANN], &enrolled);
    let asked = concat!(
        r#"200 {"id":"KEY","type":"webauthn","expires_at":300,"webauthn":{"type":"request","credential_options":{"publicKey":"#,
        r#"{"challenge":"ZEROS","timeout":300000,"rpId":"example.org","allowCredentials":[{"type":"public-key","id":"AQIE"}],"#,
        r#""userVerification":"required"}}}}"#,
    );
    let asked = asked.replace("KEY", &key).replace("ZEROS", ZEROS);
    let told = r#"{"factorId":"x","webauthn":{"rpId":"evil.net","rpOrigins":["https://evil.net"]}}"#;
    check(Ok(()), &format!("POST factors/{key}/challenge"), told, &[ANN], &asked);
    let session = ask(Ok(()), "POST token?grant_type=password", GOOD, &[]).body;
    let session = format!("200 {}", String::from_utf8(session).unwrap());
    let line = format!("POST factors/{key}/verify");
    let body = |kind: &str, response: Json| {
        json!({ "challenge_id": ID, "webauthn": { "type": kind, "rpId": "evil.net", "credential_response": response } })
            .to_string()
    };
    check(Ok(()), &line, &body("create", made()), &[ANN], &session);
    check(Ok(()), &line, &body("request", signed()), &[ANN], &session);
    for spoiled in [
        body("create", signed()),
        body("request", made()),
        body("x", made()),
        body("create", Json::Null),
        body("create", json!([])),
    ] {
        assert_eq!(ask(Ok(()), &line, &spoiled, &[ANN]).status, 400, "{spoiled}");
    }
    let off = ask(Err(PasskeyError::Off.into()), "POST factors", r#"{"factor_type":"webauthn"}"#, &[ANN]);
    let shown = String::from_utf8(off.body).unwrap();
    assert!(off.status == 422 && shown.contains("mfa_webauthn_enroll_not_enabled"), "{shown}");
}
