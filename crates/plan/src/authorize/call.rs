//! A call of a function of the database: who may, with which arguments; and what is read of its result.
//!
//! Rows are those of a collection, whatever gives them: the read rule, masked fields and all that a request may ask are what they are
//! for its table ([`super::read`]). Values have one cell and no rules: who may call may see them.

use super::Builder;
use super::bind::SlotUse;
use crate::caller::Caller;
use crate::evaluate::{self, Bindings};
use crate::partial::{self, Verdict};
use crate::refusal::Refusal;
use crate::request::{Call, RequestShape};
use crate::scope::Scope;
use crate::shape::{Column, Member, Object, Output, Read, ReadNode, Source};
use undergird_model::diagnostic::nearest;
use undergird_model::schema::{DbFunction, Returns};
use undergird_model::{CollectionId, Expr, Node, Type, Value};

/// What must hold of a caller of this kind.
#[derive(Debug)]
pub(super) struct Gate {
    function: String,
    rule: Expr,
}

impl Gate {
    /// Whether this caller may pass.
    ///
    /// # Errors
    /// [`Refusal::FunctionClosed`].
    pub(super) fn pass(&self, caller: &Caller) -> Result<(), Refusal> {
        let bindings = Bindings { caller, params: &[], input: &[] };
        match evaluate::holds(&self.rule, bindings, &[]) {
            Ok(true) => Ok(()),
            Ok(false) => Err(closed(&self.function, true, caller)),
            Err(_) => Err(Refusal::OverLimit { limit: "expression_steps", value: u64::from(evaluate::STEPS_MAX) }),
        }
    }
}

fn closed(function: &str, ruled: bool, caller: &Caller) -> Refusal {
    Refusal::FunctionClosed { function: function.into(), ruled, authenticated: caller.is_authenticated() }
}

impl<'a> Builder<'a> {
    /// The read of a function's result, and what must hold of the caller, where that is not known from his kind.
    pub(super) fn call(&mut self, call: &Call) -> Result<(Read, Option<Gate>), Refusal> {
        let Some(function) = self.model.find_function(&call.function) else {
            let nearest = nearest(&call.function, self.model.functions.iter().map(|function| function.name.as_str()));
            return Err(Refusal::UnknownFunction { name: call.function.clone(), nearest: nearest.map(Into::into) });
        };
        let gate = self.gate(function)?;
        let source = self.source_of(function, call)?;
        let read = match &function.returns {
            Returns::Rows { of, .. } => {
                self.source = Some(source);
                self.read(self.model.collection(*of))?
            }
            Returns::Value { declared, list } => self.values(function, source, Some(declared.storage()), *list)?,
            Returns::Nothing => self.values(function, source, None, false)?,
        };
        Ok((read, gate))
    }

    fn gate(&self, function: &DbFunction) -> Result<Option<Gate>, Refusal> {
        if self.is_privileged() {
            return Ok(None);
        }
        self.demand_scope(|| Scope::of_call(&function.name))?;
        let Some(rule) = &function.access else { return Err(closed(&function.name, false, self.caller)) };
        match partial::verdict(&rule.expr, &self.kind) {
            Verdict::Allow => Ok(None),
            Verdict::Deny => Err(closed(&function.name, true, self.caller)),
            Verdict::Only(rule) => Ok(Some(Gate { function: function.name.clone(), rule })),
        }
    }

    fn source_of(&mut self, function: &DbFunction, call: &Call) -> Result<Source, Refusal> {
        let wrong = |meant: Option<&str>| Refusal::WrongArguments {
            function: function.name.clone(),
            given: call.arguments.iter().map(|(name, _)| name.clone()).collect(),
            takes: takes(function),
            nearest: meant.map(Into::into),
        };
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for (name, slot) in &call.arguments {
            let Some((position, argument)) = function.argument(name) else {
                let known = function.arguments.iter().map(|argument| argument.field.name.as_str());
                return Err(wrong(nearest(name, known)));
            };
            if arguments.iter().any(|(known, _)| *known == position) {
                return Err(wrong(None));
            }
            self.uses(*slot, SlotUse::Argument(Box::new(argument.field.clone())));
            arguments.push((position, *slot));
        }
        let given = |position: usize| arguments.iter().any(|(known, _)| *known == position);
        let missing = function.arguments.iter().enumerate().find(|(at, one)| !one.field.optional && !given(*at));
        if missing.is_some() {
            return Err(wrong(None));
        }
        arguments.sort_unstable_by_key(|(position, _)| *position);
        Ok(Source { function: function.id, arguments })
    }

    /// The values of a function, or that there is none.
    fn values(&mut self, function: &DbFunction, source: Source, ty: Option<Type>, list: bool) -> Result<Read, Refusal> {
        if asks_of_rows(self.request) {
            return Err(Refusal::Malformed {
                message: format!(
                    "{} gives no rows: there is nothing to select, to order or to set conditions for",
                    function.name
                ),
                hint: Some("limit, offset and count go with a list of values; nothing with a single one".into()),
            });
        }
        let row = self.fresh_row();
        let mut columns = Vec::new();
        let mut object = Object { members: Vec::new(), bare: true };
        if let Some(ty) = ty {
            columns.push(Column::Plain(Expr { ty, node: Node::Element(Source::VALUE) }));
            let (name, prefix) = (function.name.clone(), String::new());
            object.members.push(Member { name, prefix, output: Output::Column(0) });
        }
        let (limit, offset) = if list {
            let most = self.limits().rows;
            let limit = match self.request.limit {
                Some(slot) => {
                    self.uses(slot, SlotUse::Rows { most: Some(most) });
                    Expr { ty: Type::INT, node: Node::Param(slot) }
                }
                None => Expr::literal(Type::INT, Value::Int(i64::from(most))),
            };
            (Some(limit), self.offset(self.request.offset))
        } else {
            (None, None)
        };
        let node = ReadNode {
            parent: None,
            collection: CollectionId::NONE,
            source: Some(source),
            row,
            joins: Vec::new(),
            columns,
            filter: Expr::bool(true),
            group_by: None,
            order: Vec::new(),
            limit,
            offset,
            object,
            cursor: Vec::new(),
            version: None,
        };
        let count = self.request.count.filter(|_| list).map(|_| crate::request::Count::Exact);
        Ok(Read { nodes: vec![node], count, by_key: false })
    }
}

/// Whether a request asks for what only rows have.
fn asks_of_rows(request: &RequestShape) -> bool {
    request.select.is_some()
        || request.after.is_some()
        || !(request.filter.is_empty() && request.order.is_empty() && request.embeds.is_empty())
}

/// `point, limit (optional)`.
fn takes(function: &DbFunction) -> String {
    let one = |argument: &undergird_model::schema::Argument| {
        let optional = if argument.field.optional { " (optional)" } else { "" };
        format!("{}{optional}", argument.field.name)
    };
    match function.arguments.iter().map(one).collect::<Vec<_>>() {
        all if all.is_empty() => "nothing".into(),
        all => all.join(", "),
    }
}
