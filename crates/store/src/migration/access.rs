//! Who may do what, as a snapshot records it: the rules' own texts, so that a migration can say what a change opens or closes.
//!
//! Absent: what a rule means. Whether one text allows more than another is not decided here; a reader is told both.

use super::Snapshot;
use std::collections::BTreeMap;
use undergird_model::schema::{Collection, Rule};

/// Rules by what they are about: `read`, `create`, `update`, `delete`, `body.read`, `body.write`.
pub type Rules = BTreeMap<String, String>;

/// The rules of a collection.
pub(super) fn rules(collection: &Collection) -> Rules {
    let access = &collection.access;
    let of = |what: &str, rule: &Option<Rule>| rule.as_ref().map(|rule| (what.to_owned(), one_line(&rule.text)));
    let mut rules: Rules =
        [("read", &access.read), ("create", &access.create), ("update", &access.update), ("delete", &access.delete)]
            .into_iter()
            .filter_map(|(what, rule)| of(what, rule))
            .collect();
    for field in &collection.fields {
        rules.extend(of(&format!("{}.read", field.name), &field.read));
        rules.extend(of(&format!("{}.write", field.name), &field.write));
    }
    rules
}

/// A rule's text without its line breaks, which mean nothing outside of its quotes.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One rule that is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChange {
    /// Whose.
    pub collection: String,
    /// `read`, `create`, …, or `field.read`, `field.write`.
    pub what: String,
    /// The rule before.
    pub from: Option<String>,
    /// The rule after.
    pub to: Option<String>,
    /// Whether the collection is new, so that nobody could do anything before.
    pub is_new: bool,
}

impl AccessChange {
    /// How steps name it: `posts.read`.
    pub fn object(&self) -> String {
        format!("{}.{}", self.collection, self.what)
    }

    /// Whether somebody may do now what he could not: said of every change except those that only take a right away.
    pub fn may_open(&self) -> bool {
        match (self.what.contains('.'), &self.from, &self.to) {
            // Of a collection, no rule is nobody; of a field, no rule is whoever has the row.
            (false, _, None) | (true, None, _) => false,
            (_, _, to) => to.as_deref() != Some("false"),
        }
    }

    /// In words: `posts becomes readable by everybody (before: nobody without a secret key)`.
    pub fn describe(&self) -> String {
        let (thing, verb) = match self.what.rsplit_once('.') {
            Some((field, verb)) => (format!("the field {}.{field}", self.collection), verb),
            None => (self.collection.clone(), self.what.as_str()),
        };
        let can = match verb {
            "read" => "readable",
            "create" => "creatable",
            "update" => "changeable",
            "delete" => "deletable",
            _ => "writable",
        };
        let is_field = self.what.contains('.');
        let before = match self.is_new {
            true => String::new(),
            false => format!(" (before: {})", who(self.from.as_deref(), is_field)),
        };
        format!("{thing} becomes {can} by {}{before}", who(self.to.as_deref(), is_field))
    }
}

fn who(rule: Option<&str>, is_field: bool) -> String {
    match (rule, is_field) {
        (None, false) => "nobody without a secret key".into(),
        (None, true) => "whoever has the row".into(),
        (Some("true"), _) => "everybody".into(),
        (Some("false"), _) => "nobody".into(),
        (Some(rule), _) => format!("whoever fits `{rule}`"),
    }
}

/// The rules that differ. Those of collections that are gone went with them.
pub fn access_changes(before: &Snapshot, after: &Snapshot) -> Vec<AccessChange> {
    let none = Rules::new();
    let mut changes = Vec::new();
    for (collection, rules) in &after.access {
        let old = before.access.get(collection);
        let (was, is_new) = (old.unwrap_or(&none), old.is_none());
        let mut whats: Vec<&String> = was.keys().chain(rules.keys()).collect();
        whats.sort();
        whats.dedup();
        for what in whats {
            let (from, to) = (was.get(what).cloned(), rules.get(what).cloned());
            if from != to {
                let (collection, what) = (collection.clone(), what.clone());
                changes.push(AccessChange { collection, what, from, to, is_new });
            }
        }
    }
    changes
}
