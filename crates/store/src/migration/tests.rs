//! Snapshots and files: what they come to, what is found, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use undergird_model::{Model, Source, definition};

fn model(definition: &str) -> Model {
    let sources: Vec<Source> = definition
        .split("-- ")
        .filter_map(|part| part.split_once('\n').filter(|(name, _)| !name.is_empty()))
        .map(|(name, text)| Source { name: format!("models/{}.toml", name.trim()).into(), text: text.into() })
        .collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    model.unwrap_or_else(|| panic!("{diagnostics:#?}"))
}

/// A store whose every step is a rewrite for which everybody waits.
struct Slow;

impl Scribe for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn quoted(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    fn statements(&self, Group { steps, .. }: Group<'_>) -> Vec<String> {
        steps.iter().map(Step::describe).collect()
    }

    fn effect(&self, _: &Step, _: Group<'_>) -> Effect {
        Effect { effort: Effort::Rewrite, waits: Waits::Everybody }
    }
}

fn snapshots(from: &str, to: &str) -> (Snapshot, Snapshot) {
    let before = Snapshot::of(&model(from), &Snapshot::empty());
    let after = Snapshot::of(&model(to), &before);
    // As they are read from disk.
    (Snapshot::from_json(&before.to_json()).unwrap(), Snapshot::from_json(&after.to_json()).unwrap())
}

fn entry(change: impl FnOnce(&mut Entry)) -> Entry {
    let mut entry = Entry::default();
    change(&mut entry);
    entry
}

const A: &str = "-- notes\n[fields]\ntitle = { type = \"text\" }\nsize = { type = \"int\", optional = true }\n[access]\nread = \"false\"\n";

/// The findings of the planned migration between two definitions.
fn found(from: &str, to: &str) -> Vec<String> {
    let (before, after) = snapshots(from, to);
    let file = file_of(&before, &after);
    let resolved = resolve(&before, &after, &file).unwrap();
    lint(&before, &after, &resolved, &file, &[&Slow]).iter().map(Finding::head).collect()
}

#[test]
fn each_lint_is_found_where_it_is_due_and_nowhere_else() {
    let fields =
        |fields: &str| A.replace("title = { type = \"text\" }\nsize = { type = \"int\", optional = true }", fields);
    let (title, size) = ("title = { type = \"text\" }", "size = { type = \"int\", optional = true }");
    let check = |to: &str, wanted: &[&str]| {
        let found = found(A, to);
        let names: Vec<&str> = found
            .iter()
            .map(|head| head.split([' ', ':']).nth(1).unwrap())
            .filter(|name| *name != "long-wait")
            .collect();
        assert_eq!(names, wanted, "{found:#?}");
    };
    check(A, &[]);
    check(&fields(&format!("{title}\n{size}\nmore = {{ type = \"text\", optional = true }}")), &[]);
    check(&fields(&format!("{title}\n{size}\nmore = {{ type = \"text\", default = \"\" }}")), &[]);
    check(
        &fields(&format!("{title}\n{size}\nmore = {{ type = \"text\" }}")),
        &["required-without-value", "changes-clients"],
    );
    check(&fields(title), &["data-loss", "breaks-clients", "not-reversible"]);
    check(&fields(&format!("heading = {{ type = \"text\", renamed_from = \"title\" }}\n{size}")), &["breaks-clients"]);
    check(
        &fields(&format!("heading = {{ type = \"text\", renamed_from = \"title\", column = \"title\" }}\n{size}")),
        &["breaks-clients"],
    );
    check(&fields(&format!("title = {{ type = \"text\", column = \"t\" }}\n{size}")), &[]);
    check(
        &fields(&format!("{title}\nsize = {{ type = \"text\", optional = true }}")),
        &["breaks-clients", "rows-may-refuse"],
    );
    check(&fields(&format!("{title}\nsize = {{ type = \"int\" }}")), &["changes-clients", "rows-may-refuse"]);
    check(&fields(&format!("{title}\nsize = {{ type = \"int\", default = 1 }}")), &[]);
    check(&fields(&format!("title = {{ type = \"text\", optional = true }}\n{size}")), &["changes-clients"]);
    check(&fields(&format!("title = {{ type = \"text\", max = 5 }}\n{size}")), &["changes-clients", "rows-may-refuse"]);
    check(
        &fields(&format!("title = {{ type = \"text\", max = 5, unique = true }}\n{size}")),
        &["changes-clients", "rows-may-refuse", "changes-clients", "rows-may-refuse"],
    );
    check(
        &fields(&format!("{title}\nsize = {{ type = \"date\", optional = true }}")),
        &["cannot-convert", "breaks-clients", "not-reversible"],
    );
    check(&A.replace("\"false\"", "\"true\""), &["opens-access"]);
    check(&A.replace("read = \"false\"", ""), &[]);
    check(
        &format!(
            "{A}-- more\n[fields]\na = {{ type = \"text\" }}\nb = {{ type = \"text\", unique = true }}\n[access]\nread = \"true\"\n"
        ),
        &[],
    );
    check("-- other\n[fields]\na = { type = \"text\" }\n", &["data-loss", "breaks-clients", "not-reversible"]);
}

