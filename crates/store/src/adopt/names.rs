//! Names of the database → names of a definition.

use std::collections::BTreeSet;
use undergird_model::definition::{RESERVED, is_reserved_for_relations};

/// Most characters of a name.
const NAME_MAX: usize = 63;

/// Letters beyond ASCII that many names have.
const LETTERS: &[(&str, &str)] = &[
    ("ÀÁÂÃÅàáâãå", "a"),
    ("Ääæ", "ae"),
    ("Çç", "c"),
    ("ÈÉÊËèéêë", "e"),
    ("ÌÍÎÏìíîï", "i"),
    ("Ññ", "n"),
    ("ÒÓÔÕØòóôõø", "o"),
    ("Öö", "oe"),
    ("ÙÚÛùúû", "u"),
    ("Üü", "ue"),
    ("Ýýÿ", "y"),
    ("ß", "ss"),
];

/// `AlbumId`, `album id` and `ALBUM-ID` are `album_id`; `HTTPServer` is `http_server`. Empty where nothing is left.
pub fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let characters: Vec<char> = name.chars().collect();
    for (position, c) in characters.iter().copied().enumerate() {
        let before = position.checked_sub(1).and_then(|at| characters.get(at));
        let after = characters.get(position + 1);
        if c.is_uppercase() {
            let ends_word = before.is_some_and(|c| c.is_lowercase() || c.is_ascii_digit());
            let begins_word = before.is_some_and(|c| c.is_uppercase()) && after.is_some_and(|c| c.is_lowercase());
            if (ends_word || begins_word) && !out.ends_with('_') {
                out.push('_');
            }
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if let Some((_, plain)) = LETTERS.iter().find(|(letters, _)| letters.contains(c)) {
            out.push_str(plain);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    out.truncate(NAME_MAX);
    out.truncate(out.trim_end_matches('_').len());
    out
}

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Collection,
    Field,
}

/// A name that nobody has yet, and takes it. The note says why it is not simply the database's in snake case.
pub(super) fn take(name: &str, of: Of, taken: &mut BTreeSet<String>) -> (String, Option<String>) {
    let (word, prefix) = match of {
        Of::Collection => ("table", "t_"),
        Of::Field => ("value", "c_"),
    };
    let plain = snake_case(name);
    let mut note = None;
    let mut wanted = if plain.is_empty() {
        note = Some(format!("\"{name}\" has no letter that a name may have"));
        word.to_owned()
    } else if plain.starts_with(|c: char| c.is_ascii_digit()) {
        note = Some(format!("a name cannot begin with a digit, as \"{name}\" does"));
        cut(&format!("{prefix}{plain}"), NAME_MAX)
    } else {
        plain
    };
    if RESERVED.contains(&wanted.as_str()) {
        note = Some(format!("\"{wanted}\" has a meaning of its own in URLs or rules"));
        let plural = format!("{wanted}s");
        wanted = match of {
            Of::Collection if !taken.contains(&plural) && !RESERVED.contains(&plural.as_str()) => plural,
            _ => format!("{wanted}_{word}"),
        };
    }
    let mut free = wanted.clone();
    for n in 2.. {
        if taken.insert(free.clone()) {
            break;
        }
        note = Some(format!(
            "the name \"{wanted}\" is taken by another {}",
            if of == Of::Field { "column" } else { "table" }
        ));
        free = format!("{}_{n}", cut(&wanted, NAME_MAX - 5));
    }
    (free, note)
}

fn cut(name: &str, length: usize) -> String {
    name.chars().take(length).collect()
}

/// The first of these names that is none of the taken, which it then is.
pub(super) fn first_free(wanted: &[String], taken: &mut BTreeSet<String>) -> String {
    for name in wanted {
        let name = cut(name, NAME_MAX);
        if !is_reserved_for_relations(&name) && !name.is_empty() && taken.insert(name.clone()) {
            return name;
        }
    }
    let base = wanted.last().map_or("relation".into(), |name| cut(name, NAME_MAX - 5));
    let mut free = base.clone();
    for n in 2.. {
        free = format!("{base}_{n}");
        if taken.insert(free.clone()) {
            break;
        }
    }
    free
}

/// Whether a name may be a relation's.
pub(super) fn is_usable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && !is_reserved_for_relations(name)
}
