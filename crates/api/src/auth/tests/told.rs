//! Sessions, factors and administration over the wire, against accounts that answer what the test says.

use super::*;
use undergird_model::operation::{AdminOperation, AuthOperation, FactorOperation};

const ID: &str = "01990000-0000-7000-8000-000000000001";

fn id() -> Uuid {
    Uuid::try_parse(ID).unwrap()
}

pub(super) fn session_in_list() -> AccountSession {
    AccountSession {
        id: id(),
        created_at: 0,
        refreshed_at: 1_000_000,
        not_after: 2_000_000,
        aal: "aal2".into(),
        method: "password".into(),
        user_agent: None,
        ip: Some("192.0.2.1".into()),
        current: true,
    }
}

/// The operation of a line, by its path.
pub(super) fn operation(line: &str) -> Option<AuthOperation> {
    let (method, path) = line.split_once(' ')?;
    let steps: Vec<&str> = path.split('/').collect();
    let factor = |operation| Some(AuthOperation::Factor(operation));
    let admin = |operation| Some(AuthOperation::Admin(operation));
    match (method, steps.as_slice()) {
        ("GET", ["sessions"]) => Some(AuthOperation::Sessions),
        ("DELETE", ["sessions", _]) => Some(AuthOperation::EndSession),
        ("POST", ["factors"]) => factor(FactorOperation::Enroll),
        ("GET", ["factors", "recovery-codes"]) => factor(FactorOperation::RecoveryCodes),
        ("POST", ["factors", "recovery-codes"]) => factor(FactorOperation::MakeRecoveryCodes),
        ("POST", ["factors", "recovery-codes", "regenerate"]) => factor(FactorOperation::RemakeRecoveryCodes),
        ("POST", ["factors", "recovery-codes", "verify"]) => factor(FactorOperation::VerifyRecoveryCode),
        ("DELETE", ["factors", "recovery-codes"]) => factor(FactorOperation::RemoveRecoveryCodes),
        ("POST", ["factors", _, "challenge"]) => factor(FactorOperation::Challenge),
        ("POST", ["factors", _, "verify"]) => factor(FactorOperation::Verify),
        ("DELETE", ["factors", _]) => factor(FactorOperation::Remove),
        ("GET", ["admin", "users"]) => admin(AdminOperation::ListUsers),
        ("GET", ["admin", "audit"]) => admin(AdminOperation::AuditLog),
        ("POST", ["admin", "users"]) => admin(AdminOperation::CreateUser),
        ("GET", ["admin", "users", _]) => admin(AdminOperation::User),
        ("PUT", ["admin", "users", _]) => admin(AdminOperation::UpdateUser),
        ("DELETE", ["admin", "users", _]) => admin(AdminOperation::RemoveUser),
        ("GET", ["admin", "users", _, "factors"]) => admin(AdminOperation::Factors),
        ("DELETE", ["admin", "users", _, "factors", _]) => admin(AdminOperation::RemoveFactor),
        ("GET", ["admin", "users", _, "sessions"]) => admin(AdminOperation::Sessions),
        ("DELETE", ["admin", "users", _, "sessions"]) => admin(AdminOperation::EndSessions),
        _ => None,
    }
}

type Given<'a, T> = BoxFuture<'a, Result<T, AccountError>>;

impl Factors for Told {
    fn enroll_factor<'a>(&'a self, _: Visit, _: &'a Caller, asked: EnrollFactor) -> Given<'a, EnrolledFactor> {
        let (secret, uri, qr) = (Secret::new("ABC"), Secret::new("otpauth://totp/x"), Secret::new("<svg/>"));
        self.give(EnrolledFactor { id: id(), name: asked.name, secret, uri, qr })
    }
    fn challenge_factor<'a>(&'a self, _: Visit, _: &'a Caller, factor: Uuid) -> Given<'a, FactorChallenge> {
        self.give(FactorChallenge { id: factor, expires_at: 300, key: passkeys::asked_of(factor) })
    }
    fn verify_factor<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid, _: Uuid, _: Secret) -> Given<'a, Session> {
        self.give(a_session())
    }
    fn remove_factor<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> Given<'a, ()> {
        self.give(())
    }
    fn recovery_codes<'a>(&'a self, _: &'a Caller) -> Given<'a, RecoveryStatus> {
        self.give(RecoveryStatus { id: id(), total: 10, remaining: 7 })
    }
    fn make_recovery_codes<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        asked: MakeRecoveryCodes,
    ) -> Given<'a, RecoveryCodes> {
        self.give(RecoveryCodes { id: id(), name: asked.name, codes: vec![Secret::new("k4m6x7qp2ab5ht3z")] })
    }
    fn verify_recovery_code<'a>(&'a self, _: Visit, _: &'a Caller, _: Secret) -> Given<'a, Session> {
        self.give(a_session())
    }
    fn remove_recovery_codes<'a>(&'a self, _: Visit, _: &'a Caller) -> Given<'a, Uuid> {
        self.give(id())
    }
}

