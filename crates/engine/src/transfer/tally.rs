//! What is known to be equal of one table: how many rows, and the sum of their checksums, so that a row that changes costs no more than
//! itself. Rows that differed when they were last looked at are pending, and not in the sum.
//!
//! Absent: reading and writing rows.

use super::rows::{Row, canonical};
use ring::digest::{SHA256, digest};
use std::collections::HashMap;

/// The sum of the SHA-256 of rows, modulo 2^256: the same in whatever order they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    fn parts(octets: &[u8]) -> [u64; 4] {
        let mut parts = [0; 4];
        // From the lowest on; the digest has 32 octets.
        for (part, octets) in parts.iter_mut().zip(digest(&SHA256, octets).as_ref().rchunks(8)) {
            *part = octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        }
        parts
    }

    /// With the row of this form.
    pub(super) fn add(&mut self, octets: &[u8]) {
        let mut carry = false;
        for (own, part) in self.0.iter_mut().zip(Sum::parts(octets)) {
            let (sum, first) = own.overflowing_add(part);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*own, carry) = (sum, first || second);
        }
    }

    /// Without it.
    pub(super) fn subtract(&mut self, octets: &[u8]) {
        let mut borrow = false;
        for (own, part) in self.0.iter_mut().zip(Sum::parts(octets)) {
            let (rest, first) = own.overflowing_sub(part);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*own, borrow) = (rest, first || second);
        }
    }

    /// In hexadecimal.
    pub(super) fn text(&self) -> String {
        self.0.iter().rev().map(|part| format!("{part:016x}")).collect()
    }
}

/// A row, or a key, in the form that all stores write.
pub(super) fn form(row: &[undergird_model::Value]) -> Vec<u8> {
    let mut text = Vec::new();
    canonical(row, &mut text);
    text
}

/// Of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) sum: Sum,
    /// Keys whose rows differed when they were last looked at, by their form.
    pub(super) pending: HashMap<Vec<u8>, Row>,
}

impl Tally {
    /// A row is equal in both.
    pub(super) fn add(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum.add(row);
    }

    /// A row that was in both is not the same any more.
    pub(super) fn subtract(&mut self, row: &[u8]) {
        self.rows = self.rows.saturating_sub(1);
        self.sum.subtract(row);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sums_know_no_order_and_forget_what_is_taken_away() {
        let rows: Vec<Vec<u8>> = (0..200_u32).map(|number| number.to_be_bytes().to_vec()).collect();
        let (mut up, mut down) = (Sum::default(), Sum::default());
        rows.iter().for_each(|row| up.add(row));
        rows.iter().rev().for_each(|row| down.add(row));
        assert_eq!(up, down);
        let whole = up.clone();
        up.subtract(&rows[7]);
        assert_ne!(up, whole);
        up.add(&rows[7]);
        assert_eq!(up.text(), whole.text());
        rows.iter().for_each(|row| up.subtract(row));
        assert_eq!(up, Sum::default());
        let mut one = Sum::default();
        one.add(b"abc");
        assert_eq!(one.text(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
