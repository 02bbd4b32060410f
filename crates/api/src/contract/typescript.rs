//! The `Database` type that `createClient<Database>()` of `@supabase/supabase-js` takes, in the form that its own generator prints, so that
//! rows, inserts, updates and embedded selects are typed.
//!
//! Absent: views, which the definition does not have.

use std::fmt::Write as _;
use undergird_model::Model;
use undergird_model::field_type::FieldType;
use undergird_model::schema::{Argument, Collection, DbFunction, Field, Relation, Returns};

/// What `@supabase/postgrest-js` types its results by: this version knows aggregates and spreads of to-many embeds.
const POSTGREST_VERSION: &str = "13";

/// The whole file.
pub fn typescript(model: &Model) -> String {
    let mut out = Text::default();
    out.line(0, "// Made by `undergird types typescript` from the definition. Do not edit.");
    out.line(0, "");
    out.line(0, "export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]");
    out.line(0, "");
    out.line(0, "export type Database = {");
    out.line(1, "__InternalSupabase: {");
    out.line(2, &format!("PostgrestVersion: \"{POSTGREST_VERSION}\""));
    out.line(1, "}");
    out.line(1, "public: {");
    out.line(2, "Tables: {");
    for collection in model.public() {
        table(&mut out, model, collection);
    }
    out.line(2, "}");
    out.line(2, "Views: {");
    out.line(3, "[_ in never]: never");
    out.line(2, "}");
    out.line(2, "Functions: {");
    for function in &model.functions {
        call(&mut out, model, function);
    }
    if model.functions.is_empty() {
        out.line(3, "[_ in never]: never");
    }
    out.line(2, "}");
    let enums = enums(model);
    out.line(2, "Enums: {");
    for (name, ty, _) in &enums {
        out.line(3, &format!("{}: {ty}", key(name)));
    }
    if enums.is_empty() {
        out.line(3, "[_ in never]: never");
    }
    out.line(2, "}");
    out.line(2, "CompositeTypes: {");
    out.line(3, "[_ in never]: never");
    out.line(2, "}");
    out.line(1, "}");
    out.line(0, "}");
    out.0.push_str(HELPERS);
    out.line(0, "export const Constants = {");
    out.line(1, "public: {");
    if enums.is_empty() {
        out.line(2, "Enums: {},");
    } else {
        out.line(2, "Enums: {");
        for (name, _, values) in &enums {
            let listed: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            out.line(3, &format!("{}: [{}],", key(name), listed.join(", ")));
        }
        out.line(2, "},");
    }
    out.line(1, "},");
    out.line(0, "} as const");
    out.0
}

fn table(out: &mut Text, model: &Model, collection: &Collection) {
    describe(out, 3, collection.description.as_deref());
    out.line(3, &format!("{}: {{", key(&collection.name)));
    out.line(4, "Row: {");
    for field in shown(collection) {
        describe(out, 5, field.description.as_deref());
        // A field with a read rule is null to those who may not read it.
        let null = if field.optional || field.read.is_some() { " | null" } else { "" };
        out.line(5, &format!("{}: {}{null}", key(&field.name), type_of(collection, field)));
    }
    out.line(4, "}");
    out.line(4, "Insert: {");
    for field in collection.fields.iter() {
        let optional = field.optional || field.default.is_some() || field.readonly;
        member(out, collection, field, optional);
    }
    out.line(4, "}");
    out.line(4, "Update: {");
    for field in collection.fields.iter() {
        if field.immutable {
            out.line(5, &format!("{}?: never", key(&field.name)));
        } else {
            member(out, collection, field, true);
        }
    }
    out.line(4, "}");
    relationships(out, model, collection);
    out.line(3, "}");
}

fn call(out: &mut Text, model: &Model, function: &DbFunction) {
    describe(out, 3, function.description.as_deref());
    out.line(3, &format!("{}: {{", key(&function.name)));
    if function.arguments.is_empty() {
        out.line(4, "Args: never");
    } else {
        out.line(4, "Args: {");
        for Argument { field, .. } in &function.arguments {
            describe(out, 5, field.description.as_deref());
            let (mark, null) = if field.optional { ("?", " | null") } else { ("", "") };
            out.line(5, &format!("{}{mark}: {}{null}", key(&field.name), field.declared.typescript()));
        }
        out.line(4, "}");
    }
    match &function.returns {
        Returns::Nothing => out.line(4, "Returns: undefined"),
        Returns::Value { declared, list } => {
            let ty = declared.typescript();
            let of = if *list { format!("({ty} | null)[]") } else { format!("{ty} | null") };
            out.line(4, &format!("Returns: {of}"));
        }
        Returns::Rows { of, one } => {
            let name = quoted(&model.collection(*of).name);
            let brackets = if *one { " | null" } else { "[]" };
            out.line(4, &format!("Returns: Database[\"public\"][\"Tables\"][{name}][\"Row\"]{brackets}"));
            out.line(4, "SetofOptions: {");
            out.line(5, "from: \"*\"");
            out.line(5, &format!("to: {name}"));
            out.line(5, &format!("isOneToOne: {one}"));
            out.line(5, &format!("isSetofReturn: {}", !one));
            out.line(4, "}");
        }
    }
    out.line(3, "}");
}

