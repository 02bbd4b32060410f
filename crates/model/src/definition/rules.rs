//! Rules, checks and computed defaults: CEL text → typed expressions, with each problem shown at its place in the file.
//!
//! A rule that uses a name which could not be made out because of another mistake is not blamed for it.

use super::collections::Draft;
use super::names;
use super::report::{Place, Report, codes};
use super::tree::{Data, Node, Table, inside};
use crate::cel::{self, Expect, Scope};
use crate::diagnostic::Severity;
use crate::expr::{Expr, Node as ExprNode};
use crate::schema::{Access, Check, Collection, CollectionId, Default, Field, FieldId, Rule};
use crate::value::Type;

/// Most checks of a collection.
const CHECKS_MAX: usize = 100;

/// Problems of the text alone, which stand whatever else is broken.
const SYNTAX_CODES: &[&str] = &[
    "rule-too-long",
    "rule-too-deep",
    "rule-too-large",
    "unexpected-character",
    "unterminated-text",
    "bad-escape",
    "bad-number",
    "uint-unsupported",
    "unexpected-token",
    "reserved-word",
    "bad-macro",
    "unsupported-syntax",
];

/// What a rule is about, which decides what it may use.
#[derive(Clone, Copy)]
enum Purpose {
    /// `read`, `create`, `delete` and field rules.
    Access,
    /// `update`, which also sees the row as it would become.
    Update,
    /// `[[checks]]`: a real CHECK constraint, so over the row alone.
    Check,
    /// A computed default of this type.
    Default(Type),
}

/// What compiling needs to know of everything.
struct Compiler<'a> {
    collections: &'a [Collection],
    profile: Option<CollectionId>,
    suspects: &'a [String],
}

/// The rules of one collection, compiled; put into place when all are done, since compiling looks at all collections.
struct Compiled {
    access: Access,
    checks: Vec<Check>,
    fields: Vec<FieldRules>,
}

#[derive(core::default::Default)]
struct FieldRules {
    read: Option<Rule>,
    write: Option<Rule>,
    default: Option<Default>,
}

/// Compiles every rule of every collection.
pub(super) fn compile(
    drafts: &[Draft],
    collections: &mut [Collection],
    profile: Option<CollectionId>,
    suspects: &[String],
    report: &mut Report,
) {
    let compiler = Compiler { collections, profile, suspects };
    let mut deaf = Report::deaf();
    let compiled: Vec<Compiled> = drafts
        .iter()
        .map(|draft| {
            let report = if draft.whole { &mut *report } else { &mut deaf };
            compiler.collection(draft, &compiler.collections[usize::from(draft.id.0)], report)
        })
        .collect();
    for (collection, compiled) in collections.iter_mut().zip(compiled) {
        collection.access = compiled.access;
        collection.checks = compiled.checks;
        for (field, rules) in collection.fields.iter_mut().zip(compiled.fields) {
            field.read = rules.read;
            field.write = rules.write;
            field.default = rules.default.or(field.default.take());
        }
    }
    for (draft, collection) in drafts.iter().zip(collections.iter()) {
        check_default_order(draft, collection, report);
    }
}

