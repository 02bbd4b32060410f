//! The choke point: [`Request`] + [`Caller`] + model → [`Plan`]. There is no other maker of plans.
//!
//! The shape of a plan (names resolved, rules folded in for a kind of caller) is made once and kept; a later request of the same
//! shape only binds its values ([`bind`]).
//!
//! One file per question: what is read ([`read`], [`columns`], [`embed`], [`order`]), under which conditions ([`filter`]), what is written ([`mod@write`]), which function is called ([`call`]), what the names
//! mean ([`names`]), which values ([`bind`], [`input`]).

mod again;
mod bind;
mod call;
mod columns;
mod embed;
pub mod explain;
mod filter;
mod ids;
mod input;
mod names;
mod order;
mod read;
mod search;
#[cfg(test)]
mod tests;
mod write;

use crate::caller::{Caller, CallerKind, Identity};
use crate::partial::{self, Verdict};
use crate::refusal::Refusal;
use crate::request::{Request, RequestShape, Verb};
use crate::scope::Scope;
use crate::shape::{Plan, Shape, Source};
use bind::SlotUse;
use call::Gate;
use rustc_hash::{FxHashMap, FxHasher};
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use undergird_model::expr::{ElementVar, RowVar, Slot};
use undergird_model::schema::Rule;
use undergird_model::{Collection, Expr, Field, FieldId, Model, Node, Value};

/// The limits that concern a plan.
pub type Limits = undergird_model::settings::Limits;

/// More shapes than this are not kept. Whoever floods us with shapes pays with slower requests, not with our memory.
const SHAPES_MAX: usize = 8_192;
/// Nor more than this of them, as they print: a URL of 16 KB can make a shape of a megabyte.
const SHAPES_OCTETS_MAX: usize = 64 << 20;

/// Makes plans for one model, keeping shapes.
#[derive(Debug)]
pub struct Planner {
    model: Arc<Model>,
    kept: RwLock<Kept>,
}

/// The shapes that are kept.
#[derive(Debug, Default)]
struct Kept {
    entries: FxHashMap<u64, Vec<Arc<Entry>>>,
    count: usize,
    octets: usize,
}

impl Kept {
    /// Keeps an entry, unless another request of the same shape came first; gives the one that is kept.
    fn keep(&mut self, hash: u64, entry: Arc<Entry>, octets: usize) -> Arc<Entry> {
        let same =
            |kept: &&Arc<Entry>| kept.kind == entry.kind && kept.request == entry.request && kept.names == entry.names;
        if let Some(kept) = self.entries.get(&hash).and_then(|entries| entries.iter().find(same)) {
            return kept.clone();
        }
        if self.count >= SHAPES_MAX || self.octets.saturating_add(octets) > SHAPES_OCTETS_MAX {
            *self = Kept::default();
        }
        self.count += 1;
        self.octets = self.octets.saturating_add(octets);
        self.entries.entry(hash).or_default().push(entry.clone());
        entry
    }
}

/// Counts what is printed, and keeps none of it.
struct Counted(usize);

impl std::fmt::Write for Counted {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// A kept shape, with what decides that it is the right one and how to bind values to it.
#[derive(Debug)]
struct Entry {
    kind: CallerKind,
    request: RequestShape,
    /// The names of the body's members, sorted: they decide what an update assigns and which field rules a create meets.
    names: Vec<String>,
    shape: Arc<Shape>,
    slots: Vec<SlotUse>,
    /// How input rows are made, for a write with a body.
    input: Option<input::Recipe>,
    /// What must hold of the caller, for a call.
    gate: Option<Gate>,
}

impl Planner {
    /// A planner for a model, with no shapes yet.
    pub fn new(model: Arc<Model>) -> Planner {
        Planner { model, kept: RwLock::default() }
    }

