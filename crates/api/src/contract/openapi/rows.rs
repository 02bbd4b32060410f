//! The operations of a collection.

use super::answers::{ANYWHERE, WITH_BODY, add_problems, headers};
use super::filters::{self, Operand};
use super::schemas::{self, reference, schema};
use serde_json::{Map, Value as Json, json};
use undergird_model::field_type::FieldType;
use undergird_model::operation::OperationKind;
use undergird_model::schema::{Collection, Field, FieldId, Model};
use undergird_model::settings::Limits;

/// Adds a collection's parameters, and the schemas of its filters.
pub(super) fn add_parameters(
    parameters: &mut Map<String, Json>,
    components: &mut Map<String, Json>,
    model: &Model,
    collection: &Collection,
) {
    let name = &collection.name;
    let mut add = |key: String, parameter: Json| {
        parameters.insert(key, parameter);
    };
    for field in filters::columns(collection) {
        let operand = Operand::of(&field.declared);
        let pattern = json!({ "type": "string", "pattern": operand.pattern() });
        let filter = if operand.is_own() {
            pattern
        } else {
            let component = format!("filter.{}", operand.name);
            components.entry(component.as_str()).or_insert(pattern);
            schema(&component)
        };
        let about = field.description.as_deref().map(|about| format!("{about} ")).unwrap_or_default();
        let told = format!("{about}Keep rows whose `{}` fits: {}; `not.` before any.", field.name, operand.operators());
        add(
            format!("{name}.where.{}", field.name),
            json!({
                "name": field.name, "in": "query", "required": false, "description": told, "schema": filter,
                "example": operand.example,
            }),
        );
    }
    let query = |name: &str, description: &str, schema: Json| json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema });
    add(
        format!("{name}.select"),
        query(
            "select",
            "Columns and embedded collections to answer with; all columns when left out. Beyond the pattern: aliases (`a:column`), \
             casts (`::text`), JSON paths (`data->a->>b`), aggregates (`amount.sum()`), spreads (`...relation(…)`), deeper embedding.",
            filters::select(model, collection),
        ),
    );
    add(
        format!("{name}.order"),
        query("order", "Sort by these columns. The key is always the last of them.", filters::order(collection)),
    );
    for word in ["and", "or"] {
        let words = if word == "and" { "all of these hold" } else { "any of these holds" };
        add(
            format!("{name}.{word}"),
            query(
                word,
                &format!(
                    "Keep rows for which {words}: `(column.operator.value,…)`, with `and(…)`, `or(…)` and `not.` inside."
                ),
                filters::group(collection),
            ),
        );
    }
    let told = "Take only these members of the body; pass over the others.";
    add(format!("{name}.columns"), query("columns", told, filters::names(collection, &[])));
    for (variant, needed) in
        [("insert", schemas::required(collection)), ("replace", schemas::required_beside_key(collection))]
    {
        if needed.is_empty() {
            continue;
        }
        let told =
            format!("{told} A new row needs `{}` among them; beyond the pattern, in any order.", needed.join("`, `"));
        add(format!("{name}.columns.{variant}"), query("columns", &told, filters::names(collection, &needed)));
    }
    add(
        format!("{name}.on_conflict"),
        query(
            "on_conflict",
            "With `Prefer: resolution=…`: the columns that tell whether a row is there already; the key when left out.",
            json!({ "type": "string", "enum": filters::unique_sets(collection) }),
        ),
    );
    add(format!("{name}.key"), key(collection));
}

