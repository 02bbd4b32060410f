//! What changed rows must pass before and after, held against an interpreter that knows neither plans nor SQL: random rules over a
//! collection that refers to itself, random updates, merges and PUTs of several rows; memory makes the changes and judges each row in
//! the world before and in the world after, and SQLite must accept and refuse the same, and hold the same rows in the end.
//!
//! `UNDERGIRD_SEED` and `UNDERGIRD_REQUESTS` make it another run or a longer one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::BoxFuture;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::{Model, Source, Value, definition};
use undergird_plan::arbitrary::Dice;
use undergird_plan::caller::{Caller, Moment, User};
use undergird_plan::{Plan, Refusal, RowRef, RowSink, authorize};
use undergird_store::conformance::parse_request;
use undergird_store::run::{self, WriteAnswer, cell_value};
use undergird_store::schema::{steps, wanted};
use undergird_store::{Connection, Decision, Isolation, Prepared, Store, StoreError, Work, WorkAnswer, sql};
use undergird_store_sqlite::{DIALECT, Options, SqliteStore};
use uuid::Uuid;

/// Requests for each rule.
const TURNS: usize = 40;
const ME: u128 = 10;
const IDS: i64 = 5;

#[derive(Clone, Copy, PartialEq, Debug)]
struct Row {
    owner: u128,
    open: bool,
    level: i64,
    parent: Option<i64>,
}

type World = BTreeMap<i64, Row>;

/// A row in a rule, of the old state or the new one; the row itself or its parent.
#[derive(Clone, Copy, Debug)]
struct Path {
    new: bool,
    up: bool,
}

/// A rule, as text for the definition and as a meaning.
#[derive(Clone, Debug)]
enum Rule {
    Open(Path),
    Mine(Path),
    SameOwner(Path, Path),
    Less(Path, Path),
    NoParent(bool),
    Child { of_new: bool, test: Child },
    Not(Box<Rule>),
    And(Vec<Rule>),
    Or(Vec<Rule>),
}

#[derive(Clone, Copy, Debug)]
enum Child {
    Open,
    Mine,
    Above(Path),
}

