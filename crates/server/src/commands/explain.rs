//! `undergird explain`: which term of which rule decides about a request, its SQL and its query plan.
//!
//! Beside the request's own plan it reads, past the row rules, which of a rule's terms holds for each row that the request means: so
//! that hidden rows are explained too. It is for people with the database in their hands; no surface offers it.

use super::{Application, block_on, exit};
use crate::cli::Exit;
use crate::server::{SchemaPolicy, Server};
use http::Method;
use std::fmt::Write as _;
use undergird_api::problem::Problem;
use undergird_api::rest::decode::{self, Head};
use undergird_engine::{Failure, Record};
use undergird_model::field_type::wire;
use undergird_model::{Value, expr_text};
use undergird_plan::authorize::explain::{Outcome, RuleExplained, explain};
use undergird_plan::{Caller, Request, User};
use undergird_store::{Bind, Prepared, Statement, Statements};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// As whom: a user's id or e-mail address, `visitor`, or `secret`.
    #[arg(long = "as", value_name = "WHO", default_value = "visitor")]
    caller: String,
    /// Roles of that user, separated by commas, instead of the account's own.
    #[arg(long, value_delimiter = ',')]
    roles: Option<Vec<String>>,
    /// What: `GET /rest/v1/posts?status=eq.draft`.
    #[arg(long, value_name = "REQUEST")]
    request: String,
    /// The body of a request that has one, as JSON.
    #[arg(long, value_name = "JSON")]
    body: Option<String>,
}

const PREFIX: &str = "/rest/v1/";

/// # Errors
/// 2 for a request that cannot be read, 1 for anything else that is wrong.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    block_on(async {
        let builder = arguments.application.builder(Vec::new()).schema(SchemaPolicy::Demand).beside_server(true);
        let server = builder.build().await.map_err(exit)?;
        let told = tell(&server, &arguments).await;
        server.close().await;
        crate::say::out(format_args!("{}", told?))?;
        Ok(())
    })
}

async fn tell(server: &Server, arguments: &Arguments) -> Result<String, Exit> {
    let caller = caller(server, arguments).await?;
    let request = request(server, arguments)?;
    let model = server.engine().app().model().clone();
    let mut out = String::new();
    let who = match caller.identity() {
        undergird_plan::Identity::User(user) => format!("user {} with roles [{}]", user.id(), user.roles().join(", ")),
        _ => caller.role().to_owned(),
    };
    _ = writeln!(out, "{}\nas {who}\n", arguments.request);
    let explanation = explain(&model, &caller, &request).map_err(|refusal| wrong(Problem::from(refusal)))?;
    out.push_str("Rules\n");
    for rule in &explanation.rules {
        tell_rule(&mut out, rule);
    }
    if let Some(probe) = explanation.probe {
        let rows = server.engine().explore(probe).await.map_err(failed)?;
        let collection = model.find(&request.shape.collection).map_or(&[][..], |collection| &collection.key);
        let key: Vec<&str> = collection.iter().map(|field| model.field(*field).name.as_str()).collect();
        tell_rows(&mut out, &explanation.rules[0], &key, &rows);
    }
    match server.engine().plan(&caller, &request) {
        Err(Failure::Refused(refusal)) => {
            let problem = Problem::from(refusal);
            _ = writeln!(out, "\nAnswer\n  {} {}: {}", problem.status, problem.code, problem.message);
        }
        Err(failure) => return Err(failed(failure)),
        Ok(prepared) => tell_statements(&mut out, server, prepared).await?,
    }
    Ok(out)
}

async fn caller(server: &Server, arguments: &Arguments) -> Result<Caller, Exit> {
    let moment = server.engine().moment();
    match arguments.caller.as_str() {
        "visitor" => return Ok(Caller::visitor(moment)),
        "secret" => return Ok(Caller::secret(moment)),
        _ => {}
    }
    let who = &arguments.caller;
    let (id, email, own_roles) = match who.parse() {
        Ok(id) => (id, None, Vec::new()),
        Err(_) => {
            let account = server.auth().find_account(who).await.map_err(failed)?;
            let account = account.ok_or_else(|| {
                Exit::wrong(format!("no account has the address \"{who}\"; --as takes that, an id, visitor or secret"))
            })?;
            let roles = account.app_metadata["roles"].as_array().cloned().unwrap_or_default();
            let roles = roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect();
            (account.id, account.email, roles)
        }
    };
    let roles = arguments.roles.clone().unwrap_or(own_roles);
    let claims = serde_json::json!({ "sub": id.to_string(), "email": email, "app_metadata": { "roles": roles } });
    Ok(Caller::user(std::sync::Arc::new(User::new(id, email, roles, claims)), moment))
}

fn request(server: &Server, arguments: &Arguments) -> Result<Request, Exit> {
    let usage = || Exit::wrong("--request takes a method and a path: \"GET /rest/v1/posts?status=eq.draft\"");
    let (method, target) = arguments.request.trim().split_once(' ').ok_or_else(usage)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| usage())?;
    let (path, query) = target.trim().split_once('?').unwrap_or((target.trim(), ""));
    let rest = path.strip_prefix(PREFIX).filter(|rest| !rest.is_empty()).ok_or_else(usage)?;
    let (collection, key) = match rest.split_once('/') {
        Some((collection, key)) => (collection, Some(key)),
        None => (rest, None),
    };
    let body = match (&arguments.body, method.as_str()) {
        (Some(body), _) => body.as_str(),
        (None, "POST" | "PATCH" | "PUT") => "{}",
        (None, _) => "",
    };
    let head = Head { key, ..Head::new(&method, collection, query) };
    let limits = &server.settings().limits;
    let decoded = decode::decode(&head, Some(body.as_bytes()), limits);
    Ok(decoded.map_err(|malformed| wrong(Problem::from(malformed)))?.request)
}

