//! The ordering of a statement's rows, its groups when it aggregates, and the rows after a cursor.

use super::bind::SlotUse;
use super::embed::{meant, shown_as};
use super::read::{Draft, Scope};
use super::{Builder, is_null, not_null, plain};
use crate::refusal::Refusal;
use crate::request::OrderItem;
use crate::shape::{Column, Order, OrderBy};
use undergird_model::expr::{Comparison, RowVar, Slot};
use undergird_model::{Expr, Node};

impl<'a> Builder<'a> {
    /// The ordering: as asked, then by the key, so that pages are stable.
    pub(super) fn order(
        &mut self,
        scope: &Scope<'a, '_>,
        draft: &mut Draft,
        asked: &[OrderItem],
    ) -> Result<Vec<Order>, Refusal> {
        let mut terms = Vec::with_capacity(asked.len() + scope.collection.key.len());
        for item in asked {
            let (expr, nullable) = match &item.relation {
                None => {
                    let (expr, _) = self.subject(scope, &item.column)?;
                    let nullable = self.nullable(&expr);
                    (expr, nullable)
                }
                Some(name) => {
                    // An embed of an embed may have the same name; it is not this row's.
                    let ours = |row: RowVar| draft.joins.iter().any(|join| join.row == row && join.from == scope.row);
                    let Some(embed) = meant(scope.items, name) else {
                        return Err(Refusal::NotEmbedded { name: name.clone() });
                    };
                    let joined = draft.joined.iter().find(|(known, row, _)| known == shown_as(embed) && ours(*row));
                    let joined = match joined {
                        Some((_, row, target)) => Some((*row, *target)),
                        // `relation()`: nothing of it is shown, so it was not joined.
                        None => self.join_unshown(draft, scope, embed)?,
                    };
                    let Some((row, target)) = joined else {
                        let (collection, name) = (scope.collection.name.clone(), name.clone());
                        return Err(Refusal::NotToOne { collection, name });
                    };
                    let target = self.model.collection(target);
                    let there = Scope { collection: target, row, items: &[], modifiers: &[] };
                    (self.subject(&there, &item.column)?.0, true)
                }
            };
            let nulls_first = item.nulls_first.unwrap_or(item.descending);
            terms.push(Order { by: OrderBy::Expr(expr), descending: item.descending, nulls_first, nullable });
        }
        for key in &scope.collection.key {
            let by = OrderBy::Expr(plain(self.model, *key, scope.row));
            if !terms.iter().any(|term| term.by == by) {
                terms.push(Order { by, descending: false, nulls_first: false, nullable: false });
            }
        }
        Ok(terms)
    }

    /// The ordering and the grouping of an aggregated node: it may order by what it selects, and does so by all of its groups.
    pub(super) fn grouped(
        &mut self,
        scope: &Scope<'a, '_>,
        draft: &mut Draft,
        asked: &[OrderItem],
    ) -> Result<(Vec<Order>, Option<Vec<usize>>), Refusal> {
        if let Some(field) = &draft.hidden {
            return Err(Refusal::AggregateForbidden {
                field: field.clone(),
                authenticated: self.caller.is_authenticated(),
            });
        }
        let groups: Vec<usize> =
            (0..draft.columns.len()).filter(|position| matches!(draft.columns[*position], Column::Plain(_))).collect();
        let mut terms = Vec::new();
        for item in asked {
            let position = match &item.relation {
                Some(_) => None,
                None => {
                    let (expr, _) = self.subject(scope, &item.column)?;
                    draft.columns.iter().position(|column| *column == Column::Plain(expr.clone()))
                }
            };
            let Some(position) = position else {
                return Err(Refusal::Malformed {
                    message: format!("an aggregate can be ordered by its groups only, not by {}", item.column.name),
                    hint: Some("select the column beside the aggregate".into()),
                });
            };
            let nulls_first = item.nulls_first.unwrap_or(item.descending);
            terms.push(Order {
                by: OrderBy::Column(position),
                descending: item.descending,
                nulls_first,
                nullable: true,
            });
        }
        for position in &groups {
            if !terms.iter().any(|term| term.by == OrderBy::Column(*position)) {
                terms.push(Order {
                    by: OrderBy::Column(*position),
                    descending: false,
                    nulls_first: false,
                    nullable: true,
                });
            }
        }
        Ok((terms, Some(groups)))
    }

    /// The rows that come after a cursor: for some term of the ordering greater there, and the same in all before it.
    pub(super) fn after(&mut self, slot: Slot, order: &[Order]) -> Expr {
        self.uses(slot, SlotUse::Cursor { values: order.len() });
        let mut same_so_far: Vec<Expr> = Vec::new();
        let mut ways = Vec::new();
        let mut hint = None;
        for (position, term) in order.iter().enumerate() {
            let OrderBy::Expr(expr) = &term.by else { continue };
            let usage = SlotUse::CursorValue { slot: usize::from(slot.0), position };
            let value = Expr { ty: expr.ty, node: Node::Param(self.extra_slot(usage)) };
            let comparison = if term.descending { Comparison::Less } else { Comparison::Greater };
            let beyond = Expr::test(Node::Compare(comparison, Box::new(expr.clone()), Box::new(value.clone())));
            let beyond = match (term.nullable, term.nulls_first) {
                (false, _) => beyond,
                (true, false) => Expr::any([beyond, Expr::all([is_null(expr), not_null(&value)])]),
                (true, true) => Expr::any([beyond, Expr::all([not_null(expr), is_null(&value)])]),
            };
            if position == 0 && !term.nullable {
                // Implied by the whole, but in a form that an index serves.
                let at_least = if term.descending { Comparison::LessOrEqual } else { Comparison::GreaterOrEqual };
                hint = Some(Expr::test(Node::Compare(at_least, Box::new(expr.clone()), Box::new(value.clone()))));
            }
            ways.push(Expr::all(same_so_far.iter().cloned().chain([beyond])));
            same_so_far.push(Expr::test(Node::Same(Box::new(expr.clone()), Box::new(value))));
        }
        Expr::all(hint.into_iter().chain([Expr::any(ways)]))
    }
}
