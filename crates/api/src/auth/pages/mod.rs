//! The sign-in pages, `/auth/ui`: plain HTML that works without any script, over the port [`undergird_engine::accounts`].
//!
//! An application sends a browser to `sign-in` with what it is to be sent back with (`redirect_to`, a challenge of PKCE, a state), and gets it
//! back with a code. Each page asks what the API would ask, by the same operations; no budget, check or record is here. Between two pages the
//! server holds what was proved ([`undergird_engine::accounts::Pages`]); the browser has a name of random bits for it, and no token ever.
//!
//! | file | what |
//! |---|---|
//! | `form.rs` | what comes in: query, form, cookie, and whether a form is ours |
//! | `steps.rs` | one function per page that does something |
//! | `view.rs` | how each page is written |
//! | `html.rs`, `texts.rs`, `style.css` | markup, words, looks |
//!
//! Deliberately absent: scripts, anything from elsewhere, tokens in URLs, a session of the pages' own that lasts.

mod form;
mod html;
mod steps;
mod texts;
mod view;

use super::Answer;
use super::error::Problem;
use form::{Asked, Fields};
use html::Html;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::net::IpAddr;
use texts::{ENGLISH, Texts};
use undergird_engine::accounts::{AccountError, Accounts, Errand, Secret, Visit};
use undergird_model::operation::{Page, PageOperation};
use undergird_model::settings::Settings;
use undergird_plan::caller::Moment;

/// What came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// Which page, and whether it was filled in.
    pub operation: PageOperation,
    /// `HEAD` changes nothing.
    pub method: &'a Method,
    /// The path, without its query.
    pub path: &'a str,
    /// What follows `?`, if anything.
    pub query: Option<&'a str>,
    /// All of them.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// The peer's address, as far as proxies are trusted.
    pub peer: Option<IpAddr>,
    /// The request's clock and dice.
    pub moment: Moment,
}

/// What the pages are dressed with, and whether there are any where the settings do not say.
#[derive(Clone, Debug, Default)]
pub struct Dress {
    /// Whether there are pages unless `[auth.ui] enabled` says.
    pub by_default: bool,
    /// The application's CSS.
    pub stylesheet: Option<Vec<u8>>,
    /// The application's picture, with its type.
    pub logo: Option<(&'static str, Vec<u8>)>,
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const BRIEFLY: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// Not `no-referrer`: with that, browsers say `Origin: null` of our own forms. What leaves this origin tells nothing either way.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
/// A picture that is opened by itself may be a document (SVG), in which nothing may run.
const PICTURE_ALONE: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox");
const STYLE: &str = include_str!("style.css");

/// Answers for one of the pages; `None` where there are none. Never fails: failures are pages.
pub async fn show(
    request: PageRequest<'_>,
    settings: &Settings,
    dress: &Dress,
    accounts: &dyn Accounts,
) -> Option<Answer> {
    if !is_on(settings, dress) {
        return None;
    }
    match request.operation {
        PageOperation::Style => Some(file(CSS, style(settings).into_bytes())),
        PageOperation::OwnStyle => dress.stylesheet.clone().map(|style| file(CSS, style)),
        PageOperation::Logo => dress.logo.clone().map(|(kind, picture)| {
            let mut answer = file(HeaderValue::from_static(kind), picture);
            answer.headers.insert(CONTENT_SECURITY_POLICY, PICTURE_ALONE);
            answer
        }),
        PageOperation::Show(page) => Some(Room::new(request, settings, dress, accounts).show(page).await),
        PageOperation::Send(page) => Some(Room::new(request, settings, dress, accounts).send(page).await),
    }
}

/// Whether there are pages.
pub fn is_on(settings: &Settings, dress: &Dress) -> bool {
    // They show no puzzle, and would be a way around it.
    settings.auth.captcha.is_none() && settings.auth.ui.enabled.unwrap_or(dress.by_default)
}

/// Where the pages are asked for a sign-in, of a request to `/auth/v1/authorize` for the provider `pages`.
pub fn sign_in_url(public: &str, query: &str) -> String {
    let query = Fields::read(query);
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for name in ["redirect_to", "code_challenge", "code_challenge_method", "state"] {
        if let Some(value) = query.get(name) {
            pairs.push((name, value));
        }
    }
    form::at(&format!("{public}/auth/ui/sign-in"), &form::encode(&pairs))
}

fn file(kind: HeaderValue, body: Vec<u8>) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind), (CACHE_CONTROL, BRIEFLY)]);
    Answer { status: StatusCode::OK, headers, body, cause: None }
}