/// `{key}` in the path.
fn key(collection: &Collection) -> Json {
    let parts: Vec<&str> =
        collection.key.iter().map(|field| collection.fields[usize::from(field.index)].name.as_str()).collect();
    let only = match collection.key.as_slice() {
        [only] => Some(&collection.fields[usize::from(only.index)]),
        _ => None,
    };
    let (schema, about) = match only {
        Some(field) => {
            let declared = match &field.declared {
                FieldType::Ref { key, .. } => key,
                other => other,
            };
            let schema = match declared {
                FieldType::Text { .. } | FieldType::Email | FieldType::Url | FieldType::Enum { .. } => {
                    // A comma parts the key, a slash the path, and quotes hide commas.
                    json!({ "type": "string", "pattern": "^[^\\u0000\"/,\\\\?#]+$" })
                }
                other => other.json_schema(),
            };
            (schema, format!("The row's `{}`.", field.name))
        }
        None => {
            let values: Vec<String> =
                collection.key.iter().map(|field| key_part(&collection.fields[usize::from(field.index)])).collect();
            let schema = json!({ "type": "string", "pattern": format!("^{}$", values.join(",")) });
            (schema, format!("The row's `{}`, in this order, separated by commas.", parts.join("`, `")))
        }
    };
    json!({ "name": "key", "in": "path", "required": true, "description": about, "schema": schema })
}

/// What one part of a key looks like, as a pattern.
fn key_part(field: &Field) -> String {
    let operand = Operand::of(&field.declared);
    match operand.name.as_str() {
        "text" | "enum" => "[^\\u0000\"/,\\\\?#]+".to_owned(),
        _ => operand.value().to_owned(),
    }
}

/// The key as conditions, all of them needed.
fn key_conditions(collection: &Collection) -> Vec<Json> {
    let condition = |field: &FieldId| {
        let field = &collection.fields[usize::from(field.index)];
        json!({
            "name": field.name,
            "in": "query",
            "required": true,
            "description": format!("The row's `{}`, as `eq.value`.", field.name),
            "schema": { "type": "string", "pattern": format!("^eq\\.{}$", key_part(field)) },
        })
    };
    collection.key.iter().map(condition).collect()
}

