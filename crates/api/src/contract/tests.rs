//! The contract of small definitions and of the blog.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use undergird_model::{Model, Source, operations};

/// The model of an example.
fn example(name: &str) -> Model {
    let root = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let read = |path: String| {
        let text = std::fs::read_to_string(format!("{root}/{path}")).unwrap();
        Source { name: path.into(), text: text.into() }
    };
    let mut files: Vec<String> = std::fs::read_dir(format!("{root}/models"))
        .unwrap()
        .map(|entry| format!("models/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    files.sort();
    let sources: Vec<Source> = std::iter::once("undergird.toml".to_owned()).chain(files).map(read).collect();
    undergird_model::definition::check(&sources, &[]).0.unwrap()
}

fn small() -> Model {
    let text = r#"
description = "Notes."
[fields]
title  = { type = "text", min = 1, max = 100, description = "In one line." }
stars  = { type = "int", min = 0, max = 5, default = 0 }
kind   = { type = "enum", values = ["memo", "list"], optional = true }
secret = { type = "secret", optional = true }
made   = { type = "timestamp", default = { expr = "now" }, readonly = true }
"#;
    let sources = [Source { name: "models/notes.toml".into(), text: text.into() }];
    undergird_model::definition::check(&sources, &[]).0.unwrap()
}

/// With functions of each kind.
fn calling() -> Model {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let sources = [
        source("models/places.toml", "[cache]\n[fields]\nid = { type = \"int\" }\nname = { type = \"text\" }\n"),
        source(
            "functions/near.toml",
            "description = \"Those near by.\"\nvolatility = \"stable\"\nreturns = { rows = \"places\" }\n[arguments]\n\
             far = { type = \"int\", min = 1 }\nname = { type = \"text\", optional = true, description = \"As it is called.\" }\n",
        ),
        source("functions/first.toml", "returns = { row = \"places\" }\n"),
        source("functions/sum.toml", "volatility = \"immutable\"\nreturns = { type = \"int\" }\n"),
        source("functions/words.toml", "returns = { type = \"text\", list = true }\n"),
        source("functions/deed.toml", ""),
    ];
    undergird_model::definition::check(&sources, &[]).0.unwrap()
}

/// Writes what was made where a person or another tool can look at it: `UNDERGIRD_CONTRACT_OUT=/tmp/out cargo nextest run contract`.
fn show(name: &str, text: &str) {
    if let Some(folder) = std::env::var_os("UNDERGIRD_CONTRACT_OUT") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
    }
}

#[test]
fn every_operation_is_in_the_document_and_nothing_else() {
    for (name, model) in [("blog", example("blog")), ("hostile", example("hostile")), ("calling", calling())] {
        let document = openapi(&model);
        show(&format!("{name}.json"), &serde_json::to_string_pretty(&document).unwrap());
        let wanted: BTreeSet<_> = operations(&model)
            .into_iter()
            .map(|operation| (operation.path, operation.method.to_ascii_lowercase(), operation.id))
            .collect();
        let mut found = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                found.insert((path.clone(), method.clone(), id));
                assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{path} {method}");
                assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{path} {method}");
            }
        }
        assert_eq!(found, wanted);
    }
}

fn references<'a>(json: &'a Json, all: &mut Vec<&'a str>) {
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                match value {
                    Json::String(target) if name == "$ref" => all.push(target),
                    other => references(other, all),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, all)),
        _ => {}
    }
}

#[test]
fn references_lead_somewhere_and_components_are_used() {
    for model in [example("blog"), example("hostile"), calling()] {
        let document = openapi(&model);
        let mut all = Vec::new();
        references(&document, &mut all);
        for target in &all {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        for kind in ["parameters", "headers", "responses", "schemas"] {
            for component in document["components"][kind].as_object().unwrap().keys() {
                let target = format!("#/components/{kind}/{component}");
                assert!(all.contains(&target.as_str()), "{target} is used by nothing");
            }
        }
    }
}

#[test]
fn the_text_is_stable() {
    assert_eq!(openapi(&example("blog")).to_string(), openapi(&example("blog")).to_string());
    assert_eq!(typescript(&example("blog")), typescript(&example("blog")));
}

#[test]
fn schemas_of_a_row_say_what_the_field_says() {
    let document = openapi(&small());
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["notes"],
        json!({
            "type": "object", "title": "notes", "description": "Notes.",
            "required": ["id", "title", "stars", "kind", "made"],
            "properties": {
                "id": { "type": "string", "format": "uuid" },
                "title": { "type": "string", "description": "In one line." },
                "stars": { "type": "integer", "format": "int64" },
                "kind": { "type": ["string", "null"], "enum": ["memo", "list", null] },
                "made": { "type": "string", "format": "date-time", "readOnly": true },
            },
            "additionalProperties": false,
        })
    );
    assert_eq!(
        schemas["notes.insert"],
        json!({
            "type": "object", "title": "notes (insert)",
            "description": "A new row of notes. What is left out takes its default.",
            "properties": {
                "id": { "type": "string", "format": "uuid", "description": "A new UUID when left out." },
                "title": {
                    "type": "string", "minLength": 1, "maxLength": 100, "description": "In one line.",
                    "pattern": "^[^\\u0000]*$",
                },
                "stars": { "type": "integer", "format": "int64", "minimum": 0, "maximum": 5, "default": 0 },
                "kind": { "type": ["string", "null"], "enum": ["memo", "list", null] },
                "secret": { "type": ["string", "null"], "writeOnly": true, "pattern": "^[^\\u0000]*$" },
                "made": {
                    "type": "string", "format": "date-time", "readOnly": true,
                    "description": "Set by the application; only a secret key may write it. Worked out by the server when left out.",
                },
            },
            "additionalProperties": false,
            "required": ["title"],
            "examples": [{ "title": "Example" }],
        })
    );
    let parameter = |name: &str| &document["components"]["parameters"][name];
    assert_eq!(parameter("notes.where.stars")["schema"], json!({ "$ref": "#/components/schemas/filter.int" }));
    assert_eq!(parameter("notes.where.secret"), &Json::Null);
    assert_eq!(parameter("notes.on_conflict")["schema"], json!({ "type": "string", "enum": ["id"] }));
    assert_eq!(
        parameter("notes.order")["schema"]["pattern"],
        "^(id|title|stars|kind|made)(\\.(asc|desc))?(\\.(nullsfirst|nullslast))?(,(id|title|stars|kind|made)(\\.(asc|desc))?(\\.(nullsfirst|nullslast))?)*$"
    );
}

