//! One list of everything that can be called. Router, OpenAPI, generated types, metric labels, rate-limit classes, the contract
//! diff and the attack-coverage test are all folds over it.

use crate::schema::{CollectionId, Model};

/// Something that can be called over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Stable name: `posts.list`, `auth.signup`, `health.live`. Metric label and OpenAPI `operationId`.
    pub id: String,
    /// HTTP method, in capitals.
    pub method: &'static str,
    /// Path template, RFC 6570 style: `/rest/v1/posts/{id}`.
    pub path: String,
    /// What it does.
    pub kind: OperationKind,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// Rows of a collection.
    List(CollectionId),
    /// One row by its key.
    Read(CollectionId),
    /// New rows (or upserts).
    Create(CollectionId),
    /// Change the rows that a filter selects.
    Update(CollectionId),
    /// Change one row by its key.
    UpdateOne(CollectionId),
    /// Make one row be exactly this, by its key.
    ReplaceOne(CollectionId),
    /// Remove the rows that a filter selects.
    Delete(CollectionId),
    /// Remove one row by its key.
    DeleteOne(CollectionId),
    /// Several of the above, all or none.
    Batch,
    /// Sign-up, sign-in and their kin.
    Auth(AuthOperation),
    /// Probes, metrics, the contract and its page.
    Service(ServiceOperation),
}

/// The auth surface (`/auth/v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum AuthOperation {
    SignUp,
    Token,
    User,
    UpdateUser,
    Logout,
    Jwks,
    Settings,
    Health,
}

/// Everything beside the data and the callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their paths say it")]
pub enum ServiceOperation {
    Live,
    Ready,
    Metrics,
    OpenApi,
    Docs,
}

/// Everything that can be called in this application, in a stable order.
pub fn operations(model: &Model) -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |id: String, method: &'static str, path: String, kind: OperationKind| {
        all.push(Operation { id, method, path, kind });
    };
    for collection in model.public() {
        let (id, name) = (collection.id, &collection.name);
        let rows = format!("/rest/v1/{name}");
        add(format!("{name}.list"), "GET", rows.clone(), OperationKind::List(id));
        add(format!("{name}.create"), "POST", rows.clone(), OperationKind::Create(id));
        add(format!("{name}.update"), "PATCH", rows.clone(), OperationKind::Update(id));
        add(format!("{name}.delete"), "DELETE", rows.clone(), OperationKind::Delete(id));
        let row = format!("{rows}/{{key}}");
        add(format!("{name}.read"), "GET", row.clone(), OperationKind::Read(id));
        add(format!("{name}.update_one"), "PATCH", row.clone(), OperationKind::UpdateOne(id));
        add(format!("{name}.replace_one"), "PUT", row.clone(), OperationKind::ReplaceOne(id));
        add(format!("{name}.delete_one"), "DELETE", row, OperationKind::DeleteOne(id));
    }
    add("batch".into(), "POST", "/rest/v1/batch".into(), OperationKind::Batch);
    for (name, method, path, kind) in AUTH {
        add(format!("auth.{name}"), method, format!("/auth/v1/{path}"), OperationKind::Auth(*kind));
    }
    for (name, path, kind) in SERVICE {
        add((*name).into(), "GET", (*path).into(), OperationKind::Service(*kind));
    }
    all
}

const AUTH: &[(&str, &str, &str, AuthOperation)] = &[
    ("signup", "POST", "signup", AuthOperation::SignUp),
    ("token", "POST", "token", AuthOperation::Token),
    ("user", "GET", "user", AuthOperation::User),
    ("update_user", "PUT", "user", AuthOperation::UpdateUser),
    ("logout", "POST", "logout", AuthOperation::Logout),
    ("jwks", "GET", ".well-known/jwks.json", AuthOperation::Jwks),
    ("settings", "GET", "settings", AuthOperation::Settings),
    ("health", "GET", "health", AuthOperation::Health),
];

const SERVICE: &[(&str, &str, ServiceOperation)] = &[
    ("health.live", "/health/live", ServiceOperation::Live),
    ("health.ready", "/health/ready", ServiceOperation::Ready),
    ("metrics", "/metrics", ServiceOperation::Metrics),
    ("openapi", "/openapi.json", ServiceOperation::OpenApi),
    ("docs", "/docs", ServiceOperation::Docs),
];
