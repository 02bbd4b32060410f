//! Plans as SQLite's words: a wrong statement is a failing comparison.