impl Administration for Told {
    fn create_account<'a>(&'a self, _: Visit, _: &'a Caller, _: AccountSettings) -> Given<'a, Account> {
        self.give(account())
    }
    fn accounts<'a>(&'a self, _: &'a Caller, _: Page) -> Given<'a, AccountPage> {
        self.give(AccountPage { accounts: vec![account()], total: 7 })
    }
    fn find<'a>(&'a self, _: &'a Caller, _: Uuid) -> Given<'a, Account> {
        let name = Some("Phone".to_owned());
        let factor =
            AccountFactor { id: id(), kind: "totp".into(), name, verified: true, created_at: 0, updated_at: 0 };
        self.give(Account { factors: vec![factor], ..account() })
    }
    fn change_account<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid, _: AccountSettings) -> Given<'a, Account> {
        self.give(account())
    }
    fn remove_account<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> Given<'a, Account> {
        self.give(account())
    }
    fn remove_factor_of<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid, _: Uuid) -> Given<'a, ()> {
        self.give(())
    }
    fn audit_log<'a>(&'a self, _: &'a Caller, page: Page, filter: Option<AuditFilter>) -> Given<'a, AuditPage> {
        let events = vec![
            AuditEvent {
                id: id(),
                at: 1_000_000,
                action: "login".into(),
                kind: "account",
                actor: Some(id()),
                actor_name: "a@b.c".into(),
                address: Some("192.0.2.1".into()),
                traits: serde_json::Map::from_iter([("asked".to_owned(), format!("{page:?} {filter:?}").into())]),
            },
            AuditEvent {
                id: id(),
                at: 0,
                action: "login_failed".into(),
                kind: "account",
                actor: None,
                actor_name: String::new(),
                address: None,
                traits: serde_json::Map::new(),
            },
        ];
        self.give(AuditPage { events, total: 120 })
    }
    fn sessions_of_account<'a>(&'a self, _: &'a Caller, _: Uuid) -> Given<'a, Vec<AccountSession>> {
        self.give(vec![session_in_list()])
    }
    fn end_sessions_of<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> Given<'a, ()> {
        self.give(())
    }
}

const OWNER: (&str, &str) = (AUTHORIZATION_NAME, "Bearer owner");
const LISTED: &str = concat!(
    r#"200 {"sessions":[{"id":"01990000-0000-7000-8000-000000000001","created_at":"1970-01-01T00:00:00Z","#,
    r#""refreshed_at":"1970-01-01T00:00:01Z","not_after":"1970-01-01T00:00:02Z","aal":"aal2","method":"password","#,
    r#""user_agent":null,"ip":"192.0.2.1","current":true}]}"#,
);

