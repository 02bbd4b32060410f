//! Whatever is done to an expression, it means the same: held against the evaluator on random models, rows, callers and expressions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::arbitrary::{self, Dice, Exprs, Row, Rows};
use crate::caller::{Caller, Moment, User};
use crate::evaluate::{Bindings, Evaluator, STEPS_MAX, evaluate, holds};
use std::sync::Arc;
use undergird_model::expr::{Arithmetic, Slot};
use undergird_model::{CollectionId, Kind};

/// Models, and expressions for each. Small enough for every build; `UNDERGIRD_SEED` and `UNDERGIRD_ROUNDS` make it another or more.
fn each(check: impl Fn(&str, &Model, &Rows, &Caller, &mut Dice)) {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = setting("UNDERGIRD_SEED").unwrap_or(1);
    for seed in first..first + setting("UNDERGIRD_ROUNDS").unwrap_or(60) {
        let mut dice = Dice::new(seed);
        let model = arbitrary::model(&mut dice);
        let rows = Rows::new(&mut dice, &model, |_| 12);
        for turn in 0..60 {
            let caller = arbitrary::caller(&mut dice, &rows);
            check(&format!("UNDERGIRD_SEED={seed}, turn {turn}"), &model, &rows, &caller, &mut dice);
        }
    }
}

fn a_collection(dice: &mut Dice, model: &Model) -> CollectionId {
    CollectionId(dice.below(model.collections.len()) as u16)
}

#[test]
fn specialising_keeps_the_meaning() {
    each(|at, model, rows, caller, dice| {
        let this = a_collection(dice, model);
        let ty = if dice.below(3) > 0 { Type::BOOL } else { Type::Scalar(*dice.pick(&arbitrary::KINDS)) };
        let mut exprs = Exprs::new(dice, model, &[(RowVar::THIS, this)]);
        let expr = exprs.expr(ty, 4);
        let (params, input) = (exprs.params, exprs.input);
        let bindings = Bindings { caller, params: &params, input: &input };
        let world = rows.world(caller);
        let mut evaluator = Evaluator::new(bindings, &world);

        let special = specialise(&expr, &caller.kind());
        assert_eq!(special.ty, expr.ty, "{at}: {expr:#?}");
        assert_eq!(specialise(&special, &caller.kind()), special, "{at}: again changes nothing");
        let verdict = verdict(&expr, &caller.kind());
        for row in rows.of(this) {
            let row = [(RowVar::THIS, row.clone())];
            let (Ok(expected), Ok(found)) = (evaluator.value(&expr, &row), evaluator.value(&special, &row)) else {
                continue;
            };
            assert_eq!(found, expected, "{at}: {row:?}\n{expr:#?}\n{special:#?}");
            if ty != Type::BOOL {
                continue;
            }
            let allowed = match &verdict {
                Verdict::Allow => Value::Bool(true),
                Verdict::Deny => Value::Bool(false),
                Verdict::Only(rule) => evaluator.value(rule, &row).unwrap(),
            };
            assert_eq!(allowed, Value::Bool(expected == Value::Bool(true)), "{at}: {verdict:#?}");
        }
    });
}

#[test]
fn renaming_keeps_the_meaning() {
    each(|at, model, rows, caller, dice| {
        let this = a_collection(dice, model);
        let mut exprs = Exprs::new(dice, model, &[(RowVar::THIS, this)]);
        let expr = exprs.expr(Type::BOOL, 4);
        let (params, input) = (exprs.params, exprs.input);
        let bindings = Bindings { caller, params: &params, input: &input };
        let world = rows.world(caller);
        let mut next = 500;
        let renamed = instantiate(&expr, &[(RowVar::THIS, RowVar(400))], &mut || {
            next += 1;
            RowVar(next)
        });
        assert!(!renamed.any_node(&mut |node| matches!(node, Node::Field(RowVar(0..400), _))), "{at}: {renamed:#?}");
        for row in rows.of(this) {
            let expected = evaluate(&expr, bindings, &world, &[(RowVar::THIS, row.clone())]);
            let found = evaluate(&renamed, bindings, &world, &[(RowVar(400), row.clone())]);
            assert_eq!(found, expected, "{at}: {expr:#?}");
        }
    });
}

