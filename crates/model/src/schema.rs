//! The checked model: collections, fields, relations, rules. Built by [`crate::definition`] only; read by everybody.
//!
//! Absent: anything of how it was written (spans, TOML) and anything of how it is stored (SQL).

use crate::expr::Expr;
use crate::field_type::FieldType;
use crate::settings::Settings;
use crate::value::{Kind, Type, Value};
use rustc_hash::FxHashMap;
use std::time::Duration;

/// Position of a collection in [`Model::collections`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct CollectionId(pub u16);

impl CollectionId {
    /// Of no collection: what the id of a [`Field`] that describes an argument says.
    pub const NONE: CollectionId = CollectionId(u16::MAX);
}

/// Position of a function in [`Model::functions`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct FunctionId(pub u16);

/// A field of a collection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct FieldId {
    /// Whose field.
    pub collection: CollectionId,
    /// Position in [`Collection::fields`].
    pub index: u16,
}

/// A relation of a collection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RelationId {
    /// From which collection it leads.
    pub collection: CollectionId,
    /// Position in [`Collection::relations`].
    pub index: u16,
}

/// The whole application, checked. Immutable; a changed definition is a new model.
#[derive(Clone, Debug)]
pub struct Model {
    /// `undergird.toml`, with defaults filled in.
    pub settings: Settings,
    /// The application's collections in order of their names, then the system's.
    pub collections: Vec<Collection>,
    /// The declared functions of the database, in order of their names.
    pub functions: Vec<DbFunction>,
    /// The collection whose rows are the users, when `[auth] profile` names one.
    pub profile: Option<CollectionId>,
    /// Name → position, system collections included.
    pub(crate) names: FxHashMap<String, CollectionId>,
}

impl Model {
    /// A model of parts that are already checked. For [`crate::definition`], and for tests that make models at random.
    pub fn new(settings: Settings, collections: Vec<Collection>, profile: Option<CollectionId>) -> Model {
        let names = collections.iter().map(|collection| (collection.name.clone(), collection.id)).collect();
        Model { settings, collections, functions: Vec::new(), profile, names }
    }

    /// The function at a position.
    pub fn function(&self, id: FunctionId) -> &DbFunction {
        &self.functions[usize::from(id.0)]
    }

    /// A function by its name.
    pub fn find_function(&self, name: &str) -> Option<&DbFunction> {
        // In order of their names.
        let at = self.functions.binary_search_by(|function| function.name.as_str().cmp(name)).ok()?;
        self.functions.get(at)
    }

    /// The collection at a position.
    pub fn collection(&self, id: CollectionId) -> &Collection {
        &self.collections[usize::from(id.0)]
    }

    /// The field at a position.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.collection(id.collection).fields[usize::from(id.index)]
    }

    /// The relation at a position.
    pub fn relation(&self, id: RelationId) -> &Relation {
        &self.collection(id.collection).relations[usize::from(id.index)]
    }

    /// A collection by its name, system collections included.
    pub fn find(&self, name: &str) -> Option<&Collection> {
        self.names.get(name).map(|id| self.collection(*id))
    }

    /// The collections that the application declared.
    pub fn public(&self) -> impl Iterator<Item = &Collection> {
        self.collections.iter().filter(|collection| !collection.system)
    }
}

/// One file = one collection = one table = one URL segment.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its position in the model.
    pub id: CollectionId,
    /// The name on the wire, and the file's stem.
    pub name: String,
    /// The table's name in the database (the same unless adopted).
    pub table: String,
    /// The schema (PostgreSQL) or the database (MySQL) of the table, where that is not the connection's own.
    pub schema: Option<String>,
    /// The table exists as it is: Undergird reads and writes its rows, and never makes, changes or drops it.
    pub adopted: bool,
    /// Its rows are read only, by everybody: a view, or a table without a key.
    pub readonly: bool,
    /// What it is for, shown in the contract.
    pub description: Option<String>,
    /// Undergird's own (users, sessions, idempotency keys, …): reachable by [`Caller::system`] alone, under no route.
    ///
    /// [`Caller::system`]: ../../undergird_plan/caller/struct.Caller.html
    pub system: bool,
    /// In order of declaration, an implied `id` first.
    pub fields: Vec<Field>,
    /// The primary key, in order; never empty.
    pub key: Vec<FieldId>,
    /// To-one and to-many relations by name.
    pub relations: Vec<Relation>,
    /// Declared indexes; unique fields and the key have theirs besides.
    pub indexes: Vec<Index>,
    /// Rules that a stored row must obey.
    pub checks: Vec<Check>,
    /// Who may do what with which rows. `None`: nobody but a secret key.
    pub access: Access,
    /// `[cache]`: how long answers made of it are kept at most. `None`: not at all.
    pub cache: Option<Duration>,
}

