//! Operators: equality, ordering, `in`, arithmetic, `?:`, and list literals. Which types go together, and what literals become.

use super::Problem;
use super::ast::{Ast, AstKind, BinaryOp};
use super::check::{Checker, Meaning, Misfit, Typed, conversion_to};
use super::identity::is_null_for_visitors;
use super::literal;
use super::names::is_null;
use crate::diagnostic::{Span, nearest};
use crate::expr::{Arithmetic, Comparison, Expr, Function, Node};
use crate::value::{Kind, Type, Value};

impl<'a> Checker<'a> {
    /// `left op right`
    pub(super) fn binary(&mut self, span: Span, op: BinaryOp, left: &Ast, right: &Ast) -> Option<Expr> {
        match op {
            BinaryOp::Equal => self.equality(span, left, right),
            BinaryOp::NotEqual => self.equality(span, left, right).map(Expr::negated),
            BinaryOp::Less => self.ordering(span, Comparison::Less, left, right),
            BinaryOp::LessOrEqual => self.ordering(span, Comparison::LessOrEqual, left, right),
            BinaryOp::Greater => self.ordering(span, Comparison::Greater, left, right),
            BinaryOp::GreaterOrEqual => self.ordering(span, Comparison::GreaterOrEqual, left, right),
            BinaryOp::In => self.membership(left, right),
            BinaryOp::Add => self.arithmetic(span, Arithmetic::Add, op, left, right),
            BinaryOp::Subtract => self.arithmetic(span, Arithmetic::Subtract, op, left, right),
            BinaryOp::Multiply => self.arithmetic(span, Arithmetic::Multiply, op, left, right),
            BinaryOp::Divide => self.arithmetic(span, Arithmetic::Divide, op, left, right),
            BinaryOp::Remainder => self.arithmetic(span, Arithmetic::Remainder, op, left, right),
        }
    }

    /// Null-safe equality. With `null`, it also asks whether a to-one relation leads anywhere.
    fn equality(&mut self, span: Span, left: &Ast, right: &Ast) -> Option<Expr> {
        let sides = [(left, right), (right, left)];
        if let Some((_, other)) = sides.into_iter().find(|(null, _)| null.kind == AstKind::Null) {
            return match self.meaning(other)? {
                Meaning::Row(place) => self.row_exists(&place, other.span).map(Expr::negated),
                Meaning::Rows(_) => {
                    let problem = Problem::new(other.span, "relation-as-value", "many rows are never null");
                    self.tell(problem.hint("whether there are none is `size(…) == 0`"))
                }
                meaning => self.as_value(meaning, other.span).map(|typed| is_null(typed.expr)),
            };
        }
        let (left, right) = self.comparable(span, left, right, false)?;
        let caller = is_null_for_visitors(&left) || is_null_for_visitors(&right);
        let same = Expr::test(Node::Same(Box::new(left), Box::new(right)));
        if caller {
            self.equalities.push((span, same.clone()));
        }
        Some(same)
    }

    fn ordering(&mut self, span: Span, op: Comparison, left: &Ast, right: &Ast) -> Option<Expr> {
        let (left, right) = self.comparable(span, left, right, true)?;
        Some(Expr::test(Node::Compare(op, Box::new(left), Box::new(right))))
    }

