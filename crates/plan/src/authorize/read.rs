//! What is read: `select` as a tree of statements. To-one relations are joined into their parent's statement; each to-many is one
//! statement of its own, so a read is a constant number of statements however many rows there are.

use super::bind::SlotUse;
use super::{Builder, is_null, names, not_null, plain};
use crate::refusal::Refusal;
use crate::request::{
    Aggregate, ColumnPath, Condition, EmbedModifier, JsonTarget, OrderItem, SelectColumn, SelectEmbed, SelectItem, Verb,
};
use crate::shape::{Column, Join, Member, Object, Order, OrderBy, Output, Parent, Read, ReadNode};
use undergird_model::expr::{Comparison, Function, RowVar, Slot};
use undergird_model::schema::Cardinality;
use undergird_model::value::Kind;
use undergird_model::{Collection, Expr, FieldId, Node, Relation, Type, Value};

/// A row in scope of names: whose names they are, and what is embedded beside it.
pub(super) struct Scope<'a, 's> {
    pub(super) collection: &'a Collection,
    pub(super) row: RowVar,
    pub(super) items: &'s [SelectItem],
    pub(super) modifiers: &'s [Modifier<'s>],
}

/// A modifier of an embed, with what is left of its path.
#[derive(Clone, Copy)]
pub(super) struct Modifier<'s> {
    path: &'s [String],
    modifier: &'s EmbedModifier,
}

/// A node while it is being made.
struct Draft {
    index: usize,
    joins: Vec<Join>,
    /// How many of them were there before any embed: the way through a junction.
    base_joins: usize,
    columns: Vec<Column>,
    filters: Vec<Expr>,
    /// To-one embeds by the names under which an ordering may mean them.
    joined: Vec<(String, RowVar, undergird_model::CollectionId)>,
    aggregated: bool,
    /// The name of a field that this caller may not read at all, if one was selected.
    hidden: Option<String>,
}

/// What a node is made of, beside its items.
struct NodeSpec<'s> {
    parent: Option<Parent>,
    collection: undergird_model::CollectionId,
    row: RowVar,
    link: Vec<Expr>,
    joins: Vec<Join>,
    filters: Vec<Expr>,
    conditions: &'s [Condition],
    order: &'s [OrderItem],
    limit: Option<Expr>,
    offset: Option<Expr>,
}

/// The nodes of a read; a place is taken before the node is done, so that parents come before children.
type Nodes = Vec<Option<ReadNode>>;

impl<'a> Builder<'a> {
    /// The tree of a read.
    pub(super) fn read(&mut self, collection: &'a Collection) -> Result<Read, Refusal> {
        let row = self.fresh_row();
        let mut filters = vec![self.visible(collection, row)?];
        let by_key = match &self.request.key {
            Some(slots) => {
                filters.push(self.key_equals(collection, row, slots)?);
                true
            }
            None => false,
        };
        let most = self.limits().rows;
        let limit = match self.request.limit {
            Some(slot) => {
                self.uses(slot, SlotUse::Rows { most: Some(most) });
                Expr { ty: Type::INT, node: Node::Param(slot) }
            }
            None => Expr::literal(Type::INT, Value::Int(i64::from(most))),
        };
        let offset = self.offset(self.request.offset);
        let request = self.request;
        let spec = NodeSpec {
            parent: None,
            collection: collection.id,
            row,
            link: Vec::new(),
            joins: Vec::new(),
            filters,
            conditions: &request.filter,
            order: &request.order,
            limit: Some(limit),
            offset,
        };
        let mut nodes = self.tree(collection, row, spec)?;
        if by_key {
            nodes[0].limit = None;
            self.version(collection, &mut nodes[0]);
        }
        Ok(Read { nodes, count: request.count, by_key })
    }

