//! A panic on the way of a request is one answer, which tells a stranger nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use support::Folder;
use undergird::Server;
use undergird_api::http::{AccessLog, AccessRecords, Connection, Http, Linger, serve};
use undergird_engine::accounts::*;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use uuid::Uuid;

/// Accounts with a bug in every operation.
struct Broken;

impl Identify for Broken {
    fn identify(&self, _: Credentials<'_>, _: Moment) -> Result<Caller, Unidentified> {
        panic!("canary in /secret/path.rs")
    }
}

impl Accounts for Broken {
    fn sign_up(&self, _: Visit, _: SignUp) -> BoxFuture<'_, Result<SignedUp, AccountError>> {
        panic!("canary")
    }
    fn sign_in(&self, _: Visit, _: PasswordSignIn) -> BoxFuture<'_, Result<Session, AccountError>> {
        Box::pin(async { panic!("canary") })
    }
    fn pass_captcha<'a>(&'a self, _: &'a Visit, _: Option<&'a str>) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn refresh(&self, _: Visit, _: Secret) -> BoxFuture<'_, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn account<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn update<'a>(&'a self, _: Visit, _: &'a Caller, _: AccountChange) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn sign_out<'a>(&'a self, _: Visit, _: &'a Caller, _: SignOutScope) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn sessions<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Vec<AccountSession>, AccountError>> {
        panic!("canary")
    }
    fn end_session<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn key_set(&self, _: Moment) -> serde_json::Value {
        panic!("canary")
    }
    fn offers(&self) -> Offers {
        panic!("canary")
    }
}

impl Passwordless for Broken {
    fn send_link(&self, _: Visit, _: LinkRequest) -> BoxFuture<'_, Result<(), AccountError>> {
        panic!("canary")
    }
    fn recover(&self, _: Visit, _: String, _: Wish) -> BoxFuture<'_, Result<(), AccountError>> {
        panic!("canary")
    }
    fn resend(&self, _: Visit, _: ResendRequest) -> BoxFuture<'_, Result<(), AccountError>> {
        panic!("canary")
    }
    fn verify(&self, _: Visit, _: &'static [LinkKind], _: Proof) -> BoxFuture<'_, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn follow(&self, _: Visit, _: FollowedLink) -> BoxFuture<'_, Landing> {
        panic!("canary")
    }
    fn exchange(&self, _: Visit, _: Secret, _: Secret) -> BoxFuture<'_, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn reauthenticate<'a>(&'a self, _: Visit, _: &'a Caller) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn invite<'a>(&'a self, _: Visit, _: &'a Caller, _: InviteRequest) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn generate_link<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: GenerateLink,
    ) -> BoxFuture<'a, Result<GeneratedLink, AccountError>> {
        panic!("canary")
    }
    fn sign_up_anonymously(
        &self,
        _: Visit,
        _: serde_json::Map<String, serde_json::Value>,
    ) -> BoxFuture<'_, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn inbox(&self) -> Option<Vec<InboxMail>> {
        panic!("canary")
    }
}

impl Passkeys for Broken {
    fn begin_passkey_registration<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Option<Secret>,
    ) -> BoxFuture<'a, Result<PasskeyCreation, AccountError>> {
        panic!("canary")
    }
    fn finish_passkey_registration<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: NewCredential,
        _: Option<String>,
    ) -> BoxFuture<'a, Result<Passkey, AccountError>> {
        panic!("canary")
    }
    fn begin_passkey_sign_in(&self, _: Visit) -> BoxFuture<'_, Result<PasskeyRequest, AccountError>> {
        panic!("canary")
    }
    fn finish_passkey_sign_in(&self, _: Visit, _: Uuid, _: Assertion) -> BoxFuture<'_, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn passkeys<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Vec<Passkey>, AccountError>> {
        panic!("canary")
    }
    fn rename_passkey<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: String,
    ) -> BoxFuture<'a, Result<Passkey, AccountError>> {
        panic!("canary")
    }
    fn remove_passkey<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn enroll_key<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: EnrollFactor,
    ) -> BoxFuture<'a, Result<EnrolledKey, AccountError>> {
        panic!("canary")
    }
    fn verify_key<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: Uuid,
        _: KeyAnswer,
    ) -> BoxFuture<'a, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn passkeys_of<'a>(&'a self, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<Vec<Passkey>, AccountError>> {
        panic!("canary")
    }
    fn remove_passkey_of<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
}

impl Factors for Broken {
    fn enroll_factor<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: EnrollFactor,
    ) -> BoxFuture<'a, Result<EnrolledFactor, AccountError>> {
        panic!("canary")
    }
    fn challenge_factor<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
    ) -> BoxFuture<'a, Result<FactorChallenge, AccountError>> {
        panic!("canary")
    }
    fn verify_factor<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: Uuid,
        _: Secret,
    ) -> BoxFuture<'a, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn remove_factor<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn recovery_codes<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<RecoveryStatus, AccountError>> {
        panic!("canary")
    }
    fn make_recovery_codes<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: MakeRecoveryCodes,
    ) -> BoxFuture<'a, Result<RecoveryCodes, AccountError>> {
        panic!("canary")
    }
    fn verify_recovery_code<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Secret,
    ) -> BoxFuture<'a, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn remove_recovery_codes<'a>(&'a self, _: Visit, _: &'a Caller) -> BoxFuture<'a, Result<Uuid, AccountError>> {
        panic!("canary")
    }
}