/// Ours, with the application's colour. That it is one, the definition was checked for.
fn style(settings: &Settings) -> String {
    let Some(accent) = &settings.auth.ui.accent else { return STYLE.to_owned() };
    let channel = |at: usize| accent.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let [red, green, blue] = [1, 3, 5].map(|at| u32::from(channel(at)));
    // How bright it looks (ITU-R BT.601): dark letters stand on bright colours.
    let on = if red * 299 + green * 587 + blue * 114 > 150_000 { "#111" } else { "#fff" };
    format!("{STYLE}\n:root {{ --accent: {accent}; --on-accent: {on} }}\n")
}

/// A request on its way through a page.
struct Room<'a> {
    request: PageRequest<'a>,
    settings: &'a Settings,
    dress: &'a Dress,
    accounts: &'a dyn Accounts,
    texts: &'static Texts,
    public: String,
    query: Fields,
    /// What the browser was sent for.
    errand: Option<Errand>,
    /// By what the browser is known; new when it is not.
    browser: Secret,
    is_known: bool,
}

/// What a page looks like in the end.
struct Shown {
    status: StatusCode,
    title: &'static str,
    /// Something that went wrong.
    alert: Option<String>,
    retry_after: Option<HeaderValue>,
    /// For the log alone.
    cause: Option<String>,
}

impl Shown {
    fn well(title: &'static str) -> Shown {
        Shown { status: StatusCode::OK, title, alert: None, retry_after: None, cause: None }
    }

    fn wrong(status: StatusCode, title: &'static str, alert: impl Into<String>) -> Shown {
        Shown { status, alert: Some(alert.into()), ..Shown::well(title) }
    }

    /// The same page again, with what went wrong.
    fn failed(title: &'static str, error: &AccountError, texts: &Texts) -> Shown {
        let problem = Problem::from(error.clone());
        let mut headers = HeaderMap::new();
        problem.add_headers(&mut headers);
        let (status, alert) = texts::told(error, texts);
        // 401 asks for a header that no page has.
        let status = if status == StatusCode::UNAUTHORIZED { StatusCode::FORBIDDEN } else { status };
        let retry_after = headers.remove(RETRY_AFTER);
        Shown { retry_after, cause: problem.cause, ..Shown::wrong(status, title, alert) }
    }
}

