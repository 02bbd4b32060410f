//! `secret`: hashes, tokens, seeds. Written like text; read, filtered, sorted and logged by nobody.

use serde_json::{Value as Json, json};

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "writeOnly": true })
}
