//! The suite that every store passes: cases as data, run against the real database.