/// Where a rule is judged: each side a row and the world that its relations lead into.
struct Sides<'a> {
    id: i64,
    old: (Row, &'a World),
    new: (Row, &'a World),
}

impl Rule {
    fn random(dice: &mut Dice, says_new: bool, depth: usize) -> Rule {
        let path = |dice: &mut Dice| Path { new: says_new && dice.below(2) == 0, up: dice.below(2) == 0 };
        let several =
            |dice: &mut Dice| (0..2 + dice.below(2)).map(|_| Rule::random(dice, says_new, depth - 1)).collect();
        match if depth == 0 { dice.below(7) } else { dice.below(13) } {
            0 => Rule::Open(path(dice)),
            1 => Rule::Mine(path(dice)),
            2 => Rule::SameOwner(path(dice), path(dice)),
            3 => Rule::Less(path(dice), path(dice)),
            4 => Rule::NoParent(path(dice).new),
            5 | 6 => {
                let of_new = path(dice).new;
                let test = match dice.below(3) {
                    0 => Child::Open,
                    1 => Child::Mine,
                    _ => Child::Above(path(dice)),
                };
                Rule::Child { of_new, test }
            }
            7 => Rule::Not(Box::new(Rule::random(dice, says_new, depth - 1))),
            8..=10 => Rule::Or(several(dice)),
            _ => Rule::And(several(dice)),
        }
    }

    fn text(&self) -> String {
        let at =
            |path: &Path| format!("{}{}", if path.new { "new." } else { "" }, if path.up { "parent." } else { "" });
        let joined = |rules: &[Rule], with: &str| {
            rules.iter().map(|rule| format!("({})", rule.text())).collect::<Vec<_>>().join(with)
        };
        match self {
            Rule::Open(path) => format!("{}open", at(path)),
            Rule::Mine(path) => format!("{}owner == auth.id", at(path)),
            Rule::SameOwner(a, b) => format!("{}owner == {}owner", at(a), at(b)),
            Rule::Less(a, b) => format!("{}level < {}level", at(a), at(b)),
            Rule::NoParent(new) => format!("{}parent_id == null", if *new { "new." } else { "" }),
            Rule::Child { of_new, test } => {
                let test = match test {
                    Child::Open => "c.open".to_owned(),
                    Child::Mine => "c.owner == auth.id".to_owned(),
                    Child::Above(path) => format!("c.level > {}level", at(path)),
                };
                format!("{}children.exists(c, {test})", if *of_new { "new." } else { "" })
            }
            Rule::Not(rule) => format!("!({})", rule.text()),
            Rule::And(rules) => joined(rules, " && "),
            Rule::Or(rules) => joined(rules, " || "),
        }
    }

    fn says_new(&self) -> bool {
        self.text().contains("new.")
    }

    fn holds(&self, sides: &Sides<'_>) -> bool {
        let side = |new: bool| if new { sides.new } else { sides.old };
        let row = |path: &Path| {
            let (row, world) = side(path.new);
            if path.up { row.parent.and_then(|parent| world.get(&parent)).copied() } else { Some(row) }
        };
        match self {
            Rule::Open(path) => row(path).is_some_and(|row| row.open),
            Rule::Mine(path) => row(path).is_some_and(|row| row.owner == ME),
            // Null-safe: two parents that are not there have the same owner.
            Rule::SameOwner(a, b) => row(a).map(|row| row.owner) == row(b).map(|row| row.owner),
            Rule::Less(a, b) => row(a).zip(row(b)).is_some_and(|(a, b)| a.level < b.level),
            Rule::NoParent(new) => side(*new).0.parent.is_none(),
            Rule::Child { of_new, test } => {
                let children = side(*of_new).1.values().filter(|row| row.parent == Some(sides.id));
                children.into_iter().any(|child| match test {
                    Child::Open => child.open,
                    Child::Mine => child.owner == ME,
                    Child::Above(path) => row(path).is_some_and(|row| child.level > row.level),
                })
            }
            Rule::Not(rule) => !rule.holds(sides),
            Rule::And(rules) => rules.iter().all(|rule| rule.holds(sides)),
            Rule::Or(rules) => rules.iter().any(|rule| rule.holds(sides)),
        }
    }

    /// Whether a row may become another in this world.
    fn before(&self, id: i64, old: Row, new: Row, world: &World) -> bool {
        let (as_it_is, as_it_becomes) = ((old, world), (new, world));
        if self.says_new() {
            return self.holds(&Sides { id, old: as_it_is, new: as_it_becomes });
        }
        self.holds(&Sides { id, old: as_it_is, new: as_it_is })
            && self.holds(&Sides { id, old: as_it_becomes, new: as_it_becomes })
    }

    /// Whether it may have become what it is, when all is changed.
    fn after(&self, id: i64, (old, then): (Row, &World), world: &World) -> bool {
        let now = (world[&id], world);
        let old = if self.says_new() { (old, then) } else { now };
        self.holds(&Sides { id, old, new: now })
    }
}

/// The members of a body.
#[derive(Clone, Copy, Default, Debug)]
struct Patch {
    owner: Option<u128>,
    open: Option<bool>,
    level: Option<i64>,
    parent: Option<Option<i64>>,
}

impl Patch {
    fn random(dice: &mut Dice, names: usize, world: &World, own: Option<i64>) -> Patch {
        let mut parents: Vec<Option<i64>> = world.keys().copied().map(Some).chain([None]).collect();
        parents.extend(own.map(Some));
        Patch {
            owner: (names & 1 != 0).then(|| ME + dice.below(2) as u128),
            open: (names & 2 != 0).then(|| dice.below(2) == 0),
            level: (names & 4 != 0).then(|| dice.below(3) as i64),
            parent: (names & 8 != 0).then(|| *dice.pick(&parents)),
        }
    }

    fn on(&self, row: Row) -> Row {
        Row {
            owner: self.owner.unwrap_or(row.owner),
            open: self.open.unwrap_or(row.open),
            level: self.level.unwrap_or(row.level),
            parent: self.parent.unwrap_or(row.parent),
        }
    }

    fn text(&self, id: Option<i64>) -> String {
        let mut members: Vec<String> = id.iter().map(|id| format!("\"id\": {id}")).collect();
        members.extend(self.owner.map(|owner| format!("\"owner\": \"{}\"", Uuid::from_u128(owner))));
        members.extend(self.open.map(|open| format!("\"open\": {open}")));
        members.extend(self.level.map(|level| format!("\"level\": {level}")));
        members.extend(self.parent.map(|parent| match parent {
            Some(parent) => format!("\"parent_id\": {parent}"),
            None => "\"parent_id\": null".to_owned(),
        }));
        format!("{{{}}}", members.join(", "))
    }
}

/// What memory says of a request: the world afterwards, and whether the rules let it be so.
struct Verdict {
    world: World,
    /// What decides: a row was not to be changed.
    refused: bool,
    /// It changes a row more than once: the store may refuse more.
    repeats: bool,
}

enum Asked {
    Update(Vec<i64>, Patch),
    Merge(Vec<(i64, Patch)>),
    Put(i64, Patch),
}

impl Asked {
    fn random(dice: &mut Dice, world: &World) -> Asked {
        let names = 1 + dice.below(15);
        let id = |dice: &mut Dice| 1 + dice.below(IDS as usize) as i64;
        match dice.below(5) {
            0 | 1 => {
                let ids = world.keys().copied().filter(|_| dice.below(3) > 0).collect();
                Asked::Update(ids, Patch::random(dice, names, world, None))
            }
            2 => {
                let id = id(dice);
                Asked::Put(id, Patch::random(dice, 15, world, Some(id)))
            }
            _ => {
                let row = |dice: &mut Dice| {
                    let id = id(dice);
                    (id, Patch::random(dice, names, world, Some(id)))
                };
                Asked::Merge((0..1 + dice.below(4)).map(|_| row(dice)).collect())
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Asked::Update(ids, patch) => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                format!("PATCH folders?id=in.({}) {}", ids.join(","), patch.text(None))
            }
            Asked::Merge(rows) => {
                let rows: Vec<String> = rows.iter().map(|(id, patch)| patch.text(Some(*id))).collect();
                format!("POST folders?prefer=merge [{}]", rows.join(", "))
            }
            Asked::Put(id, patch) => format!("PUT folders?key={id} {}", patch.text(None)),
        }
    }

    fn judged(&self, create: &Rule, update: &Rule, before: &World) -> Verdict {
        let mut verdict = Verdict { world: before.clone(), refused: false, repeats: false };
        let mut changed: Vec<(i64, Row, World)> = Vec::new();
        let mut made: Vec<i64> = Vec::new();
        let rows = match self {
            Asked::Update(ids, patch) => {
                for id in ids {
                    let (old, new) = (before[id], patch.on(before[id]));
                    verdict.refused |= !update.before(*id, old, new, before);
                    verdict.world.insert(*id, new);
                    changed.push((*id, old, before.clone()));
                }
                Vec::new()
            }
            Asked::Merge(rows) => rows.clone(),
            Asked::Put(id, patch) => vec![(*id, *patch)],
        };
        for (id, patch) in rows {
            match verdict.world.get(&id).copied() {
                Some(old) => {
                    let new = patch.on(old);
                    verdict.refused |= !update.before(id, old, new, &verdict.world);
                    let repeated = changed.iter().position(|(known, ..)| *known == id);
                    verdict.repeats |= repeated.is_some() || made.contains(&id);
                    if let Some(at) = repeated {
                        changed.remove(at);
                    }
                    changed.push((id, old, verdict.world.clone()));
                    verdict.world.insert(id, new);
                }
                None => {
                    verdict.world.insert(id, patch.on(Row { owner: ME, open: true, level: 1, parent: None }));
                    made.push(id);
                }
            }
        }
        for (id, old, then) in changed {
            verdict.refused |= !update.after(id, (old, &then), &verdict.world);
        }
        for id in made {
            let now = (verdict.world[&id], &verdict.world);
            verdict.refused |= !create.holds(&Sides { id, old: now, new: now });
        }
        verdict
    }
}

/// A definition with two rules, in SQLite.
struct Case {
    model: Arc<Model>,
    store: Arc<SqliteStore>,
    create: Rule,
    update: Rule,
}

impl Case {
    async fn new(dice: &mut Dice) -> Case {
        let says_new = dice.below(2) == 0;
        let depth = 1 + dice.below(2);
        let create =
            if dice.below(2) == 0 { Rule::Mine(Path { new: false, up: false }) } else { Rule::random(dice, false, 1) };
        let update = Rule::random(dice, says_new, depth);
        let text = format!(
            r#"
            [fields]
            id = {{ type = "int" }}
            owner = {{ type = "uuid", default = {{ expr = "auth.id" }} }}
            open = {{ type = "bool", default = true }}
            level = {{ type = "int", default = 1 }}
            parent_id = {{ type = "ref", to = "folders", optional = true, inverse = "children" }}
            [access]
            read = "true"
            create = "{}"
            update = "{}"
            "#,
            create.text(),
            update.text()
        );
        let (model, diagnostics) =
            definition::check(&[Source { name: "models/folders.toml".into(), text: text.into() }], &[]);
        let model = Arc::new(model.unwrap_or_else(|| panic!("{}: {diagnostics:#?}", update.text())));
        let store = SqliteStore::open("sqlite::memory:", &Options::default()).unwrap();
        let applied = wanted(&model);
        store.migrate(&steps(None, &applied), &applied).await.unwrap();
        Case { model, store, create, update }
    }

    fn planned(&self, caller: &Caller, text: &str) -> Result<Prepared, Refusal> {
        let plan = authorize(&self.model, caller, &parse_request(text).unwrap())?;
        let statements = Arc::new(sql::write(&self.model, plan.shape(), &DIALECT));
        Ok(Prepared { plan, statements })
    }

    /// Whether the store did it; `None` when a key or the like stood in its way.
    async fn done(&self, query: Prepared) -> Option<bool> {
        match self.store.transaction(Box::new(Change(query)), Isolation::Committed, deadline()).await {
            Ok(answer) => Some(*answer.value.downcast::<bool>().unwrap()),
            Err(StoreError::Constraint { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn world(&self) -> World {
        let query = self.planned(&Caller::secret(MOMENT), "GET folders?select=id,owner,open,level,parent_id").unwrap();
        let answer = self.store.read(query, Box::<Rows>::default(), deadline()).await;
        answer.result.unwrap();
        answer.sink.unwrap().into_any().downcast::<Rows>().unwrap().0
    }
}

const MOMENT: Moment = Moment { now: 1_700_000_000_000_000, entropy: 7 };

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

struct Change(Prepared);

impl Work for Change {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let done = matches!(run::write(connection, &self.0, None, run::Then::Commit).await?, WriteAnswer::Done(_));
            let decision = if done { Decision::Commit } else { Decision::Rollback };
            Ok(WorkAnswer { decision, value: Box::new(done) })
        })
    }
}

#[derive(Default)]
struct Rows(World);

impl RowSink for Rows {
    fn begin(&mut self, _: &Plan) {
        self.0.clear();
    }

    fn row(&mut self, _: usize, row: &dyn RowRef) -> Result<(), undergird_plan::rows::Overflow> {
        let cells: Vec<Value> = (0..5).map(|at| cell_value(row.cell(at))).collect();
        let [Value::Int(id), Value::Uuid(owner), Value::Bool(open), Value::Int(level), parent] = cells.as_slice()
        else {
            panic!("{cells:?}");
        };
        let parent = match parent {
            Value::Int(parent) => Some(*parent),
            _ => None,
        };
        self.0.insert(*id, Row { owner: owner.as_u128(), open: *open, level: *level, parent });
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test]
async fn a_row_passes_before_and_after() {
    let days = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
    let seed = setting("UNDERGIRD_SEED").unwrap_or(days);
    let most = setting("UNDERGIRD_REQUESTS").unwrap_or(8_000) as usize;
    println!("UNDERGIRD_SEED={seed}");
    let me = Caller::user(Arc::new(User::new(Uuid::from_u128(ME), None, Vec::new(), serde_json::json!({}))), MOMENT);
    let (mut requests, mut accepted, mut only_after, mut unsupported) = (0, 0, 0, 0);
    for number in 0.. {
        if requests >= most {
            break;
        }
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003) + number);
        let case = Case::new(&mut dice).await;
        let mut world = World::new();
        for id in 1..=4 {
            let parents: Vec<Option<i64>> = (1..=id).map(Some).chain([None]).collect();
            let (owner, open) = (ME + dice.below(2) as u128, dice.below(2) == 0);
            world.insert(id, Row { owner, open, level: dice.below(3) as i64, parent: *dice.pick(&parents) });
        }
        let rows: Vec<String> = world
            .iter()
            .map(|(id, row)| {
                let patch = Patch {
                    owner: Some(row.owner),
                    open: Some(row.open),
                    level: Some(row.level),
                    parent: Some(row.parent),
                };
                patch.text(Some(*id))
            })
            .collect();
        let fill = format!("POST folders [{}]", rows.join(", "));
        assert_eq!(case.done(case.planned(&Caller::secret(MOMENT), &fill).unwrap()).await, Some(true), "{fill}");
        for _ in 0..TURNS {
            let asked = Asked::random(&mut dice, &world);
            let verdict = asked.judged(&case.create, &case.update, &world);
            requests += 1;
            let before = world.clone();
            let told = || {
                format!(
                    "seed {seed}, rule {number}\n{}\ncreate {}\nupdate {}\nof {before:#?}",
                    asked.text(),
                    case.create.text(),
                    case.update.text()
                )
            };
            let query = match case.planned(&me, &asked.text()) {
                Ok(query) => query,
                Err(Refusal::Unsupported { .. }) => {
                    unsupported += 1;
                    continue;
                }
                // A rule that nothing passes closes the verb, also to what would only change rows.
                Err(Refusal::RowRule { .. }) => continue,
                Err(refusal) => panic!("{refusal:?}: {}", told()),
            };
            let Some(done) = case.done(query).await else { continue };
            if done {
                assert!(!verdict.refused, "accepted, and should not have been: {}", told());
                accepted += 1;
                world = verdict.world;
            } else if !verdict.repeats {
                assert!(verdict.refused, "refused without reason: {}", told());
            }
            assert_eq!(case.world().await, world, "{}", told());
            only_after += usize::from(!done && asked.passes_before(&case.update, &world));
        }
        case.store.close().await;
    }
    println!(
        "{requests} requests: {accepted} accepted, {only_after} updates refused only afterwards, {unsupported} unsupported"
    );
    // So that a silent harness is not taken for agreement.
    assert!(accepted * 10 > requests && only_after * 1_000 > requests && unsupported * 4 < requests);
}

impl Asked {
    /// Whether an update would be let through by what is judged before it alone.
    fn passes_before(&self, update: &Rule, world: &World) -> bool {
        let Asked::Update(ids, patch) = self else { return false };
        ids.iter().all(|id| update.before(*id, world[id], patch.on(world[id]), world))
    }
}
