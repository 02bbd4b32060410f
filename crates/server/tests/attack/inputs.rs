//! B5, B6, C6: members that are not the caller's to set, and values of another form than the field's.

use crate::support::databases::On;
use crate::world::{ABSENT, ONE, PRIVATE, Reply, Who, World};
use serde_json::{Value as Json, json};
use undergird_model::{Kind, Type};

crate::on_each_store!(members_that_are_not_the_callers_to_set_are_named, values_of_another_form_are_refused);

/// A body that the victim may create, by collection, so that what is added to it is the only fault.
fn good(world: &World) -> Vec<(&'static str, Json)> {
    let (victim, mate) = (&world.ids[&Who::Victim], &world.ids[&Who::Mate]);
    vec![
        ("tenants", json!({"name": "Mine"})),
        ("members", json!({"tenant_id": ONE, "person_id": world.ids[&Who::Stranger]})),
        ("docs", json!({"tenant_id": ONE, "title": "Mine"})),
        ("labels", json!({"tenant_id": ONE, "name": "Mine"})),
        ("messages", json!({"recipient_id": mate, "body": "Mine"})),
        ("nodes", json!({"doc_id": PRIVATE, "name": "Mine"})),
        ("samples", json!({"owner_id": victim})),
    ]
}

async fn create(world: &World, collection: &str, body: Json) -> Reply {
    world.ask(Who::Victim, "POST", &format!("/rest/v1/{collection}"), &[("prefer", "tx=rollback")], Some(body)).await
}

fn with(body: &Json, name: &str, value: Json) -> Json {
    let mut body = body.clone();
    body[name] = value;
    body
}

/// That the answer refuses this member, by name.
fn names(reply: &Reply, member: &str) -> bool {
    let told = reply.json();
    let pointed = told["errors"].as_array().is_some_and(|errors| {
        errors
            .iter()
            .any(|error| error["pointer"].as_str().is_some_and(|pointer| pointer.ends_with(&format!("/{member}"))))
    });
    reply.status == 422 && pointed || reply.status == 403 && reply.text().contains(member)
}

async fn members_that_are_not_the_callers_to_set_are_named(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let before = world.dump();
    let model = world.model();
    let columns: Vec<String> = model
        .collections
        .iter()
        .flat_map(|collection| collection.fields.iter())
        .map(|field| field.name.clone())
        .collect();
    let others =
        ["rowid", "_rowid_", "oid", "CountryCode", "__proto__", "constructor", "encrypted_password", "$ref", ""];
    for (name, body) in good(&world) {
        let reply = create(&world, name, body.clone()).await;
        assert_eq!(reply.status, 201, "{name}: {}", reply.text());
        let collection = model.find(name).unwrap();
        for column in columns.iter().map(String::as_str).chain(others) {
            match collection.field(column) {
                None => {
                    let reply = create(&world, name, with(&body, column, json!("x"))).await;
                    assert!(reply.status == 422 && names(&reply, column), "{name}.{column}: {reply:?}");
                    let target = format!("/rest/v1/{name}/{}", world.victim_key(name));
                    let reply = world.ask(Who::Victim, "PATCH", &target, &[], Some(json!({column: "x"}))).await;
                    assert!(reply.status >= 400, "{name}.{column}: {reply:?}");
                }
                Some(field) if field.readonly => {
                    // Any value, the default itself included.
                    for value in [json!(true), json!("owner"), json!("2020-01-01T00:00:00Z"), json!(ABSENT), Json::Null]
                    {
                        let reply = create(&world, name, with(&body, column, value)).await;
                        assert!(reply.status == 422 && names(&reply, column), "{name}.{column}: {reply:?}");
                    }
                }
                Some(_) => {}
            }
        }
    }
    // A write rule that fails names the field, and nothing is written.
    let reply = create(&world, "docs", json!({"tenant_id": ONE, "title": "Mine", "internal_note": "x"})).await;
    assert!(reply.status == 403 && names(&reply, "internal_note"), "{reply:?}");
    // B6: what decides over people is out of their reach.
    let me = format!("/rest/v1/people/{}", world.ids[&Who::Stranger]);
    for (member, value) in [
        ("role", json!("owner")),
        ("verified", json!(true)),
        ("id", json!(ABSENT)),
        ("created_at", json!("2020-01-01T00:00:00Z")),
    ] {
        let reply = world.ask(Who::Stranger, "PATCH", &me, &[], Some(json!({member: value}))).await;
        assert!(names(&reply, member), "{member}: {reply:?}");
    }
    // Sign-up's data goes by the same rules, and no account is made.
    for member in ["role", "verified", "created_at", "id", "recovery_code"] {
        let data = json!({"email": "new@example.com", "password": "a long enough password", "data": {member: "x"}});
        let reply = world.ask(Who::Nobody, "POST", "/auth/v1/signup", &[], Some(data)).await;
        assert!((400..500).contains(&reply.status) && reply.text().contains(member), "{member}: {reply:?}");
    }
    // The administrator's own members in a sign-up are not taken for good.
    let body = json!({"email": "new@example.com", "password": "short", "app_metadata": {"roles": ["staff"]}, "role": "service_role"});
    assert!(world.ask(Who::Nobody, "POST", "/auth/v1/signup", &[], Some(body)).await.status >= 400);
    assert_eq!(world.dump(), before);
}

/// C6: an object, a list, a number or a bool where a text belongs, and the like for other types.
async fn values_of_another_form_are_refused(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let before = world.dump();
    let model = world.model();
    for (name, body) in good(&world) {
        for field in &model.find(name).unwrap().fields {
            if field.readonly || field.write.is_some() {
                continue;
            }
            let mut wrong = vec![json!({"$ne": 1}), json!([{"$gt": ""}])];
            match field.ty {
                Type::Scalar(Kind::Json) => continue,
                Type::Scalar(Kind::Bool) => wrong.extend([json!(1), json!("true")]),
                Type::Scalar(Kind::Int) => wrong.extend([json!(1.5), json!(true), json!(1e30)]),
                Type::Scalar(_) => wrong.extend([json!([]), json!(true)]),
                _ => wrong.extend([json!("x"), json!(5)]),
            }
            for value in wrong {
                let reply = create(&world, name, with(&body, &field.name, value.clone())).await;
                assert!(
                    reply.status == 422 && names(&reply, &field.name),
                    "{name}.{} = {value}: {reply:?}",
                    field.name
                );
            }
        }
    }
    assert_eq!(world.dump(), before);
}
