//! What our SQL functions are told of their arguments, as a constant text: which function, of which types.
//!
//! SQLite's values know only five classes, so a function must be told that an integer is a timestamp. The text is read once per
//! statement and kept beside it (`sqlite3_set_auxdata`).

use std::fmt;
use undergird_model::expr::{Arithmetic, Comparison, Function};
use undergird_model::{Kind, Type};

/// A function and its types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) function: Function,
    pub(crate) arguments: Vec<Type>,
    pub(crate) result: Type,
}

/// Makes a list of the variants of a closed set, with a match that does not compile when one is missing. What SQLite lacks
/// (`undergird_store::Capability`) is left out by name.
macro_rules! every {
    ($list:ident: $set:ident [$($variant:ident),* $(,)?] $(without $absent:ident)?) => {
        const $list: &[$set] = {
            const fn _complete(one: $set) {
                match one {
                    $($set::$variant => {})*
                    $($set::$absent { .. } => {})?
                }
            }
            &[$($set::$variant),*]
        };
    };
}

every!(FUNCTIONS: Function [
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    TextSize,
    BytesSize,
    ListSize,
    JsonSize,
    LowerAscii,
    UpperAscii,
    Trim,
    Concatenate,
    Year,
    Month,
    Day,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    ToInt,
    ToFloat,
    ToText,
    ToTimestamp,
    ToDate,
    ToDuration,
    ToUuid,
    ToBool,
    JsonGet,
    JsonGetText,
    JsonPresent,
    Like,
    LikeInsensitive,
    MatchesInsensitive,
    Covers,
    Overlaps,
    Element,
    Cast,
] without Search);

every!(COMPARISONS: Comparison [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]);

every!(ARITHMETIC: Arithmetic [Add, Subtract, Multiply, Divide, Remainder]);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(|ty| type_tag(*ty)).collect();
        write!(f, "{:?}:{}>{}", self.function, arguments.join(","), type_tag(self.result))
    }
}

impl Signature {
    pub(crate) fn parse(text: &str) -> Option<Signature> {
        let (name, types) = text.split_once(':')?;
        let (arguments, result) = types.split_once('>')?;
        let function = *FUNCTIONS.iter().find(|function| format!("{function:?}") == name)?;
        Some(Signature { function, arguments: parse_types(arguments)?, result: parse_type(result)? })
    }
}

pub(crate) fn parse_comparison(name: &str) -> Option<Comparison> {
    COMPARISONS.iter().copied().find(|comparison| format!("{comparison:?}") == name)
}

pub(crate) fn parse_arithmetic(name: &str) -> Option<Arithmetic> {
    ARITHMETIC.iter().copied().find(|operator| format!("{operator:?}") == name)
}

/// Types by commas.
pub(crate) fn parse_types(text: &str) -> Option<Vec<Type>> {
    if text.is_empty() { Some(Vec::new()) } else { text.split(',').map(parse_type).collect() }
}

/// A type as a short word.
pub(crate) fn type_tag(ty: Type) -> String {
    match ty {
        Type::Null => "null".into(),
        Type::Duration => "duration".into(),
        Type::Scalar(kind) => kind_tag(kind),
        Type::List(kind) => format!("[{}]", kind_tag(kind)),
    }
}

fn kind_tag(kind: Kind) -> String {
    match kind {
        Kind::Bool => "bool".into(),
        Kind::Int => "int".into(),
        Kind::Float => "float".into(),
        Kind::Decimal { precision, scale } => format!("decimal.{precision}.{scale}"),
        Kind::Text => "text".into(),
        Kind::Uuid => "uuid".into(),
        Kind::Timestamp => "timestamp".into(),
        Kind::Date => "date".into(),
        Kind::Time => "time".into(),
        Kind::Json => "json".into(),
        Kind::Bytes => "bytes".into(),
    }
}

/// A word of [`type_tag`] as a type again.
pub(crate) fn parse_type(text: &str) -> Option<Type> {
    match text {
        "null" => return Some(Type::Null),
        "duration" => return Some(Type::Duration),
        _ => {}
    }
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(kind) => parse_kind(kind).map(Type::List),
        None => parse_kind(text).map(Type::Scalar),
    }
}

fn parse_kind(text: &str) -> Option<Kind> {
    Some(match text {
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "float" => Kind::Float,
        "text" => Kind::Text,
        "uuid" => Kind::Uuid,
        "timestamp" => Kind::Timestamp,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "json" => Kind::Json,
        "bytes" => Kind::Bytes,
        _ => {
            let (precision, scale) = text.strip_prefix("decimal.")?.split_once('.')?;
            Kind::Decimal { precision: precision.parse().ok()?, scale: scale.parse().ok()? }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn signatures_are_read_as_written() {
        let types = [
            Type::Null,
            Type::Duration,
            Type::BOOL,
            Type::JSON,
            Type::Scalar(Kind::Decimal { precision: 18, scale: 4 }),
            Type::List(Kind::Timestamp),
            Type::List(Kind::Decimal { precision: 3, scale: 0 }),
        ];
        for function in FUNCTIONS {
            for result in types {
                let signature = Signature { function: *function, arguments: types.to_vec(), result };
                assert_eq!(Signature::parse(&signature.to_string()), Some(signature));
            }
        }
        assert_eq!(Signature::parse("Year:>int").unwrap().arguments, []);
        for wrong in ["", "Year", "Year:int", "Nothing:>int", "Year:number>int", "Year:decimal.x.2>int"] {
            assert_eq!(Signature::parse(wrong), None, "{wrong}");
        }
    }
}