impl Collection {
    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        // Linear: collections have tens of fields, and shapes are resolved once and cached.
        self.fields.iter().find(|field| field.name == name)
    }

    /// A relation by its name.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == name)
    }

    /// Whether the field is part of the primary key.
    pub fn is_key(&self, field: FieldId) -> bool {
        self.key.contains(&field)
    }

    /// The one integer key whose numbers the database gives out, if that is the key.
    pub fn identity(&self) -> Option<&Field> {
        match self.key.as_slice() {
            [only] => {
                let field = &self.fields[usize::from(only.index)];
                (field.ty == Type::Scalar(Kind::Int) && field.default == Some(Default::Identity)).then_some(field)
            }
            _ => None,
        }
    }
}

/// One field = one column = one JSON member.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its position.
    pub id: FieldId,
    /// The name on the wire.
    pub name: String,
    /// The column's name in the database (the same unless adopted).
    pub column: String,
    /// The declared type with its parameters: validation, wire form, contract form.
    pub declared: FieldType,
    /// What expressions and stores see of it.
    pub ty: Type,
    /// How the column keeps it.
    pub kept: Kept,
    /// What it is for, shown in the contract.
    pub description: Option<String>,
    /// May be null.
    pub optional: bool,
    /// No two rows have the same (nulls apart).
    pub unique: bool,
    /// Set by the app alone (a default, a secret key), never by a user.
    pub readonly: bool,
    /// Set at creation only.
    pub immutable: bool,
    /// What it is when the body of a create does not say.
    pub default: Option<Default>,
    /// Least number, or least length in characters / bytes / elements.
    pub min: Option<Value>,
    /// Greatest number, or greatest length.
    pub max: Option<Value>,
    /// Who may read it in which rows, beyond the row rule. Type bool over the row.
    pub read: Option<Rule>,
    /// Who may write it in which rows, beyond the row rule.
    pub write: Option<Rule>,
    /// The name that it had before, for migrations.
    pub renamed_from: Option<String>,
}

impl Field {
    /// Readable by nobody but the system itself: `type = "secret"`.
    pub fn is_secret(&self) -> bool {
        matches!(self.declared, FieldType::Secret)
    }

    /// Whether a create that does not say it leaves it to the database: an identity, or a default of an adopted table.
    pub fn is_left_to_database(&self) -> bool {
        matches!(self.default, Some(Default::Identity | Default::Database { .. }))
    }

    /// Computed by the database always, so that nobody writes it, a secret key included.
    pub fn is_computed_by_database(&self) -> bool {
        matches!(self.default, Some(Default::Database { always: true }))
    }
}

/// What a field is when a create leaves it out.
#[derive(Clone, Debug, PartialEq)]
pub enum Default {
    /// A fixed value.
    Literal(Value),
    /// `{ expr = "…" }`, over `auth`, `now` and the row's other fields.
    Computed(Expr),
    /// A fresh UUID v7.
    UuidV7,
    /// The next number of the table, given out by the database.
    Identity,
    /// Whatever an adopted table has for a default: the column is left out of the insert.
    Database {
        /// The database computes it always, so that nobody may write it.
        always: bool,
    },
}

/// How a column keeps a field's values.
#[derive(Clone, Debug, PartialEq, Eq, core::default::Default)]
pub enum Kept {
    /// In the store's own form for the type, as Undergird made the column.
    #[default]
    Own,
    /// As other tools keep it in that database: the column of an adopted table. The word is the field's `storage`, a form that is not
    /// the usual one for the type.
    Adopted(Option<String>),
}

/// A way from one collection to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Its position.
    pub id: RelationId,
    /// The name in rules, `select` and errors (`author`, `posts`).
    pub name: String,
    /// Where it leads.
    pub target: CollectionId,
    /// How many rows it leads to.
    pub cardinality: Cardinality,
    /// (ours, theirs) pairs that are equal. For [`Through`], ours and the junction's.
    pub on: Vec<(FieldId, FieldId)>,
    /// Set for a many-to-many, which goes by way of a junction collection.
    pub through: Option<Through>,
    /// For a relation made by a `ref` field: that field, which lives here (to-one) or there (the way back).
    pub field: Option<FieldId>,
    /// What names it in PostgREST's `!hint`: the constraint's name `{table}_{column}_fkey`.
    pub constraint: String,
}

