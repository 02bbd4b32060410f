//! The plumbing that all surfaces share: one function, [`serve`], from an HTTP request to an HTTP answer.
//!
//! A stage is a function call, not a boxed layer, because the whole way around a handler has a budget of two microseconds.
//! Deliberately absent: sockets (the server's), what a surface means (its own folder), who the caller is (`engine::accounts`).

pub mod access_log;
pub mod answer;
mod body;
pub mod compress;
pub mod cors;
pub mod fault;
mod forwarded;
mod inbox;
pub mod metrics;
mod pipeline;
pub mod policy;
pub mod request_id;
pub mod route;
mod service;
#[cfg(test)]
mod tests;
mod turnstile;

pub use access_log::{AccessLog, AccessRecord, AccessRecords};
pub use answer::Answer;
pub use body::Linger;
pub use fault::Fault;
pub use metrics::Metrics;
pub use pipeline::{Connection, Exchange, Http, serve};
pub use request_id::{RequestId, RequestIds};
pub use route::{Route, Routes};