fn tell_rule(out: &mut String, rule: &RuleExplained) {
    let written = rule.written.as_deref().unwrap_or("(none)");
    _ = writeln!(out, "  {}: {written}", rule.of);
    match &rule.outcome {
        Outcome::Closed => out.push_str("    closed: no rule for this verb, so nobody but a secret key\n"),
        Outcome::Above => out.push_str("    not asked: a secret key stands above access rules\n"),
        Outcome::Allow => out.push_str("    allow: every row\n"),
        Outcome::Deny => out.push_str("    deny: no row\n"),
        Outcome::Only { how, terms } => {
            _ = writeln!(out, "    only rows for which {how}:");
            for (position, term) in terms.iter().enumerate() {
                _ = writeln!(out, "      {}. {term}", position + 1);
            }
        }
    }
}

/// Which terms hold for which row.
fn tell_rows(out: &mut String, rule: &RuleExplained, key: &[&str], rows: &[Record]) {
    let Outcome::Only { how, terms } = &rule.outcome else { return };
    _ = writeln!(out, "\nRows that the request means, without {} (at most 20)", rule.of);
    if rows.is_empty() {
        out.push_str("  none\n");
    }
    for row in rows {
        let mut held = Vec::new();
        let mut failed = Vec::new();
        for position in 1..=terms.len() {
            match row.get(&format!("term {position}")) {
                Value::Bool(true) => held.push(position.to_string()),
                Value::Bool(false) => failed.push(position.to_string()),
                // Asked of the row as it would become only.
                _ => {}
            }
        }
        let passes = match *how {
            "any of" => !held.is_empty(),
            _ => failed.is_empty(),
        };
        let why = match (passes, *how) {
            (true, "any of") => format!("term {} holds", held.join(", ")),
            (true, _) => "every term holds".to_owned(),
            (false, "any of") => "no term holds".to_owned(),
            (false, _) => format!("term {} fails", failed.join(", ")),
        };
        let key: Vec<String> = key.iter().map(|name| wire::to_text(row.get(name))).collect();
        _ = writeln!(out, "  {}  {}: {why}", key.join(","), if passes { "passes" } else { "hidden" });
    }
}

async fn tell_statements(out: &mut String, server: &Server, prepared: Prepared) -> Result<(), Exit> {
    let model = prepared.plan.model().clone();
    let mut statement = |title: &str, statement: &Statement| {
        _ = writeln!(out, "\n{title}\n  {}", statement.text);
        for (position, (ty, bind)) in statement.binds.iter().enumerate() {
            let source = match bind {
                Bind::Slot(slot) => shown(prepared.plan.params().get(usize::from(slot.0))),
                Bind::SlotList(slot) => shown(prepared.plan.params().get(usize::from(slot.0))),
                Bind::Input(input) => format!("input {input}"),
                Bind::Literal(value) => shown(Some(value)),
                Bind::Auth(fact) => {
                    format!("{fact:?} of the caller: {}", shown(Some(&prepared.plan.caller().fact(fact))))
                }
                Bind::Now => "now".into(),
                Bind::Computed(expr) => expr_text::text(&model, expr),
                Bind::Pattern(_, _, expr) => format!("{} in the store's words", expr_text::text(&model, expr)),
                Bind::KeyRows => "keys of the rows before".to_owned(),
                Bind::Keys(column) => format!("keys of the rows before, column {column}"),
            };
            _ = writeln!(out, "    ?{} {ty} = {source}", position + 1);
        }
    };
    match &*prepared.statements {
        Statements::Read(read) => {
            for (position, node) in read.nodes.iter().enumerate() {
                statement(&format!("Statement {}", position + 1), node);
            }
            if let Some((_, estimate)) = &read.estimate {
                statement("Count, as the planner guesses", estimate);
            }
            if let Some(count) = &read.count {
                statement("Count", count);
            }
        }
        Statements::Write(write) => {
            let parts = [
                ("Guards, before", &write.guard),
                ("Row that is there already", &write.lookup),
                ("Notes on the rows, before", &write.noted),
                ("Keys, before", &write.keys),
            ];
            for (title, part) in parts {
                if let Some(part) = part {
                    statement(title, part);
                }
            }
            statement("Change", &write.main);
            let parts = [
                ("Change of a row that is there", &write.update),
                ("Guards, after", &write.after),
                ("Guards of changed rows, after", &write.again),
            ];
            for (title, part) in parts {
                if let Some(part) = part {
                    statement(title, part);
                }
            }
            for (position, node) in write.returning.iter().flat_map(|read| &read.nodes).enumerate() {
                statement(&format!("Representation {}", position + 1), node);
            }
        }
    }
    let plan = server.engine().store().explain(prepared).await;
    let plan = plan.map_err(|error| Exit::failed(format!("the store cannot explain: {error}")))?;
    out.push_str("\nQuery plan\n");
    for line in plan {
        _ = writeln!(out, "  {line}");
    }
    Ok(())
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "null".into(),
        Some(value) => wire::to_json(value),
    }
}

fn wrong(problem: Problem) -> Exit {
    let hint = problem.hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
    Exit::wrong(format!("{} {}: {}{hint}", problem.status, problem.code, problem.message))
}

fn failed(failure: Failure) -> Exit {
    Exit::failed(format!("{failure:?}"))
}
