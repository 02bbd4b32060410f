//! What a browser sends: the query that says what it was sent for, the fields of a form, what it is known by; and whether a form is one of ours.
//!
//! A form is ours when it comes from a page of ours (`Sec-Fetch-Site`, `Origin`, where browsers say so), and has in it what was made for this
//! browser alone, known by a cookie of this host alone. Who has neither the key nor the cookie can make no such form.

use super::PageRequest;
use http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use http::{HeaderName, HeaderValue};
use std::fmt::Write as _;
use undergird_engine::accounts::{Accounts, Errand, PageSecret, Secret};

/// Most fields of a form, and members of a query.
const FIELDS_MAX: usize = 40;
/// The field that makes a form ours.
pub(super) const TOKEN: &str = "form_token";
/// With the prefix browsers take it over https alone, for this host alone.
const COOKIE_SECURE: &str = "__Host-undergird-page";
/// Its name in the clear, which there is in development alone.
const COOKIE_PLAIN: &str = "undergird-page";
/// As long as the mails that were asked for from here are good.
const COOKIE_SECONDS: u32 = 3_600;
/// Says that the browser was sent to the public host already.
pub(super) const HOP: &str = "hop";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Fields by name. One that is there twice is not there: which of the two would count is a question for an attacker.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a query or a form's body; what is not UTF-8, or holds U+0000, is left out.
    pub(super) fn read(text: &str) -> Fields {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_encoding::percent_decode_str(&text).decode_utf8().ok()?;
            (!decoded.contains('\0')).then(|| decoded.into_owned())
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX);
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Fields(pairs.filter_map(|(name, value)| Some((decode(name)?, decode(value)?))).collect())
    }

    /// A field that is filled in.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        match (all.next(), all.next()) {
            (Some(value), None) if !value.is_empty() => Some(value),
            _ => None,
        }
    }

    /// The same, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A field that is not shown again.
    pub(super) fn secret(&self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }
}

/// The fields of a form, if the body is one.
pub(super) fn fields(request: &PageRequest<'_>) -> Option<Fields> {
    let kind = request.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_form = kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    std::str::from_utf8(request.body).ok().filter(|_| is_form).map(Fields::read)
}

/// Whether a form is one that this browser got from us.
pub(super) fn is_ours(
    request: &PageRequest<'_>,
    fields: &Fields,
    browser: Option<&Secret>,
    accounts: &dyn Accounts,
) -> bool {
    let (Some(browser), Some(token)) = (browser, fields.get(TOKEN)) else { return false };
    let (salt, _) = token.split_once('.').unwrap_or_default();
    let expected = self::token(accounts, browser, salt);
    same_site(request, &accounts.public_url()) && is_same(token.as_bytes(), expected.as_bytes())
}

/// What stands in a form: some salt, and what only we can make of it and of what the browser is known by.
pub(super) fn token(accounts: &dyn Accounts, browser: &Secret, salt: &str) -> String {
    let salted = Secret::new(format!("{}.{salt}", browser.expose()));
    format!("{salt}.{}", accounts.page_secret(PageSecret::Form, &salted).expose())
}

/// Compares to the end, whatever differs.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

/// Whether the form comes from a page of this origin, as far as the browser says.
fn same_site(request: &PageRequest<'_>, public: &str) -> bool {
    let text = |name: &HeaderName| request.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // `none`: the user's own doing, as reloading a page that came after a restart.
    if !matches!(text(&SEC_FETCH_SITE), None | Some("same-origin" | "none")) {
        return false;
    }
    let Some(origin) = text(&ORIGIN) else { return true };
    let public_origin = public.find("://").map(|at| {
        let end = public[at + 3..].find('/').map_or(public.len(), |end| at + 3 + end);
        &public[..end]
    });
    let host = text(&HOST);
    let is_host = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    Some(origin) == public_origin || is_host
}

/// By what the browser is known. Over https by the cookie with the prefix alone: the other could be another host's of the domain.
pub(super) fn browser(request: &PageRequest<'_>, secure: bool) -> Option<Secret> {
    let all = request.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut all = all.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
    let wanted = if secure { COOKIE_SECURE } else { COOKIE_PLAIN };
    let (_, value) = all.find(|(name, _)| *name == wanted)?;
    let is_one = value.len() == 43 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    is_one.then(|| Secret::new(value))
}

