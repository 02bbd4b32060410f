//! The inventory of keys: every key of `undergird.toml`, `models/*.toml` and `functions/*.toml`, its shape, its default and what it is for. The checker, the
//! JSON Schemas, the documentation's tables and the names of environment variables are all read off it, so they cannot drift.
//!
//! Absent: what the keys do.

use Shape::{Bool, Choice, Int, Literal, Names, Number, Rule, Schema, Table, Tables, Text, Texts};

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written in TOML.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Its default in TOML, empty when there is none or the text says it.
    pub default: &'static str,
    /// One sentence or two.
    pub doc: &'static str,
    /// For keys of a field: the types that it applies to. Empty: all.
    pub types: &'static [&'static str],
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text.
    Text,
    /// A CEL expression as text.
    Rule,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// True or false.
    Bool,
    /// A whole number from … to.
    Int(i64, i64),
    /// Any number.
    Number,
    /// A list of texts.
    Texts,
    /// One name or a list of them.
    Names,
    /// A literal, or `{ expr = "…" }`.
    Literal,
    /// A JSON Schema, written as a table or a boolean.
    Schema,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table from names to tables with these keys.
    Map(&'static [Key]),
    /// `[[…]]`: a list of tables with these keys.
    Tables(&'static [Key]),
}

/// A key without restriction to types.
const fn key(name: &'static str, shape: Shape, default: &'static str, doc: &'static str) -> Key {
    Key { name, shape, default, doc, types: &[] }
}

/// A key of a field of certain types.
const fn key_of(types: &'static [&'static str], name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, default: "", doc, types }
}

/// Every field type and what it holds.
pub const TYPES: &[(&str, &str)] = &[
    ("text", "Unicode text, compared by code point."),
    ("secret", "Text that nobody but the system reads: hashes, tokens, seeds."),
    ("bool", "True or false."),
    ("int", "A whole number of 64 bits. As the only key field, an identity."),
    ("float", "A finite IEEE 754 double."),
    ("decimal", "An exact number with `precision` digits, `scale` of them after the point. For money."),
    ("uuid", "A UUID. As the only key field without a default, UUID v7 made by the server."),
    ("timestamp", "An instant in UTC with microseconds."),
    ("date", "A day, `YYYY-MM-DD`."),
    ("time", "A time of day, `HH:MM:SS.ffffff`."),
    ("json", "Any JSON value, optionally bound by a JSON Schema."),
    ("bytes", "Octets, base64 on the wire."),
    ("enum", "One of `values`."),
    ("email", "An e-mail address of at most 254 characters."),
    ("url", "An absolute http or https URL of at most 2,048 characters."),
    ("ref", "The key of a row of the collection `to`: a column with a real foreign key."),
    ("list", "A list of the scalar type `of`, without nulls in it."),
];

/// `undergird.toml`.
pub const APPLICATION: &[Key] = &[
    key("name", Text, "\"app\"", "The application's name, shown in the contract."),
    key("server", Table(SERVER), "", "How it is reached."),
    key("stores", Table(STORES), "", "Where the data lives."),
    key("auth", Table(AUTH), "", "Who the users are."),
    key("mail", Table(MAIL), "", "Who sends mail."),
    key("limits", Table(LIMITS), "", "A limit on everything."),
];

const SERVER: &[Key] = &[
    key("listen", Text, "\"127.0.0.1:8090\"", "Address and port to listen on."),
    key("public_url", Text, "", "What links and the contract say; by default `http://` and the address."),
    key("cors_origins", Texts, "[\"*\"]", "Origins whose pages may call; `*` is all, never with cookies."),
    key(
        "trusted_proxies",
        Texts,
        "[]",
        "Addresses or networks (`10.0.0.0/8`) of proxies before it, whose `X-Forwarded-For` tells who calls; nobody else's is looked at.",
    ),
    key("metrics", Choice(&["secret-key", "public"]), "\"secret-key\"", "Who may read `/metrics`."),
    key("docs", Bool, "true", "Whether `/docs` and `/openapi.json` are served."),
];

