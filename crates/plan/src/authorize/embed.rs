//! Embedded collections: to-one relations joined into their parent's statement, each to-many a statement of its own; and whether an
//! embed has any row, for `!inner` and for conditions on it.

use super::bind::SlotUse;
use super::columns::has_aggregate;
use super::read::{Draft, Modifier, NodeSpec, Nodes, Scope, add, add_member, place};
use super::{Builder, names, plain};
use crate::refusal::Refusal;
use crate::request::{EmbedModifier, OrderItem, SelectEmbed, SelectItem, Verb};
use crate::shape::{Column, Join, Object, Output, Parent};
use undergird_model::expr::RowVar;
use undergird_model::schema::Cardinality;
use undergird_model::{CollectionId, Expr, Node, Relation, Type};

impl<'a> Builder<'a> {
    /// An embedded collection: joined when it is to one row, a child node otherwise.
    pub(super) fn embed(
        &mut self,
        nodes: &mut Nodes,
        draft: &mut Draft,
        scope: &Scope<'a, '_>,
        embed: &SelectEmbed,
        object: &mut Object,
        depth: u32,
    ) -> Result<(), Refusal> {
        self.embeds += 1;
        if self.embeds > self.limits().embeds {
            return Err(Refusal::OverLimit { limit: "embeds", value: u64::from(self.limits().embeds) });
        }
        if depth >= self.limits().embed_depth {
            return Err(Refusal::OverLimit { limit: "embed_depth", value: u64::from(self.limits().embed_depth) });
        }
        let relation = names::relation(self.model, scope.collection, &embed.relation, embed.hint.as_deref())?;
        let name = shown_as(embed);
        if embed.items.is_empty() {
            // `relation()`: named for its conditions alone.
            if embed.inner {
                let exists = self.existence(scope, embed, relation)?;
                draft.filters.push(exists);
            } else {
                self.visible_embed(relation)?;
            }
            return Ok(());
        }
        let target = self.model.collection(relation.target);
        let joins = relation.cardinality == Cardinality::One && !has_aggregate(target, &embed.items);
        if joins {
            return self.join(nodes, draft, scope, embed, relation, name, object, depth);
        }
        if draft.aggregated {
            return Err(Refusal::Unsupported {
                what: format!("embedding {name} beside aggregates of the rows that it would belong to"),
                hint: Some("aggregate inside the embed instead, or ask in two requests".into()),
            });
        }
        if embed.inner {
            let exists = self.existence(scope, embed, relation)?;
            draft.filters.push(exists);
        }
        let child = self.child(nodes, draft, scope, embed, relation, depth)?;
        if !embed.spread {
            let only = relation.cardinality == Cardinality::One;
            let output = if only { Output::Only { node: child } } else { Output::Many { node: child } };
            return add(object, name, output);
        }
        let members: Vec<String> = nodes[child]
            .as_ref()
            .map(|node| node.object.members.iter().map(|member| member.name.clone()).collect())
            .unwrap_or_default();
        for (member, name) in members.iter().enumerate() {
            add(object, name, Output::Pluck { node: child, member })?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one recursive descent")]
    fn join(
        &mut self,
        nodes: &mut Nodes,
        draft: &mut Draft,
        scope: &Scope<'a, '_>,
        embed: &SelectEmbed,
        relation: &'a Relation,
        name: &str,
        object: &mut Object,
        depth: u32,
    ) -> Result<(), Refusal> {
        let target = self.model.collection(relation.target);
        let row = self.fresh_row();
        let modifiers = self.modifiers_within(scope, embed);
        let inner = Scope { collection: target, row, items: &embed.items, modifiers: &modifiers };
        let visible = self.visible(target, row)?;
        // An inner join to a row that is itself joined would throw out the outermost row; what it means is: without it, the
        // row that embeds it is not there either.
        let nested = draft.joins[draft.base_joins..].iter().any(|join| join.row == scope.row);
        if embed.inner && nested {
            let exists = self.existence(scope, embed, relation)?;
            draft.filters.push(exists);
        }
        // The conditions of embeds further in, when they are `!inner`, restrict the joined row.
        let outside = std::mem::take(&mut draft.filters);
        let at = draft.joins.len();
        draft.joins.push(Join {
            from: scope.row,
            relation: relation.id,
            row,
            filter: Expr::bool(true),
            inner: embed.inner && !nested,
        });
        draft.joined.push((name.to_owned(), row, target.id));
        let within = self.object(nodes, draft, &inner, depth + 1)?;
        let mut filters = std::mem::replace(&mut draft.filters, outside);
        filters.push(visible);
        filters.extend(self.followable(relation.on.iter().map(|(ours, _)| *ours), scope.row));
        filters.extend(self.followable(relation.on.iter().map(|(_, theirs)| *theirs), row));
        for modifier in own_modifiers(scope, embed) {
            if !modifier.order.is_empty() || modifier.limit.is_some() || modifier.offset.is_some() {
                return Err(Refusal::Malformed {
                    message: format!("{name} is at most one row: it takes no order, limit or offset"),
                    hint: None,
                });
            }
            filters.push(self.conditions(&inner, &modifier.filter)?);
        }
        draft.joins[at].filter = Expr::all(filters);
        if embed.spread {
            for member in within.members {
                add_member(object, member)?;
            }
            return Ok(());
        }
        let key = target.key.first().map(|key| plain(self.model, *key, row));
        let present = match key {
            Some(key) => place(draft, Column::Plain(key)),
            None => return Err(Refusal::Malformed { message: "a collection without a key".into(), hint: None }),
        };
        add(object, name, Output::One { present, object: within })
    }

    /// Joins a to-one embed of which nothing is selected, for the ordering to go by; `None` when it is another.
    pub(super) fn join_unshown(
        &mut self,
        draft: &mut Draft,
        scope: &Scope<'a, '_>,
        embed: &SelectEmbed,
    ) -> Result<Option<(RowVar, CollectionId)>, Refusal> {
        let relation = names::relation(self.model, scope.collection, &embed.relation, embed.hint.as_deref())?;
        if relation.cardinality != Cardinality::One || !embed.items.is_empty() {
            return Ok(None);
        }
        let target = self.model.collection(relation.target);
        let row = self.fresh_row();
        let there = Scope { collection: target, row, items: &[], modifiers: &[] };
        let mut filters = vec![self.visible(target, row)?];
        filters.extend(self.followable(relation.on.iter().map(|(ours, _)| *ours), scope.row));
        filters.extend(self.followable(relation.on.iter().map(|(_, theirs)| *theirs), row));
        for modifier in own_modifiers(scope, embed) {
            filters.push(self.conditions(&there, &modifier.filter)?);
        }
        let filter = Expr::all(filters);
        draft.joins.push(Join { from: scope.row, relation: relation.id, row, filter, inner: false });
        draft.joined.push((shown_as(embed).to_owned(), row, target.id));
        Ok(Some((row, target.id)))
    }

    /// A child node for an embed, linked to the rows of the draft.
    fn child(
        &mut self,
        nodes: &mut Nodes,
        draft: &mut Draft,
        scope: &Scope<'a, '_>,
        embed: &SelectEmbed,
        relation: &'a Relation,
        depth: u32,
    ) -> Result<usize, Refusal> {
        let target = self.model.collection(relation.target);
        let target_row = self.fresh_row();
        let visible = self.visible(target, target_row)?;
        // Through a junction the statement's rows are the junction's, with the target joined to them.
        let (collection, row, joins, mut filters, on) = match &relation.through {
            None => (target.id, target_row, Vec::new(), vec![visible], &relation.on),
            Some(through) => {
                let junction = self.model.collection(through.junction);
                let row = self.fresh_row();
                let junction_visible = self.visible(junction, row)?;
                let join = Join { from: row, relation: through.second, row: target_row, filter: visible, inner: true };
                let first = self.model.relation(through.first);
                let second = self.model.relation(through.second);
                let mut filters = self.followable(second.on.iter().map(|(ours, _)| *ours), row);
                filters.push(junction_visible);
                (junction.id, row, vec![join], filters, &first.on)
            }
        };
        let mut parent_columns = Vec::with_capacity(on.len());
        let mut link = Vec::with_capacity(on.len());
        for (ours, theirs) in on {
            let ours = self.masked(self.model.field(*ours), scope.row);
            parent_columns.push(place(draft, Column::Plain(ours)));
            link.push(plain(self.model, *theirs, row));
        }
        filters.extend(self.followable(on.iter().map(|(_, theirs)| *theirs), row));
        let modifiers = self.modifiers_within(scope, embed);
        let mut conditions = Vec::new();
        let mut order: &[OrderItem] = &[];
        let (mut limit, mut offset) = (None, None);
        for modifier in own_modifiers(scope, embed) {
            conditions.extend(modifier.filter.iter().cloned());
            if !modifier.order.is_empty() {
                order = &modifier.order;
            }
            if let Some(slot) = modifier.limit {
                self.uses(slot, SlotUse::Rows { most: Some(self.limits().rows) });
                limit = Some(Expr { ty: Type::INT, node: Node::Param(slot) });
            }
            if modifier.offset.is_some() {
                offset = self.offset(modifier.offset);
            }
        }
        let inner = Scope { collection: target, row: target_row, items: &embed.items, modifiers: &modifiers };
        let spec = NodeSpec {
            parent: Some(Parent { node: Some(draft.index), columns: parent_columns }),
            collection,
            row,
            link,
            joins,
            filters,
            conditions: &conditions,
            order,
            limit,
            offset,
        };
        self.node(nodes, &inner, spec, depth + 1)
    }

    /// Whether an embed of this name, when selected here, has any row. `None` when no such embed is selected.
    pub(super) fn embed_exists(&mut self, scope: &Scope<'a, '_>, name: &str) -> Result<Option<Expr>, Refusal> {
        let Some(embed) = meant(scope.items, name) else { return Ok(None) };
        let relation = names::relation(self.model, scope.collection, &embed.relation, embed.hint.as_deref())?;
        self.existence(scope, embed, relation).map(Some)
    }

    /// Whether an embed has any row: its rules and conditions, and the `!inner` embeds within it.
    fn existence(
        &mut self,
        scope: &Scope<'a, '_>,
        embed: &SelectEmbed,
        relation: &'a Relation,
    ) -> Result<Expr, Refusal> {
        let target = self.model.collection(relation.target);
        let row = self.fresh_row();
        let modifiers = self.modifiers_within(scope, embed);
        let inner = Scope { collection: target, row, items: &embed.items, modifiers: &modifiers };
        let mut filters = vec![self.visible(target, row)?];
        for modifier in own_modifiers(scope, embed) {
            filters.push(self.conditions(&inner, &modifier.filter)?);
        }
        for item in &embed.items {
            if let SelectItem::Embed(further) = item
                && further.inner
            {
                let relation = names::relation(self.model, target, &further.relation, further.hint.as_deref())?;
                filters.push(self.existence(&inner, further, relation)?);
            }
        }
        let Some(through) = &relation.through else {
            filters.extend(self.followable(relation.on.iter().map(|(ours, _)| *ours), scope.row));
            filters.extend(self.followable(relation.on.iter().map(|(_, theirs)| *theirs), row));
            let filter = Box::new(Expr::all(filters));
            return Ok(Expr::test(Node::Exists { from: scope.row, relation: relation.id, bind: row, filter }));
        };
        let junction = self.model.collection(through.junction);
        let between = self.fresh_row();
        let mut terms = vec![self.visible(junction, between)?];
        let (first, second) = (self.model.relation(through.first), self.model.relation(through.second));
        terms.extend(self.followable(first.on.iter().map(|(ours, _)| *ours), scope.row));
        terms.extend(self.followable(first.on.iter().map(|(_, theirs)| *theirs), between));
        terms.extend(self.followable(second.on.iter().map(|(ours, _)| *ours), between));
        let filter = Box::new(Expr::all(filters));
        terms.push(Expr::test(Node::Exists { from: between, relation: through.second, bind: row, filter }));
        Ok(Expr::test(Node::Exists {
            from: scope.row,
            relation: through.first,
            bind: between,
            filter: Box::new(Expr::all(terms)),
        }))
    }

    /// Refuses an embed whose collection has no read rule, even when nothing of it is selected.
    fn visible_embed(&mut self, relation: &Relation) -> Result<(), Refusal> {
        self.access(self.model.collection(relation.target), Verb::Read).map(|_| ())
    }

    fn modifiers_within<'s>(&self, scope: &Scope<'a, 's>, embed: &SelectEmbed) -> Vec<Modifier<'s>> {
        scope
            .modifiers
            .iter()
            .filter_map(|modifier| match modifier.path {
                [first, rest @ ..] if !rest.is_empty() && meant(scope.items, first) == Some(embed) => {
                    Some(Modifier { path: rest, modifier: modifier.modifier })
                }
                _ => None,
            })
            .collect()
    }
}

/// The modifiers that are for this embed itself.
fn own_modifiers<'s>(scope: &Scope<'_, 's>, embed: &SelectEmbed) -> Vec<&'s EmbedModifier> {
    let own = |modifier: &&Modifier<'s>| matches!(modifier.path, [only] if meant(scope.items, only) == Some(embed));
    scope.modifiers.iter().filter(own).map(|modifier| modifier.modifier).collect()
}

/// The embed that a name means: the one that goes by it in the answer, else the first of that relation.
pub(super) fn meant<'s>(items: &'s [SelectItem], name: &str) -> Option<&'s SelectEmbed> {
    let embeds = || {
        items.iter().filter_map(|item| match item {
            SelectItem::Embed(embed) => Some(embed),
            _ => None,
        })
    };
    embeds().find(|embed| shown_as(embed) == name).or_else(|| embeds().find(|embed| embed.relation == name))
}

/// What an embed is called in the answer.
pub(super) fn shown_as(embed: &SelectEmbed) -> &str {
    embed.alias.as_deref().unwrap_or(&embed.relation)
}

pub(super) fn is_embedded(items: &[SelectItem], path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    meant(items, first).is_some_and(|embed| is_embedded(&embed.items, rest))
}
