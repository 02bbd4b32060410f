//! B1, B4, C3 (TRUST.md, R16): two servers that differ only in what a caller may not see give that caller the same bytes.
//!
//! The requests are made from the model by dice with a fixed seed: every field, hidden or not, selected, cast, filtered, ordered,
//! grouped, aggregated, embedded, returned from writes. The control: to somebody who may see them, the differences show.

use crate::support::databases::On;
use crate::world::{ABSENT, ONE, PRIVATE, PUBLIC, ROW, ROW_OPEN, ROW_TWO, THEIRS, TWO, UNNAMED, Who, World};
use serde_json::{Value as Json, json};
use undergird_model::schema::Cardinality;
use undergird_model::{Collection, Kind, Model, Type};

crate::on_each_store!(answers_do_not_depend_on_what_is_hidden);
crate::on_the_wall!(answers_do_not_depend_on_what_is_hidden);

const REQUESTS: usize = 1_200;
const SEED: u64 = 0x5eed;

async fn answers_do_not_depend_on_what_is_hidden(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let (first, second) = world.twins().await;
    hide_otherwise(&second).await;
    let model = first.model();
    // Behind the wall it is PostgreSQL once more, and another fold of the same rules.
    let requests = if on == On::Walled { REQUESTS / 5 } else { REQUESTS };
    let mut taken = 0;
    for who in [Who::Nobody, Who::Stranger, Who::Other] {
        let mut dice = Dice(SEED ^ who as u64);
        for number in 0..requests {
            let asked = dice.request(&model, &first).by_function(&model, number);
            let headers: Vec<(&str, &str)> =
                asked.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let one = first.ask(who, asked.method, &asked.target, &headers, asked.body.clone()).await;
            let two = second.ask(who, asked.method, &asked.target, &headers, asked.body.clone()).await;
            let (mut left, mut right) = (one.comparable(), two.comparable());
            if asked.method == "POST" {
                (left, right) = (without_news(&left), without_news(&right));
            }
            assert_eq!(left, right, "{who:?}, request {number}: {asked:?}");
            taken += usize::from(one.status < 300);
        }
    }
    // Else the dice would only show that refusals are alike.
    assert!(taken > requests, "only {taken} of {} requests were good", requests * 3);
    let mut dice = Dice(SEED);
    let mut differences = 0;
    for number in 0..200 {
        let asked = dice.request(&model, &first).by_function(&model, number);
        let headers: Vec<(&str, &str)> = asked.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let one = first.ask(Who::Key, asked.method, &asked.target, &headers, asked.body.clone()).await;
        let two = second.ask(Who::Key, asked.method, &asked.target, &headers, asked.body.clone()).await;
        differences += usize::from(one.comparable() != two.comparable());
    }
    assert!(differences > 20, "the control saw {differences} differences: the harness sees nothing");
}

/// Without the keys and times that a new row gets, which are new each time.
fn without_news(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit()) {
        left.push_str(&rest[..at]);
        let length = rest[at..].find(|letter: char| !letter.is_ascii_hexdigit() && !"-:.+TZ".contains(letter));
        let (token, after) = rest[at..].split_at(length.unwrap_or(rest.len() - at));
        left.push_str(if token.len() >= 20 { "…" } else { token });
        rest = after;
    }
    left.push_str(rest);
    left
}

/// Other values in whatever the second tenant, a stranger and nobody may not see, and other numbers of such rows.
async fn hide_otherwise(world: &World) {
    let victim = &world.ids[&Who::Victim];
    let changes = [
        (format!("tenants/{ONE}"), json!({"name": "KANARI-B", "plan": "paid"})),
        (
            format!("docs/{PRIVATE}"),
            json!({"title": "A KANARI-B", "body": "", "cost": null, "owner_rank": -770_022,
            "internal_note": null, "pin": null, "token": null, "review": null, "tags": [], "attributes": null}),
        ),
        (
            format!("docs/{PUBLIC}"),
            json!({"cost": -77001.77, "owner_rank": 1, "internal_note": "A", "pin": "A", "token": "A",
            "review": "A"}),
        ),
        (format!("docs/{THEIRS}"), json!({"internal_note": null, "pin": null, "token": null})),
        (format!("labels/{ROW}"), json!({"name": "A KANARI-B"})),
        (format!("messages/{ROW}"), json!({"body": "A KANARI-B", "read_at": "2026-05-05T00:00:00Z"})),
        (format!("nodes/{ROW}"), json!({"name": "A KANARI-B", "position": 9.5})),
        (
            format!("samples/{ROW}"),
            json!({"a_text": null, "an_int": -7, "texts": [], "a_secret": null, "a_json": null}),
        ),
        (format!("samples/{ROW_TWO}"), json!({"a_secret": null})),
        (format!("secrets/{ROW}"), json!({"name": "A", "value": "A", "doc_id": null})),
        (
            format!("people/{victim}"),
            json!({"name": "KANARI-B", "email": "kanari-victim@b.example", "role": "owner", "verified": true,
            "recovery_code": null}),
        ),
        (format!("people/{}", world.ids[&Who::Other]), json!({"recovery_code": null})),
        ("rates/DE,2026-01-01".to_owned(), json!({"remark": null})),
        ("invoices/4100001".to_owned(), json!({"net": 0.5, "paid": true})),
    ];
    for (row, change) in changes {
        let reply = world.ask(Who::Key, "PATCH", &format!("/rest/v1/{row}"), &[], Some(change)).await;
        assert_eq!(reply.status, 204, "{row}: {}", reply.text());
    }
    let reply = world.ask(Who::Key, "DELETE", &format!("/rest/v1/docs/{UNNAMED}"), &[], None).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    world.make("messages", json!({"sender_id": victim, "recipient_id": victim, "body": "KANARI-B"})).await;
    world.make("samples", json!({"owner_id": victim, "a_text": "KANARI-B"})).await;
    world.make("labels", json!({"tenant_id": ONE, "name": "KANARI-B"})).await;
    world.make("nodes", json!({"doc_id": PRIVATE, "parent_id": ROW, "name": "KANARI-B"})).await;
}