    /// The tree of a write's representation, which hangs on the written keys.
    pub(super) fn representation(&mut self, collection: &'a Collection) -> Result<Read, Refusal> {
        let row = self.fresh_row();
        let filters = vec![self.visible(collection, row)?];
        let link: Vec<Expr> = collection.key.iter().map(|key| plain(self.model, *key, row)).collect();
        let spec = NodeSpec {
            parent: Some(Parent { node: None, columns: (0..link.len()).collect() }),
            collection: collection.id,
            row,
            link,
            joins: Vec::new(),
            filters,
            conditions: &[],
            order: &[],
            limit: None,
            offset: None,
        };
        let mut nodes = self.tree(collection, row, spec)?;
        let by_key = self.request.key.is_some();
        if by_key {
            self.version(collection, &mut nodes[0]);
        }
        Ok(Read { nodes, count: None, by_key })
    }

    fn tree(&mut self, collection: &'a Collection, row: RowVar, spec: NodeSpec<'_>) -> Result<Vec<ReadNode>, Refusal> {
        let everything = [SelectItem::All];
        let request = self.request;
        let items = request.select.as_deref().unwrap_or(&everything);
        let modifiers: Vec<Modifier<'_>> =
            request.embeds.iter().map(|modifier| Modifier { path: &modifier.path, modifier }).collect();
        for modifier in &modifiers {
            if !is_embedded(items, modifier.path) {
                return Err(Refusal::NotEmbedded { name: modifier.path.join(".") });
            }
        }
        let mut nodes: Nodes = Vec::new();
        let scope = Scope { collection, row, items, modifiers: &modifiers };
        self.node(&mut nodes, &scope, spec, 0)?;
        // Every place that was taken has been filled by the call that took it.
        Ok(nodes.into_iter().flatten().collect())
    }

    /// Makes a node of the rows of `spec`, with the items of `scope`, and the nodes of its to-many embeds.
    fn node(
        &mut self,
        nodes: &mut Nodes,
        scope: &Scope<'a, '_>,
        spec: NodeSpec<'_>,
        depth: u32,
    ) -> Result<usize, Refusal> {
        let index = nodes.len();
        nodes.push(None);
        let mut draft = Draft {
            index,
            base_joins: spec.joins.len(),
            joins: spec.joins,
            columns: spec.link.iter().cloned().map(Column::Plain).collect(),
            filters: spec.filters,
            joined: Vec::new(),
            aggregated: has_aggregate(scope.collection, scope.items),
            hidden: None,
        };
        let object = self.object(nodes, &mut draft, scope, depth)?;
        let conditions = self.conditions(scope, spec.conditions)?;
        draft.filters.push(conditions);
        let (order, group_by) = if draft.aggregated {
            self.grouped(scope, &mut draft, spec.order)?
        } else {
            (self.order(scope, &mut draft, spec.order)?, None)
        };
        let mut cursor = Vec::new();
        if spec.parent.is_none() && !draft.aggregated {
            cursor = order.iter().map(|term| order_position(&mut draft, term)).collect();
            if let Some(slot) = self.request.after {
                let after = self.after(slot, &order);
                draft.filters.push(after);
            }
        } else if spec.parent.is_none() && self.request.after.is_some() {
            return Err(Refusal::Unsupported { what: "a cursor over aggregates".into(), hint: None });
        }
        nodes[index] = Some(ReadNode {
            parent: spec.parent,
            collection: spec.collection,
            row: spec.row,
            joins: draft.joins,
            columns: draft.columns,
            filter: Expr::all(draft.filters),
            group_by,
            order,
            limit: spec.limit,
            offset: spec.offset,
            object,
            cursor,
            version: Vec::new(),
        });
        Ok(index)
    }

