//! `/rest/v1`: PostgREST's dialect, and what it lacks.

pub mod cursor;
pub mod decode;
pub mod encode;
pub mod etag;
pub mod media;
pub mod prefer;
