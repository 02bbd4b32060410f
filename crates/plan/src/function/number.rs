//! Numbers of any kind compared by exact value: 2^53 + 1 is not the double next to it, and JSON's 0.1 is not the double 0.1.

use std::cmp::Ordering;
use undergird_model::{Decimal, Value};

/// A number as some kind holds it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number<'a> {
    /// An int.
    Int(i64),
    /// A double, never NaN.
    Float(f64),
    /// A decimal.
    Decimal(Decimal),
    /// A number in JSON's grammar, of any length.
    Json(&'a str),
}

impl<'a> Number<'a> {
    /// The number that a value is, when it is one.
    pub(super) fn of(value: &Value) -> Option<Number<'static>> {
        match value {
            Value::Int(number) => Some(Number::Int(*number)),
            Value::Float(number) => Some(Number::Float(number.get())),
            Value::Decimal(number) => Some(Number::Decimal(*number)),
            _ => None,
        }
    }

    /// A JSON number in the cheapest form that holds it exactly.
    pub(super) fn json(text: &'a str) -> Number<'a> {
        if let Ok(number) = text.parse() {
            return Number::Int(number);
        }
        let plain = text.len() <= 20 && !text.contains(['e', 'E']);
        match text.split_once('.') {
            Some((whole, fraction)) if plain => {
                let unscaled = [whole, fraction].concat().parse();
                let scale = fraction.len() as u8;
                unscaled.map_or(Number::Json(text), |unscaled| Number::Decimal(Decimal { unscaled, scale }))
            }
            _ => Number::Json(text),
        }
    }

    /// How it compares with another by mathematical value.
    pub(super) fn order(self, other: Number<'_>) -> Ordering {
        use Number::{Decimal as Dec, Float, Int};
        match (self, other) {
            (Int(a), Int(b)) => a.cmp(&b),
            (Float(a), Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Int(a), Dec(b)) => decimals(Decimal { unscaled: a, scale: 0 }, b),
            (Dec(a), Int(b)) => decimals(a, Decimal { unscaled: b, scale: 0 }),
            (Dec(a), Dec(b)) => decimals(a, b),
            (Int(a), Float(b)) => with_float(Decimal { unscaled: a, scale: 0 }, b),
            (Dec(a), Float(b)) => with_float(a, b),
            (Float(a), Int(b)) => with_float(Decimal { unscaled: b, scale: 0 }, a).reverse(),
            (Float(a), Dec(b)) => with_float(b, a).reverse(),
            (Number::Json(_), Float(b)) if b.is_infinite() => 0.0.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Float(a), Number::Json(_)) if a.is_infinite() => a.partial_cmp(&0.0).unwrap_or(Ordering::Equal),
            (a @ Number::Json(_), b) => a.digits().order(&b.digits()),
            (a, b @ Number::Json(_)) => a.digits().order(&b.digits()),
        }
    }

    /// All its digits. A finite number.
    pub(super) fn digits(self) -> Digits {
        match self {
            Number::Int(number) => Digits::read(&number.to_string()),
            // 767 significant digits are enough to write any double exactly.
            Number::Float(number) => Digits::read(&format!("{number:.766e}")),
            Number::Decimal(number) => {
                let mut digits = Digits::read(&number.unscaled.to_string());
                digits.point -= i64::from(number.scale);
                digits
            }
            Number::Json(text) => Digits::read(text),
        }
    }
}

/// Decimals whose scale is beyond what the type allows are compared digit by digit.
const SCALE_MAX: u8 = 19;

fn decimals(a: Decimal, b: Decimal) -> Ordering {
    if a.scale == b.scale {
        return a.unscaled.cmp(&b.unscaled);
    }
    if a.scale > SCALE_MAX || b.scale > SCALE_MAX {
        return Number::Decimal(a).digits().order(&Number::Decimal(b).digits());
    }
    // 2^63 × 10^19 is less than 2^127.
    let raise = |number: i64, by: u8| i128::from(number) * 10i128.pow(u32::from(by));
    raise(a.unscaled, b.scale.saturating_sub(a.scale)).cmp(&raise(b.unscaled, a.scale.saturating_sub(b.scale)))
}

