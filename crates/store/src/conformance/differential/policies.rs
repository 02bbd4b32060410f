//! Random rules as policies of the database, against memory: the statements have no condition at all, so that nothing but the policies
//! decides which rows a caller reads, makes, changes and removes.
//!
//! Absent: rules that say `new`, and what a rule means in a plan. For stores that were opened with a [wall](crate::Store::raise_wall).

use super::{
    Answers, Case, Dice, Difference, Exprs, Fill, Question, Tally, Trial, WRONG, arbitrary, deadline, made_wrong, run,
    seed, setting,
};
use crate::run::cell_value;
use crate::{
    Act, Bound, Connection, Decision, Flow, Isolation, Prepared, Statement, StoreError, Work, WorkAnswer, sql,
};
use futures_util::future::BoxFuture;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;
use undergird_model::expr::RowVar;
use undergird_model::schema::Rule;
use undergird_model::{Expr, Model, Node, Type, Value};
use undergird_plan::caller::{Caller, Identity};
use undergird_plan::shape::{Column, Object, Read, ReadNode};
use undergird_plan::{Plan, Shape};

/// Callers for each set of rules: a policy is made once, and asked for many.
const CALLERS: usize = 3;
/// Rows that each of them tries to make: one by one, since one that is refused ends its statement.
const MADE: usize = 12;

/// The rules of one collection, one for each verb.
struct Rules {
    read: Expr,
    create: Expr,
    update: Expr,
    delete: Expr,
}

/// Holds policies against memory until there are pairs enough.
///
/// # Errors
/// The first difference, told so that it can be had again; or that the store failed.
pub async fn policies_agree(trial: Trial<'_>) -> Result<Tally, String> {
    let (seed, wanted) = (seed(), setting("UNDERGIRD_PAIRS").map_or(trial.pairs, |pairs| pairs as usize));
    let rules = setting("UNDERGIRD_RULES").map_or(trial.rules, |rules| rules as usize);
    let start = Instant::now();
    let mut tally = Tally::default();
    while tally.pairs < wanted {
        let model_seed = setting("UNDERGIRD_MODEL").unwrap_or(seed.wrapping_mul(1_000_081) + tally.models);
        let mut dice = Dice::new(model_seed);
        let place = |turn: usize| format!("UNDERGIRD_MODEL={model_seed}, rules {turn}");
        let case = Case::new(&trial, &mut dice).await.map_err(|why| format!("{}: {why}", place(0)))?;
        for turn in 0..rules {
            case.policies(&mut dice, |rule| rule, &mut tally).await.map_err(|why| format!("{}: {why}", place(turn)))?;
        }
        tally.models += 1;
    }
    tally.took = start.elapsed();
    Ok(tally)
}

/// Whether policies of rules that were read wrong are found out, so that a silent harness is not taken for agreement.
///
/// # Errors
/// The names of those that are not; or that the store failed.
pub async fn wrong_policies_are_found_out(trial: Trial<'_>) -> Result<(), String> {
    const MODELS: u64 = 40;
    // Mistakes that show soon; how each is told apart is the other test's.
    for (name, mistake) in [WRONG[0], WRONG[5]] {
        let mut found = false;
        for model in 0..MODELS {
            let mut dice = Dice::new(7 * 1_000_099 + model);
            let case = Case::new(&trial, &mut dice).await?;
            for _ in 0..trial.rules {
                let told = case.policies(&mut dice, |rule| made_wrong(rule, mistake), &mut Tally::default()).await;
                found |= told.is_err_and(|why| why.starts_with("policies of "));
            }
            if found {
                break;
            }
        }
        if !found {
            return Err(format!("not found out: {name}"));
        }
    }
    Ok(())
}

