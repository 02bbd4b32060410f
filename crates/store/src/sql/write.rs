//! Writes: the statements around a change, in the order in which they run.

use super::dialect::Dialect;
use super::expr::{Writer, is_constant};
use super::read::{is_one_of_keys, write_read};
use super::{Bind, Statement, WriteStatements};
use undergird_model::expr::{Node, RowVar};
use undergird_model::{CollectionId, Expr, Field, FieldId, Model, Type};
use undergird_plan::shape::{Action, Guard, Upsert, Write};

/// All statements of a write.
pub(super) fn write_write(model: &Model, write: &Write, dialect: &dyn Dialect) -> WriteStatements {
    let change = Change { model, dialect, collection: write.collection };
    let mut statements = WriteStatements {
        guard: None,
        lookup: None,
        noted: None,
        keys: None,
        before: None,
        main: Statement {
            text: String::new(),
            binds: Vec::new(),
            columns: Vec::new(),
            writes: true,
            identity: false,
            lacks: None,
        },
        update: None,
        after: None,
        again: None,
        returning: write.returning.as_ref().map(|read| write_read(model, read, dialect)),
    };
    match &write.action {
        Action::Insert { guards, upsert } => {
            statements.main = change.insert(&write.inputs);
            statements.after = change.after(guards);
            statements.before = change.before(guards, &write.inputs);
            if let Some(upsert) = upsert {
                statements.lookup = Some(change.lookup(upsert, &write.inputs));
                if !upsert.ignore {
                    if change.locks_first(&Expr::all(Vec::new()), &upsert.guards)
                        && let Some(lookup) = &mut statements.lookup
                    {
                        lookup.text.push_str(dialect.locked(false));
                        lookup.writes = true;
                    }
                    statements.update = Some(change.update_found(upsert, &write.inputs));
                    statements.again = change.after(&upsert.again.guards);
                }
            }
        }
        Action::Update { filter, assign, guards, again } => {
            statements.guard = change.guard(filter, guards);
            statements.noted = change.noted(filter, assign, guards, &again.noted);
            statements.again = change.after(&again.guards);
            (statements.keys, statements.main) = if change.locks_first(filter, guards) {
                (Some(change.locked_keys(filter, assign, guards, false)), change.update_locked(filter, assign, guards))
            } else if dialect.has_returning() {
                (None, change.update(filter, assign, guards))
            } else {
                (Some(change.locked_keys(filter, assign, guards, false)), change.update_by_keys(filter, assign, guards))
            };
        }
        Action::Delete { filter, guards } => {
            statements.guard = change.guard(filter, guards);
            (statements.keys, statements.main) = if change.locks_first(filter, guards) {
                (Some(change.locked_keys(filter, &[], guards, true)), change.delete_locked(filter, guards))
            } else if dialect.has_returning() {
                (write.returning.as_ref().map(|_| change.keys(filter, guards)), change.delete(filter, guards))
            } else {
                (Some(change.locked_keys(filter, &[], guards, true)), change.delete_by_keys(filter, guards))
            };
        }
    }
    statements
}

struct Change<'a> {
    model: &'a Model,
    dialect: &'a dyn Dialect,
    collection: CollectionId,
}

