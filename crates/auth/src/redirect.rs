//! Where a link leads in the end: what the client asked for when that is allowed, and the site otherwise. Nothing here comes from a
//! request's headers.

use crate::core::Core;
use undergird_engine::accounts::{LinkKind, Secret};
use undergird_model::redirects;

impl Core {
    /// The site's own URL.
    pub(crate) fn site_url(&self) -> String {
        let app = self.engine.app();
        app.model().settings.auth.site_url.clone().unwrap_or_else(|| self.public_url.clone())
    }

    /// What was asked for, if browsers may be sent there: anywhere on the site's own origin, or where `[auth] redirect_urls` says.
    pub(crate) fn allowed(&self, asked: Option<&str>) -> Option<String> {
        let asked = asked.filter(|asked| !asked.is_empty())?;
        let app = self.engine.app();
        let site = format!("{}/**", origin(&self.site_url()));
        let patterns = &app.model().settings.auth.redirect_urls;
        // The sign-in pages' own: what comes back there is of use to the browser alone that left from there.
        let pages = format!("{}/auth/ui/continue/**", self.public_url);
        let fits = patterns.iter().chain([&site, &pages]).any(|pattern| redirects::fits(pattern, asked));
        fits.then(|| asked.to_owned())
    }

    /// The link of a mail.
    pub(crate) fn link(&self, kind: LinkKind, token: &Secret, redirect_to: &str) -> String {
        let (url, token) = (&self.public_url, token.expose());
        format!("{url}/auth/v1/verify?token={token}&type={}&redirect_to={}", kind.told(), encode(redirect_to))
    }
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |end| &url[..host + end])
}

/// As the value of a query's member: everything but RFC 3986's unreserved characters is encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => out.push(char::from(byte)),
            false => {
                let digit = |number: u8| char::from(b"0123456789ABCDEF"[usize::from(number & 15)]);
                out.extend(['%', digit(byte >> 4), digit(byte)]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_encodings() {
        assert_eq!(origin("https://a.org:8443/x?y=https://b.org"), "https://a.org:8443");
        assert_eq!(origin("https://a.org"), "https://a.org");
        assert_eq!(encode("https://a.org/x?y=ü&z#w"), "https%3A%2F%2Fa.org%2Fx%3Fy%3D%C3%BC%26z%23w");
    }
}