impl Case<'_> {
    /// A rule for each verb at random, its policies, and what callers can do behind them. `mistake` is what the policies are made of.
    async fn policies(&self, dice: &mut Dice, mistake: impl Fn(Expr) -> Expr, tally: &mut Tally) -> Result<(), String> {
        let rules =
            Rules { read: self.rule(dice), create: self.rule(dice), update: self.rule(dice), delete: self.rule(dice) };
        let mut model = (*self.model).clone();
        let access = &mut model.collections[usize::from(self.this.0)].access;
        let rule = |rule: &Expr| Some(Rule { text: String::new(), expr: mistake(rule.clone()) });
        access.read = rule(&rules.read);
        access.create = rule(&rules.create);
        access.update = rule(&rules.update);
        access.delete = rule(&rules.delete);
        let wall = sql::wall(&model, self.trial.store.dialect());
        if !wall.refused.is_empty() {
            *tally.refused.entry("as a policy").or_default() += 1;
            return Ok(());
        }
        let model = Arc::new(model);
        self.trial.store.raise_wall(&model).await.map_err(|error| format!("raising: {error}"))?;
        let all = |read: &Expr, other: &Expr| Expr::test(Node::And(vec![read.clone(), other.clone()]));
        let mut asked = vec![
            ("read", rules.read.clone()),
            ("update", all(&rules.read, &rules.update)),
            ("delete", all(&rules.read, &rules.delete)),
        ];
        // The terms that lead into the own collection are the plan's alone.
        if wall.open.is_empty() {
            asked.push(("create", rules.create.clone()));
        }
        for _ in 0..CALLERS {
            let caller = loop {
                let caller = arbitrary::caller(dice, &self.rows);
                if matches!(caller.identity(), Identity::Visitor | Identity::User(_)) {
                    break caller;
                }
            };
            for (verb, rule) in &asked {
                let told = match *verb {
                    "read" => self.read_behind(&model, &caller).await,
                    verb => self.tried_behind(&model, &caller, verb, dice).await,
                };
                let told =
                    told.map_err(|error| format!("{verb}: {error:?}\n{}", self.about(rule, &caller).told("")))?;
                tally.pairs += self.held(&told, rule, &caller, verb)?;
                tally.rules += 1;
            }
        }
        Ok(())
    }

    /// A rule about the collection alone, without anything that a request brings.
    fn rule(&self, dice: &mut Dice) -> Expr {
        let depth = 1 + dice.below(3);
        let mut exprs = Exprs::new(dice, &self.model, &[(RowVar::THIS, self.this)]);
        let rule = exprs.expr(Type::BOOL, depth);
        let Exprs { params, input, .. } = exprs;
        settled(rule, &params, &input)
    }

    fn about(&self, rule: &Expr, caller: &Caller) -> Question {
        Question {
            rule: rule.clone(),
            asked: rule.clone(),
            params: Vec::new(),
            caller: caller.clone(),
            filter: true,
            join: None,
        }
    }

    /// That memory says the same of the rows that were asked about: true for those that the policies let through.
    fn held(
        &self,
        told: &FxHashMap<Value, Option<Value>>,
        rule: &Expr,
        caller: &Caller,
        verb: &str,
    ) -> Result<usize, String> {
        let question = self.about(rule, caller);
        let passed = told.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect();
        let about = |key: &Value| told.contains_key(key);
        self.compare_some(&question, rule, &passed, about).map_err(|difference| {
            let Difference { row, store, memory } = *difference;
            let told = question.told("");
            format!("policies of {verb}: the store says {store:?}, memory {memory:?}\nrow {:?}\n{told}", row.values())
        })
    }

    fn table(&self) -> String {
        self.trial.store.dialect().identifier(&self.model.collection(self.this).table)
    }

    /// A statement that gives keys, and of which a plan says nothing.
    fn statement(&self, text: String, writes: bool) -> Statement {
        let columns = vec![self.model.collection(self.this).fields[0].ty];
        Statement { text, binds: Vec::new(), columns, writes, identity: false, lacks: None }
    }

    /// A plan that reads the keys; it stands for all that a caller does.
    fn plan(&self, model: &Arc<Model>, caller: &Caller) -> Plan {
        let key = &self.model.collection(self.this).fields[0];
        let node = ReadNode {
            source: None,
            parent: None,
            collection: self.this,
            row: RowVar::THIS,
            joins: Vec::new(),
            columns: vec![Column::Plain(Expr { ty: key.ty, node: Node::Field(RowVar::THIS, key.id) })],
            filter: Expr::bool(true),
            group_by: None,
            order: Vec::new(),
            limit: None,
            offset: None,
            object: Object::default(),
            cursor: Vec::new(),
            version: None,
        };
        let shape = Shape::Read(Read { nodes: vec![node], count: None, by_key: false });
        arbitrary::plan(Arc::clone(model), shape, Vec::new(), Vec::new(), caller.clone())
    }

    fn none_of_all(&self) -> FxHashMap<Value, Option<Value>> {
        self.rows.of(self.this).iter().map(|row| (row.values()[0].clone(), None)).collect()
    }

    /// What a caller reads.
    async fn read_behind(
        &self,
        model: &Arc<Model>,
        caller: &Caller,
    ) -> Result<FxHashMap<Value, Option<Value>>, StoreError> {
        let plan = self.plan(model, caller);
        let statements = sql::write(&self.model, plan.shape(), self.trial.store.dialect());
        let query = Prepared { plan, statements: Arc::new(statements) };
        let sink = Box::new(Answers { filter: true, rows: FxHashMap::default() });
        let answer = self.trial.store.read(query, sink, deadline()).await;
        answer.result?;
        let lost = || StoreError::Internal("the sink was lost".into());
        let sink = answer.sink.and_then(|sink| sink.into_any().downcast::<Answers>().ok()).ok_or_else(lost)?;
        let mut all = self.none_of_all();
        all.extend(sink.rows.into_iter().map(|(key, value)| (key, Some(value))));
        Ok(all)
    }

    /// What a caller changes, removes or makes. Nothing of it stays.
    async fn tried_behind(
        &self,
        model: &Arc<Model>,
        caller: &Caller,
        verb: &str,
        dice: &mut Dice,
    ) -> Result<FxHashMap<Value, Option<Value>>, StoreError> {
        let (table, plan) = (self.table(), self.plan(model, caller));
        let key = self.trial.store.dialect().identifier(&self.model.collection(self.this).fields[0].column);
        let before = self.trial.before.iter().map(|text| (*text).to_owned()).collect();
        let mut work = Try { before, plan, act: Act::Update(self.this), statements: Vec::new() };
        match verb {
            "update" => {
                let text = format!("UPDATE {table} SET {key} = {key} RETURNING {key}");
                work.statements.push((self.statement(text, true), Vec::new(), None));
            }
            "delete" => {
                work.act = Act::Delete(self.this);
                work.statements.push((
                    self.statement(format!("DELETE FROM {table} RETURNING {key}"), true),
                    Vec::new(),
                    None,
                ));
            }
            _ => {
                work.act = Act::Create(self.this);
                work.before.push(format!("DELETE FROM {table}"));
                let rows = self.rows.of(self.this);
                for _ in 0..MADE.min(rows.len()) {
                    let row = [dice.pick(rows).values().to_vec()];
                    let (text, _) = Fill::insert(self.trial.store.dialect(), &self.model, self.this, &row);
                    let statement = Statement { columns: Vec::new(), ..self.statement(text, true) };
                    let [row] = row;
                    let key = Some(row[0].clone());
                    if work.statements.iter().any(|(_, _, known)| *known == key) {
                        continue;
                    }
                    let types = self.model.collection(self.this).fields.iter().map(|field| field.ty);
                    work.statements.push((statement, types.zip(row).collect(), key));
                }
            }
        }
        let all = if verb == "create" { FxHashMap::default() } else { self.none_of_all() };
        let answer = self.trial.store.transaction(Box::new(work), Isolation::Committed, deadline()).await?;
        let lost = |_| StoreError::Internal("the answer was lost".into());
        let told = *answer.value.downcast::<Vec<(Value, bool)>>().map_err(lost)?;
        let told = told.into_iter().map(|(key, passed)| (key, passed.then_some(Value::Bool(true))));
        Ok(all.into_iter().chain(told).collect())
    }
}

