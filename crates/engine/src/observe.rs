//! What is worth noticing: how long each stage took, the clock, the dice. Announced here once; log, metrics and `Server-Timing`
//! each choose.

use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use undergird_plan::caller::Moment;

/// The stages of the pipeline, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// bytes → request.
    Decode,
    /// headers → caller.
    Identify,
    /// request + caller → plan, and plan → statement.
    Plan,
    /// statement → rows, waiting for the writer and the commit included; rows → bytes happens as they come.
    Store,
    /// Whatever is left to do for the answer.
    Encode,
}

/// All of them, in order.
pub const STAGES: [Stage; 5] = [Stage::Decode, Stage::Identify, Stage::Plan, Stage::Store, Stage::Encode];

impl Stage {
    /// Its name in `Server-Timing`, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Identify => "identify",
            Stage::Plan => "plan",
            Stage::Store => "store",
            Stage::Encode => "encode",
        }
    }
}

/// How long each stage of one request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages([Duration; 5]);

impl Stages {
    /// Adds time to a stage.
    pub fn add(&mut self, stage: Stage, time: Duration) {
        self.0[stage as usize] += time;
    }

    /// Each stage with its time.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        STAGES.iter().map(|stage| (*stage, self.0[*stage as usize]))
    }
}

/// The one place where the time and random bits come from.
pub struct Clock {
    random: SystemRandom,
    /// Random bits asked of the system in advance: a system call per request would be a tenth of a point read.
    reserve: Mutex<Reserve>,
}

struct Reserve {
    bytes: [u8; RESERVE_BYTES],
    used: usize,
}

const RESERVE_BYTES: usize = 4_096;

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

impl Clock {
    /// The system's.
    pub fn new() -> Clock {
        let reserve = Reserve { bytes: [0; RESERVE_BYTES], used: RESERVE_BYTES };
        Clock { random: SystemRandom::new(), reserve: Mutex::new(reserve) }
    }

    /// The time now and fresh random bits.
    pub fn moment(&self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Moment { now, entropy: self.entropy() }
    }

    fn entropy(&self) -> u128 {
        let mut reserve = self.reserve.lock();
        if reserve.used + size_of::<u128>() > RESERVE_BYTES {
            // Without random bits ids could repeat; the unique key would refuse them, so nothing is lost by going on.
            if self.random.fill(&mut reserve.bytes).is_err() {
                tracing::error!("the system gives no random bits");
            }
            reserve.used = 0;
        }
        let start = reserve.used;
        reserve.used += size_of::<u128>();
        let mut bytes = [0u8; size_of::<u128>()];
        // Taken out, so that what was given stays nowhere.
        bytes.swap_with_slice(&mut reserve.bytes[start..start + size_of::<u128>()]);
        u128::from_le_bytes(bytes)
    }
}