    /// The plan of a request.
    ///
    /// # Errors
    /// A [`Refusal`] that says why not.
    pub fn plan(&self, caller: &Caller, request: &Request) -> Result<Plan, Refusal> {
        let names = input::names(request.body.as_ref());
        let hash = fingerprint(caller, &request.shape, &names);
        // A poisoned lock means that a panic hit between two map operations; entries are whole either way.
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.entries.get(&hash).and_then(|entries| {
            entries.iter().find(|entry| {
                caller.is_kind(&entry.kind)
                    && entry.request == request.shape
                    && entry.names.as_slice() == names.as_slice()
            })
        });
        if let Some(entry) = entry {
            let entry = entry.clone();
            drop(kept);
            return entry.bind(&self.model, caller, request);
        }
        drop(kept);
        let entry = Arc::new(Entry::build(&self.model, caller, request, names)?);
        let plan = entry.bind(&self.model, caller, request)?;
        let octets = entry.octets();
        let kept = self.kept.write().unwrap_or_else(PoisonError::into_inner).keep(hash, entry.clone(), octets);
        // One shape is one address, whoever made it: answers and statements are kept by it.
        if Arc::ptr_eq(&kept, &entry) { Ok(plan) } else { kept.bind(&self.model, caller, request) }
    }
}

/// Makes a plan without keeping its shape.
///
/// # Errors
/// A [`Refusal`] that says why not.
pub fn authorize(model: &Arc<Model>, caller: &Caller, request: &Request) -> Result<Plan, Refusal> {
    let names = input::names(request.body.as_ref());
    Entry::build(model, caller, request, names)?.bind(model, caller, request)
}

fn fingerprint(caller: &Caller, shape: &RequestShape, names: &[String]) -> u64 {
    let mut hasher = FxHasher::default();
    match caller.identity() {
        Identity::Visitor => 0u8.hash(&mut hasher),
        Identity::User(user) => {
            1u8.hash(&mut hasher);
            user.roles().hash(&mut hasher);
            user.scopes().hash(&mut hasher);
        }
        Identity::Secret => 2u8.hash(&mut hasher),
        Identity::System => 3u8.hash(&mut hasher),
    }
    shape.hash(&mut hasher);
    names.hash(&mut hasher);
    hasher.finish()
}

impl Entry {
    fn build(model: &Model, caller: &Caller, request: &Request, names: Vec<String>) -> Result<Entry, Refusal> {
        let mut builder = Builder::new(model, caller, request);
        let mut gate = None;
        let (shape, input) = match (&request.shape.call, request.shape.verb) {
            (Some(call), _) => {
                let (read, opened) = builder.call(call)?;
                gate = opened;
                (Shape::Read(read), None)
            }
            (None, Verb::Read) => {
                let collection = builder.collection(&request.shape.collection)?;
                (Shape::Read(builder.read(collection)?), None)
            }
            (None, Verb::Create | Verb::Update | Verb::Replace | Verb::Delete) => {
                let collection = builder.collection(&request.shape.collection)?;
                let (write, input) = builder.write(collection, request.body.as_ref(), &names)?;
                (Shape::Write(write), input)
            }
        };
        if builder.is_exhausted() {
            return Err(Refusal::OverLimit { limit: "plan_rows", value: u64::from(u16::MAX) });
        }
        Ok(Entry {
            kind: builder.kind,
            slots: builder.slots,
            request: request.shape.clone(),
            names,
            shape: Arc::new(shape),
            input,
            gate,
        })
    }

    /// About how much memory it takes: what it would print, which grows with all that is in it.
    fn octets(&self) -> usize {
        let mut counted = Counted(0);
        // Counting never fails.
        let _ = write!(counted, "{:?}{:?}{:?}", self.request, self.names, self.shape);
        counted.0
    }

    fn bind(&self, model: &Arc<Model>, caller: &Caller, request: &Request) -> Result<Plan, Refusal> {
        if let Some(gate) = &self.gate {
            gate.pass(caller)?;
        }
        let params = bind::params(&self.slots, &request.values, &model.settings.limits)?;
        let input = match &self.input {
            Some(recipe) => recipe.rows(model, caller, &params, request.body.as_ref())?,
            None => Vec::new(),
        };
        Ok(Plan {
            model: model.clone(),
            shape: self.shape.clone(),
            params,
            input,
            caller: caller.clone(),
            demands: request.demands,
        })
    }
}

/// Makes one shape.
struct Builder<'a> {
    model: &'a Model,
    caller: &'a Caller,
    kind: CallerKind,
    request: &'a RequestShape,
    slots: Vec<SlotUse>,
    next_row: u16,
    next_element: u16,
    /// The call that gives the rows of the root, until the root is made.
    source: Option<Source>,
    embeds: u32,
    conditions: u32,
}