impl<'a> Room<'a> {
    fn new(request: PageRequest<'a>, settings: &'a Settings, dress: &'a Dress, accounts: &'a dyn Accounts) -> Room<'a> {
        let public = accounts.public_url();
        let known = form::browser(&request, is_secure(&public));
        Room {
            request,
            settings,
            dress,
            accounts,
            texts: &ENGLISH,
            public,
            query: Fields::read(request.query.unwrap_or_default()),
            errand: None,
            is_known: known.is_some(),
            browser: known.unwrap_or_else(|| Secret::new("")),
        }
    }

    async fn show(mut self, page: Page) -> Answer {
        if page == Page::Continue && self.request.method == Method::HEAD {
            // What looks at links before people do must not use them up.
            return file(HTML, Vec::new());
        }
        if let Some(url) = self.elsewhere() {
            return self.go(&url);
        }
        if let Err(answer) = self.prepare(page) {
            return answer;
        }
        match page {
            Page::SignIn => self.sign_in(None, ""),
            Page::SignUp => self.sign_up(None, ""),
            Page::Mail => self.mail(None, ""),
            Page::Recover => self.recover(None, ""),
            Page::SecondFactor => self.show_second_factor().await,
            Page::NewPassword => self.show_new_password().await,
            Page::Continue => self.come_back().await,
            Page::Account => self.show_account().await,
            // There is no such operation.
            Page::Code | Page::SignOut => self.go("sign-in"),
        }
    }

    async fn send(mut self, page: Page) -> Answer {
        let (title, texts) = (self.texts.not_like_this, self.texts);
        if let Err(answer) = self.prepare(page) {
            return answer;
        }
        let Some(fields) = form::fields(&self.request) else {
            return self.message(Shown::wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, title, texts.not_a_form));
        };
        let browser = Some(&self.browser).filter(|_| self.is_known);
        if !form::is_ours(&self.request, &fields, browser, self.accounts) {
            return self.message(Shown::wrong(StatusCode::FORBIDDEN, title, texts.not_ours));
        }
        match page {
            Page::SignIn => self.send_sign_in(&fields).await,
            Page::SignUp => self.send_sign_up(&fields).await,
            Page::Mail => self.send_mail(&fields).await,
            Page::Recover => self.send_recover(&fields).await,
            Page::Code => self.send_code(&fields).await,
            Page::SecondFactor => self.send_second_factor(&fields).await,
            Page::NewPassword => self.send_new_password(&fields).await,
            Page::SignOut => self.send_sign_out().await,
            // There is no such operation.
            Page::Continue | Page::Account => self.go("sign-in"),
        }
    }

    /// Knows the browser, and what it was sent for; refuses what cannot be done before anything is asked.
    fn prepare(&mut self, page: Page) -> Result<(), Answer> {
        if !self.is_known {
            match self.accounts.new_browser() {
                Ok(browser) => self.browser = browser,
                Err(error) => return Err(self.message(Shown::failed(self.texts.not_like_this, &error, self.texts))),
            }
        }
        if matches!(page, Page::Account | Page::SignOut) {
            return Ok(());
        }
        let refused = match form::asked(&self.query, self.accounts) {
            Asked::Nothing => return Ok(()),
            Asked::For(errand) => {
                self.errand = Some(errand);
                return Ok(());
            }
            Asked::WithoutChallenge => self.texts.without_challenge,
            Asked::Refused => self.texts.not_allowed,
        };
        let title = self.texts.not_like_this;
        Err(self.message(Shown::wrong(StatusCode::BAD_REQUEST, title, refused)))
    }

    fn visit(&self) -> Visit {
        let agent = self.request.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        Visit { moment: self.request.moment, address: self.request.peer, user_agent: agent.map(str::to_owned) }
    }

    fn is_secure(&self) -> bool {
        is_secure(&self.public)
    }

    /// The query by which each page knows what the browser was sent for.
    fn carried(&self) -> String {
        form::query_of(self.errand.as_ref(), &[])
    }

    /// Where a mail or a provider leads back to.
    fn way_back(&self, more: &[(&str, &str)]) -> String {
        form::at(&format!("{}/auth/ui/continue", self.public), &form::query_of(self.errand.as_ref(), more))
    }

    /// Where a browser goes that asked by another name of this server (`localhost` for `127.0.0.1`): its cookie must be the one of the host to
    /// which providers and mails lead back. Once: a proxy may write another name into each request.
    fn elsewhere(&self) -> Option<String> {
        let host = self.request.headers.get(HOST)?.to_str().ok()?;
        if !is_another(host, &self.public) || self.query.get(form::HOP).is_some() {
            return None;
        }
        let page = self.request.path.rsplit('/').next().unwrap_or_default();
        let query = self.request.query.unwrap_or_default();
        let query = if query.is_empty() { format!("{}=1", form::HOP) } else { format!("{query}&{}=1", form::HOP) };
        Some(form::at(&format!("{}/auth/ui/{page}", self.public), &query))
    }

    /// Sends the browser on.
    fn go(&self, url: &str) -> Answer {
        let Ok(location) = HeaderValue::from_str(url) else {
            return self.message(Shown::wrong(
                StatusCode::BAD_REQUEST,
                self.texts.not_like_this,
                self.texts.not_allowed,
            ));
        };
        let mut headers = HeaderMap::from_iter([(LOCATION, location)]);
        guard(&mut headers, None);
        Answer { status: StatusCode::SEE_OTHER, headers, body: Vec::new(), cause: None }
    }

    /// The same, and from now on the browser is known by this.
    fn go_known(&self, url: &str, browser: &Secret) -> Answer {
        let mut answer = self.go(url);
        if let Some(cookie) = form::cookie(browser, self.is_secure()) {
            answer.headers.insert(SET_COOKIE, cookie);
        }
        answer
    }

    /// A page. Its forms may lead to us, and to where the browser was sent from.
    fn page(&self, shown: Shown, errand: Option<&Errand>, write: impl FnOnce(&mut Html)) -> Answer {
        let body = view::layout(self, &shown, write);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HTML)]);
        guard(&mut headers, errand.and_then(|errand| form::source(&errand.redirect_to)).as_deref());
        if let Some(retry_after) = shown.retry_after {
            headers.insert(RETRY_AFTER, retry_after);
        }
        if !self.is_known
            && !self.browser.expose().is_empty()
            && let Some(cookie) = form::cookie(&self.browser, self.is_secure())
        {
            headers.insert(SET_COOKIE, cookie);
        }
        Answer { status: shown.status, headers, body: body.into_bytes(), cause: shown.cause }
    }

    /// A page that only says something, with the ways on from there.
    fn message(&self, shown: Shown) -> Answer {
        self.page(shown, None, |html| view::ways_on(html, self))
    }

    /// What makes a form of this browser ours. Another each time, since answers are compressed, and what is compressed beside what a URL
    /// says is told by its length.
    fn form_token(&self) -> String {
        let salt = self.accounts.new_browser();
        salt.map(|salt| form::token(self.accounts, &self.browser, salt.expose())).unwrap_or_default()
    }

    /// Whether mails leave from here.
    fn has_mail(&self) -> bool {
        self.settings.mail.host.is_some() || self.accounts.inbox().is_some()
    }
}

