//! An expression as people read it: CEL again, with what a rule has become for a caller. For `explain` and for messages; it is not
//! parsed back.

use crate::expr::{Arithmetic, Ask, AuthFact, Comparison, Expr, Function, Node, RowVar};
use crate::field_type::wire;
use crate::schema::{Model, RelationId};
use crate::value::Value;
use std::fmt::Write;

/// The text of an expression over the model's rows.
pub fn text(model: &Model, expr: &Expr) -> String {
    let mut writer = Writer { model, out: String::new(), bound: Vec::new() };
    writer.expr(expr, Level::Lowest);
    writer.out
}

/// How tightly an operator binds; what stands within a tighter one is put in parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Lowest,
    Or,
    And,
    Comparison,
    Sum,
    Product,
    Unary,
    Postfix,
}

struct Writer<'a> {
    model: &'a Model,
    out: String,
    /// Bound rows by the names that they get here.
    bound: Vec<(RowVar, String)>,
}

impl Writer<'_> {
    fn within(&mut self, outer: Level, own: Level, write: impl FnOnce(&mut Self)) {
        let parentheses = outer > own;
        if parentheses {
            self.out.push('(');
        }
        write(self);
        if parentheses {
            self.out.push(')');
        }
    }

    fn infix(&mut self, outer: Level, own: Level, terms: &[&Expr], operator: &str) {
        self.within(outer, own, |writer| {
            for (position, term) in terms.iter().enumerate() {
                if position > 0 {
                    writer.out.push_str(operator);
                }
                // The next tighter level: equal ones do not chain, except in lists of the same operator.
                let inner = if own <= Level::And { own } else { tighter(own) };
                writer.expr(term, inner);
            }
        });
    }

    fn list(&mut self, items: &[Expr]) {
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.out.push_str(", ");
            }
            self.expr(item, Level::Lowest);
        }
    }

    fn expr(&mut self, expr: &Expr, outer: Level) {
        match &expr.node {
            Node::Literal(value) => self.value(value),
            Node::Param(slot) => _ = write!(self.out, "${}", slot.0),
            Node::Input(position) => _ = write!(self.out, "input[{position}]"),
            Node::Auth(fact) => self.fact(fact),
            Node::Now => self.out.push_str("now"),
            Node::Field(row, field) => {
                let name = &self.model.field(*field).name;
                self.row(*row);
                self.out.push_str(name);
            }
            Node::Element(element) => _ = write!(self.out, "e{}", element.0),
            Node::Via { from, relation, bind, body } => {
                let name = self.path(*from, *relation);
                self.binding(*bind, name, |writer| writer.expr(body, outer));
            }
            Node::Profile { bind, body } => {
                self.binding(*bind, "auth.profile".into(), |writer| writer.expr(body, outer));
            }
            Node::Exists { from, relation, bind, filter } => {
                let name = self.path(*from, *relation);
                self.macro_call(&name, "exists", *bind, filter);
            }
            Node::Count { from, relation, bind, filter } => {
                let name = self.path(*from, *relation);
                self.out.push_str("size(");
                self.macro_call(&name, "filter", *bind, filter);
                self.out.push(')');
            }
            Node::At { relation, key, bind, ask, body } => self.at(*relation, key, *bind, *ask, body, outer),
            Node::AnyElement { list, bind, filter } => {
                self.expr(list, Level::Postfix);
                _ = write!(self.out, ".exists(e{}, ", bind.0);
                self.expr(filter, Level::Lowest);
                self.out.push(')');
            }
            Node::Not(inner) => match &inner.node {
                Node::Same(a, b) => self.infix(outer, Level::Comparison, &[a, b], " != "),
                _ => {
                    self.out.push('!');
                    self.expr(inner, Level::Unary);
                }
            },
            Node::And(terms) => self.infix(outer, Level::And, &terms.iter().collect::<Vec<_>>(), " && "),
            Node::Or(terms) => self.infix(outer, Level::Or, &terms.iter().collect::<Vec<_>>(), " || "),
            Node::If(parts) => self.within(outer, Level::Lowest, |writer| {
                writer.expr(&parts[0], Level::Or);
                writer.out.push_str(" ? ");
                writer.expr(&parts[1], Level::Or);
                writer.out.push_str(" : ");
                writer.expr(&parts[2], Level::Or);
            }),
            Node::Same(a, b) => self.infix(outer, Level::Comparison, &[a, b], " == "),
            Node::Compare(comparison, a, b) => {
                self.infix(outer, Level::Comparison, &[a, b], comparison_text(*comparison));
            }
            Node::In(a, b) => self.infix(outer, Level::Comparison, &[a, b], " in "),
            Node::Arithmetic(operator, a, b) => {
                let (own, operator) = match operator {
                    Arithmetic::Add => (Level::Sum, " + "),
                    Arithmetic::Subtract => (Level::Sum, " - "),
                    Arithmetic::Multiply => (Level::Product, " * "),
                    Arithmetic::Divide => (Level::Product, " / "),
                    Arithmetic::Remainder => (Level::Product, " % "),
                };
                self.infix(outer, own, &[a, b], operator);
            }
            Node::Negate(inner) => {
                self.out.push('-');
                self.expr(inner, Level::Unary);
            }
            Node::Call(function, arguments) => self.call(*function, arguments, expr),
            Node::List(items) => {
                self.out.push('[');
                self.list(items);
                self.out.push(']');
            }
        }
    }

    fn call(&mut self, function: Function, arguments: &[Expr], whole: &Expr) {
        if function == Function::Cast
            && let [inner] = arguments
        {
            self.expr(inner, Level::Postfix);
            _ = write!(self.out, "::{}", whole.ty);
            return;
        }
        let name = match function {
            Function::Search { how, language } => format!("{}[{}]", how.operator(), language.unwrap_or_default()),
            function => format!("{function:?}"),
        };
        let mut characters = name.chars();
        let first = characters.next().map(|first| first.to_ascii_lowercase());
        self.out.extend(first.into_iter().chain(characters));
        self.out.push('(');
        self.list(arguments);
        self.out.push(')');
    }

    fn at(&mut self, relation: RelationId, key: &[Expr], bind: RowVar, ask: Ask, body: &Expr, outer: Level) {
        let mut inner = Writer { model: self.model, out: String::new(), bound: self.bound.clone() };
        _ = write!(inner.out, "{}[", self.model.relation(relation).name);
        inner.list(key);
        inner.out.push(']');
        let name = inner.out;
        match ask {
            Ask::Value => self.binding(bind, name, |writer| writer.expr(body, outer)),
            Ask::Any => self.macro_call(&name, "exists", bind, body),
            Ask::Count => {
                self.out.push_str("size(");
                self.macro_call(&name, "filter", bind, body);
                self.out.push(')');
            }
        }
    }

    fn macro_call(&mut self, rows: &str, name: &str, bind: RowVar, body: &Expr) {
        let row = format!("r{}", bind.0);
        _ = write!(self.out, "{rows}.{name}({row}, ");
        self.binding(bind, row, |writer| writer.expr(body, Level::Lowest));
        self.out.push(')');
    }

    fn binding(&mut self, row: RowVar, name: String, write: impl FnOnce(&mut Self)) {
        self.bound.push((row, name));
        write(self);
        self.bound.pop();
    }

    /// What stands before a field of a row.
    fn row(&mut self, row: RowVar) {
        if let Some((_, name)) = self.bound.iter().rev().find(|(bound, _)| *bound == row) {
            self.out.push_str(name);
            self.out.push('.');
        } else if row == RowVar::NEW {
            self.out.push_str("new.");
        }
    }

    fn path(&self, from: RowVar, relation: RelationId) -> String {
        let mut writer = Writer { model: self.model, out: String::new(), bound: self.bound.clone() };
        writer.row(from);
        writer.out.push_str(&self.model.relation(relation).name);
        writer.out
    }

    fn fact(&mut self, fact: &AuthFact) {
        match fact {
            AuthFact::Id => self.out.push_str("auth.id"),
            AuthFact::Role => self.out.push_str("auth.role"),
            AuthFact::Roles => self.out.push_str("auth.roles"),
            AuthFact::Email => self.out.push_str("auth.email"),
            AuthFact::Amr => self.out.push_str("auth.amr"),
            AuthFact::Aal => self.out.push_str("auth.aal"),
            AuthFact::Claim(path) => _ = write!(self.out, "auth.claims.{}", path.join(".")),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Text(text) => _ = write!(self.out, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
            Value::List(items) => {
                self.out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        self.out.push_str(", ");
                    }
                    self.value(item);
                }
                self.out.push(']');
            }
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Json(_) => {
                self.out.push_str(&wire::to_text(value));
            }
            Value::Uuid(_)
            | Value::Timestamp(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::Duration(_)
            | Value::Bytes(_) => _ = write!(self.out, "'{}'", wire::to_text(value)),
        }
    }
}