const STORES: &[Key] = &[key("main", Table(STORE), "", "The main store.")];

const STORE: &[Key] = &[
    key("url", Text, "\"sqlite:data/main.db\"", "Where it is; a relative path starts at the application's directory."),
    key(
        "durability",
        Choice(&["full", "relaxed"]),
        "\"full\"",
        "SQLite only: `relaxed` answers writes before they are on disk, and a power cut may take those of the last 0.2 s.",
    ),
    key("replicas", Texts, "[]", "PostgreSQL only: URLs of standbys, for reads that ask for `consistency=eventual`."),
    key("replica_lag_seconds", Int(1, 3_600), "5", "How old such a read may be; an older replica is not asked."),
    key(
        "row_security",
        Bool,
        "false",
        "PostgreSQL only: policies of the database around what visitors and users read and write.",
    ),
    key("reader_url", Text, "", "With `row_security`: the URL of the login whose rights these reads and writes have."),
];

const AUTH: &[Key] = &[
    key("profile", Text, "", "The collection whose rows are the users; its key must be one uuid."),
    key("sign_up", Bool, "true", "Whether anybody may sign up."),
    key("confirm_email", Bool, "false", "Whether an address must be confirmed by mail first."),
    key(
        "double_confirm_changes",
        Bool,
        "false",
        "Whether the old address must confirm a change as well as the new one; only with `confirm_email`.",
    ),
    key("password_min", Int(6, 64), "8", "Least characters of a password."),
    key("access_token_seconds", Int(60, 86_400), "3600", "Life of an access token (JWT)."),
    key("session_days", Int(1, 3_650), "90", "Life of a session, however often it is refreshed."),
    key("session_idle_days", Int(1, 3_650), "90", "Life of a session that nobody refreshes."),
    key("anonymous", Bool, "false", "Whether anybody may have an account without an address, by `signInAnonymously`."),
    key(
        "anonymous_days",
        Int(0, 3_650),
        "0",
        "After how many days without a refresh such an account is removed, with its profile row; 0 means never.",
    ),
    key(
        "unconfirmed_days",
        Int(0, 3_650),
        "30",
        "After how many days an account is removed that somebody signed up and nobody confirmed; 0 means never.",
    ),
    key(
        "audit_days",
        Int(0, 36_500),
        "0",
        "For how many days entries of the audit log are kept; 0 means for ever. What is removed leaves its last hash in the log, so that the rest can be verified.",
    ),
    key(
        "tell_unconfirmed",
        Bool,
        "true",
        "Whether a sign-in with the right password says that the address is not confirmed; if not, it says `invalid_credentials`.",
    ),
    key(
        "link_page",
        Bool,
        "false",
        "Whether a link of a mail shows a page with a button, which uses the link up, so that no scanner of mails does.",
    ),
    key(
        "link_needs_pkce",
        Bool,
        "false",
        "Whether `linkIdentity` is taken only with PKCE or from a browser that is known again when it comes back.",
    ),
    key("site_url", Text, "", "Where links in mails lead in the end; by default the server's `public_url`."),
    key(
        "redirect_urls",
        Texts,
        "[]",
        "Where else they may lead when a client asks (`redirectTo`): URLs, with `*` for a part and a last `/**` for everything below.",
    ),
    key("mail_token_seconds", Int(60, 3_600), "3600", "Life of the links and codes in mails."),
    key(
        "hooks",
        Table(HOOKS),
        "",
        "Servers of one's own that are asked before an account begins and before a token is given out.",
    ),
    key("captcha", Table(CAPTCHA), "", "A puzzle before sign-up, sign-in by password and mails."),
    key("passkeys", Table(PASSKEYS), "", "Passkeys (WebAuthn)."),
    key("providers", Shape::Map(PROVIDER), "", "Where else people can sign in, by the name that clients ask for."),
    key("ui", Table(UI), "", "The sign-in pages at `/auth/ui`."),
];

