//! Where a browser may be sent with a session in its hands: the patterns of `[auth] redirect_urls`, and URLs held to them.
//!
//! A pattern is a URL. A `*` in it stands for any run of characters within one part (no `.`, `/`, `:`, `?`, `#`, `@`), and a last `/**`
//! for everything below. So no pattern reaches another host by accident: what decides where a URL leads is never covered by `**`.
//!
//! Absent: choosing between what was asked for and the site's own URL (`auth::redirect`).

/// Longest URL that is sent anywhere.
const CHARS_MAX: usize = 2_048;

/// Whether this is an absolute URL that a browser or an app can be sent to: of visible ASCII, a scheme that runs nothing, a host (or, for an
/// app's own scheme, anything), no user name in it, and no backslash, which browsers take for a slash.
pub fn is_target(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let is_visible = |byte: u8| (0x21..0x7f).contains(&byte) && !b"\\<>\"`{}^|".contains(&byte);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    url.len() <= CHARS_MAX && is_scheme(scheme) && rest.bytes().all(is_visible) && is_authority(scheme, authority)
}

/// What is wrong with a pattern, as the rest of a sentence about it.
///
/// # Errors
/// The sentence.
pub fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    let body = pattern.strip_suffix("/**").unwrap_or(pattern);
    if body.contains("**") {
        return Err("has \"**\" elsewhere than as its last part");
    }
    let Some((scheme, rest)) = body.split_once("://") else { return Err("is not an absolute URL") };
    if scheme.contains('*') {
        return Err("leaves the scheme open");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if matches!(scheme, "http" | "https") {
        // `https://*`, `https://*.org`: whole top-level domains are nobody's own.
        let name = host.split(':').next().unwrap_or_default();
        if name.contains('*') && name.rsplit('.').take_while(|label| !label.contains('*')).count() < 2 {
            return Err("leaves the host open");
        }
    }
    if !is_target(&body.replace('*', "x")) {
        return Err("is not an absolute URL");
    }
    Ok(())
}

/// Whether a URL fits a pattern. Both are compared as they are written; the scheme and the host's letters count as small ones.
pub fn fits(pattern: &str, url: &str) -> bool {
    if !is_target(url) {
        return false;
    }
    let (pattern, url) = (folded(pattern), folded(url));
    match pattern.strip_suffix("/**") {
        // `/a/../b` is below `/b` for a browser, whatever the text says.
        Some(above) if above.contains("://") => (0..=url.len()).filter(|at| url.is_char_boundary(*at)).any(|at| {
            let (head, tail) = url.split_at(at);
            (tail.is_empty() || tail.starts_with(['/', '?', '#'])) && !climbs(tail) && matches(above, head)
        }),
        _ => matches(&pattern, &url),
    }
}

/// Whether a path has a step upwards in it, however it is written.
fn climbs(tail: &str) -> bool {
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|step| matches!(step.to_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}

fn is_scheme(scheme: &str) -> bool {
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let runs = ["javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"];
    is_scheme && !runs.contains(&scheme.to_ascii_lowercase().as_str())
}

fn is_authority(scheme: &str, authority: &str) -> bool {
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    !authority.contains('@') && (!is_web || !authority.is_empty() && !authority.starts_with(':'))
}

/// Scheme and host in small letters.
fn folded(url: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    format!("{}{}", url[..end].to_ascii_lowercase(), &url[end..])
}

/// A `*` takes any run of characters within a part.
fn matches(pattern: &str, text: &str) -> bool {
    // The classic two-pointer walk: linear but for the last star, so no pattern is slow.
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position, mut star, mut retry) = (0, 0, None, 0);
    while position < text.len() {
        if at < pattern.len() && pattern[at] == b'*' {
            star = Some(at);
            retry = position;
            at += 1;
        } else if at < pattern.len() && pattern[at] == text[position] {
            at += 1;
            position += 1;
        } else if let Some(last) = star {
            if b"./:?#@".contains(&text[retry]) {
                return false;
            }
            retry += 1;
            position = retry;
            at = last + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fit_their_patterns_and_no_others() {
        for (pattern, url, expected) in [
            ("https://a.org", "https://a.org", true),
            ("https://a.org", "https://a.org/", false),
            ("https://a.org", "https://a.org.evil.net", false),
            ("https://A.org/x", "HTTPS://a.ORG/x", true),
            ("https://a.org/x", "https://a.org/X", false),
            ("https://a.org/**", "https://a.org", true),
            ("https://a.org/**", "https://a.org/", true),
            ("https://a.org/**", "https://a.org/b/c.html?d=e#f", true),
            ("https://a.org/**", "https://a.org?d=e", true),
            ("https://a.org/**", "https://a.org.evil.net/", false),
            ("https://a.org/**", "https://a.org:8443/", false),
            ("https://a.org/**", "https://a.org@evil.net/", false),
            ("https://a.org/**", "https://evil.net/https://a.org/", false),
            ("https://a.org/app/**", "https://a.org/app/../admin", false),
            ("https://a.org/app/**", "https://a.org/app/%2E%2e/admin", false),
            ("https://a.org/app/**", "https://a.org/application", false),
            ("https://*.a.org/**", "https://b.a.org/x", true),
            ("https://*.a.org/**", "https://b.c.a.org/x", false),
            ("https://*.a.org/**", "https://evil.net/.a.org/x", false),
            ("https://*.a.org/**", "https://evil.net?.a.org/x", false),
            ("https://*.a.org/**", "https://evil.net#.a.org/x", false),
            ("https://*.a.org/**", "https://evil.net\\.a.org/x", false),
            ("https://app-*.a.org/x/*", "https://app-7.a.org/x/1", true),
            ("https://app-*.a.org/x/*", "https://app-7.a.org/x/1/2", false),
            ("http://localhost:*/**", "http://localhost:3000/a", true),
            ("http://localhost:*/**", "http://localhost:3000@evil.net/a", false),
            ("com.example.app://callback", "com.example.app://callback", true),
            ("https://a.org/**", "https://a.org/\r\nSet-Cookie: a=b", false),
            ("https://a.org/**", "//a.org/", false),
            ("https://a.org/**", "/x", false),
            ("https://a.org/**", "javascript://a.org/%0aalert(1)", false),
        ] {
            assert_eq!(fits(pattern, url), expected, "{pattern} {url}");
        }
        let long = format!("https://a.org/{}", "x".repeat(3_000));
        assert!(!fits("https://a.org/**", &long));
    }

    #[test]
    fn patterns_that_reach_too_far_are_refused() {
        for (pattern, verdict) in [
            ("https://a.org/**", Ok(())),
            ("https://*.a.org/**", Ok(())),
            ("http://localhost:*/**", Ok(())),
            ("http://localhost:3000/**", Ok(())),
            ("com.example.app://callback", Ok(())),
            ("https://a.org**", Err("has \"**\" elsewhere than as its last part")),
            ("https://**/x", Err("has \"**\" elsewhere than as its last part")),
            ("https://*", Err("leaves the host open")),
            ("https://*.org/**", Err("leaves the host open")),
            ("com.example.app://**", Err("is not an absolute URL")),
            ("*://a.org", Err("leaves the scheme open")),
            ("javascript://a.org", Err("is not an absolute URL")),
            ("/welcome", Err("is not an absolute URL")),
            ("https://u@a.org", Err("is not an absolute URL")),
        ] {
            assert_eq!(check_pattern(pattern), verdict, "{pattern}");
        }
    }
}
