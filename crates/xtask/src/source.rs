//! Rust text taken apart into code, string literals and comments, so that a word in a comment is no use of it.
//!
//! Absent: a parser. Lines and words are all that the tidy rules need.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A source file.
pub struct Source {
    /// From the repository's root, with forward slashes.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text with everything but code blanked, lines kept.
    pub code: String,
    /// The text with everything but the contents of string literals blanked, lines kept.
    pub strings: String,
    /// The bytes of `#[cfg(test)]` modules.
    pub tests: Vec<Range<usize>>,
}

impl Source {
    /// Takes a text apart.
    pub fn new(path: &str, text: &str) -> Source {
        let (code, strings) = split(text);
        let tests = test_modules(&code);
        Source { path: path.to_owned(), text: text.to_owned(), code, strings, tests }
    }

    /// The crate's folder: `model` for `crates/model/src/lib.rs`, and `bench` for what is measured against.
    pub fn krate(&self) -> &str {
        self.path.strip_prefix("crates/").unwrap_or(&self.path).split('/').next().unwrap_or_default()
    }

    /// Whether the whole file is tests or measurements.
    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/').skip(2).map(|part| part.trim_end_matches(".rs"));
        parts.any(|part| matches!(part, "tests" | "benches" | "bench") || part.ends_with("_tests"))
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Bytes at which `word` stands in a text of the same length, not within a longer name, and not in tests.
    pub fn find<'a>(&'a self, text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = text.as_bytes();
        text.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let end = at + word.len();
            let starts =
                !is_name(word.as_bytes().first()) || !is_name(at.checked_sub(1).and_then(|before| bytes.get(before)));
            let ends = !is_name(word.as_bytes().last()) || !is_name(bytes.get(end));
            starts && ends && !self.tests.iter().any(|tests| tests.contains(at))
        })
    }
}

/// Every `.rs` file of the crates and of what they are measured against, in order.
pub fn all(root: &Path) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    for folder in ["crates", "bench"] {
        collect(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let relative = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
            Ok(Source::new(&relative, &text))
        })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "node_modules") {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Code, and contents of strings, each with the rest blanked.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let blank: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect();
    let (mut code, mut strings) = (blank.clone(), blank);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (length, kind) = next(rest, at.checked_sub(1).map(|before| bytes[before]));
        let part = at..(at + length).min(bytes.len());
        match kind {
            Part::Code => code[part.clone()].copy_from_slice(&bytes[part.clone()]),
            Part::String => strings[part.clone()].copy_from_slice(&bytes[part.clone()]),
            Part::Comment => {}
        }
        at = part.end;
    }
    // Blanks are put for whole characters only where parts begin and end, which is never inside one.
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&strings).into_owned())
}

enum Part {
    Code,
    String,
    Comment,
}

/// The length and kind of what begins here.
fn next(rest: &[u8], before: Option<u8>) -> (usize, Part) {
    let in_name = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => (rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()), Part::Comment),
        [b'/', b'*', ..] => (block_comment(rest), Part::Comment),
        [b'"', ..] => (quoted(rest), Part::String),
        [b'b' | b'c', b'"', ..] if !in_name => (1 + quoted(&rest[1..]), Part::String),
        [b'r', b'"' | b'#', ..] if !in_name => raw(rest, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_name => raw(rest, 2),
        // A character, not a lifetime.
        [b'\'', b'\\', ..] => {
            let end = rest.iter().skip(3).position(|byte| *byte == b'\'');
            (end.map_or(rest.len(), |end| end + 4), Part::Code)
        }
        [b'\'', b'"' | b'/', b'\'', ..] => (3, Part::Code),
        _ => (1, Part::Code),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A raw string, or a raw name such as `r#type`.
fn raw(rest: &[u8], prefix: usize) -> (usize, Part) {
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return (prefix + hashes, Part::Code);
    }
    let mut end = vec![b'"'];
    end.extend(std::iter::repeat_n(b'#', hashes));
    let body = prefix + hashes + 1;
    let length = rest[body..].windows(end.len()).position(|window| window == end).map(|at| body + at + end.len());
    (length.unwrap_or(rest.len()), Part::String)
}

/// From each `#[cfg(test)]` to the end of the block that follows.
fn test_modules(code: &str) -> Vec<Range<usize>> {
    code.match_indices("#[cfg(test)]")
        .map(|(start, _)| {
            let mut depth = 0_usize;
            for (at, byte) in code.bytes().enumerate().skip(start) {
                match byte {
                    b'{' => depth += 1,
                    b'}' => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            return start..at + 1;
                        }
                    }
                    b';' if depth == 0 => return start..at,
                    _ => {}
                }
            }
            start..code.len()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn words_in_comments_and_strings_are_no_code() {
        let text = r##"//! unsafe in a header
/* unsafe /* nested unsafe */ unsafe */
fn a<'x>(b: &'x str) -> char { let _ = "unsafe \" unsafe"; let _ = r#"unsafe " unsafe"#; '"' }
fn not_unsafe() { unsafe {} }
#[cfg(test)]
mod tests { fn f() { unsafe {} } }
"##;
        let source = Source::new("crates/model/src/lib.rs", text);
        let lines: Vec<usize> = source.find(&source.code, "unsafe").map(|at| source.line(at)).collect();
        assert_eq!(lines, [4]);
        assert_eq!(source.find(&source.strings, "unsafe").count(), 4);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.krate(), "model");
        assert!(Source::new("crates/model/src/cel/tests.rs", "").is_test());
        assert!(!source.is_test());
    }
}