impl Change<'_> {
    /// A writer with the row itself in scope, and its alias.
    fn writer(&self) -> (Writer<'_>, String) {
        let mut writer = Writer::new(self.model, self.dialect);
        let alias = writer.enter(RowVar::THIS, false);
        (writer, alias)
    }

    /// Whether the rows are to be locked in a statement of their own before they are changed, although the change could tell its keys.
    fn locks_first(&self, filter: &Expr, guards: &[Guard]) -> bool {
        let mut conditions = guards.iter().map(|guard| &guard.predicate).chain([filter]);
        self.dialect.has_returning() && self.dialect.judges_again_by_old_rows() && conditions.any(leads_to_other_rows)
    }

    fn key(&self) -> &[FieldId] {
        &self.model.collection(self.collection).key
    }

    fn key_types(&self) -> Vec<Type> {
        self.key().iter().map(|field| self.model.field(*field).ty).collect()
    }

    fn key_columns(&self, writer: &Writer<'_>) -> Vec<String> {
        self.key().iter().map(|field| writer.field(RowVar::THIS, *field)).collect()
    }

    /// ` RETURNING` the key.
    fn returning(&self, writer: &Writer<'_>) -> String {
        let columns: Vec<String> = self.key().iter().map(|field| writer.read(*field, writer.column(*field))).collect();
        format!(" RETURNING {}", columns.join(", "))
    }

    fn insert(&self, inputs: &[FieldId]) -> Statement {
        let mut writer = Writer::new(self.model, self.dialect);
        let collection = self.model.collection(self.collection);
        let table = writer.table_name(collection.id);
        let columns: Vec<String> = inputs.iter().map(|field| writer.column(*field)).collect();
        let identity = collection.identity().map(|field| field.id);
        let values: Vec<String> = inputs
            .iter()
            .enumerate()
            .map(|(position, field)| {
                let position = u16::try_from(position).unwrap_or(u16::MAX);
                let Field { ty, column, .. } = self.model.field(*field);
                let parameter = writer.bind(*ty, Bind::Input(position));
                let parameter = writer.kept(*field, parameter);
                match Some(*field) == identity {
                    true => self.dialect.given_or_made(parameter, &collection.table, column),
                    false => parameter,
                }
            })
            .collect();
        let mut text = if columns.is_empty() {
            format!("INSERT INTO {table} {}", self.dialect.default_row())
        } else {
            format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), values.join(", "))
        };
        // The key is among the inputs unless the database gives it: an identity that some rows of the body have and others lack is
        // both, so it is always asked for.
        let given = self.key().iter().all(|field| inputs.contains(field) && Some(*field) != identity);
        if given {
            return writer.finish(text, Vec::new(), true);
        }
        if !self.dialect.has_returning() {
            let statement = writer.finish(text, self.key_types(), true);
            return Statement { identity: true, ..statement };
        }
        text.push_str(&self.returning(&writer));
        writer.finish(text, self.key_types(), true)
    }

    /// The first row within the filter that fails a guard: one bool per guard.
    fn guard(&self, filter: &Expr, guards: &[Guard]) -> Option<Statement> {
        if guards.is_empty() {
            return None;
        }
        let (mut writer, alias) = self.writer();
        let truths: Vec<String> = guards.iter().map(|guard| writer.truth(&guard.predicate)).collect();
        let mut condition = String::new();
        writer.and_condition(&mut condition, filter);
        if !condition.is_empty() {
            condition.push_str(" AND ");
        }
        condition.push_str(&format!("NOT ({})", all_of(&truths)));
        let table = writer.table(self.collection, &alias);
        let text = format!("SELECT {} FROM {table} WHERE {condition} LIMIT 1", truths.join(", "));
        Some(writer.finish(text, vec![Type::BOOL; guards.len()], false))
    }

    /// The input row, as if it were there, if it fails a guard: one bool per guard.
    fn before(&self, guards: &[Guard], inputs: &[FieldId]) -> Option<Statement> {
        if guards.is_empty() {
            return None;
        }
        let (mut writer, alias) = self.writer();
        let truths: Vec<String> = guards.iter().map(|guard| writer.truth(&guard.predicate)).collect();
        let columns: Vec<String> = self
            .model
            .collection(self.collection)
            .fields
            .iter()
            .map(|field| {
                let value = match inputs.iter().position(|input| *input == field.id) {
                    Some(position) => writer.bind(field.ty, Bind::Input(u16::try_from(position).unwrap_or(u16::MAX))),
                    // An identity that the database would give.
                    None => self.dialect.null(field.ty),
                };
                format!("{} AS {}", writer.kept(field.id, value), writer.column(field.id))
            })
            .collect();
        let text = format!(
            "SELECT {} FROM (SELECT {}) AS {alias} WHERE NOT ({})",
            truths.join(", "),
            columns.join(", "),
            all_of(&truths)
        );
        Some(writer.finish(text, vec![Type::BOOL; guards.len()], false))
    }

    /// The written rows that fail a guard: one bool per guard, then the key.
    fn after(&self, guards: &[Guard]) -> Option<Statement> {
        if guards.is_empty() {
            return None;
        }
        let (mut writer, alias) = self.writer();
        let truths: Vec<String> = guards.iter().map(|guard| writer.truth(&guard.predicate)).collect();
        let key = self.key_columns(&writer);
        let written = is_one_of_keys(&mut writer, &key, &self.key_types());
        let table = writer.table(self.collection, &alias);
        let text = format!(
            "SELECT {}, {} FROM {table} WHERE {written} AND NOT ({})",
            truths.join(", "),
            key.join(", "),
            all_of(&truths)
        );
        let mut types = vec![Type::BOOL; guards.len()];
        types.extend(self.key_types());
        Some(writer.finish(text, types, false))
    }

    /// ` WHERE` the filter and all guards: the guards again, although they were asked before, because nothing else decides.
    fn conditions(&self, writer: &mut Writer<'_>, filter: &Expr, guards: &[Guard]) -> String {
        let mut condition = String::new();
        writer.and_condition(&mut condition, filter);
        for guard in guards {
            writer.and_condition(&mut condition, &guard.predicate);
        }
        if condition.is_empty() { condition } else { format!(" WHERE {condition}") }
    }

    fn assignments(&self, writer: &mut Writer<'_>, assign: &[(FieldId, Expr)]) -> String {
        let terms: Vec<String> = assign
            .iter()
            .map(|(field, expr)| {
                let value = writer.value(expr);
                format!("{} = {}", writer.column(*field), writer.kept(*field, value))
            })
            .collect();
        terms.join(", ")
    }

    fn update(&self, filter: &Expr, assign: &[(FieldId, Expr)], guards: &[Guard]) -> Statement {
        if assign.is_empty() {
            return self.keys(filter, guards);
        }
        let (mut writer, alias) = self.writer();
        let set = self.assignments(&mut writer, assign);
        let conditions = self.conditions(&mut writer, filter, guards);
        let text = format!(
            "UPDATE {} SET {set}{conditions}{}",
            writer.table(self.collection, &alias),
            self.returning(&writer)
        );
        writer.finish(text, self.key_types(), true)
    }

    fn delete(&self, filter: &Expr, guards: &[Guard]) -> Statement {
        let (mut writer, alias) = self.writer();
        let conditions = self.conditions(&mut writer, filter, guards);
        let text =
            format!("DELETE FROM {}{conditions}{}", writer.table(self.collection, &alias), self.returning(&writer));
        writer.finish(text, self.key_types(), true)
    }

    /// The keys of the rows within the filter.
    fn keys(&self, filter: &Expr, guards: &[Guard]) -> Statement {
        let (mut writer, alias) = self.writer();
        let conditions = self.conditions(&mut writer, filter, guards);
        let key = self.key_columns(&writer).join(", ");
        let table = writer.table(self.collection, &alias);
        let text = format!("SELECT {key} FROM {table}{conditions} ORDER BY {key}");
        writer.finish(text, self.key_types(), false)
    }

    /// The keys of the rows within the filter, which nobody else changes from then on; and the keys that these will have, where keys
    /// are assigned.
    fn locked_keys(&self, filter: &Expr, assign: &[(FieldId, Expr)], guards: &[Guard], removes: bool) -> Statement {
        let (mut writer, alias) = self.writer();
        let mut columns = self.key_columns(&writer);
        let order = columns.join(", ");
        let mut types = self.key_types();
        if assign.iter().any(|(field, _)| self.key().contains(field)) {
            columns.extend(self.key_after(&mut writer, assign));
            types.extend(self.key_types());
        }
        let conditions = self.conditions(&mut writer, filter, guards);
        let table = writer.table(self.collection, &alias);
        let locked = self.dialect.locked(removes);
        let text = format!("SELECT {} FROM {table}{conditions} ORDER BY {order}{locked}", columns.join(", "));
        // A lock is a write: no snapshot gives it.
        writer.finish(text, types, true)
    }

    /// The key of the row in scope as it will be.
    fn key_after(&self, writer: &mut Writer<'_>, assign: &[(FieldId, Expr)]) -> Vec<String> {
        self.key()
            .iter()
            .map(|key| match assign.iter().find(|(field, _)| field == key) {
                Some((_, expr)) => writer.value(expr),
                None => writer.field(RowVar::THIS, *key),
            })
            .collect()
    }

    /// The keys that the rows within the filter will have, and what is noted of each as it is.
    fn noted(&self, filter: &Expr, assign: &[(FieldId, Expr)], guards: &[Guard], noted: &[Expr]) -> Option<Statement> {
        if noted.is_empty() {
            return None;
        }
        let (mut writer, alias) = self.writer();
        let mut columns = self.key_after(&mut writer, assign);
        columns.extend(noted.iter().map(|expr| writer.value(expr)).collect::<Vec<_>>());
        let conditions = self.conditions(&mut writer, filter, guards);
        let table = writer.table(self.collection, &alias);
        let text = format!("SELECT {} FROM {table}{conditions}", columns.join(", "));
        let types = self.key_types().into_iter().chain(noted.iter().map(|expr| expr.ty)).collect();
        Some(writer.finish(text, types, false))
    }

    /// The change of the locked rows. They are selected once more by filter and guards, because nothing else decides, and apart from
    /// the change: so all new values are computed of the old row, and what is asked about other rows of the table may be asked.
    fn update_by_keys(&self, filter: &Expr, assign: &[(FieldId, Expr)], guards: &[Guard]) -> Statement {
        let (mut writer, alias) = self.writer();
        if assign.is_empty() {
            // The keys were found, which is all that there is to do.
            let key = self.key_columns(&writer);
            let found = is_one_of_keys(&mut writer, &key, &self.key_types());
            let table = writer.table(self.collection, &alias);
            let text = format!("SELECT {} FROM {table} WHERE {found}", key.join(", "));
            return writer.finish(text, self.key_types(), false);
        }
        let key = self.key_columns(&writer);
        let mut condition = is_one_of_keys(&mut writer, &key, &self.key_types());
        writer.and_condition(&mut condition, filter);
        self.update_apart(writer, &alias, condition, assign, guards)
    }

    /// That the row is one of the locked ones and still within filter and guards.
    fn still(&self, writer: &mut Writer<'_>, filter: &Expr, guards: &[Guard]) -> String {
        let key = self.key_columns(writer);
        let mut condition = is_one_of_keys(writer, &key, &self.key_types());
        writer.and_condition(&mut condition, filter);
        for guard in guards {
            writer.and_condition(&mut condition, &guard.predicate);
        }
        condition
    }

    /// The change of the locked rows, where it could tell its keys.
    fn update_locked(&self, filter: &Expr, assign: &[(FieldId, Expr)], guards: &[Guard]) -> Statement {
        let (mut writer, alias) = self.writer();
        let table = writer.table(self.collection, &alias);
        if assign.is_empty() {
            let key = self.key_columns(&writer).join(", ");
            let still = self.still(&mut writer, filter, guards);
            return writer.finish(format!("SELECT {key} FROM {table} WHERE {still}"), self.key_types(), false);
        }
        let set = self.assignments(&mut writer, assign);
        let still = self.still(&mut writer, filter, guards);
        writer.finish(format!("UPDATE {table} SET {set} WHERE {still}"), Vec::new(), true)
    }

    fn delete_locked(&self, filter: &Expr, guards: &[Guard]) -> Statement {
        let (mut writer, alias) = self.writer();
        let table = writer.table(self.collection, &alias);
        let still = self.still(&mut writer, filter, guards);
        writer.finish(format!("DELETE FROM {table} WHERE {still}"), Vec::new(), true)
    }

    /// `UPDATE` of the rows of a condition and of the guards, the row itself in scope.
    fn update_apart(
        &self,
        mut writer: Writer<'_>,
        alias: &str,
        mut condition: String,
        assign: &[(FieldId, Expr)],
        guards: &[Guard],
    ) -> Statement {
        for guard in guards {
            writer.and_condition(&mut condition, &guard.predicate);
        }
        let (changed, found) = (writer.alias(), writer.alias());
        let mut columns = self.key_columns(&writer);
        let set: Vec<String> = assign
            .iter()
            .map(|(field, expr)| {
                let mut value = writer.value(expr);
                if !is_constant(expr) {
                    columns.push(value);
                    value = format!("{found}.c{}", columns.len() - 1);
                }
                format!("{changed}.{} = {}", writer.column(*field), writer.kept(*field, value))
            })
            .collect();
        let joined = self.joined_by_key(&writer, alias, (&changed, &found), &columns, &condition);
        writer.finish(format!("UPDATE {joined} SET {}", set.join(", ")), Vec::new(), true)
    }

    fn delete_by_keys(&self, filter: &Expr, guards: &[Guard]) -> Statement {
        let (mut writer, alias) = self.writer();
        let key = self.key_columns(&writer);
        let condition = self.still(&mut writer, filter, guards);
        let (changed, found) = (writer.alias(), writer.alias());
        let joined = self.joined_by_key(&writer, &alias, (&changed, &found), &key, &condition);
        writer.finish(format!("DELETE {changed} FROM {joined}"), Vec::new(), true)
    }

    /// Some rows of the table under one alias, joined by the key with the table itself under another. The former's columns, the key
    /// first, are called `c0`, `c1`, …. In this order and no other: whoever reads the table itself first locks rows that nobody
    /// wants changed, in an order of its own, and two that do so wait for each other.
    fn joined_by_key(
        &self,
        writer: &Writer<'_>,
        alias: &str,
        (changed, found): (&str, &str),
        columns: &[String],
        condition: &str,
    ) -> String {
        let named: Vec<String> = columns.iter().enumerate().map(|(i, text)| format!("{text} AS c{i}")).collect();
        let on: Vec<String> = self
            .key()
            .iter()
            .enumerate()
            .map(|(i, field)| {
                writer.equals(*field, &format!("{changed}.{}", writer.column(*field)), &format!("{found}.c{i}"))
            })
            .collect();
        // The limit keeps the store from folding the selection into the change, which may not read what it changes.
        let limit = self.dialect.no_limit().map_or_else(String::new, |all| format!(" LIMIT {all}"));
        format!(
            "(SELECT {} FROM {} WHERE {condition}{limit}) AS {found} STRAIGHT_JOIN {} ON {}",
            named.join(", "),
            writer.table(self.collection, alias),
            writer.table(self.collection, changed),
            on.join(" AND ")
        )
    }

    /// That the row has the input row's values in the upsert's target.
    fn target(&self, writer: &mut Writer<'_>, upsert: &Upsert, inputs: &[FieldId]) -> String {
        let terms: Vec<String> = upsert
            .target
            .iter()
            .map(|field| {
                match inputs.iter().position(|input| input == field) {
                    Some(position) => {
                        let position = u16::try_from(position).unwrap_or(u16::MAX);
                        let value = writer.bind(self.model.field(*field).ty, Bind::Input(position));
                        writer.has(RowVar::THIS, *field, &value)
                    }
                    // A target that the rows do not have is met by none of them.
                    None => self.dialect.bool_literal(false).to_owned(),
                }
            })
            .collect();
        terms.join(" AND ")
    }

    /// The key of the row that is there already, one bool per guard, and what is noted of it.
    fn lookup(&self, upsert: &Upsert, inputs: &[FieldId]) -> Statement {
        let (mut writer, alias) = self.writer();
        // Where the change will not tell its key, this must.
        let mut columns = if self.dialect.has_returning() || upsert.ignore {
            self.key_columns(&writer)
        } else {
            self.key_after(&mut writer, &upsert.assign)
        };
        columns.extend(upsert.guards.iter().map(|guard| writer.truth(&guard.predicate)).collect::<Vec<_>>());
        columns.extend(upsert.again.noted.iter().map(|expr| writer.value(expr)).collect::<Vec<_>>());
        let target = self.target(&mut writer, upsert, inputs);
        let table = writer.table(self.collection, &alias);
        let mut types = self.key_types();
        types.extend(vec![Type::BOOL; upsert.guards.len()]);
        types.extend(upsert.again.noted.iter().map(|expr| expr.ty));
        let text = format!("SELECT {} FROM {table} WHERE {target} LIMIT 1", columns.join(", "));
        writer.finish(text, types, false)
    }

    /// The change of the row that is there already. Without anything to assign it only finds the row.
    fn update_found(&self, upsert: &Upsert, inputs: &[FieldId]) -> Statement {
        let (mut writer, alias) = self.writer();
        let table = writer.table(self.collection, &alias);
        if upsert.assign.is_empty() {
            let target = self.target(&mut writer, upsert, inputs);
            let text = format!("SELECT {} FROM {table} WHERE {target}", self.key_columns(&writer).join(", "));
            return writer.finish(text, self.key_types(), false);
        }
        if !self.dialect.has_returning() {
            let condition = self.target(&mut writer, upsert, inputs);
            return self.update_apart(writer, &alias, condition, &upsert.assign, &upsert.guards);
        }
        let set = self.assignments(&mut writer, &upsert.assign);
        let mut condition = self.target(&mut writer, upsert, inputs);
        for guard in &upsert.guards {
            writer.and_condition(&mut condition, &guard.predicate);
        }
        let text = format!("UPDATE {table} SET {set} WHERE {condition}{}", self.returning(&writer));
        writer.finish(text, self.key_types(), true)
    }
}

/// Whether what an expression says of a row may change although the row does not.
fn leads_to_other_rows(expr: &Expr) -> bool {
    expr.any_node(&mut |node| {
        matches!(
            node,
            Node::Via { .. } | Node::Exists { .. } | Node::Count { .. } | Node::At { .. } | Node::Profile { .. }
        )
    })
}

fn all_of(truths: &[String]) -> String {
    match truths {
        [one] => one.clone(),
        many => many.iter().map(|truth| format!("({truth})")).collect::<Vec<_>>().join(" AND "),
    }
}
