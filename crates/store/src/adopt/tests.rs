//! Names, checks and whole definitions, as text.
