//! Undergird, put together: the library that Rust programs embed, and what the `undergird` command is made of.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = undergird::Server::builder("blog").build().await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
//! server.serve(listener).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The one crate that names concrete stores, methods of signing in and surfaces. Deliberately absent: any of their work.

mod accounts;
pub mod backup;
mod cli;
pub mod commands;
pub mod config;
mod connection;
pub mod data;
mod dress;
mod fetch;
pub mod keys;
pub mod logs;
mod migrations;
mod say;
pub mod schema;
mod seed;
mod serve;
mod server;
mod stores;
mod watch;

pub use cli::{Exit, run};
pub use serve::{Shutdown, signals};
pub use server::{Builder, SchemaPolicy, Server, StartError};
