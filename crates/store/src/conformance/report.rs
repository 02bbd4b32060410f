//! What came of a run of the suite, and the differences that a store admits to.

use std::fmt;

/// A difference that a store admits to. It stands in the store's own crate, beside its reason.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// Which check: its full name as a report tells it, `case: request` (a request that the case makes again has ` (2)` behind it).
    pub case: &'static str,
    /// Why the store cannot answer as the others do.
    pub reason: &'static str,
    /// What it answers instead. Any other answer is a difference, and the suite's own answer makes the exception a fault. For a
    /// definition that the store refuses as a whole (`case` is the case's name alone): words of the refusal.
    pub answer: &'static str,
}

/// What came of a run of the suite. Printed, it tells the counts, the slowest cases and all differences.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases run.
    pub cases: usize,
    /// Checks made.
    pub checks: usize,
    /// How often the tables were made anew.
    pub migrations: usize,
    /// Checks that came out as an exception says.
    pub excepted: usize,
    /// One text per check that came out otherwise.
    pub different: Vec<String>,
    /// Exceptions that nothing needs any more, or that name no check.
    pub needless: Vec<String>,
    /// Milliseconds and names of the cases that took longest.
    pub slowest: Vec<(u128, String)>,
}

impl Report {
    /// Whether everything came out as it should.
    pub fn passed(&self) -> bool {
        self.different.is_empty() && self.needless.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} checks in {} cases ({} migrations): {} different, {} excepted",
            self.checks,
            self.cases,
            self.migrations,
            self.different.len(),
            self.excepted
        )?;
        for (milliseconds, name) in &self.slowest {
            writeln!(f, "  {milliseconds:>6} ms  {name}")?;
        }
        for text in &self.different {
            writeln!(f, "{text}")?;
        }
        for text in &self.needless {
            writeln!(f, "needless exception: {text}")?;
        }
        Ok(())
    }
}
