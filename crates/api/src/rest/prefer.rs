//! `Prefer` (RFC 7240) as PostgREST uses it, and `Preference-Applied`.

use super::decode::Malformed;
use undergird_plan::Request;
use undergird_plan::request::{Count, Resolution, Returning, Verb};

/// What `Prefer` said. `None` where it said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `return=`.
    pub returning: Option<Returning>,
    /// `count=`.
    pub count: Option<Count>,
    /// `resolution=`.
    pub resolution: Option<Resolution>,
    /// `missing=default` (true) or `missing=null` (false).
    pub missing_default: Option<bool>,
    /// `handling=strict` given.
    pub strict: bool,
    /// `handling=lenient` given.
    pub lenient: bool,
    /// `tx=rollback` (true) or `tx=commit` (false).
    pub rollback: Option<bool>,
    /// `max-affected=`. Counts only with `handling=strict`.
    pub max_affected: Option<u64>,
    /// `timezone=UTC` given: the only one there is, see DESIGN §4.
    pub utc: bool,
    /// `consistency=eventual`: the rows of a read may be a little old.
    pub eventual: bool,
    /// Said after the read: a replica answered, so they may be.
    pub aged: bool,
}

/// Most preferences in one request; more are not looked at when lenient and too many when strict.
const PREFERENCES_MAX: usize = 50;

