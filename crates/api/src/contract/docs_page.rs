//! The page at `/docs`: one HTML document with its style and its script inside, so that it is one request and needs no path of its own for
//! each. The policy in its header names both by their hashes; nothing else may run, and nothing may be loaded but from this server.
//!
//! Absent: the application. The page reads `/openapi.json` like any other client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use std::sync::OnceLock;

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page, ready to be sent.
#[derive(Clone, Debug)]
pub struct Page {
    /// `text/html`.
    pub html: String,
    /// For `Content-Security-Policy`.
    pub policy: String,
    /// Strong, with its quotes.
    pub etag: String,
}

/// The page. Made once: it is the same for every application.
pub fn page() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| {
        let html = HTML.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT);
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        let etag = format!("\"{}\"", hash(&html));
        Page { html, policy, etag }
    })
}

fn hash(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the policy's hashes stand for is in the page as it is, between its tags.
    #[test]
    fn the_page_is_whole_and_its_policy_fits() {
        let page = page();
        let between = |open: &str, close: &str| {
            let after = page.html.split_once(open).map(|(_, after)| after).unwrap_or_default();
            after.split_once(close).map(|(inside, _)| inside).unwrap_or_default().to_owned()
        };
        assert!(page.policy.contains(&hash(&between("<script>", "</script>"))));
        assert!(page.policy.contains(&hash(&between("<style>", "</style>"))));
        for inline in [" onclick=", " onload=", " style=", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!page.html.contains(inline), "{inline}");
        }
        for elsewhere in ["https://fonts", "cdn.", "src=\"http", "@import"] {
            assert!(!page.html.contains(elsewhere), "{elsewhere}");
        }
    }
}
