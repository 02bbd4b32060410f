//! Whether a store can say the rules of a definition: asked once, when it is opened, so that nobody meets a lack at a request.
//!
//! Absent: what requests bring. A filter that the store cannot say is refused by itself.

use super::dialect::Dialect;
use super::expr::Writer;
use undergird_model::Model;
use undergird_model::expr::RowVar;
use undergird_model::schema::{Collection, Kept, Rule};

/// The rules that a store cannot compute as expressions mean them, a sentence for each: which one, and what is lacking.
pub fn lacking(model: &Model, dialect: &dyn Dialect) -> Vec<String> {
    let mut told = Vec::new();
    for collection in &model.collections {
        for (place, rule) in rules(collection) {
            let mut writer = Writer::new(model, dialect);
            writer.enter(RowVar::THIS, false);
            writer.enter(RowVar::NEW, false);
            // Those of `new` stand for the row as it would become: what is written of it is of the same types.
            writer.condition(&rule.expr);
            let statement = writer.finish(String::new(), Vec::new(), false);
            if let Some(what) = statement.lacks {
                told.push(format!(
                    "{}.{place}: {} cannot compute {what}: `{}`",
                    collection.name,
                    dialect.name(),
                    rule.text
                ));
            }
        }
    }
    told
}

/// The fields of adopted tables that the store cannot read, a sentence for each: which one, and why.
pub fn unknown_forms(model: &Model, dialect: &dyn Dialect) -> Vec<String> {
    let fields =
        model.collections.iter().flat_map(|collection| collection.fields.iter().map(move |one| (collection, one)));
    fields
        .filter_map(|(collection, field)| match &field.kept {
            Kept::Own => None,
            Kept::Adopted(storage) => {
                let why = dialect.form(field.ty, storage.as_deref()).err()?;
                Some(format!("{}.{}: {why}", collection.name, field.name))
            }
        })
        .collect()
}

/// The rules that decide in the store, and where they stand. (Checks and defaults are computed in memory.)
fn rules(collection: &Collection) -> Vec<(String, &Rule)> {
    let access = &collection.access;
    let verbs = [
        ("access.read", &access.read),
        ("access.create", &access.create),
        ("access.update", &access.update),
        ("access.delete", &access.delete),
    ];
    let rows = verbs.into_iter().filter_map(|(place, rule)| Some((place.to_owned(), rule.as_ref()?)));
    let fields = collection.fields.iter().flat_map(|field| {
        let each = [("read", &field.read), ("write", &field.write)];
        each.into_iter().filter_map(|(verb, rule)| Some((format!("{}.{verb}", field.name), rule.as_ref()?)))
    });
    rows.chain(fields).collect()
}