/// What a caller tries, each by itself.
struct Try {
    before: Vec<String>,
    plan: Plan,
    act: Act,
    statements: Vec<One>,
}

/// A statement with its values, and the key of the row that it makes.
type One = (Statement, Vec<(Type, Value)>, Option<Value>);

impl Work for Try {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            for text in &self.before {
                run(connection, text.clone(), Vec::new()).await?;
            }
            let mut told = Vec::new();
            for (statement, values, made) in &self.statements {
                connection.savepoint().await?;
                connection.act(Some((&self.plan, self.act)))?;
                let values = values.iter().map(|(ty, value)| Bound::Value(*ty, Cow::Borrowed(value))).collect();
                let mut keys = Vec::new();
                let answer = connection
                    .query(statement, values, &mut |row| {
                        keys.push(cell_value(row.cell(0)));
                        Flow::Continue
                    })
                    .await;
                connection.act(None)?;
                connection.release(answer.is_ok()).await?;
                match (answer, made) {
                    (Ok(_), None) => told.extend(keys.into_iter().map(|key| (key, true))),
                    (Ok(_), Some(key)) => told.push((key.clone(), true)),
                    (Err(StoreError::Walled(_)), Some(key)) => told.push((key.clone(), false)),
                    (Err(error), _) => return Err(error),
                }
            }
            Ok(WorkAnswer { decision: Decision::Rollback, value: Box::new(told) })
        })
    }
}

/// A rule in which what a request brings is what the definition says.
fn settled(rule: Expr, params: &[Value], input: &[Value]) -> Expr {
    let literal = |ty, value: Option<&Value>| Expr::literal(ty, value.cloned().unwrap_or(Value::Null));
    match rule.node {
        Node::Param(slot) => literal(rule.ty, params.get(usize::from(slot.0))),
        Node::Input(position) => literal(rule.ty, input.get(usize::from(position))),
        node => Expr { ty: rule.ty, node }.map_children(|child| settled(child, params, input)),
    }
}
