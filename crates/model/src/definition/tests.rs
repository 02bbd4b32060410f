//! Definition text → rendered diagnostics, or the model.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use std::path::Path;

/// The sources of an application in the repository.
fn folder(path: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let read = |file: &Path, name: String| Source {
        name: name.as_str().into(),
        text: std::fs::read_to_string(file).unwrap().as_str().into(),
    };
    let mut sources = vec![read(&root.join("undergird.toml"), "undergird.toml".into())];
    for entry in std::fs::read_dir(root.join("models")).unwrap() {
        let file = entry.unwrap().path();
        let name = format!("models/{}", file.file_name().unwrap().to_str().unwrap());
        sources.push(read(&file, name));
    }
    sources
}

fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic} [{}]\n", diagnostic.code)).collect()
}

/// Sources in one text: `-- models/a.toml` before each.
fn split(text: &str) -> (Vec<Source>, Vec<Source>) {
    let mut sources: Vec<Source> = Vec::new();
    for part in text.split("-- ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        sources.push(Source { name: name.trim().into(), text: text.into() });
    }
    sources.into_iter().partition(|source| !source.name.starts_with("system/"))
}

#[test]
fn examples_are_clean() {
    for path in ["examples/blog", "examples/hostile", "crates/server/template"] {
        let (model, diagnostics) = check(&folder(path), &[]);
        assert_eq!(told(&diagnostics), "", "{path}");
        assert!(model.is_some(), "{path}");
    }
}