/// A decimal against a double, without rounding either.
fn with_float(decimal: Decimal, float: f64) -> Ordering {
    if float.is_infinite() {
        return 0.0.partial_cmp(&float).unwrap_or(Ordering::Equal);
    }
    if decimal.scale > SCALE_MAX {
        return Number::Decimal(decimal).digits().order(&Number::Float(float).digits());
    }
    let sign = |negative: bool, zero: bool| if zero { 0 } else { 1 - 2 * i8::from(negative) };
    let ours = sign(decimal.unscaled < 0, decimal.unscaled == 0);
    let theirs = sign(float < 0.0, float == 0.0);
    if ours != theirs || ours == 0 {
        return ours.cmp(&theirs);
    }
    let magnitude = magnitudes(decimal.unscaled.unsigned_abs(), decimal.scale, float.abs());
    if ours < 0 { magnitude.reverse() } else { magnitude }
}

/// `unscaled × 10^-scale` against a positive double.
fn magnitudes(unscaled: u64, scale: u8, float: f64) -> Ordering {
    if float >= 18_446_744_073_709_551_616.0 {
        return Ordering::Less;
    }
    let unit = 10u64.pow(u32::from(scale));
    let whole = float.trunc();
    // Both casts are exact: the whole part is below 2^64.
    match (unscaled / unit).cmp(&(whole as u64)) {
        Ordering::Equal => {}
        decided => return decided,
    }
    let rest = u128::from(unscaled % unit);
    // The fraction is exact too, `mantissa × 2^-shift`; times the unit it is less than 2^53 × 2^64.
    let fraction = float - whole;
    if fraction == 0.0 {
        return rest.cmp(&0);
    }
    let bits = fraction.to_bits();
    let exponent = (bits >> 52) as i32;
    let mantissa = bits & ((1 << 52) - 1);
    let (mantissa, shift) = if exponent == 0 { (mantissa, 1074) } else { (mantissa | 1 << 52, 1075 - exponent) };
    let product = u128::from(mantissa) * u128::from(unit);
    let (quotient, exact) = match u32::try_from(shift) {
        Ok(shift) if shift < 128 => (product >> shift, product.trailing_zeros() >= shift),
        _ => (0, false),
    };
    match rest.cmp(&quotient) {
        Ordering::Equal if !exact => Ordering::Less,
        decided => decided,
    }
}

/// A number as its significant digits: `0.DDD… × 10^point`; none for zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

/// Exponents beyond this are not told apart; a number with such an exponent has no other use than to provoke.
const EXPONENT_MAX: i64 = 1 << 60;

