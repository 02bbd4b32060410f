//! The crate map in ARCHITECTURE.md against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which of our crates each crate uses.
type Map = BTreeMap<String, BTreeSet<String>>;

/// Faults of the map.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let page = read(&root.join("ARCHITECTURE.md"))?;
    let mut built = Map::new();
    let mut names = BTreeMap::new();
    let mut faults = Vec::new();
    let crates = root.join("crates");
    let problem = |error: std::io::Error| format!("{}: {error}", crates.display());
    for entry in std::fs::read_dir(&crates).map_err(problem)? {
        let folder = entry.map_err(problem)?.path();
        let manifest: toml::Table = read(&folder.join("Cargo.toml"))?
            .parse()
            .map_err(|error| format!("{}/Cargo.toml: {error}", folder.display()))?;
        let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        names.insert(name.unwrap_or_default().to_owned(), folder.clone());
        let uses = manifest.get("dependencies").and_then(toml::Value::as_table);
        for feature in UNRULED {
            if uses.into_iter().flatten().any(|(_, wanted)| asks_for(wanted, feature)) {
                faults.push(format!("crates/{folder}/Cargo.toml: the feature {feature} is for tests: it makes plans that no rule was asked about"));
            }
        }
        built.insert(folder, uses.into_iter().flat_map(toml::Table::keys).cloned().collect());
    }
    // Dependencies are named by package, the map by folder; the rest of the world is no part of it.
    for uses in built.values_mut() {
        *uses = uses.iter().filter_map(|package| names.get(package).cloned()).collect();
    }
    faults.extend(compare(&drawn(&page), &built));
    Ok(faults)
}

/// The feature of `plan` whose plans go past `authorize`, for the differential test of the two readers, and that of `store` which has it.
const UNRULED: [&str; 2] = ["arbitrary", "differential"];

/// Whether a dependency asks for a feature.
fn asks_for(wanted: &toml::Value, feature: &str) -> bool {
    let features = wanted.get("features").and_then(toml::Value::as_array);
    features.is_some_and(|features| features.iter().any(|known| known.as_str() == Some(feature)))
}

/// The table of the page: rows `| crate | what | uses |` with crates in backticks; `all` is every other one but `xtask`.
fn drawn(page: &str) -> Map {
    let rows: Vec<(Vec<String>, &str)> = page
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> =
                line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
            let [name, _, uses] = cells.as_slice() else { return None };
            let names = in_backticks(name);
            (!names.is_empty()).then_some((names, *uses))
        })
        .collect();
    let all: BTreeSet<String> = rows.iter().flat_map(|(names, _)| names.clone()).collect();
    let mut map = Map::new();
    for (names, uses) in rows {
        for name in names {
            let uses = match uses {
                "all" => all.iter().filter(|other| **other != name && *other != "xtask").cloned().collect(),
                _ => in_backticks(uses).into_iter().collect(),
            };
            map.insert(name, uses);
        }
    }
    map
}

fn in_backticks(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn compare(drawn: &Map, built: &Map) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("ARCHITECTURE.md: {text}"));
    for name in drawn.keys().filter(|name| !built.contains_key(*name)) {
        fault(format!("the map has {name}, which is no crate"));
    }
    for (name, uses) in built {
        let Some(said) = drawn.get(name) else {
            fault(format!("the map lacks {name}"));
            continue;
        };
        for other in uses.difference(said) {
            fault(format!("{name} uses {other}, which the map does not allow"));
        }
        for other in said.difference(uses) {
            fault(format!("the map says that {name} uses {other}, which it does not"));
        }
    }
    faults
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Map, compare, drawn};

    #[test]
    fn a_map_that_lies_is_found() {
        let page = "| crate | what it is | uses |\n|---|---|---|\n| `a` | x | – |\n| `b`, `c` | y | `a` |\n| `top` | z | all |\n";
        let map = drawn(page);
        let uses = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let built: Map = [
            ("a".to_owned(), uses(&["b"])),
            ("b".to_owned(), uses(&["a"])),
            ("d".to_owned(), uses(&[])),
            ("top".to_owned(), uses(&["a", "b"])),
        ]
        .into();
        assert_eq!(
            compare(&map, &built),
            [
                "ARCHITECTURE.md: the map has c, which is no crate",
                "ARCHITECTURE.md: a uses b, which the map does not allow",
                "ARCHITECTURE.md: the map lacks d",
                "ARCHITECTURE.md: the map says that top uses c, which it does not",
            ]
        );
    }
}
