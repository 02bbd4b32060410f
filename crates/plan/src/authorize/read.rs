//! What is read: `select` as a tree of statements. To-one relations are joined into their parent's statement; each to-many is one
//! statement of its own, so a read is a constant number of statements however many rows there are.

use super::Builder;
use super::bind::SlotUse;
use super::columns::{aggregate_name, aggregate_type, cast_type, has_aggregate, is_row_count, path_name};
use super::embed::is_embedded;
use super::{not_null, plain};
use crate::refusal::Refusal;
use crate::request::{Aggregate, Condition, Count, EmbedModifier, OrderItem, SelectColumn, SelectItem};
use crate::shape::{Column, Join, Member, Object, Order, OrderBy, Output, Parent, Read, ReadNode, RowVersion};
use undergird_model::expr::{Comparison, Function, RowVar, Slot};
use undergird_model::{Collection, Expr, FieldId, Node, Type, Value};

/// Whether what a planner guesses about these rows tells this caller nothing: he may see all of them, and what he asks is asked of
/// fields that he may read in all of them, and of no other collection. A guess is made from what the database knows of all rows, so
/// where anything is hidden rows are counted instead.
fn is_open(sees_all: bool, root: &ReadNode) -> bool {
    let asks_more = |node: &Node| matches!(node, Node::If(_));
    sees_all
        && !root.filter.needs_relations()
        && !root.filter.any_node(&mut |node| asks_more(node))
        && root.joins.iter().all(|join| !join.inner)
}

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
    pub(super) path: &'s [String],
    pub(super) modifier: &'s EmbedModifier,
}

/// A node while it is being made.
pub(super) struct Draft {
    pub(super) index: usize,
    pub(super) joins: Vec<Join>,
    /// How many of them were there before any embed: the way through a junction.
    pub(super) base_joins: usize,
    pub(super) columns: Vec<Column>,
    pub(super) filters: Vec<Expr>,
    /// To-one embeds by the names under which an ordering may mean them.
    pub(super) joined: Vec<(String, RowVar, undergird_model::CollectionId)>,
    pub(super) aggregated: bool,
    /// The name of a field that this caller may not read at all, if one was selected.
    pub(super) hidden: Option<String>,
}

/// What a node is made of, beside its items.
pub(super) struct NodeSpec<'s> {
    pub(super) parent: Option<Parent>,
    pub(super) collection: undergird_model::CollectionId,
    pub(super) row: RowVar,
    pub(super) link: Vec<Expr>,
    pub(super) joins: Vec<Join>,
    pub(super) filters: Vec<Expr>,
    pub(super) conditions: &'s [Condition],
    pub(super) order: &'s [OrderItem],
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
}

/// The nodes of a read; a place is taken before the node is done, so that parents come before children.
pub(super) type Nodes = Vec<Option<ReadNode>>;

impl<'a> Builder<'a> {
    /// The tree of a read.
    pub(super) fn read(&mut self, collection: &'a Collection) -> Result<Read, Refusal> {
        let row = self.fresh_row();
        let visible = self.visible(collection, row)?;
        let is_all = visible == Expr::bool(true);
        let mut filters = vec![visible];
        let called = self.source.is_some();
        if called {
            // A function may give a row of nulls, which is none.
            filters.extend(collection.key.first().map(|key| not_null(&plain(self.model, *key, row))));
        }
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
            self.version(collection, &mut nodes[0])?;
        }
        let count = request.count.map(|count| if !called && is_open(is_all, &nodes[0]) { count } else { Count::Exact });
        Ok(Read { nodes, count, by_key })
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
            self.version(collection, &mut nodes[0])?;
        }
        Ok(Read { nodes, count: None, by_key })
    }

    /// What the request says of its embeds, each of which `items` must have. Asked of writes too: a DELETE whose only condition is on
    /// something that is not embedded would otherwise have no condition at all.
    pub(super) fn embed_modifiers(&self, items: &[SelectItem]) -> Result<Vec<Modifier<'a>>, Refusal> {
        let named = |modifier: &'a EmbedModifier| {
            if is_embedded(items, &modifier.path) {
                Ok(Modifier { path: &modifier.path, modifier })
            } else {
                Err(Refusal::NotEmbedded { name: modifier.path.join(".") })
            }
        };
        self.request.embeds.iter().map(named).collect()
    }

    fn tree(&mut self, collection: &'a Collection, row: RowVar, spec: NodeSpec<'_>) -> Result<Vec<ReadNode>, Refusal> {
        let everything = [SelectItem::All];
        let request = self.request;
        let items = request.select.as_deref().unwrap_or(&everything);
        let modifiers = self.embed_modifiers(items)?;
        let mut nodes: Nodes = Vec::new();
        let scope = Scope { collection, row, items, modifiers: &modifiers };
        self.node(&mut nodes, &scope, spec, 0)?;
        // Every place that was taken has been filled by the call that took it.
        Ok(nodes.into_iter().flatten().collect())
    }

    /// Makes a node of the rows of `spec`, with the items of `scope`, and the nodes of its to-many embeds.
    pub(super) fn node(
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
        let source = if spec.parent.is_none() { self.source.take() } else { None };
        let (order, group_by) = if draft.aggregated {
            self.grouped(scope, &mut draft, spec.order)?
        } else if source.is_some() && spec.order.is_empty() {
            // A function's rows come in an order of its own: the nearest first.
            if self.request.after.is_some() {
                let hint = Some("say an order, or use limit and offset".into());
                return Err(Refusal::Unsupported { what: "a cursor over a function's own order".into(), hint });
            }
            (Vec::new(), None)
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
            source,
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
            version: None,
        });
        Ok(index)
    }

    /// The members of a row's object.
    pub(super) fn object(
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

    pub(super) fn offset(&mut self, slot: Option<Slot>) -> Option<Expr> {
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

    /// Selects everything that the caller may read of the row itself, for its version. Aggregates are of no one row: they have none.
    fn version(&mut self, collection: &'a Collection, node: &mut ReadNode) -> Result<(), Refusal> {
        if node.group_by.is_some() {
            return Ok(());
        }
        let mut object = Object::default();
        for field in &collection.fields {
            if self.exists(field) {
                let column = Column::Plain(self.masked_alike(field, node));
                let position = node.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
                    node.columns.push(column);
                    node.columns.len() - 1
                });
                add(&mut object, &field.name, Output::Column(position))?;
            }
        }
        let is_shown = object == node.object;
        node.version = Some(RowVersion { object, is_shown });
        Ok(())
    }

    /// The field as the node selects it already, if it does: a mask made again would name its inner rows differently.
    fn masked_alike(&mut self, field: &undergird_model::Field, node: &ReadNode) -> Expr {
        let selected = node.columns.iter().find_map(|column| match column {
            Column::Plain(expr) if shows(expr, node.row, field.id) => Some(expr.clone()),
            _ => None,
        });
        selected.unwrap_or_else(|| self.masked(field, node.row))
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
pub(super) fn place(draft: &mut Draft, column: Column) -> usize {
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

pub(super) fn add(object: &mut Object, name: &str, output: Output) -> Result<(), Refusal> {
    let prefix = format!("{}:", serde_json::Value::from(name));
    add_member(object, Member { name: name.to_owned(), prefix, output })
}

pub(super) fn add_member(object: &mut Object, member: Member) -> Result<(), Refusal> {
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