impl Digits {
    /// Reads JSON's grammar of numbers, which `text` is known to be in.
    pub(super) fn read(text: &str) -> Digits {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let limit = if exponent.starts_with('-') { -EXPONENT_MAX } else { EXPONENT_MAX };
        let exponent = exponent.parse().unwrap_or(limit).clamp(-EXPONENT_MAX, EXPONENT_MAX);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit).map(|byte| byte - b'0');
        let zeros = all.clone().take_while(|digit| *digit == 0).count();
        let mut digits: Vec<u8> = all.skip(zeros).collect();
        digits.truncate(digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1));
        if digits.is_empty() {
            return Digits { negative: false, digits, point: 0 };
        }
        Digits { negative, point: exponent + whole.len() as i64 - zeros as i64, digits }
    }

    pub(super) fn order(&self, other: &Digits) -> Ordering {
        let sign = |number: &Digits| if number.digits.is_empty() { 0 } else { 1 - 2 * i8::from(number.negative) };
        let (ours, theirs) = (sign(self), sign(other));
        if ours != theirs || ours == 0 {
            return ours.cmp(&theirs);
        }
        let magnitude = self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        if ours < 0 { magnitude.reverse() } else { magnitude }
    }

    /// The decimal of this scale next to it, halves away from zero; `None` when it has more than `precision` digits.
    pub(super) fn rounded(&self, precision: u8, scale: u8) -> Option<Decimal> {
        let unscaled = self.nearest(scale)?;
        let limit = 10u64.checked_pow(u32::from(precision))?;
        (unscaled.unsigned_abs() < limit).then_some(Decimal { unscaled, scale })
    }

    /// The whole number next to this times `10^scale`, halves away from zero, when it fits.
    pub(super) fn nearest(&self, scale: u8) -> Option<i64> {
        let kept = self.point.checked_add(i64::from(scale))?;
        if self.digits.is_empty() || kept < 0 {
            return Some(0);
        }
        let kept = usize::try_from(kept).ok().filter(|kept| *kept <= 19)?;
        let digit = |at: usize| i128::from(self.digits.get(at).copied().unwrap_or(0));
        let magnitude = (0..kept).fold(0, |number, at| number * 10 + digit(at)) + i128::from(digit(kept) >= 5);
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in ascending order, each in every form that holds it exactly.
    #[test]
    fn order_is_exact_across_kinds() {
        let decimal = |unscaled, scale| Number::Decimal(Decimal { unscaled, scale });
        let ladder: Vec<Vec<Number<'_>>> = vec![
            vec![Number::Float(f64::NEG_INFINITY)],
            vec![Number::Json("-1e400")],
            vec![Number::Float(-1.797e308)],
            vec![
                Number::Int(i64::MIN),
                Number::Float(-9_223_372_036_854_775_808.0),
                decimal(i64::MIN, 0),
                Number::json("-9223372036854775808"),
            ],
            vec![Number::Int(i64::MIN + 1)],
            vec![Number::Int(-1), Number::Float(-1.0), decimal(-100, 2), Number::json("-1.0"), Number::json("-10e-1")],
            vec![Number::Float(-5e-324)],
            vec![
                Number::Int(0),
                Number::Float(0.0),
                decimal(0, 18),
                Number::json("-0.0"),
                Number::json("0e999999999999999999999"),
            ],
            vec![Number::Json("1e-400")],
            vec![Number::Float(5e-324)],
            vec![decimal(1, 18)],
            vec![decimal(1, 1), Number::json("0.1"), Number::json("1e-1")],
            vec![Number::Float(0.1)],
            vec![Number::Json("0.10000000000000000555111512312578270211815834045410156250000001")],
            vec![Number::Float(0.5), decimal(5, 1), Number::json("0.5")],
            vec![Number::Int(9_007_199_254_740_992), Number::Float(9_007_199_254_740_992.0)],
            vec![Number::Int(9_007_199_254_740_993), Number::json("9007199254740993.0")],
            vec![Number::Float(9_007_199_254_740_994.0), decimal(90_071_992_547_409_940, 1)],
            vec![Number::Int(i64::MAX), decimal(i64::MAX, 0)],
            vec![Number::Float(9_223_372_036_854_775_808.0), Number::json("9223372036854775808")],
            vec![Number::Float(1e300)],
            vec![Number::json("1e301")],
            vec![Number::Float(f64::INFINITY)],
        ];
        for (i, left) in ladder.iter().enumerate() {
            for (j, right) in ladder.iter().enumerate() {
                for a in left {
                    for b in right {
                        assert_eq!(a.order(*b), i.cmp(&j), "{a:?} {b:?}");
                        let infinite = |n: &Number<'_>| matches!(n, Number::Float(n) if n.is_infinite());
                        if !infinite(a) && !infinite(b) {
                            assert_eq!(a.digits().order(&b.digits()), i.cmp(&j), "digits of {a:?} {b:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rounds_halves_away() {
        let cases = [
            ("1.005", 2, Some(101)),
            ("-0.5", 0, Some(-1)),
            ("0.49", 0, Some(0)),
            ("0.05", 1, Some(1)),
            ("99.95", 1, None),
            ("1e30", 0, None),
            ("1e-30", 2, Some(0)),
        ];
        for (text, scale, expected) in cases {
            assert_eq!(Digits::read(text).rounded(3, scale).map(|decimal| decimal.unscaled), expected, "{text}");
        }
    }
}
