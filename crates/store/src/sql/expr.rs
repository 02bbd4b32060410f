//! Expressions to SQL. Three positions: a *value* (null where the expression is null), a *truth* (a bool, never null), and a
//! *condition* (null counts as false, so that plain comparisons stay plain and indexes serve them).

use super::dialect::{Bare, Calls, Dialect, Form, Operand};
use super::pattern::takes_pattern;
use super::{Bind, Statement};
use crate::Capability;
use undergird_model::expr::{Ask, AuthFact, Comparison, ElementVar, Function, Node, RowVar, Slot};
use undergird_model::field_type::FieldType;
use undergird_model::schema::Kept;
use undergird_model::{CollectionId, Expr, FieldId, Kind, Model, RelationId, Type, Value};

/// A row in scope.
struct Row {
    var: RowVar,
    alias: String,
    /// Whether it may be missing (the right side of a left join), which makes each of its fields null.
    absent: bool,
}

/// An element in scope.
struct Element {
    var: ElementVar,
    text: String,
    /// Whether it is a pattern in the store's words.
    translated: bool,
}

/// Writes one statement.
pub(super) struct Writer<'a> {
    pub(super) model: &'a Model,
    pub(super) dialect: &'a dyn Dialect,
    binds: Vec<(Type, Bind)>,
    rows: Vec<Row>,
    elements: Vec<Element>,
    aliases: usize,
    /// Whether an index gives the rows in the order of the answer.
    pub(super) ordered: bool,
    /// Whether rules about the row's state are said to be likely here.
    expects: bool,
    lacks: Option<&'static str>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(model: &'a Model, dialect: &'a dyn Dialect) -> Self {
        Writer {
            model,
            dialect,
            binds: Vec::new(),
            rows: Vec::new(),
            elements: Vec::new(),
            aliases: 0,
            ordered: false,
            expects: true,
            lacks: None,
        }
    }

    /// The statement, once its text is complete.
    pub(super) fn finish(self, text: String, columns: Vec<Type>, writes: bool) -> Statement {
        let (text, binds) =
            if self.dialect.is_positional() { in_order_of_text(&text, &self.binds) } else { (text, self.binds) };
        Statement { text, binds, columns, writes, identity: false, lacks: self.lacks }
    }

    /// Remembers what the store lacks to compute a node.
    fn note_lack(&mut self, expr: &Expr) {
        // A pattern that is known when it is bound, the store's own engine takes.
        if self.lacks.is_none() && !self.knows_pattern(expr) {
            let is_search = matches!(&expr.node, Node::Call(Function::Search { .. }, _));
            self.lacks = if is_search && !self.dialect.has(Capability::FullText) {
                Some(Capability::FullText.name())
            } else {
                self.dialect.lacks(expr)
            };
        }
    }

    /// An alias that no other row of the statement has.
    pub(super) fn alias(&mut self) -> String {
        let alias = format!("a{}", self.aliases);
        self.aliases += 1;
        alias
    }

    /// Brings a row into scope under a fresh alias.
    pub(super) fn enter(&mut self, var: RowVar, absent: bool) -> String {
        let alias = self.alias();
        self.rows.push(Row { var, alias: alias.clone(), absent });
        alias
    }

    /// Brings a row into scope under a name that the statement around it has.
    pub(super) fn enter_as(&mut self, var: RowVar, alias: String) {
        self.rows.push(Row { var, alias, absent: false });
    }

    /// What a relation's rows are selected from where an expression looks at them.
    fn looked_up(&self, relation: RelationId, bind: RowVar, body: &Expr, alias: &str) -> String {
        let relation = self.model.relation(relation);
        let theirs: Vec<FieldId> = relation.on.iter().map(|(_, theirs)| *theirs).collect();
        self.looked_up_row(relation.target, (bind, body), &theirs, alias)
    }

    /// The table, or where the store is walled and rules lead here for these columns, the view that shows them past the wall.
    fn looked_up_row(&self, of: CollectionId, (bind, body): (RowVar, &Expr), keys: &[FieldId], alias: &str) -> String {
        let view = self.dialect.view_of_rules(&self.model.collection(of).table);
        match view.filter(|_| super::wall::shows(self.model, of, (bind, body), keys)) {
            Some(view) => format!("{view} AS {alias}"),
            None => self.table(of, alias),
        }
    }

    /// Says of the row that was entered last whether it may be missing.
    pub(super) fn mark_absent(&mut self, absent: bool) {
        if let Some(row) = self.rows.last_mut() {
            row.absent = absent;
        }
    }

    fn leave(&mut self) {
        self.rows.pop();
    }

    /// `"table" AS alias`.
    pub(super) fn table(&self, collection: CollectionId, alias: &str) -> String {
        format!("{} AS {alias}", self.table_name(collection))
    }

    /// `"table"`, after its schema where that is said.
    pub(super) fn table_name(&self, collection: CollectionId) -> String {
        let collection = self.model.collection(collection);
        let name = self.dialect.identifier(&collection.table);
        match &collection.schema {
            Some(schema) => format!("{}.{name}", self.dialect.identifier(schema)),
            None => name,
        }
    }

    /// How a field's column keeps its values, where that is not the store's own way.
    pub(super) fn form(&self, field: FieldId) -> Option<Form> {
        match &self.model.field(field).kept {
            Kept::Own => None,
            // A form that the store does not know was refused when the definition was taken.
            Kept::Adopted(storage) => self.dialect.form(self.model.field(field).ty, storage.as_deref()).ok(),
        }
    }

    /// The value of a column, whose text this is.
    pub(super) fn read(&self, field: FieldId, column: String) -> String {
        self.form(field).map_or(column.clone(), |form| form.value(&column))
    }

    /// What a field's column keeps of a value.
    pub(super) fn kept(&self, field: FieldId, value: String) -> String {
        self.form(field).map_or(value.clone(), |form| form.kept(&value))
    }

    /// That a column has a value.
    pub(super) fn equals(&self, field: FieldId, column: &str, value: &str) -> String {
        match self.form(field) {
            None => format!("{column} = {value}"),
            Some(form) if form.bare >= Bare::Equal => format!("{column} = {}", form.kept(value)),
            Some(form) if form.bare == Bare::Wider => {
                format!("({column} = {} AND {} = {value})", form.kept(value), form.value(column))
            }
            Some(form) => format!("{} = {value}", form.value(column)),
        }
    }

    /// That two columns have the same value, as they are where they keep it alike.
    fn columns_equal(&self, (one, column): (FieldId, &str), (other, with): (FieldId, &str)) -> String {
        let (a, b) = (self.form(one), self.form(other));
        let bare = |form: &Option<Form>| form.as_ref().is_none_or(|form| form.bare >= Bare::Equal);
        if a == b && bare(&a) {
            return format!("{column} = {with}");
        }
        format!("{} = {}", self.read(one, column.to_owned()), self.read(other, with.to_owned()))
    }

    /// The column of a field, without its row.
    pub(super) fn column(&self, field: FieldId) -> String {
        self.dialect.identifier(&self.model.field(field).column)
    }

    /// Binds a parameter, or finds the one that is bound to the same already.
    pub(super) fn bind(&mut self, ty: Type, bind: Bind) -> String {
        let number = match self.binds.iter().position(|(t, b)| *t == ty && *b == bind) {
            Some(position) => position + 1,
            None => {
                self.binds.push((ty, bind));
                self.binds.len()
            }
        };
        self.dialect.parameter(number, ty)
    }

    /// Binds an argument of a function, whose type is the function's to know.
    pub(super) fn bind_argument(&mut self, slot: Slot, calls: &dyn Calls) -> String {
        // Untyped, as nothing else that is bound to a request's value.
        self.binds.push((Type::Null, Bind::Slot(slot)));
        calls.argument(self.binds.len())
    }

    /// Brings an element into scope.
    pub(super) fn enter_element(&mut self, var: ElementVar, text: String) {
        self.elements.push(Element { var, text, translated: false });
    }

    /// Remembers that the store must have this.
    pub(super) fn need(&mut self, capability: Capability) {
        if !self.dialect.has(capability) {
            self.lacks.get_or_insert(capability.name());
        }
    }

    fn element(&self, var: ElementVar) -> Option<&Element> {
        self.elements.iter().rev().find(|element| element.var == var)
    }

    /// Whether it is a function of a pattern that the store has in its own words.
    fn knows_pattern(&self, expr: &Expr) -> bool {
        match &expr.node {
            Node::Call(function, arguments) if takes_pattern(*function) && self.dialect.pattern_words().is_some() => {
                match arguments.get(1) {
                    Some(Expr { node: Node::Element(var), .. }) => {
                        self.element(*var).is_some_and(|element| element.translated)
                    }
                    Some(pattern) => is_constant(pattern),
                    None => false,
                }
            }
            _ => false,
        }
    }

    fn row(&self, var: RowVar) -> Option<&Row> {
        // The innermost binding of a name is the one that is meant.
        self.rows.iter().rev().find(|row| row.var == var)
    }

    pub(super) fn field(&self, var: RowVar, field: FieldId) -> String {
        self.bare(var, field).map_or("NULL".into(), |column| self.read(field, column))
    }

    /// The column as it is. A plan that names a row out of scope is a bug, and a bug must not read a wrong row.
    fn bare(&self, var: RowVar, field: FieldId) -> Option<String> {
        self.row(var).map(|row| format!("{}.{}", row.alias, self.column(field)))
    }

    /// That the column of a row in scope has a value.
    pub(super) fn has(&self, var: RowVar, field: FieldId, value: &str) -> String {
        match self.bare(var, field) {
            Some(column) => self.equals(field, &column, value),
            None => self.dialect.bool_literal(false).into(),
        }
    }

    /// A column as it is and a constant as that keeps it, where the two compare so.
    fn as_kept(&mut self, column: &Expr, constant: &Expr, need: Bare) -> Option<(String, String)> {
        let Node::Field(row, field) = column.node else { return None };
        if !is_constant(constant) || column.ty != constant.ty {
            return None;
        }
        let form = self.form(field).filter(|form| form.bare >= need && *form != Form::plain())?;
        let bare = self.bare(row, field)?;
        Some((bare, form.kept(&self.value(constant))))
    }

    /// Equality with a constant where the column as it is tells too few apart: asked of it too, so that its index serves.
    fn wider(&mut self, column: &Expr, constant: &Expr) -> Option<String> {
        let Node::Field(_, field) = column.node else { return None };
        if self.form(field)?.bare != Bare::Wider {
            return None;
        }
        let (bare, kept) = self.as_kept(column, constant, Bare::Wider)?;
        let (value, constant) = (self.tight(column), self.tight(constant));
        Some(format!("({bare} = {kept} AND {value} = {constant})"))
    }

    /// The two sides of an operator.
    fn sides(&mut self, left: &Expr, right: &Expr, need: Bare) -> (String, String) {
        if let Some(sides) = self.as_kept(left, right, need) {
            return sides;
        }
        if let Some((column, constant)) = self.as_kept(right, left, need) {
            return (constant, column);
        }
        (self.tight(left), self.tight(right))
    }

    fn operand(&mut self, expr: &Expr) -> Operand {
        Operand { ty: expr.ty, text: self.value(expr) }
    }

    /// An operand of an operator: in parentheses when it is one itself.
    fn tight(&mut self, expr: &Expr) -> String {
        let text = self.value(expr);
        match &expr.node {
            Node::Literal(_)
            | Node::Param(_)
            | Node::Input(_)
            | Node::Auth(_)
            | Node::Now
            | Node::Field(..)
            | Node::Element(_)
            | Node::Via { .. }
            | Node::Profile { .. }
            | Node::Count { .. }
            | Node::At { ask: Ask::Value | Ask::Count, .. } => text,
            // Bound as one parameter.
            _ if is_constant(expr) => text,
            _ => format!("({text})"),
        }
    }

    /// The value of an expression.
    pub(super) fn value(&mut self, expr: &Expr) -> String {
        if let Some(text) = self.constant(expr) {
            return text;
        }
        self.note_lack(expr);
        match &expr.node {
            Node::Field(row, field) => self.field(*row, *field),
            Node::Element(var) => match self.element(*var) {
                Some(element) => element.text.clone(),
                None => "NULL".into(),
            },
            Node::Via { from, relation, bind, body } => {
                let (alias, on) = self.follow(*from, *relation, *bind);
                let table = self.looked_up(*relation, *bind, body, &alias);
                let body = self.value(body);
                self.leave();
                format!("(SELECT {body} FROM {table} WHERE {on})")
            }
            Node::Profile { bind, body } => self.profile(*bind, body),
            Node::Count { from, relation, bind, filter } => {
                let (tables, condition) = self.related(*from, *relation, *bind, filter);
                format!("(SELECT count(*) FROM {tables} WHERE {condition})")
            }
            Node::At { ask: Ask::Any, .. } => self.condition(expr),
            Node::At { relation, key, bind, ask: ask @ (Ask::Value | Ask::Count), body } => {
                let (alias, mut on) = self.follow_values(*relation, key, *bind);
                let table = self.looked_up(*relation, *bind, body, &alias);
                let what = match ask {
                    Ask::Value => self.value(body),
                    Ask::Any | Ask::Count => {
                        self.and_condition(&mut on, body);
                        "count(*)".into()
                    }
                };
                self.leave();
                format!("(SELECT {what} FROM {table} WHERE {on})")
            }
            Node::If(parts) => {
                let condition = self.condition(&parts[0]);
                let then = self.branch(&parts[1], expr.ty);
                let otherwise = self.branch(&parts[2], expr.ty);
                format!("CASE WHEN {condition} THEN {then} ELSE {otherwise} END")
            }
            Node::Arithmetic(operator, left, right) => {
                let (left, right) = (self.operand(left), self.operand(right));
                self.dialect.arithmetic(*operator, &left, &right, expr.ty)
            }
            Node::Negate(operand) => {
                let operand = self.operand(operand);
                self.dialect.negate(&operand)
            }
            Node::Call(function, arguments) if self.knows_pattern(expr) => {
                let text = self.operand(&arguments[0]);
                let pattern = &arguments[1];
                let pattern = match (&pattern.node, self.dialect.pattern_words()) {
                    (Node::Element(_), _) | (_, None) => self.value(pattern),
                    (_, Some(words)) => {
                        self.bind(Type::TEXT, Bind::Pattern(*function, words, Box::new(pattern.clone())))
                    }
                };
                self.dialect.matches(*function, &text, &pattern)
            }
            Node::Call(function, arguments) => {
                let arguments: Vec<Operand> = arguments.iter().map(|argument| self.operand(argument)).collect();
                self.dialect.function(*function, &arguments, expr.ty)
            }
            Node::List(items) => {
                let Type::List(kind) = expr.ty else { return "NULL".into() };
                let items: Vec<Operand> = items.iter().map(|item| self.operand(item)).collect();
                self.dialect.list(&items, kind)
            }
            Node::Exists { .. }
            | Node::AnyElement { .. }
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Same(..)
            | Node::Compare(..)
            | Node::In(..) => self.truth(expr),
            Node::Literal(_) | Node::Param(_) | Node::Input(_) | Node::Auth(_) | Node::Now => {
                // `constant` wrote these.
                "NULL".into()
            }
        }
    }

    /// A branch of an `If`, brought to the type of the whole where forms of storage differ.
    fn branch(&mut self, expr: &Expr, ty: Type) -> String {
        let operand = self.operand(expr);
        if expr.ty == ty || expr.ty == Type::Null || !(expr.ty.is_number() && ty.is_number()) {
            return operand.text;
        }
        self.dialect.function(Function::Cast, &[operand], ty)
    }

    /// An expression that no row decides: a literal, a bound value, or something computed in memory when it is bound.
    fn constant(&mut self, expr: &Expr) -> Option<String> {
        Some(match &expr.node {
            Node::Literal(Value::Null) => self.dialect.null(expr.ty),
            Node::Literal(Value::Bool(value)) => self.dialect.bool_literal(*value).into(),
            Node::Literal(value) => self.bind(expr.ty, Bind::Literal(value.clone())),
            Node::Param(slot) => self.bind(expr.ty, Bind::Slot(*slot)),
            Node::Input(position) => self.bind(expr.ty, Bind::Input(*position)),
            Node::Auth(fact) => self.bind(expr.ty, Bind::Auth(fact.clone())),
            Node::Now => self.bind(expr.ty, Bind::Now),
            _ if is_constant(expr) => self.bind(expr.ty, Bind::Computed(expr.clone())),
            _ => return None,
        })
    }

    /// The same as [`Writer::follow`] from values instead of a row.
    fn follow_values(&mut self, relation: RelationId, key: &[Expr], bind: RowVar) -> (String, String) {
        let values: Vec<String> = key.iter().map(|value| self.tight(value)).collect();
        let alias = self.enter(bind, false);
        let on: Vec<String> = self
            .model
            .relation(relation)
            .on
            .iter()
            .zip(&values)
            .map(|((_, theirs), value)| self.equals(*theirs, &format!("{alias}.{}", self.column(*theirs)), value))
            .collect();
        // A key that is too short is a bug, and must lead nowhere rather than everywhere.
        if on.len() < self.model.relation(relation).on.len() {
            return (alias, self.dialect.bool_literal(false).into());
        }
        (alias, on.join(" AND "))
    }

    /// Enters the row that a relation leads to and gives its alias and the condition that ties it to where it starts.
    pub(super) fn follow(&mut self, from: RowVar, relation: RelationId, bind: RowVar) -> (String, String) {
        let pairs: Vec<(Option<String>, FieldId, FieldId)> = self
            .model
            .relation(relation)
            .on
            .iter()
            .map(|(ours, theirs)| (self.bare(from, *ours), *ours, *theirs))
            .collect();
        let alias = self.enter(bind, false);
        let on: Vec<String> = pairs
            .iter()
            .map(|(column, ours, theirs)| {
                let there = format!("{alias}.{}", self.column(*theirs));
                match column {
                    Some(column) => self.columns_equal((*theirs, &there), (*ours, column)),
                    None => format!("{there} = NULL"),
                }
            })
            .collect();
        (alias, on.join(" AND "))
    }

    /// The rows that a relation leads to and that pass a filter: what to select from, and the condition.
    fn related(&mut self, from: RowVar, relation: RelationId, bind: RowVar, filter: &Expr) -> (String, String) {
        let (alias, mut condition) = self.follow(from, relation, bind);
        let table = self.looked_up(relation, bind, filter, &alias);
        self.and_condition(&mut condition, filter);
        self.leave();
        (table, condition)
    }

    fn profile(&mut self, bind: RowVar, body: &Expr) -> String {
        let Some(collection) = self.model.profile else { return "NULL".into() };
        let Some(key) = self.model.collection(collection).key.first().copied() else { return "NULL".into() };
        let alias = self.enter(bind, false);
        let table = self.looked_up_row(collection, (bind, body), &[key], &alias);
        let body = self.value(body);
        self.leave();
        let id = self.bind(Type::UUID, Bind::Auth(AuthFact::Id));
        let is_key = self.equals(key, &format!("{alias}.{}", self.column(key)), &id);
        format!("(SELECT {body} FROM {table} WHERE {is_key})")
    }

    /// Appends ` AND …` unless the filter lets everything pass.
    pub(super) fn and_condition(&mut self, condition: &mut String, filter: &Expr) {
        if matches!(&filter.node, Node::Literal(Value::Bool(true))) {
            return;
        }
        let text = match &filter.node {
            Node::Or(_) => format!("({})", self.condition(filter)),
            _ => self.condition(filter),
        };
        if !condition.is_empty() {
            condition.push_str(" AND ");
        }
        condition.push_str(&text);
    }

    /// A bool in a place where null counts as false.
    pub(super) fn condition(&mut self, expr: &Expr) -> String {
        if !is_constant(expr) {
            self.note_lack(expr);
        }
        match &expr.node {
            Node::Literal(value) => self.dialect.bool_literal(*value == Value::Bool(true)).into(),
            // Before the rest: what is bound as a whole is two-valued as a whole.
            _ if is_constant(expr) => self.value(expr),
            Node::And(terms) => self.joined(terms, " AND ", true),
            Node::Or(terms) => {
                // Each branch may have an index of its own, which is worth more than an order that none gives.
                let before = self.expects;
                self.expects &= self.ordered;
                let text = self.joined(terms, " OR ", false);
                self.expects = before;
                text
            }
            Node::Not(inner) => self.not(inner),
            Node::Same(left, right) | Node::Compare(Comparison::Equal, left, right) | Node::In(left, right)
                if self.expects && self.is_rule_about_state(left, right) =>
            {
                let text = match &expr.node {
                    Node::In(item, list) => self.within(item, list),
                    Node::Same(left, right) => self.same(left, right, true, true),
                    _ => self.compare(Comparison::Equal, left, right),
                };
                self.dialect.likely(text)
            }
            Node::Same(left, right) => self.same(left, right, true, true),
            Node::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            Node::In(item, list) => self.within(item, list),
            Node::Exists { from, relation, bind, filter } => {
                let (tables, condition) = self.related(*from, *relation, *bind, filter);
                format!("EXISTS (SELECT 1 FROM {tables} WHERE {condition})")
            }
            Node::At { relation, key, bind, ask: Ask::Any, body } => {
                let (alias, mut on) = self.follow_values(*relation, key, *bind);
                let table = self.looked_up(*relation, *bind, body, &alias);
                self.and_condition(&mut on, body);
                self.leave();
                format!("EXISTS (SELECT 1 FROM {table} WHERE {on})")
            }
            Node::AnyElement { list, bind, filter } => {
                let kind = match list.ty {
                    Type::List(kind) => kind,
                    Type::Scalar(Kind::Json) => Kind::Json,
                    Type::Null | Type::Scalar(_) | Type::Duration => {
                        return self.dialect.bool_literal(false).into();
                    }
                };
                // A list of patterns is bound as such.
                let words = self.dialect.pattern_words().filter(|_| kind == Kind::Text && is_constant(list));
                let patterns = words.and_then(|words| Some((pattern_of_element(filter, *bind)?, words)));
                let list = match patterns {
                    Some((function, words)) => {
                        let bound = Bind::Pattern(function, words, list.clone());
                        Operand { ty: list.ty, text: self.bind(list.ty, bound) }
                    }
                    None => self.operand(list),
                };
                let alias = self.alias();
                let (from, text) = self.dialect.elements(&list, kind, &alias);
                self.elements.push(Element { var: *bind, text, translated: patterns.is_some() });
                let condition = self.condition(filter);
                self.elements.pop();
                format!("EXISTS (SELECT 1 FROM {from} WHERE {condition})")
            }
            Node::Param(_)
            | Node::Input(_)
            | Node::Auth(_)
            | Node::Now
            | Node::Field(..)
            | Node::Element(_)
            | Node::Via { .. }
            | Node::Profile { .. }
            | Node::Count { .. }
            | Node::At { ask: Ask::Value | Ask::Count, .. }
            | Node::If(_)
            | Node::Arithmetic(..)
            | Node::Negate(_)
            | Node::Call(..)
            | Node::List(_) => self.value(expr),
        }
    }

    /// A bool that is never null.
    pub(super) fn truth(&mut self, expr: &Expr) -> String {
        if let Node::Same(left, right) = &expr.node
            && !is_constant(expr)
        {
            self.note_lack(expr);
            return self.same(left, right, true, false);
        }
        let text = self.condition(expr);
        if self.is_solid(expr) {
            return text;
        }
        format!("COALESCE({text}, {})", self.dialect.bool_literal(false))
    }

    fn joined(&mut self, terms: &[Expr], operator: &str, empty: bool) -> String {
        let texts: Vec<String> = terms
            .iter()
            .map(|term| match &term.node {
                Node::And(inner) | Node::Or(inner) if !inner.is_empty() => format!("({})", self.condition(term)),
                _ => self.condition(term),
            })
            .collect();
        if texts.is_empty() { self.dialect.bool_literal(empty).into() } else { texts.join(operator) }
    }

    fn not(&mut self, inner: &Expr) -> String {
        if !is_constant(inner) {
            self.note_lack(inner);
        }
        match &inner.node {
            Node::Same(left, right) => self.same(left, right, false, false),
            Node::Not(twice) => match &twice.node {
                // It takes the place of a single term among others.
                Node::And(_) | Node::Or(_) => format!("({})", self.condition(twice)),
                _ => self.condition(twice),
            },
            Node::And(_) | Node::Or(_) if self.is_solid(inner) => format!("NOT ({})", self.condition(inner)),
            Node::Compare(..) | Node::In(..) if self.is_solid(inner) => format!("NOT ({})", self.condition(inner)),
            _ => format!("NOT {}", self.truth(inner)),
        }
    }

    /// Whether an enum or a bool of the row is compared with a constant. Constants come from the definition (what a request asks for
    /// is bound), and a rule such as `status == 'published'` lets most rows pass.
    fn is_rule_about_state(&self, left: &Expr, right: &Expr) -> bool {
        let is_state = |e: &Expr| match &e.node {
            Node::Field(_, id) => {
                matches!(self.model.field(*id).declared, FieldType::Enum { .. } | FieldType::Bool)
            }
            _ => false,
        };
        let is_literal = |e: &Expr| matches!(&e.node, Node::Literal(value) if !value.is_null());
        (is_state(left) && is_literal(right)) || (is_state(right) && is_literal(left))
    }

    /// Null-safe equality. In a condition, `=` says the same where one side is never null, and says it to more indexes.
    fn same(&mut self, left: &Expr, right: &Expr, positive: bool, in_condition: bool) -> String {
        let (is, is_not) = self.dialect.same_operators();
        let null = |e: &Expr| e.ty == Type::Null || matches!(e.node, Node::Literal(Value::Null));
        match (null(left), null(right)) {
            (true, true) => return self.dialect.bool_literal(positive).into(),
            (true, false) => return format!("{} IS {}NULL", self.tight(right), if positive { "" } else { "NOT " }),
            (false, true) => return format!("{} IS {}NULL", self.tight(left), if positive { "" } else { "NOT " }),
            (false, false) => {}
        }
        if !self.dialect.compares(left.ty, right.ty) {
            let (left, right) = (self.operand(left), self.operand(right));
            let text = self.dialect.same(&left, &right);
            return if positive { text } else { format!("NOT {text}") };
        }
        if positive && in_condition && self.says_equality_twice(left, right) {
            let (left, right) = self.sides(left, right, Bare::Equal);
            return format!("({left} = {right} OR {left} IS NULL AND {right} IS NULL)");
        }
        let plain = positive && in_condition && (self.is_never_null(left) || self.is_never_null(right));
        if plain && let Some(text) = self.wider(left, right).or_else(|| self.wider(right, left)) {
            return text;
        }
        let operator = if plain {
            "="
        } else if positive {
            is
        } else if let Some(is_not) = is_not {
            is_not
        } else {
            let (left, right) = self.sides(left, right, Bare::Equal);
            return format!("NOT ({left} {is} {right})");
        };
        let (left, right) = self.sides(left, right, Bare::Equal);
        format!("{left} {operator} {right}")
    }

    /// Whether null-safe equality is written in words that an index serves: of operands that may be null and cost nothing to write
    /// twice. Null where one alone is null.
    fn says_equality_twice(&self, left: &Expr, right: &Expr) -> bool {
        let is_plain = |e: &Expr| matches!(e.node, Node::Field(..)) || is_constant(e);
        let is_sure = |e: &Expr| self.is_never_null(e);
        !self.dialect.indexes_same()
            && self.dialect.compares(left.ty, right.ty)
            && (is_plain(left) && is_plain(right))
            && !(is_sure(left) || is_sure(right))
    }

    fn compare(&mut self, comparison: Comparison, left: &Expr, right: &Expr) -> String {
        let null = |e: &Expr| e.ty == Type::Null || matches!(e.node, Node::Literal(Value::Null));
        if null(left) || null(right) {
            return self.dialect.bool_literal(false).into();
        }
        if !self.dialect.compares(left.ty, right.ty) {
            let (left, right) = (self.operand(left), self.operand(right));
            return self.dialect.compare(comparison, &left, &right);
        }
        let operator = match comparison {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        };
        if comparison == Comparison::Equal
            && let Some(text) = self.wider(left, right).or_else(|| self.wider(right, left))
        {
            return text;
        }
        let need = match comparison {
            Comparison::Equal | Comparison::NotEqual => Bare::Equal,
            _ => Bare::Ordered,
        };
        let (left, right) = self.sides(left, right, need);
        format!("{left} {operator} {right}")
    }

    fn within(&mut self, item: &Expr, list: &Expr) -> String {
        let element = element_type(list.ty);
        if let Node::Param(slot) = &list.node
            && self.dialect.compares(item.ty, element)
        {
            let item = self.tight(item);
            let parameter = self.bind(list.ty, Bind::SlotList(*slot));
            return self.dialect.in_parameter(&item, &parameter, element);
        }
        let literals: Vec<Expr>;
        let items = match &list.node {
            Node::List(items) => items,
            Node::Literal(Value::List(values)) => {
                literals = values.iter().map(|value| Expr::literal(element, value.clone())).collect();
                &literals
            }
            _ => {
                let (item, list) = (self.operand(item), self.operand(list));
                return self.dialect.in_list(&item, &list);
            }
        };
        if items.is_empty() {
            return self.dialect.bool_literal(false).into();
        }
        if items.iter().all(|each| self.dialect.compares(item.ty, each.ty)) {
            let item = self.tight(item);
            let items: Vec<String> = items.iter().map(|each| self.value(each)).collect();
            return format!("{item} IN ({})", items.join(", "));
        }
        let each: Vec<String> = items.iter().map(|each| self.compare(Comparison::Equal, item, each)).collect();
        format!("({})", each.join(" OR "))
    }

    /// Whether the expression has a value in every row.
    fn is_never_null(&self, expr: &Expr) -> bool {
        match &expr.node {
            Node::Literal(value) => !value.is_null(),
            Node::Now | Node::Count { .. } | Node::At { ask: Ask::Count, .. } => true,
            Node::Auth(AuthFact::Role | AuthFact::Roles | AuthFact::Amr) => true,
            Node::Field(row, field) => {
                !self.model.field(*field).optional && self.row(*row).is_some_and(|row| !row.absent)
            }
            _ => expr.is_two_valued(),
        }
    }

    /// Whether what [`Writer::condition`] writes for it is never null.
    fn is_solid(&self, expr: &Expr) -> bool {
        match &expr.node {
            _ if is_constant(expr) => expr.is_two_valued(),
            Node::Literal(_) | Node::Exists { .. } | Node::At { ask: Ask::Any, .. } | Node::AnyElement { .. } => true,
            Node::Not(inner) => match &inner.node {
                // Written as the condition itself.
                Node::Not(twice) => self.is_solid(twice),
                _ => true,
            },
            Node::And(terms) | Node::Or(terms) => terms.iter().all(|term| self.is_solid(term)),
            // In a condition it may be written as `=`, but only when that is never null or when null is as good as false.
            Node::Same(left, right) => {
                (self.is_never_null(left) && self.is_never_null(right))
                    || !(self.is_never_null(left) || self.is_never_null(right) || self.says_equality_twice(left, right))
                    || !self.dialect.compares(left.ty, right.ty)
            }
            Node::Compare(_, left, right) => {
                (self.is_never_null(left) && self.is_never_null(right)) || !self.dialect.compares(left.ty, right.ty)
            }
            Node::In(item, list) => match &list.node {
                Node::Param(_) => self.is_never_null(item) || !self.dialect.compares(item.ty, element_type(list.ty)),
                Node::Literal(Value::List(_)) => self.is_never_null(item),
                Node::List(items) => self.is_never_null(item) && items.iter().all(|each| self.is_never_null(each)),
                _ => true,
            },
            Node::If(parts) => parts[1].is_two_valued() && parts[2].is_two_valued(),
            Node::Field(..) => self.is_never_null(expr),
            Node::Param(_)
            | Node::Input(_)
            | Node::Auth(_)
            | Node::Now
            | Node::Element(_)
            | Node::Via { .. }
            | Node::Profile { .. }
            | Node::Count { .. }
            | Node::At { ask: Ask::Value | Ask::Count, .. }
            | Node::Arithmetic(..)
            | Node::Negate(_)
            | Node::Call(..)
            | Node::List(_) => false,
        }
    }
}

