//! CEL text to tokens with their bytes. Follows the lexis of cel-spec (`doc/langdef.md`, "Syntax").
//!
//! Absent: meaning of words other than the keywords. Reserved words are words here; the parser refuses them where a name belongs.
//! Differences from cel-spec: `1u` is told to be unsupported, and text may not hold U+0000, because no store keeps it.

use super::Problem;
use crate::diagnostic::Span;

/// A token and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its bytes.
    pub span: Span,
    /// What it is.
    pub kind: TokenKind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind {
    /// A word that is not a keyword.
    Word(String),
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The magnitude; the sign is the parser's.
    Int(u64),
    /// The magnitude.
    Float(f64),
    /// Quotes removed, escapes resolved.
    Text(String),
    /// Quotes removed, escapes resolved.
    Bytes(Vec<u8>),
    /// An operator, bracket or separator, or the keyword `in`.
    Mark(&'static str),
    /// After the last.
    End,
}

impl TokenKind {
    /// How messages call it.
    pub fn describe(&self) -> String {
        match self {
            TokenKind::Word(word) => format!("`{word}`"),
            TokenKind::Null => "`null`".to_owned(),
            TokenKind::Bool(value) => format!("`{value}`"),
            TokenKind::Int(_) | TokenKind::Float(_) => "a number".to_owned(),
            TokenKind::Text(_) => "a text".to_owned(),
            TokenKind::Bytes(_) => "bytes".to_owned(),
            TokenKind::Mark(mark) => format!("`{mark}`"),
            TokenKind::End => "the end".to_owned(),
        }
    }
}

/// Longest first, so that the first that fits is the right one.
const MARKS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "+", "-", "*", "/", "%", "!",
    "<", ">",
];

