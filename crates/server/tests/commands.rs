//! The commands as people and scripts use them: what they print, what they end with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Folder, Running, said};

#[test]
fn exit_codes_tell_success_failure_and_wrong_use_apart() {
    let blog = Folder::example("blog");
    let check = |arguments: &[&str], environment: &[(&str, &str)], code: i32, words: &str| {
        let (found, out, errors) = said(&blog, arguments, environment);
        assert_eq!(found, code, "{arguments:?}\n{out}\n{errors}");
        assert!(format!("{out}{errors}").contains(words), "{arguments:?}: no {words:?} in\n{out}\n{errors}");
    };
    check(&["version"], &[], 0, env!("CARGO_PKG_VERSION"));
    check(&["--help"], &[], 0, "undergird");
    check(&["check"], &[], 0, "sound");
    check(&[], &[], 2, "Usage");
    check(&["chekc"], &[], 2, "check");
    check(&["check", "nowhere"], &[], 2, "undergird new");
    check(&["check"], &[("UNDERGIRD_SERVER_LISTEN", "nonsense")], 2, "UNDERGIRD_SERVER_LISTEN:1");
    check(&["dev"], &[("UNDERGIRD_SERVER_LISTEN", "nonsense")], 2, "UNDERGIRD_SERVER_LISTEN");
    check(&["dev"], &[("UNDERGIRD_LOG", "a=b=c")], 2, "UNDERGIRD_LOG");
    check(&["serve"], &[], 2, "undergird keys");
    check(&["keys"], &[("UNDERGIRD_SECRET_KEY", "secret")], 2, "UNDERGIRD_PUBLISHABLE_KEY");
    check(&["keys"], &[("UNDERGIRD_SECRET_KEY", "secret"), ("UNDERGIRD_PUBLISHABLE_KEY", "x")], 2, "publishable");
    check(&["serve"], &[], 2, "keys");
    check(&["keys"], &[], 0, "ug_publishable_");
    check(&["serve"], &[], 1, "undergird migrate");
    check(&["migrate", "--dry-run"], &[], 0, "CREATE TABLE");
    check(&["serve"], &[], 1, "undergird migrate");
    check(&["migrate"], &[], 0, "Done");
    check(&["migrate"], &[], 0, "is at the definition");
    check(&["keys", "rotate", "--algorithm", "HS256"], &[], 2, "--secret-file");
    check(&["keys", "rotate", "--secret-file", "undergird.toml"], &[], 2, "HS256 alone");
    check(&["keys", "rotate", "--algorithm", "HS256", "--secret-file", "nowhere"], &[], 2, "nowhere");
    blog.write("short", "too short\n");
    check(&["keys", "rotate", "--algorithm", "HS256", "--secret-file", "short"], &[], 2, "fewer than 32 octets");
    blog.write("secret", "a secret that others have as well\n");
    check(&["keys", "rotate", "--algorithm", "HS256", "--secret-file", "secret"], &[], 0, "");
    check(&["dev"], &[("UNDERGIRD_STORES_MAIN_URL", "oracle://x")], 2, "oracle");
}

#[test]
fn a_reader_that_goes_away_breaks_nothing() {
    let blog = Folder::example("blog");
    let closed = || std::io::pipe().unwrap().1;
    for arguments in
        [&["check", "--json"][..], &["openapi"], &["types", "typescript"], &["config"], &["check", "nowhere"]]
    {
        let command = support::undergird(arguments).current_dir(&blog.0).stdout(closed()).stderr(closed()).status();
        let expected = if arguments.contains(&"nowhere") { 2 } else { 0 };
        assert_eq!(command.unwrap().code(), Some(expected), "{arguments:?}");
        let read = support::undergird(arguments).current_dir(&blog.0).stdout(closed()).output().unwrap();
        assert!(!String::from_utf8_lossy(&read.stderr).contains("panicked"), "{arguments:?}");
    }
}

