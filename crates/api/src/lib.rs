//! Wire formats: one folder per surface. Bytes and headers come in, [`undergird_plan::Request`]s go down; rows come up and leave as bytes.
//!
//! Deliberately absent: stores, who the caller is, which surfaces a server mounts.

pub mod auth;
pub mod contract;
pub mod http;
pub mod problem;
pub mod rest;
