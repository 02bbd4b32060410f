//! What goes over the wire, against accounts that answer what the test says.
#![allow(clippy::unwrap_used)]

mod pages;
mod passkeys;
mod providers;
mod told;

use super::*;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use http::header::AUTHORIZATION;
use serde_json::json;
use undergird_engine::Failure;
use undergird_engine::accounts::*;
use undergird_model::operation::MailOperation;
use undergird_plan::{FieldError, User};
use uuid::Uuid;

/// Answers everything with what it was told to.
struct Told(Result<(), AccountError>, bool);

fn account() -> Account {
    let id = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
    Account {
        id,
        email: Some("ann@example.org".into()),
        new_email: None,
        is_anonymous: false,
        invited_at: None,
        email_confirmed_at: Some(1_795_383_273_123_456),
        last_sign_in_at: Some(1_795_383_273_000_000),
        app_metadata: json!({ "provider": "email", "providers": ["email"] }),
        user_metadata: json!({ "name": "Ann" }),
        identities: vec![AccountIdentity {
            id: Uuid::nil(),
            provider: "email".into(),
            provider_id: id.to_string(),
            data: json!({ "email": "ann@example.org" }),
            created_at: 0,
            last_sign_in_at: None,
            updated_at: 0,
        }],
        factors: vec![],
        banned_until: None,
        created_at: 1_795_383_273_000_000,
        updated_at: 1_795_383_273_000_000,
    }
}

fn a_session() -> Session {
    Session {
        access_token: Secret::new("a.b.c"),
        refresh_token: Secret::new("ugr_1"),
        expires_in_seconds: 3600,
        expires_at: 1_795_386_873,
        account: account(),
    }
}

impl Told {
    fn give<T: Send + 'static>(&self, good: T) -> BoxFuture<'static, Result<T, AccountError>> {
        Box::pin(ready(self.0.clone().map(|()| good)))
    }
}

impl Identify for Told {
    fn identify(&self, credentials: Credentials<'_>, moment: Moment) -> Result<Caller, Unidentified> {
        match credentials.authorization {
            Some(b"Bearer owner") => Ok(Caller::secret(moment)),
            Some(b"Bearer ann") => {
                let user = User::new(account().id, None, vec![], json!({}));
                Ok(Caller::user(user.into(), moment))
            }
            Some(_) => Err(Unidentified::Expired),
            None => Ok(Caller::visitor(moment)),
        }
    }
}

impl Accounts for Told {
    fn sign_up(&self, _: Visit, request: SignUp) -> BoxFuture<'_, Result<SignedUp, AccountError>> {
        let unconfirmed = request.email.starts_with("later");
        self.give(match unconfirmed {
            true => SignedUp::Unconfirmed(Box::new(account())),
            false => SignedUp::In(Box::new(a_session())),
        })
    }
    fn sign_in(&self, _: Visit, _: PasswordSignIn) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.give(a_session())
    }
    fn pass_captcha<'a>(&'a self, _: &'a Visit, solution: Option<&'a str>) -> BoxFuture<'a, Result<(), AccountError>> {
        let error = match solution {
            Some("wrong") => CaptchaError::Failed(vec!["timeout-or-duplicate".into()]),
            Some("broken") => CaptchaError::Broken("why".into()),
            _ => return Box::pin(ready(Ok(()))),
        };
        Box::pin(ready(Err(AccountError::Captcha(error))))
    }
    fn refresh(&self, _: Visit, _: Secret) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.give(a_session())
    }
    fn account<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Account, AccountError>> {
        self.give(account())
    }
    fn update<'a>(&'a self, _: Visit, _: &'a Caller, _: AccountChange) -> BoxFuture<'a, Result<Account, AccountError>> {
        self.give(account())
    }
    fn sign_out<'a>(&'a self, _: Visit, _: &'a Caller, _: SignOutScope) -> BoxFuture<'a, Result<(), AccountError>> {
        self.give(())
    }
    fn sessions<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Vec<AccountSession>, AccountError>> {
        self.give(vec![told::session_in_list()])
    }
    fn end_session<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<(), AccountError>> {
        self.give(())
    }
    fn key_set(&self, _: Moment) -> Json {
        json!({ "keys": [] })
    }
    fn offers(&self) -> Offers {
        Offers { sign_up: true, confirmed_at_once: true, anonymous: false, passkeys: true, link_page: self.1 }
    }
}