#[test]
fn ten_mistakes_are_told_at_once() {
    let blog = Folder::example("blog");
    blog.write(
        "undergird.toml",
        "nmae = \"blog\"\n[server]\nlisten = 8090\n[auth]\nprofile = \"user\"\nsign_up = \"yes\"\n",
    );
    blog.write(
        "models/posts.toml",
        "[fields]\ntitle = { type = \"txt\" }\nslug = { typ = \"text\" }\nauthor_id = { type = \"ref\", to = \"usres\" }\n\
         status = { type = \"enum\" }\nsize = { type = \"int\", min = \"a\" }\n[access]\nread = \"titel == 'x'\"\n\
         updat = \"true\"\n[[indexes]]\nfields = [\"statsu\"]\n",
    );
    let (code, out, _) = said(&blog, &["check", "--json"], &[]);
    assert_eq!(code, 2);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ok"], false);
    let errors = report["diagnostics"].as_array().unwrap();
    assert!(errors.len() >= 10, "{report:#}");
    for error in errors {
        assert!(error["line"].as_u64().unwrap() >= 1 && error["column"].as_u64().unwrap() >= 1, "{error}");
        assert!(error["file"].as_str().unwrap().ends_with(".toml"), "{error}");
    }
    let (code, out, errors) = said(&blog, &["check"], &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(errors.contains("did you mean") && errors.contains("models/posts.toml:"), "{errors}");
}

#[test]
fn keys_are_made_once_and_kept_private() {
    let blog = Folder::example("blog");
    let (code, first, _) = said(&blog, &["keys", "--json"], &[]);
    assert_eq!(code, 0);
    let keys: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert!(keys["publishable_key"].as_str().unwrap().starts_with("ug_publishable_"));
    assert!(keys["secret_key"].as_str().unwrap().starts_with("ug_secret_"));
    assert_eq!(said(&blog, &["keys", "--json"], &[]).1, first);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| std::fs::metadata(blog.0.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("data/keys.json"), 0o600);
    }
    let given = [
        ("UNDERGIRD_PUBLISHABLE_KEY", keys["publishable_key"].as_str().unwrap()),
        ("UNDERGIRD_SECRET_KEY", keys["secret_key"].as_str().unwrap()),
    ];
    let other = Folder::example("blog");
    assert_eq!(said(&other, &["keys", "--json"], &given).1, first);
    assert!(!other.0.join("data").exists(), "given keys are kept nowhere");
}

#[test]
fn a_new_application_runs_at_once() {
    let folder = Folder::new();
    let (code, out, errors) = said(&folder, &["new", "my-app"], &[]);
    assert_eq!(code, 0, "{errors}");
    assert!(out.contains("undergird dev my-app"));
    assert_eq!(said(&folder, &["new", "my-app"], &[]).0, 2, "it is there already");
    assert_eq!(said(&folder, &["new", "my app"], &[]).0, 2, "no name");
    assert_eq!(said(&folder, &["check", "my-app"], &[]).0, 0);
    let app = Folder(folder.0.join("my-app"));
    assert!(app.read("undergird.toml").contains("name = \"my-app\""));
    let running = Running::start(&app, "dev", &[]);
    assert_eq!(running.get("/health/ready").status, 200);
    running.stop();
}

#[test]
fn settings_show_where_they_come_from_and_no_secret() {
    let blog = Folder::example("blog");
    blog.write("undergird.toml", "name = \"blog\"\n[stores.main]\nurl = \"${DATABASE}\"\n[limits]\nrows = 7\n");
    let (code, out, errors) =
        said(&blog, &["config"], &[("DATABASE", "sqlite:canary.db"), ("UNDERGIRD_LIMITS_EMBEDS", "3")]);
    assert_eq!(code, 0, "{errors}");
    let line = |key: &str| {
        let line = out.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("limits.rows"), "limits.rows 7 # undergird.toml");
    assert_eq!(line("limits.embeds"), "limits.embeds 3 # UNDERGIRD_LIMITS_EMBEDS");
    assert!(line("limits.filters").ends_with("# default"));
    assert!(line("stores.main.url").starts_with("stores.main.url ********"));
    assert!(!out.contains("canary"), "{out}");
    let (code, _, errors) = said(&blog, &["config"], &[]);
    assert_eq!(code, 2);
    assert!(errors.contains("DATABASE"), "{errors}");

    // Secrets, also those that are written where they should not be.
    let hook = |secret: &str| format!("[auth.hooks.{secret}]\nurl = \"https://hooks.example.org/x\"\n");
    let literal = "secrets = \"v1,whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5\"\n";
    let captcha = "[auth.captcha]\nprovider = \"hcaptcha\"\nsecret = \"0xcanary\"\n";
    let (before, access) = (hook("before_user_created"), hook("custom_access_token"));
    let file = format!("name = \"blog\"\n{captcha}{before}{literal}{access}");
    blog.write("undergird.toml", &file);
    let outside =
        [("UNDERGIRD_AUTH_HOOKS_CUSTOM_ACCESS_TOKEN_SECRETS", "v1,whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5")];
    let (code, out, errors) = said(&blog, &["config"], &outside);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(out.matches("secrets").count(), 2, "{out}");
    assert!(!out.contains("whsec_") && !out.contains("0xcanary"), "{out}");
    assert!(out.contains("auth.captcha.secret"), "{out}");
}