    /// The members of a row's object.
    fn object(
        &mut self,
        nodes: &mut Nodes,
        draft: &mut Draft,
        scope: &Scope<'a, '_>,
        depth: u32,
    ) -> Result<Object, Refusal> {
        let mut object = Object::default();
        for item in scope.items {
            match item {
                SelectItem::All => {
                    for field in &scope.collection.fields {
                        if self.exists(field) {
                            let expr = self.masked(field, scope.row);
                            hide(draft, &field.name, &expr);
                            let position = place(draft, Column::Plain(expr));
                            add(&mut object, &field.name, Output::Column(position))?;
                        }
                    }
                }
                SelectItem::Column(column) if is_row_count(scope.collection, column) => {
                    let ty = column.cast.as_deref().map_or(Ok(Type::INT), cast_type)?;
                    let position = place(draft, Column::Aggregate(Aggregate::Count, None, ty));
                    add(&mut object, column.alias.as_deref().unwrap_or("count"), Output::Column(position))?;
                }
                SelectItem::Column(column) => {
                    let (name, selected) = self.selected(draft, scope, column)?;
                    let position = place(draft, selected);
                    add(&mut object, &name, Output::Column(position))?;
                }
                SelectItem::CountRows { alias, cast } => {
                    let ty = cast.as_deref().map_or(Ok(Type::INT), cast_type)?;
                    let position = place(draft, Column::Aggregate(Aggregate::Count, None, ty));
                    add(&mut object, alias.as_deref().unwrap_or("count"), Output::Column(position))?;
                }
                SelectItem::Embed(embed) => self.embed(nodes, draft, scope, embed, &mut object, depth)?,
            }
        }
        Ok(object)
    }

    /// A column of `select`, with its member's name.
    fn selected(
        &mut self,
        draft: &mut Draft,
        scope: &Scope<'a, '_>,
        column: &SelectColumn,
    ) -> Result<(String, Column), Refusal> {
        let (mut expr, _) = self.subject(scope, &column.column)?;
        if expr.node == Node::Literal(Value::Null) {
            draft.hidden = Some(column.column.name.clone());
        }
        if let Some(cast) = &column.cast {
            expr = Expr { ty: cast_type(cast)?, node: Node::Call(Function::Cast, vec![expr]) };
        }
        let Some(aggregate) = column.aggregate else {
            let name = column.alias.clone().unwrap_or_else(|| path_name(&column.column));
            return Ok((name, Column::Plain(expr)));
        };
        let ty = aggregate_type(aggregate, expr.ty).ok_or_else(|| Refusal::BadOperator {
            operator: format!("{}()", aggregate_name(aggregate)),
            column: column.column.name.clone(),
            ty: expr.ty.to_string(),
        })?;
        let ty = column.aggregate_cast.as_deref().map_or(Ok(ty), cast_type)?;
        let name = column.alias.clone().unwrap_or_else(|| aggregate_name(aggregate).into());
        Ok((name, Column::Aggregate(aggregate, Some(expr), ty)))
    }