#[test]
fn a_file_says_exactly_what_lies_between() {
    let (before, after) =
        snapshots(A, &A.replace("size = { type = \"int\", optional = true }", "slug = { type = \"text\" }"));
    let file = file_of(&before, &after);
    let steps = resolve(&before, &after, &file).unwrap();
    let with = |change: &dyn Fn(&mut StepsFile)| {
        let mut file = file.clone();
        change(&mut file);
        resolve(&before, &after, &file)
    };
    let refused = |change: &dyn Fn(&mut StepsFile), words: &str| {
        let faults = with(change).expect_err(words).join("\n");
        assert!(faults.contains(words), "{faults}");
    };
    refused(&|file| drop(file.steps.remove(0)), "there is no [[step]] with add_column = \"notes.slug\"");
    refused(&|file| file.steps.push(file.steps[0].clone()), "no such step lies between");
    refused(&|file| file.steps.push(entry(|entry| entry.drop_table = Some("notes".into()))), "no such step");
    refused(&|file| file.steps.push(Entry::default()), "says nothing");
    refused(&|file| file.steps[0].drop_index = Some("x".into()), "and another step");
    refused(&|file| file.steps[0].to = Some("x".into()), "`to` does not belong");
    refused(&|file| file.steps.push(entry(|entry| entry.access = Some("notes.read".into()))), "the same as before");
    refused(&|file| file.steps[0].optional = true, "there is no [[step]] with alter_column = \"notes.slug\"");
    refused(&|file| file.steps[1].optional = true, "`optional` does not belong");

    // Order and words alone are nothing new; SQL is.
    let reordered = with(&|file| file.steps.reverse()).unwrap();
    assert_eq!(reordered.hash, steps.hash);
    let accepted = with(&|file| file.steps[0].accept = [("data-loss".into(), "why".into())].into()).unwrap();
    assert_eq!(accepted.hash, steps.hash);
    let by_hand = |text: &str| entry(|entry| entry.sql = Some(Sql::Every(text.into())));
    let first = with(&|file| file.steps.insert(0, by_hand("SELECT 1"))).unwrap();
    let other = with(&|file| file.steps.insert(0, by_hand("SELECT 2"))).unwrap();
    assert!(first.hash != steps.hash && first.hash != other.hash);
    assert_eq!(first.parts.len(), 2);

    // Expanded, filled, contracted.
    let staged = with(&|file| {
        file.steps[0].optional = true;
        file.steps.insert(1, by_hand("UPDATE"));
        file.steps.insert(2, entry(|entry| entry.alter_column = Some("notes.slug".into())));
    })
    .unwrap();
    let words: Vec<String> = staged
        .parts
        .iter()
        .flat_map(|part| match part {
            Part::Schema { steps, .. } => steps.iter().map(Step::describe).collect(),
            Part::Sql { .. } | Part::Backfill { .. } => vec!["sql".into()],
        })
        .collect();
    assert_eq!(
        words,
        [
            "add the column notes.slug (text, optional)",
            "sql",
            "make the column notes.slug required",
            "drop the column notes.size"
        ]
    );
    let Some(Part::Schema { wanted, .. }) = staged.parts.last() else { panic!("{staged:?}") };
    assert_eq!(wanted.fingerprint(), after.schema.fingerprint());
    assert!(back(&staged).unwrap_err().join("\n").contains("no `undo`"));
}

