//! `[auth.ui]` → [`crate::settings::Ui`]: files are named inside the application, the colour is one, and nobody is sent where browsers may not go.
//!
//! Absent: reading the files (the server does), and the pages (`api::pages`).

use super::report::{Place, Report, codes};
use super::tree::Table;
use crate::redirects;
use crate::settings::Settings;

/// Longest title.
const TITLE_CHARS_MAX: usize = 80;
/// What a picture may be.
pub(super) const PICTURES: [&str; 5] = ["svg", "png", "jpg", "jpeg", "webp"];

pub(super) fn read(table: &Table, settings: &mut Settings, report: &mut Report) {
    let mut ui = std::mem::take(&mut settings.auth.ui);
    ui.enabled = table.bool("enabled");
    if let Some((title, place)) = table.text("title") {
        if title.trim().is_empty() || title.chars().count() > TITLE_CHARS_MAX {
            let told = format!("\"title\" is empty, or longer than {TITLE_CHARS_MAX} characters");
            report.error(place, codes::BAD_VALUE, told);
        }
        ui.title = Some(title.trim().to_owned());
    }
    if let Some((accent, place)) = table.text("accent") {
        if !is_colour(accent) {
            report
                .error(place, codes::BAD_VALUE, "\"accent\" is not a colour")
                .hint("write it as six hexadecimal digits, like \"#1f6f5c\"");
        }
        ui.accent = Some(accent.to_owned());
    }
    ui.logo = file(table.text("logo"), "logo", &PICTURES, report);
    ui.stylesheet = file(table.text("stylesheet"), "stylesheet", &["css"], report);
    if let Some((url, place)) = table.text("return_to") {
        if !is_allowed(url, settings) {
            report
                .error(place, codes::BAD_VALUE, "\"return_to\" is not a URL to which browsers may be sent")
                .hint("it must be on the origin of \"site_url\", or fit one of \"redirect_urls\"");
        }
        ui.return_to = Some(url.to_owned());
    }
    settings.auth.ui = ui;
}

/// A file inside the application's directory.
fn file(named: Option<(&str, Place)>, key: &str, endings: &[&str], report: &mut Report) -> Option<String> {
    let (path, place) = named?;
    let is_step =
        |step: &str| !step.is_empty() && !step.starts_with('.') && !step.contains(['\\', ':', '\0', '*', '?']);
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    if !path.split('/').all(is_step) || !ending.is_some_and(|ending| endings.contains(&ending.as_str())) {
        let all: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
        report
            .error(place, codes::BAD_VALUE, format!("\"{key}\" is not a file of the application ({})", all.join(", ")))
            .hint(format!("name it from the application's directory, like \"pages/{key}.{}\"", endings[0]));
    }
    Some(path.to_owned())
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// As `auth` decides it for a browser that is there.
fn is_allowed(url: &str, settings: &Settings) -> bool {
    let site = settings.auth.site_url.as_ref().or(settings.server.public_url.as_ref());
    let site = site.map(|site| {
        let host = site.find("://").map_or(0, |at| at + 3);
        let end = site[host..].find(['/', '?', '#']).map_or(site.len(), |end| host + end);
        format!("{}/**", &site[..end])
    });
    settings.auth.redirect_urls.iter().chain(&site).any(|pattern| redirects::fits(pattern, url))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::Source;

    fn check(ui: &str) -> Vec<String> {
        let text = format!("[auth]\nredirect_urls = [\"https://app.example.org/**\"]\n[auth.ui]\n{ui}");
        let source = Source { name: "undergird.toml".into(), text: text.into() };
        let (_, diagnostics) = crate::definition::check(&[source], &[]);
        diagnostics.iter().map(|diagnostic| diagnostic.message.clone()).collect()
    }

    #[test]
    fn what_is_said_of_the_pages_is_held_to() {
        let none: [&str; 0] = [];
        let good = "enabled = true\ntitle = \"Blog\"\nlogo = \"pages/logo.svg\"\naccent = \"#1F6f5c\"\nstylesheet = \"own.css\"\n\
                    return_to = \"https://app.example.org/start\"\n";
        assert_eq!(check(good), none);
        for (ui, told) in [
            ("accent = \"red\"\n", "\"accent\" is not a colour"),
            ("accent = \"#1f6f5c;}\"\n", "\"accent\" is not a colour"),
            ("logo = \"../logo.svg\"\n", "\"logo\" is not a file of the application (.svg, .png, .jpg, .jpeg, .webp)"),
            (
                "logo = \"/etc/logo.svg\"\n",
                "\"logo\" is not a file of the application (.svg, .png, .jpg, .jpeg, .webp)",
            ),
            ("logo = \"logo.html\"\n", "\"logo\" is not a file of the application (.svg, .png, .jpg, .jpeg, .webp)"),
            ("stylesheet = \".env\"\n", "\"stylesheet\" is not a file of the application (.css)"),
            ("title = \" \"\n", "\"title\" is empty, or longer than 80 characters"),
            ("return_to = \"https://evil.example\"\n", "\"return_to\" is not a URL to which browsers may be sent"),
        ] {
            assert_eq!(check(ui), [told], "{ui}");
        }
    }
}
