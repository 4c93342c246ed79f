//! The table of attributes as a JSON Schema (draft 2020-12), for editors and other tools.
//!
//! Made from the same table that the loader checks against, hence the two cannot differ. One
//! difference is wanted: the loader checks after variables are filled in, an editor before. So
//! every value that is not free text may also be text with a `$` expression.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use super::{Names, Object, PROJECT, Shape, Type};

/// Names below which resources, services and the like are listed.
const RESOURCE_NAME: &str = "^[a-zA-Z0-9._-]+$";
/// Any name but the empty one.
const ANY_NAME: &str = "^[\\s\\S]+$";
/// Where the definition of text with a `$` expression is.
const EXPRESSION: &str = "expression";

/// The JSON Schema of a Compose file.
#[must_use]
pub fn json_schema() -> Value {
    let mut writer = Writer::default();
    let root = writer.object(&PROJECT, "");
    let mut definitions = Map::new();
    definitions.insert(
        EXPRESSION.to_owned(),
        json!({
            "description": "A value that holds a variable, for example ${PORT:-80}",
            "type": "string",
            "pattern": "\\$",
        }),
    );
    let mut written = BTreeMap::new();
    while let Some((object, name)) = writer.waiting.pop_front() {
        let definition = writer.object(object, &name);
        written.insert(name, definition);
    }
    definitions.extend(written);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Compose file",
        "description": "What `compose` accepts: the Compose Specification as Docker Compose reads it",
    });
    if let (Some(schema), Value::Object(root)) = (schema.as_object_mut(), root) {
        schema.extend(root);
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

/// Gives every object of the table a name when it is first met, breadth first, so that the
/// objects of the top level get the plain names.
#[derive(Default)]
struct Writer {
    names: BTreeMap<usize, String>,
    taken: BTreeSet<String>,
    waiting: VecDeque<(&'static Object, String)>,
}

impl Writer {
    /// The schema of a mapping; `within` is the definition that it is.
    fn object(&mut self, object: &'static Object, within: &str) -> Value {
        let mut schema = Map::new();
        let kind = if object.nullable { json!(["object", "null"]) } else { json!("object") };
        schema.insert("type".to_owned(), kind);
        let mut properties = BTreeMap::new();
        self.properties(object, within, &mut properties);
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), properties.into_iter().collect());
        }
        let mut patterns = Map::new();
        if object.extensions {
            patterns.insert("^x-".to_owned(), Value::Bool(true));
        }
        let mut others = Value::Bool(false);
        match object.names {
            (Names::None, _) => {}
            (Names::Resource, shape) => {
                patterns.insert(RESOURCE_NAME.to_owned(), self.shape(shape, &one_of(within), within));
            }
            (Names::Any, shape) => {
                patterns.insert(ANY_NAME.to_owned(), self.shape(shape, &one_of(within), within));
            }
            (Names::Open, shape) => others = self.shape(shape, &one_of(within), within),
        }
        if !patterns.is_empty() {
            schema.insert("patternProperties".to_owned(), Value::Object(patterns));
        }
        schema.insert("additionalProperties".to_owned(), others);
        if !object.required.is_empty() {
            schema.insert("required".to_owned(), json!(object.required));
        }
        if !object.any_of.is_empty() {
            let branches = object.any_of.iter().map(|name| json!({ "required": [name] })).collect();
            schema.insert("anyOf".to_owned(), Value::Array(branches));
        }
        Value::Object(schema)
    }

    fn properties(&mut self, object: &'static Object, within: &str, properties: &mut BTreeMap<String, Value>) {
        for (key, shape) in object.fields {
            let schema = self.shape(shape, key, within);
            properties.insert((*key).to_owned(), schema);
        }
        for shared in object.shared {
            self.properties(shared, within, properties);
        }
    }

    /// The schema of a value. `hint` is what an object found in it would best be called.
    fn shape(&mut self, shape: &'static Shape, hint: &str, within: &str) -> Value {
        match shape {
            Shape::Any => Value::Bool(true),
            Shape::Scalar(types) => scalar(types),
            Shape::Words(words) => or_expression(json!({ "enum": words })),
            Shape::Pattern(pattern) => or_expression(json!({ "type": "string", "pattern": pattern.expression })),
            Shape::Range(least, most) => {
                let mut schema = json!({ "type": ["integer", "string"], "minimum": least });
                if *most != i64::MAX {
                    schema["maximum"] = json!(most);
                }
                schema
            }
            Shape::List { items, unique } => {
                let mut schema = json!({ "type": "array", "items": self.shape(items, &one_of(hint), within) });
                if *unique {
                    schema["uniqueItems"] = Value::Bool(true);
                }
                schema
            }
            Shape::Object(object) => self.reference(object, hint, within),
            Shape::OneOf(shapes) => {
                let shapes = shapes.iter().map(|shape| self.shape(shape, hint, within)).collect();
                json!({ "anyOf": Value::Array(shapes) })
            }
        }
    }

    /// A reference to the definition of an object. Simple maps are written in place.
    fn reference(&mut self, object: &'static Object, hint: &str, within: &str) -> Value {
        let simple = object.fields.is_empty()
            && object.shared.is_empty()
            && matches!(object.names.1, Shape::Any | Shape::Scalar(_) | Shape::Words(_));
        if simple {
            return self.object(object, within);
        }
        let identity = std::ptr::from_ref(object) as usize;
        if let Some(name) = self.names.get(&identity) {
            return json!({ "$ref": format!("#/$defs/{name}") });
        }
        let longer = if within.is_empty() { hint.to_owned() } else { format!("{within}_{hint}") };
        let numbered = (2..).map(|number| format!("{longer}_{number}"));
        let mut candidates = [hint.to_owned(), longer.clone()].into_iter().chain(numbered);
        let name = candidates.find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(name.clone());
        self.names.insert(identity, name.clone());
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        self.waiting.push_back((object, name));
        reference
    }
}

/// `service` for `services`.
fn one_of(many: &str) -> String {
    match many.strip_suffix('s') {
        Some(one) if !many.ends_with("ss") => one.to_owned(),
        _ => format!("{many}_item"),
    }
}

fn scalar(types: &[Type]) -> Value {
    let mut names: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
    names.dedup();
    let schema = match &names[..] {
        [name] => json!({ "type": name }),
        names => json!({ "type": names }),
    };
    if types.contains(&Type::Text) { schema } else { or_expression(schema) }
}

fn or_expression(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "$ref": format!("#/$defs/{EXPRESSION}") }] })
}

#[cfg(test)]
mod tests;
