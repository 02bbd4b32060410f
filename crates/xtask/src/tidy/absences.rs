//! What must not be there, word by word.

use crate::source::Source;

/// Words that must not stand in some crates.
pub struct Rule {
    /// What is absent, and why, for the message.
    pub because: &'static str,
    /// The words: whole names, or text with its punctuation.
    pub words: &'static [&'static str],
    /// In code or in string literals.
    pub within: Within,
    /// Which crates it holds for.
    pub crates: Crates,
    /// Files that may, with the reason.
    pub except: &'static [(&'static str, &'static str)],
}

/// Where words are looked for.
pub enum Within {
    /// Code, without comments and strings.
    Code,
    /// Contents of string literals.
    Strings,
}

/// Which crates a rule holds for.
pub enum Crates {
    /// These.
    In(&'static [&'static str]),
    /// All but these.
    NotIn(&'static [&'static str]),
}

/// The stated absences of ARCHITECTURE.md.
pub const RULES: &[Rule] = &[
    Rule {
        because: "model and plan know no clock and no randomness: both arrive on the Caller",
        words: &[
            "SystemTime",
            "Instant",
            "Timestamp::now",
            "Zoned::now",
            "rand",
            "getrandom",
            "now_v7",
            "new_v4",
            "ring",
        ],
        within: Within::Code,
        crates: Crates::In(&["model", "plan"]),
        except: &[],
    },
    Rule {
        because: "model and plan know no async, no HTTP and no files",
        words: &[
            "tokio",
            "futures_util",
            "async",
            "await",
            "axum",
            "http::",
            "hyper",
            "std::fs",
            "std::net",
            "std::env",
            "File",
        ],
        within: Within::Code,
        crates: Crates::In(&["model", "plan"]),
        except: &[
            ("crates/model/src/definition/", "`File` is a definition's file, which came as text"),
            ("crates/model/src/field_type/url.rs", "reads addresses in URLs, opens no connection"),
            ("crates/model/src/networks.rs", "reads addresses, opens no connection"),
        ],
    },
    Rule {
        because: "model and plan know no SQL",
        words: &["SELECT ", "INSERT INTO", "DELETE FROM", " WHERE ", "CREATE TABLE", "ORDER BY", "PRAGMA"],
        within: Within::Strings,
        crates: Crates::In(&["model", "plan"]),
        except: &[],
    },
    Rule {
        because: "only auth and engine act as Undergird itself",
        words: &["Caller::system("],
        within: Within::Code,
        crates: Crates::NotIn(&["auth", "engine"]),
        except: &[],
    },
    Rule {
        because: "the probe of an explanation passes over row rules: no surface may have it, only `undergird explain`",
        words: &["authorize::explain", ".explore("],
        within: Within::Code,
        crates: Crates::NotIn(&["plan", "engine"]),
        except: &[("crates/server/src/commands/explain.rs", "for people with the database in their hands")],
    },
    Rule {
        because: "copying whole tables passes over all rules: no surface may have it, only `undergird move`",
        words: &["undergird_engine::transfer", "about_table"],
        within: Within::Code,
        crates: Crates::NotIn(&["engine", "store"]),
        except: &[("crates/server/src/commands/transfer.rs", "for people with both databases in their hands")],
    },
    Rule {
        because: "reads that may be old are for single requests that ask for them: what is decided upon is read as it is now",
        words: &["Freshness::Eventual", ".read_at("],
        within: Within::Code,
        crates: Crates::NotIn(&["engine", "store", "store-sqlite", "store-postgres", "store-mysql"]),
        except: &[("crates/api/src/rest/handler.rs", "it answers them")],
    },
    Rule {
        because: "plans that no rule was asked about are for the differential test alone",
        words: &["undergird_plan::arbitrary"],
        within: Within::Code,
        crates: Crates::NotIn(&["plan"]),
        except: &[("crates/store/src/conformance/differential.rs", "it is that test, compiled for tests alone")],
    },
    Rule {
        because: "a driver lives in its store crate alone",
        words: &["rusqlite", "libsqlite3_sys"],
        within: Within::Code,
        crates: Crates::NotIn(&["store-sqlite", "bench"]),
        except: &[],
    },
    Rule {
        because: "a driver lives in its store crate alone",
        words: &["tokio_postgres", "postgres_types", "postgres_protocol"],
        within: Within::Code,
        crates: Crates::NotIn(&["store-postgres", "bench"]),
        except: &[],
    },
    Rule {
        because: "a driver lives in its store crate alone",
        words: &["mysql_async", "mysql_common"],
        within: Within::Code,
        crates: Crates::NotIn(&["store-mysql", "bench"]),
        except: &[],
    },
    Rule {
        because: "only the composition root names a concrete store",
        words: &["undergird_store_sqlite", "undergird_store_postgres", "undergird_store_mysql"],
        within: Within::Code,
        crates: Crates::NotIn(&["server", "store-sqlite", "store-postgres", "store-mysql", "bench"]),
        except: &[],
    },
    Rule {
        because: "nobody outside a store asks which store it is on",
        words: &["\"sqlite\"", "\"postgres\"", "\"mysql\""],
        within: Within::Strings,
        crates: Crates::NotIn(&["server", "store-sqlite", "store-postgres", "store-mysql", "xtask"]),
        except: &[],
    },
    Rule {
        because: "no type below api is written on the wire",
        words: &["Serialize"],
        within: Within::Code,
        crates: Crates::In(&["model", "plan", "store", "store-sqlite", "engine"]),
        except: &[
            ("crates/store/src/schema/", "the record of the schema is kept in the database, not sent"),
            ("crates/store/src/migration/", "the snapshot of a definition is kept in a file, not sent"),
        ],
    },
    Rule {
        because: "api and auth do not see the store or each other",
        words: &["undergird_store", "undergird_api", "undergird_auth"],
        within: Within::Code,
        crates: Crates::In(&["api", "auth"]),
        except: &[],
    },
    Rule {
        because: "there is no unsafe code",
        words: &["unsafe"],
        within: Within::Code,
        crates: Crates::NotIn(&[]),
        except: &[],
    },
    Rule {
        because: "there are no stubs",
        words: &["todo!", "unimplemented!", "dbg!"],
        within: Within::Code,
        crates: Crates::NotIn(&[]),
        except: &[],
    },
    Rule {
        because: "there is no global state",
        words: &["static mut", "thread_local!", "lazy_static!"],
        within: Within::Code,
        crates: Crates::NotIn(&["bench"]),
        except: &[],
    },
    Rule {
        because: "libraries announce events and print nothing",
        words: &["println!", "eprintln!", "print!", "eprint!"],
        within: Within::Code,
        crates: Crates::NotIn(&["server", "xtask", "bench"]),
        except: &[],
    },
];

