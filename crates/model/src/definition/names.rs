//! What names may be.

use super::report::{Place, Report, codes};

/// PostgreSQL cuts longer names; nobody else has a shorter limit.
pub(super) const NAME_CHARS_MAX: usize = 63;

/// Names with a meaning of their own: in rules (`auth`, `new`, `now`, CEL's words), in URLs (`select`, `order`, …) and among paths
/// (`batch`, `rpc`).
pub const RESERVED: &[&str] = &[
    "auth",
    "new",
    "now",
    "select",
    "order",
    "limit",
    "offset",
    "and",
    "or",
    "not",
    "columns",
    "on_conflict",
    "batch",
    "rpc",
    "after",
    "true",
    "false",
    "null",
    "in",
];

/// Those of them that a relation may have all the same, as an order's lines have their `order`: in URLs a relation stands before a dot or
/// a parenthesis, where none of these can be.
const RELATIONS: &[&str] = &["select", "order", "limit", "offset", "columns", "on_conflict", "batch", "rpc", "after"];

/// Whether a relation may not have a name, because it has a meaning of its own.
pub fn is_reserved_for_relations(name: &str) -> bool {
    RESERVED.contains(&name) && !RELATIONS.contains(&name)
}

/// Reports a name that is malformed or reserved. `what` is `collection`, `field`, `relation`, `function` or `argument`. System collections and arguments may begin with an underscore.
pub(super) fn check(name: &str, what: &str, system: bool, place: Place, report: &mut Report) -> bool {
    let article = if what.starts_with('a') { "an" } else { "a" };
    let bare = if system { name.strip_prefix('_').unwrap_or(name) } else { name };
    if !is_snake_case(bare) || name.len() > NAME_CHARS_MAX {
        let found = report.error(place, codes::BAD_NAME, format!("\"{name}\" cannot be the name of {article} {what}"));
        let better = snake_case(name);
        if name.is_ascii() && is_snake_case(&better) && better != name {
            found.hint(format!("write \"{better}\""));
        } else {
            found.hint("names are snake_case: a small letter, then small letters, digits and _, at most 63");
        }
        return false;
    }
    let is_reserved = if what == "relation" { is_reserved_for_relations(name) } else { RESERVED.contains(&name) };
    if is_reserved {
        report
            .error(
                place,
                codes::RESERVED_NAME,
                format!("\"{name}\" is reserved and cannot be the name of {article} {what}"),
            )
            .hint(match what {
                "field" => format!("choose another; column = \"{name}\" keeps the name in the database"),
                "collection" => format!("choose another; table = \"{name}\" keeps the name in the database"),
                "argument" => format!("choose another; sql = \"{name}\" keeps the name in the database"),
                "relation" => "choose another: as = \"…\" names the way there, inverse = \"…\" the way back".into(),
                _ => "choose another".into(),
            });
        return false;
    }
    true
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A guess at what was meant: `authorId` and `Author-ID` are `author_id`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let mut after_small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            if after_small {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        after_small = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

/// A name made of parts for the database, cut to what databases take. What is cut off is replaced by its hash, so that two long
/// names stay two.
pub(super) fn made(parts: &[&str]) -> String {
    let whole = parts.join("_");
    if whole.len() <= NAME_CHARS_MAX {
        return whole;
    }
    // FNV-1a: stable across versions and platforms, which `Hasher`s do not promise.
    let hash = whole.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut end = NAME_CHARS_MAX - 9;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{hash:08x}", &whole[..end])
}
