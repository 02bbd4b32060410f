//! The `cel` crate as a second opinion on constant expressions.
