//! `ref`: the key of a row of another collection. It looks like that key everywhere; the foreign key is the store's.

use super::FieldType;
use serde_json::Value as Json;

pub(super) fn json_schema(key: &FieldType) -> Json {
    key.json_schema()
}