    /// Both sides, made to fit each other.
    fn comparable(&mut self, span: Span, left: &Ast, right: &Ast, ordered: bool) -> Option<(Expr, Expr)> {
        let (left_span, right_span) = (left.span, right.span);
        let (left, right) = (self.value(left), self.value(right));
        let (left, right) = (left?, right?);
        if !ordered {
            let known = self.allowed_value(&left, &right.expr, right_span);
            let known = self.allowed_value(&right, &left.expr, left_span).and(known);
            known?;
        }
        let (left_ty, right_ty) = (left.expr.ty, right.expr.ty);
        let (left, right) = self.unify(left.expr, left_span, right.expr, right_span)?;
        let scalar_or_span = |ty| matches!(ty, Type::Scalar(_) | Type::Duration);
        let fine = match (left.ty, right.ty) {
            (Type::Null, _) | (_, Type::Null) => !ordered,
            (Type::Scalar(Kind::Json), Type::Scalar(Kind::Json)) => !ordered,
            (Type::Scalar(Kind::Json), Type::Scalar(other)) | (Type::Scalar(other), Type::Scalar(Kind::Json)) => {
                other != Kind::Bytes
            }
            (a, b) if a.is_number() && b.is_number() => true,
            (a, b) => a == b && (!ordered || scalar_or_span(a)),
        };
        if fine {
            return Some((left, right));
        }
        let verb = if ordered { "ordered against" } else { "compared with" };
        let problem = Problem::new(span, "type-mismatch", format!("{left_ty} cannot be {verb} {right_ty}"));
        self.tell(match comparison_hint(&left, &right) {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    }

    /// A literal on either side becomes the other side's type where it can.
    fn unify(&mut self, left: Expr, left_span: Span, right: Expr, right_span: Span) -> Option<(Expr, Expr)> {
        let left = self.literal_as(left, left_span, right.ty)?;
        let right = self.literal_as(right, right_span, left.ty)?;
        Some((left, right))
    }

    /// A literal as `ty` where it can, anything else as it is. `None` when it should have been able to, which has been told.
    fn literal_as(&mut self, expr: Expr, span: Span, ty: Type) -> Option<Expr> {
        // JSON compares with scalars as they are, and null with everything.
        if matches!(ty, Type::Null | Type::JSON) || !matches!(expr.node, Node::Literal(ref value) if !value.is_null()) {
            return Some(expr);
        }
        match self.fit(expr.clone(), ty, span) {
            Ok(fitting) => Some(fitting),
            Err(Misfit::Told) => None,
            Err(Misfit::Type) => Some(expr),
        }
    }

    /// Refuses a literal that is none of the values that the other side can have.
    fn allowed_value(&mut self, typed: &Typed, other: &Expr, span: Span) -> Option<()> {
        let Node::Literal(Value::Text(text)) = &other.node else { return Some(()) };
        if typed.values.is_empty() || typed.values.contains(&text.as_str()) {
            return Some(());
        }
        let problem = Problem::new(span, "unknown-value", format!("\"{text}\" is never its value"));
        if typed.expr.node == Node::Auth(crate::expr::AuthFact::Role) {
            let hint = format!("a role of your own is asked for by `'{text}' in auth.roles`");
            let known = nearest(text, typed.values.iter().copied());
            return self.tell(problem.hint(known.map_or(hint, |name| format!("did you mean \"{name}\"?"))));
        }
        let hint = match nearest(text, typed.values.iter().copied()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("it is one of: {}", typed.values.join(", ")),
        };
        self.tell(problem.hint(hint))
    }

    /// `left in right`
    fn membership(&mut self, left: &Ast, right: &Ast) -> Option<Expr> {
        let element = self.value(left);
        if let AstKind::List(items) = &right.kind {
            let element = element?;
            for item in items {
                if let AstKind::Text(text) = &item.kind {
                    let literal = Expr::literal(Type::TEXT, Value::text(text));
                    // Told; the other items are looked at all the same.
                    let _ = self.allowed_value(&element, &literal, item.span);
                }
            }
            let constant = matches!(element.expr.node, Node::Literal(_));
            let want = (!constant).then_some(element.expr.ty);
            let list = self.list(items, want)?;
            return self.within(element, left.span, list, right.span);
        }
        let list = match self.meaning(right)? {
            Meaning::Rows(_) => {
                let problem = Problem::new(right.span, "relation-as-value", "`in` wants a list, this is many rows");
                return self.tell(problem.hint("ask about each: `….exists(x, x.… == …)`"));
            }
            meaning => self.as_value(meaning, right.span)?,
        };
        let element = element?;
        self.allowed_value(&list, &element.expr, left.span)?;
        self.within(element, left.span, list.expr, right.span)
    }

    fn within(&mut self, element: Typed, span: Span, list: Expr, list_span: Span) -> Option<Expr> {
        let element_ty = element.expr.ty;
        let (element, fine) = match list.ty {
            Type::List(kind) => {
                let want = Type::Scalar(kind);
                let element = self.literal_as(element.expr, span, want)?;
                let empty = matches!(&list.node, Node::Literal(Value::List(items)) if items.is_empty());
                let numbers = element.ty.is_number() && want.is_number();
                let fine = element.ty == want || numbers || empty || element.ty == Type::JSON;
                (element, fine)
            }
            Type::Scalar(Kind::Json) => (element.expr, matches!(element_ty, Type::Scalar(_))),
            Type::Scalar(Kind::Text) => {
                let problem = Problem::new(list_span, "type-mismatch", "`in` wants a list, this is text");
                return self.tell(problem.hint("whether a text holds another is `text.contains(other)`"));
            }
            other => {
                let problem = Problem::new(list_span, "type-mismatch", format!("`in` wants a list, this is {other}"));
                return self.tell(problem);
            }
        };
        if !fine {
            let message = format!("{element_ty} cannot be in a {}", list.ty);
            return self.tell(Problem::new(span.to(list_span), "type-mismatch", message));
        }
        Some(Expr::test(Node::In(Box::new(element), Box::new(list))))
    }

    /// A list literal. With `want`, its literals are converted; else the first item decides.
    pub(super) fn list(&mut self, items: &[Ast], want: Option<Type>) -> Option<Expr> {
        let checked: Vec<_> = items.iter().map(|item| self.value(item)).collect();
        let checked: Vec<Typed> = checked.into_iter().collect::<Option<_>>()?;
        // What is not a literal cannot be converted, so it decides for those that are.
        let firm = checked.iter().find(|typed| !matches!(typed.expr.node, Node::Literal(_)));
        let natural = firm.or(checked.first()).map(|typed| typed.expr.ty);
        let json = want == Some(Type::JSON);
        let want = if json && firm.is_some() { natural } else { want.or(natural) };
        let want = want.filter(|want| *want != Type::Null).unwrap_or(Type::TEXT);
        let mut list = Vec::new();
        let mut fine = true;
        for (typed, item) in checked.into_iter().zip(items) {
            let found = typed.expr.ty;
            if found == Type::Null {
                let problem = Problem::new(item.span, "type-mismatch", "a list holds no nulls");
                self.problems.push(problem.hint("ask for it apart: `… == null || … in […]`"));
                fine = false;
                continue;
            }
            match self.fit(typed.expr, want, item.span) {
                Ok(expr) => list.push(expr),
                Err(Misfit::Told) => fine = false,
                Err(Misfit::Type) => {
                    let problem = Problem::new(item.span, "type-mismatch", format!("expected {want}, found {found}"));
                    let conversion = conversion_to(want).filter(|_| matches!(found, Type::Scalar(_)));
                    self.problems.push(match conversion {
                        Some(function) => problem.hint(format!("convert it: `{function}(…)`")),
                        None => problem,
                    });
                    fine = false;
                }
            }
        }
        let kind = match want {
            Type::Scalar(kind) => kind,
            other => {
                if fine {
                    let span = items.first().map_or(Span::default(), |item| item.span);
                    let message = format!("a list holds scalars, not {other}");
                    self.problems.push(Problem::new(span, "type-mismatch", message));
                }
                return None;
            }
        };
        if !fine {
            return None;
        }
        let ty = Type::List(kind);
        if list.iter().all(|item| matches!(item.node, Node::Literal(_))) {
            let values = list.into_iter().filter_map(|item| match item.node {
                Node::Literal(value) => Some(value),
                _ => None,
            });
            return Some(Expr::literal(ty, Value::List(values.collect())));
        }
        Some(Expr { ty, node: Node::List(list) })
    }

    /// `condition ? then : otherwise`
    pub(super) fn choice(&mut self, span: Span, parts: &[Ast; 3]) -> Option<Expr> {
        let [condition, then, otherwise] = parts;
        let (then_span, otherwise_span) = (then.span, otherwise.span);
        let condition = self.condition(condition);
        let (then, otherwise) = (self.value(then), self.value(otherwise));
        let (condition, then, otherwise) = (condition?, then?.expr, otherwise?.expr);
        let (then_ty, otherwise_ty) = (then.ty, otherwise.ty);
        let null_as = |expr: Expr, ty| if expr.ty == Type::Null { Expr::literal(ty, Value::Null) } else { expr };
        let (then, otherwise) = (null_as(then, otherwise_ty), null_as(otherwise, then_ty));
        let (then, otherwise) = self.unify(then, then_span, otherwise, otherwise_span)?;
        let decimals =
            |a, b| matches!((a, b), (Type::Scalar(Kind::Decimal { .. }), Type::Scalar(Kind::Decimal { .. })));
        if then.ty != otherwise.ty && !decimals(then.ty, otherwise.ty) {
            let message = format!("one way gives {then_ty}, the other {otherwise_ty}");
            return self.tell(Problem::new(span, "type-mismatch", message));
        }
        let ty = wider(then.ty, otherwise.ty);
        if let Node::Literal(Value::Bool(decided)) = condition.node {
            return Some(if decided { then } else { otherwise });
        }
        Some(Expr { ty, node: Node::If(Box::new([condition, then, otherwise])) })
    }

    /// `-inner`
    pub(super) fn negate(&mut self, inner: &Ast) -> Option<Expr> {
        let expr = self.value(inner)?.expr;
        match (expr.ty, &expr.node) {
            (Type::INT, Node::Literal(Value::Int(number))) => match number.checked_neg() {
                Some(number) => Some(Expr::literal(Type::INT, Value::Int(number))),
                None => self.tell(Problem::new(inner.span, "constant-error", "this overflows 64 bits")),
            },
            (Type::FLOAT, Node::Literal(Value::Float(number))) => {
                Some(Expr::literal(Type::FLOAT, Value::float(-number.get())))
            }
            (Type::INT | Type::FLOAT, _) => Some(Expr { ty: expr.ty, node: Node::Negate(Box::new(expr)) }),
            (found, _) => {
                let problem = Problem::new(inner.span, "type-mismatch", format!("expected a number, found {found}"));
                self.tell(number_hint(problem, found))
            }
        }
    }

    fn arithmetic(&mut self, span: Span, op: Arithmetic, written: BinaryOp, left: &Ast, right: &Ast) -> Option<Expr> {
        let (left_span, right_span) = (left.span, right.span);
        let (left, right) = (self.value(left), self.value(right));
        let (left, right) = (left?.expr, right?.expr);
        let (left_ty, right_ty) = (left.ty, right.ty);
        // `1 + price_as_float`: the literal gives way. Text stays text: an instant is never guessed from it here.
        let (left, right) = if left_ty.is_number() && right_ty.is_number() {
            self.unify(left, left_span, right, right_span)?
        } else {
            (left, right)
        };
        let timestamp = Type::TIMESTAMP;
        let ty = match (op, left.ty, right.ty) {
            (Arithmetic::Remainder, Type::INT, Type::INT) => Type::INT,
            (Arithmetic::Remainder, _, _) => return self.arithmetic_mismatch(span, written, left_ty, right_ty),
            (_, Type::INT, Type::INT) => Type::INT,
            (_, Type::FLOAT, Type::FLOAT) => Type::FLOAT,
            (Arithmetic::Add, Type::TEXT, Type::TEXT) => {
                if let (Node::Literal(Value::Text(a)), Node::Literal(Value::Text(b))) = (&left.node, &right.node) {
                    return Some(Expr::literal(Type::TEXT, Value::Text(format!("{a}{b}"))));
                }
                let node = Node::Call(Function::Concatenate, vec![left, right]);
                return Some(Expr { ty: Type::TEXT, node });
            }
            (Arithmetic::Add | Arithmetic::Subtract, t, Type::Duration) if t == timestamp => timestamp,
            (Arithmetic::Add, Type::Duration, t) if t == timestamp => {
                let node = Node::Arithmetic(op, Box::new(right), Box::new(left));
                return Some(Expr { ty: timestamp, node });
            }
            (Arithmetic::Subtract, a, b) if a == timestamp && b == timestamp => Type::Duration,
            (Arithmetic::Add | Arithmetic::Subtract, Type::Duration, Type::Duration) => Type::Duration,
            _ => return self.arithmetic_mismatch(span, written, left_ty, right_ty),
        };
        if let (Node::Literal(a), Node::Literal(b)) = (&left.node, &right.node)
            && let Some(folded) = literal::arithmetic(op, a, b)
        {
            return match folded {
                Ok(value) => Some(Expr::literal(ty, value)),
                Err(reason) => self.tell(Problem::new(span, "constant-error", reason)),
            };
        }
        Some(Expr { ty, node: Node::Arithmetic(op, Box::new(left), Box::new(right)) })
    }

    fn arithmetic_mismatch(&mut self, span: Span, op: BinaryOp, left: Type, right: Type) -> Option<Expr> {
        let message = format!("{left} {} {right} has no meaning", op.symbol());
        let problem = Problem::new(span, "type-mismatch", message);
        let either = |wanted: Type| left == wanted || right == wanted;
        let decimal = |ty| matches!(ty, Type::Scalar(Kind::Decimal { .. }));
        self.tell(if decimal(left) || decimal(right) {
            problem.hint("decimals are compared, not computed with; for an approximate number write `double(…)`")
        } else if op == BinaryOp::Remainder && (either(Type::FLOAT)) {
            problem.hint("`%` is for ints: `int(…)`")
        } else if left.is_number() && right.is_number() {
            problem.hint("make both of a kind: `int(…)` or `double(…)`")
        } else if either(Type::JSON) {
            problem.hint("say what it holds: `int(…)`, `double(…)` or `string(…)`")
        } else if either(Type::TIMESTAMP) || either(Type::Duration) {
            problem.hint("time goes with durations: `now - duration('1h')`")
        } else if op == BinaryOp::Add && either(Type::TEXT) {
            problem.hint("text goes with text: `string(…)`")
        } else {
            problem
        })
    }
}

/// The decimal type that holds both.
fn wider(a: Type, b: Type) -> Type {
    match (a, b) {
        (
            Type::Scalar(Kind::Decimal { precision: p1, scale: s1 }),
            Type::Scalar(Kind::Decimal { precision: p2, scale: s2 }),
        ) => {
            let scale = s1.max(s2);
            let whole = p1.saturating_sub(s1).max(p2.saturating_sub(s2));
            Type::Scalar(Kind::Decimal { precision: (whole + scale).clamp(1, 18), scale })
        }
        _ => a,
    }
}

pub(super) fn number_hint(problem: Problem, found: Type) -> Problem {
    match found {
        Type::Scalar(Kind::Json | Kind::Text | Kind::Decimal { .. }) => {
            problem.hint("convert it: `int(…)` or `double(…)`")
        }
        _ => problem,
    }
}

fn comparison_hint(left: &Expr, right: &Expr) -> Option<String> {
    let pair = |a: Type, b: Type| (left.ty == a && right.ty == b) || (left.ty == b && right.ty == a);
    let (date, time) = (Type::Scalar(Kind::Date), Type::Scalar(Kind::Time));
    let reads_as = |expr: &Expr, ty: Type| match &expr.node {
        Node::Literal(value @ Value::Text(_)) => {
            (ty == Type::BOOL || ty.is_number()) && {
                let ty = if ty == Type::BOOL { ty } else { Type::FLOAT };
                matches!(literal::convert(value, ty), Some(Ok(_)))
            }
        }
        _ => false,
    };
    Some(match () {
        () if left.ty == Type::Null || right.ty == Type::Null => "nothing is before or after null".to_owned(),
        () if pair(Type::TIMESTAMP, date) => "take its day: `date(…)`".to_owned(),
        () if pair(Type::TEXT, Type::UUID) => "convert the text: `uuid(…)`".to_owned(),
        () if pair(Type::TEXT, Type::TIMESTAMP) => "convert the text: `timestamp(…)`".to_owned(),
        () if pair(Type::TEXT, date) => "convert the text: `date(…)`".to_owned(),
        () if pair(Type::TEXT, time) => "convert the other: `string(…)`".to_owned(),
        () if pair(Type::TEXT, Type::Duration) => "convert the text: `duration(…)`".to_owned(),
        () if reads_as(left, right.ty) || reads_as(right, left.ty) => "write it without quotes".to_owned(),
        () if pair(Type::JSON, Type::JSON) => {
            "say what one of them holds: `int(…)`, `double(…)` or `string(…)`".to_owned()
        }
        () if matches!(left.ty, Type::List(_)) != matches!(right.ty, Type::List(_)) => {
            "whether a list holds it is `… in …`".to_owned()
        }
        () if left.ty == Type::TEXT || right.ty == Type::TEXT => "convert the other: `string(…)`".to_owned(),
        () => return None,
    })
}
