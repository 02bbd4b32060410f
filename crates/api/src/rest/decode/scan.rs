//! One pass over a parameter's text, without copies: names, quotes, JSON paths, and mistakes with their place.

use super::{JSON_STEPS_MAX, Malformed};
use std::borrow::Cow;
use undergird_plan::request::{ColumnPath, JsonStep, JsonTarget};

/// What a text is, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Key,
    Path,
    Filter,
    Logic,
    Select,
    Order,
    Columns,
    OnConflict,
}

impl What {
    fn words(self) -> &'static str {
        match self {
            What::Key => "key",
            What::Path => "tree path",
            What::Filter => "filter",
            What::Logic => "logic tree",
            What::Select => "select parameter",
            What::Order => "order",
            What::Columns => "columns parameter",
            What::OnConflict => "on_conflict parameter",
        }
    }
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    what: What,
}

/// A name, and whether it stood in quotes: a quoted name is never a keyword.
pub(super) struct Name<'a> {
    pub text: Cow<'a, str>,
    pub quoted: bool,
}

impl Name<'_> {
    pub fn is_word(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str, what: What) -> Scanner<'a> {
        Scanner { text, at: 0, what }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn rest(&self) -> &'a str {
        // `at` only ever moves over whole ASCII bytes or whole runs of a name, so it is a boundary; were it not, nothing is left.
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a str {
        let rest = self.rest();
        self.at = self.text.len();
        rest
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    pub fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    pub fn expect(&mut self, byte: u8, expecting: &str) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    pub fn expect_done(&self, expecting: &str) -> Result<(), Malformed> {
        if self.is_done() { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    /// The mistake at this place, said as PostgREST says it.
    pub fn unexpected(&self, expecting: &str) -> Malformed {
        let found = match self.rest().chars().next() {
            Some(c) => format!("\"{}\"", c.escape_debug()),
            None => "end of input".into(),
        };
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let (line, column) = undergird_model::diagnostic::line_and_column(before, before.len());
        Malformed::new(
            "PGRST100",
            400,
            format!(
                "\"failed to parse {} ({})\" (line {line}, column {column})",
                self.what.words(),
                excerpt(self.text)
            ),
        )
        .with_details(format!("unexpected {found} expecting {expecting}"))
    }

    /// A name: in quotes, or letters, digits, `_`, `$`, `-`, inner blanks and everything beyond ASCII.
    pub fn name(&mut self) -> Result<Name<'a>, Malformed> {
        self.skip_blanks();
        if self.peek() == Some(b'"') {
            let text = self.quoted()?;
            self.skip_blanks();
            return Ok(Name { text, quoted: true });
        }
        let text = self.run(is_name_byte);
        if text.is_empty() {
            return Err(self.unexpected("field name (* or [a..z0..9_$])"));
        }
        Ok(Name { text: Cow::Borrowed(text), quoted: false })
    }

    /// A type's name.
    pub fn type_name(&mut self) -> Result<String, Malformed> {
        let text = self.run(|byte, _| byte != b'-' && is_name_byte(byte, None));
        if text.is_empty() { Err(self.unexpected("letter or digit")) } else { Ok(text.to_owned()) }
    }

    /// `::type`, when there is one.
    pub fn cast(&mut self) -> Result<Option<String>, Malformed> {
        if self.take_word("::") { self.type_name().map(Some) } else { Ok(None) }
    }

    fn run(&mut self, accept: impl Fn(u8, Option<u8>) -> bool) -> &'a str {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start;
        while end < bytes.len() && accept(bytes[end], bytes.get(end + 1).copied()) {
            end += 1;
        }
        self.at = end;
        self.text.get(start..end).unwrap_or_default().trim_matches([' ', '\t'])
    }

    /// Text in double quotes; a backslash takes the next character as it is.
    pub fn quoted(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let open = self.at;
        let start = open + 1;
        let mut owned: Option<String> = None;
        let mut copied = start;
        let mut at = start;
        loop {
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            let Some(next) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return Err(self.unexpected("closing quote (\")"));
            };
            at += next;
            let run = self.text.get(copied..at).unwrap_or_default();
            if self.text.as_bytes()[at] == b'"' {
                self.at = at + 1;
                return Ok(match owned {
                    Some(mut text) => {
                        text.push_str(run);
                        Cow::Owned(text)
                    }
                    None => Cow::Borrowed(run),
                });
            }
            let text = owned.get_or_insert_with(String::new);
            text.push_str(run);
            let escaped = self.text.get(at + 1..).and_then(|rest| rest.chars().next());
            let Some(escaped) = escaped else {
                self.at = self.text.len();
                return Err(self.unexpected("closing quote (\")"));
            };
            text.push(escaped);
            at += 1 + escaped.len_utf8();
            copied = at;
        }
    }

    /// Quoted text that one of `ends` (or the end) follows, else everything up to one of them as it is.
    pub fn quoted_or_until(&mut self, ends: &[u8]) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'"') {
            if let Ok(text) = self.quoted()
                && self.peek().is_none_or(|byte| ends.contains(&byte))
            {
                return Ok(text);
            }
            // `"a"b` is not quoted text: it is what it is, quotes and all.
            self.at = start;
        }
        let bytes = &self.text.as_bytes()[start..];
        let length = bytes.iter().position(|byte| ends.contains(byte)).unwrap_or(bytes.len());
        self.at = start + length;
        Ok(Cow::Borrowed(self.text.get(start..self.at).unwrap_or_default()))
    }

    /// A column and the JSON path that may follow.
    pub fn column(&mut self) -> Result<ColumnPath, Malformed> {
        let name = self.name()?;
        Ok(ColumnPath { name: name.text.into_owned(), steps: self.json_steps()? })
    }

    /// `->a->>0`.
    pub fn json_steps(&mut self) -> Result<Vec<JsonStep>, Malformed> {
        let mut steps = Vec::new();
        while self.rest().starts_with("->") {
            if steps.last().is_some_and(|step: &JsonStep| step.as_text) {
                return Err(self.unexpected("nothing after ->>, which gives text"));
            }
            if steps.len() == JSON_STEPS_MAX {
                return Err(Malformed::over_limit("json_steps", JSON_STEPS_MAX as u64, "steps in a JSON path"));
            }
            self.at += 2;
            let as_text = self.take(b'>');
            steps.push(JsonStep { to: self.json_target()?, as_text });
        }
        Ok(steps)
    }

    fn json_target(&mut self) -> Result<JsonTarget, Malformed> {
        if self.peek() == Some(b'"') {
            return Ok(JsonTarget::Member(self.quoted()?.into_owned()));
        }
        let negative = self.peek() == Some(b'-');
        let start = self.at;
        self.at += usize::from(negative);
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 && negative {
            return Err(self.unexpected("digit"));
        }
        self.at += digits;
        let ends = matches!(self.peek(), None | Some(b'.' | b',' | b')' | b' '))
            || self.rest().starts_with("->")
            || self.rest().starts_with("::");
        if digits > 0 && ends {
            // What does not fit into 64 bits is beyond the end of any array.
            let index = self.text.get(start..self.at).and_then(|text| text.parse().ok());
            return Ok(JsonTarget::Index(index.unwrap_or(if negative { i64::MIN } else { i64::MAX })));
        }
        if negative {
            return Err(self.unexpected("digit, \"->\", \"::\", \".\", \",\" or end of input"));
        }
        self.at = start;
        let key = self.run(|byte, next| match byte {
            b'(' | b')' | b':' | b'.' | b',' | b'>' => false,
            b'-' => next != Some(b'>'),
            _ => true,
        });
        if key.is_empty() {
            return Err(self.unexpected("any non reserved character different from: .,>()"));
        }
        Ok(JsonTarget::Member(key.to_owned()))
    }
}

/// A dash belongs to a name unless it begins an arrow.
fn is_name_byte(byte: u8, next: Option<u8>) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | b' ' | 0x80.. => true,
        b'-' => next != Some(b'>'),
        _ => false,
    }
}

/// A text that came from outside, short enough to be repeated in a message.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}