#[test]
fn the_way_back_leads_back() {
    let b = A
        .replace("title = { type = \"text\" }", "heading = { type = \"text\", max = 300, renamed_from = \"title\" }")
        .replace("size = { type = \"int\", optional = true }", "size = { type = \"int\", optional = true, min = 0 }\nmore = { type = \"text\", default = \"\", unique = true }");
    let (before, after) = snapshots(A, &b);
    let resolved = resolve(&before, &after, &file_of(&before, &after)).unwrap();
    let parts = back(&resolved).unwrap();
    let [Part::Schema { steps, from, wanted, .. }] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((from.fingerprint(), wanted.fingerprint()), (after.schema.fingerprint(), before.schema.fingerprint()));
    let words: Vec<String> = steps.iter().map(Step::describe).collect();
    assert_eq!(words[0], "rename the column notes.heading to title", "{words:#?}");
}

#[test]
fn a_renamed_field_is_renamed_once() {
    let renamed = A.replace("title = {", "heading = { renamed_from = \"title\",");
    let (before, after) = snapshots(A, &renamed);
    assert_eq!(after.renamed["notes"]["heading"], "title");
    let later = Snapshot::of(&model(&renamed), &after);
    assert!(later.is_same(&after) && later.renamed.is_empty());
    assert_eq!(
        file_of(&before, &after).steps[0].verb().unwrap().to_string(),
        "rename_column = \"notes.title\", to = \"heading\""
    );
}

#[test]
fn a_database_is_ready_for_one_run_only() {
    let run = |number, direction, after| Run {
        compatible: false,
        number,
        name: "x".into(),
        hash: "h".into(),
        direction,
        after,
        from: Applied::empty().fingerprint(),
        parts: Vec::new(),
    };
    let done = |number, state| Done { number, name: "x".into(), hash: "h".into(), state, compatible: false };
    let check = |run: &Run, done: &[Done], wanted: &str| {
        let found = format!("{:?}", ready(run, done, None));
        assert!(found.contains(wanted), "{found} is not {wanted}");
    };
    let forward = run(2, Direction::Forward, 1);
    check(&forward, &[done(1, State::Applied)], "Go(0)");
    check(&forward, &[done(1, State::Applied), done(2, State::Applied)], "AlreadyThere");
    check(&forward, &[], "other migrations");
    check(&forward, &[done(1, State::Applied), done(2, State::Applying(3))], "Go(3)");
    check(&forward, &[done(1, State::Applying(1))], "was interrupted");
    check(&forward, &[done(1, State::Applied), done(2, State::Undoing(1))], "taken back");
    check(&Run { from: "other".into(), ..forward.clone() }, &[done(1, State::Applied)], "not the one");
    let changed = Run { hash: "other".into(), ..forward };
    check(&changed, &[done(1, State::Applied), done(2, State::Applied)], "was changed");
    check(&changed, &[done(1, State::Applied), done(2, State::Applying(1))], "was changed");
    check(&changed, &[done(1, State::Applied), done(2, State::Applying(0))], "Go(0)");
    let back = run(2, Direction::Back, 2);
    check(&back, &[done(1, State::Applied), done(2, State::Applied)], "Go(0)");
    check(&back, &[done(1, State::Applied)], "AlreadyThere");
    check(&back, &[done(1, State::Applied), done(2, State::Applying(1))], "apply it to its end");
    check(&back, &[done(1, State::Applied), done(2, State::Undoing(1))], "Go(1)");
    for state in [State::Applied, State::Applying(7), State::Undoing(0)] {
        assert_eq!(State::of(&state.to_string()), Some(state));
    }
}