impl Passwordless for Told {
    fn send_link(&self, _: Visit, _: LinkRequest) -> BoxFuture<'_, Result<(), AccountError>> {
        self.give(())
    }
    fn recover(&self, _: Visit, _: String, _: Wish) -> BoxFuture<'_, Result<(), AccountError>> {
        self.give(())
    }
    fn resend(&self, _: Visit, _: ResendRequest) -> BoxFuture<'_, Result<(), AccountError>> {
        self.give(())
    }
    fn verify(&self, _: Visit, _: &'static [LinkKind], _: Proof) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.give(a_session())
    }
    fn follow(&self, _: Visit, link: FollowedLink) -> BoxFuture<'_, Landing> {
        let code = link.kinds == Some(&[LinkKind::Recovery]);
        let landed = || match code {
            true => Landed::Code(Secret::new("a b&c")),
            false => Landed::Session(Box::new(a_session()), LinkKind::MagicLink),
        };
        let to = link.redirect_to.unwrap_or_else(|| "https://x.org".into());
        Box::pin(ready(Landing { to, outcome: self.0.clone().map(|()| landed()) }))
    }
    fn exchange(&self, _: Visit, _: Secret, _: Secret) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.give(a_session())
    }
    fn reauthenticate<'a>(&'a self, _: Visit, _: &'a Caller) -> BoxFuture<'a, Result<(), AccountError>> {
        self.give(())
    }
    fn invite<'a>(&'a self, _: Visit, _: &'a Caller, _: InviteRequest) -> BoxFuture<'a, Result<Account, AccountError>> {
        self.give(account())
    }
    fn generate_link<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        asked: GenerateLink,
    ) -> BoxFuture<'a, Result<GeneratedLink, AccountError>> {
        self.give(GeneratedLink {
            account: account(),
            link: Secret::new("https://x.org/link"),
            token: Secret::new("long"),
            code: Secret::new("123456"),
            kind: asked.kind,
            redirect_to: "https://x.org".into(),
        })
    }
    fn sign_up_anonymously(
        &self,
        _: Visit,
        _: serde_json::Map<String, Json>,
    ) -> BoxFuture<'_, Result<Session, AccountError>> {
        Box::pin(ready(Err(LinkError::AnonymousOff.into())))
    }
    fn inbox(&self) -> Option<Vec<InboxMail>> {
        None
    }
}

