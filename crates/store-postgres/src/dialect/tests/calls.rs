//! Calls of functions in PostgreSQL's words.

use super::*;
use undergird_plan::Request;
use undergird_plan::request::{Call, Count, Operand, Verb};

fn model() -> Arc<Model> {
    let files = [
        (
            "models/places.toml",
            "[fields]\nid = { type = \"int\" }\nname = { type = \"text\" }\n[access]\nread = \"name != 'x'\"\n",
        ),
        (
            "functions/near.toml",
            "sql = \"my schema.near\"\nvolatility = \"stable\"\nreturns = { rows = \"places\" }\n[arguments]\n\
             at = { type = \"text\", sql = \"_at\\\"\" }\nfar = { type = \"int\", optional = true }\n",
        ),
        ("functions/move_all.toml", "returns = { rows = \"places\" }\n[arguments]\nby = { type = \"int\" }\n"),
        ("functions/names.toml", "volatility = \"immutable\"\nreturns = { type = \"text\", list = true }\n"),
        ("functions/numbers.toml", "returns = { type = \"int\", list = true }\n"),
        ("functions/deed.toml", ""),
    ];
    let sources: Vec<Source> =
        files.iter().map(|(path, text)| Source { name: (*path).into(), text: (*text).into() }).collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

/// The statements of a call with a secret key, `!` before those that change something.
fn check(function: &str, arguments: &[&str], count: Option<Count>, expected: &[&str]) {
    let mut request = Request::new("", Verb::Read);
    let arguments = arguments.iter().map(|name| ((*name).to_owned(), request.slot(Operand::Text("1".into()))));
    let arguments = arguments.collect();
    request.shape.call = Some(Call { function: function.into(), arguments });
    request.shape.count = count;
    let caller = Caller::secret(Moment { now: 0, entropy: 0 });
    let plan = authorize(&model(), &caller, &request).unwrap();
    let Statements::Read(read) = sql::write(plan.model(), plan.shape(), &DIALECT) else { panic!() };
    let all = read.call.iter().chain(&read.nodes).chain(&read.count);
    let told: Vec<String> = all.map(|one| format!("{}{}", if one.writes { "!" } else { "" }, one.text)).collect();
    assert_eq!(told, expected, "{function}");
}

#[test]
fn calls_in_words_of_postgresql() {
    check(
        "near",
        &["at"],
        Some(Count::Estimated),
        &[
            r#"SELECT a0."id", a0."name" FROM "my schema"."near"("_at""" => $1) AS a0 WHERE a0."id" IS NOT NULL LIMIT $2::bigint"#,
            r#"SELECT count(*) FROM "my schema"."near"("_at""" => $1) AS a0 WHERE a0."id" IS NOT NULL"#,
        ],
    );
    check("names", &[], None, &[r#"SELECT a0.v FROM "names"() AS a0(v) LIMIT $1::bigint"#]);
    check("deed", &[], None, &[r#"!SELECT 1 FROM "deed"() AS a0(v)"#]);
    // What may change something is called once, whatever is asked of it.
    check(
        "move_all",
        &["by"],
        Some(Count::Exact),
        &[
            r#"!SELECT array_agg(a0)::text FROM "move_all"("by" => $1) AS a0"#,
            r#"SELECT a0."id", a0."name" FROM unnest(($1::text COLLATE "C")::"places"[]) AS a0 WHERE a0."id" IS NOT NULL LIMIT $2::bigint"#,
            r#"SELECT count(*) FROM unnest(($1::text COLLATE "C")::"places"[]) AS a0 WHERE a0."id" IS NOT NULL"#,
        ],
    );
    check(
        "numbers",
        &[],
        None,
        &[
            r#"!SELECT array_agg(a0.v)::text FROM "numbers"() AS a0(v)"#,
            r#"SELECT a0.v FROM unnest(($1::text COLLATE "C")::bigint[]) AS a0(v) LIMIT $2::bigint"#,
        ],
    );
}