#[test]
fn factors_have_the_shapes_that_clients_read() {
    let of = |line: &str| line.replace("ID", ID);
    let ann = |line: &str, body: &str, expected: &str| check(Ok(()), &of(line), body, &[ANN], &of(expected));
    ann(
        "POST factors",
        r#"{"factor_type":"totp","friendly_name":"Phone","issuer":"x"}"#,
        r#"200 {"id":"ID","type":"totp","totp":{"qr_code":"<svg/>","secret":"ABC","uri":"otpauth://totp/x"},"friendly_name":"Phone"}"#,
    );
    ann("POST factors/ID/challenge", "", r#"200 {"id":"ID","type":"totp","expires_at":300}"#);
    let code = of(r#"{"challenge_id":"ID","code":"123456"}"#);
    let session = ask(Ok(()), "POST token?grant_type=password", GOOD, &[]).body;
    let session = format!("200 {}", String::from_utf8(session).unwrap());
    ann("POST factors/ID/verify", &code, &session);
    ann("DELETE factors/ID", "", r#"200 {"id":"ID"}"#);
    ann("GET factors/recovery-codes", "", r#"200 {"id":"ID","type":"recovery_code","total":10,"remaining":7}"#);
    let codes = r#"200 {"id":"ID","type":"recovery_code","friendly_name":null,"total":1,"codes":["k4m6x7qp2ab5ht3z"]}"#;
    ann("POST factors/recovery-codes", "", codes);
    ann("POST factors/recovery-codes/regenerate", "{}", codes);
    ann("POST factors/recovery-codes/verify", r#"{"code":"K4M6-X7QP-2AB5-HT3Z"}"#, &session);
    ann("DELETE factors/recovery-codes", "", r#"200 {"id":"ID"}"#);
    ann("GET sessions", "", LISTED);
    ann("DELETE sessions/ID", "", "204");
    for (body, code) in [
        (r#"{"factor_type":"phone","phone":"1"}"#, "mfa_phone_enroll_not_enabled"),
        (r#"{"factor_type":"x"}"#, "validation_failed"),
        ("{}", "validation_failed"),
        (r#"{"factor_type":{"$ne":1}}"#, "validation_failed"),
    ] {
        let answer = ask(Ok(()), "POST factors", body, &[ANN]);
        let shown = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == 422 && shown.contains(code), "{body}: {shown}");
    }
    for body in
        ["{}", r#"{"challenge_id":"x","code":"1"}"#, r#"{"code":"1"}"#, &of(r#"{"challenge_id":"ID","code":1}"#)]
    {
        assert_eq!(ask(Ok(()), &of("POST factors/ID/verify"), body, &[ANN]).status, 422, "{body}");
    }
    for line in ["POST factors/x/challenge", "DELETE factors/%00", "DELETE sessions/x", "DELETE sessions/ID0"] {
        assert_eq!(ask(Ok(()), &of(line), "", &[ANN]).status, 404, "{line}");
    }
    for (error, status, code) in [
        (FactorError::Missing, 404, "mfa_factor_not_found"),
        (FactorError::NameTaken, 422, "mfa_factor_name_conflict"),
        (FactorError::TooMany, 422, "too_many_enrolled_mfa_factors"),
        (FactorError::AssuranceNeeded, 403, "insufficient_aal"),
        (FactorError::ChallengeExpired, 422, "mfa_challenge_expired"),
        (FactorError::CodeWrong, 422, "mfa_verification_failed"),
        (FactorError::CodesExist, 422, "mfa_verified_factor_exists"),
        (FactorError::CodesAlone, 422, "mfa_recovery_codes_sole_factor"),
    ] {
        let answer = ask(Err(error.into()), &of("POST factors/ID/verify"), &code_of(), &[ANN]);
        let shown = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == status && shown.contains(&format!("\"error_code\":\"{code}\"")), "{shown}");
    }
}

fn code_of() -> String {
    format!(r#"{{"challenge_id":"{ID}","code":"123456"}}"#)
}

#[test]
fn administration_is_the_owners_and_has_the_shapes_that_clients_read() {
    let of = |line: &str| line.replace("ID", ID);
    let owner = |line: &str, body: &str, expected: &str| check(Ok(()), &of(line), body, &[OWNER], &of(expected));
    let user = format!("200 {USER}");
    owner("POST admin/users", r#"{"email":"a@b.c","email_confirm":true,"ban_duration":"24h"}"#, &user);
    owner("PUT admin/users/ID", r#"{"app_metadata":{"roles":["a"]},"ban_duration":"none","role":""}"#, &user);
    owner("DELETE admin/users/ID", r#"{"should_soft_delete":false}"#, &user);
    owner("DELETE admin/users/ID", "", &user);
    let factor = r#"{"id":"ID","friendly_name":"Phone","factor_type":"totp","status":"verified","created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:00Z"}"#;
    owner("GET admin/users/ID/factors", "", &format!("200 [{factor}]"));
    let shown = String::from_utf8(ask(Ok(()), &of("GET admin/users/ID"), "", &[OWNER]).body).unwrap();
    assert!(shown.contains(&of(&format!("\"factors\":[{factor}],\"created_at\""))), "{shown}");
    owner("DELETE admin/users/ID/factors/ID", "", r#"200 {"id":"ID"}"#);
    owner("GET admin/users/ID/sessions", "", LISTED);
    owner("DELETE admin/users/ID/sessions", "", "204");
    let listed = ask(Ok(()), "GET admin/users?page=2&per_page=2", "", &[OWNER]);
    assert_eq!(listed.headers["x-total-count"], "7");
    assert_eq!(
        listed.headers["link"],
        "</admin/users?page=3&per_page=2>; rel=\"next\", </admin/users?page=4&per_page=2>; rel=\"last\""
    );
    let last = ask(Ok(()), "GET admin/users?page=4&per_page=2", "", &[OWNER]);
    assert_eq!(last.headers["link"], "</admin/users?page=4&per_page=2>; rel=\"last\"");
    for query in ["page=0", "page=-1", "page=x", "per_page=0", "per_page=1e3", "page=99999999999"] {
        assert_eq!(ask(Ok(()), &format!("GET admin/users?{query}"), "", &[OWNER]).status, 400, "{query}");
    }
    let listed = ask(Ok(()), "GET admin/audit?page=2&per_page=50&query=author%3AA%26b", "", &[OWNER]);
    assert_eq!(listed.headers["x-total-count"], "120");
    assert_eq!(
        listed.headers["link"],
        concat!(
            "</admin/audit?page=3&per_page=50&query=author%3AA%26b>; rel=\"next\", ",
            "</admin/audit?page=3&per_page=50&query=author%3AA%26b>; rel=\"last\""
        )
    );
    let entries = concat!(
        r#"200 [{"id":"ID","payload":{"action":"login","actor_id":"ID","actor_username":"a@b.c","actor_via_sso":false,"#,
        r#""log_type":"account","traits":{"asked":"Page { number: 1, rows: 50 } None"}},"#,
        r#""created_at":"1970-01-01T00:00:01Z","ip_address":"192.0.2.1"},"#,
        r#"{"id":"ID","payload":{"action":"login_failed","actor_id":"00000000-0000-0000-0000-000000000000","#,
        r#""actor_username":"","actor_via_sso":false,"log_type":"account"},"created_at":"1970-01-01T00:00:00Z","ip_address":""}]"#,
    );
    owner("GET admin/audit", "", entries);
    owner("GET admin/audit?query=", "", entries);
    let of_type = entries.replace("None", r#"Some(Kind(\"x:y\"))"#);
    owner("GET admin/audit?query=type:x:y", "", &of_type);
    for query in
        ["page=0", "query=login", "query=actor:x", "query=action:%00", &format!("query=action:{}", "x".repeat(201))]
    {
        assert_eq!(ask(Ok(()), &format!("GET admin/audit?{query}"), "", &[OWNER]).status, 400, "{query}");
    }
    for body in [
        r#"{"phone":"1"}"#,
        r#"{"password_hash":"$2a$"}"#,
        r#"{"role":"service_role"}"#,
        r#"{"email":{"$ne":1}}"#,
        r#"{"email_confirm":"yes"}"#,
        r#"{"ban_duration":"1d"}"#,
        r#"{"app_metadata":[]}"#,
        r#"{"id":"x"}"#,
        r#"{"password":7}"#,
    ] {
        let status = ask(Ok(()), &of("PUT admin/users/ID"), body, &[OWNER]).status.as_u16();
        assert!([400, 422].contains(&status), "{body}: {status}");
    }
    assert_eq!(ask(Ok(()), &of("DELETE admin/users/ID"), r#"{"should_soft_delete":true}"#, &[OWNER]).status, 422);
    for line in ["GET admin/users/x", "PUT admin/users/ID0", "GET admin/users/x/factors", "DELETE admin/users/x"] {
        assert_eq!(ask(Ok(()), &of(line), "{}", &[OWNER]).status, 404, "{line}");
    }
    // Who may is told first, whatever else is wrong.
    for line in [
        "GET admin/audit?query=x",
        "GET admin/users?page=x",
        "POST admin/users",
        "GET admin/users/x",
        "PUT admin/users/ID",
        "DELETE admin/users/ID",
        "GET admin/users/ID/factors",
        "DELETE admin/users/ID/factors/x",
        "GET admin/users/ID/sessions",
        "DELETE admin/users/ID/sessions",
    ] {
        assert_eq!(ask(Ok(()), &of(line), "[", &[ANN]).status, 403, "{line}");
        assert_eq!(ask(Ok(()), &of(line), "[", &[]).status, 401, "{line}");
        assert_eq!(ask(Ok(()), &of(line), "[", &[(AUTHORIZATION_NAME, "Bearer old")]).status, 401, "{line}");
    }
}