const CAPTCHA: &[Key] = &[
    key("enabled", Bool, "", "Whether it is asked for; by default it is."),
    key(
        "provider",
        Choice(&["hcaptcha", "turnstile"]),
        "",
        "Whose puzzle it is: hCaptcha's, or Cloudflare's Turnstile.",
    ),
    key("secret", Text, "", "This application's secret there. Write `${CAPTCHA_SECRET}`."),
    key(
        "url",
        Text,
        "",
        "Where solutions are verified, if not at the provider's own address: an https URL without a query; http is for this machine alone.",
    ),
];

const HOOKS: &[Key] = &[
    key("before_user_created", Table(HOOK), "", "Asked before an account begins; it may refuse it."),
    key(
        "custom_access_token",
        Table(HOOK),
        "",
        "Asked before an access token is signed; it may add claims, and refuse it.",
    ),
];

const HOOK: &[Key] = &[
    key("enabled", Bool, "", "Whether it is asked; by default it is."),
    key("url", Text, "", "Who is asked: an https URL without a query; http is for this machine alone."),
    key(
        "secrets",
        Text,
        "",
        "What requests are signed with (Standard Webhooks): `v1,whsec_` and base64 of 24 to 64 octets; several, while they rotate, with `|` between. Write `${HOOK_SECRETS}`.",
    ),
];

const UI: &[Key] = &[
    key("enabled", Bool, "", "Whether they are served; by default in `undergird dev` alone."),
    key("title", Text, "", "What they are called; by default the application's `name`."),
    key("logo", Text, "", "A picture above them: a file of the application, `.svg`, `.png`, `.jpg` or `.webp`."),
    key("accent", Text, "", "The colour of buttons and links, like `#1f6f5c`."),
    key("stylesheet", Text, "", "CSS that is read after theirs: a file of the application."),
    key("return_to", Text, "", "Where who came from nowhere finds the application: a URL that `redirect_urls` allows."),
];

const PASSKEYS: &[Key] = &[
    key("enabled", Bool, "true", "Whether passkeys are registered and sign in."),
    key(
        "rp_id",
        Text,
        "",
        "The domain that they are for, by default the host of `site_url`, or of `public_url`. Another one makes all that there are useless.",
    ),
    key(
        "rp_origins",
        Texts,
        "[]",
        "The origins of the pages (and `android:apk-key-hash:…` of the apps) that may ask for them; by default those of `site_url` and `public_url`.",
    ),
];

/// `[auth.providers.NAME]`.
pub const PROVIDER: &[Key] = &[
    key("enabled", Bool, "true", "Whether it may be used."),
    key("client_id", Text, "", "This application's name there."),
    key(
        "client_secret",
        Text,
        "",
        "Its secret there: write `${GOOGLE_SECRET}`, or set `UNDERGIRD_AUTH_PROVIDERS_GOOGLE_CLIENT_SECRET`.",
    ),
    key(
        "issuer",
        Text,
        "",
        "Who speaks OpenID Connect there: an https URL. Ready-made providers have theirs; for github and gitlab it is one's own server, for azure a tenant's.",
    ),
    key("scopes", Texts, "", "What is asked for beside what signing in needs."),
    key("audiences", Texts, "[]", "Further client ids, of mobile apps for example, whose ID tokens are taken."),
    key(
        "trust_email",
        Bool,
        "false",
        "Whether every address that it tells counts as verified, though it does not say so. Only for a provider that is one's own.",
    ),
    key("team_id", Text, "", "Of apple: the team that the key belongs to."),
    key("key_id", Text, "", "Of apple: the name of the key."),
    key("private_key", Text, "", "Of apple, in place of `client_secret`: the key itself, the text of the `.p8` file."),
];