/// The junction of a many-to-many.
#[derive(Clone, Debug, PartialEq)]
pub struct Through {
    /// The collection with the two refs.
    pub junction: CollectionId,
    /// From the declaring collection to the junction (to-many).
    pub first: RelationId,
    /// From the junction to the target (to-one).
    pub second: RelationId,
}

/// How many rows a relation leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cardinality {
    /// At most one.
    One,
    /// Any number.
    Many,
}

/// A declared index.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Name in the database.
    pub name: String,
    /// Columns with their direction, in order.
    pub fields: Vec<(FieldId, Direction)>,
    /// No two rows have the same combination.
    pub unique: bool,
}

/// Direction of an ordering.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first (`-created_at`).
    Descending,
}

/// A rule as written and as checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The CEL text.
    pub text: String,
    /// Its meaning: a bool over [`RowVar::THIS`](crate::expr::RowVar::THIS) and, in `update`, [`RowVar::NEW`](crate::expr::RowVar::NEW).
    pub expr: Expr,
}

/// A rule that a stored row must obey.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Name of the constraint in the database.
    pub name: String,
    /// The rule over the row as it would become ([`RowVar::THIS`](crate::expr::RowVar::THIS)).
    pub rule: Rule,
    /// What the caller is told.
    pub message: String,
}

/// Row rules by verb.
#[derive(Clone, Debug, PartialEq, core::default::Default)]
pub struct Access {
    /// Which rows may be seen.
    pub read: Option<Rule>,
    /// Which rows may come to be.
    pub create: Option<Rule>,
    /// Which rows may be changed, and into what.
    pub update: Option<Rule>,
    /// Which rows may go.
    pub delete: Option<Rule>,
}

/// A function that people made in the database by SQL, and declared: reachable under `/rest/v1/rpc/{name}`.
#[derive(Clone, Debug)]
pub struct DbFunction {
    /// Its position in the model.
    pub id: FunctionId,
    /// The name on the wire, and the file's stem.
    pub name: String,
    /// The schema that it is in; `None`: wherever the connection's search path finds it.
    pub schema: Option<String>,
    /// Its name in the database.
    pub sql: String,
    /// What it is for, shown in the contract.
    pub description: Option<String>,
    /// What it may do.
    pub volatility: Volatility,
    /// What it gives.
    pub returns: Returns,
    /// What it takes, in order of declaration.
    pub arguments: Vec<Argument>,
    /// Who may call it: a rule about the caller alone. `None`: nobody but a secret key.
    pub access: Option<Rule>,
}

impl DbFunction {
    /// An argument by its name, with its position.
    pub fn argument(&self, name: &str) -> Option<(usize, &Argument)> {
        // Linear: functions have a handful, and shapes are resolved once and cached.
        self.arguments.iter().enumerate().find(|(_, argument)| argument.field.name == name)
    }

    /// Whether it may change anything, so that it runs in a transaction and is never called by GET.
    pub fn is_volatile(&self) -> bool {
        self.volatility == Volatility::Volatile
    }
}

/// What a function of the database may do, in PostgreSQL's words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Volatility {
    /// Anything.
    Volatile,
    /// It changes nothing, and gives the same within one statement.
    Stable,
    /// It gives the same for the same arguments, always.
    Immutable,
}

impl Volatility {
    /// The word in the definition, which is PostgreSQL's.
    pub fn word(self) -> &'static str {
        match self {
            Volatility::Volatile => "volatile",
            Volatility::Stable => "stable",
            Volatility::Immutable => "immutable",
        }
    }
}

/// What a function of the database gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Returns {
    /// Nothing (`void`).
    Nothing,
    /// A value, or a set of such.
    Value {
        /// What each is.
        declared: FieldType,
        /// A set of them.
        list: bool,
    },
    /// Rows of a collection, under its rules.
    Rows {
        /// Which collection.
        of: CollectionId,
        /// At most one, not a set.
        one: bool,
    },
}

/// An argument of a function of the database.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Its name on the wire, its type and its bounds. `optional`: it may be left out, or be null. Its id is of no collection.
    pub field: Field,
    /// Its name in the database.
    pub sql: String,
}