/// The examples of bodies are taken by the fields themselves.
#[test]
fn examples_are_good() {
    for name in ["blog", "hostile"] {
        let model = example(name);
        let document = openapi(&model);
        for collection in model.public() {
            for variant in ["insert", "update"] {
                let schema = &document["components"]["schemas"][format!("{}.{variant}", collection.name)];
                for example in schema["examples"].as_array().into_iter().flatten() {
                    for (member, value) in example.as_object().unwrap() {
                        let field = collection.field(member).unwrap();
                        assert!(sample::is_fine(field, value), "{}.{member}: {value}", collection.name);
                        assert!(schema["properties"][member].is_object());
                    }
                }
            }
        }
    }
}

#[test]
fn types_of_a_small_application() {
    let text = typescript(&small());
    let (types, _) = text.split_once("\ntype DatabaseWithoutInternals").unwrap();
    let expected = r#"// Made by `undergird types typescript` from the definition. Do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  __InternalSupabase: {
    PostgrestVersion: "13"
  }
  public: {
    Tables: {
      /** Notes. */
      notes: {
        Row: {
          id: string
          /** In one line. */
          title: string
          stars: number
          kind: Database["public"]["Enums"]["notes_kind"] | null
          made: string
        }
        Insert: {
          id?: string
          title: string
          stars?: number
          kind?: Database["public"]["Enums"]["notes_kind"] | null
          secret?: string | null
          /** Set by the application; only a secret key may write it. */
          made?: string
        }
        Update: {
          id?: string
          title?: string
          stars?: number
          kind?: Database["public"]["Enums"]["notes_kind"] | null
          secret?: string | null
          /** Set by the application; only a secret key may write it. */
          made?: string
        }
        Relationships: []
      }
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      [_ in never]: never
    }
    Enums: {
      notes_kind: "memo" | "list"
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}
"#;
    assert_eq!(types, expected);
    show("blog.ts", &typescript(&example("blog")));
    show("hostile.ts", &typescript(&example("hostile")));
}

#[test]
fn what_is_kept_in_the_contract() {
    let of = |model: &Model, name: &str| openapi(model)["paths"][format!("/rest/v1/{name}")]["get"].clone();
    let (kept, other) = (of(&calling(), "places"), of(&example("blog"), "posts"));
    let condition = json!({ "$ref": "#/components/parameters/if-none-match" });
    let asks = |operation: &Json| operation["parameters"].as_array().unwrap().contains(&condition);
    assert!(asks(&kept) && !asks(&other));
    assert!(kept["responses"]["304"]["headers"]["Cache-Status"].is_object());
    assert!(other["responses"]["304"].is_null() && other["responses"]["200"]["headers"]["Cache-Status"].is_null());
}

#[test]
fn functions_in_the_contract() {
    let document = openapi(&calling());
    let near = &document["paths"]["/rest/v1/rpc/near"];
    assert_eq!(
        near["post"]["requestBody"],
        json!({ "required": true, "content": { "application/json": { "schema": {
            "type": "object", "additionalProperties": false, "required": ["far"],
            "properties": {
                "far": { "type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX },
                "name": { "type": ["string", "null"], "description": "As it is called." },
            },
        } } } })
    );
    assert_eq!(near["get"]["parameters"][0]["name"], "far");
    let deed = &document["paths"]["/rest/v1/rpc/deed"];
    assert_eq!((&deed["get"], deed["post"]["responses"]["200"].is_null()), (&Json::Null, true));

    let text = typescript(&calling());
    let (_, functions) = text.split_once("    Functions: {\n").unwrap();
    let (functions, _) = functions.split_once("    Enums: {").unwrap();
    let expected = r#"      deed: {
        Args: never
        Returns: undefined
      }
      first: {
        Args: never
        Returns: Database["public"]["Tables"]["places"]["Row"] | null
        SetofOptions: {
          from: "*"
          to: "places"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      /** Those near by. */
      near: {
        Args: {
          far: number
          /** As it is called. */
          name?: string | null
        }
        Returns: Database["public"]["Tables"]["places"]["Row"][]
        SetofOptions: {
          from: "*"
          to: "places"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      sum: {
        Args: never
        Returns: number | null
      }
      words: {
        Args: never
        Returns: (string | null)[]
      }
    }
"#;
    assert_eq!(functions, expected);
}