const MAIL: &[Key] = &[
    key("from", Text, "", "The sender, like `Blog <no-reply@blog.example.org>`."),
    key("host", Text, "", "The SMTP server. Without one `dev` shows mails at `/_/inbox`, and `serve` sends none."),
    key(
        "port",
        Int(1, 65_535),
        "",
        "Its port; by default 587, 465 with `tls = \"implicit\"`, 25 with `tls = \"none\"`.",
    ),
    key("username", Text, "", "The name to sign in with there, if it asks."),
    key("password", Text, "", "Its password: write `${SMTP_PASSWORD}`, or set `UNDERGIRD_MAIL_PASSWORD`."),
    key(
        "tls",
        Choice(&["starttls", "implicit", "none"]),
        "\"starttls\"",
        "How the way there is encrypted; `starttls` is demanded, not only tried.",
    ),
    key(
        "ca",
        Text,
        "",
        "A file of certificates (PEM), in place of the public authorities: the server's must be of one of them.",
    ),
    key("per_hour", Int(1, 1_000_000), "1000", "Most mails in an hour, per node; more are refused with 429."),
    key("notices", Bool, "true", "Whether users are told by mail what happened to their accounts."),
];

const LIMITS: &[Key] = &[
    key("body_bytes", Int(1_024, 1 << 30), "10485760", "Greatest request body."),
    key("url_bytes", Int(1_024, 1 << 20), "16384", "Longest request target."),
    key("rows", Int(1, 100_000), "1000", "Most rows in an answer; more are cut, and `Content-Range` says so."),
    key("insert_rows", Int(1, 1_000_000), "10000", "Most rows in one create."),
    key("embed_depth", Int(0, 16), "6", "Deepest nesting of embedded collections."),
    key("embeds", Int(0, 100), "20", "Most embedded collections in one request."),
    key("filters", Int(1, 10_000), "200", "Most conditions in one request."),
    key("list_items", Int(1, 100_000), "1000", "Most items in one `in.(…)` list."),
    key("batch_steps", Int(1, 100_000), "1000", "Most steps of a batch."),
    key("json_depth", Int(4, 120), "64", "Deepest nesting of a JSON body."),
    key("statement_seconds", Int(1, 3_600), "10", "Longest time of a statement."),
    key("request_seconds", Int(1, 3_600), "30", "Longest time of a request."),
    key("connections", Int(1, 1_000_000), "10000", "Most open connections."),
    key("connections_per_address", Int(1, 1_000_000), "1000", "Most open connections from one address."),
    key("writes_waiting", Int(1, 1_000_000), "4096", "Most writes in the queue; more are answered with 503."),
    key("cache_bytes", Int(0, 1 << 40), "67108864", "Most memory of the answers kept for models with `[cache]`."),
];

/// `models/*.toml`.
pub const COLLECTION: &[Key] = &[
    key("description", Text, "", "What the collection is for, shown in the contract."),
    key("table", Text, "", "The table's name in the database; by default the collection's."),
    key(
        "adopted",
        Bool,
        "false",
        "The table exists as it is, made by others: Undergird reads and writes its rows, and never makes, changes or drops it.",
    ),
    key(
        "schema",
        Text,
        "",
        "The PostgreSQL schema or MySQL database of an adopted table; by default the connection's own.",
    ),
    key("readonly", Bool, "false", "Of an adopted view, or table without a key: its rows are read, never written."),
    key(
        "key",
        Names,
        "\"id\"",
        "The primary key: a field, or a list of fields. Without it and without a field `id`, an `id` of UUID v7 is implied.",
    ),
    key("fields", Shape::Map(FIELD), "", "The fields by name, in the order of their columns."),
    key("indexes", Tables(INDEX), "", "Indexes beside those of the key, of refs and of unique fields."),
    key(
        "access",
        Table(ACCESS),
        "",
        "Who may do what with which rows. Without a rule for a verb, nobody but a secret key.",
    ),
    key("checks", Tables(CHECK), "", "Rules that a stored row must obey, whoever writes it."),
    key(
        "cache",
        Table(CACHE),
        "",
        "Answers made of it and of others with `[cache]` are kept in memory until a write changes what they were made of.",
    ),
];