/// A request as the dice fell.
#[derive(Debug)]
struct Asked {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Json>,
}

impl Asked {
    /// Half of the reads of documents ask a function of the database for them, where it has any.
    fn by_function(mut self, model: &Model, number: usize) -> Asked {
        if let ("GET", true, Some(rest)) =
            (self.method, number.is_multiple_of(2), self.target.strip_prefix("/rest/v1/docs?"))
            && model.find_function("all_docs").is_some()
        {
            self.target = format!("/rest/v1/rpc/all_docs?{rest}");
        }
        self
    }
}

/// SplitMix64: the same requests in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn request(&mut self, model: &Model, world: &World) -> Asked {
        let collections: Vec<&Collection> = model.public().collect();
        let collection = *self.of(&collections);
        let mut path = format!("/rest/v1/{}", collection.name);
        let mut parameters: Vec<String> = Vec::new();
        let mut embeds: Vec<(String, &Collection)> = Vec::new();
        let by_key = self.one_in(6);
        if by_key {
            let key = if self.one_in(2) { world.victim_key(&collection.name) } else { self.id(world) };
            path = format!("{path}/{key}");
        }
        if !self.one_in(4) {
            let items = self.items(model, collection, 0, &mut embeds, "");
            parameters.push(format!("select={items}"));
        }
        for _ in 0..self.below(3) {
            let condition = self.condition(collection, world, "=");
            parameters.push(condition);
        }
        if self.one_in(4) {
            let terms: Vec<String> = (0..2).map(|_| self.condition(collection, world, ".")).collect();
            parameters.push(format!("{}=({})", self.of(&["or", "and", "not.or", "not.and"]), terms.join(",")));
        }
        for (name, target) in &embeds {
            if self.one_in(2) {
                let condition = self.condition(target, world, "=");
                parameters.push(format!("{name}.{condition}"));
            }
        }
        let write = self.one_in(6);
        if !by_key && !write {
            if self.one_in(2) {
                let terms: Vec<String> = (0..=self.below(2)).map(|_| self.ordering(collection, &embeds)).collect();
                parameters.push(format!("order={}", terms.join(",")));
            }
            if self.one_in(3) {
                parameters.push(format!("limit={}", self.below(4)));
            }
            if self.one_in(6) {
                parameters.push(format!("offset={}", self.below(3)));
            }
        }
        let target = if parameters.is_empty() { path } else { format!("{path}?{}", parameters.join("&")) };
        let mut headers = Vec::new();
        if write {
            let method = *self.of(&["PATCH", "DELETE", "PATCH", "POST"]);
            headers.push(("prefer", "tx=rollback, return=representation, count=exact".to_owned()));
            let method = if by_key && method == "POST" { "PATCH" } else { method };
            let body = (method != "DELETE").then(|| self.body(collection, world, method));
            return Asked { method, target, headers, body };
        }
        if self.one_in(3) {
            headers.push(("prefer", format!("count={}", self.of(&["exact", "planned", "estimated"]))));
        }
        if self.one_in(4) {
            let media =
                ["text/csv", "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json;nulls=stripped"];
            headers.push(("accept", (*self.of(&media)).to_owned()));
        }
        let method = if self.one_in(10) { "HEAD" } else { "GET" };
        Asked { method, target, headers, body: None }
    }

    fn items<'m>(
        &mut self,
        model: &'m Model,
        collection: &'m Collection,
        depth: usize,
        embeds: &mut Vec<(String, &'m Collection)>,
        path: &str,
    ) -> String {
        let mut items: Vec<String> = Vec::new();
        for _ in 0..=self.below(3) {
            let field = &self.of(&collection.fields).name;
            items.push(match self.below(12) {
                0 => "*".to_owned(),
                1 => format!("other{}:{field}", items.len()),
                2 => format!("{field}::text"),
                3 => format!("{field}.{}()", self.of(&["min", "max", "sum", "count"])),
                4 => "count()".to_owned(),
                _ => field.clone(),
            });
        }
        if depth < 2 && !collection.relations.is_empty() && self.one_in(2) {
            let relation = self.of(&collection.relations);
            let target = model.collection(relation.target);
            if !target.system {
                let name = format!("{path}{}", relation.name);
                let within = self.items(model, target, depth + 1, embeds, &format!("{name}."));
                let form = match self.below(6) {
                    0 => format!("{}!inner({within})", relation.name),
                    1 if relation.cardinality == Cardinality::One => format!("...{}({within})", relation.name),
                    2 => format!("{}()", relation.name),
                    _ => format!("{}({within})", relation.name),
                };
                embeds.push((name, target));
                items.push(form);
            }
        }
        items.join(",")
    }

    fn ordering(&mut self, collection: &Collection, embeds: &[(String, &Collection)]) -> String {
        let field = if embeds.is_empty() || self.one_in(2) {
            self.of(&collection.fields).name.clone()
        } else {
            let (name, target) = self.of(embeds);
            format!("{name}({})", self.of(&target.fields).name)
        };
        format!("{field}{}{}", self.of(&["", ".asc", ".desc"]), self.of(&["", ".nullsfirst", ".nullslast"]))
    }

    fn condition(&mut self, collection: &Collection, world: &World, separator: &str) -> String {
        let field = self.of(&collection.fields);
        let name = &field.name;
        let not = if self.one_in(5) { "not." } else { "" };
        if self.one_in(5) {
            return format!("{name}{separator}{not}is.{}", self.of(&["null", "not_null"]));
        }
        if let Type::List(_) = field.ty {
            return format!("{name}{separator}{not}cs.{{{}}}", self.of(&["one", "x", "KANARI"]));
        }
        let value = self.text(field.ty, world);
        let textual = matches!(field.ty, Type::Scalar(Kind::Text));
        if textual && self.one_in(2) {
            let pattern = *self.of(&["*KANAR*", "K*", "*a*", "A*", "*"]);
            return format!("{name}{separator}{not}{}.{pattern}", self.of(&["like", "ilike"]));
        }
        if textual && self.one_in(6) {
            return format!("{name}{separator}{not}match.^[A-K]");
        }
        format!("{name}{separator}{not}{}.{value}", self.of(&["eq", "neq", "gt", "gte", "lt", "lte", "isdistinct"]))
    }

    fn id(&mut self, world: &World) -> String {
        let mut ids: Vec<&str> = vec![ONE, TWO, PRIVATE, PUBLIC, THEIRS, ROW, ROW_TWO, ROW_OPEN, ABSENT];
        ids.extend(world.ids.values().map(String::as_str));
        (*self.of(&ids)).to_owned()
    }

    fn text(&mut self, ty: Type, world: &World) -> String {
        let (Type::Scalar(kind) | Type::List(kind)) = ty else { return "x".into() };
        let all: &[&str] = match kind {
            Kind::Uuid => return self.id(world),
            Kind::Bool => &["true", "false"],
            Kind::Int | Kind::Float | Kind::Decimal { .. } => &["0", "1", "7", "77000", "-5"],
            Kind::Timestamp => &["2026-01-02T03:04:05Z", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"],
            Kind::Date => &["2026-01-01", "2020-01-01", "2030-01-01"],
            Kind::Time => &["00:00:00", "12:00:00"],
            _ => &["KANARI", "Open to all", "A", "x", "admin", "DE", "free"],
        };
        (*self.of(all)).to_owned()
    }

    /// A body with a field or a few. A unique code is left out: that a value is taken is a thing that any store tells.
    fn body(&mut self, collection: &Collection, world: &World, method: &str) -> Json {
        let mut body = if method == "POST" && self.one_in(2) { world.victim_body(&collection.name) } else { json!({}) };
        for _ in 0..=self.below(2) {
            let field = self.of(&collection.fields);
            if field.unique || collection.is_key(field.id) {
                continue;
            }
            let value = self.text(field.ty, world);
            body[&field.name] = match field.ty {
                Type::Scalar(Kind::Bool) => json!(value == "true"),
                Type::Scalar(Kind::Int | Kind::Float | Kind::Decimal { .. }) => {
                    json!(value.parse::<i64>().unwrap_or(1))
                }
                Type::Scalar(_) => json!(value),
                _ => json!([value]),
            };
        }
        body
    }
}
