//! `undergird config`: the effective settings with their origin. Values that came from outside by `${…}` and passwords in URLs are
//! not shown.

use super::{Application, mistakes};
use crate::cli::Exit;
use crate::config::{Definition, Environment, Origin, data_directory};
use crate::say::say;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
}

/// # Errors
/// 2 for a definition that is not good.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let definition = arguments.application.definition()?;
    if definition.model.is_none() {
        return Err(mistakes(&definition));
    }
    let environment = Environment::of_process();
    for (path, key) in definition.settings() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let origin = definition.origin(&path);
        let value = value(&definition, &path, &origin).unwrap_or_else(|| match key.default {
            "" => "(none)".into(),
            default => default.to_owned(),
        });
        let shown = match &origin {
            Origin::Default => "default",
            Origin::File => "undergird.toml",
            Origin::Outside(name) => name.as_str(),
        };
        say!("{:<40} {:<32} # {shown}", path.join("."), value)?;
    }
    let data = data_directory(&arguments.application.directory, &environment, arguments.application.data.as_deref());
    let data_origin = match (&arguments.application.data, environment.get("UNDERGIRD_DATA")) {
        (Some(_), _) => "--data",
        (None, Some(_)) => "UNDERGIRD_DATA",
        (None, None) => "default",
    };
    say!("{:<40} {:<32} # {data_origin}", "data", format!("\"{}\"", data.display()))?;
    for (name, variable) in [("publishable_key", "UNDERGIRD_PUBLISHABLE_KEY"), ("secret_key", "UNDERGIRD_SECRET_KEY")] {
        let origin = if environment.get(variable).is_some() { variable } else { "keys.json in the data directory" };
        say!("{name:<40} {MASK:<32} # {origin}")?;
    }
    Ok(())
}

/// The settings that are never shown, wherever they come from.
const SECRETS: [&str; 5] = ["client_secret", "password", "private_key", "secret", "secrets"];
const MASK: &str = "********";

fn value(definition: &Definition, path: &[&str], origin: &Origin) -> Option<String> {
    match origin {
        Origin::Default => None,
        Origin::File | Origin::Outside(_) if path.last().is_some_and(|name| SECRETS.contains(name)) => {
            Some(MASK.into())
        }
        // Whatever is put in from outside a file that is committed is there because it must not be seen.
        Origin::Outside(name) if name.contains("${") => Some(MASK.into()),
        Origin::Outside(_) => {
            let over = definition.overrides.iter().rev().find(|over| over.path.iter().eq(path.iter()));
            over.map(|over| without_password(&over.value))
        }
        Origin::File => {
            let source = definition.sources.iter().find(|source| &*source.name == "undergird.toml")?;
            let mut at: toml::Value = toml::Value::Table(source.text.parse().ok()?);
            for key in path {
                at = at.get(*key)?.clone();
            }
            Some(without_password(&at.to_string()))
        }
    }
}

/// `postgres://user:password@host` without the password, of each item where it is a list.
fn without_password(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        // Of this URL alone: the next one begins behind a comma, and only the last `@` before that ends a password.
        let next = after.find("://").and_then(|next| after[..next].rfind(',')).unwrap_or(after.len());
        let (this, others) = after.split_at(next);
        let masked = this.rsplit_once('@').and_then(|(userinfo, host)| {
            let (user, _) = userinfo.split_once(':')?;
            Some(format!("{user}:{MASK}@{host}"))
        });
        shown.push_str(masked.as_deref().unwrap_or(this));
        rest = others;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_not_shown() {
        for (value, expected) in [
            ("127.0.0.1:8090", "127.0.0.1:8090"),
            ("sqlite:data/main.db", "sqlite:data/main.db"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("\"postgres://u:p@h/d\"", "\"postgres://u:********@h/d\""),
            ("postgres://u:p@q,r@h1:1,h2:2/d", "postgres://u:********@h1:1,h2:2/d"),
            (
                "[\"postgres://u:p@h/d\", \"postgres://v:q@i/e\"]",
                "[\"postgres://u:********@h/d\", \"postgres://v:********@i/e\"]",
            ),
            ("postgres://u:p@h/d,postgres://v:q@i/e", "postgres://u:********@h/d,postgres://v:********@i/e"),
            ("[\"https://a.org\", \"https://b.org\"]", "[\"https://a.org\", \"https://b.org\"]"),
        ] {
            assert_eq!(without_password(value), expected);
        }
    }
}