/// What every answer of ours says to browsers. `leads_to`: where else a form of the page may end; Chromium holds redirects to it too.
fn guard(headers: &mut HeaderMap, leads_to: Option<&str>) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'{}{}; frame-ancestors 'none'; base-uri 'none'",
        if leads_to.is_some() { " " } else { "" },
        leads_to.unwrap_or_default(),
    );
    // Of letters, digits and dots alone; what could not be said is not allowed.
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let all: [(HeaderName, HeaderValue); 5] = [
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, REFERRER),
        (CACHE_CONTROL, NO_STORE),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    headers.extend(all);
}

fn is_secure(public: &str) -> bool {
    public.starts_with("https://")
}

/// Whether a request came by another name than the public one. Who listens on all addresses without saying by which it is reached has none.
fn is_another(host: &str, public: &str) -> bool {
    let public = name_of(public.split_once("://").map_or(public, |(_, authority)| authority));
    !matches!(public, "0.0.0.0" | "[::]") && !name_of(host).eq_ignore_ascii_case(public)
}

/// The host without its port: cookies know no ports.
fn name_of(authority: &str) -> &str {
    let authority = authority.split('/').next().unwrap_or_default();
    match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_server() {
        for (host, public, expected) in [
            ("localhost:8090", "http://127.0.0.1:8090", true),
            ("127.0.0.1:9", "http://127.0.0.1:8090", false),
            ("Blog.Example.org", "https://blog.example.org/api", false),
            ("[::1]:8090", "http://[::1]:8090", false),
            ("192.0.2.7:8090", "http://0.0.0.0:8090", false),
            ("blog.example.org.evil.example", "https://blog.example.org", true),
        ] {
            assert_eq!(is_another(host, public), expected, "{host} {public}");
        }
    }
}
