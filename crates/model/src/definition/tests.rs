//! Definition text → rendered diagnostics, or the model.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use std::path::Path;

/// The sources of an application in the repository.
fn folder(path: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let read = |file: &Path, name: String| Source {
        name: name.as_str().into(),
        text: std::fs::read_to_string(file).unwrap().as_str().into(),
    };
    let mut sources = vec![read(&root.join("undergird.toml"), "undergird.toml".into())];
    for entry in std::fs::read_dir(root.join("models")).unwrap() {
        let file = entry.unwrap().path();
        let name = format!("models/{}", file.file_name().unwrap().to_str().unwrap());
        sources.push(read(&file, name));
    }
    sources
}

fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic} [{}]\n", diagnostic.code)).collect()
}

/// Sources in one text: `-- models/a.toml` before each.
fn split(text: &str) -> (Vec<Source>, Vec<Source>) {
    let mut sources: Vec<Source> = Vec::new();
    for part in text.split("-- ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        sources.push(Source { name: name.trim().into(), text: text.into() });
    }
    sources.into_iter().partition(|source| !source.name.starts_with("system/"))
}

#[test]
fn examples_are_clean() {
    for path in ["examples/blog", "examples/hostile", "crates/server/template"] {
        let (model, diagnostics) = check(&folder(path), &[]);
        assert_eq!(told(&diagnostics), "", "{path}");
        assert!(model.is_some(), "{path}");
    }
}

/// `mistakes.txt`: cases of definition text, each with what is said about it. `UNDERGIRD_BLESS=1` writes the file anew; read the diff.
#[test]
fn mistakes_are_told() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/definition/mistakes.txt");
    let before = std::fs::read_to_string(&file).unwrap();
    let mut after = String::new();
    let mut codes_seen = Vec::new();
    for case in before.split("==== ").skip(1) {
        let definition = case.split("-- expected\n").next().unwrap_or(case);
        let (title, text) = definition.split_once('\n').unwrap();
        let (sources, system) = split(text);
        let (model, diagnostics) = check(&sources, &system);
        let refused = diagnostics.iter().any(|diagnostic| diagnostic.severity == crate::Severity::Error);
        assert_eq!(model.is_none(), refused, "{title}: a model if and only if there is no error");
        codes_seen.extend(diagnostics.iter().map(|diagnostic| diagnostic.code));
        after.push_str(&format!("==== {}-- expected\n{}", definition, told(&diagnostics)));
    }
    if std::env::var_os("UNDERGIRD_BLESS").is_some() {
        std::fs::write(&file, &after).unwrap();
    } else {
        similar(&before, &after);
    }
    // The codes that no case provokes. This list may only get shorter.
    let silent: Vec<&str> = codes::ALL.iter().map(|code| code.name).filter(|name| !codes_seen.contains(name)).collect();
    assert_eq!(silent, ["source-too-large", "too-many"]);
}