#[test]
fn substituting_keeps_the_meaning() {
    each(|at, model, rows, caller, dice| {
        let this = a_collection(dice, model);
        let mut exprs = Exprs::new(dice, model, &[(RowVar::THIS, this)]);
        let assigned = exprs.assignments(this, 1);
        let (params, input) = (exprs.params, exprs.input);
        let mut exprs = Exprs::new(dice, model, &[(RowVar::THIS, this), (RowVar::NEW, this)]);
        (exprs.params, exprs.input) = (params, input);
        let rule = exprs.expr(Type::BOOL, 4);
        let (params, input) = (exprs.params, exprs.input);
        let bindings = Bindings { caller, params: &params, input: &input };
        let world = rows.world(caller);

        // Rows that the assigned expressions bind must not meet those of the rule.
        let mut next = 500;
        let rule = instantiate(&rule, &[], &mut || {
            next += 1;
            RowVar(next)
        });
        let with = |field| assigned.iter().find(|(to, _)| *to == field).map(|(_, value)| value.clone());
        let substituted = substitute_fields(model, &rule, RowVar::NEW, &with, RowVar::THIS);
        for row in rows.of(this) {
            let mut changed = row.values().to_vec();
            for (field, value) in &assigned {
                changed[usize::from(field.index)] =
                    evaluate(value, bindings, &world, &[(RowVar::THIS, row.clone())]).unwrap();
            }
            let both = [(RowVar::THIS, row.clone()), (RowVar::NEW, Row::new(changed))];
            let expected = evaluate(&rule, bindings, &world, &both);
            let found = evaluate(&substituted, bindings, &world, &both[..1]);
            if let (Ok(expected), Ok(found)) = (expected, found) {
                assert_eq!(found, expected, "{at}: {rule:#?}\n{substituted:#?}");
            }
        }
    });
}

fn user(roles: &[&str]) -> Caller {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let user = User::new(uuid::Uuid::nil(), None, roles, serde_json::json!({}));
    Caller::user(Arc::new(user), Moment { now: 0, entropy: 0 })
}

fn auth(ty: Type, fact: AuthFact) -> Expr {
    Expr { ty, node: Node::Auth(fact) }
}

fn field(ty: Type, index: u16) -> Expr {
    Expr { ty, node: Node::Field(RowVar::THIS, FieldId { collection: CollectionId(0), index }) }
}

/// `auth.id == owner || 'admin' in auth.roles`, for everybody.
#[test]
fn rules_come_down_to_verdicts() {
    let owner = Box::new(field(Type::UUID, 1));
    let own = Expr::test(Node::Compare(Comparison::Equal, Box::new(auth(Type::UUID, AuthFact::Id)), owner));
    let admin = Expr::literal(Type::TEXT, Value::text("admin"));
    let roles = auth(Type::List(Kind::Text), AuthFact::Roles);
    let rule = Expr::any([own.clone(), Expr::test(Node::In(Box::new(admin), Box::new(roles)))]);
    let moment = Moment { now: 0, entropy: 0 };
    assert_eq!(verdict(&rule, &Caller::visitor(moment).kind()), Verdict::Deny);
    assert_eq!(verdict(&rule, &user(&["admin"]).kind()), Verdict::Allow);
    assert_eq!(verdict(&rule, &user(&["editor"]).kind()), Verdict::Only(own));
}

#[test]
fn evaluation_is_cut_off() {
    let caller = user(&[]);
    let numbers = Value::List((0..1_000).map(Value::Int).collect());
    let bindings = Bindings { caller: &caller, params: &[numbers], input: &[] };
    let list = Expr { ty: Type::List(Kind::Int), node: Node::Param(Slot(0)) };
    let mut expr = Expr::bool(false);
    for level in 0..3 {
        let list = Box::new(list.clone());
        expr = Expr::test(Node::AnyElement { list, bind: ElementVar(level), filter: Box::new(expr) });
    }
    let start = std::time::Instant::now();
    assert!(holds(&expr, bindings, &[]).is_err(), "a thousand million comparisons are more than {STEPS_MAX}");
    assert!(start.elapsed().as_millis() < 2_000);

    let mut deep = Expr::literal(Type::INT, Value::Int(1));
    for _ in 0..5_000 {
        let one = Box::new(Expr::literal(Type::INT, Value::Int(1)));
        deep = Expr { ty: Type::INT, node: Node::Arithmetic(Arithmetic::Add, Box::new(deep), one) };
    }
    assert!(holds(&deep, bindings, &[]).is_err());
}
