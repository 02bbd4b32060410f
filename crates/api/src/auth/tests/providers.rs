//! Signing in by other providers over the wire, against accounts that answer what the test says.

use super::*;
use http::header::{LOCATION, SET_COOKIE};
use undergird_model::operation::{AuthOperation, ProviderOperation};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The operation of a line, by its path.
pub(super) fn operation(line: &str) -> Option<AuthOperation> {
    let which = match line {
        "GET authorize" => ProviderOperation::Authorize,
        "GET callback" => ProviderOperation::Callback,
        "POST callback" => ProviderOperation::PostedCallback,
        "GET user/identities/authorize" => ProviderOperation::Link,
        other if other.starts_with("DELETE user/identities/") => ProviderOperation::Unlink,
        _ => return None,
    };
    Some(AuthOperation::Provider(which))
}

/// What came in is in what goes out, so that a test sees both.
impl Providers for Told {
    fn depart(&self, _: Visit, asked: Depart) -> BoxFuture<'_, Result<Departure, AccountError>> {
        let hints: Vec<_> = asked.hints.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let told = [asked.provider.as_str(), asked.scopes.as_deref().unwrap_or("-"), &hints.join(",")].join("|");
        let told = format!("{told}|{}|{}", asked.redirect_to.unwrap_or_default(), asked.challenge.unwrap_or_default());
        let url = format!("https://login.x.org/?{told}");
        let browser = asked.browser.or_else(|| Some(Secret::new("new")));
        self.give(Departure { url, browser, browser_seconds: 600, posted: false })
    }
    fn depart_to_link<'a>(
        &'a self,
        visit: Visit,
        _: &'a Caller,
        asked: Depart,
    ) -> BoxFuture<'a, Result<Departure, AccountError>> {
        self.depart(visit, asked)
    }
    fn come_back(&self, _: Visit, told: Return) -> BoxFuture<'_, Landing> {
        let shown =
            |secret: &Option<Secret>| secret.as_ref().map_or("-".to_owned(), |secret| secret.expose().to_owned());
        let parts = [shown(&told.state), shown(&told.code), shown(&told.browser)];
        let others = [told.error, told.issuer, told.user].map(|part| part.unwrap_or_else(|| "-".into()));
        let to = format!("https://x.org/{}/{}", parts.join("/"), others.join("/"));
        let outcome = self.0.clone().map(|()| Landed::SignedIn(Box::new(a_session())));
        Box::pin(ready(Landing { to, outcome }))
    }
    fn sign_in_by_token(&self, _: Visit, _: TokenSignIn) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.give(a_session())
    }
    fn link_by_token<'a>(
        &'a self,
        _: Visit,
        caller: &'a Caller,
        _: TokenSignIn,
    ) -> BoxFuture<'a, Result<Session, AccountError>> {
        match caller.identity() {
            undergird_plan::Identity::User(_) => self.give(a_session()),
            _ => Box::pin(ready(Err(AccountError::NotAUser))),
        }
    }
    fn unlink<'a>(&'a self, _: Visit, _: &'a Caller, _: Uuid) -> BoxFuture<'a, Result<Account, AccountError>> {
        self.give(account())
    }
    fn providers(&self) -> Vec<String> {
        vec!["google".into()]
    }
    fn public_url(&self) -> String {
        "https://api.x.org".into()
    }
}