impl<'a> Builder<'a> {
    fn new(model: &'a Model, caller: &'a Caller, request: &'a Request) -> Builder<'a> {
        Builder {
            model,
            caller,
            kind: caller.kind(),
            request: &request.shape,
            slots: vec![SlotUse::Unused; request.values.len()],
            next_row: RowVar::FIRST_BOUND.0,
            next_element: 0,
            source: None,
            embeds: 0,
            conditions: 0,
        }
    }

    /// Whether names ran out: the last one may then stand for several rows or slots, and a rule be asked of the wrong one.
    fn is_exhausted(&self) -> bool {
        let last = u16::MAX;
        self.next_row == last || self.next_element == last || self.slots.len() > usize::from(last)
    }

    /// Callers past access rules: the holder of a secret key, and Undergird itself.
    fn is_privileged(&self) -> bool {
        matches!(self.kind, CallerKind::Secret | CallerKind::System)
    }

    fn fresh_row(&mut self) -> RowVar {
        let row = RowVar(self.next_row);
        self.next_row = self.next_row.saturating_add(1);
        row
    }

    fn fresh_element(&mut self) -> ElementVar {
        let element = ElementVar(self.next_element);
        self.next_element = self.next_element.saturating_add(1);
        element
    }

    /// The collection of a name, if this caller may know of it.
    fn collection(&self, name: &str) -> Result<&'a Collection, Refusal> {
        match self.model.find(name) {
            Some(collection) if !collection.system || self.kind == CallerKind::System => Ok(collection),
            _ => Err(names::unknown_collection(self.model, name)),
        }
    }

    /// Refuses a caller who is held to scopes of which none is for this.
    fn demand_scope(&self, wanted: impl FnOnce() -> Scope) -> Result<(), Refusal> {
        let CallerKind::User(_, Some(scopes)) = &self.kind else { return Ok(()) };
        let wanted = wanted();
        match scopes.permit(&wanted) {
            true => Ok(()),
            false => Err(Refusal::ScopeMissing { scope: wanted }),
        }
    }

    /// The rule of a verb on a collection for this caller. `Err` when the collection has none, or a scope is missing. All that is read or
    /// written comes by here, whether a request names it first or embeds it.
    fn access(&self, collection: &Collection, verb: Verb) -> Result<Expr, Refusal> {
        if self.is_privileged() {
            return Ok(Expr::bool(true));
        }
        self.demand_scope(|| Scope::of_rows(&collection.name, verb))?;
        match rule_of(collection, verb) {
            Some(rule) => Ok(self.specialised(&rule.expr)),
            None => Err(self.closed(collection, verb)),
        }
    }

    fn closed(&self, collection: &Collection, verb: Verb) -> Refusal {
        Refusal::VerbClosed { collection: collection.name.clone(), verb, authenticated: self.caller.is_authenticated() }
    }

    /// A rule for this kind of caller, over [`RowVar::THIS`] and [`RowVar::NEW`].
    fn specialised(&self, expr: &Expr) -> Expr {
        let specialised = partial::specialise(expr, &self.kind);
        if self.request.call.is_some() {
            // A function may make up rows that no table would hold, with nulls in required fields.
            return specialised;
        }
        let tightened = self.tightened(specialised);
        partial::specialise(&tightened, &self.kind)
    }

    /// `required field == null` is false, which lets a rule like `author_id == auth.id` deny every visitor at once; the same along
    /// required refs, whose rows are there because the database holds the foreign key.
    fn tightened(&self, expr: Expr) -> Expr {
        let is_null = |expr: &Expr| matches!(expr.node, Node::Literal(Value::Null));
        let there = [RowVar::THIS, RowVar::NEW];
        match &expr.node {
            Node::Same(a, b)
                if (is_null(b) && self.is_never_null(a, &there)) || (is_null(a) && self.is_never_null(b, &there)) =>
            {
                Expr::bool(false)
            }
            _ => expr.map_children(|child| self.tightened(child)),
        }
    }

    /// Whether an expression over rows that are there is a required value.
    fn is_never_null(&self, expr: &Expr, there: &[RowVar]) -> bool {
        match &expr.node {
            Node::Field(row, field) => there.contains(row) && !self.model.field(*field).optional,
            Node::Via { from, relation, bind, body } => {
                let relation = self.model.relation(*relation);
                let leads_somewhere = there.contains(from)
                    && relation.field.is_some_and(|field| field.collection == relation.id.collection)
                    && relation.on.iter().all(|(ours, _)| !self.model.field(*ours).optional);
                leads_somewhere && self.is_never_null(body, &[there, &[*bind]].concat())
            }
            _ => false,
        }
    }

