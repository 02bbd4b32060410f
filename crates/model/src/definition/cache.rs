//! `[cache]`: of which collections answers are kept, and whether they can be.
//!
//! Absent: keeping them (see `engine::cache`).

use super::collections::Draft;
use super::report::{Report, codes};
use crate::leads::leads_to;
use crate::schema::{Collection, CollectionId};
use crate::settings::Settings;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long, unless the table says so.
const SECONDS: u64 = 60;

/// How long answers made of a collection are kept at most, if at all.
pub(super) fn seconds(draft: &Draft) -> Option<Duration> {
    let table = draft.tree.table("cache")?;
    Some(Duration::from_secs(table.int("seconds").map_or(SECONDS, i64::unsigned_abs)))
}

/// Refuses `[cache]` where what an answer is made of may change unseen. A rule is part of what it is made of.
pub(super) fn check(
    drafts: &[Draft],
    collections: &[Collection],
    profile: Option<CollectionId>,
    settings: &Settings,
    report: &mut Report,
) {
    for (draft, collection) in drafts.iter().zip(collections) {
        let (Some(entry), Some(_)) = (draft.tree.get("cache"), collection.cache) else { continue };
        if collection.adopted {
            let message = format!("answers of \"{}\" cannot be kept, for others may change its rows", collection.name);
            report.error(entry.place, codes::BAD_CACHE, message).hint("remove [cache]: the table is adopted");
        }
        if settings.store.row_security {
            report
                .error(entry.place, codes::BAD_CACHE, "an answer that is kept is not asked of the database again")
                .hint("remove [cache], or row_security in [stores.main], which has each read pass the database's policies");
        }
        let mut asked = BTreeSet::new();
        let fields = collection.fields.iter().filter_map(|field| field.read.as_ref());
        for rule in collection.access.read.iter().chain(fields) {
            leads_to(&rule.expr, collections, profile, &mut asked);
        }
        for other in asked.into_iter().map(|id| &collections[usize::from(id.0)]) {
            if other.cache.is_none() {
                let message = format!(
                    "a read rule of \"{}\" looks into \"{}\", which has no [cache]",
                    collection.name, other.name
                );
                report
                    .error(entry.place, codes::BAD_CACHE, message)
                    .hint(format!("add [cache] to models/{}.toml, so that its writes are heard of", other.name));
            }
        }
    }
}