impl Pages for Broken {
    fn check_errand(&self, _: &Errand) -> Result<(), AccountError> {
        panic!("canary")
    }
    fn new_browser(&self) -> Result<Secret, AccountError> {
        panic!("canary")
    }
    fn page_secret(&self, _: PageSecret, _: &Secret) -> Secret {
        panic!("canary")
    }
    fn page_challenge(&self, _: &Secret) -> String {
        panic!("canary")
    }
    fn hold<'a>(&'a self, _: Visit, _: &'a Caller, _: Hold) -> BoxFuture<'a, Result<Secret, AccountError>> {
        panic!("canary")
    }
    fn held<'a>(&'a self, _: Visit, _: &'a Secret) -> BoxFuture<'a, Result<Option<Held>, AccountError>> {
        panic!("canary")
    }
    fn hand_over<'a>(&'a self, _: Visit, _: &'a Secret) -> BoxFuture<'a, Result<HandedOver, AccountError>> {
        panic!("canary")
    }
}

impl Providers for Broken {
    fn depart(&self, _: Visit, _: Depart) -> BoxFuture<'_, Result<Departure, AccountError>> {
        panic!("canary")
    }
    fn depart_to_link<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Depart,
    ) -> BoxFuture<'a, Result<Departure, AccountError>> {
        panic!("canary")
    }
    fn come_back(&self, _: Visit, _: Return) -> BoxFuture<'_, Landing> {
        panic!("canary")
    }
    fn sign_in_by_token(&self, _: Visit, _: TokenSignIn) -> BoxFuture<'_, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn link_by_token<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: TokenSignIn,
    ) -> BoxFuture<'a, Result<Session, AccountError>> {
        panic!("canary")
    }
    fn unlink<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn providers(&self) -> Vec<String> {
        panic!("canary")
    }
    fn public_url(&self) -> String {
        panic!("canary")
    }
}

impl Administration for Broken {
    fn create_account<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: AccountSettings,
    ) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn accounts<'a>(&'a self, _: &'a Caller, _: Page) -> BoxFuture<'a, Result<AccountPage, AccountError>> {
        panic!("canary")
    }
    fn find<'a>(&'a self, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn change_account<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: AccountSettings,
    ) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn remove_account<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<Account, AccountError>> {
        panic!("canary")
    }
    fn remove_factor_of<'a>(
        &'a self,
        _: Visit,
        _: &'a Caller,
        _: Uuid,
        _: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
    fn audit_log<'a>(
        &'a self,
        _: &'a Caller,
        _: Page,
        _: Option<AuditFilter>,
    ) -> BoxFuture<'a, Result<AuditPage, AccountError>> {
        panic!("canary")
    }
    fn sessions_of_account<'a>(
        &'a self,
        _: &'a Caller,
        _: Uuid,
    ) -> BoxFuture<'a, Result<Vec<AccountSession>, AccountError>> {
        panic!("canary")
    }
    fn end_sessions_of<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<(), AccountError>> {
        panic!("canary")
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_with_an_id_and_nothing_else() {
    let blog = Folder::example("blog");
    let server = Server::builder(&blog.0)
        .environment(undergird::config::Environment::default())
        .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
        .make_keys(true)
        .build()
        .await
        .unwrap();
    let cursors = undergird::keys::cursor_key(server.keys()).unwrap();
    let log: Arc<AccessLog> = Arc::default();
    let http = Http::new(server.engine().clone(), Arc::new(Broken), cursors, log.clone());
    let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
    let sign_in = r#"{"email":"a@example.org","password":"correct horse"}"#;
    for (method, path, body, expected) in [
        ("GET", "/rest/v1/posts", "", 500),
        ("POST", "/auth/v1/token?grant_type=password", sign_in, 500),
        ("GET", "/auth/v1/settings", "", 500),
        ("GET", "/health/live", "", 200),
    ] {
        let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::from(body))).unwrap();
        let response = serve(&http, &connection, request).await;
        assert_eq!(response.status().as_u16(), expected, "{method} {path}");
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(!text.contains("canary") && !text.contains(".rs"), "{text}");
        assert!(expected == 200 || text.contains(&id), "{text}");
    }
    let mut records = AccessRecords::default();
    assert_eq!(log.drain(&mut records), 0);
    assert_eq!(records.iter().map(|(record, _)| record.status).collect::<Vec<_>>(), [500, 500, 500, 200]);
    assert_eq!(http.metrics().in_flight.get(), 0, "a panic does not stay under way");
    assert!(http.metrics().text(&[]).contains("undergird_panics_total 3"));
    server.close().await;
}