/// A text in which each [`marker`](super::marker) is a `?`, and what these are bound to, in their order.
pub(super) fn in_order_of_text(text: &str, binds: &[(Type, Bind)]) -> (String, Vec<(Type, Bind)>) {
    let mut out = String::with_capacity(text.len());
    let mut order = Vec::with_capacity(binds.len());
    for (at, part) in text.split('\0').enumerate() {
        // Every other part is a number.
        match part.parse::<usize>().ok().and_then(|number| binds.get(number.checked_sub(1)?)) {
            Some(bind) if at % 2 == 1 => {
                out.push('?');
                order.push(bind.clone());
            }
            _ => out.push_str(part),
        }
    }
    (out, order)
}

/// The function whose pattern an element is wherever the element stands; `None` where it is something else as well.
fn pattern_of_element(filter: &Expr, var: ElementVar) -> Option<Function> {
    fn visit(expr: &Expr, var: ElementVar, found: &mut Option<Function>) -> bool {
        if let Node::Call(function, arguments) = &expr.node
            && takes_pattern(*function)
            && let [text, Expr { node: Node::Element(pattern), .. }] = arguments.as_slice()
            && *pattern == var
        {
            return *found.get_or_insert(*function) == *function && visit(text, var, found);
        }
        expr.node != Node::Element(var) && expr.children().into_iter().all(|child| visit(child, var, found))
    }
    let mut found = None;
    if visit(filter, var, &mut found) { found } else { None }
}

/// What the elements of a list are; nothing, when it is none.
pub(super) fn element_type(list: Type) -> Type {
    match list {
        Type::List(kind) => Type::Scalar(kind),
        Type::Null | Type::Scalar(_) | Type::Duration => Type::Null,
    }
}

/// Whether no row decides it, so that it can be computed in memory when it is bound.
pub fn is_constant(expr: &Expr) -> bool {
    !expr.any_node(&mut |node| {
        matches!(
            node,
            Node::Field(..)
                | Node::Element(_)
                | Node::Via { .. }
                | Node::Profile { .. }
                | Node::Exists { .. }
                | Node::Count { .. }
                | Node::At { .. }
        )
    })
}
