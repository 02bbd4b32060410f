//! JSON text (RFC 8259) to values, with a limit on its depth and its numbers kept in full.
//!
//! Not `serde_json`'s own reader: with arbitrary precision it takes an object with a certain secret member for a number (or for raw
//! JSON, which it reads anew, past any limit of depth), and a body comes from a stranger. The values are still `serde_json`'s.

use super::{BODY_VALUES_MAX, Malformed};
use serde_json::{Map, Number, Value};

/// Longest number, in characters: doubles need 24, decimals 20; more is an attempt to make somebody calculate.
const NUMBER_BYTES_MAX: usize = 400;
/// Deepest nesting whatever the settings say: reading recurses.
const DEPTH_MAX: u32 = 200;

/// Reads a text that is one JSON value and nothing else.
///
/// # Errors
/// PGRST102 with line and column; UG400 when it is nested more than `depth` levels deep.
pub fn parse(bytes: &[u8], depth: u32) -> Result<Value, Malformed> {
    let mut reader = Reader::new(bytes, depth)?;
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// A place in a JSON text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth_max: u32,
    /// Values so far.
    values: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], depth: u32) -> Result<Reader<'a>, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Malformed::new("PGRST102", 400, "The body is not valid UTF-8")
                .with_details(format!("Byte {} begins no character", error.valid_up_to()))
        })?;
        // RFC 8259 §8.1 lets a reader pass over a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Reader { text, at: 0, depth_max: depth.min(DEPTH_MAX), values: 0 })
    }

    /// The next byte that is not white space.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Takes the next byte that is not white space, if it is this one.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { Err(self.mistake("end of input")) }
    }

    pub fn mistake(&self, expecting: &str) -> Malformed {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let (line, column) = undergird_model::diagnostic::line_and_column(before, before.len());
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("\"{}\"", c.escape_debug()),
            None => "end of input".into(),
        };
        Malformed::new("PGRST102", 400, "Empty or invalid json")
            .with_details(format!("unexpected {found} at line {line}, column {column}, expecting {expecting}"))
    }

    /// A value, `depth` levels down.
    pub fn value(&mut self, depth: u32) -> Result<Value, Malformed> {
        self.values += 1;
        if self.values > BODY_VALUES_MAX {
            return Err(Malformed::over_limit("body_values", BODY_VALUES_MAX as u64, "values in its body"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => {
                self.deeper(depth)?;
                let mut map = Map::new();
                self.members(&mut |reader, name| {
                    let value = reader.value(depth + 1)?;
                    map.insert(name, value);
                    Ok(())
                })?;
                Ok(Value::Object(map))
            }
            Some(b'[') => {
                self.deeper(depth)?;
                self.at += 1;
                let mut items = Vec::new();
                if self.take(b']') {
                    return Ok(Value::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if !self.take(b',') {
                        break;
                    }
                }
                if self.take(b']') { Ok(Value::Array(items)) } else { Err(self.mistake("\",\" or \"]\"")) }
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.mistake("a value")),
        }
    }

    fn deeper(&self, depth: u32) -> Result<(), Malformed> {
        if depth >= self.depth_max {
            let max = self.depth_max;
            return Err(Malformed::new("UG400", 400, format!("The body is nested more than {max} levels deep"))
                .with_details(format!("limits.json_depth = {max}")));
        }
        Ok(())
    }

    /// The members of an object, brace to brace; `each` reads the value.
    pub fn members(
        &mut self,
        each: &mut dyn FnMut(&mut Reader<'a>, String) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if !self.take(b'{') {
            return Err(self.mistake("\"{\""));
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.mistake("a member's name in quotes"));
            }
            let name = self.string()?;
            if !self.take(b':') {
                return Err(self.mistake("\":\""));
            }
            each(self, name)?;
            if !self.take(b',') {
                break;
            }
        }
        if self.take(b'}') { Ok(()) } else { Err(self.mistake("\",\" or \"}\"")) }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Malformed> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.mistake("a value"))
    }

    fn number(&mut self) -> Result<Number, Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start;
        let digits = |at: &mut usize| {
            let from = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > from
        };
        at += usize::from(bytes[at] == b'-');
        let whole = at;
        let mut sound = digits(&mut at) && !(bytes[whole] == b'0' && at > whole + 1);
        if sound && bytes.get(at) == Some(&b'.') {
            at += 1;
            sound = digits(&mut at);
        }
        if sound && matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            sound = digits(&mut at);
        }
        self.at = at;
        if !sound {
            return Err(self.mistake("a number's digits"));
        }
        if at - start > NUMBER_BYTES_MAX {
            return Err(Malformed::over_limit("number_bytes", NUMBER_BYTES_MAX as u64, "digits in a number"));
        }
        // What went through the grammar above is a number to serde_json too.
        self.text[start..at].parse().map_err(|_| self.mistake("a number"))
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let mut copied = self.at;
        let mut owned = String::new();
        loop {
            // Most strings have neither escapes nor control characters: look for both at once, byte by byte.
            let rest = &bytes[self.at..];
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let Some(length) = length else {
                self.at = bytes.len();
                return Err(self.mistake("closing quote (\")"));
            };
            self.at += length;
            let run = &self.text[copied..self.at];
            match bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    if owned.is_empty() {
                        return Ok(run.to_owned());
                    }
                    owned.push_str(run);
                    return Ok(owned);
                }
                b'\\' => {
                    owned.push_str(run);
                    self.at += 1;
                    owned.push(self.escape()?);
                    copied = self.at;
                }
                _ => return Err(self.mistake("no control character in a string: write it as an escape like \\n")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let c = match self.text.as_bytes().get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.mistake("an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, Malformed> {
        let first = self.hex()?;
        let code = match first {
            0xd800..0xdc00 if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                match self.hex()? {
                    second @ 0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => first,
                }
            }
            code => code,
        };
        // A surrogate without its other half is no character.
        char::from_u32(code).ok_or_else(|| self.mistake("both halves of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits.and_then(|digits| {
            digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
        });
        let code = code.ok_or_else(|| self.mistake("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}