#[test]
fn nodes_serve_beside_what_they_need_not_know() {
    let with = |field: &str| A.replace("[access]", &format!("{field}\n[access]"));
    let more = format!("{A}-- more\n[fields]\na = {{ type = \"text\" }}\n[access]\nread = \"true\"\n");
    // From the first to the second: whether the migration is compatible, whether nodes of the first serve after it, and nodes of the
    // second before it.
    for (from, to, expected) in [
        (A, more.clone(), (true, true, false)),
        (A, with("note = { type = \"text\", optional = true, max = 5, unique = true }"), (true, true, false)),
        (A, with("note = { type = \"text\", default = \"\" }"), (true, true, false)),
        (A, with("note = { type = \"text\" }"), (false, false, false)),
        (
            A,
            A.replace("title = { type = \"text\" }", "title = { type = \"text\", optional = true }"),
            (true, true, false),
        ),
        (A, A.replace(", optional = true", ""), (false, false, true)),
        (
            A,
            A.replace("title = { type = \"text\" }", "title = { type = \"text\", unique = true }"),
            (false, false, false),
        ),
        (A, A.replace("size = { type = \"int\", optional = true }", ""), (false, false, true)),
        (A, A.replace("title = { type = \"text\" }", ""), (false, false, false)),
        (A, A.replace("size = { type = \"int\"", "size = { type = \"text\""), (false, false, false)),
        (A, A.replace("\"false\"", "\"true\""), (false, true, true)),
    ] {
        let (before, after) = snapshots(from, &to);
        let compatible = resolve(&before, &after, &file_of(&before, &after)).unwrap().compatible;
        let found =
            (compatible, serves(&before.schema, &after.schema).is_ok(), serves(&after.schema, &before.schema).is_ok());
        assert_eq!(found, expected, "{to}");
    }
}

#[test]
fn an_unsafe_change_is_divided() {
    let pieces = |to: &str| {
        let (before, after) = snapshots(A, to);
        let pieces = split(&before, &after, &[&Slow])?;
        let mut from = before;
        let mut said = Vec::new();
        for piece in pieces {
            let resolved = resolve(&from, &piece.after, &piece.file).unwrap();
            let findings = lint(&from, &piece.after, &resolved, &piece.file, &[&Slow]);
            // What the phases promise is held, or it is said that it is not: newer nodes count on a unique rule from the first request on.
            let beside = findings.iter().all(|finding| finding.lint.name != "not-beside");
            let unique = piece.file.steps.iter().any(|entry| entry.create_index.is_some());
            assert_eq!(beside, !(unique && piece.phase == Phase::Contract), "{findings:#?}");
            assert_eq!(resolved.compatible, piece.phase != Phase::Contract, "{piece:#?}");
            for entry in &piece.file.steps {
                said.push(format!("{:?} {}", piece.phase, entry.verb().unwrap()));
            }
            from = Snapshot::from_json(&piece.after.to_json()).unwrap();
        }
        assert!(from.is_same(&after), "{from:#?}");
        Ok::<_, Vec<String>>(said)
    };
    let check = |from: &str, to: &str, wanted: &[&str]| {
        assert_eq!(pieces(&A.replace(from, to)).unwrap(), wanted);
    };
    let size = "size = { type = \"int\", optional = true }";
    let title = "title = { type = \"text\" }";
    check("x", "x", &[]);
    check(
        size,
        &format!("{size}\nslug = {{ type = \"text\", max = 9, unique = true }}"),
        &[
            "Expand add_column = \"notes.slug\"",
            "Expand add_check = \"notes.notes_slug_max\"",
            "Expand create_index = \"notes.notes_slug_key\"",
            "Fill backfill = \"notes\"",
            "Contract alter_column = \"notes.slug\"",
        ],
    );
    check(
        size,
        "size = { type = \"int\", min = 0 }",
        &[
            "Fill backfill = \"notes\"",
            "Contract alter_column = \"notes.size\"",
            "Contract add_check = \"notes.notes_size_min\"",
        ],
    );
    check(
        title,
        "heading = { type = \"text\", renamed_from = \"title\" }",
        &[
            "Expand alter_column = \"notes.title\"",
            "Expand add_column = \"notes.heading\"",
            "Fill backfill = \"notes\"",
            "Contract alter_column = \"notes.heading\"",
            "Contract drop_column = \"notes.title\"",
        ],
    );
    check(title, "", &["Expand alter_column = \"notes.title\"", "Contract drop_column = \"notes.title\""]);
    check(
        title,
        "title = { type = \"text\", max = 5, unique = true }",
        &["Contract add_check = \"notes.notes_title_max\"", "Contract create_index = \"notes.notes_title_key\""],
    );
    check("\"false\"", "\"true\"", &["Contract access = \"notes.read\", from = \"false\", to = \"true\""]);
    let why = pieces(&A.replace(size, "size = { type = \"text\", optional = true }")).unwrap_err();
    assert!(why[0].contains("notes.size: a type cannot change"), "{why:?}");
}