#[test]
fn one_process_has_the_data_directory() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let (code, _, errors) = said(&blog, &["dev", "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(code, 1);
    assert!(errors.contains(&format!("in use by process {}", running.child.id())), "{errors}");
    // Where the keys are may be asked meanwhile.
    assert_eq!(said(&blog, &["keys"], &[]).0, 0);
    running.stop();
    Running::start(&blog, "serve", &[]).stop();
}

#[test]
fn seeding_is_repeatable() {
    let blog = Folder::example("blog");
    let (code, out, errors) = said(&blog, &["seed", "--rows", "20,posts=30"], &[]);
    assert_eq!(code, 0, "{errors}");
    assert!(out.starts_with("Wrote 110 rows"), "{out}");
    let (code, _, errors) = said(&blog, &["seed", "--rows", "20"], &[]);
    assert_eq!(code, 1, "the same rows again");
    assert!(errors.contains("--random-seed"), "{errors}");
    assert_eq!(said(&blog, &["seed", "--rows", "20", "--random-seed", "2"], &[]).0, 0);
    assert_eq!(said(&blog, &["seed", "--rows", "postz=1"], &[]).0, 2);
}

#[test]
fn accounts_are_made_beside_a_running_server() {
    use std::io::Write;
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let add = |email: &str, password: &str| {
        let mut child =
            support::undergird(&["users", "add", email, "--roles", "editor", "--profile", "{\"name\":\"Ann\"}"])
                .current_dir(&blog.0)
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(add("ann@example.org", "short").0, 2);
    let (code, errors) = add("ann@example.org", "correct horse battery");
    assert_eq!(code, 0, "{errors}");
    assert_eq!(add("ann@example.org", "correct horse battery").0, 1, "taken");
    let sign_in = || {
        let body = br#"{"email":"ann@example.org","password":"correct horse battery"}"#;
        running.send("POST", "/auth/v1/token?grant_type=password", &[("Content-Type", "application/json")], body)
    };
    let session = sign_in();
    assert_eq!(session.status, 200, "{}", session.text());
    assert_eq!(session.json()["user"]["app_metadata"]["roles"], serde_json::json!(["editor"]));
    assert_eq!(said(&blog, &["users", "roles", "ann@example.org", "admin,editor"], &[]).0, 0);
    assert_eq!(said(&blog, &["users", "roles", "bob@example.org", "admin"], &[]).0, 1);
    assert_eq!(sign_in().json()["user"]["app_metadata"]["roles"], serde_json::json!(["admin", "editor"]));
    let (code, out, _) = said(&blog, &["users", "list", "--json"], &[]);
    assert_eq!(code, 0);
    let listed: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(listed["email"], "ann@example.org");
    // A ban ends what there is, and is lifted; the running server knows at once.
    let show = || -> serde_json::Value {
        let (code, out, _) = said(&blog, &["users", "show", "Ann@example.org"], &[]);
        assert_eq!(code, 0);
        serde_json::from_str(out.trim()).unwrap()
    };
    let shown = show();
    assert_eq!(shown["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&shown["banned_until"], &shown["identities"][0]["provider"]),
        (&serde_json::Value::Null, &"email".into())
    );
    assert!(!shown.to_string().contains("argon2"));
    assert_eq!(said(&blog, &["users", "ban", "ann@example.org", "--hours", "0"], &[]).0, 2);
    for hours in [&["--hours", "1"][..], &[]] {
        assert_eq!(said(&blog, &[&["users", "ban", "ann@example.org"], hours].concat(), &[]).0, 0);
        assert_eq!(sign_in().json()["error_code"], "user_banned");
        assert!(show()["banned_until"].is_string() && show()["sessions"] == serde_json::json!([]));
        assert_eq!(said(&blog, &["users", "unban", "ann@example.org"], &[]).0, 0);
        assert_eq!(sign_in().status, 200);
    }
    assert_eq!(said(&blog, &["users", "ban", "bob@example.org"], &[]).0, 1);
    assert_eq!(said(&blog, &["users", "delete", "ann@example.org"], &[]).0, 0);
    assert_eq!(said(&blog, &["users", "show", "ann@example.org"], &[]).0, 1);
    running.stop();
}

#[test]
fn the_contract_comes_from_the_definition_alone() {
    let blog = Folder::example("blog");
    let (code, document, _) = said(&blog, &["openapi"], &[]);
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let (code, types, _) = said(&blog, &["types", "typescript"], &[]);
    assert_eq!(code, 0);
    assert!(types.contains("Database"));
    assert!(!blog.0.join("data").exists(), "no database was needed");

    let running = Running::start(&blog, "dev", &[]);
    assert_eq!(running.get("/openapi.json").json(), document);
    let page = running.get("/docs");
    assert_eq!(page.status, 200);
    assert!(page.header("Content-Security-Policy").unwrap().contains("script-src 'sha256-"));
    let again = running.send("GET", "/docs", &[("If-None-Match", page.header("ETag").unwrap())], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    running.stop();
    let running = Running::start(&blog, "dev", &[("UNDERGIRD_SERVER_DOCS", "false")]);
    assert_eq!((running.get("/docs").status, running.get("/openapi.json").status), (404, 404));
    running.stop();
}

#[test]
fn explain_tells_which_term_of_which_rule_decides() {
    let blog = Folder::example("blog");
    let server = Running::start(&blog, "dev", &[]);
    let keys = said(&blog, &["keys", "--json"], &[]).1;
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let secret = keys["secret_key"].as_str().unwrap();
    let json = [("apikey", secret), ("content-type", "application/json"), ("prefer", "return=representation")];
    let user = server.send("POST", "/rest/v1/users", &json, br#"{"name":"Ann"}"#).json();
    let ann = user[0]["id"].as_str().unwrap();
    let draft = format!(r#"{{"title":"Draft","slug":"draft","author_id":"{ann}"}}"#);
    let draft = server.send("POST", "/rest/v1/posts", &json, draft.as_bytes()).json();
    let draft = draft[0]["id"].as_str().unwrap();
    let explain = |caller: &str, request: &str, body: &str, words: &[&str]| {
        let arguments = ["explain", "--as", caller, "--request", request, "--body", body];
        let (code, out, errors) = said(&blog, &arguments, &[]);
        assert_eq!(code, 0, "{out}\n{errors}");
        for word in words {
            assert!(out.contains(word), "{arguments:?}: no {word:?} in\n{out}");
        }
    };
    // Beside the running server. The draft is hidden from visitors and shown to its author, each time for a reason that is told.
    let hidden = format!("{draft}  hidden: term 1 fails");
    explain("visitor", "GET /rest/v1/posts?slug=eq.draft", "", &["posts.read", "status == 'published'", &hidden]);
    let passes = format!("{draft}  passes: term 2 holds");
    let plan = ["author_id == auth.id", &passes, "Query plan", "SEARCH"];
    explain(ann, "GET /rest/v1/posts?slug=eq.draft&select=title,comments(body)", "", &plan);
    // What was bound is shown beside the text, never in it.
    explain(ann, "GET /rest/v1/posts?title=eq.canary", "", &["\"title\" = ?", "= \"canary\""]);
    explain("secret", "GET /rest/v1/posts", "", &["a secret key stands above access rules"]);
    explain("visitor", "DELETE /rest/v1/users", "", &["users.delete", "closed", "401 42501"]);
    let update = format!(r#"{{"author_id":"{ann}"}}"#);
    explain(ann, "PATCH /rest/v1/posts?slug=eq.draft", &update, &["posts.update", "Guards, before", "UPDATE"]);
    let (code, _, errors) = said(&blog, &["explain", "--request", "GET /rest/v1/psts"], &[]);
    assert!(code == 2 && errors.contains("posts"), "{code} {errors}");
    server.stop();
}
