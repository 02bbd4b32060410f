//! What mails say: a text for each, which an application may replace by files of its own (`mail/NAME.txt`, `mail/NAME.html`).
//!
//! A text begins with `Subject: …` and an empty line. `{{ name }}` stands for a value; there are no conditions and no loops, so a
//! template cannot do anything, and what is wrong with it is found when it is read. The HTML is made from the text unless the application has
//! its own: paragraphs, a line that is the link alone becomes a button, one that is the code alone is set large. Values are
//! escaped in HTML.

use super::MailKind;
use std::fmt;
use undergird_engine::accounts::LinkKind;
use undergird_model::diagnostic::nearest;

/// Greatest template.
const BYTES_MAX: usize = 256 * 1024;

/// What may stand between braces.
const NAMES: [&str; 10] =
    ["app", "email", "link", "code", "token_hash", "minutes", "site_url", "redirect_to", "method", "new_email"];

/// The values of one mail.
pub(super) struct Values<'a> {
    pub(super) app: &'a str,
    pub(super) email: &'a str,
    pub(super) link: &'a str,
    pub(super) code: &'a str,
    pub(super) token_hash: &'a str,
    pub(super) minutes: u32,
    pub(super) site_url: &'a str,
    pub(super) redirect_to: &'a str,
    /// Of a notice.
    pub(super) method: &'a str,
    /// Of a change of address.
    pub(super) new_email: &'a str,
}

impl Values<'_> {
    fn of(&self, name: usize) -> String {
        match NAMES.get(name).copied().unwrap_or_default() {
            "app" => self.app.into(),
            "email" => self.email.into(),
            "link" => self.link.into(),
            "code" => self.code.into(),
            "token_hash" => self.token_hash.into(),
            "minutes" => self.minutes.to_string(),
            "site_url" => self.site_url.into(),
            "redirect_to" => self.redirect_to.into(),
            "method" => self.method.into(),
            _ => self.new_email.into(),
        }
    }
}

/// A mail in words.
pub(super) struct Filled {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// A part of a template.
#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// The position in [`NAMES`].
    Value(usize),
}

#[derive(Clone, Debug)]
struct Template {
    subject: Vec<Part>,
    text: Vec<Part>,
    html: Option<Vec<Part>>,
}

/// The words of all mails.
#[derive(Clone, Debug)]
pub struct Templates(Vec<(MailKind, Template)>);

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateMistake {
    /// `mail/recovery.txt`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// A sentence.
    pub message: String,
}

impl fmt::Display for TemplateMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl Default for Templates {
    fn default() -> Templates {
        // The built-in texts are tested to be without mistakes; one that had some would be left out, and its mail empty.
        let all = MailKind::ALL.into_iter().filter_map(|kind| {
            let (subject, text) = read_text(built_in(kind), &mut Vec::new())?;
            Some((kind, Template { subject, text, html: None }))
        });
        Templates(all.collect())
    }
}

impl Templates {
    /// The usual words, with those of an application's files (`recovery.txt` and its content) in their place.
    ///
    /// # Errors
    /// All mistakes in them.
    pub fn with(files: &[(String, String)]) -> Result<Templates, Vec<TemplateMistake>> {
        let mut templates = Templates::default();
        let mut mistakes = Vec::new();
        for (name, content) in files {
            let file = format!("mail/{name}");
            let mut fault = |line: usize, message: String| {
                mistakes.push(TemplateMistake { file: file.clone(), line, message });
            };
            let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
            let known = templates.0.iter_mut().find(|(kind, _)| kind.name() == stem);
            let Some((_, template)) = known.filter(|_| matches!(ending, "txt" | "html")) else {
                let names: Vec<String> = MailKind::ALL
                    .iter()
                    .flat_map(|kind| [format!("{}.txt", kind.name()), format!("{}.html", kind.name())])
                    .collect();
                let near = nearest(name, names.iter().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
                fault(1, format!("there is no such mail{hint}"));
                continue;
            };
            if content.len() > BYTES_MAX {
                fault(1, format!("it is larger than {BYTES_MAX} bytes"));
                continue;
            }
            let mut found = Vec::new();
            if ending == "html" {
                template.html = Some(parts(content, 1, &mut found));
            } else if let Some((subject, text)) = read_text(content, &mut found) {
                (template.subject, template.text) = (subject, text);
            }
            found.into_iter().for_each(|(line, message)| fault(line, message));
        }
        if mistakes.is_empty() { Ok(templates) } else { Err(mistakes) }
    }

    pub(super) fn fill(&self, kind: MailKind, values: &Values<'_>) -> Filled {
        let found = self.0.iter().find(|(known, _)| *known == kind);
        let Some((_, template)) = found else {
            return Filled { subject: String::new(), text: String::new(), html: String::new() };
        };
        let text = fill(&template.text, values, |value| value.to_owned());
        let html = match &template.html {
            Some(html) => fill(html, values, escape),
            None => html_of(&text, values),
        };
        // One line, whatever the application's name is.
        let subject = fill(&template.subject, values, |value| value.replace(char::is_control, " "));
        Filled { subject, text, html }
    }
}

fn fill(parts: &[Part], values: &Values<'_>, write: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Value(name) => out.push_str(&write(&values.of(*name))),
        }
    }
    out
}