const CACHE: &[Key] = &[key("seconds", Int(1, 86_400), "60", "How long an answer is kept at most.")];

const NUMERIC_OR_LONG: &[&str] = &["text", "secret", "email", "url", "bytes", "list", "int", "float", "decimal"];

/// A field.
pub const FIELD: &[Key] = &[
    key("type", Text, "", "What it holds; see the field types."),
    key("optional", Bool, "false", "Whether it may be null."),
    key("unique", Bool, "false", "Whether no two rows may have the same (nulls apart)."),
    key("readonly", Bool, "false", "Set by the app alone (a default, a secret key), never by a user."),
    key("immutable", Bool, "false", "Set at creation only."),
    key(
        "default",
        Literal,
        "",
        "What it is when a create leaves it out: a literal, or `{ expr = \"…\" }` over `auth`, `now` and the row's other fields.",
    ),
    key_of(NUMERIC_OR_LONG, "min", Number, "Least number, or least length in characters, bytes or items."),
    key_of(NUMERIC_OR_LONG, "max", Number, "Greatest number, or greatest length."),
    key_of(
        &["text"],
        "pattern",
        Text,
        "A regular expression (RE2 syntax) that the text must match; `^` and `$` tie it to the ends.",
    ),
    key_of(&["enum"], "values", Texts, "The allowed texts, in order."),
    key_of(&["decimal"], "precision", Int(1, 18), "Digits in all."),
    key_of(&["decimal"], "scale", Int(0, 18), "Digits after the point."),
    key_of(&["json"], "schema", Schema, "A JSON Schema (2020-12) with the usual keywords."),
    key_of(&["ref"], "to", Text, "The collection that it refers to."),
    key_of(
        &["ref"],
        "on_delete",
        Choice(&["restrict", "cascade", "set_null"]),
        "What happens when that row goes: it may not (`restrict`, the default), this row goes too, or the field becomes null.",
    ),
    key_of(&["ref"], "as", Text, "The relation's name; by default the field's without `_id`."),
    key_of(&["ref"], "inverse", Text, "The name of the way back; by default this collection's."),
    key_of(
        &["list"],
        "of",
        Text,
        "The type of the items. What that type needs (`values`, `precision`, …) stands beside.",
    ),
    key("column", Text, "", "The column's name in the database; by default the field's."),
    key(
        "storage",
        Text,
        "",
        "How the column of an adopted table keeps it, where that is not the usual way; see adopting-a-database.md.",
    ),
    key(
        "generated",
        Choice(&["always", "default", "never"]),
        "",
        "Of an adopted column: the database computes it (`always`, then nobody writes it), or has a default of its own (`default`), or does \
         not number the key (`never`).",
    ),
    key("renamed_from", Text, "", "The name that the field had before, for migrations."),
    key("description", Text, "", "What it is for, shown in the contract."),
    key("read", Rule, "", "Who may read it in which rows; to others it is null."),
    key("write", Rule, "", "Who may write it in which rows; others get 403."),
];

const INDEX: &[Key] = &[
    key("fields", Texts, "", "The fields in order, a `-` before those that descend."),
    key("unique", Bool, "false", "Whether no two rows may have the same combination."),
    key("name", Text, "", "The index's name in the database; by default made of the table's and the columns'."),
];

const ACCESS: &[Key] = &[
    key("read", Rule, "", "Which rows may be seen."),
    key("create", Rule, "", "Which rows may come to be."),
    key("update", Rule, "", "Which rows may be changed; `new.x` is the row as it would become."),
    key("delete", Rule, "", "Which rows may be removed."),
];

