//! The versions of collections within one process, and which of them a transaction changes.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use undergird_model::field_type::{FieldType, OnDelete};
use undergird_model::{CollectionId, Model};

/// One collection's.
#[derive(Debug, Default)]
pub(crate) struct Version {
    /// How many transactions that change it may be visible soon, or are since a moment.
    under_way: AtomicUsize,
    number: AtomicU64,
}

/// The versions by the names of the tables: they outlive definitions, as transactions do that began before one was replaced.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<FxHashMap<String, Arc<Version>>>);

/// The versions of one model's collections.
#[derive(Debug)]
pub(crate) struct Versions {
    of: Vec<Arc<Version>>,
    /// By collection: those whose rows change when a row of it goes, itself included.
    losing: Vec<Vec<CollectionId>>,
}

impl Versions {
    pub(crate) fn of(model: &Model, registry: &Registry) -> Versions {
        let mut all = registry.0.lock();
        let of = model.collections.iter().map(|collection| all.entry(collection.table.clone()).or_default().clone());
        Versions { of: of.collect(), losing: losing(model) }
    }

    /// The version of a collection that nobody is changing.
    pub(crate) fn at_rest(&self, collection: CollectionId) -> Option<u64> {
        let version = self.of.get(usize::from(collection.0))?;
        // In this order: whoever begins to change it after the first look is not yet acknowledged.
        let at_rest = version.under_way.load(Ordering::SeqCst) == 0;
        at_rest.then(|| version.number.load(Ordering::SeqCst))
    }
}

/// What a transaction changes. From the first word of it until this is dropped, which must be after the commit, nothing that depends on it
/// is kept or found.
#[derive(Debug, Default)]
pub(crate) struct Touched(Vec<(CollectionId, Arc<Version>)>);

impl Touched {
    /// Rows of a collection are made, changed or, as `goes` says, removed.
    pub(crate) fn touch(&mut self, versions: &Versions, collection: CollectionId, goes: bool) {
        let at = usize::from(collection.0);
        match versions.losing.get(at).filter(|_| goes) {
            Some(all) => all.iter().for_each(|one| self.add(versions, *one)),
            None => self.add(versions, collection),
        }
    }

    /// Nobody knows what is changed.
    pub(crate) fn touch_all(&mut self, versions: &Versions) {
        (0..versions.of.len()).for_each(|at| self.add(versions, CollectionId(at as u16)));
    }

    /// What was touched.
    pub(crate) fn collections(&self) -> impl Iterator<Item = CollectionId> {
        self.0.iter().map(|(collection, _)| *collection)
    }

    fn add(&mut self, versions: &Versions, collection: CollectionId) {
        let Some(version) = versions.of.get(usize::from(collection.0)) else { return };
        if self.collections().all(|known| known != collection) {
            version.under_way.fetch_add(1, Ordering::SeqCst);
            self.0.push((collection, version.clone()));
        }
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        for (_, version) in &self.0 {
            version.number.fetch_add(1, Ordering::SeqCst);
            version.under_way.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// By collection: whose rows the database changes when a row of it goes, and whose when those go.
fn losing(model: &Model) -> Vec<Vec<CollectionId>> {
    let mut followers: Vec<Vec<(CollectionId, OnDelete)>> = vec![Vec::new(); model.collections.len()];
    for collection in &model.collections {
        for field in &collection.fields {
            if let FieldType::Ref { to, on_delete, .. } = &field.declared
                && let Some(followers) = followers.get_mut(usize::from(to.0))
            {
                followers.push((collection.id, *on_delete));
            }
        }
    }
    let reached = |from: CollectionId| {
        // Of some rows go, of others they only change.
        let (mut going, mut changing) = (vec![from], Vec::new());
        let mut at = 0;
        while let Some(gone) = going.get(at).copied() {
            for (follower, on_delete) in &followers[usize::from(gone.0)] {
                match on_delete {
                    OnDelete::Restrict => {}
                    OnDelete::Cascade if !going.contains(follower) => going.push(*follower),
                    OnDelete::Cascade => {}
                    OnDelete::SetNull => changing.push(*follower),
                }
            }
            at += 1;
        }
        changing.retain(|one| !going.contains(one));
        changing.sort_unstable();
        changing.dedup();
        going.extend(changing);
        going
    };
    model.collections.iter().map(|collection| reached(collection.id)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use undergird_model::{Source, definition};

    fn model(files: &[(&str, &str)]) -> Model {
        let source =
            |(name, text): &(&str, &str)| Source { name: format!("models/{name}.toml").into(), text: (*text).into() };
        let (model, diagnostics) = definition::check(&files.iter().map(source).collect::<Vec<_>>(), &[]);
        model.unwrap_or_else(|| panic!("{diagnostics:#?}"))
    }

    fn reference(to: &str, on_delete: &str) -> String {
        format!("{to}_id = {{ type = \"ref\", to = \"{to}\", optional = true, on_delete = \"{on_delete}\" }}\n")
    }

    #[test]
    fn what_goes_takes_others_along() {
        let leaf = |to: &str, on_delete: &str| format!("[fields]\n{}", reference(to, on_delete));
        let (b, c, d, e) = (leaf("a", "cascade"), leaf("b", "set_null"), leaf("c", "cascade"), leaf("b", "restrict"));
        // One way to it only changes it, the other takes it along; and it refers to itself.
        let ring = "f_id = { type = \"ref\", to = \"f\", optional = true, inverse = \"fs\", on_delete = \"cascade\" }\n\
                    a_id = { type = \"ref\", to = \"a\", optional = true, on_delete = \"set_null\" }\n";
        let (f, g) = (format!("[fields]\n{}{ring}", reference("b", "cascade")), leaf("f", "cascade"));
        let files = [
            ("a", "[fields]\nx = { type = \"int\" }"),
            ("b", &b),
            ("c", &c),
            ("d", &d),
            ("e", &e),
            ("f", &f),
            ("g", &g),
        ];
        let model = model(&files);
        let names = |from: &str| {
            let mut names: Vec<_> = losing(&model)[usize::from(model.find(from).unwrap().id.0)]
                .iter()
                .map(|id| model.collection(*id).name.clone())
                .collect();
            names.sort();
            names.join("")
        };
        // Rows of c stay, and so do those of d that refer to them.
        assert_eq!(names("a"), "abcfg");
        assert_eq!(names("c"), "cd");
        assert_eq!(names("e"), "e");
        assert_eq!(names("f"), "fg");
    }

    #[test]
    fn nothing_is_at_rest_while_it_is_changed() {
        let model = model(&[("a", "[fields]\nx = { type = \"int\" }"), ("b", "[fields]\nx = { type = \"int\" }")]);
        let registry = Registry::default();
        let (old, new) = (Versions::of(&model, &registry), Versions::of(&model, &registry));
        let (a, b) = (model.find("a").unwrap().id, model.find("b").unwrap().id);
        assert_eq!((new.at_rest(a), new.at_rest(b)), (Some(0), Some(0)));
        let (mut one, mut other) = (Touched::default(), Touched::default());
        one.touch(&old, a, false);
        one.touch(&old, a, true);
        other.touch(&new, a, false);
        assert_eq!((new.at_rest(a), new.at_rest(b)), (None, Some(0)), "of whichever definition the transaction is");
        drop(one);
        assert_eq!(new.at_rest(a), None);
        drop(other);
        assert_eq!((new.at_rest(a), new.at_rest(b)), (Some(2), Some(0)));
        let mut all = Touched::default();
        all.touch_all(&new);
        assert_eq!((new.at_rest(a), new.at_rest(b)), (None, None));
    }
}
