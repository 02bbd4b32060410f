//! Media types: which form the answer shall have, and which a body has.
//!
//! Absent: server-sent events, which another surface negotiates before this one is asked.

use super::decode::Malformed;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// `application/json`, and `application/vnd.pgrst.array+json`: an array of objects.
    Array {
        /// `;nulls=stripped`: members that are null are left out.
        nulls_stripped: bool,
    },
    /// `application/vnd.pgrst.object+json`: exactly one object.
    Object {
        /// `;nulls=stripped`: members that are null are left out.
        nulls_stripped: bool,
    },
    /// `text/csv`.
    Csv,
}

impl Media {
    /// What most clients ask for.
    pub const JSON: Media = Media::Array { nulls_stripped: false };

    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Media::Array { nulls_stripped: false } => "application/json; charset=utf-8",
            Media::Array { nulls_stripped: true } => "application/vnd.pgrst.array+json; nulls=stripped; charset=utf-8",
            Media::Object { nulls_stripped: false } => "application/vnd.pgrst.object+json; charset=utf-8",
            Media::Object { nulls_stripped: true } => {
                "application/vnd.pgrst.object+json; nulls=stripped; charset=utf-8"
            }
            Media::Csv => "text/csv; charset=utf-8",
        }
    }

    /// Whether null members are left out.
    pub fn nulls_stripped(self) -> bool {
        matches!(self, Media::Array { nulls_stripped: true } | Media::Object { nulls_stripped: true })
    }
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMedia {
    /// `application/json` and PostgREST's own kinds of it.
    Json,
    /// `text/csv`.
    Csv,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// The best of what `Accept` names, by `q` and then by order. No header is JSON.
///
/// # Errors
/// 406 with PGRST107 when nothing of it can be served.
pub fn negotiate(accept: Option<&str>) -> Result<Media, Malformed> {
    let Some(accept) = accept else { return Ok(Media::JSON) };
    // What nearly every client sends.
    if matches!(accept, "*/*" | "application/json") {
        return Ok(Media::JSON);
    }
    let mut best: Option<(u16, Media)> = None;
    for entry in accept.split(',').take(ENTRIES_MAX) {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let (mut stripped, mut quality) = (false, 1_000);
        for parameter in parts {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            match key.trim() {
                "q" | "Q" => quality = thousandths(value),
                "nulls" => stripped = value == "stripped",
                _ => {}
            }
        }
        let Some(media) = media(name, stripped) else { continue };
        if quality > 0 && best.is_none_or(|(least, _)| quality > least) {
            best = Some((quality, media));
        }
    }
    if let Some((_, media)) = best {
        return Ok(media);
    }
    let asked = super::decode::excerpt(accept);
    Err(Malformed::new("PGRST107", 406, format!("None of these media types are available: {asked}")).with_hint(
        "application/json, application/vnd.pgrst.object+json, application/vnd.pgrst.array+json (both with \
         ;nulls=stripped if wanted) and text/csv are available.",
    ))
}

/// More entries than any client sends are not looked at.
const ENTRIES_MAX: usize = 32;

fn media(name: &str, nulls_stripped: bool) -> Option<Media> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("*/*") || is("application/*") || is("application/json") {
        Some(Media::JSON)
    } else if is("application/vnd.pgrst.array+json") || is("application/vnd.pgrst.array") {
        Some(Media::Array { nulls_stripped })
    } else if is("application/vnd.pgrst.object+json") || is("application/vnd.pgrst.object") {
        Some(Media::Object { nulls_stripped })
    } else if is("text/csv") || is("text/*") {
        Some(Media::Csv)
    } else {
        None
    }
}

/// `0.8` as 800; what is no such number is 1.
fn thousandths(text: &str) -> u16 {
    text.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(1_000, |q| (q * 1_000.0) as u16)
}

/// The form that `Content-Type` names. No header is JSON.
///
/// # Errors
/// 415 with PGRST107.
pub fn body(content_type: Option<&str>) -> Result<BodyMedia, Malformed> {
    let Some(content_type) = content_type else { return Ok(BodyMedia::Json) };
    let name = content_type.split(';').next().unwrap_or_default().trim();
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("application/json")
        || is("application/vnd.pgrst.object+json")
        || is("application/vnd.pgrst.array+json")
        || is("")
    {
        Ok(BodyMedia::Json)
    } else if is("text/csv") {
        Ok(BodyMedia::Csv)
    } else if is("application/x-www-form-urlencoded") {
        Ok(BodyMedia::Form)
    } else {
        let name = super::decode::excerpt(name);
        Err(Malformed::new("PGRST107", 415, format!("A body of type {name} cannot be read"))
            .with_hint("Send application/json, text/csv or application/x-www-form-urlencoded."))
    }
}

/// The only schema that there is, as clients name it in `Accept-Profile` and `Content-Profile`.
pub const SCHEMA: &str = "public";

/// Whether a profile header, if there, names the schema that there is.
///
/// # Errors
/// 406 with PGRST106.
pub fn profile(header: Option<&str>) -> Result<(), Malformed> {
    match header.map(str::trim) {
        None | Some(SCHEMA | "") => Ok(()),
        Some(other) => {
            Err(Malformed::new("PGRST106", 406, format!("Invalid schema: {}", super::decode::excerpt(other)))
                .with_hint(format!("Only the following schemas are exposed: {SCHEMA}")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(accept: &str, expected: &str) {
        let found = match negotiate(Some(accept)) {
            Ok(media) => media.content_type().to_owned(),
            Err(malformed) => format!("{} {}", malformed.status, malformed.code),
        };
        assert_eq!(found, expected, "{accept}");
    }

    #[test]
    fn accept_is_read_by_quality_and_order() {
        check("*/*", "application/json; charset=utf-8");
        check("application/json, text/plain, */*", "application/json; charset=utf-8");
        check("application/vnd.pgrst.object+json", "application/vnd.pgrst.object+json; charset=utf-8");
        check(
            "application/vnd.pgrst.object+json;nulls=stripped",
            "application/vnd.pgrst.object+json; nulls=stripped; charset=utf-8",
        );
        check(
            "application/vnd.pgrst.array+json; nulls=stripped",
            "application/vnd.pgrst.array+json; nulls=stripped; charset=utf-8",
        );
        check("text/csv", "text/csv; charset=utf-8");
        check("text/html, text/csv;q=0.5, application/json;q=0.4", "text/csv; charset=utf-8");
        check("text/html,application/xhtml+xml,*/*;q=0.8", "application/json; charset=utf-8");
        check("application/json;q=0", "406 PGRST107");
        check("application/geo+json", "406 PGRST107");
        check("", "406 PGRST107");
    }

    #[test]
    fn there_is_one_schema() {
        assert!(profile(None).is_ok() && profile(Some("public")).is_ok());
        assert_eq!(profile(Some("private")).unwrap_err().code, "PGRST106");
    }

    #[test]
    fn bodies_of_other_types_are_refused() {
        assert_eq!(body(None).unwrap(), BodyMedia::Json);
        assert_eq!(body(Some("application/json; charset=utf-8")).unwrap(), BodyMedia::Json);
        assert_eq!(body(Some("Text/CSV")).unwrap(), BodyMedia::Csv);
        assert_eq!(body(Some("multipart/form-data; boundary=x")).unwrap_err().status, 415);
    }
}
