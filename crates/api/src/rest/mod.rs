//! `/rest/v1`: PostgREST's dialect, and what it lacks.

pub mod batch;
pub mod call;
pub mod cursor;
pub mod decode;
pub mod encode;
pub mod etag;
pub mod handler;
pub mod media;
mod precondition;
pub mod prefer;
mod replace;
mod respond;