const CHECK: &[Key] = &[
    key("rule", Rule, "", "What must hold, over the row's own fields."),
    key("message", Text, "", "What the caller is told."),
    key("name", Text, "", "The constraint's name in the database."),
];

/// `functions/*.toml`.
pub const FUNCTION: &[Key] = &[
    key("description", Text, "", "What the function is for, shown in the contract."),
    key(
        "sql",
        Text,
        "",
        "The function in the database, with its schema: `public.near`. By default the file's name, wherever the search path finds it.",
    ),
    key(
        "volatility",
        Choice(&["volatile", "stable", "immutable"]),
        "\"volatile\"",
        "As in the database. `volatile`: by POST only, in a transaction; `stable` and `immutable`: by GET too.",
    ),
    key("returns", Table(RETURNS), "", "What it gives; without it nothing (`void`)."),
    key("access", Rule, "", "Who may call it: a rule about the caller alone. Without one, nobody but a secret key."),
    key("arguments", Shape::Map(ARGUMENT), "", "What it takes, by name."),
];

const RETURNS: &[Key] = &[
    key("rows", Text, "", "A set of rows of this collection, under its rules: `RETURNS SETOF` its table."),
    key("row", Text, "", "One row of this collection, or none: `RETURNS` its table."),
    key("type", Choice(VALUES), "", "A value of this type."),
    key("list", Bool, "false", "A set of such values: `RETURNS SETOF`."),
    key_of(&["list"], "of", Text, "The type of the items of a `list`, an array in the database."),
    key_of(&["decimal"], "precision", Int(1, 18), "Digits in all."),
    key_of(&["decimal"], "scale", Int(0, 18), "Digits after the point."),
    key_of(&["enum"], "values", Texts, "The texts that it may be, in order."),
];

/// An argument of a function.
pub const ARGUMENT: &[Key] = &[
    key("type", Choice(VALUES), "", "What it holds; see the field types."),
    key("optional", Bool, "false", "Whether it may be left out, or be null. The function then has a default for it."),
    key_of(NUMERIC_OR_LONG, "min", Number, "Least number, or least length in characters, bytes or items."),
    key_of(NUMERIC_OR_LONG, "max", Number, "Greatest number, or greatest length."),
    key_of(&["text"], "pattern", Text, "A regular expression (RE2 syntax) that the text must match."),
    key_of(&["enum"], "values", Texts, "The allowed texts, in order."),
    key_of(&["decimal"], "precision", Int(1, 18), "Digits in all."),
    key_of(&["decimal"], "scale", Int(0, 18), "Digits after the point."),
    key_of(&["json"], "schema", Schema, "A JSON Schema (2020-12) with the usual keywords."),
    key_of(&["list"], "of", Text, "The type of the items, an array in the database."),
    key("sql", Text, "", "The argument's name in the database; by default the same."),
    key("description", Text, "", "What it is for, shown in the contract."),
];

/// The types of values that are in no collection.
pub const VALUES: &[&str] = &[
    "text",
    "bool",
    "int",
    "float",
    "decimal",
    "uuid",
    "timestamp",
    "date",
    "time",
    "json",
    "bytes",
    "enum",
    "email",
    "url",
    "list",
];

/// The types that a list may be of.
pub const LIST_OF: &[&str] =
    &["text", "bool", "int", "float", "decimal", "uuid", "timestamp", "date", "time", "bytes", "enum", "email", "url"];

/// Every setting of `undergird.toml` that holds a value, by its path. `UNDERGIRD_` and the path in capitals joined by `_` is its
/// environment variable.
pub fn settings() -> Vec<(Vec<&'static str>, &'static Key)> {
    fn collect(keys: &'static [Key], path: &[&'static str], all: &mut Vec<(Vec<&'static str>, &'static Key)>) {
        for key in keys {
            let path: Vec<&'static str> = path.iter().copied().chain([key.name]).collect();
            match key.shape {
                Table(inner) => collect(inner, &path, all),
                // What has names of its own: see `provider_settings`.
                Shape::Map(_) => {}
                _ => all.push((path, key)),
            }
        }
    }
    let mut all = Vec::new();
    collect(APPLICATION, &[], &mut all);
    all
}

