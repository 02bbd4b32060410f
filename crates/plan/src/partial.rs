//! Partial evaluation for a kind of caller: *allow*, *deny* or *only these rows*.