/// Has the browser be known by this. `Lax`: it must be sent along when a provider or a mail leads back here.
pub(super) fn cookie(browser: &Secret, secure: bool) -> Option<HeaderValue> {
    let (name, more) = if secure { (COOKIE_SECURE, "; Secure") } else { (COOKIE_PLAIN, "") };
    let cookie = format!("{name}={}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly{more}; SameSite=Lax", browser.expose());
    HeaderValue::from_str(&cookie).ok()
}

/// What the browser was sent for.
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// This, which can be done.
    For(Errand),
    /// Something without PKCE.
    WithoutChallenge,
    /// Something that cannot be done.
    Refused,
}

/// What the query says that the browser was sent for.
pub(super) fn asked(query: &Fields, accounts: &dyn Accounts) -> Asked {
    let Some(redirect_to) = query.get("redirect_to") else { return Asked::Nothing };
    let method = query.text("code_challenge_method");
    let (Some(challenge), true) = (query.get("code_challenge"), method.eq_ignore_ascii_case("s256")) else {
        return Asked::WithoutChallenge;
    };
    let errand = Errand {
        redirect_to: redirect_to.to_owned(),
        challenge: challenge.to_owned(),
        state: query.get("state").map(str::to_owned),
    };
    let source = source(&errand.redirect_to);
    match accounts.check_errand(&errand) {
        Ok(()) if source.is_some() => Asked::For(errand),
        _ => Asked::Refused,
    }
}

/// Where a form may lead, as a Content Security Policy names it: an origin, or the scheme of an app. None: it has no name there.
pub(super) fn source(redirect_to: &str) -> Option<String> {
    let (scheme, rest) = redirect_to.split_once("://")?;
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        return is_scheme.then(|| format!("{scheme}:"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte));
    is_plain.then(|| format!("{scheme}://{authority}"))
}

/// An errand as the query of a page.
pub(super) fn query_of(errand: Option<&Errand>, more: &[(&str, &str)]) -> String {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    if let Some(errand) = errand {
        pairs.push(("redirect_to", &errand.redirect_to));
        pairs.push(("code_challenge", &errand.challenge));
        pairs.push(("code_challenge_method", "s256"));
        if let Some(state) = &errand.state {
            pairs.push(("state", state));
        }
    }
    pairs.extend_from_slice(more);
    encode(&pairs)
}

/// A page's own address, relative to the others, with a query.
pub(super) fn at(page: &str, query: &str) -> String {
    if query.is_empty() { page.to_owned() } else { format!("{page}?{query}") }
}

/// Members of a query: everything but RFC 3986's unreserved characters is encoded.
pub(super) fn encode(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (position, (name, value)) in pairs.iter().enumerate() {
        out.push_str(if position == 0 { "" } else { "&" });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
                // Writing to a String does not fail.
                _ => _ = write!(out, "%{byte:02X}"),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_there_twice_is_not_there() {
        let fields = Fields::read("a=b+c%26&d=1&d=2&e=&f=%FF&g=%00&h");
        let all = ["a", "d", "e", "f", "g", "h"].map(|name| fields.get(name));
        assert_eq!(all, [Some("b c&"), None, None, None, None, None]);
    }

    #[test]
    fn where_forms_may_lead() {
        for (url, expected) in [
            ("https://app.example.org:8443/x?y", Some("https://app.example.org:8443")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("com.example.app://callback", Some("com.example.app:")),
            ("https://a.org;script-src/x", None),
            ("https://a.org,b.org", None),
            ("https://a.org'x", None),
        ] {
            assert_eq!(source(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn cookies_are_of_this_host_alone() {
        let text = |secure| cookie(&Secret::new("abc"), secure).map(|value| value.to_str().unwrap_or("").to_owned());
        assert_eq!(
            text(true).as_deref(),
            Some("__Host-undergird-page=abc; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax")
        );
        assert_eq!(text(false).as_deref(), Some("undergird-page=abc; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"));
    }
}
