//! The contract, made from the definition alone: the OpenAPI document, the TypeScript types that `createClient<Database>()` takes, and the
//! page that shows the document and tries it.
//!
//! Pure: a model in, text out, in a stable order, so that two definitions can be compared without a database. Deliberately absent: stores,
//! callers, and anything that differs between two runs of the same definition.

mod docs_page;
mod openapi;
mod sample;
#[cfg(test)]
mod tests;
mod typescript;

pub use docs_page::{Page, page};
pub use openapi::openapi;
pub use typescript::typescript;