fn ask(told: Result<(), AccountError>, line: &str, body: &str, headers: &[(&'static str, &str)]) -> Answer {
    ask_of(&Told(told, false), line, body, headers)
}

fn ask_of(told: &Told, line: &str, body: &str, headers: &[(&'static str, &str)]) -> Answer {
    use AuthOperation::*;
    let (path, query) = line.split_once('?').map_or((line, None), |(path, query)| (path, Some(query)));
    let operation = match path {
        "POST signup" => SignUp,
        "POST token" => Token,
        "GET user" => User,
        "PUT user" => UpdateUser,
        "POST logout" => Logout,
        "GET jwks" => Jwks,
        "GET settings" => Settings,
        "POST otp" => Mail(MailOperation::Otp),
        "POST magiclink" => Mail(MailOperation::MagicLink),
        "POST recover" => Mail(MailOperation::Recover),
        "POST resend" => Mail(MailOperation::Resend),
        "POST verify" => Mail(MailOperation::Verify),
        "GET verify" => Mail(MailOperation::Follow),
        "GET reauthenticate" => Mail(MailOperation::Reauthenticate),
        "POST invite" => Mail(MailOperation::Invite),
        "POST admin/generate_link" => Mail(MailOperation::GenerateLink),
        other if passkeys::operation(other).is_some() => passkeys::operation(other).unwrap(),
        other if providers::operation(other).is_some() => providers::operation(other).unwrap(),
        other if told::operation(other).is_some() => told::operation(other).unwrap(),
        _ => Health,
    };
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let moment = Moment { now: 0, entropy: 0 };
    let request = AuthRequest {
        operation,
        path: path.split_once(' ').unwrap().1,
        query,
        headers: &headers,
        body: body.as_bytes(),
        pages: true,
        peer: None,
        moment,
    };
    handle(request, told).now_or_never().unwrap()
}

/// `status body`.
fn check(told: Result<(), AccountError>, line: &str, body: &str, headers: &[(&'static str, &str)], expected: &str) {
    let answer = ask(told, line, body, headers);
    let shown = format!("{} {}", answer.status.as_u16(), String::from_utf8(answer.body).unwrap());
    assert_eq!(shown.trim_end(), expected, "{line} {body}");
    assert!(answer.headers.contains_key(CACHE_CONTROL));
}

const GOOD: &str = r#"{"email":"a@b.c","password":"x"}"#;
const ANN: (&str, &str) = (AUTHORIZATION_NAME, "Bearer ann");
const AUTHORIZATION_NAME: &str = "authorization";
const NEW: (&str, &str) = ("x-supabase-api-version", "2024-01-01");

const USER: &str = concat!(
    r#"{"id":"01990000-0000-7000-8000-000000000001","aud":"authenticated","role":"authenticated","#,
    r#""email":"ann@example.org","email_confirmed_at":"2026-11-22T21:34:33.123456Z","phone":"","#,
    r#""confirmed_at":"2026-11-22T21:34:33.123456Z","last_sign_in_at":"2026-11-22T21:34:33Z","#,
    r#""app_metadata":{"provider":"email","providers":["email"]},"user_metadata":{"name":"Ann"},"#,
    r#""identities":[{"identity_id":"00000000-0000-0000-0000-000000000000","id":"01990000-0000-7000-8000-000000000001","#,
    r#""user_id":"01990000-0000-7000-8000-000000000001","identity_data":{"email":"ann@example.org"},"provider":"email","#,
    r#""created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:00Z","email":"ann@example.org"}],"#,
    r#""created_at":"2026-11-22T21:34:33Z","updated_at":"2026-11-22T21:34:33Z","is_anonymous":false}"#,
);

#[test]
fn good_answers_have_the_shapes_that_clients_read() {
    let session = format!(
        r#"200 {{"access_token":"a.b.c","token_type":"bearer","expires_in":3600,"expires_at":1795386873,"refresh_token":"ugr_1","user":{USER}}}"#
    );
    check(Ok(()), "POST signup", GOOD, &[], &session);
    check(Ok(()), "POST signup", r#"{"email":"later@b.c","password":"x","data":null}"#, &[], &format!("200 {USER}"));
    check(Ok(()), "POST token?grant_type=password", GOOD, &[], &session);
    check(Ok(()), "POST token?a=b&grant_type=refresh%5Ftoken", r#"{"refresh_token":"ugr_0"}"#, &[], &session);
    check(Ok(()), "GET user", "", &[ANN], &format!("200 {USER}"));
    check(Ok(()), "PUT user", r#"{"data":{"name":"Ann"}}"#, &[ANN], &format!("200 {USER}"));
    for scope in ["", "?scope=global", "?scope=local", "?scope=others"] {
        check(Ok(()), &format!("POST logout{scope}"), "", &[ANN], "204");
    }
    check(Ok(()), "GET jwks", "", &[], r#"200 {"keys":[]}"#);
    assert_eq!(ask(Ok(()), "GET settings", "", &[]).status, 200);
    assert_eq!(ask(Ok(()), "GET health", "", &[]).status, 200);
    // A token that ran out does not hinder a sign-in.
    check(Ok(()), "POST token?grant_type=password", GOOD, &[(AUTHORIZATION_NAME, "Bearer old")], &session);
}

#[test]
fn a_captcha_stands_before_what_guessers_and_floods_use() {
    let refused = "400 {\"code\":400,\"error_code\":\"captcha_failed\",\
                   \"msg\":\"captcha protection: request disallowed (timeout-or-duplicate)\"}";
    let with = |token: &str| {
        format!(r#"{{{},"gotrue_meta_security":{{"captcha_token":"{token}"}}}}"#, &GOOD[1..GOOD.len() - 1])
    };
    let begin = "passkeys/authentication/options";
    let asked = ["signup", "token?grant_type=password", "otp", "magiclink", "recover", "resend", begin];
    for path in asked {
        check(Ok(()), &format!("POST {path}"), &with("wrong"), &[], refused);
        check(Ok(()), &format!("POST {path}"), &with("wrong"), &[ANN], refused);
        assert_eq!(ask(Ok(()), &format!("POST {path}"), &with("broken"), &[]).status, 503);
        let owner = ask(Ok(()), &format!("POST {path}"), &with("wrong"), &[(AUTHORIZATION_NAME, "Bearer owner")]);
        assert!(!String::from_utf8(owner.body).unwrap().contains("captcha"), "{path}: the application itself");
    }
    let finish = "passkeys/authentication/verify";
    for path in ["token?grant_type=refresh_token", "token?grant_type=pkce", "verify", "logout", "invite", finish] {
        let answer = ask(Ok(()), &format!("POST {path}"), &with("wrong"), &[ANN]);
        assert!(!String::from_utf8(answer.body).unwrap().contains("captcha"), "{path}");
    }
}

#[test]
fn types_are_strict() {
    for (line, names) in [
        ("POST signup", ["email", "password", "data"].as_slice()),
        ("POST token?grant_type=password", &["email", "password"]),
        ("POST token?grant_type=refresh_token", &["refresh_token"]),
        ("PUT user", &["email", "password", "current_password", "data"]),
    ] {
        for name in names {
            for value in [json!({ "$ne": 1 }), json!(["a"]), json!(7), json!(true), json!("a\0b")] {
                if *name == "data" && value.is_object() {
                    continue;
                }
                let mut body = json!({ "email": "a@b.c", "password": "x", "refresh_token": "y" });
                body[*name] = value;
                let answer = ask(Ok(()), line, &body.to_string(), &[ANN]);
                assert_eq!(answer.status, 422, "{line} {body}");
                assert!(String::from_utf8(answer.body).unwrap().contains("validation_failed"));
            }
        }
        for body in ["", "[]", "null", "\"x\"", "{", "{\"email\":", &"[".repeat(100_000)] {
            assert!([400, 413].contains(&ask(Ok(()), line, body, &[ANN]).status.as_u16()), "{line} {body:.9}");
        }
    }
    let missing = r#"422 {"code":422,"error_code":"validation_failed","msg":"password is missing"}"#;
    check(Ok(()), "POST signup", r#"{"email":"a@b.c"}"#, &[], missing);
    check(Ok(()), "POST token?grant_type=password", r#"{"email":"a@b.c","password":""}"#, &[], missing);
    let anonymous =
        r#"422 {"code":422,"error_code":"anonymous_provider_disabled","msg":"Anonymous sign-ins are disabled"}"#;
    check(Ok(()), "POST signup", r#"{"data":{},"gotrue_meta_security":{}}"#, &[], anonymous);
    for query in ["", "?grant_type=", "?grant_type=web3"] {
        let expected = r#"400 {"code":400,"error_code":"invalid_credentials","msg":"unsupported_grant_type"}"#;
        check(Ok(()), &format!("POST token{query}"), GOOD, &[], expected);
    }
}

#[test]
fn errors_have_the_form_that_was_asked_for() {
    let wrong = || Err(AccountError::InvalidCredentials);
    let line = "POST token?grant_type=password";
    let old = r#"400 {"code":400,"error_code":"invalid_credentials","msg":"Invalid login credentials"}"#;
    check(wrong(), line, GOOD, &[], old);
    check(wrong(), line, GOOD, &[("x-supabase-api-version", "2023-01-01")], old);
    check(wrong(), line, GOOD, &[("x-supabase-api-version", "nonsense!")], old);
    check(wrong(), line, GOOD, &[NEW], r#"400 {"code":"invalid_credentials","message":"Invalid login credentials"}"#);
    assert_eq!(ask(wrong(), line, GOOD, &[NEW]).headers["x-supabase-api-version"], "2024-01-01");
    check(
        Err(AccountError::WeakPassword(PasswordWeakness::TooShort { min: 8 })),
        "POST signup",
        GOOD,
        &[NEW],
        r#"422 {"code":"weak_password","message":"Password should be at least 8 characters.","weak_password":{"reasons":["length"]}}"#,
    );
    let field = |name: &str| FieldError {
        pointer: format!("/{name}"),
        code: "readonly",
        message: "may not be set".into(),
        nearest: None,
    };
    check(
        Err(AccountError::InvalidData(vec![field("role"), field("verified")])),
        "POST signup",
        GOOD,
        &[],
        concat!(
            r#"422 {"code":422,"error_code":"validation_failed","msg":"role: may not be set; verified: may not be set","errors":["#,
            r#"{"pointer":"/data/role","code":"readonly","message":"may not be set","nearest":null},"#,
            r#"{"pointer":"/data/verified","code":"readonly","message":"may not be set","nearest":null}]}"#
        ),
    );
    let limited = AccountError::TooManyAttempts { retry_after: std::time::Duration::from_millis(1_200) };
    let answer = ask(Err(limited), line, GOOD, &[]);
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (429, &HeaderValue::from_static("2")));
    let overloaded = ask(Err(AccountError::Failed(Failure::Overloaded)), line, GOOD, &[]);
    assert_eq!((overloaded.status.as_u16(), &overloaded.headers["retry-after"]), (503, &HeaderValue::from_static("1")));
    // What is for the log stays out of the answer.
    let broken = ask(Err(AccountError::Failed(Failure::Internal("no such table: _users".into()))), line, GOOD, &[]);
    assert_eq!(broken.status, 500);
    assert!(!String::from_utf8(broken.body).unwrap().contains("_users"));
}

#[test]
fn credentials_that_are_not_good_are_told_so() {
    for line in ["GET user", "PUT user", "POST logout"] {
        let answer = ask(Ok(()), line, "{}", &[(AUTHORIZATION_NAME, "Bearer old")]);
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"Bearer error="invalid_token", error_description="JWT expired""#
        );
        assert!(String::from_utf8(answer.body).unwrap().contains(r#""error_code":"bad_jwt""#));
    }
    let twice = ask(Ok(()), "GET user", "", &[ANN]);
    assert_eq!(twice.status, 200);
    let mut headers = HeaderMap::new();
    headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer ann"));
    headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer ann"));
    assert_eq!(credentials(&headers).err(), Some(Unidentified::Malformed));
    let nobody = ask(Err(AccountError::NotAUser), "GET user", "", &[]);
    assert_eq!(
        (nobody.status.as_u16(), &nobody.headers["www-authenticate"]),
        (401, &HeaderValue::from_static("Bearer"))
    );
    let scope = ask(Ok(()), "POST logout?scope=everything", "", &[ANN]);
    assert_eq!(scope.status, 400);
}

#[test]
fn mails_are_asked_for_in_supabase_s_words() {
    for line in ["POST otp", "POST otp?redirect_to=x", "POST magiclink", "POST recover"] {
        check(Ok(()), line, r#"{"email":"a@b.c","gotrue_meta_security":{},"code_challenge":null}"#, &[], "200 {}");
        let missing = r#"422 {"code":422,"error_code":"validation_failed","msg":"email is missing"}"#;
        check(Ok(()), line, "{}", &[], missing);
        for challenge in [r#""x""#, r#""x","code_challenge_method":"plain""#, r#""x","code_challenge_method":null"#] {
            let body = format!(r#"{{"email":"a@b.c","code_challenge":{challenge}}}"#);
            assert_eq!(ask(Ok(()), line, &body, &[]).status, 422, "{line} {body}");
        }
        check(
            Err(LinkError::TooManyMails { retry_after: std::time::Duration::from_secs(58) }.into()),
            line,
            r#"{"email":"a@b.c"}"#,
            &[],
            r#"429 {"code":429,"error_code":"over_email_send_rate_limit","msg":"For security purposes, you can only request this after 58 seconds."}"#,
        );
    }
    check(Ok(()), "POST resend", r#"{"email":"a@b.c","type":"signup"}"#, &[], "200 {}");
    for kind in ["recovery", "x", ""] {
        let body = json!({ "email": "a@b.c", "type": kind }).to_string();
        assert_eq!(ask(Ok(()), "POST resend", &body, &[]).status, 422, "{kind}");
    }
    check(Ok(()), "GET reauthenticate", "", &[ANN], "200 {}");
    assert_eq!(ask(Ok(()), "GET reauthenticate", "", &[(AUTHORIZATION_NAME, "Bearer old")]).status, 401);
}

#[test]
fn proofs_are_of_one_kind() {
    for (body, status) in [
        (r#"{"type":"email","email":"a@b.c","token":"123456"}"#, 200),
        (r#"{"type":"recovery","token_hash":"x"}"#, 200),
        (r#"{"type":"recovery","token_hash":"x","token":"y","email":"a@b.c"}"#, 422),
        (r#"{"type":"recovery","token":"123456"}"#, 422),
        (r#"{"type":"recovery"}"#, 422),
        (r#"{"token_hash":"x"}"#, 422),
        (r#"{"type":"reauthentication","token_hash":"x"}"#, 422),
        (r#"{"type":{"$ne":""},"token_hash":"x"}"#, 422),
        (r#"{"type":"recovery","token_hash":{"$ne":""}}"#, 422),
        (r#"{"type":"sms","phone":"1","token":"123456"}"#, 400),
    ] {
        assert_eq!(ask(Ok(()), "POST verify", body, &[]).status, status, "{body}");
    }
    let expired = r#"403 {"code":403,"error_code":"otp_expired","msg":"Token has expired or is invalid"}"#;
    let body = r#"{"type":"recovery","token_hash":"x"}"#;
    check(Err(LinkError::Expired.into()), "POST verify", body, &[], expired);
    check(
        Err(LinkError::WrongVerifier.into()),
        "POST token?grant_type=pkce",
        r#"{"auth_code":"x","code_verifier":"y"}"#,
        &[],
        r#"400 {"code":400,"error_code":"bad_code_verifier","msg":"code challenge does not match previously saved code verifier"}"#,
    );
}

#[test]
fn links_lead_on_with_what_they_gave() {
    let location = |told: Result<(), AccountError>, query: &str| {
        let answer = ask(told, &format!("GET verify?{query}"), "", &[]);
        assert_eq!(
            (answer.status.as_u16(), &answer.headers[CACHE_CONTROL]),
            (303, &HeaderValue::from_static("no-store"))
        );
        answer.headers["location"].to_str().unwrap().to_owned()
    };
    assert_eq!(
        location(Ok(()), "token=x&type=magiclink&redirect_to=https%3A%2F%2Fy.org%2Fz%3Fa%3Db%23c"),
        "https://y.org/z?a=b#access_token=a.b.c&expires_at=1795386873&expires_in=3600&refresh_token=ugr_1&token_type=bearer&type=magiclink"
    );
    assert_eq!(location(Ok(()), "token=x&type=recovery"), "https://x.org?code=a+b%26c");
    let told = "error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired";
    assert_eq!(
        location(Err(LinkError::Expired.into()), "token=x&type=magiclink"),
        format!("https://x.org?{told}#{told}")
    );
    let broken = location(Err(AccountError::Failed(Failure::Internal("no such table: _users".into()))), "token=x");
    assert!(broken.contains("error=server_error") && !broken.contains("_users"), "{broken}");
}

#[test]
fn where_links_wait_for_a_person_a_scanner_uses_none_up() {
    // A link that was used leads to the error of that; a page leads nowhere.
    let told = Told(Err(LinkError::Expired.into()), true);
    let line = "verify?token=x%22%3Cscript%3E&type=recovery&redirect_to=https%3A%2F%2Fy.org";
    let shown = ask_of(&told, &format!("GET {line}"), "", &[]);
    assert_eq!((shown.status.as_u16(), shown.headers.get("location")), (200, None));
    assert_eq!(shown.headers[CACHE_CONTROL], "no-store");
    assert_eq!(shown.headers["referrer-policy"], "no-referrer");
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("form-action"), "{policy}");
    let page = String::from_utf8(shown.body).unwrap();
    assert!(page.contains("<form method=\"post\">") && !page.contains("script") && !page.contains("y.org"), "{page}");
    // The button posts to the page's own address.
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    for told in [told, Told(Ok(()), true), Told(Ok(()), false)] {
        let pressed = ask_of(&told, &format!("POST {line}"), "", &[FORM]);
        assert_eq!(pressed.status.as_u16(), 303);
        assert!(pressed.headers["location"].to_str().unwrap().starts_with("https://y.org?"));
    }
}