/// Lines of a file beyond which it must become two.
pub const LINES_MAX: usize = 900;

/// Files that are longer, with how long they may be. Numbers only ever go down.
pub const LONG_FILES: &[(&str, usize)] = &[];

/// Uses of absent words, and exceptions that nothing needs any more.
pub fn check(sources: &[Source], rules: &[Rule]) -> Vec<String> {
    let mut faults = Vec::new();
    for rule in rules {
        let mut needed = vec![false; rule.except.len()];
        let held = |source: &&Source| match rule.crates {
            Crates::In(crates) => crates.contains(&source.krate()),
            Crates::NotIn(crates) => !crates.contains(&source.krate()),
        };
        for source in sources.iter().filter(held).filter(|source| !source.is_test()) {
            let text = match rule.within {
                Within::Code => &source.code,
                Within::Strings => &source.strings,
            };
            for word in rule.words {
                for at in source.find(text, word) {
                    match rule.except.iter().position(|(path, _)| source.path.starts_with(path)) {
                        Some(exception) => needed[exception] = true,
                        None => faults.push(format!(
                            "{}:{}: `{}`: {}",
                            source.path,
                            source.line(at),
                            word.trim(),
                            rule.because
                        )),
                    }
                }
            }
        }
        for ((path, _), _) in rule.except.iter().zip(&needed).filter(|(_, needed)| !**needed) {
            faults.push(format!("{path}: needs no exception any more from \"{}\": take it off the list", rule.because));
        }
    }
    faults
}

/// Files without a header, and files that are too long.
pub fn check_files(sources: &[Source], long: &[(&str, usize)]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        if !source.text.starts_with("//! ") {
            faults.push(format!("{}:1: begins without `//!`, what it is and what is deliberately absent", source.path));
        }
        let lines = source.text.lines().count();
        match long.iter().find(|(path, _)| *path == source.path) {
            None if lines > LINES_MAX => {
                faults.push(format!("{}: has {lines} lines, more than {LINES_MAX}: make it two", source.path));
            }
            Some((_, most)) if lines > *most => {
                faults.push(format!("{}: has {lines} lines and may only get shorter than {most}", source.path));
            }
            Some(_) if lines <= LINES_MAX => {
                faults.push(format!("{}: is short enough now: take it off the list of long files", source.path));
            }
            None | Some(_) => {}
        }
    }
    for (path, _) in long.iter().filter(|(path, _)| !sources.iter().any(|source| source.path == *path)) {
        faults.push(format!("{path}: is gone: take it off the list of long files"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{Crates, Rule, Source, Within, check, check_files};

    #[test]
    fn what_must_not_be_there_is_found() {
        let rule = Rule {
            because: "none",
            words: &["SystemTime"],
            within: Within::Code,
            crates: Crates::In(&["model"]),
            except: &[("crates/model/src/b.rs", "old"), ("crates/model/src/c.rs", "older")],
        };
        let file = |path: &str| Source::new(path, "//! x\n// SystemTime\nuse std::time::SystemTime;\n");
        let sources = [
            file("crates/model/src/a.rs"),
            file("crates/model/src/b.rs"),
            file("crates/model/src/a/tests.rs"),
            file("crates/engine/src/a.rs"),
        ];
        assert_eq!(
            check(&sources, &[rule]),
            [
                "crates/model/src/a.rs:3: `SystemTime`: none",
                "crates/model/src/c.rs: needs no exception any more from \"none\": take it off the list",
            ]
        );
    }

    #[test]
    fn files_without_header_or_end_are_found() {
        let long = format!("//! x\n{}", "\n".repeat(1000));
        let sources = [Source::new("a.rs", "fn a() {}"), Source::new("b.rs", &long), Source::new("c.rs", "//! x\n")];
        let faults = check_files(&sources, &[("c.rs", 1000), ("d.rs", 1000)]);
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(check_files(&sources[1..2], &[("b.rs", 1001)]).is_empty());
        assert_eq!(check_files(&sources[1..2], &[("b.rs", 1000)]).len(), 1);
    }
}
