//! UUID v7 (RFC 9562 §5.7) from a moment that was handed in: no clock and no dice here.
//!
//! The ids of one request count up from a random start by random steps (RFC 9562 §6.2, method 2), so they keep the order of the
//! rows and do not collide.

use crate::caller::Moment;
use uuid::Uuid;

/// Gives out the ids of one request.
#[derive(Debug)]
pub(super) struct Ids {
    milliseconds: u64,
    /// 74 bits; starts with the highest clear, so that counting up does not overflow.
    counter: u128,
    state: u64,
}

const COUNTER_BITS: u32 = 74;
const COUNTER_MASK: u128 = (1 << COUNTER_BITS) - 1;

impl Ids {
    pub(super) fn new(moment: Moment) -> Ids {
        let milliseconds = u64::try_from(moment.now / 1_000).unwrap_or(0);
        let state = (moment.entropy >> 64) as u64 ^ moment.entropy as u64;
        Ids { milliseconds, counter: moment.entropy & (COUNTER_MASK >> 1), state }
    }

    pub(super) fn next(&mut self) -> Uuid {
        let counter = self.counter & COUNTER_MASK;
        // SplitMix64: the steps need only differ from request to request, the start is what cannot be guessed.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut step = self.state;
        step = (step ^ (step >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        step = (step ^ (step >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.counter = counter + u128::from((step >> 32) | 1);
        let rand_a = counter >> 62;
        let rand_b = counter & ((1 << 62) - 1);
        let bits = (u128::from(self.milliseconds & 0xFFFF_FFFF_FFFF) << 80)
            | (0x7 << 76)
            | (rand_a << 64)
            | (0b10 << 62)
            | rand_b;
        Uuid::from_u128(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_ordered_and_distinct() {
        let mut ids = Ids::new(Moment { now: 1_700_000_000_000_000, entropy: u128::MAX });
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.iter().all(|id| id.get_version_num() == 7));
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(made[0].get_timestamp().map(|at| at.to_unix().0), Some(1_700_000_000));
    }
}
