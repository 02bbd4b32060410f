//! Is every key known, and its value of the right TOML type? One walk over the tree, driven by the inventory in [`super::keys`], so
//! that what comes after may read keys without asking again.

use super::keys::{Key, Shape};
use super::report::{Report, codes};
use super::tree::{Data, Node, Table};

/// Reports every unknown key and every value of the wrong type. Wrong ones are removed, so that no later stage stumbles over them
/// and reports the same mistake in other words.
pub(super) fn verify(table: &mut Table, keys: &'static [Key], of: &str, report: &mut Report) {
    table.entries.retain_mut(|entry| match keys.iter().find(|key| key.name == entry.key) {
        None => {
            report
                .error(entry.place, codes::UNKNOWN_KEY, format!("unknown key \"{}\" in {of}", entry.key))
                .suggest(&entry.key, keys.iter().map(|key| key.name));
            false
        }
        Some(key) => fits(key.name, key.shape, &mut entry.value, report),
    });
}

/// Whether a value has the shape; if not, the reason was reported.
fn fits(name: &str, shape: Shape, node: &mut Node, report: &mut Report) -> bool {
    let place = node.place;
    let kind = node.kind();
    let mut wrong = |expected: &str| {
        report.error(place, codes::WRONG_TYPE, format!("\"{name}\" is {kind}, expected {expected}"));
        false
    };
    match (shape, &mut node.data) {
        (Shape::Text | Shape::Rule, Data::Text(_)) | (Shape::Bool, Data::Bool(_)) => true,
        (Shape::Rule, _) => {
            let expected = format!("\"{name}\" is {kind}, expected a rule as text");
            report.error(place, codes::WRONG_TYPE, expected).hint("write it in quotes, like \"true\"");
            false
        }
        (Shape::Text, _) => wrong("text"),
        (Shape::Bool, _) => wrong("true or false"),
        (Shape::Choice(words), Data::Text(text)) => {
            let known = words.contains(&text.as_str());
            if !known {
                report
                    .error(place, codes::UNKNOWN_VALUE, format!("\"{name}\" cannot be \"{text}\""))
                    .suggest(text, words.iter().copied());
            }
            known
        }
        (Shape::Choice(_), _) => wrong("text"),
        (Shape::Int(least, greatest), Data::Int(number)) => {
            let fits = (least..=greatest).contains(number);
            if !fits {
                report.error(place, codes::OUT_OF_RANGE, format!("\"{name}\" must be from {least} to {greatest}"));
            }
            fits
        }
        (Shape::Int(..), _) => wrong("a whole number"),
        (Shape::Number, Data::Int(_) | Data::Float(_)) => true,
        (Shape::Number, _) => wrong("a number"),
        (Shape::Texts, Data::Array(items)) => all_texts(name, items, report),
        (Shape::Texts, _) => wrong("a list of texts"),
        (Shape::Names, Data::Text(_)) => true,
        (Shape::Names, Data::Array(items)) => all_texts(name, items, report),
        (Shape::Names, _) => wrong("a name or a list of names"),
        (Shape::Literal, _) => true,
        (Shape::Schema, Data::Table(_) | Data::Bool(_)) => true,
        (Shape::Schema, _) => wrong("a JSON Schema as a table"),
        (Shape::Table(keys), Data::Table(table)) => {
            verify(table, keys, &format!("[{name}]"), report);
            true
        }
        (Shape::Map(keys), Data::Table(table)) => {
            let one = match name {
                "arguments" => "argument",
                "providers" => "provider",
                _ => "field",
            };
            table.entries.retain_mut(|entry| {
                let (key, place, kind) = (entry.key.clone(), entry.value.place, entry.value.kind());
                match &mut entry.value.data {
                    Data::Table(inner) => {
                        verify(inner, keys, &format!("{one} \"{key}\""), report);
                        true
                    }
                    _ => {
                        report.error(place, codes::WRONG_TYPE, format!("\"{key}\" is {kind}, expected a table")).hint(
                            format!(
                                "{} {one} is written like {{ type = \"text\" }}",
                                if one == "field" { "a" } else { "an" }
                            ),
                        );
                        // Kept as an empty table: the name is declared, and what refers to it is not another mistake.
                        entry.value.data = Data::Table(Table::default());
                        true
                    }
                }
            });
            true
        }
        (Shape::Table(_) | Shape::Map(_), _) => wrong("a table"),
        (Shape::Tables(keys), Data::Array(items)) => {
            items.retain_mut(|item| {
                let (place, kind) = (item.place, item.kind());
                match &mut item.data {
                    Data::Table(inner) => {
                        verify(inner, keys, &format!("[[{name}]]"), report);
                        true
                    }
                    _ => {
                        report.error(place, codes::WRONG_TYPE, format!("\"{name}\" has {kind}, expected tables"));
                        false
                    }
                }
            });
            true
        }
        (Shape::Tables(_), _) => {
            report
                .error(place, codes::WRONG_TYPE, format!("\"{name}\" is {kind}, expected a list of tables"))
                .hint(format!("write [[{name}]]"));
            false
        }
    }
}

fn all_texts(name: &str, items: &mut Vec<Node>, report: &mut Report) -> bool {
    items.retain(|item| {
        let fine = item.text().is_some();
        if !fine {
            report.error(item.place, codes::WRONG_TYPE, format!("\"{name}\" has {}, expected texts", item.kind()));
        }
        fine
    });
    true
}