/// All tokens, an [`TokenKind::End`] last, or all mistakes.
pub fn lex(text: &str) -> Result<Vec<Token>, Vec<Problem>> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), problems: Vec::new() };
    lexer.run();
    if lexer.problems.is_empty() { Ok(lexer.tokens) } else { Err(lexer.problems) }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    problems: Vec<Problem>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) {
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            match c {
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => self.at += 1,
                '/' if self.rest().starts_with("//") => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                '0'..='9' => self.number(),
                '.' if self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
                '\'' | '"' => self.text_literal(),
                'A'..='Z' | 'a'..='z' | '_' => self.word(),
                _ => self.mark(c),
            }
            debug_assert!(self.at > start, "every step consumes something");
        }
        self.push(self.at, TokenKind::End);
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, start: usize, kind: TokenKind) {
        self.tokens.push(Token { span: (start..self.at).into(), kind });
    }

    fn problem(&mut self, start: usize, code: &'static str, message: impl Into<String>) -> &mut Problem {
        let at = self.problems.len();
        self.problems.push(Problem::new((start..self.at).into(), code, message));
        &mut self.problems[at]
    }

    fn word(&mut self) {
        let start = self.at;
        let length = self.rest().find(|c: char| !is_word(c)).unwrap_or(self.rest().len());
        let word = &self.rest()[..length];
        let quoted = self.rest()[length..].starts_with(['\'', '"']);
        if quoted && matches!(word, "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR") {
            return self.text_literal();
        }
        self.at += length;
        let kind = match word {
            "true" => TokenKind::Bool(true),
            "false" => TokenKind::Bool(false),
            "null" => TokenKind::Null,
            "in" => TokenKind::Mark("in"),
            _ => TokenKind::Word(word.to_owned()),
        };
        self.push(start, kind);
    }

    fn mark(&mut self, c: char) {
        let start = self.at;
        if let Some(mark) = MARKS.iter().find(|mark| self.rest().starts_with(**mark)) {
            self.at += mark.len();
            return self.push(start, TokenKind::Mark(mark));
        }
        self.at += c.len_utf8();
        let problem = self.problem(start, "unexpected-character", format!("{c:?} has no meaning here"));
        problem.hint = match c {
            '=' => Some("equality is `==`"),
            '&' => Some("\"and\" is `&&`"),
            '|' => Some("\"or\" is `||`"),
            '“' | '”' | '‘' | '’' | '«' | '»' => Some("text stands in plain quotes: 'text' or \"text\""),
            '`' => Some("names stand without quotes, text in '…' or \"…\""),
            _ => None,
        }
        .map(str::to_owned);
    }

    fn number(&mut self) {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let hexadecimal = self.rest().starts_with("0x");
        let mut float = false;
        if hexadecimal {
            self.at += 2;
            self.at += bytes[self.at..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        } else {
            self.at += digits(self.at);
            // A point is part of the number only before a digit, so that `1.size()` stays a method on 1.
            if bytes.get(self.at) == Some(&b'.') && digits(self.at + 1) > 0 {
                float = true;
                self.at += 1 + digits(self.at + 1);
            }
            if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(self.at + 1), Some(b'+' | b'-')));
                let length = bytes.get(self.at + 1 + sign).map_or(0, |_| digits(self.at + 1 + sign));
                if length > 0 {
                    float = true;
                    self.at += 1 + sign + length;
                }
            }
        }
        let written = &self.text[start..self.at];
        let tail = self.rest().find(|c: char| !is_word(c)).unwrap_or(self.rest().len());
        if tail > 0 {
            let unsigned = !float && matches!(&self.rest()[..tail], "u" | "U");
            self.at += tail;
            if unsigned {
                self.problem(start, "uint-unsupported", "rules have no unsigned numbers").hint =
                    Some(format!("write {written}"));
            } else {
                let whole = &self.text[start..self.at];
                self.problem(start, "bad-number", format!("`{whole}` is not a number"));
            }
            return;
        }
        let kind = if float {
            written.parse().ok().filter(|number: &f64| number.is_finite()).map(TokenKind::Float)
        } else if hexadecimal {
            u64::from_str_radix(&written[2..], 16).ok().map(TokenKind::Int)
        } else {
            written.parse().ok().map(TokenKind::Int)
        };
        match kind {
            Some(kind) => self.push(start, kind),
            None => {
                self.problem(start, "bad-number", format!("`{}` is out of range", written));
            }
        }
    }

    /// A literal with its prefixes, at [`Self::at`].
    fn text_literal(&mut self) {
        let start = self.at;
        let mut raw = false;
        let mut bytes = false;
        while let Some(prefix @ ('r' | 'R' | 'b' | 'B')) = self.rest().chars().next() {
            raw |= matches!(prefix, 'r' | 'R');
            bytes |= matches!(prefix, 'b' | 'B');
            self.at += 1;
        }
        let single = &self.rest()[..1];
        let triple = if single == "'" { "'''" } else { "\"\"\"" };
        let close = if self.rest().starts_with(triple) { triple } else { single };
        self.at += close.len();
        let mut content = Content { bytes, out: Vec::new() };
        let known = self.problems.len();
        loop {
            let rest = self.rest();
            if rest.starts_with(close) {
                self.at += close.len();
                break;
            }
            let Some(c) = rest.chars().next().filter(|c| close.len() == 3 || !matches!(c, '\n' | '\r')) else {
                let what = if bytes { "bytes literal is" } else { "text is" };
                self.problem(start, "unterminated-text", format!("this {what} never closed; expected {close}"));
                return;
            };
            if c == '\\' && !raw {
                self.escape(&mut content);
            } else {
                self.at += c.len_utf8();
                if c == '\0' && !bytes {
                    self.problem(self.at - 1, "bad-escape", "text cannot hold the character U+0000");
                }
                content.char(c);
            }
        }
        if self.problems.len() > known {
            return;
        }
        if bytes {
            self.push(start, TokenKind::Bytes(content.out));
        } else {
            let text = String::from_utf8_lossy(&content.out).into_owned();
            self.push(start, TokenKind::Text(text));
        }
    }

    /// An escape sequence, at its backslash.
    fn escape(&mut self, content: &mut Content) {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.rest().chars().next() else { return };
        self.at += c.len_utf8();
        let simple = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' | '?' | '"' | '\'' | '`' => c as u8,
            'x' | 'X' => return self.coded(start, content, 2, 16),
            'u' => return self.coded(start, content, 4, 16),
            'U' => return self.coded(start, content, 8, 16),
            '0'..='3' => {
                self.at -= 1;
                return self.coded(start, content, 3, 8);
            }
            _ => {
                self.problem(start, "bad-escape", format!("`\\{c}` is not an escape sequence")).hint =
                    Some("a backslash is `\\\\`, or write a raw text: r'…'".to_owned());
                return;
            }
        };
        content.out.push(simple);
    }

    fn coded(&mut self, start: usize, content: &mut Content, length: usize, radix: u32) {
        let digits: String = self.rest().chars().take_while(|c| c.is_digit(radix)).take(length).collect();
        self.at += digits.len();
        let unicode = matches!(self.text.as_bytes()[start + 1], b'u' | b'U');
        let code = u32::from_str_radix(&digits, radix).ok().filter(|_| digits.len() == length);
        let Some(code) = code else {
            self.problem(start, "bad-escape", format!("this escape sequence needs {length} digits"));
            return;
        };
        if content.bytes {
            match u8::try_from(code) {
                Ok(octet) if !unicode => content.out.push(octet),
                _ => {
                    self.problem(start, "bad-escape", "bytes have no unicode escapes").hint =
                        Some("write its octets as `\\x..`".to_owned());
                }
            }
            return;
        }
        match char::from_u32(code) {
            Some('\0') => {
                self.problem(start, "bad-escape", "text cannot hold the character U+0000");
            }
            Some(c) => content.char(c),
            None => {
                self.problem(start, "bad-escape", format!("U+{code:04X} is not a character"));
            }
        }
    }
}

/// What a literal holds so far.
struct Content {
    bytes: bool,
    out: Vec<u8>,
}

impl Content {
    fn char(&mut self, c: char) {
        self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