/// Parameters that all collections share.
pub(super) fn shared_parameters() -> Map<String, Json> {
    let parameter = |place: &str, name: &str, description: &str, schema: Json| json!({ "name": name, "in": place, "required": false, "description": description, "schema": schema });
    let count = || json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": i64::MAX });
    let text = || json!({ "type": "string" });
    let mut all = Map::new();
    let mut add = |key: &str, parameter: Json| {
        all.insert(key.into(), parameter);
    };
    add("limit", parameter("query", "limit", "Most rows to answer with. `[limits] rows` holds besides.", count()));
    add("offset", parameter("query", "offset", "Rows to skip. `after` is faster than a great offset.", count()));
    add(
        "after",
        parameter(
            "query",
            "after",
            "The position after which the page begins, from the `Link` of the page before; at most 4,096 characters, and nobody else can make \
             one. Bound to the caller and the question. Empty: from the beginning.",
            // A format of our own: no pattern says which texts the server has sealed.
            json!({ "type": "string", "format": "cursor" }),
        ),
    );
    let prefer = |values: &[&str]| {
        let told: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        let about = format!(
            "Preferences (RFC 7240), separated by commas: {}. Unknown ones are passed over unless `handling=strict`.",
            told.join(", ")
        );
        let mut parameter = parameter("header", "Prefer", &about, text());
        parameter["example"] = json!(values.first());
        parameter
    };
    add(
        "prefer.read",
        prefer(&["count=exact", "count=planned", "count=estimated", "consistency=eventual", "handling=strict"]),
    );
    add(
        "prefer.create",
        prefer(&[
            "return=representation",
            "return=minimal",
            "return=headers-only",
            "resolution=merge-duplicates",
            "resolution=ignore-duplicates",
            "missing=default",
            "count=exact",
            "tx=rollback",
            "handling=strict",
        ]),
    );
    add(
        "prefer.change",
        prefer(&[
            "return=representation",
            "return=minimal",
            "count=exact",
            "max-affected=N",
            "tx=rollback",
            "handling=strict",
        ]),
    );
    add(
        "range",
        parameter(
            "header",
            "Range",
            "Rows from … to, counted from 0: `0-19`. What is no such range is passed over.",
            text(),
        ),
    );
    add("range-unit", parameter("header", "Range-Unit", "`items`, the only unit there is.", text()));
    let mut if_match = parameter(
        "header",
        "If-Match",
        "Do it only if the row is still the version with this `ETag`; else 412, and nothing is written.",
        text(),
    );
    if_match["example"] = json!("*");
    add("if-match", if_match);
    add(
        "if-none-match",
        parameter(
            "header",
            "If-None-Match",
            "Answer 304 without a body when the row, or the list, is the version with this `ETag`.",
            text(),
        ),
    );
    add(
        "idempotency-key",
        parameter(
            "header",
            "Idempotency-Key",
            "A name for this request, made up by the client. The same request with the same key is answered again, not done again.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
    );
    all
}

/// The operation object, apart from its id.
pub(super) fn describe(model: &Model, collection: &Collection, kind: OperationKind) -> Json {
    let name = collection.name.as_str();
    let limits = &model.settings.limits;
    let own = |parameter: &str| reference("parameters", &format!("{name}.{parameter}"));
    let shared = |parameter: &str| reference("parameters", parameter);
    let columns = |variant: &str, needed: &[&str]| {
        if needed.is_empty() { own("columns") } else { own(&format!("columns.{variant}")) }
    };
    let conditions = || {
        let filters = filters::columns(collection).map(|field| own(&format!("where.{}", field.name)));
        filters.chain([own("and"), own("or")]).collect::<Vec<_>>()
    };
    let (summary, about, parameters, body, mut responses) = match kind {
        OperationKind::List(_) => {
            let mut parameters = vec![own("select"), own("order")];
            parameters.extend(["limit", "offset", "after", "prefer.read", "range", "range-unit"].map(shared));
            parameters.extend(collection.cache.map(|_| shared("if-none-match")));
            parameters.extend(conditions());
            (
                format!("List {name}"),
                "The rows that the caller may see, filtered, sorted and cut to a page.",
                parameters,
                None,
                read_many(collection),
            )
        }
        OperationKind::Read(_) => (
            format!("Read one of {name}"),
            "One row by its key, with a strong `ETag`.",
            vec![own("key"), own("select"), shared("if-none-match")],
            None,
            read_one(collection),
        ),
        OperationKind::Create(_) => (
            format!("Create {name}"),
            "Makes one row or many, all or none; with `Prefer: resolution=…` changes or keeps those that are there already.",
            vec![
                own("select"),
                columns("insert", &schemas::required(collection)),
                own("on_conflict"),
                shared("prefer.create"),
                shared("idempotency-key"),
            ],
            Some(body(name, "insert", Some(limits))),
            written(name, &["201", "200"], &[404, 409, 422]),
        ),
        OperationKind::Update(_) => {
            let mut parameters =
                vec![own("select"), own("columns"), shared("prefer.change"), shared("idempotency-key")];
            parameters.extend(conditions());
            (
                format!("Update {name}"),
                "Gives every row that the conditions select, and that the caller may change, these values.",
                parameters,
                Some(body(name, "update", None)),
                written(name, &["200", "204"], &[404, 409, 412, 422]),
            )
        }
        OperationKind::UpdateOne(_) => (
            format!("Update one of {name}"),
            "Changes one row by its key.",
            vec![
                own("key"),
                own("select"),
                own("columns"),
                shared("prefer.change"),
                shared("if-match"),
                shared("idempotency-key"),
            ],
            Some(body(name, "update", None)),
            written_one(name, &["200", "204"], &[404, 409, 412, 422]),
        ),
        OperationKind::Replace(_) => {
            let mut parameters = key_conditions(collection);
            parameters.extend([own("select"), columns("replace", &schemas::required_beside_key(collection))]);
            parameters.extend(["prefer.change", "if-match", "idempotency-key"].map(shared));
            (
                format!("Replace one of {name} by conditions"),
                "Makes the row with this key be exactly this, as `PUT` on its own path does; in PostgREST's form.",
                parameters,
                Some(body(name, "replace", None)),
                written(name, &["200", "201", "204"], &[404, 405, 409, 412, 422]),
            )
        }
        OperationKind::ReplaceOne(_) => (
            format!("Replace one of {name}"),
            "Makes the row with this key be exactly this, whether it is there already or not.",
            vec![
                own("key"),
                own("select"),
                columns("replace", &schemas::required_beside_key(collection)),
                shared("prefer.change"),
                shared("if-match"),
                shared("idempotency-key"),
            ],
            Some(body(name, "replace", None)),
            written_one(name, &["200", "201", "204"], &[404, 409, 412, 422]),
        ),
        OperationKind::Delete(_) => {
            let mut parameters = vec![own("select"), shared("prefer.change"), shared("idempotency-key")];
            parameters.extend(conditions());
            (
                format!("Delete {name}"),
                "Removes every row that the conditions select and that the caller may remove.",
                parameters,
                None,
                written(name, &["200", "204"], &[404, 409, 412, 422]),
            )
        }
        OperationKind::DeleteOne(_) => (
            format!("Delete one of {name}"),
            "Removes one row by its key.",
            vec![own("key"), own("select"), shared("prefer.change"), shared("if-match"), shared("idempotency-key")],
            None,
            written_one(name, &["200", "204"], &[404, 409, 412, 422]),
        ),
        OperationKind::Batch
        | OperationKind::Call(_)
        | OperationKind::Auth(_)
        | OperationKind::Page(_)
        | OperationKind::Service(_) => {
            return Json::Null;
        }
    };
    let (statuses, place): (&[&str], _) = match kind {
        OperationKind::Create(_) => (&["201"], "/0"),
        OperationKind::List(_) => (&["200"], "/0"),
        OperationKind::ReplaceOne(_) => (&["200", "201"], ""),
        _ => (&[], ""),
    };
    for status in statuses {
        if let Some(answer) = responses.get_mut(*status) {
            answer["links"] = links(collection, place);
        }
    }
    let mut operation = json!({
        "tags": [name],
        "summary": summary,
        "description": about,
        "parameters": parameters,
    });
    if let Some(body) = body {
        operation["requestBody"] = body;
        add_problems(&mut responses, WITH_BODY);
    }
    add_problems(&mut responses, ANYWHERE);
    operation["responses"] = Json::Object(sorted(responses));
    operation
}

/// What can be done with the row at this place of the answer's body: by its key in the path, and by conditions on it.
fn links(collection: &Collection, place: &str) -> Json {
    let name = collection.name.as_str();
    let parts: Vec<(&str, String)> = collection
        .key
        .iter()
        .map(|field| collection.fields[usize::from(field.index)].name.as_str())
        .map(|part| (part, format!("$response.body#{place}/{part}")))
        .collect();
    let key = match parts.as_slice() {
        [(_, only)] => only.clone(),
        several => several.iter().map(|(_, part)| format!("{{{part}}}")).collect::<Vec<_>>().join(","),
    };
    let conditions: Map<String, Json> =
        parts.iter().map(|(part, value)| (format!("query.{part}"), format!("eq.{{{value}}}").into())).collect();
    let mut links = Map::new();
    for verb in ["read", "update_one", "replace_one", "delete_one"] {
        links
            .insert(verb.into(), json!({ "operationId": format!("{name}.{verb}"), "parameters": { "path.key": key } }));
    }
    for verb in ["list", "update", "replace", "delete"] {
        links.insert(verb.into(), json!({ "operationId": format!("{name}.{verb}"), "parameters": conditions }));
    }
    Json::Object(links)
}

/// By status, as people look for them.
pub(super) fn sorted(responses: Map<String, Json>) -> Map<String, Json> {
    let mut all: Vec<(String, Json)> = responses.into_iter().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().collect()
}

/// The rows of an answer, in every form that they can have.
pub(super) fn rows(name: &str) -> Json {
    let one = one(name);
    let stripped = schema(&format!("{name}.selected"));
    json!({
        "application/json": { "schema": { "type": "array", "items": one } },
        "application/vnd.pgrst.array+json": { "schema": { "type": "array", "items": stripped } },
        "application/vnd.pgrst.object+json": { "schema": one },
        "text/csv": { "schema": { "type": "string" } },
    })
}

/// One row of an answer, whole or in parts.
pub(super) fn one(name: &str) -> Json {
    json!({ "anyOf": [schema(name), schema(&format!("{name}.selected"))] })
}

fn read_many(collection: &Collection) -> Map<String, Json> {
    let name = collection.name.as_str();
    let mut names = vec!["X-Request-Id", "Content-Range", "Content-Location", "ETag", "Link", "Preference-Applied"];
    names.extend(collection.cache.map(|_| "Cache-Status"));
    let mut responses = Map::new();
    for (status, about) in [("200", "The rows."), ("206", "A part of the rows, where their count was asked for.")] {
        let answer = json!({ "description": about, "headers": headers(&names), "content": rows(name) });
        responses.insert(status.into(), answer);
    }
    if collection.cache.is_some() {
        let same = "The answer is the one that `If-None-Match` names.";
        responses.insert("304".into(), json!({ "description": same, "headers": headers(&names) }));
    }
    add_problems(&mut responses, &[300, 400, 401, 403, 404, 406, 416]);
    responses
}

/// One row of an answer, in every form that it can have: a path with a key means one object.
fn row(name: &str) -> Json {
    let selected = schema(&format!("{name}.selected"));
    let one = json!({ "anyOf": [schema(name), selected] });
    json!({
        "application/json": { "schema": one },
        "application/vnd.pgrst.object+json": { "schema": one },
        "application/vnd.pgrst.array+json": { "schema": selected },
        "text/csv": { "schema": { "type": "string" } },
    })
}

fn read_one(collection: &Collection) -> Map<String, Json> {
    let name = collection.name.as_str();
    let mut responses = Map::new();
    let mut names = vec!["X-Request-Id", "ETag", "Cache-Control"];
    names.extend(collection.cache.map(|_| "Cache-Status"));
    let found = json!({ "description": "The row.", "headers": headers(&names), "content": row(name) });
    responses.insert("200".into(), found);
    let same =
        json!({ "description": "The row is the version that `If-None-Match` names.", "headers": headers(&names) });
    responses.insert("304".into(), same);
    add_problems(&mut responses, &[300, 400, 401, 403, 404, 406]);
    responses
}

fn written(name: &str, statuses: &[&str], problems: &[u16]) -> Map<String, Json> {
    changed(statuses, problems, rows(name))
}

fn written_one(name: &str, statuses: &[&str], problems: &[u16]) -> Map<String, Json> {
    changed(statuses, problems, row(name))
}

fn changed(statuses: &[&str], problems: &[u16], form: Json) -> Map<String, Json> {
    let mut responses = Map::new();
    for status in statuses {
        let (about, content) = match *status {
            "201" => ("Made. The rows, with `Prefer: return=representation`.", true),
            "200" => ("Done. The rows, with `Prefer: return=representation`.", true),
            _ => ("Done.", false),
        };
        let mut names = vec!["X-Request-Id", "Preference-Applied", "Content-Range", "ETag", "Idempotency-Replayed"];
        if matches!(*status, "201") {
            names.push("Location");
        }
        let mut answer = json!({ "description": about, "headers": headers(&names) });
        if content {
            answer["content"] = form.clone();
        }
        responses.insert((*status).into(), answer);
    }
    add_problems(&mut responses, &[300, 400, 401, 403, 406, 507]);
    add_problems(&mut responses, problems);
    responses
}

/// A body of one row, or of many where `many` gives the limits.
fn body(name: &str, variant: &str, many: Option<&Limits>) -> Json {
    let one = schema(&format!("{name}.{variant}"));
    let json_schema = match many {
        Some(limits) => json!({
            "anyOf": [one, { "type": "array", "items": one, "maxItems": limits.insert_rows }],
        }),
        None => one,
    };
    json!({ "required": true, "content": { "application/json": { "schema": json_schema } } })
}

/// What of this is also served though the document does not say it per operation.
pub(super) fn about() -> String {
    [
        "Rows are read and written in PostgREST's dialect: every column is a query parameter that takes `operator.value`.",
        "Filters reach into JSON (`data->>a=eq.1`) and into embedded collections (`author.name=eq.Ann`, `comments.limit=3`); ",
        "bodies may also be `text/csv` or `application/x-www-form-urlencoded`; `HEAD` and `OPTIONS` are answered everywhere.",
    ]
    .join(" ")
}