    /// An embedded collection: joined when it is to one row, a child node otherwise.
    fn embed(
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
        let name = embed.alias.as_deref().unwrap_or(&embed.relation);
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
        if embed.alias.is_some() {
            draft.joined.push((embed.relation.clone(), row, target.id));
        }
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
        let embed = scope.items.iter().find_map(|item| match item {
            SelectItem::Embed(embed) if is_called(embed, name) => Some(embed),
            _ => None,
        });
        let Some(embed) = embed else { return Ok(None) };
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
                [first, rest @ ..] if !rest.is_empty() && is_called(embed, first) => {
                    Some(Modifier { path: rest, modifier: modifier.modifier })
                }
                _ => None,
            })
            .collect()
    }

    fn offset(&mut self, slot: Option<Slot>) -> Option<Expr> {
        let slot = slot?;
        self.uses(slot, SlotUse::Rows { most: None });
        Some(Expr { ty: Type::INT, node: Node::Param(slot) })
    }

    /// The key's fields equal these slots.
    pub(super) fn key_equals(
        &mut self,
        collection: &'a Collection,
        row: RowVar,
        slots: &[Slot],
    ) -> Result<Expr, Refusal> {
        if slots.len() != collection.key.len() {
            let names: Vec<&str> = collection.key.iter().map(|key| self.model.field(*key).name.as_str()).collect();
            return Err(Refusal::Malformed {
                message: format!("the key of {} has {} parts, not {}", collection.name, names.len(), slots.len()),
                hint: Some(format!("/rest/v1/{}/{{{}}}", collection.name, names.join("},{"))),
            });
        }
        let mut terms = Vec::with_capacity(slots.len());
        for (key, slot) in collection.key.iter().zip(slots) {
            let field = self.model.field(*key);
            let value = self.param(&field.name, &super::bind::operand_type(field), *slot);
            let masked = self.masked(field, row);
            terms.push(Expr::test(Node::Compare(Comparison::Equal, Box::new(masked), Box::new(value))));
        }
        Ok(Expr::all(terms))
    }

    /// Selects everything that the caller may read of the row itself, for its version.
    fn version(&mut self, collection: &'a Collection, node: &mut ReadNode) {
        for field in &collection.fields {
            if self.exists(field) {
                let column = Column::Plain(self.masked_alike(field, node));
                let position = node.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
                    node.columns.push(column);
                    node.columns.len() - 1
                });
                node.version.push(position);
            }
        }
    }

    /// The field as the node selects it already, if it does: a mask made again would name its inner rows differently.
    fn masked_alike(&mut self, field: &undergird_model::Field, node: &ReadNode) -> Expr {
        let selected = node.columns.iter().find_map(|column| match column {
            Column::Plain(expr) if shows(expr, node.row, field.id) => Some(expr.clone()),
            _ => None,
        });
        selected.unwrap_or_else(|| self.masked(field, node.row))
    }

    /// The ordering: as asked, then by the key, so that pages are stable.
    fn order(&mut self, scope: &Scope<'a, '_>, draft: &mut Draft, asked: &[OrderItem]) -> Result<Vec<Order>, Refusal> {
        let mut terms = Vec::with_capacity(asked.len() + scope.collection.key.len());
        for item in asked {
            let (expr, nullable) = match &item.relation {
                None => {
                    let (expr, _) = self.subject(scope, &item.column)?;
                    let nullable = self.nullable(&expr);
                    (expr, nullable)
                }
                Some(name) => {
                    let joined = draft.joined.iter().find(|(known, ..)| known == name);
                    let Some((_, row, target)) = joined else {
                        return Err(Refusal::NotEmbedded { name: name.clone() });
                    };
                    let target = self.model.collection(*target);
                    let there = Scope { collection: target, row: *row, items: &[], modifiers: &[] };
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
    fn grouped(
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
            let (expr, _) = self.subject(scope, &item.column)?;
            let position = draft.columns.iter().position(|column| *column == Column::Plain(expr.clone()));
            let Some(position) = position.filter(|_| item.relation.is_none()) else {
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
    fn after(&mut self, slot: Slot, order: &[Order]) -> Expr {
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

/// Whether an expression is the field of the row, masked or not.
fn shows(expr: &Expr, row: RowVar, field: FieldId) -> bool {
    match &expr.node {
        Node::Field(of, shown) => *of == row && *shown == field,
        Node::If(parts) => {
            matches!(parts[1].node, Node::Field(of, shown) if of == row && shown == field)
                && parts[2].node == Node::Literal(Value::Null)
        }
        _ => false,
    }
}

fn hide(draft: &mut Draft, name: &str, expr: &Expr) {
    if expr.node == Node::Literal(Value::Null) {
        draft.hidden = Some(name.to_owned());
    }
}

/// The position of a column, selected anew only when it is not yet.
fn place(draft: &mut Draft, column: Column) -> usize {
    if let Some(position) = draft.columns.iter().position(|known| *known == column) {
        return position;
    }
    draft.columns.push(column);
    draft.columns.len() - 1
}

fn order_position(draft: &mut Draft, term: &Order) -> usize {
    match &term.by {
        OrderBy::Expr(expr) => place(draft, Column::Plain(expr.clone())),
        OrderBy::Column(position) => *position,
    }
}

fn add(object: &mut Object, name: &str, output: Output) -> Result<(), Refusal> {
    let prefix = format!("{}:", serde_json::Value::from(name));
    add_member(object, Member { name: name.to_owned(), prefix, output })
}

fn add_member(object: &mut Object, member: Member) -> Result<(), Refusal> {
    match object.members.iter().find(|known| known.name == member.name) {
        None => {
            object.members.push(member);
            Ok(())
        }
        Some(known) if known.output == member.output => Ok(()),
        Some(_) => Err(Refusal::Malformed {
            message: format!("two members of the answer would be named \"{}\"", member.name),
            hint: Some(format!("give one an alias: select=other:{}", member.name)),
        }),
    }
}

/// The modifiers that are for this embed itself.
fn own_modifiers<'s>(scope: &Scope<'_, 's>, embed: &SelectEmbed) -> Vec<&'s EmbedModifier> {
    let own = |modifier: &&Modifier<'s>| matches!(modifier.path, [only] if is_called(embed, only));
    scope.modifiers.iter().filter(own).map(|modifier| modifier.modifier).collect()
}

fn is_called(embed: &SelectEmbed, name: &str) -> bool {
    match &embed.alias {
        Some(alias) => alias == name || embed.relation == name,
        None => embed.relation == name,
    }
}

fn is_embedded(items: &[SelectItem], path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    items.iter().any(|item| match item {
        SelectItem::Embed(embed) => is_called(embed, first) && is_embedded(&embed.items, rest),
        _ => false,
    })
}

/// Whether the items aggregate the rows that they are items of.
fn has_aggregate(collection: &Collection, items: &[SelectItem]) -> bool {
    items.iter().any(|item| match item {
        SelectItem::CountRows { .. } => true,
        SelectItem::Column(column) => column.aggregate.is_some() || is_row_count(collection, column),
        SelectItem::All | SelectItem::Embed(_) => false,
    })
}

/// `comments(count)`: without parentheses, as Supabase's clients write it. A field of that name is meant first.
fn is_row_count(collection: &Collection, column: &SelectColumn) -> bool {
    column.column.name == "count"
        && column.column.steps.is_empty()
        && column.aggregate.is_none()
        && collection.field("count").is_none()
}

/// The member's name of a path: its last named step.
fn path_name(path: &ColumnPath) -> String {
    let last = path.steps.iter().rev().find_map(|step| match &step.to {
        JsonTarget::Member(name) => Some(name.clone()),
        JsonTarget::Index(_) => None,
    });
    last.unwrap_or_else(|| path.name.clone())
}

fn aggregate_name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Count => "count",
        Aggregate::Sum => "sum",
        Aggregate::Average => "avg",
        Aggregate::Minimum => "min",
        Aggregate::Maximum => "max",
    }
}

/// The type of an aggregate, `None` where it makes no sense.
fn aggregate_type(aggregate: Aggregate, of: Type) -> Option<Type> {
    match (aggregate, of) {
        (Aggregate::Count, _) => Some(Type::INT),
        (Aggregate::Sum, Type::Scalar(Kind::Int)) => Some(Type::INT),
        (Aggregate::Sum | Aggregate::Average, Type::Scalar(Kind::Float)) => Some(Type::FLOAT),
        (Aggregate::Sum, Type::Scalar(Kind::Decimal { scale, .. })) => {
            Some(Type::Scalar(Kind::Decimal { precision: 18, scale }))
        }
        (Aggregate::Average, Type::Scalar(Kind::Int | Kind::Decimal { .. })) => Some(Type::FLOAT),
        (
            Aggregate::Minimum | Aggregate::Maximum,
            Type::Scalar(
                Kind::Int
                | Kind::Float
                | Kind::Decimal { .. }
                | Kind::Text
                | Kind::Uuid
                | Kind::Timestamp
                | Kind::Date
                | Kind::Time,
            ),
        ) => Some(of),
        _ => None,
    }
}

/// The type that a cast names, by PostgreSQL's words and ours.
fn cast_type(name: &str) -> Result<Type, Refusal> {
    let kind = match name.to_ascii_lowercase().as_str() {
        "text" | "varchar" | "character varying" => Kind::Text,
        "int" | "int2" | "int4" | "int8" | "integer" | "smallint" | "bigint" => Kind::Int,
        "float" | "float4" | "float8" | "real" | "double precision" | "double" | "numeric" | "decimal" => Kind::Float,
        "bool" | "boolean" => Kind::Bool,
        "uuid" => Kind::Uuid,
        "timestamp" | "timestamptz" | "timestamp with time zone" => Kind::Timestamp,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "json" | "jsonb" => Kind::Json,
        _ => {
            return Err(Refusal::Unsupported {
                what: format!("a cast to {name}"),
                hint: Some("cast to text, int, float, bool, uuid, timestamp, date, time or json".into()),
            });
        }
    };
    Ok(Type::Scalar(kind))
}