/// The first line that differs, which is what one wants to see.
fn similar(expected: &str, found: &str) {
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, expected, "line {} (UNDERGIRD_BLESS=1 accepts)", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// The relations of a collection: `name → target (one|many) own=theirs via constraint`.
fn relations(model: &Model, collection: &str) -> String {
    let mut out = String::new();
    for relation in &model.find(collection).unwrap().relations {
        let count = match relation.cardinality {
            crate::schema::Cardinality::One => "one",
            crate::schema::Cardinality::Many => "many",
        };
        let on: Vec<String> = relation
            .on
            .iter()
            .map(|(own, theirs)| format!("{}={}", model.field(*own).name, model.field(*theirs).name))
            .collect();
        let target = &model.collection(relation.target).name;
        out += &format!("{} → {count} {target} on {}, {}", relation.name, on.join(" "), relation.constraint);
        if let Some(through) = &relation.through {
            let (first, second) = (model.relation(through.first), model.relation(through.second));
            out += &format!(" through {}, {}", first.name, second.name);
        }
        out.push('\n');
    }
    out
}

#[test]
fn relations_are_derived() {
    let blog = check(&folder("examples/blog"), &[]).0.unwrap();
    assert_eq!(
        relations(&blog, "posts"),
        "author → one users on author_id=id, posts_author_id_fkey\n\
         comments → many comments on id=post_id, comments_post_id_fkey\n\
         post_tags → many post_tags on id=post_id, post_tags_post_id_fkey\n\
         tags → many tags on id=post_id, post_tags through post_tags, tag\n"
    );
    assert_eq!(
        relations(&blog, "users"),
        "comments → many comments on id=author_id, comments_author_id_fkey\n\
         posts → many posts on id=author_id, posts_author_id_fkey\n"
    );
    let hostile = check(&folder("examples/hostile"), &[]).0.unwrap();
    assert_eq!(
        relations(&hostile, "nodes"),
        "parent → one nodes on parent_id=id, nodes_parent_id_fkey\n\
         doc → one docs on doc_id=id, nodes_doc_id_fkey\n\
         children → many nodes on id=parent_id, nodes_parent_id_fkey\n"
    );
    assert_eq!(
        relations(&hostile, "rates"),
        "country → one countries on country_code=code, TaxRates_CountryCode_fkey\n"
    );
    // What is reserved for URLs is a relation's all the same.
    let (sources, _) = split(
        "-- models/orders.toml\n[fields]\nx = { type = \"int\" }\n-- models/items.toml\n[fields]\norder_id = { type = \"ref\", to = \"orders\" }\n\
         [access]\nread = \"order.x > 1\"\n",
    );
    assert_eq!(
        relations(&check(&sources, &[]).0.unwrap(), "items"),
        "order → one orders on order_id=id, items_order_id_fkey\n"
    );
    let (sources, _) = split(
        "-- models/a.toml\n[fields]\nx = { type = \"int\" }\n\
         -- models/b.toml\nkey = \"a_id\"\n[fields]\na_id = { type = \"ref\", to = \"a\" }\n\
         -- models/c.toml\n[fields]\na_id = { type = \"ref\", to = \"a\", unique = true }\n\
         -- models/d.toml\n[fields]\nb_id = { type = \"ref\", to = \"b\" }\n\
         -- models/j.toml\nkey = [\"a_id\", \"d_id\"]\n[fields]\na_id = { type = \"ref\", to = \"a\" }\nd_id = { type = \"ref\", to = \"d\" }\n\
         -- models/k.toml\nkey = [\"a_id\", \"d_id\"]\n[fields]\na_id = { type = \"ref\", to = \"a\" }\nd_id = { type = \"ref\", to = \"d\" }\n",
    );
    let model = check(&sources, &[]).0.unwrap();
    // One-to-one both ways of saying it; two junctions between the same two collections make no many-to-many.
    assert_eq!(
        relations(&model, "a"),
        "b → one b on id=a_id, b_a_id_fkey\n\
         c → one c on id=a_id, c_a_id_fkey\n\
         j → many j on id=a_id, j_a_id_fkey\n\
         k → many k on id=a_id, k_a_id_fkey\n"
    );
    // A ref to a key that is itself a ref has the type of what is at its end.
    assert_eq!(model.find("d").unwrap().field("b_id").unwrap().ty, crate::Type::UUID);
}

#[test]
fn keys_have_their_defaults() {
    use crate::schema::Default;
    let hostile = check(&folder("examples/hostile"), &[]).0.unwrap();
    let default = |collection: &str| {
        let collection = hostile.find(collection).unwrap();
        collection
            .key
            .iter()
            .map(|id| hostile.field(*id))
            .map(|field| (field.name.as_str(), field.default.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(default("docs"), [("id", Some(Default::UuidV7))]);
    assert_eq!(default("invoices"), [("id", Some(Default::Identity))]);
    assert_eq!(default("countries"), [("code", None)]);
    assert_eq!(default("members"), [("tenant_id", None), ("person_id", None)]);
    assert_eq!(hostile.find("invoices").unwrap().identity().map(|field| field.name.as_str()), Some("id"));
    let names: Vec<&str> = hostile.find("docs").unwrap().indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(names, ["docs_tenant_id_created_at_idx", "docs_tenant_id_title_key"]);
    assert_eq!(names::made(&["t", &"x".repeat(80), "idx"]).len(), 63);
}

#[test]
fn overrides_lie_over_the_file() {
    let file = Source { name: "undergird.toml".into(), text: "[server]\nlisten = \"1.1.1.1:1\"\ndocs = true\n".into() };
    let over = |variable: &str, value: &str| Override {
        path: keys::setting_of_variable(variable).unwrap_or_else(|| vec!["server".into(), "listn".into()]),
        value: value.into(),
        origin: variable.into(),
    };
    let (model, diagnostics) = check_with(
        std::slice::from_ref(&file),
        &[],
        &[
            over("UNDERGIRD_SERVER_LISTEN", "0.0.0.0:80"),
            over("UNDERGIRD_SERVER_DOCS", "false"),
            over("UNDERGIRD_SERVER_CORS_ORIGINS", "https://a.org, https://b.org"),
            over("UNDERGIRD_STORE_MAIN_REPLICAS", "postgres://u:p@a/d, postgres://b/d"),
            over("UNDERGIRD_STORES_MAIN_REPLICA_LAG_SECONDS", "2"),
            over("UNDERGIRD_LIMITS_JSON_DEPTH", "32"),
            over("UNDERGIRD_STORES_MAIN_URL", "sqlite:one.db"),
            over("UNDERGIRD_STORE_MAIN_URL", "sqlite:other.db"),
            over("UNDERGIRD_SERVER_LISTEN", "0.0.0.0:81"),
        ],
    );
    assert_eq!(told(&diagnostics), "");
    let settings = model.unwrap().settings;
    assert_eq!((settings.server.listen.as_str(), settings.server.docs), ("0.0.0.0:81", false));
    assert_eq!(settings.server.cors_origins, ["https://a.org", "https://b.org"]);
    assert_eq!((settings.limits.json_depth, settings.store.url.as_str()), (32, "sqlite:other.db"));
    assert_eq!(settings.store.replicas, ["postgres://u:p@a/d", "postgres://b/d"]);
    assert_eq!(settings.store.replica_lag.as_secs(), 2);

    let relaxed = |url| {
        let over = [over("UNDERGIRD_STORES_MAIN_DURABILITY", "relaxed"), over("UNDERGIRD_STORES_MAIN_URL", url)];
        let (model, diagnostics) = check_with(std::slice::from_ref(&file), &[], &over);
        (model.map(|model| model.settings.store.durability), told(&diagnostics))
    };
    assert_eq!(relaxed("sqlite:one.db"), (Some(crate::settings::Durability::Relaxed), String::new()));
    for server in ["postgres://a/d", "mysql://a/d"] {
        let (_, told) = relaxed(server);
        assert!(told.contains("\"durability\" is for SQLite alone"), "{told}");
    }

    // A provider has a name of its own; the whole of one can come from outside.
    let (model, diagnostics) = check_with(
        std::slice::from_ref(&file),
        &[],
        &[
            over("UNDERGIRD_AUTH_PROVIDERS_LINKEDIN_OIDC_CLIENT_ID", "me"),
            over("UNDERGIRD_AUTH_PROVIDERS_LINKEDIN_OIDC_CLIENT_SECRET", "hush"),
            over("UNDERGIRD_AUTH_PROVIDERS_KEY_ID_CLIENT_ID", "me"),
            over("UNDERGIRD_AUTH_PROVIDERS_KEY_ID_ISSUER", "https://login.example.org"),
            over("UNDERGIRD_AUTH_PROVIDERS_KEY_ID_ENABLED", "false"),
            over("UNDERGIRD_AUTH_PROVIDERS_KEY_ID_AUDIENCES", "a,b"),
        ],
    );
    assert_eq!(told(&diagnostics), "");
    let providers = model.unwrap().settings.auth.providers;
    let names: Vec<_> = providers.iter().map(|provider| (provider.name.as_str(), provider.enabled)).collect();
    assert_eq!(names, [("key_id", false), ("linkedin_oidc", true)]);
    assert_eq!(providers[0].audiences, ["a", "b"]);
    assert_eq!(providers[1].client_secret.as_ref().map(|secret| secret.expose()), Some("hush"));
    assert!(!format!("{providers:?}").contains("hush"));
    for no in ["UNDERGIRD_AUTH_PROVIDERS_", "UNDERGIRD_AUTH_PROVIDERS_CLIENT_ID", "UNDERGIRD_AUTH_PROVIDERS_X_SECRET"] {
        assert_eq!(keys::setting_of_variable(no), None, "{no}");
    }

    let wrong = [
        over("UNDERGIRD_LIMITS_ROWS", "many"),
        over("UNDERGIRD_LIMITS_EMBEDS", "1000"),
        over("UNDERGIRD_SERVER_DOCS", "yes"),
        over("UNDERGIRD_SERVER_LISTN", "x"),
    ];
    let (model, diagnostics) = check_with(std::slice::from_ref(&file), &[], &wrong);
    assert!(model.is_none());
    assert_eq!(
        told(&diagnostics),
        "UNDERGIRD_LIMITS_EMBEDS:1:1: \"embeds\" must be from 0 to 100 [out-of-range]\n\
         UNDERGIRD_LIMITS_ROWS:1:1: \"limits.rows\" must be a whole number [wrong-type]\n\
         UNDERGIRD_SERVER_DOCS:1:1: \"server.docs\" must be true or false [wrong-type]\n\
         UNDERGIRD_SERVER_LISTN:1:1: there is no setting \"server.listn\"; did you mean \"server.listen\"? [unknown-key]\n"
    );
    assert!(render(&diagnostics, &[file]).contains("in UNDERGIRD_LIMITS_ROWS"));
}

#[test]
fn mistakes_are_drawn() {
    let (sources, _) = split(
        "-- models/posts.toml\n[fields]\nauthor_id = { type = \"ref\", to = \"user\" }\n-- models/users.toml\n[fields]\nname = { type = \"text\" }\n",
    );
    let (_, diagnostics) = check(&sources, &[]);
    assert_eq!(
        render(&diagnostics, &sources).trim_end(),
        r#"error[unknown-collection]: no collection "user"
 --> models/posts.toml:2:34
  |
2 | author_id = { type = "ref", to = "user" }
  |                                  ^^^^^^
  |
  = help: did you mean "users"?"#
    );
    assert_eq!(
        serde_json::Value::Array(to_json(&diagnostics)).to_string(),
        r#"[{"file":"models/posts.toml","line":2,"column":34,"code":"unknown-collection","severity":"error","message":"no collection \"user\"","hint":"did you mean \"users\"?"}]"#
    );
    // Another version of the file, or no file, is no reason to panic.
    render(&diagnostics, &[Source { name: "models/posts.toml".into(), text: "é".into() }]);
}

#[test]
fn bounds_are_kept() {
    let (sources, _) = split(
        "-- models/a.toml\n[fields]\n\
         t = { type = \"text\", min = 2, max = 3 }\n\
         i = { type = \"int\", min = 1, max = 5 }\n\
         f = { type = \"float\", max = 0.5 }\n\
         d = { type = \"decimal\", precision = 5, scale = 2, min = 0.5 }\n\
         b = { type = \"bytes\", max = 1 }\n\
         l = { type = \"list\", of = \"int\", min = 1 }\n\
         o = { type = \"enum\", values = [\"x\"], optional = true, description = \"One.\" }\n",
    );
    let (model, diagnostics) = check(&sources, &[]);
    assert_eq!(told(&diagnostics), "");
    let model = model.unwrap();
    let collection = model.find("a").unwrap();
    let cases = [
        ("t", r#""é😀""#, ""),
        ("t", r#""é""#, "too-short must have at least 2 characters"),
        ("t", r#""abcd""#, "too-long must have at most 3 characters"),
        ("t", "null", ""),
        ("i", "5", ""),
        ("i", "6", "too-large must be at most 5"),
        ("i", "0", "too-small must be at least 1"),
        ("f", "0.5", ""),
        ("f", "0.51", "too-large must be at most 0.5"),
        ("d", "0.5", ""),
        ("d", "0.49", "too-small must be at least 0.50"),
        ("b", r#""AA==""#, ""),
        ("b", r#""AAA=""#, "too-long must have at most 1 byte"),
        ("l", "[1]", ""),
        ("l", "[]", "too-few must have at least 1 item"),
    ];
    for (name, json, expected) in cases {
        let field = collection.field(name).unwrap();
        let value = field.declared.accept_json(&serde_json::from_str(json).unwrap()).unwrap();
        let told = field.validate(&value).err().map_or_else(String::new, |v| format!("{} {}", v.code, v.message));
        assert_eq!(told, expected, "{name} {json}");
    }
    let schema = |name: &str| collection.field(name).unwrap().json_schema().to_string();
    assert_eq!(schema("t"), r#"{"type":"string","minLength":2,"maxLength":3}"#);
    assert_eq!(schema("i"), r#"{"type":"integer","format":"int64","minimum":1,"maximum":5}"#);
    assert_eq!(schema("o"), r#"{"type":["string","null"],"enum":["x",null],"description":"One."}"#);
}

/// A text in a file of `docs/` between `<!-- begin NAME -->` and `<!-- end NAME -->` is what the inventory says.
#[test]
fn documentation_is_the_inventory() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let cel = include_str!("../cel/mod.rs");
    let cel_codes: String = cel
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(cel_codes.len() > 500, "the table of codes in cel/mod.rs was found");
    let codes: String = codes::ALL.iter().map(|code| format!("| `{}` | {} |\n", code.name, code.meaning)).collect();
    let types: String = keys::TYPES.iter().map(|(name, doc)| format!("| `{name}` | {doc} |\n")).collect();
    let reserved = RESERVED.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ") + "\n";
    let mut tables = vec![
        ("definition-errors.md", "codes".to_owned(), format!("| code | meaning |\n|---|---|\n{codes}")),
        ("definition-errors.md", "rule-codes".to_owned(), format!("| code | meaning |\n|---|---|\n{cel_codes}")),
        ("definition.md", "types".to_owned(), format!("| type | holds |\n|---|---|\n{types}")),
        ("definition.md", "reserved".to_owned(), reserved),
    ];
    for (name, keys) in keys::tables() {
        tables.push(("definition.md", name, key_table(keys)));
    }
    for (file, name, table) in tables {
        let path = docs.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{file} has {begin}"));
        let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has {end}"));
        if std::env::var_os("UNDERGIRD_BLESS").is_some() {
            std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        } else {
            similar(found, &table);
        }
    }
}

fn key_table(keys: &[keys::Key]) -> String {
    let mut out = String::from("| key | value | default | what for |\n|---|---|---|---|\n");
    for key in keys {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let types = if key.types.is_empty() { String::new() } else { format!(" For {}.", key.types.join(", ")) };
        out += &format!("| `{}` | {} | {default} | {}{types} |\n", key.name, key.shape, key.doc);
    }
    out
}

/// What we publish for editors is held against what we ship as examples, and against one mistake.
#[test]
fn examples_obey_the_published_schemas() {
    use crate::field_type::schema::validate;
    let (application, collection) = (application_schema(), collection_schema());
    for path in ["examples/blog", "examples/hostile", "crates/server/template"] {
        for source in folder(path) {
            let json: serde_json::Value = toml::from_str(&source.text).unwrap();
            let schema = if &*source.name == "undergird.toml" { &application } else { &collection };
            assert_eq!(validate(schema, &json), Ok(()), "{path}/{}", source.name);
        }
    }
    let typo = serde_json::json!({ "fields": { "x": { "type": "text", "optinal": true } } });
    assert_eq!(validate(&collection, &typo), Err("/fields/x must not have the member \"optinal\"".into()));
}

#[test]
fn the_documented_collection_is_clean() {
    let page = include_str!("../../../../docs/definition.md");
    let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let sources = [
        Source { name: "models/posts.toml".into(), text: text.into() },
        Source { name: "models/users.toml".into(), text: "[fields]\nname = { type = \"text\" }\n".into() },
    ];
    assert_eq!(told(&check(&sources, &[]).1), "");
}

#[test]
fn hostile_text_is_no_panic() {
    let mut texts: Vec<String> = vec![
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{ a = ".repeat(100_000)),
        format!("[fields]\n{}", "a.".repeat(100_000)),
        format!("{}a{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("[access]\nread = \"{}\"", "(".repeat(3_000)),
        "[fields]\na = { type = \"text\", default = \"\\u0000\" }".into(),
        "[fields]\n\"\" = { type = \"text\" }".into(),
        "\u{feff}key = \"\"".into(),
        "\0".into(),
        "[fields]\na = { type = \"decimal\", precision = 0, scale = 0 }".into(),
        "[access]\nread = '''\r\n  \u{1F600} == \u{1F600}'''".into(),
        "[access]\nread = \"\"\"\\\n   a\\U0001F600b \\\n  == 1\"\"\"".into(),
        "x".repeat((1 << 20) + 1),
    ];
    for source in folder("examples/hostile") {
        // Cut anywhere, and any character doubled or replaced: what editors hold while people type.
        for position in (0..source.text.len()).step_by(61).filter(|at| source.text.is_char_boundary(*at)) {
            let (before, after) = source.text.split_at(position);
            texts.push(before.to_owned());
            texts.push(format!("{before}\"{after}"));
            texts.push(format!("{before}}}{after}"));
        }
    }
    for text in texts {
        for name in ["models/docs.toml", "undergird.toml", "functions/docs.toml"] {
            let sources = [
                Source { name: name.into(), text: text.as_str().into() },
                Source {
                    name: "models/people.toml".into(),
                    text: "[fields]\ndoc_id = { type = \"ref\", to = \"docs\" }\n".into(),
                },
            ];
            let (_, diagnostics) = check(&sources, &[]);
            render(&diagnostics, &sources);
        }
    }
}