/// The settings of a provider by its name, as [`settings`] has the others.
pub fn provider_settings(name: &str) -> Vec<(Vec<String>, &'static Key)> {
    let path = |key: &str| ["auth", "providers", name, key].map(str::to_owned).to_vec();
    PROVIDER.iter().map(|key| (path(key.name), key)).collect()
}

/// The setting at a path.
pub fn setting_at(path: &[String]) -> Option<&'static Key> {
    if let [auth, providers, _, name] = path
        && auth == "auth"
        && providers == "providers"
    {
        return PROVIDER.iter().find(|key| key.name == name);
    }
    settings().into_iter().find(|(known, _)| known.iter().eq(path.iter())).map(|(_, key)| key)
}

/// The path of the setting that an environment variable names, with its prefix (`UNDERGIRD_SERVER_LISTEN`). By the inventory,
/// because names have underscores too.
pub fn setting_of_variable(variable: &str) -> Option<Vec<String>> {
    let wanted = variable.strip_prefix("UNDERGIRD_")?;
    // One store is called by its singular: `UNDERGIRD_STORE_MAIN_URL`.
    let alias = wanted.strip_prefix("STORE_").map(|rest| format!("STORES_{rest}"));
    let wanted = alias.as_deref().unwrap_or(wanted);
    if let Some(rest) = wanted.strip_prefix("AUTH_PROVIDERS_") {
        let rest = rest.to_ascii_lowercase();
        // The longest that fits: a name may end like a key.
        let fits = |key: &&Key| rest.strip_suffix(key.name).is_some_and(|name| name.len() > 1 && name.ends_with('_'));
        let key = PROVIDER.iter().filter(fits).max_by_key(|key| key.name.len())?;
        let name = &rest[..rest.len() - key.name.len() - 1];
        return Some(["auth", "providers", name, key.name].map(str::to_owned).to_vec());
    }
    let (path, _) = settings().into_iter().find(|(path, _)| path.join("_").eq_ignore_ascii_case(wanted))?;
    Some(path.into_iter().map(str::to_owned).collect())
}

/// Every table of keys by the name of its section, in the order of the documentation.
pub fn tables() -> Vec<(String, &'static [Key])> {
    fn collect(name: &str, keys: &'static [Key], all: &mut Vec<(String, &'static [Key])>) {
        all.push((name.to_owned(), keys));
        for key in keys {
            match key.shape {
                Table(inner) | Tables(inner) | Shape::Map(inner) => {
                    collect(&format!("{name}.{}", key.name), inner, all)
                }
                _ => {}
            }
        }
    }
    let mut all = Vec::new();
    collect("application", APPLICATION, &mut all);
    collect("collection", COLLECTION, &mut all);
    collect("function", FUNCTION, &mut all);
    all
}

impl std::fmt::Display for Shape {
    /// The words of the documentation.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Text => f.write_str("text"),
            Rule => f.write_str("rule (CEL)"),
            Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                f.write_str(&words.join(", "))
            }
            Bool => f.write_str("true or false"),
            Int(least, greatest) => write!(f, "{least} to {greatest}"),
            Number => f.write_str("number"),
            Texts => f.write_str("list of texts"),
            Names => f.write_str("name or list of names"),
            Literal => f.write_str("literal or `{ expr }`"),
            Schema => f.write_str("JSON Schema"),
            Table(_) => f.write_str("table"),
            Shape::Map(_) => f.write_str("table by name"),
            Tables(_) => f.write_str("list of tables"),
        }
    }
}