    /// A rule over [`RowVar::THIS`] as a rule over `row`, its own rows named afresh.
    fn instantiate(&mut self, expr: &Expr, row: RowVar) -> Expr {
        let mut next = self.next_row;
        let renamed = partial::instantiate(expr, &[(RowVar::THIS, row)], &mut || {
            next = next.saturating_add(1);
            RowVar(next - 1)
        });
        self.next_row = next;
        renamed
    }

    /// The read rule of a collection, over `row`.
    fn visible(&mut self, collection: &Collection, row: RowVar) -> Result<Expr, Refusal> {
        let rule = self.access(collection, Verb::Read)?;
        Ok(self.instantiate(&rule, row))
    }

    /// What this caller sees of a field in a row: the field; null; or the one or the other as the field's rule says.
    fn masked(&mut self, field: &Field, row: RowVar) -> Expr {
        let plain = Expr { ty: field.ty, node: Node::Field(row, field.id) };
        let Some(Rule { expr, .. }) = field.read.as_ref().filter(|_| !self.is_privileged()) else { return plain };
        let expr = self.specialised(expr);
        match partial::verdict(&expr, &self.kind) {
            Verdict::Allow => plain,
            Verdict::Deny => Expr::literal(field.ty, Value::Null),
            Verdict::Only(rule) => {
                let rule = self.instantiate(&rule, row);
                let hidden = Expr::literal(field.ty, Value::Null);
                Expr { ty: field.ty, node: Node::If(Box::new([rule, plain, hidden])) }
            }
        }
    }

    /// What must hold in a row so that this caller may read these fields of it; nothing when there is no rule to ask.
    ///
    /// Following a relation tells the value of the field that makes it: without the right to read the field, the relation leads
    /// nowhere.
    fn followable(&mut self, fields: impl IntoIterator<Item = FieldId>, row: RowVar) -> Vec<Expr> {
        let mut conditions = Vec::new();
        for field in fields {
            let Some(rule) = self.model.field(field).read.as_ref().filter(|_| !self.is_privileged()) else { continue };
            let rule = self.specialised(&rule.expr);
            conditions.push(self.instantiate(&Expr::all([rule]), row));
        }
        conditions
    }

    /// Whether a field is there at all for this caller. Secrets are for Undergird alone.
    fn exists(&self, field: &Field) -> bool {
        !field.is_secret() || self.kind == CallerKind::System
    }

    /// The field of a name, if this caller may know of it.
    fn field(&self, collection: &'a Collection, name: &str) -> Result<&'a Field, Refusal> {
        match collection.field(name) {
            Some(field) if self.exists(field) => Ok(field),
            _ => Err(names::unknown_column(collection, name)),
        }
    }

    /// Whether an expression over a row can be null at all.
    fn nullable(&self, expr: &Expr) -> bool {
        match &expr.node {
            Node::Field(_, field) => self.model.field(*field).optional,
            Node::Literal(value) => value.is_null(),
            _ => !expr.is_two_valued(),
        }
    }

    /// Remembers what a slot is for, so that its text is read by the right type.
    fn uses(&mut self, slot: Slot, usage: SlotUse) {
        if let Some(place) = self.slots.get_mut(usize::from(slot.0)) {
            *place = usage;
        }
    }

    /// A slot beyond the request's own, filled from one of them when bound.
    fn extra_slot(&mut self, usage: SlotUse) -> Slot {
        let slot = Slot(u16::try_from(self.slots.len()).unwrap_or(u16::MAX));
        self.slots.push(usage);
        slot
    }

    fn limits(&self) -> &'a Limits {
        &self.model.settings.limits
    }
}

/// The rule of a verb. A replace is a create or an update; both are asked for where it is planned.
fn rule_of(collection: &Collection, verb: Verb) -> Option<&Rule> {
    match verb {
        Verb::Read => collection.access.read.as_ref(),
        Verb::Create | Verb::Replace => collection.access.create.as_ref(),
        Verb::Update => collection.access.update.as_ref(),
        Verb::Delete => collection.access.delete.as_ref(),
    }
}

/// A field of a row, unmasked: for links and keys.
fn plain(model: &Model, field: FieldId, row: RowVar) -> Expr {
    Expr { ty: model.field(field).ty, node: Node::Field(row, field) }
}

/// A test that is never null.
fn not_null(expr: &Expr) -> Expr {
    is_null(expr).negated()
}

fn is_null(expr: &Expr) -> Expr {
    let null = Expr::literal(expr.ty, Value::Null);
    Expr::test(Node::Same(Box::new(expr.clone()), Box::new(null)))
}