impl Preferences {
    /// Reads the header's fields. The first of two that contradict each other counts, as RFC 7240 says.
    ///
    /// # Errors
    /// PGRST122 when `handling=strict` and something is unknown.
    pub fn read(fields: &[&str]) -> Result<Preferences, Malformed> {
        let mut read = Preferences::default();
        if fields.is_empty() {
            return Ok(read);
        }
        let mut unknown: Vec<&str> = Vec::new();
        let all = fields.iter().flat_map(|field| field.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
        for (position, entry) in all.enumerate() {
            if position == PREFERENCES_MAX || !read.note(entry) {
                unknown.push(entry);
            }
            if position == PREFERENCES_MAX {
                break;
            }
        }
        if read.strict && !unknown.is_empty() {
            let listed = unknown.join(", ");
            return Err(Malformed::new("PGRST122", 400, "Invalid preferences given with handling=strict")
                .with_details(format!("Invalid preferences: {}", super::decode::excerpt(&listed))));
        }
        Ok(read)
    }

    /// Takes note of one. False: unknown.
    fn note(&mut self, entry: &str) -> bool {
        // Parameters after a semicolon refine a preference; none of ours has any.
        let entry = entry.split(';').next().unwrap_or_default();
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        match (name, value) {
            ("return", "minimal") => _ = self.returning.get_or_insert(Returning::Minimal),
            ("return", "headers-only") => _ = self.returning.get_or_insert(Returning::HeadersOnly),
            ("return", "representation") => _ = self.returning.get_or_insert(Returning::Representation),
            ("count", "exact") => _ = self.count.get_or_insert(Count::Exact),
            ("count", "planned") => _ = self.count.get_or_insert(Count::Planned),
            ("count", "estimated") => _ = self.count.get_or_insert(Count::Estimated),
            ("resolution", "merge-duplicates") => _ = self.resolution.get_or_insert(Resolution::MergeDuplicates),
            ("resolution", "ignore-duplicates") => _ = self.resolution.get_or_insert(Resolution::IgnoreDuplicates),
            ("missing", "default") => _ = self.missing_default.get_or_insert(true),
            ("missing", "null") => _ = self.missing_default.get_or_insert(false),
            ("handling", "strict") => self.strict = !self.lenient,
            ("handling", "lenient") => self.lenient = !self.strict,
            ("tx", "rollback") => _ = self.rollback.get_or_insert(true),
            ("tx", "commit") => _ = self.rollback.get_or_insert(false),
            ("consistency", "eventual") => self.eventual = true,
            ("timezone", "UTC" | "Etc/UTC") => self.utc = true,
            ("max-affected", number) => match number.parse() {
                Ok(number) => _ = self.max_affected.get_or_insert(number),
                Err(_) => return false,
            },
            _ => return false,
        }
        true
    }

    /// Writes what concerns the plan into the request.
    pub fn put(&self, request: &mut Request) {
        let shape = &mut request.shape;
        shape.count = self.count;
        if matches!(shape.verb, Verb::Create) {
            shape.resolution = self.resolution;
        }
        if matches!(shape.verb, Verb::Create | Verb::Replace) {
            shape.missing_default = self.missing_default == Some(true);
        }
        shape.returning = self.returning.unwrap_or_default();
    }

    /// `Preference-Applied`: which of them counted for this verb. `None` when none did.
    pub fn applied(&self, verb: Verb) -> Option<String> {
        let writes = verb != Verb::Read;
        let mut applied: Vec<String> = Vec::new();
        let mut add = |text: &str| applied.push(text.to_owned());
        if let (Verb::Create, Some(resolution)) = (verb, self.resolution) {
            add(match resolution {
                Resolution::MergeDuplicates => "resolution=merge-duplicates",
                Resolution::IgnoreDuplicates => "resolution=ignore-duplicates",
            });
        }
        if let (Verb::Create | Verb::Replace, Some(missing_default)) = (verb, self.missing_default) {
            add(if missing_default { "missing=default" } else { "missing=null" });
        }
        if let (true, Some(returning)) = (writes, self.returning) {
            add(match returning {
                Returning::Minimal => "return=minimal",
                Returning::HeadersOnly => "return=headers-only",
                Returning::Representation => "return=representation",
            });
        }
        if let Some(count) = self.count {
            add(match count {
                Count::Exact => "count=exact",
                Count::Planned => "count=planned",
                Count::Estimated => "count=estimated",
            });
        }
        if let (true, Some(rollback)) = (writes, self.rollback) {
            add(if rollback { "tx=rollback" } else { "tx=commit" });
        }
        match (self.strict, self.lenient) {
            (true, _) => add("handling=strict"),
            (false, true) => add("handling=lenient"),
            (false, false) => {}
        }
        if self.utc {
            add("timezone=UTC");
        }
        if self.aged && !writes {
            add("consistency=eventual");
        }
        if let (true, true, Some(max)) = (self.strict, matches!(verb, Verb::Update | Verb::Delete), self.max_affected) {
            add(&format!("max-affected={max}"));
        }
        if applied.is_empty() { None } else { Some(applied.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verb: Verb, prefer: &[&str], expected: &str) {
        let found = match Preferences::read(prefer) {
            Ok(read) => Preferences { aged: read.eventual, ..read }.applied(verb).unwrap_or_default(),
            Err(malformed) => format!("{} {}", malformed.code, malformed.details.unwrap_or_default()),
        };
        assert_eq!(found, expected, "{prefer:?}");
    }

    #[test]
    fn what_counts_is_told() {
        check(Verb::Read, &[], "");
        check(Verb::Read, &["count=exact"], "count=exact");
        check(Verb::Read, &["return=representation, tx=rollback, missing=default"], "");
        check(
            Verb::Create,
            &["resolution=merge-duplicates,return=representation", "missing=default"],
            "resolution=merge-duplicates, missing=default, return=representation",
        );
        check(Verb::Update, &["handling=strict, max-affected=10"], "handling=strict, max-affected=10");
        check(Verb::Update, &["max-affected=10"], "");
        check(Verb::Delete, &["return=minimal, return=representation"], "return=minimal");
        check(Verb::Delete, &["tx=\"rollback\"; foo=bar"], "tx=rollback");
        check(Verb::Read, &["timezone=UTC"], "timezone=UTC");
        check(Verb::Read, &["consistency=eventual"], "consistency=eventual");
        check(Verb::Update, &["consistency=eventual, handling=strict"], "handling=strict");
        check(Verb::Read, &["consistency=strong, handling=strict"], "PGRST122 Invalid preferences: consistency=strong");
    }

    #[test]
    fn strict_refuses_what_it_does_not_know() {
        check(Verb::Read, &["handling=lenient, foo, bar"], "handling=lenient");
        check(Verb::Read, &["handling=strict, foo, bar"], "PGRST122 Invalid preferences: foo, bar");
        check(
            Verb::Read,
            &["timezone=Jupiter/Red_Spot", "handling=strict"],
            "PGRST122 Invalid preferences: timezone=Jupiter/Red_Spot",
        );
        check(Verb::Update, &["handling=strict, max-affected=many"], "PGRST122 Invalid preferences: max-affected=many");
        check(Verb::Update, &["handling=strict, return=everything"], "PGRST122 Invalid preferences: return=everything");
    }
}
