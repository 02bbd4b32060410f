//! JSON Schemas (2020-12) of the definition's files, for editors. Folded from the inventory that the checker uses, so what an editor
//! suggests is what is accepted.

use super::keys::{self, Key, LIST_OF, Shape, TYPES};
use super::names::RESERVED;
use serde_json::{Map, Value as Json, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of `undergird.toml`.
pub fn application_schema() -> Json {
    file("undergird.toml", "The application's settings. Every key has a default.", keys::APPLICATION)
}

/// The schema of `models/*.toml`.
pub fn collection_schema() -> Json {
    let mut schema = file("models/*.toml", "One collection: fields, indexes, access rules, checks.", keys::COLLECTION);
    schema["properties"]["fields"]["propertyNames"] =
        json!({ "pattern": "^[a-z][a-z0-9_]{0,62}$", "not": { "enum": RESERVED } });
    schema
}

/// The schema of `functions/*.toml`.
pub fn function_schema() -> Json {
    file("functions/*.toml", "One function of the database: arguments, result, who may call it.", keys::FUNCTION)
}

fn file(title: &str, description: &str, keys: &[Key]) -> Json {
    let mut schema = json!({ "$schema": DIALECT, "title": title, "description": description });
    if let (Some(schema), Json::Object(members)) = (schema.as_object_mut(), object(keys)) {
        schema.extend(members);
    }
    schema
}

fn object(keys: &[Key]) -> Json {
    let properties: Map<String, Json> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    // What a function gives may be said without a type.
    let has = |name: &str| keys.iter().any(|key| key.name == name);
    if has("type") && !has("rows") {
        schema["required"] = json!(["type"]);
    }
    schema
}

fn property(key: &Key) -> Json {
    let mut schema = shape(key);
    let described =
        if key.types.is_empty() { key.doc.to_owned() } else { format!("{} For {}.", key.doc, key.types.join(", ")) };
    schema["description"] = json!(described);
    if let Some(default) = default(key) {
        schema["default"] = default;
    }
    schema
}

/// The default, which the inventory has as TOML.
fn default(key: &Key) -> Option<Json> {
    serde_json::from_str(key.default).ok()
}

fn shape(key: &Key) -> Json {
    match key.shape {
        // The two texts whose words are known.
        Shape::Text if key.name == "type" => {
            json!({ "enum": TYPES.iter().map(|(name, _)| name).collect::<Vec<_>>() })
        }
        Shape::Text if key.name == "of" => json!({ "enum": LIST_OF }),
        Shape::Text | Shape::Rule => json!({ "type": "string" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int(least, greatest) => json!({ "type": "integer", "minimum": least, "maximum": greatest }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Names => json!({ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1 }),
        Shape::Literal => json!({}),
        Shape::Schema => json!({ "type": ["object", "boolean"] }),
        Shape::Table(keys) => object(keys),
        Shape::Map(keys) => json!({ "type": "object", "additionalProperties": object(keys) }),
        Shape::Tables(keys) => json!({ "type": "array", "items": object(keys) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a schema and the tables beside it: every key is there, described, and nothing else is.
    #[test]
    fn schemas_have_every_key() {
        fn compare(schema: &Json, keys: &[Key]) {
            let properties = schema["properties"].as_object().map(Map::len);
            assert_eq!(properties, Some(keys.len()));
            assert_eq!(schema["additionalProperties"], json!(false));
            for key in keys {
                let property = &schema["properties"][key.name];
                assert!(property["description"].is_string(), "{}", key.name);
                match key.shape {
                    Shape::Table(inner) => compare(property, inner),
                    Shape::Map(inner) => compare(&property["additionalProperties"], inner),
                    Shape::Tables(inner) => compare(&property["items"], inner),
                    _ => {}
                }
            }
        }
        compare(&application_schema(), keys::APPLICATION);
        compare(&collection_schema(), keys::COLLECTION);
        compare(&function_schema(), keys::FUNCTION);
    }

    #[test]
    fn defaults_are_the_settings() {
        // A default that the inventory names is the one that the settings have: checked by laying each over an empty file.
        let plain = super::super::check(&[], &[]).0.map(|model| model.settings);
        for (path, key) in keys::settings() {
            if key.default.is_empty() {
                continue;
            }
            let (table, name) = path.split_at(path.len() - 1);
            let header = if table.is_empty() { String::new() } else { format!("[{}]\n", table.join(".")) };
            let text = format!("{header}{} = {}\n", name[0], key.default);
            let source = crate::Source { name: "undergird.toml".into(), text: text.as_str().into() };
            let (model, diagnostics) = super::super::check(&[source], &[]);
            assert_eq!(diagnostics, [], "{text}");
            assert_eq!(model.map(|model| model.settings), plain, "{text}");
        }
    }
}
