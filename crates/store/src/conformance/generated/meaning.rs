//! What the wire's operators mean, on places in an order: three-valued, as in SQL. `None` is neither true nor false.

/// An operator that compares.
#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
}

/// All of them, by their names on the wire.
pub(super) const COMPARISONS: [(&str, Comparison); 6] = [
    ("eq", Comparison::Eq),
    ("neq", Comparison::Neq),
    ("lt", Comparison::Lt),
    ("lte", Comparison::Lte),
    ("gt", Comparison::Gt),
    ("gte", Comparison::Gte),
];

impl Comparison {
    fn holds(self, left: u8, right: u8) -> bool {
        match self {
            Comparison::Eq => left == right,
            Comparison::Neq => left != right,
            Comparison::Lt => left < right,
            Comparison::Lte => left <= right,
            Comparison::Gt => left > right,
            Comparison::Gte => left >= right,
        }
    }

    /// `value op operand`.
    pub(super) fn one(self, value: Option<u8>, operand: u8) -> Option<bool> {
        value.map(|value| self.holds(value, operand))
    }

    /// `value op(any) {operands}`.
    pub(super) fn any(self, value: Option<u8>, operands: &[u8]) -> Option<bool> {
        value.map(|value| operands.iter().any(|operand| self.holds(value, *operand)))
    }

    /// `value op(all) {operands}`.
    pub(super) fn all(self, value: Option<u8>, operands: &[u8]) -> Option<bool> {
        value.map(|value| operands.iter().all(|operand| self.holds(value, *operand)))
    }
}

/// `not.`.
pub(super) fn not(value: Option<bool>) -> Option<bool> {
    value.map(|value| !value)
}

/// `and=(…)`: false when any is, unknown when any other is.
pub(super) fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// `or=(…)`.
pub(super) fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    not(and(not(left), not(right)))
}

/// The rows for which a condition is true: what is unknown is not found.
pub(super) fn found(values: &[Option<u8>], test: impl Fn(Option<u8>) -> Option<bool>) -> Vec<usize> {
    values.iter().enumerate().filter(|(_, value)| test(**value) == Some(true)).map(|(row, _)| row).collect()
}
