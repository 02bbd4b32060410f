//! `/rest/v1`: PostgREST's dialect, and what it lacks.

pub mod decode;
pub mod media;
pub mod prefer;