fn tighter(level: Level) -> Level {
    match level {
        Level::Lowest => Level::Or,
        Level::Or => Level::And,
        Level::And => Level::Comparison,
        Level::Comparison => Level::Sum,
        Level::Sum => Level::Product,
        Level::Product => Level::Unary,
        Level::Unary | Level::Postfix => Level::Postfix,
    }
}

fn comparison_text(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => " == ",
        Comparison::NotEqual => " != ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Source, definition};

    #[test]
    fn rules_read_as_they_were_written() {
        let written = [
            "owner_id == auth.id || title != 'x' && !open",
            "(open || title == 'a') && size(title) > 3",
            "owner.name == 'Ann' || notes.exists(n, n.title == title)",
            "'boss' in auth.roles && made_at < now - duration('1h')",
        ];
        let shown = [
            "owner_id == auth.id || title != 'x' && !open",
            "(open || title == 'a') && textSize(title) > 3",
            "owner.name == 'Ann' || notes.exists(r3, r3.title == title)",
            "'boss' in auth.roles && made_at < now - '3600s'",
        ];
        for (rule, shown) in written.iter().zip(shown) {
            let notes = format!(
                "[fields]\ntitle = {{ type = \"text\" }}\nopen = {{ type = \"bool\" }}\nmade_at = {{ type = \"timestamp\" }}\n\
                 parent_id = {{ type = \"ref\", to = \"notes\", optional = true }}\n\
                 owner_id = {{ type = \"ref\", to = \"people\" }}\n[access]\nread = \"{rule}\"\n"
            );
            let people = "[fields]\nname = { type = \"text\" }\n";
            let sources = [
                Source { name: "models/notes.toml".into(), text: notes.into() },
                Source { name: "models/people.toml".into(), text: people.into() },
            ];
            let (model, diagnostics) = definition::check(&sources, &[]);
            let model = model.unwrap_or_else(|| unreachable!("{diagnostics:?}"));
            let rule = model.find("notes").unwrap().access.read.as_ref().unwrap();
            assert_eq!(text(&model, &rule.expr), shown);
        }
    }
}
