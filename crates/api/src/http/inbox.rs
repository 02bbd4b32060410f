//! `/_/inbox`: the mails of `dev` without a mail server. What they hold signs people in, so the page is shown to this machine alone, and to
//! no page of another origin: not by CORS, not by a name that was pointed here.

use super::answer::Answer;
use super::fault::Fault;
use super::pipeline::Exchange;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value as Json, json};
use undergird_engine::accounts::InboxMail;
use undergird_model::Value;
use undergird_model::field_type::wire;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const STYLE_ONLY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// # Errors
/// 404 where there is no inbox, and for whoever is not on this machine.
pub(super) fn show(exchange: &Exchange<'_>) -> Result<Answer, Fault> {
    let mails = exchange.accounts.inbox().filter(|_| is_local(exchange)).ok_or(Fault::NotFound)?;
    let answer = match exchange.header(&ACCEPT).is_some_and(|accept| accept.starts_with("application/json")) {
        true => Answer::json(StatusCode::OK, &mails.iter().map(as_json).collect()),
        false => Answer::new(StatusCode::OK, HTML, page(&mails)).with_header(CONTENT_SECURITY_POLICY, STYLE_ONLY),
    };
    Ok(answer.with_header(CACHE_CONTROL, NO_STORE))
}

fn is_local(exchange: &Exchange<'_>) -> bool {
    let host = exchange.header(&HOST).or_else(|| exchange.head.uri.host()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_here = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    let is_foreign = exchange.header(&SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    // A tunnel to here speaks from here, and may say any `Host`; what it adds gives it away.
    let is_passed_on = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"]
        .iter()
        .any(|name| exchange.head.headers.contains_key(*name));
    exchange.peer.is_loopback()
        && !is_passed_on
        && is_here
        && !is_foreign
        && !exchange.head.headers.contains_key(ORIGIN)
}

fn as_json(mail: &InboxMail) -> Json {
    json!({
        "id": mail.id, "at": wire::to_text(&Value::Timestamp(mail.at)), "to": mail.to, "subject": mail.subject,
        "text": mail.text, "html": mail.html,
    })
}

fn page(mails: &[InboxMail]) -> String {
    let mut list = String::new();
    for mail in mails {
        let at = wire::to_text(&Value::Timestamp(mail.at));
        list.push_str(&format!(
            "<article><h2>{}</h2><p>to <b>{}</b>, {}</p><pre>{}</pre></article>\n",
            escape(&mail.subject),
            escape(&mail.to),
            escape(&at),
            linked(&mail.text),
        ));
    }
    if mails.is_empty() {
        list.push_str("<p>No mails yet. What the application sends is shown here while no mail server is set up.</p>");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Inbox</title><style>\
         body{{font-family:sans-serif;max-width:48em;margin:2em auto;padding:0 1em;line-height:1.4}}\
         article{{border-top:1px solid #bbb;padding:1em 0}}h2{{margin:0;font-size:1.1em}}\
         pre{{white-space:pre-wrap;overflow-wrap:anywhere}}</style></head><body><h1>Inbox</h1>\n{list}</body></html>\n"
    )
}

/// Lines that are a link alone can be followed.
fn linked(text: &str) -> String {
    let lines = text.lines().map(|line| match line.starts_with("http://") || line.starts_with("https://") {
        true => format!("<a href=\"{0}\">{0}</a>", escape(line)),
        false => escape(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mail_says_stays_text() {
        let mail = InboxMail {
            id: "1".into(),
            at: 0,
            to: "<b>@x.org".into(),
            subject: "<script>alert(1)</script>".into(),
            text: "a <i>\nhttps://x.org/?a=\"><script>".into(),
            html: String::new(),
        };
        let page = page(&[mail]);
        assert!(!page.contains("<script>") && !page.contains("<i>") && !page.contains("<b>@"));
        assert!(page.contains("<a href=\"https://x.org/?a=&quot;&gt;&lt;script&gt;\">"));
    }
}