/// `status location`.
fn check_way(line: &str, body: &str, headers: &[(&'static str, &str)], told: Result<(), AccountError>, expected: &str) {
    let answer = ask(told, line, body, headers);
    let location = answer.headers.get(LOCATION).map(|location| location.to_str().unwrap()).unwrap_or_default();
    assert_eq!(format!("{} {location}", answer.status.as_u16()), expected, "{line}");
}

#[test]
fn going_away() {
    let way = "https://login.x.org/?";
    let check = |line: &str, expected: &str| check_way(line, "", &[], Ok(()), expected);
    check("GET authorize?provider=google", &format!("302 {way}google|-|||"));
    check(
        "GET authorize?provider=own&scopes=a+b&redirect_to=https%3A%2F%2Fa.org&prompt=login&apikey=x",
        &format!("302 {way}own|a b|prompt=login|https://a.org|"),
    );
    check("GET authorize?provider=own&code_challenge=abc&code_challenge_method=s256", &format!("302 {way}own|-|||abc"));
    for bad in ["code_challenge=abc", "code_challenge=abc&code_challenge_method=plain", "code_challenge_method=s256"] {
        check(&format!("GET authorize?provider=own&{bad}"), "422 ");
    }
    let off = Err(ProviderError::NotEnabled.into());
    let told =
        "{\"code\":400,\"error_code\":\"validation_failed\",\"msg\":\"Unsupported provider: provider is not enabled\"}";
    super::check(off, "GET authorize", "", &[], &format!("400 {told}"));
}

/// A cookie is kept for the host that gave it, and it is the public one to which the provider sends the browser back.
#[test]
fn a_browser_leaves_from_the_host_that_it_comes_back_to() {
    let check = |host: &str, line: &str, expected: &str| check_way(line, "", &[("host", host)], Ok(()), expected);
    let away = "302 https://login.x.org/?own|-|||";
    for same in ["api.x.org", "API.x.org", "api.x.org:8443"] {
        check(same, "GET authorize?provider=own", away);
    }
    let there = "302 https://api.x.org/auth/v1/authorize?provider=own&scopes=a+b&hop=1";
    for other in ["localhost:8090", "127.0.0.1", "[::1]:8090", "x.org", "api.x.org.evil.org", "evil.org"] {
        check(other, "GET authorize?provider=own&scopes=a+b", there);
    }
    // Behind a proxy that writes a name of its own there: once.
    check("internal:80", "GET authorize?provider=own&hop=1", away);
}

#[test]
fn a_browser_is_known_by_its_cookie() {
    let check = |cookies: &str, expected: &str| {
        let header = [("cookie", cookies)];
        let header = if cookies.is_empty() { &header[..0] } else { &header[..] };
        let answer = ask(Ok(()), "GET authorize?provider=own", "", header);
        let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
        let value = cookie.strip_prefix("__Host-undergird-browser=").unwrap().split(';').next().unwrap();
        assert_eq!(value, expected, "{cookies}");
    };
    check("", "new");
    check("a=b; __Host-undergird-browser=known; c=d", "known");
    check("undergird-browser=plain", "new");
    check("undergird-browser=plain; __Host-undergird-browser=known", "known");
    check("x__Host-undergird-browser=other", "new");
}

#[test]
fn linking_wants_a_user() {
    let ann = [("authorization", "Bearer ann")];
    check_way("GET user/identities/authorize?provider=own", "", &ann, Ok(()), "302 https://login.x.org/?own|-|||");
    let json = "{\"url\":\"https://login.x.org/?own|-|||\"}";
    super::check(
        Ok(()),
        "GET user/identities/authorize?provider=own&skip_http_redirect=true",
        "",
        &ann,
        &format!("200 {json}"),
    );
    let late = ask(Ok(()), "GET user/identities/authorize?provider=own", "", &[("authorization", "Bearer x")]);
    assert_eq!(late.status.as_u16(), 401);
    let id = "DELETE user/identities/01990000-0000-7000-8000-000000000001";
    super::check(Ok(()), id, "", &ann, "200 {}");
    for bad in ["DELETE user/identities/x", "DELETE user/identities/"] {
        assert_eq!(ask(Ok(()), bad, "", &ann).status.as_u16(), 404, "{bad}");
    }
    let token = "{\"provider\":\"own\",\"id_token\":\"a.b.c\",\"link_identity\":true}";
    assert_eq!(ask(Ok(()), "POST token?grant_type=id_token", token, &ann).status.as_u16(), 200);
    assert_eq!(ask(Ok(()), "POST token?grant_type=id_token", token, &[]).status.as_u16(), 401);
    for bad in ["{}", "{\"provider\":\"own\"}", "{\"id_token\":\"x\"}", "{\"provider\":{},\"id_token\":\"x\"}"] {
        assert_eq!(ask(Ok(()), "POST token?grant_type=id_token", bad, &[]).status.as_u16(), 422, "{bad}");
    }
}

#[test]
fn coming_back() {
    let session = "#access_token=a.b.c&expires_at=1795386873&expires_in=3600&refresh_token=ugr_1&token_type=bearer";
    let check = |line: &str, body: &str, headers: &[(&'static str, &str)], expected: &str| {
        check_way(line, body, headers, Ok(()), &format!("303 https://x.org/{expected}{session}"));
    };
    check(
        "GET callback?state=s&code=c&iss=https%3A%2F%2Fx",
        "",
        &[("cookie", "__Host-undergird-browser=b")],
        "s/c/b/-/https://x/-",
    );
    check("GET callback?error=access_denied&state=s", "", &[], "s/-/-/access_denied/-/-");
    check("GET callback", "", &[], "-/-/-/-/-/-");
    check("GET callback?state=s&state=t&code=c", "", &[], "-/c/-/-/-/-");
    check("POST callback", "state=s&code=c&user=%7B%7D", &[FORM], "s/c/-/-/-/{}");
    check(
        "POST callback",
        "state=s&code=c",
        &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
        "s/c/-/-/-/-",
    );
    check("POST callback", "state=s&code=c", &[("content-type", "text/plain")], "-/-/-/-/-/-");
    check("POST callback?state=s&code=c", "", &[FORM], "-/-/-/-/-/-");
    let refused = |error: ProviderError, word: &str, code: &str| {
        let answer = ask(Err(error.into()), "GET callback?state=s", "", &[]);
        let location = answer.headers[LOCATION].to_str().unwrap();
        let (query, fragment) = location.split_once('?').unwrap().1.split_once('#').unwrap();
        assert_eq!(query, fragment);
        assert!(query.starts_with(&format!("error={word}&error_code={code}&error_description=")), "{query}");
    };
    refused(ProviderError::StateUnknown, "invalid_request", "bad_oauth_state");
    refused(ProviderError::StateMissing, "invalid_request", "bad_oauth_callback");
    refused(ProviderError::WrongIssuer, "invalid_request", "bad_oauth_callback");
    refused(ProviderError::Refused("login_required".into()), "login_required", "bad_oauth_callback");
    refused(ProviderError::Refused("<script>".into()), "access_denied", "bad_oauth_callback");
    refused(ProviderError::Unreachable("a secret thing".into()), "server_error", "unexpected_failure");
    refused(ProviderError::AddressUnverified, "access_denied", "provider_email_needs_verification");
}