fn shown(collection: &Collection) -> impl Iterator<Item = &Field> {
    collection.fields.iter().filter(|field| !field.is_secret())
}

fn member(out: &mut Text, collection: &Collection, field: &Field, optional: bool) {
    if field.readonly {
        describe(out, 5, Some("Set by the application; only a secret key may write it."));
    }
    let mark = if optional { "?" } else { "" };
    let null = if field.optional { " | null" } else { "" };
    out.line(5, &format!("{}{mark}: {}{null}", key(&field.name), type_of(collection, field)));
}

/// The type of a field; enums by their name, so that they can be spoken of.
fn type_of(collection: &Collection, field: &Field) -> String {
    match &field.declared {
        FieldType::Enum { .. } => named_enum(collection, field),
        FieldType::List { of } if matches!(**of, FieldType::Enum { .. }) => {
            format!("{}[]", named_enum(collection, field))
        }
        other => other.typescript(),
    }
}

fn named_enum(collection: &Collection, field: &Field) -> String {
    format!("Database[\"public\"][\"Enums\"][{}]", quoted(&format!("{}_{}", collection.name, field.name)))
}

/// Name, type and values of every enum: `posts_status`.
fn enums(model: &Model) -> Vec<(String, String, Vec<String>)> {
    let mut enums = Vec::new();
    for collection in model.public() {
        for field in shown(collection) {
            let one = match &field.declared {
                FieldType::List { of } => of,
                other => other,
            };
            if let FieldType::Enum { values } = one {
                enums.push((format!("{}_{}", collection.name, field.name), one.typescript(), values.clone()));
            }
        }
    }
    enums
}

/// The refs of a collection. The way back, and the way through a junction, the client works out by itself.
fn relationships(out: &mut Text, model: &Model, collection: &Collection) {
    let to_one: Vec<&Relation> =
        collection.relations.iter().filter(|relation| is_own_ref(model, collection, relation)).collect();
    if to_one.is_empty() {
        out.line(4, "Relationships: []");
        return;
    }
    out.line(4, "Relationships: [");
    for relation in to_one {
        let target = model.collection(relation.target);
        let ours: Vec<&str> = relation.on.iter().map(|(ours, _)| model.field(*ours).name.as_str()).collect();
        let theirs: Vec<&str> = relation.on.iter().map(|(_, theirs)| model.field(*theirs).name.as_str()).collect();
        let list = |names: &[&str]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        out.line(5, "{");
        out.line(6, &format!("foreignKeyName: {}", quoted(&relation.constraint)));
        out.line(6, &format!("columns: [{}]", list(&ours)));
        out.line(6, &format!("isOneToOne: {}", is_one_to_one(collection, relation)));
        out.line(6, &format!("referencedRelation: {}", quoted(&target.name)));
        out.line(6, &format!("referencedColumns: [{}]", list(&theirs)));
        out.line(5, "},");
    }
    out.line(4, "]");
}

/// Whether a relation is a `ref` field of this collection, to a collection that is on the wire.
fn is_own_ref(model: &Model, collection: &Collection, relation: &Relation) -> bool {
    relation.through.is_none()
        && relation.field.is_some_and(|field| field.collection == collection.id)
        && relation.on.first().is_some_and(|(ours, _)| Some(*ours) == relation.field)
        && !model.collection(relation.target).system
}

/// Whether at most one row here refers to each row there.
fn is_one_to_one(collection: &Collection, relation: &Relation) -> bool {
    let [(ours, _)] = relation.on.as_slice() else { return false };
    let unique_index = collection
        .indexes
        .iter()
        .any(|index| index.unique && matches!(index.fields.as_slice(), [(field, _)] if field == ours));
    collection.fields[usize::from(ours.index)].unique || collection.key == [*ours] || unique_index
}

fn describe(out: &mut Text, depth: usize, description: Option<&str>) {
    if let Some(description) = description {
        // A comment must not end early, nor become two lines.
        let words = description.split_whitespace().collect::<Vec<_>>().join(" ").replace("*/", "*\\/");
        out.line(depth, &format!("/** {words} */"));
    }
}

/// A member's name; in quotes when it is no identifier.
fn key(name: &str) -> String {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') { name.into() } else { quoted(name) }
}

/// A JSON string is a TypeScript string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, depth: usize, text: &str) {
        if text.is_empty() {
            self.0.push('\n');
        } else {
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{:width$}{text}", "", width = depth * 2);
        }
    }
}

/// What the generator of supabase-js prints after the type, so that code written for one compiles with the other.
const HELPERS: &str = r#"
type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
    : never

"#;