/// `Subject: …`, an empty line, the text.
fn read_text(content: &str, mistakes: &mut Vec<(usize, String)>) -> Option<(Vec<Part>, Vec<Part>)> {
    let content = content.replace("\r\n", "\n");
    let (first, rest) = content.split_once('\n').unwrap_or((&content, ""));
    let Some(subject) = first.strip_prefix("Subject:").map(str::trim).filter(|subject| !subject.is_empty()) else {
        mistakes.push((1, "the first line must be the subject, like \"Subject: Welcome to {{ app }}\"".into()));
        return None;
    };
    let (begin, text) = match rest.strip_prefix('\n') {
        Some(text) => (3, text),
        None => (2, rest),
    };
    if let Some(secret) = ["code", "token_hash", "link"].iter().find(|name| mentions(subject, name)) {
        // Subjects are shown on locked screens and kept in logs.
        mistakes.push((1, format!("the subject may not tell \"{secret}\"")));
    }
    Some((parts(subject, 1, mistakes), parts(text, begin, mistakes)))
}

fn mentions(text: &str, name: &str) -> bool {
    text.split("{{").skip(1).any(|after| after.split("}}").next().is_some_and(|inside| inside.trim() == name))
}

fn parts(content: &str, mut line: usize, mistakes: &mut Vec<(usize, String)>) -> Vec<Part> {
    let mut all = Vec::new();
    let mut rest = content;
    while let Some((before, after)) = rest.split_once("{{") {
        line += before.matches('\n').count();
        all.push(Part::Text(before.to_owned()));
        let Some((name, behind)) = after.split_once("}}") else {
            mistakes.push((line, "\"{{\" without \"}}\"".into()));
            return all;
        };
        let name = name.trim();
        match NAMES.iter().position(|known| *known == name) {
            Some(position) => all.push(Part::Value(position)),
            None => {
                let near = nearest(name, NAMES.iter().copied());
                let hint = match near {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("there are {}", NAMES.join(", ")),
                };
                mistakes.push((line, format!("there is no value \"{name}\"; {hint}")));
            }
        }
        rest = behind;
    }
    all.push(Part::Text(rest.to_owned()));
    all
}

/// HTML that says what a text says.
fn html_of(text: &str, values: &Values<'_>) -> String {
    let mut body = String::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let inside = match paragraph {
            link if link == values.link => format!(
                "<a href=\"{0}\" style=\"display:inline-block;padding:10px 18px;border-radius:6px;background:#1f4fd8;color:#fff;text-decoration:none\">{1}</a>",
                escape(link),
                escape(values.app),
            ),
            code if !code.is_empty() && code == values.code => {
                format!("<strong style=\"font-size:28px;letter-spacing:4px\">{}</strong>", escape(code))
            }
            other => escape(other).replace('\n', "<br>"),
        };
        body.push_str(&format!("<p>{inside}</p>\n"));
    }
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"></head>\n<body style=\"font-family:sans-serif;line-height:1.5;max-width:36em;margin:2em auto\">\n{body}</body></html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn built_in(kind: MailKind) -> &'static str {
    match kind {
        MailKind::Link(LinkKind::Confirmation) => include_str!("texts/confirmation.txt"),
        MailKind::Link(LinkKind::MagicLink) => include_str!("texts/magic_link.txt"),
        MailKind::Link(LinkKind::Recovery) => include_str!("texts/recovery.txt"),
        MailKind::Link(LinkKind::Invite) => include_str!("texts/invite.txt"),
        MailKind::Link(LinkKind::EmailChange) => include_str!("texts/email_change.txt"),
        MailKind::Link(LinkKind::EmailChangeCurrent) => include_str!("texts/email_change_current.txt"),
        MailKind::Link(LinkKind::Reauthentication) => include_str!("texts/reauthentication.txt"),
        MailKind::AccountExists => include_str!("texts/account_exists.txt"),
        MailKind::EmailChanged => include_str!("texts/email_changed.txt"),
        MailKind::PasswordChanged => include_str!("texts/password_changed.txt"),
        MailKind::FactorAdded => include_str!("texts/mfa_factor_enrolled.txt"),
        MailKind::FactorRemoved => include_str!("texts/mfa_factor_unenrolled.txt"),
        MailKind::PasskeyAdded => include_str!("texts/passkey_added.txt"),
        MailKind::PasskeyRemoved => include_str!("texts/passkey_removed.txt"),
        MailKind::RecoveryCodeUsed => include_str!("texts/recovery_code_used.txt"),
        MailKind::IdentityLinked => include_str!("texts/identity_linked.txt"),
        MailKind::IdentityUnlinked => include_str!("texts/identity_unlinked.txt"),
    }
}