impl Compiler<'_> {
    fn collection(&self, draft: &Draft, collection: &Collection, report: &mut Report) -> Compiled {
        let mut access = Access::default();
        if let Some(table) = draft.tree.table("access") {
            let mut rule = |key: &str, purpose: Purpose| self.rule(table, key, collection, purpose, report);
            access.read = rule("read", Purpose::Access);
            access.create = rule("create", Purpose::Access);
            access.update = rule("update", Purpose::Update);
            access.delete = rule("delete", Purpose::Access);
            for verb in ["update", "delete"].iter().filter_map(|verb| table.get(verb)) {
                if table.get("read").is_none() && !draft.system && report.silent_at(verb.place) {
                    let message = format!("without a read rule nobody sees a row to {}", verb.key);
                    report.warning(verb.place, codes::USELESS_RULE, message).hint("add read to [access]");
                }
            }
        }
        let fields = collection.fields.iter().map(|field| self.field(draft, field, collection, report)).collect();
        Compiled { access, checks: self.checks(draft, collection, report), fields }
    }

    fn field(&self, draft: &Draft, field: &Field, collection: &Collection, report: &mut Report) -> FieldRules {
        let Some(table) = draft.tree.table("fields").and_then(|fields| fields.table(&field.name)) else {
            return FieldRules::default();
        };
        let default = table.node("default").and_then(default_expr).and_then(|node| {
            self.expr(node, collection, Purpose::Default(field.ty), report).map(|(_, expr)| Default::Computed(expr))
        });
        FieldRules {
            read: self.rule(table, "read", collection, Purpose::Access, report),
            write: self.rule(table, "write", collection, Purpose::Access, report),
            default,
        }
    }

    fn checks(&self, draft: &Draft, collection: &Collection, report: &mut Report) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        let items = draft.tree.items("checks");
        if let Some(item) = items.get(CHECKS_MAX) {
            report.error(item.place, codes::TOO_MANY, format!("a collection has at most {CHECKS_MAX} checks"));
        }
        for (position, item) in items.iter().take(CHECKS_MAX).enumerate() {
            let Data::Table(table) = &item.data else { continue };
            if table.get("rule").is_none() && report.silent_at(item.place) {
                report.error(item.place, codes::MISSING_KEY, "a check needs a \"rule\"");
            }
            let Some(rule) = self.rule(table, "rule", collection, Purpose::Check, report) else { continue };
            let name = match table.text("name") {
                Some((name, place)) => {
                    if name.is_empty() || name.len() > names::NAME_CHARS_MAX {
                        report.error(place, codes::BAD_NAME, "a constraint's name has 1 to 63 characters");
                    }
                    name.to_owned()
                }
                None => names::made(&[&collection.table, "check", &(position + 1).to_string()]),
            };
            if checks.iter().any(|other| other.name.eq_ignore_ascii_case(&name)) {
                report.error(item.place, codes::DUPLICATE_NAME, format!("the check \"{name}\" exists already"));
            }
            let message = table
                .text("message")
                .map_or_else(|| format!("This must hold: {}", rule.text), |(text, _)| text.to_owned());
            checks.push(Check { name, rule, message });
        }
        checks
    }

    fn rule(
        &self,
        table: &Table,
        key: &str,
        collection: &Collection,
        purpose: Purpose,
        report: &mut Report,
    ) -> Option<Rule> {
        let node = table.node(key)?;
        self.expr(node, collection, purpose, report).map(|(text, expr)| Rule { text, expr })
    }

    /// Compiles the text of a node, reporting every problem at its place.
    fn expr(
        &self,
        node: &Node,
        collection: &Collection,
        purpose: Purpose,
        report: &mut Report,
    ) -> Option<(String, Expr)> {
        let text = node.text()?;
        let (closed, is_default) = (matches!(purpose, Purpose::Check), matches!(purpose, Purpose::Default(_)));
        let scope = Scope {
            collections: self.collections,
            this: Some(collection.id),
            allow_new: matches!(purpose, Purpose::Update),
            allow_auth: !closed,
            allow_relations: !closed && !is_default,
            allow_now: !closed,
            profile: self.profile,
            expect: match purpose {
                Purpose::Default(ty) => Expect::Type(ty),
                Purpose::Access | Purpose::Update | Purpose::Check => Expect::Bool,
            },
        };
        let source = report.text(node.place.source);
        let raw = source.get(node.place.span.start..node.place.span.end).unwrap_or("");
        // An override has no quotes; a rule never comes from one, but a place must not be wrong for that.
        let place =
            |problem: &cel::Problem| Place { span: inside(raw, text, node.place.span, problem.span), ..node.place };
        match cel::compile_with_warnings(text, &scope) {
            Ok((expr, warnings)) => {
                problems_of(warnings, Severity::Warning, place, report);
                Some((text.to_owned(), expr))
            }
            Err(mut problems) => {
                if self.mentions_suspect(text) {
                    problems.retain(|problem| SYNTAX_CODES.contains(&problem.code));
                }
                problems_of(problems, Severity::Error, place, report);
                None
            }
        }
    }

    /// Whether a rule uses a name that is broken elsewhere.
    fn mentions_suspect(&self, text: &str) -> bool {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| self.suspects.iter().any(|name| name == word))
    }
}

/// Reports the problems of an expression, each at its place.
pub(super) fn problems_of(
    problems: Vec<cel::Problem>,
    severity: Severity,
    place: impl Fn(&cel::Problem) -> Place,
    report: &mut Report,
) {
    for problem in problems {
        report.problem(place(&problem), problem, severity);
    }
}

/// The expression of a computed default: `{ expr = "…" }` and nothing else.
pub(super) fn default_expr(node: &Node) -> Option<&Node> {
    match &node.data {
        Data::Table(table) => match table.entries.as_slice() {
            [only] if only.key == "expr" && only.value.text().is_some() => Some(&only.value),
            _ => None,
        },
        _ => None,
    }
}

/// Defaults are computed in one step, so none may read what is itself only computed then, or numbered by the database later.
fn check_default_order(draft: &Draft, collection: &Collection, report: &mut Report) {
    for field in &collection.fields {
        let Some(Default::Computed(expr)) = &field.default else { continue };
        let late = |id: FieldId| {
            let other = &collection.fields[usize::from(id.index)];
            (other.is_left_to_database() || matches!(other.default, Some(Default::Computed(_)))).then_some(&other.name)
        };
        let mut wrong = None;
        expr.any_node(&mut |node| {
            if let ExprNode::Field(crate::expr::RowVar::THIS, id) = node {
                wrong = wrong.or(late(*id));
            }
            wrong.is_some()
        });
        let node = draft.tree.table("fields").and_then(|fields| fields.table(&field.name)?.node("default"));
        if let (Some(name), Some(node)) = (wrong, node) {
            let message = format!("the default of \"{}\" reads \"{name}\", which is not known yet", field.name);
            report
                .error(node.place, codes::DEFAULT_ORDER, message)
                .hint("a computed default may read given fields, literal defaults, auth and now");
        }
    }
}
